"""What learns in a training run: model, objective and optimiser, one step at a time."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from spectral_jepa._streams import stream_seed
from spectral_jepa.pixels.config import PixelConfig
from spectral_jepa.pixels.model.frozen import require_compiler
from spectral_jepa.pixels.model.saved import make_model
from spectral_jepa.pixels.training.cloning import CloningObjective
from spectral_jepa.pixels.training.objective import Objective
from spectral_jepa.pixels.training.parallel import Worker, join_batch_norms
from spectral_jepa.training import learning_rate

DROPOUT, SLICES, VALIDATION = 0, 1, 2


class Learner:
    """A model under its objective and AdamW, with weight decay on all parameters.

    Everything random in step n (dropout's masks, SIGReg's slices) is drawn from streams seeded by (seed, n), so no generator
    has a state worth saving: a step is a function of parameters, optimiser, batch and n.

    Parameters
    ----------
    config : PixelConfig
    n_steps : int
        Length of the run; the learning rate depends on it.
    worker : Worker
        Dropout's masks differ between processes, slices do not.

    Notes
    -----
    :meth:`update` reseeds torch's global streams, which dropout reads: call it inside ``torch.random.fork_rng``.
    """

    def __init__(self, config: PixelConfig, n_steps: int, worker: Worker) -> None:
        self.settings, self.n_steps, self.worker = config.training, n_steps, worker
        self.dtype = torch.float64 if self.settings.precision == "float64" else torch.float32
        self.model = make_model(config)
        self.objective: nn.Module = CloningObjective()
        if config.kind == "world_model":
            block_dim = config.model.action_block * config.model.action_dim
            dim, size = config.model.embedding_dim, config.model.image_size
            self.objective = Objective(config.objective, dim, self.settings.seed, block_dim, size)
        if worker.group is not None:
            join_batch_norms(self.model, worker.group)
        self._batch_loss: nn.Module = _BatchLoss(self.model, self.objective, worker.group).to(worker.device, self.dtype)
        self.parameters = list(self._batch_loss.parameters())
        fused = worker.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.AdamW(self.parameters, lr=0.0, weight_decay=self.settings.weight_decay, fused=fused)
        self.generator = torch.Generator(worker.device)
        if self.settings.compile:
            require_compiler("training.compile")
            for part in (self.model.encoder, getattr(self.model, "predictor", None)):
                if part is not None:
                    part.compile()
        if worker.group is not None:
            index = [worker.device.index] if worker.device.type == "cuda" else None
            # The joint BatchNorm keeps buffers equal without help; newer versions of torch renamed the option.
            names = inspect.signature(DistributedDataParallel).parameters
            option = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
            self._batch_loss = DistributedDataParallel(self._batch_loss, index, **{option: False})  # type: ignore[arg-type]

    def update(self, step: int, frames: Tensor, blocks: Tensor) -> dict[str, Tensor]:
        """Take one optimiser step on a batch of clips.

        Parameters
        ----------
        step : int
            Steps taken before.
        frames : uint8 Tensor (B, T, H, W, 3), or RepeatedPictures
        blocks : Tensor (B, T, block_dim)

        Returns
        -------
        dict of Tensor ()
            The objective's parts and ``gradient_norm`` before clipping, detached, still on the device.
        """
        dropout = stream_seed(self.settings.seed, DROPOUT, step, self.worker.rank)
        torch.default_generator.manual_seed(dropout)
        if self.worker.device.type == "cuda":
            torch.cuda.manual_seed(dropout)
        self.generator.manual_seed(stream_seed(self.settings.seed, SLICES, step))
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            losses = self._batch_loss(frames, blocks.to(self.dtype), self.generator)
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.n_steps, self.settings.learning_rate, self.settings.warmup)
        self.optimizer.step()
        return {name: value.detach() for name, value in losses.items()} | {"gradient_norm": norm}

    @torch.no_grad()
    def validate(self, frames: Tensor, blocks: Tensor) -> dict[str, float]:
        """Evaluate the objective on held-out clips in evaluation mode: no dropout, BatchNorm's running statistics.

        Parameters
        ----------
        frames : uint8 Tensor (B, T, H, W, 3)
        blocks : Tensor (B, T, block_dim)

        Returns
        -------
        dict of float
            ``validation_prediction``, and of a world model also the ``effective_rank`` and ``whitening_gap`` of the
            embeddings of all frames.
        """
        self.generator.manual_seed(stream_seed(self.settings.seed, VALIDATION))
        self.model.eval()
        with self._autocast():
            parts = self.objective(self.model, frames, blocks.to(self.dtype), self.generator)
        self.model.train()
        names = {"prediction": "validation_prediction"} | {name: name for name in ("effective_rank", "whitening_gap")}
        return {shown: float(parts[name]) for name, shown in names.items() if name in parts}

    def state_dict(self) -> dict[str, Any]:
        """Parameters, buffers and the optimiser's moments."""
        return {name: getattr(self, name).state_dict() for name in ("model", "objective", "optimizer")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over :meth:`state_dict`'s value."""
        for name in ("model", "objective", "optimizer"):
            getattr(self, name).load_state_dict(state[name])

    def _autocast(self) -> torch.autocast:
        kind = self.worker.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda" and self.settings.precision == "bf16")


class _BatchLoss(nn.Module):
    """Loss of a batch as one module, because DistributedDataParallel wraps a forward pass."""

    def __init__(self, model: nn.Module, objective: nn.Module, group: dist.ProcessGroup | None) -> None:
        super().__init__()
        self.model, self.objective, self.group = model, objective, group

    def forward(self, frames: Tensor, blocks: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return self.objective(self.model, frames, blocks, generator, group=self.group, diagnostics=False)
