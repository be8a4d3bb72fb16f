"""paper_repro.md says what the code measures: it follows from its table, its names exist, its numbers come out again."""

import importlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import spectral_jepa as sj
from spectral_jepa import factorizers
from spectral_jepa.sweep.experiment import known_experiments, load_experiment

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = load_experiment("claims")
REFERENCE = pd.read_csv(ROOT / "reference" / "claims.csv")
# Below this an "expected <= 1e-10" is met by rounding error, which no two machines share.
ROUNDING = 1e-8


def test_the_file_follows_from_its_table():
    assert (ROOT / "paper_repro.md").read_text() == EXPERIMENT.module.report(REFERENCE)


def test_every_comparison_is_met_and_every_claim_has_one():
    assert REFERENCE["met"].all()
    assert list(dict.fromkeys(REFERENCE["claim"])) == [claim.id for claim in EXPERIMENT.module.CLAIMS]


def test_a_comparison_can_fail():
    row = EXPERIMENT.module.row
    assert not row("too large", 2, "<=", 1)["met"]
    assert not row("off", 1 + 1e-6, "=", 1)["met"]
    assert "NOT MET" in EXPERIMENT.module.report(REFERENCE.assign(met=False))


@pytest.mark.parametrize("claim", EXPERIMENT.module.CLAIMS, ids=lambda claim: claim.id)
def test_names_and_paths_exist(claim):
    for name in claim.functions.split(","):
        owner, _, attribute = name.strip().rpartition(".")
        found = getattr(sj, attribute, None) or getattr(factorizers, attribute, None)
        if owner and hasattr(sj, owner) and not (Path(sj.__file__).parent / owner).is_dir():  # a method
            found = getattr(getattr(sj, owner), attribute)
        elif owner:
            found = getattr(importlib.import_module(f"spectral_jepa.{owner}"), attribute)
        assert found is not None, name
    assert (ROOT / claim.tests).is_file(), claim.tests
    if claim.experiment:
        assert claim.experiment in known_experiments()
        assert (ROOT / "reference" / "figures" / claim.figure).is_file(), claim.figure


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "paper_repro.md").read_text())
    assert len(links) > 40
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_theory_test_is_cited():
    cited = {Path(claim.tests).name for claim in EXPERIMENT.module.CLAIMS}
    supporting = set(re.findall(r"tests/theory/(test_\w+\.py)", (ROOT / "docs" / "theory.md").read_text()))
    assert {path.name for path in (ROOT / "tests" / "theory").glob("test_*.py")} <= cited | supporting


@pytest.mark.parametrize("cell", EXPERIMENT.cells("quick"), ids=lambda cell: cell["claim"])
def test_numbers_come_out_again(cell):
    rows = pd.DataFrame(EXPERIMENT(**cell))
    reference = REFERENCE[REFERENCE["claim"] == cell["claim"]].reset_index(drop=True)
    assert rows["quantity"].tolist() == reference["quantity"].tolist()
    assert rows["met"].all()
    rounding = (np.abs(reference["measured"]) < ROUNDING) & (np.abs(rows["measured"]) < ROUNDING)
    np.testing.assert_allclose(rows["measured"][~rounding], reference["measured"][~rounding], rtol=1e-6)
