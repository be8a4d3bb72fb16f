import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from spectral_jepa._validation import InputError
from spectral_jepa.losses import random_directions
from spectral_jepa.pixels.config import ObjectiveConfig
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import TINY
from spectral_jepa.pixels.training.objective import Objective, pldm_terms

DIM, BATCH, TIMES = 6, 7, 4


class Table(nn.Module):
    """Given embeddings; predicts half the latent plus the sum of its block."""

    def __init__(self, latents):
        super().__init__()
        self.latents = nn.Parameter(latents)

    def encode(self, frames):
        return self.latents

    def predict(self, latents, blocks):
        return latents / 2 + blocks.sum(-1, keepdim=True)


def draw(*shape, seed=0):
    """In float64: identities hold there to rounding on every machine."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def evaluate(seed=11, latents=None, objective_seed=0, **changes):
    config = replace(ObjectiveConfig(n_slices=5), **changes)
    objective = Objective(config, DIM, objective_seed, block_dim=3).double()
    model = Table(draw(BATCH, TIMES, DIM) if latents is None else latents)
    blocks = draw(BATCH, TIMES, 3, seed=1)
    frames = torch.zeros(BATCH, TIMES, 1)
    return objective, model, blocks, objective(model, frames, blocks, torch.Generator().manual_seed(seed))


def plain_prediction(latents, blocks):
    total = 0.0
    for b in range(BATCH):
        for t in range(TIMES - 1):
            for d in range(DIM):
                guess = float(latents[b, t, d]) / 2 + sum(float(a) for a in blocks[b, t])
                total += (guess - float(latents[b, t + 1, d])) ** 2
    return total / (BATCH * (TIMES - 1) * DIM)


def plain_sigreg(views, n_knots=17, t_max=3.0):
    """Published statistic of (N, M) views: N times the folded trapezoid rule, averaged over the views."""
    n_samples, n_views = views.shape
    total = 0.0
    for m in range(n_views):
        for j in range(n_knots):
            t = t_max * j / (n_knots - 1)
            real = sum(math.cos(t * float(views[n, m])) for n in range(n_samples)) / n_samples
            imaginary = sum(math.sin(t * float(views[n, m])) for n in range(n_samples)) / n_samples
            weight = (0.1875 if j in (0, n_knots - 1) else 0.375) * math.exp(-t * t / 2)
            total += weight * ((real - math.exp(-t * t / 2)) ** 2 + imaginary**2)
    return n_samples * total / n_views


def plain_directions(dim, count, generator):
    drawn = torch.randn(dim, count, generator=generator).double()
    return torch.stack([column / math.sqrt(sum(float(x) ** 2 for x in column)) for column in drawn.T], 1)


def test_golden_lewm_loss():
    _, model, blocks, parts = evaluate()
    directions = plain_directions(DIM, 5, torch.Generator().manual_seed(11))
    latents = model.latents.detach()
    prediction = plain_prediction(latents, blocks)
    regularizer = sum(plain_sigreg(latents[:, t] @ directions) for t in range(TIMES)) / TIMES
    assert float(parts["prediction"]) == pytest.approx(prediction, rel=1e-5)
    assert float(parts["regularizer"]) == pytest.approx(regularizer, rel=1e-5)
    assert float(parts["loss"].detach()) == pytest.approx(prediction + 0.09 * regularizer, rel=1e-5)
    assert min(prediction, regularizer) > 0.5


def test_golden_sub_jepa_loss():
    objective, model, blocks, parts = evaluate(regularizer="subspace_sigreg", n_subspaces=3)
    subspaces, latents = objective.subspaces, model.latents.detach()
    assert subspaces.shape == (3, 2, DIM)
    torch.testing.assert_close(subspaces @ subspaces.mT, torch.eye(2).double().expand(3, 2, 2), atol=1e-6, rtol=0)
    # The objective's own draw: one table of K x M unit columns of length d_s, subspace by subspace.
    directions = plain_directions(2, 15, torch.Generator().manual_seed(11))
    regularizer = 0.0
    for k in range(3):
        for t in range(TIMES):
            views = (latents[:, t] @ subspaces[k].T) @ directions[:, 5 * k : 5 * k + 5]
            regularizer += plain_sigreg(views) / (3 * TIMES)
    assert float(parts["regularizer"]) == pytest.approx(regularizer, rel=1e-5)
    assert float(parts["loss"].detach()) == pytest.approx(plain_prediction(latents, blocks) + 0.09 * regularizer, rel=1e-5)


def test_golden_gradient():
    """Gradient of the loss by central differences, targets included."""
    _, model, _, parts = evaluate()
    parts["loss"].backward()
    direction = draw(BATCH, TIMES, DIM, seed=3)
    step = 1e-5
    above, below = (evaluate(latents=model.latents.detach() + sign * step * direction)[3]["loss"] for sign in (1, -1))
    slope = float((above - below).detach()) / (2 * step)
    assert abs(slope) > 0.1
    assert float((model.latents.grad * direction).sum()) == pytest.approx(slope, rel=1e-7)


def test_one_identity_subspace_is_sigreg():
    config = ObjectiveConfig(regularizer="subspace_sigreg", n_subspaces=1, n_slices=5)
    objective = Objective(config, DIM).double()
    objective.subspaces.copy_(torch.eye(DIM)[None])
    model, blocks = Table(draw(BATCH, TIMES, DIM)), draw(BATCH, TIMES, 3, seed=1)
    parts = objective(model, torch.zeros(BATCH, TIMES, 1), blocks, torch.Generator().manual_seed(11))
    expected = evaluate()[3]
    for name in ("loss", "regularizer", "prediction"):
        torch.testing.assert_close(parts[name], expected[name])


def test_collapsed_embedding_has_the_known_value():
    objective = Objective(ObjectiveConfig(), 192)
    values = torch.zeros(4, 128, 192)
    regularizer, penalty = objective.regularize(values, torch.Generator().manual_seed(0))
    assert float(regularizer) == pytest.approx(51.46, abs=0.01)
    assert float(penalty) == pytest.approx(4.63, abs=0.01)
    regularizer, _ = objective.regularize(draw(4, 128, 192), torch.Generator().manual_seed(0))
    assert float(regularizer) == pytest.approx(1.052, abs=0.05)


def test_directions_are_fresh_and_come_from_the_generator():
    objective = Objective(ObjectiveConfig(n_slices=8), DIM)
    values, generator = draw(TIMES, BATCH, DIM), torch.Generator().manual_seed(0)
    state = torch.get_rng_state()
    first, second = (float(objective.regularize(values, generator)[0]) for _ in range(2))
    again = float(objective.regularize(values, torch.Generator().manual_seed(0))[0])
    assert first == again != second
    assert torch.equal(state, torch.get_rng_state())
    # One draw for all time steps: repeating one step in time changes nothing.
    alone = objective.regularize(values[:1], torch.Generator().manual_seed(0))[0]
    repeated = objective.regularize(values[:1].expand(3, -1, -1), torch.Generator().manual_seed(0))[0]
    torch.testing.assert_close(alone, repeated)


def test_stop_gradient_freezes_the_targets():
    free, stopped = (evaluate(regularizer="none", stop_gradient=stop) for stop in (False, True))
    assert torch.equal(free[3]["loss"], stopped[3]["loss"])
    for _, _, _, parts in (free, stopped):
        parts["loss"].backward()
    # The last frame is a target only, the first an input only.
    assert not stopped[1].latents.grad[:, -1].any()
    assert free[1].latents.grad[:, -1].abs().max() > 1e-3
    torch.testing.assert_close(free[1].latents.grad[:, 0], stopped[1].latents.grad[:, 0])
    # d/dz of the mean of (z / 2 + a - target)^2, less twice the residual of the step before where z is a target too.
    z, count = free[1].latents.detach(), BATCH * (TIMES - 1) * DIM
    residual = z[:, :-1] / 2 + draw(BATCH, TIMES, 3, seed=1)[:, :-1].sum(-1, keepdim=True) - z[:, 1:]
    torch.testing.assert_close(stopped[1].latents.grad[:, 1], residual[:, 1] / count)
    torch.testing.assert_close(free[1].latents.grad[:, 1], (residual[:, 1] - 2 * residual[:, 0]) / count)


def plain_std(samples):
    mean = sum(samples) / len(samples)
    return math.sqrt(sum((x - mean) ** 2 for x in samples) / (len(samples) - 1) + 1e-4)


def test_golden_pldm_loss():
    scale = torch.tensor([0.2, 0.5, 1.0, 1.5, 0.1, 0.8])
    _, model, blocks, parts = evaluate(regularizer="pldm", latents=draw(BATCH, TIMES, DIM) * scale)
    z = model.latents.detach().double()
    c = z - z.mean(0, keepdim=True)
    times, coordinates = range(TIMES), range(DIM)
    variance = sum(max(0, 1 - plain_std(c[:, t, d].tolist())) for t in times for d in coordinates) / (TIMES * DIM)
    over_time = sum(max(0, 1 - plain_std(c[b, :, d].tolist())) for b in range(BATCH) for d in coordinates) / (BATCH * DIM)
    covariance = 0.0
    for t in times:
        matrix = torch.cov(z[:, t].T)
        covariance += sum(float(matrix[d, e]) ** 2 for d in coordinates for e in coordinates if d != e) / (DIM * (DIM - 1))
    similarity = torch.nn.functional.mse_loss(z[:, 1:], z[:, :-1])
    expected = 18 * variance + 12 * covariance / TIMES + 0.2 * float(similarity) + 0.7 * over_time
    assert min(variance, covariance, float(similarity), over_time) > 0.01
    assert float(parts["regularizer"]) == pytest.approx(expected, rel=1e-5)
    # The weights are the whole story: strength does not apply.
    assert float(parts["loss"].detach()) == pytest.approx(plain_prediction(z, blocks) + expected, rel=1e-5)


def test_whitening_strength_is_that_of_the_theory():
    _, model, blocks, parts = evaluate(regularizer="whitening", strength=0.7)
    z = model.latents.detach().double()
    expected = 0.0
    for t in range(TIMES):
        covariance = torch.cov(z[:, t].T, correction=0)
        expected += float(((covariance - torch.eye(DIM)) ** 2).sum() + (z[:, t].mean(0) ** 2).sum()) / TIMES
    # D times the loss = summed prediction error + lambda ||E z z^T - I||^2.
    total = DIM * plain_prediction(z, blocks) + 0.7 * expected
    assert DIM * float(parts["loss"].detach()) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("regularizer", ["sigreg", "pldm", "none"])
def test_golden_inverse_dynamics(regularizer):
    objective, model, blocks, parts = evaluate(regularizer=regularizer, inverse_dynamics=0.7)
    z, a = model.latents.detach().numpy(), blocks.numpy()
    weight, bias = (parameter.detach().numpy() for parameter in (objective.inverse.weight, objective.inverse.bias))
    assert weight.shape == (3, 2 * DIM)
    expected = 0.0
    for b in range(BATCH):
        for t in range(TIMES - 1):
            guess = weight[:, :DIM] @ z[b, t] + weight[:, DIM:] @ z[b, t + 1] + bias
            expected += np.sum((guess - a[b, t]) ** 2) / (BATCH * (TIMES - 1) * 3)
    assert float(parts["inverse_dynamics"]) == pytest.approx(expected, rel=1e-10)
    _, _, _, bare = evaluate(regularizer=regularizer)
    assert float((parts["loss"] - bare["loss"]).detach()) == pytest.approx(0.7 * expected, rel=1e-9)
    assert all(torch.equal(parts[name], bare[name]) for name in ("prediction", "regularizer", "effective_rank"))


def test_inverse_dynamics_reach_the_encoder_and_fit_what_is_linear():
    """Its gradient by hand; where latents move by a linear map of the actions, least squares leave nothing."""
    objective, model, blocks, parts = evaluate(regularizer="none", inverse_dynamics=2.0)
    _, free, _, bare = evaluate(regularizer="none")
    for result in (parts, bare):
        result["loss"].backward()
    z, count = model.latents.detach(), BATCH * (TIMES - 1) * 3
    residual = objective.inverse(torch.cat([z[:, :-1], z[:, 1:]], -1)).detach() - blocks[:, :-1]
    first, second = (4 / count * residual @ part for part in objective.inverse.weight.detach().split(DIM, 1))
    expected = torch.zeros_like(z)
    expected[:, :-1] += first
    expected[:, 1:] += second
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(model.latents.grad - free.latents.grad, expected, rtol=1e-9, atol=1e-12)
    assert objective.inverse.weight.grad.abs().max() > 1e-3

    reading = draw(3, DIM, seed=5)
    steps = torch.cat([torch.zeros(BATCH, 1, 3).double(), blocks[:, :-1]], 1).cumsum(1)
    moved = Table(draw(BATCH, 1, DIM, seed=6) + steps @ torch.linalg.pinv(reading).T)
    with torch.no_grad():
        objective.inverse.bias.zero_()
        objective.inverse.weight.copy_(torch.cat([-reading, reading], 1))
    frames, generator = torch.zeros(BATCH, TIMES, 1), torch.Generator().manual_seed(0)
    assert float(objective(moved, frames, blocks, generator)["inverse_dynamics"]) < 1e-20
    # The control: the blocks of one step later are not those between the frames.
    assert float(objective(moved, frames, blocks.roll(-1, 1), generator)["inverse_dynamics"]) > 0.1


def test_without_inverse_dynamics_nothing_changes():
    plain, _, _, with_dim = evaluate()
    objective = Objective(ObjectiveConfig(n_slices=5), DIM).double()
    model, blocks = Table(draw(BATCH, TIMES, DIM)), draw(BATCH, TIMES, 3, seed=1)
    parts = objective(model, torch.zeros(BATCH, TIMES, 1), blocks, torch.Generator().manual_seed(11))
    assert parts.keys() == with_dim.keys() and "inverse_dynamics" not in parts
    assert all(torch.equal(parts[name], with_dim[name]) for name in parts)
    assert not list(plain.parameters())
    state = torch.get_rng_state()
    made = [Objective(ObjectiveConfig(inverse_dynamics=1.0), DIM, seed, 3).inverse.weight for seed in (0, 0, 1)]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert torch.equal(state, torch.get_rng_state())


def test_no_regularizer_is_the_prediction_error():
    _, model, blocks, parts = evaluate(regularizer="none")
    assert float(parts["loss"].detach()) == pytest.approx(plain_prediction(model.latents.detach(), blocks), rel=1e-5)
    assert float(parts["regularizer"]) == 0


def test_subspaces_frozen_or_trainable():
    frozen = Objective(ObjectiveConfig(regularizer="subspace_sigreg", n_subspaces=2), DIM, seed=3)
    assert not list(frozen.parameters())
    assert list(frozen.state_dict()) == ["subspaces"]
    other = Objective(ObjectiveConfig(regularizer="subspace_sigreg", n_subspaces=2), DIM, seed=4)
    assert (frozen.subspaces - other.subspaces).abs().max() > 0.1

    theta = 0.3
    changes = {"regularizer": "subspace_sigreg", "n_subspaces": 2, "subspace_kind": "trainable"}
    free, _, _, bare = evaluate(**changes)
    _, _, _, parts = evaluate(**changes, orthogonality=theta)
    norms = [torch.linalg.norm(w @ w.T - torch.eye(3).double()) for w in free.subspaces.detach()]
    assert float((parts["loss"] - bare["loss"]).detach()) == pytest.approx(theta * float(sum(norms)) / 2, rel=1e-10)
    bare["loss"].backward()
    assert free.subspaces.grad.abs().max() > 1e-3


def test_diagnostics_describe_all_frames():
    latents = draw(500, TIMES, DIM)
    latents[..., 3:] = 0
    objective = Objective(ObjectiveConfig(), DIM)
    blocks = torch.zeros(500, TIMES, 3)
    parts = objective(Table(latents), torch.zeros(500, TIMES, 1), blocks, torch.Generator().manual_seed(0))
    assert 2.95 < float(parts["effective_rank"]) <= 3
    # Three of six coordinates are missing from the identity.
    assert float(parts["whitening_gap"]) == pytest.approx(0.5, abs=0.02)
    assert not any(value.requires_grad for name, value in parts.items() if name != "loss")
    fewer = objective(
        Table(latents), torch.zeros(500, TIMES, 1), blocks, torch.Generator().manual_seed(0), diagnostics=False
    )
    assert set(fewer) == {"loss", "prediction", "regularizer"}


def test_regularizer_stays_in_float32_under_autocast():
    objective, exact = Objective(ObjectiveConfig(), 192), draw(2, 64, 192).float()
    for regularizer in ("sigreg", "subspace_sigreg", "pldm", "whitening"):
        objective = Objective(ObjectiveConfig(regularizer=regularizer), 192)
        plain = objective.regularize(exact, torch.Generator().manual_seed(0))[0]
        with torch.autocast("cpu", torch.bfloat16):
            mixed = objective.regularize(exact, torch.Generator().manual_seed(0))[0]
        assert mixed.dtype == torch.float32
        assert torch.equal(plain, mixed), regularizer


def test_float64_stays_float64():
    model = WorldModel(replace(TINY.model, dropout=0.0)).double()
    frames, blocks = torch.rand(4, 4, 3, 32, 32), draw(4, 4, 10)
    for regularizer in ("sigreg", "subspace_sigreg", "pldm", "whitening", "none"):
        objective = Objective(replace(TINY.objective, regularizer=regularizer), 16).double()
        parts = objective(model, frames, blocks, torch.Generator().manual_seed(0))
        assert {value.dtype for value in parts.values()} == {torch.float64}, regularizer


def test_training_step_of_the_world_model():
    """A few steps lower the loss, with bf16 autocast as well, and every parameter gets a gradient."""
    config = replace(TINY.model, dropout=0.0)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (16, 4, 32, 32, 3), dtype=torch.uint8, generator=generator)
    blocks = draw(16, 4, 10).float()
    for mixed in (False, True):
        model, objective = WorldModel(config), Objective(TINY.objective, 16)
        optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
        values = []
        for _ in range(15):
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                parts = objective(model, frames, blocks, generator)
            optimizer.zero_grad()
            parts["loss"].backward()
            optimizer.step()
            values.append(float(parts["loss"].detach()))
        assert parts["loss"].dtype == torch.float32
        assert sum(values[-3:]) < 0.8 * sum(values[:3])
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert sum(parameter.grad.abs().max() > 0 for parameter in model.parameters()) > 30


def test_world_model_loss_covers_contexts_of_each_length():
    """The loss of the joint pass is the mean of the errors of separate predictions from 1, 2 and 3 embeddings."""
    config = replace(TINY.model, dropout=0.0)
    model = WorldModel(config).eval().double()
    for block in model.predictor.blocks:
        nn.init.normal_(block.modulation.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    frames, blocks = torch.rand(5, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double(), draw(5, 4, 10)
    parts = Objective(TINY.objective, 16)(model, frames, blocks, torch.Generator().manual_seed(0))
    latents = torch.stack([model.encode(frames[:, t]) for t in range(4)], 1)
    errors = []
    for t in range(1, 4):
        guess = model.predict(latents[:, :t], blocks[:, :t])[:, -1]
        errors.append((guess - latents[:, t]).square().mean())
    assert float(parts["prediction"]) == pytest.approx(float(sum(errors).detach()) / 3, rel=1e-10)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Objective(ObjectiveConfig(regularizer="subspace_sigreg", n_subspaces=5), 16), "does not divide"),
        (lambda: Objective(ObjectiveConfig(inverse_dynamics=1.0), 16), "block_dim is None, expected"),
        (lambda: ObjectiveConfig(inverse_dynamics=-1.0), "inverse_dynamics is -1"),
        (lambda: pldm_terms(torch.zeros(1, 3, 4)), "at least 2 of each"),
        (lambda: call_with(torch.zeros(3, 1, 1), torch.zeros(3, 1, 3)), "T >= 2"),
        (lambda: call_with(torch.zeros(3, 4, 1), torch.zeros(3, 5, 3)), "one action block a frame"),
    ],
)
def test_wrong_input_is_one_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()


def call_with(frames, blocks):
    return Objective(ObjectiveConfig(), DIM)(Table(torch.zeros(3, 4, DIM)), frames, blocks, torch.Generator())


def test_random_directions_have_the_law_the_golden_test_assumes():
    drawn = random_directions(3, 4, generator=torch.Generator().manual_seed(5))
    # Drawn in float32: unit columns, so that 1e-6 is 8 units of rounding.
    wanted = plain_directions(3, 4, torch.Generator().manual_seed(5)).float()
    torch.testing.assert_close(drawn, wanted, rtol=0, atol=1e-6)
