"""One page a statement of the theory: its text and proof from docs/, verdict, code, tests and figures from the claims."""

import html
import re
import tomllib
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
from places import ROOT, TESTS, figure_anchor

# Pages of docs/ that are one statement each, in the order in which they are read.
WHOLE = (
    "horizon_free",
    "horizon_free_extensions",
    "rate_and_constant",
    "price",
    "negatives",
    "effective_dimension",
    "sigreg_phase",
)
# Where a claim belongs that rests on no function of a statement.
HOMES = {
    "printed": "theory/1",
    "bridge": "bridge",
    "rate": "rate_and_constant",
    "dimension": "theory/7",
    "input": "theory/6",
    "collapse": "theory/5",
    "factors": "sigreg_phase",
    "subspaces": "effective_dimension",
    "pixels": "pixels",
    "worlds": "pixels",
    "searches": "pixels",
}
TEXTS = tomllib.loads((ROOT / "experiments" / "claims.toml").read_text(encoding="utf-8"))
CLAIMS = TEXTS["claim"]
TABLE = pd.read_csv(ROOT / "reference" / "claims.csv")


def slug(heading):
    """The fragment that GitHub, and MyST with it, gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def picture(claim):
    """Path of the figure that shows a claim's verdict."""
    return "reference/figures/" + (claim.get("figure") or f"claims/{claim['id']}.png")


@dataclass
class Statement:
    """A page of the theory: its document, the file that it is taken from, its title and text."""

    document: str
    path: str
    title: str
    text: str
    children: list = field(default_factory=list)

    @cached_property
    def tests(self):
        """Paths of the test files that the text names."""
        names = dict.fromkeys(re.findall(r"\btest_\w+\.py", self.text))
        return [TESTS[name] for name in names if name in TESTS]

    @cached_property
    def functions(self):
        """Names in the text that stand in code."""
        return list(dict.fromkeys(re.findall(r"`([A-Za-z_][\w.]*)", self.text)))


def split_theory(places):
    """The statements of docs/theory.md, and the text before the first: each section with a number is a page."""
    before, *parts = re.split(r"(?m)^(?=##+ \d)", (ROOT / "docs" / "theory.md").read_text(encoding="utf-8"))
    found = {}
    for part in parts:
        heading, _, text = part.partition("\n")
        title = heading.lstrip("# ")
        number = title.split()[0].rstrip(".")
        statement = Statement(f"theory/{number.replace('.', '-')}", "docs/theory.md", title, text)
        found[number] = statement
        places.sections["docs/theory.md", slug(title)] = statement.document
        if "." in number:
            found[number.split(".")[0]].children.append(statement)
    places.documents["docs/theory.md"] = "theory/index"
    return before, found


def whole_pages(places):
    """The statements that have a file each."""
    found = []
    for name in WHOLE:
        path = f"docs/{name}.md"
        heading, _, text = (ROOT / path).read_text(encoding="utf-8").partition("\n")
        found.append(Statement(name, path, heading.lstrip("# "), text))
    return found


def homes(statements):
    """Claim -> the documents that state it: they name its test and a function of it, or it names them, or its theme does."""
    found = {}
    # Section 0 has the notation, sections with others below them an introduction.
    stating = [s for s in statements if s.document != "theory/0" and not s.children]
    for claim in CLAIMS:
        test, functions = claim["tests"], set(claim["functions"])
        sections = re.findall(r"docs/theory\.md (\d(?:\.\d+)?)", claim["printed"])
        pages = re.findall(r"docs/(\w+)\.md", claim["printed"])
        named = [f"theory/{number.replace('.', '-')}" for number in sections]
        chosen = [s.document for s in statements if s.document in (*named, *pages)]
        chosen += [s.document for s in statements if test in s.tests and functions & set(s.functions)]
        for function in claim["functions"]:
            mentions = [s.document for s in stating if function in s.functions]
            # A function that everything uses says nothing of where a claim belongs.
            chosen += mentions if len(mentions) <= 2 else []
        found[claim["id"]] = list(dict.fromkeys(chosen or [HOMES.get(claim["theme"], "theory/index")]))
    return found


def verdict_text(claim, words):
    """The outcome in bold and the verdict, said once."""
    word = words.get(claim["outcome"], claim["outcome"])
    said = claim["verdict"].strip()
    rest = said[len(word) :] if re.match(rf"{re.escape(word)}\b", said) else f": {said}"
    return f"<strong>{word.capitalize()}</strong>{html.escape(rest)}"


def page(statement, places, claims, titles, words):
    """Markdown of a statement's page."""
    here = statement.document
    lines = [f"# {statement.title}", ""]
    if claims:
        lines += ['<ul class="verdicts">']
        for claim in claims:
            lines.append(
                f'<li data-outcome="{html.escape(claim["outcome"])}">{verdict_text(claim, words)} '
                f"({places.to_claim(here, claim['id'])}: {html.escape(claim['statement'])})</li>"
            )
        lines += ["</ul>", ""]
    text = places.rewrite(statement.text, statement.path, here)
    if statement.path == "docs/theory.md":
        text = link_numbers(text, places, here, titles)
    lines += [text.strip("\n"), ""]
    if statement.children:
        lines += ["```{toctree}", *(f"/{child.document}" for child in statement.children), "```", ""]
    lines += evidence(statement, places, claims)
    return "\n".join(lines) + "\n"


def evidence(statement, places, claims):
    """Code, tests and figures of a statement, as links and pictures."""
    here = statement.document
    functions = [name for name in statement.functions if name in places.names]
    functions += [name for claim in claims for name in claim["functions"] if name in places.names]
    tests = [*statement.tests, *(claim["tests"] for claim in claims)]
    pictures = list(dict.fromkeys(picture(claim) for claim in claims))
    if statement.children or not (functions or tests or pictures):
        return []
    lines = ["## Code, tests, figures", ""]
    if functions:
        lines += ["Code: " + ", ".join(places.to_name(here, name) for name in dict.fromkeys(functions)), ""]
    if tests:
        lines += ["Tests: " + ", ".join(places.to_file(here, path) for path in dict.fromkeys(tests)), ""]
    if claims:
        commands = ", ".join(f"`spectral-jepa repro {claim['id']}`" for claim in claims)
        lines += [f"Measured again and drawn by: {commands}", ""]
    for path in pictures:
        shown = [claim for claim in claims if picture(claim) == path]
        where = [claim["panel"] for claim in shown if claim.get("panel")]
        caption = "; ".join(dict.fromkeys(claim["statement"] for claim in shown))
        caption = html.escape(caption + (f" (panel: {'; '.join(where)})" if where else ""))
        places.pictures.add(path)
        lines += [
            f'<figure class="evidence"><a href="{places.href(here, "figures", figure_anchor(path))}">'
            f'<img loading="lazy" src="{places.file_href(here, path)}" alt="{caption}"></a>'
            f"<figcaption>{caption}</figcaption></figure>",
            "",
        ]
    return lines


def link_numbers(text, places, here, titles):
    """Numbers of sections in parentheses, (2.4) or (3.1, 3.2), and after "section", lead to their pages."""

    def one(match):
        document = titles.get(match[0])
        return places.anchor(here, match[0], document) if document and document != here else match[0]

    def group(match):
        return re.sub(r"\d\.\d+", one, match[0])

    pieces = re.split(r"(\$\$.*?\$\$|\$[^$]+\$|`[^`]+`|<a .*?</a>)", text, flags=re.DOTALL)
    for i in range(0, len(pieces), 2):
        pieces[i] = re.sub(r"\(\d\.\d+(?:(?:, | and | to )\d\.\d+)*\)", group, pieces[i])
        pieces[i] = re.sub(r"\bsections? \d\.\d+(?:(?:, | and | to )\d\.\d+)*", group, pieces[i])
    return "".join(pieces)
