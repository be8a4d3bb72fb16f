"""What the system refuses is one sentence with the path and a remedy, exit status 2, and never a crash of a library."""

import errno
import subprocess
import sys

import pytest

from spectral_jepa import cli
from spectral_jepa._validation import system_problem


def run(folder, *arguments, limit="unlimited"):
    command = f'ulimit -S -f {limit}; exec "$0" -m spectral_jepa "$@"'
    words = ["bash", "-c", command, sys.executable, *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("kib", [20, 100, 150])
def test_collect_under_a_limit_of_file_size_is_one_sentence(kib, tmp_path):
    """HDF5 crashes of a write that fails while it closes (SIGSEGV, exit 139)."""
    done = run(tmp_path, "pixels", "collect", "--preset", "tiny", "--n-jobs", "1", limit=kib)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "00000000.h5: file too large, expected" in last and "ulimit -f" in last
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".h5", ".tmp")]


@pytest.mark.parametrize(
    ("number", "said", "remedy"),
    [
        (errno.ENOSPC, "no space left on device", "free some"),
        (errno.EDQUOT, "quota", "free some"),
        (errno.EROFS, "read-only file system", "a folder of your own"),
        (errno.EACCES, "permission denied", "a folder of your own"),
        (errno.ENAMETOOLONG, "file name too long", "shorten it"),
        (errno.ENOTDIR, "not a directory", "choose another path"),
        (errno.EISDIR, "is a directory", "choose another path"),
        (errno.EFBIG, "file too large", "ulimit -f"),
        (errno.EMFILE, "too many open files", "ulimit -n"),
        (errno.EIO, "input/output error", "look at it"),
        (errno.ENOENT, "no such file or directory", "check the path"),
        (errno.ETIMEDOUT, "timed out", "again"),
    ],
)
def test_an_error_of_the_system_ends_a_command_in_one_sentence(number, said, remedy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def refuse(descriptor):
        raise OSError(number, __import__("os").strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(SystemExit) as stop:
        cli.main(["spectrum", "ring"])
    error = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and len(error.splitlines()) == 1
    assert error.startswith("spectral-jepa: results/spectrum/ring.png: ") and said in error.lower() and remedy in error


def test_real_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for arguments, said in (
        (["spectrum", "ring", "--out", "file"], "file: file exists"),
        (["spectrum", "ring", "--out", "file/below"], "file/below: not a directory"),
        (["spectrum", "ring", "--out", "x" * 300], "file name too long"),
        (["sweep", "spectra", "--folder", "file"], "is or lies under a file"),
        (["pixels", "collect", "--preset", "tiny", "--out", "file/data.h5"], "file is a file"),
        (["repro", "--check"], "paper_repro.md"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        error = capsys.readouterr().err.strip()
        assert stop.value.code == 2 and len(error.splitlines()) == 1 and said in error and ", expected" in error, error


def test_a_full_memory_is_one_sentence(monkeypatch, capsys):
    for error in (
        MemoryError("Unable to allocate 8.00 GiB for an array"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    ):
        assert "the memory is full" in system_problem(error) and "expected memory" in system_problem(error)

    def fill(*arguments):
        raise MemoryError

    monkeypatch.setattr(cli, "_build_world", fill)
    with pytest.raises(SystemExit) as stop:
        cli.main(["spectrum", "ring"])
    assert stop.value.code == 2 and capsys.readouterr().err.startswith("spectral-jepa: the memory is full, expected")


def test_a_mistake_in_the_code_is_still_a_traceback(monkeypatch):
    def break_(*arguments):
        raise TypeError("a bug")

    monkeypatch.setattr(cli, "_build_world", break_)
    with pytest.raises(TypeError):
        cli.main(["spectrum", "ring"])
