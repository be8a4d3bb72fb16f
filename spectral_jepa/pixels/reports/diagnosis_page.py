"""The measured part of docs/diagnosis.md, written from reference/pixel_diagnosis.csv: nothing in it is typed by hand.

``python -m spectral_jepa.pixels.reports.diagnosis_page RUN ...`` takes the diagnoses of finished runs into the table, one an
environment, and writes the page; without a run it writes the page from the table as it is, with ``--check`` it only says
whether the page follows from the table.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import pandas as pd

from spectral_jepa._files import read_csv, read_json, write_atomic
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.reports.diagnosis import load_diagnosis, typed_diagnosis
from spectral_jepa.pixels.reports.diagnosis_text import (
    COLUMNS,
    STAGES,
    broken_link,
    finding,
    stage_summary,
    undecided,
    verdict,
)

PAGE, TABLE = Path("docs/diagnosis.md"), Path("reference/pixel_diagnosis.csv")
REFERENCE_COLUMNS = ["environment", "run", *COLUMNS]
_PLACE = re.compile(r"(<!-- diagnosis: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def diagnosis_page(page: str, table: pd.DataFrame) -> str:
    """Put the diagnoses of a table between the markers of a page.

    Parameters
    ----------
    page : str
        Markdown with places ``<!-- diagnosis: ENVIRONMENT -->`` to ``<!-- end -->``.
    table : DataFrame
        Rows of diagnoses with two more columns, environment and run.

    Returns
    -------
    str
        The page; a place whose environment the table lacks says that nothing was measured.

    Raises
    ------
    InputError
        An environment that the page has no place for.

    Notes
    -----
    O(rows). Twice gives the same as once.

    Examples
    --------
    >>> row = {"environment": "two_room", "run": "sigreg-0", "stage": "possible", "measure": "success", "quantity": "",
    ...        "value": 1.0, "low": 0.84, "high": 1.0, "n": 20, "what": "true dynamics"}
    >>> page = "## Two-Room\\n\\n<!-- diagnosis: two_room -->\\n<!-- end -->\\n"
    >>> print(diagnosis_page(page, pd.DataFrame([row], columns=REFERENCE_COLUMNS)))
    ## Two-Room
    <BLANKLINE>
    <!-- diagnosis: two_room -->
    Run `sigreg-0`. **No link is broken.**
    <BLANKLINE>
    1. Can it be done? not judged
    <BLANKLINE>
    | policy | success, % | 95 % interval | pairs |
    |---|---|---|---|
    | true dynamics | 100.0 | 84 to 100 | 20 |
    <BLANKLINE>
    <!-- end -->
    <BLANKLINE>
    """
    places = {match.group(2) for match in _PLACE.finditer(page)}
    for name in dict.fromkeys(table["environment"]):
        if name not in places:
            raise InputError(
                f"the page has no place for {name!r}, expected <!-- diagnosis: {name} --> and <!-- end -->: add one"
            )
    return _PLACE.sub(lambda m: m.group(1) + _section(table[table["environment"] == m.group(2)]) + m.group(3), page)


def with_run(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Put the diagnosis of a run in the place of that of its environment.

    Parameters
    ----------
    table : DataFrame
        As :func:`diagnosis_page` takes it; empty to begin with.
    folder : Path
        Of a diagnosed run.

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        A folder without a diagnosis or a configuration.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "sigreg-0"
    >>> folder.mkdir()
    >>> _ = (folder / "config.json").write_text('{"config": {"data": {"environment": "two_room"}}}')
    >>> rows = pd.DataFrame([("cost", "", None, "share", 0.5, None, None, 9, None, "")], columns=COLUMNS)
    >>> rows.to_csv(folder / "diagnosis.csv", index=False)
    >>> with_run(pd.DataFrame(columns=REFERENCE_COLUMNS), folder)[["environment", "run", "stage", "value"]].values.tolist()
    [['two_room', 'sigreg-0', 'cost', 0.5]]
    """
    saved = read_json(folder / "config.json", ["config"], "pass the folder of a finished run")
    environment, own = saved["config"]["data"]["environment"], load_diagnosis(folder)
    own = own.assign(environment=environment, run=folder.resolve().name)[REFERENCE_COLUMNS]
    parts = [part for part in (table[table["environment"] != environment], own) if len(part)]
    return pd.concat(parts, ignore_index=True)


def _section(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "Not measured.\n"
    parts = [f"Run `{rows['run'].iloc[0]}`. **{broken_link(rows)}**\n"]
    for number, (stage, title) in enumerate(STAGES.items(), 1):
        own = rows[rows["stage"] == stage]
        if own.empty:
            continue
        parts.append(f"{number}. {title} {verdict(rows, stage)}\n")
        summary = stage_summary(rows, stage)
        if len(summary):
            lines = [list(summary.columns), ["---"] * summary.shape[1], *summary.to_numpy().tolist()]
            parts.append("\n".join(_markdown_row(line) for line in lines) + "\n")
        judged = [row for row in own.to_dict("records") if not pd.isna(row["passes"])]
        if judged:
            parts.append("\n".join(f"- {'ok' if row['passes'] else '**broken**'}: {finding(row)}" for row in judged) + "\n")
        open_rules = [f"- not judged: {finding(row)}" for row in own.to_dict("records") if undecided(row)]
        if open_rules:
            parts.append("\n".join(open_rules) + "\n")
    return "\n".join(parts) + "\n"


def _markdown_row(cells: list[str]) -> str:
    row = "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
    return row if set(row) - set("|- ") else row.replace(" ", "")


def main(arguments: list[str]) -> None:
    """Write the page, or check it.

    Parameters
    ----------
    arguments : list of str
        Of the command line.

    Raises
    ------
    InputError
        A run without a diagnosis, a missing page, with ``--check`` a page that does not follow from its table.

    Examples
    --------
    >>> main(["--check", "--page", "nothing.md"])
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: nothing.md does not exist, expected the page: start in the clone, or give --page
    """
    parser = argparse.ArgumentParser(prog="python -m spectral_jepa.pixels.reports.diagnosis_page", description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of diagnosed runs, one an environment")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if the page does not follow from its table"
    )
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--table", type=Path, default=TABLE)
    given = parser.parse_args(arguments)
    if not given.page.is_file():
        raise InputError(f"{given.page} does not exist, expected the page: start in the clone, or give --page")
    table = pd.DataFrame(columns=REFERENCE_COLUMNS)
    if given.table.is_file():
        table = typed_diagnosis(read_csv(given.table, REFERENCE_COLUMNS, "restore it from the repository"))
    for folder in given.runs:
        table = with_run(table, folder)
    before = given.page.read_text()
    after = diagnosis_page(before, table)
    if given.check:
        if after != before:
            raise InputError(
                f"{given.page} does not follow from {given.table}, expected what this writes: run it without --check"
            )
        return
    if given.runs:
        given.table.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(given.table, table[REFERENCE_COLUMNS].to_csv(index=False).encode())
    write_atomic(given.page, after.encode())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"spectral-jepa: {error}")
