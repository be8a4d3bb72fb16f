"""Draw ``jepa_vs_svd``: how far each trained JEPA stays from the closed form, in loss, risk, directions and regret."""

import numpy as np

from spectral_jepa.plotting.style import COLORS, new_figure, styled

FLOOR = 1e-16
PALETTE = [COLORS[name] for name in ("measured", "tight", "loose", "printed", "chain")]


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figure, axes = new_figure(2, 2, width=5.2, height=3.5)
    free = table[table["predictor"] == "free"]
    for axis, loss in zip(axes[0], ("spectral", "soft whitening"), strict=True):
        risk_panel(axis, free[free["loss"] == loss], loss)
    span_panel(axes[1, 0], table)
    regret_panel(axes[1, 1], table)
    return {"jepa_vs_svd": figure}


def risk_panel(axis, part, loss):
    """Distance of the trained risk from the predicted one against the dimension, one line a world."""
    for (family, rows), color in zip(part.groupby("family", sort=False), PALETTE, strict=False):
        gap = (rows["risk"] - rows["best_risk"]).abs().groupby(rows["dim"]).max()
        axis.semilogy(gap.index, np.maximum(gap, FLOOR), marker="o", color=color, label=family)
    axis.axhline(1e-6, color="0.4", ls="--", lw=1)
    axis.text(axis.get_xlim()[1], 1.3e-6, "1e-6", ha="right", va="bottom", color="0.4", fontsize=7.5)
    axis.set_ylim(FLOOR / 3, 1)
    axis.set_xlabel("latent dimension $k$")
    axis.set_ylabel("|trained risk - closed form|")
    axis.set_title(f"{loss}, free predictor, exact gradients")
    axis.legend(ncols=2, loc="upper left")


def groups(table):
    """Loss and predictor pairs, in order, with a label."""
    for (loss, predictor), part in table.groupby(["loss", "predictor"], sort=False):
        yield f"{loss}, {predictor}", part[part["dim"].isin((2, 5, 8))]


def span_panel(axis, table):
    """What the span of each encoder misses, refitted, as a share of what could be explained."""
    labels = []
    for position, (label, part) in enumerate(groups(table)):
        miss = np.maximum(part["refit_risk"] - part["tail"], FLOOR)
        spread = np.linspace(-0.25, 0.25, len(miss))
        axis.semilogy(position + spread, miss, ls="", marker="o", ms=3, color=COLORS["measured"], alpha=0.6)
        axis.semilogy(position, np.median(miss), marker="_", ms=16, mew=2, color=COLORS["printed"])
        labels.append(label)
    axis.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=7)
    axis.set_ylabel("refitted risk - tail$_k$")
    axis.set_title("what the encoder's span misses ($k$ = 2, 5, 8; bar: median)")


def regret_panel(axis, table):
    """Regret of planning with the trained encoder against the SVD's."""
    for (loss, part), color in zip(table.groupby("loss", sort=False), PALETTE, strict=False):
        axis.plot(part["svd_regret"], part["regret"], ls="", marker="o", ms=3, alpha=0.6, color=color, label=loss)
    low = -0.02
    high = float(max(table["regret"].max(), table["svd_regret"].max())) * 1.05 + 0.02
    axis.plot([low, high], [low, high], color="0.5", lw=0.8)
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)
    axis.set_xlabel("regret of the truncated SVD (share of the return)")
    axis.set_ylabel("regret of the trained JEPA")
    axis.set_title("planning with the refitted model")
    axis.legend(loc="upper left")
