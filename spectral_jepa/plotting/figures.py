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
    """Draw tail, pretraining error, regret and its bound against the dimension.

    Parameters
    ----------
    table : DataFrame
        One row a dimension, columns as ``spectral-jepa demo`` prints them: k, tail (N = inf), pretraining error, goal
        regret, bound.

    Returns
    -------
    matplotlib Figure
        Left: tail and error. Right: regret and bound on a log axis, where a regret below 1e-5 is drawn at 1e-5.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "k": [1, 2], "tail (N = inf)": [0.5, 0.0], "pretraining error": [0.6, 0.2], "goal regret": [0.1, 0.0],
    ...     "bound": [1.0, 0.4]})
    >>> left, right = demo_figure(table).axes
    >>> left.lines[0].get_ydata().tolist(), right.lines[1].get_ydata().tolist()
    ([0.5, 0.0], [0.1, 1e-05])
    """
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
    """Draw the singular values of every action and of the stack, and the tails they leave.

    Parameters
    ----------
    name : str
        Of the world: the title.
    per_action : array (A, n)
        Singular values of each action, descending.
    stacked : array (n,)
        Those of the stacked matrix, which one encoder for all actions faces.

    Returns
    -------
    matplotlib Figure
        Left: singular value against index i. Right: tail_k, the sum of the squares beyond k, against k.

    Examples
    --------
    >>> values, tails = spectrum_figure("one action", np.array([[1.0, 0.5]]), np.array([1.0, 0.5])).axes
    >>> tails.lines[0].get_ydata().tolist()
    [0.25, 0.0]
    """
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
