"""Worlds drawn with plain numpy and the paper's matrices as loops, so that no test leans on the code it tests."""

import contextlib
import os
import re
import signal
import types
from dataclasses import dataclass
from datetime import UTC, datetime

# Processes that test side by side (pytest -n 2) share the cores. With more threads than cores each waits for the others'
# turn: 13 s for a training that takes 2 s alone. It has to be said before torch and the BLAS of numpy are loaded.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# QuantEcon, when imported, lets numba set the number of OpenMP threads to that of the cores, for torch, too: with two test
# processes every training of the suite then takes 15 times as long.
if "OMP_NUM_THREADS" in os.environ:
    os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
# Whose turn it is today (tests/pixels/test_cli.py), the same in all processes of a run.
os.environ.setdefault("SPECTRAL_JEPA_TODAY", datetime.now(UTC).date().isoformat())

# A shell's background job ignores Ctrl-C, and so would every command that a test starts and stops.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import psutil
import pytest

from spectral_jepa import _validation
from spectral_jepa._validation import InputError
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.mdp import TabularMDP


def pytest_addoption(parser):
    parser.addoption("--seeds", type=int, help="run every test that takes a seed with seeds 0 to N - 1 (`make nightly`: 20)")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    """--seeds N puts seeds 0 to N - 1 in the place of those that a test names for everyday use."""
    n_seeds = metafunc.config.getoption("--seeds")
    marks = metafunc.definition.own_markers
    for index, mark in enumerate(marks):
        if not n_seeds or mark.name != "parametrize":
            continue
        names = mark.args[0]
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        if "seed" in names:
            at = names.index("seed")
            rows = [row if len(names) > 1 else (row,) for row in mark.args[1]]
            widened = dict.fromkeys((*row[:at], seed, *row[at + 1 :]) for row in rows for seed in range(n_seeds))
            marks[index] = pytest.mark.parametrize(names, list(widened)).mark


def pytest_terminal_summary(terminalreporter):
    """What a test wants to be read also when it passes: record_property("say", ...)."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call" or (getattr(report, "skipped", False) and report.when == "setup"):
                for name, value in report.user_properties:
                    if name == "say":
                        terminalreporter.write_line(f"{value} ({report.outcome})")


@dataclass
class World:
    transition: np.ndarray  # P[a, x, y]
    weight: np.ndarray  # w[x]
    frequency: np.ndarray  # p[a]
    reward: np.ndarray  # r[x, a] in [0, 1]

    @property
    def next_weight(self):
        """w+(y|a), summed by hand."""
        n_actions, n_states = self.transition.shape[:2]
        return np.array(
            [
                [sum(self.weight[x] * self.transition[a, x, y] for x in range(n_states)) for y in range(n_states)]
                for a in range(n_actions)
            ]
        )

    @property
    def mdp(self):
        return TabularMDP(self.transition, self.weight, self.reward, 0.9, None, self.frequency)

    @property
    def exact(self):
        return CoOccurrence.exact(self.mdp)

    def normalized(self, action):
        """Mbar(a), entry by entry; 0/0 := 0."""
        n_states, after = len(self.weight), self.next_weight[action]
        result = np.zeros((n_states, n_states))
        for x in range(n_states):
            for y in range(n_states):
                joint = self.weight[x] * self.transition[action, x, y]
                if joint > 0:
                    result[x, y] = joint / np.sqrt(self.weight[x] * after[y])
        return result

    def stacked(self):
        """The pooled matrix A, entry by entry; row a * S + x."""
        n_actions, n_states = self.transition.shape[:2]
        pooled_after = self.frequency @ self.next_weight
        result = np.zeros((n_actions * n_states, n_states))
        for a in range(n_actions):
            for x in range(n_states):
                for y in range(n_states):
                    joint = self.frequency[a] * self.weight[x] * self.transition[a, x, y]
                    if joint > 0:
                        result[a * n_states + x, y] = joint / np.sqrt(self.frequency[a] * self.weight[x] * pooled_after[y])
        return result


def _balance(matrix, weight):
    """Sinkhorn: a joint law with both marginals equal to ``weight``, as a stochastic matrix."""
    for _ in range(2000):
        matrix = matrix * (weight / matrix.sum(axis=1))[:, None]
        matrix = matrix * (weight / matrix.sum(axis=0))[None, :]
        if np.abs(matrix.sum(axis=1) - weight).max() < 1e-15:
            break
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.fixture(scope="session")
def draw_world():
    """Random world: Dirichlet rows, positive non-uniform data law, rewards in [0, 1].

    ``stationary``: every action keeps the data law w (non-uniform), as the multi-step bound asks.
    """

    def draw(seed, n_states=6, n_actions=3, concentration=1.0, stationary=False, uniform=False):
        rng = np.random.default_rng(seed)
        weight = np.full(n_states, 1 / n_states) if uniform else rng.dirichlet(np.full(n_states, 3.0)) * 0.9 + 0.1 / n_states
        rows = rng.dirichlet(np.full(n_states, concentration), size=(n_actions, n_states))
        if stationary:
            rows = np.stack([_balance(m + 1e-3, weight) for m in rows])
        frequency = rng.dirichlet(np.full(n_actions, 5.0))
        return World(rows, weight, frequency, rng.random((n_states, n_actions)))

    return draw


@pytest.fixture(scope="session")
def draw_embedding():
    """Arbitrary f and g: Gaussian, no normalisation, read back with the given column weight."""

    def draw(seed, world, dim, shared=True, scale=1.0, column_weight=None):
        rng = np.random.default_rng([seed, 7])
        n_actions, n_states = world.transition.shape[:2]
        target = scale * rng.standard_normal((n_states, dim) if shared else (n_actions, n_states, dim))
        predicted = scale * rng.standard_normal((n_actions, n_states, dim))
        return Embedding(target, predicted, world.next_weight if column_weight is None else column_weight)

    return draw


@pytest.fixture(scope="session")
def as_world():
    """A world from given matrices; uniform data law, action frequency and zero reward unless told."""

    def build(transition, weight=None, frequency=None, reward=None):
        transition = np.asarray(transition, dtype=float)
        n_actions, n_states = transition.shape[:2]
        return World(
            transition,
            np.full(n_states, 1 / n_states) if weight is None else np.asarray(weight, dtype=float),
            np.full(n_actions, 1 / n_actions) if frequency is None else np.asarray(frequency, dtype=float),
            np.zeros((n_states, n_actions)) if reward is None else np.asarray(reward, dtype=float),
        )

    return build


@pytest.fixture(scope="session")
def refused():
    """Context: the block raises an InputError of one sentence that holds every given fragment and says what is expected."""

    @contextlib.contextmanager
    def check(*fragments):
        with pytest.raises(InputError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message and not re.search(r"[.!?] [A-Z]", message), message
        for fragment in fragments:
            assert fragment in message, message

    return check


@pytest.fixture
def few_threads():
    """One thread: networks this small only wait for the others. `make processors` asks for two."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def free_memory(monkeypatch):
    """Set how many bytes are free, so that a refusal does not depend on the machine."""

    def free(n_bytes):
        # Cgroup and ulimit only lower what the machine has; arrays of every size ask.
        monkeypatch.setattr(_validation, "WORTH_ASKING", 0)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=n_bytes, total=n_bytes))

    return free
