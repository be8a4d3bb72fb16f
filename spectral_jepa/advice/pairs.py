"""Pairs of a latent (with its action) and the next latent, which episode each belongs to, and which fold each episode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._notebook import short_repr
from spectral_jepa._validation import Array, InputError, as_array, as_float, check_count, read_only, require_memory

Ids = NDArray[np.int64]
# Rows without episode numbers are cut into so many stretches, which stand for episodes.
STRETCHES = 50
# More labels than this are no choice among actions but a number.
MOST_LABELS = 1000
# A direction with less than this share of the largest variance is a rounding error (of float32: 1e-14), not a function.
SMALLEST_SHARE = 1e-10
# Rows that every fit must have, for each function of the current and of the next latent.
ROWS_A_FUNCTION = 2


@dataclass(frozen=True, eq=False, repr=False)
class Pairs:
    """What is known at a step, what came next, and which rows belong together.

    Parameters
    ----------
    current : array (N, p)
        Functions of latent and action: see :func:`make_pairs`.
    following : array (N, d)
        Next latents in an orthonormal basis of the directions in which they vary.
    next_latents : array (N, D)
        The next latents as they were given.
    dim : int
        D, of the next latents.
    group : int array (N,)
        Episode of each row, or its stretch of rows; 0, 1, ... up to G - 1.
    fold : int array (N,)
        Part of the data that the row belongs to, all rows of a group in one.
    n_folds : int
    n_actions : int
        Labels, or 0 for vectors or none.
    known_episodes : bool
        Whether groups are episodes.
    """

    current: Array
    following: Array
    next_latents: Array
    dim: int
    group: Ids
    fold: Ids
    n_folds: int
    n_actions: int
    known_episodes: bool

    def __repr__(self) -> str:
        return short_repr(self)

    def __len__(self) -> int:
        return len(self.current)

    @property
    def n_groups(self) -> int:
        """Number of groups of rows that are taken to be independent."""
        return int(self.group.max()) + 1

    @property
    def n_directions(self) -> int:
        """The smaller of p and d: how many singular values there are."""
        return min(self.current.shape[1], self.following.shape[1])

    def sums(self, values: Array) -> Array:
        """Sums over the rows of each group.

        Parameters
        ----------
        values : array (N, m)

        Returns
        -------
        array (G, m)
        """
        return np.stack([np.bincount(self.group, column, self.n_groups) for column in values.T], axis=1)


def make_pairs(
    latents: ArrayLike,
    next_latents: ArrayLike,
    actions: ArrayLike | None = None,
    episodes: ArrayLike | None = None,
    *,
    products: bool = False,
    n_folds: int = 5,
    seed: int = 0,
) -> Pairs:
    """Check the arrays and put them together.

    Parameters
    ----------
    latents : array (N, P)
    next_latents : array (N, D)
    actions : int array (N,) of labels, or array (N, A) of vectors, optional
        With labels the functions of the current latent are those linear in z, each action with a map and a constant of its
        own; with vectors they are linear in (z, a), with ``products`` in (z, a, z a^T) as well. A float array (N,) is a
        vector of one coordinate.
    episodes : array (N,) of whole numbers, optional
        Which rows belong to one episode. Default: 50 stretches of consecutive rows.
    products : bool
        With action vectors only.
    n_folds : int
    seed : int
        Which group goes into which fold.

    Returns
    -------
    Pairs
        Directions of less than 1e-10 of the largest variance are left out.

    Raises
    ------
    InputError
        Arrays of other lengths, latents that do not vary, fewer groups than folds, products without vectors, too few rows
        for the number of functions.

    Notes
    -----
    O(N p^2 + p^3).

    Examples
    --------
    >>> z = np.random.default_rng(0).standard_normal((300, 2))
    >>> pairs = make_pairs(z, np.hstack([z, z]), actions=np.arange(300) % 3)
    >>> pairs.current.shape, pairs.following.shape, pairs.dim, pairs.n_groups
    ((300, 8), (300, 2), 4, 50)
    """
    now, after = as_float("latents", latents, (None, None)), as_float("next_latents", next_latents, (None, None))
    n_rows = len(now)
    if len(after) != n_rows:
        raise InputError(f"next_latents has {len(after)} rows and latents {n_rows}, expected as many: one row a transition")
    n_folds = check_count("n_folds", n_folds, 2)
    group = _groups(episodes, n_rows)
    n_groups = int(group.max(initial=-1)) + 1
    if n_groups < n_folds:
        raise InputError(
            f"there are {n_groups} {'rows' if episodes is None else 'episodes'}, expected at least n_folds {n_folds}: "
            "collect more, or lower n_folds"
        )
    functions, n_actions = _functions(now, actions, products)
    current, following = _varying("latents", functions), _varying("next_latents", after)
    fold_of = np.random.default_rng(seed).permutation(n_groups) % n_folds
    fold = fold_of[group]
    n_functions = current.shape[1] + following.shape[1]
    fewest = n_rows - int(np.bincount(fold, minlength=n_folds).max())
    if fewest < ROWS_A_FUNCTION * n_functions:
        raise InputError(
            f"a fit has {fewest} rows for {current.shape[1]} functions of the current and {following.shape[1]} of the next "
            f"latent, expected at least {ROWS_A_FUNCTION * n_functions}: pass more transitions, or the leading principal "
            "components of the latents"
        )
    return Pairs(
        current=read_only(current),
        following=read_only(following),
        next_latents=read_only(after),
        dim=after.shape[1],
        group=read_only(group),
        fold=read_only(fold),
        n_folds=n_folds,
        n_actions=n_actions,
        known_episodes=episodes is not None,
    )


def _groups(episodes: ArrayLike | None, n_rows: int) -> Ids:
    if episodes is None:
        return np.arange(n_rows) * min(STRETCHES, n_rows) // max(n_rows, 1)
    given = as_array("episodes", episodes)
    if given.shape != (n_rows,):
        raise InputError(f"episodes has shape {given.shape}, expected ({n_rows},): one number a transition")
    return np.unique(given, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _functions(latents: Array, actions: ArrayLike | None, products: bool) -> tuple[Array, int]:
    """Functions of latent and action, and the number of labels."""
    if actions is None:
        if products:
            raise InputError("products multiplies latents by action vectors and no actions were given: pass actions")
        return latents, 0
    given = as_array("actions", actions)
    if given.ndim not in (1, 2) or len(given) != len(latents):
        raise InputError(
            f"actions has shape {given.shape}, expected ({len(latents)},) for labels or ({len(latents)}, A) for vectors: "
            "one action a transition"
        )
    if given.ndim == 1 and given.dtype.kind in "biu":
        if products:
            raise InputError("products is for action vectors, and labels have a map each already: leave products out")
        labels, label = np.unique(given, return_inverse=True)
        if labels.size > MOST_LABELS:
            raise InputError(
                f"actions holds {labels.size:,} labels, expected at most {MOST_LABELS:,}: numbers go in as a float array"
            )
        require_memory((len(latents), labels.size, latents.shape[1] + 1), "the functions of latent and action", "use fewer")
        one = np.eye(labels.size)[label.reshape(-1)]
        return np.hstack([one, (one[:, :, None] * latents[:, None]).reshape(len(latents), -1)]), int(labels.size)
    vectors = as_float("actions", given.reshape(len(latents), -1), (None, None))
    parts = [latents, vectors]
    if products:
        require_memory((len(latents), vectors.shape[1], latents.shape[1]), "the products of latent and action", "use fewer")
        # About their means: the products then repeat as little as can be of what is there already.
        centred = [part - part.mean(axis=0) for part in parts]
        parts.append((centred[0][:, :, None] * centred[1][:, None]).reshape(len(latents), -1))
    return np.hstack(parts), 0


def _varying(name: str, values: Array) -> Array:
    """Values about their mean in the basis of the directions in which they vary."""
    centred = values - values.mean(axis=0) if len(values) else values
    require_memory((values.shape[1], values.shape[1]), f"the covariance of {name}", "use fewer coordinates", copies=3)
    # Units do not matter to a correlation, and must not decide what counts as a rounding error.
    spread = centred.std(axis=0) if len(values) else np.zeros(values.shape[1])
    moving = spread > 1e-12 * np.maximum(np.abs(values).max(axis=0, initial=0), 1e-300)
    if not moving.any():
        raise InputError(f"{name} do not vary, expected at least one coordinate that does: the encoder has collapsed")
    scaled = centred[:, moving] / spread[moving]
    variances, basis = np.linalg.eigh(scaled.T @ scaled / len(values))
    kept = variances > SMALLEST_SHARE * variances[-1]
    return scaled @ basis[:, kept][:, ::-1]
