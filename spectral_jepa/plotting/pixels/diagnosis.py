"""The figure of a diagnosis: one panel a stage, what the rule asks for as a line, and the verdict in the title."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from spectral_jepa.plotting.style import COLORS, new_figure, styled

SOURCE_COLORS = {
    "trained": COLORS["measured"],
    "untrained": COLORS["loose"],
    "from the other quantities": COLORS["chain"],
    "predicted": COLORS["measured"],
    "true": COLORS["exact"],
    "first frame": COLORS["loose"],
    "other actions": COLORS["chain"],
}
_SHOWN = {"from the other quantities": "other quantities", "first frame": "standing still", "true": "true latents"}
GOOD, BAD = COLORS["tight"], COLORS["printed"]


@styled
def draw_diagnosis(table: pd.DataFrame, stages: Mapping[str, str], title: str, sentence: str) -> dict[str, Figure]:
    """Draw all stages of a diagnosis.

    Parameters
    ----------
    table : DataFrame
        As :func:`spectral_jepa.pixels.reports.diagnosis.diagnose` gives it.
    stages : dict of str
        Titles of the stages, in their order.
    title : str
        Of the whole figure.
    sentence : str
        The broken link, below the title.

    Returns
    -------
    dict {"diagnosis": matplotlib Figure}
        Panels of stages that were not measured are empty.

    Examples
    --------
    >>> rows = [("possible", "", None, "success", 1.0, 0.84, 1.0, 20, None, "true dynamics"),
    ...         ("possible", "", None, "points above the floor", 0.1, None, None, 20, False, "true dynamics")]
    >>> names = ["stage", "quantity", "horizon", "measure", "value", "low", "high", "n", "passes", "what"]
    >>> table = pd.DataFrame(rows, columns=names)
    >>> figure = draw_diagnosis(table, {"possible": "Can it be done?"}, "a run", "Broken link: 1.")
    >>> [axis.get_title(loc="left") for axis in figure["diagnosis"].axes]
    ['1  Can it be done?  BROKEN']
    """
    n_columns = min(3, len(stages))
    n_rows = -(-len(stages) // n_columns)
    figure, axes = new_figure(n_rows, n_columns, width=4.9, height=3.3)
    panels = {
        "possible": _rates, "data": _movements, "encoder": _errors,
        "predictor": _horizons, "cost": _ranks, "success": _rates,
    }  # fmt: skip
    first = True
    for number, (axis, (stage, name)) in enumerate(zip(axes.flat, stages.items(), strict=False), 1):
        rows = table[table["stage"] == stage]
        judged = [bool(value) for value in rows["passes"] if not pd.isna(value)]
        word, color = ("not judged", "0.4") if not judged else ("ok", GOOD) if all(judged) else ("BROKEN", BAD)
        broken = word == "BROKEN"
        axis.set_title(f"{number}  {name}  {word}", loc="left", color=color, fontweight="bold" if broken else "normal")
        if broken and first:
            # The first broken link is framed; those after it are not judged fairly.
            for spine in axis.spines.values():
                spine.set(visible=True, color=BAD, linewidth=2)
            first = False
        if rows.empty:
            axis.text(0.5, 0.5, "not measured", ha="center", transform=axis.transAxes, color="0.5")
            continue
        # The last panel shows the run between its bounds.
        bounds = table[(table["stage"] == "possible") & (table["measure"] == "success")]
        panels[stage](axis, pd.concat([rows, bounds]) if stage == "success" else rows)
    figure.suptitle(f"{title}\n{_wrapped(sentence)}", fontsize=11, x=0.01, ha="left")
    return {"diagnosis": figure}


def _rates(axis: Axes, rows: pd.DataFrame) -> None:
    rates = rows[(rows["measure"] == "success") & rows["value"].notna()]
    for place, row in enumerate(rates.to_dict("records")):
        own = row["what"] == "the run"
        value, low, high = 100 * row["value"], 100 * row["low"], 100 * row["high"]
        color = COLORS["measured"] if own else GOOD if row["what"].startswith("true") else "0.65"
        axis.barh(place, value, color=color, height=0.65)
        axis.plot([low, high], [place, place], color="0.2", lw=1.2)
        axis.text(max(high, value) + 1.5, place, f"{value:.0f} %", va="center", fontsize=8)
    axis.set_yticks(range(len(rates)), [f"{what} ({n:.0f})" for what, n in zip(rates["what"], rates["n"], strict=True)])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set(xlim=(0, 118), xlabel="pairs solved, in % (95 % interval; number of pairs)")
    rule = rows[rows["measure"] == "success rate"]
    if len(rule):
        words = str(rule["what"].iloc[0]).partition("at least ")[2].split(",")[0]
        axis.axvline(100 * float(words), color=BAD, lw=1.2, ls="--")


def _movements(axis: Axes, rows: pd.DataFrame) -> None:
    shown = rows[
        (rows["measure"] == "movement in tolerances")
        | ((rows["quantity"] == "goal distance") & (rows["measure"] == "movement"))
    ]
    palette = [COLORS[name] for name in ("measured", "loose", "chain", "other", "exact", "tight")]
    names = list(dict.fromkeys(shown["quantity"]))
    for i, name in enumerate(names):
        part = shown[shown["quantity"] == name].sort_values("horizon")
        places = part["horizon"].to_numpy(float) + 0.9 * (i - (len(names) - 1) / 2)
        value, low, high = (np.maximum(part[c].to_numpy(float), 1e-3) for c in ("value", "low", "high"))
        color = palette[i % len(palette)]
        label = name.replace("_", " ")
        axis.errorbar(places, value, [value - low, high - value], fmt="o-", capsize=3, color=color, label=label)
    axis.axhline(1, color=BAD, lw=1.2, ls="--", label="counts as reached")
    solved = rows[rows["measure"] == "solved at the start"]
    steps = sorted(set(shown["horizon"]))
    shares = {row["horizon"]: row["value"] for row in solved.to_dict("records")}
    axis.set_xticks(steps, [f"{step:.0f}\n{shares[step]:.0%} solved" if step in shares else f"{step:.0f}" for step in steps])
    axis.set(yscale="log", xlabel="raw steps ahead", ylabel="movement in tolerances\n(median, 10 to 90 %)")
    _plain(axis)
    axis.legend(loc="best", fontsize=7)


def _errors(axis: Axes, rows: pd.DataFrame) -> None:
    """R2 of the better probe, a row a quantity; the error in tolerances beside it where there is one."""
    free = rows[rows["passes"].isna()]
    names = list(dict.fromkeys(free["quantity"]))
    for place, name in enumerate(names):
        part = free[free["quantity"] == name]
        for source in ("from the other quantities", "untrained", "trained"):
            found = part[(part["measure"] == "r2") & part["what"].str.endswith(f", {source}")]["value"]
            if len(found):
                size = 8 if source == "trained" else 6
                value = max(0.0, float(found.max()))
                label = _SHOWN.get(source, f"{source} encoder") if place == 0 else None
                axis.plot(
                    value, place, "o" if source == "trained" else "D", ms=size, color=SOURCE_COLORS[source], label=label
                )
        rule = rows[(rows["quantity"] == name) & rows["passes"].notna()]
        if len(rule):
            value, good = float(rule["value"].iloc[0]), bool(rule["passes"].iloc[0])
            axis.text(1.04, place, f"{value:.2g} tol.", va="center", fontsize=8, color=GOOD if good else BAD)
    axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axis.set(xlim=(-0.03, 1.3), ylim=(len(names) - 0.5, -0.5), xlabel=r"$R^2$ of the better probe;  error in tolerances")
    axis.set_xticks(np.arange(0, 1.01, 0.25))
    axis.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=3, fontsize=7)


def _horizons(axis: Axes, rows: pd.DataFrame) -> None:
    free = rows[rows["passes"].isna()]
    measure = "error in tolerances" if (free["measure"] == "error in tolerances").any() else "r2"
    part = free[free["measure"] == measure]
    names = list(dict.fromkeys(part["quantity"]))
    markers = ("o", "s", "^", "D", "v", "P", "X", "*")
    for source in ("first frame", "other actions", "true", "predicted"):
        for i, name in enumerate(names):
            mine = part[(part["quantity"] == name) & part["what"].str.endswith(f", {source}")]
            best = mine.groupby("horizon")["value"].agg("min" if measure != "r2" else "max")
            style = "-" if source == "predicted" else "--"
            label = f"{_SHOWN.get(source, source)}" if i == 0 else None
            axis.plot(best.index, best, style, marker=markers[i % len(markers)], color=SOURCE_COLORS[source], label=label)
    if measure != "r2":
        axis.axhline(1, color=BAD, lw=1.0, ls=":", label="counts as reached")
        axis.set_yscale("log")
        _plain(axis)
    axis.set_xticks(sorted(set(part["horizon"])))
    quantities = ", ".join(f"{markers[i % len(markers)]} {name.replace('_', ' ')}" for i, name in enumerate(names))
    shown = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼"}
    for sign, drawn in shown.items():
        quantities = quantities.replace(f"{sign} ", f"{drawn} ") if f"{sign} " in quantities else quantities
    axis.set(xlabel=f"blocks ahead, open loop   ({quantities})", ylabel=measure.replace("r2", "$R^2$"))
    axis.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=3, fontsize=7)


def _ranks(axis: Axes, rows: pd.DataFrame) -> None:
    ranks = rows[(rows["measure"] == "rank correlation") & rows["value"].notna()]
    labels = []
    for place, row in enumerate(ranks.to_dict("records")):
        fair = pd.isna(row["passes"])
        color = "0.65" if fair else GOOD if row["passes"] else BAD
        axis.barh(place, max(0.0, row["value"]), color=color, height=0.6)
        axis.plot([row["low"], row["high"]], [place, place], color="0.2", lw=1.2)
        axis.text(1.04, place, f"{row['value']:.2f}", va="center", fontsize=8)
        labels.append(row["what"].partition(", expected")[0].replace(", by", ",\nby").replace("frames at", "frames\nat"))
    rule = ranks.loc[ranks["what"].str.contains("at least"), "what"]
    if len(rule):
        axis.axvline(float(rule.iloc[0].rpartition(" ")[2]), color=BAD, lw=1.2, ls="--")
    # Below them, what the latent distance is made of, as one bar of width 1.
    below, left = len(ranks) + 0.2, 0.0
    palette = [COLORS[name] for name in ("measured", "loose", "chain", "other", "tight")]
    for i, row in enumerate(rows[rows["measure"] == "share"].to_dict("records")):
        width = max(0.0, min(row["value"], 1 - left))
        color = "0.75" if row["quantity"] == "(constant)" else palette[i % len(palette)]
        axis.barh(below, width, left=left, color=color, height=0.6, edgecolor="white")
        if width > 0.12:
            words = f"{row['quantity'].replace('_', ' ')}\n{row['value']:.0%}"
            axis.text(left + width / 2, below, words, ha="center", va="center", fontsize=6.5)
        left += width
    axis.set_yticks([*range(len(labels)), below], [*labels, "shares of the\nlatent distance"])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set(xlim=(0, 1.2), xlabel="Spearman correlation of latent and true distance")


def _plain(axis: Axes) -> None:
    """Numbers instead of powers on a logarithmic axis, at 1, 2 and 5 times powers of ten."""
    axis.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _wrapped(sentence: str, width: int = 150) -> str:
    lines, line = [], ""
    for word in sentence.split():
        if line and len(line) + len(word) + 1 > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])
