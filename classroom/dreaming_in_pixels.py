"""Lesson 6: Dreaming in pixels. Open with `spectral-jepa classroom 6`, or `marimo run classroom/dreaming_in_pixels.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Dreaming in pixels")


@app.cell
def _():
    import marimo as mo

    from spectral_jepa._validation import InputError
    from spectral_jepa.classroom import _notebook as page
    from spectral_jepa.classroom import pictures
    from spectral_jepa.classroom.dream import CHANGES, dream, load_dream, train_dream
    from spectral_jepa.classroom.lessons import lesson as _lesson

    lesson = _lesson(6)
    guess, fields = page.questions(lesson)
    page.opening(lesson, guess)
    return CHANGES, dream, fields, guess, InputError, lesson, load_dream, mo, page, pictures, train_dream


@app.cell
def _(guess, lesson, page):
    page.answer(lesson, guess)
    return


@app.cell
def _(InputError, load_dream, mo):
    try:
        shipped, _problem = load_dream(), ""
    except InputError as _error:
        shipped, _problem = None, str(_error)
    train = mo.ui.run_button(label="train a small one now (a minute or two)", disabled="torch" in _problem)
    mo.vstack([mo.callout(_problem, kind="warn"), train]) if _problem else mo.md(
        f"The model: {shipped.origin}. So short a training rarely arrives: see where imagination and world part."
    )
    return shipped, train


@app.cell
def _(mo, shipped, train, train_dream):
    mo.stop(shipped is None and not train.value, mo.md("*Press the button to train a small model.*"))
    model = train_dream() if shipped is None else shipped
    mo.md("" if shipped is not None else f"The model: {model.origin}.")
    return (model,)


@app.cell
def _(CHANGES, mo):
    start_x = mo.ui.slider(start=21, stop=203, step=1, value=50, label="start x", show_value=True)
    start_y = mo.ui.slider(start=21, stop=203, step=1, value=150, label="start y", show_value=True)
    goal_x = mo.ui.slider(start=21, stop=203, step=1, value=60, label="goal x", show_value=True)
    goal_y = mo.ui.slider(start=21, stop=203, step=1, value=60, label="goal y", show_value=True)
    change = mo.ui.dropdown(list(CHANGES), value="teleport", label="at frame 6")
    frame = mo.ui.slider(start=0, stop=10, step=1, value=5, label="frame", show_value=True)
    mo.hstack(
        [mo.vstack([start_x, start_y]), mo.vstack([goal_x, goal_y]), mo.vstack([change, frame])], wrap=True, justify="start"
    )
    return change, frame, goal_x, goal_y, start_x, start_y


@app.cell
def _(change, dream, goal_x, goal_y, model, start_x, start_y):
    film = dream(model, [start_x.value, start_y.value], [goal_x.value, goal_y.value], change.value)
    return (film,)


@app.cell
def _(film, frame, lesson, mo, page, pictures):
    _now = film.surprise[frame.value - 1] if frame.value else 0.0
    _usual = film.expected.mean()
    mo.vstack(
        [
            page.number(f"{_now:.3f}", f"surprise in frame {frame.value}; {_now / _usual:.1f} times the usual"),
            page.show(pictures.draw_film(film, frame.value)),
            page.beside(lesson, f"{_now:.3f}"),
        ]
    )
    return


@app.cell
def _(fields, lesson, page):
    page.closing(lesson, fields)
    return


if __name__ == "__main__":
    app.run()
