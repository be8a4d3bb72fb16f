"""The paper's two empirical risks of one action (arXiv 2606.27014, Def 3.2 and 3.4), both unbiased (Lemma 3.3 and 3.5).

Anchors x_1, ..., x_n are drawn from w; what follows an anchor is averaged exactly in the first risk and drawn in the second.

- Def 3.2 (eq 13): -2/n sum_i E[g(x_i)^T f(x+) | x_i] + 1/(n(n-1)) sum_{i != j} E[(g(x_i)^T f(x'))^2 | x' ~ P(.|x_j)].
  Printed with f(x') in the first term, which must be f(x+): with a successor of another anchor that term would estimate
  -2 (E g)^T (E f+), without any dynamics in it.
- Def 3.4 (eq 15-16): a random order cuts the anchors into n/2 pairs; the first gives z and its successor z+, the second
  gives z', a successor of its own; the mean of -2 g(z)^T f(z+) + (g(z)^T f(z'))^2.

Over anchors, the first has mean L_spec (:func:`spectral_loss`); over orders and successors, the second has mean the first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, check_count, check_indices, require_memory
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.theory.risks import _check_spaces

Indices = NDArray[np.int64]


@checked()
def empirical_risk(
    exact: CoOccurrence, embedding: Embedding, anchors: ArrayLike, *, action: int = 0, distinct_pairs: bool = True
) -> float:
    """Empirical spectral risk of some anchors, their successors averaged exactly (Def 3.2, eq 13, with f(x+) put right).

    Parameters
    ----------
    exact : CoOccurrence
        Gives P(.|x,a).
    embedding : Embedding
    anchors : array of int (n,)
        State ids, n >= 2, repeats allowed; i.i.d. from w for the lemma.
    action : int
    distinct_pairs : bool
        False: average over all n^2 pairs, i = j included. Biased, by (E[(g^T f(x+))^2] - E[(g^T f(x'))^2]) / n.

    Returns
    -------
    float
        An unbiased estimate of :func:`spectral_loss`.

    Raises
    ------
    InputError
        Fewer than two anchors, ids out of range, or an anchor of which ``exact`` knows no successor.

    Notes
    -----
    O(n^2 + n S k). Source: arXiv 2606.27014, Def 3.2 and Lemma 3.3.

    Examples
    --------
    >>> from spectral_jepa import TabularMDP, spectral_embedding
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> embedding = spectral_embedding(exact, 2)
    >>> samples = [(0, 0), (0, 1), (1, 0), (1, 1)]
    >>> risks = [empirical_risk(exact, embedding, anchors) for anchors in samples]
    >>> [round(risk, 12) for risk in risks], round(float(np.mean(risks)), 12)
    ([-0.36, -2.92, -2.92, -0.36], -1.64)
    """
    _check_spaces(exact, embedding)
    _check_action(action, embedding)
    drawn = check_indices("anchors", np.atleast_1d(anchors), embedding.n_states, "state")
    n = check_count("the number of anchors", len(drawn), 2, None, "the second term needs pairs of them")
    require_memory((n, n + exact.n_states), "the table of pairs of anchors", "use fewer anchors", copies=2)
    ratio = embedding.density_ratio()[action][drawn]
    following = exact.conditional()[action][drawn]
    if not (following.sum(axis=1) > 0).all():
        where = int(drawn[np.argmin(following.sum(axis=1))])
        raise InputError(f"anchor {where} has no successor in the co-occurrence, expected one: draw from its row law")
    alignment = np.sum(following * ratio) / n
    pairs = ratio**2 @ following.T
    if not distinct_pairs:
        return float(-2 * alignment + pairs.mean())
    return float(-2 * alignment + (pairs.sum() - np.trace(pairs)) / (n * (n - 1)))


@checked()
def tuple_risk(
    embedding: Embedding, anchors: ArrayLike, successors: ArrayLike, negatives: ArrayLike, *, action: int = 0
) -> float:
    """Mean of -2 g(z)^T f(z+) + (g(z)^T f(z'))^2 over tuples (z, z+, z') (Def 3.4, eq 16).

    Parameters
    ----------
    embedding : Embedding
    anchors, successors, negatives : arrays of int (m,)
        As :func:`draw_tuples` gives them.
    action : int

    Returns
    -------
    float
        An unbiased estimate of :func:`spectral_loss` if the anchors were i.i.d. from w.

    Raises
    ------
    InputError
        Arrays of different or zero length, ids out of range.

    Notes
    -----
    O(m k) for m tuples. Source: arXiv 2606.27014, Def 3.4 and Lemma 3.5.

    Examples
    --------
    g^T f is .9 / .5 for a state and itself, .1 / .5 for it and the other: -2 * 1.8 + .2^2.

    >>> from spectral_jepa import TabularMDP, spectral_embedding
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> round(tuple_risk(spectral_embedding(exact, 2), [0], [0], [1]), 12)
    -3.56
    """
    _check_action(action, embedding)
    named = {"anchors": anchors, "successors": successors, "negatives": negatives}
    z, after, other = (check_indices(k, np.atleast_1d(v), embedding.n_states, "state") for k, v in named.items())
    if not 0 < len(z) == len(after) == len(other):
        raise InputError(
            f"anchors, successors and negatives have {len(z)}, {len(after)} and {len(other)} entries, expected the same "
            "number, at least 1: pass one of each a tuple"
        )
    predicted, target = embedding.predicted[action][z], embedding.targets[action]
    aligned, independent = (np.sum(predicted * target[ids], axis=1) for ids in (after, other))
    return float(np.mean(-2 * aligned + independent**2))


@checked()
def draw_tuples(
    exact: CoOccurrence, anchors: ArrayLike, *, action: int = 0, seed: int | np.random.Generator
) -> tuple[Indices, Indices, Indices]:
    """Cut anchors into disjoint pairs in random order and draw successors: z, z+ and z' of Def 3.4.

    Parameters
    ----------
    exact : CoOccurrence
        Gives P(.|x,a).
    anchors : array of int (n,)
        State ids, n >= 2, repeats allowed; of an odd number, one chosen at random is left out.
    action : int
    seed : int or numpy Generator

    Returns
    -------
    anchors, successors, negatives : arrays of int (n // 2,)
        z and z+ come from the first anchor of a pair, z' is a successor of the second.

    Raises
    ------
    InputError
        Fewer than two anchors, ids out of range, or an anchor of which ``exact`` knows no successor.

    Notes
    -----
    O(A S^2 + n S). Source: arXiv 2606.27014, Def 3.4.

    Examples
    --------
    States that stay where they are: z+ = z, and z' is the other anchor of the pair.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([np.eye(4)]))
    >>> z, after, other = draw_tuples(exact, [0, 1, 2, 3], seed=0)
    >>> (z == after).all(), sorted([*z.tolist(), *other.tolist()])
    (np.True_, [0, 1, 2, 3])
    """
    check_count("action", action, 0, exact.n_actions - 1)
    drawn = check_indices("anchors", np.atleast_1d(anchors), exact.n_states, "state")
    check_count("the number of anchors", len(drawn), 2, None, "a tuple takes two of them")
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(drawn)[: 2 * (len(drawn) // 2)].reshape(-1, 2)
    conditional = exact.conditional()[action]
    return pairs[:, 0], _draw(rng, conditional[pairs[:, 0]]), _draw(rng, conditional[pairs[:, 1]])


def _draw(rng: np.random.Generator, laws: Array) -> Indices:
    """One index from each row of probabilities."""
    cumulative = np.cumsum(laws, axis=1)
    if not (cumulative[:, -1] > 0).all():
        raise InputError("an anchor has no successor in the co-occurrence, expected one: draw from its row law")
    # Scaled by the total, so that rounding below 1 leaves no gap at the end.
    return np.sum(rng.random((len(laws), 1)) * cumulative[:, -1:] >= cumulative, axis=1)


def _check_action(action: int, embedding: Embedding) -> None:
    check_count("action", action, 0, embedding.n_actions - 1, "the ids of the embedding's actions")
