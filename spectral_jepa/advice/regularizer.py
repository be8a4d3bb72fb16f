"""Whether a regulariser is far above or below the strength at which collapse stops being the best encoder."""

from __future__ import annotations

from dataclasses import dataclass

from spectral_jepa._signatures import check_fields
from spectral_jepa._validation import InputError, check_choice, check_count, check_nonnegative, check_positive
from spectral_jepa.theory.bound import Assumption
from spectral_jepa.theory.effective_dimension import subspace_rank_bound
from spectral_jepa.theory.sigreg_collapse import sigreg_slope

KINDS = ("sigreg", "subspace_sigreg", "whitening", "pldm", "none")
# Beyond this factor from its threshold a strength is called far above or below.
FAR = 3.0
UNKNOWN = "Regulariser: not known, pass --regularizer, --strength and --batch-size (in Python regularizer=Regularizer(...))."
FREE = Assumption("the predictor is free, and both sides pass gradients", None)
SEEN = Assumption(
    "the best predictable function of the world is linear in these latents; a better one lowers the threshold", None
)


@dataclass(frozen=True)
class Regularizer:
    """What a world model was kept from collapse by, in the convention of LeWM's code.

    Parameters
    ----------
    kind : {"sigreg", "subspace_sigreg", "whitening", "pldm", "none"}
        As in :class:`spectral_jepa.pixels.config.ObjectiveConfig`.
    strength : float
        lambda, beside a prediction error that is the *mean* over the coordinates of the latent.
    batch_size : int
        Samples that SIGReg scores at a step. Not read by "whitening", "pldm" and "none".
    factor : float, optional
        What SIGReg's integral is multiplied by. Default: the batch size, as published.
    n_subspaces : int
        K, of "subspace_sigreg" only.
    n_knots : int
        Points of SIGReg's quadrature on [0, ``t_max``].
    t_max : float

    Raises
    ------
    InputError
        An unknown kind, a number out of range.

    Examples
    --------
    LeWM's published constants.

    >>> round(Regularizer("sigreg", 0.09, 128).pull, 1)
    17.6
    """

    kind: str = "sigreg"
    strength: float = 0.09
    batch_size: int = 128
    factor: float | None = None
    n_subspaces: int = 1
    n_knots: int = 17
    t_max: float = 3.0

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("regularizer", self.kind, KINDS)
        check_nonnegative("strength", self.strength)
        check_count("batch_size", self.batch_size)
        check_count("n_subspaces", self.n_subspaces)
        check_count("n_knots", self.n_knots, 2)
        check_positive("t_max", self.t_max)
        if self.factor is not None:
            check_positive("factor", self.factor)
        if self.n_subspaces > 1 and self.kind != "subspace_sigreg":
            raise InputError(
                f"n_subspaces is {self.n_subspaces} with the regularizer {self.kind!r}, expected it only with "
                "'subspace_sigreg': leave it out"
            )

    @property
    def pull(self) -> float | None:
        """What a function must pay less than, 1 - s^2 < pull, to grow out of a collapsed encoder; None where none is known.

        lambda b (c - c'/N) of SIGReg: the dimension cancels, because a mean over coordinates is the sum divided by k, and so
        it does for subspaces that partition the space. 2 lambda of soft whitening (docs/theory.md, 2.6 and 5).
        """
        if self.kind == "pldm":
            return None
        if self.kind == "none":
            return 0.0
        if self.kind == "whitening":
            return 2 * self.strength
        factor = self.batch_size if self.factor is None else self.factor
        return self.strength * factor * sigreg_slope(self.n_knots, self.t_max, batch_size=self.batch_size)


@dataclass(frozen=True)
class Threshold:
    """How a strength compares with the least one at which the leading direction grows.

    Parameters
    ----------
    ratio, low, high : float
        pull / (1 - s^2) at the estimate and the limits of the leading canonical correlation; above 1 collapse is not even a
        local minimum of the loss, at or below 1 it is the global one.
    grows_all : bool
        Whether a direction that cannot be predicted at all would be kept, too: pull >= 1.
    assumptions : tuple of Assumption
    """

    ratio: float
    low: float
    high: float
    grows_all: bool
    assumptions: tuple[Assumption, ...]

    @property
    def word(self) -> str:
        """Where the strength is: "far above", "above", "about at", "below" or "far below"; far is a factor of 3."""
        if self.low <= 1 <= self.high:
            return "about at"
        if self.ratio > 1:
            return "far above" if self.low >= FAR else "above"
        return "far below" if self.high <= 1 / FAR else "below"


def threshold(regularizer: Regularizer, estimate: float, low: float, high: float) -> Threshold | None:
    """Compare a regulariser with its collapse threshold.

    Parameters
    ----------
    regularizer : Regularizer
    estimate, low, high : float in [0, 1]
        Of the leading canonical correlation.

    Returns
    -------
    Threshold or None
        None for "pldm", for which we have no theorem.

    Notes
    -----
    O(n_knots). Source: docs/sigreg_phase.md, section 4, and docs/theory.md, 2.6 and 5.

    Examples
    --------
    >>> threshold(Regularizer("sigreg", 0.09, 128), 0.9, 0.8, 0.95).word
    'far above'
    >>> threshold(Regularizer("sigreg", 0.09, 128, factor=1.0), 0.9, 0.85, 0.92).word  # 1 - .81 > .137
    'below'
    >>> threshold(Regularizer("none"), 0.9, 0.8, 0.95).word
    'far below'
    """
    pull = regularizer.pull
    if pull is None:
        return None
    ratio, least, most = (pull / max(1 - value**2, 1e-12) for value in (estimate, low, high))
    return Threshold(ratio, least, most, pull >= 1, (FREE, SEEN))


def fitting_subspaces(dim: int, wanted: int) -> tuple[int, int, int]:
    """The largest K that divides the latent dimension D and leaves rank D/K >= the wanted number of directions.

    Parameters
    ----------
    dim : int
        D.
    wanted : int
        k.

    Returns
    -------
    n_subspaces, rank, most : int
        K, D/K, and the largest rank that K independently drawn subspaces can leave.

    Raises
    ------
    InputError
        A number below 1.

    Notes
    -----
    Rank D/K is that of a partition, at the optimum of hard whitening on its parts; see docs/effective_dimension.md. For k
    above D the answer is K = 1.

    Examples
    --------
    >>> fitting_subspaces(12, 3), fitting_subspaces(192, 20), fitting_subspaces(12, 30)
    ((4, 3, 6), (8, 24, 68), (1, 12, 12))
    """
    check_count("dim", dim)
    check_count("wanted", wanted)
    found = max((n for n in range(1, dim + 1) if dim % n == 0 and dim // n >= wanted), default=1)
    return found, dim // found, subspace_rank_bound(found, dim // found, dim)
