"""Options and errors; the values themselves are in tests/parity/test_goal_planning_brute_force.py."""

import numpy as np
import pytest

from spectral_jepa import CoOccurrence, Embedding, TabularMDP, goal_regret, plan_goals, spectral_embedding

MDP = TabularMDP([np.eye(4), np.roll(np.eye(4), 1, axis=1)], start=[0.4, 0.3, 0.2, 0.1])
EXACT = spectral_embedding(CoOccurrence.exact(MDP), 4)
# All models alike: ties everywhere, so that action 0 is always planned.
BLIND = Embedding(np.ones((4, 1)), np.ones((2, 4, 1)), np.full(4, 0.25))


def test_starts_and_goals_default_to_the_start_law_and_all_states():
    plan = plan_goals(MDP, BLIND)
    assert plan.starts.tolist() == plan.goals.tolist() == [0, 1, 2, 3]
    assert plan.start_weight.tolist() == [0.4, 0.3, 0.2, 0.1] and plan.goal_weight.tolist() == [0.25] * 4
    # Action 0 stays: the goal one ahead is lost, from every start.
    expected = np.roll(np.eye(4), 1, axis=1)
    assert np.array_equal(plan.regret, expected)
    assert plan.mean_regret == pytest.approx(0.25)


@pytest.mark.parametrize(
    "chosen, ids, weights",
    [
        ([1, 3], [1, 3], [0.5, 0.5]),
        ([3, 1, 3], [1, 3], [0.5, 0.5]),
        (2, [2], [1.0]),
        (np.array([False, True, False, True]), [1, 3], [0.5, 0.5]),
        ([0.0, 0.25, 0.0, 0.75], [1, 3], [0.25, 0.75]),
    ],
)
def test_ids_masks_and_weights(chosen, ids, weights):
    plan = plan_goals(MDP, BLIND, starts=chosen)
    assert plan.starts.tolist() == ids and plan.start_weight.tolist() == weights
    plan = plan_goals(MDP, BLIND, goals=chosen)
    assert plan.goals.tolist() == ids and plan.goal_weight.tolist() == weights
    assert plan.regret.shape == plan.planned_sequence.shape == (4, len(ids))


def test_weights_average_the_pairs():
    starts, goals = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.7, 0.1, 0.1, 0.1])
    # Lost pairs: (x, x + 1).
    expected = sum(starts[x] * goals[(x + 1) % 4] for x in range(4))
    assert goal_regret(MDP, BLIND, starts=starts, goals=goals) == pytest.approx(expected)


def test_ties_go_to_the_first_sequence():
    plan = plan_goals(MDP, BLIND, horizon=3)
    assert (plan.planned_sequence == 0).all()
    assert plan.actions(plan.planned_sequence).tolist() == [[[0, 0, 0]] * 4] * 4
    assert plan.actions(np.array(6)).tolist() == [1, 1, 0]


def test_an_exact_embedding_reaches_every_goal_in_time():
    plan = plan_goals(MDP, EXACT, horizon=3)
    assert plan.mean_regret == 0 and plan.best.min() == 1
    assert plan_goals(MDP, EXACT, horizon=2).best.min() == 0  # three ahead is out of reach
    assert plan.horizon == 3 and plan.n_actions == 2 and (plan.score, plan.rollout) == ("transition", "operator")


@pytest.mark.parametrize("score", ["transition", "dot", "euclidean"])
def test_rollout_does_not_matter_at_one_step(score):
    rng = np.random.default_rng(0)
    own = Embedding(rng.standard_normal((2, 4, 2)), rng.standard_normal((2, 4, 2)), np.full(4, 0.25))
    plans = [plan_goals(MDP, own, score=score, rollout=r).planned_sequence for r in ("operator", "latent")]
    assert np.array_equal(*plans) and plans[0].any()


@pytest.mark.parametrize(
    "options, fragments",
    [
        ({"horizon": 0}, ["horizon is 0", "at least 1"]),
        ({"horizon": 1.5}, ["horizon is 1.5", "whole number"]),
        ({"score": "cosine"}, ["score is 'cosine'", "'euclidean', 'dot', 'transition'"]),
        ({"rollout": "naive"}, ["rollout is 'naive'", "'operator', 'latent'"]),
        ({"horizon": 40}, ["2 actions over 40 steps", "1099511627776 sequences", "at most 2000000"]),
        ({"starts": [4]}, ["starts[0] is 4", "between 0 and 3"]),
        ({"goals": [0, -1]}, ["goals[1] is -1"]),
        ({"goals": [0.5, 0.6, 0, 0]}, ["goals sums to 1.1"]),
        ({"goals": np.zeros(4, bool)}, ["goals selects no state"]),
        ({"goals": np.ones(3, bool)}, ["goals is a mask of shape (3,)", "(4,)"]),
        ({"starts": []}, ["starts has shape (0,)"]),
        ({"starts": [0.5, 0.5]}, ["starts has shape (2,)", "(4)"]),
    ],
)
def test_bad_options(refused, options, fragments):
    with refused(*fragments):
        plan_goals(MDP, EXACT, **options)


def test_a_latent_rollout_needs_one_encoder(refused):
    with refused("one encoder shared by all actions", "operator rollout"):
        plan_goals(MDP, EXACT, horizon=2, rollout="latent")


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (1, 4)])
def test_an_embedding_of_another_world(refused, shape):
    other = Embedding(np.ones((shape[1], 1)), np.ones((*shape, 1)), np.full(shape[1], 1 / shape[1]))
    with refused(f"{shape[0]} actions x {shape[1]} states", "expected 2 x 4"):
        plan_goals(MDP, other)


def test_tables_that_would_not_fit_are_refused(refused, free_memory):
    free_memory(32 * 16)
    with refused("the four tables of starts x goals of shape 4 x 4 x 4", "fewer starts= or goals="):
        plan_goals(MDP, BLIND)
    assert plan_goals(MDP, BLIND, goals=[1]).regret.shape == (4, 1)
