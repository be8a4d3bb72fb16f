"""When SIGReg keeps an embedding from collapsing: a threshold like that of soft whitening (docs/theory.md, section 5).

Loss E||g - f+||^2 + lam * SIGReg with directions uniform on the sphere, summed over the k coordinates. Near f = 0 the
characteristic function of a view h = a.f is 1 + i t E h - t^2 E h^2 / 2, so with u(t) = exp(-t^2 / 2)

    |phi - u|^2 = (1 - u)^2 - t^2 (1 - u) E h^2 + t^2 (E h)^2 + O(|f|^3),

and E (a.v)^2 = |v|^2 / k over the directions. A mean is always punished: its net coefficient is t^2 u > 0. In the
population loss a centred function of singular value s is worth growing out of the origin if and only if

    1 - s^2 < lam * factor * c / k,     c = integral u(t) (1 - u(t)) t^2 dt,

its prediction error being (1 - s^2) E f^2. So total collapse is a local minimum when s_2^2 < 1 - lam factor c / k.

Training sees batches. Over batches of N independent samples the expected squared error of the sampled phi is larger by
its variance, (1 - |phi|^2) / N = t^2 Var h / N + O(|f|^3), so there c is c - c' / N with c' = integral u(t) t^2 dt.
"""

from __future__ import annotations

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import check_count, check_nonnegative, check_positive, require_memory


@checked()
def sigreg_slope(n_knots: int = 17, t_max: float = 3.0, *, batch_size: int | None = None) -> float:
    """c: how fast one Epps-Pulley slice falls with the variance of a small centred view, at factor 1.

    Parameters
    ----------
    n_knots : int
        Points of the trapezoid rule on [0, t_max], as in training.
    t_max : float
    batch_size : int, optional
        N, independent samples in a batch: the mean over batches falls by c - c' / N. Default: the population, c.

    Returns
    -------
    float
        Negative where the slice rises instead: with the published knots at N = 1, where a batch holds no variance.

    Raises
    ------
    InputError
        Fewer than 2 knots, a batch without a sample.

    Notes
    -----
    O(n_knots). Over the whole line c is sqrt(2 pi) - sqrt(pi) / 2 and c' is sqrt(2 pi). Samples drawn without replacement
    are not independent, and lose less than c' / N. Source: docs/theory.md, section 5.

    Examples
    --------
    >>> round(sigreg_slope(), 3), round(sigreg_slope(2001, 20.0), 3)
    (1.546, 1.62)
    >>> round(sigreg_slope(batch_size=128), 3), round(sigreg_slope(batch_size=1), 3)
    (1.527, -0.886)
    """
    require_memory((check_count("n_knots", n_knots, 2),), "the table of knots", "use fewer", copies=4)
    lost = 0.0 if batch_size is None else 1 / check_count("batch_size", batch_size)
    knots = np.linspace(0, check_positive("t_max", t_max), n_knots)
    weight = np.full(n_knots, 2 * t_max / (n_knots - 1))
    weight[[0, -1]] /= 2
    normal = np.exp(-(knots**2) / 2)
    return float(weight @ (normal * (1 - normal - lost) * knots**2))


@checked()
def sigreg_collapse_threshold(
    dim: int,
    strength: float,
    *,
    factor: float = 1.0,
    n_knots: int = 17,
    t_max: float = 3.0,
    batch_size: int | None = None,
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
    batch_size : int, optional
        N, the independent samples that SIGReg sees at a step. Default: the population, as if N were infinite.

    Returns
    -------
    float
        1 - lam factor c / k, with c - c' / N for c if there is a batch; below 0 no direction can collapse, from 1 on every
        centred one does. It speaks of the loss in its mean over batches, and says where total collapse is stable, not where
        descent from afar ends.

    Raises
    ------
    InputError
        A count below 1.

    Notes
    -----
    O(n_knots). ``factor`` and ``batch_size`` are the same number in LeWM's code and two things here: what the integral is
    multiplied by, and how many samples it is taken over. Source: docs/theory.md, section 5.

    Examples
    --------
    At LeWM's published constants collapse is never stable, by a factor of 17.6 (17.8 in the population); with batches of
    one sample it always is, whatever the strength.

    >>> from spectral_jepa.losses import from_lewm
    >>> published = from_lewm()
    >>> round(sigreg_collapse_threshold(192, published.strength, factor=published.factor), 2)
    -16.81
    >>> round(sigreg_collapse_threshold(192, published.strength, factor=published.factor, batch_size=128), 2)
    -16.59
    >>> sigreg_collapse_threshold(192, 1e6, factor=1.0, batch_size=1) > 1
    True
    """
    check_count("dim", dim)
    slope = sigreg_slope(n_knots, t_max, batch_size=batch_size)
    return 1 - check_nonnegative("strength", strength) * check_nonnegative("factor", factor) * slope / dim
