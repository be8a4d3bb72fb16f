"""The picture of a claim: what was measured against what was expected, one row a comparison, on one scale."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from spectral_jepa._validation import InputError
from spectral_jepa.plotting.style import COLORS, STYLE, new_figure, styled

COLUMNS = ["quantity", "relation", "expected", "measured", "met"]
REFUTING: dict[str, Any] = {"facecolor": "#F5D9C8", "edgecolor": "white", "hatch": "////", "linewidth": 0}
# Beyond this ratio of the largest to the least number a linear scale would put the least ones on top of each other.
LINEAR_RATIO = 25
# Half of the gap that is left unshaded about an expected equality, as a share of the axis.
GAP = 0.012
ROW_INCHES, LINE_INCHES = 0.3, 0.17
# Between two labels of the scale, as a share of the axis.
ROOM = 0.12
# Characters that fit beside the panel, and above it.
LABEL_WIDTH, TITLE_WIDTH = 44, 92


@styled
def comparisons_figure(comparisons: pd.DataFrame, title: str, subtitle: str = "") -> Figure:
    """Draw measured against expected: a mark a comparison on a common scale, the side that would refute it shaded.

    Parameters
    ----------
    comparisons : DataFrame
        One row a comparison, as :func:`spectral_jepa.sweep.experiment.comparison` makes them: quantity, relation ("=",
        "<=" or ">="), expected, measured, met.
    title, subtitle : str
        Above the panel; the subtitle is wrapped.

    Returns
    -------
    matplotlib Figure
        One panel. A disc is measured and met, a cross measured and not met, a bar expected. The scale is linear where the
        largest number is at most 25 times the least but 0, otherwise logarithmic on both sides of 0.

    Raises
    ------
    InputError
        No comparison, a column is missing, or a number is not finite.

    Notes
    -----
    O(number of comparisons). The shape of a mark says whether it is met, not its colour alone.

    Examples
    --------
    >>> from spectral_jepa.sweep.experiment import comparison
    >>> rows = [comparison("regret", 0.675, "=", 0.675), comparison("regret / bound", 140.4, ">=", 100)]
    >>> (axis,) = comparisons_figure(pd.DataFrame(rows), "thm-4.1: refuted").axes
    >>> axis.get_xscale(), [text.get_text() for text in axis.get_yticklabels()]
    ('symlog', ['regret', 'regret / bound'])
    """
    missing = [name for name in COLUMNS if name not in comparisons]
    if missing or comparisons.empty:
        got = f"no column {missing[0]}" if missing else "no row"
        raise InputError(f"comparisons have {got}, expected one row a comparison with {', '.join(COLUMNS)}: measure first")
    values = comparisons[["expected", "measured"]].to_numpy(float)
    if not np.isfinite(values).all():
        raise InputError("comparisons hold a number that is not finite, expected finite ones: measure again")
    labels = [textwrap.fill(str(quantity), LABEL_WIDTH) for quantity in comparisons["quantity"]]
    lines = sum(label.count("\n") for label in labels)
    heading = textwrap.wrap(subtitle, TITLE_WIDTH)
    height = 1.15 + ROW_INCHES * len(labels) + LINE_INCHES * (lines + len(heading))
    figure, axes = new_figure(1, 1, width=7.2, height=height)
    axis = axes[0, 0]
    _scale(axis, values)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.set_yticks(range(len(labels)), labels)
    axis.tick_params(axis="y", length=0)
    for at, row in enumerate(comparisons.itertuples()):
        _row(axis, at, row)
    figure.suptitle("\n".join([title, *heading]), x=0.01, ha="left", fontsize=STYLE["axes.titlesize"])
    figure.legend(
        handles=[
            Line2D([], [], color=COLORS["measured"], marker="o", ls="", ms=7, label="measured"),
            Line2D([], [], color=COLORS["exact"], marker="|", ls="", ms=11, mew=2, label="expected"),
            Patch(**REFUTING, label="would refute the verdict"),
        ],
        loc="outside lower center",
        ncols=3,
    )
    return figure


def _row(axis: Axes, at: int, row: object) -> None:
    """Shade what would refute one comparison, mark what was expected and measured, and write both beside it."""
    relation, expected, measured = row.relation, float(row.expected), float(row.measured)  # type: ignore[attr-defined]
    met, across = bool(row.met), axis.get_yaxis_transform()  # type: ignore[attr-defined]
    place = _share(axis, expected)
    sides = []
    if relation in ("=", "<="):
        sides.append((place + (GAP if relation == "=" else 0), 1.0))
    if relation in ("=", ">="):
        sides.append((0.0, place - (GAP if relation == "=" else 0)))
    for low, high in sides:
        axis.add_patch(Rectangle((low, at - 0.36), high - low, 0.72, transform=across, zorder=0.5, **REFUTING))
    axis.plot(expected, at, color=COLORS["exact"], marker="|", ms=15, mew=2, zorder=3)
    look: dict[str, Any] = (
        {"marker": "o", "color": COLORS["measured"]} if met else {"marker": "X", "color": COLORS["printed"]}
    )
    axis.plot(measured, at, **look, ms=8, mec="white", mew=0.8, zorder=4)
    wanted = f"{expected:.4g}" if relation == "=" else f"{relation} {expected:.4g}"
    axis.text(1.015, at, f"{measured:.4g} ({wanted})", transform=across, va="center", fontsize=STYLE["legend.fontsize"])


def _share(axis: Axes, value: float) -> float:
    """Where a number lies between the ends of the axis: 0 left, 1 right."""
    low, high, at = axis.xaxis.get_transform().transform(np.array([*axis.get_xlim(), value]))
    return float((at - low) / (high - low))


def _scale(axis: Axes, values: np.ndarray) -> None:
    """Set a scale and limits that keep all numbers apart, with a margin on both sides, in which what refutes is seen."""
    sizes = np.abs(values[values != 0])
    if not len(sizes) or sizes.max() <= LINEAR_RATIO * sizes.min():
        low, high = min(0.0, values.min()), max(0.0, values.max())
        margin = 0.12 * ((high - low) or 1.0)
        axis.set_xlim(low - margin, high + margin)
        return
    # Numbers within rounding of 0 are as good as 0.
    least = int(np.floor(np.log10(max(sizes.min(), 1e-17))))
    axis.set_xscale("symlog", linthresh=10.0**least, linscale=0.5)
    most = int(np.ceil(np.log10(sizes.max())))
    forward = axis.xaxis.get_transform()
    ends = forward.transform(np.array([values.min(), values.max(), 0.0]))
    low, high = ends.min(), ends.max()
    margin = 0.1 * (high - low)
    axis.set_xlim(*forward.inverted().transform(np.array([low - margin, high + margin])))
    axis.set_xticks(_apart(axis, range(most, least - 1, -1), negative=bool((values < 0).any())))
    axis.minorticks_off()


def _apart(axis: Axes, exponents: range, *, negative: bool) -> list[float]:
    """0 and powers of ten for ticks, from the largest on, as many as leave room for their labels."""
    kept = [0.0]
    for power in (10.0**exponent for exponent in exponents):
        for value in (power, -power) if negative else (power,):
            share = _share(axis, value)
            if 0 <= share <= 1 and all(abs(share - _share(axis, other)) >= ROOM for other in kept):
                kept.append(value)
    return sorted(kept)
