"""Success rates with intervals, and comparisons of two models on the same start and goal pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, as_float, check_count, check_fraction, nearest

PAIR_COLUMNS = ["environment", "manifest", "pair"]


@checked()
def wilson_interval(n_successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a success rate; unlike the normal one it never leaves [0, 1] nor shrinks to a point.

    Parameters
    ----------
    n_successes, n : int
        Successes and trials.
    confidence : float in [0, 1]
        Share of such intervals, about, that hold the true rate.

    Returns
    -------
    low, high : float
        Between 0 and 1.

    Raises
    ------
    InputError
        No trial, more successes than trials, a confidence outside [0, 1].

    Notes
    -----
    O(1). The rates p with (k/n - p)^2 <= z^2 p (1 - p) / n (Wilson 1927). Trials are taken as independent: many pairs of one
    episode are a little less than that.

    Examples
    --------
    >>> [round(x, 3) for x in wilson_interval(43, 50)]
    [0.738, 0.93]
    """
    check_count("n", n, 1, 2**53)
    check_count("n_successes", n_successes, 0, n, "the number of trials")
    interval = stats.binomtest(int(n_successes), int(n)).proportion_ci(check_fraction("confidence", confidence), "wilson")
    return float(interval.low), float(interval.high)


@checked()
def pareto_front(cost: ArrayLike, gain: ArrayLike) -> NDArray[np.bool_]:
    """Which of n things no other beats: none costs at most as much and gains at least as much, and differs.

    Parameters
    ----------
    cost, gain : array (n,)
        Such as seconds and success rates.

    Returns
    -------
    bool array (n,)
        Things that are equal in both are both kept.

    Raises
    ------
    InputError
        Nothing, arrays of other shapes, numbers that are not finite.

    Notes
    -----
    O(n log n).

    Examples
    --------
    >>> pareto_front([1.0, 2.0, 3.0], [0.5, 0.4, 0.9]).tolist()
    [True, False, True]
    """
    costs = as_float("cost", cost, (None,))
    gains = as_float("gain", gain, (len(costs),))
    if not costs.size:
        raise InputError("cost is empty, expected at least one number: pass what is compared")
    # By rising cost, and falling gain among equals: only what gains more than all before it stays, and its equals.
    order = np.lexsort((-gains, costs))
    before = np.concatenate([[-np.inf], np.maximum.accumulate(gains[order])[:-1]])
    better = gains[order] > before
    kept = set(zip(costs[order][better], gains[order][better], strict=True))
    return np.array([one in kept for one in zip(costs, gains, strict=True)])


@checked()
def success_table(rows: pd.DataFrame, by: Sequence[str] = ("policy",), confidence: float = 0.95) -> pd.DataFrame:
    """Success rate with its Wilson interval for each group of evaluation rows.

    Parameters
    ----------
    rows : DataFrame
        Of :func:`spectral_jepa.pixels.evaluation.evaluate.evaluate`, several runs concatenated if you like.
    by : sequence of str
        Columns that name a group.
    confidence : float in [0, 1]
        Of the intervals.

    Returns
    -------
    DataFrame
        Columns ``by``, n_successes, n, rate, low, high, steps (mean number of raw steps of the successes; NaN without one).
        Groups in the order of their first rows.

    Raises
    ------
    InputError
        Rows that lack one of the columns ``by``, success or steps.

    Notes
    -----
    O(rows). The intervals are those of :func:`wilson_interval`.

    Examples
    --------
    >>> rows = pd.DataFrame({"policy": ["cem"] * 4, "success": [True, True, True, False], "steps": [10, 20, 30, 50]})
    >>> success_table(rows).round(2).to_numpy().tolist()[0]
    ['cem', 3, 4, 0.75, 0.3, 0.95, 20.0]
    """
    if not len(by):
        raise InputError("by is empty, expected the columns that name a group: pass by=['policy']")
    missing = sorted({*by, "success", "steps"} - set(rows.columns))
    if missing:
        raise InputError(f"rows lack the columns {missing}, expected those of evaluate(): pass its table or change by")
    records = []
    for key, group in rows.groupby(list(by), sort=False):
        wins, n = int(group["success"].sum()), len(group)
        steps = float(group.loc[group["success"].astype(bool), "steps"].mean()) if wins else float("nan")
        records.append((*key, wins, n, wins / n, *wilson_interval(wins, n, confidence), steps))
    return pd.DataFrame(records, columns=[*by, "n_successes", "n", "rate", "low", "high", "steps"])


@dataclass(frozen=True)
class PairedComparison:
    """Two policies on the same pairs: first minus second.

    Attributes
    ----------
    n, both, only_first, only_second, neither : int
        Pairs in all, and by who succeeded.
    difference, low, high : float
        Difference of the success rates and its bootstrap interval.
    p_value : float
        Exact McNemar test of "both succeed equally often".
    """

    n: int
    both: int
    only_first: int
    only_second: int
    neither: int
    difference: float
    low: float
    high: float
    p_value: float


@checked()
def paired_comparison(
    first: ArrayLike,
    second: ArrayLike,
    *,
    seed: int = 0,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
) -> PairedComparison:
    """Compare two policies by their successes on the same pairs.

    Parameters
    ----------
    first, second : boolean arrays (n,)
        Entry i of both is pair i.
    seed : int
        Of the bootstrap.
    groups : array (n,), optional
        Episode of each pair: the bootstrap then draws whole episodes, because pairs of one episode resemble each other.
        None means an episode a pair.
    confidence : float in [0, 1]
        Of the bootstrap interval.
    n_resamples : int
        Bootstrap samples.

    Returns
    -------
    PairedComparison

    Raises
    ------
    InputError
        Arrays of different lengths, empty or not of booleans; no resample; a confidence outside [0, 1].

    Notes
    -----
    McNemar's exact test is a binomial test (1/2) of the pairs on which exactly one succeeds; it takes pairs as independent.
    The interval is the percentile bootstrap of the paired difference. O(n_resamples x groups).

    Examples
    --------
    >>> result = paired_comparison([True] * 9 + [False], [True] * 3 + [False] * 7)
    >>> result.difference, result.only_first, result.p_value
    (0.6, 6, 0.03125)
    """
    a, b = (np.asarray(value) for value in (first, second))
    if a.shape != b.shape or a.ndim != 1 or not a.size or a.dtype != bool or b.dtype != bool:
        raise InputError(
            f"first has shape {a.shape} ({a.dtype}) and second {b.shape} ({b.dtype}), expected two boolean arrays of one "
            "length: take the success columns of the same manifest in the same order"
        )
    labels = np.arange(a.size) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if labels.shape != a.shape:
        raise InputError(f"groups has shape {labels.shape}, expected {a.shape}: give the episode of each pair")
    gain = a.astype(np.float64) - b
    sums, sizes = np.bincount(labels, gain), np.bincount(labels)
    rng = np.random.default_rng(seed)
    # One multinomial draw of group counts is one bootstrap sample.
    counts = rng.multinomial(sizes.size, np.full(sizes.size, 1 / sizes.size), size=check_count("n_resamples", n_resamples))
    tail = (1 - check_fraction("confidence", confidence)) / 2
    low, high = np.quantile((counts @ sums) / (counts @ sizes), [tail, 1 - tail])
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    p_value = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return PairedComparison(
        n=a.size,
        both=int((a & b).sum()),
        only_first=only_a,
        only_second=only_b,
        neither=int((~a & ~b).sum()),
        difference=float(gain.mean()),
        low=float(low),
        high=float(high),
        p_value=float(p_value),
    )


@checked()
def comparison_table(rows: pd.DataFrame, reference: str, *, column: str = "policy", seed: int = 0) -> pd.DataFrame:
    """Every policy against a reference one, on the pairs of their common manifest.

    Parameters
    ----------
    rows : DataFrame
        Evaluation rows of several policies; pairs are matched by environment, manifest and pair number.
    reference : str
        Value of ``column`` that the others are compared with.
    column : str
        Column that tells the policies apart; each value must hold every pair once.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        One row a policy: ``column``, reference, and the fields of :class:`PairedComparison` (policy minus reference).

    Raises
    ------
    InputError
        An unknown reference, repeated pairs, or policies that were evaluated on different pairs.

    Notes
    -----
    One :func:`paired_comparison` a policy, whose bootstrap draws whole episodes.

    Examples
    --------
    Of four pairs, CEM reaches two goals that the random policy misses: .75 - .25.

    >>> rows = pd.DataFrame({
    ...     "policy": ["random"] * 4 + ["cem"] * 4, "environment": "two_room", "manifest": "a", "pair": [0, 1, 2, 3] * 2,
    ...     "episode": [0, 1, 2, 3] * 2, "success": [True, False, False, False, True, True, True, False]})
    >>> comparison_table(rows, "random")[["policy", "reference", "n", "only_first", "difference", "p_value"]]
      policy reference  n  only_first  difference  p_value
    0    cem    random  4           2         0.5      0.5
    """
    missing = sorted({column, *PAIR_COLUMNS, "success", "episode"} - set(rows.columns))
    if missing:
        raise InputError(f"rows lack the columns {missing}, expected those of evaluate(): pass its table or change column")
    tables = {name: group.set_index(PAIR_COLUMNS).sort_index() for name, group in rows.groupby(column, sort=False)}
    if reference not in tables:
        listed = f"{sorted(map(str, tables))}{nearest(reference, tables)}"
        raise InputError(f"reference is {reference!r}, expected one of {listed}: choose one of these")
    base = tables.pop(reference)
    records = []
    for name, table in tables.items():
        if not table.index.equals(base.index) or table.index.has_duplicates:
            raise InputError(
                f"{column} {name!r} and {reference!r} were not evaluated once each on the same pairs: "
                "use one manifest and one seed for both"
            )
        result = paired_comparison(
            table["success"].to_numpy(bool), base["success"].to_numpy(bool), seed=seed, groups=table["episode"].to_numpy()
        )
        records.append({column: name, "reference": reference, **vars(result)})
    return pd.DataFrame(records)
