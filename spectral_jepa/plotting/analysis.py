"""The figure of a log's analysis: spectrum, held-out risk, and the two terms of the oracle inequality."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectral_jepa.logs.analysis import Analysis
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
def analysis_figure(analysis: Analysis) -> Figure:
    """Draw what a log says about its latent dimension, in three panels.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    matplotlib Figure
        Spectrum with its noise level; held-out risk with its band and both choices; tail term, sample term and their sum
        with the choice each noise level leads to. Save it with :func:`spectral_jepa.plotting.style.save_figure`.

    Examples
    --------
    >>> from spectral_jepa import make_block, sample_transitions
    >>> from spectral_jepa.logs.analysis import analyze
    >>> data = sample_transitions(make_block(n_states=30, n_blocks=3, seed=0), n_transitions=2_000, seed=0)
    >>> [axis.get_title() for axis in analysis_figure(analyze(data)).axes]
    ['Spectrum of the log', 'Held-out risk', 'Worst case: oracle inequality']
    """
    figure, axes = new_figure(1, 3, width=4.2, height=4.2)
    for axis, draw in zip(axes[0], (plot_log_spectrum, plot_held_out_risk, plot_oracle_terms), strict=True):
        draw(analysis, axis=axis)
    return figure


@styled
def plot_log_spectrum(analysis: Analysis, *, axis: Axes | None = None) -> Axes:
    """Plot the singular values of a log with their noise level.

    Parameters
    ----------
    analysis : Analysis
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> from spectral_jepa import analyze, make_block, sample_transitions
    >>> data = sample_transitions(make_block(n_states=30, n_blocks=3, seed=0), n_transitions=2_000, seed=0)
    >>> plot_log_spectrum(analyze(data)).get_title()
    'Spectrum of the log'
    """
    axis = own_axis(axis, height=4.2)
    values, level = analysis.singular_values, analysis.noise_level
    clear = np.arange(1, values.size + 1) <= analysis.n_above_noise
    index = np.arange(1, values.size + 1)
    axis.axhspan(0, level, color="0.88", linewidth=0, zorder=0)
    axis.axhline(level, color="0.45", linewidth=1, linestyle="--", label=f"noise level {level:.2f} (half-sample)")
    axis.plot(index, values, color=COLORS["measured"], linewidth=0.8, alpha=0.5)
    axis.plot(index[clear], values[clear], "o", color=COLORS["measured"], label=f"clear of it by 2 spreads: {clear.sum()}")
    axis.plot(index[~clear], values[~clear], "o", color=COLORS["measured"], markerfacecolor="white", label="not clear of it")
    axis.set(title="Spectrum of the log", ylabel="singular value (stacked matrix)", ylim=(0, 1.06))
    _label_index(axis, "index i", values.size)
    return legend_below(axis)


@styled
def plot_held_out_risk(analysis: Analysis, *, axis: Axes | None = None) -> Axes:
    """Plot the held-out risk of a log against the dimension, with its band and both choices.

    Parameters
    ----------
    analysis : Analysis
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> from spectral_jepa import analyze, make_block, sample_transitions
    >>> data = sample_transitions(make_block(n_states=30, n_blocks=3, seed=0), n_transitions=2_000, seed=0)
    >>> plot_held_out_risk(analyze(data)).get_title()
    'Held-out risk'
    """
    axis = own_axis(axis, height=4.2)
    dims, mean, error = analysis.dims, analysis.held_out_mean, analysis.held_out_error
    draw_held_out(axis, dims, mean, error, len(analysis.held_out_risk))
    axis.axhline(mean.min(), color="0.45", linewidth=0.8, linestyle=":")
    mark_choice(axis, dims, mean, analysis.one_standard_error_dim, "s", COLORS["tight"], "smallest within 1 s.e.", size=10)
    mark_choice(axis, dims, mean, analysis.held_out_dim, "o", COLORS["printed"], "least")
    axis.set(title="Held-out risk", ylabel=HELD_OUT_LABEL)
    keep_valley(axis, mean, error, top=float(max(mean[0], 0.0)), least=0.1, room=0.6)
    _label_index(axis, "latent dimension k", int(dims[-1]))
    return legend_below(axis)


@styled
def plot_oracle_terms(analysis: Analysis, *, axis: Axes | None = None) -> Axes:
    """Plot the two terms of the oracle inequality and their sum, with the choice each noise level leads to.

    Parameters
    ----------
    analysis : Analysis
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> from spectral_jepa import analyze, make_block, sample_transitions
    >>> data = sample_transitions(make_block(n_states=30, n_blocks=3, seed=0), n_transitions=2_000, seed=0)
    >>> plot_oracle_terms(analyze(data)).get_title()
    'Worst case: oracle inequality'
    """
    axis = own_axis(axis, height=4.2)
    dims = analysis.dims
    missed, sampled = analysis.oracle_terms()
    bernstein = sum(analysis.oracle_terms(bernstein=True))
    draw_oracle_terms(axis, dims, missed, sampled, "sum, half-sample noise")
    axis.plot(dims, bernstein, color=COLORS["chain"], label="sum, Bernstein noise")
    mark_choice(axis, dims, missed + sampled, analysis.oracle_dim(), "o", COLORS["measured"], "least")
    mark_choice(axis, dims, np.asarray(bernstein), analysis.oracle_dim(bernstein=True), "o", COLORS["chain"], "least")
    axis.set(title="Worst case: oracle inequality", ylabel=r"bound on $\sqrt{R_S}$", yscale="log")
    positive = np.concatenate([missed[missed > 1e-3], sampled[sampled > 1e-3], [1.0]])
    axis.set_ylim(0.7 * positive.min(), 2 * max(float(np.max(bernstein)), 1.0))
    _label_index(axis, "latent dimension k", int(dims[-1]))
    return legend_below(axis)


def _label_index(axis: Axes, label: str, largest: int) -> None:
    axis.set_xlabel(label)
    if largest <= 24:
        step = 1 + largest // 9
        axis.set_xticks(np.unique([1, *range(step, largest + 1, step)]))
    else:
        axis.set_xscale("log", base=2)
        ticks = 2 ** np.arange(int(np.log2(largest)) + 1)
        axis.set_xticks(ticks, [str(t) for t in ticks])
