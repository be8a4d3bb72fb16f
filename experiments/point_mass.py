"""Latent against input-level world models on the point mass: success of planning against required steps and noise.

The experiment of arXiv 2606.27014, Section 5, with every constant stated (``PointMassSettings``), seeds, bands, controls,
a floor (random actions) and a ceiling (the same planner with the true simulator). One cell trains one model and plans with
it at every required number of steps. What the paper lacks and is added: latent dimension, number of training windows, arms
with whitening and SIGReg, without stop-gradient and without a regulariser, two kinds of goal, a second planning cost for the
input arm, and the singular values of the world on a grid.

``goal``: "passing" has the velocity of an expert that passes it, "at rest" has none. ``cost``: "own" compares latents in the
latent arms and decoded observations, weighted as in the loss, in the input arms; "position" is the input arm planning with
the decoded position alone.

What the quick preset says (10 seeds of the paper's two arms; means, at goals that the expert passes), reading by reading;
differences are latent minus input, paired by seed, with 95 % t intervals:

- 1 and 5 steps, both near perfect: holds without noise (1.00 and 1.00 latent, 1.00 and .98 input); at noise 1 five steps
  give .73 and .84. One step is hard to fail: random actions reach about a third.
- 10 steps, input better at low noise: not found, the opposite. Without noise latent .96, input .72 (.24 +- .11).
- 15 and 20 steps, close, latent stabler at high noise: not found. Latent leads by .47 +- .09 and .48 +- .09 without noise
  and by .35 +- .14 and .21 +- .21 at noise 1, where it is the latent arm that varies more between seeds (sd .23 to .13).
- 25 steps, input collapses, latent clearly higher: found, .93 against .38 without noise and .60 against .26 at noise 1. But
  it takes no noise: the collapse is there without, and when the loss ignores the noise features (.33). The planning cost
  decides: the same input models, planning with the decoded position alone, reach .78 and .71, and differ from the latent
  arm by .15 +- .19 and -.11 +- .25 (at 20 steps and noise 1 by -.21 +- .22).
- The reading depends on choices that the paper does not state. With goals at rest and no noise the input arm reaches .01 at
  one step and at most .60 anywhere, the latent arm .99 or more.

Also (3 seeds, noise 1): without a regulariser the embedding collapses (variance 2e-6) and plans like the floor;
stop-gradient alone does not collapse within this training and plans best of all (.83 at 25 steps); the variance hinge with
gradients through the target ends in effective rank 1. White latents (SIGReg at its published strength, soft whitening) plan
far goals as badly as the input arm or worse, and a tenth of SIGReg's strength does better. A likely cause, not tested: the
dynamics is deterministic, so every function of the state is predictable, and a white embedding spends directions on
functions that a Euclidean cost then weighs like position. The paper preset (4 noise levels, 1,500 updates, wider
sweeps) has not been run.
"""

import math

import numpy as np
import pandas as pd
import torch
from scipy import stats

import spectral_jepa as sj
from spectral_jepa._streams import torch_generator
from spectral_jepa.losses import sample_effective_rank, second_moment
from spectral_jepa.point_mass import (
    ARMS,
    PointMass,
    PointMassSettings,
    collect_windows,
    discretised_transitions,
    goal_pairs,
    noisy_population,
    reach_goals,
    train,
)
from spectral_jepa.point_mass.training import feature_weights, window_loss
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import mean_band, reference_table

SETTINGS = PointMassSettings()
REQUIRED_STEPS = (1, 5, 10, 15, 20, 25)
BUDGET = 1.5  # times the required steps, rounded up
DIM, WINDOWS = 8, 4000
PLANNERS = ("random", "simulator")
MAIN = ["latent", "input", "sigreg", "whitened"]
CONTROLS = [name for name in ARMS if name not in MAIN]
TEST_WINDOWS = 2000
CLEAN_TRANSITIONS = 400_000
SHOWN_VALUES = 300


def grid(arms, noise, seeds, updates, pairs, dims=DIM, windows=WINDOWS):
    """Axes of a part of the sweep."""
    return {
        "arm": arms,
        "noise": noise,
        "dim": dims,
        "n_windows": windows,
        "n_updates": updates,
        "n_pairs": pairs,
        "seed": range(seeds),
    }


def preset(noise, seeds, few, updates, pairs, sweep_arms, sweep_noise, dims, windows):
    """Main comparison, controls, floor and ceiling, sweeps over dimension and data, spectrum."""
    return [
        grid(MAIN[:2], noise, seeds, updates, pairs),
        grid(MAIN[2:], noise, few, updates, pairs),
        grid(CONTROLS, sweep_noise, few, updates, pairs),
        grid(list(PLANNERS), [0.0], seeds, 0, pairs, 0, 0),
        grid(sweep_arms, sweep_noise, few, updates, pairs, dims=dims),
        grid(sweep_arms, sweep_noise, few, updates, pairs, windows=windows),
        grid(["spectrum"], noise, 1, 0, 0, 0, [20_000]),
    ]


PRESETS = {
    "quick": preset([0.0, 1.0], 10, 3, 800, 16, ["latent", "input"], [1.0], [2, 32], [250]),
    "paper": preset(
        [0.0, 0.5, 1.0, 2.0],
        10,
        10,
        1500,
        32,
        ["latent", "input", "sigreg"],
        [0.0, 1.0],
        [1, 2, 4, 16, 32],
        [250, 1000, 16_000],
    ),
}


def run_cell(arm, noise, dim, n_windows, n_updates, n_pairs, seed):
    """Train one arm and plan with it: a row for each required number of steps, goal and cost."""
    world = PointMass(SETTINGS, noise)
    if arm == "spectrum":
        return spectrum_rows(world, n_windows, seed)
    if arm in PLANNERS:
        return [row for at_rest in (False, True) for row in evaluate(world, arm, None, "own", at_rest, n_pairs, seed)]
    windows = collect_windows(world, n_windows, torch_generator(seed, n_windows, 5, seeds="point mass"))
    training = train(world, windows, arm, dim, n_updates=n_updates, seed=seed)
    model, weight = training.model, feature_weights(world, ARMS[arm])
    test = collect_windows(world, TEST_WINDOWS, torch_generator(seed, 6, seeds="point mass"))
    with torch.no_grad():
        latent = model.encode(test.observation[:, 0])
        test_loss = window_loss(model, ARMS[arm], test, SETTINGS, weight, torch_generator(seed, 8, seeds="point mass"))
    shared = {
        "train_loss": training.final_loss,
        "test_loss": float(test_loss),
        "gradient_norm": training.gradient_norm,
        # Averages over a tenth of the updates: what the last tenth of training still bought.
        "late_loss": float(training.history[-n_updates // 5 : -n_updates // 10].mean()),
        "last_loss": float(training.history[-n_updates // 10 :].mean()),
        "effective_rank": float(sample_effective_rank(latent.double())),
        "variance": float(second_moment(latent.double()).diagonal().mean()),
        **explained(latent, test.state[:, 0]),
    }
    own = weight if ARMS[arm].space == "input" else None
    runs = [("own", own, False)]
    if arm in MAIN and (dim, n_windows) == (DIM, WINDOWS):
        runs.append(("own", own, True))
        if arm == "input":
            position = torch.zeros_like(weight)
            position[:2] = 1
            runs.append(("position", position, False))
    return [
        row | shared
        for cost, chosen, at_rest in runs
        for row in evaluate(world, model, chosen, cost, at_rest, n_pairs, seed)
    ]


def evaluate(world, planner, weight, cost, at_rest, n_pairs, seed):
    """Success at every required number of steps."""
    rows = []
    for steps in REQUIRED_STEPS:
        start, goal = goal_pairs(world, steps, n_pairs, seed, at_rest=at_rest)
        reaching = reach_goals(world, start, goal, steps, planner, budget=2 * steps, seed=seed, weight=weight)
        rows.append(
            {
                "required_steps": steps,
                "goal": "at rest" if at_rest else "passing",
                "cost": cost,
                "success": reaching.success(math.ceil(BUDGET * steps)),
                "success_tight": reaching.success(min(steps + 2, 2 * steps)),
                "success_double": reaching.success(2 * steps),
                "final_distance": float(reaching.final_distance.mean()),
            }
        )
    return rows


def explained(latent, state):
    """Share of the variance of position and velocity that a linear map of the latent explains (R^2)."""
    inputs = np.column_stack([latent.double().numpy(), np.ones(len(latent))])
    target = state.double().numpy()
    residual = target - inputs @ np.linalg.lstsq(inputs, target, rcond=None)[0]
    share = 1 - residual.var(axis=0) / target.var(axis=0)
    return {"explained_position": float(share[:2].mean()), "explained_velocity": float(share[2:].mean())}


def spectrum_rows(world, n_transitions, seed):
    """Singular values of one action on the grid: of the world, and of counts from a finite log."""
    clean = discretised_transitions(PointMass(SETTINGS, 0.0), CLEAN_TRANSITIONS, seed)
    exact = sj.spectrum(noisy_population(clean, world.noise))[0]
    data = discretised_transitions(world, n_transitions, seed)
    sampled = sj.spectrum(sj.CoOccurrence.from_transitions(data))[0]
    return [
        {"index": i + 1, "singular_value": float(exact[i]), "sampled_singular_value": float(sampled[i])}
        for i in range(SHOWN_VALUES)
    ]


def summary(table):
    """Success by arm, noise and required steps: mean and 95 % t band over seeds, at the main dimension and data size."""
    chosen = table[(table["status"] == "ok") & table["required_steps"].notna() & (table["goal"] == "passing")]
    chosen = chosen[chosen["dim"].isin([DIM, 0]) & chosen["n_windows"].isin([WINDOWS, 0])]
    rows = []
    for (arm, cost, noise), part in chosen.groupby(["arm", "cost", "noise"], sort=False):
        band = mean_band(part, by="required_steps", value="success")
        row = {"arm": arm if cost == "own" else f"{arm}, {cost} cost", "noise": noise, "seeds": int(band["n"].max())}
        for _, at in band.iterrows():
            half = at["high"] - at["mean"]
            row[f"{at['required_steps']:.0f} steps"] = f"{at['mean']:.2f}" + (f" +- {half:.2f}" if at["n"] > 1 else "")
        if part["effective_rank"].notna().any():
            row |= {"effective rank": round(part["effective_rank"].mean(), 2), "variance": round(part["variance"].mean(), 3)}
        rows.append(row)
    return pd.DataFrame(rows)


def committed(arm, noise, steps, cost="own"):
    """Success by seed in the committed quick table, goals that the expert passes, main dimension and data size."""
    table = reference_table("point_mass")
    part = table[(table["arm"] == arm) & (table["noise"] == noise) & (table["cost"] == cost) & (table["goal"] == "passing")]
    part = part[part["dim"].isin([DIM, 0]) & part["n_windows"].isin([WINDOWS, 0]) & (part["required_steps"] == steps)]
    return part.set_index("seed")["success"].sort_index()


def lead(noise, steps, cost="own"):
    """Success of latent minus input, mean and 95 % t half width, paired by seed."""
    gap = committed("latent", noise, steps) - committed("input", noise, steps, cost)
    return gap.mean(), stats.t.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap))


def near_goals(rng, n):
    """Reading: at 1 and 5 steps both are near perfect."""
    return [
        comparison(f"{arm}, noise {noise:g}, {steps} steps: success", committed(arm, noise, steps).mean(), ">=", least)
        for noise, least in ((0.0, 0.95), (1.0, 0.7))
        for arm in ("latent", "input")
        for steps in (1, 5)
    ]


def middle_goals(rng, n):
    """Readings at 10, 15 and 20 steps: who leads, and by how much."""
    rows = []
    for noise in (0.0, 1.0):
        for steps in (10, 15, 20):
            mean, half = lead(noise, steps)
            rows.append(comparison(f"noise {noise:g}, {steps} steps: latent - input (+- {half:.2f})", mean, ">=", 0))
    return rows


def far_goals(rng, n):
    """Reading at 25 steps: the input model collapses, and why."""
    mean, half = lead(0.0, 25)
    other, width = lead(0.0, 25, "position")
    ignoring, decoded = committed("input, noise not in loss", 1.0, 25), committed("input", 0.0, 25, "position")
    return [
        comparison("noise 0: input", committed("input", 0.0, 25).mean(), "<=", 0.5),
        comparison(f"noise 0: latent - input (+- {half:.2f})", mean, ">=", 0.3),
        comparison("noise 1, noise left out of the input loss: input", ignoring.mean(), "<=", 0.5),
        comparison("noise 0, same input model planning with decoded position", decoded.mean(), ">=", 0.6),
        comparison(f"noise 0: latent - that (+- {width:.2f})", other, "<=", 0.35),
        comparison("true simulator (ceiling)", committed("simulator", 0.0, 25).mean(), ">=", 0.95),
        comparison("random actions (floor)", committed("random", 0.0, 25).mean(), "<=", 0.05),
    ]


def collapse_controls(rng, n):
    """What stop-gradient, variance, SIGReg and whitening do to the latent arm at noise 1."""
    table = reference_table("point_mass")
    bare = table[table["arm"] == "latent, no regulariser"]
    far = {
        name: committed(name, 1.0, 25).mean()
        for name in ("latent, no regulariser", "latent, stop-gradient only", "latent, full gradient", "sigreg")
    }
    return [
        comparison("no regulariser: variance of the embedding", bare["variance"].mean(), "<=", 1e-4),
        comparison("no regulariser: success at 25 steps", far["latent, no regulariser"], "<=", 0.05),
        comparison("stop-gradient only: success at 25 steps", far["latent, stop-gradient only"], ">=", 0.6),
        comparison("full gradient and variance: success at 25 steps", far["latent, full gradient"], "<=", 0.3),
        comparison("SIGReg: success at 25 steps", far["sigreg"], "<=", 0.5),
    ]
