"""One page about a trained folder: planning, probing, surprise, latent space, decoded rollouts, training, settings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from spectral_jepa._files import read_csv
from spectral_jepa._validation import check_count
from spectral_jepa.pixels.config import PixelConfig
from spectral_jepa.pixels.data import EpisodeDataset
from spectral_jepa.pixels.data.episodes import rows_in, sample_rows
from spectral_jepa.pixels.data.origin import open_run_data
from spectral_jepa.pixels.diagnostics.decoder import beside, fit_decoder, rollout_frames, save_gif
from spectral_jepa.pixels.diagnostics.kept_decoder import keep_decoder
from spectral_jepa.pixels.diagnostics.latent_geometry import latent_geometry
from spectral_jepa.pixels.diagnostics.latents import CACHE, embed_rows
from spectral_jepa.pixels.fields import LARGEST_SEED
from spectral_jepa.pixels.interfaces import ActionScaling
from spectral_jepa.pixels.model.frozen import device_of
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.reports.run_sections import film_part, latent_parts, open_runs, run_study
from spectral_jepa.pixels.reports.tables import save_figures, save_table
from spectral_jepa.plotting.page import Part, write_page
from spectral_jepa.plotting.pixels import diagnostics as drawing
from spectral_jepa.plotting.study import Study, written_by


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
    """One HTML page about a trained folder: planning, probing, surprise, geometry, decoded rollouts, curves, settings.

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
    n = sum(p.numel() for p in model.parameters())
    written: dict[str, Any] = {"facts": [f"{n:,} parameters."], "command": "pixels report"}
    where = out or folder / "report.html"
    if (folder / "log.csv").is_file():
        save_figures(folder, drawing.draw_training(read_csv(folder / "log.csv", ["step"], "train again or remove it")))
    if data is None:
        hint = "Give `report` the data file too, and it measures the latents and decodes rollouts."
        return _write(where, run_study(open_runs([folder]), measured=[("Latent space", [hint])], **written))
    dataset = open_run_data(config, data, cache=data_cache)
    split = dataset.split()
    options: dict[str, Any] = {"every": config.model.action_block, "seed": seed, "cache": folder / CACHE}
    untrained = WorldModel(config.model, seed).to(device_of(model))
    table = latent_geometry(model, dataset, split["test"], control=untrained, **options)
    save_table(folder, "geometry", table, drawing.draw_spectrum(table))
    pictures = _rollouts(
        model, config, scaler, dataset, split, folder, seed, n_rollouts, rollout_blocks, decoder_steps, progress
    )
    measured = [("Latent space", latent_parts(table)), ("Decoded rollouts", pictures)]
    return _write(where, run_study(open_runs([folder]), measured=measured, **written))


def _write(path: Path, study: Study) -> Path:
    made = written_by(version("spectral-jepa"))
    return write_page(path, study.title, study.sections, verdict=study.verdict, warnings=study.warnings, made=made)


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
    keep_decoder(decoder, folder)
    generator = np.random.default_rng(seed)
    usable = generator.permutation(split["test"][room >= n_blocks])[:n_rollouts]
    starts = dataset.ep_offset[usable] + generator.integers(0, dataset.ep_len[usable] - n_blocks * block_rows)
    films = rollout_frames(model, decoder, dataset, starts, scaler, n_blocks=n_blocks)
    strips = save_figures(folder, drawing.draw_rollouts(films, context=config.model.history, action_block=size))
    animation = save_gif(beside(films), folder / "figures" / "rollouts.gif")
    note = (
        f"A decoder trained on frozen latents of training episodes ({n_steps} steps) draws test episodes: observed frames, "
        "the decoded latents of the observed frames, and an open-loop rollout under the stored actions (framed: no picture "
        f"after the first {config.model.history} went into it)."
    )
    return [note, *strips, film_part(animation)]
