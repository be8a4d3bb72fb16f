"""Draw ``bridge_dimension``: error, bound and regret over the latent dimension, pixels beside the SVD of the same data."""

import numpy as np

from spectral_jepa.plotting.finding import finish, talk_version
from spectral_jepa.plotting.style import COLORS, WORDS, dimension_axis, new_figure, sequential_colors, styled

LOOKS = {
    "pixels": ("trained on pictures", "measured", "-", "o"),
    "SVD, same data": ("SVD of the same transitions", "loose", "--", "s"),
    "SVD, exact": ("exact SVD (the tail)", "exact", ":", ""),
}
MAIN = {"risk": WORDS["error"], "ahead_regret": f"three steps ahead:\n{WORDS['goal regret']}"}
MORE = {"reward_regret": WORDS["reward regret"], "bound": f"one step, bound:\n{WORDS['goal regret']}"}


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}, one a world."""
    table = table[table["status"] == "ok"] if "status" in table else table
    figures = {}
    for world, part in table.groupby("world"):
        name = f"bridge_dimension_{world.replace(' ', '_')}"
        figures[name] = world_figure(part, MAIN, f"{world.capitalize()} from pictures: {least_sentence(part)}")
        figures[f"{name}_more"] = world_figure(part, MORE, f"{world.capitalize()} from pictures: {bound_sentence(part)}")
        figures[f"{name}_talk"] = talk_version(
            f"{world.capitalize()} from pictures: {least_sentence(part, beside=False)}",
            sizes_panel,
            part[part["method"] == "pixels"],
            legend=True,
            note=f"{seeds_note(part)} Star: least.",
        )
    return figures


def best(part, method):
    """Dimensions of least mean error, in words, by growing size of data."""
    mean = part[part["method"] == method].groupby(["transitions", "dim"])["risk"].mean()
    return ", ".join(str(rows.droplevel(0).idxmin()) for _, rows in mean.groupby(level=0))


def least_sentence(part, *, beside=True):
    """Where the error is least, and whether the SVD of the same data has it there too."""
    sizes = ", ".join(f"{size:,}" for size in sorted(part["transitions"].unique()))
    own, other = best(part, "pixels"), best(part, "SVD, same data")
    found = f"the error is least at k = {own} for {sizes} transitions"
    same = "as is that of the SVD of the same data" if own == other else f"that of the SVD of the same data at k = {other}"
    return f"{found}, {same}." if beside else f"{found}."


def bound_sentence(part):
    """How far the bound lies above the regret of the pixel model."""
    pixels = part[(part["method"] == "pixels") & (part["corrected_regret"] > 0)]
    ratio = np.floor(10 * (pixels["bound"] / pixels["corrected_regret"]).min()) / 10
    return f"the bound is at least {ratio:.1f} times the one-step goal regret, in every run with any regret."


def seeds_note(part):
    """What lines and bands are."""
    return f"Line: mean of {part['seed'].nunique()} seeds; band: least to largest of them."


def world_figure(part, rows, title):
    """One column a size of data, one row a measure."""
    sizes = sorted(part["transitions"].unique())
    figure, axes = new_figure(len(rows), len(sizes), width=3.4, height=2.7)
    for row, (name, label) in zip(axes, rows.items(), strict=True):
        for axis, size in zip(row, sizes, strict=True):
            own = part[part["transitions"] == size]
            lines(axis, own, name)
            dimension_axis(axis, [*own["dim"].unique()])
        highest = max(axis.get_ylim()[1] for axis in row)
        for axis in row:
            axis.set_ylim(0, highest)
        row[0].set_ylabel(label)
    for axis in axes[:-1].ravel():
        axis.set_xlabel("")
    for axis, size in zip(axes[0], sizes, strict=True):
        axis.set_title(f"{size:,} transitions")
    note = f"{seeds_note(part)} {'Star: least error of the model trained on pictures.' if 'risk' in rows else ''}"
    return finish(figure, title, note, legend=axes[-1, 0].get_legend_handles_labels()[0])


def lines(axis, rows, column):
    """Mean over seeds, with all seeds as a band; beside a bound the regret that it bounds."""
    for method, (label, color, line, marker) in LOOKS.items():
        of_dim = rows[rows["method"] == method].groupby("dim")[column]
        curve(axis, of_dim, color=COLORS[color], ls=line, marker=marker, label=label)
    pixels = rows[rows["method"] == "pixels"].groupby("dim")
    if column == "bound":
        curve(axis, pixels["corrected_regret"], color=COLORS["chain"], marker="v", label="regret, trained on pictures")
    if column == "risk":
        star(axis, pixels["risk"].mean(), COLORS["printed"])


def curve(axis, of_dim, **line):
    """Mean over seeds, with all seeds as a band."""
    mean = of_dim.mean()
    axis.plot(mean.index, mean, **line)
    axis.fill_between(mean.index, of_dim.min(), of_dim.max(), color=line["color"], alpha=0.15, lw=0)


def star(axis, mean, color):
    """Mark the dimension of least error."""
    axis.plot(mean.idxmin(), mean.min(), marker="*", ms=12, color=color, ls="", zorder=5)


def sizes_panel(axis, pixels):
    """Error of the pixel model over the dimension, one line a size of data."""
    sizes = sorted(pixels["transitions"].unique())
    for size, color in sequential_colors(sizes).items():
        of_dim = pixels[pixels["transitions"] == size].groupby("dim")["risk"]
        curve(axis, of_dim, color=color, marker="o", label=f"{size:,} transitions")
        star(axis, of_dim.mean(), COLORS["printed"])
    axis.set_ylim(bottom=0)
    axis.set_ylabel(WORDS["error"])
    dimension_axis(axis, [*pixels["dim"].unique()])
