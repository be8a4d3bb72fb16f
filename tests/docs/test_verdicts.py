"""A verdict is never stronger than its evidence: the kinds of fault that a referee once found in claims.toml."""

import re
import tomllib
from pathlib import Path

import pandas as pd
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


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda one: one["id"])
def test_the_outcome_that_is_counted_is_what_the_verdict_says(claim):
    said = {
        "holds": r"(hold|holds|proved)\b(?! once)",
        "refuted": r"(refuted|inherits the failure)\b",
        "corrected": r"corrected|hold once|true where|do not decay",
        "not seen": r"not\b",
        "in part": r"in part|depends|not where|not in every|not a law|found|needed it is not|seen for|for the|holds|"
        r"no finite world",
        "measured": r"\d",
    }[claim["outcome"]]
    found = re.search if claim["outcome"] in ("corrected", "measured") else re.match
    assert found(said, " ".join(claim["verdict"].split())) or claim["id"] == "sec-5-controls", claim["verdict"]
    if claim["evidence"] == "table":
        assert claim["outcome"] not in ("refuted", "corrected")


def test_the_figure_of_a_refuted_bound_shows_it_below_the_regret():
    """Of the figures that draw printed bounds only that of ``sharpest`` draws worlds in which they fail.

    Thm 4.1 and 4.2 have a picture of their own numbers: bound and regret on one scale.
    """
    for name in ("sharpest-printed", "sharpest-proved"):
        assert (CLAIMS[name]["experiment"], CLAIMS[name]["figure"]) == ("sharpest", "sharpest.png")
    stored = pd.read_csv(ROOT / "reference" / "claims.csv").set_index(["claim", "quantity"])["measured"]
    for name, regret, bound in (
        ("thm-4.1", "reset MDP, regret of the Euclidean planner", "reset MDP, printed bound"),
        ("thm-4.1-exact", "shared encoder, leak: regret of the Euclidean planner", "its printed bound"),
        ("thm-4.2", "reset MDP, T = 2, regret", "reset MDP, printed bound"),
    ):
        assert "figure" not in CLAIMS[name] and stored[name, bound] < 0.02 * stored[name, regret]


@pytest.mark.parametrize(
    "claim, words",
    [
        ("lewm-gaussian", "finite worlds .* atoms cannot be Gaussian"),
        ("lewm-straightness", "seen for .* as far as growing goes: .* straight they are not"),
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
