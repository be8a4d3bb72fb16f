"""What the Euclidean planner loses in exact white encoders, over worlds, and what cures it: right negatives, right planner.

Every model here is exact at k = n, or the best of rank n / 2: no data, no training. ``regret`` is the mean goal regret of one
step (or of open-loop plans of ``horizon`` steps, operator rollouts), starts from the data law, goals uniform, of four
planners: "euclidean" is the paper's, ||g - f||, on one white encoder for all actions (negatives from the pooled law q);
"pooled dot" ranks the same latents by g^T f; "own dot" ranks by g^T f with negatives from each action's own successors, as
printed; "transition" puts w+ back there. ``share_wrong`` is the share of pairs that lose. ``spread`` is how much the
predictability of outcomes differs between actions, the mean over states of the range over actions of chi^2(P(.|x,a) || q)
divided by n - 1: what the Euclidean planner is biased by. Families with seeds are averaged in the figure (docs/negatives.md).
"""

import numpy as np

import spectral_jepa as sj
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table


def sticky_grid(seed):
    """A 5 x 5 grid whose moves succeed three times in ten, and a leap to anywhere."""
    del seed
    moved = sj.make_grid("\n".join(["....."] * 5), slip=0.0).transition
    n_states = moved.shape[1]
    return sj.TabularMDP(np.concatenate([0.3 * moved + 0.7 * np.eye(n_states), np.full((1, n_states, n_states), 1 / 25)]))


def skewed_permutation(seed):
    """Deterministic actions under a law that is far from uniform."""
    weight = np.random.default_rng(seed).dirichlet(np.ones(24))
    return sj.TabularMDP(sj.make_permutation(24, 4, seed=seed).transition, weight=weight)


# Name -> world of a seed; those without chance of their own have one.
FAMILIES = {
    "scatter 6": lambda seed: sj.make_scatter(6),
    "scatter 24": lambda seed: sj.make_scatter(24),
    "scatter 96": lambda seed: sj.make_scatter(96),
    "sticky grid + leap": sticky_grid,
    "two states": lambda seed: sj.two_state_counterexample(),
    "rare outcome": lambda seed: sj.rare_outcome_counterexample(),
    "reset": lambda seed: sj.make_reset(8, 0.2),
    "garnet": lambda seed: sj.make_garnet(24, 4, 4, seed=seed),
    "dirichlet .1": lambda seed: sj.make_dirichlet(24, 4, concentration=0.1, seed=seed),
    "dirichlet 1": lambda seed: sj.make_dirichlet(24, 4, concentration=1.0, seed=seed),
    "block": lambda seed: sj.make_block(n_states=24, n_blocks=5, n_actions=4, seed=seed),
    "low rank": lambda seed: sj.make_low_rank(n_states=24, rank=8, n_actions=4, seed=seed),
    "four rooms, slip .3": lambda seed: sj.make_four_rooms(7, slip=0.3),
    "ring, slip .4": lambda seed: sj.make_ring(24, 0.4),
    "torus, slip .4": lambda seed: sj.make_torus(5, 0.4),
    "permutation": lambda seed: sj.make_permutation(24, 4, seed=seed),
    "permutation, skewed law": skewed_permutation,
}
DRAWN = ["garnet", "dirichlet .1", "dirichlet 1", "block", "low rank", "permutation", "permutation, skewed law"]
# A cut among equal singular values has no one model.
DISTINCT = ["garnet", "dirichlet .1", "dirichlet 1", "block", "low rank"]
LARGE = ["scatter 96"]
FIXED = [name for name in FAMILIES if name not in DRAWN + LARGE]
PRESETS = {
    "quick": [
        {"family": FIXED, "seed": [0], "horizon": [1, 2]},
        {"family": LARGE, "seed": [0], "horizon": [1]},
        {"family": DRAWN, "seed": range(8), "horizon": [1, 2]},
    ],
    "paper": [
        {"family": FIXED, "seed": [0], "horizon": [1, 2, 3]},
        {"family": LARGE, "seed": [0], "horizon": [1]},
        {"family": DRAWN, "seed": range(100), "horizon": [1, 2, 3]},
    ],
}
MAX_SEQUENCES = 1000


def run_cell(family, seed, horizon):
    """One world and horizon: a row for each planner, at full dimension and, where no singular values tie, at half of it."""
    mdp = FAMILIES[family](seed)
    if mdp.n_actions**horizon > MAX_SEQUENCES:
        return []
    exact = sj.CoOccurrence.exact(mdp)
    square = sj.outcome_chi_square(exact)
    spread = float(mdp.weight @ np.ptp(square, axis=0)) / (mdp.n_states - 1)
    rows = []
    for share, dim in (("all", mdp.n_states), ("half", mdp.n_states // 2))[: 2 if family in DISTINCT else 1]:
        one, own = (sj.spectral_embedding(exact, dim, shared=shared) for shared in (True, False))
        for planner, embedding, score in (
            ("euclidean", one, "euclidean"),
            ("pooled dot", one, "dot"),
            ("own dot", own, "dot"),
            ("transition", own, "transition"),
        ):
            plan = sj.plan_goals(mdp, embedding, horizon=horizon, score=score)
            bound = None
            if horizon == 1 and planner == "euclidean":
                bound = sj.euclidean_single_step_bound(exact, embedding, plan).value
            elif horizon == 1 and planner == "pooled dot":
                bound = sj.pooled_single_step_bound(exact, embedding, plan).value
            rows.append(
                {
                    "dims": share,
                    "dim": dim,
                    "planner": planner,
                    "n_states": mdp.n_states,
                    "spread": spread,
                    "best": plan.average(plan.best),
                    "regret": plan.mean_regret,
                    "largest_regret": float(plan.regret.max()),
                    "share_wrong": plan.average((plan.regret > 1e-9).astype(float)),
                    "bound": bound,
                }
            )
    return rows


def summary(table):
    """One line a family and planner: mean and largest regret of one step at full dimension."""
    part = table[(table["status"] == "ok") & (table["dims"] == "all") & (table["horizon"] == 1)]
    lines = part.groupby(["family", "planner"], sort=False)
    return lines.agg(
        worlds=("seed", "size"), best=("best", "mean"), regret=("regret", "mean"), largest=("regret", "max"),
        share_wrong=("share_wrong", "mean"),
    ).reset_index()  # fmt: skip
