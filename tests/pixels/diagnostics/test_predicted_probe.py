from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from spectral_jepa import InputError
from spectral_jepa.pixels.config import ProbeConfig
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
from spectral_jepa.pixels.diagnostics.predicted_probe import predicted_probe
from spectral_jepa.pixels.diagnostics.quantities import quantity_coordinates, quantity_distance

LINEAR = ProbeConfig(probes=("linear",))
SCALER = ActionScaler((0.5,), (2.0,))
SPLIT = {"train": np.arange(4), "test": np.arange(4, 8)}
LENGTH, BLOCK = 40, 2


def make_dataset(row_steps=1):
    rng = np.random.default_rng(0)
    actions = rng.integers(-3, 4, (8, LENGTH)).astype(float)
    place = 100 + np.hstack([np.zeros((8, 1)), actions.cumsum(1)[:, :-1]])
    place = place[:, ::row_steps]
    actions = actions.reshape(8, -1, row_steps)
    actions[:, -1] = np.nan
    data = EpisodeDataset.from_episodes(
        {
            "pixels": np.tile(x.astype(np.uint8)[:, None, None, None], (1, 2, 2, 3)),
            "action": a,
            "place": x,
            "turn_angle": x / 40,
            "table": np.ones(len(x)),
        }
        for x, a in zip(place, actions, strict=True)
    )
    if row_steps == 1:
        return data
    return SimpleNamespace(
        pixels=data.pixels, columns=data.columns, ep_len=data.ep_len, ep_offset=data.ep_offset, row_steps=row_steps
    )


class Walker(nn.Module):
    """The brightness, also as an angle; each predicted step has an error of its own."""

    config = SimpleNamespace(action_block=BLOCK, action_dim=1, history=3)

    def __init__(self, drift=0.0, reads_actions=True):
        super().__init__()
        self.drift, self.reads_actions = drift, reads_actions

    def encode(self, frames):
        return self.latents(frames[:, 0, 0, :1].float())

    @staticmethod
    def latents(place):
        return torch.cat([place / 10, torch.sin(place / 40), torch.cos(place / 40)], -1)

    def rollout(self, latents, blocks, past_blocks=None):
        assert latents.shape[1] == 1 and past_blocks is None
        moves = (blocks * 2.0 + 0.5) * self.reads_actions
        place = 10 * latents[:, -1:, :1] + moves.sum(-1, keepdim=True).cumsum(1)
        return self.latents(place + self.drift * torch.arange(1, blocks.shape[1] + 1)[:, None])


def rows_of(table, quantity="place", **chosen):
    for name, value in {"probe": "linear", "quantity": quantity, **chosen}.items():
        table = table[table[name] == value]
    return table


def test_an_exact_prediction_is_read_as_the_truth_is():
    table = predicted_probe(
        Walker(), make_dataset(), SPLIT, SCALER, LINEAR, blocks=(1, 4), tolerances={"place": (2.0, "px")}
    )
    assert set(table["quantity"]) == {"place", "turn_angle"}  # a constant is not probed
    for name in ("place", "turn_angle"):
        own, true = (rows_of(table, name, input=source) for source in ("predicted", "true"))
        assert own["r2"].to_numpy() == pytest.approx(1, abs=1e-4)
        assert own["error"].to_numpy() == pytest.approx(true["error"].to_numpy(), abs=1e-3)
    assert rows_of(table, input="predicted")["unit"].tolist() == ["px", "px"]


@pytest.mark.parametrize("row_steps", [1, 2])
def test_errors_grow_with_the_drift_and_standing_still_errs_by_what_moved(row_steps):
    data = make_dataset(row_steps)
    model = Walker(drift=3.0)
    table = predicted_probe(model, data, SPLIT, SCALER, LINEAR, blocks=(1, 4), tolerances={"place": (2.0, "px")})
    own = rows_of(table, input="predicted")
    assert own["error"].to_numpy() == pytest.approx([3.0, 12.0], rel=1e-3)
    assert own["error_in_tolerances"].to_numpy() == pytest.approx([1.5, 6.0], rel=1e-3)
    # By hand: how far the place is from where the window began, over all windows of the test episodes.
    place = np.asarray(data.columns["place"]).reshape(8, -1)[4:]
    ahead = np.array([1, 4]) * BLOCK // row_steps
    starts = place.shape[1] - ahead[-1]
    moved = [np.median(np.abs(place[:, n : n + starts] - place[:, :starts])) for n in ahead]
    # The ridge of the probe pulls a little towards the mean.
    assert rows_of(table, input="first frame")["error"].to_numpy() == pytest.approx(moved, rel=1e-2)
    assert rows_of(table, input="true")["error"].to_numpy() == pytest.approx(0, abs=1e-2)
    assert (own["n"] == 4 * starts).all()
    # Another window's actions lead elsewhere.
    assert (rows_of(table, input="other actions")["r2"].to_numpy() < own["r2"].to_numpy()).all()


def test_a_predictor_that_is_deaf_to_actions_predicts_as_well_with_others():
    table = predicted_probe(Walker(reads_actions=False), make_dataset(), SPLIT, SCALER, LINEAR, blocks=(4,))
    own, other, still = (rows_of(table, input=i)["error"].item() for i in ("predicted", "other actions", "first frame"))
    assert own == pytest.approx(other) and own == pytest.approx(still, rel=1e-2)
    hears = predicted_probe(Walker(), make_dataset(), SPLIT, SCALER, LINEAR, blocks=(4,))
    assert rows_of(hears, input="predicted")["error"].item() < 0.1 < rows_of(hears, input="other actions")["error"].item()


def test_windows_stay_in_test_episodes_and_too_short_ones_are_refused():
    data = make_dataset()
    table = predicted_probe(Walker(), data, SPLIT, SCALER, LINEAR, blocks=(1,), n_windows=10)
    assert (table["n"] == 10).all()
    with pytest.raises(InputError, match="longer than 20 action blocks"):
        predicted_probe(Walker(), data, SPLIT, SCALER, LINEAR, blocks=(20,))
    with pytest.raises(InputError, match="constant"):
        predicted_probe(Walker(), data, SPLIT, SCALER, ProbeConfig(probes=("linear",), quantities=("table",)))


def test_distances_of_angles_go_the_short_way_round():
    a, b = np.array([3.0, 0.1, -2.0]), np.array([-3.0, 0.2, 2.0])
    here, there = (quantity_coordinates("turn_angle", values)[0] for values in (a, b))
    expected = np.abs(np.angle(np.exp(1j * (a - b))))
    assert quantity_distance("turn_angle", here, there) == pytest.approx(expected)
    # A read-out is seldom of length 1.
    assert quantity_distance("turn_angle", 0.2 * here, 7 * there) == pytest.approx(expected)
    places = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert quantity_distance("place", places, np.zeros((2, 2))).tolist() == [0, 5]
