"""The cross-entropy method against a plain restatement of the published one, and against sequences scored one by one."""

import itertools

import numpy as np
import torch

from spectral_jepa import make_four_rooms
from spectral_jepa._streams import torch_generator
from spectral_jepa.pixels.config import PlanningConfig
from spectral_jepa.pixels.planning.grid_world import RenderedGrid, SpectralPixelModel, reach
from spectral_jepa.pixels.planning.latent import plan, plan_discrete

CONFIG = PlanningConfig(n_samples=60, n_elites=6, n_iterations=7, horizon=3, execute=3)


class Bilinear:
    """A nonlinear model whose operations do not depend on the batch: z <- .8 z + tanh(a B) + .1 a_0 a_1."""

    def __init__(self, dim=3, block_dim=2):
        self.mixing = torch.from_numpy(np.random.default_rng(0).normal(size=(block_dim, dim)))

    def rollout(self, latents, blocks):
        latent, steps = latents[:, -1], []
        for block in blocks.unbind(1):
            pushed = torch.tanh(sum(block[:, i, None] * row for i, row in enumerate(self.mixing)))
            latent = 0.8 * latent + pushed + 0.1 * block[:, :1] * block[:, 1:2]
            steps.append(latent)
        return torch.stack(steps, 1)


def published_cem(model, start, goal, generator, config, block_dim):
    """One episode, one candidate after the other, in numpy: section 6.2 of the published protocol."""
    mean = np.zeros((config.horizon, block_dim))
    std = np.ones_like(mean)
    for _ in range(config.n_iterations):
        noise = torch.randn(config.n_samples, config.horizon, block_dim, generator=generator).double().numpy()
        candidates = [mean + std * one for one in noise]
        candidates[0] = mean
        costs = []
        for candidate in candidates:
            latent = model.rollout(start[None, None], torch.from_numpy(candidate)[None])[0, -1]
            costs.append(float(((latent - goal) ** 2).sum()))
        elites = np.array([candidates[i] for i in np.argsort(costs)[: config.n_elites]])
        mean = elites.sum(0) / config.n_elites
        std = np.sqrt(((elites - mean) ** 2).sum(0) / (config.n_elites - 1))
    return mean


def test_batched_cem_is_the_published_one_episode_by_episode():
    model = Bilinear()
    rng = np.random.default_rng(1)
    starts, goals = torch.from_numpy(rng.normal(size=(2, 4, 3)))
    together = plan(model, CONFIG, starts, goals, [torch_generator(5, e) for e in range(4)], block_dim=2)
    for episode in range(4):
        alone = published_cem(model, starts[episode], goals[episode], torch_generator(5, episode), CONFIG, 2)
        assert np.abs(alone).max() > 0.1
        np.testing.assert_allclose(together[episode].numpy(), alone, rtol=0, atol=1e-12)


def shortest_ways(mdp):
    """Breadth-first distances between all states of a deterministic world."""
    step = (mdp.transition > 0).any(0)
    distance = np.full(step.shape, 99)
    reached = np.eye(len(step), dtype=bool)
    for length in range(len(step)):
        distance[reached & (distance == 99)] = length
        reached = (reached.astype(int) @ step) > 0
    return distance


def test_categorical_cem_finds_the_best_of_all_sequences_on_a_rendered_grid():
    mdp = make_four_rooms(7, slip=0.0)
    grid = RenderedGrid(mdp)
    model = SpectralPixelModel(grid, dim=30)
    rng = np.random.default_rng(0)
    starts, goals = rng.integers(mdp.n_states, size=(2, 12))
    latents, targets = (model.encode(torch.from_numpy(grid.draw(states))) for states in (starts, goals))
    config = PlanningConfig(horizon=4, execute=4, n_iterations=8)
    found = plan_discrete(model, config, latents, targets, [torch_generator(0, e) for e in range(12)], n_actions=4)
    every = torch.tensor(list(itertools.product(range(4), repeat=4)))
    one_hot = torch.nn.functional.one_hot(every, 4).float()
    for episode in range(12):
        last = model.rollout(latents[episode].expand(len(every), 1, -1), one_hot)[:, -1]
        costs = ((last - targets[episode]) ** 2).sum(1)
        mine = costs[(every == found[episode]).all(1)].item()
        assert mine <= costs.min().item() * (1 + 1e-9)
        assert costs.max() > 1.2 * costs.min()  # There was something to choose.


def test_planning_from_pictures_reaches_every_cell_within_the_horizon():
    mdp = make_four_rooms(7, slip=0.0)
    grid = RenderedGrid(mdp)
    distance = shortest_ways(mdp)
    rng = np.random.default_rng(1)
    starts, goals = rng.integers(mdp.n_states, size=(2, 40))
    far = distance[starts, goals]
    config = PlanningConfig(horizon=5, execute=5, n_iterations=10)
    steps = reach(grid, SpectralPixelModel(grid), config, starts, goals, budget=5)
    assert (far <= 5).sum() >= 8 and (far > 5).sum() >= 8
    assert ((steps >= 0) == (far <= 5)).all()
    assert (steps[steps >= 0] >= far[steps >= 0]).all()
