"""Advice on a trained run: its latents of held-out episodes, one frame an action block, and what they support."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from spectral_jepa._files import write_checked
from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError
from spectral_jepa.advice import Advice, Regularizer, advise
from spectral_jepa.pixels.config import REGULARIZERS, PixelConfig
from spectral_jepa.pixels.data.actions import scaled_blocks
from spectral_jepa.pixels.data.episodes import recorded_actions
from spectral_jepa.pixels.data.origin import open_run_data
from spectral_jepa.pixels.diagnostics.latents import CACHE, embed_episodes
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.interfaces import ActionScaling, Dataset, PlanningModel
from spectral_jepa.pixels.model.frozen import frozen
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.reports.tables import save_table
from spectral_jepa.pixels.runs import data_path
from spectral_jepa.plotting.advice import advice_figure

NAME = "advice"


class Transitions(NamedTuple):
    """Latent transitions of some episodes.

    Parameters
    ----------
    latents, next_latents, predicted : float32 arrays (N, D)
        Before and after an action block, and what the model predicts from one frame.
    blocks : float32 array (N, B)
        Scaled action blocks.
    episodes : int array (N,)
    """

    latents: Float[np.ndarray, "N D"]
    next_latents: Float[np.ndarray, "N D"]
    predicted: Float[np.ndarray, "N D"]
    blocks: Float[np.ndarray, "N B"]
    episodes: np.ndarray


def advise_run(
    folder: Path,
    data: Path | None = None,
    *,
    device: str | None = None,
    cache: Path | None = None,
    progress: bool = True,
    **options: Any,
) -> Advice:
    """Advise on a finished run; writes ``advice.csv``, ``advice.json`` and a figure into its folder.

    Parameters
    ----------
    folder : Path
    data : Path, optional
        Default: the data that it was trained on.
    device : str, optional
        Default: the CPU.
    cache : Path, optional
        Where the unpacked data go.
    progress : bool
        Show a bar while pictures are embedded.
    **options
        Of :func:`spectral_jepa.advice.advise`: ``products``, ``n_folds``, ``confidence``, ``seed``.

    Returns
    -------
    Advice
        On validation and test episodes, which the encoder was not trained on; regulariser and strength from the run.

    Raises
    ------
    InputError
        An unfinished run or one of a cloned policy, data that do not fit, too few held-out transitions.
    """
    model, config, scaler = load_model(folder, device)
    if config.kind != "world_model":
        raise InputError(
            f"{folder} holds a run of kind {config.kind!r}, expected a world model: a policy has no transitions of latents"
        )
    environment = make_environment(config.data.environment, config.model.image_size)
    dataset = open_run_data(config, data_path(folder, data), environment, cache=cache)
    split = dataset.split()
    unseen = np.union1d(split["validation"], split["test"])
    rows = latent_transitions(model, dataset, unseen, scaler, cache=folder / CACHE, progress=progress)
    found = advise(
        rows.latents,
        rows.next_latents,
        rows.blocks,
        rows.episodes,
        predicted=rows.predicted,
        regularizer=run_regularizer(config),
        **options,
    )
    title = f"{environment.name}, {folder.name}"
    save_table(folder, NAME, found.to_frame(), {NAME: advice_figure(found, title)})
    write_checked(folder / f"{NAME}.json", json.dumps(found.to_dict(), indent=1).encode())
    return found


def run_regularizer(config: PixelConfig) -> Regularizer | None:
    """What a run was kept from collapse by.

    Parameters
    ----------
    config : PixelConfig

    Returns
    -------
    Regularizer or None
        None for one of one's own, of which no threshold is known.

    Examples
    --------
    >>> from spectral_jepa.pixels.presets import preset
    >>> run_regularizer(preset("small")).kind
    'sigreg'
    """
    own = config.objective
    kind = str(own.regularizer)
    if kind not in REGULARIZERS:
        return None
    return Regularizer(
        kind,
        own.strength,
        config.training.batch_size,
        own.factor,
        own.n_subspaces if kind == "subspace_sigreg" else 1,
        own.n_knots,
        own.t_max,
    )


def latent_transitions(
    model: PlanningModel,
    dataset: Dataset,
    episodes: np.ndarray,
    scaler: ActionScaling,
    *,
    cache: Path | None = None,
    progress: bool = False,
) -> Transitions:
    """Embed episodes at every action block and pair each latent with the next.

    Parameters
    ----------
    model : WorldModel
    dataset : EpisodeDataset
    episodes : integer array
        Ids.
    scaler : ActionScaler
        Of the model's training actions.
    cache : Path, optional
        Folder of kept embeddings.
    progress : bool

    Returns
    -------
    Transitions

    Raises
    ------
    InputError
        No episode that is longer than an action block.

    Notes
    -----
    One encoder pass a block and one step of the predictor.

    Examples
    --------
    Brightness grows by the action; the model knows.

    >>> from types import SimpleNamespace
    >>> from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
    >>> class Adder(torch.nn.Module):
    ...     config = SimpleNamespace(action_block=2, action_dim=1, history=1)
    ...     def encode(self, frames):
    ...         return frames[:, 0, 0, :1].float()
    ...     def rollout(self, latents, blocks, past_blocks=None):
    ...         return latents[:, -1:] + blocks.sum(-1, keepdim=True)
    >>> actions = np.random.default_rng(0).integers(0, 5, (2, 9)).astype(float)
    >>> level = np.hstack([np.zeros((2, 1)), actions.cumsum(1)[:, :-1]])
    >>> frames = [np.tile(x.astype(np.uint8)[:, None, None, None], (1, 2, 2, 3)) for x in level]
    >>> data = EpisodeDataset.from_episodes({"pixels": f, "action": a[:, None]} for f, a in zip(frames, actions))
    >>> rows = latent_transitions(Adder(), data, [0, 1], ActionScaler((0.0,), (1.0,)))
    >>> rows.latents.shape, rows.blocks.shape, rows.episodes.tolist()
    ((8, 1), (8, 2), [0, 0, 0, 0, 1, 1, 1, 1])
    >>> np.array_equal(rows.predicted, rows.next_latents)
    True
    """
    block = model.config.action_block
    title = "embed" if progress else None
    paths = embed_episodes(model, dataset, episodes, every=block, cache=cache, progress=title)
    paths = [(rows, latents) for rows, latents in paths if len(rows) > 1]
    if not paths:
        raise InputError(
            f"no episode is longer than an action block of {block} steps, expected one: collect longer episodes"
        )
    starts = np.concatenate([rows[:-1] for rows, _ in paths])
    now, after = (np.concatenate([latents[part] for _, latents in paths]) for part in (slice(-1), slice(1, None)))
    blocks = scaled_blocks(recorded_actions(dataset, starts, block), scaler, block)
    predicted = []
    with frozen(model) as device:
        for first in range(0, len(now), 256):
            chosen = slice(first, first + 256)
            given = torch.from_numpy(now[chosen])[:, None].to(device)
            predicted.append(model.rollout(given, blocks[chosen].to(device))[:, 0].float().cpu().numpy())
    numbers = np.repeat(np.arange(len(paths)), [len(rows) - 1 for rows, _ in paths])
    return Transitions(now, after, np.concatenate(predicted), blocks[:, 0].numpy(), numbers)
