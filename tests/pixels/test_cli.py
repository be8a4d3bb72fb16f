"""The pixel commands from nothing to a report, in the tiny preset, on every environment whose simulator is installed."""

import importlib.util
import json
import subprocess
import sys

import pandas as pd
import pytest

from spectral_jepa.cli import main

pytest.importorskip("h5py")
NEEDS = {"push_t": "gym_pusht", "reacher": "dm_control", "cube": "ogbench"}
SMALL = ["--set", "data.n_episodes", "10", "data.max_steps", "50"]
# Every call of the pixel package is checked against the types and array shapes of its signature: one letter, one length.
CHECKED = """
import json, sys
from jaxtyping import install_import_hook
install_import_hook(["spectral_jepa.pixels", "spectral_jepa.action_search"], "beartype.beartype")
from spectral_jepa.cli import main
for arguments in json.loads(sys.argv[1]):
    main(["pixels", *arguments])
"""


def run_checked(*commands):
    arguments = [sys.executable, "-c", CHECKED, json.dumps(commands)]
    return subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def commands(environment):
    """Collect, train, plan, evaluate and probe; and the folder of the run."""
    tiny = ["--environment", environment, "--preset", "tiny"]
    folder = f"results/pixels/{environment}-tiny/sigreg-0"
    return [
        ["collect", *tiny, "--n-jobs", "1", *SMALL],
        ["train", *tiny],
        ["plan", folder],
        ["evaluate", folder, "--n-pairs", "2"],
        ["probe", folder],
    ], folder


def check_results(environment, folder, root):
    rows = pd.read_csv(f"results/pixels/{environment}-tiny/evaluation.csv")
    assert rows.groupby("policy").size().to_dict() == {"sigreg-0": 2, "random": 2}
    probes = pd.read_csv(f"{folder}/probe.csv")
    assert {"embedding", "random encoder", "pixels"} <= set(probes["input"])
    assert (root / folder / "figures" / "plan_0.png").stat().st_size > 1000


@pytest.mark.parametrize("environment", NEEDS)
def test_collect_train_plan_evaluate_probe(environment, tmp_path, monkeypatch, capsys):
    package = NEEDS[environment]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'spectral-jepa[pixels]'")
    monkeypatch.chdir(tmp_path)
    (collect, *others), folder = commands(environment)
    try:
        main(["pixels", *collect])
    except SystemExit:
        message = capsys.readouterr().err
        if "OpenGL" in message or "EGL" in message:
            pytest.skip("no OpenGL on this machine")
        raise
    for arguments in others:
        main(["pixels", *arguments])
    check_results(environment, folder, tmp_path)


def test_two_room_to_the_report_with_every_shape_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, folder = commands("two_room")
    done = run_checked(*first)
    assert done.returncode == 0, done.stderr
    check_results("two_room", folder, tmp_path)
    tiny = ["--environment", "two_room", "--preset", "tiny"]
    done = run_checked(
        ["surprise", folder, "--n-trajectories", "2"],
        ["train", *tiny, "--kind", "cloning", "--set", "model.history", "5"],
        ["evaluate", folder, folder.replace("sigreg", "cloning"), "--n-pairs", "2", "--simulator"],
        ["report", folder, "--decoder-steps", "20"],
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / folder / "report.html").read_text()
    assert "Violation of expectation" in page and "data:image/png" in page
    assert pd.read_csv("results/pixels/two_room-tiny/evaluation.csv")["policy"].nunique() == 4


def test_a_wrong_shape_is_noticed():
    program = (
        CHECKED.partition("from spectral_jepa.cli")[0]
        + """
import torch
from spectral_jepa.pixels.planning.latent import latent_cost
class Model:
    def rollout(self, latents, blocks, *args, **kwargs): return latents
latent_cost(Model(), torch.zeros(2, 5), torch.zeros(2, 5))  # fits
latent_cost(Model(), torch.zeros(2, 5), torch.zeros(3, 5))  # three goals for two episodes
"""
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "TypeCheckError" in done.stderr and "latent_cost" in done.stderr and "goals" in done.stderr
    assert "torch.zeros(3, 5)" in done.stderr or "f32[3,5]" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["collect", "--environment", "maze"], "expected one of 'two_room'"),
        (["train", "--preset", "tiny", "--set", "training.steps", "3"], "followed by one of"),
        (["train", "--preset", "huge"], "expected one of 'tiny'"),
        (["train", "--preset", "tiny", "--regularizer", "ridge"], "expected one of 'sigreg'"),
        (["probe", "nowhere"], "run spectral-jepa pixels train"),
        (["evaluate", "nowhere"], "hold no trained model"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["pixels", *arguments])
    error = capsys.readouterr().err
    assert caught.value.code == 2 and message in error and error.count("\n") == 1
