"""What the figures of a log's analysis and of advice on latents share: risk over the dimension, and choices on a curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from spectral_jepa.plotting.style import COLORS

HELD_OUT_LABEL = r"$-2\,E\,[g^\top f_+] + E\,[(g^\top f\,')^2]$"


def draw_held_out(axis: Axes, dims: np.ndarray, mean: np.ndarray, error: np.ndarray, n_folds: int) -> None:
    """The held-out risk with the standard error of its gap to the least."""
    band: dict[str, Any] = {"color": COLORS["measured"], "alpha": 0.2, "linewidth": 0}
    axis.fill_between(dims, mean - error, mean + error, **band, label="1 s.e. of the gap to the least")
    axis.plot(dims, mean, color=COLORS["measured"], label=f"mean of {n_folds} folds")


def keep_valley(axis: Axes, mean: np.ndarray, error: np.ndarray, top: float, least: float, room: float) -> None:
    """Beyond a few times the useful range the curve only says "worse": keep the valley readable."""
    low = float((mean - error).min())
    span = max(top - low, least)
    axis.set_ylim(low - 0.08 * span, min(float((mean + error).max()), top + room * span) + 0.05 * span)


def draw_oracle_terms(axis: Axes, dims: np.ndarray, missed: np.ndarray, sampled: np.ndarray, label: str) -> None:
    """The two terms of the oracle inequality and, under the label, their sum."""
    axis.plot(dims, missed, "--", color=COLORS["other"], label=r"left out: $\sqrt{\mathrm{tail}_k}$")
    axis.plot(dims, sampled, "-.", color=COLORS["loose"], label=r"sampling: $2\sqrt{2k}\,\|E\|_2$")
    axis.plot(dims, missed + sampled, color=COLORS["measured"], label=label)


def mark_choice(
    axis: Axes, dims: np.ndarray, curve: np.ndarray, dim: int, marker: str, color: str, text: str, size: float = 7
) -> None:
    """A choice on its curve; of two at one place the larger, drawn first, shows as a frame."""
    style: dict[str, Any] = {"color": color, "ms": size, "mec": "white", "ls": "none", "zorder": 4}
    axis.plot([dim], curve[dims == dim], marker, label=f"{text}: k = {dim}", **style)


def legend_below(axis: Axes) -> Axes:
    """Below the panel a legend never hides a curve, whatever the data."""
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, columnspacing=1.2)
    return axis
