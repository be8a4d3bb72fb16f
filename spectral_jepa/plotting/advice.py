"""The figure of advice on a latent space: spectrum with limits, held-out risk, and the oracle inequality."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectral_jepa.advice.advising import Advice
from spectral_jepa.plotting.style import COLORS, new_figure, own_axis, styled


@styled
def advice_figure(advice: Advice, title: str = "") -> Figure:
    """Draw what latents say about the dimension they support, in three panels.

    Parameters
    ----------
    advice : Advice
    title : str
        What the latents are of, above the recommendation.

    Returns
    -------
    matplotlib Figure
        Canonical correlations with their limits; held-out risk with its band and both choices; the oracle inequality with
        its two terms. Save it with :func:`spectral_jepa.plotting.style.save_figure`.

    Examples
    --------
    >>> from spectral_jepa.advice import advise
    >>> z = np.random.default_rng(0).standard_normal((500, 3))
    >>> [axis.get_title() for axis in advice_figure(advise(z[:-1], z[1:])).axes]
    ['Latent transition operator', 'Held-out risk', 'Worst case: oracle inequality']
    """
    figure, axes = new_figure(1, 3, width=4.2, height=4.0)
    for axis, draw in zip(axes[0], (plot_correlations, plot_risk, plot_worst_case), strict=True):
        draw(advice, axis=axis)
    k, n = advice.recommended_dim, advice.recommended_subspaces
    words = f"k = {k} of now {advice.dim}" + ("" if n is None else f", K = {n}")
    figure.suptitle(f"{title}: {words}" if title else words, size=11)
    return figure


@styled
def plot_correlations(advice: Advice, *, axis: Axes | None = None) -> Axes:
    """Plot the leading canonical correlations with their limits.

    Parameters
    ----------
    advice : Advice
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> from spectral_jepa.advice import advise
    >>> z = np.random.default_rng(0).standard_normal((500, 3))
    >>> plot_correlations(advise(z[:-1], z[1:])).get_title()
    'Latent transition operator'
    """
    axis = own_axis(axis, height=4.0)
    index, clear = np.arange(1, advice.estimate.size + 1), advice.low > 0
    axis.vlines(index, advice.low, advice.high, color=COLORS["measured"], alpha=0.45, lw=2, label="limits")
    style: dict[str, Any] = {"color": COLORS["measured"], "ls": "none", "ms": 4}
    axis.plot(index[clear], advice.estimate[clear], "o", **style, label=f"estimate, clear of 0: {advice.n_clear}")
    axis.plot(index[~clear], advice.estimate[~clear], "o", **style, mfc="white", label="estimate, not clear of 0")
    axis.plot(index, advice.in_sample, "_", color="0.45", ls="none", ms=5, label="in the sample (too high)")
    axis.set(title="Latent transition operator", ylabel="canonical correlation", ylim=(-0.03, 1.03))
    _index(axis, "direction i (the constant not counted)", 1, int(index[-1]))
    return _explain(axis)


@styled
def plot_risk(advice: Advice, *, axis: Axes | None = None) -> Axes:
    """Plot the held-out risk against the number of directions.

    Parameters
    ----------
    advice : Advice
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> from spectral_jepa.advice import advise
    >>> z = np.random.default_rng(0).standard_normal((500, 3))
    >>> plot_risk(advise(z[:-1], z[1:])).get_title()
    'Held-out risk'
    """
    axis = own_axis(axis, height=4.0)
    dims, mean, error = advice.dims, advice.held_out_mean, advice.held_out_error
    band: dict[str, Any] = {"color": COLORS["measured"], "alpha": 0.2, "linewidth": 0}
    axis.fill_between(dims, mean - error, mean + error, **band, label="1 s.e. of the gap to the least")
    axis.plot(dims, mean, color=COLORS["measured"], label=f"mean of {len(advice.held_out_risk)} folds")
    _mark(axis, dims, mean, advice.recommended_dim, "s", COLORS["tight"], "recommended", size=10)
    _mark(axis, dims, mean, advice.held_out_dim, "o", COLORS["printed"], "least")
    axis.set(title="Held-out risk", ylabel=r"$-2\,E\,[g^\top f_+] + E\,[(g^\top f\,')^2]$")
    # Beyond a few times the useful range the curve only says "worse": keep the valley readable.
    low, top = float((mean - error).min()), float((mean + error)[0])
    span = max(top - low, 0.05)
    axis.set_ylim(low - 0.08 * span, min(float((mean + error).max()), top + 0.4 * span) + 0.05 * span)
    _index(axis, "number of directions k", 0, int(dims[-1]))
    return _explain(axis)


@styled
def plot_worst_case(advice: Advice, *, axis: Axes | None = None) -> Axes:
    """Plot the two terms of the oracle inequality and their sum, beside the risk of the constant alone.

    Parameters
    ----------
    advice : Advice
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> from spectral_jepa.advice import advise
    >>> z = np.random.default_rng(0).standard_normal((500, 3))
    >>> plot_worst_case(advise(z[:-1], z[1:])).get_title()
    'Worst case: oracle inequality'
    """
    axis = own_axis(axis, height=4.0)
    dims = advice.dims
    missed, sampled = advice.oracle_terms()
    axis.plot(dims, missed, "--", color=COLORS["other"], label=r"left out: $\sqrt{\mathrm{tail}_k}$")
    axis.plot(dims, sampled, "-.", color=COLORS["loose"], label=r"sampling: $2\sqrt{2k}\,\|E\|_2$")
    axis.plot(dims, missed + sampled, color=COLORS["measured"], label="sum")
    axis.axhline(np.sqrt(advice.energy), color="0.45", lw=0.8, ls=":", label="the constant alone: above, vacuous")
    _mark(axis, dims, missed + sampled, advice.oracle_dim, "o", COLORS["measured"], "least")
    axis.set(title="Worst case: oracle inequality", ylabel=r"bound on $\sqrt{\mathrm{risk}}$")
    top = max(2.2 * float(np.sqrt(advice.energy)), 1.2 * float((missed + sampled).min()), 0.1)
    axis.set_ylim(-0.03 * top, top)
    _index(axis, "number of directions k", 0, int(dims[-1]))
    return _explain(axis)


def _mark(
    axis: Axes, x: np.ndarray, curve: np.ndarray, at: int, marker: str, color: str, text: str, size: float = 7
) -> None:
    style: dict[str, Any] = {"color": color, "ms": size, "mec": "white", "ls": "none", "zorder": 4}
    axis.plot([at], curve[x == at], marker, label=f"{text}: k = {at}", **style)


def _explain(axis: Axes) -> Axes:
    # Below the panel, a legend never hides a curve.
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, columnspacing=1.2)
    return axis


def _index(axis: Axes, label: str, first: int, last: int) -> None:
    axis.set_xlabel(label)
    step = 1 + (last - first) // 9
    axis.set_xticks(np.unique([first, *range(max(step, 1), last + 1, step)]))
