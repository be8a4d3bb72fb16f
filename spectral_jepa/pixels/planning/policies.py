"""What can be evaluated: a planner in latent space, a cloned policy, and the random floor, behind one interface.

A policy reads goals once (``prepare``) and then, at every replan, what is seen now (``act``); all episodes at once, each
with its own generator. :class:`spectral_jepa.pixels.planning.simulator.SimulatorPolicy` is the upper bound.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from spectral_jepa._shapes import Float, UInt8
from spectral_jepa._validation import InputError, check_count
from spectral_jepa.action_search import Generators
from spectral_jepa.pixels.config import ModelConfig, PlanningConfig
from spectral_jepa.pixels.data.actions import check_scaler, native_actions, scaled_blocks
from spectral_jepa.pixels.data.episodes import column_digest
from spectral_jepa.pixels.interfaces import (
    ActionScaling,
    Environment,
    Observation,
    Pictures,
    PlanningModel,
    Rollout,
    TorchModel,
)
from spectral_jepa.pixels.model.frozen import device_of, encode_one_by_one, weights_digest
from spectral_jepa.pixels.planning.compiled import CompiledRollout
from spectral_jepa.pixels.planning.latent import check_settings, plan
from spectral_jepa.pixels.planning.proposals import Proposal, proposed_mean
from spectral_jepa.pixels.planning.warm_start import first_mean, keep_plan


class PlannerPolicy:
    """Plan with a world model (:func:`spectral_jepa.pixels.planning.latent.plan`).

    Parameters
    ----------
    model : WorldModel
        Put in evaluation mode. Needs ``encode``, ``rollout`` and ``config``.
    scaler : ActionScaler
        ``mean`` and ``std`` (A,) of the training actions.
    config : PlanningConfig
    name : str
        Shown in tables. Default: the method.
    chunk : int, optional
        As in :func:`plan`.
    proposal : Proposal, optional
        Where the search begins, of the kind that ``config.proposal`` names.
    noise : Tensor (n, n), optional
        What the search's noise is multiplied by where ``config.noise`` is "recorded".

    Raises
    ------
    InputError
        Settings that contradict each other, more real frames (``config.history``) than the model sees, a proposal without
        the setting or the setting without it.
    """

    def __init__(
        self,
        model: PlanningModel,
        scaler: ActionScaling,
        config: PlanningConfig,
        *,
        name: str | None = None,
        chunk: int | None = None,
        proposal: Proposal | None = None,
        noise: Float[Tensor, "n n"] | None = None,
    ) -> None:
        check_settings(config)
        if config.method == "cem" and (noise is not None) != (config.noise == "recorded"):
            raise InputError(
                f"planning.noise is {config.noise!r} and its matrix {'missing' if noise is None else 'given'}, expected "
                "both or neither: open the run by open_run, or pass recorded_noise of training windows"
            )
        self.noise = noise
        kind = "none" if proposal is None else proposal.describe()["proposal"]
        if config.method != "random" and kind != config.proposal:
            raise InputError(
                f"proposal is {kind!r} but planning.proposal is {config.proposal!r}, expected the same: change one"
            )
        self.proposal = proposal
        self.model, self.scaler, self.config, self.chunk = model.eval(), scaler, config, chunk
        self.name = name or config.method
        self.history = check_count("history", config.history, 1, model.config.history, "what the model was trained with")
        self.action_block: int = model.config.action_block
        self.device = device_of(model)
        # A GPU wants many episodes at once; on a CPU few make a resumable run lose less.
        self.chunk_size = 25 if self.device.type == "cpu" else 256
        check_scaler(scaler, model.config.action_dim)
        self._rollout: Rollout = CompiledRollout(model) if config.compile else model

    def describe(self) -> dict[str, Any]:
        """Planner settings, scaler, the digest of the weights, and of the proposal if there is one."""
        return {
            "policy": "planner",
            # White noise goes without saying, as it did before there was another: kept evaluations stay good.
            "planning": {k: v for k, v in asdict(self.config).items() if (k, v) != ("noise", "white")},
            "scaler": {"mean": self.scaler.mean, "std": self.scaler.std},
            "weights": weights_digest(self.model),
            **({} if self.proposal is None else {"proposal": self.proposal.describe()}),
            **({} if self.noise is None else {"noise": column_digest(self.noise.numpy())[:16]}),
        }

    def prepare(self, frames: UInt8[np.ndarray, "E H W 3"], states: Float[np.ndarray, "E n"]) -> Tensor:
        """Encode the goals.

        Parameters
        ----------
        frames : uint8 array (E, H, W, 3)
            Pictures of the goals.
        states : array (E, n)
            Of the goals; not read.

        Returns
        -------
        Tensor (E, D), or (E, D + P) with the P latent coordinates of a proposal behind
            On the model's device.
        """
        goals = encode_one_by_one(self.model, frames)
        return goals if self.proposal is None else torch.cat([goals, self._own_latents(frames, goals)], 1)

    def act(self, now: Observation, goals: Tensor, generators: Generators) -> Float[np.ndarray, "E t A"]:
        """Plan and undo the scaling of the actions.

        Parameters
        ----------
        now : Observation
            ``states`` are not read; ``memory`` is with ``config.warm_start`` only, and keeps the last plan.
        goals : Tensor (E, D) or (E, D + P)
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
        n_episodes, seen = now.frames.shape[:2]
        pictures = now.frames.reshape(-1, *now.frames.shape[2:])
        latents = encode_one_by_one(self.model, pictures).unflatten(0, (n_episodes, seen))
        past = None
        if seen > 1:
            past = scaled_blocks(now.past_actions, self.scaler, self.action_block).to(latents)
        config, block_dim = self.config, self.action_block * self.model.config.action_dim
        mean, dim = first_mean(config, now, block_dim), latents.shape[-1]
        if self.proposal is not None and config.method != "random":
            own = self._own_latents(now.frames[:, -1], latents[:, -1])
            mean = proposed_mean(self.proposal, own, goals[:, dim:], config.horizon)
        blocks = plan(
            self._rollout,
            config,
            latents,
            goals[:, :dim],
            generators,
            block_dim=block_dim,
            past_blocks=past,
            chunk=self.chunk,
            mean=mean,
            noise=self.noise,
        )
        keep_plan(config, now, blocks)
        return native_actions(blocks[:, : config.execute], self.scaler)

    def _own_latents(self, frames: UInt8[np.ndarray, "E H W 3"], latents: Float[Tensor, "E D"]) -> Float[Tensor, "E P"]:
        """Pictures as the proposal reads them; the model's latents where it has the model's encoder."""
        assert self.proposal is not None
        return latents if self.proposal.encoder is self.model else encode_one_by_one(self.proposal.encoder, frames)


class RandomPolicy:
    """The random floor: every action uniform in the action space.

    Parameters
    ----------
    environment : PixelEnvironment
        Its ``action_space`` is read.
    n_actions : int
        Actions drawn at a time.
    """

    name, history, action_block, chunk_size, device = "random", 1, 1, 100, torch.device("cpu")

    def __init__(self, environment: Environment, n_actions: int = 25) -> None:
        self.low, self.high = (
            np.asarray(x, dtype=np.float64) for x in (environment.action_space.low, environment.action_space.high)
        )
        self.n_actions = check_count("n_actions", n_actions)

    def describe(self) -> dict[str, Any]:
        """Bounds and number of actions."""
        return {"policy": "random", "low": self.low.tolist(), "high": self.high.tolist(), "n_actions": self.n_actions}

    def prepare(self, frames: UInt8[np.ndarray, "E H W 3"], states: Float[np.ndarray, "E n"]) -> Pictures:
        """Nothing to prepare.

        Parameters
        ----------
        frames : uint8 array (E, H, W, 3)
            Pictures of the goals.
        states : array (E, n)
            Of the goals; not read.

        Returns
        -------
        uint8 array (E, H, W, 3)
            ``frames`` as they are.
        """
        return frames

    def act(self, now: Observation, goals: Any, generators: Generators) -> Float[np.ndarray, "E t A"]:
        """Draw actions.

        Parameters
        ----------
        now : Observation
            Not read.
        goals : uint8 array (E, H, W, 3)
            Not read.
        generators : E torch.Generator on the CPU
            One an episode: all that the actions depend on.

        Returns
        -------
        float64 array (E, n_actions, A)
            Raw actions, uniform within the environment's bounds.
        """
        uniform = torch.stack([torch.rand(self.n_actions, self.low.size, generator=g) for g in generators])
        return self.low + (self.high - self.low) * uniform.numpy().astype(np.float64)


class NothingPolicy:
    """The other floor: actions of zeros, which shows how many pairs the world solves by itself.

    Parameters
    ----------
    environment : PixelEnvironment
        Its ``action_space`` is read.
    n_actions : int
        Actions given at a time.
    """

    name, history, action_block, chunk_size, device = "nothing", 1, 1, 100, torch.device("cpu")

    def __init__(self, environment: Environment, n_actions: int = 25) -> None:
        self.n_actions, self.action_dim = check_count("n_actions", n_actions), environment.action_dim

    def describe(self) -> dict[str, Any]:
        """Number and length of the actions."""
        return {"policy": "nothing", "n_actions": self.n_actions, "action_dim": self.action_dim}

    def prepare(self, frames: UInt8[np.ndarray, "E H W 3"], states: Float[np.ndarray, "E n"]) -> Pictures:
        """Nothing to prepare.

        Parameters
        ----------
        frames : uint8 array (E, H, W, 3)
            Pictures of the goals.
        states : array (E, n)
            Of the goals; not read.

        Returns
        -------
        uint8 array (E, H, W, 3)
            ``frames`` as they are.
        """
        return frames

    def act(self, now: Observation, goals: Any, generators: Generators) -> Float[np.ndarray, "E t A"]:
        """Zeros.

        Parameters
        ----------
        now : Observation
            Its number of episodes is read.
        goals : uint8 array (E, H, W, 3)
            Not read.
        generators : E torch.Generator on the CPU
            Not read.

        Returns
        -------
        float64 array (E, n_actions, A)
            Raw actions 0: no torque, no movement asked for.
        """
        return np.zeros((len(now.frames), self.n_actions, self.action_dim))


@runtime_checkable
class _ActingNetwork(TorchModel, Protocol):
    """A network that reads actions off the current and the goal picture."""

    config: ModelConfig

    def act(self, frames: Tensor, goal_frames: Tensor) -> Tensor:
        """Scaled action blocks (E, n, block_dim), or one block (E, block_dim)."""
        ...


class CloningPolicy:
    """A policy cloned from data: the current and the goal picture to action blocks.

    Parameters
    ----------
    network : GoalConditionedPolicy
        ``act(frames, goal_frames) -> (E, n, block_dim)`` scaled action blocks, and ``config``.
    scaler : ActionScaler
        Of the training actions.
    execute : int
        Blocks carried out before it is asked again, of those that the network gives.
    name : str
        Shown in tables.

    Raises
    ------
    InputError
        ``execute`` below 1.
    """

    history, chunk_size = 1, 100

    def __init__(
        self, network: _ActingNetwork, scaler: ActionScaling, execute: int = 1, name: str = "behaviour cloning"
    ) -> None:
        self.network, self.scaler, self.execute, self.name = network.eval(), scaler, check_count("execute", execute), name
        self.action_block: int = network.config.action_block
        self.device = device_of(network)

    def describe(self) -> dict[str, Any]:
        """Digest of the weights and how many blocks are carried out."""
        return {"policy": "cloning", "weights": weights_digest(self.network), "execute": self.execute}

    def prepare(self, frames: UInt8[np.ndarray, "E H W 3"], states: Float[np.ndarray, "E n"]) -> Tensor:
        """Move the goals' pictures to the network's device.

        Parameters
        ----------
        frames : uint8 array (E, H, W, 3)
            Pictures of the goals.
        states : array (E, n)
            Of the goals; not read.

        Returns
        -------
        uint8 Tensor (E, H, W, 3)
        """
        return torch.as_tensor(frames).to(self.device)

    def act(self, now: Observation, goals: Tensor, generators: Generators) -> Float[np.ndarray, "E t A"]:
        """Ask the network.

        Parameters
        ----------
        now : Observation
            The last frame of each episode is read.
        goals : uint8 Tensor (E, H, W, 3)
            As :meth:`prepare` gives them.
        generators : E torch.Generator on the CPU
            Not read: the same pictures give the same actions.

        Returns
        -------
        float64 array (E, execute * action_block, A)
            Raw actions, not clipped to the environment's bounds.
        """
        with torch.inference_mode():
            frames = torch.as_tensor(now.frames[:, -1]).to(goals.device)
            blocks = self.network.act(frames, goals)
        blocks = blocks[:, None] if blocks.ndim == 2 else blocks
        return native_actions(blocks[:, : self.execute], self.scaler)
