"""What a log's counts say, one quantity a function: the parts of :func:`spectral_jepa.logs.analysis.analyze`."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._validation import Array, InputError, check_count, require_memory
from spectral_jepa.data import Ids
from spectral_jepa.linalg import inverse_or_zero, largest_singular_triplets, squared_norm
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.sampling_bounds import INDEPENDENT, KNOWN

# Up to this many reached states one full SVD is cheap and every dimension is tried; beyond it, LANCZOS_DIMS of them.
FULL_STATES = 256
LANCZOS_DIMS = 64


def choose_dims(dims: ArrayLike | None, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Latent dimensions to try: the asked ones, or all that one decomposition of ``shape`` serves cheaply."""
    largest = min(shape)
    if dims is None:
        return np.arange(1, (largest if shape[1] <= FULL_STATES else min(LANCZOS_DIMS, largest - 1)) + 1)
    asked = np.unique(np.atleast_1d(np.asarray(dims)))
    if not asked.size:
        raise InputError("dims is empty, expected at least one latent dimension: pass for example range(1, 33)")
    why = f"the log has {shape[0]} visited pairs and {shape[1]} reached states"
    return np.array([check_count("a dimension in dims", k, 1, largest, why) for k in asked])


def count(row: Ids, column: Ids, shape: tuple[int, int]) -> sp.csr_array:
    """How often each pair (row, column) came up, as a sparse matrix."""
    return sp.coo_array((np.ones(row.size), (row, column)), shape=shape).tocsr()


def marginals(counts: sp.csr_array) -> tuple[Array, Array]:
    """Sums of the rows and of the columns."""
    return np.asarray(counts.sum(axis=1)).ravel(), np.asarray(counts.sum(axis=0)).ravel()


def normalize(counts: sp.csr_array) -> sp.csr_array:
    """Counts over the roots of their marginals: N cancels."""
    rows, columns = (sp.diags_array(inverse_or_zero(np.sqrt(m))) for m in marginals(counts))
    return sp.csr_array(rows @ counts @ columns)


def decompose(counts: sp.csr_array, dim: int, seed: int) -> tuple[Array, Array, Array]:
    """The first ``dim`` singular triplets of the normalised counts: LAPACK when small or nearly all are asked for."""
    matrix = normalize(counts)
    if matrix.shape[1] <= FULL_STATES or dim > min(matrix.shape) // 4:
        require_memory(
            matrix.shape, "the co-occurrence of the log", "ask for fewer dims, which uses Lanczos on a sparse matrix"
        )
        left, values, right_t = np.linalg.svd(matrix.toarray(), full_matrices=False)
        return left[:, :dim], values[:dim], right_t[:dim].T
    return largest_singular_triplets(matrix, dim, seed=seed, tolerance=1e-6)


def held_out(train: sp.csr_array, test: sp.csr_array, dims: NDArray[np.int64], seed: int) -> tuple[Array, Array]:
    """Mean of g^T f+ and of (g^T f')^2 over different held-out transitions, for every dimension at once: two (D,)."""
    left, values, right = decompose(train, int(dims[-1]), seed)
    visits, arrivals = marginals(train)
    total = visits.sum()
    predicted = inverse_or_zero(np.sqrt(visits / total))[:, None] * left * values
    target = inverse_or_zero(np.sqrt(arrivals / total))[:, None] * right
    entries, size = test.tocoo(), test.sum()
    (row, column), weight = entries.coords, entries.data
    own, own_squared = np.zeros(dims[-1]), np.zeros(dims[-1])
    step = max(1, 2**22 // int(dims[-1]))
    for start in range(0, weight.size, step):
        part = slice(start, start + step)
        score = np.cumsum(predicted[row[part]] * target[column[part]], axis=1)
        own += weight[part] @ score
        own_squared += weight[part] @ score**2
    visits, arrivals = marginals(test)
    # sum_ij (g_i^T f_j)^2 = trace(C_g C_f): nested dimensions are leading blocks, so one double sum serves them all.
    product = (predicted.T @ (visits[:, None] * predicted)) * (target.T @ (arrivals[:, None] * target))
    every = np.cumsum(np.cumsum(product, axis=0), axis=1).diagonal()
    pair = (every - own_squared) / (size * (size - 1))
    return own[dims - 1] / size, pair[dims - 1]


def half_sample_norm(row: Ids, column: Ids, visits: Array, arrivals: Array, rng: np.random.Generator) -> float:
    """Spectral norm of the difference of two random halves of every pair's transitions, scaled to the error of the whole."""
    order = np.lexsort((rng.random(row.size), row))
    first = np.concatenate([[0.0], np.cumsum(visits)[:-1]])
    in_first = (np.arange(row.size) - first[row[order]]) % 2 == 0
    half = np.where(in_first, np.ceil(visits / 2)[row[order]], -np.floor(visits / 2)[row[order]])
    scale = np.where(visits > 1, np.sqrt(np.ceil(visits / 2) * np.floor(visits / 2)) / visits, 1.0) * np.sqrt(visits)
    entries = (scale[row[order]] / half, (row[order], column[order]))
    difference = sp.coo_array(entries, shape=(visits.size, arrivals.size)).tocsr()
    difference = sp.csr_array(difference @ sp.diags_array(1 / np.sqrt(arrivals)))
    if squared_norm(difference) < 1e-24:
        return 0.0
    if min(difference.shape) <= 2 or difference.shape[1] <= FULL_STATES:
        return float(np.linalg.norm(difference.toarray(), 2))
    # A noise level needs three digits, not sixteen: flat noise spectra make Lanczos slow.
    return float(largest_singular_triplets(difference, 1, tolerance=1e-3)[1][0])


def energy(counts: sp.csr_array) -> float:
    """Estimate of ||A||_F^2 from pairs of different transitions, rescaled to the rows that have any."""
    visits, arrivals = marginals(counts)
    repeated = visits > 1
    if not repeated.any():
        return float("nan")
    entries = counts.tocoo()
    (row, column), c = entries.coords, entries.data
    products = c * (c - 1) / (np.maximum(visits[row] - 1, 1) * arrivals[column])
    return float(products.sum() * visits.sum() / visits[repeated].sum())


def deterministic_share(counts: sp.csr_array) -> float:
    """Share of the pairs seen more than once that always led to one state; NaN if none was."""
    repeated = np.asarray(counts.sum(axis=1)).ravel() > 1
    return float(np.mean(np.diff(counts.indptr)[repeated] == 1)) if repeated.any() else float("nan")


def bernstein(counts: sp.csr_array, failure_probability: float) -> Bound:
    """Matrix Bernstein at the plug-in laws, as ``theory.bernstein_bound(..., shared=True)`` but sparse."""
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
