"""Draw ``bridge_history``: functions and regrets of predictions 1, 2 and 4 steps ahead, at two sizes of log."""

import numpy as np
from matplotlib.figure import Figure

from spectral_jepa.plotting.style import COLORS, styled


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    table = table[table["n_steps"] == table["n_steps"].max()]
    figure = Figure(figsize=(11.5, 4.0), layout="constrained")
    axes = figure.subplots(1, 3)
    plain = table[(table["history"] == 1) & (table["ahead"] > 0)]
    sizes = sorted(plain["clips"].unique())
    looks = dict(zip(sizes, (("--", "s", "other"), ("-", "o", "measured")), strict=True))
    for size, (line, marker, color) in looks.items():
        part = plain[plain["clips"] == size]
        curve(axes[0], part, "share", line, marker, color, f"trained, {size:,} clips")
        curve(axes[0], part, "counted_share", line, "", "loose", f"SVD of the counts, {size:,} clips")
        curve(axes[1], part, "unpredicted", line, marker, color, f"trained, {size:,} clips")
        curve(axes[2], part, "regret", line, marker, color, f"own predictions, {size:,} clips")
        curve(axes[2], part, "function_regret", line, marker, "tight", f"exact predictions, {size:,} clips")
    exact = plain.groupby("ahead")["leading"].first()
    axes[1].plot(exact.index, 1 - exact**2, color=COLORS["exact"], ls=":", label="exact, 1 - $s^{2H}$")
    largest = max(sizes)
    past = table[(table["history"] == 3) & (table["clips"] == largest)]
    for axis, column in zip(axes, ("share", "unpredicted", "regret"), strict=True):
        axis.plot(past["ahead"], past[column], "x", color=COLORS["chain"], ms=7, label="3 frames of context")
    start = table[table["ahead"] == 0]
    axes[0].axhline(start["share"].mean(), color=COLORS["exact"], lw=1, label="untrained encoder")
    axes[2].axhline(plain["blind_regret"].mean(), color=COLORS["exact"], lw=1, label="always the first plan")
    axes[0].set_title("functions: share of the leading four")
    axes[1].set_title("prediction: error over variance of f")
    axes[2].set_title("planning four actions: regret")
    for axis in axes:
        axis.set_xticks(np.sort(plain["ahead"].unique()))
        axis.set_xlabel("steps predicted at once, H")
        axis.set_ylim(bottom=0)
        axis.legend()
    figure.suptitle(headline(plain, largest), size=11)
    return {"bridge_history": figure}


def headline(plain, size):
    """The finding in numbers."""
    mean = plain[plain["clips"] == size].groupby("ahead")[["share", "regret", "function_regret"]].mean()
    far = mean.index.max()
    return (
        f"Predicting {far} steps at once learns the same functions (share {mean.loc[1, 'share']:.2f} at one step, "
        f"{mean.loc[far, 'share']:.2f} at {far}), as the spectrum $s_i^H$ says;\nregret of four-action plans "
        f"{mean.loc[1, 'regret']:.4f} by four predictions of one step, {mean.loc[far, 'regret']:.4f} by one of {far}"
    )


def curve(axis, part, column, line, marker, color, label):
    """Mean over seeds, with their range."""
    grouped = part.groupby("ahead")[column]
    mean = grouped.mean()
    axis.plot(mean.index, mean, ls=line, marker=marker, color=COLORS[color], label=label)
    axis.fill_between(mean.index, grouped.min(), grouped.max(), color=COLORS[color], alpha=0.12, lw=0)
