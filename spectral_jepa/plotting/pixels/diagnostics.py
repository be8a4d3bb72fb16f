"""Figures of the pixel world models; each function takes a tidy table (or pictures) and returns {file name: Figure}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from spectral_jepa._validation import InputError
from spectral_jepa.plotting.style import COLORS, band, new_figure, styled
from spectral_jepa.sweep.results import mean_band

VERSION_COLORS = {"clean": COLORS["exact"], "recoloured": COLORS["measured"], "teleported": COLORS["printed"]}
INPUT_COLORS = {
    "embedding": COLORS["measured"],
    "random encoder": COLORS["loose"],
    "pixels": "0.6",
    "other quantities": COLORS["chain"],
}
# Where a bar of R2 is cut.
_LEAST_R2 = -1.0
_LOG_SCALE = ("loss", "prediction", "validation_prediction", "whitening_gap")


@styled
def draw_training(log: pd.DataFrame) -> dict[str, Figure]:
    """Draw the curves of a training log, one panel a column that holds numbers, against ``step``.

    Parameters
    ----------
    log : DataFrame
        One row a logged step, as :class:`spectral_jepa.training.TrainingLog` writes it; a cell may be empty.

    Returns
    -------
    dict {"training": matplotlib Figure}
        Losses and the whitening gap on a log axis where they span more than a factor of ten.

    Raises
    ------
    InputError
        A log without ``step`` or without any number.

    Examples
    --------
    >>> log = pd.DataFrame({"step": [1, 2], "loss": [1.0, 0.5], "effective_rank": [3.0, 4.0]})
    >>> [axis.get_title() for axis in draw_training(log)["training"].axes]
    ['loss', 'effective rank']
    """
    names = [name for name in log.columns if name != "step" and pd.to_numeric(log[name], errors="coerce").notna().any()]
    if "step" not in log or not names:
        raise InputError(f"the log has columns {list(log.columns)}, expected step and at least one number: train first")
    n_columns = min(4, len(names))
    n_rows = -(-len(names) // n_columns)
    figure, axes = new_figure(n_rows, n_columns, width=2.9, height=2.2)
    for axis, name in zip(axes.flat, names, strict=False):
        values = pd.to_numeric(log[name], errors="coerce")
        kept = values.notna()
        # A single row would otherwise draw nothing.
        marker = "o" if kept.sum() < 3 else None
        axis.plot(log.loc[kept, "step"], values[kept], color=COLORS["measured"], lw=1.2, marker=marker)
        # Within a factor of ten, linear ticks read better.
        if name in _LOG_SCALE and 0 < 10 * values[kept].min() < values[kept].max():
            axis.set_yscale("log")
        axis.set(title=name.replace("_", " "), xlabel="step")
        axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    for axis in list(axes.flat)[len(names) :]:
        axis.remove()
    return {"training": figure}


@styled
def draw_probe(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw bars of the probes' R2 on held-out episodes: one panel a quantity, one bar an input and probe.

    Parameters
    ----------
    table : DataFrame
        As :func:`spectral_jepa.pixels.diagnostics.probe.probe` gives it; rows whose coordinate is not "mean" are left out.

    Returns
    -------
    dict {"probe": matplotlib Figure}
        A negative R2, worse than the mean, has a bar to the left; one below -1 ends there, with an arrow. Every bar has its
        number beside it.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "input": ["embedding", "pixels"], "probe": "linear", "quantity": "agent_position", "coordinate": "mean",
    ...     "r2": [0.9, -2.0]})
    >>> (axis,) = draw_probe(table)["probe"].axes
    >>> axis.get_title(), [float(bar.get_width()) for bar in axis.patches], [text.get_text() for text in axis.texts]
    ('agent position', [0.9, -1.0], ['0.900', '-2.000'])
    """
    means = table[table["coordinate"] == "mean"]
    quantities = list(dict.fromkeys(means["quantity"]))
    bars = list(dict.fromkeys(zip(means["input"], means["probe"], strict=True)))
    n_columns = min(3, len(quantities))
    n_rows = -(-len(quantities) // n_columns)
    figure, axes = new_figure(n_rows, n_columns, width=3.6, height=0.8 + 0.26 * len(bars))
    for axis, quantity in zip(axes.flat, quantities, strict=False):
        chosen = means[means["quantity"] == quantity].set_index(["input", "probe"])["r2"]
        for place, key in enumerate(bars):
            if key not in chosen.index:
                continue
            value, (name, kind) = float(chosen[key]), key
            hatch = "////" if kind == "mlp" else None
            color = INPUT_COLORS.get(name, COLORS["other"])
            if not np.isfinite(value):
                continue
            end = max(value, _LEAST_R2)
            axis.barh(place, end, color=color, hatch=hatch, edgecolor="white", height=0.8)
            # A bar near 0 has no width to see.
            axis.plot(end, place, marker="<" if value < _LEAST_R2 else "o", ms=3, color=color, clip_on=False)
            number = f"{value:.3f}" if value > -10 else f"{value:.0f}"
            axis.text(max(value, 0.0) + 0.03, place, number, va="center", fontsize=7.5)
        low = _LEAST_R2 - 0.05 if (chosen < 0).any() else 0.0
        axis.set(title=quantity.replace("_", " "), xlim=(low, 1.25), xlabel=r"$R^2$, held-out episodes")
        axis.set_xticks(np.arange(_LEAST_R2 if low else 0, 1.01, 0.5 if low else 0.25))
        axis.axvline(0, color="0.4", lw=0.8)
        axis.set_yticks(range(len(bars)), [f"{name}, {kind}" for name, kind in bars])
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
    for axis in list(axes.flat)[len(quantities) :]:
        axis.remove()
    return {"probe": figure}


@styled
def draw_surprise(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw the mean surprise of each version against the step, and the pairs at the perturbed frame.

    Parameters
    ----------
    table : DataFrame
        As :func:`spectral_jepa.pixels.diagnostics.surprise.surprise` gives it.

    Returns
    -------
    dict {"surprise": matplotlib Figure}
        Left: mean of the trajectories with 95 % bands. Right: perturbed against clean surprise at step 0, one point a
        trajectory and perturbation. All axes of surprise are logarithmic.

    Examples
    --------
    >>> rows = [(i, v, s, x * i) for i in (1, 3) for s in (-1, 0) for v, x in (("clean", 1.0), ("teleported", 2.0 + s))]
    >>> table = pd.DataFrame(rows, columns=["trajectory", "version", "step", "surprise"])
    >>> curves, pairs = draw_surprise(table)["surprise"].axes
    >>> {line.get_label(): line.get_ydata().tolist() for line in curves.lines[:2]}
    {'teleported': [2.0, 4.0], 'clean': [2.0, 2.0]}
    >>> pairs.lines[1].get_xydata().tolist()
    [[1.0, 2.0], [3.0, 6.0]]
    """
    figure, axes = new_figure(1, 2, width=4.2, height=3.0)
    curves, pairs = axes[0]
    # Clean last: before the perturbation the three are one curve.
    versions = [version for version in VERSION_COLORS if (table["version"] == version).any()]
    for version in [v for v in versions if v != "clean"] + ["clean"]:
        means = mean_band(table[table["version"] == version], by="step", value="surprise")
        # On a log axis the lower edge of a wide band may not reach 0.
        floor = max(float(means["mean"].min()) / 3, 1e-12)
        band(curves, means, "step", floor=floor, color=VERSION_COLORS[version], marker="o", label=version)
    curves.set_yscale("log")
    curves.axvline(0, color="0.6", lw=0.8, ls=":")
    curves.set(xlabel="frame after the perturbation", ylabel=r"surprise $\|g(z_t, a_t) - z_{t+1}\|^2 / D$")
    curves.xaxis.set_major_locator(MaxNLocator(integer=True))
    curves.set_title(f"Mean of {table['trajectory'].nunique()} trajectories, 95 % band")
    handles, labels = curves.get_legend_handles_labels()
    order = [labels.index(version) for version in versions]
    curves.legend([handles[i] for i in order], versions)
    _draw_pairs(pairs, table[table["step"] == 0])
    return {"surprise": figure}


def _draw_pairs(axis: Axes, table: pd.DataFrame) -> None:
    wide = table.pivot(index="trajectory", columns="version", values="surprise")
    high, low = float(wide.max().max()), max(float(wide.min().min()), 1e-12)
    axis.plot([low, high], [low, high], color="0.6", lw=0.8, ls=":", label="no difference")
    for version, color in VERSION_COLORS.items():
        if version != "clean" and version in wide:
            axis.plot(
                np.maximum(wide["clean"], low), np.maximum(wide[version], low), "o", color=color, alpha=0.6, label=version
            )
    axis.set(
        xscale="log", yscale="log", xlabel="clean", ylabel="perturbed", title="At the perturbed frame, one point a pair"
    )
    axis.legend()


@styled
def draw_spectrum(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw the eigenvalues of the latents' covariance, with the effective rank in the legend and the white level as a line.

    Parameters
    ----------
    table : DataFrame
        As :func:`spectral_jepa.pixels.diagnostics.latent_geometry.latent_geometry` gives it.

    Returns
    -------
    dict {"spectrum": matplotlib Figure}
        One curve an input, on a log axis; an eigenvalue below 1e-9 of the largest is drawn there.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "input": "embedding", "measure": ["effective_rank", "eigenvalue", "eigenvalue"], "index": [0, 1, 2],
    ...     "value": [1.7, 4.0, 1.0]})
    >>> curve = draw_spectrum(table)["spectrum"].axes[0].lines[0]
    >>> curve.get_label(), curve.get_ydata().tolist()
    ('embedding (effective rank 1.7)', [4.0, 1.0])
    """
    figure, axes = new_figure(1, 1, width=4.6, height=3.2)
    axis = axes[0, 0]
    for name, group in table.groupby("input", sort=False):
        values = group[group["measure"] == "eigenvalue"].sort_values("index")
        rank = float(group.loc[group["measure"] == "effective_rank", "value"].iloc[0])
        floor = max(float(values["value"].max()) * 1e-9, 1e-15)
        label = f"{name} (effective rank {rank:.1f})"
        color = INPUT_COLORS.get(str(name), COLORS["other"])
        axis.plot(values["index"], np.maximum(values["value"], floor), marker="o", color=color, label=label)
    axis.axhline(1, color="0.5", lw=0.8, ls=":", label="white: all 1")
    axis.set(yscale="log", xlabel="index i", ylabel="eigenvalue of the covariance", title="Spectrum of the latents")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend()
    return {"spectrum": figure}


@styled
def draw_rollouts(rollouts: Mapping[str, NDArray[np.uint8]], *, context: int, action_block: int = 1) -> dict[str, Figure]:
    """Picture strips, a figure a trajectory: one row a kind of frame, one column a time step.

    Parameters
    ----------
    rollouts : dict of uint8 arrays (n, T, H, W, 3)
        As :func:`spectral_jepa.pixels.diagnostics.decoder.rollout_frames` gives them.
    context : int
        Observed frames that the rollout starts from; predicted frames after them are framed.
    action_block : int
        Raw steps between frames, for the column titles.

    Returns
    -------
    dict {"rollout_0": matplotlib Figure, ...}
        n figures.

    Examples
    --------
    >>> pictures = {name: np.zeros((2, 3, 8, 8, 3), np.uint8) for name in ("observed", "predicted")}
    >>> figures = draw_rollouts(pictures, context=1, action_block=5)
    >>> sorted(figures), [axis.get_title() for axis in figures["rollout_1"].axes[:3]]
    (['rollout_0', 'rollout_1'], ['t = 0', 't = 5', 't = 10'])
    """
    figures = {}
    n, length = next(iter(rollouts.values())).shape[:2]
    for index in range(n):
        figure, axes = new_figure(len(rollouts), length, width=1.0, height=1.05)
        for row, (name, films) in enumerate(rollouts.items()):
            for column in range(length):
                _draw_picture(axes[row, column], films[index, column], predicted=name == "predicted" and column >= context)
                if row == 0:
                    axes[row, column].set_title(f"t = {column * action_block}", fontsize=8)
            axes[row, 0].set_ylabel(name, fontsize=8)
        figures[f"rollout_{index}"] = figure
    return figures


def _draw_picture(axis: Axes, picture: Any, *, predicted: bool) -> None:
    axis.imshow(picture, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    # Open-loop pictures are framed: nothing of what was observed after the context went into them.
    for spine in axis.spines.values():
        spine.set(visible=predicted, color=COLORS["printed"], linewidth=1.5)
