"""Raw steps and rows of a dataset: how many rows ahead a moment lies, and the raw actions on the way there."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels.interfaces import Dataset


def row_size(dataset: Dataset) -> int:
    """Raw steps between two rows of a dataset.

    Parameters
    ----------
    dataset : EpisodeDataset

    Returns
    -------
    int
        Its ``row_steps`` where there is one; otherwise 1.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> row_size(SimpleNamespace()), row_size(SimpleNamespace(row_steps=5))
    (1, 5)
    """
    return int(getattr(dataset, "row_steps", 1))


def rows_ahead(dataset: Dataset, steps: int) -> int:
    """How many rows of a dataset so many raw steps are.

    Parameters
    ----------
    dataset : EpisodeDataset
        See :func:`row_size`.
    steps : int
        Raw steps.

    Returns
    -------
    int

    Raises
    ------
    InputError
        Steps that are no whole number of rows.

    Notes
    -----
    O(1).

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rows_ahead(SimpleNamespace(), 25), rows_ahead(SimpleNamespace(row_steps=5), 25)
    (25, 5)
    """
    size = row_size(dataset)
    if check_count("steps", steps, 0) % size:
        raise InputError(f"steps is {steps} but the data have a row every {size} raw steps, expected a multiple: change it")
    return steps // size


def recorded_actions(dataset: Dataset, starts: ArrayLike, steps: int, action_dim: int) -> Float[np.ndarray, "N T A"]:
    """Raw actions that were taken from given rows on.

    Parameters
    ----------
    dataset : EpisodeDataset
        Its column ``action`` holds (rows, row_steps * A) numbers.
    starts : integer array (N,)
        Rows, each with enough of its episode left.
    steps : int
        Raw steps T.
    action_dim : int
        A.

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
    >>> narrow = SimpleNamespace(columns={"action": actions.reshape(8, 1)})
    >>> recorded_actions(wide, [1], 4, 1).ravel().tolist(), recorded_actions(narrow, [2], 4, 1).ravel().tolist()
    ([2.0, 3.0, 4.0, 5.0], [2.0, 3.0, 4.0, 5.0])
    """
    rows = np.asarray(starts, dtype=np.int64)[:, None] + np.arange(rows_ahead(dataset, steps))
    return np.asarray(dataset.columns["action"])[rows].astype(np.float64).reshape(len(rows), steps, action_dim)
