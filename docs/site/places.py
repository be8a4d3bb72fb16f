"""Where each file of the repository is read on the site, and links rewritten to lead there."""

import ast
import html
import os
import posixpath
import re
from pathlib import Path

import pandas as pd
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

ROOT = Path(__file__).resolve().parents[2]
# Files of Markdown outside docs/ that are pages.
PAGES = {
    "README.md": "index",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "classroom/README.md": "classroom",
    "paper_repro.md": "claims",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")
CODE = re.compile(r"(?<!`)`([A-Za-z_][\w./-]*)(\([^`]*\))?`(?!`)")
# Test files by name, which is unique.
TESTS = {path.name: path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
FENCE = re.compile(r"(^ *(?:```+|~~~+|:::+).*?^ *(?:```+|~~~+|:::+) *$)", re.DOTALL | re.MULTILINE)
LEXERS = {
    ".py": "python",
    ".toml": "toml",
    ".csv": "text",
    ".yml": "yaml",
    ".sh": "bash",
    ".md": "markdown",
    ".html": "html",
}


class Places:
    """Documents of the site by the path of the file that they show, and the pages of files that links ask for.

    ``documents`` maps a path below the repository to the name of a document; ``sections`` a path and a fragment to one, for
    a file that is split; ``names`` a name of the code to its document and anchor; ``files`` are the paths that links lead
    to and that have no page of their own yet.
    """

    def __init__(self):
        self.documents = dict(PAGES)
        self.sections = {}
        self.names = {}
        self.files = set()
        self.pictures = set()
        self.extra = set()

    def document(self, path):
        """The document that shows a file, made if there is none."""
        if path not in self.documents:
            self.files.add(path)
        return self.documents.get(path, f"files/{path}")

    def href(self, here, document, fragment=""):
        """A relative address from one document to a place in another."""
        folder = posixpath.dirname(here)
        target = posixpath.relpath(f"{document}.html", folder or ".")
        return html.escape(target + (f"#{fragment}" if fragment else ""))

    def file_href(self, here, path):
        """A relative address to a file that is copied beside the pages."""
        return html.escape(posixpath.relpath(path, posixpath.dirname(here) or "."))

    def anchor(self, here, text, document, fragment=""):
        """A link as HTML: ``text`` is Markdown."""
        return f'<a class="reference internal" href="{self.href(here, document, fragment)}">{text}</a>'

    def to_claim(self, here, claim):
        """A link to the card of a claim."""
        return self.anchor(here, html.escape(claim), "claims", claim)

    def to_name(self, here, name, text=None):
        """A link to a name of the code, or the name alone where it has no page."""
        place = self.names.get(name)
        shown = f"<code>{html.escape(text or name)}</code>"
        return self.anchor(here, shown, *place) if place else shown

    def to_file(self, here, path, text=None):
        """A link to the page of a file."""
        return self.anchor(here, text or html.escape(posixpath.basename(path)), self.document(path))

    def rewrite(self, text, path, here):
        """Markdown of the file at ``path`` as the document ``here``: links, pictures and names lead to the site."""
        pieces = FENCE.split(text)
        for i in range(0, len(pieces), 2):
            pieces[i] = LINK.sub(lambda match: self._link(match, path, here), pieces[i])
            lines = pieces[i].split("\n")
            pieces[i] = "\n".join(line if line.startswith("#") else CODE.sub(self._code(here), line) for line in lines)
        for i in range(1, len(pieces), 2):
            pieces[i] = re.sub(r"\A( *```+)(output)\b", r"\1text", pieces[i])
        return "".join(pieces)

    def _code(self, here):
        def replace(match):
            place = self.names.get(match[1].removeprefix("sj.").removeprefix("spectral_jepa."))
            shown = f"<code>{html.escape(match[0].strip('`'))}</code>"
            if place:
                return self.anchor(here, shown, *place)
            path = TESTS.get(match[1], match[1])
            known = path in self.documents or ((ROOT / path).suffix in LEXERS and (ROOT / path).is_file())
            return self.to_file(here, path, shown) if known else match[0]

        return replace

    def _link(self, match, path, here):
        picture, text, target = match.groups()
        target, _, fragment = target.partition("#")
        goal = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if not (ROOT / goal).exists():
            raise FileNotFoundError(f"{path} links to {target}, which is not there")
        if picture:
            self.pictures.add(goal)
            return f"![{text}](/{goal})"
        if goal.startswith("docs/claims/"):
            return self.anchor(here, text, "claims", self.sections.get((goal, fragment), ""))
        if (goal, fragment) in self.sections:
            return self.anchor(here, text, self.sections[goal, fragment])
        if goal.startswith("reference/figures/") and goal.endswith(".png"):
            return self.anchor(here, text, "figures", figure_anchor(goal))
        if goal.endswith((".html", ".png", ".gif")):
            self.extra.add(goal)
            return f'<a class="reference internal" href="{self.file_href(here, goal)}">{text}</a>'
        return self.anchor(here, text, self.document(goal), fragment if goal in self.documents else "")


def figure_anchor(path):
    """The anchor of a committed figure on the page of figures."""
    return "figure-" + re.sub(r"[^a-z0-9]+", "-", path.removeprefix("reference/figures/").removesuffix(".png").lower())


def first_sentence(path):
    """The first line of what a Python file says of itself, or of a page of Markdown; empty where there is none."""
    text = path.read_text(encoding="utf-8") if path.is_file() and path.suffix in (".py", ".md") else ""
    if path.suffix == ".py":
        said = ast.get_docstring(ast.parse(text)) or ""
        return said.partition("\n")[0]
    # The paragraph below the title, up to its first full stop.
    body = re.sub(r"\A# .*\n+", "", text)
    paragraph = " ".join(body.partition("\n\n")[0].split())
    match = re.match(r".*?[.:](?= [A-Z*\[]|$)", paragraph)
    return match[0] if match else paragraph


def file_page(places, path, related):
    """The page of a file or folder, as HTML of its own: what it says of itself, what rests on it, and its text."""
    here, full = places.document(path), ROOT / path
    if full.is_dir():
        items = []
        for name in sorted(name for name in os.listdir(full) if not name.startswith((".", "__pycache__"))):
            readable = (full / name).suffix in LEXERS and (full / name).stat().st_size < 200_000
            shown = places.to_file(here, f"{path}/{name}") if readable else html.escape(name)
            said = html.escape(first_sentence(full / name))
            items.append(f"<li>{shown}{': ' if said else ''}{said}</li>")
        body = f"<ul>{''.join(items)}</ul>"
    else:
        body = shown_file(full)
    rests = f"<p>What rests on it: {' · '.join(related)}</p>" if related else ""
    return FRAME.format(
        title=html.escape(posixpath.basename(path)),
        path=html.escape(path),
        home=places.href(here, "index"),
        static=places.file_href(here, "_static"),
        body=rests + body,
    )


def shown_file(full):
    """Text of a file with its colours; of a table its size and columns; of anything else its size."""
    if full.suffix == ".parquet":
        table = pd.read_parquet(full)
        return f"<p>A table of {len(table):,} rows. Columns: {html.escape(', '.join(map(str, table.columns)))}.</p>"
    try:
        text = full.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return f"<p>A binary file of {full.stat().st_size:,} bytes.</p>"
    return highlight(
        text, get_lexer_by_name(LEXERS.get(full.suffix, "text")), HtmlFormatter(linenos="inline", lineanchors="line")
    )


FRAME = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - spectral_jepa</title><link rel="stylesheet" href="{static}/pygments.css">
<link rel="stylesheet" href="{static}/site.css"></head>
<body class="file"><p><a href="{home}">spectral_jepa</a> / <code>{path}</code></p><h1>{title}</h1>{body}</body></html>
"""
