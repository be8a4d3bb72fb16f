"""Averages over samples, weighted or not, and the checks and precision that all losses share."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from spectral_jepa._validation import InputError


def weighted_mean(values: Tensor, weight: Tensor | None, axis: int) -> Tensor:
    """Average along one axis; ``weight`` (..., N) is divided by its sum, None means equal weights."""
    if weight is None:
        return values.mean(axis)
    share = shares(weight).to(values.dtype)
    # (..., N, D) along N: a weight with leading axes must not meet D.
    return (values * share).sum(-1) if axis == -1 else (values * share.unsqueeze(-1)).sum(-2)


def shares(weight: Tensor) -> Tensor:
    """A law over the samples: the weight divided by its sum."""
    return weight / weight.sum(-1, keepdim=True)


def check_samples(name: str, values: Tensor, weight: Tensor | None = None) -> None:
    """Check that a tensor is (..., N, D) of floats and that the weight has one entry a sample."""
    if values.ndim < 2 or not values.is_floating_point() or not values.shape[-2]:
        raise InputError(
            f"{name} has shape {tuple(values.shape)} and type {values.dtype}, expected floats (..., N, D): "
            "put samples on the last axis but one"
        )
    if weight is not None:
        if weight.ndim < 1 or weight.shape[-1] != values.shape[-2]:
            raise InputError(
                f"weight has shape {tuple(weight.shape)}, expected (..., {values.shape[-2]}): one entry a sample of {name}"
            )
        check_law("weight", weight, values, 1)


def check_law(name: str, law: Tensor, values: Tensor, n_axes: int) -> None:
    """Check that a law up to a factor is real, on the device of the values, nowhere negative and not zero altogether."""
    if law.is_complex() or law.device != values.device:
        raise InputError(f"{name} is {law.dtype} on {law.device}, expected real numbers on {values.device}: convert it")
    low, high = (float(bound) for bound in law.detach().aminmax())
    # NaN is not >= 0 either.
    if not (low >= 0 and high < float("inf") and float(law.detach().sum(tuple(range(-n_axes, 0))).min()) > 0):
        raise InputError(
            f"{name} holds masses from {low:.4g} to {high:.4g}, expected finite ones >= 0, not "
            "all of them 0: pass a law, or counts"
        )


def check_pairs(predicted: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
    """Check that there is one target (..., N, D) for each prediction (..., N, D)."""
    check_samples("predicted", predicted, weight)
    check_samples("target", target)
    if predicted.shape[-2:] != target.shape[-2:]:
        raise InputError(
            f"target has shape {tuple(target.shape)}, expected the last two axes of predicted, {tuple(predicted.shape)}: "
            "one target a prediction"
        )


def identity_like(matrix: Tensor) -> Tensor:
    """The identity of the size, type and device of a square matrix."""
    return torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision becomes float32: a mean of many terms, or a difference of near-equal ones, does not survive in it."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def without_autocast(values: Tensor) -> AbstractContextManager[None]:
    """Matrix products inside keep the type of their operands, whatever the caller's autocast asks for."""
    return torch.autocast(device_type=values.device.type, enabled=False)
