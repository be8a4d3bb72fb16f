"""Second moments of an embedding: the penalties that keep them from collapsing, and the rank they have.

The variance hinge is VICReg's (arXiv 2105.04906); the whitening penalty is the soft whitening of docs/theory.md, section
2.6, whose optimum is known: a direction of singular value s collapses iff s^2 <= 1 - 2 lambda.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_jepa.losses._weights import check_samples, identity_like, weighted_mean


def second_moment(values: Tensor, weight: Tensor | None = None, *, centered: bool = True) -> Tensor:
    """Covariance E (z - Ez)(z - Ez)^T, or E z z^T when not centred.

    Parameters
    ----------
    values : Tensor (..., N, D)
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor. Default: equal weights.
    centered : bool
        Subtract the mean first.

    Returns
    -------
    Tensor (..., D, D)
        Divided by N, not N - 1: the moment of the given law.

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(N D^2).

    Examples
    --------
    >>> second_moment(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    tensor([[1., 0.],
            [0., 0.]])
    """
    check_samples("values", values, weight)
    if centered:
        values = values - weighted_mean(values, weight, -2).unsqueeze(-2)
    share = (
        torch.full_like(values[..., 0], 1 / values.shape[-2]) if weight is None else weight / weight.sum(-1, keepdim=True)
    )
    return values.transpose(-2, -1) @ (values * share.unsqueeze(-1))


def variance_penalty(values: Tensor, weight: Tensor | None = None, *, target: float = 1.0, floor: float = 1e-4) -> Tensor:
    """Hinge on the spread of each coordinate, sum_d max(0, target - sqrt(var_d + floor)).

    Parameters
    ----------
    values : Tensor (..., N, D)
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor. Default: equal weights.
    target : float
        Standard deviation asked for.
    floor : float
        Keeps the gradient finite at a collapsed coordinate.

    Returns
    -------
    Tensor (...)

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(N D). It says nothing of correlations: D copies of one function satisfy it. Source: VICReg, arXiv 2105.04906, eq. 1
    (there divided by D, with the variance divided by N - 1).

    Examples
    --------
    >>> variance_penalty(torch.tensor([[3.0, 0.0], [-3.0, 0.0]])).round(decimals=2)
    tensor(0.9900)
    """
    check_samples("values", values, weight)
    centered = values - weighted_mean(values, weight, -2).unsqueeze(-2)
    variance = weighted_mean(centered.square(), weight, -2)
    return torch.relu(target - torch.sqrt(variance + floor)).sum(-1)


def whitening_penalty(values: Tensor, weight: Tensor | None = None, *, centered: bool = True) -> Tensor:
    """Distance of the second moment from the identity, ||E z z^T - I||_F^2 (+ ||E z||^2 when centred).

    Parameters
    ----------
    values : Tensor (..., N, D)
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor. Default: equal weights.
    centered : bool
        Ask for mean zero and unit covariance. Otherwise E z z^T = I alone, as in docs/theory.md, 2.6, where the constant
        function counts as a direction.

    Returns
    -------
    Tensor (...)

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(N D^2). Source: docs/theory.md, sections 2.5 and 2.6.

    Examples
    --------
    >>> whitening_penalty(torch.zeros(5, 3))
    tensor(3.)
    """
    moment = second_moment(values, weight, centered=centered)
    penalty = (moment - identity_like(moment)).square().sum((-2, -1))
    return penalty + weighted_mean(values, weight, -2).square().sum(-1) if centered else penalty


def effective_rank(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Number of directions an embedding uses: exp(entropy) of the shares of its variance.

    Parameters
    ----------
    values : Tensor (..., N, D)
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor. Default: equal weights.

    Returns
    -------
    Tensor (...)
        Between 1 and D; 0 for an embedding without any variance. Scale-free: read it beside the variance.

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(N D^2 + D^3). The shares are the eigenvalues of the covariance over their sum (Roy and Vetterli 2007 take singular
    values of the data matrix instead, which gives a larger number).

    Examples
    --------
    >>> corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> round(float(effective_rank(corners)), 4), round(float(effective_rank(corners * torch.tensor([1.0, 0.0]))), 4)
    (2.0, 1.0)
    """
    eigenvalues = torch.linalg.eigvalsh(second_moment(values, weight)).clamp_min(0)
    total = eigenvalues.sum(-1, keepdim=True)
    share = eigenvalues / torch.where(total > 0, total, 1)
    return torch.where(total.squeeze(-1) > 0, torch.special.entr(share).sum(-1).exp(), 0)
