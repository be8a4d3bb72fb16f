import csv
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from spectral_jepa.losses import random_directions, sigreg
from spectral_jepa.pixels.config import ModelConfig, PixelConfig
from spectral_jepa.pixels.data import ActionScaler, WindowSampler, open_dataset, write_episodes
from spectral_jepa.pixels.data.feed import batches
from spectral_jepa.pixels.model.cloning import GoalConditionedPolicy
from spectral_jepa.pixels.model.saved import load_model, save_model
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import TINY
from spectral_jepa.pixels.training import learner
from spectral_jepa.pixels.training import loop as train
from spectral_jepa.pixels.training.parallel import JointBatchNorm, join_workers
from spectral_jepa.training import Checkpoints

pytestmark = pytest.mark.usefixtures("few_threads")
MODEL = ModelConfig(
    encoder="conv", image_size=16, encoder_width=4, embedding_dim=8, projector_width=16, predictor_width=8,
    predictor_depth=1, predictor_heads=2, predictor_head_dim=4, predictor_hidden=16, action_block=2,
)  # fmt: skip


def settings(model=MODEL, objective=TINY.objective, **training):
    chosen = {"batch_size": 16, "n_steps": 12, "log_every": 4, "checkpoint_every": 5, "learning_rate": 0.01, "warmup": 0.25}
    return PixelConfig(
        model=model, objective=objective, training=replace(TINY.training, **{**chosen, **training}), data=TINY.data
    )


def write_dots(path, n_episodes=10, size=16, dim=2, columns=("pixels", "action")):
    """A dot that the first two action coordinates move."""
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(n_episodes):
        action = rng.uniform(-1, 1, (20, dim)).astype(np.float32)
        place = np.clip(size / 2 + np.cumsum(2 * action[:, :2], 0), 1, size - 2).astype(int)
        pixels = np.zeros((20, size, size, 3), np.uint8)
        for row, (x, y) in enumerate(place):
            pixels[row, y - 1 : y + 2, x - 1 : x + 2] = (255, 80, 0)
        action[-1] = np.nan
        episodes.append({"pixels": pixels, "action": action})
    write_episodes(path, episodes)
    if "action" not in columns:
        import h5py

        with h5py.File(path, "r+") as file:
            del file["action"]
    return path


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    return write_dots(tmp_path_factory.mktemp("data") / "dots.h5")


def run(config, data, folder, **options):
    return train.train(config, data, folder, device="cpu", progress=False, **options)


def rows(folder):
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


class DoubleObjective(nn.Module):
    """Prediction error and SIGReg in the precision of the model."""

    def __init__(self, config, dim, seed=0, block_dim=None, image_size=None):
        super().__init__()
        self.dim = dim

    def forward(self, model, frames, blocks, generator, group=None, diagnostics=True):
        latents = model.encode(frames)
        error = (model.predict(latents[:, :-1], blocks[:, :-1]) - latents[:, 1:]).square().mean()
        directions = random_directions(self.dim, 16, generator=generator).to(latents.dtype)
        regularizer = sigreg(latents.transpose(0, 1), directions, group=group).mean()
        return {"loss": error + 0.09 * regularizer, "prediction": error, "regularizer": regularizer}


def test_a_finished_run_is_a_model_that_loads(dots, tmp_path):
    config = settings()
    done = run(config, dots, tmp_path)
    assert (done.step, done.n_steps, done.finished, done.folder) == (12, 12, True, tmp_path)
    model, loaded, scaler = load_model(tmp_path)
    assert not model.training
    assert loaded == config
    dataset = open_dataset(dots)
    action = np.concatenate([dataset.columns["action"][dataset.rows(i)][:-1] for i in dataset.split()["train"]])
    np.testing.assert_allclose(scaler.mean, action.mean(0), rtol=1e-5)
    np.testing.assert_allclose(scaler.std, action.std(0, ddof=1), rtol=1e-5)
    _, state = Checkpoints(tmp_path / "checkpoints", json.loads(checkpoint_config(tmp_path, 12))).load()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state["learner"]["model"].items())
    facts = json.loads((tmp_path / "config.json").read_text())
    assert facts["data"] == str(dots)
    assert facts["versions"]["torch"] == torch.__version__
    assert [row["step"] for row in rows(tmp_path)] == ["4", "8", "12"]
    for row in rows(tmp_path):
        total = float(row["prediction"]) + 0.09 * float(row["regularizer"])
        assert float(row["loss"]) == pytest.approx(total, rel=1e-5)
        assert 1 <= float(row["effective_rank"]) <= 8
        assert float(row["samples_per_second"]) > 0


def checkpoint_config(folder, step):
    return json.dumps(json.loads((folder / "checkpoints" / f"step-{step}.json").read_text())["payload"]["config"])


def test_the_steps_are_adamw_on_everything_with_warm_up_cosine_and_clipping(dots, tmp_path, monkeypatch):
    monkeypatch.setattr(learner, "Objective", DoubleObjective)
    config = settings(
        replace(MODEL, dropout=0.0), precision="float64", weight_decay=0.1, clip_norm=0.5, n_steps=10, warmup=0.4
    )
    run(config, dots, tmp_path)
    state = torch.load(tmp_path / "checkpoints" / "step-10.pt", weights_only=True)["learner"]["model"]
    dataset = open_dataset(dots)
    sampler = WindowSampler(dataset, dataset.split()["train"], 4, 2, 16, seed=0)
    model, objective = WorldModel(config.model, seed=0).double(), DoubleObjective(None, 8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.1, foreach=False)
    norms = []
    for step in range(10):
        # Warm-up over 4 of 10 steps from 0, then half a cosine over the other 6.
        rate = 0.01 * (step / 4 if step < 4 else 0.5 + 0.5 * np.cos(np.pi * (step - 4) / 6))
        frames, blocks = sampler.batch()
        generator = torch.Generator().manual_seed(learner.stream_seed(0, learner.SLICES, step))
        objective(model, frames, blocks.double(), generator)["loss"].backward()
        norm = sum(float(p.grad.square().sum()) for p in model.parameters()) ** 0.5
        for parameter in model.parameters():
            parameter.grad *= min(1.0, 0.5 / (norm + 1e-6))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        norms.append(norm)
    assert max(norms) > 0.5
    for name, value in model.state_dict().items():
        # A bias before BatchNorm has gradient 0; AdamW divides its rounding error 1e-17 by 1e-8.
        torch.testing.assert_close(state[name], value, rtol=1e-9, atol=1e-9)
    start = WorldModel(config.model, seed=0).double().state_dict()
    assert float((start["encoder.output.weight"] - state["encoder.output.weight"]).abs().max()) > 1e-3


def test_the_logged_numbers_are_those_of_the_held_out_clips(dots, tmp_path):
    run(settings(), dots, tmp_path)
    model, _, scaler = load_model(tmp_path)
    dataset = open_dataset(dots)
    (episode,) = dataset.split()["validation"]
    starts = [int(row) for row in dataset.rows(int(episode))[: 20 - 8 + 1]]
    frames = np.stack([dataset.pixels[row : row + 8 : 2] for row in starts])
    raw = np.stack([dataset.columns["action"][row : row + 8] for row in starts]).astype(np.float64)
    blocks = np.nan_to_num((raw - scaler.mean) / scaler.std).reshape(len(starts), 4, 4)
    with torch.no_grad():
        latents = model.encode(torch.from_numpy(frames))
        predicted = model.predict(latents[:, :3], torch.from_numpy(blocks[:, :3]).float())
    values = latents.flatten(0, 1).double().numpy()
    share = np.linalg.eigvalsh(np.cov(values.T))
    share = share[share > 0] / share[share > 0].sum()
    moment = np.cov(values.T, ddof=0)
    gap = (np.square(moment - np.eye(8)).sum() + np.square(values.mean(0)).sum()) / 8
    last = {name: float(value) for name, value in rows(tmp_path)[-1].items()}
    assert last["validation_prediction"] == pytest.approx(float((predicted - latents[:, 1:]).square().mean()), rel=1e-4)
    assert last["effective_rank"] == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-4)
    assert last["whitening_gap"] == pytest.approx(gap, rel=1e-4)


def test_a_run_leaves_the_global_random_state_alone_and_does_not_depend_on_it(dots, tmp_path):
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        run(settings(n_steps=3), dots, tmp_path / str(seed))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
        weights.append((tmp_path / str(seed) / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]
    run(settings(n_steps=3, seed=1), dots, tmp_path / "other")
    assert (tmp_path / "other" / "weights.safetensors").read_bytes() != weights[0]


def test_masks_and_slices_are_new_at_each_step_and_masks_differ_between_processes():
    seeds = [learner.stream_seed(0, kind, step, 0) for kind in (0, 1) for step in range(50)]
    seeds += [learner.stream_seed(0, learner.DROPOUT, step, 1) for step in range(50)]
    assert len(set(seeds)) == 150


def test_epochs_count_when_no_number_of_steps_is_given(dots, tmp_path):
    # 8 training episodes of 20 rows have 13 windows of 8 each: 6 whole batches of 16.
    done = run(settings(n_steps=None, n_epochs=2), dots, tmp_path)
    assert done.n_steps == 12


@pytest.mark.parametrize("step, told", [(3, "no checkpoint was due yet"), (8, "the last good checkpoint is .*step-5.pt$")])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_run_stops_where_a_number_is_not_finite(dots, tmp_path, monkeypatch, step, told, where):
    calls = []

    class Breaking(DoubleObjective):
        def forward(self, model, *arguments, **options):
            losses = super().forward(model, *arguments, **options)
            calls.extend([1] * model.training)
            if model.training and len(calls) == step:
                # The square root of 0 has an infinite slope.
                zero = losses["loss"] * 0
                losses["loss"] = losses["loss"] + (zero.sqrt() if where == "gradient" else zero + float("nan"))
            return losses

    monkeypatch.setattr(learner, "Objective", Breaking)
    with pytest.raises(train.InputError, match=rf"is not finite at step {step}, .*lower training.learning_rate .*{told}"):
        run(settings(), dots, tmp_path)
    if step > 5:
        state = torch.load(tmp_path / "checkpoints" / "step-5.pt", weights_only=True)["learner"]["model"]
        assert all(bool(torch.isfinite(value).all()) for value in state.values())
    assert not (tmp_path / "weights.safetensors").exists()


def test_too_little_gpu_memory_names_the_setting_to_halve(dots, tmp_path, monkeypatch):
    class Greedy(DoubleObjective):
        def forward(self, *arguments, **options):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(learner, "Objective", Greedy)
    with pytest.raises(
        train.InputError, match=r"out of memory at step 1 with 16 clips a step.*halve training.batch_size to 8"
    ):
        run(settings(), dots, tmp_path)


def test_a_cloned_policy_is_trained_by_the_same_trainer(dots, tmp_path):
    config = replace(settings(n_steps=60, learning_rate=0.01, log_every=20), kind="cloning")
    run(config, dots, tmp_path)
    policy, loaded, _ = load_model(tmp_path)
    assert (type(policy), loaded.kind) == (GoalConditionedPolicy, "cloning")
    error = [float(row["prediction"]) for row in rows(tmp_path)]
    # Scaled actions have variance 1: what a constant policy is off by.
    assert error[-1] < error[0] < 1.5
    assert float(rows(tmp_path)[-1]["validation_prediction"]) > 0
    with pytest.raises(train.InputError, match="kind: cloning -> world_model"):
        run(replace(config, kind="world_model"), dots, tmp_path)


def test_data_that_do_not_fit_the_model_are_one_sentence(tmp_path):
    cases = {
        "of another action dimension": (write_dots(tmp_path / "dim.h5", dim=3), "has 3-dimensional actions, expected 2"),
        "of another resolution": (write_dots(tmp_path / "size.h5", size=24), "24 x 24"),
        "without a column": (write_dots(tmp_path / "column.h5", columns=("pixels",)), "action"),
    }
    for name, (path, told) in cases.items():
        with pytest.raises(train.InputError, match=told) as error:
            run(settings(), path, tmp_path / name)
        assert "\n" not in str(error.value)


def test_a_folder_of_another_configuration_or_of_other_data_is_refused(dots, tmp_path):
    run(settings(), dots, tmp_path / "run", stop_after=2)
    changed = settings(replace(MODEL, embedding_dim=16), learning_rate=0.02)
    told = r"\(model.embedding_dim: 8 -> 16; training.learning_rate: 0.01 -> 0.02\)"
    with pytest.raises(train.InputError, match=told):
        run(changed, dots, tmp_path / "run")
    with pytest.raises(train.InputError, match=r"data.n_episodes: 10 -> 11; data.n_rows: 200 -> 220; data.action_mean"):
        run(settings(), write_dots(tmp_path / "more.h5", n_episodes=11), tmp_path / "run")
    # How often it writes, and what planning does later, may change.
    assert run(settings(log_every=1, checkpoint_every=3), dots, tmp_path / "run").finished


def test_validation_episodes_without_a_window_are_one_sentence(tmp_path):
    path = write_dots(tmp_path / "short.h5")
    with pytest.raises(train.InputError, match="24 steps"):
        run(settings(replace(MODEL, action_block=6)), path, tmp_path / "run")


def test_weights_that_do_not_fit_their_configuration_are_refused(tmp_path):
    scaler = ActionScaler((0.0, 0.0), (1.0, 1.0))
    save_model(WorldModel(MODEL), tmp_path, settings(replace(MODEL, embedding_dim=16)), scaler, {})
    with pytest.raises(train.InputError, match=r"do not fit its config\.json"):
        load_model(tmp_path)


def test_an_unusable_device_is_one_sentence(dots, tmp_path):
    with pytest.raises(train.InputError, match="device is 'gpu', which torch cannot use here"):
        train.train(settings(), dots, tmp_path, device="gpu", progress=False)


def test_compiling_without_a_compiler_is_one_sentence(dots, tmp_path, monkeypatch):
    compiled = settings()
    compiled = replace(compiled, training=replace(compiled.training, compile=True))
    monkeypatch.setenv("CXX", "no_such_compiler -O2")
    with pytest.raises(
        train.InputError, match=r"training.compile is True and there is no C[+][+] compiler 'no_such_compiler"
    ):
        train.train(compiled, dots, tmp_path, device="cpu", progress=False)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(train.InputError, match=r"there is no C[+][+] compiler"):
        train.train(compiled, dots, tmp_path, device="cpu", progress=False)
    # Asked for only where something is compiled.
    assert train.train(settings(), dots, tmp_path / "run", device="cpu", progress=False).finished


def sampler_for(dots):
    dataset = open_dataset(dots)
    return WindowSampler(dataset, dataset.split()["train"], 4, 2, 16, seed=3)


def test_prefetched_batches_are_the_same_with_the_same_cursors(dots):
    direct, ahead = batches(sampler_for(dots), torch.device("cpu")), sampler_for(dots)
    # A sampler elsewhere than the batches are wanted is read by a thread; both are the CPU here.
    ahead.device = torch.device("cuda")
    ahead.gather = lambda starts, gather=ahead.gather: _on_cpu(ahead, gather, starts)
    fetched = batches(ahead, torch.device("cpu"))
    for _ in range(15):
        one, two = next(direct), next(fetched)
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])
        assert one[2] == two[2]
    assert ahead.state_dict() != two[2]
    before = threading.active_count()
    fetched.close()
    assert threading.active_count() == before - 1


def _on_cpu(sampler, gather, starts):
    device, sampler.device = sampler.device, torch.device("cpu")
    try:
        return gather(starts)
    finally:
        sampler.device = device


def test_an_error_while_prefetching_reaches_the_caller(dots):
    sampler = sampler_for(dots)
    sampler.device = torch.device("cuda")

    def broken(starts):
        raise OSError("the disk is gone")

    sampler.gather = broken
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches(sampler, torch.device("cpu")))


def paired_runs(folder, data):
    """The runs that one process and two must agree on, and one that they must not."""
    model = replace(MODEL, dropout=0.0)
    subspaces = replace(TINY.objective, regularizer="subspace_sigreg", n_subspaces=2)
    for name, objective in {"sigreg": TINY.objective, "subspaces": subspaces}.items():
        run(settings(model, objective, n_steps=3, warmup=0.0, log_every=1), data, folder / name)
    exact = settings(model, precision="float64", n_steps=3, warmup=0.0, learning_rate=1e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "Objective", DoubleObjective)
        run(exact, data, folder / "exact")
        run(exact, data, folder / "resumed", stop_after=2)
        run(exact, data, folder / "resumed")
        patch.setattr(learner, "join_batch_norms", lambda model, group: None)
        run(exact, data, folder / "own_batch_norm")


def check_joint_batch_norm():
    worker = join_workers("cpu")
    share = slice(4 * worker.rank, 4 * worker.rank + 4)
    whole = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    part = whole.detach()[share].requires_grad_()
    plain, joint = nn.BatchNorm2d(3).double(), JointBatchNorm(nn.BatchNorm2d(3).double(), worker.group)
    plain(whole).pow(3).sum().backward()
    joint(part).pow(3).sum().backward()
    torch.testing.assert_close(part.grad, whole.grad[share], rtol=1e-12, atol=1e-12)
    for name, value in plain.named_buffers():
        torch.testing.assert_close(dict(joint.named_buffers())[name], value, rtol=1e-12, atol=0)
    torch.testing.assert_close(joint.eval()(part), plain.eval()(whole)[share], rtol=1e-12, atol=1e-12)
    assert float(whole.grad.abs().max()) > 0.01


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_loop import check_joint_batch_norm, paired_runs
check_joint_batch_norm()
paired_runs(Path(sys.argv[2]), sys.argv[3])
"""


def test_two_processes_are_one_process_on_the_joint_batch(dots, tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", tmp_path / "worker.py"]
    two = subprocess.Popen(
        [*command, os.path.dirname(__file__), tmp_path / "two", dots],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    paired_runs(tmp_path / "one", dots)
    complaints = two.communicate()[1]
    assert two.returncode == 0, complaints

    def parameters(processes, name):
        path = max((tmp_path / processes / name / "checkpoints").glob("*.pt"))
        return torch.load(path, weights_only=True)["learner"]["model"]

    for name in ("exact", "resumed"):
        joint, alone = parameters("two", name), parameters("one", name)
        assert joint.keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(joint[key], value, rtol=1e-9, atol=1e-10, msg=lambda text, key=key: f"{key}: {text}")
    # The comparison sees what it should: without the joint BatchNorm it fails.
    difference = (
        parameters("two", "own_batch_norm")["encoder.output.weight"] - parameters("one", "exact")["encoder.output.weight"]
    )
    assert float(difference.abs().max()) > 1e-4
    # The project's objective computes its losses in float32.
    for name in ("sigreg", "subspaces"):
        for joint_row, alone_row in zip(rows(tmp_path / "two" / name), rows(tmp_path / "one" / name), strict=True):
            for column in ("loss", "prediction", "regularizer", "gradient_norm"):
                assert float(joint_row[column]) == pytest.approx(float(alone_row[column]), rel=2e-4), (name, column)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident", [True, False])
def test_a_gpu_trains_in_bf16_what_a_cpu_trains(dots, tmp_path, monkeypatch, resident):
    monkeypatch.setattr(train, "fits", lambda dataset, device: resident)
    run(settings(), dots, tmp_path / "cpu")
    train.train(settings(precision="bf16", compile=True), dots, tmp_path / "gpu", device="cuda", progress=False)
    for gpu, cpu in zip(rows(tmp_path / "gpu"), rows(tmp_path / "cpu"), strict=True):
        assert float(gpu["loss"]) == pytest.approx(float(cpu["loss"]), rel=0.1)
    model, _, _ = load_model(tmp_path / "gpu", "cuda")
    assert model.encode(torch.zeros(1, 16, 16, 3, dtype=torch.uint8, device="cuda")).dtype == torch.float32
