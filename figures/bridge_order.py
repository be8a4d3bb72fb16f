"""Draw ``bridge_order``: how much of each group of singular functions a pixel encoder spans, and what it is worth."""

import numpy as np
from matplotlib.patches import Patch

from spectral_jepa.plotting.finding import finish, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, sequential_colors, styled

METHODS = {"whitening": "whitening", "SIGReg": "SIGReg as published", "autoencoder": "autoencoding world model"}
# Groups shown: those a latent space of 8 has room for, and the next ones.
N_GROUPS = 5
# Squared singular values that differ by more are clearly apart, as in the experiment.
CLEARLY = 0.1
KINDS = {"trained on pictures": "measured", "not trained": "loose", "table, same loss": "tight", "SVD of counts": "exact"}
BARS = {
    "whitening": ("pixels, whitening", "trained on pictures"),
    "SIGReg": ("pixels, SIGReg", "trained on pictures"),
    "autoencoder": ("pixels, autoencoder", "trained on pictures"),
    "whitening, untrained": ("pixels, untrained", "not trained"),
    "PCA of pixels": ("PCA of the pixels", "not trained"),
    "tabular JEPA, whitening": ("table, whitening", "table, same loss"),
    "tabular JEPA, SIGReg": ("table, SIGReg", "table, same loss"),
    "SVD, same data": ("SVD, same data", "SVD of counts"),
}
GROUP_NOTE = "Names: singular value (number of functions that share it); the darker, the larger."


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    worlds = list(dict.fromkeys(table["world"]))
    note = f"Line: mean of {table['seed'].nunique()} seeds; band: least to largest of them."
    return {
        "bridge_order": order_figure(table, worlds, note),
        "bridge_order_tables": bars_figure(table, worlds),
        "bridge_order_talk": talk_version(
            order_sentence(table, ("whitening",)),
            curves,
            table[(table["world"] == worlds[0]) & (table["method"] == "whitening")],
            note=f"{worlds[0].capitalize()}. {note} {GROUP_NOTE}",
        ),
    }


def order_figure(table, worlds, note):
    """A row a world, a column a method."""
    figure, axes = new_figure(len(worlds), len(METHODS), width=3.7, height=2.7)
    for row, world in zip(axes, worlds, strict=True):
        for axis, method in zip(row, METHODS, strict=True):
            curves(axis, table[(table["world"] == world) & (table["method"] == method)])
            axis.set_ylabel("")
        row[0].set_ylabel(f"{world}\nshare in the span, $R^2$")
    for axis, title in zip(axes[0], METHODS.values(), strict=True):
        axis.set_title(title)
    for axis in axes[:-1].ravel():
        axis.set_xlabel("")
    return finish(figure, order_sentence(table, ("whitening", "SIGReg")), f"{note} {GROUP_NOTE}")


def order_sentence(table, methods):
    """How many pairs of groups are learned in the order of their singular values."""
    found = [f"{sum(pairs)} of {len(pairs)} pairs with {name}" for name in methods if (pairs := early(table, name))]
    return (
        "From pictures, of two groups of functions clearly apart that of larger singular value is learned first: in "
        f"{' and '.join(found) or 'no pair'}."
    )


def early(table, method):
    """For each pair clearly apart whose smaller one is learned: is half of the larger one read out no later?"""
    shares = table[(table["method"] == method) & (table["group"] > 0)]
    found = []
    for _, part in shares.groupby(["world", "seed"]):
        groups = [(rows["value"].iloc[0] ** 2, half_step(rows.sort_values("step"))) for _, rows in part.groupby("group")]
        for large, first in groups:
            found += [bool(first <= then) for small, then in groups if large - small > CLEARLY and np.isfinite(then)]
    return found


def half_step(rows):
    """Step at which half of a group is read out, between looks by a line; NaN where that never happens."""
    steps, share = rows["step"].to_numpy(float), rows["share"].to_numpy()
    reached = np.flatnonzero(share >= 0.5)
    if not len(reached):
        return np.nan
    i = reached[0]
    return steps[0] if i == 0 else np.interp(0.5, share[i - 1 : i + 1], steps[i - 1 : i + 1])


def curves(axis, part):
    """Share of each group over the steps, with its name at the end of its line."""
    part = part[part["group"].between(1, N_GROUPS)]
    axis.set_ylim(0, 1.02)
    axis.set_xscale("symlog", linthresh=10)
    axis.set_xlabel("step of training")
    axis.set_ylabel("share in the span, $R^2$")
    if part.empty:
        return
    axis.set_xlim(0, max(part["step"].max(), 1))
    # The first group is the darkest: its place is that of the largest value.
    colors = list(sequential_colors(2.0**place for place in range(N_GROUPS)).values())[::-1]
    for number, rows in part.groupby("group"):
        of_step, color = rows.groupby("step")["share"], colors[int(number) - 1]
        label = f"{rows['value'].iloc[0]:.2f} ({int(rows['size'].iloc[0])})"
        axis.plot(of_step.mean(), color=color, label=label)
        axis.fill_between(of_step.min().index, of_step.min(), of_step.max(), color=color, alpha=0.15, lw=0)
    label_ends(axis)


def bars_figure(table, worlds):
    """A row a world: correlation with the leading functions, and regret three steps ahead."""
    ends = table[table["group"] == 0]
    figure, axes = new_figure(len(worlds), 2, width=4.4, height=2.6)
    for row, world in zip(axes, worlds, strict=True):
        part = ends[ends["world"] == world]
        bars(row[0], part, "correlation", f"{world}: span", "mean canonical correlation, 8 leading functions")
        bars(row[1], part, "ahead_regret", f"{world}: planning, three steps ahead", WORDS["goal regret"])
        row[1].set_yticklabels([])
    return finish(
        figure,
        ends_sentence(ends, worlds),
        f"Bar: mean of {table['seed'].nunique()} seeds; dot: a seed.",
        legend=[Patch(color=COLORS[color], label=kind) for kind, color in KINDS.items()],
    )


def ends_sentence(ends, worlds):
    """Correlation of whitening, and of SIGReg beside the table with the same loss."""
    mean = ends.groupby(["arm", "world"])["correlation"].mean()
    least = ends[ends["arm"] == "whitening"]["correlation"].min()
    whitened = f"at least {np.floor(1000 * least) / 1000:.3f} in every run" if np.isfinite(least) else "not measured"
    of = {
        arm: " and ".join(f"{mean[(arm, world)]:.2f}" for world in worlds if (arm, world) in mean)
        for arm in ("SIGReg", "tabular JEPA, SIGReg")
    }
    return (
        f"From pictures the correlation with the leading singular functions is {whitened} with whitening, and "
        f"{of['SIGReg'] or 'not measured'} with SIGReg, where a table with SIGReg has "
        f"{of['tabular JEPA, SIGReg'] or 'not been measured'}."
    )


def bars(axis, part, column, title, label):
    """One bar an encoder, a dot a seed."""
    for place, (arm, (_, kind)) in enumerate(BARS.items()):
        values = part[part["arm"] == arm][column].to_numpy()
        axis.barh(place, values.mean() if len(values) else 0, color=COLORS[KINDS[kind]], alpha=0.75)
        dots = {"ls": "", "marker": "o", "color": "0.15", "mec": "w", "mew": 0.5, "ms": 4, "clip_on": False, "zorder": 4}
        axis.plot(values, np.full(len(values), place), **dots)
    axis.set_yticks(range(len(BARS)), [name for name, _ in BARS.values()])
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.set_title(title)
    axis.set_xlabel(label)
    axis.set_xlim(left=0)
