"""Loss of many tabular JEPAs at once: prediction or spectral, plus one regulariser, on exact laws or minibatches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from spectral_jepa._validation import InputError, require_memory
from spectral_jepa.jepa.config import JepaConfig, Run
from spectral_jepa.jepa.networks import run_generator
from spectral_jepa.losses import (
    expected_prediction_loss,
    expected_spectral_loss,
    make_subspaces,
    orthogonality_penalty,
    prediction_loss,
    random_directions,
    sigreg,
    spectral_loss,
    subspace_sigreg,
    subspace_whitening_penalty,
    vicreg,
    whiten,
    whitening_penalty,
)


class Losses(NamedTuple):
    """One value a run: ``total = prediction + strength * regularizer``; ``prediction`` is L_spec for the spectral loss."""

    total: Tensor
    prediction: Tensor
    regularizer: Tensor


def draw_subspaces(config: JepaConfig, runs: Sequence[Run], dtype: torch.dtype) -> Tensor | None:
    """Each run's K matrices W_j, (R, K, d_s, D); None for a regulariser without subspaces."""
    if not config.regularizer.startswith("subspace"):
        return None
    dims = sorted({run.dim for run in runs})
    if len(dims) > 1:
        raise InputError(
            f"runs have dimensions {dims} with regularizer {config.regularizer!r}, expected one: subspaces of different "
            "sizes do not share a tensor, train each dimension by itself"
        )
    drawn = [
        make_subspaces(
            dims[0],
            config.n_subspaces,
            config.subspace_kind,
            subspace_dim=config.subspace_dim,
            generator=run_generator(run.seed, 4),
            dtype=torch.float64,
        )
        for run in runs
    ]
    return torch.stack(drawn).to(dtype)


def draw_directions(config: JepaConfig, runs: Sequence[Run], subspace_dim: int | None, step: int) -> Tensor:
    """Unit directions of SIGReg for one step, (R, D, M), or (R, K, d_s, M) in subspaces; padded with zeros."""
    dim, drawn = subspace_dim or max(run.dim for run in runs), []
    n_draws = config.n_subspaces if subspace_dim else 1
    require_memory(
        (len(runs), n_draws, dim, config.n_slices), "the directions of SIGReg", "lower n_slices or train fewer runs"
    )
    for run in runs:
        generator = run_generator(run.seed, 3, step if config.fresh_directions else 0)
        own = subspace_dim or run.dim
        parts = [random_directions(own, config.n_slices, generator=generator, dtype=torch.float64) for _ in range(n_draws)]
        drawn.append(torch.nn.functional.pad(torch.stack(parts), (0, 0, 0, dim - own)))
    stacked = torch.stack(drawn)
    return stacked if subspace_dim else stacked[:, 0]


def hard_whiten(latent: Tensor, weight: Tensor, dims: Tensor, centered: bool) -> Tensor:
    """Whiten each run's own coordinates under its law; a collapsed run becomes NaN. Padding stays 0."""
    parts = torch.zeros_like(latent)
    for dim in dims.unique().tolist():
        chosen = dims == dim
        white = whiten(latent[chosen][..., :dim], weight[chosen], centered=centered, on_singular="nan")
        parts[chosen, :, :dim] = white
    return parts


def regularizer_value(
    config: JepaConfig, values: Tensor, weight: Tensor | None, n_padded: Tensor, subspaces: Tensor | None,
    directions: Tensor | None,
) -> Tensor:  # fmt: skip
    """The regulariser without its strength, (R,); what padded coordinates would add is taken off."""
    settings = {"factor": config.factor, "n_knots": config.n_knots, "t_max": config.t_max}
    if config.regularizer == "whitening":
        return whitening_penalty(values, weight, centered=config.centered) - n_padded
    if config.regularizer == "vicreg":
        penalty = vicreg(values, weight, variance=config.variance_weight, covariance=config.covariance_weight)
        empty = vicreg(torch.zeros_like(values[:1, :, :1]), variance=config.variance_weight, covariance=0.0)
        return penalty - n_padded * empty
    if config.regularizer == "sigreg":
        assert directions is not None
        return sigreg(values, directions, weight, **settings)  # type: ignore[arg-type]
    if config.regularizer == "subspace_sigreg":
        assert directions is not None and subspaces is not None
        value = subspace_sigreg(values, subspaces, directions, weight, **settings)  # type: ignore[arg-type]
        return value + config.orthogonality * orthogonality_penalty(subspaces)
    if config.regularizer == "subspace_whitening":
        assert subspaces is not None
        value = subspace_whitening_penalty(values, subspaces, weight, centered=config.centered)
        return value + config.orthogonality * orthogonality_penalty(subspaces)
    return values.new_zeros(len(values))


def population_losses(
    config: JepaConfig, latent: Tensor, predicted: Tensor, target: Tensor, joint: Tensor, weight: Tensor,
    strength: Tensor, n_padded: Tensor, subspaces: Tensor | None, directions: Tensor | None,
) -> Losses:  # fmt: skip
    """Exact expectations: f (R, S, D), g (R, A * S, D), target network's f, joint (1 or R, A * S, S), law of f+ (R, S)."""
    law = joint[0] if len(joint) == 1 else joint
    if config.loss == "spectral":
        error = expected_spectral_loss(predicted, target, law)
    else:
        error = expected_prediction_loss(predicted, target, law, stop_gradient=config.target != "gradient")
    penalty = regularizer_value(config, latent, weight, n_padded, subspaces, directions)
    return Losses(error + strength * penalty, error, penalty)


def minibatch_losses(
    config: JepaConfig, latent: Tensor, predicted: Tensor, target: Tensor, batch: Tensor, strength: Tensor,
    n_padded: Tensor, subspaces: Tensor | None, directions: Tensor | None,
) -> Losses:  # fmt: skip
    """The same on a minibatch of (row, column) pairs (2, R, B); the spectral loss in its unbiased form."""

    def taken(table: Tensor, index: Tensor) -> Tensor:
        return table.gather(1, index[..., None].expand(-1, -1, table.shape[-1]))

    rows, columns = batch[0], batch[1]
    prediction, seen = taken(predicted, rows), taken(target, columns)
    if config.loss == "spectral":
        error = spectral_loss(prediction, seen, unbiased=True)
    else:
        error = prediction_loss(prediction, seen, stop_gradient=config.target != "gradient")
    penalty = regularizer_value(config, taken(latent, columns), None, n_padded, subspaces, directions)
    return Losses(error + strength * penalty, error, penalty)
