"""Exact and model-based values by dynamic programming.

Backward induction takes any matrix for a model: a truncated Phat may be negative and need not sum to 1, so the values
are clipped to what rewards in [0, 1] can reach (docs/theory.md, 4.4). Leading axes are a batch (one model a latent
dimension, say).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spectral_jepa._validation import Array, InputError, as_float, check_count, check_fraction
from spectral_jepa.mdp import TabularMDP, Transition

ActionTable = NDArray[np.int64]
# Scores this close (times 1 + |largest|) are ties and the lowest action wins, so that rounding does not choose the plan.
TIE_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Solution:
    """Optimal discounted values and a policy that earns them. Made by :func:`optimal_values`.

    Attributes
    ----------
    values : array (S,)
        In units of reward.
    policy : integer array (S,)
        Greedy at the last step of the iteration; what it earns is within the tolerance of ``values``.
    n_iterations : int
        Improvement steps taken.
    """

    values: Array
    policy: ActionTable
    n_iterations: int


def first_best(scores: Array, axis: int) -> ActionTable:
    """Index of the largest score along an axis; ties within 1e-12 (1 + |largest|) go to the lowest index.

    Parameters
    ----------
    scores : array of any shape
    axis : int
        The axis of the alternatives, counted from either end.

    Returns
    -------
    integer array, the shape of ``scores`` without that axis

    Notes
    -----
    O(entries). Source: docs/theory.md, section 0.

    Examples
    --------
    >>> int(first_best(np.array([0.3, 0.1 + 0.2]), axis=0))
    0
    """
    top = scores.max(axis=axis, keepdims=True)
    return (scores >= top - TIE_TOLERANCE * (1 + np.abs(top))).argmax(axis=axis)


def required_reward(mdp: TabularMDP) -> Array:
    """The reward of an MDP, or one sentence that says it is missing.

    Parameters
    ----------
    mdp : TabularMDP

    Returns
    -------
    array (S, A)

    Raises
    ------
    InputError
        If the MDP has none.

    Examples
    --------
    >>> required_reward(TabularMDP([np.eye(2)], reward=[1.0, 0.0]))
    array([[1.],
           [0.]])
    """
    if mdp.reward is None:
        raise InputError(f"{mdp.name} has no reward, expected an array (S, A): pass reward= when building the MDP")
    return mdp.reward


def required_discount(mdp: TabularMDP, discount: float | None) -> float:
    """The discount given, else the MDP's own, else 1 (plain finite horizon).

    Parameters
    ----------
    mdp : TabularMDP
    discount : float in [0, 1] or None
        None: the MDP's own.

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    InputError
        If it is not a number in [0, 1].

    Examples
    --------
    >>> mdp = TabularMDP([np.eye(2)], discount=0.5)
    >>> required_discount(mdp, None), required_discount(mdp, 0.9), required_discount(TabularMDP([np.eye(2)]), None)
    (0.5, 0.9, 1.0)
    """
    chosen = discount if discount is not None else mdp.discount
    return 1.0 if chosen is None else check_fraction("discount", chosen)


def action_values(transition: Transition, values: Array) -> Array:
    """Expected next value of every pair: sum_y P(y|x,a) V(y).

    Parameters
    ----------
    transition : array (A, S, S), or tuple of A CSR matrices (S, S)
        Need not be a probability.
    values : array (S,) or (S, K)
        V, or K of them at once.

    Returns
    -------
    array (A, S) or (A, S, K)

    Notes
    -----
    O(A S^2 K), or O(non-zeros K) when sparse.

    Examples
    --------
    >>> action_values(np.array([[[0.9, 0.1], [0.2, 0.8]]]), np.array([1.0, 0.0]))
    array([[0.9, 0.2]])
    """
    if isinstance(transition, tuple):
        return np.stack([rows @ values for rows in transition])
    # One tall product: BLAS then sees a single matrix-vector (or matrix-matrix) call instead of one an action.
    n_actions, n_states, _ = transition.shape
    return (transition.reshape(-1, n_states) @ values).reshape(n_actions, n_states, *values.shape[1:])


def optimal_values(mdp: TabularMDP, discount: float | None = None, *, tolerance: float = 1e-8) -> Solution:
    """Optimal discounted values by modified policy iteration.

    Parameters
    ----------
    mdp : TabularMDP
        With a reward (S, A).
    discount : float in [0, 1), optional
        Default: the MDP's own.
    tolerance : float > 0
        Largest error of the values returned, in units of reward.

    Returns
    -------
    Solution
        ``|values - V*| <= tolerance``, or as near as rounding allows.

    Raises
    ------
    InputError
        Without a reward, with a discount of 1 (no fixed point), or with a tolerance that is not above 0.

    Notes
    -----
    O(A S^2) a step, and few steps: it stops on the span of the Bellman residual (MacQueen's bounds).

    Examples
    --------
    >>> mdp = TabularMDP([np.eye(2)], reward=[1.0, 0.0], discount=0.5)
    >>> optimal_values(mdp).values.round(6)
    array([2., 0.])
    """
    reward, gamma = required_reward(mdp).T, required_discount(mdp, discount)
    if not 0 <= gamma < 1:
        raise InputError(
            f"discount is {gamma}, expected a number in [0, 1) for an infinite horizon: use backward_induction instead"
        )
    if not tolerance > 0:
        raise InputError(f"tolerance is {tolerance}, expected a number above 0: values come from an iteration")
    values = np.full(mdp.n_states, reward.min() / (1 - gamma))
    states = np.arange(mdp.n_states)
    n_iterations = 0
    while True:
        n_iterations += 1
        action_value = reward + gamma * action_values(mdp.transition, values)
        policy = action_value.argmax(axis=0)
        improved = action_value[policy, states]
        low, high = (improved - values).min(), (improved - values).max()
        # V* lies in improved + gamma / (1 - gamma) [low, high] (MacQueen's bounds). A span of a few roundings cannot shrink.
        rounding = 4 * np.finfo(float).eps * np.abs(improved).max()
        if gamma * (high - low) <= max(2 * tolerance * (1 - gamma), rounding):
            return Solution(improved + gamma / (1 - gamma) * (low + high) / 2, policy, n_iterations)
        values = _evaluate_partially(mdp.transition, reward[policy, states], policy, improved, gamma, 20)


def _evaluate_partially(
    transition: Transition, reward: Array, policy: ActionTable, values: Array, gamma: float, n_sweeps: int
) -> Array:
    """Repeat V <- r_pi + gamma P_pi V a fixed number of times."""
    if isinstance(transition, tuple):
        n = len(policy)
        rows = sp.csr_array(sp.vstack(transition))[policy * n + np.arange(n)]
    else:
        rows = transition[policy, np.arange(len(policy))]
    for _ in range(n_sweeps):
        values = reward + gamma * (rows @ values)
    return values


def value_ceiling(horizon: int, discount: float) -> Array:
    """Largest value of the remaining steps for rewards in [0, 1]: entry h is 1 + gamma + ... + gamma^{H-h-1}.

    Parameters
    ----------
    horizon : int >= 0
        Number of actions H.
    discount : float in [0, 1]

    Returns
    -------
    array (H + 1,)
        In units of reward; the last is 0. (1 - gamma^{H-h}) / (1 - gamma) below a discount of 1, else H - h.

    Notes
    -----
    O(H). Source: docs/theory.md, 4.4, where it is c_h.

    Examples
    --------
    >>> value_ceiling(2, 1.0), value_ceiling(2, 0.5)
    (array([2., 1., 0.]), array([1.5, 1. , 0. ]))
    """
    remaining = np.arange(horizon, -1, -1)
    return np.cumsum(discount ** np.arange(horizon + 1.0))[remaining] - discount ** remaining.astype(float)


def backward_induction(
    model: Transition, reward: Array, horizon: int, discount: float = 1.0, *, clip: bool = True
) -> tuple[Array, ActionTable]:
    """Plan for a finite horizon in a model that need not be a probability.

    Parameters
    ----------
    model : array (..., A, S, S), or tuple of CSR matrices
        Transition probabilities or a signed low-rank Phat.
    reward : array (S, A), in [0, 1] when clipping
    horizon : int
        Number of actions H.
    discount : float in [0, 1]
    clip : bool
        Clip the value at step h to [0, (1 - gamma^{H-h}) / (1 - gamma)], which every true value obeys.

    Returns
    -------
    values : array (..., H + 1, S)
        In units of reward; values[..., H, :] = 0.
    policy : integer array (..., H, S)
        The best action at each step and state, the lowest of equally good ones.

    Raises
    ------
    InputError
        If ``horizon`` is not a whole number above 0.

    Notes
    -----
    O(H A S^2) a model. Source: docs/theory.md, 4.4.

    Examples
    --------
    >>> values, policy = backward_induction(np.eye(2)[None], np.array([[1.0], [0.0]]), horizon=3)
    >>> values[0]
    array([3., 0.])
    """
    check_count("horizon", horizon)
    n_states = reward.shape[0]
    batch = () if isinstance(model, tuple) else model.shape[:-3]
    ceiling = value_ceiling(horizon, discount)
    values = np.zeros((*batch, horizon + 1, n_states))
    policy = np.zeros((*batch, horizon, n_states), dtype=np.int64)
    for step in range(horizon - 1, -1, -1):
        following = values[..., step + 1, :]
        if isinstance(model, tuple):
            expected = action_values(model, following)
        else:
            expected = (model @ following[..., None, :, None])[..., 0]
        action_value = reward.T + discount * expected
        policy[..., step, :] = first_best(action_value, axis=-2)
        best = action_value.max(axis=-2)
        values[..., step, :] = np.clip(best, 0.0, ceiling[step]) if clip else best
    return values, policy


def policy_values(mdp: TabularMDP, policy: ActionTable, discount: float) -> Array:
    """True values of time-dependent policies in the MDP.

    Parameters
    ----------
    mdp : TabularMDP
        With a reward (S, A).
    policy : integer array (..., H, S)
        Action at each step and state; leading axes are a batch.
    discount : float in [0, 1]

    Returns
    -------
    array (..., H + 1, S)
        Entry h is what steps h, ..., H - 1 earn from each state, in units of reward; entry H is 0.

    Raises
    ------
    InputError
        Without a reward.

    Notes
    -----
    O(H A S^2) a policy.

    Examples
    --------
    Two states, of which the second pays 1: exchange them, then stay.

    >>> mdp = TabularMDP([np.eye(2), np.eye(2)[::-1]], reward=[0.0, 1.0])
    >>> policy_values(mdp, np.array([[1, 1], [0, 0]]), discount=0.5)
    array([[0.5, 1. ],
           [0. , 1. ],
           [0. , 0. ]])
    """
    reward = required_reward(mdp)
    *batch, horizon, n_states = policy.shape
    flat = policy.reshape(-1, horizon, n_states)
    values = np.zeros((len(flat), horizon + 1, n_states))
    states = np.arange(n_states)
    for step in range(horizon - 1, -1, -1):
        chosen = flat[:, step]
        expected = action_values(mdp.transition, values[:, step + 1].T)
        batch_index = np.arange(len(flat))[:, None]
        values[:, step] = reward[states, chosen] + discount * expected[chosen, states, batch_index]
    return values.reshape(*batch, horizon + 1, n_states)


def occupancy(mdp: TabularMDP, policy: ActionTable, start: Array | None = None) -> Array:
    """Law of (action, state) at each step under time-dependent policies.

    Parameters
    ----------
    mdp : TabularMDP
    policy : integer array (..., H, S)
        Action at each step and state; leading axes are a batch.
    start : array (S,), optional
        Law of the first state. Default: ``mdp.start``.

    Returns
    -------
    array (..., H, A, S)
        Probabilities; each step sums to 1.

    Raises
    ------
    InputError
        If ``start`` is not S finite numbers.

    Notes
    -----
    O(H A S^2) a policy. Source: docs/theory.md, 4.4, where it is d_h.

    Examples
    --------
    >>> mdp = TabularMDP([[[0.0, 1.0], [1.0, 0.0]]], start=[1.0, 0.0])
    >>> occupancy(mdp, np.zeros((2, 2), dtype=int))[:, 0]
    array([[1., 0.],
           [0., 1.]])
    """
    *batch, horizon, n_states = policy.shape
    flat = policy.reshape(-1, horizon, n_states)
    law = np.broadcast_to(mdp.start if start is None else as_float("start", start, (n_states,)), (len(flat), n_states))
    pairs = np.zeros((len(flat), horizon, mdp.n_actions, n_states))
    for step in range(horizon):
        np.put_along_axis(pairs[:, step], flat[:, step, None, :], law[:, None, :], axis=1)
        law = np.zeros((len(flat), n_states))
        for action, rows in enumerate(mdp.transition):
            law += (rows.T @ pairs[:, step, action].T).T
    return pairs.reshape(*batch, horizon, mdp.n_actions, n_states)
