"""Lesson 2: Break the theorem. Open with `spectral-jepa classroom 2`, or `marimo run classroom/break_the_theorem.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Break the theorem")


@app.cell
def _():
    import marimo as mo

    from spectral_jepa.classroom import _notebook as page
    from spectral_jepa.classroom import pictures
    from spectral_jepa.classroom.broken_theorem import break_theorem
    from spectral_jepa.classroom.lessons import lesson as _lesson

    lesson = _lesson(2)
    guess, fields = page.questions(lesson)
    page.opening(lesson, guess)
    return break_theorem, fields, guess, lesson, mo, page, pictures


@app.cell
def _(guess, lesson, page):
    page.answer(lesson, guess)
    return


@app.cell
def _(mo):
    angle = mo.ui.slider(start=0.01, stop=0.5, step=0.01, value=0.5, label="angle between states", show_value=True)
    noise = mo.ui.slider(start=0, stop=0.9, step=0.1, value=0.5, label="noise", show_value=True)
    planner = mo.ui.dropdown(
        {"largest g·f": "dot", "least distance (the paper's)": "euclidean", "corrected: largest w⁺ g·f": "transition"},
        value="largest g·f",
        label="planner",
    )
    mo.vstack([planner, angle, noise])
    return angle, noise, planner


@app.cell
def _(angle, break_theorem, lesson, mo, noise, page, pictures, planner):
    broken = break_theorem(round(angle.value, 2), round(noise.value, 1), planner.value)
    _said = "its printed hypotheses hold" if broken.holds_as_printed else "its printed hypotheses do not hold here"
    mo.vstack(
        [
            page.number(f"{broken.regret:.3f}", f"regret; Theorem 4.1 promises {broken.promised:.4f}, and {_said}"),
            page.show(pictures.draw_broken(broken)),
            page.beside(lesson, f"promised {broken.promised:.4f}, lost {broken.regret:.3f}"),
        ]
    )
    return


@app.cell
def _(fields, lesson, page):
    page.closing(lesson, fields)
    return


if __name__ == "__main__":
    app.run()
