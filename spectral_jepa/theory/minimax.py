"""How fast the pretraining error of rank k can fall at all: c k n / N, a lower bound (docs/rate_and_constant.md, 1).

Take worlds with uniform w and w+, so that Mbar = P, and of rank at most k = r + 1:

    P_theta(y|x) = (1 + sum_il theta_il E_il(x, y)) / n,     theta in [-1, 1]^(m r),  m = floor(n / 2).

E_il has the four signs + - - + on the rows i and m + i and on the columns of block l and their twins, q = floor(m / r)
columns a block; so rows and columns of P sum to 1, and the rank is at most r + 1. The coordinates are orthogonal,
||E_il / n||_F^2 = 4 q / n^2 =: c, and a transition falls on the cells of a coordinate with probability c, then on those
marked + with probability (1 + theta_il) / 2: each coordinate is a coin of its own, seen c N times. A prior for each coin,
independent, bounds the risk of every estimator in the worst of these worlds from below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_array, as_distribution, as_float, check_count, require_memory


@checked()
def minimax_risk_lower_bound(n_states: int, dim: int, n_samples: int) -> float:
    """No estimator has E R_S below this in every world of rank <= k, not even one that knows w and w+ to be uniform.

    m r max( u (2 - u) c (1 - c u)^{2N}, c / (sqrt(c N) + pi)^2 ) at the best u in [0, 1]; about .14 to .16 (k - 1) n / N
    at N = n (k - 1), tending to (k - 1) n / (2 N), where n is even and k - 1 <= n / 2.

    Parameters
    ----------
    n_states : int >= 2
        n.
    dim : int >= 2
        Latent dimension k; r = k - 1, but at most n / 2.
    n_samples : int
        N transitions of one action, i.i.d. from the data law.

    Returns
    -------
    float
        On the expectation of R_S = ||Mbar - Mhat||_F^2 of that action.

    Raises
    ------
    InputError
        Fewer than two states or dimensions, or more dimensions than states.

    Notes
    -----
    O(1). The first term: two points a coordinate and their Hellinger affinity; the second: van Trees' inequality. Source:
    docs/rate_and_constant.md, 1.

    Examples
    --------
    The order is (k - 1) n / N.

    >>> [round(minimax_risk_lower_bound(64, 5, N) * N / (4 * 64), 3) for N in (256, 10**4, 10**6)]
    [0.162, 0.272, 0.466]
    """
    pairs, rank, chance = _coordinates(n_states, dim)
    samples = float(check_count("n_samples", n_samples))
    u = _best_gap(chance, samples)
    two_points = u * (2 - u) * (1 - chance * u) ** (2 * samples)
    smooth = 1 / (np.sqrt(chance * samples) + np.pi) ** 2
    return float(pairs * rank * chance * max(two_points, smooth))


@checked()
def minimax_risk_upper_bound(n_states: int, dim: int, n_samples: int) -> float:
    """In every world of rank <= k with uniform w and w+, some estimator has E R_S below this: of order k n log(n) / N.

    The least of three: the rank-k truncated SVD of counts over known marginals, R <= 5 k ||E||_2^2 with E||E||_2^2 from
    matrix Bernstein; the counts themselves, (n^2 - 1) / N; and predicting w+, at most k - 1.

    Parameters
    ----------
    n_states : int >= 2
        n.
    dim : int >= 2
        Latent dimension k, at most n.
    n_samples : int
        N transitions of one action.

    Returns
    -------
    float

    Raises
    ------
    InputError
        As :func:`minimax_risk_lower_bound`.

    Notes
    -----
    O(1). Source: docs/rate_and_constant.md, 1; docs/theory.md, 4.5-4.6.

    Examples
    --------
    >>> bounds = minimax_risk_lower_bound(64, 5, 10**6), minimax_risk_upper_bound(64, 5, 10**6)
    >>> [round(bound, 6) for bound in bounds]
    [0.000119, 0.004095]
    >>> round(minimax_risk_upper_bound(512, 2, 10**8), 5)
    0.00162
    """
    _coordinates(n_states, dim)
    samples = float(check_count("n_samples", n_samples))
    states = float(n_states)
    log, largest = np.log(2 * states), (states + 1) / samples
    # E||E||^2 <= int_0^1 (sqrt(2 v log(d/e)) + 2 L log(d/e) / 3N)^2 de <= twice the sum of the squares, integrated.
    norm = 4 * states / samples * (log + 1) + 8 / 9 * largest**2 * (log**2 + 2 * log + 2)
    return float(min(5 * dim * norm, (states**2 - 1) / samples, dim - 1))


@checked()
def packing_kernels(coordinates: ArrayLike, n_states: int) -> Array:
    """P_theta: doubly stochastic kernels of rank at most r + 1, a coin for each coordinate.

    Parameters
    ----------
    coordinates : array (..., m, r)
        theta in [-1, 1]; m = floor(n / 2), r <= m.
    n_states : int
        n.

    Returns
    -------
    array (..., S, S)

    Raises
    ------
    InputError
        Another shape, or a coordinate outside [-1, 1].

    Notes
    -----
    O(S^2) a kernel. Where n is odd or r does not divide m, the states left over stay uniform. Source:
    docs/rate_and_constant.md, 1.

    Examples
    --------
    >>> packing_kernels([[0.5]], 2)
    array([[0.75, 0.25],
           [0.25, 0.75]])
    """
    check_count("n_states", n_states, 2)
    shape = as_array("coordinates", coordinates).shape
    pairs = n_states // 2
    if len(shape) < 2 or shape[-2] != pairs or not 1 <= shape[-1] <= pairs:
        raise InputError(
            f"coordinates has shape {shape}, expected (..., {pairs}, r) with r in 1 ... {pairs}: a row for each pair"
        )
    theta = as_float("coordinates", coordinates, shape)
    if np.abs(theta).max(initial=0) > 1:
        raise InputError(
            f"coordinates reach {np.abs(theta).max():.6g} in absolute value, expected at most 1: probabilities would be "
            "negative, so scale them down"
        )
    require_memory((*shape[:-2], n_states, n_states), "the kernels", "use fewer of them", copies=3)
    block = np.repeat(theta, pairs // shape[-1], axis=-1)
    used = block.shape[-1]
    kernels = np.ones((*shape[:-2], n_states, n_states))
    for row, row_sign in ((slice(0, pairs), 1), (slice(pairs, 2 * pairs), -1)):
        for first, column_sign in ((0, 1), (pairs, -1)):
            kernels[..., row, first : first + used] += row_sign * column_sign * block
    return kernels / n_states


@checked()
def packing_strength(n_states: int, dim: int, n_samples: int) -> float:
    """The a at which worlds theta in {-a, a}^(m r) are hardest: about sqrt(n (k - 1) / (2 N)), at most 1.

    Parameters
    ----------
    n_states, dim, n_samples : int
        n, k, N, as in :func:`minimax_risk_lower_bound`.

    Returns
    -------
    float in (0, 1]

    Raises
    ------
    InputError
        As :func:`minimax_risk_lower_bound`.

    Notes
    -----
    O(1). a^2 = u (2 - u) with the u of the lower bound. Source: docs/rate_and_constant.md, 1.

    Examples
    --------
    >>> round(packing_strength(64, 5, 10**6) / (64 * 4 / (2 * 10**6)) ** 0.5, 3)
    1.0
    """
    chance = _coordinates(n_states, dim)[2]
    u = _best_gap(chance, float(check_count("n_samples", n_samples)))
    return float(np.sqrt(u * (2 - u)))


@checked()
def packing_bayes_risk(n_states: int, dim: int, n_samples: int, values: ArrayLike, probabilities: ArrayLike) -> float:
    """The least mean of E R_S over worlds P_theta with independent coordinates drawn from a law: exactly.

    Parameters
    ----------
    n_states, dim, n_samples : int
        n, k, N, as in :func:`minimax_risk_lower_bound`.
    values : array (p,)
        Points in [-1, 1] of the prior of one coordinate.
    probabilities : array (p,)
        Their probabilities.

    Returns
    -------
    float
        m r c E Var(theta | its coin): no estimator does better on average over the prior, so none does in the worst world.

    Raises
    ------
    InputError
        Values outside [-1, 1], probabilities that are none.

    Notes
    -----
    O(N^2 p), by summing over all counts of one coin. Source: docs/rate_and_constant.md, 1.

    Examples
    --------
    A coin that shows itself at once, in a world of two states: unknown only while its cells are not seen.

    >>> packing_bayes_risk(2, 2, 1, [-1.0, 1.0], [0.5, 0.5])
    0.0
    >>> round(packing_bayes_risk(2, 2, 1, [-0.5, 0.5], [0.5, 0.5]), 12)
    0.1875
    """
    from scipy.stats import binom  # slow to import, and only this needs it

    pairs, rank, chance = _coordinates(n_states, dim)
    check_count("n_samples", n_samples)
    size = as_array("values", values).size
    theta, prior = as_float("values", values, (size,)), as_distribution("probabilities", probabilities, size)
    if np.abs(theta).max(initial=0) > 1:
        raise InputError(f"values reach {np.abs(theta).max():.6g} in absolute value, expected at most 1: scale them down")
    require_memory((n_samples + 1, n_samples + 1, size), "the table of counts", "use fewer samples or values", copies=3)
    tosses, heads = np.arange(n_samples + 1)[:, None, None], np.arange(n_samples + 1)[None, :, None]
    shown = binom.pmf(tosses, n_samples, chance) * binom.pmf(heads, tosses, (1 + theta) / 2)
    joint = shown * prior
    mass, first = joint.sum(axis=2), joint @ theta
    explained = np.divide(first**2, mass, out=np.zeros_like(mass), where=mass > 0).sum()
    return float(pairs * rank * chance * max(prior @ theta**2 - explained, 0.0))


def _coordinates(n_states: int, dim: int) -> tuple[int, int, float]:
    """m, r and c: m r coins, each seen with chance c."""
    check_count("n_states", n_states, 2)
    check_count("dim", dim, 2, n_states)
    pairs = n_states // 2
    rank = min(dim - 1, pairs)
    return pairs, rank, 4 * (pairs // rank) / n_states**2


def _best_gap(chance: float, n_samples: float) -> float:
    """The u in (0, 1] of the largest u (2 - u) (1 - c u)^{2N}: the smaller root of c (N + 1) u^2 - (1 + c + 2 c N) u + 1."""
    middle = 1 + chance + 2 * chance * n_samples
    return min(1.0, 2 / (middle + np.sqrt(max(middle**2 - 4 * chance * (n_samples + 1), 0.0))))
