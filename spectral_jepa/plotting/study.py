"""The parts of a page about a study: what a sweep's folder, or a table kept of one, has to say, and where it is from."""

from __future__ import annotations

import datetime
import subprocess
import tomllib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from spectral_jepa._files import file_digest
from spectral_jepa._validation import InputError, first_line
from spectral_jepa.plotting.drawing import find_drawing
from spectral_jepa.plotting.page import Folded, Part, Picture, Section
from spectral_jepa.sweep import sweep_status
from spectral_jepa.sweep.cells import CELL_COLUMNS, ENVIRONMENT_COLUMNS
from spectral_jepa.sweep.experiment import Experiment, load_experiment, shipped_folder
from spectral_jepa.sweep.results import read_manifest, read_table

# Of a shorter table every row is shown at once; a longer one opens when it is asked for.
SHORT = 40
# Claims whose verdicts stand at the top; all of them stand in their section.
LEADING = 3


@dataclass
class Study:
    """What a page says of one study.

    Parameters
    ----------
    title : str
    verdict : list of str
        The sentence first, what qualifies it after it.
    warnings : list of str
        What is unfinished, failed or damaged.
    sections : list of (heading, parts)
    """

    title: str
    verdict: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)


def is_sweep(path: Path) -> bool:
    """Whether a path is a sweep's folder or a table that a sweep left.

    Parameters
    ----------
    path : Path
        Whether it is there or not.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_sweep(Path("no_such_folder"))
    False
    """
    if path.is_dir():
        return (path / "manifest.json").is_file() or (path / "table.parquet").is_file()
    return path.is_file() and path.suffix == ".parquet"


def sweep_study(path: Path) -> Study:
    """What a sweep has to say: verdict, figures, summary, rows, and where it all comes from.

    The verdict is the experiment's own, ``verdict(table)``, where it has one; else the verdicts of the claims that are shown
    beside it; else what was measured.

    Parameters
    ----------
    path : Path
        A sweep's folder, finished or not, or a ``.parquet`` table of one, as ``sweep --keep`` leaves it.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        A table that is none of a sweep.

    Notes
    -----
    Draws the experiment's figures anew from the table, which takes most of the time. What an experiment's summary or figure
    raises, because rows are missing, is told on the page.

    Examples
    --------
    >>> from spectral_jepa.sweep.results import reference_path
    >>> study = sweep_study(reference_path("minimax"))
    >>> study.title.partition(":")[0], [heading for heading, _ in study.sections]
    ('minimax', ['Figures', 'Summary', 'Claims', 'Rows', 'Configuration', 'Where it comes from'])
    """
    counts, manifest, notes = _state(path)
    table = _table(path, notes) if counts is None or counts["done"] + counts["failed"] else pd.DataFrame()
    name = str(table["experiment"].iloc[0]) if len(table) else str((manifest or {}).get("experiment", path.stem))
    experiment = _experiment(name)
    study = Study(f"{name}: {experiment.title.rstrip('.')}" if experiment else name)
    good = table[table["status"] == "ok"] if len(table) else table
    _say_how_far(study, path, counts, table)
    study.warnings += notes
    claims = _claims(name)
    study.verdict = [*_verdict(experiment, good, claims, counts, study), *study.verdict]
    again = _command(name, path, experiment)
    if len(good):
        study.sections.append(("Figures", [f"Made by `{again}`.", *_figures(experiment, table, path, study)]))
        summary = _summary(experiment, table, study)
        if summary is not None:
            study.sections.append(("Summary", [*_documented(experiment, "summary"), summary]))
    if len(claims):
        text = "What is claimed beside this experiment, as `spectral-jepa repro` measured it last (reference/claims.csv):"
        study.sections.append(("Claims", [text, claims]))
    if len(table):
        failed = table[table["status"] == "error"]
        if len(failed):
            study.sections.append(("Failed cells", [_failures(failed)]))
        study.sections.append(("Rows", _rows(table)))
    study.sections.append(("Configuration", _configuration(table, experiment, manifest)))
    study.sections.append(("Where it comes from", _origin(path, table, manifest, again)))
    return study


def _state(path: Path) -> tuple[dict[str, int] | None, dict[str, Any] | None, list[str]]:
    """Counts of a folder's cells, its manifest, and what is wrong with them; a table alone has none."""
    if not path.is_dir():
        return None, None, []
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        manifest = read_manifest(path)
        counts = sweep_status(path) if manifest is not None else None
    notes += dict.fromkeys(str(warning.message) for warning in caught)
    return counts, manifest, notes


def _table(path: Path, notes: list[str]) -> pd.DataFrame:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_table(path)
    notes += [str(warning.message) for warning in caught if "is missing" not in str(warning.message)]
    missing = [column for column in ("experiment", "status") if column not in table]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}, expected the table of a sweep: check the path")
    return table


def _experiment(name: str) -> Experiment | None:
    try:
        return load_experiment(name)
    except InputError:  # one's own file, which the folder does not name
        return None


def _say_how_far(study: Study, path: Path, counts: dict[str, int] | None, table: pd.DataFrame) -> None:
    if counts is None:
        n_cells = table["cell_key"].nunique() if "cell_key" in table else len(table)
        study.verdict.append(f"A table of {n_cells:,} cells, {len(table):,} rows.")
        failed = int((table["status"] == "error").sum()) if len(table) else 0
        if failed:
            study.warnings.append(f"{failed:,} of {len(table):,} rows are failures.")
        return
    total, done = sum(counts.values()), counts["done"]
    if done == total:
        study.verdict.append(f"Finished: all {total:,} cells, {len(table):,} rows.")
        return
    study.verdict.append(f"Not finished: {done:,} of {total:,} cells are done.")
    rest = ", ".join(f"{counts[word]:,} {word}" for word in ("failed", "missing", "damaged") if counts[word])
    study.warnings.append(
        f"{rest} of {total:,} cells: what follows is of the {done:,} that are done. The same sweep, given again, goes on."
    )


def _verdict(
    experiment: Experiment | None, good: pd.DataFrame, claims: pd.DataFrame, counts: dict[str, int] | None, study: Study
) -> list[str]:
    if good.empty:
        return ["Nothing can be concluded: no cell is done."]
    own = getattr(experiment.module, "verdict", None) if experiment else None
    if own is not None:
        try:
            return [str(own(good))]
        except Exception as error:
            study.warnings.append(
                f"Its verdict could not be made of these rows ({type(error).__name__}: {first_line(error)})."
            )
    if len(claims):
        met, of = int(claims["met"].sum()), int(claims["comparisons"].sum())
        said = "the claim" if len(claims) == 1 else f"the {len(claims)} claims"
        rests = f"What is said of {said} shown here rests on {of:,} committed comparisons, of which {met:,} are met."
        return [rests, *(f"{row.claim}: {row.verdict}." for row in claims.head(LEADING).itertuples())]
    return [f"Measured, not judged: {experiment.title if experiment else 'an experiment of its own'}"]


def _claims(name: str) -> pd.DataFrame:
    """Claims shown beside an experiment: statement, verdict, and how many of their committed comparisons are met."""
    texts, table = shipped_folder("experiments") / "claims.toml", shipped_folder("reference") / "claims.csv"
    if not texts.is_file():
        return pd.DataFrame()
    entries = tomllib.loads(texts.read_text(encoding="utf-8"))["claim"]
    measured = pd.read_csv(table) if table.is_file() else pd.DataFrame(columns=["claim", "met"])
    rows = []
    for entry in entries:
        if entry.get("experiment") == name:
            own = measured[measured["claim"] == entry["id"]]
            rows.append((entry["id"], entry["statement"], entry["verdict"], int(own["met"].sum()), len(own), entry["tests"]))
    return pd.DataFrame(rows, columns=["id", "claim", "verdict", "met", "comparisons", "test"])


def _documented(experiment: Experiment | None, name: str) -> list[Part]:
    text = (getattr(experiment.module if experiment else None, name).__doc__ or "").strip()
    return [" ".join(text.split())] if text else []


def _figures(experiment: Experiment | None, table: pd.DataFrame, path: Path, study: Study) -> list[Part]:
    draw = find_drawing(experiment) if experiment else None
    if draw is not None:
        try:
            drawn = draw(table)
            return [Picture(figure, name.replace("_", " ") if len(drawn) > 1 else "") for name, figure in drawn.items()]
        except Exception as error:  # a figure of a whole table, of which only a part is there
            study.warnings.append(
                f"Its figures could not be drawn of these rows ({type(error).__name__}: {first_line(error)})."
            )
    found = sorted((path / "figures").glob("*.png")) if path.is_dir() else []
    if found:
        return ["As they lie in the folder:", *(Picture(file, file.stem.replace("_", " ")) for file in found)]
    return ["There is no figure: no function draw(table) was found for this experiment, and no picture in the folder."]


def _summary(experiment: Experiment | None, table: pd.DataFrame, study: Study) -> pd.DataFrame | None:
    summarize = getattr(experiment.module, "summary", None) if experiment else None
    if summarize is None:
        return None
    try:
        return summarize(table)
    except Exception as error:
        study.warnings.append(f"Its summary could not be made of these rows ({type(error).__name__}: {first_line(error)}).")
        return None


def _failures(failed: pd.DataFrame) -> pd.DataFrame:
    last = [str(text).strip().splitlines()[-1] if str(text).strip() else "" for text in failed["traceback"]]
    shown = failed.drop(columns=[name for name in CELL_COLUMNS if name in failed]).dropna(axis=1, how="all")
    return shown.assign(error=last)


def _rows(table: pd.DataFrame) -> list[Part]:
    hidden = [name for name in CELL_COLUMNS if name in table and name not in ("row", "status")]
    shown = table.drop(columns=[name for name in hidden if name != "duration_seconds"])
    text = "Every row of the table, one a result; numbers to four digits, all of them in the file."
    if len(shown) <= SHORT:
        return [text, shown]
    return [text, Folded(f"{len(shown):,} rows, {shown.shape[1]} columns", [shown])]


def _configuration(table: pd.DataFrame, experiment: Experiment | None, manifest: dict[str, Any] | None) -> list[Part]:
    """The values of each parameter."""
    names = _parameters(table, experiment)
    rows = []
    for name in names:
        values = list(dict.fromkeys(map(str, table[name].dropna())))
        rows.append(
            (name, len(values), ", ".join(values[:12]) + (f", and {len(values) - 12} more" if len(values) > 12 else ""))
        )
    if rows:
        return [pd.DataFrame(rows, columns=["parameter", "values", "which"])]
    n_cells = (manifest or {}).get("n_cells", 0)
    return [f"{n_cells:,} cells are asked for; their parameters are known when the first is done."]


def _parameters(table: pd.DataFrame, experiment: Experiment | None) -> list[str]:
    """Columns before ``row``, which a sweep writes behind the parameters."""
    columns = list(table.columns)
    return columns[columns.index("experiment") + 1 : columns.index("row")] if "row" in columns else []


def _command(name: str, path: Path, experiment: Experiment | None) -> str:
    """The sweep that makes a folder or table again."""
    presets = list(experiment.presets) if experiment else []
    if path.is_dir():
        own = "" if experiment else ".py"
        preset = path.resolve().name if path.resolve().name in presets else None
        default = preset is not None and path.resolve().parent.name == name
        where = "" if default else f" --folder {path}"
        return f"spectral-jepa sweep {name}{own}{'' if preset in (None, 'quick') else f' --preset {preset}'}{where}"
    preset = path.stem.removeprefix(f"{name}-")
    return f"spectral-jepa sweep {name} --preset {preset if preset in presets else 'quick'} --keep"


def _origin(path: Path, table: pd.DataFrame, manifest: dict[str, Any] | None, command: str) -> list[Part]:
    files = [path / file for file in ("table.parquet", "manifest.json")] if path.is_dir() else [path]
    versions = {
        name.removesuffix("_version"): ", ".join(dict.fromkeys(map(str, table[name].dropna())))
        for name in ENVIRONMENT_COLUMNS
        if name in table
    }
    facts = [("made by", f"{command}"), ("figures again", command.replace(" sweep ", " figures ").removesuffix(" --keep"))]
    if not path.is_dir():
        facts.pop()
    facts.append(("this page", f"spectral-jepa report {path}"))
    facts += [(f"version of {'spectral_jepa' if name == 'version' else name}", text) for name, text in versions.items()]
    if manifest is not None:
        facts.append(("digest of the code that ran", str(manifest.get("source_digest", ""))))
    if "duration_seconds" in table and "cell_key" in table:
        spent = table.drop_duplicates("cell_key")["duration_seconds"].sum()
        facts.append(("time in cells", f"{spent:,.0f} s"))
    return [pd.DataFrame(facts, columns=["what", "which"]), *inputs(files)]


def inputs(files: Sequence[Path]) -> list[Part]:
    """Files that a page was made from, with size, date and digest.

    Parameters
    ----------
    files : sequence of Path
        Those that are not there are left out.

    Returns
    -------
    list of Part
        A table, or a sentence where there is no file.

    Examples
    --------
    >>> inputs([Path("no_such_file")])
    ['There is no file yet.']
    """
    rows = []
    for file in files:
        if file.is_file():
            changed = datetime.datetime.fromtimestamp(file.stat().st_mtime, datetime.UTC)
            rows.append((str(file), file.stat().st_size, f"{changed:%Y-%m-%d %H:%M} UTC", file_digest(file)))
    return [pd.DataFrame(rows, columns=["file", "bytes", "written", "SHA-256"])] if rows else ["There is no file yet."]


def written_by(version: str, now: datetime.datetime | None = None) -> str:
    """The last line of a page: version, commit of the clone that the code runs from, date.

    Parameters
    ----------
    version : str
        Of the package.
    now : datetime, optional
        Default: now.

    Returns
    -------
    str

    Examples
    --------
    >>> written_by("1.0", datetime.datetime(2026, 11, 30, 8, 0, tzinfo=datetime.UTC))
    'Written by spectral_jepa 1.0 (...), 2026-11-30 08:00 UTC.'
    """
    now = now or datetime.datetime.now(datetime.UTC)
    return f"Written by spectral_jepa {version} ({_commit()}), {now:%Y-%m-%d %H:%M} UTC."


def _commit() -> str:
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        return "installed, no clone"

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20, check=True
        ).stdout

    try:
        changed = git("status", "--porcelain", "--untracked-files=no").strip()
        return f"commit {git('rev-parse', '--short=12', 'HEAD').strip()}{', with changes' if changed else ''}"
    except (OSError, subprocess.SubprocessError):
        return "commit unknown"
