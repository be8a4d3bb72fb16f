"""Logs of transitions: from a table with any labels to ids and back, and to an empirical MDP.

A log is a table with one row a transition: state, action, next state and, if there is one, reward. CSV, Parquet and npz are
read; labels may be strings, numbers, booleans, or tuples spread over several columns.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import scipy.sparse as sp
from numpy.typing import NDArray

from spectral_jepa._files import write_atomic
from spectral_jepa._validation import InputError, check_choice, first_line
from spectral_jepa.data import Ids, Transitions
from spectral_jepa.linalg import inverse_or_zero
from spectral_jepa.mdp import TabularMDP

FORMATS = (".csv", ".parquet", ".npz")
# Only these words are missing values: the usual lists would also swallow labels such as "None", "NA" or "null".
MISSING = ["", "nan", "NaN"]
Columns = str | Sequence[str]
Table = dict[str, Any]
Column = tuple[str, Any]


def read_log(
    path: str | Path,
    *,
    state: Columns = "state",
    action: Columns = "action",
    next_state: Columns = "next_state",
    reward: str | None = "reward",
) -> Transitions:
    """Read a log of transitions from a CSV, Parquet or npz file.

    Parameters
    ----------
    path : str or Path
        A ``.csv`` file with a header line, a ``.parquet`` file, or an ``.npz`` archive with one array a column.
    state, action, next_state : str or sequence of str
        Column names. With a sequence, a label is the tuple of those columns. In an npz archive a single name may also hold
        a two-dimensional array, whose rows are then the tuples.
    reward : str or None
        Column of rewards. The default name is used if it is there; any other name must be; None reads no reward.

    Returns
    -------
    Transitions
        Ids number the labels in sorted order; states and next states share one space. The labels are kept in
        ``state_labels`` and ``action_labels``. A state or action that occurs in no row is unknown to a log.

    Raises
    ------
    InputError
        A missing, unreadable, truncated or empty file, an unknown extension, a missing column, a missing label or reward,
        labels that mix numbers with text.

    Notes
    -----
    O(N) but for sorting the distinct labels; a million rows take about a second. In CSV, an empty field or ``nan`` is a
    missing value and every other word is a label; types are inferred, so the text ``"1"`` comes back as the number 1.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "log.csv")
    >>> _ = path.write_text("state,action,next_state\\nhall,go,kitchen\\nkitchen,stay,kitchen\\n")
    >>> data = read_log(path)
    >>> data.state_labels, data.action_labels, data.next_state
    (('hall', 'kitchen'), ('go', 'stay'), array([1, 1]))
    """
    path = Path(path)
    names = {
        role: _as_names(columns) for role, columns in (("state", state), ("action", action), ("next_state", next_state))
    }
    wanted = [name for columns in names.values() for name in columns]
    table = _read_table(path, wanted, reward)
    columns = {role: _take_columns(table, given) for role, given in names.items()}
    widths = {role: len(parts) for role, parts in columns.items()}
    if widths["state"] != widths["next_state"]:
        raise InputError(
            f"state has {widths['state']} columns and next_state {widths['next_state']} in {path}, expected as many: "
            "both are labels of one space"
        )
    for role, parts in columns.items():
        missing = np.any([pd.isna(part) for _, part in parts], axis=0)
        _refuse_missing(missing, f"no {role} label", path)
    shared = []
    for (name, first), (next_name, second) in zip(columns["state"], columns["next_state"], strict=True):
        if _is_number(first) != _is_number(second):
            raise InputError(
                f"one of {name} and {next_name} holds numbers and the other text in {path}, expected one kind: "
                "a state must be written the same way in both columns"
            )
        shared.append((name, np.concatenate([first, second])))
    ids, state_labels = _number_labels(shared, path)
    action_ids, action_labels = _number_labels(columns["action"], path)
    rewards = None
    if reward is not None and reward in table:
        rewards = pd.to_numeric(pd.Series(table[reward]), errors="coerce").to_numpy(np.float64, na_value=np.nan)
        _refuse_missing(~np.isfinite(rewards), f"no finite number as {reward!r}", path)
    n = len(action_ids)
    sizes = len(state_labels), len(action_labels)
    return Transitions(ids[:n], action_ids, ids[n:], *sizes, rewards, state_labels, action_labels)


def write_log(data: Transitions, path: str | Path) -> None:
    """Write transitions with their labels (ids where there are none), so that :func:`read_log` gives them back.

    Parameters
    ----------
    data : Transitions
    path : str or Path
        Ends in ``.csv``, ``.parquet`` or ``.npz``. Tuple labels become columns ``state_0``, ``state_1``, ...

    Raises
    ------
    InputError
        An unknown extension, tuples of different lengths, labels that the format cannot hold.

    Notes
    -----
    Labels that no row uses are not in a log, and CSV keeps no types: use Parquet or npz for text that looks like numbers.
    The file is replaced in one step, so a reader never sees half of it. O(N).

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "log.parquet")
    >>> write_log(Transitions([0, 1], [0, 0], [1, 0], state_labels=("hall", "kitchen")), path)
    >>> read_log(path).state_labels
    ('hall', 'kitchen')
    """
    path = Path(path)
    check_choice("the extension of the log", path.suffix.lower(), FORMATS)
    roles = (
        ("state", data.state, data.state_labels),
        ("action", data.action, data.action_labels),
        ("next_state", data.next_state, data.state_labels),
    )
    columns: dict[str, Any] = {}
    for role, ids, labels in roles:
        columns |= _label_columns(role, ids, labels)
    if data.reward is not None:
        columns["reward"] = data.reward
    buffer = io.BytesIO()
    try:
        if path.suffix.lower() == ".npz":
            np.savez(buffer, allow_pickle=False, **columns)
        elif path.suffix.lower() == ".parquet":
            pd.DataFrame(columns).to_parquet(buffer, index=False)
        else:
            pd.DataFrame(columns).to_csv(buffer, index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(
            f"the labels cannot be written to {path} ({first_line(error)}), expected text or numbers of one kind: "
            "relabel them"
        ) from error
    write_atomic(path, buffer.getvalue())


def log_to_mdp(data: Transitions, *, discount: float | None = 0.99) -> TabularMDP:
    """The empirical MDP of a log: plug-in transitions and mean rewards.

    P(y|x,a) = count(x,a,y) / count(x,a). A pair (x,a) that was never taken **stays where it is** with reward 0: the log
    says nothing of it, and a planner gains nothing from it where rewards are >= 0.

    Parameters
    ----------
    data : Transitions
    discount : float in [0, 1], optional

    Returns
    -------
    TabularMDP
        Sparse. ``weight`` is the share of rows that start in each state and ``action_frequency`` that of each action: a
        TabularMDP has one state law for all actions, so a log whose actions depend on the state keeps its P but not its
        joint law of (x, a); use :meth:`CoOccurrence.from_transitions <spectral_jepa.CoOccurrence.from_transitions>` for it.

    Notes
    -----
    O(N log N + A S).

    Examples
    --------
    >>> mdp = log_to_mdp(Transitions([0, 0, 1], [0, 0, 1], [0, 1, 0], reward=[1.0, 0.0, 3.0]))
    >>> mdp.dense()[0], mdp.reward
    (array([[0.5, 0.5],
           [0. , 1. ]]), array([[0.5, 0. ],
           [0. , 3. ]]))
    """
    shape = (data.n_actions, data.n_states)
    transition, pair = [], np.ravel_multi_index((data.action, data.state), shape)
    for counts in data.sparse_counts():
        visits = np.asarray(counts.sum(axis=1)).ravel()
        rows = sp.diags_array(inverse_or_zero(visits)) @ counts + sp.diags_array((visits == 0).astype(np.float64))
        transition.append(sp.csr_array(rows))
    reward = None
    if data.reward is not None:
        visits = np.bincount(pair, minlength=shape[0] * shape[1])
        total = np.bincount(pair, weights=data.reward, minlength=visits.size)
        reward = (total * inverse_or_zero(visits.astype(np.float64))).reshape(shape).T
    return TabularMDP(
        transition,  # type: ignore[arg-type]
        np.bincount(data.state, minlength=data.n_states) / len(data),
        reward,
        discount,
        action_frequency=data.actions_seen / len(data),
        name="log",
        state_labels=data.state_labels,
        action_labels=data.action_labels,
    )


def _as_names(columns: Columns) -> list[str]:
    return [columns] if isinstance(columns, str) else list(columns)


def _read_table(path: Path, wanted: list[str], reward: str | None) -> Table:
    """The wanted columns of the file, each an array; the reward only if it is there or was asked for by another name."""
    check_choice(f"the extension of {path}", path.suffix.lower(), FORMATS)
    if not path.is_file():
        raise InputError(f"{path} is not a file, expected a log of transitions ({', '.join(FORMATS)}): check the path")
    if not path.stat().st_size:
        raise InputError(f"{path} is empty (0 bytes), expected a log of transitions: write it again")
    reader = {".csv": _read_csv, ".parquet": _read_parquet, ".npz": _read_npz}[path.suffix.lower()]

    def choose(present: list[str]) -> list[str]:
        needed = [*wanted, *([] if reward in (None, "reward") else [str(reward)])]
        absent = [name for name in needed if name not in present]
        if absent:
            raise InputError(
                f"{path} has no column {absent[0]!r}, expected one of those present: {', '.join(map(repr, present))}: "
                "name them with state=, action=, next_state= and reward=, several that make one label as a list"
            )
        twice = [name for name in needed if present.count(name) > 1]
        if twice:
            raise InputError(
                f"{path} has {present.count(twice[0])} columns named {twice[0]!r}, expected one: rename or drop one"
            )
        return list(dict.fromkeys([*needed, *([reward] if reward is not None and reward in present else [])]))

    try:
        table = reader(path, choose)
    except InputError:
        raise
    except (ValueError, OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise InputError(
            f"{path} cannot be read as {path.suffix[1:]} ({first_line(error)}), expected a whole file: "
            "it may be truncated or of another format, so write it again"
        ) from error
    lengths = {name: len(column) for name, column in table.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"the columns of {path} have lengths {lengths}, expected one length: a row is one transition")
    if not next(iter(lengths.values())):
        raise InputError(f"{path} has columns but no row, expected at least one transition: write it again")
    return table


def _read_csv(path: Path, choose: Any) -> Table:
    with pyarrow.csv.open_csv(path) as first_block:
        names = choose(first_block.schema.names)
    options = pyarrow.csv.ConvertOptions(include_columns=names, null_values=MISSING, strings_can_be_null=True)
    frame = pyarrow.csv.read_csv(path, convert_options=options).to_pandas()
    return {name: frame[name] for name in names}


def _read_parquet(path: Path, choose: Any) -> Table:
    names = choose(list(pyarrow.parquet.read_schema(path).names))
    frame = pd.read_parquet(path, columns=names)
    return {name: frame[name] for name in names}


def _read_npz(path: Path, choose: Any) -> Table:
    if not zipfile.is_zipfile(path):
        raise zipfile.BadZipFile("it is no zip archive")
    with np.load(path, allow_pickle=False) as archive:
        table = {}
        for name in choose(list(archive.files)):
            try:
                table[name] = archive[name]
            except ValueError as error:
                if "pickle" not in str(error):
                    raise
                raise InputError(
                    f"array {name!r} of {path} holds Python objects, which could run code when loaded: "
                    "save it as numbers or as text, for example with array.astype(str)"
                ) from error
            if table[name].ndim not in (1, 2):
                raise InputError(
                    f"array {name!r} of {path} has shape {table[name].shape}, expected (rows,) or (rows, columns): "
                    "reshape it"
                )
    return table


def _take_columns(table: Table, names: list[str]) -> list[Column]:
    """The named columns as plain arrays; a two-dimensional array counts as several."""
    columns: list[Column] = []
    for name in names:
        values = np.asarray(table[name])
        if not _is_number(values):
            # Text and times go on as objects, so that two columns of other widths or units still share one space.
            values = values.astype(object) if values.dtype.kind in "OUS" else np.asarray(pd.Series(values).astype(object))
        columns += [(name, values)] if values.ndim == 1 else [(f"{name}[:, {i}]", part) for i, part in enumerate(values.T)]
    return columns


def _number_labels(columns: list[Column], path: Path) -> tuple[Ids, tuple[Any, ...]]:
    """Ids of the labels in sorted order, and the labels. Columns are merged one at a time, so no product overflows."""
    codes, labels = None, None
    for name, values in columns:
        try:
            part, distinct = pd.factorize(values, sort=True)
        except TypeError as error:
            raise InputError(
                f"column {name!r} of {path} holds labels that cannot be sorted ({first_line(error)}), "
                "expected one kind: write them all as text or all as numbers"
            ) from error
        kinds = sorted({type(label).__name__ for label in distinct}) if not _is_number(values) else []
        if len(kinds) > 1:
            raise InputError(
                f"column {name!r} of {path} holds labels of types {' and '.join(kinds)}, expected one type: "
                "write them all as text (UTF-8) or all as numbers"
            )
        part = part.astype(np.int64)
        if codes is None or labels is None:
            codes, labels = part, [(label,) for label in distinct.tolist()]
            continue
        codes, pairs = pd.factorize(codes * len(distinct) + part, sort=True)
        first, second = np.divmod(pairs, len(distinct))
        values_list = distinct.tolist()
        labels = [(*labels[i], values_list[j]) for i, j in zip(first.tolist(), second.tolist(), strict=True)]
    assert codes is not None and labels is not None
    return codes.astype(np.int64), tuple(label[0] for label in labels) if len(columns) == 1 else tuple(labels)


def _label_columns(role: str, ids: Ids, labels: tuple[Any, ...] | None) -> dict[str, Any]:
    if labels is None:
        return {role: ids}
    if not isinstance(labels[0], tuple):
        return {role: _label_array(role, labels)[ids]}
    lengths = {len(label) if isinstance(label, tuple) else 1 for label in labels}
    if len(lengths) != 1:
        raise InputError(
            f"the {role} labels are tuples of lengths {sorted(lengths)}, expected one length: pad or relabel them"
        )
    return {f"{role}_{i}": _label_array(role, part)[ids] for i, part in enumerate(zip(*labels, strict=True))}


def _label_array(role: str, labels: Sequence[Any]) -> Any:
    if len({isinstance(label, str) for label in labels}) > 1:
        raise InputError(f"the {role} labels mix text with other types, expected one type: relabel them all as text")
    return np.array(labels)


def _is_number(values: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values))


def _refuse_missing(missing: NDArray[Any], what: str, path: Path) -> None:
    if missing.any():
        raise InputError(
            f"{path} has {what} in {int(missing.sum())} of {missing.size} rows, the first in row "
            f"{int(np.argmax(missing)) + 1} (counted from 1), expected none: fill or drop those rows"
        )
