"""Where the files of a sweep are: a folder of this machine, or any place that fsspec reaches (s3, gcs, memory, ...).

A local file is replaced in one step and a local folder is held by one process. Elsewhere that depends on the storage: an
object store puts an object whole or not at all, others may leave a part of a file, and none is held. Neither costs a result:
every cell's file carries its SHA-256, so that a part of one is known to be damaged and computed again, and two processes in
one place write the same cells twice. They do waste each other's work: give each its own shard.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spectral_jepa._files import hold_folder, remove_leftovers, write_atomic
from spectral_jepa._validation import InputError, first_line

CELLS = "cells"
# So many small files are asked for at once where the storage answers in parallel.
BATCH = 500


@dataclass(frozen=True)
class LocalPlace:
    """A folder of this machine.

    Parameters
    ----------
    folder : Path
        It may not be there yet.

    Examples
    --------
    >>> import tempfile
    >>> place = LocalPlace(Path(tempfile.mkdtemp()))
    >>> place.prepare()
    >>> place.write("cells/0a1b.json", b"{}")
    >>> place.names(), place.read_all(["cells/0a1b.json", "cells/ffff.json"])
    ({'0a1b.json'}, {'cells/0a1b.json': b'{}'})
    """

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def below(self, name: str) -> LocalPlace:
        """The place ``name`` within this one."""
        return LocalPlace(self.folder / name)

    def exists(self) -> bool:
        """Whether anything is here."""
        return self.folder.exists()

    def prepare(self) -> None:
        """Make the folders, and delete what killed writers left in them."""
        (self.folder / CELLS).mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, self.folder / CELLS):
            remove_leftovers(folder)

    def hold(self) -> AbstractContextManager[None]:
        """Hold the folder against other processes."""
        return hold_folder(self.folder)

    def names(self, below: str = CELLS) -> set[str]:
        """Names of the files, and folders, below."""
        try:
            return {path.name for path in (self.folder / below).iterdir() if not path.name.startswith(".")}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def read(self, name: str) -> bytes:
        """Content of a file; FileNotFoundError where there is none."""
        return (self.folder / name).read_bytes()

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Name -> content of those files that are there."""
        found = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found[name] = self.read(name)
        return found

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all.

        Parameters
        ----------
        name : str
            Within this place.
        content : bytes
        """
        path = self.folder / name
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; those that are not there are as they should be."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class RemotePlace:
    """A place that fsspec reaches.

    Parameters
    ----------
    url : str
        As fsspec takes it: "s3://bucket/sweep". Keys and addresses of servers come from fsspec's own configuration.

    Examples
    --------
    >>> place = RemotePlace("memory://doctest/sweep")
    >>> place.write("cells/0a1b.json", b"{}")
    >>> place.names(), place.read_all(["cells/0a1b.json", "cells/ffff.json"])
    ({'0a1b.json'}, {'cells/0a1b.json': b'{}'})
    """

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def _there(self) -> tuple[Any, str]:
        """The file system and the path in it; fsspec keeps one a process."""
        return _filesystem(self.url)

    def below(self, name: str) -> RemotePlace:
        """The place ``name`` within this one."""
        return RemotePlace(f"{self.url.rstrip('/')}/{name}")

    def exists(self) -> bool:
        """Whether anything is here."""
        files, path = self._there
        files.invalidate_cache()
        return bool(files.exists(path))

    def prepare(self) -> None:
        """See that it can be written to, before hours of work."""
        try:
            self.write(".writable", b"")
            self.remove([".writable"])
        except Exception as error:  # each storage has errors of its own
            raise InputError(
                f"{self.url} cannot be written to ({type(error).__name__}: {first_line(error)}), expected a place for "
                "results: check the address and the credentials"
            ) from error

    def hold(self) -> AbstractContextManager[None]:
        """Nothing is held: storage of objects has no locks that end with their process."""
        return contextlib.nullcontext()

    def names(self, below: str = CELLS) -> set[str]:
        """Names of the files, and folders, below."""
        files, path = self._there
        files.invalidate_cache()
        try:
            found = files.ls(f"{path}/{below}".rstrip("/"), detail=False)
        except FileNotFoundError:
            return set()
        return {name.rstrip("/").rpartition("/")[2] for name in found} - {""}

    def read(self, name: str) -> bytes:
        """Content of a file; FileNotFoundError where there is none."""
        files, path = self._there
        return bytes(files.cat_file(f"{path}/{name}"))

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Name -> content of those files that are there, asked for many at once."""
        files, path = self._there
        wanted, found = list(names), {}
        for begin in range(0, len(wanted), BATCH):
            part = {f"{path}/{name}": name for name in wanted[begin : begin + BATCH]}
            for at, content in files.cat(list(part), on_error="return").items():
                if isinstance(content, FileNotFoundError):
                    continue
                if isinstance(content, Exception):
                    raise content
                found[part[at]] = bytes(content)
        return found

    def write(self, name: str, content: bytes) -> None:
        """Write a file; whether whole or not at all is the storage's promise, not ours.

        Parameters
        ----------
        name : str
            Within this place.
        content : bytes
        """
        files, path = self._there
        folder = f"{path}/{name}".rpartition("/")[0]
        if not getattr(files, "async_impl", False):  # object stores have no folders
            files.makedirs(folder, exist_ok=True)
        files.pipe_file(f"{path}/{name}", content)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; those that are not there are as they should be."""
        files, path = self._there
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                files.rm_file(f"{path}/{name}")


Place = LocalPlace | RemotePlace


def open_place(folder: str | Path | Place) -> Place:
    """A place from the path of a folder, or from an address with ``://``.

    Parameters
    ----------
    folder : str or Path, or a place
        An address is text: a Path would join its two slashes. "file://..." is a folder of this machine.

    Returns
    -------
    LocalPlace or RemotePlace

    Raises
    ------
    InputError
        A protocol that fsspec does not know, or whose package is not installed.

    Examples
    --------
    >>> open_place("memory://sweeps/one"), open_place("file:///tmp/one").folder.name
    (RemotePlace(url='memory://sweeps/one'), 'one')
    >>> open_place("nowhere://one")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: nowhere://one cannot be opened (Protocol not known: nowhere), expected ...
    """
    if isinstance(folder, LocalPlace | RemotePlace):
        return folder
    if isinstance(folder, Path):
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\][^/\\]", str(folder)) and not folder.exists():
            raise InputError(
                f"{folder} is an address that became a path and lost a slash, expected text: pass it as a str, not a Path"
            )
        return LocalPlace(folder.resolve())
    if "://" not in folder:
        return LocalPlace(Path(folder).resolve())
    files, path = _filesystem(folder)
    protocols = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
    return LocalPlace(Path(path).resolve()) if "file" in protocols else RemotePlace(folder.rstrip("/"))


@functools.lru_cache(maxsize=64)
def _filesystem(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(url)
    except Exception as error:  # an unknown protocol, a package that is missing, settings that a storage refuses
        raise InputError(
            f"{url} cannot be opened ({first_line(error)}), expected an address that fsspec knows, such as "
            "s3://bucket/folder: check it, and install the package of its storage"
        ) from None
    return files, path.rstrip("/")
