"""The point mass of arXiv 2606.27014, Section 5: world, world models, training, planning.

The paper states no constants. All of ours are in :class:`PointMassSettings`.
"""

import spectral_jepa._torch_here  # noqa: F401  # isort: skip
from spectral_jepa.point_mass.discretised import discretised_transitions, noisy_population
from spectral_jepa.point_mass.environment import PointMass, Windows, collect_windows, goal_pairs
from spectral_jepa.point_mass.model import PointMassModel
from spectral_jepa.point_mass.planning import Reaching, reach_goals, search_actions
from spectral_jepa.point_mass.settings import PointMassSettings
from spectral_jepa.point_mass.training import ARMS, Arm, Training, train

__all__ = [
    "ARMS",
    "Arm",
    "PointMass",
    "PointMassModel",
    "PointMassSettings",
    "Reaching",
    "Training",
    "Windows",
    "collect_windows",
    "discretised_transitions",
    "goal_pairs",
    "noisy_population",
    "reach_goals",
    "search_actions",
    "train",
]
