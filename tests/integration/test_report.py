"""``spectral-jepa report`` of sweeps: the verdict first, numbers equal to the tables', what is unfinished at the top."""

import html
import re

import pandas as pd
import pytest

from spectral_jepa import cli
from spectral_jepa.plotting.study import sweep_study
from spectral_jepa.sweep.results import reference_path, reference_table

EXPERIMENT = '''"""Thirds & <script>alert(1)</script>."""
PRESETS = {"quick": {"x": [1, 2, 3]}}
def run_cell(x):
    if x == FAILS:
        raise ValueError("no <b>three</b>")
    return {"third": x / 3, "word": "<b>"}
FAILS = 0
'''


def cells(text, heading):
    """Exact numbers of the tables below a heading."""
    part = text.partition(f">{heading}</h2>")[2].partition("<h2")[0]
    return [float(value) for value in re.findall(r'data-v="([^"]+)"', part)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(EXPERIMENT)
    return tmp_path


def sweep(*more):
    cli.main(["sweep", "own.py", "--n-jobs", "1", "--no-figures", *more])


def test_a_finished_sweep_and_its_numbers(here):
    sweep()
    cli.main(["report", "results/own"])
    text = (here / "results/own/report.html").read_text()
    assert "Finished: all 3 cells, 3 rows." in text[: text.index("<h2")] and 'class="warning"' not in text
    table = pd.read_csv("results/own/quick/table.csv")
    assert set(table["third"]) <= set(cells(text, "Rows")) and 0.5 not in cells(text, "Rows")
    assert "<b>" not in text and "&lt;b&gt;" in text and "alert(1)" not in text
    assert "spectral-jepa sweep own.py" in text


def test_failed_and_missing_cells_are_named_first(here):
    (here / "own.py").write_text(EXPERIMENT.replace("FAILS = 0", "FAILS = 3"))
    with pytest.raises(SystemExit):
        sweep()
    cli.main(["report", "results/own/quick"])
    text = (here / "results/own/quick/report.html").read_text()
    top = text[: text.index("<h2")]
    assert "Not finished: 2 of 3 cells are done." in top and "1 failed of 3 cells" in top
    assert "ValueError: no &lt;b&gt;three" in text.partition(">Failed cells</h2>")[2]
    for path in (here / "results/own/quick/cells").glob("*.json"):
        path.unlink()
    for name in ("table.parquet", "table.csv", "table.sha256"):
        (here / "results/own/quick" / name).unlink()
    cli.main(["report", "results/own/quick", "--out", "empty.html"])
    top = (here / "empty.html").read_text().partition("<h2")[0]
    assert "no cell is done" in top and "3 missing of 3 cells" in top


def test_the_experiments_own_verdict_summary_and_claims():
    table = reference_table("minimax")
    study = sweep_study(reference_path("minimax"))
    sections = dict(study.sections)
    claims = next(part for part in sections["Claims"] if isinstance(part, pd.DataFrame))
    measured = pd.read_csv(reference_path("claims.csv"))
    own = measured[measured["claim"].isin(claims["id"])]
    assert len(own) == claims["comparisons"].sum() and own["met"].sum() == claims["met"].sum()
    assert f"rests on {len(own)} committed comparisons, of which {own['met'].sum()} are met" in study.verdict[0]
    summary = next(part for part in sections["Summary"] if isinstance(part, pd.DataFrame))
    from spectral_jepa.sweep.experiment import load_experiment

    pd.testing.assert_frame_equal(summary, load_experiment("minimax").module.summary(table))
    headline = load_experiment("bound_vs_dim").module.verdict
    rows = reference_table("bound_vs_dim")
    rows = rows[rows["status"] == "ok"]
    assert headline(rows).startswith(f"The corrected bounds hold in all {len(rows):,} rows")
    # A row that breaks a bound would be told.
    assert headline(rows.assign(goal_regret=rows["goal_pointwise"] + 1)).startswith(f"Bounds are BROKEN {len(rows):,} times")


@pytest.mark.parametrize("words", [["nothing.here"], ["empty"], ["own.py"], ["results/own", "results/own/quick"]])
def test_wrong_folders_are_one_sentence(here, words, capsys):
    sweep()
    (here / "empty").mkdir()
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", *words])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and "expected" in error
    assert not list(here.rglob("report.html"))


def test_titles_are_text(here):
    assert html.escape("<script>") == "&lt;script&gt;"
    sweep()
    title = sweep_study(here / "results/own/quick").title
    assert title == "own"  # a file of one's own is not found by name, so that its docstring is not shown
