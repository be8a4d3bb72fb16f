"""Loss of many tabular JEPAs at once: prediction or spectral, plus one regulariser, on exact laws or minibatches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from spectral_jepa._parts import find_part
from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError, require_memory
from spectral_jepa.jepa.config import REGULARIZERS, JepaConfig, Run
from spectral_jepa.losses import (
    expected_negatives_spectral_loss,
    expected_prediction_loss,
    expected_spectral_loss,
    make_subspaces,
    negatives_spectral_loss,
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
    """Draw each run's K matrices W_j that its embedding is viewed through.

    Parameters
    ----------
    config : JepaConfig
        Regulariser, K, kind and d_s.
    runs : sequence of Run
        Of one dimension D; each draws from its own seed.
    dtype : torch.dtype
        Of the result; drawn in float64.

    Returns
    -------
    Tensor (R, K, d_s, D) or None
        None for a regulariser without subspaces.

    Raises
    ------
    InputError
        Runs of several dimensions, and as :func:`spectral_jepa.losses.make_subspaces`.

    Notes
    -----
    O(R K D d_s^2), a partition O(R D^3). Source: Sub-JEPA, arXiv 2605.09241, as its code has it.

    Examples
    --------
    The rows of a partition are an orthonormal basis, and a run's matrices do not depend on the runs beside it.

    >>> config = JepaConfig(regularizer="subspace_whitening", n_subspaces=2, subspace_kind="partition")
    >>> both = draw_subspaces(config, [Run(dim=4, seed=0), Run(dim=4, seed=1)], torch.float64)
    >>> basis = both[1].reshape(4, 4)
    >>> torch.allclose(basis @ basis.T, torch.eye(4, dtype=torch.float64))
    True
    >>> torch.equal(both[1:], draw_subspaces(config, [Run(dim=4, seed=1)], torch.float64))
    True
    """
    if config.regularizer not in ("subspace_whitening", "subspace_sigreg"):
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
            generator=torch_generator(run.seed, 4, seeds="tabular"),
            dtype=torch.float64,
        )
        for run in runs
    ]
    return torch.stack(drawn).to(dtype)


def draw_directions(config: JepaConfig, runs: Sequence[Run], subspace_dim: int | None, step: int) -> Tensor:
    """Draw the unit directions of SIGReg for one step.

    Parameters
    ----------
    config : JepaConfig
        ``n_slices`` is M; without ``fresh_directions`` every step gets those of step 0.
    runs : sequence of Run
        R runs, each with its own directions, which depend on its seed and the step alone.
    subspace_dim : int or None
        d_s, for ``config.n_subspaces`` draws in subspaces. None: in the whole latent space of each run.
    step : int
        Optimiser steps taken, from 0.

    Returns
    -------
    Tensor (R, D, M) or (R, K, d_s, M)
        float64, unit columns; D is the largest dimension of the runs, and a smaller run has zeros beyond its own.

    Raises
    ------
    InputError
        More directions than memory allows.

    Notes
    -----
    O(R D M), in subspaces O(R K d_s M). Source: LeWM, arXiv 2603.19312, and Sub-JEPA, arXiv 2605.09241, as their code has
    it.

    Examples
    --------
    On the line a direction is 1 or -1; the second coordinate is padding.

    >>> directions = draw_directions(JepaConfig(n_slices=3), [Run(dim=1), Run(dim=2)], None, step=0)
    >>> directions[0].abs()
    tensor([[1., 1., 1.],
            [0., 0., 0.]], dtype=torch.float64)
    >>> torch.allclose(directions.norm(dim=1), torch.ones(2, 3, dtype=torch.float64))
    True
    """
    dim, drawn = subspace_dim or max(run.dim for run in runs), []
    n_draws = config.n_subspaces if subspace_dim else 1
    require_memory(
        (len(runs), n_draws, dim, config.n_slices), "the directions of SIGReg", "lower n_slices or train fewer runs"
    )
    for run in runs:
        generator = torch_generator(run.seed, 3, step if config.fresh_directions else 0, seeds="tabular")
        own = subspace_dim or run.dim
        parts = [random_directions(own, config.n_slices, generator=generator, dtype=torch.float64) for _ in range(n_draws)]
        drawn.append(torch.nn.functional.pad(torch.stack(parts), (0, 0, 0, dim - own)))
    stacked = torch.stack(drawn)
    return stacked if subspace_dim else stacked[:, 0]


def hard_whiten(latent: Tensor, weight: Tensor, dims: Tensor, centered: bool) -> Tensor:
    """Whiten each run's own coordinates under its law.

    Parameters
    ----------
    latent : Tensor (R, S, D)
        f of every run, padded with zeros.
    weight : Tensor (R, S)
        Law of the states, up to a factor.
    dims : integer Tensor (R,)
        Dimension of each run.
    centered : bool
        Subtract the mean first; otherwise E f f^T becomes the identity and the mean stays.

    Returns
    -------
    Tensor (R, S, D)
        NaN in the own coordinates of a run whose second moment is singular (a collapsed one); padding stays 0.

    Notes
    -----
    O(R (S D^2 + D^3)). Source: docs/theory.md, 2.5; see :func:`spectral_jepa.losses.whiten`.

    Examples
    --------
    A run of dimension 1 beside one of dimension 2; a function of values 3 and -3 becomes 1 and -1.

    >>> latent = torch.tensor([[[3.0, 0.0], [-3.0, 0.0]], [[2.0, 0.0], [0.0, 4.0]]])
    >>> white = hard_whiten(latent, torch.full((2, 2), 0.5), torch.tensor([1, 2]), centered=False)
    >>> white[0]
    tensor([[ 1.,  0.],
            [-1.,  0.]])
    >>> (white[1].T @ white[1] / 2).round(decimals=4)
    tensor([[1., 0.],
            [0., 1.]])
    """
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
    """Evaluate the regulariser of every run, without its strength.

    Parameters
    ----------
    config : JepaConfig
        Which one, and its settings.
    values : Tensor (R, N, D)
        f at the samples or states, padded with zeros.
    weight : Tensor (R, N) or None
        Law of the samples, up to a factor. None: equal weights.
    n_padded : Tensor (R,)
        Coordinates of each run that are padding; what they would add is taken off.
    subspaces : Tensor (R, K, d_s, D) or None
        Of a regulariser in subspaces, see :func:`draw_subspaces`.
    directions : Tensor (R, D, M) or (R, K, d_s, M) or None
        Of SIGReg, see :func:`draw_directions`.

    Returns
    -------
    Tensor (R,)
        0 for "none" and "hard_whitening", which are no penalties, and for "norms", which needs the prediction, too.

    Raises
    ------
    InputError
        A regulariser of one's own that is not there or gives something else than one value a run.

    Notes
    -----
    O(R N D^2) for whitening and VICReg, O(R N M (D + n_knots)) for SIGReg. Source: the functions of
    :mod:`spectral_jepa.losses`, which name their papers and the cost in subspaces.

    Examples
    --------
    A collapsed run of dimension 2, padded to 3: ||0 - I||_F^2 in its own two coordinates.

    >>> regularizer_value(JepaConfig(regularizer="whitening"), torch.zeros(1, 4, 3), None, torch.ones(1), None, None)
    tensor([2.])
    """
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
    if config.regularizer not in REGULARIZERS:
        return _own_value(find_part("regularizer", str(config.regularizer)), values, weight, n_padded)
    return values.new_zeros(len(values))


def _own_value(own: Callable[..., Tensor], values: Tensor, weight: Tensor | None, n_padded: Tensor) -> Tensor:
    """A regulariser of the user's: runs of one dimension at a time, so that it never sees padding."""
    result = values.new_zeros(len(values))
    for padded in n_padded.unique().tolist():
        chosen = n_padded == padded
        law = weight if weight is None or len(weight) == 1 else weight[chosen]
        found = own(values[chosen][..., : values.shape[-1] - int(padded)], law)
        if not isinstance(found, Tensor) or found.shape != (int(chosen.sum()),):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"the regularizer {own.__name__} gave {got} for f of shape {tuple(values[chosen].shape)}, expected a tensor "
                f"of one value a run, ({int(chosen.sum())},): sum or average over the samples and coordinates"
            )
        result = result.masked_scatter(chosen, found)
    return result


def negative_law(config: JepaConfig, joint: Tensor) -> Tensor:
    """The law of the negatives f' of the spectral loss, for every row of the joint law or once for all.

    Parameters
    ----------
    config : JepaConfig
        ``negatives``.
    joint : Tensor (..., A * S, S)
        Law of (state-action pair, next state), rows ordered action first.

    Returns
    -------
    Tensor (..., 1, S), or (..., A * S, S) for the negatives of each action
        Up to a factor. An action that never occurs gets the pooled law, which no loss reads.

    Notes
    -----
    O(A S^2). Source: docs/negatives.md, 4.

    Examples
    --------
    Two states and two actions, which always lead to state 0 and to state 1.

    >>> joint = torch.tensor([[0.25, 0.0], [0.25, 0.0], [0.0, 0.25], [0.0, 0.25]])
    >>> negative_law(JepaConfig(loss="spectral", negatives="pooled"), joint)
    tensor([[0.5000, 0.5000]])
    >>> negative_law(JepaConfig(loss="spectral", negatives="action"), joint)[1:3]
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    pooled = joint.sum(-2, keepdim=True)
    if config.negatives == "uniform":
        return torch.ones_like(pooled)
    if config.negatives == "pooled":
        return pooled
    n_states = joint.shape[-1]
    own = joint.unflatten(-2, (-1, n_states)).sum(-2, keepdim=True)  # (..., A, 1, S)
    own = torch.where(own.sum(-1, keepdim=True) > 0, own, pooled.unsqueeze(-3))
    return own.expand(*own.shape[:-2], n_states, n_states).flatten(-3, -2)


def population_losses(
    config: JepaConfig, latent: Tensor, predicted: Tensor, target: Tensor, joint: Tensor, weight: Tensor,
    strength: Tensor, n_padded: Tensor, subspaces: Tensor | None, directions: Tensor | None,
) -> Losses:  # fmt: skip
    """Evaluate the loss of every run on exact expectations.

    Parameters
    ----------
    config : JepaConfig
        Which loss, regulariser and target.
    latent : Tensor (R, S, D)
        f, which the regulariser acts on.
    predicted : Tensor (R, A * S, D)
        g, rows ordered action first.
    target : Tensor (R, S, D)
        f of the target network, or ``latent`` again; a constant unless ``config.target`` is "gradient".
    joint : Tensor (1, A * S, S) or (R, A * S, S)
        Law of (state-action pair, next state); a first axis of 1 is shared by all runs.
    weight : Tensor (R, S)
        Law of the next states.
    strength : Tensor (R,)
        lam of each run.
    n_padded, subspaces, directions
        As in :func:`regularizer_value`.

    Returns
    -------
    Losses
        Tensors (R,).

    Notes
    -----
    O(R A S^2 D) beside the regulariser. Source: docs/theory.md, 2.1 (spectral) and 2.5 (prediction); docs/negatives.md, 4.

    Examples
    --------
    Two states that swap with probability .1: the white function 1, -1 has singular value s = .8, its best prediction is .8
    times itself, and the error is 1 - s^2 = .36.

    >>> latent, joint = torch.tensor([[[1.0], [-1.0]]]), torch.tensor([[[0.45, 0.05], [0.05, 0.45]]])
    >>> losses = population_losses(
    ...     JepaConfig(centered=True), latent, 0.8 * latent, latent, joint, joint.sum(1), torch.ones(1), torch.zeros(1),
    ...     None, None)
    >>> [round(float(value), 6) for value in losses]
    [0.36, 0.36, 0.0]
    """
    law = joint[0] if len(joint) == 1 else joint
    if config.loss == "spectral" and config.negatives == "pooled":
        error = expected_spectral_loss(predicted, target, law)
    elif config.loss == "spectral":
        error = expected_negatives_spectral_loss(predicted, target, law, negative_law(config, law))
    else:
        error = expected_prediction_loss(predicted, target, law, stop_gradient=config.target != "gradient")
    if config.regularizer == "norms":
        penalty = _mean_square(latent, weight) + _mean_square(predicted, joint.sum(-1))
    else:
        penalty = regularizer_value(config, latent, weight, n_padded, subspaces, directions)
    return Losses(error + strength * penalty, error, penalty)


def minibatch_losses(
    config: JepaConfig, latent: Tensor, predicted: Tensor, target: Tensor, batch: Tensor, strength: Tensor,
    n_padded: Tensor, subspaces: Tensor | None, directions: Tensor | None,
) -> Losses:  # fmt: skip
    """Evaluate the loss of every run on a minibatch.

    Parameters
    ----------
    config, latent, predicted, target, strength, n_padded, subspaces, directions
        As in :func:`population_losses`.
    batch : integer Tensor (2, R, B)
        Row of ``predicted`` and row of ``target`` of B transitions of every run, see
        :func:`spectral_jepa.jepa.worlds.minibatches`.

    Returns
    -------
    Losses
        Tensors (R,). The spectral loss in its unbiased form; the regulariser on f at the next states of the minibatch.

    Notes
    -----
    O(R B D) for the prediction loss, O(R B D^2) for the spectral one, beside the regulariser. Source: arXiv 2606.27014,
    eq. 1-3; see :func:`spectral_jepa.losses.prediction_loss` and :func:`spectral_jepa.losses.spectral_loss`.

    Examples
    --------
    Two transitions on which f is 1, -1 and the prediction .8, -.8: an error of .2^2, and no whitening gap.

    >>> latent, batch = torch.tensor([[[1.0], [-1.0]]]), torch.tensor([[[0, 1]], [[0, 1]]])
    >>> losses = minibatch_losses(
    ...     JepaConfig(), latent, 0.8 * latent, latent, batch, torch.ones(1), torch.zeros(1), None, None)
    >>> [round(float(value), 6) for value in losses]
    [0.04, 0.04, 0.0]
    """

    def taken(table: Tensor, index: Tensor) -> Tensor:
        return table.gather(1, index[..., None].expand(-1, -1, table.shape[-1]))

    rows, columns = batch[0], batch[1]
    prediction, seen = taken(predicted, rows), taken(target, columns)
    if config.loss == "spectral" and config.negatives == "uniform":
        error = negatives_spectral_loss(prediction, seen, target)
    elif config.loss == "spectral":
        error = spectral_loss(prediction, seen, unbiased=True)
    else:
        error = prediction_loss(prediction, seen, stop_gradient=config.target != "gradient")
    if config.regularizer == "norms":
        penalty = _mean_square(taken(latent, columns)) + _mean_square(prediction)
    else:
        penalty = regularizer_value(config, taken(latent, columns), None, n_padded, subspaces, directions)
    return Losses(error + strength * penalty, error, penalty)


def _mean_square(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """E||v||^2 of every run (R, N, D) under a law (1 or R, N), up to a factor; padding is 0 and adds nothing."""
    squares = values.square().sum(-1)
    return squares.mean(-1) if weight is None else (weight * squares).sum(-1) / weight.sum(-1)
