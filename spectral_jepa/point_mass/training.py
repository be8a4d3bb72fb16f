"""Training of the point-mass world models: nine arms, one loop."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spectral_jepa._notebook import short_repr
from spectral_jepa._signatures import check_fields, checked
from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError, check_choice, check_count
from spectral_jepa.losses import prediction_loss, random_directions, sigreg, variance_penalty, whitening_penalty
from spectral_jepa.point_mass.environment import STATE_DIM, PointMass, Windows
from spectral_jepa.point_mass.model import PointMassModel
from spectral_jepa.point_mass.settings import PointMassSettings
from spectral_jepa.training import learning_rate


@dataclass(frozen=True)
class Arm:
    """What an arm trains.

    Parameters
    ----------
    space : {"latent", "input"}
        Where predictions are compared.
    stop_gradient : bool
        Whether the target latent is held fixed.
    regularizer : {"variance", "whitening", "sigreg"}, optional
    strength : float
        Multiplies the regulariser's weight.
    noise_loss_weight : float, optional
        Of the noise features in the input arm's loss. Default: that of the settings.
    """

    space: str = "latent"
    stop_gradient: bool = False
    regularizer: str | None = None
    strength: float = 1.0
    noise_loss_weight: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("space", self.space, ("latent", "input"))
        if self.regularizer is not None:
            check_choice("regularizer", self.regularizer, ("variance", "whitening", "sigreg"))
        for name in ("strength", "noise_loss_weight"):
            if (getattr(self, name) or 0) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number >= 0: choose one in that range")


ARMS = {
    "latent": Arm(stop_gradient=True, regularizer="variance"),
    "input": Arm(space="input"),
    "sigreg": Arm(regularizer="sigreg"),
    "whitened": Arm(regularizer="whitening"),
    "sigreg, tenth strength": Arm(regularizer="sigreg", strength=0.1),
    "latent, full gradient": Arm(regularizer="variance"),
    "latent, no regulariser": Arm(),
    "latent, stop-gradient only": Arm(stop_gradient=True),
    "input, noise not in loss": Arm(space="input", noise_loss_weight=0.0),
}


@dataclass(frozen=True, repr=False)
class Training:
    """A trained model and how its training ended.

    Parameters
    ----------
    model : PointMassModel
    history : Tensor (n_updates,)
        Loss of every update.
    final_loss : float
        Loss on the evaluation windows, with the last regulariser draw.
    gradient_norm : float
        Norm of that loss's gradient: how far from stationary the training stopped.
    """

    model: PointMassModel
    history: Tensor
    final_loss: float
    gradient_norm: float

    def __repr__(self) -> str:
        return short_repr(self)


def feature_weights(world: PointMass, arm: Arm) -> Tensor:
    """Weight of each observation feature in the input arm's error.

    Parameters
    ----------
    world : PointMass
    arm : Arm

    Returns
    -------
    Tensor (D,)
        1, and the noise loss weight on the noise features, which come last.

    Examples
    --------
    >>> world = PointMass(PointMassSettings(n_nuisance=1, n_noise=2), 0.0)
    >>> feature_weights(world, ARMS["input, noise not in loss"])
    tensor([1., 1., 1., 1., 1., 0., 0.])
    """
    settings = world.settings
    weight = torch.ones(world.observation_dim)
    chosen = settings.noise_loss_weight if arm.noise_loss_weight is None else arm.noise_loss_weight
    weight[STATE_DIM + settings.n_nuisance :] = chosen
    return weight


def window_loss(
    model: PointMassModel,
    arm: Arm,
    windows: Windows,
    settings: PointMassSettings,
    weight: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Loss of one arm on a batch of windows, the mean over the H steps; per latent coordinate or observation feature.

    Parameters
    ----------
    model : PointMassModel
    arm : Arm
    windows : Windows
        N windows of H steps.
    settings : PointMassSettings
    weight : Tensor (D,)
        As :func:`feature_weights` gives it; read by the input arms.
    generator : torch.Generator
        Draws SIGReg's directions.

    Returns
    -------
    Tensor ()

    Notes
    -----
    The paper prints the last step's term alone; with it zhat_1 and zhat_2 would be anything, and a plan of one step blind.
    O(N H) passes of the networks.

    Examples
    --------
    A model whose decoder is 0 errs by the mean square of what it should have predicted.

    >>> from spectral_jepa.point_mass.environment import collect_windows
    >>> settings = PointMassSettings()
    >>> world = PointMass(settings, 0.0)
    >>> windows = collect_windows(world, 50, torch_generator(0))
    >>> model = PointMassModel(world.observation_dim, 4, settings, torch_generator(1))
    >>> _ = [parameter.data.zero_() for parameter in model.decoder[-1].parameters()]
    >>> weight = feature_weights(world, ARMS["input"])
    >>> loss = window_loss(model, ARMS["input"], windows, settings, weight, torch_generator(2))
    >>> torch.allclose(loss, windows.observation[:, 1:].square().mean())
    True
    """
    observation, action = windows.observation, windows.action
    # The input arm never uses the encoding of later observations.
    n_encoded = 1 if arm.space == "input" else observation.shape[1]
    latent = model.encode(observation[:, :n_encoded].flatten(0, 1)).unflatten(0, (len(observation), n_encoded))
    predicted = model.predict(latent[:, 0], action)
    if arm.space == "input":
        root = weight.sqrt()
        error = prediction_loss(
            (model.decode(predicted) * root).transpose(0, 1), (observation[:, 1:] * root).transpose(0, 1)
        )
        return error.mean() / weight.sum()
    target = latent[:, 1:].transpose(0, 1)
    error = prediction_loss(predicted.transpose(0, 1), target, stop_gradient=arm.stop_gradient).mean()
    dim = latent.shape[-1]
    return error / dim + arm.strength * regularizer(arm.regularizer, latent.transpose(0, 1), settings, generator)


def regularizer(name: str | None, latent: Tensor, settings: PointMassSettings, generator: torch.Generator) -> Tensor:
    """Weighted penalty on latents, averaged over time.

    Parameters
    ----------
    name : {"variance", "whitening", "sigreg"} or None
        None: no penalty.
    latent : Tensor (H + 1, N, k)
    settings : PointMassSettings
        Weights, number of SIGReg's directions.
    generator : torch.Generator
        Draws SIGReg's directions.

    Returns
    -------
    Tensor ()

    Examples
    --------
    Where nothing varies, the whitening penalty per coordinate is 1, its weight here.

    >>> regularizer("whitening", torch.zeros(2, 5, 3), PointMassSettings(), torch_generator(0))
    tensor(1.)
    """
    dim = latent.shape[-1]
    if name == "variance":
        return settings.variance_weight * variance_penalty(latent).mean() / dim
    if name == "whitening":
        return settings.whitening_weight * whitening_penalty(latent).mean() / dim
    if name == "sigreg":
        directions = random_directions(dim, settings.n_directions, generator=generator).to(latent)
        # The factor is an update's batch size whatever N is, so that losses on batches and on all windows compare.
        return settings.sigreg_weight * sigreg(latent, directions, factor=settings.batch_size).mean()
    return latent.new_zeros(())


@checked()
def train(
    world: PointMass,
    windows: Windows,
    arm: str,
    dim: int,
    *,
    n_updates: int,
    seed: int,
) -> Training:
    """Train one arm with Adam and a cosine learning rate.

    Parameters
    ----------
    world : PointMass
        Gives the settings and the layout of an observation.
    windows : Windows
        The data; their device is where the training runs.
    arm : str
        A key of ``ARMS``.
    dim : int
        Latent dimension k.
    n_updates : int
        Minibatch updates.
    seed : int
        Initial weights, minibatches and SIGReg's views; arms of one seed share the first two.

    Returns
    -------
    Training

    Raises
    ------
    InputError
        An unknown arm; a loss that is no longer finite.

    Notes
    -----
    Bit for bit repeatable on one CPU thread. Cost: n_updates batches.

    Examples
    --------
    >>> from spectral_jepa.point_mass.environment import collect_windows
    >>> world = PointMass(PointMassSettings(), 0.0)
    >>> windows = collect_windows(world, 500, torch_generator(0))
    >>> training = train(world, windows, "input", 4, n_updates=30, seed=0)
    >>> bool(training.history[-5:].mean() < training.history[:5].mean())
    True
    """
    check_choice("arm", arm, list(ARMS))
    check_count("n_updates", n_updates)
    settings, chosen, device = world.settings, ARMS[arm], windows.action.device
    model = PointMassModel(world.observation_dim, dim, settings, torch_generator(seed, 1, seeds="point mass"), device)
    batches, views = torch_generator(seed, 2, seeds="point mass"), torch_generator(seed, 3, seeds="point mass")
    weight = feature_weights(world, chosen).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    history = []
    for update in range(n_updates):
        index = torch.randint(len(windows.action), (settings.batch_size,), generator=batches).to(device)
        batch = Windows(windows.observation[index], windows.action[index], windows.state[index])
        loss = window_loss(model, chosen, batch, settings, weight, views)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(update, n_updates, settings.learning_rate, warmup=0.0)
        optimizer.step()
        history.append(loss.detach())
    optimizer.zero_grad(set_to_none=True)
    final = window_loss(model, chosen, windows, settings, weight, views)
    final.backward()
    gradients = [p.grad.square().sum() for p in model.parameters() if p.grad is not None]
    if not torch.isfinite(final):
        raise InputError(
            f"the loss of arm {arm!r} is {float(final.detach())} after {n_updates} updates, expected a finite number: "
            "lower the learning rate"
        )
    return Training(model, torch.stack(history).cpu(), float(final.detach()), float(torch.stack(gradients).sum().sqrt()))
