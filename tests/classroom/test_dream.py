"""Lesson 6 with an untrained model: films, changes, surprise and the packed file; the trained one is judged by its eyes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from spectral_jepa.classroom import dream as lesson  # noqa: E402
from spectral_jepa.pixels.data import ActionScaler  # noqa: E402
from spectral_jepa.pixels.diagnostics.decoder import Decoder  # noqa: E402
from spectral_jepa.pixels.model.saved import make_model  # noqa: E402
from spectral_jepa.pixels.presets import preset  # noqa: E402


@pytest.fixture(scope="module")
def untrained():
    config = preset("tiny")
    decoder = Decoder(config.model.embedding_dim, 32, width=8, depth=1)
    return lesson.Dream(make_model(config).eval(), decoder.eval(), ActionScaler((0.0, 0.0), (0.5, 0.5)), config, "untrained")


@pytest.fixture(scope="module")
def films(untrained):
    return {change: lesson.dream(untrained, [50, 180], [60, 60], change) for change in lesson.CHANGES}


@pytest.mark.parametrize("change", ["teleport", "recolour"])
def test_nothing_differs_before_the_change_and_the_imagination_never_learns_of_it(films, change):
    same = (films[change].true == films["nothing"].true).all(axis=(1, 2, 3))
    assert same[: lesson.BROKEN_AT].all() and not same[lesson.BROKEN_AT]
    assert np.array_equal(films[change].imagined, films["nothing"].imagined)
    before = lesson.BROKEN_AT - 1  # the first changed frame is what step 5 predicts
    np.testing.assert_allclose(films[change].surprise[:before], films[change].expected[:before], rtol=1e-5)
    assert films[change].surprise[before] != pytest.approx(films[change].expected[before], rel=1e-3)


def test_without_a_change_the_surprise_is_the_expected_one(films):
    np.testing.assert_allclose(films["nothing"].surprise, films["nothing"].expected, rtol=1e-5)
    assert np.array_equal(films["nothing"].expected, films["teleport"].expected)


def test_a_teleport_is_to_the_mirror_image(films):
    places = films["nothing"].states[lesson.BROKEN_AT], films["teleport"].states[lesson.BROKEN_AT]
    assert np.linalg.norm(places[0] - places[1]) > 50
    assert (places[0][0] - 112) * (places[1][0] - 112) < 0  # the other room


def test_a_packed_dream_is_the_same_in_half_precision(untrained, tmp_path):
    path = lesson._write(untrained, tmp_path / "dream.safetensors")
    read = lesson.load_dream(path)
    assert read.origin == "untrained" and read.config == untrained.config and read.scaler == untrained.scaler
    for name, value in untrained.model.state_dict().items():
        expected = value.half().to(value.dtype) if value.is_floating_point() else value
        assert torch.equal(read.model.state_dict()[name], expected), name
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="expected what make_data"):
        lesson.load_dream(path)
