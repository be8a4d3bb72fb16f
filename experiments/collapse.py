"""What keeps a JEPA from collapsing: every device in use, on finite worlds where the optimum is known.

All arms train prediction error on the exact law with a free predictor or a linear one (one encoder for all actions), from
the same starts: no device; stop-gradient; a target network (EMA); soft whitening over the penalty lambda, with the
predicted rank from s_i^2 > 1 - 2 lambda (docs/theory.md, 2.6); VICReg; SIGReg at several strengths (factor 1). Rank is
the number of eigenvalues of E[f f^T] above 1e-4 (an absolute scale: a collapsed table has them all near 0), effective rank
the exponential of the entropy of the covariance's spectrum, ``refit_risk`` what the encoder's span is worth.
"""

import numpy as np
import pandas as pd

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, refit, train_jepa
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
            "refit_risk": sj.pooled_risk(exact, refit(exact, encoded)),
            "tail": sj.tail(exact, dim, shared=True),
            "risk_of_nothing": float(exact.stacked_decomposition[1] @ exact.stacked_decomposition[1]),
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
