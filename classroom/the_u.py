"""Lesson 1: The U. Open with `spectral-jepa classroom 1`, or `marimo run classroom/the_u.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The U")


@app.cell
def _():
    import marimo as mo

    from spectral_jepa.classroom import _notebook as page
    from spectral_jepa.classroom import pictures
    from spectral_jepa.classroom.lessons import lesson as _lesson
    from spectral_jepa.classroom.u_curve import DIMS, u_curve

    lesson = _lesson(1)
    guess, fields = page.questions(lesson)
    page.opening(lesson, guess)
    return DIMS, fields, guess, lesson, mo, page, pictures, u_curve


@app.cell
def _(guess, lesson, page):
    page.answer(lesson, guess)
    return


@app.cell
def _(DIMS, mo):
    dim = mo.ui.slider(steps=list(DIMS), value=8, label="k, latent dimension", show_value=True)
    samples = mo.ui.slider(
        steps=[100, 300, 1000, 3000, 10_000, 30_000, 64_000], value=30_000, label="N, transitions", show_value=True
    )
    rank = mo.ui.slider(steps=[2, 5, 8, 12], value=8, label="rank of the world", show_value=True)
    noise = mo.ui.slider(start=0, stop=0.6, step=0.1, value=0, label="noise", show_value=True)
    data = mo.ui.slider(start=0, stop=9, step=1, value=0, label="data set", show_value=True)
    mo.hstack([mo.vstack([dim, samples, data]), mo.vstack([rank, noise])], wrap=True, justify="start", gap=3)
    return data, dim, noise, rank, samples


@app.cell
def _(data, dim, lesson, mo, noise, page, pictures, rank, samples, u_curve):
    curve = u_curve(samples.value, rank.value, round(noise.value, 1), data.value)
    _tail, _risk, _regret = curve.at(dim.value)
    mo.vstack(
        [
            page.number(f"{_risk:.3f}", f"error at k = {dim.value}; least at k = {curve.best_dim}; regret {_regret:.2f}"),
            page.show(pictures.draw_u(curve, dim.value)),
            page.beside(lesson, f"{_tail:.3f} + {_risk - _tail:.3f} = {_risk:.3f}"),
        ]
    )
    return


@app.cell
def _(fields, lesson, page):
    page.closing(lesson, fields)
    return


if __name__ == "__main__":
    app.run()
