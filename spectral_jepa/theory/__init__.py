"""Risks, identities and bounds: the paper's statements as printed, and corrected."""

from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.goal_bounds import (
    averaged_single_step_bound,
    multi_step_bound,
    pointwise_single_step_bound,
    printed_multi_step_bound,
    printed_single_step_bound,
    printed_spurious_constant,
)
from spectral_jepa.theory.printed_identities import printed_approximation_error, printed_risk_identity
from spectral_jepa.theory.reward_bounds import reward_bound_values, reward_bounds
from spectral_jepa.theory.risks import (
    chi_square_information,
    jepa_loss,
    pooled_risk,
    printed_risk_constant,
    spectral_loss,
    spectral_risk,
    transition_risk,
    unit_norm_risk_floor,
)
from spectral_jepa.theory.sampling_bounds import (
    bernstein_bound,
    expected_squared_error,
    oracle_bound,
    printed_chain_bound,
    printed_sample_bound,
    rademacher_complexity,
)

__all__ = [
    "Assumption",
    "Bound",
    "averaged_single_step_bound",
    "bernstein_bound",
    "chi_square_information",
    "expected_squared_error",
    "jepa_loss",
    "multi_step_bound",
    "oracle_bound",
    "pointwise_single_step_bound",
    "pooled_risk",
    "printed_approximation_error",
    "printed_chain_bound",
    "printed_multi_step_bound",
    "printed_risk_constant",
    "printed_risk_identity",
    "printed_sample_bound",
    "printed_single_step_bound",
    "printed_spurious_constant",
    "rademacher_complexity",
    "reward_bound_values",
    "reward_bounds",
    "spectral_loss",
    "spectral_risk",
    "transition_risk",
    "unit_norm_risk_floor",
]
