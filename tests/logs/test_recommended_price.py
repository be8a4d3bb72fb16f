"""The price that a log's analysis recommends beside its dimension: docs/price.md, 5."""

import numpy as np
import pytest
import scipy.sparse as sp

from spectral_jepa import (
    CoOccurrence,
    make_block,
    make_torus,
    pooled_risk,
    sample_transitions,
    soft_threshold_embedding,
    spectral_embedding,
)
from spectral_jepa.logs import estimates as module
from spectral_jepa.logs.analysis import analyze
from spectral_jepa.theory.prices import held_out_risks


@pytest.fixture(scope="module")
def block():
    data = sample_transitions(make_block(40, 4, 2, seed=3), n_transitions=4000, seed=0)
    return data, analyze(data, seed=1)


def test_priced_risk_ends_at_the_constant_and_at_the_largest_dimension(block):
    data, analysis = block
    ends = analysis.priced_risk([1.0, 0.0])
    assert ends == pytest.approx([-1, analysis.held_out_mean[-1]], abs=1e-10)
    assert analysis.priced_risk([analysis.price])[0] < ends.min() - 1e-3
    gaps = analyze(data, dims=[1, 3, 9], seed=1)
    assert gaps.priced_risk([1.0, 0.0]) == pytest.approx([-1, gaps.held_out_mean[-1]], abs=1e-10)


def test_priced_risk_is_exact_where_directions_do_not_mix():
    """Held out on its own law: L_spec of singular values b is sum b^2 - 2 b s, up to one over the size of the sample."""
    counts = np.random.default_rng(0).integers(0, 9, size=(12, 5)).astype(float)
    values, dims = np.linalg.svd(counts / np.sqrt(np.outer(counts.sum(1), counts.sum(0))), compute_uv=False), np.arange(1, 6)
    parts = module.held_out(sp.csr_array(counts), sp.csr_array(1e9 * counts), dims, seed=0)
    prices = np.array([0.0, 0.1, 0.2, 0.4])
    paid = np.maximum(values - prices[:, None], 0)
    paid[:, 0] = 1
    expected = np.sum(paid**2 - 2 * paid * values, axis=1)
    assert module.priced_risk(values, dims, *parts, prices) == pytest.approx(expected, abs=1e-8)
    assert np.ptp(expected) > 0.05


def test_priced_risk_is_close_to_that_of_fits_at_each_price(block):
    """The free version against the explicit one, which thresholds the fit of every fold (theory/prices.py)."""
    data, analysis = block
    counts = data.counts().reshape(-1, data.n_states)
    flat = np.repeat(np.arange(counts.size), counts.astype(int).ravel())
    fold, prices = np.random.default_rng(7).permutation(flat.size) % 5, np.array([0.05, 0.15, 0.25, 0.4, 0.8])
    parts = [np.bincount(flat[fold == i], minlength=counts.size).reshape(counts.shape) for i in range(5)]
    explicit = np.mean([held_out_risks(counts - part, part, prices) for part in parts], axis=0)
    free = analysis.priced_risk(prices * np.sqrt(0.8))
    assert np.abs(free - explicit).max() < 0.1 * np.ptp(explicit)
    assert free.argmin() == explicit.argmin()


@pytest.mark.parametrize(
    ("make", "visits", "kept"),
    [(lambda: make_torus(8, slip=0.3), 8, "price"), (lambda: make_block(40, 4, 2, seed=0), 100, "dimension")],
)
def test_price_or_dimension_is_the_one_with_less_true_risk(make, visits, kept):
    """A heavy tail and few visits: the price; four blocks and many: the dimension."""
    world = make()
    exact = CoOccurrence.exact(world)
    data = sample_transitions(world, n_transitions=visits * world.n_states * world.n_actions, seed=0)
    analysis, estimate = analyze(data, seed=0), CoOccurrence.from_transitions(data)

    def risk(embedding):
        return pooled_risk(exact, embedding)

    priced = risk(soft_threshold_embedding(estimate, analysis.price, shared=True))
    truncated = risk(spectral_embedding(estimate, analysis.held_out_dim, shared=True))
    assert (priced < truncated) == (kept == "price")
    assert f"so take the {kept}" in analysis.verdict() and f"keeps {analysis.priced_dim}" in analysis.verdict()
    least = min(risk(soft_threshold_embedding(estimate, theta, shared=True)) for theta in np.geomspace(0.01, 1, 30))
    assert priced < 1.1 * least
