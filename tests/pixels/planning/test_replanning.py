"""Costs along a plan, warm starts, real history and compiled rollouts, on worlds small enough to know every answer."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import ModelConfig, PixelConfig, PlanningConfig
from spectral_jepa.pixels.data import ActionScaler
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.interfaces import Observation
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.planning.compiled import CompiledRollout
from spectral_jepa.pixels.planning.latent import latent_cost, plan, plan_discrete
from spectral_jepa.pixels.planning.policies import PlannerPolicy
from spectral_jepa.pixels.planning.simulator import SimulatorPolicy, simulator_cost
from spectral_jepa.pixels.presets import changed, preset, unread_settings

SCALER = ActionScaler((0.1, -0.2), (0.5, 0.8))


class Adder(torch.nn.Module):
    """z_{t+1} = z_t + a_t, read off the first pixel; keeps the first candidate of every call, which is the search's mean."""

    def __init__(self):
        super().__init__()
        self.config = ModelConfig(image_size=28, action_dim=2, action_block=1, history=3)
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.means, self.given = [], []

    def encode(self, frames):
        return frames[:, 0, 0, :2].float()

    def rollout(self, latents, blocks, past_blocks=None):
        self.means.append(blocks[0].clone())
        self.given.append((latents[0].clone(), None if past_blocks is None else past_blocks[0].clone()))
        return latents[:, -1:] + blocks.cumsum(1)


def observe(places, memory=None, past=()):
    """Pictures whose first pixel says the place; one episode, or several."""
    places = np.asarray(places, dtype=np.uint8)
    frames = np.zeros((*places.shape[:2], 4, 4, 3), np.uint8)
    frames[:, :, 0, 0, :2] = places
    actions = np.zeros((len(places), 0, 2)) if not len(past) else np.asarray(past, dtype=np.float64)
    return Observation(frames, np.zeros((len(places), 2)), actions, memory)


def goal_pictures(*places):
    return observe([[place] for place in places]).frames[:, 0]


def test_costs_along_a_plan_by_hand():
    rng = np.random.default_rng(0)
    starts, goals, plans = rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), rng.normal(size=(3, 6, 4, 2))
    found = {
        kind: latent_cost(Adder(), *map(torch.from_numpy, (starts, goals)), kind=kind)(torch.from_numpy(plans)).numpy()
        for kind in ("end", "sum", "closest")
    }
    for episode in range(3):
        for sample in range(6):
            place, distances = starts[episode].copy(), []
            for block in plans[episode, sample]:
                place = place + block
                distances.append(((place - goals[episode]) ** 2).sum())
            expected = {"end": distances[-1], "sum": sum(distances), "closest": min(distances)}
            for kind, value in expected.items():
                assert found[kind][episode, sample] == pytest.approx(value, rel=1e-12)
    assert (found["closest"] < found["end"]).any() and (found["sum"] > found["end"]).all()
    with pytest.raises(InputError, match="cost is 'middle'"):
        latent_cost(Adder(), torch.zeros(1, 2), torch.zeros(1, 2), kind="middle")


class Drift:
    """z <- .5 z + a: the plan that minimises the sum of squared distances stays where it is once it has arrived."""

    def rollout(self, latents, blocks):
        latent, steps = latents[:, -1], []
        for block in blocks.unbind(1):
            latent = 0.5 * latent + block
            steps.append(latent)
        return torch.stack(steps, 1)


def test_the_sum_asks_to_be_there_early_and_the_end_does_not():
    config = PlanningConfig(horizon=3, execute=3, n_iterations=40)
    start, goal = torch.tensor([[2.0, -1.0]]).double(), torch.tensor([[0.5, 1.5]]).double()
    found = {
        cost: plan(Drift(), replace(config, cost=cost), start, goal, [torch_generator(0)], block_dim=2)[0]
        for cost in ("sum", "end")
    }
    # At the goal after the first block, and held there: a_1 = g - z/2, then a = g/2.
    best = torch.cat([goal - start / 2, goal / 2, goal / 2])
    torch.testing.assert_close(found["sum"], best, rtol=0, atol=1e-6)
    assert (found["end"] - best).abs().max() > 0.1
    reached = Drift().rollout(start[:, None], found["end"][None])[:, -1]
    torch.testing.assert_close(reached, goal, rtol=0, atol=1e-4)


def test_the_closest_approach_is_content_with_passing_by():
    # A block moves by one number at each of three given speeds: from 0 the plan is at a, 3 a, 9 a; only a = 2 meets goal 6
    # in the middle, and a = 6 or 2/3 at the other ends.
    class Speeds:
        def rollout(self, latents, blocks):
            return latents[:, -1:] + blocks[:, :1] * torch.tensor([1.0, 3.0, 9.0]).view(1, 3, 1)

    config = PlanningConfig(horizon=3, execute=3, n_iterations=30, cost="closest")
    cost = latent_cost(Speeds(), torch.zeros(1, 1), torch.full((1, 1), 6.0), kind="closest")
    trials = torch.tensor([6.0, 2.0, 2 / 3, 1.0]).view(1, 4, 1, 1).expand(1, 4, 3, 1)
    torch.testing.assert_close(cost(trials), torch.tensor([[0.0, 0.0, 0.0, 9.0]]))
    start, goal = torch.zeros(1, 1), torch.full((1, 1), 6.0)
    found = plan(Speeds(), config, start, goal, [torch_generator(0)], block_dim=1)[0, 0, 0].item()
    assert min(abs(found - value) for value in (6.0, 2.0, 2 / 3)) < 1e-3


@pytest.mark.parametrize("execute", [1, 2, 3])
def test_a_warm_start_is_the_rest_of_the_last_plan(execute):
    config = PlanningConfig(
        horizon=3, execute=execute, n_samples=20, n_elites=4, n_iterations=2, warm_start=True, method="cem"
    )
    model = Adder()
    policy = PlannerPolicy(model, SCALER, config)
    memory, streams = [{}], [torch_generator(1)]
    goals = policy.prepare(goal_pictures([5, 9]), np.zeros((1, 2)))
    first = policy.act(observe([[[3, 4]]], memory), goals, streams)
    assert first.shape == (1, execute, 2) and torch.equal(model.means[0], torch.zeros(3, 2))
    # The same search by itself, whose blocks are then moved by hand.
    latents = torch.tensor([[3.0, 4.0]])
    whole = plan(Adder(), replace(config, warm_start=False), latents, goals, [torch_generator(1)], block_dim=2)[0].numpy()
    np.testing.assert_allclose(first[0], np.array(SCALER.mean) + np.array(SCALER.std) * whole[:execute], rtol=1e-6)
    model.means.clear()
    policy.act(observe([[[4, 4]]], memory), goals, streams)
    expected = np.zeros((3, 2), np.float32)
    expected[: 3 - execute] = whole[execute:]
    assert np.array_equal(model.means[0].numpy(), expected)
    # Another episode begins at 0 again.
    model.means.clear()
    policy.act(observe([[[4, 4]]], [{}]), goals, [torch_generator(1)])
    assert torch.equal(model.means[0], torch.zeros(3, 2))


def test_without_memory_there_is_no_warm_start():
    config = PlanningConfig(horizon=2, execute=1, n_samples=5, n_elites=2, n_iterations=1)
    for warm in (False, True):
        policy = PlannerPolicy(Adder(), SCALER, replace(config, warm_start=warm))
        goals = policy.prepare(goal_pictures([5, 9]), np.zeros((1, 2)))
        if not warm:
            memory = [{}]
            policy.act(observe([[[3, 4]]], memory), goals, [torch_generator(0)])
            assert memory == [{}]
            continue
        with pytest.raises(InputError, match="warm_start is True but the observation has no memory"):
            policy.act(observe([[[3, 4]]]), goals, [torch_generator(0)])


@pytest.mark.parametrize("method", ["cem", "mppi", "adam"])
def test_memories_of_episodes_do_not_mix(method):
    config = PlanningConfig(
        method=method, horizon=3, execute=1, n_samples=10, n_elites=3, n_iterations=2, warm_start=True, cost="closest"
    )

    def play(episodes):
        policy, memory = PlannerPolicy(Adder(), SCALER, config), {e: {} for e in episodes}
        streams = {e: torch_generator(3, e) for e in episodes}
        goals = policy.prepare(goal_pictures(*([20 * e, 9] for e in episodes)), np.zeros((len(episodes), 2)))
        actions = []
        for turn in range(3):
            # The first episode ends early, so that rows move up.
            left = [e for e in episodes if turn < 2 or e != 0]
            rows = [episodes.index(e) for e in left]
            now = observe([[[10 * e + turn, 5]] for e in left], [memory[e] for e in left])
            found = policy.act(now, goals[rows], [streams[e] for e in left])
            actions.append(dict(zip(left, found, strict=True)))
        return actions

    together, alone = play([0, 1, 2]), play([2])
    for turn in range(3):
        assert np.array_equal(together[turn][2], alone[turn][2])
    assert not np.array_equal(together[2][1], together[2][2])


def test_real_history_comes_from_the_settings():
    policy = PlannerPolicy(Adder(), SCALER, PlanningConfig(history=2, n_samples=5, n_elites=2, n_iterations=1))
    assert policy.history == 2
    goals = policy.prepare(goal_pictures([5, 9]), np.zeros((1, 2)))
    policy.act(observe([[[3, 4], [6, 7]]], past=[[[0.6, 0.6]]]), goals, [torch_generator(0)])
    latents, past = policy.model.given[0]
    assert latents.tolist() == [[3, 4], [6, 7]]
    # One action a block: (.6 - mean) / std.
    assert past[0].tolist() == pytest.approx([(0.6 - 0.1) / 0.5, (0.6 + 0.2) / 0.8])
    with pytest.raises(InputError, match="history is 4, expected between 1 and 3"):
        PlannerPolicy(Adder(), SCALER, PlanningConfig(history=4))
    with pytest.raises(InputError, match=r"planning.history is 4, expected between 1 and 3 \(model.history"):
        PixelConfig(planning=PlanningConfig(history=4))
    assert changed(preset("tiny"), {"planning.history": 4, "model.history": 4}).planning.history == 4


def test_a_setting_without_effect_is_named():
    config = changed(preset("tiny"), {"planning.warm_start": True})
    assert "nothing is left of a plan" in unread_settings(config)["planning.warm_start"]
    receding = changed(config, {"planning.execute": 2})
    assert "planning.warm_start" not in unread_settings(receding)
    idle = unread_settings(changed(receding, {"planning.method": "random"}))
    assert {f"planning.{name}" for name in ("warm_start", "cost", "history", "compile")} <= set(idle)
    for change in ({"history": 2}, {"warm_start": True}, {"compile": True}):
        with pytest.raises(InputError, match="for a search among discrete actions"):
            plan_discrete(None, PlanningConfig(**change), torch.zeros(1, 2), torch.zeros(1, 2), [None], n_actions=2)
    with pytest.raises(InputError, match=r"mean has shape \(1, 4, 2\) for method 'cem', expected \(1, 5, 2\)"):
        zeros = torch.zeros(1, 2)
        plan(Adder(), PlanningConfig(), zeros, zeros, [torch_generator(0)], block_dim=2, mean=torch.zeros(1, 4, 2))


def test_the_simulator_has_the_same_costs():
    world = make_environment("two_room", 16)
    rng = np.random.default_rng(0)
    starts, goals = np.array([[60.0, 100.0], [90.0, 40.0]]), np.array([[60.0, 120.0], [150.0, 60.0]])
    plans = torch.from_numpy(rng.normal(size=(2, 3, 4, 6)))
    found = {kind: simulator_cost(world, starts, goals, SCALER, kind, action_block=3)(plans) for kind in ("sum", "closest")}
    for episode in range(2):
        for sample in range(3):
            world.set_state(starts[episode])
            distances = []
            for number, action in enumerate(plans[episode, sample].reshape(-1, 2).numpy(), 1):
                state = world.step(np.array(SCALER.mean) + np.array(SCALER.std) * action)[0]
                if number % 3 == 0:
                    none = np.zeros((1, 1, 1, 2))
                    # After no action worth the name: the distance of a state that stays where it is.
                    distances.append(world.plan_distances(state[None], goals[episode : episode + 1], none).item())
            assert len(distances) == 4
            assert found["sum"][episode, sample].item() == pytest.approx(sum(distances), abs=1e-8)
            assert found["closest"][episode, sample].item() == pytest.approx(min(distances), abs=1e-8)


def test_the_simulator_begins_warm_and_refuses_what_a_model_needs(monkeypatch):
    from spectral_jepa.pixels.planning import simulator

    world, means = make_environment("two_room", 16), []
    search = simulator.cross_entropy_method

    def watched(cost, mean, generators, **sizes):
        means.append((mean.clone(), search(cost, mean, generators, **sizes)))
        return means[-1][1]

    monkeypatch.setattr(simulator, "cross_entropy_method", watched)
    config = PlanningConfig(horizon=3, execute=2, n_samples=10, n_elites=3, n_iterations=2, warm_start=True, cost="sum")
    policy, memory = SimulatorPolicy(world, SCALER, config), [{}]
    goals = policy.prepare(None, np.array([[60.0, 120.0]]))
    for place in ([60.0, 100.0], [60.0, 105.0]):
        now = Observation(np.zeros((1, 1, 16, 16, 3), np.uint8), np.array([place]), np.zeros((1, 0, 2)), memory)
        assert policy.act(now, goals, [torch_generator(0)]).shape == (1, 10, 2)
    (first, found), (second, _) = means
    assert not first.any() and found.abs().max() > 0.1
    assert torch.equal(second[:, 0], found[:, 2]) and not second[:, 1:].any()
    for change in ({"history": 2}, {"compile": True}):
        with pytest.raises(InputError, match=r"for the simulator, which reads states"):
            SimulatorPolicy(world, SCALER, PlanningConfig(**change))


class Seer(torch.nn.Module):
    """Its latents are the colours of every other pixel; its predictions those of the pictures that are truly seen later."""

    def __init__(self, world):
        super().__init__()
        self.config = ModelConfig(image_size=28, action_dim=2, action_block=3, history=1)
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.world, self.start = world, None

    def encode(self, frames):
        return frames[:, ::2, ::2].flatten(1).float() / 255

    def rollout(self, latents, blocks, past_blocks=None):
        seen = torch.empty(*blocks.shape[:2], latents.shape[-1])
        for i, plan_blocks in enumerate(blocks):
            self.world.set_state(self.start)
            for j, block in enumerate(plan_blocks.double().numpy()):
                for action in block.reshape(-1, 2):
                    self.world.step(np.array(SCALER.mean) + np.array(SCALER.std) * action)
                seen[i, j] = self.encode(torch.from_numpy(self.world.render())[None])[0]
        return seen


@pytest.mark.parametrize("kind", ["end", "sum", "closest"])
def test_a_perfect_predictor_and_the_true_dynamics_behind_its_encoder_make_one_plan(kind):
    world = make_environment("two_room", 28)
    model, start, goal = Seer(world), np.array([60.0, 100.0]), np.array([80.0, 120.0])
    model.start = start
    config = PlanningConfig(horizon=2, execute=2, n_samples=12, n_elites=3, n_iterations=3, cost=kind)
    pictures = []
    for place in (start, goal):
        world.set_state(place)
        pictures.append(world.render())
    now = Observation(pictures[0][None, None], start[None], np.zeros((1, 0, 2)))
    policies = [
        PlannerPolicy(model, SCALER, config),
        SimulatorPolicy(world, SCALER, config, 3, model),
        SimulatorPolicy(world, SCALER, config, 3),
    ]
    found = []
    for policy in policies:
        goals = policy.prepare(pictures[1][None], goal[None])
        found.append(policy.act(now, goals, [torch_generator(4)]))
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    assert np.abs(found[2] - found[0]).max() > 0.01  # the states' own distance chooses otherwise
    assert [policy.name for policy in policies[1:]] == ["simulator, latent cost", "simulator"]
    # What is kept of an evaluation belongs to the weights of the encoder.
    told = policies[1].describe()
    with torch.no_grad():
        model.weight += 1
    assert policies[1].describe() != told and "encoder" not in policies[2].describe()


def lively_model():
    """A model that listens to its actions: a fresh one has gates of zero."""
    model, generator = WorldModel(preset("tiny").model).eval(), torch_generator(9)
    with torch.no_grad():
        for block in model.predictor.blocks:
            block.modulation.weight.normal_(std=0.5, generator=generator)
    return model


def test_compile_compiles_the_rollout_once(monkeypatch):
    asked = []

    def stand_in(function, **settings):
        asked.append(settings)
        return lambda *arguments: function(*arguments) * 1.0

    monkeypatch.setattr(torch, "compile", stand_in)
    config = PlanningConfig(n_samples=5, n_elites=2, n_iterations=3)
    for compiled in (False, True):
        policy = PlannerPolicy(lively_model(), SCALER, replace(config, compile=compiled))
        frames = np.zeros((2, 1, 32, 32, 3), np.uint8)
        now = Observation(frames, np.zeros((2, 2)), np.zeros((2, 0, 2)))
        goals = policy.prepare(frames[:, 0] + 200, np.zeros((2, 2)))
        actions = policy.act(now, goals, [torch_generator(0), torch_generator(1)])
        assert len(asked) == compiled
        if not compiled:
            plain = actions
    assert np.array_equal(actions, plain) and asked[0]["dynamic"] is False


def test_without_a_compiler_one_sentence_and_the_same_plans():
    def broken(graph, inputs):
        raise RuntimeError("No working C++ compiler found")

    model = lively_model()
    draw = torch.randn(2, 3, 16, generator=torch_generator(2))
    config = PlanningConfig(n_samples=10, n_elites=3, n_iterations=2)
    streams, plans = [[torch_generator(0, e) for e in range(3)] for _ in range(2)], torch.zeros(3, 5, 10)
    quick = CompiledRollout(model)
    quick.compiled = torch.compile(model.rollout, backend=broken)
    with pytest.warns(UserWarning, match="torch cannot compile here .No working C.. compiler found.*install g") as caught:
        found = plan(quick, config, draw[0], draw[1], streams[0], block_dim=10)
    assert len([one for one in caught if "cannot compile" in str(one.message)]) == 1
    assert torch.equal(found, plan(model, config, draw[0], draw[1], streams[1]))
    # What is compiled stays in its process; that there is no compiler goes along, so that not every process says so.
    again, fresh = pickle.loads(pickle.dumps(quick)), CompiledRollout(model)
    fresh.compiled = lambda *arguments: None
    assert again.failed and torch.equal(again.rollout(draw[0][:, None], plans), model.rollout(draw[0][:, None], plans))
    assert pickle.loads(pickle.dumps(fresh)).compiled is None


@pytest.mark.slow
@pytest.mark.parametrize("history", [1, 2])
def test_compiled_plans_are_those_of_the_model(history):
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:
        pytest.skip(f"there is no C++ compiler here: {error}")
    model = lively_model()
    draw = torch.randn(2, 3, history, 16, generator=torch_generator(2))
    past = torch.randn(3, history - 1, 10, generator=torch_generator(3)) if history > 1 else None
    plans = torch.randn(3, 20, 5, 10, generator=torch_generator(4))
    config = PlanningConfig(n_samples=20, n_elites=5, n_iterations=3)
    quick = CompiledRollout(model)
    with torch.inference_mode():
        costs = [latent_cost(m, draw[0], draw[1][:, -1], past)(plans) for m in (model, quick)]
    torch.testing.assert_close(costs[1], costs[0], rtol=1e-4, atol=1e-4)
    found = [
        plan(m, config, draw[0], draw[1][:, -1], [torch_generator(0, e) for e in range(3)], block_dim=10, past_blocks=past)
        for m in (model, quick)
    ]
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)
    assert not quick.failed and found[0].abs().max() > 0.1
