"""A user's own folder: a video or a folder of pictures an episode, and a table with a row for every picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spectral_jepa._validation import InputError, first_line, needs_package
from spectral_jepa.pixels.data.formats._video import frames_of
from spectral_jepa.pixels.data.formats.recording import Picture, Recording, rows

NAME = "a folder of videos or pictures with a table (csv or parquet) of the columns episode and action_0, action_1, ..."
TABLES, PICTURES = (".csv", ".parquet"), (".png", ".jpg", ".jpeg", ".bmp", ".webp")
VIDEOS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".gif")
NUMBERED = re.compile(r"(.+)_(\d+)")


def recognises(path: Path) -> bool:
    """A folder with one table that has the columns ``episode`` and ``action_0``."""
    tables = _tables(path)
    return len(tables) == 1 and {"episode", "action_0"} <= set(_columns(tables[0]))


def read(path: Path, camera: str | None) -> Recording:
    """The recording of such a folder; rows of an episode are in the order of its pictures."""
    if camera is not None:
        raise InputError(f"--camera is {camera!r}, but {path} has one picture a row, expected none: leave it out")
    (file,) = _tables(path)
    table = pd.read_csv(file, dtype={"episode": str}) if file.suffix == ".csv" else pd.read_parquet(file)
    names = [str(name) for name in table["episode"].unique()]
    groups = _groups(file, table)

    def episode(k: int, picture: Picture) -> dict[str, NDArray[Any]]:
        own = table[table["episode"].astype(str) == names[k]]
        where = f"{file}: episode {names[k]!r}"
        try:
            columns = {name: own[members].to_numpy(dtype=np.float64) for name, members in groups.items()}
        except (ValueError, TypeError) as error:
            raise InputError(f"{where}: {first_line(error)[:100]}, expected numbers: mend the table") from None
        frames = (picture(frame) for frame in _pictures(path, names[k]))
        return rows(frames, columns.pop("action"), columns, where)

    return Recording("a folder of videos or pictures with a table", len(names), episode)


def _tables(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.suffix in TABLES) if path.is_dir() else []


def _columns(file: Path) -> list[str]:
    try:
        if file.suffix == ".csv":
            return list(pd.read_csv(file, nrows=0).columns)
        import pyarrow.parquet

        return list(pyarrow.parquet.read_schema(file).names)
    except Exception:  # whatever it is, it is no such table
        return []


def _groups(file: Path, table: pd.DataFrame) -> dict[str, list[str]]:
    """Columns of the result and what they are made of: NAME_0, NAME_1, ... side by side, a column of numbers by itself."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for column in table.columns:
        match = NUMBERED.fullmatch(str(column))
        if column != "episode" and (match or pd.api.types.is_numeric_dtype(table[column])):
            name, number = (match[1], int(match[2])) if match else (str(column), 0)
            groups.setdefault(name, []).append((number, column))
    for name, members in groups.items():
        numbers = sorted(number for number, _ in members)
        if numbers != list(range(len(numbers))):
            raise InputError(
                f"{file} has columns {name}_{numbers[0]} to {name}_{numbers[-1]}, {len(numbers)} of them, expected "
                f"{name}_0, {name}_1 and so on without a gap: rename them"
            )
    return {name: [column for _, column in sorted(members)] for name, members in groups.items()}


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Order of file names in which 10 comes behind 9."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path.name)]


def _pictures(path: Path, name: str) -> Iterator[NDArray[np.uint8]]:
    """The pictures of an episode: NAME/*.png in natural order, the video NAME, or NAME with a video's extension."""
    own = path / name
    if not own.resolve().is_relative_to(path.resolve()):
        raise InputError(f"episode {name!r} lies outside {path}, expected a name in that folder: move it there")
    if own.is_dir():
        yield from _still(own)
        return
    found = [own] if own.is_file() else [file for end in VIDEOS if (file := path / f"{name}{end}").is_file()]
    if len(found) != 1:
        shown = ", ".join(file.name for file in found) or "nothing"
        raise InputError(
            f"{path} has {shown} for episode {name!r}, expected a folder {name} of pictures or a video {name}.mp4: add it"
        )
    yield from frames_of(found[0])


def _still(folder: Path) -> Iterator[NDArray[np.uint8]]:
    with needs_package("reading pictures", "pixels"):
        from PIL import Image
    for file in sorted((file for file in folder.iterdir() if file.suffix.lower() in PICTURES), key=_natural):
        try:
            with Image.open(file) as opened:
                deep = opened.mode.startswith(("I", "F"))
                frame = np.array(opened.convert("RGB"), dtype=np.uint8)
        except Exception as error:  # of Pillow and its decoders
            raise InputError(
                f"{file} is no picture that can be read ({first_line(error)[:100]}), expected a PNG or a JPEG: save it anew"
            ) from None
        if deep:
            raise InputError(f"{file} has more than 8 bits a colour, expected 8: convert the pictures first")
        yield frame
