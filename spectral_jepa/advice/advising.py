"""From the latents of a trained world model to advice: spectrum, noise, risk curves, regulariser, and k and K."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._notebook import short_repr, table_html
from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_float, check_count, read_only
from spectral_jepa.advice.correlations import MOST_INTERVALS, correlations
from spectral_jepa.advice.pairs import make_pairs
from spectral_jepa.advice.regularizer import UNKNOWN, Regularizer, Threshold, fitting_subspaces, threshold
from spectral_jepa.advice.risk import Share, bernstein, captured_energy, half_sample_norms, held_out_means, unpredicted
from spectral_jepa.logs import estimates
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.subspace_whitening import effective_rank

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 80
HALF_SAMPLE = Assumption("the sampling error is the half-sample estimate of it", None)
OWN_WEIGHTS = Assumption("risk is measured in the whitened latents of the sample", None)
LINEAR = Assumption("functions are linear in the latents (of each action, or with its vector)", True)


@dataclass(frozen=True, eq=False, repr=False)
class Advice:
    """What latents say about the dimension they support. Made by :func:`advise`.

    Attributes
    ----------
    n_transitions, n_groups : int
        Rows, and the episodes (or stretches of rows) that are taken to be independent of each other.
    known_episodes : bool
        Whether groups are episodes.
    dim : int
        D, of the next latents as given.
    n_functions : int
        Of latent and action, p.
    n_actions : int
        Labels; 0 for action vectors or none.
    estimate, low, high, in_sample, held_out : arrays (m,)
        Of the leading canonical correlations: estimate, limits, and what these start from
        (:class:`spectral_jepa.advice.correlations.Correlations`).
    effective_rank : float
        exp(entropy) of the covariance of the next latents.
    mean_variance : float
        Of a coordinate of the next latents: 1 is what SIGReg and whitening ask for.
    energy : float
        Sum of all squared canonical correlations, without upward bias.
    tail : array (m + 1,)
        What k = 0, ..., m directions leave of it.
    held_out_risk : array (folds, m + 1)
        L_spec on the rows left out; lower is better, -1 is the constant alone.
    sample_error : array (m + 1,)
        Estimate of what sampling adds to the tail.
    noise_level, noise_spread : float
        Half-sample estimate of ||E||_2 and its standard deviation over splits.
    bernstein : Bound
        On the same ||E||_2.
    unpredicted : Share
        Share of the next latent's variance that least squares does not predict on held-out rows.
    unpredicted_by_model : Share or None
        Share that the user's own predictions leave.
    unpredicted_by_standing_still : Share or None
        Share that z+ = z leaves, where both have one dimension.
    regularizer : Regularizer or None
    confidence : float
        Of each interval by itself.
    """

    n_transitions: int
    n_groups: int
    known_episodes: bool
    dim: int
    n_functions: int
    n_actions: int
    estimate: Array = field(repr=False)
    low: Array = field(repr=False)
    high: Array = field(repr=False)
    in_sample: Array = field(repr=False)
    held_out: Array = field(repr=False)
    effective_rank: float
    mean_variance: float
    energy: float
    tail: Array = field(repr=False)
    held_out_risk: Array = field(repr=False)
    sample_error: Array = field(repr=False)
    noise_level: float
    noise_spread: float
    bernstein: Bound = field(repr=False)
    unpredicted: Share
    unpredicted_by_model: Share | None
    unpredicted_by_standing_still: Share | None
    regularizer: Regularizer | None
    confidence: float

    def __repr__(self) -> str:
        return short_repr(self)

    def _repr_html_(self) -> str:
        facts = {
            "transitions": self.n_transitions,
            "episodes" if self.known_episodes else "stretches of rows": self.n_groups,
            "latent dimension": self.dim,
            "recommended k": self.recommended_dim,
            "recommended K": "none" if self.recommended_subspaces is None else self.recommended_subspaces,
            "directions clear of 0": self.n_clear,
            "unpredicted share": str(self.unpredicted),
            "effective rank": self.effective_rank,
        }
        return table_html("Advice on a latent space", facts)

    @property
    def dims(self) -> NDArray[np.int64]:
        """Numbers of directions tried, 0 to m, the constant not counted."""
        return np.arange(self.estimate.size + 1)

    @property
    def held_out_mean(self) -> Array:
        """Held-out risk averaged over folds, shape (m + 1,)."""
        return self.held_out_risk.mean(axis=0)

    @property
    def held_out_error(self) -> Array:
        """Standard error over folds of the excess over the best k, shape (m + 1,)."""
        excess = self.held_out_risk - self.held_out_risk[:, [self.held_out_mean.argmin()]]
        return excess.std(axis=0, ddof=1) / np.sqrt(len(excess))

    @property
    def recommended_dim(self) -> int:
        """As many directions as are clear of 0, between the smallest k within one standard error and that of least risk.

        0 says that nothing is worth predicting but the mean.
        """
        return int(np.clip(self.n_clear, self.one_standard_error_dim, self.held_out_dim))

    @property
    def held_out_dim(self) -> int:
        """The k of least held-out risk."""
        return int(self.held_out_mean.argmin())

    @property
    def one_standard_error_dim(self) -> int:
        """The smallest k whose excess over the least held-out risk is within one standard error."""
        return int(np.flatnonzero(self.held_out_mean - self.held_out_error <= self.held_out_mean.min())[0])

    @property
    def n_clear(self) -> int:
        """Leading directions whose lower limit is above 0."""
        return int(np.argmin(np.append(self.low > 0, False)))

    @property
    def recommended_subspaces(self) -> int | None:
        """K of Sub-JEPA: the largest that divides D and leaves rank D/K >= the recommended k; None for k = 0."""
        return fitting_subspaces(self.dim, self.recommended_dim)[0] if self.recommended_dim else None

    @property
    def price(self) -> float:
        """What every canonical correlation would lose at the least held-out risk, instead of choosing k (docs/price.md)."""
        aligned = self.sample_error * len(self.held_out_risk) / (len(self.held_out_risk) - 1) - self.held_out_mean
        values, dims = np.append(1.0, self.in_sample), self.dims + 1
        risk = estimates.priced_risk(values, dims, aligned, 2 * aligned + self.held_out_mean, estimates.PRICES)
        return float(estimates.PRICES[risk.argmin()])

    def oracle_terms(self) -> tuple[Array, Array]:
        """sqrt(tail_k) and 2 sqrt(2k) ||E||_2, half-sample, the two terms of the oracle inequality, each (m + 1,)."""
        return np.sqrt(self.tail), 2 * np.sqrt(2 * self.dims) * self.noise_level

    @property
    def oracle_dim(self) -> int:
        """The k of least oracle bound: a worst case."""
        missed, sampled = self.oracle_terms()
        return int((missed + sampled).argmin())

    def oracle_bound(self, dim: int) -> Bound:
        """The oracle inequality at one k, with what it assumes.

        Parameters
        ----------
        dim : int
            k, from 0 to m.

        Returns
        -------
        Bound
            On the root of the risk; its ceiling is the root of all energy, the risk of the constant alone.

        Raises
        ------
        InputError
            A k that was not tried.
        """
        check_count("dim", dim, 0, int(self.dims[-1]))
        missed, sampled = self.oracle_terms()
        return Bound(
            float(missed[dim] + sampled[dim]),
            f"root of the spectral risk of the best fit of {dim} directions",
            float(np.sqrt(self.energy)),
            (LINEAR, OWN_WEIGHTS, HALF_SAMPLE),
            "the oracle inequality (docs/theory.md, 4.5)",
        )

    @property
    def threshold(self) -> Threshold | None:
        """The regulariser against its collapse threshold; None where either is not known."""
        if self.regularizer is None:
            return None
        return threshold(self.regularizer, float(self.estimate[0]), float(self.low[0]), float(self.high[0]))

    def to_frame(self) -> pd.DataFrame:
        """One row a number of directions.

        Returns
        -------
        DataFrame
            dim (0, ..., m), correlation, low, high, in_sample, held_out (of direction ``dim``, NaN for 0), held_out_risk,
            held_out_error, tail, sample_error, oracle_bound, recommended (at ``recommended_dim``).
        """
        import pandas as pd

        columns = {
            name: np.append(np.nan, values)
            for name, values in (
                ("correlation", self.estimate),
                ("low", self.low),
                ("high", self.high),
                ("in_sample", self.in_sample),
                ("held_out", self.held_out),
            )
        }
        missed, sampled = self.oracle_terms()
        return pd.DataFrame(
            {
                "dim": self.dims,
                **columns,
                "held_out_risk": self.held_out_mean,
                "held_out_error": self.held_out_error,
                "tail": self.tail,
                "sample_error": self.sample_error,
                "oracle_bound": missed + sampled,
                "recommended": self.dims == self.recommended_dim,
            }
        )

    def short_frame(self) -> pd.DataFrame:
        """The rows about the recommended k, with five columns: what a terminal shows.

        Returns
        -------
        DataFrame
            k, correlation of direction k, low, high, held-out risk; up to three rows beyond the recommended k, 13 at most.
        """
        table = self.to_frame()
        last = min(max(self.recommended_dim, self.n_clear) + 3, int(self.dims[-1]))
        rows = np.union1d(np.linspace(0, last, min(last + 1, 12)).round().astype(int), [self.recommended_dim])
        names = {"dim": "k", "held_out_risk": "held-out risk"}
        shown = table.iloc[rows][["dim", "correlation", "low", "high", "held_out_risk"]].rename(columns=names)
        return shown.assign(**{"": np.where(table["recommended"].to_numpy()[rows], "<- recommended", "")})

    def to_dict(self) -> dict[str, Any]:
        """Everything that was found, as plain numbers and words: what ``--json`` writes.

        Returns
        -------
        dict
        """

        def share(part: Share | None) -> dict[str, float] | None:
            return None if part is None else {"value": part.value, "low": part.low, "high": part.high}

        level, at = self.threshold, self.recommended_dim
        bound = self.oracle_bound(at)
        return {
            "n_transitions": self.n_transitions,
            "n_groups": self.n_groups,
            "known_episodes": self.known_episodes,
            "dim": self.dim,
            "n_functions": self.n_functions,
            "n_actions": self.n_actions,
            "confidence": self.confidence,
            "recommended_dim": at,
            "recommended_subspaces": self.recommended_subspaces,
            "held_out_dim": self.held_out_dim,
            "one_standard_error_dim": self.one_standard_error_dim,
            "oracle_dim": self.oracle_dim,
            "n_clear": self.n_clear,
            "price": self.price,
            "correlation": self.estimate.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "effective_rank": self.effective_rank,
            "mean_variance": self.mean_variance,
            "energy": self.energy,
            "noise_level": self.noise_level,
            "unpredicted": share(self.unpredicted),
            "unpredicted_by_model": share(self.unpredicted_by_model),
            "unpredicted_by_standing_still": share(self.unpredicted_by_standing_still),
            "bounds": [
                {"value": one.value, "quantity": one.quantity, "vacuous": one.vacuous, "source": one.source}
                | {"assumptions": [part.text for part in one.assumptions]}
                for one in (bound, self.bernstein)
            ],
            "threshold": None
            if level is None
            else {"ratio": level.ratio, "low": level.low, "high": level.high, "word": level.word}
            | {"assumptions": [part.text for part in level.assumptions]},
            "findings": self.findings(),
        }

    def verdict(self) -> str:
        """The findings as paragraphs of at most 80 columns.

        Returns
        -------
        str
        """
        return "\n".join(textwrap.fill(text, WIDTH, subsequent_indent="  ") for text in self.findings())

    def findings(self) -> list[str]:
        """What was found, a paragraph each: recommendations first, then what they rest on, then warnings.

        Returns
        -------
        list of str
        """
        return [self._dim_words(), self._subspace_words(), *self._evidence(), self._regularizer_words(), *self._warnings()]

    def _dim_words(self) -> str:
        at, least, small, most = self.recommended_dim, self.held_out_dim, self.one_standard_error_dim, int(self.dims[-1])
        if not at:
            return (
                "k = 0: no direction of the latent predicts the next one on held-out rows, so there is no dimension to "
                "recommend; see the unpredicted share."
            )
        more = ", the most that were tried: a larger latent may hold more" if least == most else ""
        near = "" if small == least else f", and from k = {small} on within one standard error of that"
        return (
            f"k = {at} of now {self.dim}: the held-out risk is least at k = {least}{more}{near}; directions clear of 0: "
            f"{self.n_clear}."
        )

    def _subspace_words(self) -> str:
        if not self.recommended_dim:
            return "K: none to recommend without a k."
        n, rank, most = fitting_subspaces(self.dim, self.recommended_dim)
        text = (
            f"K = {n}: the largest that divides {self.dim} and leaves rank {self.dim}/{n} = {rank} >= "
            f"{self.recommended_dim} if subspaces partition the space (rank {rank} to {most} if drawn independently)"
        )
        if n == 1:
            text = f"K = 1: K = 2 or more would leave a partition of {self.dim} coordinates fewer than k directions"
        small = self.one_standard_error_dim
        other = fitting_subspaces(self.dim, small)[0] if small else n
        return text + (f"; K = {other} for k = {small}." if other != n else ".")

    def _evidence(self) -> list[str]:
        rows = f"{self.n_transitions:,} transitions, {self.n_groups:,} {'episodes' if self.known_episodes else 'stretches'}"
        share = f"{self.unpredicted.value:.1%} ({self.unpredicted.low:.1%} to {self.unpredicted.high:.1%})"
        others = [
            f"{100 * part.value:.1f} % {words}"
            for part, words in (
                (self.unpredicted_by_model, "by the model's own predictor"),
                (self.unpredicted_by_standing_still, "by z+ = z"),
            )
            if part is not None
        ]
        missed, sampled = self.oracle_terms()
        at = self.oracle_dim
        worst = self.oracle_bound(at)
        vacuous = ", vacuous" if worst.vacuous else ""
        return [
            f"Noise: least squares leaves {share} of the next latent unpredicted on held-out rows"
            + (f"; left {' and '.join(others)}" if others else "")
            + f" ({rows}).",
            f"Dimension: covariance of effective rank {self.effective_rank:.1f} of {self.dim}; squared correlations add up "
            f"to {self.energy:.2f}, of which k = {self.recommended_dim} leaves {self.tail[self.recommended_dim]:.2f}; "
            f"instead of k, a price of {self.price:.2g} off every correlation.",
            f"Worst case: the oracle inequality is least at k = {at} ({missed[at]:.2g} + {sampled[at]:.2g}{vacuous}), with "
            f"||E|| = {self.noise_level:.2g} (half-samples) for Bernstein's {self.bernstein.value:.2g}"
            f"{' (vacuous)' if self.bernstein.vacuous else ''}. Assumes: "
            + "; ".join(part.text for part in worst.assumptions)
            + ".",
        ]

    def _regularizer_words(self) -> str:
        if self.regularizer is None:
            return UNKNOWN
        kind, level = self.regularizer.kind, self.threshold
        if level is None:
            return f"Regulariser: {kind}, for which no collapse threshold is known."
        if kind == "none":
            return "Regulariser: none, so the prediction error alone is least at total collapse."
        text = (
            f"Regulariser: {kind} at strength {self.regularizer.strength:g} is {level.word} its collapse threshold: "
            f"{_times(level.ratio)} times it ({_times(level.low)} to {_times(level.high)})"
        )
        if level.grows_all:
            text += "; it holds up every direction, also one of noise, so it does not choose k for you"
        return text + ". Assumes: " + "; ".join(part.text for part in level.assumptions) + "."

    def _warnings(self) -> list[str]:
        found = []
        if self.unpredicted_by_model is not None and self.unpredicted_by_model.high < self.unpredicted.low:
            found.append(
                "Warning: the model's own predictor leaves less than least squares, so transitions are not linear in these "
                "latents and the world has larger singular values than are found here"
            )
        if not self.known_episodes:
            found.append(
                f"Warning: no episodes were given, so {self.n_groups} stretches of rows count as independent: pass episode "
                "numbers if rows of one episode lie in several"
            )
        if self.n_groups < 20:
            found.append(f"Warning: only {self.n_groups} independent groups, so standard errors are themselves uncertain")
        kind = None if self.regularizer is None else self.regularizer.kind
        if kind in ("sigreg", "subspace_sigreg", "whitening") and self.mean_variance < 0.1:
            found.append(
                f"Warning: the mean variance of a coordinate is {self.mean_variance:.2g} where the regulariser asks for 1: "
                "the latents have largely collapsed"
            )
        return [f"{text}." for text in found]


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


@checked()
def advise(
    latents: ArrayLike,
    next_latents: ArrayLike,
    actions: ArrayLike | None = None,
    episodes: ArrayLike | None = None,
    *,
    predicted: ArrayLike | None = None,
    products: bool = False,
    regularizer: Regularizer | None = None,
    n_folds: int = 5,
    confidence: float = 0.95,
    seed: int = 0,
) -> Advice:
    """Spectrum, noise and recommended dimensions of a trained world model, from its latents.

    Parameters
    ----------
    latents : array (N, P)
        What the model knows at a step: z_t, or several frames side by side.
    next_latents : array (N, D)
        z_{t+1}, of the row's own transition.
    actions : int array (N,) of labels, or array (N, A) of vectors, optional
        Labels: a linear map of z for each. Vectors: linear in (z, a), with ``products`` in z a^T too.
    episodes : array (N,) of whole numbers, optional
        Rows of one episode stay together when data are held out, and count as one for standard errors. Default: 50
        stretches of consecutive rows.
    predicted : array (N, D), optional
        The model's own predictions of the next latents, to be judged beside least squares.
    products : bool
        Products of latent and action vector as well.
    regularizer : Regularizer, optional
        What the model was trained with, to compare with its collapse threshold.
    n_folds : int
        Parts of the data, each held out once.
    confidence : float in (0, 1)
        Of each interval by itself.
    seed : int
        Of folds and halves.

    Returns
    -------
    Advice

    Raises
    ------
    InputError
        Arrays that do not fit together, latents that do not vary, too few rows or episodes, numbers out of range.

    Notes
    -----
    What is estimated are the singular values of the transition operator *on functions linear in these latents*: no larger
    than the world's own, and equal to them where the latents span its singular functions (docs/advice.md). The first 64.
    Intervals are sample-split: see :mod:`spectral_jepa.advice.correlations`, and docs/advice.md for their coverage. O(F (N
    p^2 + p^3 + m^4)), seconds for 20,000 rows of 64 coordinates.

    Examples
    --------
    A world of three predictable directions among eight.

    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((3000, 8))
    >>> kept = np.array([0.9, 0.8, 0.6, 0, 0, 0, 0, 0])
    >>> advice = advise(z, kept * z + np.sqrt(1 - kept**2) * rng.standard_normal((3000, 8)))
    >>> advice.recommended_dim, advice.recommended_subspaces, advice.estimate[:4].round(2).tolist()
    (3, 2, [0.9, 0.81, 0.58, 0.0])
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence:g}, expected a number between 0 and 1: for example 0.95")
    pairs = make_pairs(latents, next_latents, actions, episodes, products=products, n_folds=n_folds, seed=seed)
    shape = pairs.next_latents.shape
    own = None if predicted is None else as_float("predicted", predicted, shape)
    m = min(pairs.n_directions, MOST_INTERVALS)
    found = correlations(pairs, m, confidence)
    m = found.estimate.size
    means, (captured, total) = held_out_means(pairs, m), captured_energy(pairs, m)
    norms = half_sample_norms(pairs, seed)
    now = np.asarray(latents, dtype=np.float64)
    covariance = np.atleast_2d(np.cov(pairs.next_latents.T, bias=True))
    return Advice(
        n_transitions=len(pairs),
        n_groups=pairs.n_groups,
        known_episodes=pairs.known_episodes,
        dim=pairs.dim,
        n_functions=pairs.current.shape[1],
        n_actions=pairs.n_actions,
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        in_sample=found.in_sample,
        held_out=found.held_out,
        effective_rank=effective_rank(covariance),
        mean_variance=float(np.trace(covariance) / pairs.dim),
        energy=total,
        tail=read_only(np.minimum.accumulate(np.maximum(total - captured, 0.0))),
        held_out_risk=read_only(means.independent - 2 * means.aligned),
        # A fold's fit saw (F - 1) / F of the rows, and the error of a fit goes as one over their number.
        sample_error=read_only((means.independent - means.aligned).mean(axis=0) * (n_folds - 1) / n_folds),
        noise_level=float(norms.mean()),
        noise_spread=float(norms.std(ddof=1)),
        bernstein=bernstein(pairs, 1 - confidence),
        unpredicted=unpredicted(pairs, confidence),
        unpredicted_by_model=None if own is None else unpredicted(pairs, confidence, own),
        unpredicted_by_standing_still=unpredicted(pairs, confidence, now) if now.shape == shape else None,
        regularizer=regularizer,
        confidence=confidence,
    )
