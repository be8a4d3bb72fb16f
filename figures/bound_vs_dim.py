"""Draw ``bound_vs_dim``: four panels a family, and an overview of all families."""

import numpy as np

from spectral_jepa.plotting.style import COLORS, band, dimension_axis, new_figure, sequential_colors, shade_vacuous, styled
from spectral_jepa.sweep.results import mean_band

PREFERRED_SAMPLES = 32_000
FLOOR = 1e-5


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    figures = {}
    families = list(dict.fromkeys(table["family"]))
    overview, axes = new_figure(len(families), 4, width=4.0, height=2.7)
    for row, family in zip(axes, families, strict=True):
        part = table[table["family"] == family]
        draw_family(row, part, legend=family == families[-1])
        row[0].set_ylabel(f"{family}\n\n" + row[0].get_ylabel())
        figure, own = new_figure(2, 2, width=4.6, height=4.1)
        draw_family(own.ravel(), part, legend=True)
        figure.suptitle(f"{family}: error, regret and bounds against the latent dimension ({part['seed'].nunique()} seeds)")
        figures["bound_vs_dim_" + slug(family)] = figure
    figures["bound_vs_dim"] = overview
    return figures


def slug(family):
    """File name of a family."""
    words = "".join(c if c.isalnum() else " " for c in family.lower().replace("%", "percent"))
    return "_".join(words.split())


def draw_family(axes, part, legend):
    """Pretraining error, goal regret, reward regret, best dimension."""
    samples = sorted(part["n_transitions"].unique())
    shown = min(samples, key=lambda n: abs(np.log(n / PREFERRED_SAMPLES)))
    at = part[part["n_transitions"] == shown]
    pretraining_panel(axes[0], part, at, sequential_colors(samples), shown)
    met = at["goal_printed_holds"].astype(float).mean()
    regret_panel(
        axes[1],
        at,
        "goal_best",
        "goal regret / best value",
        f"goal reaching, T = 1, N = {shown:,}",
        [
            ("goal_printed_chain", "printed, Thm 4.5", "chain", ":"),
            ("goal_printed", f"printed, Thm 4.1 (hypothesis met: {met:.0%})", "printed", "--"),
            ("goal_horizon_free", r"horizon-free, exact model, every T", "other", "--"),
            ("goal_averaged", "corrected, averaged", "loose", "-."),
            ("goal_pointwise", "corrected, pointwise", "tight", "-"),
            ("goal_regret", "measured regret", "measured", "-"),
        ],
    )
    regret_panel(
        axes[2],
        at,
        "reward_optimal",
        "reward regret / optimal return",
        f"reward, H = 40, discount .9, N = {shown:,}",
        [
            ("reward_loose", "corrected, loose", "loose", "-."),
            ("reward_tight", "corrected, tight", "tight", "-"),
            ("reward_regret", "measured regret", "measured", "-"),
        ],
    )
    best_dimension_panel(axes[3], part)
    if legend:
        for axis in axes:
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, columnspacing=1.2, handlelength=2.2)


def pretraining_panel(axis, part, at, colors, shown):
    """sqrt(R_S) for every sample size, with tail and oracle bounds."""
    for n, color in colors.items():
        curve = mean_band(part[part["n_transitions"] == n], by="dim", value="root_risk")
        band(axis, curve, "dim", color=color, label=f"measured, N = {n:,}", zorder=2)
    tail = part.groupby("dim")["root_tail"].mean()
    # A tail that is zero to rounding has no place on a log axis: the curve ends at the rank.
    axis.plot(tail.index, tail.where(tail > 1e-6), color=COLORS["exact"], ls="--", label="tail (N = infinity)", zorder=3)
    for column, style, label in (("oracle_measured", "-.", "measured |E|"), ("oracle_bernstein", ":", "Bernstein")):
        average = at.groupby("dim")[column].mean()
        axis.plot(average.index, average, color=COLORS["loose"], ls=style, label=f"oracle, {label}, N = {shown:,}", zorder=1)
    axis.set_yscale("log")
    dimension_axis(axis, part["dim"])
    risk = part.groupby(["n_transitions", "dim"])["root_risk"].mean()
    axis.set_ylim(0.6 * risk.min(), 1.4 * max(risk.max(), at["oracle_bernstein"].max()))
    shade_vacuous(axis, at["root_norm"].mean(), "no better than predicting nothing")
    axis.set_ylabel(r"pretraining error $\sqrt{R_S}$")
    axis.set_title("pretraining error")


def regret_panel(axis, at, scale, ylabel, title, curves):
    """Measured regret and its bounds as shares of the best possible, on a log axis; no curve without its hypothesis."""
    for column, label, color, style in curves:
        if column not in at:  # a table kept from before the curve
            continue
        if at[column].isna().all():
            axis.plot([], [], color=COLORS[color], ls=style, label=f"{label} (not met here)")
            continue
        share = at.assign(share=at[column] / at[scale])
        curve = mean_band(share, by="dim", value="share")
        zorder = 4 if label.startswith("measured") else 2
        band(axis, curve, "dim", floor=FLOOR, color=COLORS[color], ls=style, label=label, zorder=zorder)
    axis.set_yscale("log")
    dimension_axis(axis, at["dim"])
    shade_vacuous(axis, 1.0, "vacuous")
    axis.set_ylabel(ylabel)
    axis.set_title(title)


def best_dimension_panel(axis, part):
    """Dimension of least mean error or regret against the sample size, with the middle half of the seeds."""
    for column, label, color, marker in (
        ("root_risk", "pretraining error", "exact", "o"),
        ("goal_regret", "goal regret", "tight", "s"),
        ("reward_regret", "reward regret", "measured", "^"),
    ):
        mean = part.groupby(["n_transitions", "dim"])[column].mean().unstack("dim")
        axis.plot(mean.index, mean.idxmin(axis=1), color=COLORS[color], marker=marker, label=label)
        rows = part.loc[part.groupby(["n_transitions", "seed"])[column].idxmin()]
        spread = rows.groupby("n_transitions")["dim"].quantile([0.25, 0.75]).unstack()
        axis.fill_between(spread.index, spread[0.25], spread[0.75], color=COLORS[color], alpha=0.12, linewidth=0)
    axis.set_xscale("log")
    axis.set_yscale("log")
    ticks = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k <= part["dim"].max()]
    axis.set_yticks(ticks, [str(k) for k in ticks])
    axis.minorticks_off()
    axis.set_xlabel("transitions N")
    axis.set_ylabel("best latent dimension")
    axis.set_title("best dimension (band: half the seeds)")
