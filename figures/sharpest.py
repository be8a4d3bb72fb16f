"""Draw ``sharpest``: printed bounds that lie below the regret, corrected ones above it, and the best ratio of each bound."""

import numpy as np
import pandas as pd

from spectral_jepa.plotting.style import COLORS, new_figure, styled

# A printed bound of 0 has no place on a log axis: it is drawn here, and the axis says so.
FLOOR = 1e-5
# The largest ratio that an instance found by hand attains or approaches (tests/theory/test_sharpest_instances.py).
BY_HAND = {
    "pointwise": 1.0,
    "averaged": 1.0,
    "thm-4.1 repaired": 1.0,
    "thm-4.1 + dropped term": 1.0,
    "multi-step, T = 2": 1.0,
    "reward, tight": 1.0,
    "reward, loose": 1.0,
    "oracle": np.sqrt(5 / 8),
}
# One colour a bound in the two last panels, so that the bars are the legend of the curves.
SHADES = ["C0", "C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9"]
LABELS = {
    "pointwise": "pointwise (4.1)",
    "averaged": "averaged (4.2)",
    "thm-4.1 repaired": "Thm 4.1, equal $w_a^+$",
    "thm-4.1 + dropped term": "Thm 4.1 + its term",
    "multi-step, T = 2": "$T=2$ (4.3)",
    "multi-step, T = 2, truncated SVD": "$T=2$, SVD, $n,k=4,2$",
    "reward, tight": "reward, tight (4.4)",
    "reward, loose": "reward, loose (4.4)",
    "oracle": "oracle, excess (4.5)",
}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    figure, axes = new_figure(2, 3, width=4.4, height=3.7)
    named_panel(axes[0, 0], table[table["kind"] == "named"])
    random = table[table["kind"] == "random"]
    scatter_panel(axes[0, 1], random, "regret", "bound", "printed", "random worlds, dot planner: Thm 4.1 is often violated")
    scatter_panel(
        axes[0, 2],
        random,
        "corrected_regret",
        "corrected_loose",
        "loose",
        "planner on $\\hat P$: the corrected bounds never are",
    )
    scatter(axes[0, 2], random, "corrected_regret", "corrected_bound", "tight", "pointwise (4.1)")
    axes[0, 2].legend(loc="lower right", markerscale=2)
    best = table[table["kind"] == "best"]
    family_panel(axes[1, 0], table[table["kind"] == "turned"])
    frontier_panel(axes[1, 1], best)
    ratio_panel(axes[1, 2], best)
    figures = {"sharpest": figure}
    searched = table[table["kind"] == "search"]
    if not searched.empty:
        own, axis = new_figure(1, 1, width=6.5, height=3.7)
        history_panel(np.ravel(axis)[0], pd.concat([searched, best]))
        figures["sharpest_search"] = own
    return figures


def floored(values):
    """Zeros, and what is zero to rounding, at the floor."""
    return np.maximum(values.to_numpy(float), FLOOR)


def floor_axis(axis, which):
    """Write the floor as 0."""
    ticks = [1e-4, 1e-3, 1e-2, 1e-1, 1]
    setter = axis.set_xticks if which == "x" else axis.set_yticks
    setter([FLOOR, *ticks], ["0", *(rf"$10^{{{round(np.log10(t))}}}$" for t in ticks)])
    getattr(axis, f"{which}axis").minorticks_off()


def named_panel(axis, named):
    """Four numbers for each counterexample."""
    place = np.arange(len(named))
    for offset, (column, color, marker, label) in enumerate(
        (
            ("bound", "printed", "v", "printed bound"),
            ("regret", "measured", "o", "measured, paper's (Euclidean)"),
            ("corrected_bound", "tight", "^", "corrected bound"),
            ("corrected_regret", "other", "D", r"measured, planner on $\hat P$"),
        )
    ):
        height = floored(named[column])
        axis.plot(
            place + (offset - 1.5) * 0.17, height, marker, color=COLORS[color], ms=7, label=label, clip_on=False, zorder=3
        )
    axis.vlines(place - 0.17, floored(named["bound"]), floored(named["regret"]), color=COLORS["measured"], lw=0.8, alpha=0.4)
    axis.set_yscale("log")
    axis.set_ylim(FLOOR, 40)
    floor_axis(axis, "y")
    axis.set_xticks(place, [name.replace(", ", "\n").replace("two states", "two\nstates") for name in named["name"]])
    axis.set_xlim(-0.6, len(named) - 0.4)
    axis.set_ylabel("goal regret (probability)")
    axis.set_title("the printed bound lies below the regret")
    axis.legend(loc="upper center", ncols=2, columnspacing=1.0, handletextpad=0.3)


def scatter(axis, rows, regret, bound, color, label):
    """One point an instance."""
    x, y = floored(rows[regret]), floored(rows[bound])
    size = np.where((x > FLOOR) & (y > FLOOR), 5, 18)  # those on the axes would be lost
    axis.scatter(x, y, size, color=COLORS[color], alpha=0.5, lw=0, label=label, rasterized=True, clip_on=False, zorder=3)


def scatter_panel(axis, rows, regret, bound, color, title):
    """Bound against regret of random worlds; below the diagonal the bound is false."""
    label = {"printed": "random world", "loose": "averaged (4.2)"}[color]
    scatter(axis, rows, regret, bound, color, label)
    axis.set_xscale("log")
    axis.set_yscale("log")
    limits = (FLOOR, 20)
    axis.plot(limits, limits, color=COLORS["exact"], lw=1)
    axis.fill_between(limits, [FLOOR, FLOOR], limits, color=COLORS["printed"], alpha=0.08, lw=0)
    axis.set_xlim(FLOOR, 2)
    axis.set_ylim(*limits)
    floor_axis(axis, "x")
    floor_axis(axis, "y")
    measured, claimed = rows[regret].to_numpy(float), rows[bound].to_numpy(float)
    broken = int(np.sum(measured > claimed + 1e-10))
    axis.text(0.97, 0.3, f"bound violated:\n{broken} of {len(rows):,}", transform=axis.transAxes, ha="right", va="top")
    axis.set_xlabel("measured regret")
    axis.set_ylabel("bound")
    axis.set_title(title)


def family_panel(axis, rows):
    """The family of theory.md, 3.1: everything is lost, the bound is as small as one likes, at every T."""
    for shade, (name, part) in zip((0.35, 0.55, 0.75, 1.0), rows.groupby("name", sort=False), strict=False):
        label = name.replace("T = ", "$T=$")
        axis.plot(part["angle"], part["bound"], color=COLORS["printed"], alpha=shade, label=f"printed bound, {label}")
    axis.plot(
        rows["angle"], rows["regret"], "o", color=COLORS["measured"], ms=4, label="measured regret, every $T$", zorder=3
    )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel(r"angle $\theta$ between $f(1)$ and $f(2)$")
    axis.set_ylabel("goal regret (probability)")
    axis.set_title("all is lost, at any positive bound and any $T$")
    axis.legend(loc="lower right")


def frontier_panel(axis, best):
    """Largest regret found at each level of the printed bound, and the families in closed form."""
    # The three lie on each other: sizes and shapes keep them apart.
    for target, color, marker, size in (
        ("thm-4.2, T = 3", "chain", "s", 11),
        ("thm-4.2, T = 2", "loose", "D", 8),
        ("thm-4.1", "measured", "o", 4.5),
    ):
        part = best[best["target"] == target].groupby("level")["regret"].max().cummax()
        name = target.replace("thm-", "Thm ").replace("T = ", "$T=$")
        axis.plot(part.index, part, marker, color=COLORS[color], ms=size, label=f"search, {name}", zorder=3)
    bounds = np.geomspace(5e-3, 1.5)
    for share, style, label in (
        (1.0, "-", r"swap, $\eta\to0$"),
        (0.75, "--", r"reset, $n=4$, $\eta\to0$: $(n-1)/n$"),
        (0.675, ":", r"reset, $n=4$, $\eta=.1$"),
    ):
        axis.plot(bounds, np.full(bounds.size, share), color=COLORS["exact"], ls=style, lw=1.2, label=label, zorder=2)
    axis.plot(bounds, np.minimum(bounds, 1), color=COLORS["printed"], label="what the theorems allow")
    axis.set_xscale("log")
    axis.set_ylim(0, 1.08)
    axis.set_xlabel("printed bound at most")
    axis.set_ylabel("largest regret")
    axis.set_title("unit-norm encoders: the search finds regret 1")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 0.1), fontsize=7)


def ratio_panel(axis, best):
    """Best ratio found and the one known by hand."""
    found = best.groupby("target")["ratio"].max()
    names = [name for name in LABELS if name in found.index]
    place = np.arange(len(names))[::-1]
    axis.barh(place, found[names], color=[SHADES[list(LABELS).index(name)] for name in names], height=0.6)
    for height, name in zip(place, names, strict=True):
        if name in BY_HAND:
            axis.plot([BY_HAND[name]] * 2, [height - 0.38, height + 0.38], color=COLORS["exact"], lw=2)
        value = np.floor(found[name] * 1000) / 1000
        axis.text(0.02, height, f"{value:.3f}", va="center", color="white", fontweight="bold", fontsize=8)
    axis.plot([], [], color=COLORS["exact"], lw=2, label="attained or approached by hand")
    axis.set_yticks(place, [LABELS[name] for name in names])
    axis.set_xlim(0, 1.05)
    axis.set_ylim(-0.6, len(names) + 0.35)
    axis.grid(False)
    axis.set_xlabel("largest regret / bound found")
    axis.set_title("seven of nine corrected bounds are attained")
    axis.legend(loc="upper right")


def history_panel(axis, rows):
    """Best ratio so far against evaluations, the best seed of each target."""
    for name, shade in zip(LABELS, SHADES, strict=True):
        part = rows[rows["target"] == name]
        if part.empty:
            continue
        seed = part.loc[part["best"].idxmax(), "seed"]
        part = part[part["seed"] == seed].sort_values("evaluations")
        axis.step(part["evaluations"], part["best"], where="post", color=shade)
    axis.set_xscale("log")
    axis.set_ylim(0, 1.05)
    axis.set_xlabel("instances evaluated")
    axis.set_ylabel("best regret / bound so far")
    handles = {"color": SHADES, "label": list(LABELS.values())}
    for color, label in zip(*handles.values(), strict=True):
        axis.plot([], [], color=color, label=label)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7)
    axis.set_title("how near the search came to each corrected bound")
