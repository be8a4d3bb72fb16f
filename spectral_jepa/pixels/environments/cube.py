"""Cube: a robot arm with a gripper carries one cube over a table (OGBench's cube-single; relative effector actions)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import Array, InputError, as_float
from spectral_jepa.pixels.environments._mujoco import Drawing, recorded_parts, require, simulator
from spectral_jepa.pixels.environments.base import SMALL_STEPS, Picture, PixelEnvironment, Script

_OTHER_COLOR = (0.35, 0.55, 0.91, 1.0)
_MIN_TELEPORT = 0.1  # m; the effector moves at most 5 cm a step
_NOISE, _MIN_NORM = 0.1, 0.4
# Small pictures are drawn of meshes clustered on a grid of 7.5 mm, some two thirds of a pixel at 64 px: the whole ones have
# 185,000 faces, which take nine tenths of the time. Pictures differ by .4 of 255 grey levels in the mean.
COARSE_SIZE, MESH_CELL = 96, 0.0075
_NOISE_SHAPE = np.array([1.0, 1.0, 1.0, 3.0, 10.0])


class CubeEnvironment(PixelEnvironment):
    """OGBench's cube-single with actions (5,) in [-1, 1]: effector x, y, z (5 cm a unit), yaw (0.3 rad), gripper.

    The state (48,) holds MuJoCo's positions (arm 6, gripper 8, cube 3 + quaternion 4), velocities (20) and the last motor
    commands (7).

    Parameters
    ----------
    image_size : int
        Height and width of the pictures, drawn at that size as OGBench's pixel tasks are (transparent arm, no target mark);
        up to 96 px of coarser meshes (7.5 mm), which the physics do not see.

    Notes
    -----
    The solver starts afresh in each step and the effector's place is read at the step's own start (OGBench's is one substep
    of 2 ms older), so that the same state and action give the same next state bit for bit.

    Examples
    --------
    >>> environment = CubeEnvironment(64)
    >>> state, quantities = environment.reset(seed=0)
    >>> environment.success(state, state), sorted(quantities)[:3]
    (True, ['block_position', 'block_quaternion', 'block_yaw_angle'])
    """

    name: ClassVar[str] = "cube"
    state_dim: ClassVar[int] = 48
    action_dim: ClassVar[int] = 5
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"data.n_episodes": 10_000, "data.max_steps": 200},
        "small": SMALL_STEPS | {"data.n_episodes": 700, "model.history": 1, "training.n_steps": 2500},
        "tiny": {"data.max_steps": 100, "data.row_steps": 5},
    }
    tolerances: ClassVar[Mapping[str, tuple[float, str]]] = {"block_position": (0.04, "m")}

    drawing: ClassVar[str] = f"meshes on a grid of {MESH_CELL} up to {COARSE_SIZE} px"
    other_columns: ClassVar[str] = ", or qpos (21,) and qvel (20,)"

    @classmethod
    def recorded_states(cls, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
        """``state``, or the published file's ``qpos`` and ``qvel``; motor commands that are not recorded count as 0.

        Parameters
        ----------
        columns : dict of arrays (rows, ...)

        Returns
        -------
        array (rows, 48) or None

        Notes
        -----
        Each action writes all motor commands anew before the simulator reads them, and no picture shows them.
        """
        states, parts = columns.get("state"), recorded_parts(columns, (21, 20))
        if states is not None and states.shape[1:] == (cls.state_dim,):
            return states
        if parts is None:
            return None
        commands = columns.get("ctrl", columns.get("control"))
        if commands is None or commands.shape[1:] != (7,):
            commands = np.zeros((len(parts[0]), 7))
        return np.hstack([*parts, np.asarray(commands, dtype=np.float64)])

    def comparable_state(self, state: Array) -> Array:
        """Joint angles of the arm and place of the cube.

        Parameters
        ----------
        state : array (48,)

        Returns
        -------
        array (9,)
        """
        start = self._block.qposadr[0]
        return np.concatenate(
            [np.asarray(state, dtype=np.float64)[:6], np.asarray(state, dtype=np.float64)[start : start + 3]]
        )

    def __init__(self, image_size: int = 224) -> None:
        super().__init__(image_size)
        require("mujoco", "ogbench")
        self._mujoco = simulator("mujoco")
        self._cube = _build()
        self._model, self._data = self._cube.model, self._cube.data
        self._block = self._model.joint("object_joint_0")
        self._n_position, self._n_velocity = self._model.nq, self._model.nv
        found = self._n_position + self._n_velocity + self._model.nu
        if found != self.state_dim:
            raise InputError(
                f"OGBench's cube has a state of {found} numbers, expected {self.state_dim}: install ogbench 1.2"
            )
        cell = MESH_CELL if image_size <= COARSE_SIZE else 0.0
        self._draw = Drawing(self._model, image_size, "front_pixels", cell)

    def _start(self, rng: np.random.Generator) -> None:
        # Restores the colours, too.
        self._cube.reset(seed=int(rng.integers(2**31)))
        self._data.ctrl[:] = 0
        self._settle()

    def _settle(self) -> None:
        self._data.qacc_warmstart[:] = 0
        self._mujoco.mj_forward(self._model, self._data)
        self._mujoco.mj_rnePostConstraint(self._model, self._data)

    def _advance(self, action: Array) -> None:
        self._cube.set_control(action)
        self._data.qacc_warmstart[:] = 0
        self._mujoco.mj_step(self._model, self._data, nstep=self._cube._n_steps)
        self._settle()

    def _scripted_policy(self, rng: np.random.Generator) -> Script:
        """OGBench's Markov oracle (min norm .4) as in its noisy data: carry the cube to one random pose after the other.

        An episode's noise level is uniform on [0, .1]; yaw gets 3 and gripper 10 times as much as the places.
        """
        oracle = simulator("ogbench.manipspace.oracles.markov.cube_markov").CubeMarkovOracle(
            env=self._cube, min_norm=_MIN_NORM
        )
        noise = rng.uniform(0, _NOISE) * _NOISE_SHAPE
        target: Array = np.zeros(3)
        yaw = np.zeros(1)

        def new_target() -> None:
            nonlocal target, yaw
            target = np.array([*rng.uniform(*self._cube._target_sampling_bounds), 0.02])
            yaw = rng.uniform(0, 2 * np.pi, 1)
            # What its reset() does, but that draws from the global generator.
            oracle._done, oracle._step = False, 0
            oracle._final_pos = rng.uniform(*self._cube._arm_sampling_bounds)
            oracle._final_yaw = rng.uniform(-np.pi, np.pi)

        def act() -> NDArray[np.float32]:
            if oracle.done:
                new_target()
            info = self._cube.compute_ob_info()
            info.update({"privileged/target_block_pos": target, "privileged/target_block_yaw": yaw})
            action = oracle.select_action(None, info) + noise * rng.standard_normal(5)
            return np.clip(action, -1, 1).astype(np.float32)

        new_target()
        return act

    def render(self) -> Picture:
        """Draw OGBench's camera for pixels at the environment's size, without shadows, reflections and multisampling."""
        return self._draw(self._data)

    def get_state(self) -> Array:
        """MuJoCo's positions, velocities and motor commands: (48,)."""
        return np.concatenate([self._data.qpos, self._data.qvel, self._data.ctrl])

    def set_state(self, state: Array) -> None:
        """Set what :meth:`get_state` returned."""
        state = as_float("state", state, (self.state_dim,))
        n_position, n_velocity = self._n_position, self._n_velocity
        self._data.qpos[:] = state[:n_position]
        self._data.qvel[:] = state[n_position : n_position + n_velocity]
        self._data.ctrl[:] = state[n_position + n_velocity :]
        self._settle()

    def quantities(self) -> dict[str, Array]:
        """Arm joints (rad, rad/s), effector (m, rad), gripper (0 open, 1 closed), cube (m, quaternion w x y z, rad)."""
        info = self._cube.compute_ob_info()
        names = {
            "joint_position": "proprio/joint_pos",
            "joint_velocity": "proprio/joint_vel",
            "effector_position": "proprio/effector_pos",
            "effector_yaw_angle": "proprio/effector_yaw",
            "gripper_opening": "proprio/gripper_opening",
            "block_position": "privileged/block_0_pos",
            "block_quaternion": "privileged/block_0_quat",
            "block_yaw_angle": "privileged/block_0_yaw",
        }
        return {name: np.asarray(info[key], dtype=np.float64) for name, key in names.items()}

    def at_rest(self, state: Array) -> Array:
        """The same place without any velocity.

        Parameters
        ----------
        state : array (48,)

        Returns
        -------
        array (48,)
        """
        still = super().at_rest(state)
        still[self._n_position : self._n_position + self._n_velocity] = 0
        return still

    def goal_distance(self, state: Array, goal: Array) -> float:
        """Distance of the cube's centres over 4 cm; its orientation does not count.

        Parameters
        ----------
        state, goal : arrays (n,)

        Returns
        -------
        float
        """
        place = slice(self._block.qposadr[0], self._block.qposadr[0] + 3)
        difference = np.asarray(state, dtype=np.float64)[place] - np.asarray(goal, dtype=np.float64)[place]
        return float(np.linalg.norm(difference) / 0.04)

    def recolor(self) -> None:
        """Draw the cube in blue until the next reset."""
        for geom in self._cube._cube_geom_ids_list[0]:
            self._model.geom(geom).rgba = _OTHER_COLOR

    def teleport(self, rng: np.random.Generator) -> None:
        """Put the cube at rest on the table, over 10 cm from where it was and not under the gripper."""
        before, effector = self._block_place(), self.quantities()["effector_position"][:2]
        place = before[:2]
        while min(np.linalg.norm(place - before[:2]), np.linalg.norm(place - effector)) < _MIN_TELEPORT:
            place = rng.uniform(*self._cube._object_sampling_bounds)
        yaw = rng.uniform(0, 2 * np.pi)
        start = self._block.qposadr[0]
        self._data.qpos[start : start + 7] = [*place, 0.02, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        self._data.qvel[self._block.dofadr[0] : self._block.dofadr[0] + 6] = 0
        self._settle()

    def _block_place(self) -> Array:
        start = self._block.qposadr[0]
        return self._data.qpos[start : start + 3].copy()

    def close(self) -> None:
        """Release the OpenGL context."""
        self._draw.close()


def _build() -> Any:
    base = simulator("ogbench.manipspace.envs.cube_env").CubeEnv

    class Cube(base):  # type: ignore[misc, valid-type]
        def compute_observation(self) -> Array:
            # The pixel tasks would draw here, in every step.
            return np.zeros(0)

    cube = Cube(env_type="single", ob_type="pixels", mode="data_collection", terminate_at_goal=False, visualize_info=False)
    cube.reset(seed=0)
    return cube
