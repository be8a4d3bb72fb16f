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
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._late import sparse as sp
from spectral_jepa._notebook import (
    Picture,
    find_map,
    map_svg,
    matrices_html,
    matrix_html,
    read_path,
    read_values,
    steps_words,
    table_html,
)
from spectral_jepa._validation import (
    ROW_SUM_TOLERANCE,
    Array,
    InputError,
    as_array,
    as_distribution,
    as_float,
    as_labels,
    check_finite,
    check_fraction,
    check_transition_rows,
    check_type,
    needs_package,
    read_only,
    require_memory,
    warn_user,
)

Transition = Array | tuple[Any, ...]  # csr_arrays
# Tables printed with a few digits have rows that sum to 1 as nearly as this.
NEAR_ONE = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class TabularMDP:
    """A finite MDP with the law its data come from.

    Parameters
    ----------
    transition : array (A, S, S), or a sequence of A scipy sparse matrices (S, S)
        ``transition[a][x, y]`` is P(y | x, a). Sparse input stays sparse (CSR). One matrix (S, S) is a chain: one action.
        Rows that sum to 1 within 1e-6 but not 1e-8 are divided by their sums, with a warning.
    weight : array (S,), optional
        Data law w(x) of the anchor state, the same for every action. Default: uniform.
    reward : array (S, A), (S,) or (S, A, S), optional
        Reward of taking action a in state x; a vector means a reward of the state alone, and a reward of the next state as
        well is averaged over it. May be sparse (S, A), or a sequence of A sparse matrices (S, S).
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
        transition = _normalize(transition, self.name)
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
            reward = _read_reward(reward, transition)
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

    def _repr_html_(self) -> str:
        return self.picture().html

    def picture(self, *, values: ArrayLike | None = None, path: ArrayLike | None = None) -> Picture:
        """Draw the world for a notebook: a grid world as its map with walls, any other as its transition matrices.

        Parameters
        ----------
        values : array (S,), optional
            A number of each state, such as a value or a singular function: the colour of its cell, dark is low.
        path : integer array (steps,), optional
            States in order, such as a walk: a line on the map, a list of states elsewhere.

        Returns
        -------
        Picture
            HTML without script, which a notebook shows; ``.html`` is its text. Cells with the largest reward are ringed (of
            a constant reward none), those an episode starts in dotted where it does not start like the data.

        Raises
        ------
        InputError
            Values that are not one number a state, a path that is empty or leaves the states.

        Notes
        -----
        A world has a map if its ``state_labels`` are (row, column) and no action leads further than to the next cell.
        O(A S^2), or O(non-zeros). :func:`spectral_jepa.plotting.plot_world` draws the same on an axis of matplotlib.

        Examples
        --------
        >>> from spectral_jepa import make_grid
        >>> picture = make_grid("S.#G").picture(path=[0, 1])
        >>> picture.html.count('class="cell"'), picture.html.count('class="goal"'), picture.html.count('class="path"')
        (3, 1, 1)
        >>> "<img" in TabularMDP([[[0.9, 0.1], [0.2, 0.8]]]).picture().html
        True
        """
        numbers, walk = read_values(values, self.n_states), read_path(path, self.n_states)
        place = find_map(self.state_labels, self.transition)
        goals, starts = self.goal_states, self.start_states
        if place is not None:
            assert self.state_labels is not None
            drawn = map_svg(place, self.name, self.state_labels, goals=goals, starts=starts, values=numbers, path=walk)
            return Picture(f"<div>{drawn}</div>", f"{self.name}, a map")
        names = [f"action {a}" for a in range(self.n_actions)] if self.action_labels is None else self.action_labels
        facts: dict[str, Any] = {"states": self.n_states, "actions": self.n_actions, "discount": self.discount}
        if self.reward is not None:
            facts["reward"] = f"{self.reward.min():.4g} to {self.reward.max():.4g}"
        if walk is not None:
            facts["path"] = steps_words(walk, self.state_labels)
        parts = [table_html(self.name, facts)]
        if numbers is not None:
            parts.append(matrix_html(numbers[None, :], "values of the states", width=300))
        parts.append(matrices_html("P(next state | state), one row a state", list(self.transition), names))
        return Picture(f"<div>{''.join(parts)}</div>", f"{self.name}, transition matrices")

    @property
    def goal_states(self) -> NDArray[np.bool_]:
        """Where the best action earns the largest reward there is, shape (S,); nowhere if all are alike or none is given."""
        best = np.zeros(self.n_states) if self.reward is None else self.reward.max(axis=1)
        return (best == best.max()) & (best.max() > best.min())

    @property
    def start_states(self) -> NDArray[np.bool_]:
        """Where an episode can start, shape (S,); nowhere if it starts like the data."""
        return (self.start > 0) & (not np.array_equal(self.start, self.weight))

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
                copies=2,
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
    def from_gymnasium(
        cls, env: Any, *, weight: ArrayLike | None = None, discount: float | None = 0.99, sparse: bool = False
    ) -> TabularMDP:
        """Read a Gymnasium toy-text environment (FrozenLake, Taxi, CliffWalking, ...) as an exact MDP.

        See :func:`spectral_jepa.gymnasium_bridge.mdp_from_gymnasium`, which this calls.

        Parameters
        ----------
        env : gymnasium.Env or str
        weight : array (S,), optional
            Data law w(x). Default: uniform.
        discount : float in [0, 1], optional
        sparse : bool
            Hold CSR matrices instead of one dense array.

        Returns
        -------
        TabularMDP

        Examples
        --------
        >>> TabularMDP.from_gymnasium("FrozenLake-v1", sparse=True)
        TabularMDP('FrozenLake-v1', 16 states, 4 actions, sparse)
        """
        # By name, when it is asked for: a world stands below what reads one from a simulator.
        with needs_package("reading a world from Gymnasium"):
            bridge = import_module("spectral_jepa.gymnasium_bridge")
        return bridge.mdp_from_gymnasium(env, weight=weight, discount=discount, sparse=sparse)


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
        return _read_transition([value])
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and any(sp.issparse(m) for m in value):
        raise InputError("transition mixes dense with sparse matrices, expected one kind for all actions: convert some")
    try:
        array = as_array("transition", value).astype(np.float64, copy=False)
    except InputError as error:
        fault = str(error).partition(", expected")[0]
        raise InputError(
            f"{fault}, expected one square matrix (S, S) of real numbers for each action: give all of them the same states"
        ) from None
    if array.ndim == 2 and array.shape[0] == array.shape[1]:
        array = array[None]
    if array.ndim != 3 or array.shape[1] != array.shape[2] or 0 in array.shape:
        raise InputError(
            f"transition has shape {array.shape}, expected (actions, states, states): put the action axis first"
        )
    return read_only(array)


def _normalize(transition: Transition, name: str) -> Transition:
    """Rows whose sums are off by more than rounding but at most 1e-6, as tables of a few digits have, divided by them."""
    sums = [np.asarray(rows.sum(axis=1)).ravel() for rows in transition]
    off = [(np.abs(total - 1) > ROW_SUM_TOLERANCE) & (np.abs(total - 1) <= NEAR_ONE) for total in sums]
    n_off = sum(int(part.sum()) for part in off)
    if not n_off:
        return transition
    scales = [np.where(part, 1 / np.where(part, total, 1.0), 1.0) for part, total in zip(off, sums, strict=True)]
    worst = max(float(np.abs(total - 1)[part].max()) for part, total in zip(off, sums, strict=True) if part.any())
    warn_user(
        f"{n_off} rows of the transition of {name} sum to 1 only within {worst:.1e}: each is divided by its sum", UserWarning
    )
    if isinstance(transition, tuple):
        return tuple(sp.csr_array(sp.diags_array(scale) @ rows) for scale, rows in zip(scales, transition, strict=True))
    return read_only(np.stack(scales)[:, :, None] * transition)


def _read_reward(value: Any, transition: Transition) -> Array:
    """Bring every accepted form of a reward to two axes: expected over the next state, the same for all actions."""
    n_actions, n_states = len(transition), transition[0].shape[0]
    if sp.issparse(value):
        as_array("reward", value.data)
        value = value.toarray()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and any(sp.issparse(part) for part in value):
        if not all(sp.issparse(part) for part in value):
            raise InputError("reward mixes dense with sparse matrices, expected one kind for all actions: convert some")
        shapes = {getattr(part, "shape", None) for part in value}
        if len(value) != n_actions or shapes != {(n_states, n_states)}:
            raise InputError(
                f"reward is a list of {len(value)} matrices of shapes {sorted(map(str, shapes))}, expected {n_actions} "
                f"sparse ones of shape ({n_states}, {n_states}), one for each action: check its order"
            )
        for action, part in enumerate(value):
            check_finite(
                f"reward of action {action}, entry ", as_array(f"reward of action {action}", sp.csr_array(part).data)
            )
        expected = [sp.csr_array(part).multiply(rows).sum(axis=1) for part, rows in zip(value, transition, strict=True)]
        return np.stack([np.asarray(part).ravel() for part in expected], axis=1)
    reward = as_array("reward", value).astype(np.float64, copy=False)
    if reward.ndim == 1:
        return np.repeat(reward[:, None], n_actions, axis=1)
    if reward.ndim == 3 and reward.shape == (n_states, n_actions, n_states):
        # An infinite reward of a step that cannot happen would make 0 * inf: as_float names it.
        if not np.isfinite(reward).all():
            return as_float("reward", reward, reward.shape)
        parts = [
            np.asarray((rows.multiply(reward[:, a]) if sp.issparse(rows) else rows * reward[:, a]).sum(axis=1)).ravel()
            for a, rows in enumerate(transition)
        ]
        return np.stack(parts, axis=1)
    return reward
