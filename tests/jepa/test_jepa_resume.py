import numpy as np
import pytest

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


def test_a_changed_configuration_is_shown_field_by_field(data, tmp_path):
    train_jepa(data, RUNS, CONFIG, folder=tmp_path)
    changed = [RUNS[0], Run(4, 1, 0.25)]
    with pytest.raises(InputError, match=r"jepa.n_slices: 8 -> 16; runs.1.strength: 1.0 -> 0.25") as caught:
        train_jepa(data, changed, JepaConfig(**{**CONFIG.to_dict(), "n_slices": 16}), folder=tmp_path)
    assert "\n" not in str(caught.value)
