"""The small figures of the command line: ``demo`` and ``spectrum``."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spectral_jepa._validation import Array
from spectral_jepa.plotting.style import COLORS, dimension_axis, new_figure, styled


@styled
def demo_figure(table: pd.DataFrame) -> Figure:
    """Tail, pretraining error, regret and its bound against the dimension; columns as ``spectral-jepa demo`` prints them."""
    figure, axes = new_figure(1, 2, width=4.2, height=3.2)
    error, regret = axes[0]
    error.plot(table["k"], table["tail (N = inf)"], color=COLORS["exact"], ls="--", label="tail (infinite data)")
    error.plot(table["k"], table["pretraining error"], color=COLORS["measured"], marker="o", label="measured")
    error.set_ylabel(r"pretraining error $\max_a R_S(a)$")
    regret.plot(table["k"], table["bound"], color=COLORS["tight"], marker="s", label="corrected bound")
    regret.plot(table["k"], np.maximum(table["goal regret"], 1e-5), color=COLORS["measured"], marker="o", label="measured")
    regret.set_ylabel("goal regret (probability)")
    regret.set_yscale("log")
    for axis in (error, regret):
        dimension_axis(axis, table["k"])
        axis.legend()
    return figure


@styled
def spectrum_figure(name: str, per_action: Array, stacked: Array) -> Figure:
    """Singular values of every action and of the stack, and the tails they leave."""
    figure, axes = new_figure(1, 2, width=4.2, height=3.2)
    index = np.arange(1, len(stacked) + 1)
    values, tails = axes[0]
    for i, row in enumerate(per_action):
        label = "each action" if i == 0 else None
        values.plot(index, row, color=COLORS["measured"], alpha=0.5, marker="o", lw=0.8, label=label)
        tails.plot(index, _tails(row), color=COLORS["measured"], alpha=0.5, lw=0.8, label=label)
    values.plot(index, stacked, color=COLORS["exact"], marker="o", label="shared encoder (stacked)")
    tails.plot(index, _tails(stacked), color=COLORS["exact"], label="shared encoder (stacked)")
    values.set_ylabel("singular value")
    values.set_ylim(-0.03, 1.05)
    tails.set_ylabel(r"approximation error $\mathrm{tail}_k$")
    tails.set_xlabel("latent dimension k")
    values.set_xlabel("index i")
    for axis in (values, tails):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend()
    figure.suptitle(name)
    return figure


def _tails(values: Array) -> Array:
    return np.sum(values**2) - np.cumsum(values**2)
