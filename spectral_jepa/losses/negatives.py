"""The spectral loss with negatives from a law of one's choice (docs/negatives.md, 4).

Which law f' follows decides what g^T f estimates, P / nu, and so whether predictions of different actions may be compared:
negatives of each action's own successors (arXiv 2606.27014, eq. 2) give P / w+(.|a), whose normaliser differs over actions;
any one law for all of them, the pooled successors' or another, gives ratios that rank actions as P does.
"""

from __future__ import annotations

from torch import Tensor

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_tensor
from spectral_jepa.losses._weights import (
    at_least_float32,
    check_law,
    check_pairs,
    check_samples,
    shares,
    weighted_mean,
    without_autocast,
)
from spectral_jepa.losses.population import _expected_product, _prepared
from spectral_jepa.losses.variance import second_moment


@checked()
def negatives_spectral_loss(
    predicted: Tensor,
    target: Tensor,
    negatives: Tensor,
    weight: Tensor | None = None,
    negative_weight: Tensor | None = None,
) -> Tensor:
    """Spectral loss -2 E[g^T f+] + E[(g^T f')^2] with f' from a sample of its own, the same for all predictions.

    Parameters
    ----------
    predicted, target : Tensor (..., N, D)
        g(f(x), a) and f(x+).
    negatives : Tensor (..., M, D)
        f', drawn independently of the pairs: encodings of a replay buffer's next states for the pooled law q, of all states
        for the uniform law.
    weight : Tensor (..., N), optional
        Law of the pairs, up to a factor. Default: equal weights.
    negative_weight : Tensor (..., M), optional
        Law of the negatives, up to a factor. Default: equal weights.

    Returns
    -------
    Tensor (...)
        Unbiased: the second term is tr(E[g g^T] E[f' f'^T]), of two independent samples.

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O((N + M) D^2). With the targets themselves as negatives it is :func:`spectral_jepa.losses.spectral_loss`, biased form.
    Source: docs/negatives.md, 4; arXiv 2606.27014, eq. 2-3 for f' of the own action.

    Examples
    --------
    >>> import torch
    >>> predicted, target = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [-1.0]])
    >>> negatives_spectral_loss(predicted, target, torch.tensor([[0.0], [2.0], [-2.0]]))
    tensor(7.6667)
    """
    check_pairs(predicted, target, weight)
    check_samples("negatives", negatives, negative_weight)
    if negatives.shape[-1] != target.shape[-1]:
        raise InputError(
            f"negatives has {negatives.shape[-1]} coordinates, expected {target.shape[-1]} as target: encode them by the "
            "same encoder"
        )
    predicted, target = at_least_float32(predicted), at_least_float32(target)
    with without_autocast(predicted):
        agreement = weighted_mean((predicted * target).sum(-1), weight, -1)
        moments = second_moment(predicted, weight, centered=False), second_moment(negatives, negative_weight, centered=False)
        return (moments[0] * moments[1]).sum((-2, -1)) - 2 * agreement


@checked()
def expected_negatives_spectral_loss(predicted: Tensor, target: Tensor, joint: Tensor, negatives: Tensor) -> Tensor:
    """Spectral loss -2 E[g^T f+] + E[(g^T f')^2] under a joint law, with f' from a given law of states.

    Parameters
    ----------
    predicted : Tensor (..., M, D)
        g, one row a state-action pair.
    target : Tensor (..., S, D)
        f, one row a next state.
    joint : Tensor (M, S) or (..., M, S)
        Probability of each pair, up to a factor. Treated as a constant.
    negatives : Tensor (..., 1, S) or (..., M, S)
        Law of f', up to a factor: one for all rows, or one for each. Treated as a constant. It must give weight to every
        state that a pair leads to: else the loss has no minimum.

    Returns
    -------
    Tensor (...)
        With one law nu for all rows at least minus the sum of the D largest squared singular values of
        joint / sqrt(row law x nu).

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(M S D) for each leading index. Source: docs/negatives.md, 4; docs/theory.md, 2.1 with a reference measure.

    Examples
    --------
    The constant function alone, on any law and any negatives.

    >>> import torch
    >>> joint = torch.tensor([[0.5, 0.0], [0.25, 0.25]])
    >>> expected_negatives_spectral_loss(torch.ones(2, 1), torch.ones(2, 1), joint, torch.tensor([[1.0, 1.0]]))
    tensor(-1.)
    """
    predicted, target, joint, rows, _ = _prepared(predicted, target, joint)
    n_rows, n_states = predicted.shape[-2], target.shape[-2]
    if negatives.ndim < 2 or negatives.shape[-1] != n_states or negatives.shape[-2] not in (1, n_rows):
        raise InputError(
            f"negatives has shape {tuple(negatives.shape)}, expected (..., 1, {n_states}) or (..., {n_rows}, {n_states}): "
            "give one law of next states for all rows, or one for each row"
        )
    check_law("negatives", negatives, predicted, 1)
    law = shares(check_tensor("negatives", negatives, "... M S", like=predicted).detach())
    with without_autocast(predicted):
        if law.shape[-2] == 1:
            moments = second_moment(predicted, rows, centered=False), second_moment(target, law[..., 0, :], centered=False)
            square = (moments[0] * moments[1]).sum((-2, -1))
        else:
            square = (rows * (law * (predicted @ target.mT).square()).sum(-1)).sum(-1)
        return square - 2 * _expected_product(predicted, target, joint)
