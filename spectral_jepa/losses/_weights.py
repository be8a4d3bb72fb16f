"""Averages over samples, weighted or not."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_jepa._validation import InputError


def weighted_mean(values: Tensor, weight: Tensor | None, axis: int) -> Tensor:
    """Average along one axis; ``weight`` (..., N) is divided by its sum, None means equal weights."""
    if weight is None:
        return values.mean(axis)
    values = values.movedim(axis, -1)
    return (values * (weight / weight.sum(-1, keepdim=True))).sum(-1)


def check_samples(name: str, values: Tensor, weight: Tensor | None = None) -> None:
    """Check that a tensor is (..., N, D) of floats and that the weight has one entry a sample."""
    if values.ndim < 2 or not values.is_floating_point():
        raise InputError(
            f"{name} has shape {tuple(values.shape)} and type {values.dtype}, expected floats (..., N, D): "
            "put samples on the last axis but one"
        )
    if weight is not None and (weight.ndim < 1 or weight.shape[-1] != values.shape[-2]):
        raise InputError(
            f"weight has shape {tuple(weight.shape)}, expected (..., {values.shape[-2]}): one entry a sample of {name}"
        )


def identity_like(matrix: Tensor) -> Tensor:
    """The identity of the size, type and device of a square matrix."""
    return torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
