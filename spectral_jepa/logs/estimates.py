"""What a log's counts say, one quantity a function: the parts of :func:`spectral_jepa.logs.analysis.analyze`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._late import sparse as sp
from spectral_jepa._validation import Array, InputError, check_count, require_memory
from spectral_jepa.data import Ids
from spectral_jepa.linalg import inverse_or_zero, largest_right_vectors, squared_norm
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.sampling_bounds import INDEPENDENT, KNOWN

# Up to this many reached states one full SVD is cheap and every dimension is tried; beyond it, LANCZOS_DIMS of them.
FULL_STATES = 256
LANCZOS_DIMS = 64
# A dense matrix of more entries (128 MiB) is factorised a few rows at a time, pieces of this many entries (32 MiB).
TALL_ENTRIES, PIECE = 2**24, 2**22
# Of Lanczos: values are off by its square, and vectors turn within noise only.
TOLERANCE = 1e-4
# Prices tried: none, then a tenth more at each step; at 1 only the constant is left. The larger first, which wins ties.
PRICES = np.append(np.geomspace(1.0, 0.003, 60), 0.0)
DENSE_ADVICE = "ask for fewer dims (--dims), which uses Lanczos on a sparse matrix"


def choose_dims(dims: ArrayLike | None, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Latent dimensions to try: the asked ones, or all that one decomposition serves cheaply.

    Parameters
    ----------
    dims : int, sequence of int, or None
        None: all of them up to 256 reached states; 1 to 64 beyond.
    shape : pair of int
        Visited pairs and reached states of the log.

    Returns
    -------
    integer array (D,)
        Ascending, without repeats.

    Raises
    ------
    InputError
        If ``dims`` is empty, or a dimension is not between 1 and the smaller side of ``shape``.

    Examples
    --------
    >>> choose_dims(None, (3, 5)), choose_dims([4, 2, 2], (9, 9))
    (array([1, 2, 3]), array([2, 4]))
    """
    largest = min(shape)
    if dims is None:
        return np.arange(1, (largest if shape[1] <= FULL_STATES else min(LANCZOS_DIMS, max(largest - 1, 1))) + 1)
    asked = np.unique(np.atleast_1d(np.asarray(dims)))
    if not asked.size:
        raise InputError("dims is empty, expected at least one latent dimension: pass for example range(1, 33)")
    why = f"the log has {shape[0]} visited pairs and {shape[1]} reached states"
    return np.array([check_count("a dimension in dims", k, 1, largest, why) for k in asked])


def count(row: Ids, column: Ids, shape: tuple[int, int]) -> sp.csr_array:
    """How often each pair (row, column) came up, as a sparse matrix.

    Parameters
    ----------
    row, column : integer arrays (N,)
        Numbers of the visited pair (x, a) and of the reached state y of each transition.
    shape : pair of int
        Visited pairs and reached states.

    Returns
    -------
    CSR matrix of that shape
        Sums to N.

    Examples
    --------
    >>> count(np.array([0, 0, 1]), np.array([1, 1, 0]), (2, 2)).toarray()
    array([[0., 2.],
           [1., 0.]])
    """
    return sp.coo_array((np.ones(row.size), (row, column)), shape=shape).tocsr()


def marginals(counts: sp.csr_array) -> tuple[Array, Array]:
    """Sums of the rows and of the columns.

    Parameters
    ----------
    counts : CSR matrix (rows, columns)

    Returns
    -------
    visits : array (rows,)
    arrivals : array (columns,)

    Examples
    --------
    >>> marginals(sp.csr_array([[0.0, 2.0], [1.0, 0.0]]))
    (array([2., 1.]), array([1., 2.]))
    """
    return np.asarray(counts.sum(axis=1)).ravel(), np.asarray(counts.sum(axis=0)).ravel()


def normalize(counts: sp.csr_array) -> sp.csr_array:
    """Counts over the roots of their marginals, the plug-in estimate of the stacked matrix: N cancels.

    Parameters
    ----------
    counts : CSR matrix (rows, columns)

    Returns
    -------
    CSR matrix (rows, columns)
        0 in rows and columns without counts.

    Examples
    --------
    >>> counts = sp.csr_array([[9.0, 1.0], [1.0, 9.0]])
    >>> normalize(counts).toarray().round(12)
    array([[0.9, 0.1],
           [0.1, 0.9]])
    """
    rows, columns = (inverse_or_zero(np.sqrt(m)) for m in marginals(counts))
    return _scaled(counts, rows, columns)


def _scaled(matrix: sp.csr_array, rows: Array, columns: Array) -> sp.csr_array:
    """Rows and columns times numbers of their own: as products with diagonal matrices, which take five times as long."""
    data = matrix.data * np.repeat(rows, np.diff(matrix.indptr)) * columns[matrix.indices]
    return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def groups(matrix: sp.csr_array) -> tuple[int, NDArray[np.int32], NDArray[np.int32]]:
    """Connected groups of rows and columns, joined where an entry is stored.

    Parameters
    ----------
    matrix : CSR matrix (m, n)

    Returns
    -------
    n_groups : int
    rows, columns : integer arrays (m,), (n,)
        The group of each.

    Notes
    -----
    O(non-zeros + m + n). One direction of each edge is enough, and needs no transposed copy.

    Examples
    --------
    >>> groups(sp.csr_array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]))
    (2, array([0, 1, 0], dtype=int32), array([0, 1], dtype=int32))
    """
    m, n = matrix.shape
    starts = np.concatenate([matrix.indptr, np.full(n, matrix.indptr[-1], dtype=matrix.indptr.dtype)])
    edges = sp.csr_array((np.ones(matrix.nnz), matrix.indices + m, starts), shape=(m + n, m + n))
    from scipy.sparse.csgraph import connected_components

    n_groups, labels = connected_components(edges, directed=False)
    return int(n_groups), labels[:m], labels[m:]


def decompose(counts: sp.csr_array, dim: int, seed: int) -> tuple[Array, Array]:
    """The first ``dim`` singular values of the normalised counts and their right vectors.

    Parameters
    ----------
    counts : CSR matrix (m, n)
    dim : int
        At most min(m, n).
    seed : int
        Of the Lanczos start.

    Returns
    -------
    values (dim,) descending, right (n, dim)
        The left vectors are not made: they are normalised counts times right over values. Vectors of a value of 0 may be 0.

    Raises
    ------
    InputError
        If the dense matrix is called for and would not fit in memory.

    Notes
    -----
    LAPACK up to 256 columns, or where more than a quarter of all triplets is asked for: O(m n min(m, n)), in pieces where
    it is tall. Else groups first: each group of pairs and next states that no transition joins to the rest has a value of
    exactly 1 with known vectors, the larger group first; Lanczos finds what is left: O(non-zeros + n dim) an iteration.

    Examples
    --------
    >>> counts = sp.csr_array([[9.0, 1.0], [1.0, 9.0]])
    >>> decompose(counts, 2, seed=0)[0].round(12)
    array([1. , 0.8])
    """
    matrix = normalize(counts)
    m, n = matrix.shape
    if n <= FULL_STATES or dim > min(m, n) // 4:
        if m * n > TALL_ENTRIES and m > 2 * n:
            require_memory((3, n, n), "the co-occurrence of the log", DENSE_ADVICE)
            dense = _triangle(matrix)
        else:
            require_memory((3, m, n), "the co-occurrence of the log with its factors", DENSE_ADVICE)
            dense = matrix.toarray()
        _, values, right_t = np.linalg.svd(dense, full_matrices=False)
        return values[:dim], right_t[:dim].T
    known = _group_vectors(counts)
    n_known = known.shape[1]
    if n_known >= dim:
        return np.ones(dim), known[:, :dim].toarray()
    values, right = largest_right_vectors(matrix, dim - n_known, seed=seed, tolerance=TOLERANCE, known=known)
    return np.concatenate([np.ones(n_known), values]), np.hstack([known.toarray(), right])


def _group_vectors(counts: sp.csr_array) -> sp.csc_array:
    """Right vectors of the values that are exactly 1, one a connected group, the largest group first."""
    n_groups, _, column = groups(counts)
    arrivals = marginals(counts)[1]
    total = np.bincount(column, arrivals, minlength=n_groups)
    order = np.argsort(-total, kind="stable")
    place = np.empty(n_groups, dtype=np.int64)
    place[order] = np.arange(n_groups)
    reached = np.flatnonzero(arrivals)
    entries = np.sqrt(arrivals[reached] / total[column[reached]])
    shape = (counts.shape[1], int(np.count_nonzero(total)))
    return sp.csc_array(sp.coo_array((entries, (reached, place[column[reached]])), shape=shape))


def _triangle(matrix: sp.csr_array) -> Array:
    """R of a QR of a tall matrix, a few rows at a time."""
    n = matrix.shape[1]
    triangle = np.zeros((0, n))
    step = max(n, PIECE // n)
    for begin in range(0, matrix.shape[0], step):
        stacked = np.vstack([triangle, matrix[begin : begin + step].toarray()])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
    return triangle


def held_out(train: sp.csr_array, test: sp.csr_array, dims: NDArray[np.int64], seed: int) -> tuple[Array, Array]:
    """Mean of g^T f+ and of (g^T f')^2 over different held-out transitions, for every dimension at once.

    Parameters
    ----------
    train, test : CSR matrices (m, n)
        Counts of the two parts; f and g come from the first.
    dims : integer array (D,)
        Ascending.
    seed : int
        Of the Lanczos start.

    Returns
    -------
    aligned, independent : arrays (D,)
        L_spec on the test part is ``independent - 2 * aligned``.

    Notes
    -----
    O(entries K + (m + n) K^2) for K the largest dimension, beside the decomposition. Source: docs/theory.md, 2.1.

    Examples
    --------
    The constant function gives 1 and 1. With the second, g^T f is .9 / .5 where the state stays and .1 / .5 where not:
    .9 * 1.8 + .1 * .2.

    >>> counts = sp.csr_array([[9.0, 1.0], [1.0, 9.0]])
    >>> aligned, independent = held_out(counts, counts, np.array([1, 2]), seed=0)
    >>> aligned.round(12), independent.round(4)
    (array([1.  , 1.64]), array([1.    , 1.5726]))
    """
    _, right = decompose(train, int(dims[-1]), seed)
    visits, arrivals = marginals(train)
    total = visits.sum()
    scale = inverse_or_zero(np.sqrt(visits / total))
    target = inverse_or_zero(np.sqrt(arrivals / total))[:, None] * right
    matrix, size = normalize(train), test.sum()
    visits, arrivals = marginals(test)
    n_dims = int(dims[-1])
    own, own_squared, moment = np.zeros(n_dims), np.zeros(n_dims), np.zeros((n_dims, n_dims))
    step = max(1, PIECE // n_dims)
    for begin in range(0, matrix.shape[0], step):
        rows = slice(begin, begin + step)
        # g = D^-1/2 U s = D^-1/2 A V, so that U is not needed.
        predicted = scale[rows, None] * (matrix[rows] @ right)
        moment += predicted.T @ (visits[rows, None] * predicted)
        entries = test[rows].tocoo()
        (row, column), weight = entries.coords, entries.data
        for start in range(0, weight.size, step):
            part = slice(start, start + step)
            score = predicted[row[part]]
            score *= target[column[part]]
            np.cumsum(score, axis=1, out=score)
            own += weight[part] @ score
            own_squared += weight[part] @ np.square(score, out=score)
    # sum_ij (g_i^T f_j)^2 = trace(C_g C_f): nested dimensions are leading blocks, so one double sum serves them all.
    product = moment * (target.T @ (arrivals[:, None] * target))
    every = np.cumsum(np.cumsum(product, axis=0), axis=1).diagonal()
    pair = (every - own_squared) / (size * (size - 1))
    return own[dims - 1] / size, pair[dims - 1]


def priced_risk(values: Array, dims: NDArray[np.int64], aligned: Array, independent: Array, prices: ArrayLike) -> Array:
    """L_spec on held-out transitions of a soft-thresholded fit, from what :func:`held_out` says of the truncated ones.

    Parameters
    ----------
    values : array (K,)
        Singular values, the constant's first: it keeps its own.
    dims : integer array (D,)
        Ascending, the last one K.
    aligned, independent : arrays (D,)
        Of :func:`held_out`, or their means over folds.
    prices : array (P,)

    Returns
    -------
    array (P,)

    Notes
    -----
    O(P K). Directions that enter together (a gap in ``dims``) are scaled by their mean factor, and the product of two
    directions by the square of the later one's factor; it vanishes on average. Source: docs/price.md, 5.

    Examples
    --------
    With no price it is the risk at the largest dimension, 1.5726 - 2 * 1.64; at 1 that of the constant.

    >>> counts = sp.csr_array([[9.0, 1.0], [1.0, 9.0]])
    >>> dims = np.array([1, 2])
    >>> priced_risk(np.array([1.0, 0.8]), dims, *held_out(counts, counts, dims, seed=0), [0.0, 1.0]).round(4)
    array([-1.7074, -1.    ])
    """
    theta = np.asarray(prices, dtype=np.float64)[:, None]
    factor = np.where(values > 0, np.maximum(1 - theta * inverse_or_zero(values), 0.0), 0.0)
    factor[:, 0] = 1.0
    first = np.append(0, dims[:-1])
    factor = np.add.reduceat(factor, first, axis=1) / np.diff(np.append(0, dims))
    return factor**2 @ np.diff(independent, prepend=0.0) - 2 * factor @ np.diff(aligned, prepend=0.0)


def half_sample_norm(row: Ids, column: Ids, visits: Array, arrivals: Array, rng: np.random.Generator) -> float:
    """Spectral norm of the difference of two random halves of every pair's transitions, scaled to the error of the whole.

    Parameters
    ----------
    row, column : integer arrays (N,)
        Numbers of the visited pair (x, a) and of the reached state y of each transition.
    visits, arrivals : arrays (m,), (n,)
        How often each came up, at least once.
    rng : numpy Generator
        Draws the halves.

    Returns
    -------
    float
        One draw of an estimate of ||E||_2; a pair visited once counts wholly as noise.

    Notes
    -----
    O(N log N), and a dense SVD up to 256 columns, one Lanczos run beyond. What it estimates, and what it misses:
    :func:`spectral_jepa.logs.analyze`.

    Examples
    --------
    A pair that led to the same state twice, and one that led to two states: sqrt(2) / 2 (1, -1), of norm 1.

    >>> rng = np.random.default_rng(0)
    >>> half_sample_norm(np.array([0, 0]), np.array([0, 0]), np.array([2.0]), np.array([2.0]), rng)
    0.0
    >>> round(half_sample_norm(np.array([0, 0]), np.array([0, 1]), np.array([2.0]), np.array([1.0, 1.0]), rng), 12)
    1.0
    """
    # By pair, within a pair at random: a sort of random numbers, then a counting sort (twice as fast as one by both).
    shuffled = np.argsort(rng.random(row.size), kind="stable")
    order = sp.coo_array((shuffled, (row[shuffled], np.arange(row.size))), shape=(visits.size, row.size)).tocsr().data
    first = np.concatenate([[0.0], np.cumsum(visits)[:-1]])
    in_first = (np.arange(row.size) - first[row[order]]) % 2 == 0
    half = np.where(in_first, np.ceil(visits / 2)[row[order]], -np.floor(visits / 2)[row[order]])
    scale = np.where(visits > 1, np.sqrt(np.ceil(visits / 2) * np.floor(visits / 2)) / visits, 1.0) * np.sqrt(visits)
    entries = (scale[row[order]] / half, (row[order], column[order]))
    difference = sp.coo_array(entries, shape=(visits.size, arrivals.size)).tocsr()
    return _difference_norm(difference, arrivals)


def half_count_norm(counts: sp.csr_array, rng: np.random.Generator) -> float:
    """The same as :func:`half_sample_norm` from counts: halves of the same law, without a row of the log.

    Parameters
    ----------
    counts : CSR matrix of int64 (m, n)
        Without empty rows or columns.
    rng : numpy Generator
        Draws the halves.

    Returns
    -------
    float
        One draw of an estimate of ||E||_2.

    Notes
    -----
    O(non-zeros + longest row), and the norm. Which of a pair's n transitions are in the first half is a uniform choice, so
    that how many of those to y are is multivariate hypergeometric.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> half_count_norm(sp.csr_array([[2]]), rng), round(half_count_norm(sp.csr_array([[1, 1]]), rng), 12)
    (0.0, 1.0)
    """
    visits, arrivals = marginals(counts)
    first, second = np.ceil(visits / 2), np.floor(visits / 2)
    drawn = draw_from_rows(counts, first.astype(np.int64), rng)
    scale = np.where(visits > 1, np.sqrt(first * second) / visits, 1.0) * np.sqrt(visits)
    of = np.repeat(np.arange(visits.size), np.diff(counts.indptr))
    entries = scale[of] * (drawn / first[of] - (counts.data - drawn) * inverse_or_zero(second)[of])
    difference = sp.csr_array((entries, counts.indices, counts.indptr), shape=counts.shape)
    return _difference_norm(difference, arrivals)


def draw_from_rows(counts: sp.csr_array, sizes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw so many of each row's counted things without replacement.

    Parameters
    ----------
    counts : CSR matrix of int64 (m, n)
    sizes : integer array (m,)
        At most the sums of the rows.
    rng : numpy Generator

    Returns
    -------
    integer array (non-zeros,)
        How many were drawn of each entry, in the order of ``counts.data``.

    Notes
    -----
    One entry of all rows after the other, each hypergeometric given those before: O(non-zeros + longest row).

    Examples
    --------
    >>> draw_from_rows(sp.csr_array([[3, 1], [0, 5]]), np.array([4, 2]), np.random.default_rng(0))
    array([3, 1, 2])
    """
    lengths = np.diff(counts.indptr)
    order = np.argsort(-lengths, kind="stable")
    begin, size = counts.indptr[:-1][order].astype(np.int64), sizes[order].copy()
    left = np.asarray(counts.sum(axis=1)).ravel()[order].astype(np.int64)
    drawn = np.zeros(counts.nnz, dtype=np.int64)
    # Rows that still have an entry at each position are a prefix of this order.
    prefix = np.searchsorted(-lengths[order], -np.arange(1, lengths.max(initial=0) + 1), side="right")
    for position, n_rows in enumerate(prefix):
        at = begin[:n_rows] + position
        of_this = counts.data[at]
        left[:n_rows] -= of_this
        drawn[at] = rng.hypergeometric(of_this, left[:n_rows], size[:n_rows])
        size[:n_rows] -= drawn[at]
    return drawn


def draw_folds(counts: sp.csr_array, n_folds: int, rng: np.random.Generator) -> list[sp.csr_array]:
    """Counts of random parts of a log of equal size, up to one, as if its rows had been shuffled and dealt out.

    Parameters
    ----------
    counts : CSR matrix of int64 (m, n)
    n_folds : int
    rng : numpy Generator

    Returns
    -------
    list of CSR matrices (m, n)
        Sums to ``counts``.

    Notes
    -----
    O(non-zeros) a fold.

    Examples
    --------
    >>> parts = draw_folds(sp.csr_array([[3, 1], [0, 5]]), 2, np.random.default_rng(0))
    >>> [int(part.sum()) for part in parts], sum(part.toarray() for part in parts)
    ([5, 4], array([[3., 1.],
           [0., 5.]]))
    """
    left, total = counts.data.astype(np.int64), int(counts.data.sum())
    parts = []
    for i in range(n_folds):
        size = len(range(i, total, n_folds))
        drawn = rng.multivariate_hypergeometric(left, size, method="marginals") if i < n_folds - 1 else left
        left = left - drawn
        part = sp.csr_array((drawn.astype(np.float64), counts.indices.copy(), counts.indptr.copy()), shape=counts.shape)
        part.eliminate_zeros()
        parts.append(part)
    return parts


def _difference_norm(difference: sp.csr_array, arrivals: Array) -> float:
    """Spectral norm of the difference of two halves, its columns in the log's weights."""
    difference = _scaled(difference, np.ones(difference.shape[0]), 1 / np.sqrt(arrivals))
    if squared_norm(difference) < 1e-24:
        return 0.0
    if _is_small(difference):
        return _norm(difference)
    return _norm_by_groups(difference)


def _is_small(matrix: sp.csr_array) -> bool:
    return min(matrix.shape) <= 2 or matrix.shape[1] <= FULL_STATES


def _norm(matrix: sp.csr_array) -> float:
    """Spectral norm, by LAPACK where that is cheap."""
    if not _is_small(matrix):
        # A noise level needs three digits, not sixteen: flat noise spectra make Lanczos slow.
        return float(largest_right_vectors(matrix, 1, tolerance=1e-3)[0][0])
    if matrix.shape[0] * matrix.shape[1] <= TALL_ENTRIES:
        return float(np.linalg.norm(matrix.toarray(), 2))
    gram = matrix.T @ matrix if matrix.shape[1] <= matrix.shape[0] else matrix @ matrix.T
    return float(np.sqrt(np.linalg.eigvalsh(gram.toarray())[-1]))


def _norm_by_groups(matrix: sp.csr_array) -> float:
    """Spectral norm of a matrix of blocks: that of the largest, searched in order of a bound until no bound is above it."""
    n_groups, row_label, column_label = groups(matrix)
    if n_groups == 1:
        return _norm(matrix)
    rows, columns = np.argsort(row_label, kind="stable"), np.argsort(column_label, kind="stable")
    sorted_matrix = sp.csr_array(matrix[rows][:, columns])
    first_row = np.searchsorted(row_label[rows], np.arange(n_groups + 1))
    first_column = np.searchsorted(column_label[columns], np.arange(n_groups + 1))
    size = abs(matrix)
    # ||B||_2 <= sqrt(||B||_1 ||B||_inf), and at most its Frobenius norm.
    tallest, widest = np.zeros(n_groups), np.zeros(n_groups)
    np.maximum.at(tallest, row_label, np.asarray(size.sum(axis=1)).ravel())
    np.maximum.at(widest, column_label, np.asarray(size.sum(axis=0)).ravel())
    energy = np.bincount(row_label, np.asarray(matrix.power(2).sum(axis=1)).ravel(), minlength=n_groups)
    bound = np.minimum(np.sqrt(tallest * widest), np.sqrt(energy))
    best = 0.0
    for group in np.argsort(-bound, kind="stable"):
        if bound[group] <= best * (1 + 1e-12):
            break
        block = sorted_matrix[first_row[group] : first_row[group + 1], first_column[group] : first_column[group + 1]]
        best = max(best, _norm(sp.csr_array(block)))
    return best


def energy(counts: sp.csr_array) -> float:
    """Estimate of ||A||_F^2 from pairs of different transitions, rescaled to the rows that have any.

    Parameters
    ----------
    counts : CSR matrix (rows, columns)

    Returns
    -------
    float
        sum c (c - 1) / ((n - 1) m), rescaled, for c of a row's n visits and of a column's m arrivals; NaN where no pair
        was visited twice.

    Notes
    -----
    O(non-zeros). Without the upward bias of the squared norm of :func:`normalize`.

    Examples
    --------
    Two pairs that always lead to states of their own: rank 2.

    >>> energy(sp.csr_array([[3.0, 0.0], [0.0, 3.0]])), energy(sp.csr_array([[1.0, 0.0], [0.0, 1.0]]))
    (2.0, nan)
    """
    visits, arrivals = marginals(counts)
    repeated = visits > 1
    if not repeated.any():
        return float("nan")
    entries = counts.tocoo()
    (row, column), c = entries.coords, entries.data
    products = c * (c - 1) / (np.maximum(visits[row] - 1, 1) * arrivals[column])
    return float(products.sum() * visits.sum() / visits[repeated].sum())


def deterministic_share(counts: sp.csr_array) -> float:
    """Share of the pairs seen more than once that always led to one state.

    Parameters
    ----------
    counts : CSR matrix (m, n)
        Without stored zeros.

    Returns
    -------
    float in [0, 1]
        NaN where no pair was seen more than once.

    Examples
    --------
    >>> deterministic_share(sp.csr_array([[2.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
    0.5
    """
    repeated = np.asarray(counts.sum(axis=1)).ravel() > 1
    return float(np.mean(np.diff(counts.indptr)[repeated] == 1)) if repeated.any() else float("nan")


def bernstein(counts: sp.csr_array, failure_probability: float) -> Bound:
    """Matrix Bernstein at the plug-in laws, as ``theory.bernstein_bound(..., shared=True)`` but sparse.

    Parameters
    ----------
    counts : CSR matrix (m, n)
        Without empty rows or columns.
    failure_probability : float in (0, 1)
        delta.

    Returns
    -------
    Bound
        On ||E||_2 with probability 1 - delta, if the log's laws are the true ones.

    Notes
    -----
    O(non-zeros). Source: docs/theory.md, 4.6.

    Examples
    --------
    N = 20, v = 2 / 20, L = 3, d / delta = 80: sqrt(.2 log 80) + 2 * 3 log 80 / 60.

    >>> counts = sp.csr_array([[9.0, 1.0], [1.0, 9.0]])
    >>> round(bernstein(counts, 0.05).value, 4)
    1.3744
    """
    visits, arrivals = marginals(counts)
    total = visits.sum()
    by_row, by_column = (counts @ (1 / arrivals)) / visits, ((1 / visits) @ counts) / arrivals
    # P / q and its transpose carry one factor N each; the mean over N transitions takes it away again.
    variance = max(by_row.max(), by_column.max())
    largest = total / np.sqrt(visits.min() * arrivals.min()) + 1
    log = np.log(sum(counts.shape) / failure_probability)
    return Bound(
        float(np.sqrt(2 * variance * log) + 2 * largest * log / (3 * total)),
        f"sampling error ||E||_2 with probability {1 - failure_probability:g}",
        1.0,
        (INDEPENDENT, KNOWN, Assumption("the laws put into v and L, those of the log, are the true ones", None)),
        "matrix Bernstein at the plug-in laws (docs/theory.md, 4.6)",
    )
