"""Draw ``sharpest``: printed bounds that lie below the regret, corrected ones above it, and the best ratio of each bound."""

import numpy as np
import pandas as pd

from spectral_jepa.plotting.finding import finish, label_at, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, styled

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
# Of the search's curves: colours that every reader tells apart, and dashes where they come again.
SHADES = [(color, line) for line in ("-", "--") for color in COLORS.values()]
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
    figure, axes = new_figure(2, 3, width=4.6, height=3.5)
    named, random, best = (table[table["kind"] == kind] for kind in ("named", "random", "best"))
    named_panel(axes[0, 0], named)
    scatter_panel(axes[0, 1], random, "regret", [("bound", "printed", "Thm 4.1, printed")])
    corrected = [("corrected_loose", "loose", "averaged (4.2)"), ("corrected_bound", "tight", "pointwise (4.1)")]
    scatter_panel(axes[0, 2], random, "corrected_regret", corrected)
    axes[0, 1].set_title("random worlds: Thm 4.1 as printed")
    axes[0, 2].set_title(r"planner on $\hat P$: the corrected bounds")
    family_panel(axes[1, 0], table[table["kind"] == "turned"])
    frontier_panel(axes[1, 1], best)
    ratio_panel(axes[1, 2], best)
    broken = violated(random, "regret", "bound")
    held = violated(random, "corrected_regret", "corrected_bound")
    below = int((named["bound"] < named["regret"]).sum())
    finish(
        figure,
        f"The printed bound lies below the regret in {below} of {len(named)} worlds made for it and in {broken:,} of "
        f"{len(random):,} random ones; the corrected one in {held or 'none'}, and a search comes up to it.",
        "A bound or regret below 1e-5 is drawn at 0. Shaded: there a bound is false. Top left: worlds made by hand. Bottom "
        "left: encoders turned by an angle. Bottom right: largest ratio found; black: attained or approached by hand.",
    )
    figures = {
        "sharpest": figure,
        "sharpest_talk": talk_version(
            f"The printed bound is false in {broken:,} of {len(random):,} random worlds.",
            scatter_panel,
            random,
            "regret",
            [("bound", "printed", "Thm 4.1, printed")],
            note="A dot a world; below the line the bound is less than what it bounds.",
        ),
    }
    searched = table[table["kind"] == "search"]
    if not searched.empty:
        own, axis = new_figure(1, 1, width=7.5, height=3.8)
        history_panel(axis[0, 0], pd.concat([searched, best]))
        reached = best.groupby("target")["ratio"].max().reindex(LABELS).dropna()
        sentence = f"The search comes within 1 % of {int((reached > 0.99).sum())} of {len(reached)} corrected bounds."
        figures["sharpest_search"] = finish(own, sentence, "The best seed of each bound.")
        figures["sharpest_search_talk"] = talk_version(sentence, history_panel, pd.concat([searched, best]))
    return figures


def violated(rows, regret, bound):
    """In how many worlds the regret is more than its bound."""
    return int((rows[regret].to_numpy(float) > rows[bound].to_numpy(float) + 1e-10).sum())


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
            ("regret", "measured", "o", "regret, paper's planner"),
            ("corrected_bound", "tight", "^", "corrected bound"),
            ("corrected_regret", "other", "D", r"regret, planner on $\hat P$"),
        )
    ):
        height = floored(named[column])
        style = {"color": COLORS[color], "ms": 7, "label": label, "clip_on": False, "zorder": 3}
        axis.plot(place + (offset - 1.5) * 0.17, height, marker, **style)
    axis.vlines(place - 0.17, floored(named["bound"]), floored(named["regret"]), color=COLORS["measured"], lw=0.8, alpha=0.4)
    axis.set_yscale("log")
    axis.set_ylim(FLOOR, 40)
    floor_axis(axis, "y")
    axis.set_xticks(place, [name.replace(", ", "\n").replace("two states", "two\nstates") for name in named["name"]])
    axis.set_xlim(-0.6, len(named) - 0.4)
    axis.set_ylabel(WORDS["goal regret"])
    axis.set_title("worlds made by hand")
    axis.legend(loc="upper center", ncols=2, columnspacing=1.0, handletextpad=0.3)


def scatter_panel(axis, rows, regret, bounds):
    """Bounds against regret of random worlds, one point an instance; below the diagonal a bound is false."""
    for number, (bound, color, name) in enumerate(bounds):
        x, y = floored(rows[regret]), floored(rows[bound])
        size = np.where((x > FLOOR) & (y > FLOOR), 5, 18)  # those on the axes would be lost
        style = {"color": COLORS[color], "alpha": 0.5, "lw": 0, "rasterized": True, "clip_on": False, "zorder": 3}
        axis.scatter(x, y, size, **style)
        text = f"{name}:\nbelow the regret in\n{violated(rows, regret, bound):,} of {len(rows):,}"
        label_at(axis, text, (1.5, FLOOR * 2.5 * 60**number), color=COLORS[color], shift=(0, 0), ha="right", zorder=5)
    limits = (FLOOR, 20)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.plot(limits, limits, color=COLORS["exact"], lw=1)
    axis.fill_between(limits, [FLOOR, FLOOR], limits, color=COLORS["printed"], alpha=0.08, lw=0)
    axis.set_xlim(FLOOR, 2)
    axis.set_ylim(*limits)
    floor_axis(axis, "x")
    floor_axis(axis, "y")
    axis.set_xlabel("measured " + WORDS["goal regret"])
    axis.set_ylabel("bound")


def family_panel(axis, rows):
    """The family of theory.md, 3.1: everything is lost, the bound is as small as one likes, at every T."""
    for shade, (name, part) in zip((0.35, 0.55, 0.75, 1.0), rows.groupby("name", sort=False), strict=False):
        axis.plot(part["angle"], part["bound"], color=COLORS["printed"], alpha=shade, label=f"printed, {name}")
    axis.plot(rows["angle"], rows["regret"], "o", color=COLORS["measured"], ms=4, zorder=3)
    low = rows["angle"].min()
    label_at(axis, "measured, every T", (low, rows["regret"].max()), color=COLORS["measured"], shift=(0, 6))
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel(r"angle $\theta$ between $f(1)$ and $f(2)$")
    axis.set_ylabel(WORDS["goal regret"])
    axis.set_title("all is lost, at any positive bound")
    label_ends(axis)


def frontier_panel(axis, best):
    """Largest regret found at each level of the printed bound, and the families in closed form."""
    # The three lie on each other: sizes and shapes keep them apart.
    for target, color, marker, size in (
        ("thm-4.2, T = 3", "chain", "s", 11),
        ("thm-4.2, T = 2", "loose", "D", 8),
        ("thm-4.1", "measured", "o", 4.5),
    ):
        part = best[best["target"] == target].groupby("level")["regret"].max().cummax()
        name = target.replace("thm-", "Thm ")
        axis.plot(part.index, part, marker, color=COLORS[color], ms=size, label=f"search, {name}", zorder=3)
    bounds = np.geomspace(5e-3, 1.5)
    axis.plot(bounds, np.full(bounds.size, 1.0), color=COLORS["exact"], lw=1.2, zorder=2)
    for share, style, label in (
        (0.75, "--", r"reset, $n=4$, $\eta\to0$: $(n-1)/n$"),
        (0.675, ":", r"reset, $n=4$, $\eta=.1$"),
    ):
        axis.plot(bounds, np.full(bounds.size, share), color=COLORS["exact"], ls=style, lw=1.2, zorder=2)
        above = share > 0.7
        label_at(axis, label, (bounds[0], share), shift=(0, 3 if above else -3), va="bottom" if above else "top")
    allowed = np.minimum(bounds, 1)
    axis.plot(bounds, allowed, color=COLORS["printed"])
    at = np.searchsorted(bounds, 0.3)
    text = "what the theorems allow"
    label_at(axis, text, (bounds[at], allowed[at]), color=COLORS["printed"], shift=(-8, 4), ha="right")
    label_at(axis, r"swap, $\eta\to0$", (bounds[0], 1.0), shift=(0, 8))
    axis.set_xscale("log")
    axis.set_ylim(0, 1.18)
    axis.set_xlabel("printed bound at most")
    axis.set_ylabel("largest goal regret (probability)")
    axis.set_title("encoders of norm 1, searched")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 0.04), handletextpad=0.3)


def ratio_panel(axis, best):
    """Best ratio found and the one known by hand."""
    found = best.groupby("target")["ratio"].max()
    names = [name for name in LABELS if name in found.index]
    place = np.arange(len(names))[::-1]
    axis.barh(place, found[names], color=COLORS["tight"], height=0.6)
    for height, name in zip(place, names, strict=True):
        if name in BY_HAND:
            axis.plot([BY_HAND[name]] * 2, [height - 0.38, height + 0.38], color=COLORS["exact"], lw=2)
        value = np.floor(found[name] * 1000) / 1000
        axis.text(0.02, height, f"{value:.3f}", va="center", color="white", fontweight="bold", fontsize="small")
    axis.set_yticks(place, [LABELS[name] for name in names])
    axis.set_xlim(0, 1.05)
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.grid(False)
    axis.set_xlabel("largest regret / bound found")
    attained = int((found[names] > 0.99).sum())
    axis.set_title(f"{attained} of {len(names)} corrected bounds are attained")


def history_panel(axis, rows):
    """Best ratio so far against evaluations, the best seed of each target."""
    for (name, label), (color, line) in zip(LABELS.items(), SHADES, strict=False):
        part = rows[rows["target"] == name]
        if not part.empty:
            part = part[part["seed"] == part.loc[part["best"].idxmax(), "seed"]].sort_values("evaluations")
            axis.step(part["evaluations"], part["best"], where="post", color=color, ls=line, label=label)
    axis.set_xscale("log")
    axis.set_ylim(0, 1.05)
    axis.set_xlabel("instances evaluated")
    axis.set_ylabel("best regret / bound so far")
    label_ends(axis)
