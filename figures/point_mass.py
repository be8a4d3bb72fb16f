"""Draw ``point_mass``: success against required steps by noise; and latent dimension, data, controls, goals, spectrum."""

from spectral_jepa.plotting.style import COLORS, band, dimension_axis, new_figure, sequential_colors, styled
from spectral_jepa.sweep.results import mean_band

ARM_STYLES = {
    "latent": {"color": COLORS["measured"], "marker": "o"},
    "input": {"color": COLORS["printed"], "marker": "s"},
    "sigreg": {"color": COLORS["tight"], "marker": "^"},
    "whitened": {"color": COLORS["loose"], "marker": "v"},
    "sigreg, tenth strength": {"color": COLORS["tight"], "ls": "--"},
    "latent, full gradient": {"color": COLORS["other"], "ls": "--"},
    "latent, no regulariser": {"color": COLORS["exact"], "ls": "--"},
    "latent, stop-gradient only": {"color": COLORS["measured"], "ls": "--"},
    "input, noise not in loss": {"color": COLORS["printed"], "ls": "--"},
}
LABELS = {
    "latent": "latent: stop-gradient + variance",
    "input": "input",
    "sigreg": "latent: SIGReg",
    "whitened": "latent: soft whitening",
}
FAR = 10


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    runs = table[table["required_steps"].notna()]
    models = runs[~runs["arm"].isin(["random", "simulator"])]
    main = models[(models["dim"] == typical(models, "dim")) & (models["n_windows"] == typical(models, "n_windows"))]
    return {
        "point_mass": draw_noise_levels(main, runs),
        "point_mass_sweeps": draw_sweeps(table, runs, models, main),
    }


def typical(table, column):
    """The value that most cells share: the main comparison's."""
    return table.groupby(column)["cell_key"].nunique().idxmax()


def steps_panel(axis, runs, part, arms, cost="own"):
    """Success against required steps, with floor and ceiling."""
    goal = part["goal"].iloc[0]
    for planner, style, label in (("simulator", "-", "true simulator (ceiling)"), ("random", ":", "random actions (floor)")):
        curve = mean_band(runs[(runs["arm"] == planner) & (runs["goal"] == goal)], by="required_steps", value="success")
        axis.plot(curve["required_steps"], curve["mean"], color="0.45", ls=style, label=label, zorder=1)
    for arm in arms:
        chosen = part[(part["arm"] == arm) & (part["cost"] == cost)]
        if len(chosen):
            curve = mean_band(chosen, by="required_steps", value="success")
            interval(axis, curve, "required_steps", arm)
    success_axis(axis)
    axis.set_xticks(sorted(part["required_steps"].unique()))
    axis.set_xlabel("required steps")


def interval(axis, curve, x, arm):
    """Mean with its 95 % t interval: a band for the paper's two arms, bars for the others, lest they hide each other."""
    style = {"label": LABELS.get(arm, arm), **ARM_STYLES[arm]}
    if arm in ("latent", "input"):
        band(axis, curve, x, zorder=3, **style)
    else:
        reach = [curve["mean"] - curve["low"].clip(lower=0), curve["high"].clip(upper=1) - curve["mean"]]
        axis.errorbar(curve[x], curve["mean"], reach, elinewidth=0.8, capsize=2, lw=1.2, **style)


def success_axis(axis):
    """Success runs from 0 to 1; t bands may leave that interval and are cut there."""
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("success")


def draw_noise_levels(main, runs):
    """The paper's figure: a panel a noise level, goals that the expert passes; below, goals at rest."""
    levels = sorted(main[main["arm"] == "input"]["noise"].unique())
    figure, axes = new_figure(2, len(levels), width=max(3.4, 7.6 / len(levels)), height=2.9)
    for row, goal in zip(axes, ("passing", "at rest"), strict=True):
        for axis, noise in zip(row, levels, strict=True):
            part = main[(main["noise"] == noise) & (main["goal"] == goal)]
            steps_panel(axis, runs, part, LABELS)
            if goal == "passing":
                curve = mean_band(part[part["cost"] == "position"], by="required_steps", value="success")
                label = "input, planning with decoded position"
                axis.plot(curve["required_steps"], curve["mean"], color=COLORS["chain"], ls="-.", label=label)
            where = "goal has the expert's velocity" if goal == "passing" else "goal at rest"
            axis.set_title(f"noise {noise:g}, {where}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    seeds = main[main["arm"] == "input"]["seed"].nunique()
    figure.suptitle(f"Point mass: success within 1.5 x required steps ({seeds} seeds, 95 % t bands)")
    return figure


def draw_sweeps(table, runs, models, main):
    """Success against dimension and data, controls, and the spectrum on a grid."""
    figure, axes = new_figure(2, 2, width=4.6, height=3.6)
    noise = max(models[models["dim"] != typical(models, "dim")]["noise"])
    own = models[(models["cost"] == "own") & (models["goal"] == "passing") & (models["noise"] == noise)]
    far = own[own["required_steps"] >= FAR]
    for axis, column, fixed in ((axes[0, 0], "dim", "n_windows"), (axes[0, 1], "n_windows", "dim")):
        part = far[far[fixed] == typical(models, fixed)]
        for arm in LABELS:
            chosen = part[part["arm"] == arm]
            if chosen[column].nunique() > 1:
                # One number a seed: its mean over the far goals.
                by_seed = chosen.groupby([column, "seed"], as_index=False)["success"].mean()
                interval(axis, mean_band(by_seed, by=column, value="success"), column, arm)
        success_axis(axis)
        axis.legend()
        axis.set_title(f"goals {FAR} or more steps away, noise {noise:g}")
    dimension_axis(axes[0, 0], own["dim"])
    axes[0, 1].set_xscale("log")
    ticks = sorted(own["n_windows"].unique())
    axes[0, 1].set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes[0, 1].minorticks_off()
    axes[0, 1].set_xlabel("training windows")
    part = main[(main["noise"] == noise) & (main["goal"] == "passing")]
    steps_panel(axes[1, 0], runs, part, [arm for arm in ARM_STYLES if arm not in ("whitened",)])
    axes[1, 0].set_title(f"controls, noise {noise:g}")
    axes[1, 0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    spectrum_panel(axes[1, 1], table[table["arm"] == "spectrum"])
    return figure


def spectrum_panel(axis, table):
    """Singular values of one action's normalised co-occurrence on the grid, by noise level."""
    levels = sorted(table["noise"].unique())
    colors = sequential_colors([level + 0.25 for level in levels])
    for level in levels:
        part = table[table["noise"] == level].sort_values("index")
        label = f"{part['n_windows'].iloc[0]:,} transitions, noise {level:g}"
        axis.plot(part["index"], part["sampled_singular_value"], color=colors[level + 0.25], label=label)
        label = "population, any noise (all drawn)" if level == levels[0] else None
        axis.plot(part["index"], part["singular_value"], color=COLORS["exact"], ls="--", lw=1.1, label=label, zorder=3)
    axis.set_xlabel("index i")
    axis.set_ylabel("singular value")
    axis.set_title("spectrum on a grid: i.i.d. noise leaves it unchanged")
    axis.legend()
