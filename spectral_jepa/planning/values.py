"""Exact and model-based values by dynamic programming.

Backward induction takes any matrix for a model: a truncated Phat may be negative and need not sum to 1, so the values
are clipped to what rewards in [0, 1] can reach. Leading axes are a batch (one model a latent dimension, say).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spectral_jepa._validation import Array, InputError, as_float, check_count, check_fraction
from spectral_jepa.mdp import TabularMDP, Transition

Policy = NDArray[np.int64]
# Scores this close (relative) are ties and the lowest action wins, so that rounding does not choose the plan.
TIE_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Solution:
    """Optimal values (S,), a greedy policy (S,) and the number of improvement steps."""

    values: Array
    policy: Policy
    n_iterations: int


def first_best(scores: Array, axis: int) -> Policy:
    """Index of the largest score along an axis; ties within 1e-12 (relative) go to the lowest index.

    Examples
    --------
    >>> int(first_best(np.array([0.3, 0.1 + 0.2]), axis=0))
    0
    """
    top = scores.max(axis=axis, keepdims=True)
    return (scores >= top - TIE_TOLERANCE * (1 + np.abs(top))).argmax(axis=axis)


def required_reward(mdp: TabularMDP) -> Array:
    """The reward (S, A), or one sentence that says it is missing."""
    if mdp.reward is None:
        raise InputError(f"{mdp.name} has no reward, expected an array (S, A): pass reward= when building the MDP")
    return mdp.reward


def required_discount(mdp: TabularMDP, discount: float | None) -> float:
    """The discount given, else the MDP's own, else 1 (plain finite horizon)."""
    chosen = discount if discount is not None else mdp.discount
    return 1.0 if chosen is None else check_fraction("discount", chosen)


def action_values(transition: Transition, values: Array) -> Array:
    """Expected next value of every pair: sum_y P(y|x,a) V(y), shape (A, S) for V (S,), or (A, S, K) for V (S, K)."""
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
    tolerance : float
        Largest error of the values returned, in units of reward.

    Returns
    -------
    Solution
        ``|values - V*| <= tolerance``; stops on the span of the Bellman residual, so O(A S^2) a step and few steps.

    Raises
    ------
    InputError
        Without a reward, or with a discount of 1 (no fixed point).

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
    transition: Transition, reward: Array, policy: Policy, values: Array, gamma: float, n_sweeps: int
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
    """Largest value of the remaining steps for rewards in [0, 1]: entry h is (1 - gamma^{H-h}) / (1 - gamma), (H + 1,).

    Examples
    --------
    >>> value_ceiling(2, 1.0)
    array([2., 1., 0.])
    """
    remaining = np.arange(horizon, -1, -1)
    return np.cumsum(discount ** np.arange(horizon + 1.0))[remaining] - discount ** remaining.astype(float)


def backward_induction(
    model: Transition, reward: Array, horizon: int, discount: float = 1.0, *, clip: bool = True
) -> tuple[Array, Policy]:
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
    values (..., H + 1, S) with values[..., H, :] = 0, and policy (..., H, S). O(H A S^2) a model.

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


def policy_values(mdp: TabularMDP, policy: Policy, discount: float) -> Array:
    """True values of time-dependent policies (..., H, S) in the MDP, shape (..., H + 1, S). O(H A S^2 batch)."""
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


def occupancy(mdp: TabularMDP, policy: Policy, start: Array | None = None) -> Array:
    """Law of (action, state) at each step under time-dependent policies, shape (..., H, A, S); each step sums to 1.

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
