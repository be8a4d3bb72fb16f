"""``sigreg_phase``: tiny cells against the predicted phase, the factors' chains against their spectra, and the figures."""

import numpy as np
import pytest
import torch

import spectral_jepa as sj
from spectral_jepa.losses import expected_sigreg
from spectral_jepa.plotting.drawing import find_drawing
from spectral_jepa.sweep.experiment import load_experiment
from spectral_jepa.sweep.results import reference_table


@pytest.fixture(scope="module")
def module():
    return load_experiment("sigreg_phase").module


@pytest.mark.parametrize("predictor", ["free", "linear"])
def test_tiny_descents_end_in_their_phase(module, predictor):
    rows = module.phase_rows("AR .7", 1, predictor, [0, 3], (0.3, 3.0), 1, 400)
    assert len(rows) == 12 and {row["predicted"] for row in rows} == {"collapsed", "grows"}
    for row in rows:
        if row["from"] != "far":
            assert row["outcome"] == row["predicted"]
        # No encoder lies below collapse where collapse is the minimum.
        assert row["predicted"] == "grows" or row["excess"] >= -1e-9
        assert row["predicted"] == "collapsed" or row["from"] == "far" or row["excess"] < -1e-3


def test_far_means_are_slow_not_stuck(module):
    settings = {"starts": ("far",), "more_steps": 1000, "more_rates": (0.2,)}
    rows = module.phase_rows("AR .7", 3, "free", [0], (0.5, 0.8), 1, 300, **settings)
    for row in rows:
        # After Adam a gradient is left and a mean; plain descent from there ends at collapse.
        assert row["excess"] > 0.1 and row["gradient_norm"] > 1e-2 and row["mean_norm"] > 1
        assert abs(row["continued_excess"]) < 1e-9 and row["continued_trace"] < 1e-9 and row["continued_mean_norm"] < 1e-4


def test_mean_over_batches_is_the_loss_of_the_package(module):
    rng = np.random.default_rng(0)
    values, law = torch.from_numpy(rng.standard_normal((3, 5, 2))), torch.from_numpy(rng.dirichlet(np.ones(5)))
    frame, sizes = module.tight_frame(2), (1, 2, 7)
    share = torch.tensor([1 / size for size in sizes], dtype=torch.float64)
    found = module.mean_over_batches(values, frame, law, share)
    for number, size in enumerate(sizes):
        want = expected_sigreg(values[number], frame, law, size, factor=1.0)
        assert float(found[number]) == pytest.approx(float(want), rel=1e-12)


@pytest.mark.parametrize("law", ["bits", "binomial", "uniform", "skewed", "redrawn"])
def test_factors_are_reversible_chains_with_the_rate_they_are_asked_for(module, law):
    kernel, weight, value = module.factor(law, 7, 0.8)
    flow = weight[:, None] * kernel
    assert np.allclose(kernel.sum(1), 1) and kernel.min() >= 0 and np.allclose(flow, flow.T, atol=1e-12)
    assert weight @ value == pytest.approx(0, abs=1e-12) and weight @ value**2 == pytest.approx(1)
    root = np.sqrt(weight)
    assert np.linalg.svd(root[:, None] * kernel / root)[1][1] == pytest.approx(0.8, abs=1e-9)
    if law != "uniform":  # whose second function is a cosine
        assert np.allclose(kernel @ value, 0.8 * value)


def test_recovered_share_is_that_of_least_squares(module):
    rng = np.random.default_rng(0)
    law, encoded, value = rng.dirichlet(np.ones(9)), rng.standard_normal((9, 2)), rng.standard_normal(9)
    design = np.sqrt(law)[:, None] * np.column_stack([np.ones(9), encoded])
    left = np.sqrt(law) * value - design @ np.linalg.lstsq(design, np.sqrt(law) * value, rcond=None)[0]
    whole = law @ (value - law @ value) ** 2
    assert module.recovered(encoded, value, law) == pytest.approx(1 - left @ left / whole, rel=1e-10)
    assert module.recovered(0 * encoded, value, law) == 0


def test_a_tiny_training_and_the_figures(module):
    (row,) = (row for row in module.minibatch_rows("AR .7", 1, 4, (0.5,), 1, 40))
    assert row["population_ratio"] == pytest.approx(0.5 * sj.sigreg_slope() / sj.sigreg_slope(batch_size=4))
    rows = module.law_rows(("bits",), (0.8, 0.7), 3, 1, 30)
    assert {row["times"] for row in rows} == {1.0, 10.0} and all(0 <= row["r2"] <= 1 + 1e-9 for row in rows)
    drawn = find_drawing(load_experiment("sigreg_phase"))(reference_table("sigreg_phase"))
    assert set(drawn) == {f"sigreg_{name}{talk}" for name in ("phase", "factors") for talk in ("", "_talk")}
