"""Hard whitening and VICReg's terms."""

import numpy as np
import pytest
import scipy.linalg
import torch

from spectral_jepa.losses import covariance_penalty, vicreg, whiten, whitening_penalty


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def law(n, seed=5):
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1


def moment_of(values, weight, centered):
    share = weight.numpy() / float(weight.sum())
    z = values.numpy()
    z = z - centered * (share @ z)
    return sum(share[n] * np.outer(z[n], z[n]) for n in range(len(z)))


@pytest.mark.parametrize("centered", [True, False])
def test_whitening_is_the_symmetric_inverse_root(centered):
    values, weight = draw(9, 3) @ draw(3, 3, seed=1) + 0.5, law(9)
    root = np.linalg.inv(scipy.linalg.sqrtm(moment_of(values, weight, centered)))
    mean = centered * (weight[:, None] * values).sum(0) / weight.sum()
    white = whiten(values, weight, centered=centered)
    assert np.allclose(white, (values - mean).numpy() @ root, atol=1e-12)
    assert np.allclose(moment_of(white, weight, centered), np.eye(3), atol=1e-13)
    assert not np.allclose(moment_of(white, torch.ones(9), centered), np.eye(3), atol=1e-2)
    plain = whiten(values, centered=centered)
    assert np.allclose(moment_of(plain, torch.ones(9), centered), np.eye(3), atol=1e-13)


@pytest.mark.parametrize("case", ["general", "white already", "not centred"])
def test_gradient_of_whitening_agrees_with_finite_differences(case):
    corners = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    values = (corners if case == "white already" else draw(6, 3)).requires_grad_()
    weight = None if case == "white already" else law(6)
    function = lambda z: whiten(z, weight, centered=case != "not centred")  # noqa: E731
    assert torch.autograd.gradcheck(function, values, eps=1e-6, atol=1e-6)
    direction = draw(*values.shape, seed=3)
    assert float(torch.autograd.grad((function(values) * direction).sum(), values)[0].norm()) > 0.1


def test_weighted_atoms_equal_replicated_atoms_and_leading_axes_are_runs():
    atoms, copies = draw(2, 6, 3), torch.tensor([1, 3, 2, 1, 1, 2])
    many = atoms.repeat_interleave(copies, 1)
    for function in (covariance_penalty, lambda z, w=None: vicreg(z, w, variance=2.0, covariance=3.0)):
        weighted = function(0.5 * atoms, copies.double())
        assert torch.allclose(weighted, function(0.5 * many), rtol=1e-12)
        assert abs(float(weighted[0] - weighted[1])) > 1e-3
        assert float(weighted[1]) == pytest.approx(float(function(0.5 * atoms[1], copies.double())), rel=1e-13)
    white = whiten(atoms, copies.double())
    assert torch.allclose(white.repeat_interleave(copies, 1), whiten(many), atol=1e-12)
    assert torch.allclose(white[1], whiten(atoms[1], copies.double()), atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_singular_covariance_is_refused_with_its_rank(refused, dtype):
    flat = (draw(50, 2) @ draw(2, 5, seed=1)).to(dtype)
    with refused("rank 2", "expected 5"):
        whiten(flat)
    with refused("rank 3", "expected 5"):
        whiten(draw(4, 5).to(dtype))
    with refused("values[1, 0]", "rank 0"):
        whiten(torch.stack([draw(1, 9, 5), torch.ones(1, 9, 5)]).to(dtype))
    with refused("on_singular", "'nan'"):
        whiten(flat, on_singular="skip")


def test_a_collapsed_or_diverged_run_leaves_the_others_alone():
    runs = torch.stack([draw(9, 3), torch.zeros(9, 3, dtype=torch.float64), draw(9, 3, seed=2)]).requires_grad_()
    white = whiten(runs, on_singular="nan")
    assert white[1].isnan().all() and not white[[0, 2]].isnan().any()
    (white * draw(9, 3, seed=4)).sum((-1, -2))[[0, 2]].sum().backward()
    alone = runs[2].detach().clone().requires_grad_()
    (whiten(alone) * draw(9, 3, seed=4)).sum().backward()
    assert torch.allclose(runs.grad[2], alone.grad, atol=1e-12) and float(alone.grad.norm()) > 0.1
    diverged = runs.detach().clone()
    diverged[1, 0, 0] = torch.nan
    white = whiten(diverged)
    assert white[1].isnan().all() and not white[[0, 2]].isnan().any()


def test_covariance_penalty_entry_by_entry():
    values, weight = draw(9, 4) @ draw(4, 4, seed=1), law(9)
    moment = moment_of(values, weight, True)
    expected = sum(moment[d, e] ** 2 for d in range(4) for e in range(4) if d != e)
    assert expected > 1e-2
    assert float(covariance_penalty(values, weight)) == pytest.approx(expected, rel=1e-12)
    # White samples have none; copies of one function satisfy the hinge, not this.
    assert float(covariance_penalty(whiten(values, weight), weight)) < 1e-25
    assert float(covariance_penalty(values[:, :1].repeat(1, 2), weight)) == pytest.approx(2 * moment[0, 0] ** 2, rel=1e-12)


def test_vicreg_maps_to_the_papers_total():
    n, dim = 7, 3
    first, second = 0.6 * draw(n, dim), 0.6 * draw(n, dim, seed=1)

    def published(z):
        """v and c of the paper, with its N - 1 and its 1 / D."""
        z = z.numpy()
        covariance = np.cov(z, rowvar=False, ddof=1)
        v = sum(max(0.0, 1 - np.sqrt(covariance[d, d] + 1e-4)) for d in range(dim)) / dim
        return v, sum(covariance[d, e] ** 2 for d in range(dim) for e in range(dim) if d != e) / dim

    s = sum(float(((first[i] - second[i]) ** 2).sum()) for i in range(n)) / n
    total = 25 * s + sum(25 * v + c for v, c in (published(first), published(second)))
    unbiased = (n / (n - 1)) ** 0.5
    ours = s + sum(float(vicreg(unbiased * z, variance=1 / dim, covariance=0.04 / dim)) for z in (first, second))
    assert 25 * ours == pytest.approx(total, rel=1e-12)
    assert min(*published(first), *published(second)) > 1e-3


@pytest.mark.parametrize("loss", ["covariance", "vicreg"])
def test_gradients_agree_with_finite_differences(loss):
    weight = law(6)
    function = {
        "covariance": lambda z: covariance_penalty(z, weight),
        "vicreg": lambda z: vicreg(z, weight, variance=2.0, covariance=3.0, target=1.5),
    }[loss]
    values = (0.5 * draw(6, 3)).requires_grad_()
    assert torch.autograd.gradcheck(function, values, eps=1e-6, atol=1e-6)
    assert float(torch.autograd.grad(function(values), values)[0].norm()) > 1e-3


def test_half_precision_and_autocast_are_computed_in_single():
    values = (draw(512, 8) @ draw(8, 8, seed=1)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        white = whiten(values)
        penalty = covariance_penalty(values.float())
    assert white.dtype == penalty.dtype == torch.float32
    assert float(penalty) == pytest.approx(float(covariance_penalty(values.double())), rel=1e-5)
    assert float(whitening_penalty(white)) < 1e-6
