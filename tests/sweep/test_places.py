"""Results elsewhere: a memory file system, and, where its packages are installed, a local server of S3."""

import os
import subprocess
import sys
import uuid

import pytest

from spectral_jepa._validation import InputError
from spectral_jepa.sweep import results, run_sweep, sweep_status
from spectral_jepa.sweep.cells import load_cells
from spectral_jepa.sweep.places import LocalPlace, RemotePlace, open_place

CELLS = [{"x": x} for x in range(5)]


def square(x):
    return {"y": x * x, "third": x / 3}


@pytest.fixture
def url():
    fsspec = pytest.importorskip("fsspec")
    name = uuid.uuid4().hex
    yield f"memory://{name}/sweep"
    if fsspec.filesystem("memory").exists(f"/{name}"):
        fsspec.filesystem("memory").rm(f"/{name}", recursive=True)


def test_the_same_table_in_memory_and_in_a_folder(url, tmp_path):
    there = run_sweep(square, CELLS, url, n_jobs=1, progress=False)
    here = run_sweep(square, CELLS, tmp_path, n_jobs=1, progress=False)
    assert there.attrs["summary"] == here.attrs["summary"] and there["y"].tolist() == [0, 1, 4, 9, 16]
    assert results.digest(results.read_table(url)) == (tmp_path / "table.sha256").read_text().strip()
    assert results.read_manifest(url)["n_cells"] == 5
    again = run_sweep(square, CELLS, url, n_jobs=1, progress=False)
    assert again.attrs["summary"]["cached"] == 5


def test_a_torn_object_is_damaged_and_computed_again(url):
    run_sweep(square, CELLS, url, n_jobs=1, progress=False)
    place = open_place(url)
    name = sorted(place.names())[0]
    place.write(f"cells/{name}", place.read(f"cells/{name}")[:50])
    place.remove(["table.parquet"])
    assert sweep_status(url) == dict(done=4, failed=0, missing=0, damaged=1)
    with pytest.warns(UserWarning, match=r"memory://.*/table.parquet is missing, so the table was rebuilt from 4 of 5"):
        results.read_table(url)
    with pytest.warns(UserWarning, match="1 of 5 cell files in memory://"):
        table = run_sweep(square, CELLS, url, n_jobs=1, progress=False)
    assert table.attrs["summary"]["damaged"] == 1 and table["y"].tolist() == [0, 1, 4, 9, 16]


def test_overwrite_forgets_and_failures_are_tried_again(url):
    gate = []

    def run_cell(x):
        if x == 1 and not gate:
            raise ValueError("shut")
        return {"y": len(gate)}

    with pytest.warns(UserWarning, match="1 of 5 cells"):
        run_sweep(run_cell, CELLS, url, n_jobs=1, progress=False)
    gate.append(1)
    assert run_sweep(run_cell, CELLS, url, n_jobs=1, progress=False)["y"].tolist() == [0, 1, 0, 0, 0]
    assert run_sweep(run_cell, CELLS, url, n_jobs=1, progress=False, overwrite=True)["y"].tolist() == [1] * 5
    assert len(load_cells(url, results.read_manifest(url)["cell_keys"])[0]) == 5


def test_another_sweep_is_refused_there_as_here(url, refused):
    run_sweep(square, CELLS, url, n_jobs=1, progress=False)
    with refused("memory://", "holds the sweep 'square' but this is 'other'"):
        run_sweep(square, CELLS, url, experiment="other", n_jobs=1, progress=False)


def test_a_local_folder_is_held_and_a_remote_place_is_not(url, tmp_path, refused):
    local, remote = open_place(tmp_path), open_place(url)
    with local.hold(), refused("is in use by"), local.hold():
        pass
    with remote.hold(), remote.hold():
        pass


def test_what_an_address_is(tmp_path, refused):
    assert open_place(f"file://{tmp_path}") == open_place(str(tmp_path)) == LocalPlace(tmp_path.resolve())
    assert open_place("memory://one/two/") == RemotePlace("memory://one/two")
    with refused("lost a slash"):
        from pathlib import Path

        open_place(Path("s3://bucket/sweep"))
    with refused("Protocol not known: nowhere"):
        run_sweep(square, CELLS, "nowhere://bucket", progress=False)
    with refused("does not exist"):
        results.read_table("memory://no/such/place")


def test_storage_that_refuses_is_one_sentence(monkeypatch, url, refused):
    import fsspec.implementations.memory

    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "pipe_file", refuse)
    with refused("cannot be written to (PermissionError: read-only)", "credentials"):
        run_sweep(square, CELLS, url, n_jobs=1, progress=False)


def test_pictures_of_a_remote_sweep_go_to_this_machine(url, tmp_path, monkeypatch, capsys):
    from spectral_jepa.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        '"""Own."""\nPRESETS = {"quick": {"x": [1, 2]}}\ndef run_cell(x):\n    return {"y": x}\n'
    )
    main(["sweep", "own.py", "--folder", url, "--n-jobs", "1", "--no-figures"])
    main(["status", "own.py", "--folder", url])
    main(["sweep", "own.py", "--folder", url, "--dry-run"])
    said = capsys.readouterr().out
    assert f"Table: {url}/table.csv" in said and "quick: 2 done, 0 failed" in said and "0 of 2 cells to run" in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".py") in ([], ["__pycache__"])


SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
print(server.get_host_and_port()[1], flush=True)
input()
"""


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """An S3 server of this machine, and a bucket; in a process of its own, because workers ask it, too."""
    for package in ("moto", "s3fs", "flask"):
        pytest.importorskip(package)
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lines = iter(server.stdout.readline, "")
    port = next(line.strip() for line in lines if line.strip().isdecimal())
    for name in ("KEY", "SECRET"):
        monkeypatch.setenv(f"FSSPEC_S3_{name}", "test")
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    import fsspec.config

    monkeypatch.setattr(fsspec.config, "conf", {})
    fsspec.config.set_conf_env(fsspec.config.conf)
    fsspec.filesystem("s3").mkdir("bucket")
    yield "s3://bucket/sweep"
    server.kill()
    server.communicate()


def test_s3_gives_the_same_table_from_two_workers(bucket, tmp_path):
    there = run_sweep(square, CELLS, bucket, n_jobs=2, progress=False)
    here = run_sweep(square, CELLS, tmp_path, n_jobs=1, progress=False)
    assert there.attrs["summary"]["digest"] == here.attrs["summary"]["digest"] and os.environ["FSSPEC_S3_KEY"] == "test"
    assert results.digest(results.read_table(bucket)) == results.digest(here)
    assert sweep_status(bucket) == dict(done=5, failed=0, missing=0, damaged=0)
    assert run_sweep(square, CELLS, bucket, n_jobs=1, progress=False).attrs["summary"]["cached"] == 5
    with pytest.raises(InputError, match="cannot be written to"):
        run_sweep(square, CELLS, "s3://no-such-bucket/sweep", n_jobs=1, progress=False)
