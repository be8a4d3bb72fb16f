"""Draw ``negatives``: what four planners lose in exact embeddings, the scatter world against its closed form, the bias."""

import numpy as np

from spectral_jepa.plotting.finding import finish, label_at, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, halo, new_figure, styled

PLANNERS = {
    "euclidean": ("distance $\\|g - f\\|$, white encoder (the paper's planner)", "printed", "o"),
    "own dot": ("score $g^T f$, each action's own negatives (printed loss)", "loose", "s"),
    "pooled dot": ("score $g^T f$, pooled negatives", "tight", "D"),
}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    exact = table[(table["dims"] == "all") & (table["horizon"] == 1)]
    figure, axes = new_figure(1, 3, width=4.2, height=4.3)
    family_panel(axes[0, 0], exact)
    scatter_panel(axes[0, 1], exact)
    spread_panel(axes[0, 2], exact)
    worst = {name: exact.loc[exact["planner"] == name, "regret"].max() for name in PLANNERS}
    pooled = f"{worst['pooled dot']:.2f}" if worst["pooled dot"] > 0.005 else "nothing"
    finish(
        figure,
        f"With no pretraining error the paper's planner still loses up to {worst['euclidean']:.2f}, the score with each "
        f"action's own negatives up to {worst['own dot']:.2f}, with pooled negatives {pooled}.",
        "Exact embeddings, k = n, one step. Left: mean over worlds of a family, mean regret over mean best value. Middle "
        "and right: the paper's planner; a regret below 2e-6 is drawn there.",
        legend=axes[0, 0].get_legend_handles_labels()[0],
        columns=3,
    )
    talk = talk_version(
        f"No pretraining error, and yet the paper's planner loses up to {worst['euclidean']:.2f}.",
        scatter_panel,
        exact,
        note="Worlds with equal, uniform, stationary marginals.",
    )
    return {"negatives": figure, "negatives_talk": talk}


def family_panel(axis, part):
    """Share of the best value that each planner loses, a line a family."""
    families = list(dict.fromkeys(part["family"]))[::-1]
    for shift, (planner, (label, color, marker)) in enumerate(PLANNERS.items()):
        rows = part[part["planner"] == planner]
        mean = rows.groupby("family")[["regret", "best"]].mean()
        share = (mean["regret"] / mean["best"]).reindex(families)
        where = np.arange(len(families)) + 0.18 * (1 - shift)
        axis.plot(share, where, ls="", marker=marker, ms=4.5, color=COLORS[color], label=label)
    axis.set_yticks(range(len(families)), families, fontsize="small")
    axis.set_xlim(-0.03, 1.0)
    axis.set_ylim(-0.7, len(families) - 0.3)
    axis.set_xlabel(WORDS["relative goal regret"])
    axis.set_title("what three planners lose")


def scatter_panel(axis, part):
    """The family that the Euclidean planner cannot plan in, beside the ceiling and its limit."""
    rows = part[part["family"].str.startswith("scatter") & (part["planner"] == "euclidean")].sort_values("n_states")
    n = np.geomspace(3, 200, 200)
    limit = 1 - 1 / np.sqrt(2)
    most, closed = 1 - np.sqrt(n / (2 * (n - 1))), (1 - 1 / n) * (limit - 2 / (3 * n))
    axis.plot(n, most, color=COLORS["exact"])
    axis.plot(n, closed, color=COLORS["measured"])
    axis.plot(rows["n_states"], rows["regret"], ls="", marker="o", ms=6, color=COLORS["measured"])
    axis.axhline(limit, color="0.5", lw=0.9, ls=":")
    axis.axhline(0, color=COLORS["printed"])
    label_at(axis, "Thm 4.1 as printed", (3, 0), color=COLORS["printed"], shift=(0, 5))
    label_at(axis, "$1 - 1/\\sqrt{2}$", (3, limit), shift=(0, 4))
    label_at(axis, "black: most at any pair", (n[-1], limit), shift=(0, 4), ha="right")
    last = rows.iloc[len(rows) // 2]
    text = "scatter world: measured\non its closed form"
    label_at(axis, text, (last["n_states"], last["regret"]), color=COLORS["measured"], shift=(4, -9), va="top")
    axis.set_xscale("log")
    axis.set_ylim(-0.015, 0.36)
    axis.set_xlabel("states n")
    axis.set_ylabel(WORDS["goal regret"])
    axis.set_title("equal, uniform, stationary marginals")


def spread_panel(axis, part):
    """Regret of the Euclidean planner under its bound, which holds in every world."""
    rows = part[part["planner"] == "euclidean"].groupby("family", sort=False)[["bound", "regret"]].mean()
    shown = rows[rows["bound"] > 1e-9]
    floor = 2e-6
    axis.plot(shown["bound"], shown["regret"].clip(lower=floor), ls="", marker="o", ms=5, color=COLORS["measured"])
    ends = np.array([1e-5, 0.6])
    axis.plot(ends, ends, color=COLORS["tight"])
    label_at(axis, "regret = bound", (3e-5, 3e-5), color=COLORS["tight"], shift=(7, -8))
    aside = {
        "low rank": (-6, 8, "right"), "dirichlet 1": (5, -10, "left"), "block": (5, 0, "left"),
        "scatter 96": (-6, 3, "right"), "scatter 24": (6, -6, "left"), "four rooms, slip .3": (-5, 5, "right"),
        "permutation, skewed law": (-10, 16, "center"), "garnet": (5, -8, "left"), "dirichlet .1": (-6, 3, "right"),
    }  # fmt: skip
    for family, row in shown.iterrows():
        dx, dy, side = aside.get(family, (5, -9, "left"))
        at = (row["bound"], max(row["regret"], floor))
        axis.annotate(
            family, at, xytext=(dx, dy), textcoords="offset points", fontsize="x-small", ha=side, path_effects=halo()
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(1e-5, 3)
    axis.set_ylim(floor / 2, 0.6)
    axis.set_xlabel("its bound, $q(y)(\\|g_{\\ast}\\|^2 - \\|\\tilde g\\|^2)/2$ on average")
    axis.set_ylabel(WORDS["goal regret"])
    axis.set_title("bounded by the planner's bias")
