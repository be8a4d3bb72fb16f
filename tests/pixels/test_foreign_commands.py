"""The commands on files of others: what is accepted is used, what is not is one sentence whose remedy is there."""

import json
import shutil
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from spectral_jepa._validation import InputError
from spectral_jepa.cli import main
from spectral_jepa.pixels.config import DataConfig
from spectral_jepa.pixels.data.collect import collect_episodes
from spectral_jepa.pixels.diagnostics.decoder import fit_decoder
from spectral_jepa.pixels.model.frozen import usable_device
from spectral_jepa.pixels.runs import policy_names

TRAIN = ["train", "--preset", "tiny", "--device", "cpu", "--set", "training.n_steps", "4"]
# Foreign files are taken for Two-Room with a warning, which one test looks at.
pytestmark = pytest.mark.filterwarnings("ignore:.*does not say which environment")


def write(path, change=lambda episode: episode, attributes=None):
    config = DataConfig(n_episodes=12, max_steps=60, image_size=32, policy="random", seed=0)
    episodes = [change(dict(episode)) for episode in collect_episodes(config, range(12))]
    lengths = np.array([len(episode["pixels"]) for episode in episodes])
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name in episodes[0]:
            file[name] = np.concatenate([episode[name] for episode in episodes])
        file["ep_len"], file["ep_offset"] = lengths, np.cumsum(lengths) - lengths
        file.attrs.update(attributes or {})
    return path


def pixels(*arguments):
    main(["pixels", *map(str, arguments)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    data = write(root / "data.h5")
    pixels(*TRAIN, "--data", data, "--folder", root / "a" / "sigreg-0")
    pixels(*TRAIN, "training.seed", "1", "--data", data, "--folder", root / "b" / "sigreg-0")
    return root


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")
    return tmp_path / "runs"


def refused(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        pixels(*arguments)
    error = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()
    assert stop.value.code == 2
    return error[-1]


def test_two_runs_of_one_folder_name_are_two_rows(here, capsys):
    pixels("evaluate", "a/sigreg-0", "b/sigreg-0", "--no-random")
    table = pd.read_csv("a/evaluation.csv")
    assert table.groupby("policy").size().to_dict() == {"sigreg-0 (a)": 4, "sigreg-0 (b)": 4}
    assert "given twice" in refused(capsys, "evaluate", "a/sigreg-0", "b/../a/sigreg-0")
    assert "--goal-offset 25 was given twice" in refused(capsys, "evaluate", "a/sigreg-0", "--goal-offset", "25", "25")
    assert "there is no folder nowhere" in refused(capsys, "evaluate", "a/sigreg-0", "nowhere")


def test_names_of_policies_are_unique(tmp_path):
    folders = [tmp_path / name for name in ("x/a/m", "y/a/m", "x/b/m", "x/n", "x/random")]
    assert policy_names(folders) == ["m (x/a)", "m (y/a)", "m (x/b)", "n", "random (x)"]
    with pytest.raises(InputError, match="given twice"):
        policy_names([tmp_path, tmp_path / "." / ""])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "evaluation.budget", "10"], "--set evaluation.budget is not used by pixels evaluate, * use --budget"),
        (["--set", "evaluation.goal_offset", "10"], "use --goal-offset"),
        (["--set", "evaluation.n_pairs", "2"], "use --n-pairs"),
        (["--set", "model.history", "1"], "--set model.history is not used by pixels evaluate"),
        (
            ["--set", "planning.temperature", "1"],
            "--set planning.temperature changes nothing, because planning.method is 'cem'",
        ),
        (["--budget", "0"], "budget is 0"),
        (["--n-pairs", "-5"], "n_pairs is -5"),
        (["--goal-offset", "0"], "goal_offset is 0"),
        (["--set", "planning.n_iterations", "0"], "n_iterations is 0"),
        (
            ["--set", "planning.n_samples", "1000000000000"],
            "GiB but only * lower planning.n_samples or planning.horizon",
        ),
        (
            ["--set", "planning.horizon", "99999999999999999999"],
            "horizon is 99999999999999999999, expected at least 1 and at most",
        ),
        (["--goal-offset", "100000000000"], "hold only 0 pairs"),
        (["--goal-offset", "99999999999999999999"], "goal_offset is"),
        (["--device", ""], "device is '', which torch cannot use here"),
        (["--device", "meta"], "device is 'meta', which torch cannot use here"),
        (["--data", "nowhere.h5"], "there is no file nowhere.h5"),
    ],
)
def test_evaluate_refuses_what_it_does_not_use(here, capsys, arguments, words):
    message = refused(capsys, "evaluate", "a/sigreg-0", *arguments)
    assert all(part in message for part in words.split(" * ")), message


def test_the_budget_is_the_one_asked_for(here):
    pixels("evaluate", "a/sigreg-0", "--budget", "10")
    assert set(pd.read_csv("a/sigreg-0/evaluation-25.csv")["budget"]) == {10}


def test_settings_of_a_plan(here, capsys):
    pixels("plan", "a/sigreg-0", "--set", "evaluation.budget", "5", "planning.n_iterations", "1")
    assert "after 5 steps" in capsys.readouterr().out
    assert "--set training.seed is not used by pixels plan" in refused(
        capsys, "plan", "a/sigreg-0", "--set", "training.seed", "1"
    )


@pytest.mark.parametrize("command", ["evaluate", "plan", "surprise"])
def test_two_numbers_that_are_no_two_room_are_refused(here, capsys, command):
    other = write(here / "other.h5", lambda e: {**e, "state": e["state"] / 224})
    message = refused(capsys, command, "a/sigreg-0", "--data", other)
    assert "does not say which environment it comes from, and 'two_room' is not it" in message


@pytest.mark.parametrize("command", ["evaluate", "plan", "surprise", "probe", "report"])
def test_data_of_another_environment_are_refused(here, capsys, command):
    other = write(here / "other.h5", attributes={"environment": json.dumps({"name": "reacher", "digest": "0" * 16})})
    assert "comes from 'reacher', expected 'two_room'" in refused(capsys, command, "a/sigreg-0", "--data", other)
    message = refused(capsys, *TRAIN, "--environment", "two_room", "--data", other, "--folder", "new")
    assert "comes from 'reacher'" in message and "--environment reacher" in message


def test_train_takes_the_environment_that_the_data_say(here, capsys):
    data = write(here / "said.h5", attributes={"environment": json.dumps({"name": "reacher"})})
    pixels(*TRAIN, "--data", data, "--folder", "said")
    assert json.loads((here / "said" / "config.json").read_text())["config"]["data"]["environment"] == "reacher"
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        pixels(*TRAIN, "--data", "data.h5", "--folder", "unsaid")
    assert "is taken for 'two_room': pass --environment" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "plan", "surprise"])
def test_the_published_columns_are_read(here, command):
    def publish(episode):
        place = episode.pop("state").astype(np.float32)
        del episode["agent_position"]
        return episode | {"pos_agent": place, "proprio": place, "pos_target": np.full((61, 2), 180, np.float32)}

    pixels(command, "a/sigreg-0", "--data", write(here / "tworoom.h5", publish))


def test_two_data_files_in_one_folder_have_their_own_pairs(here):
    pixels("evaluate", "a/sigreg-0", "--data", write(here / "more.h5", lambda e: {n: v[:50] for n, v in e.items()} | {
        "action": np.where(np.arange(50)[:, None] == 49, np.nan, e["action"][:50]).astype(np.float32)}))  # fmt: skip
    pixels("evaluate", "a/sigreg-0", "--data", "data.h5")
    names = sorted(path.name.partition(".manifest")[0] for path in here.glob("*.manifest-*.json"))
    assert names == ["data.h5", "more.h5"]


def test_changed_pictures_are_evaluated_again(here):
    pixels("evaluate", "a/sigreg-0", "--no-random", "--data", "data.h5")
    before = len(list((here / "a" / "evaluations").iterdir()))
    pixels("evaluate", "a/sigreg-0", "--no-random", "--data", "data.h5")
    assert len(list((here / "a" / "evaluations").iterdir())) == before
    with h5py.File("data.h5", "a") as file:
        file["pixels"][...] = 255 - file["pixels"][...]
    pixels("evaluate", "a/sigreg-0", "--no-random", "--data", "data.h5")
    assert len(list((here / "a" / "evaluations").iterdir())) == 2 * before


def test_a_checkpoint_is_of_the_very_pictures(here, capsys):
    pixels(*TRAIN, "--data", "data.h5", "--folder", "cut", "--stop-after", "2")
    with h5py.File("data.h5", "a") as file:
        file["pixels"][5] = 0
    assert "data.digest" in refused(capsys, *TRAIN, "--data", "data.h5", "--folder", "cut")


def test_runs_and_data_may_be_moved_together(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(trained)
    pixels(*TRAIN, "--data", "data.h5", "--folder", "moved/run", "--cache", "moved/cache")
    saved = json.loads((trained / "moved" / "run" / "config.json").read_text())
    assert saved["data"] == str(trained / "data.h5") and saved["data_from_here"] == "../../data.h5"
    monkeypatch.chdir(tmp_path)
    pixels("plan", trained / "moved" / "run", "--cache", trained / "moved" / "cache", "--set", "evaluation.budget", "2")
    assert list((trained / "moved" / "cache").glob("data.h5-*/data.h5.unpacked-*"))
    shutil.copytree(trained, tmp_path / "elsewhere")
    from spectral_jepa.pixels.runs import data_path

    run = tmp_path / "elsewhere" / "moved" / "run"
    saved["data"] = "/gone/data.h5"
    (run / "config.json").write_text(json.dumps(saved))
    assert data_path(run).resolve() == tmp_path / "elsewhere" / "data.h5"
    (run / "config.json").write_text(json.dumps({"data": "data.h5"}))  # of an earlier version, from another folder
    assert data_path(run).resolve() == tmp_path / "elsewhere" / "data.h5"


@pytest.mark.parametrize(
    "content", ['{"_target_": "stable_worldmodel.wm.lewm.LeWM"}', "{", "[]", "3", '{"data": 3}', "\x00"]
)
@pytest.mark.parametrize("command", ["evaluate", "plan", "probe", "surprise", "report"])
def test_a_foreign_config_is_one_sentence(tmp_path, monkeypatch, capsys, content, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text(content)
    assert "expected" in refused(capsys, command, "foreign")


def test_a_folder_that_is_a_file_is_one_sentence(here, capsys):
    (here / "file").touch()
    assert "--folder is file, but file is a file" in refused(capsys, *TRAIN, "--data", "data.h5", "--folder", "file")
    assert "but file is a file" in refused(capsys, *TRAIN, "--data", "data.h5", "--folder", "file/run")
    assert "but file is a file" in refused(capsys, "collect", "--preset", "tiny", "--out", "file/data.h5")


@pytest.mark.slow
def test_a_report_of_any_number_of_steps(here, capsys):
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    for steps in range(1, 31):
        decoder = fit_decoder(np.eye(3), frames, n_steps=steps, batch_size=2, width=8, depth=1)
        assert all(bool(parameter.isfinite().all()) for parameter in decoder.parameters()), steps
    pixels("report", "a/sigreg-0", "--decoder-steps", 10)  # where the schedule of torch divides by zero
    assert "decoder_steps is 0" in refused(capsys, "report", "a/sigreg-0", "--decoder-steps", "0")
    for command in ("report", "probe", "surprise"):
        assert "seed is -1" in refused(capsys, command, "a/sigreg-0", "--seed", "-1")


def test_a_quantity_that_is_not_finite_can_be_left_out(here, capsys):
    data = write(here / "odd.h5", lambda e: {**e, "speed": np.full(61, np.nan)})
    message = refused(capsys, "probe", "a/sigreg-0", "--data", data)
    assert "column 'speed' has values that are not finite" in message and "--quantities agent_position" in message
    pixels("probe", "a/sigreg-0", "--data", data, "--quantities", "agent_position")


@pytest.mark.parametrize("device", ["cuda", "mps", "meta", "gpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_one_sentence(device):
    if (device == "cuda" and torch.cuda.is_available()) or (device == "mps" and torch.backends.mps.is_available()):
        pytest.skip("it is there")
    with pytest.raises(InputError, match="which torch cannot use here") as error:
        usable_device(device)
    assert "\n" not in str(error.value)


def test_training_on_actions_outside_the_bounds_warns(here):
    data = write(here / "wide.h5", lambda e: {**e, "action": e["action"] * 100})
    with pytest.warns(UserWarning, match="actions lie outside the bounds of 'two_room'"):
        from spectral_jepa.pixels.data import open_dataset
        from spectral_jepa.pixels.data.origin import check_actions

        check_actions(open_dataset(data, progress=False), "two_room", planning=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels(*TRAIN, "--data", data, "--folder", "wide")


@pytest.mark.parametrize("name", ["embedding_dim", "projector_width", "predictor_width", "predictor_hidden", "action_block"])
def test_a_model_that_fits_no_memory_is_one_sentence(here, capsys, name):
    told = "windows of" if name == "action_block" else "does not fit in memory"
    limit = f"{name} is 99999999999999999999, expected at least 1 and at most"
    for value, words in (("1000000000000", told), ("99999999999999999999", limit)):
        assert words in refused(capsys, *TRAIN, f"model.{name}", value, "--data", "data.h5", "--folder", "large")
