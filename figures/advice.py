"""Draw ``advice``: coverage of its intervals and of the textbook's, how wide they are, and the k that is recommended."""

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import NullFormatter

from spectral_jepa.plotting.style import COLORS, new_figure, styled

NOMINAL = 0.95


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    rows = table[table["status"] == "ok"].copy()
    error = 1.96 * (1 - rows["in_sample"] ** 2) / np.sqrt(rows["n_transitions"])
    rows["covered"] = (rows["low"] <= rows["true"] + 1e-12) & (rows["true"] <= rows["high"] + 1e-12)
    rows["textbook"] = (rows["in_sample"] - rows["true"]).abs() <= error
    figure, axes = new_figure(1, 3, width=4.6, height=4.2)
    coverage_panel(axes[0][0], rows)
    bias_panel(axes[0][1], rows)
    dimension_panel(axes[0][2], rows)
    figure.suptitle(
        f"Nominal 95 % limits of advise cover {rows['covered'].mean():.1%} of the true correlations of nine worlds, the "
        f"textbook interval {rows['textbook'].mean():.0%}",
        size=11,
    )
    return {"advice": figure}


def worlds_of(rows):
    """Worlds in their order with a colour each."""
    return list(zip(dict.fromkeys(rows["world"]), colormaps["tab10"].colors, strict=False))


def coverage_panel(axis, rows):
    """Coverage over sample size, all directions: limits filled, textbook open."""
    for world, color in worlds_of(rows):
        means = rows[rows["world"] == world].groupby("n_transitions")[["covered", "textbook"]].mean()
        axis.plot(means.index, means["covered"], color=color, marker="o", label=world)
        axis.plot(means.index, means["textbook"], color=color, ls=":", marker="o", mfc="white")
    axis.axhline(NOMINAL, color="0.3", lw=0.8)
    sizes(axis, rows)
    axis.set(
        title="Coverage: advise (full), textbook (dotted)", xlabel="transitions N", ylabel="share of directions covered"
    )
    axis.set_ylim(-0.03, 1.03)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)


def sizes(axis, rows):
    """A log axis with the sample sizes as its ticks."""
    axis.set_xscale("log")
    ticks = sorted(set(rows["n_transitions"]))
    axis.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axis.xaxis.set_minor_formatter(NullFormatter())


def bias_panel(axis, rows):
    """Mean estimate and mean sample value against the truth, at the smallest and the largest N."""
    for n, marker in ((rows["n_transitions"].min(), "o"), (rows["n_transitions"].max(), "s")):
        part = rows[rows["n_transitions"] == n].groupby(["world", "direction"])[["true", "estimate", "in_sample"]].mean()
        style = {"ls": "none", "marker": marker, "ms": 4}
        axis.plot(part["true"], part["in_sample"], color="0.55", mfc="white", label=f"in the sample, N = {n:,}", **style)
        axis.plot(part["true"], part["estimate"], color=COLORS["measured"], label=f"corrected, N = {n:,}", **style)
    axis.plot([0, 1], [0, 1], color="0.3", lw=0.8)
    axis.set(title="Mean estimate of each direction", xlabel="true canonical correlation", ylabel="mean over seeds")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def dimension_panel(axis, rows):
    """Recommended k over the true rank, where that is below the number of directions; where not, over the largest k."""
    first = rows[rows["direction"] == 1]
    for world, color in worlds_of(rows):
        part = first[first["world"] == world]
        means = part.groupby("n_transitions")["recommended"].mean()
        axis.plot(means.index, means, color=color, marker="o", label=f"{world}: rank {part['rank'].iloc[0]}")
        axis.plot([means.index[-1] * 1.25], [part["rank"].iloc[0]], color=color, marker="_", ms=10, mew=2)
    sizes(axis, rows)
    axis.set(title="Recommended k; dashes at the right: the rank", xlabel="transitions N", ylabel="k, mean over seeds")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
