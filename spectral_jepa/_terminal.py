"""What a command shows: tables within the terminal's width, progress with an honest end, the opening of what it wrote."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

# A table that is not printed to a terminal has this width, too.
COLUMNS = 80
GAP = "  "
# When the remaining time is believed: estimates in a row, their largest ratio, and the least time that has passed.
ESTIMATES, RATIO, SECONDS = 4, 1.25, 2.0
UNSTEADY = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]"


def frame_text(table: pd.DataFrame, number: str = "{:.3g}", *, width: int | None = None) -> str:
    """A table as text no wider than the terminal, with every column in it.

    As pandas prints it where that fits; else headings take up to three lines, and if that does not suffice, the table is cut
    into blocks one below another, each of which begins with the columns that say what a row is.

    Parameters
    ----------
    table : DataFrame
        Its index is not shown.
    number : str
        Format of a float.
    width : int, optional
        Default: of the terminal (of COLUMNS, where that is set), 80 where there is none.

    Returns
    -------
    str
        Lines of at most ``width`` characters, as long as ``width`` is at least 20.

    Notes
    -----
    O(cells).

    Examples
    --------
    >>> table = pd.DataFrame({"world": ["ring", "torus"], "pretraining error": [0.5, 0.25], "goal regret": [0.1, 0.0]})
    >>> print(frame_text(table, "{:.2f}", width=30))
    world  pretraining    goal
                 error  regret
     ring         0.50    0.10
    torus         0.25    0.00
    >>> print(frame_text(table, "{:.2f}", width=20))
    world  pretraining
                 error
     ring         0.50
    torus         0.25
    <BLANKLINE>
    world    goal
           regret
     ring    0.10
    torus    0.00
    """
    width = max(20, shutil.get_terminal_size((COLUMNS, 24)).columns if width is None else width)
    if not len(table.columns):
        return "(no columns)"
    if table.empty:
        return textwrap.fill(f"(no rows; columns {', '.join(map(str, table.columns))})", width)
    whole = table.to_string(index=False, float_format=number.format)
    if max(map(len, whole.splitlines())) <= width:
        return whole
    # What a row is stands first: text and whole numbers, up to the first measured number, if they leave room for others.
    first = _column(table.iloc[:, [0]], number, width // 2 - len(GAP) if table.shape[1] > 1 else width)
    room = width - _column_width(first) - len(GAP)
    columns = [first, *(_column(table.iloc[:, [at]], number, room) for at in range(1, table.shape[1]))]
    widest, n_keys = max(map(_column_width, columns[1:]), default=0) + len(GAP), 1
    while (
        n_keys < len(columns) - 1
        and not pd.api.types.is_float_dtype(table.dtypes.iloc[n_keys])
        and _width(columns[: n_keys + 1]) <= min(width // 2, width - widest)
    ):
        n_keys += 1
    keys, block, blocks = columns[:n_keys], columns[:n_keys], []
    for column in columns[n_keys:]:
        if _width([*block, column]) > width and len(block) > n_keys:
            blocks.append(block)
            block = list(keys)
        block = [*block, column]
    return "\n\n".join(_block_text(part) for part in [*blocks, block])


# A column: lines of its heading, and of each of its cells.
Column = tuple[list[str], list[list[str]]]


def _column(table: pd.DataFrame, number: str, most: int) -> Column:
    # Cell by cell as pandas prints the column: digits are the same as in a table that fits.
    shown = [line.strip() for line in table.to_string(index=False, header=False, float_format=number.format).split("\n")]
    cells = [textwrap.wrap(cell, most) or [""] for cell in shown]
    name = str(table.columns[0])
    # Headings break at spaces and behind underscores, in at most three lines.
    words = re.findall(r"[^ _]+_*|_+", name) or [""]
    narrow = max([*map(len, words), *(len(line) for cell in cells for line in cell)])
    heading = _fold(name, narrow)
    while len(heading) > 3:
        narrow += 1
        heading = _fold(name, narrow)
    if max(map(len, heading)) > most:
        heading = [piece for line in heading for piece in textwrap.wrap(line, most)]
    return heading, cells


def _fold(text: str, width: int) -> list[str]:
    lines = [""]
    for word in re.findall(r"[^ _]+_*|_+| +", text):
        if lines[-1] and len((lines[-1] + word).rstrip()) > width:
            lines.append("")
        lines[-1] += word if lines[-1] else word.lstrip()
    return [line.rstrip() for line in lines]


def _column_width(column: Column) -> int:
    heading, cells = column
    return max(len(line) for part in [heading, *cells] for line in part)


def _width(columns: Sequence[Column]) -> int:
    return sum(map(_column_width, columns)) + len(GAP) * (len(columns) - 1)


def _block_text(columns: Sequence[Column]) -> str:
    widths = [_column_width(column) for column in columns]
    lines = []
    for parts in zip(*([heading, *cells] for heading, cells in columns), strict=True):
        for at in range(max(map(len, parts))):
            texts = (part[at] if at < len(part) else "" for part in parts)
            lines.append(GAP.join(text.rjust(size) for text, size in zip(texts, widths, strict=True)).rstrip())
    return "\n".join(lines)


def print_frame(table: pd.DataFrame, number: str = "{:.3g}") -> None:
    """Print :func:`frame_text` of a table."""
    print(frame_text(table, number))


def steady(estimates: Sequence[float]) -> bool:
    """Whether the last estimates of one duration agree well enough to be shown.

    Parameters
    ----------
    estimates : sequence of float
        Of the whole duration, in the order in which they were made.

    Returns
    -------
    bool
        The last four lie within a factor of 1.25.

    Examples
    --------
    >>> steady([90, 10, 11, 10.5, 11]), steady([10, 11, 10]), steady([10, 11, 10, 13])
    (True, False, False)
    """
    last = estimates[-ESTIMATES:]
    return len(last) == ESTIMATES and max(last) <= RATIO * min(last)


class Bar(tqdm):
    """tqdm's bar that says when it will be done only once it can know.

    The first cells of a sweep pay for the start of its workers, and the first steps of a training for what is compiled: what
    they promise is wrong by a factor. So the remaining time is left out until :func:`steady`, and then stays.

    Examples
    --------
    >>> import io
    >>> with Bar(total=3, file=io.StringIO()) as bar:
    ...     _ = bar.update()
    ...     "<" in str(bar)
    False
    """

    _estimates: list[float]
    _counted = 0
    _believed = False

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the line is made of; without the remaining time while that is not known."""
        values = dict(super().format_dict)
        total, done = values.get("total"), values["n"] - values["initial"]
        if not total or values.get("bar_format"):
            return values
        if not self._believed:
            if done > self._counted:
                self._counted = done
                self._estimates = [*getattr(self, "_estimates", []), values["elapsed"] * (total - values["initial"]) / done]
            self._believed = values["elapsed"] >= SECONDS and steady(getattr(self, "_estimates", []))
        return values if self._believed or values["n"] >= total else values | {"bar_format": UNSTEADY}


def has_display() -> bool:
    """Whether this session can show a window.

    Examples
    --------
    >>> has_display() in (True, False)
    True
    """
    return sys.platform in ("win32", "darwin") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def open_file(path: Path) -> None:
    """Show a picture or a page in the browser, or say in one sentence on stderr that this session cannot.

    Parameters
    ----------
    path : Path
        That is there.

    Notes
    -----
    Does not wait for the window to close. A browser of the terminal is not started: it would take the terminal away.
    """
    if not has_display():
        print(f"Not opened, because this session has no display: {path}", file=sys.stderr)
    elif not webbrowser.open(path.resolve().as_uri()):
        print(f"Not opened, because no browser was found: {path}", file=sys.stderr)
