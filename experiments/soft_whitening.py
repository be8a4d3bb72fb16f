"""Collapse under soft whitening: predicted and found rank, scales and value, over the penalty and the spectrum.

For each world and penalty lam, E||g - f+||^2 + lam ||E[f f^T] - I||_F^2 is minimised over encoder tables f from random
starts, the prediction being the best one, E[f(x+) | x, a]. The table is held as F = sqrt(w+) f, or else rare states would
take for ever. No singular value enters the descent; what it ends with is compared with docs/theory.md, 2.6: squared scale
max(0, 1 - (1 - s^2) / (2 lam)), so collapse where s^2 <= 1 - 2 lam. One action a world.
"""

import numpy as np
import scipy.optimize

import spectral_jepa as sj
from spectral_jepa.theory.whitening import soft_whitening_scales, soft_whitening_value

# A direction counts as found above this squared scale: what is left of a collapsed one after the descent is far below it.
FOUND = 1e-5
OPTIONS = {"maxiter": 5000, "maxfun": 10_000, "ftol": 0, "gtol": 1e-8}
FAMILIES = {
    "block 5": lambda: sj.make_block(n_states=24, n_blocks=5, n_actions=1, seed=0),
    "low rank 8": lambda: sj.make_low_rank(n_states=24, rank=8, n_actions=1, seed=0),
    "dirichlet": lambda: sj.make_dirichlet(24, 1, concentration=0.1, seed=0),
    "torus 5 x 5": lambda: sj.make_torus(5, slip=0.5),
    "garnet": lambda: sj.make_garnet(24, 1, branching=4, seed=0),
}
# The grids avoid penalties where a scale is 0 to rounding or below FOUND, as at lam = 1/2 for s near 0.
PRESETS = {
    "quick": [
        {
            "family": "autoregressive",
            "correlation": [round(0.045 + 0.048 * i, 3) for i in range(20)],
            "penalty": [round(0.015 + 0.03 * i, 3) for i in range(20)],
            "dim": 8,
            "n_starts": 3,
            "seed": 0,
        },
        {
            "family": list(FAMILIES),
            "correlation": None,
            "penalty": [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.55],
            "dim": 8,
            "n_starts": 3,
            "seed": 0,
        },
    ],
    "paper": [
        {
            "family": "autoregressive",
            "correlation": [round(0.035 + 0.02 * i, 3) for i in range(48)],
            "penalty": [round(0.01 + 0.02 * i, 3) for i in range(30)],
            "dim": 8,
            "n_starts": 5,
            "seed": 0,
        },
        {
            "family": list(FAMILIES),
            "correlation": None,
            "penalty": [round(0.01 + 0.02 * i, 3) for i in range(30)],
            "dim": 8,
            "n_starts": 10,
            "seed": 0,
        },
    ],
}


def make_world(family, correlation):
    """The world of a cell; only the first of its actions is used."""
    return sj.make_autoregressive(12, correlation) if family == "autoregressive" else FAMILIES[family]()


def objective(transition, weight, dim, penalty):
    """Value and gradient of the loss as a function of the encoder alone, F = sqrt(w+) f (S, k), on the S states reached."""
    reached = weight @ transition > 0
    transition = transition[:, reached]
    root = np.sqrt(weight @ transition)
    # E||f+ - E[f+|x]||^2 = tr f^T (diag(w+) - P^T diag(w) P) f, with f = F / sqrt(w+).
    unpredicted = np.eye(len(root)) - transition.T @ (weight[:, None] * transition) / np.outer(root, root)

    def evaluate(flat):
        table = flat.reshape(len(root), dim)
        image, gap = unpredicted @ table, table.T @ table - np.eye(dim)
        value = np.sum(table * image) + penalty * np.sum(gap**2)
        return value, (2 * image + 4 * penalty * table @ gap).ravel()

    return evaluate


def run_cell(family, correlation, penalty, dim, n_starts, seed):
    """One world, one penalty: a row for each start and direction."""
    mdp = make_world(family, correlation)
    values = sj.spectrum(sj.CoOccurrence.exact(mdp))[0][:dim]
    scales = soft_whitening_scales(values, penalty)
    least = soft_whitening_value(values, penalty)
    loss = objective(mdp.transition[0], mdp.weight, dim, penalty)
    n_reached = int(np.sum(mdp.next_weight[0] > 0))
    rng = np.random.default_rng([seed, 17])
    rows = []
    for start in range(n_starts):
        begin = rng.standard_normal(n_reached * dim)
        end = scipy.optimize.minimize(loss, begin, jac=True, method="L-BFGS-B", options=OPTIONS)
        table = end.x.reshape(n_reached, dim)
        found = np.linalg.eigvalsh(table.T @ table)[::-1]
        whole = {
            "start": start,
            "n_states": mdp.n_states,
            "predicted_rank": int(np.sum(scales > 0)),
            "found_rank": int(np.sum(found > FOUND)),
            "predicted_value": least,
            "found_value": float(end.fun),
            "gap": float(end.fun - least),
            "gradient": float(np.abs(end.jac).max()),
            "n_iter": int(end.nit),
        }
        for i in range(dim):
            own = {"singular_value": values[i], "predicted_scale": scales[i], "found_scale": found[i]}
            rows.append(whole | {"index": i + 1} | {name: float(value) for name, value in own.items()})
    return rows


def summary(table):
    """One line a family: how often the descent ends at the predicted rank, and how far off it is."""
    ends = table[(table["status"] == "ok") & (table["index"] == 1)]
    scale_error = (table["found_scale"] - table["predicted_scale"]).abs().groupby(table["family"], sort=False).max()
    lines = ends.assign(agree=ends["found_rank"] == ends["predicted_rank"]).groupby("family", sort=False)
    result = lines.agg(
        descents=("agree", "size"),
        rank_as_predicted=("agree", "mean"),
        least_gap=("gap", "min"),
        largest_gap=("gap", "max"),
        largest_gradient=("gradient", "max"),
    )
    return result.assign(largest_scale_error=scale_error).reset_index()
