"""One self-contained HTML page from headings, sentences, tables, figures and animations: it needs no other file, no network.

It reads on a telephone (390 px), on a desk (1280 px) and on paper. Tables can be sorted where scripts run and are whole
where they do not; what is wider than the window can be scrolled, and says so.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from spectral_jepa._files import write_atomic
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import InputError
from spectral_jepa.plotting.style import STYLE

# More rows of one table than anybody reads on a page; the page says how many are left out, and where they are.
MOST_ROWS = 400
LONG = 60


@dataclass(frozen=True)
class Picture:
    """A figure or a file with what it shows.

    Parameters
    ----------
    source : matplotlib Figure, or Path of a .gif or .png file
    caption : str
        Below it.
    columns : tuple of str
        Names of panels of one width that stand side by side in it, written above them.
    """

    source: Figure | Path
    caption: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class SideBySide:
    """Several things of one kind, beside each other where there is room.

    Parameters
    ----------
    parts : tuple of (name, parts)
        Each with its name above.
    """

    parts: tuple[tuple[str, Sequence[Part]], ...]


@dataclass(frozen=True)
class Folded:
    """What few readers want: closed until it is asked for, open in print.

    Parameters
    ----------
    title : str
        What is inside.
    parts : sequence of Part
    """

    title: str
    parts: Sequence[Part]


# A section is its heading and what follows it, in order.
Part = str | pd.DataFrame | Figure | Path | Picture | SideBySide | Folded
Section = tuple[str, Sequence[Part]]
# The shadow at the edge of a box is drawn by its background: it shows where there is more to scroll to, without a script.
_CSS = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 72rem; margin: 1.5rem auto;
       padding: 0 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .6rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .4rem; border-bottom: 1px solid #ddd; } h3 { font-size: 1rem; margin: .6rem 0 .2rem; }
p { max-width: 48rem; margin: .5rem 0; }
.verdict { border-left: 4px solid #0072B2; background: #f2f7fb; padding: .6rem .9rem; margin: .8rem 0; }
.verdict p { margin: .3rem 0; } .verdict p:first-child { font-size: 1.1rem; font-weight: 600; }
.warning { border-left: 4px solid #D55E00; background: #fdf3ec; padding: .5rem .9rem; margin: .6rem 0; }
nav { font-size: .9rem; margin: .6rem 0; } nav a { margin-right: .9rem; white-space: nowrap; }
figure { margin: 1rem 0; } img { max-width: 100%; display: block; } img.pixels { image-rendering: pixelated; width: 100%; }
figure.film { max-width: 36rem; }
figcaption, .hint { font-size: .85rem; color: #555; max-width: 48rem; }
.hint { display: none; } .wide + .hint { display: block; }
.panels { display: flex; font-size: .85rem; } .panels span { flex: 1; text-align: center; }
.scroll { overflow-x: auto; background:
  linear-gradient(90deg, #fff 30%, #fff0) 0 0 / 2.5rem 100% no-repeat local,
  linear-gradient(270deg, #fff 30%, #fff0) 100% 0 / 2.5rem 100% no-repeat local,
  linear-gradient(90deg, #0003, #0000) 0 0 / .8rem 100% no-repeat scroll,
  linear-gradient(270deg, #0003, #0000) 100% 0 / .8rem 100% no-repeat scroll; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1.2rem; }
.sides > section { min-width: 0; }
table { border-collapse: collapse; font-size: .85rem; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #e4e4e4; text-align: right; vertical-align: top; }
td { white-space: nowrap; } td.text { white-space: normal; text-align: left; min-width: 4rem; max-width: 28rem; }
td.long { min-width: 15rem; }
th { border-bottom: 1px solid #777; vertical-align: bottom; max-width: 9rem; } th.text { text-align: left; }
th[aria-sort]::after { content: " \\2191"; } th[aria-sort=descending]::after { content: " \\2193"; }
th button { all: unset; cursor: pointer; } th button:hover { text-decoration: underline; }
th button:focus-visible, summary:focus-visible { outline: 2px solid #0072B2; }
code { background: #f3f3f3; padding: .1rem .3rem; overflow-wrap: anywhere; } summary { cursor: pointer; margin: .6rem 0; }
.made { font-size: .85rem; color: #555; }
@media (max-width: 40rem) {
  body { margin: .8rem auto; } .broad img { max-width: none; width: 44rem; } h1 { font-size: 1.25rem; }
}
@media print {
  body { max-width: none; margin: 0; font-size: 10pt; } nav, .hint { display: none !important; }
  .scroll { overflow: visible; background: none; }
  td, td.text { white-space: normal; overflow-wrap: anywhere; min-width: 0; }
  table { font-size: 7pt; } th, td { padding: .1rem .25rem; } tr, figure, .verdict { break-inside: avoid; }
  h2, h3 { break-after: avoid; } .broad img { max-width: 100%; width: auto; }
  details::details-content { content-visibility: visible; height: auto; } .verdict, .warning { background: none; }
}
"""
# Sorts by the number of a cell where it has one, else by its text; empty cells stay last. Marks what is too wide.
_SCRIPT = """
document.querySelectorAll("table").forEach(table => {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  if (body.rows.length < 2) return;
  const key = (row, at) => { const cell = row.cells[at], value = cell.dataset.v;
    return cell.textContent === "" ? null : value === undefined ? cell.textContent : Number(value); };
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button"; button.title = "sort"; button.append(...head.childNodes); head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      [...body.rows].map((row, place) => [key(row, at), place, row]).sort(([a, i], [b, j]) => {
        if (a === null || b === null) return (a === null) - (b === null) || i - j;
        const both = typeof a === "number" && typeof b === "number";
        const order = both ? a - b : String(a).localeCompare(String(b), "en", {numeric: true});
        return (down ? -order : order) || i - j;
      }).forEach(([, , row]) => body.append(row));
    });
  });
});
const mark = () => document.querySelectorAll(".scroll").forEach(
  box => box.classList.toggle("wide", box.scrollWidth > box.clientWidth + 1));
addEventListener("load", mark); addEventListener("resize", mark);
document.querySelectorAll("details").forEach(box => box.addEventListener("toggle", mark));
let closed = [];
addEventListener("beforeprint", () => { closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach(box => box.open = true); });
addEventListener("afterprint", () => closed.forEach(box => box.open = false));
"""


def write_page(
    path: Path,
    title: str,
    sections: Sequence[Section],
    *,
    verdict: Sequence[str] = (),
    warnings: Sequence[str] = (),
    made: str = "",
    progress: bool = False,
) -> Path:
    """Write a page; the same content gives the same bytes.

    Parameters
    ----------
    path : Path
        The .html file.
    title : str
    sections : sequence of (heading, parts)
        A part is a sentence (text in backticks is set as code), a table, a figure, the path of a .gif or .png file, or
        one of the classes of this module. Everything is embedded.
    verdict : sequence of str
        What the page has to say, first of all.
    warnings : sequence of str
        What a reader must know before believing it: before the sections, marked.
    made : str
        The last line: what wrote the page, and when.
    progress : bool
        A bar on stderr: rendering figures takes most of the time.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        A picture that is neither .gif nor .png.

    Notes
    -----
    A number of a table is shown to four digits; the cell's ``data-v`` has all of them. Of a table of more than 400 rows the
    first 400 are shown, and a sentence says so.

    Examples
    --------
    >>> import tempfile
    >>> parts = ["Run `report`.", pd.DataFrame({"x": [1 / 3]})]
    >>> path = write_page(Path(tempfile.mkdtemp()) / "page.html", "A < B", [("Numbers", parts)], verdict=["It holds."])
    >>> text = path.read_text()
    >>> "A &lt; B" in text, "<code>report</code>" in text, 'data-v="0.3333333333333333">0.3333<' in text
    (True, True, True)
    >>> text.index("It holds.") < text.index("<h2")
    True
    """
    body = [f"<h1>{html.escape(title)}</h1>"]
    if verdict:
        body.append(f'<div class="verdict">{"".join(map(_sentence, verdict))}</div>')
    if warnings:
        body.append(f'<div class="warning" role="note">{"".join(map(_sentence, warnings))}</div>')
    if len(sections) > 2:
        links = "".join(f'<a href="#s{at}">{html.escape(heading)}</a>' for at, (heading, _) in enumerate(sections))
        body.append(f"<nav>{links}</nav>")
    with Bar(total=sum(len(parts) for _, parts in sections), desc=path.name, unit="part", disable=not progress) as bar:
        for at, (heading, parts) in enumerate(sections):
            body.append(f'<h2 id="s{at}">{html.escape(heading)}</h2>')
            for part in parts:
                body.append(_part(part, heading))
                bar.update()
    if made:
        body.append(f'<p class="made">{_marked(made)}</p>')
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_CSS}</style>"
    )
    body.append(f"<script>{_SCRIPT}</script>")
    lines = ["<!doctype html>", '<html lang="en">', f"<head>{head}</head>", "<body>", *body, "</body>", "</html>", ""]
    # A lone surrogate, of a file's name, is in no text.
    content = "\n".join(lines).encode(errors="replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    return path


def _marked(text: str) -> str:
    pieces = html.escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if at % 2 else piece for at, piece in enumerate(pieces))


def _sentence(text: str) -> str:
    return f"<p>{_marked(text)}</p>"


def _part(part: Part, heading: str) -> str:
    if isinstance(part, str):
        return _sentence(part)
    if isinstance(part, pd.DataFrame):
        return _table(part)
    if isinstance(part, SideBySide):
        sides = []
        for name, parts in part.parts:
            inside = "".join(_part(inner, f"{heading}: {name}") for inner in parts)
            sides.append(f"<section><h3>{html.escape(name)}</h3>{inside}</section>")
        return f'<div class="sides">{"".join(sides)}</div>'
    if isinstance(part, Folded):
        inner = "".join(_part(own, heading) for own in part.parts)
        return f"<details><summary>{_marked(part.title)}</summary>{inner}</details>"
    return _picture(part if isinstance(part, Picture) else Picture(part), heading)


def _picture(picture: Picture, heading: str) -> str:
    source, film, broad = picture.source, False, False
    if isinstance(source, Figure):
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            source.savefig(buffer, format="png", metadata={"Software": None})
        kind, content = "image/png", buffer.getvalue()
    else:
        kinds = {".gif": "image/gif", ".png": "image/png"}
        if source.suffix not in kinds:
            raise InputError(f"{source} is a {source.suffix or 'nameless'} file, expected .gif or .png: convert it")
        kind, content, film = kinds[source.suffix], source.read_bytes(), source.suffix == ".gif"
    if kind == "image/png" and content[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        # Panels side by side keep a legible size on a telephone, and are scrolled there.
        broad = width > 1.3 * height
    alt = html.escape(picture.caption or heading, quote=True)
    # Animations are small pictures: enlarge them without smoothing.
    shown = (
        f'<img{" class=pixels" if film else ""} alt="{alt}" src="data:{kind};base64,{base64.b64encode(content).decode()}">'
    )
    panels = "".join(f"<span>{html.escape(name)}</span>" for name in picture.columns)
    above = f'<div class="panels">{panels}</div>' if panels else ""
    caption = f"<figcaption>{_marked(picture.caption)}</figcaption>" if picture.caption else ""
    box = f'<div class="scroll broad">{shown}</div><p class="hint">Wider than the window: scroll it sideways.</p>'
    style = ' class="film"' if film else ""
    return f"<figure{style}>{above}{box if broad else shown}{caption}</figure>"


def _table(table: pd.DataFrame) -> str:
    kept = table.head(MOST_ROWS)
    # Text is read from the left, numbers are compared from the right.
    texts = [not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)) for kind in table.dtypes]
    style = [' class="text"' if text else "" for text in texts]
    # Names of columns break behind underscores.
    names = [html.escape(str(name)).replace("_", "_<wbr>") for name in table.columns]
    head = "".join(f'<th scope="col"{s}>{name}</th>' for s, name in zip(style, names, strict=True))
    columns = [kept.iloc[:, at].tolist() for at in range(table.shape[1])]
    rows = ("".join(_cell(value, s) for value, s in zip(row, style, strict=True)) for row in zip(*columns, strict=True))
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    left_out = _sentence(f"The first {len(kept):,} of {len(table):,} rows.") if len(kept) < len(table) else ""
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f'<p class="hint">The table is wider than the window: scroll it sideways.</p>{left_out}'
    )


def _cell(value: object, style: str) -> str:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return f"<td{style}></td>"
    if isinstance(value, float):
        # Infinity is the word of the script.
        return f'<td{style} data-v="{repr(value).replace("inf", "Infinity")}">{value:.4g}</td>'
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td{style} data-v="{value}">{value}</td>'
    text = str(value)
    # A sentence in a narrow column would be a tower of words.
    style = style.replace("text", "text long") if len(text) > LONG else style
    return f"<td{style}>{html.escape(text)}</td>"
