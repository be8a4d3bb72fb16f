"""docs/theory.md, 2.1 and Thm 3.1: the spectral loss is the residual ||Mbar - G F^T||^2 less a constant."""

import numpy as np
import pytest

from spectral_jepa import (
    jepa_loss,
    pooled_risk,
    printed_risk_constant,
    printed_risk_identity,
    spectral_loss,
    spectral_risk,
)
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding

TOLERANCE = 1e-10
INSTANCES = [(0, 2, 1, 1), (1, 4, 2, 2), (2, 6, 3, 5), (3, 7, 2, 9)]  # seed, states, actions, dim


def losses_by_hand(world, embedding, action):
    """L_spec, Eq 3, ||F||^2, ||G||^2 of one action: expectations summed term by term."""
    transition, weight, after = world.transition[action], world.weight, world.next_weight[action]
    target, predicted = embedding.targets[action], embedding.predicted[action]
    n = len(weight)
    align = sum(weight[x] * transition[x, y] * (predicted[x] @ target[y]) for x in range(n) for y in range(n))
    contrast = sum(weight[x] * after[y] * (predicted[x] @ target[y]) ** 2 for x in range(n) for y in range(n))
    distance = sum(
        weight[x] * transition[x, y] * np.sum((predicted[x] - target[y]) ** 2) for x in range(n) for y in range(n)
    )
    size_f = sum(after[y] * np.sum(target[y] ** 2) for y in range(n))
    size_g = sum(weight[x] * np.sum(predicted[x] ** 2) for x in range(n))
    return -2 * align + contrast, distance + contrast, size_f, size_g


def residual_by_hand(world, embedding, action):
    """||Mbar(a) - G(a) F(a)^T||_F^2 with F and G built row by row."""
    n = len(world.weight)
    f = np.array([np.sqrt(world.next_weight[action][y]) * embedding.targets[action][y] for y in range(n)])
    g = np.array([np.sqrt(world.weight[x]) * embedding.predicted[action][x] for x in range(n)])
    return np.linalg.norm(world.normalized(action) - g @ f.T, "fro") ** 2


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("seed, n_states, n_actions, dim", INSTANCES)
def test_spectral_loss_is_risk_less_the_norm(draw_world, draw_embedding, seed, n_states, n_actions, dim, shared):
    world = draw_world(seed, n_states, n_actions, concentration=0.4)
    embedding = draw_embedding(seed, world, dim, shared)
    loss, risk = spectral_loss(world.exact, embedding), spectral_risk(world.exact, embedding)
    for action in range(n_actions):
        by_hand, _, _, _ = losses_by_hand(world, embedding, action)
        residual = residual_by_hand(world, embedding, action)
        norm = np.linalg.norm(world.normalized(action), "fro") ** 2
        assert loss[action] == pytest.approx(by_hand, rel=TOLERANCE, abs=TOLERANCE)
        assert risk[action] == pytest.approx(residual, rel=TOLERANCE, abs=TOLERANCE)
        assert by_hand == pytest.approx(residual - norm, rel=TOLERANCE, abs=TOLERANCE)
        assert abs(by_hand) > 1e-3


@pytest.mark.parametrize("seed, n_states, n_actions, dim", INSTANCES)
def test_printed_loss_adds_both_norms(draw_world, draw_embedding, seed, n_states, n_actions, dim):
    world = draw_world(seed, n_states, n_actions, concentration=0.4)
    embedding = draw_embedding(seed, world, dim, shared=False, scale=0.5)
    printed = jepa_loss(world.exact, embedding)
    for action in range(n_actions):
        _, by_hand, size_f, size_g = losses_by_hand(world, embedding, action)
        norm = np.linalg.norm(world.normalized(action), "fro") ** 2
        assert printed[action] == pytest.approx(by_hand, rel=TOLERANCE, abs=TOLERANCE)
        expected = residual_by_hand(world, embedding, action) + size_f + size_g - norm
        assert by_hand == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)


def normalised_in_mean(world, embedding):
    """Rescale f and g of each action so that E||f+||^2 = E||g||^2 = 1, and no more than that."""
    size_f = np.sum(world.next_weight * np.sum(embedding.targets**2, axis=2), axis=1)
    size_g = np.sum(world.weight * np.sum(embedding.predicted**2, axis=2), axis=1)
    return Embedding(
        embedding.targets / np.sqrt(size_f)[:, None, None],
        embedding.predicted / np.sqrt(size_g)[:, None, None],
        embedding.column_weight,
    )


def normalised_pointwise(embedding):
    return Embedding(
        embedding.target / np.linalg.norm(embedding.target, axis=-1, keepdims=True),
        embedding.predicted / np.linalg.norm(embedding.predicted, axis=-1, keepdims=True),
        embedding.column_weight,
    )


@pytest.mark.parametrize("how", ["in mean", "pointwise"])
@pytest.mark.parametrize("seed, n_states, n_actions, dim", INSTANCES)
def test_printed_constant_needs_unit_second_moments_only(draw_world, draw_embedding, seed, n_states, n_actions, dim, how):
    world = draw_world(seed, n_states, n_actions, concentration=0.4)
    embedding = draw_embedding(seed, world, dim, shared=how == "pointwise")
    embedding = normalised_in_mean(world, embedding) if how == "in mean" else normalised_pointwise(embedding)
    if how == "in mean" and dim > 1:
        assert np.ptp(np.linalg.norm(embedding.predicted, axis=2)) > 0.1  # far from unit norm
    for action in range(n_actions):
        _, printed, _, _ = losses_by_hand(world, embedding, action)
        constant = 2 - np.linalg.norm(world.normalized(action), "fro") ** 2
        assert printed_risk_constant(world.exact)[action] == pytest.approx(constant, abs=TOLERANCE)
        assert printed == pytest.approx(residual_by_hand(world, embedding, action) + constant, abs=TOLERANCE)


@pytest.mark.parametrize("seed", [5])
def test_printed_constant_is_wrong_without_the_moments(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 2)
    embedding = draw_embedding(seed, world, 3)
    gap = jepa_loss(world.exact, embedding) - spectral_risk(world.exact, embedding) - printed_risk_constant(world.exact)
    for action in range(2):
        _, _, size_f, size_g = losses_by_hand(world, embedding, action)
        assert gap[action] == pytest.approx(size_f + size_g - 2, rel=1e-10)
        assert abs(gap[action]) > 1


@pytest.mark.parametrize("seed", [6])
def test_wrong_negatives_break_the_identity(draw_world, draw_embedding, seed):
    """x' must follow w+(.|a): drawn from the anchor law w instead, the loss is no residual."""
    world = draw_world(seed, 5, 2, concentration=0.3)
    embedding = draw_embedding(seed, world, 2)
    for action in range(2):
        loss, _, _, _ = losses_by_hand(world, embedding, action)
        ratio = embedding.predicted[action] @ embedding.targets[action].T
        right = np.sum(world.weight[:, None] * world.next_weight[action][None, :] * ratio**2)
        wrong = np.sum(world.weight[:, None] * world.weight[None, :] * ratio**2)
        norm = np.linalg.norm(world.normalized(action), "fro") ** 2
        assert abs(loss - right + wrong - (residual_by_hand(world, embedding, action) - norm)) > 1e5 * TOLERANCE


@pytest.mark.parametrize("seed, n_states, n_actions, dim", INSTANCES)
def test_pooled_loss_is_pooled_risk_less_the_norm(draw_world, draw_embedding, seed, n_states, n_actions, dim):
    world = draw_world(seed, n_states, n_actions, concentration=0.4)
    embedding = draw_embedding(seed, world, dim)
    pooled_after = world.frequency @ world.next_weight
    loss = 0.0
    for a in range(n_actions):
        for x in range(n_states):
            for y in range(n_states):
                score = embedding.predicted[a, x] @ embedding.target[y]
                mass = world.frequency[a] * world.weight[x]
                loss += mass * (-2 * world.transition[a, x, y] * score + pooled_after[y] * score**2)
    expected = loss + np.linalg.norm(world.stacked(), "fro") ** 2
    assert pooled_risk(world.exact, embedding) == pytest.approx(expected, rel=TOLERANCE)


def test_sparse_storage_and_states_without_mass_change_nothing(as_world, draw_embedding):
    transition = [[[0, 0.5, 0.5, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0.2, 0.3, 0.5, 0]]]
    world = as_world(transition, weight=[0.5, 0.3, 0.2, 0.0])  # state 3 is never left, states 0 and 3 never entered
    assert world.next_weight[0].tolist() == pytest.approx([0, 0.45, 0.55, 0])
    embedding = draw_embedding(0, world, 2)
    by_hand, printed, _, _ = losses_by_hand(world, embedding, 0)
    for exact in (world.exact, CoOccurrence.exact(world.mdp.as_sparse())):
        assert spectral_loss(exact, embedding)[0] == pytest.approx(by_hand, abs=TOLERANCE)
        assert jepa_loss(exact, embedding)[0] == pytest.approx(printed, abs=TOLERANCE)
        assert spectral_risk(exact, embedding)[0] == pytest.approx(residual_by_hand(world, embedding, 0), abs=TOLERANCE)
        shift = np.linalg.norm(world.normalized(0), "fro") ** 2
        assert pooled_risk(exact, embedding) == pytest.approx(by_hand + shift, abs=TOLERANCE)


@pytest.mark.parametrize("seed, n_states, n_actions, dim", INSTANCES)
def test_printed_identity_with_its_hypothesis(draw_world, draw_embedding, seed, n_states, n_actions, dim):
    """Thm 3.1 read as a bound: the risk itself at unit second moments, off by |F|^2 + |G|^2 - 2 without, and it says so."""
    world = draw_world(seed, n_states, n_actions, concentration=0.4)
    free = draw_embedding(seed, world, dim, shared=False)
    unit = normalised_in_mean(world, free)
    longer_f = Embedding(1.1 * unit.target, unit.predicted, unit.column_weight)
    longer_g = Embedding(unit.target, 1.1 * unit.predicted, unit.column_weight)
    for embedding, excess in ((unit, 0.0), (longer_f, 0.21), (longer_g, 0.21), (free, None)):
        for action in range(n_actions):
            identity = printed_risk_identity(world.exact, embedding, action=action)
            _, _, size_f, size_g = losses_by_hand(world, embedding, action)
            residual = residual_by_hand(world, embedding, action)
            assert identity.value == pytest.approx(residual + size_f + size_g - 2, rel=TOLERANCE, abs=TOLERANCE)
            assert identity.holds == (embedding is unit)
            if excess is not None:
                assert identity.value - residual == pytest.approx(excess, abs=TOLERANCE)
            assert identity.ceiling == pytest.approx(np.linalg.norm(world.normalized(action), "fro") ** 2)
