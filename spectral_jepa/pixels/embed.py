"""Latents of the frames of chosen episodes, in batches, kept on disk under a key made of the weights and the pictures."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from tqdm.auto import tqdm

from spectral_jepa._cells import write_atomic
from spectral_jepa._validation import InputError, check_count, check_indices

Latents = NDArray[np.float32]
Rows = NDArray[np.int64]


@contextmanager
def frozen(model: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode without gradients inside the block (a training model is put back); gives the model's device.

    Examples
    --------
    >>> model = nn.Dropout(0.5)
    >>> with frozen(model) as device:
    ...     print(device, model.training)
    cpu False
    >>> model.training
    True
    """
    training = model.training
    model.eval()
    first = next(model.parameters(), None)
    try:
        with torch.no_grad():
            yield torch.device("cpu") if first is None else first.device
    finally:
        model.train(training)


def episode_rows(dataset: Any, episodes: ArrayLike, *, every: int = 1) -> list[Rows]:
    """Row numbers of each chosen episode, every ``every``-th from its first one on.

    Parameters
    ----------
    dataset : EpisodeDataset
    episodes : sequence of int
        Ids of episodes.
    every : int
        1 for all frames; the action block for the frames that the model sees.

    Returns
    -------
    list of integer arrays
        One an episode, in the given order.

    Raises
    ------
    InputError
        An id that the data do not have.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> data = SimpleNamespace(ep_len=np.array([3, 4]), ep_offset=np.array([0, 3]))
    >>> [rows.tolist() for rows in episode_rows(data, [1, 0], every=2)]
    [[3, 5], [0, 2]]
    """
    check_count("every", every)
    length, offset = np.asarray(dataset.ep_len), np.asarray(dataset.ep_offset)
    chosen = check_indices("episodes", np.atleast_1d(np.asarray(episodes, dtype=np.int64)), length.size, "episode")
    return [np.arange(offset[e], offset[e] + length[e], every, dtype=np.int64) for e in chosen]


def sample_rows(dataset: Any, episodes: ArrayLike, n_rows: int, seed: int | np.random.Generator) -> Rows:
    """At most ``n_rows`` different rows of the chosen episodes, uniformly without replacement, in ascending order.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> data = SimpleNamespace(ep_len=np.array([3, 4]), ep_offset=np.array([0, 3]))
    >>> sample_rows(data, [1], 10, seed=0).tolist(), sample_rows(data, [0, 1], 2, seed=0).size
    ([3, 4, 5, 6], 2)
    """
    check_count("n_rows", n_rows)
    blocks = episode_rows(dataset, episodes)
    if not blocks:
        raise InputError("episodes is empty, expected at least one episode id: collect more episodes or change the split")
    rows = np.concatenate(blocks)
    if rows.size <= n_rows:
        return np.sort(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, n_rows, replace=False))


def encode_frames(
    model: nn.Module, frames: NDArray[np.uint8], *, batch_size: int = 256, progress: str | None = None
) -> Latents:
    """Embed frames with a trained model, in batches, in evaluation mode.

    Parameters
    ----------
    model : WorldModel
        Anything with ``encode``: uint8 (B, H, W, 3) to (B, D).
    frames : uint8 array (N, H, W, 3)
        May be a memory map; only one batch is read at a time.
    batch_size : int
        Frames a call; lower it where memory is short.
    progress : str, optional
        Title of a progress bar. Default: none.

    Returns
    -------
    float32 array (N, D)
        The same whatever ``batch_size``, up to the rounding of the device.

    Raises
    ------
    InputError
        Frames of another layout, or none.

    Notes
    -----
    O(N) passes of the encoder.

    Examples
    --------
    >>> class Mean(nn.Module):
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2)) / 255
    >>> encode_frames(Mean(), np.full((5, 4, 4, 3), 51, np.uint8), batch_size=2).round(3)[0].tolist()
    [0.20000000298023224, 0.20000000298023224, 0.20000000298023224]
    """
    return _encode(model, frames, np.arange(len(frames)), batch_size, progress)


def embed_rows(
    model: nn.Module,
    dataset: Any,
    rows: ArrayLike,
    *,
    batch_size: int = 256,
    cache: Path | None = None,
    progress: str | None = None,
) -> Latents:
    """Embed chosen rows of a dataset; with ``cache``, read them from that folder if they are there.

    Parameters
    ----------
    model : WorldModel
    dataset : EpisodeDataset
    rows : integer array (N,)
    batch_size : int
    cache : Path, optional
        Folder of ``<key>.npy`` files; the key is a digest of every weight and of the very pictures, so neither another
        model nor another dataset can be taken for this one. A damaged file is computed again.
    progress : str, optional
        Title of a progress bar.

    Returns
    -------
    float32 array (N, D)

    Raises
    ------
    InputError
        A row that the dataset does not have.

    Notes
    -----
    O(N) passes of the encoder, or one reading of the pictures where they are in the cache.
    """
    rows = check_indices("rows", np.asarray(rows), len(dataset.pixels), "row")
    path = None if cache is None else cache / f"{_key(model, dataset.pixels, rows)}.npy"
    if path is not None and path.is_file():
        try:
            kept = np.load(path)
            if kept.shape[0] == rows.size and np.isfinite(kept).all():
                return kept
        except (ValueError, OSError, EOFError):
            pass
    latents = _encode(model, dataset.pixels, rows, batch_size, progress)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.save(buffer, latents)
        write_atomic(path, buffer.getvalue())
    return latents


def embed_episodes(
    model: nn.Module, dataset: Any, episodes: ArrayLike, *, every: int = 1, **options: Any
) -> list[tuple[Rows, Latents]]:
    """Rows and latents of each chosen episode (see :func:`episode_rows`; ``options`` go to :func:`embed_rows`).

    Returns
    -------
    list of (integer array (T,), float32 array (T, D))
    """
    blocks = episode_rows(dataset, episodes, every=every)
    if not blocks:
        return []
    latents = embed_rows(model, dataset, np.concatenate(blocks), **options)
    ends = np.cumsum([block.size for block in blocks])[:-1]
    return list(zip(blocks, np.split(latents, ends), strict=True))


def _encode(model: nn.Module, pixels: Any, rows: Rows, batch_size: int, progress: str | None) -> Latents:
    check_count("batch_size", batch_size)
    shape = tuple(pixels.shape)
    if len(shape) != 4 or shape[-1] != 3 or not rows.size:
        raise InputError(f"frames have shape {shape}, expected (N, height, width, 3) with N >= 1: put the colour axis last")
    encoder: Any = model
    parts = []
    with frozen(model) as device, tqdm(total=rows.size, desc=progress, disable=progress is None, unit="frame") as bar:
        for start in range(0, rows.size, batch_size):
            # A copy: memory maps are read-only, and torch shares memory with what it is given.
            batch = np.array(pixels[rows[start : start + batch_size]], dtype=np.uint8)
            parts.append(encoder.encode(torch.from_numpy(batch).to(device)).float().cpu().numpy())
            bar.update(len(batch))
    return np.concatenate(parts)


def _key(model: nn.Module, pixels: Any, rows: Sequence[int] | Rows) -> str:
    digest = hashlib.sha256(type(model).__qualname__.encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().float().numpy().tobytes())
    rows = np.asarray(rows)
    for start in range(0, rows.size, 1024):
        digest.update(np.ascontiguousarray(pixels[rows[start : start + 1024]]).tobytes())
    return digest.hexdigest()[:32]
