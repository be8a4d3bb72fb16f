"""Files of episodes unpacked for training, which reads at random: in chunked HDF5 that is slow, in mapped .npy files fast.

Reading takes any filter that the installed HDF5 knows; hdf5plugin adds blosc, zstd, lz4 and others.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spectral_jepa._files import DIGESTS, file_digest, lock, read_sums, remove_leftovers, temporary_path, write_sums
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import InputError, nearest, warn_user
from spectral_jepa.pixels.data.episodes import (
    EpisodeDataset,
    check_episodes,
    check_row_steps,
    check_values,
)
from spectral_jepa.pixels.data.hdf5 import BLOCK_BYTES, INDEX_COLUMNS, open_file
from spectral_jepa.pixels.data.places import derived_path

# A column above this size is checked when its file was touched after it was unpacked: reading 100 GiB takes minutes.
ALWAYS_READ_BYTES = 2 * 2**30


def open_dataset(
    path: str | Path,
    *,
    image_size: int | None = None,
    action_dim: int | None = None,
    columns: Iterable[str] = (),
    cache: str | Path | None = None,
    progress: bool = True,
) -> EpisodeDataset:
    """Open a file in the public layout for random access.

    The first time, its columns are unpacked into a folder of .npy files; later they are checked and mapped. The folder
    belongs to the file's size and time of change: a changed file is unpacked again and the old folder removed, and so is a
    folder that does not match its SHA256SUMS. Processes that ask at the same time wait for the one that unpacks.

    Parameters
    ----------
    path : str or Path
        HDF5 file: ``pixels`` uint8 (rows, H, W, 3), ``action`` (rows, A), ``ep_len``, ``ep_offset``, any other columns. Its
        attribute ``row_steps``, where there is one, says how many raw steps r lie between two rows, and ``action`` is
        (rows, r A).
    image_size, action_dim : int, optional
        What the caller's model expects; another one in the file is refused. Default: any.
    columns : iterable of str
        Further columns that must be there.
    cache : str or Path, optional
        Where the unpacked folder, the split and the like go. Default: beside the file, or, where that cannot be written to,
        in the user's cache; see :func:`spectral_jepa.pixels.data.places.derived_path`.
    progress : bool
        Show a bar while unpacking.

    Returns
    -------
    EpisodeDataset
        Text columns, and columns with another number of rows than ``pixels``, are left out.

    Raises
    ------
    InputError
        No such file, no HDF5 or a truncated one, a compression that cannot be read, a missing column, another resolution or
        action dimension, an index of episodes that overlap or end after the last row, actions or states that are not finite
        (:func:`spectral_jepa.pixels.data.episodes.check_values`), a place without room or permission to write.

    Notes
    -----
    O(bytes), 64 MiB of them in memory at a time: later calls read them once, to check their digests, columns above 2 GiB
    only where the file was touched since.

    Examples
    --------
    >>> import tempfile
    >>> from spectral_jepa.pixels.data.hdf5 import write_episodes
    >>> episode = {"pixels": np.full((3, 4, 4, 3), 7, np.uint8), "action": np.zeros((3, 2))}
    >>> path = write_episodes(tempfile.mkdtemp() + "/two.h5", [episode, episode])
    >>> data = open_dataset(path, image_size=4, action_dim=2, progress=False)
    >>> data, data.rows(1), int(data.pixels[5, 0, 0, 0])
    (EpisodeDataset(2 episodes, 6 rows, columns ['action']), array([3, 4, 5]), 7)
    """
    path = Path(path)
    cache = None if cache is None else Path(cache)
    with open_file(path) as file:
        arrays = {name: data for name, data in file.items() if hasattr(data, "shape")}
        row_steps = _read_row_steps(path, file.attrs, arrays)
        _check_columns(path, arrays, image_size, action_dim, row_steps, tuple(columns))
        with _reading(path):
            check_episodes(str(path), file["ep_len"][:], file["ep_offset"][:], len(arrays["pixels"]))
        rows = len(arrays["pixels"])
        kept = {
            name: data
            for name, data in arrays.items()
            if name in INDEX_COLUMNS or (data.dtype.kind in "biuf" and data.shape[:1] == (rows,))
        }
        origin = _read_origin(file.attrs)
        status = path.stat()
        key = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
        folder = derived_path(path, f"{path.name}.unpacked-{key}", cache, beside_first=False)
        if not _is_whole(folder):
            with lock(folder.parent / f".{path.name}.lock"):
                if not _is_whole(folder):  # another process may have unpacked it while this one waited
                    if read_sums(folder):
                        warn_user(f"{folder} does not match its {DIGESTS}: unpacked again from {path}")
                    shutil.rmtree(folder, ignore_errors=True)
                    _unpack(path, kept, folder, progress)
    dataset = EpisodeDataset.load(folder, path, cache=cache, origin=origin, row_steps=row_steps)
    check_values(dataset)
    return dataset


def file_origin(path: str | Path) -> dict[str, str] | None:
    """Which environment a file says it comes from.

    Parameters
    ----------
    path : str or Path
        HDF5 file.

    Returns
    -------
    dict of str or None
        ``name`` and, of what this version collected, ``digest`` and ``class``; None where the file does not say it.

    Raises
    ------
    InputError
        No such file, or no HDF5.

    Examples
    --------
    >>> import tempfile
    >>> from spectral_jepa.pixels.data.hdf5 import write_episodes
    >>> episode = {"pixels": np.zeros((3, 4, 4, 3), np.uint8), "action": np.zeros((3, 2))}
    >>> file_origin(write_episodes(tempfile.mkdtemp() + "/one.h5", [episode], {"environment": '{"name": "cube"}'}))
    {'name': 'cube'}
    """
    with open_file(Path(path)) as file:
        return _read_origin(file.attrs)


def _read_origin(attributes: Mapping[str, Any]) -> dict[str, str] | None:
    """Which environment a file says it comes from: what collect writes; files of its earlier versions have the name only."""
    try:
        if "environment" in attributes:
            return {name: str(value) for name, value in json.loads(attributes["environment"]).items()}
        return {"name": str(json.loads(attributes["config"])["environment"])} if "config" in attributes else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _read_row_steps(path: Path, attributes: Mapping[str, Any], arrays: Mapping[str, Any]) -> int:
    """Raw steps between two rows, as the file says it; 1 where it says nothing, as public files do."""
    said = attributes.get("row_steps", 1)
    try:
        steps = int(said)
    except (ValueError, TypeError):
        raise InputError(
            f"{path} says that its rows are {said!r} raw steps apart, expected a whole number in the attribute row_steps: "
            "remove it where a row is one raw step, or collect again"
        ) from None
    return check_row_steps(str(path), steps, tuple(arrays["action"].shape) if "action" in arrays else ())


def _is_whole(folder: Path) -> bool:
    """Whether every column is what was unpacked, byte by byte; a large one is read again only where it was touched since."""
    digests = read_sums(folder)
    if not digests or {file.name for file in folder.glob("*.npy")} != set(digests):
        return False
    since = (folder / DIGESTS).stat().st_mtime_ns
    for name, digest in digests.items():
        status = (folder / name).stat()
        untouched = status.st_size > ALWAYS_READ_BYTES and status.st_mtime_ns <= since
        if not untouched and file_digest(folder / name) != digest:
            return False
    return True


def _check_columns(
    path: Path,
    arrays: Mapping[str, Any],
    image_size: int | None,
    action_dim: int | None,
    row_steps: int,
    more: tuple[str, ...],
) -> None:
    missing = [name for name in ("pixels", "action", *INDEX_COLUMNS, *more) if name not in arrays]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}, expected it among {', '.join(sorted(arrays)) or 'its columns'}"
            f"{nearest(missing[0], arrays)}: "
            "check that it is in the public layout of episodes"
        )
    pixels, action = arrays["pixels"], arrays["action"]
    for name in INDEX_COLUMNS:
        index = arrays[name]
        if index.dtype.kind not in "iu" or len(index.shape) != 1:
            what = "text" if index.dtype.kind in "OSUV" else str(index.dtype)
            raise InputError(
                f"{path} has {name} of {what} {tuple(index.shape)}, expected whole numbers (N,), one an episode: "
                "write it again as a flat integer column"
            )
    if action.dtype.kind not in "biuf":
        raise InputError(f"{path} has action of type {action.dtype}, expected numbers: convert them first")
    if pixels.dtype != np.uint8 or len(pixels.shape) != 4 or pixels.shape[1] != pixels.shape[2] or pixels.shape[3] != 3:
        raise InputError(
            f"{path} has pixels {pixels.dtype} {tuple(pixels.shape)}, expected uint8 (rows, size, size, 3): "
            "convert them first"
        )
    if image_size is not None and pixels.shape[1] != image_size:
        raise InputError(
            f"{path} has pictures of {pixels.shape[1]} x {pixels.shape[1]} pixels, expected {image_size} x {image_size}: "
            "set image_size of the model, or collect at that size"
        )
    if len(action.shape) != 2 or len(action) != len(pixels):
        raise InputError(
            f"{path} has action {tuple(action.shape)}, expected ({len(pixels)}, action dimension): one action a picture"
        )
    if action_dim is not None and action.shape[1] != action_dim * row_steps:
        raise InputError(
            f"{path} has {action.shape[1] // row_steps}-dimensional actions, expected {action_dim}: "
            "set action_dim of the model, or use the data of its environment"
        )


@contextlib.contextmanager
def _reading(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if "required filter" in str(error) or "registered" in str(error) or "plugin" in str(error):
            raise InputError(
                f"{path} is compressed with a filter that is not installed ({error}), expected one that is: "
                "run pip install 'spectral-jepa[pixels]'"
            ) from None
        raise InputError(
            f"{path} cannot be read to its end ({error}), expected a whole file: copy or collect it again"
        ) from None


def _unpack(path: Path, arrays: Mapping[str, Any], folder: Path, progress: bool) -> None:
    needed = sum(math.prod(data.shape) * data.dtype.itemsize for data in arrays.values())
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise InputError(
            f"unpacking {path} needs {needed / 2**30:.1f} GiB but {folder.parent} has {free / 2**30:.1f} GiB free: "
            "pass --cache FOLDER (cache= in Python) with a folder on a larger disk"
        )
    prefix = f"{path.name}.unpacked-"
    # Under the lock, so whatever is left under a temporary name belongs to a process that died.
    remove_leftovers(folder.parent, f"{prefix}*")
    temporary = temporary_path(folder)
    temporary.mkdir()
    digests: dict[str, str] = {}
    try:
        with Bar(total=needed, desc=f"unpack {path.name}", unit="B", unit_scale=True, disable=not progress) as bar:
            digests = {}
            for name, data in arrays.items():
                digests[f"{name}.npy"] = _unpack_column(path, data, temporary / f"{name}.npy", bar)
        write_sums(temporary, digests)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in folder.parent.glob(f"{prefix}*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)


def _unpack_column(path: Path, data: Any, file: Path, bar: Any) -> str:
    """Write a column as .npy, block by block, and return its digest."""
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(data.dtype)
    np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": tuple(data.shape)})
    sha = hashlib.sha256(header.getvalue())
    row_bytes = max(1, math.prod(data.shape[1:]) * data.dtype.itemsize)
    rows = max(1, BLOCK_BYTES // row_bytes)
    # Not through a memory map: a disk that is full would end the process without a word.
    with file.open("xb") as target:
        target.write(header.getvalue())
        for start in range(0, len(data), rows):
            with _reading(path):
                block = np.ascontiguousarray(data[start : start + rows])
            target.write(block.data)
            sha.update(block.data)
            bar.update(block.nbytes)
        target.flush()
        os.fsync(target.fileno())
    return sha.hexdigest()
