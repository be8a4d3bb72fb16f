"""Regularisers that act in K subspaces of an embedding only (Sub-JEPA, arXiv 2605.09241).

An embedding of dimension D is viewed through K matrices W_j of size d_s x D, and each view z -> W_j z is asked to be
standard normal (:func:`subspace_sigreg`) or white (:func:`subspace_whitening_penalty`). What that leaves free, and so
which rank a trained model has, is derived in docs/theory.md, section 5, and docs/effective_dimension.md.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_choice, check_count, check_tensor
from spectral_jepa.losses._memory import require_free
from spectral_jepa.losses._weights import at_least_float32, check_samples, identity_like, weighted_mean, without_autocast
from spectral_jepa.losses.sigreg import sigreg
from spectral_jepa.losses.variance import second_moment

SUBSPACE_KINDS = ("orthogonal", "partition", "random", "scaled", "trainable")


@checked()
def make_subspaces(
    dim: int,
    n_subspaces: int,
    kind: str = "orthogonal",
    *,
    subspace_dim: int | None = None,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Draw the K matrices that an embedding is viewed through.

    Parameters
    ----------
    dim : int
        D.
    n_subspaces : int
        K.
    kind : {"orthogonal", "partition", "random", "scaled", "trainable"}
        ``orthogonal``: K independent draws with orthonormal rows, the published choice; they overlap.
        ``partition``: one orthogonal D x D matrix cut in K blocks, so that the subspaces split R^D.
        ``random``: standard normal entries, so a view has about D times the variance: an embedding with standard normal
        views has the covariance I / D.
        ``scaled``: these divided by sqrt(D), to tell that scale from rows that are not orthonormal.
        ``trainable``: drawn as ``random``, for the caller to wrap in a Parameter and to hold near orthonormal rows with
        :func:`orthogonality_penalty`.
    subspace_dim : int, optional
        d_s. Default: D / K, which must be a whole number.
    generator : torch.Generator
        Its device is the device of the result.
    dtype : torch.dtype

    Returns
    -------
    Tensor (K, d_s, D)

    Raises
    ------
    InputError
        K that does not divide D (the message lists those that do), a subspace larger than the space, an unknown kind.

    Notes
    -----
    O(K D d_s^2), a partition O(D^3). Source: Sub-JEPA, arXiv 2605.09241, as its code has it; ``scaled`` is
    ours, and so is the partition (docs/effective_dimension.md, 2).

    Examples
    --------
    The rows of a partition are an orthonormal basis of the whole space.

    >>> subspaces = make_subspaces(12, 3, "partition", generator=torch.Generator().manual_seed(0))
    >>> basis = subspaces.reshape(12, 12)
    >>> subspaces.shape, torch.allclose(basis @ basis.T, torch.eye(12), atol=1e-5)
    (torch.Size([3, 4, 12]), True)
    """
    check_count("dim", dim)
    check_count("n_subspaces", n_subspaces)
    check_choice("kind", kind, SUBSPACE_KINDS)
    require_free((dim,), 1, dtype, generator.device, "a row of the subspaces", "dim")
    if subspace_dim is None:
        if dim % n_subspaces:
            divisors = ", ".join(str(k) for k in range(1, dim + 1) if dim % k == 0)
            raise InputError(
                f"n_subspaces is {n_subspaces}, which does not divide dim {dim}, expected one of {divisors}: "
                "choose one of these or pass subspace_dim"
            )
        subspace_dim = dim // n_subspaces
    if kind in ("orthogonal", "partition"):
        check_count("subspace_dim", subspace_dim, 1, dim, f"orthonormal rows in {dim} dimensions")
    else:
        check_count("subspace_dim", subspace_dim)
    if kind == "partition" and n_subspaces * subspace_dim != dim:
        raise InputError(
            f"a partition of {dim} dimensions got {n_subspaces} subspaces of dimension {subspace_dim}, expected them to add "
            "up: leave out subspace_dim"
        )
    n_draws, n_columns = (1, dim) if kind == "partition" else (n_subspaces, subspace_dim)
    require_free((n_draws, dim, n_columns), 3, dtype, generator.device, "the table of subspaces", "dim or n_subspaces")
    drawn = torch.randn(n_draws, dim, n_columns, generator=generator, device=generator.device, dtype=dtype)
    if kind in ("orthogonal", "partition"):
        drawn = torch.linalg.qr(drawn).Q
    elif kind == "scaled":
        drawn = drawn / dim**0.5
    return drawn.mT.reshape(n_subspaces, subspace_dim, dim).contiguous()


@checked()
def project(values: Tensor, subspaces: Tensor) -> Tensor:
    """Coordinates of an embedding in each subspace, W_j z.

    Parameters
    ----------
    values : Tensor (..., N, D)
    subspaces : Tensor (..., K, d_s, D)
        See :func:`make_subspaces`; leading axes, if any, broadcast against those of ``values``.

    Returns
    -------
    Tensor (..., K, N, d_s)

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(N D K d_s), one matrix product. Source: Sub-JEPA, arXiv 2605.09241.

    Examples
    --------
    >>> project(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.eye(4).reshape(2, 2, 4)).tolist()
    [[[1.0, 2.0]], [[3.0, 4.0]]]
    """
    check_samples("values", values)
    _check_subspaces(subspaces, values.shape[-1])
    values, subspaces = at_least_float32(values), at_least_float32(subspaces)
    check_tensor("subspaces", subspaces, "... K d_s D", like=values)
    with without_autocast(values):
        views = values @ subspaces.flatten(-3, -2).mT
    return views.unflatten(-1, subspaces.shape[-3:-1]).transpose(-3, -2)


@checked()
def orthogonality_penalty(subspaces: Tensor) -> Tensor:
    """Mean over the subspaces of the Frobenius norm ||W_j W_j^T - I||, for trainable subspaces.

    Parameters
    ----------
    subspaces : Tensor (..., K, d_s, D)
        See :func:`make_subspaces`.

    Returns
    -------
    Tensor (...)
        0 iff all rows are orthonormal.

    Raises
    ------
    InputError
        A tensor with fewer than 3 axes.

    Notes
    -----
    O(K d_s^2 D). The norm, not its square. Source: Sub-JEPA, arXiv 2605.09241, as its code has it.

    Examples
    --------
    Orthonormal rows and rows twice as long: the mean of 0 and ||3 I||_F = 3 sqrt(2).

    >>> orthogonality_penalty(torch.stack([torch.eye(2, 3), 2 * torch.eye(2, 3)])).round(decimals=4)
    tensor(2.1213)
    """
    _check_subspaces(subspaces, subspaces.shape[-1] if subspaces.ndim else 0)
    subspaces = at_least_float32(subspaces)
    with without_autocast(subspaces):
        gram = subspaces @ subspaces.mT
    return torch.linalg.matrix_norm(gram - identity_like(gram)).mean(-1)


@checked()
def subspace_sigreg(
    values: Tensor,
    subspaces: Tensor,
    directions: Tensor,
    weight: Tensor | None = None,
    *,
    factor: float | None = None,
    n_knots: int = 17,
    t_max: float = 3.0,
    group: torch.distributed.ProcessGroup | None = None,
) -> Tensor:
    """Mean over the subspaces of SIGReg of the embedding seen in each (Sub-JEPA's regulariser).

    Parameters
    ----------
    values : Tensor (..., N, D)
        The embedding.
    subspaces : Tensor (K, d_s, D) or (..., K, d_s, D)
    directions : Tensor (K, d_s, M) or (..., K, d_s, M)
        Unit columns, each subspace its own: ``random_directions`` of dimension d_s for each of them.
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor; a constant.
    factor, n_knots, t_max, group
        As in :func:`spectral_jepa.losses.sigreg`.

    Returns
    -------
    Tensor (...)

    Raises
    ------
    InputError
        Shapes that do not match, or more slices than memory allows.

    Notes
    -----
    O(K N M (d_s + n_knots)) time, O(K N M) memory. With K = 1 and the identity it is SIGReg. Source: Sub-JEPA, arXiv
    2605.09241, as its code has it.

    Examples
    --------
    A normal batch, and a collapsed one: .402 N as in one space.

    >>> from spectral_jepa.losses import random_directions
    >>> generator = torch.Generator().manual_seed(0)
    >>> subspaces = make_subspaces(8, 2, generator=generator)
    >>> directions = torch.stack([random_directions(4, 64, generator=generator) for _ in range(2)])
    >>> batch = torch.randn(512, 8, generator=generator)
    >>> bool(0.5 < subspace_sigreg(batch, subspaces, directions) < 2)
    True
    >>> subspace_sigreg(torch.zeros(128, 8), subspaces, directions)
    tensor(51.46...)
    """
    check_samples("values", values, weight)
    views = project(values, subspaces)
    if directions.ndim < 3 or directions.shape[-3:-1] != subspaces.shape[-3:-1]:
        raise InputError(
            f"directions has shape {tuple(directions.shape)}, expected (..., {subspaces.shape[-3]}, "
            f"{subspaces.shape[-2]}, M): unit columns for each subspace"
        )
    seen = None if weight is None else weight.unsqueeze(-2)
    return sigreg(views, directions, seen, factor=factor, n_knots=n_knots, t_max=t_max, group=group).mean(-1)


@checked()
def subspace_whitening_penalty(
    values: Tensor, subspaces: Tensor, weight: Tensor | None = None, *, centered: bool = True
) -> Tensor:
    """Sum over the subspaces of the whitening penalty in each, sum_j ||W_j C W_j^T - I||_F^2 (+ ||W_j E z||^2 if centred).

    Parameters
    ----------
    values : Tensor (..., N, D)
    subspaces : Tensor (K, d_s, D) or (..., K, d_s, D)
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor. Default: equal weights.
    centered : bool
        C is the covariance, and the mean is asked to vanish; otherwise C = E z z^T alone.

    Returns
    -------
    Tensor (...)

    Raises
    ------
    InputError
        Shapes that do not match.

    Notes
    -----
    O(N D^2 + K d_s D^2). It is zero iff every view is white (and of mean 0 when centred), the constraint of docs/theory.md,
    section 5. A sum, not a mean: a prediction loss summed over D is then, for a partition, the sum of K separate problems,
    block j with its own d_s coordinates, prediction error and whitening penalty at one and the same strength, so what
    theory.md, 2.6, says of one embedding holds in every block; a mean would divide the strength by K. K = 1 with an
    orthogonal W is :func:`spectral_jepa.losses.whitening_penalty`.

    Examples
    --------
    A collapsed embedding misses d_s unit variances in each of K subspaces.

    >>> subspace_whitening_penalty(torch.zeros(5, 4), torch.eye(4).reshape(2, 2, 4))
    tensor(4.)
    """
    check_samples("values", values, weight)
    _check_subspaces(subspaces, values.shape[-1])
    values, subspaces = at_least_float32(values), at_least_float32(subspaces)
    check_tensor("subspaces", subspaces, "... K d_s D", like=values)
    with without_autocast(values):
        moment = second_moment(values, weight, centered=centered).unsqueeze(-3)
        views = subspaces @ moment @ subspaces.mT
        penalty = (views - identity_like(views)).square().sum((-3, -2, -1))
        if centered:
            mean = weighted_mean(values, weight, -2)[..., None, :, None]
            penalty = penalty + (subspaces @ mean).square().sum((-3, -2, -1))
    return penalty


def _check_subspaces(subspaces: Tensor, dim: int) -> None:
    if subspaces.ndim < 3 or subspaces.shape[-1] != dim or not subspaces.is_floating_point() or not subspaces.numel():
        raise InputError(
            f"subspaces has shape {tuple(subspaces.shape)} and type {subspaces.dtype}, expected floats "
            f"(..., K, d_s, {dim}): one matrix a subspace, "
            "see make_subspaces"
        )
