"""What every training run needs, on tables and on pixels: checkpoints that resume, weights, a log, the learning rate."""

import spectral_jepa._torch_here  # noqa: F401  # isort: skip
from spectral_jepa.training.checkpoint import Checkpoints, config_difference
from spectral_jepa.training.log import TrainingLog
from spectral_jepa.training.schedule import learning_rate
from spectral_jepa.training.tracker import Tracker, Trackers, make_tracker
from spectral_jepa.training.weights import load_weights, save_weights

__all__ = [
    "Checkpoints",
    "Tracker",
    "Trackers",
    "TrainingLog",
    "config_difference",
    "learning_rate",
    "load_weights",
    "make_tracker",
    "save_weights",
]
