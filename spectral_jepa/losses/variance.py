"""Second moments of an embedding: VICReg's penalties on them (arXiv 2105.04906), and the rank that they have."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_jepa._signatures import checked
from spectral_jepa._validation import check_nonnegative
from spectral_jepa.losses._weights import (
    at_least_float32,
    check_samples,
    shares,
    weighted_mean,
    without_autocast,
)


@checked()
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
    O(N D^2). Source: docs/theory.md, 2.5, E[f f^T]; VICReg's covariance (arXiv 2105.04906, eq. 3) divides by N - 1.

    Examples
    --------
    >>> second_moment(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    tensor([[1., 0.],
            [0., 0.]])
    """
    check_samples("values", values, weight)
    values = at_least_float32(values)
    if centered:
        values = values - weighted_mean(values, weight, -2).unsqueeze(-2)
    scaled = values / values.shape[-2] if weight is None else values * shares(weight).to(values.dtype).unsqueeze(-1)
    with without_autocast(values):
        return values.mT @ scaled


@checked()
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
    check_nonnegative("target", target)
    check_nonnegative("floor", floor)
    values = at_least_float32(values)
    centered = values - weighted_mean(values, weight, -2).unsqueeze(-2)
    variance = weighted_mean(centered.square(), weight, -2)
    return torch.relu(target - torch.sqrt(variance + floor)).sum(-1)


@checked()
def covariance_penalty(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Sum of the squared covariances of different coordinates, sum_{d != e} C_de^2.

    Parameters
    ----------
    values : Tensor (..., N, D)
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor. Default: equal weights.

    Returns
    -------
    Tensor (...)

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(N D^2). It says nothing of the spread: a constant embedding satisfies it. Source: VICReg, arXiv 2105.04906, eq. 3-4
    (there divided by D, with the covariance divided by N - 1).

    Examples
    --------
    >>> covariance_penalty(torch.tensor([[1.0, 2.0], [-1.0, -2.0]]))
    tensor(8.)
    """
    moment = second_moment(values, weight)
    return moment.square().sum((-2, -1)) - moment.diagonal(dim1=-2, dim2=-1).square().sum(-1)


@checked()
def vicreg(
    values: Tensor,
    weight: Tensor | None = None,
    *,
    variance: float,
    covariance: float,
    target: float = 1.0,
    floor: float = 1e-4,
) -> Tensor:
    """VICReg's regulariser of one embedding: variance * variance_penalty + covariance * covariance_penalty.

    Parameters
    ----------
    values : Tensor (..., N, D)
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor. Default: equal weights.
    variance, covariance : float
        Strengths of the two penalties, beside a prediction loss that is summed over D.
    target, floor : float
        As in :func:`variance_penalty`.

    Returns
    -------
    Tensor (...)

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(N D^2). The paper's total is ``lambda s + mu (v + v') + nu (c + c')`` with lambda = mu = 25 and nu = 1, s the squared
    distance summed over D, v and c the two penalties here divided by D. So next to ``prediction_loss`` its strengths are
    ``variance = mu / (lambda D) = 1 / D`` and ``covariance = nu / (lambda D) = 0.04 / D`` for each of the two embeddings.
    Its code takes the mean over D in s as well: then ``variance = 1`` and ``covariance = 0.04``. Both divide covariances by
    N - 1, where the law of the samples is used here. Source: arXiv 2105.04906, eq. 1-6.

    Examples
    --------
    >>> vicreg(torch.tensor([[1.0, 2.0], [-1.0, -2.0]]), variance=1.0, covariance=0.5)
    tensor(4.)
    """
    check_nonnegative("variance", variance)
    check_nonnegative("covariance", covariance)
    spread = variance_penalty(values, weight, target=target, floor=floor)
    return variance * spread + covariance * covariance_penalty(values, weight)


@checked()
def sample_effective_rank(values: Tensor, weight: Tensor | None = None) -> Tensor:
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
    >>> flat = corners * torch.tensor([1.0, 0.0])
    >>> round(float(sample_effective_rank(corners)), 4), round(float(sample_effective_rank(flat)), 4)
    (2.0, 1.0)
    """
    eigenvalues = torch.linalg.eigvalsh(second_moment(values, weight)).clamp_min(0)
    total = eigenvalues.sum(-1, keepdim=True)
    share = eigenvalues / torch.where(total > 0, total, 1)
    return torch.where(total.squeeze(-1) > 0, torch.special.entr(share).sum(-1).exp(), 0)
