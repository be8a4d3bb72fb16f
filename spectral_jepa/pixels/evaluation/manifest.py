"""Frozen lists of start and goal pairs from held-out episodes, so that every policy is judged on the same tasks."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._files import value_digest, write_atomic
from spectral_jepa._validation import Array, InputError, check_count
from spectral_jepa.pixels.data.episodes import check_ids, data_digest, rows_in
from spectral_jepa.pixels.data.windows import window_starts
from spectral_jepa.pixels.interfaces import Dataset, Environment

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Manifest:
    """Start and goal pairs of one dataset.

    Parameters
    ----------
    environment : str
    goal_offset : int
        Raw steps from each start to its goal, exactly. (The first public evaluator cut an exclusive slice, so that its goals
        were 24 steps ahead where 25 were meant.)
    seed : int
        Drew the pairs.
    n_candidates : int
        Rows of the chosen episodes that have a row ``goal_offset`` ahead in the same episode.
    n_solved : int
        Pairs that were drawn and left out, because the start counts as the goal already.
    data : str
        Digest of all pictures, of the episodes' lengths and places, and of the states of all starts and goals; see
        :meth:`check`.
    pairs : tuple of (episode, start row, goal row)
        Rows of the whole dataset, ``goal_offset / row_steps`` apart.

    Examples
    --------
    >>> one = Manifest("two_room", 25, 42, n_candidates=900, n_solved=3, data="0" * 64, pairs=((7, 812, 837),))
    >>> len(one), one.solved_share, one.digest[:12]
    (1, 0.75, 'a66ff3cfa43e')
    """

    environment: str
    goal_offset: int
    seed: int
    n_candidates: int
    n_solved: int
    data: str
    pairs: tuple[tuple[int, int, int], ...]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def solved_share(self) -> float:
        """Share of the drawn pairs that were solved at the start."""
        return self.n_solved / (self.n_solved + len(self))

    @property
    def table(self) -> Rows:
        """The pairs as an array (n, 3): episode, start row, goal row."""
        return np.array(self.pairs, dtype=np.int64).reshape(-1, 3)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the content."""
        return value_digest(asdict(self))

    def save(self, path: str | Path) -> None:
        """Write the manifest and its digest as JSON, atomically."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps({"sha256": self.digest, "manifest": asdict(self)}, indent=1).encode() + b"\n")

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read a manifest.

        Raises
        ------
        InputError
            No such file, or a file that was edited or cut short.
        """
        try:
            value = json.loads(Path(path).read_bytes())
            content = value["manifest"]
            manifest = cls(**{**content, "pairs": tuple(tuple(pair) for pair in content["pairs"])})
            intact = manifest.digest == value["sha256"]
        except FileNotFoundError:
            raise InputError(f"{path} does not exist, expected a manifest: make one with make_manifest") from None
        except (ValueError, TypeError, KeyError):
            intact = False
        if not intact:
            raise InputError(f"{path} does not match its SHA-256, expected a manifest as it was saved: make it again")
        return manifest

    def check(self, dataset: Dataset) -> None:
        """Refuse a dataset other than the one that the pairs were drawn from.

        Raises
        ------
        InputError
            The pictures or the states at the pairs' rows differ, or the rows do not exist.
        """
        n_rows = len(dataset.pixels)
        if not len(self) or int(self.table[:, 1:].max()) >= n_rows or _data_digest(dataset, self.table) != self.data:
            raise InputError(
                f"the manifest's {len(self)} pairs were drawn from another dataset than the one given ({n_rows} rows): "
                "pass the dataset it was made for, or make a manifest for this one"
            )


def make_manifest(
    dataset: Dataset,
    episodes: ArrayLike,
    environment: Environment,
    *,
    n_pairs: int = 200,
    goal_offset: int = 25,
    seed: int = 42,
) -> Manifest:
    """Draw start and goal pairs from some episodes, uniformly over all rows that have a goal, without repetition.

    Parameters
    ----------
    dataset : EpisodeDataset
        Its ``state`` column and its episodes' lengths and offsets are read.
    episodes : sequence of int
        Held-out episodes: the ``test`` part of :func:`spectral_jepa.pixels.data.split_episodes`.
    environment : PixelEnvironment
        Its ``success(state, goal_state)`` tells which pairs are solved at the start; these are left out and counted.
    n_pairs : int
        Published: 50.
    goal_offset : int
        Raw steps from a start to its goal, a multiple of the data's ``row_steps``. Published: 25.
    seed : int
        Of the draw; it is no training seed.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        Too few pairs in these episodes, states of another length than the environment's, or not finite; a goal between two
        rows of the data.

    Notes
    -----
    O(rows of the episodes). The published protocol (LeWM, arXiv 2603.19312, released code) draws from training episodes and
    keeps pairs that are solved at the start.

    Examples
    --------
    An agent that goes 4 px a step for 30 steps: 6 rows have a goal 25 steps, so 100 px, ahead.

    >>> from spectral_jepa.pixels.data import EpisodeDataset
    >>> from spectral_jepa.pixels.environments import make_environment
    >>> state = np.stack([40 + 4.0 * np.arange(31), np.full(31, 49.0)], axis=1)
    >>> episode = {"pixels": np.zeros((31, 8, 8, 3), np.uint8), "action": np.zeros((31, 2)), "state": state}
    >>> data = EpisodeDataset.from_episodes([episode])
    >>> found = make_manifest(data, [0], make_environment("two_room", 8), n_pairs=6)
    >>> found.n_candidates, found.n_solved, sorted(found.pairs)[0]
    (6, 0, (0, 0, 25))
    """
    check_count("n_pairs", n_pairs)
    check_count("goal_offset", goal_offset)
    ahead = rows_in(dataset, "goal_offset", goal_offset)
    chosen = np.unique(check_ids("episodes", episodes, len(dataset.ep_len)))
    # A window from the start to its goal has goal_offset + 1 raw steps.
    starts = window_starts(dataset, chosen, goal_offset + 1)
    owner = np.repeat(chosen, np.maximum(np.asarray(dataset.ep_len)[chosen] - ahead, 0))
    states = dataset.columns.get("state")
    if states is None or states.shape[1:] != (environment.state_dim,):
        got = "no column 'state'" if states is None else f"states of shape {states.shape[1:]}"
        raise InputError(
            f"the dataset has {got}, expected ({environment.state_dim},) numbers a row for {environment.name}: "
            "the environment must be set to recorded states, so collect them too"
        )
    pairs: list[tuple[int, int, int]] = []
    n_solved = 0
    for index in np.random.default_rng(seed).permutation(owner.size):
        if len(pairs) == n_pairs:
            break
        start = int(starts[index])
        for row in (start, start + ahead):
            if not np.isfinite(_state(states, row)).all():
                raise InputError(
                    f"the dataset's state in row {row} is {_state(states, row)}, expected finite numbers: mend it, or leave "
                    f"episode {int(owner[index])} out"
                )
        if environment.success(_state(states, start), _state(states, start + ahead)):
            n_solved += 1
        else:
            pairs.append((int(owner[index]), start, start + ahead))
    if len(pairs) < n_pairs:
        raise InputError(
            f"{chosen.size} episodes hold only {len(pairs)} pairs {goal_offset} steps apart that are not solved at the "
            f"start, expected {n_pairs}: collect more or longer episodes, or ask for fewer pairs"
        )
    return Manifest(
        environment=environment.name,
        goal_offset=int(goal_offset),
        seed=int(seed),
        n_candidates=int(owner.size),
        n_solved=n_solved,
        data=_data_digest(dataset, np.array(pairs, dtype=np.int64)),
        pairs=tuple(pairs),
    )


def _state(states: NDArray[Any], row: int) -> Array:
    return np.asarray(states[row], dtype=np.float64)


def _data_digest(dataset: Dataset, pairs: Rows) -> str:
    states = dataset.columns["state"]
    content = hashlib.sha256(data_digest(dataset, ["pixels"]).encode())
    content.update(np.stack([_state(states, int(row)) for row in pairs[:, 1:].ravel()]).tobytes())
    return content.hexdigest()
