"""What SIGReg charges for nonlinear embeddings of two Gaussian factors, against quadrature and normal integrals."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

import spectral_jepa as sj
from spectral_jepa.losses import from_lewm, sigreg
from spectral_jepa.theory.sigreg_factors import _hilbert_cells

SLACK = 1e-10
SIDES = "real", "imag"


def gauss(n):
    nodes, weight = np.polynomial.hermite_e.hermegauss(n)
    return nodes, weight / weight.sum()


def he2(z):
    return (z**2 - 1) / np.sqrt(2)


def half_circle(n):
    angles = (np.arange(n) + 0.5) * np.pi / n
    return torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)]))


def by_quadrature(share):
    """SIGReg of the mixture as that of a law on Gauss-Hermite nodes."""
    (z1, w1), (z2, w2) = gauss(160), gauss(40)
    first, second = np.meshgrid(z1, z2, indexing="ij")
    values = np.stack([first, np.sqrt(1 - share) * second + np.sqrt(share) * he2(first)], -1).reshape(-1, 2)
    law = torch.from_numpy(np.outer(w1, w2).ravel())
    return float(sigreg(torch.from_numpy(values), half_circle(40), law, factor=1.0))


def test_mixture_cost_is_sigreg_on_quadrature_nodes():
    for share in (0.0, 0.5, 1.0):
        assert sj.mixture_cost([share])[0] == pytest.approx(by_quadrature(share), abs=1e-9)
    # Without a second factor and direction by direction: (z, He_2(z)) with the characteristic function as an integral.
    angle, t = 0.7, 1.3

    def part(z):
        return np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * np.exp(1j * t * (np.cos(angle) * z + np.sin(angle) * he2(z)))

    real, imaginary = (scipy.integrate.quad(lambda z, side=side: getattr(part(z), side), -12, 12)[0] for side in SIDES)
    whole = real + 1j * imaginary
    width = 1 - 1j * np.sqrt(2) * t * np.sin(angle)
    closed = np.exp(-1j * t * np.sin(angle) / np.sqrt(2) - (t * np.cos(angle)) ** 2 / (2 * width)) / np.sqrt(width)
    assert abs(whole - closed) < 1e-9


def test_numbers_of_the_note():
    assert sj.mixture_cost([1.0])[0] == pytest.approx(0.0905, abs=1e-4)  # Delta, 17 knots
    published = from_lewm(dim=2)
    assert published.strength * published.factor * sj.mixture_cost([1.0])[0] == pytest.approx(2.08, abs=0.01)
    # S'(0) on the whole line: sqrt(2 pi / 3) * 15 / 27 / 32.
    margins = sj.quadratic_margins(1.0, 0.0, 1.0, n_knots=2001, t_max=20.0)
    assert margins.gain == 1 and margins.mixture == pytest.approx(np.sqrt(2 * np.pi / 3) * 15 / 27 / 32, rel=1e-9)
    assert margins.embeddings == pytest.approx(0.09146, abs=1e-5)


def test_mixtures_cost_less_than_their_share_and_more_than_their_slope():
    shares = np.linspace(0, 1, 401)[1:]
    cost = sj.mixture_cost(shares)
    slope = sj.quadratic_margins(1.0, 0.0, 1.0).mixture
    assert (np.diff(cost / shares) > 0).all()
    assert (cost <= shares * cost[-1] + SLACK).all() and (cost >= shares * slope - SLACK).all()
    # Attained at both ends.
    assert sj.mixture_cost([1e-5])[0] / 1e-5 == pytest.approx(slope, rel=1e-3)
    assert cost[-1] / slope == pytest.approx(3.6, abs=0.02)


@pytest.mark.parametrize("ratio, stable", [(1.1, True), (0.9, False)])
def test_margin_of_the_mixture_is_where_the_white_pair_becomes_unstable(ratio, stable):
    first, second = 0.9, 0.2
    strength = ratio / sj.quadratic_margins(first, second, 1.0).mixture
    shares = np.array([0.0, 1e-4, 1e-3])
    error = 2 - first**2 - second**2 - shares * (first**4 - second**2)
    loss = error + strength * sj.mixture_cost(shares)
    assert (loss[1:] > loss[0]).all() == stable and (loss[1:] < loss[0]).any() == (not stable)
    # Whole embeddings: the pair wins at both, which shows that comparing two embeddings does not settle it.
    assert sj.quadratic_margins(first, second, strength).embeddings > 3


def test_no_gain_no_price():
    assert sj.quadratic_margins(0.6, 0.6, 1.0)[1:] == (np.inf, np.inf)
    # rho_1^2 < rho_2: both linear functions come before He_2(z1), and whiteness alone keeps them.
    assert sj.quadratic_margins(0.8, 0.7, 0.0).gain < 0


def test_hilbert_cells_are_a_path_through_all():
    for order in (1, 2, 5):
        cells = _hilbert_cells(order)
        assert (abs(np.diff(cells, axis=0)).sum(1) == 1).all()
        assert len({tuple(cell) for cell in cells.tolist()}) == 4**order and cells.min() == 0 and cells.max() == 2**order - 1


@pytest.mark.parametrize("correlation", [0.99, 0.995])
def test_error_of_the_curve_against_bivariate_normal_cells(correlation):
    # E|E[m+ | z]|^2 is E m(z) m(z'') with correlation rho^2, and m is constant on four quarters of the line.
    cells = _hilbert_cells(1)
    mean = np.sqrt(2 / np.pi)
    values = mean * (2 * cells - 1)
    ends = scipy.stats.norm.ppf(np.linspace(0, 1, 5)).clip(-12, 12)
    joint = scipy.stats.multivariate_normal([0, 0], [[1, correlation**2], [correlation**2, 1]])
    corner = np.array([[joint.cdf([x, y]) for y in ends] for x in ends])
    mass = np.diff(np.diff(corner, axis=0), axis=1)
    kept = 2 * mean**2
    predicted = np.einsum("ik,ij,jk->", values, mass, values)
    bound = (np.sqrt(kept - predicted) + np.sqrt(2 - kept)) ** 2
    assert bound < 1.95
    assert sj.plane_filling_error(correlation, order=1, n_terms=3000) == pytest.approx(bound, abs=1e-5)


def test_a_curve_beats_the_factors_where_one_of_them_is_slow():
    # Even under an exact Gaussian constraint: rho = (.99, .5).
    assert sj.plane_filling_error(0.99) < 2 - 0.99**2 - 0.5**2 - 0.1
    # With an identity prediction, E|h(z') - h(z)|^2, the same at the root of rho: 2 (2 - rho_1 - rho_2) for the factors.
    assert 2 * sj.plane_filling_error(np.sqrt(0.99)) < 2 * (2 - 0.99 - 0.3)
    # More cells and more terms only lower the bound.
    bounds = [sj.plane_filling_error(0.99, order=order) for order in (2, 4, 6)]
    assert bounds == sorted(bounds, reverse=True)
    assert sj.plane_filling_error(0.99, n_terms=400) < sj.plane_filling_error(0.99, n_terms=50)


def test_at_equal_speed_no_curve_wins():
    # The hypothesis that is dropped above: whiteness alone gives 2 - 2 rho^2 where rho^2 <= rho_2 = rho.
    for rho in (0.3, 0.9, 0.99, 0.999):
        assert sj.plane_filling_error(rho) > 2 - 2 * rho**2


def chains(rates, n_states=6):
    """The stack of a product of two binomial chains, its law and the two factors."""
    first, second = (sj.make_autoregressive(n_states, rho) for rho in rates)
    world = sj.TabularMDP(np.kron(first.dense(), second.dense()), weight=np.kron(first.weight, second.weight))
    values = np.array(first.state_labels)
    return sj.CoOccurrence.exact(world), np.stack([np.repeat(values, n_states), np.tile(values, n_states)], 1)


@pytest.mark.parametrize("rates", [(0.8, 0.8), (0.8, 0.7), (0.6, 0.4)])
def test_white_encoders_near_the_least_error_show_the_factors(rates):
    exact, factors = chains(rates)
    rng, root = np.random.default_rng(0), np.sqrt(exact.pooled_column_weight)[:, None]
    linear = root * factors
    assert np.allclose(linear.T @ linear, np.eye(2), atol=1e-12)
    # Any other centred singular function of the largest value that is left, mixed in a little or wholly.
    _, values, right = np.linalg.svd(exact.stacked)
    rest = right[values < min(rates) - 1e-9][0]
    assert values[values < min(rates) - 1e-9][0] == pytest.approx(max(rates) ** 2)
    tightest = np.inf
    for number in range(300):
        noise = rng.standard_normal((len(root), 2)) if number % 2 else rest[:, None] * [0, 1]
        frame = linear + 10 ** rng.uniform(-3, 1) * noise
        frame = np.linalg.qr(frame - root * (root.T @ frame))[0]
        excess = 2 - ((exact.stacked @ frame) ** 2).sum() - sum(1 - rho**2 for rho in rates)
        deficit = 2 - ((frame.T @ linear) ** 2).sum()
        bound = sj.recovery_deficit_bound(max(excess, 0.0), rates)
        assert deficit <= bound + SLACK
        tightest = min(tightest, bound / deficit)
    assert tightest < 1.001  # He_2 of the slow factor in the place of the fast one


def test_bits_of_unlike_rates_do_not_attain_it_and_of_one_rate_do():
    for rates, tight in (((0.8, 0.7), False), ((0.8, 0.8), True)):
        exact, factors = chains(rates, 2)
        root = np.sqrt(exact.pooled_column_weight)[:, None]
        # All that a white encoder can do wrong with two bits: the product in the place of the faster one.
        frame = root * np.stack([factors[:, 0], factors.prod(1)], 1)
        assert np.allclose(frame.T @ frame, np.eye(2), atol=1e-12)
        excess = 2 - ((exact.stacked @ frame) ** 2).sum() - sum(1 - rho**2 for rho in rates)
        assert excess == pytest.approx(rates[1] ** 2 - (rates[0] * rates[1]) ** 2, rel=1e-10)
        # The bound is capped at m: mix in a part of it, which scales both sides.
        bound = sj.recovery_deficit_bound(excess / 4, rates)
        assert bound == pytest.approx(0.25, rel=1e-9) if tight else bound > 0.28


@pytest.mark.parametrize("rates", [(0.9, 0.3), (0.99, 0.6)])
def test_white_encoders_of_little_error_show_little_of_the_fast_factor(rates):
    exact, factors = chains(rates)
    rng, root = np.random.default_rng(2), np.sqrt(exact.pooled_column_weight)[:, None]
    linear, tightest = root * factors, np.inf
    for number in range(200):
        frame = linear + (number > 0) * 10 ** rng.uniform(-3, 1) * rng.standard_normal((len(root), 2))
        frame = np.linalg.qr(frame - root * (root.T @ frame))[0]
        error = 2 - ((exact.stacked @ frame) ** 2).sum()
        shown = ((frame.T @ linear[:, 1]) ** 2).sum()
        assert shown <= error / (1 - rates[1] ** 2) + SLACK
        tightest = min(tightest, error / (1 - rates[1] ** 2) / shown)
    # (z1, z2) itself errs by 1 - rho_1^2 more: attained as rho_1 tends to 1.
    assert tightest == pytest.approx(1 + (1 - rates[0] ** 2) / (1 - rates[1] ** 2), rel=1e-9)
    # Not white, it breaks: a small z2 alone errs by as little as one likes, and shows all of it.
    small = 0.01 * linear[:, 1]
    error = small @ small - ((exact.stacked @ small) ** 2).sum()
    assert 0 < error / (1 - rates[1] ** 2) < 0.01 < np.corrcoef(small / root[:, 0], factors[:, 1])[0, 1] ** 2


def test_without_close_rates_the_least_error_hides_a_factor():
    exact, factors = chains((0.9, 0.3))
    root = np.sqrt(exact.pooled_column_weight)[:, None]
    best = np.linalg.svd(exact.stacked)[2][1:3].T
    assert ((best.T @ (root * factors[:, 1:])) ** 2).sum() < SLACK
    assert sj.recovery_deficit_bound(0.0, [0.9, 0.3]) == 2


def test_which_hypotheses_a_finite_world_meets():
    # Linear mean and constant variance, but noise that depends on the state: kappa_3 = -2 rho (1 - rho^2) z / n.
    rho, chain = 0.7, sj.make_autoregressive(9, 0.7)
    z, kernel = np.array(chain.state_labels), chain.dense()[0]
    mean = kernel @ z
    centred = z - mean[:, None]
    assert np.allclose(mean, rho * z, atol=1e-12)
    assert np.allclose((kernel * centred**2).sum(1), 1 - rho**2, atol=1e-12)
    assert np.allclose((kernel * centred**3).sum(1), -2 * rho * (1 - rho**2) * z / 8, atol=1e-12)
    # Additive independent noise on a finite set: only with a map that merges states.
    halving = np.zeros((8, 8))
    for state in range(8):
        halving[state, [state // 2, state // 2 + 4]] = 0.5
    assert np.allclose(np.full(8, 1 / 8) @ halving, 1 / 8)


def test_wrong_numbers_are_refused(refused):
    with refused("share", "0 to 1"):
        sj.mixture_cost([1.5])
    with refused("order", "between 1 and 9"):
        sj.plane_filling_error(0.5, order=12)
