"""Draw ``bridge_order``: how much of each group of singular functions a pixel encoder spans, through training."""

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from spectral_jepa.plotting.style import COLORS, styled

METHODS = {"whitening": "whitening", "SIGReg": "SIGReg as published", "autoencoder": "autoencoding world model"}
# Groups shown: those a latent space of 8 has room for, and the next ones.
N_GROUPS = 5
BARS = {
    "whitening": ("pixels, whitening", "measured"),
    "SIGReg": ("pixels, SIGReg", "other"),
    "autoencoder": ("pixels, autoencoder", "chain"),
    "whitening, untrained": ("pixels, untrained", "loose"),
    "PCA of pixels": ("PCA of the pixels", "printed"),
    "tabular JEPA, whitening": ("table, whitening", "tight"),
    "SVD, same data": ("SVD of the same data", "exact"),
}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    worlds = list(dict.fromkeys(table["world"]))
    figure = Figure(figsize=(15.5, 3.6 * len(worlds)), layout="constrained")
    axes = figure.subplots(len(worlds), len(METHODS) + 2, squeeze=False)
    for row, world in zip(axes, worlds, strict=True):
        part = table[table["world"] == world]
        for axis, (method, title) in zip(row, METHODS.items(), strict=False):
            curves(axis, part[part["method"] == method])
            axis.set_title(title)
        row[0].set_ylabel(f"{world}\nshare of the functions in the span, $R^2$")
        if row[0].lines:
            row[0].legend(title="singular value (functions)", title_fontsize=7.5, loc="upper left")
        bars(row[-2], part, "correlation", "mean canonical correlation\nwith the leading functions")
        bars(row[-1], part, "ahead_regret", "goal regret, three steps ahead\n(probability)")
        row[-1].set_yticklabels([])
    ends = table[(table["group"] == 0) & (table["arm"] == "whitening")]["correlation"]
    figure.suptitle(
        f"Whitened JEPAs learn the leading singular functions of the world from pictures (mean canonical correlation "
        f"at least {np.floor(100 * ends.min()) / 100:.2f} of 1 in all {len(ends)} runs), larger singular values first;\n"
        "lines: means over seeds, bands: all seeds",
        size=11,
    )
    return {"bridge_order": figure}


def curves(axis, part):
    """Share of each group over the steps."""
    part = part[part["group"].between(1, N_GROUPS)]
    axis.set_ylim(0, 1.02)
    if part.empty:
        return
    colors = mpl.colormaps["viridis"](np.linspace(0, 0.9, N_GROUPS))
    for number, rows in part.groupby("group"):
        of_step = rows.groupby("step")["share"]
        label = f"{rows['value'].iloc[0]:.2f} ({int(rows['size'].iloc[0])})"
        axis.plot(of_step.mean(), color=colors[int(number) - 1], label=label)
        axis.fill_between(of_step.min().index, of_step.min(), of_step.max(), color=colors[int(number) - 1], alpha=0.15, lw=0)
    axis.set_xscale("symlog", linthresh=10)
    axis.set_xlim(0, part["step"].max())
    axis.set_xlabel("step of training")


def bars(axis, part, column, label):
    """One bar an encoder, a dot a seed."""
    for place, (arm, (_, color)) in enumerate(BARS.items()):
        values = part[(part["group"] == 0) & (part["arm"] == arm)][column].to_numpy()
        axis.barh(place, values.mean() if len(values) else 0, color=COLORS[color], alpha=0.75)
        axis.plot(values, np.full(len(values), place), ls="", marker="o", color="0.15", ms=2.5)
    axis.set_yticks(range(len(BARS)), [name for name, _ in BARS.values()])
    axis.invert_yaxis()
    axis.set_title(label)
    axis.set_xlim(left=0)
