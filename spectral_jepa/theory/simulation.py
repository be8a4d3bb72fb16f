"""The simulation lemma, classic and tight: how far any policy's value can be off in a model (docs/theory.md, 2.12).

If every row of the model is a probability within total variation eps of the true one, rewards lie in [0, 1] and are known,
and c is the largest value there is, then for every policy

    |V - Vhat|_inf <= gamma eps c / (1 - gamma (1 - eps))     (tight)
                   <= gamma eps c / (1 - gamma)               (classic),     c = 1 / (1 - gamma).

Both worlds can be run together so that they part with probability eps a step. The tight form counts the parting once: after
it the values differ by c at most. The classic one lets them part again and again. With a horizon H and
c_h = 1 + gamma + ... + gamma^{H-h-1}, the bounds are gamma eps sum_j (gamma (1 - eps))^j c_{j+1} (tight) and
gamma eps sum_j gamma^j c_{j+1} (classic). The tight form is that of Lobel and Parr (arXiv 2406.16249), known rewards.

A truncated Phat is no probability, and the lemma does not speak of it: use :func:`reward_bounds`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_float, check_count, check_fraction, require_memory
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.planning.values import required_discount, value_ceiling
from spectral_jepa.theory.bound import Assumption, Bound

SOURCE = "simulation lemma (docs/theory.md, 2.12)"
TOLERANCE = 1e-9


@checked()
def transition_error(mdp: TabularMDP, model: ArrayLike) -> float:
    """Largest total variation distance of model and world over states and actions, max sum_y |P - Phat| / 2.

    Parameters
    ----------
    mdp : TabularMDP
    model : array (A, S, S)
        Phat.

    Returns
    -------
    float
        In [0, 1] if the rows of the model are probabilities.

    Raises
    ------
    InputError
        A model of another shape, or with numbers that are not finite.

    Notes
    -----
    O(A S^2). It is the eps of :func:`simulation_bound_values` (docs/theory.md, 2.12).

    Examples
    --------
    >>> mdp = TabularMDP([[[0.9, 0.1], [0.1, 0.9]]])
    >>> round(transition_error(mdp, [[[0.5, 0.5], [0.1, 0.9]]]), 12)
    0.4
    """
    true = mdp.dense()
    return float(np.abs(true - as_float("model", model, true.shape)).sum(axis=2).max() / 2)


@checked()
def simulation_bound_values(error: float, discount: float, horizon: int | None = None) -> tuple[float, float]:
    """Tight and classic bound on |V - Vhat|_inf of any policy, for rewards in [0, 1].

    Parameters
    ----------
    error : float in [0, 1]
        eps, the largest total variation distance of a row of the model from the true row.
    discount : float in [0, 1]
        Below 1 when there is no horizon.
    horizon : int, optional
        Number of actions H. Default: none, infinite and discounted.

    Returns
    -------
    tight, classic : float
        The tight one is attained, at every error, discount and horizon, by two states: the true world stays in a state
        without reward, and the model leaves it with probability eps for one that pays 1 for ever. It is never above
        c, the largest value; the classic one may be.

    Raises
    ------
    InputError
        If a number is out of range, or the discount is 1 without a horizon.

    Notes
    -----
    O(H). Source: Lobel and Parr, arXiv 2406.16249 (tight, infinite horizon); docs/theory.md, 2.12.

    Examples
    --------
    >>> tight, classic = simulation_bound_values(0.2, 0.9)
    >>> round(tight, 6), round(classic, 6)
    (6.428571, 18.0)
    >>> [round(bound, 6) for bound in simulation_bound_values(0.2, 1.0, horizon=3)]
    [0.56, 0.6]
    """
    eps, gamma = check_fraction("error", error), check_fraction("discount", discount)
    if horizon is None:
        if gamma == 1:
            raise InputError("discount is 1 without a horizon, expected less than 1: pass horizon= or discount the rewards")
        ceiling = 1 / (1 - gamma)
        return gamma * eps * ceiling / (1 - gamma * (1 - eps)), gamma * eps * ceiling / (1 - gamma)
    require_memory((check_count("horizon", horizon),), "the table of values", "lower the horizon", copies=4)
    following = value_ceiling(horizon, gamma)[1:]
    steps = np.arange(horizon)
    sums = [float(np.sum((gamma * stay) ** steps * following)) for stay in (1 - eps, 1.0)]
    return gamma * eps * sums[0], gamma * eps * sums[1]


@checked()
def simulation_bounds(
    mdp: TabularMDP, model: ArrayLike, *, discount: float | None = None, horizon: int | None = None
) -> tuple[Bound, Bound]:
    """Tight and classic simulation lemma for a model of an MDP, with their assumptions.

    Parameters
    ----------
    mdp : TabularMDP
    model : array (A, S, S)
    discount : float, optional
        Default: the MDP's own, else 1.
    horizon : int, optional
        Default: infinite.

    Returns
    -------
    tight, classic : Bound
        On the value error of any policy, in units of reward. A policy that is best in the model has at most twice that
        regret. Errors above 1, which only a model that is no probability has, enter as 1.

    Raises
    ------
    InputError
        A model of another shape, or no horizon and no discount below 1.

    Notes
    -----
    O(A S^2). Source: docs/theory.md, 2.12.

    Examples
    --------
    >>> mdp = TabularMDP([np.eye(2)], reward=[0.0, 1.0], discount=0.9)
    >>> tight, classic = simulation_bounds(mdp, [[[0.8, 0.2], [0.0, 1.0]]])
    >>> round(tight.value, 6), tight.vacuous, round(classic.value, 6), classic.vacuous
    (6.428571, False, 18.0, True)
    """
    matrices = as_float("model", model, (mdp.n_actions, mdp.n_states, mdp.n_states))
    gamma = required_discount(mdp, discount)
    values = simulation_bound_values(min(transition_error(mdp, matrices), 1.0), gamma, horizon)
    stochastic = (matrices >= -TOLERANCE).all() and np.abs(matrices.sum(axis=2) - 1).max() < TOLERANCE
    rewarded = None if mdp.reward is None else bool((mdp.reward >= 0).all() and (mdp.reward <= 1).all())
    assumptions = (
        Assumption("every row of the model is a probability", bool(stochastic)),
        Assumption("rewards lie in [0, 1] and the model knows them", rewarded),
    )
    ceiling = 1 / (1 - gamma) if horizon is None else float(value_ceiling(horizon, gamma)[0])
    quantity = "value error of any policy (return)"
    tight, classic = (
        Bound(value, quantity, ceiling, assumptions, f"{name} {SOURCE}")
        for name, value in zip(("tight", "classic"), values, strict=True)
    )
    return tight, classic


@checked()
def value_difference(true: ArrayLike, model: ArrayLike, reward: ArrayLike, discount: float) -> Array:
    """V - Vhat of one policy, exactly: gamma (I - gamma P)^-1 (P - Phat) Vhat, for any matrix Phat.

    Parameters
    ----------
    true, model : array (S, S)
        Kernels of the policy's chain, P and Phat; Phat may be signed, I - gamma Phat must be invertible.
    reward : array (S,)
    discount : float in [0, 1)

    Returns
    -------
    array (S,)

    Raises
    ------
    InputError
        Shapes that do not match, a discount of 1, or a model whose values do not exist.

    Notes
    -----
    O(S^3). Source: docs/theory.md, 2.11.

    Examples
    --------
    >>> value_difference(np.eye(2), [[0.8, 0.2], [0.0, 1.0]], [0.0, 1.0], 0.9).round(6) + 0.0
    array([-6.428571,  0.      ])
    """
    chain = as_float("true", true, (None, None))
    n_states = len(chain)
    phat, gain = as_float("model", model, (n_states, n_states)), as_float("reward", reward, (n_states,))
    gamma = check_fraction("discount", discount)
    if gamma == 1:
        raise InputError("discount is 1, expected less than 1: the value of an endless chain does not exist otherwise")
    try:
        believed = np.linalg.solve(np.eye(n_states) - gamma * phat, gain)
    except np.linalg.LinAlgError:
        raise InputError("I - discount * model is singular, expected an invertible one: lower the discount") from None
    gap = np.linalg.solve(np.eye(n_states) - gamma * chain, (chain - phat) @ believed)
    return np.asarray(gamma * gap, dtype=np.float64)
