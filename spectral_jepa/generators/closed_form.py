"""Singular values known without an SVD (docs/theory.md, section 2.9): the answers that tests and figures are held against.

Each function returns, for one action, all S singular values of Mbar(a) = D^-1/2 M(a) D+(a)^-1/2 in descending order; states
without mass count as 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._signatures import checked
from spectral_jepa._validation import (
    Array,
    InputError,
    as_distribution,
    as_float,
    check_choice,
    check_count,
    check_fraction,
    check_indices,
    check_transition_rows,
    require_memory,
)
from spectral_jepa.generators.products import NUISANCE_KINDS


@checked()
def circulant_singular_values(kernel: ArrayLike) -> Array:
    """|FFT(kernel)|: a ring or torus (or any finite abelian group) with the uniform data law.

    Parameters
    ----------
    kernel : array (S,) or (n1, n2, ...)
        Law of the displacement; shifting it, as the actions do, changes only phases.

    Returns
    -------
    array (S,)
        Singular values, S the number of entries of ``kernel``.

    Raises
    ------
    InputError
        If ``kernel`` is not a probability law.

    Notes
    -----
    O(S log S).

    Examples
    --------
    >>> circulant_singular_values([0.8, 0.1, 0.0, 0.1]).round(3)
    array([1. , 0.8, 0.8, 0.6])
    """
    table = np.asarray(kernel, dtype=np.float64)
    as_distribution("kernel", table.ravel(), table.size)
    return _descending(np.abs(np.fft.fftn(table)))


@checked()
def two_state_singular_values(p: float, q: float, weight: ArrayLike = (0.5, 0.5)) -> Array:
    """1 and |1 - p - q| sqrt(w1 w2 / (w1+ w2+)) for P = [[1 - p, p], [q, 1 - q]].

    Parameters
    ----------
    p, q : float in [0, 1]
        Probabilities of leaving state 0 and state 1.
    weight : array (2,)
        Data law w.

    Returns
    -------
    array (2,)
        Singular values.

    Raises
    ------
    InputError
        Numbers outside [0, 1], or a weight that does not sum to 1.

    Examples
    --------
    >>> two_state_singular_values(0.3, 0.2).round(4)
    array([1.    , 0.5025])
    """
    p, q = check_fraction("p", p), check_fraction("q", q)
    w = as_distribution("weight", weight, 2)
    after = np.array([w[0] * (1 - p) + w[1] * q, w[0] * p + w[1] * (1 - q)])
    second = abs(1 - p - q) * np.sqrt(w.prod() / after.prod()) if after.prod() > 0 else 0.0
    return np.array([1.0, second])


@checked()
def block_singular_values(latent: ArrayLike, block_weight: ArrayLike, n_states: int) -> Array:
    """Spectrum of the latent chain, then zeros: a block MDP looks like its Z latent states, whatever S is.

    Parameters
    ----------
    latent : array (Z, Z)
        Latent transition P_Z(z'|z).
    block_weight : array (Z,)
        Data mass of each block. How the mass is spread inside a block does not matter.
    n_states : int
        Number of observations S >= Z.

    Returns
    -------
    array (S,)
        Singular values.

    Raises
    ------
    InputError
        Shapes that do not match, or rows that are not probability vectors.

    Notes
    -----
    O(Z^3).

    Examples
    --------
    >>> block_singular_values([[0.7, 0.3], [0.2, 0.8]], [0.5, 0.5], n_states=4).round(4)
    array([1.    , 0.5025, 0.    , 0.    ])
    """
    table = as_float("latent", latent, (None, None))
    w = as_distribution("block_weight", block_weight, len(table))
    table = as_float("latent", table, (w.size, w.size))
    check_transition_rows(table, 0)
    n_states = check_count("n_states", n_states, w.size, why="every block needs a state")
    require_memory((n_states,), "the spectrum", "use fewer states")
    after = w @ table
    here, there = w > 0, after > 0
    normalised = np.sqrt(w[here])[:, None] * table[np.ix_(here, there)] / np.sqrt(after[there])
    return _descending(np.linalg.svd(normalised, compute_uv=False), n_states)


@checked()
def autoregressive_singular_values(n_states: int, correlation: float) -> Array:
    """1, |rho|, |rho|^2, ..., |rho|^(S-1): the AR(1) chain of :func:`make_autoregressive`.

    Parameters
    ----------
    n_states : int
        Number of states S.
    correlation : float in [-1, 1]
        rho.

    Returns
    -------
    array (S,)
        Singular values.

    Raises
    ------
    InputError
        Numbers out of range.

    Examples
    --------
    >>> autoregressive_singular_values(4, -0.5)
    array([1.   , 0.5  , 0.25 , 0.125])
    """
    require_memory((check_count("n_states", n_states),), "the spectrum", "use fewer states", copies=2)
    return check_fraction("abs(correlation)", abs(correlation)) ** np.arange(n_states, dtype=np.float64)


@checked()
def product_singular_values(*factors: ArrayLike) -> Array:
    """All products s_i t_j ...: chains that move independently, with a product data law.

    Parameters
    ----------
    *factors : arrays (S_1,), (S_2,), ...
        Singular values of each chain, zeros included.

    Returns
    -------
    array (S_1 * S_2 * ...,)
        Singular values of the product.

    Raises
    ------
    InputError
        A factor that is not a vector of finite numbers.

    Examples
    --------
    >>> product_singular_values([1.0, 0.5], [1.0, 0.2])
    array([1. , 0.5, 0.2, 0.1])
    """
    values = np.ones(1)
    for index, factor in enumerate(factors):
        values = np.multiply.outer(values, as_float(f"factors[{index}]", factor, (None,))).ravel()
    return _descending(values)


@checked()
def nuisance_singular_values(task: ArrayLike, n_values: int, kind: str = "iid", *, persistence: float = 0.9) -> Array:
    """Spectrum after :func:`with_nuisance`: unchanged (iid), repeated (frozen), or repeated and shrunk (markov).

    Parameters
    ----------
    task : array (S,)
        Singular values of the task.
    n_values, kind, persistence
        As in :func:`with_nuisance`.

    Returns
    -------
    array (S * n_values,)
        Each s_i once, and c s_i repeated ``n_values - 1`` times, with c = 0 (iid), 1 (frozen) or ``persistence`` (markov).

    Raises
    ------
    InputError
        An unknown ``kind`` or a number out of range.

    Examples
    --------
    >>> nuisance_singular_values([1.0, 0.5], 2, "iid")
    array([1. , 0.5, 0. , 0. ])
    >>> nuisance_singular_values([1.0, 0.5], 2, "frozen")
    array([1. , 1. , 0.5, 0.5])
    """
    check_choice("kind", kind, NUISANCE_KINDS)
    n_values = check_count("n_values", n_values)
    require_memory((np.size(task), n_values), "the spectrum", "use fewer values", copies=2)
    keep = {"iid": 0.0, "markov": check_fraction("persistence", persistence), "frozen": 1.0}[kind]
    return product_singular_values(task, np.concatenate([[1.0], np.full(n_values - 1, keep)]))


@checked()
def deterministic_singular_values(successor: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """Ones, as many as the map has images, then zeros: a deterministic map x -> successor[x] (docs/theory.md, section 2.8).

    Parameters
    ----------
    successor : integer array (S,)
        The next state of each state.
    weight : array (S,), optional
        Data law; only images of states with mass count. Default: uniform.

    Returns
    -------
    array (S,)
        Singular values.

    Raises
    ------
    InputError
        A successor that is not a state, or a weight that is not a law on the states.

    Examples
    --------
    >>> deterministic_singular_values([1, 1, 0, 0])
    array([1., 1., 0., 0.])
    """
    table = np.asarray(successor)
    if table.ndim != 1 or not table.size:
        raise InputError(f"successor has shape {table.shape}, expected (states,): give the next state of each state")
    images = check_indices("successor", table, table.size, "state")
    if weight is not None:
        images = images[as_distribution("weight", weight, table.size) > 0]
    return (np.arange(table.size) < np.unique(images).size).astype(np.float64)


@checked()
def horizon_singular_values(singular_values: ArrayLike, n_steps: int) -> Array:
    """s^H: prediction H steps ahead by a normal kernel with a stationary data law.

    Parameters
    ----------
    singular_values : array (S,)
        Of one step. The kernel must be normal (ring, torus, permutation) or reversible (AR(1)); otherwise s^H is wrong.
    n_steps : int
        Horizon H >= 1.

    Returns
    -------
    array (S,)
        Singular values of the H-step kernel.

    Raises
    ------
    InputError
        ``n_steps`` below 1.

    Examples
    --------
    >>> horizon_singular_values([1.0, 0.5], 3)
    array([1.   , 0.125])
    """
    return _descending(as_float("singular_values", singular_values, (None,)) ** check_count("n_steps", n_steps))


def _descending(values: NDArray[np.floating[Any]], size: int | None = None) -> Array:
    """Sort in descending order and fill up with zeros."""
    ordered = np.sort(values.ravel())[::-1]
    padded = np.zeros(ordered.size if size is None else size)
    padded[: ordered.size] = ordered
    return padded
