"""docs/effective_dimension.md: what rank an encoder has that is whitened on K subspaces only (Sub-JEPA)."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import torch

from spectral_jepa import CoOccurrence, Embedding, TabularMDP, losses
from spectral_jepa.theory.effective_dimension import (
    independent_constraints,
    partition_value,
    pataki_rank_bound,
    steep_spectrum_ratio,
    subspace_rank_bound,
    two_subspace_eigenvalues,
)
from spectral_jepa.theory.subspace_whitening import (
    effective_rank,
    subspace_whitening_embedding,
    subspace_whitening_loss,
    subspace_whitening_optimum,
)

TOLERANCE = 1e-10
FLAT = np.full(12, 0.6)


def draw_subspaces(n_subspaces, subspace_dim, dim, seed):
    """Independent draws, Sub-JEPA's own: the Q of a QR of each Gaussian matrix."""
    rng = np.random.default_rng(seed)
    return np.stack([np.linalg.qr(rng.standard_normal((dim, subspace_dim)))[0].T for _ in range(n_subspaces)])


def draw_partition(n_subspaces, subspace_dim, seed):
    dim = n_subspaces * subspace_dim
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    return rotation.reshape(n_subspaces, subspace_dim, dim)


def cost(singular_values, moment):
    """The least E||g - f+||^2 among encoders with this E[f f^T]: sum_i (1 - s_i^2) lambda_i, largest lambda first."""
    eigenvalues = scipy.linalg.eigvalsh(moment)[::-1]
    return np.sum((1 - np.square(singular_values)[: eigenvalues.size]) * eigenvalues)


def descend(world, dim, subspaces, penalty, seed):
    """L-BFGS over the table f, with g the conditional mean, from a random start: the loss and E[f f^T]."""
    n_states = len(world.weight)
    after, rows = world.next_weight[0][:, None], world.weight[:, None]
    forward = world.transition[0]

    def loss(flat):
        f = flat.reshape(n_states, dim)
        g = forward @ f
        moment = f.T @ (after * f)
        value = np.sum(after * f**2) - np.sum(rows * g**2)
        slope = np.zeros((dim, dim))
        for w in subspaces:
            gap = w @ moment @ w.T - np.eye(len(w))
            value += penalty * np.sum(gap**2)
            slope += 2 * penalty * w.T @ gap @ w
        return value, (2 * after * f - 2 * forward.T @ (rows * g) + 2 * after * (f @ slope)).ravel()

    start = np.random.default_rng(seed).standard_normal(n_states * dim)
    options = {"maxiter": 20000, "maxfun": 50000, "ftol": 0, "gtol": 1e-9}
    end = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    f = end.x.reshape(n_states, dim)
    return end.fun, f.T @ (after * f)


def rank(moment, tolerance=1e-4):
    eigenvalues = scipy.linalg.eigvalsh(moment)
    return int(np.sum(eigenvalues > tolerance * eigenvalues[-1]))


# Section 2: partition


@pytest.mark.parametrize("n_subspaces, subspace_dim", [(1, 4), (2, 2), (4, 1), (3, 2)])
def test_partition_has_rank_d_and_k_times_the_value(n_subspaces, subspace_dim):
    values = np.array([0.95, 0.7, 0.45, 0.4, 0.3, 0.1])
    expected = n_subspaces * sum(1 - s * s for s in values[:subspace_dim])
    assert partition_value([1.0, *values], n_subspaces, subspace_dim, centred=True) == pytest.approx(expected, abs=TOLERANCE)
    found = subspace_whitening_optimum(values, draw_partition(n_subspaces, subspace_dim, 0), n_starts=2, seed=1)
    assert np.abs(found.values - expected).max() < 1e-6  # no traps: every start
    spectrum = [n_subspaces] * subspace_dim + [0] * (n_subspaces - 1) * subspace_dim
    assert np.abs(found.eigenvalues - spectrum).max() < 1e-6
    assert found.rank == subspace_dim and found.effective_rank == pytest.approx(subspace_dim, abs=1e-4)


@pytest.mark.parametrize("penalty", [0.2, 0.6, 3.0])
def test_descent_on_a_soft_partition(draw_world, penalty):
    """The blocks decouple: K times the soft value of d_s directions, squared scales K times larger, same thresholds."""
    world = draw_world(2, 6, 1, concentration=0.3)
    values = scipy.linalg.svdvals(world.normalized(0))
    scales = [max(0.0, 1 - (1 - s * s) / (2 * penalty)) for s in values[:2]]
    expected = 2 * sum(d * (1 - s * s) + penalty * (d - 1) ** 2 for s, d in zip(values[:2], scales, strict=True))
    assert partition_value(values, 2, 2, penalty=penalty) == pytest.approx(expected, abs=TOLERANCE)
    for seed in range(2):
        loss, moment = descend(world, 4, draw_partition(2, 2, 3), penalty, seed)
        assert loss == pytest.approx(expected, abs=1e-7)
        assert np.abs(scipy.linalg.eigvalsh(moment)[::-1] - [2 * scales[0], 2 * scales[1], 0, 0]).max() < 1e-3
        assert rank(moment, 1e-2) == np.sum(np.array(scales) > 0)
    assert (scales[1] > 0) == (penalty > 0.2)  # the penalties cover a direction that collapses and one that stays


def test_no_white_encoder_beats_the_partition_value():
    rng = np.random.default_rng(0)
    values = np.sort(rng.random(6))[::-1]
    floor = partition_value(values, 3, 2)
    for _ in range(200):
        blocks = [np.linalg.qr(rng.standard_normal((6, 2)))[0] for _ in range(3)]
        mix = np.hstack(blocks)
        assert cost(values, mix.T @ mix) >= floor - TOLERANCE
        tilted = np.linalg.qr(np.eye(6)[:, :2] + 1e-2 * rng.standard_normal((6, 2)))[0]
        near = np.hstack([np.eye(6)[:, :2], tilted, np.eye(6)[:, :2]])
        assert floor < cost(values, near.T @ near) + 1e-12 < floor + 0.5
    assert floor > 0.1


def test_ties_free_the_rank_between_their_limits():
    """a = 1 value above the tie, b = 4 in it, d_s = 2, K = 2: ranks 2 and 3 = a + K (d_s - a) at one value, and no 4."""
    values = [0.9, 0.5, 0.5, 0.5, 0.5, 0.1]
    expected = 2 * (1 - 0.81 + 1 - 0.25)
    basis = np.eye(6)
    for second, wanted in ((1, 2), (2, 3)):
        table = np.hstack([basis[:, [0, 1]], basis[:, [0, second]]])
        assert cost(values, table.T @ table) == pytest.approx(expected, abs=TOLERANCE)
        assert rank(table.T @ table) == wanted
    four = np.hstack([basis[:, [0, 1]], basis[:, [2, 3]]])
    assert cost(values, four.T @ four) > expected + 0.1


# Section 3: any subspaces


def test_bounds_against_a_search():
    for n_subspaces, subspace_dim, dim in itertools.product(range(1, 9), range(1, 6), range(1, 13)):
        if subspace_dim > dim:
            continue
        count = min(n_subspaces * subspace_dim * (subspace_dim + 1) // 2, dim * (dim + 1) // 2)
        largest = max(r for r in range(dim + 1) if r * (r + 1) // 2 <= count)
        assert pataki_rank_bound(n_subspaces, subspace_dim, dim) == largest
    assert [pataki_rank_bound(n, 12 // n, 12) for n in (1, 2, 3, 4, 6, 12)] == [12, 8, 7, 6, 5, 4]


@pytest.mark.parametrize("n_subspaces", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("subspace_dim", [1, 2, 3, 4])
def test_sharper_bound_is_the_largest_space_without_a_common_quadric(n_subspaces, subspace_dim):
    """K generic subspaces of R^r determine every quadratic form up to the bound, and not one dimension further."""
    bound = subspace_rank_bound(n_subspaces, subspace_dim, 100)

    def determined(r):
        points = np.random.default_rng([n_subspaces, r]).standard_normal((n_subspaces, subspace_dim, r))
        rng = np.random.default_rng(0)
        # Values of quadratic forms at many points of each subspace, instead of the constraints themselves.
        sampled = np.concatenate([rng.standard_normal((40, subspace_dim)) @ basis for basis in points])
        left, right = np.triu_indices(r)
        return np.linalg.matrix_rank(sampled[:, left] * sampled[:, right], tol=1e-7) == r * (r + 1) // 2

    assert determined(bound) and not determined(bound + 1)


def test_independent_constraints():
    def by_hand(stack):
        """Dimension of the image of symmetric matrices, one unit matrix at a time."""
        dim = stack.shape[2]
        columns = []
        for a, b in itertools.combinations_with_replacement(range(dim), 2):
            unit = np.zeros((dim, dim))
            unit[a, b] = unit[b, a] = 1
            columns.append(np.concatenate([(w @ unit @ w.T).ravel() for w in stack]))
        return np.linalg.matrix_rank(np.array(columns), tol=1e-8)

    for n_subspaces, subspace_dim, dim in [(3, 2, 6), (6, 1, 6), (2, 3, 4), (3, 3, 4), (5, 2, 4), (3, 4, 6), (9, 2, 5)]:
        stack = draw_subspaces(n_subspaces, subspace_dim, dim, 0)
        found = independent_constraints(stack)
        assert found == by_hand(stack)
        if n_subspaces * subspace_dim <= dim:
            assert found == n_subspaces * subspace_dim * (subspace_dim + 1) // 2
        assert found <= min(n_subspaces * subspace_dim * (subspace_dim + 1), dim * (dim + 1)) // 2
    # Two subspaces that meet in q dimensions share q (q + 1)/2 equations: fewer than the count of 12 and of 10.
    assert independent_constraints(draw_subspaces(2, 3, 4, 0)) == 12 - 3


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("n_subspaces, dim", [(3, 6), (6, 6), (3, 12)])
def test_every_local_optimum_obeys_the_bounds(n_subspaces, dim, seed):
    inner = dim // n_subspaces
    stack = draw_subspaces(n_subspaces, inner, dim, seed)
    for values in (FLAT[:dim], 0.6 ** np.arange(1, dim + 1)):
        found = subspace_whitening_optimum(values, stack, n_starts=2, seed=seed)
        moment = found.loadings.T @ found.loadings
        for w in stack:
            assert np.abs(w @ moment @ w.T - np.eye(inner)).max() < 1e-8
        assert found.value == pytest.approx(cost(values, moment), abs=1e-6)
        assert np.abs(scipy.linalg.eigvalsh(moment)[::-1] - found.eigenvalues).max() < 1e-8
        assert found.rank == rank(moment, 1e-7)
        assert (found.ranks >= inner).all() and (found.ranks <= subspace_rank_bound(n_subspaces, inner, dim)).all()
        # Section 6: the value lies between two multiples of the mean price of the d_s best functions.
        spread = scipy.linalg.eigvalsh(np.einsum("jak,jal->kl", stack, stack))
        price = np.mean(1 - values[:inner] ** 2)
        assert dim * price / spread[-1] - 1e-6 <= found.value <= price * np.sum(1 / spread) + 1e-6
        share = found.eigenvalues[inner:].sum() / found.eigenvalues.sum()
        assert share <= price / (1 - values[inner] ** 2) * np.sum(1 / spread) * spread[-1] / dim


def test_eigenvalues_are_the_slope_of_the_value():
    """Where the value is differentiable in the prices 1 - s_i^2, its gradient is lambda: all optima have one spectrum."""
    stack = draw_subspaces(3, 2, 6, 0)
    prices = np.linspace(0.2, 0.9, 6)
    found = subspace_whitening_optimum(np.sqrt(1 - prices), stack, n_starts=4)
    assert found.rank > 1
    for i in range(3):
        ends = []
        for step in (-1e-3, 1e-3):
            moved = prices.copy()
            moved[i] += step
            ends.append(subspace_whitening_optimum(np.sqrt(1 - moved), stack, n_starts=4).value)
        assert (ends[1] - ends[0]) / 2e-3 == pytest.approx(found.eigenvalues[i], abs=1e-3)


def test_enough_subspaces_are_full_whitening():
    """K d_s (d_s + 1)/2 past k (k + 1)/2: the identity is the only solution, and nothing is relaxed."""
    stack = draw_subspaces(4, 2, 4, 0)
    assert independent_constraints(stack) == 10 == pataki_rank_bound(4, 2, 4) * 5 // 2
    values = np.array([0.9, 0.8, 0.5, 0.2])
    found = subspace_whitening_optimum(values, stack, n_starts=1)
    assert np.abs(found.loadings.T @ found.loadings - np.eye(4)).max() < 1e-6 and found.rank == 4
    assert found.value == pytest.approx(sum(1 - s * s for s in values), abs=1e-6)


def test_soft_optima_obey_the_bound_too(draw_world):
    world = draw_world(2, 7, 1, concentration=1.0)
    for seed in range(3):
        _, moment = descend(world, 6, draw_subspaces(3, 2, 6, seed), 2.0, seed)
        assert rank(moment) <= subspace_rank_bound(3, 2, 6) == 3


# Section 4: the bound is attained


def sharp_subspaces(n_subspaces, subspace_dim, target_rank, seed):
    """Subspaces of R^k, k = K d_s, for which a flat spectrum has the one optimum ``moment`` of the rank asked for."""
    dim = n_subspaces * subspace_dim
    rng = np.random.default_rng(seed)
    frame = np.hstack([np.linalg.qr(rng.standard_normal((target_rank, subspace_dim)))[0] for _ in range(n_subspaces)])
    kernel = np.eye(dim) - np.linalg.pinv(frame) @ frame
    mask = np.kron(np.eye(n_subspaces), np.ones((subspace_dim, subspace_dim))) > 0
    block = np.eye(dim)
    for _ in range(100):  # Newton on tr G - log det G over G = kernel + block, as a linear system in the block's entries
        inverse = np.linalg.inv(kernel + block)
        slope = (np.eye(dim) - inverse)[mask]
        if np.abs(slope).max() < 1e-13:
            break
        where = np.argwhere(mask)
        hessian = inverse[np.ix_(where[:, 0], where[:, 0])] * inverse[np.ix_(where[:, 1], where[:, 1])]
        step = np.zeros((dim, dim))
        step[mask] = np.linalg.lstsq(hessian, -slope, rcond=None)[0]
        step = (step + step.T) / 2
        size = 1.0
        while scipy.linalg.eigvalsh(kernel + block + size * step)[0] <= 0.1 * scipy.linalg.eigvalsh(kernel + block)[0]:
            size /= 2
        block = block + size * step
    half = scipy.linalg.sqrtm(np.linalg.inv(kernel + block)).real
    back = np.linalg.inv(half)
    return half.reshape(n_subspaces, subspace_dim, dim), back @ frame.T @ frame @ back


@pytest.mark.parametrize("n_subspaces, subspace_dim, attained", [(3, 2, 3), (4, 1, 2), (6, 1, 3), (4, 2, 4), (3, 3, 5)])
def test_bound_is_attained(n_subspaces, subspace_dim, attained):
    dim = n_subspaces * subspace_dim
    assert subspace_rank_bound(n_subspaces, subspace_dim, dim) == attained > subspace_dim
    stack, moment = sharp_subspaces(n_subspaces, subspace_dim, attained, seed=1)
    for w in stack:
        assert np.abs(w @ w.T - np.eye(subspace_dim)).max() < TOLERANCE
        assert np.abs(w @ moment @ w.T - np.eye(subspace_dim)).max() < 1e-8
    for values, near in ((FLAT[:dim], 1e-3), (0.6 - 1e-4 * np.arange(dim), 1e-1)):
        found = subspace_whitening_optimum(values, stack, n_starts=2)
        assert found.rank == attained and (found.ranks == attained).all()
        assert np.abs(found.loadings.T @ found.loadings - moment).max() < near
        assert found.value == pytest.approx(cost(values, moment), abs=1e-4)


# Section 5: two subspaces


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_subspaces_against_all_rotations(seed):
    """k = 4: an optimum is given by O_1^T O_2 in O(2), one angle and a sign; a grid over all of them, then refined."""
    stack = draw_subspaces(2, 2, 4, seed)
    values = np.sort(np.random.default_rng(seed).random(4))[::-1]
    inverse = np.linalg.inv(stack.reshape(4, 4))

    def value(angle, sign):
        c, s = np.cos(angle), np.sin(angle)
        table = np.hstack([np.eye(2), np.array([[c, -sign * s], [s, sign * c]])]) @ inverse.T
        return cost(values, table.T @ table)

    least = np.inf
    for sign in (1, -1):
        grid = np.linspace(0, 2 * np.pi, 501)
        best = grid[np.argmin([value(angle, sign) for angle in grid])]
        # Nearly parallel subspaces make a narrow valley: the grid alone would miss its floor.
        near = scipy.optimize.minimize_scalar(
            value, (best - grid[1], best + grid[1]), args=(sign,), method="brent", options={"xtol": 1e-12}
        )
        least = min(least, near.fun)
    eigenvalues = two_subspace_eigenvalues(stack)
    angles = scipy.linalg.subspace_angles(stack[0].T, stack[1].T)
    assert np.abs(eigenvalues - np.sort(1 / np.cos(angles / 2) ** 2)[::-1]).max() < TOLERANCE
    closed = sum((1 - s * s) * e for s, e in zip(values[:2], eigenvalues, strict=True))
    assert closed - TOLERANCE <= least < closed + 1e-8
    found = subspace_whitening_optimum(values, stack, n_starts=6, seed=seed)
    assert found.value == pytest.approx(closed, abs=1e-6) and found.rank == 2
    assert np.abs(found.eigenvalues - [*eigenvalues, 0, 0]).max() < 1e-4


def test_two_subspaces_beat_every_feasible_moment():
    """Random contractions Z between the blocks are all feasible second moments, of every rank up to k."""
    rng = np.random.default_rng(0)
    for trial in range(20):
        stack = draw_subspaces(2, 3, 6, trial)
        values = np.sort(rng.random(6))[::-1]
        closed = (1 - values[:3] ** 2) @ two_subspace_eigenvalues(stack)
        inverse = np.linalg.inv(stack.reshape(6, 6))
        for _ in range(50):
            left, right = (np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(2))
            z = left @ np.diag(rng.random(3) ** rng.integers(0, 3)) @ right
            inner = np.block([[np.eye(3), z], [z.T, np.eye(3)]])
            assert cost(values, inverse @ inner @ inverse.T) >= closed - 1e-9


def planes_at(*degrees):
    """Two subspaces of R^(2 d) with these principal angles."""
    angles, zeros = np.deg2rad(degrees), np.zeros((len(degrees), len(degrees)))
    return np.stack(
        [np.hstack([np.eye(len(degrees)), zeros]), np.hstack([np.diag(np.cos(angles)), np.diag(np.sin(angles))])]
    )


def moment_of(stack, between):
    """The feasible second moment of two subspaces whose coordinates are O times each other."""
    inner = np.block([[np.eye(len(between)), between], [between.T, np.eye(len(between))]])
    inverse = np.linalg.inv(stack.reshape(2 * len(between), -1))
    return inverse @ inner @ inverse.T


def test_not_centred_only_the_rank_of_an_optimum_is_fixed():
    """Theorem 2(iii): s_1 = 1 makes lambda_1 free. Two optima, both checked by hand; the optimiser may find either."""
    stack, values = planes_at(60, 30), np.array([1.0, 0.8, 0.6, 0.4])
    least = 0.36 / np.cos(np.pi / 12) ** 2  # Theorem 4: c_1 = 0, c_2 times 1/cos^2 15 degrees
    assert least == pytest.approx(0.385847, abs=5e-7)
    ranks, effective = [], []
    for sign, first in ((1, 1 / np.cos(np.pi / 6) ** 2), (-1, 1 / np.sin(np.pi / 6) ** 2)):
        moment = moment_of(stack, np.diag([sign, 1.0]))
        for w in stack:
            assert np.abs(w @ moment @ w.T - np.eye(2)).max() < TOLERANCE
        assert cost(values, moment) == pytest.approx(least, abs=TOLERANCE)
        assert scipy.linalg.eigvalsh(moment)[::-1] == pytest.approx([first, 1.0717968, 0, 0], abs=1e-7)
        ranks.append(rank(moment, 1e-9))
        effective.append(effective_rank(moment))
    assert ranks == [2, 2] and effective == pytest.approx([1.988, 1.675], abs=5e-4)
    found = [subspace_whitening_optimum(values, stack, n_starts=1, seed=seed) for seed in range(6)]
    best = [one for one in found if one.value < least + 1e-7]
    assert best and min(one.value for one in found) == pytest.approx(least, abs=1e-7)
    assert np.ptp([one.eigenvalues[1] for one in best]) < 1e-5 and {one.rank for one in best} == {2}
    for one in best:  # 1.988 or 1.675, by lambda_1
        shares = one.eigenvalues[:2] / one.eigenvalues[:2].sum()
        assert one.effective_rank == pytest.approx(np.prod(shares**-shares), abs=1e-5) and one.effective_rank < 1.99
    # Control: centred, the same two moments differ in value, and every start ends with the eigenvalues of the closed form.
    centred = np.array([0.95, 0.8, 0.6, 0.4])
    costs = [cost(centred, moment_of(stack, np.diag([sign, 1.0]))) for sign in (1, -1)]
    assert costs[1] > costs[0] + 0.2
    for seed in range(3):
        found = subspace_whitening_optimum(centred, stack, n_starts=2, seed=seed)
        assert found.eigenvalues[:2] == pytest.approx(two_subspace_eigenvalues(stack), abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_not_centred_two_subspaces_always_leave_the_first_eigenvalue_free(seed):
    """Any principal angles, any spectrum with s_1 = 1: turning the first pair round changes lambda_1 and nothing else."""
    rng = np.random.default_rng(seed)
    degrees, rest = np.sort(rng.uniform(5, 85, size=3))[::-1], np.sort(rng.random(5))[::-1]
    stack, turned = planes_at(*degrees), np.diag([-1.0, 1.0, 1.0])
    moments = [moment_of(stack, between) for between in (np.eye(3), turned)]
    spectra = [scipy.linalg.eigvalsh(moment)[::-1] for moment in moments]
    values = np.array([1.0, *rest])
    least = (1 - values[:3] ** 2) @ (1 / np.cos(np.deg2rad(degrees) / 2) ** 2)
    assert [cost(values, moment) for moment in moments] == pytest.approx([least] * 2, rel=1e-9)
    assert np.abs(spectra[0][1:] - spectra[1][1:]).max() < 1e-9 * spectra[1][0]
    assert spectra[1][0] == pytest.approx(1 / np.sin(np.deg2rad(degrees[0]) / 2) ** 2, rel=1e-9)
    assert spectra[1][0] > spectra[0][0] + 1e-3
    values[0] = 0.99 * rest[0] + 0.01  # the control: s_1 below 1, and only one of them is least
    assert cost(values, moments[1]) > cost(values, moments[0]) + 1e-6


def test_a_deterministic_world_has_optima_of_every_rank():
    """All s_i = 1: everything costs nothing, so that K = 2 fixes d_s for some optimum only. Another spectrum does."""
    stack, flat = planes_at(60, 30), np.ones(4)
    moments = [moment_of(stack, size * np.eye(2)) for size in (1.0, 0.5)] + [moment_of(stack, np.diag([1.0, 0.5]))]
    assert [rank(moment, 1e-9) for moment in moments] == [2, 4, 3]
    assert max(abs(cost(flat, moment)) for moment in moments) < TOLERANCE
    tilted = np.array([0.99, 0.98, 0.97, 0.96])
    assert cost(tilted, moments[0]) < min(cost(tilted, moment) for moment in moments[1:]) - 1e-3


# Section 6: steep and flat spectra


def test_a_steep_spectrum_forces_rank_d_and_a_flat_one_does_not():
    stack, _ = sharp_subspaces(3, 1, 2, 0)
    spread = scipy.linalg.eigvalsh(np.einsum("jak,jal->kl", stack, stack))
    ratio = steep_spectrum_ratio(stack)
    assert ratio == pytest.approx(2 * np.sqrt(3) * spread[-1] / spread[0], rel=1e-9)
    steep = np.sqrt(1 - np.array([0.99 * 0.9 / ratio, 0.9, 0.95]))
    found = subspace_whitening_optimum(steep, stack, n_starts=6)
    assert found.rank == 1 and found.effective_rank < 1 + 1e-4
    assert subspace_whitening_optimum(FLAT[:3], stack, n_starts=2).rank == 2  # the same subspaces, the hypothesis dropped


def test_the_constant_function_takes_all_lines():
    """d_s = 1 and not centred: s_1 = 1 costs nothing, so that the optimum is the constant, rank 1, whatever the lines."""
    found = subspace_whitening_optimum([1.0, 0.9, 0.9, 0.8], draw_subspaces(4, 1, 4, 1), n_starts=2)
    assert found.value == pytest.approx(0, abs=1e-7) and found.rank == 1


def test_independent_subspaces_are_not_a_partition():
    """Negative control: the same K and d_s, other subspaces, and the rank is no longer d_s, nor the value K times."""
    values = 0.6 ** np.arange(1.0, 7)
    found = subspace_whitening_optimum(values, draw_subspaces(3, 2, 6, 0), n_starts=4)
    assert found.rank == 3 and found.value < partition_value(values, 3, 2) - 0.5
    assert subspace_whitening_optimum(values, draw_partition(3, 2, 0), n_starts=1).rank == 2


def test_a_linear_prediction_does_not_give_rank_d():
    """Negative control: g linear in f. On a noisy rotation of three states one function cannot predict itself."""
    turn = np.roll(np.eye(3), 1, axis=1)
    chain = 0.9 * turn + 0.1 * np.array([[0.6, 0.4, 0], [0.4, 0.6, 0], [0, 0, 1]])
    _, values, right_t = np.linalg.svd(chain)  # uniform law before and after: Mbar is the chain itself
    assert values[0] == pytest.approx(1) and values[1] > values[2] + 0.01
    angles = np.linspace(0, np.pi, 61)
    tables = np.sqrt(3) * (np.cos(angles)[:, None] * right_t[1] + np.sin(angles)[:, None] * right_t[2])
    results = {True: [], False: []}
    for i, j in itertools.product(range(len(angles)), repeat=2):
        f = np.stack([tables[i], tables[j]], axis=1)
        best = np.linalg.lstsq(f, chain @ f, rcond=1e-9)[0]
        error = np.mean(np.sum(f**2, axis=1)) - np.mean(np.sum((f @ best) ** 2, axis=1))
        results[np.linalg.matrix_rank(f, tol=1e-6) == 1].append(error)
    free = 2 * (1 - values[1] ** 2)  # a free prediction has this at rank 1
    assert min(results[True]) > free + 1 and min(results[False]) < free + 0.02


# Encoders and losses


@pytest.mark.parametrize("shared, centred", [(True, False), (True, True), (False, False)])
def test_encoder_attains_the_value(draw_world, shared, centred):
    world = draw_world(3, 7, 2, concentration=0.3)
    stack = draw_partition(2, 2, 1)
    matrices = [world.stacked()] if shared else [world.normalized(a) for a in range(2)]
    embedding = subspace_whitening_embedding(world.exact, stack.sum(axis=0), shared=shared, centred=centred)
    loss = subspace_whitening_loss(world.exact, embedding, stack, 5.0, shared=shared)
    for matrix, found in zip(matrices, np.atleast_1d(loss), strict=True):
        values = scipy.linalg.svdvals(matrix)
        expected = 2 * sum(1 - s * s for s in values[int(centred) : 2 + int(centred)])
        assert found == pytest.approx(expected, abs=TOLERANCE)
        assert partition_value(values, 2, 2, centred=centred) == pytest.approx(expected, abs=TOLERANCE)
    law = world.frequency @ world.next_weight if shared else world.next_weight[0]
    table = embedding.targets[0]
    assert rank(table.T @ (law[:, None] * table), 1e-9) == 2
    assert (np.abs(law @ table).max() < TOLERANCE) == centred


@pytest.mark.parametrize("shared", [True, False])
def test_loss_against_loops(draw_world, draw_embedding, shared):
    world = draw_world(4, 5, 2)
    embedding = draw_embedding(0, world, 4)
    stack = draw_subspaces(3, 2, 4, 0)
    moments, errors = np.zeros((2, 4, 4)), np.zeros(2)
    for a, x, y in itertools.product(range(2), range(5), range(5)):
        mass = world.weight[x] * world.transition[a, x, y]
        errors[a] += mass * np.sum((embedding.predicted[a, x] - embedding.target[y]) ** 2)
        moments[a] += mass * np.outer(embedding.target[y], embedding.target[y])
    if shared:
        errors, moments = [world.frequency @ errors], [sum(p * m for p, m in zip(world.frequency, moments, strict=True))]
    expected = [
        e + 0.7 * sum(np.sum((w @ m @ w.T - np.eye(2)) ** 2) for w in stack) for e, m in zip(errors, moments, strict=True)
    ]
    found = subspace_whitening_loss(world.exact, embedding, stack, 0.7, shared=shared)
    assert np.abs(np.atleast_1d(found) - expected).max() < TOLERANCE


def test_effective_rank_is_that_of_the_losses():
    samples = np.random.default_rng(0).standard_normal((50, 4)) @ np.diag([3.0, 1.0, 0.2, 0.0])
    expected = float(losses.sample_effective_rank(torch.as_tensor(samples)))
    assert 1.1 < expected < 3
    assert effective_rank(np.cov(samples.T, bias=True)) == pytest.approx(expected, rel=1e-9)
    assert effective_rank(np.zeros((3, 3))) == 0
    shares = np.array([0.7, 0.2, 0.1])
    assert effective_rank(np.diag(5 * shares)) == pytest.approx(np.prod(shares**-shares), rel=1e-12)


def test_wrong_input(refused):
    planes = draw_subspaces(2, 2, 4, 0)
    with refused("subspace_dim is 5", "between 1 and 4"):
        pataki_rank_bound(2, 5, 4)
    with refused("subspace_dim is 3", "between 1 and 2", "first is left out"):
        partition_value([1.0, 0.5, 0.2], 2, 3, centred=True)
    with refused("1 singular values", "at least 2"):
        subspace_whitening_optimum([0.5], planes)
    with refused("axes are (subspace, row, latent coordinate)"):
        independent_constraints(np.swapaxes(planes, 1, 2))
    with refused("off orthonormal", "QR"):
        two_subspace_eigenvalues(2 * planes)
    with refused("hold 3 of them", "expected 2"):
        two_subspace_eigenvalues(draw_subspaces(3, 1, 3, 0))
    with refused("linearly dependent in R^4", "expected K d_s <= k"):
        steep_spectrum_ratio(draw_subspaces(3, 2, 4, 0))
    with refused("no start reached", "orthonormalise"):  # raw rows: one line asked to have two variances
        subspace_whitening_optimum([0.9, 0.5], [[[1.0, 0.0]], [[2.0, 0.0]]], n_starts=1)
    collapsed = Embedding(np.zeros((2, 3)), np.zeros((1, 2, 3)), np.array([0.5, 0.5]))
    exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    with refused("subspaces has shape (2, 2, 4)", "(any, any, 3)"):
        subspace_whitening_loss(exact, collapsed, planes, 1.0)
    with refused("penalty is", "above 0"):
        subspace_whitening_loss(exact, collapsed, np.eye(3)[None], 0)
