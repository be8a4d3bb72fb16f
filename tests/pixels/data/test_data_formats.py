"""Data of the field, each written by the package of its format, read back and compared number by number."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import DataConfig
from spectral_jepa.pixels.data import open_dataset, write_episodes
from spectral_jepa.pixels.data.collect import collect_episodes
from spectral_jepa.pixels.data.formats import FORMATS, Recording, conversion, convert, open_recording
from spectral_jepa.pixels.data.formats.recording import as_picture, rows, square_picture

LENGTHS = (5, 7, 4)


def keep(frame):
    return frame


def made(k, size=32):
    """Pictures, actions and states of an episode, each number another one."""
    rng = np.random.default_rng(k)
    n = LENGTHS[k]
    return {
        "pixels": rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8),
        "action": rng.normal(size=(n - 1, 2)).astype(np.float32),
        "state": rng.normal(size=(n, 3)),
    }


def check(found, k, *, exact=True):
    """An episode is what was made: rows in order, actions in float32, the last one NaN."""
    own = made(k)
    assert found["pixels"].dtype == np.uint8 and found["pixels"].shape == own["pixels"].shape
    if exact:
        assert np.array_equal(found["pixels"], own["pixels"])
    assert np.array_equal(found["action"][:-1], own["action"]) and np.isnan(found["action"][-1]).all()
    assert np.allclose(found["state"], own["state"], atol=1e-6)


def own_folder(root, table=".csv", extra=True):
    """The layout of a user: a folder of PNGs an episode and a table with a row a picture."""
    root.mkdir(parents=True, exist_ok=True)
    parts = []
    for k in range(3):
        own = made(k)
        (root / f"run {k}").mkdir()
        for t, frame in enumerate(own["pixels"]):
            Image.fromarray(frame).save(root / f"run {k}" / f"frame{t + 8}.png")  # 8, 9, 10: not in the order of letters
        part = pd.DataFrame({"episode": f"run {k}"}, index=range(LENGTHS[k]))
        for a in range(2):
            part[f"action_{a}"] = np.append(own["action"][:, a], np.nan)
        if extra:
            part[[f"state_{i}" for i in range(3)]] = own["state"]
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    frame.to_csv(root / "table.csv", index=False) if table == ".csv" else frame.to_parquet(root / "t.parquet")
    return root


def lossy(frames):
    """Smooth pictures that a video codec keeps within a few shades: a square that moves."""
    pictures = np.zeros((frames, 64, 64, 3), dtype=np.uint8)
    for t in range(frames):
        pictures[t, :, :, 0] = 20 + 10 * t
        pictures[t, 20:40, 4 * t : 4 * t + 16] = (200, 120, 40)
    return pictures


def write_video(path, pictures, rate=10):
    """A video by PyAV in H.264, as LeRobot writes it."""
    av = pytest.importorskip("av", reason="videos need the package av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "10", "g": "2"})
        stream.width, stream.height, stream.pix_fmt = pictures.shape[2], pictures.shape[1], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def near(found, pictures):
    """Within the loss of a codec: a few shades on average, and each frame nearest to its own picture."""
    distance = np.abs(found[:, None].astype(float) - pictures[None].astype(float)).mean(axis=(2, 3, 4))
    assert found.shape == pictures.shape and np.diag(distance).max() < 4
    assert (distance.argmin(axis=1) == np.arange(len(found))).all()


@pytest.mark.parametrize("table", [".csv", ".parquet"])
def test_a_folder_of_pictures_and_a_table(tmp_path, table):
    recording = open_recording(own_folder(tmp_path / "own", table))
    assert recording.n_episodes == 3
    for k in range(3):
        check(recording.read(k, keep), k)


def test_a_folder_of_videos(tmp_path):
    for k, n in enumerate((5, 8)):
        write_video(tmp_path / f"{k}.mp4", lossy(n))
    table = pd.DataFrame({"episode": [0] * 5 + [1] * 8, "action_0": np.arange(13.0)})
    table.to_csv(tmp_path / "table.csv", index=False)
    recording = open_recording(tmp_path)
    second = recording.read(1, keep)
    near(second["pixels"], lossy(8))
    assert second["action"][:-1].ravel().tolist() == [5, 6, 7, 8, 9, 10, 11]
    table.iloc[:-3].to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(InputError, match=r"'1' has 8 pictures and actions \(5, 1\), expected one action between"):
        open_recording(tmp_path).read(1, keep)


def test_a_conversion_is_what_the_commands_read_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    source = own_folder(tmp_path / "own")
    monkeypatch.setattr(conversion, "PART_BYTES", 1)  # an episode a part
    read, calls, last = conversion.open_recording, [], [4]

    def stops(path, camera):
        recording = read(path, camera)

        def episode(k, picture):
            calls.append(k)
            if len(calls) == last[0]:
                raise KeyboardInterrupt
            return recording.read(k, picture)

        return Recording(recording.format, recording.n_episodes, episode)

    monkeypatch.setattr(conversion, "open_recording", stops)
    out = tmp_path / "data.h5"
    with pytest.raises(KeyboardInterrupt):
        convert(source, out, progress=False)
    assert calls == [0, 0, 1, 2] and not out.exists()
    with pytest.raises(InputError, match="other settings or data"):
        convert(source, out, image_size=16, progress=False)
    calls.clear()
    convert(source, out, progress=False)
    assert calls == [0, 2]  # the first one tells how large an episode is
    monkeypatch.setattr(conversion, "open_recording", read)
    data = open_dataset(out, image_size=32, action_dim=2, progress=False)
    assert data.n_episodes == 3 and not list(tmp_path.glob("*.parts")) and data.origin is None
    for k in range(3):
        span = data.rows(k)
        check({"pixels": data.pixels[span]} | {name: data.columns[name][span] for name in ("action", "state")}, k)
    before = out.stat().st_mtime_ns
    assert convert(source, out, progress=False) == out and out.stat().st_mtime_ns == before
    (source / "run 0" / "frame8.png").write_bytes((source / "run 0" / "frame9.png").read_bytes())
    with pytest.raises(InputError, match="other settings or data"):
        convert(source, out, progress=False)


def test_a_simulator_is_written_down_only_where_the_data_move_as_it_does(tmp_path):
    config = DataConfig(n_episodes=3, max_steps=20, image_size=16, policy="random")
    episodes = [{name: e[name] for name in ("pixels", "action", "state")} for e in collect_episodes(config, range(3))]
    source = write_episodes(tmp_path / "foreign.h5", episodes)
    data = open_dataset(convert(source, tmp_path / "data.h5", environment="two_room", progress=False), progress=False)
    assert data.origin["name"] == "two_room"
    moved = [e | {"state": e["state"][::-1].copy()} for e in episodes]
    backwards = write_episodes(tmp_path / "backwards.h5", moved)
    with pytest.raises(InputError, match="goes elsewhere than the recording"):
        convert(backwards, tmp_path / "other.h5", environment="two_room", progress=False)
    with pytest.raises(InputError, match="'cube' has 5"):
        convert(source, tmp_path / "other.h5", environment="cube", progress=False)
    assert not (tmp_path / "other.h5").exists()


def test_unknown_content_is_one_sentence_that_lists_what_is_known(tmp_path):
    (tmp_path / "lerobot").mkdir()
    (tmp_path / "lerobot" / "data.zarr").write_text("a name says nothing")
    with pytest.raises(InputError) as error:
        open_recording(tmp_path / "lerobot")
    said = str(error.value)
    assert all(known.name in said for known in FORMATS) and "\n" not in said and len(FORMATS) == 7
    with pytest.raises(InputError, match="there is no"):
        open_recording(tmp_path / "nothing")


def test_pictures_become_square_and_small_as_asked():
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[:, 2:6] = 200
    assert (square_picture(None, "crop")(wide) == 200).all()
    padded = square_picture(None, "pad")(wide)
    assert padded.shape == (8, 8, 3) and (padded[2:6, 2:6] == 200).all() and padded.sum() == wide.sum()
    small = square_picture(2, None)(np.full((4, 4, 3), 9, np.uint8))
    assert small.shape == (2, 2, 3) and (small == 9).all()
    with pytest.raises(InputError, match="8 x 4 pixels"):
        square_picture(2, None)(wide)


def test_pictures_in_floats_and_channels_first():
    whole = np.arange(48).reshape(4, 4, 3)
    assert np.array_equal(as_picture(whole.astype(np.float32), "x"), whole)
    assert np.array_equal(as_picture(np.moveaxis(whole, 2, 0), "x"), whole)
    assert np.array_equal(as_picture(whole / 255, "x"), whole)
    for wrong in (np.full((4, 4, 3), 300), np.full((4, 4, 3), np.nan), np.zeros((4, 4, 2)), np.zeros(3)):
        with pytest.raises(InputError):
            as_picture(wrong, "x")


def test_what_cannot_be_an_episode_is_refused():
    frames = [np.zeros((4, 4, 3), np.uint8)] * 3
    for wrong in (np.zeros((5, 1)), np.zeros((1, 1)), [["a"], ["b"]], [[np.nan], [1.0]], np.zeros((2, 1, 1))):
        with pytest.raises(InputError):
            rows(frames, wrong, {}, "x")
    with pytest.raises(InputError, match="a row a picture"):
        rows(frames, np.zeros((2, 1)), {"state": np.zeros((2, 1))}, "x")
    with pytest.raises(InputError, match="1 pictures"):
        rows(frames[:1], np.zeros((1, 1)), {}, "x")
    assert set(rows(frames, np.zeros((3, 1)), {"task": ["a"] * 3, "ep_len": [1] * 3}, "x")) == {"pixels", "action"}


def test_minari_there_and_back(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari", reason="the package minari is not installed")
    source = own_folder(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    folder = convert(source, "worlds/own", layout="minari", progress=False)  # a relative path, as one types it
    data = minari.MinariDataset(folder / "data")  # as Minari's own library reads it
    assert data.total_episodes == 3 and data.total_steps == sum(LENGTHS) - 3
    for k, episode in enumerate(data.iterate_episodes()):
        assert np.array_equal(episode.observations["pixels"], made(k)["pixels"])
        assert np.array_equal(episode.actions, made(k)["action"]) and episode.truncations.nonzero()[0].tolist() == [
            LENGTHS[k] - 2
        ]
        assert data.observation_space.contains({name: values[0] for name, values in episode.observations.items()})
    recording = open_recording(folder)
    for k in range(3):
        check(recording.read(k, keep), k)
    with pytest.raises(InputError, match="exists, expected the name of a new folder"):
        convert(source, folder, layout="minari", progress=False)


def test_a_dataset_of_minaris_own_library(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari", reason="the package minari is not installed")
    from gymnasium import spaces
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    seen = {"camera": spaces.Box(0, 255, (40, 40, 3), np.uint8), "body": spaces.Dict({"q": spaces.Box(-9, 9, (2,))})}
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    places, moves = rng.normal(size=(5, 2)).astype(np.float32), np.array([0, 2, 1, 0])
    buffer = EpisodeBuffer(
        observations={"camera": pictures, "body": {"q": places}}, actions=moves, rewards=[0.0] * 4,
        terminations=[False] * 4, truncations=[False] * 3 + [True], infos={"speed": np.arange(5.0)},
    )  # fmt: skip
    with pytest.warns(UserWarning):
        minari.create_dataset_from_buffers(
            "test/own-v0",
            [buffer],
            observation_space=spaces.Dict(seen),
            action_space=spaces.Discrete(3),
            jpeg_encoding=False,
        )
    recording = open_recording(tmp_path / "test" / "own-v0")
    found = recording.read(0, keep)
    assert np.array_equal(found["pixels"], pictures) and np.array_equal(found["body_q"], places)
    assert np.array_equal(found["action"][:4], np.eye(3)[moves]) and np.array_equal(found["speed"].ravel(), np.arange(5.0))
    file = tmp_path / "test" / "own-v0" / "data" / "metadata.json"
    known = json.loads(file.read_text())
    known.pop("observation_space")
    file.write_text(json.dumps(known))
    with pytest.raises(InputError, match="does not hold its spaces"):
        open_recording(tmp_path / "test" / "own-v0")


def lerobot_v2(root, pictures, image=False):
    """The layout of version 2.1 by its specification: a table and a video an episode."""
    features = {"action": {"dtype": "float32", "shape": [1]}, "observation.state": {"dtype": "float32", "shape": [3]}}
    features |= {name: {"dtype": "int64", "shape": [1]} for name in ("frame_index", "episode_index", "index", "task_index")}
    features |= {"timestamp": {"dtype": "float32", "shape": [1]}}
    features["observation.images.top"] = {"dtype": "image" if image else "video", "shape": [64, 64, 3]}
    info = {
        "codebase_version": "v2.1", "fps": 10, "chunks_size": 2, "features": features, "total_episodes": len(pictures),
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }  # fmt: skip
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))
    lines = [json.dumps({"episode_index": k, "tasks": ["push"], "length": len(own)}) for k, own in enumerate(pictures)]
    (root / "meta/episodes.jsonl").write_text("\n".join(lines) + "\n")
    for k, own in enumerate(pictures):
        n = len(own)
        columns = {
            "action": [[100.0 * k + t] for t in range(n)], "observation.state": [[k, t, t * t] for t in range(n)],
            "timestamp": np.arange(n) / 10, "frame_index": np.arange(n), "episode_index": k, "index": 0, "task_index": 0,
        }  # fmt: skip
        table = pd.DataFrame(columns)
        if image:
            table["observation.images.top"] = [{"bytes": png(frame), "path": None} for frame in own]
        else:
            write_video(root / f"videos/chunk-{k // 2:03d}/observation.images.top/episode_{k:06d}.mp4", own)
        file = root / f"data/chunk-{k // 2:03d}/episode_{k:06d}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(file)
    return root


def png(frame):
    import io

    content = io.BytesIO()
    Image.fromarray(frame).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize("image", [False, True])
def test_lerobot_version_2(tmp_path, image):
    pictures = [lossy(n) for n in (4, 9, 6)]
    recording = open_recording(lerobot_v2(tmp_path / "data", pictures, image))
    assert recording.format == "LeRobot 2.1" and recording.n_episodes == 3
    for k, own in enumerate(pictures):
        found = recording.read(k, keep)
        if image:
            assert np.array_equal(found["pixels"], own)
        else:
            near(found["pixels"], own)
        assert found["action"][:-1].ravel().tolist() == [100.0 * k + t for t in range(len(own) - 1)]
        assert found["state"].tolist() == [[k, t, t * t] for t in range(len(own))]
        assert set(found) == {"pixels", "action", "state"}
    with pytest.raises(InputError, match="--camera is 'side', expected one of the pictures"):
        open_recording(tmp_path / "data", "side")


def test_lerobot_version_3_finds_episodes_within_shared_files(tmp_path):
    """The layout of version 3.0 by its specification: two episodes in one table and one video, a third in others."""
    pictures = [lossy(n) for n in (4, 9, 6)]
    key, videos = "observation.images.top", [np.concatenate(pictures[:2]), pictures[2]]
    features = {"action": {"dtype": "float32", "shape": [1]}, key: {"dtype": "video", "shape": [64, 64, 3]}}
    info = {
        "codebase_version": "v3.0", "fps": 10, "features": features,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }  # fmt: skip
    (tmp_path / "meta/episodes/chunk-000").mkdir(parents=True)
    (tmp_path / "data/chunk-000").mkdir(parents=True)
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    listed, tables = [], [[], []]
    for k, own in enumerate(pictures):
        start = 0.4 if k == 1 else 0.0
        listed.append({
            "episode_index": k, "length": len(own), "data/chunk_index": 0, "data/file_index": k // 2,
            f"videos/{key}/chunk_index": 0, f"videos/{key}/file_index": k // 2,
            f"videos/{key}/from_timestamp": start, f"videos/{key}/to_timestamp": start + len(own) / 10,
        })  # fmt: skip
        steps = range(len(own))
        frame = {"action": [[100.0 * k + t] for t in steps], "episode_index": k, "frame_index": steps}
        tables[k // 2].append(pd.DataFrame(frame))
    pd.DataFrame(listed).to_parquet(tmp_path / "meta/episodes/chunk-000/file-000.parquet")
    for number, parts in enumerate(tables):
        pd.concat(parts).to_parquet(tmp_path / f"data/chunk-000/file-{number:03d}.parquet")
        write_video(tmp_path / f"videos/{key}/chunk-000/file-{number:03d}.mp4", videos[number])
    recording = open_recording(tmp_path)
    for k in (1, 0, 2):  # each by itself
        found = recording.read(k, keep)
        near(found["pixels"], pictures[k])
        assert found["action"][:-1].ravel().tolist() == [100.0 * k + t for t in range(len(pictures[k]) - 1)]
    info["codebase_version"] = "v1.6"
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match=r"version 1\.6, expected 2\.0, 2\.1 or 3\.0"):
        open_recording(tmp_path)


class Harm:
    """A pickle of this one runs a function when it is read."""

    def __reduce__(self):
        return print, ("harm",)


def test_push_t_of_dino_wm(tmp_path, capsys):
    import torch

    pictures = [lossy(n) for n in (5, 8)]
    rng = np.random.default_rng(0)
    states, speeds, moves = (torch.from_numpy(rng.normal(size=(2, 9, n)).astype(np.float32)) for n in (5, 2, 2))
    torch.save(states, tmp_path / "states.pth")
    torch.save(speeds, tmp_path / "velocities.pth")
    torch.save(100 * moves, tmp_path / "rel_actions.pth")
    for k, own in enumerate(pictures):
        write_video(tmp_path / f"obses/episode_{k:03d}.mp4", own)
    for lengths in ([5, 8], np.array([5, 8]), [np.int64(5), np.int64(8)]):
        (tmp_path / "seq_lengths.pkl").write_bytes(pickle.dumps(lengths))
        assert open_recording(tmp_path).n_episodes == 2
    recording = open_recording(tmp_path)
    found = recording.read(1, keep)
    near(found["pixels"], pictures[1])
    assert np.allclose(found["action"][:-1], moves[1, :7].numpy(), atol=1e-6)
    assert np.array_equal(found["state"], np.concatenate([states, speeds], axis=2)[1, :8])
    (tmp_path / "seq_lengths.pkl").write_bytes(pickle.dumps([Harm()]))
    with pytest.raises(InputError, match=r"it names builtins\.print"):
        open_recording(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("zipped", [False, True])
def test_a_replay_buffer_in_zarr(tmp_path, zipped):
    zarr = pytest.importorskip("zarr", reason="the package zarr is not installed")
    path = tmp_path / ("buffer.zip" if zipped else "buffer")
    store = zarr.storage.ZipStore(str(path), mode="w") if zipped else str(path)
    root = zarr.open_group(store, mode="w", zarr_format=2)
    episodes = [made(k) for k in range(3)]
    data, meta = root.create_group("data"), root.create_group("meta")
    data.create_array("img", data=np.concatenate([e["pixels"] for e in episodes]).astype(np.float32))
    data.create_array("state", data=np.concatenate([e["state"] for e in episodes]))
    actions = np.concatenate([np.pad(e["action"], ((0, 1), (0, 0)), constant_values=7) for e in episodes])
    data.create_array("action", data=actions)
    meta.create_array("episode_ends", data=np.cumsum(LENGTHS))
    if zipped:
        store.close()
    recording = open_recording(path)
    assert recording.n_episodes == 3
    for k in range(3):
        check(recording.read(k, keep), k)


def test_a_lance_table(tmp_path):
    lance = pytest.importorskip("lance", reason="the package pylance is not installed")
    import pyarrow as pa

    episodes = [made(k) for k in range(3)]
    actions = np.concatenate([np.pad(e["action"], ((0, 1), (0, 0))) for e in episodes])
    columns = {
        "episode_idx": pa.array(np.repeat(range(3), LENGTHS)), "step_idx": pa.array(np.concatenate([*map(range, LENGTHS)])),
        "pixels": pa.array([png(frame) for e in episodes for frame in e["pixels"]], pa.binary()),
        "action": pa.array([[*row] for row in actions], pa.list_(pa.float32(), 2)),
        "state": pa.array([[*row] for e in episodes for row in e["state"]], pa.list_(pa.float64(), 3)),
    }  # fmt: skip
    lance.write_dataset(pa.table(columns), str(tmp_path / "push.lance"))
    for path in (tmp_path / "push.lance", tmp_path):
        recording = open_recording(path)
        for k in range(3):
            check(recording.read(k, keep), k)
