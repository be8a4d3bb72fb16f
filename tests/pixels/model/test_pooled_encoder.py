"""The encoder that reads its maps flattened, as keypoints and pooled, part by part."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import ModelConfig
from spectral_jepa.pixels.model.encoder import ConvEncoder, PooledConvEncoder, encode_pictures, make_encoder
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import SMALL, TINY
from spectral_jepa.pixels.training.parallel import join_batch_norms

BASE = 4
SHAPE = replace(TINY.model, encoder="pooled", encoder_width=BASE, image_size=64)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bare(size=64):
    """In double precision and without its last layer: flattened map, x, y, mean and maximum side by side."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = PooledConvEncoder(replace(SHAPE, image_size=size)).double().eval()
    encoder.output = nn.Identity()
    return encoder


def parts(values, side=8):
    points, deep = BASE // 2, 4 * BASE
    flat = 2 * BASE * math.ceil(side / 2) ** 2
    return dict(zip(("flat", "x", "y", "mean", "most"), values.split([flat, points, points, deep, deep], 1), strict=True))


@pytest.mark.parametrize("size", [4, 8, 30, 32, 48, 64, 96])
def test_any_size_gives_a_vector(size):
    encoder = PooledConvEncoder(replace(SHAPE, image_size=size)).eval()
    assert encoder(torch.zeros(2, 3, size, size)).shape == (2, encoder.width) == (2, 8 * BASE)
    sides = math.ceil(size // 4 / 2)
    assert encoder.convolutions(torch.zeros(1, 3, size, size)).shape == (1, 4 * BASE, sides, sides)


def test_pictures_below_a_patch_are_refused():
    with pytest.raises(InputError, match="image_size is 3, expected at least 4 with the encoder 'pooled'"):
        replace(SHAPE, image_size=3)
    assert replace(SHAPE, image_size=3, encoder="conv").image_size == 3


@pytest.mark.parametrize(("base", "size"), [(4, 64), (3, 48), (1, 32), (32, 64)])
def test_number_of_parameters(base, size):
    points, side = max(1, base // 2), math.ceil(size // 4 / 2)
    convolutions = 3 * 2 * base * 16 + 2 * base * 4 * base * 9 + 16 * base**2 * 9 + 4 * base * 2 * base * 9
    norms = 2 * (2 * base + 4 * base + 4 * base + 2 * base)
    inputs = 2 * base * math.ceil(side / 2) ** 2 + 2 * points + 8 * base
    expected = convolutions + norms + (4 * base + 1) * points + (inputs + 1) * 8 * base
    found = make_encoder(replace(SHAPE, encoder_width=base, image_size=size))
    assert isinstance(found, PooledConvEncoder)
    assert sum(parameter.numel() for parameter in found.parameters()) == expected
    if (base, size) == (32, 64):
        assert expected == 636_944


def test_operations_are_those_of_its_notes():
    encoder = PooledConvEncoder(replace(SMALL.model, encoder="pooled")).eval()
    with FlopCounterMode(display=False) as counter:
        encoder(torch.zeros(1, 3, 64, 64))
    # Multiplications and additions, layer by layer: inputs of an entry x channels x entries.
    products = 48 * 64 * 16**2 + (64 + 128) * 9 * 128 * 8**2 + 128 * 9 * 64 * 4**2 + 128 * 16 * 8**2
    products += (64 * 4**2 + 2 * 16 + 2 * 128) * 256
    assert counter.get_total_flops() == 2 * products and round(2 * products / 1e6) == 33


def test_keypoints_and_pools_of_one_bright_cell_by_hand():
    encoder, side, value = bare(), 8, 3.0
    encoder.convolutions = nn.Identity()
    # Keypoint k reads map k alone.
    nn.init.zeros_(encoder.points.bias)
    encoder.points.weight.data = torch.eye(BASE // 2, 4 * BASE, dtype=torch.float64)[..., None, None]
    cells = [(0, 0), (2, 5), (7, 1)]
    maps = torch.zeros(len(cells), 4 * BASE, side, side, dtype=torch.float64)
    for index, (row, column) in enumerate(cells):
        maps[index, 1, row, column] = value
    found = parts(encoder(maps))
    whole = math.exp(value) + side**2 - 1
    for index, (row, column) in enumerate(cells):
        # All places sum to 0, so the other cells' is minus the bright one's. Places were computed in single precision.
        share = (math.exp(value) - 1) / whole
        assert found["x"][index].tolist() == pytest.approx([0, share * (2 * column / 7 - 1)], abs=1e-7)
        assert found["y"][index].tolist() == pytest.approx([0, share * (2 * row / 7 - 1)], abs=1e-7)
        alone = torch.zeros(4 * BASE, dtype=torch.float64)
        alone[1] = value
        assert torch.equal(found["most"][index], alone)
        torch.testing.assert_close(found["mean"][index], alone / side**2, rtol=1e-12, atol=0)


def shifted(by):
    """The same small thing, ``by`` pixels further right and down, on black."""
    pictures = torch.zeros(1, 3, 64, 64, dtype=torch.float64)
    pictures[:, :, 18 + by : 27 + by, 18 + by : 27 + by] = draw(3, 9, 9)
    return pictures


def test_the_pools_do_not_see_where_a_thing_is_and_the_rest_does():
    encoder = bare()
    here, there, between = (parts(encoder(shifted(by))) for by in (0, 16, 3))
    for name in ("mean", "most"):
        scale = float(here[name].abs().max())
        assert scale > 0.01
        # Maps are 8 pixels a cell apart: two whole cells, and the control that is none.
        assert float((there[name] - here[name]).abs().max()) < 1e-12 * scale, name
        assert float((between[name] - here[name]).abs().max()) > 0.01 * scale, name
    assert float((there["flat"] - here["flat"]).abs().max()) > 0.1 * float(here["flat"].abs().max())
    # A keypoint moves by its share of heat above the even one, two cells of 2/7 far.
    heat = encoder.points(encoder.convolutions(shifted(0))).flatten(2).softmax(-1)
    above = (heat - heat[..., :1]).sum(-1)
    for name in ("x", "y"):
        torch.testing.assert_close(there[name] - here[name], above * 4 / 7, rtol=1e-5, atol=1e-8)
    assert float(above.abs().max()) > 0.01


def test_batch_statistics_see_the_whole_batch_in_one_process_and_in_several(monkeypatch):
    monkeypatch.setattr("spectral_jepa.pixels.model.encoder.CPU_PIXELS", 32**2)
    joined = PooledConvEncoder(replace(SHAPE, image_size=32))
    join_batch_norms(joined, None)
    sizes = []
    plain, control = PooledConvEncoder(replace(SHAPE, image_size=32)), ConvEncoder(replace(SHAPE, image_size=32))
    # In evaluation mode the joint one asks no other process.
    for encoder in (plain, joined.eval(), control):
        encoder.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
        encode_pictures(encoder, nn.Identity(), draw(3, 3, 32, 32).float())
    assert sizes == [3, 3, 1, 1, 1]


def test_a_world_model_of_it_takes_pictures_and_loads(tmp_path):
    config = ModelConfig(**{**vars(TINY.model), "encoder": "pooled"})
    first, second = WorldModel(config, seed=0).eval(), WorldModel(config, seed=1).eval()
    frames = torch.randint(0, 256, (3, 2, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    latents = first.encode(frames)
    assert latents.shape == (3, 2, config.embedding_dim) and float(latents.std(0).min()) > 0
    assert not torch.allclose(second.encode(frames), latents, atol=1e-3)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.encode(frames), latents)
    first.train().encode(frames).square().sum().backward()
    assert all(parameter.grad is not None for parameter in first.encoder.parameters())
