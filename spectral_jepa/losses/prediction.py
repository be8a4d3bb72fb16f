"""Prediction error of a joint-embedding model (arXiv 2606.27014, eq. 1)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_fraction
from spectral_jepa.losses._weights import at_least_float32, check_pairs, weighted_mean


@checked()
def prediction_loss(
    predicted: Tensor, target: Tensor, weight: Tensor | None = None, *, stop_gradient: bool = False
) -> Tensor:
    """Mean squared distance of prediction and target, E ||g - f+||^2.

    Parameters
    ----------
    predicted, target : Tensor (..., N, D)
        g(f(x), a) and f(x+). For a target network (EMA), pass its output as ``target``.
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor. Default: equal weights.
    stop_gradient : bool
        Treat the target as a constant. Without it, and without a regulariser, a constant encoder is a global minimum.

    Returns
    -------
    Tensor (...)
        Summed over D, averaged over N.

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(N D). Source: arXiv 2606.27014, eq. 1; its Section 5 uses the form with the stopped gradient.

    Examples
    --------
    >>> import torch
    >>> prediction_loss(torch.zeros(4, 3), torch.ones(4, 3))
    tensor(3.)
    """
    check_pairs(predicted, target, weight)
    predicted, target = at_least_float32(predicted), at_least_float32(target)
    squared = (predicted - (target.detach() if stop_gradient else target)).square().sum(-1)
    return weighted_mean(squared, weight, -1)


@checked()
@torch.no_grad()
def ema_update(target_tensors: Iterable[Tensor], online_tensors: Iterable[Tensor], decay: float) -> None:
    """Move the tensors of a target network towards the online ones in place: target <- decay target + (1 - decay) online.

    Parameters
    ----------
    target_tensors, online_tensors : iterable of Tensor
        The same tensors of two networks in the same order, such as their ``parameters()``. No gradient flows.
    decay : float
        In [0, 1]: 1 keeps the target, 0 copies the online network.

    Raises
    ------
    InputError
        Numbers or shapes of tensors that differ, a decay outside [0, 1].

    Notes
    -----
    O(number of parameters). Pass the target network's output as ``target`` of :func:`prediction_loss` with
    ``stop_gradient=True``. Integer buffers (counts of batches) are not averages: copy them.

    Examples
    --------
    >>> target, online = [torch.zeros(2)], [torch.ones(2)]
    >>> ema_update(target, online, decay=0.75)
    >>> target
    [tensor([0.2500, 0.2500])]
    """
    decay, targets, onlines = check_fraction("decay", decay), list(target_tensors), list(online_tensors)
    shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (targets, onlines)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"target_tensors has shapes {shapes[0]}, expected those of online_tensors, {shapes[1]}: pass two copies of one "
            "network"
        )
    if targets:
        torch._foreach_lerp_(targets, onlines, 1 - decay)
