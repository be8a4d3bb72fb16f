"""QuantEcon's DiscreteDP and brute-force enumeration of policies as oracles for values."""

import itertools

import numpy as np
import pytest
from quantecon.markov import DiscreteDP
from quantecon.markov import backward_induction as quantecon_backward_induction

from spectral_jepa import TabularMDP, optimal_values
from spectral_jepa.planning import backward_induction, policy_values
from spectral_jepa.planning import values as module

SEEDS = [0, 1, 2, 3]


def draw(seed, n_states=12, n_actions=3, signed=True):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(n_states, 0.2), size=(n_actions, n_states))
    reward = rng.standard_normal((n_states, n_actions)) if signed else rng.random((n_states, n_actions))
    return transition, reward


def reference(transition, reward, gamma):
    return DiscreteDP(reward, np.swapaxes(transition, 0, 1), gamma)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("seed", SEEDS)
def test_optimal_values(monkeypatch, seed, gamma, sparse, exact):
    if not exact:  # as in a world too large for a factorisation
        monkeypatch.setattr(module, "EXACT_STATES", 0)
        monkeypatch.setattr(module, "BAND_ENTRIES", 0)
    transition, reward = draw(seed)
    mdp = TabularMDP(transition, reward=reward, discount=gamma)
    solution = optimal_values(mdp.as_sparse() if sparse else mdp, tolerance=1e-9)
    expected = reference(transition, reward, gamma).solve(method="policy_iteration")
    assert np.abs(solution.values - expected.v).max() < 2e-9
    assert np.array_equal(solution.policy, expected.sigma)
    assert np.ptp(expected.v) > 0.1


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_tolerance_is_a_promise(monkeypatch, seed, tolerance):
    monkeypatch.setattr(module, "EXACT_STATES", 0)
    transition, reward = draw(seed)
    expected = reference(transition, reward, 0.99).solve(method="policy_iteration").v
    solution = optimal_values(TabularMDP(transition, reward=reward), 0.99, tolerance=tolerance)
    assert np.abs(solution.values - expected).max() <= tolerance


@pytest.mark.parametrize("gamma", [0.5, 0.999])
def test_a_tolerance_below_rounding_ends(monkeypatch, gamma):
    monkeypatch.setattr(module, "EXACT_STATES", 0)
    transition, reward = draw(0)
    expected = reference(transition, reward, gamma).solve(method="policy_iteration").v
    solution = optimal_values(TabularMDP(transition, reward=reward), gamma, tolerance=1e-18)
    assert np.abs(solution.values - expected).max() < 1e-9


@pytest.mark.filterwarnings("ignore:infinite horizon solution methods")
@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("seed", SEEDS)
def test_backward_induction(seed, gamma):
    transition, reward = draw(seed)
    expected, policy = quantecon_backward_induction(reference(transition, reward, gamma), 7)
    values, planned = backward_induction(transition, reward, 7, gamma, clip=False)
    assert np.abs(values - expected).max() < 1e-11
    assert np.array_equal(planned, policy)


@pytest.mark.parametrize("seed", SEEDS)
def test_clipping_does_nothing_to_a_true_model_with_unit_rewards(seed):
    transition, reward = draw(seed, signed=False)
    expected, _ = quantecon_backward_induction(reference(transition, reward, 0.9), 7)
    values, _ = backward_induction(transition, reward, 7, 0.9)
    assert np.abs(values - expected).max() < 1e-11


@pytest.mark.parametrize("gamma", [0.5, 0.9])
@pytest.mark.parametrize("seed", SEEDS)
def test_policy_values_of_a_long_horizon(seed, gamma):
    transition, reward = draw(seed)
    policy = np.random.default_rng(seed).integers(0, 3, size=12)
    expected = reference(transition, reward, gamma).evaluate_policy(policy)
    mdp = TabularMDP(transition, reward=reward)
    values = policy_values(mdp, np.tile(policy, (400, 1)), gamma)
    assert np.abs(values[0] - expected).max() < 1e-10


@pytest.mark.parametrize("gamma", [1.0, 0.6])
@pytest.mark.parametrize("seed", SEEDS)
def test_brute_force_over_all_policies(seed, gamma):
    """3 states, 2 actions, 2 steps: all 64 time-dependent policies, each evaluated by following every path."""
    n, horizon = 3, 2
    transition, reward = draw(seed, n, 2)
    best = np.full(n, -np.inf)
    policies = [np.array(p).reshape(horizon, n) for p in itertools.product(range(2), repeat=horizon * n)]
    by_paths = []
    for policy in policies:
        returns = np.zeros(n)
        for path in itertools.product(range(n), repeat=horizon):
            probability, total = 1.0, 0.0
            for h, x in enumerate(path):
                total += gamma**h * reward[x, policy[h, x]]
                if h + 1 < horizon:
                    probability *= transition[policy[h, x], x, path[h + 1]]
            returns[path[0]] += probability * total
        by_paths.append(returns)
        best = np.maximum(best, returns)
    values, planned = backward_induction(transition, reward, horizon, gamma, clip=False)
    assert np.abs(values[0] - best).max() < 1e-12
    mdp = TabularMDP(transition, reward=reward)
    batch = policy_values(mdp, np.stack(policies), gamma)
    assert batch.shape == (64, horizon + 1, n)
    assert np.abs(batch[:, 0] - by_paths).max() < 1e-12
    assert np.abs(policy_values(mdp.as_sparse(), np.stack(policies), gamma) - batch).max() < 1e-12
    assert np.abs(policy_values(mdp, planned, gamma)[0] - best).max() < 1e-12
    assert np.ptp(by_paths, axis=0).min() > 0.05
