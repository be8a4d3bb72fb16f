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

# Where a run's folder keeps them.
CACHE = "embeddings"
# Bytes of the SHA-256 at the end of a file of kept embeddings.
DIGEST_SIZE = 32


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
        Frames an encoder call.
    cache : Path, optional
        Folder of ``<key>.npy`` files; the key is a digest of every weight and of the very pictures, so neither another
        model nor another dataset can be taken for this one. A file ends with its own SHA-256; a damaged one is computed
        again. Default: nothing is kept.
    progress : str, optional
        Title of a progress bar. Default: none.

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

    Examples
    --------
    The second call reads the file that the first one left.

    >>> import tempfile, torch
    >>> from spectral_jepa.pixels.data import EpisodeDataset
    >>> class MeanColour(torch.nn.Module):
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2))
    >>> pixels = np.arange(8, dtype=np.uint8).repeat(4 * 4 * 3).reshape(8, 4, 4, 3)
    >>> data = EpisodeDataset.from_episodes([{"pixels": pixels, "action": np.zeros((8, 2))}])
    >>> folder = Path(tempfile.mkdtemp())
    >>> [embed_rows(MeanColour(), data, [2, 7], cache=folder).tolist() for _ in range(2)]
    [[[2.0, 2.0, 2.0], [7.0, 7.0, 7.0]], [[2.0, 2.0, 2.0], [7.0, 7.0, 7.0]]]
    >>> len(list(folder.iterdir()))
    1
    """
    rows = check_indices("rows", np.asarray(rows), len(dataset.pixels), "row")
    path = None if cache is None else cache / f"{_key(model, dataset.pixels, rows)}.npy"
    if path is not None and path.is_file():
        content = path.read_bytes()
        array, digest = content[:-DIGEST_SIZE], content[-DIGEST_SIZE:]
        if hashlib.sha256(array).digest() == digest:
            return np.asarray(np.load(io.BytesIO(array)))
    latents = encode_rows(model, dataset.pixels, rows, batch_size=batch_size, progress=progress)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.save(buffer, latents)
        array = buffer.getvalue()
        write_atomic(path, array + hashlib.sha256(array).digest())
    return latents


def embed_episodes(
    model: Encoder, dataset: Dataset, episodes: ArrayLike, *, every: int | None = None, **options: Any
) -> list[tuple[Ids, Latents]]:
    """Rows and latents of each chosen episode.

    Parameters
    ----------
    model : WorldModel
    dataset : EpisodeDataset
    episodes : sequence of int
        Ids.
    every : int, optional
        Raw steps between two frames: the action block for those that the model sees. An episode's first row is always among
        them. Default: all rows.
    **options
        Of :func:`embed_rows`: ``batch_size``, ``cache``, ``progress``.

    Returns
    -------
    list of (integer array (T,), float32 array (T, D))
        One an episode, in the given order: its rows in the dataset, and their latents. Empty if no episode is asked for.

    Raises
    ------
    InputError
        An id that the data do not have, ``every`` below 1 or between two rows of the data.

    Notes
    -----
    O(frames) passes of the encoder, in batches that run across episodes.

    Examples
    --------
    >>> import torch
    >>> from spectral_jepa.pixels.data import EpisodeDataset
    >>> class MeanColour(torch.nn.Module):
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2))
    >>> pixels = np.arange(8, dtype=np.uint8).repeat(4 * 4 * 3).reshape(8, 4, 4, 3)
    >>> halves = [{"pixels": half, "action": np.zeros((4, 2))} for half in (pixels[:4], pixels[4:])]
    >>> data = EpisodeDataset.from_episodes(halves)
    >>> [(rows, latents)] = embed_episodes(MeanColour(), data, [1], every=3)
    >>> rows, latents.tolist()
    (array([4, 7]), [[4.0, 4.0, 4.0], [7.0, 7.0, 7.0]])
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
