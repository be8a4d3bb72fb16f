"""docs/negatives.md, 5: the published cost on a stochastic grid drawn as pictures, and the dot score with the pooled law."""

import numpy as np
import pytest
import torch

from spectral_jepa import make_grid, make_two_state, with_leap
from spectral_jepa.pixels.config import PlanningConfig
from spectral_jepa.pixels.planning.grid_world import RenderedGrid, SpectralPixelModel, reach
from spectral_jepa.pixels.planning.latent import latent_cost
from spectral_jepa.pixels.planning.pooled_score import PooledScore
from spectral_jepa.sweep.experiment import load_experiment


@pytest.fixture(scope="module")
def world():
    """Four by four cells; moves succeed once in five, a leap lands anywhere. Exact white encoder of the pictures."""
    mdp = with_leap(make_grid("....\n....\n....\n....", slip=0.0), reach=0.2)
    grid = RenderedGrid(mdp, cell_size=2)
    model = SpectralPixelModel(grid)
    latents = model.encode(torch.from_numpy(grid.draw(np.arange(16))))
    law = mdp.weight @ mdp.dense().mean(axis=0)
    return mdp, grid, model, latents, law


def one_step_costs(world, score):
    """Costs (A, x, y) of every action, from every cell to every cell."""
    mdp, _, model, latents, _ = world
    plans = torch.eye(mdp.n_actions, dtype=torch.float64)[None, :, None].expand(256, -1, -1, -1)
    starts, goals = latents.repeat_interleave(16, 0), latents.repeat(16, 1)
    return latent_cost(model, starts, goals, score=score)(plans).numpy().reshape(16, 16, -1).transpose(2, 0, 1)


def test_the_score_is_the_density_ratio_and_the_distance_is_not(world):
    mdp, _, _, latents, law = world
    score = PooledScore.fit(latents, torch.from_numpy(law))
    costs = one_step_costs(world, score)
    assert np.abs(-costs - (mdp.dense() / law - 1)).max() < 1e-9
    distances = one_step_costs(world, None)
    half = mdp.dense() / law - np.sum(mdp.dense() ** 2 / law, axis=2)[:, :, None] / 2 - 1 / (2 * law)
    assert np.abs(-distances / 2 - half).max() < 1e-9
    # Of the neighbours, which a move reaches once in five and a leap once in sixteen, the distance leaps to every one.
    next_to = (mdp.transition[:4].max(axis=0) > 0) & ~np.eye(16, dtype=bool)
    assert next_to.sum() == 48
    assert (distances.argmin(axis=0)[next_to] == 4).all() and (costs.argmin(axis=0)[next_to] < 4).all()


def test_any_scale_and_basis_of_the_latents_gives_the_same_score(world):
    _, _, _, latents, law = world
    turn = torch.randn(16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shift = torch.arange(16, dtype=torch.float64)
    one = PooledScore.fit(latents, torch.from_numpy(law))(latents[:, None], latents[None])
    moved = latents @ turn + shift
    other = PooledScore.fit(moved, 3 * torch.from_numpy(law), floor=1e-9)(moved[:, None], moved[None])
    assert torch.linalg.cond(turn) > 5
    assert (one - other).abs().max() < 1e-6 * one.abs().max()
    skewed = PooledScore.fit(latents, torch.arange(1, 17, dtype=torch.float64))
    assert (skewed(latents[:, None], latents[None]) - one).abs().max() > 1


def test_plans_by_the_score_arrive_more_often(world):
    mdp, grid, model, latents, law = world
    next_to = np.argwhere((mdp.transition[:4].max(axis=0) > 0) & ~np.eye(16, dtype=bool))
    starts, goals = np.tile(next_to, (4, 1)).T
    search = PlanningConfig(n_samples=40, n_elites=4, n_iterations=3, horizon=1, execute=1)
    arrived = [
        np.mean(reach(grid, model, search, starts, goals, budget=1, score=score) == 1)
        for score in (None, PooledScore.fit(latents, torch.from_numpy(law)))
    ]
    # 192 trials each at 1/16 and 1/5: standard deviations .017 and .029.
    assert abs(arrived[0] - 1 / 16) < 0.07 and abs(arrived[1] - 1 / 5) < 0.12 and arrived[1] > 1.7 * arrived[0]


def test_directions_that_tell_nothing_apart_are_left_out():
    latents = torch.tensor([[1.0, 0.0], [-1.0, 1e-4], [1.0, 1e-4], [-1.0, 0.0]], dtype=torch.float64)
    precisions = [PooledScore.fit(latents, floor=floor).precision for floor in (1e-3, 0)]
    assert [torch.linalg.matrix_rank(precision, tol=1e-6).item() for precision in precisions] == [1, 2]


@pytest.mark.parametrize(
    "latents, settings, fragment",
    [
        (torch.zeros(1, 3), {}, "latents has shape (1, 3)"),
        (torch.ones(4, 3), {}, "latents are all the same"),
        (torch.ones(4, 3), {"floor": 2.0}, "floor"),
    ],
)
def test_latents_that_cannot_be_scored_are_refused(latents, settings, fragment, refused):
    with refused(fragment, "expected"):
        PooledScore.fit(latents, **settings)


def test_the_exact_simulator_of_the_experiment():
    """Two states and one way to the other: 1 - (1 - p)^budget. And its rows, after two steps of training."""
    experiment = load_experiment("negatives_pixels")
    chain = make_two_state(p=0.3, q=0.3)
    found = experiment.module.arrivals(chain, np.ones((1, 2, 2)), (1, 4))
    assert found == pytest.approx({1: 0.3, 4: 1 - 0.7**4}, abs=1e-12)
    rows = {row["score"]: row for row in experiment(model="whitening", reach=0.2, n_steps=2, seed=0)}
    # Always leaping: each step hits one of 25 cells.
    leaping = [1 - (24 / 25) ** budget for budget in (5, 20)]
    assert [rows["exact, distance"][f"arrived_{budget}"] for budget in (5, 20)] == pytest.approx(leaping, abs=1e-12)
    assert rows["exact, distance"]["leap_next_door"] == 1 and rows["exact, pooled score"]["leap_next_door"] == 0
    assert rows["exact, pooled score"]["regret"] < 1e-12 < rows["distance"]["regret"]
    assert rows["exact, pooled score"]["arrived_20"] > leaping[1] + 0.3


@pytest.mark.parametrize("floor", [0.0, 1e-6])
def test_a_rare_frame_needs_a_low_floor_and_rounding_is_no_direction(floor):
    """Orthogonal frames: the score is 1/q - 1 on a sure arrival and -1 elsewhere; the mean's direction has no variance."""
    law = torch.tensor([0.9, 0.0995, 0.0004, 0.0001], dtype=torch.float64)
    frames = torch.eye(4, dtype=torch.float64)
    exact = torch.diag(1 / law) - 1
    scores = PooledScore.fit(frames, law, floor)(frames[:, None], frames[None])
    assert (scores - exact).abs().max() < 1e-6
    # Control: above the variance of the rarest frame the floor takes its direction away.
    rough = PooledScore.fit(frames, law, 1e-3)(frames[:, None], frames[None])
    assert rough[3, 3] < 0.1 * exact[3, 3]
