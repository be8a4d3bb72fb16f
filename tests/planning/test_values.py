"""Edges of the dynamic programming; its values: tests/parity/test_quantecon.py."""

import numpy as np
import pytest

from spectral_jepa import TabularMDP, optimal_values
from spectral_jepa.planning import backward_induction, occupancy, policy_values
from spectral_jepa.planning.values import first_best, value_ceiling

MDP = TabularMDP([np.eye(2), np.eye(2)[::-1]], reward=[[0.0, 0.2], [1.0, 0.0]], discount=0.5, start=[1.0, 0.0])


def test_optimal_values_by_hand():
    """State 1 earns 1 / (1 - .5) = 2 by staying; state 0 earns .2 and moves there."""
    solution = optimal_values(MDP)
    assert solution.values == pytest.approx([1.2, 2.0], abs=1e-8) and solution.policy.tolist() == [1, 0]
    assert optimal_values(MDP, 0.0).values == pytest.approx([0.2, 1.0])


@pytest.mark.parametrize("tolerance", [1e-1, 1e-4])
def test_the_tolerance_is_kept_where_nothing_mixes(tolerance):
    """Two states that never meet: V* = (100, 0). The span shrinks slowly, so a test that stops early is far off."""
    values = optimal_values(TabularMDP([np.eye(2)], reward=[1.0, 0.0]), 0.99, tolerance=tolerance).values
    error = np.abs(values - [100.0, 0.0]).max()
    assert tolerance / 100 < error <= tolerance


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
