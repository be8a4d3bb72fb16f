"""How values show themselves: a line of shapes instead of arrays, and in a notebook a picture or a small table.

Only numpy and the standard library, so that a world draws itself in a browser too, without matplotlib: a map is inline SVG,
a matrix a PNG inside the page. All text is escaped.
"""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._late import sparse as sp
from spectral_jepa._validation import Array, InputError, as_float, check_indices, shown, shown_shape

# Anchors of viridis, which every colour vision orders; and from white to the blue of our figures and beyond.
VALUES = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
SHARES = ("#ffffff", "#a6cee3", "#0072b2", "#08304f")
# Of numbers with a sign: orange below 0, blue above.
SIGNED = ("#7f3000", "#e69f00", "#ffffff", "#0072b2", "#08304f")
WALL, FREE, GOAL, START, PATH, INK = "#4a4a4a", "#ffffff", "#e69f00", "#56b4e9", "#d55e00", "#1b1b1b"
# A matrix is shown with at most this many pixels a side; of more actions than this only the first are.
MAX_PIXELS, MAX_ACTIONS, MAX_ROWS = 160, 6, 8
# On the page a picture is at most so many pixels high.
TALLEST = 220
# A map with more cells than this is no picture any more.
MAX_CELLS = 10_000


@dataclass(frozen=True, repr=False)
class Picture:
    """A piece of HTML that a notebook shows: a map as inline SVG, a matrix as a PNG inside the page.

    Parameters
    ----------
    html : str
        Self-contained: no script, nothing loaded.
    title : str
        What it shows, in words.

    Examples
    --------
    >>> Picture("<b>2 x 2</b>", "a matrix")
    Picture('a matrix', 12 characters of HTML)
    """

    html: str
    title: str

    def __repr__(self) -> str:
        return f"Picture({self.title!r}, {len(self.html)} characters of HTML)"

    def _repr_html_(self) -> str:
        return self.html


def short_repr(record: Any) -> str:
    """A dataclass on one line: numbers and words as they are, of arrays only the shape.

    Parameters
    ----------
    record : dataclass instance

    Examples
    --------
    >>> @dataclass(repr=False)
    ... class Pair:
    ...     table: Any
    ...     n: int
    ...     __repr__ = short_repr
    >>> Pair(np.eye(200), 3)
    Pair(table=<200 x 200>, n=3)
    """
    parts = [f"{field.name}={_short(getattr(record, field.name))}" for field in fields(record) if field.repr]
    return f"{type(record).__name__}({', '.join(parts)})"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and not value.ndim:
        return _number(value.item())
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"<{shown_shape(value.shape) or 'one number'}>"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, (tuple, list, dict)):
        words = repr(value) if len(value) <= MAX_ROWS and all(_plain(part) for part in value) else ""
        return words if 0 < len(words) <= 60 else f"<{len(value)} entries>"
    if value is None or isinstance(value, (bool, int, str)):
        return shown(value)
    words = repr(value)
    return words if len(words) <= 120 and "\n" not in words else f"<{type(value).__name__}>"


def _plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str))


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def table_html(title: str, rows: Mapping[str, Any]) -> str:
    """A title and a table of two columns, what and how much; everything is escaped.

    Examples
    --------
    >>> table_html("A < B", {"states": 3})
    '<div><b>A &lt; B</b><table><tr><th>states</th><td>3</td></tr></table></div>'
    """
    lines = "".join(f"<tr><th>{_text(name)}</th><td>{_cell(value)}</td></tr>" for name, value in rows.items())
    return f"<div><b>{_text(title)}</b><table>{lines}</table></div>"


def frame_html(title: str, columns: Mapping[str, Sequence[Any]]) -> str:
    """A title and a table with one column a name; everything is escaped.

    Examples
    --------
    >>> frame_html("log", {"state": ["<hall>"]})
    '<div><b>log</b><table><tr><th>state</th></tr><tr><td>&lt;hall&gt;</td></tr></table></div>'
    """
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    rows = zip(*columns.values(), strict=True)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows)
    return f"<div><b>{_text(title)}</b><table><tr>{head}</tr>{body}</table></div>"


def _cell(value: Any) -> str:
    return _text(f"{value:.4g}" if isinstance(value, (float, np.floating)) else value)


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)


def shade(shares: NDArray[Any], colors: Sequence[str]) -> NDArray[np.uint8]:
    """Colours of numbers in [0, 1] along a line of colours, as bytes (..., 3); NaN is grey.

    Examples
    --------
    >>> shade(np.array([0.0, 0.5, 1.0]), ["#000000", "#ff0000"]).tolist()
    [[0, 0, 0], [128, 0, 0], [255, 0, 0]]
    """
    anchors = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors], dtype=np.float64)
    places = np.linspace(0, 1, len(anchors))
    known = np.nan_to_num(np.clip(shares, 0, 1))
    mixed = np.stack([np.interp(known, places, anchors[:, channel]) for channel in range(3)], axis=-1)
    mixed[np.isnan(shares)] = 190
    return np.rint(mixed + 1e-9).astype(np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A picture (rows, columns, 3) as a PNG file.

    Examples
    --------
    >>> png(np.zeros((2, 3, 3), dtype=np.uint8))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")


def shrink(matrix: Any, side: int = MAX_PIXELS) -> Array:
    """A matrix of at most ``side`` rows and columns: means over blocks of neighbouring entries. O(non-zeros).

    Examples
    --------
    >>> shrink(np.arange(16.0).reshape(4, 4), 2)
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    if max(matrix.shape) <= side:
        return np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix, dtype=np.float64)
    entries = sp.coo_array(matrix)
    shape = tuple(min(n, side) for n in matrix.shape)
    blocks = [np.arange(n) * m // n for n, m in zip(matrix.shape, shape, strict=True)]
    rows, columns = (block[place] for block, place in zip(blocks, entries.coords, strict=True))
    sums = np.bincount(np.ravel_multi_index((rows, columns), shape), weights=entries.data, minlength=shape[0] * shape[1])
    sizes = np.outer(np.bincount(blocks[0]), np.bincount(blocks[1]))
    return sums.reshape(shape) / sizes


def matrix_html(matrix: Any, alt: str, *, width: int = 150) -> str:
    """A matrix as a picture without smoothing: from 0 to its largest entry, or with white at 0 where there are two signs."""
    small = shrink(matrix)
    largest = float(np.abs(small).max(initial=0)) or 1.0
    signed = bool((small < 0).any())
    pixels = shade((small / largest + 1) / 2, SIGNED) if signed else shade(small / largest, SHARES)
    source = base64.b64encode(png(pixels)).decode()
    height = min(max(14, round(width * small.shape[0] / max(small.shape[1], 1))), TALLEST)
    style = "image-rendering:pixelated;border:1px solid #999"
    return (
        f'<img alt="{_text(alt)}" title="{_text(alt)}" width="{width}" height="{height}" style="{style}" '
        f'src="data:image/png;base64,{source}">'
    )


def matrices_html(title: str, matrices: Sequence[Any], names: Sequence[Any]) -> str:
    """Pictures side by side, each with its name; how many more there are, if there are."""
    style = "display:inline-block;margin:2px 8px 2px 0;text-align:center"
    parts = [
        f'<figure style="{style}">{matrix_html(matrix, f"{title}, {name}")}<figcaption>{_text(name)}</figcaption></figure>'
        for matrix, name in zip(matrices[:MAX_ACTIONS], names, strict=False)
    ]
    more = len(matrices) - MAX_ACTIONS
    parts += [f"<span>and {more} more</span>"] if more > 0 else []
    return f"<div><b>{_text(title)}</b><br>{''.join(parts)}</div>"


@dataclass(frozen=True, eq=False, repr=False)
class Map:
    """Where the states of a grid world lie: cells of a rectangle, of which what is no state is wall.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    rows, columns : int arrays (S,)
        Cell of each state.
    """

    shape: tuple[int, int]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def __repr__(self) -> str:
        return f"Map({self.shape[0]} x {self.shape[1]} cells, {self.rows.size} states)"

    def image(self, values: NDArray[Any]) -> Array:
        """Numbers of the states as a picture, NaN in walls."""
        picture = np.full(self.shape, np.nan)
        picture[self.rows, self.columns] = values
        return picture


def find_map(labels: Sequence[Any] | None, transition: Iterable[Any]) -> Map | None:
    """The map of a grid world: labels that are cells (row, column), and moves that reach the next cell at most.

    Parameters
    ----------
    labels : sequence, optional
        Of the states.
    transition : A matrices (S, S), dense or sparse

    Returns
    -------
    Map or None
        None for every other world.

    Examples
    --------
    >>> walk = np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    >>> find_map([(0, 0), (0, 1), (0, 2)], [walk])
    Map(1 x 3 cells, 3 states)
    >>> find_map([(0, 0), (0, 2), (0, 1)], [walk]) is find_map(None, [walk]) is None
    True
    """
    if labels is None or not all(
        isinstance(label, tuple) and len(label) == 2 and all(isinstance(n, int) and 0 <= n <= MAX_CELLS for n in label)
        for label in labels
    ):
        return None
    rows, columns = np.array(labels, dtype=np.int64).T
    shape = int(rows.max()) + 1, int(columns.max()) + 1
    if shape[0] * shape[1] > MAX_CELLS or len(labels) < 2:
        return None
    for matrix in transition:
        start, end = sp.coo_array(matrix).coords if sp.issparse(matrix) else np.nonzero(matrix)
        if (np.abs(rows[start] - rows[end]) + np.abs(columns[start] - columns[end]) > 1).any():
            return None
    return Map(shape, rows, columns)


def read_values(values: Any, n_states: int) -> Array | None:
    """Numbers of the states for a picture, checked."""
    return None if values is None else as_float("values", values, (n_states,))


def read_path(path: Any, n_states: int) -> NDArray[np.int64] | None:
    """States one after the other for a picture, checked."""
    if path is None:
        return None
    ids = check_indices("path", path, n_states, "state")
    if ids.ndim != 1 or not ids.size:
        raise InputError(f"path has shape {ids.shape}, expected (steps,): give the states in order, at least one")
    return ids


def map_svg(
    place: Map,
    title: str,
    labels: Sequence[Any],
    *,
    goals: NDArray[np.bool_],
    starts: NDArray[np.bool_],
    values: Array | None = None,
    path: NDArray[np.int64] | None = None,
) -> str:
    """A grid world as inline SVG: walls dark, goals ringed, starts dotted, values as colours, a path as a line."""
    n_rows, n_columns = place.shape
    side = max(8, min(34, 480 // max(n_rows, n_columns)))
    if values is None:
        fill = np.where(goals, GOAL, FREE).astype(object)
    else:
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
        fill = np.array(["#{:02x}{:02x}{:02x}".format(*color) for color in shade(scaled, VALUES)], dtype=object)
    words = f"{title}: {place.rows.size} states on {n_rows} x {n_columns} cells"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{side * n_columns + 2}" height="{side * n_rows + 2}" '
        f'viewBox="-1 -1 {side * n_columns + 2} {side * n_rows + 2}"><title>{_text(words)}</title>',
        f'<rect class="wall" width="{side * n_columns}" height="{side * n_rows}" fill="{WALL}"/>',
    ]
    for state, (row, column) in enumerate(zip(place.rows.tolist(), place.columns.tolist(), strict=True)):
        told = f"state {state}, {labels[state]}" + ("" if values is None else f": {values[state]:.4g}")
        parts.append(
            f'<rect class="cell" x="{column * side}" y="{row * side}" width="{side}" height="{side}" fill="{fill[state]}" '
            f'stroke="#bbbbbb" stroke-width=".5"><title>{_text(told)}</title></rect>'
        )
    x, y = (place.columns + 0.5) * side, (place.rows + 0.5) * side
    for state in np.flatnonzero(goals).tolist():
        parts.append(
            f'<circle class="goal" cx="{x[state]:g}" cy="{y[state]:g}" r="{0.32 * side:g}" fill="none" stroke="{INK}" '
            'stroke-width="2"/>'
        )
    for state in np.flatnonzero(starts).tolist():
        parts.append(f'<circle class="start" cx="{x[state]:g}" cy="{y[state]:g}" r="{0.16 * side:g}" fill="{START}"/>')
    if path is not None:
        points = " ".join(f"{x[state]:g},{y[state]:g}" for state in path)
        parts.append(
            f'<polyline class="path" points="{points}" fill="none" stroke="{PATH}" stroke-width="{max(2, side / 8):g}" '
            'stroke-linejoin="round" stroke-linecap="round"/>'
            f'<circle class="end" cx="{x[path[-1]]:g}" cy="{y[path[-1]]:g}" r="{0.2 * side:g}" fill="{PATH}"/>'
        )
    return "".join([*parts, "</svg>"])


def steps_words(path: NDArray[np.int64], labels: Sequence[Any] | None) -> str:
    """A path in words, for worlds that have no map."""
    return " → ".join(str(int(state) if labels is None else labels[state]) for state in path)
