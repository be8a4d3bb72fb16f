"""Thm 4.4-4.6 as printed: constants recomputed, Rademacher complexity enumerated, and how vacuous they are."""

import itertools

import numpy as np
import pytest
import scipy.linalg

from spectral_jepa import (
    CoOccurrence,
    plan_goals,
    printed_chain_bound,
    printed_sample_bound,
    printed_spurious_constant,
    rademacher_complexity,
    sample_transitions,
    spectral_embedding,
    spectral_risk,
    tail,
)


def rademacher_by_enumeration(weight, n_samples, ceiling):
    """Mean over all samples and all signs of sup_{|f| <= ceiling} (1/N) sum_i sigma_i f(x_i)."""
    total = 0.0
    for sample in itertools.product(range(len(weight)), repeat=n_samples):
        probability = np.prod([weight[x] for x in sample])
        for signs in itertools.product((-1, 1), repeat=n_samples):
            # The supremum picks f(x) = ceiling * sign of the sum of signs that fall on x.
            best = sum(abs(sum(s for s, x in zip(signs, sample, strict=True) if x == y)) for y in range(len(weight)))
            total += probability * ceiling * best / n_samples / 2**n_samples
    return total


@pytest.mark.parametrize("n_samples", [1, 2, 3, 5])
@pytest.mark.parametrize("weight", [[1.0], [0.5, 0.5], [0.7, 0.2, 0.1], [0.0, 1.0]])
def test_rademacher_complexity_by_enumeration(weight, n_samples):
    expected = rademacher_by_enumeration(weight, n_samples, 1.7)
    assert rademacher_complexity(np.array(weight), n_samples, 1.7) == pytest.approx(expected, abs=1e-12)


def test_rademacher_complexity_of_many_samples():
    """One state: E|sum of N signs| / N, which is sqrt(2 / (pi N)) in the limit."""
    for n in (10_000, 1_000_000):
        assert rademacher_complexity(np.array([1.0]), n, 1.0) == pytest.approx(np.sqrt(2 / (np.pi * n)), rel=1e-4)
    halves = rademacher_complexity(np.array([0.5, 0.5]), 10_000, 1.0)
    assert halves == pytest.approx(np.sqrt(2) * np.sqrt(2 / (np.pi * 10_000)), rel=1e-3)


@pytest.mark.parametrize("dim, ceiling, c1, c2", [(1, 1.0, 64, 10), (2, 1.0, 192, 24), (2, 2.0, 1152, 192)])
def test_printed_constants_of_the_sample_theorem(as_world, dim, ceiling, c1, c2):
    """c1 = 32 k^2 kappa^3 + 32 k kappa and c2 = 8 k kappa^2 + 2 k^2 kappa^4, worked out on paper."""
    world = as_world([[[0.9, 0.1], [0.3, 0.7]]])
    after = world.next_weight[0]
    assert after.tolist() == pytest.approx([0.6, 0.4])
    pair = rademacher_by_enumeration([0.5, 0.5], 3, ceiling) + rademacher_by_enumeration(after, 3, ceiling)
    expected = c1 * pair + c2 * (np.sqrt(np.log(2 / 0.05) / 6) + 0.05)
    bound = printed_sample_bound(world.exact, dim, 6, ceiling=ceiling)
    assert bound.value == pytest.approx(expected, rel=1e-10)
    assert bound.ceiling == pytest.approx(np.linalg.norm(world.normalized(0)) ** 2)
    assert bound.vacuous


@pytest.mark.parametrize("dim, ceiling, c1, c2", [(1, 1.0, 32, 10), (2, 1.0, 128, 24), (2, 2.0, 384, 192)])
@pytest.mark.parametrize("spurious", [True, False])
def test_printed_chain_for_one_step(as_world, dim, ceiling, c1, c2, spurious):
    """Thm 4.5: c1 = 16 k^2 kappa^2 + 16 k^2 kappa, unlike Thm 4.4's; c0 averages, and c sits under the root."""
    world = as_world([[[0.9, 0.1], [0.3, 0.7]], [[0.2, 0.8], [0.5, 0.5]]])
    after = world.next_weight
    assert after.ravel().tolist() == pytest.approx([0.6, 0.4, 0.35, 0.65])
    embedding = spectral_embedding(world.exact, dim)
    plan = plan_goals(world.mdp, embedding, score="dot")
    pairs = [
        rademacher_by_enumeration([0.5, 0.5], 3, ceiling) + rademacher_by_enumeration(after[a], 3, ceiling) for a in range(2)
    ]
    missed = max(np.sum(scipy.linalg.svdvals(world.normalized(a))[dim:] ** 2) for a in range(2))
    joint = 0.5 * world.transition
    constant = 2 - np.mean(
        [[max(joint[a, x, y] ** 2 / (0.5 * after[a, y]) for a in range(2)) for y in range(2)] for x in range(2)]
    )
    assert printed_spurious_constant(world.exact, plan) == pytest.approx(constant, rel=1e-10)
    c0 = np.mean([np.sqrt(max(after[:, y]) / 0.5) for _ in range(2) for y in range(2)])
    inside = missed + c1 * max(pairs) + c2 * (np.sqrt(np.log(2 / 0.05) / 6) + 0.05) + (constant if spurious else 0)
    bound = printed_chain_bound(world.exact, dim, 6, plan, ceiling=ceiling, spurious_constant=spurious)
    assert bound.value == pytest.approx(2 * c0 * np.sqrt(inside), rel=1e-10)
    assert "4.5" in bound.source


def test_printed_chain_for_several_steps(as_world):
    world = as_world([np.roll(np.eye(3), 1, axis=1), np.eye(3)], weight=[0.2, 0.3, 0.5])
    embedding = spectral_embedding(world.exact, 2)
    plan = plan_goals(world.mdp, embedding, horizon=3)
    pairs = [
        rademacher_by_enumeration(world.weight, 2, 1.0) + rademacher_by_enumeration(world.next_weight[a], 2, 1.0)
        for a in range(2)
    ]
    c3 = np.sqrt(0.5 / 0.2)
    inside = 1.0 + 128 * max(pairs) + 24 * (np.sqrt(np.log(2 / 0.1) / 4) + 0.1)
    bound = printed_chain_bound(world.exact, 2, 4, plan, ceiling=1.0, failure_probability=0.1, spurious_constant=False)
    assert bound.value == pytest.approx(2 * 3 * c3 * np.sqrt(inside), rel=1e-10)
    assert "4.6" in bound.source


@pytest.mark.parametrize("n, n_actions", [(3, 1), (6, 3), (10, 10)])
def test_the_spurious_constant_alone_is_vacuous_on_bijective_worlds(as_world, n, n_actions):
    """w(x,y,a)^2 / (w w+) is 1 where some action leads from x to y, else 0: c >= 1, and 2 c0 sqrt(c) >= 2."""
    world = as_world([np.roll(np.eye(n), k, axis=1) for k in range(n_actions)])
    embedding = spectral_embedding(world.exact, n)
    plan = plan_goals(world.mdp, embedding, score="dot")
    constant = printed_spurious_constant(world.exact, plan)
    assert constant == pytest.approx(2 - n_actions / n, abs=1e-12)
    assert tail(world.exact, n).max() < 1e-12  # nothing is missed, and the samples may be as many as you like
    bound = printed_chain_bound(world.exact, n, 10**6, plan, ceiling=1.0, failure_probability=1e-9)
    assert 2 * np.sqrt(constant) >= 2 and bound.value >= 2 * np.sqrt(constant) - 1e-9
    assert bound.vacuous and plan.mean_regret == 0


@pytest.mark.parametrize("concentration", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_spurious_constant_alone_is_vacuous_in_every_world(draw_world, seed, concentration):
    """M^2 / (w w+) is P times the backward probability, so c >= 1; P <= min(1, w+/w) <= sqrt(w+/w), so c0 >= best."""
    world = draw_world(seed, 5, 3, concentration=concentration)
    plan = plan_goals(world.mdp, spectral_embedding(world.exact, 2))
    after = np.max(world.next_weight, axis=0)
    c0 = sum(w * np.sqrt(after[y] / w) for w in world.weight for y in range(5)) / 5
    best = sum(w * world.transition[:, x, y].max() for x, w in enumerate(world.weight) for y in range(5)) / 5
    constant = printed_spurious_constant(world.exact, plan)
    backward = world.weight[:, None] * world.transition / np.where(world.next_weight > 0, world.next_weight, 1)[:, None]
    by_hand = 2 - world.weight @ (world.transition * backward).max(axis=0).mean(axis=1)
    assert constant == pytest.approx(by_hand, abs=1e-12)
    assert 1 - 1e-12 <= constant <= 2 and c0 >= best - 1e-12 > 0
    bound = printed_chain_bound(world.exact, 2, 10**9, plan, ceiling=1.0, failure_probability=1e-9)
    assert bound.value >= 2 * c0 * np.sqrt(constant) - 1e-9 >= 2 * best - 1e-9
    assert bound.ceiling == pytest.approx(best, abs=1e-12) and bound.vacuous


@pytest.mark.parametrize("seed", [0])
def test_the_sample_theorem_holds_and_is_vacuous(draw_world, seed):
    """Measured excess risk of the empirical minimiser with known marginals against the printed bound: orders apart."""
    world = draw_world(seed, 4, 1, concentration=0.5)
    exact = world.exact
    for n_samples in (100, 10_000):
        excess = []
        for sample in range(20):
            data = sample_transitions(world.mdp, n_samples, seed=sample)
            fit = spectral_embedding(CoOccurrence.from_transitions(data, "known", known=exact), 2)
            excess.append(spectral_risk(exact, fit)[0] - tail(exact, 2)[0])
        bound = printed_sample_bound(exact, 2, n_samples, ceiling=fit.coordinate_ceiling)
        assert 0 < max(excess) <= bound.value
        assert bound.vacuous and bound.value > 100 * max(excess)
