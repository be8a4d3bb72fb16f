"""Every constant of the point-mass experiment."""

from __future__ import annotations

from dataclasses import dataclass

from spectral_jepa._signatures import check_fields
from spectral_jepa._validation import InputError, check_count


@dataclass(frozen=True)
class PointMassSettings:
    """Constants of the point mass of arXiv 2606.27014, Section 5, which states none but the horizon and the radius.

    Parameters
    ----------
    damping, scale, time_step : float
        v' = damping v + scale a, p' = p + time_step v', with |a| <= 1 (Euclidean). At full thrust the mass covers .04
        in its first step and .08 a step in the end.
    arena : float
        Starts of the training windows, and starts and goals of the tasks, lie in [-arena, arena]^2; there is no wall.
    success_radius : float
        Success is |p - p_g| <= success_radius (the paper's .08).
    n_nuisance, nuisance_frequency : int, float
        Nonlinear projections of the state, sin(frequency W s + b) with W standard normal and b uniform on a circle.
    n_noise : int
        Features of Gaussian noise, drawn afresh at every observation; their standard deviation is the noise level.
    feature_seed : int
        Draws W and b: one world for all runs.
    horizon : int
        H, steps of a training window (the paper's 3).
    hidden, action_dim : int
        Width of encoder, decoder and GRU; width of the action encoder.
    batch_size : int
        Windows an update.
    learning_rate : float
        Of Adam, falling to 0 along a cosine.
    variance_weight, whitening_weight, sigreg_weight : float
        Strength of the regularisers beside the prediction error; errors and the first two penalties are averaged over latent
        coordinates. Whitening from .5 on keeps every direction (docs/theory.md, 2.6); SIGReg's .09 and its batch of 128 are
        LeWM's published settings.
    n_directions : int
        Views of SIGReg, drawn afresh at each update (LeWM: 1024, for 192 coordinates).
    noise_loss_weight : float
        Weight of the noise features in the input arm's loss and in its planning cost.
    n_candidates, n_elites, n_iterations : int
        Cross-entropy method: plans drawn, kept, and rounds.
    n_segments : int
        A plan of n steps is ``n_segments`` constant actions of ceil(n / n_segments) steps (fewer when n is smaller), and
        the first is carried out before planning again.
    initial_spread : float
        Standard deviation of the first round's actions.
    """

    damping: float = 0.5
    scale: float = 0.4
    time_step: float = 0.1
    arena: float = 1.5
    success_radius: float = 0.08
    n_nuisance: int = 8
    nuisance_frequency: float = 1.0
    n_noise: int = 8
    feature_seed: int = 0
    horizon: int = 3
    hidden: int = 64
    action_dim: int = 16
    batch_size: int = 128
    learning_rate: float = 3e-3
    variance_weight: float = 0.1
    whitening_weight: float = 1.0
    sigreg_weight: float = 0.09
    n_directions: int = 16
    noise_loss_weight: float = 1.0
    n_candidates: int = 64
    n_elites: int = 8
    n_iterations: int = 4
    n_segments: int = 5
    initial_spread: float = 0.7

    def __post_init__(self) -> None:
        check_fields(self)
        for name, value in vars(self).items():
            whole = isinstance(value, int)
            least = 0 if name.startswith(("n_nuisance", "n_noise")) or name == "feature_seed" else 1
            if whole:
                check_count(name, value, least)
            elif value < 0:
                raise InputError(f"{name} is {value:.6g}, expected a number >= 0: choose one in that range")
