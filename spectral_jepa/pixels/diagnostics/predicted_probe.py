"""What a predictor keeps: probes fitted on true latents, applied to latents that were predicted open loop from one frame.

Beside them the true latents of the same moments, what the first frame alone tells of them (as if nothing moved), and the
prediction under the actions of another window (as if the predictor did not read actions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.metrics import r2_score

from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels.config import ProbeConfig
from spectral_jepa.pixels.data.actions import scaled_blocks
from spectral_jepa.pixels.data.episodes import recorded_actions, rows_in, sample_rows
from spectral_jepa.pixels.data.windows import window_starts
from spectral_jepa.pixels.diagnostics.latents import embed_rows
from spectral_jepa.pixels.diagnostics.probe import fit_probe, read_out_error
from spectral_jepa.pixels.diagnostics.quantities import quantity_coordinates, quantity_names, varies
from spectral_jepa.pixels.interfaces import ActionScaling, Dataset, PlanningModel
from spectral_jepa.pixels.model.frozen import frozen

COLUMNS = ["input", "probe", "quantity", "blocks", "r2", "error", "error_q90", "unit", "error_in_tolerances", "n"]
INPUTS = ("predicted", "true", "first frame", "other actions")


def predicted_probe(
    model: PlanningModel,
    dataset: Dataset,
    split: Mapping[str, ArrayLike],
    scaler: ActionScaling,
    settings: ProbeConfig | None = None,
    *,
    blocks: Sequence[int] = (1, 3, 5),
    n_windows: int = 1_000,
    tolerances: Mapping[str, tuple[float, str]] | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Read physical quantities from predicted latents.

    Parameters
    ----------
    model : WorldModel
    dataset : EpisodeDataset
    split : dict
        Episode ids: probes are fitted on frames of "train", windows are drawn from "test".
    scaler : ActionScaler
        Of the model's training actions.
    settings : ProbeConfig, optional
        Probes, quantities, number of training frames, epochs, seed.
    blocks : sequence of int
        How many action blocks after the only real frame the predicted latents are read.
    n_windows : int
        At most.
    tolerances : dict of (float, str), optional
        As in :func:`~spectral_jepa.pixels.diagnostics.probe.probe`.
    cache : Path, optional
        Folder of kept embeddings.
    progress : bool
        Show bars of the embedding.

    Returns
    -------
    DataFrame
        One row an input, probe, quantity and number of blocks: r2 (mean over coordinates), error (median; own unit),
        error_q90, unit, error_in_tolerances, n. Inputs: "predicted"; "true", the latents of the frames that came; "first
        frame", the latents of the frame that the prediction starts from; "other actions", predicted with those of the next
        window.

    Raises
    ------
    InputError
        No test episode that is long enough, no quantity that varies.

    Notes
    -----
    One fit a quantity and probe, n_windows rollouts twice. Source: ours, after the probes of LeWM (arXiv 2603.19312).

    Examples
    --------
    Brightness grows by the action; the model knows.

    >>> from types import SimpleNamespace
    >>> from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
    >>> class Adder(torch.nn.Module):
    ...     config = SimpleNamespace(action_block=1, action_dim=1, history=1)
    ...     def encode(self, frames):
    ...         return frames[:, 0, 0, :1].float()
    ...     def rollout(self, latents, blocks, past_blocks=None):
    ...         return latents[:, -1:] + blocks.cumsum(1)
    >>> actions = np.random.default_rng(0).integers(0, 5, (2, 30)).astype(float)
    >>> level = np.hstack([np.zeros((2, 1)), actions.cumsum(1)[:, :-1]])
    >>> frames = [np.tile(x.astype(np.uint8)[:, None, None, None], (1, 2, 2, 3)) for x in level]
    >>> data = EpisodeDataset.from_episodes(
    ...     {"pixels": f, "action": a[:, None], "level": x} for f, a, x in zip(frames, actions, level))
    >>> table = predicted_probe(Adder(), data, {"train": [0], "test": [1]}, ActionScaler((0.0,), (1.0,)),
    ...                         ProbeConfig(probes=("linear",)), blocks=(3,))
    >>> table.set_index("input")["r2"].round(2).to_dict()["predicted"]
    1.0
    """
    settings, size = settings or ProbeConfig(), model.config.action_block
    lengths = [check_count("blocks", n) for n in blocks]
    generator = np.random.default_rng(settings.seed)
    ahead = np.array([rows_in(dataset, "steps", n * size) for n in lengths])
    starts = window_starts(dataset, np.asarray(split["test"]), max(lengths) * size + 1)
    if not starts.size:
        raise InputError(
            f"no test episode is longer than {max(lengths)} action blocks, expected one: collect longer episodes"
        )
    if starts.size > n_windows:
        starts = np.sort(generator.choice(starts, check_count("n_windows", n_windows), replace=False))
    train = sample_rows(dataset, np.asarray(split["train"]), settings.n_train, generator)
    title = "embed (true)" if progress else None
    moments = np.concatenate([starts[:, None], starts[:, None] + ahead], axis=1)
    different, where = np.unique(np.concatenate([train, moments.ravel()]), return_inverse=True)
    latents = embed_rows(model, dataset, different, cache=cache, progress=title)[where]
    known, windows = latents[: train.size].astype(np.float64), latents[train.size :].reshape(*moments.shape, -1)

    moves = recorded_actions(dataset, starts, max(lengths) * size)
    at = [n - 1 for n in lengths]
    own, other = (_roll_out(model, windows[:, 0], part, scaler, size)[:, at] for part in (moves, np.roll(moves, 1, axis=0)))
    inputs = {"predicted": own, "true": windows[:, 1:], "first frame": np.repeat(windows[:, :1], len(at), 1)}
    inputs |= {"other actions": other} if len(starts) > 1 else {}

    rows = []
    names = quantity_names(dataset) if settings.quantities is None else settings.quantities
    for name in names:
        column = np.asarray(dataset.columns[name])
        fitted_on, _ = quantity_coordinates(name, column[train])
        if not np.isfinite(fitted_on).all():
            continue
        moving = varies(fitted_on)
        if not moving.any():
            continue
        fitted_on = fitted_on[:, moving]
        mean, scale = fitted_on.mean(axis=0), fitted_on.std(axis=0)
        for kind in settings.probes:
            fitted = fit_probe(known, (fitted_on - mean) / scale, kind, seed=settings.seed, max_epochs=settings.max_epochs)
            for i, n in enumerate(lengths):
                truth = quantity_coordinates(name, column[moments[:, i + 1]])[0][:, moving]
                for source, values in inputs.items():
                    read = mean + scale * fitted.predict(values[:, i].astype(np.float64))
                    scores = read_out_error(name, read, truth, tolerances or {})
                    r2 = float(r2_score(truth, read)) if len(truth) > 1 else float("nan")
                    rows.append(
                        {"input": source, "probe": kind, "quantity": name, "blocks": n, "r2": r2, "n": len(starts), **scores}
                    )
    if not rows:
        raise InputError(f"every column of {list(names)} is constant, expected one that varies: collect more episodes")
    return pd.DataFrame(rows, columns=COLUMNS)


def _roll_out(model: PlanningModel, latents: np.ndarray, moves: np.ndarray, scaler: ActionScaling, size: int) -> np.ndarray:
    """Predicted latents (n, blocks, D) from one frame each, 256 windows a call."""
    blocks, parts = scaled_blocks(moves, scaler, size), []
    with frozen(model) as device:
        for start in range(0, len(latents), 256):
            chosen = slice(start, start + 256)
            given = torch.from_numpy(latents[chosen])[:, None].to(device)
            parts.append(model.rollout(given, blocks[chosen].to(device)).float().cpu().numpy())
    return np.concatenate(parts)
