"""The chain names the link that was broken on purpose, and none where all hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from spectral_jepa import InputError
from spectral_jepa.cli import main
from spectral_jepa.pixels.config import ProbeConfig
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
from spectral_jepa.pixels.environments.base import PixelEnvironment
from spectral_jepa.pixels.planning.policies import PlannerPolicy
from spectral_jepa.pixels.presets import changed, preset
from spectral_jepa.pixels.reports import diagnosis as chain
from spectral_jepa.pixels.reports.diagnosis_text import NONE_BROKEN, STAGES, broken_link, diagnosis_text, verdict
from spectral_jepa.pixels.runs import FinishedRun
from spectral_jepa.training import save_weights

pytestmark = pytest.mark.usefixtures("few_threads")
STEP, SIZE = 0.01, 8


class Lamp(PixelEnvironment):
    """A dot at (x, y) and a lamp, all three in the colours of the corner pixel; only the dot's place counts."""

    name, state_dim, action_dim = "lamp", 3, 3
    tolerances = {"place": (0.05, "m")}  # noqa: RUF012
    speed = 1.0

    def _start(self, rng):
        self.state = rng.uniform(0.35, 0.65, 3)

    def _advance(self, action):
        self.state = np.clip(self.state + STEP * action, 0, 1)

    def _scripted_policy(self, rng):
        drift = self.speed * rng.choice([-1, 1], 3) * rng.uniform(0.4, 0.9, 3)
        return lambda: np.clip(drift + rng.normal(0, 0.3, 3), -1, 1).astype(np.float32)

    def render(self):
        picture = np.zeros((self.image_size, self.image_size, 3), np.uint8)
        picture[0, 0] = np.round(255 * self.state)
        return picture

    def get_state(self):
        return self.state.copy()

    def set_state(self, state):
        self.state = np.array(state, dtype=np.float64)

    def quantities(self):
        return {"place": self.state[:2].copy(), "brightness": self.state[2:].copy()}

    def goal_distance(self, state, goal):
        return float(np.linalg.norm(np.asarray(state)[:2] - np.asarray(goal)[:2]) / 0.05)

    def plan_distances(self, starts, goals, actions):
        state = np.asarray(starts)[:, None]
        for moves in np.moveaxis(np.clip(actions, -1, 1), 2, 0):
            state = np.clip(state + STEP * moves, 0, 1)
        return np.linalg.norm(state[..., :2] - np.asarray(goals)[:, None, :2], axis=-1) / 0.05

    def recolor(self):
        pass

    def teleport(self, rng):
        pass


class Slow(Lamp):
    speed = 0.05


class Toy(nn.Module):
    """The three numbers times their gains; predicted exactly, or as if nothing moved."""

    def __init__(self, config, scaler, gains, reads_actions=True):
        super().__init__()
        self.config, self.scaler, self.reads_actions = config, scaler, reads_actions
        self.gains = nn.Parameter(torch.tensor(gains))

    def encode(self, frames):
        return frames[..., 0, 0, :].float() / 255 * self.gains

    def rollout(self, latents, blocks, past_blocks=None):
        moves = blocks.unflatten(-1, (self.config.action_block, 3))
        moves = (moves * torch.tensor(self.scaler.std) + torch.tensor(self.scaler.mean)).clamp(-1, 1).sum(2)
        moved = STEP * moves.float().cumsum(1) * self.gains
        return latents[:, -1:] + moved * self.reads_actions


SETTINGS = {
    "model.image_size": SIZE,
    "model.action_dim": 3,
    "model.embedding_dim": 3,
    "planning.n_samples": 100,
    "planning.n_elites": 10,
    "planning.n_iterations": 8,
    "evaluation.n_pairs": 12,
}


def make(folder, *, gains=(1.0, 1.0, 0.02), reads_actions=True, world=Lamp, settings=(), **sizes):
    config = changed(preset("tiny"), SETTINGS | dict(settings))
    generators = [np.random.default_rng(seed) for seed in range(30)]
    data = EpisodeDataset.from_episodes(world.record_episodes(SIZE, "scripted", 55, generators))
    scaler = ActionScaler.from_dataset(data, data.split()["train"])
    model = Toy(config.model, scaler, gains, reads_actions)
    save_weights(model, folder / "run", {})
    run = FinishedRun(config, PlannerPolicy(model, scaler, config.planning, name="run"), scaler, data, world(SIZE))
    sizes = {
        "n_simulator": 6,
        "n_starts": 8,
        "n_plans": 30,
        "probe": ProbeConfig(n_train=800, n_test=300, max_epochs=40),
    } | sizes
    return chain.Diagnosed(folder / "run", run, folder / "data.h5", progress=False, **sizes)


CASES = {
    "none": ({}, None),
    "budget": ({"settings": {"evaluation.budget": 2}}, "possible"),
    "slow data": ({"world": Slow}, "data"),
    "blind to y": ({"gains": (1.0, 0.0, 0.02)}, "encoder"),
    "deaf to actions": ({"reads_actions": False}, "predictor"),
    "lamp outvotes place": ({"gains": (1.0, 1.0, 30.0)}, "cost"),
    "a search of one step": (
        {"settings": {"planning.method": "random"}},
        "success",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_link_that_was_broken_is_named(case, tmp_path):
    options, wanted = CASES[case]
    of = make(tmp_path, **options)
    table = chain.diagnose(of)
    stages = list(STAGES)
    before = stages if wanted is None else stages[: stages.index(wanted)]
    assert {stage: verdict(table, stage) for stage in before} == dict.fromkeys(before, "ok"), diagnosis_text(table)
    sentence = broken_link(table)
    assert diagnosis_text(table).splitlines()[-1] == sentence
    if wanted is None:
        assert sentence == NONE_BROKEN
        return
    number = 1 + stages.index(wanted)
    assert verdict(table, wanted) == "BROKEN" and sentence.startswith(f"Broken link: {number}, ")
    if wanted == "cost":
        # The regression says why.
        assert "99% brightness" in sentence or "100% brightness" in sentence
