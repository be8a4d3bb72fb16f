"""paper_repro.md says what the code measures: it follows from its table, its names exist, its numbers come out again.

They come out on every machine: no number may depend on which of the equally good singular vectors LAPACK returns.
"""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import spectral_jepa as sj
from spectral_jepa import factorizers
from spectral_jepa._validation import InputError
from spectral_jepa.sweep.experiment import comparison, known_experiments, load_experiment

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
    assert list(comparison("equal", np.float64(1 + 1e-10), "=", 1)) == [
        "quantity",
        "relation",
        "expected",
        "measured",
        "met",
    ]
    assert comparison("equal", 1 + 1e-10, "=", 1)["met"] and comparison("equal", 1e9 + 0.5, "=", 1e9)["met"]
    assert comparison("at most", 1, "<=", 1)["met"] and comparison("at least", 1, ">=", 1)["met"]
    assert not comparison("too large", 2, "<=", 1)["met"]
    assert not comparison("too small", 1, ">=", 2)["met"]
    assert not comparison("off", 1 + 1e-6, "=", 1)["met"] and not comparison("nothing", np.nan, "<=", 1)["met"]
    with pytest.raises(InputError, match="relation is '<', expected one of '=', '<=', '>='"):
        comparison("less", 1, "<", 2)
    assert "NOT MET" in EXPERIMENT.module.report(REFERENCE.assign(met=False))


def test_there_are_as_many_as_ever():
    assert len(EXPERIMENT.module.CLAIMS) == 88 and len(REFERENCE) == 523
    assert sum(claim.evidence == "table" for claim in EXPERIMENT.module.CLAIMS) == 41


@pytest.mark.parametrize("claim", EXPERIMENT.module.CLAIMS, ids=lambda claim: claim.id)
def test_names_and_paths_exist(claim):
    for name in claim.functions:
        owner, _, attribute = name.rpartition(".")
        found = getattr(sj, attribute, None) or getattr(factorizers, attribute, None)
        if owner and hasattr(sj, owner) and not (Path(sj.__file__).parent / owner).is_dir():  # a method
            found = getattr(getattr(sj, owner), attribute)
        elif owner:
            found = getattr(importlib.import_module(f"spectral_jepa.{owner}"), attribute)
        assert found is not None, name
    assert (ROOT / claim.tests).is_file(), claim.tests
    assert callable(claim.function())
    assert [name for name in claim.tables if not (ROOT / "reference" / name).is_file()] == []
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


@pytest.mark.parametrize("entry", [{"evidence": "table"}, {"tables": ["a.csv"]}, {"evidence": "hearsay"}])
def test_evidence_is_computed_or_names_its_tables(entry):
    claim = dict(id="x", printed="", statement="", verdict="", functions=[], tests="", measure="", evidence="computed")
    EXPERIMENT.module.Claim(**claim)
    with pytest.raises(ValueError, match="claim x has evidence"):
        EXPERIMENT.module.Claim(**claim | entry)


@pytest.mark.parametrize("claim", EXPERIMENT.module.CLAIMS, ids=lambda claim: claim.id)
def test_every_line_says_what_measures_and_from_what(claim):
    (line,) = (row for row in (ROOT / "paper_repro.md").read_text().splitlines() if row.startswith(f"| **{claim.id}**:"))
    module, _, name = claim.measure.partition(":")
    assert re.search(rf"^def {name}\(rng, n\):$", (ROOT / "experiments" / f"{module}.py").read_text(), flags=re.MULTILINE)
    tables = ", ".join(f"[{table}](reference/{table})" for table in claim.tables)
    assert f"[{name}](experiments/{module}.py): {f'read from {tables}' if tables else 'computed anew'}<br>" in line


@pytest.fixture
def tables_read(monkeypatch):
    """Names below reference/ of the tables that pandas is asked for."""
    names = set()

    def noting(reader):
        def read(path, *args, **kwargs):
            names.add(Path(path).resolve().relative_to((ROOT / "reference").resolve()).as_posix())
            return reader(path, *args, **kwargs)

        return read

    for name in ("read_parquet", "read_csv"):
        monkeypatch.setattr(pd, name, noting(getattr(pd, name)))
    return names


@pytest.mark.parametrize("cell", EXPERIMENT.cells("quick"), ids=lambda cell: cell["claim"])
def test_numbers_come_out_again_from_the_evidence_that_is_declared(cell, tables_read):
    rows = pd.DataFrame(EXPERIMENT(**cell))
    declared = next(claim for claim in EXPERIMENT.module.CLAIMS if claim.id == cell["claim"]).tables
    assert tables_read == set(declared)
    reference = REFERENCE[REFERENCE["claim"] == cell["claim"]].reset_index(drop=True)
    assert rows["quantity"].tolist() == reference["quantity"].tolist()
    assert rows["met"].all()
    rounding = (np.abs(reference["measured"]) < ROUNDING) & (np.abs(rows["measured"]) < ROUNDING)
    np.testing.assert_allclose(rows["measured"][~rounding], reference["measured"][~rounding], rtol=1e-6)


# --- One number on all machines ---------------------------------------------------------------------------------------


@pytest.fixture
def other_vectors(monkeypatch):
    """Make numpy's SVD return other, equally good singular vectors: other signs, and another basis of equal values."""
    plain = np.linalg.svd
    rng = np.random.default_rng(0)

    def svd(matrix, full_matrices=True, compute_uv=True, hermitian=False):
        if full_matrices or not compute_uv:
            return plain(matrix, full_matrices, compute_uv, hermitian)
        left, values, right = (np.array(part) for part in plain(matrix, False))
        for at in np.ndindex(values.shape[:-1]):
            groups = np.split(np.arange(values.shape[-1]), np.flatnonzero(np.diff(values[at]) < -1e-12) + 1)
            for group in groups:
                turn = np.linalg.qr(rng.standard_normal((len(group), len(group))))[0]
                left[at][:, group] = left[at][:, group] @ turn
                right[at][group] = turn.T @ right[at][group]
        np.testing.assert_allclose((left * values[..., None, :]) @ right, matrix, atol=1e-10)
        return left, values, right

    monkeypatch.setattr(np.linalg, "svd", svd)


@pytest.fixture
def worlds(monkeypatch):
    """The helper module, imported as a script in its folder imports it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(ROOT / "experiments")
    yield importlib.import_module("_claims_worlds")
    sys.modules.pop("_claims_worlds")


def models(worlds, shared, stationary, whole=True, count=150):
    """Phat of random truncations, cut at the end of a group of equal values, or wherever the draw says."""
    rng = np.random.default_rng(5)
    result = []
    for _ in range(count):
        world = worlds.stationary_world(rng) if stationary else worlds.random_world(rng)
        if whole:
            result.append(worlds.random_embedding(rng, world, shared=shared).transition())
        else:
            dim = int(rng.integers(1, world.n_states + 1))
            result.append(sj.spectral_embedding(sj.CoOccurrence.exact(world), dim, shared=shared).transition())
    return result


@pytest.mark.parametrize("stationary", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_random_models_are_the_same_whatever_vectors_lapack_returns(worlds, request, shared, stationary):
    cut, before = models(worlds, shared, stationary, whole=False), models(worlds, shared, stationary)
    request.getfixturevalue("other_vectors")
    after = models(worlds, shared, stationary)
    assert max(np.abs(a - b).max() for a, b in zip(before, after, strict=True)) < 1e-10
    if stationary and not shared:  # the control: such worlds have equal values, and a cut among them has no one model
        other = models(worlds, shared, stationary, whole=False)
        assert sum(np.abs(a - b).max() > 1e-3 for a, b in zip(cut, other, strict=True)) >= 3


def test_whole_groups_end_where_every_action_has_a_gap(worlds):
    values = np.array([[1.0, 0.5, 0.5, 0.5 - 1e-11, 0.2, 0.0], [1.0, 0.9, 0.8, 0.7, 0.7, 0.0]])
    assert [worlds.whole_groups(values[0], dim) for dim in range(1, 7)] == [1, 4, 4, 4, 5, 6]
    assert [worlds.whole_groups(values[1], dim) for dim in range(1, 7)] == [1, 2, 3, 5, 5, 6]
    assert [worlds.whole_groups(values, dim) for dim in range(1, 7)] == [1, 5, 5, 5, 5, 6]
    assert worlds.whole_groups(np.ones((3, 4)), 1) == 4


@pytest.mark.parametrize("claim", ["corrected-4.1-4.2", "corrected-4.3", "corrected-4.4", "gauge", "thm-4.1"])
def test_measured_numbers_are_the_same_whatever_vectors_lapack_returns(claim, request):
    cell = {"claim": claim, "n_instances": 400, "seed": 0}
    before = EXPERIMENT(**cell)
    request.getfixturevalue("other_vectors")
    for one, two in zip(before, EXPERIMENT(**cell), strict=True):
        assert two["measured"] == pytest.approx(one["measured"], rel=1e-9, abs=ROUNDING), one["quantity"]
