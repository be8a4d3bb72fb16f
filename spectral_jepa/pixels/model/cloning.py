"""A cloned policy with a goal: what the world models are compared with.

It learns under :class:`spectral_jepa.pixels.training.cloning.CloningObjective`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spectral_jepa._shapes import Float
from spectral_jepa._streams import seeded_weights
from spectral_jepa._validation import check_count
from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.model.encoder import Normalize, make_encoder
from spectral_jepa.pixels.model.world_model import Projector


class GoalConditionedPolicy(nn.Module):
    """Current and goal picture to the next action blocks, by the encoder and projector of a world model and an MLP.

    Parameters
    ----------
    config : ModelConfig
        Encoder, projector, ``predictor_hidden`` (width of the MLP) and actions are read.
    seed : int
        Draws the initial weights, on the CPU and without touching torch's global stream.
    n_blocks : int
        Action blocks given at a time.

    Raises
    ------
    InputError
        A count below 1.

    Notes
    -----
    The published baseline (GCBC in LeWM, arXiv 2603.19312) reads frozen DINOv2 patches; here the encoder is trained with the
    policy, from the same pictures as the world model's.

    Examples
    --------
    >>> from spectral_jepa.pixels.presets import preset
    >>> policy = GoalConditionedPolicy(preset("tiny").model).eval()
    >>> frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    >>> policy.act(frames, frames).shape
    torch.Size([4, 1, 10])
    """

    def __init__(self, config: ModelConfig, seed: int = 0, n_blocks: int = 1) -> None:
        super().__init__()
        self.config, self.n_blocks = config, check_count("n_blocks", n_blocks)
        self.block_dim = config.action_block * config.action_dim
        dim, hidden = config.embedding_dim, check_count("predictor_hidden", config.predictor_hidden)
        with seeded_weights(seed):
            self.normalize = Normalize(config.image_size)
            self.encoder = make_encoder(config)
            self.projector = Projector(self.encoder.width, config.projector_width, dim)
            self.head = nn.Sequential(
                nn.Linear(2 * dim, hidden),
                nn.GELU(),
                nn.Linear(hidden, hidden),
                nn.GELU(),
                nn.Linear(hidden, n_blocks * self.block_dim),
            )

    def encode(self, frames: Tensor) -> Float[Tensor, "... D"]:
        """Embed pictures, as :meth:`spectral_jepa.pixels.model.world_model.WorldModel.encode` does."""
        return self.projector(self.encoder(self.normalize(frames))).reshape(*frames.shape[:-3], -1)

    def forward(self, latents: Float[Tensor, "*B D"], goals: Float[Tensor, "*B D"]) -> Float[Tensor, "*B n A"]:
        """Action blocks from embeddings.

        Parameters
        ----------
        latents, goals : Tensor (..., D)
            Of the current and of the goal picture.

        Returns
        -------
        Tensor (..., n_blocks, block_dim)
            Scaled.
        """
        return self.head(torch.cat([latents, goals], -1)).unflatten(-1, (self.n_blocks, self.block_dim))

    def act(self, frames: Tensor, goal_frames: Tensor) -> Float[Tensor, "B n A"]:
        """Action blocks from pictures.

        Parameters
        ----------
        frames, goal_frames : Tensor (B, 3, S, S) or (B, S, S, 3)
            As :meth:`encode` takes them.

        Returns
        -------
        Tensor (B, n_blocks, block_dim)
            Scaled.
        """
        return self(self.encode(frames), self.encode(goal_frames))
