"""A predictor of patch tokens with the shapes of DINO-WM (arXiv 2411.04983), for the cost of planning with it.

That depends on shapes only, so its random weights will do.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectral_jepa._streams import seeded_weights
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.model.encoder import Normalize, VisionTransformer
from spectral_jepa.pixels.model.predictor import FeedForward, Memory

PATCH_TOKENS = ModelConfig(encoder_width=384, encoder_heads=6, predictor_depth=6, predictor_heads=16, history=3)
"""Shapes of DINO-WM beside LeWM at 224 px: 256 tokens of width 384 a frame, 3 frames, depth 6, 16 x 64 heads, MLP 2048."""

ACTION_WIDTH = 10


class PatchTokenPredictor(nn.Module):
    """World model on all patch tokens of a frame, with the interface that planning needs.

    Parameters
    ----------
    config : ModelConfig
        ViT encoder, actions, and depth, heads and hidden width of the predictor. Default: :data:`PATCH_TOKENS`.
    seed : int
        Draws the weights, on the CPU and without touching torch's global stream.

    Raises
    ------
    InputError
        An encoder other than the ViT.

    Notes
    -----
    A latent holds the P patch tokens of the frozen encoder one after the other: D = P x encoder_width. Ten numbers read off
    the action block are appended to each token; the predictor is a pre-norm transformer of that width, in which a token
    attends to all tokens of its own and of earlier frames. At the default shape a frame costs about 10 GFLOP besides
    attention, and a rollout of 5 steps runs 9 frames: as in ``rollout`` of the world model, keys and values are kept while
    the context grows. They take 12 MiB a frame and sequence in float32: plan with a small ``chunk``.

    Examples
    --------
    >>> shape = replace(PATCH_TOKENS, image_size=28, encoder_width=12, encoder_depth=1, predictor_depth=1)
    >>> model = PatchTokenPredictor(shape).eval()
    >>> latents = model.encode(torch.zeros(2, 28, 28, 3, dtype=torch.uint8))
    >>> latents.shape, model.rollout(latents[:, None], torch.zeros(2, 5, 10)).shape
    (torch.Size([2, 48]), torch.Size([2, 5, 48]))
    """

    def __init__(self, config: ModelConfig = PATCH_TOKENS, seed: int = 0) -> None:
        super().__init__()
        if config.encoder != "vit":
            raise InputError(f"encoder is {config.encoder!r}, expected 'vit': only it has patch tokens")
        self.n_tokens, self.token_width = (config.image_size // config.patch_size) ** 2, config.encoder_width
        self.block_dim = config.action_block * config.action_dim
        width = self.token_width + ACTION_WIDTH
        self.config = replace(config, embedding_dim=self.n_tokens * self.token_width, predictor_width=width)
        with seeded_weights(seed):
            self.normalize = Normalize(config.image_size)
            self.encoder = VisionTransformer(config).requires_grad_(False)
            self.action_encoder = nn.Linear(self.block_dim, ACTION_WIDTH)
            self.position = nn.Parameter(torch.randn(config.history, self.n_tokens, width))
            self.blocks = nn.ModuleList(_TokenBlock(self.config) for _ in range(config.predictor_depth))
            self.norm = nn.LayerNorm(width)

    def encode(self, frames: Tensor) -> Tensor:
        """Pictures (..., 3, S, S) or (..., S, S, 3) to their patch tokens (..., P x encoder_width)."""
        tokens = self.encoder.tokens(self.normalize(frames))[:, 1:]
        return tokens.reshape(*frames.shape[:-3], -1)

    def rollout(self, latents: Tensor, blocks: Tensor, past_blocks: Tensor | None = None) -> Tensor:
        """Predict n steps ahead.

        Parameters
        ----------
        latents : Tensor (B, h, D)
        blocks : Tensor (B, n, block_dim)
        past_blocks : Tensor (B, h - 1, block_dim), optional
            Needed for h > 1.

        Returns
        -------
        Tensor (B, n, D)

        Raises
        ------
        InputError
            More than one latent without the blocks between them.
        """
        given, history = latents.shape[1], self.config.history
        if given > 1:
            if past_blocks is None or past_blocks.shape[1] != given - 1:
                raise InputError(
                    f"latents has {given} time steps, expected past_blocks with {given - 1} between them: pass them"
                )
            blocks = torch.cat([past_blocks, blocks], 1)
        actions = self.action_encoder(blocks).unsqueeze(2).expand(-1, -1, self.n_tokens, -1)
        window = list(latents.unflatten(-1, (self.n_tokens, self.token_width)).unbind(1))
        memory: list[Memory] | None = None
        for end in range(given, blocks.shape[1] + 1):
            if memory is None or end > history:
                start, memory = max(0, end - history), None
            else:
                start = end - 1
            for index in range(start, end):
                # Frame by frame, each after those before it: causal between frames without a mask.
                place = index - max(0, end - history)
                tokens = torch.cat([window[index], actions[:, index].to(window[index].dtype)], -1) + self.position[place]
                tokens, memory = self._frame(tokens, memory)
            window.append(self.norm(tokens)[..., : self.token_width])
        return torch.stack(window[given:], 1).flatten(2)

    def _frame(self, tokens: Tensor, memory: list[Memory] | None) -> tuple[Tensor, list[Memory]]:
        kept = []
        for index, block in enumerate(self.blocks):
            tokens, entry = block(tokens, None if memory is None else memory[index])
            kept.append(entry)
        return tokens, kept


class _TokenBlock(nn.Module):
    """Pre-norm transformer block on the tokens of one frame, which see all keys and values before them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.heads = config.predictor_width, config.predictor_heads
        inner = self.heads * config.predictor_head_dim
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.output = nn.Linear(inner, width)
        self.feed_forward = FeedForward(config)

    def forward(self, tokens: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in self.qkv(self.norm(tokens)).chunk(3, -1))
        if memory is not None:
            k, v = torch.cat([memory[0], k], 2), torch.cat([memory[1], v], 2)
        tokens = tokens + self.output(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return tokens + self.feed_forward(tokens), (k, v)
