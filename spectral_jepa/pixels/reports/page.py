"""One page about a trained folder: settings, curves, planning, probing, surprise, shape of the latents, decoded rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spectral_jepa._files import read_csv
from spectral_jepa._validation import check_count
from spectral_jepa.pixels.config import PixelConfig
from spectral_jepa.pixels.data import EpisodeDataset
from spectral_jepa.pixels.data.episodes import rows_in, sample_rows
from spectral_jepa.pixels.data.origin import open_run_data
from spectral_jepa.pixels.diagnostics.decoder import beside, fit_decoder, rollout_frames, save_gif
from spectral_jepa.pixels.diagnostics.latent_geometry import latent_geometry
from spectral_jepa.pixels.diagnostics.latents import CACHE, embed_rows
from spectral_jepa.pixels.fields import LARGEST_SEED
from spectral_jepa.pixels.interfaces import ActionScaling
from spectral_jepa.pixels.model.frozen import device_of
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.reports.tables import load_table, save_figures, save_table
from spectral_jepa.plotting.page import Part, Section, write_page
from spectral_jepa.plotting.pixels import diagnostics as drawing
from spectral_jepa.success_rates import success_table

_GEOMETRY = (
    "Straightness is the mean cosine of consecutive latent velocities (1: straight lines, 0: random walk, near -1/2: "
    "independent draws in many dimensions); the effective rank is exp(entropy) of the normalised covariance eigenvalues; "
    "the whitening gap is the squared distance of mean and covariance from 0 and I, over the dimension. All on test "
    "episodes."
)


def report(
    folder: Path | str,
    data: Path | str | None = None,
    *,
    out: Path | None = None,
    seed: int = 0,
    n_rollouts: int = 3,
    rollout_blocks: int = 8,
    decoder_steps: int = 2_000,
    device: str | None = None,
    data_cache: Path | None = None,
    progress: bool = True,
) -> Path:
    """One HTML page about a trained folder: settings, curves, planning, probing, surprise, geometry, decoded rollouts.

    Parameters
    ----------
    folder : Path
        Of a training run; tables that other commands wrote into it are shown, and what is missing is named.
    data : Path, optional
        The data file. Given, the geometry of the latents is measured and a decoder trained for the rollouts.
    out : Path, optional
        Default: ``report.html`` in the folder.
    seed : int
        Of samples, decoder and rollout starts.
    n_rollouts : int
        Trajectories of the test episodes to show.
    rollout_blocks : int
        Their length in action blocks, shortened to what the episodes hold.
    decoder_steps : int
        Optimiser steps of the decoder.
    device : str, optional
        Default: the CPU.
    data_cache : Path, optional
        Where the unpacked data go, as in :func:`spectral_jepa.pixels.data.open_dataset`.
    progress : bool

    Returns
    -------
    Path
        Of the page, which needs no other file.

    Raises
    ------
    InputError
        A count below 1, a folder without a finished model, data that do not fit it or come from another environment.

    Notes
    -----
    The decoder dominates: about 25 ms a step on one core at 64 px.
    """
    folder = Path(folder)
    for name, value in (("n_rollouts", n_rollouts), ("rollout_blocks", rollout_blocks), ("decoder_steps", decoder_steps)):
        check_count(name, value)
    check_count("seed", seed, 0, LARGEST_SEED)
    model, config, scaler = load_model(folder, device)
    sections: list[Section] = [("Settings", _settings(model, config)), ("Training", _training(folder))]
    sections += [
        ("Planning", _planning(folder)),
        ("Probing", _probing(folder)),
        ("Violation of expectation", _surprise(folder)),
    ]
    if data is None:
        hint = "Give `report` the data file too, and it measures the latents and decodes rollouts."
        return write_page(out or folder / "report.html", _title(config), [*sections, ("Latent space", [hint])])
    dataset = open_run_data(config, data, cache=data_cache)
    split = dataset.split()
    options: dict[str, Any] = {"every": config.model.action_block, "seed": seed, "cache": folder / CACHE}
    untrained = WorldModel(config.model, seed).to(device_of(model))
    table = latent_geometry(model, dataset, split["test"], control=untrained, **options)
    figures = save_table(folder, "geometry", table, drawing.draw_spectrum(table))
    scalars = table[table["measure"] != "eigenvalue"].drop(columns="index")
    sections.append(("Latent space", [*figures, _GEOMETRY, scalars]))
    pictures = _rollouts(
        model, config, scaler, dataset, split, folder, seed, n_rollouts, rollout_blocks, decoder_steps, progress
    )
    sections.append(("Decoded rollouts", pictures))
    return write_page(out or folder / "report.html", _title(config), sections)


def _rollouts(
    model: WorldModel, config: PixelConfig, scaler: ActionScaling, dataset: EpisodeDataset, split: Mapping[str, Any],
    folder: Path, seed: int,
    n_rollouts: int, n_blocks: int, n_steps: int, progress: bool,
) -> list[Part]:  # fmt: skip
    size = config.model.action_block
    block_rows = rows_in(dataset, "action_block", size)
    room = (dataset.ep_len[split["test"]] - 1) // block_rows
    n_blocks = min(n_blocks, int(room.max()))
    if not hasattr(model, "rollout"):
        return [f"A {config.kind} network predicts no latents, so there is nothing to roll out."]
    if n_blocks <= config.model.history:
        return [f"No test episode is longer than {n_blocks} action blocks: too short for a rollout."]
    rows = sample_rows(dataset, split["train"], 5_000, seed)
    latents = embed_rows(model, dataset, rows, cache=folder / CACHE)
    device = device_of(model)
    decoder = fit_decoder(
        latents, np.asarray(dataset.pixels[rows]), n_steps=n_steps, seed=seed, device=device, progress=progress
    )
    generator = np.random.default_rng(seed)
    usable = generator.permutation(split["test"][room >= n_blocks])[:n_rollouts]
    starts = dataset.ep_offset[usable] + generator.integers(0, dataset.ep_len[usable] - n_blocks * block_rows)
    films = rollout_frames(model, decoder, dataset, starts, scaler, n_blocks=n_blocks)
    strips = save_figures(folder, drawing.draw_rollouts(films, context=config.model.history, action_block=size))
    animation = save_gif(beside(films), folder / "figures" / "rollouts.gif")
    note = (
        f"A decoder trained on frozen latents of training episodes ({n_steps} steps) draws test episodes: observed frames, "
        "the decoded latents of the observed frames, and an open-loop rollout under the stored actions (framed: no picture "
        f"after the first {config.model.history} went into it). The animation shows the same trajectories one below another."
    )
    return [note, *strips, animation]


def _title(config: PixelConfig) -> str:
    return f"{config.data.environment}: {config.model.encoder} world model, {config.objective.regularizer}"


def _settings(model: WorldModel, config: PixelConfig) -> list[Part]:
    n = sum(p.numel() for p in model.parameters())
    text = f"{n:,} parameters. What differs from the published settings (all of them are in `config.json`):"
    default, here = _flat(PixelConfig().to_dict()), _flat(config.to_dict())
    rows = [(*name, str(default[name]), str(value)) for name, value in here.items() if value != default[name]]
    return [text, pd.DataFrame(rows, columns=["section", "setting", "published", "here"])]


def _flat(settings: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Settings by (section, name); a setting without a section has that left empty."""
    sections = {key: value if isinstance(value, dict) else {key: value} for key, value in settings.items()}
    return {(key if key not in part else "", name): value for key, part in sections.items() for name, value in part.items()}


def _training(folder: Path) -> list[Part]:
    path = folder / "log.csv"
    if not path.is_file():
        return ["No log.csv in this folder."]
    log = read_csv(path, ["step"], "remove it to go without, or train again from the checkpoints")
    numbers = [name for name in log.columns if log[name].notna().any()]
    last = [(name, float(log[name].dropna().iloc[0]), float(log[name].dropna().iloc[-1])) for name in numbers]
    curves = save_figures(folder, drawing.draw_training(log))
    return [*curves, pd.DataFrame(last, columns=["quantity", "first logged", "last logged"])]


def _planning(folder: Path) -> list[Part]:
    # Beside the run's own rows, those of the policies it was compared with: floor, bound, other runs.
    paths = sorted(folder.glob("evaluation*.csv")) + sorted(folder.parent.glob("evaluation.csv"))
    tables = [read_csv(path, (), "run spectral-jepa pixels evaluate again") for path in paths]
    tables = [table for table in tables if {"policy", "success", "steps"} <= set(table.columns)]
    if not tables:
        return ["Not measured yet: run `spectral-jepa pixels evaluate`."]
    rows = pd.concat(tables, ignore_index=True)
    # A run is called otherwise beside one of the same name; its configuration is what it is.
    known = "configuration" if "configuration" in rows else "policy"
    rows = rows.drop_duplicates([name for name in (known, "manifest", "pair") if name in rows])
    by = [name for name in ("policy", "goal_offset", "budget") if name in rows]
    return ["Success on held-out start and goal pairs with 95 % Wilson intervals:", success_table(rows, by=by)]


def _probing(folder: Path) -> list[Part]:
    table, notes = load_table(folder, "probe")
    if table is None:
        return ["Not measured yet: run `spectral-jepa pixels probe`."]
    table["note"] = table["note"].fillna("")
    means = table[table["coordinate"] == "mean"].drop(columns="coordinate")
    skipped = table[table["probe"] == "none"]
    if len(skipped):
        names = ", ".join(f"{q} [{c}]" for q, c in zip(skipped["quantity"], skipped["coordinate"], strict=True))
        notes.append(f"Constant, so not probed: {names}.")
    text = (
        "Frozen latents to physical quantities, train and test on different episodes; mse in units of the target's variance."
    )
    return [*notes, text, *drawing.draw_probe(table).values(), means]


def _surprise(folder: Path) -> list[Part]:
    table, notes = load_table(folder, "surprise")
    summary, _ = load_table(folder, "surprise_summary")
    if table is None or summary is None:
        return ["Not measured yet: run `spectral-jepa pixels surprise`."]
    for row in summary[summary["moment"] == "at"].to_dict("records"):
        verdict = "does not significantly change"
        if row["p_t"] < 0.01:
            verdict = "raises" if row["difference"] > 0 else "lowers"
        notes.append(
            f"{row['version'].capitalize()}: {verdict} surprise at the perturbed frame (paired t-test p = {row['p_t']:.2g}, "
            f"d_z = {row['d_z']:.2f}, AUROC {row['auroc']:.3f}, {row['n']} trajectories)."
        )
    return [*notes, *drawing.draw_surprise(table).values(), summary]
