"""Grid worlds drawn as text, and the four rooms."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_count, check_fraction
from spectral_jepa.generators._common import require_dense
from spectral_jepa.mdp import TabularMDP

MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}

CLASSROOM_GRID = """
    S...
    .#..
    .#.G
"""


@checked()
def make_grid(text: str = CLASSROOM_GRID, slip: float = 0.1, *, discount: float | None = 0.95) -> TabularMDP:
    """Grid world from a text map; walls and the edge of the map bounce.

    Parameters
    ----------
    text : str
        One line a row: ``#`` wall, ``.`` free, ``S`` free and a start, ``G`` free and rewarded. Common indentation and
        empty lines around the map are dropped; the region outside the map counts as wall.
    slip : float in [0, 1]
        Probability of moving in one of the three other directions, drawn uniformly.
    discount : float in [0, 1], optional
        Discount factor of the reward task.

    Returns
    -------
    TabularMDP
        Dense, uniform ``weight`` over the free cells, ``start`` uniform over the ``S`` cells (default: ``weight``),
        reward 1 for any action taken in a ``G`` cell, no reward at all when there is no ``G``. Goals do not absorb, so
        that the chain stays ergodic. ``state_labels`` holds (row, column), ``action_labels`` up, down, left, right.

    Raises
    ------
    InputError
        An unknown character or a ragged line (names the place), a map without a free cell, ``slip`` out of range.

    Notes
    -----
    O(S^2), four actions.

    Examples
    --------
    >>> mdp = make_grid("S.G", slip=0.3)
    >>> mdp.transition[3].round(2)  # right
    array([[0.3, 0.7, 0. ],
           [0.1, 0.2, 0.7],
           [0. , 0.1, 0.9]])
    """
    slip = check_fraction("slip", slip)
    cells = _read_map(text)
    free = cells != "#"
    rows, columns = np.nonzero(free)
    n_states = rows.size
    if not n_states:
        raise InputError("text holds walls only, expected at least one free cell: draw a '.'")
    require_dense(len(MOVES), n_states, "draw a smaller map")
    state = np.full((free.shape[0] + 2, free.shape[1] + 2), -1)
    state[1:-1, 1:-1][free] = np.arange(n_states)
    here = np.arange(n_states)
    moved = np.zeros((len(MOVES), n_states, n_states))
    for action, (down, right) in enumerate(MOVES.values()):
        target = state[rows + 1 + down, columns + 1 + right]
        moved[action, here, np.where(target < 0, here, target)] = 1
    transition = (1 - slip) * moved + slip / 3 * (moved.sum(axis=0) - moved)
    kinds = cells[free]
    starts, goals = kinds == "S", kinds == "G"
    return TabularMDP(
        transition,
        reward=goals.astype(np.float64) if goals.any() else None,
        discount=discount,
        start=starts / starts.sum() if starts.any() else None,  # type: ignore[arg-type]
        name="grid",
        state_labels=tuple(zip(rows.tolist(), columns.tolist(), strict=True)),
        action_labels=tuple(MOVES),
    )


@checked()
def make_four_rooms(size: int = 11, slip: float = 0.1, *, discount: float | None = 0.95) -> TabularMDP:
    """Four rooms joined by one door in the middle of each inner wall; the goal is the last corner.

    Parameters
    ----------
    size : int
        Odd side length of the map, inner walls included, at least 3; 11 gives the usual 104 cells.
    slip : float in [0, 1]
        Probability of moving in one of the three other directions, drawn uniformly.
    discount : float in [0, 1], optional
        Discount factor of the reward task.

    Returns
    -------
    TabularMDP
        As :func:`make_grid`; episodes start anywhere.

    Raises
    ------
    InputError
        ``size`` even or too small, ``slip`` out of range.

    Notes
    -----
    O(size^4). Heavy-tailed spectrum: a contrast to the block MDP. Layout after Sutton, Precup & Singh (1999), but
    symmetric.

    Examples
    --------
    >>> make_four_rooms().n_states
    104
    """
    size = check_count("size", size, 3)
    if size % 2 == 0:
        raise InputError(
            f"size is {size}, expected an odd number (the inner wall is the middle row and column): try {size + 1}"
        )
    middle = size // 2
    cells = np.full((size, size), ".")
    cells[middle, :] = cells[:, middle] = "#"
    door = middle // 2
    for place in (door, size - 1 - door):
        cells[middle, place] = cells[place, middle] = "."
    cells[-1, -1] = "G"
    return replace(make_grid("\n".join("".join(row) for row in cells), slip, discount=discount), name="four rooms")


def _read_map(text: str) -> np.ndarray:
    """The characters of the map, shape (rows, columns)."""
    lines = [line.rstrip() for line in textwrap.dedent(text).strip("\n").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError("text is empty, expected a map: draw one line a row with '#', '.', 'S' and 'G'")
    for row, line in enumerate(lines):
        if len(line) != len(lines[0]):
            raise InputError(
                f"line {row} of text has {len(line)} cells, expected {len(lines[0])} as in line 0: pad it with '#'"
            )
        for column, character in enumerate(line):
            if character not in "#.SG":
                raise InputError(
                    f"text has {character!r} at line {row}, column {column}, expected one of '#', '.', 'S', 'G': replace it"
                )
    return np.array([list(line) for line in lines])
