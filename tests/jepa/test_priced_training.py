"""A price on the norms of trained tables: docs/price.md, 5."""

import dataclasses

import numpy as np
import pytest

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, train_jepa


def make_block():
    return sj.make_block(n_states=24, n_blocks=5, n_actions=2, seed=0)


def spectral_and_squares(cooc, encoded, predicted):
    """L_spec, and E||f+||^2 + E||g||^2, entry by entry from the joint law."""
    law = cooc.dense_joint() * cooc.action_frequency[:, None, None]
    rho, q = law.sum(2), law.sum((0, 1))
    inner = np.einsum("axk,yk->axy", predicted, encoded)
    spectral = -2 * np.sum(law * inner) + np.einsum("ax,y,axy->", rho, q, inner**2)
    return spectral, q @ np.sum(encoded**2, axis=1) + np.sum(rho * np.sum(predicted**2, axis=2))


def test_a_price_on_the_norms_soft_thresholds_every_singular_value():
    """docs/price.md, 1: counts are trained to the closed form, whose dimension the price chooses; above 1 all collapses."""
    data = sj.sample_transitions(make_block(), n_transitions=3000, seed=0)
    cooc, prices = sj.CoOccurrence.from_transitions(data), (0.25, 0.4, 1.3)
    values = np.linalg.svd(cooc.stacked, compute_uv=False)
    config = JepaConfig(loss="spectral", regularizer="norms", n_steps=1200)
    trained = train_jepa(data, [Run(10, seed=1, strength=price) for price in prices], config)
    for number, price in enumerate(prices):
        embedding = trained.embedding(number)
        spectral, squares = spectral_and_squares(cooc, embedding.target, embedding.predicted)
        reached = spectral + price * squares
        least = -np.sum(np.maximum(values - price, 0) ** 2)
        assert -1e-9 <= reached - least <= 1e-6 and (least < -0.3 or price > 1)
        assert trained.table["loss"][number] == pytest.approx(reached, abs=1e-10)
        assert trained.table["optimum"][number] == pytest.approx(least, abs=1e-10)
        closed = sj.soft_threshold_embedding(cooc, price, shared=True, keep_constant=False)
        assert np.abs(embedding.transition() - closed.transition()).max() < 1e-3
        assert closed.dim == max(1, np.sum(values > price)) < 10
    minibatch = train_jepa(data, [Run(5, strength=0.35)], dataclasses.replace(config, batch_size=256, n_steps=500))
    assert 0 < minibatch.table["gap"][0] < 0.02


def test_norms_beside_the_prediction_loss_collapse():
    exact = sj.CoOccurrence.exact(make_block())
    table = train_jepa(exact, [Run(3, strength=0.2)], JepaConfig(regularizer="norms", n_steps=400)).table
    assert table["optimum"][0] == 0 and 0 <= table["loss"][0] < 1e-4
