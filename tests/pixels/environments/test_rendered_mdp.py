"""Finite worlds drawn as pictures: what is drawn, how it moves, and that its data have the law of the exact matrix."""

import pickle
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

import spectral_jepa as sj
from spectral_jepa._validation import InputError
from spectral_jepa.cli import main
from spectral_jepa.pixels.config import DataConfig
from spectral_jepa.pixels.data.collect import collect_drawn
from spectral_jepa.pixels.data.windows import WindowSampler
from spectral_jepa.pixels.environments import environment_class, make_environment
from spectral_jepa.pixels.environments.mdp_names import WORLDS
from spectral_jepa.pixels.environments.mdp_pictures import Nuisance, draw_world
from spectral_jepa.pixels.environments.rendered_mdp import RenderedMDP, long_run_weight, pictures_of
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import changed, preset

NAMES = [f"mdp_{kind}" for kind in WORLDS] + ["mdp_torus,size=3,nuisance=moving,look=bar", "mdp_ring,size=5,nuisance=iid"]


def episodes(name, n, steps, size=32, policy="random"):
    rngs = [np.random.default_rng([3, k]) for k in range(n)]
    return list(environment_class(name).record_episodes(size, policy, steps, rngs))


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_its_picture(name):
    world = environment_class(name)
    pictures = pictures_of(world, 32)
    assert len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) == world.world.n_states
    states = torch.arange(world.world.n_states, dtype=torch.float64)[:, None]
    assert np.array_equal(world.draw_states(states, 32).numpy(), pictures)
    environment = make_environment(name, 32)
    for state in (0, world.world.n_states - 1):
        environment.set_state(np.array([state]))
        assert np.array_equal(environment.render(), pictures[state])
    environment.recolor()
    assert not np.array_equal(environment.render(), pictures[state])
    again = pickle.loads(pickle.dumps(environment))
    assert type(again) is type(environment) and again.image_size == 32


def test_the_agent_stands_where_its_label_says():
    pictures = draw_world(sj.make_four_rooms(7), 32)
    cells = pictures[:, 2:30, 2:30].reshape(-1, 7, 4, 7, 4, 3)[:, :, 0, :, 0]
    red = (cells == (255, 0, 0)).all(-1)
    assert [tuple(place) for place in np.argwhere(red)[:, 1:].tolist()] == list(sj.make_four_rooms(7).state_labels)
    # Walls are where no state is.
    dark = (cells < 100).all(-1)
    assert (dark.sum(axis=(1, 2)) == 49 - 40).all()


@pytest.mark.parametrize("name", ["mdp_four_rooms", "mdp_torus,size=3,nuisance=markov"])
@pytest.mark.parametrize("row_steps", [1, 2])
def test_episodes_in_batch_are_those_of_the_base_class(name, row_steps):
    world = environment_class(name)
    batch = list(world.record_episodes(16, "random", 20, [np.random.default_rng(k) for k in (4, 5)], row_steps=row_steps))
    alone = world(16)
    for number, episode in zip((4, 5), batch, strict=True):
        single = alone.record_episode("random", 20, np.random.default_rng(number), row_steps=row_steps)
        assert single.keys() == episode.keys()
        for column, values in single.items():
            assert np.array_equal(values, episode[column], equal_nan=column == "action"), column


@pytest.mark.parametrize("name", ["mdp_torus,size=3", "mdp_four_rooms", "mdp_ring,size=5,nuisance=markov,values=2"])
def test_recorded_transitions_have_the_exact_law(name):
    world = environment_class(name)
    found = episodes(name, 400, 40)
    states = np.stack([episode["state"][:, 0] for episode in found]).astype(int)
    actions = np.stack([episode["action"][:-1].argmax(-1) for episode in found])
    data = sj.Transitions(states[:, :-1].ravel(), actions.ravel(), states[:, 1:].ravel(), world.world.n_states)
    joint = world.world.pooled_weight[:, :, None] * world.world.dense()
    counts, expected = data.counts(), len(data) * joint
    assert counts[expected == 0].sum() == 0
    # Rows of an episode depend on each other, so pairs are not quite multinomial; each transition given its start is.
    row = counts.sum(axis=2, keepdims=True)
    given = row * world.world.dense()
    spread = (counts - given) / np.sqrt(np.maximum(given * (1 - world.world.dense()), 1e-12))
    assert np.abs(spread[given > 20]).max() < 5
    # The marginal is the same at the first and at the last moment.
    for moment in (0, 20, 40):
        seen = np.bincount(states[:, moment], minlength=world.world.n_states)
        statistic = ((seen - 400 * world.world.weight) ** 2 / (400 * world.world.weight)).sum()
        assert statistic < world.world.n_states + 6 * np.sqrt(2 * world.world.n_states)


def test_the_law_in_the_long_run_is_stationary():
    rng = np.random.default_rng(0)
    world = sj.TabularMDP(rng.dirichlet(np.ones(6), (2, 6)))
    law = long_run_weight(world)
    step = world.transition.mean(axis=0)
    values, vectors = np.linalg.eig(step.T)
    other = np.real(vectors[:, np.argmax(values.real)])
    assert law == pytest.approx(other / other.sum(), abs=1e-12)
    assert np.abs(world.weight @ step - world.weight).max() > 1e-3  # the world's own weight was not
    # A chain of period two, two classes of states: from the given weight the law of each class stays what it was.
    cycle = sj.TabularMDP([np.kron(np.eye(2), [[0.0, 1.0], [1.0, 0.0]])], weight=[0.3, 0.0, 0.1, 0.6])
    assert long_run_weight(cycle) == pytest.approx([0.15, 0.15, 0.35, 0.35], abs=1e-12)

    class Drifting(RenderedMDP):
        name, task = "drifting", world

    assert Drifting.world.weight == pytest.approx(law) and Drifting.action_dim == 2
    exact = sj.CoOccurrence.exact(Drifting.world)
    assert exact.pooled_column_weight == pytest.approx(law)  # next states have the law of the states


@pytest.mark.parametrize(("kind", "kept"), [("iid", 0.0), ("markov", 0.6), ("moving", 0.6), ("frozen", 1.0)])
def test_a_background_multiplies_the_spectrum(kind, kept):
    task = sj.make_ring(5, 0.3)
    world = Nuisance(kind, values=3, persistence=0.6).beside(task)
    alone = np.sort(sj.spectrum(sj.CoOccurrence.exact(task), shared=True))
    found = np.sort(sj.spectrum(sj.CoOccurrence.exact(world), shared=True))
    assert found == pytest.approx(np.sort(np.concatenate([alone, kept * alone, kept * alone])), abs=1e-12)
    if kind == "moving":
        # From place 0 and value 2, the place staying (action 1): on to value 0 with .6 + .4 / 3.
        assert world.transition[1, 2, 0] / task.transition[1, 0, 0] == pytest.approx(0.6 + 0.4 / 3)


def test_a_louder_background_changes_more_pixels_and_never_the_agent():
    task = sj.make_torus(3)
    plain = draw_world(task, 24).astype(float)
    changes = []
    for loudness in (0.2, 0.9):
        noisy = draw_world(task, 24, Nuisance("iid", 2, loudness=loudness)).reshape(9, 2, 24, 24, 3)
        changes.append(np.abs(noisy - plain[:, None]).mean())
        agent = (plain == (255, 0, 0)).all(-1)
        assert (noisy[:, 0][agent] == (255, 0, 0)).all()
    assert changes[1] == pytest.approx(changes[0] * 4.5, rel=0.02)


def test_distances_and_exact_plans():
    environment = make_environment("mdp_torus,size=4", 32)
    for (a, (r, c)), (b, (s, d)) in product(enumerate(np.ndindex(4, 4)), repeat=2):
        apart = sum(min(abs(x - y), 4 - abs(x - y)) for x, y in ((r, s), (c, d)))
        assert environment.goal_distance(np.array([a]), np.array([b])) == apart
    rng = np.random.default_rng(0)
    plans = np.eye(4)[rng.integers(0, 4, (3, 5, 2))]
    starts, goals = rng.integers(0, 16, (3, 1)), rng.integers(0, 16, (3, 1))
    found = environment.plan_distances(starts, goals, plans)
    steps = environment.task.transition
    for e, s in product(range(3), range(5)):
        first, second = plans[e, s].argmax(-1)
        law = (steps[first] @ steps[second])[starts[e, 0]]
        distances = [environment.goal_distance(np.array([y]), goals[e]) for y in range(16)]
        assert found[e, s] == pytest.approx(law @ distances)


def test_goals_are_places_and_scripts_reach_them():
    noisy = make_environment("mdp_ring,size=6,nuisance=iid,values=3", 32)
    assert noisy.goal_distance(np.array([7]), np.array([6])) == 0 and noisy.success(np.array([7]), np.array([8]))
    assert noisy.quantities().keys() == {"agent_position", "background"}
    noisy.reset(seed=0)
    for _ in range(5):
        before = noisy.get_state()
        noisy.teleport(np.random.default_rng(1))
        assert noisy.goal_distance(before, noisy.get_state()) > 1 and noisy.get_state()[0] % 3 == before[0] % 3
    # Without slip the script goes straight, goal after goal: every place is visited far sooner than by chance.
    (scripted,) = episodes("mdp_four_rooms,slip=0", 1, 300, policy="scripted")
    (random,) = episodes("mdp_four_rooms,slip=0", 1, 300)
    moved = [(np.diff(episode["agent_position"], axis=0) != 0).any(axis=1).mean() for episode in (scripted, random)]
    assert moved[0] == 1 and moved[1] < 0.9


def test_each_state_is_encoded_once():
    config = DataConfig(environment="mdp_torus", n_episodes=4, max_steps=30, image_size=32, policy="random")
    data = collect_drawn(config, progress=False)
    whole, distinct = (WindowSampler(data, [0, 1, 2], 2, 1, 40, seed=0, distinct=flag) for flag in (False, True))
    frames, blocks = whole.batch()
    few, same = distinct.batch()
    assert torch.equal(few.whole(), frames) and torch.equal(blocks, same) and few.shape == frames.shape
    assert len(few.distinct) <= 25
    for encoder in ("conv", "pooled"):
        model = WorldModel(changed(preset("tiny", "mdp_torus"), {"model.encoder": encoder}).model).double().train()
        gradients = []
        for given in (frames, few):
            model.zero_grad()
            latents = model.encode(given)
            latents.square().mul(torch.arange(16.0, dtype=torch.float64)).sum().backward()
            gradients.append([parameter.grad.clone() for parameter in model.encoder.parameters()])
        assert torch.allclose(model.encode(frames), model.encode(few), rtol=1e-12, atol=1e-12)
        largest = max(float(gradient.abs().max()) for gradient in gradients[0])
        for one, other in zip(*gradients, strict=True):
            assert torch.allclose(one, other, rtol=0, atol=1e-11 * largest)


def test_every_command_runs_on_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "mdp_torus,size=4,nuisance=iid,values=2"
    run = f"results/pixels/{name}-tiny/sigreg-0"
    main(["pixels", "collect", "--environment", name, "--preset", "tiny", "--n-jobs", "1"])
    for arguments in (
        ["train", "--environment", name, "--preset", "tiny", "--set", "training.n_steps", "3", "--device", "cpu"],
        ["plan", run],
        ["evaluate", run, "--n-pairs", "3", "--simulator", "--set", "planning.n_iterations", "1"],
        ["probe", run],
    ):
        main(["pixels", *arguments])
    rows = pd.read_csv(f"results/pixels/{name}-tiny/evaluation.csv")
    assert set(rows["environment"]) == {name} and {"random", "simulator"} <= set(rows["policy"])
    assert set(pd.read_csv(f"{run}/probe.csv")["quantity"]) == {"agent_position", "background"}


def test_names():
    assert environment_class("mdp_torus,slip=0.5,size=5") is environment_class("mdp_torus")
    assert environment_class("mdp_map,rows=S.+.G").world.n_states == 4
    assert environment_class("mdp_torus").digest() != environment_class("mdp_torus,slip=0.4").digest()
    assert environment_class("mdp_two_rooms").world.n_states == 7 * 9 - 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mdp_tours", "expected one of 'mdp_torus', 'mdp_four_rooms'"),
        ("mdp_torus,sides=3", "sets 'sides', expected one of size, slip, nuisance"),
        ("mdp_torus,size=x", "size is 'x', expected a whole number"),
        ("mdp_torus,size=4,size=4", "sets 'size' twice"),
        ("mdp_torus,values=3", "a background that is not there"),
        ("mdp_torus,nuisance=loud", "kind is 'loud', expected one of"),
        ("mdp_torus,nuisance=iid,loudness=0", "loudness is 0, expected a number in (0, 1]"),
        ("mdp_map,rows=..+x.", "text has 'x' at line 1"),
    ],
)
def test_a_wrong_name_is_one_sentence(name, message):
    with pytest.raises(InputError) as caught:
        environment_class(name)
    assert message in str(caught.value)


def test_pictures_that_tell_nothing_are_refused():
    with pytest.raises(InputError, match="expected at least 5, a pixel a cell"):
        draw_world(sj.make_torus(5), 4)
    with pytest.raises(InputError, match="look alike"):
        draw_world(sj.make_torus(3), 12, Nuisance("iid", values=40, look="bar"))
    with pytest.raises(InputError, match="expected a state between 0 and 24"):
        make_environment("mdp_torus", 32).set_state(np.array([30.0]))
