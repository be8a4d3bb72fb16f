"""Files that are whole or known not to be: atomic writes, digests, records that check themselves, locks."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import stat
import uuid
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from spectral_jepa._validation import InputError, first_line, needs_package

if TYPE_CHECKING:
    import pandas as pd

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be deleted
    fcntl = None  # type: ignore[assignment]

Record = dict[str, Any]
FOLDER_LOCK, DIGESTS = ".lock", "SHA256SUMS"


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, sees the old content or the new one, never a part.

    Parameters
    ----------
    path : Path
        In a folder that is there.
    content : bytes

    Raises
    ------
    OSError
        As the system says; the old content stays.

    Notes
    -----
    O(size of the content), and one wait for the disk.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> write_atomic(path, b"k,risk\\n")
    >>> path.read_bytes(), [file.name for file in path.parent.iterdir()]
    (b'k,risk\\n', ['table.csv'])
    """
    with atomic_file(path) as file:
        file.write(content)


@contextlib.contextmanager
def atomic_file(path: Path) -> Generator[BinaryIO]:
    """A file open for writing, and reading, that takes the name ``path`` when the block ends, or disappears with an error.

    Parameters
    ----------
    path : Path
        In a folder that is there.

    Raises
    ------
    OSError
        As the system says, with the name of the file; the old content stays.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> with atomic_file(path) as file:
    ...     n = file.write(b"k,risk\\n")
    ...     path.exists()
    False
    >>> path.exists()
    True
    """
    temporary, file = _new_file(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        # A write that fails does not know its file's name.
        error.filename = error.filename or str(path)
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _new_file(path: Path) -> tuple[Path, BinaryIO]:
    """A file of a name of its own, locked, so that nobody takes it for a leftover."""
    while True:
        temporary = temporary_path(path)
        file = temporary.open("x+b")
        if _claim(file):
            return temporary, file
        file.close()


def remove_leftovers(folder: Path, pattern: str = "*") -> None:
    """Delete what killed writers left under the names of :func:`temporary_path`; files that are being written stay.

    Parameters
    ----------
    folder : Path
    pattern : str
        Of the names that the files were to have.

    Notes
    -----
    O(files in the folder). A writer holds a lock on its file, so that a file without one belongs to nobody. Folders are
    deleted as they are: whoever calls holds the lock under which they are filled.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> temporary_path(folder / "table.csv").touch()
    >>> remove_leftovers(folder)
    >>> list(folder.iterdir())
    []
    """
    for path in folder.glob(f".{pattern}.tmp"):
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif fcntl is None:
                path.unlink()
            else:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()


def _claim(file: Any) -> bool:
    """Lock a temporary file; False where somebody took it for a leftover before."""
    if fcntl is None:
        return True
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX)
    return os.fstat(file.fileno()).st_nlink > 0


def temporary_path(path: Path) -> Path:
    """A name of its own beside ``path``, hidden, under which to write what then takes the name of ``path``.

    Examples
    --------
    >>> temporary_path(Path("runs/table.csv")).match("runs/.table.csv.*.tmp")
    True
    """
    # Not tempfile: its files are private to the user, and a sweep's folder is often shared.
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "empty"
    >>> path.touch()
    >>> file_digest(path)[:8]
    'e3b0c442'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checked(path: Path, content: bytes) -> None:
    """Write a file, atomically, and beside it ``<name>.sha256``, which ``sha256sum -c`` reads.

    Parameters
    ----------
    path : Path
        In a folder that is there.
    content : bytes

    Notes
    -----
    A kill in between leaves a file without a digest, never one with another's.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "probe.csv"
    >>> write_checked(path, b"r2\\n.5\\n")
    >>> read_checked(path, "measure again"), sorted(file.name for file in path.parent.iterdir())
    (b'r2\\n.5\\n', ['probe.csv', 'probe.csv.sha256'])
    """
    _digest_path(path).unlink(missing_ok=True)
    write_atomic(path, content)
    write_atomic(_digest_path(path), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())


def read_checked(path: Path, remedy: str) -> bytes:
    """Read a file of :func:`write_checked`; one without a digest beside it is taken as it is.

    Parameters
    ----------
    path : Path
    remedy : str
        How to get the file again.

    Raises
    ------
    InputError
        The content is not the one that was written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "probe.csv"
    >>> write_checked(path, b"r2\\n.5\\n")
    >>> _ = path.write_bytes(b"r2\\n.7\\n")
    >>> read_checked(path, "measure again")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: ...probe.csv does not match its digest in probe.csv.sha256, expected ...
    """
    content, digest = path.read_bytes(), _digest_path(path)
    if digest.is_file() and digest.read_bytes()[:64] != hashlib.sha256(content).hexdigest().encode():
        raise InputError(
            f"{path} does not match its digest in {digest.name}, expected the file as it was written: "
            f"{remedy}, or remove {digest.name} to use it as it is"
        )
    return content


def _digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def write_sums(folder: Path, digests: Mapping[str, str]) -> None:
    """Write ``SHA256SUMS`` of a folder, which ``sha256sum -c`` reads.

    Parameters
    ----------
    folder : Path
    digests : dict
        File name -> SHA-256 of its content, in hexadecimal.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_sums(folder, {"a.npy": "0" * 64})
    >>> read_sums(folder) == {"a.npy": "0" * 64}
    True
    """
    write_atomic(folder / DIGESTS, "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode())


def read_sums(folder: Path) -> dict[str, str]:
    """File name -> digest, as ``SHA256SUMS`` of a folder says; empty where there is none, lines that say nothing left out.

    Examples
    --------
    >>> read_sums(Path("no_such_folder"))
    {}
    """
    try:
        lines = (folder / DIGESTS).read_bytes().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}


def read_json(path: Path, keys: Iterable[str], remedy: str) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : Path
    keys : iterable of str
        Entries that it must have.
    remedy : str
        How to get a whole file.

    Raises
    ------
    InputError
        No such file, no text, no JSON, no object, or an entry that is missing.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "config.json"
    >>> _ = path.write_text("{}")
    >>> read_json(path, ["data"], "train again")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: ...config.json has no entry 'data', expected an object with data: train again
    """
    keys = tuple(keys)
    wanted = ", ".join(keys) or "its entries"
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist, expected an object with {wanted}: {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON ({first_line(error)}), expected an object with {wanted}: {remedy}") from None
    missing = [key for key in keys if not isinstance(value, dict) or key not in value]
    if missing or not isinstance(value, dict):
        what = f"has no entry {missing[0]!r}" if isinstance(value, dict) else f"holds a {type(value).__name__}"
        raise InputError(f"{path} {what}, expected an object with {wanted}: {remedy}")
    return value


def read_csv(path: Path, columns: Iterable[str], remedy: str, **options: Any) -> pd.DataFrame:
    """Read a table that this package wrote as CSV, and check its digest where there is one.

    Parameters
    ----------
    path : Path
        Of :func:`write_checked`.
    columns : iterable of str
        Columns that it must have.
    remedy : str
        How to get a whole file.
    **options
        Of ``pandas.read_csv``.

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        No such file, no text, no table, a column that is missing, or another content than was written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "probe.csv"
    >>> path.touch()
    >>> read_csv(path, ["r2"], "measure again")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: ...probe.csv cannot be read (No columns to parse from file), expected ...
    """
    import pandas as pd

    columns = tuple(columns)
    wanted = ", ".join(columns) or "its columns"
    try:
        table = pd.read_csv(io.BytesIO(read_checked(path, remedy)), **options)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist, expected a CSV table with {wanted}: {remedy}") from None
    except InputError:
        raise
    except ValueError as error:  # pandas: no columns, a ragged row, no text
        reason = first_line(ValueError(str(error).replace("Error tokenizing data. C error: ", "")))
        raise InputError(f"{path} cannot be read ({reason}), expected a CSV table with {wanted}: {remedy}") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}, expected a CSV table with {wanted}: {remedy}")
    return table


def value_digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON (sorted keys, no spaces), in hexadecimal.

    Examples
    --------
    >>> value_digest({"b": 1, "a": [2]}) == hashlib.sha256(b'{"a":[2],"b":1}').hexdigest()
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def encode_record(record: Record) -> bytes:
    """Serialise a dict to JSON with its own SHA-256; Python's float repr keeps every double bit for bit.

    Examples
    --------
    >>> decode_record(encode_record({"risk": 0.1}))
    {'risk': 0.1}
    """
    payload = json.dumps(record)
    return f'{{"sha256": "{hashlib.sha256(payload.encode()).hexdigest()}", "payload": {payload}}}\n'.encode("ascii")


def decode_record(content: bytes) -> Record:
    """Invert :func:`encode_record`.

    Raises
    ------
    ValueError
        A byte is missing, added or changed.

    Examples
    --------
    >>> decode_record(encode_record({"risk": 0.1}).replace(b"0.1", b"0.2"))
    Traceback (most recent call last):
    ValueError: the content does not match its SHA-256
    """
    document = json.loads(content)
    # Encoding is a function of the payload, so comparing the bytes checks the payload, its digest and the envelope at once.
    payload = document.get("payload") if isinstance(document, dict) else None
    if not isinstance(payload, dict) or encode_record(payload) != content:
        raise ValueError("the content does not match its SHA-256")
    return payload


@contextlib.contextmanager
def lock(path: Path) -> Generator[None]:
    """Hold a file lock among processes; whoever asks meanwhile waits. The system lets go of it when the process dies.

    Parameters
    ----------
    path : Path
        The lock's file; it is made, never written to, and may stay behind.

    Raises
    ------
    InputError
        The file is a link or no file: it would be another's.

    Examples
    --------
    >>> import tempfile
    >>> with lock(Path(tempfile.mkdtemp()) / ".data.lock"):
    ...     pass
    """
    with _own(path):
        yield


@contextlib.contextmanager
def hold_folder(folder: Path) -> Generator[None]:
    """Hold a folder of results, made if it is not there; a second process is refused at once, in one sentence.

    Parameters
    ----------
    folder : Path
        Holds the lock's file, ``.lock``, which stays behind empty. The system lets go of it when the process dies.

    Raises
    ------
    InputError
        Another process, or another call in this one, writes there; a folder that is a file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with hold_folder(folder), hold_folder(folder):
    ...     pass
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: ... is in use by process ..., expected one process a folder: ...
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{folder} is or lies under a file, expected a folder for results: choose another path") from None
    path = folder / FOLDER_LOCK
    with needs_package("holding a folder of results"):
        from filelock import Timeout
    try:
        holding = contextlib.ExitStack()
        holding.enter_context(_own(path, timeout=0))
    except Timeout:
        raise InputError(
            f"{folder} is in use by {_holder(path)}, expected one process a folder: "
            "wait until it ends, stop it, or choose another folder"
        ) from None
    with holding:
        yield


@contextlib.contextmanager
def _own(path: Path, timeout: float = -1) -> Generator[None]:
    # filelock opens with O_NOFOLLOW and without O_TRUNC; this says so in a sentence, and where the system has no O_NOFOLLOW.
    if path.is_symlink() or (path.exists() and not stat.S_ISREG(path.stat().st_mode)):
        raise InputError(f"{path} is a link or no plain file, expected a lock of our own: remove it if nobody needs it")
    with needs_package("holding a file against other processes"):
        from filelock import FileLock
    with FileLock(path, timeout=timeout):
        yield


def _holder(path: Path) -> str:
    """Who holds a lock, where the system says so."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        inode = str(path.stat().st_ino)
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode:
                return f"process {fields[4]}"
    return "another process"
