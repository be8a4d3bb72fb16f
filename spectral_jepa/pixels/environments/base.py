"""What every pixel environment offers: Gymnasium's interface plus states, physical quantities, violations and policies.

An observation is the state vector; pictures come from ``render()``, so that the four steps out of five whose picture nobody
looks at (frameskip 5) are not drawn.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from torch import Tensor

from spectral_jepa._files import value_digest
from spectral_jepa._shapes import Float
from spectral_jepa._validation import Array, InputError, as_float, check_choice, check_count

Picture = NDArray[np.uint8]
# Called once a step, it reads the environment's current state and returns an action, or None to end the episode here.
Script = Callable[[], NDArray[np.float32] | None]
Episode = dict[str, NDArray[Any]]
POLICIES = ("scripted", "random")
# Side of the pictures where only states are wanted: whatever they show, nobody looks.
BLIND_SIZE = 1
# What the small presets of Push-T, Reacher and Cube share: a picture every 5 raw steps, an encoder that also pools, and more
# steps of half the clips, under the loss of 128 (SIGReg is multiplied by the batch size where nothing else is said).
SMALL_STEPS: dict[str, Any] = {
    "data.max_steps": 200,
    "data.row_steps": 5,
    "model.encoder": "pooled",
    "model.encoder_width": 16,
    "objective.factor": 128.0,
    "training.batch_size": 64,
}


class PixelEnvironment(gymnasium.Env[Array, NDArray[np.float32]]):
    """Base of the pixel environments: one file, given as ``module:Class``, is all that a new one takes.

    A subclass sets the class attributes below, imports its simulator in ``__init__`` and not before, and fills in the
    abstract methods.

    Parameters
    ----------
    image_size : int
        Height and width of the pictures.

    Attributes
    ----------
    name : str
        Names folders, files and rows of tables.
    state_dim, action_dim : int
        Length n of the state vector, number A of action coordinates.
    action_low, action_high : float, or A floats
        Bounds of the actions in the environment's native units; actions beyond them are clipped.
    settings : dict
        What a preset's settings are here, preset -> "section.field" -> value; "paper" describes the published data.
    part_episodes : int
        Episodes that a kill while collecting may lose.
    drawing : str
        Version of the pictures: another one makes other data, which :meth:`digest` tells apart.
    tolerances : dict
        How near to the goal a physical quantity must come to count as reached: name of the quantity -> (tolerance, unit).
        Those that :meth:`goal_distance` reads, and no others; empty: nobody can tell which errors are large.
    finite : bool
        Whether few states make up all data, so that pictures of a batch repeat.
    other_columns : str
        What :meth:`recorded_states` takes instead of a column ``state``, in words, for messages.

    Notes
    -----
    The reward is always 0 and no episode ends by itself: tasks are pairs of a start and a goal state, judged by
    :meth:`goal_distance`. A pickled environment is made anew, because simulators do not travel between processes.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}
    name: ClassVar[str]
    state_dim: ClassVar[int]
    action_dim: ClassVar[int]
    action_low: ClassVar[float | tuple[float, ...]] = -1.0
    action_high: ClassVar[float | tuple[float, ...]] = 1.0
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    part_episodes: ClassVar[int] = 4
    drawing: ClassVar[str] = ""
    tolerances: ClassVar[Mapping[str, tuple[float, str]]] = {}
    finite: ClassVar[bool] = False
    other_columns: ClassVar[str] = ""
    action_space: Box
    observation_space: Box

    def __init__(self, image_size: int) -> None:
        self.image_size = check_count("image_size", image_size)
        self.render_mode = "rgb_array"
        low, high = (np.full(self.action_dim, bound, dtype=np.float32) for bound in (self.action_low, self.action_high))
        self.action_space = Box(low, high, dtype=np.float32)
        self.observation_space = Box(-np.inf, np.inf, (self.state_dim,), dtype=np.float64)

    @classmethod
    def digest(cls) -> str:
        """What data of this environment carry beside its name: a digest of name, dimensions, action bounds and drawing."""
        bounds = [np.broadcast_to(b, cls.action_dim).tolist() for b in (cls.action_low, cls.action_high)]
        drawing = [cls.drawing] if cls.drawing else []
        return value_digest([cls.name, cls.state_dim, cls.action_dim, *[[float(x) for x in b] for b in bounds], *drawing])[
            :16
        ]

    @classmethod
    def recorded_states(cls, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
        """States that the environment can be set to, from the columns of a file.

        Parameters
        ----------
        columns : dict of arrays (rows, ...)

        Returns
        -------
        array (rows, n) or None
            The column ``state`` itself where it has n numbers a row; None where nothing fits. Override it to read the
            columns that published files have instead.
        """
        states = columns.get("state")
        return states if states is not None and states.shape[1:] == (cls.state_dim,) else None

    @classmethod
    def draw_states(cls, states: Tensor, image_size: int) -> Tensor:
        """Pictures of many states at once, on the device of the states.

        Parameters
        ----------
        states : Tensor (B, n)
        image_size : int
            S, in pixels.

        Returns
        -------
        uint8 Tensor (B, S, S, 3)
            Bit for bit what :meth:`render` shows in these states, in the original colours.

        Raises
        ------
        InputError
            Always here: pictures come from a simulator on the CPU. Override it where tensors are enough.
        """
        raise InputError(
            f"{cls.name} draws its pictures in a simulator, expected an environment that draws them from states, such as "
            "two_room: collect pictures instead"
        )

    def comparable_state(self, state: Array) -> Array:
        """The part of a state that tells whether a recording moves as this environment does.

        Parameters
        ----------
        state : array (n,)

        Returns
        -------
        array (k,)
            All of it, unless overridden: leave out what published files do not hold, and wrapped angles.
        """
        return np.asarray(state, dtype=np.float64)

    def at_rest(self, state: Array) -> Array:
        """The same place without any velocity.

        Parameters
        ----------
        state : array (n,)

        Returns
        -------
        array (n,)
            A copy of the state itself, unless overridden where a state holds velocities.
        """
        return np.array(state, dtype=np.float64)

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew from its class and the size of its pictures."""
        return type(self), (self.image_size,)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Undo :meth:`recolor` and start at a random state, or at a given one.

        Parameters
        ----------
        seed : int, optional
            Of the environment's own generator, which draws the state. Default: it goes on.
        options : dict, optional
            ``{"state": s}`` with a state (n,) to start at.

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
        """Apply one raw action, clipped to ``action_space``.

        Parameters
        ----------
        action : array (A,)
            In native units.

        Returns
        -------
        tuple (state, 0.0, False, False, quantities)
            As Gymnasium has it: no reward, no end.

        Raises
        ------
        InputError
            An action of another length, or with a NaN.
        """
        self.play(action)
        return self.get_state(), 0.0, False, False, dict(self.quantities())

    def play(self, action: Any) -> None:
        """:meth:`step` without looking at what came of it: where nobody reads states and quantities, they are not made.

        Parameters
        ----------
        action : array (A,)
            In native units; clipped to ``action_space``.

        Raises
        ------
        InputError
            An action of another length, or with a NaN.
        """
        value = as_float("action", action, (self.action_dim,))
        self._advance(np.clip(value, self.action_space.low, self.action_space.high))

    def policy(self, kind: str, rng: np.random.Generator) -> Script:
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

    def plan_distances(
        self, starts: Float[np.ndarray, "E n"], goals: Float[np.ndarray, "E n"], actions: Float[np.ndarray, "E S T A"]
    ) -> Float[np.ndarray, "E S"]:
        """Distance to the goal after each of S plans from each of E states: what a planner with the true dynamics minimises.

        Parameters
        ----------
        starts, goals : arrays (E, n)
        actions : array (E, S, T, A)
            Raw actions.

        Returns
        -------
        array (E, S)
            :meth:`goal_distance` of the last states. An environment may give another distance, on a scale of its own:
            a planner reads only which is less.

        Notes
        -----
        O(E S T) steps of the simulator, one after the other; override it where physics run in batch.
        """
        costs = np.empty(actions.shape[:2])
        for episode, samples in enumerate(actions):
            for sample, moves in enumerate(samples):
                self.set_state(starts[episode])
                for action in moves:
                    self.play(action)
                state = self.get_state() if len(moves) else starts[episode]
                costs[episode, sample] = self.goal_distance(state, goals[episode])
        return costs

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
        """Play one episode a generator, one after the other, in one fresh simulator.

        Parameters
        ----------
        image_size : int
        policy : {"scripted", "random"}
        max_steps : int
            Raw actions at most.
        generators : iterable of numpy Generator
            All of an episode's randomness.
        row_steps : int
            Raw actions between two rows, so between two pictures.

        Yields
        ------
        dict of arrays
            As of :meth:`record_episode`.

        Notes
        -----
        Override it where episodes can be played in batch.
        """
        with contextlib.closing(cls(image_size)) as environment:
            for rng in generators:
                yield environment.record_episode(policy, max_steps, rng, row_steps=row_steps)

    def record_episode(self, policy: str, max_steps: int, rng: np.random.Generator, *, row_steps: int = 1) -> Episode:
        """Play one episode, step by step; see :meth:`record_episodes`.

        Parameters
        ----------
        policy : {"scripted", "random"}
        max_steps : int
            Raw actions at most.
        rng : numpy Generator
            All of the episode's randomness.
        row_steps : int
            Raw actions r between two rows, so between two pictures. The episode does not depend on it, but it ends with its
            last complete row.

        Returns
        -------
        dict of arrays (rows, ...)
            ``pixels``, ``action`` (float32, (rows, r A): the r actions that follow, end to end; NaN in the last row),
            ``state`` and each quantity; a row is one moment.
        """
        self.reset(seed=int(rng.integers(2**31)))
        script = self.policy(policy, rng)
        moments: list[Episode] = []
        actions: list[NDArray[Any]] = []

        def look() -> None:
            moments.append({"pixels": self.render(), "state": self.get_state(), **self.quantities()})

        look()
        while len(actions) < max_steps and (action := script()) is not None:
            self.play(action)
            actions.append(action)
            if len(actions) % row_steps == 0:
                look()
        columns = {name: np.stack([np.asarray(moment[name]) for moment in moments]) for name in moments[0]}
        pixels = columns.pop("pixels")
        return {"pixels": pixels, "action": action_rows(actions, len(pixels), row_steps, self.action_dim), **columns}

    @abstractmethod
    def _start(self, rng: np.random.Generator) -> None:
        """Set a random start state, original colours, and no velocity."""

    @abstractmethod
    def _advance(self, action: Array) -> None:
        """One raw step of the simulator; the action lies within the bounds."""

    @abstractmethod
    def _scripted_policy(self, rng: np.random.Generator) -> Script:
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
    def goal_distance(self, state: Array, goal: Array) -> float:
        """Distance of two states in units of what still counts as success: below 1 is success.

        Parameters
        ----------
        state, goal : arrays (n,)
            As of :meth:`get_state`.

        Returns
        -------
        float
        """

    def success(self, state: Array, goal: Array) -> bool:
        """Whether a state counts as the goal, by the published criterion: :meth:`goal_distance` is below 1.

        Parameters
        ----------
        state, goal : arrays (n,)
            As of :meth:`get_state`.

        Returns
        -------
        bool
        """
        return self.goal_distance(state, goal) < 1

    @abstractmethod
    def recolor(self) -> None:
        """Visual violation: change the colour of the object until the next reset; the physics stay."""

    @abstractmethod
    def teleport(self, rng: np.random.Generator) -> None:
        """Physical violation: put the object at a place that no single step could have taken it to."""


def action_rows(
    actions: Sequence[NDArray[Any]] | NDArray[Any], n_rows: int, row_steps: int, action_dim: int
) -> NDArray[np.float32]:
    """The column ``action`` of an episode from its raw actions.

    Parameters
    ----------
    actions : sequence of arrays (A,)
        At least ``(n_rows - 1) * row_steps`` of them; those after the last row are left out.
    n_rows : int
        Rows of the episode, the last of which has no action.
    row_steps : int
        Raw actions r between two rows.
    action_dim : int
        A.

    Returns
    -------
    float32 array (n_rows, r A)
        Row k holds raw actions k r to (k + 1) r - 1, end to end; the last row is NaN.

    Notes
    -----
    O(n_rows r A).

    Examples
    --------
    >>> action_rows([np.array([1.0]), np.array([2.0]), np.array([3.0])], n_rows=2, row_steps=2, action_dim=1).tolist()
    [[1.0, 2.0], [nan, nan]]
    """
    column = np.full((n_rows, row_steps * action_dim), np.nan, dtype=np.float32)
    played = np.asarray(actions[: (n_rows - 1) * row_steps], dtype=np.float32)
    column[:-1] = played.reshape(n_rows - 1, row_steps * action_dim)
    return column
