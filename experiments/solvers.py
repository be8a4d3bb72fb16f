"""Accuracy and time of the low-rank solvers against the number of states, and the price of one shared encoder.

For each world and size, every SVD solver factorises the stacked matrix; its risk is recomputed from its factors and
compared with the optimum (the tail of the spectrum). Then one encoder is fitted to all actions, each in its own geometry:
alternating least squares against two closed forms, the optimum with one encoder an action (a lower bound) and the encoder
of the stacked SVD with its prediction re-fitted (where it starts).
"""

import time

import numpy as np

import spectral_jepa as sj
from spectral_jepa.factorizers import AlternatingLeastSquares, FullSVD, LanczosSVD, RandomizedSVD, weighted_blocks
from spectral_jepa.linalg import squared_norm


def make_biased(n_states, seed):
    """Low rank, but action a moves half of the mass to a few states of its own: the column laws differ by action."""
    base = sj.make_low_rank(n_states, 16, noise=0.02, seed=seed)
    own = np.random.default_rng([seed, 1]).dirichlet(np.full(n_states, 5 / n_states), size=base.n_actions)
    return sj.TabularMDP(0.5 * base.transition + 0.5 * own[:, None, :], name="biased low rank")


FAMILIES = {
    "low rank 16 + noise": lambda n, seed: sj.make_low_rank(n, 16, noise=0.02, seed=seed),
    "low rank 16, biased actions": lambda n, seed: make_biased(n, seed),
    "garnet": lambda n, seed: sj.make_garnet(n, 4, branching=5, sparse=True, seed=seed),
    "torus": lambda n, seed: sj.make_torus(round(n**0.5), slip=0.3),
}
SOLVERS = {
    "full SVD": FullSVD(),
    "Lanczos": LanczosSVD(),
    "randomized, 4 iterations": RandomizedSVD(n_iter=4),
    "randomized, 16 iterations": RandomizedSVD(n_iter=16),
}
# Above this many states the full SVD would take longer than everything else together.
FULL_STATES = 1600
PRESETS = {
    "quick": {"family": list(FAMILIES), "n_states": [64, 144, 400, 784], "dim": 8, "seed": range(3)},
    "paper": [
        {"family": list(FAMILIES), "n_states": [64, 144, 400, 784, 1600], "dim": [8, 32], "seed": range(10)},
        {"family": "garnet", "n_states": [3600, 10_000], "dim": [8, 32], "seed": range(10)},
    ],
}


def run_cell(family, n_states, dim, seed):
    """One world: a row a solver, then one for alternating least squares."""
    cooc = sj.CoOccurrence.exact(FAMILIES[family](n_states, seed))
    total = squared_norm(cooc.stacked)
    fits = {
        name: timed_fit(solver, dim, cooc.stacked)
        for name, solver in SOLVERS.items()
        if name != "full SVD" or n_states <= FULL_STATES
    }
    reference = fits["full SVD" if "full SVD" in fits else "Lanczos"][0]
    attainable = squared_norm(reference.singular_values_)
    rows = []
    for name, (fit, seconds) in fits.items():
        risk = distance(cooc.stacked, total, fit)
        gap = risk - (total - attainable)
        rows.append(
            {
                "solver": name,
                "risk": risk,
                "risk_gap": gap,
                "lost_share": gap / attainable,
                "residual": fit.residual_,
                "n_iter": None,
                "per_action_risk": None,
                "stacked_risk": None,
                "fit_seconds": seconds,
            }
        )
    return [*rows, shared_encoder_row(cooc, dim, reference)]


def timed_fit(solver, dim, matrix):
    """Fit a solver of rank ``dim``; the fit and its time."""
    solver = type(solver)(**{**solver.get_params(), "n_components": dim})
    start = time.perf_counter()
    return solver.fit(matrix), time.perf_counter() - start


def distance(matrix, total, fit):
    """||X - X_k||_F^2 from the factors alone, without believing the solver and without a dense X_k."""
    left = fit.left_ * fit.singular_values_
    cross = np.sum((matrix @ fit.components_.T) * left)
    return float(total - 2 * cross + np.sum((left.T @ left) * (fit.components_ @ fit.components_.T)))


def shared_encoder_row(cooc, dim, stacked):
    """Alternating least squares between one encoder an action and the encoder of the stacked SVD."""
    per_action = sum(
        p * LanczosSVD(dim).fit(matrix).residual_ for p, matrix in zip(cooc.action_frequency, cooc.normalized, strict=True)
    )
    column = np.sqrt(cooc.pooled_column_weight)[:, None]
    target = np.divide(stacked.components_.T, column, out=np.zeros_like(stacked.components_.T), where=column > 0)
    solver = AlternatingLeastSquares(dim, cooc.n_actions, tol=1e-8)
    start = time.perf_counter()
    fit = solver.fit(weighted_blocks(cooc), column_weight=cooc.column_weight, target=target)
    return {
        "solver": "alternating least squares",
        "risk": fit.residual_,
        "risk_gap": fit.residual_ - per_action,
        "lost_share": None,
        "residual": fit.residual_,
        "n_iter": fit.n_iter_,
        "per_action_risk": float(per_action),
        "stacked_risk": fit.start_residual_,
        "fit_seconds": time.perf_counter() - start,
    }
