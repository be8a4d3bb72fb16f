"""Pictures drawn from states against the pictures of a collected file, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import DataConfig
from spectral_jepa.pixels.data import WindowSampler, open_dataset
from spectral_jepa.pixels.data.collect import collect, collect_drawn
from spectral_jepa.pixels.data.drawn import DrawnPictures
from spectral_jepa.pixels.data.feed import batches, fits
from spectral_jepa.pixels.environments import environment_class
from spectral_jepa.pixels.evaluation.manifest import make_manifest
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.presets import changed, preset
from spectral_jepa.pixels.training.loop import train

# More episodes than a part of collect has (20), so that two parts meet.
DATA = DataConfig(n_episodes=24, max_steps=40, image_size=32)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return collect(DATA, tmp_path_factory.mktemp("drawn") / "data.h5", n_jobs=1, progress=False)


@pytest.fixture(scope="module")
def stored(file):
    return open_dataset(file, progress=False)


@pytest.fixture(scope="module")
def drawn():
    return collect_drawn(DATA, progress=False)


def test_rows_columns_and_split_are_those_of_the_file(stored, drawn):
    assert drawn.ep_len.tolist() == stored.ep_len.tolist() and drawn.ep_offset.tolist() == stored.ep_offset.tolist()
    assert sorted(drawn.columns) == sorted(stored.columns)
    for name, values in stored.columns.items():
        assert drawn.columns[name].dtype == values.dtype
        np.testing.assert_array_equal(drawn.columns[name], values)
    for part, ids in stored.split().items():
        np.testing.assert_array_equal(drawn.split()[part], ids)
    assert drawn.origin == stored.origin


@pytest.mark.parametrize("rows", [7, -1, slice(3, 90, 11), np.array([[5, 2], [400, 5]]), np.arange(0), [1, 2]], ids=str)
def test_indexing_gives_the_pictures_of_the_file(stored, drawn, rows):
    assert drawn.pixels.shape == stored.pixels.shape and drawn.pixels.dtype == stored.pixels.dtype
    expected = stored.pixels[rows]
    np.testing.assert_array_equal(drawn.pixels[rows], expected)
    assert drawn.pixels[rows].shape == expected.shape


def test_clips_are_those_of_the_file_bit_for_bit(stored, drawn):
    samplers = [WindowSampler(data, [0, 3, 21], n_frames=3, batch_size=16, seed=4) for data in (stored, drawn)]
    assert samplers[0].state_dict() == samplers[1].state_dict()
    for _ in range(3):
        (frames, blocks), (own_frames, own_blocks) = (sampler.batch() for sampler in samplers)
        assert own_frames.dtype == torch.uint8 and own_frames.shape == (16, 3, 32, 32, 3)
        assert torch.equal(own_frames, frames) and torch.equal(own_blocks, blocks)
        # All of them show an agent, and not the same one.
        assert (frames != frames[0, 0]).flatten(2).any(-1).sum() > 16
    other = WindowSampler(drawn, [0, 3, 21], n_frames=3, batch_size=16, seed=5)
    assert not torch.equal(other.batch()[0], WindowSampler(stored, [0, 3, 21], 3, batch_size=16, seed=4).batch()[0])


def test_a_run_on_drawn_pictures_is_the_run_on_the_file(file, drawn, tmp_path):
    config = changed(preset("tiny"), {"training.n_steps": 3})
    weights = []
    for name, data in (("file", file), ("drawn", drawn)):
        assert train(config, data, tmp_path / name, device="cpu", progress=False).finished
        weights.append(load_model(tmp_path / name)[0].state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    # A run of theirs goes on with the same data only.
    other = collect_drawn(replace(DATA, seed=1), progress=False)
    with pytest.raises(InputError, match="digest"):
        train(config, other, tmp_path / "drawn", device="cpu", progress=False)


def test_pairs_are_those_of_the_file(stored, drawn):
    world = environment_class("two_room")(32)
    sizes = {"n_pairs": 4, "goal_offset": 5, "seed": 3}
    mine, theirs = (make_manifest(data, np.arange(24), world, **sizes) for data in (drawn, stored))
    assert mine.pairs == theirs.pairs and mine.n_solved == theirs.n_solved


def test_the_digest_names_states_and_size(drawn):
    again = collect_drawn(DATA, progress=False)
    assert again.digest("pixels", "action") == drawn.digest("pixels", "action")
    others = [collect_drawn(replace(DATA, **change), progress=False) for change in ({"seed": 1}, {"image_size": 33})]
    assert len({data.digest("pixels") for data in (drawn, *others)}) == 3


def test_a_file_in_memory_bounds_what_is_resident_but_drawn_pictures_take_none(stored, drawn, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (stored.pixels.nbytes, 0))
    device = torch.device("cuda")
    assert fits(drawn, device) and not fits(stored, device)
    assert not fits(drawn, torch.device("cpu"))


def test_the_feed_takes_drawn_batches(stored, drawn):
    cpu = torch.device("cpu")
    mine, theirs = (batches(WindowSampler(data, [1, 2], n_frames=2, batch_size=8), cpu) for data in (drawn, stored))
    for _, (frames, _, cursor), (expected, _, theirs_cursor) in zip(range(3), mine, theirs, strict=False):
        assert torch.equal(frames, expected) and cursor == theirs_cursor


def test_what_cannot_be_drawn_is_one_sentence(tmp_path, drawn):
    with pytest.raises(InputError, match="reacher draws its pictures"):
        collect_drawn(DataConfig(environment="reacher", n_episodes=3), progress=False)
    with pytest.raises(InputError, match="push_t draws"):
        DrawnPictures(environment_class("push_t"), torch.zeros(2, 7), 32)
    with pytest.raises(InputError, match="pictures of 32 px and 2 action coordinates, expected 64 and 2"):
        train(preset("small"), drawn, tmp_path, device="cpu", progress=False)
    with pytest.raises(InputError, match="comes from 'two_room'"):
        train(changed(preset("tiny"), {"data.environment": "reacher"}), drawn, tmp_path, device="cpu", progress=False)
