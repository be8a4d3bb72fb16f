"""A stopped command says one line, at whatever moment it is stopped, and its workers end with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spectral_jepa._processes import STOPPED

SLOW = '''"""Cells that take their time."""
import time

PRESETS = {"quick": {"n": list(range(400))}}


def run_cell(n):
    time.sleep(0.05)
    return {"y": n}
'''


@pytest.fixture
def command(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    arguments = ["sweep", "slow.py", "--folder", "out", "--n-jobs", "2", "--no-figures"]
    process = subprocess.Popen(
        [sys.executable, "-m", "spectral_jepa", *arguments],
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    if members(process.pid):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def members(group):
    """Processes of a group that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def wait_for(condition, seconds=60):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def n_cells(folder):
    return len(list(folder.glob("out/cells/*.json")))


MOMENTS = {
    "first import": lambda folder, process: time.sleep(0.3),
    "imports": lambda folder, process: time.sleep(1),
    "workers start": lambda folder, process: wait_for((folder / "out" / "manifest.json").exists),
    "workers import": lambda folder, process: wait_for(lambda: len(members(process.pid)) >= 4) or time.sleep(0.3),
    "cells": lambda folder, process: wait_for(lambda: n_cells(folder) >= 5),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_one_line(number, moment, command, tmp_path):
    """As a terminal does it: the whole group gets the signal."""
    MOMENTS[moment](tmp_path, command)
    os.killpg(command.pid, number)
    output, _ = command.communicate(timeout=20)
    lines = [line for line in output.splitlines() if line and "/400 [" not in line]
    assert lines == [STOPPED] and command.returncode == 128 + number


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_parent_that_is_killed_alone(number, command, tmp_path):
    wait_for(lambda: n_cells(tmp_path) >= 5)
    assert len(members(command.pid)) >= 3
    os.kill(command.pid, number)
    command.communicate(timeout=20)  # the workers hold its pipes
    wait_for(lambda: not members(command.pid), seconds=10)
    done = n_cells(tmp_path)
    time.sleep(0.3)
    assert n_cells(tmp_path) == done < 400
