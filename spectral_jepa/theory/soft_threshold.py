"""What a price guarantees: the oracle inequality of soft thresholding, without a dimension to choose (docs/price.md).

Soft-threshold Mbar + E at theta. If theta >= ||E||_2 then R_S <= min_k [tail_k + k (theta + ||E||_2)^2], which is
sum_i min(s_i^2, (theta + ||E||_2)^2): no direction costs more than its own energy, nor more than the price. A lower price
lets the part of E above it through, E_+ with singular values max(0, s_i(E) - theta), and then
sqrt(R_S) <= ||E_+||_F + min_k sqrt((sqrt(tail_k) + ||E_+||_F)^2 + 4 k theta^2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_float, check_count, check_nonnegative
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import spectrum
from spectral_jepa.theory.bound import Assumption, Bound


@checked()
def soft_threshold_bound(
    exact: CoOccurrence, price: float, error: ArrayLike, *, action: int | None = None, keep_constant: bool = False
) -> Bound:
    """sqrt(R_S) <= sqrt(sum_i min(s_i^2, (price + ||E||_2)^2)) for the soft-thresholded estimate Mbar + E.

    Parameters
    ----------
    exact : CoOccurrence
    price : float >= 0
        theta, what every singular value of the estimate loses.
    error : float, or array of singular values
        ||E||_2, measured or a bound on it: the statement then needs ``price >= error``. Or all singular values of E: then it
        holds at every price, in the second form of the module's docstring below ||E||_2.
    action : int, optional
        One action's matrix. Default: the stacked matrix.
    keep_constant : bool
        The constant function was taken out of the estimate before the threshold and put back whole: it then costs nothing,
        and the sum runs over the singular values of Mbar without it.

    Returns
    -------
    Bound
        On sqrt(R_S); the ceiling is that of predicting nothing, or the constant alone where that is kept.

    Raises
    ------
    InputError
        An action out of range, a negative price, or an error that is empty or negative.

    Notes
    -----
    O(A S^3), dense. Sources: docs/price.md, 1 and 2; Koltchinskii, Lounici and Tsybakov, Annals of Statistics 39 (2011),
    whose Theorem 1 has (1 + sqrt 2)^2 in the place of 4 at price = ||E||_2.

    Examples
    --------
    Singular values 1 and .8: min(1, .3^2) + min(.64, .3^2).

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> round(soft_threshold_bound(exact, 0.2, 0.1, action=0).value**2, 12)
    0.18
    >>> soft_threshold_bound(exact, 0.05, 0.1, action=0).holds
    False
    """
    check_nonnegative("price", price)
    if action is not None:
        check_count("action", action, 0, exact.n_actions - 1, "the ids of its actions")
    errors = np.atleast_1d(as_float("error", error, () if np.ndim(error) == 0 else (None,)))
    if not errors.size or (errors < 0).any():
        raise InputError("error is empty or negative, expected ||E||_2 or the singular values of E: measure or bound them")
    values = _values(exact, action, keep_constant)
    largest = float(errors.max())
    if price >= largest or np.ndim(error) == 0:
        value = np.sqrt(np.sum(np.minimum(values, price + largest) ** 2))
    else:
        through = np.sqrt(np.sum(np.maximum(errors - price, 0.0) ** 2))
        tails = np.append(np.cumsum(values[::-1] ** 2)[::-1], 0.0)
        priced = (np.sqrt(tails) + through) ** 2 + 4 * price**2 * np.arange(tails.size)
        value = through + np.sqrt(priced.min())
    assumptions = [Assumption("the embedding is the soft-thresholded estimate Mbar + E in the weights of the truth", None)]
    if np.ndim(error) == 0:
        assumptions.append(Assumption("the price is at least ||E||_2", bool(price >= largest)))
    if keep_constant:
        assumptions.append(Assumption("the constant taken out and put back is that of the true marginals", None))
    return Bound(
        float(value),
        "root pretraining error sqrt(R_S)",
        float(np.sqrt(np.sum(values**2))),
        tuple(assumptions),
        "oracle inequality of soft thresholding (docs/price.md, 1)",
    )


def _values(exact: CoOccurrence, action: int | None, keep_constant: bool) -> Array:
    """Singular values of Mbar(a) or of the stack, or of what is left of it without the constant."""
    values = spectrum(exact, shared=True) if action is None else spectrum(exact)[action]
    if not keep_constant:
        return values
    if exact.constant_pair(action)[0].any():
        return values[1:]
    raise InputError(
        f"keep_constant needs matrices divided by their own marginals, got normalization {exact.normalization!r}: use an "
        "exact CoOccurrence"
    )
