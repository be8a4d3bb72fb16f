"""Trackers are told what log.csv holds, and cannot end a training."""

import csv
import json

import numpy as np
import pytest

from spectral_jepa import CoOccurrence, make_block
from spectral_jepa.cli import main
from spectral_jepa.jepa import JepaConfig, Run, train_jepa
from spectral_jepa.pixels.data.collect import collect
from spectral_jepa.pixels.model.frozen import weights_digest
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.presets import changed, preset
from spectral_jepa.pixels.training.loop import train
from spectral_jepa.training import Trackers, TrainingLog, make_tracker

pytest.importorskip("h5py")
pytestmark = pytest.mark.usefixtures("few_threads")
CONFIG = changed(preset("tiny"), {"training.n_steps": 4, "training.log_every": 2, "data.n_episodes": 10})
OWN = """
import json
class Lines:
    def __init__(self, settings, folder):
        self.path, self.seed = folder.parent / "told.txt", settings["training"]["seed"]
    def on_log(self, step, numbers):
        with self.path.open("a") as file:
            file.write(f"{step} {self.seed} {numbers['loss']!r}\\n")
    def on_end(self, finished):
        with self.path.open("a") as file:
            file.write(f"{finished}\\n")
def broken(settings, folder):
    raise OSError("no network")
def half(settings, folder):
    return folder
"""


class Fake:
    def __init__(self):
        self.rows, self.ends = [], []

    def on_log(self, step, numbers):
        self.rows.append({"step": step, **numbers})
        numbers.clear()  # its own copy

    def on_end(self, finished):
        self.ends.append(finished)


class Failing(Fake):
    def on_log(self, step, numbers):
        super().on_log(step, numbers)
        raise ConnectionError("the server is gone\nmore")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return collect(CONFIG.data, tmp_path_factory.mktemp("data") / "data.h5", n_jobs=1, progress=False)


def run(data, folder, *trackers, config=CONFIG, **options):
    return train(config, data, folder, device="cpu", progress=False, trackers=trackers, **options)


def test_a_tracker_is_told_the_rows_of_the_log_also_of_a_resumed_run(data, tmp_path):
    first, second, idle = Fake(), Fake(), Fake()
    run(data, tmp_path, first, stop_after=2)
    run(data, tmp_path, second)
    run(data, tmp_path, idle)
    with open(tmp_path / "log.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert first.rows + second.rows == rows and [row["step"] for row in rows] == [2, 4]
    assert (first.ends, second.ends, idle.rows, idle.ends) == ([False], [True], [], [True])


def test_a_tracker_that_fails_is_named_and_changes_nothing(data, tmp_path):
    failing, fake = Failing(), Fake()
    with pytest.warns(UserWarning, match="the tracker Failing failed .the server is gone"):
        run(data, tmp_path / "told", failing, fake)
    assert (len(failing.rows), failing.ends, len(fake.rows), fake.ends) == (1, [], 2, [True])
    run(data, tmp_path / "alone")
    alone, told = (weights_digest(load_model(tmp_path / name)[0]) for name in ("alone", "told"))
    assert alone == told


def test_the_end_is_told_when_the_loss_is_lost(data, tmp_path, refused):
    fake = Fake()
    lost = changed(CONFIG, {"training.learning_rate": 1e30, "training.warmup": 0.0})
    with refused("not finite"):
        run(data, tmp_path, fake, config=lost)
    assert fake.ends == [False]


def test_the_command_names_a_tracker(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "own_tracker.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["pixels", "train", "--preset", "tiny", "--data", str(data), "--folder", "run", "--device", "cpu"]
    settings = ["--seed", "3", "--set", "training.n_steps", "2", "training.log_every", "2", "training.batch_size", "4"]
    main([*words, "--tracker", "own_tracker:Lines", *settings])
    with open("run/log.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (tmp_path / "told.txt").read_text() == f"2 3 {row['loss']}\nTrue\n"
    for name, said in (
        ("own_tracker", "expected module:callable"),
        ("no_such_module:Lines", "cannot be imported"),
        ("own_tracker:Missing", "is None, expected something that can be called"),
        ("own_tracker:broken", "could not be made (no network)"),
        ("own_tracker:half", "without on_log"),
    ):
        with pytest.raises(SystemExit):
            main([*words, "--tracker", name, *settings])
        assert said in capsys.readouterr().err


def test_what_is_no_tracker_is_refused(refused):
    with refused("trackers has int without on_log"):
        Trackers([3])
    with refused("tracker is ':', expected module:callable"):
        make_tracker(":", {}, ".")
    exact = CoOccurrence.exact(make_block(12, 3, 2, seed=0))
    with refused("tracker is 3, expected a Tracker"):
        train_jepa(exact, [Run(dim=2)], JepaConfig(n_steps=2), tracker=3)


def test_a_tabular_training_tells_each_run(tmp_path):
    exact, fake = CoOccurrence.exact(make_block(12, 3, 2, seed=0)), Fake()
    trained = train_jepa(
        exact, [Run(dim=2, strength=1.0), Run(dim=3, strength=1.0)], JepaConfig(n_steps=6, record_every=3), tracker=fake
    )
    history = trained.history.set_index(["step", "run"])
    assert [row["step"] for row in fake.rows] == [0, 3, 6] and fake.ends == [True]
    for row in fake.rows:
        for number in (0, 1):
            np.testing.assert_equal(row[f"{number}/loss"], history.loc[(row["step"], number), "loss"])


def test_tensorboard_where_it_is_installed(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with TrainingLog(tmp_path) as log:
        log.write(10, loss=0.5)
        log.write(20, loss=0.25)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 0.5), (20, 0.25)]
    assert json.dumps(events.Tags()["scalars"]) == '["loss"]'
