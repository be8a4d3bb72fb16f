"""A trained pixel model of a drawn world as tables: latents of all its states, predicted latents of all its actions."""

from __future__ import annotations

import numpy as np
import torch

from spectral_jepa._validation import Array, InputError, check_count
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.data import Transitions
from spectral_jepa.embedding import Embedding
from spectral_jepa.linalg import inverse_or_zero
from spectral_jepa.pixels.data.actions import scaled_blocks
from spectral_jepa.pixels.data.episodes import EpisodeDataset, Ids, raw_actions
from spectral_jepa.pixels.diagnostics.spectrum import in_sequences
from spectral_jepa.pixels.environments.rendered_mdp import RenderedMDP, pictures_of
from spectral_jepa.pixels.interfaces import ActionScaling, PlanningModel
from spectral_jepa.pixels.model.frozen import encode_frames, frozen

# Latents that are rolled out in one call.
BATCH = 4096


def latent_table(
    model: PlanningModel, environment: type[RenderedMDP], scaler: ActionScaling, *, n_blocks: int = 1
) -> Embedding:
    """Latents f of all states and predictions g after every sequence of actions, from one frame of context.

    Parameters
    ----------
    model : WorldModel
        Its image size, action block b and number of actions are read.
    environment : type
        The drawn world.
    scaler : ActionScaler
        Of the training actions.
    n_blocks : int
        Action blocks h that are rolled out; what is kept is the last prediction.

    Returns
    -------
    Embedding
        ``target`` (S, D); ``predicted`` (A^(b h), S, D), one entry a sequence of raw actions, in the order of
        :func:`spectral_jepa.pixels.diagnostics.spectrum.in_sequences`, whose world it belongs to (with b h = 1, to the world
        itself); ``column_weight`` is q after so many steps.

    Raises
    ------
    InputError
        A model of other actions than the world's.

    Notes
    -----
    S passes of the encoder, S A^(b h) of the predictor. In evaluation mode, float64.

    Examples
    --------
    >>> from spectral_jepa.pixels.data import ActionScaler
    >>> from spectral_jepa.pixels.environments import environment_class
    >>> from spectral_jepa.pixels.model.world_model import WorldModel
    >>> from spectral_jepa.pixels.presets import preset
    >>> torus = environment_class("mdp_torus")
    >>> model = WorldModel(preset("tiny", "mdp_torus").model)
    >>> latent_table(model, torus, ActionScaler((0.25,) * 4, (0.43,) * 4))
    Embedding(dim 16, 4 actions, 25 states, shared encoder)
    """
    config, world = model.config, environment.world
    if config.action_dim != world.n_actions:
        raise InputError(
            f"the model takes actions of {config.action_dim} coordinates, expected {world.n_actions}, one an action of "
            f"{environment.name}: pass a model that was trained on it"
        )
    latents = encode_frames(model, pictures_of(environment, config.image_size))
    n_steps = config.action_block * check_count("n_blocks", n_blocks)
    sequences = in_sequences(world, n_steps)
    one_hot = np.eye(world.n_actions)[np.array(sequences.action_labels)]
    blocks = scaled_blocks(one_hot, scaler, config.action_block)
    found = np.empty((sequences.n_actions, world.n_states, latents.shape[1]))
    given = torch.from_numpy(latents)
    together = max(1, BATCH // world.n_states)
    with frozen(model) as device:
        for first in range(0, len(found), together):
            part = blocks[first : first + together].repeat_interleave(world.n_states, 0).to(device)
            context = given.repeat(len(part) // world.n_states, 1)[:, None].to(device)
            after = model.rollout(context, part.to(context.dtype))[:, -1]
            found[first : first + together] = after.cpu().numpy().reshape(-1, world.n_states, latents.shape[1])
    law = CoOccurrence.exact(sequences).pooled_column_weight
    return Embedding(latents.astype(np.float64), found, law)


def picture_components(environment: type[RenderedMDP], image_size: int, dim: int) -> Array:
    """Principal components of the pictures themselves, under the law of the states: an encoder that knows no dynamics.

    Parameters
    ----------
    environment : type
        The drawn world.
    image_size : int
    dim : int
        k.

    Returns
    -------
    array (S, k)
        White, centred, in the order of their variance.

    Raises
    ------
    InputError
        More components than the number of states less one.

    Notes
    -----
    O(S^2 pixels).

    Examples
    --------
    >>> from spectral_jepa.pixels.environments import environment_class
    >>> encoded = picture_components(environment_class("mdp_torus"), 32, 3)
    >>> (encoded.T @ encoded / 25).round(9) + 0.0
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    world = environment.world
    check_count("dim", dim, 1, world.n_states - 1, "pictures of S states have S - 1 components")
    law = CoOccurrence.exact(world).pooled_column_weight
    pixels = pictures_of(environment, image_size).reshape(world.n_states, -1) / 255.0
    root = np.sqrt(law)
    basis, _, _ = np.linalg.svd(root[:, None] * (pixels - law @ pixels), full_matrices=False)
    return inverse_or_zero(root)[:, None] * basis[:, :dim]


def recorded_transitions(
    dataset: EpisodeDataset, environment: type[RenderedMDP], episodes: Ids | None = None
) -> Transitions:
    """The transitions of recorded episodes of a drawn world, row by row: what counts know of the same data.

    Parameters
    ----------
    dataset : EpisodeDataset
        With a picture after every raw action (``row_steps`` 1).
    environment : type
        The drawn world.
    episodes : integer ids, optional
        Default: the training episodes of the dataset's split.

    Returns
    -------
    Transitions

    Raises
    ------
    InputError
        Rows further apart than a raw step.

    Notes
    -----
    O(rows).

    Examples
    --------
    >>> from spectral_jepa.pixels.config import DataConfig
    >>> from spectral_jepa.pixels.data.collect import collect_drawn
    >>> from spectral_jepa.pixels.environments import environment_class
    >>> config = DataConfig(environment="mdp_torus", n_episodes=10, max_steps=20, image_size=32, policy="random")
    >>> recorded_transitions(collect_drawn(config, progress=False), environment_class("mdp_torus"), np.arange(10))
    Transitions(200 rows, 25 states, 4 actions)
    """
    if dataset.row_steps != 1:
        raise InputError(f"the dataset has rows {dataset.row_steps} steps apart, expected 1: collect with data.row_steps 1")
    chosen = dataset.split()["train"] if episodes is None else np.asarray(episodes)
    rows = np.concatenate([dataset.rows(int(number))[:-1] for number in chosen])
    states = np.asarray(dataset.columns["state"])[:, 0].astype(np.int64)
    actions = raw_actions(dataset, rows).reshape(len(rows), -1).argmax(axis=1)
    world = environment.world
    return Transitions(states[rows], actions, states[rows + 1], n_states=world.n_states, n_actions=world.n_actions)
