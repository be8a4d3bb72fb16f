"""docs/theory.md, 2.8: a deterministic action has singular values 0 and 1, as many ones as states in its image."""

import numpy as np
import pytest
import scipy.linalg

from spectral_jepa import CoOccurrence, spectrum, tail


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_as_many_ones_as_states_in_the_image(as_world, seed, sparse):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 12))
    successor = rng.integers(0, n, size=(2, n))
    world = as_world(np.eye(n)[successor], weight=rng.dirichlet(np.full(n, 2.0)))
    assert world.mdp.is_deterministic
    exact = CoOccurrence.exact(world.mdp.as_sparse() if sparse else world.mdp)
    values = spectrum(exact)
    for action in range(2):
        image = len(set(successor[action].tolist()))
        expected = np.r_[np.ones(image), np.zeros(n - image)]
        assert np.abs(values[action] - expected).max() < 1e-10
        assert np.abs(scipy.linalg.svdvals(world.normalized(action)) - expected).max() < 1e-10
        for dim in range(n + 1):
            assert tail(exact, dim)[action] == pytest.approx(max(image - dim, 0), abs=1e-10)


def test_states_without_mass_do_not_count(as_world):
    """Only the image of the states that the data visit."""
    world = as_world([np.eye(4)[[0, 1, 2, 3]]], weight=[0.5, 0.5, 0.0, 0.0])
    assert spectrum(world.exact)[0].round(12).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("noise", [1e-3, 0.2])
def test_any_noise_moves_the_ones_below_one(as_world, noise):
    n = 5
    world = as_world([(1 - noise) * np.roll(np.eye(n), 1, axis=1) + noise / n])
    assert not world.mdp.is_deterministic
    values = spectrum(world.exact)[0]
    assert values[0] == pytest.approx(1, abs=1e-12)
    assert np.abs(values[1:] - (1 - noise)).max() < 1e-10
