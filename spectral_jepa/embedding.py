"""Encoder and prediction as values: f and g of the paper, however they were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._late import sparse as sp
from spectral_jepa._notebook import matrices_html
from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_array, as_float, check_count, read_only, require_memory
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.linalg import (
    inverse_or_zero,
    largest_singular_triplets,
    singular_value_decomposition,
    squared_norm,
    tail_energy,
)

# Lanczos tolerance where only singular values are wanted: their error is of its square, 1e-12.
VALUES_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Embedding:
    """Encoder f and prediction g on a finite world.

    Parameters
    ----------
    target : array (S, k), or (A, S, k) when each action has its own encoder
        f(y).
    predicted : array (A, S, k)
        g(f(x), a).
    column_weight : array (A, S) or (S,)
        The measure that turns g^T f back into probabilities: Phat(y|x,a) = column_weight[a, y] g(f(x),a)^T f(y).

    Raises
    ------
    InputError
        Shapes that do not match.

    Examples
    --------
    >>> one = Embedding(np.ones((2, 1)), np.ones((1, 2, 1)), np.array([0.5, 0.5]))
    >>> one.dim, one.shared
    (1, True)
    >>> one.transition()
    array([[[0.5, 0.5],
            [0.5, 0.5]]])
    """

    target: Array
    predicted: Array
    column_weight: Array

    def __post_init__(self) -> None:
        predicted = as_float("predicted", self.predicted, (None, None, None))
        n_actions, n_states, dim = predicted.shape
        target = as_array("target", self.target)
        target = as_float("target", target, (n_states, dim) if target.ndim == 2 else (n_actions, n_states, dim))
        weight = as_array("column_weight", self.column_weight)
        weight = as_float("column_weight", weight, (n_states,) if weight.ndim == 1 else (n_actions, n_states))
        weight = np.broadcast_to(weight, (n_actions, n_states))
        for name, value in (("target", target), ("predicted", predicted), ("column_weight", weight)):
            object.__setattr__(self, name, read_only(value))

    def __repr__(self) -> str:
        encoder = "shared encoder" if self.shared else "one encoder an action"
        return f"Embedding(dim {self.dim}, {self.n_actions} actions, {self.n_states} states, {encoder})"

    def _repr_html_(self) -> str:
        encoders = [self.target] if self.shared else list(self.target)
        names = ["f, all actions"] if self.shared else [f"f, action {a}" for a in range(self.n_actions)]
        return matrices_html(f"{self!r}: one row a state, one column a coordinate", encoders, names)

    @property
    def dim(self) -> int:
        """Latent dimension k."""
        return int(self.predicted.shape[2])

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return int(self.predicted.shape[1])

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return int(self.predicted.shape[0])

    @property
    def shared(self) -> bool:
        """Whether one encoder serves all actions."""
        return self.target.ndim == 2

    @property
    def targets(self) -> Array:
        """f for each action, shape (A, S, k), whether shared or not."""
        return np.broadcast_to(self.target, self.predicted.shape)

    @property
    def coordinate_ceiling(self) -> float:
        """The least kappa that bounds every coordinate of c f and g / c, over all scalings c (kappa of Thm 4.4)."""
        return float(np.sqrt(np.abs(self.target).max() * np.abs(self.predicted).max()))

    def density_ratio(self) -> Array:
        """g(f(x),a)^T f(y), the model of P(y|x,a) / w+(y|a), shape (A, S, S)."""
        shape = (self.n_actions, self.n_states, self.n_states)
        require_memory(shape, "the transition model", "score a subset of states, or use fewer states")
        return self.predicted @ np.swapaxes(self.targets, 1, 2)

    def transition(self) -> Array:
        """Phat(y|x,a), shape (A, S, S): may be negative and need not sum to 1 when truncated."""
        return self.column_weight[:, None, :] * self.density_ratio()

    def factors(self, geometry: CoOccurrence) -> tuple[Array, Array]:
        """F(a) = sqrt(w+) f and G(a) = sqrt(w) g in the weights of ``geometry``, each (A, S, k)."""
        target = np.sqrt(geometry.column_weight)[:, :, None] * self.targets
        return target, np.sqrt(geometry.row_weight)[:, :, None] * self.predicted

    def rotate(self, matrix: ArrayLike) -> Embedding:
        """The gauge transform (f, g) -> (Q f, Q^-T g): same risk, same Phat, other latent distances.

        Examples
        --------
        >>> one = Embedding(np.eye(2), np.eye(2)[None], np.array([0.5, 0.5]))
        >>> two = one.rotate([[1.0, 1.0], [0.0, 1.0]])
        >>> bool(np.allclose(one.transition(), two.transition()))
        True
        """
        q = as_float("matrix", matrix, (self.dim, self.dim))
        if np.linalg.matrix_rank(q) < self.dim:
            raise InputError("matrix is singular, expected an invertible one (k, k): a gauge transform must be undoable")
        return Embedding(self.target @ q.T, self.predicted @ np.linalg.inv(q), self.column_weight)

    def predictor_matrices(self, geometry: CoOccurrence) -> Array:
        """The linear predictors W_a that best fit g(f(x),a) = W_a f(x) under the data law, shape (A, k, k).

        Raises
        ------
        InputError
            If each action has its own encoder: a latent then has no meaning for the next action.
        """
        if not self.shared:
            raise InputError(
                "a latent predictor needs one encoder shared by all actions, got one an action: "
                "use spectral_embedding(..., shared=True) or the operator rollout"
            )
        weight = geometry.row_weight[:, :, None]
        cross = np.swapaxes(self.predicted, 1, 2) @ (weight * self.target)
        second_moment = self.target.T @ (weight * self.target)
        return cross @ np.linalg.pinv(second_moment, hermitian=True)


@checked()
def spectral_embedding(cooc: CoOccurrence, dim: int, *, shared: bool = False, seed: int = 0) -> Embedding:
    """The closed-form minimiser of the spectral JEPA loss at latent dimension ``dim`` (Thm 4.3, Eckart-Young).

    Whitened gauge: E[f f^T] = I, so g(f(x),a) = E[f(x+)|x,a] is also the best predictor of the mean-square loss.

    Parameters
    ----------
    cooc : CoOccurrence
        Exact or estimated.
    dim : int in [1, S]
        Latent dimension k.
    shared : bool
        False: each action has its own encoder (the paper's reading of Thm 4.3; risk = tail of each action).
        True: one encoder for all actions, from the stacked matrix (risk = tail of the stack).
    seed : int
        Seeds the Lanczos start on sparse matrices.

    Returns
    -------
    Embedding
        ``target`` (A, S, k), or (S, k) when shared.

    Raises
    ------
    InputError
        If ``dim`` is not between 1 and the largest possible rank.

    Notes
    -----
    Dense matrices use one full SVD, cached on ``cooc``, for every ``dim``: O(A S^3) once, then O(A S k). Sparse ones
    use Lanczos: O(non-zeros) an iteration.

    Examples
    --------
    >>> from spectral_jepa.mdp import TabularMDP
    >>> cooc = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> spectral_embedding(cooc, 2).transition().round(12)
    array([[[0.9, 0.1],
            [0.1, 0.9]]])
    """
    check_count("dim", dim, 1, cooc.n_states, "the largest possible rank is the number of states")
    if shared:
        left, values, right = _leading(cooc, None, dim, seed)
        column = cooc.pooled_column_weight
        target = inverse_or_zero(np.sqrt(column))[:, None] * right
        rows = inverse_or_zero(np.sqrt(cooc.pooled_weight))[:, :, None]
        predicted = rows * (left * values).reshape(cooc.n_actions, cooc.n_states, dim)
        return Embedding(target, predicted, column)
    triplets = [_leading(cooc, action, dim, seed) for action in range(cooc.n_actions)]
    left, values, right = (np.stack(parts) for parts in zip(*triplets, strict=True))
    target = inverse_or_zero(np.sqrt(cooc.column_weight))[:, :, None] * right
    predicted = inverse_or_zero(np.sqrt(cooc.row_weight))[:, :, None] * left * values[:, None, :]
    return Embedding(target, predicted, cooc.column_weight)


@checked()
def soft_threshold_embedding(
    cooc: CoOccurrence, price: ArrayLike, *, shared: bool = False, keep_constant: bool = True, seed: int = 0
) -> Embedding:
    """The minimiser of the spectral loss plus ``price`` times the squared norms: every singular value loses the price.

    A price instead of a dimension: B has singular values max(0, s_i - price), so the data decide how many directions stay.

    Parameters
    ----------
    cooc : CoOccurrence
        Exact or estimated.
    price : float >= 0, or array (A,) of prices
        theta, in units of singular values; the guarantee asks for at least ||E||_2, the spectral norm of the sampling error.
        One number for all actions, or one an action (not when ``shared``).
    shared : bool
        One encoder for all actions, from the stacked matrix, instead of one an action.
    keep_constant : bool
        True: the constant function, which is known and needs no data, is taken out before the threshold and put back whole.
        Plug-in counts then give transition rows that sum to 1, as planning needs. False: it pays like any other direction,
        which is the minimiser of L_spec + price (||F||_F^2 + ||G||_F^2).
    seed : int
        Seeds the Lanczos start on sparse matrices.

    Returns
    -------
    Embedding
        One coordinate a direction that is left (of the action with most of them), at least 1; those that an action does not
        use are 0. Gauge: f white, g carries the thresholded values. With known marginals the constant kept is no singular
        vector: it has a coordinate of its own, which is not orthogonal to the rest.

    Raises
    ------
    InputError
        A negative price, or prices that are not one an action.

    Notes
    -----
    O(A S^3): one full SVD, cached on ``cooc`` unless the constant is kept and is no singular pair. Sparse ones use Lanczos
    for twice as many directions until the next is below the price. Source: docs/price.md, 1 and 3.

    Examples
    --------
    Singular values 1 and .8: the second becomes .5, and 1 stays or becomes .7.

    >>> from spectral_jepa.mdp import TabularMDP
    >>> cooc = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> soft_threshold_embedding(cooc, 0.3).transition().round(12)
    array([[[0.75, 0.25],
            [0.25, 0.75]]])
    >>> soft_threshold_embedding(cooc, 0.3, keep_constant=False).transition().sum(-1).round(12)
    array([[0.7, 0.7]])
    >>> soft_threshold_embedding(cooc, 0.9).dim
    1
    """
    prices = _prices(price, 1 if shared else cooc.n_actions, shared)
    actions: list[int | None] = [None] if shared else list(range(cooc.n_actions))
    triplets = [
        _thresholded(cooc, action, float(theta), keep_constant, seed) for action, theta in zip(actions, prices, strict=True)
    ]
    dim = max(1, *(values.size for _, values, _ in triplets))
    left, values, right = (np.stack(parts) for parts in zip(*(_padded(t, dim) for t in triplets), strict=True))
    if shared:
        column, row = cooc.pooled_column_weight, cooc.pooled_weight
        left, right = left.reshape(cooc.n_actions, cooc.n_states, dim), right[0]
    else:
        column, row = cooc.column_weight, cooc.row_weight
    target = inverse_or_zero(np.sqrt(column))[..., None] * right
    predicted = inverse_or_zero(np.sqrt(row))[:, :, None] * (left * values[:, None, :])
    return Embedding(target, predicted, column)


@checked()
def spectrum(cooc: CoOccurrence, dim: int | None = None, *, shared: bool = False, seed: int = 0) -> Array:
    """Singular values of every Mbar(a), or of the stacked matrix, in descending order.

    Parameters
    ----------
    cooc : CoOccurrence
    dim : int in [1, S], optional
        How many. Default: all of them, by a dense SVD.
    shared : bool
        The stacked matrix instead of one spectrum an action.
    seed : int
        Seeds the Lanczos start on sparse matrices.

    Returns
    -------
    array (A, dim), or (dim,) when shared
        In [0, 1] where the normalisers are the matrix's own marginals; the first is then 1 (0 for an action without data).

    Raises
    ------
    InputError
        If ``dim`` is not between 1 and the number of states.

    Notes
    -----
    O(A S^3) once, cached on ``cooc``; given a sparse matrix and ``dim``, O(non-zeros) a Lanczos iteration instead. Source:
    docs/theory.md, 2.2.

    Examples
    --------
    >>> from spectral_jepa.mdp import TabularMDP
    >>> cooc = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> spectrum(cooc).round(12)
    array([[1. , 0.8]])
    """
    if dim is None:
        return cooc.stacked_decomposition[1] if shared else cooc.decomposition[1]
    check_count("dim", dim, 1, cooc.n_states, "the largest possible rank is the number of states")
    actions: list[int | None] = [None] if shared else list(range(cooc.n_actions))
    values = np.stack([_leading(cooc, action, dim, seed, VALUES_TOLERANCE)[1] for action in actions])
    return values[0] if shared else values


@checked()
def tail(cooc: CoOccurrence, dim: int, *, shared: bool = False) -> Any:
    """Approximation error: the sum of squared singular values beyond ``dim`` (Thm 4.3).

    Parameters
    ----------
    cooc : CoOccurrence
    dim : int in [0, S]
        Latent dimension k; 0 gives ||Mbar||_F^2.
    shared : bool
        The stacked matrix instead of one value an action.

    Returns
    -------
    array (A,), or a float when shared
        The least risk at dimension k. A sparse matrix uses ||Mbar||_F^2 minus its ``dim`` leading squares, so a tail below
        1e-15 of the total is lost to rounding.

    Raises
    ------
    InputError
        If ``dim`` is not between 0 and the number of states.

    Notes
    -----
    Cost of :func:`spectrum`. Source: arXiv 2606.27014, Thm 4.3; docs/theory.md, 2.2 and 2.7.

    Examples
    --------
    >>> from spectral_jepa.mdp import TabularMDP
    >>> cooc = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> tail(cooc, 1).round(12)
    array([0.64])
    """
    check_count("dim", dim, 0, cooc.n_states, "the largest possible rank is the number of states")
    if cooc.is_sparse:
        total = cooc.action_norms() if not shared else np.array(squared_norm(cooc.stacked))
        leading = spectrum(cooc, dim, shared=shared) ** 2 if dim else np.zeros(1)
        result = np.maximum(total - leading.sum(-1), 0.0)
    else:
        result = tail_energy(spectrum(cooc, shared=shared), dim)
    return float(result) if shared else result


def _leading(
    cooc: CoOccurrence, action: int | None, dim: int, seed: int, tolerance: float = 0.0
) -> tuple[Array, Array, Array]:
    """The first ``dim`` singular triplets of one action (or of the stack), by whichever solver suits the storage."""
    if not cooc.is_sparse or dim == cooc.n_states:  # Lanczos cannot find the last singular value
        left, values, right = cooc.stacked_decomposition if action is None else (part[action] for part in cooc.decomposition)
        return left[:, :dim], values[:dim], right[:, :dim]
    matrix = cooc.stacked if action is None else cooc.normalized[action]
    assert isinstance(matrix, sp.csr_array)
    return largest_singular_triplets(matrix, dim, seed=seed, tolerance=tolerance, top=cooc.constant_pair(action))


def _prices(price: ArrayLike, n: int, shared: bool) -> Array:
    """One price >= 0 for each of the n matrices."""
    prices = as_float("price", price, ()) if np.ndim(price) == 0 else as_float("price", price, (n,))
    if shared and prices.ndim:
        raise InputError("price has one entry an action, expected one number when shared: the stack is one matrix")
    if (prices < 0).any():
        raise InputError(f"price is {prices.min():.6g}, expected a number >= 0: what a direction must be worth to be kept")
    return np.broadcast_to(prices, (n,))


def _thresholded(
    cooc: CoOccurrence, action: int | None, price: float, keep_constant: bool, seed: int
) -> tuple[Array, Array, Array]:
    """Left vectors, thresholded values and right vectors of one matrix, those that are left; the kept constant first."""
    if not keep_constant or cooc.constant_pair(action)[0].any():
        left, values, right = _above(cooc, action, price, seed)
    else:  # not a singular pair: normalisers that are not the marginals, or an action without data
        rows = cooc.pooled_weight.ravel() if action is None else cooc.row_weight[action]
        columns = cooc.pooled_column_weight if action is None else cooc.column_weight[action]
        matrix: Any = cooc.stacked if action is None else cooc.normalized[action]
        if sp.issparse(matrix):
            require_memory(matrix.shape, "the matrix without its constant", "use plug-in counts", copies=4)
            matrix = matrix.toarray()
        first = np.sqrt(rows)[:, None], np.sqrt(columns)[:, None]
        rest = singular_value_decomposition(matrix - first[0] * first[1].T)
        left, right = np.hstack([first[0], rest[0]]), np.hstack([first[1], rest[2]])
        values = np.concatenate([[1.0], rest[1]])
    paid = np.maximum(values - price, 0.0)
    if keep_constant and values.size:
        paid[0] = values[0]
    n_left = int(np.count_nonzero(paid))
    return left[:, :n_left], paid[:n_left], right[:, :n_left]


def _above(cooc: CoOccurrence, action: int | None, price: float, seed: int) -> tuple[Array, Array, Array]:
    """Singular triplets of one action (or of the stack), at least all those above ``price``."""
    dim = cooc.n_states if not cooc.is_sparse else min(8, cooc.n_states)
    while True:
        left, values, right = _leading(cooc, action, dim, seed)
        if dim == cooc.n_states or values[-1] <= price:
            return left, values, right
        dim = min(2 * dim, cooc.n_states)


def _padded(triplet: tuple[Array, Array, Array], dim: int) -> tuple[Array, Array, Array]:
    """The same product with ``dim`` columns, the new ones 0."""
    left, values, right = triplet
    more = dim - values.size
    return np.pad(left, ((0, 0), (0, more))), np.pad(values, (0, more)), np.pad(right, ((0, 0), (0, more)))
