"""Draw ``bound_vs_dim``: four panels a family, an overview of all families, and one panel of each for a talk."""

import numpy as np

from spectral_jepa.plotting.finding import finish, label_at, label_ends, mean_note, talk_version
from spectral_jepa.plotting.style import (
    COLORS,
    WORDS,
    band,
    dimension_axis,
    new_figure,
    sequential_colors,
    shade_vacuous,
    styled,
)
from spectral_jepa.sweep.results import mean_band

PREFERRED_SAMPLES = 32_000
FLOOR = 1e-5
# Column, name at the line, colour, line.
GOAL = [
    ("goal_printed_chain", "Thm 4.5, printed", "chain", ":"),
    ("goal_printed", "Thm 4.1, printed", "printed", "--"),
    ("goal_horizon_free", "horizon-free, exact model", "other", "--"),
    ("goal_averaged", "corrected, averaged", "loose", "-."),
    ("goal_pointwise", "corrected, pointwise", "tight", "-"),
    ("goal_regret", "measured", "measured", "-"),
]
REWARD = [
    ("reward_loose", "corrected, loose", "loose", "-."),
    ("reward_tight", "corrected, tight", "tight", "-"),
    ("reward_regret", "measured", "measured", "-"),
]
BEST = (
    ("root_risk", "pretraining error", "exact", "o"),
    ("goal_regret", "goal regret", "tight", "s"),
    ("reward_regret", "reward regret", "measured", "^"),
)


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    families = list(dict.fromkeys(table["family"]))
    figures = {}
    for family in families:
        part = table[table["family"] == family]
        name = "bound_vs_dim_" + slug(family)
        figures[name], figures[f"{name}_talk"] = family_figure(part, family), family_talk(part, family)
    figures["bound_vs_dim"] = overview(table, families)
    first = table[table["family"] == families[0]]
    figures["bound_vs_dim_talk"] = talk_version(
        f"{families[0].capitalize()}: the best k of the error rises with the data to "
        f"{best_dimensions(at(first))['root_risk']}.",
        best_dimension_panel,
        first,
        note=f"{first['seed'].nunique()} seeds; band: the middle half of the seeds. Lines that coincide are drawn "
        "a little apart.",
    )
    return figures


def slug(family):
    """File name of a family."""
    words = "".join(c if c.isalnum() else " " for c in family.lower().replace("%", "percent"))
    return "_".join(words.split())


def at(part):
    """Rows of the sample size that is shown."""
    samples = part["n_transitions"].unique()
    return part[part["n_transitions"] == min(samples, key=lambda n: (abs(np.log(n / PREFERRED_SAMPLES)), n))]


def best_dimensions(rows):
    """The dimension of least mean error, goal and reward regret."""
    means = rows.groupby("dim")[[column for column, *_ in BEST]].mean()
    return {column: int(means[column].idxmin()) for column in means}


def family_figure(part, family):
    """Root error, goal regret, reward regret, best dimension."""
    rows = at(part)
    figure, axes = new_figure(2, 2, width=5.4, height=3.5)
    pretraining_panel(axes[0, 0], part)
    goal_panel(axes[0, 1], rows)
    reward_panel(axes[1, 0], rows)
    best_dimension_panel(axes[1, 1], part)
    axes[0, 0].set_title("pretraining error")
    axes[0, 1].set_title(f"goal reaching in one step, N = {rows['n_transitions'].iloc[0]:,}")
    axes[1, 0].set_title(f"rewards, 40 steps, discount .9, N = {rows['n_transitions'].iloc[0]:,}")
    axes[1, 1].set_title("dimension of least error, of least regret")
    met = rows["goal_printed_holds"].astype(float).mean()
    return finish(
        figure,
        sentence(rows, family),
        f"{mean_note(part['seed'].nunique())} Last panel: band of the middle half of the seeds; lines that coincide are "
        "drawn a little apart. Hatched: a bound that says nothing. Oracle bounds: at N = "
        f"{rows['n_transitions'].iloc[0]:,}. Hypothesis of Thm 4.1 met in {met:.0%} of the runs.",
    )


def sentence(rows, family):
    """Where error and regret are least, and which bounds hold and say something."""
    n, best = int(rows["n_states"].iloc[0]), best_dimensions(rows)
    where = {column: "k = n" if k >= n else f"k = {k}" for column, k in best.items()}
    least = (
        f"error and both regrets are least at {where['root_risk']}"
        if len(set(where.values())) == 1
        else f"the error is least at {where['root_risk']}, goal regret at {where['goal_regret']}, reward regret at "
        f"{where['reward_regret']}"
    )
    means = rows.groupby("dim")[[column for column, *_ in GOAL + REWARD if column in rows] + ["goal_best"]].mean()
    held = bool(
        (means["goal_regret"] <= means[["goal_pointwise", "goal_averaged"]].min(axis=1)).all()
        and (means["reward_regret"] <= means[["reward_tight", "reward_loose"]].min(axis=1)).all()
    )
    empty = bool((means["goal_printed"] > means["goal_best"]).all())
    return (
        f"{family.capitalize()}, N = {rows['n_transitions'].iloc[0]:,}: {least}; the corrected bounds "
        f"{'lie above every regret' if held else 'do not all hold'}, Thm 4.1 "
        f"{'says nothing at any k' if empty else 'says something'}."
    )


def family_talk(part, family):
    """Goal regret between nothing and its bounds."""
    rows = at(part)
    k, n = best_dimensions(rows)["goal_regret"], int(rows["n_states"].iloc[0])
    same = int(rows.groupby("dim")["goal_pointwise"].mean().idxmin()) == k
    short = [curve for curve in GOAL if curve[0] in ("goal_printed", "goal_pointwise", "goal_regret")]
    return talk_version(
        f"{family.capitalize()}: regret is least at {'k = n' if k >= n else f'k = {k}'}{', and so is its bound' * same}.",
        goal_panel,
        rows,
        curves=short,
        note=f"N = {rows['n_transitions'].iloc[0]:,}. {mean_note(part['seed'].nunique())}",
    )


def overview(table, families):
    """Goal regret and bounds of every family, and how the best dimension of the error grows with the data."""
    figure, axes = new_figure(2, 3, width=4.0, height=3.0)
    panels = list(axes.ravel())
    for axis, family in zip(panels[:-1], families, strict=False):
        goal_panel(axis, at(table[table["family"] == family]), names=False)
        axis.set_title(family)
    for axis in panels[len(families) : -1]:
        axis.remove()
    growth_panel(panels[-1], table, families)
    sizes = sorted({int(at(table[table["family"] == family])["n_transitions"].iloc[0]) for family in families})
    full = [f for f in families if best_dimensions(at(table[table["family"] == f]))["root_risk"] >= n_of(table, f)]
    means = [at(table[table["family"] == family]).groupby("dim").mean(numeric_only=True) for family in families]

    def times(bound):
        """How many times the regret a bound is, over families and dimensions with regret."""
        ratios = [(one[bound] / one["goal_regret"])[one["goal_regret"] > FLOOR * one["goal_best"]] for one in means]
        return float(np.median(np.concatenate(ratios)))

    handles = {h.get_label(): h for axis in panels[:-1] for h in axis.get_legend_handles_labels()[0]}
    return finish(
        figure,
        f"At N = {' to '.join(f'{n:,}' for n in dict.fromkeys((sizes[0], sizes[-1])))} fewer dimensions than states have "
        f"less error in {len(families) - len(full)} of {len(families)} worlds; the pointwise bound is "
        f"{times('goal_pointwise'):.0f} times the regret (median), Thm 4.1 {times('goal_printed'):,.0f} times.",
        f"{mean_note(table['seed'].nunique())} Hatched: a bound that says nothing. One figure a world: bound_vs_dim_*.",
        legend=[handles[name] for _, name, *_ in GOAL if name in handles],
        columns=6,
    )


def n_of(table, family):
    """States of a family."""
    return int(table.loc[table["family"] == family, "n_states"].iloc[0])


def growth_panel(axis, table, families):
    """Dimension of least mean error against the sample size, a line a family."""
    palette = [COLORS[name] for name in ("measured", "printed", "loose", "chain", "exact", "tight")]
    for number, (family, color, marker) in enumerate(zip(families, palette, "os^vDP", strict=False)):
        part = table[table["family"] == family]
        mean = part.groupby(["n_transitions", "dim"])["root_risk"].mean().unstack("dim")
        # A little apart, or those that coincide were one.
        axis.plot(mean.index, mean.idxmin(axis=1) * 1.05 ** (number - 2), color=color, marker=marker, label=family)
    best_axis(axis, table)
    axis.set_title("dimension of least error (a little apart)")
    label_ends(axis)


def pretraining_panel(axis, part):
    """sqrt(R_S) for every sample size, with tail and oracle bounds."""
    rows = at(part)
    for n, color in sequential_colors(sorted(part["n_transitions"].unique())).items():
        curve = mean_band(part[part["n_transitions"] == n], by="dim", value="root_risk")
        band(axis, curve, "dim", color=color, label=f"N = {n:,}", zorder=2)
    for column, style, label in (
        ("oracle_measured", "-.", "oracle, measured |E|"),
        ("oracle_bernstein", ":", "oracle, Bernstein"),
    ):
        average = rows.groupby("dim")[column].mean()
        axis.plot(average.index, average, color=COLORS["loose"], ls=style, label=label, zorder=1)
    tail = part.groupby("dim")["root_tail"].mean()
    # A tail that is zero to rounding has no place on a log axis: the curve ends at the rank.
    tail = tail.where(tail > 1e-6).dropna()
    axis.plot(tail.index, tail, color=COLORS["exact"], ls="--", zorder=3)
    axis.set_yscale("log")
    dimension_axis(axis, part["dim"])
    risk = part.groupby(["n_transitions", "dim"])["root_risk"].mean()
    axis.set_ylim(0.6 * risk.min(), 1.4 * max(risk.max(), rows["oracle_bernstein"].max()))
    shade_vacuous(axis, rows["root_norm"].mean(), "no better than predicting nothing")
    middle = tail.index[len(tail) // 2]
    label_at(axis, "tail: infinite data", (middle, tail[middle]), shift=(-6, -12), ha="right", color=COLORS["exact"])
    axis.set_ylabel(WORDS["root error"])
    label_ends(axis)


def goal_panel(axis, rows, curves=GOAL, *, names=True):
    """Measured goal regret and its bounds."""
    regret_panel(axis, rows, "goal_best", WORDS["relative goal regret"], curves, names)


def reward_panel(axis, rows, *, names=True):
    """Measured reward regret and its bounds."""
    regret_panel(axis, rows, "reward_optimal", WORDS["reward regret"], REWARD, names)


def regret_panel(axis, rows, scale, ylabel, curves, names):
    """Measured regret and its bounds as shares of the best possible, on a log axis; no curve without its hypothesis."""
    for column, label, color, style in curves:
        # A table kept from before the curve, or a hypothesis that is not met.
        if column not in rows or rows[column].isna().all():
            continue
        share = rows.assign(share=rows[column] / rows[scale])
        curve = mean_band(share, by="dim", value="share")
        zorder = 4 if label.startswith("measured") else 2
        band(axis, curve, "dim", floor=FLOOR, color=COLORS[color], ls=style, label=label, zorder=zorder)
    axis.set_yscale("log")
    dimension_axis(axis, rows["dim"])
    shade_vacuous(axis, 1.0, "vacuous")
    axis.set_ylabel(ylabel)
    if names:
        label_ends(axis)


def best_dimension_panel(axis, part):
    """Dimension of least mean error or regret against the sample size, with the middle half of the seeds."""
    for number, (column, label, color, marker) in enumerate(BEST):
        apart = 1.06 ** (number - 1)
        mean = part.groupby(["n_transitions", "dim"])[column].mean().unstack("dim")
        axis.plot(mean.index, mean.idxmin(axis=1) * apart, color=COLORS[color], marker=marker, label=label)
        rows = part.loc[part.groupby(["n_transitions", "seed"])[column].idxmin()]
        spread = apart * rows.groupby("n_transitions")["dim"].quantile([0.25, 0.75]).unstack()
        axis.fill_between(spread.index, spread[0.25], spread[0.75], color=COLORS[color], alpha=0.12, linewidth=0)
    best_axis(axis, part)
    label_ends(axis)


def best_axis(axis, part):
    """Dimensions up to the number of states against transitions, both on log scales."""
    axis.set_xscale("log")
    axis.set_yscale("log")
    top = int(part["n_states"].max())
    ticks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k < 0.75 * top] + [top]
    axis.set_yticks(ticks, [*map(str, ticks[:-1]), f"n = {top}"])
    axis.set_ylim(0.85, 1.2 * top)
    axis.minorticks_off()
    axis.set_xlabel(WORDS["transitions"])
    axis.set_ylabel("best latent dimension")
