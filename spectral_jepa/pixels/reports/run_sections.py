"""What the folders of runs have to say, side by side, from what other commands left in them: nothing is measured here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from spectral_jepa._files import decode_record, read_csv, read_json
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import PixelConfig
from spectral_jepa.pixels.reports.diagnosis import load_diagnosis
from spectral_jepa.pixels.reports.diagnosis_text import STAGES, broken_link, stage_summary, verdict
from spectral_jepa.pixels.reports.tables import load_table
from spectral_jepa.plotting.page import Folded, Part, Picture, Section, SideBySide
from spectral_jepa.plotting.pixels import diagnostics as drawing
from spectral_jepa.plotting.pixels.success import CEILING, FLOOR, draw
from spectral_jepa.plotting.study import Study, inputs
from spectral_jepa.success_rates import success_table
from spectral_jepa.training.weights import CONFIG, WEIGHTS

# Panels of the animation that pixels report leaves, from left to right.
FILM_COLUMNS = ("observed", "decoded from what was observed", "predicted, decoded")
FILM_CAPTION = (
    "Test episodes, one below another. Left: the frames that happened. Middle: their latents, decoded. Right: an open-loop "
    "rollout under the same actions, decoded; after its first frames it sees no picture."
)
GEOMETRY = (
    "Straightness is the mean cosine of consecutive latent velocities (1: straight lines, 0: random walk, near -1/2: "
    "independent draws in many dimensions); the effective rank is exp(entropy) of the normalised covariance eigenvalues; "
    "the whitening gap is the squared distance of mean and covariance from 0 and I, over the dimension. All on test "
    "episodes."
)


@dataclass(frozen=True)
class Run:
    """A run's folder and what it says of itself.

    Parameters
    ----------
    folder : Path
    name : str
        In the tables of a page.
    config : dict
        Section -> setting -> value; empty where a run has not saved any yet.
    versions : dict
        Package -> version it was trained with.
    data : str
        The file it was trained on.
    step, n_steps : int
        How far training came; 0 where nothing says so.
    finished : bool
        Whether there are weights.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    data: str
    step: int
    n_steps: int
    finished: bool


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training run, finished or not.

    Parameters
    ----------
    folder : Path
        Whether it is there or not.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_run(Path("no_such_folder"))
    False
    """
    if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
        return True
    return (folder / "log.csv").is_file() and (folder / "checkpoints").is_dir()


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """Read what runs say of themselves.

    Parameters
    ----------
    folders : sequence of Path

    Returns
    -------
    list of Run
        Named after their folders; after the folders above them too, where names repeat.

    Raises
    ------
    InputError
        A ``config.json`` of something else.

    Examples
    --------
    >>> open_runs([])
    []
    """
    resolved = [folder.resolve() for folder in folders]
    names = [folder.name for folder in resolved]
    if len(set(names)) < len(names):
        names = [f"{folder.parent.name}/{folder.name}" for folder in resolved]
    if len(set(names)) < len(names):
        names = list(map(str, folders))
    return [_open_run(folder, name) for folder, name in zip(folders, names, strict=True)]


def _open_run(folder: Path, name: str) -> Run:
    if (folder / CONFIG).is_file():
        saved = read_json(folder / CONFIG, ["config"], "pass the folder of a pixel run")
        try:  # only a pixel run's settings are this package's
            config = PixelConfig.from_dict(saved["config"]).to_dict()
        except (InputError, TypeError) as error:
            raise InputError(f"{folder / CONFIG}: {error}") from None
        step = int(saved.get("step", 0))
        versions = saved.get("versions", {})
        return Run(folder, name, config, versions, str(saved.get("data", "")), step, step, (folder / WEIGHTS).is_file())
    config, step = {}, 0
    for path in sorted((folder / "checkpoints").glob("step-*.json"), key=lambda path: (len(path.name), path.name)):
        try:
            record = decode_record(path.read_bytes())
        except (OSError, ValueError):
            continue
        config, step = record.get("config", {}), int(record.get("step", 0))
    n_steps = int((config.get("training") or {}).get("n_steps") or 0)
    return Run(folder, name, config, {}, "", step, n_steps, False)


def run_study(
    runs: Sequence[Run],
    *,
    measured: Sequence[Section] = (),
    facts: Sequence[str] = (),
    command: str = "report",
) -> Study:
    """A page about one run, or several side by side: results first, then training, settings, and where all comes from.

    Parameters
    ----------
    runs : sequence of Run
    measured : sequence of (heading, parts)
        Sections in the place of what the folders hold on latent space and rollouts.
    facts : sequence of str
        Sentences before the settings.
    command : str
        That writes the page, in words behind ``spectral-jepa``.

    Returns
    -------
    Study
    """
    study = Study(_title(runs))
    rows = {run.name: evaluation_rows(run.folder) for run in runs}
    study.verdict = [_reached(run, rows[run.name], alone=len(runs) == 1) for run in runs]
    if len(runs) == 1:
        study.verdict += _findings(runs[0])
    for run in runs:
        if not run.finished:
            of = f" of {run.n_steps:,}" if run.n_steps else ""
            study.warnings.append(
                f"{run.name} is not finished: a checkpoint at step {run.step:,}{of}, no weights to judge. "
                "The same `pixels train`, given again, goes on."
            )
    if len(runs) > 1:
        study.sections.append(("Side by side", [_overview(runs, rows)]))
    study.sections.append(("Planning", _planning(runs, rows)))
    study.sections.append(("Probing", _each(runs, _probing)))
    study.sections.append(("Violation of expectation", _each(runs, _surprise)))
    diagnosed = [run for run in runs if (run.folder / "diagnosis.csv").is_file()]
    if diagnosed:
        study.sections.append(("Diagnosis", _each(diagnosed, _diagnosis)))
    advised = [run for run in runs if run.finished and (run.folder / "advice.json").is_file()]
    if advised:
        study.sections.append(("Advice on the latent space", _each(advised, _advice)))
    study.sections += measured or _kept(runs)
    study.sections.append(("Training", _each(runs, _training)))
    study.sections.append(("Settings", [*facts, *_settings(runs)]))
    study.sections.append(("Where it comes from", _origin(runs, command)))
    return study


def _each(runs: Sequence[Run], section: Callable[[Run], list[Part]]) -> list[Part]:
    if len(runs) == 1:
        return section(runs[0])
    return [SideBySide(tuple((run.name, section(run)) for run in runs))]


def _title(runs: Sequence[Run]) -> str:
    if len(runs) > 1:
        return f"{len(runs)} runs side by side: {', '.join(run.name for run in runs)}"
    (run,) = runs
    if not run.config:
        return f"Run {run.name}"
    environment = run.config.get("data", {}).get("environment", "")
    model, objective = run.config["model"], run.config["objective"]
    words = f"{model['encoder']} world model, {objective['regularizer']}"
    return f"{environment}: {words}" if environment else f"{run.name}: {words}"


# --- Planning ------------------------------------------------------------------------------------------------------------


def evaluation_rows(folder: Path) -> pd.DataFrame:
    """A run's own rows of evaluation.

    Parameters
    ----------
    folder : Path
        Of a run.

    Returns
    -------
    DataFrame
        One row a pair; empty where it was not evaluated.

    Examples
    --------
    >>> evaluation_rows(Path("no_such_folder")).empty
    True
    """
    tables = [_rows(path) for path in sorted(folder.glob("evaluation*.csv"))]
    return _joined(tables)


def _beside(folder: Path) -> pd.DataFrame:
    """Rows of the policies that a run was compared with: floor, bound, other runs."""
    return _joined([_rows(path) for path in sorted(folder.resolve().parent.glob("evaluation.csv"))])


def _rows(path: Path) -> pd.DataFrame:
    return read_csv(path, (), "run spectral-jepa pixels evaluate again")


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    tables = [table for table in tables if {"policy", "success", "steps"} <= set(table.columns) and len(table)]
    if not tables:
        return pd.DataFrame(columns=["policy", "success", "steps"])
    rows = pd.concat(tables, ignore_index=True)
    # A run is called otherwise beside one of the same name; its configuration is what it is.
    known = "configuration" if "configuration" in rows else "policy"
    return rows.drop_duplicates([name for name in (known, "manifest", "pair") if name in rows])


def _by(rows: pd.DataFrame) -> list[str]:
    return [name for name in ("policy", "environment", "goal_offset", "budget") if name in rows]


def _reached(run: Run, rows: pd.DataFrame, *, alone: bool) -> str:
    """The first sentence: goals reached, between floor and upper bound where those were measured."""
    who = "The planner" if alone else f"{run.name}: the planner"
    if rows.empty:
        what = "has not been evaluated" if run.finished else "cannot be judged, training is not finished"
        return f"{who} {what}."
    best = success_table(rows, by=[name for name in ("goal_offset",) if name in rows] or ["policy"]).iloc[0]
    ahead = f" {best['goal_offset']:.0f} steps ahead" if "goal_offset" in best else ""
    sentence = (
        f"{who} reaches {best['n_successes']:.0f} of {best['n']:.0f} held-out goals{ahead}: {best['rate']:.1%} "
        f"(95 % interval {best['low']:.1%} to {best['high']:.1%})"
    )
    compared = _beside(run.folder)
    if "goal_offset" in best and "goal_offset" in compared:
        compared = compared[compared["goal_offset"] == best["goal_offset"]]
    for policy, words in ((FLOOR, "random actions reach"), (CEILING, "the true dynamics")):
        own = compared[compared["policy"] == policy]
        if len(own):
            sentence += f"; {words} {own['success'].mean():.1%}"
    return f"{sentence}."


def _findings(run: Run) -> list[str]:
    """What else was measured in one sentence each, and what was not."""
    found, missing = [], []
    if (run.folder / "diagnosis.csv").is_file():
        found.append(broken_link(load_diagnosis(run.folder)))
    probe, _ = load_table(run.folder, "probe") if run.finished else (None, [])
    if probe is None:
        missing.append("probing")
    else:
        means = probe[(probe["coordinate"] == "mean") & (probe["input"] == "embedding")]
        best = means.sort_values("r2", ascending=False).drop_duplicates("quantity")
        words = [f"{row['quantity']} {row['r2']:.3f}" for row in best.to_dict("records")]
        if words:
            found.append(f"Read from the latents, best R2 on held-out episodes: {', '.join(words)}.")
    surprise, _ = load_table(run.folder, "surprise_summary") if run.finished else (None, [])
    if surprise is None:
        missing.append("surprise")
    else:
        found += _surprise_verdicts(surprise)
    if missing:
        found.append(f"Not measured: {' and '.join(missing)}.")
    return found


def _overview(runs: Sequence[Run], rows: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    lines = []
    for run in runs:
        own = rows[run.name]
        line: dict[str, Any] = {"run": run.name, "training": "finished" if run.finished else f"step {run.step:,}"}
        for section, name in (("data", "environment"), ("objective", "regularizer"), ("training", "seed")):
            line[name] = (run.config.get(section) or {}).get(name)
        if len(own):
            first = success_table(own, by=_by(own)).iloc[0]
            line |= {"success": first["rate"], "low": first["low"], "high": first["high"], "pairs": int(first["n"])}
        if run.finished:
            probe, _ = load_table(run.folder, "probe")
            if probe is not None:
                means = probe[
                    (probe["coordinate"] == "mean") & (probe["input"] == "embedding") & (probe["probe"] == "linear")
                ]
                line |= {f"linear R2, {q}": r2 for q, r2 in zip(means["quantity"], means["r2"], strict=True)}
            surprise, _ = load_table(run.folder, "surprise_summary")
            if surprise is not None:
                at = surprise[surprise["moment"] == "at"]
                line |= {f"AUROC, {v}": auroc for v, auroc in zip(at["version"], at["auroc"], strict=True)}
            geometry, _ = load_table(run.folder, "geometry")
            if geometry is not None:
                ranks = geometry[(geometry["input"] == "embedding") & (geometry["measure"] == "effective_rank")]["value"]
                line["effective rank"] = ranks.mean()
        lines.append(line)
    return pd.DataFrame(lines).dropna(axis=1, how="all")


def _planning(runs: Sequence[Run], rows: Mapping[str, pd.DataFrame]) -> list[Part]:
    own = [table.assign(policy=name) for name, table in rows.items() if len(table)]
    if len(runs) == 1:
        # A run on its own keeps the names of its rows, which those beside it repeat.
        own = [table for table in rows.values() if len(table)]
    others = [_beside(folder) for folder in dict.fromkeys(run.folder for run in runs)]
    if len(runs) > 1:
        others = [table[table["policy"].isin([FLOOR, CEILING])] for table in others]
    both = _joined([*own, *others])
    parts: list[Part] = []
    if both.empty:
        parts.append("Not measured yet: run `spectral-jepa pixels evaluate`.")
    else:
        parts += ["Success on held-out start and goal pairs with 95 % Wilson intervals:", success_table(both, by=_by(both))]
        if {"environment", "goal_offset"} <= set(both.columns):
            parts += [Picture(figure, "Success, with floor and upper bound.") for figure in draw(both).values()]
    strips = [(run, path) for run in runs for path in sorted((run.folder / "figures").glob("plan_*.png"))]
    if not strips:
        shown = runs[0].folder if len(runs) == 1 else "RUN"
        parts.append(f"No plan was drawn yet: `spectral-jepa pixels plan {shown}` carries one out and keeps its pictures.")
    for run, path in strips:
        whose = f"{run.name}, pair" if len(runs) > 1 else "Pair"
        parts.append(Picture(path, f"{whose} {path.stem.removeprefix('plan_')}: a plan carried out, from start to goal."))
    return parts


# --- Probing, surprise, diagnosis ----------------------------------------------------------------------------------------


def _probing(run: Run) -> list[Part]:
    table, notes = load_table(run.folder, "probe") if run.finished else (None, [])
    if table is None:
        return [f"Not measured yet: run `spectral-jepa pixels probe {run.folder}`."]
    table["note"] = table["note"].fillna("") if "note" in table else ""
    means = table[table["coordinate"] == "mean"].drop(columns="coordinate")
    skipped = table[table["probe"] == "none"]
    if len(skipped):
        names = ", ".join(f"{q} [{c}]" for q, c in zip(skipped["quantity"], skipped["coordinate"], strict=True))
        notes.append(f"Constant, so not probed: {names}.")
    text = (
        "Frozen latents to physical quantities, train and test on different episodes; mse in units of the target's "
        "variance. A bar to the left of 0 predicts worse than the mean of the test episodes does."
    )
    return [*notes, text, *_pictures(drawing.draw_probe(table), "R2 of each quantity."), means]


def _pictures(figures: Mapping[str, Any], caption: str) -> list[Part]:
    return [Picture(figure, caption) for figure in figures.values()]


def _surprise_verdicts(summary: pd.DataFrame) -> list[str]:
    found = []
    for row in summary[summary["moment"] == "at"].to_dict("records"):
        said = "does not significantly change"
        if row["p_t"] < 0.01:
            said = "raises" if row["difference"] > 0 else "lowers"
        found.append(
            f"{row['version'].capitalize()}: {said} surprise at the perturbed frame (paired t-test p = {row['p_t']:.2g}, "
            f"d_z = {row['d_z']:.2f}, AUROC {row['auroc']:.3f}, {row['n']} trajectories)."
        )
    return found


def _surprise(run: Run) -> list[Part]:
    table, notes = load_table(run.folder, "surprise") if run.finished else (None, [])
    summary, _ = load_table(run.folder, "surprise_summary") if run.finished else (None, [])
    if table is None or summary is None:
        return [f"Not measured yet: run `spectral-jepa pixels surprise {run.folder}`."]
    figures = _pictures(drawing.draw_surprise(table), "Surprise around a perturbed frame.")
    return [*notes, *_surprise_verdicts(summary), *figures, summary]


def _diagnosis(run: Run) -> list[Part]:
    table = load_diagnosis(run.folder)
    parts: list[Part] = [broken_link(table)]
    for number, (stage, title) in enumerate(STAGES.items(), 1):
        if len(own := stage_summary(table, stage)):
            parts += [f"{number}. {title} {verdict(table, stage)}", own]
    return parts


def _advice(run: Run) -> list[Part]:
    found = read_json(run.folder / "advice.json", ["findings"], f"run spectral-jepa advise {run.folder} again")["findings"]
    table, notes = load_table(run.folder, "advice")
    picture = run.folder / "figures" / "advice.png"
    pictures = [Picture(picture, "Spectrum, held-out risk and worst case.")] if picture.is_file() else []
    return [*notes, *found, *pictures, *([] if table is None else [Folded("Every number of directions", [table])])]


# --- What pixels report left ---------------------------------------------------------------------------------------------


def _kept(runs: Sequence[Run]) -> list[Section]:
    return [("Latent space", _each(runs, _latents)), ("Decoded rollouts", _each(runs, _kept_rollouts))]


def _latents(run: Run) -> list[Part]:
    table, notes = load_table(run.folder, "geometry") if run.finished else (None, [])
    if table is None:
        return [f"Not measured yet: run `spectral-jepa pixels report {run.folder}`, which measures it."]
    return [*notes, *latent_parts(table)]


def latent_parts(table: pd.DataFrame) -> list[Part]:
    """Spectrum and scalars of the latents of a run.

    Parameters
    ----------
    table : DataFrame
        As :func:`spectral_jepa.pixels.diagnostics.latent_geometry.latent_geometry` gives it.

    Returns
    -------
    list of Part
    """
    scalars = table[table["measure"] != "eigenvalue"].drop(columns="index")
    return [*_pictures(drawing.draw_spectrum(table), "Spectrum of the latents."), GEOMETRY, scalars]


def _kept_rollouts(run: Run) -> list[Part]:
    found = sorted((run.folder / "figures").glob("rollout_*.png"))
    film = run.folder / "figures" / "rollouts.gif"
    if not found and not film.is_file():
        return [f"Not drawn yet: run `spectral-jepa pixels report {run.folder}`, which trains a decoder for them."]
    return [*(Picture(path) for path in found), *([film_part(film)] if film.is_file() else [])]


def film_part(path: Path) -> Picture:
    """The animation of rollouts with its three panels named.

    Parameters
    ----------
    path : Path
        As ``pixels report`` writes it.

    Returns
    -------
    Picture

    Examples
    --------
    >>> len(film_part(Path("rollouts.gif")).columns)
    3
    """
    return Picture(path, FILM_CAPTION, FILM_COLUMNS)


# --- Training, settings, origin ------------------------------------------------------------------------------------------


def _training(run: Run) -> list[Part]:
    path = run.folder / "log.csv"
    if not path.is_file():
        return ["No log.csv in this folder."]
    log = read_csv(path, ["step"], "remove it to go without, or train again from the checkpoints")
    numbers = [name for name in log.columns if pd.api.types.is_numeric_dtype(log[name]) and log[name].notna().any()]
    last = [(name, float(log[name].dropna().iloc[0]), float(log[name].dropna().iloc[-1])) for name in numbers]
    if len(numbers) < 2:
        return ["The log holds no number yet."]
    table = pd.DataFrame(last, columns=["quantity", "first logged", "last logged"])
    return [*_pictures(drawing.draw_training(log), "What training logged."), table]


def _settings(runs: Sequence[Run]) -> list[Part]:
    known = [run for run in runs if run.config]
    if not known:
        return ["No configuration was saved yet."]
    default = _flat(PixelConfig().to_dict())
    here = [_flat(run.config) for run in known]
    names = list(dict.fromkeys(name for settings in here for name in settings))
    heads = ["here"] if len(runs) == 1 else [run.name for run in known]
    rows = []
    for name in names:
        values = [str(settings.get(name, "")) for settings in here]
        published = str(default.get(name, ""))
        if name in default and set(values) != {published}:
            rows.append((*name, published, *values))
    text = f"What differs from the published settings, {len(rows)} of {len(default)} (all of them are in `config.json`):"
    table = pd.DataFrame(rows, columns=["section", "setting", "published", *heads])
    return [text, table] if len(table) <= 12 else [Folded(text, [table])]


def _flat(settings: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Settings by (section, name); a setting without a section has that left empty."""
    sections = {key: value if isinstance(value, Mapping) else {key: value} for key, value in settings.items()}
    return {(key if key not in part else "", name): value for key, part in sections.items() for name, value in part.items()}


def _origin(runs: Sequence[Run], command: str) -> list[Part]:
    facts = []
    for run in runs:
        if run.data:
            facts.append((run.name, "data", run.data))
        if run.versions:
            facts.append((run.name, "versions", ", ".join(f"{name} {value}" for name, value in run.versions.items())))
        for file, words in (
            ("log.csv", "pixels train"),
            ("evaluation", "pixels evaluate"),
            ("probe.csv", "pixels probe"),
            ("surprise.csv", "pixels surprise"),
            ("diagnosis.csv", "pixels diagnose"),
            ("advice.csv", "advise"),
            ("geometry.csv", "pixels report"),
        ):
            if any(run.folder.glob(f"{file}*")):
                where = f"{'--folder ' if words == 'pixels train' else ''}{run.folder}"
                facts.append((run.name, f"{file.removesuffix('.csv')} made by", f"spectral-jepa {words} {where}"))
    folders = " ".join(str(run.folder) for run in runs)
    facts.append(("", "this page", f"spectral-jepa {command} {folders}"))
    files = [path for run in runs for path in [run.folder / WEIGHTS, *sorted(run.folder.glob("*.json"))]]
    files += [path for run in runs for path in sorted(run.folder.glob("*.csv"))]
    table = pd.DataFrame(facts, columns=["run", "what", "which"])
    return [table.drop(columns="run") if len(runs) == 1 else table, *inputs(files)]
