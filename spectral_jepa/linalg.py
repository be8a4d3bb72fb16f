"""Numerics without MDP words: singular values, tails, subspace angles, projections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spectral_jepa._late import linalg, sparse_linalg
from spectral_jepa._late import sparse as sp
from spectral_jepa._validation import Array, InputError, check_count, require_memory


def inverse_or_zero(values: Array) -> Array:
    """Elementwise 1/v with 0/0 := 0, so that states without mass drop out instead of exploding.

    Parameters
    ----------
    values : array of any shape, >= 0
        Weights, or roots of weights.

    Returns
    -------
    array of the same shape
        0 where ``values`` is not above 0.

    Examples
    --------
    >>> inverse_or_zero(np.array([0.5, 0.0]))
    array([2., 0.])
    """
    safe = np.where(values > 0, values, 1.0)
    return np.where(values > 0, 1 / safe, 0.0)


Pair = tuple[Array, Array]
# Accuracy of the search for missed copies of a repeated value. The error of an eigenvalue is quadratic in it.
MISSED_TOLERANCE = 1e-4
# Limits of the iterations: about a minute of one core, and rounds that find more copies. Up to this many columns the dense
# Gram matrix (32 MiB) is there when they are reached.
MAX_OPERATIONS, MIN_RESTARTS, MAX_ROUNDS = 4e10, 100, 50
GRAM_STATES = 2048
# Beyond it, where values lie close together, a polynomial of the matrix sets them apart: after so many operations without
# it; its cut from so many steps; its growth, as a logarithm, from there to the largest value.
PLAIN_OPERATIONS, PLAIN_RESTARTS, CUT_STEPS, GROWTH = 5e9, 20, 60, 8.0
# The Gram matrix is made where it has at most this many entries for one of the matrix.
GRAM_SHARE = 4


def singular_value_decomposition(matrix: Array, top: Pair | None = None) -> tuple[Array, Array, Array]:
    """Full thin SVD of (..., m, n) with a fixed sign: the largest entry of each right vector is positive.

    Parameters
    ----------
    matrix : array (..., m, n)
    top : pair of arrays (..., m), (..., n), optional
        Unit vectors known to be a pair of the largest singular value (zeros: none known). It then comes first even where
        that value is repeated and any rotation of the tied vectors would be an SVD as well.

    Returns
    -------
    left (..., m, r), values (..., r), right (..., n, r) with matrix = left * values @ right^T and r = min(m, n).
    O(m n min(m, n)).

    Examples
    --------
    >>> left, values, right = singular_value_decomposition(np.diag([1.0, 3.0]))
    >>> values
    array([3., 1.])
    """
    if top is not None:
        # Adding the pair once more sets its value apart by 1 and leaves the others as they are.
        matrix = matrix + top[0][..., :, None] * top[1][..., None, :]
    left, values, right_t = np.linalg.svd(matrix, full_matrices=False)
    if top is not None:
        values[..., 0] -= np.sum(top[0] ** 2, axis=-1)
    right = np.swapaxes(right_t, -1, -2)
    pivot = np.take_along_axis(right, np.abs(right).argmax(-2)[..., None, :], -2)
    sign = np.where(pivot < 0, -1.0, 1.0)
    return left * sign, values, right * sign


def tail_energy(values: Array, dim: int) -> Array:
    """Sum of squares beyond the first ``dim`` of sorted singular values (..., r): Eckart-Young's optimum.

    Parameters
    ----------
    values : array (..., r)
        Singular values, descending.
    dim : int >= 0
        How many are kept; from r on nothing is left.

    Returns
    -------
    array (...)

    Notes
    -----
    O(r) a spectrum. Source: docs/theory.md, 2.2.

    Examples
    --------
    >>> float(tail_energy(np.array([3.0, 2.0, 1.0]), 1))
    5.0
    """
    return np.sum(values[..., dim:] ** 2, axis=-1)


def largest_singular_triplets(
    matrix: Array | sp.csr_array, dim: int, *, seed: int = 0, tolerance: float = 0.0, top: Pair | None = None
) -> tuple[Array, Array, Array]:
    """The ``dim`` largest singular triplets by Lanczos (implicitly restarted, scipy).

    Lanczos is the honest default on large sparse matrices: a randomized sketch is off by percents on flat spectra. Copies of
    a repeated value, which one run may miss (symmetric worlds have them), are searched for and found.

    Parameters
    ----------
    matrix : dense or scipy.sparse (m, n)
    dim : int in [1, min(m, n) - 1]
    seed : int
        Seeds the start vector, so that the same call gives the same bits.
    tolerance : float
        Relative residual asked of the eigenpairs of the Gram matrix; 0 means machine precision. The error of the vectors is
        of its order over the gap, that of the values of its square: 1e-6 is plenty where only values are wanted.
    top : pair of arrays (m,), (n,), optional
        A known pair of the largest singular value, put first: see :func:`singular_value_decomposition`.

    Returns
    -------
    left (m, dim), values (dim,) descending, right (n, dim)

    Raises
    ------
    InputError
        If ``dim`` is out of range, or if the iteration does not end within its limit.

    Notes
    -----
    O(non-zeros + n dim) an iteration, and O((m + n) dim) memory. The check for missed copies adds about a fifth, and is
    skipped where the Frobenius norm shows that nothing can be missing.

    Examples
    --------
    >>> left, values, right = largest_singular_triplets(np.diag([1.0, 3.0, 2.0]), 2)
    >>> values.round(12)
    array([3., 2.])
    """
    check_count("dim", dim, 1, min(matrix.shape) - 1, "Lanczos finds all but the last singular value")
    # Lanczos holds a basis of twice as many vectors, then the pairs themselves.
    size = (2 * dim + 1, min(matrix.shape) + sum(matrix.shape))
    require_memory(size, "the Lanczos basis", "ask for fewer dimensions")
    if not squared_norm(matrix):  # ARPACK refuses a zero operator.
        return np.eye(matrix.shape[0], dim), np.zeros(dim), np.eye(matrix.shape[1], dim)
    # Work on the side with fewer columns: the Gram operator is then the smaller of the two.
    transposed = matrix.shape[0] < matrix.shape[1]
    first_left, first_right = (np.zeros(m) for m in matrix.shape) if top is None else top
    lift = float(first_left @ first_left)
    if transposed:
        first_left, first_right = first_right, first_left
    tall = matrix.T if transposed else matrix
    tall = _with_small_indices(sp.csr_array(tall)) if sp.issparse(tall) else np.asarray(tall)
    wide = tall.T  # a view: for a sparse matrix the scatter it implies is as fast as a second copy in CSR
    n = tall.shape[1]

    def image(v: Array) -> Array:
        return tall @ v + np.multiply.outer(first_left, first_right @ v) if lift else tall @ v

    gram = _small_gram(tall) if isinstance(tall, sp.csr_array) and n > GRAM_STATES else None
    across = wide @ first_left if gram is not None else first_right

    def gram_image(v: Array) -> Array:
        if gram is not None:
            along = first_right @ v
            return (
                gram @ v + np.multiply.outer(across + lift * first_right, along) + np.multiply.outer(first_right, across @ v)
            )
        u = image(v)
        return wide @ u + np.multiply.outer(first_right, first_left @ u) if lift else wide @ u

    # Beside the known pair the lift adds nothing, and the Gram matrix alone is a third of the work.
    bare = (lambda v: gram @ v) if gram is not None and lift else gram_image
    cost = 4 * (tall.nnz if isinstance(tall, sp.csr_array) else tall.size)
    squares, right = _largest_eigenpairs(gram_image, n, dim, tolerance, np.random.default_rng(seed), cost, bare=bare)
    energy = squared_norm(tall) + (squares[0] - (np.sqrt(squares[0]) - lift) ** 2)
    squares, right = _with_missed_copies(gram_image, squares, right, energy, tolerance, seed, cost, bare)
    # The Gram matrix squares the condition number; a small SVD of its image restores full relative accuracy.
    left, values, rotation_t = np.linalg.svd(image(right), full_matrices=False)
    values[0] -= lift
    right = right @ rotation_t.T
    return (right, values, left) if transposed else (left, values, right)


def largest_right_vectors(
    matrix: sp.csr_array, dim: int, *, seed: int = 0, tolerance: float = 0.0, known: sp.csc_array | None = None
) -> tuple[Array, Array]:
    """The ``dim`` largest singular values and right vectors of a tall matrix, without any array of its height times ``dim``.

    Parameters
    ----------
    matrix : scipy.sparse (m, n)
    dim : int >= 1
        Beyond the rank of what is left, values and vectors are 0.
    seed : int
        Seeds the start vector.
    tolerance : float
        As in :func:`largest_singular_triplets`.
    known : sparse matrix (n, c), optional
        Orthonormal right vectors of values that are exactly 1, taken out before the search.

    Returns
    -------
    values (dim,) descending, right (n, dim)

    Raises
    ------
    InputError
        If the search does not end within its limit.

    Notes
    -----
    O(non-zeros + n dim) an iteration, O(n dim) memory. Values come from the Gram matrix: half the digits of the smallest are
    lost, which is harmless where they are compared with noise.

    Examples
    --------
    >>> values, right = largest_right_vectors(sp.csr_array(np.diag([1.0, 3.0, 2.0])), 2)
    >>> values.round(12), right.shape
    (array([3., 2.]), (3, 2))
    """
    n = matrix.shape[1]
    tall = _with_small_indices(matrix)
    wide = tall.T
    gram = _small_gram(tall)

    def gram_image(v: Array) -> Array:
        image = wide @ (tall @ v) if gram is None else gram @ v
        return image if known is None else image - known @ (known.T @ v)

    energy = squared_norm(tall) - (0 if known is None else known.shape[1])
    values, right = np.zeros(dim), np.zeros((n, dim))
    if energy <= 1e-10 * max(squared_norm(tall), 1e-300):
        return values, right
    found = min(dim, n - 1)
    cost = 4 * tall.nnz
    squares, vectors = _largest_eigenpairs(gram_image, n, found, tolerance, np.random.default_rng(seed), cost)
    squares, vectors = _with_missed_copies(gram_image, squares, vectors, energy, tolerance, seed, cost, gram_image)
    values[:found], right[:, :found] = np.sqrt(np.maximum(squares, 0.0)), vectors
    return values, right


def _small_gram(tall: sp.csr_array) -> sp.csr_array | None:
    """The Gram matrix, where rows have few entries: it has hardly more of them, and its product stays in the cache."""
    per_row = np.diff(tall.indptr).astype(np.float64)
    if (per_row**2).sum() > GRAM_SHARE * tall.nnz:
        return None
    return _with_small_indices(sp.csr_array(tall.T @ tall))


def _with_missed_copies(
    gram_image: Callable[[Array], Array],
    squares: Array,
    right: Array,
    energy: float,
    tolerance: float,
    seed: int,
    cost: float,
    bare: Callable[[Array], Array],
) -> tuple[Array, Array]:
    """The same eigenpairs with the copies of repeated values that the search left out."""
    n, dim = right.shape
    # A start vector sees one copy of a repeated value; rounding brings most of the others, not all. Any value that was
    # missed is the largest of what is left after deflation, unless too little energy is left for one.
    for _ in range(MAX_ROUNDS):
        if energy - squares.sum() <= squares[-1]:
            return squares, right

        def rest_image(v: Array, found: Array = right, scaled: Array = right * squares) -> Array:
            return gram_image(v) - scaled @ (found.T @ v)

        loose = max(tolerance, MISSED_TOLERANCE)
        rng = np.random.default_rng([seed, 1])
        largest, _ = _largest_eigenpairs(rest_image, n, 1, loose, rng, cost, bare=bare, known=right)
        if largest[0] <= squares[-1] * (1 + 1e-10):
            return squares, right
        rng = np.random.default_rng([seed, 2])
        more = _largest_eigenpairs(rest_image, n, min(dim, n - 1), tolerance, rng, cost, bare=bare, known=right)[1]
        squares, right = _ritz_pairs(gram_image, np.linalg.qr(np.hstack([right, more]))[0], dim)
    raise InputError(
        f"the search for copies of repeated singular values of a matrix with {n} columns did not end after {MAX_ROUNDS} "
        f"rounds, expected fewer copies among the {dim} largest: ask for fewer dimensions"
    )


def _largest_eigenpairs(
    image: Callable[[Array], Array],
    n: int,
    dim: int,
    tolerance: float,
    rng: np.random.Generator,
    cost: float,
    *,
    bare: Callable[[Array], Array] | None = None,
    known: Array | None = None,
) -> tuple[Array, Array]:
    """Largest eigenvalues (dim,), descending, and eigenvectors (n, dim) of a symmetric operator on R^n.

    ``known`` are eigenvectors (n, c) that ``image`` takes out. ``bare`` is the same operator on the complement of these and
    of the largest vector, and cheaper.
    """
    n_vectors = max(2 * dim + 1, 20)
    if n_vectors >= n:  # the Krylov basis would fill the space, and ARPACK fail on repeated values
        return _ritz_pairs(image, np.eye(n), dim)
    operator = sparse_linalg.LinearOperator((n, n), matvec=lambda v: image(np.ravel(v)), dtype=np.float64)
    # Operations of one restart: its products, and as many steps of orthogonalisation.
    restart = (n_vectors - dim) * (cost + 4 * n * n_vectors)
    limit = int(max(MIN_RESTARTS, MAX_OPERATIONS / restart))
    plain = limit if n <= GRAM_STATES else int(max(PLAIN_RESTARTS, PLAIN_OPERATIONS / restart))
    start = rng.standard_normal(n)
    try:
        values, vectors = sparse_linalg.eigsh(operator, dim, v0=start, tol=tolerance, ncv=n_vectors, maxiter=plain)
    except sparse_linalg.ArpackNoConvergence as error:
        if n > GRAM_STATES:
            found = np.asarray(error.eigenvectors)
            # Without a vector found or known the lifted one may still be among what is sought.
            cheap = bare if bare is not None and (found.shape[1] or known is not None) else image
            skipped = found if known is None else np.hstack([known, found])
            return _filtered_eigenpairs(image, cheap, found, skipped, dim, tolerance, start, cost)
        return _ritz_pairs(image, np.eye(n), dim)
    except sparse_linalg.ArpackError:  # a handful of distinct values leaves it nothing to restart with
        advice = "ask for fewer dimensions, or use RandomizedSVD, which is exact where values repeat"
        require_memory((n, n), "the dense Gram matrix, needed because Lanczos broke down,", advice, copies=4)
        return _ritz_pairs(image, np.eye(n), dim)
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]


def _filtered_eigenpairs(
    image: Callable[[Array], Array],
    bare: Callable[[Array], Array],
    found: Array,
    skipped: Array,
    dim: int,
    tolerance: float,
    start: Array,
    cost: float,
) -> tuple[Array, Array]:
    """Largest eigenpairs of a positive symmetric operator whose values lie close together, beside those (n, c) found.

    ``skipped`` are the eigenvectors among which it does not search; on their complement ``bare`` is the operator.
    Lanczos on a Chebyshev polynomial that is small on [0, cut] and grows fast above it: it keeps the order of what is
    larger, and sets it apart. The cut is below every wanted value, because Ritz values are below what they stand for.
    """
    n, missing = start.size, dim - found.shape[1]
    skipped = np.asfortranarray(np.linalg.qr(skipped)[0] if skipped.shape[1] else skipped)

    def beside(v: Array) -> Array:
        return v - skipped @ (skipped.T @ v)

    def rest(v: Array) -> Array:
        return beside(bare(beside(v)))

    steps = max(CUT_STEPS, 3 * missing)
    basis = np.zeros((steps, n))
    vector = rest(start)
    for i in range(steps):
        for _ in range(2):  # once is not enough
            vector -= basis[:i].T @ (basis[:i] @ vector)
        basis[i] = vector / np.linalg.norm(vector)
        vector = rest(basis[i])
    ritz = np.linalg.eigvalsh(np.stack([rest(v) for v in basis]) @ basis.T)[::-1]
    del basis
    cut = max(ritz[missing], 1e-12 * ritz[0])
    degree = max(2, int(GROWTH / max(np.arccosh(max(2 * ritz[0] / cut - 1, 1.0)), GROWTH / 200)))
    # What rounding puts on the skipped vectors grows as they would. Where that is much, it is taken out at each step.
    top = float(np.max(np.sum(skipped * bare(skipped), axis=0), initial=0.0))
    step = bare if degree * np.arccosh(max(2 * top / cut - 1, 1.0)) < 2 * GROWTH else rest

    def polynomial(v: Array) -> Array:
        before = beside(v)
        now = 2 / cut * step(before) - before
        for _ in range(degree - 1):
            after = step(now)
            after *= 4 / cut
            after -= 2 * now
            after -= before
            before, now = now, after
        return beside(now)

    n_vectors = min(max(4 * missing, 40), n - 1)
    restart = (n_vectors - missing) * (degree * (cost + 4 * n) + 4 * n * n_vectors)
    limit = int(max(1, MIN_RESTARTS // 10, MAX_OPERATIONS / restart))
    operator = sparse_linalg.LinearOperator((n, n), matvec=lambda v: polynomial(np.ravel(v)), dtype=np.float64)
    try:
        _, vectors = sparse_linalg.eigsh(
            operator, missing, which="LA", v0=rest(start), tol=tolerance, ncv=n_vectors, maxiter=limit
        )
    except sparse_linalg.ArpackError as error:
        n_found = found.shape[1] + len(getattr(error, "eigenvalues", ()))
        raise InputError(
            f"Lanczos found {n_found} of {dim} singular values of a matrix with {n} columns within "
            f"its limit of {limit} restarts, expected a spectrum with gaps: its values lie too close together, so ask "
            "for fewer dimensions, or use RandomizedSVD"
        ) from None
    return _ritz_pairs(image, np.linalg.qr(np.hstack([found, vectors]))[0], dim)


def _ritz_pairs(image: Callable[[Array], Array], basis: Array, dim: int) -> tuple[Array, Array]:
    """The ``dim`` largest eigenpairs of a symmetric operator within the span of an orthonormal basis (n, l)."""
    values, rotation = np.linalg.eigh(basis.T @ image(basis))
    return values[::-1][:dim], basis @ rotation[:, ::-1][:, :dim]


def _with_small_indices(matrix: sp.csr_array) -> sp.csr_array:
    """The same matrix with 32-bit indices where they suffice: a product is bound by memory, so this is a fifth faster."""
    if max(matrix.nnz, *matrix.shape) > np.iinfo(np.int32).max:
        return matrix
    indices, starts = (part.astype(np.int32, copy=False) for part in (matrix.indices, matrix.indptr))
    return sp.csr_array((matrix.data, indices, starts), shape=matrix.shape)


def squared_norm(matrix: Any) -> float:
    """Squared Frobenius norm, dense or sparse.

    Parameters
    ----------
    matrix : array of any shape, or scipy.sparse
        A sparse one with its duplicates summed.

    Returns
    -------
    float

    Notes
    -----
    O(entries), or O(non-zeros) when sparse.

    Examples
    --------
    >>> matrix = np.array([[1.0, 2.0], [0.0, 2.0]])
    >>> squared_norm(matrix), squared_norm(sp.csr_array(matrix))
    (9.0, 9.0)
    """
    data = matrix.data if sp.issparse(matrix) else matrix
    return float(np.sum(np.square(data)))


def subspace_angles(first: Array, second: Array) -> Array:
    """Principal angles in radians, descending, between the column spaces of (n, k) and (n, l).

    Parameters
    ----------
    first, second : array (n, k), array (n, l)
        Columns that span the two spaces; they need not be orthonormal.

    Returns
    -------
    array (min(k, l),)
        In [0, pi/2]; fewer where columns are linearly dependent.

    Raises
    ------
    InputError
        If the two have different numbers of rows.

    Notes
    -----
    O(n (k^2 + l^2)), by scipy.

    Examples
    --------
    A line in a plane, and another that is at a right angle to it.

    >>> line, plane = np.eye(3)[:, :1], np.eye(3)[:, :2]
    >>> subspace_angles(line, plane).round(4), subspace_angles(line, np.eye(3)[:, 1:2]).round(4)
    (array([0.]), array([1.5708]))
    """
    if first.shape[0] != second.shape[0]:
        raise InputError(
            f"the bases have {first.shape[0]} and {second.shape[0]} rows, expected equal: they live in one space"
        )
    return linalg.subspace_angles(first, second)


def project_to_capped_simplex(values: Array, cap: float = 1.0) -> Array:
    """Euclidean projection of a vector onto {t >= 0, sum t <= cap}.

    Parameters
    ----------
    values : array (r,)
        In any order, of any sign.
    cap : float > 0

    Returns
    -------
    array (r,)
        max(0, v - c) with the least c >= 0 that keeps the sum within ``cap``.

    Notes
    -----
    O(r log r). The matrix of nuclear norm at most ``cap`` that is nearest to a given one has its singular vectors and these
    singular values (docs/theory.md, 2.3).

    Examples
    --------
    >>> project_to_capped_simplex(np.array([1.0, 1.0])), project_to_capped_simplex(np.array([0.5, -1.0]))
    (array([0.5, 0.5]), array([0.5, 0. ]))
    """
    positive = np.maximum(values, 0.0)
    if positive.sum() <= cap:
        return positive
    ordered = np.sort(values)[::-1]
    thresholds = (np.cumsum(ordered) - cap) / np.arange(1, values.size + 1)
    last = np.flatnonzero(ordered > thresholds)[-1]
    return np.maximum(values - thresholds[last], 0.0)
