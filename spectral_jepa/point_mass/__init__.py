"""The point mass of arXiv 2606.27014, Section 5: world, world models, training, planning.

The paper states no constants. All of ours are in :class:`PointMassSettings`.
"""

from spectral_jepa.point_mass.discretised import discretised_transitions, noisy_population
from spectral_jepa.point_mass.environment import PointMass, Windows, collect_windows, goal_pairs
from spectral_jepa.point_mass.model import WorldModel
from spectral_jepa.point_mass.planning import Reaching, cross_entropy_method, reach_goals
from spectral_jepa.point_mass.settings import PointMassSettings, make_generator
from spectral_jepa.point_mass.training import ARMS, Arm, Training, train

__all__ = [
    "ARMS",
    "Arm",
    "PointMass",
    "PointMassSettings",
    "Reaching",
    "Training",
    "Windows",
    "WorldModel",
    "collect_windows",
    "cross_entropy_method",
    "discretised_transitions",
    "goal_pairs",
    "make_generator",
    "noisy_population",
    "reach_goals",
    "train",
]
