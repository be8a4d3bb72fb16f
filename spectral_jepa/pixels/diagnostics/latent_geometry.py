"""Shape of a latent space: how straight its trajectories run, how many directions it uses, how far from white it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._validation import Array, InputError
from spectral_jepa.losses import sample_effective_rank, second_moment, whitening_penalty
from spectral_jepa.pixels.data.episodes import sample_rows
from spectral_jepa.pixels.diagnostics.latents import embed_episodes, embed_rows
from spectral_jepa.pixels.interfaces import Dataset, Encoder

COLUMNS = ["input", "measure", "index", "value", "error", "n"]


def straightness(latents: ArrayLike) -> float:
    """Mean cosine between consecutive velocities of latent trajectories.

    Parameters
    ----------
    latents : array (..., T, D)
        Trajectories at equal time steps, T >= 3.

    Returns
    -------
    float
        1 on straight lines, 0 for a random walk; for independent normal draws about -1/2 in many dimensions (-.49 in 16) and
        -1/3 in one. Pairs with a zero velocity have no angle and are left out; NaN if nothing moves.

    Raises
    ------
    InputError
        Fewer than three steps.

    Notes
    -----
    O(T D). Source: LeWorldModel, arXiv 2603.19312, appendix on temporal straightness.

    Examples
    --------
    >>> straightness([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 3.0]])
    0.5
    """
    values = np.asarray(latents, dtype=np.float64)
    if values.ndim < 2 or values.shape[-2] < 3:
        raise InputError(f"latents has shape {values.shape}, expected (..., T, D) with T >= 3: pass longer trajectories")
    velocity = np.diff(values, axis=-2)
    first, second = velocity[..., :-1, :], velocity[..., 1:, :]
    norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    moving = norms > 0
    if not moving.any():
        return float("nan")
    return float((np.sum(first * second, axis=-1)[moving] / norms[moving]).mean())


def covariance_eigenvalues(latents: ArrayLike) -> Array:
    """Eigenvalues of the covariance of latents.

    Parameters
    ----------
    latents : array (N, D)

    Returns
    -------
    float64 array (D,)
        Largest first, none below 0. The covariance is about the mean and divided by N.

    Notes
    -----
    O(N D^2 + D^3).

    Examples
    --------
    >>> covariance_eigenvalues([[1.0, 3.0], [1.0, -3.0], [-1.0, 3.0], [-1.0, -3.0]]).tolist()
    [9.0, 1.0]
    """
    values = torch.as_tensor(np.asarray(latents, dtype=np.float64))
    return torch.linalg.eigvalsh(second_moment(values)).clamp_min(0).flip(-1).numpy()


def latent_geometry(
    model: Encoder,
    dataset: Dataset,
    episodes: ArrayLike,
    *,
    every: int,
    seed: int = 0,
    n_samples: int = 2_000,
    control: Encoder | None = None,
    cache: Path | None = None,
    batch_size: int = 256,
) -> pd.DataFrame:
    """Straightness, effective rank, whitening gap and covariance spectrum of the latents of held-out episodes.

    Parameters
    ----------
    model : WorldModel
    dataset : EpisodeDataset
    episodes : sequence of int
        Held-out episodes.
    every : int
        Raw steps between two frames of a trajectory: the model's action block.
    seed : int
        Of the sample of frames.
    n_samples : int
        Frames behind the moments, at most.
    control : WorldModel, optional
        An untrained model, measured beside the trained one.
    cache : Path, optional
        Folder of kept embeddings (see :func:`spectral_jepa.pixels.diagnostics.latents.embed_rows`).
    batch_size : int
        Frames an encoder call.

    Returns
    -------
    DataFrame
        Columns input ("embedding" or "random encoder"), measure, index, value, error, n. ``straightness`` is the mean over
        episodes, its error the standard error over them; ``effective_rank`` is exp(entropy) of the normalised eigenvalues
        of the centred covariance; ``whitening_gap`` is ||covariance - I||_F^2 + ||mean||^2 divided by the dimension;
        ``eigenvalue`` has one row an index, largest first.

    Raises
    ------
    InputError
        No episode of three frames or more.

    Notes
    -----
    Encoder passes, and O(N D^2 + D^3). Source: Sub-JEPA, eq. 9 (effective rank); docs/theory.md, 2.5 (whitening).

    Examples
    --------
    Pictures that grow brighter at an even pace, embedded by their mean colour: a straight line, and one direction of three.

    >>> from spectral_jepa.pixels.data import EpisodeDataset
    >>> class MeanColour(torch.nn.Module):
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2))
    >>> pixels = np.arange(40, dtype=np.uint8).repeat(4 * 4 * 3).reshape(40, 4, 4, 3)
    >>> data = EpisodeDataset.from_episodes([{"pixels": pixels, "action": np.zeros((40, 2))}] * 2)
    >>> table = latent_geometry(MeanColour(), data, [0, 1], every=5)
    >>> table.set_index("measure")["value"][["straightness", "effective_rank"]].round(6).to_dict()
    {'straightness': 1.0, 'effective_rank': 1.0}
    """
    inputs = {"embedding": model} | ({} if control is None else {"random encoder": control})
    rows = sample_rows(dataset, episodes, n_samples, seed)
    tables = []
    for name, encoder in inputs.items():
        paths = embed_episodes(encoder, dataset, episodes, every=every, cache=cache, batch_size=batch_size)
        sampled = embed_rows(encoder, dataset, rows, cache=cache, batch_size=batch_size)
        tables.append(latent_geometry_table({name: sampled}, {name: [latents for _, latents in paths]}))
    return pd.concat(tables, ignore_index=True)


def latent_geometry_table(
    samples: Mapping[str, NDArray[np.float32]], trajectories: Mapping[str, Sequence[NDArray[np.float32]]]
) -> pd.DataFrame:
    """The table of :func:`latent_geometry` from latents.

    Parameters
    ----------
    samples : dict of arrays (N, D)
        Latents behind the moments, by name of input.
    trajectories : dict of lists of arrays (T, D)
        Latents of each episode, under the same names; those with T < 3 are left out.

    Returns
    -------
    DataFrame
        Columns input, measure, index, value, error, n; of each input straightness, effective rank, whitening gap and D
        eigenvalues. ``n`` counts trajectories that move, or samples; ``error`` is NaN where there is none.

    Raises
    ------
    InputError
        No trajectory of three frames or more.

    Notes
    -----
    O(N D^2 + D^3) an input.

    Examples
    --------
    >>> corners = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> table = latent_geometry_table({"embedding": corners}, {"embedding": [np.outer(np.arange(4.0), [1, 2])]})
    >>> table.query("measure != 'eigenvalue'").set_index("measure")["value"].round(6).to_dict()
    {'straightness': 1.0, 'effective_rank': 2.0, 'whitening_gap': 0.0}
    """
    rows: list[tuple[str, str, int, float, float, int]] = []
    for name, values in samples.items():
        cosines = np.array([straightness(path) for path in trajectories[name] if len(path) >= 3])
        cosines = cosines[np.isfinite(cosines)]
        if not any(len(path) >= 3 for path in trajectories[name]):
            raise InputError("no episode has three frames, expected at least one: collect longer episodes")
        n = cosines.size
        mean = float(cosines.mean()) if n else float("nan")
        error = float(cosines.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
        tensor = torch.as_tensor(np.asarray(values, dtype=np.float64))
        rows += [
            (name, "straightness", 0, mean, error, n),
            (name, "effective_rank", 0, float(sample_effective_rank(tensor)), float("nan"), len(values)),
            (name, "whitening_gap", 0, float(whitening_penalty(tensor)) / tensor.shape[1], float("nan"), len(values)),
        ]
        rows += [
            (name, "eigenvalue", i, float(x), float("nan"), len(values))
            for i, x in enumerate(covariance_eigenvalues(values), 1)
        ]
    return pd.DataFrame(rows, columns=COLUMNS)
