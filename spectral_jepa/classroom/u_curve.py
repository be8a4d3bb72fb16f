"""Lesson 1, the U: error and regret of the fitted model against the latent dimension, in a world of known rank."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from spectral_jepa._notebook import short_repr
from spectral_jepa._validation import Array, check_count
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.data import sample_transitions
from spectral_jepa.embedding import spectral_embedding, tail
from spectral_jepa.generators import make_low_rank
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.planning import plan_goals
from spectral_jepa.theory import spectral_risk

N_STATES, N_ACTIONS = 40, 3
DIMS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 40)


@dataclass(frozen=True, repr=False)
class UCurve:
    """Curves over the dimensions ``DIMS``.

    Parameters
    ----------
    n_samples : int
        Transitions in all.
    tail : array (D,)
        Approximation error: what infinite data leave, mean over actions.
    risk : array (D,)
        Pretraining error of the model fitted to the sample, measured on the exact world, mean over actions.
    regret : array (D,)
        Mean goal regret of its one-step plans, as a share of that of an action drawn by lot.
    """

    n_samples: int
    tail: Array
    risk: Array
    regret: Array

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def best_dim(self) -> int:
        """The dimension at which the pretraining error is least."""
        return DIMS[int(np.argmin(self.risk))]

    def at(self, dim: int) -> tuple[float, float, float]:
        """Tail, risk and regret at one of ``DIMS``."""
        place = DIMS.index(dim)
        return float(self.tail[place]), float(self.risk[place]), float(self.regret[place])


@lru_cache(maxsize=256)
def u_curve(n_samples: int, rank: int = 8, noise: float = 0.0, seed: int = 0) -> UCurve:
    """Draw transitions in a world of 40 states and a given rank, and fit every dimension to them.

    Parameters
    ----------
    n_samples : int
        Transitions in all, dealt evenly to 3 actions; at least one each.
    rank : int
        Of the world.
    noise : float in [0, 1]
        Share of a second, unstructured world that is mixed in: it lifts every singular value behind the rank.
    seed : int
        Of the data; the world is always the same.

    Returns
    -------
    UCurve
        Kept: the same call is free the second time.

    Raises
    ------
    InputError
        A count below its least, or a share out of range.

    Notes
    -----
    12 fits of O(S^3). Source: docs/theory.md, 2.2 (tail) and 4.5 (sampling).

    Examples
    --------
    >>> curve = u_curve(30_000, rank=5)
    >>> curve.best_dim, u_curve(1_000, rank=5).best_dim < 5
    (5, True)
    """
    check_count("n_samples", n_samples, N_ACTIONS)
    world, exact = _world(rank, noise)
    data = sample_transitions(world, n_per_action=n_samples // N_ACTIONS, seed=seed + 1)
    sampled = CoOccurrence.from_transitions(data)
    fits = [spectral_embedding(sampled, dim) for dim in DIMS]
    return UCurve(
        n_samples,
        np.array([tail(exact, dim).mean() for dim in DIMS]),
        np.array([spectral_risk(exact, fit).mean() for fit in fits]),
        np.array([plan_goals(world, fit).mean_regret for fit in fits]) / _lot(world),
    )


@lru_cache(maxsize=64)
def _world(rank: int, noise: float) -> tuple[TabularMDP, CoOccurrence]:
    world = make_low_rank(n_states=N_STATES, rank=rank, n_actions=N_ACTIONS, noise=noise, seed=0)
    return world, CoOccurrence.exact(world)


def _lot(world: TabularMDP) -> float:
    """The regret of an action drawn by lot, mean over starts and goals."""
    values = world.dense()
    return float((values.max(axis=0) - values.mean(axis=0)).mean())
