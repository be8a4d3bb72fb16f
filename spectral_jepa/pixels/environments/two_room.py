"""Two-Room behind the common interface: one agent, its position the whole state."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from spectral_jepa._validation import as_float
from spectral_jepa.pixels import two_room
from spectral_jepa.pixels.environments.base import Array, Picture, PixelEnvironment, Policy

# Steps that the scripted policy goes on for, hovering at the target, after it has reached it.
LINGER = 5
TELEPORT_DISTANCE = 50.0


class TwoRoomEnvironment(PixelEnvironment):
    """A disc in two rooms joined by a door; its state is the centre's (x, y) in pixels of the 224 x 224 field.

    The scripted policy picks a target in the other room, seeks it through the door with the published noise, and ends the
    episode a few steps after it came within 16 px.

    Parameters
    ----------
    image_size : int
        Height and width of the pictures; the physics do not depend on it.

    Examples
    --------
    >>> environment = TwoRoomEnvironment(64)
    >>> state, _ = environment.reset(options={"state": [50.0, 100.0]})
    >>> environment.step([1.0, 0.0])[0]
    array([ 55., 100.])
    """

    name: ClassVar[str] = "two_room"

    def __init__(self, image_size: int = 224) -> None:
        super().__init__(image_size, state_dim=2, action_low=[-1, -1], action_high=[1, 1])
        self._color = two_room.RED
        self._position = np.array([60.0, 112.0])

    def _start(self, rng: np.random.Generator) -> None:
        self._color = two_room.RED
        self._position = two_room.sample_position(rng, room=int(rng.integers(2)))

    def _advance(self, action: Array) -> None:
        self._position = two_room.step(torch.from_numpy(self._position), torch.from_numpy(action)).numpy()

    def _scripted_policy(self, rng: np.random.Generator) -> Policy:
        target = torch.from_numpy(sample_target(self._position, rng))
        remaining = -1  # negative: not there yet

        def act() -> Any:
            nonlocal remaining
            position = torch.from_numpy(self._position)
            if remaining < 0 and two_room.distance(position, target) < two_room.SUCCESS_DISTANCE:
                remaining = LINGER
            elif remaining > 0:
                remaining -= 1
            if remaining == 0:
                return None
            return two_room.scripted_action(position, target, torch.from_numpy(rng.standard_normal(2))).numpy()

        return act

    def render(self) -> Picture:
        """Draw the current state."""
        picture = two_room.draw(torch.from_numpy(self._position)[None], self.image_size, agent=self._color)
        return picture[0].numpy()

    def get_state(self) -> Array:
        """Position (2,) of the centre."""
        return self._position.copy()

    def set_state(self, state: Array) -> None:
        """Put the agent there, or at the nearest free point if a wall is in the way (public recordings have such rows)."""
        self._position = two_room.nearest_free(torch.from_numpy(as_float("state", state, (2,)))).numpy()

    def quantities(self) -> dict[str, Array]:
        """The agent's position."""
        return {"agent_position": self._position.copy()}

    def success(self, state: Array, goal_state: Array) -> bool:
        """Closer than 16 px."""
        return bool(np.linalg.norm(np.asarray(state) - np.asarray(goal_state)) < two_room.SUCCESS_DISTANCE)

    def recolor(self) -> None:
        """Paint the agent blue."""
        self._color = two_room.BLUE

    def teleport(self, rng: np.random.Generator) -> None:
        """Put the agent at a uniform place of the rooms, at least 50 px (10 steps) away."""
        old = self._position
        while np.linalg.norm(self._position - old) < TELEPORT_DISTANCE:
            self._position = two_room.sample_position(rng, room=int(rng.integers(2)))


def sample_target(position: Array, rng: np.random.Generator) -> Array:
    """Target (2,) of the scripted policy: uniform in the room that the agent is not in."""
    return two_room.sample_position(rng, room=int(position[0] <= two_room.WALL_X))
