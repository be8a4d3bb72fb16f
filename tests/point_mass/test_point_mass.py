import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import spectral_jepa as sj
from spectral_jepa._streams import torch_generator
from spectral_jepa.losses import sample_effective_rank, second_moment
from spectral_jepa.point_mass import (
    ARMS,
    PointMass,
    PointMassModel,
    PointMassSettings,
    Reaching,
    collect_windows,
    discretised_transitions,
    goal_pairs,
    noisy_population,
    reach_goals,
    search_actions,
    train,
)
from spectral_jepa.point_mass.environment import random_actions
from spectral_jepa.point_mass.training import feature_weights
from spectral_jepa.sweep.experiment import load_experiment

pytestmark = pytest.mark.usefixtures("few_threads")
SETTINGS = PointMassSettings()
SMALL = replace(SETTINGS, hidden=16, action_dim=4, batch_size=64)


def point_mass_generator(*key):
    return torch_generator(*key, seeds="point mass")


@pytest.fixture
def world():
    return PointMass(SETTINGS, 0.5)


def small_model(seed=0, dim=3):
    return PointMassModel(20, dim, SMALL, point_mass_generator(seed))


def by_hand(state, action, s=SETTINGS):
    px, py, vx, vy = (float(x) for x in state)
    ax, ay = (float(x) for x in action)
    length = math.hypot(ax, ay)
    if length > 1:
        ax, ay = ax / length, ay / length
    vx, vy = s.damping * vx + s.scale * ax, s.damping * vy + s.scale * ay
    return [px + s.time_step * vx, py + s.time_step * vy, vx, vy]


@pytest.mark.parametrize("action", [[0.3, -0.5], [3.0, 4.0], [0.0, 0.0], [-1.0, 0.0]])
def test_physics_by_hand(world, action):
    state = torch.tensor([0.4, -1.0, 0.25, -0.75])
    assert np.allclose(world.step(state, torch.tensor(action)), by_hand(state, action), atol=1e-6)


def test_reach_is_what_full_thrust_covers_and_required_steps_are_exact(world):
    for n in (1, 2, 5, 10, 25):
        state = torch.zeros(4, dtype=torch.float64)
        for _ in range(n):
            state = world.step(state, torch.tensor([1.0, 0.0], dtype=torch.float64))
        assert float(state[0]) == pytest.approx(world.reach(n), abs=1e-12)
        # The expert is outside the radius one step earlier and inside now; no action sequence goes farther than reach(n).
        distance = world.goal_distance(n)
        assert distance - world.reach(n) < 0.08 < distance - world.reach(n - 1)
    actions = random_actions(500, 10, generator=point_mass_generator(0))
    state = torch.zeros(500, 4)
    for t in range(10):
        state = world.step(state, actions[:, t])
    assert float(state[:, :2].norm(dim=-1).max()) < world.reach(10)


def test_goal_pairs_lie_in_the_arena_at_the_stated_distance(world):
    for n, at_rest in ((1, False), (25, False), (25, True)):
        start, goal = goal_pairs(world, n, 40, seed=3, at_rest=at_rest)
        apart = goal[:, :2] - start[:, :2]
        assert torch.allclose(apart.norm(dim=-1), torch.tensor(world.goal_distance(n)), atol=1e-5)
        assert float(torch.stack([start, goal])[..., :2].abs().max()) <= SETTINGS.arena + 1e-6
        assert float(start[:, 2:].abs().max()) == 0
        speed = sum(SETTINGS.scale * SETTINGS.damping**t for t in range(n))
        assert torch.allclose(goal[:, 2:], (not at_rest) * speed * apart / world.goal_distance(n), atol=1e-5)
        fewer = goal_pairs(world, n, 5, seed=3, at_rest=at_rest)
        assert torch.equal(fewer[0], start[:5]) and torch.equal(fewer[1], goal[:5])
    assert not torch.equal(goal_pairs(world, 5, 5, seed=4)[0], goal_pairs(world, 5, 5, seed=3)[0])


def test_windows_follow_the_dynamics_and_observations_have_their_three_parts():
    world = PointMass(SETTINGS, 2.0)
    windows = collect_windows(world, 4000, point_mass_generator(1))
    for t in range(3):
        assert np.allclose(windows.state[7, t + 1], by_hand(windows.state[7, t], windows.action[7, t]), atol=1e-6)
    assert torch.equal(windows.observation[..., :4], windows.state)
    row = windows.state[7, 2].double() @ world.projection.double() + world.phase.double()
    assert np.allclose(windows.observation[7, 2, 4:12], np.sin(row.numpy()), atol=1e-5)
    noise = windows.observation[..., 12:]
    assert float(noise.std()) == pytest.approx(2.0, rel=0.01)
    assert abs(float((noise[:, 0] * noise[:, 1]).mean())) < 0.1  # fresh at every step
    quiet = collect_windows(PointMass(SETTINGS, 0.0), 4000, point_mass_generator(1))
    assert torch.equal(quiet.state, windows.state) and float(quiet.observation[..., 12:].abs().max()) == 0
    assert float(windows.action.norm(dim=-1).max()) <= 1


def test_predictor_is_the_gru_of_the_textbook_and_batched_equals_single():
    model = small_model().double()
    latent, action = (
        torch.randn(5, 3, generator=point_mass_generator(1)).double(),
        torch.randn(5, 4, 2, generator=point_mass_generator(2)).double(),
    )
    batched = model.predict(latent, action)
    cell, sigmoid = model.cell, torch.sigmoid
    for i in range(5):
        hidden = model.initial.weight @ latent[i] + model.initial.bias
        for t in range(4):
            first = model.action_encoder[0]
            encoded = torch.tanh(first.weight @ action[i, t] + first.bias)
            a, b = cell.weight_ih @ encoded + cell.bias_ih, cell.weight_hh @ hidden + cell.bias_hh
            reset, update = sigmoid(a[:16] + b[:16]), sigmoid(a[16:32] + b[16:32])
            hidden = (1 - update) * torch.tanh(a[32:] + reset * b[32:]) + update * hidden
            expected = model.head.weight @ hidden + model.head.bias
            assert torch.allclose(batched[i, t], expected, atol=1e-12)
        assert torch.allclose(model.predict(latent[i : i + 1], action[i : i + 1])[0], batched[i], atol=1e-12)


def test_the_search_finds_the_optimum_of_a_quadratic_for_each_problem():
    goal = torch.tensor([[0.5, -0.2], [-0.6, 0.3], [0.0, 0.9]])
    settings = replace(SETTINGS, n_iterations=25)

    def cost(plans, goal=goal):
        return (plans - goal[:, None, None]).square().sum((-1, -2))

    plan = search_actions(cost, torch.zeros(3, 3, 2), [point_mass_generator(i) for i in range(3)], settings)
    assert torch.allclose(plan, goal[:, None].expand(3, 3, 2), atol=0.02)
    # The optimum outside the disc is its projection.
    outside = search_actions(
        lambda p: cost(p, 3 * goal), torch.zeros(3, 1, 2), [point_mass_generator(i) for i in range(3)], settings
    )
    assert torch.allclose(outside[:, 0], goal / goal.norm(dim=-1, keepdim=True), atol=0.03)
    # A problem's answer does not depend on its company.
    alone = search_actions(lambda p: cost(p, goal[1:2]), torch.zeros(1, 3, 2), [point_mass_generator(1)], settings)
    assert torch.equal(alone[0], plan[1])


def test_held_actions_are_repeated_for_the_cost():
    seen = []

    def cost(plans):
        seen.append(plans)
        return plans.square().sum((-1, -2))

    search_actions(cost, torch.zeros(1, 2, 2), [point_mass_generator(0)], SETTINGS, repeat=3)
    assert seen[0].shape == (1, SETTINGS.n_candidates, 6, 2)
    assert torch.equal(seen[0][:, :, 0], seen[0][:, :, 2]) and not torch.equal(seen[0][:, :, 2], seen[0][:, :, 3])


def test_success_counts_first_hits_within_the_budget():
    reaching = Reaching(torch.tensor([1, 7, 8, -1]), torch.zeros(4))
    assert [reaching.success(budget) for budget in (0, 1, 7, 8, 100)] == [0, 0.25, 0.5, 0.75, 0.75]


def test_ceiling_and_floor(world):
    start, goal = goal_pairs(world, 15, 12, seed=0)
    ceiling = reach_goals(world, start, goal, 15, "simulator", budget=30, seed=0)
    assert ceiling.success(23) == 1 and int(ceiling.first_hit.min()) >= 15  # the expert needs 15, nobody is faster
    assert float(ceiling.final_distance.max()) <= 0.08
    floor = reach_goals(world, start, goal, 15, "random", budget=30, seed=0)
    assert floor.success(30) < 0.2 and float(floor.final_distance.min()) > 0.08


@pytest.mark.parametrize("space", ["simulator", "latent", "input"])
def test_a_pair_fares_alone_as_in_company(world, space):
    start, goal = goal_pairs(world, 5, 4, seed=1)
    planner = space if space == "simulator" else small_model().double()
    weight = torch.ones(20).double() if space == "input" else None
    options = {"budget": 8, "seed": 1, "weight": weight}
    together = reach_goals(world, start.double(), goal.double(), 5, planner, **options)
    fewer = reach_goals(world, start[:2].double(), goal[:2].double(), 5, planner, **options)
    assert torch.equal(fewer.first_hit, together.first_hit[:2])
    assert torch.allclose(fewer.final_distance, together.final_distance[:2], atol=1e-9)


def test_training_repeats_bit_for_bit_and_touches_no_global_stream(world):
    world = PointMass(SMALL, 0.5)
    windows = collect_windows(world, 300, point_mass_generator(0))
    before = torch.random.get_rng_state()
    first, again = (train(world, windows, "sigreg", 3, n_updates=5, seed=2) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.history, again.history) and first.gradient_norm == again.gradient_norm
    for one, other in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(train(world, windows, "sigreg", 3, n_updates=5, seed=3).history, first.history)


def test_arms_of_one_seed_start_from_the_same_weights_and_batches():
    one, other = small_model(4), small_model(4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(one.head.weight, small_model(5).head.weight)
    bound = 1 / math.sqrt(16)
    assert 0.9 * bound < float(one.cell.weight_hh.abs().max().detach()) <= bound


def test_without_a_regulariser_the_embedding_collapses_and_with_one_it_does_not():
    world = PointMass(SMALL, 0.5)
    windows = collect_windows(world, 2000, point_mass_generator(0))
    spread, loss = {}, {}
    for arm in ("latent, no regulariser", "latent", "sigreg", "whitened"):
        training = train(world, windows, arm, 4, n_updates=250, seed=0)
        latent = training.model.encode(windows.observation[:, 0]).detach()
        spread[arm] = float(second_moment(latent).diagonal().mean())
        loss[arm] = training.final_loss
    assert loss["latent, no regulariser"] < 1e-3 and spread["latent, no regulariser"] < 1e-3
    assert all(spread[arm] > 0.2 for arm in spread if arm != "latent, no regulariser"), spread
    initial = PointMassModel(20, 4, SMALL, point_mass_generator(0, 1)).encode(windows.observation[:, 0]).detach()
    assert float(second_moment(initial).diagonal().mean()) > 2 * spread["latent, no regulariser"]


def test_whitening_asks_for_full_rank():
    world = PointMass(replace(SMALL, learning_rate=1e-2), 0.0)
    windows = collect_windows(world, 2000, point_mass_generator(0))
    ranks = {}
    for arm in ("whitened", "latent, full gradient"):
        model = train(world, windows, arm, 3, n_updates=400, seed=0).model
        ranks[arm] = float(sample_effective_rank(model.encode(windows.observation[:, 0]).detach()))
    assert ranks["whitened"] > 2.7 and ranks["latent, full gradient"] < 1.5, ranks


def test_every_loss_that_is_minimised_falls_and_the_input_arm_weighs_noise(world):
    assert feature_weights(world, ARMS["input"]).tolist() == [1.0] * 20
    assert feature_weights(world, ARMS["input, noise not in loss"]).tolist() == [1.0] * 12 + [0.0] * 8
    small = PointMass(SMALL, 0.5)
    windows = collect_windows(small, 500, point_mass_generator(0))
    for arm in ARMS:
        training = train(small, windows, arm, 3, n_updates=60, seed=0)
        # With a stopped gradient no function is descended, and the loss may rise with the spread of the targets.
        if not ARMS[arm].stop_gradient:
            assert float(training.history[-10:].mean()) < float(training.history[:10].mean()), arm
        assert math.isfinite(training.gradient_norm) and training.gradient_norm > 0


def test_grid_world_repeats_the_bins_by_hand_and_noise_leaves_its_spectrum():
    world = PointMass(SETTINGS, 1.0)
    data = discretised_transitions(world, 200, seed=3)
    windows = collect_windows(world, 200, point_mass_generator(3, 200, 7))
    for i in range(200):
        px, py, vx, vy = (float(x) for x in windows.state[i, 0])
        position = [sum(x > 1.5 * edge for edge in (-0.6, -0.2, 0.2, 0.6)) for x in (px, py)]
        velocity = [sum(x > 0.8 * edge for edge in (-1 / 3, 1 / 3)) for x in (vx, vy)]
        noise = sum(float(windows.observation[i, 0, 12]) > edge for edge in (-1, 1))
        expected = (((position[0] * 5 + position[1]) * 3 + velocity[0]) * 3 + velocity[1]) * 3 + noise
        assert data.state[i] == expected
        ax, ay = (float(x) for x in windows.action[i, 0])
        assert data.action[i] == 2 * (ax > 0) + (ay > 0)
    clean = discretised_transitions(PointMass(SETTINGS, 0.0), 40_000, seed=0)
    quiet, loud = (noisy_population(clean, noise) for noise in (0.0, 1.0))
    assert int((loud.row_weight[0] > 0).sum()) == 3 * int((quiet.row_weight[0] > 0).sum())
    first, second = sj.spectrum(quiet)[0], sj.spectrum(loud)[0]
    assert np.abs(first - second).max() < 1e-10 and first[50] > 0.1


def test_experiment_cell_has_every_required_number_of_steps():
    experiment = load_experiment("point_mass")
    options = {"noise": 0.0, "dim": 8, "n_windows": 4000, "n_pairs": 2, "seed": 0}
    rows = experiment(arm="input", n_updates=10, **options)
    kinds = {(row["goal"], row["cost"]) for row in rows}
    assert kinds == {("passing", "own"), ("at rest", "own"), ("passing", "position")}
    assert [row["required_steps"] for row in rows] == 3 * [1, 5, 10, 15, 20, 25]
    assert all(0 <= row["success_tight"] <= row["success_double"] <= 1 for row in rows)
    assert experiment.module.explained(torch.eye(4)[:, :4], torch.eye(4))["explained_position"] == pytest.approx(1)


def test_bad_input_is_refused(world, refused):
    with refused("noise", ">= 0"):
        PointMass(SETTINGS, -1.0)
    with refused("arm", "'latent'", "'sigreg'"):
        train(world, collect_windows(world, 5, point_mass_generator(0)), "vicreg", 2, n_updates=1, seed=0)
    with refused("n_steps", "at least 1"):
        world.goal_distance(0)
    with refused("60 steps", "arena"):
        goal_pairs(world, 60, 2, seed=0)
    with refused("(N, T, 2)"):
        small_model().predict(torch.zeros(3, 3), torch.zeros(2, 4, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_a_gpu_agrees_with_the_cpu():
    world = PointMass(SMALL, 0.5)
    runs = []
    for device in ("cpu", "cuda"):
        windows = collect_windows(world, 300, point_mass_generator(0), device)
        runs.append(train(world, windows, "sigreg", 3, n_updates=20, seed=2))
    assert torch.allclose(runs[0].history, runs[1].history, rtol=1e-3)
    start, goal = goal_pairs(world, 1, 2, seed=0)
    assert len(reach_goals(world, start, goal, 1, runs[1].model, budget=2, seed=0).first_hit) == 2
