"""Tables of results: the files of a sweep, tidy tables, their digest, committed tables, and bands over seeds.

A sweep's folder holds ``manifest.json``, one ``cells/<key>.json`` a cell, and, once it is complete, ``table.parquet``,
``table.csv`` and ``table.sha256``. Columns that end in ``_seconds`` are clock readings: the only ones that may differ
between two runs of the same command.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from spectral_jepa._files import Record, decode_record
from spectral_jepa._validation import InputError, first_line, nearest, warn_user
from spectral_jepa.sweep.cells import CELL_COLUMNS, load_cells
from spectral_jepa.sweep.experiment import shipped_folder
from spectral_jepa.sweep.places import LocalPlace, Place, open_place

BAND_COLUMNS = ("mean", "low", "high", "n")


def read_manifest(folder: str | Path | Place) -> Record | None:
    """Read a sweep folder's manifest: what ran there, and the keys of its cells.

    Parameters
    ----------
    folder : str or Path, or a place
        Of the sweep.

    Returns
    -------
    dict or None
        None where there is none, or, saying so, where it is damaged.

    Examples
    --------
    >>> read_manifest(Path("no_such_folder")) is None
    True
    """
    place = open_place(folder)
    try:
        return decode_record(place.read("manifest.json"))
    except FileNotFoundError:
        return None
    except ValueError:
        warn_user(f"{place}/manifest.json is damaged and was ignored: run the sweep again to rewrite it")
        return None


def cells_table(records: Iterable[Record]) -> pd.DataFrame:
    """Lay finished cells out as a tidy table: parameters, metrics, status and environment, one row a dict of metrics.

    Lists among the parameters become JSON text, and a column that mixes numbers with text becomes text, because a Parquet
    column has one type.

    Parameters
    ----------
    records : iterable of dict
        Contents of the cells' files.

    Returns
    -------
    DataFrame
        In the order of the records.

    Examples
    --------
    >>> shared = dict.fromkeys(CELL_COLUMNS, "") | {"experiment": "square"}
    >>> cells_table([shared | {"cell": {"x": 3, "dims": [1, 2]}, "rows": [{"y": 9}, {"y": 10}]}])[["dims", "x", "row", "y"]]
         dims  x  row   y
    0  [1, 2]  3    0   9
    1  [1, 2]  3    1  10
    """
    records = list(records)
    parameters = dict.fromkeys(name for record in records for name in record["cell"])
    metrics = dict.fromkeys(name for record in records for row in record["rows"] for name in row)
    columns = dict.fromkeys(("experiment", *parameters, "row", *metrics, *CELL_COLUMNS))
    rows = []
    for record in records:
        shared = {name: json.dumps(x) if isinstance(x, (list, dict)) else x for name, x in record["cell"].items()}
        shared |= {name: record[name] for name in CELL_COLUMNS if name != "row"}
        rows += [{**shared, **row, "row": index} for index, row in enumerate(record["rows"])]
    table = pd.DataFrame(rows, columns=list(columns))
    for name in table.columns:
        kind = pd.api.types.infer_dtype(table[name], skipna=True) if table[name].dtype.kind == "O" else "string"
        if kind not in ("string", "boolean", "empty"):
            table[name] = table[name].map(str, na_action="ignore")
    return table


def write_table(folder: str | Path | Place, table: pd.DataFrame) -> str:
    """Write ``table.parquet``, ``table.csv`` and ``table.sha256``, each atomically.

    Parameters
    ----------
    folder : str or Path, or a place
        Of the sweep; it is there.
    table : DataFrame

    Returns
    -------
    str
        Digest of the table.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_table(folder, pd.DataFrame({"risk": [0.5]})) == (folder / "table.sha256").read_text().strip()
    True
    """
    place, sha = open_place(folder), digest(table)
    place.write("table.parquet", table.to_parquet(index=False, engine="pyarrow"))
    place.write("table.csv", _csv(table))
    place.write("table.sha256", f"{sha}\n".encode())
    return sha


def read_table(path: str | Path | Place) -> pd.DataFrame:
    """Read the table of a sweep.

    Parameters
    ----------
    path : str or Path, or a place
        A sweep's folder, also at an address, or a Parquet file.

    Returns
    -------
    DataFrame
        One row a result. If the Parquet file is missing, unreadable or does not match ``table.sha256``, the table is
        rebuilt from the cells that are done, and a warning says so.

    Raises
    ------
    InputError
        If there is neither a readable table nor a finished cell.

    Notes
    -----
    O(size of the table): the digest is checked at each reading, because Parquet does not notice a flipped byte by itself.

    Examples
    --------
    >>> read_table("no_such_folder")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: no_such_folder does not exist, expected a sweep's folder or table: check the path
    """
    place = open_place(path)
    if not place.exists():
        raise InputError(f"{path} does not exist, expected a sweep's folder or table: check the path")
    name = "table.parquet"
    if isinstance(place, LocalPlace) and not place.folder.is_dir():
        place, name = LocalPlace(place.folder.parent), place.folder.name
    file = f"{place}/{name}"
    problem = "is missing"
    try:
        table = pd.read_parquet(io.BytesIO(place.read(name)), engine="pyarrow")
        record = place.read_all(["table.sha256"]) if name == "table.parquet" else {}
        if not record or record["table.sha256"].decode(errors="replace").strip() == digest(table):
            return table
        problem = "does not match table.sha256"
    except FileNotFoundError:
        pass
    except Exception as error:  # pyarrow reports damage as any of a dozen types
        problem = f"cannot be read ({first_line(error)})"
    manifest = read_manifest(place)
    keys = manifest["cell_keys"] if manifest else []
    records, _ = load_cells(place, keys)
    if not records:
        raise InputError(
            f"{file} {problem} and {place} holds no finished cell, expected a sweep's folder or table: run the sweep first"
        )
    warn_user(
        f"{file} {problem}, so the table was rebuilt from {len(records)} of {len(keys)} cells: "
        "run the sweep again to write it"
    )
    return cells_table(records.values())


def reference_path(name: str, preset: str = "quick") -> Path:
    """Where a committed table is: in ``reference/`` of a clone, inside the package of a wheel.

    Parameters
    ----------
    name : str
        An experiment, or, where there is a suffix, a file below ``reference/``: "sharpest/summary.csv".
    preset : str
        Of the experiment.

    Returns
    -------
    Path
        ``NAME-PRESET.parquet``, or the file; whether it is there or not.

    Examples
    --------
    >>> reference_path("bound_vs_dim").name, reference_path("sharpest/summary.csv").name
    ('bound_vs_dim-quick.parquet', 'summary.csv')
    """
    return shipped_folder("reference") / (name if Path(name).suffix else f"{name}-{preset}.parquet")


def reference_table(name: str, preset: str = "quick") -> pd.DataFrame:
    """Read a committed table: one that ``spectral-jepa sweep NAME --keep`` wrote, or another file of ``reference/``.

    Parameters
    ----------
    name : str
        An experiment, or, where there is a suffix, a file below ``reference/``: "sharpest/summary.csv".
    preset : str
        Of the experiment.

    Returns
    -------
    DataFrame
        As it was written.

    Raises
    ------
    InputError
        If it is not there.

    Examples
    --------
    >>> reference_table("jepa_vs_svd")["loss"].nunique()
    5
    """
    path = reference_path(name, preset)
    if not path.is_file():
        raise InputError(
            f"{path} does not exist, expected a committed table: "
            f"spectral-jepa sweep {Path(name).parts[0]} --preset {preset} --keep writes an experiment's"
        )
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path, engine="pyarrow")


def clone_reference() -> Path:
    """The folder ``reference/`` of the clone, which is where tables are kept.

    Returns
    -------
    Path
        The folder, whether it is there or not.

    Raises
    ------
    InputError
        If the package does not run from a clone: what an installation carries is not for writing.

    Examples
    --------
    >>> clone_reference().name
    'reference'
    """
    folder = shipped_folder("reference")
    if not (folder.parent / "pyproject.toml").is_file():
        raise InputError(
            f"{folder.parent} holds no pyproject.toml, expected a clone of the repository, where tables are kept: "
            "clone it, pip install --editable, and run this again"
        )
    return folder


def without_clocks(table: pd.DataFrame) -> pd.DataFrame:
    """Drop the clock readings (columns that end in ``_seconds``): what is left must be the same in every run.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    DataFrame
        The other columns.

    Examples
    --------
    >>> without_clocks(pd.DataFrame({"risk": [0.5], "duration_seconds": [1.2]})).columns.tolist()
    ['risk']
    """
    return table.loc[:, [not str(name).endswith("_seconds") for name in table.columns]]


def digest(table: pd.DataFrame) -> str:
    """SHA-256 of the clock-free table (of its CSV bytes, where every double is written with all its digits).

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> digest(pd.DataFrame({"risk": [0.3], "fit_seconds": [1.0]})) == digest(pd.DataFrame({"risk": [0.1 + 0.2]}))
    False
    """
    return hashlib.sha256(_csv(without_clocks(table))).hexdigest()


def fullest_rows(table: pd.DataFrame, *, by: str | Sequence[str]) -> pd.DataFrame:
    """One row for all that agree in some columns: what the fullest of them has, and where it has nothing, the next.

    Parameters
    ----------
    table : DataFrame
        Such as a sweep's, where one model was measured on one task and again on several.
    by : str or sequence of str
        Columns that name the thing that was measured.

    Returns
    -------
    DataFrame
        In the order in which the things come first; of equally full rows the later wins.

    Raises
    ------
    InputError
        A column of ``by`` that is not there, or none.

    Notes
    -----
    O(rows x columns).

    Examples
    --------
    >>> rows = pd.DataFrame({"seed": [0, 1, 0], "near": [0.5, 0.25, 0.75], "far": [0.125, None, None]})
    >>> fullest_rows(rows, by="seed")
       seed  near    far
    0     0  0.50  0.125
    1     1  0.25    NaN
    """
    keys = [by] if isinstance(by, str) else list(by)
    _check_columns(table, keys)
    if not keys:
        raise InputError("by is empty, expected the columns that name the thing that was measured: name them")
    table = table.reset_index(drop=True)
    # Numbered as they come first. Groups keep the order of their rows: the last value of a column is the fullest row's.
    number = table.groupby(keys, dropna=False, sort=False).ngroup()
    fuller = table.loc[table.notna().sum(axis=1).sort_values(kind="stable").index]
    return fuller.groupby(number).last().reset_index(drop=True)


def mean_band(table: pd.DataFrame, *, by: str | Sequence[str], value: str, level: float = 0.95) -> pd.DataFrame:
    """Mean of each group and a Student-t confidence band of that mean.

    Parameters
    ----------
    table : DataFrame
        One row a run; rows where ``value`` is missing (failed cells) are left out.
    by : str or sequence of str
        Columns that make a group, usually every parameter except the seed.
    value : str
        Column to average.
    level : float in (0, 1)
        Confidence level.

    Returns
    -------
    DataFrame
        The ``by`` columns, then ``mean``, ``low``, ``high`` and ``n`` (values in the group), sorted by group. The band of a
        single value is NaN: one run says nothing about its spread.

    Raises
    ------
    InputError
        Unknown or clashing columns, values that are not numbers, a level outside (0, 1).

    Notes
    -----
    mean -+ t_{n-1}((1 + level) / 2) s / sqrt(n) with the sample standard deviation s, exact for normal values. O(rows).

    Examples
    --------
    >>> table = pd.DataFrame({"dim": [1, 1, 2, 2], "risk": [1.0, 3.0, 0.0, 0.0]})
    >>> mean_band(table, by="dim", value="risk").round(2)
       dim  mean    low   high  n
    0    1   2.0 -10.71  14.71  2
    1    2   0.0   0.00   0.00  2
    """
    names = [by] if isinstance(by, str) else list(by)
    _check_columns(table, [*names, value])
    if not names or value in names or set(names) & set(BAND_COLUMNS):
        raise InputError(
            f"by is {names} with value {value!r}, expected other columns, none called mean, low, high or n: rename it"
        )
    if not 0 < level < 1:
        raise InputError(f"level is {level}, expected a number strictly between 0 and 1: 0.95 is usual")
    try:
        numbers = table.assign(**{value: table[value].astype(float)})
    except (TypeError, ValueError):
        raise InputError(f"column {value!r} holds {table[value].dtype} values, expected numbers: choose another") from None
    groups = numbers.groupby(names, dropna=False, observed=True)[value]
    band = groups.agg(mean="mean", spread="std", n="count").reset_index()
    count = band["n"].to_numpy()
    from scipy import stats  # a second of its own, and only bands need it

    # One value has no degree of freedom; the t quantile is NaN there, and so is the band.
    half = stats.t.ppf((1 + level) / 2, count - 1) * band["spread"].to_numpy() / np.sqrt(np.maximum(count, 1))
    return band.assign(low=band["mean"] - half, high=band["mean"] + half)[[*names, *BAND_COLUMNS]]


def _check_columns(table: pd.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        if name not in table.columns:
            raise InputError(
                f"the table has no column {name!r}, expected one of {', '.join(map(str, table.columns))}"
                f"{nearest(name, table.columns)}: choose one"
            )


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()
