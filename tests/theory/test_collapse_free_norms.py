"""docs/theory.md, 2.4: with free norms the printed loss soft-thresholds every singular value at 1, which is collapse."""

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from spectral_jepa import Embedding, jepa_loss, spectral_embedding, spectral_loss, spectral_risk


def loss_and_gradient(matrix, dim, price):
    """||M - G F^T||^2 + price (||F||^2 + ||G||^2) - ||M||^2; the printed loss is price 1."""
    n = len(matrix)

    def evaluate(flat):
        f, g = flat.reshape(2, n, dim)
        residual = g @ f.T - matrix
        value = np.sum(residual**2) + price * np.sum(flat**2) - np.sum(matrix**2)
        return value, 2 * np.concatenate([(residual.T @ g).ravel(), (residual @ f).ravel()]) + 2 * price * flat

    return evaluate


def as_functions(world, flat, dim):
    f, g = flat.reshape(2, len(world.weight), dim)
    target, predicted = f / np.sqrt(world.next_weight[0])[:, None], g / np.sqrt(world.weight)[:, None]
    return Embedding(target, predicted[None], world.next_weight)


@pytest.mark.parametrize("seed", range(3))
def test_printed_loss_is_never_negative_and_zero_at_collapse(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 2, concentration=0.2)
    for trial in range(100):
        embedding = draw_embedding(100 * seed + trial, world, 3, scale=10 ** np.random.default_rng(trial).uniform(-2, 0))
        assert (jepa_loss(world.exact, embedding) > 0).all()
    collapsed = Embedding(np.zeros((5, 3)), np.zeros((2, 5, 3)), world.next_weight)
    assert jepa_loss(world.exact, collapsed).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_printed_loss_is_at_least_the_nuclear_norm_problem(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 1, concentration=0.2)
    matrix = world.normalized(0)
    for trial in range(50):
        embedding = draw_embedding(100 * seed + trial, world, 3, scale=0.5)
        f = np.sqrt(world.next_weight[0])[:, None] * embedding.target
        g = np.sqrt(world.weight)[:, None] * embedding.predicted[0]
        nuclear = scipy.linalg.svdvals(g @ f.T).sum()
        lower = spectral_risk(world.exact, embedding)[0] + 2 * nuclear - np.sum(matrix**2)
        assert jepa_loss(world.exact, embedding)[0] >= lower - 1e-10
    # Balanced factors, F = V sqrt(S) and G = U sqrt(S), attain it.
    left, values, right_t = np.linalg.svd(0.3 * matrix)
    flat = np.concatenate([(right_t.T * np.sqrt(values)).ravel(), (left * np.sqrt(values)).ravel()])
    balanced = as_functions(world, flat, 5)
    attained = spectral_risk(world.exact, balanced)[0] + 2 * values.sum() - np.sum(matrix**2)
    assert jepa_loss(world.exact, balanced)[0] == pytest.approx(attained, abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_descent_collapses(draw_world, seed):
    """s_1 = 1 sits on the threshold, so that direction shrinks slowly; all others vanish at once."""
    world = draw_world(11, 5, 1, concentration=0.2)
    matrix, start = world.normalized(0), np.random.default_rng(seed).standard_normal(2 * 5 * 3)
    options = {"maxiter": 20000, "maxfun": 50000, "ftol": 0, "gtol": 1e-9}
    result = scipy.optimize.minimize(loss_and_gradient(matrix, 3, 1.0), start, jac=True, method="L-BFGS-B", options=options)
    embedding = as_functions(world, result.x, 3)
    assert jepa_loss(world.exact, embedding)[0] == pytest.approx(result.fun, abs=1e-9)
    assert 0 <= result.fun + 1e-12 < 1e-6
    model = np.sqrt(np.outer(world.weight, world.next_weight[0])) * embedding.density_ratio()[0]
    assert scipy.linalg.svdvals(model)[0] < 0.05 and scipy.linalg.svdvals(start[15:].reshape(5, 3))[0] > 1


@pytest.mark.parametrize("price", [0.25, 0.5])
def test_at_a_lower_price_the_threshold_is_lower_and_nothing_collapses(draw_world, price):
    world = draw_world(11, 5, 1, concentration=0.2)
    values = scipy.linalg.svdvals(world.normalized(0))
    assert values[1] > price
    start = np.random.default_rng(0).standard_normal(2 * 5 * 5)
    evaluate = loss_and_gradient(world.normalized(0), 5, price)
    result = scipy.optimize.minimize(evaluate, start, jac=True, method="L-BFGS-B", options={"maxiter": 20000, "ftol": 1e-15})
    kept = np.maximum(values - price, 0)
    f, g = result.x.reshape(2, 5, 5)
    assert result.fun == pytest.approx(-np.sum(kept**2), abs=1e-7)
    assert np.abs(scipy.linalg.svdvals(g @ f.T) - kept).max() < 1e-3


def test_the_loss_without_norms_does_not_collapse(draw_world):
    world = draw_world(11, 5, 1, concentration=0.2)
    collapsed = Embedding(np.zeros((5, 3)), np.zeros((1, 5, 3)), world.next_weight)
    assert spectral_loss(world.exact, collapsed)[0] == 0
    assert spectral_loss(world.exact, spectral_embedding(world.exact, 3))[0] < -1
