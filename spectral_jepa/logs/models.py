"""Worlds in the files of other tools: explicit models of PRISM (.tra) and Cassandra's .mdp."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from spectral_jepa._late import sparse as sp
from spectral_jepa._validation import Array, InputError, check_choice, first_line, nearest, require_memory
from spectral_jepa.mdp import TabularMDP

WORD = re.compile(r":|[^\s:]+")
FORMATS = (".tra", ".mdp")


def read_model(path: str | Path, *, rewards: str | Path | None = None, discount: float | None = None) -> TabularMDP:
    """Read a world from an explicit PRISM model or from a Cassandra file.

    Parameters
    ----------
    path : str or Path
        ``.tra``: as PRISM exports it, of an MDP (state, choice, next state, probability, and a name that is not used) or of
        a chain (state, next state, probability), after a line of counts. ``.mdp``: Cassandra's format, the POMDP one
        without observations.
    rewards : str or Path, optional
        PRISM's rewards of states (``.srew``: state, reward) or of transitions (``.trew``: state, choice, next state,
        reward).
    discount : float in [0, 1], optional
        Default: that of the ``.mdp`` file, none for ``.tra``.

    Returns
    -------
    TabularMDP
        Sparse from ``.tra``. A choice that a state does not have is the mean of those it has, so that no plan gains from
        it, and a state without any stays where it is.

    Raises
    ------
    InputError
        No such file, another format, a line that does not fit it, rows that do not sum to 1.

    Notes
    -----
    O(lines). Costs (``values: cost``) become negative rewards.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "coin.tra")
    >>> _ = path.write_text("2 3 4\\n0 0 0 0.5\\n0 0 1 0.5\\n0 1 1 1\\n1 0 1 1\\n")
    >>> read_model(path).dense().tolist()
    [[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]
    """
    path = Path(path)
    kind = check_choice(f"the extension of {path}", path.suffix.lower(), FORMATS)
    if kind == ".tra":
        return _read_prism(path, rewards, discount)
    if rewards is not None:
        raise InputError(f"rewards is {str(rewards)!r}, but {path} has its own, expected None: leave it out")
    return _Cassandra(path).read(discount)


def _lines(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path} is not a file, expected a model ({', '.join(FORMATS)}): check the path")
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({first_line(error)}), expected a text file: export it again") from None


def _table(path: Path, widths: tuple[int, ...]) -> tuple[list[int], Array]:
    """The counts of the first line, and the numbers of the others; names after the widest row are dropped."""
    lines = [line.split() for line in _lines(path).splitlines() if line.strip()]
    try:
        header = [int(word) for word in lines[0]]
        width = widths[0] if len(header) == 2 else widths[-1]
        rows = np.array([[float(word) for word in line[:width]] for line in lines[1:]]).reshape(-1, width)
    except (ValueError, IndexError) as error:
        raise InputError(
            f"{path} is no table of {' or '.join(map(str, widths))} numbers a line after a line of counts "
            f"({first_line(error)}), expected what PRISM exports: export it again"
        ) from None
    if header[-1] != len(rows):
        raise InputError(f"{path} announces {header[-1]} lines and has {len(rows)}, expected as many: it is cut off")
    ids = rows[:, :-1]
    if (ids != np.floor(ids)).any() or (ids < 0).any() or (rows[:, [0, *range(2, width - 1)]] >= header[0]).any():
        raise InputError(f"{path} has a state that is no whole number below {header[0]}, expected one: export it again")
    return header, rows


def _read_prism(path: Path, rewards: str | Path | None, discount: float | None) -> TabularMDP:
    header, rows = _table(path, (3, 4))
    n_states = header[0]
    if rows.shape[1] == 3:  # a chain: one action
        if (rows[:, 1] >= n_states).any():
            raise InputError(f"{path} has a state that is no whole number below {n_states}, expected one: export it again")
        rows = np.insert(rows, 1, 0, axis=1)
    state, choice, following = rows[:, :3].astype(np.int64).T
    n_actions = int(choice.max(initial=0)) + 1
    shape = (n_actions * n_states, n_states)
    stacked = sp.csr_array(sp.coo_array((rows[:, 3], (choice * n_states + state, following)), shape=shape))
    offered = np.zeros((n_actions, n_states), dtype=bool)
    offered[choice, state] = True
    matrices = [stacked[a * n_states : (a + 1) * n_states] for a in range(n_actions)]
    reward = None if rewards is None else _prism_rewards(Path(rewards), matrices, offered)
    share = np.maximum(offered.sum(axis=0), 1)
    mean = sp.diags_array(1 / share) @ sum(matrices[1:], matrices[0]) + sp.diags_array((~offered.any(axis=0)).astype(float))
    complete = [
        sp.csr_array(sp.diags_array(has.astype(float)) @ m + sp.diags_array((~has).astype(float)) @ mean)
        for has, m in zip(offered, matrices, strict=True)
    ]
    if reward is not None:
        average = (reward * offered.T).sum(axis=1) / share
        reward = np.where(offered.T, reward, average[:, None])
    return TabularMDP(tuple(complete), reward=reward, discount=discount, name=path.stem)


def _prism_rewards(path: Path, matrices: list[sp.csr_array], offered: Any) -> Array:
    header, rows = _table(path, (2, 4))
    n_actions, n_states = offered.shape
    if header[0] != n_states:
        raise InputError(f"{path} has {header[0]} states, expected {n_states} as in the model: export both from one model")
    if rows.shape[1] == 2:
        by_state = np.zeros(n_states)
        by_state[rows[:, 0].astype(np.int64)] = rows[:, 1]
        return np.repeat(by_state[:, None], n_actions, axis=1)
    state, choice, following = rows[:, :3].astype(np.int64).T
    if (choice >= n_actions).any():
        raise InputError(f"{path} rewards choice {int(choice.max())}, expected one below {n_actions}: export both together")
    reward = np.zeros((n_states, n_actions))
    for action, matrix in enumerate(matrices):
        chosen = choice == action
        steps = sp.coo_array((rows[chosen, 3], (state[chosen], following[chosen])), shape=(n_states, n_states))
        reward[:, action] = np.asarray(matrix.multiply(steps.tocsr()).sum(axis=1)).ravel()
    return reward


class _Cassandra:
    """A reader of one .mdp file, word by word."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = "\n".join(line.split("#")[0] for line in _lines(path).splitlines())
        self.words = WORD.findall(text)
        self.at = 0
        self.names: dict[str, list[str]] = {}

    def read(self, discount: float | None) -> TabularMDP:
        given: dict[str, Any] = {"discount": discount, "values": "reward", "start": None}
        while self.at < len(self.words) and self.words[self.at] in ("discount", "values", "states", "actions", "start"):
            key, words = self._take(), self._until_next()
            if key in ("states", "actions"):
                self.names[key] = [str(i) for i in range(int(words[0]))] if words[0].isdigit() else words
            elif key == "start":
                given["start"] = words
            elif key == "values":
                given["values"] = check_choice(f"values of {self.path}", words[0], ("reward", "cost"))
            elif discount is None:
                given["discount"] = self._number(words[0])
        for key in ("states", "actions"):
            if key not in self.names:
                raise InputError(f"{self.path} does not say its {key}, expected a line '{key}: ...': add it")
        n, k = len(self.names["states"]), len(self.names["actions"])
        require_memory(
            (k, n, n), "the transition and the rewards", "write it as a PRISM .tra file, which is read sparse", copies=2
        )
        transition, reward = np.zeros((k, n, n)), np.zeros((k, n, n))
        while self.at < len(self.words):
            key = self._take()
            if key not in ("T", "R"):
                raise InputError(
                    f"{self.path} has {key!r} where T: or R: was expected: observations are not read, drop them"
                )
            self._fill(transition if key == "T" else reward, key)
        return TabularMDP(
            transition,
            reward=(-1 if given["values"] == "cost" else 1) * np.einsum("axy,axy->xa", transition, reward),
            discount=given["discount"],
            start=self._start(given["start"]),  # type: ignore[arg-type]
            name=self.path.stem,
            state_labels=tuple(self.names["states"]),
            action_labels=tuple(self.names["actions"]),
        )

    def _fill(self, array: Array, key: str) -> None:
        """One T: or R: entry: a number, a row or a matrix, at a place where * means everywhere."""
        places: list[Any] = []
        kinds = ["actions", "states", "states", "observations"]
        self._expect(":")
        places.append(self._index(kinds[0]))
        while self.at < len(self.words) and self.words[self.at] == ":":
            self._take()
            places.append(self._index(kinds[min(len(places), 3)]))
        n = array.shape[1]
        shape = array[tuple(places[:3])].shape
        size = n ** (3 - min(len(places), 3))
        word = self.words[self.at] if self.at < len(self.words) else ""
        if key == "T" and word in ("identity", "uniform"):
            self._take()
            values = np.eye(n) if word == "identity" else np.full((n, n)[: 3 - len(places)], 1 / n)
        else:
            values = np.array([self._number(self._take()) for _ in range(size)]).reshape((n,) * (3 - min(len(places), 3)))
        array[tuple(places[:3])] = np.broadcast_to(values, shape) if values.ndim <= len(shape) else values

    def _index(self, kind: str) -> Any:
        word = self._take()
        if word == "*" or kind == "observations":
            return slice(None)
        names = self.names[kind]
        if word in names:
            return names.index(word)
        if word.isdigit() and int(word) < len(names):
            return int(word)
        listed = f"{', '.join(names[:20])}{nearest(word, names)}"
        raise InputError(f"{self.path} names {word!r}, expected one of its {kind}: {listed}: correct it")

    def _start(self, words: list[str] | None) -> Array | None:
        if words is None:
            return None
        names, n = self.names["states"], len(self.names["states"])
        if words[0] == "uniform":
            return np.full(n, 1 / n)
        if len(words) == 1:
            return np.eye(n)[names.index(words[0])] if words[0] in names else np.eye(n)[int(self._number(words[0]))]
        return np.array([self._number(word) for word in words])

    def _take(self) -> str:
        if self.at >= len(self.words):
            raise InputError(f"{self.path} ends in the middle of an entry, expected more numbers: it is cut off")
        self.at += 1
        return self.words[self.at - 1]

    def _expect(self, word: str) -> None:
        found = self._take()
        if found != word:
            raise InputError(f"{self.path} has {found!r} where {word!r} was expected: correct that entry")

    def _until_next(self) -> list[str]:
        """The words of a line of the head: up to the next word that a colon follows."""
        self._expect(":")
        words = []
        while self.at < len(self.words) and self.words[self.at + 1 : self.at + 2] != [":"]:
            words.append(self._take())
        if not words:
            raise InputError(f"{self.path} has an entry without a value, expected one: complete it")
        return words

    def _number(self, word: str) -> float:
        try:
            return float(word)
        except ValueError:
            raise InputError(f"{self.path} has {word!r} where a number was expected: correct it") from None
