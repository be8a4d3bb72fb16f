"""Lesson 4, the spectrum is a map: singular functions of a grid world drawn by hand, as colours of its rooms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._notebook import short_repr
from spectral_jepa._validation import Array, InputError
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.generators import make_grid

DEFAULT_MAP = """
....#....
....#....
.........
....#....
##.###.##
....#....
....#....
.........
....#....
"""
# Largest map: its spectrum takes a quarter of a second.
MOST_CELLS = 240
# Singular values closer than this are one value, and their functions are told apart by the map alone.
SAME = 1e-7


@dataclass(frozen=True, repr=False)
class RoomMap:
    """The spectrum of a drawn world.

    Parameters
    ----------
    walls : bool array (rows, columns)
    values : array (S,)
        Singular values of the stacked co-occurrence, one encoder for all actions, descending.
    functions : array (S, S)
        Column i is right singular function i on the free cells, of mean square 1, in the order of reading.
    tails : array (S + 1,)
        Entry k is the sum of squares behind the first k.
    """

    walls: NDArray[np.bool_]
    values: Array
    functions: Array
    tails: Array

    def __repr__(self) -> str:
        return short_repr(self)

    def picture(self, number: int) -> Array:
        """Singular function ``number`` (from 1) on the map, shape (rows, columns), nan on walls."""
        drawn = np.full(self.walls.shape, np.nan)
        drawn[~self.walls] = self.functions[:, number - 1]
        return drawn


def room_map(text: str = DEFAULT_MAP, slip: float = 0.1) -> RoomMap:
    """The spectrum of a map, one encoder for all four moves, as an encoder sees it.

    Parameters
    ----------
    text : str
        One line a row, ``#`` wall and ``.`` free, as for :func:`spectral_jepa.make_grid`.
    slip : float in [0, 1]
        Probability of another direction.

    Returns
    -------
    RoomMap
        Functions of equal singular values are chosen by :func:`canonical_basis`.

    Raises
    ------
    InputError
        A map that :func:`spectral_jepa.make_grid` refuses, or one of more than 240 free cells.

    Notes
    -----
    O(S^3). Source: docs/theory.md, 2.7 (one encoder for all actions).

    Examples
    --------
    Two rooms without a door are two worlds: 1 is a singular value twice, and each function lights one room.

    >>> drawn = room_map("..#..", slip=0.3)
    >>> drawn.values.round(6).tolist()[:2], (drawn.picture(1) > 1).tolist(), (drawn.picture(2) > 1).tolist()
    ([1.0, 1.0], [[True, True, False, False, False]], [[False, False, False, True, True]])
    """
    free = sum(character in ".SG" for character in text)
    if free > MOST_CELLS:
        raise InputError(f"text has {free} free cells, expected at most {MOST_CELLS}: draw a smaller map or more walls")
    world = make_grid(text, slip)
    exact = CoOccurrence.exact(world)
    _, values, right = exact.stacked_decomposition
    weight = exact.pooled_column_weight
    vectors = np.zeros((world.n_states, world.n_states))
    vectors[:, : right.shape[1]] = right
    values = np.pad(values, (0, world.n_states - len(values)))
    with np.errstate(divide="ignore", invalid="ignore"):
        functions = np.where(weight[:, None] > 0, canonical_basis(values, vectors) / np.sqrt(weight)[:, None], 0.0) + 0.0
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    walls = np.array([[character == "#" for character in line] for line in lines])
    tails = np.append(np.cumsum((values**2)[::-1])[::-1], 0.0)
    return RoomMap(walls, values, functions, tails)


def canonical_basis(values: Array, vectors: Array) -> Array:
    """Choose singular vectors within each group of equal singular values so that no rotation of them matters.

    Within a group: the projection of the cell that lies in its span most (the first such cell), normalised; then the same
    in what is left. Alone, a vector is only given a sign: its largest entry, the first of them, is positive.

    Parameters
    ----------
    values : array (n,)
        Descending.
    vectors : array (S, n)
        Orthonormal columns.

    Returns
    -------
    array (S, n)
        Orthonormal columns with the same spans, group by group.

    Notes
    -----
    O(S n^2). Numerical libraries return any rotation within a group, so that without this the same map would be coloured
    differently on two machines.

    Examples
    --------
    >>> turned = np.array([[0.6, 0.8], [0.8, -0.6]])
    >>> canonical_basis(np.array([1.0, 1.0]), turned).round(12)
    array([[1., 0.],
           [0., 1.]])
    """
    chosen = np.array(vectors, dtype=np.float64)
    start = 0
    for stop in range(1, len(values) + 1):
        if stop < len(values) and values[start] - values[stop] < SAME:
            continue
        rest = chosen[:, start:stop].copy()
        for column in range(start, stop):
            height = np.einsum("sn,sn->s", rest, rest)
            cell = int(np.flatnonzero(height > height.max() - 1e-6)[0])
            direction = rest[cell] / np.linalg.norm(rest[cell])
            chosen[:, column] = rest @ direction
            rest = rest - np.outer(rest @ direction, direction)
        start = stop
    return chosen
