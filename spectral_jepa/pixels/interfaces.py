"""What the rooms of the pixel world models ask of each other: dataset, environment, model, policy and planner cost.

Everything that is passed between rooms has one of these types, so that a test's stand-in, an environment from another
package or a model of one's own fits wherever it has the named parts. Letters in shapes: E episodes, S samples, H blocks or
height, T times, D latent coordinates, A action coordinates, n state coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spectral_jepa._notebook import short_repr
from spectral_jepa._shapes import Float, UInt8
from spectral_jepa._validation import Array
from spectral_jepa.action_search import Generators, PlannerCost
from spectral_jepa.pixels.config import ModelConfig

__all__ = [
    "ActionScaling",
    "Dataset",
    "Encoder",
    "Environment",
    "LatentModel",
    "Observation",
    "Pictures",
    "PlannerCost",
    "PlanningModel",
    "Policy",
    "PredictiveModel",
    "RepeatedPictures",
    "Rollout",
    "TorchModel",
]

Pictures = NDArray[np.uint8]


@runtime_checkable
class Dataset(Protocol):
    """Recorded episodes end to end, see :class:`spectral_jepa.pixels.data.episodes.EpisodeDataset`."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Pictures (rows, height, width, 3), possibly a memory map."""
        ...

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """Whatever else was recorded, name -> (rows, ...)."""
        ...

    @property
    def row_steps(self) -> int:
        """Raw steps r between two rows; a row of ``action`` holds the r raw actions that follow it, end to end."""
        ...

    @property
    def ep_len(self) -> NDArray[np.int64]:
        """Rows of each episode."""
        ...

    @property
    def ep_offset(self) -> NDArray[np.int64]:
        """First row of each episode."""
        ...


@runtime_checkable
class ActionScaling(Protocol):
    """Z-scores of actions, see :class:`spectral_jepa.pixels.data.actions.ActionScaler`."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each action coordinate."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each action coordinate."""
        ...

    def normalize(self, actions: Any) -> Any:
        """Raw actions to scaled ones, arrays to arrays and tensors to tensors."""
        ...

    def denormalize(self, actions: Any) -> Any:
        """The inverse of :meth:`normalize`."""
        ...


@runtime_checkable
class Environment(Protocol):
    """A simulator that can be set to any state; :class:`~spectral_jepa.pixels.environments.base.PixelEnvironment` is one."""

    name: str
    image_size: int
    action_space: Any

    @property
    def action_dim(self) -> int:
        """Coordinates A of a raw action."""
        ...

    @property
    def state_dim(self) -> int:
        """Length n of the state vector."""
        ...

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start anew, at random or at ``options={"state": s}``."""
        ...

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Carry out one raw action."""
        ...

    def render(self) -> Pictures:
        """Picture of the current state."""
        ...

    def get_state(self) -> Array:
        """The state vector."""
        ...

    def set_state(self, state: Array) -> None:
        """Go to a state."""
        ...

    def at_rest(self, state: Array) -> Array:
        """The same place without any velocity."""
        ...

    def goal_distance(self, state: Array, goal: Array) -> float:
        """Distance of two states in units of what still counts as success."""
        ...

    def success(self, state: Array, goal: Array) -> bool:
        """Whether a state counts as the goal."""
        ...

    def plan_distances(
        self, starts: Float[np.ndarray, "E n"], goals: Float[np.ndarray, "E n"], actions: Float[np.ndarray, "E S T A"]
    ) -> Float[np.ndarray, "E S"]:
        """What a planner with the true dynamics minimises."""
        ...

    def recolor(self) -> None:
        """Break the look of the world, not its laws."""
        ...

    def teleport(self, rng: np.random.Generator) -> None:
        """Break the laws of the world, not its look."""
        ...


@runtime_checkable
class TorchModel(Protocol):
    """What is used of any ``torch.nn.Module``."""

    training: bool

    def parameters(self) -> Iterator[nn.Parameter]:
        """Its parameters."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Its parameters and buffers by name."""
        ...

    def eval(self) -> Any:
        """Go to evaluation mode."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Go to training mode, or leave it."""
        ...


@runtime_checkable
class Encoder(TorchModel, Protocol):
    """A model that embeds pictures."""

    def encode(self, frames: Any) -> Float[Tensor, "... D"]:
        """Pictures (..., H, W, 3) to latents (..., D)."""
        ...


@runtime_checkable
class LatentModel(Encoder, Protocol):
    """What the training loss and the surprise ask of a world model."""

    def predict(self, latents: Float[Tensor, "B T D"], blocks: Float[Tensor, "B T A"]) -> Float[Tensor, "B T D"]:
        """Latents and the action blocks at them to the next latents."""
        ...


@runtime_checkable
class PredictiveModel(LatentModel, Protocol):
    """A latent model that knows its history and action block."""

    config: ModelConfig


@runtime_checkable
class Rollout(Protocol):
    """What a search of actions asks of a world model."""

    def rollout(
        self, latents: Float[Tensor, "N h D"], blocks: Float[Tensor, "N H A"], *args: Any, **kwargs: Any
    ) -> Float[Tensor, "N H D"]:
        """Latents (N, h, D) and action blocks (N, H, block_dim) to the H predicted latents (N, H, D)."""
        ...


@runtime_checkable
class PlanningModel(Encoder, Rollout, Protocol):
    """A world model that can be planned with."""

    config: ModelConfig


@dataclass(frozen=True, eq=False, repr=False)
class RepeatedPictures:
    """Pictures of which few differ, as those of a finite world do: an encoder need see each of them once.

    Parameters
    ----------
    distinct : uint8 Tensor (U, H, W, 3)
    numbers : integer Tensor (...)
        Which of them stands at each place.

    Examples
    --------
    >>> clips = RepeatedPictures(torch.zeros(2, 8, 8, 3, dtype=torch.uint8), torch.tensor([[0, 1], [1, 1], [0, 0]]))
    >>> clips.shape, clips.ndim, clips.whole().shape
    (torch.Size([3, 2, 8, 8, 3]), 5, torch.Size([3, 2, 8, 8, 3]))
    """

    distinct: UInt8[Tensor, "U H W 3"]
    numbers: Tensor

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def shape(self) -> torch.Size:
        """That of all pictures, (..., H, W, 3)."""
        return torch.Size([*self.numbers.shape, *self.distinct.shape[1:]])

    @property
    def ndim(self) -> int:
        """Number of axes of all pictures."""
        return len(self.shape)

    def whole(self) -> Tensor:
        """All pictures as one tensor."""
        return self.distinct[self.numbers]

    def to(self, device: torch.device, non_blocking: bool = False) -> RepeatedPictures:
        """The same on another device."""
        return RepeatedPictures(*(part.to(device, non_blocking=non_blocking) for part in (self.distinct, self.numbers)))


@dataclass(frozen=True, repr=False)
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
    memory : E dicts, optional
        One an episode, empty at its first plan and handed in again at each later one: what a policy keeps there is all that
        it may know of an episode's past beside the frames, so that episodes can be played in any company. A policy that
        needs none does not read it.
    """

    frames: UInt8[np.ndarray, "E h H W 3"]
    states: Float[np.ndarray, "E n"]
    past_actions: Float[np.ndarray, "E P A"]
    memory: Sequence[dict[str, Any]] | None = None

    def __repr__(self) -> str:
        return short_repr(self)


@runtime_checkable
class Policy(Protocol):
    """What :func:`spectral_jepa.pixels.evaluation.evaluate.evaluate` judges."""

    name: str
    history: int
    action_block: int
    chunk_size: int
    device: torch.device

    def describe(self) -> dict[str, Any]:
        """Everything that decides its actions, as plain JSON values: it names the rows of a run."""
        ...

    def prepare(self, frames: UInt8[np.ndarray, "E H W 3"], states: Float[np.ndarray, "E n"]) -> Any:
        """Goals from their pictures (E, H, W, 3) and states (E, n); what is returned is indexed by episode."""
        ...

    def act(self, now: Observation, goals: Any, generators: Generators) -> Float[np.ndarray, "E n A"]:
        """Raw actions (E, n, A) in native units, to be carried out before the next call."""
        ...
