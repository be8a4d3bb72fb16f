"""A scripted Push-T policy: choose where to push the block so that it moves and turns towards a target pose, go there, push.

Nothing has friction and the block stops when nobody pushes it, so a push along the inward normal n at the point r (from the
centre of mass) through a depth s moves the block by s n / (1 + c^2) and turns it by s c / (k (1 + c^2)), where k^2 is its
moment of inertia over its mass and c = (r x n) / k. With angles in units of 1/k the missing motion E is a vector of three
lengths, and the best depth at a point is E . (n, c).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import Array
from spectral_jepa.pixels.environments.base import Script

# Which of some points (n, 2), in the block's axes, the agent may go to.
Inside = Callable[[Array], NDArray[np.bool_]]
AGENT_RADIUS = 15.0
_GYRATION = np.sqrt(3000.0)  # k: gym-pusht's block has mass 1 and moment 3000
_TO_CENTRE = np.array([0.0, 45.0])  # the centre of mass in the block's own axes, from the middle of the top edge
# Centres and half sizes of the two bars, from the centre of mass.
_BAR_CENTRES = np.array([[0.0, -30.0], [0.0, 30.0]])
_BAR_HALVES = np.array([[60.0, 15.0], [15.0, 45.0]])
# Ways round the block lead over these points, 24 px off its convex corners along both axes.
_CORNERS = np.array([[-84, -69], [84, -69], [84, 9], [-84, 9], [39, 99], [-39, 99]], dtype=np.float64)
_FREE = AGENT_RADIUS + 4  # distance from the block that the agent keeps on its way, px
_BEFORE = AGENT_RADIUS + 8  # distance of its centre from the surface when it starts to push, px
_EDGE = 20.0  # the agent's centre keeps this far from the edge of the table, px
_TABLE = 512.0
# At speed 1, px a step: on the way, pushing, stepping back from the surface; and steps until a new target is drawn.
_WAY, _PUSH, _BACK = 30.0, 14.0, 12.0
_MEAN_WAY, _MEAN_PUSH = 25.0, 12.0
_PATIENCE = 150
# As fast as the published data, see scripted_pusher.
PUBLISHED_SPEED, PUBLISHED_NOISE = 0.4, 0.05


def _contact_points() -> tuple[Array, Array]:
    # Where the disc can touch each edge, 8 px apart (from the centre of mass), and the inward normals there.
    along = {
        "top": [(x, -45.0) for x in np.arange(-56, 57, 8.0)],
        "right end": [(60.0, y) for y in (-41.0, -30.0, -19.0)],
        "left end": [(-60.0, y) for y in (-41.0, -30.0, -19.0)],
        "under right": [(x, -15.0) for x in (37.0, 44.0, 51.0, 57.0)],
        "under left": [(-x, -15.0) for x in (37.0, 44.0, 51.0, 57.0)],
        "stem right": [(15.0, y) for y in np.arange(8, 73, 8.0)],
        "stem left": [(-15.0, y) for y in np.arange(8, 73, 8.0)],
        "stem end": [(x, 75.0) for x in (-11.0, 0.0, 11.0)],
    }
    inward = {
        "top": (0, 1), "right end": (-1, 0), "left end": (1, 0), "under right": (0, -1), "under left": (0, -1),
        "stem right": (-1, 0), "stem left": (1, 0), "stem end": (0, -1),
    }  # fmt: skip
    points = np.array([point for edge in along.values() for point in edge])
    normals = np.array([inward[edge] for edge, on_it in along.items() for _ in on_it], dtype=np.float64)
    return points, normals


_POINTS, _NORMALS = _contact_points()
_LEVER = (_POINTS[:, 0] * _NORMALS[:, 1] - _POINTS[:, 1] * _NORMALS[:, 0]) / _GYRATION


def _distance(points: Array) -> Array:
    # From points (..., 2), seen from the centre of mass, to the T; 0 inside.
    outside = np.maximum(np.abs(points[..., None, :] - _BAR_CENTRES) - _BAR_HALVES, 0)
    return np.sqrt((outside**2).sum(-1)).min(-1)


def _rotation(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def clearance(places: Array, state: Array) -> Array:
    """Distance from places on the table to the block of a Push-T state.

    Parameters
    ----------
    places : array (n, 2)
        In pixels of the 512 x 512 table.
    state : array (10,)
        Push-T's; the block's place and angle are read.

    Returns
    -------
    array (n,)
        In pixels; 0 inside the block.

    Notes
    -----
    O(n).

    Examples
    --------
    The top of an upright block lies at its place, (256, 300).

    >>> clearance(np.array([[256.0, 250.0], [256.0, 310.0]]), np.array([0, 0, 256, 300, 0, 0, 0, 0, 0, 0.0]))
    array([50.,  0.])
    """
    return _distance((places - state[2:4]) @ _rotation(state[4]) - _TO_CENTRE)


def _way(start: Array, end: Array, inside: Inside) -> tuple[Array, float]:
    """Next waypoint and length of the shortest free way round the block (in its axes); length inf where there is none."""
    nodes = np.vstack([start, end, _CORNERS])
    steps = np.linspace(0, 1, 17)[:, None, None, None]
    segments = nodes[:, None] * (1 - steps) + nodes[None] * steps
    distance = _distance(segments)
    free = np.all(distance > _FREE, axis=0)
    # The agent may be nearer than that, after a push: then it only must not come nearer still.
    free[0] |= np.all(distance[:, 0] > distance[0, 0] - 0.5, axis=0)
    usable = inside(nodes)
    usable[:2] = True
    length = np.linalg.norm(nodes[:, None] - nodes[None], axis=-1)
    length = np.where(free & usable[:, None] & usable[None], length, np.inf)
    to_end = length[:, 1].copy()
    to_end[1] = 0.0
    for _ in range(4):
        to_end = np.minimum(to_end, (length + to_end[None]).min(1))
    via = length[0] + to_end
    via[0] = np.inf
    best = int(np.argmin(via))
    return nodes[best], float(via[best])


def _depth(contact: int, missing: Array) -> float:
    return float(missing[:2] @ _NORMALS[contact] + missing[2] * _LEVER[contact])


class _Pusher:
    def __init__(self, state: Callable[[], Array], rng: np.random.Generator, speed: float, noise: float) -> None:
        self.state, self.rng, self.speed, self.noise = state, rng, speed, noise
        self.contact: int | None = None
        self.n_steps = 0
        self.new_target()

    def new_target(self) -> None:
        self.target = np.array([*self.rng.uniform(130, 382, 2), self.rng.uniform(-np.pi, np.pi)])
        self.contact = None
        self.n_steps = 0

    def missing(self, state: Array) -> Array:
        """Motion (x, y, k angle) in the block's axes that is left to the target, of the centre of mass."""
        rotation, goal = _rotation(state[4]), _rotation(self.target[2])
        shift = (self.target[:2] + goal @ _TO_CENTRE) - (state[2:4] + rotation @ _TO_CENTRE)
        turn = (self.target[2] - state[4] + np.pi) % (2 * np.pi) - np.pi
        return np.array([*(rotation.T @ shift), _GYRATION * turn])

    def choose(self, agent: Array, missing: Array, inside: Inside) -> int:
        """Contact point that takes off most of what is missing a step, among the best that can be reached."""
        depth = np.maximum(missing[:2] @ _NORMALS.T + missing[2] * _LEVER, 0)
        before = _POINTS - _BEFORE * _NORMALS
        gain = np.where(inside(before), depth**2 / (1 + _LEVER**2), 0)
        way = np.linalg.norm(before - agent, axis=1)
        rate = gain / (3 + way / (_MEAN_WAY * self.speed) + depth / (_MEAN_PUSH * self.speed))
        best = np.argsort(-rate)[:12]
        for contact in best:
            if np.isfinite(_way(agent, before[contact], inside)[1]):
                return int(contact)
        return int(self.rng.choice(best))

    def __call__(self) -> NDArray[np.float32]:
        state = self.state()
        rotation = _rotation(state[4])
        centre = state[2:4] + rotation @ _TO_CENTRE

        def inside(points: Array) -> NDArray[np.bool_]:
            on_table = points @ rotation.T + centre
            return np.all((on_table > _EDGE) & (on_table < _TABLE - _EDGE), axis=-1)

        missing = self.missing(state)
        self.n_steps += 1
        arrived = np.linalg.norm(missing[:2]) < 8 and abs(missing[2]) < 0.12 * _GYRATION
        if arrived or self.n_steps > _PATIENCE / self.speed:
            self.new_target()
            missing = self.missing(state)
        agent = rotation.T @ (state[:2] - centre)
        velocity = rotation.T @ state[5:7]
        step = self.step(agent, missing, inside)
        # Where the controller goes in a step, from rest: .264 of the way to its target; from a velocity v: .0368 v more.
        action = rotation @ ((step - 0.0368 * velocity) / 0.264) / 100
        action += self.noise * self.rng.standard_normal(2)
        action /= max(1.0, float(np.abs(action).max()))
        return action.astype(np.float32)

    def step(self, agent: Array, missing: Array, inside: Inside) -> Array:
        """Motion of the agent in this step, in the block's axes."""
        contact = self.contact
        if contact is None or _depth(contact, missing) < 3:
            contact = self.choose(agent, missing, inside)
        self.contact = contact
        point, normal, depth = _POINTS[contact], _NORMALS[contact], _depth(contact, missing)
        offset = agent - point
        height, aside = -offset @ normal, offset - (offset @ normal) * normal
        if height < _BEFORE + 4 and height > 0 and np.linalg.norm(aside) < 10:
            gap = max(height - AGENT_RADIUS, 0.0)
            return normal * min(gap + depth, _PUSH * self.speed) - np.clip(aside, -10 * self.speed, 10 * self.speed)
        if _distance(agent) < _FREE:
            # Step back from the surface first: along the direction in which the distance grows.
            h = 0.5 * np.eye(2)
            gradient = _distance(agent + h) - _distance(agent - h)
            norm = float(np.linalg.norm(gradient))
            away = gradient / norm if norm > 0 else -normal
            return _BACK * self.speed * away
        goal = point - _BEFORE * normal
        waypoint, length = _way(agent, goal, inside)
        if not np.isfinite(length):
            waypoint, self.contact = goal, None
        way = waypoint - agent
        distance = float(np.linalg.norm(way))
        return way * min(1.0, _WAY * self.speed / max(distance, 1e-9))


def scripted_pusher(
    state: Callable[[], Array], rng: np.random.Generator, noise: float = PUBLISHED_NOISE, speed: float = PUBLISHED_SPEED
) -> Script:
    """Policy that pushes the block to one random pose after the other.

    Parameters
    ----------
    state : callable () -> array (10,)
        Gives the current Push-T state.
    rng : numpy Generator
        Draws the targets and the noise.
    noise : float
        Standard deviation of the Gaussian noise on both action coordinates.
    speed : float
        Lengths of all steps, those on the way and those of a push, over 30 and 14 px. At 1 it is as fast as it still pushes
        well.

    Returns
    -------
    callable () -> float32 array (2,)
        Next action, in [-1, 1]; it never ends the episode.

    Notes
    -----
    A step looks at 51 contact points and a graph of 8 nodes: a millisecond. Source: ours; the module's docstring derives it.
    Speed and noise are chosen so that actions and agent are as fast as in the published data (standard deviation of an
    action coordinate .20, of the agent's velocity 75 px/s an axis). Measured over 100 episodes of 200 steps: .204 and .202,
    76 and 75 px/s, and 25 steps move the block by 53 px (median 49) and turn it by 21 degrees (median 18). At speed 1 and
    noise .1 these are .48, 180 px/s, 91 px and 41 degrees: 25 such steps are 60 of the published ones. 99 of 100 targets
    are reached within 250 steps.

    Examples
    --------
    Far from the block it goes 12 px a step towards its next waypoint. The controller covers .264 of the way to its target,
    which lies 100 px off for an action of length 1: so that length is .12 / .264.

    >>> here = np.array([100.0, 100, 256, 300, 0, 0, 0, 0, 0, 0])
    >>> action = scripted_pusher(lambda: here, np.random.default_rng(0), noise=0.0)()
    >>> round(float(np.linalg.norm(action)), 3), round(0.12 / 0.264, 3)
    (0.455, 0.455)
    """
    return _Pusher(state, rng, speed, noise)
