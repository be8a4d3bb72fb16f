"""docs/theory.md, 4.3: T steps by the operator rollout, linear in T, without determinism; whitening and naive rollouts."""

import itertools

import numpy as np
import pytest
import scipy.linalg

from spectral_jepa import CoOccurrence, Embedding, TabularMDP, multi_step_bound, plan_goals, spectral_embedding, spectrum
from spectral_jepa.generators import gauge_embedding_arrays
from spectral_jepa.generators.counterexamples import gauge_counterexample

SEEDS = [0, 1, 2, 3]


def regret_by_hand(transition, model, horizon):
    """Regret of maximising the product of the model matrices, pair by pair, over all sequences."""
    n_actions, n = transition.shape[:2]
    best, score, planned = np.zeros((n, n)), np.full((n, n), -np.inf), np.zeros((n, n))
    for sequence in itertools.product(range(n_actions), repeat=horizon):
        true, believed = np.eye(n), np.eye(n)
        for a in sequence:
            true, believed = true @ transition[a], believed @ model[a]
        best = np.maximum(best, true)
        better = believed > score + 1e-12
        score, planned = np.where(better, believed, score), np.where(better, true, planned)
    return best - planned


@pytest.mark.parametrize("horizon", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_truncated_svd_pair_by_pair(draw_world, seed, horizon):
    world = draw_world(seed, 4, 2, concentration=0.2, stationary=True)
    assert np.abs(world.next_weight - world.weight).max() < 1e-12 and np.ptp(world.weight) > 0.01
    exact = world.exact
    for dim in (1, 2, 3):
        left_out = max(scipy.linalg.svdvals(world.normalized(a))[dim] for a in range(2))
        embedding = spectral_embedding(exact, dim)
        model = embedding.transition()
        regret = regret_by_hand(world.transition, model, horizon)
        bound = 2 * horizon * np.sqrt(world.weight[None, :] / world.weight[:, None]) * left_out
        assert (regret <= bound + 1e-10).all()
        plan = plan_goals(world.mdp, embedding, horizon=horizon)
        assert np.abs(plan.regret - regret).max() < 1e-10
        package = multi_step_bound(exact, embedding, plan)
        assert package.value == pytest.approx(plan.average(bound), rel=1e-9)
        assert package.holds


@pytest.mark.parametrize("seed", [0])
def test_bound_is_linear_in_the_horizon(draw_world, seed):
    world = draw_world(seed, 4, 2, stationary=True)
    embedding = spectral_embedding(world.exact, 2)
    values = [multi_step_bound(world.exact, embedding, plan_goals(world.mdp, embedding, horizon=t)).value for t in (1, 2, 5)]
    assert values[1] == pytest.approx(2 * values[0], rel=1e-10)
    assert values[2] == pytest.approx(5 * values[0], rel=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_embedding_with_the_growth_of_its_own_products(draw_world, draw_embedding, seed):
    world = draw_world(seed, 4, 2, concentration=0.3, stationary=True)
    scale = np.sqrt(world.weight[:, None] / world.weight[None, :])
    positive = 0
    for dim, noise in itertools.product((1, 2, 4), (0.05, 0.3, 1.0)):
        fit, far = spectral_embedding(world.exact, dim), draw_embedding(seed, world, dim, shared=False)
        embedding = Embedding(fit.target + noise * far.target, fit.predicted + noise * far.predicted, world.next_weight)
        model = embedding.transition()
        residual = max(scipy.linalg.svdvals(scale * (world.transition[a] - model[a]))[0] for a in range(2))
        growth = max(1.0, *(scipy.linalg.svdvals(scale * model[a])[0] for a in range(2)))
        plan = plan_goals(world.mdp, embedding, horizon=3)
        bound = multi_step_bound(world.exact, embedding, plan)
        by_hand = 2 * (1 + growth + growth**2) * residual / scale
        assert bound.value == pytest.approx(plan.average(by_hand), rel=1e-9)
        assert (plan.regret <= by_hand + 1e-10).all()
        positive += plan.mean_regret > 1e-6
    assert positive >= 4


@pytest.mark.parametrize("n", [4, 20])
def test_one_step_is_tight(as_world, n):
    """P = U +- e (I - U) with U uniform: at k = 1 both actions look alike, and staying loses all but 1/n of the bound."""
    e = 1 / (n - 1)
    uniform = np.full((n, n), 1 / n)
    world = as_world([uniform - e * (np.eye(n) - uniform), uniform + e * (np.eye(n) - uniform)])
    embedding = spectral_embedding(world.exact, 1)
    plan = plan_goals(world.mdp, embedding)
    stay = np.diag(plan.regret)
    assert stay == pytest.approx(np.full(n, 2 * e * (1 - 1 / n)))
    bound = multi_step_bound(world.exact, embedding, plan)
    assert bound.value == pytest.approx(2 * e, rel=1e-9)
    assert stay.max() / bound.value == pytest.approx(1 - 1 / n, rel=1e-9)


def whitened(world, dim, seed):
    """A random f with E_w f f^T = I, and random linear predictors g = W_a f."""
    rng = np.random.default_rng(seed)
    raw = rng.standard_normal((len(world.weight), dim))
    second = raw.T @ (world.weight[:, None] * raw)
    target = raw @ np.linalg.inv(np.linalg.cholesky(second)).T
    return target, rng.standard_normal((len(world.transition), dim, dim)) / np.sqrt(dim)


@pytest.mark.parametrize("score", ["transition", "dot", "euclidean"])
@pytest.mark.parametrize("seed", SEEDS)
def test_whitening_makes_the_naive_rollout_the_operator_rollout(draw_world, seed, score):
    world = draw_world(seed, 5, 2, stationary=True)
    target, linear = whitened(world, 3, seed)
    assert np.abs(target.T @ (world.weight[:, None] * target) - np.eye(3)).max() < 1e-10
    predicted = np.einsum("akl,xl->axk", linear, target)
    embedding = Embedding(target, predicted, world.weight)
    # T_a = sum_x w(x) g(f(x), a) f(x)^T is W_a itself.
    operator = np.array([sum(world.weight[x] * np.outer(predicted[a, x], target[x]) for x in range(5)) for a in range(2)])
    assert np.abs(operator - linear).max() < 1e-10
    assert np.abs(embedding.predictor_matrices(world.exact) - linear).max() < 1e-10
    plans = [plan_goals(world.mdp, embedding, horizon=3, rollout=r, score=score) for r in ("operator", "latent")]
    assert np.array_equal(plans[0].planned_sequence, plans[1].planned_sequence)
    assert len(set(plans[0].planned_sequence.ravel().tolist())) > 1


@pytest.mark.parametrize("seed", SEEDS)
def test_without_whitening_they_differ(draw_world, seed):
    world = draw_world(seed, 5, 2, stationary=True)
    target, linear = whitened(world, 3, seed)
    stretched = target * [3.0, 1.0, 0.2]
    embedding = Embedding(stretched, np.einsum("akl,xl->axk", linear, stretched), world.weight)
    assert np.abs(embedding.predictor_matrices(world.exact) - linear).max() < 1e-10  # g is still W_a f
    plans = [plan_goals(world.mdp, embedding, horizon=3, rollout=r) for r in ("operator", "latent")]
    assert np.mean(plans[0].planned_sequence != plans[1].planned_sequence) > 0.1


def test_a_naive_rollout_is_not_covered():
    mdp = gauge_counterexample()
    exact = CoOccurrence.exact(mdp)
    embedding = Embedding(*gauge_embedding_arrays(), np.full(3, 1 / 3))
    plan = plan_goals(mdp, embedding, horizon=3, rollout="latent")
    bound = multi_step_bound(exact, embedding, plan)
    assert bound.value < 1e-10 < 0.4 < plan.mean_regret
    assert not bound.holds


def test_stationarity_is_needed():
    """With a data law that the actions do not keep, 2 T sqrt(w(y) / w(x)) s_{k+1} is off by a factor of 27 here."""
    rng = np.random.default_rng(2699)
    transition = rng.dirichlet(np.full(3, 0.15), size=(2, 3))
    weight = 0.99 * rng.dirichlet(np.full(3, 0.4)) + 0.01 / 3
    mdp = TabularMDP(transition, weight)
    exact = CoOccurrence.exact(mdp)
    embedding = spectral_embedding(exact, 2)
    plan = plan_goals(mdp, embedding, horizon=2)
    naive = 2 * 2 * np.sqrt(weight[None, :] / weight[:, None]) * spectrum(exact)[:, 2].max()
    assert (plan.regret / naive).max() > 20
    assert not multi_step_bound(exact, embedding, plan).holds


@pytest.mark.parametrize("seed", [2])
def test_starts_and_goals_of_their_own(draw_world, seed):
    """Two starts, three goals: sqrt(w(goal) / w(start)) in that order, each pair with the weight of its start and goal."""
    world = draw_world(seed, 5, 2, concentration=0.2, stationary=True)
    starts, goals = np.array([0.3, 0.7, 0, 0, 0]), np.array([0, 0, 0.2, 0.5, 0.3])
    embedding = spectral_embedding(world.exact, 2)
    plan = plan_goals(world.mdp, embedding, horizon=2, starts=starts, goals=goals)
    left_out = max(scipy.linalg.svdvals(world.normalized(a))[2] for a in range(2))
    ratio = sum(starts[x] * goals[y] * np.sqrt(world.weight[y] / world.weight[x]) for x in range(5) for y in range(5))
    assert multi_step_bound(world.exact, embedding, plan).value == pytest.approx(2 * 2 * ratio * left_out, rel=1e-9)
    inverse = sum(starts[x] * goals[y] * np.sqrt(world.weight[x] / world.weight[y]) for x in range(5) for y in range(5))
    assert abs(inverse / ratio - 1) > 1e-3


def test_a_state_without_mass_is_not_covered(as_world):
    """The data live in states 0 and 1, stationary under both actions: they say nothing of state 2."""
    rows = [[[0.9, 0.1, 0], [0.1, 0.9, 0], [0, 0, 1]], [[0.3, 0.7, 0], [0.7, 0.3, 0], [1, 0, 0]]]
    world = as_world(rows, weight=[0.5, 0.5, 0.0])
    embedding = spectral_embedding(world.exact, 2)
    plan = plan_goals(world.mdp, embedding, horizon=2, starts=[0, 1])
    failed = [a.text for a in multi_step_bound(world.exact, embedding, plan).assumptions if not a.holds]
    assert failed == ["w is positive everywhere"]
