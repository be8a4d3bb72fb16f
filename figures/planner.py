"""Draw ``planner``: success on the same held-out pairs against milliseconds a plan, one panel a world."""

import numpy as np
from matplotlib.ticker import NullFormatter, ScalarFormatter

from spectral_jepa.plotting.finding import finish, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, styled
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
    columns = 2 if len(worlds) == 4 else min(len(worlds), 3)
    figure, axes = new_figure(-(-len(worlds) // columns), columns, width=4.3, height=3.6)
    marks = {}
    for axis, world in zip(axes.ravel(), worlds, strict=False):
        panel(axis, table[table["environment"] == world])
        axis.set_title(NAMES.get(world, world))
        marks |= {text: mark for mark, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    for axis in axes.ravel()[len(worlds) :]:
        axis.remove()
    pairs = len(table["outcomes"].iloc[0])
    models = table.groupby("model", sort=False)["environment"].unique() if "model" in table else {}
    used = "; ".join(f"{model}: {', '.join(NAMES.get(world, world) for world in own)}" for model, own in models.items())
    finish(
        figure,
        headline(table, worlds),
        f"{pairs} held-out pairs, the same for all; bars: Wilson's 95 % interval. Named are the settings that no other "
        f"beats in both time and success; up and to the left is better.{f' Models: {used}.' if used else ''}",
        legend=list(marks.values()),
        columns=4,
    )
    # For a talk the world in which the settings differ most; a random plan is worst in all.
    planned = table[table["arm"] != "random plan"].groupby("environment", sort=False)["success"]
    shown = (planned.max() - planned.min()).idxmax()
    talk = talk_version(
        headline(table, [shown]),
        panel,
        table[table["environment"] == shown],
        legend=True,
        note=f"{pairs} held-out pairs.",
    )
    return {"planner": figure, "planner_talk": talk}


def headline(table, worlds):
    """The quickest setting whose interval reaches the best success, against the best."""
    said = []
    for world in worlds:
        part = table[table["environment"] == world]
        best = part.loc[part["success"].idxmax()]
        quick = part[part["high"] >= best["success"]].sort_values("milliseconds").iloc[0]
        said.append(
            f"{NAMES.get(world, world)}: {quick['arm']} in {quick['milliseconds']:.0f} ms is not told from {best['arm']} "
            f"in {best['milliseconds']:.0f} ms"
            if quick["arm"] != best["arm"]
            else f"{NAMES.get(world, world)}: {best['arm']} is the best and nothing quicker is as good"
        )
    return "; ".join(said) + "."


def panel(axis, part):
    """One world: a mark a setting with its 95 % interval, and the settings that no other beats in both."""
    for kind, (label, color, marker) in KINDS.items():
        rows = part[part["compared"] == kind]
        if len(rows):
            error = np.maximum([rows["success"] - rows["low"], rows["high"] - rows["success"]], 0)
            axis.errorbar(rows["milliseconds"], rows["success"], error, ls="", marker=marker, ms=5, color=COLORS[color],
                          elinewidth=0.7, label=label)  # fmt: skip
    best = part[pareto_front(part["milliseconds"], part["success"])].sort_values("milliseconds")
    axis.step(best["milliseconds"], best["success"], where="post", color=COLORS["exact"], lw=1, zorder=0,
              label="nothing is both as quick and as good")  # fmt: skip
    # Names stand at the right, at the ends of guides: on the marks they would lie on each other.
    right = 1.6 * part["milliseconds"].max()
    guides = [
        axis.plot([row.milliseconds, right], [row.success] * 2, color="0.6", lw=0.6, ls=":", label=row.arm, zorder=0)[0]
        for row in best.itertuples()
    ]
    label_ends(axis, of=guides)
    for guide in guides:
        guide.set_label("_guide")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.margins(x=0.15)
    axis.set_ylim(-0.03, 1.08)
    axis.set_xlabel("milliseconds a plan, one thread")
    axis.set_ylabel(WORDS["success"])
