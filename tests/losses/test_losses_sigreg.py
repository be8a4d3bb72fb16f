"""SIGReg without a table over knots: against the table, in value, gradient and memory."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spectral_jepa.losses import _characteristic, _memory, epps_pulley, from_lewm, prediction_loss, random_directions, sigreg


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def law(*shape, seed=5):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1


def views_of(dim, n, seed=1, dtype=torch.float64):
    return random_directions(dim, n, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def table_epps_pulley(views, weight=None, factor=None, n_knots=17, t_max=3.0):
    """The statistic from a table over samples, views and knots, differentiated by autograd."""
    share = (
        torch.full(views.shape[:-1], 1 / views.shape[-2], dtype=views.dtype)
        if weight is None
        else weight / weight.sum(-1, keepdim=True)
    )
    knots = t_max * torch.arange(n_knots, dtype=views.dtype) / (n_knots - 1)
    angles = views[..., None] * knots
    share = share[..., None, None]
    real, imaginary = (share * torch.cos(angles)).sum(-3), (share * torch.sin(angles)).sum(-3)
    gap = (real - torch.exp(-(knots**2) / 2)) ** 2 + imaginary**2
    values = gap * torch.exp(-(knots**2) / 2)
    integral = 2 * torch.trapezoid(values, knots, dim=-1)
    return integral * (views.shape[-2] if factor is None else factor)


@pytest.mark.parametrize("n_knots, t_max", [(17, 3.0), (2, 1.0), (33, 5.0)])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient_equal_those_of_the_table(n_knots, t_max, weighted):
    views = (1.5 * draw(3, 11, 7) + 0.3).requires_grad_()
    weight = law(3, 11) if weighted else None
    upstream = law(3, 7, seed=2)
    ours, table = (f(views, weight, n_knots=n_knots, t_max=t_max) for f in (epps_pulley, table_epps_pulley))
    assert (
        ours.shape == (3, 7) and torch.allclose(ours, table, rtol=1e-12, atol=1e-12) and float(table.detach().min()) > 1e-3
    )
    mine, theirs = (torch.autograd.grad((value * upstream).sum(), views)[0] for value in (ours, table))
    assert torch.allclose(mine, theirs, rtol=1e-11, atol=1e-12) and float(theirs.norm()) > 1e-2


def test_far_out_samples_and_tight_ones():
    for scale in (1e-6, 1.0, 40.0):
        views = (scale * draw(20, 5)).requires_grad_()
        ours, table = epps_pulley(views, factor=1.0), table_epps_pulley(views, factor=1.0)
        assert torch.allclose(ours, table, rtol=1e-12, atol=1e-13)
        mine, theirs = (torch.autograd.grad(value.sum(), views)[0] for value in (ours, table))
        assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-13) and float(theirs.norm()) > 0


@pytest.mark.parametrize("shape", [(1, 128, 1024), (4, 128, 300), (70, 31, 64), (2, 70_000, 2)])
def test_pieces_cover_every_view_once(shape):
    covered = torch.zeros(shape[0], shape[2])
    for run, column in _characteristic._pieces(torch.empty(shape)):
        covered[run, column] += 1
    assert bool((covered == 1).all())
    views = draw(*shape)
    chosen = views[-1, :, -3:]
    assert torch.allclose(epps_pulley(views)[-1, -3:], table_epps_pulley(chosen)[-3:], rtol=1e-11)


def test_published_size_in_single_precision():
    values, directions = draw(128, 192, dtype=torch.float32).requires_grad_(), views_of(192, 1024, dtype=torch.float32)
    exact = values.detach().double().requires_grad_()
    ours, table = sigreg(values, directions), table_epps_pulley(exact @ directions.double()).mean(-1)
    assert float(ours.detach()) == pytest.approx(float(table.detach()), rel=1e-5)
    ours.backward()
    table.backward()
    assert float((values.grad - exact.grad).norm() / exact.grad.norm()) < 1e-5


@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_agrees_with_finite_differences(weighted):
    directions, weight = views_of(3, 5), law(6) if weighted else None
    values = (0.8 * draw(2, 6, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: sigreg(z, directions, weight), values, eps=1e-6, atol=1e-6)
    views = draw(2, 6, 3, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: epps_pulley(h, weight, factor=2.0), views, eps=1e-6, atol=1e-6)
    moving = views_of(3, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: sigreg(values.detach(), d, weight), moving, eps=1e-6, atol=1e-6)


def test_weights_broadcast_and_are_constants():
    views, weight = draw(9, 4).requires_grad_(), law(3, 9).requires_grad_()
    value = epps_pulley(views, weight, factor=1.0)
    by_run = torch.stack([table_epps_pulley(views, w, factor=1.0) for w in weight.detach()])
    assert value.shape == (3, 4) and torch.allclose(value, by_run, rtol=1e-12)
    mine, theirs = torch.autograd.grad(value.sum(), views)[0], torch.autograd.grad(by_run.sum(), views)[0]
    assert torch.allclose(mine, theirs, rtol=1e-11, atol=1e-14)
    assert not epps_pulley(views.detach(), weight).requires_grad


def test_weighted_atoms_equal_replicated_atoms():
    copies, atoms, directions = torch.tensor([1, 3, 2, 1]), draw(2, 4, 3), views_of(3, 6)
    weighted = sigreg(atoms, directions, copies.double(), factor=1.0)
    assert torch.allclose(weighted, sigreg(atoms.repeat_interleave(copies, 1), directions, factor=1.0), rtol=1e-12)
    assert not torch.allclose(weighted, sigreg(atoms, directions, factor=1.0), rtol=1e-2)


class Largest(TorchDispatchMode):
    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and "expand" not in str(function):
            self.bytes = max(self.bytes, result.numel() * result.itemsize)
        return result


def test_no_table_over_knots_is_made_forward_or_backward():
    views = draw(64, 256, dtype=torch.float32).requires_grad_()
    with Largest() as seen:
        epps_pulley(views).sum().backward()
    with Largest() as table:
        table_epps_pulley(views).sum().backward()
    assert seen.bytes == 2 * 4 * 64 * 256  # exp(i t h), complex
    assert table.bytes == 17 * 4 * 64 * 256


def test_half_precision_and_autocast_are_computed_in_single():
    values, directions = draw(128, 16).bfloat16().requires_grad_(), views_of(16, 64, dtype=torch.float32)
    exact = table_epps_pulley(values.detach().double() @ directions.double()).mean(-1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for given in (values, values.float()):
            value = sigreg(given, directions)
            assert value.dtype == torch.float32 and float(value.detach()) == pytest.approx(float(exact), rel=1e-5)
    value.backward()
    assert values.grad.dtype == torch.bfloat16 and float(values.grad.norm()) > 0


@pytest.mark.parametrize("dim", [3, 192])
def test_published_total_times_dim_is_our_total(dim):
    """Published: mean over D, batch and time plus lambda times the mean over time of N times the statistic."""
    time, n, n_slices = 2, 6, 5
    settings = from_lewm(strength=0.09, batch_size=n, dim=dim, n_slices=n_slices)
    values, predicted = draw(time, n, dim), draw(time, n, dim, seed=1)
    directions = views_of(dim, settings.n_slices)
    squared = [float((predicted[t, i, d] - values[t, i, d]) ** 2) for t in range(time) for i in range(n) for d in range(dim)]
    statistics = [
        float(table_epps_pulley((values[t] @ directions[:, [m]]), factor=n)) for t in range(time) for m in range(n_slices)
    ]
    published = sum(squared) / len(squared) + 0.09 * sum(statistics) / len(statistics)
    quadrature = {"factor": settings.factor, "n_knots": settings.n_knots, "t_max": settings.t_max}
    ours = prediction_loss(predicted, values).mean() + settings.strength * sigreg(values, directions, **quadrature).mean()
    assert float(ours) == pytest.approx(dim * published, rel=1e-12)


def test_published_defaults_and_their_errors(refused):
    settings = from_lewm()
    assert settings.strength == pytest.approx(0.09 * 192) and settings.factor == 128
    assert (settings.n_slices, settings.n_knots, settings.t_max) == (1024, 17, 3.0)
    with refused("batch_size", "at least 1"):
        from_lewm(batch_size=0)
    with refused("strength", ">= 0"):
        from_lewm(strength=-1.0)


def test_more_slices_than_memory_allows_are_refused_before_they_are_made(refused, monkeypatch):
    values = torch.zeros(128, 192)
    with refused("192 x 100000000000", "GiB", "lower n_directions"):
        views_of(192, 10**11)
    with refused("4 x 128 x 100000000", "lower the number of slices", "381.5 GiB"):
        sigreg(values.expand(4, 128, 192), torch.zeros(1, 1).expand(192, 10**8))
    # A machine with 1 GiB free: 0.25 GiB of views and as much for their gradient fit, twice as many do not.
    monkeypatch.setattr(_memory, "free_bytes", lambda device: 2**30)
    small = torch.zeros(2**10, 2)
    with refused("1.0 GiB"):
        sigreg(small, torch.zeros(1, 1).expand(2, 2**17))
    monkeypatch.setattr(_memory, "free_bytes", lambda device: 2**31)
    assert float(sigreg(small[:4], torch.zeros(1, 1).expand(2, 2**17), factor=1.0)) == pytest.approx(0.402, abs=1e-3)


def test_wrong_input_is_refused(refused):
    with refused("t_max", "above 0"):
        epps_pulley(torch.zeros(4, 3), t_max=0.0)
    with refused("directions", "(..., 3, M)"):
        sigreg(torch.zeros(4, 3), torch.zeros(2, 7))
