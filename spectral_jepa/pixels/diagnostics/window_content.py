"""What training windows contain: how far each physical quantity moves in so many raw steps, and how far the goal moves away.

Data in which nothing moves teach no dynamics, and data in which everything moves ask for too much at once: our own pusher in
Push-T once covered in 25 steps what the published one covers in 60.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels.data.episodes import rows_in
from spectral_jepa.pixels.data.windows import window_starts
from spectral_jepa.pixels.diagnostics.quantities import quantity_coordinates, quantity_distance, quantity_names
from spectral_jepa.pixels.interfaces import Dataset, Environment

COLUMNS = ["quantity", "steps", "median", "q10", "q90", "solved", "n"]
# How the distance of two whole states is called among the quantities.
GOAL = "goal distance"


def window_content(
    dataset: Dataset,
    episodes: ArrayLike,
    environment: Environment,
    *,
    steps: Sequence[int] = (5, 25, 50),
    n_windows: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """How far each physical quantity moves from the start of a window to its end.

    Parameters
    ----------
    dataset : EpisodeDataset
        With a column ``state`` of the environment.
    episodes : sequence of int
        Those that windows are drawn from.
    environment : PixelEnvironment
        Its ``goal_distance`` is read.
    steps : sequence of int
        Lengths of windows in raw steps; those longer than every episode are left out.
    n_windows : int
        Of each length, at most, drawn uniformly.
    seed : int

    Returns
    -------
    DataFrame
        One row a quantity and length: median, 10 % and 90 % quantile of the distance between start and end in the quantity's
        own unit, number n of windows. The quantity "goal distance" is the environment's, in units of what counts as success;
        its ``solved`` is the share of windows whose start counts as the end already.

    Raises
    ------
    InputError
        No column ``state``, no window of any of these lengths, a length that is no whole number of rows.

    Notes
    -----
    O(n_windows) an entry of ``steps``. Source: ours; DINO-WM and LeWM (arXiv 2603.19312) give no such numbers.

    Examples
    --------
    An agent of Two-Room that goes 4 px a step: 20 px in 5 steps, and 16 px count as success.

    >>> from spectral_jepa.pixels.data import EpisodeDataset
    >>> from spectral_jepa.pixels.environments import make_environment
    >>> state = np.stack([40 + 4.0 * np.arange(31), np.full(31, 49.0)], axis=1)
    >>> episode = {"pixels": np.zeros((31, 8, 8, 3), np.uint8), "action": np.zeros((31, 2)), "state": state}
    >>> data = EpisodeDataset.from_episodes([episode | {"agent_position": state}])
    >>> window_content(data, [0], make_environment("two_room", 8), steps=(5,))[["quantity", "median", "solved"]]
             quantity  median  solved
    0  agent_position   20.00     NaN
    1   goal distance    1.25     0.0
    """
    states = dataset.columns.get("state")
    if states is None:
        raise InputError("the dataset has no column 'state', expected one to measure distances of goals: collect states too")
    generator, rows = np.random.default_rng(seed), []
    for length in steps:
        ahead = rows_in(dataset, "steps", check_count("steps", length))
        starts = window_starts(dataset, episodes, length + 1)
        if not starts.size:
            continue
        if starts.size > n_windows:
            starts = np.sort(generator.choice(starts, check_count("n_windows", n_windows), replace=False))
        for name in quantity_names(dataset):
            column = np.asarray(dataset.columns[name])
            here, there = (quantity_coordinates(name, column[at])[0] for at in (starts, starts + ahead))
            moved = quantity_distance(name, here, there)
            rows.append((name, length, *_quantiles(moved[np.isfinite(moved)]), float("nan"), starts.size))
        distance = np.array(
            [environment.goal_distance(np.asarray(states[i]), np.asarray(states[i + ahead])) for i in starts.tolist()]
        )
        rows.append((GOAL, length, *_quantiles(distance), float(np.mean(distance < 1)), starts.size))
    if not rows:
        raise InputError(f"no episode holds a window of {min(steps)} steps, expected one: collect longer episodes")
    return pd.DataFrame(rows, columns=COLUMNS)


def _quantiles(values: np.ndarray) -> tuple[float, float, float]:
    if not values.size:
        return float("nan"), float("nan"), float("nan")
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9])
    return float(median), float(low), float(high)
