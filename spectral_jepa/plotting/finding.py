"""What makes a figure say what it shows: a title that is a sentence, names at the lines, a note on marks, a talk's version.

Colours, sizes and the words of the axes are those of :mod:`spectral_jepa.plotting.style`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.text import Text

from spectral_jepa.plotting.style import NOTE_COLOR, STYLE, TALK, halo, new_figure

# Marks the texts that finish() moves apart.
END_LABEL = "end label"


def ink(color: Any) -> tuple[float, float, float]:
    """A colour of the palette, dark enough for text on white: mixed with black, the lighter the more.

    Parameters
    ----------
    color : colour of matplotlib

    Returns
    -------
    tuple of float
        Red, green, blue.

    Examples
    --------
    Orange becomes brown, blue and black stay.

    >>> [round(value, 2) for value in ink("#E69F00")], ink("k")
    ([0.64, 0.44, 0.0], (0.0, 0.0, 0.0))
    """
    red, green, blue = to_rgb(color)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    keep = min(1.0, 0.45 / light) if light else 1.0
    return red * keep, green * keep, blue * keep


def label_at(
    axis: Axes,
    text: str,
    where: tuple[float, float],
    *,
    color: Any = "k",
    shift: tuple[float, float] = (4, 4),
    **text_style: Any,
) -> Text:
    """Write a name beside what it names, in its colour.

    Parameters
    ----------
    axis : matplotlib Axes
    text : str
    where : tuple of float
        The point, in units of the data.
    color : colour of matplotlib
        Of what is named; the text is darkened by :func:`ink`.
    shift : tuple of float
        From the point to the text, in points.
    **text_style
        As for ``Axes.annotate``, such as ``ha="right"``.

    Returns
    -------
    matplotlib Text

    Examples
    --------
    >>> _, axes = new_figure(1, 1)
    >>> label_at(axes[0, 0], "limit", (0.5, 0.7), color="#0072B2").get_text()
    'limit'
    """
    style: dict[str, Any] = {"fontsize": "small", "annotation_clip": False, "path_effects": halo()} | text_style
    return axis.annotate(text, where, xytext=shift, textcoords="offset points", color=ink(color), **style)


def label_ends(axis: Axes, *, of: Sequence[Any] | None = None) -> list[Text]:
    """Write the name of each line at its right end, in its colour, instead of a legend.

    Parameters
    ----------
    axis : matplotlib Axes
    of : sequence of Line2D, optional
        Default: every line of the axis that has a label.

    Returns
    -------
    list of Text
        :func:`finish` moves those apart that would lie on each other, and draws a thin line from a moved name to its end.

    Notes
    -----
    A line that is nowhere finite has no end and gets no name.

    Examples
    --------
    >>> _, axes = new_figure(1, 1)
    >>> _ = axes[0, 0].plot([1, 2], [3, 4], label="rising"), axes[0, 0].plot([1, 2], [4, np.nan], label="ends early")
    >>> [(text.get_text(), text.xy) for text in label_ends(axes[0, 0])]
    [('rising', (2.0, 4.0)), ('ends early', (1.0, 4.0))]
    """
    lines = [line for line in axis.lines if not str(line.get_label()).startswith("_")] if of is None else of
    written = []
    for line in lines:
        x, y = (np.asarray(values, float) for values in line.get_data())
        known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if len(known):
            end = known[np.argmax(x[known])]
            style: Any = {
                "va": "center",
                "gid": END_LABEL,
                "arrowprops": {"arrowstyle": "-", "lw": 0.6, "color": line.get_color()},
            }
            name = str(line.get_label())
            written.append(
                label_at(axis, name, (float(x[end]), float(y[end])), color=line.get_color(), shift=(7, 0), **style)
            )
    return written


def spread_labels(figure: Figure) -> None:
    """Move the names at the ends of lines apart, up and down, as little as is needed.

    Parameters
    ----------
    figure : matplotlib Figure
        It is laid out, twice if names stand at lines: they change the room that panels have.

    Notes
    -----
    :func:`finish` does this. O(names^2) for each axis, and two layouts.

    Examples
    --------
    >>> figure, axes = new_figure(1, 1)
    >>> _ = [axes[0, 0].plot([1, 2], [1, 1 + gap], label=f"+ {gap}") for gap in (0, 0.01, 5)]
    >>> names = label_ends(axes[0, 0])
    >>> spread_labels(figure)
    >>> low, middle, high = (name.get_window_extent() for name in names)
    >>> bool(low.y1 <= middle.y0 < middle.y1 <= high.y0)
    True
    """
    labelled = [axis for axis in figure.axes if any(text.get_gid() == END_LABEL for text in axis.texts)]
    engine = figure.get_layout_engine()
    for _ in range(2 if labelled else 1):
        if engine is not None:
            engine.execute(figure)
        for axis in labelled:
            for names in _beside_each_other(axis):
                _spread(axis, names)


def _beside_each_other(axis: Axes) -> list[list[Any]]:
    """Names of one axis in groups: lines that end elsewhere have their names elsewhere."""
    names: list[Any] = [text for text in axis.texts if text.get_gid() == END_LABEL]
    ends = [float(axis.transData.transform(name.xy)[0]) for name in names]
    groups: list[list[Any]] = []
    last = -np.inf
    for place in sorted(range(len(names)), key=lambda i: ends[i]):
        if ends[place] > last + 0.08 * axis.bbox.width:
            groups.append([])
        groups[-1].append(names[place])
        last = ends[place]
    return groups


def _spread(axis: Axes, names: list[Any]) -> None:
    """Least moves that keep the names of one axis apart: neighbours that meet are joined to a block about their mean."""
    points = 72 / axis.figure.dpi
    wanted = [float(axis.transData.transform(name.xy)[1]) * points for name in names]
    heights = [Text.get_window_extent(name).height * points + 1.5 for name in names]
    blocks: list[list[int]] = []
    for place in sorted(range(len(names)), key=lambda i: wanted[i]):
        blocks.append([place])
        while len(blocks) > 1 and _bottom(blocks[-1], wanted, heights) < _bottom(blocks[-2], wanted, heights) + sum(
            heights[i] for i in blocks[-2]
        ):
            last = blocks.pop()
            blocks[-1] += last
    for block in blocks:
        at = _bottom(block, wanted, heights)
        for place in block:
            moved = at + heights[place] / 2 - wanted[place]
            at += heights[place]
            name = names[place]
            name.set_position((12 if abs(moved) > 2 else 7, moved))
            assert name.arrow_patch is not None
            name.arrow_patch.set_visible(abs(moved) > 2)


def _bottom(block: list[int], wanted: list[float], heights: list[float]) -> float:
    """Lower edge of a block whose names are as near as can be to where they want to be."""
    offset, shifts = 0.0, []
    for place in block:
        shifts.append(wanted[place] - offset - heights[place] / 2)
        offset += heights[place]
    return float(np.mean(shifts))


def finish(figure: Figure, title: str, note: str = "", *, legend: Sequence[Any] = (), columns: int = 4) -> Figure:
    """Give a figure its title, a sentence that says what was found, and below the panels what its marks are.

    Parameters
    ----------
    figure : matplotlib Figure
        As :func:`new_figure` makes it, with all panels drawn.
    title : str
        A sentence, wrapped to the figure's width. Where the data decide what it says, it is computed from them.
    note : str
        What lines, bands and marks are, wrapped to the figure's width; see :func:`mean_note`.
    legend : sequence of artists
        With labels; written between panels and note where names cannot stand at the lines.
    columns : int
        Of the legend.

    Returns
    -------
    matplotlib Figure
        The same.

    Notes
    -----
    Also moves apart what :func:`label_ends` wrote, and ends the layout: what is drawn later has to fit. Two layouts.

    Examples
    --------
    >>> figure, axes = new_figure(1, 2)
    >>> finish(figure, "Error falls with every dimension.", "Line: mean of 5 seeds.").get_suptitle()
    'Error falls with every dimension.'
    """
    width, height = figure.get_size_inches()
    # Letters are a little wider or narrower at another resolution: measured is what is saved.
    shown = figure.dpi
    figure.set_dpi(STYLE["savefig.dpi"])
    size = 1.2 * FontProperties(size="medium").get_size_in_points()
    small = FontProperties(size=mpl.rcParams["legend.fontsize"]).get_size_in_points()
    heading = _wrapped(figure, title, size=size, weight="bold")
    below = _wrapped(figure, note, size=small)
    top = (heading.count("\n") + 1) * size * 1.25 / 72 + 0.08
    bottom = (below.count("\n") + 1) * small * 1.3 / 72 + 0.06 if note else 0.0
    box = _legend_that_fits(figure, legend, columns)
    rows = box.get_window_extent().height / figure.dpi + 0.04 if box is not None else 0.0
    full = height + top + bottom + rows
    figure.set_size_inches(width, full)
    if box is not None:
        box.set_bbox_to_anchor((0.5, bottom / full))
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, (bottom + rows) / full, 1, 1 - (top + bottom + rows) / full))
    # In the layout's own reckoning a title has no side and no fixed place: it is kept out of it.
    text = figure.suptitle(heading, x=0.06 / width, y=1 - 0.05 / full, ha="left", va="top", size=size, weight="bold")
    text.set_in_layout(False)
    if note:
        figure.text(0.06 / width, 0.04 / full, below, size=small, color=NOTE_COLOR, va="bottom").set_in_layout(False)
    spread_labels(figure)
    # What was found stays: saving need not lay out again.
    figure.set_layout_engine("none")
    figure.set_dpi(shown)
    return figure


def _wrapped(figure: Figure, words: str, **style: Any) -> str:
    """Words in as many lines as the figure's width asks for: letters differ, so lines are measured."""
    room = figure.bbox.width - 0.12 * figure.dpi
    probe = figure.text(0, 0, words, **style)
    columns = max(len(words), 1)
    while probe.get_window_extent().width > room and columns > 12:
        columns -= max(1, columns // 20)
        probe.set_text(textwrap.fill(words, columns, break_long_words=False, break_on_hyphens=False))
    text = probe.get_text()
    probe.remove()
    return text


def _legend_that_fits(figure: Figure, handles: Sequence[Any], columns: int) -> Legend | None:
    """A legend below the panels, in fewer columns where the figure is narrow."""
    names = [str(handle.get_label()) for handle in handles]
    for count in range(min(columns, len(names)), 0, -1):
        box = figure.legend(
            list(handles), names, loc="lower center", bbox_to_anchor=(0.5, 0), ncols=count, borderpad=0.2, columnspacing=1.4
        )
        box.set_in_layout(False)
        if count == 1 or box.get_window_extent().width < 0.98 * figure.bbox.width:
            return box
        box.remove()
    return None


def mean_note(n_seeds: int, *, what: str = "seeds") -> str:
    """What line and band of :func:`band` are, in a sentence.

    Parameters
    ----------
    n_seeds : int
        Runs behind a mean.
    what : str
        What was run anew.

    Returns
    -------
    str

    Examples
    --------
    >>> mean_note(20)
    'Line: mean of 20 seeds; band: 95 % interval of the mean (Student t).'
    """
    return f"Line: mean of {n_seeds} {what}; band: 95 % interval of the mean (Student t)."


def talk_version(
    title: str,
    panel: Callable[..., object],
    *arguments: Any,
    note: str = "",
    legend: bool = False,
    columns: int = 2,
    width: float = 6.0,
    height: float = 4.0,
    **keywords: Any,
) -> Figure:
    """Draw one panel of a figure for a slide or a telephone: larger letters, one sentence.

    Parameters
    ----------
    title, note : str
        As of :func:`finish`.
    panel : callable
        Draws on an axis: ``panel(axis, *arguments, **keywords)``. Sizes of letters are relative, such as "small".
    *arguments, **keywords
        For the panel.
    legend : bool
        Write the names of the panel's lines below it; the panel's own legend is then removed.
    columns : int
        Of that legend.
    width, height : float
        Of the panel in inches.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> figure = talk_version("It rises.", lambda axis, y: axis.plot(y), [1, 2])
    >>> figure.get_suptitle(), figure.axes[0].lines[0].get_linewidth() > STYLE["lines.linewidth"]
    ('It rises.', True)
    """
    with mpl.rc_context(STYLE | TALK):
        figure, axes = new_figure(1, 1, width=width, height=height)
        panel(axes[0, 0], *arguments, **keywords)
        for axis in figure.axes:
            axis.set_title("")
        handles: list[Any] = []
        if legend:
            for axis in figure.axes:
                handles += [h for h in axis.get_legend_handles_labels()[0]]
                if axis.get_legend() is not None:
                    axis.get_legend().remove()  # type: ignore[union-attr]
        return finish(figure, title, note, legend=handles, columns=columns)
