"""Lesson 5: Latent or input?. Open with `spectral-jepa classroom 5`, or `marimo run classroom/latent_or_input.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Latent or input?")


@app.cell
def _():
    import marimo as mo

    from spectral_jepa.classroom import _notebook as page
    from spectral_jepa.classroom import pictures
    from spectral_jepa.classroom.latent_or_input import DIMS, SCALES, contest
    from spectral_jepa.classroom.lessons import lesson as _lesson

    lesson = _lesson(5)
    guess, fields = page.questions(lesson)
    page.opening(lesson, guess)
    return contest, DIMS, fields, guess, lesson, mo, page, pictures, SCALES


@app.cell
def _(guess, lesson, page):
    page.answer(lesson, guess)
    return


@app.cell
def _(DIMS, SCALES, mo):
    scale = mo.ui.slider(steps=list(SCALES), value=0.25, label="loudness c of the background", show_value=True)
    persistence = mo.ui.slider(start=0, stop=1, step=0.05, value=0.3, label="predictability p", show_value=True)
    dim = mo.ui.slider(steps=list(DIMS), value=3, label="k, dimensions", show_value=True)
    mo.vstack([scale, persistence, dim])
    return dim, persistence, scale


@app.cell
def _(contest, dim, lesson, mo, page, persistence, pictures, scale):
    _where = (scale.value, round(persistence.value, 2), dim.value)
    found = contest(*_where)
    _caption = f"regret of the latent model less that of the input-level model ({found.latent:.3f} - {found.input:.3f})"
    mo.vstack(
        [
            page.number(f"{found.latent - found.input:+.3f}", _caption),
            page.show(pictures.draw_contest(found, *_where)),
            page.beside(lesson, f"critical c {found.critical_scale:.3f}, s {found.task_value:.3f}"),
        ]
    )
    return


@app.cell
def _(fields, lesson, page):
    page.closing(lesson, fields)
    return


if __name__ == "__main__":
    app.run()
