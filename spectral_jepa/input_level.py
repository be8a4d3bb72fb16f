"""Input-level world models: predict the observation itself at rank k, not a learned latent (docs/theory.md, section 6).

Every state y has an observation vector o(y) in R^d, its "pixels". Reduced-rank regression predicts o(x+) from the one-hot
(x, a): with centred pixels K = D+^1/2 (o - mean), the fitted predictions have the SVD Mbar K = U S V^T, and the best
predictor of rank j keeps its first j terms. Directions V are thus ranked by predicted variance in pixel units, s^2 times the
pixel variance, where the whitened spectral model ranks by s alone.

Read-out: h(y) = V_j^T (o(y) - mean), the j pixel directions kept, is taken for an encoder and given what the spectral model
has, whitening and the best free predictor, f = h whitened and g(x, a) = E[f(x+) | x, a]. So both are embeddings, differ in
nothing but the choice of the latent, and share risks, planners and bounds. The intercept (constant function) counts as the
first of the k dimensions, as it does in the spectral model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._notebook import short_repr
from spectral_jepa._signatures import checked
from spectral_jepa._validation import (
    Array,
    InputError,
    as_float,
    as_number,
    check_count,
    check_fraction,
    check_nonnegative,
    require_memory,
    shown,
)
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.linalg import inverse_or_zero, singular_value_decomposition


@dataclass(frozen=True, eq=False, repr=False)
class InputLevelModel:
    """Reduced-rank regressions of every rank, from one decomposition; made by :func:`reduced_rank_regression`.

    Attributes
    ----------
    mean : array (A, d)
        Mean next observation under the column weight.
    directions : array (A, d, r)
        Orthonormal pixel directions, most predicted variance first; r is the rank of the centred observations.
    predicted_variance : array (A, r)
        Variance of the fitted predictions along each direction, in squared pixel units.
    expected : array (A, S, d)
        Fitted E[o(x+) - mean | x, a] at full rank.
    target, predicted : arrays (A, S, 1 + r)
        The read-out f and g; the first ``dim`` columns serve dimension ``dim``.
    column_weight : array (A, S)
    shared : bool
        Whether one set of directions serves all actions; the leading axis then repeats it.

    Examples
    --------
    >>> from spectral_jepa.generators import make_ring
    >>> model = reduced_rank_regression(CoOccurrence.exact(make_ring(5, 0.4)), np.eye(5))
    >>> model.max_dim, model.embedding(3)
    (5, Embedding(dim 3, 3 actions, 5 states, one encoder an action))
    """

    mean: Array
    directions: Array
    predicted_variance: Array
    expected: Array
    target: Array
    predicted: Array
    column_weight: Array
    shared: bool

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def max_dim(self) -> int:
        """Largest dimension: the intercept and every pixel direction in which observations differ."""
        return int(self.target.shape[2])

    def embedding(self, dim: int) -> Embedding:
        """The read-out at dimension ``dim``: the intercept and the first dim - 1 directions. O(A S k).

        Raises
        ------
        InputError
            If ``dim`` is not between 1 and ``max_dim``.
        """
        self._check(dim)
        target = self.target[0] if self.shared else self.target
        return Embedding(target[..., :dim], self.predicted[:, :, :dim], self.column_weight)

    def prediction(self, dim: int) -> Array:
        """Predicted observations at dimension ``dim``, shape (A, S, d): the best ones of rank dim - 1 about the mean."""
        self._check(dim)
        kept = self.directions[:, :, : dim - 1]
        return self.mean[:, None, :] + self.expected @ kept @ np.swapaxes(kept, 1, 2)

    def _check(self, dim: int) -> None:
        check_count("dim", dim, 1, self.max_dim, "the intercept and the pixel directions in which observations differ")


@checked()
def reduced_rank_regression(cooc: CoOccurrence, observation: ArrayLike, *, shared: bool = False) -> InputLevelModel:
    """Fit the input-level model: least squares from the one-hot (x, a) to the next observation, ranked for truncation.

    Parameters
    ----------
    cooc : CoOccurrence
        Exact or estimated. With "plug-in" normalisation this is ordinary least squares on the transitions.
    observation : array (S, d)
        Observation vector of each state, in the units in which errors are squared.
    shared : bool
        False: directions for each action on its own, as :func:`spectral_embedding` does by default.
        True: one set for all actions, from the stacked regression.

    Returns
    -------
    InputLevelModel
        For every dimension from 1 to 1 + (rank of the centred observations).

    Raises
    ------
    InputError
        If ``observation`` has not one finite row a state.

    Notes
    -----
    O(A S d (S + d)), or O(A (non-zeros d + S d^2)) on sparse matrices. Anderson's reduced-rank regression (1951) with the
    data law as weight and pixel units as metric; read-out and reasons: docs/theory.md, section 6. Directions without
    predicted variance come last, and an observation that is constant under an action has nothing but the intercept.

    Examples
    --------
    >>> from spectral_jepa.mdp import TabularMDP
    >>> cooc = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> model = reduced_rank_regression(cooc, [[0.0], [2.0]])
    >>> model.predicted_variance.round(3), model.prediction(2)[0].ravel().round(3)
    (array([[0.64]]), array([0.2, 1.8]))
    >>> model.embedding(2).transition().round(12)
    array([[[0.9, 0.1],
            [0.1, 0.9]]])
    """
    pixels = as_float("observation", observation, (cooc.n_states, None))
    if shared:
        fits = [_fit(cooc.stacked, cooc.pooled_column_weight, pixels)]
        columns = np.broadcast_to(cooc.pooled_column_weight, cooc.column_weight.shape)
        rows = inverse_or_zero(np.sqrt(cooc.pooled_weight))
    else:
        pairs = zip(cooc.normalized, cooc.column_weight, strict=True)
        fits = [_fit(matrix, weight, pixels) for matrix, weight in pairs]
        columns, rows = cooc.column_weight, inverse_or_zero(np.sqrt(cooc.row_weight))
    target, predicted, directions, variance, expected, mean = (_stack(parts) for parts in zip(*fits, strict=True))
    n_actions, n_states, width = cooc.n_actions, cooc.n_states, target.shape[2]

    def each(array: Array) -> Array:
        return np.broadcast_to(array, (n_actions, *array.shape[1:]))

    return InputLevelModel(
        mean=each(mean),
        directions=each(directions),
        predicted_variance=each(variance),
        expected=rows[:, :, None] * expected.reshape(n_actions, n_states, -1),
        target=inverse_or_zero(np.sqrt(columns))[:, :, None] * each(target),
        predicted=rows[:, :, None] * predicted.reshape(n_actions, n_states, width),
        column_weight=columns,
        shared=shared,
    )


@checked()
def product_observations(task: ArrayLike, nuisance: ArrayLike, *, nuisance_scale: float, task_scale: float = 1.0) -> Array:
    """Observation vectors of a task seen beside a nuisance (see ``with_nuisance``): each in its own scale, side by side.

    Parameters
    ----------
    task : array (n, d)
        Features of the task states; ``np.eye(n)`` is the one-hot code.
    nuisance : array (m, e)
        Features of the nuisance values.
    nuisance_scale, task_scale : float >= 0
        Units: a scale multiplies the pixels, its square their variance.

    Returns
    -------
    array (n m, d + e)
        Row s * m + v shows task state s with nuisance value v.

    Raises
    ------
    InputError
        Features that are not matrices of finite numbers, or a negative scale.

    Examples
    --------
    >>> product_observations(np.eye(2), [[0.0], [1.0]], nuisance_scale=3)
    array([[1., 0., 0.],
           [1., 0., 3.],
           [0., 1., 0.],
           [0., 1., 3.]])
    """
    first, second = as_float("task", task, (None, None)), as_float("nuisance", nuisance, (None, None))
    scales = (_check_scale("task_scale", task_scale), _check_scale("nuisance_scale", nuisance_scale))
    size = (len(first), len(second), first.shape[1] + second.shape[1])
    require_memory(size, "the product of observations", "use fewer values or features", copies=2)
    repeated, tiled = np.repeat(first, len(second), axis=0), np.tile(second, (len(first), 1))
    return np.hstack([scales[0] * repeated, scales[1] * tiled])


@checked()
def critical_nuisance_scale(
    task_value: float, persistence: ArrayLike, n_task: int, n_values: int, *, noise: float = 0.0
) -> Array:
    """Scale above which a uniform one-hot nuisance outranks a task direction in the input-level model.

    One-hot pixels of a uniform law on n values have variance 1/n along each centred unit direction. A task direction of
    singular value s has predicted variance s^2 / n, the m - 1 nuisance directions c^2 p^2 / m; they cross at
    c = (s / p) sqrt(m / n). With N samples of each action over S states, noise = S / N of what cannot be predicted is fitted
    as well: s^2 becomes s^2 + (1 - s^2) noise, p^2 likewise (a mean-field estimate, exact for noise = 0).

    Parameters
    ----------
    task_value : float
        Singular value s of the task direction.
    persistence : float or array in [0, 1]
        Probability p that the nuisance keeps its value.
    n_task, n_values : int
        Number of task states n (uniform law) and nuisance values m >= 2.
    noise : float >= 0
        S / N; 0 for exact matrices.

    Returns
    -------
    array like ``persistence``
        Infinite where the nuisance is not predicted at all: p = 0 without noise.

    Raises
    ------
    InputError
        If ``n_task`` or ``n_values`` is not a whole number above 1.

    Notes
    -----
    Source: docs/theory.md, section 6. The whitened spectral model compares p with s, whatever the scale.

    Examples
    --------
    >>> critical_nuisance_scale(0.5, [0.25, 1.0], 4, 4)
    array([2. , 0.5])
    """
    check_count("n_task", n_task, 2)
    check_count("n_values", n_values, 2)
    probability = np.asarray(persistence, dtype=np.float64)
    if not ((probability >= 0) & (probability <= 1)).all():
        raise InputError(f"persistence holds {shown(persistence)}, expected numbers between 0 and 1: they are probabilities")
    check_fraction("task_value", task_value)
    check_nonnegative("noise", noise)
    kept = probability**2
    task, nuisance = (v + (1 - v) * noise for v in (task_value**2, kept))
    with np.errstate(divide="ignore"):
        return np.sqrt(n_values / n_task * task / nuisance)


def _check_scale(name: str, value: Any) -> float:
    number = as_number(name, value)
    if not (np.isfinite(number) and number >= 0):
        raise InputError(f"{name} is {number:.6g}, expected a finite number >= 0: choose one in that range")
    return number


def _fit(matrix: Any, column_weight: Array, pixels: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
    """One regression: read-out F and G, directions, predicted variance, fitted values times sqrt(w), and mean."""
    root = np.sqrt(column_weight)
    mean = column_weight @ pixels
    centred = root[:, None] * (pixels - mean)
    # Pixels that never differ, or say the same as others, are dropped first: every direction left is a function of its own.
    basis, scale, axes = np.linalg.svd(centred, full_matrices=False)
    tolerance = max(centred.shape) * np.finfo(float).eps * np.linalg.norm(root[:, None] * pixels)
    rank = int(np.sum(scale > tolerance))
    basis, scale, axes = basis[:, :rank], scale[:rank], axes[:rank].T
    fitted = np.asarray(matrix @ centred)
    values, rotation = singular_value_decomposition(fitted @ axes)[1:] if rank else (scale, np.eye(0))
    # QR makes the encoders nested: its first k columns span the intercept and the first k - 1 directions.
    ordered, triangle = np.linalg.qr(np.hstack([root[:, None], (basis * scale) @ rotation]))
    target = ordered * np.where(np.diag(triangle) < 0, -1.0, 1.0)
    return target, np.asarray(matrix @ target), axes @ rotation, values**2, fitted, mean


def _stack(parts: tuple[Array, ...]) -> Array:
    """One array for all actions. Where observations have a smaller rank, zeros fill up, which predict nothing."""
    width = max(part.shape[-1] for part in parts)
    return np.stack([np.pad(p, [(0, 0)] * (p.ndim - 1) + [(0, width - p.shape[-1])]) for p in parts])
