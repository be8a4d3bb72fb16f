"""Diagnostic decoder: pictures from frozen latents, to see what a latent holds and where an open-loop rollout goes.

Trained after the world model and never part of it. The published one (arXiv 2603.19312, appendix) lets 196 learned queries
attend to one vector and run through residual layers; its depth and width are not given.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor, nn

from spectral_jepa._shapes import Float
from spectral_jepa._streams import seeded_weights
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import InputError, check_count, check_nonnegative
from spectral_jepa.pixels.data.actions import scaled_blocks
from spectral_jepa.pixels.data.episodes import episode_of_rows, raw_actions, rows_in
from spectral_jepa.pixels.interfaces import ActionScaling, Dataset, Pictures, PlanningModel
from spectral_jepa.pixels.model.frozen import encode_frames, frozen


class Decoder(nn.Module):
    """One latent vector to a picture: learned queries, one a patch, cross-attention to the latent and residual layers.

    Parameters
    ----------
    embedding_dim : int
        D.
    image_size : int
        Side of the pictures.
    patch_size : int, optional
        Side of a query's patch. Default: 16 at 224 px (196 queries), otherwise an eighth of the side (64 queries), or the
        next smaller one that divides it.
    width, depth : int
        Of the queries; number of layers.
    seed : int
        Draws the initial weights; torch's global generator is left as it was.

    Raises
    ------
    InputError
        A patch size that does not divide the picture.

    Notes
    -----
    Attention over a single key has weight 1 whatever the query, so cross-attention here *is* "add a linear map of the
    latent to every query", and is computed that way. O(queries width^2 depth) a picture. Inputs are standardised by the
    buffers ``shift`` and ``scale``, and the network draws the difference from ``mean_picture``, at first none; all three
    come from the training data (see :func:`fit_decoder`).

    Examples
    --------
    >>> Decoder(embedding_dim=16, image_size=32, width=8)(torch.zeros(5, 16)).shape
    torch.Size([5, 32, 32, 3])
    """

    shift: Tensor
    scale: Tensor
    mean_picture: Tensor

    def __init__(
        self,
        embedding_dim: int,
        image_size: int,
        patch_size: int | None = None,
        *,
        width: int = 128,
        depth: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        eighth = range(max(1, image_size // 8), 0, -1)
        default = 16 if image_size == 224 else next(side for side in eighth if image_size % side == 0)
        self.patch_size = default if patch_size is None else check_count("patch_size", patch_size)
        if image_size % self.patch_size:
            raise InputError(f"image_size is {image_size}, expected a multiple of patch_size {self.patch_size}: change one")
        self.side = image_size // self.patch_size
        with seeded_weights(seed):
            self.queries = nn.Parameter(torch.randn(self.side**2, width))
            self.input = nn.Linear(embedding_dim, width)
            self.attentions = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in range(depth)
            )
            self.layers = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
                for _ in range(depth)
            )
            self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, self.patch_size**2 * 3)
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)
        self.register_buffer("shift", torch.zeros(embedding_dim))
        self.register_buffer("scale", torch.ones(embedding_dim))
        self.register_buffer("mean_picture", torch.zeros(image_size, image_size, 3))

    def forward(self, latents: Float[Tensor, "B D"]) -> Float[Tensor, "B H W 3"]:
        """Pictures (B, H, W, 3), about in [0, 1], of latents (B, D)."""
        memory = self.input((latents - self.shift) * self.scale).unsqueeze(1)
        tokens = self.queries.unsqueeze(0)
        for attention, layer in zip(self.attentions, self.layers, strict=True):
            tokens = tokens + attention(memory)
            tokens = tokens + layer(tokens)
        patches = self.output(self.norm(tokens)).unflatten(-1, (self.patch_size, self.patch_size, 3))
        grid = patches.unflatten(1, (self.side, self.side)).transpose(2, 3)
        return self.mean_picture + grid.flatten(3, 4).flatten(1, 2)


def fit_decoder(
    latents: NDArray[np.float32],
    frames: Pictures,
    *,
    n_steps: int = 2_000,
    batch_size: int = 16,
    learning_rate: float = 3e-3,
    width: int = 128,
    depth: int = 2,
    emphasis: float = 0.0,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Decoder:
    """Train a decoder on frozen latents by mean squared pixel error.

    Parameters
    ----------
    latents : float array (N, D)
    frames : uint8 array (N, H, H, 3)
        The pictures of these latents; may be a memory map.
    n_steps, batch_size, learning_rate : int, int, float
        AdamW under a one-cycle learning rate.
    width, depth : int
        See :class:`Decoder`.
    emphasis : float >= 0
        A pixel that differs from the mean picture by more than a tenth counts 1 + ``emphasis`` times. Above 0 where what
        moves is a few pixels wide: leaving it out costs the mean square next to nothing.
    seed : int
        Initial weights and batches.
    device : str or torch.device
    progress : bool

    Returns
    -------
    Decoder
        In evaluation mode.

    Raises
    ------
    InputError
        Latents and frames of different number, frames that are not square, a count below 1, a negative emphasis.

    Notes
    -----
    O(n_steps batch_size queries width^2 depth).

    Examples
    --------
    Two latents, a black and a white picture.

    >>> black_white = np.repeat(np.array([0, 255], np.uint8), 8 * 8 * 3).reshape(2, 8, 8, 3)
    >>> latents = np.array([[0.0], [1.0]])
    >>> decoder = fit_decoder(latents, black_white, n_steps=40, batch_size=4, learning_rate=1e-2, width=8, depth=1)
    >>> drawn = decode(decoder, latents).mean((1, 2, 3))
    >>> bool(drawn[0] < 25), bool(drawn[1] > 230)
    (True, True)
    """
    for name, value in (("n_steps", n_steps), ("batch_size", batch_size), ("width", width), ("depth", depth)):
        check_count(name, value)
    check_nonnegative("emphasis", emphasis)
    shape = tuple(frames.shape)
    if len(shape) != 4 or shape[0] != len(latents) or shape[1] != shape[2] or shape[3] != 3 or not len(latents):
        raise InputError(f"frames has shape {shape}, expected ({len(latents)}, H, H, 3): one square picture a latent")
    values = torch.as_tensor(np.asarray(latents, dtype=np.float32))
    decoder = Decoder(values.shape[1], shape[1], width=width, depth=depth, seed=seed)
    decoder.shift.copy_(values.mean(0))
    # One scale for all coordinates: equal scales would blow up directions that hold nothing but noise.
    decoder.scale.fill_(1 / float(values.std(0, unbiased=False).square().mean().sqrt().clamp_min(1e-6)))
    seen = np.linspace(0, len(latents) - 1, min(len(latents), 500)).astype(np.int64)
    decoder.mean_picture.copy_(torch.from_numpy(np.asarray(frames[seen]).mean(axis=0) / 255))
    decoder.to(device)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=learning_rate, weight_decay=1e-4)
    # A tenth of the steps warm up; of ten steps that would be a phase of length 0, by which torch divides.
    share = 0.2 if n_steps == 10 else 0.1
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=max(n_steps, 2), pct_start=share)
    generator = np.random.default_rng(seed)
    bar = Bar(range(n_steps), desc="decoder", disable=not progress)
    for _ in bar:
        chosen = np.sort(generator.integers(0, len(latents), batch_size))
        target = torch.from_numpy(np.array(frames[chosen])).to(device).float() / 255
        error = (decoder(values[chosen].to(device)) - target).square()
        if emphasis:
            error = error * (1 + emphasis * ((target - decoder.mean_picture).abs().mean(-1, keepdim=True) > 0.1))
        loss = error.mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if bar.n % 50 == 0:
            bar.set_postfix(mse=f"{loss.item():.2e}")
    return decoder.eval()


def decode(decoder: Decoder, latents: ArrayLike, *, batch_size: int = 256) -> Pictures:
    """Pictures of latents.

    Parameters
    ----------
    decoder : Decoder
    latents : array (..., D)
    batch_size : int
        Latents a call.

    Returns
    -------
    uint8 array (..., H, H, 3)
        Clipped to [0, 255] and rounded.

    Notes
    -----
    O(latents queries width^2 depth).

    Examples
    --------
    An untrained decoder draws its mean picture, whatever the latent.

    >>> decoder = Decoder(4, 8, width=8)
    >>> decoder.mean_picture += 0.2
    >>> pictures = decode(decoder, np.ones((2, 3, 4)))
    >>> pictures.shape, np.unique(pictures)
    ((2, 3, 8, 8, 3), array([51], dtype=uint8))
    """
    values = torch.as_tensor(np.asarray(latents, dtype=np.float32))
    with frozen(decoder) as device:
        parts = [decoder(part.to(device)).clamp(0, 1).cpu() for part in values.flatten(0, -2).split(batch_size)]
    pictures = (torch.cat(parts) * 255).round().to(torch.uint8)
    return pictures.unflatten(0, values.shape[:-1]).numpy()


def rollout_frames(
    model: PlanningModel,
    decoder: Decoder,
    dataset: Dataset,
    starts: ArrayLike,
    scaler: ActionScaling,
    *,
    n_blocks: int = 8,
    context: int | None = None,
) -> dict[str, Pictures]:
    """Open-loop rollouts beside what happened: the stored actions are applied in latent space, then decoded.

    Parameters
    ----------
    model : WorldModel
    decoder : Decoder
    dataset : EpisodeDataset
    starts : sequence of int
        Rows at which the rollouts' context begins; the episode must go on for ``n_blocks`` action blocks.
    scaler : ActionScaler
    n_blocks : int
        Length of the trajectory in action blocks, context included.
    context : int, optional
        Observed frames that the rollout starts from, at most ``n_blocks``. Default: the model's history, as published.

    Returns
    -------
    dict of uint8 arrays (n, n_blocks + 1, H, H, 3)
        "observed"; "decoded", the decoder on the observed frames' latents; "predicted", the decoder on the context's latents
        and then on the predicted ones.

    Raises
    ------
    InputError
        A rollout that would leave its episode, an action block that ends between two rows of the data.

    Notes
    -----
    n (n_blocks + 1) passes of the encoder, two of the decoder each, and n rollouts. Source: LeWM, arXiv 2603.19312, decoded
    rollouts from 3 context frames.

    Examples
    --------
    Row r of the data is a picture of brightness r; the model predicts that nothing changes.

    >>> from types import SimpleNamespace
    >>> from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
    >>> class Still(nn.Module):
    ...     config = SimpleNamespace(history=1, action_block=5)
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2)) / 255
    ...     def rollout(self, latents, blocks, past_blocks=None):
    ...         return latents[:, -1:].expand(-1, blocks.shape[1], -1)
    >>> pixels = np.arange(12, dtype=np.uint8).repeat(8 * 8 * 3).reshape(12, 8, 8, 3)
    >>> data = EpisodeDataset.from_episodes([{"pixels": pixels, "action": np.zeros((12, 2))}])
    >>> scaler, decoder = ActionScaler((0.0, 0.0), (1.0, 1.0)), Decoder(3, 8, width=8)
    >>> films = rollout_frames(Still(), decoder, data, [0, 1], scaler, n_blocks=2)
    >>> films["observed"][..., 0, 0, 0].tolist(), films["predicted"].shape
    ([[0, 5, 10], [1, 6, 11]], (2, 3, 8, 8, 3))
    """
    rows, size = np.atleast_1d(np.asarray(starts, dtype=np.int64)), model.config.action_block
    context = min(model.config.history if context is None else check_count("context", context), n_blocks)
    offset, length = np.asarray(dataset.ep_offset), np.asarray(dataset.ep_len)
    episode = episode_of_rows(dataset, rows)
    block_rows = rows_in(dataset, "action_block", size)
    short = rows + n_blocks * block_rows >= offset[episode] + length[episode]
    if short.any():
        raise InputError(
            f"starts has row {rows[short][0]}, whose episode ends before {n_blocks} blocks of {size} actions: start earlier"
        )
    frames = np.array(dataset.pixels[(rows[:, None] + block_rows * np.arange(n_blocks + 1)).ravel()])
    latents = torch.from_numpy(encode_frames(model, frames)).unflatten(0, (rows.size, n_blocks + 1))
    moves = raw_actions(dataset, rows[:, None] + np.arange(n_blocks * block_rows)).reshape(rows.size, n_blocks * size, -1)
    blocks = scaled_blocks(moves, scaler, size)
    with frozen(model) as device:
        given, past, future = (
            x.to(device) for x in (latents[:, :context], blocks[:, : context - 1], blocks[:, context - 1 :])
        )
        later = model.rollout(given, future, past_blocks=past if context > 1 else None).cpu()
    predicted = torch.cat([latents[:, :context], later], dim=1)
    observed = frames.reshape(rows.size, n_blocks + 1, *frames.shape[1:])
    return {"observed": observed, "decoded": decode(decoder, latents), "predicted": decode(decoder, predicted)}


def save_gif(frames: Pictures, path: Path, *, milliseconds: int = 200, least_size: int = 128) -> Path:
    """Write an animation with Pillow; small pictures are enlarged without smoothing.

    Parameters
    ----------
    frames : uint8 array (T, H, W, 3)
    path : Path
        Its folder is made if it is not there.
    milliseconds : int
        Duration of a frame.
    least_size : int
        Shorter side of the animation at least, in pixels; sides grow by a whole factor.

    Returns
    -------
    Path
        ``path``.

    Examples
    --------
    >>> import tempfile
    >>> path = save_gif(np.zeros((3, 8, 8, 3), np.uint8), Path(tempfile.mkdtemp()) / "still.gif")
    >>> Image.open(path).size
    (128, 128)
    """
    factor = max(1, -(-least_size // min(frames.shape[1:3])))
    pictures = [Image.fromarray(frame.repeat(factor, axis=0).repeat(factor, axis=1)) for frame in np.asarray(frames)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, disposal=1)
    return path


def beside(rollouts: dict[str, Pictures], gap: int = 2) -> Pictures:
    """Rollouts as one film: a row a trajectory, a column an entry, in the order of the dict.

    Parameters
    ----------
    rollouts : dict of uint8 arrays (n, T, H, W, 3)
        As :func:`rollout_frames` gives them: observed, decoded, predicted.
    gap : int
        White pixels between two films, at least 1.

    Returns
    -------
    uint8 array (T, n (H + gap) - gap, c (W + gap) - gap, 3)
        c is the number of entries.

    Examples
    --------
    Two trajectories of black pictures: twice two 8 px and a gap of 2.

    >>> film = beside({name: np.zeros((2, 5, 8, 8, 3), np.uint8) for name in ("observed", "predicted")}, gap=2)
    >>> film.shape, film[0, 0, 7:11, 0].tolist()
    ((5, 18, 18, 3), [0, 255, 255, 0])
    """
    columns = [np.pad(film, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255) for film in rollouts.values()]
    films = np.concatenate(columns, axis=3)
    return np.concatenate(list(films), axis=1)[:, :-gap, :-gap]
