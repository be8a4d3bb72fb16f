"""Where files derived from a data file go: beside it, into a folder that was asked for, or where one may write."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from spectral_jepa._validation import InputError, first_line, warn_user

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def derived_path(path: Path, name: str, cache: Path | None = None, *, beside_first: bool = True) -> Path:
    """Where to find, or else to write, what is derived from a data file: its split, pairs, unpacked copy.

    Parameters
    ----------
    path : Path
        The data file.
    name : str
        Of what is derived.
    cache : Path, optional
        A folder for what is derived. Default: the data file's own, or, where that cannot be written to, one in the user's
        cache (``XDG_CACHE_HOME``, ``~/.cache``), which a warning names.
    beside_first : bool
        Take what lies beside the data already, also where ``cache`` is given.

    Returns
    -------
    Path
        Its folder is there and can be written to, unless the file is there already. In a cache each data file has a folder.

    Raises
    ------
    InputError
        No folder that can be written to.

    Notes
    -----
    One file is made and removed to find out whether a folder can be written to.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> derived_path(folder / "data.h5", "data.h5.split.json").relative_to(folder).as_posix()
    'data.h5.split.json'
    >>> derived_path(folder / "data.h5", "data.h5.split.json", folder / "cache").match("cache/data.h5-*/data.h5.split.json")
    True
    """
    beside = path.parent / name
    if beside.exists() and (cache is None or beside_first):
        return beside
    if cache is None and _is_writable(path.parent):
        return beside
    # Two data files of one name may share a cache.
    own = f"{path.name}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    root = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spectral-jepa"
    folder = root / own
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = _is_writable(folder)
    except OSError as error:
        raise _no_place(path, folder, first_line(error)) from None
    if not writable and not (folder / name).exists():
        raise _no_place(path, folder, "it is read-only")
    if cache is None:
        warn_user(
            f"{path.parent} cannot be written to, so what is derived from {path.name} goes to {folder}: "
            "pass --cache FOLDER (cache= in Python) for another place"
        )
    return folder / name


def _no_place(path: Path, folder: Path, reason: str) -> InputError:
    return InputError(
        f"{folder} cannot be written to ({reason}), expected a place for what is derived from {path.name}: "
        "pass --cache FOLDER (cache= in Python) with a folder of yours"
    )


def _is_writable(folder: Path) -> bool:
    probe = folder / f".writable-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        probe.unlink()
    except OSError as error:
        if error.errno in _FORBIDDEN:
            return False
        raise
    return True
