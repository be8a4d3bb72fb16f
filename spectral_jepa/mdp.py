"""Finite Markov decision processes: the world whose co-occurrence a JEPA factorises.

Notation (paper -> code): X -> states, A -> actions, P(x+|x,a) -> ``transition[a, x, x+]``, w(x) -> ``weight``,
p(a) -> ``action_frequency``, w+(y|a) = sum_x w(x) P(y|x,a) -> ``next_weight[a, y]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from spectral_jepa._validation import (
    Array,
    InputError,
    as_array,
    as_distribution,
    as_float,
    as_labels,
    check_fraction,
    check_transition_rows,
    check_type,
    read_only,
    require_memory,
)

Transition = Array | tuple[sp.csr_array, ...]


@dataclass(frozen=True, eq=False, repr=False)
class TabularMDP:
    """A finite MDP with the law its data come from.

    Parameters
    ----------
    transition : array (A, S, S), or a sequence of A scipy sparse matrices (S, S)
        ``transition[a][x, y]`` is P(y | x, a). Sparse input stays sparse (CSR).
    weight : array (S,), optional
        Data law w(x) of the anchor state, the same for every action. Default: uniform.
    reward : array (S, A) or (S,), optional
        Reward of taking action a in state x; a vector means a reward of the state alone.
    discount : float in [0, 1], optional
        Discount factor of the reward task.
    start : array (S,), optional
        Law of the state an episode starts in. Default: ``weight``.
    action_frequency : array (A,), optional
        p(a), used by the pooled (stacked) form. Default: uniform.
    name : str
        Shown in tables and figures.
    state_labels, action_labels : sequences, optional
        What the ids stand for.

    Raises
    ------
    InputError
        Rows that do not sum to 1 (names the row and its sum), negative or NaN entries, shapes that do not match.

    Notes
    -----
    Checking costs O(A S^2) dense, O(non-zeros) sparse. Arrays are read-only.

    Examples
    --------
    >>> mdp = TabularMDP([[[0.9, 0.1], [0.2, 0.8]]])
    >>> mdp
    TabularMDP('mdp', 2 states, 1 actions, dense)
    >>> mdp.next_weight.round(3)
    array([[0.55, 0.45]])
    """

    transition: Transition
    weight: Array = None  # type: ignore[assignment]
    reward: Array | None = None
    discount: float | None = None
    start: Array = None  # type: ignore[assignment]
    action_frequency: Array = None  # type: ignore[assignment]
    name: str = "mdp"
    state_labels: tuple[Any, ...] | None = None
    action_labels: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        transition = _read_transition(self.transition)
        n_actions, n_states = len(transition), transition[0].shape[0]
        for action, rows in enumerate(transition):
            check_transition_rows(rows, action)
        uniform = np.full(n_states, 1 / n_states)
        weight = uniform if self.weight is None else as_distribution("weight", self.weight, n_states)
        start = weight if self.start is None else as_distribution("start", self.start, n_states)
        frequency = (
            np.full(n_actions, 1 / n_actions)
            if self.action_frequency is None
            else as_distribution("action_frequency", self.action_frequency, n_actions)
        )
        reward = self.reward
        if reward is not None:
            reward = as_array("reward", reward)
            if reward.ndim == 1:
                reward = np.repeat(reward[:, None], n_actions, axis=1)
            reward = read_only(as_float("reward", reward, (n_states, n_actions)))
        discount = None if self.discount is None else check_fraction("discount", self.discount)
        values = dict(
            transition=transition,
            weight=read_only(weight),
            reward=reward,
            discount=discount,
            start=read_only(start),
            action_frequency=read_only(frequency),
            name=check_type("name", self.name, str, "text"),
            state_labels=as_labels("state_labels", self.state_labels, n_states),
            action_labels=as_labels("action_labels", self.action_labels, n_actions),
        )
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def __repr__(self) -> str:
        kind = "sparse" if self.is_sparse else "dense"
        return f"TabularMDP({self.name!r}, {self.n_states} states, {self.n_actions} actions, {kind})"

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return int(self.transition[0].shape[0])

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return len(self.transition)

    @property
    def is_sparse(self) -> bool:
        """Whether the transitions are held as scipy CSR matrices."""
        return isinstance(self.transition, tuple)

    @cached_property
    def next_weight(self) -> Array:
        """w+(y|a) = sum_x w(x) P(y|x,a), shape (A, S)."""
        return np.stack([rows.T @ self.weight for rows in self.transition])

    @property
    def pooled_weight(self) -> Array:
        """rho(x, a) = p(a) w(x), shape (A, S), sums to 1."""
        return self.action_frequency[:, None] * self.weight[None, :]

    @cached_property
    def is_deterministic(self) -> bool:
        """Whether every P(y|x,a) is 0 or 1."""
        data = (rows.data if sp.issparse(rows) else rows for rows in self.transition)
        return all(bool(np.all((np.abs(d) < 1e-12) | (np.abs(d - 1) < 1e-12))) for d in data)

    def dense(self) -> Array:
        """The transition as one array (A, S, S).

        Raises
        ------
        InputError
            If a sparse MDP is too large to be held densely in the memory that is free.
        """
        if isinstance(self.transition, tuple):
            require_memory(
                (self.n_actions, self.n_states, self.n_states),
                "the transition",
                "keep it sparse: CoOccurrence, singular values and spectral_embedding take scipy.sparse as it is",
            )
            return np.stack([rows.toarray() for rows in self.transition])
        return self.transition

    def as_sparse(self) -> TabularMDP:
        """The same MDP with CSR transitions."""
        return replace(self, transition=tuple(sp.csr_array(rows) for rows in self.transition))

    def with_unit_reward(self) -> TabularMDP:
        """The same MDP with its reward mapped affinely onto [0, 1].

        In a task with a fixed horizon or a discount this changes no ranking of policies; the reward bounds ask for it.

        Raises
        ------
        InputError
            If the MDP has no reward.

        Examples
        --------
        >>> mdp = TabularMDP([np.eye(2)], reward=[[-3.0], [1.0]])
        >>> mdp.with_unit_reward().reward.ravel()
        array([0., 1.])
        """
        if self.reward is None:
            raise InputError(f"{self.name} has no reward, expected an array (S, A): pass reward= when building it")
        low, high = float(self.reward.min()), float(self.reward.max())
        scaled = np.zeros_like(self.reward) if high == low else (self.reward - low) / (high - low)
        return replace(self, reward=scaled)

    @classmethod
    def from_gymnasium(cls, env: Any, *, weight: ArrayLike | None = None, discount: float | None = 0.99) -> TabularMDP:
        """Read a Gymnasium toy-text environment (FrozenLake, Taxi, CliffWalking, ...) as an exact MDP.

        See :func:`spectral_jepa.gymnasium_bridge.mdp_from_gymnasium`, which this calls.
        """
        # By name, when it is asked for: a world stands below what reads one from a simulator.
        bridge = import_module("spectral_jepa.gymnasium_bridge")
        return bridge.mdp_from_gymnasium(env, weight=weight, discount=discount)


def _read_transition(value: Any) -> Transition:
    """Bring every accepted form of a transition to (A, S, S) float64 or a tuple of CSR matrices."""
    if not isinstance(value, np.ndarray) and isinstance(value, Sequence) and len(value) and sp.issparse(value[0]):
        if not all(sp.issparse(m) for m in value):
            raise InputError("transition mixes dense with sparse matrices, expected one kind for all actions: convert some")
        for action, m in enumerate(value):
            as_array(f"transition of action {action}", m.data)
        matrices = tuple(sp.csr_array(m, dtype=np.float64, copy=True) for m in value)
        shapes = {m.shape for m in matrices}
        if len(shapes) != 1 or len(set(matrices[0].shape)) != 1:
            raise InputError(
                f"transition holds sparse matrices of shapes {sorted(shapes)}, expected one square shape (S, S)"
            )
        return matrices
    if sp.issparse(value):
        raise InputError(
            "transition is a single sparse matrix, expected one for each action: pass [matrix_of_action_0, ...]"
        )
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and any(sp.issparse(m) for m in value):
        raise InputError("transition mixes dense with sparse matrices, expected one kind for all actions: convert some")
    try:
        array = as_array("transition", value).astype(np.float64, copy=False)
    except InputError as error:
        fault = str(error).partition(", expected")[0]
        raise InputError(
            f"{fault}, expected one square matrix (S, S) of real numbers for each action: give all of them the same states"
        ) from None
    if array.ndim != 3 or array.shape[1] != array.shape[2] or 0 in array.shape:
        raise InputError(
            f"transition has shape {array.shape}, expected (actions, states, states): put the action axis first"
        )
    return read_only(array)
