"""Draw ``spectra``: singular values of every family, closed forms overlaid."""

from matplotlib.ticker import MaxNLocator

from spectral_jepa.plotting.finding import finish, talk_version
from spectral_jepa.plotting.style import COLORS, new_figure, styled

# Families of the figure: closed forms, steep and heavy tails, deterministic worlds; the others are an appendix.
MAIN = ("ring 24, slip .4", "block 5", "garnet", "four rooms", "permutation", "cliff walking")
A_FIGURE = 6


@styled
def draw(table):
    """Table of the experiment -> {file name: figure}."""
    table = table[table["status"] == "ok"]
    families = list(dict.fromkeys(table["family"]))
    main = [family for family in MAIN if family in families] or families[:A_FIGURE]
    rest = [family for family in families if family not in main]
    closed = table.dropna(subset=["closed_form"])
    off = (closed["closed_form"].astype(float) - closed["exact"]).abs().max()
    whole = (table["exact"] - table["exact"].round()).abs().groupby(table["family"]).max() < 1e-9
    met = "No world here has a spectrum in closed form"
    if len(closed):
        known = closed["family"].nunique()
        met = f"Closed forms meet the computed spectra of {known} of {len(families)} worlds within {off:.0e}"
    sentence = f"{met}; in {int(whole.sum())} worlds every singular value is 0 or 1."
    figures = {"spectra": one_figure(table, main, sentence)}
    for number, start in enumerate(range(0, len(rest), A_FIGURE)):
        names = rest[start : start + A_FIGURE]
        figures[f"spectra_more_{number + 1}"] = one_figure(table, names, f"{met} (appendix {number + 1}).")
    shown = main[min(1, len(main) - 1)]
    figures["spectra_talk"] = talk_version(
        f"The spectrum of {shown} ends at its rank; few data add a tail.",
        panel,
        table[table["family"] == shown],
        legend=True,
    )
    return figures


def one_figure(table, families, sentence):
    """At most six families."""
    rows = 2 if len(families) > 3 else 1
    figure, axes = new_figure(rows, -(-len(families) // rows), width=3.7, height=2.6)
    for axis, family in zip(axes.ravel(), families, strict=False):
        part = table[table["family"] == family]
        panel(axis, part)
        axis.set_title(f"{family} ({part['n_states'].iloc[0]} states)")
    for axis in axes.ravel()[len(families) :]:
        axis.remove()
    handles = {h.get_label(): h for axis in figure.axes for h in axis.get_legend_handles_labels()[0]}
    return finish(
        figure,
        sentence,
        "Singular values of one action's normalised co-occurrence, largest first. Crosses on dots: a closed form is known.",
        legend=list(handles.values()),
        columns=3,
    )


def panel(axis, part):
    """Singular values of one family: counts, exact, closed form."""
    part = part.sort_values("index")
    n = int(part["n_per_action"].iloc[0])
    axis.plot(part["index"], part["sampled"], color=COLORS["other"], label=f"counts, {n:,} transitions", zorder=1)
    axis.plot(part["index"], part["exact"], color=COLORS["exact"], marker="o", ls="", label="exact", zorder=2)
    closed = part.dropna(subset=["closed_form"])
    if len(closed):
        values, style = closed["closed_form"].astype(float), {"marker": "x", "ls": "", "zorder": 3}
        axis.plot(closed["index"], values, color=COLORS["printed"], label="closed form", **style)
    axis.set_ylim(-0.03, 1.05)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set_xlabel("index i")
    axis.set_ylabel("singular value")
