"""Trained JEPAs against the closed form: loss, risk, directions and regret, over worlds, dimensions, predictors, losses.

Every run is trained on the exact law of its world in float64, so what is left of a gap is the optimiser's (its gradient norm
is in the row) or the predictor's: with a free predictor the optimum is known (docs/theory.md, 2.2, 2.5, 2.6), with a linear
one or a network it is a lower bound. ``risk`` is R_S of encoder and prediction as trained; ``refit_risk`` that of the best
prediction on the same encoder, so what the encoder's span is worth, whatever its scale. "Regret" is the share of the optimal
return that planning with the refitted model loses (finite horizon 40, discount .9), beside the truncated SVD of equal rank.
The constant function is added to the encoders of VICReg and SIGReg, which leave it out, before all of this.

SIGReg has LeWM's published strength and batch-size factor, put in our units by ``from_lewm``; VICReg has strength 1.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

import spectral_jepa as sj
from spectral_jepa.generators._common import draw_reward
from spectral_jepa.jepa import JepaConfig, Run, encoder_angle, refit, train_jepa
from spectral_jepa.losses import from_lewm
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table
from spectral_jepa.theory.whitening import soft_whitening_scales

HORIZON = 40


def rewarded_torus():
    """A torus with the reward of the random families, drawn in their order (``with_random_reward`` has another)."""
    torus = sj.make_torus(5, slip=0.5)
    return replace(torus, reward=draw_reward(np.random.default_rng(7), torus.n_states, None), discount=0.9)


FAMILIES = {
    "block 5": lambda: sj.make_block(n_states=24, n_blocks=5, n_actions=2, seed=0),
    "low rank 8": lambda: sj.make_low_rank(n_states=24, rank=8, n_actions=2, seed=0),
    "dirichlet": lambda: sj.make_dirichlet(24, 2, concentration=0.1, seed=0),
    "torus 5 x 5": rewarded_torus,
    "garnet": lambda: sj.make_garnet(24, 2, branching=4, seed=0),
}
# Name -> (settings of the trainer, strength; None: LeWM's published one at this dimension and batch size 128).
LOSSES = {
    "spectral": ({"loss": "spectral", "regularizer": "none"}, 0.0),
    "soft whitening": ({"regularizer": "whitening"}, 0.4),
    "hard whitening": ({"regularizer": "hard_whitening"}, 0.0),
    "VICReg": ({"regularizer": "vicreg"}, 1.0),
    "SIGReg": ({"regularizer": "sigreg", "factor": 128.0}, None),
}
ALL_DIMS = tuple(range(1, 17))
PRESETS = {
    "quick": [
        {"family": list(FAMILIES), "loss": ["spectral", "soft whitening"], "predictor": "free", "dims": [ALL_DIMS],
         "n_seeds": 1, "n_steps": 4000},
        {"family": list(FAMILIES), "loss": ["hard whitening", "VICReg", "SIGReg"], "predictor": "free", "dims": [(2, 5, 8)],
         "n_seeds": 2, "n_steps": 1500},
        {"family": list(FAMILIES), "loss": ["spectral", "soft whitening"], "predictor": ["linear", "mlp", "film"],
         "dims": [(2, 5, 8)], "n_seeds": 2, "n_steps": 1500},
    ],
    "paper": {"family": list(FAMILIES), "loss": list(LOSSES), "predictor": ["free", "linear", "mlp", "film"],
              "dims": [ALL_DIMS], "n_seeds": 5, "n_steps": 6000},
}  # fmt: skip


def run_cell(family, loss, predictor, dims, n_seeds, n_steps):
    """One world, loss and predictor: a row for each dimension and seed, all trained as one batch."""
    mdp = FAMILIES[family]()
    exact = sj.CoOccurrence.exact(mdp)
    settings, strength = LOSSES[loss]
    strengths = {dim: from_lewm(dim=dim).strength if strength is None else strength for dim in dims}
    runs = [Run(dim, seed, strengths[dim]) for dim in dims for seed in range(n_seeds)]
    config = JepaConfig(predictor=predictor, n_steps=n_steps, record_every=n_steps, **settings)
    trained = train_jepa(exact, runs, config)
    values = exact.stacked_decomposition[1]
    # VICReg and SIGReg leave the constant function out; whoever plans with their encoder knows it anyway.
    constant = int(loss in ("VICReg", "SIGReg"))
    closed = {dim: sj.reward_regret(mdp, sj.spectral_embedding(exact, dim + constant, shared=True), relative=True,
                                    horizon=HORIZON) for dim in set(dims)}  # fmt: skip
    rows = []
    for number, run in enumerate(runs):
        embedding, line = trained.embedding(number), trained.table.iloc[number]
        fitted = refit(exact, np.column_stack([np.ones((mdp.n_states, constant)), embedding.target]))
        tail = sj.tail(exact, run.dim + constant, shared=True)
        best_risk = tail
        if loss == "soft whitening":
            scale = soft_whitening_scales(np.minimum(values[: run.dim], 1.0), strength)
            best_risk = tail + float(np.sum((1 - scale) ** 2 * values[: run.dim] ** 2))
        moment = embedding.target.T @ (exact.pooled_column_weight[:, None] * embedding.target)
        rows.append(
            {
                "dim": run.dim,
                "run_seed": run.seed,
                "strength": run.strength,
                "value": line["loss"],
                "optimum": line["optimum"],
                "gap": line["gap"],
                "gradient_norm": line["gradient_norm"],
                "run_status": line["status"],
                "rank": int(np.sum(np.linalg.eigvalsh(moment) > 1e-5)),
                "effective_rank": line["effective_rank"],
                "tail": tail,
                "risk": sj.pooled_risk(exact, embedding),
                "best_risk": best_risk if loss in ("spectral", "soft whitening", "hard whitening") else np.nan,
                "refit_risk": sj.pooled_risk(exact, fitted),
                "angle": encoder_angle(exact, embedding.target, centered=bool(constant)),
                "regret": sj.reward_regret(mdp, fitted, relative=True, horizon=HORIZON),
                "svd_regret": closed[run.dim],
            }
        )
    return rows


def summary(table):
    """One line a loss and predictor: the largest gaps over worlds, dimensions and seeds."""
    table = table[table["status"] == "ok"].assign(
        risk_gap=lambda t: (t["risk"] - t["best_risk"]).abs(),
        refit_gap=lambda t: t["refit_risk"] - t["tail"],
        regret_gap=lambda t: t["regret"] - t["svd_regret"],
    )
    rows = []
    for (loss, predictor), part in table.groupby(["loss", "predictor"], sort=False):
        rows.append(
            {
                "loss": loss,
                "predictor": predictor,
                "runs": len(part),
                "largest gap of the loss": part["gap"].max(),
                "of the risk": part["risk_gap"].max(),
                "within 1e-6": float((part["risk_gap"] <= 1e-6).mean()) if part["risk_gap"].notna().any() else np.nan,
                "refit risk above tail, mean": part["refit_gap"].mean(),
                "largest angle [rad]": part["angle"].max(),
                "regret above SVD, mean": part["regret_gap"].mean(),
                "largest gradient": part["gradient_norm"].max(),
            }
        )
    return pd.DataFrame(rows)


def reached(rng, n):
    """The committed quick table against the closed form, for the claim that training finds it."""
    table = reference_table("jepa_vs_svd")
    table = table[table["status"] == "ok"].assign(off=lambda t: (t["risk"] - t["best_risk"]).abs())
    rows = []
    for loss in ("spectral", "soft whitening"):
        part = table[(table["loss"] == loss) & (table["predictor"] == "free")]
        rows += [
            comparison(f"{loss}: worlds", part["family"].nunique(), ">=", 5),
            comparison(f"{loss}: dimensions", part["dim"].nunique(), ">=", 16),
            comparison(f"{loss}: largest |risk - closed form|", part["off"].max(), "<=", 1e-6),
            comparison(f"{loss}: largest loss above its optimum", part["gap"].max(), "<=", 1e-6),
        ]
    linear = table[(table["predictor"] == "linear") & (table["loss"] == "soft whitening")]
    return [*rows, comparison("linear predictor: largest loss above the free optimum", linear["gap"].max(), ">=", 1e-3)]
