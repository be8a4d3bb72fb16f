import json
import os
import shutil
import sys
import threading

import h5py
import hdf5plugin
import numpy as np
import pytest
import torch

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.data import (
    ActionScaler,
    EpisodeDataset,
    WindowSampler,
    hdf5,
    open_dataset,
    places,
    split_episodes,
    unpacking,
    write_episodes,
)

LENGTHS = [23, 7, 31, 20, 26]


def make_episode(rng, rows, size=8, action_dim=2):
    action = rng.normal(3, 2, (rows, action_dim)).astype(np.float32)
    action[-1] = np.nan
    return {
        "pixels": rng.integers(0, 256, (rows, size, size, 3), dtype=np.uint8),
        "action": action,
        "state": rng.normal(size=(rows, 3)),
    }


@pytest.fixture
def episodes():
    rng = np.random.default_rng(0)
    return [make_episode(rng, rows) for rows in LENGTHS]


def write_public_file(path, episodes, filters, libver="latest"):
    # The layout of the published files, written without the package: resizable one-row chunks, an int32 and an int64 index,
    # further columns per row, one of them text.
    with h5py.File(path, "w", libver=libver) as file:
        names = list(episodes[0])
        for name in names:
            first = episodes[0][name]
            options = filters if name == "pixels" else {}
            shape = first.shape[1:]
            file.create_dataset(name, (0, *shape), first.dtype, maxshape=(None, *shape), chunks=(1, *shape), **options)
        file.create_dataset("step_idx", (0,), np.int64, maxshape=(None,), chunks=(1,))
        file.create_dataset("variation", (0,), h5py.string_dtype(), maxshape=(None,), chunks=(1,))
        file.create_dataset("ep_len", (0,), np.int32, maxshape=(None,))
        file.create_dataset("ep_offset", (0,), np.int64, maxshape=(None,))
        row = 0
        for n, episode in enumerate(episodes):
            rows = len(episode["pixels"])
            columns = {**episode, "step_idx": np.arange(rows), "variation": np.array(["red"] * rows, dtype=object)}
            for name, values in columns.items():
                file[name].resize(row + rows, axis=0)
                file[name][row:] = values
            for name, value in (("ep_len", rows), ("ep_offset", row)):
                file[name].resize(n + 1, axis=0)
                file[name][n] = value
            row += rows
    return path


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"compression": "gzip", "compression_opts": 4, "shuffle": True},
        {"compression": "lzf"},
        dict(hdf5plugin.Blosc(cname="zstd", clevel=5)),
        dict(hdf5plugin.Blosc(cname="lz4")),
        dict(hdf5plugin.Zstd(clevel=3)),
    ],
    ids=["none", "gzip", "lzf", "blosc-zstd", "blosc-lz4", "zstd"],
)  # fmt: skip
def test_a_file_in_the_public_layout_opens_unchanged(tmp_path, episodes, filters):
    path = write_public_file(tmp_path / "tworoom.h5", episodes, filters)
    data = open_dataset(path, image_size=8, action_dim=2, columns=["state"], progress=False)
    assert sorted(data.columns) == ["action", "state", "step_idx"]
    assert data.ep_len.tolist() == LENGTHS
    for number, episode in enumerate(episodes):
        rows = data.rows(number)
        assert np.array_equal(data.pixels[rows], episode["pixels"])
        assert np.array_equal(data.columns["action"][rows], episode["action"], equal_nan=True)
        assert np.array_equal(data.columns["state"][rows], episode["state"])
        assert data.columns["step_idx"][rows].tolist() == list(range(len(rows)))


@pytest.mark.parametrize("plugin", [True, False])
def test_what_is_written_reads_back_with_plain_h5py(tmp_path, episodes, monkeypatch, plugin):
    if not plugin:
        monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    path = write_episodes(tmp_path / "data.h5", iter(episodes), {"note": "hello"})
    with h5py.File(path) as file:
        assert sorted(file) == ["action", "ep_len", "ep_offset", "pixels", "state"]
        assert file.attrs["note"] == "hello"
        assert file["pixels"].chunks == (1, 8, 8, 3)
        filters = file["pixels"]._filters
        assert ("32001" in filters) == plugin and ("gzip" in filters) != plugin
        assert file["ep_len"][:].tolist() == LENGTHS
        assert file["ep_offset"][:].tolist() == [0, 23, 30, 61, 81]
        for name in episodes[0]:
            joined = np.concatenate([episode[name] for episode in episodes])
            assert file[name].dtype == joined.dtype
            assert np.array_equal(file[name][:], joined, equal_nan=name == "action")
    assert [file.name for file in tmp_path.iterdir()] == ["data.h5"]


def test_join_copies_parts_of_one_or_of_several_compressions(tmp_path, episodes, monkeypatch):
    first = write_episodes(tmp_path / "0.h5", episodes[:2])
    second = write_episodes(tmp_path / "1.h5", episodes[2:3])
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "hdf5plugin", None)
        third = write_episodes(tmp_path / "2.h5", episodes[3:])
    joined = hdf5.join_files(tmp_path / "all.h5", [first, second, third], {})
    whole = write_episodes(tmp_path / "whole.h5", episodes)
    with h5py.File(joined) as one, h5py.File(whole) as other:
        assert sorted(one) == sorted(other)
        for name in one:
            assert np.array_equal(one[name][:], other[name][:], equal_nan=name == "action")
            assert one[name].dtype == other[name].dtype
        assert one["pixels"]._filters == other["pixels"]._filters


def test_unpacking_happens_once_and_again_for_a_changed_file(tmp_path, episodes, monkeypatch):
    path = write_episodes(tmp_path / "data.h5", episodes)
    calls, unpack = [], unpacking._unpack
    monkeypatch.setattr(unpacking, "_unpack", lambda *args: calls.append(args) or unpack(*args))
    first = open_dataset(path, progress=False)
    again = open_dataset(path, progress=False)
    assert len(calls) == 1
    assert isinstance(again.pixels, np.memmap) and np.array_equal(first.pixels, again.pixels)
    write_episodes(path, episodes[:3])
    assert open_dataset(path, progress=False).n_episodes == 3
    assert len(calls) == 2
    assert len(list(tmp_path.glob("data.h5.unpacked-*"))) == 1
    elsewhere = open_dataset(path, cache=tmp_path / "cache", progress=False)
    assert str(tmp_path / "cache") in str(elsewhere.pixels.filename)


def test_two_that_open_at_once_unpack_once(tmp_path, episodes, monkeypatch):
    path = write_episodes(tmp_path / "data.h5", episodes)
    calls, unpack, started = [], unpacking._unpack, threading.Event()

    def slow(*args):
        calls.append(args)
        started.set()
        other.join(0.5)  # long enough for the other one to be at the lock
        unpack(*args)

    monkeypatch.setattr(unpacking, "_unpack", slow)
    found = []
    other = threading.Thread(target=lambda: (started.wait(10), found.append(open_dataset(path, progress=False))))
    other.start()
    open_dataset(path, progress=False)
    other.join(20)
    assert len(calls) == 1 and found[0].n_episodes == len(LENGTHS)


def test_an_interrupted_unpacking_leaves_nothing_that_counts(tmp_path, episodes, monkeypatch):
    path = write_episodes(tmp_path / "data.h5", episodes)
    before = set(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            open_dataset(path, progress=False)
    assert {file.name for file in set(tmp_path.iterdir()) - before} <= {".data.h5.lock"}
    # A kill leaves the temporary folder behind; the next one removes it.
    (tmp_path / ".data.h5.unpacked-0123.abc.tmp").mkdir()
    assert open_dataset(path, progress=False).n_episodes == len(LENGTHS)
    assert not list(tmp_path.glob(".*.tmp"))


def rewrite(path, **changes):
    with h5py.File(path, "a") as file:
        for name, values in changes.items():
            del file[name]
            if values is not None:
                file[name] = values


@pytest.mark.parametrize(
    ("spoil", "arguments", "words"),
    [
        (lambda p: p.unlink(), {}, "there is no file"),
        (lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]), {}, "is truncated at"),
        (lambda p: p.write_bytes(b"not HDF5 at all" * 100), {}, "is not a whole HDF5 file at 1500 bytes"),
        (lambda p: rewrite(p, pixels=None), {}, "has no column 'pixels', expected it among action, ep_len,"),
        (lambda p: rewrite(p, ep_offset=None), {}, "has no column 'ep_offset'"),
        (lambda p: None, {"columns": ["block_angle"]}, "has no column 'block_angle'"),
        (lambda p: None, {"image_size": 224}, "has pictures of 8 x 8 pixels, expected 224 x 224"),
        (lambda p: None, {"action_dim": 5}, "has 2-dimensional actions, expected 5"),
        (lambda p: rewrite(p, action=np.zeros((9, 2))), {}, "has action (9, 2), expected (107, action dimension)"),
        (lambda p: rewrite(p, pixels=np.zeros((107, 8, 8, 3))), {}, "has pixels float64 (107, 8, 8, 3), expected uint8"),
        (lambda p: rewrite(p, ep_len=np.array([23, 7, 31, 20, 27])), {}, "episode 4 is rows 81 to 108, expected"),
        (lambda p: rewrite(p, ep_len=np.array([23])), {}, "has 1 ep_len and 5 ep_offset"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_sentence(tmp_path, episodes, spoil, arguments, words):
    path = write_episodes(tmp_path / "data.h5", episodes)
    spoil(path)
    with pytest.raises(InputError) as error:
        open_dataset(path, progress=False, **arguments)
    assert words in str(error.value)
    assert str(error.value).count("\n") == 0
    assert not list(tmp_path.glob("*unpacked*"))


def test_h5py_missing_is_one_sentence(tmp_path, episodes, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"need the package 'h5py'.*pip install 'spectral-jepa\[pixels\]'"):
        write_episodes(tmp_path / "data.h5", episodes)
    with pytest.raises(InputError, match="'h5py'"):
        open_dataset(tmp_path / "data.h5")


def test_a_read_error_says_whether_a_filter_is_missing():
    with pytest.raises(InputError, match=r"compressed with a filter.*pip install"), unpacking._reading("x.h5"):
        raise OSError("Can't synchronously read data (required filter 'blosc' is not registered)")
    with pytest.raises(InputError, match=r"x\.h5 cannot be read to its end"), unpacking._reading("x.h5"):
        raise OSError("Can't synchronously read data (addr overflow)")


def test_no_room_and_no_permission_are_one_sentence(tmp_path, episodes, monkeypatch):
    path = write_episodes(tmp_path / "data.h5", episodes)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 1000))
        with pytest.raises(InputError, match=r"has 0\.0 GiB free: pass --cache FOLDER"):
            open_dataset(path, progress=False)
    monkeypatch.setattr(places, "_is_writable", lambda folder: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    with pytest.raises(InputError, match=r"cannot be written to.*pass --cache FOLDER"):
        open_dataset(path, progress=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": None}, "episode 2 has columns {'pixels': (8, 8, 3), 'action': (2,)}, expected"),
        ({"action": np.zeros((31, 5), np.float32)}, "episode 2 has columns"),
        ({"action": np.zeros((30, 2), np.float32)}, "episode 2 has columns of lengths"),
    ],
)
def test_a_ragged_episode_is_one_sentence_and_leaves_no_file(tmp_path, episodes, change, words):
    episodes[2] = {name: values for name, values in {**episodes[2], **change}.items() if values is not None}
    with pytest.raises(InputError) as error:
        write_episodes(tmp_path / "data.h5", episodes)
    assert words in str(error.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="there are no episodes to write"):
        write_episodes(tmp_path / "data.h5", [])


def test_split_is_by_episode_and_recorded(tmp_path, episodes):
    parts = split_episodes(600, seed=1)
    assert {name: len(ids) for name, ids in parts.items()} == {"train": 480, "validation": 60, "test": 60}
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(600))
    assert {name: len(ids) for name, ids in split_episodes(12, 0).items()} == {"train": 10, "validation": 1, "test": 1}
    assert not np.array_equal(split_episodes(600, seed=2)["test"], parts["test"])

    path = write_episodes(tmp_path / "data.h5", episodes)
    data = open_dataset(path, progress=False)
    first = data.split()
    # Whatever seed is asked for later, the record stands.
    for seed in range(5):
        assert all(np.array_equal(data.split(seed)[name], first[name]) for name in first)
    assert json.loads((tmp_path / "data.h5.split.json").read_text())["test"] == first["test"].tolist()

    write_episodes(path, episodes[:4])
    with pytest.raises(InputError, match="splits 5 episodes, expected the 4 of"):
        open_dataset(path, progress=False).split()
    (tmp_path / "data.h5.split.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        open_dataset(path, progress=False).split()
    with pytest.raises(InputError, match="n_episodes is 2, expected at least 3"):
        split_episodes(2, 0)


def test_scaler_is_the_z_score_of_the_training_episodes(episodes):
    data = EpisodeDataset.from_episodes(episodes)
    scaler = ActionScaler.from_dataset(data, [0, 3])
    values = np.concatenate([episodes[i]["action"][:-1] for i in (0, 3)]).astype(np.float64)
    mean = values.sum(0) / 41
    np.testing.assert_allclose(scaler.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(scaler.std, np.sqrt(((values - mean) ** 2).sum(0) / 40), rtol=1e-12)
    normal = scaler.normalize(torch.tensor(values))
    np.testing.assert_allclose(normal.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(scaler.denormalize(normal), values, rtol=1e-12)
    assert scaler.normalize(values.astype(np.float32)).dtype == np.float32
    assert ActionScaler.from_dict(json.loads(json.dumps(scaler.to_dict()))) == scaler
    with pytest.raises(InputError, match="have 0 complete rows"):
        ActionScaler.fit(np.full((3, 2), np.nan))


def naive_windows(episodes, chosen, n_frames, block):
    offset = np.cumsum([0, *LENGTHS])
    return [int(offset[e]) + s for e in chosen for s in range(LENGTHS[e]) if s + n_frames * block <= LENGTHS[e]]


@pytest.mark.parametrize("resident", [False, True])
def test_an_epoch_visits_windows_once_with_the_right_content(episodes, resident):
    data, chosen = EpisodeDataset.from_episodes(episodes), [4, 0, 1, 3]
    sampler = WindowSampler(data, chosen, batch_size=4, seed=3, resident=resident)
    starts = naive_windows(episodes, chosen, 4, 5)
    assert len(starts) == 7 + 4 + 0 + 1 == sampler.n_windows
    assert sampler.steps_per_epoch == 3
    values = np.concatenate([episodes[e]["action"] for e in chosen])
    mean, std = np.nanmean(values, 0), np.nanstd(values, 0, ddof=1)
    pixels = np.concatenate([episode["pixels"] for episode in episodes])
    action = np.concatenate([episode["action"] for episode in episodes])
    orders = []
    for epoch in range(2):
        seen = []
        for _ in range(3):
            assert sampler.epoch == epoch
            before = sampler.state_dict()
            rows = sampler.next_starts()
            sampler.load_state_dict(before)
            frames, blocks = sampler.batch()
            assert frames.dtype == torch.uint8 and blocks.dtype == torch.float32
            for s, clip, block in zip(rows, frames, blocks, strict=True):
                assert np.array_equal(clip, pixels[[s, s + 5, s + 10, s + 15]])
                expected = np.concatenate([np.where(np.isnan(a), 0, (a - mean) / std) for a in action[s : s + 20]])
                np.testing.assert_allclose(block.reshape(-1), expected, atol=1e-5)
            seen.extend(rows.tolist())
        assert sorted(seen) == sorted(starts)
        orders.append(seen)
    assert orders[0] != orders[1]


def test_a_window_ends_with_the_padded_action_of_the_last_row(episodes):
    data = EpisodeDataset.from_episodes(episodes)
    _, blocks = WindowSampler(data, [3], batch_size=1).batch()  # 20 rows: exactly one window
    assert blocks[0, 3, -2:].tolist() == [0.0, 0.0]
    assert (blocks[0].flatten()[:-2] != 0).all()


def test_a_saved_cursor_resumes_exactly(episodes):
    data = EpisodeDataset.from_episodes(episodes)

    def make(**options):
        return WindowSampler(data, [0, 2, 4], batch_size=5, seed=7, **options)

    whole = make()
    expected = [whole.next_starts() for _ in range(17)]
    assert len({tuple(starts) for starts in expected}) == 17
    for cut in (0, 1, 4, 5, 9):
        first = make()
        for _ in range(cut):
            first.next_starts()
        second = make()
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        for starts in expected[cut:]:
            assert np.array_equal(second.next_starts(), starts)
    with pytest.raises(InputError, match="saved n_windows is 23, expected 16"):
        WindowSampler(data, [0, 2], batch_size=5, seed=7).load_state_dict(whole.state_dict())
    with pytest.raises(InputError, match="saved seed is 7, expected 8"):
        WindowSampler(data, [0, 2, 4], batch_size=5, seed=8).load_state_dict(whole.state_dict())


def test_ranks_share_the_joint_batch(episodes):
    data = EpisodeDataset.from_episodes(episodes)
    single = WindowSampler(data, [0, 2, 4], batch_size=6, seed=1)
    ranks = [WindowSampler(data, [0, 2, 4], batch_size=6, seed=1, rank=r, world_size=3) for r in range(3)]
    for _ in range(8):
        frames, blocks = single.batch()
        shares = [rank.batch() for rank in ranks]
        assert all(len(share[0]) == 2 for share in shares)
        assert torch.equal(torch.cat([share[0] for share in shares]), frames)
        assert torch.equal(torch.cat([share[1] for share in shares]), blocks)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 100}, "5 episodes have 24 windows of 20 steps, expected at least one batch of 100"),
        ({"batch_size": 4, "world_size": 3}, "batch_size is 4 for 3 processes, expected a multiple"),
        ({"batch_size": 4, "rank": 2, "world_size": 2}, "rank is 2, expected between 0 and 1"),
        ({"batch_size": 4, "episodes": [9]}, "episodes[0] is 9, expected a recorded episode between 0 and 4"),
        ({"batch_size": 4, "episodes": []}, "episodes is empty"),
    ],
)
def test_an_impossible_sampler_is_one_sentence(episodes, options, words):
    options = {"episodes": np.arange(5), **options}
    with pytest.raises(InputError) as error:
        WindowSampler(EpisodeDataset.from_episodes(episodes), **options)
    assert words in str(error.value)
