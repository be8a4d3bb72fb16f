"""The experiment ``planner`` end to end on a tiny run, its front against brute force, and its figure."""

import numpy as np
import pandas as pd
import pytest

from spectral_jepa._validation import InputError
from spectral_jepa.plotting.style import COLORS
from spectral_jepa.success_rates import pareto_front
from spectral_jepa.sweep.experiment import load_experiment, shipped_folder

COLUMNS = [
    "environment",
    "arm",
    "compared",
    "success",
    "low",
    "high",
    "milliseconds",
    "rollouts",
    "plans_a_pair",
    "outcomes",
]


def test_the_front_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(50):
        # Small numbers, so that there are ties.
        cost, gain = rng.integers(1, 6, 12), rng.integers(0, 4, 12)
        expected = [
            not any(
                (cost[j] <= cost[i] and gain[j] >= gain[i]) and (cost[j] < cost[i] or gain[j] > gain[i]) for j in range(12)
            )
            for i in range(12)
        ]
        assert pareto_front(cost, gain).tolist() == expected
    for wrong in ([[1.0, 2.0], [1.0]], [[1.0, np.nan], [1.0, 2.0]], [[], []]):
        with pytest.raises(InputError):
            pareto_front(*wrong)


def test_the_experiment_runs_tiny_and_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment("planner")
    cells = experiment.cells("tiny")
    rows = [cell | experiment(**cell) | {"status": "ok"} for cell in cells]
    table = pd.DataFrame(rows).set_index("arm")
    assert set(COLUMNS) - {"arm"} <= set(table.columns) and table["manifest"].nunique() == table["weights"].nunique() == 1
    # What is asked of the model is what the settings say: samples times iterations a plan.
    assert table.loc["CEM 100 x 3", "rollouts"] == 300 and table.loc["random plan", "rollouts"] == 0
    assert (table.loc[["closest 300 x 3", "history 3, 300 x 3", "inverse 300 x 3"], "rollouts"] == 900).all()
    # 50 steps of 5 an action block: two plans of five blocks, or five of two; fewer where a pair was solved.
    assert (table["plans_a_pair"] <= 5).all()
    unsolved = table[table["success"] == 0]
    for arm, most in {"CEM 100 x 3": 2, "every 2, warm, 300 x 3": 5}.items():
        assert arm not in unsolved.index or unsolved.loc[arm, "plans_a_pair"] == most
    assert (table["milliseconds"] > 0).all() and (table["outcomes"].str.len() == 3).all()
    assert np.allclose(table["outcomes"].str.count("1") / 3, table["success"])
    # Every arm's settings are accepted by the planner, those of the other presets, too.
    assert {cell["arm"] for preset in experiment.presets for cell in experiment.cells(preset)} == set(experiment.module.ARMS)
    shown = experiment.module.summary(table.reset_index())
    assert len(shown) == len(cells) and shown["milliseconds"].is_monotonic_increasing and (shown["front"] == "*").any()


def test_the_figure_marks_the_front():
    drawn = {}
    path = shipped_folder("figures") / "planner.py"
    exec(compile(path.read_bytes(), str(path), "exec"), drawn)
    rng = np.random.default_rng(0)
    arms = load_experiment("planner").module.ARMS
    rows = [
        {"environment": world, "arm": arm, "compared": compared, "success": s, "low": s - 0.05, "high": s + 0.05,
         "milliseconds": 10 ** rng.uniform(0, 3), "outcomes": "1" * 100, "status": "ok"}
        for world in ("two_room", "cube") for arm, (compared, _) in arms.items() for s in [rng.uniform(0.1, 0.9)]
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    figure = drawn["draw"](table)["planner"]
    assert [axis.get_title() for axis in figure.axes] == ["Two-Room", "Cube"]
    for axis, world in zip(figure.axes, ("two_room", "cube"), strict=True):
        part = table[table["environment"] == world]
        best = part[pareto_front(part["milliseconds"], part["success"])]
        assert {text.get_text() for text in axis.texts} == set(best["arm"])
        assert axis.get_xscale() == "log" and len(axis.containers) == 6
        assert len({bars.lines[0].get_marker() for bars in axis.containers}) == 6
        assert {bars.lines[0].get_color() for bars in axis.containers} <= set(COLORS.values())
        assert sum(len(bars.lines[0].get_xdata()) for bars in axis.containers) == len(part)
