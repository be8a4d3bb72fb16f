"""The decoder of an autoencoding world model: its error without drawing, and what it makes an encoder keep."""

import pytest
import torch

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import ObjectiveConfig
from spectral_jepa.pixels.interfaces import RepeatedPictures
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import changed, preset
from spectral_jepa.pixels.training.objective import Objective
from spectral_jepa.pixels.training.reconstruction import PictureDecoder, as_repeated


def clips(seed=0):
    generator = torch.Generator().manual_seed(seed)
    distinct = torch.randint(0, 256, (5, 32, 32, 3), generator=generator, dtype=torch.uint8)
    return RepeatedPictures(distinct, torch.randint(0, 5, (8, 2), generator=generator))


def test_the_error_is_that_of_the_pictures_drawn():
    decoder = PictureDecoder(4, 32).double()
    frames, latents = clips(), torch.randn(8, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = decoder.normalize(frames.whole()).flatten(1).unflatten(0, (8, 2))
    expected = (decoder(latents) - wanted).square().mean()
    assert decoder.error(latents, frames).item() == pytest.approx(expected.item(), rel=1e-12)
    assert decoder.error(latents, as_repeated(frames.whole())).item() == pytest.approx(expected.item(), rel=1e-12)
    for part in (decoder.hidden.weight, decoder.output.weight, decoder.output.bias):
        one, other = (torch.autograd.grad(value, part)[0] for value in (expected, decoder.error(latents, frames)))
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)
        expected = (decoder(latents) - wanted).square().mean()


@pytest.mark.parametrize("whole", [False, True])
def test_the_loss_gains_half_of_each_error(whole):
    config = changed(preset("tiny", "mdp_torus"), {"model.history": 1, "model.action_block": 1, "model.dropout": 0.0})
    model = WorldModel(config.model).double()
    blocks = torch.randn(8, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    frames = clips().whole() if whole else clips()
    plain, drawing = (
        Objective(ObjectiveConfig(regularizer="none", reconstruction=weight), 16, image_size=32).double()
        for weight in (0, 3.0)
    )
    generator = torch.Generator()
    without, parts = (objective(model, frames, blocks, generator) for objective in (plain, drawing))
    latents = model.encode(frames)
    predicted = model.predict(latents[:, :-1], blocks[:, :-1])
    decoder = drawing.decoder
    wanted = decoder.normalize(clips().whole()).flatten(1).unflatten(0, (8, 2))
    error = ((decoder(latents) - wanted).square().mean() + (decoder(predicted) - wanted[:, 1:]).square().mean()) / 2
    assert float(parts["reconstruction"]) == pytest.approx(float(error), rel=1e-9)
    assert float(parts["loss"]) == pytest.approx(float(without["loss"] + 3 * error), rel=1e-9)
    assert "reconstruction" not in without and not list(plain.parameters())
    gradient = torch.autograd.grad(parts["loss"] - without["loss"], model.encoder.output.weight)[0]
    assert float(gradient.abs().max()) > 0


def test_the_size_of_the_pictures_is_needed():
    with pytest.raises(InputError, match="image_size is None"):
        Objective(ObjectiveConfig(reconstruction=1.0), 16)
    with pytest.raises(InputError, match="reconstruction is -1"):
        ObjectiveConfig(reconstruction=-1.0)
