"""How white and how Gaussian SIGReg leaves the embedding of a finite world, and what that costs against hard whitening.

Encoders are trained by descent on the exact law with SIGReg at LeWM's constants (arXiv 2603.19312; ``penalty`` is their
lambda, .09, in their units: error averaged over coordinates, batch 128) and one setting moved at a time: dimension, number
of states, slices (fresh at each step, as published, or fixed), knots, lambda. Measured: the whitening gap
||C - I||_F / sqrt(k) and the range of C's eigenvalues, C the covariance of f; SIGReg on 1024 fresh directions with 17 knots,
and, over 256 slices, the mean 1-Wasserstein and Kolmogorov distances of the weighted law from N(0, 1).

A law of S atoms is never normal. The ``floor`` rows minimise SIGReg alone over the atoms, with the world's own weights. An
equal number of Gaussian samples would have SIGReg 1.052 / N, so 1.052 / value reads as a number of samples.

``predicted_gap`` is what the same trade of prediction error against SIGReg gives if every slice is normal, the covariance
being diagonal in the right singular functions: sum_i (1 - s_i^2) v_i + strength * E_u T(u^T diag(v) u), minimised over v.

``late_change`` is how much the prediction error moved in the last fifth of the steps, a coordinate: with fresh slices a
gradient norm has the noise of its slices in it.

Cost: pretraining risk and reward regret of the world's model read back from the embedding with the constant function, by
the best prediction (``refit``, blind to scale) and by the embedding's own, Phat = q (1 + g^T f), right only if f is white.
Beside it hard whitening, trained and in closed form (the truncated SVD).
"""

import functools

import numpy as np
import pandas as pd
import scipy.optimize
import torch
from scipy.special import ndtr, ndtri

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, refit, train_jepa
from spectral_jepa.losses import from_lewm, random_directions, sigreg
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

HORIZON = 40
PUBLISHED = 0.09
GAUSSIAN = 1.052  # N times the expected SIGReg of N normal samples, tests/parity/test_sigreg_golden.py
FAMILIES = {
    "low rank 8": lambda n_states, seed: sj.make_low_rank(n_states=n_states, rank=8, n_actions=2, seed=seed),
    "garnet": lambda n_states, seed: sj.make_garnet(n_states, 2, branching=4, seed=seed),
}


def axes(n_states, dim, slices, dims, sizes, penalties, few_slices, fixed_slices, knots, **effort):
    """One moved setting at a time around a base; hard whitening and the floor wherever dimension or states move."""
    base = {"n_states": n_states, "dims": [[dim]], "penalties": [[PUBLISHED]], "n_slices": slices, "n_knots": 17}
    base |= {"fresh": True} | effort
    trained = {"method": "sigreg"} | base
    parts = [
        {"axis": "dim"} | trained | {"dims": [dims]},
        {"axis": "n_states"} | trained | {"n_states": sizes},
        {"axis": "penalty"} | trained | {"penalties": [penalties]},
        {"axis": "n_slices"} | trained | {"n_slices": few_slices},
        {"axis": "fixed"} | trained | {"n_slices": fixed_slices, "fresh": False},
        {"axis": "n_knots"} | trained | {"n_knots": knots},
    ]
    for method in ("hard_whitening", "floor"):
        other = base | {"method": method, "penalties": [[0.0]]}
        parts += [{"axis": "dim"} | other | {"dims": [dims]}, {"axis": "n_states"} | other | {"n_states": sizes}]
    return parts


PRESETS = {
    "quick": axes(
        24,
        4,
        32,
        dims=[2, 4, 8, 12],
        sizes=[12, 48],
        penalties=[0.001, 0.01, 1.0, 10.0],
        few_slices=[4, 128],
        fixed_slices=[4, 32],
        knots=[3, 5, 65],
        n_seeds=3,
        n_steps=1000,
    ),
    "paper": axes(
        40,
        8,
        256,
        dims=[1, 2, 4, 6, 8, 12, 16, 24],
        sizes=[12, 20, 80, 160],
        penalties=[0.001, 0.003, 0.01, 0.03, 0.3, 1.0, 3.0, 10.0],
        few_slices=[4, 16, 64, 1024],
        fixed_slices=[4, 16, 64, 256, 1024],
        knots=[3, 5, 9, 33, 65],
        n_seeds=10,
        n_steps=4000,
    ),
}


@functools.cache
def make_world(family, n_states):
    """One world a family and size; seeds draw starts and slices, not worlds."""
    mdp = FAMILIES[family](n_states, 0)
    return mdp, sj.CoOccurrence.exact(mdp)


def run_cell(axis, method, n_states, dims, penalties, n_slices, n_knots, fresh, n_seeds, n_steps):
    """One setting on all worlds, dimensions, strengths and seeds in one batch: a row for each."""
    keys = [(f, dim, p, seed) for f in FAMILIES for dim in dims for p in penalties for seed in range(n_seeds)]
    if method == "floor":
        return [row for family in FAMILIES for dim in dims for row in floor_rows(family, n_states, dim, n_seeds, n_steps)]
    worlds = [make_world(family, n_states) for family in FAMILIES]
    shared = {"n_steps": n_steps, "learning_rate": 0.05, "record_every": n_steps // 5}
    if method == "hard_whitening":
        config = JepaConfig(regularizer="hard_whitening", centered=True, **shared)
    else:
        settings = {"factor": from_lewm().factor, "n_slices": n_slices, "n_knots": n_knots, "fresh_directions": fresh}
        config = JepaConfig(regularizer="sigreg", **settings, **shared)
    names = list(FAMILIES)
    runs = [Run(dim, seed, from_lewm(strength=p, dim=dim).strength, names.index(family)) for family, dim, p, seed in keys]
    trained = train_jepa([exact for _, exact in worlds], runs, config)
    ends = trained.table
    earlier = trained.history[trained.history["step"] <= 0.8 * n_steps].groupby("run")["prediction"].last()
    rows, predicted = [], {}
    for i, (family, dim, penalty, seed) in enumerate(keys):
        mdp, exact = make_world(family, n_states)
        row = {"family": family, "dim": dim, "penalty": penalty, "seed": seed}
        row |= {name: float(ends[name][i]) for name in ("prediction", "gap", "gradient_norm")}
        row["late_change"] = float(abs(ends["prediction"][i] - earlier[i]) / dim)
        if method == "sigreg":
            at = family, dim, penalty
            if at not in predicted:
                predicted[at] = predicted_gap(exact, dim, config.factor * runs[i].strength, n_knots)
            row["predicted_gap"] = predicted[at]
        embedding = trained.embedding(i)
        row |= shape(embedding.target, exact.pooled_column_weight)
        rows.append(row | worth(mdp, exact, embedding))
    return rows


def floor_rows(family, n_states, dim, n_starts, n_steps):
    """Adam on SIGReg alone, over atoms with the weights of the world: a row for each start."""
    weight = torch.from_numpy(np.array(make_world(family, n_states)[1].pooled_column_weight))
    generator = torch.Generator().manual_seed(1000 * n_states + dim)
    atoms = torch.randn(n_starts, n_states, dim, generator=generator, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.Adam([atoms], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        directions = random_directions(dim, 64, generator=generator, dtype=torch.float64)
        optimizer.zero_grad()
        sigreg(atoms, directions, weight, factor=1.0).sum().backward()
        optimizer.step()
        schedule.step()
    ends = atoms.detach().numpy()
    shared = {"family": family, "dim": dim}
    return [shared | {"seed": start} | shape(end, weight.numpy()) for start, end in enumerate(ends)]


@functools.cache
def fresh_directions(dim, n_directions):
    """Directions that no training has seen, the same for all encoders of a dimension."""
    return random_directions(dim, n_directions, generator=torch.Generator().manual_seed(777), dtype=torch.float64)


def shape(encoded, law):
    """How white and how Gaussian the law of f is."""
    dim = encoded.shape[1]
    mean = law @ encoded
    moment = (encoded - mean).T @ (law[:, None] * (encoded - mean))
    eigenvalues = np.linalg.eigvalsh(moment)
    value = sigreg(
        torch.from_numpy(np.array(encoded)), fresh_directions(dim, 1024), torch.from_numpy(np.array(law)), factor=1.0
    )
    wasserstein, kolmogorov = normal_distances(encoded @ fresh_directions(dim, 256).numpy(), law)
    return {
        "whitening_gap": float(np.linalg.norm(moment - np.eye(dim)) / np.sqrt(dim)),
        "smallest": float(eigenvalues[0]),
        "largest": float(eigenvalues[-1]),
        "mean_norm": float(np.linalg.norm(mean)),
        "sigreg": float(value),
        "gaussian_samples": GAUSSIAN / float(value),
        "wasserstein": wasserstein,
        "kolmogorov": kolmogorov,
    }


def normal_distances(views, law):
    """1-Wasserstein and Kolmogorov distances of each weighted column (S, M) from N(0, 1), exactly; means over columns."""
    order = np.argsort(views, axis=0)
    at = np.take_along_axis(views, order, axis=0)
    after = np.minimum(np.cumsum(law[order], axis=0), 1.0)
    before = after - law[order]
    normal = ndtr(at)
    kolmogorov = np.maximum(abs(after - normal), abs(before - normal)).max(axis=0)

    def integral(x):  # of the normal distribution function, from -infinity
        return x * ndtr(x) + np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)

    # Between two atoms the empirical function is a constant c, which the normal one crosses once.
    low, high, level = at[:-1], at[1:], after[:-1]
    middle = np.clip(ndtri(level), low, high)
    inner = level * (middle - low) - (integral(middle) - integral(low))
    outer = integral(high) - integral(middle) - level * (high - middle)
    wasserstein = (inner + outer).sum(axis=0) + integral(at[0]) + integral(-at[-1])
    return float(wasserstein.mean()), float(kolmogorov.mean())


def predicted_gap(exact, dim, strength, n_knots):
    """Whitening gap at the optimum over diagonal covariances of normal laws; the constant left out."""
    costs = 1 - exact.stacked_decomposition[1][1 : dim + 1] ** 2
    squares = fresh_directions(dim, 256).numpy().T ** 2
    knots = np.linspace(0, 3, n_knots)
    quadrature = np.full(n_knots, 6 / (n_knots - 1)) * np.where((knots == 0) | (knots == 3), 0.5, 1.0)
    normal = np.exp(-(knots**2) / 2)

    def evaluate(variances):
        decay = np.exp(-np.outer(squares @ variances, knots**2) / 2)
        value = costs @ variances + strength * np.mean((decay - normal) ** 2 @ (quadrature * normal))
        slope = (decay - normal) * decay @ (-quadrature * normal * knots**2)
        return value, costs + strength * slope @ squares / len(squares)

    end = scipy.optimize.minimize(evaluate, np.ones(dim), jac=True, method="L-BFGS-B", bounds=[(0, None)] * dim)
    return float(np.linalg.norm(end.x - 1) / np.sqrt(dim))


def worth(mdp, exact, embedding):
    """Risk and regret of the model read back with the constant: refitted, the embedding's own, and the closed form."""
    dim = embedding.dim
    one = np.ones((*embedding.predicted.shape[:-1], 1))
    target = np.column_stack([one[0], embedding.target])
    own = sj.Embedding(target, np.concatenate([one, embedding.predicted], axis=-1), embedding.column_weight)
    closed = sj.spectral_embedding(exact, dim + 1, shared=True)
    models = {"refit": refit(exact, target), "own": own, "closed": closed}
    stack = np.stack([model.transition() for model in models.values()])
    regret = sj.plan_rewards(mdp, stack, horizon=HORIZON).relative_regret
    row = {"tail": float(sj.tail(exact, dim + 1, shared=True))}
    for i, (name, model) in enumerate(models.items()):
        row[f"excess_{name}"] = float(sj.pooled_risk(exact, model)) - row["tail"]
        row[f"regret_{name}"] = float(regret[i])
    return row


def summary(table):
    """One line a setting and family: means over seeds, beside the floor and hard whitening of the same size."""
    table = table[table["status"] == "ok"]
    columns = ["whitening_gap", "smallest", "largest", "sigreg", "gaussian_samples", "wasserstein", "kolmogorov"]
    costs = ["excess_refit", "excess_own", "regret_refit", "regret_own"]
    size = ["family", "n_states", "dim"]
    floor = table[table["method"] == "floor"].groupby(size)["sigreg"].min().rename("floor")
    hard = table[table["method"] == "hard_whitening"].groupby(size)[["sigreg", *costs]].mean().add_prefix("hard ")
    moved = ["axis", *size, "penalty", "n_slices", "n_knots", "fresh"]
    trained = table[table["method"] == "sigreg"]
    lines = trained.groupby(moved, sort=False)[[*columns, "predicted_gap", *costs, "regret_closed", "late_change"]].mean()
    return lines.reset_index().join(floor, on=size).join(hard, on=size).pipe(pd.DataFrame)


def committed(method, axis):
    """Rows of the committed quick table."""
    table = reference_table("sigreg_whitening")
    return table[(table["status"] == "ok") & (table["method"] == method) & (table["axis"] == axis)]


def how_white(rng, n):
    """Whitening gap and SIGReg at the published constants, and the price in risk."""
    published, hard = committed("sigreg", "dim"), committed("hard_whitening", "dim")
    strong, floor = committed("sigreg", "penalty"), committed("floor", "dim")
    strong = strong[strong["penalty"] == 10]
    return [
        comparison("published lambda: least whitening gap (0: white)", published["whitening_gap"].min(), ">=", 0.1),
        comparison(
            "its largest eigenvalue, mean over worlds and dimensions (1: white)", published["largest"].mean(), "<=", 1
        ),
        comparison("lambda = 10: largest whitening gap", strong["whitening_gap"].max(), "<=", 0.2),
        comparison("least SIGReg over the atoms of any world (0: Gaussian)", floor["sigreg"].min(), ">=", 1e-6),
        comparison("published lambda: mean risk lost by the span", published["excess_refit"].mean(), ">=", 0.02),
        comparison("hard whitening: largest risk lost by the span", hard["excess_refit"].max(), "<=", 1e-3),
    ]


def slices_and_knots(rng, n):
    """How much the whitening gap moves with the number of slices and knots."""
    base = committed("sigreg", "dim")
    base = base[base["dim"] == 4].groupby("family")["whitening_gap"].mean()
    moves = {}
    for axis in ("n_slices", "n_knots", "fixed"):
        part = committed("sigreg", axis)
        part = part[part["n_knots"] >= 5]
        means = part.groupby(["family", axis if axis != "fixed" else "n_slices"])["whitening_gap"].mean().reset_index()
        moves[axis] = (means["whitening_gap"] - means["family"].map(base)).abs().max()
    return [
        comparison("4 or 128 fresh slices against 32: largest move of the whitening gap", moves["n_slices"], "<=", 0.02),
        comparison("5 or 65 knots against 17: largest move", moves["n_knots"], "<=", 0.02),
        comparison("fixed slices, 4 or 32: largest move", moves["fixed"], ">=", 0.2),
    ]
