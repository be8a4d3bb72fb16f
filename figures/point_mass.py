"""Draw ``point_mass``: success against required steps by noise; and latent dimension, data, controls, goals, spectrum."""

from spectral_jepa.plotting.finding import finish, label_at, label_ends, talk_version
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
# At the ends of lines.
SHORT = {"latent": "latent", "sigreg": "SIGReg", "sigreg, tenth strength": "SIGReg, tenth",
         "latent, full gradient": "full gradient",
         "latent, no regulariser": "no regulariser", "latent, stop-gradient only": "stop-gradient only",
         "input, noise not in loss": "input, clean loss"}  # fmt: skip
FAR = 10
NOTE = "Mean; bands and bars: 95 % interval of the mean (Student t), cut at 0 and 1."


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    runs = table[table["required_steps"].notna()]
    models = runs[~runs["arm"].isin(["random", "simulator"])]
    main = models[(models["dim"] == typical(models, "dim")) & (models["n_windows"] == typical(models, "n_windows"))]
    rest = {"point_mass_at_rest": noise_figure(main, runs, "at rest")} if "at rest" in set(main["goal"]) else {}
    noise = main["noise"].max()
    loudest = main[(main["noise"] == noise) & (main["goal"] == "passing")]
    far = far_success(main[main["noise"] == noise])
    return {
        "point_mass": noise_figure(main, runs, "passing"),
        **rest,
        "point_mass_sweeps": draw_sweeps(table, runs, models, main),
        "point_mass_talk": talk_version(
            f"With noise {noise:g} the latent model reaches {far['latent']:.0%} of the far goals, the input model "
            f"{far['input']:.0%}.",
            steps_panel,
            runs,
            loudest,
            ("latent", "input"),
            short=True,
            note=f"Goals that the expert passes; far: {FAR} or more steps away. {NOTE}",
        ),
        "point_mass_sweeps_talk": talk_version(
            "Noise that is drawn anew leaves the spectrum as it is; what fills it up is that data are few.",
            spectrum_panel,
            table[table["arm"] == "spectrum"],
            note="One action's normalised co-occurrence on a grid.",
        ),
    }


def far_success(part):
    """Mean success of both of the paper's arms on far goals that the expert passes."""
    rows = part[(part["cost"] == "own") & (part["goal"] == "passing") & (part["required_steps"] >= FAR)]
    return rows.groupby("arm")["success"].mean()


def typical(table, column):
    """The value that most cells share: the main comparison's."""
    return table.groupby(column)["cell_key"].nunique().idxmax()


def steps_panel(axis, runs, part, arms, *, cost="own", short=False):
    """Success against required steps, with floor and ceiling."""
    goal = part["goal"].iloc[0]
    for planner, style, label in (("simulator", "-", "true simulator"), ("random", ":", "random actions")):
        curve = mean_band(runs[(runs["arm"] == planner) & (runs["goal"] == goal)], by="required_steps", value="success")
        axis.plot(curve["required_steps"], curve["mean"], color="0.45", ls=style, label=label, zorder=1)
    for number, arm in enumerate(arms):
        chosen = part[(part["arm"] == arm) & (part["cost"] == cost)]
        if len(chosen):
            curve = mean_band(chosen, by="required_steps", value="success")
            # A little apart, or bars hide bars.
            curve["required_steps"] += 0.1 * (number - len(arms) // 2)
            interval(axis, curve, "required_steps", arm, names=SHORT if short else LABELS)
    success_axis(axis)
    axis.set_xticks(sorted(part["required_steps"].unique()))
    axis.set_xlabel("required steps")
    if short:
        bars = [container.lines[0] for container in axis.containers]
        for line, container in zip(bars, axis.containers, strict=True):
            line.set_label(container.get_label())
        label_ends(axis, of=[line for line in axis.lines if not str(line.get_label()).startswith("_")])


def interval(axis, curve, x, arm, *, names=LABELS):
    """Mean with its 95 % t interval: a band for the paper's two arms, bars for the others, lest they hide each other."""
    style = {"label": names.get(arm, arm), **ARM_STYLES[arm]}
    # A share lies in [0, 1]; an interval of few seeds does not know it.
    curve = curve.assign(low=curve["low"].clip(lower=0), high=curve["high"].clip(upper=1))
    if arm in ("latent", "input"):
        band(axis, curve, x, zorder=3, **style)
    else:
        reach = [curve["mean"] - curve["low"], curve["high"] - curve["mean"]]
        axis.errorbar(curve[x], curve["mean"], reach, elinewidth=0.8, capsize=2, lw=1.2, **style)


def success_axis(axis):
    """Success runs from 0 to 1."""
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("success")


def noise_figure(main, runs, goal):
    """The paper's figure: a panel a noise level, goals that the expert passes, or that are at rest."""
    levels = sorted(main[main["arm"] == "input"]["noise"].unique())
    figure, axes = new_figure(1, len(levels), width=max(3.4, 9.0 / len(levels)), height=3.3)
    for axis, noise in zip(axes[0], levels, strict=True):
        part = main[(main["noise"] == noise) & (main["goal"] == goal)]
        steps_panel(axis, runs, part, LABELS)
        if goal == "passing":
            curve = mean_band(part[part["cost"] == "position"], by="required_steps", value="success")
            label = "input, planning with decoded position"
            axis.plot(curve["required_steps"], curve["mean"], color=COLORS["chain"], ls="-.", label=label)
        axis.set_title(f"noise {noise:g}")
    seeds = main[main["arm"] == "input"]["seed"].nunique()
    rows = main[(main["cost"] == "own") & (main["goal"] == goal) & (main["required_steps"] >= FAR)]
    far = rows.groupby(["noise", "arm"])["success"].mean().unstack()[["latent", "input"]]
    said = " and ".join(f"{row.latent:.0%} against {row.input:.0%} at noise {noise:g}" for noise, row in far.iterrows())
    where = "that the expert passes" if goal == "passing" else "at rest"
    return finish(
        figure,
        f"Far goals {where}: the latent model reaches more than the input model, {said}."
        if (far["latent"] > far["input"]).all()
        else f"Far goals {where}, latent against input model: {said}.",
        f"Success within 1.5 x the required steps, {seeds} seeds; far: {FAR} or more; arms are drawn a little apart. {NOTE}",
        legend=axes[0, 0].get_legend_handles_labels()[0],
        columns=3,
    )


def draw_sweeps(table, runs, models, main):
    """Success against dimension and data, controls, and the spectrum on a grid."""
    figure, axes = new_figure(2, 2, width=5.6, height=3.4)
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
                interval(axis, mean_band(by_seed, by=column, value="success"), column, arm, names=SHORT)
        success_axis(axis)
        label_ends(axis)
        axis.set_title(f"goals {FAR} or more steps away")
    dimension_axis(axes[0, 0], own["dim"])
    axes[0, 1].set_xscale("log")
    ticks = sorted(own["n_windows"].unique())
    axes[0, 1].set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes[0, 1].minorticks_off()
    axes[0, 1].set_xlabel("training windows")
    part = main[(main["noise"] == noise) & (main["goal"] == "passing")]
    steps_panel(axes[1, 0], runs, part, [arm for arm in ARM_STYLES if arm not in ("whitened",)], short=True)
    axes[1, 0].set_title("controls")
    spectrum_panel(axes[1, 1], table[table["arm"] == "spectrum"])
    axes[1, 1].set_title("spectrum on a grid")
    ends = part[(part["cost"] == "own") & (part["required_steps"] >= FAR)].groupby("arm")["success"].mean()
    alone, bare = ends.get("latent, stop-gradient only"), ends.get("latent, no regulariser")
    said = f" without a regulariser {bare:.0%}, with a stopped gradient alone {alone:.0%}" if alone is not None else ""
    return finish(
        figure,
        f"At noise {noise:g} the latent model reaches {ends['latent']:.0%} of the far goals, the input model "
        f"{ends['input']:.0%},{said}; noise drawn anew leaves the spectrum as it is.",
        f"{NOTE} Seeds: {spread_of_seeds(own)}. Bottom left: dashed lines are controls.",
    )


def spread_of_seeds(own):
    """How many seeds a mark of the sweeps rests on."""
    counts = own.groupby(["arm", "dim", "n_windows"])["seed"].nunique()
    return f"{counts.min()} to {counts.max()}" if counts.min() < counts.max() else str(counts.max())


def spectrum_panel(axis, table):
    """Singular values of one action's normalised co-occurrence on the grid, by noise level."""
    levels = sorted(table["noise"].unique())
    colors = sequential_colors([level + 0.25 for level in levels])
    for level in levels:
        part = table[table["noise"] == level].sort_values("index")
        axis.plot(
            part["index"], part["sampled_singular_value"], color=colors[level + 0.25], label=f"counts, noise {level:g}"
        )
        axis.plot(part["index"], part["singular_value"], color=COLORS["exact"], ls="--", lw=1.1, zorder=3)
    middle = part.iloc[len(part) // 3]
    text = "population,\nany noise"
    label_at(axis, text, (middle["index"], middle["singular_value"]), shift=(-8, -6), ha="right", va="top")
    axis.set_xlabel("index i")
    axis.set_ylabel("singular value")
    axis.set_title(f"{part['n_windows'].iloc[0]:,} transitions")
    label_ends(axis)
