"""The oracle inequality with its best constant: sqrt 5 instead of 2 sqrt 2 (docs/rate_and_constant.md, 2)."""

from __future__ import annotations

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.theory.bound import Bound
from spectral_jepa.theory.sampling_bounds import TRUNCATED_ESTIMATE, _tail_and_norm


@checked()
def sharp_oracle_bound(exact: CoOccurrence, dim: int, error_norm: float, *, action: int | None = None) -> Bound:
    """R_S <= (sqrt(tail_k) + 2 sqrt(k) ||E||_2)^2 + k ||E||_2^2 for the rank-k truncated SVD of Mhat = Mbar + E.

    So sqrt(R_S) <= sqrt(tail_k) + sqrt(5 k) ||E||_2. No smaller function of tail_k, k and ||E||_2 is true of all matrices.

    Parameters
    ----------
    exact : CoOccurrence
    dim : int
        Latent dimension k.
    error_norm : float
        ||E||_2: measured, or a bound on it (then this bound holds when that one does).
    action : int, optional
        One action's matrix. Default: the stacked matrix.

    Returns
    -------
    Bound
        On sqrt(R_S), as :func:`oracle_bound`, and never above it; the ceiling is that of predicting nothing.

    Raises
    ------
    InputError
        A dimension or an action out of range, or a negative norm.

    Notes
    -----
    Cost of :func:`spectral_jepa.embedding.tail`. Source: docs/rate_and_constant.md, 2.

    Examples
    --------
    The root of (.8 + 2 * .1)^2 + .1^2, where :func:`oracle_bound` has 1.0828.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> round(sharp_oracle_bound(exact, 1, 0.1, action=0).value, 4)
    1.005
    """
    missed, ceiling = _tail_and_norm(exact, dim, action, error_norm)
    root = np.sqrt(dim) * error_norm
    return Bound(
        float(np.hypot(np.sqrt(missed) + 2 * root, root)),
        "root pretraining error sqrt(R_S)",
        ceiling,
        (TRUNCATED_ESTIMATE,),
        "oracle inequality with its best constant (docs/rate_and_constant.md, 2)",
    )
