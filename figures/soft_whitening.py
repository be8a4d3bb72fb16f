"""Draw ``soft_whitening``: the phase diagram of collapse, found and predicted, then every world and every direction."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm, ListedColormap

from spectral_jepa.plotting.finding import finish, label_at, talk_version
from spectral_jepa.plotting.style import COLORS, new_figure, styled

MARKERS = "osD^vP"


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figure, axes = new_figure(1, 3, width=4.4, height=3.9)
    regular = table[table["family"] == "autoregressive"]
    phase_panel(axes[0, 0], regular)
    axes[0, 0].set_title("phase diagram, AR(1) worlds")
    rank_panel(axes[0, 1], table[table["family"] != "autoregressive"])
    scale_panel(axes[0, 2], table)
    ends = table[table["index"] == 1]
    agree = int((ends["found_rank"] == ends["predicted_rank"]).sum())
    finish(
        figure,
        f"Soft whitening loses every direction with $s^2 \\leq 1 - 2\\lambda$: {agree:,} of {len(ends):,} descents from "
        f"random starts end at the predicted rank, values within {ends['gap'].abs().max():.0e}.",
        "Colours and marks: found by descent; lines: predicted. Middle: worlds that coincide are drawn a little apart.",
    )
    talk = talk_version(
        f"A penalty $\\lambda$ keeps what is predictable: {agree:,} of {len(ends):,} descents end at the predicted rank.",
        phase_panel,
        regular,
        note="Colour: rank found; red: predicted boundaries.",
    )
    return {"soft_whitening": figure, "soft_whitening_talk": talk}


def phase_panel(axis, part):
    """Found rank as colour, the predicted boundaries as lines, over the penalty and the correlation of an AR(1) world."""
    dim = int(part["dim"].iloc[0])
    found = part[part["index"] == 1].groupby(["correlation", "penalty"])["found_rank"].median().unstack("penalty")
    penalties, correlations = found.columns.to_numpy(float), found.index.to_numpy(float)
    colors = ListedColormap(colormaps["viridis"](np.linspace(0.1, 1, dim)))
    mesh = axis.pcolormesh(
        penalties, correlations, found.to_numpy(float), cmap=colors, norm=BoundaryNorm(np.arange(dim + 1) + 0.5, dim)
    )
    edges = axis.get_xlim(), axis.get_ylim()
    curve = np.linspace(1e-3, 0.999, 500)
    for i in range(1, dim):
        threshold = (1 - curve ** (2 * i)) / 2
        axis.plot(threshold, curve, color="w", lw=2)
        axis.plot(threshold, curve, color=COLORS["printed"], lw=1)
    axis.set(xlim=edges[0], ylim=edges[1])
    axis.grid(False)
    bar = axis.figure.colorbar(mesh, ax=axis, ticks=range(1, dim + 1), pad=0.02)
    bar.set_label(f"rank found (of k = {dim})")
    label_at(axis, "predicted boundaries", (0.3, np.sqrt(0.4)), color="k", shift=(-6, -8), ha="right", va="top")
    axis.set_xlabel(r"whitening penalty $\lambda$")
    axis.set_ylabel(r"correlation $\varrho$ of the world, $s_i = \varrho^{\,i-1}$")


def rank_panel(axis, part):
    """Found ranks as markers on the predicted step of each named world."""
    families = list(dict.fromkeys(part["family"]))
    palette = [COLORS[name] for name in ("measured", "tight", "loose", "printed", "chain", "other")]
    for shift, (family, color, marker) in enumerate(zip(families, palette, MARKERS, strict=False)):
        rows = part[part["family"] == family]
        # Staircases that coincide are told apart by a small offset.
        offset = 0.07 * (shift - (len(families) - 1) / 2)
        values = rows.groupby("index")["singular_value"].first().to_numpy(float)
        # Direction i enters at (1 - s_i^2) / 2.
        steps = np.concatenate([[0], (1 - values**2) / 2, [0.5 + 0.1]])
        axis.stairs(np.arange(len(values) + 1) + offset, np.maximum.accumulate(steps), baseline=None, color=color, lw=1.3)
        ends = rows[rows["index"] == 1]
        axis.plot(ends["penalty"], ends["found_rank"] + offset, ls="", marker=marker, ms=4, color=color, label=family)
    axis.axvline(0.5, color="0.5", lw=0.8, ls=":")
    axis.set_xlim(0, 0.6)
    axis.set_ylim(0.6, len(values) + 0.6)
    axis.set_xlabel(r"whitening penalty $\lambda$")
    axis.set_ylabel("rank of $E[f f^T]$")
    axis.set_title("named worlds: found (markers), predicted (lines)")
    axis.legend(loc="upper left", handletextpad=0.2)


def scale_panel(axis, table):
    """Found squared scales against s^2, on the predicted ramps."""
    have = np.sort(table["penalty"].unique())
    shown = [have[np.abs(have - wanted).argmin()] for wanted in (0.105, 0.255, 0.405, 0.555)]
    colors = colormaps["viridis_r"](np.linspace(0.2, 0.95, len(shown)))
    square = np.linspace(0, 1, 401)
    for penalty, color in zip(shown, colors, strict=True):
        rows = table[table["penalty"] == penalty]
        ramp = np.maximum(0, 1 - (1 - square) / (2 * penalty))
        axis.plot(square, ramp, color=color, lw=1.2, label=rf"$\lambda$ = {penalty:g}", zorder=1)
        axis.plot(rows["singular_value"] ** 2, rows["found_scale"], ls="", marker="o", ms=3.5, color=color)
    axis.set_xlabel("$s_i^2$, share of the direction that is predictable")
    axis.set_ylabel("squared scale $d_i^2$ found")
    axis.set_title("scales: found (dots), predicted (lines)")
    axis.legend(loc="upper left", handlelength=1.2)
