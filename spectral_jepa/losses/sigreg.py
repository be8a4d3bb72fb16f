"""SIGReg: how far random one-dimensional views of an embedding are from a standard normal law.

Each view is scored by the Epps-Pulley statistic

    T = factor * integral_{-t_max}^{t_max} exp(-t^2 / 2) |phi(t) - exp(-t^2 / 2)|^2 dt,   phi(t) = E exp(i t h),

with the integral as a trapezoid rule on ``n_knots`` points of [0, t_max], doubled because the integrand is even, and
SIGReg is the mean of T over the views. The published settings are 1024 views, 17 knots, t_max 3 and factor = N, the number
of samples (LeWM, arXiv 2603.19312, as its code has it). With that factor the value for N standard normal samples is about
1.052 at any N, and for N equal samples at 0 it is .402 N, 51.46 at N = 128. The factor makes a published regularisation
strength mean something only together with the batch size: pass ``factor=1`` for a strength that does not depend on it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_count, check_nonnegative, check_tensor
from spectral_jepa.losses._characteristic import characteristic_function, mean_over_ranks
from spectral_jepa.losses._memory import require_free
from spectral_jepa.losses._weights import at_least_float32, check_samples, shares, without_autocast

# Far beyond the last knot that weighs anything; exp(-t^2 / 2) of it is still a number.
LARGEST_T = 1e3


@checked()
def random_directions(
    dim: int, n_directions: int = 1024, *, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Unit vectors drawn uniformly on the sphere, one a column.

    Parameters
    ----------
    dim : int
        D.
    n_directions : int
        M, the number of views.
    generator : torch.Generator
        Its device is the device of the result.
    dtype : torch.dtype

    Returns
    -------
    Tensor (D, M)

    Raises
    ------
    InputError
        A count below 1, or more directions than memory allows.

    Notes
    -----
    O(D M). Normalised normal vectors. Source: LeWM, arXiv 2603.19312, as its code has it.

    Examples
    --------
    >>> directions = random_directions(3, 5, generator=torch.Generator().manual_seed(0))
    >>> directions.shape, torch.allclose(directions.norm(dim=0), torch.ones(5))
    (torch.Size([3, 5]), True)
    """
    check_count("dim", dim)
    check_count("n_directions", n_directions)
    require_free((dim, n_directions), 2, dtype, generator.device, "the table of directions", "n_directions")
    drawn = torch.randn(dim, n_directions, generator=generator, device=generator.device, dtype=dtype)
    return drawn / drawn.norm(dim=0)


@checked()
def epps_pulley(
    views: Tensor,
    weight: Tensor | None = None,
    *,
    factor: float | None = None,
    n_knots: int = 17,
    t_max: float = 3.0,
    group: torch.distributed.ProcessGroup | None = None,
) -> Tensor:
    """Epps-Pulley distance of one-dimensional samples from the standard normal law.

    Parameters
    ----------
    views : Tensor (..., N, M)
        M views of N samples; each column is scored alone.
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor; a constant. Default: equal weights.
    factor : float, optional
        What the integral is multiplied by. Default: N, the published convention (N times the ranks of ``group``).
    n_knots : int
        Points of the trapezoid rule on [0, t_max].
    t_max : float
        End of the integral.
    group : torch.distributed.ProcessGroup, optional
        Score the joint batch of these processes: their characteristic functions are averaged, each process counting the
        same. The value is then the same on all of them, and its gradient such that the average of the processes' parameter
        gradients (what DistributedDataParallel forms) is that of one process on the joint batch.

    Returns
    -------
    Tensor (..., M)
        In float32 at least, also for views in half precision. Differentiable once, and not in the weight.

    Raises
    ------
    InputError
        Shapes that do not match, fewer than 2 knots, t_max not above 0.

    Notes
    -----
    O(N M n_knots) time, O(N M) memory. Source: the module's docstring.

    Examples
    --------
    All samples at 0, factor 1: close to the whole integral of exp(-t^2 / 2) (1 - exp(-t^2 / 2))^2, which is .409.

    >>> epps_pulley(torch.zeros(128, 1)), epps_pulley(torch.zeros(128, 1), factor=1, n_knots=500, t_max=9.0)
    (tensor([51.46...]), tensor([0.408...]))
    """
    check_samples("views", views, weight)
    check_count("n_knots", n_knots, 2)
    if not 0 < t_max <= LARGEST_T:
        raise InputError(f"t_max is {t_max}, expected a number above 0, at most {LARGEST_T:g}: the published one is 3")
    if factor is not None:
        check_nonnegative("factor", factor)
    size = (n_knots, *views.shape[:-2], views.shape[-1])
    require_free(size, 4, at_least_float32(views[:0]).dtype, views.device, "the characteristic function", "n_knots")
    views = at_least_float32(views)
    if factor is None:
        factor = float(views.shape[-2] * (1 if group is None else torch.distributed.get_world_size(group)))
    with without_autocast(views):
        share = None if weight is None else shares(weight)
        characteristic = characteristic_function(views, share, t_max / (n_knots - 1), n_knots)
        if group is not None:
            characteristic = mean_over_ranks(characteristic, group)
        knots = torch.linspace(0, t_max, n_knots, dtype=views.dtype, device=views.device)
        normal = torch.exp(-knots.square() / 2)
        quadrature = torch.full_like(knots, 2 * t_max / (n_knots - 1))
        quadrature[0] /= 2
        quadrature[-1] /= 2
        gaps = (characteristic[0] - normal.unsqueeze(-1)).square() + characteristic[1].square()
        return factor * ((quadrature * normal) @ gaps)


@checked()
def sigreg(
    values: Tensor,
    directions: Tensor,
    weight: Tensor | None = None,
    *,
    factor: float | None = None,
    n_knots: int = 17,
    t_max: float = 3.0,
    group: torch.distributed.ProcessGroup | None = None,
) -> Tensor:
    """Sketched isotropic Gaussian regulariser: mean Epps-Pulley distance over random views.

    Parameters
    ----------
    values : Tensor (..., N, D)
        The embedding.
    directions : Tensor (..., D, M)
        Unit columns, see :func:`random_directions`; fresh ones each step in training.
    weight : Tensor (..., N), optional
        Law of the samples, up to a factor: the exact law of a finite world, or None for a batch.
    factor : float, optional
        What the integral is multiplied by. Default: N, the published convention.
    n_knots, t_max, group
        As in :func:`epps_pulley`. With a group, all its processes must pass the same directions.

    Returns
    -------
    Tensor (...)

    Raises
    ------
    InputError
        Shapes that do not match, or more slices than memory allows.

    Notes
    -----
    O(N M (D + n_knots)) time, O(N M) memory. Over all directions and the whole line it is zero for the standard normal law
    alone, so for no finite one; a finite set of directions and knots can be met exactly by others. Source: the module's
    docstring; docs/theory.md, section 5.

    Examples
    --------
    A collapsed batch (.402 N, whatever the directions) and a normal one.

    >>> generator = torch.Generator().manual_seed(0)
    >>> sigreg(torch.zeros(128, 4), random_directions(4, 8, generator=generator))
    tensor(51.46...)
    >>> batch, directions = torch.randn(2048, 4, generator=generator), random_directions(4, 256, generator=generator)
    >>> bool(0.5 < sigreg(batch, directions) < 2)
    True
    """
    check_samples("values", values, weight)
    if directions.ndim < 2 or directions.shape[-2] != values.shape[-1]:
        raise InputError(
            f"directions has shape {tuple(directions.shape)}, expected (..., {values.shape[-1]}, M): unit columns"
        )
    values, directions = at_least_float32(values), at_least_float32(directions)
    check_tensor("directions", directions, "... D M", like=values)
    leading = torch.broadcast_shapes(values.shape[:-2], directions.shape[:-2])
    shape = (*leading, values.shape[-2], directions.shape[-1])
    what = "SIGReg's table of views with its gradient"
    require_free(shape, 2, values.dtype, values.device, what, "the number of slices, of subspaces or of samples")
    with without_autocast(values):
        views = values @ directions
    return epps_pulley(views, weight, factor=factor, n_knots=n_knots, t_max=t_max, group=group).mean(-1)
