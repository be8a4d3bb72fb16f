"""A diagnosis in words: its stages as small tables, and the first broken link in one sentence.

All of it follows from the table that :func:`spectral_jepa.pixels.reports.diagnosis.diagnose` leaves, so that the printout,
the figure and docs/diagnosis.md cannot say different things.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from spectral_jepa._terminal import frame_text

COLUMNS = ["stage", "quantity", "horizon", "measure", "value", "low", "high", "n", "passes", "what"]
STAGES = {
    "possible": "Can it be done?",
    "data": "What the data contain",
    "encoder": "What the encoder sees",
    "predictor": "What the predictor keeps",
    "cost": "Does the cost rank?",
    "success": "Success",
}
NONE_BROKEN = "No link is broken."
# Shares of the latent distance that the sentence about a cost names.
_NAMED_SHARES = 3


def verdict(table: pd.DataFrame, stage: str) -> str:
    """What the rules of a stage come to.

    Parameters
    ----------
    table : DataFrame
        Of a diagnosis.
    stage : str

    Returns
    -------
    {"ok", "BROKEN", "not judged"}

    Examples
    --------
    >>> table = pd.DataFrame({"stage": ["data", "data", "cost"], "passes": [True, False, None]})
    >>> verdict(table, "data"), verdict(table, "cost")
    ('BROKEN', 'not judged')
    """
    judged = [bool(value) for value in table.loc[table["stage"] == stage, "passes"] if not pd.isna(value)]
    return "not judged" if not judged else "ok" if all(judged) else "BROKEN"


def broken_link(table: pd.DataFrame) -> str:
    """The first stage one of whose rules is not met, with its number, and what was measured.

    Parameters
    ----------
    table : DataFrame
        Of a diagnosis.

    Returns
    -------
    str
        One sentence.

    Notes
    -----
    O(rows). Of the later stages nothing is said: what comes after a broken link is not judged fairly.

    Examples
    --------
    >>> rows = [("possible", "", None, "points above the floor", 0.7, None, None, 20, True, "expected at least 0.2"),
    ...         ("encoder", "block_angle", None, "error in tolerances", 2.4, None, None, 9, False, "expected at most 1")]
    >>> broken_link(pd.DataFrame(rows, columns=COLUMNS))
    'Broken link: 3, what the encoder sees: block_angle, error in tolerances 2.400 (expected at most 1).'
    """
    for number, (stage, title) in enumerate(STAGES.items(), 1):
        if verdict(table, stage) != "BROKEN":
            continue
        rows = table[table["stage"] == stage]
        failed = [finding(row) for row in rows.to_dict("records") if not pd.isna(row["passes"]) and not row["passes"]]
        shares = rows[rows["measure"] == "share"].head(_NAMED_SHARES)
        more = ""
        if len(shares):
            named = [f"{share:.0%} {name}" for name, share in zip(shares["quantity"], shares["value"], strict=True)]
            more = f"; the latent distance is {', '.join(named)}"
        return f"Broken link: {number}, {title[0].lower()}{title[1:]}: {'; '.join(failed)}{more}."
    return NONE_BROKEN


def stage_summary(table: pd.DataFrame, stage: str) -> pd.DataFrame:
    """A stage's measurements as a small table of texts, to be printed or put into a page.

    Parameters
    ----------
    table : DataFrame
        Of a diagnosis.
    stage : str

    Returns
    -------
    DataFrame
        Its columns depend on the stage.

    Notes
    -----
    O(rows).

    Examples
    --------
    >>> rows = [("possible", "", None, "success", 1.0, 0.84, 1.0, 20, None, "true dynamics")]
    >>> print(stage_summary(pd.DataFrame(rows, columns=COLUMNS), "possible").to_string(index=False))
           policy success, % 95 % interval pairs
    true dynamics      100.0     84 to 100    20
    """
    rows = table[table["stage"] == stage]
    make = {"possible": _rates, "success": _rates, "data": _movements, "encoder": _seen, "predictor": _kept, "cost": _ranked}
    return make[stage](rows)


def diagnosis_text(table: pd.DataFrame) -> str:
    """A diagnosis to be read in a terminal: a small table and the rules of each stage, and last the broken link.

    Parameters
    ----------
    table : DataFrame
        As :func:`spectral_jepa.pixels.reports.diagnosis.diagnose` gives it.

    Returns
    -------
    str
        Its last line is :func:`broken_link`.

    Notes
    -----
    O(rows).

    Examples
    --------
    >>> rows = [("possible", "", None, "success", 1.0, 0.84, 1.0, 20, None, "true dynamics"),
    ...         ("possible", "", None, "points above the floor", 0.7, None, None, 20, True, "expected at least 0.2")]
    >>> print(diagnosis_text(pd.DataFrame(rows, columns=COLUMNS)))
    1. Can it be done?  ok
           policy success, % 95 % interval pairs
    true dynamics      100.0     84 to 100    20
      ok      points above the floor 0.700 (expected at least 0.2)
    <BLANKLINE>
    No link is broken.
    """
    parts = []
    for number, (stage, title) in enumerate(STAGES.items(), 1):
        rows = table[table["stage"] == stage]
        if rows.empty:
            continue
        parts.append(f"{number}. {title}  {verdict(table, stage)}")
        summary = stage_summary(table, stage)
        if len(summary):
            parts.append(frame_text(summary))
        for row in rows.to_dict("records"):
            if not pd.isna(row["passes"]):
                parts.append(f"  {'ok    ' if row['passes'] else 'BROKEN'}  {finding(row)}")
            elif undecided(row):
                parts.append(f"  ?       {finding(row)}")
            elif pd.isna(row["value"]):
                parts.append(f"          {row['what']}")
        parts.append("")
    return "\n".join([*parts, broken_link(table)])


def undecided(row: Mapping[Any, Any]) -> bool:
    """Whether a row with a rule has no verdict, as too little was measured.

    Parameters
    ----------
    row : dict
        Of a diagnosis.

    Returns
    -------
    bool

    Examples
    --------
    >>> undecided({"measure": "points above the floor", "passes": None}), undecided({"measure": "success", "passes": None})
    (True, False)
    """
    return pd.isna(row["passes"]) and row["measure"] in ("points above the floor", "success rate")


def finding(row: Mapping[Any, Any]) -> str:
    """A row of a diagnosis in words.

    Parameters
    ----------
    row : dict
        Of a row with a rule.

    Returns
    -------
    str

    Examples
    --------
    >>> finding({"quantity": "place", "measure": "error in tolerances", "value": 2.4, "what": "expected at most 1"})
    'place, error in tolerances 2.400 (expected at most 1)'
    """
    name = f"{row['quantity']}, " if row["quantity"] else ""
    return f"{name}{row['measure']} {row['value']:.3f} ({row['what']})"


def _rates(rows: pd.DataFrame) -> pd.DataFrame:
    lines = [
        (row["what"], f"{100 * row['value']:.1f}", f"{100 * row['low']:.0f} to {100 * row['high']:.0f}", f"{row['n']:.0f}")
        for row in rows[rows["measure"] == "success"].to_dict("records")
        if not pd.isna(row["value"])
    ]
    return pd.DataFrame(lines, columns=["policy", "success, %", "95 % interval", "pairs"])


def _movements(rows: pd.DataFrame) -> pd.DataFrame:
    """Medians and, in brackets, 90 % quantiles, a column a number of steps."""
    lines: dict[str, dict[str, str]] = {}
    for row in rows.to_dict("records"):
        column = f"{row['horizon']:.0f} steps"
        if row["measure"] == "movement":
            unit = row["what"].removesuffix("median").strip(" ,")
            name = f"{row['quantity']}{f' ({unit})' if unit else ''}"
            lines.setdefault(name, {})[column] = f"{row['value']:.3g} ({row['high']:.3g})"
        elif row["measure"] == "movement in tolerances":
            lines.setdefault(f"{row['quantity']} (tolerances)", {})[column] = f"{row['value']:.3g} ({row['high']:.3g})"
        elif row["measure"] == "solved at the start":
            lines.setdefault("solved at the start", {})[column] = f"{row['value']:.1%}"
    table = pd.DataFrame.from_dict(lines, orient="index").fillna("")
    return table.rename_axis("moved: median (90 %)").reset_index()


def _seen(rows: pd.DataFrame) -> pd.DataFrame:
    free = rows[rows["passes"].isna()]
    lines = []
    for name, part in free.groupby("quantity", sort=False):
        r2 = part[part["measure"] == "r2"].set_index("what")["value"].to_dict()
        sources = ("trained", "untrained", "from the other quantities")
        lines.append((name, *(_both(r2, source) for source in sources), *_smallest_error(part, "trained")))
    columns = ["quantity", "R2 trained", "untrained", "other quantities", "best error", "in tolerances"]
    return pd.DataFrame(lines, columns=columns).rename(columns={"R2 trained": "R2 (linear / MLP) trained"})


def _kept(rows: pd.DataFrame) -> pd.DataFrame:
    free = rows[rows["passes"].isna()]
    lines = []
    for (name, blocks), part in free.groupby(["quantity", "horizon"], sort=False):
        r2 = part[part["measure"] == "r2"].set_index("what")["value"].to_dict()
        sources = ("predicted", "true", "first frame", "other actions")
        near = [_smallest_error(part, source)[1] for source in ("predicted", "true", "first frame")]
        lines.append(
            (name, f"{blocks:.0f}", *(_both(r2, source) for source in sources), " / ".join(near) if any(near) else "")
        )
    columns = ["quantity", "blocks", "R2 (linear / MLP) predicted", "true", "first frame", "other actions"]
    return pd.DataFrame(lines, columns=[*columns, "error in tolerances: predicted / true / first frame"])


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for row in rows.to_dict("records"):
        if row["measure"] == "rank correlation":
            what = row["what"].partition(", expected")[0]
            interval = "" if pd.isna(row["low"]) else f"{row['low']:.2f} to {row['high']:.2f}"
            lines.append((f"rank correlation, {what}", f"{row['value']:.2f}", interval, f"{row['n']:.0f}"))
        elif row["measure"] == "share":
            lines.append(
                (f"share of {row['quantity']} in the latent distance", f"{row['value']:.0%}", "", f"{row['n']:.0f}")
            )
    return pd.DataFrame(lines, columns=["measure", "value", "95 % interval", "n"])


def _both(values: Mapping[Any, float], source: str) -> str:
    """Linear and MLP score of one input."""
    found = [values.get(f"{kind}, {source}") for kind in ("linear", "mlp")]
    return " / ".join(f"{value:.3f}" for value in found if value is not None)


def _smallest_error(part: pd.DataFrame, source: str) -> tuple[str, str]:
    """The smaller error of both probes in the quantity's unit, and in tolerances."""
    texts = []
    for measure in ("error", "error in tolerances"):
        mine = part[(part["measure"] == measure) & part["what"].str.match(rf"(linear|mlp), {source}(,|$)")]
        if mine.empty:
            texts.append("")
            continue
        best = mine.iloc[int(mine["value"].argmin())]
        unit = best["what"].split(", ")[2:]
        texts.append(" ".join([f"{best['value']:.3g}", *unit]))
    return texts[0], texts[1]
