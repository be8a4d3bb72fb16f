"""Lesson 3, collapse: encoders on their way through training, under three regularisers and many strengths.

The table of trained encoders is made once by the trainer (:func:`train_table`) and kept in ``classroom/data/collapse.npz``,
so that the lesson needs no torch; where torch is there, :func:`train_live` trains any other strength in a few seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from spectral_jepa._notebook import short_repr
from spectral_jepa._validation import Array, InputError, check_choice, check_count, check_nonnegative
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import spectrum
from spectral_jepa.generators import make_autoregressive
from spectral_jepa.sweep.experiment import shipped_folder
from spectral_jepa.theory import sigreg_collapse_threshold, soft_whitening_scales

N_STATES, CORRELATION, DIM, N_STEPS = 16, 0.8, 6, 1500
REGULARIZERS = ("none", "whitening", "sigreg")
STRENGTHS = {
    "none": (0.0,),
    "whitening": (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.7, 1.0),
    "sigreg": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0, 30.0, 100.0),
}
STEPS = (0, 10, 20, 50, 100, 150, 200, 300, 400, 600, 900, 1500)
# An eigenvalue of E[f f^T] below this is one that has collapsed.
FOUND = 1e-4
TABLE = "data/collapse.npz"


@dataclass(frozen=True, repr=False)
class Encoder:
    """The encoder of one run at one step.

    Parameters
    ----------
    latents : array (16, 6)
        f of each state.
    plane : array (16, 2)
        The same on two fixed axes of the run, those along which it varies most over all recorded steps.
    eigenvalues : array (6,)
        Of E[f f^T], descending.
    predicted : int or None
        Rank that theory predicts for the end of training; None where it only says that collapse is unstable.
    """

    latents: Array
    plane: Array
    eigenvalues: Array
    predicted: int | None

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def rank(self) -> int:
        """How many eigenvalues are above 1e-4."""
        return int(np.sum(self.eigenvalues > FOUND))


def predicted_rank(regularizer: str, strength: float) -> int | None:
    """The rank at the end of training, from the singular values of the world alone.

    Parameters
    ----------
    regularizer : {"none", "whitening", "sigreg"}
    strength : float >= 0
        lambda.

    Returns
    -------
    int or None
        Whitening: how many of the first six s_i^2 exceed 1 - 2 lambda. "none": 1, a constant, at most. SIGReg: 0
        where total collapse is stable, else None, because theory then only says that it does not stay at 0.

    Raises
    ------
    InputError
        An unknown regulariser or a negative strength.

    Notes
    -----
    O(k). Source: docs/theory.md, 2.6 and 5.

    Examples
    --------
    >>> [predicted_rank("whitening", strength) for strength in (0.1, 0.25, 0.4, 1.0)]
    [1, 2, 4, 6]
    >>> predicted_rank("sigreg", 0.5), predicted_rank("sigreg", 100.0)
    (0, None)
    """
    check_choice("regularizer", regularizer, REGULARIZERS)
    check_nonnegative("strength", strength)
    values = singular_values()
    if regularizer == "whitening":
        return int(np.sum(soft_whitening_scales(values, strength) > FOUND))
    if regularizer == "none":
        return 1
    return 0 if values[1] ** 2 <= sigreg_collapse_threshold(DIM, strength) else None


@lru_cache(maxsize=1)
def singular_values() -> Array:
    """First six singular values of the lesson's world, .8 to the powers 0 to 5.

    Returns
    -------
    array (6,)

    Examples
    --------
    >>> singular_values().round(4)
    array([1.    , 0.8   , 0.64  , 0.512 , 0.4096, 0.3277])
    """
    return spectrum(_exact(), shared=True)[:DIM]


def encoder_at(regularizer: str, strength: float, step: int) -> Encoder:
    """Look up a run of the kept table.

    Parameters
    ----------
    regularizer : str
        One of ``REGULARIZERS``.
    strength : float
        One of its ``STRENGTHS``.
    step : int
        One of ``STEPS``.

    Returns
    -------
    Encoder

    Raises
    ------
    InputError
        A strength or step that is not in the table, or no table.

    Examples
    --------
    >>> encoder_at("whitening", 0.25, 1500).rank, encoder_at("whitening", 0.25, 0).rank
    (2, 6)
    """
    check_choice("regularizer", regularizer, REGULARIZERS)
    for name, value, known in (("strength", strength, STRENGTHS[regularizer]), ("step", step, STEPS)):
        if value not in known:
            raise InputError(f"{name} is {value}, expected one of {', '.join(map(str, known))}: choose one of these")
    run = _table()[regularizer][STRENGTHS[regularizer].index(strength)]
    return _encoders(run, regularizer, strength)[STEPS.index(step)]


def train_live(regularizer: str, strength: float, n_steps: int = 600) -> list[Encoder]:
    """Train one encoder now, at any strength.

    Parameters
    ----------
    regularizer : str
        One of ``REGULARIZERS``.
    strength : float >= 0
    n_steps : int
        At least 20.

    Returns
    -------
    list of Encoder
        At 0, 1/20, 2/20, ... of the steps.

    Raises
    ------
    InputError
        torch is not installed, an unknown regulariser, a strength or a count out of range.

    Notes
    -----
    About a second for 600 steps.

    Examples
    --------
    >>> encoders = train_live("whitening", 0.33, n_steps=400)
    >>> len(encoders), encoders[-1].rank == encoders[-1].predicted
    (21, True)
    """
    check_choice("regularizer", regularizer, REGULARIZERS)
    check_count("n_steps", n_steps, 20)
    path = _train(regularizer, (strength,), n_steps, n_steps // 20)
    return _encoders(np.stack([encoded[0] for _, encoded in path][:21]), regularizer, strength)


def train_table() -> dict[str, Array]:
    """Train every run of the table: about a minute.

    Returns
    -------
    dict of float16 arrays (strengths, steps, 16, 6)
        One a regulariser.

    Raises
    ------
    InputError
        torch is not installed.

    Notes
    -----
    ``classroom/make_data.py`` writes it to ``classroom/data/collapse.npz``.

    Examples
    --------
    >>> table = train_table()  # doctest: +SKIP
    """
    found: dict[str, Any] = {}
    for regularizer in REGULARIZERS:
        path = dict(_train(regularizer, STRENGTHS[regularizer], N_STEPS, 10))
        found[regularizer] = np.stack([path[step] for step in STEPS], axis=1).astype(np.float16)
    return found


def _train(regularizer: str, strengths: Sequence[float], n_steps: int, every: int) -> list[tuple[int, Array]]:
    if find_spec("torch") is None:
        raise InputError(
            "training needs torch, which is not installed, expected it for a strength that is not in the table: "
            "pip install torch, or choose a strength of the table"
        )
    from spectral_jepa.jepa import JepaConfig, Run, train_jepa

    path: list[tuple[int, Array]] = []
    settings: dict[str, Any] = {"regularizer": regularizer, "n_steps": n_steps, "record_every": every, "n_slices": 32}
    runs = [Run(dim=DIM, strength=strength) for strength in strengths]
    train_jepa(_exact(), runs, JepaConfig(**settings), watch=lambda step, encoded: path.append((step, encoded)))
    return path


def _encoders(run: Array, regularizer: str, strength: float) -> list[Encoder]:
    """From latents (steps, 16, 6) of one run."""
    weight = _exact().pooled_column_weight
    latents = run.astype(np.float64)
    centred = latents - np.einsum("s,tsk->tk", weight, latents)[:, None]
    axes = np.linalg.eigh(np.einsum("s,tsk,tsl->kl", weight, centred, centred))[1][:, :-3:-1]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    moments = np.einsum("s,tsk,tsl->tkl", weight, latents, latents)
    predicted = predicted_rank(regularizer, strength)
    return [
        Encoder(f, c @ axes, np.maximum(np.linalg.eigvalsh(moment)[::-1], 0.0), predicted)
        for f, c, moment in zip(latents, centred, moments, strict=True)
    ]


@lru_cache(maxsize=1)
def _exact() -> CoOccurrence:
    return CoOccurrence.exact(make_autoregressive(N_STATES, CORRELATION))


@lru_cache(maxsize=1)
def _table() -> dict[str, Array]:
    path: Path = shipped_folder("classroom") / TABLE
    if not path.is_file():
        raise InputError(
            f"{path} does not exist, expected the classroom's table: run python classroom/make_data.py collapse"
        )
    with np.load(path) as saved:
        return {name: saved[name] for name in REGULARIZERS}
