"""Three prices read off the data: Bernstein's bound on the noise, a bootstrap of it, and held-out transitions.

The guarantee of soft thresholding (docs/price.md, 1) asks for a price of at least ||E||_2, the spectral norm of the sampling
error. Bernstein bounds it, two to four times too high; the bootstrap estimates it; held-out transitions ask for the least
L_spec directly and need no noise level, nor do they guarantee one. All are for plug-in counts with the constant kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_float, check_count, require_memory
from spectral_jepa.cooccurrence import SPARSE_ADVICE, CoOccurrence
from spectral_jepa.data import Transitions
from spectral_jepa.linalg import inverse_or_zero, singular_value_decomposition
from spectral_jepa.theory.sampling_bounds import bernstein_bound

# Prices tried on held-out data: none, then a quarter more at each step, up to 1, at which only the constant is left.
GRID = np.append(0.0, np.geomspace(0.003, 1.0, 27))
MOST_DRAWS = 10_000


@checked()
def bernstein_price(data: Transitions, *, failure_probability: float | None = None, shared: bool = False) -> Any:
    """Matrix Bernstein's bound on ||E||_2 at the laws of the log: safe in the order of magnitude, and too dear.

    Parameters
    ----------
    data : Transitions
    failure_probability : float in (0, 1), optional
        delta; default: the bound in expectation.
    shared : bool
        One price for the stack, instead of one an action.

    Returns
    -------
    array (A,), or a float when shared
        1 at most, the price at which nothing but the constant is left; 1 for an action without data.

    Raises
    ------
    InputError
        If ``failure_probability`` is not in (0, 1), or the counts would not fit in memory.

    Notes
    -----
    O(A S^2), no randomness. A theorem evaluated at estimated laws, not a certificate. Source: docs/theory.md, 4.6.

    Examples
    --------
    >>> from spectral_jepa import make_block, sample_transitions
    >>> world = make_block(n_states=12, n_blocks=3, n_actions=2, seed=0)
    >>> round(bernstein_price(sample_transitions(world, n_transitions=20_000, seed=0), shared=True), 2)
    0.09
    """
    cooc = CoOccurrence.from_transitions(data, unseen_actions="zero", sparse=False)
    if shared:
        bound = bernstein_bound(cooc, len(data), failure_probability=failure_probability, shared=True)[0]
        return min(bound.value, 1.0)
    prices = np.ones(data.n_actions)
    for action in np.flatnonzero(data.actions_seen):
        one = slice(action, action + 1)
        own = CoOccurrence(cooc.dense_joint()[one], cooc.row_weight[one], cooc.column_weight[one], np.ones(1))
        seen = int(data.actions_seen[action])
        prices[action] = bernstein_bound(own, seen, failure_probability=failure_probability)[0].value
    return np.minimum(prices, 1.0)


@checked()
def bootstrap_price(
    data: Transitions, *, quantile: float | None = None, n_draws: int = 10, shared: bool = False, seed: int = 0
) -> Any:
    """The spectral norm that resampling the log gives its matrix: an estimate of ||E||_2.

    N transitions are drawn from the log with replacement, and the difference of their counts and the log's is measured in
    the log's own weights.

    Parameters
    ----------
    data : Transitions
    quantile : float in (0, 1), optional
        Of the norms drawn; default: their mean.
    n_draws : int
        Resamples.
    shared : bool
        One price for the stack, instead of one an action.
    seed : int
        Of the resamples.

    Returns
    -------
    array (A,), or a float when shared
        1 at most; 1 for an action without data.

    Raises
    ------
    InputError
        If ``quantile`` is not in (0, 1), ``n_draws`` is not between 1 and 10,000, or the counts would not fit in memory.

    Notes
    -----
    O(n_draws A S^3), dense. It includes the error of the marginals, which plug-in counts do not have, and is too high where
    pairs are visited a few times only: measured in docs/price.md, 4.

    Examples
    --------
    >>> from spectral_jepa import make_block, sample_transitions
    >>> world = make_block(n_states=12, n_blocks=3, n_actions=2, seed=0)
    >>> round(bootstrap_price(sample_transitions(world, n_transitions=20_000, seed=0), shared=True), 2)
    0.06
    """
    check_count("n_draws", n_draws, 1, MOST_DRAWS, "their mean is sharp long before")
    if quantile is not None and not 0 < quantile < 1:
        raise InputError(f"quantile is {quantile:g}, expected a number between 0 and 1: for example 0.95")
    rng = np.random.default_rng(seed)
    prices = []
    for counts in _counts(data, shared):
        total = int(counts.sum())
        if not total:
            prices.append(1.0)
            continue
        require_memory((n_draws, *counts.shape), "the resampled counts", "use fewer draws", copies=3)
        rows, columns = (inverse_or_zero(np.sqrt(counts.sum(axis=axis) / total)) for axis in (1, 0))
        drawn = rng.multinomial(total, counts.ravel() / total, size=n_draws).reshape(n_draws, *counts.shape)
        norms = np.linalg.norm(rows[:, None] * (drawn - counts) / total * columns, ord=2, axis=(1, 2))
        prices.append(float(norms.mean() if quantile is None else np.quantile(norms, quantile)))
    return min(prices[0], 1.0) if shared else np.minimum(prices, 1.0)


@checked()
def held_out_price(
    data: Transitions, *, prices: ArrayLike | None = None, n_folds: int = 5, shared: bool = False, seed: int = 0
) -> Any:
    """The price of least L_spec on transitions left out, scaled to the whole log.

    Parameters
    ----------
    data : Transitions
    prices : array (P,), optional
        Prices to try. Default: 0 and 27 up to 1, each a quarter above the last.
    n_folds : int
        Folds, at least 2. A fold is fitted on (n_folds - 1) / n_folds of the log, whose noise is larger by the root of the
        inverse: the price found is multiplied by the root of that share.
    shared : bool
        One price for the stack, instead of one an action.
    seed : int
        Of the folds.

    Returns
    -------
    array (A,), or a float when shared
        1 for an action with fewer than two transitions a fold.

    Raises
    ------
    InputError
        No prices or negative ones, ``n_folds`` below 2, or counts that would not fit in memory.

    Notes
    -----
    O(n_folds (A S^3 + P (A S^2 + N) S)), dense. Ties go to the larger price. Source: docs/price.md, 4; L_spec on different
    transitions as in :func:`spectral_jepa.analyze`.

    Examples
    --------
    >>> from spectral_jepa import make_block, sample_transitions
    >>> world = make_block(n_states=12, n_blocks=3, n_actions=2, seed=0)
    >>> price = held_out_price(sample_transitions(world, n_transitions=20_000, seed=0), shared=True)
    >>> 0.01 < price < 0.05
    True
    """
    check_count("n_folds", n_folds, 2)
    tried = np.sort(GRID if prices is None else as_float("prices", prices, (None,)))[::-1]
    if not tried.size or tried[-1] < 0:
        raise InputError(
            "prices is empty or holds a negative number, expected numbers >= 0: leave it out for a grid up to 1"
        )
    rng = np.random.default_rng(seed)
    found = []
    for counts in _counts(data, shared):
        total = int(counts.sum())
        if total < 2 * n_folds:
            found.append(1.0)
            continue
        flat = np.repeat(np.arange(counts.size), counts.ravel())
        fold = rng.permutation(total) % n_folds
        risk = np.zeros(tried.size)
        for i in range(n_folds):
            test = np.bincount(flat[fold == i], minlength=counts.size).reshape(counts.shape)
            risk += held_out_risks(counts - test, test, tried)
        found.append(float(tried[risk.argmin()] * np.sqrt((n_folds - 1) / n_folds)))
    return found[0] if shared else np.array(found)


@checked()
def held_out_risks(train: ArrayLike, test: ArrayLike, prices: ArrayLike) -> Array:
    """L_spec on test counts of the soft-thresholded train counts, constant kept, at every price.

    Parameters
    ----------
    train, test : arrays (m, n)
        Counts of two parts of a log, rows pairs (x, a) or states, columns next states; ``test`` has at least two.
    prices : array (P,)

    Returns
    -------
    array (P,)
        -2 mean of g^T f+ plus the mean over pairs of different test transitions of (g_i^T f_j)^2.

    Raises
    ------
    InputError
        Counts of different shapes, or fewer than two test transitions.

    Notes
    -----
    O(m n min(m, n) + P N min(m, n)) for N different test transitions. Source: docs/theory.md, 2.1.

    Examples
    --------
    At price 1 the constant is left, which gives -2 + 1.

    >>> counts = [[9, 1], [1, 9]]
    >>> held_out_risks(counts, counts, [1.0]).round(12)
    array([-1.])
    """
    train, test = as_float("train", train, (None, None)), as_float("test", test, np.shape(train))
    size = test.sum()
    if size < 2:
        raise InputError(f"test has {size:g} transitions, expected at least 2: pairs of different ones are averaged")
    visits, arrivals, total = train.sum(axis=1), train.sum(axis=0), train.sum()
    rows, columns = (inverse_or_zero(np.sqrt(law / total)) for law in (visits, arrivals))
    top = np.sqrt(visits / total), np.sqrt(arrivals / total)
    left, values, right = singular_value_decomposition(rows[:, None] * train / total * columns, top)
    predicted, target = rows[:, None] * left, columns[:, None] * right
    aligned = np.sum(predicted * (test @ target), axis=0) / size
    moments = (predicted.T @ (test.sum(axis=1)[:, None] * predicted)) * (target.T @ (test.sum(axis=0)[:, None] * target))
    row, column = np.nonzero(test)
    products = predicted[row] * target[column]
    paid = np.maximum(values[None, :] - as_float("prices", prices, (None,))[:, None], 0.0)
    paid[:, 0] = values[0]
    own = test[row, column] @ (products @ paid.T) ** 2
    pairs = (np.einsum("pi,ij,pj->p", paid, moments, paid) - own) / (size * (size - 1))
    return pairs - 2 * paid @ aligned


def _counts(data: Transitions, shared: bool) -> NDArray[np.int64]:
    """Counts (A, S, S), or those of the stack (1, A * S, S), as whole numbers."""
    shape = (data.n_actions, data.n_states, data.n_states)
    require_memory(shape, "the counts of every action", SPARSE_ADVICE, copies=4)
    counts = data.counts().astype(np.int64)
    return counts.reshape(1, -1, data.n_states) if shared else counts
