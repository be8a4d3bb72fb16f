"""Right negatives, right planner: negatives from the pooled law and the dot score (docs/negatives.md).

With negatives from the pooled law q the embedding estimates P(y|x,a) / q(y), and q does not depend on the action: ranking
actions by g^T f ranks them by Phat. The Euclidean planner of arXiv 2606.27014 subtracts ||g||^2 / 2 from that, which in a
white encoder is half of 1 + chi^2(P(.|x,a) || q): it prefers actions with unpredictable outcomes, at risk 0 too.
"""

from __future__ import annotations

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_model, check_count
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.linalg import inverse_or_zero
from spectral_jepa.planning.goal import GoalPlan
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.goal_bounds import QUANTITY, TOLERANCE, _one_step, _spread, _starts_from_data, check_plan
from spectral_jepa.theory.risks import _weighted_errors


@checked()
def outcome_chi_square(exact: CoOccurrence) -> Array:
    """How predictable an outcome is: chi^2(P(.|x,a) || q) = sum_y P(y|x,a)^2 / q(y) - 1 for each action and state.

    In an exact white encoder it is ||g(f(x),a)||^2 - 1, half of which the Euclidean planner holds against the action.

    Parameters
    ----------
    exact : CoOccurrence

    Returns
    -------
    array (A, S)
        0 where the outcome is drawn from q itself; -1 in the rows of a state that was never an anchor.

    Notes
    -----
    O(A S^2), dense. Its mean under rho is the chi-square information of the stack, ||A||_F^2 - 1. Source:
    docs/negatives.md, 1.

    Examples
    --------
    Staying where one is, against a coin: q is uniform.

    >>> from spectral_jepa import TabularMDP
    >>> outcome_chi_square(CoOccurrence.exact(TabularMDP([np.eye(2), np.full((2, 2), 0.5)])))
    array([[1., 1.],
           [0., 0.]])
    """
    return np.sum(exact.conditional() ** 2 * inverse_or_zero(exact.pooled_column_weight), axis=2) - 1


@checked()
def euclidean_regret_ceiling(n_states: int) -> float:
    """The most that the Euclidean planner can lose at a pair in an exact white encoder if q is uniform; it is approached.

    Parameters
    ----------
    n_states : int
        Number of states S.

    Returns
    -------
    float
        1 - sqrt(S / (2 (S - 1))), which grows from 0 at two states to 1 - 1 / sqrt(2). If q is not uniform there is no
        bound below 1.

    Raises
    ------
    InputError
        Fewer than 2 states.

    Notes
    -----
    O(1). Source: docs/negatives.md, 2.

    Examples
    --------
    >>> [round(euclidean_regret_ceiling(n), 4) for n in (2, 6, 24, 96)]
    [0.0, 0.2254, 0.2777, 0.2892]
    """
    n_states = check_count("n_states", n_states, 2)
    return 1 - float(np.sqrt(n_states / (2 * (n_states - 1))))


@checked()
def pooled_action_risks(exact: CoOccurrence, transition: Array) -> Array:
    """Weighted error of each action's model, normalised by the pooled law: sum_x w(x) sum_y (P - Phat)^2(y|x,a) / q(y).

    Parameters
    ----------
    exact : CoOccurrence
    transition : array (A, S, S)
        Phat; may be signed.

    Returns
    -------
    array (A,)
        Averaged over the action frequencies, :func:`pooled_risk`. Infinite where Phat puts mass on a state that no action
        leads to.

    Raises
    ------
    InputError
        A model of another shape, or with numbers that are not finite.

    Notes
    -----
    O(A S^2). Source: docs/negatives.md, 3.

    Examples
    --------
    Action 0 always leads to state 0, action 1 to state 1, so q is uniform; a coin in place of either errs by .25 / .5 twice.

    >>> from spectral_jepa import make_reset
    >>> pooled_action_risks(CoOccurrence.exact(make_reset(2, noise=0.0)), np.full((2, 2, 2), 0.5))
    array([1., 1.])
    """
    model = as_model("transition", transition, exact.n_actions, exact.n_states)
    if isinstance(model, tuple) or model.ndim != 3:
        raise InputError(
            "transition holds several models or sparse ones, expected one dense array (A, S, S): pass them one by one"
        )
    return _weighted_errors(exact, model, exact.row_weight, exact.pooled_column_weight)


@checked()
def pooled_single_step_bound(exact: CoOccurrence, embedding: Embedding, plan: GoalPlan) -> Bound:
    """Thm 4.1 in the form in which it is true: mean regret <= sqrt(2 sum_y mu(y)^2 q(y)) sqrt(sum_a R(a)).

    R(a) is normalised by q. For the planner that maximises g^T f read back with one measure for all actions, whatever the
    laws w+(.|a), starts ~ w, goals ~ mu. The constant is attained, also with laws w+(.|a) that differ.

    Parameters
    ----------
    exact : CoOccurrence
        Of the world planned in.
    embedding : Embedding
        That the plan was made with; trained with negatives from the pooled law it is read back with q.
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
    O(A S^2 k). Source: docs/negatives.md, 3.

    Examples
    --------
    The world on which the dot planner loses .05 at risk 0: with negatives from q it loses nothing, and is promised that.

    >>> from spectral_jepa import plan_goals, spectral_embedding, two_state_counterexample
    >>> mdp = two_state_counterexample()
    >>> exact = CoOccurrence.exact(mdp)
    >>> pooled = spectral_embedding(exact, 2, shared=True)
    >>> plan = plan_goals(mdp, pooled, score="dot")
    >>> bound = pooled_single_step_bound(exact, pooled, plan)
    >>> plan.mean_regret, round(bound.value, 6), bound.holds
    (0.0, 0.0, True)
    """
    check_plan(exact, plan, embedding)
    goal_law = _spread(plan.goals, plan.goal_weight, exact.n_states)
    reach = np.sqrt(np.sum(goal_law**2 * exact.pooled_column_weight))
    risks = pooled_action_risks(exact, embedding.transition())
    ranks = plan.score == "transition" or (plan.score == "dot" and _one_measure(embedding))
    return Bound(
        float(np.sqrt(2) * reach * np.sqrt(risks.sum())) if reach else 0.0,
        QUANTITY,
        plan.average(plan.best),
        (
            _one_step(plan),
            Assumption("the planner ranks actions as Phat: by g^T f, read back with one measure for all actions", ranks),
            _starts_from_data(exact, plan),
        ),
        "single-step bound with pooled negatives (docs/negatives.md, 3)",
    )


@checked()
def euclidean_single_step_bound(exact: CoOccurrence, embedding: Embedding, plan: GoalPlan) -> Bound:
    """What the planner that minimises ||g - f||^2 can lose: the model's errors plus nu(y) (||g*||^2 - ||g~||^2) / 2.

    At each pair g* is the prediction under the best action, g~ under the planned one, nu the measure that the embedding is
    read back with. The last term does not shrink with the risk; in an exact white encoder it is all there is.

    Parameters
    ----------
    exact : CoOccurrence
        Of the world planned in.
    embedding : Embedding
        That the plan was made with; not necessarily white.
    plan : GoalPlan

    Returns
    -------
    Bound
        On the mean regret; infinite at T > 1.

    Raises
    ------
    InputError
        A plan of another world, or an embedding of other spaces.

    Notes
    -----
    O(A S^2 k). Source: docs/negatives.md, 2.

    Examples
    --------
    A move that succeeds three times in ten, against a leap that lands anywhere: the planner leaps, at risk 0.

    >>> from spectral_jepa import make_scatter, plan_goals, spectral_embedding
    >>> mdp = make_scatter(24, reach=0.3)
    >>> exact = CoOccurrence.exact(mdp)
    >>> white = spectral_embedding(exact, 24, shared=True)
    >>> plan = plan_goals(mdp, white, score="euclidean")
    >>> bound = euclidean_single_step_bound(exact, white, plan)
    >>> round(plan.mean_regret, 4), round(bound.value, 4), bound.holds
    (0.2476, 0.258, True)
    """
    check_plan(exact, plan, embedding)
    value = np.inf
    if plan.horizon == 1:
        error = (exact.conditional() - embedding.transition())[:, plan.starts][:, :, plan.goals]
        norm = np.sum(embedding.predicted**2, axis=2)[:, plan.starts, None]
        measure = embedding.column_weight[0, plan.goals]
        part = error + norm * measure / 2
        best, planned = (
            np.take_along_axis(part, chosen[None], axis=0)[0] for chosen in (plan.best_sequence, plan.planned_sequence)
        )
        value = plan.average(best - planned)
    return Bound(
        value,
        QUANTITY,
        plan.average(plan.best),
        (
            _one_step(plan),
            Assumption("the planner minimises ||g - f||^2", plan.score == "euclidean"),
            Assumption("one encoder for all actions", embedding.shared),
            Assumption("read back with one measure for all actions", _one_measure(embedding)),
        ),
        "single-step bound of the Euclidean planner (docs/negatives.md, 2)",
    )


def _one_measure(embedding: Embedding) -> bool:
    return float(np.ptp(embedding.column_weight, axis=0).max()) < TOLERANCE
