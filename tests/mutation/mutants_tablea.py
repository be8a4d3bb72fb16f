"""Wrong versions of what a referee's table corrected; see mutants.py."""

from kinds import mutants_of

COLLAPSED, RANK = "theory/test_sigreg_batches.py", "theory/test_effective_dimension.py"

BATCHES = mutants_of(
    "theory/sigreg_collapse.py",
    (
        "batch as if it were the law",
        "lost = 0.0 if batch_size is None else 1 / check_count",
        "lost = 0.0 if batch_size is None else 0 / check_count",
        "the square of a sampled characteristic function exceeds that of the law by its variance",
        COLLAPSED,
    ),
    (
        "batch of N - 1",
        '1 / check_count("batch_size", batch_size)',
        '1 / max(check_count("batch_size", batch_size) - 1, 1)',
        "a mean of N samples has variance 1 / N",
        COLLAPSED,
    ),
    (
        "batch without its window",
        "normal * (1 - normal - lost)",
        "normal * (1 - normal - normal * lost)",
        "c' is the integral of u t^2, not of u^2 t^2",
        COLLAPSED,
    ),
    (
        "threshold without its batch",
        "sigreg_slope(n_knots, t_max, batch_size=batch_size)",
        "sigreg_slope(n_knots, t_max)",
        "the threshold of batches has the slope of batches",
        COLLAPSED,
    ),
)

DIMENSIONS = mutants_of(
    "theory/effective_dimension.py",
    (
        "whole angles between two subspaces",
        "2 / (1 + cosines)",
        "1 / cosines**2",
        "1 / cos^2(theta / 2) is 2 / (1 + cos theta)",
        RANK,
    ),
    (
        "three subspaces rounded down",
        "(3 * subspace_dim + 1) // 2",
        "3 * subspace_dim // 2",
        "three lines in the plane have no quadric in common",
        RANK,
    ),
) + mutants_of(
    "theory/subspace_whitening.py",
    (
        "effective rank of the scales",
        "effective_rank=effective_rank(np.diag(eigenvalues))",
        "effective_rank=effective_rank(np.diag(np.sqrt(eigenvalues)))",
        "shares are those of variances",
        RANK,
    ),
    (
        "worst start reported",
        "loadings, violation, value = kept[0]",
        "loadings, violation, value = kept[-1]",
        "local minima are real: the best start counts",
        RANK,
    ),
)

TABLE_A_MUTANTS = BATCHES + DIMENSIONS
