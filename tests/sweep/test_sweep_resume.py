import collections
import csv
import os
import random
import signal
import subprocess
import sys
import time
import warnings

import pytest

from spectral_jepa._validation import InputError
from spectral_jepa.sweep import results, run_sweep, sweep_status
from spectral_jepa.sweep.experiment import load_experiment

EXPERIMENT = '''"""Sizes and seeds, with a note on disk of every execution."""
import time
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
PRESETS = {"all": {"size": [20, 50], "seed": range(15)}}


def run_cell(size, seed):
    with open(FOLDER / "executions", "a") as file:
        file.write(f"{size}-{seed}\\n")
    time.sleep(0.03)
    values = np.linalg.svd(np.random.default_rng(seed).normal(size=(size, size)), compute_uv=False)
    return [{"dim": dim, "tail": (values[dim:] ** 2).sum()} for dim in (1, 3)]
'''

RUN = """
import sys
from spectral_jepa.sweep.experiment import load_experiment
from spectral_jepa.sweep import run_sweep
if __name__ == "__main__":
    experiment = load_experiment(sys.argv[1])
    run_sweep(experiment, experiment.cells("all"), sys.argv[2], n_jobs=int(sys.argv[3]), progress=False)
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment") / "noted.py"
    path.write_text(EXPERIMENT)
    return load_experiment(path)


@pytest.fixture(scope="module")
def uninterrupted(experiment):
    folder = experiment.path.parent / "uninterrupted"
    run_sweep(experiment, experiment.cells("all"), folder, n_jobs=1, progress=False)
    return folder


@pytest.fixture
def executions(experiment, uninterrupted):
    file = experiment.path.parent / "executions"
    file.unlink(missing_ok=True)
    return lambda: collections.Counter(file.read_text().split())


def names(folder):
    keys = results.read_manifest(folder)["cell_keys"]
    done, _ = results.load_cells(folder, keys)
    return [f"{record['cell']['size']}-{record['cell']['seed']}" for record in done.values()]


def clock_free(folder):
    with open(folder / "table.csv", newline="") as file:
        return [{name: text for name, text in row.items() if not name.endswith("_seconds")} for row in csv.DictReader(file)]


def start(experiment, folder, n_jobs):
    command = [sys.executable, "-c", RUN, str(experiment.path), str(folder), str(n_jobs)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return process


def wait_for_cells(process, folder, count):
    limit = time.monotonic() + 30
    while len(list((folder / "cells").glob("*.json")) if folder.exists() else []) < count:
        assert process.poll() is None and time.monotonic() < limit, process.stderr and process.stderr.read()
        time.sleep(0.002)


def assert_resumes(experiment, folder, uninterrupted, executions, in_flight):
    cells = experiment.cells("all")
    before, done = executions(), names(folder)
    assert 0 < len(done) < len(cells)
    assert not (folder / "table.parquet").exists()
    assert sum(before.values()) <= len(done) + in_flight  # at most the cells in flight were lost
    table = run_sweep(experiment, cells, folder, n_jobs=2, progress=False)
    after = executions()
    assert all(after[name] == 1 for name in done)  # nothing done was done again
    assert set(after) == {f"{cell['size']}-{cell['seed']}" for cell in cells}  # nothing was forgotten
    assert sum(after.values()) == sum(before.values()) + len(cells) - len(done)
    assert table.attrs["summary"]["cached"] == len(done) and len(table) == 2 * len(cells)
    assert clock_free(folder) == clock_free(uninterrupted)
    assert (folder / "table.sha256").read_bytes() == (uninterrupted / "table.sha256").read_bytes()
    assert table["tail"].nunique() == len(table) and (table["tail"] > 0).all()


@pytest.mark.parametrize(("n_jobs", "count"), [(1, 4), (2, 1), (2, 11), (2, 19)])
def test_a_killed_sweep_resumes_to_the_same_table(experiment, uninterrupted, executions, tmp_path, n_jobs, count):
    folder = tmp_path / "killed"
    process = start(experiment, folder, n_jobs)
    wait_for_cells(process, folder, count)
    time.sleep(random.Random(count).uniform(0, 0.03))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with pytest.warns(UserWarning, match=r"table.parquet is missing, so the table was rebuilt from \d+ of 30 cells"):
        partial = results.read_table(folder)  # what is there can be looked at before resuming
    assert len(partial) % 2 == 0 and 2 * count <= len(partial) < 60
    assert_resumes(experiment, folder, uninterrupted, executions, in_flight=n_jobs)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupt_ends_quickly_and_leaves_a_resumable_folder(experiment, uninterrupted, executions, tmp_path, n_jobs):
    folder = tmp_path / "interrupted"
    process = start(experiment, folder, n_jobs)
    wait_for_cells(process, folder, 5)
    begin = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - begin < 5
    assert process.returncode not in (0, None) and "KeyboardInterrupt" in err
    assert_resumes(experiment, folder, uninterrupted, executions, in_flight=n_jobs)


def test_torn_and_flipped_cell_files_are_noticed_and_computed_again(experiment, uninterrupted, executions, tmp_path):
    cells, folder = experiment.cells("all")[:6], tmp_path / "damaged"
    first = run_sweep(experiment, cells, folder, n_jobs=1, progress=False)
    keys = first["cell_key"].drop_duplicates().tolist()
    paths = [folder / "cells" / f"{key}.json" for key in keys]
    paths[0].write_bytes(paths[0].read_bytes()[:100])
    paths[1].write_bytes(b"")
    content = bytearray(paths[3].read_bytes())
    digit = content.index(b'"tail": ') + len(b'"tail": ')
    content[digit] ^= 1  # another digit: still valid JSON, another number
    paths[3].write_bytes(content)
    paths[4].write_bytes(paths[5].read_bytes())  # whole, but of another cell
    assert sweep_status(folder, cells) == sweep_status(folder) == dict(done=2, failed=0, missing=0, damaged=4)
    with pytest.warns(UserWarning, match=r"4 of 6 cell files in .* are damaged \(first: .*json\) and will be"):
        second = run_sweep(experiment, cells, folder, n_jobs=1, progress=False)
    assert second.attrs["summary"]["damaged"] == 4 and second.attrs["summary"]["computed"] == 4
    assert results.without_clocks(second).to_csv() == results.without_clocks(first).to_csv()
    assert sorted(executions().values()) == [1, 1, 2, 2, 2, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_sweep(experiment, cells, folder, n_jobs=1, progress=False)


def test_a_damaged_manifest_is_said_and_rewritten(experiment, uninterrupted, executions, tmp_path):
    cells, folder = experiment.cells("all")[:2], tmp_path / "manifest"
    first = run_sweep(experiment, cells, folder, n_jobs=1, progress=False)
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:-10])
    with pytest.warns(UserWarning, match="manifest.json is damaged and was ignored"):
        second = run_sweep(experiment, cells, folder, n_jobs=1, progress=False)
    assert second.attrs["summary"]["cached"] == 2 and results.digest(second) == results.digest(first)
    assert sweep_status(folder)["done"] == 2


def test_a_worker_that_dies_ends_the_sweep_in_one_sentence_and_keeps_what_is_done(tmp_path):
    gate = tmp_path / "gate"

    def run_cell(x):
        import os
        import time

        if x == 3 and not gate.exists():
            time.sleep(0.3)
            os._exit(1)  # as the kernel does when memory runs out
        return {"y": x}

    cells = [{"x": x} for x in range(6)]
    with pytest.raises(
        InputError, match=r"a worker process died with n_jobs=2, .* with a smaller n_jobs, finished cells are kept$"
    ):
        run_sweep(run_cell, cells, tmp_path / "out", n_jobs=2, progress=False)
    done = sweep_status(tmp_path / "out", cells)["done"]
    assert 1 <= done <= 5
    gate.touch()
    table = run_sweep(run_cell, cells, tmp_path / "out", n_jobs=2, progress=False)
    assert table.attrs["summary"]["cached"] == done and table["y"].tolist() == list(range(6))
