import math

import numpy as np
import pytest
import torch
from scipy import integrate

from spectral_jepa.losses import (
    epps_pulley,
    prediction_loss,
    random_directions,
    sample_effective_rank,
    second_moment,
    sigreg,
    variance_penalty,
    whitening_penalty,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def law(n, seed=5):
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1


def loop_prediction(predicted, target, weight):
    total = 0.0
    for n in range(len(predicted)):
        for d in range(predicted.shape[1]):
            total += float(weight[n]) * (float(predicted[n, d]) - float(target[n, d])) ** 2
    return total / float(weight.sum())


def loop_covariance(values, weight, centered):
    share = [float(w) / float(weight.sum()) for w in weight]
    n, dim = values.shape
    mean = [sum(share[i] * float(values[i, d]) for i in range(n)) * centered for d in range(dim)]
    return [
        [
            sum(share[i] * (float(values[i, d]) - mean[d]) * (float(values[i, e]) - mean[e]) for i in range(n))
            for e in range(dim)
        ]
        for d in range(dim)
    ]


def loop_sigreg(values, directions, weight, factor, n_knots=17, t_max=3.0):
    """One view, one knot at a time; the trapezoid rule over [-t_max, t_max]."""
    step, statistics = t_max / (n_knots - 1), []
    for m in range(directions.shape[1]):
        views = [
            sum(float(values[n, d]) * float(directions[d, m]) for d in range(values.shape[1])) for n in range(len(values))
        ]
        total = 0.0
        for j in range(-(n_knots - 1), n_knots):
            t = j * step
            characteristic = sum(
                float(w) * complex(math.cos(t * h), math.sin(t * h)) for w, h in zip(weight, views, strict=True)
            ) / float(weight.sum())
            end = 0.5 if abs(j) == n_knots - 1 else 1.0
            total += end * step * math.exp(-t * t / 2) * abs(characteristic - math.exp(-t * t / 2)) ** 2
        statistics.append(factor * total)
    return sum(statistics) / len(statistics)


def test_prediction_loss_is_the_weighted_mean_of_squared_distances():
    predicted, target, weight = draw(7, 3), draw(7, 3, seed=1), law(7)
    assert float(prediction_loss(predicted, target, weight)) == pytest.approx(loop_prediction(predicted, target, weight))
    assert float(prediction_loss(predicted, target)) == pytest.approx(loop_prediction(predicted, target, torch.ones(7)))


@pytest.mark.parametrize("centered", [True, False])
def test_second_moment_entry_by_entry(centered):
    values, weight = draw(9, 4), law(9)
    assert np.allclose(
        second_moment(values, weight, centered=centered), loop_covariance(values, weight, centered), atol=1e-13
    )
    plain = loop_covariance(values, torch.ones(9), centered)
    assert np.allclose(second_moment(values, centered=centered), plain, atol=1e-13)


def test_variance_penalty_by_hand():
    values, weight = draw(9, 4) * torch.tensor([0.1, 0.5, 2.0, 0.0]), law(9)
    variances = [row[d] for d, row in enumerate(loop_covariance(values, weight, True))]
    expected = sum(max(0.0, 1 - math.sqrt(v + 1e-4)) for v in variances)
    assert expected > 1
    assert float(variance_penalty(values, weight)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("centered", [True, False])
def test_whitening_penalty_by_hand(centered):
    values, weight = draw(9, 3) + 0.3, law(9)
    gap = np.array(loop_covariance(values, weight, centered)) - np.eye(3)
    mean = (weight[:, None] * values).sum(0).numpy() / float(weight.sum())
    expected = (gap**2).sum() + centered * (mean**2).sum()
    assert float(whitening_penalty(values, weight, centered=centered)) == pytest.approx(expected, rel=1e-12)


def test_white_samples_have_no_whitening_penalty_and_full_rank():
    corners = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    assert float(whitening_penalty(corners)) == 0.0
    assert float(sample_effective_rank(corners)) == pytest.approx(2, abs=1e-12)


def test_effective_rank_is_the_exponential_of_the_entropy_of_variances():
    # Orthogonal columns of given variance: shares .5, .3, .2.
    signs = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    values = signs * torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).sqrt()
    rotation = torch.linalg.qr(draw(3, 3))[0]
    expected = math.exp(-sum(p * math.log(p) for p in (0.5, 0.3, 0.2)))
    assert float(sample_effective_rank(values @ rotation)) == pytest.approx(expected, rel=1e-12)
    assert float(sample_effective_rank(torch.ones(5, 3))) == 0.0


@pytest.mark.parametrize("factor", [None, 1.0])
def test_sigreg_equals_a_plain_loop(factor):
    values, weight = 0.7 * draw(11, 3) + 0.2, law(11)
    directions = random_directions(3, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    scale = 11 if factor is None else factor
    plain = loop_sigreg(values, directions, torch.ones(11), scale)
    assert float(sigreg(values, directions, factor=factor)) == pytest.approx(plain, rel=1e-12)
    weighted = loop_sigreg(values, directions, weight, scale)
    assert abs(weighted - plain) > 1e-4
    assert float(sigreg(values, directions, weight, factor=factor)) == pytest.approx(weighted, rel=1e-12)


@pytest.mark.parametrize("n", [32, 128])
def test_sigreg_of_gaussian_samples_has_its_known_mean_at_any_batch_size(n):
    # N E|phi_N - phi|^2 = 1 - phi^2 for N independent samples, whatever N is.
    expected = integrate.quad(lambda t: math.exp(-t * t / 2) * (1 - math.exp(-t * t)), -3, 3)[0]
    assert expected == pytest.approx(1.052, abs=2e-3)
    # Independent views of independent batches: 4000 of them, so the mean is known to 4 standard errors.
    statistics = epps_pulley(draw(n, 4000, seed=n))
    error = float(statistics.std()) / math.sqrt(4000)
    assert abs(float(statistics.mean()) - expected) < 4 * error + 1e-3
    assert error < 0.03


def test_sigreg_of_a_collapsed_batch():
    directions = random_directions(192, 1024, generator=torch.Generator().manual_seed(0))
    assert float(sigreg(torch.zeros(128, 192), directions)) == pytest.approx(51.46, abs=0.01)
    exact = integrate.quad(lambda t: math.exp(-t * t / 2) * (1 - math.exp(-t * t / 2)) ** 2, -3, 3)[0]
    assert float(sigreg(torch.zeros(128, 192), directions, factor=1)) == pytest.approx(exact, abs=2e-4)


def test_sigreg_prefers_the_gaussian_to_other_white_laws():
    gaussian = draw(4096, 1)
    coin = torch.sign(gaussian)
    scale = {"factor": 1.0}
    one = torch.ones(1, 1, dtype=torch.float64)
    assert float(whitening_penalty(coin)) < 0.01
    assert float(sigreg(coin, one, **scale)) > 50 * float(sigreg(gaussian, one, **scale))


@pytest.mark.parametrize("loss", ["prediction", "variance", "whitening", "sigreg"])
def test_weighted_atoms_equal_replicated_atoms_and_leading_axes_are_runs(loss):
    directions = random_directions(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    target = draw(2, 4, 3, seed=9)
    losses = {
        "prediction": lambda z, w, t: prediction_loss(z, t, w),
        "variance": lambda z, w, t: variance_penalty(z, w),
        "whitening": lambda z, w, t: whitening_penalty(z, w),
        "sigreg": lambda z, w, t: sigreg(z, directions, w, factor=1.0),
    }[loss]
    atoms, copies = 0.5 * draw(2, 4, 3), torch.tensor([1, 3, 2, 1])
    weighted = losses(atoms, copies.double(), target)
    repeated = losses(atoms.repeat_interleave(copies, 1), None, target.repeat_interleave(copies, 1))
    assert weighted.shape == (2,) and abs(float(weighted[0] - weighted[1])) > 1e-3
    assert torch.allclose(weighted, repeated, atol=1e-13)
    alone = torch.stack([losses(a, copies.double(), t) for a, t in zip(atoms, target, strict=True)])
    assert torch.allclose(weighted, alone, atol=1e-13)


@pytest.mark.parametrize("loss", ["prediction", "variance", "whitening", "sigreg"])
def test_gradients_agree_with_finite_differences(loss):
    directions = random_directions(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight, target = law(6), draw(6, 3, seed=2)
    function = {
        "prediction": lambda z: prediction_loss(z, target, weight),
        "variance": lambda z: variance_penalty(z, weight),
        "whitening": lambda z: whitening_penalty(z, weight),
        "sigreg": lambda z: sigreg(z, directions, weight),
    }[loss]
    values = (0.4 * draw(6, 3)).requires_grad_()
    assert torch.autograd.gradcheck(function, values)
    assert float(torch.autograd.grad(function(values), values)[0].norm()) > 1e-3


def test_stop_gradient_stops_the_gradient_of_the_target_alone():
    predicted, target = draw(5, 2).requires_grad_(), draw(5, 2, seed=1).requires_grad_()
    prediction_loss(predicted, target, stop_gradient=True).backward()
    assert target.grad is None and torch.allclose(predicted.grad, 2 * (predicted - target).detach() / 5)
    prediction_loss(predicted, target).backward()
    assert torch.allclose(target.grad, -2 * (predicted - target).detach() / 5)


def test_directions_are_unit_seeded_and_leave_the_global_stream_alone():
    before = torch.random.get_rng_state()
    first, again = (random_directions(5, 100, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again) and torch.allclose(first.norm(dim=0), torch.ones(100))
    # Uniform on the sphere: E u u^T = I / 5.
    many = random_directions(5, 50_000, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(many @ many.T / 50_000, torch.eye(5) / 5, atol=0.01)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_wrong_shapes_are_refused(refused):
    with refused("values", "(..., N, D)"):
        second_moment(torch.zeros(3))
    with refused("target", "(4, 3)"):
        prediction_loss(torch.zeros(4, 3), torch.zeros(4, 2))
    with refused("weight", "(5,)"):
        prediction_loss(torch.zeros(4, 3), torch.zeros(4, 3), torch.ones(5))
    with refused("directions", "(2, 7)"):
        sigreg(torch.zeros(4, 3), torch.zeros(2, 7))
    with refused("n_knots", "at least 2"):
        epps_pulley(torch.zeros(4, 3), n_knots=1)
