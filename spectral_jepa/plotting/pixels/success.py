"""The figure of an evaluation: success with Wilson intervals beside floor and upper bound, and against goal offset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spectral_jepa._validation import InputError
from spectral_jepa.plotting.style import COLORS, new_figure, styled
from spectral_jepa.success_rates import success_table

# Names of the two policies that are no models: :mod:`spectral_jepa.pixels.planning.policies` gives them.
FLOOR, CEILING = "random", "simulator"
REFERENCES = {FLOOR: ("0.55", "random floor"), CEILING: (COLORS["tight"], "upper bound: model = simulator")}


@styled
def draw(rows: pd.DataFrame) -> dict[str, Figure]:
    """Draw evaluation rows, one row of panels an environment.

    Parameters
    ----------
    rows : DataFrame
        Rows of :func:`spectral_jepa.pixels.evaluation.evaluate.evaluate`, those of several policies and goal offsets
        concatenated; a policy's rows of several training seeds, if their ``policy`` is the same, count as one group.

    Returns
    -------
    dict {"planning": matplotlib Figure}
        Left: success rate of each policy at the smallest goal offset, with 95 % Wilson intervals. Right: success rate
        against goal offset. Policies named "random" and "simulator" are drawn as floor and upper bound.

    Raises
    ------
    InputError
        No rows.

    Examples
    --------
    >>> rows = pd.DataFrame({
    ...     "environment": "two_room", "policy": ["LeWM", "LeWM", "random", "random"], "goal_offset": 25,
    ...     "success": [True, True, False, True], "steps": [10, 12, 50, 31]})
    >>> [axis.get_title() for axis in draw(rows)["planning"].axes]
    ['two_room: goal 25 steps ahead', 'two_room: longer goals']
    """
    if rows.empty:
        raise InputError("rows is empty, expected evaluation rows: evaluate a policy first")
    table = success_table(rows, by=("environment", "policy", "goal_offset"))
    environments = list(dict.fromkeys(table.environment))
    figure, axes = new_figure(len(environments), 2, width=4.4, height=3.2)
    for (left, right), name in zip(axes, environments, strict=True):
        part = table[table.environment == name]
        offset = int(part.goal_offset.min())
        _draw_rates(left, part[part.goal_offset == offset])
        left.set_title(f"{name}: goal {offset} steps ahead")
        _draw_offsets(right, part)
        right.set_title(f"{name}: longer goals")
    return {"planning": figure}


def _draw_rates(axis: Axes, table: pd.DataFrame) -> None:
    for name, (color, label) in REFERENCES.items():
        for rate, low, high in _intervals(table[table.policy == name]).T:
            axis.axhspan(low, high, color=color, alpha=0.18, linewidth=0)
            axis.axhline(rate, color=color, linewidth=1.2, linestyle="--", label=f"{label} {rate:.0f} %")
    models = table[~table.policy.isin(list(REFERENCES))]
    shown = models if len(models) else table
    names = [str(name) for name in shown.policy]
    places, (rate, low, high) = np.arange(len(names)), _intervals(shown)
    axis.errorbar(places, rate, [rate - low, high - rate], fmt="o", markersize=5, capsize=4, color=COLORS["measured"])
    for place, value in zip(places, rate, strict=True):
        axis.annotate(f"{value:.0f} %", (place, value), (6, 0), textcoords="offset points", va="center", fontsize=7.5)
    crowded = max(map(len, names)) * len(names) > 45
    axis.set_xticks(places, names, rotation=20 if crowded else 0, ha="right" if crowded else "center")
    sizes = ", ".join(str(n) for n in sorted(set(shown.n)))
    axis.set(ylim=(-3, 103), xlim=(-0.6, len(names) - 0.4), ylabel=f"success in % ({sizes} pairs each)")
    axis.grid(False, axis="x")
    if axis.get_legend_handles_labels()[1]:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.34 if crowded else -0.14), ncols=2)


def _draw_offsets(axis: Axes, table: pd.DataFrame) -> None:
    palette = [COLORS[name] for name in ("measured", "printed", "chain", "loose", "other", "exact")]
    models = [name for name in dict.fromkeys(table.policy) if name not in REFERENCES]
    names = [*models, *(name for name in REFERENCES if (table.policy == name).any())]
    offsets = sorted(set(table.goal_offset))
    step = 0.015 * (offsets[-1] - offsets[0])
    for index, name in enumerate(names):
        part = table[table.policy == name].sort_values("goal_offset")
        rate, low, high = _intervals(part)
        line: dict[str, Any] = {"color": palette[index % len(palette)], "marker": "o"}
        if name in REFERENCES:
            line = {"color": REFERENCES[name][0], "linestyle": "--", "linewidth": 1.2}
        # Side by side, so that intervals at one offset can be told apart.
        places = part.goal_offset.to_numpy(float) + step * (index - (len(names) - 1) / 2)
        axis.errorbar(places, rate, [rate - low, high - rate], capsize=2, elinewidth=0.9, label=str(name), **line)
    axis.set(ylim=(-3, 103), xticks=offsets, xlabel="goal offset in raw steps", ylabel="success in %")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def _intervals(table: pd.DataFrame) -> NDArray[np.float64]:
    """Rate, low and high in per cent, shape (3, n)."""
    return 100 * table[["rate", "low", "high"]].to_numpy(dtype=np.float64).T
