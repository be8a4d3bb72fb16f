"""Physical quantities of a dataset: which columns they are, their coordinates, and how far apart two values are.

Angles (columns named ``*_angle``, in radians) have the coordinates sin and cos, so that they have no jump.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._shapes import Float
from spectral_jepa._validation import Array
from spectral_jepa.pixels.interfaces import Dataset

# Columns of the public files that say what was done or when, not how the world is.
_NOT_QUANTITIES = ("pixels", "action", "state", "reward", "terminated", "truncated", "success", "proprio", "observation")


def quantity_names(dataset: Dataset) -> list[str]:
    """Columns of a dataset that hold physical quantities.

    Parameters
    ----------
    dataset : EpisodeDataset

    Returns
    -------
    list of str
        Columns of floating point, less those that say what was done or when (``action``, ``state``, ``reward`` and the like)
        and those that start with "goal".

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> columns = {"state": np.zeros((2, 4)), "block_angle": np.zeros(2), "step_idx": np.zeros(2, int)}
    >>> quantity_names(SimpleNamespace(columns=columns))
    ['block_angle']
    """
    floating = [name for name, values in dataset.columns.items() if np.issubdtype(values.dtype, np.floating)]
    return [name for name in floating if name not in _NOT_QUANTITIES and not name.startswith("goal")]


def is_angle(name: str) -> bool:
    """Whether a quantity is an angle, by its name.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_angle("block_angle"), is_angle("block_angular_velocity")
    (True, False)
    """
    return name.endswith("_angle")


def quantity_coordinates(name: str, values: ArrayLike) -> tuple[Float[np.ndarray, "N c"], list[str]]:
    """Coordinates of a quantity that have no jumps.

    Parameters
    ----------
    name : str
        Of the quantity.
    values : array (N,) or (N, k)
        Angles in radians.

    Returns
    -------
    coordinates : float64 array (N, c)
        The values themselves; of angles all sines, then all cosines.
    labels : list of str
        One a coordinate.

    Notes
    -----
    O(N k).

    Examples
    --------
    >>> coordinates, labels = quantity_coordinates("block_angle", [np.pi / 2])
    >>> coordinates.round(6).tolist(), labels
    ([[1.0, 0.0]], ['sin', 'cos'])
    """
    array = np.asarray(values, dtype=np.float64)
    array = array.reshape(len(array), -1)
    n = array.shape[1]
    if not is_angle(name):
        return array, [str(i) for i in range(n)]
    numbers = [f" {i}" if n > 1 else "" for i in range(n)]
    labels = [f"sin{i}" for i in numbers] + [f"cos{i}" for i in numbers]
    return np.hstack([np.sin(array), np.cos(array)]), labels


def quantity_distance(name: str, first: ArrayLike, second: ArrayLike) -> Float[np.ndarray, " N"]:
    """How far apart two values of a quantity are, in its own unit.

    Parameters
    ----------
    name : str
        Of the quantity.
    first, second : arrays (N, c)
        Coordinates of :func:`quantity_coordinates`; of angles any positive multiple of (sin, cos), as a read-out gives it.

    Returns
    -------
    float64 array (N,)
        Norm of the difference; of angles that of the turns, each at most pi.

    Notes
    -----
    O(N c).

    Examples
    --------
    The short way round, from 3 to -3 rad.

    >>> here, there = (quantity_coordinates("block_angle", [angle])[0] for angle in (3.0, -3.0))
    >>> quantity_distance("block_angle", 0.4 * here, there).round(6).tolist()
    [0.283185]
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (first, second))
    if not is_angle(name):
        return np.asarray(np.linalg.norm(a - b, axis=1))
    turn = _angles(a) - _angles(b)
    return np.asarray(np.linalg.norm((turn + np.pi) % (2 * np.pi) - np.pi, axis=1))


def all_coordinates(dataset: Dataset, names: list[str], rows: NDArray[Any]) -> dict[str, Array]:
    """Coordinates of several quantities at given rows, without those that do not vary there.

    Parameters
    ----------
    dataset : EpisodeDataset
    names : list of str
        Columns; one with a value that is not finite is left out.
    rows : integer array (N,)

    Returns
    -------
    dict of float64 arrays (N, c)
        By name; a quantity none of whose coordinates varies is left out.

    Notes
    -----
    O(N c).

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> data = SimpleNamespace(columns={"x": np.arange(3.0), "table": np.full(3, 0.7), "gap": np.array([1, np.nan, 2])})
    >>> all_coordinates(data, ["x", "table", "gap"], np.arange(3))
    {'x': array([[0.],
           [1.],
           [2.]])}
    """
    found = {}
    for name in names:
        values, _ = quantity_coordinates(name, np.asarray(dataset.columns[name])[rows])
        if not np.isfinite(values).all():
            continue
        values = values[:, varies(values)]
        if values.shape[1]:
            found[name] = values
    return found


def varies(values: Float[np.ndarray, "N c"]) -> NDArray[np.bool_]:
    """Which coordinates vary by more than a rounding of single precision.

    Parameters
    ----------
    values : array (N, c)

    Returns
    -------
    bool array (c,)

    Examples
    --------
    Stored in single precision, a constant may still wander by a rounding.

    >>> varies(np.array([[1.0, 0.7], [2.0, 0.7 + 1e-9]])).tolist()
    [True, False]
    """
    return np.asarray(values.std(axis=0) > 1e-6 * np.maximum(1e-3, np.abs(values).max(axis=0)))


def _angles(coordinates: Array) -> Array:
    sines, cosines = np.hsplit(coordinates, 2)
    return np.arctan2(sines, cosines)
