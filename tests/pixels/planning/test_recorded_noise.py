"""Noise with the correlation of recorded plans: against numpy's correlation and a linear world."""

import numpy as np
import pytest
import torch

from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError
from spectral_jepa.action_search import cross_entropy_method
from spectral_jepa.pixels.config import PlanningConfig
from spectral_jepa.pixels.planning.policies import PlannerPolicy
from spectral_jepa.pixels.planning.recorded_noise import recorded_noise


def smooth_windows(n=4000, horizon=5):
    """An autoregression of coefficient .9 and variance 1, one number a block."""
    rng = np.random.default_rng(0)
    steps = [rng.standard_normal(n)]
    for _ in range(horizon - 1):
        steps.append(0.9 * steps[-1] + np.sqrt(1 - 0.81) * rng.standard_normal(n))
    return torch.from_numpy(np.stack(steps, 1))[..., None]


def test_factor_of_the_correlation():
    windows = smooth_windows() * torch.tensor([1.0, 2, 3, 4, 5])[:, None] + 7
    factor = recorded_noise(windows, shrinkage=0.25).double().numpy()
    wanted = 0.75 * np.corrcoef(windows[..., 0].numpy().T) + 0.25 * np.eye(5)
    np.testing.assert_allclose(factor @ factor.T, wanted, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(factor, axis=1), 1, atol=1e-6)
    assert np.triu(factor, 1).max() == 0
    assert abs(wanted[0, 1] - 0.75 * 0.9) < 0.02  # and not the identity


def test_a_number_that_never_varies_goes_with_none():
    windows = smooth_windows().repeat(1, 1, 2)
    windows[..., 1] = 3.0
    factor = recorded_noise(windows).double()
    correlation = factor @ factor.mT
    still = correlation[1::2]
    np.testing.assert_allclose(still[:, 1::2], np.eye(5), atol=1e-6)
    np.testing.assert_allclose(still[:, ::2], 0, atol=1e-6)


def candidates(noise, n_episodes=1):
    """The first candidates of a search, and what it found."""
    seen = []

    def cost(plans):
        seen.append(plans.clone())
        return (plans.sum((2, 3)) - 5).square()

    found = cross_entropy_method(
        cost, torch.zeros(n_episodes, 5, 1), [torch_generator(7 + e) for e in range(n_episodes)],
        n_samples=3000, n_elites=30, n_iterations=2, noise=noise,
    )  # fmt: skip
    return seen, found


def test_candidates_have_that_correlation_and_keep_their_spread():
    seen, _ = candidates(recorded_noise(smooth_windows()))
    first = seen[0][0, 1:, :, 0].double().numpy()
    np.testing.assert_allclose(np.corrcoef(first.T)[0], 0.9 ** np.arange(5), atol=0.05)
    np.testing.assert_allclose(first.std(0), 1, atol=0.05)
    white = candidates(None)[0][0][0, 1:, :, 0].double().numpy()
    assert np.abs(np.corrcoef(white.T) - np.eye(5)).max() < 0.1


def test_an_episode_is_the_same_in_company():
    noise = recorded_noise(smooth_windows())
    alone, both = candidates(noise)[1], candidates(noise, 2)[1]
    assert torch.equal(alone[0], both[0])
    assert not torch.equal(both[0], both[1])


def test_refusals():
    with pytest.raises(InputError, match="at least 2"):
        recorded_noise(torch.zeros(1, 5, 2))
    with pytest.raises(InputError, match=r"noise has shape \(4, 4\), expected \(5, 5\)"):
        candidates(torch.eye(4))
    model, scaler = object(), object()
    with pytest.raises(InputError, match="its matrix missing"):
        PlannerPolicy(model, scaler, PlanningConfig(noise="recorded"))
    with pytest.raises(InputError, match="its matrix given"):
        PlannerPolicy(model, scaler, PlanningConfig(), noise=torch.eye(5))
