"""Draw ``solvers``: what each solver loses, how long it takes, and the price of one shared encoder."""

import numpy as np

from spectral_jepa.plotting.style import COLORS, band, new_figure, styled
from spectral_jepa.sweep.results import mean_band

# Below this share of the attainable energy a loss is rounding.
FLOOR = 1e-16
LINES = {
    "full SVD": {"color": COLORS["exact"], "ls": "--", "marker": "s"},
    "Lanczos": {"color": COLORS["measured"], "marker": "o"},
    "randomized, 4 iterations": {"color": COLORS["printed"], "marker": "v"},
    "randomized, 16 iterations": {"color": COLORS["loose"], "marker": "^"},
    "alternating least squares": {"color": COLORS["tight"], "marker": "D"},
}
ALS = "alternating least squares"


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}, one a latent dimension."""
    table = table[table["status"] == "ok"] if "status" in table else table
    dims = sorted(table["dim"].unique())
    return {"solvers" if k == dims[0] else f"solvers_dim_{k}": draw_dimension(table[table["dim"] == k], k) for k in dims}


def draw_dimension(table, dim):
    """Three rows (loss, time, shared encoder), one column a family."""
    families = list(dict.fromkeys(table["family"]))
    figure, axes = new_figure(3, len(families), width=3.1, height=2.4)
    for column, family in zip(axes.T, families, strict=True):
        part = table[table["family"] == family]
        column[0].set_title(family)
        for name, line in LINES.items():
            rows = part[part["solver"] == name]
            if name != ALS:
                # Losses span decades between seeds: geometric mean, and the band of the logarithm.
                lost = rows.assign(lost=np.log10(np.maximum(rows["lost_share"].astype(float), FLOOR)))
                curve = mean_band(lost, by="n_states", value="lost")
                band(column[0], curve.assign(**{c: 10 ** curve[c] for c in ("mean", "low", "high")}), "n_states", **line)
            # Clock readings are skewed by whatever else the machine does: the median, without a band.
            seconds = rows.groupby("n_states")["fit_seconds"].median()
            column[1].plot(seconds.index, seconds, label=name, **line)
        shared = part[part["solver"] == ALS]
        optimum = shared["per_action_risk"].astype(float)
        for label, value, line in (
            ("stacked SVD, prediction re-fitted", "stacked_risk", {"color": COLORS["chain"], "ls": "--", "marker": "s"}),
            (ALS, "risk", LINES[ALS]),
        ):
            excess = shared.assign(excess=100 * (shared[value].astype(float) / optimum - 1))
            band(column[2], mean_band(excess, by="n_states", value="excess"), "n_states", label=label, **line)
        finish(column, sorted(part["n_states"].unique()))
    axes[0, 0].set_ylabel("share of attainable\nenergy lost")
    axes[1, 0].set_ylabel("median time to fit (s)")
    axes[2, 0].set_ylabel("risk above one encoder\nan action (%)")
    for row in axes:
        low, high = (f(axis.get_ylim()[i] for axis in row) for i, f in enumerate((min, max)))
        for axis in row:
            axis.set_ylim(low, high)
    handles = dict(zip(*axes[1, 0].get_legend_handles_labels()[::-1], strict=True))
    handles |= dict(zip(*axes[2, 0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    means = f"mean (geometric in the first row) and 95 % band, {table['seed'].nunique()} seeds"
    figure.suptitle(f"Low-rank solvers at latent dimension {dim}: {means}", size=11)
    return figure


def finish(column, sizes):
    """Scales, ticks and zero line of one family."""
    ticks = [n for i, n in enumerate(sizes) if i == 0 or n / sizes[i - 1] > 1.5]
    for axis in column:
        axis.set_xscale("log")
        axis.set_xticks(ticks, [f"{n:,}" for n in ticks])
        axis.minorticks_off()
    column[0].set_yscale("log")
    column[1].set_yscale("log")
    column[2].axhline(0, color="0.4", lw=0.8, zorder=0)
    column[2].set_xlabel("number of states")
    column[0].axhspan(FLOOR / 5, 1e-13, color="0.93", zorder=0)
    column[0].text(
        0.98,
        1e-13,
        "rounding ",
        transform=column[0].get_yaxis_transform(),
        ha="right",
        va="bottom",
        fontsize=7.5,
        color="0.4",
    )
