"""The pixel commands from nothing to a report, in the tiny preset, on every environment whose simulator is installed.

Two-Room runs every time. The three simulators take turns, one a day; the other two run with `make test-slow`.
"""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from spectral_jepa.cli import main
from spectral_jepa.pixels.data import ActionScaler
from spectral_jepa.pixels.model.saved import make_model, save_model
from spectral_jepa.pixels.presets import changed, preset

pytest.importorskip("h5py")
NEEDS = {"push_t": "gym_pusht", "reacher": "dm_control", "cube": "ogbench"}
SMALL = ["--set", "data.n_episodes", "10"]
ROOT = Path(__file__).resolve().parents[2]
# The commands that the README shows, which tests/docs/test_readme.py leaves to this file.
(README,) = re.findall(r"^```bash\n((?:spectral-jepa pixels .*\n)+)```$", (ROOT / "README.md").read_text(), re.MULTILINE)
# Every call of the pixel package is checked against the types and array shapes of its signature: one letter, one length.
CHECKED = """
import json, shutil, sys
from jaxtyping import install_import_hook
install_import_hook(["spectral_jepa.pixels", "spectral_jepa.action_search"], "beartype.beartype")
from spectral_jepa.cli import main
for arguments in json.loads(sys.argv[1]):
    if arguments[0] == "copy":
        shutil.copy(*arguments[1:])
    else:
        main(["pixels", *arguments])
"""


def simulator_of(day):
    return list(NEEDS)[day.toordinal() % len(NEEDS)]


# Set once for all processes of a test run (tests/conftest.py): they must agree, also at midnight.
TODAY = date.fromisoformat(os.environ["SPECTRAL_JEPA_TODAY"])
TURNS = [pytest.param(name, marks=[] if name == simulator_of(TODAY) else pytest.mark.slow) for name in NEEDS]


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


def check_results(folder, root, table, **policies):
    assert pd.read_csv(table).groupby("policy").size().to_dict() == policies
    probes = pd.read_csv(f"{folder}/probe.csv")
    assert {"embedding", "random encoder", "pixels"} <= set(probes["input"])
    assert (root / folder / "figures" / "plan_0.png").stat().st_size > 1000


def test_every_simulator_has_its_turn():
    assert {simulator_of(TODAY + timedelta(days)) for days in range(3)} == set(NEEDS)
    every_day = [turn.values[0] for turn in TURNS if not turn.marks]
    assert every_day == [simulator_of(TODAY)] and len(TURNS) == 3


@pytest.mark.parametrize("environment", TURNS)
def test_collect_train_plan_evaluate_probe(environment, tmp_path, monkeypatch, capsys, record_property):
    if environment == simulator_of(TODAY):
        record_property("say", f"The simulator of {TODAY} is {environment}; make test-slow runs the others.")
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
    table = f"results/pixels/{environment}-tiny/evaluation.csv"
    check_results(folder, tmp_path, table, **{"sigreg-0": 2, "random": 2})


@pytest.mark.parametrize("onward", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_readme_and_on_to_the_report_with_every_shape_checked(onward, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # processes that collect would not check shapes
    folder, table = "results/pixels/two_room-tiny/sigreg-0", "results/pixels/two_room-tiny/evaluation.csv"
    shown = [shlex.split(line) for line in README.splitlines()]
    assert [words[:3] for words in shown] == [
        ["spectral-jepa", "pixels", name] for name in ("collect", "train", "evaluate", "plan")
    ]
    commands = [*(words[2:] for words in shown), ["copy", table, "first.csv"], ["probe", folder]]
    more = (
        ["surprise", folder, "--n-trajectories", "2"],
        ["train", "--environment", "two_room", "--preset", "tiny", "--kind", "cloning", "--set", "model.history", "5"],
        ["evaluate", folder, folder.replace("sigreg", "cloning"), "--n-pairs", "2", "--simulator", "--perfect-predictor"],
        ["diagnose", folder, "--n-simulator", "1", "--n-starts", "2", "--n-plans", "4"],
        ["report", folder, "--decoder-steps", "20"],
    )
    arguments = [sys.executable, "-c", CHECKED, json.dumps([*commands, *more] if onward else commands)]
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check_results(folder, tmp_path, "first.csv", **{"sigreg-0": 4, "random": 4, "simulator": 4})
    if not onward:
        return
    page = (tmp_path / folder / "report.html").read_text()
    assert "Violation of expectation" in page and "data:image/png" in page
    names = {"sigreg-0", "cloning-0", "random", "simulator", "simulator, latent cost"}
    assert set(pd.read_csv(table)["policy"]) == names


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
        (
            ["plan", "nowhere", "--proposal", "cloning-0"],
            "planning.proposal is 'none', expected a folder with 'cloning' only",
        ),
        (["plan", "nowhere", "--set", "planning.proposal", "cloning"], "--proposal is missing"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["pixels", *arguments])
    error = capsys.readouterr().err
    assert caught.value.code == 2 and message in error and error.count("\n") == 1


def test_a_perfect_predictor_wants_a_world_model_first(tmp_path, capsys):
    config = changed(preset("tiny"), {"kind": "cloning", "model.history": 5})
    save_model(make_model(config), tmp_path / "cloning-0", config, ActionScaler((0.0, 0.0), (1.0, 1.0)), {})
    with pytest.raises(SystemExit):
        main(["pixels", "evaluate", str(tmp_path / "cloning-0"), "--perfect-predictor"])
    assert "cloning-0 is of the kind 'cloning', expected a world model" in capsys.readouterr().err
