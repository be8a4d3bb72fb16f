"""An encoder of a finite world against the singular functions behind the world: what it spans, what it costs, what it plans.

Everything here is exact: a table of latents of all states and the true co-occurrence, no sample. Functions live in L2(q), q
the law of the next states of all actions; "leading" are the right singular functions of the stacked matrix after the first,
which is the constant (docs/theory.md, 2.2 and 2.7), and encoders are read with an intercept: SIGReg, VICReg and the centred
whitening of the pixel models leave the constant out, and whoever reads them knows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._notebook import short_repr
from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_float, check_count, check_fraction
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.linalg import inverse_or_zero, squared_norm
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.planning import plan_goals, reward_regret
from spectral_jepa.theory.risks import pooled_risk
from spectral_jepa.theory.subspace_whitening import effective_rank
from spectral_jepa.theory.whitening import mse_loss

# Singular values closer than this are one group: no data tell their functions apart.
GAP = 0.01
# Directions whose variance is below this share of the largest are rounding, not span.
SPAN_FLOOR = 1e-6
# Of single precision, in which latents come, beside the mean that is subtracted from them.
ROUNDING = 1e-7
# As in spectral_jepa.pixels.planning.pooled_score: what a score divides by.
SCORE_FLOOR = 1e-3
PENALTIES = 10.0 ** np.arange(-8, 1)


@dataclass(frozen=True, eq=False, repr=False)
class SpectrumMatch:
    """How much of each leading singular function lies in the span of an encoder.

    Attributes
    ----------
    values : array (n,)
        Singular values 2, 3, ..., n + 1.
    groups : tuple of pairs
        (first, stop) of each run of values that are closer than the gap, as indices into ``values``; whole groups only.
    shares : array (n,)
        R^2 of the best linear read-out of function i, with intercept, averaged over its group, where single functions are
        not determined.
    correlations : array (n,)
        Cosines of the principal angles between the span and all n functions, descending; 0 for those it has no room for.
    """

    values: Array
    groups: tuple[tuple[int, int], ...]
    shares: Array
    correlations: Array

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def mean_correlation(self) -> float:
        """Mean canonical correlation; a random span of k functions on S states has about sqrt(k / (S - 1))."""
        return float(self.correlations.mean())

    @property
    def group_shares(self) -> Array:
        """One share a group."""
        return np.array([self.shares[first] for first, _ in self.groups])

    @property
    def group_values(self) -> Array:
        """Mean singular value of each group."""
        return np.array([self.values[first:stop].mean() for first, stop in self.groups])


@checked()
def leading_groups(values: ArrayLike, dim: int, *, gap: float = GAP) -> tuple[tuple[int, int], ...]:
    """Runs of nearly equal singular values among the first ``dim``, without one that ``dim`` would cut.

    Parameters
    ----------
    values : array (m,)
        Descending.
    dim : int
        At most so many in all.
    gap : float in [0, 1]
        Neighbours that differ by at most this belong together.

    Returns
    -------
    tuple of pairs
        (first, stop) of each run; they end at ``dim`` or before it.

    Raises
    ------
    InputError
        A first run that is longer than ``dim``.

    Notes
    -----
    O(m).

    Examples
    --------
    >>> leading_groups([0.9, 0.7, 0.7, 0.3, 0.3], 4)
    ((0, 1), (1, 3))
    """
    numbers = as_float("values", values, (None,))
    dim, gap = check_count("dim", dim), check_fraction("gap", gap)
    stops = [*(np.flatnonzero(numbers[:-1] - numbers[1:] > gap) + 1).tolist(), len(numbers)]
    kept = [stop for stop in stops if stop <= dim]
    if not kept:
        raise InputError(
            f"dim is {dim}, but the first {stops[0]} singular values are closer than {gap:g}, expected at least {stops[0]}: "
            "take a larger dim or a smaller gap"
        )
    return tuple(zip([0, *kept[:-1]], kept, strict=True))


@checked()
def match_spectrum(exact: CoOccurrence, encoded: ArrayLike, dim: int, *, gap: float = GAP) -> SpectrumMatch:
    """Compare the span of an encoder with the leading singular functions.

    Parameters
    ----------
    exact : CoOccurrence
    encoded : array (S, k)
        Latents of all states; only what they and the constant span matters, not their gauge.
    dim : int
        Compare with at most so many functions: as many as end at a gap.
    gap : float in [0, 1]
        As in :func:`leading_groups`.

    Returns
    -------
    SpectrumMatch

    Raises
    ------
    InputError
        An encoder of another shape, a ``dim`` that cuts the first group or exceeds the number of states less one.

    Notes
    -----
    O(A S^3 + S k^2).

    Examples
    --------
    The exact embedding in any gauge has every function; the place of a state on the ring, two of four.

    >>> from spectral_jepa import make_ring, spectral_embedding
    >>> exact = CoOccurrence.exact(make_ring(12, 0.5))
    >>> white = spectral_embedding(exact, 5, shared=True).target
    >>> match_spectrum(exact, white @ np.triu(np.ones((5, 5))), 4).shares.round(9)
    array([1., 1., 1., 1.])
    >>> match_spectrum(exact, white[:, 1:3], 4).correlations.round(9)
    array([1., 1., 0., 0.])
    """
    encoded = as_float("encoded", encoded, (exact.n_states, None))
    check_count("dim", dim, 1, exact.n_states - 1, "the constant is left out")
    _, values, right = exact.stacked_decomposition
    groups = leading_groups(values[1:], dim, gap=gap)
    n = groups[-1][1]
    functions = right[:, 1 : 1 + n]
    inside = span(exact, encoded).T @ functions
    shares = np.empty(n)
    for first, stop in groups:
        shares[first:stop] = squared_norm(inside[:, first:stop]) / (stop - first)
    found = np.linalg.svd(inside, compute_uv=False) if inside.size else np.zeros(0)
    correlations = np.zeros(n)
    correlations[: len(found)] = np.minimum(found, 1.0)
    return SpectrumMatch(values[1 : 1 + n], groups, np.minimum(shares, 1.0), correlations)


@checked()
def span(exact: CoOccurrence, encoded: ArrayLike) -> Array:
    """Orthonormal basis of what an encoder spans beside the constant, times the roots of q.

    Parameters
    ----------
    exact : CoOccurrence
    encoded : array (S, k)

    Returns
    -------
    array (S, r)
        r <= k: directions below 1e-6 of the largest variance, or of the size of rounding, are left out.
        Orthogonal to the root of q.

    Raises
    ------
    InputError
        An encoder of another shape.

    Notes
    -----
    O(S k^2).

    Examples
    --------
    >>> from spectral_jepa import make_ring
    >>> exact = CoOccurrence.exact(make_ring(4))
    >>> span(exact, [[1.0, 7.0], [1.0, 7.0], [3.0, 7.0], [3.0, 7.0]]).round(9)
    array([[-0.5],
           [-0.5],
           [ 0.5],
           [ 0.5]])
    """
    encoded = as_float("encoded", encoded, (exact.n_states, None))
    law = exact.pooled_column_weight
    basis, sizes, right = np.linalg.svd(np.sqrt(law)[:, None] * (encoded - law @ encoded), full_matrices=False)
    rounding = ROUNDING * np.sqrt(squared_norm(np.sqrt(law)[:, None] * encoded))
    kept = (sizes**2 > SPAN_FLOOR * sizes.max(initial=0) ** 2) & (sizes > rounding)
    signs = np.where(right.sum(axis=1) < 0, -1.0, 1.0)
    return (basis * signs)[:, kept]


@checked()
def kernel_shares(exact: CoOccurrence, encoded: ArrayLike, dim: int, *, gap: float = GAP) -> Array:
    """Share of each leading function that a small nonlinear read-out finds in states it was not fitted on.

    Kernel ridge regression on the latents, with a Gaussian kernel as wide as the median distance between them, on all
    states but one, for each state in turn; the best of nine penalties for each function.

    Parameters
    ----------
    exact : CoOccurrence
    encoded : array (S, k)
    dim : int
        As in :func:`match_spectrum`.
    gap : float in [0, 1]

    Returns
    -------
    array (n,)
        1 less the squared error on the states left out over the variance; 0 where it is negative, averaged over groups.

    Raises
    ------
    InputError
        As :func:`match_spectrum`.

    Notes
    -----
    O(S^3): errors with a state left out come in closed form from the fit on all states. Random latents score near 0,
    however many coordinates they have, unlike a linear read-out that is judged on the states it was fitted on.

    Examples
    --------
    The angle on a ring, as two coordinates, tells the slow functions and, without linearity, the faster ones.

    >>> from spectral_jepa import make_ring
    >>> exact, angle = CoOccurrence.exact(make_ring(24, 0.5)), 2 * np.pi * np.arange(24) / 24
    >>> shares = kernel_shares(exact, np.stack([np.cos(angle), np.sin(angle)], axis=1), 4)
    >>> bool(shares.min() > 0.99)
    True
    """
    encoded = as_float("encoded", encoded, (exact.n_states, None))
    check_count("dim", dim, 1, exact.n_states - 1, "the constant is left out")
    law = exact.pooled_column_weight
    _, values, right = exact.stacked_decomposition
    groups = leading_groups(values[1:], dim, gap=gap)
    functions = inverse_or_zero(np.sqrt(law))[:, None] * right[:, 1 : 1 + groups[-1][1]]
    distances = np.sum((encoded[:, None] - encoded[None]) ** 2, axis=2)
    apart = distances[~np.eye(len(distances), dtype=bool)]
    width = np.median(apart) if apart.size else 0.0
    if not width > 0:
        return np.zeros(functions.shape[1])
    kernel = np.exp(-distances / (2 * width))
    basis = np.linalg.eigh(kernel)
    errors = []
    for penalty in PENALTIES:
        inverse = (basis.eigenvectors / (np.maximum(basis.eigenvalues, 0) + penalty * len(kernel))) @ basis.eigenvectors.T
        # Ridge regression with an intercept that is free: one more equation, sum of the coefficients = 0.
        ones = inverse.sum(axis=1)
        solve = inverse - np.outer(ones, ones) / ones.sum()
        missed = (solve @ functions) / np.diag(solve)[:, None]
        errors.append(law @ missed**2)
    shares = np.maximum(1 - np.min(errors, axis=0) / (law @ functions**2), 0.0)
    for first, stop in groups:
        shares[first:stop] = shares[first:stop].mean()
    return shares


@checked()
def corrected_embedding(exact: CoOccurrence, embedding: Embedding, *, floor: float = SCORE_FLOOR) -> Embedding:
    """The same latents as a model of probabilities: centred, whitened under q, the constant put beside them.

    Parameters
    ----------
    exact : CoOccurrence
        Its q, and nothing else, is read: a log's next frames know it too.
    embedding : Embedding
        With a shared encoder.
    floor : float in [0, 1]
        Directions whose variance is below this share of the largest are left out.

    Returns
    -------
    Embedding
        With r + 1 coordinates, the first 1. Its ``transition()`` is q(y) (1 + (g - m)^T C^+ (f(y) - m)), m and C the mean
        and the covariance of f: P(y | x, a) where g is the conditional mean of f and f spans all functions.

    Raises
    ------
    InputError
        One encoder an action, other states than the co-occurrence's.

    Notes
    -----
    O(A S k^2). Source: docs/negatives.md, section 5; the score of
    :class:`spectral_jepa.pixels.planning.pooled_score.PooledScore` is its inner product less 1.

    Examples
    --------
    >>> from spectral_jepa import make_ring, spectral_embedding
    >>> world = make_ring(6, 0.3)
    >>> exact = CoOccurrence.exact(world)
    >>> best = spectral_embedding(exact, 6, shared=True)
    >>> bent = Embedding(3 * best.target[:, 1:] - 1, 3 * best.predicted[:, :, 1:] - 1, best.column_weight)
    >>> bool(np.allclose(corrected_embedding(exact, bent).transition(), world.transition))
    True
    """
    if not embedding.shared:
        raise InputError("the embedding has one encoder an action, expected one that all actions share: train one encoder")
    law = exact.pooled_column_weight
    target = as_float("embedding.target", embedding.target, (exact.n_states, None))
    mean = law @ target
    sizes, basis = np.linalg.eigh((target - mean).T @ (law[:, None] * (target - mean)))
    kept = (sizes >= check_fraction("floor", floor) * sizes.max(initial=0)) & (sizes > 0)
    whiten = basis[:, kept] / np.sqrt(sizes[kept])

    def white(values: Array) -> Array:
        return np.concatenate([np.ones((*values.shape[:-1], 1)), (values - mean) @ whiten], axis=-1)

    return Embedding(white(target), white(embedding.predicted), law)


@checked()
def in_sequences(world: TabularMDP, n_steps: int) -> TabularMDP:
    """The world whose actions are all sequences of ``n_steps`` actions, in the order of :meth:`GoalPlan.actions`.

    Parameters
    ----------
    world : TabularMDP
        A actions.
    n_steps : int
        T.

    Returns
    -------
    TabularMDP
        A^T actions, dense; sequence (a_1, ..., a_T) has the number sum_t a_t A^(T - t), its label is the tuple of numbers,
        its frequency the product. Without reward.

    Raises
    ------
    InputError
        ``n_steps`` below 1.

    Notes
    -----
    O(A^T S^3).

    Examples
    --------
    >>> from spectral_jepa import make_ring
    >>> twice = in_sequences(make_ring(5, 0.0, 2), 2)
    >>> twice.action_labels[1], int(twice.transition[1, 0].argmax())  # a step back, a step on
    ((0, 1), 0)
    """
    steps = world.dense()
    transition, frequency = steps, world.action_frequency
    labels: list[tuple[int, ...]] = [(a,) for a in range(world.n_actions)]
    for _ in range(check_count("n_steps", n_steps) - 1):
        transition = (transition[:, None] @ steps[None]).reshape(-1, *steps.shape[1:])
        frequency = np.outer(frequency, world.action_frequency).ravel()
        labels = [(*before, a) for before in labels for a in range(world.n_actions)]
    return TabularMDP(
        transition,
        weight=world.weight,
        start=world.start,
        action_frequency=frequency,
        name=f"{world.name}, sequences of {n_steps}",
        state_labels=world.state_labels,
        action_labels=tuple(labels),
    )


@checked()
def place_regret(world: TabularMDP, embedding: Embedding, *, score: str = "euclidean", n_values: int = 1) -> float:
    """Mean regret of one choice from every state to every state's picture, in probability to be in the goal's *place*.

    Parameters
    ----------
    world : TabularMDP
        Its actions are what is chosen among: see :func:`in_sequences` for plans of several steps.
    embedding : Embedding
        Latents of all states, predicted latents of all actions.
    score : {"euclidean", "dot", "transition"}
        As in :func:`spectral_jepa.plan_goals`; the pixel planner's cost is "euclidean".
    n_values : int
        Values m of a background: states s m, ..., s m + m - 1 are one place. 1: none, and the regret is that of
        :func:`spectral_jepa.goal_regret`.

    Returns
    -------
    float in [0, 1]
        Starts by ``world.weight``, goals uniform.

    Raises
    ------
    InputError
        As :func:`spectral_jepa.plan_goals`, and a number of states that m does not divide.

    Notes
    -----
    O(A S^2 (k + m)).

    Examples
    --------
    >>> from spectral_jepa import goal_regret, make_four_rooms, spectral_embedding
    >>> world = make_four_rooms(5)
    >>> fit = spectral_embedding(CoOccurrence.exact(world), 3, shared=True)
    >>> abs(place_regret(world, fit) - goal_regret(world, fit, score="euclidean")) < 1e-12
    True
    """
    if world.n_states % check_count("n_values", n_values):
        raise InputError(f"n_values is {n_values} for {world.n_states} states, expected a divisor: pass the background's")
    plan = plan_goals(world, embedding, score=score, starts=world.weight)
    places = world.dense().reshape(world.n_actions, world.n_states, -1, n_values).sum(axis=3)
    reach = places[:, plan.starts][:, :, plan.goals // n_values]
    planned = np.take_along_axis(reach, plan.planned_sequence[None], axis=0)[0]
    return float(plan.average(reach.max(axis=0) - planned))


@checked()
def spectrum_row(
    world: TabularMDP, embedding: Embedding, dim: int, *, gap: float = GAP, n_values: int = 1
) -> dict[str, float]:
    """Every measure of an encoder and its prediction as one row of numbers.

    Parameters
    ----------
    world : TabularMDP
        The law of the data: states, actions, ``weight``.
    embedding : Embedding
        f and g with a shared encoder, as they are.
    dim : int
        Compare with at most so many leading functions.
    gap : float in [0, 1]
    n_values : int
        Of a background, see :func:`place_regret`.

    Returns
    -------
    dict of float
        - ``correlation``, ``share``, ``kernel_share``: means over the ``n_functions`` leading ones;
        - ``risk``, ``corrected_risk``, ``readout_risk``, ``tail``: R_S of (f, g) as they are, of
          :func:`corrected_embedding`, of the best prediction by a linear read-out of f and the constant, and the least at
          ``embedding.dim + 1`` coordinates;
        - ``unpredicted``: E|g - f+|^2 over the variance of f;
        - ``whitening_gap``: (|Cov f - I|_F^2 + |E f|^2) / k, as training logs it; ``effective_rank`` of Cov f;
        - ``regret``, ``corrected_regret``, ``blind_regret``: of :func:`place_regret` with the Euclidean score, with the
          score of the corrected embedding, and of the first action wherever one starts (a floor for comparison);
        - ``reward_regret``: of the corrected embedding, as a share of the best return over 40 steps; NaN without a reward.

    Raises
    ------
    InputError
        As the functions named.

    Notes
    -----
    O(A S^3).

    Examples
    --------
    >>> from spectral_jepa import make_torus, spectral_embedding
    >>> world = make_torus(5, 0.5)
    >>> exact = CoOccurrence.exact(world)
    >>> row = spectrum_row(world, spectral_embedding(exact, 9, shared=True), 8)
    >>> round(row["correlation"], 6), round(row["risk"] - row["readout_risk"], 6), row["n_functions"]
    (1.0, 0.0, 8.0)
    """
    exact = CoOccurrence.exact(world)
    match = match_spectrum(exact, embedding.target, dim, gap=gap)
    law, k = exact.pooled_column_weight, embedding.dim
    mean = law @ embedding.target
    centred = embedding.target - mean
    covariance = centred.T @ (law[:, None] * centred)
    corrected = corrected_embedding(exact, embedding)
    stacked: Any = exact.stacked
    inside = span(exact, embedding.target)
    total = squared_norm(stacked)
    variance = float(np.trace(covariance))
    blind = Embedding(np.zeros((world.n_states, 1)), np.zeros((world.n_actions, world.n_states, 1)), law)
    left = exact.stacked_decomposition[1][k + 1 :]
    return {
        "n_functions": float(len(match.values)),
        "correlation": match.mean_correlation,
        "share": float(match.shares.mean()),
        "kernel_share": float(kernel_shares(exact, embedding.target, dim, gap=gap).mean()),
        "risk": pooled_risk(exact, embedding),
        "corrected_risk": pooled_risk(exact, corrected),
        "readout_risk": total - squared_norm(stacked @ np.sqrt(law)) - squared_norm(stacked @ inside),
        "tail": float(np.sum(left**2)),
        "unpredicted": float(exact.action_frequency @ mse_loss(exact, embedding)) / variance if variance > 0 else np.nan,
        "whitening_gap": float((squared_norm(covariance - np.eye(k)) + mean @ mean) / k),
        "effective_rank": effective_rank(covariance),
        "regret": place_regret(world, embedding, n_values=n_values),
        "corrected_regret": place_regret(world, corrected, score="transition", n_values=n_values),
        "blind_regret": place_regret(world, blind, n_values=n_values),
        "reward_regret": np.nan
        if world.reward is None
        else reward_regret(world, corrected, relative=True, horizon=40, start=world.weight),
    }
