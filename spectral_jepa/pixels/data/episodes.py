"""Recorded episodes as arrays that training can read at random, and their fixed split."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._files import write_atomic
from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError, check_count, check_indices
from spectral_jepa.pixels.data.places import derived_path
from spectral_jepa.pixels.interfaces import Dataset

Ids = NDArray[np.int64]
SPLIT_SEED = 3072
PARTS = ("train", "validation", "test")
DIGESTS = "digests.json"


@dataclass(frozen=True, eq=False, repr=False)
class EpisodeDataset:
    """Rows of all episodes end to end: row k of an episode is the picture before action k; its last action is NaN.

    Parameters
    ----------
    pixels : uint8 array or memmap (rows, H, W, 3)
    columns : dict of arrays (rows, ...)
        ``action`` (rows, row_steps * A) and whatever else was recorded, such as ``state``.
    ep_len, ep_offset : integer arrays (N,)
        Number of rows and first row of each episode.
    path : Path, optional
        Where the data came from; the split is recorded beside it.
    cache : Path, optional
        Folder for the split and the like. Default: beside the data.
    origin : dict of str, optional
        ``name`` and ``digest`` of the environment that the data say they come from. Default: they do not say.
    digests : dict of str
        SHA-256 of columns, as far as they are known already; see :meth:`digest`.
    row_steps : int
        Raw steps r between two rows: a row of ``action`` holds the r raw actions that follow it, one after the other.

    Raises
    ------
    InputError
        No episode, episodes that overlap or are not in the order of their rows, one that reaches beyond the last row;
        actions that are no ``row_steps`` raw ones.

    Examples
    --------
    >>> episode = {"pixels": np.zeros((3, 8, 8, 3), np.uint8), "action": np.zeros((3, 2), np.float32)}
    >>> data = EpisodeDataset.from_episodes([episode, episode])
    >>> data.n_episodes, data.image_size, data.action_dim, data.rows(1)
    (2, 8, 2, array([3, 4, 5]))

    The same numbers as rows that are two raw steps apart.

    >>> EpisodeDataset.from_episodes([episode, episode], row_steps=2).action_dim
    1
    """

    pixels: NDArray[np.uint8]
    columns: Mapping[str, NDArray[Any]]
    ep_len: Ids
    ep_offset: Ids
    path: Path | None = None
    cache: Path | None = None
    origin: Mapping[str, str] | None = None
    digests: dict[str, str] = field(default_factory=dict)
    row_steps: int = 1

    def __post_init__(self) -> None:
        where = str(self.path or "the dataset")
        check_episodes(where, self.ep_len, self.ep_offset, len(self.pixels))
        check_row_steps(where, self.row_steps, self.columns["action"].shape if "action" in self.columns else ())

    def __repr__(self) -> str:
        return f"EpisodeDataset({self.n_episodes} episodes, {len(self.pixels)} rows, columns {sorted(self.columns)})"

    @property
    def n_episodes(self) -> int:
        """Number of episodes N."""
        return len(self.ep_len)

    @property
    def image_size(self) -> int:
        """Height of the pictures."""
        return int(self.pixels.shape[1])

    @property
    def action_dim(self) -> int:
        """Number of coordinates A of a raw action."""
        return int(self.columns["action"].shape[1]) // self.row_steps

    def rows(self, episode: int) -> Ids:
        """Row numbers of one episode."""
        return np.arange(self.ep_offset[episode], self.ep_offset[episode] + self.ep_len[episode], dtype=np.int64)

    def digest(self, *names: str) -> str:
        """SHA-256 of columns and of the index of episodes: the identity of the data in whatever is kept about them.

        Parameters
        ----------
        *names : str
            ``pixels`` or other columns.

        Returns
        -------
        str
            64 hexadecimal digits.

        Notes
        -----
        A column is read once, then its digest is kept, for unpacked data on disk.
        """
        return data_digest(self, names)

    def split(self, seed: int = SPLIT_SEED) -> dict[str, Ids]:
        """Episode ids of train, validation and test, fixed when first asked for.

        The first call writes them to ``<file>.split.json`` beside the data (or in ``cache``); later calls, whatever their
        seed, read that file, so that nothing ever trained on becomes test data.

        Raises
        ------
        InputError
            The recorded split is of another number of episodes or damaged.
        """
        if self.path is None:
            return split_episodes(self.n_episodes, seed)
        record = derived_path(self.path, f"{self.path.name}.split.json", self.cache)
        if not record.is_file():
            parts = split_episodes(self.n_episodes, seed)
            content = {"seed": seed, **{name: ids.tolist() for name, ids in parts.items()}}
            write_atomic(record, (json.dumps(content) + "\n").encode())
        try:
            saved = json.loads(record.read_bytes())
            parts = {name: np.asarray(saved[name], dtype=np.int64) for name in PARTS}
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{record} is damaged, expected the lists {', '.join(PARTS)}: restore it") from None
        found = np.sort(np.concatenate(list(parts.values())))
        if not np.array_equal(found, np.arange(self.n_episodes)):
            raise InputError(
                f"{record} splits {len(found)} episodes, expected the {self.n_episodes} of {self.path.name}: "
                "the data were replaced, so remove the record if nothing trained on it is still in use"
            )
        return parts

    @classmethod
    def from_episodes(cls, episodes: Iterable[Mapping[str, NDArray[Any]]], row_steps: int = 1) -> EpisodeDataset:
        """Join episodes held in memory, each a dict of columns, whose rows are ``row_steps`` raw steps apart."""
        listed = list(episodes)
        lengths = np.array([len(episode["pixels"]) for episode in listed], dtype=np.int64)
        columns = {name: np.concatenate([episode[name] for episode in listed]) for name in listed[0]}
        return cls(columns.pop("pixels"), columns, lengths, np.cumsum(lengths) - lengths, row_steps=row_steps)

    @classmethod
    def load(
        cls,
        folder: Path,
        path: Path | None = None,
        *,
        cache: Path | None = None,
        origin: Mapping[str, str] | None = None,
        row_steps: int = 1,
    ) -> EpisodeDataset:
        """Map a folder of .npy files, one a column."""
        columns = {file.stem: np.load(file, mmap_mode="r") for file in sorted(folder.glob("*.npy"))}
        lengths, offsets = (np.asarray(columns.pop(name), dtype=np.int64) for name in ("ep_len", "ep_offset"))
        digests: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            digests = dict(json.loads((folder / DIGESTS).read_bytes()))
        if not {"pixels", *columns} <= set(digests):  # unpacked by an earlier version
            digests = {name: column_digest(values) for name, values in columns.items()}
            with contextlib.suppress(OSError):
                write_atomic(folder / DIGESTS, json.dumps(digests).encode())
        return cls(columns.pop("pixels"), columns, lengths, offsets, path, cache, origin, digests, row_steps)


def column_digest_start(dtype: Any, shape: Any) -> Any:
    """A SHA-256 that has read the type and the shape of a column; its bytes come next.

    Parameters
    ----------
    dtype : dtype
    shape : tuple of int

    Returns
    -------
    hashlib's SHA-256

    Examples
    --------
    >>> column_digest_start(np.uint8, (2, 3)).digest() == column_digest_start(np.uint8, (3, 2)).digest()
    False
    """
    return hashlib.sha256(f"{np.dtype(dtype).str} {tuple(int(n) for n in shape)} ".encode())


def column_digest(values: NDArray[Any]) -> str:
    """SHA-256 of a column: type, shape and bytes, read in pieces.

    Parameters
    ----------
    values : array (rows, ...)
        May be a memory map.

    Returns
    -------
    str
        64 hexadecimal digits.

    Notes
    -----
    O(bytes).

    Examples
    --------
    >>> column_digest(np.zeros(3)) == column_digest(np.zeros(3)) != column_digest(np.zeros(3, np.float32))
    True
    """
    content = column_digest_start(values.dtype, values.shape)
    for start in range(0, len(values), 1024):
        content.update(np.ascontiguousarray(values[start : start + 1024]).tobytes())
    return str(content.hexdigest())


def data_digest(dataset: Dataset, names: Iterable[str]) -> str:
    """SHA-256 of columns of a dataset and of its index of episodes.

    Parameters
    ----------
    dataset : EpisodeDataset
        Digests that it knows already (``digests``) are taken, others kept there.
    names : iterable of str
        ``pixels`` or other columns.

    Returns
    -------
    str
        64 hexadecimal digits.

    Notes
    -----
    O(bytes) for columns whose digest is not known.

    Examples
    --------
    >>> def data(shade):
    ...     episode = {"pixels": np.full((3, 8, 8, 3), shade, np.uint8), "action": np.zeros((3, 2), np.float32)}
    ...     return EpisodeDataset.from_episodes([episode])
    >>> data_digest(data(0), ["pixels"]) == data_digest(data(0), ["pixels"]) != data_digest(data(1), ["pixels"])
    True
    """
    known = getattr(dataset, "digests", {})
    content = hashlib.sha256()
    for name in names:
        if name not in known:
            known[name] = column_digest(dataset.pixels if name == "pixels" else dataset.columns[name])
        content.update(f"{name} {known[name]} ".encode())
    for index in (dataset.ep_len, dataset.ep_offset):
        content.update(np.asarray(index, dtype=np.int64).tobytes())
    return content.hexdigest()


def split_episodes(n_episodes: int, seed: int) -> dict[str, Ids]:
    """Split episodes at random 80 / 10 / 10, at least one in each part.

    Parameters
    ----------
    n_episodes : int
        N >= 3.
    seed : int

    Returns
    -------
    dict of integer arrays
        Ascending ids under "train", "validation" and "test". The last two have N / 10 each, rounded, the first has the rest.

    Raises
    ------
    InputError
        Fewer than three episodes.

    Notes
    -----
    O(N log N). Splitting by episode keeps windows of a test episode out of training; the published split, by window, does
    not (LeWM, arXiv 2603.19312, as its code has it).

    Examples
    --------
    >>> {name: len(ids) for name, ids in split_episodes(600, seed=0).items()}
    {'train': 480, 'validation': 60, 'test': 60}
    """
    check_count("n_episodes", n_episodes, low=3, why="one each for training, validation and test")
    order = np.random.default_rng(seed).permutation(n_episodes)
    held_out = max(1, round(n_episodes / 10))
    parts = np.split(order, [n_episodes - 2 * held_out, n_episodes - held_out])
    return {name: np.sort(ids) for name, ids in zip(PARTS, parts, strict=True)}


def check_episodes(where: str, ep_len: NDArray[Any], ep_offset: NDArray[Any], rows: int) -> None:
    """Refuse an index of episodes that does not fit the rows.

    Parameters
    ----------
    where : str
        What the message names.
    ep_len, ep_offset : integer arrays (N,)
        Number of rows and first row of each episode.
    rows : int
        How many rows there are.

    Raises
    ------
    InputError
        No episode, other lengths than offsets, an episode that is empty or not among the rows, episodes that overlap or are
        not in the order of their rows: a test row could be a training row.

    Notes
    -----
    O(N). Rows between episodes may be left out.

    Examples
    --------
    >>> check_episodes("a file", np.array([3, 2]), np.array([0, 3]), rows=5)
    >>> check_episodes("a file", np.array([3, 2]), np.array([0, 3]), rows=4)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: a file: episode 1 is rows 3 to 5, expected rows between 0 and 4: ...
    """
    if not len(ep_len) or len(ep_len) != len(ep_offset):
        raise InputError(
            f"{where} has {len(ep_len)} ep_len and {len(ep_offset)} ep_offset, expected one of each an episode: "
            "copy or collect it again"
        )
    end = np.asarray(ep_offset, dtype=np.int64) + np.asarray(ep_len, dtype=np.int64)
    bad = np.flatnonzero((ep_len < 1) | (ep_offset < 0) | (end > rows))
    if bad.size:
        n = int(bad[0])
        raise InputError(
            f"{where}: episode {n} is rows {ep_offset[n]} to {end[n]}, expected rows between 0 and {rows}: "
            "the file is incomplete, copy or collect it again"
        )
    start = np.asarray(ep_offset, dtype=np.int64)
    bad = np.flatnonzero(start[1:] < end[:-1])
    if bad.size:
        n = int(bad[0]) + 1
        raise InputError(
            f"{where}: episode {n} begins at row {start[n]} but episode {n - 1} is rows {start[n - 1]} to {end[n - 1]}, "
            "expected each episode to begin after the one before it: write ep_offset anew as the running sum of ep_len"
        )


def check_row_steps(where: str, row_steps: Any, action_shape: tuple[int, ...]) -> int:
    """Refuse a distance of rows that the actions do not fit.

    Parameters
    ----------
    where : str
        What the message names.
    row_steps : int
        Raw steps r between two rows.
    action_shape : tuple of int
        Shape (rows, r A) of the column ``action``; () where there is none.

    Returns
    -------
    int
        r.

    Raises
    ------
    InputError
        r is no count, or does not divide the length of a row of actions.

    Examples
    --------
    >>> check_row_steps("a file", 5, (20, 10))
    5
    >>> check_row_steps("a file", 4, (20, 10))
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: a file says that its rows are 4 raw steps apart but has 10 numbers a row of ...
    """
    steps = check_count(f"row_steps of {where}", row_steps)
    if len(action_shape) > 1 and action_shape[1] % steps:
        raise InputError(
            f"{where} says that its rows are {steps} raw steps apart but has {action_shape[1]} numbers a row of actions, "
            f"expected a multiple of {steps}, the raw actions that follow a row: collect again"
        )
    return steps


def rows_in(dataset: Dataset, name: str, steps: int) -> int:
    """How many rows a number of raw steps comes to.

    Parameters
    ----------
    dataset : EpisodeDataset
        Its ``row_steps`` is read.
    name : str
        What the message calls the number.
    steps : int
        Raw steps, at least 1.

    Returns
    -------
    int
        ``steps / row_steps``.

    Raises
    ------
    InputError
        Raw steps between two rows, where nothing was recorded.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rows_in(SimpleNamespace(row_steps=5), "goal_offset", 25)
    5
    >>> rows_in(SimpleNamespace(row_steps=5), "goal_offset", 24)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: goal_offset is 24 but the data have a row every 5 raw steps (row_steps), ...
    """
    check_count(name, steps)
    if steps % dataset.row_steps:
        raise InputError(
            f"{name} is {steps} but the data have a row every {dataset.row_steps} raw steps (row_steps), expected a "
            f"multiple of {dataset.row_steps}: choose one, or collect with --set data.row_steps 1"
        )
    return int(steps) // dataset.row_steps


def raw_actions(dataset: Dataset, rows: ArrayLike | slice = slice(None)) -> NDArray[Any]:
    """Raw actions that follow some rows.

    Parameters
    ----------
    dataset : EpisodeDataset
    rows : integer array (...,) or slice
        Default: all.

    Returns
    -------
    array (..., row_steps, A)
        In time order; NaN after an episode's last row.

    Notes
    -----
    O(rows).

    Examples
    --------
    >>> episode = {"pixels": np.zeros((2, 8, 8, 3), np.uint8), "action": np.arange(8.0).reshape(2, 4)}
    >>> raw_actions(EpisodeDataset.from_episodes([episode], row_steps=2), [1]).tolist()
    [[[4.0, 5.0], [6.0, 7.0]]]
    """
    actions = np.asarray(dataset.columns["action"][rows if isinstance(rows, slice) else np.asarray(rows)])
    return actions.reshape(*actions.shape[:-1], dataset.row_steps, -1)


def recorded_actions(dataset: Dataset, starts: ArrayLike, steps: int) -> Float[np.ndarray, "N T A"]:
    """Raw actions that were taken from given rows on.

    Parameters
    ----------
    dataset : EpisodeDataset
    starts : integer array (N,)
        Rows, each with enough of its episode left.
    steps : int
        Raw steps T.

    Returns
    -------
    float64 array (N, T, A)
        NaN where the episode ended.

    Raises
    ------
    InputError
        Steps that are no whole number of rows.

    Notes
    -----
    O(N T A).

    Examples
    --------
    Two raw steps of one number in a row, and the same in two rows.

    >>> from types import SimpleNamespace
    >>> actions = np.arange(8.0)
    >>> wide = SimpleNamespace(columns={"action": actions.reshape(4, 2)}, row_steps=2)
    >>> narrow = SimpleNamespace(columns={"action": actions.reshape(8, 1)}, row_steps=1)
    >>> recorded_actions(wide, [1], 4).ravel().tolist(), recorded_actions(narrow, [2], 4).ravel().tolist()
    ([2.0, 3.0, 4.0, 5.0], [2.0, 3.0, 4.0, 5.0])
    """
    rows = np.asarray(starts, dtype=np.int64)[:, None] + np.arange(rows_in(dataset, "steps", steps))
    found = raw_actions(dataset, rows)
    return found.reshape(len(rows), steps, found.shape[-1]).astype(np.float64)


def check_values(dataset: EpisodeDataset) -> None:
    """Refuse actions and states that cannot be meant: NaN, but for the action of an episode's last row, and infinities.

    Parameters
    ----------
    dataset : EpisodeDataset

    Raises
    ------
    InputError
        The first such number, with its row and column.

    Notes
    -----
    O(rows); other columns are judged where they are read.

    Examples
    --------
    >>> action = np.array([[0.0], [np.nan], [np.nan]])
    >>> episode = {"pixels": np.zeros((3, 8, 8, 3), np.uint8), "action": action}
    >>> check_values(EpisodeDataset.from_episodes([episode]))
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: the dataset: action[1, 0] is nan, expected a finite number ...
    """
    last = np.zeros(len(dataset.pixels), dtype=bool)
    last[np.asarray(dataset.ep_offset) + np.asarray(dataset.ep_len) - 1] = True
    inside = np.zeros(len(dataset.pixels) + 1, dtype=np.int64)
    np.add.at(inside, np.asarray(dataset.ep_offset), 1)
    np.add.at(inside, np.asarray(dataset.ep_offset) + np.asarray(dataset.ep_len), -1)
    used = np.cumsum(inside)[:-1] > 0
    for name in ("action", "state"):
        values = dataset.columns.get(name)
        if values is None or values.dtype.kind != "f":
            continue
        array = np.asarray(values).reshape(len(values), -1)
        bad = ~np.isfinite(array) & used[:, None]
        if name == "action":
            bad &= ~(np.isnan(array) & last[:, None])
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            episode = int(np.searchsorted(np.asarray(dataset.ep_offset), row, side="right")) - 1
            own_row = row - int(dataset.ep_offset[episode])
            but = " (NaN only in an episode's last row)" if name == "action" else ""
            raise InputError(
                f"{dataset.path or 'the dataset'}: {name}[{row}, {column}] is {array[row, column]}, expected a finite "
                f"number{but}: mend row {own_row} of episode {episode}, or leave that episode out"
            )


def check_ids(name: str, episodes: ArrayLike, n_episodes: int) -> Ids:
    """Episode ids as an array, at least one, all of them in range.

    Parameters
    ----------
    name : str
        What the message calls them.
    episodes : int or sequence of int
    n_episodes : int
        N; ids are 0 to N - 1.

    Returns
    -------
    integer array (n,)
        In the given order, repeated ones too.

    Raises
    ------
    InputError
        No id, one that is no whole number, or one out of range.

    Examples
    --------
    >>> check_ids("episodes", 4, 5)
    array([4])
    >>> check_ids("episodes", [0, 5], 5)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: episodes[1] is 5, expected a recorded episode between 0 and 4: ...
    """
    ids = check_indices(name, np.atleast_1d(np.asarray(episodes)), n_episodes, "recorded episode")
    if not ids.size:
        raise InputError(f"{name} is empty, expected at least one episode id: collect more episodes")
    return ids


def episode_rows(dataset: Dataset, episodes: ArrayLike, *, every: int | None = None) -> list[Ids]:
    """Row numbers of each chosen episode, ``every`` raw steps apart from its first one on.

    Parameters
    ----------
    dataset : EpisodeDataset
    episodes : sequence of int
        Ids of episodes.
    every : int, optional
        The action block, for the rows that the model sees. Default: all rows.

    Returns
    -------
    list of integer arrays
        One an episode, in the given order.

    Raises
    ------
    InputError
        An id that the data do not have, raw steps at which they have no row.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> data = SimpleNamespace(ep_len=np.array([3, 4]), ep_offset=np.array([0, 3]), row_steps=1)
    >>> [rows.tolist() for rows in episode_rows(data, [1, 0], every=2)]
    [[3, 5], [0, 2]]
    """
    apart = 1 if every is None else rows_in(dataset, "every", every)
    length, offset = np.asarray(dataset.ep_len), np.asarray(dataset.ep_offset)
    chosen = check_indices("episodes", np.atleast_1d(np.asarray(episodes, dtype=np.int64)), length.size, "episode")
    return [np.arange(offset[e], offset[e] + length[e], apart, dtype=np.int64) for e in chosen]


def sample_rows(dataset: Dataset, episodes: ArrayLike, n_rows: int, seed: int | np.random.Generator) -> Ids:
    """Rows of chosen episodes, drawn uniformly without replacement.

    Parameters
    ----------
    dataset : EpisodeDataset
        Lengths and offsets of its episodes are read.
    episodes : sequence of int
        Ids.
    n_rows : int
        How many rows at most; all rows where there are no more.
    seed : int or numpy Generator

    Returns
    -------
    integer array (n,)
        Different rows of the dataset, ascending.

    Raises
    ------
    InputError
        No episode, an id that the data do not have, a number of rows below 1.

    Notes
    -----
    O(rows of the episodes).

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> data = SimpleNamespace(ep_len=np.array([3, 4]), ep_offset=np.array([0, 3]), row_steps=1)
    >>> sample_rows(data, [1], 10, seed=0).tolist(), sample_rows(data, [0, 1], 2, seed=0).size
    ([3, 4, 5, 6], 2)
    """
    check_count("n_rows", n_rows)
    blocks = episode_rows(dataset, episodes)
    if not blocks:
        raise InputError("episodes is empty, expected at least one episode id: collect more episodes or change the split")
    rows = np.concatenate(blocks)
    if rows.size <= n_rows:
        return np.sort(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, n_rows, replace=False))


def episode_of_rows(dataset: Dataset, rows: NDArray[np.int64]) -> Ids:
    """Episode that each row belongs to.

    Parameters
    ----------
    dataset : EpisodeDataset
        Its offsets ascend and leave no row out.
    rows : integer array (n,)

    Returns
    -------
    integer array (n,)
        Episode ids.

    Notes
    -----
    O(n log N) for N episodes.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> episode_of_rows(SimpleNamespace(ep_offset=np.array([0, 3])), np.array([2, 3]))
    array([0, 1])
    """
    return np.searchsorted(np.asarray(dataset.ep_offset), rows, side="right") - 1
