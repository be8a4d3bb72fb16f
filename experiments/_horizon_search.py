"""Batches of instances for docs/horizon_free.md in plain NumPy: drawn, then climbed; nothing of the package is used.

A world is drawn as a circulation: any joint law with equal marginals w is a sum of cycles, and what a state has left stays.
The actions share w, so it is stationary under each of them. Everything is in the units of D^{1/2} (.) D^{-1/2}, where the
bound of a pair has no factor sqrt(w(y) / w(x)). A planner that is indifferent takes what is worst.
"""

import itertools

import numpy as np
from _sharpest_bounds import products

TIE = 1e-12
FORMS = ("per action", "per action, gap", "encoder", "encoder, gap")
NORMS = ("norm, per action", "norm, shrunken model", "norm, encoder")
# States, actions, steps, kept dimensions: a population climbs in each.
SHAPES = [
    (n, m, T, k) for n, m, T in [(3, 2, 1), (3, 2, 2), (3, 3, 2), (3, 2, 3), (4, 2, 2), (4, 3, 3)] for k in range(1, n)
]
POPULATION = 32


def cycles(n):
    """Adjacency matrices of all cycles of two or more states, shape (C, n, n)."""
    found = []
    for size in range(2, n + 1):
        for states in itertools.permutations(range(n), size):
            if states[0] == min(states):
                found.append(np.zeros((n, n)))
                found[-1][list(states), [*states[1:], states[0]]] = 1
    return np.array(found)


def draw_worlds(rng, batch, n, m, k):
    """Parameters of ``batch`` worlds and encoders: law, cycle weights, how much moves, encoder."""
    return [
        0.7 * rng.standard_normal((batch, n)),
        2 * rng.standard_normal((batch, m, len(cycles(n)))),
        2 + 3 * rng.standard_normal((batch, m)),
        rng.standard_normal((batch, n, k)),
    ]


def normalized_worlds(parameters):
    """sqrt(w), shape (batch, n), and N_a = D^{1/2} P_a D^{-1/2}, shape (batch, A, n, n)."""
    law, weights, moving, _ = parameters
    w = np.exp(law) / np.exp(law).sum(axis=1, keepdims=True)
    joint = np.einsum("bac,cxy->baxy", np.exp(weights), cycles(w.shape[1]))
    out = joint.sum(axis=3)
    joint *= ((w[:, None] / out).min(axis=2) / (1 + np.exp(-moving)))[..., None, None]
    states = np.arange(w.shape[1])
    joint[..., states, states] += w[:, None] - joint.sum(axis=3)
    root = np.sqrt(w)
    return root, joint / (root[:, None, :, None] * root[:, None, None, :])


def truncated(matrices, k):
    """The first k singular triplets of each matrix."""
    left, values, right = np.linalg.svd(matrices, full_matrices=False)
    return (left[..., :k] * values[..., None, :k]) @ right[..., :k, :]


def spectral_norm(matrices):
    """Largest singular value of the last two axes."""
    return np.linalg.norm(matrices, ord=2, axis=(-2, -1))


def regret_ratio(form, parameters, horizon, k):
    """Largest regret / bound over the pairs of each world, and the largest regret."""
    root, true = normalized_worlds(parameters)
    constant = root[:, None, :, None] * root[:, None, None, :]
    gap = form.endswith("gap")
    if form.startswith("per action"):
        # With the gap the constant must be kept, also where another singular value equals 1.
        model = constant + truncated(true - constant, k - 1) if gap else truncated(true, k)
    else:
        basis = parameters[3].copy()
        if gap:
            basis[..., 0] = root
        basis = np.linalg.qr(basis)[0]
        model = true @ (basis @ basis.swapaxes(1, 2))[:, None]
    left_out = spectral_norm(true - model).max(axis=1)
    sigma = spectral_norm(true - constant).max(axis=1) if gap else np.ones(len(root))
    factor = left_out * sigma ** (horizon - 1)
    if form.startswith("encoder"):
        factor = np.minimum(sigma**horizon, np.sqrt(horizon) * factor)
    bound = 2 * np.broadcast_to(factor[:, None, None], constant.shape[:1] + constant.shape[2:])
    if gap:
        off = np.sqrt(np.maximum(0, 1 - root**2))
        bound = bound * off[:, :, None] * off[:, None, :]
    reached, believed = products(true, horizon), products(model, horizon)
    chosen = believed >= believed.max(axis=1, keepdims=True) - TIE
    regret = reached.max(axis=1) - np.where(chosen, reached, np.inf).min(axis=1)
    # A bound of rounding size is no bound to divide by.
    ratio = np.where(bound > 1e-6, regret / np.maximum(bound, 1e-6), 0.0)
    over = np.sum(regret > bound + 1e-10, axis=(1, 2)) > 0
    return ratio.max(axis=(1, 2)), over, regret.max(axis=(1, 2)) > 1e-6


def draw_contractions(rng, batch, n, horizon, k):
    """Parameters of products of contractions: frames, singular values, an encoder for each step."""
    return [
        rng.standard_normal((batch, horizon, n, n)),
        rng.standard_normal((batch, horizon, n, n)),
        2 * rng.standard_normal((batch, horizon, n)),
        rng.standard_normal((batch, n, k)),
    ]


def norm_ratio(form, parameters, horizon, k):
    """||product of N - product of B|| over its bound, or of N - (1 - s^2) B over s."""
    left, right = np.linalg.qr(parameters[0])[0], np.linalg.qr(parameters[1])[0]
    values = -np.sort(-1 / (1 + np.exp(-parameters[2])), axis=-1)
    values = values / np.maximum(values[..., :1], 1e-9)
    true = (left * values[..., None, :]) @ right
    if form == "norm, encoder":
        basis = np.linalg.qr(parameters[3])[0]
        model = true @ (basis @ basis.swapaxes(1, 2))[:, None]
    else:
        model = (left[..., :k] * values[..., None, :k]) @ right[..., :k, :]
    s = np.minimum(spectral_norm(true - model).max(axis=1), 1.0)
    first, second = true[:, 0], model[:, 0]
    for step in range(1, horizon):
        first, second = first @ true[:, step], second @ model[:, step]
    root = np.sqrt(1 - s**2)
    if form == "norm, shrunken model":
        measured, bound = spectral_norm(first - root[:, None, None] ** 2 * second), s
    else:
        measured = spectral_norm(first - second)
        bound = np.minimum(np.sqrt(horizon) * s, 2.0 if form == "norm, encoder" else 2 * s / (1 + root))
    return np.where(bound > 1e-6, measured / np.maximum(bound, 1e-6), 0.0), measured > bound + 1e-10, measured > 1e-6


def climb(form, rng, n_instances):
    """Random starts, then steps that are kept where the ratio does not fall: instances, violations, best ratios.

    "active" counts the instances that measure something, "several" is the best ratio at two steps or more.
    """
    result = {"best": 0.0, "several": 0.0, "instances": 0, "violations": 0, "active": 0}
    generations = max(1, int(np.ceil(n_instances / (POPULATION * len(SHAPES)))))
    for n, m, horizon, k in SHAPES:
        steps = 2 * horizon if form in NORMS else horizon
        ratio_of = norm_ratio if form in NORMS else regret_ratio
        draw = (lambda size: draw_contractions(rng, size, n, steps, k)) if form in NORMS else None  # noqa: B023
        here = draw(POPULATION) if draw else draw_worlds(rng, POPULATION, n, m, k)
        best = np.full(POPULATION, -1.0)
        for generation in range(generations):
            size = 10 ** rng.uniform(-3, 0.3, POPULATION) if generation else np.zeros(POPULATION)
            there = [p + size.reshape(-1, *[1] * (p.ndim - 1)) * rng.standard_normal(p.shape) for p in here]
            ratio, over, active = ratio_of(form, there, steps, k)
            better = ratio >= best
            best = np.where(better, ratio, best)
            here = [np.where(better.reshape(-1, *[1] * (p.ndim - 1)), q, p) for p, q in zip(here, there, strict=True)]
            result["instances"] += POPULATION
            result["violations"] += int(over.sum())
            result["active"] += int(active.sum())
        for name in ("best", "several") if steps > 1 else ("best",):
            result[name] = max(result[name], float(best.max()))
    return result
