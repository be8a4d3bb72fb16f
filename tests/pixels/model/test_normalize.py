"""Pictures become what an ImageNet network expects, however they lie in memory."""

import numpy as np
import pytest
import torch

from spectral_jepa.pixels.model.encoder import Normalize

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize("channels", ["last", "first"])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64])
def test_it_is_the_z_score_of_each_channel(channels, kind):
    levels = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 6, 3), dtype=np.uint8)
    expected = ((levels / 255 - MEAN) / STD).reshape(6, 6, 6, 3).transpose(0, 3, 1, 2)
    frames = torch.from_numpy(levels) if kind == torch.uint8 else torch.from_numpy(levels / 255).to(kind)
    frames = frames if channels == "last" else frames.movedim(-1, -3).contiguous()
    before = frames.clone()
    found = Normalize(6)(frames)
    # An error in one place of one channel would be a level, .017 at least.
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert torch.equal(frames, before)


@pytest.mark.parametrize("channels", ["last", "first"])
def test_gradients_pass_through_it(channels):
    frames = torch.full((2, 4, 4, 3) if channels == "last" else (2, 3, 4, 4), 0.5, requires_grad=True)
    Normalize(4)(frames).sum().backward()
    slopes = torch.from_numpy(1 / STD).float().view((3,) if channels == "last" else (3, 1, 1))
    torch.testing.assert_close(frames.grad, slopes.expand_as(frames))
