"""What can be checked on a figure without eyes: texts that meet or leave it, colours that merge, panels, the title."""

import numpy as np
from colour_vision import nearest_pair
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.legend import Legend
from matplotlib.text import Text

from spectral_jepa.plotting.style import STYLE

# Two colours nearer than this in L*a*b* are one to somebody; the default cycle of matplotlib has pairs at 5.
APART = 10.0
# Overlap of two boxes, in points, that is only the empty room of a font above small letters.
ROOM = 1.5
MOST_PANELS = 6


def panels(figure):
    """Axes that are neither a colour bar nor a second scale on another axis' place."""
    places = {}
    for axis in figure.axes:
        if axis.get_label() != "<colorbar>":
            places.setdefault(tuple(np.round(axis.get_position().bounds, 4)), axis)
    return list(places.values())


def written(figure):
    """Every text that is drawn, with the corners of its box in pixels."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    hidden = set()
    for axis in figure.axes:
        if not axis.get_visible():
            hidden |= set(map(id, axis.findobj(Text)))
        for one in (axis.xaxis, axis.yaxis):
            # Ticks beyond the limits exist and are not drawn.
            drawn = set(map(id, one._update_ticks())) if one.get_visible() else set()
            for tick in [*one.majorTicks, *one.minorTicks]:
                hidden |= set() if id(tick) in drawn else {id(tick.label1), id(tick.label2)}
    found = []
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden:
            box = Text.get_window_extent(text)
            found.append((text, np.array([box.x0, box.y0, box.x1, box.y1])))
    return found


def meeting_texts(figure, texts):
    """Pairs of texts that lie on each other, texts and legends that leave the figure, and slanted ones."""
    boxes = np.array([box for _, box in texts])
    room = ROOM * figure.dpi / 72
    wide = np.minimum(boxes[:, None, 2], boxes[None, :, 2]) - np.maximum(boxes[:, None, 0], boxes[None, :, 0])
    high = np.minimum(boxes[:, None, 3], boxes[None, :, 3]) - np.maximum(boxes[:, None, 1], boxes[None, :, 1])
    names = [text.get_text() for text, _ in texts]
    both = [(names[i], names[j]) for i, j in zip(*np.nonzero(np.triu((wide > 0) & (high > room), 1)), strict=True)]
    ends = figure.bbox
    out = [
        name
        for name, box in zip(names, boxes, strict=True)
        if box[0] < -1 or box[1] < -1 or box[2] > ends.x1 + 1 or box[3] > ends.y1 + 1
    ]
    for legend in figure.findobj(Legend):
        box = legend.get_window_extent()
        if legend.get_visible() and (box.x0 < -1 or box.x1 > ends.x1 + 1 or box.y0 < -1 or box.y1 > ends.y1 + 1):
            out.append(f"legend {[text.get_text() for text in legend.get_texts()][:2]}")
    slanted = [text.get_text() for text, _ in texts if text.get_rotation() % 90]
    return both, out, slanted


def drawn_color(line):
    """Of the line, or of its marks where there are only these: the face, or the edge of open ones."""
    if line.get_linestyle() not in ("None", "none", " ", ""):
        return line.get_color()
    face = line.get_markerfacecolor()
    return line.get_markeredgecolor() if isinstance(face, str) and face == "none" else face


def series_colors(axis):
    """Colours of lines and marks of a panel as they lie on white; greys between black and white are guides."""
    colors = [to_rgba(drawn_color(line), line.get_alpha()) for line in axis.lines if len(line.get_xdata())]
    for marks in axis.collections:
        if isinstance(marks, PathCollection) and len(marks.get_offsets()):
            colors += [tuple(color) for color in marks.get_facecolors()]
    flat = {to_hex(np.array(c[:3]) * c[3] + 1 - c[3]) for c in colors}
    return sorted(color for color in flat if color == "#000000" or len({color[1:3], color[3:5], color[5:7]}) > 1)


def complaints(figure, least_size=0.0):
    """All that is wrong with a figure, in words, at the resolution at which it is saved."""
    figure.set_dpi(STYLE["savefig.dpi"])
    found = []
    texts = written(figure)
    both, out, slanted = meeting_texts(figure, texts)
    found += [f"{one!r} lies on {other!r}" for one, other in both]
    found += [f"{text!r} leaves the figure" for text in out]
    found += [f"{text!r} is slanted" for text in slanted]
    for axis in figure.axes:
        distance, reader, pair = nearest_pair(series_colors(axis))
        if distance < APART:
            found.append(f"{pair} are {distance:.1f} apart ({reader}) in {axis.get_title()!r}")
    if len(panels(figure)) > MOST_PANELS:
        found.append(f"{len(panels(figure))} panels")
    title = " ".join(figure.get_suptitle().split())
    if not (title.endswith(".") and len(title.split()) >= 4 and title[0].isupper()):
        found.append(f"{title!r} is no sentence")
    small = {text.get_text(): text.get_fontsize() for text, _ in texts if text.get_fontsize() < least_size}
    found += [f"{text!r} is {size:.1f} points" for text, size in small.items()]
    return found
