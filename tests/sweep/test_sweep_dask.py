import collections
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from spectral_jepa.sweep import run_sweep, sweep_status
from spectral_jepa.sweep.experiment import load_experiment
from spectral_jepa.sweep.results import digest, without_clocks

distributed = pytest.importorskip("distributed")

EXPERIMENT = '''"""Singular values."""
import os
from pathlib import Path

import numpy as np

PRESETS = {"all": {"size": [20, 60], "seed": range(4)}}


def run_cell(size, seed):
    (Path(__file__).parent / f"pid-{os.getpid()}").touch()
    values = np.linalg.svd(np.random.default_rng(seed).normal(size=(size, size)), compute_uv=False)
    return {"norm": values[0], "gap": values[0] - values[1]}
'''


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_the_same_call_on_a_cluster_gives_the_same_table(client, tmp_path):
    (tmp_path / "spectra.py").write_text(EXPERIMENT)
    experiment = load_experiment(tmp_path / "spectra.py")
    cells = experiment.cells("all")
    cluster = run_sweep(experiment, cells, tmp_path / "cluster", client=client, progress=False)
    pids = {int(path.name[4:]) for path in tmp_path.glob("pid-*")}
    assert pids <= set(client.run(os.getpid).values()) and pids
    local = run_sweep(experiment, cells, tmp_path / "local", n_jobs=2, progress=False)
    assert without_clocks(cluster).to_csv() == without_clocks(local).to_csv()
    assert (tmp_path / "cluster/table.sha256").read_bytes() == (tmp_path / "local/table.sha256").read_bytes()
    expected = [np.linalg.norm(np.random.default_rng(seed).normal(size=(60, 60)), 2) for seed in range(4)]
    assert cluster.query("size == 60")["norm"].tolist() == pytest.approx(expected, rel=1e-12)
    again = run_sweep(experiment, cells, tmp_path / "cluster", n_jobs=1, progress=False)  # resumes across backends
    assert again.attrs["summary"]["cached"] == len(cells) and digest(again) == digest(local)


def test_failures_on_a_cluster_are_rows_and_are_tried_again(client, tmp_path):
    gate = tmp_path / "gate"

    def run_cell(x):
        if x == 1 and not gate.exists():
            raise ValueError("the gate is shut")
        return {"y": x * x}

    cells = [{"x": x} for x in range(3)]
    with pytest.warns(UserWarning, match="1 of 3 cells of run_cell failed"):
        table = run_sweep(run_cell, cells, tmp_path / "out", client=client, progress=False)
    assert table["status"].tolist() == ["ok", "error", "ok"] and "the gate is shut" in table.loc[1, "traceback"]
    gate.touch()
    table = run_sweep(run_cell, cells, tmp_path / "out", client=client, progress=False)
    assert table["y"].tolist() == [0, 1, 4] and table.attrs["summary"]["cached"] == 2


def test_a_cell_whose_task_is_lost_is_a_failed_cell_and_the_others_end(client, tmp_path):
    gate = tmp_path / "gate"

    class Poisoned:  # cannot be loaded on the worker: the task fails outside run_cell
        __name__ = "poisoned"

        def __call__(self, x):
            return {"y": x}

        def __reduce__(self):
            return (explode_unless, (str(gate),))

    cells = [{"x": 0}, {"x": 1}]
    with pytest.warns(UserWarning, match="2 of 2 cells of poisoned failed"):
        table = run_sweep(Poisoned(), cells, tmp_path / "out", client=client, progress=False)
    assert table["traceback"].str.contains("poison").all()
    assert sweep_status(tmp_path / "out", cells) == dict(done=0, failed=2, missing=0, damaged=0)


def explode_unless(gate):
    raise RuntimeError("poison")


NOTED = '''"""Cells that note their execution."""
import time
from pathlib import Path

PRESETS = {"all": {"n": list(range(60))}}


def run_cell(n):
    with open(Path(__file__).parent / "executions", "a") as file:
        file.write(f"{n}\\n")
    time.sleep(0.05)
    return {"y": n * n}
'''


def when_cells(folder, count, act):
    """Do something as soon as so many cells are there."""

    def watch():
        while len(list(folder.glob("cells/*.json"))) < count:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_finished_cells_are_not_computed_again_when_their_worker_dies(client, tmp_path):
    """31 to 48 of 80 were, at four kills: the results stayed with the workers until the end."""
    (tmp_path / "noted.py").write_text(NOTED)
    experiment = load_experiment(tmp_path / "noted.py")
    folder, killed = tmp_path / "out", []

    def kill():
        pid = next(iter(client.run(os.getpid).values()))
        killed.append(len(list(folder.glob("cells/*.json"))))
        os.kill(pid, signal.SIGKILL)

    threads = [when_cells(folder, count, kill) for count in (15, 35)]
    table = run_sweep(experiment, experiment.cells("all"), folder, client=client, progress=False)
    for thread in threads:
        thread.join()
    executions = collections.Counter((tmp_path / "executions").read_text().split())
    assert table["y"].tolist() == [n * n for n in range(60)] and len(killed) == 2
    assert sum(executions.values()) <= 60 + 2  # one cell is in flight on a worker of one thread
    assert client.scheduler_info()["workers"]  # the others are still there for the next test


SCHEDULER = """
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None)
    print(cluster.scheduler_address, flush=True)
    input()
"""


def test_a_lost_scheduler_ends_the_sweep_and_its_cells_are_missing_not_failed(tmp_path, refused):
    (tmp_path / "noted.py").write_text(NOTED)
    experiment = load_experiment(tmp_path / "noted.py")
    cells, folder = experiment.cells("all"), tmp_path / "out"
    code = SCHEDULER.replace("processes=False", "protocol='tcp', processes=False")
    scheduler = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    address = scheduler.stdout.readline().strip()
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s", "distributed.comm.retry.count": 0}),
        distributed.Client(address, timeout="5s") as client,
    ):
        when_cells(folder, 10, scheduler.kill)
        with refused("the Dask scheduler or its answer was lost", "finished cells are kept"):
            run_sweep(experiment, cells, folder, client=client, progress=False)
    scheduler.wait()
    counts = sweep_status(folder, cells)
    assert counts["failed"] == counts["damaged"] == 0 and counts["done"] >= 10 and counts["missing"] > 0
    table = run_sweep(experiment, cells, folder, n_jobs=1, progress=False)
    assert (table["status"] == "ok").all() and table.attrs["summary"]["cached"] == counts["done"]
