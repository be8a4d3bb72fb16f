"""How fast the pretraining error of rank k falls: a lower bound for every estimator, truncated SVD, and its upper bound.

Worlds of the packing of docs/rate_and_constant.md, 1, with random signs at the strength that is hardest for the sample size:
rank k, uniform w and w+, one action. N transitions, counts over the known marginals, read at full rank and truncated to rank
k; R_S of both beside what no estimator can beat and beside 4.5 and 4.6 in expectation. Along N, k and n one at a time: the
order is k n / N, up to the logarithm in the upper bound.
"""

import numpy as np
import pandas as pd

import spectral_jepa as sj
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

PRESETS = {
    "quick": [
        {"axis": "N", "n_states": 64, "dim": 5, "n_samples": [2**i for i in range(7, 21)], "n_draws": 8, "seed": 0},
        {"axis": "k", "n_states": 192, "dim": [2, 3, 5, 9, 17], "n_samples": 200_000, "n_draws": 6, "seed": 0},
        {"axis": "n", "n_states": [32, 64, 128, 256], "dim": 4, "n_samples": 200_000, "n_draws": 6, "seed": 0},
    ],
    "paper": [
        {"axis": "N", "n_states": 128, "dim": 9, "n_samples": [2**i for i in range(8, 24)], "n_draws": 40, "seed": 0},
        {"axis": "k", "n_states": 256, "dim": [2, 3, 5, 9, 17, 33], "n_samples": 10**6, "n_draws": 40, "seed": 0},
        {"axis": "n", "n_states": [32, 64, 128, 256, 512], "dim": 4, "n_samples": 10**6, "n_draws": 40, "seed": 0},
    ],
}


def measure(rng, n_states, dim, n_samples):
    """R of counts truncated to rank k and at full rank, and k ||E||_2^2, in one random world of the packing."""
    strength = sj.packing_strength(n_states, dim, n_samples)
    theta = strength * rng.choice([-1.0, 1.0], size=(n_states // 2, min(dim - 1, n_states // 2)))
    kernel = sj.packing_kernels(theta, n_states)
    counts = rng.multinomial(n_samples, kernel.ravel() / n_states).reshape(n_states, n_states)
    estimate = counts * (n_states / n_samples)
    left, values, right_t = np.linalg.svd(estimate)
    kept = (left[:, :dim] * values[:dim]) @ right_t[:dim]
    norm = np.linalg.norm(estimate - kernel, ord=2)
    return {
        "risk": float(np.sum((kept - kernel) ** 2)),
        "risk_full_rank": float(np.sum((estimate - kernel) ** 2)),
        "oracle": float(5 * dim * norm**2),
    }


def run_cell(axis, n_states, dim, n_samples, n_draws, seed):
    """One size: a row for each random world."""
    rng = np.random.default_rng([seed, n_states, dim, n_samples])
    lower, upper = (
        sj.minimax_risk_lower_bound(n_states, dim, n_samples),
        sj.minimax_risk_upper_bound(n_states, dim, n_samples),
    )
    return [
        {"draw": draw, "lower": lower, "upper": upper} | measure(rng, n_states, dim, n_samples) for draw in range(n_draws)
    ]


def seen_enough(table):
    """Rows with N >= n (k - 1); with fewer transitions predicting w+ is better than any count."""
    return table[(table["status"] == "ok") & (table["n_samples"] >= table["n_states"] * (table["dim"] - 1))]


def slopes(table):
    """Slopes in log-log of the measured risk and of the lower bound along N, k - 1 and n."""
    rows = seen_enough(table)
    found = {}
    for axis, part in rows.groupby("axis", sort=False):
        name = {"N": "n_samples", "k": "dim", "n": "n_states"}[axis]
        means = part.groupby(name)[["risk", "lower"]].mean()
        grid = np.log(means.index.to_numpy(float) - (axis == "k"))
        found[axis] = {column: float(np.polyfit(grid, np.log(means[column]), 1)[0]) for column in means}
    return found


def summary(table):
    """One line an axis: slopes, and how far measured risk lies from the bounds."""
    rows, lines = seen_enough(table), []
    for axis, slope in slopes(table).items():
        part = rows[rows["axis"] == axis]
        means = part.groupby(["n_states", "dim", "n_samples"])[["risk", "lower", "upper"]].mean()
        lines.append(
            {
                "axis": axis,
                "slope_risk": slope["risk"],
                "slope_lower": slope["lower"],
                "least_risk_over_lower": (means["risk"] / means["lower"]).min(),
                "largest_risk_over_lower": (means["risk"] / means["lower"]).max(),
                "largest_risk_over_upper": (means["risk"] / means["upper"]).max(),
            }
        )
    return pd.DataFrame(lines)


def rate(rng, n):
    """Lower bound, exact Bayes risks, truncated SVD, upper bound: the order k n / N."""
    shares, beaten, above = [], [], []
    for _ in range(n // 20):
        n_states = int(rng.integers(2, 100))
        dim, n_samples = int(rng.integers(2, n_states + 1)), int(rng.integers(1, 20))
        bound = sj.minimax_risk_lower_bound(n_states, dim, n_samples)
        strength = sj.packing_strength(n_states, dim, n_samples)
        shares.append(bound / sj.packing_bayes_risk(n_states, dim, n_samples, [-strength, strength], [0.5, 0.5]))
    for n_states, dim, n_samples in [(24, 3, 400), (48, 3, 400), (48, 5, 800), (48, 3, 1600), (48, 3, 6400)]:
        found = [measure(rng, n_states, dim, n_samples) for _ in range(8)]
        mean = np.mean([row["risk"] for row in found])
        beaten.append(mean / sj.minimax_risk_lower_bound(n_states, dim, n_samples))
        above.append(max(row["risk"] / row["oracle"] for row in found))
    strength = sj.packing_strength(24, 3, 200)
    theta = strength * rng.choice([-1.0, 1.0], size=(12, 2))
    kernel = sj.packing_kernels(theta, 24)
    counts = rng.multinomial(20_000, kernel.ravel() / 24).reshape(24, 24) * (24 / 20_000)
    control = np.sum((counts - kernel) ** 2) / sj.minimax_risk_lower_bound(24, 3, 200)
    unit = 64 * 4
    return [
        comparison(f"lower bound / exact Bayes risk, {len(shares)} random n, k, N < 20: largest", max(shares), "<=", 1),
        comparison("the same: median", np.median(shares), ">=", 0.7),
        comparison("mean R of truncated SVD / lower bound, five sizes: least", min(beaten), ">=", 1),
        comparison("the same: largest", max(beaten), "<=", 40),
        comparison("R / (5 k ||E||^2), 40 draws: largest", max(above), "<=", 1),
        comparison("lower bound N / (n (k - 1)) at N = n (k - 1)", sj.minimax_risk_lower_bound(64, 5, unit), ">=", 0.15),
        comparison("the same at N = 10^6 n (k - 1)", 1e6 * sj.minimax_risk_lower_bound(64, 5, 10**6 * unit), ">=", 0.49),
        comparison("counts with 100 times the samples (control): R / lower bound", control, "<=", 1),
    ]


def along_the_axes(rng, n):
    """Of the committed sweep: slopes in N, k - 1 and n, and how far truncated SVD lies from what none can beat."""
    table = reference_table("minimax")
    rows, slope, lines = seen_enough(table), slopes(table), summary(table)
    noise = np.sqrt(rows["oracle"] / (5 * rows["dim"]) / (rows["n_states"] / rows["n_samples"]))
    noise = noise.groupby([rows["n_states"], rows["dim"], rows["n_samples"]]).mean()
    return [
        comparison("log-log slope of R in N, 256 to 10^6, n = 64, k = 5", slope["N"]["risk"], "<=", -1),
        comparison("the same in k - 1, 1 to 16, n = 192, N = 200,000", slope["k"]["risk"], ">=", 0.79),
        comparison("the same in n, 32 to 256, k = 4, N = 200,000", slope["n"]["risk"], "<=", 1.12),
        comparison(
            "mean R of truncated SVD / lower bound, N >= n (k - 1): least", lines["least_risk_over_lower"].min(), ">=", 8.5
        ),
        comparison("the same: largest", lines["largest_risk_over_lower"].max(), "<=", 30),
        comparison("R / (5 k ||E||^2): largest", (table["risk"] / table["oracle"]).max(), "<=", 0.2),
        comparison("mean ||E|| / sqrt(n / N), N >= n (k - 1): least", noise.min(), ">=", 1.88),
        comparison("the same: largest", noise.max(), "<=", 2.15),
    ]
