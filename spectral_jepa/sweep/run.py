"""Sweeps: run one function over many cells, in parallel, resumably, and lay the results out as one table.

Each cell has a key, the SHA-256 of {version, experiment, cell}, and a file of its own, written atomically by the worker when
the cell ends. Resuming is skipping the cells whose file is whole and says "ok"; the table is always built from the files'
content in the order of the cells, so an interrupted and resumed sweep and an uninterrupted one give the same table.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectral_jepa._files import decode_record, encode_record
from spectral_jepa._validation import InputError, check_count, needs_package, warn_user
from spectral_jepa.sweep import engines
from spectral_jepa.sweep.cells import CELL_COLUMNS, RunCell, Task, cell_key, load_cells
from spectral_jepa.sweep.experiment import Experiment, helpers_of
from spectral_jepa.sweep.places import CELLS, Place, open_place

if TYPE_CHECKING:
    import pandas as pd


def run_sweep(
    run_cell: RunCell,
    cells: Sequence[Mapping[str, Any]],
    folder: str | Path | Place,
    *,
    experiment: str | None = None,
    n_jobs: int = -1,
    client: Any = None,
    executor: Any = None,
    gpu: bool = False,
    progress: bool = True,
    version: str | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Run every cell that is not done yet and return the whole table.

    Parameters
    ----------
    run_cell : callable, or Experiment
        ``run_cell(**cell)`` returns a dict of metrics (numbers, text, booleans, None), or a list of such dicts when one
        computation serves several rows.
    cells : sequence of dict
        Parameters of each cell, all of them JSON values; their order is the order of the rows.
    folder : str or Path
        Where the results live, a folder or an address that fsspec knows ("s3://bucket/sweep"); running again with the same
        one resumes. With ``client`` or ``executor``, the workers must see it too.
    experiment : str, optional
        Name that enters the keys. Default: the experiment's, or the function's, name.
    n_jobs : int
        Worker processes; -1: one a core; 1: no extra process. Results do not depend on it: each cell gets one BLAS and
        OpenMP thread (libraries imported inside ``run_cell`` escape that limit the first time: import them at the top).
        With ``executor``: how many jobs share the cells.
    client : distributed.Client, optional
        Run there instead of on local processes (extra ``cluster``); give its workers one thread each.
    executor : submitit.Executor, optional
        Run as jobs of a queue, such as Slurm's (extra ``cluster``). They go on when this process ends; the same call then
        waits for them.
    gpu : bool
        Each worker takes a graphics card for itself, the only one in its ``CUDA_VISIBLE_DEVICES``.
    progress : bool
        Show a bar and a summary on stderr.
    version : str, optional
        Version of the code that makes the results. Default: the installed version of spectral_jepa.
    overwrite : bool
        Forget what the folder holds and compute everything again.

    Returns
    -------
    DataFrame
        One row a dict of metrics: ``experiment``, the parameters, ``row`` (index in the cell), the metrics, ``status`` ("ok"
        or "error"), ``traceback``, versions, ``cell_key``, ``duration_seconds`` (of the cell). ``attrs["summary"]`` counts
        the cells ``computed``, ``cached``, ``failed`` and ``damaged`` (found torn and computed again) and gives the table's
        ``digest``. Also written to ``folder/table.parquet``, ``.csv`` and ``.sha256``.

    Raises
    ------
    InputError
        Cells that are not JSON, repeated or do not fit ``run_cell``; a folder of another experiment or version, or one in
        which another process works; a worker process that died.

    Notes
    -----
    A cell that raises becomes a row with ``status="error"`` and its traceback, and runs again next time. Costs a few ms a
    cell on top of ``run_cell``.

    Examples
    --------
    >>> import tempfile
    >>> def square(x):
    ...     return {"y": x * x}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = run_sweep(square, [{"x": 2}, {"x": 3}], folder, n_jobs=1, progress=False)
    >>> table[["experiment", "x", "y", "status"]]
      experiment  x  y status
    0     square  2  4     ok
    1     square  3  9     ok
    >>> table.attrs["summary"]["computed"]
    2
    """
    name, version = name_and_version(run_cell, experiment, version)
    with needs_package("a sweep"):
        import joblib  # noqa: F401  # what it runs on and what its table is written with: told now, not after an hour
        import pyarrow  # noqa: F401
    place = open_place(folder)
    source = _source_digest(run_cell)
    tasks = {task.key: task for task in _read_cells(cells, name, version, source, place, gpu)}
    _check_signature(run_cell, name, tasks.values())
    if client is not None and executor is not None:
        raise InputError("client and executor were both given, expected one place to run: leave one out")
    if client is not None:
        engines.check_client(client)
    elif executor is not None:
        engines.check_executor(executor, n_jobs)
    elif n_jobs != -1:
        check_count("n_jobs", n_jobs, why="or -1 for one process a core")
    if gpu and client is None and executor is None:
        engines.local_processes(n_jobs, len(tasks), gpu)
    with place.hold():
        _open_folder(place, name, version, source, list(tasks), overwrite)
        table = _run_tasks(run_cell, tasks, n_jobs, client, executor, progress)
    if progress:
        summary = {what: count for what, count in table.attrs["summary"].items() if what != "digest"}
        counts = ", ".join(f"{count} {what}" for what, count in summary.items())
        print(f"{name}: {counts}; {place}/table.parquet sha256 {table.attrs['summary']['digest']}", file=sys.stderr)
    return table


def cell_keys(
    run_cell: RunCell, cells: Sequence[Mapping[str, Any]], experiment: str | None = None, version: str | None = None
) -> list[str]:
    """Keys of cells: the names of their files.

    Parameters
    ----------
    run_cell : callable, or Experiment
    cells : sequence of dict
    experiment, version : str, optional
        As in :func:`run_sweep`.

    Returns
    -------
    list of str
        In the order of the cells.

    Raises
    ------
    InputError
        Cells that are not JSON, or repeated.

    Examples
    --------
    >>> len(cell_keys(len, [{"x": 1}, {"x": 2}]))
    2
    """
    name, version = name_and_version(run_cell, experiment, version)
    return [task.key for task in _read_cells(cells, name, version, "", open_place("."))]


def name_and_version(run_cell: RunCell, experiment: str | None, version: str | None) -> tuple[str, str]:
    """What enters the keys of cells beside their parameters: the given ones, or those of the function and the package.

    Parameters
    ----------
    run_cell : callable, or Experiment
    experiment, version : str, optional
        As in :func:`run_sweep`.

    Returns
    -------
    name, version : str

    Raises
    ------
    InputError
        A function without a name.

    Examples
    --------
    >>> name_and_version(len, None, "1.0")
    ('len', '1.0')
    """
    name = experiment or getattr(run_cell, "name", None) or getattr(run_cell, "__name__", None)
    if name is None:
        raise InputError(f"run_cell is {run_cell!r}, which has no name, expected one for the cells' keys: pass experiment=")
    return name, version or installed_version()


def _run_tasks(
    run_cell: RunCell, tasks: dict[str, Task], n_jobs: int, client: Any, executor: Any, progress: bool
) -> pd.DataFrame:
    """Run what is not done yet in a folder that is held, and write the table."""
    from spectral_jepa.sweep import results

    with needs_package("a sweep and its progress"):
        from spectral_jepa._terminal import Bar
    _, _, name, version, source, folder, gpu = next(iter(tasks.values()))
    records, damaged = load_cells(folder, tasks)
    records = {key: record for key, record in records.items() if record["status"] == "ok"}
    if damaged:
        warn_user(
            f"{len(damaged)} of {len(tasks)} cell files in {folder} are damaged (first: {damaged[0]}.json) "
            "and will be computed again"
        )
    stale = sum(record["source"] != source for record in records.values())
    if stale:
        warn_user(
            f"{stale} of {len(records)} cells cached in {folder} come from other source code of the same version {version}: "
            "pass overwrite=True (--overwrite) to compute them again"
        )
    cached, failed = len(records), 0
    todo = [task for key, task in tasks.items() if key not in records]
    if client is not None:
        finished = engines.run_on_dask(run_cell, todo, client)
    elif executor is not None:
        finished = engines.run_on_submitit(run_cell, todo, executor, n_jobs)
    else:
        finished = engines.run_on_joblib(run_cell, todo, n_jobs)
    with (
        contextlib.closing(finished),
        Bar(total=len(tasks), initial=cached, desc=name, unit="cell", disable=not progress) as bar,
    ):
        # Workers import the library first, which takes as long as many cells.
        apart = client is not None or executor is not None
        apart = apart or (bool(todo) and engines.local_processes(n_jobs, len(todo), gpu) > 1)
        started = "starting workers" if todo and apart else "0 done"
        bar.set_postfix_str(f"{started}, {cached} cached, 0 failed")
        first = 0.0
        for content in finished:
            record = decode_record(content)
            records[record["cell_key"]] = record
            failed += record["status"] != "ok"
            now = len(records) - cached
            # From the end of the first one on: before it workers were started.
            first = first or time.monotonic()
            hourly = f", {3600 * (now - 1) / (time.monotonic() - first):,.0f} cells/hour" if now > 1 else ""
            bar.set_postfix_str(f"{now - failed} done, {cached} cached, {failed} failed{hourly}", refresh=False)
            bar.update()

    table = results.cells_table(records[key] for key in tasks)
    digest = results.write_table(folder, table)
    summary = {"cells": len(tasks), "computed": len(todo), "cached": cached, "failed": failed, "damaged": len(damaged)}
    table.attrs["summary"] = {**summary, "digest": digest}
    if failed:
        warn_user(
            f"{failed} of {len(tasks)} cells of {name} failed: see the column traceback; run the sweep again to retry them"
        )
    return table


def sweep_status(folder: str | Path | Place, cells: Sequence[Mapping[str, Any]] | None = None) -> dict[str, int]:
    """Count the cells of a sweep that are ``done``, ``failed``, ``missing`` and ``damaged``.

    Parameters
    ----------
    folder : str or Path
        A sweep's folder, or its address.
    cells : sequence of dict, optional
        The cells to count. Default: those of the last run in this folder.

    Returns
    -------
    dict
        Word -> number of cells.

    Raises
    ------
    InputError
        If the folder holds no sweep and no cells are given.

    Notes
    -----
    Reads and checks every cell's file: O(size of the results).

    Examples
    --------
    >>> sweep_status("no_such_folder", [{"x": 1}, {"x": 2}])
    {'done': 0, 'failed': 0, 'missing': 2, 'damaged': 0}
    """
    from spectral_jepa.sweep import results

    place = open_place(folder)
    manifest = results.read_manifest(place)
    if cells is not None:
        name, version = (manifest["experiment"], manifest["version"]) if manifest else ("", "")
        keys = [task.key for task in _read_cells(cells, name, version, "", place)]
    elif manifest is not None:
        keys = manifest["cell_keys"]
    else:
        raise InputError(
            f"{place} holds no manifest.json, expected the folder of a sweep: check the path or run the sweep first"
        )
    records, damaged = load_cells(place, keys)
    done = sum(record["status"] == "ok" for record in records.values())
    missing = len(keys) - len(records) - len(damaged)
    return {"done": done, "failed": len(records) - done, "missing": missing, "damaged": len(damaged)}


def _read_cells(
    cells: Sequence[Mapping[str, Any]], experiment: str, version: str, source: str, folder: Place, gpu: bool = False
) -> list[Task]:
    """Normalise the cells through JSON (a tuple becomes a list) and give each its key."""
    tasks: dict[str, Task] = {}
    for index, cell in enumerate(cells):
        if not isinstance(cell, Mapping) or not all(isinstance(parameter, str) for parameter in cell):
            raise InputError(
                f"cells[{index}] is {cell!r}, expected a dict with text keys: write it as {{'parameter': value}}"
            )
        reserved = sorted(set(cell) & set(CELL_COLUMNS))
        if reserved:
            raise InputError(f"cells[{index}] has a parameter {reserved[0]!r}, which is a column of every table: rename it")
        try:
            key, normal = cell_key(cell, experiment, version), json.loads(json.dumps(dict(cell)))
            json.dumps(normal, ensure_ascii=False).encode()  # a lone surrogate fits into no table
        except (TypeError, ValueError) as error:
            shown = ", ".join(cell) if "integer string" in str(error) else repr(cell)  # such an integer has no repr either
            raise InputError(
                f"cells[{index}] is {shown}, expected JSON values ({error}): use .item(), .tolist(), or Unicode text"
            ) from None
        if key in tasks:
            first = list(tasks).index(key)
            raise InputError(f"cells[{index}] repeats cells[{first}], {cell!r}, expected each cell once: remove one of them")
        tasks[key] = Task(key, normal, experiment, version, source, folder, gpu)
    if not tasks:
        raise InputError("cells is empty, expected at least one dict of parameters: choose a preset or pass [{}]")
    return list(tasks.values())


def _check_signature(run_cell: RunCell, name: str, tasks: Any) -> None:
    signature = inspect.signature(getattr(run_cell, "run_cell", run_cell))
    for task in tasks:
        try:
            signature.bind(**task.cell)
        except TypeError as error:
            raise InputError(
                f"{name} cannot run the cell {task.cell}: {error}, expected {signature}: match the names"
            ) from None


def check_folder(folder: Place, experiment: str, version: str) -> None:
    """Refuse the folder of another sweep.

    Parameters
    ----------
    folder : place
    experiment, version : str
        What is to run there.

    Raises
    ------
    InputError
        Another experiment or version ran there.

    Examples
    --------
    >>> check_folder(open_place("no_such_folder"), "spectra", "1.0")
    """
    from spectral_jepa.sweep import results

    manifest = results.read_manifest(folder)
    if manifest and manifest["version"] != version:
        raise InputError(
            f"{folder} holds results of version {manifest['version']} but this is version {version}, expected the same: "
            "choose another folder, or pass overwrite=True (--overwrite) to compute everything again"
        )
    if manifest and manifest["experiment"] != experiment:
        raise InputError(
            f"{folder} holds the sweep {manifest['experiment']!r} but this is {experiment!r}, expected the same: "
            "choose another folder, or pass overwrite=True (--overwrite) to replace it"
        )


def _open_folder(folder: Place, experiment: str, version: str, source: str, keys: list[str], overwrite: bool) -> None:
    """Refuse a folder of another sweep, forget it on demand, and write the manifest of this run."""
    folder.prepare()
    if overwrite:
        folder.remove(f"{CELLS}/{name}" for name in folder.names() if name.endswith(".json"))
    else:
        check_folder(folder, experiment, version)
    # A table is there only when the sweep it shows is complete.
    folder.remove(f"table.{suffix}" for suffix in ("parquet", "csv", "sha256"))
    content = dict(experiment=experiment, version=version, n_cells=len(keys), source_digest=source, cell_keys=keys)
    folder.write("manifest.json", encode_record(content))


def installed_version() -> str:
    """The version of this package.

    Returns
    -------
    str

    Examples
    --------
    >>> installed_version()[0].isdigit()
    True
    """
    from importlib.metadata import version

    return version("spectral-jepa")


def _source_digest(run_cell: RunCell) -> str:
    """SHA-256 of the package's Python files and of the files that define the experiment, its helpers among them."""
    package = Path(__file__).resolve().parent.parent
    # A wheel carries every experiment and figure inside the package, where a clone has them beside it.
    files = [
        path
        for path in sorted(package.rglob("*.py"))
        if path.relative_to(package).parts[0] not in ("_experiments", "_figures")
    ]
    sha = hashlib.sha256()
    for path in files:
        sha.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    for name, text in sorted(_own_texts(run_cell).items()):
        sha.update(f"{name}\0".encode() + text + b"\0")
    return sha.hexdigest()


def _own_texts(run_cell: RunCell) -> dict[str, bytes]:
    """File name -> content of what defines run_cell outside the package."""
    if isinstance(run_cell, Experiment):
        return run_cell.texts
    try:
        path = Path(inspect.getsourcefile(run_cell) or "")
        return {path.name: path.read_bytes()} | {f"{name}.py": text for name, text in helpers_of(path)}
    except (TypeError, OSError):  # defined in a notebook or by exec: there is no file to digest
        return {}
