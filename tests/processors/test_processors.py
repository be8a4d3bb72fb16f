"""The settings cover what they promise, and no test file is left out without a word."""

import itertools
import os
from pathlib import Path

import pytest
import settings
import torch

ROOT = Path(__file__).resolve().parents[2]


def test_every_two_switches_meet_in_all_ways():
    for one, two in itertools.combinations(range(len(settings.VALUES)), 2):
        met = {(setting[one], setting[two]) for setting in settings.SETTINGS}
        assert met == set(itertools.product(settings.VALUES[one], settings.VALUES[two]))
    # One fewer would leave a pair out: none is there for nothing.
    assert len(set(settings.SETTINGS)) == 5


def test_a_setting_is_told_in_the_words_of_a_shell():
    assert str(settings.SETTINGS[1]) == (
        "ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=SkylakeX "
        "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
    )


def test_every_test_file_is_numeric_or_said_to_be_something_else():
    found = {}
    for place in settings.NUMERIC + settings.OTHER:
        paths = [inner for path in ROOT.glob(place) for inner in ([path] if path.is_file() else path.rglob("*.py"))]
        assert paths, f"{place} does not exist"
        for path in paths:
            found.setdefault(path, []).append(place)
    for path in (ROOT / "tests").rglob("test_*.py"):
        places = found.get(path, [])
        assert len(places) == 1, f"{path} is in {places}, expected one of NUMERIC and OTHER in tests/processors/settings.py"


@pytest.mark.skipif("OMP_NUM_THREADS" not in os.environ, reason="nobody asked for a number of threads")
def test_no_library_takes_more_threads_than_were_asked_for():
    pytest.importorskip("quantecon")  # which did: 97 s for a training of 2.5 s
    pytest.importorskip("deeptime")
    assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])
