import numpy as np
import psutil
import pytest
import scipy.sparse as sp

from spectral_jepa import TabularMDP

GOOD = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [1.0, 0.0]]])


def changed(index, value):
    transition = GOOD.copy()
    transition[index] = value
    return transition


# --- values ---------------------------------------------------------------------------------------------------------------


def test_defaults():
    mdp = TabularMDP(GOOD)
    assert (mdp.n_states, mdp.n_actions) == (2, 2)
    assert mdp.weight.tolist() == [0.5, 0.5] and mdp.start.tolist() == [0.5, 0.5]
    assert mdp.action_frequency.tolist() == [0.5, 0.5]
    assert mdp.reward is None and mdp.discount is None and not mdp.is_sparse


def test_start_defaults_to_the_data_law():
    mdp = TabularMDP(GOOD, weight=[0.3, 0.7])
    assert mdp.start.tolist() == [0.3, 0.7]
    assert TabularMDP(GOOD, weight=[0.3, 0.7], start=[1.0, 0.0]).start.tolist() == [1, 0]


@pytest.mark.parametrize("sparse", [False, True])
def test_next_weight_by_hand(sparse):
    mdp = TabularMDP(GOOD, weight=[0.25, 0.75])
    mdp = mdp.as_sparse() if sparse else mdp
    assert mdp.is_sparse == sparse
    assert np.abs(mdp.next_weight - [[0.375, 0.625], [0.875, 0.125]]).max() < 1e-15


def test_pooled_weight_by_hand():
    mdp = TabularMDP(GOOD, weight=[0.25, 0.75], action_frequency=[0.2, 0.8])
    assert np.abs(mdp.pooled_weight - [[0.05, 0.15], [0.2, 0.6]]).max() < 1e-15


@pytest.mark.parametrize("sparse", [False, True])
def test_deterministic(sparse):
    for transition, expected in ((np.eye(3)[None], True), (GOOD, False)):
        mdp = TabularMDP(transition)
        assert (mdp.as_sparse() if sparse else mdp).is_deterministic == expected


def test_sparse_and_back():
    mdp = TabularMDP([sp.csr_matrix(m) for m in GOOD], weight=[0.3, 0.7], discount=0.5, reward=[1, 2])
    assert mdp.is_sparse and isinstance(mdp.transition[0], sp.csr_array)
    assert np.array_equal(mdp.dense(), GOOD)
    again = TabularMDP(GOOD, weight=[0.3, 0.7], discount=0.5, reward=[1, 2]).as_sparse()
    assert np.array_equal(again.dense(), GOOD) and again.discount == 0.5 and again.reward.tolist() == [[1, 1], [2, 2]]


def test_state_rewards_hold_for_every_action():
    assert TabularMDP(GOOD, reward=[3, -1]).reward.tolist() == [[3, 3], [-1, -1]]
    assert TabularMDP(GOOD, reward=[[3, 4], [-1, 0]]).reward.tolist() == [[3, 4], [-1, 0]]


def test_unit_reward_is_affine():
    mdp = TabularMDP(GOOD, reward=[[-3, 1], [0, 5]]).with_unit_reward()
    assert mdp.reward.tolist() == [[0, 0.5], [0.375, 1]]
    assert TabularMDP(GOOD, reward=[2, 2]).with_unit_reward().reward.tolist() == [[0, 0], [0, 0]]


def test_rows_may_be_off_by_rounding():
    transition = changed((0, 0), [0.9 + 5e-9, 0.1])
    assert TabularMDP(transition).transition[0, 0, 0] == 0.9 + 5e-9


@pytest.mark.parametrize("sparse", [False, True])
def test_rows_off_by_a_few_digits_are_divided_by_their_sums(sparse):
    transition = changed((0, 0), [0.3333333, 0.6666666])
    with pytest.warns(UserWarning, match=r"1 rows of the transition of mdp sum to 1 only within 1\.0e-07"):
        mdp = TabularMDP([sp.csr_array(m) for m in transition] if sparse else transition)
    assert mdp.dense()[0, 0] == pytest.approx([1 / 3, 2 / 3], abs=1e-7) and abs(mdp.dense()[0, 0].sum() - 1) < 1e-15
    assert np.array_equal(mdp.dense()[1], GOOD[1])


def test_a_chain_has_one_action():
    for chain in (GOOD[0], sp.csr_array(GOOD[0]), GOOD[0].tolist()):
        mdp = TabularMDP(chain)
        assert mdp.n_actions == 1 and np.array_equal(mdp.dense()[0], GOOD[0])


def test_rewards_of_every_form():
    by_pair = np.array([[3.0, 4.0], [-1.0, 0.0]])
    by_step = np.arange(8.0).reshape(2, 2, 2)  # (S, A, S)
    expected = [[sum(GOOD[a, x, y] * by_step[x, a, y] for y in range(2)) for a in range(2)] for x in range(2)]
    for transition in (GOOD, [sp.csr_array(m) for m in GOOD]):
        assert np.array_equal(TabularMDP(transition, reward=sp.csr_array(by_pair)).reward, by_pair)
        assert TabularMDP(transition, reward=by_step).reward == pytest.approx(np.array(expected))
        by_action = [sp.csr_array(by_step[:, a]) for a in range(2)]
        assert TabularMDP(transition, reward=by_action).reward == pytest.approx(np.array(expected))


def test_rewards_and_labels_of_no_form(refused):
    with refused("reward holds text"):
        TabularMDP(GOOD, reward=["a", "b"])
    with refused("reward is a list of 1 matrices", "expected 2 sparse ones"):
        TabularMDP(GOOD, reward=[sp.csr_array(np.eye(2))])
    with refused("reward[0, 1, 0] is inf"):
        TabularMDP(GOOD, reward=np.array([[[0, 0], [np.inf, 0]], [[0, 0], [0, 0]]]))
    with refused("state_labels holds a label of type list", "make it a tuple"):
        TabularMDP(GOOD, state_labels=[[0, 1], [1, 1]])


# --- frozen ---------------------------------------------------------------------------------------------------------------


def test_arrays_are_read_only():
    mdp = TabularMDP(GOOD, reward=[0.0, 1.0])
    for name in ("transition", "weight", "start", "action_frequency", "reward"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(mdp, name)[0] = 0
    with pytest.raises(AttributeError):
        mdp.weight = np.ones(2)


@pytest.mark.parametrize("name, value", [("weight", [0.5, 0.5]), ("start", [0.5, 0.5]), ("action_frequency", [0.5, 0.5])])
def test_what_was_checked_cannot_be_changed_from_outside(name, value):
    transition, reward, law = GOOD.copy(), np.zeros((2, 2)), np.array(value)
    mdp = TabularMDP(transition, reward=reward, **{name: law})
    transition[0, 0], reward[:], law[:] = 7, 7, 7
    assert np.array_equal(mdp.transition, GOOD)
    assert mdp.reward.max() == 0 and getattr(mdp, name).tolist() == value


def test_a_sparse_matrix_cannot_be_changed_from_outside():
    matrix = sp.csr_array(GOOD[0])
    mdp = TabularMDP([matrix])
    matrix.data[:] = 7
    assert np.array_equal(mdp.dense()[0], GOOD[0])


def test_the_callers_arrays_stay_writable():
    transition = GOOD.copy()
    TabularMDP(transition)
    assert transition.flags.writeable


# --- refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    "index, value, fragments",
    [
        ((1, 0), [0.5, 0.4], ["[action 1, state 0]", "sums to 0.9", "expected 1", "1 of 2 rows", "divide each row"]),
        ((0, 1), [0.2, 0.8 + 2e-6], ["[action 0, state 1]", "1.000002"]),
        ((1, 1), [1.5, -0.5], ["action 1, state 1, next state 1", "-0.5", ">= 0"]),
        ((0, 0), [np.nan, 0.1], ["action 0, state 0, next state 0", "nan"]),
        ((0, 0), [0.9, np.inf], ["action 0, state 0, next state 1", "inf"]),
    ],
)
def test_bad_rows_are_named(refused, index, value, fragments, sparse):
    transition = changed(index, value)
    with refused(*fragments):
        TabularMDP([sp.csr_array(m) for m in transition] if sparse else transition)


@pytest.mark.parametrize(
    "transition, fragments",
    [
        (np.ones((2, 3)) / 3, ["(2, 3)", "(actions, states, states)"]),
        (np.ones((2, 2, 3)) / 3, ["(2, 2, 3)"]),
        (np.zeros((0, 2, 2)), ["(0, 2, 2)"]),
        ([], ["(0,)"]),
        ([sp.csr_array(np.eye(2)), sp.csr_array(np.eye(3))], ["(2, 2)", "(3, 3)", "one square shape"]),
        ([sp.csr_array(np.ones((2, 3)) / 3)], ["(2, 3)", "one square shape"]),
        ([np.eye(2), np.eye(3)], ["ragged", "one square matrix"]),
        ([np.eye(2), sp.csr_array(np.eye(2))], ["mixes dense with sparse"]),
        ([[["a", "b"], ["c", "d"]]], ["holds text"]),
    ],
)
def test_bad_shapes(refused, transition, fragments):
    with refused(*fragments):
        TabularMDP(transition)


@pytest.mark.parametrize("name", ["weight", "start", "action_frequency"])
@pytest.mark.parametrize(
    "value, fragments",
    [
        ([0.5, 0.6], ["sums to 1.1", "expected 1", "divide it by its sum"]),
        ([1.5, -0.5], ["[1] is -0.5", ">= 0"]),
        ([0.5, np.nan], ["[1] is nan", "finite"]),
        ([1.0], ["shape (1,)", "(2)"]),
        ([[0.5, 0.5]], ["shape (1, 2)"]),
    ],
)
def test_bad_laws_are_named(refused, name, value, fragments):
    with refused(name, *fragments):
        TabularMDP(GOOD, **{name: value})


@pytest.mark.parametrize(
    "options, fragments",
    [
        ({"reward": [1, 2, 3]}, ["reward", "(3, 2)", "(2, 2)"]),
        ({"reward": [1, np.inf]}, ["reward[1, 0]", "inf"]),
        ({"discount": 1.1}, ["discount is 1.1", "between 0 and 1"]),
        ({"discount": -0.1}, ["discount is -0.1"]),
        ({"discount": float("nan")}, ["discount is nan"]),
        ({"state_labels": ("a",)}, ["state_labels has 1 entries", "expected 2"]),
        ({"action_labels": ("a", "b", "c")}, ["action_labels has 3 entries", "expected 2"]),
    ],
)
def test_bad_options(refused, options, fragments):
    with refused(*fragments):
        TabularMDP(GOOD, **options)


def test_unit_reward_needs_a_reward(refused):
    with refused("no reward", "reward="):
        TabularMDP(GOOD, name="maze").with_unit_reward()


def test_a_dense_array_that_would_not_fit_says_how_large_it_is(refused):
    n = 200_000
    mdp = TabularMDP([sp.eye_array(n, format="csr")])
    assert 8 * n * n > psutil.virtual_memory().available
    with refused("200000 x 200000", "596.0 GiB", "are free", "keep it sparse"):
        mdp.dense()
