from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from spectral_jepa import InputError
from spectral_jepa.pixels.data import EpisodeDataset
from spectral_jepa.pixels.data.episodes import recorded_actions, rows_in
from spectral_jepa.pixels.diagnostics.window_content import GOAL, window_content

WORLD = SimpleNamespace(goal_distance=lambda state, goal: abs(state[0] - goal[0]) / 10)


def make_dataset(speeds, length=61):
    """Each episode goes at a speed of its own, and turns by a tenth of a turn a step."""
    steps = np.arange(length, dtype=float)
    return EpisodeDataset.from_episodes(
        {
            "pixels": np.zeros((length, 2, 2, 3), np.uint8),
            "action": np.full((length, 1), speed),
            "state": speed * steps[:, None],
            "place": np.stack([speed * steps, np.zeros(length)], 1),
            "turn_angle": 2 * np.pi * steps / 10,
        }
        for speed in speeds
    )


def entry(table, quantity, steps):
    (row,) = table[(table["quantity"] == quantity) & (table["steps"] == steps)].to_dict("records")
    return row


def test_movements_are_those_of_the_walk():
    # Ten episodes of equal length: quantiles over windows are those over speeds.
    speeds = np.arange(1.0, 11) / 10
    table = window_content(make_dataset(speeds), np.arange(10), WORLD, steps=(5, 25, 200), n_windows=10_000)
    assert set(table["steps"]) == {5, 25}  # no episode has 200 steps
    for steps in (5, 25):
        row, windows = entry(table, "place", steps), 61 - steps
        moved = np.repeat(speeds * steps, windows)
        assert [row["median"], row["q10"], row["q90"]] == pytest.approx(np.quantile(moved, [0.5, 0.1, 0.9]).tolist())
        assert row["n"] == 10 * windows and np.isnan(row["solved"])
        goal = entry(table, GOAL, steps)
        assert goal["median"] == pytest.approx(np.median(moved) / 10) and goal["solved"] == pytest.approx(
            np.mean(moved < 10)
        )
    assert 0.2 < entry(table, GOAL, 25)["solved"] < 0.5 and entry(table, GOAL, 5)["solved"] == 1
    # Half a turn is the most that an angle can be away, whichever way it went.
    assert entry(table, "turn_angle", 5)["median"] == pytest.approx(np.pi)
    assert entry(table, "turn_angle", 25)["median"] == pytest.approx(np.pi)


def test_only_the_given_episodes_count_and_a_sample_is_of_the_given_size():
    data = make_dataset([1.0, 9.0])
    assert entry(window_content(data, [1], WORLD, steps=(5,)), "place", 5)["median"] == pytest.approx(45)
    both = window_content(data, [0, 1], WORLD, steps=(5,), n_windows=20, seed=3)
    assert entry(both, "place", 5)["n"] == 20
    with pytest.raises(InputError, match="no episode holds a window of 100 steps"):
        window_content(data, [0], WORLD, steps=(100,))
    del data.columns["state"]
    with pytest.raises(InputError, match="no column 'state'"):
        window_content(data, [0], WORLD)


def test_rows_that_lie_several_steps_apart_are_counted_in_steps():
    whole = make_dataset([1.0, 3.0])
    at = np.concatenate([np.arange(0, 61, 5), 61 + np.arange(0, 61, 5)])
    action = np.concatenate([np.arange(65.0).reshape(13, 5), np.arange(65.0).reshape(13, 5) + 100])
    columns = {name: np.asarray(values)[at] for name, values in whole.columns.items()} | {"action": action}
    sparse = SimpleNamespace(
        pixels=whole.pixels[at], columns=columns, ep_len=np.array([13, 13]), ep_offset=np.array([0, 13]), row_steps=5
    )
    table = window_content(sparse, [0, 1], WORLD, steps=(5, 25))
    assert entry(table, "place", 25)["median"] == pytest.approx(50)  # of 25 and 75
    assert entry(table, "place", 25)["n"] == 2 * (13 - 5)
    assert rows_in(sparse, "steps", 25) == 5 and rows_in(whole, "steps", 25) == 25
    assert recorded_actions(sparse, [14, 1], 10)[..., 0].tolist() == [list(range(105, 115)), list(range(5, 15))]
    with pytest.raises(InputError, match="a row every 5 raw steps"):
        rows_in(sparse, "steps", 24)


def test_a_row_every_few_steps_counts_raw_steps():
    # The same walk with a row every 5 raw steps: as far in as many raw steps, and no window leaves its episode.
    speeds = np.arange(1.0, 11) / 10
    fine = make_dataset(speeds)
    rows = np.concatenate([fine.rows(episode)[::5] for episode in range(10)])
    episodes = [
        {
            "pixels": fine.pixels[own],
            "action": np.full((len(own), 5), speed),
            **{name: fine.columns[name][own] for name in ("state", "place", "turn_angle")},
        }
        for speed, own in zip(speeds, np.split(rows, 10), strict=True)
    ]
    coarse = EpisodeDataset.from_episodes(episodes, row_steps=5)
    tables = [window_content(data, np.arange(10), WORLD, steps=(5, 25, 60), n_windows=10_000) for data in (fine, coarse)]
    for steps in (5, 25, 60):
        first, second = (entry(table, "place", steps) for table in tables)
        assert first["median"] == pytest.approx(second["median"], abs=1e-9) and first["median"] > 0
    with pytest.raises(InputError, match="a row every 5 raw steps"):
        window_content(coarse, np.arange(10), WORLD, steps=(7,))
