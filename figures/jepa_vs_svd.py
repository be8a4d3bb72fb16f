"""Draw ``jepa_vs_svd``: how far each trained JEPA stays from the closed form, in loss, risk, directions and regret."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from spectral_jepa.plotting.finding import finish, label_at, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, styled

FLOOR, LIMIT = 1e-16, 1e-6
PALETTE = [COLORS[name] for name in ("measured", "tight", "loose", "printed", "chain")]
MARKERS = "os^vD"
DIMS = (2, 5, 8)


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figure, axes = new_figure(2, 2, width=5.2, height=3.5)
    free = table[table["predictor"] == "free"]
    for axis, loss in zip(axes[0], ("spectral", "soft whitening"), strict=True):
        risk_panel(axis, free[free["loss"] == loss])
        axis.set_title(f"{loss}, free predictor, exact gradients")
    label_ends(axes[0, 1])
    span_panel(axes[1, 0], table)
    regret_panel(axes[1, 1], table)
    exact = free[free["loss"].isin(("spectral", "soft whitening"))]
    worst = (exact["risk"] - exact["best_risk"]).abs().max()
    finish(
        figure,
        f"A JEPA trained with exact gradients and a free predictor is the truncated SVD, risk within {worst:.0e}; other "
        "predictors and losses span other functions and plan differently.",
        "Top: largest distance of the seeds; what is below 1e-16 is drawn there. Bottom left: a dot a run, bar: median, k "
        f"= {', '.join(map(str, DIMS))}. Bottom right: a mark a run; on the line a JEPA plans as well as the SVD.",
    )
    talk = talk_version(
        f"Trained on the exact loss, a JEPA is the truncated SVD: risk within {worst:.0e}.",
        risk_panel,
        free[free["loss"] == "spectral"],
        legend=True,
        columns=3,
        note="Spectral loss, free predictor; largest distance of the seeds.",
    )
    return {"jepa_vs_svd": figure, "jepa_vs_svd_talk": talk}


def risk_panel(axis, part):
    """Distance of the trained risk from the predicted one against the dimension, one line a world."""
    for (family, rows), color, marker in zip(part.groupby("family", sort=False), PALETTE, MARKERS, strict=False):
        gap = (rows["risk"] - rows["best_risk"]).abs().groupby(rows["dim"]).max()
        axis.semilogy(gap.index, np.maximum(gap, FLOOR), marker=marker, color=color, label=family)
    axis.axhline(LIMIT, color="0.4", ls="--", lw=1)
    label_at(axis, "limit of the claim: 1e-6", (part["dim"].min(), LIMIT), color="0.3", shift=(0, 4))
    axis.set_ylim(FLOOR / 5, 1e-3)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel(WORDS["dimension"])
    axis.set_ylabel("|trained risk - closed form|")


def span_panel(axis, table):
    """What the span of each encoder misses, refitted, a row a loss and predictor."""
    labels = []
    for position, ((loss, predictor), part) in enumerate(table.groupby(["loss", "predictor"], sort=False)):
        part = part[part["dim"].isin(DIMS)]
        miss = np.maximum(part["refit_risk"] - part["tail"], FLOOR)
        height = position + np.linspace(-0.28, 0.28, len(miss))
        axis.semilogx(miss, height, ls="", marker="o", ms=3, color=COLORS["measured"], alpha=0.6)
        axis.semilogx(np.median(miss), position, marker="|", ms=11, mew=2.2, color=COLORS["printed"])
        labels.append(f"{loss}, {predictor}")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.set_xlabel("refitted risk - tail")
    axis.set_title("what the encoder's span misses")


def regret_panel(axis, table):
    """Regret of planning with the trained encoder against the SVD's."""
    for (loss, part), color, marker in zip(table.groupby("loss", sort=False), PALETTE, MARKERS, strict=False):
        axis.plot(
            part["svd_regret"], part["regret"], ls="", marker=marker, ms=3.5, mec="white", mew=0.4, color=color, label=loss
        )
    low = -0.02
    high = float(max(table["regret"].max(), table["svd_regret"].max())) * 1.05 + 0.02
    axis.plot([low, high], [low, high], color="0.5", lw=0.8)
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)
    axis.set_xlabel("truncated SVD: " + WORDS["reward regret"])
    axis.set_ylabel("trained JEPA, refitted: the same")
    axis.set_title("planning with the refitted model")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.2)
