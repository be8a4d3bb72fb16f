"""Draw ``bridge_history``: functions and regrets of predictions 1, 2 and 4 steps ahead, at two sizes of log."""

import numpy as np

from spectral_jepa.plotting.finding import finish, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, new_figure, styled

# (steps are the most, clips are the most) -> line, marker, colour
LOOKS = {(True, True): ("-", "o", "measured"), (False, True): ("--", "s", "measured"), (False, False): (":", "^", "other")}
LABELS = {
    "share": "share of the leading four functions",
    "unpredicted": "prediction error, share of the variance of f",
    "regret": WORDS["goal regret"],
}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    # The shortest training is a check of the pipeline.
    table = table[table["n_steps"] > table["n_steps"].min()]
    figure, axes = new_figure(1, 3, width=4.1, height=3.4)
    for axis, column in zip(axes[0], LABELS, strict=True):
        panel(axis, table, column)
    axes[0, 0].set_title("functions found", weight="bold")
    axes[0, 1].set_title("what is left unpredicted", weight="bold")
    axes[0, 2].set_title("plans of four actions", weight="bold")
    handles = {}
    for axis in axes[0]:
        handles |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    seeds = table["seed"].nunique()
    finish(
        figure,
        headline(table),
        f"Names: steps of training, size of the log. Line: mean of {seeds} seeds; band: their range. "
        f"Cross: a run with 3 frames of context, {most(table)['n_steps'].min():,} steps, {table['clips'].max():,} clips.",
        legend=list(handles.values()),
        columns=5,
    )
    talk = talk_version(
        headline(table),
        panel,
        table,
        "share",
        legend=True,
        note=f"Names: steps of training, size of the log. Line: mean of {seeds} seeds; band: their range; cross: a run.",
        height=4.4,
    )
    return {"bridge_history": figure, "bridge_history_talk": talk}


def one_frame(table):
    """Trained runs whose context is one frame."""
    return table[(table["history"] == 1) & (table["ahead"] > 0)]


def most(table):
    """Those of them with the most clips."""
    plain = one_frame(table)
    return plain[plain["clips"] == plain["clips"].max()]


def headline(table):
    """The finding in numbers."""
    plain = most(table)
    mean = plain.groupby(["n_steps", "ahead"])["share"].mean().unstack("ahead")
    far = plain["ahead"].max()
    gain = mean[far] - mean[1]
    word = "more" if (gain > 0).all() else "no more" if (gain <= 0).all() else "not always more"
    each = ", ".join(f"{row[far]:.2f} against {row[1]:.2f} after {steps:,}" for steps, row in mean.iterrows())
    return f"Predicting {far} steps at once finds {word} of the leading four functions than one step: {each} training steps."


def panel(axis, table, column):
    """One measure over the steps that are predicted at once, with what it is compared with."""
    plain = one_frame(table)
    steps, clips = plain["n_steps"].max(), plain["clips"].max()
    long = plain[(plain["n_steps"] == steps) & (plain["clips"] == clips)]
    if column == "share":
        for size, part in plain[plain["n_steps"] < steps].groupby("clips"):
            curve(axis, part, "counted_share", "-" if size == clips else ":", "", "loose", f"SVD of counts, {size:,} clips")
    for (n_steps, size), part in plain.groupby(["n_steps", "clips"]):
        look = LOOKS[bool(n_steps == steps), bool(size == clips)]
        curve(axis, part, column, *look, f"{n_steps:,} steps, {size:,} clips")
    if column == "regret":
        curve(axis, long, "function_regret", "-", "D", "tight", f"{steps:,} steps, exact predictions of its f")
        axis.axhline(plain["blind_regret"].mean(), color="0.4", lw=1, ls="--", label="always the first plan")
    if column == "unpredicted":
        exact = long.groupby("ahead")["leading"].first()
        axis.plot(exact.index, 1 - exact**2, color=COLORS["exact"], lw=1, label="optimum, 1 - $s^{2H}$")
    if column == "share":
        untrained = table.loc[table["ahead"] == 0, "share"].mean()
        axis.axhline(untrained, color="0.4", lw=1, ls=":", label="untrained encoder")
    past = table[(table["history"] == 3) & (table["clips"] == clips)]
    axis.plot(past["ahead"], past[column], "x", color=COLORS["chain"], ms=7, mew=1.8, label="3 frames of context")
    axis.set_xticks(np.sort(plain["ahead"].unique()))
    axis.set_xlabel("steps predicted at once, H")
    axis.set_ylabel(LABELS[column])
    axis.set_ylim(bottom=0)


def curve(axis, part, column, line, marker, color, label):
    """Mean over seeds, with their range."""
    grouped = part.groupby("ahead")[column]
    mean = grouped.mean()
    axis.plot(mean.index, mean, ls=line, marker=marker, color=COLORS[color], label=label)
    axis.fill_between(mean.index, grouped.min(), grouped.max(), color=COLORS[color], alpha=0.12, lw=0)
