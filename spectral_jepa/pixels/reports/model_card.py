"""The card that goes with shared weights: what a run's folder says of itself, in Markdown, and what it does not say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spectral_jepa._files import read_json
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.reports.run_sections import evaluation_rows, open_runs
from spectral_jepa.pixels.reports.tables import load_table
from spectral_jepa.success_rates import success_table
from spectral_jepa.training.weights import CONFIG


def model_card(folder: Path) -> str:
    """A hub's ``README.md`` about a finished run, from its configuration and from the tables that other commands left.

    Parameters
    ----------
    folder : Path
        Of a finished run.

    Returns
    -------
    str
        Markdown with the hub's header. Of paths, file names only.

    Raises
    ------
    InputError
        A folder without a finished run.

    Notes
    -----
    Nothing is measured: what no command has measured is named as missing.

    Examples
    --------
    >>> import tempfile
    >>> from spectral_jepa.pixels.data import ActionScaler
    >>> from spectral_jepa.pixels.model.saved import make_model, save_model
    >>> from spectral_jepa.pixels.presets import preset
    >>> config, folder = preset("tiny"), Path(tempfile.mkdtemp())
    >>> save_model(make_model(config), folder, config, ActionScaler((0.0, 0.0), (1.0, 1.0)), {"data": "/home/me/data.h5"})
    >>> card = model_card(folder)
    >>> "| data | data.h5 |" in card, "/home/me" in card, "Not measured: planning, probing." in card
    (True, False, True)
    """
    model, config, scaler = load_model(folder)
    (run,) = open_runs([folder])
    saved = read_json(folder / CONFIG, (), "pass the folder of a pixel run")
    objective = "behaviour cloning" if config.kind == "cloning" else config.objective.regularizer
    facts: list[tuple[str, Any]] = [
        ("kind", config.kind),
        ("objective", objective),
        ("encoder", config.model.encoder),
        ("parameters", f"{sum(weight.numel() for weight in model.parameters()):,}"),
        ("pictures", f"{config.model.image_size} x {config.model.image_size}, RGB, bytes"),
        ("actions", f"{config.model.action_dim} coordinates, {config.model.action_block} a block"),
        ("mean of the actions", ", ".join(f"{value:.6g}" for value in scaler.mean)),
        ("deviation of the actions", ", ".join(f"{value:.6g}" for value in scaler.std)),
        ("environment", config.data.environment),
        ("data", Path(run.data).name or "not recorded"),
        ("optimiser steps", f"{run.step:,}" if run.step else "not recorded"),
        ("training seed", config.training.seed),
        ("imported from", saved.get("imported", {}).get("source", "")),
        ("began at the weights", saved.get("initial", {}).get("weights", "")[:16]),
        ("versions", ", ".join(f"{name} {value}" for name, value in run.versions.items())),
    ]
    sections, missing = [], []
    rows = evaluation_rows(folder)
    if rows.empty:
        missing.append("planning")
    else:
        by = [name for name in ("environment", "goal_offset", "budget") if name in rows] or ["policy"]
        sections.append("## Planning\n\nHeld-out start and goal pairs, 95 % Wilson intervals:\n\n")
        sections.append(_table(success_table(rows, by=by)))
    probe, notes = load_table(folder, "probe")
    if probe is None:
        missing.append("probing")
    else:
        means = probe[(probe["coordinate"] == "mean") & (probe["input"] == "embedding")]
        sections.append("\n## Read from the latents\n\nR2 on held-out episodes:\n\n")
        sections.append(_table(means[["quantity", "probe", "r2"]]) + "".join(f"\n{note}\n" for note in notes))
    tags = ["world-model", "jepa", config.data.environment.rpartition(":")[2]]
    parts = [
        "---\nlibrary_name: spectral-jepa\ntags:\n" + "".join(f"- {tag}\n" for tag in tags) + "---\n\n",
        f"# {folder.resolve().name}: {config.model.encoder} {config.kind.replace('_', ' ')}, {objective}\n\n",
        "A model of `spectral_jepa`, a laboratory for the theory of JEPA world models.\n\n",
        "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in facts if value != "") + "\n",
        *sections,
        f"\nNot measured: {', '.join(missing)}.\n" if missing else "",
        "\n## Use\n\n```text\nspectral-jepa pixels import-weights OWNER/NAME --data DATA.h5 --folder RUN\n"
        "spectral-jepa pixels evaluate RUN\n```\n",
    ]
    return "".join(parts)


def _table(frame: pd.DataFrame) -> str:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |\n"

    head = line(list(frame.columns)) + "|" + "---|" * frame.shape[1] + "\n"
    return head + "".join(line(list(row)) for row in frame.itertuples(index=False))
