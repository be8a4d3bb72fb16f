import csv
import json
import os
import random
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.data import write_episodes
from spectral_jepa.pixels.presets import TINY
from spectral_jepa.pixels.training import loop as train

CONFIG = replace(
    TINY,
    model=ModelConfig(
        encoder="conv", image_size=16, encoder_width=4, embedding_dim=8, projector_width=16, predictor_width=8,
        predictor_depth=1, predictor_heads=2, predictor_head_dim=4, predictor_hidden=16, action_block=2,
    ),
    training=replace(TINY.training, batch_size=16, n_steps=40, log_every=3, checkpoint_every=4, learning_rate=0.01),
)  # fmt: skip


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "noise.h5"
    episodes = [
        {
            "pixels": rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8),
            "action": rng.uniform(-1, 1, (20, 2)).astype(np.float32),
        }
        for _ in range(10)
    ]
    write_episodes(path, episodes)
    return path


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(data, folder, config=CONFIG, **options):
    return train.train(config, data, folder, device="cpu", progress=False, **options)


@pytest.fixture(scope="module")
def uninterrupted(noise, one_thread, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(noise, folder)
    return folder


def log(folder):
    with open(folder / "log.csv", newline="") as file:
        return [{name: text for name, text in row.items() if name != "samples_per_second"} for row in csv.DictReader(file)]


def assert_same_run(folder, whole):
    assert (folder / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert log(folder) == log(whole)
    assert len(log(whole)) == 14


def test_the_run_has_dropout_and_several_epochs(uninterrupted):
    # 8 training episodes have 13 windows each, 6 batches of 16 an epoch.
    state = torch.load(uninterrupted / "checkpoints" / "step-40.pt", weights_only=True)
    assert state["cursor"]["epoch"] == 6
    assert CONFIG.model.dropout == 0.1


@pytest.mark.parametrize("cuts", [(1,), (6,), (17, 23)])
def test_a_resumed_run_is_bit_equal_to_an_uninterrupted_one(noise, uninterrupted, tmp_path, cuts):
    for cut in cuts:
        done = run(noise, tmp_path, stop_after=cut)
        assert (done.step, done.finished) == (cut, False)
        assert not (tmp_path / "weights.safetensors").exists()
    assert run(noise, tmp_path).finished
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.parametrize("lost", ["optimizer", "cursor", "model"])
def test_every_part_of_the_state_counts(noise, uninterrupted, tmp_path, monkeypatch, lost):
    run(noise, tmp_path, stop_after=8)
    load = train.Checkpoints.load

    def forgetful(self, *arguments):
        step, state = load(self, *arguments)
        if lost == "cursor":
            state["cursor"] |= {"epoch": 0, "cursor": 0}
        elif lost == "optimizer":
            for moments in state["learner"]["optimizer"]["state"].values():
                moments["exp_avg_sq"].zero_()
        else:
            state["learner"]["model"]["projector.1.running_mean"].zero_()
        return step, state

    monkeypatch.setattr(train.Checkpoints, "load", forgetful)
    run(noise, tmp_path)
    assert (tmp_path / "weights.safetensors").read_bytes() != (uninterrupted / "weights.safetensors").read_bytes()


KILLED = """
import json, sys
import torch
torch.set_num_threads(1)
from spectral_jepa.pixels.config import PixelConfig
from spectral_jepa.pixels.training.loop import train
config, data, folder = sys.argv[1:]
print("ready", flush=True)
train(PixelConfig.from_dict(json.loads(config)), data, folder, device="cpu", progress=False)
"""


def test_kill_9_at_any_moment_changes_nothing(noise, uninterrupted, tmp_path):
    delays, command = random.Random(3), [sys.executable, "-c", KILLED, json.dumps(CONFIG.to_dict()), noise, tmp_path]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    steps = []
    for _ in range(2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        process.stdout.readline()
        # Wait until this run has saved something, then kill it somewhere in the next steps.
        deadline = time.monotonic() + 60
        while _newest(tmp_path) <= (steps[-1] if steps else 0) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(delays.uniform(0, 0.05))
        process.kill()
        process.communicate()
        steps.append(_newest(tmp_path))
    assert 0 < steps[0] < steps[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(noise, tmp_path).finished
    assert_same_run(tmp_path, uninterrupted)


def _newest(folder):
    return max((int(path.stem[5:]) for path in (folder / "checkpoints").glob("step-*.json")), default=0)


def test_a_flipped_byte_in_the_newest_checkpoint_costs_only_time(noise, uninterrupted, tmp_path):
    run(noise, tmp_path, stop_after=19)
    path = tmp_path / "checkpoints" / "step-19.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"step-19\.pt in .* is damaged: going on from step-16\.pt"):
        run(noise, tmp_path)
    assert_same_run(tmp_path, uninterrupted)


def test_a_finished_run_is_left_as_it_is(noise, uninterrupted):
    before = (uninterrupted / "log.csv").read_bytes(), (uninterrupted / "weights.safetensors").read_bytes()
    assert run(noise, uninterrupted).finished
    assert ((uninterrupted / "log.csv").read_bytes(), (uninterrupted / "weights.safetensors").read_bytes()) == before


def test_weights_lost_after_the_last_step_are_written_again(noise, uninterrupted, tmp_path):
    run(noise, tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    run(noise, tmp_path)
    assert_same_run(tmp_path, uninterrupted)
