"""Planning with the true dynamics and the true distance to the goal state: the upper bound of what a planner can reach."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels import two_room
from spectral_jepa.pixels.config import ENVIRONMENTS, PlanningConfig
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.planning import check_settings
from spectral_jepa.pixels.policies import Observation, Pictures, check_scaler, native_actions
from spectral_jepa.pixels.solvers import Cost, Generators, cross_entropy_method

Array = NDArray[np.float64]


class SimulatorPolicy:
    """The published planner with the simulator in place of the world model.

    Parameters
    ----------
    environment : PixelEnvironment
        A separate instance from the one that is evaluated, or the same: every use sets the state first.
    scaler : ActionScaler
        As for the model, so that both search the same actions.
    config : PlanningConfig
        Only the cross-entropy method. Two-Room's physics are batched; any other simulator takes
        ``n_samples * n_iterations * horizon * action_block`` steps for each plan: choose few.
    action_block : int
        Raw actions in a block.

    Raises
    ------
    InputError
        Another method than "cem".
    """

    name, history, chunk_size, device = "simulator", 1, 25, torch.device("cpu")

    def __init__(self, environment: Any, scaler: Any, config: PlanningConfig, action_block: int = 5) -> None:
        check_settings(config)
        if config.method != "cem":
            raise InputError(f"method is {config.method!r}, expected 'cem': the simulator has no gradient and no latents")
        check_scaler(scaler, environment.action_dim)
        self.environment, self.scaler, self.config = environment, scaler, config
        self.action_block = check_count("action_block", action_block)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the simulator behind: one of ours is made anew in another process."""
        if self.environment.name not in ENVIRONMENTS:
            return self.__dict__
        return {**self.__dict__, "environment": (self.environment.name, self.environment.image_size)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if isinstance(self.environment, tuple):
            self.environment = make_environment(*self.environment)
            self.environment.reset(seed=0)

    def describe(self) -> dict[str, Any]:
        """Planner settings and scaler."""
        planning, scaler = asdict(self.config), asdict(self.scaler)
        return {"policy": "simulator", "planning": planning, "block": self.action_block, "scaler": scaler}

    def prepare(self, frames: Pictures, states: Array) -> Array:
        """The goals' states."""
        return np.asarray(states, dtype=np.float64)

    def act(self, now: Observation, goals: Array, generators: Generators) -> Array:
        """Plan with the true dynamics."""
        config = self.config
        cost = simulator_cost(self.environment, now.states, goals, self.scaler)
        mean = torch.zeros(len(now.states), config.horizon, self.action_block * self.environment.action_dim)
        with torch.inference_mode():
            found = cross_entropy_method(
                cost,
                mean,
                generators,
                n_samples=config.n_samples,
                n_elites=config.n_elites,
                n_iterations=config.n_iterations,
                std=config.initial_std,
            )
        return native_actions(found[:, : config.execute], self.scaler)


def simulator_cost(environment: Any, states: Array, goals: Array, scaler: Any) -> Cost:
    """True distance of the last state to the goal state: the length of the way in Two-Room, else :func:`goal_distance`.

    Parameters
    ----------
    environment : PixelEnvironment
    states, goals : arrays (E, n)
    scaler : ActionScaler

    Returns
    -------
    callable
        Plans (E, S, H, block_dim) in scaled units -> distances (E, S).

    Notes
    -----
    O(E S H block) steps of the simulator; in Two-Room each is one batched operation over all E S plans.
    """

    def two_room_cost(plans: Tensor) -> Tensor:
        actions = scaler.denormalize(plans.unflatten(-1, (-1, 2)).flatten(2, 3).to(torch.float64))
        position = start[:, None].expand(*plans.shape[:2], 2)
        for step in actions.unbind(2):
            position = two_room.step(position, step)
        return path_length(position, goal[:, None])

    def any_cost(plans: Tensor) -> Tensor:
        costs = np.empty(plans.shape[:2])
        for episode, samples in enumerate(plans):
            for sample, actions in enumerate(native_actions(samples, scaler)):
                environment.set_state(states[episode])
                for action in actions:
                    state = environment.step(action)[0]
                costs[episode, sample] = goal_distance(environment, state, goals[episode])
        return torch.from_numpy(costs)

    if environment.name != "two_room":
        return any_cost
    start, goal = (torch.as_tensor(np.asarray(value, dtype=np.float64)) for value in (states, goals))
    return two_room_cost


def path_length(start: Tensor, goal: Tensor) -> Tensor:
    """Length of the shortest path between points (..., 2) of Two-Room that does not cross the wall.

    Straight where the agent sees the goal, otherwise over one or two corners of the door. The straight distance would lead a
    planner into the wall wherever the goal lies behind it.

    Examples
    --------
    >>> path_length(torch.tensor([60.0, 49.0]), torch.tensor([160.0, 49.0]))  # through the door
    tensor(100.)
    """
    corners = [start.new_tensor([x, y]) for x in (two_room.LEFT, two_room.RIGHT) for y in (two_room.TOP, two_room.BOTTOM)]
    to_corner = [_sight_length(start, corner) for corner in corners]
    from_corner = [_sight_length(corner, goal) for corner in corners]
    lengths = [_sight_length(start, goal), *(a + b for a, b in zip(to_corner, from_corner, strict=True))]
    for i, first in enumerate(corners):
        for j, second in enumerate(corners):
            if i // 2 != j // 2:  # on opposite sides of the wall
                lengths.append(to_corner[i] + two_room.distance(first, second) + from_corner[j])
    return torch.stack(torch.broadcast_tensors(*lengths)).amin(0)


def _sight_length(a: Tensor, b: Tensor) -> Tensor:
    """Distance of two points, infinite where the wall is in between."""
    a, b = torch.broadcast_tensors(a, b)
    run = b[..., 0] - a[..., 0]
    hidden = torch.zeros_like(run, dtype=torch.bool)
    for face in (two_room.LEFT, two_room.RIGHT):
        crosses = (a[..., 0] - face) * (b[..., 0] - face) < 0
        height = a[..., 1] + (b[..., 1] - a[..., 1]) * (face - a[..., 0]) / torch.where(crosses, run, 1.0)
        hidden |= crosses & ((height < two_room.TOP) | (height > two_room.BOTTOM))
    return torch.where(hidden, torch.inf, two_room.distance(a, b))


def goal_distance(environment: Any, state: Array, goal: Array) -> float:
    """Distance of two states in units of what still counts as success: below 1 means solved.

    Two-Room: distance / 16 px. Push-T: the larger of (norm of both places' differences) / 20 px and (turn of the block) /
    20 degrees. Reacher: the larger joint difference / .05 rad, without wrapping. Cube: distance of the cube's centres / 4 cm
    (this one moves the environment). Any other: norm of the difference of the states, without a unit.
    """
    state, goal = np.asarray(state, dtype=np.float64), np.asarray(goal, dtype=np.float64)
    difference = state - goal
    if environment.name == "two_room":
        return float(np.linalg.norm(difference)) / two_room.SUCCESS_DISTANCE
    if environment.name == "push_t":
        turn = abs((difference[4] + np.pi) % (2 * np.pi) - np.pi)
        return float(max(np.linalg.norm(difference[:4]) / 20, turn / (np.pi / 9)))
    if environment.name == "reacher":
        return float(np.abs(difference[:2]).max() / 0.05)
    if environment.name == "cube":
        return float(np.linalg.norm(_block_position(environment, state) - _block_position(environment, goal)) / 0.04)
    return float(np.linalg.norm(difference))


def _block_position(environment: Any, state: Array) -> Array:
    environment.set_state(state)
    return np.asarray(environment.quantities()["block_position"], dtype=np.float64)
