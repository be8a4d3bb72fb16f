"""Logs that are DataFrames, and trajectories told by episode and step: the same transitions, in whatever order."""

import warnings

import numpy as np
import pandas as pd
import pytest

from spectral_jepa import Transitions
from spectral_jepa.logs import read_log, write_log

pytestmark = pytest.mark.filterwarnings("error::UserWarning")


def triples(data):
    labels, actions = data.state_labels, data.action_labels
    return [(labels[x], actions[a], labels[y]) for x, a, y in zip(data.state, data.action, data.next_state, strict=True)]


def play(n_episodes=7, seed=0):
    """Episodes of 2 to 6 steps on five states: the rows, and the transitions by hand."""
    rng = np.random.default_rng(seed)
    rows, expected = [], []
    for episode in range(n_episodes):
        states = [f"s{n}" for n in rng.integers(5, size=rng.integers(3, 8))]
        actions = rng.integers(3, size=len(states)).tolist()
        pairs = zip(states, actions, strict=True)
        rows += [dict(episode=f"e{episode}", step=t, state=x, action=a) for t, (x, a) in enumerate(pairs)]
        expected += list(zip(states[:-1], actions[:-1], states[1:], strict=True))
    return pd.DataFrame(rows), expected


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_a_frame_is_read_as_its_file_is(tmp_path, suffix):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "state": rng.choice(["hall", "yard", "kitchen"], 40),
            "action": rng.integers(3, size=40),
            "next_state": rng.choice(["hall", "yard", "attic"], 40),
            "reward": rng.random(40).round(3),
        }
    )
    data = read_log(frame)
    path = tmp_path / f"log{suffix}"
    write_log(data, path)
    from_file = read_log(path)
    assert data.state_labels == from_file.state_labels == ("attic", "hall", "kitchen", "yard")
    assert triples(data) == triples(from_file) == list(frame[["state", "action", "next_state"]].itertuples(False, None))
    assert data.reward.tolist() == frame["reward"].tolist()


@pytest.mark.parametrize("kind", ["object", "category", "string", "index"], ids=lambda kind: f"text as {kind}")
def test_pandas_own_types_are_read(kind):
    plain = pd.DataFrame({"state": ["b", "a", "b"], "action": [1, 2, 1], "next_state": ["a", "b", "b"], "done": [0, 1, 0]})
    if kind == "index":  # which is no column
        frame = plain.set_index(pd.Index([7, 7, 9], name="row"))
    else:
        frame = plain.astype({"state": kind, "next_state": kind, "action": "Int64", "done": "boolean"})
    data = read_log(frame, done="done")
    assert triples(data) == [("b", 1, "a"), ("a", 2, "(end)"), ("b", 1, "b")]
    assert data.action_labels == (1, 2) and all(isinstance(label, int) for label in data.action_labels)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("order", ["as played", "shuffled"])
def test_steps_say_which_row_comes_next(seed, order):
    frame, expected = play(seed=seed)
    rows = frame if order == "as played" else frame.sample(frac=1, random_state=seed)
    data = read_log(rows, episode="episode", step="step")
    assert sorted(triples(data)) == sorted(expected)
    if order == "as played":
        assert triples(data) == expected == triples(read_log(rows, next_state=None, episode="episode"))
    else:  # the control: without the steps, rows that are neighbours by chance would be joined
        one = rows.assign(episode="one")
        assert sorted(triples(read_log(one, next_state=None, episode="episode"))) != sorted(expected)


def test_steps_of_a_file_and_of_tuples(tmp_path):
    frame, expected = play()
    frame = frame.sample(frac=1, random_state=0).assign(x=lambda t: t["state"].str[1:].astype(int), y=1)
    frame.to_csv(tmp_path / "log.csv", index=False)
    frame.to_parquet(tmp_path / "log.parquet")
    for name in ("log.csv", "log.parquet"):
        data = read_log(tmp_path / name, state=["x", "y"], episode="episode", step="step")
        assert sorted(triples(data)) == sorted(((int(x[1:]), 1), a, (int(y[1:]), 1)) for x, a, y in expected)


def test_no_transition_leads_across_a_gap_or_an_end():
    frame, expected = play(n_episodes=1)
    gap = frame[frame["step"] != 1].drop(columns="episode")
    kept = [triple for t, triple in enumerate(expected) if t not in (0, 1)]
    assert triples(read_log(gap, step="step")) == kept  # without an episode all rows are one
    # Where it terminated, the last step leads to the end; its rows count as often as they say.
    last = len(frame) - 1
    ended = frame.assign(over=frame["step"] == last, count=2, reward=frame["step"] * 1.0)
    data = read_log(ended, episode="episode", step="step", terminated="over", count="count")
    end = (frame["state"][last], frame["action"][last], "(end)")
    assert triples(data) == [triple for triple in [*expected, end] for _ in range(2)]
    assert data.reward.tolist() == [t for t in range(last + 1) for _ in range(2)]


def test_wrong_frames_and_steps_are_refused(refused):
    frame, _ = play()
    with refused("path is a list, expected the path of a log or a DataFrame"):
        read_log([1, 2])
    with refused("the DataFrame has no column 'next_state'", "step= where a column numbers them"):
        read_log(frame)
    with refused("the DataFrame has no column 'stepp'", "(nearest: 'step')"):
        read_log(frame, episode="episode", step="stepp")
    with refused("expected one of the two, which say the same"):
        read_log(frame, next_state="state", step="step", episode="episode")
    with refused("has a column 'next_state' beside the step 'step'", "next_state=None to go by the steps"):
        read_log(frame.assign(next_state="s0"), step="step", episode="episode")
    assert len(read_log(frame.assign(next_state="s0"), next_state=None, step="step", episode="episode"))
    with refused("rows 1 and", "are both step 0 of one episode", "episode="), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that episode is not used
        read_log(frame, step="step")
    with refused("column 'step' of the DataFrame is no whole number in row 2"):
        read_log(frame.assign(step=[0.0, 0.5, *range(2, len(frame))]), episode="episode", step="step")
    with refused("separator, decimal and header say how a text file is written"):
        read_log(frame, episode="episode", step="step", separator=";")
    with refused("the DataFrame has columns but no row"):
        read_log(frame[:0], episode="episode", step="step")
    with refused("no state label in 1 of", "the first in row 3"):
        read_log(frame.assign(state=[*frame["state"][:2], None, *frame["state"][3:]]), episode="episode", step="step")
    with refused("has no row left"):
        read_log(frame[frame["step"] == 0], episode="episode", step="step")


def test_a_frame_of_transitions_comes_back():
    data = Transitions([0, 1, 1], [0, 0, 1], [1, 1, 0], reward=[0.5, 0.0, 1.0])
    back = read_log(data.to_frame())
    assert back.state.tolist() == [0, 1, 1] and back.reward.tolist() == [0.5, 0.0, 1.0]
