"""Files among processes and kills: locks, leftovers, and what a lock must not touch."""

import os
import subprocess
import sys

import pytest

from spectral_jepa._files import hold_folder, lock, remove_leftovers, temporary_path, write_atomic

HOLD = """
import sys, time
from pathlib import Path
from spectral_jepa._files import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_held_folder_names_its_process_and_is_free_when_that_is_killed(holder, tmp_path, refused):
    with (
        refused(f"{tmp_path / 'run'} is in use by process {holder.pid}", "choose another folder"),
        hold_folder(tmp_path / "run"),
    ):
        raise AssertionError("held twice")
    holder.kill()
    holder.wait()
    with hold_folder(tmp_path / "run"):
        pass


def test_two_calls_in_one_process_are_two(tmp_path, refused):
    with hold_folder(tmp_path), refused(f"in use by process {os.getpid()}"), hold_folder(tmp_path):
        raise AssertionError("held twice")


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe"])
def test_a_lock_is_nobody_elses_file(tmp_path, refused, kind):
    path, victim = tmp_path / ".lock", tmp_path / "victim"
    if kind == "link":
        victim.write_text("precious")
    make = {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}.get(kind, lambda: path.symlink_to(victim))
    make()
    for hold in (lambda: lock(path), lambda: hold_folder(tmp_path)):
        with refused(f"{path} is a link or no plain file"), hold():
            raise AssertionError("held")
    assert victim.read_text() == "precious" if kind == "link" else not victim.exists()


def test_a_lock_never_empties_a_file(tmp_path):
    (tmp_path / ".lock").write_text("precious")
    with hold_folder(tmp_path):
        pass
    with lock(tmp_path / ".lock"):
        pass
    assert (tmp_path / ".lock").read_text() == "precious"


WRITE = """
import os, sys, time
from pathlib import Path
os.fsync = lambda descriptor: (print("writing", flush=True), time.sleep(60))
from spectral_jepa._files import write_atomic
write_atomic(Path(sys.argv[1]), b"x")
"""


def test_leftovers_go_and_files_being_written_stay(tmp_path):
    """A killed writer's file is swept up; a living one's, of another process, is not."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path / name)], stdout=subprocess.PIPE, text=True)
        for name in ("dead", "alive")
    ]
    assert [writer.stdout.readline() for writer in writers] == ["writing\n"] * 2
    writers[0].kill()
    writers[0].wait()
    assert len(list(tmp_path.glob(".*.tmp"))) == 2
    remove_leftovers(tmp_path)
    assert [path.name.split(".")[1] for path in tmp_path.iterdir()] == ["alive"]
    writers[1].kill()
    writers[1].wait()


def test_a_writer_whose_file_is_swept_up_at_its_birth_writes_another(tmp_path, monkeypatch):
    """The sweeper may come between the making of a file and its lock."""
    import spectral_jepa._files as files

    names = []

    def name(path):
        if names:
            names[0].unlink(missing_ok=True)
        names.append(temporary_path(path))
        return names[-1]

    claim = files._claim

    def late(file):
        if len(names) == 1:
            os.unlink(names[0])
        return claim(file)

    monkeypatch.setattr(files, "temporary_path", name)
    monkeypatch.setattr(files, "_claim", late)
    write_atomic(tmp_path / "table.csv", b"whole")
    assert len(names) == 2 and [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert (tmp_path / "table.csv").read_bytes() == b"whole"


def test_a_failed_write_names_the_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        write_atomic(tmp_path / "table.csv", b"x")
    assert caught.value.filename == str(tmp_path / "table.csv") and not list(tmp_path.iterdir())
