"""What a trained encoder is worth, apart from its scale and its predictor."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, as_float
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.linalg import inverse_or_zero, subspace_angles


@checked()
def refit(data: CoOccurrence, encoded: ArrayLike) -> Embedding:
    """The best spectral model that an encoder allows: g(x, a) = (E_q f f^T)^+ E[f(x+) | x, a].

    Parameters
    ----------
    data : CoOccurrence
        Where the prediction is fitted: the exact law, or counts.
    encoded : array (S, k)
        f; only its span in L2(q) matters. Directions below 1e-10 of the largest count as absent.

    Returns
    -------
    Embedding
        With a shared, white encoder that spans what f spans. Its pooled risk on ``data`` is ||A||_F^2 - ||A U||_F^2, U an
        orthonormal basis of the span of sqrt(q) f, so at least the tail of the stack.

    Raises
    ------
    InputError
        An encoder of other shape.

    Notes
    -----
    O(A S^2 k). Least squares in L_spec of docs/theory.md, 2.1, over g.

    Examples
    --------
    >>> from spectral_jepa import make_block, pooled_risk, tail
    >>> exact = CoOccurrence.exact(make_block(n_states=12, n_blocks=3, n_actions=2, seed=0))
    >>> left, values, right = exact.stacked_decomposition
    >>> encoded = 0.1 * right[:, :3] / np.sqrt(exact.pooled_column_weight)[:, None]
    >>> abs(pooled_risk(exact, refit(exact, encoded)) - tail(exact, 3, shared=True)) < 1e-12
    True
    """
    encoded = as_float("encoded", encoded, (data.n_states, None))
    root = np.sqrt(data.pooled_column_weight)
    basis, sizes, _ = np.linalg.svd(root[:, None] * encoded, full_matrices=False)
    white = inverse_or_zero(root)[:, None] * basis * (sizes > 1e-10 * sizes.max(initial=0))
    joint = data.dense_joint()
    predicted = inverse_or_zero(data.row_weight)[:, :, None] * (joint @ white)
    return Embedding(white, predicted, data.pooled_column_weight)


@checked()
def encoder_angle(data: CoOccurrence, encoded: ArrayLike, *, gap: float = 1e-2, centered: bool = False) -> float:
    """Largest principal angle, in radians, between an encoder and the top right singular functions of the stack.

    Parameters
    ----------
    data : CoOccurrence
        Whose stacked matrix it is.
    encoded : array (S, k)
        f; only its span in L2(q) matters.
    gap : float
        NaN unless s_k^2 - s_{k+1}^2 exceeds it: without a spectral gap the top functions are not determined.
    centered : bool
        Leave out the constant function.

    Returns
    -------
    float
        pi / 2 where the encoder lacks a direction altogether; NaN without a gap, and for more functions than states.

    Raises
    ------
    InputError
        An encoder of other shape, or not finite.

    Notes
    -----
    O(A S^3), dense. Right singular functions: docs/theory.md, 2.2 and 2.7.

    Examples
    --------
    The top function of two symmetric states is the constant; the indicator of one of them stands at pi / 4 to it.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> round(encoder_angle(exact, [[1.0], [0.0]]) / np.pi, 6)
    0.25

    >>> from spectral_jepa import make_block, spectral_embedding
    >>> exact = CoOccurrence.exact(make_block(n_states=12, n_blocks=3, n_actions=2, seed=0))
    >>> encoder_angle(exact, spectral_embedding(exact, 3, shared=True).target) < 1e-6
    True
    """
    encoded = as_float("encoded", encoded, (data.n_states, None))
    _, values, right = data.stacked_decomposition
    first, dim = int(centered), encoded.shape[1]
    padded = np.append(values, 0.0)
    if dim + first > len(values) or padded[first + dim - 1] ** 2 - padded[first + dim] ** 2 <= gap:
        return float("nan")
    root = np.sqrt(data.pooled_column_weight)[:, None]
    basis, sizes, _ = np.linalg.svd(root * encoded, full_matrices=False)
    if (sizes <= 1e-10 * sizes.max(initial=0)).any() or not sizes.any():
        return float(np.pi / 2)
    angles: Array = subspace_angles(basis, right[:, first : first + dim])
    return float(angles.max())
