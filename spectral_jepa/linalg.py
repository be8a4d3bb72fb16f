"""Numerics without MDP words: singular values, tails, subspace angles, projections."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg

from spectral_jepa._validation import Array, InputError, check_count


def inverse_or_zero(values: Array) -> Array:
    """Elementwise 1/v with 0/0 := 0, so that states without mass drop out instead of exploding.

    Examples
    --------
    >>> inverse_or_zero(np.array([0.5, 0.0]))
    array([2., 0.])
    """
    safe = np.where(values > 0, values, 1.0)
    return np.where(values > 0, 1 / safe, 0.0)


def singular_value_decomposition(matrix: Array) -> tuple[Array, Array, Array]:
    """Full thin SVD of (..., m, n) with a fixed sign: the largest entry of each right vector is positive.

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
    left, values, right_t = np.linalg.svd(matrix, full_matrices=False)
    right = np.swapaxes(right_t, -1, -2)
    pivot = np.take_along_axis(right, np.abs(right).argmax(-2)[..., None, :], -2)
    sign = np.where(pivot < 0, -1.0, 1.0)
    return left * sign, values, right * sign


def tail_energy(values: Array, dim: int) -> Array:
    """Sum of squares beyond the first ``dim`` of sorted singular values (..., r): Eckart-Young's optimum.

    Examples
    --------
    >>> float(tail_energy(np.array([3.0, 2.0, 1.0]), 1))
    5.0
    """
    return np.sum(values[..., dim:] ** 2, axis=-1)


def largest_singular_triplets(
    matrix: Array | sp.csr_array, dim: int, *, seed: int = 0, tolerance: float = 0.0
) -> tuple[Array, Array, Array]:
    """The ``dim`` largest singular triplets by Lanczos (implicitly restarted, scipy).

    Lanczos is the honest default on large sparse matrices: a randomized sketch is off by percents on flat spectra.

    Parameters
    ----------
    matrix : dense or scipy.sparse (m, n)
    dim : int in [1, min(m, n) - 1]
    seed : int
        Seeds the start vector, so that the same call gives the same bits.
    tolerance : float
        Relative accuracy asked of the eigenvalues of the Gram matrix; 0 means machine precision.

    Returns
    -------
    left (m, dim), values (dim,) descending, right (n, dim)

    Raises
    ------
    InputError
        If ``dim`` is out of range.

    Examples
    --------
    >>> left, values, right = largest_singular_triplets(np.diag([1.0, 3.0, 2.0]), 2)
    >>> values.round(12)
    array([3., 2.])
    """
    check_count("dim", dim, 1, min(matrix.shape) - 1, "Lanczos finds all but the last singular value")
    # Work on the side with fewer columns: the Gram operator is then the smaller of the two.
    transposed = matrix.shape[0] < matrix.shape[1]
    tall = matrix.T if transposed else matrix
    tall = sp.csr_array(tall) if sp.issparse(tall) else np.asarray(tall)
    wide = sp.csr_array(tall.T) if sp.issparse(tall) else tall.T
    n = tall.shape[1]
    gram = scipy.sparse.linalg.LinearOperator((n, n), matvec=lambda v: wide @ (tall @ v), dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(n)
    squares, right = scipy.sparse.linalg.eigsh(gram, k=dim, v0=start, tol=tolerance, ncv=min(n, max(2 * dim + 1, 20)))
    right = right[:, np.argsort(squares)[::-1]]
    # The Gram matrix squares the condition number; a small SVD of its image restores full relative accuracy.
    left, values, rotation_t = np.linalg.svd(tall @ right, full_matrices=False)
    right = right @ rotation_t.T
    return (right, values, left) if transposed else (left, values, right)


def squared_norm(matrix: Any) -> float:
    """Squared Frobenius norm, dense or sparse."""
    data = matrix.data if sp.issparse(matrix) else matrix
    return float(np.sum(np.square(data)))


def subspace_angles(first: Array, second: Array) -> Array:
    """Principal angles in radians, descending, between the column spaces of (n, k) and (n, l).

    Examples
    --------
    >>> subspace_angles(np.eye(3)[:, :1], np.eye(3)[:, 1:2]).round(4)
    array([1.5708])
    """
    if first.shape[0] != second.shape[0]:
        raise InputError(
            f"the bases have {first.shape[0]} and {second.shape[0]} rows, expected equal: they live in one space"
        )
    return scipy.linalg.subspace_angles(first, second)


def project_to_capped_simplex(values: Array, cap: float = 1.0) -> Array:
    """Euclidean projection of a vector onto {t >= 0, sum t <= cap}. O(r log r).

    The optimum over matrices of nuclear norm at most ``cap`` has these singular values (theory: unit norm, 2.3).

    Examples
    --------
    >>> project_to_capped_simplex(np.array([1.0, 1.0]))
    array([0.5, 0.5])
    """
    positive = np.maximum(values, 0.0)
    if positive.sum() <= cap:
        return positive
    ordered = np.sort(values)[::-1]
    thresholds = (np.cumsum(ordered) - cap) / np.arange(1, values.size + 1)
    last = np.flatnonzero(ordered > thresholds)[-1]
    return np.maximum(values - thresholds[last], 0.0)
