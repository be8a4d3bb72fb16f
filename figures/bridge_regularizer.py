"""Draw ``bridge_regularizer``: rank of pixel encoders on what theory predicts, what they span, what their planner loses."""

import numpy as np
from matplotlib.figure import Figure

from spectral_jepa.plotting.style import COLORS, styled

FAMILIES = {"whitening": "tight", "SIGReg": "measured", "Sub-JEPA": "chain", "VICReg": "loose", "none": "exact"}
PANELS = {
    "rank": "directions that stay (of 8)",
    "effective_rank": "effective rank",
    "correlation": "mean canonical correlation\nwith the 8 leading functions",
    "ahead_regret": "goal regret, three steps ahead\n(probability)",
}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}, one a world."""
    table = table[table["status"] == "ok"] if "status" in table else table
    return {
        f"bridge_regularizer_{world.replace(' ', '_')}": world_figure(world, part) for world, part in table.groupby("world")
    }


def world_figure(world, part):
    """One panel a measure, one bar an arm."""
    figure = Figure(figsize=(13.5, 4.3), layout="constrained")
    axes = figure.subplots(1, len(PANELS), sharey=True)
    arms = list(dict.fromkeys(part["arm"]))
    for axis, (column, label) in zip(axes, PANELS.items(), strict=True):
        for place, arm in enumerate(arms):
            rows = part[part["arm"] == arm]
            color = COLORS[next(color for family, color in FAMILIES.items() if arm.startswith(family))]
            axis.barh(place, rows[column].mean(), color=color, alpha=0.7)
            axis.plot(rows[column], np.full(len(rows), place), ls="", marker="o", ms=2.5, color="0.15")
            if column == "rank":
                expected(axis, place, rows)
        axis.set_title(label)
        axis.set_xlim(left=0)
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].invert_yaxis()
    axes[0].plot([], [], marker="D", ls="", color=COLORS["printed"], label="predicted for tables")
    axes[0].plot([], [], lw=4, color=COLORS["printed"], alpha=0.6, label="bracket for tables")
    axes[0].legend(loc="lower right")
    figure.suptitle(
        f"{world} from pictures: whitening and SIGReg keep all directions or none as proved of tables, but not just above "
        "their thresholds (.22, .3);\nSub-JEPA's rank lies in its bracket",
        size=11,
    )
    return figure


def expected(axis, place, rows):
    """The predicted rank, or the bracket that it must lie in."""
    first = rows.iloc[0]
    exact = first["least_rank"] if first["least_rank"] == first["most_rank"] else first["predicted_rank"]
    if np.isfinite(exact):
        axis.plot(exact, place, marker="D", ls="", color=COLORS["printed"], ms=6)
    elif np.isfinite(first["least_rank"]):
        axis.plot([first["least_rank"], first["most_rank"]], [place, place], lw=4, color=COLORS["printed"], alpha=0.6)
