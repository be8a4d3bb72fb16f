"""A discretised AR(1) Gaussian chain whose singular values are exactly 1, rho, rho^2, ..."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_float, check_count
from spectral_jepa.generators._common import require_dense
from spectral_jepa.mdp import TabularMDP

# 0.5 ** 1000 is still a normal float64 number; the rarest state of a longer chain would have weight 0.
LARGEST = 1001


@checked()
def make_autoregressive(
    n_states: int = 41,
    correlation: float | Sequence[float] = 0.9,
    *,
    discount: float | None = None,
) -> TabularMDP:
    """Binomial AR(1) chain: the number of ones among S - 1 fair bits, each kept in step with correlation rho.

    Standardised, it has E[z+ | z] = rho z exactly and a binomial law that tends to the Gaussian, so it is the AR(1)
    chain z+ = rho z + sqrt(1 - rho^2) noise on a grid. Its singular functions are the Krawtchouk polynomials, which tend
    to the Hermite polynomials of Mehler's formula, and its singular values are |rho|^i for every S, not only in the limit:
    functions of one bit contract by rho, and symmetric products of i bits by rho^i. (The obvious alternative, Mehler's
    kernel cut off at S terms on Gauss-Hermite nodes, has the same values but negative entries, hence is no chain.)

    Parameters
    ----------
    n_states : int
        Number of grid points S, from 2 to 1001.
    correlation : float in [-1, 1], or a sequence of A of them
        rho, one for each action.
    discount : float in [0, 1], optional
        Discount factor, for a reward added later.

    Returns
    -------
    TabularMDP
        Dense; ``weight`` is Binomial(S - 1, 1/2), stationary and reversible for every action, so its ends are tiny;
        ``state_labels`` holds the standardised value z of each state.

    Raises
    ------
    InputError
        ``n_states`` or ``correlation`` out of range.

    Notes
    -----
    O(A S^3) time, O(A S^2) memory. Source: docs/theory.md, section 2.9; binomial AR(1) after McKenzie (1985).

    Examples
    --------
    >>> make_autoregressive(n_states=3, correlation=0.0).transition[0]
    array([[0.25, 0.5 , 0.25],
           [0.25, 0.5 , 0.25],
           [0.25, 0.5 , 0.25]])
    """
    n_states = check_count("n_states", n_states, 2, LARGEST, "rarer states would have weight 0 in float64")
    correlations = as_float("correlation", np.atleast_1d(correlation), (None,))
    if not correlations.size or (np.abs(correlations) > 1).any():
        raise InputError(f"correlation is {correlation!r}, expected numbers between -1 and 1: choose them in that range")
    require_dense(len(correlations), n_states)
    from scipy.stats import binom  # half of what importing the package would take

    n_bits = n_states - 1
    ones = np.arange(n_states)
    weight = binom.pmf(ones, n_bits, 0.5)
    z = (2 * ones - n_bits) / np.sqrt(n_bits)
    return TabularMDP(
        np.stack([_bit_counts(n_bits, rho) for rho in correlations]),
        weight=weight / weight.sum(),
        discount=discount,
        name="autoregressive",
        state_labels=tuple(z.tolist()),
    )


def _bit_counts(n_bits: int, correlation: float) -> Array:
    """P(y ones | x ones), one bit at a time: sums of positive terms, hence accurate even in the far tails."""
    keep, flip = (1 + correlation) / 2, (1 - correlation) / 2
    counts = np.ones((1, 1))
    for n in range(1, n_bits + 1):
        longer = np.zeros((n + 1, n + 1))
        longer[1:, 1:] += keep * counts  # x >= 1: one of the ones is the new bit
        longer[1:, :-1] += flip * counts
        longer[0, 1:] += flip * counts[0]  # x = 0: the new bit is a zero
        longer[0, :-1] += keep * counts[0]
        counts = longer
    return counts
