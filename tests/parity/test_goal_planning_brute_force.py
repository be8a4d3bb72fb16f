"""plan_goals against plain loops over itertools.product of actions, for every score and rollout."""

import itertools

import numpy as np
import pytest

from spectral_jepa import CoOccurrence, TabularMDP, plan_goals, spectral_embedding
from spectral_jepa.planning import goal


def plan_by_hand(world, embedding, horizon, score, rollout):
    """best, planned value and planned sequence of every pair, one vector and one multiplication at a time."""
    n_actions, n = world.transition.shape[:2]
    f, g = embedding.targets, embedding.predicted
    measure = np.broadcast_to(embedding.column_weight, (n_actions, n))
    if rollout == "latent":
        weight = world.weight
        second = sum(weight[x] * np.outer(f[0, x], f[0, x]) for x in range(n))
        linear = [
            sum(weight[x] * np.outer(g[a, x], f[0, x]) for x in range(n)) @ np.linalg.pinv(second) for a in range(n_actions)
        ]
    best, planned, chosen = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n, horizon), dtype=int)
    for start, target in itertools.product(range(n), repeat=2):
        top = -np.inf
        for sequence in itertools.product(range(n_actions), repeat=horizon):
            law, latent = np.eye(n)[start], g[sequence[0], start]
            for step, a in enumerate(sequence):
                law = law @ world.transition[a]
                if step and rollout == "latent":
                    latent = linear[a] @ latent
                elif step:
                    before = sequence[step - 1]
                    latent = sum(measure[before, x] * (latent @ f[before, x]) * g[a, x] for x in range(n))
            last = sequence[-1]
            if score == "euclidean":
                value = -np.sum((latent - f[last, target]) ** 2)
            else:
                value = latent @ f[last, target] * (measure[last, target] if score == "transition" else 1)
            best[start, target] = max(best[start, target], law[target])
            if value > top + 1e-12 * (1 + abs(value)):
                top, planned[start, target], chosen[start, target] = value, law[target], sequence
    return best, planned, chosen


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("horizon", [1, 2, 3])
@pytest.mark.parametrize("rollout", goal.ROLLOUTS)
@pytest.mark.parametrize("score", goal.SCORES)
def test_every_score_and_rollout(draw_world, draw_embedding, score, rollout, horizon, sparse):
    for seed in (0, 1):
        world = draw_world(seed, 4, 2, concentration=0.3)
        shared = rollout == "latent"
        for embedding in (draw_embedding(seed, world, 3, shared), spectral_embedding(world.exact, 2, shared=shared)):
            best, planned, chosen = plan_by_hand(world, embedding, horizon, score, rollout)
            mdp = world.mdp.as_sparse() if sparse else world.mdp
            plan = plan_goals(mdp, embedding, horizon=horizon, score=score, rollout=rollout)
            assert np.abs(plan.best - best).max() < 1e-12
            assert np.abs(plan.planned - planned).max() < 1e-12
            assert np.array_equal(plan.actions(plan.planned_sequence), chosen)
            assert plan.mean_regret == pytest.approx(float(world.weight @ (best - planned).mean(axis=1)), abs=1e-12)
            spelled = plan.actions(plan.best_sequence)
            for x, y in itertools.product(range(4), repeat=2):
                law = np.eye(4)[x]
                for a in spelled[x, y]:
                    law = law @ world.transition[a]
                assert law[y] == pytest.approx(best[x, y], abs=1e-12)


@pytest.mark.parametrize("block_entries", [1, 50, 200])
def test_blocks_of_starts_change_nothing(draw_world, draw_embedding, monkeypatch, block_entries):
    world = draw_world(2, 5, 3)
    embedding = draw_embedding(2, world, 2)
    whole = plan_goals(world.mdp, embedding, horizon=3)
    monkeypatch.setattr(goal, "BLOCK_ENTRIES", block_entries)
    parts = plan_goals(world.mdp, embedding, horizon=3)
    for name in ("best", "planned", "best_sequence", "planned_sequence"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_more_actions_than_the_alphabet_of_two():
    """Sequence numbers spell actions in base A."""
    mdp = TabularMDP([np.roll(np.eye(5), shift, axis=1) for shift in (1, 2, 4)])
    plan = plan_goals(mdp, spectral_embedding(CoOccurrence.exact(mdp), 5), horizon=3, starts=[0])
    for goal_state, sequence in enumerate(plan.actions(plan.planned_sequence)[0]):
        assert sum((1, 2, 4)[a] for a in sequence) % 5 == goal_state
    assert plan.mean_regret == 0
