"""SIGReg against prediction, a phase transition: how far SIGReg can fall below its value at collapse (docs/sigreg_phase.md).

For every law of f in R^k, every factor b and every set of knots t_j with weights w_j >= 0 (u = exp(-t^2 / 2)),

    SIGReg(f) >= SIGReg(0) - b kappa c tr Cov f,     c = sum_j w_j u_j (1 - u_j) t_j^2,

where kappa is 1 / k for directions uniform on the sphere, and the largest eigenvalue of the mean of a a^T for fixed ones.
One view h with an independent copy h', X = h - h': |phi(t)|^2 = E cos tX, and (sqrt(p) - u)^2 lies above its tangent at
p = 1, so the slice at knot t is at least (1 - u)^2 - (1 - u) E (1 - cos tX), and 1 - cos tX <= t^2 X^2 / 2 with
E X^2 = 2 Var h.

Over batches of N independent samples the mean of a slice is (1 - 1/N) p - 2 u Re phi + u^2 + 1/N, p = |phi|^2, and the same
tangent has slope 1 - u - 1/N, which is negative at small t. What counts is then one function of one number,

    K(x) = sum_j w_j u_j (1 - u_j - 1/N) (1 - cos t_j x),     slice >= slice at 0 - E K(X),

and the best constant is max(0, sup_x 2 K(x) / x^2). On the whole line and for the published knots it is max(0, c - c'/N) for
every N: the slope at 0.
"""

from __future__ import annotations

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
    check_positive,
    require_memory,
)
from spectral_jepa.theory.sigreg_collapse import sigreg_slope

FAR_SQUARE = 0.0472  # (sin z / z)^2 is nowhere larger beyond its first zero
N_POINTS = 4001  # at which 2 K(x) / x^2 is looked at, between 0 and where it cannot exceed its value at 0
PHASES = ("collapsed", "between", "grows")


@checked()
def knots_and_weights(n_knots: int, t_max: float) -> tuple[Array, Array, Array]:
    """Knots t, the window u = exp(-t^2 / 2) there and what each knot counts, as training has them.

    Parameters
    ----------
    n_knots : int
        Points of the trapezoid rule on [0, t_max].
    t_max : float

    Returns
    -------
    knots, normal, weight : arrays (n_knots,)
        ``weight`` is the doubled trapezoid rule times the window: a slice is its sum over squared errors.

    Raises
    ------
    InputError
        Fewer than 2 knots, an end that is not above 0.

    Examples
    --------
    >>> knots, normal, weight = knots_and_weights(17, 3.0)
    >>> round(float(weight @ (1 - normal) ** 2), 4)  # one slice at collapse, factor 1
    0.402
    """
    require_memory((check_count("n_knots", n_knots, 2),), "the table of knots", "use fewer", copies=4)
    knots = np.linspace(0, check_positive("t_max", t_max), n_knots)
    rule = np.full(n_knots, 2 * t_max / (n_knots - 1))
    rule[[0, -1]] /= 2
    normal = np.exp(-(knots**2) / 2)
    return knots, normal, rule * normal


@checked()
def sigreg_global_slope(n_knots: int = 17, t_max: float = 3.0, *, batch_size: int | None = None) -> float:
    """The least constant C with SIGReg >= SIGReg(0) - (factor / k) C tr Cov f for every law of f.

    Parameters
    ----------
    n_knots : int
        Points of the trapezoid rule on [0, t_max], as in training.
    t_max : float
    batch_size : int, optional
        N: of the mean over batches of N independent samples. Default: the population.

    Returns
    -------
    float
        c for the population, and max(0, sup 2 K(x) / x^2) for batches: never below 0 or the slope at collapse,
        :func:`sigreg_slope`, and equal to the larger of them for the published knots at every N.

    Raises
    ------
    InputError
        Fewer than 2 knots, a batch without a sample.

    Notes
    -----
    O(n_knots) for the population, where the supremum is at 0, and for batches with Q <= .9528 P, P and Q the sums of the
    positive and of the negative m_j t_j^2 in absolute value, m_j the weights in K: then it is proved to be at 0. That is so
    for the published knots and N >= 2. For other knots O(n_knots) times 4000 points x up to where 4 sum |m_j| / x^2 falls
    below the slope at 0, beyond which nothing exceeds it: a computation, which can miss the supremum and return less. It is
    the least constant at k = 1: a value x taken with probability p -> 0 attains 2 K(x) / x^2. Source: docs/sigreg_phase.md,
    sections 1 and 2.

    Examples
    --------
    >>> round(sigreg_global_slope(), 3), round(sigreg_global_slope(batch_size=2), 3), sigreg_global_slope(batch_size=1)
    (1.546, 0.33, 0.0)
    """
    slope = max(0.0, sigreg_slope(n_knots, t_max, batch_size=batch_size))
    if batch_size is None:
        return slope
    knots, normal, weight = knots_and_weights(n_knots, t_max)
    pull = weight * (1 - normal - 1 / batch_size)
    share = pull * knots**2
    if slope and -share[share < 0].sum() <= (1 - FAR_SQUARE) * share[share > 0].sum():
        return slope
    reach = np.sqrt(4 * np.abs(pull).sum() / slope) if slope else 4 * np.pi * (n_knots - 1) / t_max
    at = np.linspace(0, reach, N_POINTS)[1:]
    gain = sum(part * 2 * np.sin(knot * at / 2) ** 2 for part, knot in zip(pull, knots, strict=True))
    return float(max(slope, (2 * gain / at**2).max()))


@checked()
def sigreg_lower_bound(
    trace: float,
    dim: int,
    *,
    factor: float = 1.0,
    batch_size: int | None = None,
    directions: ArrayLike | None = None,
    n_knots: int = 17,
    t_max: float = 3.0,
) -> float:
    """Least value that SIGReg can have at a given total variance: SIGReg(0) - factor kappa C tr Cov f.

    Parameters
    ----------
    trace : float
        tr Cov f, of the centred embedding.
    dim : int
        k.
    factor : float
        What SIGReg multiplies its integral by.
    batch_size : int, optional
        N: bound the mean over batches of N independent samples. Default: the population.
    directions : array (k, M), optional
        Fixed unit directions, one a column: kappa is the largest eigenvalue of the mean of a a^T. Default: uniform on the
        sphere, kappa = 1 / k.
    n_knots, t_max
        As in training.

    Returns
    -------
    float
        Negative where it says nothing: SIGReg is at least 0.

    Raises
    ------
    InputError
        Numbers out of range, directions of another dimension or not of unit length.

    Notes
    -----
    O(n_knots), for batches as :func:`sigreg_global_slope`, and O(k^2 M) for directions. Any law: f need not be centred,
    bounded or discrete, its variance must exist. Source: docs/sigreg_phase.md, sections 1 to 3.

    Examples
    --------
    The law +-1/10 in one dimension, against the value computed from its characteristic function cos(t / 10).

    >>> knots, normal, weight = knots_and_weights(17, 3.0)
    >>> value = weight @ (np.cos(knots / 10) - normal) ** 2
    >>> round(sigreg_lower_bound(0.01, 1), 5), round(float(value), 5)
    (0.38659, 0.3868)
    """
    spread = _spread(dim, directions)
    check_nonnegative("trace", trace)
    check_nonnegative("factor", factor)
    _, normal, weight = knots_and_weights(n_knots, t_max)
    slope = sigreg_global_slope(n_knots, t_max, batch_size=batch_size)
    return float(factor * (weight @ (1 - normal) ** 2 - spread * slope * trace))


@checked()
def sigreg_phase(
    second_value: float,
    dim: int,
    strength: float,
    *,
    factor: float = 1.0,
    batch_size: int | None = None,
    directions: ArrayLike | None = None,
    n_knots: int = 17,
    t_max: float = 3.0,
) -> str:
    """Where E||g - f+||^2 + strength * SIGReg has its least value: at collapse, or away from it.

    Parameters
    ----------
    second_value : float in [0, 1]
        s_2, the second singular value of the stack: what is left of the best centred function of the next state when it is
        predicted.
    dim : int
        k.
    strength : float
        lam, beside a prediction error summed over coordinates.
    factor, batch_size, directions, n_knots, t_max
        As in :func:`sigreg_lower_bound`.

    Returns
    -------
    {"collapsed", "between", "grows"}
        "collapsed": 1 - s_2^2 >= lam factor kappa C. No encoder has a lower loss than a constant one, whatever the predictor
        may see, and only constants are as low (if s_2 < 1; at s_2 = 1 this phase needs factor C = 0, as at N = 1, and at
        k = 1 other laws on the knots' lattice tie). "grows": 1 - s_2^2 < lam factor kappa (c - c'/N). With a free predictor
        collapse is not even a local minimum. "between" is left where the slope at collapse and the global one differ.

    Raises
    ------
    InputError
        As :func:`sigreg_lower_bound`.

    Notes
    -----
    As :func:`sigreg_lower_bound`. Assumes gradients through both sides (no stop-gradient), one encoder for x and x+, the
    SIGReg of f under the law of x+, and for "collapsed" lam > 0 and a predictor that can be constant. At k = 1 with finitely
    many knots constants at multiples of 2 pi (n_knots - 1) / t_max tie with 0. Source: docs/sigreg_phase.md, section 4.

    Examples
    --------
    Two states that swap with probability .1 have s_2 = .8 and pay .36; at k = 1 SIGReg pulls with 1.546 lam.

    >>> sigreg_phase(0.8, 1, 0.2), sigreg_phase(0.8, 1, 0.3), sigreg_phase(0.8, 1, 0.3, batch_size=4)
    ('collapsed', 'grows', 'collapsed')
    """
    spread = _spread(dim, directions)
    price = 1 - check_fraction("second_value", second_value) ** 2
    pull = check_nonnegative("strength", strength) * check_nonnegative("factor", factor) * spread
    if price < pull * sigreg_slope(n_knots, t_max, batch_size=batch_size):
        return "grows"
    return "collapsed" if price >= pull * sigreg_global_slope(n_knots, t_max, batch_size=batch_size) else "between"


def _spread(dim: int, directions: ArrayLike | None) -> float:
    """kappa: the largest eigenvalue of the mean of a a^T."""
    check_count("dim", dim)
    if directions is None:
        return 1 / dim
    views = as_float("directions", directions, (dim, None))
    norms = np.linalg.norm(views, axis=0)
    if not views.size or np.abs(norms - 1).max() > 1e-6:
        raise InputError("directions has columns that are no unit vectors, expected unit columns: divide each by its norm")
    return float(np.linalg.eigvalsh(views @ views.T / views.shape[1])[-1])
