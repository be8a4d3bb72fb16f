"""The small figures of the command line: ``demo`` and ``spectrum``."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spectral_jepa._validation import Array
from spectral_jepa.plotting.finding import finish
from spectral_jepa.plotting.style import COLORS, WORDS, dimension_axis, new_figure, own_axis, styled

# Share of the squared singular values that the title of a spectrum counts directions for.
CARRIED = 0.99


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
    plot_error(table, axis=axes[0, 0])
    plot_regret(table, axis=axes[0, 1])
    error, regret = (int(table["k"].iloc[int(np.argmin(table[name]))]) for name in ("pretraining error", "goal regret"))
    holds = bool((table["bound"] >= table["goal regret"]).all())
    return finish(
        figure,
        f"The error is least at k = {error}, the regret at k = {regret}; the bound {'holds' if holds else 'fails'}.",
        "The tail is the error of infinite data. A regret below 1e-5 is drawn there.",
    )


@styled
def plot_error(table: pd.DataFrame, *, axis: Axes | None = None) -> Axes:
    """Plot tail and pretraining error against the dimension.

    Parameters
    ----------
    table : DataFrame
        One row a dimension, columns k, tail (N = inf), pretraining error.
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> table = pd.DataFrame({"k": [1, 2], "tail (N = inf)": [0.5, 0.0], "pretraining error": [0.6, 0.2]})
    >>> [line.get_ydata().tolist() for line in plot_error(table).lines]
    [[0.5, 0.0], [0.6, 0.2]]
    """
    error = own_axis(axis)
    error.plot(table["k"], table["tail (N = inf)"], color=COLORS["exact"], ls="--", label="tail (infinite data)")
    error.plot(table["k"], table["pretraining error"], color=COLORS["measured"], marker="o", label="measured")
    error.set_ylabel(r"pretraining error $\max_a R_S(a)$")
    dimension_axis(error, table["k"])
    error.legend()
    return error


@styled
def plot_regret(table: pd.DataFrame, *, axis: Axes | None = None) -> Axes:
    """Plot regret and its bound against the dimension on a log axis, where a regret below 1e-5 is drawn at 1e-5.

    Parameters
    ----------
    table : DataFrame
        One row a dimension, columns k, goal regret, bound.
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> table = pd.DataFrame({"k": [1, 2], "goal regret": [0.1, 0.0], "bound": [1.0, 0.4]})
    >>> [line.get_ydata().tolist() for line in plot_regret(table).lines]
    [[1.0, 0.4], [0.1, 1e-05]]
    """
    regret = own_axis(axis)
    regret.plot(table["k"], table["bound"], color=COLORS["tight"], marker="s", label="corrected bound")
    regret.plot(table["k"], np.maximum(table["goal regret"], 1e-5), color=COLORS["measured"], marker="o", label="measured")
    regret.set_ylabel(WORDS["goal regret"])
    regret.set_yscale("log")
    dimension_axis(regret, table["k"])
    regret.legend()
    return regret


@styled
def spectrum_figure(name: str, per_action: Array, stacked: Array) -> Figure:
    """Draw the singular values of every action and of the stack, and the tails they leave.

    Parameters
    ----------
    name : str
        Of the world: the title's first word.
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
    plot_spectrum(per_action, stacked, axis=axes[0, 0])
    plot_tails(per_action, stacked, axis=axes[0, 1])
    energy = np.cumsum(stacked**2) / np.sum(stacked**2)
    k = int(np.searchsorted(energy, CARRIED)) + 1
    return finish(
        figure,
        f"{name}: {k} of {len(stacked)} directions carry {CARRIED:.0%} of the squared singular values.",
        "Blue: an action each; black: one encoder for all actions.",
    )


@styled
def plot_spectrum(per_action: Array, stacked: Array, *, axis: Axes | None = None) -> Axes:
    """Plot the singular values of every action and of the stack against their index.

    Parameters
    ----------
    per_action : array (A, n)
        Singular values of each action, descending, as :func:`spectral_jepa.spectrum` gives them.
    stacked : array (n,)
        Those of the stacked matrix.
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> axis = plot_spectrum(np.array([[1.0, 0.5]]), np.array([1.0, 0.4]))
    >>> [line.get_ydata().tolist() for line in axis.lines]
    [[1.0, 0.5], [1.0, 0.4]]
    """
    values = own_axis(axis)
    index = np.arange(1, len(stacked) + 1)
    for i, row in enumerate(per_action):
        label = "each action" if i == 0 else None
        values.plot(index, row, color=COLORS["measured"], alpha=0.5, marker="o", lw=0.8, label=label)
    values.plot(index, stacked, color=COLORS["exact"], marker="o", label="shared encoder (stacked)")
    values.set_ylabel("singular value")
    values.set_ylim(-0.03, 1.05)
    values.set_xlabel("index i")
    values.xaxis.set_major_locator(MaxNLocator(integer=True))
    values.legend()
    return values


@styled
def plot_tails(per_action: Array, stacked: Array, *, axis: Axes | None = None) -> Axes:
    """Plot tail_k, the sum of the squared singular values beyond k, against k.

    Parameters
    ----------
    per_action : array (A, n)
        Singular values of each action, descending.
    stacked : array (n,)
        Those of the stacked matrix.
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> axis = plot_tails(np.array([[1.0, 0.5]]), np.array([1.0, 0.5]))
    >>> axis.lines[1].get_ydata().tolist()
    [0.25, 0.0]
    """
    tails = own_axis(axis)
    index = np.arange(1, len(stacked) + 1)
    for i, row in enumerate(per_action):
        label = "each action" if i == 0 else None
        tails.plot(index, _tails(row), color=COLORS["measured"], alpha=0.5, lw=0.8, label=label)
    tails.plot(index, _tails(stacked), color=COLORS["exact"], label="shared encoder (stacked)")
    tails.set_ylabel(r"approximation error $\mathrm{tail}_k$")
    tails.set_xlabel(WORDS["dimension"])
    tails.xaxis.set_major_locator(MaxNLocator(integer=True))
    tails.legend()
    return tails


def _tails(values: Array) -> Array:
    return np.sum(values**2) - np.cumsum(values**2)
