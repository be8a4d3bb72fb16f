"""Lesson 5, latent or input: a task seen beside a background, and the two models that keep different things of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from spectral_jepa._validation import Array, InputError
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import spectral_embedding, spectrum
from spectral_jepa.generators import make_ring, with_nuisance
from spectral_jepa.input_level import (
    InputLevelModel,
    critical_nuisance_scale,
    product_observations,
    reduced_rank_regression,
)
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.planning.values import first_best

N_TASK = N_VALUES = 5
SLIP = 0.4
DIMS = (1, 3, 5, 7, 9)
# Of the map: persistence of the background, and how loud it is.
PERSISTENCES = tuple(i / 20 for i in range(21))
SCALES = tuple(2.0**i for i in range(-5, 6))


@dataclass(frozen=True)
class Contest:
    """Regret of both models at one place of the map.

    Parameters
    ----------
    latent, input : float
        Mean one-step regret for the goals of the task.
    blind : float
        That of a planner that knows nothing: the model of dimension 1.
    task_value : float
        Singular value s of the task.
    critical_scale : float
        Loudness from which the input-level model keeps the background instead; inf for one that cannot be predicted.
    """

    latent: float
    input: float
    blind: float
    task_value: float
    critical_scale: float


def contest(scale: float, persistence: float, dim: int = 3) -> Contest:
    """Fit both models to the exact world at the same dimension, plan with both, and measure.

    Parameters
    ----------
    scale : float > 0
        Loudness c of the background's pixels; the task's have 1.
    persistence : float in [0, 1]
        Probability p that the background keeps its value: how well it can be predicted.
    dim : {1, 3, 5, 7, 9}
        Latent dimension of both; the constant counts as one.

    Returns
    -------
    Contest

    Raises
    ------
    InputError
        Another dimension, a number out of range.

    Notes
    -----
    A world of 25 states: milliseconds. Source: docs/theory.md, section 6; experiment latent_vs_input.

    Examples
    --------
    A loud, half-predictable background defeats the input-level model; a faint, slow one the latent model.

    >>> loud, faint = contest(2.0, 0.5), contest(0.01, 0.9)
    >>> [round(value, 3) for value in (loud.latent, loud.input, faint.latent, faint.input)]
    [0.0, 0.24, 0.24, 0.0]
    """
    _check(dim)
    regrets = {k: _regret(_latent(persistence, k), persistence) for k in (1, dim)}
    chosen = _input(persistence, scale).embedding(dim).transition()
    value = float(spectrum(CoOccurrence.exact(_task()))[0, 1])
    critical = float(critical_nuisance_scale(value, persistence, N_TASK, N_VALUES))
    return Contest(regrets[dim], _regret(chosen, persistence), regrets[1], value, critical)


@lru_cache(maxsize=8)
def phase_map(dim: int = 3) -> tuple[Array, Array]:
    """Regret of both models over persistence and loudness.

    Parameters
    ----------
    dim : {1, 3, 5, 7, 9}

    Returns
    -------
    latent : array (P,)
        Over ``PERSISTENCES``; loudness is nothing to it.
    input : array (C, P)
        Over ``SCALES`` and ``PERSISTENCES``.

    Raises
    ------
    InputError
        Another dimension.

    Notes
    -----
    Half a second, once a dimension.

    Examples
    --------
    >>> latent, loud = phase_map(9)
    >>> float(np.median(latent)) < 1e-9, float(np.median(loud)) < 1e-9
    (True, True)
    """
    _check(dim)
    latent = np.array([_regret(_latent(p, dim), p) for p in PERSISTENCES])
    loud = np.array([[_regret(_input(p, c).embedding(dim).transition(), p) for p in PERSISTENCES] for c in SCALES])
    return latent, loud


def _check(dim: int) -> None:
    if dim not in DIMS:
        raise InputError(f"dim is {dim}, expected one of {', '.join(map(str, DIMS))}: choose one of these")


def _task() -> TabularMDP:
    return make_ring(N_TASK, SLIP, 3)


@lru_cache(maxsize=128)
def _world(persistence: float) -> tuple[TabularMDP, CoOccurrence]:
    world = with_nuisance(_task(), N_VALUES, "markov", persistence=persistence)
    return world, CoOccurrence.exact(world)


@lru_cache(maxsize=256)
def _latent(persistence: float, dim: int) -> Array:
    return spectral_embedding(_world(persistence)[1], dim, shared=True).transition()


@lru_cache(maxsize=1024)
def _input(persistence: float, scale: float) -> InputLevelModel:
    pixels = product_observations(np.eye(N_TASK), np.eye(N_VALUES), nuisance_scale=scale)
    return reduced_rank_regression(_world(persistence)[1], pixels, shared=True)


def _regret(model: Array, persistence: float) -> float:
    """Mean one-step regret where a goal is a place of the task, whatever the background shows."""
    world = _world(persistence)[0]
    true, believed = (values.reshape(*values.shape[:2], N_TASK, N_VALUES).sum(-1) for values in (world.dense(), model))
    best = first_best(believed[None], axis=1)[0]
    reached = np.take_along_axis(true, best[None], axis=0)[0]
    return float((world.start[:, None] * (true.max(axis=0) - reached)).sum() / N_TASK)
