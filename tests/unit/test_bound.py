import dataclasses

import numpy as np
import pytest

from spectral_jepa import (
    Assumption,
    Bound,
    CoOccurrence,
    Embedding,
    TabularMDP,
    bernstein_bound,
    expected_squared_error,
    multi_step_bound,
    oracle_bound,
    plan_goals,
    pointwise_single_step_bound,
    pooled_risk,
    printed_chain_bound,
    printed_multi_step_bound,
    printed_sample_bound,
    printed_single_step_bound,
    rademacher_complexity,
    spectral_embedding,
    spectral_loss,
    spectral_risk,
    unit_norm_risk_floor,
)

YES, NO, UNKNOWN = Assumption("yes", True), Assumption("no", False), Assumption("who knows", None)
UNSTATED = Assumption("unstated", False, printed=False)


def bound(value=0.5, ceiling=1.0, *assumptions):
    return Bound(value, "regret", ceiling, assumptions, "a lemma")


@pytest.mark.parametrize(
    "assumptions, holds, as_printed",
    [
        ((), True, True),
        ((YES, UNKNOWN), True, True),
        ((YES, NO), False, False),
        ((YES, UNSTATED), False, True),
        # numpy's False is not the object False
        ((YES, Assumption("measured", np.bool_(False))), False, False),
    ],
)
def test_holds(assumptions, holds, as_printed):
    assert (bound(0.5, 1.0, *assumptions).holds, bound(0.5, 1.0, *assumptions).holds_as_printed) == (holds, as_printed)


@pytest.mark.parametrize(
    "value, ceiling, vacuous",
    [(0.5, 1.0, False), (1.0, 1.0, True), (2.0, 1.0, True), (np.inf, 1.0, True), (np.nan, 1.0, True), (0.0, 0.0, True)],
)
def test_vacuous(value, ceiling, vacuous):
    assert bound(value, ceiling).vacuous == vacuous


def test_text_names_every_assumption_and_its_state():
    text = str(bound(2.0, 1.0, YES, NO, UNKNOWN, UNSTATED))
    for part in (
        "regret <= 2",
        "[vacuous: never above 1]",
        "by a lemma",
        "yes (holds)",
        "no (FAILS)",
        "who knows (not checked)",
        "unstated (FAILS, not stated by the source)",
    ):
        assert part in text
    assert "vacuous" not in str(bound()) and "assumes: nothing" in str(bound())


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        bound().value = 0.0


# --- inputs of the bounds -------------------------------------------------------------------------------------------------

MDP = TabularMDP([[[0.9, 0.1], [0.1, 0.9]], [[0.3, 0.7], [0.7, 0.3]]])
EXACT = CoOccurrence.exact(MDP)
FIT = spectral_embedding(EXACT, 1)
SMALL = Embedding(np.ones((3, 1)), np.ones((2, 3, 1)), np.full(3, 1 / 3))


@pytest.mark.parametrize(
    "call, fragments",
    [
        (lambda: spectral_risk(EXACT, SMALL), ["2 actions x 3 states", "expected 2 x 2"]),
        (lambda: spectral_loss(EXACT, SMALL), ["2 actions x 3 states"]),
        (lambda: pooled_risk(EXACT, SMALL), ["2 actions x 3 states"]),
        (lambda: pooled_risk(EXACT, FIT), ["one encoder shared", "spectral_risk"]),
        (lambda: unit_norm_risk_floor(EXACT, 0), ["dim is 0", "between 1 and 2"]),
        (lambda: unit_norm_risk_floor(EXACT, 3), ["dim is 3"]),
        (lambda: expected_squared_error(EXACT, 0), ["n_samples is 0", "at least 1"]),
        (lambda: bernstein_bound(EXACT, -1), ["n_samples is -1"]),
        (lambda: oracle_bound(EXACT, 5, 0.1), ["dim is 5"]),
        (lambda: rademacher_complexity(np.ones(1), 0, 1.0), ["n_samples is 0"]),
        (lambda: printed_sample_bound(EXACT, 1, 10, ceiling=0.0), ["ceiling is 0", "above 0"]),
        (lambda: printed_sample_bound(EXACT, 1, 10, ceiling=float("nan")), ["ceiling is nan"]),
        (lambda: printed_sample_bound(EXACT, 9, 10, ceiling=1.0), ["dim is 9"]),
        (lambda: printed_chain_bound(EXACT, 1, 10, plan_goals(MDP, FIT), ceiling=-1.0), ["ceiling is -1"]),
        (
            lambda: bernstein_bound(EXACT, 10, failure_probability=0.0),
            ["failure_probability is 0"],
        ),
        (
            lambda: printed_sample_bound(EXACT, 1, 10, ceiling=1.0, failure_probability=1.5),
            ["failure_probability is 1.5"],
        ),
    ],
)
def test_bad_input(refused, call, fragments):
    with refused(*fragments):
        call()


def test_rademacher_complexity_takes_any_numbers():
    """A list and whole numbers are laws too."""
    assert rademacher_complexity([1], 2, 1.0) == pytest.approx(0.5)
    assert rademacher_complexity(np.array([1, 0]), 2, 1) == pytest.approx(0.5)


def test_ceilings_are_what_a_plan_can_lose_at_most():
    plan = plan_goals(MDP, FIT, score="dot")
    best = np.mean([max(MDP.transition[a, x, y] for a in range(2)) for x in range(2) for y in range(2)])
    for printed in (printed_single_step_bound, printed_multi_step_bound):
        assert printed(EXACT, FIT, plan).ceiling == pytest.approx(best)


@pytest.mark.parametrize("score, expected", [("dot", True), ("transition", True), ("euclidean", False)])
def test_printed_single_step_knows_which_planners_rank_as_dot(score, expected):
    """Equal marginals here, so Phat ranks as g^T f; Euclid does not unless all norms agree."""
    plan = plan_goals(MDP, spectral_embedding(EXACT, 2), score=score)
    (assumption,) = [
        a for a in printed_single_step_bound(EXACT, FIT, plan).assumptions if a.text.startswith("the planner ranks")
    ]
    assert assumption.holds == expected and not assumption.printed


@pytest.mark.parametrize(
    "mdp, deterministic", [(MDP, False), (TabularMDP([np.eye(2), np.eye(2)[::-1]]), True), (MDP.as_sparse(), False)]
)
def test_printed_multi_step_knows_determinism(mdp, deterministic):
    exact = CoOccurrence.exact(mdp)
    fit = spectral_embedding(exact, 2)
    plan = plan_goals(mdp, fit, horizon=2)
    (assumption,) = [a for a in printed_multi_step_bound(exact, fit, plan).assumptions if "deterministic" in a.text]
    assert assumption.holds == deterministic


@pytest.mark.parametrize("dim", [1, 2])
def test_no_bound_is_finite_for_a_start_that_the_data_never_visit(dim):
    """At dim 2 the risk is 0 as well, and 0 times infinity must not pass for a promise."""
    mdp = TabularMDP(MDP.transition, weight=[1.0, 0.0])
    exact = CoOccurrence.exact(mdp)
    fit = spectral_embedding(exact, dim)
    plan = plan_goals(mdp, fit, starts=[1])
    assert plan.mean_regret == pytest.approx(0.3)
    assert spectral_risk(exact, fit).max() < 1e-20
    for bound in (printed_single_step_bound, printed_multi_step_bound, multi_step_bound, pointwise_single_step_bound):
        assert bound(exact, fit, plan).value == np.inf
    assert printed_chain_bound(exact, dim, 100, plan, ceiling=1.0).value == np.inf
