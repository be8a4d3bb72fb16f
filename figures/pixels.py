"""Draw ``pixels``: planning success, rank, probe and surprise of each model, every training seed shown."""

import numpy as np

from spectral_jepa.plotting.style import COLORS, new_figure, styled
from spectral_jepa.success_rates import wilson_interval

POSITION = "probe_r2_embedding_linear_agent_position"


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}, one an environment."""
    table = table[table["status"] == "ok"] if "status" in table else table
    return {f"pixels_{name}": world_figure(name, part) for name, part in table.groupby("environment", sort=False)}


def world_figure(name, part):
    """Four panels for one environment."""
    figure, axes = new_figure(2, 2, width=5.2, height=3.2)
    trained = part[~part["model"].isin(("random", "simulator"))]
    success_panel(axes[0, 0], part, trained)
    scatter_panel(axes[0, 1], trained)
    dots_panel(axes[1, 0], trained, [(POSITION, "linear probe of position, $R^2$", COLORS["measured"]),
                                     ("straightness", "straightness", COLORS["loose"])])  # fmt: skip
    axes[1, 0].set_title("what the latents hold (test episodes)")
    dots_panel(axes[1, 1], trained, [("surprise_auroc_teleported_at", "teleport", COLORS["printed"]),
                                     ("surprise_auroc_recoloured_at", "recolour", COLORS["other"])])  # fmt: skip
    axes[1, 1].axhline(0.5, color="0.6", lw=0.8, ls=":")
    axes[1, 1].set_title("surprise: AUROC against the clean trajectory")
    seeds = int(trained["seed"].nunique())
    figure.suptitle(
        f"{name}, {part['size'].iloc[0]} preset: {seeds} training seed{'s' * (seeds > 1)}, the same held-out pairs for all"
    )
    return figure


def success_panel(axis, part, trained):
    """Success of each seed, the pooled share with its Wilson interval, floor and ceiling."""
    names = list(dict.fromkeys(trained["model"]))
    for position, name in enumerate(names):
        rows = trained[trained["model"] == name]
        hits, n = int(rows["successes"].sum()), int(rows["n_pairs"].sum())
        low, high = wilson_interval(hits, n)
        axis.plot([position, position], [low, high], color=COLORS["measured"], lw=5, alpha=0.35, solid_capstyle="butt")
        spread = np.linspace(-0.15, 0.15, len(rows)) if len(rows) > 1 else [0.0]
        axis.plot(position + np.asarray(spread), rows["success"], ls="", marker="o", color=COLORS["measured"])
    for name, color in (("random", COLORS["printed"]), ("simulator", COLORS["tight"])):
        rows = part[part["model"] == name]
        if len(rows):
            low, high = wilson_interval(int(rows["successes"].sum()), int(rows["n_pairs"].sum()))
            axis.axhspan(low, high, color=color, alpha=0.15, lw=0)
            axis.axhline(rows["success"].mean(), color=color, lw=1, label=name)
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7.5)
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("success on held-out pairs")
    axis.set_title("planning, goal 25 steps ahead (bar: 95 % Wilson, seeds pooled)")
    axis.legend(loc="lower left")


def scatter_panel(axis, trained):
    """Success against effective rank: does a lower rank plan better?"""
    rows = trained.dropna(subset=["effective_rank"]) if "effective_rank" in trained else trained.iloc[:0]
    palette = [*COLORS.values()]
    for (name, part), color in zip(rows.groupby("model", sort=False), palette, strict=False):
        axis.plot(part["effective_rank"], part["success"], ls="", marker="o", ms=5, color=color, label=name)
    axis.set_xlabel("effective rank of 2,000 test frames")
    axis.set_ylabel("success")
    axis.set_ylim(0, 1.02)
    axis.set_xlim(left=0)
    axis.set_title("rank against planning")
    axis.legend(fontsize=6.5)


def dots_panel(axis, trained, series):
    """Seeds as dots for some columns."""
    names = list(dict.fromkeys(trained["model"]))
    for number, (column, label, color) in enumerate(series):
        if column not in trained:
            continue
        for position, name in enumerate(names):
            values = trained.loc[trained["model"] == name, column].dropna()
            x = np.full(len(values), position + 0.2 * (number - 0.5))
            axis.plot(x, values, ls="", marker="o", color=color, label=label if position == 0 else None)
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7.5)
    axis.legend()
