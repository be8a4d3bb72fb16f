"""Spectral loss of a joint-embedding model: the low-rank approximation of the co-occurrence matrix, from samples.

Its minimum over predictions and targets is known: minus the sum of the largest D squared singular values of the
normalised co-occurrence matrix (docs/theory.md, 2.1 and 2.2). For the exact law of a finite world see
:func:`spectral_jepa.losses.expected_spectral_loss`.
"""

from __future__ import annotations

from torch import Tensor

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError
from spectral_jepa.losses._weights import at_least_float32, check_pairs, weighted_mean, without_autocast
from spectral_jepa.losses.variance import second_moment


@checked()
def spectral_loss(predicted: Tensor, target: Tensor, weight: Tensor | None = None, *, unbiased: bool = False) -> Tensor:
    """Spectral loss -2 E[g^T f+] + E[(g^T f')^2], where f' has the law of f+ but is independent of g.

    Parameters
    ----------
    predicted, target : Tensor (..., N, D)
        g(f(x), a) and f(x+).
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor. Default: equal weights.
    unbiased : bool
        Average the second term over pairs i != j of different samples only, N (N - 1) of them: an unbiased estimate from
        independent samples. Without it the term runs over all pairs, tr(E[g g^T] E[f+ f+^T]): the exact value when the
        samples are the whole law, too large by O(1/N) when they are drawn from it.

    Returns
    -------
    Tensor (...)

    Raises
    ------
    InputError
        Shapes that do not match; ``unbiased`` with a weight or fewer than 2 samples.

    Notes
    -----
    O(N D^2) time, no N x N matrix: the second term needs second moments only. Source: arXiv 2606.27014, eq. 2-3;
    docs/theory.md, 2.1.

    Examples
    --------
    >>> import torch
    >>> predicted, target = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [-1.0]])
    >>> spectral_loss(predicted, target), spectral_loss(predicted, 3 * target, unbiased=True)
    (tensor(3.5000), tensor(25.5000))
    """
    check_pairs(predicted, target, weight)
    if unbiased and (weight is not None or predicted.shape[-2] < 2):
        given = "a weight" if weight is not None else f"{predicted.shape[-2]} sample"
        raise InputError(f"unbiased=True got {given}, expected 2 or more equally weighted samples: pass unbiased=False")
    predicted, target = at_least_float32(predicted), at_least_float32(target)
    with without_autocast(predicted):
        agreement = (predicted * target).sum(-1)
        moments = [second_moment(values, weight, centered=False) for values in (predicted, target)]
        square = (moments[0] * moments[1]).sum((-2, -1))
        if unbiased:
            n = predicted.shape[-2]
            square = (n * square - agreement.square().mean(-1)) / (n - 1)
        return square - 2 * weighted_mean(agreement, weight, -1)
