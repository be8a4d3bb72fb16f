"""Draw ``worlds``: success of every arm on the same held-out pairs of four pixel worlds, training seeds apart."""

import numpy as np

from spectral_jepa.plotting.style import COLORS, new_figure, styled
from spectral_jepa.success_rates import wilson_interval

NAMES = {"two_room": "Two-Room", "reacher": "Reacher", "push_t": "Push-T", "cube": "Cube"}
FLOORS = ("random", "nothing", "true dynamics")
# From top to bottom; the rest in the order of the table.
ORDER = ["cloning", "LeWM", "SIGReg + inverse", "Sub-JEPA K=2", "Sub-JEPA K=4", "Sub-JEPA K=8", "Sub-JEPA K=16",
         "random subspaces K=4", "PLDM", "whitening", "none"]  # fmt: skip


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    # A model that was measured on the first task and again on all is one dot.
    table = table.drop_duplicates(["environment", "arm", "seed"])
    worlds = [world for world in NAMES if world in set(table["environment"])] or list(dict.fromkeys(table["environment"]))
    found = set(table["arm"]) - set(FLOORS)
    arms = [arm for arm in ORDER if arm in found] + sorted(found - set(ORDER))
    figure, axes = new_figure(1, len(worlds), width=3.1, height=1.6 + 0.28 * len(arms))
    for number, (axis, world) in enumerate(zip(axes[0], worlds, strict=True)):
        panel(axis, table[table["environment"] == world], arms)
        axis.set_title(NAMES.get(world, world))
        axis.set_yticks(range(len(arms)), arms if number == 0 else [""] * len(arms))
    marks = {}
    for axis in axes[0]:
        marks |= {text: mark for mark, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(marks.values(), marks.keys(), loc="outside lower center", ncols=len(marks))
    pairs = len(table.loc[~table["arm"].isin(FLOORS), "outcomes_25"].iloc[0])
    figure.suptitle(
        headline(table, worlds) + f"\n{pairs} held-out pairs, goal 25 steps ahead; dot: a training seed, bar: 95 %"
    )
    return {"worlds": figure}


def headline(table, worlds):
    """What the table says: in how many of the worlds where LeWM was run its interval lies above both floors."""
    above = run = 0
    for world in worlds:
        part = table[table["environment"] == world]
        rows = part[part["arm"] == "LeWM"]
        if len(rows):
            low, _ = interval(rows)
            run, above = run + 1, above + (low > part.loc[part["arm"].isin(FLOORS[:2]), "success_25"].max())
    return f"Without a GPU, LeWM plans above random and nothing in {above} of {run} worlds"


def interval(part):
    """Wilson's 95 % interval of all seeds' pairs together; (nan, nan) without any."""
    marks = "".join(part["outcomes_25"])
    return wilson_interval(marks.count("1"), len(marks)) if marks else (np.nan, np.nan)


def panel(axis, part, arms):
    """One world: a row an arm, the floor as a band, the true dynamics as a line."""
    floor = part[part["arm"].isin(FLOORS[:2])]
    if len(floor):
        axis.axvspan(0, floor["success_25"].max(), color="0.88", lw=0, label="random or nothing")
    for position, arm in enumerate(arms):
        rows = part[part["arm"] == arm]
        if not len(rows):
            axis.annotate("not run", (0.5, position), ha="center", va="center", fontsize=6.5, color="0.5")
            continue
        color = COLORS["printed"] if arm == "cloning" else COLORS["measured"]
        axis.plot(interval(rows), [position, position], color=color, lw=5, alpha=0.3, solid_capstyle="butt")
        axis.plot(rows["success_25"], np.full(len(rows), position), ls="", marker="o", ms=4, color=color)
        for column, marker, label in (("history", "^", "real history"), ("guided", "s", "guided search")):
            values = rows.get(f"success_{column}")
            if values is not None and values.notna().any():
                heights = np.full(len(rows), position + 0.24)
                axis.plot(values, heights, ls="", marker=marker, ms=4.5, color=COLORS["tight"], label=label)
    truth = part[part["arm"] == "true dynamics"]
    if len(truth):
        axis.axvline(truth["success_25"].iloc[0], color=COLORS["exact"], lw=1, ls="--", label="true dynamics")
    axis.set_xlim(0, 1.02)
    axis.set_ylim(len(arms) - 0.5, -0.5)
    axis.set_xlabel("success")
