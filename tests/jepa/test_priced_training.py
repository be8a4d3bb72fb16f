"""A price on the norms of trained tables: docs/price.md, 5."""

import numpy as np
import pytest
import torch

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, train_jepa
from spectral_jepa.jepa.objective import minibatch_losses


def make_block():
    return sj.make_block(n_states=12, n_blocks=3, n_actions=2, seed=0)


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
    cooc, prices = sj.CoOccurrence.from_transitions(data), (0.3, 0.45, 1.3)
    values = np.linalg.svd(cooc.stacked, compute_uv=False)
    config = JepaConfig(loss="spectral", regularizer="norms", n_steps=900)
    trained = train_jepa(data, [Run(7, seed=1, strength=price) for price in prices], config)
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
        assert closed.dim == max(1, np.sum(values > price)) < 7


def test_minibatch_pays_for_what_it_holds():
    """Two runs on three transitions: L_spec over pairs of different ones, and the mean squares of f and g at them."""
    rng = np.random.default_rng(0)
    f, g = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 10, 3))
    rows, columns = np.array([[0, 9, 4], [2, 2, 7]]), np.array([[1, 4, 1], [0, 3, 3]])
    config = JepaConfig(loss="spectral", regularizer="norms")
    latent, predicted, strength = torch.tensor(f), torch.tensor(g), torch.tensor([0.5, 2.0], dtype=torch.float64)
    batch = torch.tensor(np.stack([rows, columns]))
    losses = minibatch_losses(config, latent, predicted, latent, batch, strength, torch.zeros(2), None, None)
    for run in range(2):
        own_g, own_f = g[run, rows[run]], f[run, columns[run]]
        assert float(losses.regularizer[run]) == pytest.approx(np.sum(own_f**2) / 3 + np.sum(own_g**2) / 3, rel=1e-12)
        scores = own_g @ own_f.T
        spectral = (np.sum(scores**2) - np.sum(np.diag(scores) ** 2)) / 6 - 2 * np.diag(scores).mean()
        total = spectral + float(strength[run]) * float(losses.regularizer[run])
        assert float(losses.total[run]) == pytest.approx(total, rel=1e-12)


def test_norms_beside_the_prediction_loss_collapse():
    exact = sj.CoOccurrence.exact(make_block())
    table = train_jepa(exact, [Run(3, strength=0.2)], JepaConfig(regularizer="norms", n_steps=250)).table
    assert table["optimum"][0] == 0 and 0 <= table["loss"][0] < 1e-2
