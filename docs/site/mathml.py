"""Formulas as MathML, converted while the site is built: no script, no font and no network where it is read."""

import re
import unicodedata
from html import unescape

from docutils import nodes
from latex2mathml.converter import convert

# Browsers draw no mathvariant but "normal": other letters are characters of their own.
VARIANTS = {
    "double-struck": "DOUBLE-STRUCK",
    "bold": "BOLD",
    "fraktur": "FRAKTUR",
    "script": "SCRIPT",
    "bold-italic": "BOLD ITALIC",
    "sans-serif": "SANS-SERIF",
}
# Letters that stood in Unicode before its mathematical alphabets did.
OLDER = {"double-struck": "BLACK LETTER", "fraktur": "BLACK-LETTER", "script": "SCRIPT"}
# What the converter does not know, in words that it does.
SPELLINGS = [
    (r"\\(big|Big|bigg|Bigg)[lrm]?\s*\\[lr]?Vert", "\\\\\\1\u2016"),
    (r"\\(big|Big|bigg|Bigg)[lrm]?\s*\\[lr]?vert", r"\\\1|"),
    (r"\\(?:big|Big|bigg|Bigg)[lrm]?\s*(\\[lr](?:floor|ceil))", r"\1"),
    (r"\\(hat|tilde|bar)(\\[a-zA-Z]+)", r"\\\1{\2}"),
    (r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}"),
]


class MathError(Exception):
    """A formula that was not converted whole."""


def letter(match):
    """One character of a mathematical alphabet for a letter or digit that asks for it by ``mathvariant``."""
    variant, text = match[1], unescape(match[2])
    if variant == "normal" or variant not in VARIANTS or len(text) != 1:
        return match[0]
    kind = unicodedata.name(text).replace("LATIN ", "").replace("LETTER ", "").replace("DIGIT", "DIGIT")
    names = [f"MATHEMATICAL {VARIANTS[variant]} {kind}"]
    names.append(f"DOUBLE-STRUCK {kind}" if variant == "double-struck" else f"{OLDER.get(variant, '')} {kind}")
    for name in names:
        try:
            return f"<mi>{unicodedata.lookup(name)}</mi>"
        except KeyError:
            continue
    return match[0]


def to_mathml(formula, display="inline", number=None):
    """MathML of a formula in LaTeX; MathError where a command is left over."""
    tag = re.search(r"\\tag\{([^}]*)\}", formula)
    text = formula.replace(tag[0], "") if tag else formula
    for pattern, replacement in SPELLINGS:
        text = re.sub(pattern, replacement, text)
    try:
        markup = convert(text.strip(), display=display)
    except Exception as error:
        raise MathError(f"{formula!r} is not converted: {type(error).__name__}") from error
    if "\\" in markup:
        raise MathError(f"{formula!r} has a command that is not known: ...{markup[markup.index(chr(92)) :][:30]}")
    markup = re.sub(r'<mi mathvariant="([\w-]+)">([^<]+)</mi>', letter, markup)
    number = tag[1] if tag else number
    if number:
        markup = f'{markup}<span class="eqno">({number})</span>'
    return markup


def visit(display):
    """The visitor of formulas within a line or on their own."""

    def visit_math(translator, node):
        try:
            markup = to_mathml(node.astext(), display)
        except MathError as error:
            from sphinx.util import logging

            logging.getLogger(__name__).warning(str(error), location=node)
            markup = f"<code>{translator.encode(node.astext())}</code>"
        if display == "inline" and len(node.astext()) > 40:
            markup = f'<span class="long">{markup}</span>'
        if display == "block":
            markup = f'<div class="formula">{markup}</div>\n'
        translator.body.append(markup)
        raise nodes.SkipNode

    return visit_math


def setup(app):
    """Sphinx calls this."""
    app.add_html_math_renderer("mathml", (visit("inline"), None), (visit("block"), None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
