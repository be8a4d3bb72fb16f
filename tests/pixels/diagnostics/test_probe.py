from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from spectral_jepa import InputError
from spectral_jepa.pixels.config import ProbeConfig
from spectral_jepa.pixels.diagnostics.latents import embed_rows
from spectral_jepa.pixels.diagnostics.probe import probe
from spectral_jepa.pixels.model.frozen import encode_frames, frozen
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import preset

N_EPISODES, LENGTH, SIZE = 12, 60, 4
LINEAR = ProbeConfig(probes=("linear",))
SPLIT = {"train": np.arange(9), "validation": np.array([9]), "test": np.array([10, 11])}


def make_dataset(seed=0):
    """Pictures that hold a 3-vector (x, y, angle / 2 pi) in their corner pixel, to 1/255."""
    rng = np.random.default_rng(seed)
    rows = N_EPISODES * LENGTH
    hidden = rng.integers(0, 256, (rows, 3)).astype(np.uint8)
    pixels = np.zeros((rows, SIZE, SIZE, 3), np.uint8)
    pixels[:, 0, 0] = hidden
    state = hidden / 255
    columns = {
        "position": 10 * state[:, :2] - 3,
        "turn_angle": 2 * np.pi * state[:, 2],
        "table": np.full(rows, 0.7, np.float32),
        "noise": rng.normal(size=rows),
        "state": state,
        "step_idx": np.tile(np.arange(LENGTH), N_EPISODES),
    }
    offset = LENGTH * np.arange(N_EPISODES)
    return SimpleNamespace(pixels=pixels, columns=columns, ep_len=np.full(N_EPISODES, LENGTH), ep_offset=offset, row_steps=1)


class Corner(nn.Module):
    """Holds the corner pixel, and sin and cos of its last number, through a fixed invertible map."""

    def __init__(self):
        super().__init__()
        mix = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
        self.mix = nn.Parameter(mix)
        self.calls = 0

    def encode(self, frames):
        self.calls += 1
        value = frames[:, 0, 0].float() / 255
        turn = 2 * torch.pi * value[:, 2:]
        return torch.cat([value[:, :2], torch.sin(turn), torch.cos(turn), torch.ones_like(turn)], 1) @ self.mix


class Noise(nn.Module):
    def encode(self, frames):
        return torch.randn(len(frames), 5, generator=torch.Generator().manual_seed(len(frames)))


def score(table, quantity, coordinate="mean", **chosen):
    for name, value in {"input": "embedding", "probe": "linear"}.items():
        table = table[table[name] == chosen.get(name, value)]
    row = table[(table["quantity"] == quantity) & (table["coordinate"] == coordinate)]
    assert len(row) == 1
    return row.iloc[0]


def test_linear_probe_reads_a_state_that_is_held_linearly_and_nothing_that_is_not():
    table = probe(Corner(), make_dataset(), SPLIT, LINEAR)
    for quantity in ("position", "turn_angle"):
        row = score(table, quantity)
        assert row.r2 == pytest.approx(1, abs=1e-6) and row.r == pytest.approx(1, abs=1e-6) and row.mse < 1e-6
    # Nothing in the picture tells of it: an honest probe stays at the training mean, R2 about 0 and MSE about 1.
    noise = score(table, "noise")
    assert abs(noise.r2) < 0.1 and abs(noise.r) < 0.25 and noise.mse == pytest.approx(1, abs=0.35)


def test_linear_probe_equals_the_normal_equations():
    data = make_dataset()
    # A hard quantity, so that the numbers compared are far from 0 and 1.
    data.columns = {"mixed": data.columns["position"][:, 0] + 5 * data.columns["noise"]}
    row = score(probe(Corner(), data, SPLIT, LINEAR), "mixed")
    x = encode_frames(Corner(), data.pixels).astype(np.float64)
    train, test = slice(0, 9 * LENGTH), slice(10 * LENGTH, 12 * LENGTH)
    mean, std = x[train].mean(0), x[train].std(0)
    a, b = (x[train] - mean) / std, (x[test] - mean) / std
    y = data.columns["mixed"]
    target, held = ((y[part] - y[train].mean()) / y[train].std() for part in (train, test))
    weights = np.linalg.solve(a.T @ a + 1e-3 * np.eye(5), a.T @ target)
    predicted = b @ weights
    assert 0.02 < row.r2 < 0.98
    assert row.mse == pytest.approx(np.mean((predicted - held) ** 2), rel=1e-9)
    assert row.r2 == pytest.approx(1 - np.sum((predicted - held) ** 2) / np.sum((held - held.mean()) ** 2), rel=1e-9)
    assert row.r == pytest.approx(np.corrcoef(predicted, held)[0, 1], rel=1e-9)
    # Two test episodes of equal length: the error of a mean of two numbers.
    halves = ((predicted - held) ** 2).reshape(2, LENGTH).mean(1)
    assert row.mse_error == pytest.approx(halves.std(ddof=1) / np.sqrt(2), rel=1e-9)


def test_random_encoder_reads_nothing():
    table = probe(Noise(), make_dataset(), SPLIT, LINEAR)
    for quantity in ("position", "turn_angle"):
        assert abs(score(table, quantity).r2) < 0.1
    # The picture itself holds the position linearly, whatever the encoder does.
    assert score(table, "position", input="pixels").r2 > 0.999


def test_angle_goes_through_sin_and_cos():
    table = probe(Corner(), make_dataset(), SPLIT, LINEAR)
    assert {"sin", "cos", "mean"} == set(table.loc[table["quantity"] == "turn_angle", "coordinate"])
    # Raw, the angle jumps by 2 pi where sin and cos do not: a linear probe on them cannot follow it.
    data = make_dataset()
    data.columns["turn"] = data.columns.pop("turn_angle")
    assert score(probe(Corner(), data, SPLIT, LINEAR), "turn").r2 < 0.9


def test_constant_and_bookkeeping_columns():
    table = probe(Corner(), make_dataset(), SPLIT, LINEAR)
    assert set(table["quantity"]) == {"position", "turn_angle", "table", "noise"}
    row = table[table["quantity"] == "table"].iloc[0]
    assert np.isnan(row.r2) and "constant" in row.note
    data = make_dataset()
    data.columns["position"][:, 1] = 4.0
    table = probe(Corner(), data, SPLIT, LINEAR)
    assert score(table, "position").r2 == pytest.approx(score(table, "position", "0").r2)
    assert len(table[(table["quantity"] == "position") & (table["coordinate"] == "1")]) == 1


def test_mlp_reads_what_a_linear_probe_cannot():
    data = make_dataset()
    product = (data.columns["state"][:, 0] - 0.5) * (data.columns["state"][:, 1] - 0.5)
    data.columns = {"product": product}
    table = probe(Corner(), data, SPLIT, ProbeConfig(max_epochs=400))
    assert score(table, "product").r2 < 0.1
    assert score(table, "product", probe="mlp").r2 > 0.8
    short = probe(Corner(), data, SPLIT, ProbeConfig(max_epochs=2))
    assert "2 epochs" in score(short, "product", probe="mlp").note


def test_untrained_model_is_a_control_and_seeds_decide():
    config = preset("tiny")
    data = make_dataset()
    data.pixels = data.pixels.repeat(8, 1).repeat(8, 2)

    class Corner32(Corner):
        def encode(self, frames):
            return super().encode(frames[:, ::8, ::8])

    before = torch.random.get_rng_state()
    tables = [
        probe(Corner32(), data, SPLIT, ProbeConfig(seed=seed, probes=("linear",)), control=WorldModel(config.model, seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(before, torch.random.get_rng_state())
    assert set(tables[0]["input"]) == {"embedding", "random encoder", "pixels", "other quantities", "none"}
    assert tables[0].equals(tables[1])
    first, other = (score(table, "position", input="random encoder").r2 for table in (tables[0], tables[2]))
    assert first != other
    assert score(tables[0], "position").r2 > first


def test_sampled_frames_come_from_their_own_part():
    table = probe(Corner(), make_dataset(), SPLIT, ProbeConfig(probes=("linear",), n_train=100, n_test=50))
    assert set(table["n_train"]) == {100} and set(table["n_test"]) == {50} and set(table["n_test_episodes"]) == {2}


def test_mistakes_are_one_sentence():
    data = make_dataset()
    overlap = SPLIT | {"test": np.array([3, 10])}
    with pytest.raises(InputError, match="episode 3 is in the train and in the test part"):
        probe(Corner(), data, overlap)
    with pytest.raises(InputError, match="no column 'speed'"):
        probe(Corner(), data, SPLIT, ProbeConfig(quantities=("speed",)))
    with pytest.raises(InputError, match="constant"):
        probe(Corner(), data, SPLIT, ProbeConfig(quantities=("table",)))
    with pytest.raises(InputError, match="episodes is empty"):
        probe(Corner(), data, SPLIT | {"test": []})
    with pytest.raises(InputError, match="number of training frames is 5"):
        probe(Corner(), data, SPLIT, ProbeConfig(n_train=5))
    data.columns["noise"][3] = np.nan
    with pytest.raises(InputError, match="'noise' has values that are not finite"):
        probe(Corner(), data, SPLIT)


def test_embeddings_are_cached_by_weights_and_pictures(tmp_path):
    data, model, rows = make_dataset(), Corner(), np.arange(5, 300)
    first = embed_rows(model, data, rows, cache=tmp_path, batch_size=100)
    assert model.calls == 3
    assert np.array_equal(first, encode_frames(Corner(), data.pixels[5:300]))
    assert np.array_equal(embed_rows(model, data, rows, cache=tmp_path), first) and model.calls == 3
    data.pixels[7, 0, 0] = 255 - data.pixels[7, 0, 0]
    changed = embed_rows(model, data, rows, cache=tmp_path)
    assert model.calls == 5 and np.flatnonzero((changed != first).any(1)).tolist() == [2]
    with torch.no_grad():
        model.mix *= 2
    assert np.allclose(embed_rows(model, data, rows, cache=tmp_path), 2 * changed)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    assert np.allclose(embed_rows(model, data, rows, cache=tmp_path), 2 * changed)


def test_frozen_puts_the_model_back_and_hides_dropout():
    model = nn.Sequential(nn.Dropout(0.5)).train()
    with frozen(model):
        assert torch.equal(model(torch.ones(50)), torch.ones(50))
    assert model.training and model[0].training


def test_a_damaged_kept_embedding_is_computed_again(tmp_path):
    data, rows = make_dataset(), np.arange(9)
    wanted = embed_rows(Corner(), data, rows, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 40, len(whole) - 1):
        content = bytearray(whole)
        content[place] ^= 1
        for damaged in (bytes(content), whole[:place], b""):
            path.write_bytes(damaged)
            assert np.array_equal(embed_rows(Corner(), data, rows, cache=tmp_path), wanted)
            assert path.read_bytes() == whole


def test_the_other_quantities_unmask_an_encoder_that_does_not_see_one():
    """A place that goes with the block's, seen by nobody: the probe alone would say that half of it is seen."""
    data, rng = make_dataset(), np.random.default_rng(1)
    block = data.columns["position"][:, 0]
    agent = (block - block.mean()) / block.std() + rng.normal(size=block.size)
    data.columns = {"block": block, "agent": agent, "state": data.columns["state"]}
    table = probe(Corner(), data, SPLIT, ProbeConfig(max_epochs=60))
    # In closed form half of the variance of agent is that of block.
    seen, known = score(table, "agent"), score(table, "agent", input="other quantities")
    assert seen.r2 == pytest.approx(0.5, abs=0.12) and known.r2 == pytest.approx(seen.r2, abs=0.03)
    # By hand: the regression of agent on block.
    train, test = slice(0, 9 * LENGTH), slice(10 * LENGTH, 12 * LENGTH)
    slope, offset = np.polyfit(block[train], agent[train], 1)
    left = agent[test] - slope * block[test] - offset
    assert known.r2 == pytest.approx(1 - np.sum(left**2) / np.sum((agent[test] - agent[test].mean()) ** 2), abs=1e-5)
    # One that is seen beats what the others tell of it, and neither itself nor the state is among the others.
    assert score(table, "block").r2 > 0.999 and score(table, "block", input="other quantities").r2 < 0.65
    # A quantity alone has no others.
    alone = probe(Corner(), data, SPLIT, ProbeConfig(probes=("linear",), quantities=("agent",)))
    assert score(alone, "agent", input="other quantities").r2 == pytest.approx(known.r2)
    data.columns = {"agent": agent}
    assert "other quantities" not in set(probe(Corner(), data, SPLIT, LINEAR)["input"])


def test_errors_are_in_the_quantity_s_own_unit_and_in_tolerances():
    data = make_dataset()
    data.columns = {name: data.columns[name] for name in ("position", "turn_angle", "noise")}
    tolerances = {"position": (0.5, "px"), "turn_angle": (0.1, "rad")}
    table = probe(Noise(), data, SPLIT, LINEAR, tolerances=tolerances)
    place, turn, noise = (score(table, name) for name in ("position", "turn_angle", "noise"))
    train, test = slice(0, 9 * LENGTH), slice(10 * LENGTH, 12 * LENGTH)
    x = encode_frames(Noise(), data.pixels[np.r_[0 : 9 * LENGTH, 10 * LENGTH : 12 * LENGTH]])
    a, b = x[: 9 * LENGTH].astype(float), x[9 * LENGTH :].astype(float)
    mean, std = a.mean(0), a.std(0)
    a, b = (a - mean) / std, (b - mean) / std

    def read(values):
        centre = values[train].mean(0)
        weights = np.linalg.solve(a.T @ a + 1e-3 * np.eye(5), a.T @ (values[train] - centre))
        return centre + b @ weights

    distance = np.linalg.norm(read(data.columns["position"]) - data.columns["position"][test], axis=1)
    assert place.error == pytest.approx(np.median(distance), rel=1e-4) and place.unit == "px"
    assert place.error_q90 == pytest.approx(np.quantile(distance, 0.9), rel=1e-4)
    assert place.error_in_tolerances == pytest.approx(place.error / 0.5)
    angle = data.columns["turn_angle"]
    sine, cosine = read(np.stack([np.sin(angle), np.cos(angle)], 1)).T
    turned = np.abs(np.angle(np.exp(1j * (np.arctan2(sine, cosine) - angle[test]))))
    # The read-out is of unit scale free of its length: an arrow that points nowhere is off by a quarter turn.
    assert turn.error == pytest.approx(np.median(turned), rel=1e-4) and turn.error == pytest.approx(np.pi / 2, abs=0.3)
    assert np.isnan(noise.error_in_tolerances) and noise.unit == "" and noise.error > 0
    assert score(probe(Corner(), data, SPLIT, LINEAR, tolerances=tolerances), "position").error_in_tolerances < 0.01
