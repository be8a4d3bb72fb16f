"""Recorded episodes as arrays that training can read at random, and their fixed split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._files import write_atomic
from spectral_jepa._validation import InputError, check_count, check_indices
from spectral_jepa.pixels.interfaces import Dataset

Ids = NDArray[np.int64]
SPLIT_SEED = 3072
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False, repr=False)
class EpisodeDataset:
    """Rows of all episodes end to end: row r of an episode is the picture before action r; its last action is NaN.

    Parameters
    ----------
    pixels : uint8 array or memmap (rows, H, W, 3)
    columns : dict of arrays (rows, ...)
        ``action`` (rows, A) and whatever else was recorded, such as ``state``.
    ep_len, ep_offset : integer arrays (N,)
        Number of rows and first row of each episode.
    path : Path, optional
        Where the data came from; the split is recorded beside it.

    Raises
    ------
    InputError
        No episode, or one that reaches beyond the last row.

    Examples
    --------
    >>> episode = {"pixels": np.zeros((3, 8, 8, 3), np.uint8), "action": np.zeros((3, 2), np.float32)}
    >>> data = EpisodeDataset.from_episodes([episode, episode])
    >>> data.n_episodes, data.image_size, data.action_dim, data.rows(1)
    (2, 8, 2, array([3, 4, 5]))
    """

    pixels: NDArray[np.uint8]
    columns: Mapping[str, NDArray[Any]]
    ep_len: Ids
    ep_offset: Ids
    path: Path | None = None

    def __post_init__(self) -> None:
        check_episodes(str(self.path or "the dataset"), self.ep_len, self.ep_offset, len(self.pixels))

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
        return int(self.columns["action"].shape[1])

    def rows(self, episode: int) -> Ids:
        """Row numbers of one episode."""
        return np.arange(self.ep_offset[episode], self.ep_offset[episode] + self.ep_len[episode], dtype=np.int64)

    def split(self, seed: int = SPLIT_SEED) -> dict[str, Ids]:
        """Episode ids of train, validation and test, fixed when first asked for.

        The first call writes them to ``<file>.split.json`` beside the data; later calls, whatever their seed, read that
        file, so that nothing ever trained on becomes test data.

        Raises
        ------
        InputError
            The recorded split is of another number of episodes or damaged.
        """
        if self.path is None:
            return split_episodes(self.n_episodes, seed)
        record = self.path.with_name(f"{self.path.name}.split.json")
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
    def from_episodes(cls, episodes: Iterable[Mapping[str, NDArray[Any]]]) -> EpisodeDataset:
        """Join episodes held in memory, each a dict of columns."""
        listed = list(episodes)
        lengths = np.array([len(episode["pixels"]) for episode in listed], dtype=np.int64)
        columns = {name: np.concatenate([episode[name] for episode in listed]) for name in listed[0]}
        return cls(columns.pop("pixels"), columns, lengths, np.cumsum(lengths) - lengths)

    @classmethod
    def load(cls, folder: Path, path: Path | None = None) -> EpisodeDataset:
        """Map a folder of .npy files, one a column."""
        columns = {file.stem: np.load(file, mmap_mode="r") for file in sorted(folder.glob("*.npy"))}
        lengths, offsets = (np.asarray(columns.pop(name), dtype=np.int64) for name in ("ep_len", "ep_offset"))
        return cls(columns.pop("pixels"), columns, lengths, offsets, path)


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
        No episode, other lengths than offsets, or an episode that is empty or not among the rows.

    Notes
    -----
    O(N). Episodes may overlap or leave rows out.

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


def episode_rows(dataset: Dataset, episodes: ArrayLike, *, every: int = 1) -> list[Ids]:
    """Row numbers of each chosen episode, every ``every``-th from its first one on.

    Parameters
    ----------
    dataset : EpisodeDataset
    episodes : sequence of int
        Ids of episodes.
    every : int
        1 for all frames; the action block for the frames that the model sees.

    Returns
    -------
    list of integer arrays
        One an episode, in the given order.

    Raises
    ------
    InputError
        An id that the data do not have.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> data = SimpleNamespace(ep_len=np.array([3, 4]), ep_offset=np.array([0, 3]))
    >>> [rows.tolist() for rows in episode_rows(data, [1, 0], every=2)]
    [[3, 5], [0, 2]]
    """
    check_count("every", every)
    length, offset = np.asarray(dataset.ep_len), np.asarray(dataset.ep_offset)
    chosen = check_indices("episodes", np.atleast_1d(np.asarray(episodes, dtype=np.int64)), length.size, "episode")
    return [np.arange(offset[e], offset[e] + length[e], every, dtype=np.int64) for e in chosen]


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
    >>> data = SimpleNamespace(ep_len=np.array([3, 4]), ep_offset=np.array([0, 3]))
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
