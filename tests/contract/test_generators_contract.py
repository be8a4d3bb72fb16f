"""What every make_* promises; a generator added to the package is found here by inspection."""

import inspect

import numpy as np
import pytest

from spectral_jepa import generators
from spectral_jepa._validation import InputError
from spectral_jepa.mdp import TabularMDP

MAKERS = {name: f for name, f in inspect.getmembers(generators, inspect.isfunction) if name.startswith("make_")}
SEEDED = sorted(name for name, f in MAKERS.items() if "seed" in inspect.signature(f).parameters)
WITH_SPARSE = sorted(name for name, f in MAKERS.items() if "sparse" in inspect.signature(f).parameters)

WRONG = {
    "make_autoregressive": [{"n_states": 1}, {"n_states": 2000}, {"correlation": 1.1}, {"correlation": []}],
    "make_block": [
        {"n_blocks": 61},
        {"n_states": 0},
        {"noise": 1.5},
        {"concentration": 0.0},
        {"n_rewarded": 61},
        {"seed": None},
    ],
    "make_dirichlet": [
        {"n_actions": 0},
        {"n_states": 2.5},
        {"concentration": float("nan")},
        {"seed": -1},
        {"discount": 1.2},
    ],
    "make_four_rooms": [{"size": 10}, {"size": 1}, {"slip": -0.1}],
    "make_garnet": [{"branching": 0}, {"branching": 61}, {"n_states": 10**6}, {"seed": "0"}, {"n_actions": True}],
    "make_grid": [{"text": ""}, {"text": "..\n."}, {"text": "..\n.x"}, {"text": "###"}, {"slip": 2}],
    "make_low_rank": [{"rank": 61}, {"rank": 0}, {"noise": -0.1}, {"concentration": -1.0}],
    "make_permutation": [
        {"n_states": 0},
        {"permutations": [(0, 0, 1)]},
        {"permutations": [0, 1]},
        {"permutations": [(0.0, 1.0)]},
    ],
    "make_reset": [{"n_states": 0}, {"noise": 1.1}],
    "make_ring": [{"n_states": 0}, {"slip": 1.1}, {"kernel": [0.5, 0.5]}, {"n_states": 2, "kernel": [0.6, 0.6]}],
    "make_scatter": [{"n_states": 1}, {"n_states": 10**5}, {"reach": 1.1}, {"reach": float("nan")}],
    "make_torus": [{"side": 0}, {"n_actions": 3}, {"slip": float("nan")}, {"kernel": np.ones(36) / 36}],
    "make_two_state": [{"p": 1.2}, {"q": [-0.1]}, {"p": [0.1, 0.2], "q": [0.1, 0.2, 0.3]}, {"weight": [0.5, 0.6]}],
}


def same(one: TabularMDP, two: TabularMDP) -> bool:
    rewards = [m.reward if m.reward is not None else np.zeros(0) for m in (one, two)]
    return bool(
        np.array_equal(one.dense(), two.dense())
        and np.array_equal(one.weight, two.weight)
        and np.array_equal(one.start, two.start)
        and np.array_equal(*rewards)
    )


def test_inspection_finds_the_families():
    assert len(MAKERS) >= 12
    assert set(SEEDED) >= {"make_block", "make_low_rank", "make_garnet", "make_dirichlet", "make_permutation"}
    assert set(MAKERS) == set(WRONG), "give a new generator its wrong inputs in WRONG"
    assert set(MAKERS) <= set(generators.__all__)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_same_call_gives_the_same_valid_mdp(name):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    mdp = MAKERS[name]()
    assert same(mdp, MAKERS[name]())
    assert np.array_equal(before, np.random.get_state()[1]), "global random state was touched"  # noqa: NPY002
    transition = mdp.dense()
    assert transition.shape == (mdp.n_actions, mdp.n_states, mdp.n_states)
    assert np.isfinite(transition).all() and (transition >= 0).all()
    np.testing.assert_allclose(transition.sum(axis=2), 1, rtol=0, atol=1e-12)
    for law in (mdp.weight, mdp.start):
        assert (law >= 0).all()
        assert law.sum() == pytest.approx(1, abs=1e-12)
    if name != "make_autoregressive":
        np.testing.assert_array_equal(mdp.weight, np.full(mdp.n_states, 1 / mdp.n_states))
    if mdp.reward is not None:
        assert np.isfinite(mdp.reward).all() and mdp.reward.max() > 0
        assert mdp.discount is not None


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_sparse_and_dense_agree(name):
    mdp = MAKERS[name]()
    sparse = mdp.as_sparse()
    np.testing.assert_array_equal(sparse.dense(), mdp.dense())
    np.testing.assert_allclose(sparse.next_weight, np.einsum("x,axy->ay", mdp.weight, mdp.dense()), atol=1e-15)


@pytest.mark.parametrize("name", WITH_SPARSE)
def test_sparse_option_builds_the_same_instance(name):
    sparse = MAKERS[name](sparse=True)
    assert sparse.is_sparse and not MAKERS[name](sparse=False).is_sparse
    assert same(sparse, MAKERS[name](sparse=False))


@pytest.mark.parametrize("name", SEEDED)
def test_seeds_matter_and_generators_are_accepted(name):
    make = MAKERS[name]
    assert not np.array_equal(make(seed=0).dense(), make(seed=1).dense())
    assert same(make(seed=3), make(seed=np.random.default_rng(3)))
    rng = np.random.default_rng(3)
    first = make(seed=rng)
    assert not same(first, make(seed=rng)), "a generator goes on from where it was"


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_discount_is_passed_on(name):
    assert MAKERS[name](discount=0.37).discount == 0.37
    assert MAKERS[name](discount=None).discount is None


@pytest.mark.parametrize("name, wrong", [(name, wrong) for name in sorted(WRONG) for wrong in WRONG[name]])
def test_wrong_input_is_refused_in_one_sentence(name, wrong):
    with pytest.raises(InputError) as caught:
        MAKERS[name](**wrong)
    message = str(caught.value)
    assert "\n" not in message and ". " not in message
    assert "expected" in message or "GiB" in message
    assert ": " in message, "the message should end in what to do"
