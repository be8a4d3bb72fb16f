"""The settings cover what they promise, and no test file is left out without a word."""

import itertools
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import settings

    return settings


def test_every_two_switches_meet_in_all_ways(settings):
    for one, two in itertools.combinations(range(len(settings.VALUES)), 2):
        met = {(setting[one], setting[two]) for setting in settings.SETTINGS}
        assert met == set(itertools.product(settings.VALUES[one], settings.VALUES[two]))
    # One fewer would leave a pair out: none is there for nothing.
    assert len(set(settings.SETTINGS)) == 5


def test_a_setting_is_told_in_the_words_of_a_shell(settings):
    assert str(settings.SETTINGS[1]) == (
        "ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=SkylakeX "
        "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
    )


def test_every_test_file_is_numeric_or_said_to_be_something_else(settings):
    for path in (ROOT / "tests").rglob("test_*.py"):
        name = path.relative_to(ROOT)
        places = [place for place in settings.NUMERIC + settings.OTHER if name == Path(place) or Path(place) in name.parents]
        assert len(places) == 1, f"{name} is in {places}, expected one of NUMERIC and OTHER in tests/processors/settings.py"
    assert [place for place in settings.NUMERIC + settings.OTHER if not (ROOT / place).exists()] == []
