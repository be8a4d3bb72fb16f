"""Logs of transitions: from a table with any labels to ids and back, and to an empirical MDP.

A log is a table with one row a transition: state, action, next state and, if there is one, reward. CSV, Parquet and npz are
read; labels may be strings, numbers, booleans, or tuples spread over several columns.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._files import write_atomic
from spectral_jepa._late import sparse as sp
from spectral_jepa._validation import Array, InputError, check_choice, first_line, nearest, needs_package, shown, warn_user
from spectral_jepa.data import Ids, Transitions
from spectral_jepa.linalg import inverse_or_zero
from spectral_jepa.logs._labels import Place, end_label, number_labels
from spectral_jepa.logs._tables import (
    FRAME,
    Table,
    TextFormat,
    read_frame,
    read_table,
    take_columns,
    take_flags,
    take_numbers,
)
from spectral_jepa.mdp import TabularMDP

if TYPE_CHECKING:
    import pandas as pd

WRITTEN = (".csv", ".parquet", ".npz")
# Columns of these names say where an episode ends, or how often a row counts: whoever leaves them unused is told.
TELLING = {
    "terminated": ("terminated", "terminal", "terminals"),
    "truncated": ("truncated", "timeout", "timeouts"),
    "done": ("done", "dones", "is_last"),
    "episode": ("episode", "episode_id", "episode_idx"),
    "count": ("count", "counts"),
}
FLAGS = ("terminated", "truncated", "done")
MAX_ROWS = 10**9
Columns = str | Sequence[str]


def read_log(
    path: str | Path | pd.DataFrame,
    *,
    state: Columns = "state",
    action: Columns = "action",
    next_state: Columns | None = "next_state",
    reward: str | None = "reward",
    terminated: str | None = None,
    truncated: str | None = None,
    done: str | None = None,
    episode: str | None = None,
    step: str | None = None,
    count: str | None = None,
    separator: str | None = None,
    decimal: str = ".",
    header: bool = True,
) -> Transitions:
    """Read a log of transitions from a DataFrame, or from a CSV, Parquet or npz file.

    Parameters
    ----------
    path : str or Path, or DataFrame
        A DataFrame, whose index is not read; or a ``.csv`` or ``.tsv`` file, also compressed (``.csv.gz``), a ``.parquet``
        file or a folder of them, or an ``.npz`` archive with one array a column, or one structured array.
    state, action, next_state : str or sequence of str
        Column names. With a sequence, a label is the tuple of those columns. In an npz archive a single name may also hold
        a two-dimensional array, whose rows are then the tuples. ``next_state=None``: trajectories, the next state is that
        of the next row, never across the end of an episode.
    reward : str or None
        Column of rewards. The default name is used if it is there and not empty; any other name must be; None reads no
        reward.
    terminated, done : str, optional
        Column of true and false (or 1 and 0): the episode ended with that row. Its next state is kept if no row starts
        there and no other row leads there; else it is a state of its own, ``"(end)"``, because many logs hold there the
        first state of the next episode. Nothing is earned beyond an end.
    truncated : str, optional
        Column of true and false: the episode was cut off in that row. Such a row is left out, unless it terminated as well:
        many logs hold there the first state of the next episode. It overrules ``done``.
    episode : str, optional
        Column of the episode's number or name, the rows of an episode together and in order. The last row of one that did
        not terminate is left out. With ``step`` its rows may be anywhere.
    step : str, optional
        Column of whole numbers, the step of each row within its episode: trajectories whose rows come in any order. The
        next state is that of the row one step later; a row without one is left out unless it terminated, so that no
        transition leads across a gap. Takes the place of ``next_state``. Without ``episode`` all rows are one.
    count : str, optional
        Column of whole numbers: how many transitions the row stands for.
    separator : str, optional
        Of a text file. Default: the first of comma, tab, semicolon and bar with which the wanted columns are found.
    decimal : {".", ","}
        Decimal mark of the reward and the count in a text file.
    header : bool
        False: the text file has no header line, and its columns are named "0", "1", ...

    Returns
    -------
    Transitions
        Ids number the labels in sorted order; states and next states share one space. The labels are kept in
        ``state_labels`` and ``action_labels``. A state or action that occurs in no row is unknown to a log.

    Raises
    ------
    InputError
        A missing, unreadable, truncated or empty file, an unknown extension, a missing column, a missing label or reward,
        labels of two types that cannot be joined exactly, an episode whose rows are apart, two rows of one step, no row
        left.

    Warns
    -----
    UserWarning
        Columns of the usual names that say where episodes end, or how often a row counts, are there and not used.

    Notes
    -----
    O(N) but for sorting the distinct labels; a million rows take about a second. A label is never changed: distinct labels
    stay distinct. In CSV, an empty field or ``nan`` is a missing value and every other word is a label. A column holds
    numbers where each word is the one way to write its number (7, -2.5, 1e+16), no whole number has more than 18 digits,
    and the column beside it holds numbers too; else it is text: 0117, 345.10, 1.50, +1, twenty digits, true. Lines that
    begin with ``#`` before the header are skipped, and UTF-16 is read as well as UTF-8.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "log.csv")
    >>> _ = path.write_text("state,action,next_state\\nhall,go,kitchen\\nkitchen,stay,kitchen\\n")
    >>> data = read_log(path)
    >>> data.state_labels, data.action_labels, data.next_state
    (('hall', 'kitchen'), ('go', 'stay'), array([1, 1]))

    Where each row is followed by the next, and the last column says where an episode ended:

    >>> _ = path.write_text("state,action,done\\nhall,go,0\\nkitchen,stay,1\\nhall,go,0\\nkitchen,stay,1\\n")
    >>> data = read_log(path, next_state=None, done="done")
    >>> data.state_labels, data.state, data.next_state
    (('hall', 'kitchen', '(end)'), array([0, 1, 0, 1]), array([1, 2, 1, 2]))

    A DataFrame of trajectories; the last step of an episode leads nowhere that is known, and step 1 of "b" is missing:

    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "episode": ["a", "b", "a", "a", "b"], "step": [1, 0, 0, 2, 2], "state": [5, 5, 7, 7, 7], "action": "go"})
    >>> data = read_log(frame, episode="episode", step="step")
    >>> [data.state_labels[i] for i in data.state], [data.state_labels[i] for i in data.next_state]
    ([5, 7], [7, 5])
    """
    frame = None if isinstance(path, (str, Path)) else _check_frame(path)
    where: Place = FRAME if frame is not None else Path(path)  # type: ignore[arg-type]
    recorded = next_state is not None and step is None
    if step is not None and next_state not in (None, "next_state"):
        raise InputError(
            f"next_state is {next_state!r} and step is {step!r}, expected one of the two, which say the same: leave one out"
        )
    text = TextFormat(separator, decimal, header)
    names: dict[str, list[str]] = {"state": _as_names(state), "action": _as_names(action)}
    if recorded:
        assert next_state is not None
        names["next_state"] = _as_names(next_state)
    for role, chosen in names.items():
        if not chosen:
            raise InputError(f"{role} names no column, expected at least one: pass its name")
        if len(set(chosen)) < len(chosen):
            raise InputError(f"{role} names a column twice ({', '.join(chosen)}), expected each once: leave one out")
    marks = {"terminated": terminated, "truncated": truncated, "done": done, "episode": episode, "count": count}
    marks |= {"step": step}
    given = [name for name in marks.values() if name is not None]
    wanted = [*(name for chosen in names.values() for name in chosen), *given]
    choose = _chooser(where, wanted, reward, marks, spare="next_state" if step is not None and next_state else None)
    if frame is not None:
        table = read_frame(frame, choose, text)
    else:
        assert isinstance(where, Path)
        table = read_table(where, choose, text, wanted)
    columns = {role: take_columns(table, chosen) for role, chosen in names.items()}
    if "next_state" in columns and len(columns["state"]) != len(columns["next_state"]):
        raise InputError(
            f"state has {len(columns['state'])} columns and next_state {len(columns['next_state'])} in {where}, expected as "
            "many: both are labels of one space"
        )
    for role, parts in columns.items():
        _refuse_missing(np.any([part.missing for part in parts], axis=0), f"no {role} label", where)
    spaces = [columns["state"], *([columns["next_state"]] if "next_state" in columns else [])]
    ids, labels = number_labels([list(parts) for parts in zip(*spaces, strict=True)], where)
    action_ids, action_labels = number_labels([[part] for part in columns["action"]], where)
    n = len(action_ids)
    flags = {role: take_flags(table, name, where) for role, name in marks.items() if name and role in FLAGS}
    if step is not None:
        following, last = _next_rows(table, episode, step, where)
    else:
        following = np.append(np.arange(1, n), 0)
        last = np.zeros(n, dtype=bool) if episode is None else _last_rows(table, episode, where)
        last[-1] |= not recorded
    state_ids = ids[:n]
    next_ids = ids[n:] if recorded else state_ids[following]
    if flags or last.any():
        next_ids, keep, ended = _close_episodes(state_ids, next_ids, flags, last, recorded)
        if not keep.any():
            raise InputError(
                f"{where} has no row left, expected at least one whose next state is known: all {n} are cut off, so check "
                "the columns named with truncated=, episode= and step="
            )
        if ended:
            labels = (*labels, end_label(labels))
    else:
        keep = np.ones(n, dtype=bool)
    rewards = _read_reward(table, reward, text, where)
    rows = np.flatnonzero(keep)
    if count is not None:
        rows = np.repeat(rows, _read_counts(table, count, text, where)[rows])
        if not rows.size:
            raise InputError(f"column {count!r} of {where} is 0 in every row, expected a transition: check the column")
    rewards = None if rewards is None else rewards[rows]
    sizes = len(labels), len(action_labels)
    return Transitions(state_ids[rows], action_ids[rows], next_ids[rows], *sizes, rewards, labels, action_labels)


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
    check_choice("the extension of the log", path.suffix.lower(), WRITTEN)
    problems: tuple[type[Exception], ...] = (TypeError, ValueError, OverflowError)
    if path.suffix.lower() == ".parquet":
        with needs_package(f"writing {path}"):
            import pyarrow as pa
        problems += (pa.ArrowException,)
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
    import pandas as pd

    buffer = io.BytesIO()
    try:
        if path.suffix.lower() == ".npz":
            np.savez(buffer, allow_pickle=False, **columns)
        elif path.suffix.lower() == ".parquet":
            pd.DataFrame(columns).to_parquet(buffer, index=False)
        else:
            pd.DataFrame(columns).to_csv(buffer, index=False)
    except problems as error:
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


def _check_frame(value: Any) -> pd.DataFrame:
    import pandas as pd

    if not isinstance(value, pd.DataFrame):
        raise InputError(f"path is {shown(value)}, expected the path of a log or a DataFrame: pass one")
    return value


def _chooser(
    path: Place, wanted: list[str], reward: str | None, marks: dict[str, str | None], spare: str | None = None
) -> Any:
    """Which of the columns present to read; tells of a missing one, and of those that say more and are not used."""

    def choose(present: list[str]) -> list[str]:
        if spare in present:
            raise InputError(
                f"{path} has a column {spare!r} beside the step {marks['step']!r}, expected one way to the next state: "
                f"leave step out to read that column, or pass {spare}=None to go by the steps"
            )
        needed = [*wanted, *([] if reward in (None, "reward") else [str(reward)])]
        absent = [name for name in needed if name not in present]
        if absent:
            trajectory = (
                ", or next_state=None (--trajectory) if it is that of the next row, or step= where a column numbers them"
                if absent == ["next_state"]
                else ""
            )
            raise InputError(
                f"{path} has no column {absent[0]!r}, expected one of those present: {', '.join(map(repr, present))}"
                f"{nearest(absent[0], present)}: "
                "name them with state=, action=, next_state= and reward= (--state, --action, ...), several that make one "
                f"label as a list{trajectory}; another separator with separator=, no header line with header=False "
                "(--separator, --no-header)"
            )
        twice = [name for name in needed if present.count(name) > 1]
        if twice:
            raise InputError(
                f"{path} has {present.count(twice[0])} columns named {twice[0]!r}, expected one: rename or drop one"
            )
        unused = [
            (role, name)
            for name in present
            for role, usual in TELLING.items()
            if name.lower() in usual and marks[role] is None and name not in needed
        ]
        # With done, terminated is known; whether an episode column matters is known as well once something marks the end.
        closed = any(marks[role] for role in ("terminated", "done", "truncated"))
        unused = [(role, name) for role, name in unused if not (closed and role in ("episode", "done"))]
        if unused:
            named = " and ".join(repr(name) for _, name in unused)
            options = ", ".join(f"{role}={name!r} (--{role} {name})" for role, name in unused)
            warn_user(
                f"{path} has {named}, which {'is' if len(unused) == 1 else 'are'} not used, so rows may lead across the end "
                f"of an episode or count once too often or too rarely: pass {options}",
                UserWarning,
            )
        return list(dict.fromkeys([*needed, *([reward] if reward is not None and reward in present else [])]))

    return choose


def _last_rows(table: Table, episode: str, path: Place) -> NDArray[np.bool_]:
    """Where an episode's last row is; its rows must be together."""
    column = take_columns(table, [episode])[0]
    _refuse_missing(column.missing, f"no {episode!r}", path)
    ids, labels = number_labels([[column]], path)
    last = np.append(ids[1:] != ids[:-1], True)
    ends = ids[last]
    if ends.size > len(labels):
        again = ends[np.flatnonzero(np.bincount(ends)[ends] > 1)[0]]
        raise InputError(
            f"the rows of {episode} {labels[again]!r} in {path} are apart, with rows of others between them, expected them "
            "together: sort the file by episode and time"
        )
    return last


def _next_rows(table: Table, episode: str | None, step: str, path: Place) -> tuple[Ids, NDArray[np.bool_]]:
    """The row one step later in the same episode (any row where there is none), and where there is none."""
    steps = take_numbers(table, step, TextFormat())
    n = len(steps)
    bad = ~(np.isfinite(steps) & (steps == np.round(steps)) & (np.abs(steps) < 2**53))
    if bad.any():
        raise InputError(
            f"column {step!r} of {path} is no whole number in row {int(np.argmax(bad)) + 1} (counted from 1), expected the "
            "step within the episode: correct it"
        )
    ids = np.zeros(n, dtype=np.int64)
    if episode is not None:
        column = take_columns(table, [episode])[0]
        _refuse_missing(column.missing, f"no {episode!r}", path)
        ids, _ = number_labels([[column]], path)
    order = np.lexsort((steps, ids))
    together, ahead = np.diff(ids[order]) == 0, np.diff(steps[order])
    twice = np.flatnonzero(together & (ahead == 0))
    if twice.size:
        first, second = sorted(order[twice[0] : twice[0] + 2].tolist())
        advice = "name the column that tells episodes apart with episode=" if episode is None else "drop or renumber one"
        raise InputError(
            f"rows {first + 1} and {second + 1} of {path} (counted from 1) are both step {steps[first]:.0f} of one episode, "
            f"expected one row a step: {advice}"
        )
    following, last = np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool)
    joined = np.flatnonzero(together & (ahead == 1))
    following[order[joined]], last[order[joined]] = order[joined + 1], False
    return following, last


def _close_episodes(
    state: Ids, next_state: Ids, flags: dict[str, NDArray[np.bool_]], last: NDArray[np.bool_], recorded: bool
) -> tuple[Ids, NDArray[np.bool_], bool]:
    """Next states that never lead across an end, the rows that have one, and whether some lead to the state of its own."""
    none = np.zeros(len(state), dtype=bool)
    cut = flags.get("truncated", none)
    over = flags.get("terminated", none) | (flags.get("done", none) & ~cut)
    cut = (cut | last) & ~over
    end = int(max(state.max(), next_state.max())) + 1
    starts = np.zeros(end + 1, dtype=bool)
    starts[state] = True
    starts[next_state[~over & ~cut]] = True
    moved = over & (starts[next_state] if recorded else True)
    return np.where(moved, end, next_state), ~cut, bool(moved.any())


def _read_reward(table: Table, reward: str | None, text: TextFormat, path: Place) -> Array | None:
    if reward is None or reward not in table:
        return None
    rewards = take_numbers(table, reward, text)
    if reward == "reward" and take_columns(table, [reward])[0].missing.all():
        return None
    bad = ~np.isfinite(rewards)
    if bad.any():
        raise InputError(
            f"{path} has no finite number as {reward!r} in {int(bad.sum())} of {bad.size} rows, the first in row "
            f"{int(np.argmax(bad)) + 1} (counted from 1), expected one in each: fill them, pass decimal=',' (--decimal ,) "
            "if that is how it is written, or reward=None (--reward None) to read none"
        )
    return rewards


def _read_counts(table: Table, count: str, text: TextFormat, path: Place) -> NDArray[np.int64]:
    counts = take_numbers(table, count, text)
    bad = ~(np.isfinite(counts) & (counts >= 0) & (counts == np.round(counts)))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"column {count!r} of {path} is no whole number >= 0 in row {row + 1} (counted from 1), expected how often the "
            "row was seen: correct it"
        )
    if counts.sum() > MAX_ROWS:
        raise InputError(
            f"column {count!r} of {path} sums to {counts.sum():.3g} transitions, expected at most {MAX_ROWS:.0e}: "
            "scale it down"
        )
    return counts.astype(np.int64)


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
    array = np.array(labels)
    if array.dtype.kind == "f" and all(isinstance(label, int) for label in labels):
        array = np.array(labels, dtype=object)  # beyond 64 bits of one sign; text can still hold them
    if array.ndim != 1 or array.tolist() != list(labels):
        raise InputError(
            f"the {role} labels are of types that no one column holds exactly, expected one type: relabel them all as text"
        )
    return array


def _refuse_missing(missing: NDArray[Any], what: str, path: Place) -> None:
    if missing.any():
        raise InputError(
            f"{path} has {what} in {int(missing.sum())} of {missing.size} rows, the first in row "
            f"{int(np.argmax(missing)) + 1} (counted from 1), expected none: fill or drop those rows"
        )
