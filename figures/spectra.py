"""Draw ``spectra``: singular values of every family, closed forms overlaid."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from spectral_jepa.plotting.style import COLORS, new_figure, styled

N_COLUMNS = 5


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    families = list(dict.fromkeys(table["family"]))
    figure, axes = new_figure(int(np.ceil(len(families) / N_COLUMNS)), N_COLUMNS, width=2.6, height=2.2)
    for axis, family in zip(axes.ravel(), families, strict=False):
        part = table[table["family"] == family].sort_values("index")
        n = int(part["n_per_action"].iloc[0])
        axis.plot(part["index"], part["sampled"], color=COLORS["other"], label=f"counts, {n:,} transitions", zorder=1)
        axis.plot(part["index"], part["exact"], color=COLORS["exact"], marker="o", ls="", label="exact", zorder=2)
        closed = part.dropna(subset=["closed_form"])
        if len(closed):
            axis.plot(
                closed["index"],
                closed["closed_form"].astype(float),
                color=COLORS["printed"],
                marker="x",
                ms=5,
                ls="",
                zorder=3,
            )
        axis.set_title(f"{family}  ({part['n_states'].iloc[0]} states)", fontsize=8)
        axis.set_ylim(-0.03, 1.05)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for axis in axes.ravel()[len(families) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("index i")
    for axis in axes[:, 0]:
        axis.set_ylabel("singular value")
    axes[0, 0].plot([], [], color=COLORS["printed"], marker="x", ms=5, ls="", label="closed form")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return {"spectra": figure}
