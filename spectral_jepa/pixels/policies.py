"""What can be evaluated: a planner in latent space, a cloned policy, and the random floor, behind one interface.

A policy reads goals once (``prepare``) and then, at every replan, what is seen now (``act``); all episodes at once, each
with its own generator. :class:`spectral_jepa.pixels.simulator.SimulatorPolicy` is the upper bound.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels.config import PlanningConfig
from spectral_jepa.pixels.planning import plan
from spectral_jepa.pixels.solvers import Generators

Array = NDArray[np.float64]
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Observation:
    """What is seen at one moment in E episodes.

    Parameters
    ----------
    frames : uint8 array (E, h, H, W, 3)
        The last frames, one action block apart, the current one last; h is at most the policy's ``history``.
    states : array (E, n)
        True states: only the simulator policy reads them.
    past_actions : array (E, (h - 1) * action_block, A)
        Raw actions between the frames.
    """

    frames: Pictures
    states: Array
    past_actions: Array


class Policy(Protocol):
    """Interface of what :func:`spectral_jepa.pixels.evaluate.evaluate` judges."""

    name: str
    history: int
    action_block: int
    chunk_size: int
    device: torch.device

    def describe(self) -> dict[str, Any]:
        """Everything that decides its actions, as plain JSON values: it names the rows of a run."""
        ...

    def prepare(self, frames: Pictures, states: Array) -> Any:
        """Goals from their pictures (E, H, W, 3) and states (E, n); what is returned is indexed by episode."""
        ...

    def act(self, now: Observation, goals: Any, generators: Generators) -> Array:
        """Raw actions (E, n, A) in native units, to be carried out before the next call."""
        ...


class PlannerPolicy:
    """Plan with a world model (:func:`spectral_jepa.pixels.planning.plan`).

    Parameters
    ----------
    model : WorldModel
        Put in evaluation mode. Needs ``encode``, ``rollout`` and ``config``.
    scaler : ActionScaler
        ``mean`` and ``std`` (A,) of the training actions.
    config : PlanningConfig
    name : str
        Shown in tables. Default: the method.
    history : int
        Real frames given to the model; the published value is 1.
    chunk : int, optional
        As in :func:`plan`.
    compile : bool
        Compile the rollout (worth its half minute on a GPU only).
    """

    def __init__(
        self,
        model: Any,
        scaler: Any,
        config: PlanningConfig,
        *,
        name: str | None = None,
        history: int = 1,
        chunk: int | None = None,
        compile: bool = False,
    ) -> None:
        self.model, self.scaler, self.config, self.chunk = model.eval(), scaler, config, chunk
        self.name = name or config.method
        self.history = check_count("history", history, 1, model.config.history, "what the model was trained with")
        self.action_block: int = model.config.action_block
        self.device = device_of(model)
        # A GPU wants many episodes at once; on a CPU few make a resumable run lose less.
        self.chunk_size = 25 if self.device.type == "cpu" else 256
        check_scaler(scaler, model.config.action_dim)
        self._rollout: Any = _Compiled(model) if compile else model

    def describe(self) -> dict[str, Any]:
        """Planner settings, history, scaler, and the digest of the weights."""
        return {
            "policy": "planner",
            "planning": asdict(self.config),
            "history": self.history,
            "scaler": asdict(self.scaler),
            "weights": weights_digest(self.model),
        }

    def prepare(self, frames: Pictures, states: Array) -> Tensor:
        """Latents (E, D) of the goals."""
        return encode_frames(self.model, frames)

    def act(self, now: Observation, goals: Tensor, generators: Generators) -> Array:
        """Plan and undo the scaling of the actions."""
        n_episodes, seen = now.frames.shape[:2]
        latents = encode_frames(self.model, now.frames.reshape(-1, *now.frames.shape[2:])).unflatten(0, (n_episodes, seen))
        past = None
        if seen > 1:
            scaled = self.scaler.normalize(now.past_actions)
            past = torch.as_tensor(scaled.reshape(n_episodes, seen - 1, -1)).to(latents)
        block_dim = self.action_block * self.model.config.action_dim
        blocks = plan(
            self._rollout, self.config, latents, goals, generators, block_dim=block_dim, past_blocks=past, chunk=self.chunk
        )
        return native_actions(blocks, self.scaler)


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

    def __init__(self, environment: Any, n_actions: int = 25) -> None:
        self.low, self.high = (
            np.asarray(x, dtype=np.float64) for x in (environment.action_space.low, environment.action_space.high)
        )
        self.n_actions = check_count("n_actions", n_actions)

    def describe(self) -> dict[str, Any]:
        """Bounds and number of actions."""
        return {"policy": "random", "low": self.low.tolist(), "high": self.high.tolist(), "n_actions": self.n_actions}

    def prepare(self, frames: Pictures, states: Array) -> Pictures:
        """Nothing to prepare."""
        return frames

    def act(self, now: Observation, goals: Any, generators: Generators) -> Array:
        """Draw actions."""
        uniform = torch.stack([torch.rand(self.n_actions, self.low.size, generator=g) for g in generators])
        return self.low + (self.high - self.low) * uniform.numpy().astype(np.float64)


class CloningPolicy:
    """A policy cloned from data: the current and the goal picture to action blocks.

    Parameters
    ----------
    network : GoalConditionedPolicy
        ``act(frames, goal_frames) -> (E, n, block_dim)`` scaled action blocks, and ``config``.
    scaler : ActionScaler
    execute : int
        Blocks carried out before it is asked again.
    """

    history, chunk_size = 1, 100

    def __init__(self, network: Any, scaler: Any, execute: int = 1, name: str = "behaviour cloning") -> None:
        self.network, self.scaler, self.execute, self.name = network.eval(), scaler, check_count("execute", execute), name
        self.action_block: int = network.config.action_block
        self.device = device_of(network)

    def describe(self) -> dict[str, Any]:
        """Digest of the weights and how many blocks are carried out."""
        return {"policy": "cloning", "weights": weights_digest(self.network), "execute": self.execute}

    def prepare(self, frames: Pictures, states: Array) -> Tensor:
        """The goals' pictures, on the network's device."""
        return torch.as_tensor(frames).to(self.device)

    def act(self, now: Observation, goals: Tensor, generators: Generators) -> Array:
        """Ask the network."""
        with torch.inference_mode():
            frames = torch.as_tensor(now.frames[:, -1]).to(goals.device)
            blocks = self.network.act(frames, goals)
        blocks = blocks[:, None] if blocks.ndim == 2 else blocks
        return native_actions(blocks[:, : self.execute], self.scaler)


class _Compiled:
    """A model whose rollout is compiled; everything else is the model's."""

    def __init__(self, model: Any) -> None:
        self.rollout = torch.compile(model.rollout)


def encode_frames(model: Any, frames: Pictures) -> Tensor:
    """Latents (N, D) of pictures (N, H, W, 3); on a CPU one at a time, so that they do not depend on their company."""
    pictures = torch.as_tensor(frames).to(device_of(model))
    with torch.inference_mode():
        if pictures.device.type == "cpu":
            return torch.cat([model.encode(picture[None]) for picture in pictures])
        return torch.cat([model.encode(part) for part in pictures.split(256)]).float()


def native_actions(blocks: Tensor, scaler: Any) -> Array:
    """Scaled action blocks (E, n, block * A) to raw actions (E, n * block, A) in native units."""
    values = blocks.detach().to("cpu", torch.float64).numpy()
    return scaler.denormalize(values.reshape(len(values), -1, len(scaler.mean)))


def check_scaler(scaler: Any, action_dim: int) -> None:
    """Refuse a scaler of actions of another dimension."""
    if np.shape(scaler.mean) != (action_dim,) or np.shape(scaler.std) != (action_dim,):
        raise InputError(
            f"the action scaler has {np.size(scaler.mean)} means and {np.size(scaler.std)} deviations, expected "
            f"{action_dim} of each as there are action coordinates: use the scaler that was saved with the model"
        )


def device_of(model: Any) -> torch.device:
    """Where a model's weights are (the CPU if it has none)."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of all weights and buffers, names included. O(bytes)."""
    content = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        content.update(name.encode())
        content.update(value.detach().to("cpu").contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return content.hexdigest()
