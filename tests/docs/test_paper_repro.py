"""paper_repro.md and docs/claims say what the code measures: they follow from their table, and its numbers come out again.

They come out on every machine: no number may depend on which of the equally good singular vectors LAPACK returns.
"""

import importlib
import re
import sys
import tomllib
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
PAGES = {path: (ROOT / path).read_text() for path in EXPERIMENT.module.pages(REFERENCE)}
# The page of the worlds' tables is wide, and means its italics; the others are read on a telephone.
NARROW = [page for page in PAGES if page != "docs/worlds_measured.md"]
CLAIMS = EXPERIMENT.module.CLAIMS
# Below this an "expected <= 1e-10" is met by rounding error, which no two machines share.
ROUNDING = 1e-8


def test_the_files_follow_from_their_table_and_no_other_lies_beside_them():
    assert EXPERIMENT.module.pages(REFERENCE) == PAGES
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "claims").iterdir()}
    assert found | {"paper_repro.md", "docs/worlds_measured.md"} == set(PAGES)


def test_the_readme_carries_the_score():
    readme = (ROOT / "README.md").read_text()
    assert EXPERIMENT.module.with_score(readme) == readme
    score = PAGES["paper_repro.md"].splitlines()[2]
    assert score.endswith("not run.**") and f"<!-- score -->{score}<!-- /score -->" in readme
    assert EXPERIMENT.module.with_score(readme.replace("hold in part", "hold")) == readme


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
    worse = EXPERIMENT.module.pages(REFERENCE.assign(met=False))
    assert sum(text.count("- NOT MET: ") for text in worse.values()) == len(REFERENCE)
    assert not any("NOT MET" in text for text in PAGES.values())


def test_there_are_as_many_as_ever():
    assert len(EXPERIMENT.module.CLAIMS) == 110 and len(REFERENCE) == 760
    assert sum(claim.evidence == "table" for claim in EXPERIMENT.module.CLAIMS) == 63


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
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
    assert claim.experiment is None or claim.experiment in known_experiments()
    assert (ROOT / "reference" / "figures" / claim.picture).is_file(), claim.picture


def broken_links(pages):
    """Links to a file that is not there, or to a heading that is on no page."""
    broken = []
    for page, text in pages.items():
        for link in re.findall(r"\]\(([^)]+)\)", text):
            path, _, fragment = link.partition("#")
            target = (ROOT / page).parent / path if path else ROOT / page
            name = target.resolve().relative_to(ROOT).as_posix()
            if not target.exists() or (fragment and fragment not in headings(pages.get(name, ""))):
                broken.append((page, link))
    return broken


def headings(text):
    """What GitHub links them by: small letters, digits, hyphens for spaces, and _ are kept."""
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return ["".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_") for title in titles]


def test_every_link_leads_somewhere():
    assert sum(text.count("](") for text in PAGES.values()) > 88 * 5
    assert broken_links(PAGES) == []
    # A page without its headings, and a link to nothing.
    assert len(broken_links(PAGES | {"docs/claims/printed.md": "empty"})) >= 16
    assert broken_links({"paper_repro.md": "[a](nothing.md) [b](#nothing)"}) == [
        ("paper_repro.md", "nothing.md"),
        ("paper_repro.md", "#nothing"),
    ]


def test_every_theory_test_is_cited():
    cited = {Path(claim.tests).name for claim in EXPERIMENT.module.CLAIMS}
    supporting = set(re.findall(r"tests/theory/(test_\w+\.py)", (ROOT / "docs" / "theory.md").read_text()))
    assert {path.name for path in (ROOT / "tests" / "theory").glob("test_*.py")} <= cited | supporting


@pytest.mark.parametrize("entry", [{"evidence": "table"}, {"tables": ["a.csv"]}, {"evidence": "hearsay"}])
def test_evidence_is_computed_or_names_its_tables(entry):
    claim = dict(id="x", theme="printed", printed="", statement="", outcome="holds", verdict="", functions=[], tests="")
    claim |= dict(measure="", evidence="computed")
    EXPERIMENT.module.Claim(**claim)
    with pytest.raises(ValueError, match="claim x has evidence"):
        EXPERIMENT.module.Claim(**claim | entry)
    with pytest.raises(ValueError, match="claim x has theme 'printed' and outcome 'true'"):
        EXPERIMENT.module.Claim(**claim | {"outcome": "true"})


def section(claim):
    """The text below a claim's heading on the page of its theme, up to the next heading."""
    text = PAGES[f"docs/claims/{claim.theme}.md"]
    (found,) = re.findall(rf"^### {re.escape(claim.id)}\n(.*?)(?=^### |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return found


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_every_section_has_its_parts_evidence_first(claim):
    text = section(claim)
    rows = REFERENCE[REFERENCE["claim"] == claim.id]
    module, _, name = claim.measure.partition(":")
    assert re.search(rf"^def {name}\(rng, n\):$", (ROOT / "experiments" / f"{module}.py").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows.itertuples(), strict=True):
        measured, expected, quantity = re.fullmatch(r"- \*\*(\S+)\*\* \((?:[<>]= )?(\S+)\) (.*)", line).groups()
        assert quantity == row.quantity
        assert float(measured) == pytest.approx(row.measured, rel=5.1e-4, abs=0)
        assert float(expected) == pytest.approx(row.expected, rel=5.1e-4, abs=0)
    tables = [f"[{table}](../../reference/{table})" for table in claim.tables]
    parts = [
        f"> {claim.statement}",
        f"> {claim.printed}",
        claim.verdict,
        lines[0],
        f"Figure: [{Path(claim.picture).name}](../../reference/figures/{claim.picture})",
        f"Test: [{Path(claim.tests).name}](../../{claim.tests})",
        f"Command: `spectral-jepa repro {claim.id}` (",
        f"Evidence: [{name}](../../experiments/{module}.py), " + ("read from " if tables else "computed anew"),
        *tables,
        *(f"`{function}`" for function in claim.functions),
    ]
    # In this order; the outcome is in bold and begins with a capital, in front of the verdict or as its first words.
    plain, place = text.replace("**", "").lower(), 0
    for part in parts:
        place = plain.find(part.replace("**", "").lower(), place)
        assert place >= 0, part
    assert re.search(
        r"^\*\*(Holds|Holds in part|Refuted|Corrected|Not seen here|Answered by a number)\*\*", text, re.MULTILINE
    )
    assert re.search(r" · Command: `[^`]+` \(\d+(\.\d)? (s|min|h)\)$", text, flags=re.MULTILINE)
    if claim.figure:
        assert f", {claim.panel} (`spectral-jepa sweep {claim.experiment}`)" in text
    if tables:
        assert re.search(rf"\(`spectral-jepa sweep {claim.experiment}( --preset paper)? --keep`(, .* of one core)?\)", text)


def test_the_score_is_that_of_the_entries():
    entries = tomllib.loads((ROOT / "experiments/claims.toml").read_text())
    words = {
        "holds": "hold",
        "in part": "hold in part",
        "refuted": "refuted",
        "corrected": "corrected",
        "not seen": "not seen here",
        "measured": "answered by a number",
    }

    def score(claims):
        counts = {word: sum(claim["outcome"] == outcome for claim in claims) for outcome, word in words.items()}
        assert sum(counts.values()) == len(claims)
        return ", ".join(f"{count} {word}" for word, count in counts.items() if count)

    front = PAGES["paper_repro.md"].splitlines()
    total = f"{len(entries['claim'])} claims: {score(entries['claim'])}; {len(entries['not_run'])} not run."
    assert front[2] == f"**{total}**"
    for theme, title in entries["themes"].items():
        chosen = [claim for claim in entries["claim"] if claim["theme"] == theme]
        assert chosen and f"{score(chosen)}. [Evidence](docs/claims/{theme}.md)" in front[front.index(f"## {title}") + 2]
        assert f"**{len(chosen)} claims: {score(chosen)}.**" in PAGES[f"docs/claims/{theme}.md"]
    # Every claim stands in the index once, with its outcome, and every one that was not run below.
    index = [line for line in front if re.match(r"- \[", line)]
    assert sorted(re.match(r"- \[(\S+)\]", line).group(1) for line in index) == sorted(c["id"] for c in entries["claim"])
    assert len(front[front.index("## Not run") + 2 :]) == len(entries["not_run"])


def too_wide(text):
    """What would make a page wider than a narrow screen: long lines of a table, fences, words that cannot be broken."""
    wide = [line for line in text.splitlines() if line.startswith(("|", "    ", "```")) and len(line) > 100]
    shown = re.sub(r"\]\([^)]*\)", "]", text)  # of a link only its text is seen
    return wide + [word for word in shown.split() if len(word) > 62]


@pytest.mark.parametrize("page", NARROW)
def test_no_page_is_wide_or_long(page):
    assert too_wide(PAGES[page]) == []
    # Lines of 100 characters at 900 px: the front page took 15,598 px once, at 24 px a line.
    assert sum(1 + len(re.sub(r"\]\([^)]*\)", "]", line)) // 100 for line in PAGES[page].splitlines()) < 400


def test_a_wide_page_is_noticed():
    assert len(too_wide("| " + "a b " * 30 + "|")) == 1 and len(too_wide("x" * 63)) == 1
    assert too_wide(f"[short]({'x' * 200}) words") == []


def test_nothing_of_the_pages_is_read_as_markup():
    """Underscores, stars and bars of formulas come out as they are written: nothing in italics, no tables."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("gfm-like", {"linkify": False})
    for page in NARROW:
        text = PAGES[page]
        tokens = [child for token in parser.parse(text) for child in [token, *(token.children or [])]]
        kinds = {token.type for token in tokens}
        assert not kinds & {"em_open", "s_open", "table_open", "html_block", "html_inline", "image", "code_block"}, page
    assert "em_open" in {t.type for token in parser.parse("a *b* c") for t in token.children or []}


def test_what_a_figure_shows_is_said_or_it_draws_the_claim_itself():
    own = [claim for claim in CLAIMS if claim.figure is None]
    assert {path.name for path in (ROOT / "reference/figures/claims").iterdir()} == {f"{claim.id}.png" for claim in own}
    assert all(claim.panel for claim in CLAIMS if claim.figure) and 0 < len(own) < len(CLAIMS)
    claim = dict(id="x", theme="printed", printed="", statement="", outcome="holds", verdict="", functions=[], tests="")
    claim |= dict(measure="", evidence="computed", experiment="spectra")
    with pytest.raises(ValueError, match="claim x has figure"):
        EXPERIMENT.module.Claim(**claim, figure="spectra.png")


def test_durations_are_rounded_up_so_that_a_busy_machine_changes_little():
    rounded = EXPERIMENT.module.claim_pages.rounded_up
    assert [rounded(s) for s in (0.0, 0.3, 1.0, 1.01, 2.5, 5.1, 11, 49, 51, 130)] == [1, 1, 1, 2, 5, 10, 20, 50, 100, 200]
    assert set(REFERENCE["seconds"]) <= {1, 2, 5, 10, 20, 50, 100, 200, 500}
    assert (REFERENCE.groupby("claim")["seconds"].nunique() == 1).all()


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


# Thousands of plans each; the same statements are tested on other worlds every day (tests/property).
LONG = ("corrected-4.1-4.2", "corrected-4.3", "corrected-4.4", "corrected-4.5", "pooled-4.1", "euclidean-bias")


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(cell, id=cell["claim"], marks=[pytest.mark.slow] if cell["claim"] in LONG else [])
        for cell in EXPERIMENT.cells("quick")
    ],
)
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
