"""Draw ``horizon``: regret and bounds against the number of steps, and the least dimension at which bounds say something."""

import numpy as np
from matplotlib.ticker import MaxNLocator, NullLocator

from spectral_jepa.plotting.finding import finish, talk_version
from spectral_jepa.plotting.style import COLORS, halo, new_figure, styled

FLOOR, TOP = 1e-5, 2e2
# The dimension drawn in the upper row.
SHOWN = {"ring": 7, "torus": 21, "Metropolis chains": 11, "doubly stochastic": 9, "moving blocks": 5, "noisy counts": 5}
# Families of the figure; the others are an appendix.
MAIN = ("ring", "doubly stochastic", "moving blocks")
CURVES = [
    ("printed", "printed", ":", "Thm 4.2, printed"),
    ("multi_step", "loose", "-.", "4.3, linear in T"),
    ("horizon_free", "tight", "-", "horizon-free"),
    ("horizon_free_gap", "tight", "--", "horizon-free, with the gap"),
    ("regret", "measured", "-", "measured regret"),
]
ONE = r"one encoder for all actions, $\sqrt{T}$ (below)"
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
    main = [family for family in families if family in MAIN] or families[:3]
    rest = [family for family in families if family not in main]
    figures = {"horizon": one_figure(table, main)}
    for number, start in enumerate(range(0, len(rest), 3)):
        figures["horizon_more" + f"_{number + 1}" * (number > 0)] = one_figure(table, rest[start : start + 3])
    part = shown(table, main[-1])
    figures["horizon_talk"] = talk_version(
        sentence(part),
        regret_panel,
        part,
        legend=True,
        note=f"{main[-1]}, mean over pairs. Hatched: a bound that says nothing.",
    )
    return figures


def shown(table, family):
    """Rows of an encoder for each action at the dimension that the upper row shows."""
    rows = table[(table["family"] == family) & ~table["shared"].astype(bool)]
    return rows[rows["dim"] == SHOWN.get(family, rows["dim"].max())]


def growth(part, name):
    """How many times as large a curve is at the most steps as at the fewest, on average."""
    means = part.groupby("horizon")[name].mean()
    return means.iloc[-1] / means.iloc[0]


def sentence(part):
    """How the two bounds grow."""
    return (
        f"The bound on a truncated model's regret is {growth(part, 'horizon_free'):.2f} times as large at "
        f"{part['horizon'].max()} steps as at {part['horizon'].min()}; the bound of 4.3 grows "
        f"{growth(part, 'multi_step'):.0f}-fold."
    )


def one_figure(table, families):
    """A column a family: regret and bounds over the steps, and the least dimension at which bounds say something."""
    figure, axes = new_figure(2, len(families), width=3.7, height=2.9)
    for column, family in enumerate(families):
        part = shown(table, family)
        regret_panel(axes[0, column], part)
        axes[0, column].set_title(
            f"{family}, k = {part['dim'].iloc[0]} of {part['n_states'].iloc[0]}, left out s = {part['left_out'].mean():.2f}",
            fontsize="medium",
        )
        least_panel(axes[1, column], table[table["family"] == family])
    axes[1, 0].set_ylabel("least k that is not vacuous")
    handles = axes[0, 0].get_legend_handles_labels()[0]
    handles += [line for line in axes[1, 0].get_lines() if line.get_label().startswith("one encoder")]
    whole = table[table["family"].isin(families) & ~table["shared"].astype(bool)]
    thin = not whole["hypothesis"].astype(bool).all()
    return finish(
        figure,
        sentence(whole),
        "Mean over pairs of states and seeds. Hatched: above the best value, where a bound says nothing; a regret below "
        "1e-5 is drawn there. Thm 4.2 asks for deterministic actions, which no world here has."
        + (" Thin: the hypothesis of the horizon-free bounds is not met." if thin else ""),
        legend=handles,
        columns=4,
    )


def steps_axis(axis, horizons):
    """Powers of two."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(set(horizons)), [str(h) for h in sorted(set(horizons))])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("steps T")


def style_of(name, met):
    """A horizon-free curve is thin where its hypothesis is not met."""
    color, style = next((color, style) for curve, color, style, _ in CURVES if curve == name)
    return {"color": COLORS[color], "ls": style, "lw": 0.7 if name.startswith("horizon_free") and not met else None}


def regret_panel(axis, part):
    """Mean over pairs and seeds of regret, best value and bounds, one form and dimension; vacuous above the best value."""
    means = part.groupby("horizon")[["best", *(c[0] for c in CURVES)]].mean()
    met = bool(part["hypothesis"].all())
    for name, *_, label in CURVES:
        axis.plot(means.index, np.maximum(means[name], FLOOR), **style_of(name, met), marker="o", label=label)
    axis.plot(means.index, means["best"], color=COLORS["exact"], label="best value")
    axis.fill_between(means.index, means["best"], TOP, facecolor="0.93", edgecolor="0.8", hatch="///", lw=0, zorder=0)
    axis.set_yscale("log")
    axis.set_ylim(0.6 * FLOOR, TOP)
    steps_axis(axis, part["horizon"])
    note = "regret 0" if means["regret"].max() < FLOOR else ""
    axis.text(0.03, 0.08, note, transform=axis.transAxes, fontsize="small", path_effects=halo())
    axis.set_ylabel("probability, mean over pairs")


def least_panel(axis, rows):
    """Least dimension with a bound below the best value, mean over seeds; the number of states where no smaller one is."""
    full, met = rows["n_states"].iloc[0], bool(rows["hypothesis"].all())
    for shared, name in LEAST:
        part = rows[rows["shared"].astype(bool) == shared]
        least = part["dim"].where(part[name] < part["best"], full).groupby([part["seed"], part["horizon"]]).min()
        style = style_of(name, met) | ({"color": COLORS["chain"], "label": ONE} if shared else {})
        axis.plot(least.groupby("horizon").mean(), marker="o", ms=3 + 2 * shared, mfc="none" if shared else None, **style)
    axis.axhline(full, color="0.6", lw=0.8)
    axis.text(1, 1.02 * full, "none below n", fontsize="small", color="0.35", va="bottom")
    axis.set_ylim(0, full * 1.13)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    steps_axis(axis, rows["horizon"])
