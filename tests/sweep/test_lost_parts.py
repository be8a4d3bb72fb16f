"""A cluster that loses workers, its scheduler, or whoever waits for it: none lost, none twice, the table of a serial run.

The runs are those of benchmarks/cluster.py, whose 10,000 cells are in reference/cluster.csv; here a hundred.
"""

import importlib.util

import pandas as pd
import pytest

from spectral_jepa._files import encode_record
from spectral_jepa.sweep import engines, run_sweep, sweep_status
from spectral_jepa.sweep.experiment import shipped_folder

pytest.importorskip("distributed")
submitit = pytest.importorskip("submitit")
ROOT = shipped_folder("reference").parent
spec = importlib.util.spec_from_file_location("cluster_benchmark", ROOT / "benchmarks" / "cluster.py")
cluster = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cluster)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    return cluster.measure("serial", 100, tmp_path_factory.mktemp("serial"), 0.0)


@pytest.mark.parametrize(
    "case", ["workers", pytest.param("scheduler", marks=pytest.mark.slow), pytest.param("submitter", marks=pytest.mark.slow)]
)
def test_nothing_is_lost_and_nothing_that_ended_is_done_twice(case, serial, tmp_path):
    row = cluster.measure(case, 100, tmp_path, 0.05)
    assert row["lost"] == row["twice"] == 0 and row["finished_at_loss"] >= 33
    assert row["in_flight_again"] <= 8
    assert row["table_sha256"] == serial["table_sha256"]


def test_the_committed_runs_of_ten_thousand_cells():
    table = pd.read_csv(ROOT / "reference" / "cluster.csv").set_index("case")
    assert table.index.tolist() == ["serial", "workers", "scheduler", "submitter"]
    assert (table["cells"] == 10_000).all() and table["table_sha256"].nunique() == 1
    assert (table[["lost", "twice"]] == 0).all(axis=None)
    assert (table.loc[["workers", "scheduler", "submitter"], "finished_at_loss"] >= 3000).all()


def executor(folder):
    chosen = submitit.LocalExecutor(folder)
    chosen.update_parameters(timeout_min=10)
    return chosen


def test_a_cell_that_ends_every_job_fails_and_the_others_are_done(tmp_path):
    def run_cell(x):
        import os

        if x == 2:
            os._exit(3)
        return {"y": x * x}

    cells = [{"x": x} for x in range(5)]
    with pytest.warns(UserWarning, match="1 of 5 cells of run_cell failed"):
        table = run_sweep(run_cell, cells, tmp_path, executor=executor(tmp_path / "logs"), n_jobs=2, progress=False)
    assert table["status"].tolist() == ["ok", "ok", "error", "ok", "ok"]
    assert "3 jobs ended with this cell" in table.loc[2, "traceback"]
    assert sweep_status(tmp_path) == dict(done=4, failed=1, missing=0, damaged=0)
    assert not list((tmp_path / "jobs").iterdir())


def test_no_record_stays_of_jobs_that_outlive_their_last_cell_or_died_between_two_calls(tmp_path, monkeypatch):
    cells = [{"x": x} for x in range(3)]
    monkeypatch.setattr(engines, "_is_alive", lambda job: True)
    run_sweep(lambda x: {"y": x}, cells[:2], tmp_path, executor=executor(tmp_path / "logs"), n_jobs=2, progress=False)
    assert not list((tmp_path / "jobs").iterdir())
    monkeypatch.undo()
    dead = {"job_id": "4194305", "folder": str(tmp_path / "logs"), "cell_keys": ["0" * 16]}  # above every process id
    (tmp_path / "jobs" / "4194305.json").write_bytes(encode_record(dead))
    run_sweep(lambda x: {"y": x}, cells, tmp_path, executor=executor(tmp_path / "logs"), n_jobs=1, progress=False)
    assert not list((tmp_path / "jobs").iterdir())


def test_a_job_with_cells_of_another_call_keeps_its_record(tmp_path, monkeypatch):
    (tmp_path / "jobs").mkdir()
    other = {"job_id": "4194305", "folder": str(tmp_path / "logs"), "cell_keys": ["0" * 16]}
    (tmp_path / "jobs" / "4194305.json").write_bytes(encode_record(other))
    monkeypatch.setattr(engines, "_is_alive", lambda job: True)
    with pytest.warns(UserWarning, match="1 jobs of an earlier call still run"):
        run_sweep(lambda x: {"y": x}, [{"x": 1}], tmp_path, executor=executor(tmp_path / "logs"), n_jobs=2, progress=False)
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["4194305.json"]


def test_failures_and_damage_are_tried_again_by_jobs(tmp_path):
    gate = tmp_path / "gate"

    def run_cell(x):
        if x == 1 and not gate.exists():
            raise ValueError("shut")
        return {"y": x * x}

    cells = [{"x": x} for x in range(3)]
    with pytest.warns(UserWarning, match="1 of 3 cells"):
        run_sweep(run_cell, cells, tmp_path / "out", executor=executor(tmp_path / "logs"), n_jobs=1, progress=False)
    gate.touch()
    torn = sorted((tmp_path / "out/cells").iterdir())[0]
    torn.write_bytes(torn.read_bytes()[:40])
    with pytest.warns(UserWarning, match="1 of 3 cell files .* are damaged"):
        table = run_sweep(run_cell, cells, tmp_path / "out", executor=executor(tmp_path / "logs"), n_jobs=1, progress=False)
    assert table["y"].tolist() == [0, 1, 4] and (table["status"] == "ok").all()


def test_tasks_of_one_job_divide_its_cells(tmp_path):
    def run_cell(x):
        import os

        return {"rank": int(os.environ["SUBMITIT_LOCAL_GLOBALID"])}

    jobs = executor(tmp_path / "logs")
    jobs.update_parameters(tasks_per_node=2)
    table = run_sweep(run_cell, [{"x": x} for x in range(6)], tmp_path / "out", executor=jobs, n_jobs=1, progress=False)
    assert table["rank"].tolist() == [0, 1] * 3


def test_wrong_executors_are_refused(tmp_path, refused):
    cells = [{"x": 1}]
    with refused("executor is a str", "submitit.AutoExecutor"):
        run_sweep(lambda x: {}, cells, tmp_path, executor="slurm", experiment="e", progress=False)
    with refused("n_jobs is -1"):
        run_sweep(lambda x: {}, cells, tmp_path, executor=executor(tmp_path / "logs"), experiment="e", progress=False)
    with refused("client and executor were both given"):
        run_sweep(lambda x: {}, cells, tmp_path, executor=1, client=1, experiment="e", progress=False)
