"""Singular values of the latent transition operator: canonical correlations of (z, a) with the next z, with intervals.

Among linear functions the operator f -> E[f(z+) | z, a] has the canonical correlations rho_1 >= rho_2 >= ... as its singular
values (the constant, s = 1, is taken out by centring). All functions of the state contain the linear ones, so rho_i <= s_i+1
of the world. Three numbers estimate rho_i from N rows:

- in the sample: the canonical correlation of all rows, too high, since the directions were chosen on the rows they are
  judged by. At least the value on the true directions, so it carries the *upper* limit.
- held out: the i-th singular value of the i leading directions of one part of the data, measured on the other part. In the
  population no larger than rho_i (Poincare separation), so it carries the *lower* limit.
- corrected: the sample value with the bias taken out that independent normal rows would have (Bao, Hu, Pan and Zhou 2019,
  Annals of Statistics 47). It is the estimate that is reported, within the two limits.

How often the limits cover the truth is measured in docs/advice.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectral_jepa._notebook import short_repr
from spectral_jepa._validation import Array, read_only
from spectral_jepa.advice.pairs import Pairs

# What held-out variances get added, so that a direction without variance there has correlation 0 instead of none.
RIDGE = 1e-9
# A direction of a part of the data with less than this share of the variance does not exist there.
SMALLEST_SHARE = 1e-10
# Intervals cost one decomposition each and fold: of the first values only.
MOST_INTERVALS = 64


@dataclass(frozen=True, eq=False, repr=False)
class Canonical:
    """Canonical directions of some rows and their correlations.

    Parameters
    ----------
    values : array (m,)
        Descending, in [0, 1].
    current : array (p, m)
        Functions of the current latent with variance 1 on these rows, ``(current - current_mean) @ current``.
    following : array (d, m)
    current_mean, following_mean : arrays (p,), (d,)
    """

    values: Array
    current: Array
    following: Array
    current_mean: Array
    following_mean: Array

    def __repr__(self) -> str:
        return short_repr(self)

    def scores(self, current: Array, following: Array) -> tuple[Array, Array]:
        """The functions at given rows.

        Parameters
        ----------
        current, following : arrays (n, p), (n, d)

        Returns
        -------
        two arrays (n, m)
        """
        return (current - self.current_mean) @ self.current, (following - self.following_mean) @ self.following


@dataclass(frozen=True, eq=False, repr=False)
class Correlations:
    """Estimates and limits of the leading canonical correlations, arrays (m,); see the head of the module.

    Parameters
    ----------
    estimate, low, high : arrays
    in_sample, held_out : arrays
        What the limits start from.
    """

    estimate: Array
    low: Array
    high: Array
    in_sample: Array
    held_out: Array

    def __repr__(self) -> str:
        return short_repr(self)


def fit_canonical(current: Array, following: Array) -> Canonical:
    """Canonical correlation analysis.

    Parameters
    ----------
    current, following : arrays (n, p), (n, d)

    Returns
    -------
    Canonical
        m = min(p, d), less where columns repeat each other.

    Notes
    -----
    O(n (p + d)^2 + p^3 + d^3). Source: Hotelling 1936; as VAMP, Wu and Noe, arXiv 1707.04659.

    Examples
    --------
    The first coordinate is kept exactly, the second not at all.

    >>> square = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> fit_canonical(square, square[[0, 1, 3, 2]] * [5.0, 1.0]).values.round(12)
    array([1., 0.])
    """
    means = current.mean(axis=0), following.mean(axis=0)
    parts = current - means[0], following - means[1]
    whitening = [_whitening(part.T @ part / len(part)) for part in parts]
    cross = whitening[0].T @ (parts[0].T @ parts[1] / len(current)) @ whitening[1]
    left, values, right = np.linalg.svd(cross, full_matrices=False)
    return Canonical(np.clip(values, 0, 1), whitening[0] @ left, whitening[1] @ right.T, *means)


def _whitening(covariance: Array) -> Array:
    variances, basis = np.linalg.eigh(covariance)
    kept = variances > SMALLEST_SHARE * variances[-1]
    return basis[:, kept] / np.sqrt(variances[kept])


def corrected_values(values: Array, n_current: int, n_following: int, n_rows: int) -> Array:
    """Canonical correlations with the bias taken out that n independent normal rows give them; 0 below what noise reaches.

    Parameters
    ----------
    values : array
        Of the sample.
    n_current, n_following : int
        p and d.
    n_rows : int

    Returns
    -------
    array of the shape of ``values``

    Notes
    -----
    With c = p/n, c' = d/n a population r = rho^2 shows itself as r (1 - c + c/r)(1 - c' + c'/r) if
    r > sqrt(c c' / ((1 - c)(1 - c'))), and is lost in the noise below that; this is its inverse. Source: Bao, Hu, Pan and
    Zhou 2019.

    Examples
    --------
    >>> corrected_values(np.array([0.9, 0.5, 0.3]), 40, 40, 1000).round(3)
    array([0.891, 0.422, 0.   ])
    >>> corrected_values(np.array([0.9, 0.5, 0.3]), 2, 2, 10**6).round(3)
    array([0.9, 0.5, 0.3])
    """
    c, other = n_current / n_rows, n_following / n_rows
    # a r^2 - 2 half r + c c' = 0, the larger root.
    a, half = (1 - c) * (1 - other), (values**2 - c * (1 - other) - other * (1 - c)) / 2
    inside = half**2 - a * c * other
    found = (half > 0) & (inside >= 0)
    squares = np.where(found, (half + np.sqrt(np.maximum(inside, 0))) / a, 0.0)
    return np.sqrt(np.clip(squares, 0, 1))


def correlations(pairs: Pairs, n_values: int, confidence: float = 0.95) -> Correlations:
    """Estimates and limits of the leading canonical correlations.

    Parameters
    ----------
    pairs : Pairs
    n_values : int
        How many, m.
    confidence : float in (0, 1)
        Of each interval by itself.

    Returns
    -------
    Correlations

    Notes
    -----
    Lower limit: mean over folds of the least singular value, with its sign, of the i leading directions of the other folds,
    less t standard errors. Upper: sample value plus t standard errors, where values cannot be told apart from those just
    above them the mean of these (ties push each other apart). Standard errors are those of the influence function
    x y - rho (x^2 + y^2)/2 of a canonical pair, summed by group; for the lower limit they are multiplied by the root of the
    number of folds, as if all folds erred together, because what one fold holds out another was fitted to. One
    decomposition a fold, and m of at most m x m.

    Examples
    --------
    >>> from spectral_jepa.advice.pairs import make_pairs
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((4000, 2))
    >>> after = np.column_stack([0.8 * z[:, 0] + 0.6 * rng.standard_normal(4000), rng.standard_normal(4000)])
    >>> found = correlations(make_pairs(z, after), 2)
    >>> found.estimate.round(1), bool(found.low[0] < 0.8 < found.high[0]), bool(found.low[1] == 0.0)
    (array([0.8, 0. ]), True, True)
    """
    n_groups, n_rows = pairs.n_groups, len(pairs)
    whole = fit_canonical(pairs.current, pairs.following)
    values = whole.values[:n_values]
    from scipy.special import stdtrit  # slow to import, and only this needs it

    width = float(stdtrit(n_groups - 1, (1 + confidence) / 2)) * np.sqrt(n_groups / (n_groups - 1))
    x, y = (part[:, :n_values] for part in whole.scores(pairs.current, pairs.following))
    influence = pairs.sums(x * y - values * (x**2 + y**2) / 2) / n_rows
    high = values + 0.0
    errors = np.sqrt((influence**2).sum(axis=0))
    for i in range(values.size):
        tied = _tied(values, errors[i], i)
        high[i] = values[tied].mean() + width * np.sqrt((influence[:, tied].mean(axis=1) ** 2).sum())
    held, held_errors = _held_out(pairs, values.size)
    low = np.clip(held - width * held_errors, 0, 1)
    high = np.clip(high, low, 1)
    corrected = corrected_values(values, pairs.current.shape[1], pairs.following.shape[1], n_rows - 1)
    estimate = np.clip(np.minimum.accumulate(corrected), low, high)
    return Correlations(*(read_only(part) for part in (estimate, low, high, values, held)))


def _tied(values: Array, error: float, i: int) -> slice:
    """Values just above the i-th that may be the same number: m equal ones spread over 2 sqrt(2 m) standard errors."""
    sizes = np.arange(1, i + 2)
    fits = values[i::-1] - values[i] <= 2 * np.sqrt(2 * sizes) * error * (sizes > 1)
    return slice(i + 1 - int(sizes[fits].max()), i + 1)


def _held_out(pairs: Pairs, n_values: int) -> tuple[Array, Array]:
    """Held-out values and their standard errors, both (m,)."""
    found, n_folds = np.zeros((pairs.n_folds, n_values)), pairs.n_folds
    influence = np.zeros((pairs.n_groups, n_values))
    for fold in range(n_folds):
        test = pairs.fold == fold
        fit = fit_canonical(pairs.current[~test], pairs.following[~test])
        scores = fit.scores(pairs.current[test], pairs.following[test])
        x, y = (_standardise(part[:, :n_values]) for part in scores)
        cross = x.T @ y / len(x)
        for i in range(1, cross.shape[1] + 1):
            left, values, right = np.linalg.svd(cross[:i, :i])
            # The sign tells noise about 0 from a small correlation.
            sign = np.linalg.slogdet(cross[:i, :i]).sign
            value, u, v = values[-1] * sign, x[:, :i] @ left[:, -1], y[:, :i] @ right[-1] * sign
            found[fold, i - 1] = value
            moved = u * v - value * (u**2 + v**2) / 2
            influence[:, i - 1] += np.bincount(pairs.group[test], moved, pairs.n_groups) / (n_folds * len(x))
    return found.mean(axis=0), np.sqrt(n_folds * (influence**2).sum(axis=0))


def _standardise(scores: Array) -> Array:
    """Scores made uncorrelated on these rows, each from those before it."""
    centred = scores - scores.mean(axis=0)
    root = np.linalg.cholesky(centred.T @ centred / len(centred) + RIDGE * np.eye(centred.shape[1]))
    return np.linalg.solve(root, centred.T).T
