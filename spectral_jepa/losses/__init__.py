"""Losses of joint-embedding models: pure torch functions on (..., N, D), one value a leading index.

N are samples (or the states of a finite world, with ``weight`` as their law), D coordinates; every leading axis is a run,
a time step or whatever the caller averages over afterwards. Sums over D throughout, as in docs/theory.md: divide by D to
get the mean that many training codes print.
"""

from spectral_jepa.losses.prediction import prediction_loss
from spectral_jepa.losses.sigreg import epps_pulley, random_directions, sigreg
from spectral_jepa.losses.variance import effective_rank, second_moment, variance_penalty, whitening_penalty

__all__ = [
    "effective_rank",
    "epps_pulley",
    "prediction_loss",
    "random_directions",
    "second_moment",
    "sigreg",
    "variance_penalty",
    "whitening_penalty",
]
