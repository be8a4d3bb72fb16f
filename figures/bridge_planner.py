"""Draw ``bridge_planner``: what the squared distance loses on trained latents over what the exact embedding says."""

import numpy as np

from spectral_jepa.plotting.finding import finish, label_at, talk_version
from spectral_jepa.plotting.style import COLORS, NOTE_COLOR, WORDS, new_figure, styled

LOOKS = {"whitening": ("o", "measured", "whitened"), "sigreg": ("D", "printed", "SIGReg (LeWM)")}
PLANNERS = {
    "distance_regret": ("squared distance", "measured", "o"),
    "score_regret": ("corrected score", "tight", "s"),
    "blind_regret": ("always the first action", "loose", "|"),
}
# A predicted bias below this is none, but for rounding.
NONE = 1e-9
# Points with a larger predicted bias stand apart and have their world's name.
NAMED = 0.01


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    # The shorter training is a check of the pipeline.
    table = table[table["n_steps"] == table["n_steps"].max()]
    white = table[table["regularizer"] == "whitening"]
    figure, axes = new_figure(1, 2, width=5.0, height=3.9)
    bias_panel(axes[0, 0], table)
    axes[0, 0].set_title("bias: goal regret of the distance\nless that of the corrected score")
    axes[0, 1].set_title("whitened latents, worlds by predicted bias")
    handles = regret_panel(axes[0, 1], white)
    seeds = table["seed"].nunique()
    biased, control = (white[pick] for pick in (white["exact_bias"] > NONE, white["exact_bias"] <= NONE))
    finish(
        figure,
        f"On latents trained from pixels the squared distance loses {biased['bias'].mean():.3f} more than the corrected "
        f"score in the {biased['world'].nunique()} worlds where the exact embedding says {biased['exact_bias'].mean():.3f}, "
        f"and {control['bias'].mean():.3f} in the {control['world'].nunique()} where it says 0.",
        f"Mean of {seeds} seeds; left, bars: their range. Numbers in the title: whitened latents.",
        legend=[*axes[0, 0].get_legend_handles_labels()[0], *handles],
        columns=5,
    )
    share = biased[biased["exact_bias"] > NAMED].groupby("world")[["bias", "exact_bias"]].mean()
    share = share["bias"] / share["exact_bias"]
    talk = talk_version(
        f"In the {len(share)} worlds where the Euclidean planner should lose more than {NAMED:g}, latents from pixels lose "
        f"{100 * share.min():.0f} to {100 * share.max():.0f} % of it.",
        bias_panel,
        table,
        legend=True,
        note=f"Bias: goal regret of the squared distance less that of the corrected score. Mean and range of {seeds} "
        "seeds; per cent: whitened.",
    )
    return {"bridge_planner": figure, "bridge_planner_talk": talk}


def bias_panel(axis, table):
    """Measured over predicted bias, a mark a world."""
    most = max(table["exact_bias"].max(), table["bias"].max()) * 1.25
    axis.plot([0, most], [0, most], color="0.4", lw=1)
    label_at(axis, "as predicted", (0.62 * most, 0.62 * most), color=NOTE_COLOR, shift=(-5, 3), ha="right")
    for regularizer, (marker, color, label) in LOOKS.items():
        part = table[table["regularizer"] == regularizer].groupby("world")[["exact_bias", "bias"]]
        mean, low, high = part.mean(), part.min()["bias"], part.max()["bias"]
        axis.vlines(mean["exact_bias"], low, high, color=COLORS[color], lw=1.6)
        axis.plot(mean["exact_bias"], mean["bias"], ls="", marker=marker, ms=6, color=COLORS[color], label=label)
    named = table[table["exact_bias"] > NAMED].groupby("world")[["exact_bias", "bias"]].min().sort_values("exact_bias")
    for place, (world, row) in enumerate(named.iterrows()):
        # Neighbours in turn below and at the right: their names do not meet.
        style = {"shift": (8, 2), "va": "center"} if place % 2 else {"shift": (3, -5), "va": "top"}
        label_at(axis, world, tuple(row), **style)
    axis.set_xlim(right=most)
    axis.set_xlabel("bias predicted from the exact white embedding")
    axis.set_ylabel("bias measured on latents")


def regret_panel(axis, part):
    """Regret of both planners and of a blind one, a row a world, by predicted bias; returns the marks."""
    mean = part.groupby("world")[["exact_bias", *PLANNERS]].mean()
    mean = mean.assign(rounded=mean["exact_bias"].where(mean["exact_bias"] > NONE, 0)).sort_values(
        ["rounded", "blind_regret"], ascending=False
    )
    rows = np.arange(len(mean))
    for column, (label, color, marker) in PLANNERS.items():
        # Where both planners coincide the edge of the larger mark stays in sight.
        style = {"ms": 11, "mew": 2.4} if marker == "|" else {"ms": 8 if marker == "o" else 4}
        axis.plot(mean[column], rows, ls="", marker=marker, color=COLORS[color], label=label, **style)
    axis.hlines(rows, mean["score_regret"], mean["distance_regret"], color=COLORS["measured"], lw=1.6, zorder=1.5)
    names = [f"{world} ({bias:.3f})" if bias else f"{world} (0)" for world, bias in mean["rounded"].items()]
    axis.set_yticks(rows, names)
    axis.set_ylim(len(mean) - 0.5, -0.5)
    axis.set_xlim(left=-0.015)
    axis.set_xlabel(WORDS["goal regret"])
    axis.set_ylabel("world (predicted bias)")
    return axis.get_legend_handles_labels()[0]
