"""What N transitions do to the spectrum: exact variance, Bernstein, the oracle inequality, and Thm 4.4-4.6 as printed.

Write Mhat = Mbar + E for the estimate with known marginals. Then E||E||_F^2 = (S - ||Mbar||_F^2) / N exactly with
S = sum w(x,y) / (w(x) w+(y)); ||E||_2 obeys matrix Bernstein; and the rank-k truncated SVD of Mhat obeys
sqrt(R_S) <= sqrt(tail_k) + 2 sqrt(2k) ||E||_2 (docs/theory.md, 4.5-4.6).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_distribution, check_count, check_nonnegative, require_memory
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import tail
from spectral_jepa.linalg import inverse_or_zero, squared_norm
from spectral_jepa.planning.goal import GoalPlan
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.goal_bounds import PAPER, check_plan, printed_spurious_constant, reach_over_start

# Its fourth power, times the squared dimension, still is a float64 number.
LARGEST = 1e60
INDEPENDENT = Assumption("the transitions are i.i.d. from the data law", None)
KNOWN = Assumption("the estimate divides by the true marginals", None)
TRUNCATED_ESTIMATE = Assumption(
    "the embedding is the truncated SVD of an estimate Mbar + E in the weights of the truth", None
)


@checked()
def expected_squared_error(exact: CoOccurrence, n_samples: int, *, shared: bool = False) -> Array:
    """E||Mhat - Mbar||_F^2 = (S - ||Mbar||_F^2) / N, an equality.

    Parameters
    ----------
    exact : CoOccurrence
    n_samples : int
        N transitions of each action; when ``shared``, of all actions together, drawn i.i.d. and estimated by
        counts / (N sqrt(rho q)). ``CoOccurrence.stacked`` with known marginals weighs actions by p(a), not by how often
        each came up, and obeys another (at large N slightly smaller) variance.
    shared : bool
        The stacked matrix instead of one value an action.

    Returns
    -------
    array (A,), or () when shared

    Raises
    ------
    InputError
        If ``n_samples`` is not a whole number above 0.

    Notes
    -----
    O(A S^2), dense. Source: docs/theory.md, 4.6.

    Examples
    --------
    S = 4 and ||Mbar||_F^2 = 1: 3 / 30.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.5, 0.5], [0.5, 0.5]]]))
    >>> expected_squared_error(exact, 30).round(12)
    array([0.1])
    """
    check_count("n_samples", n_samples)
    joint, row, column = _pair_laws(exact, shared)
    inverse = inverse_or_zero(row)[..., :, None] * inverse_or_zero(column)[..., None, :]
    return (np.sum(joint * inverse, axis=(-2, -1)) - np.sum(joint**2 * inverse, axis=(-2, -1))) / n_samples


@checked()
def bernstein_bound(
    exact: CoOccurrence, n_samples: int, *, failure_probability: float | None = None, shared: bool = False
) -> tuple[Bound, ...]:
    """Matrix Bernstein for ||Mhat - Mbar||_2: in expectation, or with probability 1 - delta.

    L = 1 / sqrt(w_min w+_min) + 1, v = max(max_x sum_y P(y|x)/w+(y), max_y sum_x P(x|y)/w(x)) / N, d = rows + columns:
    E||E||_2 <= sqrt(2 v log d) + L log(d) / (3N), and with probability 1 - delta
    ||E||_2 <= sqrt(2 v log(d/delta)) + 2 L log(d/delta) / (3N).

    Parameters
    ----------
    exact : CoOccurrence
    n_samples : int
        N transitions of each action, or of all together when ``shared``.
    failure_probability : float in (0, 1), optional
        delta. Default: the bound in expectation.
    shared : bool
        The stacked matrix instead of one bound an action.

    Returns
    -------
    tuple of Bound, one an action (one in all when ``shared``)
        The ceiling is 1, the error of the estimate 0.

    Raises
    ------
    InputError
        If ``n_samples`` is not a whole number above 0, or ``failure_probability`` not in (0, 1).

    Notes
    -----
    O(A S^2), dense. Source: docs/theory.md, 4.6.

    Examples
    --------
    v = .002, L = 3, d = 4: sqrt(.004 log 4) + 3 log 4 / 3000.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.5, 0.5], [0.5, 0.5]]]))
    >>> round(bernstein_bound(exact, 1000)[0].value, 4)
    0.0759
    """
    check_count("n_samples", n_samples)
    if failure_probability is not None:
        _failure(failure_probability)
    joint, row, column = _pair_laws(exact, shared)
    if shared:
        joint, row, column = joint[None], row[None], column[None]
    bounds = []
    for m, r, c in zip(joint, row, column, strict=True):
        inverse_r, inverse_c = inverse_or_zero(r), inverse_or_zero(c)
        by_row, by_column = (m @ inverse_c) * inverse_r, (inverse_r @ m) * inverse_c
        variance = max(by_row.max(), by_column.max()) / n_samples
        largest = 1 / np.sqrt(r[r > 0].min() * c[c > 0].min()) + 1
        size = np.count_nonzero(r) + np.count_nonzero(c)
        log = np.log(size if failure_probability is None else size / failure_probability)
        factor = 1 if failure_probability is None else 2
        value = np.sqrt(2 * variance * log) + factor * largest * log / (3 * n_samples)
        how = "in expectation" if failure_probability is None else f"with probability {1 - failure_probability:g}"
        # ||Mbar||_2 = 1 and the estimate 0 has error 1: a larger bound says nothing.
        bounds.append(
            Bound(
                float(value),
                f"sampling error ||E||_2 {how}",
                1.0,
                (INDEPENDENT, KNOWN),
                "matrix Bernstein (docs/theory.md, 4.6)",
            )
        )
    return tuple(bounds)


@checked()
def oracle_bound(exact: CoOccurrence, dim: int, error_norm: float, *, action: int | None = None) -> Bound:
    """sqrt(R_S) <= sqrt(tail_k) + 2 sqrt(2k) ||E||_2 for the rank-k truncated SVD of Mhat = Mbar + E.

    Parameters
    ----------
    exact : CoOccurrence
    dim : int
        Latent dimension k.
    error_norm : float
        ||E||_2: measured, or a bound on it (then this bound holds when that one does).
    action : int, optional
        One action's matrix. Default: the stacked matrix.

    Returns
    -------
    Bound
        On sqrt(R_S); the ceiling is that of predicting nothing.

    Raises
    ------
    InputError
        A dimension or an action out of range, or a negative norm.

    Notes
    -----
    Cost of :func:`spectral_jepa.embedding.tail`. Source: docs/theory.md, 4.5.

    Examples
    --------
    .8 + 2 sqrt(2) * .1.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> round(oracle_bound(exact, 1, 0.1, action=0).value, 4)
    1.0828
    """
    missed, ceiling = _tail_and_norm(exact, dim, action, error_norm)
    return Bound(
        float(np.sqrt(missed) + 2 * np.sqrt(2 * dim) * error_norm),
        "root pretraining error sqrt(R_S)",
        ceiling,
        (TRUNCATED_ESTIMATE,),
        "oracle inequality (docs/theory.md, 4.5)",
    )


def _tail_and_norm(exact: CoOccurrence, dim: int, action: int | None, error_norm: float) -> tuple[float, float]:
    """tail_k and ||Mbar||_F of one action, or of the stack, for the arguments of an oracle inequality, which it checks."""
    check_nonnegative("error_norm", error_norm)
    if action is None:
        return float(tail(exact, dim, shared=True)), float(np.sqrt(squared_norm(exact.stacked)))
    check_count("action", action, 0, exact.n_actions - 1, "the ids of its actions")
    return float(tail(exact, dim)[action]), float(np.sqrt(squared_norm(exact.normalized[action])))


@checked()
def rademacher_complexity(weight: Array, n_samples: int, ceiling: float) -> float:
    """Rademacher complexity of all functions on a finite set bounded by ``ceiling``, at N samples from ``weight``.

    (ceiling / N) sum_x E|sum_i sigma_i 1[x_i = x]|, each term the mean absolute position of a lazy random walk, by
    |s| = (1/pi) int_0^pi (1 - cos ts) / (1 - cos t) dt. The midpoint rule with m nodes is exact for walks shorter than m;
    twelve standard deviations of the walk are enough for rounding error.

    Parameters
    ----------
    weight : array (S,)
        The law, which sums to 1.
    n_samples : int
        N.
    ceiling : float >= 0
        Largest absolute value of the functions.

    Returns
    -------
    float
        Between 0 and ``ceiling``.

    Raises
    ------
    InputError
        A weight that is no law, a negative ceiling, ``n_samples`` below 1 or so large that the table would not fit.

    Notes
    -----
    O(S sqrt(N)); values at ceiling 1 are cached. Source: arXiv 2606.27014, Thm 4.4; docs/theory.md, section 1.

    Examples
    --------
    One state and two signs: their sum is 0 or 2 in absolute value, each half of the time.

    >>> round(rademacher_complexity(np.array([1.0]), 2, 1.0), 12)
    0.5
    """
    check_count("n_samples", n_samples)
    check_nonnegative("ceiling", ceiling)
    law = as_distribution("weight", weight, len(np.atleast_1d(weight)))
    nodes = min(n_samples, 12 * math.isqrt(n_samples)) + 1
    require_memory((law.size, nodes), "the table of the quadrature", "use fewer samples or states", copies=3)
    return ceiling * _unit_rademacher(np.ascontiguousarray(law).tobytes(), n_samples)


@lru_cache(maxsize=1024)
def _unit_rademacher(weight_bytes: bytes, n_samples: int) -> float:
    """Rademacher complexity at ceiling 1; kept, because a sweep asks for it again at every dimension."""
    weight = np.frombuffer(weight_bytes)
    n_nodes = min(n_samples, int(12 * np.sqrt(n_samples))) + 1
    cosine = np.cos((np.arange(n_nodes) + 0.5) * np.pi / n_nodes)
    walk = 1 - (1 - weight[:, None] * (1 - cosine)) ** n_samples
    return float(np.mean(walk / (1 - cosine), axis=1).sum() / n_samples)


@checked()
def printed_sample_bound(
    exact: CoOccurrence,
    dim: int,
    n_samples: int,
    *,
    ceiling: float,
    action: int = 0,
    failure_probability: float = 0.05,
) -> Bound:
    """Thm 4.4 as printed: excess R_S <= c1 [Rad(G.F) + Rad(F)] + c2 (sqrt(log(2/delta)/n) + delta).

    c1 = 32 k^2 kappa^3 + 32 k kappa, c2 = 8 k kappa^2 + 2 k^2 kappa^4, for coordinates bounded by kappa = ``ceiling``; the
    Rademacher terms are those of all tabular coordinates so bounded, at n/2 samples.

    Parameters
    ----------
    exact : CoOccurrence
    dim : int in [1, S]
        Latent dimension k.
    n_samples : int
        n transitions of the action.
    ceiling : float > 0
        kappa, the largest coordinate of f and g in absolute value.
    action : int
    failure_probability : float in (0, 1)
        delta.

    Returns
    -------
    Bound
        On the excess of R_S(a) over the best of the class; the ceiling is the risk of predicting nothing.

    Raises
    ------
    InputError
        If ``dim``, ``ceiling`` or ``failure_probability`` is out of range.

    Notes
    -----
    O(A S^2 + S sqrt(n)). Source: arXiv 2606.27014, Thm 4.4; docs/theory.md, section 1.

    Examples
    --------
    One state, where there is nothing to learn: 64 (.5 + .5) + 10 (sqrt(log(40) / 4) + .05).

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[1.0]]]))
    >>> bound = printed_sample_bound(exact, 1, 4, ceiling=1.0)
    >>> round(bound.value, 3), bound.vacuous
    (74.103, True)
    """
    check_count("dim", dim, 1, exact.n_states)
    check_count("n_samples", n_samples)
    check_count("action", action, 0, exact.n_actions - 1, "the ids of its actions")
    kappa = _positive("ceiling", ceiling)
    rademacher = _rademacher_pair(exact, action, n_samples, kappa)
    c1, c2 = 32 * dim**2 * kappa**3 + 32 * dim * kappa, _printed_c2(dim, kappa)
    value = c1 * rademacher + c2 * _printed_confidence(n_samples, failure_probability)
    return Bound(
        float(value),
        f"excess pretraining error with probability {1 - failure_probability:g}",
        float(exact.action_norms()[action]),
        _printed_sampling(kappa),
        f"{PAPER}, Thm 4.4",
    )


@checked()
def printed_chain_bound(
    exact: CoOccurrence,
    dim: int,
    n_samples: int,
    plan: GoalPlan,
    *,
    ceiling: float,
    failure_probability: float = 0.05,
    spurious_constant: bool = True,
) -> Bound:
    """Thm 4.5 (T = 1) or 4.6 (T > 1) as printed: 4.1 or 4.2 chained with 4.3 and 4.4 under the root.

    2 c0 [or 2 T c3] sqrt(max_a tail_k(a) + c1 [Rad + Rad] + c2 (...) + c) with the printed
    c1 = 16 k^2 kappa^2 + 16 k^2 kappa, which differs from Thm 4.4's, and the printed c, which nothing needs.

    Parameters
    ----------
    exact : CoOccurrence
    dim : int in [1, S]
        Latent dimension k.
    n_samples : int
        n transitions of each action.
    plan : GoalPlan
        Gives starts, goals and the horizon T.
    ceiling : float > 0
        kappa, the largest coordinate of f and g in absolute value.
    failure_probability : float in (0, 1)
        delta.
    spurious_constant : bool
        False: leave out c.

    Returns
    -------
    Bound
        On the mean regret, in probability.

    Raises
    ------
    InputError
        If ``dim``, ``ceiling`` or ``failure_probability`` is out of range.

    Notes
    -----
    O(A S^3 + A S sqrt(n)). Source: arXiv 2606.27014, Thm 4.5 and 4.6; docs/theory.md, section 1.

    Examples
    --------
    One state, where no plan can go wrong: 2 sqrt(32 (.5 + .5) + 10 (sqrt(log(40) / 4) + .05) + 1).

    >>> from spectral_jepa import TabularMDP, plan_goals, spectral_embedding
    >>> mdp = TabularMDP([[[1.0]]])
    >>> exact = CoOccurrence.exact(mdp)
    >>> plan = plan_goals(mdp, spectral_embedding(exact, 1))
    >>> plan.mean_regret, round(printed_chain_bound(exact, 1, 4, plan, ceiling=1.0).value, 3)
    (0.0, 13.131)
    """
    check_count("dim", dim, 1, exact.n_states)
    check_count("n_samples", n_samples)
    check_plan(exact, plan)
    kappa = _positive("ceiling", ceiling)
    rademacher = max(_rademacher_pair(exact, a, n_samples, kappa) for a in range(exact.n_actions))
    c1, c2 = 16 * dim**2 * kappa**2 + 16 * dim**2 * kappa, _printed_c2(dim, kappa)
    under_root = tail(exact, dim).max() + c1 * rademacher + c2 * _printed_confidence(n_samples, failure_probability)
    if spurious_constant:
        under_root += printed_spurious_constant(exact, plan)
    ratio = reach_over_start(exact.column_weight.max(axis=0)[plan.goals], exact.row_weight[0, plan.starts])
    single = plan.horizon == 1
    factor = plan.average(np.sqrt(ratio)) if single else plan.horizon * float(np.sqrt(ratio.max()))
    return Bound(
        float(2 * factor * np.sqrt(under_root)),
        "mean goal regret (probability)",
        plan.average(plan.best),
        (
            *_printed_sampling(kappa),
            Assumption(f"the hypotheses of Thm {'4.1' if single else '4.2'}, which is false as printed", None),
        ),
        f"{PAPER}, Thm {'4.5' if single else '4.6'}{'' if spurious_constant else ' without the constant c'}",
    )


def _pair_laws(exact: CoOccurrence, shared: bool) -> tuple[Array, Array, Array]:
    """Joint law and its two normalisers, (A, S, S) or the stacked (A * S, S)."""
    joint = exact.dense_joint()
    if not shared:
        return joint, exact.row_weight, exact.column_weight
    pooled = (exact.action_frequency[:, None, None] * joint).reshape(-1, exact.n_states)
    return pooled, exact.pooled_weight.ravel(), exact.pooled_column_weight


def _rademacher_pair(exact: CoOccurrence, action: int, n_samples: int, kappa: float) -> float:
    half = max(n_samples // 2, 1)
    return sum(rademacher_complexity(law[action], half, kappa) for law in (exact.row_weight, exact.column_weight))


def _printed_c2(dim: int, kappa: float) -> float:
    return 8 * dim * kappa**2 + 2 * dim**2 * kappa**4


def _printed_confidence(n_samples: int, delta: float) -> float:
    return float(np.sqrt(np.log(2 / _failure(delta)) / n_samples) + delta)


def _printed_sampling(kappa: float) -> tuple[Assumption, ...]:
    return (
        Assumption(f"f and g minimise the empirical risk among coordinates bounded by {kappa:.3g}", None),
        INDEPENDENT,
    )


def _positive(name: str, value: float) -> float:
    if not 0 < value < LARGEST:
        raise InputError(
            f"{name} is {value}, expected a number above 0 and below {LARGEST:g}: pass the largest coordinate of f and g"
        )
    return float(value)


def _failure(probability: float) -> float:
    if not 0 < probability < 1:
        raise InputError(f"failure_probability is {probability}, expected a number in (0, 1): 0.05 is common")
    return float(probability)
