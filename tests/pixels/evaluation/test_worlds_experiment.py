"""The experiment ``worlds`` end to end on a tiny run, its gain and its summary by hand, and its figure."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spectral_jepa.pixels.presets import unread_settings
from spectral_jepa.success_rates import wilson_interval
from spectral_jepa.sweep.experiment import load_experiment, shipped_folder

WORLDS = load_experiment("worlds").module
FOLDER = Path("results/pixels/two_room-tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("worlds"))
        experiment = load_experiment("worlds")
        rows = [cell | experiment(**cell) | {"status": "ok"} for cell in experiment.cells("tiny")]
        saved = {
            arm: json.loads((FOLDER / WORLDS.run_name(arm, 0) / "config.json").read_text())["config"]
            for arm in ("LeWM", "cloning", WORLDS.MODEL)
        }
    return pd.DataFrame(rows).set_index("arm"), saved


def test_the_experiment_runs_tiny(tiny):
    table, saved = tiny
    assert list(table.index) == ["LeWM", "cloning", "nothing", *WORLDS.SEARCHES]
    tasks = ("25", "50", "rest")
    for task in tasks:
        marks = table[f"outcomes_{task}"]
        assert (marks.str.len() == 4).all() and (table[f"n_pairs_{task}"] == 4).all()
        assert np.allclose(marks.str.count("1") / 4, table[f"success_{task}"])
        # Who does not arrive uses all steps.
        for outcomes, steps in zip(marks, table[f"steps_{task}"], strict=True):
            used, budget = [int(number) for number in steps.split()], 100 if task == "50" else 50
            assert len(used) == 4 and max(used) <= budget
            assert all(number == budget for number, mark in zip(used, outcomes, strict=True) if mark == "0")
        # All arms on the same pairs, of the same held-out episodes.
        assert table[f"manifest_{task}"].nunique() == table[f"episodes_{task}"].nunique() == 1
        assert table[f"pairs_{task}"].nunique() == 1
    for column in ("manifest", "pairs"):
        assert table[f"{column}_25"].iloc[0] == table[f"{column}_rest"].iloc[0] != table[f"{column}_50"].iloc[0]
    # Two-Room has no velocities: the same start, so doing nothing ends at the same place.
    assert table.loc["nothing", "median_distance_25"] == table.loc["nothing", "median_distance_rest"]
    assert table.loc["nothing", "success_25"] == 0
    # Real history for the model that reads several frames, alone.
    assert table["success_history"].notna().tolist() == [True, False, False, False, False]
    for column in ("effective_rank", "probe_agent_position", "n_parameters", "training_seconds"):
        assert table[column].notna().tolist() == [True, True, False, False, False], column
    assert (saved["LeWM"]["kind"], saved["cloning"]["kind"]) == ("world_model", "cloning")
    # The search from cloning trained what it plans with, at the same seed.
    assert saved[WORLDS.MODEL]["objective"]["inverse_dynamics"] == 1


def test_each_arm_changes_what_it_says_and_nothing_that_is_not_read():
    for arm, changes in WORLDS.ARMS.items():
        config = WORLDS.settings("two_room", "small", arm, 3)
        assert config.training.seed == 3
        assert not set(changes) & set(unread_settings(config)), arm
    steps = [WORLDS.settings("push_t", "small", arm, 0).training.n_steps for arm in (WORLDS.MODEL, *WORLDS.LONGER)]
    assert steps == [2_500, 4 * 2_500, 16 * 2_500]
    perfect, model = (WORLDS.settings("reacher", "small", arm, 0) for arm in (WORLDS.PERFECT, WORLDS.MODEL))
    assert perfect == model
    assert WORLDS.settings("reacher", "small", "SIGReg + inverse", 0).objective.inverse_dynamics == 1
    assert WORLDS.settings("two_room", "small", "LeWM", 0).objective.inverse_dynamics == 0
    # A search is part of its arm's settings, and so of what a kept row was measured with.
    for arm, (model, planning) in WORLDS.SEARCHES.items():
        config, plain = (WORLDS.settings("push_t", "small", name, 0) for name in (arm, model))
        assert (config.objective, config.training) == (plain.objective, plain.training)
        changed = {name for name in planning if getattr(config.planning, name) != getattr(plain.planning, name)}
        assert changed == set(planning), arm
    cells = load_experiment("worlds").cells("quick")
    for world in WORLDS.WORLDS:
        longer = set(WORLDS.LONGER) if world != "push_t" else set()
        perfect = {WORLDS.PERFECT} if world == "push_t" else set()
        expected = {*WORLDS.ARMS, *WORLDS.FLOORS, *WORLDS.SEARCHES, *perfect} - longer
        assert {c["arm"] for c in cells if c["environment"] == world} == expected
    assert len({tuple(cell.values()) for cell in cells}) == len(cells)
    assert len({WORLDS.run_name(arm, 0) for arm in WORLDS.ARMS}) == len(WORLDS.ARMS)


def rows_of(arm, marks, episodes, environment="two_room", tasks="25"):
    """A table of training seeds and their outcomes."""
    lines = [
        {"environment": environment, "arm": arm, "seed": seed, "outcomes_25": m, "episodes_25": episodes, "status": "ok",
         "success_25": m.count("1") / len(m), "effective_rank": 2.0 * seed, "tasks": tasks}
        for seed, m in marks.items()
    ]  # fmt: skip
    return pd.DataFrame(lines)


def test_gain_by_hand():
    # Seeds 0 and 1 are common; their rows come in another order.
    first = rows_of("A", {0: "1110", 1: "1100", 2: "0000"}, "7 7 8 9")
    second = rows_of("LeWM", {1: "0100", 0: "1001", 5: "1111"}, "7 7 8 9")
    found = WORLDS.gain(first, second)
    # Pair by pair: seed 0 1110 against 1001, seed 1 1100 against 0100.
    assert (found.both, found.only_first, found.only_second, found.neither) == (2, 3, 1, 2)
    assert found.difference == pytest.approx(2 / 8)
    # Episodes 7, 8 and 9 gain 2 of 4, 1 of 2 and -1 of 2. All draws are 9 in 1 of 27 samples, more than the lower 2.5 %;
    # none is 9 in 8 of 27.
    assert (found.low, found.high) == pytest.approx((-0.5, 0.5))
    # The same outcomes of a further seed are no further episodes: the interval stays as wide.
    alone = WORLDS.gain(rows_of("A", {0: "111001"}, "1 2 3 4 5 6"), rows_of("B", {0: "100101"}, "1 2 3 4 5 6"))
    marks = {seed: "111001" for seed in range(4)}
    copied = WORLDS.gain(rows_of("A", marks, "1 2 3 4 5 6"), rows_of("B", dict.fromkeys(marks, "100101"), "1 2 3 4 5 6"))
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high)) and alone.low < alone.high


def test_a_model_that_was_measured_twice_is_one():
    marks, episodes = {0: "1110", 1: "1100"}, "7 7 8 9"
    first, lewm = rows_of("A", marks, episodes), rows_of("LeWM", {1: "0100", 0: "1001"}, episodes)
    again = rows_of("A", {0: "1110"}, episodes, tasks="all").assign(success_50=0.25)
    # What only one of them has is not lost.
    first["success_guided"] = [0.75, 0.5]
    # In whichever order they come.
    for doubled in (pd.concat([first, again]), pd.concat([again, first])):
        assert WORLDS.gain(doubled, lewm) == WORLDS.gain(first, lewm)
        assert WORLDS.gain(lewm, doubled) == WORLDS.gain(lewm, first)
        once, twice = (WORLDS.summary(pd.concat([lewm, part])).set_index("arm") for part in (first, doubled))
        assert once.loc["A", "success_guided"] == twice.loc["A", "success_guided"] == 0.625
        shared = ["seeds", "success", "low", "high", "minus LeWM", "from", "to", "effective_rank"]
        pd.testing.assert_frame_equal(once[shared], twice[shared])
        assert twice.loc["A", "success_50"] == 0.25


def test_other_pairs_are_no_pairs(refused):
    first, lewm = rows_of("A", {0: "1110", 1: "1110"}, "7 7 8 9"), rows_of("LeWM", {0: "1001", 1: "1001"}, "7 7 8 9")
    with refused("no training seed with the same pairs"):
        WORLDS.gain(first, rows_of("LeWM", {0: "1001"}, "7 7 8 8"))
    # Seed 1 was planned on recordings of another processor.
    first["pairs_25"], lewm["pairs_25"] = ["a", "a"], ["a", "b"]
    assert WORLDS.gain(first, lewm) == WORLDS.gain(first[:1], lewm[:1]) and len(WORLDS.shared_seeds(first, lewm)) == 1
    with refused("no training seed with the same pairs"):
        WORLDS.gain(first[1:], lewm[1:])
    assert "minus LeWM" not in WORLDS.summary(pd.concat([lewm[1:], first[1:]]))


def test_fewer_pairs_are_the_first_of_more(refused):
    model = rows_of("A", {0: "1011"}, "7 7 8 9").assign(pairs_25="all four")
    perfect = rows_of(WORLDS.PERFECT, {0: "11"}, "7 7").assign(pairs_25="the first two")
    found = WORLDS.gain(WORLDS.first_pairs(perfect, 2), WORLDS.first_pairs(model, 2))
    assert (found.both, found.only_first, found.only_second, found.neither) == (1, 1, 0, 0)
    assert model["outcomes_25"].item() == "1011"  # as it was
    for other in (model, WORLDS.first_pairs(model, 3), WORLDS.first_pairs(model.assign(episodes_25="7 8 8 9"), 2)):
        with refused("no training seed with the same pairs"):
            WORLDS.gain(WORLDS.first_pairs(perfect, 2), other)


def test_a_row_is_measured_once_and_anew_with_other_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(WORLDS, "committed", lambda: tmp_path / "nothing")
    calls = []
    monkeypatch.setattr(WORLDS, "measure", lambda **cell: calls.append(cell) or {"success_25": len(calls) / 4})
    cell = {"environment": "two_room", "size": "tiny", "arm": "LeWM", "seed": 0, "tasks": "25"}
    assert [WORLDS.run_cell(**cell)["success_25"] for _ in range(2)] == [0.25, 0.25] and calls == [cell]
    assert WORLDS.run_cell(**cell | {"seed": 1})["success_25"] == 0.5
    # Changed settings are another model; a setting that the kept row does not know is none.
    (path,) = (tmp_path / "results/worlds/measured").glob("*LeWM-0*")
    kept = json.loads(path.read_bytes())
    del kept["settings"]["evaluation"]["start"]
    path.write_text(json.dumps(kept))
    assert WORLDS.run_cell(**cell)["success_25"] == 0.25
    kept["settings"]["training"]["n_steps"] += 1
    path.write_text(json.dumps(kept))
    assert WORLDS.run_cell(**cell)["success_25"] == 0.75 and len(calls) == 3
    # A row of all tasks holds that of the first; the row of the first is not one of all.
    assert WORLDS.run_cell(**cell | {"tasks": "all"})["success_25"] == 1 and len(calls) == 4
    path.unlink()
    assert WORLDS.run_cell(**cell)["success_25"] == 1 and len(calls) == 4
    # The published search alone: it is in any row, and its row is no other.
    alone = cell | {"tasks": "published"}
    assert WORLDS.run_cell(**alone)["success_25"] == 1 and len(calls) == 4
    assert WORLDS.run_cell(**alone | {"seed": 2})["success_25"] == 1.25 and len(calls) == 5
    assert WORLDS.run_cell(**cell | {"seed": 2})["success_25"] == 1.5 and len(calls) == 6


def test_summary_by_hand():
    table = pd.concat([
        rows_of("LeWM", {0: "1100", 1: "1000"}, "1 2 3 4"), rows_of("A", {0: "1111"}, "1 2 3 4"),
        rows_of("true dynamics", {0: "11"}, "1 2"), rows_of("A", {0: "0000"}, "1 2 3 4", "cube"),
        rows_of("B", {0: "1111"}, "1 2 3 4").assign(status="error"),
    ])  # fmt: skip
    shown = WORLDS.summary(table).set_index(["environment", "arm"])
    assert list(shown.index) == [("two_room", "LeWM"), ("two_room", "A"), ("two_room", "true dynamics"), ("cube", "A")]
    lewm = shown.loc[("two_room", "LeWM")]
    assert (lewm["seeds"], lewm["success"], lewm["effective_rank"]) == (2, 3 / 8, 1.0)
    assert (lewm["low"], lewm["high"]) == wilson_interval(3, 8)
    # Over the seed that both have: 4 of 4 against 2 of 4. No LeWM in the cube, and no pairs in common with the truth.
    assert shown["minus LeWM"].tolist() == pytest.approx([np.nan, 0.5, np.nan, np.nan], nan_ok=True)


def test_the_figure_shows_every_seed_and_the_floors():
    drawn = {}
    path = shipped_folder("figures") / "worlds.py"
    exec(compile(path.read_bytes(), str(path), "exec"), drawn)
    table = pd.concat([
        rows_of("LeWM", {0: "1110", 1: "1111"}, "1 2 3 4"), rows_of("cloning", {0: "1000"}, "1 2 3 4"),
        rows_of("random", {0: "0000"}, "1 2 3 4"), rows_of("true dynamics", {0: "11"}, "1 2"),
        rows_of(WORLDS.PERFECT, {0: "01"}, "1 2"), rows_of("LeWM", {1: "1111"}, "1 2 3 4", tasks="all"),
        rows_of("LeWM", {0: "0000"}, "1 2 3 4", "cube"), rows_of("nothing", {0: "0100"}, "1 2 3 4", "cube"),
    ])  # fmt: skip
    figure = drawn["draw"](table)["worlds"]
    assert [axis.get_title() for axis in figure.axes] == ["Two-Room", "Cube"]
    left, right = figure.axes
    bounds = {line.get_linestyle(): line.get_xdata() for line in left.lines if line.get_linestyle() != "-"}
    assert bounds["--"] == [1, 1] and bounds[":"] == [0.5, 0.5]
    dots = [line.get_xdata().tolist() for line in left.lines if line.get_marker() == "o"]
    assert dots == [[0.25], [0.75, 1.0]]
    low, high = wilson_interval(7, 8)
    assert [low, high] in [pytest.approx(list(line.get_xdata())) for line in left.lines if len(line.get_xdata()) == 2]
    assert [text.get_text() for text in right.texts] == ["not run"]
    # Seed 0, pair by pair: three of four more than random's none (1 sample in 256 of 4 pairs holds none of them). In the
    # cube none where doing nothing solves one.
    assert "in 1 of 2 worlds" in figure.get_suptitle()
    # Two of four more than random's one: 1 sample in 16 holds neither, more than the lower 2.5 %.
    more = table.assign(outcomes_25=table["outcomes_25"].where(table["arm"] != "random", "1000"))
    assert "in 0 of 2 worlds" in drawn["draw"](more)["worlds"].get_suptitle()
