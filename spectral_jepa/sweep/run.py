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
import traceback
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectral_jepa._files import decode_record, encode_record, hold_folder, remove_leftovers, write_atomic
from spectral_jepa._processes import deaf_children, worker_settings
from spectral_jepa._validation import InputError, check_count, first_line, needs_package, warn_user
from spectral_jepa.sweep.cells import (
    CELL_COLUMNS,
    RunCell,
    Task,
    cell_key,
    compute_cell,
    compute_missing_cell,
    load_cells,
    write_cell,
)
from spectral_jepa.sweep.experiment import Experiment, helpers_of

if TYPE_CHECKING:
    import pandas as pd


def run_sweep(
    run_cell: RunCell,
    cells: Sequence[Mapping[str, Any]],
    folder: str | Path,
    *,
    experiment: str | None = None,
    n_jobs: int = -1,
    client: Any = None,
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
        Where the results live; running again with the same folder resumes. With ``client``, the workers must see it too.
    experiment : str, optional
        Name that enters the keys. Default: the experiment's, or the function's, name.
    n_jobs : int
        Worker processes; -1: one a core; 1: no extra process. Results do not depend on it: each cell gets one BLAS and
        OpenMP thread (libraries imported inside ``run_cell`` escape that limit the first time: import them at the top).
    client : distributed.Client, optional
        Run there instead of on local processes (extra ``cluster``); give its workers one thread each.
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
    name = experiment or getattr(run_cell, "name", None) or getattr(run_cell, "__name__", None)
    if name is None:
        raise InputError(f"run_cell is {run_cell!r}, which has no name, expected one for the cells' keys: pass experiment=")
    version = version or installed_version()
    with needs_package("a sweep"):
        import joblib  # noqa: F401  # what it runs on and what its table is written with: told now, not after an hour
        import pyarrow  # noqa: F401
    folder = Path(folder).resolve()
    source = _source_digest(run_cell)
    tasks = {task.key: task for task in _read_cells(cells, name, version, source, folder)}
    _check_signature(run_cell, name, tasks.values())
    if client is not None:
        _check_client(client)
    elif n_jobs != -1:
        check_count("n_jobs", n_jobs, why="or -1 for one process a core")
    with hold_folder(folder):
        _open_folder(folder, name, version, source, list(tasks), overwrite)
        table = _run_tasks(run_cell, tasks, n_jobs, client, progress)
    if progress:
        summary = {what: count for what, count in table.attrs["summary"].items() if what != "digest"}
        counts = ", ".join(f"{count} {what}" for what, count in summary.items())
        print(f"{name}: {counts}; {folder / 'table.parquet'} sha256 {table.attrs['summary']['digest']}", file=sys.stderr)
    return table


def _run_tasks(run_cell: RunCell, tasks: dict[str, Task], n_jobs: int, client: Any, progress: bool) -> pd.DataFrame:
    """Run what is not done yet in a folder that is held, and write the table."""
    from spectral_jepa.sweep import results

    with needs_package("a sweep and its progress"):
        import joblib

        from spectral_jepa._terminal import Bar
    _, _, name, version, source, folder = next(iter(tasks.values()))
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
    finished = _run_on_dask(run_cell, todo, client) if client is not None else _run_on_joblib(run_cell, todo, n_jobs)
    with (
        contextlib.closing(finished),
        Bar(total=len(tasks), initial=cached, desc=name, unit="cell", disable=not progress) as bar,
    ):
        # Workers import the library first, which takes as long as many cells.
        apart = client is not None or min(joblib.effective_n_jobs(n_jobs), len(todo)) > 1
        started = "starting workers" if todo and apart else "0 done"
        bar.set_postfix_str(f"{started}, {cached} cached, 0 failed")
        for content in finished:
            record = decode_record(content)
            records[record["cell_key"]] = record
            failed += record["status"] != "ok"
            bar.set_postfix_str(f"{len(records) - cached - failed} done, {cached} cached, {failed} failed", refresh=False)
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


def sweep_status(folder: str | Path, cells: Sequence[Mapping[str, Any]] | None = None) -> dict[str, int]:
    """Count the cells of a sweep that are ``done``, ``failed``, ``missing`` and ``damaged``.

    Parameters
    ----------
    folder : str or Path
        A sweep's folder.
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

    folder = Path(folder).resolve()
    manifest = results.read_manifest(folder)
    if cells is not None:
        name, version = (manifest["experiment"], manifest["version"]) if manifest else ("", "")
        keys = [task.key for task in _read_cells(cells, name, version, "", folder)]
    elif manifest is not None:
        keys = manifest["cell_keys"]
    else:
        raise InputError(
            f"{folder} holds no manifest.json, expected the folder of a sweep: check the path or run the sweep first"
        )
    records, damaged = load_cells(folder, keys)
    done = sum(record["status"] == "ok" for record in records.values())
    missing = len(keys) - len(records) - len(damaged)
    return {"done": done, "failed": len(records) - done, "missing": missing, "damaged": len(damaged)}


def _read_cells(cells: Sequence[Mapping[str, Any]], experiment: str, version: str, source: str, folder: Path) -> list[Task]:
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
        tasks[key] = Task(key, normal, experiment, version, source, folder)
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


def _check_client(client: Any) -> None:
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "client= needs the package distributed, which is not installed: pip install 'spectral-jepa[cluster]'"
        ) from None
    if not isinstance(client, Client):
        raise InputError(f"client is a {type(client).__name__}, expected a distributed.Client: pass Client(address) or None")


def _open_folder(folder: Path, experiment: str, version: str, source: str, keys: list[str], overwrite: bool) -> None:
    """Refuse a folder of another sweep, forget it on demand, and write the manifest of this run."""
    from spectral_jepa.sweep import results

    (folder / "cells").mkdir(exist_ok=True)
    manifest = None if overwrite else results.read_manifest(folder)
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
    if overwrite:
        for path in (folder / "cells").glob("*.json"):
            path.unlink()
    for place in (folder, folder / "cells"):
        remove_leftovers(place)
    for suffix in ("parquet", "csv", "sha256"):  # a table is there only when the sweep it shows is complete
        (folder / f"table.{suffix}").unlink(missing_ok=True)
    content = dict(experiment=experiment, version=version, n_cells=len(keys), source_digest=source, cell_keys=keys)
    write_atomic(folder / "manifest.json", encode_record(content))


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


def _run_on_joblib(run_cell: RunCell, tasks: list[Task], n_jobs: int) -> Generator[bytes, None, None]:
    """Run on local processes; batches of small cells, results as they come."""
    if not tasks:
        return
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    n_jobs = min(joblib.effective_n_jobs(n_jobs), len(tasks))
    threads = 1 if n_jobs > 1 else None
    with joblib.parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=threads), deaf_children():
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size="auto", **worker_settings())
        finished = parallel(joblib.delayed(compute_cell)(run_cell, task) for task in tasks)
    try:
        yield from finished
    except BrokenProcessPool as error:
        raise InputError(
            f"a worker process died with n_jobs={n_jobs}, most often for lack of memory: "
            "run the same command again with a smaller n_jobs, finished cells are kept"
        ) from error
    finally:
        finished.close()  # on an interrupt: ends the workers at once


def _run_on_dask(run_cell: RunCell, tasks: list[Task], client: Any) -> Generator[bytes, None, None]:
    """Run on a cluster; a cell whose worker is lost for good becomes a failed cell, without a scheduler the sweep ends."""
    import asyncio

    from distributed import as_completed

    futures = {client.submit(compute_missing_cell, run_cell, task, pure=False): task for task in tasks}
    waiting = as_completed(futures)
    try:
        for future in waiting:
            try:
                content = future.result()
            except (Exception, asyncio.CancelledError) as error:
                # Cancelled or lost: nothing is known of the cell, so that it stays missing.
                if future.status != "error":
                    raise InputError(
                        f"the Dask scheduler or its answer was lost ({first_line(error)}), expected it to stay until "
                        "the end: run the same command again, finished cells are kept"
                    ) from None
                content = write_cell(futures[future], [{}], traceback.format_exc(), 0.0)
            # A result that is held is computed again when its worker dies.
            del futures[future]
            future.release()
            del future
            yield content
    finally:
        client.cancel(list(futures))
