"""Regret bounds for goal reaching: as printed (Thm 4.1, 4.2), and corrected (docs/theory.md, 4.1-4.3).

Every bound is about the plan that was made: it takes the :class:`GoalPlan` and says which of its assumptions that plan
and that world meet. The ceiling is the mean value of the best plan: no plan can lose more than that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.linalg import inverse_or_zero
from spectral_jepa.planning.goal import GoalPlan
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.risks import _check_spaces, spectral_risk, transition_risk

PAPER = "arXiv 2606.27014"
QUANTITY = "mean goal regret (probability)"
TOLERANCE = 1e-10
# Pairs of a plan of several steps whose probability is computed again.
CHECKED_GOALS = 8


def check_plan(exact: CoOccurrence, plan: GoalPlan, embedding: Embedding | None = None) -> None:
    """Check that a plan was made in the world, and an embedding on the spaces, that a bound is asked for.

    The probability that the plan says it reaches is compared with the world's: of all pairs at one step, of some at more.
    Estimated co-occurrences, and starts that the data never visit, say nothing of it.

    Parameters
    ----------
    exact : CoOccurrence
    plan : GoalPlan
    embedding : Embedding, optional

    Raises
    ------
    InputError
        Other spaces, or other probabilities.

    Notes
    -----
    O(n m), or O(T S^2) at T steps.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP, plan_goals, spectral_embedding
    >>> mdp, other = TabularMDP([np.eye(3)]), TabularMDP([np.roll(np.eye(3), 1, axis=1)])
    >>> plan = plan_goals(mdp, spectral_embedding(CoOccurrence.exact(mdp), 3))
    >>> check_plan(CoOccurrence.exact(other), plan)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: the plan reaches goal 0 from start 0 with probability 1, expected 0 as in the \
    co-occurrence: plan in the world that it was made from
    """
    if embedding is not None:
        _check_spaces(exact, embedding)
    ids = [*plan.starts, *plan.goals]
    if plan.n_actions != exact.n_actions or (ids and max(ids) >= exact.n_states):
        raise InputError(
            f"the plan has {plan.n_actions} actions and states up to {max(ids, default=0)}, expected {exact.n_actions} "
            f"actions and {exact.n_states} states as in the co-occurrence: plan in the world that it was made from"
        )
    if exact.n_samples is not None:
        return
    known = np.flatnonzero((exact.row_weight[:, plan.starts] > 0).all(axis=0))
    conditional = exact.conditional()
    if plan.horizon == 1:
        there = conditional[plan.best_sequence, plan.starts[:, None], plan.goals[None, :]]
        off = np.abs(there - plan.best)[known]
        where = np.unravel_index(np.argmax(off), off.shape) if off.size else (0, 0)
        pairs = [(int(known[where[0]]), int(where[1]))] if off.size else []
    else:
        there = np.full(plan.best.shape, np.nan)
        pairs = [(int(start), goal) for start in known[:1] for goal in range(min(len(plan.goals), CHECKED_GOALS))]
        for start, goal in pairs:
            law = np.zeros(exact.n_states)
            law[plan.starts[start]] = 1.0
            for action in plan.actions(plan.best_sequence[start, goal]):
                law = law @ conditional[action]
            # Where mass is lost in a state that the data never leave, the world's probability is not known.
            there[start, goal] = law[plan.goals[goal]] if abs(law.sum() - 1) < 1e-6 else plan.best[start, goal]
    for start, goal in pairs:
        if abs(there[start, goal] - plan.best[start, goal]) > 1e-6:
            raise InputError(
                f"the plan reaches goal {plan.goals[goal]} from start {plan.starts[start]} with probability "
                f"{plan.best[start, goal]:.6g}, expected {there[start, goal]:.6g} as in the co-occurrence: plan in the "
                "world that it was made from"
            )


def _pointwise_errors(exact: CoOccurrence, embedding: Embedding, plan: GoalPlan) -> Array:
    """|P - Phat|(goal | start) summed over the best and the planned action of each pair, shape (n, m); infinite at T > 1."""
    if plan.horizon > 1:
        return np.full(plan.best.shape, np.inf)
    error = np.abs(exact.conditional() - embedding.transition())[:, plan.starts][:, :, plan.goals]
    error[:, (exact.row_weight[:, plan.starts] == 0).any(axis=0)] = np.inf  # the data know nothing of such a start
    pair = tuple(np.indices(plan.best_sequence.shape))
    return error[(plan.best_sequence, *pair)] + error[(plan.planned_sequence, *pair)]


@checked()
def pointwise_single_step_bound(exact: CoOccurrence, embedding: Embedding, plan: GoalPlan) -> Bound:
    """Regret <= sum over the best and the planned action of sqrt(w+(g|a) / w(x)) |delta_a(x, g)|, averaged over pairs.

    True for any f, g and any marginals, because the planner maximises Phat itself.

    Parameters
    ----------
    exact : CoOccurrence
        Of the world planned in.
    embedding : Embedding
        That the plan was made with.
    plan : GoalPlan

    Returns
    -------
    Bound
        On the mean regret; infinite at T > 1, or where the data know nothing of a start.

    Raises
    ------
    InputError
        A plan of another world, or an embedding of other spaces.

    Notes
    -----
    O(A S^2 k). Source: docs/theory.md, 4.1, in its absolute form.

    Examples
    --------
    Phat is .5 throughout, so the first action is planned: right for two pairs, which cost .4 + .4 each, wrong for two, which
    cost .4 + .2 each and have regret .6.

    >>> from spectral_jepa import TabularMDP, plan_goals, spectral_embedding
    >>> mdp = TabularMDP([[[0.9, 0.1], [0.1, 0.9]], [[0.3, 0.7], [0.7, 0.3]]])
    >>> exact = CoOccurrence.exact(mdp)
    >>> poor = spectral_embedding(exact, 1)
    >>> plan = plan_goals(mdp, poor)
    >>> bound = pointwise_single_step_bound(exact, poor, plan)
    >>> round(plan.mean_regret, 3), round(bound.value, 3), bound.holds
    (0.3, 0.7, True)
    """
    check_plan(exact, plan, embedding)
    return Bound(
        plan.average(_pointwise_errors(exact, embedding, plan)),
        QUANTITY,
        plan.average(plan.best),
        (_one_step(plan), _scores_transition(plan)),
        "corrected single-step bound (docs/theory.md, 4.1)",
    )


@checked()
def averaged_single_step_bound(exact: CoOccurrence, embedding: Embedding, plan: GoalPlan) -> Bound:
    """Mean regret <= sqrt(2 sum_y q(y)^2 max_a w+(y|a)) sqrt(sum_a R_S(a)), starts ~ w, goals ~ q.

    R_S(a) is the weighted error of the Phat that the planner uses; uniform laws give (sqrt(2)/n) sqrt(sum_a R_S(a)).
    The constant sqrt(2), not 2, because the best and the planned action differ wherever there is regret; it is attained.

    Parameters
    ----------
    exact : CoOccurrence
        Of the world planned in.
    embedding : Embedding
        That the plan was made with.
    plan : GoalPlan

    Returns
    -------
    Bound
        On the mean regret; infinite where Phat puts mass on a next state that never occurs.

    Raises
    ------
    InputError
        A plan of another world, or an embedding of other spaces.

    Notes
    -----
    O(A S^2 k). Source: docs/theory.md, 4.2.

    Examples
    --------
    R_S is .64 and .16: sqrt(2) / 2 * sqrt(.8).

    >>> from spectral_jepa import TabularMDP, plan_goals, spectral_embedding
    >>> mdp = TabularMDP([[[0.9, 0.1], [0.1, 0.9]], [[0.3, 0.7], [0.7, 0.3]]])
    >>> exact = CoOccurrence.exact(mdp)
    >>> poor = spectral_embedding(exact, 1)
    >>> round(averaged_single_step_bound(exact, poor, plan_goals(mdp, poor)).value, 3)
    0.632
    """
    check_plan(exact, plan, embedding)
    goal_law = _spread(plan.goals, plan.goal_weight, exact.n_states)
    reach = np.sqrt(np.sum(goal_law**2 * exact.column_weight.max(axis=0)))
    risks = transition_risk(exact, embedding.transition())
    return Bound(
        float(np.sqrt(2) * reach * np.sqrt(risks.sum())) if reach else 0.0,
        QUANTITY,
        plan.average(plan.best),
        (_one_step(plan), _scores_transition(plan), _starts_from_data(exact, plan)),
        "corrected averaged single-step bound (docs/theory.md, 4.2)",
    )


@checked()
def multi_step_bound(exact: CoOccurrence, embedding: Embedding, plan: GoalPlan) -> Bound:
    """Regret <= 2 T sqrt(w(g) / w(x)) max_a ||delta_a||_2, averaged over pairs; linear in T.

    delta_a compares P and the Phat that the planner multiplies, both as D^{1/2} (.) D^{-1/2}; for a truncated SVD its
    norm is s_{k+1}(a). Should some ||B(a)||_2 = beta exceed 1, T becomes 1 + beta + ... + beta^{T-1}. Needs no determinism.
    Models that truncate each action do not need the T: :func:`horizon_free_bound`.

    Parameters
    ----------
    exact : CoOccurrence
        Of the world planned in.
    embedding : Embedding
        That the plan was made with.
    plan : GoalPlan

    Returns
    -------
    Bound
        On the mean regret; infinite where the data never visit a start.

    Raises
    ------
    InputError
        A plan of another world, or an embedding of other spaces.

    Notes
    -----
    O(A S^3). Source: docs/theory.md, 4.3.

    Examples
    --------
    Two steps, w uniform and stationary, second singular values .8 and .4: 2 * 2 * .8.

    >>> from spectral_jepa import TabularMDP, plan_goals, spectral_embedding
    >>> mdp = TabularMDP([[[0.9, 0.1], [0.1, 0.9]], [[0.3, 0.7], [0.7, 0.3]]])
    >>> exact = CoOccurrence.exact(mdp)
    >>> poor = spectral_embedding(exact, 1)
    >>> plan = plan_goals(mdp, poor, horizon=2)
    >>> bound = multi_step_bound(exact, poor, plan)
    >>> round(plan.mean_regret, 3), round(bound.value, 3), bound.holds
    (0.24, 3.2, True)
    """
    check_plan(exact, plan, embedding)
    weight = exact.row_weight[0]
    true, model = _in_weights(exact, embedding)
    error = _largest_norm(true - model)
    beta = max(1.0, _largest_norm(model))
    steps = float(np.sum(beta ** np.arange(plan.horizon)))
    ratio = np.sqrt(reach_over_start(weight[plan.goals], weight[plan.starts]))
    return Bound(
        _times_risk(2 * steps * plan.average(ratio), error),
        QUANTITY,
        plan.average(plan.best),
        (*_keeps_law(exact), _operator_rollout(plan), _scores_transition(plan)),
        "corrected multi-step bound (docs/theory.md, 4.3)",
    )


@checked()
def printed_single_step_bound(exact: CoOccurrence, embedding: Embedding, plan: GoalPlan) -> Bound:
    """Thm 4.1 as printed: regret <= 2 c0 max_a sqrt(R_S(a)), c0 = E sqrt(max_a w(g|a) / w(x)). False in general.

    It is listed with the hypotheses it needs and does not state: w+(.|a) the same function for every action, and a planner
    that scores with g^T f. See the reset counterexample (docs/theory.md, 3.1).

    Parameters
    ----------
    exact : CoOccurrence
        Of the world planned in.
    embedding : Embedding
        That the plan was made with.
    plan : GoalPlan

    Returns
    -------
    Bound
        On the mean regret.

    Raises
    ------
    InputError
        A plan of another world, or an embedding of other spaces.

    Notes
    -----
    O(A S^2 k). Source: arXiv 2606.27014, Thm 4.1.

    Examples
    --------
    c0 = 1, and the larger risk is .64: 2 * .8.

    >>> from spectral_jepa import TabularMDP, plan_goals, spectral_embedding
    >>> mdp = TabularMDP([[[0.9, 0.1], [0.1, 0.9]], [[0.3, 0.7], [0.7, 0.3]]])
    >>> exact = CoOccurrence.exact(mdp)
    >>> poor = spectral_embedding(exact, 1)
    >>> bound = printed_single_step_bound(exact, poor, plan_goals(mdp, poor, score="dot"))
    >>> round(bound.value, 3), bound.vacuous, bound.holds
    (1.6, True, True)
    """
    check_plan(exact, plan, embedding)
    ratio = reach_over_start(exact.column_weight.max(axis=0)[plan.goals], exact.row_weight[0, plan.starts])
    mean_ratio = plan.average(np.sqrt(ratio))
    risk = float(np.sqrt(spectral_risk(exact, embedding).max()))
    return Bound(
        _times_risk(2 * mean_ratio, risk),
        QUANTITY,
        plan.average(plan.best),
        (
            _one_step(plan),
            _equal_mean_reach(exact, plan),
            _equal_reach(exact),
            _scores_like_dot(exact, embedding, plan),
        ),
        f"{PAPER}, Thm 4.1",
    )


@checked()
def printed_multi_step_bound(exact: CoOccurrence, embedding: Embedding, plan: GoalPlan) -> Bound:
    """Thm 4.2 as printed: regret <= 2 T c3 max_a sqrt(R_S(a)) for deterministic M(a), c3 = max sqrt(w(g|a) / w(x)). False.

    c3 is taken over the starts and goals of the plan; over all pairs of states, the other reading, it is no smaller, and
    3.4 says which counterexample refutes which.

    Needs what it does not state: w stationary under every action (so that w+(.|a) is equal over actions, 3.1, and a rare
    state on the way does not hide its error, 3.4), ||B(a)||_2 <= 1, and a rollout that multiplies the matrices Phat (3.3).
    Then it follows from :func:`multi_step_bound`. Sections of docs/theory.md.

    Parameters
    ----------
    exact : CoOccurrence
        Of the world planned in.
    embedding : Embedding
        That the plan was made with.
    plan : GoalPlan

    Returns
    -------
    Bound
        On the mean regret.

    Raises
    ------
    InputError
        A plan of another world, or an embedding of other spaces.

    Notes
    -----
    O(A S^3). Source: arXiv 2606.27014, Thm 4.2.

    Examples
    --------
    Two permutations of two states: s_2 = 1 is left out at k = 1, so 2 * 2 * 1.

    >>> from spectral_jepa import make_permutation, plan_goals, spectral_embedding
    >>> mdp = make_permutation(permutations=[(0, 1), (1, 0)])
    >>> exact = CoOccurrence.exact(mdp)
    >>> poor = spectral_embedding(exact, 1, shared=True)
    >>> bound = printed_multi_step_bound(exact, poor, plan_goals(mdp, poor, horizon=2, score="dot"))
    >>> round(bound.value, 12), bound.vacuous, bound.holds
    (4.0, True, True)
    """
    check_plan(exact, plan, embedding)
    ratio = reach_over_start(exact.column_weight.max(axis=0)[plan.goals], exact.row_weight[0, plan.starts])
    risk = float(np.sqrt(spectral_risk(exact, embedding).max()))
    # R_S reads f and g in w+, and sees no mass on states without it; products run through what the planner reads back.
    same = np.abs(embedding.column_weight - exact.column_weight).max() < TOLERANCE
    return Bound(
        _times_risk(2 * plan.horizon * float(np.sqrt(ratio.max())), risk),
        QUANTITY,
        plan.average(plan.best),
        (
            Assumption("every M(a) is deterministic", _is_deterministic(exact)),
            _equal_mean_reach(exact, plan),
            _equal_reach(exact),
            Assumption("the data law w is stationary under every action", _is_stationary(exact), printed=False),
            Assumption("||B(a)||_2 <= 1 for every action", _is_contraction(exact, embedding), printed=False),
            Assumption(
                "latents are carried by the operator T_a, not by g itself",
                plan.rollout == "operator" or plan.horizon == 1,
                printed=False,
            ),
            Assumption("Phat is read back with w+", plan.horizon == 1 or bool(same), printed=False),
            _scores_like_dot(exact, embedding, plan),
        ),
        f"{PAPER}, Thm 4.2",
    )


@checked()
def printed_spurious_constant(exact: CoOccurrence, plan: GoalPlan) -> float:
    """c = 2 - E max_a w(x,g,a)^2 / (w(x) w(g|a)), the term that Thm 4.5 and 4.6 add under the root without need.

    Parameters
    ----------
    exact : CoOccurrence
    plan : GoalPlan
        Gives the starts and goals of the mean.

    Returns
    -------
    float

    Raises
    ------
    InputError
        A plan of another world.

    Notes
    -----
    O(A S^2). Source: arXiv 2606.27014, Thm 4.5; docs/theory.md, section 1.

    Examples
    --------
    One action that forgets the state: 2 - .25^2 / (.5 * .5).

    >>> from spectral_jepa import TabularMDP, plan_goals, spectral_embedding
    >>> mdp = TabularMDP(np.full((1, 2, 2), 0.5))
    >>> exact = CoOccurrence.exact(mdp)
    >>> round(printed_spurious_constant(exact, plan_goals(mdp, spectral_embedding(exact, 1))), 12)
    1.75
    """
    check_plan(exact, plan)
    joint = exact.dense_joint()
    independent = exact.row_weight[:, :, None] * exact.column_weight[:, None, :]
    largest = (joint**2 * inverse_or_zero(independent)).max(axis=0)
    return 2 - plan.average(largest[np.ix_(plan.starts, plan.goals)])


@checked()
def reach_over_start(goal_weight: Array, start_weight: Array) -> Array:
    """w(goal) / w(start) for each pair; infinite for a start that the data never visit.

    Parameters
    ----------
    goal_weight : array (m,)
        Masses of the goals, >= 0.
    start_weight : array (n,)
        Masses of the starts, >= 0.

    Returns
    -------
    array (n, m)

    Examples
    --------
    >>> reach_over_start(np.array([0.5, 0.25]), np.array([0.5, 0.0]))
    array([[1. , 0.5],
           [inf, inf]])
    """
    safe = np.where(start_weight > 0, start_weight, 1.0)
    return np.where(start_weight[:, None] > 0, goal_weight[None, :] / safe[:, None], np.inf)


def _in_weights(exact: CoOccurrence, embedding: Embedding) -> tuple[Array, Array]:
    """D^{1/2} (.) D^{-1/2} of P and of the Phat that the planner multiplies, D = diag(w), each (A, S, S)."""
    weight = exact.row_weight[0]
    scale = np.sqrt(weight)[:, None] * inverse_or_zero(np.sqrt(weight))[None, :]
    return exact.conditional() * scale, embedding.transition() * scale


def _times_risk(factor: float, risk: float) -> float:
    """factor * risk, infinite for an infinite factor even at risk 0: the data say nothing of a start they never visit."""
    return factor * risk if np.isfinite(factor) else np.inf


def _one_step(plan: GoalPlan) -> Assumption:
    return Assumption("one step, T = 1", plan.horizon == 1)


def _operator_rollout(plan: GoalPlan) -> Assumption:
    return Assumption("latents are carried by the operator T_a", plan.rollout == "operator" or plan.horizon == 1)


def _starts_from_data(exact: CoOccurrence, plan: GoalPlan) -> Assumption:
    start_law = _spread(plan.starts, plan.start_weight, exact.n_states)
    return Assumption("starts follow the data law w", bool(np.abs(exact.row_weight - start_law).max() < TOLERANCE))


def _keeps_law(exact: CoOccurrence) -> tuple[Assumption, Assumption]:
    return (
        Assumption("the data law w is stationary under every action", _is_stationary(exact)),
        Assumption("w is positive everywhere", bool((exact.row_weight[0] > 0).all())),
    )


def _scores_transition(plan: GoalPlan) -> Assumption:
    return Assumption("the planner maximises Phat = w+ g^T f", plan.score == "transition")


def _equal_mean_reach(exact: CoOccurrence, plan: GoalPlan) -> Assumption:
    means = exact.column_weight[:, plan.goals] @ plan.goal_weight
    return Assumption("E_goal w(goal|a) is equal over actions", bool(np.ptp(means) < TOLERANCE))


def _equal_reach(exact: CoOccurrence) -> Assumption:
    gap = float(np.ptp(exact.column_weight, axis=0).max())
    return Assumption("w+(.|a) is the same function for every action", gap < TOLERANCE, printed=False)


def _scores_like_dot(exact: CoOccurrence, embedding: Embedding, plan: GoalPlan) -> Assumption:
    """Whether the planner ranks actions as g^T f does: itself, Phat with equal normalisers, or Euclid with equal norms."""
    norms = np.linalg.norm(embedding.predicted, axis=2)
    same = {
        "dot": True,
        "transition": float(np.ptp(embedding.column_weight, axis=0).max()) < TOLERANCE,
        "euclidean": bool(embedding.shared and np.ptp(norms, axis=0).max() < TOLERANCE),
    }
    return Assumption("the planner ranks actions as g^T f does", same.get(plan.score, False), printed=False)


def _is_stationary(exact: CoOccurrence) -> bool:
    weight = exact.row_weight[0]
    gap = max(np.abs(exact.column_weight - weight).max(), np.abs(exact.row_weight - weight).max())
    return bool(gap < TOLERANCE)


def _largest_norm(matrices: Array) -> float:
    """The largest spectral norm over actions."""
    return float(np.linalg.norm(matrices, ord=2, axis=(1, 2)).max())


def _is_contraction(exact: CoOccurrence, embedding: Embedding) -> bool:
    target, predicted = embedding.factors(exact)
    return _largest_norm(predicted @ np.swapaxes(target, 1, 2)) <= 1 + TOLERANCE


def _is_deterministic(exact: CoOccurrence) -> bool:
    conditional = exact.conditional()
    return bool(np.all((conditional < TOLERANCE) | (np.abs(conditional - 1) < TOLERANCE)))


def _spread(ids: NDArray[np.int64], weight: Array, size: int) -> Array:
    law = np.zeros(size)
    law[ids] = weight
    return law
