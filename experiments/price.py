"""A price instead of a dimension: soft-thresholded embeddings beside truncated ones, on the worlds of ``bound_vs_dim``.

For each world, sample size and seed (the same logs as in ``bound_vs_dim``): the truncation at every dimension, soft
thresholding over a grid of prices, and what the data alone choose: a price by Bernstein, by a bootstrap, by half-samples
(the noise level of ``analyze``) or by held-out transitions; a dimension by held-out transitions or by counting the values
above the noise level; and what ``analyze`` recommends, its price, its dimension, and whichever its folds prefer. Each is
measured exactly in the true world: sqrt(R_S) and reward regret with one shared encoder, one-step goal regret with one
encoder an action. Plug-in counts, constant kept (docs/price.md, 3); the oracle inequality is measured beside them on counts
with known marginals, at the price ||E||_2.
"""

import numpy as np
import pandas as pd

import spectral_jepa as sj
from spectral_jepa.sweep.experiment import comparison, load_experiment
from spectral_jepa.sweep.results import reference_table

HORIZON = 40
PRICES = (0.0, *np.round(np.geomspace(0.02, 1.0, 15), 4).tolist())
DIMS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 32, 48, 60)
SAMPLES = [300, 1000, 3000, 10_000, 32_000, 128_000]
FAMILIES = (
    "low rank 8", "block 5", "block 5 + 10 % noise", "torus 8 x 8", "four rooms", "garnet", "low rank 8, 120 states",
)  # fmt: skip
# What chooses from the data alone, in the order of the tables.
CHOICES = (
    "held-out price", "analyze price", "half-sample price", "bootstrap price", "Bernstein price",
    "held-out k", "k above the noise", "the better of both",
)  # fmt: skip
PRESETS = {
    "quick": {"family": list(FAMILIES), "n_transitions": SAMPLES, "seed": range(6)},
    "paper": {"family": list(FAMILIES), "n_transitions": [*SAMPLES, 512_000], "seed": range(40)},
}


def run_cell(family, n_transitions, seed):
    """One world, one sample: a row for each dimension, each price, each choice, and one for the oracle inequality."""
    mdp = load_experiment("bound_vs_dim").module.FAMILIES[family](seed)
    exact = sj.CoOccurrence.exact(mdp)
    data = sj.sample_transitions(mdp, n_transitions=n_transitions, seed=np.random.default_rng([seed, n_transitions]))
    sampled = sj.CoOccurrence.from_transitions(data, unseen_actions="zero")
    analysis = sj.analyze(data, seed=seed)
    shared, own = chosen_prices(data, analysis, seed)
    rows = [{"kind": "rank", "choice": "", "dim": k} for k in DIMS if k < mdp.n_states]
    rows += [{"kind": "rank", "choice": "", "dim": mdp.n_states}]
    rows += [{"kind": "price", "choice": "", "price": theta} for theta in PRICES]
    rows += [{"kind": "chosen", "choice": name, "price": theta} for name, theta in shared.items()]
    whole = [embed(sampled, row, shared=True) for row in rows]
    rows += [{"kind": "chosen", "choice": name} | what for name, what in chosen_dims(analysis).items()]
    whole += [embed(sampled, row, shared=True) for row in rows[len(whole) :]]
    plan = sj.plan_rewards(mdp, np.stack([embedding.transition() for embedding in whole]), horizon=HORIZON)
    for i, (row, embedding) in enumerate(zip(rows, whole, strict=True)):
        per_action = {"price": own[row["choice"]]} if row["choice"] in own and "price" in row else {}
        single = embed(sampled, row | per_action, shared=False)
        goals = sj.plan_goals(mdp, single)
        row |= {
            "kept": embedding.dim,
            "root_risk": float(np.sqrt(sj.transition_risk(exact, embedding.transition(), pooled=True))),
            "reward_regret": float(plan.regret[i] / plan.optimal),
            "goal_regret": goals.mean_regret / goals.average(goals.best),
        }
    return [*rows, oracle_row(mdp, exact, data)]


def chosen_prices(data, analysis, seed):
    """Prices that the data choose: of the stack, and one an action."""
    shared = {
        "held-out price": sj.held_out_price(data, shared=True, seed=seed),
        "analyze price": analysis.price,
        "half-sample price": min(analysis.noise_level, 1.0),
        "bootstrap price": sj.bootstrap_price(data, shared=True, seed=seed),
        "Bernstein price": sj.bernstein_price(data, shared=True),
    }
    # What analyze says is about the stack; the noise of an action is that of its own share of the log.
    growth = np.sqrt(len(data) / np.maximum(data.actions_seen, 1))
    own = {name: np.minimum(shared[name] * growth, 1.0) for name in ("analyze price", "half-sample price")}
    own |= {
        "held-out price": sj.held_out_price(data, seed=seed),
        "bootstrap price": sj.bootstrap_price(data, seed=seed),
        "Bernstein price": sj.bernstein_price(data),
        "the better of both": own["analyze price"],
    }
    return shared, own


def chosen_dims(analysis):
    """Dimensions that the data choose, and the price or the dimension, whichever has the lower held-out risk."""
    dim = {"dim": analysis.held_out_dim}
    priced = analysis.priced_risk([analysis.price])[0] < analysis.held_out_mean.min()
    above = int(np.count_nonzero(analysis.singular_values > analysis.noise_level))
    return {
        "held-out k": dim,
        "k above the noise": {"dim": max(above, 1)},
        "the better of both": {"price": analysis.price} if priced else dim,
    }


def embed(cooc, row, *, shared):
    """The embedding that a row describes: truncated where it has a dimension, else priced."""
    if row.get("dim") is not None:
        return sj.spectral_embedding(cooc, row["dim"], shared=shared)
    return sj.soft_threshold_embedding(cooc, row["price"], shared=shared)


def oracle_row(mdp, exact, data):
    """Counts over N sqrt(rho q), constant kept, at the price ||E||_2: risk, bound, and the best truncation in hindsight."""
    known = sj.CoOccurrence.from_transitions(data, "known", known=mdp, unseen_actions="zero")
    # The estimate divides by the true rho: weigh each action by how often it came up.
    frequency = np.bincount(data.action, minlength=mdp.n_actions) / len(data)
    estimate = known.stacked * np.repeat(frequency / mdp.action_frequency, mdp.n_states)[:, None]
    constant = np.sqrt(np.outer(exact.pooled_weight, exact.pooled_column_weight))
    norm = float(np.linalg.norm(estimate - exact.stacked, ord=2))
    left, values, right = np.linalg.svd(estimate - constant, full_matrices=False)
    model = constant + (left * np.maximum(values - norm, 0)) @ right
    left, values, right = np.linalg.svd(estimate, full_matrices=False)
    # ||A_k - Mbar||^2 at every k from one product: sum of v_i^2 - 2 v_i <u_i, Mbar w_i>, cumulated.
    gained = np.cumsum(2 * values * np.einsum("xi,xy,iy->i", left, exact.stacked, right) - values**2)
    truncated = np.maximum(np.sum(exact.stacked**2) - gained, 0)
    bounds = [sj.oracle_bound(exact, k, norm).value for k in range(1, mdp.n_states + 1)]
    return {
        "kind": "oracle",
        "choice": "",
        "price": norm,
        "root_risk": float(np.linalg.norm(model - exact.stacked)),
        "bound": sj.soft_threshold_bound(exact, norm, norm, keep_constant=True).value,
        "truncated_root_risk": float(np.sqrt(truncated.min())),
        "truncated_bound": min(bounds),
        "root_norm": float(np.linalg.norm(exact.stacked)),
    }


def comparisons(table):
    """One row a cell: what each choice reaches, and the best dimension and the best price in hindsight."""
    table = table[table["status"] == "ok"] if "status" in table else table
    cell = ["family", "n_transitions", "seed"]
    measures = ["root_risk", "reward_regret", "goal_regret"]
    parts = []
    for kind, name in (("rank", "best k"), ("price", "best price")):
        best = table[table["kind"] == kind].groupby(cell, sort=False)[measures].min()
        parts.append(best.assign(choice=name).reset_index())
    parts.append(table[table["kind"] == "chosen"][[*cell, "choice", "kept", *measures]])
    return pd.concat(parts, ignore_index=True)


def summary(table):
    """Means over seeds of risk and regret of every choice, by family and sample size."""
    rows = comparisons(table)
    means = rows.groupby(["family", "n_transitions", "choice"], sort=False)[["root_risk", "reward_regret", "kept"]].mean()
    wide = means.unstack("choice")
    columns = ["best k", "best price", "held-out k", "held-out price", "the better of both", "half-sample price"]
    result = wide["root_risk"][columns].add_prefix("error, ")
    result = result.join(wide["reward_regret"][columns].add_prefix("regret, "))
    return result.join(wide["kept"][["held-out price", "held-out k"]].add_prefix("kept, ")).reset_index()


def headline(measure):
    """Means over seeds of the committed quick table: settings (family and sample size) by choice."""
    rows = comparisons(reference_table("price"))
    return rows.groupby(["family", "n_transitions", "choice"], sort=False)[measure].mean().unstack("choice")


def oracle_of_a_price(rng, n):
    """R_S <= sum_i min(s_i^2, (theta + ||E||_2)^2): random and adversarial E, prices from it up; below it as a control."""
    ratios, below, controls = [], [], []
    for _ in range(n):
        shape = rng.integers(1, 7, 2)
        true, error = rng.standard_normal(shape) * 10 ** rng.uniform(-1, 1), rng.standard_normal(shape)
        left, values, right = np.linalg.svd(true, full_matrices=False)
        if rng.random() < 0.5:  # low rank, and noise against it: the worst there is
            values = values * (np.arange(values.size) < rng.integers(1, values.size + 1))
            true, error = (left * values) @ right, -(left @ right) + 0.1 * rng.random() * error
        error *= 10 ** rng.uniform(-2, 1)
        norm = np.linalg.norm(error, 2)
        for factor, kept in ((1 + rng.exponential() * (rng.random() < 0.5), ratios), (rng.random(), controls)):
            price = factor * norm
            left, values, right = np.linalg.svd(true + error, full_matrices=False)
            risk = np.sum((true - (left * np.maximum(values - price, 0)) @ right) ** 2)
            energy = np.linalg.svd(true, compute_uv=False) ** 2
            kept.append(risk / np.sum(np.minimum(energy, (price + norm) ** 2)))
            if factor == 1:
                tails = np.append(np.cumsum(energy[::-1])[::-1], 0)
                truncated = (np.sqrt(tails) + 2 * np.sqrt(2 * np.arange(tails.size)) * norm) ** 2
                below.append(np.sum(np.minimum(energy, 4 * norm**2)) / truncated[1:].min())
    return [
        comparison(f"R_S / bound, largest of {len(ratios):,} instances", max(ratios), "<=", 1 + 1e-10),
        comparison("the same, attained", max(ratios), ">=", 0.999),
        comparison("bound / least square of 4.5 over k, at the price ||E||_2, largest", max(below), "<=", 1),
        comparison("control, prices below ||E||_2: largest R_S / bound", max(controls), ">=", 1.2),
    ]


def guarantees_on_logs(rng, n):
    """Known marginals, constant kept, price ||E||_2: the bound holds and is never vacuous where 4.5 mostly is."""
    table = reference_table("price")
    table = table[table["kind"] == "oracle"]
    tightness, share = table["root_risk"] / table["bound"], table["bound"] / table["root_norm"]
    told = table["truncated_bound"] < table["root_norm"]
    return [
        comparison(f"sqrt(R_S) / bound, largest of {len(table)} logs", tightness.max(), "<=", 1 + 1e-10),
        comparison("the same, least", tightness.min(), ">=", 0.4),
        comparison("bound over that of predicting nothing, largest", share.max(), "<=", 1),
        comparison("share of logs on which 4.5, at its best k, is below predicting nothing", told.mean(), "<=", 0.5),
        comparison(
            "bound over that of 4.5 at its best k, largest", (table["bound"] / table["truncated_bound"]).max(), "<=", 1
        ),
    ]


def price_against_dimension(rng, n):
    """Chosen from the data: where a price has less error than a dimension, and where it has more."""
    risk = headline("root_risk")
    ratio = (risk["held-out price"] / risk["held-out k"]).unstack("n_transitions")
    few = ratio.loc[["torus 8 x 8", "garnet"], [300, 1000]]
    plenty = ratio.loc[["low rank 8", "block 5", "low rank 8, 120 states"], [32_000, 128_000]]
    both = risk["the better of both"] / np.minimum(risk["analyze price"], risk["held-out k"])
    return [
        comparison("heavy tails, N <= 1,000: price / dimension, largest", few.to_numpy().max(), "<=", 0.95),
        comparison(
            "low rank, N >= 32,000: price / dimension, least (the dimension wins)", plenty.to_numpy().min(), ">=", 1.1
        ),
        comparison("settings in which the price has less error, of 42", int((ratio < 0.995).to_numpy().sum()), ">=", 15),
        comparison("settings in which the dimension has less error, of 42", int((ratio > 1.005).to_numpy().sum()), ">=", 10),
        comparison("whichever the folds prefer: error over the better of the two, largest of 42", both.max(), "<=", 1.2),
    ]


def price_of_the_noise(rng, n):
    """The prices that estimate ||E||_2 are too dear: the guarantee's price is not the best one."""
    risk = headline("root_risk")
    table = reference_table("price")
    true = table[table["kind"] == "oracle"].groupby(["family", "n_transitions"])["price"].mean()
    chosen = table[table["kind"] == "chosen"].groupby(["choice", "family", "n_transitions"])["price"].mean()
    large = (slice(None), [10_000, 32_000, 128_000])
    boot = (chosen["bootstrap price"] / true).loc[large]
    bernstein = (chosen["Bernstein price"] / true).loc[large]
    mean = {name: np.exp(np.log(risk[name] / risk["best price"]).mean()) for name in CHOICES[:5]}
    return [
        comparison("N >= 10,000: bootstrap / true ||E||_2, least", boot.min(), ">=", 0.9),
        comparison("the same, largest", boot.max(), "<=", 1.1),
        comparison("N >= 10,000: Bernstein / true ||E||_2, least", bernstein.min(), ">=", 1.9),
        *(
            comparison(f"error at the {name} over that at the best price, geometric mean", mean[name], relation, limit)
            for name, relation, limit in (
                ("held-out price", "<=", 1.05), ("analyze price", "<=", 1.05), ("half-sample price", ">=", 1.2),
                ("bootstrap price", ">=", 1.2), ("Bernstein price", ">=", 1.8),
            )
        ),
    ]  # fmt: skip
