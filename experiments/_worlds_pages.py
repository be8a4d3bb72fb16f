"""docs/worlds_measured.md: the tables of the experiments ``worlds`` and ``planner`` in words and numbers."""

import re

import pandas as pd
from _small_worlds import NAMES

PAGE = "docs/worlds_measured.md"
# Column of the summary -> head of the page's table.
MORE = {
    "success_history": "real history",
    "success_guided": "guided search",
    "success_50": "goal 50 ahead",
    "success_rest": "start at rest",
    "effective_rank": "effective rank",
}
HEAD = """\
# Four pixel worlds without a GPU, measured

Written by `spectral-jepa repro` from [worlds-measured.parquet](../reference/worlds-measured.parquet)
(`spectral-jepa sweep worlds --preset measured`) and [planner-quick.parquet](../reference/planner-quick.parquet)
(`spectral-jepa sweep planner`); nothing below is typed by hand. What it means is in [pixels.md](pixels.md), the chain behind
each number in [diagnosis.md](diagnosis.md).

Success on 200 held-out pairs that are not solved at the start, goal 25 raw steps ahead, 50 to reach it, planned by CEM as
published where nothing else is said; in brackets Wilson's 95 % interval of all seeds' pairs together. *Minus LeWM*: on the
same pairs and training seeds, with the 95 % interval over episodes. *Guided*: the search begins at inverse dynamics fitted
to the run and is as smooth as recorded actions. Intervals know the pairs only: with one training seed they say nothing
about other trainings.
"""


def cell(value, form="{:.3f}"):
    """A number, or nothing where there is none."""
    if value is None or pd.isna(value):
        return ""
    # .725 and -.015, as everywhere in these pages; 10.5 stays.
    return re.sub(r"^(-?)0\.", r"\1.", form.format(value))


def between(low, high):
    """An interval in brackets."""
    return "" if pd.isna(low) else f" ({cell(low, '{:.2f}')} to {cell(high, '{:.2f}')})"


def lines_of(head, rows):
    """A table in Markdown."""
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows), ""]


def success_lines(summary):
    """One row an arm: success, gain over LeWM, other planners and tasks, rank."""
    shown = [column for column in MORE if column in summary and summary[column].notna().any()]
    rows = [
        [
            line["arm"],
            str(line["seeds"]),
            cell(line["success"]) + between(line["low"], line["high"]),
            cell(line.get("minus LeWM")) + between(line.get("from"), line.get("to")),
            *(cell(line[column], "{:.1f}" if column == "effective_rank" else "{:.3f}") for column in shown),
        ]
        for line in summary.to_dict("records")
    ]
    return lines_of(["arm", "training seeds", "success", "minus LeWM", *(MORE[column] for column in shown)], rows)


def probe_lines(table):
    """R2 of the linear probe of every quantity, mean over training seeds."""
    columns = [name for name in table if name.startswith("probe_") and table[name].notna().any()]
    if not columns:
        return []
    means = table.groupby("arm", sort=False)[columns].mean().dropna(how="all")
    rows = [[arm, *(cell(value, "{:.2f}") for value in means.loc[arm])] for arm in means.index]
    heads = [name.removeprefix("probe_").replace("_", " ") for name in columns]
    return ["Linear probes of held-out frames, R2:", "", *lines_of(["arm", *heads], rows)]


def planner_lines(table):
    """One row a setting of the planner, from the quickest on."""
    rows = [
        [line.arm, line.compared, f"{cell(line.success)}{between(line.low, line.high)}", f"{line.milliseconds:.0f}",
         f"{line.rollouts:.0f}", f"{line.plans_a_pair:.1f}", line.front]
        for line in table.itertuples()
    ]  # fmt: skip
    head = ["setting", "compared", "success", "ms a plan", "rollouts a plan", "plans a pair", "front"]
    return lines_of(head, rows)


def page(worlds, summary, planner, planner_summary):
    """Path below the clone -> text."""
    lines = HEAD.splitlines()
    for world, name in NAMES.items():
        part = summary[summary["environment"] == world]
        if not len(part):
            continue
        own = worlds[worlds["environment"] == world]
        lines += [*([""] if lines[-1] else []), f"## {name}", "", *success_lines(part), *probe_lines(own)]
        own = planner[planner["environment"] == world]
        if len(own):
            pairs, model = len(own["outcomes"].iloc[0]), own["model"].iloc[0]
            said = f"The planner's settings, with {model} (training seed 0), on {pairs} pairs; a star: none is both as quick"
            lines += [said, "and as good.", "", *planner_lines(planner_summary[planner_summary["environment"] == world])]
    return {PAGE: "\n".join(lines).rstrip() + "\n"}
