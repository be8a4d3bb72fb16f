"""What keeps a JEPA from collapsing: every device in use, on finite worlds where the optimum is known.

All arms train prediction error on the exact law with a free predictor or a linear one (one encoder for all actions), from
the same starts: no device; stop-gradient; a target network (EMA); soft whitening over the penalty lambda, with the
predicted rank from s_i^2 > 1 - 2 lambda (docs/theory.md, 2.6); VICReg; SIGReg at several strengths (factor 1). Rank is
the number of eigenvalues of E[f f^T] above 1e-4 (an absolute scale: a collapsed table has them all near 0), effective rank
the exponential of the entropy of the covariance's spectrum, ``refit_risk`` what the encoder's span and the constant
function are worth together. SIGReg's predicted collapse (docs/theory.md, section 5) is in ``collapse_threshold``.
"""

import numpy as np
import pandas as pd

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, refit, train_jepa
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table
from spectral_jepa.theory.whitening import soft_whitening_scales

FOUND = 1e-4
FAMILIES = {
    "block 5": lambda: sj.make_block(n_states=24, n_blocks=5, n_actions=2, seed=0),
    "low rank 8": lambda: sj.make_low_rank(n_states=24, rank=8, n_actions=2, seed=0),
    "autoregressive": lambda: sj.make_autoregressive(16, 0.85),
    "torus 5 x 5": lambda: sj.make_torus(5, slip=0.5),
}
# Arm -> settings of the trainer; the strengths that it is run at are in STRENGTHS.
ARMS = {
    "none": {"regularizer": "none"},
    "stop-gradient": {"regularizer": "none", "target": "stop_gradient"},
    "EMA": {"regularizer": "none", "target": "ema"},
    "soft whitening": {"regularizer": "whitening"},
    "VICReg": {"regularizer": "vicreg"},
    "SIGReg": {"regularizer": "sigreg"},
}
STRENGTHS = {
    "none": (0.0,),
    "stop-gradient": (0.0,),
    "EMA": (0.0,),
    "soft whitening": (0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.55, 1.0),
    "VICReg": (0.1, 1.0, 10.0),
    "SIGReg": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
}
PRESETS = {
    "quick": {"family": ["block 5", "autoregressive"], "arm": list(ARMS), "predictor": ["free", "linear"], "dim": 8,
              "n_seeds": 2, "n_steps": 2000},
    "paper": {"family": list(FAMILIES), "arm": list(ARMS), "predictor": ["free", "linear", "mlp", "film"], "dim": 8,
              "n_seeds": 10, "n_steps": 10_000},
}  # fmt: skip


def run_cell(family, arm, predictor, dim, n_seeds, n_steps):
    """One world, device and predictor: a row for each strength, seed and recorded step; measures of the end in each."""
    mdp = FAMILIES[family]()
    exact = sj.CoOccurrence.exact(mdp)
    values = np.minimum(exact.stacked_decomposition[1][:dim], 1.0)
    runs = [Run(dim, seed, strength) for strength in STRENGTHS[arm] for seed in range(n_seeds)]
    config = JepaConfig(predictor=predictor, n_steps=n_steps, record_every=n_steps // 20, n_slices=32, **ARMS[arm])
    trained = train_jepa(exact, runs, config)
    rows = []
    for number, run in enumerate(runs):
        encoded = trained.embedding(number).target
        moment = encoded.T @ (exact.pooled_column_weight[:, None] * encoded)
        eigenvalues = np.linalg.eigvalsh(moment)[::-1]
        line = trained.table.iloc[number]
        end = {
            "strength": run.strength,
            "run_seed": run.seed,
            "rank": int(np.sum(eigenvalues > FOUND)),
            "largest_eigenvalue": float(eigenvalues[0]),
            "predicted_rank": int(np.sum(soft_whitening_scales(values, run.strength) > FOUND))
            if arm == "soft whitening"
            else np.nan,
            "final_loss": line["loss"],
            "optimum": line["optimum"],
            "gap": line["gap"],
            "gradient_norm": line["gradient_norm"],
            "final_effective_rank": line["effective_rank"],
            "refit_risk": sj.pooled_risk(exact, refit(exact, np.column_stack([np.ones(mdp.n_states), encoded]))),
            "tail": sj.tail(exact, dim, shared=True),
            # What the constant function alone leaves.
            "risk_of_nothing": sj.tail(exact, 1, shared=True),
            "collapse_threshold": sj.sigreg_collapse_threshold(dim, run.strength) if arm == "SIGReg" else np.nan,
            "second_square": float(values[1] ** 2),
        }
        history = trained.history[trained.history["run"] == number]
        for _, moment_row in history.iterrows():
            path = {name: float(moment_row[name]) for name in ("loss", "prediction", "regularizer", "effective_rank")}
            rows.append(end | {"step": int(moment_row["step"])} | path)
    return rows


def summary(table):
    """One line a device, predictor and strength: rank, prediction error and risk at the end, means over worlds and seeds."""
    last = table[(table["status"] == "ok") & (table["step"] == table["n_steps"])]
    rows = []
    for (arm, predictor, strength), part in last.groupby(["arm", "predictor", "strength"], sort=False):
        share = (part["refit_risk"] - part["tail"]) / (part["risk_of_nothing"] - part["tail"])
        rows.append(
            {
                "device": arm,
                "predictor": predictor,
                "strength": strength,
                "rank": part["rank"].mean(),
                "rank as predicted": float((part["rank"] == part["predicted_rank"]).mean())
                if arm == "soft whitening" and predictor == "free"
                else np.nan,
                "largest eigenvalue": part["largest_eigenvalue"].max(),
                "prediction error": part["prediction"].mean(),
                "effective rank": part["effective_rank"].mean(),
                "risk lost by the span": share.mean(),
                "gradient": part["gradient_norm"].max(),
            }
        )
    return pd.DataFrame(rows)


def ends():
    """The last recorded step of every run of the committed quick table."""
    table = reference_table("collapse")
    return table[(table["status"] == "ok") & (table["step"] == table["n_steps"])]


def lost(part):
    """Share of the explainable risk that the spans of these encoders lose."""
    return (part["refit_risk"] - part["tail"]) / (part["risk_of_nothing"] - part["tail"])


def two_terms(rng, n):
    """Prediction and SIGReg alone, full gradient, exact expectations: no collapse above the threshold, collapse below it."""
    table = ends()
    # The threshold is that of a free predictor; a linear one predicts less, and may collapse above it.
    sigreg = table[(table["arm"] == "SIGReg") & (table["predictor"] == "free")]
    stable = sigreg["second_square"] < sigreg["collapse_threshold"]
    strong = sigreg[sigreg["strength"] >= 30]
    published, batches = (1 - sj.sigreg_collapse_threshold(192, 0.09 * 192, factor=128, batch_size=n) for n in (None, 128))
    return [
        comparison("runs above the threshold: least rank", sigreg.loc[~stable, "rank"].min(), ">=", 1),
        comparison("runs below it: largest rank", sigreg.loc[stable, "rank"].max(), "=", 0),
        comparison("strength 30 and more: least rank of 8", strong["rank"].min(), ">=", 8),
        comparison("published constants: lambda b c / k (leaves collapse above 1 - s_2^2 <= 1)", published, ">=", 17),
        comparison("the same over batches of 128: lambda b (c - c' / 128) / k", batches, ">=", 17),
    ]


def without_regularizer(rng, n):
    """Full gradient and no regulariser: what is left is constant."""
    table = ends()
    none = table[table["arm"] == "none"]
    return [
        comparison("largest rank (of 8; the constant function costs nothing)", none["rank"].max(), "<=", 1),
        comparison("largest prediction error", none["prediction"].max(), "<=", 1e-12),
    ]


def stop_gradient(rng, n):
    """Stop-gradient and EMA without a regulariser: with a free predictor nothing trains; with a linear one, no collapse."""
    table = ends()
    rows = []
    for arm in ("stop-gradient", "EMA"):
        part = table[table["arm"] == arm]
        free, linear = part[part["predictor"] == "free"], part[part["predictor"] == "linear"]
        no_gradient = f"{arm}, free predictor: least share of risk lost (the encoder gets no gradient)"
        rows += [
            comparison(no_gradient, lost(free).min(), ">=", 0.1),
            comparison(f"{arm}, linear predictor: least rank of 8", linear["rank"].min(), ">=", 5),
            comparison(f"{arm}, linear predictor: largest share of risk lost", lost(linear).max(), "<=", 0.1),
        ]
    return rows


def predicted_collapse(rng, n):
    """Soft whitening, free predictor: the rank found against the rank predicted."""
    table = ends()
    part = table[(table["arm"] == "soft whitening") & (table["predictor"] == "free")]
    return [
        comparison("runs at the predicted rank", (part["rank"] == part["predicted_rank"]).mean(), "=", 1),
        comparison("different ranks among them", part["predicted_rank"].nunique(), ">=", 5),
    ]
