"""What a user may rely on: the names, their examples, and that importing the package is light."""

import doctest
import inspect
import subprocess
import sys

import numpy as np
import pytest

import spectral_jepa as sj
from spectral_jepa import factorizers

PROMISED = [
    "TabularMDP",
    "make_block",
    "make_low_rank",
    "make_garnet",
    "make_ring",
    "make_torus",
    "make_four_rooms",
    "make_reset",
    "make_permutation",
    "make_two_state",
    "with_nuisance",
    "sample_transitions",
    "Transitions",
    "CoOccurrence",
    "spectral_embedding",
    "Embedding",
    "spectral_risk",
    "tail",
    "goal_regret",
    "reward_regret",
    "Bound",
    "run_sweep",
]
# Raised, or handed out by functions whose own examples show them.
WITHOUT_EXAMPLE = {"Advice", "Analysis", "Assumption", "GoalPlan", "InputError", "RewardPlan"}
PUBLIC = {name: getattr(sj, name) for name in sj.__all__} | {
    f"factorizers.{name}": getattr(factorizers, name) for name in factorizers.__all__
}


@pytest.mark.parametrize("name", PROMISED)
def test_promised_names_are_public(name):
    assert name in sj.__all__ and getattr(sj, name) is not None


def test_names_are_listed_once_and_exist():
    assert len(sj.__all__) == len(set(sj.__all__))
    assert all(hasattr(sj, name) for name in sj.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_object_explains_itself_and_shows_an_example(name):
    public = PUBLIC[name]
    text = inspect.getdoc(public) or ""
    assert text.partition("\n")[0].endswith((".", ":")), f"{name}: the first line is not a sentence: {text[:80]!r}"
    if name not in WITHOUT_EXAMPLE:
        runs = [example for found in doctest.DocTestFinder(recurse=False).find(public, name) for example in found.examples]
        assert any(example.want for example in runs), f"{name} has no example with a checked result"


def test_cooccurrence_has_the_promised_shapes():
    mdp = sj.make_garnet(n_states=7, n_actions=3, branching=2, seed=0)
    data = sj.sample_transitions(mdp, n_per_action=500, seed=1)
    assert isinstance(data, sj.Transitions) and len(data) == 1500
    for matrices in (sj.CoOccurrence.exact(mdp), sj.CoOccurrence.from_transitions(data)):
        assert matrices.normalized.shape == (3, 7, 7)
        assert matrices.stacked.shape == (3 * 7, 7)
        joint = np.asarray(matrices.joint)
        by_hand = joint / np.sqrt(joint.sum(2, keepdims=True) * joint.sum(1, keepdims=True).clip(1e-300))
        assert np.allclose(matrices.normalized, by_hand, atol=1e-12)


def test_embedding_and_risks_have_the_promised_shapes():
    mdp = sj.make_garnet(n_states=7, n_actions=3, branching=2, seed=0)
    exact = sj.CoOccurrence.exact(mdp)
    own, shared = sj.spectral_embedding(exact, 2), sj.spectral_embedding(exact, 2, shared=True)
    assert (own.target.shape, own.predicted.shape) == ((3, 7, 2), (3, 7, 2))
    assert (shared.target.shape, shared.predicted.shape) == ((7, 2), (3, 7, 2))
    assert sj.spectral_risk(exact, own).shape == sj.tail(exact, 2).shape == (3,)
    assert isinstance(sj.goal_regret(mdp, own), float) and isinstance(sj.reward_regret(mdp, own), float)


def test_importing_the_package_is_light():
    # A second of the first import was scipy.stats, for one binomial; the others are as slow or not everywhere.
    heavy = ["torch", "matplotlib", "seaborn", "gymnasium", "sklearn", "distributed", "tyro", "pandas", "pyarrow", "joblib"]
    heavy += ["scipy.stats", "scipy.optimize", "scipy.spatial", "scipy.interpolate", "asyncio", "multiprocessing", "tqdm"]
    script = f"import sys, spectral_jepa; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert sj.__version__ == version("spectral-jepa")
