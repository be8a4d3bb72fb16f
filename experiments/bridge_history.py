"""From pixels, how far ahead: whether predicting H steps at once learns other functions, or better ones, than one.

A 5 x 5 torus (slip .5) drawn at 32 px, k = 4 latent dimensions under a whitening penalty. A model is trained to predict the
frame ``ahead`` = H steps later from H one-hot actions (a frameskip of H). On a torus all actions commute, so the singular
values are exactly s_i^H (``horizon_singular_values``): .827 and .655 for the first two groups of four at H = 1, .468 and
.184 at H = 4. The functions are the same, they stand further apart, and all that can be predicted is less. Measured after
training on ``n_clips`` clips: ``share``, R^2 of the four leading functions; ``unpredicted``, the error of g over the
variance of f on the exact world (1 - s^2H at best); and two exact regrets over plans of four raw actions (4 / H predictions
rolled out), in probability to end in the goal: ``regret`` of the model's own f and g by squared distance, and
``function_regret`` of its f with the exact conditional mean for g, what the functions alone are worth. ``counted_share``:
the SVD of the counts of the same clips. Controls: ``history`` = 3 frames of context, which in a Markov world tell nothing
new (same optimum), and the untrained encoder ("ahead" 0).
"""

import numpy as np
import torch
from _drawn import NumberedModel, model_config, one_hot_blocks, play, read_out, settle, train

import spectral_jepa as sj
from spectral_jepa.pixels.diagnostics.spectrum import in_sequences, match_spectrum, place_regret
from spectral_jepa.pixels.environments.mdp_pictures import draw_world
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table
from spectral_jepa.theory import mse_loss

SIDE, SLIP, DIM, PLAN = 5, 0.5, 4, 4
ASKED = {"image_size": 32, "seeds": [[0, 1, 2]]}
PRESETS = {
    "quick": [
        ASKED | {"n_steps": 400, "ahead": [1, 2, 4], "history": 1, "n_clips": [[300, 10_000]]},
        ASKED | {"n_steps": 400, "ahead": 1, "history": 3, "n_clips": [[300, 10_000]]},
        ASKED | {"n_steps": 400, "ahead": 0, "history": 1, "n_clips": [[300]]},
        ASKED | {"n_steps": 1600, "ahead": [1, 2, 4], "history": 1, "n_clips": [[10_000]]},
        # Small enough for a test to train it again.
        ASKED | {"n_steps": 10, "seeds": [[0]], "ahead": 2, "history": 1, "n_clips": [[300]]},
    ],
    "paper": {
        "image_size": 64, "n_steps": 6000, "seeds": [[0, 1, 2, 3, 4]], "ahead": [0, 1, 2, 4], "history": [1, 3],
        "n_clips": [[300, 1000, 3000, 10_000, 100_000]],
    },
}  # fmt: skip


def counted_share(world, states, actions, ahead, exact):
    """R^2 of the leading functions by the SVD of what clips count, one action a sequence of ``ahead`` actions."""
    numbers = np.zeros(len(actions), dtype=np.int64)
    for taken in actions[:, :ahead].T:
        numbers = numbers * world.n_actions + taken
    data = sj.Transitions(states[:, 0], numbers, states[:, ahead], n_states=world.n_states, n_actions=world.n_actions**ahead)
    fitted = sj.spectral_embedding(sj.CoOccurrence.from_transitions(data, unseen_actions="zero"), 1 + DIM, shared=True)
    return float(match_spectrum(exact, fitted.target, DIM).shares.mean())


def run_cell(ahead, history, n_clips, image_size, n_steps, seeds):
    """One way to predict: a row a size of log and seed. Clips depend on size and seed; shorter ones are their starts."""
    world, block = sj.make_torus(SIDE, SLIP), max(ahead, 1)
    exact, plans, once = sj.CoOccurrence.exact(world), in_sequences(world, PLAN), in_sequences(world, block)
    law, steps = exact.pooled_column_weight, sj.CoOccurrence.exact(once)
    values = exact.stacked_decomposition[1] ** block
    pictures, length = draw_world(world, image_size), block * history
    runs = [(size, seed) for size in n_clips for seed in seeds]
    played = [play(world, size, PLAN, seed) for size, seed in runs]
    logs = [
        (states[:, : length + 1 : block], one_hot_blocks(actions[:, :length], world.n_actions, block))
        for states, actions in played
    ]
    config = model_config(world.n_actions, DIM, image_size, history=history, action_block=block)
    models = [NumberedModel(config, seed, pictures) for _, seed in runs]
    if ahead:
        train(models, "whitening", logs, n_steps, [seed for _, seed in runs])
    blind = sj.Embedding(np.zeros((world.n_states, 1)), np.zeros((plans.n_actions, world.n_states, 1)), law)
    rows = []
    for (size, seed), model, log, (states, actions) in zip(runs, models, logs, played, strict=True):
        if not ahead:
            settle(model, torch.from_numpy(log[0]), log[1])
        found = read_out(model, np.array(plans.action_labels), world.n_actions, law)
        one = read_out(model, np.array(once.action_labels).reshape(-1, block), world.n_actions, law)
        ideal = sj.Embedding(found.target, np.einsum("axy,yk->axk", plans.dense(), found.target), law)
        spread = law @ (found.target - law @ found.target) ** 2
        rows.append(
            {
                "clips": size,
                "seed": seed,
                "share": float(match_spectrum(exact, found.target, DIM).shares.mean()),
                "unpredicted": float(steps.action_frequency @ mse_loss(steps, one) / spread.sum()),
                "regret": place_regret(plans, found),
                "function_regret": place_regret(plans, ideal),
                "counted_share": counted_share(world, states, actions, block, exact),
                "leading": float(values[1]),
                "next": float(values[1 + DIM]),
                "blind_regret": place_regret(plans, blind),
            }
        )
    return rows


def summary(table):
    """One line a way to predict and size of log: means over seeds."""
    columns = ["share", "counted_share", "unpredicted", "regret", "function_regret"]
    return table[table["status"] == "ok"].groupby(["n_steps", "ahead", "history", "clips"])[columns].mean().reset_index()


def same_functions(rng, n):
    """What the kept table says of predicting four steps at once."""
    del rng, n
    table = reference_table("bridge_history")
    plain = table[(table["history"] == 1) & (table["clips"] == 10_000) & (table["ahead"] > 0)]
    short, long = (plain[plain["n_steps"] == steps] for steps in (400, 1600))
    mean, late = short.groupby("ahead"), long.groupby("ahead")
    lead = mean["leading"].first()
    past = table[(table["history"] == 3) & (table["clips"] == 10_000)]
    counted = mean["counted_share"].mean()
    few = table[(table["history"] == 1) & (table["clips"] == 300)].groupby("ahead")["counted_share"].mean()
    blind = table["blind_regret"].mean()
    return [
        comparison("H = 4: leading singular value", lead[4], "=", lead[1] ** 4),
        comparison("SVD of the counts of 10,000 clips, H = 4: share of the leading four", counted[4], ">=", 0.9),
        comparison("SVD of the counts of 300 clips: share at H = 1 less share at H = 4",
                   few[1] - few[4], ">=", 0.3),
        comparison("trained, 400 steps, H = 1: share, least", mean["share"].min()[1], ">=", 0.6),
        comparison("trained, 400 steps, H = 4: share, most", mean["share"].max()[4], "<=", 0.5),
        comparison("trained, 1,600 steps: share at H = 4 less share at H = 1, means",
                   late["share"].mean()[4] - late["share"].mean()[1], "<=", 0.15),
        comparison("trained, 400 steps: regret at H = 1 over a blind planner's, most",
                   mean["regret"].max()[1] / blind, "<=", 0.65),
        comparison("trained, 400 steps: regret at H = 4 over a blind planner's, least",
                   mean["regret"].min()[4] / blind, ">=", 0.9),
        comparison("trained, 1,600 steps: regret at H = 1 less regret at H = 4, means",
                   late["regret"].mean()[1] - late["regret"].mean()[4], "<=", 0.02),
        comparison("three frames of context, 400 steps: gain in share, mean", past["share"].mean() - mean["share"].mean()[1],
                   "<=", 0.15),
    ]  # fmt: skip
