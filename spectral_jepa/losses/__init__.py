"""Losses of joint-embedding models: pure torch functions on (..., N, D), one value a leading index.

N are samples (or the states of a finite world, with ``weight`` as their law), D coordinates; every leading axis is a run,
a time step or whatever the caller averages over afterwards. Sums over D throughout, as in docs/theory.md: divide by D to
get the mean that many training codes print. Half precision and autocast change nothing but the inputs: every loss is
computed and returned in float32 or float64. All randomness comes from the generator that the caller passes.

A loss is one of two prediction errors (:func:`prediction_loss`, :func:`spectral_loss`; under the exact law of a finite
world :func:`expected_prediction_loss`, :func:`expected_spectral_loss`), alone or with a regulariser that keeps the
embedding from collapsing. :func:`negatives_spectral_loss` lets the caller choose the law of the negatives.
"""

import spectral_jepa._torch_here  # noqa: F401  # isort: skip
from spectral_jepa.losses.negatives import expected_negatives_spectral_loss, negatives_spectral_loss
from spectral_jepa.losses.population import expected_prediction_loss, expected_sigreg, expected_spectral_loss
from spectral_jepa.losses.prediction import ema_update, prediction_loss
from spectral_jepa.losses.published import SigregSettings, from_lewm
from spectral_jepa.losses.sigreg import epps_pulley, random_directions, sigreg
from spectral_jepa.losses.spectral import spectral_loss
from spectral_jepa.losses.subspaces import (
    make_subspaces,
    orthogonality_penalty,
    project,
    subspace_sigreg,
    subspace_whitening_penalty,
)
from spectral_jepa.losses.variance import (
    covariance_penalty,
    sample_effective_rank,
    second_moment,
    variance_penalty,
    vicreg,
)
from spectral_jepa.losses.whitening import whiten, whitening_penalty

__all__ = [
    "SigregSettings",
    "covariance_penalty",
    "ema_update",
    "epps_pulley",
    "expected_negatives_spectral_loss",
    "expected_prediction_loss",
    "expected_sigreg",
    "expected_spectral_loss",
    "from_lewm",
    "make_subspaces",
    "negatives_spectral_loss",
    "orthogonality_penalty",
    "prediction_loss",
    "project",
    "random_directions",
    "sample_effective_rank",
    "second_moment",
    "sigreg",
    "spectral_loss",
    "subspace_sigreg",
    "subspace_whitening_penalty",
    "variance_penalty",
    "vicreg",
    "whiten",
    "whitening_penalty",
]
