"""Draw ``minimax``: measured pretraining error between its lower and its upper bound, along N, k and n."""

import numpy as np

from spectral_jepa.plotting.finding import finish, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, styled

AXES = {
    "N": ("n_samples", 0, WORDS["transitions"]),
    "k": ("dim", 1, "latent dimension less one, k - 1"),
    "n": ("n_states", 0, "states n"),
}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figure, panels = new_figure(1, 3, width=3.7, height=3.3)
    found, ratios = [], []
    for panel, axis in zip(panels[0], AXES, strict=True):
        slope, ratio = one_panel(panel, table, axis)
        found.append(slope)
        ratios.append(ratio)
        panel.set_title(f"{fixed(table, axis)}: slope {slope:+.2f}")
    low, high = min(r.min() for r in ratios), max(r.max() for r in ratios)
    finish(
        figure,
        f"Rank k costs of the order of k n / N with any estimator: the truncated SVD is {low:.0f} to {high:.0f} times "
        f"above the lower bound, with slopes {found[0]:.2f}, {found[1]:.2f}, {found[2]:.2f} in N, k - 1, n.",
        f"Dots: mean of {table['draw'].nunique()} draws; band: least to largest. Slopes: of the mean, from n (k - 1) "
        "transitions on; with fewer, predicting the marginal law is better than any count.",
        legend=panels[0, 0].get_legend_handles_labels()[0],
        columns=5,
    )
    talk = talk_version(
        f"Error falls like 1/N, {low:.0f} to {high:.0f} times above what any method must pay.",
        one_panel,
        table,
        "N",
        legend=True,
        note=f"Band: least to largest of the draws; {fixed(table, 'N')}.",
    )
    return {"minimax": figure, "minimax_talk": talk}


def fixed(table, axis):
    """The two numbers that do not move along an axis."""
    part = table[table["axis"] == axis]
    return ", ".join(f"{name} = {part[other].iloc[0]:,}" for name, (other, *_) in AXES.items() if name != axis)


def one_panel(panel, table, axis):
    """Means and ranges over the draws of one axis; returns the slope of the mean and its quotients by the lower bound."""
    column, shift, label = AXES[axis]
    part = table[table["axis"] == axis]
    groups = part.groupby(column)
    size = np.array(list(groups.groups), float) - shift
    risk = groups["risk"]
    mean = risk.mean().to_numpy()
    panel.plot(size, groups["upper"].first(), color=COLORS["loose"], lw=3, label="upper bound, best of three")
    panel.plot(size, groups["oracle"].mean(), color=COLORS["tight"], ls="--", label=r"$5k\,\|E\|_2^2$ of the counts")
    full = groups["risk_full_rank"].mean()
    panel.plot(size, full, color=COLORS["other"], marker="s", ls=":", label="counts, full rank")
    panel.fill_between(size, risk.min(), risk.max(), color=COLORS["measured"], alpha=0.25, lw=0)
    panel.plot(size, mean, color=COLORS["measured"], marker="o", label="truncated SVD, rank k")
    panel.plot(size, groups["lower"].first(), color=COLORS["exact"], label="lower bound, any estimator")
    panel.set_xscale("log")
    panel.set_yscale("log")
    if size.max() < 1000:
        panel.set_xticks(size, [f"{value:g}" for value in size])
        panel.minorticks_off()
    panel.set_xlabel(label)
    if axis == "N":
        panel.set_ylabel(WORDS["error"])
    enough = (part["n_samples"] >= part["n_states"] * (part["dim"] - 1)).groupby(part[column]).first().to_numpy()
    # With fewer than n (k - 1) transitions predicting w+ is better than any count.
    slope = np.polyfit(np.log(size[enough]), np.log(mean[enough]), 1)[0]
    return float(slope), (mean / groups["lower"].first().to_numpy())[enough]
