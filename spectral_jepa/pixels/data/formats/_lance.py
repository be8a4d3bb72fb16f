"""Lance tables as stable-worldmodel writes them: a row a moment, pictures as JPEG or PNG bytes, episode_idx and step_idx."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import InputError, first_line, needs_package
from spectral_jepa.pixels.data.formats._choice import the_camera
from spectral_jepa.pixels.data.formats.recording import Picture, Recording, as_picture, rows

NAME = "a Lance table of stable-worldmodel (a folder NAME.lance with the columns episode_idx, step_idx, pixels and action)"
INDEX = ("episode_idx", "step_idx")


def recognises(path: Path) -> bool:
    """A folder of Lance's, or one that holds a single such folder; which columns it has is seen when it is opened."""
    return _folder(path) is not None


def read(path: Path, camera: str | None) -> Recording:
    """The recording of such a table."""
    with needs_package(f"reading the Lance table {path}", "lance"):
        import lance
        import pyarrow as pa
    try:
        table = lance.dataset(str(_folder(path)))
        schema = table.schema
    except Exception as error:  # of Lance's engine
        raise InputError(
            f"{path} cannot be read ({first_line(error)[:100]}), expected a Lance table: copy it anew"
        ) from None
    missing = [name for name in (*INDEX, "action") if name not in schema.names]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}, expected it among {', '.join(schema.names)}: choose other data"
        )
    found = [field.name for field in schema if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)]
    chosen = the_camera(path, found, camera)
    numbers = table.to_table(columns=[INDEX[0]])[INDEX[0]].to_numpy()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(numbers)) + 1])
    ends = np.append(starts[1:], len(numbers))
    if len(np.unique(numbers[starts])) != len(starts):
        raise InputError(f"{path} has episodes that are not in one piece, expected episode_idx in order: write it again")
    others = [name for name in schema.names if name not in (*INDEX, *found, "action")]

    def episode(k: int, picture: Picture) -> dict[str, NDArray[Any]]:
        where = f"{path}: episode {numbers[starts[k]]}"
        span = {"offset": int(starts[k]), "limit": int(ends[k] - starts[k])}
        own = table.to_table(columns=[chosen, "action", *others], **span)
        columns = {name: _numbers(own[name], where) for name in ("action", *others)}
        frames = (picture(_decoded(cell, where)) for cell in own[chosen].to_pylist())
        return rows(frames, columns.pop("action"), columns, where)

    return Recording("Lance of stable-worldmodel", len(starts), episode)


def _folder(path: Path) -> Path | None:
    inside = sorted(path.glob("*.lance")) if path.is_dir() else []
    for folder in [path, *(inside if len(inside) == 1 else [])]:
        if (folder / "_versions").is_dir():
            return folder
    return None


def _numbers(column: Any, where: str) -> NDArray[Any]:
    try:
        return np.asarray(column.to_pylist())
    except ValueError:
        raise InputError(f"{where} has rows of several lengths, expected one: write it again") from None


def _decoded(cell: Any, where: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        return as_picture(np.array(Image.open(io.BytesIO(cell)).convert("RGB")), where)
    except OSError as error:
        raise InputError(f"{where}: {first_line(error)[:100]}, expected pictures as JPEG or PNG: write it again") from None
