"""Draw ``pixels``: planning success, rank, probe and surprise of each model, every training seed shown."""

import numpy as np

from spectral_jepa.plotting.finding import finish, label_at, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, styled
from spectral_jepa.success_rates import wilson_interval

NAMES = {"two_room": "Two-Room", "reacher": "Reacher", "push_t": "Push-T", "cube": "Cube"}
POSITION = "probe_r2_embedding_linear_agent_position"


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}, one an environment."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figures = {}
    for name, part in table.groupby("environment", sort=False):
        figures[f"pixels_{name}"], figures[f"pixels_{name}_talk"] = world_figure(name, part), world_talk(name, part)
    return figures


def trained_of(part):
    """Rows of the models, without floor and ceiling."""
    return part[~part["model"].isin(("random", "simulator"))]


def pooled(rows):
    """Successes of all seeds over all their pairs."""
    return rows["successes"].sum() / rows["n_pairs"].sum()


def headline(name, part):
    """Best model, floor, ceiling, and the model of highest rank if it is the one that plans worst."""
    trained = trained_of(part)
    success = trained.groupby("model", sort=False)[["successes", "n_pairs"]].sum()
    success = success["successes"] / success["n_pairs"]
    low, high = (part[part["model"] == end] for end in ("random", "simulator"))
    text = f"{NAMES.get(name, name)}: {success.idxmax()} reaches {success.max():.0%} of the goals"
    text += f", the simulator {pooled(high):.0%}" if len(high) else ""
    text += f", random actions {pooled(low):.0%}" if len(low) else ""
    if "effective_rank" in trained and trained["effective_rank"].notna().any():
        rank = trained.groupby("model", sort=False)["effective_rank"].mean()
        if len(rank) > 1 and rank.idxmax() == success.idxmin():
            text += f"; the highest rank ({rank.idxmax()!r}) plans worst, at {success.min():.0%}"
    return text + "."


def world_figure(name, part):
    """Four panels for one environment."""
    figure, axes = new_figure(2, 2, width=5.2, height=3.1)
    trained = trained_of(part)
    success_panel(axes[0, 0], part)
    axes[0, 0].set_title("planning, goal 25 steps ahead")
    scatter_panel(axes[0, 1], trained)
    dots_panel(axes[1, 0], trained, [(POSITION, "linear probe of position, $R^2$", COLORS["measured"], "o"),
                                     ("straightness", "straightness", COLORS["loose"], "s")])  # fmt: skip
    axes[1, 0].set_title("what the latents hold (test episodes)")
    dots_panel(axes[1, 1], trained, [("surprise_auroc_teleported_at", "teleport", COLORS["printed"], "o"),
                                     ("surprise_auroc_recoloured_at", "recolour", COLORS["other"], "s")])  # fmt: skip
    axes[1, 1].axvline(0.5, color="0.5", lw=1, ls=":")
    axes[1, 1].set_title("surprise, AUROC (dotted: chance)")
    seeds = int(trained["seed"].nunique())
    why = ""
    if "none" in set(trained["model"]):
        why = (
            "'none' has no regulariser and collapses: hardly any variance is left, and effective rank, which has no scale, "
            "counts the directions of what is."
        )
    return finish(
        figure,
        headline(name, part),
        f"A mark a training seed ({seeds} seed{'s' * (seeds > 1)}), the same held-out pairs for all, "
        f"{part['size'].iloc[0]} preset; bars and bands: Wilson's 95 % interval, seeds pooled. {why}",
    )


def world_talk(name, part):
    """Success alone."""
    return talk_version(
        headline(name, part),
        success_panel,
        part,
        note="Dot: a training seed; bar: 95 % interval of all.",
    )


def success_panel(axis, part):
    """Success of each seed, the pooled share with its Wilson interval, floor and ceiling; a row a model."""
    trained = trained_of(part)
    names = list(dict.fromkeys(trained["model"]))
    for position, name in enumerate(names):
        rows = trained[trained["model"] == name]
        low, high = wilson_interval(int(rows["successes"].sum()), int(rows["n_pairs"].sum()))
        axis.plot([low, high], [position, position], color=COLORS["measured"], lw=6, alpha=0.3, solid_capstyle="butt")
        spread = np.linspace(-0.18, 0.18, len(rows)) if len(rows) > 1 else [0.0]
        axis.plot(rows["success"], position + np.asarray(spread), ls="", marker="o", color=COLORS["measured"])
    for name, color, side in (("random", "printed", "left"), ("simulator", "tight", "right")):
        rows = part[part["model"] == name]
        if len(rows):
            low, high = wilson_interval(int(rows["successes"].sum()), int(rows["n_pairs"].sum()))
            axis.axvspan(low, high, color=COLORS[color], alpha=0.15, lw=0)
            axis.axvline(rows["success"].mean(), color=COLORS[color], lw=1.2)
            label_at(axis, name, (rows["success"].mean(), -0.75), color=COLORS[color], shift=(0, 0), va="center", ha=side)
    model_rows(axis, names)
    axis.set_ylim(len(names) - 0.4, -1.1)
    axis.set_xlim(0, 1.02)
    axis.set_xlabel(WORDS["success"])


def model_rows(axis, names):
    """Names of the models at the left, from top to bottom."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)


def scatter_panel(axis, trained):
    """Success against effective rank: does a lower rank plan better?"""
    rows = trained.dropna(subset=["effective_rank"]) if "effective_rank" in trained else trained.iloc[:0]
    for (name, part), color, marker in zip(rows.groupby("model", sort=False), COLORS.values(), "os^vDPX", strict=False):
        axis.plot(part["effective_rank"], part["success"], ls="", marker=marker, ms=6, mec="white", color=color, label=name)
    axis.set_xlabel("effective rank of 2,000 test frames")
    axis.set_ylabel(WORDS["success"])
    axis.set_ylim(0, 1.04)
    axis.set_xlim(left=0)
    axis.set_title("rank against planning")
    axis.legend(loc="center left", handletextpad=0.2)


def dots_panel(axis, trained, series):
    """Seeds as marks for some columns, a row a model."""
    names = list(dict.fromkeys(trained["model"]))
    for number, (column, label, color, marker) in enumerate(series):
        if column not in trained:
            continue
        for position, name in enumerate(names):
            values = trained.loc[trained["model"] == name, column].dropna()
            height = np.full(len(values), position + 0.3 * (number - 0.5))
            axis.plot(values, height, ls="", marker=marker, ms=4.5, color=color, label=label if position == 0 else None)
    model_rows(axis, names)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, handletextpad=0.2)
