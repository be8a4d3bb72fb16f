"""Convert recorded episodes of any known format into one file of ours, or into a Minari dataset."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spectral_jepa._files import file_digest, lock, read_json, remove_leftovers, value_digest, write_atomic
from spectral_jepa._signatures import checked
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import InputError, check_choice
from spectral_jepa.pixels.data.episodes import EpisodeDataset
from spectral_jepa.pixels.data.formats import _minari
from spectral_jepa.pixels.data.formats.known import open_recording
from spectral_jepa.pixels.data.formats.recording import Picture, Recording, square_picture
from spectral_jepa.pixels.data.hdf5 import join_files, open_file, write_episodes
from spectral_jepa.pixels.data.origin import fit_for_simulation, origin_of
from spectral_jepa.pixels.environments import environment_class, make_environment
from spectral_jepa.training import config_difference

LAYOUTS = ("hdf5", "minari")
# What a kill may lose, about so many bytes of pictures.
PART_BYTES = 64 * 2**20
# Episodes whose states are compared with the simulator's before anything is written.
N_COMPARED = 3


@checked()
def convert(
    source: str | Path,
    out: str | Path,
    *,
    layout: str = "hdf5",
    environment: str | None = None,
    image_size: int | None = None,
    square: str | None = None,
    camera: str | None = None,
    progress: bool = True,
) -> Path:
    """Write recorded episodes of any known format as data that every command of ours reads.

    Parameters
    ----------
    source : str or Path
        File or folder of a format of :func:`spectral_jepa.pixels.data.formats.known.open_recording`.
    out : str or Path
        The HDF5 file to write, or the folder of the Minari dataset.
    layout : {"hdf5", "minari"}
        Ours (:mod:`spectral_jepa.pixels.data.hdf5`), or Minari's, every column an observation, pictures without loss.
    environment : str, optional
        The simulator that the data come from: a built-in one, or ``module:Class``. The recorded states and actions of the
        first episodes are compared with it before it is written into the file. Default: what the data say, if anything.
    image_size : int, optional
        Side of the pictures written. Default: as they are.
    square : {"crop", "pad"}, optional
        What becomes of pictures that are not square: the middle, or black beside them. Default: they are refused.
    camera : str, optional
        Which column of pictures, where there are several.
    progress : bool
        Show a bar of episodes.

    Returns
    -------
    Path
        ``out``. A file that is there already, of the same source and settings, is returned as it is.

    Raises
    ------
    InputError
        As ``open_recording``; data that do not move as the environment does; a file of something else in the way.

    Notes
    -----
    One episode is in memory at a time. HDF5 is written in parts beside the file (``OUT.parts``): a call that was stopped
    goes on there. Of as many actions as pictures, as robots record, the last is dropped: nothing shows what came of it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> episode = {"pixels": np.zeros((3, 8, 8, 3), np.uint8), "action": np.array([[1.0], [2.0], [np.nan]])}
    >>> large = write_episodes(folder / "large.h5", [episode, episode])
    >>> with open_file(convert(large, folder / "small.h5", image_size=4, progress=False)) as file:
    ...     file["pixels"].shape, file["action"][:2].ravel().tolist()
    ((6, 4, 4, 3), [1.0, 2.0])
    """
    source, out = Path(source), Path(out)
    check_choice("layout", layout, LAYOUTS)
    picture = square_picture(image_size, square)
    recording = open_recording(source, camera)
    if not recording.n_episodes:
        raise InputError(f"{source} has no episode, expected at least one: record some")
    origin = _checked_origin(source, recording, environment)
    if layout == "minari":
        return _minari.write(out, recording, picture, origin, progress=progress)
    asked: dict[str, Any] = {
        "source": str(source.resolve()), "content": _fingerprint(source), "environment": environment,
        "image_size": image_size, "square": square, "camera": camera,
    }  # fmt: skip
    if _is_done(out, asked):  # another file is refused before anything is written beside it
        return out
    folder = out.with_name(f"{out.name}.parts")
    folder.mkdir(parents=True, exist_ok=True)  # before the lock, which waits where none may write
    # Two calls for the same file: the second one waits, and finds it done.
    with lock(out.with_name(f".{out.name}.lock")):
        if not _is_done(out, asked):
            _write(out, folder, recording, picture, asked, origin, progress)
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _checked_origin(source: Path, recording: Recording, environment: str | None) -> str | None:
    """The record of the environment that goes into the file; one that was asked for is compared with the first episodes."""
    if environment is None:
        return recording.origin
    world = environment_class(environment)
    blind: list[dict[str, Any]] = []
    for k in range(min(N_COMPARED, recording.n_episodes)):
        blind.append(dict(recording.read(k, lambda frame: np.zeros((1, 1, 3), np.uint8))))
    origin = None if recording.origin is None else json.loads(recording.origin)
    dataset = replace(EpisodeDataset.from_episodes(blind, row_steps=recording.row_steps), path=source, origin=origin)
    if dataset.action_dim != world.action_dim:
        raise InputError(
            f"{source} has actions of {dataset.action_dim} numbers, but {environment!r} has {world.action_dim}, expected "
            "the environment that the data come from: name another, or none"
        )
    fit_for_simulation(dataset, environment, make_environment(environment, 32))
    return json.dumps(origin_of(world), sort_keys=True)


def _write(
    out: Path,
    folder: Path,
    recording: Recording,
    picture: Picture,
    asked: dict[str, Any],
    origin: str | None,
    progress: bool,
) -> None:
    record = folder / "settings.json"
    if record.is_file():
        _check_same(out, read_json(record, (), f"remove {folder} to convert again"), asked)
    write_atomic(record, json.dumps(asked).encode())
    remove_leftovers(folder)
    size = max(1, PART_BYTES // recording.read(0, picture)["pixels"].nbytes)
    numbers = range(recording.n_episodes)
    parts = {folder / f"{first:08d}.h5": numbers[first : first + size] for first in numbers[::size]}
    todo = {file: own for file, own in parts.items() if not _is_whole(file)}
    begun = len(numbers) - sum(len(own) for own in todo.values())
    with Bar(total=len(numbers), initial=begun, desc=f"convert {out.name}", unit="episode", disable=not progress) as bar:

        def episodes(own: range) -> Iterator[Any]:
            for k in own:
                yield recording.read(k, picture)
                bar.update()

        for file, own in todo.items():
            write_episodes(file, episodes(own))
            write_atomic(file.with_suffix(".sha256"), file_digest(file).encode())
    attributes = {"converted": json.dumps(asked)} | ({} if origin is None else {"environment": origin})
    if recording.row_steps > 1:
        attributes["row_steps"] = str(recording.row_steps)
    join_files(out, list(parts), attributes)


def _is_whole(file: Path) -> bool:
    digest = file.with_suffix(".sha256")
    return file.is_file() and digest.is_file() and digest.read_bytes() == file_digest(file).encode()


def _is_done(out: Path, asked: dict[str, Any]) -> bool:
    if not out.exists():
        return False
    with open_file(out) as file:
        said = file.attrs.get("converted")
    if said is None:
        raise InputError(f"{out} exists but was not written by convert, expected a new name or its own file: choose another")
    _check_same(out, json.loads(said), asked)
    return True


def _check_same(out: Path, said: dict[str, Any], asked: dict[str, Any]) -> None:
    differences = config_difference(said, asked)
    if differences:
        raise InputError(
            f"{out} was converted, or begun, with other settings or data ({'; '.join(differences)}), expected the same: "
            f"choose another name, or remove it and {out.name}.parts"
        )


def _fingerprint(source: Path) -> str:
    """Names, sizes and times of change of the files: what a conversion that goes on must find unchanged."""
    files = sorted(file for file in source.rglob("*") if file.is_file()) if source.is_dir() else [source]
    return value_digest([[str(f.relative_to(source)), f.stat().st_size, f.stat().st_mtime_ns] for f in files])
