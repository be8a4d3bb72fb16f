"""Thm 4.3: the least risk at latent dimension k is the tail of the spectrum, and the closed form attains it."""

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from spectral_jepa import Embedding, spectral_embedding, spectral_risk, tail
from spectral_jepa.cooccurrence import CoOccurrence

TOLERANCE = 1e-10


def tail_by_hand(world, action, dim):
    return sum(s**2 for s in scipy.linalg.svdvals(world.normalized(action))[dim:])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed, n_states, n_actions", [(0, 2, 1), (1, 5, 2), (2, 8, 3)])
def test_closed_form_attains_the_tail(draw_world, seed, n_states, n_actions, sparse):
    world = draw_world(seed, n_states, n_actions, concentration=0.3)
    exact = CoOccurrence.exact(world.mdp.as_sparse()) if sparse else world.exact
    for dim in range(1, n_states + 1):
        expected = [tail_by_hand(world, a, dim) for a in range(n_actions)]
        assert np.abs(tail(exact, dim) - expected).max() < TOLERANCE
        embedding = spectral_embedding(exact, dim)
        assert embedding.dim == dim
        assert np.abs(spectral_risk(exact, embedding) - expected).max() < TOLERANCE
    assert np.abs(tail(exact, 0) - [np.linalg.norm(world.normalized(a)) ** 2 for a in range(n_actions)]).max() < TOLERANCE
    assert tail_by_hand(world, 0, 1) > 1e5 * TOLERANCE


@pytest.mark.parametrize("seed", [0, 1])
def test_random_competitors_are_never_below(draw_world, draw_embedding, seed):
    world = draw_world(seed, 6, 2, concentration=0.3)
    exact = world.exact
    for dim in (1, 2, 4):
        floor = np.array([tail_by_hand(world, a, dim) for a in range(2)])
        best = spectral_embedding(exact, dim)
        for trial in range(100):
            far = draw_embedding(1000 * seed + trial, world, dim, shared=False, scale=0.7)
            near = Embedding(best.target + 1e-3 * far.target, best.predicted + 1e-3 * far.predicted, best.column_weight)
            assert (spectral_risk(exact, far) >= floor - TOLERANCE).all()
            risk = spectral_risk(exact, near)
            assert (risk >= floor - TOLERANCE).all()
            assert (risk > floor).all() and (risk < floor + 1e-2).all()


def minimise(matrix, dim, seed):
    """L-BFGS on ||M - G F^T||_F^2 from a random start; returns F, G."""
    n = len(matrix)
    start = np.random.default_rng(seed).standard_normal(2 * n * dim)

    def value_and_gradient(flat):
        f, g = flat.reshape(2, n, dim)
        residual = g @ f.T - matrix
        return np.sum(residual**2), 2 * np.concatenate([(residual.T @ g).ravel(), (residual @ f).ravel()])

    options = {"maxiter": 5000, "ftol": 0, "gtol": 1e-10}
    for _ in range(5):
        end = scipy.optimize.minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options).x
        f, g = end.reshape(2, n, dim)
        # Descent stalls where f and g differ much in size or nearly cancel: balance them (a gauge transform) and go on.
        left, values, right_t = np.linalg.svd(g @ f.T)
        root = np.sqrt(values[:dim])
        start = np.concatenate([(right_t[:dim].T * root).ravel(), (left[:, :dim] * root).ravel()])
    return f, g


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_descent_from_random_starts_ends_at_the_tail_and_never_below(draw_world, dim, seed):
    world = draw_world(9, 6, 1, concentration=1.0)
    f, g = minimise(world.normalized(0), dim, seed)
    functions = Embedding(
        f[None] / np.sqrt(world.next_weight[0])[None, :, None],
        g[None] / np.sqrt(world.weight)[None, :, None],
        world.next_weight,
    )
    risk, floor = spectral_risk(world.exact, functions)[0], tail_by_hand(world, 0, dim)
    assert risk >= floor - TOLERANCE
    assert risk <= floor + 1e-7


@pytest.mark.parametrize("seed", [3])
def test_leading_means_largest(draw_world, seed):
    """Keep any other singular pair instead and the risk is larger by the difference of the squares."""
    world = draw_world(seed, 5, 1, concentration=0.2)
    left, values, right_t = np.linalg.svd(world.normalized(0))
    for kept in ([0, 2], [1, 2], [3, 4]):
        target = right_t[kept].T / np.sqrt(world.next_weight[0])[:, None]
        predicted = left[:, kept] * values[kept] / np.sqrt(world.weight)[:, None]
        risk = spectral_risk(world.exact, Embedding(target, predicted[None], world.next_weight))[0]
        excess = np.sum(values[:2] ** 2) - np.sum(values[kept] ** 2)
        assert risk == pytest.approx(tail_by_hand(world, 0, 2) + excess, abs=TOLERANCE)
        assert excess > 1e-3


@pytest.mark.parametrize("seed", [4])
def test_whitened_gauge(draw_world, seed):
    """f has unit second moment under w+, and g is then the best predictor of the mean-square loss, E[f(x+) | x, a]."""
    world = draw_world(seed, 6, 2, concentration=0.3)
    for dim in (1, 3, 6):
        embedding = spectral_embedding(world.exact, dim)
        for action in range(2):
            f = embedding.targets[action]
            assert np.abs(f.T @ np.diag(world.next_weight[action]) @ f - np.eye(dim)).max() < TOLERANCE
            assert np.abs(world.transition[action] @ f - embedding.predicted[action]).max() < TOLERANCE
