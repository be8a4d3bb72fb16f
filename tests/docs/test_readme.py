"""The README and docs/notebook.md do what they say: every block runs and prints what is shown, every name and link leads on.

```python and ```bash blocks run, each alone in an empty folder; an ```output block is what the block before it prints, with
"..." for anything; a ```text block is not run. No other kind of block is allowed, so that none can escape. The block of
pixel commands runs in tests/pixels/test_cli.py, which goes on in its folder.
"""

import doctest
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
NOTEBOOK = (ROOT / "docs" / "notebook.md").read_text()
NOTEBOOK_BLOCKS = re.findall(r"^```(\S*)\n(.*?)^```$", NOTEBOOK, flags=re.DOTALL | re.MULTILINE)
RUNS = {"python": [sys.executable, "-c"], "bash": ["bash", "-euo", "pipefail", "-c"]}
SHOWN = {i - 1: text for i, (language, text) in enumerate(BLOCKS) if language == "output"}
CASES = [
    pytest.param(language, code, SHOWN.get(i), id=f"{i}-{language}")
    for i, (language, code) in enumerate(BLOCKS)
    if language in RUNS and not code.startswith("spectral-jepa pixels")
]

NOTEBOOK_CASES = [
    pytest.param(
        language,
        code,
        next((text for kind, text in NOTEBOOK_BLOCKS[i + 1 : i + 2] if kind == "output"), None),
        id=f"notebook-{i}-{language}",
    )
    for i, (language, code) in enumerate(NOTEBOOK_BLOCKS)
    if language in RUNS
]


def agrees(wanted, got):
    return doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)


@pytest.mark.parametrize(("language", "code", "wanted"), [*CASES, *NOTEBOOK_CASES])
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
    assert [line.split("#")[0].split()[:2] for line in commands.splitlines()] == [
        ["git", "clone"],
        ["make", "reproduce"],
        ["make", "test"],
    ]


def test_no_block_of_the_notebook_page_escapes():
    languages = [language for language, _ in NOTEBOOK_BLOCKS]
    assert NOTEBOOK.count("\n```") == 2 * len(NOTEBOOK_BLOCKS) and set(languages) == {"python", "output", "text"}
    assert len(NOTEBOOK_CASES) == languages.count("python") == 4
    assert sum(case.values[2] is not None for case in NOTEBOOK_CASES) == languages.count("output") == 3
    # What is not run needs a browser, and nothing else.
    (commands,) = (code for language, code in NOTEBOOK_BLOCKS if language == "text")
    assert "micropip" in commands


def test_named_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (?:TORCH=\S+ )?([a-z][a-z-]*)`", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_continuous_integration_runs_the_same_command():
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert script[-1] == "exec make test" and os.access(ROOT / ".ci" / "run", os.X_OK)


LINKS = {
    (page, link.partition("#")[0])
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/notebook.md")
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", (ROOT / page).read_text())
}


@pytest.mark.parametrize(("page", "target"), sorted(LINKS))
def test_link_leads_somewhere(page, target):
    assert (ROOT / target).exists()


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
