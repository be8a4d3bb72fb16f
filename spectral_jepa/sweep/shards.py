"""A sweep in parts that know nothing of each other: for any scheduler, and for machines that share no disk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectral_jepa._files import Record, encode_record
from spectral_jepa._validation import InputError
from spectral_jepa.sweep.cells import RunCell, cell_name, load_cells
from spectral_jepa.sweep.places import Place, open_place
from spectral_jepa.sweep.run import cell_keys, check_folder, name_and_version, run_sweep

if TYPE_CHECKING:
    import pandas as pd

SHARDS = "shards"


def read_shard(text: str) -> tuple[int, int]:
    """Which part of how many, from "i/n".

    Parameters
    ----------
    text : str
        Two whole numbers, 1 <= i <= n.

    Returns
    -------
    number, total : int

    Raises
    ------
    InputError
        Anything else.

    Examples
    --------
    >>> read_shard("2/4")
    (2, 4)
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    number, total = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= total:
        raise InputError(f"shard is {text!r}, expected i/n with whole numbers 1 <= i <= n: for example 2/4")
    return number, total


def shard_cells(cells: Sequence[dict[str, Any]], number: int, total: int) -> list[dict[str, Any]]:
    """The cells of one shard: every ``total``-th, so that slow ones, which stand together, are spread.

    Parameters
    ----------
    cells : sequence of dict
        All of them.
    number, total : int
        Of :func:`read_shard`.

    Returns
    -------
    list of dict

    Raises
    ------
    InputError
        More shards than cells.

    Examples
    --------
    >>> shard_cells([{"x": 1}, {"x": 2}, {"x": 3}], 1, 2)
    [{'x': 1}, {'x': 3}]
    """
    if total > len(cells):
        raise InputError(f"shard is {number}/{total} of {len(cells)} cells, expected at most as many shards: lower n")
    return list(cells[number - 1 :: total])


def shard_place(folder: str | Path | Place, number: int, total: int) -> Place:
    """Where a shard's results are within those of its sweep.

    Parameters
    ----------
    folder : str or Path
        Of the sweep, or its address.
    number, total : int
        Of :func:`read_shard`.

    Returns
    -------
    place

    Examples
    --------
    >>> str(shard_place("memory://sweep", 2, 4))
    'memory://sweep/shards/2-of-4'
    """
    return open_place(folder).below(f"{SHARDS}/{number}-of-{total}")


def merge_sweep(
    run_cell: RunCell,
    cells: Sequence[Mapping[str, Any]],
    folder: str | Path | Place,
    shards: Sequence[str | Path | Place] | None = None,
    *,
    experiment: str | None = None,
    version: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Bring the cells of shards together in one sweep, and write its table.

    Parameters
    ----------
    run_cell : callable, or Experiment
    cells : sequence of dict
        All cells of the sweep, in their order.
    folder : str or Path
        Of the whole sweep, or its address.
    shards : sequence of str or Path, optional
        Folders or addresses of its parts. Default: those below ``folder/shards``.
    experiment, version : str, optional
        As in :func:`run_sweep`.
    progress : bool
        Show a summary on stderr.

    Returns
    -------
    DataFrame
        As :func:`run_sweep` returns it: with the same digest as from one run.

    Raises
    ------
    InputError
        Cells that no part has; two parts whose results of one cell differ; the folder of another sweep; no part.

    Notes
    -----
    Nothing is computed. Cells that are there already stay, so that parts may be merged as they come in. O(size of results).

    Examples
    --------
    >>> import tempfile
    >>> def square(x):
    ...     return {"y": x * x}
    >>> cells, folder = [{"x": 1}, {"x": 2}, {"x": 3}], tempfile.mkdtemp()
    >>> for number in (1, 2):
    ...     part = shard_cells(cells, number, 2)
    ...     _ = run_sweep(square, part, shard_place(folder, number, 2), n_jobs=1, progress=False)
    >>> merge_sweep(square, cells, folder, progress=False)["y"].tolist()
    [1, 4, 9]
    """
    place = open_place(folder)
    keys = cell_keys(run_cell, cells, experiment, version)
    parts = (
        [place.below(f"{SHARDS}/{name}") for name in sorted(place.names(SHARDS))]
        if shards is None
        else [open_place(shard) for shard in shards]
    )
    if not parts:
        raise InputError(
            f"{place}/{SHARDS} holds no shard, expected the folders that --shard i/n wrote: run them first, or name them"
        )
    found = []
    for part in parts:
        if not part.exists():
            raise InputError(f"{part} does not exist, expected the folder of one of the shards: check the path")
        found.append(load_cells(part, keys))
        if not any(found[-1]):
            raise InputError(
                f"{part} holds none of the {len(keys)} cells, expected one of the shards of this sweep, preset and version: "
                "check the path"
            )
    with place.hold():
        place.prepare()
        check_folder(place, *name_and_version(run_cell, experiment, version))
        records, _ = load_cells(place, keys)
        records = {key: record for key, record in records.items() if record["status"] == "ok"}
        for part, (own, _) in zip(parts, found, strict=True):
            for key, record in own.items():
                if key in records:
                    _compare(records[key], record, part)
                elif record["status"] == "ok":
                    place.write(cell_name(key), encode_record(record))
                    records[key] = record
    missing = [key for key in keys if key not in records]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(keys)} cells are in none of the {len(parts)} shards, expected all (what is there was "
            "merged): run the shards that are missing or failed and merge again, or run the sweep here, which computes them"
        )
    return run_sweep(run_cell, cells, folder, experiment=experiment, version=version, n_jobs=1, progress=progress)


def _compare(first: Record, second: Record, part: Place) -> None:
    """Refuse two results of one cell that differ: one of them is wrong, and nobody knows which."""

    def without_clocks(record: Record) -> list[dict[str, Any]]:
        return [{name: repr(x) for name, x in row.items() if not name.endswith("_seconds")} for row in record["rows"]]

    if second["status"] == "ok" and without_clocks(first) != without_clocks(second):
        raise InputError(
            f"{part} has another result of the cell {second['cell']} than was merged before, expected the same from the "
            "same code: find out which machine differs, and merge without that shard"
        )
