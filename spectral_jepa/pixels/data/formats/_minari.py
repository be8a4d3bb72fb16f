"""Minari's datasets (Farama Foundation): observations, among them pictures, and actions of a Gymnasium world."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._files import temporary_path
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import InputError, needs_package
from spectral_jepa.pixels.data.formats._choice import the_camera
from spectral_jepa.pixels.data.formats.recording import Picture, Recording, as_picture, rows

NAME = "a Minari dataset (its folder, or the folder data in it)"
METADATA = "metadata.json"
PIXELS = "pixels"


def recognises(path: Path) -> bool:
    """A folder whose metadata name a storage and spaces of Minari."""
    return _storage_folder(path) is not None


def read(path: Path, camera: str | None) -> Recording:
    """The recording of such a dataset; rewards are left behind, a discrete action is one of n coordinates that is 1."""
    with needs_package(f"reading the Minari dataset {path}", "minari"):
        import gymnasium
        from minari.dataset.minari_storage import MinariStorage
    folder = _storage_folder(path)
    assert folder is not None
    if "observation_space" not in _metadata(
        folder
    ):  # Minari would then import and build the environment that the file names
        raise InputError(
            f"{path} does not hold its spaces, expected a dataset of Minari 0.5 or later: write it again with that version"
        )
    storage = MinariStorage.read(folder)
    spaces = dict(_leaves(storage.observation_space, "observation"))
    found = [name for name, space in spaces.items() if space.dtype == np.uint8 and len(space.shape) == 3]
    chosen = the_camera(path, found, camera)
    actions = storage.action_space
    if not isinstance(actions, gymnasium.spaces.Box | gymnasium.spaces.Discrete):
        raise InputError(f"{path} has actions {actions}, expected a Box or a Discrete space: choose another dataset")
    attributes = _metadata(folder).get("spectral_jepa", {})

    def episode(k: int, picture: Picture) -> dict[str, NDArray[Any]]:
        (own,) = storage.get_episodes([k])
        where = f"{path}: episode {k}"
        columns = dict(_leaves(own["observations"], "observation")) | dict(_leaves(own["infos"] or {}, ""))
        frames = columns.pop(chosen)
        columns = {name: values for name, values in columns.items() if name not in found and len(values) == len(frames)}
        columns = {name.removeprefix("observation_"): values for name, values in columns.items()}
        moves = np.asarray(own["actions"])
        if isinstance(actions, gymnasium.spaces.Discrete):
            moves = np.eye(int(actions.n), dtype=np.float32)[moves.reshape(-1) - int(actions.start)]
        pictures = (picture(as_picture(frame, where)) for frame in frames)
        return rows(pictures, moves.reshape(len(moves), -1), columns, where)

    steps, origin = int(attributes.get("row_steps", 1)), attributes.get("environment")
    return Recording("Minari", storage.total_episodes, episode, steps, origin)


def write(path: Path, recording: Recording, picture: Picture, origin: str | None, *, progress: bool) -> Path:
    """Write a recording as a Minari dataset, without loss; the folder gets its name in the end."""
    with needs_package(f"writing the Minari dataset {path}", "minari"):
        import minari
        from gymnasium.spaces import Box, Dict
        from minari.data_collector import EpisodeBuffer
        from minari.dataset.minari_storage import MinariStorage
    if path.exists():
        raise InputError(f"{path} exists, expected the name of a new folder: choose another")
    path.parent.mkdir(parents=True, exist_ok=True)
    first = recording.read(0, picture)
    spaces = {name: _space(name, values, Box) for name, values in first.items() if name != "action"}
    action_space = Box(-np.inf, np.inf, first["action"].shape[1:], np.float32)

    def buffers() -> Iterator[Any]:
        for k in Bar(range(recording.n_episodes), desc=f"write {path.name}", unit="episode", disable=not progress):
            columns = dict(recording.read(k, picture))
            moves = np.asarray(columns.pop("action")[:-1], dtype=np.float32)
            ends = np.arange(len(moves)) == len(moves) - 1
            yield EpisodeBuffer(
                id=k, observations=dict(columns), actions=moves, rewards=np.zeros(len(moves)),
                terminations=np.zeros(len(moves), dtype=bool), truncations=ends, infos={},
            )  # fmt: skip

    temporary = temporary_path(path.absolute())  # Minari joins a relative one to itself
    (temporary / "data").mkdir(parents=True)
    try:
        # JPEG, Minari's default, would change the pictures.
        storage = MinariStorage.new(temporary / "data", Dict(spaces), action_space, jpeg_encoding=False)
        storage.update_episodes(buffers())
        own: dict[str, Any] = {"row_steps": recording.row_steps} | ({} if origin is None else {"environment": origin})
        said = {"dataset_id": f"{path.name}-v0", "minari_version": minari.__version__, "spectral_jepa": own}
        file = temporary / "data" / METADATA
        file.write_text(json.dumps(json.loads(file.read_text()) | said))
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def _space(name: str, values: NDArray[Any], box: Any) -> Any:
    if name == PIXELS:
        return box(0, 255, values.shape[1:], np.uint8)
    low, high = (-np.inf, np.inf) if values.dtype.kind == "f" else (0, 1) if values.dtype.kind == "b" else _bounds(values)
    return box(low, high, values.shape[1:], values.dtype.type)


def _bounds(values: NDArray[Any]) -> tuple[int, int]:
    limits = np.iinfo(values.dtype)
    return int(limits.min), int(limits.max)


def _metadata(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / METADATA).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _storage_folder(path: Path) -> Path | None:
    for folder in (path, path / "data"):
        if "data_format" in (known := _metadata(folder)) and "total_episodes" in known:
            return folder
    return None


def _leaves(values: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(NAME_KEY_KEY, array or space) of what may be nested in dictionaries and tuples."""
    inner = getattr(values, "spaces", values)
    inner = dict(enumerate(inner)) if isinstance(inner, tuple) else inner
    if isinstance(inner, Mapping):
        for key, value in inner.items():
            yield from _leaves(value, f"{name}_{key}".strip("_"))
    elif getattr(inner, "shape", None) is not None:
        yield name, inner
