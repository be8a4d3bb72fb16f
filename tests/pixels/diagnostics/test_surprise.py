from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from spectral_jepa import InputError
from spectral_jepa.pixels.config import SurpriseConfig
from spectral_jepa.pixels.diagnostics.surprise import compare_pairs, prediction_errors, surprise, surprise_summary
from spectral_jepa.pixels.presets import preset

BLOCK, HISTORY = 2, 3
MODEL = replace(preset("tiny").model, action_block=BLOCK, history=HISTORY)
SCALER = SimpleNamespace(normalize=lambda actions: np.asarray(actions) / 2)


class Line:
    """A point on a line, drawn as (position, colour, 0); a jump is +40, paint is 100."""

    def __init__(self):
        self.state, self.color = np.zeros(2), 10

    def reset(self, *, seed=None, options=None):
        self.color = 10
        self.state = np.array(options["state"], dtype=float)

    def step(self, action):
        self.state = self.state + action

    def get_state(self):
        return self.state.copy()

    def recolor(self):
        self.color = 100

    def teleport(self, rng):
        self.state = self.state + 40

    def render(self):
        frame = np.zeros((2, 2, 3), np.uint8)
        frame[:] = (self.state[0], self.color, 0)
        return frame


class Exact(nn.Module):
    """Latent (position, ``weight`` * colour); predicts the position without error and that colours stay."""

    config = MODEL

    def __init__(self, weight=0.0):
        super().__init__()
        self.weight = weight
        self.lengths = []

    def encode(self, frames):
        value = frames[:, 0, 0, :2].float()
        return value * torch.tensor([1.0, self.weight])

    def predict(self, latents, blocks):
        self.lengths.append(latents.shape[1])
        moved = 2 * blocks.unflatten(-1, (BLOCK, 2)).sum(-2)
        return latents + moved * torch.tensor([1.0, 0.0])


def make_dataset(n_episodes=6, length=25, wrong=0.0):
    rng = np.random.default_rng(0)
    actions = np.stack([rng.integers(0, 4, (n_episodes, length)), np.zeros((n_episodes, length))], -1).astype(float)
    start = np.stack([np.arange(20.0, 20 + n_episodes), np.zeros(n_episodes)], -1)
    moved = np.concatenate([np.zeros((n_episodes, 1, 2)), np.cumsum(actions[:, :-1], axis=1)], axis=1)
    states = start[:, None] + moved
    states[:, -1] += wrong
    actions[:, -1] = np.nan
    columns = {"state": states.reshape(-1, 2), "action": actions.reshape(-1, 2)}
    offset = length * np.arange(n_episodes)
    return SimpleNamespace(columns=columns, ep_len=np.full(n_episodes, length), ep_offset=offset, row_steps=1)


def run(model, dataset=None, episodes=range(6), **options):
    data = make_dataset() if dataset is None else dataset
    return surprise(model, data, episodes, Line(), SCALER, SurpriseConfig(**options))


def test_a_jump_is_seen_once_and_paint_that_the_latent_ignores_never():
    table = run(Exact())
    wide = table.pivot(index=["trajectory", "step"], columns="version", values="surprise")
    steps = wide.index.get_level_values("step")
    assert (wide["clean"] == 0).all() and (wide["recoloured"] == 0).all()
    # ||40||^2 over 2 dimensions, at the perturbed frame only: the prediction after it starts from where the point is.
    assert (wide.loc[steps == 0, "teleported"] == 800).all() and (wide.loc[steps != 0, "teleported"] == 0).all()
    assert sorted(set(steps)) == list(range(-HISTORY, HISTORY + 2)) and (table["replay_error"] == 0).all()
    assert table["episode"].nunique() == 6


def test_paint_that_the_latent_holds_is_a_surprise_at_its_frame():
    table = run(Exact(weight=0.5), before=2, after=3)
    painted = table[table["version"] == "recoloured"].pivot(index="trajectory", columns="step", values="surprise")
    assert (painted[0] == (0.5 * 90) ** 2 / 2).all() and (painted[[-1, 1, 2]] == 0).all().all()


def test_context_is_that_of_training():
    model = Exact()
    rng = torch.Generator().manual_seed(0)
    latents, blocks = (torch.randn(*n, generator=rng, dtype=torch.float64) for n in ((4, 8, 2), (4, 7, 4)))

    class Mean(nn.Module):
        """Predicts the mean of its context plus the last move: shows which latents were given."""

        def predict(self, latents, blocks):
            count = torch.arange(1, latents.shape[1] + 1)[:, None]
            return latents.cumsum(1) / count + blocks[..., :2]

    errors = prediction_errors(Mean(), latents, blocks, history=3)
    for t in range(7):
        context = latents[:, max(0, t - 2) : t + 1].mean(1)
        expected = ((context + blocks[:, t, :2] - latents[:, t + 1]) ** 2).mean(-1)
        assert torch.allclose(errors[:, t], expected, rtol=1e-12, atol=1e-12)
    prediction_errors(model, latents, blocks, history=3)
    assert max(model.lengths) == 3
    # Fewer blocks than the history.
    assert torch.allclose(prediction_errors(Mean(), latents[:, :3], blocks[:, :2], history=5), errors[:, :2])


def test_each_episode_gives_one_window_within_its_actions():
    data = make_dataset(length=20)
    table = run(Exact(), data, n_trajectories=4, seed=3)
    assert table["episode"].nunique() == 4 == table["trajectory"].nunique()
    n_steps = (2 * HISTORY + 2) * BLOCK
    starts = table.drop_duplicates("trajectory")
    room = starts["start_row"] - data.ep_offset[starts["episode"]]
    assert (room >= 0).all() and (room + n_steps <= 19).all()
    assert run(Exact(), data, n_trajectories=4, seed=3).equals(table)
    assert not run(Exact(), data, n_trajectories=4, seed=4).equals(table)


def test_replay_error_tells_of_data_from_another_simulator():
    # 17 actions + 1: the window is the whole episode, whose last stored state is off by .5.
    table = run(Exact(), make_dataset(length=(2 * HISTORY + 2) * BLOCK + 1, wrong=0.5))
    assert np.allclose(table["replay_error"], 0.5)


def test_summary_against_closed_forms():
    rng = np.random.default_rng(0)
    clean = rng.exponential(size=40)
    gain = {"recoloured": rng.normal(0.1, 1, 40), "teleported": rng.normal(3, 1, 40)}
    rows = []
    for i in range(40):
        for step in range(-1, 5):
            rows.append((i, "clean", step, clean[i]))
            rows += [(i, v, step, clean[i] + (gain[v][i] if step == 0 else 2.0 * (step >= 3) * (i % 2))) for v in gain]
    table = pd.DataFrame(rows, columns=["trajectory", "version", "step", "surprise"])
    summary = surprise_summary(table, history=3).set_index(["version", "moment"])
    for version, d in gain.items():
        row = summary.loc[version, "at"]
        assert row.d_z == pytest.approx(d.mean() / d.std(ddof=1))
        assert row.t == pytest.approx(row.d_z * np.sqrt(40))
        pairs = (clean + d)[:, None] - clean[None, :]
        assert row.auroc == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
        assert row.n == 40 and row.difference == pytest.approx(d.mean())
    assert summary.loc[("teleported", "at"), "p_t"] < 1e-6 and summary.loc[("teleported", "at"), "p_wilcoxon"] < 1e-6
    assert summary.loc[("recoloured", "at"), "p_t"] > 0.01
    quiet = summary.loc["recoloured", "next"]
    assert quiet.p_t == 1 and quiet.p_wilcoxon == 1 and quiet.d_z == 0 and quiet.auroc == pytest.approx(0.5)
    # Half of the trajectories by 2: mean 1, standard deviation sqrt(40 / 39).
    assert summary.loc[("recoloured", "later"), "d_z"] == pytest.approx(np.sqrt(39 / 40))


def test_equal_differences_are_certain_either_way():
    clean = np.array([1.0, 2.0, 4.0])
    up, down = compare_pairs(clean, clean + 1), compare_pairs(clean, clean - 0.5)
    assert up["t"] == np.inf and down["t"] == -np.inf and up["p_t"] == 0 and down["d_z"] == -np.inf


def test_mistakes_are_one_sentence():
    with pytest.raises(InputError, match=r"0 of 6 episodes have the 16 actions .* longest has 9"):
        run(Exact(), make_dataset(length=10))
    with pytest.raises(InputError, match="n_trajectories is 1"):
        run(Exact(), n_trajectories=1)
    with pytest.raises(InputError, match="model is a Identity, expected one that predicts"):
        run(nn.Identity())
    with pytest.raises(InputError, match="pass one latent more than blocks"):
        prediction_errors(Exact(), torch.zeros(1, 3, 2), torch.zeros(1, 3, 4), 3)
    with pytest.raises(InputError, match="number of trajectories is 1"):
        compare_pairs(np.ones(1), np.ones(1))
