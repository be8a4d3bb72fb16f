"""Where the search of a replan begins: at what is left of the last plan, kept in the memory of each episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import PlanningConfig
from spectral_jepa.pixels.interfaces import Observation

LAST = "last plan"


def shift_plan(plan: Float[Tensor, "*E H A"], executed: int) -> Float[Tensor, "*E H A"]:
    """The blocks of a plan that were not carried out, moved to its beginning, and 0 behind them.

    Parameters
    ----------
    plan : Tensor (..., H, A)
        In scaled units, where 0 is the mean of the training actions.
    executed : int
        Blocks that were carried out, at most H.

    Returns
    -------
    Tensor (..., H, A)

    Notes
    -----
    Source: the planners of DINO-WM (arXiv 2411.04983) and LeWM (arXiv 2603.19312), which fill up with zeros, too.

    Examples
    --------
    >>> shift_plan(torch.tensor([[1.0], [2.0], [3.0]]), executed=2).flatten().tolist()
    [3.0, 0.0, 0.0]
    """
    return torch.cat([plan[..., executed:, :], torch.zeros_like(plan[..., :executed, :])], -2)


def first_mean(config: PlanningConfig, now: Observation, block_dim: int) -> Float[Tensor, "E H A"] | None:
    """First mean of the search of each episode: its shifted last plan, 0 on its first; None without a warm start.

    Parameters
    ----------
    config : PlanningConfig
        ``warm_start``, ``horizon`` and ``execute`` are read.
    now : Observation
        Its ``memory`` is read.
    block_dim : int
        Numbers in an action block.

    Returns
    -------
    float32 Tensor (E, horizon, block_dim) or None
        On the CPU.

    Raises
    ------
    InputError
        A warm start without memory.

    Examples
    --------
    >>> import numpy as np
    >>> none = np.zeros((1, 1, 8, 8, 3), np.uint8), np.zeros((1, 2)), np.zeros((1, 0, 2))
    >>> config, now = PlanningConfig(horizon=2, execute=1, warm_start=True), Observation(*none, memory=[{}])
    >>> keep_plan(config, now, torch.tensor([[[3.0], [4.0]]]))
    >>> first_mean(config, now, block_dim=1).tolist()
    [[[4.0], [0.0]]]
    """
    if not config.warm_start:
        return None
    cold = torch.zeros(config.horizon, block_dim)
    kept = [own.get(LAST) for own in _memory(now)]
    return torch.stack([cold if last is None else shift_plan(last, config.execute) for last in kept])


def keep_plan(config: PlanningConfig, now: Observation, plans: Float[Tensor, "E H A"]) -> None:
    """Leave whole plans in the memory of their episodes, for :func:`first_mean` at the next replan.

    Parameters
    ----------
    config : PlanningConfig
        Without ``warm_start`` nothing is kept.
    now : Observation
        Its ``memory`` is written.
    plans : Tensor (E, horizon, block_dim)
        On any device.

    Raises
    ------
    InputError
        A warm start without memory.

    Examples
    --------
    As of :func:`first_mean`.
    """
    if config.warm_start:
        for own, plan in zip(_memory(now), plans.detach().cpu(), strict=True):
            own[LAST] = plan


def _memory(now: Observation) -> Sequence[dict[str, Any]]:
    if now.memory is None:
        raise InputError(
            "warm_start is True but the observation has no memory, expected one dict an episode: hand in the same each time"
        )
    return now.memory
