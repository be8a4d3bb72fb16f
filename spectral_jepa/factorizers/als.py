"""Alternating least squares: one encoder for all actions while the column weight differs by action.

The problem, for blocks X_a (m, n) and weights c_a >= 0 (n,):

    minimise over f (n, k) and G_a (m, k):   sum_a || X_a - G_a f^T diag(c_a)^(1/2) ||_F^2.

With X_a = sqrt(p(a)) Mbar(a) and c_a = w+(.|a) this is the total risk sum_a p(a) R_S(a) of one shared encoder in every
action's own geometry. When all c_a agree, an SVD of the stack solves it (docs/theory.md, 2.7). When they differ none does:
it is a weighted low-rank approximation. But it is a least-squares problem in G for fixed f, and in f for fixed G.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from spectral_jepa._late import sparse as sp
from spectral_jepa._validation import Array, InputError, as_float, check_count, warn_user
from spectral_jepa.factorizers._base import check_rank
from spectral_jepa.factorizers.svd import FullSVD, LanczosSVD
from spectral_jepa.linalg import inverse_or_zero, squared_norm

# Share of the average eigenvalue added to every k x k system of the f step, so that a singular one has a solution.
PROXIMAL = 1e-12


class AlternatingLeastSquares(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Low-rank factors with one right factor shared by blocks whose columns are weighted differently.

    Starts from the encoder of the stacked SVD and never increases the objective, so it can only improve on that SVD.

    Parameters
    ----------
    n_components : int in [1, min(n_samples, n_features)]
        Rank k.
    n_blocks : int
        Number of blocks A (actions) stacked in X; must divide its number of rows.
    tol : float
        Converged when one sweep lowers the objective by at most ``tol`` times ||X||_F^2.
    max_iter : int
        Sweeps (an f step and a G step) before giving up with a ``ConvergenceWarning``.
    n_restarts : int
        Further starts from random encoders; the best end point is kept. The problem is not convex when weights differ.
    random_state : int, RandomState or None
        Draws the random encoders. By scikit-learn's convention a ``numpy.random.Generator`` is refused.

    Attributes
    ----------
    components_ : array (n_components, n_features)
        f^T, in the gauge where sum_y cbar(y) f(y) f(y)^T = I with cbar the mean weight, and G^T G is diagonal.
    left_ : array (n_samples, n_components)
        Orthonormal columns; ``left_ * singular_values_`` is G, the blocks G_a stacked.
    singular_values_ : array (n_components,)
        Norms of the columns of G, descending; with equal weights of 1 they are the singular values of X.
    column_weight_ : array (n_blocks, n_features)
        The weights it was fitted with.
    residual_ : float
        The objective reached.
    start_residual_ : float
        The objective of the given (or stacked SVD's) encoder with its G re-fitted, before any sweep.
    history_ : array (n_iter_ + 1,)
        The objective after each sweep of the best start; entry 0 is that start with its G re-fitted.
    relative_decrease_ : float
        What the last sweep gained, as a share of ||X||_F^2.
    n_iter_, converged_ : int, bool
        Sweeps done by the best start, and whether ``tol`` was reached.
    n_features_in_ : int
        Number of columns of X.

    Notes
    -----
    G step: G_a = X_a F_a^+ with F_a = diag(c_a)^(1/2) f, from an SVD of F_a, so a rank-deficient f is harmless. f step: one
    k x k system for each column y, [sum_a c_a(y) G_a^T G_a] f(y) = sum_a c_a(y)^(1/2) G_a^T X_a[:, y], all in one batch. It
    is made proximal (nearest to the last f, with a weight of 1e-12): a singular system then leaves f as it was in the
    directions it says nothing about, and a column without any weight keeps f(y) = 0. Neither can raise the objective.

    O(non-zeros k + A (m + n) k^2 + n k^3) a sweep and n k^2 floats of memory; X may be sparse.

    Examples
    --------
    >>> blocks = np.vstack([np.diag([3.0, 2.0, 1.0]), np.diag([1.0, 2.0, 3.0])])
    >>> solver = AlternatingLeastSquares(n_components=2, n_blocks=2).fit(blocks)
    >>> round(solver.residual_, 12), solver.converged_
    (8.0, True)
    >>> weighted = AlternatingLeastSquares(2, n_blocks=2).fit(blocks, column_weight=[[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    >>> bool((np.diff(weighted.history_) <= 1e-14).all())
    True
    """

    def __init__(
        self,
        n_components: int = 2,
        n_blocks: int = 1,
        tol: float = 1e-10,
        max_iter: int = 1000,
        n_restarts: int = 0,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.n_components = n_components
        self.n_blocks = n_blocks
        self.tol = tol
        self.max_iter = max_iter
        self.n_restarts = n_restarts
        self.random_state = random_state

    def fit(
        self, X: Any, y: None = None, *, column_weight: ArrayLike | None = None, target: ArrayLike | None = None
    ) -> Self:
        """Alternate from the start until the objective stands still.

        Parameters
        ----------
        X : dense or scipy.sparse (n_blocks * m, n_features)
            The blocks, one under the other.
        y : None
            Ignored; there by convention.
        column_weight : array (n_blocks, n_features), optional
            c_a(y) >= 0. Default: ones, which makes the problem a truncated SVD.
        target : array (n_features, n_components), optional
            The encoder to start from. Default: the one of the stacked SVD, in the geometry of the mean weight.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A shape that does not fit, a negative weight, more components than X has singular values.
        """
        X = validate_data(self, X, accept_sparse="csr", dtype="float64")
        check_rank(self, X.shape)
        check_count("max_iter", self.max_iter)
        check_count("n_restarts", self.n_restarts, 0)
        blocks = self._blocks(X)
        n, k = X.shape[1], self.n_components
        weight = np.ones((self.n_blocks, n))
        if column_weight is not None:
            weight = as_float("column_weight", column_weight, (self.n_blocks, n))
            if (weight < 0).any():
                where = tuple(int(i) for i in np.argwhere(weight < 0)[0])
                raise InputError(f"column_weight{list(where)} is {weight[where]:.6g}, expected a weight >= 0: clip it")
        start = self._stacked_target(blocks, weight) if target is None else as_float("target", target, (n, k))
        rng = check_random_state(self.random_state)
        starts = [start, *(rng.standard_normal((n, k)) for _ in range(self.n_restarts))]
        runs = [self._descend(blocks, weight, start) for start in starts]
        self.start_residual_ = float(runs[0][2][0])
        f, g, self.history_, self.converged_ = min(runs, key=lambda run: run[2][-1])

        self.n_iter_ = len(self.history_) - 1
        self.residual_ = float(self.history_[-1])
        total = squared_norm(X)
        self.relative_decrease_ = float(self.history_[-2] - self.history_[-1]) / total if total else 0.0
        self.column_weight_ = weight
        f, self.left_, self.singular_values_ = _whiten(f, g.reshape(-1, k), weight.mean(0))
        self.components_ = f.T
        if not self.converged_:
            warn_user(
                f"alternating least squares still gained {self.relative_decrease_:.1e} of ||X||^2 in sweep {self.n_iter_}, "
                f"expected at most tol = {self.tol:.1e}: raise max_iter or tol",
                ConvergenceWarning,
            )
        return self

    def transform(self, X: Any) -> Array:
        """Best G for the rows of X, each block on its own weighted encoder, shape (n_samples, n_components)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype="float64", reset=False)
        return _fit_left(self._blocks(X), _weighted(self.components_.T, self.column_weight_))[0].reshape(X.shape[0], -1)

    def inverse_transform(self, X: NDArray[Any]) -> Array:
        """Rows G_a f^T diag(c_a)^(1/2) from the stacked G, shape (n_samples, n_features)."""
        check_is_fitted(self)
        g = np.stack(self._blocks(np.asarray(X)))
        factors = _weighted(self.components_.T, self.column_weight_)
        return (g @ np.swapaxes(factors, 1, 2)).reshape(X.shape[0], -1)

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _blocks(self, X: Any) -> list[Any]:
        check_count("n_blocks", self.n_blocks)
        if X.shape[0] % self.n_blocks:
            raise InputError(
                f"X has {X.shape[0]} rows for n_blocks = {self.n_blocks}, expected a multiple: stack blocks of equal height"
            )
        m = X.shape[0] // self.n_blocks
        return [X[a * m : (a + 1) * m] for a in range(self.n_blocks)]

    def _stacked_target(self, blocks: list[Any], weight: Array) -> Array:
        mean = weight.mean(0)
        scale = np.sqrt(weight * inverse_or_zero(mean))
        sparse = sp.issparse(blocks[0])
        stack = sp.vstack if sparse else np.vstack
        scaled = stack([block @ sp.diags_array(s) if sparse else block * s for block, s in zip(blocks, scale, strict=True)])
        solver = LanczosSVD(self.n_components) if sparse else FullSVD(self.n_components)
        return inverse_or_zero(np.sqrt(mean))[:, None] * solver.fit(scaled).components_.T

    def _descend(self, blocks: list[Any], weight: Array, f: Array) -> tuple[Array, Array, Array, bool]:
        total = sum(squared_norm(block) for block in blocks)
        f = np.where(weight.max(axis=0)[:, None] > 0, f, 0.0)
        g, explained = _fit_left(blocks, _weighted(f, weight))
        history = [total - explained]
        converged = False
        while not converged and len(history) <= self.max_iter:
            candidate = _fit_target(blocks, weight, *_balance(f, g))
            candidate_g, explained = _fit_left(blocks, _weighted(candidate, weight))
            # At the optimum only rounding is left to gain: keep the better of the two, so the history never rises.
            if total - explained <= history[-1]:
                f, g = candidate, candidate_g
            history.append(min(total - explained, history[-1]))
            converged = history[-2] - history[-1] <= self.tol * total
        return f, g, np.maximum(history, 0.0), converged


def _weighted(f: Array, weight: Array) -> Array:
    """F_a = diag(c_a)^(1/2) f, shape (A, n, k)."""
    return np.sqrt(weight)[:, :, None] * f


def _fit_left(blocks: list[Any], factors: Array) -> tuple[Array, float]:
    """Best G_a = X_a F_a^+ (A, m, k) for given F, and how much of ||X||_F^2 the model then explains."""
    basis, values, rotation = np.linalg.svd(factors, full_matrices=False)
    keep = values > values[:, :1] * max(factors.shape[1:]) * np.finfo(float).eps
    basis = basis * keep[:, None, :]
    coordinates = np.stack([block @ b for block, b in zip(blocks, basis, strict=True)])
    return (coordinates * inverse_or_zero(values * keep)[:, None, :]) @ rotation, squared_norm(coordinates)


def _fit_target(blocks: list[Any], weight: Array, f: Array, g: Array) -> Array:
    """Best f (n, k) for given G: one k x k system a column, solved in one batch, proximal to the f given."""
    k = f.shape[1]
    grams = np.swapaxes(g, 1, 2) @ g
    right = sum(np.sqrt(c)[:, None] * (block.T @ left) for c, block, left in zip(weight, blocks, g, strict=True))
    systems = np.tensordot(weight.T, grams, axes=1)
    scale = np.trace(systems, axis1=1, axis2=2) / k
    damping = PROXIMAL * np.where(scale > 0, scale, 1.0)
    solution: Array = np.linalg.solve(
        systems + damping[:, None, None] * np.eye(k), (right + damping[:, None] * f)[:, :, None]
    )[:, :, 0]
    return solution


def _balance(f: Array, g: Array) -> tuple[Array, Array]:
    """The gauge in which the stacked G has orthonormal columns, where the f systems are as well conditioned as can be."""
    flat = g.reshape(-1, g.shape[2])
    left, values, rotation = np.linalg.svd(flat, full_matrices=False)
    return f @ rotation.T * values, left.reshape(g.shape)


def _whiten(f: Array, g: Array, weight: Array) -> tuple[Array, Array, Array]:
    """The gauge with f^T diag(weight) f = I and G = left * values, left orthonormal: an SVD when all weights agree."""
    root = np.sqrt(weight)[:, None]
    basis, mixing = np.linalg.qr(root * f)
    left, values, rotation = np.linalg.svd(g @ mixing.T, full_matrices=False)
    return inverse_or_zero(root) * (basis @ rotation.T), left, values
