"""Thousands of small cells through a cluster that loses its parts: none lost, none twice, and the table of a serial run.

    python benchmarks/cluster.py [--cells 10000] [--only serial workers scheduler submitter] [--root /dev/shm]
                                 [--output reference/cluster.csv]

serial: one process. workers: a local Dask cluster of four workers, two of which are killed on the way. scheduler: a Dask
scheduler and four workers, the scheduler killed on the way, both started again, and the same call repeated. submitter: four
jobs of submitit's local executor, the process that sent them killed on the way, and the same call repeated while they run.

Every execution of a cell appends a line to a file, before the cell's own file is there. "twice" counts executions of cells
that had ended when the loss came; "in flight" those that were computed again because they had not.
"""

import argparse
import collections
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd

from spectral_jepa.sweep import run_sweep, sweep_status
from spectral_jepa.sweep.cells import load_cells
from spectral_jepa.sweep.experiment import load_experiment
from spectral_jepa.sweep.results import read_manifest

EXPERIMENT = '''"""Small cells that note their execution."""
import time
from pathlib import Path

import numpy as np

PRESETS = {"all": {"n": range(N_CELLS)}}
HERE = Path(__file__).parent


def run_cell(n):
    time.sleep(PAUSE)
    while n >= SHUT_FROM and not (HERE / "gate").exists():
        time.sleep(0.02)
    value = np.linalg.svd(np.random.default_rng(n).normal(size=(8, 8)), compute_uv=False)
    with open(HERE / "executions", "a") as file:
        file.write(f"{n}\\n")
    return {"norm": value[0], "gap": value[0] - value[1]}
'''
SUBMIT = """
import sys
from submitit import LocalExecutor
from spectral_jepa.sweep import run_sweep
from spectral_jepa.sweep.experiment import load_experiment

if __name__ == "__main__":
    experiment = load_experiment(sys.argv[1])
    executor = LocalExecutor(sys.argv[2] + "/jobs-logs")
    executor.update_parameters(timeout_min=600)
    run_sweep(experiment, experiment.cells("all"), sys.argv[2], executor=executor, n_jobs=4, progress=False)
"""
WORKERS = 4


class Watch:
    """Do something when so many cells are there, and remember which they were."""

    def __init__(self, folder, at, act):
        self.folder, self.at, self.act, self.finished = folder, at, act, set()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while len(names(self.folder)) < self.at:
            time.sleep(0.02)
        # Before the loss: a cell that was in flight then may be there again by the time that the loss is complete.
        self.finished = names(self.folder)
        self.act()


def names(folder):
    with contextlib.suppress(FileNotFoundError):
        return {name for name in os.listdir(folder / "cells") if name.endswith(".json")}
    return set()


def counts(path):
    return collections.Counter(path.read_text().split()) if path.exists() else collections.Counter()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serial(experiment, cells, folder):
    run_sweep(experiment, cells, folder, n_jobs=1, progress=False)
    return []


def lost_workers(experiment, cells, folder):
    """Two of four Dask workers are killed, at a quarter and at a half of the cells."""
    from distributed import Client, LocalCluster

    options = dict(n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None)
    with LocalCluster(**options) as cluster, Client(cluster) as client:

        def kill():
            os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)

        watches = [Watch(folder, share * len(cells) // 4, kill) for share in (1, 2)]
        run_sweep(experiment, cells, folder, client=client, progress=False)
    return watches


def start_dask(port):
    """A scheduler, and a process with four workers."""
    address = f"tcp://127.0.0.1:{port}"
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    workers = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nworkers", str(WORKERS), "--nthreads", "1"]
    return [subprocess.Popen([*words, "--no-dashboard"], start_new_session=True, **quiet) for words in (scheduler, workers)]


def stop(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def lost_scheduler(experiment, cells, folder):
    """The scheduler is killed at a third of the cells; it and the workers are started again, and the call repeated."""
    import dask
    from distributed import Client

    from spectral_jepa._validation import InputError

    port = free_port()
    scheduler, workers = start_dask(port)
    watch = Watch(folder, len(cells) // 3, lambda: stop(scheduler))
    said = ""
    with dask.config.set({"distributed.comm.timeouts.connect": "20s"}):
        try:
            with Client(f"tcp://127.0.0.1:{port}", timeout="120s") as client:
                try:
                    run_sweep(experiment, cells, folder, client=client, progress=False)
                except InputError as error:
                    said = str(error)
        finally:
            stop(scheduler)
            stop(workers)
        assert "the Dask scheduler or its answer was lost" in said, said
        counted = sweep_status(folder, cells)
        assert counted["failed"] == counted["damaged"] == 0 and counted["missing"] > 0, counted
        scheduler, workers = start_dask(port)
        try:
            with Client(f"tcp://127.0.0.1:{port}", timeout="120s") as client:
                run_sweep(experiment, cells, folder, client=client, progress=False)
        finally:
            stop(scheduler)
            stop(workers)
    return [watch]


def lost_submitter(experiment, cells, folder):
    """The process that sent four jobs is killed at a third of the cells, and its call repeated while they run."""
    command = [sys.executable, "-c", SUBMIT, str(experiment.path), str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kill():
        process.kill()
        process.wait()

    watch = Watch(folder, len(cells) // 3, kill)
    watch.thread.join()
    again = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = again.stderr.readline()
    assert "jobs of an earlier call still run" in said, said + again.communicate()[1]
    # The last third of the cells waited for this, so that the jobs had not ended by then, however slow the machine.
    (folder.parent / "gate").touch()
    _, said = again.communicate()
    assert again.returncode == 0, said
    return [watch]


CASES = {"serial": serial, "workers": lost_workers, "scheduler": lost_scheduler, "submitter": lost_submitter}


def measure(case, n_cells, root, pause=0.0):
    """One row: what became of the cells, each of which waits so many seconds, and of the table."""
    here = root / case
    here.mkdir(parents=True)
    shut_from = 2 * n_cells // 3 if case == "submitter" else n_cells
    values = {"N_CELLS": n_cells, "PAUSE": pause, "SHUT_FROM": shut_from}
    text = EXPERIMENT
    for name, value in values.items():
        text = text.replace(name, str(value))
    (here / "noted.py").write_text(text)
    experiment = load_experiment(here / "noted.py")
    cells, folder = experiment.cells("all"), here / "out"
    began = time.perf_counter()
    watches = CASES[case](experiment, cells, folder)
    seconds = time.perf_counter() - began
    for watch in watches:
        watch.thread.join()
    executed = counts(here / "executions")
    records, damaged = load_cells(folder, read_manifest(folder)["cell_keys"])
    number = {f"{key}.json": str(record["cell"]["n"]) for key, record in records.items()}
    ended = set().union(*(watch.finished for watch in watches)) if watches else set()
    return {
        "case": case,
        "cells": n_cells,
        "seconds": round(seconds, 1),
        "cells_per_hour": round(3600 * n_cells / seconds),
        "finished_at_loss": len(ended),
        "lost": n_cells - sum(record["status"] == "ok" for record in records.values()) + len(damaged),
        "twice": sum(executed[number[name]] - 1 for name in ended),
        "in_flight_again": sum(count - 1 for count in executed.values()),
        "table_sha256": (folder / "table.sha256").read_text().strip(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--root", type=Path, help="where the cells go; in memory a write does not wait for the disk")
    parser.add_argument("--output", type=Path, help="write the table here as CSV, after every case")
    arguments = parser.parse_args()
    rows = []
    if arguments.output and arguments.output.exists():  # cases that are not asked for stay
        old = pd.read_csv(arguments.output)
        rows = old[~old["case"].isin(arguments.only)].to_dict("records")
    with tempfile.TemporaryDirectory(dir=arguments.root) as root:
        for case in arguments.only:
            rows.append(measure(case, arguments.cells, Path(root)))
            print(rows[-1], flush=True)
            if arguments.output:
                pd.DataFrame(rows).to_csv(arguments.output, index=False)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    bad = table[(table["lost"] > 0) | (table["twice"] > 0)]
    if len(bad) or table["table_sha256"].nunique() > 1:
        raise SystemExit("a cell was lost or computed twice, or the tables differ")


if __name__ == "__main__":
    main()
