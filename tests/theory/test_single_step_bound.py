"""docs/theory.md, 4.1 and 4.2: regret of one step under the planner that maximises Phat."""

import numpy as np
import pytest

from spectral_jepa import (
    CoOccurrence,
    TabularMDP,
    averaged_single_step_bound,
    plan_goals,
    pointwise_single_step_bound,
    spectral_embedding,
)
from spectral_jepa.embedding import Embedding

SEEDS = list(range(6))


def model_by_hand(world, embedding):
    """Phat(y|x,a) = w+(y|a) g(f(x),a)^T f(y), entry by entry."""
    n_actions, n_states = world.transition.shape[:2]
    model = np.zeros((n_actions, n_states, n_states))
    for a in range(n_actions):
        for x in range(n_states):
            for y in range(n_states):
                model[a, x, y] = world.next_weight[a, y] * (embedding.predicted[a, x] @ embedding.targets[a, y])
    return model


def regret_and_bound_by_hand(world, model):
    """Pair by pair: regret of argmax_a Phat, and the sum of sqrt(w+ / w) |delta_a(x, y)| over best and planned action."""
    n_states = len(world.weight)
    regret, bound = np.zeros((n_states, n_states)), np.zeros((n_states, n_states))
    after = world.next_weight
    for x in range(n_states):
        for y in range(n_states):
            best, planned = np.argmax(world.transition[:, x, y]), np.argmax(model[:, x, y])
            regret[x, y] = world.transition[best, x, y] - world.transition[planned, x, y]
            for a in (best, planned):
                scale = np.sqrt(after[a, y] / world.weight[x])
                delta = (
                    world.weight[x] * (world.transition[a, x, y] - model[a, x, y]) / np.sqrt(world.weight[x] * after[a, y])
                )
                bound[x, y] += scale * abs(delta)
    return regret, bound


def risk_by_hand(world, model):
    after = world.next_weight
    return np.array(
        [
            sum(
                world.weight[x] * (world.transition[a, x, y] - model[a, x, y]) ** 2 / after[a, y]
                for x in range(len(world.weight))
                for y in range(len(world.weight))
            )
            for a in range(len(world.transition))
        ]
    )


def candidates(world, draw_embedding, seed):
    """Exact truncations, noisy ones, and pure noise."""
    exact = world.exact
    for dim in (1, 2, 4):
        fit = spectral_embedding(exact, dim)
        noise = draw_embedding(seed, world, dim, shared=False)
        yield fit
        yield Embedding(fit.target + 0.2 * noise.target, fit.predicted + 0.2 * noise.predicted, fit.column_weight)
        yield noise


@pytest.mark.parametrize("seed", SEEDS)
def test_pointwise_bound_pair_by_pair(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 3, concentration=0.3)
    law = np.random.default_rng(seed).dirichlet(np.ones(5), size=2)
    positive = 0
    for embedding in candidates(world, draw_embedding, seed):
        regret, bound = regret_and_bound_by_hand(world, model_by_hand(world, embedding))
        assert (regret <= bound + 1e-10).all()
        plan = plan_goals(world.mdp, embedding, starts=law[0], goals=law[1])
        assert np.abs(plan.regret - regret).max() < 1e-10
        package = pointwise_single_step_bound(world.exact, embedding, plan)
        assert package.value == pytest.approx(law[0] @ bound @ law[1], rel=1e-10)
        assert package.holds
        positive += (regret > 1e-6).any()
    assert positive >= 6


@pytest.mark.parametrize("seed", SEEDS)
def test_averaged_bound(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 3, concentration=0.3)
    goal_law = np.random.default_rng(seed).dirichlet(np.ones(5))
    for embedding in candidates(world, draw_embedding, seed):
        model = model_by_hand(world, embedding)
        regret, _ = regret_and_bound_by_hand(world, model)
        reach = np.sqrt(sum(goal_law[y] ** 2 * max(world.next_weight[:, y]) for y in range(5)))
        bound = np.sqrt(2) * reach * np.sqrt(risk_by_hand(world, model).sum())
        assert world.weight @ regret @ goal_law <= bound + 1e-10
        plan = plan_goals(world.mdp, embedding, goals=goal_law)
        package = averaged_single_step_bound(world.exact, embedding, plan)
        assert package.value == pytest.approx(bound, rel=1e-10)
        assert package.holds


def test_averaged_bound_with_uniform_laws(draw_world, draw_embedding, as_world):
    world = as_world([np.roll(np.eye(6), k, axis=1) * 0.8 + 0.2 / 6 for k in range(3)])
    embedding = draw_embedding(0, world, 2)
    risk = risk_by_hand(world, model_by_hand(world, embedding))
    bound = averaged_single_step_bound(world.exact, embedding, plan_goals(world.mdp, embedding))
    assert bound.value == pytest.approx(np.sqrt(2) / 6 * np.sqrt(risk.sum()), rel=1e-10)


def latin_pair(n, step):
    """P_0 and P_1 differ by +-step at every pair, both doubly stochastic (n even)."""
    sign = np.where((np.arange(n)[:, None] + np.arange(n)[None, :]) % 2 == 0, 1.0, -1.0)
    return np.stack([1 / n + step / 2 * sign, 1 / n - step / 2 * sign]), sign


def test_tightness(as_world):
    """A model that leans to the wrong action by next to nothing: 4.1 is attained at every pair, and 4.2 on average."""
    n, step, nudge = 6, 0.1, 1e-7
    transition, sign = latin_pair(n, step)
    world = as_world(transition)
    model = np.stack([1 / n - nudge * sign, 1 / n + nudge * sign])
    # Any matrix is an embedding at k = n: f = e_y / w+, g = rows of Phat.
    embedding = Embedding(np.eye(n) * n, model, np.full(n, 1 / n))
    assert np.abs(model_by_hand(world, embedding) - model).max() < 1e-12
    plan = plan_goals(world.mdp, embedding)
    assert np.abs(plan.regret - step).max() < 1e-12
    assert pointwise_single_step_bound(world.exact, embedding, plan).value == pytest.approx(step, rel=1e-5)
    averaged = averaged_single_step_bound(world.exact, embedding, plan).value
    assert averaged == pytest.approx(step, rel=1e-5)


def test_both_terms_are_needed(as_world):
    """An error on the planned action alone, or on the best one alone, makes the whole regret."""
    world = as_world([np.full((2, 2), 0.5), [[0.9, 0.1], [0.9, 0.1]]])
    for wrong_action in (0, 1):
        model = world.transition.copy()
        model[wrong_action, :, 0] += [0.5, -0.5][wrong_action]
        embedding = Embedding(np.tile(np.eye(2)[None], (2, 1, 1)) / world.next_weight[:, :, None], model, world.next_weight)
        assert np.abs(model_by_hand(world, embedding) - model).max() < 1e-12
        plan = plan_goals(world.mdp, embedding, goals=[0])
        assert plan.planned_sequence.ravel().tolist() == [0, 0] and plan.best_sequence.ravel().tolist() == [1, 1]
        assert plan.mean_regret == pytest.approx(0.4)
        error = np.abs(world.transition - model)[:, :, 0]
        assert [error[0].sum() > 0, error[1].sum() > 0] == [wrong_action == 0, wrong_action == 1]
        assert pointwise_single_step_bound(world.exact, embedding, plan).value == pytest.approx(0.5)


@pytest.mark.parametrize("seed", [1])
def test_another_planner_or_another_start_law_is_not_covered(draw_world, seed):
    world = draw_world(seed, 5, 3, concentration=0.2)
    exact = world.exact
    embedding = spectral_embedding(exact, 5)
    dot = plan_goals(world.mdp, embedding, score="dot")
    assert dot.mean_regret > 1e-3
    for bound in (pointwise_single_step_bound, averaged_single_step_bound):
        assert bound(exact, embedding, dot).value < 1e-10
        assert not bound(exact, embedding, dot).holds
    two_steps = plan_goals(world.mdp, embedding, horizon=2)
    assert not pointwise_single_step_bound(exact, embedding, two_steps).holds
    assert pointwise_single_step_bound(exact, embedding, two_steps).value == np.inf
    assert not averaged_single_step_bound(exact, embedding, two_steps).holds
    elsewhere = plan_goals(world.mdp, embedding, starts=[0])
    assert not averaged_single_step_bound(exact, embedding, elsewhere).holds
    assert pointwise_single_step_bound(exact, embedding, elsewhere).holds


def test_averaged_bound_fails_from_a_rare_start(as_world):
    """w(x) in the risk is what pays for starts ~ w: a start the data hardly visit can lose more than the bound."""
    good, bad = np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([[0.5, 0.5], [0.9, 0.1]])
    world = as_world([good, bad], weight=[1 - 1e-6, 1e-6])
    model = np.full((2, 2, 2), 0.5)
    embedding = Embedding(np.tile(np.eye(2)[None], (2, 1, 1)) / world.next_weight[:, :, None], model, world.next_weight)
    plan = plan_goals(world.mdp, embedding, starts=[1], goals=[0])
    bound = averaged_single_step_bound(world.exact, embedding, plan)
    assert plan.mean_regret == pytest.approx(0.8)
    assert bound.value < 0.01 and not bound.holds


def test_a_start_without_data_has_no_finite_bound(as_world):
    world = as_world([[[0.9, 0.1], [0.1, 0.9]], [[0.3, 0.7], [0.7, 0.3]]], weight=[1.0, 0.0])
    embedding = spectral_embedding(world.exact, 1)
    plan = plan_goals(world.mdp, embedding, starts=[1])
    assert plan.mean_regret == pytest.approx(0.3)
    bound = pointwise_single_step_bound(world.exact, embedding, plan)
    assert bound.value == np.inf and bound.vacuous


def test_goals_that_no_action_reaches_cost_nothing_whatever_the_model_believes():
    mdp = TabularMDP([[[0.0, 1.0], [0.0, 1.0]]] * 2)
    exact = CoOccurrence.exact(mdp)
    believed = mdp.dense().copy()
    believed[0, 0, 0] = 3.0
    embedding = Embedding(np.eye(2), believed, np.ones(2))
    for goal, value in ((0, 0.0), (1, np.inf)):
        plan = plan_goals(mdp, embedding, goals=[goal])
        assert averaged_single_step_bound(exact, embedding, plan).value == value
        assert plan.mean_regret == 0
