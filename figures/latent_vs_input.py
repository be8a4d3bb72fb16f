"""Draw ``latent_vs_input``: the who-wins map, and the curves that explain it."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap

from spectral_jepa.input_level import critical_nuisance_scale
from spectral_jepa.plotting.finding import finish, label_at, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, band, halo, new_figure, styled
from spectral_jepa.sweep.results import mean_band

# The two rows of the map: the task or the nuisance fits, and both do; the rest is an appendix.
MAIN_DIMS, MORE_DIMS = (3, 7), (5,)
REGRET = "task_goal_regret"
N_TASK = 5
BACKGROUND, DISTRACTOR = 0.5, 0.25
WINS = LinearSegmentedColormap.from_list("wins", [COLORS["loose"], "white", COLORS["measured"]])
SHADES = {"latent": COLORS["measured"], "input": COLORS["loose"]}
SCALE_LABEL = "nuisance scale in the pixels"
KEPT_LABEL = "probability p that the nuisance keeps its value"
BAR_LABEL = "goal regret, input minus latent,\nas a share of a blind planner's"


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    ring, cycle = table[table["task"] == "ring"], table[table["task"] == "cycle"]
    seeds = ring["seed"].nunique()
    latent, other = shares(ring, MAIN_DIMS[0])
    note = (
        "Blue: the latent model has less regret; orange: the input model; white: the same; grey: both lose more than half "
        f"of what a blind planner loses. Mean of {seeds} seeds. Dashed: right of it the latent drops the task, p = s. "
        "Line: above it the input drops the task, scale$^2$ p$^2$ / m = s$^2$ / n."
    )
    main = draw_map(
        ring,
        MAIN_DIMS,
        f"With k = {MAIN_DIMS[0]} and exact matrices the latent model wins in {latent:.0%} of the settings, where the "
        f"nuisance is loud and unpredictable, the input model in {other:.0%}, where it is faint and predictable; room for "
        "both ends it.",
        note,
    )
    as_well = "{:.0%} and {:.0%}".format(*shares(ring, MORE_DIMS[0]))
    more = draw_map(
        ring,
        MORE_DIMS,
        f"With k = {MORE_DIMS[0]} and exact matrices the latent and the input model win in {as_well} of the settings; with "
        f"k = {MAIN_DIMS[0]} in {latent:.0%} and {other:.0%} (appendix).",
        note,
    )
    exact = ring[(ring["dim"] == MAIN_DIMS[0]) & (ring["n_per_action"] == sample_sizes(ring)[-1])]
    talk = talk_version(
        "Loud, unpredictable nuisance: predict latents. Faint, predictable nuisance: predict the input.",
        talk_panel,
        exact,
        blind_regret(ring),
        note=f"k = {MAIN_DIMS[0]}, exact matrices. Lines: the two boundaries of theory.",
    )
    curves, slow = draw_curves(ring, cycle), ring[(ring["dim"] == 3)]
    beyond = slow[(slow["arm"] == "latent") & (slow["persistence"] > slow["task_value"])][REGRET].mean()
    faint = slow[(slow["arm"] == "input") & np.isclose(slow["nuisance_scale"], DISTRACTOR, rtol=1e-3)]
    talk_curves = talk_version(
        f"Beyond p = s the latent model loses {beyond:.2f}, the input model "
        f"{faint.loc[faint['persistence'] > faint['task_value'], REGRET].mean():.2f}.",
        distractor_panel,
        ring,
        shades_of(ring),
        note=f"k = 3; {fading(shades_of(ring))}. Band: 95 % interval of the mean.",
    )
    return {
        "latent_vs_input": main,
        "latent_vs_input_k5": more,
        "latent_vs_input_talk": talk,
        "latent_vs_input_curves": curves,
        "latent_vs_input_curves_talk": talk_curves,
    }


def size_label(n):
    """N of a column."""
    return "exact matrices" if n == 0 else f"N = {n:,} an action"


def sample_sizes(table):
    """Sample sizes, the exact matrices last."""
    return sorted(table["n_per_action"].unique(), key=lambda n: n or np.inf)


def shades_of(table):
    """How full a line is drawn: the more data, the fuller."""
    sizes = sample_sizes(table)
    return dict(zip(sizes, np.linspace(0.35, 1, len(sizes)), strict=True))


def blind_regret(ring):
    """What a planner loses that sees nothing."""
    return ring.loc[ring["dim"] == 1, REGRET].mean()


def differences(part, blind):
    """Regret of the input less that of the latent over scale and persistence, and the lesser of both, in blind planners'."""
    latent = part[part["arm"] == "latent"].groupby("persistence")[REGRET].mean()
    paired = part[part["arm"] == "input"].groupby(["nuisance_scale", "persistence"])[REGRET].mean().unstack()
    values = paired.to_numpy()
    return paired, (values - latent.to_numpy()) / blind, np.minimum(values, latent.to_numpy()) / blind


def shares(ring, dim):
    """In how many of the settings with exact matrices the latent wins by half of a blind planner's regret, and the input."""
    part = ring[(ring["dim"] == dim) & (ring["n_per_action"] == sample_sizes(ring)[-1])]
    _, difference, _ = differences(part, blind_regret(ring))
    return float((difference > 0.5).mean()), float((difference < -0.5).mean())


def draw_map(ring, dims, title, note):
    """Regret difference over (predictability, scale): a row a dimension, a column a sample size."""
    sizes = sample_sizes(ring)
    figure, axes = new_figure(len(dims), len(sizes), width=3.3, height=2.8)
    blind = blind_regret(ring)
    for row, dim in zip(axes, dims, strict=True):
        for axis, n in zip(row, sizes, strict=True):
            part = ring[(ring["dim"] == dim) & (ring["n_per_action"] == n)]
            image = map_panel(axis, part, blind)
            room = dim >= 1 + (part["n_values"].iloc[0] - 1) + 2
            if not room:
                boundaries(axis, part, n)
            axis.set_title(f"k = {dim}{' (room for both)' if room else ''}, {size_label(n)}", fontsize="medium")
        row[0].set_ylabel(SCALE_LABEL)
        if room:
            said = "both reach the goal,\nunless the nuisance is frozen:\nthe latent then needs k = 3 m"
            row[-1].text(0.45, 1.0, said, ha="center", va="center", weight="bold", fontsize="small")
        else:
            name_regions(row[-1])
    for axis in axes[-1]:
        axis.set_xlabel("p (0: redrawn, 1: frozen)")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, pad=0.01)
    bar.set_label(BAR_LABEL)
    bar.set_ticks([-1, -0.5, 0, 0.5, 1])
    return finish(figure, title, f"p: {KEPT_LABEL}. {note}")


def talk_panel(axis, part, blind):
    """One map with its regions named."""
    map_panel(axis, part, blind)
    boundaries(axis, part, part["n_per_action"].iloc[0])
    name_regions(axis)
    axis.set_ylabel(SCALE_LABEL)
    axis.set_xlabel(KEPT_LABEL)


def name_regions(axis):
    """Who wins where."""
    for x, y, text in (
        (0.3, 0.3, "both reach the goal"),
        (0.47, 7.0, "latent wins"),
        (0.87, 0.2, "input\nwins"),
        (0.87, 6.0, "both\nfail"),
    ):
        axis.text(x, y, text, ha="center", va="center", fontsize="small", weight="bold", path_effects=halo())


def map_panel(axis, part, blind):
    """One heat map; grey where both arms lose more than half of what a blind planner loses."""
    paired, difference, both = differences(part, blind)
    edges = cell_edges(paired.columns.to_numpy(float)), np.exp(cell_edges(np.log(paired.index.to_numpy(float))))
    image = axis.pcolormesh(*edges, difference, cmap=WINS, vmin=-1, vmax=1, rasterized=True)
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
    axis.axvline(value, color="black", ls="--", lw=1.3)
    axis.plot(p, scale, color="black", lw=1.3)


def draw_curves(ring, cycle):
    """Six panels: the two failures, the distractor in detail, and i.i.d. noise."""
    figure, axes = new_figure(2, 3, width=4.5, height=3.3)
    sizes, shades = sample_sizes(ring), shades_of(ring)
    background_panel(axes[0, 0], ring, shades)
    distractor_panel(axes[0, 1], ring, shades)
    axes[0, 0].set_title(f"half-predictable background (p = {BACKGROUND}, k = 3)")
    axes[0, 1].set_title(f"faint distractor (scale {DISTRACTOR}, k = 3)")
    finite = max(sizes)
    at = ring[(ring["persistence"] == 0.9) & (ring["n_per_action"] == finite)]
    at = at[(at["arm"] == "latent") | np.isclose(at["nuisance_scale"], DISTRACTOR, rtol=1e-3)]
    detail_panel(axes[0, 2], at, finite)
    noise_panels(axes[1], cycle)
    means = at.groupby(["arm", "dim"])[["root_risk", REGRET]].mean()
    both = means.unstack("arm")
    odd = [
        k
        for k, row in both.iterrows()
        if row["root_risk", "latent"] < row["root_risk", "input"] and row[REGRET, "latent"] > row[REGRET, "input"] + 0.01
    ]
    where = " and ".join(map(str, odd)) if odd else "no k"
    return finish(
        figure,
        "A loud background defeats the input model, a predictable distractor the latent one, which has less error and "
        f"more regret at k = {where}; i.i.d. nuisance makes a model of the whole input costly.",
        f"Mean and 95 % interval of the mean (Student t) over the seeds. Top left and middle: {fading(shades)}. Goal "
        "regret: of reaching the task's goal, a probability. Bottom: N for each action, m nuisance values.",
    )


def background_panel(axis, ring, shades):
    """Regret against the scale of a half-predictable background."""
    at = ring[np.isclose(ring["persistence"], BACKGROUND) & (ring["dim"] == 3)]
    for n, alpha in shades.items():
        part = at[at["n_per_action"] == n]
        line(axis, part[part["arm"] == "input"], "nuisance_scale", SHADES["input"], alpha, "input" if n == 0 else None)
        latent = part.loc[part["arm"] == "latent", REGRET].mean()
        axis.axhline(latent, color=SHADES["latent"], alpha=alpha)
    label_at(axis, "latent, at any scale", (at["nuisance_scale"].min(), latent), color=SHADES["latent"], shift=(0, 5))
    value, n_values = at["task_value"].iloc[0], at["n_values"].iloc[0]
    critical = float(critical_nuisance_scale(value, BACKGROUND, N_TASK, n_values))
    boundary(axis, critical, "boundary of theory", top=0.7)
    axis.set_xscale("log")
    axis.set(xlabel="nuisance scale", ylabel=WORDS["goal regret"])
    label_ends(axis)


def boundary(axis, x, text, top):
    """A dashed line of theory with its name to the left."""
    axis.axvline(x, color="black", ls="--", lw=1.2)
    name = axis.annotate(text, (x, top), xycoords=axis.get_xaxis_transform(), xytext=(-5, 0), textcoords="offset points")
    name.set(ha="right", fontsize="small", path_effects=halo())


def distractor_panel(axis, ring, shades):
    """Regret against the predictability of a faint nuisance."""
    at = ring[(ring["dim"] == 3) & ((ring["arm"] == "latent") | np.isclose(ring["nuisance_scale"], DISTRACTOR, rtol=1e-3))]
    for n, alpha in shades.items():
        for arm, color in SHADES.items():
            part = at[(at["n_per_action"] == n) & (at["arm"] == arm)]
            line(axis, part, "persistence", color, alpha, arm if n == 0 else None)
    boundary(axis, at["task_value"].iloc[0], "p = s of the task", top=0.8)
    axis.set(xlabel="nuisance predictability p", ylabel=WORDS["goal regret"])
    label_ends(axis)


def detail_panel(axis, at, n):
    """Error and regret against the dimension: the arm with the lower error has the higher regret."""
    for arm, color in SHADES.items():
        part = at[(at["arm"] == arm) & (at["dim"] <= 9)]
        band(axis, mean_band(part, by="dim", value=REGRET), "dim", color=color, marker="o", label=f"{arm}: regret")
        error = mean_band(part, by="dim", value="root_risk")
        scaled = error.assign(**{name: error[name] / 10 for name in ("mean", "low", "high")})
        band(axis, scaled, "dim", color=color, ls=":", marker="s", label=rf"{arm}: $\sqrt{{R_S}}$ / 10")
    axis.set_xticks([1, 3, 5, 7, 9])
    axis.set_ylim(-0.01, 0.32)
    axis.set(
        xlabel=WORDS["dimension"],
        ylabel=r"goal regret; $\sqrt{R_S}$ / 10",
        title=f"less error, more regret (p = .9, N = {n:,})",
    )
    label_ends(axis)


def noise_panels(axes, cycle):
    """I.i.d. nuisance of m values: regret, pretraining error and sample error."""
    n = int(cycle["n_per_action"].iloc[0])
    full = cycle[(cycle["arm"] == "latent") & (cycle["dim"] == cycle["n_states"])]
    arms = {
        "whole input, k = n m": (full, COLORS["printed"], "-", "o"),
        "latent, k = 5": (cycle[(cycle["arm"] == "latent") & (cycle["dim"] == 5)], COLORS["measured"], "-", "s"),
        "input, k = 5": (cycle[(cycle["arm"] == "input") & (cycle["dim"] == 5)], COLORS["loose"], (0, (3, 3)), "v"),
        "latent, k = 3": (cycle[(cycle["arm"] == "latent") & (cycle["dim"] == 3)], COLORS["tight"], "-", "^"),
    }
    for axis, column in zip(axes[:2], ("observation_goal_regret", "root_risk"), strict=True):
        for label, (part, color, style, marker) in arms.items():
            curve = mean_band(part, by="n_values", value=column)
            band(axis, curve, "n_values", floor=0, color=color, ls=style, marker=marker, label=label)
    dot = mean_band(arms["latent, k = 3"][0], by="n_values", value="observation_goal_regret_dot")
    style = {"color": COLORS["tight"], "ls": ":", "marker": "^", "mfc": "none"}
    band(axes[0], dot, "n_values", label=r"latent, k = 3, by $g^T f$", **style)
    axes[0].set(ylabel="m x goal regret (goal: one observation)", title=f"i.i.d. nuisance: planning, N = {n:,}")
    axes[1].set(ylabel=WORDS["root error"], title="i.i.d. nuisance: pretraining error")
    measured = mean_band(full, by="n_values", value="sample_error")
    band(axes[2], measured, "n_values", color=COLORS["printed"], marker="o", label="measured")
    expected = full.groupby("n_values")["expected_sample_error"].first()
    axes[2].plot(expected.index, expected, color="black", ls="--")
    label_at(axes[2], r"expected: $((n m)^2 - \|\bar M\|_F^2) / N$", (expected.index[1], expected.iloc[1]), shift=(8, -8))
    axes[2].set(ylabel=r"sample error $\|\hat M - \bar M\|_F^2$", title="i.i.d. nuisance: whole input", yscale="log")
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
        axis.minorticks_off()
        axis.set_xlabel("nuisance values m")
        label_ends(axis)


def line(axis, part, x, color, alpha, label):
    """Mean task regret and its band."""
    band(axis, mean_band(part, by=x, value=REGRET), x, color=color, alpha=alpha, marker="o", label=label)


def fading(shades):
    """What the shades of a line mean."""
    return "from faint to full " + ", ".join(f"N = {n:,}" if n else "exact" for n in shades)
