"""A changed byte in a file that was derived is noticed: made again where that is possible, one sentence where it is not."""

import random
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from torch import nn

from spectral_jepa import cli
from spectral_jepa._files import read_checked, read_csv, read_json, write_checked
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import DataConfig
from spectral_jepa.pixels.data import collect as collecting
from spectral_jepa.pixels.data import open_dataset, unpacking
from spectral_jepa.pixels.diagnostics.latents import embed_rows
from spectral_jepa.training import TrainingLog

CONFIG = DataConfig(n_episodes=6, max_steps=20, image_size=16, seed=5)
FLIPS = 12


def flip(path, rng):
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def content(dataset):
    return [np.asarray(dataset.pixels).tobytes(), *(np.asarray(values).tobytes() for values in dataset.columns.values())]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return collecting.collect(CONFIG, tmp_path_factory.mktemp("data") / "data.h5", n_jobs=1, progress=False)


@pytest.fixture(scope="module")
def whole(data):
    return content(open_dataset(data, progress=False))


@pytest.mark.parametrize("column", ["pixels", "action", "ep_len"])
def test_an_unpacked_column_that_changed_is_unpacked_again(column, data, whole):
    (path,) = data.parent.glob(f"data.h5.unpacked-*/{column}.npy")
    rng = random.Random(0)
    for _ in range(FLIPS):
        flip(path, rng)
        with pytest.warns(UserWarning, match="does not match its SHA256SUMS: unpacked again"):
            dataset = open_dataset(data, progress=False)
        assert content(dataset) == whole


def test_data_that_changed_are_refused_or_read_right(data, whole, tmp_path):
    """HDF5 without Fletcher32 gave other pictures in 7 of 20 trials."""
    rng, good, refusals = random.Random(1), data.read_bytes(), 0
    for trial in range(2 * FLIPS):
        path = tmp_path / str(trial) / "data.h5"
        path.parent.mkdir()
        path.write_bytes(good)
        flip(path, rng)
        try:
            assert content(open_dataset(path, progress=False)) == whole
        except InputError:
            refusals += 1
    assert refusals > FLIPS


def test_every_column_has_a_checksum(data):
    with h5py.File(data) as file:
        assert all(column.fletcher32 for column in file.values()) and len(file) == 6


def test_parts_that_changed_are_collected_again(data, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(collecting, "join_files", stop)
        with pytest.raises(KeyboardInterrupt):
            collecting.collect(CONFIG, tmp_path / "p" / "d.h5", n_jobs=1, progress=False)
    rng = random.Random(2)
    for trial in range(FLIPS // 2):
        folder = tmp_path / str(trial)
        shutil.copytree(tmp_path / "p", folder)
        flip(next(iter((folder / "d.h5.parts").glob("*.h5"))), rng)
        again = collecting.collect(CONFIG, folder / "d.h5", n_jobs=1, progress=False)
        assert content(open_dataset(again, progress=False)) == content(open_dataset(data, progress=False))


def test_kept_embeddings_that_changed_are_computed_again(data, tmp_path):
    class Mean(nn.Module):
        def encode(self, frames):
            return frames.float().mean((1, 2))

    dataset, rows, rng = open_dataset(data, progress=False), np.arange(40), random.Random(3)
    first = embed_rows(Mean(), dataset, rows, cache=tmp_path)
    (path,) = tmp_path.glob("*.npy")
    good = path.read_bytes()
    for _ in range(FLIPS):
        flip(path, rng)
        assert embed_rows(Mean(), dataset, rows, cache=tmp_path).tobytes() == first.tobytes()
        assert path.read_bytes() == good


def test_log_rows_that_changed_are_refused_when_a_run_resumes(tmp_path, refused):
    with TrainingLog(tmp_path) as log:
        for step in range(1, 9):
            log.write(step, loss=1 / step, **({"late": 0.5} if step > 3 else {}))
        digest = log.digest
        log.write(9, loss=0.0)  # after the checkpoint
    path, rng = tmp_path / "log.csv", random.Random(4)
    good = path.read_bytes()
    with TrainingLog(tmp_path, 8, digest) as log:
        assert len(log.rows) == 8
    used = 0
    for _ in range(2 * FLIPS):
        path.write_bytes(good)
        flip(path, rng)
        if path.read_bytes().startswith(good[: good.index(b"\n9,")]):
            continue  # a row that comes again
        with refused(f"{path} does not hold the rows up to step 8", "or remove it"):
            TrainingLog(tmp_path, 8, digest)
        used += 1
    assert used > FLIPS
    path.unlink()
    with TrainingLog(tmp_path, 8, digest) as log:  # the remedy is there
        assert log.rows == []


def test_a_table_that_changed_is_refused_and_can_be_taken_as_it_is(tmp_path, refused):
    path, rng = tmp_path / "probe.csv", random.Random(5)
    table = pd.DataFrame({"r2": [0.5, 0.25], "name": ["x", "y"]})
    for _ in range(FLIPS):
        write_checked(path, table.to_csv(index=False).encode())
        pd.testing.assert_frame_equal(read_csv(path, ["r2"], "measure again"), table)
        flip(path, rng)
        with refused("does not match its digest in probe.csv.sha256", "measure again"):
            read_checked(path, "measure again")
    (tmp_path / "probe.csv.sha256").unlink()
    read_checked(path, "measure again")


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"[]", b"{}", b"3", b'{"data": 1', b"[" * 100_000])
def test_json_that_is_damaged_is_one_sentence(text, tmp_path, refused):
    (tmp_path / "config.json").write_bytes(text)
    with refused("config.json", "an object with data: train again"):
        read_json(tmp_path / "config.json", ["data"], "train again")


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff\xfe\x00", b"a,b\n1,2,3\n4\n1,2,3,4\n", b"other\n1\n"])
def test_csv_that_is_damaged_is_one_sentence(text, tmp_path, refused):
    (tmp_path / "probe.csv").write_bytes(text)
    with refused("probe.csv", "expected a CSV table with r2: measure again"):
        read_csv(tmp_path / "probe.csv", ["r2"], "measure again")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        cli.main(["pixels", "collect", "--preset", "tiny", "--n-jobs", "1"])
        cli.main(["pixels", "train", "--preset", "tiny", "--set", "training.n_steps", "2"])
    (folder / "results/pixels/two_room-tiny/sigreg-0/probe.csv").write_text("quantity,probe\n")
    return folder


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        ("SHA256SUMS", b"x" * 20, ["evaluate"]),
        ("SHA256SUMS", b"", ["probe"]),
        ("config.json", b"", ["probe"]),
        ("config.json", b"\xff\xfe", ["report"]),
        ("config.json", b"{}", ["surprise"]),
        ("log.csv", b"", ["report", "--decoder-steps", "1"]),
        ("probe.csv", b"", ["report", "--decoder-steps", "1"]),
    ],
)
def test_damaged_files_of_a_run_are_one_sentence(name, text, command, trained, tmp_path, monkeypatch, capsys):
    shutil.copytree(trained, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    run = "results/pixels/two_room-tiny/sigreg-0"
    (tmp_path / "copy" / run / name).write_bytes(text)
    with pytest.raises(SystemExit) as stop:
        cli.main(["pixels", command[0], run, *command[1:]])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and error.startswith("spectral-jepa: ") and ", expected" in error


def test_a_large_column_is_read_again_where_it_was_touched(data, whole, monkeypatch):
    """Above the limit, a flip through the file system is seen, by its time; one below it, on the disk itself, is not."""
    read = []
    monkeypatch.setattr(unpacking, "ALWAYS_READ_BYTES", 0)
    digest = unpacking.file_digest
    monkeypatch.setattr(unpacking, "file_digest", lambda path: read.append(path.name) or digest(path))
    assert content(open_dataset(data, progress=False)) == whole and read == []
    (path,) = data.parent.glob("data.h5.unpacked-*/pixels.npy")
    flip(path, random.Random(6))
    with pytest.warns(UserWarning, match="unpacked again"):
        assert content(open_dataset(data, progress=False)) == whole
    assert set(read) == {"pixels.npy"}
