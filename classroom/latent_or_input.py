"""Lesson 5: Latent or input?. Open with `spectral-jepa classroom 5`, or `marimo run classroom/latent_or_input.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Latent or input?")


@app.cell
async def _():
    import sys

    if sys.platform == "emscripten":  # in the browser: the wheel lies beside the page, in public/
        import micropip
        from marimo import notebook_location

        await micropip.install(["numpy", "scipy", "pandas", "matplotlib"])
        await micropip.install(str(notebook_location() / "public" / "spectral_jepa-0.1.0-py3-none-any.whl"), deps=False)

    import marimo as mo

    from spectral_jepa.classroom import _notebook as page
    from spectral_jepa.classroom import pictures
    from spectral_jepa.classroom.latent_or_input import DIMS, SCALES, contest
    from spectral_jepa.classroom.lessons import lesson as _lesson

    lesson = _lesson(5)
    page.heading(lesson)
    return contest, DIMS, lesson, mo, page, pictures, SCALES


@app.cell
def _(lesson, page):
    guess = page.guess(lesson)
    guess
    return (guess,)


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
            page.beside(lesson, f"c* = {found.critical_scale:.3f}, s = {found.task_value:.3f}"),
        ]
    )
    return


@app.cell
def _(lesson, page):
    page.home(lesson)
    return


@app.cell
def _(lesson, page):
    fields = page.exercises(lesson)
    return (fields,)


@app.cell
def _(fields, lesson, page):
    page.checked(lesson, fields)
    return


if __name__ == "__main__":
    app.run()
