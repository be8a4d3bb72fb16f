"""One look for every figure: a style is a dict, a figure is a value, and saving is reproducible to the byte."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure

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

# Decorates a function that draws, so that everything in it follows STYLE whoever calls it.
styled = mpl.rc_context(STYLE)


def new_figure(n_rows: int, n_columns: int, *, width: float = 4.0, height: float = 3.0) -> tuple[Figure, np.ndarray]:
    """A figure outside pyplot's global state, and its axes as an array (n_rows, n_columns); sizes in inches a panel.

    Examples
    --------
    >>> figure, axes = new_figure(1, 2)
    >>> axes.shape
    (1, 2)
    """
    figure = Figure(figsize=(width * n_columns, height * n_rows), layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write ``name``.png and ``name``.pdf; the same figure gives the same bytes.

    Examples
    --------
    >>> import tempfile
    >>> figure, _ = new_figure(1, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save_figure(figure, Path(folder), "empty")]
    ['empty.png', 'empty.pdf']
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png", folder / f"{name}.pdf"]
    with mpl.rc_context(STYLE):
        figure.savefig(paths[0], metadata={"Software": None})
        figure.savefig(paths[1], metadata={"CreationDate": None})
    return paths


def shade_vacuous(axis: Axes, ceiling: float, label: str) -> None:
    """Hatch everything at or above ``ceiling``: a bound that lives there says nothing."""
    low, high = axis.get_ylim()
    if high <= ceiling:
        return
    axis.axhspan(ceiling, high, facecolor="0.93", edgecolor="0.8", hatch="///", linewidth=0, zorder=0)
    axis.text(0.99, 0.985, label, transform=axis.transAxes, ha="right", va="top", fontsize=7.5, color="0.35", style="italic")
    axis.set_ylim(low, high)


def band(axis: Axes, table: Any, x: str, *, floor: float | None = None, **line: Any) -> None:
    """Draw mean and confidence band of a table with columns ``x``, mean, low, high (see ``results.mean_band``)."""
    table = table.sort_values(x)
    mean, low, high = (table[c].to_numpy(float) for c in ("mean", "low", "high"))
    if floor is not None:
        mean, low, high = (np.maximum(v, floor) for v in (mean, low, high))
    (drawn,) = axis.plot(table[x], mean, **line)
    axis.fill_between(table[x], low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)


def sequential_colors(values: Iterable[float], name: str = "viridis_r") -> dict[float, Any]:
    """A colour for each of some positive values, by their logarithm."""
    ordered = sorted(set(values))
    colormap: Colormap = mpl.colormaps[name]
    if len(ordered) == 1:
        return {ordered[0]: colormap(0.6)}
    scale = LogNorm(ordered[0], ordered[-1])
    return {value: colormap(0.15 + 0.8 * float(scale(value))) for value in ordered}


def dimension_axis(axis: Axes, dims: Iterable[int]) -> None:
    """A log axis of latent dimensions with plain integer ticks."""
    axis.set_xscale("log")
    ticks = [k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if min(dims) <= k <= max(dims)]
    axis.set_xticks(ticks, [str(k) for k in ticks])
    axis.minorticks_off()
    axis.set_xlabel("latent dimension k")
