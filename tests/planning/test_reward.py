"""Options and errors; values: tests/parity/test_quantecon.py, regret: tests/theory/test_reward_bound.py."""

import numpy as np
import pytest
import scipy.sparse as sp

from spectral_jepa import CoOccurrence, TabularMDP, plan_rewards, reward_regret, spectral_embedding

STAY, SWAP = np.eye(2), np.eye(2)[::-1]
# Reward 1 in state 1: go there and stay.
MDP = TabularMDP([STAY, SWAP], reward=[0.0, 1.0], discount=0.5, start=[1.0, 0.0])
WRONG = MDP.transition[::-1]


def test_by_hand():
    """H = 3 from state 0: 0 + 1 + 1 at best; the swapped model stays in 0 for ever."""
    plan = plan_rewards(MDP, WRONG, horizon=3, discount=1.0)
    assert plan.optimal == pytest.approx(2) and float(plan.achieved) == 0 and float(plan.regret) == pytest.approx(2)
    assert float(plan.relative_regret) == pytest.approx(1)
    assert plan.optimal_policy[:2].tolist() == [[1, 0], [1, 0]] and plan.policy[:2].tolist() == [[0, 1], [0, 1]]
    assert plan.model_values.tolist() == [[2, 3], [1, 2], [0, 1], [0, 0]]


def test_discount_defaults_to_the_mdps_own_and_then_to_one():
    assert plan_rewards(MDP, MDP.transition, horizon=3).optimal == pytest.approx(0.5 + 0.25)
    plain = TabularMDP([STAY, SWAP], reward=[0.0, 1.0], start=[1.0, 0.0])
    assert plan_rewards(plain, plain.transition, horizon=3).optimal == pytest.approx(2)
    assert plan_rewards(plain, plain.transition, horizon=3, discount=0.0).optimal == 0


@pytest.mark.parametrize("start, expected", [([1], 3.0), ([0, 1], 2.5), ([0.25, 0.75], 0.25 * 2 + 0.75 * 3), (None, 2.0)])
def test_start(start, expected):
    assert plan_rewards(MDP, MDP.transition, horizon=3, discount=1.0, start=start).optimal == pytest.approx(expected)


def test_a_batch_is_its_members():
    models = np.random.default_rng(0).standard_normal((2, 3, 2, 2, 2))
    plan = plan_rewards(MDP, models, horizon=4)
    assert plan.policy.shape == (2, 3, 4, 2) and plan.model_values.shape == (2, 3, 5, 2) and plan.regret.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            one = plan_rewards(MDP, models[i, j], horizon=4)
            assert np.array_equal(one.policy, plan.policy[i, j])
            assert float(one.regret) == pytest.approx(plan.regret[i, j], abs=1e-14)
    assert np.ptp(plan.regret) > 0.1


def test_sparse_worlds_and_models():
    thin = MDP.as_sparse()
    model = tuple(sp.csr_array(m) for m in WRONG)
    for mdp, guess in ((thin, WRONG), (MDP, model), (thin, model)):
        plan = plan_rewards(mdp, guess, horizon=3, discount=1.0)
        assert float(plan.regret) == pytest.approx(2) and plan.model_values.tolist() == [[2, 3], [1, 2], [0, 1], [0, 0]]


def test_regret_of_an_embedding():
    exact = CoOccurrence.exact(MDP)
    assert reward_regret(MDP, spectral_embedding(exact, 2), horizon=3) == pytest.approx(0, abs=1e-12)
    # At k = 1 both actions look alike, the first is taken, and nothing is earned.
    blind = spectral_embedding(exact, 1)
    assert reward_regret(MDP, blind, horizon=3, discount=1.0) == pytest.approx(2)
    assert reward_regret(MDP, blind, horizon=3, discount=1.0, relative=True) == pytest.approx(1)
    assert reward_regret(MDP, blind, horizon=3, discount=1.0, start=[1]) == pytest.approx(0)


def test_nothing_to_earn_is_no_relative_regret():
    mdp = TabularMDP([STAY, SWAP], reward=[0.0, 0.0])
    assert float(plan_rewards(mdp, WRONG, horizon=3).relative_regret) == 0


@pytest.mark.parametrize(
    "mdp, model, options, fragments",
    [
        (TabularMDP([STAY], name="maze"), STAY[None], {}, ["maze has no reward", "reward="]),
        (TabularMDP([STAY], reward=[0.0, 2.0]), STAY[None], {}, ["spans [0, 2]", "[0, 1]", "with_unit_reward"]),
        (TabularMDP([STAY], reward=[-0.5, 1.0]), STAY[None], {}, ["spans [-0.5, 1]"]),
        (MDP, WRONG, {"horizon": 0}, ["horizon is 0"]),
        (MDP, WRONG, {"discount": 1.5}, ["discount is 1.5", "between 0 and 1"]),
        (MDP, WRONG, {"discount": -0.5}, ["discount is -0.5"]),
        (MDP, WRONG, {"start": [2]}, ["start[0] is 2", "between 0 and 1"]),
        (MDP, np.full((2, 3, 3), 1 / 3), {}, ["model has shape (2, 3, 3)", "2, 2, 2"]),
        (MDP, np.eye(2), {}, ["model has shape (2, 2)"]),
    ],
)
def test_bad_input(refused, mdp, model, options, fragments):
    with refused(*fragments):
        plan_rewards(mdp, model, **{"horizon": 3, **options})
