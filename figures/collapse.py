"""Draw ``collapse``: rank through training, rank over the penalty with the predicted steps, what the span is worth."""

import numpy as np

from spectral_jepa.plotting.finding import finish, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, new_figure, styled

PALETTE = dict(
    zip(
        ("none", "stop-gradient", "EMA", "soft whitening", "VICReg", "SIGReg"),
        (COLORS["exact"], COLORS["printed"], COLORS["chain"], COLORS["tight"], COLORS["loose"], COLORS["measured"]),
        strict=True,
    )
)
# A target network and a stopped gradient give the same curve here: the one is drawn as dashes on the other.
LINES = {"stop-gradient": {"lw": 3.2}, "EMA": {"ls": (0, (3, 3)), "zorder": 4}}
# The strength shown in the curves through training.
SHOWN = {"none": 0.0, "stop-gradient": 0.0, "EMA": 0.0, "soft whitening": 1.0, "VICReg": 1.0, "SIGReg": 30.0}
TARGETS = ("stop-gradient", "EMA")


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}, one a world."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figures = {}
    for family, part in table.groupby("family", sort=False):
        name = f"collapse_{family.replace(' ', '_')}"
        figures[name], figures[f"{name}_talk"] = world_figure(family, part), world_talk(family, part)
    return figures


def at_end(part):
    """Rows of the last step."""
    return part[part["step"] == part["n_steps"]]


def steps_met(part):
    """How many settings of soft whitening with a free predictor end at the predicted rank, and of how many."""
    last = at_end(part)
    rows = last[(last["arm"] == "soft whitening") & (last["predictor"] == "free")]
    return int((rows["rank"] == rows["predicted_rank"]).sum()), len(rows)


def lost_share(rows):
    """Share of the explainable risk that the span of an encoder loses: 0 is the closed form's, 1 predicts nothing."""
    return ((rows["refit_risk"] - rows["tail"]) / (rows["risk_of_nothing"] - rows["tail"])).clip(lower=0)


def world_figure(family, part):
    """Four panels for one world."""
    figure, axes = new_figure(2, 2, width=5.4, height=3.4)
    free = part[part["predictor"] == "free"]
    training_panel(axes[0, 0], free, "effective_rank", "effective rank (of the covariance)")
    training_panel(axes[0, 1], free, "prediction", r"prediction error $E\|g - f_+\|^2$")
    axes[0, 1].set_yscale("symlog", linthresh=1e-6)
    axes[0, 1].set_ylim(bottom=0)
    axes[0, 1].set_yticks([0, 1e-6, 1e-4, 1e-2, 1, 100])
    threshold_panel(axes[1, 0], part)
    worth_panel(axes[1, 1], part)
    for axis in axes[0]:
        label_ends(axis)
    met, of = steps_met(part)
    last = at_end(part)
    both = last[last["arm"].isin(TARGETS) & (last["predictor"] == "linear")]
    worst = lost_share(both).max() if len(both) else np.nan
    return finish(
        figure,
        f"{family.capitalize()}: without a device the encoder collapses; soft whitening ends at the predicted rank in "
        f"{met} of {of} runs; stop-gradient and EMA lose {'nothing' if worst < 5e-4 else f'at most {worst:.1%}'} with a "
        "linear predictor.",
        f"Top: free predictor, mean of {part['run_seed'].nunique()} seeds; strength in brackets; EMA is drawn as dashes on "
        "stop-gradient, which it follows. Effective rank has no scale: that of a collapsed encoder is one of rounding "
        "errors. Bottom: disc, free predictor; cross, linear predictor; right, a mark a run, strength from top to bottom "
        "within a row.",
    )


def world_talk(family, part):
    """Rank found on the predicted steps."""
    met, of = steps_met(part)
    return talk_version(
        f"{family.capitalize()}: soft whitening ends at the predicted rank in {met} of {of} runs.",
        threshold_panel,
        part,
        legend=True,
        note="Disc: free predictor; cross: linear predictor.",
    )


def training_panel(axis, part, column, label):
    """One curve a device, mean over seeds, free predictor."""
    for arm, color in PALETTE.items():
        rows = part[(part["arm"] == arm) & (part["strength"] == SHOWN[arm])]
        if len(rows):
            curve = rows.groupby("step")[column].mean()
            text = f"{arm} ({SHOWN[arm]:g})" if SHOWN[arm] else arm
            axis.plot(curve.index, curve, color=color, label=text, **LINES.get(arm, {}))
    axis.set_xlabel("step")
    axis.set_ylabel(label)


def threshold_panel(axis, part):
    """Rank found against the whitening penalty on the predicted staircase; SIGReg and VICReg on the same axis."""
    last = at_end(part)
    rows = last[(last["arm"] == "soft whitening") & (last["predictor"] == "free")]
    predicted = rows.groupby("strength")["predicted_rank"].first()
    axis.step(predicted.index, predicted, where="mid", color="0.4", lw=1.2, label="predicted for soft whitening")
    for arm in ("soft whitening", "VICReg", "SIGReg"):
        for predictor, marker in (("free", "o"), ("linear", "x")):
            own = last[(last["arm"] == arm) & (last["predictor"] == predictor)].groupby("strength")["rank"].mean()
            name = arm if predictor == "free" else None
            axis.plot(own.index, own, ls="", marker=marker, ms=5, color=PALETTE[arm], label=name)
    axis.set_xscale("log")
    axis.set_xlabel(r"strength $\lambda$ (SIGReg: factor 1)")
    axis.set_ylabel("rank of $E[f f^T]$ at the end")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.3)


def worth_panel(axis, part):
    """Share of the explainable risk that the span of each trained encoder loses, a row a device."""
    last = at_end(part)
    arms = [arm for arm in PALETTE if arm in set(last["arm"])]
    for number, arm in enumerate(arms):
        for marker, predictor, shift in (("o", "free", -0.17), ("x", "linear", 0.17)):
            rows = last[(last["arm"] == arm) & (last["predictor"] == predictor)].sort_values("strength")
            share = lost_share(rows)
            height = number + shift + np.linspace(-0.12, 0.12, len(share))
            axis.plot(share, height, ls="", marker=marker, ms=4, color=PALETTE[arm])
    axis.set_yticks(range(len(arms)), arms)
    axis.set_ylim(len(arms) - 0.5, -0.5)
    axis.set_xlim(-0.03, 1.03)
    axis.set_xlabel("risk that the span loses (0: closed form, 1: no encoder)")
