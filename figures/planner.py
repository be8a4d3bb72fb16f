"""Draw ``planner``: success on the same held-out pairs against milliseconds a plan, one panel a world."""

import numpy as np
from matplotlib.ticker import NullFormatter, ScalarFormatter

from spectral_jepa.plotting.style import COLORS, new_figure, styled
from spectral_jepa.success_rates import pareto_front

# What is compared -> (legend, colour, marker).
KINDS = {
    "budget": ("CEM, samples x iterations", "measured", "o"),
    "method": ("another search", "loose", "s"),
    "cost": ("cost along the plan", "tight", "^"),
    "history": ("real history", "chain", "D"),
    "replanning": ("replanned sooner", "other", "v"),
    "proposal": ("begun at a proposal", "printed", "P"),
}
NAMES = {"two_room": "Two-Room", "reacher": "Reacher", "push_t": "Push-T", "cube": "Cube"}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    worlds = list(dict.fromkeys(table["environment"]))
    figure, axes = new_figure(1, len(worlds), width=4.1, height=3.7)
    for axis, world in zip(axes[0], worlds, strict=True):
        panel(axis, table[table["environment"] == world])
        axis.set_title(NAMES.get(world, world))
    axes[0][0].set_ylabel(f"success on {len(table['outcomes'].iloc[0])} held-out pairs")
    marks = {}
    for axis in axes[0]:
        marks |= {text: mark for mark, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(marks.values(), marks.keys(), loc="outside lower center", ncols=min(len(marks), 4))
    figure.suptitle("What a planner's settings buy: up and to the left is better; named are those that nothing beats")
    return {"planner": figure}


def panel(axis, part):
    """One world: a mark a setting with its 95 % interval, and the settings that no other beats in both."""
    for kind, (label, color, marker) in KINDS.items():
        rows = part[part["compared"] == kind]
        if len(rows):
            error = np.maximum([rows["success"] - rows["low"], rows["high"] - rows["success"]], 0)
            axis.errorbar(rows["milliseconds"], rows["success"], error, ls="", marker=marker, ms=5, color=COLORS[color],
                          elinewidth=0.7, alpha=0.9, label=label)  # fmt: skip
    best = part[pareto_front(part["milliseconds"], part["success"])].sort_values("milliseconds")
    axis.step(best["milliseconds"], best["success"], where="post", color=COLORS["exact"], lw=1, zorder=0,
              label="nothing is both as quick and as good")  # fmt: skip
    for number, row in enumerate(best.itertuples()):
        below = number % 2
        axis.annotate(row.arm, (row.milliseconds, row.success), xytext=(4, -11 if below else 6), fontsize=6.5,
                      textcoords="offset points")  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.margins(x=0.15)
    axis.set_ylim(-0.03, 1.08)
    axis.set_xlabel("milliseconds a plan, one thread")
