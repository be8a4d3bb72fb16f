"""What a sweep will take, from the cells that were measured: core hours, memory, disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spectral_jepa._files import encode_record
from spectral_jepa.sweep.cells import RunCell, load_cells
from spectral_jepa.sweep.places import Place, open_place
from spectral_jepa.sweep.run import cell_keys

# A parameter with more levels than this share of the measured cells explains nothing: each level is one cell.
LEVELS_SHARE = 0.5
# Keeps a level that was measured once near the mean of all, and the fit from being singular.
RIDGE = 1e-3


@dataclass(frozen=True)
class Forecast:
    """What is left of a sweep.

    Parameters
    ----------
    cells, done : int
        All cells, and those that are there.
    measured : int
        Cells whose time is known; 0: nothing is known, and the other numbers are NaN.
    core_hours : float
        Of the cells that are left.
    longest_hours : float
        Of the slowest of them: no number of workers is faster.
    worker_gb : float
        Most memory that a worker has held, in units of 1e9 bytes.
    disk_gb : float
        Files of all cells.
    """

    cells: int
    done: int
    measured: int
    core_hours: float
    longest_hours: float
    worker_gb: float
    disk_gb: float

    def __str__(self) -> str:
        left = f"{self.cells - self.done} of {self.cells} cells to run"
        if not self.measured:
            return (
                f"{left}; no cell is measured yet, so nothing is known of their time: run a few, such as --shard "
                f"1/{self.cells}"
            )
        return (
            f"{left}: {self.core_hours:.3g} core hours, the longest cell {self.longest_hours:.2g} hours, "
            f"{self.worker_gb:.2g} GB of memory a worker, {self.disk_gb:.2g} GB of files, "
            f"from {self.measured} measured cells"
        )


def forecast(
    run_cell: RunCell,
    cells: Sequence[Mapping[str, Any]],
    folder: str | Path | Place,
    others: Sequence[str | Path | Place] = (),
    *,
    experiment: str | None = None,
    version: str | None = None,
) -> Forecast:
    """Say what a sweep will take, without running a cell.

    Parameters
    ----------
    run_cell : callable, or Experiment
    cells : sequence of dict
        All cells of the sweep.
    folder : str or Path
        Of the sweep, or its address.
    others : sequence of str or Path
        Other folders of the same experiment and version with measured cells, such as shards.
    experiment, version : str, optional
        As in :func:`spectral_jepa.sweep.run_sweep`.

    Returns
    -------
    Forecast

    Notes
    -----
    The logarithm of a cell's seconds is a sum of one number for each value of each parameter, fitted to the measured cells:
    exact where the cost is a product, such as sizes to a power times repetitions. A value that was never measured counts
    as the mean. O(cells).

    Examples
    --------
    >>> str(forecast(lambda x: {}, [{"x": 1}, {"x": 2}], "no_such_folder", experiment="square"))
    '2 of 2 cells to run; no cell is measured yet, so nothing is known of their time: run a few, such as --shard 1/2'
    """
    keys = cell_keys(run_cell, cells, experiment, version)
    done, _ = load_cells(folder, keys)
    records = dict(done)
    for other in others:
        place = open_place(other)
        records |= load_cells(place, sorted(name.removesuffix(".json") for name in place.names()))[0]
    measured = [record for record in records.values() if record["status"] == "ok"]
    finished = sum(record["status"] == "ok" for record in done.values())
    if not measured:
        return Forecast(len(keys), 0, 0, *[float("nan")] * 4)
    left = [cell for cell, key in zip(cells, keys, strict=True) if key not in done or done[key]["status"] != "ok"]
    hours = predict_seconds([(r["cell"], r["duration_seconds"]) for r in measured], left) / 3600
    size = float(np.mean([len(encode_record(record)) for record in measured]))
    return Forecast(
        cells=len(keys),
        done=finished,
        measured=len(measured),
        core_hours=float(hours.sum()),
        longest_hours=float(hours.max(initial=0.0)),
        worker_gb=max(record.get("peak_bytes") or 0 for record in measured) / 1e9,
        disk_gb=size * len(keys) / 1e9,
    )


def predict_seconds(
    measured: Sequence[tuple[Mapping[str, Any], float]], cells: Sequence[Mapping[str, Any]]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Seconds of cells from those of others: a product of one factor for each value of each parameter.

    Parameters
    ----------
    measured : sequence of (dict, float)
        Parameters and seconds, at least one.
    cells : sequence of dict

    Returns
    -------
    array (len(cells),)

    Examples
    --------
    Twice the size takes eight times as long, whatever the kind:

    >>> known = [({"size": 1, "kind": "a"}, 1.0), ({"size": 2, "kind": "a"}, 8.0), ({"size": 1, "kind": "b"}, 3.0)]
    >>> predict_seconds(known * 4, [{"size": 2, "kind": "b"}]).round(1)
    array([24.])
    """
    seconds = np.maximum([x for _, x in measured], 1e-6)

    def levels(cell: Mapping[str, Any]) -> list[tuple[str, str]]:
        return [(name, json.dumps(x)) for name, x in cell.items()]

    known: dict[str, set[str]] = {}
    for cell, _ in measured:
        for name, level in levels(cell):
            known.setdefault(name, set()).add(level)
    kept = [name for name, found in known.items() if 1 < len(found) <= LEVELS_SHARE * len(measured)]
    column = {pair: i for i, pair in enumerate((name, level) for name in kept for level in sorted(known[name]))}

    def design(chosen: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        matrix = np.zeros((len(chosen), len(column)))
        for row, cell in enumerate(chosen):
            for pair in levels(cell):
                if pair in column:
                    matrix[row, column[pair]] = 1.0
        return matrix

    logs, known_design = np.log(seconds), design([cell for cell, _ in measured])
    mean = known_design.mean(axis=0)
    centred = known_design - mean
    gram = centred.T @ centred + RIDGE * np.eye(len(column))
    weight = np.linalg.solve(gram, centred.T @ (logs - logs.mean())) if column else np.zeros(0)
    fitted = np.exp(logs.mean() + centred @ weight)
    # A level that nobody measured has a row of zeros there: the mean of the others stands in.
    new = design(cells)
    for name in kept:
        places = [i for (parameter, _), i in column.items() if parameter == name]
        unseen = new[:, places].sum(axis=1) == 0
        new[np.ix_(unseen, places)] = mean[places]
    # The mean of a logarithm is below the logarithm of a mean: the sums agree on what was measured.
    return np.exp(logs.mean() + (new - mean) @ weight) * (seconds.sum() / fitted.sum())
