"""What the truncated-SVD estimators share: the scikit-learn contract around one call that returns singular triplets."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from spectral_jepa._late import sparse as sp
from spectral_jepa._validation import Array, InputError, check_count
from spectral_jepa.linalg import squared_norm


class TruncatedSVDBase(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the solvers of min ||X - X_k||_F over matrices of rank k; subclasses say how to find the triplets."""

    n_components: int
    _accept_sparse: ClassVar[Any] = ("csr", "csc")

    def _triplets(self, matrix: Array | sp.csr_array) -> tuple[Array, Array, Array]:
        """Leading singular triplets: left (m, k), values (k,) descending, right (n, k)."""
        raise NotImplementedError

    def fit(self, X: Any, y: None = None) -> Self:
        """Find the leading singular triplets of X.

        Parameters
        ----------
        X : dense or scipy.sparse (n_samples, n_features)
        y : None
            Ignored; there by convention.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is not a finite matrix, or ``n_components`` exceeds its smaller side.
        """
        X = validate_data(self, X, accept_sparse=self._accept_sparse, dtype="float64")
        check_rank(self, X.shape)
        self.left_, self.singular_values_, right = self._triplets(X)
        self.components_ = right.T
        # X_k is an orthogonal projection of X for every solver here, so Pythagoras gives the residual without forming it.
        self.residual_ = max(squared_norm(X) - squared_norm(self.singular_values_), 0.0)
        return self

    def transform(self, X: Any) -> Array:
        """Coordinates of the rows of X on the right singular vectors, shape (n_samples, n_components)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=self._accept_sparse, dtype="float64", reset=False)
        return X @ self.components_.T

    def inverse_transform(self, X: NDArray[Any]) -> Array:
        """Rows in feature space from their coordinates, shape (n_samples, n_features)."""
        check_is_fitted(self)
        return X @ self.components_

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def check_rank(estimator: Any, shape: tuple[int, int]) -> None:
    """Refuse more components than the matrix has singular values; names both sides, as scikit-learn's checks expect."""
    check_count("n_components", estimator.n_components)
    if estimator.n_components > min(shape):
        raise InputError(
            f"n_components is {estimator.n_components} for X with n_samples = {shape[0]} and n_features = {shape[1]}, "
            f"expected at most {min(shape)} in {type(estimator).__name__}: X has no more singular values, ask for fewer"
        )
