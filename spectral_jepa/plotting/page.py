"""One self-contained HTML page from headings, sentences, tables, figures and animations: no script, no file beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from spectral_jepa._files import write_atomic
from spectral_jepa._validation import InputError
from spectral_jepa.plotting.style import STYLE

# A section is its heading and what follows it, in order.
Part = str | pd.DataFrame | Figure | Path
Section = tuple[str, Sequence[Part]]
_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
img { max-width: 100%; display: block; margin: .8rem 0; } img.pixels { image-rendering: pixelated; min-width: 50%; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; margin: .8rem 0; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #e4e4e4; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #777; } td:first-child, th:first-child { text-align: left; }
code { background: #f3f3f3; padding: .1rem .3rem; }
"""


def write_page(path: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write a page; the same content gives the same bytes.

    Parameters
    ----------
    path : Path
        The .html file.
    title : str
    sections : sequence of (heading, parts)
        A part is a sentence (text in backticks is set as code), a table, a figure, or the path of a .gif or .png file.
        Everything is embedded.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        A picture that is neither .gif nor .png.

    Examples
    --------
    >>> import tempfile
    >>> parts = ["Run `report`.", pd.DataFrame({"x": [1 / 3]})]
    >>> path = write_page(Path(tempfile.mkdtemp()) / "page.html", "A < B", [("Numbers", parts)])
    >>> text = path.read_text()
    >>> "A &lt; B" in text, "<code>report</code>" in text, "0.3333" in text
    (True, True, True)
    """
    body = [f"<h1>{html.escape(title)}</h1>"]
    for heading, parts in sections:
        body.append(f"<h2>{html.escape(heading)}</h2>")
        body += [_part(part, heading) for part in parts]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_CSS}</style>"
    )
    lines = ["<!doctype html>", '<html lang="en">', f"<head>{head}</head>", "<body>", *body, "</body>", "</html>", ""]
    text = "\n".join(lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())
    return path


def _part(part: Part, heading: str) -> str:
    if isinstance(part, str):
        pieces = html.escape(part).split("`")
        return "<p>" + "".join(f"<code>{x}</code>" if i % 2 else x for i, x in enumerate(pieces)) + "</p>"
    if isinstance(part, pd.DataFrame):
        shown = part.to_html(index=False, border=0, na_rep="", float_format=lambda x: f"{x:.4g}", justify="unset")
        return f'<div class="table">{shown}</div>'
    alt = html.escape(heading, quote=True)
    if isinstance(part, Figure):
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            part.savefig(buffer, format="png", metadata={"Software": None})
        return f'<img alt="{alt}" src="{_inline("image/png", buffer.getvalue())}">'
    kinds = {".gif": "image/gif", ".png": "image/png"}
    if part.suffix not in kinds:
        raise InputError(f"{part} is a {part.suffix or 'nameless'} file, expected .gif or .png: convert it")
    # Animations are small pictures: enlarge them without smoothing.
    style = ' class="pixels"' if part.suffix == ".gif" else ""
    return f'<img{style} alt="{alt}" src="{_inline(kinds[part.suffix], part.read_bytes())}">'


def _inline(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
