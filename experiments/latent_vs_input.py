"""Latent against input-level prediction: who wins over nuisance predictability, nuisance scale, dimension and sample size.

A task is observed beside a nuisance that no action moves. The latent arm is the whitened spectral model, which ranks
directions by predictability; the input arm is reduced-rank regression on one-hot pixels of task and nuisance, the latter
times ``nuisance_scale``, which ranks them by predicted variance (docs/theory.md, section 6). Both get the same transitions
and the same number of dimensions (the constant counts as one in both), are read back as transition models, plan alike and
are measured exactly.

Map cells ("ring"): 5 states, slip .4, steps -1, 0, +1, one encoder for all actions; the nuisance has 5 values and keeps its
value with probability ``persistence`` (0: i.i.d., 1: frozen). Noise cells ("cycle"): 5 states, steps -1 and +1, with
probability .3 the action is replaced by a random one; one encoder an action, i.i.d. nuisance of 1 to 16 values, N = 2000.
``n_per_action`` = 0 means the exact matrices, that is infinite data. ``nuisance_scale`` is missing for the latent arm, which
does not see it.
"""

import numpy as np
import pandas as pd

import spectral_jepa as sj
from spectral_jepa.input_level import critical_nuisance_scale, product_observations, reduced_rank_regression
from spectral_jepa.planning.values import first_best
from spectral_jepa.sweep.experiment import comparison

N_TASK = 5
SLIP = 0.4
HORIZON = 20
DIMS = (1, 3, 5, 7, 9)
QUICK_SCALES = [0.0625, 0.125, 0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0, 8.0, 16.0]
PAPER_SCALES = [float(c) for c in np.geomspace(1 / 16, 16, 25).round(4)]
NOISE = {"task": "cycle", "n_values": [1, 2, 4, 8, 16], "persistence": 0.0, "n_per_action": 2000}
QUICK = {"task": "ring", "n_values": 5, "persistence": [i / 10 for i in range(11)], "scales": [QUICK_SCALES]}
PAPER = {"task": "ring", "n_values": 5, "persistence": [i / 20 for i in range(21)], "scales": [PAPER_SCALES]}
PRESETS = {
    "quick": [
        QUICK | {"n_per_action": 0, "seed": 0},
        QUICK | {"n_per_action": [100, 1000], "seed": range(10)},
        NOISE | {"seed": range(20), "scales": [[1.0]]},
    ],
    "paper": [
        PAPER | {"n_per_action": 0, "seed": 0},
        PAPER | {"n_per_action": [100, 300, 1000, 10_000], "seed": range(40)},
        NOISE | {"seed": range(100), "scales": [[1.0]]},
    ],
}


def make_task(task):
    """The task alone; reward 1 in state 0, discount .9."""
    if task == "ring":
        world = sj.make_ring(N_TASK, SLIP, 3)
    else:
        steps = np.stack([np.roll(np.eye(N_TASK), step, axis=1) for step in (-1, 1)])
        world = sj.TabularMDP(0.7 * steps + 0.3 * steps.mean(axis=0), name="cycle")
    return sj.TabularMDP(world.transition, reward=np.eye(N_TASK)[0], discount=0.9, name=task)


def run_cell(task, n_values, persistence, n_per_action, seed, scales):
    """One world, one sample: a row for each arm, scale and dimension."""
    mdp = sj.with_nuisance(make_task(task), n_values, "markov", persistence=persistence)
    exact, shared = sj.CoOccurrence.exact(mdp), task == "ring"
    cooc, sample_error, expected = exact, 0.0, 0.0
    if n_per_action:
        data = sj.sample_transitions(mdp, n_per_action, seed=np.random.default_rng([seed, n_values, n_per_action]))
        cooc = sj.CoOccurrence.from_transitions(data)
        known = sj.CoOccurrence.from_transitions(data, "known", known=mdp)
        sample_error = float(np.mean(np.sum((known.normalized - exact.normalized) ** 2, axis=(1, 2))))
        expected = float(np.mean(sj.expected_squared_error(exact, n_per_action)))
    arms = latent_arm(cooc, shared) + input_arm(cooc, shared, n_values, scales)
    models = np.stack([embedding.transition() for _, embedding in arms])
    ratios = np.stack([embedding.density_ratio() for _, embedding in arms])
    metrics = {
        "root_risk": [float(np.sqrt(np.mean(sj.transition_risk(exact, model, pooled=shared)))) for model in models],
        "task_goal_regret": goal_regret(mdp, models, n_values),
        "task_reward_regret": sj.plan_rewards(mdp, models, horizon=HORIZON).relative_regret,
        "observation_goal_regret": n_values * goal_regret(mdp, models),
        "observation_goal_regret_dot": n_values * goal_regret(mdp, ratios),
    }
    task_value = float(sj.spectrum(sj.CoOccurrence.exact(make_task(task)))[0, 1])
    world = {"n_states": mdp.n_states, "task_value": task_value}
    world |= {"sample_error": sample_error, "expected_sample_error": expected}
    return [row | {name: float(values[i]) for name, values in metrics.items()} | world for i, (row, _) in enumerate(arms)]


def latent_arm(cooc, shared):
    """The whitened spectral model at each dimension; k = S is the plug-in model."""
    dims = [k for k in DIMS if k < cooc.n_states] + [cooc.n_states]
    return [({"arm": "latent", "dim": k}, sj.spectral_embedding(cooc, k, shared=shared)) for k in dims]


def input_arm(cooc, shared, n_values, scales):
    """Reduced-rank regression on one-hot pixels at each scale and dimension."""
    rows = []
    for scale in scales:
        pixels = product_observations(np.eye(N_TASK), np.eye(n_values), nuisance_scale=scale)
        model = reduced_rank_regression(cooc, pixels, shared=shared)
        rows += [
            ({"arm": "input", "dim": k, "nuisance_scale": scale}, model.embedding(k)) for k in DIMS if k <= model.max_dim
        ]
    return rows


def goal_regret(mdp, models, n_values=1):
    """Mean one-step regret of each model, goals being what is left of a state when its ``n_values`` variants are merged."""
    shape = (*models.shape[:-1], mdp.n_states // n_values, n_values)
    believed = models.reshape(shape).sum(axis=-1)
    true = mdp.transition.reshape(shape[-4:]).sum(axis=-1)
    planned = np.take_along_axis(true[None], first_best(believed, axis=1)[:, None], axis=1)[:, 0]
    return np.mean(mdp.start[:, None] * (true.max(axis=0) - planned) * mdp.n_states, axis=(1, 2))


def summary(table):
    """Share of the map that each arm wins by more than a tenth of a blind planner's regret, by dimension and sample size."""
    ring = table[(table["status"] == "ok") & (table["task"] == "ring")]
    margin = 0.1 * ring.loc[ring["dim"] == 1, "task_goal_regret"].mean()
    rows = []
    for (n, dim), part in ring[ring["dim"].isin([3, 5, 7, 9])].groupby(["n_per_action", "dim"]):
        latent = part[part["arm"] == "latent"].groupby("persistence")["task_goal_regret"].mean()
        paired = part[part["arm"] == "input"].groupby(["nuisance_scale", "persistence"])["task_goal_regret"].mean().unstack()
        difference = paired - latent
        rows.append({"n_per_action": n, "k": dim, "latent wins": np.mean(difference.to_numpy() > margin)})
        rows[-1] |= {"input wins": np.mean(difference.to_numpy() < -margin), "latent regret": latent.mean()}
        rows[-1] |= {"input regret": paired.to_numpy().mean()}
    return pd.DataFrame(rows)


# --- Rows of paper_repro.md ------------------------------------------------------------------------------------------


def exact_regrets(persistence, scale, dim):
    """Task goal regret (latent, input) on the exact matrices of the map's world, one encoder for all actions."""
    mdp = sj.with_nuisance(make_task("ring"), 5, "markov", persistence=persistence)
    arms = latent_arm(sj.CoOccurrence.exact(mdp), True) + input_arm(sj.CoOccurrence.exact(mdp), True, 5, [scale])
    chosen = np.stack([embedding.transition() for row, embedding in arms if row["dim"] == dim])
    return goal_regret(mdp, chosen, 5)


def large_background_defeats_input(rng, n):
    """Section 6: a loud, half-predictable background pushes the task out of the input model, not of the latent."""
    value = 1 - SLIP + SLIP * np.cos(2 * np.pi / N_TASK)
    low, high = 1e-2, 1e2
    for _ in range(50):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if exact_regrets(0.5, middle, 3)[1] < 0.12 else (low, middle)
    latent, loud = exact_regrets(0.5, 2.0, 3)
    return [
        comparison("scale at which the input model drops the task, p = .5, k = 3", np.sqrt(low * high), "=", value / 0.5),
        comparison("the same from critical_nuisance_scale", critical_nuisance_scale(value, 0.5, 5, 5), "=", value / 0.5),
        comparison("input regret at scale 2, k = 3 (a blind planner's)", loud, "=", 0.24),
        comparison("latent regret, k = 3", latent, "<=", 1e-12),
        comparison("input regret at scale 2, k = 7 (room for both)", exact_regrets(0.5, 2.0, 7)[1], "<=", 1e-12),
    ]


def slow_distractor_defeats_latent(rng, n):
    """Section 6: a tiny, slow distractor pushes the task out of the latent, not of the input model."""
    latent, faint = exact_regrets(0.9, 0.01, 3)
    below = exact_regrets(0.7, 0.01, 3)[0]
    table = pd.DataFrame(run_cell("ring", 5, 0.9, 0, 0, [0.01])).query("dim == 3").set_index("arm")
    return [
        comparison("latent regret, p = .9 > s = .724, k = 3 (a blind planner's)", latent, "=", 0.24),
        comparison("input regret, p = .9, scale .01, k = 3", faint, "<=", 1e-12),
        comparison("latent regret, p = .7 < s, k = 3", below, "<=", 1e-12),
        comparison(
            "pretraining error of the latent over that of the input, though it loses",
            table.loc["latent", "root_risk"] / table.loc["input", "root_risk"],
            "<=",
            1,
        ),
        comparison("latent regret, p = .9, k = 7 (room for both)", exact_regrets(0.9, 0.01, 7)[0], "<=", 1e-12),
    ]


def noise_costs_full_rank(rng, n):
    """Section 6 and K2: i.i.d. noise of m values leaves the spectrum alone; the full-rank error grows like (n m)^2 / N."""
    n_runs = max(4, n // 100)
    rows = []
    for m in (1, 4, 16):
        mdp = sj.with_nuisance(make_task("cycle"), m)
        exact = sj.CoOccurrence.exact(mdp)
        spectrum = np.sort(sj.spectrum(exact)[0])[::-1]
        circle = np.sort(np.abs(np.fft.fft([0, 0.85, 0, 0, 0.15])))[::-1]
        unchanged = np.abs(spectrum - np.pad(circle, (0, 5 * m - 5))).max()
        rows.append(comparison(f"m = {m}: largest change of a singular value", unchanged, "<=", 1e-12))
        expected = ((5 * m) ** 2 - np.sum(circle**2)) / 2000
        rows.append(comparison(f"m = {m}: expected error", sj.expected_squared_error(exact, 2000)[0], "=", expected))
        runs = [run_cell("cycle", m, 0.0, 2000, seed, []) for seed in range(n_runs)]
        table = pd.concat(pd.DataFrame(run) for run in runs)
        rows.append(
            comparison(f"m = {m}: mean error / expected, at most", table["sample_error"].mean() / expected, "<=", 1.3)
        )
        rows.append(
            comparison(f"m = {m}: mean error / expected, at least", table["sample_error"].mean() / expected, ">=", 0.6)
        )
        regret = table.groupby("dim")[["observation_goal_regret", "observation_goal_regret_dot"]].mean()
        ceilings = {1: (1e-3, 1e-3, 1e-3), 4: (1e-3, 1e-3, 5e-3), 16: (0.07, 1e-3, 0.035)}[m]
        for dim, ceiling in dict(zip((5 * m, 5, 3), ceilings, strict=True)).items():
            value = regret.loc[dim, "observation_goal_regret"]
            rows.append(comparison(f"m = {m}: m x goal regret, k = {dim}, at most", value, "<=", ceiling))
    rows.append(comparison("m = 16: m x goal regret at full rank, at least", regret.iloc[-1, 0], ">=", 0.04))
    rows.append(comparison("m = 16: m x goal regret, k = 3, score g^T f, at most", regret.loc[3].iloc[1], "<=", 1e-3))
    return rows
