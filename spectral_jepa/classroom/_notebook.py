"""What the six marimo apps share: how a lesson is laid out. Needs marimo, which only they import."""

from __future__ import annotations

import io
from typing import Any

import marimo as mo
from matplotlib.figure import Figure

from spectral_jepa.classroom.lessons import Lesson


def heading(lesson: Lesson) -> Any:
    """Title and idea."""
    return mo.md(f"# {lesson.number}. {lesson.title}\n\n**{lesson.idea}**")


def guess(lesson: Lesson) -> Any:
    """The question, as a choice that nothing is chosen of yet."""
    return mo.ui.radio(list(lesson.options), label=f"**Guess first.** {lesson.question}")


def answer(lesson: Lesson, chosen: Any) -> Any:
    """The answer, once something was guessed."""
    if chosen.value is None:
        return mo.md("*The answer appears here when you have guessed.*")
    right = chosen.value == lesson.options[lesson.right]
    verdict = "Right." if right else f"You guessed: {chosen.value}. It is: {lesson.options[lesson.right]}."
    return mo.callout(mo.md(f"**{verdict}** {lesson.explanation}"), kind="success" if right else "warn")


def number(value: str, caption: str) -> Any:
    """The one number that changes, large."""
    return mo.stat(value=value, caption=caption)


def beside(lesson: Lesson, value: str) -> Any:
    """Formula, code and number side by side; below each other where the page is narrow."""
    parts = [mo.md(f"$${lesson.formula}$$"), mo.md(f"```python\n{lesson.code}\n```"), mo.md(f"**= {value}**")]
    return mo.hstack(parts, wrap=True, justify="start", gap=2, align="center")


def show(figure: Figure) -> Any:
    """A figure as a picture that shrinks with the page."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    return mo.image(drawn.getvalue(), alt="the picture of this lesson", style={"max-width": "100%", "height": "auto"})


def exercises(lesson: Lesson) -> Any:
    """A field for the answer to each exercise."""
    return mo.ui.array([mo.ui.number(step=0.0001) for _ in lesson.exercises])


def checked(lesson: Lesson, fields: Any) -> Any:
    """Each exercise with its field and what becomes of the answer."""
    rows = [mo.md("## Exercises")]
    for letter, exercise, field, given in zip("ab", lesson.exercises, fields, fields.value, strict=True):
        if given is None:
            verdict = "*type a number*"
        else:
            verdict = "✓ **right**" if exercise.right(given) else f"✗ not yet: {exercise.hint}"
        rows += [mo.md(f"**({letter})** {exercise.text}"), mo.hstack([field, mo.md(verdict)], justify="start", wrap=True)]
    return mo.vstack(rows)


def home(lesson: Lesson) -> Any:
    """The sentence to take home."""
    return mo.callout(mo.md(f"**To take home.** {lesson.takeaway}"), kind="info")
