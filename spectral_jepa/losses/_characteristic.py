"""Characteristic functions of many one-dimensional samples, without a table over samples, views and knots.

The knots are equally spaced, so exp(i t_j h) are the powers of exp(i t_1 h): one cosine and one sine a view instead of one
a knot. Forward, one running power is held and summed over the samples at each knot; backward, the gradient is a polynomial
in exp(i t_1 h), evaluated by Horner's rule. Both round to a few units in the last place after 16 products (a recurrence in
the cosine alone, as for Chebyshev polynomials, loses a digit more near 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.autograd.function import once_differentiable


def characteristic_function(views: Tensor, share: Tensor | None, step: float, n_knots: int) -> Tensor:
    """E cos(j step h) and E sin(j step h) for j < n_knots, (2, ..., n_knots, M), of views h (..., N, M).

    ``share`` (..., N) is the law of the samples, a constant; None means equal shares.
    """
    if share is not None:
        leading = torch.broadcast_shapes(views.shape[:-2], share.shape[:-1])
        views = views.expand(*leading, *views.shape[-2:])
        share = share.detach().to(views.dtype).expand(*leading, views.shape[-2]).reshape(-1, views.shape[-2])
    parts = _Characteristic.apply(views.reshape(-1, *views.shape[-2:]), share, step, n_knots)
    return parts.unflatten(1, views.shape[:-2]) if views.ndim != 2 else parts.squeeze(1)


def mean_over_ranks(values: Tensor, group: torch.distributed.ProcessGroup) -> Tensor:
    """Average of a tensor over the processes of a group; the gradient passes through unchanged."""
    return _MeanOverRanks.apply(values, group)


class _Characteristic(torch.autograd.Function):
    """Views (L, N, M) to (2, L, n_knots, M)."""

    @staticmethod
    def forward(ctx: Any, views: Tensor, share: Tensor | None, step: float, n_knots: int) -> Tensor:
        ctx.save_for_backward(views, share)
        ctx.step = step
        runs, n_samples, n_views = views.shape
        sums = torch.ones(runs, n_knots, n_views, dtype=views.dtype.to_complex(), device=views.device)
        for run, column in _pieces(views):
            base = _rotation(views[run, :, column], step)
            power = base / n_samples if share is None else base * share[run].unsqueeze(-1)
            into = sums[run, :, column]
            for knot in range(1, n_knots):
                into[:, knot] = power.sum(-2)
                if knot < n_knots - 1:
                    power.mul_(base)
        return torch.view_as_real(sums).movedim(-1, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        views, share = ctx.saved_tensors
        n_knots = gradient.shape[-2]
        knots = torch.arange(n_knots, dtype=views.dtype, device=views.device).mul_(ctx.step).unsqueeze(-1)
        # d/dh (a cos th + b sin th) = Re (t (b + i a) exp(i t h)).
        coefficients = torch.complex(gradient[1] * knots, gradient[0] * knots).unsqueeze(-3)
        result = torch.empty_like(views)
        for run, column in _pieces(views):
            base = _rotation(views[run, :, column], ctx.step)
            terms = coefficients[run, :, :, column]
            total = base * terms[..., -1, :]
            for knot in range(n_knots - 2, 0, -1):
                total.add_(terms[..., knot, :]).mul_(base)
            result[run, :, column] = total.real
        return (result.div_(views.shape[-2]) if share is None else result.mul_(share.unsqueeze(-1))), None, None, None


class _MeanOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: torch.distributed.ProcessGroup) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total, group=group)
        return total / torch.distributed.get_world_size(group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # The loss is the same on all ranks, and DDP divides the sum of their gradients by their number, as the mean does.
        return gradient, None


def _rotation(views: Tensor, step: float) -> Tensor:
    angles = views * step
    return torch.complex(angles.cos(), angles.sin())


def _pieces(views: Tensor) -> Iterator[tuple[slice, slice]]:
    """Cut (L, N, M) into pieces that stay in a core's cache on a CPU, and bound the temporary memory elsewhere."""
    runs, n_samples, n_views = views.shape
    limit = 2**16 * torch.get_num_threads() if views.device.type == "cpu" else 2**24
    width = min(n_views, max(1, limit // n_samples))
    height = max(1, limit // (n_samples * width)) if width == n_views else 1
    for run in range(0, runs, height):
        for column in range(0, n_views, width):
            yield slice(run, run + height), slice(column, column + width)
