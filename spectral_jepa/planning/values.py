"""Exact and model-based values by dynamic programming.

Backward induction takes any matrix for a model: a truncated Phat may be negative and need not sum to 1, so the values
are clipped to what rewards in [0, 1] can reach (docs/theory.md, 4.4). Leading axes are a batch (one model a latent
dimension, say).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._late import linalg, sparse_linalg
from spectral_jepa._late import sparse as sp
from spectral_jepa._notebook import short_repr
from spectral_jepa._signatures import checked
from spectral_jepa._validation import (
    Array,
    InputError,
    as_distribution,
    as_float,
    as_model,
    check_count,
    check_fraction,
    check_indices,
    require_memory,
    warn_user,
)
from spectral_jepa.mdp import TabularMDP, Transition

ActionTable = NDArray[np.int64]
# Scores this close (times 1 + |largest|) are ties and the lowest action wins, so that rounding does not choose the plan.
TIE_TOLERANCE = 1e-12
# Up to this many states, or this many entries within the band (64 million: 0.5 GiB), a policy is solved by a factorisation.
EXACT_STATES = 4096
BAND_ENTRIES = 2**26
# Above this share of non-zeros a dense factorisation is the faster one.
SPARSE_SHARE = 0.05
# Steps before the first exact one, and roundings below which an action is no better.
WARM_UP, ROUNDINGS = 5, 64
# Limits that no world should meet: policy iteration takes tens of policies.
MAX_POLICIES, MAX_SWEEPS, MAX_STEPS = 200, 1024, 20_000


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """Optimal discounted values and a policy that earns them. Made by :func:`optimal_values`.

    Attributes
    ----------
    values : array (S,)
        In units of reward.
    policy : integer array (S,)
        Greedy at the last step; what it earns is within the tolerance of ``values``. The first of equally good actions;
        where actions differ by less than rounding (or, in worlds too large to be solved exactly, by less than the
        tolerance), which one it takes is arbitrary.
    n_iterations : int
        Improvement steps taken.
    """

    values: Array
    policy: ActionTable
    n_iterations: int

    def __repr__(self) -> str:
        return short_repr(self)


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


@checked()
def optimal_values(mdp: TabularMDP, discount: float | None = None, *, tolerance: float = 1e-8) -> Solution:
    """Optimal values of an infinite horizon: modified policy iteration, then the greedy policy solved exactly.

    Parameters
    ----------
    mdp : TabularMDP
        With a reward (S, A).
    discount : float in [0, 1], optional
        Default: the MDP's own. 1 is solved where every policy ends for certain, or where never ending costs without limit
        (each action that a never-ending policy could take has a reward below 0) and an end can be reached from everywhere;
        the end is the states from which no reward can be earned.
    tolerance : float > 0
        Largest error of the values returned, in units of reward, where the world is too large to be solved exactly.

    Returns
    -------
    Solution
        ``|values - V*| <= tolerance``, or as near as rounding allows. Exactly 0 where no reward can be earned any more.

    Raises
    ------
    InputError
        Without a reward, with a tolerance that is not above 0, with a discount of 1 in a world that need not end, or with
        one so near 1 that a large world is not solved within the limit of steps.

    Warns
    -----
    UserWarning
        In a world too large to be solved exactly, where values are below the tolerance: the policy is arbitrary there.

    Notes
    -----
    Exact, by a factorisation for each policy tried, up to 4096 states, and beyond where states can be ordered so that moves
    are short (grids, tori); 5 to 30 policies are tried. Rounding then leaves an error of about 1e-16 / (1 - discount) times
    the largest value. Else O(A S^2) a step, stopped on the span of the Bellman residual (MacQueen's bounds).

    Examples
    --------
    >>> mdp = TabularMDP([np.eye(2)], reward=[1.0, 0.0], discount=0.5)
    >>> optimal_values(mdp).values.round(6)
    array([2., 0.])

    A walk of two steps that costs 1 each, undiscounted:

    >>> walk = TabularMDP([[[0, 1, 0], [0, 0, 1], [0, 0, 1]]], reward=[-1.0, -1.0, 0.0])
    >>> optimal_values(walk, 1.0).values
    array([-2., -1.,  0.])
    """
    reward, gamma = required_reward(mdp).T, required_discount(mdp, discount)
    if not tolerance > 0:
        raise InputError(f"tolerance is {tolerance}, expected a number above 0: values come from an iteration")
    stacked = sp.csr_array(sp.vstack(mdp.transition)) if mdp.is_sparse else None
    earning = _can_earn(mdp)
    policy = _ending_policy(mdp, earning) if gamma == 1 else reward.argmax(axis=0)
    exact = mdp.n_states <= EXACT_STATES or (stacked is not None and _is_banded(stacked, mdp.n_states))
    if gamma == 1 or exact:
        return _iterate_policies(mdp, stacked, reward, gamma, earning, policy)
    return _iterate_values(mdp, stacked, reward, gamma, earning, tolerance)


def _iterate_policies(
    mdp: TabularMDP,
    stacked: sp.csr_array | None,
    reward: Array,
    gamma: float,
    earning: NDArray[np.bool_],
    policy: ActionTable,
) -> Solution:
    """Howard's policy iteration; an action changes only for a gain above rounding, so that it ends."""
    states = np.arange(mdp.n_states)
    n_iterations = 0
    if gamma < 1:  # A few cheap steps first: a policy that sees further needs fewer exact ones.
        values = np.zeros(mdp.n_states)
        for _ in range(WARM_UP):
            n_iterations += 1
            action_value = reward + gamma * action_values(mdp.transition, values)
            policy = action_value.argmax(axis=0)
            rows = _policy_rows(mdp.transition, stacked, policy)
            values = _evaluate_partially(rows, reward[policy, states], action_value[policy, states], gamma, 20)
    for attempt in range(MAX_POLICIES):
        n_iterations += 1
        values = _evaluate(_policy_rows(mdp.transition, stacked, policy), reward[policy, states], gamma, earning)
        action_value = reward + gamma * action_values(mdp.transition, values)
        best, own = action_value.max(axis=0), action_value[policy, states]
        rounding = ROUNDINGS * np.finfo(float).eps * np.abs(action_value).max(axis=0)
        better = (best > own + rounding) & earning
        if not better.any():
            # Among equally good actions the first one, where no choice can delay the end for ever.
            first = policy if gamma == 1 else (action_value >= best - rounding).argmax(axis=0)
            return Solution(values, first, n_iterations)
        policy = np.where(better, action_value.argmax(axis=0), policy)
        # One exact step carries news one move far where nothing was known: more sweeps each time, so that few steps do.
        for _ in range(min(2**attempt, MAX_SWEEPS) - 1):
            action_value = reward + gamma * action_values(mdp.transition, action_value.max(axis=0))
            best, own = action_value.max(axis=0), action_value[policy, states]
            better = (best > own + ROUNDINGS * np.finfo(float).eps * np.abs(action_value).max(axis=0)) & earning
            policy = np.where(better, action_value.argmax(axis=0), policy)
    raise InputError(
        f"{mdp.name} is not solved after {MAX_POLICIES} policies, expected a gain above rounding in each: "
        "its rewards differ by more orders of magnitude than a float holds, so rescale them"
    )


def _iterate_values(
    mdp: TabularMDP,
    stacked: sp.csr_array | None,
    reward: Array,
    gamma: float,
    earning: NDArray[np.bool_],
    tolerance: float,
) -> Solution:
    """Modified policy iteration with MacQueen's bounds, where no factorisation fits."""
    values = np.full(mdp.n_states, reward.min() / (1 - gamma))
    states = np.arange(mdp.n_states)
    for n_iterations in range(1, MAX_STEPS + 1):
        action_value = reward + gamma * action_values(mdp.transition, values)
        policy = action_value.argmax(axis=0)
        improved = action_value[policy, states]
        low, high = (improved - values).min(), (improved - values).max()
        # V* lies in improved + gamma / (1 - gamma) [low, high] (MacQueen's bounds). A span of a few roundings cannot shrink.
        rounding = 4 * np.finfo(float).eps * np.abs(improved).max()
        if gamma * (high - low) <= max(2 * tolerance * (1 - gamma), rounding):
            values = np.where(earning, improved + gamma / (1 - gamma) * (low + high) / 2, 0.0)
            small = int(np.count_nonzero(earning & (np.abs(values) < tolerance)))
            if small:
                warn_user(
                    f"{small} of {mdp.n_states} values are below the tolerance {tolerance:g}, so the policy is arbitrary "
                    "there: lower tolerance, or scale the reward up",
                    UserWarning,
                )
            return Solution(values, policy, n_iterations)
        rows = _policy_rows(mdp.transition, stacked, policy)
        values = _evaluate_partially(rows, reward[policy, states], improved, gamma, 20)
    raise InputError(
        f"{mdp.name} with {mdp.n_states} states is not solved to tolerance {tolerance:g} after {MAX_STEPS} steps at "
        f"discount {gamma:.10g}, expected a discount further from 1: lower it, raise tolerance, or use backward_induction"
    )


def _policy_rows(transition: Transition, stacked: sp.csr_array | None, policy: ActionTable) -> Array | sp.csr_array:
    """P_pi (S, S)."""
    states = np.arange(len(policy))
    return transition[policy, states] if stacked is None else stacked[policy * len(policy) + states]  # type: ignore[call-overload]


def _evaluate_partially(rows: Array | sp.csr_array, reward: Array, values: Array, gamma: float, n_sweeps: int) -> Array:
    """Repeat V <- r_pi + gamma P_pi V a fixed number of times."""
    for _ in range(n_sweeps):
        values = reward + gamma * (rows @ values)
    return values


def _evaluate(rows: Array | sp.csr_array, reward: Array, gamma: float, earning: NDArray[np.bool_]) -> Array:
    """Solve V = r_pi + gamma P_pi V, with V = 0 where nothing can be earned."""
    chain = sp.csr_array(rows)
    n = chain.shape[0]
    scaled = sp.csr_array(sp.diags_array(gamma * earning) @ chain)
    target = np.where(earning, reward, 0.0)
    if chain.nnz > SPARSE_SHARE * n * n:
        values = linalg.solve(np.eye(n) - scaled.toarray(), target, assume_a="gen", check_finite=False)
    else:
        values = sparse_linalg.splu(sp.csc_array(sp.eye_array(n, format="csc") - scaled.tocsc())).solve(target)
    return np.where(earning, values, 0.0)


def _supports(mdp: TabularMDP) -> list[sp.csr_array]:
    """Where each action may lead, one sparse matrix of ones an action."""
    matrices = [sp.csr_array(rows) for rows in mdp.transition]
    for matrix in matrices:
        matrix.eliminate_zeros()
    return [sp.csr_array((np.ones(m.nnz), m.indices, m.indptr), shape=m.shape) for m in matrices]


def _can_earn(mdp: TabularMDP) -> NDArray[np.bool_]:
    """States from which some policy can meet a reward other than 0; all others are worth exactly 0."""
    seeds = (required_reward(mdp) != 0).any(axis=1)
    if not seeds.any():
        return seeds
    if isinstance(mdp.transition, tuple):
        supports = _supports(mdp)
        moves = sum(supports[1:], supports[0])
    else:
        moves = sp.csr_array((mdp.transition > 0).any(axis=0).astype(np.float64))
    return _can_reach(moves, seeds)


def _can_reach(moves: sp.csr_array, goal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """States from which some moves lead into a set, that set included: one search backwards from a node before it."""
    n = goal.size
    backward = sp.csr_array(moves.T)
    into = sp.csr_array(goal.astype(np.float64)[None, :])
    graph = sp.block_array([[sp.csr_array((1, 1)), into], [sp.csr_array((n, 1)), backward]], format="csr")
    from scipy.sparse.csgraph import breadth_first_order

    order = breadth_first_order(graph, 0, return_predecessors=False)
    found = np.zeros(n + 1, dtype=bool)
    found[order] = True
    return found[1:]


def _ending_policy(mdp: TabularMDP, earning: NDArray[np.bool_]) -> ActionTable:
    """A policy that ends for certain from every state, where undiscounted values exist; else one sentence."""
    supports = _supports(mdp)
    reward = required_reward(mdp)
    inside: NDArray[np.bool_] = earning.copy()
    while True:  # The largest set that some policy never leaves.
        stays = np.stack([inside & ((support @ (~inside).astype(float)) == 0) for support in supports])
        kept = np.asarray(stays.any(axis=0))
        if (kept == inside).all():
            break
        inside = kept
    advice = (
        "expected a number in [0, 1) for an infinite horizon that need not end: lower it, or use backward_induction instead"
    )
    free = np.argwhere(stays & (reward.T >= 0))
    if free.size:
        action, state = free[0]
        raise InputError(
            f"discount is 1, but in {mdp.name} a policy that takes action {action} in state {state} (reward "
            f"{reward[state, action]:.6g}) may never end, {advice}"
        )
    ending = ~earning
    policy = np.zeros(mdp.n_states, dtype=np.int64)
    while not ending.all():
        nearer = np.stack([(support @ ending.astype(float)) > 0 for support in supports])
        new = ~ending & nearer.any(axis=0)
        if not new.any():
            raise InputError(
                f"discount is 1, but no end can be reached from state {int(np.argmin(ending))} of {mdp.name}, {advice}"
            )
        policy[new] = nearer.argmax(axis=0)[new]
        ending |= new
    return policy


def _is_banded(stacked: sp.csr_array, n_states: int) -> bool:
    """Whether states can be ordered so that a factorisation of S times the bandwidth entries is small."""
    n_actions = stacked.shape[0] // n_states
    union = sp.csr_array(sum((stacked[a * n_states : (a + 1) * n_states] for a in range(1, n_actions)), stacked[:n_states]))
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    order = reverse_cuthill_mckee(union, symmetric_mode=False)
    place = np.empty(n_states, dtype=np.int64)
    place[order] = np.arange(n_states)
    entries = union.tocoo()
    width = int(np.abs(place[entries.coords[0]] - place[entries.coords[1]]).max())
    return n_states * width <= BAND_ENTRIES


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


@checked()
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
        A horizon that is no whole number above 0, a discount outside [0, 1], a model and a reward of different shapes, NaN.

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
    discount = check_fraction("discount", discount)
    n_states, n_actions = as_float("reward", reward, (None, None)).shape
    model = as_model("model", model, n_actions, n_states)
    batch = () if isinstance(model, tuple) else model.shape[:-3]
    require_memory((*batch, horizon + 1, n_states), "the table of values", "lower the horizon", copies=2)
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


@checked()
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
        Without a reward, with a discount outside [0, 1], or with a policy of another world.

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
    reward, discount = required_reward(mdp), check_fraction("discount", discount)
    policy = _as_policy(mdp, policy)
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


@checked()
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
        A policy of another world, or a ``start`` that is no law of its states.

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
    policy = _as_policy(mdp, policy)
    *batch, horizon, n_states = policy.shape
    flat = policy.reshape(-1, horizon, n_states)
    law = np.broadcast_to(mdp.start if start is None else as_distribution("start", start, n_states), (len(flat), n_states))
    pairs = np.zeros((len(flat), horizon, mdp.n_actions, n_states))
    for step in range(horizon):
        np.put_along_axis(pairs[:, step], flat[:, step, None, :], law[:, None, :], axis=1)
        law = np.zeros((len(flat), n_states))
        for action, rows in enumerate(mdp.transition):
            law += (rows.T @ pairs[:, step, action].T).T
    return pairs.reshape(*batch, horizon, mdp.n_actions, n_states)


def _as_policy(mdp: TabularMDP, policy: ActionTable) -> ActionTable:
    """Check that a table of actions (..., H, S) is one of this world."""
    if policy.ndim < 2 or policy.shape[-1] != mdp.n_states or not policy.size:
        raise InputError(
            f"policy has shape {policy.shape}, expected (..., steps, {mdp.n_states}) as {mdp.name} has {mdp.n_states} "
            "states: give one action for each step and state"
        )
    return check_indices("policy", policy, mdp.n_actions, "action")
