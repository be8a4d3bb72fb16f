"""Published settings of SIGReg in the conventions of this package."""

from __future__ import annotations

from dataclasses import dataclass

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, as_number, check_count, check_positive


@dataclass(frozen=True)
class SigregSettings:
    """Arguments of a training loss with SIGReg: ``prediction_loss + strength * sigreg``, see :func:`from_lewm`.

    Parameters
    ----------
    strength : float
        What SIGReg is multiplied by, beside a prediction loss that is summed over D.
    factor : float
        ``factor`` of :func:`spectral_jepa.losses.sigreg`: the batch size.
    n_slices : int
        M, random directions drawn afresh at each step and shared by the time steps of a batch.
    n_knots : int
        Points of the trapezoid rule on [0, t_max].
    t_max : float
        End of SIGReg's integral.

    Examples
    --------
    >>> SigregSettings(strength=1.0, factor=128.0, n_slices=1024, n_knots=17, t_max=3.0).factor
    128.0
    """

    strength: float
    factor: float
    n_slices: int
    n_knots: int
    t_max: float


@checked()
def from_lewm(
    *,
    strength: float = 0.09,
    batch_size: int = 128,
    dim: int = 192,
    n_slices: int = 1024,
    n_knots: int = 17,
    t_max: float = 3.0,
) -> SigregSettings:
    """Settings that train as LeWM's (or Sub-JEPA's) published constants do.

    Parameters
    ----------
    strength : float
        Their lambda: 0.09 in the released configuration, 0.1 in the text.
    batch_size : int
        Their batch size. Their code multiplies SIGReg by it, so lambda means something only together with it.
    dim : int
        D of their embedding. Their prediction error is the mean over D, ours the sum.
    n_slices, n_knots : int
        Their number of slices and of knots, unchanged.
    t_max : float
        Their end of the integral, unchanged.

    Returns
    -------
    SigregSettings
        ``strength`` is lambda * D and ``factor`` the batch size. Then ``prediction_loss + strength * sigreg`` (each
        averaged over the time steps, one draw of directions shared by all) is D times the published total loss: the same
        minimisers, and the same steps under Adam, whose steps do not depend on the scale of the loss (but for its epsilon;
        a clipping threshold on the gradient norm must be multiplied by D).

    Raises
    ------
    InputError
        A count below 1, fewer than 2 knots, a negative strength.

    Notes
    -----
    To train with another number n of samples and the same trade-off, keep ``factor``; the published code would change it to
    n, which is another regularisation strength. For Sub-JEPA use the same settings with
    :func:`spectral_jepa.losses.subspace_sigreg`, ``n_slices`` directions in each subspace. Source: LeWM, arXiv 2603.19312,
    and Sub-JEPA, arXiv 2605.09241, as their code has it.

    Examples
    --------
    .09 * 192, beside a prediction loss that is 192 times theirs.

    >>> settings = from_lewm()
    >>> round(settings.strength, 2), settings.factor
    (17.28, 128.0)
    """
    strength = as_number("strength", strength)
    if not strength >= 0:
        raise InputError(f"strength is {strength:.6g}, expected a number >= 0: pass the published lambda")
    for name, count in (("batch_size", batch_size), ("dim", dim), ("n_slices", n_slices)):
        check_count(name, count)
    check_count("n_knots", n_knots, 2)
    check_positive("t_max", t_max)
    return SigregSettings(strength * dim, float(batch_size), n_slices, n_knots, float(t_max))
