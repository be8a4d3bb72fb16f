"""Draw ``bridge_nuisance``: a tile a background, shaded by what the optimum sees of the task, a dot a trained run."""

import numpy as np
from matplotlib.collections import EllipseCollection

from spectral_jepa.plotting.finding import finish, talk_version
from spectral_jepa.plotting.style import new_figure, styled

PANELS = {
    "latent": "JEPA, whitened: optimum keeps\nthe more predictable",
    "autoencoder": "autoencoding model: optimum keeps\nthe louder",
    "regression": "predicted pictures: optimum keeps\nthe larger product of both",
}
SHADES = {"cmap": "viridis", "clim": (0, 1)}
NOTE = (
    "Shade: share of the task's functions that is kept. Tile: exact optimum of the loss; dot: a trained run, a seed each. "
    "The task's functions have singular value .8."
)


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    # Longer runs of single settings are for the text, not for the map.
    table = table[table["n_steps"] == table.loc[table["arm"] == "autoencoder", "n_steps"].max()]
    figure, axes = new_figure(1, 3, width=3.9, height=3.5)
    for axis, (arm, title) in zip(axes[0], PANELS.items(), strict=True):
        tiles(axis, table[table["arm"] == arm])
        axis.set_title(title)
    for axis in axes[0, 1:]:
        axis.set_yticklabels([])
        axis.set_ylabel("")
    shades = figure.colorbar(axes[0, 0].images[0], ax=axes, fraction=0.03, pad=0.01)
    shades.set_label("share of the task that is kept")
    jepa, pictures = (table[table["arm"] == arm] for arm in ("latent", "autoencoder"))
    loud = table["loud"].max()
    finish(
        figure,
        f"Beside the loudest i.i.d. background ({loud:g}) {task_kept(jepa, loud)} JEPAs keep the task, "
        f"{task_kept(pictures, loud)} autoencoders; where the background can be predicted {agreement(jepa)} JEPAs end on "
        f"their optimum's side, {agreement(pictures)} autoencoders.",
        NOTE,
    )
    return {"bridge_nuisance": figure, "bridge_nuisance_talk": talk(jepa, loud)}


def talk(jepa, loud):
    """The JEPA's tiles alone."""
    return talk_version(
        f"Beside the loudest i.i.d. background {task_kept(jepa, loud)} JEPAs keep the task; beside predictable ones "
        f"{agreement(jepa)} end on their optimum's side.",
        alone,
        jepa,
        note="Shade: share of the task that is kept. Tile: exact optimum; dot: a trained run.",
    )


def alone(axis, part):
    """Tiles with their own scale of shades."""
    tiles(axis, part, size=19)
    axis.figure.colorbar(axis.images[0], ax=axis, pad=0.02)


def task_kept(part, loud):
    """Runs that keep more than half of the task, of all beside an i.i.d. background of one loudness."""
    part = part[(part["kept"] == 0) & (part["loud"] == loud)]
    return f"{int((part['task_share'] > 0.5).sum())} of {len(part)}"


def agreement(part):
    """Runs whose task share is on the same side of one half as the optimum's, of all with a predictable background."""
    part = part[part["kept"] > 0]
    same = (part["task_share"] > 0.5) == (part["exact_task_share"] > 0.5)
    return f"{int(same.sum())} of {len(same)}"


def tiles(axis, part, size=11):
    """Persistence across, loudness up; dots of a size in points."""
    kept, loud = np.sort(part["kept"].unique()), np.sort(part["loud"].unique())
    exact = part.pivot_table(index="loud", columns="kept", values="exact_task_share").to_numpy()
    axis.imshow(exact, origin="lower", aspect="auto", **SHADES)
    seeds = list(part["seed"].unique())
    places = [
        (
            np.searchsorted(kept, row.kept) + 0.75 * ((seeds.index(row.seed) + 0.5) / len(seeds) - 0.5),
            np.searchsorted(loud, row.loud),
        )
        for row in part.itertuples()
    ]
    dots = EllipseCollection(
        [size], [size], [0], units="points", offsets=places, offset_transform=axis.transData, edgecolors="white",
        array=part["task_share"].to_numpy(), **SHADES,
    )  # fmt: skip
    axis.add_collection(dots, autolim=False)
    names = {0.0: "0\ni.i.d.", 1.0: "1\nfrozen"}
    axis.set_xticks(range(len(kept)), [names.get(value, f"{value:g}") for value in kept])
    axis.set_yticks(range(len(loud)), [f"{value:g}" for value in loud])
    axis.set_xlabel("probability that the background stays")
    axis.set_ylabel("loudness of the background")
    axis.grid(visible=False)
