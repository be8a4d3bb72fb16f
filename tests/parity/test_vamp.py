"""deeptime's VAMP scores as an oracle: VAMP-E is minus the spectral loss, VAMP-2 its best value over linear predictors."""

import numpy as np
import pytest
from deeptime.covariance import Covariance
from deeptime.decomposition import VAMP

from spectral_jepa import CoOccurrence, Embedding, sample_transitions, spectral_embedding, spectral_loss, spectrum


def one_hot_covariances(data, n_states, features=None):
    """Uncentred covariances of features of x and x+ (default: one column a state), as the sample means that they are."""
    table = np.eye(n_states) if features is None else features
    estimator = Covariance(compute_c0t=True, compute_ctt=True, bessels_correction=False, sparse_mode="dense")
    return estimator.partial_fit((table[data.state], table[data.next_state])).fetch_model()


def vamp(covariances):
    return VAMP(epsilon=1e-12).fit_from_covariances(covariances).fetch_model()


@pytest.fixture
def samples(draw_world):
    def draw(seed, n=3000):
        world = draw_world(seed, 6, 1, concentration=0.5)
        return world, sample_transitions(world.mdp, n, seed=seed), sample_transitions(world.mdp, n, seed=seed + 100)

    return draw


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_vamp_e_is_minus_the_least_spectral_loss(samples, seed):
    _, train, _ = samples(seed)
    cooc = CoOccurrence.from_transitions(train)
    model = vamp(one_hot_covariances(train, 6))
    assert np.abs(model.singular_values[:6] - spectrum(cooc)[0]).max() < 1e-8
    for dim in range(1, 7):
        loss = spectral_loss(cooc, spectral_embedding(cooc, dim))[0]
        assert model.score(r="E", dim=dim) == pytest.approx(-loss, abs=1e-8)
    assert model.score(r="E", dim=3) != pytest.approx(model.score(r="E", dim=2), abs=1e-2)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_vamp_e_on_held_out_data_is_minus_the_held_out_loss(samples, seed):
    """The embedding is fitted on one log and scored on another."""
    _, train, test = samples(seed)
    fitted, held_out = CoOccurrence.from_transitions(train), CoOccurrence.from_transitions(test)
    model, covariances = vamp(one_hot_covariances(train, 6)), one_hot_covariances(test, 6)
    for dim in (1, 3, 6):
        loss = spectral_loss(held_out, spectral_embedding(fitted, dim))[0]
        assert model.score(r="E", test_model=vamp(covariances), dim=dim) == pytest.approx(-loss, abs=1e-8)
    loss = spectral_loss(held_out, spectral_embedding(fitted, 6))[0]
    assert abs(loss - spectral_loss(fitted, spectral_embedding(fitted, 6))[0]) > 1e-3


@pytest.mark.parametrize("dim", [1, 2, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_vamp_2_is_minus_the_least_loss_over_linear_predictors(samples, seed, dim):
    _, train, _ = samples(seed)
    cooc = CoOccurrence.from_transitions(train)
    target = np.random.default_rng(seed).standard_normal((6, dim))
    covariances = one_hot_covariances(train, 6, target)
    score = vamp(covariances).score(r=2)
    # argmin over W of -2 tr(W C01) + tr(W C00 W^T C11)
    best = np.linalg.inv(covariances.cov_tt) @ covariances.cov_0t.T @ np.linalg.inv(covariances.cov_00)
    loss = spectral_loss(cooc, Embedding(target, (target @ best.T)[None], cooc.column_weight))[0]
    assert loss == pytest.approx(-score, abs=1e-8)
    assert loss >= -np.sum(spectrum(cooc)[0][:dim] ** 2) - 1e-10
    rng = np.random.default_rng(seed)
    for _ in range(20):
        other = best + 0.1 * rng.standard_normal(best.shape)
        assert spectral_loss(cooc, Embedding(target, (target @ other.T)[None], cooc.column_weight))[0] > loss
