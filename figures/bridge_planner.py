"""Draw ``bridge_planner``: what the squared distance loses on trained latents over what the exact embedding says."""

from matplotlib.figure import Figure

from spectral_jepa.plotting.style import COLORS, styled

LOOKS = {"whitening": ("o", "measured", "whitened"), "sigreg": ("D", "printed", "SIGReg (LeWM)")}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"] if "status" in table else table
    table = table[table["n_steps"] == table["n_steps"].max()]
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    most = max(table["exact_bias"].max(), table["bias"].max()) * 1.08
    left.plot([0, most], [0, most], color=COLORS["exact"], lw=1, label="as predicted")
    for regularizer, (marker, color, label) in LOOKS.items():
        part = table[table["regularizer"] == regularizer].groupby("world")[["exact_bias", "bias"]]
        mean, low, high = part.mean(), part.min(), part.max()
        spread = [mean["bias"] - low["bias"], high["bias"] - mean["bias"]]
        left.errorbar(mean["exact_bias"], mean["bias"], spread, fmt=marker, color=COLORS[color], ms=6, label=label)
    for world, row in table[table["regularizer"] == "whitening"].groupby("world")[["exact_bias", "bias"]].mean().iterrows():
        if row["exact_bias"] > 0.01:
            left.annotate(world, row, xytext=(6, -9), textcoords="offset points", size=8)
    left.set_xlabel("predicted: exact white embedding")
    left.set_ylabel("measured on trained latents (three seeds)")
    left.set_title("what the distance loses more than the corrected score")
    left.legend(loc="upper left")
    bars(right, table[table["regularizer"] == "whitening"])
    white = table[table["regularizer"] == "whitening"]
    biased, control = white[white["exact_bias"] > 0.01], white[white["exact_bias"] < 1e-9]
    figure.suptitle(
        "The Euclidean planner's bias shows from pixels: on the same latents the squared distance loses "
        f"{biased['bias'].mean():.3f} more than the corrected score\nin the four worlds where the exact embedding loses "
        f"{biased['exact_bias'].mean():.3f}, and {control['bias'].mean():.3f} in the six where it loses nothing",
        size=11,
    )
    return {"bridge_planner": figure}


def bars(axis, part):
    """Regret of both planners and of a blind one, a group a world, by predicted bias."""
    mean = part.groupby("world")[["exact_bias", "distance_regret", "score_regret", "blind_regret"]].mean()
    mean = mean.sort_values("exact_bias")
    shown = {
        "distance_regret": ("squared distance", "printed"),
        "score_regret": ("corrected score", "tight"),
        "blind_regret": ("always the first action", "other"),
    }
    for index, (column, (label, color)) in enumerate(shown.items()):
        axis.bar([i + 0.27 * (index - 1) for i in range(len(mean))], mean[column], 0.27, color=COLORS[color], label=label)
    axis.set_xticks(range(len(mean)), mean.index, rotation=35, ha="right")
    axis.set_ylabel("regret (probability)")
    axis.set_title("whitened latents; worlds by predicted bias")
    axis.legend()
