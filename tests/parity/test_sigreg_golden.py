"""SIGReg at the published settings: values that any implementation of it must give."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from spectral_jepa.losses import epps_pulley, make_subspaces, random_directions, sigreg, subspace_sigreg

KNOTS = [3 * j / 16 for j in range(17)]


def trapezoid(function):
    """The published rule: 0.1875 at the two ends and 0.375 inside, times the window exp(-t^2 / 2)."""
    ends = {0: 0.1875, 16: 0.1875}
    return sum(ends.get(j, 0.375) * math.exp(-t * t / 2) * function(t) for j, t in enumerate(KNOTS))


# N E|phi_N(t) - phi(t)|^2 = 1 - phi(t)^2 for N independent draws of any law: here phi^2 = exp(-t^2).
GAUSSIAN = trapezoid(lambda t: 1 - math.exp(-t * t))
COLLAPSED = trapezoid(lambda t: (1 - math.exp(-t * t / 2)) ** 2)


def test_the_expected_value_in_closed_form():
    root = math.sqrt(2 * math.pi)
    exact = root * math.erf(3 / math.sqrt(2)) - root / math.sqrt(3) * math.erf(3 * math.sqrt(1.5))
    by_quadrature = integrate.quad(lambda t: math.exp(-t * t / 2) * (1 - math.exp(-t * t)), -3, 3)[0]
    assert by_quadrature == pytest.approx(exact, rel=1e-12)
    # The rule with 17 knots is within 1e-4 of the integral; the published "about 1.052".
    assert pytest.approx(exact, rel=2e-4) == GAUSSIAN
    assert pytest.approx(1.052, abs=6e-4) == GAUSSIAN


@pytest.mark.parametrize("n", [1, 2, 8, 32, 128])
def test_gaussian_samples_give_the_same_value_at_any_batch_size(n):
    repeats = min(16_000, 2**19 // n)
    views = torch.randn(n, repeats, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    statistics = epps_pulley(views).numpy()
    error = statistics.std(ddof=1) / math.sqrt(repeats)
    assert error < 0.02
    assert abs(statistics.mean() - GAUSSIAN) < 4 * error
    # Negative controls: a narrower law, and the factor of another batch size.
    assert abs(epps_pulley(0.5 * views).numpy().mean() - GAUSSIAN) > 10 * error
    assert abs(epps_pulley(views, factor=2.0 * n).numpy().mean() - GAUSSIAN) > 10 * error


@pytest.mark.parametrize("n", [16, 128])
def test_gaussian_embeddings_through_random_directions(n):
    # The views of one batch are correlated: many batches, so that the mean over batches has a known error.
    source = torch.Generator().manual_seed(n)
    directions = random_directions(192, 32, generator=source, dtype=torch.float64)
    values = torch.stack(
        [sigreg(torch.randn(n, 192, generator=source, dtype=torch.float64), directions) for _ in range(60)]
    ).numpy()
    error = values.std(ddof=1) / math.sqrt(60)
    assert abs(values.mean() - GAUSSIAN) < 4 * error and error < 0.03


@pytest.mark.parametrize("law", ["coin", "uniform"])
def test_other_white_laws_have_their_own_value(law):
    # N E|phi_N - phi_G|^2 = 1 - |phi|^2 + N |phi - phi_G|^2, with phi = cos t or sin(sqrt(3) t) / (sqrt(3) t).
    n, repeats = 32, 20_000
    uniform = torch.rand(n, repeats, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    root = math.sqrt(3)
    views = torch.sign(uniform - 0.5) if law == "coin" else 2 * root * (uniform - 0.5)
    phi = {"coin": math.cos, "uniform": lambda t: math.sin(root * t) / (root * t) if t else 1.0}[law]
    expected = trapezoid(lambda t: 1 - phi(t) ** 2 + n * (phi(t) - math.exp(-t * t / 2)) ** 2)
    statistics = epps_pulley(views).numpy()
    error = statistics.std(ddof=1) / math.sqrt(repeats)
    assert abs(statistics.mean() - expected) < 4 * error and expected - GAUSSIAN > 10 * error


def test_a_collapsed_batch_of_128():
    directions = random_directions(192, 1024, generator=torch.Generator().manual_seed(0))
    value = float(sigreg(torch.zeros(128, 192), directions))
    assert pytest.approx(51.46, abs=0.005) == 128 * COLLAPSED
    assert value == pytest.approx(128 * COLLAPSED, rel=1e-5)
    assert pytest.approx(4.63, abs=0.005) == 0.09 * value
    by_quadrature = integrate.quad(lambda t: math.exp(-t * t / 2) * (1 - math.exp(-t * t / 2)) ** 2, -3, 3)[0]
    # Euler-Maclaurin: rule - integral = h^2 / 6 times the slope of the integrand at 3, but for h^4 / 360 times its third
    # derivative there, which is 5.4e-7.
    tail = math.exp(-4.5)
    slope = -3 * tail * (1 - tail) ** 2 + 6 * tail**2 * (1 - tail)
    assert pytest.approx(by_quadrature + (3 / 16) ** 2 / 6 * slope, abs=6e-7) == COLLAPSED
    for kind in ("orthogonal", "random"):
        subspaces = make_subspaces(192, 32, kind, generator=torch.Generator().manual_seed(0))
        views = torch.stack([random_directions(6, 8, generator=torch.Generator().manual_seed(k)) for k in range(32)])
        assert float(subspace_sigreg(torch.zeros(128, 192), subspaces, views)) == pytest.approx(128 * COLLAPSED, rel=1e-5)


def published(values, directions):
    """The published computation one number at a time: (T, B, D) embeddings, normal directions scaled to unit columns."""
    time, batch, dim = values.shape
    total = 0.0
    for m in range(directions.shape[1]):
        norm = math.sqrt(sum(float(directions[d, m]) ** 2 for d in range(dim)))
        for t in range(time):
            views = [sum(float(values[t, b, d]) * float(directions[d, m]) / norm for d in range(dim)) for b in range(batch)]

            def error(knot, views=views):
                real = sum(math.cos(knot * h) for h in views) / batch
                imaginary = sum(math.sin(knot * h) for h in views) / batch
                return (real - math.exp(-knot * knot / 2)) ** 2 + imaginary**2

            total += batch * trapezoid(error)
    return total / (time * directions.shape[1])


def test_the_published_computation_in_plain_loops():
    rng = np.random.default_rng(0)
    values, normal = 0.8 * rng.standard_normal((2, 10, 5)) + 0.1, rng.standard_normal((5, 6))
    ours = sigreg(torch.tensor(values), torch.tensor(normal / np.linalg.norm(normal, axis=0))).mean()
    assert float(ours) == pytest.approx(published(values, normal), rel=1e-12)
