"""Weights of others become runs on which every command works, and runs become folders for others."""

import json
import sys
import types

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spectral_jepa.cli import main
from spectral_jepa.pixels.data.unpacking import open_dataset
from spectral_jepa.pixels.model.frozen import weights_digest
from spectral_jepa.pixels.model.published import load_published, write_published
from spectral_jepa.pixels.model.saved import load_model, make_model, save_model
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import changed, preset
from spectral_jepa.pixels.pretrained import fetch, from_pretrained, import_run, save_pretrained

pytest.importorskip("h5py")
pytestmark = pytest.mark.usefixtures("few_threads")
VIT = {"model.encoder": "vit", "model.patch_size": 8, "model.encoder_depth": 1, "model.encoder_heads": 2}

SMALL = ["--set", "planning.n_iterations", "1", "planning.n_samples", "8", "planning.n_elites", "2"]


def pixels(*words):
    main(["pixels", *map(str, words)])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two-Room data, and a public checkpoint of random weights that fits them."""
    root = tmp_path_factory.mktemp("public")
    pixels("collect", "--preset", "tiny", "--n-jobs", "1", "--out", root / "data.h5", "--set", "data.n_episodes", "10")
    write_published(WorldModel(changed(preset("tiny"), VIT).model, seed=3), root / "public")
    return root


@pytest.fixture(scope="module")
def run(root):
    pixels("import-weights", root / "public", "--data", root / "data.h5", "--folder", root / "runs" / "published")
    return root / "runs" / "published"


def test_an_imported_run_holds_the_weights_and_the_actions_of_the_data(root, run):
    model, config, scaler = load_model(run)
    assert weights_digest(model) == weights_digest(load_published(root / "public"))
    assert (config.data.environment, config.model.action_block, config.planning.n_samples) == ("two_room", 5, 300)
    action = np.asarray(open_dataset(root / "data.h5").columns["action"], dtype=np.float64)
    action = action[~np.isnan(action).any(1)]
    np.testing.assert_allclose(scaler.mean, action.mean(0), rtol=1e-12)
    np.testing.assert_allclose(scaler.std, action.std(0, ddof=1), rtol=1e-12)
    saved = json.loads((run / "config.json").read_text())
    assert saved["imported"]["source"] == str(root / "public") and len(saved["imported"]["weights_sha256"]) == 64


@pytest.mark.slow
def test_so_do_plan_surprise_and_diagnose(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels("plan", run, *SMALL, "evaluation.n_pairs", "2")
    pixels("surprise", run, "--n-trajectories", "2")
    pixels("diagnose", run, "--n-simulator", "1", "--n-starts", "2", "--n-plans", "4", *SMALL, "evaluation.n_pairs", "2")
    assert (run / "figures" / "plan_0.png").is_file() and (run / "diagnosis.csv").is_file()


def test_evaluate_probe_report_plan_and_train_work_on_it(root, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pixels("evaluate", run, "--n-pairs", "2", *SMALL)
    pixels("probe", run, "--quantities", "agent_position")
    pixels("report", run, "--decoder-steps", "2")
    assert pd.read_csv(run.parent / "evaluation.csv").groupby("policy").size().to_dict() == {"published": 2, "random": 2}
    assert "No log.csv" in (run / "report.html").read_text()
    for name, shade in (("now", 0), ("wanted", 255)):
        Image.new("RGB", (48, 48), (shade, 0, 0)).save(f"{name}.png")
    capsys.readouterr()
    pixels("plan", run, "--start", "now.png", "--goal", "wanted.png", *SMALL)
    said = capsys.readouterr().out
    assert "25 actions planned in" in said and "Film: " in said
    with Image.open(run / "figures" / "own_plan.gif") as film:
        assert film.n_frames == 6
    # Fine-tuned, it keeps the shape and the scaling of the actions.
    pixels(
        "train", "--preset", "tiny", "--initial", run, "--data", root / "data.h5", "--folder", "tuned",
        "--set", "training.n_steps", "1", "training.batch_size", "4",
    )  # fmt: skip
    (before, was, scaler), (after, now, kept) = load_model(run), load_model("tuned")
    assert now.model == was.model and kept == scaler and weights_digest(after) != weights_digest(before)
    # A warm-up of one step has the rate 0 but for BatchNorm's statistics: the weights moved from there, not from a new draw.
    moved = max(float((a - b).abs().max()) for a, b in zip(after.parameters(), before.parameters(), strict=True))
    assert moved < 0.01


def test_what_does_not_fit_is_refused(root, run, tmp_path, refused):
    data = root / "data.h5"
    with refused("already holds a run", "expected a new folder"):
        import_run(root / "public", data, run)
    with refused("does not say the mean and deviation of its actions", "pass data"):
        from_pretrained(root / "public")
    wrong = changed(preset("tiny"), VIT | {"model.action_dim": 3, "model.action_block": 3}).model
    write_published(WorldModel(wrong), tmp_path / "nine")
    with refused("actions of 2 coordinates", "blocks of 9 numbers"):
        import_run(tmp_path / "nine", data, tmp_path / "run")
    large = changed(preset("tiny"), VIT | {"model.image_size": 40}).model
    write_published(WorldModel(large), tmp_path / "large")
    with refused("32", "40"):
        import_run(tmp_path / "large", data, tmp_path / "run")
    with refused("comes from 'two_room', expected 'reacher'"):
        import_run(root / "public", data, tmp_path / "run", environment="reacher")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        (VIT, {"weights.pt", "config.json", "README.md"}),
        ({}, {"model.safetensors", "config.json", "README.md"}),
        ({"kind": "cloning"}, {"model.safetensors", "config.json", "README.md"}),
    ],
)
def test_a_run_survives_the_way_out_and_in(root, changes, names, tmp_path, refused):
    config = changed(preset("tiny"), changes)
    scaler = load_scaler()
    save_model(make_model(config), tmp_path / "run", config, scaler, {"data": str(root / "data.h5"), "step": 20})
    save_pretrained(tmp_path / "run", tmp_path / "shared")
    assert {path.name for path in (tmp_path / "shared").iterdir()} == names
    found = from_pretrained(tmp_path / "shared")
    assert (found.config, found.scaler) == (config, scaler) and not found.model.training
    assert weights_digest(found.model) == weights_digest(load_model(tmp_path / "run")[0])
    # Back in, it keeps the scaling that it was trained with, whatever the data.
    _, again, kept = load_model(import_run(tmp_path / "shared", root / "data.h5", tmp_path / "back"))
    assert (again, kept) == (config, scaler)
    with refused("already holds tensors"):
        save_pretrained(tmp_path / "run", tmp_path / "shared")


def load_scaler():
    from spectral_jepa.pixels.data import ActionScaler

    return ActionScaler((0.25, -1.5), (0.5, 2.0))


def test_the_card_says_what_was_measured(root, run, tmp_path):
    rows = pd.DataFrame({"policy": "p", "environment": "two_room", "goal_offset": 25, "budget": 50, "success": [True] * 3})
    config = preset("tiny")
    save_model(make_model(config), tmp_path / "run", config, load_scaler(), {"data": str(root / "data.h5"), "step": 20})
    rows.assign(steps=9, pair=range(3), manifest="m", configuration="c").to_csv(
        tmp_path / "run/evaluation-25.csv", index=False
    )
    card = (save_pretrained(tmp_path / "run", tmp_path / "shared") / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: spectral-jepa\n") and "Not measured: probing." in card
    assert "| deviation of the actions | 0.5, 2 |" in card and "| data | data.h5 |" in card and str(root) not in card
    # Wilson's lower end at 3 of 3: n / (n + z^2).
    assert f"| {3 / (3 + 1.959964**2):.3f} |" in card and "| optimiser steps | 20 |" in card


def test_a_repository_of_the_hub(root, run, monkeypatch, refused, tmp_path):
    asked = []

    def snapshot_download(repo_id, *, revision=None, allow_patterns=None):
        asked.append((repo_id, revision))
        assert not any(pattern.endswith(".py") for pattern in allow_patterns)
        if repo_id != "owner/lewm":
            raise OSError("404 Client Error\nmore")
        return str(root / "public")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=snapshot_download))
    found = from_pretrained("owner/lewm", root / "data.h5", revision="v1")
    assert asked == [("owner/lewm", "v1")] and weights_digest(found.model) == weights_digest(load_model(run)[0])
    with refused("there is no folder owner/none", "404 Client Error"):
        fetch("owner/none")
    with refused("revision is 'v1' of the folder"):
        fetch(root / "public", "v1")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with refused("owner/lewm", "spectral-jepa[hub]"):
        fetch("owner/lewm")


@pytest.mark.slow
def test_the_hubs_own_package_finds_a_kept_repository(root, monkeypatch, tmp_path):
    """As it lies in the cache of huggingface_hub, with the network off."""
    pytest.importorskip("huggingface_hub")
    import subprocess

    kept = tmp_path / "models--owner--lewm"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    write_published(load_published(root / "public"), kept / "snapshots" / ("0" * 40))
    program = "from spectral_jepa.pixels.pretrained import fetch; print(fetch('owner/lewm'))"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == str(kept / "snapshots" / ("0" * 40)), done.stderr


def test_damaged_exports_are_refused(tmp_path, refused):
    config = changed(preset("tiny"), VIT)
    save_model(make_model(config), tmp_path / "run", config, load_scaler(), {})
    shared = save_pretrained(tmp_path / "run", tmp_path / "shared")
    saved = json.loads((shared / "config.json").read_text())
    saved["spectral_jepa"]["config"]["model"]["history"] = 2
    (shared / "config.json").write_text(json.dumps(saved))
    with refused("describes two shapes"):
        from_pretrained(shared)
    del saved["spectral_jepa"]["scaler"]
    (shared / "config.json").write_text(json.dumps(saved))
    with refused("no config and scaler"):
        from_pretrained(shared)
    # An encoder that has no public layout: another shape's tensors, a file that was cut.
    config = preset("tiny")
    save_model(make_model(config), tmp_path / "conv", config, load_scaler(), {})
    shared = save_pretrained(tmp_path / "conv", tmp_path / "ours")
    assert from_pretrained(shared).config == config
    weights, saved = next(shared.glob("*.safetensors")), json.loads((shared / "config.json").read_text())
    weights.write_bytes(weights.read_bytes()[:-1000])
    with refused("does not hold the tensors", "fetch it again"):
        from_pretrained(shared)
    weights.unlink()
    save_pretrained(tmp_path / "conv", tmp_path / "again")
    weights.write_bytes((tmp_path / "again" / weights.name).read_bytes())
    saved["spectral_jepa"]["config"]["model"]["predictor_width"] *= 2
    (shared / "config.json").write_text(json.dumps(saved))
    with refused("does not hold the tensors"):
        from_pretrained(shared)
