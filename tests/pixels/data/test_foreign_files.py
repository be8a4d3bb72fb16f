"""Files that users have: which environment they come from, what they may hold, where what is derived from them goes."""

import contextlib
import errno
import gzip
import importlib.util
import json
import os
import warnings
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import DataConfig, EvaluationConfig
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset, open_dataset, places, write_episodes
from spectral_jepa.pixels.data import collect as collecting
from spectral_jepa.pixels.data.collect import collect, collect_episodes
from spectral_jepa.pixels.data.hdf5 import join_files
from spectral_jepa.pixels.data.origin import asked_environment, check_actions, check_origin, check_replay, fit_for_simulation
from spectral_jepa.pixels.environments import environment_class, make_environment
from spectral_jepa.pixels.evaluation.evaluate import evaluate
from spectral_jepa.pixels.evaluation.manifest import make_manifest
from spectral_jepa.pixels.planning.policies import RandomPolicy

SIZE, ROWS = 16, 41
NEEDS = {"two_room": "torch", "push_t": "gym_pusht", "reacher": "dm_control", "cube": "ogbench"}


def recorded(environment="two_room", n=4, policy="random", size=SIZE):
    config = DataConfig(
        environment=environment, n_episodes=n, max_steps=ROWS - 1, image_size=size, policy=policy, seed=1
    )  # fmt: skip
    return list(collect_episodes(config, range(n)))


@pytest.fixture(scope="module")
def rooms():
    return recorded()


def write(path, episodes, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    lengths = np.array([len(episode["pixels"]) for episode in episodes])
    columns = {name: np.concatenate([episode[name] for episode in episodes]) for name in episodes[0]}
    columns |= {"ep_len": lengths, "ep_offset": np.cumsum(lengths) - lengths} | changes
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            if values is not None:
                file[name] = values
    return path


# Which environment


def test_collected_data_carry_their_environment(tmp_path):
    config = DataConfig(n_episodes=3, max_steps=20, image_size=SIZE)
    data = open_dataset(collect(config, tmp_path / "data.h5", n_jobs=1, progress=False), progress=False)
    world = environment_class("two_room")
    place = "spectral_jepa.pixels.environments.two_room:TwoRoomEnvironment"
    assert data.origin == {"name": "two_room", "digest": world.digest(), "class": place}
    assert asked_environment(data.origin) == "two_room"
    check_origin(data, "two_room")
    check_origin(data, place)
    with pytest.raises(InputError, match=r"comes from 'two_room', expected 'reacher': .*--environment two_room"):
        check_origin(data, "reacher")
    with pytest.raises(InputError, match=r"another version of 'two_room'"):
        check_origin(replace(data, origin={"name": "two_room", "digest": "0" * 16}), "two_room")


def test_the_digest_holds_dimensions_and_bounds():
    class Other(environment_class("two_room")):
        action_high = 2.0

    digests = {environment_class(name).digest() for name in NEEDS} | {Other.digest()}
    assert len(digests) == 5


def test_a_file_of_an_earlier_version_has_the_name(tmp_path, rooms):
    path = write_episodes(tmp_path / "old.h5", rooms, {"config": json.dumps({"environment": "two_room"})})
    assert open_dataset(path, progress=False).origin == {"name": "two_room"}
    odd = write_episodes(tmp_path / "odd.h5", rooms, {"config": "not JSON"})
    assert open_dataset(odd, progress=False).origin is None


@pytest.mark.parametrize("scale", [1 / 224, 1e-3, 40.0])
def test_a_foreign_file_that_moves_otherwise_is_refused(rooms, scale):
    foreign = [{**episode, "state": episode["state"] * scale} for episode in rooms]
    with pytest.raises(InputError, match="does not say which environment it comes from, and 'two_room' is not it"):
        fit_for_simulation(EpisodeDataset.from_episodes(foreign), "two_room", make_environment("two_room", SIZE))


def test_a_random_walk_of_two_numbers_is_no_two_room(rooms):
    rng = np.random.default_rng(0)
    foreign = [{**episode, "state": 60 + np.cumsum(rng.normal(size=(ROWS, 2)), 0)} for episode in rooms]
    with pytest.raises(InputError, match="goes elsewhere than the recording"):
        check_replay(EpisodeDataset.from_episodes(foreign), make_environment("two_room", SIZE))
    # Data that carry their environment are not asked again.
    check_replay(replace(EpisodeDataset.from_episodes(foreign), origin={"name": "two_room"}), SimpleNamespace())


PUBLISHED = {
    "two_room": [
        lambda e: {"pos_agent": e["state"].astype(np.float32), "pos_target": np.full((ROWS, 2), 180, np.float32)},
        lambda e: {"proprio": e["state"].astype(np.float32)},
    ],
    "push_t": [
        lambda e: {"state": e["state"][:, :7].astype(np.float32), "proprio": e["state"][:, :4].astype(np.float32)},
        lambda e: {"state": np.where(np.arange(7) == 4, e["state"][:, :7] % (2 * np.pi), e["state"][:, :7])},
    ],
    "reacher": [lambda e: {"qpos": e["state"][:, :2], "qvel": e["state"][:, 2:], "observation": np.zeros((ROWS, 6))}],
    "cube": [lambda e: {"qpos": e["state"][:, :21], "qvel": e["state"][:, 21:41], "proprio": np.zeros((ROWS, 9))}],
}


@pytest.mark.parametrize(
    ("environment", "number"), [(name, i) for name, all_ in PUBLISHED.items() for i in range(len(all_))]
)
def test_published_columns_are_simulated(environment, number):
    if importlib.util.find_spec(NEEDS[environment]) is None:
        pytest.skip(f"{NEEDS[environment]} is not installed: pip install 'spectral-jepa[pixels]'")
    try:
        own = recorded(environment, n=2, policy="scripted" if environment == "push_t" else "random")
    except InputError as error:
        pytest.skip(str(error))
    kept = [{name: e[name] for name in ("pixels", "action")} | PUBLISHED[environment][number](e) for e in own]
    world = make_environment(environment, SIZE)
    data = fit_for_simulation(EpisodeDataset.from_episodes(kept), environment, world)
    whole = np.concatenate([episode["state"] for episode in own])
    states = data.columns["state"]
    assert states.shape == (len(whole), world.state_dim)
    # What no picture shows may be missing; goals are judged alike.
    for row in (0, 3, ROWS - 1):
        assert world.goal_distance(states[row], whole[row]) < 1e-4
        world.set_state(np.asarray(states[row], dtype=np.float64))
        shown = world.render().astype(int)
        world.set_state(whole[row])
        assert np.abs(shown - world.render().astype(int)).mean() < 0.5


@pytest.mark.parametrize("environment", NEEDS)
def test_columns_that_no_adapter_knows_are_one_sentence(environment):

    world = environment_class(environment)
    data = EpisodeDataset.from_episodes(
        [{"pixels": np.zeros((3, 8, 8, 3), np.uint8), "action": np.zeros((3, world.action_dim)), "joints": np.zeros((3, 3))}]
    )
    assert world.recorded_states(data.columns) is None
    from spectral_jepa.pixels.data.origin import with_states

    with pytest.raises(InputError, match=rf"no states of '{environment}' among its columns \(joints \(3,\)\)"):
        with_states(data, world)


# Actions


def test_actions_outside_the_box_are_compared(rooms):
    pixels = [{**episode, "action": episode["action"] * 200} for episode in rooms]
    data = EpisodeDataset.from_episodes(pixels)
    absolute = [{**episode, "action": 90 + 0 * episode["action"]} for episode in rooms]
    with pytest.raises(InputError, match=r"actions lie outside the bounds of 'two_room' \(action\[0, "):
        check_actions(EpisodeDataset.from_episodes(absolute), "two_room", planning=True)
    with pytest.warns(UserWarning, match="where they are clipped"):
        check_actions(data, "two_room", planning=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_actions(EpisodeDataset.from_episodes(rooms), "two_room", planning=True)


def test_a_constant_coordinate_stays_what_it_was():
    for value in (0.0, 0.1, -7.25):
        actions = np.stack([np.random.default_rng(0).normal(size=50), np.full(50, value)], 1).astype(np.float32)
        scaler = ActionScaler.fit(actions)
        wild = np.random.default_rng(1).normal(size=(9, 2)) * 11
        assert (scaler.denormalize(wild)[:, 1] == np.float32(value)).all()
        assert (scaler.normalize(actions)[:, 1] == 0).all()
        np.testing.assert_allclose(scaler.denormalize(scaler.normalize(actions.astype(float))), actions, rtol=1e-12)
        assert ActionScaler.from_dict(json.loads(json.dumps(scaler.to_dict()))) == scaler


# The identity of the pictures


def test_changed_pictures_are_other_data(tmp_path, rooms):
    data = EpisodeDataset.from_episodes(rooms)
    changed = [dict(episode) for episode in rooms]
    changed[2] = {**changed[2], "pixels": changed[2]["pixels"].copy()}
    changed[2]["pixels"][7, 3, 3, 1] ^= 1
    other = EpisodeDataset.from_episodes(changed)
    assert data.digest("pixels") != other.digest("pixels") and data.digest("action") == other.digest("action")
    world = make_environment("two_room", SIZE)
    one, two = (make_manifest(each, [0, 1], world, n_pairs=3, goal_offset=10) for each in (data, other))
    assert one.pairs == two.pairs and one.digest != two.digest
    with pytest.raises(InputError, match="drawn from another dataset"):
        one.check(other)
    config = EvaluationConfig(budget=3)
    keep = {"folder": tmp_path, "progress": False}
    first = evaluate(RandomPolicy(world), one, data, world, config, **keep)
    second = evaluate(RandomPolicy(world), two, other, world, config, **keep)
    assert first["configuration"].iloc[0] != second["configuration"].iloc[0]
    assert len({path.name[:16] for path in tmp_path.iterdir()}) == 2


def test_digests_on_disk_are_those_in_memory(tmp_path, rooms):
    data = open_dataset(write(tmp_path / "data.h5", rooms), progress=False)
    assert data.digest("pixels", "action", "state") == EpisodeDataset.from_episodes(rooms).digest(
        "pixels", "action", "state"
    )
    (record,) = tmp_path.glob("*.unpacked-*/digests.json")
    before = json.loads(record.read_text())
    record.unlink()  # unpacked by an earlier version
    again = open_dataset(tmp_path / "data.h5", progress=False)
    assert again.digest("pixels") == data.digest("pixels")
    assert {name: json.loads(record.read_text())[name] for name in ("pixels", "action")} == {
        name: before[name] for name in ("pixels", "action")
    }


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "digests"])
@pytest.mark.parametrize("column", ["pixels", "action", "state", "ep_len"])
def test_a_damaged_unpacked_copy_is_unpacked_again(tmp_path, rooms, column, damage):
    path = write(tmp_path / "data.h5", rooms)
    expected = open_dataset(path, progress=False).digest("pixels", "action", "state")
    (folder,) = tmp_path.glob("*.unpacked-*")
    file = folder / f"{column}.npy"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[:-3])
    elif damage == "gone":
        file.unlink()
    else:
        (folder / "digests.json").write_text("{")
    # The digests of the values are no more than a saving: without them they are computed again.
    again = pytest.warns(UserWarning, match="does not match its SHA256SUMS: unpacked again")
    with contextlib.nullcontext() if damage == "digests" else again:
        data = open_dataset(path, progress=False)
    assert data.digest("pixels", "action", "state") == expected and data.ep_len.tolist() == [ROWS] * 4


def test_a_flipped_byte_of_a_written_file_is_noticed(tmp_path, rooms):
    path = write_episodes(tmp_path / "data.h5", rooms)
    with h5py.File(path) as file:
        places_of = {name: file[name].id.get_chunk_info(0) for name in ("pixels", "action", "state", "ep_len", "ep_offset")}
    whole = path.read_bytes()
    for name, chunk in places_of.items():
        content = bytearray(whole)
        content[chunk.byte_offset + chunk.size // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read to its end"):
            open_dataset(path, cache=tmp_path / name, progress=False)
        part = tmp_path / "part.h5"
        part.write_bytes(content)
        # Frames go over as they are and are checked when they are read; offsets are made anew.
        if name not in ("pixels", "ep_offset"):
            with pytest.raises(InputError, match=r"part\.h5 is damaged .*remove it and run again"):
                join_files(tmp_path / "all.h5", [part], {})


# One validation when data are opened


def spoiled(rooms, name, row, column, value):
    values = np.concatenate([episode[name] for episode in rooms])
    values[row, column] = value
    return {name: values}


L = np.full(4, ROWS)
BAD = {
    "NaN in the first row": (lambda e: spoiled(e, "action", 0, 1, np.nan), r"action\[0, 1\] is nan.*row 0 of episode 0"),
    "NaN in the middle": (lambda e: spoiled(e, "action", ROWS + 5, 0, np.nan), r"action\[46, 0\] is nan.*5 of episode 1"),
    "infinite action": (lambda e: spoiled(e, "action", 7, 0, -np.inf), r"action\[7, 0\] is -inf"),
    "infinity in a last row": (lambda e: spoiled(e, "action", ROWS - 1, 0, np.inf), r"action\[40, 0\] is inf"),
    "NaN state": (lambda e: spoiled(e, "state", ROWS - 1, 1, np.nan), r"state\[40, 1\] is nan"),
    "all offsets 0": (lambda e: {"ep_offset": 0 * L}, "episode 1 begins at row 0 but episode 0 is rows 0 to 41"),
    "overlapping": (lambda e: {"ep_offset": np.arange(4) * 40}, "episode 1 begins at row 40"),
    "unordered": (lambda e: {"ep_offset": np.array([0, 82, 41, 123])}, "episode 2 begins at row 41"),
    "column index": (lambda e: {"ep_len": L[:, None]}, r"ep_len of int64 \(4, 1\), expected whole numbers \(N,\)"),
    "column offsets": (lambda e: {"ep_offset": (np.cumsum(L) - L)[:, None]}, r"ep_offset of int64 \(4, 1\)"),
    "scalar": (lambda e: {"ep_len": np.int64(41), "ep_offset": np.int64(0)}, r"ep_len of int64 \(\)"),
    "text": (lambda e: {"ep_len": np.array([b"41"] * 4)}, r"ep_len of text \(4,\)"),
    "floats": (lambda e: {"ep_len": L * 1.0}, r"ep_len of float64 \(4,\)"),
    "text actions": (lambda e: {"action": np.array([b"ab"] * 4 * ROWS)}, r"action"),
    "scalar pixels": (lambda e: {"pixels": np.uint8(3)}, r"pixels uint8 \(\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_data_are_named_when_they_are_opened(tmp_path, rooms, name):
    change, words = BAD[name]
    with pytest.raises(InputError, match=words) as error:
        open_dataset(write(tmp_path / "data.h5", rooms, **change(rooms)), progress=False)
    assert "\n" not in str(error.value) and "data.h5" in str(error.value)


def test_what_is_allowed_stays_allowed(tmp_path, rooms):
    # NaN in the last row of each episode, gaps between episodes, a quantity with NaN that nobody reads.
    odd = np.full(4 * ROWS, np.nan)
    action = spoiled(rooms, "action", 39, 0, np.nan)["action"]
    index = {"ep_len": L - 3, "ep_offset": np.cumsum(L) - L}
    path = write(tmp_path / "data.h5", rooms, **index, speed=odd, action=action)
    assert open_dataset(path, progress=False).n_episodes == 4


# What is no HDF5 file, and what lies elsewhere


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x28\xb5\x2f\xfd" + bytes(99), "is compressed with Zstandard.*unzstd"),
        (gzip.compress(b"x" * 99, mtime=0), "is compressed with gzip.*gunzip"),
        (b"PK\x03\x04" + bytes(99), "is a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "is a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html>\n<html>login</html>", "is an HTML page"),
        (b"\n <html><body>403</body></html>", "is an HTML page"),
        (b"", "is not a whole HDF5 file at 0 bytes"),
    ],
)
def test_other_files_are_named(tmp_path, content, words):
    path = tmp_path / "data.h5"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        open_dataset(path, progress=False)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="is a folder, expected an HDF5 file"):
        open_dataset(tmp_path, progress=False)


def test_a_locked_file_is_said_to_be_locked(tmp_path, rooms, monkeypatch):
    path = write(tmp_path / "data.h5", rooms)

    def locked(*args, **kwargs):
        raise BlockingIOError(errno.EAGAIN, "Unable to synchronously open file (unable to lock file, errno = 11)")

    monkeypatch.setattr(h5py, "File", locked)
    with pytest.raises(InputError, match="is locked by another program"):
        open_dataset(path, progress=False)


def test_what_is_stored_elsewhere_is_refused(tmp_path, rooms):
    whole = write(tmp_path / "whole.h5", rooms)
    shape, dtype = (4 * ROWS, SIZE, SIZE, 3), np.uint8
    linked, external, virtual = (write(tmp_path / f"{n}.h5", rooms, pixels=None) for n in ("linked", "external", "virtual"))
    with h5py.File(linked, "a") as file:
        file["pixels"] = h5py.ExternalLink("whole.h5", "pixels")
    np.concatenate([e["pixels"] for e in rooms]).tofile(tmp_path / "raw.bin")
    with h5py.File(external, "a") as file:
        file.create_dataset("pixels", shape, dtype, external=[(str(tmp_path / "raw.bin"), 0, h5py.h5f.UNLIMITED)])
    with h5py.File(virtual, "a") as file:
        layout = h5py.VirtualLayout(shape, dtype)
        layout[:] = h5py.VirtualSource(whole, "pixels", shape)
        file.create_virtual_dataset("pixels", layout)
    broken = write(tmp_path / "broken.h5", rooms, pixels=None)
    with h5py.File(broken, "a") as file:
        file["pixels"] = h5py.SoftLink("/nowhere")
    cases = {linked: "an external link to whole.h5", external: "stored in another file, .*raw.bin",
             virtual: "a virtual dataset", broken: "is a link to nothing"}  # fmt: skip
    for path, words in cases.items():
        with pytest.raises(InputError, match=f"column 'pixels' is.*{words}|{words}"):
            open_dataset(path, progress=False)
    inside = write(tmp_path / "inside.h5", rooms, pixels=None, frames=np.concatenate([e["pixels"] for e in rooms]))
    with h5py.File(inside, "a") as file:
        file["pixels"] = h5py.SoftLink("/frames")  # in the same file
    assert open_dataset(inside, progress=False).n_episodes == 4


# Where derived files go


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_folder_that_cannot_be_written_to_falls_back_with_a_sentence(tmp_path, rooms, monkeypatch, code):
    path, opened = write(tmp_path / "ro" / "data.h5", rooms), os.open

    def forbidden(name, *args, **kwargs):
        if str(name).startswith(str(tmp_path / "ro" / ".writable")):
            raise OSError(code, os.strerror(code))
        return opened(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", forbidden)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    with pytest.warns(UserWarning, match="cannot be written to, so what is derived .* pass --cache FOLDER"):
        data = open_dataset(path, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = data.split()
    assert [file.name for file in (tmp_path / "ro").iterdir()] == ["data.h5"]
    (folder,) = (tmp_path / "home" / "spectral-jepa").iterdir()
    assert {"data.h5.split.json"} < {file.name for file in folder.iterdir()}
    # Asked for, it goes there without a word, and a split that was made beside the data counts.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = open_dataset(path, cache=tmp_path / "asked", progress=False)
        assert all(np.array_equal(ids, parts[name]) for name, ids in asked.split().items())


def test_two_data_files_of_one_name_share_a_cache(tmp_path, rooms):
    paths = [write(tmp_path / name / "data.h5", rooms[: 3 + k]) for k, name in enumerate("ab")]
    for path in paths:
        open_dataset(path, cache=tmp_path / "cache", progress=False).split()
    assert len(list((tmp_path / "cache").glob("data.h5-*/data.h5.split.json"))) == 2


def test_no_place_at_all_is_one_sentence(tmp_path, rooms, monkeypatch):
    path = write(tmp_path / "data.h5", rooms)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written to .*pass --cache FOLDER"):
        open_dataset(path, cache=tmp_path / "file", progress=False)
    monkeypatch.setattr(places, "_is_writable", lambda folder: False)
    with pytest.raises(InputError, match="it is read-only"):
        open_dataset(path, cache=tmp_path / "cache", progress=False)


# Before the fact


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 100_000}, "takes .* GiB while it is recorded.*lower data.image_size"),
        ({"n_episodes": 10**12}, "episodes take at least .*lower data.n_episodes"),
        ({"max_steps": 10**12}, "takes .* GiB while it is recorded"),
    ],
)
def test_what_cannot_fit_is_refused_before_the_fact(tmp_path, monkeypatch, changes, words):
    monkeypatch.setattr(collecting, "_make_parts", lambda config: pytest.fail("began"))
    with pytest.raises(InputError, match=words):
        collect(DataConfig(**changes), tmp_path / "new" / "data.h5", progress=False)
    assert not list(tmp_path.iterdir())
