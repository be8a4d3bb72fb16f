"""Discrete actions: a grid MDP drawn as pictures, a closed-form world model of its pixels, and planning between cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError, check_count, check_indices
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import spectral_embedding
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.pixels.config import PlanningConfig
from spectral_jepa.pixels.planning.latent import plan_discrete
from spectral_jepa.pixels.planning.pooled_score import PooledScore

AGENT, WALL, FLOOR = (255, 0, 0), (0, 0, 0), (255, 255, 255)


class RenderedGrid:
    """Pictures of a grid world's states: black walls, white floor, the agent a red cell.

    Parameters
    ----------
    mdp : TabularMDP
        ``state_labels`` are (row, column), as :func:`spectral_jepa.make_grid` and :func:`spectral_jepa.make_four_rooms`
        give them.
    cell_size : int
        Pixels a cell.

    Raises
    ------
    InputError
        States without places.

    Examples
    --------
    >>> from spectral_jepa import make_grid
    >>> grid = RenderedGrid(make_grid("S.G"), cell_size=2)
    >>> pictures = grid.draw([0, 2])
    >>> pictures.shape, pictures[1, 2, :, 1].tolist()  # green: 0 on walls and agent
    ((2, 6, 10, 3), [0, 0, 255, 255, 255, 255, 0, 0, 0, 0])
    """

    def __init__(self, mdp: TabularMDP, cell_size: int = 4) -> None:
        labels = mdp.state_labels
        if labels is None or any(not isinstance(place, tuple) or len(place) != 2 for place in labels):
            raise InputError(f"{mdp.name} has no (row, column) state_labels, expected those of make_grid: use a grid world")
        self.mdp, self.cell_size = mdp, check_count("cell_size", cell_size)
        self.places = np.array(labels, dtype=np.int64) + 1  # one cell of wall all around
        floor = np.zeros((*(self.places.max(0) + 2), 3), dtype=np.uint8) + np.array(WALL, dtype=np.uint8)
        floor[tuple(self.places.T)] = FLOOR
        self._floor = floor

    def draw(self, states: ArrayLike) -> NDArray[np.uint8]:
        """Pictures (B, H, W, 3) of states (B,)."""
        ids = check_indices("states", np.atleast_1d(np.asarray(states)), self.mdp.n_states, "state")
        cells = np.repeat(self._floor[None], len(ids), 0)
        cells[np.arange(len(ids)), *self.places[ids].T] = AGENT
        return cells.repeat(self.cell_size, 1).repeat(self.cell_size, 2)


class SpectralPixelModel:
    """The closed-form JEPA of a small MDP, read off its pictures: a linear encoder of pixels and one matrix an action.

    Parameters
    ----------
    grid : RenderedGrid
    dim : int, optional
        Latent dimension k. Default: all S, where a deterministic world is predicted exactly.

    Notes
    -----
    The encoder is the least-squares map from pixels to the shared spectral embedding f of arXiv 2606.27014, Thm 4.3, exact
    because the pictures of S states are independent up to their mean; the predictors W_a fit g(f(x), a) = W_a f(x). float64,
    O(S^3 + S^2 pixels).
    """

    def __init__(self, grid: RenderedGrid, dim: int | None = None) -> None:
        mdp = grid.mdp
        exact = CoOccurrence.exact(mdp)
        embedding = spectral_embedding(exact, mdp.n_states if dim is None else dim, shared=True)
        pixels = grid.draw(np.arange(mdp.n_states)).reshape(mdp.n_states, -1) / 255.0
        with_offset = np.hstack([pixels, np.ones((mdp.n_states, 1))])
        self._encoder = torch.from_numpy(np.linalg.pinv(with_offset) @ embedding.target)
        # (k, A k): one product moves a latent under all actions, cheaper than gathering one matrix a sample.
        self._predictors = torch.from_numpy(np.concatenate(embedding.predictor_matrices(exact).swapaxes(1, 2), axis=1))
        self.block_dim = mdp.n_actions

    def encode(self, frames: Tensor) -> Tensor:
        """Latents (B, k) of pictures uint8 (B, H, W, 3)."""
        flat = frames.flatten(1).to(torch.float64) / 255
        return flat @ self._encoder[:-1] + self._encoder[-1]

    def rollout(self, latents: Tensor, blocks: Tensor) -> Tensor:
        """Predict n steps ahead.

        Parameters
        ----------
        latents : Tensor (B, 1, k)
        blocks : Tensor (B, n, A)
            One-hot actions.

        Returns
        -------
        Tensor (B, n, k)

        Notes
        -----
        O(B n A k^2).
        """
        latent, steps = latents[:, -1], []
        everyone = torch.arange(len(latent))
        for action in blocks.argmax(-1).unbind(1):
            latent = (latent @ self._predictors).unflatten(1, (self.block_dim, -1))[everyone, action]
            steps.append(latent)
        return torch.stack(steps, 1)


def reach(
    grid: RenderedGrid,
    model: Any,
    config: PlanningConfig,
    starts: ArrayLike,
    goals: ArrayLike,
    *,
    budget: int,
    seed: int = 0,
    score: PooledScore | None = None,
) -> NDArray[np.int64]:
    """Plan from pictures to pictures, carry out, replan.

    Parameters
    ----------
    grid : RenderedGrid
    model : SpectralPixelModel or WorldModel
        ``encode`` and ``rollout`` with one-hot blocks (a WorldModel with action_block 1 and action_dim A).
    config : PlanningConfig
        Of method "cem".
    starts, goals : integer arrays (E,)
        States.
    budget : int
        Steps.
    seed : int
        Of the planner and of the world's chance.
    score : PooledScore, optional
        As in :func:`spectral_jepa.pixels.planning.latent.plan`.

    Returns
    -------
    integer array (E,)
        Steps to the goal; 0 where it is the start, -1 where it was not reached.

    Raises
    ------
    InputError
        A state that the grid does not have, planner settings that do not fit.

    Notes
    -----
    O(budget / execute) plans an episode. A plan asks to be at the goal after ``horizon`` steps, not before.

    Examples
    --------
    A corridor of four cells without chance: three steps from end to end.

    >>> from spectral_jepa import make_grid
    >>> grid = RenderedGrid(make_grid("S..G", slip=0.0), cell_size=1)
    >>> search = PlanningConfig(n_samples=100, n_elites=5, n_iterations=5, horizon=3, execute=3)
    >>> reach(grid, SpectralPixelModel(grid), search, starts=[0, 3, 1], goals=[3, 0, 1], budget=6)
    array([3, 3, 0])
    """
    mdp = grid.mdp
    here = check_indices("starts", np.atleast_1d(np.asarray(starts)), mdp.n_states, "state")
    there = check_indices("goals", np.atleast_1d(np.asarray(goals)), mdp.n_states, "state")
    rng = np.random.default_rng(seed)
    generators = [torch_generator(seed, episode) for episode in range(len(here))]
    targets = model.encode(torch.from_numpy(grid.draw(there)))
    steps = np.where(here == there, 0, -1)
    for taken in range(0, budget, config.execute):
        left = np.flatnonzero(steps < 0)
        if not left.size:
            break
        latents = model.encode(torch.from_numpy(grid.draw(here[left])))
        chosen = [generators[i] for i in left]
        actions = plan_discrete(model, config, latents, targets[left], chosen, n_actions=mdp.n_actions, score=score).numpy()
        for count in range(min(config.execute, budget - taken)):
            moving = steps[left] < 0
            ids = left[moving]
            rows = [mdp.transition[a][[x]] for a, x in zip(actions[moving, count], here[ids], strict=True)]
            laws = [np.asarray(row.toarray() if mdp.is_sparse else row).ravel() for row in rows]
            here[ids] = [rng.choice(mdp.n_states, p=law) for law in laws]
            steps[ids[here[ids] == there[ids]]] = taken + count + 1
    return steps
