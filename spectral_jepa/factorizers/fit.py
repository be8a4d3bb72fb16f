"""From a co-occurrence matrix and a solver instance to an embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from spectral_jepa._late import sparse as sp
from spectral_jepa._validation import Array, InputError, check_count
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding, spectral_embedding
from spectral_jepa.factorizers.als import AlternatingLeastSquares
from spectral_jepa.linalg import inverse_or_zero


def fit_embedding(cooc: CoOccurrence, dim: int, solver: Any = None, *, shared: bool = False) -> Embedding:
    """Embed with any solver of this package (or any estimator with their attributes), passed as an instance.

    Parameters
    ----------
    cooc : CoOccurrence
        Exact or estimated.
    dim : int in [1, S]
        Latent dimension k; replaces the solver's ``n_components``.
    solver : FullSVD, LanczosSVD, RandomizedSVD or AlternatingLeastSquares, optional
        Never modified: a copy is fitted. Default: :func:`spectral_jepa.embedding.spectral_embedding`.
    shared : bool
        False: one fit an action, on Mbar(a). True: one encoder for all actions. An SVD then factorises the stacked matrix,
        in the geometry of q; alternating least squares minimises sum_a p(a) R_S(a), each action in its own geometry,
        starting from the encoder of the stacked SVD.

    Returns
    -------
    Embedding
        In the whitened gauge: E_{w+}[f f^T] = I for each action, or E_q[f f^T] = I when shared.

    Raises
    ------
    InputError
        If ``dim`` is out of range or the solver has no ``n_components``.

    Notes
    -----
    Cost of the solver; docs/theory.md, 2.7.

    Examples
    --------
    >>> from spectral_jepa.mdp import TabularMDP
    >>> from spectral_jepa.factorizers.svd import LanczosSVD
    >>> cooc = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> fit_embedding(cooc, 1, LanczosSVD()).transition().round(12)
    array([[[0.5, 0.5],
            [0.5, 0.5]]])
    """
    check_count("dim", dim, 1, cooc.n_states, "the largest possible rank is the number of states")
    if solver is None:
        return spectral_embedding(cooc, dim, shared=shared)
    if not hasattr(solver, "n_components"):
        raise InputError(
            f"solver is {solver!r}, expected an estimator with n_components: pass an instance, for example LanczosSVD()"
        )
    solver = clone(solver).set_params(n_components=dim)
    if shared and isinstance(solver, AlternatingLeastSquares):
        return _alternate(cooc, dim, solver)
    column = cooc.pooled_column_weight if shared else cooc.column_weight
    row = cooc.pooled_weight if shared else cooc.row_weight
    fits = [clone(solver).fit(matrix) for matrix in ([cooc.stacked] if shared else cooc.normalized)]
    right = np.stack([fit.components_.T for fit in fits])
    scaled_left = np.stack([fit.left_ * fit.singular_values_ for fit in fits]).reshape(cooc.n_actions, cooc.n_states, dim)
    target = inverse_or_zero(np.sqrt(column))[..., None] * (right[0] if shared else right)
    return Embedding(target, inverse_or_zero(np.sqrt(row))[:, :, None] * scaled_left, column)


def weighted_blocks(cooc: CoOccurrence) -> Array | sp.csr_array:
    """The blocks sqrt(p(a)) Mbar(a), stacked to (A * S, S): the X of :class:`AlternatingLeastSquares`.

    Unlike ``cooc.stacked`` every action keeps its own column normaliser.

    Parameters
    ----------
    cooc : CoOccurrence

    Returns
    -------
    array (A * S, S), or CSR when ``cooc`` is sparse
        Row a * S + x belongs to the pair (x, a). Its squared norm is sum_a p(a) ||Mbar(a)||_F^2.

    Notes
    -----
    O(A S^2), or O(non-zeros). Source: docs/theory.md, 2.7.

    Examples
    --------
    Two actions, each half of the time: stay, and exchange the two states.

    >>> from spectral_jepa.mdp import TabularMDP
    >>> weighted_blocks(CoOccurrence.exact(TabularMDP([np.eye(2), np.eye(2)[::-1]]))).round(3)
    array([[0.707, 0.   ],
           [0.   , 0.707],
           [0.   , 0.707],
           [0.707, 0.   ]])
    """
    root = np.sqrt(cooc.action_frequency)
    blocks = [r * matrix for r, matrix in zip(root, cooc.normalized, strict=True)]
    return sp.csr_array(sp.vstack(blocks)) if cooc.is_sparse else np.vstack(blocks)


def _alternate(cooc: CoOccurrence, dim: int, solver: AlternatingLeastSquares) -> Embedding:
    solver = solver.set_params(n_blocks=cooc.n_actions)
    start = spectral_embedding(cooc, dim, shared=True).target
    fit = solver.fit(weighted_blocks(cooc), column_weight=cooc.column_weight, target=start)
    left = (fit.left_ * fit.singular_values_).reshape(cooc.n_actions, cooc.n_states, dim)
    predicted = inverse_or_zero(np.sqrt(cooc.pooled_weight))[:, :, None] * left
    embedding = Embedding(fit.components_.T, predicted, cooc.column_weight)
    # The solver whitens under the plain mean of the weights; the data law q weighs actions by their frequency.
    second_moment = embedding.target.T @ (cooc.pooled_column_weight[:, None] * embedding.target)
    values, basis = np.linalg.eigh(second_moment)
    return embedding.rotate((basis / np.sqrt(values)).T) if values[0] > 1e-12 * values[-1] else embedding
