"""Our own layout, also that of the published LeWM files: to write it in another format, or with smaller pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.data.episodes import check_episodes
from spectral_jepa.pixels.data.formats.recording import Picture, Recording
from spectral_jepa.pixels.data.hdf5 import INDEX_COLUMNS, open_file

NAME = "an HDF5 file with the columns pixels, action, ep_len and ep_offset (ours and the published one)"


def recognises(path: Path) -> bool:
    """An HDF5 file with the four columns."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(8) != b"\x89HDF\r\n\x1a\n":
            return False
    with open_file(path) as file:
        return {"pixels", "action", *INDEX_COLUMNS} <= set(file)


def read(path: Path, camera: str | None) -> Recording:
    """The recording of such a file."""
    if camera is not None:
        raise InputError(f"--camera is {camera!r}, but {path} has one column of pictures, expected none: leave it out")
    with open_file(path) as file:
        length, offset = (np.asarray(file[name][:], dtype=np.int64) for name in INDEX_COLUMNS)
        count = len(file["pixels"])
        names = [name for name, data in file.items() if data.dtype.kind in "biuf" and data.shape[:1] == (count,)]
        steps, origin = int(file.attrs.get("row_steps", 1)), file.attrs.get("environment")
    check_episodes(str(path), length, offset, count)

    def episode(k: int, picture: Picture) -> dict[str, NDArray[Any]]:
        span = slice(int(offset[k]), int(offset[k] + length[k]))
        with open_file(path) as file:
            columns = {name: np.asarray(file[name][span]) for name in names if name not in INDEX_COLUMNS}
        return columns | {"pixels": np.stack([picture(frame) for frame in columns["pixels"]])}

    return Recording("HDF5 in our own layout", len(length), episode, steps, None if origin is None else str(origin))
