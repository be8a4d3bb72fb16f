"""Draw ``bridge_regularizer``: rank of pixel encoders on what theory predicts, what they span, what their planner loses."""

import numpy as np
from matplotlib.lines import Line2D

from spectral_jepa.plotting.finding import finish, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, styled

FAMILIES = {"whitening": "tight", "SIGReg": "measured", "Sub-JEPA": "chain", "VICReg": "loose", "none": "exact"}
PANELS = {
    "rank": ("rank", "directions that stay, of 8"),
    "effective_rank": ("effective rank", "of the covariance"),
    "correlation": ("span", "mean canonical correlation, 8 leading functions"),
    "ahead_regret": ("planning, three steps ahead", WORDS["goal regret"]),
}
MARKS = [
    Line2D([], [], marker="D", ls="", color=COLORS["printed"], ms=6, label="rank predicted for tables"),
    Line2D([], [], lw=4, color=COLORS["printed"], alpha=0.6, label="bracket of the rank, for tables"),
]


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}, one a world."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figures = {}
    for world, part in table.groupby("world"):
        name = f"bridge_regularizer_{world.replace(' ', '_')}"
        note = f"Bar: mean of {part['seed'].nunique()} seeds; dot: a seed."
        more = "Effective rank has no scale: a collapsed encoder has one too."
        figures[name] = world_figure(part, sentence(world, part), f"{note} {more}")
        figures[f"{name}_talk"] = talk_version(
            sentence(world, part),
            panel,
            part,
            "rank",
            height=4.6,
            note=f"{note} Diamond, thick line: rank predicted for tables, and its bracket.",
        )
    return figures


def bracket(rows):
    """Least and largest rank that theory allows each run, NaN where it says nothing."""
    return rows["least_rank"].fillna(rows["predicted_rank"]), rows["most_rank"].fillna(rows["predicted_rank"])


def sentence(world, part):
    """In how many runs the rank is one that is predicted, and with which regularisers it is not."""
    least, most = bracket(part)
    known = part[least.notna()]
    met = known["rank"].between(least[known.index], most[known.index])
    missed = list(dict.fromkeys(known[~met]["arm"]))
    but = f"; not with {' and '.join(missed)}" if missed else ""
    return f"{world.capitalize()} from pictures: the rank is as predicted for tables in {met.sum()} of {len(met)} runs{but}."


def world_figure(part, title, note):
    """One panel a measure, one bar an arm."""
    figure, axes = new_figure(2, 2, width=4.4, height=3.0)
    for number, (axis, column) in enumerate(zip(axes.ravel(), PANELS, strict=True)):
        panel(axis, part, column)
        if number % 2:
            axis.set_yticklabels([])
    return finish(figure, title, note, legend=MARKS)


def panel(axis, part, column):
    """One bar an arm, a dot a seed; behind ranks what is predicted."""
    arms = list(dict.fromkeys(part["arm"]))
    for place, arm in enumerate(arms):
        rows = part[part["arm"] == arm]
        color = COLORS[next(color for family, color in FAMILIES.items() if arm.startswith(family))]
        axis.barh(place, rows[column].mean(), color=color, alpha=0.7)
        if column == "rank":
            expected(axis, place, rows)
        dots = {"ls": "", "marker": "o", "color": "0.15", "mec": "w", "mew": 0.5, "ms": 4, "zorder": 4, "clip_on": False}
        axis.plot(rows[column], np.full(len(rows), place), **dots)
    title, label = PANELS[column]
    axis.set_title(title)
    axis.set_xlabel(label)
    axis.set_xlim(left=0)
    axis.set_yticks(range(len(arms)), arms)
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")


def expected(axis, place, rows):
    """The predicted rank, or the bracket that it must lie in."""
    low, high = (values.iloc[0] for values in bracket(rows))
    if np.isfinite(low) and low == high:
        axis.plot(low, place, marker="D", ls="", color=COLORS["printed"], ms=7, clip_on=False)
    elif np.isfinite(low):
        axis.plot([low, high], [place, place], lw=4, color=COLORS["printed"], alpha=0.6, solid_capstyle="butt")
