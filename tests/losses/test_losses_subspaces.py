"""Subspaces of an embedding and the regularisers that act in them."""

import math

import numpy as np
import pytest
import torch

from spectral_jepa.losses import (
    make_subspaces,
    orthogonality_penalty,
    prediction_loss,
    project,
    random_directions,
    sigreg,
    subspace_sigreg,
    subspace_whitening_penalty,
    whiten,
    whitening_penalty,
)

KINDS = ["orthogonal", "partition", "random", "scaled", "trainable"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def law(n, seed=5):
    return torch.rand(n, generator=generator(seed), dtype=torch.float64) + 0.1


def make(dim, k, kind="orthogonal", seed=0, **options):
    return make_subspaces(dim, k, kind, generator=generator(seed), dtype=torch.float64, **options)


def directions_for(subspaces, n, seed=3):
    source, (k, dim, _) = generator(seed), subspaces.shape
    return torch.stack([random_directions(dim, n, generator=source, dtype=subspaces.dtype) for _ in range(k)])


def loop_sigreg(values, directions, weight, factor):
    total = 0.0
    for m in range(directions.shape[1]):
        for j in range(-16, 17):
            t = j * 3 / 16
            mean = sum(float(w) * np.exp(1j * t * float(z @ directions[:, m])) for z, w in zip(values, weight, strict=True))
            gap = abs(mean / float(weight.sum()) - math.exp(-t * t / 2)) ** 2
            total += (0.5 if abs(j) == 16 else 1.0) * 3 / 16 * math.exp(-t * t / 2) * gap
    return factor * total / directions.shape[1]


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_seeds_and_types(kind):
    before = torch.random.get_rng_state()
    first, again, other = make(12, 3, kind), make(12, 3, kind), make(12, 3, kind, seed=1)
    assert first.shape == (3, 4, 12) and first.dtype == torch.float64 and first.is_contiguous()
    assert torch.equal(first, again) and not torch.allclose(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert make_subspaces(12, 3, kind, generator=generator()).dtype == torch.float32


def test_independent_draws_have_orthonormal_rows_and_overlap():
    subspaces = make(12, 3)
    for w in subspaces:
        assert torch.allclose(w @ w.T, torch.eye(4, dtype=torch.float64), atol=1e-14)
    assert float((subspaces[0] @ subspaces[1].T).norm()) > 0.1
    assert make(12, 30, subspace_dim=5).shape == (30, 5, 12)


def test_a_partition_splits_the_space():
    whole = make(12, 3, "partition").reshape(12, 12)
    assert torch.allclose(whole @ whole.T, torch.eye(12, dtype=torch.float64), atol=1e-14)
    assert not torch.allclose(whole.abs(), torch.eye(12, dtype=torch.float64), atol=0.1)


@pytest.mark.parametrize("kind", ["random", "trainable"])
def test_random_subspaces_are_standard_normal(kind):
    entries = make(100, 10, kind).flatten()
    assert abs(float(entries.mean())) < 4 / 100 and float(entries.var()) == pytest.approx(1, abs=4 * math.sqrt(2) / 100)


def test_scaled_subspaces_see_unit_variance_and_random_ones_d_times_as_much():
    dim, values = 50, draw(20_000, 50)
    scaled, drawn = make(dim, 10, "scaled"), make(dim, 10, "random")
    assert torch.allclose(scaled * math.sqrt(dim), drawn, rtol=1e-12)
    # Of a standard normal embedding; over 50 rows of chi^2 with 50 degrees of freedom each.
    seen = float(project(values, scaled).var((-2,)).mean())
    assert seen == pytest.approx(1, abs=4 * math.sqrt(2 / 50 / 50) + 0.01)
    assert float(project(values, drawn).var((-2,)).mean()) == pytest.approx(dim * seen, rel=1e-9)
    # Not orthonormal, which sets it apart from the published kind.
    assert float(orthogonality_penalty(scaled)) > 0.1 and float(orthogonality_penalty(make(dim, 10))) < 1e-9


def test_dimensions_that_do_not_fit_are_refused(refused):
    with refused("n_subspaces is 5", "dim 12", "1, 2, 3, 4, 6, 12"):
        make(12, 5)
    with refused("partition", "3 subspaces of dimension 5"):
        make(12, 3, "partition", subspace_dim=5)
    with refused("subspace_dim is 13", "between 1 and 12"):
        make(12, 2, subspace_dim=13)
    with refused("kind", "'orthogonal', 'partition', 'random', 'scaled', 'trainable'"):
        make(12, 3, "frozen")
    with refused("subspaces", "(..., K, d_s, 4)"):
        project(torch.zeros(5, 4), torch.zeros(2, 2, 3))
    with refused("subspaces", "K, d_s"):
        orthogonality_penalty(torch.zeros(2, 3))
    with refused("directions", "(..., 2, 2, M)"):
        subspace_sigreg(torch.zeros(5, 4), torch.zeros(2, 2, 4), torch.zeros(2, 3, 6))


@pytest.mark.parametrize("runs", [(), (2,)])
def test_projection_entry_by_entry(runs):
    values, subspaces = draw(*runs, 5, 6), draw(*runs, 3, 2, 6, seed=1)
    views = project(values, subspaces)
    assert views.shape == (*runs, 3, 5, 2)
    for at in np.ndindex(*runs, 3, 5, 2):
        run, (k, n, c) = at[: len(runs)], at[len(runs) :]
        assert float(views[at]) == pytest.approx(float(subspaces[run][k, c] @ values[run][n]), abs=1e-13)


def test_shared_subspaces_serve_all_runs():
    values, subspaces = draw(2, 4, 5, 6), make(6, 3)
    assert torch.allclose(project(values, subspaces)[1, 2, 1], values[1, 2] @ subspaces[1].T, atol=1e-14)


def test_orthogonality_penalty_is_the_mean_norm():
    assert float(orthogonality_penalty(make(12, 3))) < 1e-13
    subspaces = make(12, 3, "trainable")
    by_hand = [math.sqrt(((w @ w.T - np.eye(4)) ** 2).sum()) for w in subspaces.numpy()]
    assert float(orthogonality_penalty(subspaces)) == pytest.approx(sum(by_hand) / 3, rel=1e-13)
    moving = torch.nn.Parameter(subspaces)
    assert torch.autograd.gradcheck(orthogonality_penalty, moving, eps=1e-6, atol=1e-6)


def test_trainable_subspaces_become_orthonormal_under_the_penalty():
    moving = torch.nn.Parameter(make(12, 3, "trainable"))
    optimizer = torch.optim.Adam([moving], 0.02)
    start = float(orthogonality_penalty(moving).detach())
    for _ in range(300):
        optimizer.zero_grad()
        orthogonality_penalty(moving).backward()
        optimizer.step()
    assert start > 10 and float(orthogonality_penalty(moving).detach()) < 0.2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [None, 2.0])
def test_subspace_sigreg_equals_a_plain_loop(kind, factor):
    values, weight, subspaces = 0.7 * draw(7, 6) + 0.2, law(7), make(6, 3, kind)
    directions = directions_for(subspaces, 4)
    scale = 7 if factor is None else factor
    for given, used in ((None, torch.ones(7)), (weight, weight)):
        parts = [loop_sigreg(values @ w.T, d, used, scale) for w, d in zip(subspaces, directions, strict=True)]
        assert max(parts) - min(parts) > 1e-3
        ours = subspace_sigreg(values, subspaces, directions, given, factor=factor)
        assert float(ours) == pytest.approx(sum(parts) / 3, rel=1e-11)


def test_one_subspace_with_the_identity_is_plain_sigreg_and_plain_whitening():
    values, weight, whole = 0.7 * draw(2, 9, 5) + 0.2, law(9), torch.eye(5, dtype=torch.float64).unsqueeze(0)
    directions = directions_for(whole, 8)
    ours, plain = subspace_sigreg(values, whole, directions, weight), sigreg(values, directions[0], weight)
    assert torch.allclose(ours, plain, rtol=1e-13) and float(plain.min()) > 0.1
    # An orthogonal matrix instead turns the directions only.
    turn = make(5, 1)
    turned = sigreg(values, turn[0].T @ directions[0], weight)
    assert torch.allclose(subspace_sigreg(values, turn, directions, weight), turned, rtol=1e-12)
    assert not torch.allclose(turned, plain, rtol=1e-3)
    for centered in (True, False):
        white = whitening_penalty(values, weight, centered=centered)
        for subspaces in (whole, turn):
            ours = subspace_whitening_penalty(values, subspaces, weight, centered=centered)
            assert torch.allclose(ours, white, rtol=1e-12) and float(white.min()) > 0.1


@pytest.mark.parametrize("centered", [True, False])
def test_whitening_penalty_sums_over_the_subspaces(centered):
    values, weight, subspaces = draw(9, 6) + 0.3, law(9), make(6, 3, "random")
    share = (weight / weight.sum()).numpy()
    mean = share @ values.numpy()
    z = values.numpy() - centered * mean
    moment = sum(p * np.outer(row, row) for p, row in zip(share, z, strict=True))
    expected = sum(
        ((w @ moment @ w.T - np.eye(2)) ** 2).sum() + centered * ((w @ mean) ** 2).sum() for w in subspaces.numpy()
    )
    ours = subspace_whitening_penalty(values, subspaces, weight, centered=centered)
    assert float(ours) == pytest.approx(expected, rel=1e-12)


def test_white_in_every_subspace_does_not_mean_white():
    # Three copies of one white 2-D function, one a block: constraint met, rank 2 of 6 (docs/effective_dimension.md).
    subspaces, function = make(6, 3, "partition"), whiten(draw(40, 2))
    values = torch.cat([function] * 3, -1) @ subspaces.reshape(6, 6)
    assert float(subspace_whitening_penalty(values, subspaces)) < 1e-25
    assert float(whitening_penalty(values)) > 1
    assert int(torch.linalg.matrix_rank(values)) == 2


def test_with_a_partition_the_whole_problem_is_the_sum_of_its_blocks():
    values, predicted, subspaces, strength = draw(9, 6), draw(9, 6, seed=1), make(6, 3, "partition"), 0.7

    def block(w):
        return prediction_loss(predicted @ w.T, values @ w.T) + strength * whitening_penalty(values @ w.T)

    def total(subspaces):
        return prediction_loss(predicted, values) + strength * subspace_whitening_penalty(values, subspaces)

    assert float(total(subspaces)) == pytest.approx(sum(float(block(w)) for w in subspaces), rel=1e-12)
    overlapping = make(6, 3)
    assert abs(float(total(overlapping)) - sum(float(block(w)) for w in overlapping)) > 1e-2


@pytest.mark.parametrize("loss", ["sigreg", "whitening"])
def test_weighted_atoms_equal_replicated_atoms_and_leading_axes_are_runs(loss):
    atoms, copies, subspaces = 0.5 * draw(2, 4, 6), torch.tensor([1, 3, 2, 1]), make(6, 3)
    directions = directions_for(subspaces, 5)
    function = {
        "sigreg": lambda z, w=None: subspace_sigreg(z, subspaces, directions, w, factor=1.0),
        "whitening": lambda z, w=None: subspace_whitening_penalty(z, subspaces, w),
    }[loss]
    weighted = function(atoms, copies.double())
    assert weighted.shape == (2,) and abs(float(weighted[0] - weighted[1])) > 1e-3
    assert torch.allclose(weighted, function(atoms.repeat_interleave(copies, 1)), rtol=1e-12)
    assert not torch.allclose(weighted, function(atoms), rtol=1e-3)
    assert torch.allclose(weighted, torch.stack([function(a, copies.double()) for a in atoms]), rtol=1e-12)


@pytest.mark.parametrize("loss", ["sigreg", "whitening"])
def test_gradients_agree_with_finite_differences(loss):
    weight, directions = law(6), directions_for(make(4, 2), 3)
    function = {
        "sigreg": lambda z, w: subspace_sigreg(z, w, directions, weight),
        "whitening": lambda z, w: subspace_whitening_penalty(z, w, weight),
    }[loss]
    inputs = (0.6 * draw(2, 6, 4)).requires_grad_(), make(4, 2, "trainable").requires_grad_()
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-6)
    assert min(float(g.norm()) for g in torch.autograd.grad(function(*inputs).sum(), inputs)) > 1e-2


def test_half_precision_and_autocast_are_computed_in_single():
    values, subspaces = draw(256, 8).bfloat16(), make(8, 2).float()
    directions = directions_for(subspaces, 16)
    wide = values.double(), subspaces.double()
    exact = float(subspace_sigreg(*wide, directions.double())), float(subspace_whitening_penalty(*wide))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = subspace_sigreg(values, subspaces, directions), subspace_whitening_penalty(values, subspaces)
    assert all(value.dtype == torch.float32 for value in ours)
    assert [float(value) for value in ours] == pytest.approx(exact, rel=1e-5)
