"""Training loss of a cloned policy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.model.cloning import GoalConditionedPolicy


class CloningObjective(nn.Module):
    """Mean squared error of a cloned policy's actions, with goals drawn from later in the same clip.

    Parameters
    ----------
    *args, **kwargs
        None: the loss has no settings.

    Notes
    -----
    For every frame t that has a later one and ``n_blocks`` action blocks after it, one goal is drawn uniformly from the
    clip's later frames. So goals lie at most T - 1 blocks ahead: to be asked for goals 25 raw steps ahead, train on clips of
    6 frames 5 steps apart (``history`` 5 in the trainer's settings; the policy itself has no history). Source: the baseline
    GCBC of LeWM (arXiv 2603.19312), whose encoder is frozen.

    Examples
    --------
    >>> from spectral_jepa.pixels.presets import preset
    >>> policy = GoalConditionedPolicy(preset("tiny").model)
    >>> frames, blocks = torch.zeros(8, 6, 32, 32, 3, dtype=torch.uint8), torch.ones(8, 6, 10)
    >>> sorted(CloningObjective()(policy, frames, blocks, torch.Generator().manual_seed(0)))
    ['loss', 'prediction', 'regularizer']
    """

    def forward(
        self,
        model: GoalConditionedPolicy,
        frames: Tensor,
        blocks: Float[Tensor, "B T A"],
        generator: torch.Generator,
        group: torch.distributed.ProcessGroup | None = None,
        diagnostics: bool = True,
    ) -> dict[str, Float[Tensor, ""]]:
        """Evaluate one batch of clips.

        Parameters
        ----------
        model : GoalConditionedPolicy
        frames : Tensor (B, T, ...)
        blocks : Tensor (B, T, block_dim)
            Scaled actions; ``blocks[:, t]`` begins at frame t.
        generator : torch.Generator
            Draws the goals.
        group, diagnostics
            Not used: the loss is a mean over clips, and there is nothing else to report.

        Returns
        -------
        dict of str to Tensor ()
            ``loss``, the same detached as ``prediction``, and ``regularizer``, 0.

        Raises
        ------
        InputError
            Clips of one frame, or shorter than the blocks asked for; blocks that do not match.

        Notes
        -----
        Each picture is encoded once.
        """
        n_clips, n_frames = frames.shape[:2]
        if n_frames < max(2, model.n_blocks) or blocks.shape[:2] != frames.shape[:2]:
            raise InputError(
                f"frames has shape {tuple(frames.shape)} and blocks {tuple(blocks.shape)}, expected (B, T, ...) and "
                f"(B, T, block_dim) with T >= {max(2, model.n_blocks)}: give longer clips"
            )
        latents = model.encode(frames)
        n_starts = min(n_frames - 1, n_frames - model.n_blocks + 1)
        start = torch.arange(n_starts, device=latents.device)
        uniform = torch.rand(n_clips, n_starts, generator=generator, device=generator.device).to(latents.device)
        goal = start + 1 + (uniform * (n_frames - 1 - start)).long().clamp(max=n_frames - 2 - start)
        goals = latents.gather(1, goal.unsqueeze(-1).expand(-1, -1, latents.shape[-1]))
        wanted = blocks.unfold(1, model.n_blocks, 1)[:, :n_starts].movedim(-1, -2)
        loss = F.mse_loss(model(latents[:, :n_starts], goals).to(wanted.dtype), wanted)
        return {"loss": loss, "prediction": loss.detach(), "regularizer": torch.zeros_like(loss)}
