"""Action-conditioned causal transformer over one embedding a frame, with AdaLN-zero blocks (arXiv 2603.19312).

Every block reads six vectors (shift, scale and gate for the attention and for the feed-forward part) off the action
embedding of the same time index, through a Linear that starts at zero: each block starts as the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectral_jepa.pixels.config import ModelConfig

Memory = tuple[Tensor, Tensor]
# Up to so many keys, sums beat the fused attention on a CPU.
FEW = 4


class ActionEncoder(nn.Module):
    """Blocks of raw actions to condition vectors: (B, T, block_dim) -> (B, T, D); 1x1 convolution, Linear, SiLU, Linear.

    Parameters
    ----------
    block_dim : int
        Numbers in a block, ``action_block * action_dim``.
    embedding_dim : int
        D; the hidden width is 4 D, behind 10 channels.
    """

    def __init__(self, block_dim: int, embedding_dim: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(block_dim, 10, 1)
        self.hidden = nn.Linear(10, 4 * embedding_dim)
        self.output = nn.Linear(4 * embedding_dim, embedding_dim)

    def forward(self, blocks: Tensor) -> Tensor:
        """Encode; a convolution of length 1 over time is a matrix product."""
        mixed = F.linear(blocks, self.mix.weight.squeeze(-1), self.mix.bias)
        return self.output(F.silu(self.hidden(mixed)))


class CausalAttention(nn.Module):
    """Causal attention with its own LayerNorm, q, k, v without bias: (B, T, W) -> (B, T, W).

    Parameters
    ----------
    config : ModelConfig
        ``predictor_width`` (W), ``predictor_heads``, ``predictor_head_dim`` and ``dropout`` are read.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.heads = config.predictor_width, config.predictor_heads
        self.inner = self.heads * config.predictor_head_dim
        self.dropout = config.dropout
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * self.inner, bias=False)
        self.output = nn.Linear(self.inner, width)

    def forward(self, tokens: Tensor, memory: Memory | None, last: bool) -> tuple[Tensor, Memory]:
        """Attend from all tokens, or only from the last one, to them and to those before.

        Parameters
        ----------
        tokens : Tensor (B, T, W)
        memory : (Tensor, Tensor) or None
            Keys and values (B, n, heads head_dim) of n earlier tokens; with them T must be 1.
        last : bool
            Attend from the last token only.

        Returns
        -------
        output : Tensor (B, T, W), or (B, 1, W) with ``last``
        memory : (Tensor, Tensor)
            Keys and values of the earlier tokens and these.

        Notes
        -----
        O(T W inner + T (n + T) inner) a clip, where inner = heads head_dim.
        """
        tokens = self.norm(tokens)
        dropout = self.dropout if self.training else 0.0
        n_queries = 1 if last else tokens.shape[1]
        alone = memory is None and tokens.shape[1] == 1 and dropout == 0
        if alone or n_queries < tokens.shape[1]:
            # Fewer queries than keys: leave out the products nobody reads.
            keys, values = F.linear(tokens, self.qkv.weight[self.inner :]).chunk(2, -1)
            queries = values if alone else F.linear(tokens[:, -1:], self.qkv.weight[: self.inner])
        else:
            queries, keys, values = self.qkv(tokens).chunk(3, -1)
        if memory is not None:
            keys, values = torch.cat([memory[0], keys], 1), torch.cat([memory[1], values], 1)
        if alone:
            mixed = values  # The softmax over one token is 1.
        elif dropout == 0 and keys.device.type == "cpu" and keys.shape[1] <= FEW:
            mixed = attend_few(queries, keys, values, self.heads)
        else:
            q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (queries, keys, values))
            mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=n_queries > 1)
            mixed = mixed.transpose(1, 2).flatten(2)
        return F.dropout(self.output(mixed), self.dropout, self.training), (keys, values)


def attend_few(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """Causal attention of the last m tokens to n >= m of them.

    Parameters
    ----------
    queries : Tensor (B, m, W)
    keys, values : Tensor (B, n, W)
    heads : int
        Must divide W, here the width of all heads together.

    Returns
    -------
    Tensor (B, m, W)
        Entry i is a mean over the first n - m + i + 1 values.

    Notes
    -----
    O(B m n W), as sums over products: with 2 or 3 tokens twice as fast on a CPU as ``scaled_dot_product_attention``.

    Examples
    --------
    >>> q, k, v = torch.randn(3, 8, 3, 12, generator=torch.Generator().manual_seed(0))
    >>> fused = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    >>> torch.allclose(attend_few(q, k, v, heads=1), fused, atol=1e-6)
    True
    """
    n_queries, n_keys = queries.shape[1], keys.shape[1]
    q, k, v = (x.unflatten(-1, (heads, -1)) for x in (queries, keys, values))
    q = q * q.shape[-1] ** -0.5
    rows = []
    for index in range(n_queries):
        seen = n_keys - n_queries + index + 1
        weight = (q[:, index : index + 1] * k[:, :seen]).sum(-1, keepdim=True).softmax(1)
        rows.append((weight * v[:, :seen]).sum(1))
    return torch.stack(rows, 1).flatten(2)


class FeedForward(nn.Sequential):
    """LayerNorm, Linear, GELU, Linear with dropout after both: (B, T, W) -> (B, T, W).

    Parameters
    ----------
    config : ModelConfig
        ``predictor_width`` (W), ``predictor_hidden`` and ``dropout`` are read.
    """

    def __init__(self, config: ModelConfig) -> None:
        width, hidden = config.predictor_width, config.predictor_hidden
        dropout = config.dropout
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
            nn.Dropout(dropout),
        )


class ConditionedBlock(nn.Module):
    """AdaLN-zero transformer block.

    Parameters
    ----------
    config : ModelConfig
        ``predictor_*`` and ``dropout`` are read.

    Notes
    -----
    x <- x + gate_1 attention((1 + scale_1) norm(x) + shift_1), then the same with the feed-forward part.
    O(T W (W + inner + hidden)) a clip, where inner is the width of all heads together.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.predictor_width
        self.width = width
        self.attention = CausalAttention(config)
        self.feed_forward = FeedForward(config)
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self, tokens: Tensor, modulation: Tensor, memory: Memory | None = None, last: bool = False
    ) -> tuple[Tensor, Memory]:
        """Apply the block.

        Parameters
        ----------
        tokens : Tensor (B, T, W)
        modulation : Tensor (B, T, 6 W)
            Shift, scale and gate of the attention, then of the feed-forward part.
        memory : (Tensor, Tensor), optional
            As in :class:`CausalAttention`.
        last : bool
            Keep the last token only.

        Returns
        -------
        tokens : Tensor (B, T, W), or (B, 1, W) with ``last``
        memory : (Tensor, Tensor)
            Keys and values of all tokens so far.
        """
        shift, scale, gate, shift_2, scale_2, gate_2 = modulation.chunk(6, -1)
        attended, memory = self.attention(self._modulated(tokens, scale, shift), memory, last)
        if last:
            tokens, gate, shift_2, scale_2, gate_2 = (x[:, -1:] for x in (tokens, gate, shift_2, scale_2, gate_2))
        tokens = torch.addcmul(tokens, gate, attended)
        return torch.addcmul(tokens, gate_2, self.feed_forward(self._modulated(tokens, scale_2, shift_2))), memory

    def _modulated(self, tokens: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        normed = F.layer_norm(tokens, (self.width,), eps=1e-6)
        return torch.addcmul(normed + shift, normed, scale)


class Predictor(nn.Module):
    """Latents and condition vectors to the next latents: (B, T, D), (B, T, D) -> (B, T, D), causal, T <= history.

    A learned position, drawn from N(0, 1), is added to each latent. Projections between D and the width exist only where the
    two differ.

    Parameters
    ----------
    config : ModelConfig
        ``predictor_*``, ``embedding_dim`` (D), ``history`` and ``dropout`` are read.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, width = config.embedding_dim, config.predictor_width
        self.history = config.history
        self.position = nn.Parameter(torch.randn(1, config.history, dim))
        self.input, self.condition, self.output = (
            nn.Linear(inputs, outputs) if dim != width else nn.Identity()
            for inputs, outputs in ((dim, width), (dim, width), (width, dim))
        )
        self.blocks = nn.ModuleList(ConditionedBlock(config) for _ in range(config.predictor_depth))
        self.norm = nn.LayerNorm(width)

    def modulations(self, conditions: Tensor) -> list[Tensor]:
        """Six vectors a block and token, (B, T, 6 W) each; they depend on the action only, so a rollout needs them once."""
        activated = F.silu(self.condition(conditions))
        return [block.modulation(activated) for block in cast(Sequence[ConditionedBlock], self.blocks)]

    def run(
        self, latents: Tensor, modulations: list[Tensor], memory: list[Memory] | None = None, last: bool = False
    ) -> tuple[Tensor, list[Memory]]:
        """Predict from T latents that follow those in ``memory``.

        Parameters
        ----------
        latents : Tensor (B, T, D)
            With those in ``memory`` at most ``history``.
        modulations : list of Tensor (B, T, 6 W)
            One a block, see :meth:`modulations`, of the same time indices.
        memory : list of (Tensor, Tensor), optional
            Keys and values of each block, as returned. With a memory T must be 1: its token may look at everything.
        last : bool
            Give the last prediction only.

        Returns
        -------
        predicted : Tensor (B, T, D), or (B, 1, D) with ``last``
        memory : list of (Tensor, Tensor)
        """
        start = 0 if memory is None else memory[0][0].shape[1]
        tokens = self.input(latents + self.position[:, start : start + latents.shape[1]])
        kept, final = [], len(self.blocks) - 1
        for index, (block, modulation) in enumerate(zip(self.blocks, modulations, strict=True)):
            past = None if memory is None else memory[index]
            tokens, entry = block(tokens, modulation, past, last and index == final)
            kept.append(entry)
        return self.output(self.norm(tokens)), kept

    def forward(self, latents: Tensor, conditions: Tensor) -> Tensor:
        """Predict the latent after each of the T given ones.

        Parameters
        ----------
        latents : Tensor (B, T, D)
        conditions : Tensor (B, T, D)
            Of the actions at the same time indices, see :class:`ActionEncoder`.

        Returns
        -------
        Tensor (B, T, D)
            Entry t depends on entries 0..t only.
        """
        return self.run(latents, self.modulations(conditions))[0]
