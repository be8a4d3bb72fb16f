"""Files that are whole or known not to be: atomic writes, digests, records that check themselves, locks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

from filelock import FileLock

Record = dict[str, Any]


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
    temporary = temporary_path(path)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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

    Examples
    --------
    >>> import tempfile
    >>> with lock(Path(tempfile.mkdtemp()) / ".data.lock"):
    ...     pass
    """
    with FileLock(path):
        yield
