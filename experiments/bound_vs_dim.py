"""Pretraining error, planning regret and their bounds against the latent dimension.

For each world, sample size and seed: transitions are drawn, counts are factorised at every dimension from one
decomposition, and each embedding is measured exactly against the true world: sqrt(R_S) with its tail and oracle bounds,
goal regret (one step, one encoder an action, as the paper reads Thm 4.1 and 4.3) and reward regret (finite horizon,
discounted, one shared encoder) with the bounds printed in arXiv 2606.27014 and the corrected ones of docs/theory.md.

The planner uses counts normalised by their own marginals ("plug-in"). The oracle inequality speaks of counts divided by
the true marginals ("known"), so that risk is measured and reported beside it.
"""

import numpy as np
import pandas as pd

import spectral_jepa as sj
from spectral_jepa.generators.products import with_random_reward
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

HORIZON = 40
DIMS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 32, 48, 60)
SAMPLES = [300, 1000, 3000, 10_000, 32_000, 128_000]
FAMILIES = {
    "low rank 8": lambda seed: sj.make_low_rank(seed=seed),
    "block 5": lambda seed: sj.make_block(seed=seed),
    "block 5 + 10 % noise": lambda seed: sj.make_block(noise=0.1, seed=seed),
    "torus 8 x 8": lambda seed: with_random_reward(sj.make_torus(8, slip=0.3), [seed, 7]),
    "four rooms": lambda seed: with_random_reward(sj.make_four_rooms(11, slip=0.2), [seed, 7]),
    "garnet": lambda seed: sj.make_garnet(60, 4, branching=6, seed=seed),
    "low rank 8, 120 states": lambda seed: sj.make_low_rank(n_states=120, seed=seed),
}
CONTRAST = ["torus 8 x 8", "four rooms"]
PRESETS = {
    "quick": [
        {"family": ["low rank 8", "block 5", "block 5 + 10 % noise"], "n_transitions": SAMPLES, "seed": range(20)},
        {"family": CONTRAST, "n_transitions": [1000, 10_000, 128_000], "seed": range(20)},
    ],
    "paper": {"family": list(FAMILIES), "n_transitions": [*SAMPLES, 512_000], "seed": range(40)},
}


def run_cell(family, n_transitions, seed):
    """One world, one sample: a row for each dimension."""
    return measure(FAMILIES[family](seed), n_transitions, seed)


def measure(mdp, n_transitions, seed, dims=DIMS, fit=None):
    """A row for each dimension of any world; ``sj.sweep_bounds`` calls it with the user's worlds and fits.

    ``fit(sampled, dim, seed)`` returns an embedding, which then plans for goals and for rewards alike.
    """
    exact = sj.CoOccurrence.exact(mdp)
    # The data depend on (seed, sample size) and not on the dimension, so that curves are paired.
    data = sj.sample_transitions(mdp, n_transitions=n_transitions, seed=np.random.default_rng([seed, n_transitions]))
    sampled = sj.CoOccurrence.from_transitions(data, unseen_actions="zero")
    known = sj.CoOccurrence.from_transitions(data, "known", known=mdp, unseen_actions="zero")
    # With known marginals the stacked estimate is counts / (N sqrt(rho q)): weigh each action by how often it came up.
    frequency = np.bincount(data.action, minlength=mdp.n_actions) / len(data)
    weight = np.repeat(frequency / mdp.action_frequency, mdp.n_states)[:, None]
    error = known.stacked * weight - exact.stacked
    left, values, right = np.linalg.svd(known.stacked * weight, full_matrices=False)
    error_norm = np.linalg.norm(error, ord=2)
    bernstein = sj.bernstein_bound(exact, n_transitions, shared=True)[0]
    dims = [k for k in dims if k < mdp.n_states] + [mdp.n_states]
    shared = [sj.spectral_embedding(sampled, k, shared=True) if fit is None else fit(sampled, k, seed) for k in dims]
    models = np.stack([embedding.transition() for embedding in shared])
    reward_plan = sj.plan_rewards(mdp, models, horizon=HORIZON)
    tight, loose = sj.reward_bound_values(mdp, exact, models, reward_plan)
    rows = []
    for i, dim in enumerate(dims):
        known_residual = exact.stacked - (left[:, :dim] * values[:dim]) @ right[:dim]
        measured = sj.oracle_bound(exact, dim, error_norm)
        row = {
            "dim": dim,
            "n_states": mdp.n_states,
            "root_risk": float(np.sqrt(sj.transition_risk(exact, models[i], pooled=True))),
            "root_risk_known": float(np.linalg.norm(known_residual)),
            "root_tail": float(np.sqrt(sj.tail(exact, dim, shared=True))),
            "root_norm": measured.ceiling,
            "oracle_measured": measured.value,
            "oracle_bernstein": sj.oracle_bound(exact, dim, bernstein.value).value,
            "reward_regret": float(reward_plan.regret[i]),
            "reward_optimal": reward_plan.optimal,
            "reward_tight": float(tight[i]),
            "reward_loose": float(loose[i]),
        }
        embedding = sj.spectral_embedding(sampled, dim) if fit is None else shared[i]
        rows.append(row | goal_metrics(mdp, exact, embedding, dim, n_transitions))
    return rows


def goal_metrics(mdp, exact, embedding, dim, n_transitions):
    """Regret and bounds of one-step goal reaching; with one encoder an action unless the user fits another."""
    plan = sj.plan_goals(mdp, embedding)
    dot_plan = sj.plan_goals(mdp, embedding, score="dot")
    ceiling = sj.spectral_embedding(exact, dim).coordinate_ceiling
    per_action = n_transitions // mdp.n_actions
    printed = sj.printed_single_step_bound(exact, embedding, dot_plan)
    free = np.nan
    # Of the truncated truth: counts are no truncation of it. Only where the world keeps its law under every action.
    if np.abs(exact.column_weight - mdp.weight).max() < 1e-10:
        without_noise = sj.spectral_embedding(exact, dim)
        bound = sj.horizon_free_bound(exact, without_noise, sj.plan_goals(mdp, without_noise))
        free = bound.value if bound.holds else np.nan
    return {
        "goal_regret": plan.mean_regret,
        "goal_regret_dot": dot_plan.mean_regret,
        "goal_best": plan.average(plan.best),
        "goal_pointwise": sj.pointwise_single_step_bound(exact, embedding, plan).value,
        "goal_averaged": sj.averaged_single_step_bound(exact, embedding, plan).value,
        "goal_horizon_free": free,
        "goal_printed": printed.value,
        "goal_printed_holds": printed.holds_as_printed,
        "goal_printed_chain": sj.printed_chain_bound(exact, dim, per_action, dot_plan, ceiling=ceiling).value,
    }


def summary(table):
    """Best dimension and what it buys, for each family and sample size (means over seeds)."""
    means = table[table["status"] == "ok"].assign(
        relative_reward_regret=lambda t: t["reward_regret"] / t["reward_optimal"],
        relative_goal_regret=lambda t: t["goal_regret"] / t["goal_best"],
    )
    columns = ["root_risk", "relative_reward_regret", "relative_goal_regret"]
    means = means.groupby(["family", "n_transitions", "dim"], sort=False)[columns].mean().reset_index()
    rows = []
    for (family, n_transitions), part in means.groupby(["family", "n_transitions"], sort=False):
        row = {"family": family, "n_transitions": n_transitions}
        for column, name in zip(columns, ("error", "reward regret", "goal regret"), strict=True):
            best, last = part.loc[part[column].idxmin()], part.loc[part["dim"].idxmax()]
            row |= {f"best k by {name}": int(best["dim"]), name: best[column], f"{name}, k = S": last[column]}
        rows.append(row)
    return pd.DataFrame(rows)


def verdict(table):
    """One sentence on the rows that are done: do the corrected bounds hold, and do fewer dimensions than states pay?"""
    pairs = {"goal": ("goal_regret", "goal_pointwise"), "reward": ("reward_regret", "reward_tight")}
    broken = sum(int((table[regret] > table[bound] + 1e-10).sum()) for regret, bound in pairs.values())
    largest = {name: (table[regret] / table[bound]).max() for name, (regret, bound) in pairs.items()}
    means = table.groupby(["family", "n_transitions", "dim"])["root_risk"].mean().unstack("dim")
    fewer = int((means.idxmin(axis=1) < means.apply(lambda row: row.last_valid_index(), axis=1)).sum())
    held = f"The corrected bounds hold in all {len(table):,} rows" if not broken else f"Bounds are BROKEN {broken:,} times"
    return (
        f"{held} (regret is at most {largest['goal']:.2f} of its bound for goals, {largest['reward']:.2f} for rewards), and "
        f"the pretraining error is least below full dimension in {fewer} of {len(means)} settings of world and data."
    )


def headline(family, n_transitions):
    """Means over seeds of the committed quick table, by dimension."""
    table = reference_table("bound_vs_dim")
    part = table[(table["family"] == family) & (table["n_transitions"] == n_transitions)]
    part = part.assign(
        share=part["reward_regret"] / part["reward_optimal"], tight=part["reward_tight"] / part["reward_regret"]
    )
    return part.groupby("dim")[
        ["root_risk", "root_tail", "share", "tight", "reward_tight", "reward_regret", "goal_regret"]
    ].mean()


def u_shape(rng, n):
    """The trade-off at N = 32,000: error and regret fall to k = 8 and rise again."""
    table = headline("low rank 8", 32_000)
    ratio = table["reward_tight"] / table["reward_regret"]
    rows = [
        comparison(f"sqrt(R_S) at k = {k}", table.loc[k, "root_risk"], rel, v)
        for k, rel, v in ((1, ">=", 0.72), (8, "<=", 0.3), (60, ">=", 0.6))
    ]
    return [
        *rows,
        comparison("k of least sqrt(R_S)", table["root_risk"].idxmin(), "=", 8),
        comparison("k of least reward regret, at least", table["share"].idxmin(), ">=", 8),
        comparison("k of least reward regret, at most", table["share"].idxmin(), "<=", 9),
        comparison("reward regret (share of optimum) at k = 1", table.loc[1, "share"], ">=", 0.15),
        comparison("reward regret at k = 8", table.loc[8, "share"], "<=", 0.03),
        comparison("reward regret at k = 60", table.loc[60, "share"], ">=", 0.04),
        comparison("tight bound / regret, least over k", ratio.min(), ">=", 1),
        comparison("tight bound / regret, largest over k", ratio.max(), "<=", 15),
    ]


def best_dimension_grows(rng, n):
    """Block MDP: the dimension of least error grows with the sample and stops at the number of blocks."""
    best = [headline("block 5", size)["root_risk"].idxmin() for size in (300, 1000, 3000, 10_000, 128_000)]
    rows = [
        comparison(f"best k at N = {size:,}", k, rel, v)
        for size, k, rel, v in zip(
            (300, 1000, 10_000, 128_000), np.array(best)[[0, 1, 3, 4]], ("<=", "<=", "=", "="), (2, 4, 5, 5), strict=True
        )
    ]
    return [*rows, comparison("never falls as N grows (least step)", np.min(np.diff(best)), ">=", 0)]


def heavy_tails_fall(rng, n):
    """Torus and four rooms: the error falls all the way in k, no U."""
    rows = []
    for family in ("torus 8 x 8", "four rooms"):
        sizes = (1000, 10_000, 128_000)
        rise = max(np.max(np.diff(headline(family, size)["root_risk"].to_numpy())) for size in sizes)
        rows.append(
            comparison(f"{family}, N = 1,000 to 128,000: largest rise of sqrt(R_S) from one k to the next", rise, "<=", 0)
        )
    return rows


def input_level_extreme(rng, n):
    """Input-level prediction as k = n: no approximation error, largest sample error."""
    table = headline("low rank 8", 32_000)
    return [
        comparison("tail at k = n", table.loc[60, "root_tail"], "<=", 1e-10),
        comparison("sqrt(R_S) at k = n over that at k = 8", table.loc[60, "root_risk"] / table.loc[8, "root_risk"], ">=", 2),
        comparison("reward regret at k = n over that at k = 8", table.loc[60, "share"] / table.loc[8, "share"], ">=", 2),
    ]


def dimension_trade_off(rng, n):
    """Larger k: less approximation error, more sample error."""
    table = headline("low rank 8", 32_000)
    sampling = table["root_risk"] ** 2 - table["root_tail"] ** 2
    return [
        comparison("largest step of the tail from one k to the next", np.diff(table["root_tail"]).max(), "<=", 1e-10),
        comparison("least step of the sample error R_S - tail from one k to the next", np.diff(sampling).min(), ">=", 0),
        comparison("sample error at k = 60 over k = 8", sampling[60] / sampling[8], ">=", 4),
    ]
