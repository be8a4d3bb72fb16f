"""Draw ``collapse``: rank through training, rank over the penalty with the predicted steps, what the span is worth."""

import numpy as np

from spectral_jepa.plotting.style import COLORS, new_figure, styled

PALETTE = dict(
    zip(
        ("none", "stop-gradient", "EMA", "soft whitening", "VICReg", "SIGReg"),
        ("#000000", COLORS["printed"], COLORS["chain"], COLORS["tight"], COLORS["loose"], COLORS["measured"]),
        strict=True,
    )
)
# The strength shown in the curves through training.
SHOWN = {"none": 0.0, "stop-gradient": 0.0, "EMA": 0.0, "soft whitening": 1.0, "VICReg": 1.0, "SIGReg": 30.0}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}, one a world."""
    table = table[table["status"] == "ok"] if "status" in table else table
    return {
        f"collapse_{family.replace(' ', '_')}": world_figure(family, part)
        for family, part in table.groupby("family", sort=False)
    }


def world_figure(family, part):
    """Four panels for one world."""
    figure, axes = new_figure(2, 2, width=4.9, height=3.3)
    free = part[part["predictor"] == "free"]
    training_panel(axes[0, 0], free, "effective_rank", "effective rank of the covariance")
    training_panel(axes[0, 1], free, "prediction", r"prediction error $E\|g - f_+\|^2$")
    axes[0, 1].set_yscale("symlog", linthresh=1e-6)
    axes[0, 1].set_ylim(bottom=0)
    threshold_panel(axes[1, 0], part)
    worth_panel(axes[1, 1], part)
    axes[0, 0].legend(ncols=2)
    figure.suptitle(f"{family}, $k$ = {int(part['dim'].iloc[0])}: what keeps a JEPA from collapsing")
    return figure


def training_panel(axis, part, column, label):
    """One curve a device, mean over seeds, free predictor."""
    for arm, color in PALETTE.items():
        rows = part[(part["arm"] == arm) & (part["strength"] == SHOWN[arm])]
        if len(rows):
            curve = rows.groupby("step")[column].mean()
            text = f"{arm}, {SHOWN[arm]:g}" if SHOWN[arm] else arm
            axis.plot(curve.index, curve, color=color, label=text)
    axis.set_xlabel("step")
    axis.set_ylabel(label)


def threshold_panel(axis, part):
    """Rank found against the whitening penalty on the predicted staircase; SIGReg and VICReg on the same axis."""
    last = part[part["step"] == part["n_steps"]]
    rows = last[(last["arm"] == "soft whitening") & (last["predictor"] == "free")]
    predicted = rows.groupby("strength")["predicted_rank"].first()
    axis.step(predicted.index, predicted, where="mid", color="0.4", lw=1, label="predicted, soft whitening")
    for arm in ("soft whitening", "VICReg", "SIGReg"):
        for predictor, marker in (("free", "o"), ("linear", "x")):
            own = last[(last["arm"] == arm) & (last["predictor"] == predictor)].groupby("strength")["rank"].mean()
            axis.plot(own.index, own, ls="", marker=marker, ms=5, color=PALETTE[arm], label=f"{arm}, {predictor}")
    axis.set_xscale("log")
    axis.set_xlabel(r"strength $\lambda$ (SIGReg: factor 1)")
    axis.set_ylabel("rank of $E[f f^T]$ at the end")
    axis.legend(fontsize=6.5)


def worth_panel(axis, part):
    """Share of the explainable risk that the span of each trained encoder loses."""
    last = part[part["step"] == part["n_steps"]]
    labels = []
    for position, ((arm, predictor), rows) in enumerate(last.groupby(["arm", "predictor"], sort=False)):
        share = (rows["refit_risk"] - rows["tail"]) / (rows["risk_of_nothing"] - rows["tail"])
        order = np.linspace(-0.3, 0.3, len(share))
        axis.plot(position + order, share.clip(lower=0), ls="", marker="o", ms=3, color=PALETTE[arm], alpha=0.7)
        labels.append(f"{arm}, {predictor}")
    axis.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=7)
    axis.set_ylabel("risk that the span loses\n(0: closed form, 1: no encoder)")
    axis.set_ylim(-0.05, 1.05)
