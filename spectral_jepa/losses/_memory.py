"""How much memory a device has free, asked only where a tensor is large enough to matter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from spectral_jepa._validation import free_memory, refuse_memory, shown_shape

WORTH_ASKING = 2**28


def free_bytes(device: torch.device) -> int:
    """Memory that a new tensor on this device could take, with what torch holds in reserve."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_memory()


def require_free(shape: Sequence[int], copies: int, dtype: torch.dtype, device: torch.device, what: str, lower: str) -> None:
    """Refuse tensors that would not fit in the memory that is free now; the message says how many GiB they need.

    Raises
    ------
    InputError
        Needed and free memory, and what to lower.
    """
    needed = copies * dtype.itemsize * math.prod(shape)
    if needed < WORTH_ASKING:
        return
    refuse_memory(needed, free_bytes(device), f"{what}, {shown_shape(shape)} on {device},", f"lower {lower}")
