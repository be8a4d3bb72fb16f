"""Probing: how much of each physical quantity a linear map, or a small network, reads out of a frozen latent.

The published tables (arXiv 2603.19312, tables 1, 3 and 4) come without probe sizes, splits or scaling. Here: train and test
on different episodes, targets in units of their training standard deviation, angles as (sin, cos), and two controls on the
same split: an untrained encoder of the same shape, and the downsampled picture itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from spectral_jepa._validation import Array, InputError, check_count
from spectral_jepa.pixels.config import ProbeConfig
from spectral_jepa.pixels.data.episodes import episode_of_rows, sample_rows
from spectral_jepa.pixels.diagnostics.latents import embed_rows
from spectral_jepa.pixels.interfaces import Dataset, Encoder, Pictures

COLUMNS = [
    "input", "probe", "quantity", "coordinate", "r2", "mse", "mse_error", "r",
    "n_train", "n_test", "n_train_episodes", "n_test_episodes", "note",
]  # fmt: skip
# Columns of the public files that say what was done or when, not how the world is.
_NOT_QUANTITIES = ("pixels", "action", "state", "reward", "terminated", "truncated", "success", "proprio", "observation")


@dataclass(frozen=True)
class _Target:
    quantity: str
    coordinates: list[str]
    train: Array
    test: Array


def quantity_names(dataset: Dataset) -> list[str]:
    """Columns of a dataset that hold physical quantities.

    Parameters
    ----------
    dataset : EpisodeDataset

    Returns
    -------
    list of str
        Columns of floating point, less those that say what was done or when (``action``, ``state``, ``reward`` and the like)
        and those that start with "goal".

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> columns = {"state": np.zeros((2, 4)), "block_angle": np.zeros(2), "step_idx": np.zeros(2, int)}
    >>> quantity_names(SimpleNamespace(columns=columns))
    ['block_angle']
    """
    floating = [name for name, values in dataset.columns.items() if np.issubdtype(values.dtype, np.floating)]
    return [name for name in floating if name not in _NOT_QUANTITIES and not name.startswith("goal")]


def probe(
    model: Encoder,
    dataset: Dataset,
    split: Mapping[str, ArrayLike],
    settings: ProbeConfig | None = None,
    *,
    control: Encoder | None = None,
    n_jobs: int = 1,
    batch_size: int = 256,
    cache: Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Probe a frozen model for every physical quantity of a dataset.

    Parameters
    ----------
    model : WorldModel
    dataset : EpisodeDataset
    split : dict
        Episode ids under "train" and "test" (see ``split_episodes``); they must not overlap.
    settings : ProbeConfig, optional
        "linear" is ridge regression (alpha 1e-3), "mlp" a 256-128 ReLU network (Adam 1e-3, batch 512, early stopping on a
        tenth of the training frames).
    control : WorldModel, optional
        An untrained model of the same shape, probed beside the trained one ("random encoder").
    n_jobs : int
        Processes for the fits.
    batch_size : int
        Frames an encoder call.
    cache : Path, optional
        Folder of kept embeddings (see :func:`spectral_jepa.pixels.diagnostics.latents.embed_rows`).
    progress : bool
        Show bars.

    Returns
    -------
    DataFrame
        One row a coordinate, and one with coordinate "mean" a quantity: r2 and Pearson r on the test frames, mse in units
        of the training variance, mse_error its standard error over test episodes (frames of one episode are not
        independent). Angles have the coordinates sin and cos. A constant coordinate cannot be scored: it has a row whose
        ``note`` says so.

    Raises
    ------
    InputError
        Overlapping or empty episode sets, a column that is missing, a target that is not finite, too few frames.

    Notes
    -----
    One pass of each encoder over the frames, O(n D^2) a ridge, O(n) an epoch of the MLP. Inputs are standardised on the
    training frames. r of a constant prediction counts as 0. Recipe: arXiv 2603.19312 leaves it open; this is that of its
    rerun with disjoint episodes (25k / 5k frames).

    Examples
    --------
    Mean colours tell the brightness of a picture exactly.

    >>> from spectral_jepa.pixels.data import EpisodeDataset
    >>> class MeanColour(torch.nn.Module):
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2))
    >>> pixels = np.arange(40, dtype=np.uint8).repeat(4 * 4 * 3).reshape(40, 4, 4, 3)
    >>> episode = {"pixels": pixels, "action": np.zeros((40, 2)), "brightness": np.arange(40.0)}
    >>> data = EpisodeDataset.from_episodes([episode] * 2)
    >>> table = probe(MeanColour(), data, {"train": [0], "test": [1]}, ProbeConfig(probes=("linear",)))
    >>> table.query("input == 'embedding'")[["quantity", "coordinate", "r2"]].round(6).values.tolist()
    [['brightness', '0', 1.0], ['brightness', 'mean', 1.0]]
    """
    settings = settings or ProbeConfig()
    train_ids, test_ids = (np.asarray(split[part], dtype=np.int64) for part in ("train", "test"))
    both = np.intersect1d(train_ids, test_ids)
    if both.size:
        raise InputError(f"episode {both[0]} is in the train and in the test part, expected disjoint parts: split again")
    generator = np.random.default_rng(settings.seed)
    train = sample_rows(dataset, train_ids, settings.n_train, generator)
    test = sample_rows(dataset, test_ids, settings.n_test, generator)
    check_count("number of training frames", train.size, low=20, why="the MLP keeps a tenth of them for early stopping")
    check_count("number of test frames", test.size, low=2)
    names = quantity_names(dataset) if settings.quantities is None else list(settings.quantities)
    if not names:
        raise InputError("the dataset has no column of physical quantities: name columns, such as quantities=['state']")
    targets, rows = _targets(dataset, names, train, test)

    inputs: dict[str, tuple[Array, Array]] = {}
    models = {"embedding": model} | ({} if control is None else {"random encoder": control})
    for name, encoder in models.items():
        title = f"embed ({name})" if progress else None
        latents = embed_rows(
            encoder, dataset, np.concatenate([train, test]), batch_size=batch_size, cache=cache, progress=title
        )
        inputs[name] = (latents[: train.size].astype(np.float64), latents[train.size :].astype(np.float64))
    size = settings.picture_size
    inputs["pixels"] = (_downsample(dataset.pixels, train, size), _downsample(dataset.pixels, test, size))

    jobs = [(i, p, t) for i in inputs for p in settings.probes for t in targets if not (i == "pixels" and p == "mlp")]
    fits = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_fit_and_score)(*inputs[i], t, p, episode_of_rows(dataset, test), settings.seed, settings.max_epochs)
        for i, p, t in jobs
    )
    episodes = {
        part: np.unique(episode_of_rows(dataset, sampled)).size for part, sampled in (("train", train), ("test", test))
    }
    shared = {"n_train": train.size, "n_test": test.size} | {f"n_{part}_episodes": n for part, n in episodes.items()}
    for (i, p, t), scores in zip(jobs, tqdm(fits, "probe", total=len(jobs), disable=not progress), strict=True):
        rows += [{"input": i, "probe": p, "quantity": t.quantity, **score} for score in scores]
    return pd.DataFrame([row | shared for row in rows], columns=COLUMNS)


def _downsample(pixels: Pictures, rows: NDArray[np.int64], size: int) -> Array:
    parts = []
    for start in range(0, rows.size, 512):
        frames = torch.from_numpy(np.array(pixels[rows[start : start + 512]])).permute(0, 3, 1, 2).float()
        parts.append(F.interpolate(frames, (size, size), mode="area").flatten(1).double().numpy() / 255)
    return np.concatenate(parts)


def _targets(
    dataset: Dataset, names: Sequence[str], train: NDArray[np.int64], test: NDArray[np.int64]
) -> tuple[list[_Target], list[dict[str, Any]]]:
    targets, skipped = [], []
    for name in names:
        if name not in dataset.columns:
            raise InputError(
                f"the dataset has no column {name!r}, expected one of {', '.join(sorted(dataset.columns))}: name one"
            )
        raw = np.asarray(dataset.columns[name])
        (first, labels), (second, _) = (_coordinates(name, raw[rows]) for rows in (train, test))
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            others = " ".join(other for other in names if other != name)
            raise InputError(
                f"column {name!r} has values that are not finite, expected numbers: leave it out, with "
                f"--quantities {others} (quantities= in Python)"
            )
        # Stored in single precision, a constant may still wander by a rounding.
        floor = 1e-6 * np.maximum(1e-3, np.abs(first).max(axis=0))
        varies = (first.std(axis=0) > floor) & (second.std(axis=0) > floor)
        for label in np.array(labels)[~varies]:
            row = {"input": "none", "probe": "none", "quantity": name, "coordinate": str(label)}
            skipped.append(row | {"note": "constant in the train or test frames: not probed"})
        if varies.any():
            mean, scale = first[:, varies].mean(axis=0), first[:, varies].std(axis=0)
            kept = [str(label) for label in np.array(labels)[varies]]
            targets.append(_Target(name, kept, (first[:, varies] - mean) / scale, (second[:, varies] - mean) / scale))
    if not targets:
        raise InputError(f"every column of {list(names)} is constant, expected one that varies: collect more episodes")
    return targets, skipped


def _coordinates(name: str, values: NDArray[Any]) -> tuple[Array, list[str]]:
    values = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    n = values.shape[1]
    if not name.endswith("_angle"):
        return values, [str(i) for i in range(n)]
    numbers = [f" {i}" if n > 1 else "" for i in range(n)]
    labels = [f"sin{i}" for i in numbers] + [f"cos{i}" for i in numbers]
    return np.hstack([np.sin(values), np.cos(values)]), labels


def _fit_and_score(
    train: Array, test: Array, target: _Target, probe: str, episode: NDArray[np.int64], seed: int, max_epochs: int
) -> list[dict[str, Any]]:
    """Fit one probe on one quantity; a dict of scores a coordinate, and their mean."""
    scaler = StandardScaler().fit(train)
    if probe == "linear":
        learner: Any = Ridge(alpha=1e-3)
    else:
        batch = min(512, int(0.9 * len(train)))
        learner = MLPRegressor(
            hidden_layer_sizes=(256, 128),
            batch_size=batch,
            learning_rate_init=1e-3,
            early_stopping=True,
            max_iter=max_epochs,
            random_state=seed,
        )
    one_column = target.train.shape[1] == 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learner.fit(scaler.transform(train), target.train.ravel() if one_column else target.train)
    stopped = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    note = f"still improving after {max_epochs} epochs" if stopped else ""
    predicted = learner.predict(scaler.transform(test)).reshape(target.test.shape)
    error = (predicted - target.test) ** 2
    r2 = r2_score(target.test, predicted, multioutput="raw_values")
    r = [_correlation(x, y) for x, y in zip(predicted.T, target.test.T, strict=True)]
    columns = [*target.coordinates, "mean"]
    scores = zip(columns, [*r2, np.mean(r2)], [*r, np.mean(r)], [*error.T, error.mean(axis=1)], strict=True)
    return [
        {"coordinate": c, "r2": a, "mse": e.mean(), "mse_error": _episode_error(e, episode), "r": b, "note": note}
        for c, a, b, e in scores
    ]


def _correlation(x: Array, y: Array) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / norm) if norm > 0 else 0.0


def _episode_error(error: Array, episode: NDArray[np.int64]) -> float:
    """Standard error of a mean whose terms come in episodes: ratio estimator, clusters weighted by their frames."""
    _, which, count = np.unique(episode, return_inverse=True, return_counts=True)
    n = count.size
    if n < 2:
        return float("nan")
    total = np.bincount(which, error) - error.mean() * count
    return float(np.sqrt(n / (n - 1) * np.sum(total**2)) / error.size)
