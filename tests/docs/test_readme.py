"""The README and the pages that teach do what they say: every block runs and prints what is shown, every link leads on.

```python and ```bash blocks run, each alone in an empty folder; an ```output block is what the block before it prints, with
"..." for anything; a ```text block is not run. No other kind of block is allowed, so that none can escape. The block of
pixel commands runs in tests/pixels/test_cli.py, which goes on in its folder. Links of every Markdown file are followed.
"""

import doctest
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import spectral_jepa as sj

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\S*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
# Pages that teach: how many of their blocks run, how many of these show what they print, and what the others speak of.
TAUGHT = {
    "notebook": (4, 3, ["micropip"]),
    "tutorial": (8, 7, []),
    "howto": (4, 4, ["pixels collect", "--dask"]),
    "index": (0, 0, ["make reproduce"]),
}
TEXTS = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in TAUGHT}
TAUGHT_BLOCKS = {
    name: re.findall(r"^```(\S*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE) for name, text in TEXTS.items()
}
RUNS = {"python": [sys.executable, "-c"], "bash": ["bash", "-euo", "pipefail", "-c"]}
SHOWN = {i - 1: text for i, (language, text) in enumerate(BLOCKS) if language == "output"}
CASES = [
    pytest.param(language, code, SHOWN.get(i), id=f"{i}-{language}")
    for i, (language, code) in enumerate(BLOCKS)
    if language in RUNS and not code.startswith("spectral-jepa pixels")
]

# They train for thousands of steps.
LONG = {"howto-6", "tutorial-12"}
TAUGHT_CASES = {
    name: [
        pytest.param(
            language,
            code,
            next((text for kind, text in blocks[i + 1 : i + 2] if kind == "output"), None),
            id=f"{name}-{i}",
            marks=[pytest.mark.slow] if f"{name}-{i}" in LONG else [],
        )
        for i, (language, code) in enumerate(blocks)
        if language in RUNS
    ]
    for name, blocks in TAUGHT_BLOCKS.items()
}


def agrees(wanted, got):
    return doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)


@pytest.mark.parametrize(("language", "code", "wanted"), [*CASES, *itertools.chain(*TAUGHT_CASES.values())])
def test_block_runs_and_prints_what_is_shown(language, code, wanted, tmp_path):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "MPLBACKEND": "Agg", "COLUMNS": "120"}
    run = subprocess.run(
        [*RUNS[language], code],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert wanted is None or agrees(wanted, run.stdout), f"the page shows\n{wanted}\nbut this was printed\n{run.stdout}"


def test_a_wrong_number_would_be_noticed():
    assert agrees("regret 0.67 ...", "regret 0.67 of 1\n")
    assert not agrees("regret 0.67 ...", "regret 0.68 of 1\n")


def test_no_block_escapes():
    languages = [language for language, _ in BLOCKS]
    assert set(languages) == {"python", "bash", "output", "text"}
    assert README.count("\n```") == 2 * len(BLOCKS)
    # No output is shown without a block before it that makes it.
    assert sum(case.values[2] is not None for case in CASES) == languages.count("output") >= 5
    # One block runs elsewhere.
    assert len(CASES) == languages.count("python") + languages.count("bash") - 1
    # What is not run is the installation, and nothing else.
    (commands,) = (code for language, code in BLOCKS if language == "text")
    assert commands.split() == ["make", "reproduce"]


def test_the_slow_blocks_are_those_that_train():
    slow = {case.id: case.values[1] for case in itertools.chain(*TAUGHT_CASES.values()) if case.marks}
    assert slow.keys() == LONG and all("train_jepa" in code for code in slow.values())


@pytest.mark.parametrize("name", TAUGHT)
def test_no_block_of_a_page_escapes(name):
    run, shown, spoken = TAUGHT[name]
    languages = [language for language, _ in TAUGHT_BLOCKS[name]]
    assert TEXTS[name].count("\n```") == 2 * len(languages) and set(languages) <= {"python", "bash", "output", "text"}
    assert len(TAUGHT_CASES[name]) == languages.count("python") + languages.count("bash") == run
    assert sum(case.values[2] is not None for case in TAUGHT_CASES[name]) == languages.count("output") == shown
    # What is not run needs a browser, a cluster, another file or minutes.
    texts = [code for language, code in TAUGHT_BLOCKS[name] if language == "text"]
    assert len(texts) == len(spoken) and all(word in text for word, text in zip(spoken, texts, strict=True))


def test_named_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (?:TORCH=\S+ )?([a-z][a-z-]*)`", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_continuous_integration_runs_the_same_command():
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "make test" in script and "\tmake test-browser-quick" in script and os.access(ROOT / ".ci" / "run", os.X_OK)


PAGES = [path for path in ROOT.glob("*.md")] + [*ROOT.glob("docs/**/*.md"), *ROOT.glob("classroom/*.md")]


def anchors(path):
    """Fragments that GitHub gives the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```$", "", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text())
    broken = []
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        target, _, fragment = link.partition("#")
        goal = (page.parent / target).resolve() if target else page
        if not goal.exists() or (fragment and goal.suffix == ".md" and fragment not in anchors(goal)):
            broken.append(link)
    assert broken == []


def test_a_broken_link_would_be_noticed(tmp_path):
    (tmp_path / "a.md").write_text("# Title: one\n\n[x](a.md#title-one) [y](b.md)\n")
    assert anchors(tmp_path / "a.md") == {"title-one"}
    with pytest.raises(AssertionError):
        test_every_link_leads_somewhere(tmp_path / "a.md")


def test_citation_is_valid_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == sj.__version__
    notes = " ".join(paper["notes"] for paper in citation["references"])
    assert notes == "arXiv:2606.27014 arXiv:2603.19312 arXiv:2605.09241"
    assert all(paper["title"] and paper["authors"] and paper["type"] for paper in citation["references"])


def test_functions_of_the_table_are_public():
    table = README.partition("| statement | function |")[2].partition("| in the code |")[0]
    names = re.findall(r"`(\w+)`", table)
    assert len(names) > 15
    assert [name for name in names if name not in sj.__all__] == []
