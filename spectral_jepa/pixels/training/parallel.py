"""Data-parallel training under torchrun: who this process is, and BatchNorm over the joint batch.

In the released code of LeWM (arXiv 2603.19312) SIGReg sees one GPU's part of the batch. Here SIGReg and BatchNorm see the
joint batch.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from spectral_jepa.pixels.model.frozen import usable_device


@dataclass(frozen=True)
class Worker:
    """This process among those of a run.

    Parameters
    ----------
    rank : int
        Its number, from 0.
    size : int
        How many processes there are.
    device : torch.device
        Where it computes.
    group : torch.distributed.ProcessGroup, optional
        All processes of the run. Default: it is alone.
    """

    rank: int
    size: int
    device: torch.device
    group: dist.ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0

    def average(self, numbers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Means over all processes, whose parts of the joint batch are equal: what is logged concerns that batch.

        Parameters
        ----------
        numbers : dict of Tensor ()
            The same names in every process, each of which must call.

        Returns
        -------
        dict of Tensor ()
        """
        if self.group is None:
            return dict(numbers)
        joint = torch.stack([value.double() for value in numbers.values()]).to(self.device)
        dist.all_reduce(joint, group=self.group)
        return dict(zip(numbers, joint / self.size, strict=True))


def join_workers(device: str | torch.device | None = None) -> Worker:
    """Join the processes that torchrun started (it sets RANK, WORLD_SIZE and LOCAL_RANK), or work alone.

    Parameters
    ----------
    device : str or torch.device, optional
        Default: a GPU where there is one; under torchrun the one numbered LOCAL_RANK.

    Returns
    -------
    Worker
        Talking over nccl on GPUs and gloo on CPUs. The group stays open until the process ends, for the next run.

    Raises
    ------
    InputError
        A device that torch does not know or does not have.

    Examples
    --------
    >>> worker = join_workers("cpu")
    >>> worker.rank, worker.size, worker.leads
    (0, 1, True)
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if size > 1 and str(device) == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    chosen = usable_device(device)
    if chosen.type == "cuda":
        chosen = torch.device("cuda", chosen.index or 0)
        torch.cuda.set_device(chosen)
    if size == 1:
        return Worker(0, 1, chosen)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        atexit.register(_leave_workers)
    return Worker(dist.get_rank(), dist.get_world_size(), chosen, dist.group.WORLD)


def _leave_workers() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


class JointBatchNorm(nn.Module):
    """BatchNorm over the joint batch of equal parts, on any device (torch's SyncBatchNorm wants a GPU).

    Takes over the parameters and buffers of a ``BatchNorm1d`` or ``BatchNorm2d`` under the same names, so that state dicts
    fit both.

    Parameters
    ----------
    norm : BatchNorm1d or BatchNorm2d
        With parameters and running statistics. A momentum of None, torch's plain average, becomes .1.
    group : torch.distributed.ProcessGroup
        The processes that hold the parts.

    Notes
    -----
    One all-gather of 2 C numbers forward, one all-reduce backward. Means and variances of the parts are joined by
    var = E var_r + var(mean_r), which does not cancel.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, group: dist.ProcessGroup) -> None:
        super().__init__()
        self.weight, self.bias, self.eps, self.group = norm.weight, norm.bias, norm.eps, group
        self.momentum = 0.1 if norm.momentum is None else norm.momentum
        for name, value in norm.named_buffers():
            self.register_buffer(name, value)

    def forward(self, values: Tensor) -> Tensor:
        """Normalise (N, C) or (N, C, H, W) over all axes but C."""
        axes = [axis for axis in range(values.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(values.ndim)]
        precise = values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
        mean, variance = self.running_mean, self.running_var
        if self.training:
            parts = torch.stack([precise.mean(axes), precise.var(axes, correction=0)])
            gathered = _GatherOverRanks.apply(parts, self.group)
            mean = gathered[:, 0].mean(0)
            variance = gathered[:, 1].mean(0) + (gathered[:, 0] - mean).square().mean(0)
            with torch.no_grad():
                count = len(gathered) * values.numel() / values.shape[1]
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
                self.num_batches_tracked += 1
        scale = self.weight / (variance + self.eps).sqrt()
        output = (precise - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)
        return output.to(values.dtype)


def join_batch_norms(model: nn.Module, group: dist.ProcessGroup) -> None:
    """Put a :class:`JointBatchNorm` in the place of every BatchNorm of a model.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place; its state dict keeps its names.
    group : torch.distributed.ProcessGroup
        See :class:`JointBatchNorm`.

    Notes
    -----
    The new ones are in training mode, whatever the old ones were in.

    Examples
    --------
    In evaluation mode no other process is asked, so that one will do: the model computes what it did.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
    >>> values, names = torch.ones(4, 2), sorted(model.state_dict())
    >>> before = model(values)
    >>> join_batch_norms(model, None)
    >>> _ = model.eval()
    >>> type(model[1]).__name__, torch.allclose(model(values), before, atol=1e-6), sorted(model.state_dict()) == names
    ('JointBatchNorm', True, True)
    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, name, JointBatchNorm(child, group))


class _GatherOverRanks(torch.autograd.Function):
    """(...) on each process to (R, ...) on all; the gradient of each part is the sum of what all processes ask of it."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        parts = [torch.empty_like(part) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, part.contiguous(), group=group)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total[dist.get_rank(ctx.group)], None
