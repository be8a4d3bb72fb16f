from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group
from torch import nn

from spectral_jepa import InputError
from spectral_jepa.pixels.diagnostics.latent_geometry import covariance_eigenvalues, latent_geometry, straightness


def test_straightness_of_known_curves():
    steps = np.arange(9.0)
    assert straightness(np.outer(steps, [3.0, -4.0])) == pytest.approx(1)
    for angle in (0.3, 1.2, 2.5):
        circle = np.stack([np.cos(angle * steps), np.sin(angle * steps)], -1)
        assert straightness(circle) == pytest.approx(np.cos(angle))
    # Independent draws: velocities z1 - z0 and z2 - z1 share -z1, cosine -1/2 in high dimension; a random walk: 0.
    noise = np.random.default_rng(0).normal(size=(20, 50, 400))
    assert straightness(noise) == pytest.approx(-0.5, abs=0.01)
    assert straightness(noise.cumsum(axis=1)) == pytest.approx(0, abs=0.01)


def test_straightness_leaves_out_pauses():
    path = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 1.0], [2.0, 2.0]])
    # Two pairs move twice in a row: a right angle and a straight line.
    assert straightness(path) == pytest.approx(0.5)
    assert np.isnan(straightness(np.ones((5, 2))))
    with pytest.raises(InputError, match="T >= 3"):
        straightness(np.ones((2, 2)))


def test_eigenvalues_of_a_constructed_covariance():
    rng = np.random.default_rng(0)
    white = np.linalg.qr(rng.normal(size=(300, 5)) - 0)[0]
    white -= white.mean(0)
    white = np.linalg.qr(white)[0] * np.sqrt(300)
    wanted = np.array([5.0, 2.0, 1.0, 0.5, 0.0])
    latents = white * np.sqrt(wanted) @ ortho_group.rvs(5, random_state=1) + 7
    assert np.allclose(covariance_eigenvalues(latents), wanted, atol=1e-9)


class Pixel(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(scale))

    def encode(self, frames):
        return frames[:, 0, 0].float() * self.scale


def test_geometry_of_a_model_that_reads_a_pixel():
    length = 20
    pixels = np.zeros((3 * length, 2, 2, 3), np.uint8)
    time = np.tile(np.arange(length), 3)
    # Channel 0 moves on steadily; channel 1 zigzags, but not at every second frame, which is what the model sees.
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = 4 * time, 90 * (time % 2)
    data = SimpleNamespace(
        pixels=pixels, columns={}, ep_len=np.full(3, length), ep_offset=length * np.arange(3), row_steps=1
    )
    model, control = Pixel([0.1, 0.1, 0.1]), Pixel([0.0, 0.1, 0.0])
    table = latent_geometry(model, data, [0, 2], every=2, control=control, n_samples=30)
    value = table[table["measure"] != "eigenvalue"].set_index(["input", "measure"])["value"]
    assert value["embedding", "straightness"] == pytest.approx(1)
    assert np.isnan(value["random encoder", "straightness"])
    assert straightness(pixels[:length, 0, 0].astype(float)) < -0.9
    assert value["random encoder", "effective_rank"] == pytest.approx(1)
    spectrum = table[(table["measure"] == "eigenvalue") & (table["input"] == "embedding")]["value"].to_numpy()
    share = spectrum[spectrum > 1e-9] / spectrum.sum()
    assert value["embedding", "effective_rank"] == pytest.approx(np.exp(-np.sum(share * np.log(share))))
    assert 1.5 < value["embedding", "effective_rank"] < 2
    assert (table["n"][table["measure"] == "eigenvalue"] == 30).all()
    # ||C - I||^2 + ||mean||^2 over the dimension, by numpy from the frames that were sampled.
    full = latent_geometry(model, data, [0, 2], every=2, n_samples=1000).set_index("measure")["value"]
    latents = np.concatenate([pixels[:length, 0, 0], pixels[2 * length :, 0, 0]]) * 0.1
    gap = np.square(np.cov(latents.T, bias=True) - np.eye(3)).sum() + np.square(latents.mean(0)).sum()
    assert full["whitening_gap"] == pytest.approx(gap / 3, rel=1e-5)


def test_too_short_episodes_are_one_sentence():
    data = SimpleNamespace(
        pixels=np.zeros((4, 2, 2, 3), np.uint8), columns={}, ep_len=np.array([2, 2]), ep_offset=np.array([0, 2]), row_steps=1
    )
    with pytest.raises(InputError, match="three frames"):
        latent_geometry(Pixel([1.0, 1.0, 1.0]), data, [0, 1], every=1)
    with pytest.raises(InputError, match="between 0 and 1"):
        latent_geometry(Pixel([1.0, 1.0, 1.0]), data, [2], every=1)
