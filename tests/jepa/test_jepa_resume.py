import numpy as np
import pytest
import torch

import spectral_jepa as sj
from spectral_jepa import InputError
from spectral_jepa.jepa import JepaConfig, Run, train_jepa

RUNS = [Run(2, 0), Run(4, 1)]
CONFIG = JepaConfig(n_steps=100, regularizer="sigreg", target="ema", n_slices=8, batch_size=32, record_every=10)


@pytest.fixture(scope="module")
def data():
    return sj.sample_transitions(sj.make_block(n_states=12, n_blocks=3, n_actions=2, seed=0), n_transitions=500, seed=1)


def interrupted(data, folder, monkeypatch, at):
    """Train, but die at one step as a kill would."""
    from spectral_jepa.jepa import training

    update = training._Batch.update

    def dying(batch):
        if batch.step == at:
            raise KeyboardInterrupt
        update(batch)

    with monkeypatch.context() as patch:
        patch.setattr(training._Batch, "update", dying)
        with pytest.raises(KeyboardInterrupt):
            train_jepa(data, RUNS, CONFIG, folder=folder, checkpoint_every=20)


def test_resumed_equals_uninterrupted_bit_for_bit(data, tmp_path, monkeypatch):
    whole = train_jepa(data, RUNS, CONFIG)
    interrupted(data, tmp_path, monkeypatch, at=73)
    resumed = train_jepa(data, RUNS, CONFIG, folder=tmp_path)
    assert np.abs(whole.encoded).max() > 0.1
    assert np.array_equal(whole.encoded, resumed.encoded) and np.array_equal(whole.predicted, resumed.predicted)
    assert whole.history.equals(resumed.history)


def test_a_flipped_byte_falls_back_to_the_previous_checkpoint(data, tmp_path, monkeypatch):
    whole = train_jepa(data, RUNS, CONFIG)
    interrupted(data, tmp_path, monkeypatch, at=73)
    newest = tmp_path / "step-60.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match=r"step-60\.pt.*damaged.*step-40\.pt"):
        resumed = train_jepa(data, RUNS, CONFIG, folder=tmp_path)
    assert np.array_equal(whole.encoded, resumed.encoded)


@pytest.mark.parametrize("kind", ["population", "log"])
def test_the_folder_of_one_world_is_refused_for_another(tmp_path, kind):
    """The same sizes, runs and settings: only the numbers of the world differ."""
    worlds = [sj.make_block(12, 3, 2, seed=seed) for seed in (0, 7)]
    if kind == "log":
        first, second = (sj.sample_transitions(world, 50, seed=0) for world in worlds)
    else:
        first, second = (sj.CoOccurrence.exact(world) for world in worlds)
    config = JepaConfig(n_steps=20)
    once = train_jepa(first, [Run(3)], config, folder=tmp_path).table
    with pytest.raises(InputError, match=r"data\.0: [0-9a-f]{16} -> [0-9a-f]{16}\)") as caught:
        train_jepa(second, [Run(3)], config, folder=tmp_path)
    assert "\n" not in str(caught.value)
    assert train_jepa(first, [Run(3)], config, folder=tmp_path).table.equals(once)


def test_a_log_in_another_order_is_other_data(data, tmp_path):
    """Minibatches are drawn by position, so the counts alone do not fix the result."""
    train_jepa(data, RUNS, CONFIG, folder=tmp_path)
    with pytest.raises(InputError, match=r"data\.0: "):
        train_jepa(data.select(np.arange(len(data))[::-1]), RUNS, CONFIG, folder=tmp_path)


def test_another_precision_is_refused(data, tmp_path):
    train_jepa(data, RUNS, CONFIG, folder=tmp_path)
    with pytest.raises(InputError, match=r"dtype: float64 -> float32"):
        train_jepa(data, RUNS, CONFIG, folder=tmp_path, dtype=torch.float32)


def test_a_data_set_that_no_run_uses_is_no_part_of_the_key(data, tmp_path):
    train_jepa(data, RUNS, CONFIG, folder=tmp_path)
    train_jepa([data, sj.sample_transitions(sj.make_block(12, 3, 2, seed=5), 9, seed=0)], RUNS, CONFIG, folder=tmp_path)


def test_a_changed_configuration_is_shown_field_by_field(data, tmp_path):
    train_jepa(data, RUNS, CONFIG, folder=tmp_path)
    changed = [RUNS[0], Run(4, 1, 0.25)]
    with pytest.raises(InputError, match=r"jepa.n_slices: 8 -> 16; runs.1.strength: 1.0 -> 0.25") as caught:
        train_jepa(data, changed, JepaConfig(**{**CONFIG.to_dict(), "n_slices": 16}), folder=tmp_path)
    assert "\n" not in str(caught.value)
