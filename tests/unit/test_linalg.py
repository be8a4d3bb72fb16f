import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from spectral_jepa import linalg
from spectral_jepa.linalg import (
    inverse_or_zero,
    largest_right_vectors,
    largest_singular_triplets,
    singular_value_decomposition,
    squared_norm,
    subspace_angles,
    tail_energy,
)


def rank_one(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return np.outer(rng.standard_normal(n), rng.standard_normal(n))


def with_spectrum(values, shape, seed=0):
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.standard_normal((shape[0], shape[0])))[0][:, : len(values)]
    right = np.linalg.qr(rng.standard_normal((shape[1], shape[1])))[0][:, : len(values)]
    return left * values @ right.T


def test_inverse_or_zero():
    assert inverse_or_zero(np.array([4.0, 0.0, 2.0**-900])).tolist() == [0.25, 0.0, 2.0**900]


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8)])
def test_full_decomposition(shape):
    matrix = np.random.default_rng(1).standard_normal((2, *shape))
    left, values, right = singular_value_decomposition(matrix)
    r = min(shape)
    assert left.shape == (2, shape[0], r) and values.shape == (2, r) and right.shape == (2, shape[1], r)
    for i in range(2):
        assert np.abs(values[i] - scipy.linalg.svdvals(matrix[i])).max() < 1e-12
        assert np.abs(left[i] * values[i] @ right[i].T - matrix[i]).max() < 1e-12
        assert np.abs(left[i].T @ left[i] - np.eye(r)).max() < 1e-12
        assert np.abs(right[i].T @ right[i] - np.eye(r)).max() < 1e-12
        largest = np.abs(right[i]).argmax(axis=0)
        assert (right[i][largest, np.arange(r)] > 0).all()
    flipped = singular_value_decomposition(-matrix)
    assert np.abs(flipped[2] - right).max() < 1e-10 and np.abs(flipped[0] + left).max() < 1e-10


def test_a_known_top_pair_comes_first_among_equals():
    """All singular values of an orthogonal matrix are 1: the pair asked for is first, the rest still a decomposition."""
    rng = np.random.default_rng(0)
    matrix = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    right = rng.standard_normal(6)
    right /= np.linalg.norm(right) * np.sign(right[np.abs(right).argmax()])
    for left_vectors, values, right_vectors in (
        singular_value_decomposition(matrix, (matrix @ right, right)),
        largest_singular_triplets(matrix, 4, top=(matrix @ right, right)),
        largest_singular_triplets(sp.csr_array(matrix), 4, top=(matrix @ right, right)),
    ):
        k = values.size
        assert np.abs(values - 1).max() < 1e-12
        assert abs(abs(right_vectors[:, 0] @ right) - 1) < 1e-12
        assert np.abs(right_vectors.T @ right_vectors - np.eye(k)).max() < 1e-10
        assert np.abs(matrix @ right_vectors - left_vectors * values).max() < 1e-10
    plain = singular_value_decomposition(matrix)[2]
    assert abs(plain[:, 0] @ right) < 0.99  # which an SVD alone does not know


def test_tail_energy():
    values = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 0.5]])
    assert tail_energy(values, 0).tolist() == [14, 2.25]
    assert tail_energy(values, 1).tolist() == [5, 1.25]
    assert tail_energy(values, 3).tolist() == [0, 0]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", [(30, 30), (60, 20), (20, 60)])
@pytest.mark.parametrize("dim", [1, 5, 19])
def test_lanczos_equals_lapack(shape, dim, sparse):
    dense = sp.random_array(shape, density=0.2, rng=np.random.default_rng(3)).toarray()
    left, values, right = largest_singular_triplets(sp.csr_array(dense) if sparse else dense, dim, seed=1)
    assert left.shape == (shape[0], dim) and right.shape == (shape[1], dim)
    expected = scipy.linalg.svdvals(dense)[:dim]
    assert np.abs(values - expected).max() < 1e-10
    assert np.abs(dense @ right - left * values).max() < 1e-8
    best = np.linalg.norm(dense) ** 2 - np.sum(expected**2)
    assert np.linalg.norm(dense - left * values @ right.T) ** 2 == pytest.approx(best, abs=1e-10)


def test_lanczos_on_a_flat_spectrum_where_a_sketch_is_off():
    dense = with_spectrum(np.linspace(1, 0.9, 60), (60, 60))
    values = largest_singular_triplets(dense, 10)[1]
    exact = np.linspace(1, 0.9, 60)[:10]
    assert np.abs(values - exact).max() < 1e-10
    sketch = randomized_svd(dense, 10, n_iter=4, random_state=0)[1]
    assert np.abs(sketch - exact).max() > 1e-3


@pytest.mark.parametrize("dim", [1, 3, 9])
def test_lanczos_finds_every_copy_of_a_repeated_value(dim):
    assert np.abs(largest_singular_triplets(sp.eye_array(10, format="csr"), dim)[1] - 1).max() < 1e-12
    values = largest_singular_triplets(with_spectrum([2, 1, 1, 1, 1, 0.5], (10, 10)), 6)[1]
    assert np.abs(values - [2, 1, 1, 1, 1, 0.5]).max() < 1e-10


def test_lanczos_resolves_small_values_to_relative_accuracy():
    """The Gram matrix alone would lose everything below 1e-8."""
    values = largest_singular_triplets(with_spectrum([1, 1e-3, 1e-6], (20, 20)), 3)[1]
    assert values == pytest.approx([1, 1e-3, 1e-6], rel=1e-6)


def test_lanczos_beyond_the_rank():
    left, values, right = largest_singular_triplets(rank_one(), 5)
    assert np.abs(values[1:]).max() < 1e-6 * values[0]
    assert np.abs(left * values @ right.T - rank_one()).max() < 1e-8


def test_lanczos_on_a_zero_matrix():
    left, values, right = largest_singular_triplets(sp.csr_array((5, 4)), 3)
    assert values.tolist() == [0, 0, 0]
    assert np.array_equal(left.T @ left, np.eye(3)) and np.array_equal(right.T @ right, np.eye(3))


def test_lanczos_repeats_with_the_seed():
    matrix = sp.random_array((50, 50), density=0.1, rng=np.random.default_rng(0), format="csr")
    one, two = largest_singular_triplets(matrix, 5, seed=3), largest_singular_triplets(matrix, 5, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("dim", [0, 4, -1])
def test_lanczos_refuses_dimensions(refused, dim):
    with refused(f"dim is {dim}", "between 1 and 3"):
        largest_singular_triplets(np.eye(4), dim)


def test_squared_norm():
    assert squared_norm(np.array([[3.0, 0], [0, 4]])) == 25
    assert squared_norm(sp.csr_array(np.array([[3.0, 0], [0, 4]]))) == 25


def test_subspace_angles():
    angle = 0.3
    first, second = np.eye(3)[:, :2], np.array([[1, 0], [0, np.cos(angle)], [0, np.sin(angle)]])
    assert subspace_angles(first, second) == pytest.approx([angle, 0], abs=1e-8)
    assert subspace_angles(first, first @ [[1, 5], [2, 1]]) == pytest.approx([0, 0], abs=1e-7)


def test_subspace_angles_refuse_two_spaces(refused):
    with refused("3 and 4 rows", "expected equal"):
        subspace_angles(np.eye(3), np.eye(4))


def test_an_iteration_that_does_not_end_says_so(refused, monkeypatch):
    """A path's spectrum: the largest values differ by 1e-5. With one restart and no dense way out, one sentence."""
    n = 600
    path = sp.diags_array([np.full(n - 1, 0.5), np.full(n - 1, 0.5)], offsets=[-1, 1], shape=(n, n)).tocsr()
    monkeypatch.setattr(linalg, "MIN_RESTARTS", 1)
    monkeypatch.setattr(linalg, "PLAIN_RESTARTS", 1)
    monkeypatch.setattr(linalg, "PLAIN_OPERATIONS", 0)
    monkeypatch.setattr(linalg, "GROWTH", 0.01)
    monkeypatch.setattr(linalg, "MAX_OPERATIONS", 0)
    values = largest_singular_triplets(path, 3)[1]
    exact = np.sort(np.abs(np.cos(np.pi * np.arange(1, n + 1) / (n + 1))))[::-1]
    assert values == pytest.approx(exact[:3], abs=1e-12)  # the dense Gram matrix
    monkeypatch.setattr(linalg, "GRAM_STATES", 100)
    with refused("of 3 singular values of a matrix with 600 columns within its limit of 1 restarts", "fewer dimensions"):
        largest_singular_triplets(path, 3)


def test_right_vectors_without_the_known_ones():
    rng = np.random.default_rng(0)
    blocks = [rng.random(shape) for shape in ((300, 40), (200, 30))]
    blocks = [block / np.linalg.norm(block, 2) for block in blocks]
    matrix = sp.csr_array(sp.block_diag(blocks))
    known = np.zeros((70, 2))
    known[:40, 0], known[40:, 1] = (np.linalg.svd(block)[2][0] for block in blocks)
    values, right = largest_right_vectors(matrix, 5, known=sp.csc_array(known))
    expected = np.linalg.svd(matrix.toarray(), compute_uv=False)
    assert values == pytest.approx(expected[2:7], abs=1e-10)
    assert np.abs(right.T @ right - np.eye(5)).max() < 1e-10 and np.abs(known.T @ right).max() < 1e-8
    assert np.linalg.norm(matrix @ right, axis=0) == pytest.approx(values, abs=1e-9)


def test_right_vectors_where_nothing_is_left():
    matrix = sp.csr_array(np.eye(30)[:, :10])
    values, right = largest_right_vectors(matrix, 4, known=sp.csc_array(np.eye(10)))
    assert not values.any() and not right.any()


def test_values_that_lie_close_together_are_set_apart(monkeypatch):
    """A lazy ring: cos(pi j / n), each twice but the first, less than 1e-6 apart. Plain Lanczos gives up."""
    n, used = 3001, []
    at = np.arange(n)
    ring = sp.csr_array((np.full(2 * n, 0.5), (np.tile(at, 2), np.append(at, (at + 1) % n))), shape=(n, n))
    filtered = linalg._filtered_eigenpairs
    monkeypatch.setattr(linalg, "PLAIN_OPERATIONS", 0)
    monkeypatch.setattr(linalg, "_filtered_eigenpairs", lambda *given: used.append(1) or filtered(*given))
    left, values, right = linalg.largest_singular_triplets(ring, 7, tolerance=1e-8)
    expected = np.abs(np.cos(np.pi * np.array([0, 1, 1, 2, 2, 3, 3]) / n))
    assert used and np.abs(values - expected).max() < 1e-12
    assert np.abs(ring @ right - left * values).max() < 1e-10 and np.abs(right.T @ right - np.eye(7)).max() < 1e-10


def test_values_far_above_the_close_ones_do_not_spoil_the_polynomial(monkeypatch):
    """Beside a ring of values below .001 stand 1, .5 and .25: on these the polynomial for the ring would overflow."""
    n = 3001
    at = np.arange(n)
    ring = sp.csr_array((np.full(2 * n, 0.0005), (np.tile(at, 2), np.append(at, (at + 1) % n))), shape=(n, n))
    matrix = sp.csr_array(sp.block_diag([sp.diags_array([1.0, 0.5, 0.25]), ring]))
    monkeypatch.setattr(linalg, "PLAIN_OPERATIONS", 0)
    left, values, right = linalg.largest_singular_triplets(matrix, 6, tolerance=1e-8)
    expected = [1, 0.5, 0.25, *(0.001 * np.cos(np.pi * np.array([0, 1, 1]) / n))]
    assert np.abs(values - expected).max() < 1e-12
    assert np.abs(matrix @ right - left * values).max() < 1e-10 and np.abs(right.T @ right - np.eye(6)).max() < 1e-10
