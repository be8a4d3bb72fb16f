"""docs/theory.md, section 2.9: spectra known in closed form, against an SVD written out here."""

import numpy as np
import pytest

from spectral_jepa.generators import (
    autoregressive_singular_values,
    block_singular_values,
    circulant_singular_values,
    deterministic_singular_values,
    horizon_singular_values,
    latent_chain,
    make_autoregressive,
    make_block,
    make_dirichlet,
    make_low_rank,
    make_permutation,
    make_reset,
    make_ring,
    make_torus,
    make_two_state,
    nuisance_singular_values,
    product_singular_values,
    two_state_singular_values,
    with_horizon,
    with_nuisance,
)

TOLERANCE = 1e-10


def svd_by_hand(transition, weight):
    """Singular values of D^-1/2 M D+^-1/2, rows and columns without mass dropped and counted as zeros."""
    joint = weight[:, None] * transition
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    here, there = rows > 0, columns > 0
    normalised = joint[np.ix_(here, there)] / np.sqrt(np.outer(rows[here], columns[there]))
    values = np.linalg.svd(normalised, compute_uv=False)
    padded = np.zeros(len(transition))
    padded[: values.size] = values
    return padded


def assert_spectrum(transition, weight, closed_form, n_positive=None):
    found = svd_by_hand(transition, weight)
    assert closed_form.shape == found.shape
    assert abs(found[0] - 1) < TOLERANCE
    assert closed_form[0] == pytest.approx(1, abs=1e-14)
    assert (np.diff(closed_form) <= 0).all()
    np.testing.assert_allclose(closed_form, found, rtol=0, atol=TOLERANCE)
    if n_positive is not None:
        assert (found > 1e-6).sum() == n_positive


def distance(transition, weight, claimed):
    return np.abs(svd_by_hand(transition, weight) - claimed).max()


def test_hand_svd_on_a_chain_solved_with_pencil():
    # P = [[1/2, 1/2], [0, 1]], w uniform: w+ = (1/4, 3/4), s2 = 1/2 * sqrt((1/4) / (3/16)) = 1/sqrt(3)
    np.testing.assert_allclose(
        svd_by_hand(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0.5, 0.5])), [1, 1 / np.sqrt(3)], atol=1e-14
    )


# --- circulant -----------------------------------------------------------------------------------------------------------


def test_ring_is_the_absolute_fourier_transform_for_every_action():
    n, slip = 9, 0.35
    mdp = make_ring(n, slip, n_actions=3)
    expected = np.sort(np.abs(1 - slip + slip * np.cos(2 * np.pi * np.arange(n) / n)))[::-1]
    kernel = np.zeros(n)
    kernel[[0, 1, -1]] = 1 - slip, slip / 2, slip / 2
    np.testing.assert_allclose(circulant_singular_values(kernel), expected, atol=1e-14)
    for rows in mdp.transition:
        assert_spectrum(rows, mdp.weight, expected, n_positive=n)


def test_any_kernel_on_the_ring_and_torus():
    rng = np.random.default_rng(0)
    kernel = rng.dirichlet(np.ones(8))
    for rows in make_ring(8, kernel=kernel, n_actions=4).transition:
        assert_spectrum(rows, np.full(8, 1 / 8), circulant_singular_values(kernel), n_positive=8)
    table = rng.dirichlet(np.ones(20 - 4)).reshape(4, 4)
    for rows in make_torus(4, kernel=table, n_actions=5).transition:
        assert_spectrum(rows, np.full(16, 1 / 16), circulant_singular_values(table), n_positive=16)


def test_torus_slip_closed_form():
    side, slip = 5, 0.4
    cosine = np.cos(2 * np.pi * np.arange(side) / side)
    expected = np.sort(np.abs(1 - slip + slip / 2 * (cosine[:, None] + cosine[None, :])).ravel())[::-1]
    mdp = make_torus(side, slip)
    for rows in mdp.transition:
        assert_spectrum(rows, mdp.weight, expected, n_positive=side * side)


def test_torus_one_encoder_serves_all_actions():
    # docs/theory.md, 2.7: the stack's tail equals the mean of the tails on translation-invariant worlds, and only there.
    mdp, dim = make_torus(4, 0.3), 6
    stacked = np.linalg.svd(np.concatenate(mdp.transition) / 2, compute_uv=False)
    separate = [np.linalg.svd(rows, compute_uv=False) for rows in mdp.transition]
    assert (stacked[dim:] ** 2).sum() > 0.1
    assert (stacked[dim:] ** 2).sum() == pytest.approx(np.mean([(s[dim:] ** 2).sum() for s in separate]), abs=TOLERANCE)


def test_wrong_kernel_or_wrong_weight_is_noticed():
    mdp = make_ring(9, 0.35)
    right = circulant_singular_values(mdp.transition[1, 0])
    wrong = circulant_singular_values(make_ring(9, 0.3).transition[1, 0])
    assert distance(mdp.transition[0], mdp.weight, right) < TOLERANCE
    assert distance(mdp.transition[0], mdp.weight, wrong) > 0.01
    assert distance(mdp.transition[0], np.arange(1, 10) / 45, right) > 0.01


# --- two states ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p, q, w", [(0.3, 0.2, 0.5), (0.9, 0.4, 0.2), (0.0, 0.0, 0.7), (1.0, 1.0, 0.3), (0.25, 0.75, 0.4)])
def test_two_states(p, q, w):
    weight = np.array([w, 1 - w])
    mdp = make_two_state(p, q, weight=weight)
    assert_spectrum(mdp.transition[0], weight, two_state_singular_values(p, q, weight))


def test_two_states_with_an_unreachable_state_or_no_mass():
    assert_spectrum(
        make_two_state(1.0, 0.0).transition[0], np.full(2, 0.5), two_state_singular_values(1.0, 0.0), n_positive=1
    )
    certain = np.array([1.0, 0.0])
    assert_spectrum(
        make_two_state(0.3, 0.2).transition[0], certain, two_state_singular_values(0.3, 0.2, certain), n_positive=1
    )


def test_two_states_second_value_is_not_the_eigenvalue():
    rows, weight = make_two_state(0.9, 0.4).transition[0], np.array([0.2, 0.8])
    assert distance(rows, weight, two_state_singular_values(0.9, 0.4, weight)) < TOLERANCE
    assert distance(rows, weight, np.array([1, abs(1 - 0.9 - 0.4)])) > 0.005
    # With the stationary law it is.
    stationary = np.array([0.4, 0.9]) / 1.3
    assert two_state_singular_values(0.9, 0.4, stationary)[1] == pytest.approx(0.3, abs=1e-14)


# --- block and low rank --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_states, n_blocks", [(60, 5), (13, 4), (7, 7)])
def test_block_is_its_latent_chain(n_states, n_blocks):
    mdp = make_block(n_states, n_blocks, 3, seed=1)
    # The latent chain read off without the package: mass that the first state of each block sends to each block.
    block = np.array(mdp.state_labels)[:, 0]
    first = np.searchsorted(block, np.arange(n_blocks))
    for rows in mdp.transition:
        latent = np.stack([rows[first][:, block == z].sum(axis=1) for z in range(n_blocks)], axis=1)
        closed_form = block_singular_values(latent, np.bincount(block) / n_states, n_states)
        assert_spectrum(rows, mdp.weight, closed_form)
        assert (closed_form[:n_blocks] > 1e-8).all()
        assert (closed_form[n_blocks:] == 0).all()


def test_block_spectrum_needs_only_the_mass_of_each_block():
    mdp = make_block(24, 4, 1, seed=2)
    weight = np.random.default_rng(3).dirichlet(np.ones(24))
    block_weight = np.bincount(np.array(mdp.state_labels)[:, 0], weights=weight)
    latent, _ = latent_chain(mdp)
    closed_form = block_singular_values(latent[0], block_weight, 24)
    assert_spectrum(mdp.transition[0], weight, closed_form, n_positive=4)
    assert distance(mdp.transition[0], mdp.weight, closed_form) > 0.01


def test_block_latent_chain_is_wrong_under_noise():
    mdp = make_block(30, 5, 1, noise=0.3, seed=0)
    latent, block_weight = latent_chain(mdp)
    assert distance(mdp.transition[0], mdp.weight, block_singular_values(latent[0], block_weight, 30)) > 0.02


def test_block_typical_spectrum_is_the_reference_one():
    # The reference instance has 1, .74, .58, .40, .16, 0: with the default concentration 80% of the instances surround it.
    reference = np.array([0.74, 0.58, 0.40, 0.16])

    def surrounded(**options):
        instances = [make_block(n_actions=1, seed=seed, **options) for seed in range(200)]
        spectra = [svd_by_hand(m.transition[0], m.weight)[1:5] for m in instances]
        low, high = np.quantile(spectra, [0.1, 0.9], axis=0)
        return bool(((low < reference) & (reference < high)).all())

    assert surrounded()
    assert not surrounded(concentration=0.05)
    assert not surrounded(concentration=1.0)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_low_rank_stops_at_its_rank(rank):
    mdp = make_low_rank(40, rank, 3, seed=0)
    for rows in mdp.transition:
        found = svd_by_hand(rows, mdp.weight)
        assert found[0] == pytest.approx(1, abs=TOLERANCE)
        assert found[rank - 1] > 1e-3
        assert found[rank:].max() < TOLERANCE
    noisy = make_low_rank(40, rank, 3, noise=0.1, seed=0)
    assert svd_by_hand(noisy.transition[0], noisy.weight)[-1] > 1e-6


def test_reset_has_rank_one():
    mdp = make_reset(5, 0.2)
    for rows in mdp.transition:
        assert_spectrum(rows, mdp.weight, np.array([1.0, 0, 0, 0, 0]), n_positive=1)


# --- AR(1) ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "n_states, correlation", [(2, 0.3), (11, 0.9), (41, 0.7), (41, -0.8), (101, 0.95), (9, 1.0), (9, 0.0)]
)
def test_autoregressive_is_powers_of_the_correlation(n_states, correlation):
    mdp = make_autoregressive(n_states, correlation)
    expected = np.array([abs(correlation) ** i for i in range(n_states)])
    np.testing.assert_allclose(autoregressive_singular_values(n_states, correlation), expected, atol=1e-15)
    assert_spectrum(mdp.transition[0], mdp.weight, expected)


def test_autoregressive_is_a_stationary_reversible_ar1_chain():
    mdp = make_autoregressive(41, 0.7)
    rows, z = mdp.transition[0], np.array(mdp.state_labels)
    assert mdp.weight @ z**2 == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(rows @ z, 0.7 * z, atol=1e-12)
    np.testing.assert_allclose(mdp.weight @ rows, mdp.weight, atol=1e-15)
    joint = mdp.weight[:, None] * rows
    np.testing.assert_allclose(joint, joint.T, atol=1e-16)
    # The fourth moment of Binomial(n, 1/2) is 3 - 2/n: Gaussian in the limit, at rate 1/S.
    assert mdp.weight @ z**4 == pytest.approx(3 - 2 / 40, abs=1e-12)


def test_autoregressive_wrong_correlation_and_uniform_weight_are_noticed():
    mdp = make_autoregressive(21, 0.7)
    assert distance(mdp.transition[0], mdp.weight, autoregressive_singular_values(21, 0.7)) < TOLERANCE
    assert distance(mdp.transition[0], mdp.weight, autoregressive_singular_values(21, 0.72)) > 0.01
    assert distance(mdp.transition[0], np.full(21, 1 / 21), autoregressive_singular_values(21, 0.7)) > 0.01


# --- products ------------------------------------------------------------------------------------------------------------


def test_independent_chains_multiply():
    rng = np.random.default_rng(0)
    first, second = rng.dirichlet(np.ones(5), size=5), rng.dirichlet(np.ones(4), size=4)
    w, v = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(4))
    closed_form = product_singular_values(svd_by_hand(first, w), svd_by_hand(second, v))
    assert_spectrum(np.kron(first, second), np.kron(w, v), closed_form, n_positive=20)
    dependent = rng.dirichlet(np.ones(20))
    assert distance(np.kron(first, second), dependent, closed_form) > 0.005


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("kind, keep", [("iid", 0.0), ("markov", 0.6), ("frozen", 1.0)])
def test_nuisance(kind, keep, seed):
    task, m = make_dirichlet(6, 2, seed=1), 4
    mdp = with_nuisance(task, m, kind, persistence=0.6, seed=seed)
    for rows, task_rows in zip(mdp.transition, task.transition, strict=True):
        s = svd_by_hand(task_rows, task.weight)
        expected = np.sort(np.concatenate([s, np.repeat(keep * s, m - 1)]))[::-1]
        np.testing.assert_allclose(nuisance_singular_values(s, m, kind, persistence=0.6), expected, atol=1e-15)
        assert_spectrum(rows, mdp.weight, expected, n_positive=6 if keep == 0 else 24)


def test_nuisance_kinds_are_told_apart():
    task = make_dirichlet(6, 1, seed=1)
    s = svd_by_hand(task.transition[0], task.weight)
    mdp = with_nuisance(task, 3, "markov", persistence=0.6)
    for kind, persistence in (("iid", 0.6), ("frozen", 0.6), ("markov", 0.7)):
        wrong = nuisance_singular_values(s, 3, kind, persistence=persistence)
        assert distance(mdp.transition[0], mdp.weight, wrong) > 0.05


# --- deterministic maps --------------------------------------------------------------------------------------------------


def test_deterministic_map_has_as_many_ones_as_images():
    rng = np.random.default_rng(0)
    for _ in range(5):
        successor = rng.integers(0, 12, size=12)
        n_images = len(set(successor.tolist()))
        assert 1 < n_images < 12
        assert_spectrum(
            np.eye(12)[successor], rng.dirichlet(np.ones(12)), deterministic_singular_values(successor), n_images
        )


def test_deterministic_map_counts_images_of_the_support():
    successor, weight = np.array([1, 2, 3, 0, 0]), np.array([0.5, 0.0, 0.25, 0.0, 0.25])
    closed_form = deterministic_singular_values(successor, weight)
    assert closed_form.sum() == 3
    assert_spectrum(np.eye(5)[successor], weight, closed_form, n_positive=3)
    assert distance(np.eye(5)[successor], weight, deterministic_singular_values(successor)) == pytest.approx(1)


def test_permutation_is_all_ones_and_a_slip_is_not():
    mdp = make_permutation(7, 3, seed=0)
    for rows in mdp.transition:
        assert_spectrum(rows, mdp.weight, deterministic_singular_values(rows.argmax(axis=1)), n_positive=7)
    slippery = 0.9 * mdp.transition[0] + 0.1 / 7
    assert distance(slippery, mdp.weight, np.ones(7)) == pytest.approx(0.1)


# --- several steps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mdp", [make_ring(9, 0.35), make_torus(4, 0.3), make_autoregressive(15, 0.8)], ids=["ring", "torus", "autoregressive"]
)
@pytest.mark.parametrize("n_steps", [1, 3, 10])
def test_normal_kernels_take_powers(mdp, n_steps):
    later = with_horizon(mdp, n_steps)
    for one, many in zip(mdp.transition, later.transition, strict=True):
        one_step = svd_by_hand(one, mdp.weight)
        assert_spectrum(many, mdp.weight, horizon_singular_values(one_step, n_steps))


def test_other_kernels_do_not_take_powers():
    mdp = make_dirichlet(9, 1, seed=0)
    one_step = svd_by_hand(mdp.transition[0], mdp.weight)
    later = with_horizon(mdp, 3)
    assert distance(later.transition[0], later.weight, horizon_singular_values(one_step, 3)) > 1e-3
