import numpy as np
import pytest

from spectral_jepa import TabularMDP, Transitions, sample_transitions

STATE, ACTION, NEXT = [0, 1, 1, 2, 1], [0, 1, 1, 0, 1], [1, 0, 0, 2, 2]


def log(**options):
    return Transitions(STATE, ACTION, NEXT, **options)


def test_sizes_default_to_the_largest_id():
    data = log()
    assert (len(data), data.n_states, data.n_actions) == (5, 3, 2)
    assert (log(n_states=7, n_actions=4).n_states, log(n_states=7, n_actions=4).n_actions) == (7, 4)
    assert Transitions([0], [0], [5]).n_states == 6


def test_counts_by_loop():
    data = log(n_states=4, n_actions=3)
    expected = np.zeros((3, 4, 4), dtype=int)
    for x, a, y in zip(STATE, ACTION, NEXT, strict=True):
        expected[a, x, y] += 1
    assert np.array_equal(data.counts(), expected)
    assert np.array_equal(np.stack([m.toarray() for m in data.sparse_counts()]), expected)
    assert data.sparse_counts()[1].nnz == 2  # duplicates are summed
    assert data.actions_seen.tolist() == [2, 3, 0]


def test_columns_are_read_only_and_detached():
    state = np.array(STATE)
    data = Transitions(state, ACTION, NEXT, reward=np.zeros(5))
    state[:] = 0
    assert data.state.tolist() == STATE
    for name in ("state", "action", "next_state", "reward"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(data, name)[0] = 1


def test_select_by_ids_and_mask():
    data = log(reward=[1, 2, 3, 4, 5], state_labels=("a", "b", "c"))
    for rows in (np.array([1, 4]), np.array([False, True, False, False, True])):
        part = data.select(rows)
        assert part.state.tolist() == [1, 1] and part.next_state.tolist() == [0, 2] and part.reward.tolist() == [2, 5]
        assert (part.n_states, part.n_actions, part.state_labels) == (3, 2, ("a", "b", "c"))


def test_split_is_a_partition_that_depends_on_the_seed_only():
    data = Transitions(np.arange(50), np.zeros(50, int), np.arange(50)[::-1])
    train, test = data.split(0.3, seed=4)
    assert (len(train), len(test)) == (35, 15)
    assert sorted([*train.state, *test.state]) == list(range(50))
    assert np.array_equal(train.next_state, 49 - train.state)
    assert np.array_equal(data.split(0.3, seed=4)[1].state, test.state)
    assert not np.array_equal(data.split(0.3, seed=5)[1].state, test.state)
    assert test.state.tolist() != list(range(15)) and test.state.tolist() != list(range(35, 50))


# --- sampling (frequencies: tests/parity/test_sampling_frequencies.py) ----------------------------------------------------

MDP = TabularMDP(
    [[[0.5, 0.5], [0.2, 0.8]], [[0.0, 1.0], [1.0, 0.0]]], reward=[[0.0, 1.0], [2.0, 3.0]], action_labels=("stay", "go")
)


def test_sampling_repeats_with_the_seed():
    one, two, three = (sample_transitions(MDP, 50, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.next_state, two.next_state) and np.array_equal(one.state, two.state)
    assert not np.array_equal(one.next_state, three.next_state)
    assert np.array_equal(sample_transitions(MDP, 50, seed=np.random.default_rng(1)).state, one.state)


def test_sampling_leaves_global_random_state_alone():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    sample_transitions(MDP, 10, seed=0)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_sampling_keeps_spaces_labels_and_rewards():
    data = sample_transitions(MDP, n_transitions=40, seed=0)
    assert (len(data), data.n_states, data.n_actions, data.action_labels) == (40, 2, 2, ("stay", "go"))
    assert data.reward.tolist() == [2 * x + a for x, a in zip(data.state, data.action, strict=True)]
    assert sample_transitions(TabularMDP([np.eye(2)]), 3, seed=0).reward is None


def test_sparse_worlds_give_the_same_draws():
    assert np.array_equal(
        sample_transitions(MDP, 500, seed=0).next_state, sample_transitions(MDP.as_sparse(), 500, seed=0).next_state
    )


# --- refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns, options, fragments",
    [
        (([], [], []), {}, ["empty", "at least one row"]),
        (([0, 1], [0], [1, 0]), {}, ["'action': 1", "one length"]),
        (([0, 3], [0, 0], [1, 0]), {"n_states": 3}, ["state[1] is 3", "between 0 and 2"]),
        (([0, 1], [0, 0], [1, -2]), {}, ["next_state[1] is -2"]),
        (([-1], [0], [-1]), {}, ["state[0] is -1"]),
        (([0], [2], [0]), {"n_actions": 2}, ["action[0] is 2", "action between 0 and 1"]),
        (([0.0, 1.0], [0, 0], [1, 0]), {}, ["state holds float64", "whole-number ids"]),
        ((["a", "b"], [0, 0], ["b", "a"]), {}, ["state holds <U1", "number the labels"]),
        (([0], ["go"], [0]), {}, ["action holds <U2"]),
        (([[0, 1]], [[0, 0]], [[1, 0]]), {}, ["state has shape (1, 2)", "(N,)"]),
        (([0], [0], [0]), {"n_states": -3}, ["n_states is -3", "at least 1"]),
        (([0], [0], [0]), {"reward": [1, 2]}, ["reward", "(2,)", "(1)"]),
        (([0], [0], [0]), {"reward": [np.nan]}, ["reward[0] is nan"]),
    ],
)
def test_bad_logs(refused, columns, options, fragments):
    with refused(*fragments):
        Transitions(*columns, **options)


@pytest.mark.parametrize("fraction", [0.0, 0.04, 1.0, 1.5, -0.2])
def test_split_must_leave_both_sides_something(refused, fraction):
    with refused("test_fraction", "5 transitions", "one side empty"):
        log().split(fraction, seed=0)


@pytest.mark.parametrize(
    "arguments, fragments",
    [
        ({}, ["exactly one"]),
        ({"n_per_action": 3, "n_transitions": 3}, ["exactly one"]),
        ({"n_per_action": 0}, ["n_per_action is 0", "at least 1"]),
        ({"n_transitions": -1}, ["n_transitions is -1"]),
        ({"n_per_action": 2.5}, ["n_per_action is 2.5", "whole number"]),
    ],
)
def test_bad_sample_sizes(refused, arguments, fragments):
    with refused(*fragments):
        sample_transitions(MDP, **arguments, seed=0)


def test_hashes_are_no_ids(refused):
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**62, 50)
    with refused("the log has ids up to", "look like hashes", "np.unique with return_inverse"):
        Transitions(hashes, np.arange(50) % 3, hashes)
    large = Transitions(hashes // 2**15, np.zeros(50, int), hashes // 2**15)
    with refused("the transition counts", "sparse_counts"):
        large.counts()
    with refused("the row starts of the sparse counts", "number the states that occur"):
        large.sparse_counts()
