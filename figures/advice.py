"""Draw ``advice``: coverage of its intervals and of the textbook's, the recommended k, and how near estimates are."""

import numpy as np
from matplotlib.lines import Line2D

from spectral_jepa.plotting.finding import finish, label_at, talk_version
from spectral_jepa.plotting.style import COLORS, NOTE_COLOR, new_figure, styled

NOMINAL = 0.95


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    rows = table[table["status"] == "ok"].copy()
    error = 1.96 * (1 - rows["in_sample"] ** 2) / np.sqrt(rows["n_transitions"])
    rows["covered"] = (rows["low"] <= rows["true"] + 1e-12) & (rows["true"] <= rows["high"] + 1e-12)
    rows["textbook"] = (rows["in_sample"] - rows["true"]).abs() <= error
    figure, axes = new_figure(1, 3, width=4.1, height=3.8)
    coverage_panel(axes[0, 0], rows)
    dimension_panel(axes[0, 1], rows)
    estimate_panel(axes[0, 2], rows)
    axes[0, 1].set_yticklabels([])
    for axis, title in zip(axes[0], ("coverage of 95 % limits", "recommended dimension", "estimates"), strict=True):
        axis.set_title(title, weight="bold")
    sizes = ", ".join(f"{n:,}" for n in sorted(set(rows["n_transitions"])))
    by_world = rows.groupby("world")["covered"].mean()
    title = (
        f"Nominal 95 % limits of advise cover {100 * rows['covered'].mean():.1f} % of the true correlations of "
        f"{len(by_world)} worlds, the textbook interval {100 * rows['textbook'].mean():.0f} %"
    )
    finish(
        figure,
        f"{title}; least in the world {by_world.idxmin()!r}: {100 * by_world.min():.1f} %.",
        f"Within a row from top to bottom: N = {sizes} transitions. Means over {rows['seed'].nunique()} seeds; left, also "
        f"over the directions. Textbook: the sample's correlation, standard error $(1 - \\rho^2) / \\sqrt{{N}}$. "
        f"Right: a mark a direction, at the least and the largest N.",
        legend=[
            mark("measured", "o", "advise"),
            mark("printed", "o", "textbook; in the sample", mfc="none"),
            mark("exact", "|", "true rank", ms=10, mew=2),
        ],
    )
    talk = talk_version(
        f"{title}.",
        coverage_panel,
        rows,
        note=f"Filled: advise; open: textbook. Down a row: N = {sizes}.",
        height=4.6,
    )
    return {"advice": figure, "advice_talk": talk}


def mark(color, marker, label, **style):
    """One entry of the legend."""
    return Line2D([], [], ls="", marker=marker, color=COLORS[color], label=label, **({"ms": 5} | style))


def in_rows(axis, rows, column, **style):
    """Means of a column, a row a world, sample sizes from top to bottom within it."""
    worlds, sizes = list(dict.fromkeys(rows["world"])), sorted(set(rows["n_transitions"]))
    means = rows.groupby(["world", "n_transitions"])[column].mean()
    heights = [worlds.index(world) + 0.5 * ((sizes.index(n) + 0.5) / len(sizes) - 0.5) for world, n in means.index]
    axis.plot(means, heights, ls="", marker="o", **style)
    axis.set_yticks(range(len(worlds)), worlds)
    axis.set_ylim(len(worlds) - 0.5, -0.5)


def coverage_panel(axis, rows):
    """Coverage of all directions: limits filled, textbook open."""
    axis.axvline(NOMINAL, color="0.4", lw=1)
    in_rows(axis, rows, "textbook", color=COLORS["printed"], mfc="none")
    in_rows(axis, rows, "covered", color=COLORS["measured"])
    axis.set_xlim(-0.03, 1.03)
    axis.set_xlabel("share of directions covered")


def dimension_panel(axis, rows):
    """Recommended k beside the true rank."""
    first = rows[rows["direction"] == 1]
    ranks = first.drop_duplicates("world")["rank"]
    axis.plot(ranks, range(len(ranks)), ls="", marker="|", ms=16, mew=2, color=COLORS["exact"])
    in_rows(axis, first, "recommended", color=COLORS["measured"])
    axis.set_xlabel("recommended k")


def estimate_panel(axis, rows):
    """Mean estimate and mean sample value of each direction against the truth, at the smallest and the largest N."""
    axis.plot([0, 1], [0, 1], color="0.4", lw=1)
    for n, marker in ((rows["n_transitions"].min(), "o"), (rows["n_transitions"].max(), "s")):
        part = rows[rows["n_transitions"] == n].groupby(["world", "direction"])[["true", "estimate", "in_sample"]].mean()
        style = {"ls": "none", "marker": marker, "ms": 4}
        axis.plot(part["true"], part["in_sample"], color=COLORS["printed"], mfc="none", **style)
        axis.plot(part["true"], part["estimate"], color=COLORS["measured"], **style)
        name = "disc" if marker == "o" else "square"
        place = (1.0, 0.16 if marker == "o" else 0.06)
        label_at(axis, f"{name}: N = {n:,}", place, color=NOTE_COLOR, shift=(0, 0), ha="right")
    axis.set_xlabel("true canonical correlation")
    axis.set_ylabel("mean estimate")
