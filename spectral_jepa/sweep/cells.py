"""One cell of a sweep: its key, its run in a worker process, and its file, which is whole or known to be damaged."""

from __future__ import annotations

import contextlib
import copy
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy

from spectral_jepa._files import Record, decode_record, encode_record, value_digest
from spectral_jepa._validation import InputError, needs_package
from spectral_jepa.sweep.devices import claim_gpu
from spectral_jepa.sweep.places import BATCH, CELLS, Place, open_place

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

RunCell = Callable[..., Any]
_libraries: tuple[int, Any] | None = None
ENVIRONMENT_COLUMNS = ("version", "python_version", "numpy_version", "scipy_version")
CELL_COLUMNS = ("experiment", "row", "status", "traceback", *ENVIRONMENT_COLUMNS, "cell_key", "duration_seconds")


class Task(NamedTuple):
    """What a worker needs to run a cell and to write its file.

    Parameters
    ----------
    key : str
        Of the cell, see :func:`cell_key`.
    cell : dict
        Parameters, JSON values.
    experiment, version : str
        What is run, and of which release.
    source : str
        Digest of the code that runs.
    folder : Path or place
        Of the sweep.
    gpu : bool
        Whether the worker takes a graphics card for itself first.
    """

    key: str
    cell: dict[str, Any]
    experiment: str
    version: str
    source: str
    folder: Path | Place
    gpu: bool = False


def cell_key(cell: Mapping[str, Any], experiment: str, version: str) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no spaces) of {cell, experiment, version}.

    Parameters
    ----------
    cell : dict
        Parameters, JSON values, in any order.
    experiment, version : str
        What is run, and of which release.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> cell_key({"dim": 2, "seed": 0}, "spectra", "1.0") == cell_key({"seed": 0, "dim": 2}, "spectra", "1.0")
    True
    """
    return value_digest({"cell": dict(cell), "experiment": experiment, "version": version})


def cell_name(key: str) -> str:
    """Name of a cell's file within the place of its sweep.

    Parameters
    ----------
    key : str
        Of the cell.

    Returns
    -------
    str

    Examples
    --------
    >>> cell_name("0a1b")
    'cells/0a1b.json'
    """
    return f"{CELLS}/{key}.json"


def load_cells(folder: str | Path | Place, keys: Iterable[str]) -> tuple[dict[str, Record], list[str]]:
    """Read the cells that are there.

    Parameters
    ----------
    folder : str or Path, or a place
        Of the sweep.
    keys : iterable of str
        Which cells.

    Returns
    -------
    records : dict
        Key -> content of its file, in the order of the keys.
    damaged : list of str
        Keys whose file is torn, changed or of another cell.

    Notes
    -----
    One listing and one reading a file: O(files + size of the wanted ones).

    Examples
    --------
    >>> load_cells(Path("no_such_folder"), ["0a1b"])
    ({}, [])
    """
    place = open_place(folder)
    there = place.names()
    wanted = [key for key in keys if f"{key}.json" in there]
    records: dict[str, Record] = {}
    damaged: list[str] = []
    for begin in range(0, len(wanted), BATCH):
        part = {cell_name(key): key for key in wanted[begin : begin + BATCH]}
        contents = place.read_all(part)
        for name, key in part.items():
            if name not in contents:
                continue
            try:
                record = decode_record(contents[name])
                if record.get("cell_key") != key:
                    raise ValueError("the content belongs to another cell")
                records[key] = record
            except ValueError:  # includes malformed JSON and malformed UTF-8
                damaged.append(key)
    return records, damaged


def compute_cell(run_cell: RunCell, task: Task) -> bytes:
    """Run one cell on one thread and write its file; the same function for every kind of worker.

    Parameters
    ----------
    run_cell : callable
        Gets the cell's parameters; a dict of metrics, or a list of them, is what it should return.
    task : Task
        The cell.

    Returns
    -------
    bytes
        Content of the file. A cell that raises is a failed one, with its traceback.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "cells").mkdir()
    >>> content = compute_cell(lambda x: {"y": x * x}, Task("0a1b", {"x": 3}, "square", "1.0", "", folder))
    >>> decode_record(content)["rows"]
    [{'y': 9}]
    """
    rows: list[dict[str, Any]] = [{}]
    problem = ""
    if task.gpu:
        claim_gpu()
    start = time.perf_counter()
    try:
        with _one_thread():
            # A copy, because cells may share the lists in them and run_cell may change what it gets.
            rows = _read_rows(run_cell(**copy.deepcopy(task.cell)), task.cell)
    except (Exception, SystemExit):
        problem = traceback.format_exc()
    return write_cell(task, rows, problem, time.perf_counter() - start)


def _one_thread() -> AbstractContextManager[Any]:
    """One thread for every numerical library of this process, looked for again only after something was imported."""
    global _libraries
    # Reading the list of loaded libraries takes longer than a small cell.
    if _libraries is None or _libraries[0] != len(sys.modules):
        with needs_package("a sweep"):
            from threadpoolctl import ThreadpoolController
        _libraries = len(sys.modules), ThreadpoolController()
    return _libraries[1].limit(limits=1)


def compute_missing_cell(run_cell: RunCell, task: Task) -> bytes:
    """Run one cell unless its file is there: what a cluster gives to a second worker after the first one died.

    Parameters
    ----------
    run_cell : callable
        See :func:`compute_cell`.
    task : Task
        The cell.

    Returns
    -------
    bytes
        Content of the file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "cells").mkdir()
    >>> task = Task("0a1b", {"x": 3}, "square", "1.0", "", folder)
    >>> first = compute_missing_cell(lambda x: {"y": x * x}, task)
    >>> compute_missing_cell(lambda x: 1 / 0, task) == first
    True
    """
    try:
        content = open_place(task.folder).read(cell_name(task.key))
        record = decode_record(content)
    except (FileNotFoundError, ValueError):  # not there, or damaged
        return compute_cell(run_cell, task)
    if record.get("cell_key") == task.key and record["status"] == "ok" and record["source"] == task.source:
        return content
    return compute_cell(run_cell, task)


def compute_missing_cells(run_cell: RunCell, tasks: list[Task]) -> list[bytes]:
    """Run several cells in one worker, one after the other, each unless its file is there.

    Parameters
    ----------
    run_cell : callable
        See :func:`compute_cell`.
    tasks : list of Task
        The cells.

    Returns
    -------
    list of bytes
        Content of each one's file.

    Examples
    --------
    >>> compute_missing_cells(lambda x: {"y": x}, [])
    []
    """
    return [compute_missing_cell(run_cell, task) for task in tasks]


def write_cell(task: Task, rows: list[dict[str, Any]], problem: str, duration: float) -> bytes:
    """Write a cell's file.

    Parameters
    ----------
    task : Task
        The cell.
    rows : list of dict
        Its metrics.
    problem : str
        A traceback, which makes it a failed cell, or nothing.
    duration : float
        Seconds that it took.

    Returns
    -------
    bytes
        Content of the file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "cells").mkdir()
    >>> _ = write_cell(Task("0a1b", {"x": 3}, "square", "1.0", "", folder), [{}], "Traceback ...", 0.1)
    >>> load_cells(folder, ["0a1b"])[0]["0a1b"]["status"]
    'error'
    """
    record = {
        "experiment": task.experiment,
        "cell": task.cell,
        "rows": rows,
        "status": "error" if problem else "ok",
        "traceback": problem.encode(errors="replace").decode(),
        "version": task.version,
        "source": task.source,
        "python_version": platform.python_version(),
        "numpy_version": np.__version__,
        "scipy_version": scipy.__version__,
        "cell_key": task.key,
        "duration_seconds": duration,
        # Of the worker so far: what a machine must hold for each of them. No column, because it is no result.
        "peak_bytes": _peak_bytes(),
    }
    content = encode_record(record)
    open_place(task.folder).write(cell_name(task.key), content)
    return content


def _peak_bytes() -> int | None:
    """The most memory that this process has held."""
    # What the system says of a process's use begins with that of the one that started it; this does not.
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _read_rows(value: Any, cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Check what run_cell returned and bring every metric to a plain Python scalar."""
    rows = value if isinstance(value, list) else [value]
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(
            f"run_cell returned {value!r:.200}, expected a dict of metrics or a non-empty list of them: return one"
        )
    return [{name: _read_metric(name, x, cell) for name, x in row.items()} for row in rows]


def _read_metric(name: Any, value: Any, cell: dict[str, Any]) -> bool | int | float | str | None:
    if not isinstance(name, str) or name in cell or name in CELL_COLUMNS:
        raise InputError(
            f"run_cell returned a metric {name!r}, expected a name that no parameter or fixed column has: rename it"
        )
    _check_text("the name of a metric", name)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise InputError(
            f"metric {name!r} is a {type(value).__name__}, expected a number, text or None: return one row a value"
        )
    if isinstance(value, str):
        _check_text(f"metric {name!r}", value)
    if isinstance(value, int) and value.bit_length() > 10_000:
        raise InputError(
            f"metric {name!r} is a whole number of {value.bit_length()} bits, expected at most 10,000, which every table "
            "can hold: return it as a float, or its logarithm"
        )
    return value


def _check_text(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} has a lone surrogate at {error.start}, which no file can hold, expected Unicode text: "
            "return text.encode(errors='replace').decode()"
        ) from None
