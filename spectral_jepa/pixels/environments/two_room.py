"""Two-Room behind the common interface: one agent, its position the whole state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectral_jepa._shapes import Float
from spectral_jepa._validation import Array, as_float
from spectral_jepa.pixels.environments import two_room_physics as two_room
from spectral_jepa.pixels.environments.base import Episode, Picture, PixelEnvironment, Script, action_rows

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
    state_dim: ClassVar[int] = 2
    action_dim: ClassVar[int] = 2
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"data.n_episodes": 10_000, "data.max_steps": 100}}
    part_episodes: ClassVar[int] = 20
    tolerances: ClassVar[Mapping[str, tuple[float, str]]] = {"agent_position": (two_room.SUCCESS_DISTANCE, "px")}
    other_columns: ClassVar[str] = ", or pos_agent or proprio (2,)"

    def __init__(self, image_size: int = 224) -> None:
        super().__init__(image_size)
        self._color = two_room.RED
        self._position = np.array([60.0, 112.0])

    @classmethod
    def recorded_states(cls, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
        """``state``, or the published file's ``pos_agent`` or ``proprio``.

        Parameters
        ----------
        columns : dict of arrays (rows, ...)

        Returns
        -------
        array (rows, 2) or None
        """
        found = (columns.get(name) for name in ("state", "pos_agent", "proprio"))
        return next((values for values in found if values is not None and values.shape[1:] == (2,)), None)

    @classmethod
    def draw_states(cls, states: Tensor, image_size: int) -> Tensor:
        """Pictures of many states at once, on the device of the states.

        Parameters
        ----------
        states : Tensor (B, 2)
        image_size : int
            S, in pixels.

        Returns
        -------
        uint8 Tensor (B, S, S, 3)
        """
        return two_room.draw(states, image_size)

    def _start(self, rng: np.random.Generator) -> None:
        self._color = two_room.RED
        self._position = two_room.sample_position(rng, room=int(rng.integers(2)))

    def _advance(self, action: Array) -> None:
        self._position = two_room.step(torch.from_numpy(self._position), torch.from_numpy(action)).numpy()

    def _scripted_policy(self, rng: np.random.Generator) -> Script:
        target = torch.from_numpy(_sample_target(self._position, rng))
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

    def goal_distance(self, state: Array, goal: Array) -> float:
        """Straight distance over 16 px, also through the wall.

        Parameters
        ----------
        state, goal : arrays (2,)

        Returns
        -------
        float
        """
        difference = np.asarray(state, dtype=np.float64) - np.asarray(goal, dtype=np.float64)
        return float(np.linalg.norm(difference)) / two_room.SUCCESS_DISTANCE

    def plan_distances(
        self, starts: Float[np.ndarray, "E n"], goals: Float[np.ndarray, "E n"], actions: Float[np.ndarray, "E S T A"]
    ) -> Float[np.ndarray, "E S"]:
        """Length of the way (:func:`~two_room_physics.path_length`) left after each plan, all plans at once.

        Parameters
        ----------
        starts, goals : arrays (E, 2)
        actions : array (E, S, T, 2)
            Raw actions.

        Returns
        -------
        array (E, S)
            In pixels of the field, not in units of success as :meth:`goal_distance`, and round the wall.

        Notes
        -----
        O(E S T).
        """
        start, goal, moves = (torch.as_tensor(np.asarray(value, dtype=np.float64)) for value in (starts, goals, actions))
        position = start[:, None].expand(*moves.shape[:2], 2)
        for step in moves.unbind(2):
            position = two_room.step(position, step)
        return two_room.path_length(position, goal[:, None]).numpy()

    @classmethod
    def record_episodes(
        cls,
        image_size: int,
        policy: str,
        max_steps: int,
        generators: Iterable[np.random.Generator],
        *,
        row_steps: int = 1,
    ) -> Iterator[Episode]:
        """What the base class records, bit for bit, from batched physics and drawing."""
        environment = cls(image_size)
        starts, targets, noises = [], [], []
        for rng in generators:
            starts.append(environment.reset(seed=int(rng.integers(2**31)))[0])
            if policy == "scripted":
                targets.append(_sample_target(starts[-1], rng))
                noises.append(rng.standard_normal((max_steps, 2)))
            else:
                noises.append(rng.uniform(-1, 1, (max_steps, 2)).astype(np.float32))
        position, noise = torch.from_numpy(np.stack(starts)), torch.from_numpy(np.stack(noises, axis=1))
        n_actions = torch.full((len(position),), max_steps)
        states, actions = [position], []
        for t in range(max_steps):
            if policy == "scripted":
                target = torch.from_numpy(np.stack(targets))
                reached = two_room.distance(position, target) < two_room.SUCCESS_DISTANCE
                n_actions = torch.where(reached, n_actions.clamp_max(t + LINGER), n_actions)
                action = two_room.scripted_action(position, target, noise[t])
            else:
                action = noise[t]
            position = two_room.step(position, action.to(torch.float64))
            actions.append(action)
            states.append(position)
        state, action = torch.stack(states, 1), torch.stack(actions, 1)
        for own_state, own_action, n in zip(state, action, n_actions.tolist(), strict=True):
            rows = own_state[: n + 1 : row_steps]
            column = action_rows(own_action.numpy(), len(rows), row_steps, cls.action_dim)
            pixels = two_room.draw(rows, image_size).numpy()
            yield {"pixels": pixels, "action": column, "state": rows.numpy(), "agent_position": rows.numpy()}

    def recolor(self) -> None:
        """Paint the agent blue."""
        self._color = two_room.BLUE

    def teleport(self, rng: np.random.Generator) -> None:
        """Put the agent at a uniform place of the rooms, at least 50 px (10 steps) away."""
        old = self._position
        while np.linalg.norm(self._position - old) < TELEPORT_DISTANCE:
            self._position = two_room.sample_position(rng, room=int(rng.integers(2)))


def _sample_target(position: Array, rng: np.random.Generator) -> Array:
    """Target (2,) of the scripted policy: uniform in the room that the agent is not in."""
    return two_room.sample_position(rng, room=int(position[0] <= two_room.WALL_X))
