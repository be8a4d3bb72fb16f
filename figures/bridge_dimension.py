"""Draw ``bridge_dimension``: error, bound and regret over the latent dimension, pixels beside the SVD of the same data."""

import numpy as np
from matplotlib.figure import Figure

from spectral_jepa.plotting.style import COLORS, styled

LOOKS = {
    "pixels": ("trained on pictures", "measured", "-", "o"),
    "SVD, same data": ("SVD of the same transitions", "loose", "--", "s"),
    "SVD, exact": ("exact SVD (the tail)", "exact", ":", ""),
}
ROWS = {"risk": "spectral risk of the model", "reward_regret": "reward regret (share of the best return)",
        "ahead_regret": "goal regret, 3 steps (probability)", "bound": "bound on the 1-step goal regret"}  # fmt: skip


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}, one a world."""
    table = table[table["status"] == "ok"] if "status" in table else table
    return {
        f"bridge_dimension_{world.replace(' ', '_')}": world_figure(world, part) for world, part in table.groupby("world")
    }


def world_figure(world, part):
    """One column a size of data."""
    sizes = sorted(part["transitions"].unique())
    figure = Figure(figsize=(3.6 * len(sizes), 2.5 * len(ROWS) + 0.6), layout="constrained")
    axes = figure.subplots(len(ROWS), len(sizes), sharex=True, squeeze=False)
    best = []
    for column, size in enumerate(sizes):
        own = part[part["transitions"] == size]
        for axis, (name, label) in zip(axes[:, column], ROWS.items(), strict=True):
            lines(axis, own, name)
            axis.set_ylim(bottom=0)
            if column == 0:
                axis.set_ylabel(label)
        mean = own[own["method"] == "pixels"].groupby("dim")["risk"].mean()
        best.append(f"{int(mean.idxmin())}")
        axes[0, column].plot(mean.idxmin(), mean.min(), marker="*", ms=12, color=COLORS["printed"], ls="")
        axes[0, column].set_title(f"{size:,} transitions")
        axes[-1, column].set_xlabel("latent dimension $k$")
    axes[0, 0].legend()
    figure.suptitle(
        f"{world} from pictures: the error is least (star) at k = {', '.join(best)} as data grow; the SVD of the same data "
        "turns at the same places",
        size=11,
    )
    return figure


def lines(axis, rows, column):
    """Mean over seeds, with all seeds as a band."""
    for method, (label, color, line, marker) in LOOKS.items():
        of_dim = rows[rows["method"] == method].groupby("dim")[column]
        mean = of_dim.mean()
        axis.plot(mean.index, mean, ls=line, marker=marker, color=COLORS[color], label=label)
        axis.fill_between(mean.index, of_dim.min(), of_dim.max(), color=COLORS[color], alpha=0.15, lw=0)
    axis.set_xscale("log")
    dims = np.array(sorted(rows["dim"].unique()))
    axis.set_xticks(dims, dims)
    axis.minorticks_off()
