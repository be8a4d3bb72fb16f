"""A verdict is never stronger than its evidence: the kinds of fault that a referee once found in claims.toml."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = {entry["id"]: entry for entry in tomllib.loads((ROOT / "experiments" / "claims.toml").read_text())["claim"]}
# What says how far a measurement reaches.
SCOPE = r"worlds|tried|measured|small size|with our constants|in our build|the search|of the table|\bhere\b"


@pytest.mark.parametrize("claim", [one for one in CLAIMS.values() if one["evidence"] == "table"], ids=lambda one: one["id"])
def test_what_was_measured_in_runs_names_its_reach_and_refutes_nothing(claim):
    """Runs can show that something is not seen; a refutation takes a counterexample that is computed."""
    assert re.search(SCOPE, claim["verdict"]), claim["verdict"]
    assert not re.search(r"\b(refuted|false|corrected to)\b", claim["verdict"]), claim["verdict"]


@pytest.mark.parametrize(
    "claim", [one for one in CLAIMS.values() if one.get("experiment") == "pixels"], ids=lambda one: one["id"]
)
def test_pixel_verdicts_say_at_which_size(claim):
    assert re.search(r"small size|our build", claim["verdict"]), claim["verdict"]
    assert "refuted" not in claim["verdict"]


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda one: one["id"])
def test_a_reading_is_called_ours(claim):
    """Nothing is ascribed to a paper as implied; what we read into it, we say."""
    assert "implied" not in claim["printed"] + claim["statement"] + claim["verdict"]


@pytest.mark.parametrize("claim", ["thm-4.1", "thm-4.1-exact", "thm-4.2", "sharpest-proved", "corrected-4.1-4.2"])
def test_planning_verdicts_name_their_planner(claim):
    assert re.search(r"planner", CLAIMS[claim]["verdict"])


def test_the_figure_of_a_refuted_bound_shows_it_below_the_regret():
    """Of the figures that draw printed bounds only that of ``sharpest`` draws worlds in which they fail."""
    for name in ("thm-4.1", "sharpest-printed", "sharpest-proved"):
        assert (CLAIMS[name]["experiment"], CLAIMS[name]["figure"]) == ("sharpest", "sharpest.png")


@pytest.mark.parametrize(
    "claim, words",
    [
        ("lewm-gaussian", "finite worlds .* atoms cannot be Gaussian"),
        ("lewm-straightness", "not seen here: .* Push-T, .* was not measured"),
        ("sub-lower-rank-better", "finite worlds tried .* paper's own tasks were not measured"),
        ("lewm-slices-knots", "nobody claims"),
        ("headline-tail", "is our reading"),
        ("sub-bias-variance", "by pretraining risk.* by regret it need not"),
        ("determinism", "values .* do not decay; the tail does"),
        ("soft-whitening", "almost every start .* f = 0 is stationary"),
        ("sub-rank-independent", "some optimum always, for every one at almost every spectrum"),
        ("thm-4.2", "over the pairs planned for or over all pairs"),
        ("thm-4.3-shared", "translation invariance alone is not enough"),
    ],
)
def test_hypotheses_that_were_once_left_out(claim, words):
    assert re.search(words, " ".join(CLAIMS[claim]["verdict"].split()))
