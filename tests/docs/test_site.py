"""The site builds without a warning and without a network, leads nowhere that is not there, and holds every public name.

One build serves all tests of this file; links are checked on the finished pages, hand-written HTML included.
"""

import ast
import html
import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import spectral_jepa as sj

# The build takes one to two minutes: `make test-slow`, and `make docs` is as strict.
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
CLAIMS = tomllib.loads((ROOT / "experiments" / "claims.toml").read_text(encoding="utf-8"))


class Page(HTMLParser):
    """What a page links to and loads, its anchors and its text."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in ("img", "script", "iframe", "source") and given.get("src"):
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") != "canonical" and given.get("href"):
            self.loads.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The finished pages, built strictly; a proxy that nobody answers stands for the missing network."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    run = subprocess.run(
        [sys.executable, "docs/site/build.py", str(folder)],
        cwd=ROOT,
        env=os.environ | nowhere | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return {path.relative_to(folder).as_posix(): Page(path) for path in folder.rglob("*.html")} | {"": folder}


def pages(site):
    return {name: page for name, page in site.items() if name and not name.startswith("classroom/")}


def test_every_link_leads_to_a_place_that_is_there(site):
    folder, broken = site[""], []
    for name, page in pages(site).items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            goal = (folder / name).parent / unquote(parts.path) if parts.path else folder / name
            target = goal.resolve().relative_to(folder.resolve()).as_posix()
            if not goal.is_file():
                broken.append(f"{name}: {link}")
            elif parts.fragment and target in site and unquote(parts.fragment) not in site[target].anchors:
                broken.append(f"{name}: {link} (no such anchor)")
    assert broken == []


def test_no_page_loads_anything_from_elsewhere(site):
    assert {name: link for name, page in pages(site).items() for link in page.loads if urlsplit(link).netloc} == {}
    styles = "".join(path.read_text(encoding="utf-8") for path in site[""].rglob("*.css"))
    assert re.findall(r"(?:url\(|@import )['\"]?https?:", styles) == []


def test_every_public_name_is_in_the_reference(site):
    anchors = set().union(*(page.anchors for name, page in site.items() if name.startswith("api/")))
    missing = [name for name in sj.__all__ if f"{getattr(sj, name).__module__}.{name}" not in anchors]
    assert missing == [] and len(sj.__all__) > 100


def test_every_claim_has_a_card_that_leads_to_a_statement_which_leads_back(site):
    claims, text = site["claims.html"], (site[""] / "claims.html").read_text(encoding="utf-8")
    assert {claim["id"] for claim in CLAIMS["claim"]} <= claims.anchors
    assert text.count('<article class="claim"') == len(CLAIMS["claim"]) + len(CLAIMS["not_run"])
    for claim in CLAIMS["claim"]:
        card = text.partition(f'id="{claim["id"]}"')[2].partition("</article>")[0]
        theory = re.findall(r'href="([^"#]+)"', card.partition('class="theory"')[2])
        assert theory and html.escape(claim["statement"], quote=False).replace("`", "") in re.sub("</?code>", "", card)
        for target in theory:
            back = [link for link in site[target].links if link.endswith(f"claims.html#{claim['id']}")]
            assert back or target in ("pixels.html", "bridge.html"), (claim["id"], target)


def test_every_section_of_the_theory_is_a_page(site):
    sections = re.findall(r"(?m)^##+ (\d+(?:\.\d+)?)\.? ", (ROOT / "docs" / "theory.md").read_text(encoding="utf-8"))
    assert len(sections) > 25
    assert [s for s in sections if f"theory/{s.replace('.', '-')}.html" not in site] == []


def test_every_file_of_docs_is_a_page_without_an_edit(site):
    named = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"theory"}
    listed = {urlsplit(link).path.removesuffix(".html") for link in site["index.html"].links}
    assert [name for name in named if name != "index" and name not in listed] == []


def test_formulas_are_whole(site):
    text = (site[""] / "theory" / "4-1.html").read_text(encoding="utf-8")
    assert text.count("<math") > 20 and "\\" not in "".join(re.findall(r"<math.*?</math>", text, flags=re.DOTALL))


def test_a_formula_that_is_not_known_is_refused(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    from mathml import MathError, to_mathml

    assert to_mathml(r"\mathbb E \mathbf{.5}").count("𝔼") == 1
    with pytest.raises(MathError, match="nosuch"):
        to_mathml(r"\nosuch{x}")


def test_the_gallery_ran_every_example(site):
    examples = sorted((ROOT / "examples" / "gallery").glob("plot_*.py"))
    assert len(examples) >= 6
    for path in examples:
        assert any("sphx_glr_" in source for source in site[f"gallery/{path.stem}.html"].loads)
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
