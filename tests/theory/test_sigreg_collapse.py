import numpy as np
import pytest
import scipy.integrate
import torch

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, train_jepa
from spectral_jepa.jepa.objective import draw_directions
from spectral_jepa.losses import sigreg
from spectral_jepa.theory.sigreg_collapse import sigreg_collapse_threshold, sigreg_slope


def test_slope_is_the_integral():
    whole, _ = scipy.integrate.quad(lambda t: np.exp(-t * t / 2) * (1 - np.exp(-t * t / 2)) * t * t, -np.inf, np.inf)
    assert whole == pytest.approx(np.sqrt(2 * np.pi) - np.sqrt(np.pi) / 2)
    assert sigreg_slope(4001, 30.0) == pytest.approx(whole, rel=1e-6)
    cut, _ = scipy.integrate.quad(lambda t: np.exp(-t * t / 2) * (1 - np.exp(-t * t / 2)) * t * t, -3, 3)
    assert sigreg_slope() == pytest.approx(cut, rel=2e-3)


def test_slope_is_the_derivative_of_the_loss():
    # A small centred embedding along one of three coordinates, views along the axes: E (a.e_1)^2 = 1/3.
    values = torch.zeros(4, 3, dtype=torch.float64)
    values[:, 0] = torch.tensor([1.0, -1.0, 2.0, -2.0])
    directions = torch.eye(3, dtype=torch.float64)
    size, variance = 1e-3, 2.5
    change = sigreg(size * values, directions, factor=1.0) - sigreg(0 * values, directions, factor=1.0)
    assert float(change) / (size**2 * variance) == pytest.approx(-sigreg_slope() / 3, rel=1e-4)
    # A mean is punished instead.
    mean = torch.zeros(4, 3, dtype=torch.float64)
    mean[:, 0] = size
    assert float(sigreg(mean, directions, factor=1.0) - sigreg(0 * mean, directions, factor=1.0)) > 0


def test_collapse_is_left_exactly_above_the_threshold():
    worlds = [sj.CoOccurrence.exact(sj.make_autoregressive(10, correlation)) for correlation in (0.6, 0.85)]
    dim, runs = 2, []
    config = JepaConfig(regularizer="sigreg", n_steps=1200, n_slices=48, learning_rate=0.02, fresh_directions=False)
    # The theory has E a a^T = I / k; of 48 fixed slices one direction gets a little more than its half, and leaves first.
    slices = draw_directions(config, [Run(dim, 0)], None, 0)[0].double()
    favoured = dim * float(torch.linalg.eigvalsh(slices @ slices.T / slices.shape[1])[-1])
    for number, exact in enumerate(worlds):
        second = float(exact.stacked_decomposition[1][1] ** 2)
        # Strength at which the threshold equals s_2^2, then 15 % below and above it.
        at = (1 - second) * dim / sigreg_slope()
        assert sigreg_collapse_threshold(dim, at) == pytest.approx(second)
        runs += [Run(dim, 0, share * at / favoured, data=number) for share in (0.85, 1.15)]
    trained = train_jepa(worlds, runs, config)
    for number, exact in enumerate(worlds):
        below, above = np.einsum("s,rsk->r", exact.pooled_column_weight, trained.encoded[2 * number : 2 * number + 2] ** 2)
        assert below < 1e-6
        assert above > 1e-2
