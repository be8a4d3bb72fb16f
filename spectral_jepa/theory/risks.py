"""Pretraining error: the spectral JEPA risk, its losses, and the identities that join them (arXiv 2606.27014, section 3).

R_S(a) = ||Mbar(a) - G(a) F(a)^T||_F^2 with F = sqrt(w+) f and G = sqrt(w) g. It is also the weighted error of the
transition model read back from the embedding: R_S(a) = E_w sum_y (P - Phat)^2 / w+.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_model, check_count
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding, spectrum
from spectral_jepa.linalg import inverse_or_zero, project_to_capped_simplex, squared_norm


@checked()
def spectral_risk(exact: CoOccurrence, embedding: Embedding) -> Array:
    """Spectral JEPA risk R_S(a) = ||Mbar(a) - G(a) F(a)^T||_F^2, one value an action.

    Parameters
    ----------
    exact : CoOccurrence
        The matrices to be approximated and the weights that turn f, g into F, G.
    embedding : Embedding
        Any encoder and prediction; no normalisation is assumed.

    Returns
    -------
    array (A,)

    Notes
    -----
    O(A S^2 k). Equal to :func:`spectral_loss` plus ||Mbar(a)||_F^2, whatever f and g (docs/theory.md, identity 1).

    Examples
    --------
    >>> from spectral_jepa import TabularMDP, spectral_embedding, tail
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> spectral_risk(exact, spectral_embedding(exact, 1)).round(12), tail(exact, 1).round(12)
    (array([0.64]), array([0.64]))
    """
    _check_spaces(exact, embedding)
    target, predicted = embedding.factors(exact)
    if isinstance(exact.normalized, tuple):
        # Expand the square, so that no dense S x S array appears.
        cross = np.array([np.sum((m @ f) * g) for m, f, g in zip(exact.normalized, target, predicted, strict=True)])
        return np.maximum(exact.action_norms() - 2 * cross + _gram_product(target, predicted), 0.0)
    residual = exact.normalized - predicted @ np.swapaxes(target, 1, 2)
    return np.sum(residual**2, axis=(1, 2))


@checked()
def spectral_loss(exact: CoOccurrence, embedding: Embedding) -> Array:
    """L_spec(a) = -2 E[g(f(x),a)^T f(x+)] + E[(g(f(x),a)^T f(x'))^2], computed as expectations, one value an action.

    Parameters
    ----------
    exact : CoOccurrence
    embedding : Embedding
        Any encoder and prediction; no normalisation is assumed.

    Returns
    -------
    array (A,)
        At least -||Mbar(a)||_F^2; 0 for an embedding that predicts nothing.

    Notes
    -----
    O(A S^2 k). x' is drawn from the column law independently of x. Source: arXiv 2606.27014, eq. 13 in population form;
    docs/theory.md, 2.1.

    Examples
    --------
    At full rank it is minus the sum of the squared singular values, 1 and .8.

    >>> from spectral_jepa import TabularMDP, spectral_embedding
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> spectral_loss(exact, spectral_embedding(exact, 2)).round(12)
    array([-1.64])
    """
    _check_spaces(exact, embedding)
    ratio = embedding.density_ratio()
    alignment = np.array([(m * r).sum() for m, r in zip(exact.joint, ratio, strict=True)])
    independent = exact.row_weight[:, :, None] * exact.column_weight[:, None, :]
    return -2 * alignment + np.sum(independent * ratio**2, axis=(1, 2))


@checked()
def jepa_loss(exact: CoOccurrence, embedding: Embedding) -> Array:
    """The loss as printed: E||g(f(x),a) - f(x+)||^2 + E[(g^T f')^2], one value an action.

    With free norms its global minimum is total collapse f = g = 0; see :func:`spectral_loss` for the form that is not.

    Parameters
    ----------
    exact : CoOccurrence
    embedding : Embedding
        Any encoder and prediction; no normalisation is assumed.

    Returns
    -------
    array (A,), >= 0
        :func:`spectral_loss` plus E||f(x+)||^2 + E||g||^2.

    Notes
    -----
    O(A S^2 k). Source: arXiv 2606.27014, eq. 2-3; docs/theory.md, 2.1 and 2.4.

    Examples
    --------
    Collapse costs nothing, and the constant f = g = 1, which is the best one of dimension 1 for the risk, costs 1.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> collapsed = Embedding(np.zeros((2, 1)), np.zeros((1, 2, 1)), np.array([0.5, 0.5]))
    >>> constant = Embedding(np.ones((2, 1)), np.ones((1, 2, 1)), np.array([0.5, 0.5]))
    >>> jepa_loss(exact, collapsed), jepa_loss(exact, constant)
    (array([0.]), array([1.]))
    """
    next_law = np.stack([np.asarray(m.sum(axis=0)).ravel() for m in exact.joint])
    anchor_law = np.stack([np.asarray(m.sum(axis=1)).ravel() for m in exact.joint])
    target_norm = np.sum(next_law * np.sum(embedding.targets**2, axis=2), axis=1)
    predicted_norm = np.sum(anchor_law * np.sum(embedding.predicted**2, axis=2), axis=1)
    return spectral_loss(exact, embedding) + target_norm + predicted_norm


@checked()
def printed_risk_constant(exact: CoOccurrence) -> Array:
    """The constant of Thm 3.1 as printed, 2 - ||Mbar(a)||_F^2; right if and only if E||f+||^2 + E||g||^2 = 2.

    Parameters
    ----------
    exact : CoOccurrence

    Returns
    -------
    array (A,)
        What the theorem subtracts from :func:`jepa_loss` to get :func:`spectral_risk`.

    Notes
    -----
    O(A S^2), or O(non-zeros) when sparse. Source: arXiv 2606.27014, Thm 3.1; docs/theory.md, 2.1.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> unit = Embedding(np.ones((2, 1)), np.ones((1, 2, 1)), np.array([0.5, 0.5]))
    >>> (jepa_loss(exact, unit) - spectral_risk(exact, unit)).round(12), printed_risk_constant(exact).round(12)
    (array([0.36]), array([0.36]))
    """
    return 2 - exact.action_norms()


@checked()
def transition_risk(exact: CoOccurrence, transition: Array, *, pooled: bool = False) -> Any:
    """Weighted error of a transition model, E_w sum_y (P - Phat)^2 / w+(y|a), one value an action.

    Parameters
    ----------
    exact : CoOccurrence
    transition : array (A, S, S)
        Phat; may be signed.
    pooled : bool
        Sum over rho(x,a) with the pooled normaliser q instead: one float array of shape ().

    Returns
    -------
    array (A,), or () when pooled; infinite where Phat puts mass on a next state that never occurs.

    Raises
    ------
    InputError
        A model of another shape, or with numbers that are not finite.

    Notes
    -----
    Equals R_S when Phat is read back with the same normaliser (the bridge between risk and model error). O(A S^2).

    Examples
    --------
    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> transition_risk(exact, np.full((1, 2, 2), 0.5)).round(12)
    array([0.64])
    """
    model = as_model("transition", transition, exact.n_actions, exact.n_states)
    if isinstance(model, tuple) or model.ndim != 3:
        raise InputError(
            "transition holds several models or sparse ones, expected one dense array (A, S, S): pass them one by one"
        )
    if pooled:
        return _weighted_errors(exact, model, exact.pooled_weight, exact.pooled_column_weight).sum()
    return _weighted_errors(exact, model, exact.row_weight, exact.column_weight)


def _weighted_errors(exact: CoOccurrence, model: Array, row: Array, column: Array) -> Array:
    """sum_x row(x) sum_y (P - Phat)^2(y|x,a) / column(y), shape (A,); infinite where Phat leads to a column without mass."""
    weighted = row[:, :, None] * (exact.conditional() - model) ** 2
    column = np.broadcast_to(column, exact.column_weight.shape)[:, None, :]
    unreachable = np.any((column == 0) & (weighted > 0), axis=(1, 2))
    return np.where(unreachable, np.inf, np.sum(weighted * inverse_or_zero(column), axis=(1, 2)))


@checked()
def pooled_risk(exact: CoOccurrence, embedding: Embedding) -> float:
    """R_S of the stacked matrix, ||A - B||_F^2, for one encoder shared by all actions.

    Parameters
    ----------
    exact : CoOccurrence
        Its weights rho and q turn f and g into B.
    embedding : Embedding
        With a shared encoder; read as functions f, g.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If each action has its own encoder, or the embedding and the co-occurrence have other states or actions.

    Notes
    -----
    O(A S^2 k), or O(non-zeros k) when sparse. Source: docs/theory.md, 2.7.

    Examples
    --------
    Half of the time the state stays, half of the time it does so with probability .9: the stack has squared singular values
    1 and (1 + .64) / 2.

    >>> from spectral_jepa import TabularMDP, spectral_embedding
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]], np.eye(2)]))
    >>> round(pooled_risk(exact, spectral_embedding(exact, 1, shared=True)), 12)
    0.82
    """
    _check_spaces(exact, embedding)
    if not embedding.shared:
        raise InputError("pooled_risk needs one encoder shared by all actions, got one an action: use spectral_risk")
    target = np.sqrt(exact.pooled_column_weight)[:, None] * embedding.target
    predicted = (np.sqrt(exact.pooled_weight)[:, :, None] * embedding.predicted).reshape(-1, embedding.dim)
    if exact.is_sparse:
        cross = np.sum((exact.stacked @ target) * predicted)
        norm = squared_norm(exact.stacked)
        return max(float(norm - 2 * cross + _gram_product(target, predicted)), 0.0)
    return float(np.sum((exact.stacked - predicted @ target.T) ** 2))


@checked()
def chi_square_information(exact: CoOccurrence) -> Array:
    """Chi-square mutual information of (x, x+) given each action: sum_xy (M - w w+)^2 / (w w+) = ||Mbar||_F^2 - 1.

    Parameters
    ----------
    exact : CoOccurrence

    Returns
    -------
    array (A,)
        Sum of the squared singular values beyond the first; 0 where x+ is independent of x.

    Notes
    -----
    O(A S^2), dense. Source: docs/theory.md, 2.2.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP
    >>> chi_square_information(CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))).round(12)
    array([0.64])
    """
    joint = exact.dense_joint()
    independent = exact.row_weight[:, :, None] * exact.column_weight[:, None, :]
    return np.sum((joint - independent) ** 2 * inverse_or_zero(independent), axis=(1, 2))


@checked()
def unit_norm_risk_floor(exact: CoOccurrence, dim: int) -> Array:
    """A lower bound on R_S(a) over encoders and predictions of unit norm.

    Unit norm forces ||G F^T||_* <= 1, so Thm 3.1's hypothesis and Thm 4.3's minimiser meet only at k = 1 or where s_2 = 0.

    Parameters
    ----------
    exact : CoOccurrence
    dim : int in [1, S]
        Latent dimension k.

    Returns
    -------
    array (A,)
        At least tail_k(a).

    Raises
    ------
    InputError
        If ``dim`` is not between 1 and the number of states.

    Notes
    -----
    O(A S^3). Source: docs/theory.md, 2.3.

    Examples
    --------
    States that stay where they are: n - 2 + 1 / k, where tail_k is n - k.

    >>> from spectral_jepa import TabularMDP
    >>> unit_norm_risk_floor(CoOccurrence.exact(TabularMDP([np.eye(4)])), 2).round(12)
    array([2.5])
    """
    check_count("dim", dim, 1, exact.n_states, "the largest possible rank is the number of states")
    values = spectrum(exact)
    kept = np.stack([project_to_capped_simplex(s[:dim]) for s in values])
    return np.sum((values[:, :dim] - kept) ** 2, axis=1) + np.sum(values[:, dim:] ** 2, axis=1)


def _gram_product(target: Array, predicted: Array) -> Array:
    """||G F^T||_F^2 from the two k x k Gram matrices."""
    first = np.swapaxes(target, -1, -2) @ target
    second = np.swapaxes(predicted, -1, -2) @ predicted
    return np.sum(first * second, axis=(-1, -2))


def _check_spaces(exact: CoOccurrence, embedding: Embedding) -> None:
    got, expected = (embedding.n_actions, embedding.n_states), (exact.n_actions, exact.n_states)
    if got != expected:
        raise InputError(
            f"the embedding covers {got[0]} actions x {got[1]} states, expected {expected[0]} x {expected[1]} as in the "
            "co-occurrence: build both from the same spaces"
        )
