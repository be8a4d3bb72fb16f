"""How far horizon-freeness reaches: laws that drift, noise, discounted rewards, a shared encoder.

All rests on one form (docs/horizon_free_extensions.md, 0). Let N = B + E be a contraction, B some of its singular triplets,
||E|| <= s, r^2 = 1 - s^2. Then |v|^2 - 2 r c v.b + c^2 |b|^2 does not grow from (v, b) to (N v, B b), for every c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._notebook import short_repr
from spectral_jepa._signatures import checked
from spectral_jepa._validation import (
    Array,
    InputError,
    as_array,
    as_distribution,
    as_float,
    check_count,
    check_fraction,
    check_nonnegative,
    read_only,
)
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding, spectrum
from spectral_jepa.linalg import inverse_or_zero
from spectral_jepa.planning.goal import GoalPlan
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.goal_bounds import (
    QUANTITY,
    _keeps_law,
    _largest_norm,
    _operator_rollout,
    _scores_transition,
    _times_risk,
    check_plan,
    reach_over_start,
)
from spectral_jepa.theory.horizon_free import horizon_free_error

KEPT = 1e-8  # entries of (Mbar - B)^T B and (Mbar - B) B^T below this: B keeps singular triplets
LONGEST = 64  # steps that the search for the worst case takes on
PARALLEL = 1e-14  # squared sine of the angle between two vectors that count as parallel


@checked()
def concentrability_horizon_bound(exact: CoOccurrence, embedding: Embedding, plan: GoalPlan) -> Bound:
    """Regret <= 2 sqrt(max_a w+(g|a) / w(x)) c^{T-1} max_a s_{k+1}(a), c^2 = max_{a,y} w+(y|a) / w(y), averaged over pairs.

    No law need be stationary; where w is, c = 1 and the horizon is free.

    Parameters
    ----------
    exact : CoOccurrence
        Of the world planned in.
    embedding : Embedding
        That the plan was made with: truncated SVDs of each Mbar(a).
    plan : GoalPlan

    Returns
    -------
    Bound
        On the mean regret; infinite where the data never visit a start, or leave w's support.

    Raises
    ------
    InputError
        A plan of another world, or an embedding of other spaces.

    Notes
    -----
    O(A S^3). That the error of values grows exponentially is no artefact: docs/horizon_free_extensions.md, 1.

    Examples
    --------
    c^2 = 1.1, s_2 = .7 * .5 / sqrt(.55 * .45), and the mean of sqrt(w+ / w) over goals is .9988.

    >>> from spectral_jepa import TabularMDP, plan_goals, spectral_embedding
    >>> mdp = TabularMDP([[[0.9, 0.1], [0.2, 0.8]]])
    >>> exact = CoOccurrence.exact(mdp)
    >>> model = spectral_embedding(exact, 1)
    >>> bounds = [concentrability_horizon_bound(exact, model, plan_goals(mdp, model, horizon=steps)) for steps in (1, 3)]
    >>> [round(bound.value, 4) for bound in bounds], round(2 * 0.9988 * 0.7036 * 1.1, 3)
    ([1.4053, 1.5458], 1.546)
    """
    check_plan(exact, plan, embedding)
    weight, after = exact.row_weight[0], exact.column_weight
    root = np.sqrt(weight)
    # Phat as the model of Mbar: D^{1/2} Phat D_a^{-1/2}.
    model = root[:, None] * embedding.transition() * inverse_or_zero(np.sqrt(after))[:, None, :]
    rest = np.asarray(exact.normalized) - model
    transposed = np.swapaxes(model, 1, 2)
    kept = max(np.abs(rest @ transposed).max(), np.abs(transposed @ rest).max()) < KEPT
    # Mass on a successor that an action never reaches is in no Mbar(a), but the planner multiplies by it.
    hidden = np.abs(embedding.transition()[:, weight > 0]) * (after == 0)[:, None, :]
    kept &= hidden.max() < KEPT
    covered = bool((after.max(axis=0)[weight == 0] == 0).all())
    largest = np.float64(np.max(after * inverse_or_zero(weight)))
    with np.errstate(over="ignore"):
        growth = float(largest ** ((plan.horizon - 1) / 2)) if covered else np.inf
    ratio = np.sqrt(reach_over_start(after.max(axis=0)[plan.goals], weight[plan.starts]))
    left_out = _largest_norm(rest)
    return Bound(
        _times_risk(2 * growth * plan.average(ratio), left_out),
        QUANTITY,
        plan.average(plan.best),
        (
            Assumption("w is positive wherever an action leads", covered),
            Assumption("every B(a) keeps singular triplets of Mbar(a)", bool(kept)),
            _operator_rollout(plan),
            _scores_transition(plan),
        ),
        "horizon bound with the price of concentrability (docs/horizon_free_extensions.md, 1)",
    )


@checked()
def clip_contraction(matrix: ArrayLike) -> Array:
    """Singular values above 1 set to 1: the nearest contraction, with the same singular vectors.

    Parameters
    ----------
    matrix : array (..., m, n)

    Returns
    -------
    array (..., m, n)

    Raises
    ------
    InputError
        An array of fewer than two axes, or one without entries.

    Notes
    -----
    A full SVD. What makes an estimate of Mbar compose: docs/horizon_free_extensions.md, 2.

    Examples
    --------
    >>> clip_contraction([[1.25, 0.0], [0.0, 0.5]])
    array([[1. , 0. ],
           [0. , 0.5]])
    """
    shape = as_array("matrix", matrix).shape
    if len(shape) < 2 or 0 in shape:
        raise InputError(f"matrix has shape {shape}, expected (..., m, n) with entries: pass one matrix or a stack of them")
    left, values, right = np.linalg.svd(as_float("matrix", matrix, shape), full_matrices=False)
    return np.asarray((left * np.minimum(values, 1.0)[..., None, :]) @ right)


@checked()
def noisy_horizon_error(left_out: float, error_norm: float, horizon: int, *, clipped: bool = True) -> float:
    """Largest ||N_0 ... N_{T-1} - B_0 ... B_{T-1}||_2 for truncated SVDs B of estimates N + E, ||E||_2 <= e.

    With phi(s) = min(sqrt(T) s, 2 tan(arcsin(s) / 2)): min(2, phi(min(s, 1)) + 2 T e) clipped to norm 1, and
    (1 + e)^T (1 + phi(s / (1 + e))) - 1 as they are.

    Parameters
    ----------
    left_out : float in [0, 1 + error_norm]
        s, the largest singular value that the truncation of any estimate N + E leaves out: read off the data.
    error_norm : float
        e.
    horizon : int
        Number of steps T.
    clipped : bool
        Whether every B is :func:`clip_contraction` of the truncated SVD.

    Returns
    -------
    float

    Raises
    ------
    InputError
        A negative error, a left_out that no such estimate has, or no step.

    Notes
    -----
    O(1). Linear in T through e only, and so it must be. Source: docs/horizon_free_extensions.md, 2.

    Examples
    --------
    >>> [round(noisy_horizon_error(0.6, 0.01, steps), 4) for steps in (1, 2, 20)]
    [0.62, 0.7067, 1.0667]
    >>> round(noisy_horizon_error(0.0, 0.1, 3, clipped=False), 4)
    0.331
    """
    steps = check_count("horizon", horizon)
    check_nonnegative("error_norm", error_norm)
    largest = 1 + error_norm
    if not 0 <= left_out <= largest:
        raise InputError(
            f"left_out is {left_out:.6g}, expected one in [0, {largest:.6g}]: a singular value of N + E, ||N||_2 <= 1"
        )
    if clipped:
        s = min(left_out, 1.0)
        return float(min(2.0, horizon_free_error(s, steps) + 2 * steps * error_norm))
    with np.errstate(over="ignore"):
        return float(np.float64(largest) ** steps * (1 + horizon_free_error(left_out / largest, steps)) - 1)


@checked()
def discounted_horizon_bound(
    exact: CoOccurrence, dim: int, reward: Array, start: Array, *, discount: float, horizon: int
) -> Bound:
    """Regret <= 2 s std_w(r) (sum d^2 / w - 1)^{1/2} (gamma + ... + gamma^{H-1}) for plans with actions fixed at the start.

    Where T errors, each of up to T steps, would add up to gamma / (1 - gamma)^2, this has gamma / (1 - gamma). Attained at
    every H and gamma.

    Parameters
    ----------
    exact : CoOccurrence
        Of the world planned in; w stationary under every action.
    dim : int
        Latent dimension k of the truncated SVDs, one an action; s = max_a s_{k+1}(a).
    reward : array (S,)
        Collected in the states visited at steps 0 to H - 1.
    start : array (S,)
        d, the law of the first state.
    discount : float in [0, 1]
        gamma.
    horizon : int
        H.

    Returns
    -------
    Bound
        On the regret, in units of return; infinite where d leaves the data law.

    Raises
    ------
    InputError
        A dimension, a discount or a horizon out of range; a reward or a law of another length.

    Notes
    -----
    O(A S^3). The policy that looks at the state again is another matter: docs/horizon_free_extensions.md, 3.

    Examples
    --------
    s_2 = .8, std .5, (sum d^2 / w - 1)^{1/2} = 1, .5 + .25.

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> bound = discounted_horizon_bound(exact, 1, np.array([1.0, 0.0]), np.array([1.0, 0.0]), discount=0.5, horizon=3)
    >>> round(bound.value, 4), round(2 * 0.8 * 0.5 * 1 * 0.75, 4), bound.ceiling
    (0.6, 0.6, 0.75)
    """
    check_count("dim", dim, 1, exact.n_states)
    check_count("horizon", horizon)
    gamma = check_fraction("discount", discount)
    values = as_float("reward", reward, (exact.n_states,))
    law = as_distribution("start", start, exact.n_states)
    weight = exact.row_weight[0]
    all_values = spectrum(exact)
    left_out = float(all_values[:, dim].max()) if dim < all_values.shape[1] else 0.0
    deviation = float(np.sqrt(max(weight @ (values - weight @ values) ** 2, 0.0)))
    steps = horizon - 1.0 if gamma == 1 else gamma * (1 - gamma ** (horizon - 1)) / (1 - gamma)
    # sum d^2 / w - 1 without cancellation. What d has of w, no sequence of actions changes, true or modelled.
    apart = float(np.sqrt((law - weight) ** 2 @ inverse_or_zero(weight)))
    coverage = np.inf if (law[weight == 0] > 0).any() else apart
    return Bound(
        _times_risk(2 * coverage, left_out * deviation * steps),
        "reward regret among fixed action sequences (return)",
        float(np.ptp(values)) * steps,
        (
            *_keeps_law(exact),
            Assumption("plans are sequences of actions fixed at the start, valued by products of the model", None),
            Assumption("the model is the truncated SVD of every Mbar(a), and keeps the constant", None),
        ),
        "horizon-free bound for discounted rewards (docs/horizon_free_extensions.md, 3)",
    )


@dataclass(frozen=True, eq=False, repr=False)
class SharedWorstCase:
    """Contractions on which a shared encoder errs most, and a certificate that none does worse.

    Parameters
    ----------
    steps : array (T, 3, 3)
        N_0 ... N_{T-1}; the encoder keeps the first two axes, and ||N_t (1 - V V^T)||_2 <= s.
    attained : float
        |(N_0 ... N_{T-1})^T e - c (B_0 ... B_{T-1})^T e| on them, B_t = N_t V V^T, e the first axis.
    certified : float
        An upper bound over all contractions of every dimension, to rounding (about 1e-6: the dual is solved with a jitter of
        1e-10); equal to ``attained`` to the precision of the search.

    Examples
    --------
    >>> worst = shared_encoder_worst_case(0.6, 2)
    >>> worst.steps.shape, round(worst.attained, 6), round(worst.certified, 4)
    ((2, 3, 3), 0.826365, 0.8264)
    """

    steps: Array
    attained: float
    certified: float

    def __repr__(self) -> str:
        return short_repr(self)


@checked()
def shared_encoder_worst_case(left_out: float, horizon: int, *, scale: float = 1.0) -> SharedWorstCase:
    """The sharp constant of one encoder for all actions: sup ||N_0 ... N_{T-1} - c B_0 ... B_{T-1}||_2, B_t = N_t V V^T.

    Parameters
    ----------
    left_out : float in [0, 1]
        s, the bound on ||N_t (1 - V V^T)||_2.
    horizon : int in [1, 64]
        Number of steps T.
    scale : float >= 0
        c. 1: the error of values. Regret is at most twice the value at any c, since b and c b rank plans alike.

    Returns
    -------
    SharedWorstCase

    Raises
    ------
    InputError
        A left_out outside [0, 1], a negative scale, no step or more than 64.

    Notes
    -----
    The supremum is the value of a semidefinite program in T 2 x 2 matrices; the primal side is a search over T angles (about
    a second at T = 32), the dual side certifies it, whatever the search found. Source: docs/horizon_free_extensions.md, 4.

    Examples
    --------
    More than sqrt(1 - (1 - s^2)^T) = .7684, less than sqrt(T) s = .8485; at c = 0 nothing is lost or won.

    >>> [round(shared_encoder_worst_case(0.6, 2, scale=c).attained, 4) for c in (1.0, 0.0)]
    [0.8264, 1.0]
    """
    from scipy.optimize import minimize  # slow to import, and only this needs it

    s, c = check_fraction("left_out", left_out), check_nonnegative("scale", scale)
    check_count("horizon", horizon, 1, LONGEST)
    spread = np.linspace(0.1, 1.5, horizon)
    ends = [
        minimize(lambda z: -_planar_path(z, s, c)[1], begin, method="L-BFGS-B", options=dict(ftol=1e-15))
        for begin in (spread, spread / 2, -spread / 2, 0.2 - spread)
    ]
    angles = min(ends, key=lambda end: end.fun).x
    moments, error = _planar_path(angles, s, c)
    return SharedWorstCase(
        read_only(_realised(angles, moments, s)), float(np.sqrt(max(error, 0.0))), _certificate(moments, s, c)
    )


def _planar_path(angles: Array, s: float, c: float) -> tuple[list[tuple[float, float]], float]:
    """(p.q, |q|^2) after every step, p = N^T ... e of length 1 and q the model's, and |p - c q|^2 at the end.

    At each step the direction at this angle from p, in the plane of p and q, loses its share s^2 to what the encoder drops.
    """
    x, square = 1.0, 1.0
    moments = [(x, square)]
    for angle in angles:
        along, across = np.cos(angle), np.sin(angle)
        dropped = s * (along * x + across * np.sqrt(max(square - x * x, 0.0)))
        x, square = x - s * along * dropped, square - dropped**2
        moments.append((x, square))
    return moments, 1 - 2 * c * x + c * c * square


def _realised(angles: Array, moments: list[tuple[float, float]], s: float) -> Array:
    """The contractions of R^3, two axes kept, that move p and q as ``_planar_path`` says."""
    p = q = np.array([1.0, 0.0, 0.0])
    steps = []
    for angle, (x, square) in zip(angles, moments, strict=False):
        # An orthonormal frame of the plane of p and q, q on the upper side; any plane while they are parallel.
        p = p / np.linalg.norm(p)
        across = q if square - x * x > PARALLEL else np.array([0.0, 1.0, 0.0])
        across = across - (across @ p) * p
        across = across / np.linalg.norm(across)
        across = across - (across @ p) * p
        frame = np.stack([p, across / np.linalg.norm(across)])
        lost = np.cos(angle) * frame[0] + np.sin(angle) * frame[1]
        kept = -np.sin(angle) * frame[0] + np.cos(angle) * frame[1]
        move = np.outer([np.sqrt(1 - s**2), 0.0, s], lost) + np.outer([0.0, 1.0, 0.0], kept)
        steps.append(move.T)
        p, q = move @ p, (move @ q) * [1.0, 1.0, 0.0]
    return np.stack(steps)


def _certificate(moments: list[tuple[float, float]], s: float, c: float) -> float:
    """Root of the dual value: S <- S + s^2 W with W >= 0, W >= -(S without its first entry), from S = (1, -c)(1, -c)^T."""
    form = np.outer([1.0, -c], [1.0, -c])
    for x, square in reversed(moments[:-1]):
        gain = -form
        gain[0, 0] = 0.0
        # The best W for these moments; the jitter keeps it feasible where p and q are parallel.
        root = np.linalg.cholesky(np.array([[1.0, x], [x, square]]) + 1e-10 * np.eye(2))
        values, vectors = np.linalg.eigh(root.T @ gain @ root)
        back = np.linalg.solve(root.T, vectors)
        form = form + s**2 * (back * np.maximum(values, 0.0)) @ back.T
    return float(np.sqrt(max(form.sum(), 0.0)))
