"""Push-T: a disc pushes a T-shaped block on a table of 512 x 512 pixels (gym-pusht's bodies, gains and picture).

Actions are relative, as in the published data: one unit is 100 px, and a controller with gains 100 and 20 draws the disc
towards ``position + 100 * action`` for a tenth of a second (ten substeps). Nothing has friction and the block stops as soon
as nobody pushes it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import Array, InputError, as_float
from spectral_jepa.pixels.environments.base import SMALL_STEPS, Picture, PixelEnvironment, Script
from spectral_jepa.pixels.environments.push_t_policy import AGENT_RADIUS, clearance, scripted_pusher

if TYPE_CHECKING:
    import pymunk

FIELD = 512.0
PIXELS_PER_ACTION = 100.0
_SUBSTEP, _N_SUBSTEPS = 0.01, 10
_BLOCK_COLOR, _OTHER_COLOR = "LightSlateGray", "Crimson"
_MIN_TELEPORT = 100.0  # px; the fastest push moves the block by under 40 px a step
_TRIES = 1000


class PushTEnvironment(PixelEnvironment):
    """Push-T with relative actions (2,) in [-1, 1], 100 px a unit.

    The state (10,) holds agent x, y; block x, y and angle; agent velocity x, y; block velocity x, y and angular velocity
    (px, rad, seconds; the first five as in gym-pusht, the first seven as in the published files, except that the angle is
    not wrapped). The block's place is that of the middle of the T's top edge, its velocity that of its centre of mass.

    Parameters
    ----------
    image_size : int
        Height and width of the pictures, drawn at 512 px and averaged over areas.

    Notes
    -----
    Each step begins with physics as if built anew from the state. gym-pusht instead lets the solver keep its contact
    impulses from step to step, which no state vector holds, so that its future cannot be restored from a state; here the
    same state and action give the same next state bit for bit, at the price of leaving gym-pusht's trajectories by up to a
    pixel in 60 steps of pushing.

    Examples
    --------
    >>> environment = PushTEnvironment(64)
    >>> state, quantities = environment.reset(seed=0)
    >>> environment.render().shape, state.shape
    ((64, 64, 3), (10,))
    """

    name: ClassVar[str] = "push_t"
    state_dim: ClassVar[int] = 10
    action_dim: ClassVar[int] = 2
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"data.n_episodes": 20_000, "data.max_steps": 196},
        "small": SMALL_STEPS | {"data.n_episodes": 600, "model.history": 1, "training.n_steps": 2500},
        "tiny": {"data.max_steps": 100, "data.row_steps": 5},
    }
    # 20 px is what both places together may be off.
    tolerances: ClassVar[Mapping[str, tuple[float, str]]] = {
        "agent_position": (20.0, "px"),
        "block_position": (20.0, "px"),
        "block_angle": (np.pi / 9, "rad"),
    }

    other_columns: ClassVar[str] = ", or (7,) without the block's velocities, or (5,) without any"

    @classmethod
    def recorded_states(cls, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
        """``state`` of 10 numbers, or the published 7 (or gym-pusht's 5), whose missing velocities count as 0.

        Parameters
        ----------
        columns : dict of arrays (rows, ...)

        Returns
        -------
        array (rows, 10) or None

        Notes
        -----
        The block has no friction and stops as soon as nobody pushes it, so that its velocity says little.
        """
        states = columns.get("state")
        if states is None or states.shape[1:] not in ((10,), (7,), (5,)):
            return None
        if states.shape[1] == cls.state_dim:
            return states
        return np.pad(np.asarray(states, dtype=np.float64), ((0, 0), (0, cls.state_dim - states.shape[1])))

    def comparable_state(self, state: Array) -> Array:
        """Places of agent and block: other solvers give other velocities, and published angles are wrapped.

        Parameters
        ----------
        state : array (10,)

        Returns
        -------
        array (4,)
        """
        return np.asarray(state, dtype=np.float64)[:4]

    def __init__(self, image_size: int = 224) -> None:
        super().__init__(image_size)
        # pygame would look for a screen at import, where none is needed: pictures are drawn in memory.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import cv2
        import pymunk
        from gym_pusht.envs.pusht import PushTEnv

        self._cv2, self._pymunk = cv2, pymunk
        self._painter = PushTEnv(render_mode="rgb_array")
        self._painter.goal_pose = np.array([FIELD / 2, FIELD / 2, np.pi / 4])
        self._block_color = _BLOCK_COLOR
        self._kept: tuple[pymunk.Space, pymunk.Body, pymunk.Body] | None = None
        self._state = np.array([256, 400, 256, 300, 0, 0, 0, 0, 0, 0], dtype=np.float64)

    def _start(self, rng: np.random.Generator) -> None:
        self._block_color = _BLOCK_COLOR
        state = np.zeros(10)
        state[2:4] = rng.uniform(100, 400, 2)
        state[4] = rng.uniform(-np.pi, np.pi)
        state[:2] = self._free_place(state, rng)
        self._state = state

    def _free_place(self, state: Array, rng: np.random.Generator, far_from: Array | None = None) -> Array:
        # Uniform over the table, where the disc does not overlap the block; gym-pusht also starts inside the block.
        for _ in range(_TRIES):
            place = rng.uniform(50, 450, 2)
            if clearance(place[None], state)[0] > AGENT_RADIUS + 1 and (
                far_from is None or np.linalg.norm(place - far_from) > _MIN_TELEPORT
            ):
                return place
        raise InputError(
            f"push_t found no free place for the agent in {_TRIES} draws around the block at {state[2:4].round(1)}, "
            "expected a block inside the table: set such a state first"
        )

    def _build(self) -> tuple[pymunk.Space, pymunk.Body, pymunk.Body]:
        space, draft = self._pymunk.Space(), type(self._painter)
        space.damping = 0.0
        corners = [(5, 506), (5, 5), (506, 5), (506, 506), (5, 506)]
        space.add(*[draft.add_segment(space, a, b, 2) for a, b in pairwise(corners)])
        values = self._state.tolist()
        agent = draft.add_circle(space, (values[0], values[1]), AGENT_RADIUS)
        # The angle first: turning a body later would turn it about its centre of mass and so move its origin.
        block, _ = draft.add_tee(space, (values[2], values[3]), values[4], color=self._block_color)
        agent.velocity = (values[5], values[6])
        block.velocity = (values[7], values[8])
        block.angular_velocity = values[9]
        return space, agent, block

    def _reset_space(self) -> tuple[pymunk.Space, pymunk.Body, pymunk.Body]:
        """What :meth:`_build` gives, bit for bit in all that follows, from one space that is kept: three times as fast."""
        if self._kept is None:
            self._kept = self._build()
            return self._kept
        space, agent, block = self._kept
        x, y, block_x, block_y, angle, *velocities = self._state.tolist()
        movable = [*agent.shapes, *(shape for shape in space.shapes if shape.body is block)]
        # Out and in again, which forgets all contacts; a step of no time forgets how the solver pushed overlaps apart.
        space.remove(*movable)
        for body in (agent, block):
            body.update_position(body, 0.0)
            body.velocity = (0, 0)
        block.angular_velocity = 0
        agent.position = (x, y)
        block.angle = angle
        block.position = (block_x, block_y)
        space.add(*movable)
        agent.velocity, block.velocity, block.angular_velocity = tuple(velocities[:2]), tuple(velocities[2:4]), velocities[4]
        return self._kept

    def _advance(self, action: Array) -> None:
        space, agent, block = self._reset_space()
        target = np.clip(self._state[:2] + PIXELS_PER_ACTION * action, 0, FIELD)
        target_x, target_y = float(target[0]), float(target[1])
        for _ in range(_N_SUBSTEPS):
            (x, y), (vx, vy) = agent.position, agent.velocity
            agent.velocity = (
                vx + (100 * (target_x - x) - 20 * vx) * _SUBSTEP,
                vy + (100 * (target_y - y) - 20 * vy) * _SUBSTEP,
            )
            space.step(_SUBSTEP)
        self._state = np.array(
            [*agent.position, *block.position, block.angle, *agent.velocity, *block.velocity, block.angular_velocity]
        )

    def _scripted_policy(self, rng: np.random.Generator) -> Script:
        return scripted_pusher(self.get_state, rng)

    def render(self) -> Picture:
        """Draw gym-pusht's picture at 512 px and average it down; its light green T is a fixed mark, not the goal."""
        painter = self._painter
        painter.space, painter.agent, painter.block = self._build()
        surface = painter._draw()
        # Four bytes a pixel, read in place: copying them into an RGB array first would take two thirds of the time.
        picture = np.frombuffer(surface.get_view("0"), dtype=np.uint8).reshape(*surface.get_size(), 4)
        small = self._cv2.resize(picture, (self.image_size, self.image_size), interpolation=self._cv2.INTER_AREA)
        return np.ascontiguousarray(small[..., [shift // 8 for shift in surface.get_shifts()[:3]]])

    def get_state(self) -> Array:
        """Agent x, y; block x, y, angle; agent velocity; block velocity, angular velocity: (10,)."""
        return self._state.copy()

    def set_state(self, state: Array) -> None:
        """Set what :meth:`get_state` returned."""
        self._state = as_float("state", state, (self.state_dim,)).copy()

    def quantities(self) -> dict[str, Array]:
        """Places (px), velocities (px/s, rad/s) and the block's angle in [-pi, pi)."""
        s = self._state
        return {
            "agent_position": s[:2].copy(),
            "block_position": s[2:4].copy(),
            "block_angle": (s[4:5] + np.pi) % (2 * np.pi) - np.pi,
            "agent_velocity": s[5:7].copy(),
            "block_velocity": s[7:9].copy(),
            "block_angular_velocity": s[9:10].copy(),
        }

    def at_rest(self, state: Array) -> Array:
        """The same place without any velocity.

        Parameters
        ----------
        state : array (10,)

        Returns
        -------
        array (10,)
        """
        still = super().at_rest(state)
        still[5:] = 0
        return still

    def goal_distance(self, state: Array, goal: Array) -> float:
        """The larger of (norm of both places' differences) / 20 px and (turn of the block) / (pi / 9).

        Parameters
        ----------
        state, goal : arrays (10,)

        Returns
        -------
        float
        """
        difference = np.asarray(state, dtype=np.float64) - np.asarray(goal, dtype=np.float64)
        turn = abs((difference[4] + np.pi) % (2 * np.pi) - np.pi)
        return float(max(np.linalg.norm(difference[:4]) / 20, turn / (np.pi / 9)))

    def recolor(self) -> None:
        """Draw the block in red until the next reset."""
        self._block_color = _OTHER_COLOR

    def teleport(self, rng: np.random.Generator) -> None:
        """Put agent and block at rest at other places, each over 100 px from its own."""
        state = np.zeros(10)
        state[4] = rng.uniform(-np.pi, np.pi)
        for _ in range(_TRIES):
            state[2:4] = rng.uniform(100, 400, 2)
            if np.linalg.norm(state[2:4] - self._state[2:4]) > _MIN_TELEPORT:
                break
        state[:2] = self._free_place(state, rng, far_from=self._state[:2])
        self._state = state

    def close(self) -> None:
        """Release the painter."""
        self._painter.close()
