"""Draw ``sigreg_phase``: where encoders collapse against where they must, and which factors SIGReg keeps."""

import numpy as np
import pandas as pd

from spectral_jepa.plotting.finding import finish, label_at, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, new_figure, styled

PALETTE = [COLORS[name] for name in ("exact", "printed", "measured", "tight", "loose", "chain")]


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    parts = {name: part for name, part in table.groupby("part", sort=False)}
    near = near_of(parts["phase"])
    return {
        "sigreg_phase": phase_figure(parts["phase"], parts["minibatch"]),
        "sigreg_phase_talk": talk_version(
            f"SIGReg's pull against the price of prediction decides collapse: {agreeing(near)} descents.",
            diagram,
            near,
            legend=True,
            note="Open: collapsed; filled: grown. Line: predicted boundary.",
        ),
        "sigreg_factors": factor_figure(parts),
        "sigreg_factors_talk": talk_version(
            "SIGReg may lose a fast factor: a curve through the slow one alone predicts better.",
            against_curve,
            parts["curve"],
            note="Both embeddings are exactly Gaussian.",
        ),
    }


def near_of(phase):
    """Descents from small starts and from large centred ones: those from far means are slow."""
    return phase[phase["from"] != "far"]


def agreeing(near):
    """Descents that end as predicted, of all."""
    return f"{int((near['predicted'] == near['outcome']).sum()):,} of {len(near):,}"


def phase_figure(phase, minibatch):
    """The diagram, the onset of variance, and batches that are sampled."""
    figure, axes = new_figure(1, 3, width=4.5, height=3.6)
    near = near_of(phase)
    diagram(axes[0, 0], near)
    axes[0, 0].legend(loc="upper left", handletextpad=0.2)
    axes[0, 0].set_title("phase diagram")
    onset(axes[0, 1], phase)
    sampled(axes[0, 2], minibatch)
    return finish(
        figure,
        f"Encoders collapse exactly where $1 - s_2^2 > \\lambda b (c - c'/N) / k$: {agreeing(near)} descents, from small "
        "starts and from large centred ones.",
        "Open: collapsed; filled: grown. Left: batch sizes, which the axes make equal, are drawn a little apart. Middle: "
        "a variance below 1e-13 is drawn there; dotted: where collapse is read; a mean far from 0 is slow, some are not "
        "there yet.",
    )


def diagram(axis, near):
    """Every descent on the two numbers that decide; batch sizes, which they make equal, a little apart."""
    sizes = sorted(near["batch_size"].unique(), key=lambda n: n or np.inf)
    for number, (size, color) in enumerate(zip(sizes, PALETTE, strict=False)):
        own = near[near["batch_size"] == size].assign(price=lambda t, shift=number: t["price"] * 1.09 ** (shift - 1))
        for outcome, face in (("collapsed", "none"), ("grows", color)):
            part = own[own["outcome"] == outcome]
            axis.plot(part["pull"], part["price"], ls="", marker="o", ms=5, mec=color, mfc=face)
        axis.plot([], [], ls="", marker="o", mec=color, mfc=color, label=f"$N$ = {size:g}" if size else "population")
    ends = np.array([near["pull"].min() / 1.5, near["pull"].max() * 1.5])
    axis.plot(ends, ends, color="0.4", lw=1, label="predicted boundary")
    axis.set(xscale="log", yscale="log", xlim=ends, ylim=(near["price"].min() / 1.6, 2.6))
    axis.set_yticks([0.2, 0.5, 1, 2], [".2", ".5", "1", "2"])
    axis.set_xticks([0.2, 0.5, 1, 2], [".2", ".5", "1", "2"])
    axis.minorticks_off()
    axis.set_xlabel(r"SIGReg's pull $\lambda b (c - c'/N) / k$")
    axis.set_ylabel("price of prediction $1 - s_2^2$")


def onset(axis, phase):
    """Variance a coordinate over the distance to the boundary."""
    kinds = (
        ("small", "v", 0.95, "scale .01"),
        ("centred", "^", 1.0, "scale 8, centred"),
        ("far", "x", 1.05, "scale 8, any mean"),
    )
    for kind, marker, shift, words in kinds:
        for predictor, color, aside in (("free", "measured", 0.99), ("linear", "printed", 1.01)):
            part = phase[(phase["from"] == kind) & (phase["predictor"] == predictor)]
            size = np.maximum(part["trace"] / part["dim"], 1e-13)
            style = {"ls": "", "marker": marker, "ms": 4, "mfc": "none", "color": COLORS[color]}
            axis.plot(part["ratio"] * shift * aside, size, **style)
        axis.plot([], [], ls="", marker=marker, ms=4, mfc="none", color="0.3", label=words)
    for predictor, color in (("free", "measured"), ("linear", "printed")):
        axis.plot([], [], ls="", marker="s", ms=4, color=COLORS[color], label=f"{predictor} predictor")
    axis.axvline(1, color="0.4", lw=1)
    axis.axhline(1e-3, color="0.6", lw=0.8, ls=":")
    axis.set(xscale="log", yscale="log")
    axis.set_xticks(sorted(phase["ratio"].unique()), [f"{value:g}" for value in sorted(phase["ratio"].unique())])
    axis.minorticks_off()
    axis.set_xlabel("pull over price")
    axis.set_ylabel("variance a coordinate at the end")
    axis.set_title("how much is left, by start")
    axis.legend(loc="lower right", handletextpad=0.2)


def sampled(axis, minibatch):
    """Training on sampled batches, in the units of the population's threshold."""
    sizes = np.array(sorted(minibatch["batch_size"].unique()))
    boundary = (minibatch["population_ratio"] / minibatch["ratio"]).groupby(minibatch["batch_size"]).mean()
    axis.plot(boundary.index, boundary, color="0.2", lw=1.2)
    label_at(axis, r"boundary of batches, $c / (c - c'/N)$", (boundary.index[0], boundary.iloc[0]), shift=(10, 2))
    axis.axhline(1, color="0.5", lw=1, ls="--")
    label_at(axis, "boundary of the population", (boundary.index[-1], 1), color="0.4", shift=(0, -4), ha="right", va="top")
    for outcome, face in (("collapsed", "none"), ("grows", COLORS["measured"])):
        part = minibatch[minibatch["outcome"] == outcome]
        style = {"ls": "", "marker": "o", "ms": 7, "mec": COLORS["measured"], "mfc": face, "color": COLORS["measured"]}
        axis.plot(part["batch_size"], part["population_ratio"], label=outcome.replace("grows", "grown"), **style)
    axis.set(xscale="log", yscale="log")
    axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axis.set_yticks([0.5, 1, 2, 5, 10], [".5", "1", "2", "5", "10"])
    axis.minorticks_off()
    axis.set_xlabel("batch size N")
    axis.set_ylabel(r"$\lambda b c / k$ over $1 - s_2^2$")
    axis.set_title("training on sampled batches")
    axis.legend(loc="upper right", handletextpad=0.2)


def factor_figure(parts):
    """What is kept of two factors: by speed, by law, and against a plane-filling curve."""
    figure, axes = new_figure(1, 3, width=4.5, height=3.4)
    by_speed(axes[0, 0], parts["factors"])
    by_law(axes[0, 1], parts["laws"])
    against_curve(axes[0, 2], parts["curve"])
    axes[0, 2].set_title("both exactly $N(0, I_2)$: no $\\lambda$ tells them apart")
    best = least_loss(parts["factors"])
    kept, lost = best.iloc[0], best.iloc[-1]
    return finish(
        figure,
        f"SIGReg keeps two Gaussian factors of like speed ($R^2$ of the faster {kept['r2_second']:.2f} at rates "
        f"{kept['rho_1']:g} and {kept['rho_2']:g}), and loses the faster one beside a slow one ({lost['r2_second']:.2f} at "
        f"{lost['rho_1']:g} and {lost['rho_2']:g}).",
        "Left: published constants, the start of least loss, sorted by what the second Hermite function of the slow "
        "factor saves. Middle: a mark a run and factor. Right: prediction error of embeddings that are exactly Gaussian.",
    )


def least_loss(part):
    """The run of least loss for each pair of rates, published constants, sorted by what He_2 of the slow factor saves."""
    pull = part["pull"].iloc[(part["pull"] - 23.04).abs().argmin()]
    best = part[part["pull"] == pull].sort_values("loss").groupby(["rho_1", "rho_2"], sort=False).head(1)
    return best.sort_values("margin_gain")


def by_speed(axis, part):
    """R^2 of each factor at the least loss found, published constants."""
    best = least_loss(part)
    at = np.arange(len(best))
    for name, color, label in (("r2_first", "measured", "$z_1$, slow"), ("r2_second", "printed", "$z_2$, fast")):
        axis.plot(at, best[name], marker="o", color=COLORS[color], label=label)
    axis.set_xticks(at, [f"{a:g}\n{b:g}" for a, b in zip(best["rho_1"], best["rho_2"], strict=True)])
    axis.set_ylim(-0.05, 1.05)
    axis.set_xlabel(r"rates $\rho_1$, $\rho_2$ of the factors")
    axis.set_ylabel("$R^2$ of the factor from the embedding")
    axis.set_title("Gaussian factors")
    label_ends(axis)


def by_law(axis, part):
    """R^2 of both factors, a mark a run."""
    laws = list(dict.fromkeys(part["law"]))
    for times, color, shift in ((1.0, "measured", -0.12), (10.0, "loose", 0.12)):
        own = part[part["times"] == times]
        long = pd.concat([own[["law", name]].rename(columns={name: "r2"}) for name in ("r2_first", "r2_second")])
        at = np.array([laws.index(law) for law in long["law"]]) + shift
        label = r"published $\lambda$" if times == 1 else r"10 times $\lambda$"
        axis.plot(at, long["r2"], ls="", marker="o", ms=5, mfc="none", color=COLORS[color], label=label)
    axis.set_xticks(range(len(laws)), laws)
    axis.set_ylim(-0.05, 1.05)
    axis.set_ylabel("$R^2$ of a factor, each run")
    rates = part[["rho_1", "rho_2"]].iloc[0]
    axis.set_title(rf"factors of other laws, $\rho$ = {rates.iloc[0]:g}, {rates.iloc[1]:g}")
    axis.legend(loc="center left")


def against_curve(axis, part):
    """Prediction error of exactly Gaussian embeddings."""
    speed = part["rho_1"].to_numpy(float)
    axis.plot(1 - speed, part["error"], color=COLORS["tight"], label="curve of $z_1$ alone,\nat most")
    for second, style in ((0.0, "-"), (0.3, "--"), (0.6, ":")):
        error = 2 - speed**2 - second**2
        axis.plot(1 - speed, error, color=COLORS["exact"], ls=style, lw=1.2, label=rf"$(z_1, z_2)$, $\rho_2$ = {second:g}")
    axis.set(xscale="log")
    axis.set_xlabel(r"$1 - \rho_1$")
    axis.set_ylabel("prediction error")
    label_ends(axis)
