"""Draw ``latent_vs_input``: the who-wins map, and the curves that explain it."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap

from spectral_jepa.input_level import critical_nuisance_scale
from spectral_jepa.plotting.style import COLORS, band, new_figure, styled
from spectral_jepa.sweep.results import mean_band

MAP_DIMS = (3, 5, 7)
REGRET = "task_goal_regret"
N_TASK = 5
BACKGROUND, DISTRACTOR = 0.5, 0.25
WINS = LinearSegmentedColormap.from_list("wins", [COLORS["loose"], "white", COLORS["measured"]])
SHADES = {"latent": COLORS["measured"], "input": COLORS["loose"]}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    ring, cycle = table[table["task"] == "ring"], table[table["task"] == "cycle"]
    return {"latent_vs_input": draw_map(ring), "latent_vs_input_curves": draw_curves(ring, cycle)}


def size_label(n):
    """N of a column."""
    return "exact matrices" if n == 0 else f"N = {n:,} an action"


def sample_sizes(table):
    """Sample sizes, the exact matrices last."""
    return sorted(table["n_per_action"].unique(), key=lambda n: n or np.inf)


def draw_map(ring):
    """Regret difference over (predictability, scale): a row a dimension, a column a sample size."""
    sizes = sample_sizes(ring)
    figure, axes = new_figure(len(MAP_DIMS), len(sizes), width=3.1, height=2.75)
    blind = ring.loc[ring["dim"] == 1, REGRET].mean()
    for row, dim in zip(axes, MAP_DIMS, strict=True):
        for axis, n in zip(row, sizes, strict=True):
            part = ring[(ring["dim"] == dim) & (ring["n_per_action"] == n)]
            image = map_panel(axis, part, blind)
            room = dim >= 1 + (part["n_values"].iloc[0] - 1) + 2
            if not room:
                boundaries(axis, part, n)
            axis.set_title(f"k = {dim}{' (room for both)' if room else ''}, {size_label(n)}", fontsize=8.5)
        row[0].set_ylabel("nuisance scale in the pixels")
    axes[-1, len(sizes) // 2].set_xlabel("probability p that the nuisance keeps its value (0: i.i.d., 1: frozen)")
    for axis in axes[:2, -1]:
        for x, y, text in (
            (0.27, 0.4, "both reach\nthe goal"),
            (0.47, 7.0, "latent wins"),
            (0.87, 0.2, "input\nwins"),
            (0.87, 6.0, "both\nfail"),
        ):
            axis.text(x, y, text, ha="center", va="center", fontsize=8, weight="bold")
    note = "both reach the goal,\nunless it is frozen:\nevery s then occurs m times\nand the latent needs k = 3 m"
    axes[-1, -1].text(0.45, 1.0, note, ha="center", va="center", fontsize=8, weight="bold")
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=30, pad=0.01)
    bar.set_label("goal regret, input minus latent, as a share of a blind planner's")
    bar.set_ticks([-1, -0.5, 0, 0.5, 1])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9)
    return figure


def map_panel(axis, part, blind):
    """One heat map; grey where both arms lose more than half of what a blind planner loses."""
    latent = part[part["arm"] == "latent"].groupby("persistence")[REGRET].mean()
    paired = part[part["arm"] == "input"].groupby(["nuisance_scale", "persistence"])[REGRET].mean().unstack()
    difference = (paired.to_numpy() - latent.to_numpy()) / blind
    edges = cell_edges(paired.columns.to_numpy(float)), np.exp(cell_edges(np.log(paired.index.to_numpy(float))))
    image = axis.pcolormesh(*edges, difference, cmap=WINS, vmin=-1, vmax=1, rasterized=True)
    both = np.minimum(paired.to_numpy(), latent.to_numpy()) / blind
    lost = np.where((both > 0.5) & (np.abs(difference) < 0.5), 1.0, np.nan)
    axis.pcolormesh(*edges, lost, cmap=ListedColormap(["0.8"]), rasterized=True)
    axis.set_yscale("log")
    axis.set_xlim(0, 1)
    axis.set_ylim(edges[1][0], edges[1][-1])
    axis.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    axis.minorticks_off()
    axis.grid(False)
    return image


def cell_edges(centres):
    """Edges halfway between the centres of cells."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def boundaries(axis, part, n):
    """Where the nuisance outranks the task: the latent compares values, the input predicted variances."""
    value, n_values = part["task_value"].iloc[0], part["n_values"].iloc[0]
    noise = part["n_states"].iloc[0] / n if n else 0.0
    p = np.linspace(0, 1, 400)
    scale = critical_nuisance_scale(value, p, N_TASK, n_values, noise=noise)
    axis.axvline(value, color="black", ls="--", lw=1.3, label="latent drops the task right of it: p = s")
    label = r"input drops the task above it: scale$^2$ p$^2$ / m = s$^2$ / n (with sampling noise S/N)"
    axis.plot(p, scale, color="black", lw=1.3, label=label)


def draw_curves(ring, cycle):
    """Six panels: the two failures, the distractor in detail, and i.i.d. noise."""
    figure, axes = new_figure(2, 3, width=4.1, height=3.3)
    sizes = sample_sizes(ring)
    shades = dict(zip(sizes, np.linspace(0.35, 1, len(sizes)), strict=True))
    background_panel(axes[0, 0], ring, shades)
    distractor_panel(axes[0, 1], ring, shades)
    finite = max(sizes)
    at = ring[(ring["persistence"] == 0.9) & (ring["n_per_action"] == finite)]
    at = at[(at["arm"] == "latent") | np.isclose(at["nuisance_scale"], DISTRACTOR, rtol=1e-3)]
    detail_panel(axes[0, 2], at, finite)
    noise_panels(axes[1], cycle)
    return figure


def background_panel(axis, ring, shades):
    """Regret against the scale of a half-predictable background."""
    at = ring[np.isclose(ring["persistence"], BACKGROUND) & (ring["dim"] == 3)]
    for n, alpha in shades.items():
        part = at[at["n_per_action"] == n]
        line(axis, part[part["arm"] == "input"], "nuisance_scale", SHADES["input"], alpha, None if n else "input")
        latent = part.loc[part["arm"] == "latent", REGRET].mean()
        axis.axhline(latent, color=SHADES["latent"], alpha=alpha, label=None if n else "latent, at any scale")
    value, n_values = at["task_value"].iloc[0], at["n_values"].iloc[0]
    critical = float(critical_nuisance_scale(value, BACKGROUND, N_TASK, n_values))
    axis.axvline(critical, color="black", ls="--", lw=1.2, label="boundary (exact)")
    axis.set_xscale("log")
    axis.set(
        xlabel="nuisance scale", ylabel="task goal regret", title=f"half-predictable background (p = {BACKGROUND}, k = 3)"
    )
    axis.legend(title=fading(shades), title_fontsize=7, loc="upper left")


def distractor_panel(axis, ring, shades):
    """Regret against the predictability of a faint nuisance."""
    at = ring[(ring["dim"] == 3) & ((ring["arm"] == "latent") | np.isclose(ring["nuisance_scale"], DISTRACTOR, rtol=1e-3))]
    for n, alpha in shades.items():
        for arm, color in SHADES.items():
            part = at[(at["n_per_action"] == n) & (at["arm"] == arm)]
            line(axis, part, "persistence", color, alpha, None if n else arm)
    axis.axvline(at["task_value"].iloc[0], color="black", ls="--", lw=1.2, label="p = s of the task")
    axis.set(xlabel="nuisance predictability p", ylabel="task goal regret")
    axis.set_title(f"faint distractor (scale {DISTRACTOR}, k = 3)")
    axis.legend(title=fading(shades), title_fontsize=7)


def detail_panel(axis, at, n):
    """Error and regret against the dimension: the arm with the lower error has the higher regret."""
    for arm, color in SHADES.items():
        part = at[(at["arm"] == arm) & (at["dim"] <= 9)]
        band(axis, mean_band(part, by="dim", value=REGRET), "dim", color=color, marker="o", label=f"{arm}: task goal regret")
        error = mean_band(part, by="dim", value="root_risk")
        scaled = error.assign(**{name: error[name] / 10 for name in ("mean", "low", "high")})
        label = rf"{arm}: error $\sqrt{{R_S}}$ / 10"
        band(axis, scaled, "dim", color=color, ls=":", marker="s", label=label)
    axis.set_xticks([1, 3, 5, 7, 9])
    axis.set_ylim(0, 0.42)
    axis.set(xlabel="dimension k", ylabel="regret, error / 10", title=f"less error, more regret (p = .9, N = {n:,})")
    axis.legend(loc="upper right", ncols=2, columnspacing=1)


def noise_panels(axes, cycle):
    """I.i.d. nuisance of m values: regret, pretraining error and sample error."""
    n = int(cycle["n_per_action"].iloc[0])
    full = cycle[(cycle["arm"] == "latent") & (cycle["dim"] == cycle["n_states"])]
    arms = {
        "full rank (input level, k = n m)": (full, COLORS["printed"], "-", "o"),
        "latent, k = 5": (cycle[(cycle["arm"] == "latent") & (cycle["dim"] == 5)], COLORS["measured"], "-", "s"),
        "input, k = 5": (cycle[(cycle["arm"] == "input") & (cycle["dim"] == 5)], COLORS["loose"], "-", "v"),
        "latent, k = 3": (cycle[(cycle["arm"] == "latent") & (cycle["dim"] == 3)], COLORS["tight"], "-", "^"),
    }
    for axis, column in zip(axes[:2], ("observation_goal_regret", "root_risk"), strict=True):
        for label, (part, color, style, marker) in arms.items():
            curve = mean_band(part, by="n_values", value=column)
            band(axis, curve, "n_values", floor=0, color=color, ls=style, marker=marker, label=label)
        axis.legend(fontsize=7)
    dot = mean_band(arms["latent, k = 3"][0], by="n_values", value="observation_goal_regret_dot")
    band(axes[0], dot, "n_values", color=COLORS["tight"], ls=":", marker="^", label=r"latent, k = 3, score $g^T f$")
    axes[0].legend(fontsize=7)
    axes[0].set(ylabel="m x goal regret (goal = observation)", title=f"i.i.d. nuisance: planning, N = {n:,} an action")
    axes[1].set(ylabel=r"pretraining error $\sqrt{R_S}$", title="i.i.d. nuisance: pretraining error")
    band(
        axes[2],
        mean_band(full, by="n_values", value="sample_error"),
        "n_values",
        color=COLORS["printed"],
        marker="o",
        label="measured",
    )
    expected = full.groupby("n_values")["expected_sample_error"].first()
    label = r"expected, $((n m)^2 - \|\bar M\|_F^2) / N$"
    axes[2].plot(expected.index, expected, color="black", ls="--", label=label)
    axes[2].set(ylabel=r"$\|\hat M - \bar M\|_F^2$", title="i.i.d. nuisance: full-rank sample error", yscale="log")
    axes[2].legend()
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
        axis.minorticks_off()
        axis.set_xlabel("nuisance values m")


def line(axis, part, x, color, alpha, label):
    """Mean task regret and its band."""
    band(axis, mean_band(part, by=x, value=REGRET), x, color=color, alpha=alpha, marker="o", label=label)


def fading(shades):
    """What the shades of a line mean."""
    return "from faint to full:\n" + ", ".join(f"N = {n:,}" if n else "exact" for n in shades)
