"""Mean-square prediction with the encoder whitened on subspaces only: W_j E[f f^T] W_j^T = I for j = 1..K (Sub-JEPA).

With the best prediction, f = A^T (right singular functions) costs sum_i (1 - s_i^2) ||A_i||^2, A_i the rows of the loadings
A, and E[f f^T] = A^T A. What rank the optimum has is the subject of docs/effective_dimension.md and of
:mod:`spectral_jepa.theory.effective_dimension`; here is the loss, its minimisation and the encoder that goes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._notebook import short_repr
from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_float, check_count, read_only
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.linalg import inverse_or_zero
from spectral_jepa.theory.whitening import (
    _check_penalty,
    _leading_reached,
    _unpredicted,
    mse_loss,
    target_second_moment,
)

FEASIBLE = 1e-9  # the largest entry of W_j Sigma W_j^T - I at which the optimiser stops
RANK_TOLERANCE = 1e-7  # relative to the largest eigenvalue of E[f f^T]


@dataclass(frozen=True, eq=False, repr=False)
class SubspaceOptimum:
    """The best encoder found under whitening on subspaces, and what every start found.

    Parameters
    ----------
    value : float
        E||g - f+||^2 = sum_i (1 - s_i^2) lambda_i.
    loadings : array (m, k)
        f = loadings^T (right singular functions), m = min(k, number of singular values) of them.
    eigenvalues : array (k,)
        lambda_i of Sigma = E[f f^T] = loadings^T loadings, descending. If s_1 = 1 (not centred) lambda_1 costs nothing:
        optima of one value differ in it, and which one is found depends on the start.
    rank : int
        Eigenvalues above 1e-7 of the largest.
    effective_rank : float
        exp(entropy) of the shares of the eigenvalues; with lambda_1 it depends on the start if s_1 = 1.
    violation : float
        Largest entry of W_j Sigma W_j^T - I.
    values, ranks : array (n_starts,)
        Of all starts, the best first: the problem is not convex, and starts end in different local minima.

    Examples
    --------
    >>> half = np.sqrt(0.5)
    >>> found = subspace_whitening_optimum([0.9, 0.3], [[[1.0, 0.0]], [[half, half]]], n_starts=3, seed=0)
    >>> found.rank, round(found.value, 6), found.values.shape
    (1, 0.222599, (3,))
    """

    value: float
    loadings: Array
    eigenvalues: Array
    rank: int
    effective_rank: float
    violation: float
    values: Array
    ranks: Array

    def __repr__(self) -> str:
        return short_repr(self)


@checked()
def effective_rank(second_moment: ArrayLike) -> float:
    """exp(entropy) of the shares of the eigenvalues of a second moment or covariance; 0 for the zero matrix.

    Parameters
    ----------
    second_moment : array (k, k)

    Returns
    -------
    float in [1, k], or 0

    Raises
    ------
    InputError
        If it is not a finite square matrix.

    Notes
    -----
    O(k^3). :func:`spectral_jepa.losses.sample_effective_rank` is the same of samples, in torch. Sub-JEPA reports that of the
    covariance (arXiv 2605.09241, eq. 9): the constant function then counts for nothing.

    Examples
    --------
    >>> round(effective_rank(np.diag([2.0, 2.0, 0.0])), 9)
    2.0
    """
    moment = as_float("second_moment", second_moment, (None, None))
    if moment.shape[0] != moment.shape[1]:
        raise InputError(f"second_moment has shape {moment.shape}, expected a square: pass E[f f^T]")
    eigenvalues = np.maximum(np.linalg.eigvalsh(moment), 0.0)
    shares = eigenvalues[eigenvalues > 0] / max(eigenvalues.sum(), np.finfo(float).tiny)
    return float(np.exp(-np.sum(shares * np.log(shares)))) if shares.size else 0.0


@checked()
def subspace_whitening_optimum(
    singular_values: ArrayLike,
    subspaces: ArrayLike,
    n_starts: int = 8,
    seed: int | np.random.Generator = 0,
) -> SubspaceOptimum:
    """Minimise E||g - f+||^2 under W_j E[f f^T] W_j^T = I over encoders and free predictions, from several random starts.

    Parameters
    ----------
    singular_values : array (m,), in [0, 1]
        Of the functions that may be used: leave out the first, 1, for a centred encoder. The k largest are used.
    subspaces : array (K, d_s, k)
        Rows linearly independent within each subspace; they need not be orthonormal.
    n_starts : int
    seed : int or numpy Generator

    Returns
    -------
    SubspaceOptimum
        The best start; raise ``n_starts`` where ``values`` disagree.

    Raises
    ------
    InputError
        Fewer functions than d_s, or no start that meets the constraints to 1e-9.

    Notes
    -----
    Augmented Lagrangian with L-BFGS in the loadings, whose rows start at full rank: nothing about the rank is put in.
    O(m k K d_s) an evaluation, some thousands of them; about .3 s a start at k = 12. Source: docs/effective_dimension.md.

    Examples
    --------
    Two lines at 60 degrees: lambda = 1/cos^2(30 degrees).

    >>> found = subspace_whitening_optimum([0.9, 0.3], [[[1.0, 0.0]], [[0.5, np.sqrt(0.75)]]], n_starts=3)
    >>> found.eigenvalues.round(6) + 0.0
    array([1.333333, 0.      ])
    """
    stack = _as_subspaces(subspaces)
    dim, inner = stack.shape[2], stack.shape[1]
    costs = np.sort(_unpredicted(as_float("singular_values", singular_values, (None,))))[:dim]
    if costs.size < inner:
        raise InputError(
            f"there are {costs.size} singular values, expected at least {inner}: an encoder cannot be white on a subspace "
            "that has more dimensions than there are functions"
        )
    rng = np.random.default_rng(seed)
    ends = [_descend(costs, stack, rng) for _ in range(check_count("n_starts", n_starts))]
    kept = sorted((end for end in ends if end[1] <= FEASIBLE), key=lambda end: end[2])
    if not kept:
        raise InputError(
            f"no start reached W_j E[f f^T] W_j^T = I (closest {min(end[1] for end in ends):.2g}), expected {FEASIBLE:g}: "
            "orthonormalise the rows of every subspace, or raise n_starts"
        )
    loadings, violation, value = kept[0]
    spectra = np.array([np.linalg.svd(end[0], compute_uv=False) ** 2 for end in kept])
    eigenvalues = np.zeros(dim)
    eigenvalues[: costs.size] = spectra[0]
    ranks = np.sum(spectra > RANK_TOLERANCE * spectra[:, :1], axis=1)
    return SubspaceOptimum(
        value=value,
        loadings=read_only(loadings),
        eigenvalues=read_only(eigenvalues),
        rank=int(ranks[0]),
        effective_rank=effective_rank(np.diag(eigenvalues)),
        violation=violation,
        values=read_only(np.array([end[2] for end in kept])),
        ranks=read_only(ranks),
    )


@checked()
def subspace_whitening_embedding(
    exact: CoOccurrence, loadings: ArrayLike, *, centred: bool = False, shared: bool = True
) -> Embedding:
    """The encoder f = loadings^T (right singular functions) with its best prediction, the conditional mean.

    Parameters
    ----------
    exact : CoOccurrence
    loadings : array (m, k)
        Of :func:`subspace_whitening_optimum`; ``W.sum(axis=0)`` is an optimum on a partition.
    centred : bool
        Leave out the constant function.
    shared : bool
        One encoder for all actions, white under the pooled law q; otherwise one an action with the same loadings.

    Returns
    -------
    Embedding
        E[f f^T] = loadings^T loadings.

    Raises
    ------
    InputError
        If there are fewer functions than rows of ``loadings``.

    Notes
    -----
    O(A S^3), dense.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> partition = np.array([[[0.6, 0.8]], [[0.8, -0.6]]])
    >>> one = subspace_whitening_embedding(exact, partition.sum(axis=0), centred=True)
    >>> round(subspace_whitening_loss(exact, one, partition, 1.0, shared=True), 12)
    0.72
    """
    table = as_float("loadings", loadings, (None, None))
    actions: list[int | None] = [None] if shared else list(range(exact.n_actions))
    targets, predictions = [], []
    for action in actions:
        left, values, right = _leading_reached(exact, action, table.shape[0], centred)
        column = exact.pooled_column_weight if action is None else exact.column_weight[action]
        row = exact.pooled_weight.ravel() if action is None else exact.row_weight[action]
        targets.append(inverse_or_zero(np.sqrt(column))[:, None] * (right @ table))
        predictions.append(inverse_or_zero(np.sqrt(row))[:, None] * ((left * values) @ table))
    if shared:
        predicted = predictions[0].reshape(exact.n_actions, exact.n_states, table.shape[1])
        return Embedding(targets[0], predicted, exact.pooled_column_weight)
    return Embedding(np.stack(targets), np.stack(predictions), exact.column_weight)


@checked(infinite=("penalty",))
def subspace_whitening_loss(
    exact: CoOccurrence, embedding: Embedding, subspaces: ArrayLike, penalty: float, *, shared: bool = False
) -> Any:
    """E||g - f+||^2 + penalty sum_j ||W_j E[f f^T] W_j^T - I||_F^2 for any encoder and prediction.

    Parameters
    ----------
    exact : CoOccurrence
    embedding : Embedding
    subspaces : array (K, d_s, k)
        The identity, one subspace, gives :func:`soft_whitening_loss`.
    penalty : float > 0
    shared : bool
        The loss of one encoder for all actions: pooled error, and the second moment under the pooled law q.

    Returns
    -------
    array (A,), or a float when shared

    Raises
    ------
    InputError
        If shapes do not match, or the penalty is not above 0.

    Notes
    -----
    O(A S^2 k + A K k^2 d_s).

    Examples
    --------
    Collapse costs the penalty once a row of each W_j.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> collapsed = Embedding(np.zeros((2, 2)), np.zeros((1, 2, 2)), np.array([0.5, 0.5]))
    >>> subspace_whitening_loss(exact, collapsed, np.eye(2)[:, None], 0.25)
    array([0.5])
    """
    stack, price = _as_subspaces(subspaces, embedding.dim), _check_penalty(penalty)
    errors, moments = mse_loss(exact, embedding), target_second_moment(exact, embedding)
    if shared:
        errors, moments = exact.action_frequency @ errors, np.tensordot(exact.action_frequency, moments, 1)
    gaps = stack @ moments[..., None, :, :] @ np.swapaxes(stack, 1, 2) - np.eye(stack.shape[1])
    losses = errors + price * np.sum(gaps**2, axis=(-3, -2, -1))
    return float(losses) if shared else losses


def _descend(costs: Array, stack: Array, rng: np.random.Generator) -> tuple[Array, float, float]:
    """One local minimum of tr(A^T diag(costs) A) under W_j A^T A W_j^T = I: A, its violation, its value."""
    from scipy.optimize import minimize  # slow to import, and only this needs it

    n_functions, (n_subspaces, inner, dim) = costs.size, stack.shape
    rows, weights, identity = stack.reshape(-1, dim), costs[:, None], np.eye(inner)
    multipliers = np.zeros((n_subspaces, inner, inner))

    def gaps(table: Array) -> tuple[Array, Array]:
        images = (table @ rows.T).reshape(n_functions, n_subspaces, inner).transpose(1, 0, 2)
        return images, images.transpose(0, 2, 1) @ images - identity

    def lagrangian(flat: Array) -> tuple[float, Array]:
        table = flat.reshape(n_functions, dim)
        images, gap = gaps(table)
        pull = (images @ (multipliers + price * gap)).transpose(1, 0, 2).reshape(n_functions, -1)
        value = np.sum(weights * table**2) + np.sum((multipliers + price / 2 * gap) * gap)
        return value, 2 * (weights * table + pull @ rows).ravel()

    table = rng.standard_normal((n_functions, dim)) / np.sqrt(n_functions)
    price, precision, violation = 1.0, 1e-3, np.inf
    for _ in range(60):
        options = {"maxiter": 2000, "maxfun": 4000, "ftol": 0.0, "gtol": precision, "maxcor": 20}
        end = minimize(lagrangian, table.ravel(), jac=True, method="L-BFGS-B", options=options)
        table, previous = end.x.reshape(n_functions, dim), violation
        gap = gaps(table)[1]
        violation = float(np.abs(gap).max())
        if violation <= FEASIBLE and precision <= 1e-8:
            break
        multipliers = multipliers + price * gap
        price *= 4 if violation > previous / 4 else 1
        precision = max(precision / 5, 1e-8)
    return table, violation, float(np.sum(weights * table**2))


def _as_subspaces(subspaces: ArrayLike, dim: int | None = None, *, orthonormal: bool = False) -> Array:
    stack = as_float("subspaces", subspaces, (None, None, dim))
    if not len(stack):
        raise InputError("subspaces is empty, expected at least one: axes are (subspace, row, latent coordinate)")
    if not 1 <= stack.shape[1] <= stack.shape[2]:
        raise InputError(
            f"subspaces have {stack.shape[1]} rows in R^{stack.shape[2]}, expected between 1 and {stack.shape[2]}: "
            "axes are (subspace, row, latent coordinate)"
        )
    off = np.abs(stack @ np.swapaxes(stack, 1, 2) - np.eye(stack.shape[1])).max() if orthonormal else 0.0
    if off > 1e-8:
        raise InputError(f"rows of subspaces are off orthonormal by {off:.2g}, expected 1e-8: take the Q of a QR of each")
    return stack
