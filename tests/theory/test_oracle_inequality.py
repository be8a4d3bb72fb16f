"""docs/theory.md, 4.5: sqrt(R_S) <= sqrt(tail_k) + 2 sqrt(2k) ||E||_2 for the rank-k truncation of Mbar + E."""

import numpy as np
import pytest
import scipy.linalg

from spectral_jepa import (
    CoOccurrence,
    Embedding,
    oracle_bound,
    pooled_risk,
    sample_transitions,
    spectral_embedding,
    spectral_risk,
)

SEEDS = [0, 1, 2]


def truncate(matrix, dim):
    left, values, right_t = np.linalg.svd(matrix)
    return (left[:, :dim] * values[:dim]) @ right_t[:dim]


@pytest.mark.parametrize("size", [1e-3, 0.05, 0.5, 3.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_perturbation(draw_world, seed, size):
    world = draw_world(seed, 6, 1, concentration=0.3)
    matrix, values = world.normalized(0), scipy.linalg.svdvals(world.normalized(0))
    rng = np.random.default_rng([seed, 1])
    for trial in range(20):
        error = size * rng.standard_normal((6, 6))
        if trial % 2:  # push the smallest directions up and the largest down: the worst a perturbation can do
            left, _, right_t = np.linalg.svd(matrix)
            error = size * (left[:, ::-1] - left) @ right_t
        norm = scipy.linalg.svdvals(error)[0]
        for dim in range(1, 7):
            risk = np.linalg.norm(matrix - truncate(matrix + error, dim))
            bound = np.sqrt(np.sum(values[dim:] ** 2)) + 2 * np.sqrt(2 * dim) * norm
            assert risk <= bound + 1e-10
            assert oracle_bound(world.exact, dim, norm, action=0).value == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("seed", [0])
def test_stacked_bound_and_its_ceiling(draw_world, seed):
    world = draw_world(seed, 5, 3, concentration=0.3)
    values = scipy.linalg.svdvals(world.stacked())
    bound = oracle_bound(world.exact, 2, 0.01)
    assert bound.value == pytest.approx(np.sqrt(np.sum(values[2:] ** 2)) + 2 * np.sqrt(4) * 0.01, rel=1e-9)
    assert bound.ceiling == pytest.approx(np.linalg.norm(world.stacked()), rel=1e-9)
    assert not bound.vacuous and oracle_bound(world.exact, 2, 1.0).vacuous


@pytest.mark.parametrize("n_per_action", [30, 1000])
@pytest.mark.parametrize("seed", SEEDS)
def test_estimates_with_known_marginals(draw_world, seed, n_per_action):
    world = draw_world(seed, 6, 2, concentration=0.3)
    exact = world.exact
    cooc = CoOccurrence.from_transitions(sample_transitions(world.mdp, n_per_action, seed=seed), "known", known=exact)
    for dim in range(1, 7):
        risk = spectral_risk(exact, spectral_embedding(cooc, dim))
        for action in range(2):
            norm = scipy.linalg.svdvals(cooc.normalized[action] - world.normalized(action))[0]
            bound = oracle_bound(exact, dim, norm, action=action)
            assert np.sqrt(risk[action]) <= bound.value + 1e-10
            assert np.sqrt(risk[action]) > bound.value / 50
        norm = scipy.linalg.svdvals(cooc.stacked - world.stacked())[0]
        pooled = pooled_risk(exact, spectral_embedding(cooc, dim, shared=True))
        assert np.sqrt(pooled) <= oracle_bound(exact, dim, norm).value + 1e-10


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_nearly_attained_and_no_smaller_constant(dim):
    """E lifts an empty block just above the true one, which it halves: sqrt(R_S) = .79 of the bound."""
    true = np.diag(np.r_[np.ones(dim), np.zeros(dim)])
    error = np.diag(np.r_[np.full(dim, -0.5), np.full(dim, 0.5 + 1e-9)])
    risk = np.linalg.norm(true - truncate(true + error, dim))
    norm = scipy.linalg.svdvals(error)[0]
    bound = 2 * np.sqrt(2 * dim) * norm  # the tail is 0
    assert risk == pytest.approx(np.sqrt(1.25 * dim), rel=1e-6)
    assert 0.79 < risk / bound < 1
    assert risk > np.sqrt(2 * dim) * norm * 1.5  # without the 2
    assert risk > 2 * np.sqrt(dim) * norm * 1.1  # with rank k in place of 2k


@pytest.mark.parametrize("seed", [0])
def test_the_truncated_estimate_is_needed(draw_world, draw_embedding, seed):
    """Any other embedding of dimension k may be worse, whatever E was."""
    world = draw_world(seed, 6, 1, concentration=0.3)
    exact = world.exact
    best = spectral_embedding(exact, 2)
    worse = Embedding(best.target, -best.predicted, best.column_weight)
    assert np.sqrt(spectral_risk(exact, worse)[0]) > oracle_bound(exact, 2, 0.01, action=0).value + 0.5


@pytest.mark.parametrize("seed", [1])
def test_full_rank_pays_for_all_of_the_noise(draw_world, seed):
    """k = n, the input-level extreme: no tail, and the risk is ||E||_F^2 itself."""
    world = draw_world(seed, 6, 2, concentration=0.3)
    cooc = CoOccurrence.from_transitions(sample_transitions(world.mdp, 100, seed=0), "known", known=world.mdp)
    risk = spectral_risk(world.exact, spectral_embedding(cooc, 6))
    error = [np.linalg.norm(cooc.normalized[a] - world.normalized(a)) ** 2 for a in range(2)]
    assert risk == pytest.approx(error, rel=1e-9)
