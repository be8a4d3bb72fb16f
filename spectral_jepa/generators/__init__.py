"""Worlds to test on: every ``make_*`` returns a ``TabularMDP``, the other functions transform or explain one."""

from spectral_jepa.generators.autoregressive import make_autoregressive
from spectral_jepa.generators.block_and_low_rank import latent_chain, make_block, make_low_rank
from spectral_jepa.generators.closed_form import (
    autoregressive_singular_values,
    block_singular_values,
    circulant_singular_values,
    deterministic_singular_values,
    horizon_singular_values,
    nuisance_singular_values,
    product_singular_values,
    two_state_singular_values,
)
from spectral_jepa.generators.counterexamples import (
    gauge_counterexample,
    gauge_embedding_arrays,
    make_permutation,
    make_reset,
    make_scatter,
    make_two_state,
    rare_outcome_counterexample,
    rare_state_counterexample,
    rare_state_embedding_arrays,
    reset_counterexample,
    reset_embedding_arrays,
    two_state_counterexample,
    with_leap,
)
from spectral_jepa.generators.grids import make_four_rooms, make_grid
from spectral_jepa.generators.products import with_horizon, with_nuisance
from spectral_jepa.generators.random_mdps import make_dirichlet, make_garnet
from spectral_jepa.generators.ring_and_torus import make_ring, make_torus

__all__ = [
    "autoregressive_singular_values",
    "block_singular_values",
    "circulant_singular_values",
    "deterministic_singular_values",
    "gauge_counterexample",
    "gauge_embedding_arrays",
    "horizon_singular_values",
    "latent_chain",
    "make_autoregressive",
    "make_block",
    "make_dirichlet",
    "make_four_rooms",
    "make_garnet",
    "make_grid",
    "make_low_rank",
    "make_permutation",
    "make_reset",
    "make_ring",
    "make_scatter",
    "make_torus",
    "make_two_state",
    "nuisance_singular_values",
    "product_singular_values",
    "rare_outcome_counterexample",
    "rare_state_counterexample",
    "rare_state_embedding_arrays",
    "reset_counterexample",
    "reset_embedding_arrays",
    "two_state_counterexample",
    "two_state_singular_values",
    "with_horizon",
    "with_leap",
    "with_nuisance",
]
