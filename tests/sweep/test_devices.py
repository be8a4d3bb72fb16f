"""One process, one GPU; no machine of the tests has one, so that their names are what is given out."""

import os
import subprocess
import sys

import pytest

from spectral_jepa.sweep import run_sweep
from spectral_jepa.sweep.devices import cell_device, visible_gpus

CLAIM = """
import sys
from spectral_jepa.sweep.devices import cell_device, claim_gpu
before = cell_device()
print(claim_gpu(), claim_gpu(), before, cell_device(), flush=True)
input()
"""


def run_cell(n):
    import os
    import time

    from spectral_jepa.sweep.devices import cell_device

    time.sleep(0.1)
    return {"gpu": os.environ["CUDA_VISIBLE_DEVICES"], "pid": os.getpid(), "device": cell_device()}


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """Three cards, and a folder of locks of this test's own."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,GPU-7f/a")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return ["3", "5", "GPU-7f/a"]


def start():
    return subprocess.Popen([sys.executable, "-c", CLAIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


def test_no_two_processes_share_a_card_and_a_killed_one_frees_its_own(gpus):
    assert visible_gpus() == gpus
    processes = [start() for _ in range(3)]
    lines = [process.stdout.readline().split() for process in processes]
    assert sorted(line[0] for line in lines) == sorted(gpus)
    assert all(line[0] == line[1] and line[2:] == ["cpu", "cuda"] for line in lines)
    late = start()
    _, error = late.communicate()
    assert late.returncode and "all 3 of 3, 5, GPU-7f/a are held by other workers" in error
    processes[1].kill()
    processes[1].communicate()
    successor = start()
    assert successor.stdout.readline().split()[0] == lines[1][0]
    for process in (processes[0], processes[2], successor):
        process.communicate("\n")


def test_each_worker_of_a_sweep_has_one(gpus, tmp_path):
    cells = [{"n": n} for n in range(8)]
    table = run_sweep(run_cell, cells, tmp_path / "out", n_jobs=2, gpu=True, progress=False)
    assert (table["status"] == "ok").all(), table["traceback"].iloc[0]
    pairs = set(zip(table["pid"], table["gpu"], strict=True))
    assert 1 <= len(pairs) == table["pid"].nunique() == table["gpu"].nunique() <= 2
    assert set(table["gpu"]) <= set(gpus) and set(table["device"]) == {"cuda"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,5,GPU-7f/a" and cell_device() == "cpu"


def test_without_being_asked_no_worker_takes_one(gpus, tmp_path):
    table = run_sweep(run_cell, [{"n": 0}], tmp_path / "out", n_jobs=1, progress=False)
    assert table["device"].tolist() == ["cpu"] and table["gpu"].tolist() == ["3,5,GPU-7f/a"]


def test_more_workers_than_cards_are_refused(gpus, tmp_path, refused, monkeypatch):
    cells = [{"n": n} for n in range(8)]
    with refused("n_jobs is 4 and this machine shows 3 GPUs", "--gpu"):
        run_sweep(run_cell, cells, tmp_path, n_jobs=4, gpu=True, progress=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with refused("this machine shows 0 GPUs"):
        run_sweep(run_cell, cells, tmp_path, gpu=True, progress=False)
