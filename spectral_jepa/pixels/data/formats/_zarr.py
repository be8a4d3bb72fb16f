"""Replay buffers in zarr, as diffusion policy writes them: data/NAME with all rows end to end, meta/episode_ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import InputError, first_line, needs_package
from spectral_jepa.pixels.data.formats._choice import the_camera
from spectral_jepa.pixels.data.formats.recording import Picture, Recording, as_picture, rows

NAME = "a zarr replay buffer of diffusion policy (a folder or .zip with data/action and meta/episode_ends)"
ENDS = "meta/episode_ends"


def recognises(path: Path) -> bool:
    """A zarr group with these two arrays."""
    if path.is_dir():
        return all(
            any((path / name / file).is_file() for file in (".zarray", "zarr.json")) for name in (ENDS, "data/action")
        )
    if not path.is_file():
        return False
    import zipfile

    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(f"{ENDS}/{file}" in archive.namelist() for file in (".zarray", "zarr.json"))


def read(path: Path, camera: str | None) -> Recording:
    """The recording of such a buffer."""
    with needs_package(f"reading the zarr data {path}", "zarr"):
        import zarr
    try:
        store = path if path.is_dir() else zarr.storage.ZipStore(str(path), mode="r")
        root = zarr.open_group(store, mode="r")
        arrays = dict(root["data"].arrays())
        ends = np.asarray(root[ENDS][:], dtype=np.int64)
    except Exception as error:  # of zarr and its stores
        raise InputError(f"{path} cannot be read ({first_line(error)[:100]}), expected a zarr group: copy it anew") from None
    found = [name for name, array in sorted(arrays.items()) if len(array.shape) == 4]
    chosen = the_camera(path, found, camera)
    starts = np.concatenate([[0], ends[:-1]])
    if not ends.size or (ends <= starts).any() or any(array.shape[0] < ends[-1] for array in arrays.values()):
        raise InputError(f"{path} has episode_ends that do not fit its rows, expected them to ascend: copy it anew")
    others = [name for name in arrays if name not in found and name != "action"]

    def episode(k: int, picture: Picture) -> dict[str, NDArray[Any]]:
        span, where = slice(int(starts[k]), int(ends[k])), f"{path}: episode {k}"
        frames = (picture(as_picture(frame, where)) for frame in np.asarray(arrays[chosen][span]))
        return rows(frames, arrays["action"][span], {name: np.asarray(arrays[name][span]) for name in others}, where)

    return Recording("zarr of diffusion policy", len(ends), episode)
