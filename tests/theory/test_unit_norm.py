"""docs/theory.md, 2.3: unit norm forces a nuclear norm of at most 1, so Thm 3.1 and Thm 4.3 meet only at k = 1."""

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from spectral_jepa import Embedding, printed_approximation_error, spectral_risk, tail, unit_norm_risk_floor
from spectral_jepa.linalg import project_to_capped_simplex


def shrunk_by_hand(values):
    """Projection on {t >= 0, sum t <= 1} by finding its threshold with a root finder."""
    if np.maximum(values, 0).sum() <= 1:
        return np.maximum(values, 0)
    threshold = scipy.optimize.brentq(lambda c: np.maximum(values - c, 0).sum() - 1, values.min() - 1, values.max())
    return np.maximum(values - threshold, 0)


def floor_by_hand(matrix, dim):
    values = scipy.linalg.svdvals(matrix)
    return np.sum((values[:dim] - shrunk_by_hand(values[:dim])) ** 2) + np.sum(values[dim:] ** 2)


def unit_norm(embedding):
    return Embedding(
        embedding.target / np.linalg.norm(embedding.target, axis=-1, keepdims=True),
        embedding.predicted / np.linalg.norm(embedding.predicted, axis=-1, keepdims=True),
        embedding.column_weight,
    )


def harmonic_frame(n, dim):
    """n unit vectors in R^dim (dim odd) whose second moment is I / dim."""
    angle = 2 * np.pi * np.arange(n) / n
    parts = [np.ones(n)]
    for j in range(1, (dim + 1) // 2):
        parts += [np.sqrt(2) * np.cos(j * angle), np.sqrt(2) * np.sin(j * angle)]
    return np.stack(parts, axis=1) / np.sqrt(dim)


@pytest.mark.parametrize("n, dim", [(5, 1), (5, 3), (7, 5), (9, 9)])
def test_permutation_optimum_is_attained_by_a_tight_frame(as_world, n, dim):
    successor = np.random.default_rng(n).permutation(n)
    world = as_world([np.eye(n)[successor]])
    frame = harmonic_frame(n, dim)
    assert np.abs(np.linalg.norm(frame, axis=1) - 1).max() < 1e-12
    assert np.abs(frame.T @ frame / n - np.eye(dim) / dim).max() < 1e-12
    embedding = Embedding(frame, frame[successor][None], world.next_weight)
    risk = spectral_risk(world.exact, embedding)[0]
    assert risk == pytest.approx(n - 2 + 1 / dim, abs=1e-10)
    assert unit_norm_risk_floor(world.exact, dim)[0] == pytest.approx(n - 2 + 1 / dim, abs=1e-10)
    gap = risk - tail(world.exact, dim)[0]
    assert gap == pytest.approx(dim - 2 + 1 / dim, abs=1e-10)
    assert (gap > 0.4) == (dim > 1)  # the printed pair of hypotheses is compatible at k = 1 only


@pytest.mark.parametrize("n, dim, seed", [(4, 2, 0), (4, 2, 1), (5, 3, 0), (6, 2, 0)])
def test_descent_over_unit_norm_models_reaches_the_permutation_optimum_and_not_below(as_world, n, dim, seed):
    successor = np.roll(np.arange(n), 1)
    world = as_world([np.eye(n)[successor]])
    matrix = world.normalized(0)

    def value_and_gradient(flat):
        raw = flat.reshape(2, n, dim)
        size = np.linalg.norm(raw, axis=2, keepdims=True)
        f, g = raw / size
        residual = g @ f.T / n - matrix
        slopes = 2 / n * np.stack([residual.T @ g, residual @ f])
        unit = raw / size
        return np.sum(residual**2), ((slopes - unit * np.sum(slopes * unit, axis=2, keepdims=True)) / size).ravel()

    start = np.random.default_rng(seed).standard_normal(2 * n * dim)
    result = scipy.optimize.minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000})
    f, g = result.x.reshape(2, n, dim)
    embedding = unit_norm(Embedding(f, g[None], world.next_weight))
    risk = spectral_risk(world.exact, embedding)[0]
    assert risk == pytest.approx(result.fun, abs=1e-10)
    assert n - 2 + 1 / dim - 1e-10 <= risk <= n - 2 + 1 / dim + 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_floor_is_below_every_unit_norm_model(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 2, concentration=0.2)
    for dim in (1, 2, 3, 5):
        floor = unit_norm_risk_floor(world.exact, dim)
        assert np.abs(floor - [floor_by_hand(world.normalized(a), dim) for a in range(2)]).max() < 1e-10
        if dim > 1:
            assert (floor > tail(world.exact, dim) + 0.05).all()
        for trial in range(50):
            embedding = unit_norm(draw_embedding(100 * seed + trial, world, dim))
            assert (spectral_risk(world.exact, embedding) >= floor - 1e-10).all()


@pytest.mark.parametrize("seed", [0])
def test_floor_is_the_tail_at_dimension_one(draw_world, seed):
    """The top pair is constant functions, which have unit norm: s_1 = 1 uses up the whole budget."""
    world = draw_world(seed, 5, 2, concentration=0.2)
    assert np.abs(unit_norm_risk_floor(world.exact, 1) - tail(world.exact, 1)).max() < 1e-10
    ones = Embedding(np.ones((5, 1)), np.ones((2, 5, 1)), world.next_weight)
    assert np.abs(spectral_risk(world.exact, ones) - tail(world.exact, 1)).max() < 1e-10


def test_longer_vectors_go_below_the_floor(as_world):
    world = as_world([np.roll(np.eye(5), 1, axis=1)])
    frame = 1.2 * harmonic_frame(5, 3)
    embedding = Embedding(frame, np.roll(frame, -1, axis=0)[None], world.next_weight)
    assert spectral_risk(world.exact, embedding)[0] < unit_norm_risk_floor(world.exact, 3)[0] - 0.1


@pytest.mark.parametrize("seed", range(20))
def test_projection_on_the_capped_simplex(seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(rng.integers(1, 8)) * 10 ** rng.uniform(-2, 1)
    got = project_to_capped_simplex(values)
    assert np.abs(got - shrunk_by_hand(values)).max() < 1e-10
    assert got.min() >= 0 and got.sum() <= 1 + 1e-12


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [1])
def test_printed_approximation_error_with_its_hypothesis(draw_world, dim, seed):
    """Thm 4.3 is the tail; it holds with free norms, and with the unit norms of Thm 3.1 at k = 1 only."""
    world = draw_world(seed, 5, 2, concentration=0.2)
    for action in range(2):
        expected = np.sum(scipy.linalg.svdvals(world.normalized(action))[dim:] ** 2)
        for unit_norms in (False, True):
            error = printed_approximation_error(world.exact, dim, action=action, unit_norm=unit_norms)
            assert error.value == pytest.approx(expected, abs=1e-10)
            assert error.holds == (not unit_norms or dim == 1)
            assert error.holds_as_printed  # the paper does not name the clash


def test_a_world_without_information_fits_in_unit_norm(as_world):
    """s = (1, 0, 0): nuclear norm 1 is enough at every k, so both hypotheses can be met."""
    world = as_world([np.tile([0.5, 0.3, 0.2], (3, 1))])
    assert printed_approximation_error(world.exact, 2, unit_norm=True).holds
