"""Edges of the dynamic programming; its values: tests/parity/test_quantecon.py."""

import time
from fractions import Fraction

import gymnasium
import numpy as np
import pytest
import scipy.sparse as sp

from spectral_jepa import TabularMDP, make_torus, optimal_values
from spectral_jepa.planning import backward_induction, occupancy, policy_values
from spectral_jepa.planning import values as module
from spectral_jepa.planning.values import first_best, value_ceiling

MDP = TabularMDP([np.eye(2), np.eye(2)[::-1]], reward=[[0.0, 0.2], [1.0, 0.0]], discount=0.5, start=[1.0, 0.0])


def test_optimal_values_by_hand():
    """State 1 earns 1 / (1 - .5) = 2 by staying; state 0 earns .2 and moves there."""
    solution = optimal_values(MDP)
    assert solution.values == pytest.approx([1.2, 2.0], abs=1e-8) and solution.policy.tolist() == [1, 0]
    assert optimal_values(MDP, 0.0).values == pytest.approx([0.2, 1.0])


@pytest.mark.parametrize("tolerance", [1e-1, 1e-4])
def test_the_tolerance_is_kept_where_nothing_mixes(monkeypatch, tolerance):
    """Two states that never meet: V* = (100, 0). The span shrinks slowly, so a test that stops early is far off."""
    mdp = TabularMDP([np.eye(2)], reward=[1.0, 0.0])
    assert optimal_values(mdp, 0.99, tolerance=tolerance).values == pytest.approx([100.0, 0.0], abs=1e-12)
    monkeypatch.setattr(module, "EXACT_STATES", 0)  # as in a large world
    error = np.abs(optimal_values(mdp, 0.99, tolerance=tolerance).values - [100.0, 0.0]).max()
    assert tolerance / 100 < error <= tolerance


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("gamma, error", [(0.999, 1e-10), (0.99999, 1e-7)])
def test_a_cycle_at_a_discount_near_one_against_rational_numbers(gamma, error, sparse):
    """V = (g, 1) / (1 - g^2), in fractions: rounding of g^2 alone is worth 2e-8 at .99999."""
    mdp = TabularMDP([[[0, 1], [1, 0]]] * 2, reward=[[0, 0], [1, 0.5]], discount=gamma)
    solution = optimal_values(mdp.as_sparse() if sparse else mdp)
    exact = Fraction(gamma)
    expected = [float(exact / (1 - exact**2)), float(1 / (1 - exact**2))]
    assert np.abs(solution.values - expected).max() < error
    assert solution.n_iterations < 20 and solution.policy[1] == 0


def test_states_that_earn_nothing_are_worth_exactly_nothing():
    taxi = TabularMDP.from_gymnasium("Taxi-v4")
    values = optimal_values(taxi, 0.999999).values
    assert (values[[0, 85, 410, 475]] == 0).all() and np.count_nonzero(values) == 496


def test_a_torus_at_a_discount_near_one_is_quick_and_solved():
    torus = make_torus(30)
    reward = np.zeros(900)
    reward[0] = 1.0
    mdp = TabularMDP(torus.transition, reward=reward, discount=0.9999)
    began = time.process_time()
    values = optimal_values(mdp).values
    assert time.process_time() - began < 4  # 8.1 s before, 0.2 s now
    best = reward + 0.9999 * (mdp.transition @ values).max(axis=0)
    assert np.abs(best - values).max() < 1e-9 and values.max() > 100


def test_a_large_grid_is_solved_exactly_because_its_moves_are_short():
    """A corridor of 5000 cells with a reward at its end: gamma^distance."""
    n = 5000
    right = sp.csr_array(sp.diags_array(np.ones(n - 1), offsets=1) + sp.csr_array(([1.0], ([n - 1], [n - 1])), shape=(n, n)))
    stay = sp.eye_array(n, format="csr")
    reward = np.zeros((n, 2))
    reward[n - 2, 1] = 1.0
    solution = optimal_values(TabularMDP([stay, right], reward=reward, discount=0.99))
    assert solution.values[:-1] == pytest.approx(0.99 ** np.arange(n - 2, -1, -1.0), rel=1e-9)
    assert (solution.policy[:-1] == 1).all()  # though most values are far below the tolerance


def test_a_large_world_that_mixes_says_where_its_policy_is_arbitrary(monkeypatch):
    monkeypatch.setattr(module, "EXACT_STATES", 0)
    tiny = TabularMDP(MDP.transition, reward=MDP.reward * 1e-12, discount=0.5)
    with pytest.warns(UserWarning, match="2 of 2 values are below the tolerance 1e-08, so the policy is arbitrary there"):
        optimal_values(tiny)
    monkeypatch.setattr(module, "MAX_STEPS", 3)
    with pytest.raises(ValueError, match=r"not solved to tolerance 1e-08 after 3 steps at discount 0\.9999999.*lower it"):
        optimal_values(TabularMDP([np.eye(2)], reward=[1.0, 0.0]), 0.9999999)


def test_undiscounted_worlds_that_end_are_solved():
    cliff = TabularMDP.from_gymnasium("CliffWalking-v1")
    values = optimal_values(cliff, 1.0).values
    assert values[36] == pytest.approx(-13, abs=1e-12) and values[47] == 0
    # Every policy ends: with probability 1/2 a step, whatever is done; the better action earns 3 a step, for two steps.
    rows = np.array([[0.5, 0.5], [0.0, 1.0]])
    world = TabularMDP([rows, rows], reward=[[1.0, 3.0], [0.0, 0.0]])
    solution = optimal_values(world, 1.0)
    assert solution.values == pytest.approx([6.0, 0.0]) and solution.policy[0] == 1


def test_undiscounted_worlds_that_need_not_end_are_refused(refused):
    with refused("discount is 1", "FrozenLake-v1", "may never end", "[0, 1)", "backward_induction"):
        optimal_values(TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1")), 1.0)
    with refused("no end can be reached from state 0"):
        optimal_values(TabularMDP([np.eye(2)], reward=[-1.0, 0.0]), 1.0)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9, 1.0])
def test_value_ceiling_is_a_geometric_sum(gamma):
    expected = [sum(gamma**i for i in range(n)) for n in range(5, -1, -1)]
    assert value_ceiling(5, gamma) == pytest.approx(expected)


def test_first_best_breaks_ties_by_order_and_rounding_by_tolerance():
    scores = np.array([[1.0, 3.0, 3.0], [0.1 + 0.2, 0.3, 0.3], [2.0, 2.0 - 1e-9, 1.0], [-5.0, -5.0 * (1 - 1e-14), -6]])
    assert first_best(scores, axis=1).tolist() == [1, 0, 0, 0]
    assert first_best(scores[:, :2][:, ::-1], axis=1).tolist() == [0, 0, 1, 0]
    # 1e-9 is no rounding: the better one wins wherever it stands.
    assert first_best(np.array([1.0, 1.0 + 1e-9]), axis=0) == 1


def test_clipping_both_ways():
    reward = np.array([[0.5]])
    for factor, expected in ((3.0, [2.0, 1.0 * 0.5, 0]), (-3.0, [0.0, 0.5, 0])):
        values, _ = backward_induction(np.array([[[factor]]]), reward, 2)
        assert values.ravel().tolist() == expected
    values, _ = backward_induction(np.array([[[-3.0]]]), reward, 2, clip=False)
    assert values.ravel().tolist() == [-1.0, 0.5, 0]


def test_occupancy_by_hand():
    policy = np.array([[1, 0], [0, 0], [1, 1]])  # move, stay, move
    law = occupancy(MDP, policy)
    assert law[0].tolist() == [[0, 0], [1, 0]]
    assert law[1].tolist() == [[0, 1], [0, 0]]
    assert law[2].tolist() == [[0, 0], [0, 1]]
    batch = occupancy(MDP.as_sparse(), np.stack([policy, np.zeros_like(policy)]), np.array([0.25, 0.75]))
    assert batch.shape == (2, 3, 2, 2) and np.abs(batch.sum(axis=(2, 3)) - 1).max() < 1e-15
    assert batch[1, 2].tolist() == [[0.25, 0.75], [0, 0]]


def test_policy_values_by_hand():
    policy = np.array([[1, 0], [0, 0]])
    assert policy_values(MDP, policy, 0.5).tolist() == [[0.2 + 0.5, 1.5], [0.0, 1.0], [0, 0]]


@pytest.mark.parametrize(
    "options, fragments",
    [
        ({"discount": 1.0}, ["discount is 1", "[0, 1)", "backward_induction"]),
        ({"discount": 1.2}, ["discount is 1.2"]),
        ({"discount": -0.1}, ["discount is -0.1"]),
        ({"tolerance": 0.0}, ["tolerance is 0", "above 0"]),
        ({"tolerance": -1.0}, ["tolerance is -1"]),
        ({"tolerance": float("nan")}, ["tolerance is nan"]),
    ],
)
def test_bad_options(refused, options, fragments):
    with refused(*fragments):
        optimal_values(MDP, **options)


def test_no_reward_and_no_discount(refused):
    with refused("maze has no reward"):
        optimal_values(TabularMDP([np.eye(2)], name="maze"), 0.5)
    with refused("discount is 1"):
        optimal_values(TabularMDP([np.eye(2)], reward=[0, 1]))
    with refused("horizon is 0"):
        backward_induction(np.eye(2)[None], np.zeros((2, 1)), 0)


def test_finite_horizon_refuses_what_has_no_value(refused):
    """Discounts, rewards, actions and starts out of range would give numbers that mean nothing."""
    model, reward, policy = np.eye(2)[None], np.zeros((2, 1)), np.array([[0, -1]])
    for discount in (-1.0, float("nan"), 1.5):
        with refused(f"discount is {discount:g}"):
            backward_induction(model, reward, 2, discount)
        with refused(f"discount is {discount:g}"):
            policy_values(MDP, np.zeros((2, 2), dtype=int), discount)
    with refused("reward[0, 0] is nan"):
        backward_induction(model, np.full((2, 1), np.nan), 2)
    with refused("model has shape (1, 2, 2)", "3, 3"):
        backward_induction(model, np.zeros((3, 1)), 2)
    with refused("policy[1] is -1", "action between 0 and 1"):
        policy_values(MDP, policy, 0.5)
    with refused("policy[1] is -1"):
        occupancy(MDP, policy)
    with refused("policy has shape (1, 3)"):
        occupancy(MDP, np.zeros((1, 3), dtype=int))
    with refused("start[0] is -1"):
        occupancy(MDP, np.zeros((1, 2), dtype=int), np.array([-1.0, 2.0]))
