"""The 2-D point mass, seen through its state, nonlinear nuisance and noise (arXiv 2606.27014, Section 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spectral_jepa._notebook import short_repr
from spectral_jepa._signatures import checked
from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError, check_count, require_memory
from spectral_jepa.point_mass.settings import PointMassSettings

STATE_DIM = 4


@dataclass(frozen=True, repr=False)
class Windows:
    """Training windows: observation (N, H + 1, D), action (N, H, 2), and the state (N, H + 1, 4) behind them."""

    observation: Tensor
    action: Tensor
    state: Tensor

    def __repr__(self) -> str:
        return short_repr(self)


class PointMass:
    """Dynamics and observations of the point mass; states are [px, py, vx, vy] on the last axis.

    Parameters
    ----------
    settings : PointMassSettings
    noise : float
        Standard deviation of the noise features, the noise level.

    Raises
    ------
    InputError
        A negative noise level.

    Examples
    --------
    >>> world = PointMass(PointMassSettings(), noise=0.5)
    >>> world.step(torch.tensor([1.0, 0.0, 0.2, 0.0]), torch.tensor([1.0, 0.0]))
    tensor([1.0500, 0.0000, 0.5000, 0.0000])
    >>> world.observation_dim
    20
    """

    @checked()
    def __init__(self, settings: PointMassSettings, noise: float) -> None:
        if not noise >= 0:
            raise InputError(f"noise is {noise}, expected a standard deviation >= 0: use 0 for none")
        self.settings = settings
        self.noise = noise
        generator = torch_generator(settings.feature_seed, 101, seeds="point mass")
        self.projection = settings.nuisance_frequency * torch.randn(STATE_DIM, settings.n_nuisance, generator=generator)
        self.phase = 2 * math.pi * torch.rand(settings.n_nuisance, generator=generator)

    @property
    def observation_dim(self) -> int:
        """Number of features D: state, nuisance, noise."""
        return STATE_DIM + self.settings.n_nuisance + self.settings.n_noise

    def step(self, state: Tensor, action: Tensor) -> Tensor:
        """One step: v' = damping v + scale a, p' = p + time_step v'.

        Parameters
        ----------
        state : Tensor (..., 4)
        action : Tensor (..., 2)
            Longer than 1, it is shortened to 1.

        Returns
        -------
        Tensor (..., 4)
            O(size).
        """
        action = shorten(action)
        velocity = self.settings.damping * state[..., 2:] + self.settings.scale * action
        return torch.cat([state[..., :2] + self.settings.time_step * velocity, velocity], -1)

    def observe(self, state: Tensor, noise: Tensor) -> Tensor:
        """Features of states: the state, sin(frequency W s + b), and noise of the level ``noise``.

        Parameters
        ----------
        state : Tensor (..., 4)
        noise : Tensor (..., n_noise)
            Standard normal.

        Returns
        -------
        Tensor (..., D)
        """
        # On the state's device; a copy only where that is not the CPU.
        projection, phase = self.projection.to(state), self.phase.to(state)
        nuisance = torch.sin(state @ projection + phase)
        return torch.cat([state, nuisance, self.noise * noise], -1)

    def reach(self, n_steps: int) -> float:
        """Largest displacement in ``n_steps`` steps from rest: full thrust in one direction, summed in closed form."""
        d = self.settings.damping
        travelled = n_steps - d * (1 - d**n_steps) / (1 - d)
        return self.settings.time_step * self.settings.scale / (1 - d) * travelled

    def goal_distance(self, n_steps: int) -> float:
        """Distance of a goal that an expert touches, from rest, in exactly ``n_steps`` steps and no fewer.

        The middle of the interval in which that is so: the success radius plus the mean of reach(n - 1) and reach(n).

        Examples
        --------
        >>> round(PointMass(PointMassSettings(), 0.0).goal_distance(1), 3)
        0.1
        """
        check_count("n_steps", n_steps)
        return self.settings.success_radius + (self.reach(n_steps - 1) + self.reach(n_steps)) / 2


def shorten(action: Tensor) -> Tensor:
    """Project actions on the unit disc.

    Parameters
    ----------
    action : Tensor (..., 2)

    Returns
    -------
    Tensor (..., 2)
        Actions of length at most 1 as they are, longer ones at length 1.

    Examples
    --------
    >>> shorten(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    return action / action.norm(dim=-1, keepdim=True).clamp_min(1)


def random_actions(*shape: int, generator: torch.Generator) -> Tensor:
    """Actions uniform on the unit disc.

    Parameters
    ----------
    *shape : int
        Leading axes.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor (*shape, 2)

    Examples
    --------
    Uniform on the disc, the mean square of the length is 1/2.

    >>> actions = random_actions(10_000, generator=torch_generator(0))
    >>> round(float(actions.square().sum(-1).mean()), 2), bool(actions.norm(dim=-1).max() <= 1)
    (0.5, True)
    """
    angle, radius = 2 * math.pi * torch.rand(*shape, generator=generator), torch.rand(*shape, generator=generator).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


@checked()
def collect_windows(
    world: PointMass, n_windows: int, generator: torch.Generator, device: str | torch.device = "cpu"
) -> Windows:
    """Independent windows of H steps under random actions.

    Parameters
    ----------
    world : PointMass
    n_windows : int
        N. Starts are uniform over the arena, start velocities uniform over the disc of the terminal velocity.
    generator : torch.Generator
        On the CPU.
    device : str or torch.device
        Where the result lives.

    Returns
    -------
    Windows

    Raises
    ------
    InputError
        No window.

    Notes
    -----
    O(N H). States and actions of the first windows do not depend on the noise level.

    Examples
    --------
    >>> windows = collect_windows(PointMass(PointMassSettings(), 1.0), 10, torch_generator(0))
    >>> windows.observation.shape, windows.action.shape
    (torch.Size([10, 4, 20]), torch.Size([10, 3, 2]))
    """
    s = world.settings
    size = (check_count("n_windows", n_windows), s.horizon + 1, world.observation_dim + s.n_noise + 4)
    require_memory(size, "the windows", "ask for fewer", copies=0.5)
    position = s.arena * (2 * torch.rand(n_windows, 2, generator=generator) - 1)
    velocity = s.scale / (1 - s.damping) * random_actions(n_windows, generator=generator)
    action = random_actions(n_windows, s.horizon, generator=generator)
    states = [torch.cat([position, velocity], -1)]
    for t in range(s.horizon):
        states.append(world.step(states[-1], action[:, t]))
    state = torch.stack(states, 1)
    observation = world.observe(state, torch.randn(n_windows, s.horizon + 1, s.n_noise, generator=generator))
    return Windows(observation.to(device), action.to(device), state.to(device))


@checked()
def goal_pairs(world: PointMass, n_steps: int, n_pairs: int, seed: int, *, at_rest: bool = False) -> tuple[Tensor, Tensor]:
    """Starts at rest and goals in the arena that an expert needs ``n_steps`` steps to connect.

    Parameters
    ----------
    world : PointMass
    n_steps : int
        Required steps, see :meth:`PointMass.goal_distance`.
    n_pairs : int
    seed : int
        Pair i depends on (seed, n_steps, i) alone.
    at_rest : bool
        Give goals no velocity. Default: the expert's velocity as it passes.

    Returns
    -------
    start, goal : Tensor (n_pairs, 4)

    Raises
    ------
    InputError
        Goals too far for the arena.

    Notes
    -----
    The direction is uniform, the start uniform over the positions that keep both ends in the arena. A goal at
    rest one step away asks to move and not to move; a passing one that was missed cannot be passed again soon. Success looks
    at the position alone. O(n_pairs).

    Examples
    --------
    >>> world = PointMass(PointMassSettings(), 0.0)
    >>> start, goal = goal_pairs(world, 25, 3, seed=0)
    >>> torch.allclose((goal - start)[:, :2].norm(dim=-1), torch.tensor(world.goal_distance(25)))
    True
    """
    distance, arena = world.goal_distance(n_steps), world.settings.arena
    if distance > 2 * arena:
        raise InputError(
            f"goals {n_steps} steps away are {distance:.3g} apart, expected at most the arena's side {2 * arena:.3g}: "
            "ask for fewer steps or a larger arena"
        )
    require_memory((check_count("n_pairs", n_pairs), 16), "the pairs", "ask for fewer")
    drawn = torch.stack(
        [torch.rand(3, generator=torch_generator(seed, n_steps, pair, 11, seeds="point mass")) for pair in range(n_pairs)]
    )
    angle = 2 * math.pi * drawn[:, :1]
    offset = distance * torch.cat([angle.cos(), angle.sin()], -1)
    low, high = (-arena - offset).clamp_min(-arena), (arena - offset).clamp_max(arena)
    start = low + (high - low) * drawn[:, 1:]
    speed = world.settings.scale * (1 - world.settings.damping**n_steps) / (1 - world.settings.damping)
    velocity = (0.0 if at_rest else speed / distance) * offset
    return torch.cat([start, torch.zeros(n_pairs, 2)], -1), torch.cat([start + offset, velocity], -1)
