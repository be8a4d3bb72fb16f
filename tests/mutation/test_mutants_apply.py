from pathlib import Path

import pytest
from mutants import DETERMINISTIC, MUTANTS, Mutant
from run import judge

ROOT = Path(__file__).resolve().parents[2]


def test_names_tell_them_apart_and_there_are_enough():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 40
    assert len({(mutant.file, mutant.before, mutant.after) for mutant in MUTANTS}) == len(MUTANTS)
    assert f"plants {len(MUTANTS)} wrong versions" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_applies(mutant):
    source = (ROOT / "spectral_jepa" / mutant.file).read_text()
    assert source.count(mutant.before) == 1
    assert mutant.before != mutant.after
    compile(source.replace(mutant.before, mutant.after), mutant.file, "exec")
    for test in mutant.tests:
        assert (ROOT / "tests" / test).is_file(), test
    assert mutant.why and mutant.tests


@pytest.mark.parametrize(
    "before, after, outcome",
    [
        ('"""Numerics without MDP words', '"""Numbers without MDP words', "SURVIVED"),
        ("import scipy.linalg\n", "import scipy.no_such_module\n", "broken"),
        ("np.sum(values[..., dim:] ** 2", "np.sum(values[..., dim:] ** 3", "killed"),
    ],
)
def test_the_runner_tells_killed_from_survived_and_broken(before, after, outcome):
    verdict = judge(Mutant("any", "linalg.py", before, after, "", (DETERMINISTIC, "unit/test_linalg.py")))
    assert verdict.outcome == outcome
    assert outcome != "killed" or verdict.by == "test_linalg.py::test_tail_energy"
