"""docs/theory.md, 2.10: (f, g) -> (Q f, Q^-T g) changes no risk and no model, but may change a Euclidean plan."""

import numpy as np
import pytest

from spectral_jepa import (
    CoOccurrence,
    TabularMDP,
    jepa_loss,
    plan_goals,
    pooled_risk,
    spectral_embedding,
    spectral_loss,
    spectral_risk,
)
from spectral_jepa.embedding import Embedding

SEEDS = [0, 1, 2]
SCORES = ["transition", "dot", "euclidean"]


def general(seed, dim):
    rng = np.random.default_rng([seed, 3])
    return rng.standard_normal((dim, dim)) + 2 * np.eye(dim)


def orthogonal(seed, dim):
    return np.linalg.qr(general(seed, dim))[0]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_loss_risk_and_model_do_not_depend_on_the_gauge(draw_world, draw_embedding, seed, shared):
    world = draw_world(seed, 5, 3)
    one = draw_embedding(seed, world, 4, shared, scale=0.5)
    matrix = general(seed, 4)
    two = one.rotate(matrix)
    for x in range(5):
        assert np.abs(two.targets[1, x] - matrix @ one.targets[1, x]).max() < 1e-12
        assert np.abs(matrix.T @ two.predicted[1, x] - one.predicted[1, x]).max() < 1e-12
    assert np.abs(two.transition() - one.transition()).max() < 1e-10
    assert np.abs(spectral_loss(world.exact, two) - spectral_loss(world.exact, one)).max() < 1e-10
    assert np.abs(spectral_risk(world.exact, two) - spectral_risk(world.exact, one)).max() < 1e-10
    if shared:
        assert pooled_risk(world.exact, two) == pytest.approx(pooled_risk(world.exact, one), abs=1e-10)
    # The printed loss does: its norm terms see the gauge.
    assert np.abs(jepa_loss(world.exact, two) - jepa_loss(world.exact, one)).max() > 1e-2


@pytest.mark.parametrize("seed", [0])
def test_transforming_both_alike_is_no_gauge(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 2)
    one, matrix = draw_embedding(seed, world, 3), general(0, 3)
    two = Embedding(one.target @ matrix.T, one.predicted @ matrix.T, one.column_weight)
    assert np.abs(spectral_loss(world.exact, two) - spectral_loss(world.exact, one)).min() > 0.1
    turn = orthogonal(0, 3)  # unless it is a rotation
    three = Embedding(one.target @ turn.T, one.predicted @ turn.T, one.column_weight)
    assert np.abs(spectral_loss(world.exact, three) - spectral_loss(world.exact, one)).max() < 1e-10


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("rollout", ["operator", "latent"])
@pytest.mark.parametrize("seed", SEEDS)
def test_rotations_change_no_plan(draw_world, draw_embedding, seed, rollout, score):
    world = draw_world(seed, 5, 3)
    one = draw_embedding(seed, world, 3)
    plans = [
        plan_goals(world.mdp, e, horizon=2, score=score, rollout=rollout) for e in (one, one.rotate(orthogonal(seed, 3)))
    ]
    assert np.array_equal(plans[0].planned_sequence, plans[1].planned_sequence)


@pytest.mark.parametrize("score", ["transition", "dot"])
@pytest.mark.parametrize("seed", SEEDS)
def test_operator_rollouts_change_in_no_gauge(draw_world, draw_embedding, seed, score):
    world = draw_world(seed, 5, 3)
    one = draw_embedding(seed, world, 3, shared=False)
    for horizon in (1, 3):
        plans = [plan_goals(world.mdp, e, horizon=horizon, score=score) for e in (one, one.rotate(general(seed, 3)))]
        assert np.array_equal(plans[0].planned_sequence, plans[1].planned_sequence)


def test_a_euclidean_plan_may_change_at_zero_risk():
    """Three states, two doubly stochastic actions, k = n: risk 0 in both gauges, regret 0 in one of them."""
    mdp = TabularMDP([[[0.6, 0.4, 0], [0.4, 0.6, 0], [0, 0, 1]], [[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]]])
    exact = CoOccurrence.exact(mdp)
    one = spectral_embedding(exact, 3, shared=True)
    stretched = one.rotate(np.diag([0.1, 1.0, 5.0]) @ orthogonal(1, 3))
    for embedding in (one, stretched):
        assert spectral_risk(exact, embedding).max() < 1e-12
        assert plan_goals(mdp, embedding, score="dot").regret.max() < 1e-12
    assert plan_goals(mdp, stretched, score="euclidean").regret.max() > 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_latent_rollouts_depend_on_the_gauge(draw_world, draw_embedding, seed):
    """In the whitened gauge they multiply the models; in a sheared one they do not."""
    world = draw_world(seed, 5, 3, stationary=True, concentration=0.3)
    white = spectral_embedding(world.exact, 5, shared=True)
    right = plan_goals(world.mdp, white, horizon=3, rollout="operator")
    assert np.array_equal(plan_goals(world.mdp, white, horizon=3, rollout="latent").planned, right.planned)
    sheared = white.rotate(general(seed, 5))
    assert np.array_equal(plan_goals(world.mdp, sheared, horizon=3, rollout="operator").planned, right.planned)
    wrong = plan_goals(world.mdp, sheared, horizon=3, rollout="latent")
    assert right.regret.max() < 1e-10 < 1e-3 < wrong.mean_regret
