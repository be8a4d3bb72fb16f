"""Draw ``negatives_pixels``: arrivals by the published distance and by the pooled score, over budgets and worlds."""

import numpy as np

from spectral_jepa.plotting.finding import finish, talk_version
from spectral_jepa.plotting.style import COLORS, new_figure, styled

LEWM, WHITE = "LeWM (SIGReg)", "whitening"
# (model, score) -> label, colour, line, marker
CURVES = {
    (LEWM, "distance"): ("LeWM, its distance", "printed", "-", "o"),
    (LEWM, "pooled score"): ("LeWM, pooled score", "tight", "-", "D"),
    (WHITE, "distance"): ("whitened, distance", "printed", "--", "s"),
    (WHITE, "pooled score"): ("whitened, pooled score", "tight", "--", "^"),
    (LEWM, "exact, distance"): ("exact and white, distance", "loose", (0, (2, 3)), ""),
    (LEWM, "exact, pooled score"): ("exact, pooled score", "exact", ":", ""),
    (LEWM, "random"): ("random actions", "other", ":", ""),
}
SHOWN = 0.15


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figure, axes = new_figure(1, 3, width=4.0, height=3.4)
    budget_panel(axes[0, 0], table[table["reach"] == SHOWN])
    axes[0, 0].set_title(f"5 x 5 grid in pictures, moves succeed with {SHOWN:g}")
    reach_panel(axes[0, 1], table, "arrived_20", "arrived within 20 steps")
    axes[0, 1].set_title("over worlds: how often a move succeeds")
    reach_panel(axes[0, 2], table, "leap_next_door", "share of neighbouring goals")
    axes[0, 2].set_title("leaps where a move is better")
    mean = table[table["model"] == LEWM].groupby(["reach", "score"])["arrived_20"].mean().unstack()
    at, fooled = mean.loc[SHOWN], mean.index[mean["distance"] < mean["pooled score"]]
    sure = mean.index[mean["distance"] > mean["pooled score"]]
    finish(
        figure,
        f"Where moves succeed {SHOWN:.0%} of the time LeWM's distance leaps and arrives in 20 steps {at['distance']:.0%} "
        f"of the time, the pooled score on its latents {at['pooled score']:.0%}; the score is better at {words(fooled)}, "
        f"the distance at {words(sure)}.",
        f"Mean of {table[table['model'] == LEWM]['seed'].nunique()} trainings of LeWM and "
        f"{table[table['model'] == WHITE]['seed'].nunique()} of the whitened model; solid: LeWM, dashed: whitened.",
        legend=axes[0, 0].get_legend_handles_labels()[0],
        columns=4,
    )
    talk = talk_version(
        f"Rank by the pooled score, not by distance: {at['pooled score']:.0%} arrive instead of {at['distance']:.0%}.",
        budget_panel,
        table[table["reach"] == SHOWN],
        legend=True,
        note=f"Moves succeed with {SHOWN:g}; share that arrives in 20 steps.",
    )
    return {"negatives_pixels": figure, "negatives_pixels_talk": talk}


def words(values):
    """A list of numbers in words."""
    return " and ".join(f"{value:.0%}" for value in values) or "none"


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


def reach_panel(axis, table, column, label):
    """One number over the worlds, mean over training seeds."""
    for (model, score), (_, color, line, marker) in CURVES.items():
        rows = table[(table["model"] == model) & (table["score"] == score)].groupby("reach")[column].mean()
        axis.plot(rows.index, rows, ls=line, marker=marker, color=COLORS[color])
    axis.set_xlabel("probability that a move succeeds")
    axis.set_ylabel(label)
    axis.set_ylim(-0.03, 1.04)
    axis.set_xticks(np.array(sorted(table["reach"].unique())))
