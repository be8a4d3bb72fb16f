"""What SIGReg prefers beyond whiteness, on two independent Gaussian factors of different speed (docs/sigreg_phase.md, 6).

z1 and z2 are standard normal AR(1) factors with correlations rho_1 > rho_2. If rho_1^2 > rho_2, whitening at k = 2 keeps z1
and He_2(z1) = (z1^2 - 1) / sqrt 2 and loses z2: it saves rho_1^4 - rho_2^2 of prediction error. SIGReg is 0 at (z1, z2) and
Delta at (z1, He_2(z1)), so of these two it prefers z2 if and only if lam b > (rho_1^4 - rho_2^2) / Delta. But they are not
the only two:

- Mixtures (z1, sqrt(1 - q) z2 + sqrt(q) He_2(z1)) cost S(q), with S(1) = Delta and slope S'(0) = integral u^3 t^6 dt / 32,
  which is 3.6 times smaller. The white embedding (z1, z2) is unstable as soon as lam b < (rho_1^4 - rho_2^2) / S'(0).
- Curves: an embedding of z1 alone can be exactly N(0, I_2), by a curve that fills the plane. It forgets z2 altogether, costs
  no SIGReg at any lam, and its prediction error tends to 0 as rho_1 tends to 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._signatures import checked
from spectral_jepa._validation import (
    Array,
    InputError,
    as_float,
    check_count,
    check_fraction,
    check_nonnegative,
)
from spectral_jepa.theory.sigreg_phase import knots_and_weights

N_ANGLES = 128  # of directions on the half circle; the integrand is smooth and periodic


class FactorMargins(NamedTuple):
    """How SIGReg's price compares with what He_2(z1) saves in the place of z2.

    Below 1 the white pair (z1, z2) is not optimal; above 1 nothing follows.

    Parameters
    ----------
    gain : float
        rho_1^4 - rho_2^2, the prediction error that He_2(z1) saves in the place of z2.
    embeddings : float
        lam b Delta / gain, for (z1, z2) against (z1, He_2(z1)) as wholes; inf if nothing is saved.
    mixture : float
        lam b S'(0) / gain, for (z1, z2) against a little He_2(z1) mixed in.

    Examples
    --------
    >>> quadratic_margins(0.9, 0.1, 0.18, factor=128.0).gain
    0.6461...
    """

    gain: float
    embeddings: float
    mixture: float


@checked()
def mixture_cost(share: ArrayLike, *, n_knots: int = 17, t_max: float = 3.0) -> Array:
    """S(q): SIGReg of (z1, sqrt(1 - q) z2 + sqrt(q) He_2(z1)) for standard normal z1, z2, at factor 1.

    Parameters
    ----------
    share : array (n,)
        q in [0, 1], what share of the variance of the second coordinate is He_2(z1).
    n_knots, t_max
        As in training.

    Returns
    -------
    array (n,)
        0 at q = 0, Delta at q = 1.

    Raises
    ------
    InputError
        A share outside [0, 1].

    Notes
    -----
    O(128 n n_knots). In closed form up to the mean over directions: E exp(i (p z + r (z^2 - 1) / sqrt 2)) is
    exp(-i r / sqrt 2) (1 - i sqrt 2 r)^(-1/2) exp(-p^2 / (2 (1 - i sqrt 2 r))). Source: docs/sigreg_phase.md, section 6.

    Examples
    --------
    >>> mixture_cost([0.0, 0.01, 1.0]).round(5)
    array([0.     , 0.00025, 0.09048])
    """
    shares = as_float("share", share, (None,))
    if (shares < 0).any() or (shares > 1).any():
        raise InputError("share holds numbers outside 0 to 1, expected shares of a variance: clip them")
    knots, normal, weight = knots_and_weights(n_knots, t_max)
    angles = (np.arange(N_ANGLES) + 0.5) * np.pi / N_ANGLES
    first, second = np.outer(knots, np.cos(angles)), np.outer(knots, np.sin(angles))
    q = shares[:, None, None]
    bent = np.sqrt(q) * second / np.sqrt(2)
    width = 1 - 2j * bent
    values = np.exp(-1j * bent - first**2 / (2 * width) - (1 - q) * second**2 / 2) / np.sqrt(width)
    return np.asarray((np.abs(values - normal[:, None]) ** 2).mean(-1) @ weight)


@checked()
def quadratic_margins(
    first: float, second: float, strength: float, *, factor: float = 1.0, n_knots: int = 17, t_max: float = 3.0
) -> FactorMargins:
    """Compare what He_2(z1) saves in the place of z2 with what SIGReg charges for it, whole and in a mixture.

    Parameters
    ----------
    first, second : float in [0, 1]
        rho_1 and rho_2.
    strength : float
        lam, beside a prediction error summed over coordinates.
    factor : float
        b.
    n_knots, t_max
        As in training.

    Returns
    -------
    FactorMargins

    Raises
    ------
    InputError
        Numbers out of range.

    Notes
    -----
    O(n_knots). These compare white embeddings: ``embeddings`` and ``mixture`` of at least 1 are necessary for the white
    pair, not sufficient, as there are other functions of z1. Training at finite strength also shrinks embeddings; for
    those neither is shown. Source: docs/sigreg_phase.md, section 6.

    Examples
    --------
    LeWM's constants at k = 2. Of the two embeddings z2 wins by 3.2, and yet it is not stable.

    >>> from spectral_jepa.losses import from_lewm
    >>> published = from_lewm(dim=2)
    >>> margins = quadratic_margins(0.9, 0.1, published.strength, factor=published.factor)
    >>> [round(number, 2) for number in margins]
    [0.65, 3.23, 0.9]
    """
    rho = check_fraction("first", first), check_fraction("second", second)
    pull = check_nonnegative("strength", strength) * check_nonnegative("factor", factor)
    gain = rho[0] ** 4 - rho[1] ** 2
    knots, normal, weight = knots_and_weights(n_knots, t_max)
    # E a_1^4 a_2^2 = 1/16 on the circle, and a little He_2 moves phi by t^3 a_1^2 a_2 u / sqrt 2.
    slope = float(weight @ (normal**2 * knots**6)) / 32
    whole = float(mixture_cost([1.0], n_knots=n_knots, t_max=t_max)[0])
    if gain <= 0:
        return FactorMargins(gain, np.inf, np.inf)
    return FactorMargins(gain, pull * whole / gain, pull * slope / gain)


@checked()
def plane_filling_error(correlation: float, *, order: int = 6, n_terms: int = 200) -> float:
    """Bound from above the prediction error of an exactly N(0, I_2) embedding that is a function of one Gaussian factor.

    The embedding is Hilbert's curve through the unit square, with the factor's own distribution function before it and the
    normal quantile function after it, coordinate by coordinate. (z1, z2) has error 2 - rho_1^2 - rho_2^2: where this is
    smaller, (z1, z2) is not the minimum at any strength of SIGReg nor under an exact Gaussian constraint. A white embedding
    with no more than this error has an R^2 of z2 of at most error / (1 - rho_2^2).

    Parameters
    ----------
    correlation : float in [0, 1]
        rho_1, of the factor that is kept.
    order : int
        The curve is followed through 4^order cells, up to 9.
    n_terms : int
        Hermite terms that are summed.

    Returns
    -------
    float
        An upper bound on E||f+ - E[f+ | z1]||^2 for the curve itself, not for its cells: at most 2.

    Raises
    ------
    InputError
        A correlation outside [0, 1], an order outside 1 to 9.

    Notes
    -----
    O(4^order n_terms). With m the mean of f in each cell, f = m + r is orthogonal and E|r|^2 = 2 - E|m|^2, so the root of
    the error is at most that of m plus that of E|r|^2. The error of m is E|m|^2 - sum_d rho^(2d) c_d^2 with its Hermite
    coefficients c_d, integrals over the cells in closed form (Mehler); leaving terms out only raises it. Source:
    docs/sigreg_phase.md, section 6.

    Examples
    --------
    A factor of correlation .99 beside one of .1: 1.01 for (z1, z2), and less for the curve.

    >>> plane_filling_error(0.99) < 2 - 0.99**2 - 0.1**2
    True
    """
    rho = check_fraction("correlation", correlation)
    check_count("order", order, 1, 9, "a table of 4^order cells")
    check_count("n_terms", n_terms, 1, 10_000)
    from scipy.special import ndtri  # slow to import, and only this needs it

    side = 2**order
    edges = ndtri(np.arange(side + 1) / side)
    density = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
    means = side * -np.diff(density)
    means_of_cells = means[_hilbert_cells(order)]
    kept = float(2 * np.mean(means**2))
    ends = ndtri(np.arange(4**order + 1) / 4**order)
    height = np.exp(-(ends**2) / 2) / np.sqrt(2 * np.pi)
    ends[[0, -1]] = 0.0  # whatever multiplies the density there is 0
    below, at = np.zeros_like(ends), np.ones_like(ends)
    predicted = 0.0
    for degree in range(1, n_terms + 1):
        # The integral of He_d times the density over a cell is -He_{d-1} times the density between its ends.
        coefficient = -np.diff(at * height) @ means_of_cells / np.sqrt(degree)
        predicted += rho ** (2 * degree) * float(coefficient @ coefficient)
        below, at = at, (ends * at - np.sqrt(degree - 1) * below) / np.sqrt(degree)
    rest = max(0.0, 2 - kept)
    return min(2.0, float((np.sqrt(max(0.0, kept - predicted)) + np.sqrt(rest)) ** 2))


@checked()
def recovery_deficit_bound(excess: float, correlations: ArrayLike) -> float:
    """Bound how badly white encoders can hide the factors of a product of AR(1) chains: sum_i (1 - R_i^2).

    Parameters
    ----------
    excess : float
        How much the prediction error of the encoder, centred and white with k = m, exceeds the least, sum_i (1 - rho_i^2).
    correlations : array (m,)
        rho_i of the factors, Gaussian or binomial.

    Returns
    -------
    float
        excess / (rho_min^2 - rho_max^4), at most m; m where rho_max^2 >= rho_min, as nothing is left of the argument.

    Raises
    ------
    InputError
        A correlation outside [0, 1], none at all, a negative excess.

    Notes
    -----
    O(m). R_i^2 is that of z_i from the best linear reading of f. All singular functions but the constant and the z_i have
    singular value at most rho_max^2. Attained if the slowest factor has at least three states or shares its rate. Source:
    docs/sigreg_phase.md, section 7.

    Examples
    --------
    >>> round(recovery_deficit_bound(0.01, [0.8, 0.76]), 4), recovery_deficit_bound(0.01, [0.9, 0.3])
    (0.0595, 2.0)
    """
    rho = as_float("correlations", correlations, (None,))
    if not rho.size or (rho < 0).any() or (rho > 1).any():
        raise InputError(
            f"correlations is {rho.tolist()}, expected numbers from 0 to 1, at least one: choose them in that range"
        )
    check_nonnegative("excess", excess)
    gap = rho.min() ** 2 - rho.max() ** 4
    return float(min(rho.size, excess / gap)) if gap > 0 else float(rho.size)


def _hilbert_cells(order: int) -> Array:
    """Column and row of each of the 4^order cells in the order of Hilbert's curve, (4^order, 2)."""
    left = np.arange(4**order)
    column, row = np.zeros_like(left), np.zeros_like(left)
    for level in range(order):
        size = 2**level
        right = (left // 2) % 2
        up = (left + right) % 2
        turned = (up == 0) & (right == 1)
        column, row = np.where(turned, size - 1 - column, column), np.where(turned, size - 1 - row, row)
        column, row = np.where(up == 0, row, column), np.where(up == 0, column, row)
        column, row, left = column + size * right, row + size * up, left // 4
    return np.stack([column, row], axis=1)
