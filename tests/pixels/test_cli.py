"""The pixel commands from nothing to a report, in the tiny preset, on every environment whose simulator is installed."""

import importlib.util

import pandas as pd
import pytest

from spectral_jepa.cli import main

pytest.importorskip("h5py")
NEEDS = {"two_room": None, "push_t": "gym_pusht", "reacher": "dm_control", "cube": "ogbench"}
SMALL = ["--set", "data.n_episodes", "10", "data.max_steps", "50"]


@pytest.mark.parametrize("environment", NEEDS)
def test_collect_train_plan_evaluate_probe(environment, tmp_path, monkeypatch, capsys):
    package = NEEDS[environment]
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'spectral-jepa[pixels]'")
    monkeypatch.chdir(tmp_path)
    tiny = ["--environment", environment, "--preset", "tiny"]
    try:
        main(["pixels", "collect", *tiny, "--n-jobs", "1", *SMALL])
    except SystemExit:
        message = capsys.readouterr().err
        if "OpenGL" in message or "EGL" in message:
            pytest.skip("no OpenGL on this machine")
        raise
    main(["pixels", "train", *tiny])
    folder = f"results/pixels/{environment}-tiny/sigreg-0"
    main(["pixels", "plan", folder])
    main(["pixels", "evaluate", folder, "--n-pairs", "2"])
    main(["pixels", "probe", folder])
    rows = pd.read_csv(f"results/pixels/{environment}-tiny/evaluation.csv")
    assert rows.groupby("policy").size().to_dict() == {"sigreg-0": 2, "random": 2}
    probes = pd.read_csv(f"{folder}/probe.csv")
    assert {"embedding", "random encoder", "pixels"} <= set(probes["input"])
    assert (tmp_path / folder / "figures" / "plan_0.png").stat().st_size > 1000
    if environment == "two_room":
        main(["pixels", "surprise", folder, "--n-trajectories", "2"])
        main(["pixels", "train", *tiny, "--kind", "cloning", "--set", "model.history", "5"])
        main(["pixels", "evaluate", folder, folder.replace("sigreg", "cloning"), "--n-pairs", "2", "--simulator"])
        main(["pixels", "report", folder, "--decoder-steps", "20"])
        page = (tmp_path / folder / "report.html").read_text()
        assert "Violation of expectation" in page and "data:image/png" in page
        assert pd.read_csv("results/pixels/two_room-tiny/evaluation.csv")["policy"].nunique() == 4


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
