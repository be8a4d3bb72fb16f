"""Pictures of all states of a finite world at once: a red agent on a map or a circle, a background that is nuisance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._signatures import check_fields, checked
from spectral_jepa._validation import Array, InputError, check_choice, check_count, check_fraction, require_memory
from spectral_jepa.generators import with_nuisance
from spectral_jepa.mdp import TabularMDP

RED, BLUE = (255, 0, 0), (0, 0, 255)
WALL, FLOOR, BAR = (40, 40, 40), (225, 225, 225), (0, 90, 160)
KINDS = ("iid", "markov", "frozen", "moving")
LOOKS = ("flicker", "bar")
# Side of the squares of a flickering background, as a share of the picture.
TEXELS = 8
# Channels of the background keep away from the agent's red.
PALEST = 200


@dataclass(frozen=True)
class Nuisance:
    """A background that no action moves: how many values it takes, how it moves, how it looks.

    Parameters
    ----------
    kind : {"iid", "markov", "frozen", "moving"}
        Drawn afresh at every step; kept with probability ``persistence``, else drawn afresh; never changed; "moving": as
        "markov", but instead of staying it goes on to the next value, and from the last to the first.
    values : int
        Number m of values, all equally likely.
    persistence : float in [0, 1]
        Of "markov" and "moving". The background's singular values are 1, c, ..., c with c = 0 ("iid"), ``persistence``, 1
        ("frozen").
    loudness : float in (0, 1]
        Share of the background's colour that is nuisance: 1 hides walls and floor, not the agent.
    look : {"flicker", "bar"}
        Each value a random pattern of squares over the whole picture, or a bar across it whose place is the value.

    Raises
    ------
    InputError
        An unknown kind or look, a number out of range.

    Examples
    --------
    >>> Nuisance("markov", values=4, persistence=0.8)
    Nuisance(kind='markov', values=4, persistence=0.8, loudness=0.5, look='flicker')
    """

    kind: str = "iid"
    values: int = 4
    persistence: float = 0.9
    loudness: float = 0.5
    look: str = "flicker"

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("kind", self.kind, KINDS)
        check_choice("look", self.look, LOOKS)
        check_count("values", self.values)
        check_fraction("persistence", self.persistence)
        if check_fraction("loudness", self.loudness) == 0:
            raise InputError("loudness is 0, expected a number in (0, 1]: a background that nobody sees is none")

    def beside(self, task: TabularMDP) -> TabularMDP:
        """The product of a task with this background; state s with value v has the number s * m + v."""
        kind = "markov" if self.kind == "moving" else self.kind
        world = with_nuisance(task, self.values, kind, persistence=self.persistence)
        if self.kind != "moving":
            return world
        ids = np.arange(world.n_states)
        # The value before: what arrives at v is what a background that stays would have left at v - 1.
        before = ids - ids % self.values + (ids - 1) % self.values
        moved = np.stack([np.asarray(rows.toarray() if task.is_sparse else rows)[:, before] for rows in world.transition])
        return replace(world, transition=moved, name=f"{task.name} x {self.values} moving values")


@checked()
def state_places(task: TabularMDP) -> tuple[NDArray[np.float64], bool]:
    """Where the states of a world stand in its picture.

    Parameters
    ----------
    task : TabularMDP

    Returns
    -------
    array (S, 2)
        (row, column) in cells: of the map where ``state_labels`` are pairs of whole numbers, otherwise on a circle whose
        neighbours are a cell or more apart, counted from its upper left corner.
    bool
        Whether it is a map.

    Notes
    -----
    O(S).

    Examples
    --------
    >>> from spectral_jepa.generators import make_grid, make_ring
    >>> state_places(make_grid("S.G"))
    (array([[0., 0.],
           [0., 1.],
           [0., 2.]]), True)
    >>> state_places(make_ring(4))[0].round(2).tolist()
    [[0.0, 0.71], [0.71, 1.41], [1.41, 0.71], [0.71, 0.0]]
    """
    labels = task.state_labels or ()
    whole = (int, np.integer)
    if labels and all(isinstance(x, tuple) and len(x) == 2 and all(isinstance(i, whole) for i in x) for x in labels):
        places = np.array(labels, dtype=np.float64)
        return places - places.min(axis=0), True
    angle = 2 * np.pi * np.arange(task.n_states) / task.n_states
    radius = 0.5 / np.sin(np.pi / max(task.n_states, 2))
    return radius * (1 + np.stack([-np.cos(angle), np.sin(angle)], axis=1)), False


@checked()
def draw_world(
    task: TabularMDP, image_size: int, nuisance: Nuisance | None = None, *, agent: tuple[int, int, int] = RED
) -> NDArray[np.uint8]:
    """Pictures of all states, those of a product with a background in the order of its numbers.

    Parameters
    ----------
    task : TabularMDP
        S states, with or without a map.
    image_size : int
        Side H of the pictures, in pixels.
    nuisance : Nuisance, optional
        m values. Default: none, m = 1.
    agent : three whole numbers
        Its colour.

    Returns
    -------
    uint8 array (S m, H, H, 3)

    Raises
    ------
    InputError
        Pictures in which two states would look alike, or that do not fit the memory.

    Notes
    -----
    O(S m H^2), without a loop over states. A cell is ``H // n`` pixels wide for a map of n cells at its longer side.

    Examples
    --------
    >>> from spectral_jepa.generators import make_torus
    >>> pictures = draw_world(make_torus(5), 32)
    >>> pictures.shape, len(np.unique(pictures.reshape(25, -1), axis=0))
    ((25, 32, 32, 3), 25)
    """
    size = check_count("image_size", image_size)
    n_values = 1 if nuisance is None else nuisance.values
    require_memory((task.n_states * n_values, size, size, 3), "the pictures of all states", "draw smaller ones", copies=1)
    places, is_map = state_places(task)
    n_cells = int(np.ceil(places.max())) + 1
    cell, pixel = size // n_cells, np.arange(size)
    if cell == 0:
        raise InputError(
            f"image_size is {size}, expected at least {n_cells}, a pixel a cell of {task.name}: draw larger ones"
        )
    spare = (size - cell * n_cells) // 2
    corner = np.round(spare + cell * places).astype(np.int64)
    rows, columns = ((pixel >= corner[:, [axis]]) & (pixel < corner[:, [axis]] + cell) for axis in (0, 1))
    there = rows[:, :, None] & columns[:, None, :]
    floor = np.logical_or.reduce(there, axis=0) | (not is_map)
    ground = np.where(floor[..., None], _colour(FLOOR), _colour(WALL))
    grounds = ground[None] if nuisance is None else _behind(ground, nuisance)
    pictures = np.where(there[:, None, :, :, None], _colour(agent), grounds[None])
    pictures = pictures.reshape(-1, size, size, 3)
    if len({picture.tobytes() for picture in pictures}) < len(pictures):
        raise InputError(
            f"pictures of {size} x {size} pixels show states of {task.name} that look alike, expected all to differ: draw "
            "larger ones, or a louder background of fewer values"
        )
    return pictures


def _colour(channels: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.array(channels, dtype=np.uint8)


def _behind(ground: NDArray[np.uint8], nuisance: Nuisance) -> NDArray[np.uint8]:
    """Backgrounds (m, H, H, 3): the ground mixed with what each value looks like."""
    size, n_values = len(ground), nuisance.values
    if nuisance.look == "bar":
        band = np.arange(size) * n_values // size
        inside = band[None, :] == np.arange(n_values)[:, None]
        seen: Array = np.where(inside[:, None, :, None], np.array(BAR), ground[None].astype(np.float64))
    else:
        texel = np.arange(size) * TEXELS // size
        drawn = np.random.default_rng(0).integers(0, PALEST, (n_values, TEXELS, TEXELS, 3))
        seen = drawn[:, texel][:, :, texel].astype(np.float64)
    mixed = (1 - nuisance.loudness) * ground[None] + nuisance.loudness * seen
    return np.round(mixed).astype(np.uint8)
