"""docs/theory.md, 2.2: the trivial singular pair, chi-square information, and the bridge from risk to model error."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from spectral_jepa import (
    CoOccurrence,
    chi_square_information,
    sample_transitions,
    spectral_embedding,
    spectral_loss,
    spectral_risk,
    spectrum,
    transition_risk,
)

TOLERANCE = 1e-10
SEEDS = [0, 1, 2, 3]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_trivial_pair_has_singular_value_one_and_nothing_exceeds_it(draw_world, seed):
    world = draw_world(seed, 6, 3, concentration=0.3)
    for action in range(3):
        matrix, left, right = world.normalized(action), np.sqrt(world.weight), np.sqrt(world.next_weight[action])
        assert np.abs(matrix @ right - left).max() < TOLERANCE
        assert np.abs(matrix.T @ left - right).max() < TOLERANCE
        values = scipy.linalg.svdvals(matrix)
        assert values[0] == pytest.approx(1, abs=TOLERANCE)
        assert np.abs(spectrum(world.exact)[action] - values).max() < TOLERANCE
        assert 1e-3 < values[1] < 1 - 1e-3
    stacked = scipy.linalg.svdvals(world.stacked())
    assert stacked[0] == pytest.approx(1, abs=TOLERANCE)
    assert np.abs(spectrum(world.exact, shared=True) - stacked).max() < TOLERANCE


@pytest.mark.parametrize("seed", [0])
def test_another_normaliser_has_another_top_value(draw_world, seed):
    world = draw_world(seed, 6, 1, concentration=0.3)
    joint = world.weight[:, None] * world.transition[0]
    wrong = joint / np.sqrt(np.outer(world.weight, world.weight))
    assert abs(scipy.linalg.svdvals(wrong)[0] - 1) > 1e-2


@pytest.mark.parametrize("seed", SEEDS)
def test_chi_square_information_is_the_norm_less_one(draw_world, seed):
    world = draw_world(seed, 5, 2, concentration=0.5)
    information = chi_square_information(world.exact)
    for action in range(2):
        table = world.weight[:, None] * world.transition[action]
        pearson = scipy.stats.chi2_contingency(table, correction=False).statistic  # of a table that sums to 1
        assert information[action] == pytest.approx(pearson, abs=TOLERANCE)
        assert pearson == pytest.approx(np.linalg.norm(world.normalized(action), "fro") ** 2 - 1, abs=TOLERANCE)
        assert pearson > 0.05


def test_independent_successors_carry_no_information(as_world):
    law = np.array([0.5, 0.3, 0.2])
    world = as_world([np.tile(law, (3, 1))], weight=[0.2, 0.2, 0.6])
    assert abs(chi_square_information(world.exact)[0]) < 1e-14
    assert spectrum(world.exact)[0].round(12).tolist() == [1, 0, 0]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_risk_is_the_weighted_error_of_the_model_read_back(draw_world, draw_embedding, seed, shared):
    world = draw_world(seed, 5, 3, concentration=0.5)
    embedding = draw_embedding(seed, world, 3, shared)
    risk = spectral_risk(world.exact, embedding)
    for action in range(3):
        after, error = world.next_weight[action], 0.0
        for x in range(5):
            for y in range(5):
                guess = after[y] * (embedding.predicted[action, x] @ embedding.targets[action, y])
                assert embedding.transition()[action, x, y] == pytest.approx(guess, abs=TOLERANCE)
                error += world.weight[x] * (world.transition[action, x, y] - guess) ** 2 / after[y]
        assert risk[action] == pytest.approx(error, rel=TOLERANCE)
    assert np.abs(transition_risk(world.exact, embedding.transition()) - risk).max() < TOLERANCE * risk.max()


@pytest.mark.parametrize("seed", [0])
def test_the_bridge_needs_the_same_normaliser(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 3, concentration=0.5)
    embedding = draw_embedding(seed, world, 3, column_weight=np.full(5, 0.2))
    risk = spectral_risk(world.exact, embedding)
    assert np.abs(transition_risk(world.exact, embedding.transition()) / risk - 1).min() > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_pooled_bridge(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 3, concentration=0.5)
    q = world.frequency @ world.next_weight
    embedding = draw_embedding(seed, world, 3, column_weight=q)
    target, predicted = np.sqrt(q)[:, None] * embedding.target, embedding.predicted
    rows = [np.sqrt(world.frequency[a] * world.weight[x]) * predicted[a, x] for a in range(3) for x in range(5)]
    residual = np.linalg.norm(world.stacked() - np.array(rows) @ target.T, "fro") ** 2
    got = transition_risk(world.exact, embedding.transition(), pooled=True)
    assert float(got) == pytest.approx(residual, rel=TOLERANCE)


def test_mass_on_a_successor_that_never_occurs_is_an_infinite_error(as_world):
    world = as_world([[[1, 0, 0], [0.5, 0.5, 0], [1, 0, 0]]], weight=[0.5, 0.5, 0])
    model = world.transition.copy()
    assert transition_risk(world.exact, model)[0] == 0
    model[0, 2] = [0, 0, 1]  # from a state without mass: nobody looks
    assert transition_risk(world.exact, model)[0] == 0
    model[0, 1] = [0.5, 0.4, 0.1]
    assert transition_risk(world.exact, model)[0] == np.inf


@pytest.mark.parametrize("seed", SEEDS)
def test_least_spectral_loss_is_minus_the_leading_squares(draw_world, draw_embedding, seed):
    world = draw_world(seed, 6, 2, concentration=0.3)
    for dim in range(1, 7):
        best = [-np.sum(scipy.linalg.svdvals(world.normalized(a))[:dim] ** 2) for a in range(2)]
        loss = spectral_loss(world.exact, spectral_embedding(world.exact, dim))
        assert np.abs(loss - best).max() < TOLERANCE
        assert (spectral_loss(world.exact, draw_embedding(seed, world, dim, scale=0.5)) > np.array(best) + 1e-3).all()


# Where s_2 = 1 too (a world in several pieces, a deterministic one, few samples) any rotation of the tied vectors is an SVD;
# only the one that keeps the constant function first predicts the marginal law at k = 1 and rows that sum to 1 at every k.
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", ["permutation", "two pieces", "twelve samples"])
def test_the_constant_function_comes_first_even_where_one_is_repeated(as_world, draw_world, kind, sparse):
    if kind == "twelve samples":
        data = sample_transitions(draw_world(3, 10, 2, concentration=0.1).mdp, 12, seed=4)
        cooc = CoOccurrence.from_transitions(data, sparse=sparse)
    else:
        block = np.array([[0.5, 0.5], [0.2, 0.8]])
        transition = {
            "permutation": [np.roll(np.eye(8), 3, axis=1), np.eye(8)],
            "two pieces": [np.kron(np.eye(4), block), np.kron(np.eye(4), block[::-1])],
        }[kind]
        mdp = as_world(transition, weight=np.arange(1, 9) / 36).mdp
        cooc = CoOccurrence.exact(mdp.as_sparse() if sparse else mdp)
    assert (np.sum(spectrum(cooc, 3) > 1 - 1e-9, axis=1) >= 2).all()
    anchors = (cooc.row_weight > 0).astype(float)
    for dim in range(1, cooc.n_states + 1):
        model = spectral_embedding(cooc, dim).transition()
        assert np.abs(model.sum(axis=2) - anchors).max() < 1e-10
        residual = np.linalg.norm(cooc.conditional() - model) if dim == cooc.n_states else 0.0
        assert residual < 1e-10
    first = spectral_embedding(cooc, 1).transition()
    assert np.abs(first - anchors[:, :, None] * cooc.column_weight[:, None, :]).max() < 1e-10
    pooled = spectral_embedding(cooc, 1, shared=True).transition()
    assert np.abs(pooled - anchors[:, :, None] * (cooc.action_frequency @ cooc.column_weight)).max() < 1e-10
