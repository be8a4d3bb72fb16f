"""Draw ``worlds``: success of every arm on the same held-out pairs of four pixel worlds, training seeds apart."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from spectral_jepa.plotting.finding import finish, talk_version
from spectral_jepa.plotting.style import COLORS, NOTE_COLOR, WORDS, new_figure, styled
from spectral_jepa.success_rates import paired_comparison, wilson_interval
from spectral_jepa.sweep.results import fullest_rows

NAMES = {"two_room": "Two-Room", "reacher": "Reacher", "push_t": "Push-T", "cube": "Cube"}
FLOORS = ("random", "nothing")
# Bounds of a planner, lines across a world: arm -> style, words.
BOUNDS = {"true dynamics": ("--", "CEM with the true dynamics"), "perfect predictor": (":", "the same, a model's own cost")}
# From top to bottom; the rest in the order of the table.
ORDER = ["cloning", "search from cloning", "LeWM", "summed cost", "SIGReg + inverse", "inverse 4 times as long",
         "inverse 16 times as long", "Sub-JEPA K=2", "Sub-JEPA K=4", "Sub-JEPA K=8", "Sub-JEPA K=16", "random subspaces K=4",
         "scaled subspaces K=4", "PLDM", "whitening", "none", "untrained"]  # fmt: skip
# Column of the table, colour, mark, words: the published planner, and two that know more.
PLANNERS = (
    ("25", "measured", "o", "CEM, as published"),
    ("history", "tight", "^", "with real history"),
    ("guided", "loose", "s", "guided search"),
)


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    # A model that was measured on one task and again on all is one dot.
    table = fullest_rows(table, by=["environment", "arm", "seed"])
    worlds = [world for world in NAMES if world in set(table["environment"])] or list(dict.fromkeys(table["environment"]))
    found = set(table["arm"]) - {*FLOORS, *BOUNDS}
    arms = [arm for arm in ORDER if arm in found] + sorted(found - set(ORDER))
    columns = 2 if len(worlds) > 1 else 1
    figure, axes = new_figure(-(-len(worlds) // columns), columns, width=4.6, height=0.9 + 0.42 * len(arms))
    for number, (axis, world) in enumerate(zip(axes.ravel(), worlds, strict=False)):
        panel(axis, table[table["environment"] == world], arms)
        axis.set_title(NAMES.get(world, world), weight="bold")
        if number % columns:
            axis.set_yticklabels([])
    for axis in axes.ravel()[len(worlds) :]:
        axis.remove()
    pairs = len(table.loc[table["arm"].isin(arms), "outcomes_25"].iloc[0])
    note = f"{pairs} held-out pairs, goal 25 steps ahead; mark: a training seed; bar: Wilson's 95 % interval of all seeds."
    return {
        "worlds": finish(figure, headline(table, worlds), note, legend=marks(table), columns=5),
        "worlds_talk": talk_version(
            headline(table, worlds),
            overview_panel,
            table,
            worlds,
            height=3.6,
            note="Best arm of each world; bar: Wilson's 95 % interval.",
        ),
    }


def headline(table, worlds):
    """What the table says: in how many worlds where LeWM was run it solves more of the same pairs than both floors."""
    above = run = 0
    for world in worlds:
        part = table[table["environment"] == world]
        rows = part[part["arm"] == "LeWM"]
        if len(rows):
            floors = [part[part["arm"] == floor] for floor in FLOORS]
            run, above = run + 1, above + all(better(rows, floor) for floor in floors if len(floor))
    return f"Trained without a GPU, LeWM plans above random actions and doing nothing in {above} of {run} worlds."


def better(rows, others):
    """Whether the 95 % interval of the gain over others, on the same pairs and with episodes drawn whole, lies above 0."""
    both = rows.merge(others, on="seed", suffixes=("", "_of_others"))
    marks = ([mark == "1" for mark in "".join(both[column])] for column in ("outcomes_25", "outcomes_25_of_others"))
    episodes = np.array(" ".join(both["episodes_25"]).split(), dtype=int)
    return len(both) > 0 and paired_comparison(*marks, groups=episodes).low > 0


def interval(part, planner="25"):
    """Wilson's 95 % interval of all seeds' pairs together; (nan, nan) without any."""
    column = f"outcomes_{planner}"
    outcomes = "".join(part[column].dropna()) if column in part else ""
    return wilson_interval(outcomes.count("1"), len(outcomes)) if outcomes else (np.nan, np.nan)


def marks(table):
    """What the marks are, for the legend."""
    shown = [p for p in PLANNERS if f"success_{p[0]}" in table and table[f"success_{p[0]}"].notna().any()]
    handles = [Line2D([], [], ls="", marker=marker, color=COLORS[color], label=label) for _, color, marker, label in shown]
    handles.append(Patch(color="0.86", label="random or nothing"))
    drawn = [told for arm, told in BOUNDS.items() if (table["arm"] == arm).any()]
    return handles + [Line2D([], [], color=COLORS["exact"], ls=style, lw=1.2, label=label) for style, label in drawn]


def panel(axis, part, arms):
    """One world: a row an arm, the floor as a band, the bounds as lines."""
    floor = part[part["arm"].isin(FLOORS)]
    if len(floor):
        axis.axvspan(0, floor["success_25"].max(), color="0.86", lw=0)
    for position, arm in enumerate(arms):
        rows = part[part["arm"] == arm]
        if not len(rows):
            axis.text(0.5, position, "not run", ha="center", va="center", fontsize="small", color=NOTE_COLOR)
            continue
        have = [p for p in PLANNERS if f"success_{p[0]}" in rows and rows[f"success_{p[0]}"].notna().any()]
        for place, (planner, color, marker, _) in enumerate(have):
            height = position + 0.26 * (place - (len(have) - 1) / 2)
            axis.plot(interval(rows, planner), [height] * 2, color=COLORS[color], lw=1.8)
            values = rows[f"success_{planner}"].dropna()
            axis.plot(
                values, np.full(len(values), height), ls="", marker=marker, ms=5, mec="white", mew=0.5, color=COLORS[color]
            )
    for bound, (style, _) in BOUNDS.items():
        for success in part.loc[part["arm"] == bound, "success_25"]:
            axis.axvline(success, color=COLORS["exact"], lw=1.2, ls=style)
    axis.set_yticks(range(len(arms)), arms)
    axis.set_xlim(0, 1.03)
    axis.set_ylim(len(arms) - 0.45, -0.55)
    axis.set_xlabel(WORDS["success"])


def overview_panel(axis, table, worlds):
    """All worlds on one axis: the floor in grey, the world models and the imitator, their best planner each."""
    for position, world in enumerate(worlds):
        part = table[table["environment"] == world]
        floor = part.loc[part["arm"].isin(FLOORS), "success_25"].max()
        axis.barh(position, floor, height=0.8, color="0.86", lw=0)
        models = part[~part["arm"].isin((*FLOORS, *BOUNDS, "cloning"))]
        best = [
            (rows[f"success_{planner}"].mean(), arm, planner)
            for arm, rows in models.groupby("arm")
            for planner, *_ in PLANNERS
            if f"success_{planner}" in rows and rows[f"success_{planner}"].notna().any()
        ]
        shown = [(*max(best)[1:], "measured", "o", -0.18)] if best else []
        if (part["arm"] == "cloning").any():
            shown.append(("cloning", "25", "printed", "D", 0.18))
        for arm, planner, color, marker, shift in shown:
            rows = part[part["arm"] == arm]
            height = position + (shift if len(shown) > 1 else 0)
            axis.plot(interval(rows, planner), [height] * 2, color=COLORS[color], lw=2.4)
            mean = rows[f"success_{planner}"].mean()
            axis.plot(mean, height, ls="", marker=marker, color=COLORS[color])
            left = mean > 0.6
            name = arm if planner == "25" else f"{arm}, {'guided' if planner == 'guided' else 'history'}"
            low, high = interval(rows, planner)
            axis.annotate(name, (low if left else high, height), xytext=(-5 if left else 5, 0), textcoords="offset points",
                          ha="right" if left else "left", va="center", fontsize="small")  # fmt: skip
    axis.set_yticks(range(len(worlds)), [NAMES.get(world, world) for world in worlds])
    axis.set_ylim(len(worlds) - 0.5, -0.5)
    axis.set_xlim(0, 1.03)
    axis.set_xlabel(f"{WORDS['success']} (grey: random)")
