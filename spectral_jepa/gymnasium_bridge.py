"""Toy-text Gymnasium environments (FrozenLake, Taxi, CliffWalking) as exact tabular MDPs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.error import DeprecatedEnv, VersionNotFound
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._late import sparse as sp
from spectral_jepa._validation import Array, InputError, as_distribution, require_memory, warn_user
from spectral_jepa.mdp import TabularMDP

# What environments call the law of their first state, now and before.
STARTS = ("initial_state_distrib", "isd")


class _Outcomes(NamedTuple):
    """The table P flattened: one entry an outcome of a (state, action) pair."""

    state: NDArray[np.int64]
    action: NDArray[np.int64]
    next_state: NDArray[np.int64]
    probability: Array
    reward: Array
    terminated: NDArray[np.bool_]


def mdp_from_gymnasium(
    env_or_id: Any,
    *,
    weight: ArrayLike | None = None,
    discount: float | None = 0.99,
    sparse: bool = False,
) -> TabularMDP:
    """Read the transition table ``env.unwrapped.P``, or the matrices ``env.unwrapped.dynamics``, of a Gymnasium environment.

    Episodes end, chains do not: a state entered by a terminating transition keeps its id and becomes absorbing with
    reward 0, so that values equal the returns of the episodic task. Rows that the table gives such a state are dropped,
    because no episode continues from it. Where an episode could also enter that state *without* ending, no single row is
    right for both; this is refused when it can happen from the start law, and ignored among states no episode reaches
    (Taxi has such a pair: its passenger-at-destination states).

    Parameters
    ----------
    env_or_id : gymnasium.Env or str
        An environment, or an id such as "FrozenLake-v1". An environment made from an id is closed again; yours is left
        open. When Gymnasium no longer (or not yet) has that version, the newest one it has is used, with a warning.
        Wrappers, time limits included, are ignored: the table describes the unwrapped environment.
    weight : array (S,), optional
        Data law w(x). Default: uniform over all states, the unreachable included.
    discount : float in [0, 1], optional
        Discount factor.
    sparse : bool
        Build CSR matrices instead of one dense array.

    Returns
    -------
    TabularMDP
        ``reward[s, a]`` is the expected reward; ``start`` is ``initial_state_distrib``, or ``isd`` as it was once called,
        where the environment has one. An action that a state does not offer is the mean of those it offers, with a warning:
        no plan gains from it.

    Raises
    ------
    InputError
        No such environment, no table ``P``, a malformed table (a next state that is no whole number, say), a state with two
        roles (see above), or a table that does not describe ``step`` (Taxi with a fickle passenger).

    Notes
    -----
    One pass over the table, O(outcomes), then O(A S^2) for a dense result. ``dynamics`` is a dict as in ICU-Sepsis:
    ``tx_mat`` (S, A, S), ``r_mat`` of the same shape or (S, A), and ``d_0`` (S,); its ends are absorbing as it has them.

    Examples
    --------
    >>> mdp = mdp_from_gymnasium("FrozenLake-v1")
    >>> mdp.n_states, mdp.n_actions
    (16, 4)
    >>> mdp.transition[2, 0, [0, 1, 4]].round(3)  # right from the start: slips up (bounces), right or down
    array([0.333, 0.333, 0.333])
    """
    if not isinstance(env_or_id, str):
        return _read(env_or_id, weight, discount, sparse)
    env = _make(env_or_id)
    try:
        return _read(env, weight, discount, sparse)
    finally:
        env.close()


def _make(env_id: str) -> gymnasium.Env[Any, Any]:
    """Make the environment, in its newest version when the one asked for is not there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                return gymnasium.make(env_id)
            except (DeprecatedEnv, VersionNotFound):
                env = gymnasium.make(env_id.rpartition("-v")[0])
    except Exception as error:  # ids may name modules, so that anything can go wrong in an import
        reason = str(error).splitlines()[0].split(". ")[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(
            f"env_or_id is {env_id!r}, expected the id of an environment that Gymnasium can make ({reason}): "
            "check its spelling, or make the environment yourself and pass it"
        ) from error
    used = env.spec.id if env.spec is not None else "another version"
    warn_user(f"this Gymnasium has no {env_id}, {used} is used instead", UserWarning)
    return env


def _read(env: Any, weight: ArrayLike | None, discount: float | None, sparse: bool) -> TabularMDP:
    """Build the MDP from an open environment."""
    unwrapped = getattr(env, "unwrapped", env)
    spec = getattr(env, "spec", None)
    name = spec.id if spec is not None else type(unwrapped).__name__
    table = getattr(unwrapped, "P", None)
    dynamics = getattr(unwrapped, "dynamics", None)
    if table is None and isinstance(dynamics, Mapping) and "tx_mat" in dynamics:
        return _read_matrices(dynamics, name, weight, discount, sparse)
    if not isinstance(table, (Mapping, Sequence)) or not len(table):
        raise InputError(
            f"{name} has no transition table P, expected a tabular environment such as FrozenLake-v1, Taxi-v4 or "
            "CliffWalking-v1: give TabularMDP the transition yourself"
        )
    if getattr(unwrapped, "fickle_passenger", False):
        raise InputError(
            f"{name} has a fickle passenger, which its step() adds to the table P, expected a table that tells the whole "
            "dynamics: make it with fickle_passenger=False"
        )
    outcomes, n_states, n_actions = _flatten(table, name)
    start = next((getattr(unwrapped, key) for key in STARTS if getattr(unwrapped, key, None) is not None), None)
    start = None if start is None else as_distribution("initial_state_distrib", start, n_states)
    absorbing = np.zeros(n_states, dtype=bool)
    absorbing[outcomes.next_state[outcomes.terminated]] = True
    _check_roles(outcomes, absorbing, start, name)

    live = ~absorbing[outcomes.state]
    state, action, next_state = outcomes.state[live], outcomes.action[live], outcomes.next_state[live]
    probability, reward = outcomes.probability[live], outcomes.reward[live]
    pair = action * n_states + state
    expected = np.bincount(pair, probability * reward, minlength=n_actions * n_states).reshape(n_actions, n_states).T
    ends = np.flatnonzero(absorbing)
    loops = (np.arange(n_actions)[:, None] * n_states + ends).ravel()
    rows = np.concatenate([pair, loops])
    columns = np.concatenate([next_state, np.tile(ends, n_actions)])
    values = np.concatenate([probability, np.ones(loops.size)])
    if not sparse:
        require_memory((n_actions, n_states, n_states), "the transition", "pass sparse=True (--set sparse 1)")
    # Building through COO adds up outcomes of one pair that share a next state.
    stacked = sp.csr_array(sp.coo_array((values, (rows, columns)), shape=(n_actions * n_states, n_states)))
    dense = None if sparse else stacked.toarray().reshape(n_actions, n_states, n_states)
    if dense is not None:  # nobody else holds it, so that TabularMDP need not copy it
        dense.base.flags.writeable = dense.flags.writeable = False
    return TabularMDP(
        tuple(stacked[a * n_states : (a + 1) * n_states] for a in range(n_actions)) if dense is None else dense,
        weight=weight,  # type: ignore[arg-type]
        reward=np.asarray(expected, dtype=np.float64),
        discount=discount,
        start=start,  # type: ignore[arg-type]
        name=name,
    )


def _read_matrices(
    dynamics: Mapping[str, Any], name: str, weight: ArrayLike | None, discount: float | None, sparse: bool
) -> TabularMDP:
    """The world of matrices (S, A, S), as ICU-Sepsis has them."""
    transition = np.asarray(dynamics["tx_mat"])
    if transition.ndim != 3 or transition.shape[0] != transition.shape[2]:
        raise InputError(f"tx_mat of {name} has shape {transition.shape}, expected (states, actions, states): transpose it")
    n_states, n_actions, _ = transition.shape
    if not sparse:
        # Its transposed copy, and the one that TabularMDP keeps.
        require_memory(
            (2, n_actions, n_states, n_states), "the transition with its copy", "pass sparse=True (--set sparse 1)"
        )
    return TabularMDP(
        [sp.csr_array(transition[:, a]) for a in range(n_actions)] if sparse else transition.swapaxes(0, 1),  # type: ignore[arg-type]
        weight=weight,  # type: ignore[arg-type]
        reward=dynamics.get("r_mat"),
        discount=discount,
        start=dynamics.get("d_0"),  # type: ignore[arg-type]
        name=name,
    )


def _flatten(table: Any, name: str) -> tuple[_Outcomes, int, int]:
    """Turn P[state][action] = [(probability, next state, reward, terminated), ...] into columns."""
    n_states = len(table)
    try:
        table, n_actions = _offer_all([table[s] for s in range(n_states)], name)
        lengths = np.array([len(outcomes) for row in table for outcomes in row])
        flat = [outcome for row in table for outcomes in row for outcome in outcomes]
        probability, next_state, reward, terminated = (np.array(column) for column in zip(*flat, strict=True))
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"P of {name} is not a table of states 0 to {n_states - 1} by actions from 0 on ({type(error).__name__}), "
            "expected P[state][action] = [(probability, next_state, reward, terminated), ...]: renumber the ids"
        ) from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"P of {name} holds an outcome that is not (probability, next_state, reward, terminated), expected four entries "
            "in each: complete them"
        ) from error
    for what, column in (("probability", probability), ("next state", next_state), ("reward", reward)):
        if column.dtype.kind not in "biuf" or column.ndim != 1:
            raise InputError(
                f"P of {name} holds a {what} that is no number, expected one in each outcome: number the states"
            )
    broken = np.flatnonzero(next_state != np.floor(next_state))
    if broken.size:
        raise InputError(
            f"P of {name} leads to state {next_state[broken[0]]}, expected a whole number from 0 to {n_states - 1}: "
            "correct it"
        )
    if not np.isin(terminated, (False, True)).all():
        raise InputError(
            f"P of {name} says {terminated[0]!r} of whether an episode ends, expected True or False: correct it"
        )
    outside = np.flatnonzero((next_state < 0) | (next_state >= n_states))
    if outside.size:
        raise InputError(
            f"P of {name} leads to state {next_state[outside[0]]}, expected a state from 0 to {n_states - 1}: add it to P"
        )
    pair = np.repeat(np.arange(lengths.size), lengths)
    # An outcome of probability 0 neither happens nor ends anything.
    happens = probability.astype(np.float64) != 0
    columns = (
        pair // n_actions,
        pair % n_actions,
        next_state.astype(np.int64),
        probability.astype(np.float64),
        reward.astype(np.float64),
        terminated.astype(bool),
    )
    return _Outcomes(*(column[happens] for column in columns)), n_states, n_actions


def _offer_all(rows: list[Any], name: str) -> tuple[list[list[Any]], int]:
    """Outcomes of every action in every state: what a state does not offer is the mean of what it offers."""
    offered = [sorted(row) if isinstance(row, Mapping) else list(range(len(row))) for row in rows]
    n_actions = 1 + max(actions[-1] for actions in offered)
    if any(actions[0] < 0 for actions in offered) or n_actions > sum(map(len, offered)):
        raise KeyError(n_actions)
    complete = []
    for row, actions in zip(rows, offered, strict=True):
        outcomes: list[Any] = [None] * n_actions
        for action in actions:
            outcomes[action] = row[action]
        if len(actions) < n_actions:
            mean = [(p / len(actions), *rest) for action in actions for p, *rest in row[action]]
            outcomes = [mean if found is None else found for found in outcomes]
        complete.append(outcomes)
    missing = sum(n_actions - len(actions) for actions in offered)
    if missing:
        warn_user(
            f"{name} does not offer every action in every state: {missing} of {n_actions * len(rows)} pairs are the mean "
            "over the actions that their state offers, so that no plan gains from them",
            UserWarning,
        )
    return complete, n_actions


def _check_roles(outcomes: _Outcomes, absorbing: NDArray[np.bool_], start: Array | None, name: str) -> None:
    """Refuse a state that ends some episodes and is passed through by others, if an episode can get there."""
    n_states = absorbing.size
    live = ~absorbing[outcomes.state]
    passing = live & ~outcomes.terminated
    if start is None:
        reached = np.ones(n_states, dtype=bool)
    else:
        reached = start > 0
        steps = sp.csr_array((np.ones(live.sum()), (outcomes.state[live], outcomes.next_state[live])), shape=(n_states,) * 2)
        while True:
            wider = reached | ((reached.astype(np.float64) @ steps) > 0)
            if (wider == reached).all():
                break
            reached = wider
    entered = np.zeros(n_states, dtype=bool)
    entered[outcomes.next_state[passing & reached[outcomes.state]]] = True
    if start is not None:
        entered |= start > 0
    both = np.flatnonzero(absorbing & entered)
    if both.size:
        raise InputError(
            f"state {both[0]} of {name} ends the episode on some transitions and not on others, expected one role: "
            "give the environment a separate state for the end"
        )
