"""Draw ``bridge_history``: functions and regrets of predictions 1, 2 and 4 steps ahead, at two sizes of log."""

import numpy as np
from matplotlib.figure import Figure

from spectral_jepa.plotting.style import COLORS, styled

# (steps are the most, clips are the most) -> line, marker, colour
LOOKS = {(True, True): ("-", "o", "measured"), (False, True): ("--", "s", "measured"), (False, False): (":", "^", "other")}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    table = table[table["n_steps"] > table["n_steps"].min()]
    figure = Figure(figsize=(12.5, 4.6), layout="constrained")
    axes = figure.subplots(1, 3)
    plain = table[(table["history"] == 1) & (table["ahead"] > 0)]
    steps, clips = plain["n_steps"].max(), plain["clips"].max()
    for (n_steps, size), part in plain.groupby(["n_steps", "clips"]):
        look = LOOKS[bool(n_steps == steps), bool(size == clips)]
        for axis, column in zip(axes, ("share", "unpredicted", "regret"), strict=True):
            curve(axis, part, column, *look, f"{n_steps:,} steps, {size:,} clips")
    long = plain[(plain["n_steps"] == steps) & (plain["clips"] == clips)]
    curve(axes[2], long, "function_regret", "-", "D", "tight", f"{steps:,} steps, exact predictions of its f")
    for size, part in plain[plain["n_steps"] < steps].groupby("clips"):
        curve(axes[0], part, "counted_share", "-" if size == clips else ":", "", "loose", f"SVD of counts, {size:,} clips")
    exact = long.groupby("ahead")["leading"].first()
    axes[1].plot(exact.index, 1 - exact**2, color=COLORS["exact"], ls="-", lw=1, label="optimum, 1 - $s^{2H}$")
    past = table[(table["history"] == 3) & (table["clips"] == clips)]
    for axis, column in zip(axes, ("share", "unpredicted", "regret"), strict=True):
        axis.plot(
            past["ahead"],
            past[column],
            "x",
            color=COLORS["chain"],
            ms=7,
            label=f"{past['n_steps'].max():,} steps, {clips:,} clips, 3 frames of context",
        )
    start = table[table["ahead"] == 0]
    axes[0].axhline(start["share"].mean(), color=COLORS["exact"], lw=1, ls=":", label="untrained encoder")
    axes[2].axhline(plain["blind_regret"].mean(), color=COLORS["exact"], lw=1, ls=":", label="always the first plan")
    axes[0].set_title("functions: share of the leading four")
    axes[1].set_title("prediction: error over variance of f")
    axes[2].set_title("four-action plans: regret")
    for axis in axes:
        axis.set_xticks(np.sort(plain["ahead"].unique()))
        axis.set_xlabel("steps predicted at once, H")
        axis.set_ylim(bottom=0)
    axes[0].set_ylim(0, 1.05)
    handles = {}
    for axis in axes:
        handles |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    figure.suptitle(headline(plain[plain["clips"] == clips]), size=11)
    return {"bridge_history": figure}


def headline(plain):
    """The finding in numbers."""
    mean = plain.groupby(["n_steps", "ahead"])["share"].mean()
    short, long = plain["n_steps"].min(), plain["n_steps"].max()
    far = plain["ahead"].max()
    return (
        f"Predicting {far} steps at once does not find better functions: of the leading four it has {mean[short, far]:.2f} "
        f"where one step has {mean[short, 1]:.2f}\nafter {short:,} steps of training, {mean[long, far]:.2f} where one "
        f"step has {mean[long, 1]:.2f} after {long:,} (10,000 clips)"
    )


def curve(axis, part, column, line, marker, color, label):
    """Mean over seeds, with their range."""
    grouped = part.groupby("ahead")[column]
    mean = grouped.mean()
    axis.plot(mean.index, mean, ls=line, marker=marker, color=COLORS[color], label=label)
    axis.fill_between(mean.index, grouped.min(), grouped.max(), color=COLORS[color], alpha=0.12, lw=0)
