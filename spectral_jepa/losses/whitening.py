"""Whitening of an embedding, E z z^T = I: hard, by a change of basis, or soft, by a penalty.

Both optima are known (docs/theory.md, 2.5 and 2.6): hard whitening keeps the D most predictable functions, and under a
penalty of strength lambda a direction of singular value s collapses iff s^2 <= 1 - 2 lambda.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_choice
from spectral_jepa.losses._weights import at_least_float32, identity_like, weighted_mean, without_autocast
from spectral_jepa.losses.variance import second_moment


@checked()
def whiten(values: Tensor, weight: Tensor | None = None, *, centered: bool = True, on_singular: str = "raise") -> Tensor:
    """Multiply an embedding by the symmetric inverse root of its covariance, z -> C^(-1/2) (z - E z).

    Parameters
    ----------
    values : Tensor (..., N, D)
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor. Default: equal weights.
    centered : bool
        Subtract the mean. Otherwise the mean stays and E z z^T becomes the identity (docs/theory.md, 2.5).
    on_singular : {"raise", "nan"}
        What to do with a covariance that has no inverse root: stop, or give NaN for that leading index and go on with the
        others, for many runs trained at once.

    Returns
    -------
    Tensor (..., N, D)
        Covariance (or second moment) the identity. Differentiable once, also where eigenvalues coincide.

    Raises
    ------
    InputError
        A singular covariance, saying its rank, unless ``on_singular`` is "nan"; an unknown ``on_singular``; shapes that do
        not match. NaN goes in and out without an error.

    Notes
    -----
    O(N D^2 + D^3). Of all whitening matrices the symmetric one moves the samples least in mean square. Source:
    docs/theory.md, 2.5; the derivative of a matrix function is that of Daleckii and Krein.

    Examples
    --------
    >>> white = whiten(torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    >>> second_moment(white).round(decimals=4)
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_choice("on_singular", on_singular, ("raise", "nan"))
    values = at_least_float32(values)
    with without_autocast(values):
        moment = second_moment(values, weight, centered=centered)
        root, rank = _InverseRoot.apply(moment)
        if on_singular == "raise" and bool((rank < moment.shape[-1]).any()):
            where = tuple((rank < moment.shape[-1]).nonzero()[0].tolist())
            raise InputError(
                f"values{list(where) if where else ''} has a covariance of rank {int(rank[where])}, "
                f"expected {moment.shape[-1]}: use fewer dimensions or more distinct samples"
            )
        return (values - weighted_mean(values, weight, -2).unsqueeze(-2) if centered else values) @ root


@checked()
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
    A collapsed embedding, ||0 - I||_F^2, and one of variance 4, (4 - 1)^2.

    >>> whitening_penalty(torch.zeros(5, 3)), whitening_penalty(torch.tensor([[2.0], [-2.0]]))
    (tensor(3.), tensor(9.))
    """
    values = at_least_float32(values)
    moment = second_moment(values, weight, centered=centered)
    penalty = (moment - identity_like(moment)).square().sum((-2, -1))
    return penalty + weighted_mean(values, weight, -2).square().sum(-1) if centered else penalty


class _InverseRoot(torch.autograd.Function):
    """C^(-1/2) and the numerical rank of C; NaN where C is singular or not finite.

    Its own derivative: that of eigh divides by differences of eigenvalues, which vanish for a white embedding.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> tuple[Tensor, Tensor]:
        dim = matrix.shape[-1]
        finite = matrix.isfinite().all(-1).all(-1)
        values, vectors = torch.linalg.eigh(torch.where(finite[..., None, None], matrix, 0))
        floor = dim * torch.finfo(matrix.dtype).eps * values[..., -1:].clamp_min(0)
        rank = torch.where(finite, (values > floor).sum(-1), dim)
        roots = torch.where((finite & (rank == dim)).unsqueeze(-1), values, torch.nan).sqrt()
        ctx.save_for_backward(roots, vectors)
        ctx.mark_non_differentiable(rank)
        return (vectors / roots.unsqueeze(-2)) @ vectors.mT, rank

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> Tensor:
        roots, vectors = ctx.saved_tensors
        # Divided differences of x -> x^(-1/2), written so that equal eigenvalues need no limit.
        sums, products = roots.unsqueeze(-1) + roots.unsqueeze(-2), roots.unsqueeze(-1) * roots.unsqueeze(-2)
        rotated = vectors.mT @ ((gradient + gradient.mT) / 2) @ vectors
        return -vectors @ (rotated / (products * sums)) @ vectors.mT
