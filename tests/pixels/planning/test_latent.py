"""Planners on models whose best plan is known in closed form, and independence of the batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError
from spectral_jepa.action_search import model_predictive_path_integral
from spectral_jepa.pixels.config import PlanningConfig
from spectral_jepa.pixels.data import ActionScaler
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.environments import two_room_physics as two_room
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.planning.grid_world import RenderedGrid
from spectral_jepa.pixels.planning.latent import latent_cost, plan, plan_discrete
from spectral_jepa.pixels.planning.policies import Observation
from spectral_jepa.pixels.planning.simulator import SimulatorPolicy, simulator_cost
from spectral_jepa.pixels.presets import preset

HORIZON, DIM, BLOCK = 2, 4, 2


class Linear:
    """z <- A z + B a with a square controllability matrix [AB, B]: one plan only reaches a goal in two steps."""

    def __init__(self):
        # Well conditioned (1.4): a search with independent coordinates contracts too early along narrow valleys.
        rng = np.random.default_rng(3)
        basis = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
        turn = np.kron([[0.0, -1.0], [1.0, 0.0]], np.eye(2))
        self.a = basis @ turn @ basis.T
        self.b = basis @ np.vstack([np.eye(2), 0.3 * rng.normal(size=(2, 2))])
        self.calls = []

    def rollout(self, latents, blocks, past_blocks=None):
        self.calls.append((latents.shape, blocks.shape, past_blocks))
        a, b = (torch.from_numpy(x).to(latents.dtype) for x in (self.a, self.b))
        latent, steps = latents[:, -1], []
        for block in blocks.unbind(1):
            latent = latent @ a.T + block @ b.T
            steps.append(latent)
        return torch.stack(steps, 1)

    def best_plan(self, start, goal):
        control = np.hstack([self.a @ self.b, self.b])
        return np.linalg.solve(control, goal - self.a @ self.a @ start).reshape(HORIZON, BLOCK)


def problem(n_episodes, scale=0.5):
    """Starts, plans and the goals that they lead to."""
    model, rng = Linear(), np.random.default_rng(0)
    starts, plans = rng.normal(size=(n_episodes, DIM)), scale * rng.normal(size=(n_episodes, HORIZON, BLOCK))
    goals = model.rollout(torch.from_numpy(starts)[:, None], torch.from_numpy(plans))[:, -1]
    model.calls.clear()
    return model, torch.from_numpy(starts), goals, plans


def generators(n_episodes, seed=0):
    return [torch_generator(seed, episode) for episode in range(n_episodes)]


def tiny_model(**changes):
    """A model that listens to its actions: a fresh one has gates of zero."""
    model, generator = WorldModel(replace(preset("tiny").model, **changes)).eval(), torch_generator(9)
    with torch.no_grad():
        for block in model.predictor.blocks:
            block.modulation.weight.normal_(std=0.5, generator=generator)
    return model


CEM = PlanningConfig(horizon=HORIZON, execute=HORIZON, n_iterations=40)


@pytest.mark.parametrize(
    "config, tolerance",
    [
        (CEM, 1e-12),
        (replace(CEM, method="adam", n_samples=10, n_iterations=120), 0.02),
        (replace(CEM, method="mppi", temperature=0.05, initial_std=0.3, n_samples=2000), 0.03),
    ],
)
def test_finds_the_only_plan_that_reaches_the_goal(config, tolerance):
    model, starts, goals, plans = problem(3)
    # The closed form, by solving the controllability system, is the plan that made the goal.
    for episode in range(3):
        np.testing.assert_allclose(model.best_plan(starts[episode].numpy(), goals[episode].numpy()), plans[episode])
    found = plan(model, config, starts, goals, generators(3), block_dim=BLOCK)
    assert np.abs(plans).max() > 5 * tolerance
    np.testing.assert_allclose(found.numpy(), plans, atol=tolerance)


def test_adam_leaves_no_gradient_in_the_model():
    model = tiny_model()
    latents, goals = torch.randn(2, 2, 16, generator=torch_generator(1)).unbind(0)
    config = PlanningConfig(method="adam", n_samples=4, n_iterations=3)
    with torch.inference_mode():
        latents, goals = latents.clone(), goals.clone()
    assert plan(model, config, latents, goals, generators(2)).abs().max() > 0
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_random_asks_no_model_and_scales():
    config = PlanningConfig(method="random", initial_std=2.0, horizon=50, execute=50)
    found = plan(None, config, torch.zeros(4, 3), torch.zeros(4, 3), generators(4), block_dim=10)
    assert found.shape == (4, 50, 10)
    assert found.std().item() == pytest.approx(2, rel=0.05) and abs(found.mean().item()) < 0.1


def test_mppi_averages_everything_when_hot_and_takes_the_best_when_cold():
    target = torch.tensor([[[0.5, -1.0]]])

    def cost(plans):
        cost.plans = plans.clone()
        return (plans - target[:, None]).square().sum((2, 3))

    shared = dict(n_samples=200, n_iterations=1)
    hot = model_predictive_path_integral(cost, torch.zeros(1, 1, 2), generators(1), temperature=1e9, **shared)
    torch.testing.assert_close(hot, cost.plans.mean(1), rtol=0, atol=1e-6)
    cold = model_predictive_path_integral(cost, torch.zeros(1, 1, 2), generators(1), temperature=1e-6, **shared)
    best = (cost.plans - target[:, None]).square().sum((2, 3)).argmin()
    torch.testing.assert_close(cold, cost.plans[:, best], rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["cem", "mppi", "adam", "random"])
def test_a_plan_does_not_depend_on_its_company(method):
    model = tiny_model()
    draw = torch.randn(2, 7, 16, generator=torch_generator(2))
    config = PlanningConfig(method=method, n_samples=40, n_elites=5, n_iterations=4)
    together = plan(model, config, draw[0], draw[1], generators(7))
    assert together.shape == (7, 5, 10) and (together[0] - together[1]).abs().max() > 0.1
    for size in (1, 3):
        parts = [
            plan(model, config, draw[0, e : e + size], draw[1, e : e + size], generators(7)[e : e + size])
            for e in range(0, 7, size)
        ]
        assert torch.equal(torch.cat(parts), together)


def test_chunks_agree_up_to_rounding_and_exactly_where_no_product_changes_shape():
    model = tiny_model().double()
    draw = torch.randn(2, 3, 16, generator=torch_generator(2)).double()
    plans = torch.randn(3, 40, 5, 10, generator=torch_generator(3)).double()
    expected = torch.stack(
        [
            (model.rollout(z.expand(40, 1, 16), p)[:, -1] - g).square().sum(1)
            for z, g, p in zip(draw[0], draw[1], plans, strict=True)
        ]
    )
    for chunk in (None, 40, 1, 7, 80, 1000):
        costs = latent_cost(model, draw[0], draw[1], None, chunk)(plans)
        torch.testing.assert_close(costs, expected, rtol=1e-12, atol=1e-12)


def test_history_is_handed_on():
    model, starts, goals, _ = problem(2)
    latents = torch.stack([torch.zeros_like(starts), starts], 1)
    past = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]], dtype=torch.float64)
    found = plan(model, CEM, latents, goals, generators(2), block_dim=BLOCK, past_blocks=past)
    alone = plan(Linear(), CEM, starts, goals, generators(2), block_dim=BLOCK)
    assert torch.equal(found, alone)
    seen = {shapes[0] for shapes in model.calls}
    assert seen == {(300, 2, DIM)}
    assert {(call[2].unique().tolist()[0], call[2].shape) for call in model.calls} == {(1, (300, 1, 2)), (3, (300, 1, 2))}
    with pytest.raises(InputError, match="no past_blocks for 2 latents"):
        plan(model, CEM, latents, goals, generators(2), block_dim=BLOCK)


def test_discrete_plans_with_a_world_model():
    model = tiny_model(action_dim=4, action_block=1)
    draw = torch.randn(2, 3, 16, generator=torch_generator(2))
    config = PlanningConfig(n_samples=50, n_elites=5, n_iterations=4, horizon=4, execute=2)
    found = plan_discrete(model, config, draw[0], draw[1], generators(3), n_actions=4)
    assert found.shape == (3, 2) and found.dtype == torch.long and found.min() >= 0 and found.max() < 4


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n_elites": 1}, "n_elites is 1, expected between 2 and 300"),
        ({"execute": 3}, "execute is 3, expected between 1 and 2"),
        ({"n_iterations": 0}, "n_iterations is 0"),
    ],
)
def test_settings_that_contradict_each_other(change, message):
    model, starts, goals, _ = problem(1)
    with pytest.raises(InputError, match=message):
        plan(model, replace(CEM, **change), starts, goals, generators(1), block_dim=BLOCK)


def test_shapes_that_do_not_fit():
    model, starts, goals, _ = problem(2)
    with pytest.raises(InputError, match=r"goals have shape \(1, 4\), expected \(2, 4\)"):
        plan(model, CEM, starts, goals[:1], generators(2), block_dim=BLOCK)
    with pytest.raises(InputError, match="1 generators for 2 episodes"):
        plan(model, CEM, starts, goals, generators(1), block_dim=BLOCK)
    with pytest.raises(InputError, match="n_actions is 1"):
        plan_discrete(model, CEM, starts, goals, generators(2), n_actions=1)
    from spectral_jepa import make_ring

    with pytest.raises(InputError, match="state_labels"):
        RenderedGrid(make_ring(5))


def test_length_of_the_way_through_the_door():
    rng = np.random.default_rng(0)
    for _ in range(30):
        start = np.array([rng.uniform(two_room.LOW, two_room.LEFT), rng.uniform(two_room.LOW, two_room.HIGH)])
        goal = np.array([rng.uniform(two_room.RIGHT, two_room.HIGH), rng.uniform(two_room.LOW, two_room.HIGH)])

        # Convex in the two heights at which the way enters and leaves the door.
        def length(heights, start=start, goal=goal):
            first, second = np.array([two_room.LEFT, heights[0]]), np.array([two_room.RIGHT, heights[1]])
            return sum(np.linalg.norm(v) for v in (first - start, second - first, goal - second))

        bounds = [(two_room.TOP, two_room.BOTTOM)] * 2
        shortest = min(minimize(length, [y, y], bounds=bounds).fun for y in (two_room.TOP, 49.0, two_room.BOTTOM))
        for a, b in ((start, goal), (goal, start)):
            assert two_room.path_length(torch.from_numpy(a), torch.from_numpy(b)).item() == pytest.approx(shortest, abs=1e-6)
    same_room = two_room.path_length(torch.tensor([30.0, 30.0]), torch.tensor([90.0, 110.0]))
    assert same_room.item() == pytest.approx(100)


SCALER = ActionScaler((0.1, -0.2), (0.5, 0.8))


def test_batched_two_room_costs_are_those_of_single_steps():
    environment = make_environment("two_room", 32)
    rng = np.random.default_rng(0)
    states, goals = np.array([[60.0, 100.0], [90.0, 40.0]]), np.array([[60.0, 160.0], [150.0, 60.0]])
    plans = torch.from_numpy(rng.normal(size=(2, 3, 2, 10)))
    costs = simulator_cost(environment, states, goals, SCALER)(plans)
    for episode in range(2):
        for sample in range(3):
            environment.set_state(states[episode])
            for action in plans[episode, sample].reshape(-1, 2).numpy():
                state = environment.step(np.array(SCALER.mean) + np.array(SCALER.std) * action)[0]
            expected = two_room.path_length(torch.from_numpy(state), torch.from_numpy(goals[episode]))
            assert costs[episode, sample].item() == pytest.approx(expected.item(), abs=1e-9)


def test_the_simulator_plans_through_the_door():
    environment = make_environment("two_room", 32)
    policy = SimulatorPolicy(environment, SCALER, replace(CEM, horizon=5, execute=5, n_iterations=10, n_samples=100))
    starts, goals = np.array([[80.0, 80.0]]), np.array([[140.0, 80.0]])
    now = Observation(np.zeros((1, 1, 32, 32, 3), np.uint8), starts, np.zeros((1, 0, 2)))
    environment.set_state(starts[0])
    for action in policy.act(now, policy.prepare(None, goals), generators(1))[0]:
        state = environment.step(action)[0]
    assert environment.success(state, goals[0]) and environment.goal_distance(state, goals[0]) < 1
    with pytest.raises(InputError, match="no gradient"):
        SimulatorPolicy(environment, SCALER, replace(CEM, method="adam"))


@pytest.mark.parametrize(
    "name, package", [("two_room", "torch"), ("push_t", "gym_pusht"), ("reacher", "dm_control"), ("cube", "ogbench")]
)
def test_distance_below_one_is_success(name, package):
    pytest.importorskip(package)
    environment = make_environment(name, 32)
    environment.reset(seed=0)
    goal = environment.get_state()
    rng = np.random.default_rng(0)
    size = {"two_room": 10.0, "push_t": 12.0, "reacher": 0.04, "cube": 0.02}[name]
    verdicts = set()
    for _ in range(40):
        state = goal + size * rng.normal(size=goal.shape)
        if name == "push_t":
            state[4] = goal[4] + 0.3 * rng.normal()
        solved = environment.success(state, goal)
        assert solved == (environment.goal_distance(state, goal) < 1)
        verdicts.add(solved)
    assert verdicts == {True, False}
