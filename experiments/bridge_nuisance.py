"""From pixels, latent or input level: which of the two sees the task behind a nuisance, beside the exact boundary.

A ring of 6 states (slip .4, steps -1, 0, +1; singular values 1, .8, .8, .4, .4, .2) is drawn at 32 px before a flickering
background of ``n_values`` patterns that no action moves, which keeps its pattern with probability ``persistence`` (0:
i.i.d., 1: frozen) and makes up the share ``loudness`` of the background's colour. Every arm has k = 2 latent dimensions and
the same networks, transitions and steps:

- "latent": a JEPA under a whitening penalty, whose optimum keeps the k most predictable functions (docs/theory.md, 2.6): the
  task's pair where .8 is above the persistence, the nuisance's where it is below, whatever the loudness; "sigreg": the same
  under SIGReg;
- "autoencoder": decodes each latent and each prediction into pictures, linearly; it keeps the leading eigenvectors of
  Cov(o) + E[obar obar^T], variance and predicted variance in pixel units;
- "regression": decodes predictions only, E[obar obar^T] (docs/theory.md, section 6); latents are projections of pictures.

``task_share`` is the R^2 of the task's first pair by the latents, ``regret`` that of the planner with the corrected score,
in probability to be in the goal's place; ``exact_*`` are those of the optimum, from the matrices and the pictures alone.
Each trained arm is given by its loss; nothing tells it what is task. Control: "untrained", the initial weights.
"""

import numpy as np
import torch
from _drawn import (
    Decoders,
    NumberedModel,
    model_config,
    one_hot_blocks,
    picture_coordinates,
    play,
    read_out,
    settle,
    train,
)

import spectral_jepa as sj
from spectral_jepa.linalg import inverse_or_zero
from spectral_jepa.pixels.diagnostics.spectrum import corrected_embedding, place_regret, span
from spectral_jepa.pixels.environments.mdp_pictures import Nuisance, draw_world
from spectral_jepa.sweep.experiment import comparison
from spectral_jepa.sweep.results import reference_table

N_TASK, SLIP, DIM, N_CLIPS = 6, 0.4, 2, 6000
LATENT = {"latent": "whitening", "sigreg": "sigreg"}
PERSISTENCE, LOUDNESS = [0.0, 0.6, 0.9, 1.0], [0.1, 0.3, 0.8]
QUICK = {"image_size": 32, "n_values": 3, "seeds": [[0, 1, 2]]}
PRESETS = {
    "quick": [
        QUICK | {"n_steps": 400, "persistence": [PERSISTENCE], "loudness": [LOUDNESS],
                 "arm": ["latent", "autoencoder", "regression", "untrained"]},
        QUICK | {"n_steps": 1600, "persistence": [[0.6]], "loudness": [[0.8]], "arm": "latent"},
        # Small enough for a test to train it again.
        QUICK | {"n_steps": 10, "persistence": [[0.6]], "loudness": [[0.8]], "arm": ["latent", "autoencoder"]},
    ],
    "paper": {
        "image_size": 64, "n_values": [3, 6], "n_steps": 6000, "seeds": [[0, 1, 2, 3, 4]],
        "persistence": [[p] for p in (0.0, 0.3, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)],
        "loudness": [[0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]],
        "arm": ["latent", "sigreg", "autoencoder", "regression", "untrained"],
    },
}  # fmt: skip


def make_world(persistence, loudness, n_values, image_size):
    """The product of the ring with its background, and pictures of its states."""
    kind = {0.0: "iid", 1.0: "frozen"}.get(persistence, "markov")
    nuisance = Nuisance(kind, values=n_values, persistence=persistence, loudness=loudness)
    task = sj.make_ring(N_TASK, SLIP)
    return nuisance.beside(task), draw_world(task, image_size, nuisance)


def shares(exact, encoded, n_values):
    """Mean R^2 by the latents of the task's first pair, and of the nuisance's functions."""
    _, _, right = sj.CoOccurrence.exact(sj.make_ring(N_TASK, SLIP)).stacked_decomposition
    root = np.full(n_values, 1 / np.sqrt(n_values))
    patterns = np.linalg.qr(np.column_stack([root, np.eye(n_values)[:, 1:]]))[0][:, 1:]
    task = np.kron(right[:, 1:3], root[:, None])
    nuisance = np.kron(np.full((N_TASK, 1), 1 / np.sqrt(N_TASK)), patterns)
    inside = span(exact, encoded).T
    return float(np.sum((inside @ task) ** 2) / 2), float(np.sum((inside @ nuisance) ** 2) / (n_values - 1))


def optimum(world, pictures, arm, dim=DIM):
    """The arm's best (f, g): f of all states, g the conditional mean of the next f."""
    exact = sj.CoOccurrence.exact(world)
    law = exact.pooled_column_weight
    if arm in LATENT:
        f = inverse_or_zero(np.sqrt(law))[:, None] * exact.stacked_decomposition[2][:, 1 : 1 + dim]
    else:
        own = picture_coordinates(pictures, law)
        ahead = np.einsum("axy,yd->axd", world.dense(), own)
        ranked = np.einsum("a,x,axd,axe->de", exact.action_frequency, world.weight, ahead, ahead)
        if arm == "autoencoder":
            ranked = ranked + own.T @ (law[:, None] * own)
        f = own @ np.linalg.eigh(ranked)[1][:, ::-1][:, :dim]
    return sj.Embedding(f, np.einsum("axy,yk->axk", world.dense(), f), law)


def measures(world, embedding, n_values):
    """What is compared."""
    exact = sj.CoOccurrence.exact(world)
    task_share, nuisance_share = shares(exact, embedding.target, n_values)
    corrected = corrected_embedding(exact, embedding)
    return {
        "task_share": task_share,
        "nuisance_share": nuisance_share,
        "regret": place_regret(world, corrected, score="transition", n_values=n_values),
    }


def run_cell(arm, persistence, loudness, n_values, image_size, n_steps, seeds):
    """One arm: a row a background and seed. Clips depend on persistence and seed, not on arm or loudness."""
    runs = [(kept, loud, seed) for kept in persistence for loud in loudness for seed in seeds]
    worlds = {(p, loud): make_world(p, loud, n_values, image_size) for p in persistence for loud in loudness}
    n_actions = next(iter(worlds.values()))[0].n_actions
    played = {(p, seed): play(worlds[p, loudness[0]][0], N_CLIPS, 1, seed) for p in persistence for seed in seeds}
    logs = [(played[p, seed][0], one_hot_blocks(played[p, seed][1], n_actions, 1)) for p, _, seed in runs]
    config = model_config(n_actions, DIM, image_size)
    models = [NumberedModel(config, seed, worlds[p, loud][1]) for p, loud, seed in runs]
    law = sj.CoOccurrence.exact(worlds[persistence[0], loudness[0]][0]).pooled_column_weight
    decoders, each = None, [seed for _, _, seed in runs]
    if arm in ("autoencoder", "regression"):
        shown = np.stack([picture_coordinates(worlds[p, loud][1], law) for p, loud, _ in runs])
        decoders = Decoders(shown, DIM, each)
    if arm == "untrained":
        for model, (states, blocks) in zip(models, logs, strict=True):
            settle(model, torch.from_numpy(states), blocks)
    else:
        train(models, LATENT.get(arm, arm), logs, n_steps, each, decoders)
    rows = []
    for index, (model, (kept, loud, seed)) in enumerate(zip(models, runs, strict=True)):
        world, pictures = worlds[kept, loud]
        found = read_out(model, np.arange(n_actions)[:, None], n_actions, law)
        if arm == "regression":
            found = sj.Embedding(decoders.projected(index), found.predicted, law)
        row = {"kept": kept, "loud": loud, "seed": seed} | measures(world, found, n_values)
        if arm != "untrained":
            best = measures(world, optimum(world, pictures, arm), n_values)
            row |= {f"exact_{name}": value for name, value in best.items()}
        blind = sj.Embedding(np.zeros((world.n_states, 1)), np.zeros((n_actions, world.n_states, 1)), law)
        rows.append(row | {"blind_regret": place_regret(world, blind, n_values=n_values)})
    return rows


def summary(table):
    """One line an arm and background: means over seeds."""
    columns = ["task_share", "exact_task_share", "regret", "exact_regret"]
    return (
        table[table["status"] == "ok"].groupby(["arm", "n_steps", "kept", "loud"], sort=False)[columns].mean().reset_index()
    )


def sides(rng, n):
    """What the kept table says of whose side trained runs end on."""
    del rng, n
    table = reference_table("bridge_nuisance")
    steps = PRESETS["quick"][0]["n_steps"]
    main = table[table["n_steps"] == steps]
    jepa, pictures = main[main["arm"] == "latent"], main[main["arm"] == "autoencoder"]

    def at(part, kept, loud, column="task_share"):
        return part[(part["kept"] == kept) & (part["loud"] == loud)][column]

    agreed = (pictures["task_share"] > 0.5) == (pictures["exact_task_share"] > 0.5)
    return [
        comparison("i.i.d. background, loudness .8: the JEPA's share of the task, least", at(jepa, 0, 0.8).min(), ">=", 0.9),
        comparison("i.i.d. background, loudness .8: the autoencoder's share of the task, most",
                   at(pictures, 0, 0.8).max(), "<=", 0.1),
        comparison("i.i.d. background, loudness .8: regret of the autoencoder over a blind planner's, least",
                   (at(pictures, 0, 0.8, "regret") / at(pictures, 0, 0.8, "blind_regret")).min(), ">=", 0.9),
        comparison("autoencoder: share of runs that end on their optimum's side", agreed.mean(), ">=", 0.9),
        comparison("JEPA, persistence .6, loudness .8: the optimum's share of the task",
                   at(jepa, 0.6, 0.8, "exact_task_share").min(), ">=", 0.99),
        comparison("JEPA, persistence .6, loudness .8: trained runs' share of the task, most",
                   at(jepa, 0.6, 0.8).max(), "<=", 0.1),
        comparison("JEPA, persistence .9, loudness .1: the optimum's share of the task",
                   at(jepa, 0.9, 0.1, "exact_task_share").max(), "<=", 0.01),
        comparison("JEPA, persistence .9, loudness .1: trained runs' share of the task, least",
                   at(jepa, 0.9, 0.1).min(), ">=", 0.9),
    ]  # fmt: skip
