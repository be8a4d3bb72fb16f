"""What the six marimo apps share: how a lesson is laid out. Needs marimo, which only they import."""

from __future__ import annotations

import base64
import io
from html import escape
from itertools import pairwise
from typing import Any

import marimo as mo
import numpy as np
from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spectral_jepa.classroom.lessons import Lesson

# Of a picture: two panels of 3.7 inches fill marimo's column without being enlarged.
DPI = 144
SHRINKS = "flex:1 1 400px;min-width:min(100%,320px);height:auto;max-width:"
# Code and formulas wider than a telephone are wrapped or scrolled, not cut.
WRAPS = "<style>.codehilite pre,.codehilite code{white-space:pre-wrap;overflow-wrap:anywhere}</style>"


def questions(lesson: Lesson) -> tuple[Any, Any]:
    """What is asked: the guess, of which nothing is chosen yet, and a field for the answer to each exercise."""
    guess = mo.ui.radio(list(lesson.options), label=f"**Guess first.** {lesson.question}")
    return guess, mo.ui.array([mo.ui.number(step=0.0001) for _ in lesson.exercises])


def opening(lesson: Lesson, guess: Any) -> Any:
    """Title, idea, and what is to be guessed."""
    return mo.vstack([mo.md(f"# {lesson.number}. {lesson.title}\n\n**{lesson.idea}**"), guess, mo.Html(WRAPS)])


def answer(lesson: Lesson, chosen: Any) -> Any:
    """The answer, once something was guessed."""
    if chosen.value is None:
        return mo.md("*The answer appears here when you have guessed.*")
    right = chosen.value == lesson.options[lesson.right]
    verdict = "Right." if right else f"You guessed: {chosen.value}. It is: {lesson.options[lesson.right]}."
    return mo.callout(mo.md(f"**{verdict}** {lesson.explanation}"), kind="success" if right else "warn")


def number(value: str, caption: str) -> Any:
    """The one number that changes, large."""
    large = f'<div class="number" style="font-size:2rem;font-weight:700;line-height:1.2">{escape(value)}</div>'
    return mo.Html(f'{large}<div style="color:#5b6b7b">{escape(caption)}</div>')


def beside(lesson: Lesson, value: str) -> Any:
    """Formula, code and number side by side; below each other where the page is narrow."""
    formulas = mo.vstack([mo.md(f"$${part.rstrip(', ')}$$") for part in lesson.formula.split(r"\qquad")])
    parts = [formulas, mo.md(f"```python\n{lesson.code}\n```"), mo.md(f"**= {value}**")]
    return mo.hstack(parts, wrap=True, justify="start", gap=2, align="center")


def show(figure: Figure) -> Any:
    """A figure as pictures, which a narrow page puts below each other: the two panels of a row apart, others together."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    cuts = [0, pixels.shape[1]]
    if len(figure.axes) == 2:
        left, right = (axis.get_tightbbox() for axis in figure.axes)
        assert left is not None and right is not None
        cuts.insert(1, round((left.x1 + right.x0) / 2))
    pictures = []
    for start, stop in pairwise(cuts):
        drawn = io.BytesIO()
        image.imsave(drawn, pixels[:, start:stop], format="png", pil_kwargs={"compress_level": 1})
        data = base64.b64encode(drawn.getvalue()).decode()
        pictures.append(
            f'<img alt="the picture of this lesson" src="data:image/png;base64,{data}" style="{SHRINKS}{stop - start}px">'
        )
    return mo.Html(f'<div style="display:flex;flex-wrap:wrap;align-items:flex-start">{"".join(pictures)}</div>')


def closing(lesson: Lesson, fields: Any) -> Any:
    """The sentence to take home, then each exercise with its field and what becomes of the answer."""
    rows = [mo.callout(mo.md(f"**To take home.** {lesson.takeaway}"), kind="info"), mo.md("## Exercises")]
    for letter, exercise, field, given in zip("ab", lesson.exercises, fields, fields.value, strict=True):
        if given is None:
            verdict = "*type a number*"
        else:
            verdict = "✓ **right**" if exercise.right(given) else f"✗ not yet: {exercise.hint}"
        rows += [mo.md(f"**({letter})** {exercise.text}"), mo.hstack([field, mo.md(verdict)], justify="start", wrap=True)]
    return mo.vstack(rows)
