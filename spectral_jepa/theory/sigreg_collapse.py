"""When SIGReg keeps an embedding from collapsing: a threshold like that of soft whitening (docs/theory.md, section 5).

Loss E||g - f+||^2 + lam * SIGReg with M directions uniform on the sphere, summed over the k coordinates. Near f = 0 the
characteristic function of a view h = a.f is 1 + i t E h - t^2 E h^2 / 2, so with u(t) = exp(-t^2 / 2)

    |phi - u|^2 = (1 - u)^2 - t^2 (1 - u) E h^2 + t^2 (E h)^2 + O(|f|^3),

and E (a.v)^2 = |v|^2 / k over the directions. A mean is always punished: its net coefficient is t^2 u > 0. A centred
function of singular value s is worth growing out of the origin if and only if

    1 - s^2 < lam * factor * c / k,     c = integral u(t) (1 - u(t)) t^2 dt,

its prediction error being (1 - s^2) E f^2. So total collapse is a local minimum when s_2^2 < 1 - lam factor c / k.
"""

from __future__ import annotations

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import check_count, check_nonnegative, check_positive, require_memory


@checked()
def sigreg_slope(n_knots: int = 17, t_max: float = 3.0) -> float:
    """c: how fast one Epps-Pulley slice falls with the variance of a small centred view, at factor 1.

    Parameters
    ----------
    n_knots : int
        Points of the trapezoid rule on [0, t_max], as in training.
    t_max : float

    Returns
    -------
    float

    Raises
    ------
    InputError
        Fewer than 2 knots.

    Notes
    -----
    O(n_knots). Over the whole line c is sqrt(2 pi) - sqrt(pi) / 2. Source: docs/theory.md, section 5.

    Examples
    --------
    >>> round(sigreg_slope(), 3), round(sigreg_slope(2001, 20.0), 3)
    (1.546, 1.62)
    """
    require_memory((check_count("n_knots", n_knots, 2),), "the table of knots", "use fewer", copies=4)
    knots = np.linspace(0, check_positive("t_max", t_max), n_knots)
    weight = np.full(n_knots, 2 * t_max / (n_knots - 1))
    weight[[0, -1]] /= 2
    normal = np.exp(-(knots**2) / 2)
    return float(weight @ (normal * (1 - normal) * knots**2))


@checked()
def sigreg_collapse_threshold(
    dim: int, strength: float, *, factor: float = 1.0, n_knots: int = 17, t_max: float = 3.0
) -> float:
    """The squared singular value at or below which a centred direction does not grow out of a collapsed embedding.

    Parameters
    ----------
    dim : int
        k.
    strength : float
        lam, in front of SIGReg, beside a prediction error summed over coordinates.
    factor : float
        What SIGReg multiplies its integral by (LeWM: the batch size).
    n_knots, t_max
        As in training.

    Returns
    -------
    float
        1 - lam factor c / k; below 0 no direction can collapse. It says where total collapse is stable, not where descent
        from afar ends.

    Raises
    ------
    InputError
        A count below 1.

    Examples
    --------
    At LeWM's published constants collapse is never stable, by a factor of 18.

    >>> from spectral_jepa.losses import from_lewm
    >>> published = from_lewm()
    >>> round(sigreg_collapse_threshold(192, published.strength, factor=published.factor), 1)
    -16.8
    """
    check_count("dim", dim)
    return (
        1
        - check_nonnegative("strength", strength) * check_nonnegative("factor", factor) * sigreg_slope(n_knots, t_max) / dim
    )
