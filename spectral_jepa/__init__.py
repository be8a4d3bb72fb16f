"""The laboratory in which the theory of JEPA world models is checked, refuted, corrected and taught."""

import spectral_jepa._processes  # noqa: F401  # isort: skip  # first: a command that is stopped while loading is quiet
from spectral_jepa._validation import InputError
from spectral_jepa.advice import Advice, Regularizer, advise, read_latents
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.data import Transitions, sample_transitions
from spectral_jepa.embedding import Embedding, soft_threshold_embedding, spectral_embedding, spectrum, tail
from spectral_jepa.generators import *  # noqa: F403
from spectral_jepa.generators import __all__ as _generator_names
from spectral_jepa.input_level import (
    InputLevelModel,
    critical_nuisance_scale,
    product_observations,
    reduced_rank_regression,
)
from spectral_jepa.logs import Analysis, analyze, log_to_mdp, read_log, write_log
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.planning import (
    GoalPlan,
    RewardPlan,
    goal_regret,
    optimal_values,
    plan_goals,
    plan_rewards,
    reward_regret,
)
from spectral_jepa.sweep import run_sweep, sweep_bounds
from spectral_jepa.theory import *  # noqa: F403
from spectral_jepa.theory import __all__ as _theory_names

__version__ = "0.1.0"

__all__ = [
    *_generator_names,
    *_theory_names,
    "Advice",
    "Analysis",
    "CoOccurrence",
    "Embedding",
    "GoalPlan",
    "InputError",
    "InputLevelModel",
    "RewardPlan",
    "Regularizer",
    "TabularMDP",
    "Transitions",
    "advise",
    "analyze",
    "critical_nuisance_scale",
    "goal_regret",
    "log_to_mdp",
    "optimal_values",
    "plan_goals",
    "plan_rewards",
    "product_observations",
    "read_latents",
    "read_log",
    "reduced_rank_regression",
    "reward_regret",
    "run_sweep",
    "sample_transitions",
    "soft_threshold_embedding",
    "spectral_embedding",
    "spectrum",
    "sweep_bounds",
    "tail",
    "write_log",
]
