"""The worlds on which the planning theorems fail as printed (docs/theory.md, section 3), and their simple relatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._signatures import checked
from spectral_jepa._validation import (
    Array,
    InputError,
    as_float,
    as_number,
    check_count,
    check_fraction,
    require_memory,
)
from spectral_jepa.generators._common import Seed, as_generator, require_dense
from spectral_jepa.mdp import TabularMDP

GAUGE_PERMUTATIONS = ((0, 2, 1), (1, 0, 2))


@checked()
def make_reset(n_states: int = 4, noise: float = 0.1, *, discount: float | None = None) -> TabularMDP:
    """Reset MDP: action a sends every state to state a, or anywhere with probability ``noise``.

    P(y|x,a) = (1 - noise) 1[y = a] + noise / S does not depend on x, so the co-occurrence of every action has rank one
    and all that an action does sits in its marginal w+(.|a), which g^T f cannot see.

    Parameters
    ----------
    n_states : int
        Number of states and of actions.
    noise : float in [0, 1]
        Probability of a uniformly random state instead (the target included).
    discount : float in [0, 1], optional
        Discount factor, for a reward added later.

    Returns
    -------
    TabularMDP
        Dense, uniform ``weight``, no reward.

    Raises
    ------
    InputError
        ``n_states`` or ``noise`` out of range.

    Notes
    -----
    O(S^3). Source: docs/theory.md, section 3.1; refutes arXiv 2606.27014, Thm 4.1 and 4.2, as printed.

    Examples
    --------
    >>> make_reset(n_states=2, noise=0.1).transition[1]
    array([[0.05, 0.95],
           [0.05, 0.95]])
    """
    n_states, noise = check_count("n_states", n_states), check_fraction("noise", noise)
    require_dense(n_states, n_states, "use fewer states")
    rows = (1 - noise) * np.eye(n_states) + noise / n_states
    return TabularMDP(np.repeat(rows[:, None, :], n_states, axis=1), discount=discount, name="reset")


@checked()
def make_permutation(
    n_states: int = 6,
    n_actions: int = 2,
    *,
    permutations: ArrayLike | None = None,
    discount: float | None = None,
    seed: Seed = 0,
) -> TabularMDP:
    """Deterministic, reversible MDP: each action permutes the states, so every singular value is 1.

    Parameters
    ----------
    n_states, n_actions : int
        Sizes S and A of random permutations. Ignored when ``permutations`` is given.
    permutations : integer array (A, S), optional
        ``permutations[a][x]`` is the state that action a leads to from x.
    discount : float in [0, 1], optional
        Discount factor, for a reward added later.
    seed : int or Generator
        Seed of the random permutations.

    Returns
    -------
    TabularMDP
        Dense, uniform ``weight`` (stationary for every action), no reward.

    Raises
    ------
    InputError
        A size out of range, or a row of ``permutations`` that is not one.

    Notes
    -----
    O(A S^2). The approximation error tail_k = S - k has no decay (docs/theory.md, section 2.8).

    Examples
    --------
    >>> make_permutation(permutations=[(1, 2, 0)]).transition[0]
    array([[0., 1., 0.],
           [0., 0., 1.],
           [1., 0., 0.]])
    """
    if permutations is None:
        n_states, n_actions = check_count("n_states", n_states), check_count("n_actions", n_actions)
        require_dense(n_actions, n_states)
        targets = as_generator(seed).permuted(np.tile(np.arange(n_states), (n_actions, 1)), axis=1)
    else:
        targets = np.asarray(permutations)
        if targets.ndim != 2 or 0 in targets.shape or not np.issubdtype(targets.dtype, np.integer):
            raise InputError(
                f"permutations has shape {targets.shape} and dtype {targets.dtype}, expected whole numbers "
                "of shape (actions, states): give one row for each action"
            )
        wrong = np.flatnonzero((np.sort(targets, axis=1) != np.arange(targets.shape[1])).any(axis=1))
        if wrong.size:
            row = int(wrong[0])
            raise InputError(
                f"permutations[{row}] is {targets[row].tolist()}, expected each of 0 to {targets.shape[1] - 1} once: "
                "mend that row"
            )
    require_dense(len(targets), targets.shape[1])
    return TabularMDP(np.eye(targets.shape[1])[targets], discount=discount, name="permutation")


@checked()
def make_two_state(
    p: float | Sequence[float] = 0.3,
    q: float | Sequence[float] = 0.2,
    *,
    weight: ArrayLike | None = None,
    discount: float | None = None,
) -> TabularMDP:
    """Two states: leave state 0 with probability p, leave state 1 with probability q.

    Parameters
    ----------
    p, q : float or sequence of A floats
        One value for each action; a single number serves all actions.
    weight : array (2,), optional
        Data law. Default: uniform.
    discount : float in [0, 1], optional
        Discount factor, for a reward added later.

    Returns
    -------
    TabularMDP
        Dense, P_a = [[1 - p_a, p_a], [q_a, 1 - q_a]], no reward.

    Raises
    ------
    InputError
        A probability outside [0, 1], or p and q of different lengths.

    Notes
    -----
    Second singular value: :func:`two_state_singular_values`. Source: docs/theory.md, section 2.9.

    Examples
    --------
    >>> make_two_state(p=[0.4, 0.5], q=[1.0, 0.0]).transition
    array([[[0.6, 0.4],
            [1. , 0. ]],
    <BLANKLINE>
           [[0.5, 0.5],
            [0. , 1. ]]])
    """
    leave_0, leave_1 = (as_float(name, np.atleast_1d(v), (None,)) for name, v in (("p", p), ("q", q)))
    if len(leave_0) != len(leave_1) and 1 not in (len(leave_0), len(leave_1)):
        raise InputError(
            f"p has {len(leave_0)} entries and q has {len(leave_1)}, expected the same number: give one an action"
        )
    for name, values in (("p", leave_0), ("q", leave_1)):
        for value in values:
            check_fraction(name, value)
    leave_0, leave_1 = np.broadcast_arrays(leave_0, leave_1)
    transition = np.stack([np.stack([1 - leave_0, leave_0], axis=-1), np.stack([leave_1, 1 - leave_1], axis=-1)], axis=1)
    return TabularMDP(transition, weight=weight, discount=discount, name="two states")  # type: ignore[arg-type]


@checked()
def make_scatter(n_states: int = 6, reach: float | None = None, *, discount: float | None = None) -> TabularMDP:
    """Scatter MDP: action 0 leaps anywhere, action c moves c places on along a ring with probability ``reach``, else stays.

    Every action commutes with shifts, so all keep the uniform law. A move's outcome is one of two states, the leap's any:
    with an exact white encoder the Euclidean planner leaps for every goal but the one where it stands, up to a reach of
    1 - sqrt((S - 1) / (2 S)), and each time loses reach - 1 / S (for a reach above 1 / S, so from three states on at the
    default).

    Parameters
    ----------
    n_states : int
        Number of states and of actions, at least 2.
    reach : float in [0, 1], optional
        Default: 1 - 1 / sqrt(2) + 1 / (3 S), just below that threshold; at most 1.
    discount : float in [0, 1], optional
        Discount factor, for a reward added later.

    Returns
    -------
    TabularMDP
        Dense, uniform ``weight`` (stationary for every action), no reward.

    Raises
    ------
    InputError
        ``n_states`` or ``reach`` out of range.

    Notes
    -----
    O(S^3). Source: docs/negatives.md, section 2; refutes arXiv 2606.27014, Thm 4.1, with its own planner.

    Examples
    --------
    >>> make_scatter(4, reach=0.25).transition[:2, 0]
    array([[0.25, 0.25, 0.25, 0.25],
           [0.75, 0.25, 0.  , 0.  ]])
    """
    n_states = check_count("n_states", n_states, 2)
    require_dense(n_states, n_states, "use fewer states")
    reach = 1 - 1 / np.sqrt(2) + 1 / (3 * n_states) if reach is None else check_fraction("reach", reach)
    places = np.arange(n_states)
    moved = np.eye(n_states)[(places[:, None] + places[None, :]) % n_states]  # [action, state, next state]
    transition = reach * moved + (1 - reach) * np.eye(n_states)
    transition[0] = 1 / n_states
    return TabularMDP(transition, discount=discount, name="scatter")


@checked()
def with_leap(mdp: TabularMDP, reach: float = 0.3) -> TabularMDP:
    """The same world with reluctant actions and a way to anywhere: what the Euclidean planner may fall for.

    Each action does what it did with probability ``reach`` and nothing otherwise; a last action leaps to a state drawn
    uniformly.

    Parameters
    ----------
    mdp : TabularMDP
    reach : float in [0, 1]

    Returns
    -------
    TabularMDP
        Dense, one action more ("leap" if actions have labels), uniform action frequency, without a reward; other settings as
        before.

    Raises
    ------
    InputError
        If ``reach`` is out of range.

    Notes
    -----
    O(A S^2). Source: docs/negatives.md, section 5.

    Examples
    --------
    >>> with_leap(make_permutation(permutations=[(1, 0)]), reach=0.25).transition
    array([[[0.75, 0.25],
            [0.25, 0.75]],
    <BLANKLINE>
           [[0.5 , 0.5 ],
            [0.5 , 0.5 ]]])
    """
    reach, n_states = check_fraction("reach", reach), mdp.n_states
    require_dense(mdp.n_actions + 1, n_states, "use fewer states")
    slow = reach * mdp.dense() + (1 - reach) * np.eye(n_states)
    leap = np.full((1, n_states, n_states), 1 / n_states)
    return replace(
        mdp,
        transition=np.concatenate([slow, leap]),
        reward=None,
        action_frequency=None,  # type: ignore[arg-type]
        name=f"{mdp.name} with a leap",
        action_labels=None if mdp.action_labels is None else (*mdp.action_labels, "leap"),
    )


@checked()
def rare_outcome_counterexample(rarity: float = 0.05) -> TabularMDP:
    """Four states x0, z, y, u: exact, white, equal stationary marginals, and yet Euclidean regret near 1 from x0 to y.

    From x0 action 0 leads to the goal y, but for a little that lands in the much rarer z; action 1 draws the next state from
    the data law itself. The white encoder puts z so far out that the Euclidean planner shuns action 0.

    Parameters
    ----------
    rarity : float in (0, 1/4)
        w(y); with half of it, e: w(x0) = e^2, w(z) = e^3, and action 0 misses y with probability e.

    Returns
    -------
    TabularMDP
        Dense; ``weight`` is stationary for both actions; no reward.

    Raises
    ------
    InputError
        If ``rarity`` is out of range.

    Notes
    -----
    Regret from x0 to y is 1 - 3 rarity / 2. Source: docs/negatives.md, section 2.

    Examples
    --------
    >>> rare_outcome_counterexample(0.2).transition[:, 0].round(3)  # from x0
    array([[0.   , 0.1  , 0.9  , 0.   ],
           [0.01 , 0.001, 0.2  , 0.789]])
    """
    if not 0 < as_number("rarity", rarity) < 0.25:
        raise InputError(f"rarity is {rarity}, expected a number between 0 and 1/4: it is the weight of the goal")
    miss = rarity / 2
    weight = np.array([miss**2, miss**3, rarity, 0.0])
    weight[3] = 1 - weight.sum()
    aimed = np.array([0.0, miss, 1 - miss, 0.0])
    # The other rows share what is left of the columns, so that action 0 keeps the data law, too.
    rest = (weight - weight[0] * aimed) / (1 - weight[0])
    transition = np.stack([np.stack([aimed, rest, rest, rest]), np.tile(weight, (4, 1))])
    return TabularMDP(transition, weight=weight, name="rare outcome")


def reset_counterexample() -> TabularMDP:
    """Four states, noise 0.1: regret .675 where the printed Thm 4.1 promises .0048, at angle .05.

    Returns
    -------
    TabularMDP
        Dense, A = S = 4, uniform ``weight``, no reward.

    Notes
    -----
    Source: docs/theory.md, section 3.1. The embedding is that of :func:`reset_embedding_arrays`.

    Examples
    --------
    >>> from spectral_jepa import CoOccurrence, Embedding, plan_goals
    >>> from spectral_jepa.theory import printed_single_step_bound
    >>> mdp = reset_counterexample()
    >>> fooled = Embedding(*reset_embedding_arrays(angle=0.05), mdp.next_weight)
    >>> plan = plan_goals(mdp, fooled, score="dot")
    >>> promised = printed_single_step_bound(CoOccurrence.exact(mdp), fooled, plan)
    >>> round(plan.mean_regret, 3), round(promised.value, 4)
    (0.675, 0.0048)
    """
    return make_reset(n_states=4, noise=0.1)


def two_state_counterexample() -> TabularMDP:
    """Exact embedding, zero risk, and yet mean regret .05: of the dot planner always, of the Euclidean one if f is shared.

    Returns
    -------
    TabularMDP
        Dense, A = S = 2, uniform ``weight``, no reward.

    Notes
    -----
    Source: docs/theory.md, section 3.2.

    Examples
    --------
    >>> from spectral_jepa import CoOccurrence, plan_goals, spectral_embedding
    >>> mdp = two_state_counterexample()
    >>> mdp.next_weight
    array([[0.8 , 0.2 ],
           [0.25, 0.75]])
    >>> own = spectral_embedding(CoOccurrence.exact(mdp), 2)
    >>> [round(plan_goals(mdp, own, score=score).mean_regret, 12) for score in ("dot", "euclidean")]
    [0.05, 0.0]

    The paper's planner is the Euclidean one. It errs with one encoder for both actions, f(y) = e_y and g = P / w+:

    >>> from spectral_jepa import Embedding
    >>> shared = Embedding(np.eye(2), mdp.transition / mdp.next_weight[:, None], mdp.next_weight)
    >>> [round(plan_goals(mdp, shared, score=score).mean_regret, 12) for score in ("dot", "euclidean")]
    [0.05, 0.05]
    """
    return make_two_state(p=(0.4, 0.5), q=(1.0, 0.0))


def gauge_counterexample() -> TabularMDP:
    """Three states and two permutations: zero risk, and yet latent rollouts plan wrongly at T = 3.

    Returns
    -------
    TabularMDP
        Dense and deterministic, uniform ``weight``, no reward.

    Notes
    -----
    Source: docs/theory.md, section 3.3. The embedding is that of :func:`gauge_embedding_arrays`.

    Examples
    --------
    Of nine pairs of start and goal five go wrong, and none where the operator carries the latent.

    >>> from spectral_jepa import Embedding, plan_goals
    >>> mdp = gauge_counterexample()
    >>> unlucky = Embedding(*gauge_embedding_arrays(), mdp.next_weight)
    >>> plans = [plan_goals(mdp, unlucky, horizon=3, score="dot", rollout=rollout) for rollout in ("latent", "operator")]
    >>> [int(plan.regret.sum()) for plan in plans]
    [5, 0]
    """
    return make_permutation(permutations=GAUGE_PERMUTATIONS)


@checked()
def rare_state_counterexample(rarity: float = 1e-4) -> TabularMDP:
    """Five states x0, s, r, y, z: a plan must pass through s, which the data hardly visit.

    Both actions send x0 to s and keep y and z; action 0 sends s to y and r to z, action 1 the other way round. The law of
    the next state is the same for both actions, and yet Thm 4.2 fails, where its c3 runs over the start and goal of the plan
    (over all pairs of states its bound is vacuous here): the data law is not stationary.

    Parameters
    ----------
    rarity : float in (0, 1/4)
        w(s) = w(r).

    Returns
    -------
    TabularMDP
        Dense and deterministic, ``weight`` (1/2, rarity, rarity, 1/4 - rarity, 1/4 - rarity), no reward.

    Raises
    ------
    InputError
        If ``rarity`` is out of range.

    Notes
    -----
    Source: docs/theory.md, section 3.4.

    Examples
    --------
    >>> rare_state_counterexample().next_weight
    array([[0.  , 0.5 , 0.  , 0.25, 0.25],
           [0.  , 0.5 , 0.  , 0.25, 0.25]])
    """
    if not 0 < as_number("rarity", rarity) < 0.25:
        raise InputError(f"rarity is {rarity}, expected a number between 0 and 1/4: it is the weight of two states of five")
    successor = np.array([[1, 3, 4, 3, 4], [1, 4, 3, 3, 4]])
    weight = np.array([0.5, rarity, rarity, 0.25 - rarity, 0.25 - rarity])
    return TabularMDP(np.eye(5)[successor], weight=weight, name="rare state")


def rare_state_embedding_arrays() -> tuple[Array, Array]:
    """The exact embedding of :func:`rare_state_counterexample`, but with the two actions exchanged at s.

    Returns
    -------
    target : array (5, 5)
        f(y) = e_y.
    predicted : array (2, 5, 5)
        g(f(x), a) = P'(.|x, a) / w+, with P' the transitions after the exchange.

    Notes
    -----
    R_S(a) = 8 rarity, because s is rare; every plan through s is wrong. Source: docs/theory.md, section 3.4.

    Examples
    --------
    >>> target, predicted = rare_state_embedding_arrays()
    >>> predicted[0, 1]  # action 0 at s: believed to lead to z
    array([0., 0., 0., 0., 4.])
    """
    mdp = rare_state_counterexample()
    believed = np.array(mdp.transition)
    believed[:, 1] = believed[::-1, 1]
    next_weight = mdp.next_weight[0]
    return np.eye(5), believed * np.where(next_weight > 0, 1 / np.where(next_weight > 0, next_weight, 1.0), 0.0)


@checked()
def reset_embedding_arrays(n_states: int = 4, angle: float = 0.05) -> tuple[Array, Array]:
    """The unit-norm embedding that fools the planner on the reset MDP.

    Parameters
    ----------
    n_states : int
        Number of states and actions of :func:`make_reset`.
    angle : float
        In radians; predictions of actions 1, 2, ... are turned by it, that of action 0 is not.

    Returns
    -------
    target : array (S, 2)
        f(x) = (1, 0) for all x.
    predicted : array (A, S, 2)
        g(f(x), a) = (cos, sin) of 0 for a = 0 and of ``angle`` otherwise.

    Raises
    ------
    InputError
        ``n_states`` below 1 or an angle that is not finite.

    Notes
    -----
    Risk R_S(a) = (1 - cos angle)^2 for a > 0 and 0 for a = 0. Source: docs/theory.md, section 3.1.

    Examples
    --------
    >>> target, predicted = reset_embedding_arrays(n_states=3, angle=np.pi / 2)
    >>> target.shape, predicted.shape, predicted[1, 0].round(12)
    ((3, 2), (3, 3, 2), array([0., 1.]))
    """
    n_states = check_count("n_states", n_states)
    require_memory((n_states, n_states, 2), "the embedding", "use fewer states")
    angles = np.where(np.arange(n_states) == 0, 0.0, as_float("angle", angle, ()))
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    target = np.tile([1.0, 0.0], (n_states, 1))
    return target, np.repeat(directions[:, None, :], n_states, axis=1)


def gauge_embedding_arrays() -> tuple[Array, Array]:
    """An exact embedding of :func:`gauge_counterexample` in an unlucky gauge.

    Returns
    -------
    target : array (3, 3)
        f(x) = sqrt(3) Q e_x with Q = [[1, 0, 0], [0, 1, -1], [0, 0, 1]].
    predicted : array (2, 3, 3)
        g(f(x), a) = W_a f(x) with W_a = Q^-T Perm_a^T Q^-1. The three f(x) are a basis, so these arrays determine W_a:
        its transpose is ``np.linalg.solve(target, predicted[a])``.

    Notes
    -----
    g^T f reproduces P exactly (zero risk), but W_a maps f(x) to Q^-T e_y instead of Q e_y, so a second step starts from the
    wrong place. Source: docs/theory.md, section 3.3.

    Examples
    --------
    >>> target, predicted = gauge_embedding_arrays()
    >>> (predicted[0] @ target.T).round(12) / 3 + 0.0  # the first permutation, (0, 2, 1)
    array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 1., 0.]])
    """
    gauge = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]])
    target = np.sqrt(3) * gauge.T
    permutations = np.eye(3)[np.asarray(GAUGE_PERMUTATIONS)]  # [a, x, y]
    inverse = np.linalg.inv(gauge)
    linear = inverse.T @ permutations.transpose(0, 2, 1) @ inverse
    return target, target @ linear.transpose(0, 2, 1)
