"""Counts of a log instead of its rows: what an analysis needs, in the room of the distinct transitions.

A log of 10^8 rows does not fit where its counts do. A Parquet file is read twice in chunks: once for its labels, once to be
counted. Nothing of a chunk stays but how often each (state, action, next state) came up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._late import sparse as sp
from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_count, check_flag, needs_package, read_only, require_memory
from spectral_jepa.data import Ids, Transitions
from spectral_jepa.logs._labels import Column, number_labels
from spectral_jepa.logs._tables import as_array, open_parquet

if TYPE_CHECKING:
    import pyarrow as pa

# Rows held at a time: 24 MiB for three columns of numbers, and as much again for each step of their counting.
CHUNK_ROWS = 2**20
# What is new is merged with what was counted before once it is half as large: each distinct transition is then moved a
# handful of times in all, and the two are held together once.
MERGE_SHARE = 2
LARGEST_KEY = 2**63


@dataclass(frozen=True, eq=False, repr=False)
class LogCounts:
    """How often each visited pair (x, a) led to each state y. Made by :func:`count_log` or :func:`count_transitions`.

    Parameters
    ----------
    pair : integer array (m,)
        Visited pairs, ascending, as action * n_states + state.
    reached : integer array (n,)
        Reached states, ascending.
    counts : CSR matrix of int64 (m, n)
        Without stored zeros; sums to the number of transitions.
    n_states, n_actions : int
    state_labels, action_labels : tuples, optional
        What the ids stand for, as in :class:`spectral_jepa.Transitions`.

    Examples
    --------
    >>> data = count_transitions(Transitions([0, 0, 1], [0, 0, 0], [1, 1, 0]))
    >>> data, data.counts.toarray()
    (LogCounts(3 rows, 2 different, 2 states, 1 actions), array([[0, 2],
           [1, 0]]))
    """

    pair: Ids
    reached: Ids
    counts: sp.csr_array = field(compare=False)
    n_states: int
    n_actions: int
    state_labels: tuple[Any, ...] | None = None
    action_labels: tuple[Any, ...] | None = None

    def __repr__(self) -> str:
        return f"LogCounts({len(self)} rows, {self.counts.nnz} different, {self.n_states} states, {self.n_actions} actions)"

    def __len__(self) -> int:
        return int(self.counts.data.sum())

    def to_frame(self) -> Any:
        """The distinct transitions as a table: state, action, next_state, count; :func:`spectral_jepa.read_log` reads it.

        Returns
        -------
        DataFrame
            With the labels where there are some, ids elsewhere; pass ``count="count"`` to read it back.

        Examples
        --------
        >>> count_transitions(Transitions([0, 0, 1], [0, 0, 0], [1, 1, 0])).to_frame()
           state  action  next_state  count
        0      0       0           1      2
        1      1       0           0      1
        """
        import pandas as pd

        entries = self.counts.tocoo()
        row, column = entries.coords
        ids = {
            "state": (self.pair[row] % self.n_states, self.state_labels),
            "action": (self.pair[row] // self.n_states, self.action_labels),
            "next_state": (self.reached[column], self.state_labels),
        }
        columns = {name: at if labels is None else [labels[i] for i in at] for name, (at, labels) in ids.items()}
        return pd.DataFrame(columns | {"count": entries.data})


@checked()
def count_transitions(data: Transitions) -> LogCounts:
    """Count transitions that are in memory.

    Parameters
    ----------
    data : Transitions

    Returns
    -------
    LogCounts
        With the spaces and labels of the transitions. Rewards are left out.

    Raises
    ------
    InputError
        More triples of state, action and next state than 64 bits can number.

    Notes
    -----
    One sort of N whole numbers.

    Examples
    --------
    >>> len(count_transitions(Transitions([0, 1, 1], [0, 0, 0], [1, 0, 1])))
    3
    """
    counter = _Counter(data.n_states, data.n_actions)
    counter.add(data.state, data.action, data.next_state)
    return counter.result(data.state_labels, data.action_labels)


def count_log(
    path: str | Path,
    *,
    state: str = "state",
    action: str = "action",
    next_state: str = "next_state",
    chunk_rows: int = CHUNK_ROWS,
    progress: bool = False,
) -> LogCounts:
    """Count a Parquet log without holding its rows.

    Parameters
    ----------
    path : str or Path
        A ``.parquet`` file, or a folder of them.
    state, action, next_state : str
        Column names; one transition a row, its next state recorded.
    chunk_rows : int
        Rows held at a time.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    LogCounts
        The same as :func:`count_transitions` of :func:`spectral_jepa.read_log`, labels included.

    Raises
    ------
    InputError
        A file that is none, a missing column or label, labels of two types that cannot be joined exactly, more triples of
        state, action and next state than 64 bits can number.

    Notes
    -----
    O(N log chunk_rows) time; O(chunk_rows + distinct transitions + labels) memory: 24 bytes a distinct transition, and twice
    that while they are merged. A file is read by its row groups, so that one written as a single group needs the compressed
    columns of all its rows at once.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> path = Path(tempfile.mkdtemp(), "log.parquet")
    >>> pd.DataFrame({"state": ["hall", "hall"], "action": "go", "next_state": ["hall", "attic"]}).to_parquet(path)
    >>> data = count_log(path, chunk_rows=1)
    >>> data.state_labels, data.counts.toarray()
    (('attic', 'hall'), array([[1, 1]]))
    """
    check_count("chunk_rows", chunk_rows)
    check_flag("progress", progress)
    path = Path(path)
    columns = [state, action, next_state]
    with needs_package(f"reading {path}"):
        import pyarrow as pa
        import pyarrow.compute as pc
    chunks, n_rows = open_parquet(path, columns, chunk_rows)
    if not n_rows:
        raise InputError(f"{path} has columns but no row, expected at least one transition: write it again")
    with _bar(2 * n_rows, path, progress) as bar:
        distinct = [_Distinct() for _ in columns]
        for chunk in chunks():
            for name, column, found in zip(columns, chunk, distinct, strict=True):
                if column.null_count or (pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py()):
                    raise InputError(f"{path} has rows without a {name!r}, expected none: fill or drop those rows")
                found.add(column)
            bar.update(len(chunk[0]))
        known = [found.result() for found in distinct]
        labels = [Column(name, as_array(values)) for name, values in zip(columns, known, strict=True)]
        ids, state_labels = number_labels([[labels[0], labels[2]]], path)
        action_ids, action_labels = number_labels([[labels[1]]], path)
        numbers = [ids[: len(known[0])], action_ids, ids[len(known[0]) :]]
        counter = _Counter(len(state_labels), len(action_labels))
        for chunk in chunks():
            parts = [
                number[pc.index_in(column, value_set=values).to_numpy(zero_copy_only=False)]
                for column, values, number in zip(chunk, known, numbers, strict=True)
            ]
            counter.add(*parts)
            bar.update(len(chunk[0]))
    return counter.result(state_labels, action_labels)


class _Distinct:
    """The distinct values of a column that comes in chunks."""

    def __init__(self) -> None:
        self._found: list[pa.Array] = []
        self._size = self._merged = 0

    def add(self, column: pa.Array) -> None:
        self._found.append(column.unique())
        self._size += len(self._found[-1])
        if self._size > 2 * self._merged + 1000:
            self._found = [self.result()]
            self._size = self._merged = len(self._found[0])

    def result(self) -> pa.Array:
        import pyarrow as pa

        return pa.chunked_array(self._found).unique() if len(self._found) > 1 else self._found[0]


class _Counter:
    """Sorted keys of the triples seen, and how often each was."""

    def __init__(self, n_states: int, n_actions: int) -> None:
        if n_actions * n_states * n_states >= LARGEST_KEY:
            raise InputError(
                f"the log has {n_states} states and {n_actions} actions, expected fewer triples (state, action, next state) "
                "than 2^63: number the states that occur, or make fewer of them"
            )
        self.n_states, self.n_actions = n_states, n_actions
        self._parts: list[tuple[Ids, NDArray[np.int64]]] = []
        self._merged = self._pending = 0

    def add(self, state: Ids, action: Ids, next_state: Ids) -> None:
        key = (action * self.n_states + state) * self.n_states + next_state
        self._parts.append(np.unique(key, return_counts=True))
        self._pending += self._parts[-1][0].size
        if MERGE_SHARE * self._pending > self._merged:
            self._merge()

    def _merge(self) -> None:
        if len(self._parts) > 1:
            require_memory(
                (sum(key.size for key, _ in self._parts),), "the counts of the log", "count a part of it", copies=4
            )
            key = np.concatenate([key for key, _ in self._parts])
            count = np.concatenate([count for _, count in self._parts])
            self._parts = []
            # The parts are sorted: a stable sort merges them.
            order = np.argsort(key, kind="stable")
            key = key[order]
            first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
            self._parts = [(key[first], np.add.reduceat(count[order], first))]
        self._merged, self._pending = self._parts[0][0].size, 0

    def result(self, state_labels: tuple[Any, ...] | None, action_labels: tuple[Any, ...] | None) -> LogCounts:
        self._merge()
        key, count = self._parts[0]
        pair_of, next_state = np.divmod(key, self.n_states)
        starts = np.flatnonzero(np.append(True, pair_of[1:] != pair_of[:-1]))
        reached, column = np.unique(next_state, return_inverse=True)
        shape = (starts.size, reached.size)
        matrix = sp.csr_array((count, column, np.append(starts, key.size)), shape=shape)
        labels = state_labels, action_labels
        return LogCounts(read_only(pair_of[starts]), read_only(reached), matrix, self.n_states, self.n_actions, *labels)


def _bar(total: int, path: Path, progress: bool) -> Any:
    from spectral_jepa._terminal import Bar

    return Bar(total=total, desc=f"counting {path.name}", unit="row", unit_scale=True, disable=not progress)
