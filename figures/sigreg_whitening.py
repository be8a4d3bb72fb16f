"""Draw ``sigreg_whitening``: whiteness, Gaussianity and cost of SIGReg, one moved setting a column."""

import numpy as np
import pandas as pd

from spectral_jepa.plotting.style import COLORS, new_figure, styled

AXES = {
    "dim": ("dim", "dimension $k$"),
    "n_states": ("n_states", "states $S$"),
    "penalty": ("penalty", r"$\lambda$, published: .09"),
    "n_slices": ("n_slices", "slices a step, fresh"),
    "fixed": ("n_slices", "slices, fixed"),
    "n_knots": ("n_knots", "knots"),
}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    trained = table[table["method"] == "sigreg"]
    base = trained[trained["axis"] == "dim"]
    middle = {name: trained.loc[trained["axis"] == "penalty", name].iloc[0] for name in ("dim", "n_slices", "n_knots")}
    base = base[base["dim"] == middle["dim"]]  # every axis passes through this setting
    families = list(dict.fromkeys(trained["family"]))
    figure, axes = new_figure(4, len(AXES), width=2.4, height=2.3)
    for column, (axis_name, (parameter, label)) in enumerate(AXES.items()):
        part = trained[trained["axis"] == axis_name]
        if axis_name not in ("dim", "fixed"):
            part = pd.concat([part, base])
        others = table[table["axis"].isin([axis_name, "dim"])] if axis_name in ("dim", "n_states") else table.iloc[:0]
        if axis_name == "n_states":
            others = others[others["dim"] == middle["dim"]]
        for family, color in zip(families, (COLORS["measured"], COLORS["printed"]), strict=False):
            own, other = part[part["family"] == family], others[others["family"] == family]
            panels(axes[:, column], own, other, parameter, color, family)
        for axis in axes[:, column]:
            axis.set_xscale("log")
            values = sorted(part[parameter].unique())
            axis.set_xticks(values, [f"{v:g}" for v in values])
            axis.minorticks_off()
        axes[-1, column].set_xlabel(label)
    rows = [
        "eigenvalues of the covariance",
        "SIGReg (factor 1), fresh slices",
        "mean $W_1$ of slices to N(0, 1)",
        "excess risk",
    ]
    for axis, label in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(label)
    lowest = [min(axis.get_ylim()[0] for axis in row) for row in axes]
    highest = [max(axis.get_ylim()[1] for axis in row) for row in axes]
    for row, low, high in zip(axes, lowest, highest, strict=True):
        for axis in row:
            axis.set_ylim(low, high)
    legends(axes, families)
    figure.suptitle(
        "SIGReg on finite worlds, one setting moved at a time (LeWM's constants else; bars: smallest to largest)",
        size=11,
    )
    return {"sigreg_whitening": figure, "sigreg_whitening_cost": cost_figure(table)}


def panels(column, own, other, parameter, color, family):
    """One family in the four panels of a column."""
    means = own.groupby(parameter).mean(numeric_only=True)
    spread = [means[name] for name in ("smallest", "largest")]
    # Families side by side on the log axis.
    where = means.index.to_numpy(float) * (0.94 if color == COLORS["measured"] else 1.06)
    column[0].vlines(where, *spread, color=color, lw=3, alpha=0.6)
    column[0].plot(where, 1 - means["predicted_gap"], color=color, ls="", marker="_", ms=9, mew=1.5)
    column[0].axhline(1, color="0.5", lw=0.8, ls=":")
    column[1].set_yscale("log")
    for row, name in ((1, "sigreg"), (2, "wasserstein")):
        column[row].plot(means.index, means[name], color=color, marker="o")
        for method, style in (("hard_whitening", "--"), ("floor", ":")):
            part = other[other["method"] == method]
            if len(part):
                line = part.groupby(parameter)[name].agg("min" if method == "floor" else "mean")
                column[row].plot(line.index, line, color=color, ls=style, lw=1.1)
    column[3].set_yscale("symlog", linthresh=1e-2)
    for name, style in (("excess_refit", "-"), ("excess_own", "--")):
        column[3].plot(means.index, np.maximum(means[name], 0), color=color, marker="o", ls=style)


def legends(axes, families):
    """What colours, lines and marks mean."""
    for family, color in zip(families, (COLORS["measured"], COLORS["printed"]), strict=False):
        axes[0, 1].plot([], [], color=color, lw=3, alpha=0.6, label=family)
    axes[0, 1].plot([], [], color="0.3", ls="", marker="_", ms=9, label="1 - gap, if slices were normal")
    axes[0, 1].legend()
    for style, label in (("-", "SIGReg"), ("--", "hard whitening"), (":", "floor: best atoms")):
        axes[1, 1].plot([], [], color="0.3", ls=style, label=label)
    axes[1, 1].legend()
    for style, label in (("-", "refit"), ("--", "own read-out")):
        axes[3, 1].plot([], [], color="0.3", ls=style, label=label)
    axes[3, 1].legend()


def cost_figure(table):
    """Regret against dimension: SIGReg, hard whitening trained, the closed form; and the whitening gap against risk."""
    part = table[(table["axis"] == "dim") & (table["method"] != "floor")]
    families = list(dict.fromkeys(part["family"]))
    figure, axes = new_figure(2, len(families), width=4.2, height=2.9)
    curves = {
        ("sigreg", "refit"): ("SIGReg, refit", "measured", "-", "o"),
        ("sigreg", "own"): ("SIGReg, own read-out", "other", "--", "o"),
        ("hard_whitening", "refit"): ("hard whitening, refit", "tight", "-", "s"),
        ("hard_whitening", "closed"): ("closed form (SVD)", "exact", ":", ""),
    }
    for column, family in enumerate(families):
        for (method, reading), (label, color, style, marker) in curves.items():
            own = part[(part["family"] == family) & (part["method"] == method)]
            means = own.groupby("dim").mean(numeric_only=True)
            line = {"color": COLORS[color], "ls": style, "marker": marker, "label": label}
            axes[0, column].plot(means.index, np.sqrt(np.maximum(means["tail"] + means[f"excess_{reading}"], 0)), **line)
            axes[1, column].plot(means.index, means[f"regret_{reading}"], **line)
        axes[0, column].set_title(f"{family}, {int(part['n_states'].iloc[0])} states, exact law")
        axes[1, column].set_xlabel("dimension $k$ (and the constant)")
        for axis in axes[:, column]:
            axis.set_ylim(0, None)
    axes[0, 0].set_ylabel(r"pretraining error $\sqrt{R_S}$")
    axes[1, 0].set_ylabel("reward regret, share of optimum")
    axes[0, 0].legend()
    figure.suptitle("What SIGReg costs against hard whitening", size=11)
    return figure
