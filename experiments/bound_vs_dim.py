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

HORIZON = 40
DIMS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 32, 48, 60)
SAMPLES = [300, 1000, 3000, 10_000, 32_000, 128_000]
FAMILIES = {
    "low rank 8": lambda seed: sj.make_low_rank(seed=seed),
    "block 5": lambda seed: sj.make_block(seed=seed),
    "block 5 + 10 % noise": lambda seed: sj.make_block(noise=0.1, seed=seed),
    "torus 8 x 8": lambda seed: with_random_reward(sj.make_torus(8, slip=0.3), seed),
    "four rooms": lambda seed: with_random_reward(sj.make_four_rooms(11, slip=0.2), seed),
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


def with_random_reward(mdp, seed):
    """Give a world the reward of the random families: U(0,1) on a random tenth of the states, discount .9."""
    rng = np.random.default_rng([seed, 7])
    reward = np.zeros(mdp.n_states)
    chosen = rng.choice(mdp.n_states, max(1, mdp.n_states // 10), replace=False)
    reward[chosen] = rng.random(chosen.size)
    return sj.TabularMDP(mdp.transition, reward=reward, discount=0.9, name=mdp.name)


def run_cell(family, n_transitions, seed):
    """One world, one sample: a row for each dimension."""
    mdp = FAMILIES[family](seed)
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
    dims = [k for k in DIMS if k < mdp.n_states] + [mdp.n_states]
    models = np.stack([sj.spectral_embedding(sampled, k, shared=True).transition() for k in dims])
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
        rows.append(row | goal_metrics(mdp, exact, sampled, dim, n_transitions))
    return rows


def goal_metrics(mdp, exact, sampled, dim, n_transitions):
    """Regret and bounds of one-step goal reaching with one encoder an action."""
    embedding = sj.spectral_embedding(sampled, dim)
    plan = sj.plan_goals(mdp, embedding)
    dot_plan = sj.plan_goals(mdp, embedding, score="dot")
    ceiling = sj.spectral_embedding(exact, dim).coordinate_ceiling
    per_action = n_transitions // mdp.n_actions
    printed = sj.printed_single_step_bound(exact, embedding, dot_plan)
    return {
        "goal_regret": plan.mean_regret,
        "goal_regret_dot": dot_plan.mean_regret,
        "goal_best": plan.average(plan.best),
        "goal_pointwise": sj.pointwise_single_step_bound(exact, embedding, plan).value,
        "goal_averaged": sj.averaged_single_step_bound(exact, embedding, plan).value,
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
