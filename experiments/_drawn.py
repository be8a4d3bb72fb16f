"""Small pixel world models of drawn finite worlds, many runs trained side by side and every picture encoded once a step.

The networks are the package's (:class:`spectral_jepa.pixels.model.world_model.WorldModel`, strided convolutions), and so are
the losses. Two things make hundreds of runs cheap. A world of S states has S pictures: encoding each once a step and picking
rows by number gives what encoding every frame of a batch gives. And runs of equal shape are stacked (``torch.func``), each
with its own weights, batches and pictures; nothing passes between them. BatchNorm's statistics for reading out are those of
the whole log, taken once at the end.
"""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, replace_all_batch_norm_modules_, stack_module_state, vmap

import spectral_jepa as sj
from spectral_jepa import losses
from spectral_jepa._streams import torch_generator
from spectral_jepa.pixels.model.encoder import encode_pictures
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import PRESETS as PIXEL_PRESETS
from spectral_jepa.training import learning_rate

BATCH, PEAK, WARMUP, CLIP, DECAY = 128, 1e-2, 0.05, 1.0, 1e-4
# Latent losses: LeWM's regulariser at its published strength and factor, and the penalty whose optimum is known.
STRENGTH = {"sigreg": 0.09, "whitening": 1.0}
N_SLICES = 32


class NumberedModel(WorldModel):
    """A world model that is given numbers of pictures instead of pictures."""

    def __init__(self, config, seed, pictures):
        super().__init__(config, seed)
        self.register_buffer("pictures", torch.from_numpy(pictures), persistent=False)

    def encode(self, frames):
        """Numbers (..., ) -> latents (..., D)."""
        vectors = encode_pictures(self.encoder, self.normalize, self.normalize.flat(self.pictures))
        return self.projector(vectors[frames.reshape(-1)]).reshape(*frames.shape, -1)

    def forward(self, frames, blocks):
        """Numbers (B, T) and blocks (B, T - 1, block_dim) -> latents (B, T, D) and predictions of all but the first."""
        latents = self.encode(frames)
        return latents, self.predict(latents[:, :-1], blocks)


def model_config(n_actions, dim, image_size, *, history=1, action_block=1):
    """Shape of a small world model."""
    return replace(
        PIXEL_PRESETS["tiny"].model, encoder="conv", image_size=image_size, encoder_width=16, embedding_dim=dim,
        projector_width=64, predictor_width=32, predictor_depth=1, predictor_heads=2, predictor_head_dim=16,
        predictor_hidden=64, dropout=0.0, history=history, action_dim=n_actions, action_block=action_block,
    )  # fmt: skip


def picture_coordinates(pictures, law):
    """Pictures (S, H, W, 3) of all states as coordinates (S, r) in their own span, about their mean under the law.

    Squared distances are those of pixels, in units in which a picture is at distance 1 from the mean in the root mean
    square: a linear decoder of pictures and one of these coordinates have the same errors, and S - 1 outputs cost less.
    """
    pixels = pictures.reshape(len(pictures), -1) / 255.0
    basis, sizes, _ = np.linalg.svd(pixels - law @ pixels, full_matrices=False)
    own = (basis * sizes)[:, sizes > 1e-9 * sizes[0]]
    return own / np.sqrt(law @ np.sum(own**2, axis=1))


def one_hot_blocks(actions, n_actions, action_block):
    """Raw actions (..., T b) -> blocks (..., T, b A), scaled to mean 0 and variance 1."""
    share = 1 / n_actions
    scaled = (np.eye(n_actions)[actions] - share) / np.sqrt(share * (1 - share))
    return torch.from_numpy(scaled.reshape(*actions.shape[:-1], -1, action_block * n_actions).astype(np.float32))


def play(world, n_clips, n_steps, seed):
    """States (n, T + 1) and uniformly random actions (n, T) of independent clips from ``world.weight``."""
    rng = np.random.default_rng([seed, n_steps, 17])
    steps = np.cumsum(world.dense(), axis=2)
    states = [rng.choice(world.n_states, n_clips, p=world.weight)]
    actions = rng.integers(world.n_actions, size=(n_clips, n_steps))
    for t in range(n_steps):
        law = steps[actions[:, t], states[-1]]
        states.append(np.minimum((law <= rng.random(n_clips)[:, None]).sum(1), world.n_states - 1))
    return np.stack(states, axis=1), actions


def latent_loss(kind, latents, predicted, generator):
    """Prediction error and regulariser of runs (E, B, T, D), summed over the runs, as the package's objective has them."""
    values, ahead, dim = latents.transpose(1, 2), predicted.transpose(1, 2), latents.shape[-1]
    prediction = (ahead - values[:, 1:]).square().sum(-1).mean((1, 2)) / dim
    if kind == "whitening":
        penalty = losses.whitening_penalty(values) / dim
    else:
        penalty = losses.sigreg(values, losses.random_directions(dim, N_SLICES, generator=generator))
    return (prediction + STRENGTH[kind] * penalty.mean(1)).sum()


class Decoders(nn.Module):
    """One linear decoder a run, from latents to coordinates of pictures: (E, S, r) of all states."""

    def __init__(self, coordinates, dim, seeds):
        super().__init__()
        self.register_buffer("coordinates", torch.from_numpy(coordinates).float())
        drawn = [torch.randn(dim, coordinates.shape[2], generator=torch_generator(seed, 13)) for seed in seeds]
        self.weight = nn.Parameter(torch.stack(drawn) / dim**0.5)
        self.shift = nn.Parameter(torch.zeros(len(seeds), 1, coordinates.shape[2]))

    def errors(self, latents, frames):
        """Squared error of the decoded latents (E, B, T, D), summed over runs."""
        runs = torch.arange(len(latents))[:, None, None]
        missed = torch.einsum("ebtd,edr->ebtr", latents, self.weight) + self.shift[:, None] - self.coordinates[runs, frames]
        return missed.square().sum(-1).mean((1, 2)).sum()

    @torch.no_grad()
    def projected(self, run):
        """Latents (S, D) whose decoding is nearest to each state's picture."""
        weight, target = self.weight[run].double().T, (self.coordinates[run] - self.shift[run]).double().T
        return torch.linalg.lstsq(weight, target).solution.T.numpy()


def train(models, kind, logs, n_steps, seeds, decoders=None):
    """Train runs side by side by AdamW; the models in evaluation mode.

    Parameters
    ----------
    models : list of NumberedModel
        One a run, of equal shape.
    kind : {"whitening", "sigreg", "autoencoder", "regression"}
        The last two need ``decoders``.
    logs : list of (states (N, T), blocks (N, T - 1, block_dim))
        One a run, of equal length T; a log of fewer clips than the largest is repeated.
    n_steps : int
    seeds : list of int
        Minibatches of each run.
    """
    copies = [deepcopy(model).train() for model in models]
    for copy in copies:
        replace_all_batch_norm_modules_(copy)
    weights, buffers = stack_module_state(copies)
    base, names = copies[0].to("meta"), list(weights)
    run = vmap(lambda w, b, f, a: functional_call(base, (w, b), (f, a)), randomness="same")
    own = [] if decoders is None else list(decoders.parameters())
    parameters = [*weights.values(), *own]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=DECAY, fused=True)
    streams, generator = [np.random.default_rng([seed, 11]) for seed in seeds], torch_generator(seeds[0], 12)
    # A log that is repeated is drawn from alike, up to a clip more or less.
    n_clips = max(len(log[0]) for log in logs)
    drawn = [np.arange(n_clips) % len(log[0]) for log in logs]
    states, blocks = (
        torch.stack([torch.as_tensor(log[part])[ids] for log, ids in zip(logs, drawn, strict=True)]) for part in (0, 1)
    )
    runs = torch.arange(len(models))[:, None]
    for step in range(n_steps):
        chosen = torch.from_numpy(np.stack([rng.integers(states.shape[1], size=BATCH) for rng in streams]))
        frames = states[runs, chosen]
        latents, predicted = run(weights, buffers, frames, blocks[runs, chosen])
        if kind in STRENGTH:
            loss = latent_loss(kind, latents, predicted, generator)
        else:
            loss = decoders.errors(predicted, frames[:, :, 1:])
            if kind == "autoencoder":
                loss = loss + decoders.errors(latents[:, :, 1:], frames[:, :, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # Each run is clipped by its own norm.
        norms = sum(parameter.grad.flatten(1).square().sum(1) for parameter in parameters).sqrt()
        scale = (CLIP / norms).clamp(max=1.0)
        for parameter in parameters:
            parameter.grad.mul_(scale.view(-1, *[1] * (parameter.ndim - 1)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, n_steps, PEAK, WARMUP)
        optimizer.step()
    for index, model in enumerate(models):
        model.load_state_dict({name: weights[name][index].detach() for name in names}, strict=False)
        settle(model, states[index], blocks[index])
    return models


@torch.no_grad()
def settle(model, frames, blocks):
    """BatchNorm's statistics of a whole log; evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0
    model.train()(frames, blocks)
    return model.eval()


@torch.no_grad()
def read_out(model, sequences, n_actions, weight):
    """Latents f of all states and rolled-out g of all action sequences (M, T): an Embedding under the law ``weight``."""
    latents = model.encode(torch.arange(len(model.pictures)))
    blocks = one_hot_blocks(np.asarray(sequences), n_actions, model.config.action_block)
    context = latents.repeat(len(blocks), 1)[:, None]
    after = model.rollout(context, blocks.repeat_interleave(len(latents), 0))[:, -1]
    return sj.Embedding(latents.double().numpy(), after.double().numpy().reshape(len(blocks), len(latents), -1), weight)
