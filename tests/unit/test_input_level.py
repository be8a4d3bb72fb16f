import numpy as np
import pytest

from spectral_jepa import CoOccurrence, TabularMDP, sample_transitions
from spectral_jepa.input_level import critical_nuisance_scale, product_observations, reduced_rank_regression

PIXELS = np.random.default_rng(5).standard_normal((6, 4)) * [1, 3, 0.2, 1]


@pytest.fixture
def sampled(draw_world):
    data = sample_transitions(draw_world(0).mdp, 300, seed=1)
    return data, CoOccurrence.from_transitions(data)


def regression_data(data, action):
    """Design of one-hot states and matrix of next observations, straight from the transitions."""
    chosen = data.action == action
    return np.eye(6)[data.state[chosen]], PIXELS[data.next_state[chosen]]


@pytest.mark.parametrize("action", range(3))
def test_full_rank_is_ordinary_least_squares(sampled, action):
    data, cooc = sampled
    design, response = regression_data(data, action)
    coefficients = np.linalg.lstsq(design, response, rcond=None)[0]
    model = reduced_rank_regression(cooc, PIXELS)
    assert model.max_dim == 5
    np.testing.assert_allclose(model.prediction(5)[action], coefficients, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_no_competitor_of_the_same_rank_predicts_better(sampled, dim):
    data, cooc = sampled
    model = reduced_rank_regression(cooc, PIXELS)
    rng = np.random.default_rng(0)
    for action in range(3):
        design, response = regression_data(data, action)
        centred = response - response.mean(axis=0)
        error = np.mean(np.sum((response - design @ model.prediction(dim)[action]) ** 2, axis=1))
        if dim == 1:
            np.testing.assert_allclose(error, np.mean(np.sum(centred**2, axis=1)), rtol=1e-12)
            continue
        best = np.inf
        for _ in range(5):  # alternating least squares on the raw rows, from random starts
            right = rng.standard_normal((4, dim - 1))
            for _ in range(300):
                left = np.linalg.lstsq(design, centred @ np.linalg.pinv(right).T, rcond=None)[0]
                right = np.linalg.lstsq(design @ left, centred, rcond=None)[0].T
            best = min(best, np.mean(np.sum((centred - design @ left @ right.T) ** 2, axis=1)))
        np.testing.assert_allclose(error, best, rtol=1e-7)


def test_predicted_variance_is_that_of_the_fitted_values_along_orthonormal_directions(sampled):
    data, cooc = sampled
    model = reduced_rank_regression(cooc, PIXELS)
    for action in range(3):
        design, _ = regression_data(data, action)
        fitted = design @ model.prediction(5)[action]
        direction = model.directions[action]
        np.testing.assert_allclose(direction.T @ direction, np.eye(4), atol=1e-12)
        np.testing.assert_allclose(np.var(fitted @ direction, axis=0), model.predicted_variance[action], rtol=1e-10)
        np.testing.assert_allclose(model.mean[action], PIXELS[data.next_state[data.action == action]].mean(axis=0))
    assert (np.diff(model.predicted_variance) <= 0).all() and model.predicted_variance.min() > 1e-7


@pytest.mark.parametrize("shared", [False, True])
def test_read_out_is_whitened_nested_and_predicts_the_mean_of_the_encoder(draw_world, shared):
    world = draw_world(2)
    model = reduced_rank_regression(world.exact, PIXELS, shared=shared)
    column = np.broadcast_to(world.frequency @ world.next_weight, (3, 6)) if shared else world.next_weight
    for dim in (1, 3, 5):
        embedding = model.embedding(dim)
        assert embedding.shared == shared and embedding.dim == dim
        for action in range(3):
            f = embedding.targets[action]
            np.testing.assert_allclose(f[:, 0], 1, rtol=1e-12)
            np.testing.assert_allclose(f.T @ (column[action][:, None] * f), np.eye(dim), atol=1e-12)
            np.testing.assert_allclose(embedding.predicted[action], world.transition[action] @ f, atol=1e-12)
            functions = np.hstack([np.ones((6, 1)), PIXELS @ model.directions[action][:, : dim - 1]])
            residual = f - functions @ np.linalg.lstsq(functions, f, rcond=None)[0]
            assert np.abs(residual).max() < 1e-11
            np.testing.assert_allclose(embedding.column_weight[action], column[action])


def test_shared_directions_come_from_the_pooled_regression(draw_world):
    world = draw_world(3)
    model = reduced_rank_regression(world.exact, PIXELS, shared=True)
    column = world.frequency @ world.next_weight
    centred = PIXELS - column @ PIXELS
    expected = world.transition @ centred
    second_moment = np.einsum("a,x,axi,axj->ij", world.frequency, world.weight, expected, expected)
    values, vectors = np.linalg.eigh(second_moment)
    np.testing.assert_allclose(model.predicted_variance, np.broadcast_to(values[::-1], (3, 4)), rtol=1e-10)
    np.testing.assert_allclose(np.abs(vectors[:, ::-1].T @ model.directions[0]), np.eye(4), atol=1e-8)


@pytest.mark.parametrize("shared", [False, True])
def test_sparse_and_dense_agree(draw_world, shared):
    mdp = draw_world(4).mdp
    dense = reduced_rank_regression(CoOccurrence.exact(mdp), PIXELS, shared=shared)
    sparse = reduced_rank_regression(CoOccurrence.exact(mdp.as_sparse()), PIXELS, shared=shared)
    np.testing.assert_allclose(sparse.embedding(3).transition(), dense.embedding(3).transition(), atol=1e-12)


def test_pixels_that_say_nothing_new_are_dropped(draw_world):
    exact = draw_world(5).exact
    plain = reduced_rank_regression(exact, PIXELS)
    doubled = reduced_rank_regression(exact, np.hstack([PIXELS / np.sqrt(2), PIXELS / np.sqrt(2), np.full((6, 2), 7.0)]))
    assert doubled.max_dim == plain.max_dim == 5
    np.testing.assert_allclose(doubled.predicted_variance, plain.predicted_variance, rtol=1e-9)
    np.testing.assert_allclose(doubled.embedding(3).transition(), plain.embedding(3).transition(), atol=1e-10)
    blank = reduced_rank_regression(exact, np.full((6, 2), 0.1))
    assert blank.max_dim == 1
    np.testing.assert_allclose(blank.embedding(1).transition(), np.broadcast_to(exact.column_weight[:, None], (3, 6, 6)))


def test_an_action_that_shows_less_is_padded():
    mdp = TabularMDP([np.eye(3), np.tile([0.5, 0.5, 0.0], (3, 1))])
    model = reduced_rank_regression(CoOccurrence.exact(mdp), np.eye(3))
    assert model.max_dim == 3 and model.predicted_variance[1, 1] == 0
    np.testing.assert_allclose(model.embedding(3).transition(), mdp.transition, atol=1e-12)
    np.testing.assert_allclose(model.prediction(3), mdp.transition, atol=1e-12)


def test_an_action_never_seen_predicts_nothing(draw_world):
    data = sample_transitions(draw_world(0).mdp, 50, seed=0)
    data = data.select(data.action != 1)
    cooc = CoOccurrence.from_transitions(data, unseen_actions="zero")
    assert not reduced_rank_regression(cooc, PIXELS).embedding(4).transition()[1].any()


def test_product_observations_are_scaled_blocks():
    task, nuisance = np.arange(6.0).reshape(3, 2), np.array([[1.0], [-1.0]])
    pixels = product_observations(task, nuisance, nuisance_scale=0.5, task_scale=2.0)
    assert pixels.shape == (6, 3)
    for s in range(3):
        for v in range(2):
            assert pixels[s * 2 + v].tolist() == [2 * task[s, 0], 2 * task[s, 1], 0.5 * nuisance[v, 0]]


def test_critical_scale():
    assert critical_nuisance_scale(0.6, 0.3, 5, 20) == pytest.approx(4.0)
    assert critical_nuisance_scale(0.6, 0.0, 5, 5) == np.inf
    # With noise .25: sqrt((.36 + .64 * .25) / .25).
    assert critical_nuisance_scale(0.6, 0.0, 5, 5, noise=0.25) == pytest.approx(np.sqrt(0.52 / 0.25))


@pytest.mark.parametrize(
    "call, fragments",
    [
        (lambda c: reduced_rank_regression(c, np.eye(5)), ["observation has shape (5, 5)", "(6, any)"]),
        (lambda c: reduced_rank_regression(c, np.full((6, 1), np.nan)), ["observation[0, 0] is nan"]),
        (lambda c: reduced_rank_regression(c, PIXELS).embedding(6), ["dim is 6", "between 1 and 5"]),
        (lambda c: reduced_rank_regression(c, PIXELS).prediction(0), ["dim is 0", "between 1 and 5"]),
        (lambda c: product_observations(np.eye(2), np.eye(2), nuisance_scale=-1), ["nuisance_scale is -1", ">= 0"]),
        (lambda c: product_observations([1.0], np.eye(2), nuisance_scale=1), ["task has shape (1,)"]),
        (lambda c: critical_nuisance_scale(0.5, 0.5, 1, 5), ["n_task is 1"]),
        (lambda c: critical_nuisance_scale(0.5, 0.5, 5, 1), ["n_values is 1"]),
    ],
)
def test_bad_input(draw_world, refused, call, fragments):
    exact = draw_world(0).exact
    fragments = [f.replace("[0, 0]", str([0, 0])) for f in fragments]
    with refused(*fragments):
        call(exact)
