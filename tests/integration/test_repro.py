"""``spectral-jepa repro CLAIM``: one claim measured, compared with what is stored, and drawn."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spectral_jepa import cli
from spectral_jepa._validation import InputError
from spectral_jepa.plotting import comparisons
from spectral_jepa.plotting.comparisons import comparisons_figure
from spectral_jepa.sweep.experiment import comparison, load_experiment

ROOT = Path(__file__).resolve().parents[2]
STORED = pd.read_csv(ROOT / "reference" / "claims.csv")
CLAIMS = load_experiment("claims").module.CLAIMS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*words):
    """How ``spectral-jepa repro`` ends with these words."""
    try:
        cli.main(["repro", *words])
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.mark.parametrize("claim", ["thm-4.3-norm", "closed-forms", "sharpest-proved", "headline-n", "sub-two-room"])
def test_one_claim_comes_out_as_stored_and_is_drawn(claim, capsys, tmp_path):
    assert run(claim) == 0
    printed = capsys.readouterr().out
    (entry,) = (one for one in CLAIMS if one.id == claim)
    rows = STORED[STORED["claim"] == claim]
    words = " ".join(printed.split())
    assert f"{claim} ({entry.printed}): {entry.statement}"[:70] in printed and f"Verdict: {entry.verdict}"[:60] in printed
    lines = re.findall(r"^ *(\S+)   (=|<=|>=) (\S+) ", printed, flags=re.MULTILINE)
    assert len(lines) == len(rows)
    for (measured, relation, expected), row in zip(lines, rows.itertuples(), strict=True):
        assert relation == row.relation and float(expected) == pytest.approx(row.expected, rel=5.1e-4)
        assert float(measured) == pytest.approx(row.measured, rel=5.1e-4, abs=1e-8)
    assert f"{len(rows)} of {len(rows)} comparisons met, {len(rows)} come out as stored" in words
    assert f"Test: {entry.tests}" in words and all(len(line) <= 80 for line in printed.split("\n\n")[1].splitlines())
    # Evidence first: the sentence, the verdict, the numbers, and only then where the picture is.
    assert printed.index(claim) < printed.index("Verdict") < printed.index("measured ") < printed.index("Figure: ")
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert made == {f"results/claims/{claim}.png", f"results/claims/{claim}.pdf"}


def test_the_picture_goes_where_out_says_and_check_writes_nothing(tmp_path, capsys):
    assert run("lewm-parameters", "--check") == 0 and list(tmp_path.iterdir()) == []
    assert run("lewm-parameters", "--out", "mine") == 0
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["lewm-parameters.pdf", "lewm-parameters.png"]
    assert "Figure: mine/lewm-parameters.png" in capsys.readouterr().out


def test_a_claim_that_fails_says_so(monkeypatch, capsys):
    def broken(self, **cell):
        return [comparison("number of parameters", 17e6, "=", 18_034_478)]

    monkeypatch.setattr(cli.Experiment, "__call__", broken)
    assert run("lewm-parameters") == 1
    assert "(NOT MET)" in (printed := capsys.readouterr().out) and "0 of 1 comparisons met, 0 come out as stored" in printed


def test_check_notices_a_stored_number_that_does_not_come_out(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_read_claims", lambda path=None: STORED.assign(measured=STORED["measured"] * (1 + 1e-5)))
    assert run("lewm-parameters") == 0  # every comparison is met
    assert run("lewm-parameters", "--check") == 1
    assert "1 of 1 comparisons met, 0 come out as stored" in capsys.readouterr().out
    monkeypatch.setattr(cli, "_read_claims", lambda path=None: STORED.assign(quantity="another"))
    assert run("lewm-parameters", "--check") == 1


@pytest.mark.parametrize(
    "word, nearest",
    [("thm4.1", "thm-4.1"), ("THM-4.1", "thm-4.1"), ("headlineu", "headline-u"), ("sigreg-fase", "sigreg-phase")],
)
def test_an_unknown_claim_is_told_the_nearest(word, nearest, capsys, tmp_path):
    assert run(word) == 2
    error = capsys.readouterr().err
    assert f"claim {word!r} is unknown" in error and f"{nearest!r} is the nearest" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [(), ("--root", "."), ("--root", "nothing")])
def test_outside_a_clone_nothing_is_measured_or_written(words, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "run_sweep", lambda *_, **__: pytest.fail("measured"))
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert "is no clone of the repository" in error and error.count("\n") == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_in_a_clone_all_pages_pictures_and_the_table_are_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/claims.toml").touch()
    measured = STORED.drop(columns="seconds").assign(status="ok", duration_seconds=3.3)
    monkeypatch.setattr(cli, "run_sweep", lambda *_, **__: measured)
    drawn = []
    monkeypatch.setattr(
        cli, "_draw_claim", lambda _, entry, rows, folder, small: drawn.append((entry.id, len(rows), folder))
    )
    assert run() == 0 and "760 of 760 comparisons met" in capsys.readouterr().out
    written = pd.read_csv("reference/claims.csv")
    pd.testing.assert_frame_equal(written.drop(columns="seconds"), STORED.drop(columns="seconds"))
    assert set(written["seconds"]) == {5}
    for page in ["paper_repro.md", *(f"docs/claims/{path.name}" for path in (ROOT / "docs/claims").iterdir())]:
        same = re.sub(r"\(\d+ s\)", "", Path(page).read_text()) == re.sub(r"\(\d+ s\)", "", (ROOT / page).read_text())
        assert same, page
    own = [
        (claim.id, (STORED["claim"] == claim.id).sum(), Path("reference/figures/claims"))
        for claim in CLAIMS
        if not claim.figure
    ]
    assert drawn == own
    assert run("--check") == 0
    Path("docs/claims/rate.md").write_text("changed")
    assert run("--check") == 2 and "docs/claims/rate.md does not follow from" in capsys.readouterr().err


# --- The picture ------------------------------------------------------------------------------------------------------

ROWS = pd.DataFrame(
    [
        comparison("equal", 0.675, "=", 0.675),
        comparison("at least", 140.4, ">=", 100),
        comparison("at most", 1e-16, "<=", 1e-10),
        comparison("not met", 2.0, "<=", 1.0),
        comparison("below zero", -3.0, ">=", -5.0),
    ]
)


def marks(axis, marker):
    """(place, row) of the marks of a shape."""
    return [tuple(line.get_xydata()[0]) for line in axis.lines if line.get_marker() == marker]


def test_each_comparison_has_a_row_with_its_two_numbers():
    (axis,) = comparisons_figure(ROWS, "title", "sentence").axes
    assert marks(axis, "|") == [(row.expected, at) for at, row in enumerate(ROWS.itertuples())]
    assert marks(axis, "o") == [(row.measured, at) for at, row in enumerate(ROWS.itertuples()) if row.met]
    assert marks(axis, "X") == [(2.0, 3)]
    assert [text.get_text() for text in axis.texts][:2] == ["0.675 (0.675)", "140.4 (>= 100)"]
    low, high = axis.get_xlim()
    assert low < -5 and high > 140.4


def test_what_is_shaded_is_what_would_refute():
    """A measured number lies in a shaded part of its row if and only if it is not met, wherever on the scale it is."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        scale = 10.0 ** rng.uniform(-6, 3, 8) * rng.choice([-1, 1], 8)
        rows = [
            comparison("x", value * rng.choice([1.0, 1.5, 3.0]), relation, value)
            for value, relation in zip(scale, ["=", "<=", ">=", "="] * 2, strict=True)
        ]
        table = pd.DataFrame(rows)
        # Points nearer to each other than the gap cannot be told apart; "=" within 1e-9 counts as met.
        (axis,) = comparisons_figure(table, "t").axes
        for at, row in enumerate(table.itertuples()):
            share, expected = comparisons._share(axis, row.measured), comparisons._share(axis, row.expected)
            if row.measured == row.expected or abs(share - expected) < 0.02:
                continue
            spans = [
                (p.get_x(), p.get_x() + p.get_width()) for p in axis.patches if p.get_y() < at < p.get_y() + p.get_height()
            ]
            assert any(low < share < high for low, high in spans) == (not row.met), (row, spans, share)


def test_numbers_of_one_size_are_on_a_linear_scale_and_others_on_a_logarithmic_one():
    for expected, scale in ((2.0, "linear"), (0.0, "linear"), (1e-3, "symlog")):
        (axis,) = comparisons_figure(pd.DataFrame([comparison("x", 3.0, ">=", expected)]), "t").axes
        assert axis.get_xscale() == scale
        shares = [comparisons._share(axis, tick) for tick in axis.get_xticks()]
        if scale == "symlog":
            assert 0.0 in axis.get_xticks() and np.diff(shares).min() >= comparisons.ROOM


def test_no_picture_without_numbers():
    with pytest.raises(InputError, match="comparisons have no row, expected one row a comparison"):
        comparisons_figure(ROWS[:0], "t")
    with pytest.raises(InputError, match="comparisons have no column met"):
        comparisons_figure(ROWS.drop(columns="met"), "t")
    with pytest.raises(InputError, match="not finite"):
        comparisons_figure(ROWS.assign(measured=np.nan), "t")


def test_the_committed_pictures_are_small_and_readable():
    for path in sorted((ROOT / "reference/figures/claims").iterdir()):
        with Image.open(io.BytesIO(path.read_bytes())) as picture:
            assert picture.width == 1152 and path.stat().st_size < 80_000
