"""From matrices to pixels: error, bound and regret against the latent dimension, at three sizes of data, over SVD curves.

On the torus drawn at 32 px, 300, 1,000 and 16,000 training transitions (episodes of 25 random steps) train a model under
the whitening penalty at each dimension. Beside it, on the same transitions, the truncated SVD of the counts, and the one of
the exact matrix. ``risk`` is the spectral risk of the corrected model, in which its planner for rewards believes (the
constant put back, latents whitened: spectral_jepa.pixels.diagnostics.spectrum), ``readout_risk`` what the encoder's span is
worth with an exact read-out, ``bound`` the corrected single-step bound on the goal regret of the same model, ``regret`` and
``ahead_regret`` those of the Euclidean planner one and three steps ahead.
"""

from _bridge import HORIZON, centred, conditional_ahead, episodes, measure_table, settings
from _bridge import training as train

import spectral_jepa as sj
from spectral_jepa.pixels.diagnostics.latent_table import latent_table, recorded_transitions
from spectral_jepa.pixels.diagnostics.spectrum import corrected_embedding
from spectral_jepa.pixels.environments import environment_class
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table
from spectral_jepa.theory import pooled_single_step_bound

# Episodes -> training transitions: eight in ten episodes of 25 steps.
SIZES = {14: 300, 50: 1000, 800: 16_000}
METHODS = ("pixels", "SVD, same data", "SVD, exact")
PRESETS = {
    "quick": {"world": "torus 5 x 5", "dim": [2, 4, 8, 20], "n_episodes": list(SIZES), "seed": range(3), "n_steps": 400},
    "paper": {"world": ["torus 5 x 5", "four rooms"], "dim": [1, 2, 4, 6, 8, 12, 16, 20, 24], "n_episodes": list(SIZES),
              "seed": range(5), "n_steps": 2000},
}  # fmt: skip


def run_cell(world, dim, n_episodes, seed, n_steps):
    """One training and two decompositions: a row a method."""
    config = settings(
        world, "whitening", dim, seed, n_steps, n_episodes,
        data__max_steps=25, training__batch_size=128, training__learning_rate=4e-3,
    )  # fmt: skip
    environment = environment_class(config.data.environment)
    exact = sj.CoOccurrence.exact(environment.world)
    log = recorded_transitions(episodes(config.data), environment)
    counts = sj.CoOccurrence.from_transitions(log)
    tables = {
        name: centred(sj.spectral_embedding(law, dim + 1, shared=True))
        for name, law in (("SVD, same data", counts), ("SVD, exact", exact))
    }
    ahead = {
        name: conditional_ahead(environment.world, table, counts if name == "SVD, same data" else exact)
        for name, table in tables.items()
    }
    for _, model, scaler in train(config, {n_steps}):
        tables["pixels"] = latent_table(model, environment, scaler)
        ahead["pixels"] = latent_table(model, environment, scaler, n_blocks=HORIZON)
    rows = []
    for name in METHODS:
        row = measure_table(environment, tables[name], 8, ahead[name])
        corrected = corrected_embedding(exact, tables[name])
        plan = sj.plan_goals(environment.world, corrected, starts=environment.world.weight)
        rows.append(
            {
                "method": name,
                "transitions": len(log),
                "risk": row["corrected_risk"],
                "bound": pooled_single_step_bound(exact, corrected, plan).value,
            }
            | {key: row[key] for key in ("readout_risk", "tail", "correlation", "regret", "corrected_regret", "ahead_regret",
                                         "reward_regret", "whitening_gap", "effective_rank")}
        )  # fmt: skip
    return rows


def best_dimensions(table, column="risk"):
    """The dimension of least mean error, a row a size of data and method."""
    mean = table.groupby(["transitions", "method", "dim"])[column].mean()
    return mean.unstack("dim").idxmin(axis=1).unstack("method")


def summary(table):
    """One line a size of data, method and dimension: means over seeds."""
    columns = ["risk", "readout_risk", "bound", "regret", "ahead_regret", "reward_regret"]
    return table[table["status"] == "ok"].groupby(["transitions", "method", "dim"])[columns].mean().reset_index()


def u_shaped(rng, n):
    """What the kept table says: a U of the error at little data, and its minimum near that of the counts' own SVD."""
    del rng, n
    table = reference_table("bridge_dimension")
    mean = table.groupby(["transitions", "method", "dim"])["risk"].mean()
    best = best_dimensions(table)
    few, many = min(SIZES.values()), max(SIZES.values())
    pixels = mean.loc[few, "pixels"]
    return [
        comparison("trainings a point", table.groupby(["transitions", "method", "dim"]).size().min(), ">=", 3),
        comparison(
            f"pixels, {few}: risk at the largest dimension over the least", pixels.iloc[-1] / pixels.min(), ">=", 1.1
        ),
        comparison(f"pixels, {few}: best dimension", best.loc[few, "pixels"], "<=", 8),
        comparison(f"SVD of the same data, {few}: best dimension", best.loc[few, "SVD, same data"], "<=", 8),
        comparison(f"pixels, {many}: best dimension", best.loc[many, "pixels"], ">=", 16),
        comparison(f"SVD of the same data, {many}: best dimension", best.loc[many, "SVD, same data"], ">=", 16),
    ]
