"""Spectral and prediction losses from samples and under the exact law of a finite world."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spectral_jepa.losses import (
    ema_update,
    expected_prediction_loss,
    expected_spectral_loss,
    prediction_loss,
    spectral_loss,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def law(*shape, seed=5):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1


def loop_spectral(predicted, target, weight, pairs):
    """-2 E g.f+ + the mean of (g_i.f_j)^2 over the given pairs, weighted by w_i w_j."""
    g, f, w = predicted.numpy(), target.numpy(), weight.numpy() / float(weight.sum())
    first = sum(w[i] * sum(g[i, d] * f[i, d] for d in range(g.shape[1])) for i in range(len(g)))
    total = sum(w[i] * w[j] for i, j in pairs)
    second = sum(w[i] * w[j] * sum(g[i, d] * f[j, d] for d in range(g.shape[1])) ** 2 for i, j in pairs)
    return -2 * first + second / total


def loop_expected(predicted, target, joint):
    """Prediction and spectral loss, one pair at a time, from a joint law that may need normalising."""
    g, f, p = predicted.numpy(), target.numpy(), joint.numpy() / float(joint.sum())
    rows, columns = p.sum(1), p.sum(0)
    pairs = list(itertools.product(range(len(g)), range(len(f))))
    prediction = sum(p[m, s] * ((g[m] - f[s]) ** 2).sum() for m, s in pairs)
    spectral = sum(-2 * p[m, s] * (g[m] @ f[s]) + rows[m] * columns[s] * (g[m] @ f[s]) ** 2 for m, s in pairs)
    return prediction, spectral


EXPECTED = {"prediction": expected_prediction_loss, "spectral": expected_spectral_loss}


@pytest.mark.parametrize("n, dim", [(3, 7), (9, 2)])
def test_spectral_loss_is_the_sum_over_all_pairs(n, dim):
    predicted, target, weight = draw(n, dim), draw(n, dim, seed=1), law(n)
    pairs = list(itertools.product(range(n), repeat=2))
    plain = loop_spectral(predicted, target, torch.ones(n, dtype=torch.float64), pairs)
    weighted = loop_spectral(predicted, target, weight, pairs)
    assert abs(plain - weighted) > 1e-3
    assert float(spectral_loss(predicted, target)) == pytest.approx(plain, rel=1e-12)
    assert float(spectral_loss(predicted, target, weight)) == pytest.approx(weighted, rel=1e-12)


@pytest.mark.parametrize("n, dim", [(2, 3), (9, 2)])
def test_unbiased_spectral_loss_leaves_out_the_diagonal(n, dim):
    predicted, target = draw(n, dim), draw(n, dim, seed=1)
    plain = loop_spectral(predicted, target, torch.ones(n, dtype=torch.float64), list(itertools.permutations(range(n), 2)))
    assert float(spectral_loss(predicted, target, unbiased=True)) == pytest.approx(plain, rel=1e-12)


def test_the_u_statistic_is_unbiased_and_the_plug_in_is_not():
    # All ordered triples of pairs (row, column) from a 2 x 3 law, each with its probability: an exact expectation.
    joint = law(2, 3) / law(2, 3).sum()
    g, f = draw(2, 2), draw(3, 2, seed=1)
    atoms = list(itertools.product(range(2), range(3)))
    means = dict.fromkeys((False, True), 0.0)
    for triple in itertools.product(atoms, repeat=3):
        probability = np.prod([float(joint[m, s]) for m, s in triple])
        rows, columns = [m for m, _ in triple], [s for _, s in triple]
        for unbiased in means:
            means[unbiased] += probability * float(spectral_loss(g[rows], f[columns], unbiased=unbiased))
    exact = loop_expected(g, f, joint)[1]
    assert means[True] == pytest.approx(exact, rel=1e-12)
    # The plug-in form counts (g.f+)^2 of a pair with itself once in N = 3.
    own = sum(float(joint[m, s] * (g[m] @ f[s]) ** 2) for m, s in atoms)
    apart = sum(float(joint[m].sum() * joint[:, s].sum() * (g[m] @ f[s]) ** 2) for m, s in atoms)
    assert means[False] == pytest.approx(exact + (own - apart) / 3, rel=1e-12) and abs(own - apart) > 1e-2


@pytest.mark.parametrize("loss", [0, 1])
def test_expected_losses_equal_sums_over_pairs_for_any_scale_of_the_law(loss):
    predicted, target, joint = draw(6, 3), draw(4, 3, seed=1), law(6, 4)
    joint[2, :], joint[:, 1] = 0, 0
    expected = loop_expected(predicted, target, joint)[loss]
    function = list(EXPECTED.values())[loss]
    assert float(function(predicted, target, joint)) == pytest.approx(expected, rel=1e-12)
    assert float(function(predicted, target, joint / joint.sum())) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_spectral_loss_is_the_distance_from_the_normalised_law_and_its_minimum_the_known_one(seed):
    joint = law(8, 5, seed=seed)
    p = (joint / joint.sum()).numpy()
    rows, columns = p.sum(1), p.sum(0)
    normalized = p / np.sqrt(np.outer(rows, columns))
    g, f = draw(8, 3, seed=seed), draw(5, 3, seed=seed + 9)
    model = (np.sqrt(rows)[:, None] * g.numpy()) @ (np.sqrt(columns)[:, None] * f.numpy()).T
    distance = ((normalized - model) ** 2).sum() - (normalized**2).sum()
    assert float(expected_spectral_loss(g, f, joint)) == pytest.approx(distance, rel=1e-12)
    left, singular, right = np.linalg.svd(normalized, full_matrices=False)
    best_g = torch.tensor(left[:, :3] * singular[:3] / np.sqrt(rows)[:, None], requires_grad=True)
    best_f = torch.tensor(right[:3].T / np.sqrt(columns)[:, None], requires_grad=True)
    best = expected_spectral_loss(best_g, best_f, joint)
    assert float(best.detach()) == pytest.approx(-(singular[:3] ** 2).sum(), rel=1e-12)
    gradients = torch.autograd.grad(best, [best_g, best_f])
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-13
    # Whitened prediction error: D more than the spectral loss (docs/theory.md, 2.5).
    assert float(expected_prediction_loss(best_g, best_f, joint).detach()) == pytest.approx(
        3 - (singular[:3] ** 2).sum(), rel=1e-12
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_leading_axes_are_runs_and_actions_in_any_mixture(name):
    function, loss = EXPECTED[name], list(EXPECTED).index(name)
    g, f, joint = draw(2, 3, 6, 2), draw(2, 1, 4, 2, seed=1), law(3, 6, 4)
    by_loop = [[loop_expected(g[r, a], f[r, 0], joint[a])[loss] for a in range(3)] for r in range(2)]
    assert np.allclose(function(g, f, joint), by_loop, rtol=1e-12)
    shared = [[loop_expected(g[r, a], f[r, 0], joint[0])[loss] for a in range(3)] for r in range(2)]
    assert np.allclose(function(g, f, joint[0]), shared, rtol=1e-12)
    own = law(2, 3, 6, 4, seed=8)
    apart = [[loop_expected(g[r, a], f[r, 0], own[r, a])[loss] for a in range(3)] for r in range(2)]
    assert np.allclose(function(g, f, own), apart, rtol=1e-12)


class Products(TorchDispatchMode):
    """Matrix products with the law, and the largest tensor made."""

    def __init__(self, n_columns):
        super().__init__()
        self.n_columns, self.products, self.largest = n_columns, [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if "mm" in str(function) and self.n_columns in (*args[0].shape, *args[1].shape):
            self.products.append((tuple(args[0].shape), tuple(args[1].shape)))
        if isinstance(result, torch.Tensor) and "expand" not in str(function):
            self.largest = max(self.largest, result.numel())
        return result


def test_a_shared_law_is_applied_to_all_runs_in_one_product_and_is_never_copied():
    runs, rows, columns, dim = 7, 60, 47, 2
    g, f, joint = draw(runs, rows, dim), draw(runs, columns, dim), law(rows, columns)
    with Products(rows) as seen:
        expected_prediction_loss(g, f, joint)
    assert len(seen.products) == 1 and seen.products[0][0][-2:] == (rows, columns)
    assert seen.products[0][1][-1] == runs * dim
    assert seen.largest <= rows * columns < runs * rows * columns


def test_stop_gradient_stops_the_gradient_of_the_target_alone():
    g, f, joint = draw(6, 2).requires_grad_(), draw(4, 2, seed=1).requires_grad_(), law(6, 4)
    expected_prediction_loss(g, f, joint, stop_gradient=True).backward()
    p = joint / joint.sum()
    assert f.grad is None
    assert torch.allclose(g.grad, (2 * (p.sum(1, keepdim=True) * g - p @ f)).detach(), atol=1e-14)
    expected_prediction_loss(g, f, joint).backward()
    assert torch.allclose(f.grad, (2 * (p.sum(0).unsqueeze(1) * f - p.T @ g)).detach(), atol=1e-14)


def test_weighted_atoms_equal_replicated_atoms():
    copies = torch.tensor([1, 3, 2, 1])
    g, f = draw(2, 4, 3), draw(2, 4, 3, seed=1)
    weighted = spectral_loss(g, f, copies.double())
    repeated = spectral_loss(g.repeat_interleave(copies, 1), f.repeat_interleave(copies, 1))
    assert torch.allclose(weighted, repeated, rtol=1e-12) and abs(float(weighted[0] - weighted[1])) > 1e-3
    assert not torch.allclose(weighted, spectral_loss(g, f), rtol=1e-2)
    # A sample of pairs is the law that gives each pair its share.
    diagonal = torch.diag(copies.double())
    assert torch.allclose(expected_spectral_loss(g, f, diagonal), weighted, rtol=1e-12)
    assert torch.allclose(expected_prediction_loss(g, f, diagonal), prediction_loss(g, f, copies.double()), rtol=1e-12)
    # A row of the law cut in three equal rows with the same prediction is the same law.
    joint = law(4, 4)
    cut = (joint / copies.unsqueeze(1)).repeat_interleave(copies, 0)
    for function in EXPECTED.values():
        assert torch.allclose(function(g.repeat_interleave(copies, 1), f, cut), function(g, f, joint), rtol=1e-12)


@pytest.mark.parametrize("loss", ["weighted", "plain", "unbiased", *EXPECTED])
def test_gradients_agree_with_finite_differences(loss):
    weight, joint = law(5), law(5, 5)
    function = {
        "weighted": lambda g, f: spectral_loss(g, f, weight),
        "plain": spectral_loss,
        "unbiased": lambda g, f: spectral_loss(g, f, unbiased=True),
        "prediction": lambda g, f: expected_prediction_loss(g, f, joint),
        "spectral": lambda g, f: expected_spectral_loss(g, f, joint),
    }[loss]
    inputs = draw(2, 5, 3).requires_grad_(), draw(2, 5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-6)
    assert min(float(gradient.norm()) for gradient in torch.autograd.grad(function(*inputs).sum(), inputs)) > 1e-2


@pytest.mark.parametrize("name", ["spectral", "expected"])
def test_half_precision_and_autocast_are_computed_in_single(name):
    g, f, joint = draw(64, 8).bfloat16(), draw(64, 8, seed=1).bfloat16(), law(64, 64)
    function = {
        "spectral": lambda g, f, joint: spectral_loss(g, f),
        "expected": expected_spectral_loss,
    }[name]
    exact = float(function(g.double(), f.double(), joint))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for given in ((g, f), (g.float(), f.float())):
            value = function(*given, joint.float())
            assert value.dtype == torch.float32 and float(value) == pytest.approx(exact, rel=1e-5)


def test_ema_moves_the_target_towards_the_online_network_without_a_gradient():
    target, online = [draw(3, 2), draw(4)], [draw(3, 2, seed=1).requires_grad_(), draw(4, seed=2).requires_grad_()]
    before = [tensor.clone() for tensor in target]
    ema_update(target, iter(online), 0.9)
    for old, new, other in zip(before, target, online, strict=True):
        assert torch.allclose(new, 0.9 * old + 0.1 * other.detach(), atol=1e-15) and not new.requires_grad
        assert not torch.equal(new, old)
    network, copy = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    ema_update(copy.parameters(), network.parameters(), 0.0)
    assert torch.equal(copy.weight, network.weight) and copy.weight.requires_grad


def test_wrong_input_is_refused(refused):
    g = torch.zeros(4, 3)
    with refused("target", "(4, 3)"):
        spectral_loss(g, torch.zeros(4, 2))
    with refused("unbiased", "a weight"):
        spectral_loss(g, g, torch.ones(4), unbiased=True)
    with refused("unbiased", "1 sample"):
        spectral_loss(g[:1], g[:1], unbiased=True)
    for function in EXPECTED.values():
        with refused("joint", "(..., 4, 5)", "(5, 4)"):
            function(g, torch.zeros(5, 3), torch.ones(5, 4))
        with refused("target has 2 coordinates", "expected 3"):
            function(g, torch.zeros(5, 2), torch.ones(4, 5))
    with refused("target_tensors", "[(2,)]", "[(3,)]"):
        ema_update([torch.zeros(2)], [torch.zeros(3)], 0.5)
    with refused("decay", "1.5"):
        ema_update([g], [g], 1.5)
