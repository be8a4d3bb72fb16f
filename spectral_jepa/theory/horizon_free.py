"""Planning error that does not grow with the horizon (docs/horizon_free.md).

Where w is stationary under every action, N_a = D^{1/2} P_a D^{-1/2} has norm 1. Let the model B_a keep some of its singular
triplets, and s be the largest singular value that any action leaves out. Along one action sequence let v be the true vector
N_0 ... N_{T-1} u and b the model's, |u| = 1, and r^2 = 1 - s^2. Then

    |v - r^2 b|^2 + r^2 s^2 |b|^2    and    |v - b|^2 + t^2 |v + b|^2,    t = tan(arcsin(s) / 2),

start at s^2 and 4 t^2 and never grow with a step (:func:`two_vector_form`, which holds both). The second bounds the error of
a model's value, |v - b| <= 2 t. The first bounds regret, since b and r^2 b rank action sequences alike: T steps cost no more
than one. A model that sees N_a through an encoder only, B_a = N_a Pi_a, errs by sqrt(T) s.
"""

from __future__ import annotations

import math

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_array, as_float, check_count, check_fraction
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.planning.goal import GoalPlan
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.goal_bounds import (
    QUANTITY,
    TOLERANCE,
    _in_weights,
    _keeps_law,
    _largest_norm,
    _operator_rollout,
    _scores_transition,
    _times_risk,
    check_plan,
    reach_over_start,
)


@checked()
def two_vector_form(true: Array, model: Array, left_out: float, scale: float = 1.0) -> Array:
    """|v|^2 - 2 r c v.b + c^2 |b|^2, r^2 = 1 - s^2: never larger after a step that truncates at s, whatever c.

    Parameters
    ----------
    true, model : array (..., n)
        v and b: what the true and the truncated matrices have made of the same vector.
    left_out : float in [0, 1]
        s, the largest singular value left out.
    scale : float in [0, 1]
        c. At c = r it is |v - r^2 b|^2 + r^2 s^2 |b|^2; at c = 1, (|v - b|^2 + t^2 |v + b|^2) / (1 + t^2).

    Returns
    -------
    array (...)

    Raises
    ------
    InputError
        Vectors of different shapes, a ``left_out`` outside [0, 1] or a ``scale`` outside it.

    Notes
    -----
    O(entries). Source: docs/horizon_free.md, section 2.

    Examples
    --------
    It starts at 1 - 2 r c + c^2, which is s^2 at c = r. A step by diag(1, .6) of which the model keeps the 1:

    >>> start, after = np.array([0.6, 0.8]), (np.array([0.6, 0.48]), np.array([0.6, 0.0]))
    >>> float(two_vector_form(start, start, 0.6, 0.8).round(12)), float(two_vector_form(*after, 0.6, 0.8).round(12))
    (0.36, 0.36)
    """
    shape, scale = as_array("true", true).shape, check_fraction("scale", scale)
    v, b = as_float("true", true, shape), as_float("model", model, shape)
    r = math.sqrt(1 - check_fraction("left_out", left_out) ** 2)
    return np.sum(v**2, axis=-1) - 2 * r * scale * np.sum(v * b, axis=-1) + scale**2 * np.sum(b**2, axis=-1)


@checked()
def horizon_free_error(left_out: float, horizon: int, *, shared: bool = False) -> float:
    """Largest error of the product of T models, in the norm of D^{1/2} (.) D^{-1/2}: what a planned value may be wrong by.

    min(sqrt(T) s, 2 tan(arcsin(s) / 2)) per action, min(sqrt(T) s, 2) through an encoder.

    Parameters
    ----------
    left_out : float in [0, 1]
        s: per action the largest singular value left out, max_a s_{k+1}(a); shared: max_a ||N_a (1 - Pi)||_2.
    horizon : int
        Number of steps T >= 1.
    shared : bool
        The models are N_a Pi_a, with any projectors, instead of truncated SVDs.

    Returns
    -------
    float

    Raises
    ------
    InputError
        A ``left_out`` outside [0, 1], or no step.

    Notes
    -----
    O(1). The tangent is approached by planar contractions as T grows. Source: docs/horizon_free.md, 1 and 3.

    Examples
    --------
    >>> [round(horizon_free_error(0.6, steps), 4) for steps in (1, 2, 64)]
    [0.6, 0.6667, 0.6667]
    >>> [round(horizon_free_error(0.6, steps, shared=True), 4) for steps in (1, 2, 64)]
    [0.6, 0.8485, 2.0]
    """
    s, root = check_fraction("left_out", left_out), math.sqrt(check_count("horizon", horizon))
    return min(root * s, 2.0 if shared else 2 * s / (1 + math.sqrt(1 - s**2)))


@checked()
def horizon_free_factor(left_out: float, horizon: int, *, shared: bool = False, contraction: float = 1.0) -> float:
    """c with regret(x, y) <= 2 sqrt(w(y) / w(x)) c over T steps: s, whatever T; min(1, sqrt(T) s) through an encoder.

    With a spectral gap, ||N_a|| <= sigma off the constant, s sigma^(T-1), resp. min(sigma^T, sqrt(T) s sigma^(T-1)).

    Parameters
    ----------
    left_out : float in [0, 1]
        s, as in :func:`horizon_free_error`.
    horizon : int
        Number of steps T >= 1.
    shared : bool
        The models are N_a Pi_a instead of truncated SVDs.
    contraction : float in [0, 1]
        sigma = max_a s_2(a), if the models keep the constant. 1: no gap is used.

    Returns
    -------
    float

    Raises
    ------
    InputError
        A number outside [0, 1], a ``left_out`` above the ``contraction``, or no step.

    Notes
    -----
    O(1). Source: docs/horizon_free.md, 1 and 2.

    Examples
    --------
    >>> [round(horizon_free_factor(0.3, steps), 4) for steps in (1, 4, 64)]
    [0.3, 0.3, 0.3]
    >>> [round(horizon_free_factor(0.3, steps, shared=True), 4) for steps in (1, 4, 64)]
    [0.3, 0.6, 1.0]
    >>> round(horizon_free_factor(0.3, 4, contraction=0.9), 4)
    0.2187
    """
    s, sigma = check_fraction("left_out", left_out), check_fraction("contraction", contraction)
    steps = check_count("horizon", horizon)
    if s > sigma + TOLERANCE:
        raise InputError(
            f"left_out is {s:.6g} and contraction {sigma:.6g}, expected the part to be no larger than the whole: "
            "pass contraction=1 for a model that may leave out the constant"
        )
    return _factor(s, steps, shared, sigma)


@checked()
def horizon_free_bound(
    exact: CoOccurrence, embedding: Embedding, plan: GoalPlan, *, shared: bool | None = None, gap: bool = False
) -> Bound:
    """Regret <= 2 sqrt(w(g) / w(x)) max_a s_{k+1}(a), over pairs, whatever the horizon; sqrt(T) times that if shared.

    Where :func:`multi_step_bound` has T. It holds for every set of action sequences to plan among.

    Parameters
    ----------
    exact : CoOccurrence
        Of the world planned in.
    embedding : Embedding
        That the plan was made with.
    plan : GoalPlan
    shared : bool, optional
        False: the form for models that keep singular triplets of each action. True: that for any encoder with its best
        free prediction. Default: as the embedding is.
    gap : bool
        Use the spectral gap: times sqrt((1 - w(x)) (1 - w(g))) sigma^(T-1), sigma = max_a s_2(a).

    Returns
    -------
    Bound
        On the mean regret; infinite where the data never visit a start.

    Raises
    ------
    InputError
        A plan of another world, or an embedding of other spaces.

    Notes
    -----
    O(A S^3). Source: docs/horizon_free.md, 1; improves docs/theory.md, 4.3.

    Examples
    --------
    Second singular values .8 and .4, w uniform: 2 * .8 at one step and at five. With the gap 2 * .8^5 * (1 - 1/2).

    >>> from spectral_jepa import TabularMDP, plan_goals, spectral_embedding
    >>> mdp = TabularMDP([[[0.9, 0.1], [0.1, 0.9]], [[0.3, 0.7], [0.7, 0.3]]])
    >>> exact = CoOccurrence.exact(mdp)
    >>> poor = spectral_embedding(exact, 1)
    >>> plans = [plan_goals(mdp, poor, horizon=steps) for steps in (1, 5)]
    >>> [round(horizon_free_bound(exact, poor, plan).value, 3) for plan in plans]
    [1.6, 1.6]
    >>> bound = horizon_free_bound(exact, poor, plans[1], gap=True)
    >>> round(plans[1].mean_regret, 3), round(bound.value, 3), bound.holds
    (0.123, 0.328, True)
    """
    check_plan(exact, plan, embedding)
    encoder = embedding.shared if shared is None else shared
    weight = exact.row_weight[0]
    true, model = _in_weights(exact, embedding)
    rest = true - model
    constant = np.sqrt(weight)
    contraction = _largest_norm(true - constant[:, None] * constant[None, :]) if gap else 1.0
    factor = _factor(_largest_norm(rest), plan.horizon, encoder, contraction)
    pairs = np.sqrt(reach_over_start(weight[plan.goals], weight[plan.starts]))
    if gap:
        # Never 0, which times the infinite ratio of a start without mass would be no number.
        off = np.sqrt(np.maximum(TOLERANCE, 1 - weight))
        pairs = pairs * off[plan.starts][:, None] * off[plan.goals][None, :]
    transposed = np.swapaxes(model, 1, 2)
    apart = [_largest_norm(rest @ transposed) < TOLERANCE, encoder or _largest_norm(transposed @ rest) < TOLERANCE]
    form = "every B(a) = N(a) Pi(a): best free prediction" if encoder else "every B(a) keeps singular triplets of N(a)"
    kept = max(np.abs(model @ constant - constant).max(), np.abs(transposed @ constant - constant).max()) < TOLERANCE
    return Bound(
        _times_risk(2 * plan.average(pairs), factor),
        QUANTITY,
        plan.average(plan.best),
        (
            *_keeps_law(exact),
            Assumption(form, all(apart)),
            _operator_rollout(plan),
            _scores_transition(plan),
            *([Assumption("every B(a) keeps the constant", bool(kept))] if gap else []),
        ),
        f"horizon-free bound, {'through an encoder' if encoder else 'per action'} (docs/horizon_free.md, 1)",
    )


def _factor(left_out: float, horizon: int, shared: bool, contraction: float) -> float:
    shrunk = left_out * contraction ** (horizon - 1)
    return min(contraction**horizon, math.sqrt(horizon) * shrunk) if shared else shrunk
