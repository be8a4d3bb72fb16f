"""Risks, identities and bounds: the paper's statements as printed, and corrected."""

from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.effective_dimension import (
    independent_constraints,
    partition_value,
    pataki_rank_bound,
    steep_spectrum_ratio,
    subspace_rank_bound,
    two_subspace_eigenvalues,
)
from spectral_jepa.theory.empirical import draw_tuples, empirical_risk, tuple_risk
from spectral_jepa.theory.goal_bounds import (
    averaged_single_step_bound,
    multi_step_bound,
    pointwise_single_step_bound,
    printed_multi_step_bound,
    printed_single_step_bound,
    printed_spurious_constant,
)
from spectral_jepa.theory.horizon_free import (
    horizon_free_bound,
    horizon_free_error,
    horizon_free_factor,
    two_vector_form,
)
from spectral_jepa.theory.horizon_free_extensions import (
    SharedWorstCase,
    clip_contraction,
    concentrability_horizon_bound,
    discounted_horizon_bound,
    noisy_horizon_error,
    shared_encoder_worst_case,
)
from spectral_jepa.theory.linear_predictor import best_linear_predictor, linear_covariances, vamp2_score
from spectral_jepa.theory.minimax import (
    minimax_risk_lower_bound,
    minimax_risk_upper_bound,
    packing_bayes_risk,
    packing_kernels,
    packing_strength,
)
from spectral_jepa.theory.oracle_constant import sharp_oracle_bound
from spectral_jepa.theory.pooled_negatives import (
    euclidean_regret_ceiling,
    euclidean_single_step_bound,
    outcome_chi_square,
    pooled_action_risks,
    pooled_single_step_bound,
)
from spectral_jepa.theory.prices import bernstein_price, bootstrap_price, held_out_price
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
from spectral_jepa.theory.sigreg_collapse import sigreg_collapse_threshold, sigreg_slope
from spectral_jepa.theory.sigreg_factors import (
    FactorMargins,
    mixture_cost,
    plane_filling_error,
    quadratic_margins,
    recovery_deficit_bound,
)
from spectral_jepa.theory.sigreg_phase import sigreg_global_slope, sigreg_lower_bound, sigreg_phase
from spectral_jepa.theory.simulation import (
    simulation_bound_values,
    simulation_bounds,
    transition_error,
    value_difference,
)
from spectral_jepa.theory.soft_threshold import soft_threshold_bound
from spectral_jepa.theory.subspace_whitening import (
    SubspaceOptimum,
    effective_rank,
    subspace_whitening_embedding,
    subspace_whitening_loss,
    subspace_whitening_optimum,
)
from spectral_jepa.theory.whitening import (
    mse_loss,
    soft_whitening_embedding,
    soft_whitening_loss,
    soft_whitening_scales,
    soft_whitening_value,
    target_second_moment,
    whitened_mse_value,
)

__all__ = [
    "Assumption",
    "Bound",
    "FactorMargins",
    "SharedWorstCase",
    "SubspaceOptimum",
    "averaged_single_step_bound",
    "bernstein_bound",
    "bernstein_price",
    "best_linear_predictor",
    "bootstrap_price",
    "chi_square_information",
    "clip_contraction",
    "concentrability_horizon_bound",
    "discounted_horizon_bound",
    "draw_tuples",
    "effective_rank",
    "empirical_risk",
    "euclidean_regret_ceiling",
    "euclidean_single_step_bound",
    "expected_squared_error",
    "held_out_price",
    "horizon_free_bound",
    "horizon_free_error",
    "horizon_free_factor",
    "independent_constraints",
    "jepa_loss",
    "linear_covariances",
    "minimax_risk_lower_bound",
    "minimax_risk_upper_bound",
    "mixture_cost",
    "mse_loss",
    "multi_step_bound",
    "noisy_horizon_error",
    "oracle_bound",
    "outcome_chi_square",
    "packing_bayes_risk",
    "packing_kernels",
    "packing_strength",
    "partition_value",
    "pataki_rank_bound",
    "plane_filling_error",
    "pointwise_single_step_bound",
    "pooled_action_risks",
    "pooled_risk",
    "pooled_single_step_bound",
    "printed_approximation_error",
    "printed_chain_bound",
    "printed_multi_step_bound",
    "printed_risk_constant",
    "printed_risk_identity",
    "printed_sample_bound",
    "printed_single_step_bound",
    "printed_spurious_constant",
    "quadratic_margins",
    "rademacher_complexity",
    "recovery_deficit_bound",
    "reward_bound_values",
    "reward_bounds",
    "shared_encoder_worst_case",
    "sharp_oracle_bound",
    "sigreg_collapse_threshold",
    "sigreg_global_slope",
    "sigreg_lower_bound",
    "sigreg_phase",
    "sigreg_slope",
    "simulation_bound_values",
    "simulation_bounds",
    "soft_threshold_bound",
    "soft_whitening_embedding",
    "soft_whitening_loss",
    "soft_whitening_scales",
    "soft_whitening_value",
    "spectral_loss",
    "spectral_risk",
    "steep_spectrum_ratio",
    "subspace_rank_bound",
    "subspace_whitening_embedding",
    "subspace_whitening_loss",
    "subspace_whitening_optimum",
    "target_second_moment",
    "transition_error",
    "transition_risk",
    "tuple_risk",
    "two_subspace_eigenvalues",
    "two_vector_form",
    "unit_norm_risk_floor",
    "value_difference",
    "vamp2_score",
    "whitened_mse_value",
]
