"""From matrices to pixels: what each regulariser leaves of the latent space, against what is proved of tables.

The same small model of the drawn torus (k = 8, its squared singular values .684 and .428, four of each) under whitening of
several strengths, PLDM's VICReg terms, SIGReg of several strengths, Sub-JEPA over K and no regulariser. ``rank`` counts the
directions whose variance exceeds a tenth of the largest, if that is not itself below .01. ``predicted_rank`` is, for
whitening of strength lambda, the number of leading s^2 > 1 - 2 lambda (docs/theory.md, 2.6), and for SIGReg 0 or 8 as total
collapse is stable or not (section 5); ``least_rank`` and ``most_rank`` are the bracket of docs/effective_dimension.md for K
independent subspaces that are whitened, k / K to what Barvinok and Pataki count (less for K = 2 and 3).
"""

import numpy as np
from _bridge import measure, settings
from _bridge import training as train

import spectral_jepa as sj
from spectral_jepa.pixels.diagnostics.latent_table import latent_table
from spectral_jepa.pixels.environments import environment_class
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table
from spectral_jepa.theory import sigreg_collapse_threshold, subspace_rank_bound

DIM, BATCH = 8, 128
# Name -> settings beside those of the objective "whitening".
ARMS = (
    {f"whitening {s:g}": {"objective__strength": s} for s in (0.1, 0.22, 1.0)}
    | {
        f"SIGReg {s:g}": {"objective__regularizer": "sigreg", "objective__strength": s, "objective__factor": 1.0}
        for s in (0.1, 0.3, 11.52)  # the last is published: .09 times a batch of 128
    }
    | {
        f"Sub-JEPA K={k}": {"objective__regularizer": "subspace_sigreg", "objective__strength": 11.52,
                            "objective__factor": 1.0, "objective__n_subspaces": k}
        for k in (2, 4)
    }
    | {"VICReg (PLDM)": {"objective__regularizer": "pldm"}, "none": {"objective__regularizer": "none"}}
)  # fmt: skip
PRESETS = {
    "quick": {"arm": list(ARMS), "world": "torus 5 x 5", "seed": range(3), "n_steps": 400},
    "paper": {"arm": list(ARMS), "world": ["torus 5 x 5", "four rooms"], "seed": range(5), "n_steps": 3200},
}


def predictions(arm, squares):
    """What theory says of the rank at k = 8 for one arm: predicted, least, most; NaN where it says nothing."""
    kind, _, number = arm.partition(" ")
    if kind == "whitening":
        return int((squares[:DIM] > 1 - 2 * float(number)).sum()), np.nan, np.nan
    if kind == "SIGReg":
        # Training takes the mean over the k coordinates, the theory the sum: k times the strength.
        threshold = sigreg_collapse_threshold(DIM, DIM * float(number), batch_size=BATCH)
        return DIM if squares[0] > threshold else 0, np.nan, np.nan
    if kind == "Sub-JEPA":
        n_subspaces = int(number.removeprefix("K="))
        part = DIM // n_subspaces
        return np.nan, part, subspace_rank_bound(n_subspaces, part, DIM)
    return (0, np.nan, np.nan) if arm == "none" else (np.nan, np.nan, np.nan)


def run_cell(arm, world, seed, n_steps):
    """One training: one row."""
    config = settings(
        world, "whitening", DIM, seed, n_steps, training__batch_size=BATCH, training__learning_rate=4e-3, **ARMS[arm]
    )
    environment = environment_class(config.data.environment)
    exact = sj.CoOccurrence.exact(environment.world)
    squares = sj.spectrum(exact, shared=True)[1:] ** 2
    for _, model, scaler in train(config, {n_steps}):
        table = latent_table(model, environment, scaler)
        row = measure(config, model, scaler)
    law = exact.pooled_column_weight
    away = table.target - law @ table.target
    variances = np.linalg.eigvalsh(away.T @ (law[:, None] * away))
    largest = float(variances.max())
    predicted, least, most = predictions(arm, squares)
    return row | {
        "rank": int((variances > 0.1 * largest).sum()) if largest > 0.01 else 0,
        "largest_variance": largest,
        "mean_variance": float(variances.mean()),
        "predicted_rank": predicted,
        "least_rank": least,
        "most_rank": most,
    }


def summary(table):
    """One line a world and arm: means over seeds."""
    columns = ["rank", "predicted_rank", "least_rank", "most_rank", "effective_rank", "mean_variance", "correlation",
               "readout_risk", "ahead_regret", "reward_regret"]  # fmt: skip
    return table[table["status"] == "ok"].groupby(["world", "arm"], sort=False)[columns].mean().reset_index()


def thresholds(rng, n):
    """What the kept table says of the collapse thresholds of whitening and SIGReg, and of Sub-JEPA's bracket."""
    del rng, n
    table = reference_table("bridge_regularizer")
    rank, variance = table.groupby("arm")["rank"], table.groupby("arm")["largest_variance"]
    least, most = rank.min(), rank.max()
    rows = [comparison("trainings an arm", rank.size().min(), ">=", 3)]
    for arm, predicted in {"whitening 0.1": 0, "SIGReg 0.1": 0, "none": 0, "whitening 1": 8, "SIGReg 11.52": 8}.items():
        rows += [
            comparison(f"{arm}: least rank", least[arm], "=", predicted),
            comparison(f"{arm}: most rank", most[arm], "=", predicted),
        ]
    for arm in ("whitening 0.22", "SIGReg 0.3"):  # just above the threshold, and collapsed in so many steps all the same
        rows.append(comparison(f"{arm}: largest variance in 400 steps", variance.max()[arm], "<=", 0.02))
    return [
        *rows,
        comparison("Sub-JEPA K=2: least rank", least["Sub-JEPA K=2"], "=", 4),
        comparison("Sub-JEPA K=2: most rank", most["Sub-JEPA K=2"], "=", 4),
        comparison("Sub-JEPA K=4: least rank", least["Sub-JEPA K=4"], ">=", 2),
        comparison("Sub-JEPA K=4: most rank", most["Sub-JEPA K=4"], "<=", 4),
    ]
