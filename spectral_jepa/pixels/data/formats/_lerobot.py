"""LeRobot's datasets, versions 2.0, 2.1 and 3.0: tables in Parquet, pictures in mp4 or in the tables.

The layout is the one that ``meta/info.json`` says itself (codebase_version, data_path, video_path, features). In version 2
an episode has its own files; in version 3 many share one, and ``meta/episodes`` says where each begins.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spectral_jepa._validation import InputError, first_line, needs_package
from spectral_jepa.pixels.data.formats._choice import the_camera
from spectral_jepa.pixels.data.formats._video import frames_of
from spectral_jepa.pixels.data.formats.recording import Picture, Recording, as_picture, rows

NAME = "a LeRobot dataset, version 2 or 3 (a folder with meta/info.json)"
INFO = Path("meta/info.json")
# Numbers of rows and files, which say nothing about the world.
INDEX = {"index", "episode_index", "frame_index", "task_index", "timestamp"}


def recognises(path: Path) -> bool:
    """A folder whose meta/info.json names a version, features and paths."""
    return {"codebase_version", "features", "data_path"} <= set(_info(path))


def read(path: Path, camera: str | None) -> Recording:
    """The recording of such a dataset."""
    info = _info(path)
    version = str(info["codebase_version"]).removeprefix("v")
    if version.partition(".")[0] not in ("2", "3"):
        raise InputError(
            f"{path} is LeRobot's version {version}, expected 2.0, 2.1 or 3.0: convert it by LeRobot's own tools"
        )
    features = info["features"]
    found = [name for name, feature in features.items() if feature.get("dtype") in ("video", "image")]
    chosen = the_camera(path, found, camera)
    if "action" not in features:
        raise InputError(f"{path} has no feature 'action', expected it among {', '.join(features)}: choose other data")
    places = _places_v3(path, info) if version.startswith("3") else _places_v2(path, info)
    is_video = features[chosen]["dtype"] == "video"

    def episode(k: int, picture: Picture) -> dict[str, NDArray[Any]]:
        place = places[k]
        where = f"{path}: episode {place['episode_index']}"
        table = _table(path / place["data"])
        table = table[table["episode_index"] == place["episode_index"]].sort_values("frame_index")
        if len(table) != place["length"]:
            raise InputError(f"{where} has {len(table)} rows, expected {place['length']} as its list says: copy it anew")
        numbers = [
            name for name, feature in features.items() if name in table and feature["dtype"] not in ("string", "image")
        ]
        columns = {_short(name): np.stack(table[name].to_list()) for name in numbers if name not in INDEX}
        if is_video:
            file, start = _video_place(path, info, place, chosen)
            frames = frames_of(file, start, len(table))
        else:
            frames = _stored(table[chosen], where)
        return rows((picture(frame) for frame in frames), columns.pop("action"), columns, where)

    return Recording(f"LeRobot {version}", len(places), episode)


def _info(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / INFO).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _short(name: str) -> str:
    """Our name of a column: observation.state is state."""
    return name.removeprefix("observation.").replace(".", "_")


def _places_v2(path: Path, info: dict[str, Any]) -> list[dict[str, Any]]:
    """Where each episode of version 2 is, from meta/episodes.jsonl."""
    file = path / "meta/episodes.jsonl"
    try:
        listed = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
        numbers = [(int(entry["episode_index"]), int(entry["length"])) for entry in listed]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} cannot be read ({first_line(error)}), expected a line an episode: copy it anew") from None
    places: list[dict[str, Any]] = [{"episode_index": number, "length": length} for number, length in numbers]
    for place in places:
        place["chunk"] = place["episode_index"] // int(info.get("chunks_size", 1000))
        place["data"] = str(info["data_path"]).format(
            episode_chunk=place["chunk"], episode_index=place["episode_index"], total_episodes=info.get("total_episodes")
        )
    return places


def _places_v3(path: Path, info: dict[str, Any]) -> list[dict[str, Any]]:
    """Where each episode of version 3 is, from the tables in meta/episodes."""
    files = sorted((path / "meta/episodes").glob("*/*.parquet"))
    if not files:
        raise InputError(f"{path / 'meta/episodes'} holds no table, expected one that lists the episodes: copy it anew")
    table = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True).sort_values("episode_index")
    places: list[dict[str, Any]] = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    for place in places:
        place["data"] = str(info["data_path"]).format(
            chunk_index=int(place["data/chunk_index"]), file_index=int(place["data/file_index"])
        )
    return places


def _video_place(path: Path, info: dict[str, Any], place: dict[str, Any], camera: str) -> tuple[Path, float]:
    """The video that holds an episode, and the second at which the episode begins in it."""
    template, key = str(info["video_path"]), f"videos/{camera}"
    if f"{key}/chunk_index" not in place:
        name = template.format(episode_chunk=place.get("chunk"), video_key=camera, episode_index=place["episode_index"])
        return path / name, 0.0
    chunk, file = (int(place[f"{key}/{part}_index"]) for part in ("chunk", "file"))
    name = template.format(video_key=camera, chunk_index=chunk, file_index=file)
    return path / name, float(place[f"{key}/from_timestamp"])


@lru_cache(maxsize=2)
def _table(file: Path) -> pd.DataFrame:
    """A table of rows; the episodes of one file follow each other, so the last files are kept."""
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({first_line(error)[:100]}), expected a table: copy it anew") from None


def _stored(cells: pd.Series, where: str) -> Iterator[NDArray[np.uint8]]:
    """Pictures that lie in the table, as encoded bytes."""
    with needs_package("reading pictures", "pixels"):
        from PIL import Image
    for cell in cells:
        content = cell.get("bytes") if isinstance(cell, dict) else None
        if content is None:
            raise InputError(
                f"{where} names picture files, expected pictures in its table: write them as videos or embed them"
            )
        yield as_picture(np.array(Image.open(io.BytesIO(content)).convert("RGB")), where)
