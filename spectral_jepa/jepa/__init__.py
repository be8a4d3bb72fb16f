"""Tabular JEPAs: encoders and predictors on finite worlds, trained by the hundred and compared with the closed form."""

import spectral_jepa._torch_here  # noqa: F401  # isort: skip
from spectral_jepa.jepa.config import JepaConfig, Run
from spectral_jepa.jepa.measures import encoder_angle, refit
from spectral_jepa.jepa.result import TrainedRuns, optimal_loss
from spectral_jepa.jepa.training import n_parameters, train_jepa
from spectral_jepa.jepa.worlds import Worlds

__all__ = [
    "JepaConfig",
    "Run",
    "TrainedRuns",
    "Worlds",
    "encoder_angle",
    "n_parameters",
    "optimal_loss",
    "refit",
    "train_jepa",
]
