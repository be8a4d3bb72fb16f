"""Sub-JEPA's number of subspaces K: effective rank, pretraining risk and planning regret, against the same over k.

Encoders of dimension k = 12 are trained by descent (Adam, exact expectations under the world's law or under counts of N
transitions) with one of two regularisers in K subspaces of dimension d_s = k / K, either a partition of R^k or drawn
independently, as published: ``subspace_whitening`` at a strength where no direction collapses, the setting of
docs/effective_dimension.md, and ``subspace_sigreg`` with the published constants, what a real Sub-JEPA has.

Two ranks of the covariance of f: the number of eigenvalues above RANK_TOLERANCE of the largest, and exp(entropy). Then the
encoder is read back with the constant function and its best prediction on the same data (``refit``), and measured against
the true world: risk ||A - B||_F^2 and reward regret. Two readings: of all directions that the numerical rank counts, and of
the leading ones only, as many as the entropy rank says. ``late_change`` is how much the prediction error moved in the last
fifth of the steps, a coordinate: with fresh slices a gradient norm has the noise of its slices in it. Beside all this the
truncated SVD of the same data at every dimension.

Sub-JEPA (arXiv 2605.09241) reports gains on Two-Room and Cube, collapse on Push-T at K = 32, and links gains to a lower
effective rank. Here that is a hypothesis: K moves the effective dimension, and whether lower is better depends on the
world's spectrum and on N. The summary gives the best K and the rank correlation of effective rank and regret.
"""

import functools

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

import spectral_jepa as sj
from spectral_jepa.generators.products import with_random_reward
from spectral_jepa.jepa import JepaConfig, Run, refit, train_jepa
from spectral_jepa.losses import from_lewm
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

HORIZON = 40
RANK_TOLERANCE = 1e-3  # of the largest eigenvalue
TIE = 1e-9  # singular values closer than this count as equal
EXACT = 0  # stands for "no sample: the exact law" among the sample sizes
STRENGTH = 1.0  # of whitening: above 1/2 every direction survives, docs/theory.md, 2.6
OPTIMAL = 1e-6  # a run closer than this to the closed form of its loss counts as optimal
SIGREG_SLICES = 32  # over all subspaces together, drawn afresh at each step


def rewarded(mdp, seed):
    """A world with the reward of the random families, on three states."""
    return with_random_reward(mdp, [seed, 7], n_rewarded=3)


# Worlds that are trained together have the same numbers of states and actions.
FAMILIES = {
    "low rank 8": lambda seed: sj.make_low_rank(n_states=25, rank=8, n_actions=4, seed=seed),
    "block 5": lambda seed: sj.make_block(n_states=25, n_blocks=5, n_actions=4, seed=seed),
    "torus 5 x 5": lambda seed: rewarded(sj.make_torus(5, slip=0.3), seed),
    "low rank 8, 40 states": lambda seed: sj.make_low_rank(n_states=40, rank=8, n_actions=4, seed=seed),
    "block 5, 40 states": lambda seed: sj.make_block(n_states=40, n_blocks=5, n_actions=4, seed=seed),
    "four rooms": lambda seed: rewarded(sj.make_four_rooms(9, slip=0.2), seed),
}
SMALL, LARGE = list(FAMILIES)[:3], list(FAMILIES)[3:]


def axes(families, whitening, sigreg, dim=12, counts=(2, 3, 4, 6, 12)):
    """Cells of one group of worlds: the SVD, then each regulariser over kinds and K (K = 1 is the same for both kinds)."""
    shared = {"families": [families], "dim": dim}
    none = {"regularizer": "svd", "kind": "none", "n_subspaces": 1}
    parts = [shared | none | whitening]
    for regularizer, settings in (("subspace_whitening", whitening), ("subspace_sigreg", sigreg)):
        one = {"regularizer": regularizer, "kind": "partition", "n_subspaces": 1}
        several = {"regularizer": regularizer, "kind": ["partition", "orthogonal"], "n_subspaces": list(counts)}
        parts += [shared | one | settings, shared | several | settings]
    return parts


PRESETS = {
    "quick": axes(
        SMALL,
        whitening={"samples": [[EXACT, 300, 1000, 10_000]], "n_seeds": 6, "n_steps": 1000},
        sigreg={"samples": [[EXACT, 1000]], "n_seeds": 2, "n_steps": 500},
    ),
    "paper": [
        part
        for group in (SMALL, LARGE)
        for part in axes(
            group,
            whitening={"samples": [[EXACT, 300, 1000, 3000, 10_000, 40_000]], "n_seeds": 20, "n_steps": 4000},
            sigreg={"samples": [[EXACT, 300, 1000, 3000, 10_000, 40_000]], "n_seeds": 10, "n_steps": 3000},
        )
    ],
}


@functools.cache
def make_world(family, seed):
    """A world and its exact law."""
    mdp = FAMILIES[family](seed)
    return mdp, sj.CoOccurrence.exact(mdp)


@functools.cache
def make_data(family, seed, n_transitions):
    """The law to train on: exact, or counts that depend on (seed, N) alone, so that all curves are paired."""
    mdp, exact = make_world(family, seed)
    if n_transitions == EXACT:
        return exact
    drawn = sj.sample_transitions(mdp, n_transitions=n_transitions, seed=np.random.default_rng([seed, n_transitions]))
    return sj.CoOccurrence.from_transitions(drawn, unseen_actions="zero")


def run_cell(families, dim, regularizer, kind, n_subspaces, samples, n_seeds, n_steps):
    """One K and kind on all worlds, sample sizes and seeds, in one batch: a row for each."""
    keys = [(family, seed, n) for family in families for n in samples for seed in range(n_seeds)]
    if regularizer == "svd":
        return [row for key in keys for row in svd_rows(*key)]
    config, strength = settings(regularizer, kind, n_subspaces, dim, n_steps)
    # A seed is a world, a start and a draw of the subspaces: the sample sizes of a world are paired.
    runs = [Run(dim=dim, seed=seed, strength=strength, data=i) for i, (_, seed, _) in enumerate(keys)]
    trained = train_jepa([make_data(*key) for key in keys], runs, config)
    ends = trained.table
    earlier = trained.history[trained.history["step"] <= 0.8 * n_steps].groupby("run")["prediction"].last()
    rows = []
    for i, key in enumerate(keys):
        row = {"family": key[0], "seed": key[1], "n_transitions": key[2], "subspace_dim": dim // n_subspaces}
        row |= rank_bounds(make_data(*key), kind, n_subspaces, dim)
        row |= {name: float(ends[name][i]) for name in ("loss", "prediction", "gap", "gradient_norm")}
        row["penalty"] = float(ends["regularizer"][i])
        row["late_change"] = float(abs(ends["prediction"][i] - earlier[i]) / dim)
        rows.append(row | measure(key, trained.encoded[i]))
    return rows


def settings(regularizer, kind, n_subspaces, dim, n_steps):
    """Configuration and strength of a cell."""
    shared = {
        "regularizer": regularizer,
        "subspace_kind": kind,
        "n_subspaces": n_subspaces,
        "n_steps": n_steps,
        "learning_rate": 0.05,
        "record_every": n_steps // 5,
    }
    if regularizer == "subspace_whitening":
        return JepaConfig(centered=True, **shared), STRENGTH
    published = from_lewm(dim=dim)
    return JepaConfig(factor=published.factor, n_slices=max(2, SIGREG_SLICES // n_subspaces), **shared), published.strength


def rank_bounds(data, kind, n_subspaces, dim):
    """What docs/effective_dimension.md says of the rank of a whitened optimum on this law; the constant left out."""
    inner = dim // n_subspaces
    reached = int(np.sum(data.pooled_column_weight > 0))
    values = np.append(data.stacked_decomposition[1][1:reached], 0.0)
    bounds = {"pataki": sj.pataki_rank_bound(n_subspaces, inner, dim)}
    bounds |= {"rank_bound": sj.subspace_rank_bound(n_subspaces, inner, dim), "lowest": inner}
    above, tied = (int(np.sum(values > values[inner - 1] + TIE)), int(np.sum(abs(values - values[inner - 1]) <= TIE)))
    ties = min(above + tied, above + n_subspaces * (inner - above))
    # Where the spectrum has ties, blocks of a partition may choose different functions.
    return bounds | {"highest": ties if kind == "partition" else bounds["rank_bound"], "tie": tied > 1}


def measure(key, encoded):
    """Ranks of one encoder, and what it is worth against the true world."""
    family, seed, _ = key
    (mdp, exact), data = make_world(family, seed), make_data(*key)
    law = data.pooled_column_weight
    centred = encoded - law @ encoded
    moment = centred.T @ (law[:, None] * centred)
    eigenvalues, directions = (part[..., ::-1] for part in np.linalg.eigh(moment))
    rank = int(np.sum(eigenvalues > RANK_TOLERANCE * eigenvalues[0]))
    entropy_rank = sj.effective_rank(moment)
    sizes = {"": rank, "_leading": max(1, round(entropy_rank))}
    models = []
    for size in sizes.values():
        readable = np.column_stack([np.ones(len(law)), centred @ directions[:, :size]])
        models.append(refit(data, readable).transition())
    plan = sj.plan_rewards(mdp, np.stack(models), horizon=HORIZON)
    row = {"rank": rank, "effective_rank": entropy_rank, "largest": float(eigenvalues[0])}
    for i, (name, size) in enumerate(sizes.items()):
        row[f"functions{name}"] = size + 1
        row[f"root_risk{name}"] = float(np.sqrt(sj.transition_risk(exact, models[i], pooled=True)))
        row[f"relative_regret{name}"] = float(plan.relative_regret[i])
    return row


def svd_rows(family, seed, n_transitions):
    """Truncated SVD of the same data at every number of functions, the constant included."""
    (mdp, exact), data = make_world(family, seed), make_data(family, seed, n_transitions)
    functions = range(1, min(17, mdp.n_states) + 1)
    models = np.stack([sj.spectral_embedding(data, k, shared=True).transition() for k in functions])
    plan = sj.plan_rewards(mdp, models, horizon=HORIZON)
    shared = {"family": family, "seed": seed, "n_transitions": n_transitions}
    return [
        shared
        | {
            "functions": k,
            "root_risk": float(np.sqrt(sj.transition_risk(exact, models[i], pooled=True))),
            "relative_regret": float(plan.relative_regret[i]),
        }
        for i, k in enumerate(functions)
    ]


def correlation(part, rank, value):
    """Spearman correlation over K of the means of two columns; NaN where one is constant."""
    means = part.groupby("n_subspaces")[[rank, value]].mean()
    constant = (means.nunique() < 2).any()
    return float("nan") if constant else float(spearmanr(means[rank], means[value]).statistic)


def summary(table):
    """For each regulariser, kind, world and sample size: ranks by K, the best K, and is a lower rank the better plan?"""
    table = table[table["status"] == "ok"]
    trained = table[table["regularizer"] != "svd"]
    reference = table[table["regularizer"] == "svd"]
    rows = []
    for (regularizer, kind), part in trained.groupby(["regularizer", "kind"], sort=False):
        if kind != "partition":  # K = 1 is trained once, for both kinds
            one = (trained["regularizer"] == regularizer) & (trained["n_subspaces"] == 1)
            part = pd.concat([trained[one], part])
        suffix = "" if regularizer == "subspace_whitening" else "_leading"
        risk, regret = f"root_risk{suffix}", f"relative_regret{suffix}"
        for (family, n), own in part.groupby(["family", "n_transitions"], sort=False):
            svd = reference[(reference["family"] == family) & (reference["n_transitions"] == n)]
            svd = svd.groupby("functions")[["root_risk", "relative_regret"]].mean()
            means = own.groupby("n_subspaces")[[risk, regret, "rank", "effective_rank"]].mean()
            within = own["rank"].between(own["lowest"], own["highest"])
            optimal = own["gap"] < OPTIMAL
            closed = suffix == "" and kind == "partition"  # otherwise the loss has no closed form, except at K = 1
            rows.append(
                {
                    "regularizer": regularizer,
                    "kind": kind,
                    "family": family,
                    "n_transitions": n,
                    "ranks by K": " ".join(f"{v:.3g}" for v in means["rank"]),
                    "effective ranks by K": " ".join(f"{v:.3g}" for v in means["effective_rank"]),
                    "rank as predicted": within.mean() if suffix == "" else float("nan"),
                    "optimal runs": optimal.mean() if closed else float("nan"),
                    "rank as predicted, optimal runs": within[optimal].mean() if closed else float("nan"),
                    "best K by risk": int(means[risk].idxmin()),
                    "best k by risk (SVD)": int(svd["root_risk"].idxmin()),
                    "best K by regret": int(means[regret].idxmin()),
                    "regret": means[regret].min(),
                    "best k by regret (SVD)": int(svd["relative_regret"].idxmin()),
                    "regret (SVD)": svd["relative_regret"].min(),
                    "rank correlation, effective rank and regret": correlation(own, "effective_rank", regret),
                    "rank correlation, effective rank and risk": correlation(own, "effective_rank", risk),
                    "largest gap": own["gap"].max() if closed else float("nan"),
                    "largest gradient": own["gradient_norm"].max(),
                    "largest late change": own["late_change"].max(),
                }
            )
    return pd.DataFrame(rows)


def committed(kind=None):
    """Runs of the committed quick table trained with population whitening."""
    table = reference_table("subspaces")
    table = table[(table["status"] == "ok") & (table["regularizer"] == "subspace_whitening")]
    return table if kind is None else table[table["kind"] == kind]


def partition_rank(rng, n):
    """Ranks that descent ends with in the blocks of a partition."""
    table = committed("partition")
    best = table[table["gap"] < OPTIMAL]
    allowed = best["rank"].between(best["lowest"], best["highest"])
    clear = best[~best["tie"].astype(bool)]
    return [
        comparison("share of runs within 1e-6 of the optimum", len(best) / len(table), ">=", 0.8),
        comparison("of these, at a rank that the theorem allows", allowed.mean(), "=", 1),
        comparison("of these without ties, at rank d_s", (clear["rank"] == clear["lowest"]).mean(), "=", 1),
        comparison("different d_s among them", clear["lowest"].nunique(), ">=", 5),
    ]


def independent_rank(rng, n):
    """Ranks that descent ends with in independently drawn subspaces."""
    table = committed("orthogonal")
    above = (table["rank"] > table["lowest"]).groupby(table["n_subspaces"]).mean()
    return [
        comparison("runs", len(table), ">=", 300),
        comparison("share at or above d_s", (table["rank"] >= table["lowest"]).mean(), "=", 1),
        comparison("share at or below the Pataki bound", (table["rank"] <= table["pataki"]).mean(), "=", 1),
        comparison("share strictly above d_s (not a partition), K = 2", above[2], "=", 0),
        comparison("K = 3", above[3], ">=", 0.3),
        comparison("least of K = 4, 6, 12", above[[4, 6, 12]].min(), ">=", 0.8),
    ]


def lines():
    """The summary of the committed table, whitening only."""
    return summary(reference_table("subspaces")).query("regularizer == 'subspace_whitening'")


def trade_off(rng, n):
    """Where the best K falls, partition: by pretraining risk 1 on the exact law, large on few samples; and by regret."""
    table = lines().query("kind == 'partition'").set_index(["family", "n_transitions"])
    best, by_regret = table["best K by risk"], table["best K by regret"]
    return [
        comparison("low rank 8, exact law: best K", best["low rank 8", EXACT], "=", 1),
        comparison("low rank 8, N = 10,000", best["low rank 8", 10_000], "=", 2),
        comparison("low rank 8, N = 1,000", best["low rank 8", 1000], "=", 12),
        comparison("block 5, N = 10,000", best["block 5", 10_000], "=", 3),
        comparison("block 5, N = 300", best["block 5", 300], "=", 12),
        comparison("torus 5 x 5, largest over N", best["torus 5 x 5"].max(), "=", 1),
        comparison("low rank 8, N = 300: best K by risk", best["low rank 8", 300], "=", 12),
        comparison("low rank 8, N = 300: best K by regret (the other end)", by_regret["low rank 8", 300], "=", 1),
    ]


def lower_rank_better(rng, n):
    """Rank correlation over K of effective rank and regret; positive means that a lower rank plans better."""
    correlation = lines()["rank correlation, effective rank and regret"]
    return [
        comparison("worlds, sizes and kinds with a positive correlation", (correlation > 0).sum(), ">=", 1),
        comparison("with a negative one", (correlation < 0).sum(), ">=", 12),
        comparison("lowest", correlation.min(), "<=", -0.9),
    ]
