"""The point mass on a coarse grid, for its spectrum: cells of position, velocity and one noise feature as states."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from spectral_jepa._signatures import checked
from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import check_count, check_nonnegative
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.data import Transitions
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.point_mass.environment import PointMass, collect_windows

# Inner edges: shares of the arena, shares of the terminal velocity, and units of the noise feature.
POSITION_EDGES = (-0.6, -0.2, 0.2, 0.6)
VELOCITY_EDGES = (-1 / 3, 1 / 3)
NOISE_EDGES = (-1.0, 1.0)
N_CLEAN_STATES = (len(POSITION_EDGES) + 1) ** 2 * (len(VELOCITY_EDGES) + 1) ** 2


@checked()
def discretised_transitions(world: PointMass, n_transitions: int, seed: int) -> Transitions:
    """Draw one-step transitions and read them on the grid.

    Parameters
    ----------
    world : PointMass
    n_transitions : int
    seed : int
        States and actions depend on (seed, n_transitions), not on the noise level.

    Returns
    -------
    Transitions
        States are cells of (px, py, vx, vy, first noise feature), 675 of them; actions are the four quadrants.

    Raises
    ------
    InputError
        No transition.

    Notes
    -----
    O(n_transitions).

    Examples
    --------
    >>> from spectral_jepa.point_mass.settings import PointMassSettings
    >>> data = discretised_transitions(PointMass(PointMassSettings(), 0.0), 100, seed=0)
    >>> data.n_states, data.n_actions
    (675, 4)
    """
    check_count("n_transitions", n_transitions)
    settings = world.settings
    windows = collect_windows(world, n_transitions, torch_generator(seed, n_transitions, 7, seeds="point mass"))
    terminal = settings.scale / (1 - settings.damping)
    columns = (
        (0, settings.arena, POSITION_EDGES),
        (1, settings.arena, POSITION_EDGES),
        (2, terminal, VELOCITY_EDGES),
        (3, terminal, VELOCITY_EDGES),
        (4 + settings.n_nuisance, 1.0, NOISE_EDGES),
    )
    ids = []
    for t in (0, 1):
        values = windows.observation[:, t].numpy()
        state = np.zeros(n_transitions, dtype=np.int64)
        for column, unit, edges in columns:
            state = state * (len(edges) + 1) + np.digitize(values[:, column] / unit, edges)
        ids.append(state)
    action = windows.action[:, 0].numpy()
    quadrant = 2 * (action[:, 0] > 0) + (action[:, 1] > 0)
    return Transitions(ids[0], quadrant, ids[1], n_states=N_CLEAN_STATES * (len(NOISE_EDGES) + 1), n_actions=4)


@checked()
def noisy_population(clean: Transitions, noise: float) -> CoOccurrence:
    """Exact co-occurrence of the grid world with an i.i.d. noise feature beside it.

    Parameters
    ----------
    clean : Transitions
        Transitions drawn without noise, enough to visit every clean cell under every action; their frequencies are taken as
        the world.
    noise : float
        Standard deviation of the noise feature.

    Returns
    -------
    CoOccurrence
        Its singular values are those without noise, whatever the noise (docs/theory.md, section 2.9).

    Raises
    ------
    InputError
        A cell never left under some action.

    Notes
    -----
    O(A S^2).

    Examples
    --------
    >>> from spectral_jepa.point_mass.settings import PointMassSettings
    >>> clean = discretised_transitions(PointMass(PointMassSettings(), 0.0), 30_000, seed=0)
    >>> noisy_population(clean, 0.5).n_states
    675
    """
    check_nonnegative("noise", noise)
    n_values = len(NOISE_EDGES) + 1
    middle = slice(n_values // 2, None, n_values)
    counts = clean.counts()[:, middle, middle].astype(np.float64)
    weight = counts.sum((0, 2)) / counts.sum()
    transition = counts / counts.sum(axis=2, keepdims=True).clip(1e-300)
    law = np.diff(stats.norm.cdf([-math.inf, *(edge / noise for edge in NOISE_EDGES), math.inf])) if noise else np.eye(3)[1]
    product = np.einsum("axy,j->axyj", transition, law).reshape(*transition.shape[:2], -1)
    return CoOccurrence.exact(TabularMDP(product.repeat(n_values, axis=1), np.kron(weight, law)))
