"""Draw ``negatives_pixels``: arrivals by the published distance and by the pooled score, over budgets and worlds."""

import numpy as np
from matplotlib.figure import Figure

from spectral_jepa.plotting.style import COLORS, styled

LEWM, WHITE = "LeWM (SIGReg)", "whitening"
# (model, score) -> label, colour, line, marker
CURVES = {
    (LEWM, "distance"): ("LeWM, its distance", "printed", "-", "o"),
    (LEWM, "pooled score"): ("LeWM, pooled score", "tight", "-", "D"),
    (WHITE, "distance"): ("whitened, distance", "printed", "--", "s"),
    (WHITE, "pooled score"): ("whitened, pooled score", "tight", "--", "^"),
    (LEWM, "exact, distance"): ("exact and white, distance", "loose", ":", ""),
    (LEWM, "exact, pooled score"): ("exact, pooled score", "exact", ":", ""),
    (LEWM, "random"): ("random actions", "other", ":", ""),
}
SHOWN = 0.15


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figure = Figure(figsize=(11.5, 4.1), layout="constrained")
    axes = figure.subplots(1, 3)
    budget_panel(axes[0], table[table["reach"] == SHOWN])
    reach_panel(axes[1], table, "arrived_20", "arrived within 20 steps")
    axes[1].set_title("over worlds: how often a move succeeds")
    reach_panel(axes[2], table, "leap_next_door", "share of neighbouring goals")
    axes[2].set_title("leaps where a move is better")
    mean = table[(table["reach"] == SHOWN) & (table["model"] == LEWM)].groupby("score")["arrived_20"].mean()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(
        f"Where moves succeed {SHOWN:.0%} of the time LeWM's distance prefers to leap anywhere, and arrives in 20 steps "
        f"{mean['distance']:.0%} of the time;\nthe pooled score on its latents {mean['pooled score']:.0%} (exact model: "
        f"{mean['exact, pooled score']:.0%}). Where moves succeed twice as often LeWM, not quite white, is not fooled",
        size=11,
    )
    return {"negatives_pixels": figure}


def budget_panel(axis, part):
    """Share of pairs of start and goal that arrive, over the steps they get."""
    budgets = sorted(int(name.removeprefix("arrived_")) for name in part.columns if name.startswith("arrived_"))
    for (model, score), (label, color, line, marker) in CURVES.items():
        rows = part[(part["model"] == model) & (part["score"] == score)]
        mean = [rows[f"arrived_{budget}"].mean() for budget in budgets]
        axis.plot(budgets, mean, ls=line, marker=marker, color=COLORS[color], label=label)
    axis.set_xscale("log")
    axis.set_xticks(budgets, budgets)
    axis.minorticks_off()
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("steps")
    axis.set_ylabel("probability to arrive")
    axis.set_title(f"5 x 5 grid in pictures, moves succeed with {SHOWN:g}")


def reach_panel(axis, table, column, label):
    """One number over the worlds, mean over training seeds."""
    for (model, score), (_, color, line, marker) in CURVES.items():
        rows = table[(table["model"] == model) & (table["score"] == score)].groupby("reach")[column].mean()
        axis.plot(rows.index, rows, ls=line, marker=marker, color=COLORS[color])
    axis.set_xlabel("probability that a move succeeds")
    axis.set_ylabel(label)
    axis.set_ylim(-0.03, 1.04)
    axis.set_xticks(np.array(sorted(table["reach"].unique())))
