"""Episodes on disk in the public layout: one HDF5 dataset a column, all rows end to end, ep_len and ep_offset."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._files import atomic_file
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import InputError, first_line

INDEX_COLUMNS = ("ep_len", "ep_offset")
BLOCK_BYTES = 64 * 2**20
Episode = Mapping[str, NDArray[Any]]


def write_episodes(path: str | Path, episodes: Iterable[Episode], attributes: Mapping[str, str] | None = None) -> Path:
    """Write episodes to one HDF5 file in the public layout; a crash at any moment leaves the old file or none.

    Parameters
    ----------
    path : str or Path
    episodes : iterable of dict of arrays
        Columns of each episode, all with the episode's number of rows: ``pixels`` uint8 (rows, H, W, 3), ``action``
        (rows, A) with NaN in the last row, and any others.
    attributes : dict of str, optional
        Text stored with the file.

    Returns
    -------
    Path
        The file. Pixels are chunked one frame and compressed with blosc-lz4, or with gzip where hdf5plugin is missing; every
        chunk has a checksum, so that a flipped byte is an error when it is read.

    Raises
    ------
    InputError
        h5py is not installed, there is no episode, or an episode has other columns than the first or ragged ones.

    Notes
    -----
    O(bytes); one episode is in memory at a time.

    Examples
    --------
    >>> import tempfile
    >>> episodes = [{"pixels": np.zeros((n, 4, 4, 3), np.uint8), "action": np.zeros((n, 2))} for n in (3, 5)]
    >>> path = write_episodes(tempfile.mkdtemp() + "/two.h5", episodes)
    >>> with open_file(path) as file:
    ...     sorted(file), file["ep_len"][:].tolist(), file["ep_offset"][:].tolist(), len(file["pixels"])
    (['action', 'ep_len', 'ep_offset', 'pixels'], [3, 5], [0, 3], 8)
    """
    path = Path(path)
    with _new_file(path, attributes or {}) as (file, lengths, disk):
        for number, episode in enumerate(episodes):
            columns = {name: np.asarray(values) for name, values in episode.items()}
            if not lengths:
                for name, values in columns.items():
                    shape = values.shape[1:]
                    options = {"chunks": (1, *shape), **_compression()} if name == "pixels" else {"chunks": (1024, *shape)}
                    file.create_dataset(name, (0, *shape), values.dtype, maxshape=(None, *shape), fletcher32=True, **options)
            _check_episode(number, columns, file)
            lengths.append(len(columns["pixels"]))
            for name, values in columns.items():
                _extend(file[name], values)
            disk.check()
    return path


def join_files(path: str | Path, parts: Sequence[Path], attributes: Mapping[str, str], progress: bool = False) -> Path:
    """Join files of :func:`write_episodes` into one; a crash at any moment leaves the old file or none.

    Parameters
    ----------
    path : str or Path
    parts : sequence of Path
        Files with the same columns, in the order of their episodes.
    attributes : dict of str
        Text stored with the new file; that of the parts is left behind.
    progress : bool
        Show a bar of parts.

    Returns
    -------
    Path
        The new file.

    Raises
    ------
    InputError
        h5py is not installed, there is no part, or one is missing or truncated.

    Notes
    -----
    O(bytes). Compressed frames are copied as they are; other columns are read part by part.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> episode = {"pixels": np.zeros((3, 4, 4, 3), np.uint8), "action": np.zeros((3, 2))}
    >>> parts = [write_episodes(folder / f"{n}.h5", [episode] * n) for n in (2, 1)]
    >>> with open_file(join_files(folder / "all.h5", parts, {"config": "{}"})) as file:
    ...     file["ep_offset"][:].tolist(), file.attrs["config"]
    ([0, 3, 6], '{}')
    """
    h5py = _h5py()
    path = Path(path)
    with _new_file(path, attributes) as (file, lengths, disk):
        for part_path in Bar(parts, desc=f"write {path.name}", unit="part", disable=not progress):
            with open_file(part_path) as part, _whole_part(part_path):
                names = [name for name in part if name not in INDEX_COLUMNS]
                if not lengths:
                    for name in names:
                        source = part[name]
                        space = h5py.h5s.create_simple((0, *source.shape[1:]), (h5py.h5s.UNLIMITED, *source.shape[1:]))
                        h5py.h5d.create(file.id, name.encode(), source.id.get_type(), space, source.id.get_create_plist())
                lengths.extend(int(n) for n in part["ep_len"][:])
                for name in names:
                    _copy(part[name], file[name])
            disk.check()
    return path


@contextlib.contextmanager
def _whole_part(path: Path) -> Generator[None]:
    try:
        yield
    except (OSError, KeyError) as error:
        raise InputError(
            f"{path} is damaged ({first_line(error)}), expected a part as it was written: remove it and run again"
        ) from None


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError:
        raise InputError(
            "HDF5 files need the package 'h5py', which is not installed: run pip install 'spectral-jepa[pixels]'"
        ) from None
    with contextlib.suppress(ModuleNotFoundError):
        import hdf5plugin  # noqa: F401  (registers its filters)
    return h5py


def _compression() -> dict[str, Any]:
    try:
        import hdf5plugin
    except ModuleNotFoundError:
        return {"compression": "gzip", "compression_opts": 1}
    return dict(hdf5plugin.Blosc(cname="lz4"))


@contextlib.contextmanager
def open_file(path: Path) -> Generator[Any]:
    """An HDF5 file opened for reading, closed after the block.

    Parameters
    ----------
    path : Path

    Yields
    ------
    h5py.File

    Raises
    ------
    InputError
        h5py is not installed, or the file is missing, locked, truncated or something else, which the message names; a column
        that is not stored in the file itself (an external link, external storage, a virtual dataset).

    Examples
    --------
    >>> with open_file(Path("no_such.h5")) as file:
    ...     pass
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: there is no file no_such.h5, expected an HDF5 file of episodes: check the path ...
    """
    h5py = _h5py()
    if path.is_dir():
        raise InputError(f"{path} is a folder, expected an HDF5 file of episodes: name the file in it")
    if not path.is_file():
        raise InputError(f"there is no file {path}, expected an HDF5 file of episodes: check the path or collect it first")
    try:
        file = h5py.File(path, "r", rdcc_nbytes=BLOCK_BYTES)
    except OSError as error:
        raise _cannot_open(path, error) from None
    with file:
        try:
            _refuse_elsewhere(path, file)
        except (KeyError, OSError, RuntimeError) as error:  # damage in what describes the columns
            raise InputError(
                f"{path} cannot be read to its end ({first_line(error)}), expected a whole file: copy or collect it again"
            ) from None
        yield file


# First bytes of what is taken for a data file -> what it is, and what to do.
_OTHER_FILES = {
    b"\x28\xb5\x2f\xfd": ("is compressed with Zstandard", "unpack it first: unzstd"),
    b"\x1f\x8b": ("is compressed with gzip", "unpack it first: gunzip"),
    b"PK\x03\x04": ("is a ZIP archive", "unpack it first: unzip"),
    b"version https://git-lfs": ("is a Git LFS pointer, not the data", "fetch the data: git lfs pull"),
    b"<!doctype html": ("is an HTML page", "download the file itself: the address gave a page, often a login"),
    b"<html": ("is an HTML page", "download the file itself: the address gave a page, often a login"),
}


def _cannot_open(path: Path, error: OSError) -> InputError:
    """What is the matter with a file that HDF5 does not open."""
    if error.errno in (errno.EACCES, errno.EPERM) and not os.access(path, os.R_OK):
        return InputError(
            f"{path} may not be read by this user, expected a readable file: change its permissions or copy it"
        )
    if error.errno in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK) or "unable to lock" in str(error):
        return InputError(
            f"{path} is locked by another program that writes it, expected a file that nobody writes: close that program "
            "and run again"
        )
    with path.open("rb") as raw:
        start = raw.read(64)
    for magic, (what, remedy) in _OTHER_FILES.items():
        if start.lstrip().lower().startswith(magic.lower()) or start.startswith(magic):
            return InputError(f"{path} {what}, expected an HDF5 file of episodes: {remedy}")
    reason = "is truncated" if "truncated" in str(error) else "is not a whole HDF5 file"
    return InputError(
        f"{path} {reason} at {path.stat().st_size} bytes, expected a file of episodes: copy or collect it again"
    )


def _refuse_elsewhere(path: Path, file: Any) -> None:
    """Refuse columns whose numbers lie outside the file: nobody would notice when these change."""
    h5py = _h5py()
    for name in file:
        what = None
        link = file.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            what = f"an external link to {link.filename}"
        elif isinstance(link, h5py.SoftLink) and file.get(name) is None:
            raise InputError(f"{path}: column {name!r} is a link to nothing, expected a column: remove the link")
        elif isinstance(data := file[name], h5py.Dataset):
            if data.external:
                what = f"stored in another file, {data.external[0][0]}"
            elif data.is_virtual:
                what = "a virtual dataset, put together from other files"
        if what is not None:
            raise InputError(
                f"{path}: column {name!r} is {what}, expected columns stored in the file itself: copy it into one file, "
                "for instance with h5repack or h5py"
            )


@contextlib.contextmanager
def _new_file(path: Path, attributes: Mapping[str, str]) -> Generator[tuple[Any, list[int], _Disk]]:
    """A file under a temporary name, the list of episode lengths to fill, and its disk; it gets its name in the end."""
    h5py = _h5py()
    path.parent.mkdir(parents=True, exist_ok=True)
    lengths: list[int] = []
    with atomic_file(path) as raw:
        disk = _Disk(raw)
        with h5py.File(disk, "w", libver="latest") as file:
            file.attrs.update(dict(attributes))
            yield file, lengths, disk
            if not lengths:
                raise InputError(f"there are no episodes to write to {path}, expected at least one: collect some")
            _write_index(file, "ep_len", np.array(lengths, dtype=np.int32))
            _write_index(file, "ep_offset", np.cumsum(lengths, dtype=np.int64) - np.array(lengths))
        disk.check()


class _Disk(io.RawIOBase):
    """A file that keeps the system's error to itself, until it is asked: HDF5 crashes of one that comes while it closes."""

    def __init__(self, file: Any) -> None:
        self.file: io.FileIO = file.raw
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the error that came, if one did."""
        if self.error is not None:
            raise self.error

    def write(self, content: Any) -> int:
        rest = memoryview(content).cast("B")
        size = len(rest)
        try:
            while len(rest) and self.error is None:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return self.file.truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        return self.file.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


def _write_index(file: Any, name: str, values: NDArray[Any]) -> None:
    file.create_dataset(name, data=values, chunks=(len(values),), fletcher32=True)


def _check_episode(number: int, columns: Episode, file: Any) -> None:
    expected = {name: data.shape[1:] for name, data in file.items()}
    found = {name: values.shape[1:] for name, values in columns.items()}
    if expected != found or not {"pixels", "action"} <= set(found):
        raise InputError(
            f"episode {number} has columns {found}, expected pixels, action and what the first one has, {expected}: "
            "record the same columns in every episode"
        )
    if set(found) & set(INDEX_COLUMNS):
        raise InputError(f"episode {number} has a column ep_len or ep_offset, expected these to be free: rename it")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"episode {number} has columns of lengths {lengths}, expected one length: a row is one moment")


def _extend(target: Any, values: NDArray[Any]) -> None:
    start = len(target)
    target.resize(start + len(values), axis=0)
    target[start:] = values


def _copy(source: Any, target: Any) -> None:
    """Append a column to another; one-row chunks of the same compression go over without being unpacked."""
    same_filters = source.id.get_create_plist().equal(target.id.get_create_plist())
    if not same_filters or source.chunks[0] != 1:
        return _extend(target, source[:])
    start, rest = len(target), (0,) * (source.ndim - 1)
    target.resize(start + len(source), axis=0)
    for row in range(len(source)):
        mask, content = source.id.read_direct_chunk((row, *rest))
        target.id.write_direct_chunk((start + row, *rest), content, mask)
    return None
