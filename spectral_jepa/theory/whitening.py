"""Mean-square prediction with a whitened target, hard (docs/theory.md, 2.5) and soft (2.6).

With F = sqrt(w+) f and the best prediction g(f(x),a) = E[f(x+)|x,a], E||g - f+||^2 = tr F^T (I - Mbar^T Mbar) F.

- E[f f^T] = I, that is F^T F = I: the least value is sum_{i<=k} (1 - s_i^2), and E||g - f+||^2 = L_spec + k for any g.
- Penalty lam ||E[f f^T] - I||_F^2 instead: right singular function i is kept with squared scale
  d_i^2 = max(0, 1 - (1 - s_i^2) / (2 lam)), so it collapses if and only if s_i^2 <= 1 - 2 lam.

An optimum holds the k leading right singular functions, up to a rotation of the latent space (and of tied functions); the
term of a function, (1 - s^2) d^2 + lam (d^2 - 1)^2, grows as s falls until it reaches lam, the price of an empty
coordinate. No other point is a local minimum: every other stationary point holds an eigenfunction that may be exchanged for
a better one, or leaves a coordinate empty that a better one would fill. So descent from almost every start finds the rank
predicted here; f = 0 is stationary, and stays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._late import sparse as sp
from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_number, check_count, require_memory
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.linalg import inverse_or_zero, singular_value_decomposition
from spectral_jepa.theory.risks import _check_spaces


@checked()
def mse_loss(exact: CoOccurrence, embedding: Embedding) -> Array:
    """Mean-square prediction error E||g(f(x),a) - f(x+)||^2 (arXiv 2606.27014, eq. 1), one value an action.

    Parameters
    ----------
    exact : CoOccurrence
        The joint law of (x, x+) for each action; sampled counts give the training error.
    embedding : Embedding
        Any encoder and prediction.

    Returns
    -------
    array (A,)

    Raises
    ------
    InputError
        If the embedding and the co-occurrence have other states or actions.

    Notes
    -----
    O(A S^2 k), or O(non-zeros k) when sparse. Alone it is least at collapse. For one encoder shared by all actions, the
    pooled error is ``exact.action_frequency @ mse_loss(exact, embedding)``.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP, spectral_embedding
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> mse_loss(exact, spectral_embedding(exact, 2)).round(12)
    array([0.36])
    """
    _check_spaces(exact, embedding)
    losses = []
    for joint, target, predicted in zip(exact.joint, embedding.targets, embedding.predicted, strict=True):
        anchor_law, next_law = (np.asarray(joint.sum(axis=axis)).ravel() for axis in (1, 0))
        norms = anchor_law @ np.sum(predicted**2, axis=1) + next_law @ np.sum(target**2, axis=1)
        losses.append(norms - 2 * np.sum((joint @ target) * predicted))
    return np.array(losses)


@checked()
def target_second_moment(exact: CoOccurrence, embedding: Embedding) -> Array:
    """E[f(x+) f(x+)^T] under w+(.|a); the identity where the encoder is white.

    Parameters
    ----------
    exact : CoOccurrence
    embedding : Embedding

    Returns
    -------
    array (A, k, k)
        Weigh with ``exact.action_frequency`` for the second moment under the pooled law q.

    Raises
    ------
    InputError
        If the embedding and the co-occurrence have other states or actions.

    Notes
    -----
    O(A S k^2). Source: docs/theory.md, 2.5.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP, spectral_embedding
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> bool(np.allclose(target_second_moment(exact, spectral_embedding(exact, 2)), np.eye(2)))
    True
    """
    _check_spaces(exact, embedding)
    return np.swapaxes(embedding.targets, 1, 2) @ (exact.column_weight[:, :, None] * embedding.targets)


@checked(infinite=("penalty",))
def soft_whitening_loss(exact: CoOccurrence, embedding: Embedding, penalty: float) -> Array:
    """E||g - f+||^2 + penalty ||E[f f^T] - I||_F^2 for any encoder and prediction, one value an action.

    Parameters
    ----------
    exact : CoOccurrence
    embedding : Embedding
    penalty : float > 0
        lam.

    Returns
    -------
    array (A,)
        At least :func:`soft_whitening_value` of the k leading singular values.

    Raises
    ------
    InputError
        If the penalty is not above 0, or the embedding and the co-occurrence have other states or actions.

    Notes
    -----
    O(A S^2 k + A S k^2). Source: docs/theory.md, 2.6.

    Examples
    --------
    Collapse costs the penalty once a coordinate.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> collapsed = Embedding(np.zeros((2, 2)), np.zeros((1, 2, 2)), np.array([0.5, 0.5]))
    >>> soft_whitening_loss(exact, collapsed, 0.25)
    array([0.5])
    """
    gap = target_second_moment(exact, embedding) - np.eye(embedding.dim)
    return mse_loss(exact, embedding) + _check_penalty(penalty) * np.sum(gap**2, axis=(1, 2))


@checked()
def whitened_mse_value(exact: CoOccurrence, dim: int, *, centred: bool = False, shared: bool = False) -> Any:
    """The least E||g - f+||^2 over white encoders of dimension ``dim``: sum_{i<=k} (1 - s_i^2).

    Parameters
    ----------
    exact : CoOccurrence
    dim : int
        At most the number of states that are reached (one less when centred): more coordinates cannot be white.
    centred : bool
        Ask for E f = 0 as well, which excludes the constant function: the sum then runs over i = 2, ..., k + 1.
    shared : bool
        One encoder for all actions, white under the pooled law q: the singular values of the stacked matrix.

    Returns
    -------
    array (A,), or a float when shared

    Raises
    ------
    InputError
        If ``dim`` is out of range, or ``centred`` is asked of normalisers that are not the marginals.

    Notes
    -----
    O(A S^3), dense. Source: docs/theory.md, 2.5.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> whitened_mse_value(exact, 2).round(12), whitened_mse_value(exact, 1, centred=True).round(12)
    (array([0.36]), array([0.36]))
    """
    if shared:
        return float(np.sum(1 - _leading_reached(exact, None, dim, centred)[1] ** 2))
    actions = range(exact.n_actions)
    return np.array([np.sum(1 - _leading_reached(exact, action, dim, centred)[1] ** 2) for action in actions])


@checked(infinite=("penalty",))
def soft_whitening_scales(singular_values: ArrayLike, penalty: float) -> Array:
    """Squared scale d_i^2 = max(0, 1 - (1 - s_i^2) / (2 penalty)) of each right singular function at the optimum.

    Parameters
    ----------
    singular_values : array, in [0, 1]
        Of the functions concerned: the leading k (those after the first, when centred).
    penalty : float > 0
        lam, in front of ||E[f f^T] - I||_F^2; ``np.inf`` is hard whitening, all scales 1.

    Returns
    -------
    array, of the shape of ``singular_values``; 0 (collapse) if and only if s^2 <= 1 - 2 penalty

    Raises
    ------
    InputError
        If the penalty is not above 0, or a value lies outside [0, 1].

    Examples
    --------
    >>> soft_whitening_scales([1.0, 0.8, 0.6], penalty=0.3).round(12)
    array([1. , 0.4, 0. ])
    """
    return np.maximum(0.0, 1 - _unpredicted(singular_values) / (2 * _check_penalty(penalty)))


@checked(infinite=("penalty",))
def soft_whitening_value(singular_values: ArrayLike, penalty: float) -> Any:
    """The least E||g - f+||^2 + penalty ||E[f f^T] - I||_F^2: sum_i d_i^2 (1 - s_i^2) + penalty (d_i^2 - 1)^2.

    Parameters
    ----------
    singular_values : array (..., k), in [0, 1]
        The k leading ones of the matrix in question; summed over.
    penalty : float > 0

    Returns
    -------
    array (...), or a float for one list of values

    Raises
    ------
    InputError
        As in :func:`soft_whitening_scales`.

    Examples
    --------
    .4 * .36 + .3 * .36 for the second function, .3 for the third, which collapses.

    >>> round(soft_whitening_value([1.0, 0.8, 0.6], penalty=0.3), 12)
    0.552
    """
    cost, price = _unpredicted(singular_values), _check_penalty(penalty)
    # The sum with d^2 put in; written so that an infinite penalty gives the whitened value and not 0 * inf.
    kept = cost - cost * np.minimum(cost / (4 * price), 1.0)
    total = np.sum(np.where(cost < 2 * price, kept, price), axis=-1)
    return float(total) if total.ndim == 0 else total


@checked(infinite=("penalty",))
def soft_whitening_embedding(
    exact: CoOccurrence, dim: int, penalty: float, *, centred: bool = False, shared: bool = False
) -> Embedding:
    """An encoder and prediction that attain :func:`soft_whitening_value` (``penalty=np.inf``: the whitened optimum).

    Coordinate i is d_i times right singular function i, its prediction the conditional mean; a collapsed coordinate is 0.

    Parameters
    ----------
    exact : CoOccurrence
    dim : int
        At most the number of states that are reached (one less when centred).
    penalty : float > 0
    centred : bool
        Leave out the constant function: the optimum under a penalty on the covariance with E f = 0.
    shared : bool
        One encoder for all actions, whitened under the pooled law q.

    Returns
    -------
    Embedding
        Its model B has singular values d_i^2 s_i, so its risk is tail_k + sum_{i<=k} (1 - d_i^2)^2 s_i^2: rescaling the
        coordinates that did not collapse gives back the truncated SVD of that rank.

    Raises
    ------
    InputError
        As in :func:`whitened_mse_value` and :func:`soft_whitening_scales`.

    Notes
    -----
    O(A S^3), dense. Source: docs/theory.md, 2.6.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> np.diagonal(target_second_moment(exact, soft_whitening_embedding(exact, 2, 0.3))[0]).round(12)
    array([1. , 0.4])
    """
    actions: list[int | None] = [None] if shared else list(range(exact.n_actions))
    targets, predictions = [], []
    for action in actions:
        left, values, right = _leading_reached(exact, action, dim, centred)
        scale = np.sqrt(soft_whitening_scales(np.minimum(values, 1.0), penalty))
        column = exact.pooled_column_weight if action is None else exact.column_weight[action]
        row = exact.pooled_weight.ravel() if action is None else exact.row_weight[action]
        targets.append(inverse_or_zero(np.sqrt(column))[:, None] * right * scale)
        predictions.append(inverse_or_zero(np.sqrt(row))[:, None] * left * values * scale)
    if shared:
        predicted = predictions[0].reshape(exact.n_actions, exact.n_states, dim)
        return Embedding(targets[0], predicted, exact.pooled_column_weight)
    return Embedding(np.stack(targets), np.stack(predictions), exact.column_weight)


def _leading_reached(exact: CoOccurrence, action: int | None, dim: int, centred: bool) -> tuple[Array, Array, Array]:
    """The k leading singular triplets (after the first, when centred), their right vectors living on reached states only.

    The SVD of the whole matrix will not do: where it is rank deficient its null vectors may lie on states without mass.
    """
    matrix: Any = exact.stacked if action is None else exact.normalized[action]
    if sp.issparse(matrix):
        require_memory(matrix.shape, "the normalised co-occurrence", "use fewer states")
        matrix = matrix.toarray()
    column = exact.pooled_column_weight if action is None else exact.column_weight[action]
    reached = column > 0
    n_reached, skipped = int(reached.sum()), int(centred)
    why = f"{n_reached} states are reached{', and the constant is left out' * centred}: no more coordinates can be white"
    check_count("dim", dim, 1, n_reached - skipped, why)
    first_left, first_right = exact.constant_pair(action)
    if centred and not first_right.any():
        raise InputError(
            f"centred whitening needs matrices divided by their own marginals, got normalization {exact.normalization!r}: "
            "use an exact or a plug-in CoOccurrence"
        )
    left, values, part = singular_value_decomposition(matrix[:, reached], (first_left, first_right[reached]))
    right = np.zeros((len(column), n_reached))
    right[reached] = part
    chosen = slice(skipped, dim + skipped)
    return left[:, chosen], values[chosen], right[:, chosen]


def _unpredicted(singular_values: ArrayLike) -> Array:
    """1 - s^2, the share of a function's variance that stays unpredicted; rounding above 1 is cut off."""
    values = np.asarray(singular_values, dtype=np.float64)
    if not ((values >= -1e-9) & (values <= 1 + 1e-9)).all():
        worst = values.flat[int(np.argmax(np.abs(np.nan_to_num(values, nan=np.inf) - 0.5)))]
        raise InputError(
            f"singular_values hold {worst:.6g}, expected numbers between 0 and 1: pass those of a normalised co-occurrence, "
            "as spectrum gives them"
        )
    return np.maximum(1 - values**2, 0.0)


def _check_penalty(penalty: float) -> float:
    number = as_number("penalty", penalty)
    if not number > 0:
        raise InputError(f"penalty is {number:.6g}, expected a number above 0: without one the least loss is collapse")
    return number
