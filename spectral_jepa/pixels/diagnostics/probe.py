"""Probing: how much of each physical quantity a linear map, or a small network, reads out of a frozen latent.

The published tables (arXiv 2603.19312, tables 1, 3 and 4) come without probe sizes, splits or scaling. Here: train and test
on different episodes, targets in units of their training standard deviation, angles as (sin, cos), and three controls on the
same split: an untrained encoder of the same shape, the downsampled picture itself, and the true values of all other
quantities. The last tells what a score means where quantities go together: in Push-T the pose of the block alone predicts
the place of the disc with an R2 of .5, so that an encoder that does not see the disc seems to see half of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
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

from spectral_jepa._shapes import Float
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import Array, InputError, check_count, nearest
from spectral_jepa.pixels.config import ProbeConfig
from spectral_jepa.pixels.data.episodes import episode_of_rows, sample_rows
from spectral_jepa.pixels.diagnostics.latents import embed_rows
from spectral_jepa.pixels.diagnostics.quantities import (
    all_coordinates,
    is_angle,
    quantity_coordinates,
    quantity_distance,
    quantity_names,
    varies,
)
from spectral_jepa.pixels.interfaces import Dataset, Encoder, Pictures

COLUMNS = [
    "input", "probe", "quantity", "coordinate", "r2", "mse", "mse_error", "r",
    "error", "error_q90", "unit", "error_in_tolerances",
    "n_train", "n_test", "n_train_episodes", "n_test_episodes", "note",
]  # fmt: skip
OTHERS = "other quantities"


@dataclass(frozen=True)
class _Target:
    """A quantity's coordinates that vary, in units of their training standard deviation."""

    quantity: str
    coordinates: list[str]
    train: Array
    test: Array
    mean: Array
    scale: Array

    def natural(self, standard: Array) -> Array:
        """Back in the quantity's own units."""
        return self.mean + self.scale * standard


def probe(
    model: Encoder,
    dataset: Dataset,
    split: Mapping[str, ArrayLike],
    settings: ProbeConfig | None = None,
    *,
    control: Encoder | None = None,
    tolerances: Mapping[str, tuple[float, str]] | None = None,
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
    tolerances : dict of (float, str), optional
        Name of a quantity -> how near counts as reached, and the unit
        (:attr:`~spectral_jepa.pixels.environments.base.PixelEnvironment.tolerances`). Default: none is known.
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
        ``note`` says so. Inputs are "embedding", "random encoder", "pixels" (linear only) and, where there are others,
        "other quantities": the true values of all of them. The rows "mean" also have ``error`` and ``error_q90``, median and
        90 % quantile of the read-out's distance from the truth in the quantity's own ``unit``, and ``error_in_tolerances``,
        the median over the tolerance.

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
    together = all_coordinates(dataset, quantity_names(dataset), np.concatenate([train, test]))

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

    jobs = [
        (i, p, t)
        for i in [*inputs, OTHERS]
        for p in settings.probes
        for t in targets
        if not (i == "pixels" and p == "mlp") and not (i == OTHERS and not set(together) - {t.quantity})
    ]

    def pictures_or_values(name: str, target: _Target) -> tuple[Array, Array]:
        if name != OTHERS:
            return inputs[name]
        values = np.hstack([together[other] for other in together if other != target.quantity])
        return values[: train.size], values[train.size :]

    fits = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_fit_and_score)(*pictures_or_values(i, t), t, p, episode_of_rows(dataset, test), settings, tolerances or {})
        for i, p, t in jobs
    )
    episodes = {
        part: np.unique(episode_of_rows(dataset, sampled)).size for part, sampled in (("train", train), ("test", test))
    }
    shared = {"n_train": train.size, "n_test": test.size} | {f"n_{part}_episodes": n for part, n in episodes.items()}
    for (i, p, t), scores in zip(jobs, Bar(fits, "probe", total=len(jobs), disable=not progress), strict=True):
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
                f"the dataset has no column {name!r}, expected one of {', '.join(sorted(dataset.columns))}"
                f"{nearest(name, dataset.columns)}: name one"
            )
        raw = np.asarray(dataset.columns[name])
        (first, labels), (second, _) = (quantity_coordinates(name, raw[rows]) for rows in (train, test))
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            others = " ".join(other for other in names if other != name)
            raise InputError(
                f"column {name!r} has values that are not finite, expected numbers: leave it out, with "
                f"--quantities {others} (quantities= in Python)"
            )
        moving = varies(first) & varies(second)
        for label in np.array(labels)[~moving]:
            row = {"input": "none", "probe": "none", "quantity": name, "coordinate": str(label)}
            skipped.append(row | {"note": "constant in the train or test frames: not probed"})
        if moving.any():
            mean, scale = first[:, moving].mean(axis=0), first[:, moving].std(axis=0)
            kept = [str(label) for label in np.array(labels)[moving]]
            train_part, test_part = ((values[:, moving] - mean) / scale for values in (first, second))
            targets.append(_Target(name, kept, train_part, test_part, mean, scale))
    if not targets:
        raise InputError(f"every column of {list(names)} is constant, expected one that varies: collect more episodes")
    return targets, skipped


@dataclass(frozen=True)
class FittedProbe:
    """A read-out of one quantity, see :func:`fit_probe`.

    Parameters
    ----------
    predict : callable
        Inputs (N, D) to targets (N, c).
    note : str
        What is to be said about the fit; usually nothing.
    """

    predict: Callable[[Array], Array]
    note: str


def fit_probe(
    inputs: Float[np.ndarray, "N D"], targets: Float[np.ndarray, "N c"], probe: str, *, seed: int = 0, max_epochs: int = 200
) -> FittedProbe:
    """Fit one probe.

    Parameters
    ----------
    inputs : array (N, D)
        Such as latents; standardised here.
    targets : array (N, c)
        In units of their standard deviation.
    probe : {"linear", "mlp"}
        As in :func:`probe`.
    seed : int
        Of the MLP.
    max_epochs : int
        Of the MLP; reaching it is noted.

    Returns
    -------
    FittedProbe

    Notes
    -----
    O(N D^2) a ridge, O(N) an epoch of the MLP. Source: see :func:`probe`.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> fitted = fit_probe(x, x[:, :1] - 2 * x[:, 1:2], "linear")
    >>> fitted.predict(np.array([[1.0, 1.0, 5.0]])).round(3)
    array([[-1.]])
    """
    scaler = StandardScaler().fit(inputs)
    if probe == "linear":
        learner: Any = Ridge(alpha=1e-3)
    else:
        learner = MLPRegressor(
            hidden_layer_sizes=(256, 128),
            batch_size=min(512, int(0.9 * len(inputs))),
            learning_rate_init=1e-3,
            early_stopping=True,
            max_iter=max_epochs,
            random_state=seed,
        )
    n = targets.shape[1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learner.fit(scaler.transform(inputs), targets.ravel() if n == 1 else targets)
    stopped = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    note = f"still improving after {max_epochs} epochs" if stopped else ""
    return FittedProbe(lambda values: np.asarray(learner.predict(scaler.transform(values))).reshape(-1, n), note)


def read_out_error(
    quantity: str, predicted: Float[np.ndarray, "N c"], truth: Float[np.ndarray, "N c"],
    tolerances: Mapping[str, tuple[float, str]],
) -> dict[str, Any]:  # fmt: skip
    """How far a read-out is from the truth, in the quantity's own unit and in units of what counts as reached.

    Parameters
    ----------
    quantity : str
        Its name.
    predicted, truth : arrays (N, c)
        Coordinates in own units (:func:`~spectral_jepa.pixels.diagnostics.quantities.quantity_coordinates`).
    tolerances : dict of (float, str)
        As in :func:`probe`.

    Returns
    -------
    dict
        ``error`` and ``error_q90``, median and 90 % quantile of the distance; ``unit``; ``error_in_tolerances``, the median
        over the tolerance. NaN where they are not defined: an angle one of whose two coordinates is constant, a quantity
        without a tolerance.

    Notes
    -----
    O(N c).

    Examples
    --------
    >>> truth = np.zeros((3, 2))
    >>> read_out_error("agent_position", truth + [3.0, 4.0], truth, {"agent_position": (20.0, "px")})
    {'error': 5.0, 'error_q90': 5.0, 'unit': 'px', 'error_in_tolerances': 0.25}
    """
    tolerance, unit = tolerances.get(quantity, (float("nan"), "rad" if is_angle(quantity) else ""))
    if is_angle(quantity) and truth.shape[1] % 2:
        return {"error": float("nan"), "error_q90": float("nan"), "unit": unit, "error_in_tolerances": float("nan")}
    median, high = np.quantile(quantity_distance(quantity, predicted, truth), [0.5, 0.9])
    return {
        "error": float(median), "error_q90": float(high), "unit": unit, "error_in_tolerances": float(median / tolerance),
    }  # fmt: skip


def _fit_and_score(
    train: Array,
    test: Array,
    target: _Target,
    probe: str,
    episode: NDArray[np.int64],
    settings: ProbeConfig,
    tolerances: Mapping[str, tuple[float, str]],
) -> list[dict[str, Any]]:
    """Fit one probe on one quantity; a dict of scores a coordinate, and their mean."""
    fitted = fit_probe(train, target.train, probe, seed=settings.seed, max_epochs=settings.max_epochs)
    predicted = fitted.predict(test)
    error = (predicted - target.test) ** 2
    r2 = r2_score(target.test, predicted, multioutput="raw_values")
    r = [_correlation(x, y) for x, y in zip(predicted.T, target.test.T, strict=True)]
    columns = [*target.coordinates, "mean"]
    scores = zip(columns, [*r2, np.mean(r2)], [*r, np.mean(r)], [*error.T, error.mean(axis=1)], strict=True)
    rows = [
        {"coordinate": c, "r2": a, "mse": e.mean(), "mse_error": _episode_error(e, episode), "r": b, "note": fitted.note}
        for c, a, b, e in scores
    ]
    rows[-1] |= read_out_error(target.quantity, target.natural(predicted), target.natural(target.test), tolerances)
    return rows


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
