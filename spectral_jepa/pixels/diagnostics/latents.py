"""Latents of the frames of chosen episodes, in batches, kept on disk under a key made of the weights and the pictures."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._files import write_atomic
from spectral_jepa._shapes import Float
from spectral_jepa._validation import check_indices
from spectral_jepa.pixels.data.episodes import Ids, episode_rows
from spectral_jepa.pixels.interfaces import Dataset, Encoder, Pictures, TorchModel
from spectral_jepa.pixels.model.frozen import Latents, encode_rows, weights_digest


def embed_rows(
    model: Encoder,
    dataset: Dataset,
    rows: ArrayLike,
    *,
    batch_size: int = 256,
    cache: Path | None = None,
    progress: str | None = None,
) -> Float[np.ndarray, "N D"]:
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
    latents = encode_rows(model, dataset.pixels, rows, batch_size=batch_size, progress=progress)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.save(buffer, latents)
        write_atomic(path, buffer.getvalue())
    return latents


def embed_episodes(
    model: Encoder, dataset: Dataset, episodes: ArrayLike, *, every: int = 1, **options: Any
) -> list[tuple[Ids, Latents]]:
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


def _key(model: TorchModel, pixels: Pictures, rows: Ids) -> str:
    digest = hashlib.sha256(f"{type(model).__qualname__} {weights_digest(model)}".encode())
    for start in range(0, rows.size, 1024):
        digest.update(np.ascontiguousarray(pixels[rows[start : start + 1024]]).tobytes())
    return digest.hexdigest()[:32]
