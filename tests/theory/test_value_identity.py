"""docs/theory.md, 2.11: V - Vhat = gamma (I - gamma P)^-1 (P - Phat) Vhat, and its finite-horizon form."""

import numpy as np
import pytest

from spectral_jepa.planning import occupancy, policy_values

SEEDS = [0, 1, 2, 3]


def chain_of(world, policy):
    states = np.arange(len(policy))
    return world.transition[policy, states], world.reward[states, policy]


@pytest.mark.parametrize("seed", SEEDS)
def test_discounted_identity_holds_for_any_matrix(draw_world, seed):
    world, gamma, horizon = draw_world(seed, 6, 3), 0.7, 120
    rng = np.random.default_rng(seed)
    policy = rng.integers(0, 3, size=6)
    chain, reward = chain_of(world, policy)
    model = rng.standard_normal((6, 6)) / 6  # signed, rows that sum to nothing in particular
    believed = np.linalg.solve(np.eye(6) - gamma * model, reward)
    # 0.7^120 < 1e-18: the finite horizon is the infinite one.
    true = policy_values(world.mdp, np.tile(policy, (horizon, 1)), gamma)[0]
    gap = gamma * np.linalg.solve(np.eye(6) - gamma * chain, (chain - model) @ believed)
    assert np.abs(true - believed - gap).max() < 1e-10
    assert np.abs(gap).max() > 0.1
    # With the inverse of the model's chain instead of the truth's it is another identity, about (P - Phat) V.
    other = gamma * np.linalg.solve(np.eye(6) - gamma * model, (chain - model) @ believed)
    assert np.abs(other - gap).max() > 1e-3


@pytest.mark.parametrize("gamma", [1.0, 0.8])
@pytest.mark.parametrize("seed", SEEDS)
def test_finite_horizon_identity_sums_over_the_occupancy(draw_world, seed, gamma):
    world, horizon = draw_world(seed, 5, 3), 6
    rng = np.random.default_rng(seed)
    policy = rng.integers(0, 3, size=(horizon, 5))
    model = rng.standard_normal((3, 5, 5)) / 3
    believed = np.zeros((horizon + 1, 5))
    for h in range(horizon - 1, -1, -1):
        for x in range(5):
            a = policy[h, x]
            believed[h, x] = world.reward[x, a] + gamma * sum(model[a, x, y] * believed[h + 1, y] for y in range(5))
    start = rng.dirichlet(np.ones(5))
    law = occupancy(world.mdp, policy, start)
    assert np.abs(law.sum(axis=(1, 2)) - 1).max() < 1e-12
    gap = 0.0
    for h in range(horizon):
        for a in range(3):
            for x in range(5):
                error = (world.transition[a, x] - model[a, x]) @ believed[h + 1]
                gap += gamma ** (h + 1) * law[h, a, x] * error
    true = policy_values(world.mdp, policy, gamma)
    assert start @ (true[0] - believed[0]) == pytest.approx(gap, abs=1e-10)
    assert abs(gap) > 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_occupancy_is_the_law_of_the_chain(draw_world, seed):
    world = draw_world(seed, 4, 2)
    rng = np.random.default_rng(seed)
    policy, start = rng.integers(0, 2, size=(4, 4)), rng.dirichlet(np.ones(4))
    law, here = occupancy(world.mdp, policy, start), start.copy()
    for h in range(4):
        for a in range(2):
            for x in range(4):
                assert law[h, a, x] == pytest.approx(here[x] if policy[h, x] == a else 0, abs=1e-12)
        here = sum(here[x] * world.transition[policy[h, x], x] for x in range(4))
