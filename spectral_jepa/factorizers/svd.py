"""Truncated SVD three ways: in full, by Lanczos, by a randomized sketch. All minimise ||X - X_k||_F over rank k.

The optimum is the sum of the squared singular values beyond k (Eckart and Young); arXiv 2606.27014, Thm 4.3 is this
statement for X = Mbar(a). ``residual_`` is what the solver reached, so a gap to the optimum can be seen.
"""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.extmath import randomized_svd

from spectral_jepa._late import sparse as sp
from spectral_jepa._validation import Array, require_memory
from spectral_jepa.factorizers._base import TruncatedSVDBase
from spectral_jepa.linalg import largest_singular_triplets, singular_value_decomposition


class FullSVD(TruncatedSVDBase):
    """Truncated SVD from the full decomposition (LAPACK): exact at every rank.

    Parameters
    ----------
    n_components : int in [1, min(n_samples, n_features)]
        Rank k.

    Attributes
    ----------
    components_ : array (n_components, n_features)
        Right singular vectors, one a row.
    singular_values_ : array (n_components,)
        Descending.
    left_ : array (n_samples, n_components)
        Left singular vectors, one a column.
    residual_ : float
        ||X - X_k||_F^2.
    n_features_in_ : int
        Number of columns of X.

    Notes
    -----
    O(m n min(m, n)) time and a dense copy of X: refuses a sparse X that would not fit in memory.

    Examples
    --------
    >>> solver = FullSVD(n_components=1).fit(np.diag([3.0, 2.0, 1.0]))
    >>> solver.singular_values_, round(solver.residual_, 12)
    (array([3.]), 5.0)
    """

    def __init__(self, n_components: int = 2) -> None:
        self.n_components = n_components

    def _triplets(self, matrix: Array | sp.csr_array) -> tuple[Array, Array, Array]:
        return _dense_triplets(matrix, self.n_components)


class LanczosSVD(TruncatedSVDBase):
    """Truncated SVD by implicitly restarted Lanczos on the smaller Gram operator: exact, and X stays sparse.

    Parameters
    ----------
    n_components : int in [1, min(n_samples, n_features)]
        Rank k. At the upper end there is nothing left to iterate on, and the full SVD is used.
    tol : float
        Relative accuracy asked of the squared singular values; 0 means machine precision.
    random_state : int, RandomState or None
        Draws the start vector. By scikit-learn's convention a ``numpy.random.Generator`` is refused, and None reads
        numpy's global state; the default is therefore an integer.

    Attributes
    ----------
    components_, singular_values_, left_, residual_, n_features_in_
        As in :class:`FullSVD`.

    Notes
    -----
    O(non-zeros + n k) an iteration, and O((m + n) k) memory.

    Examples
    --------
    >>> solver = LanczosSVD(n_components=1).fit(sp.diags_array([3.0, 2.0, 1.0]).tocsr())
    >>> solver.singular_values_.round(12), round(solver.residual_, 12)
    (array([3.]), 5.0)
    """

    def __init__(
        self, n_components: int = 2, tol: float = 0.0, random_state: int | np.random.RandomState | None = 0
    ) -> None:
        self.n_components = n_components
        self.tol = tol
        self.random_state = random_state

    def _triplets(self, matrix: Array | sp.csr_array) -> tuple[Array, Array, Array]:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if self.n_components == min(matrix.shape):
            return _dense_triplets(matrix, self.n_components)
        return largest_singular_triplets(matrix, self.n_components, seed=seed, tolerance=self.tol)


class RandomizedSVD(TruncatedSVDBase):
    """Truncated SVD from a random sketch (scikit-learn's ``randomized_svd``): exact only where the spectrum is steep.

    On a flat spectrum the singular values come out low by percents; compare ``residual_`` with that of an exact solver.

    Parameters
    ----------
    n_components : int in [1, min(n_samples, n_features)]
        Rank k.
    n_iter : int
        Power iterations. The error of a value s_i falls like (s_{k+11} / s_i)^(2 n_iter + 1) or so.
    random_state : int, RandomState or None
        Draws the sketch, with the same convention as in :class:`LanczosSVD`.

    Attributes
    ----------
    components_, singular_values_, left_, residual_, n_features_in_
        As in :class:`FullSVD`.

    Notes
    -----
    O((non-zeros) k n_iter + (m + n) k^2 n_iter). Halko, Martinsson, Tropp, arXiv 0909.4061, Alg. 4.4.

    Examples
    --------
    >>> solver = RandomizedSVD(n_components=1).fit(np.diag([3.0, 2.0, 1.0]))
    >>> solver.singular_values_.round(12), round(solver.residual_, 12)
    (array([3.]), 5.0)
    """

    def __init__(self, n_components: int = 2, n_iter: int = 4, random_state: int | np.random.RandomState | None = 0) -> None:
        self.n_components = n_components
        self.n_iter = n_iter
        self.random_state = random_state

    def _triplets(self, matrix: Array | sp.csr_array) -> tuple[Array, Array, Array]:
        left, values, right_t = randomized_svd(matrix, self.n_components, n_iter=self.n_iter, random_state=self.random_state)
        return left, values, right_t.T


def _dense_triplets(matrix: Array | sp.csr_array, dim: int) -> tuple[Array, Array, Array]:
    if sp.issparse(matrix):
        require_memory(matrix.shape, "the full SVD of a sparse matrix", "use LanczosSVD with fewer components", copies=3)
        matrix = matrix.toarray()  # type: ignore[union-attr]
    left, values, right = singular_value_decomposition(matrix)
    return left[:, :dim], values[:dim], right[:, :dim]
