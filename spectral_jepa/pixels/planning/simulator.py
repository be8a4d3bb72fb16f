"""Planning with the true dynamics: to the true goal, the upper bound of a planner, or by what a model's encoder sees of it.

The second is what the same search would reach with a perfect predictor: where it solves what the model does not, the
predictions are the broken link; where it fails too, the latent distance is.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectral_jepa._shapes import Float, UInt8
from spectral_jepa._validation import Array, InputError, check_choice, check_count
from spectral_jepa.action_search import Generators, PlannerCost, cross_entropy_method
from spectral_jepa.pixels.config import COSTS, PlanningConfig
from spectral_jepa.pixels.data.actions import check_scaler, native_actions
from spectral_jepa.pixels.interfaces import ActionScaling, Encoder, Environment, Observation
from spectral_jepa.pixels.model.frozen import encode_frames, encode_one_by_one, weights_digest
from spectral_jepa.pixels.planning.latent import MODEL_ONLY, check_defaults, check_settings
from spectral_jepa.pixels.planning.warm_start import first_mean, keep_plan


class SimulatorPolicy:
    """The published planner with the simulator in place of the world model.

    Parameters
    ----------
    environment : PixelEnvironment
        A separate instance from the one that is evaluated, or the same: every use sets the state first.
    scaler : ActionScaler
        As for the model, so that both search the same actions.
    config : PlanningConfig
        Only the cross-entropy method. ``history``, ``proposal`` and ``compile`` are refused. Two-Room's physics are
        batched; any other simulator takes ``n_samples * n_iterations * horizon * action_block`` steps for each plan: choose
        few.
    action_block : int
        Raw actions in a block.
    encoder : WorldModel, optional
        The cost is then the published one, the squared latent distance, of the pictures in which plans truly end. Default:
        the environment's own distance of states.

    Raises
    ------
    InputError
        Another method than "cem", a setting that concerns a model only.
    """

    history, chunk_size, device = 1, 25, torch.device("cpu")

    def __init__(
        self,
        environment: Environment,
        scaler: ActionScaling,
        config: PlanningConfig,
        action_block: int = 5,
        encoder: Encoder | None = None,
    ) -> None:
        check_settings(config)
        if config.method != "cem":
            raise InputError(f"method is {config.method!r}, expected 'cem': the simulator has no gradient and no latents")
        check_defaults(config, MODEL_ONLY, "the simulator, which reads states and no pictures")
        check_scaler(scaler, environment.action_dim)
        self.environment, self.scaler, self.config = environment, scaler, config
        self.action_block = check_count("action_block", action_block)
        self.encoder: Encoder | None = None if encoder is None else encoder.eval()
        self.name = "simulator" if encoder is None else "simulator, latent cost"

    def describe(self) -> dict[str, Any]:
        """Planner settings and scaler, and the digest of the encoder's weights if there is one."""
        planning, scaler = asdict(self.config), {"mean": self.scaler.mean, "std": self.scaler.std}
        told = {"policy": "simulator", "planning": planning, "block": self.action_block, "scaler": scaler}
        return told if self.encoder is None else told | {"encoder": weights_digest(self.encoder)}

    def prepare(self, frames: UInt8[np.ndarray, "E H W 3"], states: Float[np.ndarray, "E n"]) -> Float[np.ndarray, "E g"]:
        """What plans are compared with: the goals' states, or their latents.

        Parameters
        ----------
        frames : uint8 array (E, H, W, 3)
            Pictures of the goals; read by the encoder only.
        states : array (E, n)
            Of the goals; not read where there is an encoder.

        Returns
        -------
        float64 array (E, n), or (E, D) with an encoder
        """
        if self.encoder is not None:
            return encode_one_by_one(self.encoder, frames).double().cpu().numpy()
        return np.asarray(states, dtype=np.float64)

    def act(self, now: Observation, goals: Array, generators: Generators) -> Float[np.ndarray, "E t A"]:
        """Plan with the true dynamics.

        Parameters
        ----------
        now : Observation
            ``states`` are read; ``memory`` is with ``config.warm_start`` only, and keeps the last plan.
        goals : array (E, n)
            As :meth:`prepare` gives them.
        generators : E torch.Generator on the CPU
            One an episode.

        Returns
        -------
        float64 array (E, execute * action_block, A)
            Raw actions, not clipped to the environment's bounds.

        Raises
        ------
        InputError
            A warm start without memory.
        """
        config, block_dim = self.config, self.action_block * self.environment.action_dim
        kind, block = str(config.cost), self.action_block
        cost = simulator_cost(self.environment, now.states, goals, self.scaler, kind, block, self.encoder)
        mean = first_mean(config, now, block_dim)
        mean = torch.zeros(len(now.states), config.horizon, block_dim) if mean is None else mean
        with torch.inference_mode():
            found = cross_entropy_method(
                cost,
                mean,
                generators,
                n_samples=config.n_samples,
                n_elites=config.n_elites,
                n_iterations=config.n_iterations,
                std=config.initial_std,
            )
        keep_plan(config, now, found)
        return native_actions(found[:, : config.execute], self.scaler)


def simulator_cost(
    environment: Environment,
    states: Array,
    goals: Array,
    scaler: ActionScaling,
    kind: str = "end",
    action_block: int = 5,
    encoder: Encoder | None = None,
) -> PlannerCost:
    """True distances of each plan's states to the goal, see ``plan_distances`` of the environment; or an encoder's.

    Parameters
    ----------
    environment : Environment
    states : array (E, n)
        Where the plans begin.
    goals : array (E, n), or (E, D) with an encoder
        Where they ought to end: states, or latents.
    scaler : ActionScaler
    kind : {"end", "sum", "closest"}
        Of the last state, summed over the states at the ends of all blocks, or the least of these; as
        :func:`spectral_jepa.pixels.planning.latent.latent_cost` has it, but squared only with an encoder.
    action_block : int
        Raw actions in a block; "end" does not read it.
    encoder : WorldModel, optional
        See :func:`seen_distances`. Default: the environment's own distance.

    Returns
    -------
    callable
        Plans (E, S, H, block_dim) in scaled units -> distances (E, S).

    Raises
    ------
    InputError
        An unknown kind.

    Notes
    -----
    O(E S H block) steps of the simulator; all but "end" repeat the plan up to each block: (H + 1) / 2 times as many.

    Examples
    --------
    100 px from the goal through the door of Two-Room, where a full step is 5 px: one to the right, one to the left, none.

    >>> from spectral_jepa.pixels.data import ActionScaler
    >>> from spectral_jepa.pixels.environments import make_environment
    >>> start, goal = np.array([[60.0, 49.0]]), np.array([[160.0, 49.0]])
    >>> cost = simulator_cost(make_environment("two_room", 16), start, goal, ActionScaler((0.0, 0.0), (1.0, 1.0)))
    >>> cost(torch.tensor([[[[1.0, 0.0]], [[-1.0, 0.0]], [[0.0, 0.0]]]]))
    tensor([[ 95., 105., 100.]], dtype=torch.float64)
    """
    check_choice("cost", kind, COSTS)

    def cost(plans: Float[Tensor, "E S H B"]) -> Float[Tensor, "E S"]:
        actions = native_actions(plans.flatten(0, 1), scaler).reshape(*plans.shape[:2], -1, len(scaler.mean))
        n_actions = actions.shape[2]
        stops = [n_actions] if kind == "end" else range(action_block, n_actions + 1, action_block)
        if encoder is None:
            distances = [environment.plan_distances(states, goals, actions[:, :, :stop]) for stop in stops]
        else:
            distances = [seen_distances(environment, encoder, states, goals, actions[:, :, :stop]) for stop in stops]
        found = torch.from_numpy(np.stack(distances, -1))
        return found.amin(-1) if kind == "closest" else found.sum(-1)

    return cost


def seen_distances(
    environment: Environment,
    encoder: Encoder,
    states: Float[np.ndarray, "E n"],
    goals: Float[np.ndarray, "E D"],
    actions: Float[np.ndarray, "E S T A"],
) -> Float[np.ndarray, "E S"]:
    """Squared latent distance to the goal of the picture in which each of S plans from each of E states truly ends.

    Parameters
    ----------
    environment : Environment
        Simulates the plans and draws their ends.
    encoder : WorldModel
    states : array (E, n)
        Where the plans begin.
    goals : array (E, D)
        Latents.
    actions : array (E, S, T, A)
        Raw actions.

    Returns
    -------
    float64 array (E, S)

    Notes
    -----
    E S T steps of the simulator, E S pictures and passes of the encoder. Source: the cost of LeWM, arXiv 2603.19312, with
    the true last latent in place of the predicted one.

    Examples
    --------
    An encoder that sees how bright the picture is: Two-Room looks the same everywhere but for where its agent is.

    >>> from spectral_jepa.pixels.environments import make_environment
    >>> class Brightness(torch.nn.Module):
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2, 3))[:, None]
    >>> world, start = make_environment("two_room", 16), np.array([[60.0, 49.0]])
    >>> moves = np.array([[[[1.0, 0.0]], [[-1.0, 0.0]]]])
    >>> seen_distances(world, Brightness(), start, np.zeros((1, 1)), moves).shape
    (1, 2)
    """
    distances = np.empty(actions.shape[:2])
    for episode, samples in enumerate(actions):
        pictures = []
        for moves in samples:
            environment.set_state(states[episode])
            for action in moves:
                environment.step(action)
            pictures.append(environment.render())
        latents = encode_frames(encoder, np.stack(pictures)).astype(np.float64)
        distances[episode] = np.sum((latents - goals[episode]) ** 2, axis=1)
    return distances
