"""docs/theory.md, section 5: the training loss is a mean over batches of N samples, not the loss of the law."""

import itertools

import numpy as np
import pytest
import torch

from spectral_jepa.losses import from_lewm, sigreg
from spectral_jepa.theory.sigreg_collapse import sigreg_collapse_threshold, sigreg_slope

LAW = np.array([0.5, 0.3, 0.2])


def over_batches(values, law, size, **settings):
    """SIGReg at k = 1 in its mean over all batches of independent samples, each with its probability."""
    batches = np.array(list(itertools.product(range(len(law)), repeat=size)))
    samples = torch.as_tensor(values[batches])[..., None]
    return float(np.prod(law[batches], axis=1) @ sigreg(samples, torch.ones(1, 1, dtype=torch.float64), **settings).numpy())


@pytest.mark.parametrize("size, published", [(1, 0.886), (2, -0.660), (4, -3.752), (8, -9.936)])
def test_slope_of_batches_by_enumeration(size, published):
    # Our function values: variance 1, no mean. Richardson's rule takes the next order of the size away.
    values = np.array([1.0, -1.0, -1.0])
    values = (values - LAW @ values) / np.sqrt(LAW @ values**2 - (LAW @ values) ** 2)
    at_0 = over_batches(0 * values, LAW, size)
    steps = [(over_batches(e * values, LAW, size) - at_0) / e**2 for e in (0.02, 0.01)]
    measured = (4 * steps[1] - steps[0]) / 3
    assert measured == pytest.approx(-size * sigreg_slope(batch_size=size), abs=1e-5 * size)
    assert measured == pytest.approx(published, abs=5e-4)
    # What stood here before, the slope of the law, is another number: by c' = 2.43, whatever the size.
    assert measured + size * sigreg_slope() == pytest.approx(2.4318, abs=1e-4)


def test_loss_of_batches_is_the_loss_of_the_law_and_the_variance_of_its_sample():
    # Exactly, at any size of the embedding: E |phi_N - u|^2 = |phi - u|^2 + (1 - |phi|^2) / N.
    values = np.array([0.7, -1.3, 2.1])
    knots = np.linspace(0, 3, 17)
    squared = np.abs(np.exp(1j * knots[:, None] * values) @ LAW) ** 2
    spread = 2 * np.trapezoid(np.exp(-(knots**2) / 2) * (1 - squared), knots)
    of_law = float(sigreg(torch.as_tensor(values)[:, None], torch.ones(1, 1).double(), torch.as_tensor(LAW), factor=1.0))
    for size in (1, 2, 5):
        assert over_batches(values, LAW, size, factor=1.0) == pytest.approx(of_law + spread / size, rel=1e-12)
    assert spread > 0.1


def test_batches_of_one_sample_never_leave_collapse():
    # One sample has |phi| = 1, so its statistic is least at 0: for every law, every strength, every embedding.
    at_0 = over_batches(np.zeros(3), LAW, 1)
    for values in np.random.default_rng(0).normal(size=(50, 3)) * np.logspace(-2, 2, 50)[:, None]:
        assert over_batches(values, LAW, 1) > at_0
        assert over_batches(values, LAW, 1) - at_0 > 1e-6
    assert sigreg_slope(batch_size=1) < 0 < sigreg_slope(batch_size=2)
    # Two samples do leave it, and so does the law.
    small = 0.1 * np.array([1.0, -1.0, -1.0])
    small -= LAW @ small
    assert over_batches(small, LAW, 2) < over_batches(0 * small, LAW, 2)


def test_threshold_of_batches_and_the_published_constants():
    published = from_lewm()
    law = sigreg_collapse_threshold(192, published.strength, factor=published.factor)
    batch = sigreg_collapse_threshold(192, published.strength, factor=published.factor, batch_size=128)
    assert 1 - law == pytest.approx(17.81, abs=0.005)
    assert 1 - batch == pytest.approx(17.59, abs=0.005)
    assert sigreg_collapse_threshold(4, 3.0, factor=2.0, batch_size=10**9) == pytest.approx(
        sigreg_collapse_threshold(4, 3.0, factor=2.0), abs=1e-8
    )
    assert sigreg_collapse_threshold(1, 5.0, factor=1.0, batch_size=1) > 1


def test_a_batch_holds_a_sample(refused):
    with refused("batch_size is 0", "at least 1"):
        sigreg_slope(batch_size=0)
