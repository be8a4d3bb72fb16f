"""Reacher: a two-link arm on a plane, moved by two torques (dm_control's model, each action applied for two steps)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._shapes import Float
from spectral_jepa._validation import Array, as_float
from spectral_jepa.pixels.environments._mujoco import Drawing, recorded_parts, require, simulator
from spectral_jepa.pixels.environments.base import SMALL_STEPS, Picture, PixelEnvironment, Script

LINK = 0.12  # m, both links
_REPEAT = 2
_WRIST_LIMIT = np.deg2rad(160)
_OTHER_COLOR = (0.2, 0.4, 0.9, 1.0)
# Torques in action units a rad and a rad/s; a target is reached within .1 rad in about 19 steps.
_GAIN, _DAMPING = np.array([4.0, 1.5]), np.array([0.6, 0.12])
_TORQUE_NOISE = 0.1
_STEPS_TO_TARGET = 40


class ReacherEnvironment(PixelEnvironment):
    """Two-link reacher with torques (2,) in [-1, 1]: shoulder, wrist.

    The state (4,) holds both joint angles (rad; the shoulder turns without limit and is not wrapped) and both joint
    velocities (rad/s): the columns ``qpos`` and ``qvel`` of the published files. As in those, dm_control's target is not
    drawn, because goals are arm positions.

    Parameters
    ----------
    image_size : int
        Height and width of the pictures, drawn at that size.

    Notes
    -----
    The solver starts afresh in each step, so that the same state and action give the same next state bit for bit.

    Examples
    --------
    >>> environment = ReacherEnvironment(64)
    >>> state, _ = environment.reset(options={"state": [0.0, np.pi / 2, 0.0, 0.0]})
    >>> environment.quantities()["finger_position"].round(3)
    array([0.12, 0.12])
    """

    name: ClassVar[str] = "reacher"
    state_dim: ClassVar[int] = 4
    action_dim: ClassVar[int] = 2
    # The released file is of random actions; the paper's text says SAC.
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"data.n_episodes": 10_000, "data.max_steps": 200, "data.policy": "random"},
        "small": SMALL_STEPS | {"data.n_episodes": 600, "data.policy": "random", "training.n_steps": 2000},
        "tiny": {"data.max_steps": 100, "data.policy": "random", "data.row_steps": 5},
    }
    tolerances: ClassVar[Mapping[str, tuple[float, str]]] = {"shoulder_angle": (0.05, "rad"), "wrist_angle": (0.05, "rad")}

    other_columns: ClassVar[str] = ", or qpos (2,) and qvel (2,)"

    @classmethod
    def recorded_states(cls, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
        """``state``, or the published file's ``qpos`` and ``qvel``.

        Parameters
        ----------
        columns : dict of arrays (rows, ...)

        Returns
        -------
        array (rows, 4) or None
        """
        states, parts = columns.get("state"), recorded_parts(columns, (2, 2))
        if states is not None and states.shape[1:] == (cls.state_dim,):
            return states
        return None if parts is None else np.hstack(parts)

    def comparable_state(self, state: Array) -> Array:
        """Directions of both joints, as unit vectors: some recordings wrap the shoulder's angle.

        Parameters
        ----------
        state : array (4,)

        Returns
        -------
        array (4,)
        """
        angles = np.asarray(state, dtype=np.float64)[:2]
        return np.concatenate([np.cos(angles), np.sin(angles)])

    def __init__(self, image_size: int = 224) -> None:
        super().__init__(image_size)
        require("mujoco", "dm_control")
        self._mujoco = mujoco = simulator("mujoco")
        source = simulator("dm_control.suite.reacher")
        text, assets = source.get_model_and_assets()
        self._model = mujoco.MjModel.from_xml_string(text, assets)
        self._data = mujoco.MjData(self._model)
        self._model.material("target").rgba[3] = 0
        self._arm = self._model.material("self").id
        self._color = self._model.mat_rgba[self._arm].copy()
        self._draw = Drawing(self._model, image_size, "fixed")

    def _start(self, rng: np.random.Generator) -> None:
        self._model.mat_rgba[self._arm] = self._color
        self.set_state(np.concatenate([self._random_angles(rng), np.zeros(2)]))

    def _random_angles(self, rng: np.random.Generator) -> Array:
        return rng.uniform([-np.pi, -_WRIST_LIMIT], [np.pi, _WRIST_LIMIT])

    def _advance(self, action: Array) -> None:
        self._data.qacc_warmstart[:] = 0
        self._data.ctrl[:] = action
        for _ in range(_REPEAT):
            self._mujoco.mj_step(self._model, self._data)

    def _scripted_policy(self, rng: np.random.Generator) -> Script:
        """Move the finger to one random place after the other: inverse kinematics, then a noisy PD controller."""
        goal, n_left = np.zeros(2), 0

        def act() -> NDArray[np.float32]:
            nonlocal goal, n_left
            if n_left == 0:
                radius, direction = rng.uniform(0.05, 0.23), rng.uniform(-np.pi, np.pi)
                wrist = rng.choice([-1, 1]) * 2 * np.arccos(radius / (2 * LINK))
                goal, n_left = np.array([direction - wrist / 2, wrist]), _STEPS_TO_TARGET
            n_left -= 1
            error = goal - self._data.qpos
            error[0] = (error[0] + np.pi) % (2 * np.pi) - np.pi
            torque = _GAIN * error - _DAMPING * self._data.qvel + _TORQUE_NOISE * rng.standard_normal(2)
            return np.clip(torque, -1, 1).astype(np.float32)

        return act

    def render(self) -> Picture:
        """Draw dm_control's fixed camera at the environment's size, without shadows and multisampling."""
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_camlight(self._model, self._data)
        return self._draw(self._data)

    def get_state(self) -> Array:
        """Joint angles, joint velocities: (4,)."""
        return np.concatenate([self._data.qpos, self._data.qvel])

    def set_state(self, state: Array) -> None:
        """Set what :meth:`get_state` returned."""
        state = as_float("state", state, (self.state_dim,))
        self._data.qpos[:], self._data.qvel[:] = state[:2], state[2:]

    def quantities(self) -> dict[str, Array]:
        """Joint angles in [-pi, pi) and velocities (rad/s), place of the finger (m)."""
        angles, velocities = self._data.qpos, self._data.qvel
        wrapped = (angles + np.pi) % (2 * np.pi) - np.pi
        direction = np.cumsum(angles)
        return {
            "shoulder_angle": wrapped[:1],
            "wrist_angle": wrapped[1:],
            "shoulder_velocity": velocities[:1].copy(),
            "wrist_velocity": velocities[1:].copy(),
            "finger_position": LINK * np.array([np.cos(direction).sum(), np.sin(direction).sum()]),
        }

    def at_rest(self, state: Array) -> Array:
        """The same place without any velocity.

        Parameters
        ----------
        state : array (4,)

        Returns
        -------
        array (4,)
        """
        still = super().at_rest(state)
        still[2:] = 0
        return still

    def goal_distance(self, state: Array, goal: Array) -> float:
        """The larger joint difference over 0.05 rad, as published: a full turn of the shoulder counts as a difference.

        Parameters
        ----------
        state, goal : arrays (4,)

        Returns
        -------
        float
        """
        difference = np.asarray(state, dtype=np.float64)[:2] - np.asarray(goal, dtype=np.float64)[:2]
        return float(np.abs(difference).max() / 0.05)

    def plan_distances(
        self, starts: Float[np.ndarray, "E n"], goals: Float[np.ndarray, "E n"], actions: Float[np.ndarray, "E S T A"]
    ) -> Float[np.ndarray, "E S"]:
        """:meth:`goal_distance` after each plan, all plans together in MuJoCo's own loop over threads.

        Parameters
        ----------
        starts, goals : arrays (E, 4)
        actions : array (E, S, T, 2)
            Raw actions, clipped as :meth:`step` clips them.

        Returns
        -------
        array (E, S)

        Notes
        -----
        O(E S T) steps of the simulator, the same as one after the other bit for bit: each action is one call, which starts
        the solver afresh.
        """
        shape = actions.shape
        if not shape[2]:
            return super().plan_distances(starts, goals, actions)
        rollout = simulator("mujoco.rollout").rollout
        kind = self._mujoco.mjtState.mjSTATE_FULLPHYSICS
        state = np.zeros((shape[0] * shape[1], self._mujoco.mj_stateSize(self._model, kind)))
        # Time, positions, velocities.
        state[:, 1:5] = np.repeat(np.asarray(starts, dtype=np.float64), shape[1], axis=0)
        moves = np.clip(np.asarray(actions, dtype=np.float64), self.action_space.low, self.action_space.high)
        moves = moves.reshape(len(state), shape[2], self.action_dim)
        data = [self._mujoco.MjData(self._model) for _ in range(os.cpu_count() or 1)]
        for t in range(shape[2]):
            control = np.repeat(moves[:, t : t + 1], _REPEAT, axis=1)
            state = np.ascontiguousarray(rollout(self._model, data, state, control)[0][:, -1])
        ends = state[:, 1:3].reshape(*shape[:2], 2)
        differences = ends - np.asarray(goals, dtype=np.float64)[:, None, :2]
        return np.abs(differences).max(-1) / 0.05

    def recolor(self) -> None:
        """Draw the arm in blue until the next reset."""
        self._model.mat_rgba[self._arm] = _OTHER_COLOR

    def teleport(self, rng: np.random.Generator) -> None:
        """Put the arm at rest at random angles, the finger over one link's length away."""
        before = self.quantities()["finger_position"]
        while np.linalg.norm(self.quantities()["finger_position"] - before) < LINK:
            self.set_state(np.concatenate([self._random_angles(rng), np.zeros(2)]))

    def close(self) -> None:
        """Release the OpenGL context."""
        self._draw.close()
