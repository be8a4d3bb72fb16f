"""The pixel world model: frames to embeddings, embeddings and action blocks to the next embeddings (arXiv 2603.19312)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spectral_jepa._shapes import Float
from spectral_jepa._streams import seeded_weights
from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.interfaces import RepeatedPictures
from spectral_jepa.pixels.model.encoder import Normalize, encode_pictures, make_encoder, sees_the_batch
from spectral_jepa.pixels.model.predictor import ActionEncoder, Predictor


class Projector(nn.Sequential):
    """Linear, BatchNorm, GELU, Linear on the last axis; all leading axes together are the batch that BatchNorm sees.

    It undoes the fixed norm that the encoder's last LayerNorm gives to each sample, which no regulariser could move.

    Parameters
    ----------
    inputs, hidden, outputs : int
        Lengths of the last axis; published 192, 2048, 192.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.GELU(), nn.Linear(hidden, outputs))

    def forward(self, values: Tensor) -> Tensor:
        """Project (..., inputs) to (..., outputs)."""
        return super().forward(values.flatten(0, -2)).unflatten(0, values.shape[:-1])


class WorldModel(nn.Module):
    """Joint-embedding world model, trained end to end from pixels.

    Parameters
    ----------
    config : ModelConfig
        Shape; the defaults are the published one, 18,034,478 parameters.
    seed : int
        Draws the initial weights, on the CPU and without touching torch's global stream.

    Raises
    ------
    InputError
        A width or a count below 1.

    Notes
    -----
    The encoder reads one vector off each picture and ``projector`` makes it the embedding; ``action_encoder`` makes one
    condition vector of each block of raw actions; ``predictor`` and ``predictor_projector`` predict the next embedding from
    at most ``history`` of them. There is no target network. In training mode BatchNorm uses the batch, otherwise its running
    statistics; call :meth:`eval` and ``torch.no_grad`` before planning. Source: arXiv 2603.19312, section 3, appendices.

    Examples
    --------
    >>> from spectral_jepa.pixels.presets import preset
    >>> model = WorldModel(preset("tiny").model).eval()
    >>> latent = model.encode(torch.zeros(4, 32, 32, 3, dtype=torch.uint8))
    >>> latent.shape, model.rollout(latent[:, None], torch.zeros(4, 6, 10)).shape
    (torch.Size([4, 16]), torch.Size([4, 6, 16]))
    """

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        for name in (
            "encoder_width",
            "encoder_heads",
            "projector_width",
            "predictor_width",
            "predictor_heads",
            "predictor_head_dim",
            "predictor_hidden",
        ):
            check_count(name, getattr(config, name))
        self.config = config
        self.block_dim = config.action_block * config.action_dim
        with seeded_weights(seed):
            self.normalize = Normalize(config.image_size)
            self.encoder = make_encoder(config)
            self.projector = Projector(self.encoder.width, config.projector_width, config.embedding_dim)
            self.predictor = Predictor(config)
            self.predictor_projector = Projector(config.embedding_dim, config.projector_width, config.embedding_dim)
            self.action_encoder = ActionEncoder(self.block_dim, config.embedding_dim)

    def encode(self, frames: Tensor | RepeatedPictures) -> Float[Tensor, "... D"]:
        """Embed pictures.

        Parameters
        ----------
        frames : Tensor (..., 3, S, S) or (..., S, S, 3), or RepeatedPictures
            uint8, or floats in [0, 1]; normalised here with ImageNet's mean and standard deviation. Of repeated pictures
            the encoder sees each once, unless it has a BatchNorm, which counts them.

        Returns
        -------
        Tensor (..., D)
            All leading axes together are the batch of BatchNorm.

        Raises
        ------
        InputError
            Pictures of another size, or of integers that are not uint8.

        Notes
        -----
        One pass of the encoder over all pictures; the pictures of one clip do not see each other.
        """
        if isinstance(frames, RepeatedPictures) and not sees_the_batch(self.encoder):
            distinct = encode_pictures(self.encoder, self.normalize, self.normalize.flat(frames.distinct))
            return self.projector(distinct[frames.numbers])
        if isinstance(frames, RepeatedPictures):
            frames = frames.whole()
        vectors = encode_pictures(self.encoder, self.normalize, self.normalize.flat(frames))
        return self.projector(vectors).reshape(*frames.shape[:-3], -1)

    def predict(self, latents: Float[Tensor, "B T D"], blocks: Float[Tensor, "B T A"]) -> Float[Tensor, "B T D"]:
        """Predict each next embedding from those up to it.

        Parameters
        ----------
        latents : Tensor (B, T, D)
            T <= history.
        blocks : Tensor (B, T, block_dim)
            ``blocks[:, t]`` is applied at ``latents[:, t]``.

        Returns
        -------
        Tensor (B, T, D)
            Entry t depends on latents and blocks 0..t only, so training on T entries covers contexts of length 1..T.

        Raises
        ------
        InputError
            Shapes that do not match, more than ``history`` latents.

        Notes
        -----
        O(B T W^2) for the blocks.
        """
        self._check(latents, blocks, "blocks", latents.shape[1] if latents.ndim == 3 else 0)
        if latents.shape[1] > self.config.history:
            raise InputError(
                f"latents has {latents.shape[1]} time steps, expected at most history {self.config.history}: "
                "pass the last ones"
            )
        return self.predictor_projector(self.predictor(latents, self.action_encoder(blocks)))

    def rollout(
        self,
        latents: Float[Tensor, "B h D"],
        blocks: Float[Tensor, "B n A"],
        past_blocks: Float[Tensor, "B p A"] | None = None,
    ) -> Float[Tensor, "B n D"]:
        """Predict n steps ahead, each from at most ``history`` embeddings, given ones first and then predicted ones.

        Parameters
        ----------
        latents : Tensor (B, h, D)
            Context; planning uses h = 1. Only the last ``history`` are read.
        blocks : Tensor (B, n, block_dim)
            The first is applied at the last given latent.
        past_blocks : Tensor (B, h - 1, block_dim), optional
            Blocks applied at the earlier ones; needed for h > 1.

        Returns
        -------
        Tensor (B, n, D)

        Raises
        ------
        InputError
            Shapes that do not match.

        Notes
        -----
        Conditions of all blocks are computed once. While the context grows, keys and values are kept and each step costs one
        token; after that positions shift, so each step costs ``history`` tokens, of which the last layer finishes one.
        """
        self._check(latents, blocks, "blocks")
        given, history = latents.shape[1], self.config.history
        if given > 1:
            if past_blocks is None:
                raise InputError(
                    f"latents has {given} time steps but past_blocks is missing: pass the {given - 1} between them"
                )
            self._check(latents, past_blocks, "past_blocks", given - 1)
            blocks = torch.cat([past_blocks, blocks], 1)
        modulations = self.predictor.modulations(self.action_encoder(blocks))
        window, memory = latents, None
        for end in range(given, blocks.shape[1] + 1):
            # Latents and modulations carry the same time index; those from `start` on are run through the predictor.
            if memory is None or end > history:
                start, memory = max(0, end - history), None
            else:
                start = end - 1
            parts = [modulation[:, start:end] for modulation in modulations]
            output, memory = self.predictor.run(window[:, start:], parts, memory, last=True)
            window = torch.cat([window, self.predictor_projector(output)], 1)
        return window[:, given:]

    def _check(self, latents: Tensor, blocks: Tensor, name: str, length: int | None = None) -> None:
        dim = self.config.embedding_dim
        if latents.ndim != 3 or latents.shape[-1] != dim or not latents.shape[1]:
            raise InputError(
                f"latents has shape {tuple(latents.shape)}, expected (B, T, {dim}) with T >= 1: add the time axis"
            )
        expected = (len(latents), blocks.shape[1] if length is None and blocks.ndim == 3 else length, self.block_dim)
        if tuple(blocks.shape) != expected:
            shown = tuple("n" if size is None else size for size in expected)
            raise InputError(
                f"{name} has shape {tuple(blocks.shape)}, expected {shown}: one block is action_block "
                f"{self.config.action_block} x action_dim {self.config.action_dim} numbers"
            )
