"""SIGReg cannot fall faster than its slope at collapse; laws are scored here by a formula of this file alone."""

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import torch

import spectral_jepa as sj
from spectral_jepa.losses import epps_pulley, expected_sigreg, sigreg
from spectral_jepa.theory.sigreg_phase import FAR_SQUARE, knots_and_weights

SLACK = 1e-10


def rule(n_knots=17, t_max=3.0):
    t = np.linspace(0, t_max, n_knots)
    w = np.full(n_knots, 2 * t_max / (n_knots - 1))
    w[[0, -1]] /= 2
    return t, np.exp(-t * t / 2), w * np.exp(-t * t / 2)


def slices(views, law, inverse_batch=0.0, knots=(17, 3.0)):
    """Expected statistic of each view (..., S, M) under the law (..., S), straight from E |phi_N - u|^2."""
    t, u, w = rule(*knots)
    phi = (law[..., :, None, None] * np.exp(1j * views[..., None] * t)).sum(-3)
    return (abs(phi - u) ** 2 + inverse_batch * (1 - abs(phi) ** 2)) @ w


def tight_frame(rng, k, n_bases):
    """Unit columns whose mean of a a^T is exactly I / k: random orthonormal bases side by side."""
    return np.concatenate([np.linalg.qr(rng.standard_normal((k, k)))[0] for _ in range(n_bases)], axis=1)


def trace(values, law):
    centred = values - (law[..., None] * values).sum(-2, keepdims=True)
    return (law[..., None] * centred**2).sum((-2, -1))


def gaps(values, law, frame, batch_size=None):
    """SIGReg minus its lower bound, for a batch of laws (B, S, k)."""
    k = values.shape[-1]
    found = slices(values @ frame, law, 0 if batch_size is None else 1 / batch_size).mean(-1)
    at_zero, slope = sj.sigreg_lower_bound(0.0, k), sj.sigreg_global_slope(batch_size=batch_size)
    return found - (at_zero - slope / k * trace(values, law))


def random_laws(rng, n_laws, k):
    """Atoms of every size, equal and rare weights, with and without a mean, some on the lattice that 17 knots cannot see."""
    n_atoms = int(rng.integers(2, 7))
    values = rng.standard_normal((n_laws, n_atoms, k)) * 10 ** rng.uniform(-3, 1.5, (n_laws, 1, 1))
    values += rng.standard_normal((n_laws, 1, k)) * 10 ** rng.uniform(-2, 1, (n_laws, 1, 1))
    on_lattice = rng.random(n_laws) < 0.1
    values[on_lattice] = 2 * np.pi * 16 / 3 * rng.integers(-1, 2, (on_lattice.sum(), n_atoms, k))
    return values, rng.dirichlet(np.full(n_atoms, rng.choice([0.05, 0.3, 3.0])), n_laws)


def worst_gap(rng, n_rounds, n_laws, n_climbs):
    """Least gap over random laws and hill climbs from them, over dimensions and batch sizes, and how many were scored."""
    worst, scored, batch_sizes = np.inf, 0, itertools.cycle([None, 1, 2, 3, 8, 57, 128])
    for k, batch_size in zip(itertools.islice(itertools.cycle((1, 2, 3)), n_rounds), batch_sizes, strict=False):
        frame = tight_frame(rng, k, 4)
        values, law = random_laws(rng, n_laws, k)
        best = gaps(values, law, frame, batch_size)
        for _ in range(n_climbs):
            tried = values * np.exp(0.3 * rng.standard_normal(values.shape)) + 0.1 * rng.standard_normal(values.shape)
            moved = law * np.exp(0.5 * rng.standard_normal(law.shape))
            moved /= moved.sum(-1, keepdims=True)
            # Of the gap relative to the variance, or it would only shrink the law.
            found, variance = gaps(tried, moved, frame, batch_size), np.maximum(trace(tried, moved), 1e-300)
            better = (found / variance < best / np.maximum(trace(values, law), 1e-300)) & (variance > 1e-4)
            values[better], law[better], best[better] = tried[better], moved[better], found[better]
            worst = min(worst, found.min())
        worst, scored = min(worst, best.min()), scored + n_laws * (1 + n_climbs)
    return worst, scored


def test_rule_and_value_at_collapse_are_those_of_training():
    knots, normal, weight = knots_and_weights(17, 3.0)
    assert np.array_equal(np.stack([knots, normal, weight]), np.stack(rule()))
    collapsed = float(epps_pulley(torch.zeros(5, 1, dtype=torch.float64), factor=1.0))
    assert sj.sigreg_lower_bound(0.0, 3) == pytest.approx(collapsed, rel=1e-12)
    assert sj.sigreg_lower_bound(0.0, 3, factor=128) == pytest.approx(128 * collapsed, rel=1e-12)
    # A small law lies on its bound up to the square of its variance; the factor multiplies the fall as well.
    small = torch.tensor([[1e-3], [-1e-3]], dtype=torch.float64)
    value = float(sigreg(small, torch.ones(1, 1, dtype=torch.float64), factor=128))
    assert sj.sigreg_lower_bound(1e-6, 1, factor=128) == pytest.approx(value, abs=1e-9)


def test_expected_sigreg_is_the_mean_over_all_batches():
    rng = np.random.default_rng(0)
    values, law = torch.from_numpy(rng.standard_normal((3, 2))), torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    frame = torch.from_numpy(tight_frame(rng, 2, 3))
    for n in (1, 3):
        total = sum(
            float(law[list(batch)].prod()) * float(sigreg(values[list(batch)], frame))
            for batch in itertools.product(range(3), repeat=n)
        )
        assert float(expected_sigreg(values, frame, law, n)) == pytest.approx(total, rel=1e-12)
        by_hand = n * slices((values @ frame).numpy(), law.numpy(), 1 / n).mean()
        assert by_hand == pytest.approx(total, rel=1e-12)


def test_global_slope_is_the_slope_at_collapse_and_on_the_line_in_closed_form():
    for n in (None, 2, 3, 5, 16, 57, 58, 128):
        assert sj.sigreg_global_slope(batch_size=n) == pytest.approx(sj.sigreg_slope(batch_size=n), rel=1e-12)
        whole = np.sqrt(2 * np.pi) * (1 - (0 if n is None else 1 / n)) - np.sqrt(np.pi) / 2
        assert sj.sigreg_global_slope(201, 12.0, batch_size=n) == pytest.approx(whole, rel=1e-9)
    assert sj.sigreg_global_slope(batch_size=1) == 0 > sj.sigreg_slope(batch_size=1)
    # Two knots, one of them at 0: K has one term, and its slope at 0 is its largest.
    assert sj.sigreg_global_slope(2, 1.0, batch_size=3) == pytest.approx(np.exp(-0.5) * (1 - np.exp(-0.5) - 1 / 3))


def test_pair_function_on_the_line_lies_below_its_parabola():
    # The proof for batches on the whole line: A g(y/2) >= B g(y/4) with g(y) = exp(-y) - 1 + y, as g(2z) >= 2 g(z).
    def pair(x, n):
        def inside(t):
            u = np.exp(-t * t / 2)
            return u * (1 - u - 1 / n) * (1 - np.cos(t * x))

        return scipy.integrate.quad(inside, -12, 12, limit=400)[0]

    for n in (2, 3, 10):
        slope = np.sqrt(2 * np.pi) * (1 - 1 / n) - np.sqrt(np.pi) / 2
        for x in (0.1, 1.0, 3.0, 10.0):
            y = x * x
            closed = np.sqrt(2 * np.pi) * (1 - 1 / n) * (1 - np.exp(-y / 2)) - np.sqrt(np.pi) * (1 - np.exp(-y / 4))
            assert pair(x, n) == pytest.approx(closed, abs=1e-9)
            assert closed <= slope * y / 2


def pair_slopes(batch_size, at, knots=(17, 3.0)):
    """2 K(x) / x^2 at many x."""
    t, u, w = rule(*knots)
    return (w * (1 - u - 1 / batch_size)) @ (1 - np.cos(np.outer(t, at))) * 2 / at**2


def test_pair_function_of_the_published_knots_lies_below_its_parabola_by_the_proof():
    # Beyond its first zero (sin z / z)^2 has its largest value where tan z = z, at most .0472.
    bump = scipy.optimize.brentq(lambda z: np.sin(z) - z * np.cos(z), np.pi, 1.5 * np.pi)
    assert 0.0471 < (np.sin(bump) / bump) ** 2 <= FAR_SQUARE
    at, (t, u, w) = np.linspace(0.01, 150, 30_000), rule()
    last = np.inf
    for n in (2, 3, 5, 16, 57):
        share = w * (1 - u - 1 / n) * t**2
        ratio = -share[share < 0].sum() / share[share > 0].sum()
        assert (np.diff(np.sign(share[1:])) >= 0).all() and ratio < min(last, 1 - FAR_SQUARE)
        last = ratio
        assert pair_slopes(n, at).max() <= sj.sigreg_global_slope(batch_size=n) + 1e-12
    # Without P >= .9528 Q, at N = 1, nothing is positive; in the other order of signs a sum like it is largest away from 0.
    assert pair_slopes(1, at).max() <= 0
    squares = np.sinc(np.outer(at, [0.15, 1.5]) / np.pi) ** 2
    assert (squares @ [1.0, -0.9]).max() > 0.5


@pytest.mark.parametrize("ratio", [0.9, 0.97])
def test_supremum_for_other_knots_on_both_sides_of_the_condition(ratio):
    def parts(t_max):
        t, u, w = rule(5, t_max)
        share = w * (1 - u - 1 / 2) * t**2
        return -share[share < 0].sum(), share[share > 0].sum()

    def off(t_max):
        return parts(t_max)[0] - ratio * parts(t_max)[1]

    t_max = scipy.optimize.brentq(off, 1.3, 3.0)
    at = np.linspace(0.001, 60, 20_000)
    found = sj.sigreg_global_slope(5, t_max, batch_size=2)
    assert found == pytest.approx((1 - ratio) * parts(t_max)[1], rel=1e-9) and found > 1e-3
    assert found == pytest.approx(pair_slopes(2, at, (5, t_max)).max(), rel=1e-5)


def test_a_constant_far_away_feels_the_mean_little_and_the_variance_more():
    t, u, w = rule()
    means = np.linspace(0, 33, 6601)
    slopes = (w * t**2) @ (1 - u[:, None] * np.cos(np.outer(t, means)))
    assert slopes[0] == pytest.approx(sj.sigreg_slope(), rel=1e-12)
    assert slopes[0] / slopes.max() == pytest.approx(0.547, abs=1e-3)
    # The slope at a mean, of an actual small law there.
    law, coin = np.array([0.5, 0.5]), np.array([[1e-3], [-1e-3]])
    for m in (2.45, 7.0):
        fall = slices(m + 0 * coin, law)[0] - slices(m + coin, law)[0]
        assert fall / 1e-6 == pytest.approx((w * t**2) @ (1 - u * np.cos(t * m)), rel=1e-3)
    # k = 1: constants at 7.0, 9.2 and 11.3 are lower than those around them; k = 3 on the line falls like a power.
    one = np.array([1.0])
    for m in (7.0, 9.2, 11.3):
        around = [slices(np.array([[m + step]]), one)[0] for step in (-0.3, 0.0, 0.5)]
        assert around[1] < min(around) + 1e-15 and max(around) - around[1] < 2e-4
    # So they are local minima of the loss at half the threshold, though above collapse: a world's constant, moved a little.
    world, at = sj.make_two_state(0.1, 0.3, weight=[0.5, 0.5]), 9.209
    exact = sj.CoOccurrence.exact(world)
    strength = 0.5 * (1 - float(exact.stacked_decomposition[1][1]) ** 2) / sj.sigreg_slope()
    grid = np.linspace(-0.05, 0.05, 11)
    losses = two_state_losses(world, at + np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2, 1), strength)
    assert losses.argmin() == 60 and losses[60] > strength * sj.sigreg_lower_bound(0.0, 1) + 0.1
    polar = (np.arange(400) + 0.5) / 400  # the height of a uniform direction on the sphere is uniform
    whole = {m: slices(m * polar[None], one, knots=(2001, 20.0)).mean() for m in (0.0, 9.9, 10.0, 10.1)}
    closed = 2 * np.sqrt(np.pi) * (1 - np.sqrt(np.pi) * scipy.special.erf(5.0) / 10)
    assert whole[10.0] - whole[0.0] == pytest.approx(closed, rel=1e-4)
    assert (whole[10.1] - whole[9.9]) / 0.2 == pytest.approx(2 * np.pi / 100, rel=1e-2)
    # With 17 knots constants rise up to 30; the first minimum is the lattice's.
    rise = np.array([slices(m * polar[None], one).mean() for m in (*range(31), 34.0, 36.3, 39.0)])
    assert (np.diff(rise[:31]) > 0).all() and rise[-2] < min(rise[-1], rise[-3]) - 1e-3


def test_no_law_lies_below_the_bound():
    worst, _ = worst_gap(np.random.default_rng(1), 21, 40, 8)
    assert worst >= -SLACK


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_law_of_many_lies_below_the_bound(seed):
    worst, scored = worst_gap(np.random.default_rng([seed, 5]), 63, 350, 12)
    assert worst >= -SLACK and scored >= 250_000


def test_small_and_rare_laws_attain_it():
    for n in (None, 2, 8):
        slope = sj.sigreg_global_slope(batch_size=n)
        small = np.array([[1e-3], [-1e-3]]), np.array([0.5, 0.5])
        # A value taken with probability p: the slope at its size, which falls with it; 1 at 0 alone.
        rare = np.array([[0.05], [0.0]]), np.array([1e-4, 1 - 1e-4])
        for values, law in (small, rare):
            fall = slices(np.zeros((2, 1)), law, 0 if n is None else 1 / n)
            fall = (fall - slices(values, law, 0 if n is None else 1 / n))[0]
            assert fall / trace(values, law) == pytest.approx(slope, rel=5e-3)
    # Fixed directions: the whole of it along the leading one.
    lopsided = np.array([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6]]).T
    leading = np.array([[1e-3, 0.0], [-1e-3, 0.0]])
    law = np.array([0.5, 0.5])
    fall = sj.sigreg_lower_bound(0.0, 2) - slices(leading @ lopsided, law).mean()
    bound = sj.sigreg_lower_bound(0.0, 2) - sj.sigreg_lower_bound(trace(leading, law), 2, directions=lopsided)
    assert fall == pytest.approx(bound, rel=1e-4)


def test_without_a_hypothesis_it_breaks():
    law = np.array([0.5, 0.5])
    # Directions that favour an axis, with the constant of uniform ones.
    lopsided = np.array([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6]]).T
    leading = np.array([[0.2, 0.0], [-0.2, 0.0]])
    value = slices(leading @ lopsided, law).mean()
    assert value < sj.sigreg_lower_bound(trace(leading, law), 2) - 1e-3
    assert value >= sj.sigreg_lower_bound(trace(leading, law), 2, directions=lopsided)
    # Batches of one sample with the slope at collapse, which is negative there: far atoms beat a bound that rises.
    far, slope = np.array([[2.0], [-2.0]]), sj.sigreg_slope(batch_size=1)
    assert slices(far, law, 1.0)[0] < sj.sigreg_lower_bound(0.0, 1) - slope * trace(far, law) - 1e-3
    # A slope 1 % smaller.
    small = np.array([[0.02], [-0.02]])
    bound = sj.sigreg_lower_bound(0.0, 1) - 0.99 * sj.sigreg_slope() * trace(small, law)
    assert slices(small, law)[0] < bound - 1e-7


def whole_line(size, h, law):
    """One slice of size * h with all knots, in closed form, and its derivative in the size at 1."""
    x, pairs = size * (h[:, None] - h), np.outer(law, law)
    value = np.sqrt(2 * np.pi) * (pairs * np.exp(-(x**2) / 2)).sum()
    value += -2 * np.sqrt(np.pi) * law @ np.exp(-((size * h) ** 2) / 4) + np.sqrt(2 * np.pi / 3)
    rise = -np.sqrt(2 * np.pi) * (pairs * x**2 * np.exp(-(x**2) / 2)).sum()
    return value, rise + np.sqrt(np.pi) * law @ ((size * h) ** 2 * np.exp(-((size * h) ** 2) / 4))


def test_on_the_whole_line_the_loss_of_a_collapsed_phase_rises_along_every_ray():
    rng = np.random.default_rng(3)
    steepest = 2 * (np.sqrt(2 * np.pi) - np.sqrt(np.pi) / 2)
    for _ in range(400):
        law = rng.dirichlet(np.full(rng.integers(2, 7), rng.choice([0.1, 1.0])))
        h = rng.standard_normal(law.size) * 10 ** rng.uniform(-2, 1.3)
        h -= law @ h
        assert whole_line(1.0, h, law)[1] >= -steepest * (law @ h**2) - SLACK
    value, rise = whole_line(1.0, h, law)
    assert value == pytest.approx(slices(h[:, None], law, knots=(4001, 20.0))[0], abs=1e-9)
    numeric = (whole_line(1 + 1e-5, h, law)[0] - whole_line(1 - 1e-5, h, law)[0]) / 2e-5
    assert rise == pytest.approx(numeric, abs=1e-6)
    # Attained by small laws, and broken by a mean far from 0, where SIGReg falls with the spread by c', not c.
    coin, half = np.array([1.0, -1.0]), np.array([0.5, 0.5])
    assert whole_line(1.0, 1e-3 * coin, half)[1] == pytest.approx(-steepest * 1e-6, rel=1e-4)
    apart = [whole_line(1.0, 10 + size * coin, half)[0] for size in (0.0, 0.1)]
    assert apart[1] - apart[0] < -1.4 * steepest / 2 * 0.1**2


def two_state_losses(world, values, strength, batch_size=None):
    """Losses of k = 1 encoders (B, 2, 1) with a free predictor."""
    law = sj.CoOccurrence.exact(world).pooled_column_weight
    predicted = np.einsum("xs,bsk->bxk", world.dense()[0], values)
    error = (law * (values**2)[..., 0]).sum(-1) - (np.array(world.weight) * (predicted**2)[..., 0]).sum(-1)
    return error + strength * slices(values, law, 0 if batch_size is None else 1 / batch_size)[:, 0]


def losses_over_a_grid(world, strength, batch_size=None):
    """Least loss of k = 1 encoders of a two-state world over a grid of their two values, at collapse and away from it."""
    grid = np.linspace(-6, 6, 121)
    values = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2, 1)
    total = two_state_losses(world, values, strength, batch_size)
    constant = np.abs(values[:, 0, 0] - values[:, 1, 0]) < 1e-9
    return total[constant].min(), total[~constant].min()


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("weight", [[0.5, 0.5], [0.8, 0.2]])
def test_phase_is_where_the_least_loss_lies(batch_size, weight):
    world = sj.make_two_state(0.1, 0.3, weight=weight)
    second = float(sj.CoOccurrence.exact(world).stacked_decomposition[1][1])
    at = (1 - second**2) / sj.sigreg_slope(batch_size=batch_size)
    for share, phase in ((0.3, "collapsed"), (0.999, "collapsed"), (1.2, "grows"), (4.0, "grows")):
        assert sj.sigreg_phase(second, 1, share * at, batch_size=batch_size) == phase
        constant, best = losses_over_a_grid(world, share * at, batch_size)
        assert (constant < best) == (phase == "collapsed")


def test_batches_of_one_sample_always_collapse():
    world = sj.make_two_state(0.01, 0.01)
    second = float(sj.CoOccurrence.exact(world).stacked_decomposition[1][1])
    for strength in (0.1, 10.0, 1000.0):
        assert sj.sigreg_phase(second, 1, strength, batch_size=1) == "collapsed"
        constant, best = losses_over_a_grid(world, strength, 1)
        assert constant < best


def test_collapse_is_alone_at_least_loss_only_below_a_singular_value_of_1():
    # Two states that never change, N = 1: "collapsed", but the values 0 and 2 pi / spacing cost nothing either.
    world = sj.make_two_state(0.0, 0.0)
    second = float(sj.CoOccurrence.exact(world).stacked_decomposition[1][1])
    assert second == pytest.approx(1) and sj.sigreg_phase(min(second, 1.0), 1, 0.5, batch_size=1) == "collapsed"
    tie, law = np.array([[0.0], [2 * np.pi * 16 / 3]]), np.array([0.5, 0.5])
    assert slices(tie, law, 1.0)[0] == pytest.approx(sj.sigreg_lower_bound(0.0, 1), rel=1e-12)
    # With s_2 < 1 the same law pays for prediction; with N = 2, where C > 0, it pays in SIGReg.
    slow = sj.make_two_state(0.01, 0.01)
    assert trace(world.dense()[0] @ tie, law) == pytest.approx(trace(tie, law), rel=1e-12)
    assert trace(slow.dense()[0] @ tie, law) < 0.97 * trace(tie, law)
    bound = sj.sigreg_lower_bound(trace(tie, law), 1, batch_size=2)
    assert slices(tie, law, 0.5)[0] > bound + 1


def test_phase_needs_gradients_through_both_sides_and_more_than_a_lattice():
    # A world with s_2 = 0 at a strength that collapses it: with the target held constant the error of a scale is free,
    # and a white encoder is stationary in the prediction alone; with both sides it pays all of its variance.
    assert sj.sigreg_phase(0.0, 1, 0.5) == "collapsed"
    white = np.array([[1.0], [-1.0]]), np.array([0.5, 0.5])
    free_of_prediction = 0.5 * slices(*white)[0]
    collapsed = 0.5 * sj.sigreg_lower_bound(0.0, 1)
    assert free_of_prediction < collapsed < free_of_prediction + 1.0
    # At k = 1 the knots cannot tell 0 from 2 pi / spacing: collapse is unique up to such constants, and only there.
    lattice = np.full((2, 1), 2 * np.pi * 16 / 3)
    assert slices(lattice, white[1])[0] == pytest.approx(sj.sigreg_lower_bound(0.0, 1), rel=1e-12)
    frame = tight_frame(np.random.default_rng(0), 2, 8)
    assert slices(np.repeat(lattice, 2, 1) @ frame, white[1]).mean() > sj.sigreg_lower_bound(0.0, 2) + 0.1


def test_wrong_directions_are_refused(refused):
    with refused("directions", "unit"):
        sj.sigreg_lower_bound(1.0, 2, directions=2 * np.eye(2))
    with refused("directions", "shape"):
        sj.sigreg_phase(0.5, 3, 1.0, directions=np.eye(2))
