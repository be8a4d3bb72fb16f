"""What k directions are worth on held-out transitions, how large the sampling error is, and what cannot be predicted.

The same quantities as :mod:`spectral_jepa.logs.analysis` has for counts, for functions of a latent: the matrix is the
whitened cross-covariance of (z, a) and the next z with the constant beside it, of which the canonical correlations are the
singular values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectral_jepa._notebook import short_repr
from spectral_jepa._validation import Array, read_only
from spectral_jepa.advice.correlations import fit_canonical
from spectral_jepa.advice.pairs import Pairs
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.sampling_bounds import INDEPENDENT

N_SPLITS = 8
ESTIMATED = Assumption("latents are whitened by their true covariances, here by those of the sample", None)
LARGEST_SEEN = Assumption("no whitened latent is larger than the largest of the sample", None)


@dataclass(frozen=True, eq=False, repr=False)
class HeldOut:
    """Held-out means behind the risk curve, by fold and number of directions k = 0, ..., m; the constant is always kept.

    Parameters
    ----------
    aligned : array (folds, m + 1)
        Mean of g^T f+.
    independent : array (folds, m + 1)
        Mean of (g^T f')^2 over pairs of different transitions. L_spec is ``independent - 2 * aligned``.
    """

    aligned: Array
    independent: Array

    def __repr__(self) -> str:
        return short_repr(self)


@dataclass(frozen=True)
class Share:
    """A share of the next latent's variance with its interval.

    Parameters
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def held_out_means(pairs: Pairs, n_values: int) -> HeldOut:
    """Fit on the other folds, judge on each.

    Parameters
    ----------
    pairs : Pairs
    n_values : int
        The largest k, m.

    Returns
    -------
    HeldOut

    Notes
    -----
    f = (1, canonical functions of the next latent), g = (1, rho_i times those of the current one). O(N p m) a fold, beside
    the fits. Source: docs/theory.md, 2.1.

    Examples
    --------
    A coordinate that is kept exactly and one that is lost: k = 1 brings the risk from -1 to -2, k = 2 no further.

    >>> from spectral_jepa.advice.pairs import make_pairs
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((4000, 2))
    >>> found = held_out_means(make_pairs(z, np.column_stack([z[:, 0], rng.standard_normal(4000)])), 2)
    >>> (found.independent - 2 * found.aligned).mean(axis=0).round(1)
    array([-1., -2., -2.])
    """
    aligned, independent = np.zeros((2, pairs.n_folds, n_values + 1))
    for fold in range(pairs.n_folds):
        test = pairs.fold == fold
        fit = fit_canonical(pairs.current[~test], pairs.following[~test])
        size, m = int(test.sum()), min(n_values, fit.values.size)
        g, f = (np.ones((size, m + 1)) for _ in range(2))
        x, y = fit.scores(pairs.current[test], pairs.following[test])
        g[:, 1:], f[:, 1:] = fit.values[:m] * x[:, :m], y[:, :m]
        own = np.cumsum(g * f, axis=1)
        aligned[fold, : m + 1] = own.mean(axis=0)
        # sum over all pairs = trace of the product of both second moments, whose leading blocks belong to smaller k.
        product = (g.T @ g) * (f.T @ f)
        every = np.cumsum(np.cumsum(product, axis=0), axis=1).diagonal()
        independent[fold, : m + 1] = (every - (own**2).sum(axis=0)) / (size * (size - 1))
        # Directions that the fit does not have change nothing.
        aligned[fold, m + 1 :], independent[fold, m + 1 :] = aligned[fold, m], independent[fold, m]
    return HeldOut(read_only(aligned), read_only(independent))


def captured_energy(pairs: Pairs, n_values: int) -> tuple[Array, float]:
    """How much of the sum of all squared correlations k directions capture, and that sum, both without upward bias.

    Parameters
    ----------
    pairs : Pairs
    n_values : int
        The largest k, m.

    Returns
    -------
    captured : array (m + 1,)
        <C_k, C'> for the k leading singular directions of the cross-covariance C of all folds but one and C' of that one.
    energy : float
        <C, C'> of every two folds, at least 0.

    Notes
    -----
    In the coordinates that are white on all rows, so that both are of one matrix. O(N p d + p d min(p, d)) a fold.

    Examples
    --------
    >>> from spectral_jepa.advice.pairs import make_pairs
    >>> z = np.random.default_rng(0).standard_normal((2000, 3))
    >>> captured, energy = captured_energy(make_pairs(z, z), 3)
    >>> captured.round(), round(energy, 1)
    (array([0., 1., 2., 3.]), 3.0)
    """
    x, y = _white(pairs.current), _white(pairs.following)
    parts, sizes = [], []
    for fold in range(pairs.n_folds):
        test = pairs.fold == fold
        parts.append(_about_mean(x[test]).T @ _about_mean(y[test]) / test.sum())
        sizes.append(test.sum())
    shares, n_folds = np.array(sizes) / len(pairs), pairs.n_folds
    found = np.zeros((n_folds, n_values + 1))
    for fold, part in enumerate(parts):
        others = sum(share * one for i, (share, one) in enumerate(zip(shares, parts, strict=True)) if i != fold)
        left, values, right = np.linalg.svd(others / (1 - shares[fold]), full_matrices=False)
        found[fold, 1:] = np.cumsum(values * np.einsum("pi,pd,id->i", left, part, right, optimize=True))[:n_values]
    products = np.tensordot(parts, parts, axes=((1, 2), (1, 2)))
    energy = float((products.sum() - np.trace(products)) / (n_folds * (n_folds - 1)))
    return found.mean(axis=0), max(energy, 0.0)


def half_sample_norms(pairs: Pairs, seed: int) -> Array:
    """Estimates of ||E||_2, the largest singular value of the sampling error: differences of two halves of the groups.

    Parameters
    ----------
    pairs : Pairs
    seed : int
        Of the halves.

    Returns
    -------
    array (8,)

    Notes
    -----
    The regressions of the whitened next latent on the whitened functions of two halves differ by twice the error of the
    whole. Too high, by up to 1 / (1 - p/n), where there are few rows a function. O(N p^2 + p^3) a split.

    Examples
    --------
    Noise of 3 functions by 3 in 3000 rows: about 2 sqrt(3 / 3000).

    >>> from spectral_jepa.advice.pairs import make_pairs
    >>> rng = np.random.default_rng(0)
    >>> pairs = make_pairs(rng.standard_normal((3000, 3)), rng.standard_normal((3000, 3)))
    >>> bool(0.03 < half_sample_norms(pairs, 0).mean() < 0.09)
    True
    """
    x, y = _white(pairs.current), _white(pairs.following)
    rng, norms = np.random.default_rng(seed), []
    for _ in range(N_SPLITS):
        first = (rng.permutation(pairs.n_groups) % 2 == 0)[pairs.group]
        maps = [_regression(_about_mean(x[half]), _about_mean(y[half])) for half in (first, ~first)]
        share = first.mean()
        norms.append(np.sqrt(share * (1 - share)) * np.linalg.norm(maps[0] - maps[1], ord=2))
    return read_only(np.array(norms))


def bernstein(pairs: Pairs, failure_probability: float) -> Bound:
    """Matrix Bernstein's bound on ||E||_2 at the sample's own covariances and largest rows.

    Parameters
    ----------
    pairs : Pairs
    failure_probability : float in (0, 1)
        delta.

    Returns
    -------
    Bound
        The ceiling is 1, the error of the estimate 0. A theorem evaluated at estimates, not a certificate.

    Notes
    -----
    For mean-zero matrices x y^T - E of norm at most L and variance v: sqrt(2 v log(d/delta)/N) + 2 L log(d/delta)/(3 N),
    d rows and columns together. Source: Tropp 2012, as docs/theory.md, 4.6 uses it.

    Examples
    --------
    >>> from spectral_jepa.advice.pairs import make_pairs
    >>> rng = np.random.default_rng(0)
    >>> pairs = make_pairs(rng.standard_normal((3000, 3)), rng.standard_normal((3000, 3)))
    >>> bernstein(pairs, 0.05).vacuous
    False
    """
    x, y = _white(pairs.current), _white(pairs.following)
    sizes = [(part**2).sum(axis=1) for part in (x, y)]
    variance = max(
        float(np.linalg.eigvalsh((one * weight[:, None]).T @ one / len(one))[-1])
        for one, weight in ((x, sizes[1]), (y, sizes[0]))
    )
    largest = float(np.sqrt((sizes[0] * sizes[1]).max())) + 1
    log = np.log((x.shape[1] + y.shape[1]) / failure_probability)
    value = np.sqrt(2 * variance * log / len(x)) + 2 * largest * log / (3 * len(x))
    how = f"sampling error ||E||_2 with probability {1 - failure_probability:g}"
    return Bound(float(value), how, 1.0, (INDEPENDENT, ESTIMATED, LARGEST_SEEN), "matrix Bernstein (docs/theory.md, 4.6)")


def unpredicted(pairs: Pairs, confidence: float, predicted: Array | None = None) -> Share:
    """Share of the next latent's variance that is not predicted on held-out rows, in the latent's own units.

    Parameters
    ----------
    pairs : Pairs
    confidence : float in (0, 1)
    predicted : array (N, D), optional
        The user's predictions of the next latents. Default: least squares on the functions of latent and action, fitted to
        the other folds.

    Returns
    -------
    Share
        1 is what the mean of the other folds gets; more is possible. The interval has the standard error of a ratio of
        sums over groups; it does not know how well another fit would have done.

    Notes
    -----
    O(N p^2 + p^3) a fold.

    Examples
    --------
    >>> from spectral_jepa.advice.pairs import make_pairs
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((3000, 2))
    >>> pairs = make_pairs(z, 0.6 * z + 0.8 * rng.standard_normal((3000, 2)))
    >>> round(unpredicted(pairs, 0.95).value, 1), round(unpredicted(pairs, 0.95, 2 * z).value, 1)
    (0.6, 2.5)
    """
    left, total = np.zeros((2, len(pairs)))
    current = _white(pairs.current)
    for fold in range(pairs.n_folds):
        test = pairs.fold == fold
        target, mean = pairs.next_latents[test], pairs.next_latents[~test].mean(axis=0)
        if predicted is None:
            centre = current[~test].mean(axis=0)
            guess = mean + (current[test] - centre) @ _regression(current[~test] - centre, pairs.next_latents[~test] - mean)
        else:
            guess = predicted[test]
        left[test], total[test] = ((target - guess) ** 2).sum(axis=1), ((target - mean) ** 2).sum(axis=1)
    share = float(left.sum() / total.sum())
    errors = pairs.sums((left - share * total)[:, None])[:, 0]
    n = pairs.n_groups
    from scipy.special import stdtrit  # slow to import, and only this needs it

    width = float(stdtrit(n - 1, (1 + confidence) / 2) * np.sqrt((errors**2).sum() * n / (n - 1)) / total.sum())
    return Share(share, max(share - width, 0.0), share + width)


def _white(values: Array) -> Array:
    centred = _about_mean(values)
    variances, basis = np.linalg.eigh(centred.T @ centred / len(centred))
    return (centred @ basis) / np.sqrt(variances)


def _regression(x: Array, y: Array) -> Array:
    """Least squares of y on x, which is nearly white: a part of it may lack a direction."""
    return np.linalg.pinv(x.T @ x, rcond=1e-10, hermitian=True) @ (x.T @ y)


def _about_mean(values: Array) -> Array:
    return values - values.mean(axis=0)
