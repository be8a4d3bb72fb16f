"""What every pixel environment offers: Gymnasium's interface plus states, physical quantities, violations and policies.

An observation is the state vector; pictures come from ``render()``, so that the four steps out of five whose picture nobody
looks at (frameskip 5) are not drawn.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from spectral_jepa._validation import InputError, as_float, check_choice, check_count

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]
# Called once a step, it reads the environment's current state and returns an action, or None to end the episode here.
Policy = Callable[[], NDArray[np.float32] | None]
POLICIES = ("scripted", "random")


class PixelEnvironment(gymnasium.Env[Array, NDArray[np.float32]]):
    """Base of the pixel environments; a subclass sets ``name`` and ``action_space`` and fills in the abstract methods.

    Parameters
    ----------
    image_size : int
        Height and width of the pictures.
    state_dim : int
        Length n of the state vector.
    action_low, action_high : arrays (A,)
        Bounds of the actions in the environment's native units; actions beyond them are clipped.

    Notes
    -----
    The reward is always 0 and no episode ends by itself: tasks are pairs of a start and a goal state, judged by
    :meth:`success`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}
    name: ClassVar[str]
    action_space: Box
    observation_space: Box

    def __init__(self, image_size: int, state_dim: int, action_low: Any, action_high: Any) -> None:
        self.image_size = check_count("image_size", image_size)
        self.render_mode = "rgb_array"
        low, high = (np.asarray(bound, dtype=np.float32) for bound in (action_low, action_high))
        self.action_space = Box(low, high, dtype=np.float32)
        self.observation_space = Box(-np.inf, np.inf, (state_dim,), dtype=np.float64)

    @property
    def action_dim(self) -> int:
        """Number of coordinates A of an action."""
        return int(self.action_space.shape[0])

    @property
    def state_dim(self) -> int:
        """Length n of the state vector."""
        return int(self.observation_space.shape[0])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Undo :meth:`recolor` and start at a random state, or at ``options={"state": s}``.

        Returns
        -------
        state, quantities
            As :meth:`get_state` and :meth:`quantities` give them.

        Raises
        ------
        InputError
            An option other than "state", or a state of another length.
        """
        super().reset(seed=seed)
        unknown = set(options or {}) - {"state"}
        if unknown:
            raise InputError(f"reset got the option {sorted(unknown)[0]!r}, expected only 'state': remove it")
        self._start(self.np_random)
        if options and options.get("state") is not None:
            self.set_state(as_float("options['state']", options["state"], (self.state_dim,)))
        return self.get_state(), dict(self.quantities())

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Apply one raw action (clipped to ``action_space``); returns (state, 0.0, False, False, quantities).

        Raises
        ------
        InputError
            An action of another length, or with a NaN.
        """
        value = as_float("action", action, (self.action_dim,))
        self._advance(np.clip(value, self.action_space.low, self.action_space.high))
        return self.get_state(), 0.0, False, False, dict(self.quantities())

    def policy(self, kind: str, rng: np.random.Generator) -> Policy:
        """Return a policy of this environment for one episode, as a function without arguments that reads the current state.

        Parameters
        ----------
        kind : {"scripted", "random"}
            ``random`` draws each action uniformly from ``action_space``.
        rng : numpy Generator
            All of the policy's randomness.

        Returns
        -------
        callable () -> array (A,) or None
            The next action; None: the policy is done and the episode may end here. Make it after :meth:`reset`.
        """
        check_choice("policy", kind, POLICIES)
        if kind == "scripted":
            return self._scripted_policy(rng)
        low, high = self.action_space.low, self.action_space.high
        return lambda: rng.uniform(low, high).astype(np.float32)

    @abstractmethod
    def _start(self, rng: np.random.Generator) -> None:
        """Set a random start state, original colours, and no velocity."""

    @abstractmethod
    def _advance(self, action: Array) -> None:
        """One raw step of the simulator; the action lies within the bounds."""

    @abstractmethod
    def _scripted_policy(self, rng: np.random.Generator) -> Policy:
        """The environment's own policy, see :meth:`policy`."""

    @abstractmethod
    def render(self) -> Picture:
        """Draw the current state as uint8 (image_size, image_size, 3)."""

    @abstractmethod
    def get_state(self) -> Array:
        """Full state (n,): setting it again gives the same future and the same picture."""

    @abstractmethod
    def set_state(self, state: Array) -> None:
        """Set what :meth:`get_state` returned; colours stay as they are."""

    @abstractmethod
    def quantities(self) -> dict[str, Array]:
        """Physical quantities for probing, name -> float64 array (k,); angles are named ``*_angle`` and in radians."""

    @abstractmethod
    def success(self, state: Array, goal_state: Array) -> bool:
        """Whether a state counts as the goal, by the published criterion (two vectors as of :meth:`get_state`)."""

    @abstractmethod
    def recolor(self) -> None:
        """Visual violation: change the colour of the object until the next reset; the physics stay."""

    @abstractmethod
    def teleport(self, rng: np.random.Generator) -> None:
        """Physical violation: put the object at a place that no single step could have taken it to."""
