"""Draw ``negatives``: what four planners lose in exact embeddings, the scatter world against its closed form, the bias."""

import numpy as np
from matplotlib.figure import Figure

from spectral_jepa.plotting.style import COLORS, styled

PLANNERS = {
    "euclidean": ("$-\\|g - f\\|$, white encoder (the paper's planner)", "printed", "o"),
    "own dot": ("$g^\\top f$, negatives of the own action (printed loss)", "loose", "s"),
    "pooled dot": ("$g^\\top f$, pooled negatives", "tight", "D"),
}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    exact = table[(table["dims"] == "all") & (table["horizon"] == 1)]
    figure = Figure(figsize=(11.5, 4.4), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[1.35, 1, 1])
    family_panel(axes[0], exact)
    scatter_panel(axes[1], exact)
    spread_panel(axes[2], exact)
    worst = {name: exact.loc[exact["planner"] == name, "regret"].max() for name in PLANNERS}
    figure.suptitle(
        f"At risk 0 the Euclidean planner loses up to {worst['euclidean']:.2f}, the dot planner with each action's own "
        f"negatives up to {worst['own dot']:.2f}, with pooled negatives {worst['pooled dot']:.0g}",
        size=11,
    )
    return {"negatives": figure}


def family_panel(axis, part):
    """Share of the best value that each planner loses, a line a family."""
    families = list(dict.fromkeys(part["family"]))[::-1]
    for shift, (planner, (label, color, marker)) in enumerate(PLANNERS.items()):
        rows = part[part["planner"] == planner]
        mean = rows.groupby("family")[["regret", "best"]].mean()
        share = (mean["regret"] / mean["best"]).reindex(families)
        where = np.arange(len(families)) + 0.18 * (1 - shift)
        axis.plot(share, where, ls="", marker=marker, ms=4.5, color=COLORS[color], label=label)
    axis.set_yticks(range(len(families)), families, fontsize=7.5)
    axis.set_xlim(-0.03, 1.0)
    axis.set_ylim(-0.7, len(families) + 3.2)
    axis.legend(loc="upper left", handletextpad=0.2)
    axis.set_xlabel("mean regret / mean best value, one step")
    axis.set_title("exact embeddings, $k = n$")


def scatter_panel(axis, part):
    """The family that the Euclidean planner cannot plan in, beside the ceiling and its limit."""
    rows = part[part["family"].str.startswith("scatter") & (part["planner"] == "euclidean")].sort_values("n_states")
    n = np.geomspace(3, 200, 200)
    limit = 1 - 1 / np.sqrt(2)
    axis.plot(n, 1 - np.sqrt(n / (2 * (n - 1))), color=COLORS["exact"], label="most at any pair, uniform law")
    axis.plot(n, (1 - 1 / n) * (limit - 2 / (3 * n)), color=COLORS["measured"], label="scatter world, closed form")
    axis.plot(rows["n_states"], rows["regret"], ls="", marker="o", ms=6, color=COLORS["measured"], label="measured")
    axis.axhline(limit, color="0.5", lw=0.9, ls=":")
    axis.axhline(0, color=COLORS["printed"])
    axis.text(n[-1], 0.004, "Thm 4.1 as printed", size=8, color=COLORS["printed"], ha="right")
    axis.text(3, limit + 0.006, "$1 - 1/\\sqrt{2}$", size=8)
    axis.set_xscale("log")
    axis.set_ylim(-0.015, 0.36)
    axis.set_xlabel("states $n$")
    axis.set_ylabel("mean regret of the Euclidean planner")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 0.08))
    axis.set_title("equal, uniform, stationary marginals")


def spread_panel(axis, part):
    """Regret of the Euclidean planner under its bound, which holds in every world."""
    rows = part[part["planner"] == "euclidean"].groupby("family", sort=False)[["bound", "regret"]].mean()
    shown = rows[rows["bound"] > 1e-9]
    floor = 2e-6
    axis.plot(shown["bound"], shown["regret"].clip(lower=floor), ls="", marker="o", ms=5, color=COLORS["measured"])
    ends = np.array([1e-5, 0.6])
    axis.plot(ends, ends, color=COLORS["tight"], label="regret = bound")
    aside = {
        "low rank": (-6, 8, "right"), "dirichlet 1": (5, -10, "left"), "block": (5, 0, "left"),
        "scatter 96": (-6, 3, "right"), "scatter 24": (6, -6, "left"), "four rooms, slip .3": (-5, 5, "right"),
        "permutation, skewed law": (-10, 16, "center"), "garnet": (5, -8, "left"), "dirichlet .1": (-6, 3, "right"),
    }  # fmt: skip
    for family, row in shown.iterrows():
        dx, dy, side = aside.get(family, (5, -9, "left"))
        at = (row["bound"], max(row["regret"], floor))
        axis.annotate(family, at, xytext=(dx, dy), textcoords="offset points", size=6.5, ha=side)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(1e-5, 3)
    axis.set_ylim(floor / 2, 0.6)
    axis.set_xlabel("its bound, $q(y)(\\|g_{\\ast}\\|^2 - \\|\\tilde g\\|^2)/2$ on average")
    axis.set_ylabel("mean regret (lowest line: none)")
    axis.legend(loc="upper left")
    axis.set_title("its regret is bounded by its bias")
