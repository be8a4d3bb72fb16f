"""One look for every figure: a style is a dict, a figure is a value, and saving is reproducible to the byte.

Titles that say what was found, names at the ends of lines and versions for a talk: :mod:`spectral_jepa.plotting.finding`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure

from spectral_jepa._files import write_atomic
from spectral_jepa._validation import check_type

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "pdf.fonttype": 42,
}
# Over STYLE, for a slide or a telephone: at 390 pixels nothing is smaller than 9 of them (six inches: 65 pixels an inch).
TALK: Any = {
    "font.size": 15,
    "axes.titlesize": 15,
    "axes.labelsize": 14,
    "legend.fontsize": 12,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "lines.linewidth": 2.6,
    "lines.markersize": 7,
}
# Okabe-Ito: told apart by readers with any colour vision. One meaning each, in every figure.
COLORS = {
    "measured": "#0072B2",
    "tight": "#009E73",
    "loose": "#E69F00",
    "printed": "#D55E00",
    "chain": "#CC79A7",
    "exact": "#000000",
    "other": "#56B4E9",
}

# The same words for the same thing on every axis. Theory calls R_S the pretraining error; its root has the units of regret.
WORDS = {
    "error": "pretraining error $R_S$",
    "root error": r"root of the pretraining error $\sqrt{R_S}$",
    "goal regret": "goal regret (probability)",
    "relative goal regret": "goal regret, share of the best value",
    "reward regret": "reward regret, share of the best return",
    "dimension": "latent dimension k",
    "transitions": "transitions N",
    "success": "success on held-out pairs",
}
NOTE_COLOR = "0.35"

# Decorates a function that draws, so that everything in it follows STYLE whoever calls it.
styled = mpl.rc_context(STYLE)


def new_figure(n_rows: int, n_columns: int, *, width: float = 4.0, height: float = 3.0) -> tuple[Figure, np.ndarray]:
    """Make a figure outside pyplot's global state, with a grid of panels.

    Parameters
    ----------
    n_rows, n_columns : int
        Panels.
    width, height : float
        Of one panel, in inches.

    Returns
    -------
    figure : matplotlib Figure
    axes : array of Axes (n_rows, n_columns)
        With both axes also for a single panel.

    Examples
    --------
    >>> figure, axes = new_figure(1, 2, width=4.0, height=3.0)
    >>> axes.shape, figure.get_size_inches().tolist()
    ((1, 2), [8.0, 3.0])
    """
    figure = Figure(figsize=(width * n_columns, height * n_rows), layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def own_axis(axis: Axes | None, *, width: float = 4.2, height: float = 3.2) -> Axes:
    """The axis itself, or that of a new figure where none is given.

    Parameters
    ----------
    axis : matplotlib Axes, optional
        To draw on.
    width, height : float
        Of the new figure, in inches.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        Something else than an axis, such as a whole figure.

    Examples
    --------
    >>> axis = own_axis(None)
    >>> own_axis(axis) is axis, axis.figure.get_size_inches().tolist()
    (True, [4.2, 3.2])
    """
    if axis is None:
        return new_figure(1, 1, width=width, height=height)[1][0, 0]
    return check_type("axis", axis, Axes, "an axis of matplotlib, such as figure.axes[0], or None")


def save_figure(figure: Figure, folder: Path, name: str, *, small: bool = False) -> list[Path]:
    """Write ``name``.png and ``name``.pdf; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib Figure
    folder : Path
        Made if it is not there.
    name : str
        File name without its ending.
    small : bool
        Write the PNG only, with a palette of 256 colours: a third of the size, for a picture that is committed.

    Returns
    -------
    list of Path
        The PNG and the PDF.

    Examples
    --------
    >>> import tempfile
    >>> figure, _ = new_figure(1, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save_figure(figure, Path(folder), "empty")]
    ['empty.png', 'empty.pdf']
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png", folder / f"{name}.pdf"][: 1 if small else 2]
    with mpl.rc_context(STYLE):
        for path, metadata in zip(paths, ({"Software": None}, {"CreationDate": None}), strict=False):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=path.suffix[1:], metadata=metadata)
            write_atomic(path, _with_palette(buffer) if small else buffer.getvalue())
    return paths


def _with_palette(png: io.BytesIO) -> bytes:
    """The same picture in 256 colours: its most frequent ones as they are, and those that leave no other far away."""
    from PIL import Image

    picture = Image.open(png).convert("RGB")
    pixels = np.asarray(picture)
    colors, which, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    spread = picture.quantize(64, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).getpalette() or []
    kept = [*colors[np.argsort(-counts, kind="stable")[:192]].ravel().tolist(), *spread[: 3 * 64]]
    # Pillow's own mapping to a given palette is off by up to 4: white would not stay white.
    palette = np.array(kept, np.int64).reshape(-1, 3)
    nearest = [int(np.abs(palette - color).sum(1).argmin()) for color in colors.astype(np.int64)]
    smaller, mapped = io.BytesIO(), np.array(nearest, np.uint8)[which.ravel()].reshape(pixels.shape[:2])
    indexed = Image.fromarray(mapped)
    indexed.putpalette(kept)
    indexed.save(smaller, format="PNG", optimize=True)
    return smaller.getvalue()


def shade_vacuous(axis: Axes, ceiling: float, label: str) -> None:
    """Hatch everything at or above a ceiling: a bound that lives there says nothing.

    Parameters
    ----------
    axis : matplotlib Axes
        With its limits final; they stay as they are. Nothing is drawn if the ceiling is not below the upper one.
    ceiling : float
        In units of the data.
    label : str
        Written into the upper left corner: names of lines stand at the right.

    Examples
    --------
    >>> _, axes = new_figure(1, 2)
    >>> for axis, ceiling in zip(axes[0], (5.0, 1.0)):
    ...     _ = axis.set_ylim(0, 4)
    ...     shade_vacuous(axis, ceiling, "vacuous")
    ...     print(len(axis.patches), *axis.get_ylim())
    0 0.0 4.0
    1 0.0 4.0
    """
    low, high = axis.get_ylim()
    if high <= ceiling:
        return
    axis.axhspan(ceiling, high, facecolor="0.93", edgecolor="0.8", hatch="///", linewidth=0, zorder=0)
    text = axis.text(0.015, 0.985, label, transform=axis.transAxes, ha="left", va="top", fontsize="small", color=NOTE_COLOR)
    text.set(style="italic", path_effects=halo())
    axis.set_ylim(low, high)


def band(axis: Axes, table: Any, x: str, *, floor: float | None = None, **line: Any) -> None:
    """Draw a curve with its confidence band.

    Parameters
    ----------
    axis : matplotlib Axes
    table : DataFrame
        Columns ``x``, mean, low, high, as :func:`spectral_jepa.sweep.results.mean_band` gives them; rows in any order.
    x : str
        Column on the horizontal axis.
    floor : float, optional
        Draw smaller values at this one, for a log axis. Default: values as they are.
    **line
        Of the curve, as for ``Axes.plot``; the band takes its colour.

    Notes
    -----
    O(n log n). Where a band is NaN (a single run) only the curve is drawn.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"k": [2, 1], "mean": [3.0, 1.0], "low": [2.0, -1.0], "high": [4.0, 3.0]})
    >>> _, axes = new_figure(1, 1)
    >>> band(axes[0, 0], table, "k", floor=0.5)
    >>> axes[0, 0].lines[0].get_xydata().tolist()
    [[1.0, 1.0], [2.0, 3.0]]
    >>> float(axes[0, 0].collections[0].get_paths()[0].vertices[:, 1].min())
    0.5
    """
    table = table.sort_values(x)
    mean, low, high = (table[c].to_numpy(float) for c in ("mean", "low", "high"))
    if floor is not None:
        mean, low, high = (np.maximum(v, floor) for v in (mean, low, high))
    (drawn,) = axis.plot(table[x], mean, **line)
    axis.fill_between(table[x], low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)


def sequential_colors(values: Iterable[float], name: str = "viridis_r") -> dict[float, Any]:
    """Choose a colour for each of some positive values, by their logarithm.

    Parameters
    ----------
    values : iterable of float
        Above 0; repeated values count once.
    name : str
        A colormap of matplotlib. Its first 15 % and last 5 % are left out.

    Returns
    -------
    dict
        Value -> RGBA, in ascending order of the values; a single value gets the colour at .6.

    Notes
    -----
    O(n log n).

    Examples
    --------
    Equal ratios, equal steps: .15, .55 and .95 of the way.

    >>> colors = sequential_colors([100, 1, 10])
    >>> [color == mpl.colormaps["viridis_r"](place) for color, place in zip(colors.values(), (0.15, 0.55, 0.95))]
    [True, True, True]
    """
    ordered = sorted(set(values))
    colormap: Colormap = mpl.colormaps[name]
    if len(ordered) == 1:
        return {ordered[0]: colormap(0.6)}
    scale = LogNorm(ordered[0], ordered[-1])
    return {value: colormap(0.15 + 0.8 * float(scale(value))) for value in ordered}


def dimension_axis(axis: Axes, dims: Iterable[int]) -> None:
    """Make the horizontal axis one of latent dimensions: logarithmic, with plain integer ticks.

    Parameters
    ----------
    axis : matplotlib Axes
    dims : collection of int
        Read twice. The ticks are the powers of 2 from their least to their largest, up to 512.

    Examples
    --------
    >>> _, axes = new_figure(1, 1)
    >>> dimension_axis(axes[0, 0], [1, 3, 12])
    >>> axes[0, 0].get_xscale(), [tick.get_text() for tick in axes[0, 0].get_xticklabels()]
    ('log', ['1', '2', '4', '8'])
    """
    axis.set_xscale("log")
    ticks = [k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if min(dims) <= k <= max(dims)]
    axis.set_xticks(ticks, [str(k) for k in ticks])
    axis.minorticks_off()
    axis.set_xlabel(WORDS["dimension"])


def halo(width: float = 2.5) -> list[Any]:
    """A white edge, so that a text stays legible on a line.

    Parameters
    ----------
    width : float
        In points.

    Returns
    -------
    list
        For ``Text.set_path_effects``.

    Examples
    --------
    >>> _, axes = new_figure(1, 1)
    >>> text = axes[0, 0].text(0, 0, "on a line", path_effects=halo())
    >>> len(text.get_path_effects())
    1
    """
    return [effects.withStroke(linewidth=width, foreground="white")]
