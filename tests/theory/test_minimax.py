"""docs/rate_and_constant.md, 1: no estimator beats c k n / N in every world of rank k; truncated SVD is near."""

import itertools

import numpy as np
import pytest
import scipy.integrate

from spectral_jepa import (
    CoOccurrence,
    InputError,
    TabularMDP,
    minimax_risk_lower_bound,
    minimax_risk_upper_bound,
    packing_bayes_risk,
    packing_kernels,
    packing_strength,
    spectrum,
)


def chance_of(n_states, rank):
    """c = 4 q / n^2: how often a transition falls on the cells of one coordinate."""
    return 4 * (n_states // 2 // rank) / n_states**2


def truncate(matrices, dim):
    left, values, right_t = np.linalg.svd(matrices, full_matrices=False)
    return (left[..., :dim] * values[..., None, :dim]) @ right_t[..., :dim, :]


def count_risks(rng, n_states, dim, n_samples, draws, strength=None):
    """R and ||E||_2^2 of the rank-k truncated SVD of counts over known uniform marginals, theta drawn from the cube."""
    strength = packing_strength(n_states, dim, n_samples) if strength is None else strength
    theta = strength * rng.choice([-1.0, 1.0], size=(draws, n_states // 2, dim - 1))
    kernels = packing_kernels(theta, n_states)
    counts = np.stack([rng.multinomial(n_samples, kernel.ravel() / n_states).reshape(kernel.shape) for kernel in kernels])
    estimates = counts * (n_states / n_samples)  # M over sqrt(w w+), both 1 / n
    risks = np.sum((truncate(estimates, dim) - kernels) ** 2, axis=(1, 2))
    return risks, np.linalg.norm(estimates - kernels, ord=2, axis=(1, 2)) ** 2


# --- The packing, cell by cell.


@pytest.mark.parametrize("n_states, rank", [(2, 1), (4, 2), (5, 1), (6, 2), (7, 2)])
def test_the_worlds_are_what_the_proof_says(n_states, rank):
    pairs = n_states // 2
    strength, chance = 0.4, chance_of(n_states, rank)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=pairs * rank))).reshape(-1, pairs, rank)
    kernels = packing_kernels(strength * signs, n_states)
    assert kernels.min() >= (1 - strength) / n_states - 1e-15
    assert np.abs(kernels.sum(axis=1) - 1).max() < 1e-12 and np.abs(kernels.sum(axis=2) - 1).max() < 1e-12
    assert max(np.linalg.matrix_rank(kernel) for kernel in kernels) == rank + 1
    flips = np.sum(signs[:, None] != signs[None], axis=(2, 3))
    apart = np.sum((kernels[:, None] - kernels[None]) ** 2, axis=(2, 3))
    assert flips.max() == pairs * rank and np.abs(apart - 4 * strength**2 * chance * flips).max() < 1e-12
    # The laws of one transition: Hellinger affinity and Kullback-Leibler divergence of neighbours, by sums over all cells.
    joint = kernels / n_states
    first, second = map(int, np.argwhere(flips == 1)[0])
    affinity = sum(np.sqrt(p * q) for p, q in zip(joint[first].flat, joint[second].flat, strict=True))
    divergence = sum(p * np.log(p / q) for p, q in zip(joint[first].flat, joint[second].flat, strict=True))
    assert affinity == pytest.approx(1 - chance * (1 - np.sqrt(1 - strength**2)), abs=1e-12)
    assert divergence == pytest.approx(chance * strength * np.log((1 + strength) / (1 - strength)), abs=1e-12)


def test_they_are_worlds_of_the_package_with_uniform_laws_and_rank_k():
    kernel = packing_kernels(np.array([[0.9, -0.3], [0.2, 0.5], [-0.8, 0.1], [0.4, 0.4]]), 8)
    exact = CoOccurrence.exact(TabularMDP(kernel[None]))
    assert np.abs(exact.column_weight - 1 / 8).max() < 1e-15
    assert np.abs(exact.normalized[0] - kernel).max() < 1e-15
    assert spectrum(exact)[0, 2] > 0.1 and spectrum(exact)[0, 3:].max() < 1e-12


@pytest.mark.parametrize("n_states, rank, n_samples", [(2, 1, 3), (3, 1, 2), (4, 1, 2), (4, 2, 2)])
def test_the_bayes_risk_is_that_of_every_sample_enumerated(n_states, rank, n_samples):
    strength, pairs = 0.6, n_states // 2
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=pairs * rank))).reshape(-1, pairs, rank)
    kernels = packing_kernels(strength * signs, n_states)
    cells = kernels.reshape(len(signs), -1) / n_states
    total = 0.0
    for sample in itertools.product(range(n_states**2), repeat=n_samples):
        chances = np.prod(cells[:, list(sample)], axis=1) / len(signs)
        mean = np.tensordot(chances, kernels, 1) / chances.sum()
        total += chances @ np.sum((kernels - mean) ** 2, axis=(1, 2))
    found = packing_bayes_risk(n_states, rank + 1, n_samples, [-strength, strength], [0.5, 0.5])
    assert found == pytest.approx(total, abs=1e-12) and total > 0.01


# --- The inequality.


def cosine_prior(chance, n_samples, nodes=128):
    """Quadrature of cos^2(pi t / 2A) / A on [-A, A], A^2 = pi / (sqrt(c N) + pi), of Fisher information (pi / A)^2."""
    reach = np.sqrt(np.pi / (np.sqrt(chance * n_samples) + np.pi))
    points, weights = np.polynomial.legendre.leggauss(nodes)
    weights = weights * np.cos(np.pi * points / 2) ** 2
    return reach * points, weights / weights.sum()


def check_lower_bound(n_states, dim, n_samples):
    """Bayes risks of the two priors of the proof are no smaller than the two terms of the bound; returns bound / risk."""
    pairs = n_states // 2
    rank = min(dim - 1, pairs)
    chance = chance_of(n_states, rank)
    strength = packing_strength(n_states, dim, n_samples)
    two = packing_bayes_risk(n_states, dim, n_samples, [-strength, strength], [0.5, 0.5])
    smooth = packing_bayes_risk(n_states, dim, n_samples, *cosine_prior(chance, n_samples))
    bound = minimax_risk_lower_bound(n_states, dim, n_samples)
    gap = 1 - np.sqrt(1 - strength**2)
    first = pairs * rank * chance * strength**2 * (1 - chance * gap) ** (2 * n_samples)
    second = pairs * rank * chance / (np.sqrt(chance * n_samples) + np.pi) ** 2
    assert bound == pytest.approx(max(first, second), rel=1e-10)
    assert first <= two + 1e-10 and second <= smooth + 1e-10
    return bound / max(two, smooth)


@pytest.mark.parametrize("seed", [0])
def test_no_estimator_does_better(seed):
    rng = np.random.default_rng([seed, 3])
    shares = []
    for _ in range(30):
        n_states = int(rng.integers(2, 60))
        shares.append(check_lower_bound(n_states, int(rng.integers(2, n_states + 1)), int(rng.integers(1, 60))))
    assert 0.7 < np.median(shares) <= max(shares) <= 1 + 1e-12


def test_the_strength_is_the_best_one():
    for n_states, dim, n_samples in [(8, 3, 5), (40, 4, 300), (41, 25, 50)]:
        pairs, rank = n_states // 2, min(dim - 1, n_states // 2)
        gaps = np.linspace(1e-4, 1, 20_001)
        chance = chance_of(n_states, rank)
        best = np.max(pairs * rank * chance * gaps * (2 - gaps) * (1 - chance * gaps) ** (2 * n_samples))
        bound = minimax_risk_lower_bound(n_states, dim, n_samples)
        assert best * (1 - 1e-12) <= bound <= best * (1 + 1e-6)


@pytest.mark.parametrize("n_states, dim, n_samples", [(32, 3, 400), (32, 5, 1500), (33, 4, 4000)])
@pytest.mark.parametrize("seed", [0])
def test_the_truncated_svd_lies_between(seed, n_states, dim, n_samples):
    risks, norms = count_risks(np.random.default_rng(seed), n_states, dim, n_samples, 20)
    assert np.all(risks <= 5 * dim * norms + 1e-10)
    assert minimax_risk_lower_bound(n_states, dim, n_samples) < risks.mean()
    log, largest = np.log(2 * n_states), (n_states + 1) / n_samples
    norm = 4 * n_states / n_samples * (log + 1) + 8 / 9 * largest**2 * (log**2 + 2 * log + 2)
    assert norms.mean() < norm and risks.mean() < 5 * dim * norm
    capped = min(5 * dim * norm, (n_states**2 - 1) / n_samples, dim - 1)
    assert minimax_risk_upper_bound(n_states, dim, n_samples) == pytest.approx(capped, rel=1e-12)


def test_the_upper_bound_is_the_tail_of_bernstein_integrated():
    n_states, dim, n_samples = 512, 2, 300_000

    def quantile(chance):
        log = np.log(2 * n_states / chance)
        return np.sqrt(2 * n_states / n_samples * log), 2 * (n_states + 1) / (3 * n_samples) * log

    split, _ = scipy.integrate.quad(lambda chance: 2 * sum(part**2 for part in quantile(chance)), 0, 1)
    whole, _ = scipy.integrate.quad(lambda chance: sum(quantile(chance)) ** 2, 0, 1)
    bound = minimax_risk_upper_bound(n_states, dim, n_samples)
    assert bound == pytest.approx(5 * dim * split, rel=1e-7) and 5 * dim * whole < bound
    assert bound < min(dim - 1, (n_states**2 - 1) / n_samples)


# --- The order, and how near.


def test_the_order_is_k_n_over_n_samples():
    """The bound itself, in both regimes: .14 to .2 and .5 of (k - 1) n / N; never below .05."""
    for n_states in range(2, 30):
        for dim in range(2, n_states + 1):
            unit = n_states * (dim - 1)
            least = min(times * unit * minimax_risk_lower_bound(n_states, dim, times * unit) for times in (1, 3, 30)) / unit
            assert least > (0.14 if n_states % 2 == 0 and dim - 1 <= n_states // 2 else 0.05)
    for n_states, dim in [(64, 5), (256, 17), (1000, 3)]:
        unit = n_states * (dim - 1)
        assert minimax_risk_lower_bound(n_states, dim, unit) == pytest.approx(1 / (2 * np.e), rel=0.2)
        assert minimax_risk_lower_bound(n_states, dim, 10**6 * unit) == pytest.approx(0.5e-6, rel=0.01)
        # The closed form of the text, for every N: (2 - u) u / e, u = min(1, 1 / (c (2 N + 1))).
        for n_samples in (1, unit // 4, unit, 10 * unit):
            chance = chance_of(n_states, dim - 1)
            u = min(1, 1 / (chance * (2 * n_samples + 1)))
            simple = n_states // 2 * (dim - 1) * chance * u * (2 - u) / np.e
            assert simple <= minimax_risk_lower_bound(n_states, dim, n_samples) + 1e-12


@pytest.mark.parametrize("seed", [0])
def test_measured_slopes_of_the_truncated_svd(seed):
    rng = np.random.default_rng([seed, 11])

    def slope(cells):
        risks = [count_risks(rng, n, k, size, 6)[0].mean() for n, k, size in cells]
        grid = [next(values for values in zip(*cells, strict=True) if len(set(values)) > 1)][0]
        return np.polyfit(np.log(grid), np.log(risks), 1)[0]

    assert slope([(48, 4, n) for n in (1000, 4000, 16000, 64000)]) == pytest.approx(-1, abs=0.1)
    assert slope([(n, 3, 16000) for n in (32, 64, 128)]) == pytest.approx(1, abs=0.2)
    assert slope([(96, k, 40000) for k in (3, 5, 9)]) == pytest.approx(1, abs=0.25)


# --- Without a hypothesis.


@pytest.mark.parametrize("seed", [0])
def test_an_estimator_that_knows_more_or_sees_more_is_below(seed):
    n_states, dim, n_samples = 24, 3, 200
    rng = np.random.default_rng(seed)
    bound, strength = minimax_risk_lower_bound(n_states, dim, n_samples), packing_strength(n_states, dim, n_samples)
    # Told the signs, it has one number left to estimate instead of (k - 1) n / 2.
    signs = rng.choice([-1.0, 1.0], size=(n_states // 2, dim - 1))
    kernel, pattern = packing_kernels(strength * signs, n_states), n_states * packing_kernels(signs, n_states) - 1
    counts = rng.multinomial(n_samples, kernel.ravel() / n_states, size=20).reshape(-1, n_states, n_states)
    found = np.sum(counts * pattern, axis=(1, 2)) / n_samples
    told = np.sum((packing_kernels(found[:, None, None] * signs, n_states) - kernel) ** 2, axis=(1, 2))
    assert 0 < told.mean() < bound / 10
    risks, _ = count_risks(rng, n_states, dim, 100 * n_samples, 10)
    assert risks.mean() < bound / 3


def test_the_upper_bound_needs_worlds_of_rank_k():
    """A permutation has no tail that is small: rank 2 of 40 misses 38."""
    world = np.eye(40)[np.roll(np.arange(40), 1)]
    counts = np.random.default_rng(0).multinomial(10**6, world.ravel() / 40).reshape(40, 40) * (40 / 10**6)
    assert np.sum((truncate(counts, 2) - world) ** 2) > 37 > 20 * minimax_risk_upper_bound(40, 2, 10**6)


def test_more_contrast_would_be_no_probability():
    with pytest.raises(InputError, match="negative"):
        packing_kernels(np.full((2, 1), 1.1), 4)
    with pytest.raises(InputError, match="shape"):
        packing_kernels(np.full((3, 1), 0.5), 4)
    with pytest.raises(InputError, match="at most 1"):
        packing_bayes_risk(4, 2, 3, [-1.1, 1.1], [0.5, 0.5])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_twenty_thousand_triples(seed):
    """Random n, k, N, then climbs that raise bound / Bayes risk by small moves."""
    rng = np.random.default_rng([seed, 5])
    shares = []
    for _ in range(12_000):
        n_states = int(rng.integers(2, 400))
        shares.append(check_lower_bound(n_states, int(rng.integers(2, n_states + 1)), int(rng.integers(1, 25))))
    for _ in range(200):
        at = [int(rng.integers(2, 60)), 2, int(rng.integers(1, 25))]
        best = check_lower_bound(*at)
        for _ in range(50):
            new = [
                max(2, at[0] + int(rng.integers(-3, 4))),
                at[1] + int(rng.integers(-1, 2)),
                at[2] + int(rng.integers(-2, 3)),
            ]
            new = [new[0], min(max(2, new[1]), new[0]), min(max(1, new[2]), 40)]
            share = check_lower_bound(*new)
            shares.append(share)
            if share > best:
                at, best = new, share
    assert len(shares) >= 20_000 and max(shares) <= 1 + 1e-10
    print(f"{len(shares)} triples, bound / Bayes risk: median {np.median(shares):.3f}, largest {max(shares):.4f}")
