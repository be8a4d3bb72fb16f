"""docs/theory.md, 2.7 item 4: over linear predictions of a fixed encoder the spectral loss is least at minus VAMP-2.

That VAMP-2 is what deeptime computes is tested on samples in tests/parity/test_vamp.py.
"""

import numpy as np
import pytest
import scipy.linalg

from spectral_jepa import Embedding, spectral_loss
from spectral_jepa.theory.linear_predictor import best_linear_predictor, linear_covariances, vamp2_score
from spectral_jepa.theory.whitening import mse_loss

TOLERANCE = 1e-10


def covariances_by_hand(world, target, action):
    n_states, dim = target.shape
    now, cross, after = np.zeros((3, dim, dim))
    for x in range(n_states):
        now += world.weight[x] * np.outer(target[x], target[x])
        for y in range(n_states):
            mass = world.weight[x] * world.transition[action, x, y]
            cross += mass * np.outer(target[x], target[y])
            after += mass * np.outer(target[y], target[y])
    return now, cross, after


def score_by_hand(world, target, action):
    """|Q0^T Mbar Q1|^2 with orthonormal bases of the encoder's range on either side."""
    left = scipy.linalg.orth(np.sqrt(world.weight)[:, None] * target)
    right = scipy.linalg.orth(np.sqrt(world.next_weight[action])[:, None] * target)
    return np.sum((left.T @ world.normalized(action) @ right) ** 2)


def linear(world, target, matrices):
    """The embedding with g = W_a f."""
    return Embedding(target, np.stack([target @ w.T for w in matrices]), world.next_weight)


def whiten(target, weight):
    moment = target.T @ (weight[:, None] * target)
    return scipy.linalg.solve_triangular(np.linalg.cholesky(moment), target.T, lower=True).T


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_least_loss_is_minus_the_score(draw_world, seed, dim):
    world = draw_world(seed, 6, 2, concentration=0.4)
    target = np.random.default_rng(seed).standard_normal((6, dim))
    best, score = best_linear_predictor(world.exact, target), vamp2_score(world.exact, target)
    losses = spectral_loss(world.exact, linear(world, target, best))
    for a in range(2):
        now, cross, after = covariances_by_hand(world, target, a)
        for moments, expected in zip(linear_covariances(world.exact, target), (now, cross, after), strict=True):
            assert np.abs(moments[a] - expected).max() < TOLERANCE
        # The normal equations C11 W C00 = C01^T, solved entry by entry.
        solved = np.linalg.solve(np.kron(after, now), cross.T.ravel()).reshape(dim, dim)
        assert np.abs(best[a] - solved).max() < 1e-8
        assert score[a] == pytest.approx(score_by_hand(world, target, a), abs=1e-9)
        assert losses[a] == pytest.approx(-score[a], abs=1e-9)
    assert score.max() > 0.01
    rng = np.random.default_rng(seed)
    for scale in (1e-3, 0.1, 1.0):
        for _ in range(20):
            other = best + scale * rng.standard_normal(best.shape)
            assert (spectral_loss(world.exact, linear(world, target, other)) > losses).all()


@pytest.mark.parametrize("seed", range(5))
def test_score_never_exceeds_the_leading_squares(draw_world, seed):
    world = draw_world(seed, 6, 2, concentration=0.3)
    rng = np.random.default_rng(seed)
    for dim in range(1, 7):
        ceiling = np.array([np.sum(scipy.linalg.svdvals(world.normalized(a))[:dim] ** 2) for a in range(2)])
        for _ in range(10):
            score = vamp2_score(world.exact, rng.standard_normal((6, dim)))
            assert (score <= ceiling + TOLERANCE).all() and (dim == 6 or (score < ceiling - 1e-6).all())


@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_attained_by_reversible_worlds(as_world, dim):
    """Symmetric joint law: left and right singular functions span one space, and an encoder can hold both."""
    joint = np.random.default_rng(5).dirichlet(np.full(36, 0.3)).reshape(6, 6)
    joint = (joint + joint.T) / 2
    world = as_world((joint / joint.sum(axis=1, keepdims=True))[None], weight=joint.sum(axis=1))
    eigenvalues, vectors = scipy.linalg.eigh(world.normalized(0))
    order = np.argsort(-np.abs(eigenvalues))[:dim]
    target = vectors[:, order] / np.sqrt(world.weight)[:, None]
    assert vamp2_score(world.exact, target)[0] == pytest.approx(np.sum(eigenvalues[order] ** 2), abs=TOLERANCE)
    loss = spectral_loss(world.exact, linear(world, target, best_linear_predictor(world.exact, target)))[0]
    assert loss == pytest.approx(-np.sum(eigenvalues[order] ** 2), abs=TOLERANCE)
    assert eigenvalues.min() < -0.05 and np.sum(eigenvalues[order] ** 2) >= 1 - TOLERANCE


@pytest.mark.parametrize("seed", [0, 1])
def test_attained_by_one_coordinate_a_state(draw_world, seed):
    world = draw_world(seed, 5, 2, concentration=0.3)
    for a, score in enumerate(vamp2_score(world.exact, np.eye(5))):
        assert score == pytest.approx(np.linalg.norm(world.normalized(a)) ** 2, abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_right_singular_functions_alone_do_not_attain_it(draw_world, seed):
    """Negative control: out of balance the anchors' functions are others, and a free prediction of f is strictly better."""
    world, dim = draw_world(seed, 6, 1, concentration=0.3), 3
    values, right_t = np.linalg.svd(world.normalized(0))[1:]
    target = right_t[:dim].T / np.sqrt(world.next_weight[0])[:, None]
    score = vamp2_score(world.exact, target)[0]
    assert score < np.sum(values[:dim] ** 2) - 0.02
    free = Embedding(target, (world.transition[0] @ target)[None], world.next_weight)
    assert spectral_loss(world.exact, free)[0] == pytest.approx(-np.sum(values[:dim] ** 2), abs=TOLERANCE)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_regression_is_the_best_predictor_when_the_encoder_is_white(draw_world, seed):
    world = draw_world(seed, 6, 2, concentration=0.4)
    raw = np.random.default_rng(seed).standard_normal((6, 3))
    for a in range(2):
        now, cross, after = covariances_by_hand(world, raw, a)
        best, regression = best_linear_predictor(world.exact, raw)[a], cross.T @ np.linalg.inv(now)
        # Negative control: not white, so they differ, and regression loses a quadratic form of the difference.
        gap = regression - best
        losses = [spectral_loss(world.exact, linear(world, raw, [w, w]))[a] for w in (regression, best)]
        assert losses[0] - losses[1] == pytest.approx(np.trace(gap @ now @ gap.T @ after), abs=1e-9)
        assert losses[0] - losses[1] > 1e-2
        white = whiten(raw, world.next_weight[a])
        now, cross, after = covariances_by_hand(world, white, a)
        assert np.abs(after - np.eye(3)).max() < TOLERANCE
        best = best_linear_predictor(world.exact, white)[a]
        assert np.abs(best - cross.T @ np.linalg.inv(now)).max() < 1e-9
        # White under w instead is not enough, unless w is stationary.
        other = whiten(raw, world.weight)
        now, cross, after = covariances_by_hand(world, other, a)
        assert np.abs(best_linear_predictor(world.exact, other)[a] - cross.T @ np.linalg.inv(now)).max() > 1e-2


def test_regression_is_what_mean_square_prediction_learns(draw_world):
    world = draw_world(0, 6, 2, concentration=0.4)
    target = np.random.default_rng(3).standard_normal((6, 3))
    regression = []
    for a in range(2):
        now, cross, _ = covariances_by_hand(world, target, a)
        regression.append(cross.T @ np.linalg.inv(now))
    mean = Embedding(target, world.transition @ target, world.next_weight)
    assert np.abs(mean.predictor_matrices(world.exact) - regression).max() < TOLERANCE
    least = mse_loss(world.exact, linear(world, target, regression))
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = np.array(regression) + 0.1 * rng.standard_normal((2, 3, 3))
        assert (mse_loss(world.exact, linear(world, target, other)) > least).all()
    assert (mse_loss(world.exact, linear(world, target, best_linear_predictor(world.exact, target))) > least + 0.1).all()


def test_white_is_needed_only_where_something_is_predicted(as_world):
    """Rows that ignore the state: C01^T has rank one, and C11 need be the identity on that line only."""
    world = as_world(np.tile([0.5, 0.3, 0.2], (1, 3, 1)), weight=[0.2, 0.3, 0.5])
    feature = np.array([1.0, -1.0, -1.0])  # mean 0 under w+
    target = np.stack([np.ones(3), 2 * feature], axis=1)
    now, cross, after = covariances_by_hand(world, target, 0)
    assert after[1, 1] == pytest.approx(4) and np.linalg.matrix_rank(cross, tol=1e-9) == 1
    assert np.abs(best_linear_predictor(world.exact, target)[0] - cross.T @ np.linalg.inv(now)).max() < TOLERANCE


def test_wrong_input(draw_world, refused):
    world = draw_world(0, 5, 2)
    column = np.arange(5.0)[:, None]
    with refused("second moment of target under w", "condition number", "drop coordinates"):
        vamp2_score(world.exact, np.hstack([column, 2 * column]))
    with refused("target has shape (4, 1)", "(5, any)"):
        best_linear_predictor(world.exact, np.ones((4, 1)))
