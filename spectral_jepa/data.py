"""Transitions (x, a, x+): the only thing a learner ever sees of a world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._late import sparse as sp
from spectral_jepa._notebook import MAX_ROWS, frame_html
from spectral_jepa._signatures import checked
from spectral_jepa._validation import (
    Array,
    InputError,
    as_array,
    as_float,
    as_labels,
    as_number,
    check_count,
    check_indices,
    check_seed,
    check_whole,
    read_only,
    require_memory,
)
from spectral_jepa.mdp import TabularMDP

if TYPE_CHECKING:
    import pandas as pd

Ids = NDArray[np.int64]
# Pairs of state and action are numbered in 64 bits.
LARGEST_KEY = 2**62


@dataclass(frozen=True, eq=False, repr=False)
class Transitions:
    """N observed transitions with integer ids.

    Parameters
    ----------
    state, action, next_state : integer arrays (N,)
        Row i says that action[i] in state[i] led to next_state[i].
    n_states, n_actions : int, optional
        Sizes of the spaces. Default: one more than the largest id seen.
    reward : float array (N,), optional
        Reward received in each transition.
    state_labels, action_labels : tuples, optional
        What the ids stand for (see :func:`spectral_jepa.logs.read_log`).

    Raises
    ------
    InputError
        An empty log, arrays of different lengths, an id out of range, ids too large to be numbers of states.

    Examples
    --------
    >>> data = Transitions([0, 1, 1], [0, 0, 0], [1, 0, 1])
    >>> len(data), data.n_states, data.n_actions
    (3, 2, 1)
    >>> data.counts()
    array([[[0, 1],
            [1, 1]]])
    """

    state: Ids
    action: Ids
    next_state: Ids
    n_states: int = 0
    n_actions: int = 0
    reward: Array | None = None
    state_labels: tuple[Any, ...] | None = None
    action_labels: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        columns = {
            name: np.atleast_1d(as_array(name, getattr(self, name), "biufUSOcmM"))
            for name in ("state", "action", "next_state")
        }
        for name, column in columns.items():
            if column.ndim != 1:
                raise InputError(f"{name} has shape {column.shape}, expected (N,): give one id for each transition")
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) != 1:
            raise InputError(
                f"the columns of the log have lengths {lengths}, expected one length: a row is (state, action, next_state)"
            )
        if not lengths["state"]:
            raise InputError(
                "the log of transitions is empty, expected at least one row: check the file or the filter before it"
            )
        for count, names in (("n_states", ("state", "next_state")), ("n_actions", ("action",))):
            if check_whole(count, getattr(self, count)):
                check_count(count, getattr(self, count))
            else:
                ids = [columns[name] for name in names if np.issubdtype(columns[name].dtype, np.integer)]
                object.__setattr__(self, count, max([0, *(int(column.max()) for column in ids)]) + 1)
        if self.n_states * self.n_actions >= LARGEST_KEY:
            raise InputError(
                f"the log has ids up to {self.n_states - 1} for states and {self.n_actions - 1} for actions, expected "
                "numbers from 0 on: they look like hashes, so number them first (np.unique with return_inverse, or read_log)"
            )
        for name, column in columns.items():
            size, what = (self.n_actions, "action") if name == "action" else (self.n_states, "state")
            object.__setattr__(self, name, read_only(check_indices(name, column, size, what)))
        for name, size in (("state_labels", self.n_states), ("action_labels", self.n_actions)):
            object.__setattr__(self, name, as_labels(name, getattr(self, name), size))
        if self.reward is not None:
            object.__setattr__(self, "reward", read_only(as_float("reward", self.reward, (len(self),))))

    def __repr__(self) -> str:
        return f"Transitions({len(self)} rows, {self.n_states} states, {self.n_actions} actions)"

    def _repr_html_(self) -> str:
        return frame_html(f"{self!r}: the first rows", self._columns(slice(MAX_ROWS)))

    def to_frame(self) -> pd.DataFrame:
        """The transitions as a table, one row each: state, action, next_state and, if there is one, reward.

        Returns
        -------
        DataFrame
            With the labels where there are some, ids elsewhere; :func:`spectral_jepa.read_log` reads it back.

        Examples
        --------
        >>> Transitions([0, 1], [0, 0], [1, 1], state_labels=("hall", "kitchen")).to_frame()
             state  action next_state
        0     hall       0    kitchen
        1  kitchen       0    kitchen
        """
        import pandas as pd

        return pd.DataFrame(self._columns(slice(None)))

    def _columns(self, rows: slice) -> dict[str, Any]:
        spaces = {"state": self.state_labels, "action": self.action_labels, "next_state": self.state_labels}
        columns: dict[str, Any] = {}
        for name, labels in spaces.items():
            ids = getattr(self, name)[rows]
            columns[name] = ids if labels is None else [labels[i] for i in ids]
        return columns | ({} if self.reward is None else {"reward": self.reward[rows]})

    def __len__(self) -> int:
        return len(self.state)

    @property
    def actions_seen(self) -> Ids:
        """Number of transitions of each action, shape (A,)."""
        return np.bincount(self.action, minlength=self.n_actions)

    def counts(self) -> NDArray[np.int64]:
        """Transition counts, shape (A, S, S): counts[a, x, y], or one sentence where they would not fit. O(N + A S^2)."""
        shape = (self.n_actions, self.n_states, self.n_states)
        require_memory(
            shape,
            "the transition counts",
            "use sparse_counts(), or CoOccurrence.from_transitions(..., sparse=True), or number the states that occur",
        )
        flat = np.ravel_multi_index((self.action, self.state, self.next_state), shape)
        return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)

    def sparse_counts(self) -> tuple[sp.csr_array, ...]:
        """Transition counts, one CSR matrix (S, S) an action. O(N log N)."""
        shape = (self.n_actions * self.n_states, self.n_states)
        require_memory(
            (self.n_actions * self.n_states,),
            "the row starts of the sparse counts",
            "number the states that occur",
            copies=3,
        )
        rows = self.action * self.n_states + self.state
        stacked = sp.coo_array((np.ones(len(self)), (rows, self.next_state)), shape=shape).tocsr()
        stacked.sum_duplicates()
        n = self.n_states
        return tuple(sp.csr_array(stacked[a * n : (a + 1) * n]) for a in range(self.n_actions))

    def select(self, rows: NDArray[Any]) -> Transitions:
        """The transitions at the given positions (ids or mask), spaces and labels unchanged.

        Examples
        --------
        >>> len(Transitions([0, 1, 1], [0, 0, 0], [1, 0, 1]).select(np.array([0, 2])))
        2
        """
        return Transitions(
            self.state[rows],
            self.action[rows],
            self.next_state[rows],
            self.n_states,
            self.n_actions,
            None if self.reward is None else self.reward[rows],
            self.state_labels,
            self.action_labels,
        )

    def split(self, test_fraction: float, seed: int | np.random.Generator) -> tuple[Transitions, Transitions]:
        """Split at random into two disjoint parts (train, test).

        Parameters
        ----------
        test_fraction : float in (0, 1)
            Share of the transitions that goes to the test part, rounded to a whole number of them.
        seed : int or numpy Generator

        Returns
        -------
        train, test : Transitions
            Each in the order of the log, spaces and labels unchanged.

        Raises
        ------
        InputError
            If one part would be empty.

        Notes
        -----
        O(N log N). Rows are drawn one by one: both parts hold pieces of the same trajectories.

        Examples
        --------
        >>> train, test = Transitions([0] * 10, [0] * 10, [0] * 10).split(0.3, seed=0)
        >>> len(train), len(test)
        (7, 3)
        """
        n_test = round(len(self) * min(max(as_number("test_fraction", test_fraction), -1.0), 2.0))
        if not 0 < n_test < len(self):
            raise InputError(
                f"test_fraction is {test_fraction:.3g} of {len(self)} transitions, which leaves one side empty: "
                "choose a fraction that puts at least one transition on each side"
            )
        order = np.random.default_rng(check_seed("seed", seed, generator=True)).permutation(len(self))
        return self.select(np.sort(order[n_test:])), self.select(np.sort(order[:n_test]))


@checked()
def sample_transitions(
    mdp: TabularMDP,
    n_per_action: int | None = None,
    *,
    n_transitions: int | None = None,
    seed: int | np.random.Generator,
) -> Transitions:
    """Draw i.i.d. transitions x ~ w, x+ ~ P(.|x, a) from an MDP.

    Parameters
    ----------
    mdp : TabularMDP
    n_per_action : int
        Draw exactly this many for each action (the paper's sampling, one action at a time), or
    n_transitions : int
        draw this many in all, with a ~ p(a) independently each time (the pooled form).
    seed : int or numpy Generator

    Returns
    -------
    Transitions
        With rewards where the MDP has them.

    Raises
    ------
    InputError
        Both numbers or neither, or one that is not a whole number above 0.

    Notes
    -----
    O(N (A + log S) + A S^2), the last term O(non-zeros) when sparse.

    Examples
    --------
    >>> mdp = TabularMDP([[[0.0, 1.0], [1.0, 0.0]]])
    >>> data = sample_transitions(mdp, 100, seed=0)
    >>> bool((data.next_state == 1 - data.state).all())
    True
    """
    if (n_per_action is None) == (n_transitions is None):
        raise InputError(
            "sample_transitions got both or neither of n_per_action and n_transitions: pass exactly one of them"
        )
    rng = np.random.default_rng(seed)
    for name, count, times in (("n_per_action", n_per_action, mdp.n_actions), ("n_transitions", n_transitions, 1)):
        if count is not None:
            require_memory((check_count(name, count) * times,), "a sample of transitions", f"lower {name}", copies=6)
    if n_per_action is not None:
        action = np.repeat(np.arange(mdp.n_actions), n_per_action)
    else:
        action = rng.choice(mdp.n_actions, size=n_transitions, p=mdp.action_frequency)
    state = rng.choice(mdp.n_states, size=action.size, p=mdp.weight)
    uniform = rng.random(action.size)
    next_state = np.empty_like(state)
    for a, rows in enumerate(mdp.transition):
        chosen = action == a
        next_state[chosen] = _draw_successors(sp.csr_array(rows), state[chosen], uniform[chosen])
    reward = None if mdp.reward is None else mdp.reward[state, action]
    return Transitions(state, action, next_state, mdp.n_states, mdp.n_actions, reward, mdp.state_labels, mdp.action_labels)


def _draw_successors(rows: sp.csr_array, state: Ids, uniform: Array) -> Ids:
    """Invert the cumulative law of each row at once: row x occupies the interval (x, x + 1] of one sorted array."""
    cumulative = np.cumsum(rows.data)
    first = rows.indptr[:-1]
    before = np.concatenate([[0.0], cumulative])[first]
    length = np.diff(rows.indptr)
    within = cumulative - np.repeat(before, length)
    total = within[rows.indptr[1:] - 1]
    scaled = within / np.repeat(total, length) + np.repeat(np.arange(rows.shape[0]), length)
    position = np.searchsorted(scaled, state + uniform, side="right")
    # Rounding in state + uniform may step past the last entry of a row by one.
    return rows.indices[np.minimum(position, rows.indptr[state + 1] - 1)].astype(np.int64)
