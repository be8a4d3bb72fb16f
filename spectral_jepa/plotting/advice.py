"""The figure of advice on a latent space: spectrum with limits, held-out risk, and the oracle inequality."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectral_jepa.advice.advising import Advice
from spectral_jepa.plotting._risk_curves import (
    HELD_OUT_LABEL,
    draw_held_out,
    draw_oracle_terms,
    keep_valley,
    legend_below,
    mark_choice,
)
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
    return legend_below(axis)


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
    draw_held_out(axis, dims, mean, error, len(advice.held_out_risk))
    mark_choice(axis, dims, mean, advice.recommended_dim, "s", COLORS["tight"], "recommended", size=10)
    mark_choice(axis, dims, mean, advice.held_out_dim, "o", COLORS["printed"], "least")
    axis.set(title="Held-out risk", ylabel=HELD_OUT_LABEL)
    keep_valley(axis, mean, error, top=float((mean + error)[0]), least=0.05, room=0.4)
    _index(axis, "number of directions k", 0, int(dims[-1]))
    return legend_below(axis)


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
    draw_oracle_terms(axis, dims, missed, sampled, "sum")
    axis.axhline(np.sqrt(advice.energy), color="0.45", lw=0.8, ls=":", label="the constant alone: above, vacuous")
    mark_choice(axis, dims, missed + sampled, advice.oracle_dim, "o", COLORS["measured"], "least")
    axis.set(title="Worst case: oracle inequality", ylabel=r"bound on $\sqrt{\mathrm{risk}}$")
    top = max(2.2 * float(np.sqrt(advice.energy)), 1.2 * float((missed + sampled).min()), 0.1)
    axis.set_ylim(-0.03 * top, top)
    _index(axis, "number of directions k", 0, int(dims[-1]))
    return legend_below(axis)


def _index(axis: Axes, label: str, first: int, last: int) -> None:
    axis.set_xlabel(label)
    step = 1 + (last - first) // 9
    axis.set_xticks(np.unique([first, *range(max(step, 1), last + 1, step)]))
