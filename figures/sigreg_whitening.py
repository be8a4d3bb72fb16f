"""Draw ``sigreg_whitening``: whiteness, Gaussianity and cost of SIGReg, one moved setting a panel."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from spectral_jepa.plotting.finding import finish, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, styled

AXES = {
    "dim": ("dim", WORDS["dimension"]),
    "n_states": ("n_states", "states n"),
    "penalty": ("penalty", r"strength $\lambda$ (published: .09)"),
    "n_slices": ("n_slices", "slices a step, fresh"),
    "fixed": ("n_slices", "slices, fixed"),
    "n_knots": ("n_knots", "knots"),
}
FAMILY_COLORS = (COLORS["measured"], COLORS["printed"])
# The figure, and its appendix: file name, axis, scale.
ROWS = {
    "eigenvalues": ("sigreg_whitening", "eigenvalues of the covariance", "linear"),
    "sigreg": ("sigreg_whitening_statistic", "SIGReg (factor 1), fresh slices", "log"),
    "wasserstein": ("sigreg_whitening_gaussian", "mean $W_1$ of slices to N(0, 1)", "linear"),
    "excess": ("sigreg_whitening_excess", "excess of the pretraining error", "symlog"),
}
PUBLISHED = 0.09


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}: eigenvalues; an appendix of three; what it costs."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figures = {name: six_panels(table, row) for row, (name, *_) in ROWS.items()}
    families = families_of(table)
    figures["sigreg_whitening_talk"] = talk_version(
        eigenvalue_sentence(table),
        setting_panel,
        table,
        "penalty",
        "eigenvalues",
        note=f"Bars: least to largest; blue: {families[0]}" + (f", red: {families[1]}." if len(families) > 1 else "."),
    )
    part, family = cost_part(table), families[-1]
    figures["sigreg_whitening_cost"] = cost_figure(table)
    figures["sigreg_whitening_cost_talk"] = talk_version(
        cost_sentence(part, [family]), cost_panel, part[part["family"] == family], "root error", note=f"{family}, exact law."
    )
    return figures


def families_of(table):
    """Worlds in the order of the table."""
    return list(dict.fromkeys(table.loc[table["method"] == "sigreg", "family"]))


def eigenvalue_sentence(table):
    """How far the published strength is from whiteness, and what ten does."""
    own = table[(table["method"] == "sigreg") & (table["axis"] == "penalty")]
    base = moved(table, "penalty")[0]
    at = base[np.isclose(base["penalty"], PUBLISHED)]
    most = own[own["penalty"] == own["penalty"].max()]
    return (
        f"At the published strength SIGReg leaves eigenvalues of {at['smallest'].mean():.2f} to "
        f"{at['largest'].mean():.2f}; at {most['penalty'].iloc[0]:g} they are {most['smallest'].mean():.2f} to "
        f"{most['largest'].mean():.2f}."
    )


def appendix_sentence(table, row):
    """What strength does to one quantity, and fresh slices do not."""
    by = moved(table, "penalty")[0]
    if row == "excess":
        means = by.groupby("penalty")["excess_refit"].mean()
        return f"Refitted, the excess of the pretraining error is least at strength {means.idxmin():g} (appendix)."
    by_strength = by.groupby("penalty")[row].mean()
    by_slices = moved(table, "n_slices")[0].groupby("n_slices")[row].mean()
    what = "SIGReg of the trained encoder" if row == "sigreg" else "The distance of its slices to the normal law"
    return (
        f"{what} goes from {by_strength.iloc[0]:.2g} at strength {by_strength.index[0]:g} to {by_strength.iloc[-1]:.2g} at "
        f"{by_strength.index[-1]:g}; with {by_slices.index[0]:g} to {by_slices.index[-1]:g} fresh slices it lies between "
        f"{by_slices.min():.2g} and {by_slices.max():.2g} (appendix)."
    )


NOTES = {
    "eigenvalues": "Bars: least to largest; short lines: 1 less the gap predicted if slices were normal; dotted: white.",
    "sigreg": "Solid: SIGReg trained; dashed: hard whitening; dotted: floor, the best atoms.",
    "wasserstein": "Solid: SIGReg trained; dashed: hard whitening; dotted: floor, the best atoms.",
    "excess": "Over the best of that dimension; solid: refitted, dashed: own read-out.",
}


def moved(table, axis_name):
    """Rows of SIGReg along one setting, through the middle of all, and those of other methods beside them."""
    trained = table[table["method"] == "sigreg"]
    middle = trained.loc[trained["axis"] == "penalty", "dim"].iloc[0]
    base = trained[(trained["axis"] == "dim") & (trained["dim"] == middle)]  # every setting passes through this one
    part = trained[trained["axis"] == axis_name]
    if axis_name not in ("dim", "fixed"):
        part = pd.concat([part, base])
    others = table[table["axis"].isin([axis_name, "dim"])] if axis_name in ("dim", "n_states") else table.iloc[:0]
    if axis_name == "n_states":
        others = others[others["dim"] == middle]
    return part, others[others["method"] != "sigreg"]


def six_panels(table, row):
    """One quantity, a panel a moved setting."""
    figure, axes = new_figure(2, 3, width=3.9, height=2.6)
    for axis, name in zip(axes.ravel(), AXES, strict=True):
        setting_panel(axis, table, name, row)
    low = min(axis.get_ylim()[0] for axis in axes.ravel())
    high = max(axis.get_ylim()[1] for axis in axes.ravel())
    for axis in axes.ravel():
        axis.set_ylim(0 if row == "excess" else low, high)
    handles = [
        Line2D([], [], color=color, marker="o", lw=2, label=family)
        for family, color in zip(families_of(table), FAMILY_COLORS, strict=False)
    ]
    title = eigenvalue_sentence(table) if row == "eigenvalues" else appendix_sentence(table, row)
    seeds = table.loc[table["method"] == "sigreg", "seed"].nunique()
    note = f"One setting moved at a time, LeWM's constants else; mean of {seeds} seeds. {NOTES[row]}"
    return finish(figure, title, note, legend=handles)


def setting_panel(axis, table, name, row):
    """One quantity of both worlds along one setting."""
    parameter, label = AXES[name]
    axis.set_yscale(ROWS[row][2], **({"linthresh": 1e-2} if row == "excess" else {}))
    part, others = moved(table, name)
    for family, color in zip(families_of(table), FAMILY_COLORS, strict=False):
        own, other = part[part["family"] == family], others[others["family"] == family]
        PANELS[row](axis, own, other, parameter, color)
    axis.set_xscale("log")
    values = sorted(part[parameter].unique())
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.minorticks_off()
    axis.set_xlabel(label)
    axis.set_ylabel(ROWS[row][1])


def eigenvalues(axis, own, other, parameter, color):
    """Least to largest eigenvalue, and what is predicted; worlds side by side on the log axis."""
    means = own.groupby(parameter).mean(numeric_only=True)
    where = means.index.to_numpy(float) * (0.94 if color == FAMILY_COLORS[0] else 1.06)
    axis.vlines(where, means["smallest"], means["largest"], color=color, lw=4, alpha=0.6)
    axis.plot(where, 1 - means["predicted_gap"], color=color, ls="", marker="_", ms=10, mew=1.8)
    axis.axhline(1, color="0.5", lw=0.8, ls=":")


def statistic(name):
    """A panel of one column: trained, hard whitening, floor."""

    def panel(axis, own, other, parameter, color):
        means = own.groupby(parameter)[name].mean()
        axis.plot(means.index, means, color=color, marker="o")
        for method, style in (("hard_whitening", "--"), ("floor", ":")):
            part = other[other["method"] == method]
            if len(part):
                line = part.groupby(parameter)[name].agg("min" if method == "floor" else "mean")
                axis.plot(line.index, line, color=color, ls=style, lw=1.1)

    return panel


def excess(axis, own, other, parameter, color):
    """Pretraining error over the best of the dimension."""
    means = own.groupby(parameter).mean(numeric_only=True)
    for name, style in (("excess_refit", "-"), ("excess_own", "--")):
        axis.plot(means.index, np.maximum(means[name], 0), color=color, marker="o", ls=style)


PANELS = {
    "eigenvalues": eigenvalues,
    "sigreg": statistic("sigreg"),
    "wasserstein": statistic("wasserstein"),
    "excess": excess,
}
CURVES = {
    ("sigreg", "refit"): ("SIGReg, refitted", "measured", "-", "o"),
    ("sigreg", "own"): ("SIGReg, own read-out", "other", "--", "o"),
    ("hard_whitening", "refit"): ("hard whitening", "tight", "-", "s"),
    ("hard_whitening", "closed"): ("closed form (SVD)", "exact", ":", ""),
}


def cost_part(table):
    """Rows along the dimension, trained methods."""
    return table[(table["axis"] == "dim") & (table["method"] != "floor")]


def root_error(means, reading):
    """sqrt(R_S) of a reading."""
    return np.sqrt(np.maximum(means["tail"] + means[f"excess_{reading}"], 0))


def cost_sentence(part, families):
    """The largest ratio of SIGReg's error to the closed form's, where that is above 0."""
    said = []
    for family in families:
        own = part[part["family"] == family]
        means = {
            method: own[own["method"] == method].groupby("dim").mean(numeric_only=True)
            for method in ("sigreg", "hard_whitening")
        }
        closed = root_error(means["hard_whitening"], "closed")
        more = (root_error(means["sigreg"], "refit") - closed).max()
        hard = (root_error(means["hard_whitening"], "refit") - closed).max()
        said.append(f"{more:.2f} on {family} (hard whitening: {hard:.2f})")
    return f"Refitted, SIGReg adds at most {' and '.join(said)} to the root of the error of the closed form."


def cost_figure(table):
    """Root error and regret against dimension: SIGReg, hard whitening trained, the closed form."""
    part, families = cost_part(table), families_of(table)
    figure, axes = new_figure(2, len(families), width=5.0, height=2.9)
    for column, family in enumerate(families):
        own = part[part["family"] == family]
        cost_panel(axes[0, column], own, "root error")
        cost_panel(axes[1, column], own, "reward regret")
        axes[0, column].set_title(f"{family}, {int(own['n_states'].iloc[0])} states, exact law")
    seeds = part.loc[part["method"] == "sigreg", "seed"].nunique()
    return finish(figure, cost_sentence(part, families), f"Mean of {seeds} seeds; the constant function comes on top of k.")


def cost_panel(axis, own, what):
    """One quantity against the dimension."""
    for (method, reading), (label, color, style, marker) in CURVES.items():
        means = own[own["method"] == method].groupby("dim").mean(numeric_only=True)
        values = root_error(means, reading) if what == "root error" else means[f"regret_{reading}"]
        axis.plot(means.index, values, color=COLORS[color], ls=style, marker=marker, label=label)
    axis.set_ylim(0, None)
    axis.set_xlabel(WORDS["dimension"])
    axis.set_ylabel(WORDS[what])
    label_ends(axis)
