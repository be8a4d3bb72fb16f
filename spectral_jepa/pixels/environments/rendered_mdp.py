"""A finite world seen as pictures: a pixel environment whose co-occurrence matrix, and so whose best JEPA, is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path
from torch import Tensor

from spectral_jepa._files import value_digest
from spectral_jepa._shapes import Float
from spectral_jepa._validation import Array, as_float, check_indices
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.pixels.environments.base import BLIND_SIZE, Episode, Picture, PixelEnvironment, Script, action_rows
from spectral_jepa.pixels.environments.mdp_pictures import BLUE, RED, Nuisance, draw_world, state_places

STATIONARY = 1e-12
# Halvings of what is left of the start: enough for any world that mixes within 2^30 steps.
DOUBLINGS = 30


class RenderedMDP(PixelEnvironment):
    """Base of the drawn worlds; its state vector is the number of the state, its actions are one-hot vectors.

    A subclass sets ``name`` and ``task``, and ``nuisance`` if it wants one; ``world``, ``action_dim`` and the rest follow.
    :func:`spectral_jepa.pixels.environments.mdp_names.rendered_class` makes one from a name such as ``mdp_torus,slip=0.3``.

    Parameters
    ----------
    image_size : int
        Height and width of the pictures.

    Attributes
    ----------
    task : TabularMDP
        What the agent moves in.
    nuisance : Nuisance or None
        The background beside it.
    world : TabularMDP
        Their product, whose states are what the pictures show, under the law of the data: ``weight`` is that of the task in
        the long run of uniformly random actions (the task's own weight where it is stationary, as on all grids and rings
        here), times the uniform law of the background; every action has frequency 1 / A. Random episodes start from it, so
        each of their rows has it as its marginal, and ``CoOccurrence.exact(world)`` is what their transitions estimate.

    Notes
    -----
    A step takes the action of the largest coordinate, and draws where it leads. The goal is a place: the background does
    not count. Distances are numbers of steps along the likeliest outcomes.

    Examples
    --------
    >>> from spectral_jepa.generators import make_torus
    >>> class Torus(RenderedMDP):
    ...     name, task = "my_torus", make_torus(5, slip=0.0)
    >>> environment = Torus(32)
    >>> state, _ = environment.reset(options={"state": [7]})
    >>> environment.step([0, 0, 0, 1])[0], environment.goal_distance([8], [0])  # right; from (1, 3) up and twice right
    (array([8.]), 3.0)
    >>> from spectral_jepa import CoOccurrence
    >>> CoOccurrence.exact(Torus.world)
    CoOccurrence(4 actions, 25 states, exact)
    """

    task: ClassVar[TabularMDP]
    nuisance: ClassVar[Nuisance | None] = None
    world: ClassVar[TabularMDP]
    state_dim: ClassVar[int] = 1
    action_low: ClassVar[float | tuple[float, ...]] = 0.0
    action_high: ClassVar[float | tuple[float, ...]] = 1.0
    part_episodes: ClassVar[int] = 100
    drawing: ClassVar[str] = "1"
    finite: ClassVar[bool] = True
    tolerances: ClassVar[Any] = {"agent_position": (0.5, "cells")}
    settings: ClassVar[Any] = {
        "tiny": {"data.policy": "random", "model.action_block": 1, "evaluation.goal_offset": 5, "evaluation.budget": 10},
        "small": {
            "data.policy": "random",
            "data.n_episodes": 200,
            "data.image_size": 32,
            "model.image_size": 32,
            "model.history": 1,
            "model.action_block": 1,
            "evaluation.goal_offset": 5,
            "evaluation.budget": 20,
            "planning.horizon": 4,
            "planning.execute": 1,
        },
        "paper": {"data.policy": "random", "data.image_size": 64, "model.image_size": 64, "model.history": 1,
                  "model.patch_size": 8, "model.action_block": 1},
    }  # fmt: skip

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "task" in vars(cls) or "nuisance" in vars(cls):
            weight = long_run_weight(cls.task)
            frequency = np.full(cls.task.n_actions, 1 / cls.task.n_actions)
            law = replace(cls.task, weight=weight, action_frequency=frequency)
            cls.world = law if cls.nuisance is None else cls.nuisance.beside(law)
            cls.action_dim = cls.task.n_actions

    def __init__(self, image_size: int) -> None:
        super().__init__(image_size)
        self._state, self._color = 0, RED
        self._tables = _tables(type(self))

    @classmethod
    def n_values(cls) -> int:
        """Values m of the background, 1 without one: state s of the world is state s // m of the task."""
        return 1 if cls.nuisance is None else cls.nuisance.values

    @classmethod
    def digest(cls) -> str:
        """What data carry beside the name: also the transitions, the places and the background."""
        places, _ = state_places(cls.task)
        content = [
            super().digest(),
            cls.world.dense().tolist(),
            cls.world.weight.tolist(),
            places.tolist(),
            repr(cls.nuisance),
        ]
        return value_digest(content)[:16]

    @classmethod
    def draw_states(cls, states: Tensor, image_size: int) -> Tensor:
        """Pictures of many states at once, on the device of the states.

        Parameters
        ----------
        states : Tensor (B, 1)
            Numbers of states.
        image_size : int
            S, in pixels.

        Returns
        -------
        uint8 Tensor (B, S, S, 3)
        """
        table = torch.from_numpy(pictures_of(cls, image_size)).to(states.device)
        return table[states[:, 0].round().long()]

    def policy(self, kind: str, rng: np.random.Generator) -> Script:
        """Random one-hot actions, or steps towards one random place after the other.

        Parameters
        ----------
        kind : {"scripted", "random"}
        rng : numpy Generator

        Returns
        -------
        callable () -> array (A,)
        """
        return super().policy(kind, rng) if kind != "random" else lambda: self._one_hot(int(rng.random() * self.action_dim))

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
        """What the base class records, bit for bit; random episodes are played all at once."""
        if policy != "random":
            yield from super().record_episodes(image_size, policy, max_steps, generators, row_steps=row_steps)
            return
        chance, actions = [], []
        for rng in generators:
            own = gymnasium.utils.seeding.np_random(int(rng.integers(2**31)))[0]
            chance.append(own.random(max_steps + 1))
            actions.append((rng.random(max_steps) * cls.action_dim).astype(np.int64))
        drawn, taken = np.stack(chance), np.stack(actions)
        tables = _tables(cls)
        states = [_draw(tables.start, drawn[:, 0])]
        for t in range(max_steps):
            states.append(_draw(tables.steps[taken[:, t], states[-1]], drawn[:, t + 1]))
        one_hot = np.eye(cls.action_dim, dtype=np.float32)
        blind = np.zeros((cls.world.n_states, image_size, image_size, 3), dtype=np.uint8)
        pictures = blind if image_size == BLIND_SIZE else pictures_of(cls, image_size)
        for own_states, own_actions in zip(np.stack(states, axis=1), taken, strict=True):
            rows = own_states[::row_steps]
            column = action_rows(one_hot[own_actions], len(rows), row_steps, cls.action_dim)
            quantities = cls._quantities(rows)
            yield {"pixels": pictures[rows], "action": column, "state": rows[:, None].astype(np.float64), **quantities}

    def _start(self, rng: np.random.Generator) -> None:
        self._color = RED
        self._state = int(_draw(self._tables.start, rng.random()))

    def _advance(self, action: Array) -> None:
        law = self._tables.steps[int(np.argmax(action)), self._state]
        self._state = int(_draw(law, self.np_random.random()))

    def _scripted_policy(self, rng: np.random.Generator) -> Script:
        distance, likeliest, n_values = self._tables.distance, self._tables.likeliest, self.n_values()
        goal = int(rng.integers(len(distance)))

        def act() -> NDArray[np.float32]:
            nonlocal goal
            here = self._state // n_values
            while here == goal and len(distance) > 1:
                goal = int(rng.integers(len(distance)))
            left = distance[likeliest[:, here], goal]
            return self._one_hot(int(rng.choice(np.flatnonzero(left == left.min()))))

        return act

    def render(self) -> Picture:
        """Draw the current state."""
        return np.array(pictures_of(type(self), self.image_size, self._color)[self._state])

    def get_state(self) -> Array:
        """Number of the state, (1,)."""
        return np.array([self._state], dtype=np.float64)

    def set_state(self, state: Array) -> None:
        """Go to a state (1,)."""
        number = as_float("state", state, (1,))
        self._state = int(check_indices("state", number.astype(np.int64), self.world.n_states, "state")[0])

    def quantities(self) -> dict[str, Array]:
        """The agent's (row, column) in cells, and the number of the background if there is one."""
        return {name: values[0] for name, values in self._quantities(np.array([self._state])).items()}

    @classmethod
    def _quantities(cls, ids: NDArray[np.int64]) -> dict[str, Array]:
        n_values = cls.n_values()
        found = {"agent_position": state_places(cls.task)[0][ids // n_values]}
        return found if n_values == 1 else found | {"background": (ids % n_values)[:, None].astype(np.float64)}

    def goal_distance(self, state: Array, goal: Array) -> float:
        """Steps from the state's place to the goal's along the likeliest outcomes; 0 in the same place.

        Parameters
        ----------
        state, goal : arrays (1,)

        Returns
        -------
        float
            The number of places where there is no way.
        """
        here, there = (int(np.asarray(one).ravel()[0]) // self.n_values() for one in (state, goal))
        return float(self._tables.distance[here, there])

    def plan_distances(
        self, starts: Float[np.ndarray, "E n"], goals: Float[np.ndarray, "E n"], actions: Float[np.ndarray, "E S T A"]
    ) -> Float[np.ndarray, "E S"]:
        """Expected distance to the goal after each plan, exactly: the law of the place is carried along.

        Parameters
        ----------
        starts, goals : arrays (E, 1)
        actions : array (E, S, T, A)
            Raw actions.

        Returns
        -------
        array (E, S)

        Notes
        -----
        O(E S T n^2) for n places.
        """
        task, n_values = self.task.dense(), self.n_values()
        chosen = np.asarray(actions).argmax(axis=-1)
        here, there = (np.asarray(ids)[:, 0].astype(np.int64) // n_values for ids in (starts, goals))
        law = np.broadcast_to(np.eye(task.shape[1])[here][:, None], (*chosen.shape[:2], task.shape[1])).copy()
        for t in range(chosen.shape[2]):
            for action, rows in enumerate(task):
                taken = chosen[:, :, t] == action
                law[taken] = law[taken] @ rows
        return np.einsum("esx,ex->es", law, self._tables.distance.T[there])

    def recolor(self) -> None:
        """Paint the agent blue."""
        self._color = BLUE

    def teleport(self, rng: np.random.Generator) -> None:
        """Go to a uniform other place that no single likeliest step leads to, if there is one; the background stays."""
        n_values, distance = self.n_values(), self._tables.distance
        here = self._state // n_values
        far = np.flatnonzero(distance[here] > 1)
        others = far if far.size else np.flatnonzero(np.arange(len(distance)) != here)
        if others.size:
            self._state = int(rng.choice(others)) * n_values + self._state % n_values

    def _one_hot(self, action: int) -> NDArray[np.float32]:
        return np.eye(self.action_dim, dtype=np.float32)[action]


def long_run_weight(mdp: TabularMDP) -> Array:
    """The law of the states after many uniformly random actions from ``mdp.weight``, averaged over time.

    Parameters
    ----------
    mdp : TabularMDP

    Returns
    -------
    array (S,)
        ``mdp.weight`` itself where random actions leave it as it is.

    Notes
    -----
    O(S^3).

    Examples
    --------
    Action 1 leads from either state to the second, action 0 nowhere.

    >>> long_run_weight(TabularMDP([np.eye(2), [[0.0, 1.0], [0.0, 1.0]]])).round(12)
    array([0., 1.])
    """
    step = mdp.dense().mean(axis=0)
    if np.abs(mdp.weight @ step - mdp.weight).max() < STATIONARY:
        return mdp.weight
    # Waiting now and then changes no stationary law, and a chain that waits has no period.
    power = (step + np.eye(len(step))) / 2
    for _ in range(DOUBLINGS):
        power = power @ power
        power /= power.sum(axis=1, keepdims=True)
    law = mdp.weight @ power
    return law / law.sum()


def pictures_of(environment: type[RenderedMDP], image_size: int, agent: tuple[int, int, int] = RED) -> NDArray[np.uint8]:
    """Pictures of all states of a drawn world, made once.

    Parameters
    ----------
    environment : type
        A subclass of :class:`RenderedMDP`.
    image_size : int
    agent : three whole numbers
        Its colour.

    Returns
    -------
    uint8 array (n_states, image_size, image_size, 3)
        Read it, do not write to it.

    Notes
    -----
    O(n_states image_size^2), kept for the life of the process.

    Examples
    --------
    >>> from spectral_jepa.pixels.environments import environment_class
    >>> pictures_of(environment_class("mdp_torus"), 32).shape
    (25, 32, 32, 3)
    """
    key: Any = environment  # mypy takes no class for hashable
    return _pictures(key, image_size, agent)


@cache
def _pictures(environment: Any, image_size: int, agent: tuple[int, int, int]) -> NDArray[np.uint8]:
    return draw_world(environment.task, image_size, environment.nuisance, agent=agent)


class _Tables:
    """What playing reads: cumulative laws, likeliest next places (A, places) and steps between places."""

    def __init__(self, environment: type[RenderedMDP]) -> None:
        task = environment.task.dense()
        self.start = np.cumsum(environment.world.weight)
        self.steps = np.cumsum(environment.world.dense(), axis=2)
        self.likeliest = task.argmax(axis=2)
        n_places = task.shape[1]
        leads = np.zeros((n_places, n_places))
        leads[np.arange(n_places), self.likeliest] = 1
        found = shortest_path(leads, unweighted=True)
        self.distance = np.where(np.isfinite(found), found, n_places)


def _tables(environment: type[RenderedMDP]) -> _Tables:
    key: Any = environment  # as above
    return _made_tables(key)


_made_tables = cache(_Tables)


def _draw(cumulative: Array, chance: Any) -> NDArray[np.int64]:
    """States (...) whose share of [0, 1) holds the numbers (...), from cumulative laws (..., n)."""
    # Rounding may leave the last sum a little below 1.
    return np.minimum((cumulative <= np.asarray(chance)[..., None]).sum(axis=-1), cumulative.shape[-1] - 1)
