"""Draw ``minimax``: measured pretraining error between its lower and its upper bound, along N, k and n."""

import numpy as np
from matplotlib.figure import Figure

from spectral_jepa.plotting.style import COLORS, styled

AXES = {
    "N": ("n_samples", 0, "transitions $N$"),
    "k": ("dim", 1, "dimension less one, $k - 1$"),
    "n": ("n_states", 0, "states $n$"),
}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figure = Figure(figsize=(11.5, 4.3), layout="constrained")
    panels = figure.subplots(1, 3)
    found, ratios = [], []
    for panel, (axis, (column, shift, label)) in zip(panels, AXES.items(), strict=True):
        part = table[table["axis"] == axis]
        slope, ratio = one_panel(panel, part, column, shift)
        found.append(slope)
        ratios.append(ratio)
        panel.set_xlabel(label)
        fixed = [f"${name}$ = {part[other].iloc[0]:,}" for name, (other, *_) in AXES.items() if name != axis]
        panel.set_title(f"{', '.join(fixed)}: slope {slope:+.2f}")
    panels[0].set_ylabel("pretraining error $R_S$")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    low, high = min(r.min() for r in ratios), max(r.max() for r in ratios)
    figure.suptitle(
        f"Rank $k$ costs of the order of $k\\,n/N$ with any estimator: truncated SVD is {low:.0f} to {high:.0f} times above "
        f"the lower bound,\nwith slopes {found[0]:.2f}, {found[1]:.2f}, {found[2]:.2f} in $N$, $k - 1$, $n$",
        size=11,
    )
    return {"minimax": figure}


def one_panel(panel, part, column, shift):
    """Means and ranges over the draws of one axis; returns the slope of the mean and its quotients by the lower bound."""
    groups = part.groupby(column)
    size = np.array(list(groups.groups), float) - shift
    risk = groups["risk"]
    mean = risk.mean().to_numpy()
    panel.plot(
        size, groups["upper"].first(), color=COLORS["loose"], lw=3, alpha=0.6, label="upper bound, best of three estimators"
    )
    panel.plot(size, groups["oracle"].mean(), color=COLORS["tight"], ls="--", label=r"$5k\,\|E\|_2^2$ of the same counts")
    full = groups["risk_full_rank"].mean()
    panel.plot(size, full, color=COLORS["other"], marker="s", ls=":", label="counts, full rank")
    panel.fill_between(size, risk.min(), risk.max(), color=COLORS["measured"], alpha=0.25, lw=0)
    panel.plot(size, mean, color=COLORS["measured"], marker="o", label="truncated SVD, rank $k$")
    panel.plot(size, groups["lower"].first(), color=COLORS["exact"], label="lower bound, any estimator")
    panel.set_xscale("log")
    panel.set_yscale("log")
    if size.max() < 1000:
        panel.set_xticks(size, [f"{value:g}" for value in size])
        panel.minorticks_off()
    enough = (part["n_samples"] >= part["n_states"] * (part["dim"] - 1)).groupby(part[column]).first().to_numpy()
    # With fewer than n (k - 1) transitions predicting w+ is better than any count.
    slope = np.polyfit(np.log(size[enough]), np.log(mean[enough]), 1)[0]
    return float(slope), (mean / groups["lower"].first().to_numpy())[enough]
