import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from spectral_jepa._validation import InputError
from spectral_jepa.generators import (
    gauge_counterexample,
    gauge_embedding_arrays,
    latent_chain,
    make_block,
    make_dirichlet,
    make_four_rooms,
    make_garnet,
    make_grid,
    make_low_rank,
    make_permutation,
    make_reset,
    make_ring,
    make_torus,
    make_two_state,
    nuisance_singular_values,
    reset_counterexample,
    reset_embedding_arrays,
    two_state_counterexample,
    two_state_singular_values,
    with_horizon,
    with_nuisance,
)
from spectral_jepa.generators.products import with_random_reward
from spectral_jepa.mdp import TabularMDP

# --- block and low rank --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_states, n_blocks", [(60, 5), (13, 4), (5, 5), (9, 1)])
def test_block_sizes_are_equal_up_to_one(n_states, n_blocks):
    sizes = np.bincount([block for block, _ in make_block(n_states, n_blocks, seed=0).state_labels])
    assert sizes.size == n_blocks
    assert sizes.sum() == n_states
    assert sizes.max() - sizes.min() <= 1


def test_block_states_of_a_block_cannot_be_told_apart():
    mdp = make_block(13, 4, 2, seed=0)
    block = np.array(mdp.state_labels)[:, 0]
    for z in range(4):
        rows, columns = mdp.transition[:, block == z], mdp.transition[:, :, block == z]
        assert np.ptp(rows, axis=1).max() == 0
        assert np.ptp(columns, axis=2).max() < 1e-16
    assert np.ptp(mdp.transition[0, :, 0]) > 0.01


def test_latent_chain_is_the_aggregated_one():
    mdp = make_block(13, 4, 2, noise=0.2, seed=0)
    latent, block_weight = latent_chain(mdp)
    block = np.array(mdp.state_labels)[:, 0]
    for a, z, y in itertools.product(range(2), range(4), range(4)):
        inside = mdp.transition[a][np.ix_(block == z, block == y)]
        assert latent[a, z, y] == pytest.approx(inside.sum() / (block == z).sum(), abs=1e-14)
    np.testing.assert_allclose(block_weight, np.bincount(block) / 13)
    np.testing.assert_allclose(latent_chain(mdp.as_sparse())[0], latent, atol=1e-15)


def test_latent_chain_needs_blocks():
    with pytest.raises(InputError, match="state_labels of ring is None"):
        latent_chain(make_ring())
    empty = TabularMDP([np.eye(2)], weight=[1.0, 0.0], state_labels=((0, 0), (1, 0)))
    with pytest.raises(InputError, match="block 1 of mdp has weight 0"):
        latent_chain(empty)


@pytest.mark.parametrize("make", [make_block, make_low_rank])
def test_noise_mixes_in_and_keeps_the_structure(make):
    clean, noisy = make(noise=0.0, seed=5), make(noise=0.25, seed=5)
    np.testing.assert_array_equal(clean.reward, noisy.reward)
    rest = (noisy.transition - 0.75 * clean.transition) / 0.25
    assert rest.min() > 0
    np.testing.assert_allclose(rest.sum(axis=2), 1, atol=1e-12)
    assert np.linalg.matrix_rank(noisy.transition[0]) == 60


def test_noise_one_is_the_dirichlet_alone():
    # The mean of U^2 over a Dirichlet(1) row of n entries is 2 / (n (n + 1)).
    rows = make_block(60, 5, 3, noise=1.0, seed=0).transition
    assert (rows**2).mean() == pytest.approx(2 / (60 * 61), rel=0.05)


def test_low_rank_factors_are_probability_vectors():
    mdp = make_low_rank(30, 3, 2, seed=1)
    assert np.linalg.matrix_rank(mdp.transition.reshape(-1, 30)) == 3
    assert make_low_rank(30, 30, 2, seed=1).n_states == 30


@pytest.mark.parametrize("make", [make_block, make_low_rank, make_garnet, make_dirichlet])
def test_reward_convention(make):
    reward = make(n_states=60, seed=0).reward
    assert np.ptp(reward, axis=1).max() == 0, "a reward of the state alone"
    assert (reward[:, 0] > 0).sum() == 6
    assert reward.max() <= 1
    few = make(n_states=5, seed=0, **{make_block: {"n_blocks": 2}, make_low_rank: {"rank": 2}}.get(make, {}))
    assert (few.reward[:, 0] > 0).sum() == 1
    assert (make(n_states=60, n_rewarded=17, seed=0).reward[:, 0] > 0).sum() == 17
    assert make(seed=0).discount == 0.9


def test_rewarded_states_move_with_the_seed():
    places = [np.flatnonzero(make_dirichlet(20, 1, n_rewarded=1, seed=s).reward[:, 0])[0] for s in range(200)]
    assert len(set(places)) > 15


# --- random --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_states, branching", [(50, 1), (50, 7), (50, 25), (50, 26), (50, 50), (1, 1)])
def test_garnet_has_exactly_the_successors_asked_for(n_states, branching):
    mdp = make_garnet(n_states, 3, branching, seed=0)
    np.testing.assert_array_equal((mdp.transition > 0).sum(axis=2), branching)
    assert mdp.is_deterministic == (branching == 1)


@pytest.mark.parametrize("branching", [2, 3, 4])
def test_garnet_subsets_are_uniform(branching):
    # 6 states: both samplers are used (2, 3: Floyd; 4: partition). Each subset has probability 1 / C(6, b).
    mdps = [make_garnet(6, 400, branching, seed=s) for s in range(10)]
    supports = np.concatenate([(m.transition > 0).reshape(-1, 6) for m in mdps])
    codes, counts = np.unique(supports @ (2 ** np.arange(6)), return_counts=True)
    n_subsets = {2: 15, 3: 20, 4: 15}[branching]
    assert codes.size == n_subsets
    expected = len(supports) / n_subsets
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_garnet_probabilities_are_dirichlet_one():
    # Each of b Dirichlet(1) entries is Beta(1, b - 1): mean square 2 / (b (b + 1)).
    data = make_garnet(2000, 2, 4, sparse=True, seed=0).transition[0].data
    assert (data**2).mean() == pytest.approx(2 / 20, rel=0.05)
    assert data.min() > 0


def test_garnet_large_is_sparse_and_dense_is_refused():
    mdp = make_garnet(100_000, 4, 5, sparse=True, seed=0)
    assert mdp.is_sparse
    assert [m.nnz for m in mdp.transition] == [500_000] * 4
    assert all(m.has_canonical_format for m in mdp.transition)
    with pytest.raises(InputError, match="pass sparse=True"):
        make_garnet(100_000, 4, 5, seed=0)


@pytest.mark.parametrize("concentration", [1e-3, 0.1, 1.0, 100.0])
def test_dirichlet_concentration(concentration):
    # Mean square of an entry of a symmetric Dirichlet(c) on n: (c + 1) / (n (n c + 1)).
    n = 10
    rows = make_dirichlet(n, 500, concentration=concentration, seed=0).transition
    assert (rows**2).mean() == pytest.approx((concentration + 1) / (n * (n * concentration + 1)), rel=0.03)


# --- ring, torus ---------------------------------------------------------------------------------------------------------


def test_ring_moves_and_slips():
    mdp = make_ring(5, 0.3, n_actions=3)
    assert mdp.action_labels == (-1, 0, 1)
    np.testing.assert_allclose(mdp.transition[2, 4], [0.7, 0.15, 0, 0, 0.15], atol=1e-15)
    np.testing.assert_allclose(mdp.transition[0, 0], [0.15, 0, 0, 0.15, 0.7], atol=1e-15)
    np.testing.assert_allclose(mdp.next_weight, 0.2, atol=1e-15)
    assert mdp.reward is None


@pytest.mark.parametrize("n_actions, steps", [(1, (0,)), (2, (-1, 1)), (3, (-1, 0, 1)), (4, (-2, -1, 1, 2))])
def test_ring_steps(n_actions, steps):
    mdp = make_ring(7, 0.0, n_actions)
    assert mdp.action_labels == steps
    assert [int(rows[0].argmax()) for rows in mdp.transition] == [step % 7 for step in steps]


def test_ring_of_two_adds_coinciding_neighbours():
    np.testing.assert_allclose(make_ring(2, 0.3, 1).transition[0], [[0.7, 0.3], [0.3, 0.7]])


def test_ring_kernel_is_a_displacement():
    kernel = [0.1, 0.2, 0.3, 0.4]
    mdp = make_ring(4, kernel=kernel, n_actions=1)
    np.testing.assert_array_equal(mdp.transition[0], [np.roll(kernel, x) for x in range(4)])


def test_torus_moves_on_both_axes():
    mdp = make_torus(4, 0.0, 5)
    place = {label: index for index, label in enumerate(mdp.state_labels)}
    moves = dict(zip(mdp.action_labels, mdp.transition, strict=True))
    for name, target in {"up": (3, 1), "down": (1, 1), "left": (0, 0), "right": (0, 2), "stay": (0, 1)}.items():
        assert moves[name][place[0, 1], place[target]] == 1
    assert mdp.is_deterministic


def test_torus_slip_goes_to_four_neighbours():
    row = make_torus(4, 0.2, 5).transition[4, 0].reshape(4, 4)
    expected = np.zeros((4, 4))
    expected[0, 0] = 0.8
    expected[[1, 3, 0, 0], [0, 0, 1, 3]] = 0.05
    np.testing.assert_allclose(row, expected, atol=1e-15)


# --- grids ---------------------------------------------------------------------------------------------------------------


def test_grid_walls_bounce_and_slips_are_uniform():
    mdp = make_grid("""
        S.
        #G
    """, slip=0.3)  # fmt: skip
    assert mdp.state_labels == ((0, 0), (0, 1), (1, 1))
    up, down, left, right = mdp.transition
    # From (0, 0) only "right" leaves; .7 of moving as asked, .1 for each other direction.
    np.testing.assert_allclose(right[0], [0.3, 0.7, 0], atol=1e-15)
    np.testing.assert_allclose(down[0], [0.9, 0.1, 0], atol=1e-15)
    np.testing.assert_allclose(down[1], [0.1, 0.2, 0.7], atol=1e-15)
    np.testing.assert_allclose(up[2], [0, 0.7, 0.3], atol=1e-15)
    np.testing.assert_allclose(left[1], [0.7, 0.2, 0.1], atol=1e-15)
    np.testing.assert_array_equal(mdp.reward, np.repeat([[0], [0], [1]], 4, axis=1))
    np.testing.assert_array_equal(mdp.start, [1, 0, 0])


def test_grid_without_goal_or_start():
    mdp = make_grid("..\n..")
    assert mdp.reward is None
    np.testing.assert_array_equal(mdp.start, mdp.weight)
    two = make_grid("S.S")
    np.testing.assert_array_equal(two.start, [0.5, 0, 0.5])


def test_grid_messages_name_the_place():
    with pytest.raises(InputError, match="'x' at line 1, column 2"):
        make_grid("...\n..x")
    with pytest.raises(InputError, match="line 1 of text has 2 cells, expected 3"):
        make_grid("...\n..\n...")


def test_four_rooms_layout():
    mdp = make_four_rooms(11, 0.0)
    # 11 * 11 cells less a cross of 21 walls with 4 doors.
    assert mdp.n_states == 104
    assert mdp.is_deterministic
    free = set(mdp.state_labels)
    doors = [(r, c) for r, c in free if r == 5 or c == 5]
    assert sorted(doors) == [(2, 5), (5, 2), (5, 8), (8, 5)]
    reach = np.linalg.matrix_power(mdp.transition.mean(axis=0), 200)
    assert reach.min() > 0, "every cell can be reached from every other"
    without_doors = np.array([label not in doors for label in mdp.state_labels])
    closed = mdp.transition.mean(axis=0)[np.ix_(without_doors, without_doors)]
    n_rooms, rooms = sp.csgraph.connected_components(sp.csr_array(closed), directed=False)
    assert n_rooms == 4
    np.testing.assert_array_equal(np.bincount(rooms), 25)
    assert mdp.state_labels[int(mdp.reward[:, 0].argmax())] == (10, 10)


# --- counterexamples -----------------------------------------------------------------------------------------------------


def test_reset_sends_everything_to_the_action():
    mdp = make_reset(4, 0.1)
    for action in range(4):
        expected = np.full(4, 0.025)
        expected[action] += 0.9
        np.testing.assert_allclose(mdp.transition[action], np.tile(expected, (4, 1)), atol=1e-16)


def test_reset_counterexample_has_the_regret_and_the_printed_bound_of_the_theory():
    mdp, (target, predicted) = reset_counterexample(), reset_embedding_arrays(4, 0.05)
    np.testing.assert_allclose(np.linalg.norm(target, axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(predicted, axis=2), 1)
    score = predicted @ target.T  # [a, x0, xg]
    chosen = score.argmax(axis=0)
    value = np.take_along_axis(mdp.transition, chosen[None], axis=0)[0]
    assert (mdp.transition.max(axis=0) - value).mean() == pytest.approx(0.675, abs=1e-12)
    after = mdp.next_weight
    joint = mdp.transition / 4
    normalised = joint / np.sqrt(0.25 * after[:, None, :])
    model = np.sqrt(0.25 * after[:, None, :]) * score
    risk = ((normalised - model) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(risk, [0, *[(1 - np.cos(0.05)) ** 2] * 3], atol=1e-15)
    bound = 2 * np.sqrt(after.max(axis=0) / 0.25).mean() * np.sqrt(risk.max())
    assert bound == pytest.approx(0.0048, abs=5e-5)


def test_two_state_counterexample_has_the_regret_of_the_theory():
    mdp = two_state_counterexample()
    np.testing.assert_allclose(mdp.transition, [[[0.6, 0.4], [1, 0]], [[0.5, 0.5], [0, 1]]])
    ratio = mdp.transition / mdp.next_weight[:, None, :]  # what an exact g^T f scores
    value = np.take_along_axis(mdp.transition, ratio.argmax(axis=0)[None], axis=0)[0]
    assert (mdp.transition.max(axis=0) - value).mean() == pytest.approx(0.05, abs=1e-12)


def test_gauge_counterexample_has_the_wrong_pairs_of_the_theory():
    mdp, (target, predicted) = gauge_counterexample(), gauge_embedding_arrays()
    np.testing.assert_array_equal(mdp.transition.argmax(axis=2), [(0, 2, 1), (1, 0, 2)])
    np.testing.assert_allclose(predicted @ target.T / 3, mdp.transition, atol=1e-14)  # P = w+ g^T f: zero risk
    np.testing.assert_allclose(target, np.sqrt(3) * np.array([[1, 0, 0], [0, 1, 0], [0, -1, 1]]), atol=1e-15)
    linear = np.stack([np.linalg.solve(target, g).T for g in predicted])
    wrong = {"dot": 0, "euclid": 0}
    for start, goal in itertools.product(range(3), range(3)):
        values, dots, distances = [], [], []
        for plan in itertools.product(range(2), repeat=3):
            z, law = target[start], np.eye(3)[start]
            for action in plan:
                z, law = linear[action] @ z, law @ mdp.transition[action]
            values.append(law[goal])
            dots.append(z @ target[goal])
            distances.append(((z - target[goal]) ** 2).sum())
        values = np.array(values)
        # strictly wrong: the best plan in value loses even if ties of the score are broken in its favour
        for name, score in (("dot", np.array(dots)), ("euclid", -np.array(distances))):
            wrong[name] += values[score > score.max() - 1e-9].max() < values.max()
    assert wrong == {"dot": 5, "euclid": 3}


def test_permutations_given_or_drawn():
    mdp = make_permutation(permutations=[(2, 0, 1)])
    assert mdp.transition[0, 0, 2] == mdp.transition[0, 1, 0] == mdp.transition[0, 2, 1] == 1
    random = make_permutation(8, 5, seed=0)
    assert random.is_deterministic
    np.testing.assert_array_equal(random.transition.sum(axis=1), 1)
    firsts = [make_permutation(4, 1, seed=s).transition[0, 0].argmax() for s in range(400)]
    assert np.bincount(firsts, minlength=4).min() > 60  # 100 expected, s.e. 8.7


def test_two_state_actions_and_weight():
    mdp = make_two_state([0.1, 0.2, 0.3], 0.5, weight=[0.25, 0.75])
    np.testing.assert_allclose(mdp.transition[:, 0, 1], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(mdp.transition[:, 1, 0], 0.5)
    np.testing.assert_array_equal(mdp.weight, [0.25, 0.75])


# --- products ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["iid", "markov", "frozen"])
@pytest.mark.parametrize("sparse", [False, True])
def test_nuisance_is_a_product(kind, sparse):
    task = make_garnet(5, 2, 2, seed=0, sparse=sparse)
    mdp = with_nuisance(task, 3, kind, persistence=0.7, seed=1)
    assert mdp.is_sparse == sparse
    table = mdp.dense().reshape(2, 5, 3, 5, 3)
    np.testing.assert_allclose(table.sum(axis=4), np.repeat(task.dense()[:, :, None, :], 3, axis=2), atol=1e-14)
    law = mdp.weight.reshape(5, 3).sum(axis=0)
    assert np.ptp(law) > 0.01
    expected = {"iid": np.tile(law, (3, 1)), "markov": 0.7 * np.eye(3) + 0.3 * law, "frozen": np.eye(3)}[kind]
    np.testing.assert_allclose(table.sum(axis=3)[0, 0], expected, atol=1e-14)
    np.testing.assert_allclose(law @ expected, law, atol=1e-15)
    np.testing.assert_array_equal(mdp.reward.reshape(5, 3, 2), np.repeat(task.reward[:, None], 3, axis=1))
    np.testing.assert_allclose(mdp.start.reshape(5, 3), np.outer(task.start, law), atol=1e-16)
    assert mdp.state_labels[4] == (1, 1)
    assert mdp.discount == task.discount


def test_nuisance_defaults_to_the_uniform_law_and_keeps_labels():
    mdp = with_nuisance(make_torus(2), 2)
    np.testing.assert_allclose(mdp.weight, 1 / 8)
    assert mdp.state_labels[3] == ((0, 1), 1)
    assert mdp.action_labels == ("up", "down", "left", "right")
    with pytest.raises(InputError, match="'iid', 'markov', 'frozen'"):
        with_nuisance(make_ring(), 2, "slow")
    with pytest.raises(InputError, match="as_sparse"):
        with_nuisance(make_ring(1000), 1000)


@pytest.mark.parametrize("sparse", [False, True])
def test_horizon_holds_the_action(sparse):
    one = make_garnet(6, 2, 2, seed=0, sparse=sparse)
    three = with_horizon(one, 3)
    assert three.is_sparse == sparse
    P, r, gamma = one.dense(), one.reward, one.discount
    for a in range(2):
        np.testing.assert_allclose(three.dense()[a], P[a] @ P[a] @ P[a], atol=1e-15)
        np.testing.assert_allclose(
            three.reward[:, a], r[:, a] + gamma * P[a] @ r[:, a] + gamma**2 * P[a] @ P[a] @ r[:, a], atol=1e-15
        )
    assert three.discount == pytest.approx(gamma**3)


def test_horizon_keeps_the_value_of_a_constant_policy():
    one = make_dirichlet(7, 2, seed=0)
    for horizon in (1, 2, 5):
        held = with_horizon(one, horizon)
        for a in range(2):
            values = [np.linalg.solve(np.eye(7) - m.discount * m.transition[a], m.reward[:, a]) for m in (one, held)]
            assert values[0].max() > 0.1
            np.testing.assert_allclose(values[1], values[0], atol=1e-12)


def test_horizon_without_discount_or_reward():
    assert with_horizon(make_ring(), 4).reward is None
    assert with_horizon(make_ring(), 4).discount is None
    walk = TabularMDP([np.eye(2)], reward=[1.0, 2.0])
    np.testing.assert_array_equal(with_horizon(walk, 3).reward, [[3], [6]])
    with pytest.raises(InputError, match="n_steps is 0"):
        with_horizon(walk, 0)


def test_closed_forms_refuse_what_is_not_a_law():
    with pytest.raises(InputError, match="weight sums to"):
        two_state_singular_values(0.1, 0.2, (0.5, 0.6))
    with pytest.raises(InputError, match=r"p is 1\.1,"):
        two_state_singular_values(1.1, 0.2)
    with pytest.raises(InputError, match="kind is 'slow'"):
        nuisance_singular_values([1.0], 2, "slow")


# --- a reward where there is none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rewarded, count", [(None, 6), (3, 3), (0, 0), (64, 64)])
def test_random_reward_is_drawn_states_first(n_rewarded, count):
    world = make_torus(8, 0.3)
    mdp = with_random_reward(world, [5, 7], n_rewarded)
    rng = np.random.default_rng([5, 7])
    expected = np.zeros(64)
    for state, reward in zip(rng.choice(64, count, replace=False).tolist(), rng.random(count), strict=True):
        expected[state] = reward
    np.testing.assert_array_equal(mdp.reward, np.repeat(expected[:, None], mdp.n_actions, axis=1))
    assert mdp.discount == 0.9 and (mdp.reward > 0).any(axis=1).sum() == count
    assert world.reward is None  # the world that was given stays as it was
    for name in ("transition", "weight", "start", "action_frequency"):
        np.testing.assert_array_equal(getattr(mdp, name), getattr(world, name))
    assert (mdp.name, mdp.state_labels) == (world.name, world.state_labels)


def test_random_reward_takes_any_seed_a_sparse_world_and_replaces_what_is_there():
    world = make_four_rooms(9, slip=0.2)
    by_number, by_generator = with_random_reward(world, 3), with_random_reward(world, np.random.default_rng(3))
    np.testing.assert_array_equal(by_number.reward, by_generator.reward)
    np.testing.assert_array_equal(with_random_reward(world.as_sparse(), 3).reward, by_number.reward)
    assert (by_number.reward != world.reward).any() and (by_number.reward != with_random_reward(world, 4).reward).any()
    assert with_random_reward(make_ring(4), 0).reward[:, 0].astype(bool).sum() == 1  # a tenth of 4, at least one


@pytest.mark.parametrize(
    "seed, n_rewarded, message", [(0, 26, "n_rewarded is 26"), (0, -1, "n_rewarded is -1"), (-1, 1, "seed")]
)
def test_random_reward_refuses(seed, n_rewarded, message):
    with pytest.raises(InputError, match=message):
        with_random_reward(make_torus(5), seed, n_rewarded)
