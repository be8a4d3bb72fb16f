"""Draw ``horizon``: regret and bounds against the number of steps, and the least dimension at which bounds say something."""

import numpy as np
from matplotlib.ticker import MaxNLocator, NullLocator

from spectral_jepa.plotting.style import COLORS, new_figure, styled

FLOOR, TOP = 1e-5, 2e2
# The dimension drawn in the upper row.
SHOWN = {"ring": 7, "torus": 21, "Metropolis chains": 11, "doubly stochastic": 9, "moving blocks": 5, "noisy counts": 5}
CURVES = [
    ("printed", "printed", ":", "Thm 4.2 as printed (its hypothesis, deterministic actions, is met nowhere here)"),
    ("multi_step", "loose", "-.", "theory.md 4.3, linear in T"),
    ("horizon_free", "tight", "-", "horizon-free"),
    ("horizon_free_gap", "tight", "--", "horizon-free, with the spectral gap"),
    ("regret", "measured", "-", "measured regret"),
]
LEAST = [
    (False, "multi_step"),
    (True, "horizon_free"),
    (False, "horizon_free"),
    (False, "horizon_free_gap"),
]


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    families = list(dict.fromkeys(table["family"]))
    figure, axes = new_figure(2, len(families), width=2.7, height=2.9)
    for column, family in enumerate(families):
        rows = table[table["family"] == family]
        part = rows[~rows["shared"].astype(bool)]
        shown = SHOWN.get(family, part["dim"].max())
        regret_panel(axes[0, column], part[part["dim"] == shown], family, shown)
        least_panel(axes[1, column], rows)
    axes[0, 0].set_ylabel("probability (mean over pairs)")
    axes[1, 0].set_ylabel("least k that is not vacuous")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles += [line for line in axes[1, 0].get_lines() if line.get_label().startswith("one encoder")]
    figure.legend(
        handles, [*labels, r"one encoder for all actions, $\sqrt{T}$ (below)"], loc="outside lower center", ncols=4
    )
    figure.suptitle(
        "The bound on a truncated model's regret is the same at 64 steps as at one, where 4.3 and Thm 4.2 grow with T"
    )
    return {"horizon": figure}


def steps_axis(axis, horizons):
    """Powers of two."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(set(horizons)), [str(h) for h in sorted(set(horizons))])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("steps T")


def style_of(name, met):
    """A horizon-free curve is faint where its hypothesis is not met."""
    color, style = next((color, style) for curve, color, style, _ in CURVES if curve == name)
    return {"color": COLORS[color], "ls": style, "alpha": 0.4 if name.startswith("horizon_free") and not met else 1}


def regret_panel(axis, part, family, dim):
    """Mean over pairs and seeds of regret, best value and bounds, one form and dimension; vacuous above the best value."""
    means = part.groupby("horizon")[["best", *(c[0] for c in CURVES)]].mean()
    met = bool(part["hypothesis"].all())
    for name, *_, label in CURVES:
        axis.plot(means.index, np.maximum(means[name], FLOOR), **style_of(name, met), marker="o", ms=2.5, label=label)
    axis.plot(means.index, means["best"], color=COLORS["exact"], lw=1, label="best value: bounds above it are vacuous")
    axis.fill_between(means.index, means["best"], TOP, facecolor="0.93", edgecolor="0.8", hatch="///", lw=0, zorder=0)
    axis.set_yscale("log")
    axis.set_ylim(0.6 * FLOOR, TOP)
    steps_axis(axis, part["horizon"])
    note = "green: hypothesis not met" if not met else "regret 0" if means["regret"].max() < FLOOR else ""
    axis.text(0.03, 0.06, note, transform=axis.transAxes, fontsize=7.5)
    axis.set_title(f"{family}, k = {dim} of {part['n_states'].iloc[0]}\nleft out: s = {part['left_out'].mean():.2f}")


def least_panel(axis, rows):
    """Least dimension with a bound below the best value, mean over seeds; the number of states where no smaller one is."""
    full, met = rows["n_states"].iloc[0], bool(rows["hypothesis"].all())
    for shared, name in LEAST:
        part = rows[rows["shared"].astype(bool) == shared]
        least = part["dim"].where(part[name] < part["best"], full).groupby([part["seed"], part["horizon"]]).min()
        style = style_of(name, met) | ({"color": COLORS["chain"], "label": "one encoder"} if shared else {})
        axis.plot(least.groupby("horizon").mean(), marker="o", ms=2.5, **style)
    axis.axhline(full, color="0.6", lw=0.8)
    axis.text(1, 1.012 * full, "none below n", fontsize=6.5, color="0.35", va="bottom")
    axis.set_ylim(0, full * 1.13)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    steps_axis(axis, rows["horizon"])
