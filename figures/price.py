"""Draw ``price``: where a price has less error than a dimension and where not, what the data choose, and the guarantees."""

import numpy as np
from matplotlib.ticker import NullFormatter, ScalarFormatter

from spectral_jepa.plotting.finding import finish, ink, label_at, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, styled

# A setting in which the price wins, and one in which the dimension does.
SHOWN = (("garnet", 1000), ("low rank 8", 128_000))
TICKS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 2.0, 2.5)
PRICE_STYLES = {
    "Bernstein price": ("chain", ":"), "bootstrap price": ("loose", "-."), "half-sample price": ("other", "--"),
    "held-out price": ("tight", "-"),
}  # fmt: skip


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    chosen = table[table["kind"] == "chosen"].groupby(["family", "n_transitions", "choice"], sort=False)
    wide = chosen[["root_risk", "reward_regret"]].mean().unstack("choice")
    risk = wide["root_risk"]
    ratio, both = risk["held-out price"] / risk["held-out k"], risk["the better of both"] / risk["held-out k"]
    figure, axes = new_figure(2, 3, width=4.5, height=3.6)
    for axis, (family, n) in zip(axes[0], SHOWN, strict=False):
        part = table[(table["family"] == family) & (table["n_transitions"] == n)]
        curve_panel(axis, part)
        axis.set_title(f"{family}, N = {n:,}")
    ratio_panel(axes[0][2], ratio, "error of the held-out price\nover that of the held-out dimension")
    ratio_panel(axes[1][0], both, "error of whichever the folds prefer\nover that of the held-out dimension")
    regret = wide["reward_regret"]
    ratio_panel(
        axes[1][1],
        regret["held-out price"] / regret["held-out k"],
        "reward regret of the held-out price\nover that of the held-out dimension",
    )
    level_panel(axes[1][2], table)
    less, more = int((ratio < 0.995).sum()), int((ratio > 1.005).sum())
    worse = int((both > 1.005).sum())
    finish(
        figure,
        f"A held-out price has less error than a held-out dimension in {less} of {len(ratio)} settings (few data, heavy "
        f"tails) and more in {more} (low rank, many data); whichever of the two the folds prefer is worse than the "
        f"dimension in {worse}, by {max(both.max() - 1, 0):.0%} at most.",
        f"Means of {table['seed'].nunique()} seeds; error: root of the pretraining error. Large marks: what the data "
        "choose. Below 1 the price is better. Bottom right: geometric means over worlds; marks: the price of least error.",
    )
    family, n = SHOWN[0]
    part = table[(table["family"] == family) & (table["n_transitions"] == n)]
    gain = 1 - ratio.get((family, n), np.nan)
    talk = talk_version(
        f"Heavy tails, few data: paying a price for each direction leaves {gain:.0%} less error than cutting at k.",
        curve_panel,
        part,
        note=f"{family}, N = {n:,}. Large marks: chosen on held-out data.",
    )
    return {"price": figure, "price_talk": talk}


def curve_panel(axis, part):
    """Error of truncations against their dimension, below, and of soft thresholding against its price, above."""
    rank = part[part["kind"] == "rank"].groupby("dim")["root_risk"].mean()
    axis.plot(rank.index, rank, color=COLORS["measured"], marker="o", ms=3)
    above = axis.twiny()
    priced = part[(part["kind"] == "price") & (part["price"] > 0)].groupby("price")["root_risk"].mean()
    above.plot(priced.index, priced, color=COLORS["tight"], marker="s", ms=3)
    for name, color, marker, where, x, shift in (
        ("held-out k", "measured", "o", axis, "dim", (0, 9)),
        ("held-out price", "tight", "s", above, "price", (0, -16)),
        ("half-sample price", "other", "D", above, "price", (9, 5)),
    ):
        one = part[part["choice"] == name][[x, "root_risk"]].mean()
        style = {"color": COLORS[color], "ms": 9, "mec": "white", "ls": "none", "zorder": 4}
        where.plot(one[x], one["root_risk"], marker, **style)
        label_at(
            where, name, (one[x], one["root_risk"]), color=COLORS[color], shift=shift, ha="left" if shift[0] else "center"
        )
    nothing = part["root_norm"].mean()
    axis.axhline(nothing, color="0.5", lw=0.8, ls=":")
    low, high = axis.get_ylim()
    axis.set_ylim(low - 0.12 * (high - low), max(high, nothing + 0.08 * (high - low)))
    label_at(axis, "predicting nothing", (rank.index.max(), nothing), color="0.4", shift=(0, -3), ha="right", va="top")
    axis.set_xscale("log", base=2)
    above.set_xscale("log")
    above.invert_xaxis()
    above.spines["top"].set_visible(True)
    above.grid(False)
    for one in (axis.xaxis, above.xaxis):
        plain(one)
    axis.set_xticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
    above.set_xticks([0.02, 0.05, 0.1, 0.2, 0.5, 1.0], [".02", ".05", ".1", ".2", ".5", "1"])
    above.set_xlabel("price: soft-thresholded (falls to the right)", color=ink(COLORS["tight"]))
    axis.set_xlabel("latent dimension k: truncated", color=ink(COLORS["measured"]))
    axis.set_ylabel(WORDS["root error"])


def ratio_panel(axis, ratio, title):
    """A ratio of two choices against the sample size, one line a family; below 1 the price is better."""
    families = list(dict.fromkeys(ratio.index.get_level_values("family")))
    for color, marker, family in zip(COLORS.values(), "os^vDPX", families, strict=False):
        line = ratio.loc[family]
        axis.plot(line.index, line, color=color, marker=marker, ms=3.5, label=family)
    axis.axhline(1.0, color="0.3", lw=0.8)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_yticks([tick for tick in TICKS if 0.9 * ratio.min() <= tick <= 1.1 * ratio.max()])
    plain(axis.yaxis)
    axis.set_xlabel(WORDS["transitions"])
    axis.set_title(title)
    label_ends(axis)


def level_panel(axis, table):
    """Prices over the true ||E||_2, geometric means over worlds: those that estimate it, and the price of least error."""
    cell = ["family", "n_transitions", "seed"]
    true = table[table["kind"] == "oracle"].set_index(cell)["price"]
    for name, (color, style) in PRICE_STYLES.items():
        ratio = table[table["choice"] == name].set_index(cell)["price"] / true
        line = np.exp(np.log(ratio.clip(lower=1e-3)).groupby(level="n_transitions").mean())
        axis.plot(line.index, line, color=COLORS[color], ls=style, label=name)
    low = table["family"].str.startswith(("low rank", "block"))
    for name, part, marker in (("low rank", table[low], "o"), ("heavy tails", table[~low], "v")):
        grid = part[part["kind"] == "price"].set_index(cell)
        best = grid.loc[grid.groupby(level=cell)["root_risk"].transform("min") == grid["root_risk"], "price"]
        ratio = best[~best.index.duplicated()] / true
        line = ratio.groupby(level="n_transitions").mean()
        axis.plot(line.index, line, "k", marker=marker, ms=4.5, ls="none", label=f"least error, {name}")
    axis.axhline(1.0, color="0.3", lw=0.8)
    axis.set_xscale("log")
    axis.set_xlabel(WORDS["transitions"])
    axis.set_ylabel(r"price / $\|E\|_2$")
    axis.set_ylim(bottom=-0.1)
    axis.set_title("the guarantee's price is not the best one")
    label_ends(axis)


def plain(axis):
    """Plain numbers on a log axis."""
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())
