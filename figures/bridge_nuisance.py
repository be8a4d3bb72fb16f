"""Draw ``bridge_nuisance``: a tile a background, shaded by what the optimum sees of the task, a dot a trained run."""

import numpy as np
from matplotlib.figure import Figure

from spectral_jepa.plotting.style import styled

PANELS = {
    "latent": "JEPA, whitened (optimum: the predictable)",
    "autoencoder": "autoencoding model (optimum: the loud)",
    "regression": "predicted pictures (optimum: the product)",
}
COLORMAP = "viridis"


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    table = table[table["n_steps"] == table.loc[table["arm"] == "autoencoder", "n_steps"].max()]
    figure = Figure(figsize=(11.5, 4.3), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for axis, (arm, title) in zip(axes, PANELS.items(), strict=True):
        tiles(axis, table[table["arm"] == arm])
        axis.set_title(title)
    axes[0].set_ylabel("loudness of the background")
    shades = figure.colorbar(axes[0].images[0], ax=axes, fraction=0.03, pad=0.01)
    shades.set_label("share of the task's functions that is kept")
    jepa, pictures = (table[table["arm"] == arm] for arm in ("latent", "autoencoder"))
    figure.suptitle(
        "Trained on pixels a JEPA filters a background that nobody can predict "
        f"({task_kept(jepa, 0.0, 0.8)} runs keep the task at loudness .8; autoencoder {task_kept(pictures, 0.0, 0.8)}),\n"
        f"but of two predictable things it keeps the louder: {agreement(jepa[jepa['kept'] > 0])} such runs end on its "
        f"optimum's side (autoencoder {agreement(pictures[pictures['kept'] > 0])})",
        size=11,
    )
    figure.supxlabel("tile: exact optimum of the loss; dots: three trained runs", size=9)
    return {"bridge_nuisance": figure}


def task_kept(part, kept, loud):
    """Runs that keep more than half of the task, of all beside one background."""
    part = part[(part["kept"] == kept) & (part["loud"] == loud)]
    return f"{int((part['task_share'] > 0.5).sum())} of {len(part)}"


def agreement(part):
    """Runs whose task share is on the same side of one half as the optimum's, of all."""
    same = (part["task_share"] > 0.5) == (part["exact_task_share"] > 0.5)
    return f"{int(same.sum())} of {len(same)}"


def tiles(axis, part):
    """Persistence across, loudness up."""
    kept, loud = np.sort(part["kept"].unique()), np.sort(part["loud"].unique())
    exact = part.pivot_table(index="loud", columns="kept", values="exact_task_share").to_numpy()
    axis.imshow(exact, origin="lower", vmin=0, vmax=1, cmap=COLORMAP, aspect="auto")
    for row in part.itertuples():
        x, y = np.searchsorted(kept, row.kept), np.searchsorted(loud, row.loud)
        offset = (list(part["seed"].unique()).index(row.seed) + 0.5) / part["seed"].nunique() - 0.5
        axis.scatter(x + 0.6 * offset, y, s=110, c=[row.task_share], cmap=COLORMAP, vmin=0, vmax=1, edgecolors="white")
    names = {0.0: "0\ni.i.d.", 1.0: "1\nfrozen"}
    axis.set_xticks(range(len(kept)), [names.get(value, f"{value:g}\nMarkov") for value in kept])
    axis.set_yticks(range(len(loud)), [f"{value:g}" for value in loud])
    axis.set_xlabel("probability that the background stays (the task: .8)")
    axis.grid(visible=False)
