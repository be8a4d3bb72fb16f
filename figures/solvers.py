"""Draw ``solvers``: what each solver loses, how long it takes, and the price of one shared encoder."""

import numpy as np

from spectral_jepa.plotting.finding import finish, talk_version
from spectral_jepa.plotting.style import COLORS, NOTE_COLOR, band, halo, new_figure, styled
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
# Where both give the same, the dashes of the one lie on the other.
SHARED = {
    "stacked_risk": ("stacked SVD, prediction refitted", {"color": COLORS["chain"], "marker": "s", "lw": 3.2, "ms": 6}),
    "risk": ("alternating least squares", {"color": COLORS["tight"], "marker": "D", "ls": (0, (3, 2))}),
}
# Families of the figure, with loss above and the price of one encoder below; the others are an appendix.
N_MAIN = 3


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}, three a latent dimension, and one for a talk."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figures, dims = {}, sorted(table["dim"].unique())
    for k in dims:
        name, part = ("solvers" if k == dims[0] else f"solvers_dim_{k}"), table[table["dim"] == k]
        families = list(dict.fromkeys(part["family"]))
        # Those in which solvers differ most come first.
        spread = part[part["solver"].str.startswith("randomized")].groupby("family")["lost_share"].max()
        families.sort(key=lambda family: -spread.get(family, 0.0))
        figures[name] = loss_figure(part, families[:N_MAIN], k)
        for number, start in enumerate(range(N_MAIN, len(families), N_MAIN)):
            figures[f"{name}_more" + f"_{number + 1}" * (number > 0)] = loss_figure(
                part, families[start : start + N_MAIN], k
            )
        figures[f"{name}_time"] = time_figure(part, families[:6], k)
        if k == dims[0]:
            family = families[0]
            figures["solvers_talk"] = talk_version(
                sentence(part, [family], k), loss_panel, part[part["family"] == family], legend=True, note=family
            )
    return figures


def worst(part, solver):
    """Largest share of the attainable energy that a solver loses."""
    return part.loc[part["solver"] == solver, "lost_share"].astype(float).max()


def sentence(part, families, k):
    """What Lanczos and randomized iteration lose."""
    rows = part[part["family"].isin(families)]
    few, many = (worst(rows, f"randomized, {n} iterations") for n in (4, 16))
    lost = worst(rows, "Lanczos")
    return (
        f"At k = {k} Lanczos loses {words(lost)} of the energy; randomized iteration up to {words(few)} in 4 rounds, up to "
        f"{words(many)} in 16."
    )


def words(share):
    """A share in words: what is rounding is called so."""
    return "only rounding" if share < 1e-12 else f"{share:.1%}" if share >= 1e-3 else f"{share:.0e}"


def loss_figure(part, families, k):
    """Energy lost above, price of one encoder below, a column a family."""
    figure, axes = new_figure(2, len(families), width=3.9, height=2.7)
    for column, family in zip(axes.T, families, strict=True):
        rows = part[part["family"] == family]
        loss_panel(column[0], rows)
        shared_panel(column[1], rows)
        column[0].set_title(family)
    for row in axes:
        low, high = (f(axis.get_ylim()[i] for axis in row) for i, f in enumerate((min, max)))
        for axis in row:
            axis.set_ylim(low, high)
    handles = {h.get_label(): h for axis in (axes[0, 0], axes[1, 0]) for h in axis.get_legend_handles_labels()[0]}
    return finish(
        figure,
        sentence(part, families, k),
        f"Mean (above: geometric) and 95 % interval of the mean, {part['seed'].nunique()} seeds. Below: what one encoder "
        "for all actions costs, in per cent of the pretraining error with one encoder for each.",
        legend=list(handles.values()),
        columns=3,
    )


def time_figure(part, families, k):
    """Median time to fit, a panel a family."""
    figure, axes = new_figure(2 if len(families) > 3 else 1, min(len(families), 2), width=4.6, height=2.7)
    for axis, family in zip(axes.ravel(), families, strict=False):
        rows = part[part["family"] == family]
        for name, line in LINES.items():
            # Clock readings are skewed by whatever else the machine does: the median, without a band.
            seconds = rows[rows["solver"] == name].groupby("n_states")["fit_seconds"].median()
            axis.plot(seconds.index, seconds, label=name, **line)
        axis.set_yscale("log")
        axis.set_ylabel("median time to fit (s)")
        axis.set_title(family)
        states_axis(axis, rows)
    largest = part[part["n_states"] == part["n_states"].max()].groupby("solver")["fit_seconds"].median()
    quick = largest.idxmin()
    return finish(
        figure,
        f"At k = {k} and {part['n_states'].max():,} states {quick} is the quickest of all, "
        f"{largest['full SVD'] / largest[quick]:.0f} times as quick as the full SVD.",
        f"Median of {part['seed'].nunique()} seeds, one thread.",
        legend=axes[0, 0].get_legend_handles_labels()[0],
        columns=5,
    )


def loss_panel(axis, rows):
    """Share of the attainable energy that each solver loses against the number of states."""
    for name, line in LINES.items():
        if name != ALS:
            part = rows[rows["solver"] == name]
            # Losses span decades between seeds: geometric mean, and the band of the logarithm.
            lost = part.assign(lost=np.log10(np.maximum(part["lost_share"].astype(float), FLOOR)))
            curve = mean_band(lost, by="n_states", value="lost")
            curve = curve.assign(**{c: 10 ** curve[c] for c in ("mean", "low", "high")})
            band(axis, curve, "n_states", label=name, **line)
    axis.set_yscale("log")
    axis.axhspan(FLOOR / 5, 1e-13, color="0.93", zorder=0)
    axis.set_ylim(FLOOR / 5, 1)
    axis.set_ylabel("share of energy lost")
    states_axis(axis, rows)
    at = axis.get_yaxis_transform()
    style = {"ha": "left", "va": "bottom", "fontsize": "small", "color": NOTE_COLOR, "path_effects": halo()}
    axis.text(0.02, 1.3e-13, "rounding below", transform=at, **style)


def shared_panel(axis, rows):
    """What one encoder for all actions costs, by two solvers."""
    shared = rows[rows["solver"] == ALS]
    optimum = shared["per_action_risk"].astype(float)
    for value, (label, line) in SHARED.items():
        excess = shared.assign(excess=100 * (shared[value].astype(float) / optimum - 1))
        band(axis, mean_band(excess, by="n_states", value="excess"), "n_states", label=label, **line)
    axis.axhline(0, color="0.4", lw=0.8, zorder=0)
    axis.set_ylabel("price of one encoder (%)")
    states_axis(axis, rows)


def states_axis(axis, rows):
    """Numbers of states on a log scale."""
    sizes = sorted(rows["n_states"].unique())
    ticks = [n for i, n in enumerate(sizes) if i == 0 or n / sizes[i - 1] > 1.5]
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axis.minorticks_off()
    axis.set_xlabel("states n")
