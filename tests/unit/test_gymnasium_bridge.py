import time
import tracemalloc
from dataclasses import replace
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
import scipy.sparse as sp

from spectral_jepa._validation import InputError
from spectral_jepa.gymnasium_bridge import mdp_from_gymnasium
from spectral_jepa.mdp import TabularMDP


def optimal_values(mdp, discount, n_sweeps):
    """Value iteration written out here, from zero."""
    value = np.zeros(mdp.n_states)
    for _ in range(n_sweeps):
        value = (mdp.reward + discount * np.einsum("axy,y->xa", mdp.dense(), value)).max(axis=1)
    return value


class Table:
    """The least an environment with a table can be."""

    def __init__(self, table, start=None, **more):
        self.P = table
        self.closed = False
        if start is not None:
            self.initial_state_distrib = np.asarray(start)
        for key, value in more.items():
            setattr(self, key, value)

    def close(self):
        self.closed = True


# --- FrozenLake ----------------------------------------------------------------------------------------------------------

MAPS = {
    "FrozenLake-v1": "SFFF FHFH FFFH HFFG",
    "FrozenLake8x8-v1": "SFFFFFFF FFFFFFFF FFFHFFFF FFFFFHFF FFFHFFFF FHHFFFHF FHFFHFHF FFFHFFFG",
}


def lake(text, slippery):
    """FrozenLake from its rules: left, down, right, up; a slip turns by a quarter either way; holes and goal end."""
    rows = text.split()
    n = len(rows)
    moves = [(0, -1), (1, 0), (0, 1), (-1, 0)]
    transition, reward = np.zeros((4, n * n, n * n)), np.zeros((n * n, 4))
    for r in range(n):
        for c in range(n):
            for a in range(4):
                if rows[r][c] in "HG":
                    transition[a, r * n + c, r * n + c] = 1
                    continue
                for turn in (-1, 0, 1) if slippery else (0,):
                    down, right = moves[(a + turn) % 4]
                    i, j = min(max(r + down, 0), n - 1), min(max(c + right, 0), n - 1)
                    share = 1 / 3 if slippery else 1
                    transition[a, r * n + c, i * n + j] += share
                    reward[r * n + c, a] += share * (rows[i][j] == "G")
    return transition, reward


@pytest.mark.parametrize("slippery", [True, False])
@pytest.mark.parametrize("env_id", sorted(MAPS))
def test_frozen_lake_follows_its_rules(env_id, slippery):
    env = gymnasium.make(env_id, is_slippery=slippery)
    mdp = mdp_from_gymnasium(env)
    transition, reward = lake(MAPS[env_id], slippery)
    assert reward.max() == pytest.approx(1 / 3 if slippery else 1)
    np.testing.assert_allclose(mdp.transition, transition, atol=1e-12)
    np.testing.assert_allclose(mdp.reward, reward, atol=1e-12)
    np.testing.assert_array_equal(mdp.start, np.eye(mdp.n_states)[0])
    np.testing.assert_allclose(mdp.weight, 1 / mdp.n_states)
    assert mdp.is_deterministic != slippery
    assert mdp.name == env_id
    assert mdp.discount == 0.99
    env.close()


@pytest.mark.parametrize("env_id, n_moves", [("FrozenLake-v1", 6), ("FrozenLake8x8-v1", 14)])
def test_frozen_lake_without_slip_takes_the_shortest_path(env_id, n_moves):
    env = gymnasium.make(env_id, is_slippery=False)
    value = optimal_values(mdp_from_gymnasium(env), 0.9, 100)
    env.close()
    assert value[0] == pytest.approx(0.9 ** (n_moves - 1), abs=1e-12)  # the reward comes with the last move


def test_frozen_lake_slippery_success_probability():
    # The best chance of reaching the goal on the 4x4 map is 14/17, a known value.
    assert optimal_values(mdp_from_gymnasium("FrozenLake-v1"), 1.0, 5000)[0] == pytest.approx(14 / 17, abs=1e-10)


# --- CliffWalking --------------------------------------------------------------------------------------------------------


def test_cliff_walking():
    mdp = mdp_from_gymnasium("CliffWalking-v1")
    assert (mdp.n_states, mdp.n_actions) == (48, 4)
    assert mdp.is_deterministic
    assert set(np.unique(mdp.reward)) == {-100.0, -1.0, 0.0}
    assert optimal_values(mdp, 1.0, 12)[36] == -12
    assert optimal_values(mdp, 1.0, 60)[36] == -13
    # Stepping from the start (36) to the right falls off the cliff: back to 36 at -100.
    assert mdp.transition[1, 36, 36] == 1
    assert mdp.reward[36, 1] == -100
    # The goal (47) absorbs for nothing.
    np.testing.assert_array_equal(mdp.transition[:, 47, 47], 1)
    np.testing.assert_array_equal(mdp.reward[47], 0)
    np.testing.assert_array_equal(mdp.start, np.eye(48)[36])


def test_cliff_walking_images():
    # 4 rows of 12; cells 37-46 are never entered, 47 absorbs. Up, right, down, left:
    # up: rows 0 and 1, row 2 without its last cell (only 47 would lead there), 47; right, left: 3 * 11, 36, 47;
    # down: rows 1 and 2, 36, 47.
    mdp = mdp_from_gymnasium("CliffWalking-v1")
    images = [np.unique(rows.argmax(axis=1)).size for rows in mdp.transition]
    assert images == [12 + 12 + 11 + 1, 35, 26, 35]


def test_cliff_walking_slippery_is_a_third_each():
    env = gymnasium.make("CliffWalking-v1", is_slippery=True)
    mdp = mdp_from_gymnasium(env)
    env.close()
    # From cell (1, 1) = 13 going up: up (1), left (12) or right (14).
    row = mdp.transition[0, 13]
    np.testing.assert_allclose(row[[1, 12, 14]], 1 / 3)
    assert row.sum() == pytest.approx(1)
    # From (2, 1) = 25 going right: up, right at -1 each, down into the cliff at -100.
    assert mdp.reward[25, 1] == pytest.approx(-102 / 3)


# --- Taxi ----------------------------------------------------------------------------------------------------------------

PLACES = [(0, 0), (0, 4), (4, 0), (4, 3)]
WALLS = {(0, 1), (1, 1), (3, 0), (4, 0), (3, 2), (4, 2)}  # no way from (row, column) to the cell on its right


def taxi_distances():
    edges = np.zeros((25, 25))
    for r in range(5):
        for c in range(5):
            if r < 4:
                edges[5 * r + c, 5 * (r + 1) + c] = 1
            if c < 4 and (r, c) not in WALLS:
                edges[5 * r + c, 5 * r + c + 1] = 1
    return sp.csgraph.shortest_path(sp.csr_array(edges), directed=False, unweighted=True)


@pytest.fixture(scope="module")
def taxi():
    return mdp_from_gymnasium("Taxi-v4")


def test_taxi_sizes_rewards_and_start(taxi):
    assert (taxi.n_states, taxi.n_actions) == (500, 6)
    assert taxi.is_deterministic
    ends = [(5 * r + c) * 20 + 4 * p + p for p, (r, c) in enumerate(PLACES)]
    absorbing = np.flatnonzero(
        (taxi.transition[:, np.arange(500), np.arange(500)] == 1).all(axis=0) & (taxi.reward == 0).all(axis=1)
    )
    assert sorted(absorbing) == sorted(ends)
    live = np.setdiff1d(np.arange(500), ends)
    assert set(np.unique(taxi.reward[live])) == {-10.0, -1.0, 20.0}
    assert (taxi.reward == 20).sum() == 4
    assert (taxi.start > 0).sum() == 300
    np.testing.assert_allclose(taxi.start[taxi.start > 0], 1 / 300)


def test_taxi_optimal_return_from_every_start(taxi):
    far = taxi_distances()
    value = optimal_values(taxi, 1.0, 60)
    checked = 0
    for state in np.flatnonzero(taxi.start):
        cell, passenger, destination = state // 20, state // 4 % 5, state % 4
        pick, drop = (5 * r + c for r, c in (PLACES[passenger], PLACES[destination]))
        assert value[state] == 20 - (far[cell, pick] + 1 + far[pick, drop])
        checked += 1
    assert checked == 300


def test_taxi_images(taxi):
    # South: 20 cells in rows 1-4 times 20 passenger-destination pairs; the two ends in row 0 stay (+2) and no longer lead
    # to the cell below them (-2). North likewise with row 4.
    assert [np.unique(taxi.transition[a].argmax(axis=1)).size for a in (0, 1)] == [400, 400]


def test_taxi_is_read_fast():
    env = gymnasium.make("Taxi-v4")
    begin = time.perf_counter()
    mdp_from_gymnasium(env)
    assert time.perf_counter() - begin < 1
    env.close()


def test_rainy_taxi_is_stochastic_and_fickle_taxi_is_refused():
    rainy = gymnasium.make("Taxi-v4", is_rainy=True)
    mdp = mdp_from_gymnasium(rainy)
    assert not mdp.is_deterministic
    np.testing.assert_allclose(mdp.transition.sum(axis=2), 1)
    rainy.close()
    fickle = gymnasium.make("Taxi-v4", fickle_passenger=True)
    with pytest.raises(InputError, match="fickle"):
        mdp_from_gymnasium(fickle)
    fickle.close()


# --- reading a table -----------------------------------------------------------------------------------------------------

CHAIN = {
    0: {0: [(0.5, 1, 2.0, False), (0.25, 2, 4.0, True), (0.25, 2, 8.0, True)], 1: [(1.0, 0, -1.0, False)]},
    1: {0: [(1.0, 2, 1.0, True)], 1: [(0.5, 0, 0.0, False), (0.5, 0, 6.0, False)]},
    2: {0: [(1.0, 0, 9.0, False)], 1: [(1.0, 1, 9.0, False)]},
}


@pytest.mark.parametrize("sparse", [False, True])
def test_outcomes_add_up_and_the_end_absorbs(sparse):
    mdp = mdp_from_gymnasium(Table(CHAIN, start=[1.0, 0, 0]), sparse=sparse)
    assert mdp.is_sparse == sparse
    np.testing.assert_array_equal(
        mdp.dense(), [[[0, 0.5, 0.5], [0, 0, 1], [0, 0, 1]], [[1, 0, 0], [1, 0, 0], [0, 0, 1]]]
    )  # fmt: skip
    np.testing.assert_array_equal(mdp.reward, [[4.0, -1.0], [1.0, 3.0], [0.0, 0.0]])
    assert mdp.name == "Table"


def test_lists_serve_as_tables_and_weight_and_discount_are_used():
    table = [[CHAIN[s][a] for a in range(2)] for s in range(3)]
    mdp = mdp_from_gymnasium(Table(table), weight=[0.5, 0.25, 0.25], discount=None)
    np.testing.assert_array_equal(mdp.weight, [0.5, 0.25, 0.25])
    np.testing.assert_array_equal(mdp.start, mdp.weight)
    assert mdp.discount is None
    with pytest.raises(InputError, match="weight"):
        mdp_from_gymnasium(Table(table), weight=[0.5, 0.5])


def test_tabular_mdp_from_gymnasium_is_the_same():
    one, two = TabularMDP.from_gymnasium("CliffWalking-v1"), mdp_from_gymnasium("CliffWalking-v1")
    np.testing.assert_array_equal(one.transition, two.transition)
    assert replace(one, discount=0.5).discount == 0.5


def test_state_with_two_roles_is_refused_when_an_episode_meets_it():
    table = {s: {a: list(outcomes) for a, outcomes in row.items()} for s, row in CHAIN.items()}
    table[1][1] = [(1.0, 2, 0.0, False)]  # enters 2 without ending
    with pytest.raises(InputError, match="state 2 of Table ends the episode on some transitions and not on others"):
        mdp_from_gymnasium(Table(table, start=[1.0, 0, 0]))
    with pytest.raises(InputError, match="state 2"):
        mdp_from_gymnasium(Table(table))  # no start law: any state may be met
    with pytest.raises(InputError, match="state 2"):
        mdp_from_gymnasium(Table(CHAIN, start=[0.5, 0, 0.5]))  # an episode goes on from 2


def test_state_with_two_roles_out_of_reach_is_accepted():
    table = {s: {a: list(outcomes) for a, outcomes in row.items()} for s, row in CHAIN.items()}
    table[3] = {0: [(1.0, 2, 0.0, False)], 1: [(1.0, 3, 0.0, False)]}  # enters 2 without ending, but nothing leads to 3
    mdp = mdp_from_gymnasium(Table(table, start=[1.0, 0, 0, 0]))
    assert mdp.transition[0, 2, 2] == 1
    # An outcome of probability 0 leads nowhere, so it neither reaches 3 nor ends anything.
    table[0][1] = [(1.0, 0, -1.0, False), (0.0, 3, 0.0, False), (0.0, 1, 0.0, True)]
    mdp = mdp_from_gymnasium(Table(table, start=[1.0, 0, 0, 0]))
    assert mdp.transition[1, 1, 0] == 1


@pytest.mark.parametrize(
    "table, words",
    [
        ({0: {0: [(1.0, 0, 0.0, False)]}, 2: {0: [(1.0, 0, 0.0, False)]}}, "not a table of states"),
        ({0: {0: [(1.0, 0, 0.0, False)]}, 1: {}}, "not a table of states"),
        ({0: {7: [(1.0, 0, 0.0, False)]}}, "not a table of states"),
        ({0: {0: [(1.0, 0.7, 0.0, False)]}}, "leads to state 0.7, expected a whole number"),
        ({0: {0: [(1.0, np.nan, 0.0, False)]}}, "leads to state nan, expected a whole number"),
        ({0: {0: [(1.0, "0", 0.0, False)]}}, "a next state that is no number"),
        ({0: {0: [(1.0, (0, 1), 0.0, False)]}}, "a next state that is no number"),
        ({0: {0: [(1.0, 0, 0.0, "False")]}}, "whether an episode ends"),
        ({0: {0: [(1.0, 0, 0.0)]}}, "four entries|complete them"),
        ({0: {0: [(1.0, 5, 0.0, False)]}}, "leads to state 5"),
        ({0: {0: [(0.6, 0, 0.0, False)]}}, "sums to 0.6"),
        ({}, "no transition table P"),
    ],
)
def test_malformed_tables(table, words):
    with pytest.raises(InputError, match=words) as caught:
        mdp_from_gymnasium(Table(table))
    assert "\n" not in str(caught.value) and ". " not in str(caught.value)


def test_the_old_name_of_the_start_law_is_read():
    table = Table(CHAIN)
    table.isd = np.array([0.25, 0.75, 0.0])
    np.testing.assert_array_equal(mdp_from_gymnasium(table).start, table.isd)
    table.initial_state_distrib = np.array([1.0, 0.0, 0.0])
    np.testing.assert_array_equal(mdp_from_gymnasium(table).start, [1, 0, 0])


def test_actions_that_a_state_does_not_offer_are_the_mean_of_those_it_offers():
    table = {0: {1: [(1.0, 1, 4.0, False)], 2: [(1.0, 0, 0.0, False)]}, 1: {0: [(1.0, 0, 1.0, False)]}}
    with pytest.warns(UserWarning, match="3 of 6 pairs are the mean"):
        mdp = mdp_from_gymnasium(Table(table))
    np.testing.assert_array_equal(mdp.transition[:, 0], [[0.5, 0.5], [0, 1], [1, 0]])
    np.testing.assert_array_equal(mdp.transition[:, 1], [[1, 0]] * 3)
    np.testing.assert_array_equal(mdp.reward, [[2, 4, 0], [1, 1, 1]])


@pytest.mark.parametrize("sparse", [False, True])
def test_matrices_of_states_by_actions_by_states(sparse):
    """As ICU-Sepsis has them: what each step earns depends on where it leads."""
    steps = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    earned = np.array([[[1.0, 3.0], [9.0, 5.0]], [[9.0, 0.0], [9.0, 0.0]]])

    class Matrices:
        dynamics: ClassVar = {
            "tx_mat": steps,
            "r_mat": earned,
            "d_0": np.array([1.0, 0.0]),
            "admissible_actions": [[0, 1], [0, 1]],
        }

    mdp = TabularMDP.from_gymnasium(Matrices(), sparse=sparse)
    assert mdp.is_sparse == sparse
    np.testing.assert_array_equal(mdp.dense(), steps.swapaxes(0, 1))
    np.testing.assert_array_equal(mdp.reward, [[2.0, 5.0], [0.0, 0.0]])
    np.testing.assert_array_equal(mdp.start, [1, 0])
    Matrices.dynamics = {"tx_mat": steps[:, :, :1]}
    with pytest.raises(InputError, match=r"shape \(2, 2, 1\), expected \(states, actions, states\)"):
        mdp_from_gymnasium(Matrices())


def test_the_advice_to_pass_sparse_can_be_followed(monkeypatch, free_memory):
    n = 300
    table = Table({s: {0: [(1.0, (s + 1) % n, 0.0, False)]} for s in range(n)})
    free_memory(8 * n * n)  # as much as the array, which is not enough
    with pytest.raises(InputError, match=r"pass sparse=True \(--set sparse 1\)"):
        TabularMDP.from_gymnasium(table)
    assert TabularMDP.from_gymnasium(table, sparse=True).is_sparse


def test_a_dense_world_is_held_once():
    n = 400
    table = Table({s: {0: [(1.0, (s + 1) % n, 0.0, False)]} for s in range(n)})
    tracemalloc.start()
    mdp_from_gymnasium(table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * 8 * n * n


def test_environments_without_a_table():
    env = gymnasium.make("CartPole-v1")
    with pytest.raises(InputError, match="CartPole-v1 has no transition table P"):
        mdp_from_gymnasium(env)
    env.close()
    with pytest.raises(InputError, match="no transition table P"):
        mdp_from_gymnasium(3)


# --- ids -----------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*Using the latest versioned environment")
def test_old_versions_fall_back_with_a_warning():
    with pytest.warns(UserWarning, match="this Gymnasium has no Taxi-v1, Taxi-v"):
        mdp = mdp_from_gymnasium("Taxi-v1")
    assert mdp.name.startswith("Taxi-v")
    assert mdp.n_states == 500


@pytest.mark.parametrize("env_id", ["NoSuchWorld-v0", "no_such_module:World-v0", ""])
def test_unknown_ids(env_id):
    with pytest.raises(InputError, match="expected the id of an environment") as caught:
        mdp_from_gymnasium(env_id)
    assert "\n" not in str(caught.value) and ". " not in str(caught.value)


@pytest.mark.parametrize("table", [CHAIN, {}])
def test_only_environments_made_here_are_closed(monkeypatch, table):
    mine, made = Table(table, start=[1.0, 0, 0]), Table(table, start=[1.0, 0, 0])
    monkeypatch.setattr(gymnasium, "make", lambda env_id: made)
    for env in (mine, "Anything-v0"):
        if table:
            mdp_from_gymnasium(env)
        else:
            with pytest.raises(InputError):
                mdp_from_gymnasium(env)
    assert made.closed and not mine.closed
