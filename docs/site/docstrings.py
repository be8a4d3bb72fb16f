"""Docstrings are plain text with literals and doctests: what only looks like markup is escaped, links are added."""

import json
import re
from pathlib import Path

# Kept as it is: literals, roles, and what follows.
KEPT = re.compile(r"``.+?``|:[a-z:]+:`[^`]+`")


def escaped(text):
    """A line in which bars, stars and trailing underscores are characters, not markup; a single backquote is a literal."""
    parts, end = [], 0
    for match in KEPT.finditer(text):
        parts += [plain(text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*parts, plain(text[end:])])


def plain(text):
    """The same for a piece without literals."""
    text = re.sub(r"`([^`]+)`", r"``\1``", text)
    pieces = re.split(r"(``.+?``)", text)
    return "".join(
        piece if piece.startswith("``") else re.sub(r"(?<!\\)([*|])|(?<=\w)(_)(?!\w)", r"\\\1\2", piece) for piece in pieces
    )


def escape(app, what, name, obj, options, lines):
    """Before napoleon reads the sections."""
    if what == "module":
        lines[:] = formulas_as_blocks(lines)
    literal = None
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None and not line.lstrip().startswith(">>>"):
            if line.rstrip().endswith("::") and i + 1 < len(lines) and not lines[i + 1].strip():
                literal = indent
            before = i == 0 or not lines[i - 1].strip()
            example = not before and any(text.lstrip().startswith(">>>") for text in paragraph(lines, i))
            if not example:
                lines[i] = escaped(line)


def formulas_as_blocks(lines):
    """Paragraphs of a module's text that are laid out by hand, with lines moved in or columns, as literal blocks."""
    text = "\n".join(lines)
    parts = re.split(r"\n{2,}", text)
    for i, part in enumerate(parts):
        own = part.split("\n")
        moved = (
            len(own) > 1 and any(line.startswith("  ") for line in own) and not part.lstrip().startswith((">>>", "- ", "*"))
        )
        if moved or re.search(r"\S {4,}\S", part):
            parts[i] = "::\n\n" + "\n".join(f"    {line}" for line in own)
    return "\n\n".join(parts).split("\n")


def paragraph(lines, i):
    """The lines of the paragraph of line i that stand above it."""
    start = i
    while start and lines[start - 1].strip():
        start -= 1
    return lines[start:i]


def links(app, what, name, obj, options, lines):
    """After napoleon: which statements and claims rest on a function or class."""
    related = _related(app).get(name)
    if related:
        lines += ["", ".. rubric:: Where it is used", "", *[f"- {line}" for line in related], ""]


def _related(app):
    if not hasattr(app, "_spectral_related"):
        app._spectral_related = json.loads((Path(app.srcdir) / "related.json").read_text(encoding="utf-8"))
    return app._spectral_related


def skip(app, what, name, obj, skipped, options):
    """Leave out methods that scikit-learn writes into a class: their texts lead into its own pages."""
    return True if (getattr(obj, "__module__", None) or "").startswith("sklearn.") else None


def setup(app):
    """Sphinx calls this."""
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", escape, priority=400)
    app.connect("autodoc-process-docstring", links, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
