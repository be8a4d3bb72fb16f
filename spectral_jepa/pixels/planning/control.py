"""Planning without data and without a simulator: from two pictures, or picture by picture in somebody's control loop.

All that it takes is the folder of a run: weights, planner settings, mean and deviation of the training actions. The search
is the published one of LeWM (arXiv 2603.19312, section on planning).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from spectral_jepa._shapes import Float, UInt8
from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import Array, InputError, as_float
from spectral_jepa.pixels.config import PixelConfig
from spectral_jepa.pixels.data.actions import scaled_blocks
from spectral_jepa.pixels.data.pictures import read_picture
from spectral_jepa.pixels.interfaces import Observation, Pictures, Policy
from spectral_jepa.pixels.model.frozen import encode_one_by_one
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.planning.policies import CloningPolicy, PlannerPolicy
from spectral_jepa.pixels.presets import override

# Tells these random streams apart from all other uses of the same seed.
STREAM = 0x63746C


class Controller:
    """A goal picture and what a camera sees now, to the next raw action: the one method that a control loop calls.

    Parameters
    ----------
    policy : Policy
        A :class:`~spectral_jepa.pixels.planning.policies.PlannerPolicy` or ``CloningPolicy``; none that reads states.
    goal : uint8 array (S, S, 3)
        Of the model's size, as :func:`spectral_jepa.pixels.data.pictures.read_picture` gives it.
    low, high : array (A,) or float, optional
        Bounds that actions are clipped to before they are returned. Default: none.
    seed : int
        Of the search.

    Attributes
    ----------
    seconds : list of float
        Of the clock, one entry a plan: the latency of the calls that planned. The other calls take an action from the plan.

    Examples
    --------
    A model whose latent is the mean colour and whose action adds to it.

    >>> from types import SimpleNamespace
    >>> from spectral_jepa.pixels.config import PlanningConfig
    >>> from spectral_jepa.pixels.data import ActionScaler
    >>> class Fade(torch.nn.Module):
    ...     config = SimpleNamespace(history=1, action_block=1, action_dim=1)
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2))[:, :1] / 255
    ...     def rollout(self, latents, blocks):
    ...         return latents[:, -1:] + blocks.cumsum(1)
    >>> search = PlanningConfig(horizon=2, execute=2)
    >>> policy = PlannerPolicy(Fade(), ActionScaler((0.0,), (1.0,)), search)
    >>> black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    >>> controller = Controller(policy, white)
    >>> actions = [controller.next_action(black) for _ in range(2)]
    >>> bool(abs(sum(actions).item() - 1) < 0.05), len(controller.seconds)
    (True, 1)
    """

    def __init__(
        self,
        policy: Policy,
        goal: Pictures,
        *,
        low: Any = None,
        high: Any = None,
        seed: int = 0,
    ) -> None:
        self.policy, self.seconds = policy, list[float]()
        self.low, self.high = (
            np.asarray(default if bound is None else as_float(name, bound, np.shape(bound)))
            for name, bound, default in (("low", low, -np.inf), ("high", high, np.inf))
        )
        if (self.low >= self.high).any():
            raise InputError(f"low is {low!r} and high {high!r}, expected low below high: exchange them")
        self._goals = policy.prepare(_picture("goal", goal)[None], np.zeros((1, 0)))
        self._generator = torch_generator(seed, STREAM)
        self._frames: list[Pictures] = []
        self._past: list[Array] = []
        self._taken = 0
        self._queue: list[Array] = []
        self._memory: dict[str, object] = {}

    def next_action(self, picture: UInt8[np.ndarray, "S S 3"]) -> Array:
        """The raw action to carry out now; to be called once before each action.

        Parameters
        ----------
        picture : uint8 array (S, S, 3)
            What the camera sees now. It is looked at once an action block, and by the encoder once a plan.

        Returns
        -------
        float64 array (A,)
            In the units of the training actions, clipped to the bounds.

        Raises
        ------
        InputError
            A picture of another layout or size.

        Notes
        -----
        A plan each time the last one is used up (after ``planning.execute`` blocks), else O(1).
        """
        now, block = _picture("picture", picture), self.policy.action_block
        if self._taken % block == 0:
            self._frames = [*self._frames, now][-self.policy.history :]
        if not self._queue:
            clock = time.perf_counter()
            between = (len(self._frames) - 1) * block
            past = np.reshape(self._past[len(self._past) - between :], (1, between, -1)) if between else np.zeros((1, 0, 0))
            seen = Observation(np.stack(self._frames)[None], np.zeros((1, 0)), past, [self._memory])
            planned = self.policy.act(seen, self._goals, [self._generator])[0]
            self._queue = list(np.clip(planned, self.low, self.high))
            self.seconds.append(time.perf_counter() - clock)
        action = self._queue.pop(0)
        self._past = [*self._past, action][-self.policy.history * block :]
        self._taken += 1
        return action.copy()


def open_policy(
    folder: str | Path, *, device: str | None = None, overrides: Mapping[str, str] | None = None
) -> tuple[PixelConfig, PlannerPolicy | CloningPolicy]:
    """The policy of a finished run, opened without its data and without a simulator.

    Parameters
    ----------
    folder : str or Path
        Of the run.
    device : str, optional
        Default: the CPU.
    overrides : dict of str, optional
        Settings changed after loading, "planning.field" -> text.

    Returns
    -------
    config : PixelConfig
        With the changes.
    policy : PlannerPolicy or CloningPolicy

    Raises
    ------
    InputError
        A folder without a finished run; a search whose first mean or noise is fitted to data.

    Examples
    --------
    >>> import tempfile
    >>> from spectral_jepa.pixels.data import ActionScaler
    >>> from spectral_jepa.pixels.model.saved import make_model, save_model
    >>> from spectral_jepa.pixels.presets import preset
    >>> config, folder = preset("tiny"), tempfile.mkdtemp()
    >>> save_model(make_model(config), folder, config, ActionScaler((0.0, 0.0), (1.0, 1.0)), {})
    >>> open_policy(folder, overrides={"planning.n_samples": "7"})[1].config.n_samples
    7
    """
    model, config, scaler = load_model(folder, device)
    config = override(config, overrides or {})
    if config.kind == "cloning":
        return config, CloningPolicy(model, scaler, name=Path(folder).name)
    for name, usual in (("proposal", "none"), ("noise", "white")):
        found = getattr(config.planning, name)
        if found != usual:
            raise InputError(
                f"planning.{name} is {found!r}, expected {usual!r}: without data nothing can be fitted, so --set "
                f"planning.{name} {usual}"
            )
    return config, PlannerPolicy(model, scaler, config.planning, name=Path(folder).name)


def open_controller(
    folder: str | Path,
    goal: str | Path | Pictures,
    *,
    low: Any = None,
    high: Any = None,
    seed: int = 0,
    device: str | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Controller:
    """A :class:`Controller` of a finished run.

    Parameters
    ----------
    folder, device, overrides
        As in :func:`open_policy`.
    goal : path, or uint8 array (S, S, 3)
        A picture file, or a picture of the model's size.
    low, high, seed
        As in :class:`Controller`.

    Returns
    -------
    Controller

    Raises
    ------
    InputError
        As :func:`open_policy`, :func:`spectral_jepa.pixels.data.pictures.read_picture` and :class:`Controller`.

    Examples
    --------
    >>> import tempfile
    >>> from spectral_jepa.pixels.data import ActionScaler
    >>> from spectral_jepa.pixels.model.saved import make_model, save_model
    >>> from spectral_jepa.pixels.presets import preset
    >>> config, folder = preset("tiny"), tempfile.mkdtemp()
    >>> save_model(make_model(config), folder, config, ActionScaler((0.0, 0.0), (1.0, 1.0)), {})
    >>> controller = open_controller(folder, np.zeros((32, 32, 3), np.uint8), low=-1, high=1)
    >>> bool((np.abs(controller.next_action(np.zeros((32, 32, 3), np.uint8))) <= 1).all())
    True
    """
    config, policy = open_policy(folder, device=device, overrides=overrides)
    picture = goal if isinstance(goal, np.ndarray) else read_picture(goal, config.model.image_size)
    size = config.model.image_size
    if picture.shape != (size, size, 3):
        raise InputError(f"goal has shape {picture.shape}, expected ({size}, {size}, 3), what the model reads: resize it")
    return Controller(policy, picture, low=low, high=high, seed=seed)


class OwnPlan(NamedTuple):
    """A plan between two pictures, with what the model expects of it.

    Parameters
    ----------
    actions : float64 array (horizon * action_block, A)
        Raw, not clipped.
    latents : float32 array (horizon + 1, D)
        Of the start, and the predicted ones after each block.
    distances : float64 array (horizon + 1,)
        Their squared latent distances to the goal's latent: what the search minimises, in the model's own units.
    seconds : float
        Of the clock, encoding included.
    """

    actions: Array
    latents: Float[np.ndarray, "n D"]
    distances: Array
    seconds: float


def plan_between(policy: PlannerPolicy, start: Pictures, goal: Pictures, *, seed: int = 0) -> OwnPlan:
    """Plan the whole horizon from one picture to another.

    Parameters
    ----------
    policy : PlannerPolicy
        Its model, scaler and search are used; ``execute`` is not: all blocks of the horizon are returned.
    start, goal : uint8 array (S, S, 3)
    seed : int
        Of the search.

    Returns
    -------
    OwnPlan

    Raises
    ------
    InputError
        Pictures of another layout or size.

    Notes
    -----
    One plan, two pictures encoded, one rollout more.

    Examples
    --------
    >>> from spectral_jepa.pixels.config import PlanningConfig
    >>> from spectral_jepa.pixels.data import ActionScaler
    >>> from spectral_jepa.pixels.model.world_model import WorldModel
    >>> from spectral_jepa.pixels.presets import preset
    >>> settings = preset("tiny")
    >>> policy = PlannerPolicy(WorldModel(settings.model), ActionScaler((0.0, 0.0), (1.0, 1.0)), settings.planning)
    >>> black = np.zeros((32, 32, 3), np.uint8)
    >>> found = plan_between(policy, black, black)
    >>> found.actions.shape, found.latents.shape, float(found.distances[0])
    ((25, 2), (6, 16), 0.0)
    """
    clock = time.perf_counter()
    whole = replace(policy.config, execute=policy.config.horizon)
    planner = PlannerPolicy(policy.model, policy.scaler, whole, noise=policy.noise, proposal=policy.proposal)
    goals = planner.prepare(_picture("goal", goal)[None], np.zeros((1, 0)))
    seen = Observation(_picture("start", start)[None, None], np.zeros((1, 0)), np.zeros((1, 0, 0)), [{}])
    actions = planner.act(seen, goals, [torch_generator(seed, STREAM)])[0]
    seconds = time.perf_counter() - clock
    with torch.inference_mode():
        first = encode_one_by_one(policy.model, start[None])
        blocks = scaled_blocks(actions, policy.scaler, policy.action_block)[None].to(first)
        latents = torch.cat([first[:, None], policy.model.rollout(first[:, None], blocks)], 1)[0]
        distances = (latents - goals[:, : latents.shape[-1]]).square().sum(-1)
    return OwnPlan(actions, latents.float().cpu().numpy(), distances.double().cpu().numpy(), seconds)


def _picture(name: str, picture: Pictures) -> Pictures:
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3:
        raise InputError(
            f"{name} has shape {array.shape} and type {array.dtype}, expected uint8 (height, width, 3): one colour picture"
        )
    return array
