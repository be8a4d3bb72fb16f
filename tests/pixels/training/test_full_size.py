import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from spectral_jepa.pixels.data import write_episodes
from spectral_jepa.pixels.environments.two_room_physics import draw, step
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import preset
from spectral_jepa.pixels.training.loop import train

# A batch of 2 would do no good: there SIGReg is lower for a collapsed embedding (.402 N) than for a normal one (1.052).
STEPS, CLIPS = 50, 3


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """Two-Room at 224 px: an agent that walks back and forth in one room, ten short episodes."""
    rng, episodes = np.random.default_rng(0), []
    for _ in range(10):
        position = torch.tensor(rng.uniform(40, 90, (1, 2)))
        frames, actions = [], []
        for _ in range(22):
            action = rng.uniform(-1, 1, (1, 2)).astype(np.float32)
            frames.append(draw(position, 224)[0].numpy())
            actions.append(action[0])
            position = step(position, torch.tensor(action))
        actions[-1] = np.full(2, np.nan, np.float32)
        episodes.append({"pixels": np.stack(frames), "action": np.stack(actions)})
    path = tmp_path_factory.mktemp("rooms") / "rooms.h5"
    write_episodes(path, episodes)
    return path


@pytest.mark.slow
def test_paper_preset_trains_at_full_size(rooms, tmp_path):
    # 18 million parameters, 224 px; only the batch is smaller, 12 pictures a step. About 2 minutes on an idle core.
    config = preset("paper")
    training = replace(config.training, batch_size=CLIPS, n_steps=STEPS, log_every=2, checkpoint_every=STEPS)
    run = train(replace(config, training=training), rooms, tmp_path / "run", device="cpu", progress=False)
    assert run.finished and run.step == STEPS
    with open(run.folder / "log.csv") as file:
        rows = list(csv.DictReader(file))
    losses = np.array([[float(row[name]) for name in ("loss", "prediction", "regularizer")] for row in rows])
    assert losses.shape == (STEPS // 2, 3) and np.isfinite(losses).all()
    np.testing.assert_allclose(losses[:, 0], losses[:, 1] + 0.09 * losses[:, 2], rtol=1e-4)
    first, last = losses[:5, 0].mean(), losses[-5:, 0].mean()
    assert last < 0.9 * first
    model = load_model(run.folder)[0]
    assert sum(p.numel() for p in model.parameters()) == 18_034_478
    start = dict(WorldModel(config.model, config.training.seed).named_parameters())
    moved = [name for name, value in model.named_parameters() if not torch.equal(value, start[name])]
    assert len(moved) == len(start)
