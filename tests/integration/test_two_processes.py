"""Two processes in one folder: the second gets one sentence and harms nothing."""

import csv
import multiprocessing
from dataclasses import replace

import pytest

from spectral_jepa import CoOccurrence, make_block
from spectral_jepa._files import hold_folder
from spectral_jepa._validation import InputError
from spectral_jepa.jepa import JepaConfig, Run, train_jepa
from spectral_jepa.pixels.data.collect import collect
from spectral_jepa.pixels.presets import TINY
from spectral_jepa.pixels.training.loop import train
from spectral_jepa.sweep import run_sweep

SETTINGS = replace(TINY, training=replace(TINY.training, n_steps=20, checkpoint_every=1, log_every=1))


def square(x):
    return {"y": x * x}


def sweep(folder, **options):
    run_sweep(square, [{"x": 1}], folder, n_jobs=1, progress=False, **options)


def tabular(folder):
    exact = CoOccurrence.exact(make_block(n_states=8, n_blocks=2, n_actions=2, seed=0))
    train_jepa(exact, [Run(dim=2)], JepaConfig(n_steps=3), folder=folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return collect(TINY.data, tmp_path_factory.mktemp("data") / "data.h5", n_jobs=1, progress=False)


@pytest.mark.parametrize("write", ["sweep", "overwriting sweep", "tabular", "pixels"])
def test_a_folder_that_is_held_is_refused_and_stays_as_it_was(write, data, tmp_path, refused):
    commands = {
        "sweep": sweep,
        "overwriting sweep": lambda folder: sweep(folder, overwrite=True),
        "tabular": tabular,
        "pixels": lambda folder: train(SETTINGS, data, folder, device="cpu", progress=False, stop_after=2),
    }
    run = commands[write]
    run(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with hold_folder(tmp_path), refused("is in use by process", "wait until it ends"):
        run(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before and len(before) > 2
    run(tmp_path)


def _train(data, folder, start, results):
    start.wait()
    try:
        train(SETTINGS, data, folder, device="cpu", progress=False)
        results.put("done")
    except InputError as error:
        results.put(str(error))
    except BaseException as error:
        results.put(f"crashed: {error!r}")


def test_of_two_trainings_at_once_one_trains_and_its_log_is_whole(data, tmp_path):
    context = multiprocessing.get_context("spawn")  # a fork of a process in which torch has run threads may hang
    start, results = context.Barrier(2), context.Queue()
    pair = [context.Process(target=_train, args=(data, tmp_path / "run", start, results)) for _ in range(2)]
    for process in pair:
        process.start()
    said = sorted(results.get(timeout=120) for _ in pair)
    for process in pair:
        process.join()
    # The loser may also come when the winner is done, and find nothing to do.
    assert "done" in said and all(text == "done" or "is in use by process" in text for text in said)
    with open(tmp_path / "run" / "log.csv", newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(1, 21))
