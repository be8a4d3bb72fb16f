"""From a log of transitions to a verdict: its spectrum, its noise, and the latent dimension it supports.

Everything is about the stacked plug-in matrix Ahat of the log (one encoder shared by all actions, free predictor): rows are
visited pairs (x, a), columns reached states y, Ahat = D_rho^-1/2 [counts / N] D_q^-1/2. Three questions: which singular
values rise above sampling noise, which dimension k a worst-case bound would choose (docs/theory.md, 4.5-4.6), and which one
predicts held-out transitions best.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._late import sparse as sp
from spectral_jepa._notebook import table_html
from spectral_jepa._validation import (
    Array,
    InputError,
    check_count,
    check_seed,
    read_only,
    require_memory,
)
from spectral_jepa.data import Transitions
from spectral_jepa.linalg import squared_norm
from spectral_jepa.logs import estimates as estimates
from spectral_jepa.logs.counts import LogCounts, count_transitions
from spectral_jepa.theory.bound import Bound

if TYPE_CHECKING:
    import pandas as pd

N_SPLITS = 8
# A singular value above this marks a feature that hardly changes in one step: 1 - s^2 < 2 %.
SLOW = 0.99
# Numbers held for each transition: ids, keys, orders, random numbers, the counts of the log and of its folds.
ROW_ARRAYS = 24
# Beyond so many transitions halves and folds are drawn from the counts: the same laws, without a sort of all rows for each.
MANY_ROWS = 2**20


@dataclass(frozen=True, eq=False)
class Analysis:
    """What a log says about the latent dimension it supports. Made by :func:`analyze`.

    Attributes
    ----------
    n_transitions, n_states, n_actions : int
        Size of the log and of its spaces.
    n_pairs, n_visited_pairs : int
        State-action pairs, and those with at least one transition.
    unseen_mass : float
        Good-Turing estimate of the probability that the next transition starts from a pair not in the log.
    deterministic_share : float
        Among the pairs visited at least twice, the share that always led to the same next state; NaN if there is none.
    visits_per_pair : float
        Effective number of transitions a pair: the harmonic mean over visited pairs, because the error of a row is
        proportional to one over its visits.
    n_components : int
        Groups into which the log falls when pairs and next states are joined by its transitions; each one gives a
        singular value of exactly 1.
    max_dim : int
        The largest possible rank: the smaller of visited pairs and reached states.
    dims : int array (D,)
        Latent dimensions tried.
    singular_values : array (max dim,)
        Of the plug-in matrix, descending; the first is 1. Biased upward by noise.
    noise_level : float
        Estimate of ||E||_2, the largest singular value of the sampling error: the mean over random half-sample splits.
        By Weyl no singular value is off by more than ||E||_2.
    noise_spread : float
        Standard deviation of that estimate over the splits.
    bernstein : Bound
        Matrix Bernstein for the same ||E||_2 at the plug-in laws.
    energy : float
        Estimate of ||A||_F^2 without the upward bias of the plug-in one; NaN if no pair was visited twice.
    plug_in_tail : array (D,)
        Sum of the squared plug-in singular values beyond each dimension: counts noise as signal.
    tail : array (D,)
        The same with noise taken out; the plug-in one where ``energy`` is NaN.
    held_out_risk : array (folds, D)
        L_spec on the transitions left out of each fold; lower is better, 0 is the risk of predicting nothing.
    sample_error : array (D,)
        Estimate of what sampling adds to the tail in the risk of a fit to the whole log.
    failure_probability : float
        The delta of ``bernstein``.
    """

    n_transitions: int
    n_states: int
    n_actions: int
    n_pairs: int
    n_visited_pairs: int
    unseen_mass: float
    deterministic_share: float
    visits_per_pair: float
    n_components: int
    max_dim: int
    dims: NDArray[np.int64] = field(repr=False)
    singular_values: Array = field(repr=False)
    noise_level: float
    noise_spread: float
    bernstein: Bound = field(repr=False)
    energy: float
    plug_in_tail: Array = field(repr=False)
    tail: Array = field(repr=False)
    held_out_risk: Array = field(repr=False)
    sample_error: Array = field(repr=False)
    failure_probability: float

    def _repr_html_(self) -> str:
        facts = {
            "transitions": self.n_transitions,
            "states": self.n_states,
            "actions": self.n_actions,
            "visits per pair": self.visits_per_pair,
            "noise level": self.noise_level,
            "dimension of least held-out risk": self.held_out_dim,
            "smallest within one standard error": self.one_standard_error_dim,
            "dimension of least bound": self.oracle_dim(),
        }
        return table_html("Analysis of a log", facts)

    def to_frame(self) -> pd.DataFrame:
        """What was measured of each dimension as a table, one row a dimension.

        Returns
        -------
        DataFrame
            dim, plug_in_tail, tail, held_out_risk (mean over folds), held_out_error, sample_error, oracle_bound (the sum of
            :meth:`oracle_terms`).
        """
        import pandas as pd

        missed, sampled = self.oracle_terms()
        return pd.DataFrame(
            {
                "dim": self.dims,
                "plug_in_tail": self.plug_in_tail,
                "tail": self.tail,
                "held_out_risk": self.held_out_mean,
                "held_out_error": self.held_out_error,
                "sample_error": self.sample_error,
                "oracle_bound": missed + sampled,
            }
        )

    @property
    def held_out_mean(self) -> Array:
        """Held-out risk averaged over folds, shape (D,)."""
        return self.held_out_risk.mean(axis=0)

    @property
    def held_out_error(self) -> Array:
        """Standard error over folds of the held-out risk's excess over the best dimension's, shape (D,).

        Of the difference, not of the risk itself: what makes one fold harder than another is common to all dimensions.
        """
        excess = self.held_out_risk - self.held_out_risk[:, [self.held_out_mean.argmin()]]
        return excess.std(axis=0, ddof=1) / np.sqrt(len(excess))

    @property
    def held_out_dim(self) -> int:
        """The dimension of least held-out risk."""
        return int(self.dims[self.held_out_mean.argmin()])

    @property
    def one_standard_error_dim(self) -> int:
        """The smallest dimension whose excess over the least held-out risk is within one standard error of that excess."""
        return int(self.dims[self.held_out_mean - self.held_out_error <= self.held_out_mean.min()][0])

    @property
    def fold_dims(self) -> NDArray[np.int64]:
        """The dimension that each fold alone would choose: how sure the choice is."""
        return self.dims[self.held_out_risk.argmin(axis=1)]

    def priced_risk(self, prices: ArrayLike) -> Array:
        """Held-out risk of soft thresholding at each price, the constant kept, shape (P,); comparable with held_out_mean.

        Parameters
        ----------
        prices : array (P,)
            What every singular value after the first would lose.
        """
        # The two means of each fold, which held_out_risk and sample_error combine: no fold is fitted again.
        n_folds = len(self.held_out_risk)
        aligned = self.sample_error * n_folds / (n_folds - 1) - self.held_out_mean
        return estimates.priced_risk(self.singular_values, self.dims, aligned, 2 * aligned + self.held_out_mean, prices)

    @property
    def price(self) -> float:
        """The price of least held-out risk for :func:`spectral_jepa.soft_threshold_embedding`, instead of a dimension."""
        return float(estimates.PRICES[self.priced_risk(estimates.PRICES).argmin()])

    @property
    def priced_dim(self) -> int:
        """How many of the computed singular values are above that price, the constant included."""
        return max(1, int(np.count_nonzero(self.singular_values > self.price)))

    def oracle_terms(self, *, bernstein: bool = False) -> tuple[Array, Array]:
        """sqrt(tail_k) and 2 sqrt(2k) ||E||_2, the two terms of the oracle inequality, each (D,).

        Parameters
        ----------
        bernstein : bool
            True: plug-in tail and Bernstein's ||E||_2. False: corrected tail and half-sample ||E||_2.
        """
        tail, level = (self.plug_in_tail, self.bernstein.value) if bernstein else (self.tail, self.noise_level)
        return np.sqrt(tail), 2 * np.sqrt(2 * self.dims) * level

    def oracle_dim(self, *, bernstein: bool = False) -> int:
        """The dimension of least bound; parameters as in :meth:`oracle_terms`."""
        missed, sampled = self.oracle_terms(bernstein=bernstein)
        return int(self.dims[(missed + sampled).argmin()])

    @property
    def n_above_noise(self) -> int:
        """How many of the computed singular values exceed the noise level by twice its spread."""
        return int(np.count_nonzero(self.singular_values > self.noise_level + 2 * self.noise_spread))

    def verdict(self) -> str:
        """A few lines of plain English with numbers: spectrum, dimensions, whether more data would help, warnings."""
        return "\n".join([*self._findings(), *(f"Warning: {text}." for text in self._warnings())])

    def _findings(self) -> list[str]:
        values, best = self.singular_values, self.held_out_dim
        shown = ", ".join(f"{value:.2f}" for value in values[:6]) + (", ..." if values.size > 6 else "")
        vacuous = " (vacuous: not below 1)" if self.bernstein.vacuous else ""
        lines = [
            f"Log: {self.n_transitions:,} transitions, {self.n_states:,} states, {self.n_actions:,} actions; "
            f"{self.n_visited_pairs:,} of {self.n_pairs:,} pairs visited, effectively {self.visits_per_pair:.1f} times "
            "each.",
            f"Spectrum: {shown}; {self.n_above_noise} of the {values.size} largest singular values stand clear of the noise "
            f"level {self.noise_level:.2f} (half-sample estimate).",
            f"Dimension: held-out risk is least at k = {best}; the smallest within one standard error is "
            f"k = {self.one_standard_error_dim} (the folds alone choose {', '.join(map(str, self.fold_dims))}).",
            self._price_finding(),
            f"Worst case: the oracle inequality is least at k = {self.oracle_dim()} with that noise level and at "
            f"k = {self.oracle_dim(bernstein=True)} with Bernstein's {self.bernstein.value:.2g}{vacuous}; it is a worst "
            "case, no forecast.",
        ]
        if np.isfinite(self.energy):
            chosen = int(np.flatnonzero(self.dims == best)[0])
            tail, sample = float(self.tail[chosen]), max(float(self.sample_error[chosen]), 0.0)
            share = sample / max(tail + sample, np.finfo(float).tiny)
            if tail + sample < 0.05 * self.energy:
                advice = "little is left to gain"
            elif share > 0.5:
                advice = "sampling dominates, so more transitions should help"
            elif self._capped:
                advice = "the directions left out dominate, and this log may support larger dims"
            else:
                advice = (
                    "the directions left out dominate, and this log is too short to learn them: more transitions should help"
                )
            lines.append(
                f"Data: at k = {best} the estimated risk is {tail + sample:.2g} (predicting nothing: {self.energy:.3g}), "
                f"{1 - share:.0%} of it from directions left out and {share:.0%} from sampling; {advice}."
            )
        return lines

    def _price_finding(self) -> str:
        """The second recommendation, and which of the two the folds prefer."""
        gain = float(self.held_out_mean.min() - self.priced_risk([self.price])[0])
        more = " or more" if self.priced_dim == self.dims[-1] < self.max_dim else ""
        better = f"{abs(gain):.2g} {'less' if gain > 0 else 'more'} than at k = {self.held_out_dim}"
        return (
            f"Price: instead of a dimension, soft thresholding has the least held-out risk at price {self.price:.3g}, which "
            f"keeps {self.priced_dim}{more} directions: {better}, so take the {'price' if gain > 0 else 'dimension'}."
        )

    @property
    def _capped(self) -> bool:
        """Whether the least held-out risk lies at the largest dimension tried though larger ones exist."""
        return bool(self.held_out_dim == self.dims[-1] and self.dims[-1] < self.max_dim)

    def _warnings(self) -> list[str]:
        warnings = []
        missing = self.n_pairs - self.n_visited_pairs
        if missing:
            warnings.append(
                f"{missing:,} pairs were never visited, and about {self.unseen_mass:.1%} of new transitions would start "
                "from a pair not in the log: nothing here describes them"
            )
        if self.deterministic_share > 0.9:
            warnings.append(
                f"{self.deterministic_share:.0%} of the pairs visited twice or more always led to one next state: a "
                "deterministic world has singular values 0 and 1 only, so the spectrum need not decay"
            )
        slow = int(np.count_nonzero(self.singular_values[1:] > SLOW))
        if slow:
            groups = f" (the log falls into {self.n_components} unconnected groups)" if self.n_components > 1 else ""
            doubt = ", or chance, as the noise level is high" if self.noise_level > 0.5 else ""
            warnings.append(
                f"{slow} singular value{'s' if slow > 1 else ''} beyond the first above {SLOW}{groups}: frozen or slow "
                f"features, disconnected classes or deterministic moves{doubt}"
            )
        if self._capped:
            warnings.append(
                f"the least held-out risk is at the largest dimension tried, {self.dims[-1]}: pass larger dims (--dims)"
            )
        if not np.isfinite(self.energy):
            warnings.append("no pair was visited twice, so signal and noise cannot be told apart: collect repeated visits")
        return warnings


def analyze(
    data: Transitions | LogCounts,
    *,
    dims: ArrayLike | None = None,
    n_folds: int = 5,
    failure_probability: float = 0.05,
    seed: int = 0,
) -> Analysis:
    """Spectrum, noise level and suggested latent dimensions of a log of transitions.

    Parameters
    ----------
    data : Transitions or LogCounts
        The counts of a log (:func:`spectral_jepa.logs.count_log`) say all that its rows do here.
    dims : sequence of int, optional
        Latent dimensions to try. Default: all, up to 256 reached states; 1 to 64 beyond.
    n_folds : int
        Folds of the held-out risk.
    failure_probability : float in (0, 1)
        delta of the Bernstein bound.
    seed : int
        Of the random halves and folds.

    Returns
    -------
    Analysis

    Raises
    ------
    InputError
        A dimension, ``n_folds`` or ``failure_probability`` out of range; arrays that would not fit in memory; an iteration
        that does not end within its limit.

    Notes
    -----
    What is guaranteed: for the truncated SVD of Mhat = Mbar + E, sqrt(R_S) <= sqrt(tail_k) + 2 sqrt(2k) ||E||_2 with the
    true tail and ||E||_2, and Bernstein's ||E||_2 with probability 1 - delta for i.i.d. transitions if the laws put into it
    are the true ones. From a log they are the log's own, and the plug-in normaliser is not the true one: the Bernstein
    choice is therefore a theorem evaluated at estimates, not a certificate. It is also pessimistic by large factors.

    What is heuristic, and checked on synthetic worlds:

    - Noise level. Each pair's n transitions are split at random into n1 + n2 = n, and the rows of the two halves differ by
      D = sqrt(n1 n2) / n (Phat_1 - Phat_2), whose covariance given the visits is that of the row's own error; ||D||_2 in
      the log's weights estimates ||E||_2. A pair visited once counts wholly as noise. Pairs never visited and the error of
      the weights are not in it, so it is too low below about 10 visits a pair.
    - Tail. sum_{i>k} of squared plug-in values counts noise as signal. Products of independent transitions do not: the
      energy is sum_xay c (c - 1) / ((n - 1) N q(y)) for counts c of y out of n, rescaled to pairs visited twice or more;
      the share captured by k directions is <Ahat_k, Ahat'> with Ahat' from held-out transitions, in which the stretching
      of noisy singular values and the rotation of noisy vectors nearly cancel. Their difference, clipped at 0 and made
      monotone, is the tail.
    - Price. Soft thresholding at theta multiplies coordinate i by 1 - theta / s_i. Its held-out risk is put together from
      the increments over dimensions of the two means below, at the values of the whole log: no fit of its own, and cross
      terms only where dims are consecutive (docs/price.md, 5).
    - Held-out risk. L_spec = -2 mean g^T f+ + mean over pairs of different held-out transitions of (g_i^T f_j)^2, for every
      dimension from one decomposition a fold. It estimates R_S minus a constant. Folds are random rows: transitions from
      one trajectory make its standard error too small.

    Beyond 2^20 transitions, and of counts, the random halves and folds are drawn from the counts by their hypergeometric
    laws: O(distinct transitions) instead of O(N log N) for each of them.

    Sparse throughout beyond 256 reached states (no S x S array unless more than a quarter of all dimensions is asked for):
    O(N log N) plus, for each fold, one Lanczos run for the largest dimension K and O((pairs + S) K^2).

    Examples
    --------
    >>> from spectral_jepa import make_block, sample_transitions
    >>> world = make_block(n_states=30, n_blocks=3, n_actions=2, seed=0)
    >>> analysis = analyze(sample_transitions(world, n_transitions=20_000, seed=0))
    >>> analysis.held_out_dim, analysis.n_above_noise
    (3, 3)
    """
    if len(data) < 2 * check_count("n_folds", n_folds, 2):
        raise InputError(
            f"the log has {len(data)} transitions, expected at least {2 * n_folds}, two for each of {n_folds} folds: "
            "collect more or lower n_folds"
        )
    if not 0 < failure_probability < 1:
        raise InputError(
            f"failure_probability is {failure_probability}, expected a number between 0 and 1: for example 0.05"
        )
    rng = np.random.default_rng(check_seed("seed", seed))
    if isinstance(data, Transitions) and len(data) > MANY_ROWS:
        data = count_transitions(data)
    if isinstance(data, LogCounts):
        shape = data.counts.shape
        tried = estimates.choose_dims(dims, shape)
        _require_room(data.counts.nnz, shape, int(tried[-1]))
        counts = sp.csr_array(data.counts.astype(np.float64))
        levels = [estimates.half_count_norm(data.counts, rng) for _ in range(N_SPLITS)]
        parts = estimates.draw_folds(data.counts, n_folds, rng)
    else:
        pairs, row = np.unique(data.action * data.n_states + data.state, return_inverse=True)
        reached, column = np.unique(data.next_state, return_inverse=True)
        shape = (pairs.size, reached.size)
        tried = estimates.choose_dims(dims, shape)
        _require_room(len(data), shape, int(tried[-1]))
        counts = estimates.count(row, column, shape)
        levels = [estimates.half_sample_norm(row, column, *estimates.marginals(counts), rng) for _ in range(N_SPLITS)]
        fold = rng.permutation(len(data)) % n_folds
        parts = [estimates.count(row[fold == i], column[fold == i], shape) for i in range(n_folds)]
    visits, _ = estimates.marginals(counts)
    values = estimates.decompose(counts, tried[-1], seed)[0]
    captured, pair = np.swapaxes(
        [estimates.held_out(sp.csr_array(counts - part), part, tried, seed) for part in parts], 0, 1
    )
    energy = estimates.energy(counts)
    plug_in_tail = np.maximum(squared_norm(estimates.normalize(counts)) - np.cumsum(values**2)[tried - 1], 0.0)
    tail = plug_in_tail
    if np.isfinite(energy):
        tail = np.minimum.accumulate(np.maximum(energy - captured.mean(axis=0), 0.0))
    return Analysis(
        n_transitions=len(data),
        n_states=data.n_states,
        n_actions=data.n_actions,
        n_pairs=data.n_states * data.n_actions,
        n_visited_pairs=shape[0],
        unseen_mass=float(np.count_nonzero(visits == 1) / len(data)),
        deterministic_share=estimates.deterministic_share(counts),
        visits_per_pair=float(shape[0] / np.sum(1 / visits)),
        n_components=estimates.groups(counts)[0],
        max_dim=min(shape),
        dims=read_only(tried),
        singular_values=read_only(values),
        noise_level=float(np.mean(levels)),
        noise_spread=float(np.std(levels, ddof=1)),
        bernstein=estimates.bernstein(counts, failure_probability),
        energy=energy,
        plug_in_tail=read_only(plug_in_tail),
        tail=read_only(tail),
        held_out_risk=read_only(pair - 2 * captured),
        # A fold's fit saw (n_folds - 1) / n_folds of the log, and the error of a fit goes as one over its sample.
        sample_error=read_only((pair - captured).mean(axis=0) * (n_folds - 1) / n_folds),
        failure_probability=failure_probability,
    )


def _require_room(n_rows: int, shape: tuple[int, int], dim: int) -> None:
    """Refuse beforehand what would not fit: columns of the log, sparse counts, the Lanczos basis, pieces of pairs x dim."""
    n_pairs, n_reached = shape
    by_row, basis, vectors, piece = ROW_ARRAYS * n_rows, (2 * dim + 20) * n_reached, 6 * dim * n_reached, 4 * dim * n_pairs
    require_memory(
        (by_row + basis + vectors + min(piece, 4 * estimates.PIECE),),
        "the arrays of the analysis, all of them together,",
        "analyze fewer rows (Transitions.select), or smaller dims (--dims)",
    )
