"""Linear prediction g(f(x),a) = W_a f(x): the spectral loss at its best is minus the VAMP-2 score (docs/theory.md, 2.7).

With C00 = E_w f f^T, C01 = E f(x) f(x+)^T and C11 = E_{w+} f f^T, the loss -2 tr(W C01) + tr(W C00 W^T C11) is a convex
quadratic in W, least at W = C11^-1 C01^T C00^-1, where it is -||C00^{-1/2} C01 C11^{-1/2}||_F^2 >= -sum_{i<=k} s_i^2.
The regression of f(x+) on f(x), which mean-square prediction learns, is C01^T C00^-1: the same matrix if and only if C11
acts as the identity on the range of C01^T; that is C11 = I where C01 is invertible.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_float
from spectral_jepa.cooccurrence import CoOccurrence

# A second moment worse conditioned than this has lost half of the digits of its inverse.
LARGEST_CONDITION = 1e8


@checked()
def linear_covariances(exact: CoOccurrence, target: ArrayLike) -> tuple[Array, Array, Array]:
    """C00 = E_w f f^T, C01 = E f(x) f(x+)^T and C11 = E_{w+} f f^T of an encoder: second moments, not centred.

    Parameters
    ----------
    exact : CoOccurrence
    target : array (S, k)
        f, one encoder for all actions.

    Returns
    -------
    now, cross, after : arrays (A, k, k)
        C00, C01 and C11 of each action.

    Raises
    ------
    InputError
        If ``target`` is not S rows of finite numbers.

    Notes
    -----
    O(A S^2 k), or O(non-zeros k) when sparse. Source: docs/theory.md, 2.7.

    Examples
    --------
    The sign of the state keeps .9 - .1 of its value in a step.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> [float(c[0, 0, 0].round(12)) for c in linear_covariances(exact, [[1.0], [-1.0]])]
    [1.0, 0.8, 1.0]
    """
    encoder = as_float("target", target, (exact.n_states, None))
    cross = np.stack([encoder.T @ (joint @ encoder) for joint in exact.joint])
    now, after = (encoder.T @ (w[:, :, None] * encoder) for w in (exact.row_weight, exact.column_weight))
    return now, cross, after


@checked()
def best_linear_predictor(exact: CoOccurrence, target: ArrayLike) -> Array:
    """The W_a that minimise the spectral loss of g = W_a f, W_a = C11^-1 C01^T C00^-1, shape (A, k, k).

    Parameters
    ----------
    exact : CoOccurrence
    target : array (S, k)
        f, one encoder for all actions, with linearly independent coordinates on the states with mass.

    Returns
    -------
    array (A, k, k)
        The prediction is ``target @ W_a.T``.

    Raises
    ------
    InputError
        If a second moment of ``target`` is singular.

    Notes
    -----
    O(A S^2 k). Not the regression C01^T C00^-1 of :meth:`Embedding.predictor_matrices`, unless f is white under w+.
    Source: docs/theory.md, 2.7.

    Examples
    --------
    Doubling f leaves the regression as it is (.8) and quarters what the spectral loss asks for.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> best_linear_predictor(exact, [[1.0], [-1.0]]).round(12), best_linear_predictor(exact, [[2.0], [-2.0]]).round(12)
    (array([[[0.8]]]), array([[[0.2]]]))
    """
    now, cross, after = _checked_covariances(exact, target)
    half = np.linalg.solve(after, np.swapaxes(cross, 1, 2))
    return np.swapaxes(np.linalg.solve(now, np.swapaxes(half, 1, 2)), 1, 2)


@checked()
def vamp2_score(exact: CoOccurrence, target: ArrayLike) -> Array:
    """VAMP-2 of an encoder, ||C00^{-1/2} C01 C11^{-1/2}||_F^2 = -min_W L_spec, one value an action.

    Parameters
    ----------
    exact : CoOccurrence
    target : array (S, k)

    Returns
    -------
    array (A,)
        At most sum_{i<=k} s_i(a)^2, with equality where f spans the k leading singular functions of both sides.

    Raises
    ------
    InputError
        If a second moment of ``target`` is singular.

    Notes
    -----
    O(A S^2 k). Source: Wu and Noe, arXiv 1707.04659; docs/theory.md, 2.7.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> vamp2_score(exact, [[1.0], [-1.0]]).round(12)
    array([0.64])
    """
    now, cross, after = _checked_covariances(exact, target)
    whitened = np.linalg.solve(np.linalg.cholesky(now), cross)
    whitened = np.linalg.solve(np.linalg.cholesky(after), np.swapaxes(whitened, 1, 2))
    return np.sum(whitened**2, axis=(1, 2))


def _checked_covariances(exact: CoOccurrence, target: ArrayLike) -> tuple[Array, Array, Array]:
    now, cross, after = linear_covariances(exact, target)
    for name, moments in (("w", now), ("w+", after)):
        for action, moment in enumerate(moments):
            condition = np.linalg.cond(moment)
            if not condition < LARGEST_CONDITION:
                raise InputError(
                    f"the second moment of target under {name} for action {action} has condition number {condition:.3g}, "
                    f"expected less than {LARGEST_CONDITION:.0e}: drop coordinates that repeat others where there is mass"
                )
    return now, cross, after
