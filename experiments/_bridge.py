"""What the bridge experiments share: small world models of drawn worlds, trained by the package's own learner, as tables."""

from functools import lru_cache

import numpy as np
import torch

import spectral_jepa as sj
from spectral_jepa.pixels.data import WindowSampler
from spectral_jepa.pixels.data.collect import collect_drawn
from spectral_jepa.pixels.diagnostics.latent_table import latent_table, picture_components, recorded_transitions
from spectral_jepa.pixels.diagnostics.spectrum import in_sequences, place_regret, spectrum_row
from spectral_jepa.pixels.environments import environment_class
from spectral_jepa.pixels.presets import changed
from spectral_jepa.pixels.presets import preset as preset_config
from spectral_jepa.pixels.training.learner import Learner
from spectral_jepa.pixels.training.parallel import Worker

WORLDS = {"torus 5 x 5": "mdp_torus", "four rooms": "mdp_four_rooms"}
# Name -> settings. SIGReg as published: strength .09 times the batch size of 128, whatever ours is.
OBJECTIVES = {
    "whitening": {"objective.regularizer": "whitening", "objective.strength": 1.0},
    "SIGReg": {"objective.regularizer": "sigreg", "objective.strength": 0.09, "objective.factor": 128.0},
    "VICReg (PLDM)": {"objective.regularizer": "pldm"},
    "none": {"objective.regularizer": "none"},
    "autoencoder": {
        "objective.regularizer": "none", "objective.reconstruction": 10.0, "objective.stop_gradient": True,
    },
}  # fmt: skip
# Steps that plans look ahead.
HORIZON = 3


def settings(world, objective, dim, seed, n_steps, n_episodes=250, **more):
    """Settings of a run: a conv net of 32 px, one frame of context, one action a step; ``more`` as section__field."""
    values = {
        "data.n_episodes": n_episodes, "data.max_steps": 100, "data.seed": 100 + seed,
        "model.history": 1, "model.action_block": 1, "model.embedding_dim": dim, "model.projector_width": 64,
        "model.predictor_width": 32, "model.predictor_hidden": 64, "model.dropout": 0.0,
        "objective.n_slices": 64, "training.batch_size": 256, "training.n_steps": n_steps, "training.learning_rate": 2e-3,
        "training.weight_decay": 0.0, "training.seed": seed,
    } | OBJECTIVES[objective]  # fmt: skip
    values |= {name.replace("__", "."): value for name, value in more.items()}
    return changed(preset_config("tiny", WORLDS.get(world, world)), values)


@lru_cache(maxsize=4)
def episodes(data):
    """The episodes of a configuration's data, the same for all that is compared."""
    return collect_drawn(data, progress=False)


def training(config, looks):
    """Train as :func:`spectral_jepa.pixels.training.loop.train` does; yield (step, model, scaler) at each step looked at."""
    data = episodes(config.data)
    kept = data.split()["train"]
    sampler = WindowSampler(
        data, kept, config.model.history + 1, config.model.action_block, config.training.batch_size, config.training.seed,
        distinct=True,
    )  # fmt: skip
    with torch.random.fork_rng():
        learner = Learner(config, config.training.n_steps, Worker(0, 1, torch.device("cpu")))
        for step in range(config.training.n_steps + 1):
            if step in looks:
                yield step, learner.model, sampler.scaler
            if step < config.training.n_steps:
                learner.update(step, *sampler.batch())


def measure(config, model, scaler, dim=8):
    """One row of measures of a model, one step and :data:`HORIZON` steps ahead."""
    environment = environment_class(config.data.environment)
    ahead = latent_table(model, environment, scaler, n_blocks=HORIZON)
    return measure_table(environment, latent_table(model, environment, scaler), dim, ahead)


def measure_table(environment, table, dim=8, ahead=None):
    """The same of any encoder and prediction; without ``ahead`` plans are rolled out by the operator of the table."""
    world, n_values = environment.world, environment.n_values()
    row = spectrum_row(world, table, dim, n_values=n_values)
    if ahead is not None:
        row["ahead_regret"] = place_regret(in_sequences(world, HORIZON), ahead, n_values=n_values)
    return row


def centred(embedding):
    """A closed-form embedding without its constant, as the pixel objectives leave it out."""
    return sj.Embedding(embedding.target[:, 1:], embedding.predicted[:, :, 1:], embedding.column_weight)


def closed_forms(config, dim, n_functions=8):
    """Rows of the truncated SVD of the exact matrix and of the counts of the same data, and of principal components."""
    environment = environment_class(config.data.environment)
    world = environment.world
    exact = sj.CoOccurrence.exact(world)
    counts = sj.CoOccurrence.from_transitions(
        recorded_transitions(episodes(config.data), environment), unseen_actions="zero"
    )
    components = picture_components(environment, config.model.image_size, dim)
    tables = {
        "SVD, exact": centred(sj.spectral_embedding(exact, dim + 1, shared=True)),
        "SVD, same data": centred(sj.spectral_embedding(counts, dim + 1, shared=True)),
        "PCA of pixels": sj.Embedding(components, counts.conditional() @ components, exact.pooled_column_weight),
    }
    laws = {name: exact if name == "SVD, exact" else counts for name in tables}
    return {
        name: measure_table(environment, table, n_functions, conditional_ahead(world, table, laws[name]))
        for name, table in tables.items()
    }


def conditional_ahead(world, table, cooc):
    """Predicted latents after every sequence of :data:`HORIZON` actions: means under the transitions of a co-occurrence."""
    mean = table.target
    steps = cooc.conditional()
    law = np.broadcast_to(np.eye(world.n_states), (1, world.n_states, world.n_states))
    for _ in range(HORIZON):
        law = (law[:, None] @ steps[None]).reshape(-1, world.n_states, world.n_states)
    return sj.Embedding(mean, law @ mean, table.column_weight[0])
