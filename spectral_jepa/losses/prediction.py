"""Prediction error of a joint-embedding model (arXiv 2606.27014, eq. 1)."""

from __future__ import annotations

from torch import Tensor

from spectral_jepa._validation import InputError
from spectral_jepa.losses._weights import check_samples, weighted_mean


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
    check_samples("predicted", predicted, weight)
    if predicted.shape[-2:] != target.shape[-2:]:
        raise InputError(
            f"target has shape {tuple(target.shape)}, expected the last two axes of predicted, {tuple(predicted.shape)}: "
            "one target a prediction"
        )
    squared = (predicted - (target.detach() if stop_gradient else target)).square().sum(-1)
    return weighted_mean(squared, weight, -1)
