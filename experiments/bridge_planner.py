"""From pixels, the planner: what the squared distance loses on trained latents, beside what the exact embedding loses.

Eleven finite worlds are drawn at 32 px; a small world model with one latent dimension less than there are states is trained
on random transitions, under a whitening penalty or under SIGReg. Both planners choose one action from every state to every
state on the *same* latents: by the published squared distance, or by the corrected score (docs/negatives.md, section 3;
latents centred and whitened, inner product). ``bias`` is what the distance loses more than the score, in probability to
reach the goal, judged by the exact world; ``exact_bias`` is that of the exact white embedding, the prediction. Six worlds
are controls whose prediction is 0: a ring and a torus (actions spread alike), resets (alike again), and a grid with a leap
where moves succeed too often, or too rarely, for the leap to pay. ``blind_regret``: the first action always.
"""

from dataclasses import replace

import numpy as np
from _drawn import NumberedModel, model_config, one_hot_blocks, play, read_out, train

import spectral_jepa as sj
from spectral_jepa.pixels.diagnostics.spectrum import corrected_embedding, place_regret
from spectral_jepa.pixels.environments.mdp_pictures import draw_world
from spectral_jepa.pixels.environments.rendered_mdp import long_run_weight
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

N_CLIPS = 10_000


def _leap(reach):
    return sj.with_leap(sj.make_grid("...\n...\n...", slip=0.0), reach)


WORLDS = {
    "ring": lambda: sj.make_ring(9, 0.4),
    "torus": lambda: sj.make_torus(3, 0.5),
    "reset": lambda: sj.make_reset(6, 0.3),
    "leap .1": lambda: _leap(0.1),
    "leap .4": lambda: _leap(0.4),
    "leap .5": lambda: _leap(0.5),
    "garnet": lambda: sj.make_garnet(9, 4, 3, seed=0),
    "leap .2": lambda: _leap(0.2),
    "leap .3": lambda: _leap(0.3),
    "scatter 6": lambda: sj.make_scatter(6),
    "scatter 9": lambda: sj.make_scatter(9),
}
LEAPS = ["leap .1", "leap .2", "leap .3", "leap .4", "leap .5"]
# Worlds of equal numbers of states and actions are trained side by side.
GROUPS = [["ring"], ["torus", "garnet"], ["reset"], LEAPS, ["scatter 6"], ["scatter 9"]]
PRESETS = {
    "quick": [
        {"image_size": 32, "n_steps": 300, "seeds": [[0, 1, 2]], "regularizer": "whitening", "worlds": GROUPS},
        {"image_size": 32, "n_steps": 300, "seeds": [[0, 1, 2]], "regularizer": "sigreg", "worlds": [LEAPS, ["scatter 6"]]},
        # Small enough for a test to train it again.
        {"image_size": 32, "n_steps": 10, "seeds": [[0]], "regularizer": ["whitening", "sigreg"], "worlds": [["reset"]]},
    ],
    "paper": {
        "image_size": 64, "n_steps": 4000, "seeds": [[0, 1, 2, 3, 4]], "regularizer": ["whitening", "sigreg"],
        "worlds": GROUPS,
    },
}  # fmt: skip


def make_world(name):
    """The world under the law of random actions."""
    world = WORLDS[name]()
    return replace(world, weight=long_run_weight(world), action_frequency=np.full(world.n_actions, 1 / world.n_actions))


def both_regrets(world, embedding):
    """Regret by the distance, and by the corrected score, on the same latents."""
    corrected = corrected_embedding(sj.CoOccurrence.exact(world), embedding)
    return place_regret(world, embedding), place_regret(world, corrected, score="transition")


def run_cell(worlds, regularizer, image_size, n_steps, seeds):
    """Worlds of one shape under one regulariser: a row a world and seed. Clips depend on world and seed only."""
    made = {name: make_world(name) for name in worlds}
    runs = [(name, seed) for name in worlds for seed in seeds]
    n_actions, n_states = made[worlds[0]].n_actions, made[worlds[0]].n_states
    pictures = {name: draw_world(world, image_size) for name, world in made.items()}
    config = model_config(n_actions, n_states - 1, image_size)
    models = [NumberedModel(config, seed, pictures[name]) for name, seed in runs]
    played = [play(made[name], N_CLIPS, 1, seed) for name, seed in runs]
    logs = [(states, one_hot_blocks(actions, n_actions, 1)) for states, actions in played]
    train(models, regularizer, logs, n_steps, [seed for _, seed in runs])
    rows = []
    for (name, seed), model in zip(runs, models, strict=True):
        world = made[name]
        exact = sj.CoOccurrence.exact(world)
        law = exact.pooled_column_weight
        found = read_out(model, np.arange(n_actions)[:, None], n_actions, law)
        distance, score = both_regrets(world, found)
        predicted = both_regrets(world, sj.spectral_embedding(exact, n_states, shared=True))
        variances = np.linalg.eigvalsh(np.cov(found.target.T, aweights=law, ddof=0))
        blind = sj.Embedding(np.zeros((n_states, 1)), np.zeros((n_actions, n_states, 1)), law)
        rows.append(
            {
                "world": name,
                "seed": seed,
                "distance_regret": distance,
                "score_regret": score,
                "bias": distance - score,
                "exact_bias": predicted[0] - predicted[1],
                "spread": float(variances[-1] / max(np.median(variances), 1e-12)),
                "blind_regret": place_regret(world, blind),
            }
        )
    return rows


def summary(table):
    """One line a world and regulariser: means over seeds."""
    columns = ["exact_bias", "bias", "distance_regret", "score_regret", "blind_regret", "spread"]
    return (
        table[table["status"] == "ok"].groupby(["regularizer", "n_steps", "world"], sort=False)[columns].mean().reset_index()
    )


def bias_shows(rng, n):
    """What the kept table says of the distance's bias on trained latents."""
    del rng, n
    table = reference_table("bridge_planner")
    table = table[(table["n_steps"] == table["n_steps"].max()) & (table["regularizer"] == "whitening")]
    mean = table.groupby("world")[["bias", "exact_bias", "score_regret", "blind_regret"]].mean()
    scatter, controls = mean.loc[["scatter 6", "scatter 9"]], mean[mean["exact_bias"] < 1e-9]
    return [
        comparison("scatter worlds: measured bias over the exact embedding's, least",
                   (scatter["bias"] / scatter["exact_bias"]).min(), ">=", 0.3),
        comparison("scatter worlds: least over seeds of the bias",
                   table[table["world"].isin(scatter.index)]["bias"].min(), ">=", 0.03),
        comparison("control worlds, predicted 0: largest mean bias", controls["bias"].max(), "<=", 0.02),
        comparison("correlation of measured and predicted bias over worlds",
                   np.corrcoef(mean["bias"], mean["exact_bias"])[0, 1], ">=", 0.8),
        comparison("all worlds: regret of the corrected score over a blind planner's, mean",
                   (mean["score_regret"] / mean["blind_regret"]).mean(), "<=", 0.05),
    ]  # fmt: skip
