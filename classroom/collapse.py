"""Lesson 3: Collapse. Open with `spectral-jepa classroom 3`, or `marimo run classroom/collapse.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Collapse")


@app.cell
def _():
    import marimo as mo

    from spectral_jepa.classroom import _notebook as page
    from spectral_jepa.classroom import pictures
    from spectral_jepa.classroom.collapse import REGULARIZERS, STEPS, STRENGTHS, encoder_at, train_live
    from spectral_jepa.classroom.lessons import lesson as _lesson

    lesson = _lesson(3)
    guess, fields = page.questions(lesson)
    page.opening(lesson, guess)
    return encoder_at, fields, guess, lesson, mo, page, pictures, REGULARIZERS, STEPS, STRENGTHS, train_live


@app.cell
def _(guess, lesson, page):
    page.answer(lesson, guess)
    return


@app.cell
def _(REGULARIZERS, mo):
    kind = mo.ui.dropdown(list(REGULARIZERS), value="whitening", label="regulariser")
    kind
    return (kind,)


@app.cell
def _(STEPS, STRENGTHS, kind, mo):
    from importlib.util import find_spec

    _known = list(STRENGTHS[kind.value])
    strength = mo.ui.slider(steps=_known, value=_known[3 * len(_known) // 4], label="λ, strength", show_value=True)
    step = mo.ui.slider(steps=list(STEPS), value=STEPS[-1], label="training step", show_value=True)
    own = mo.ui.number(start=0, stop=1000, step=0.01, value=0.33, label="or another λ")
    train = mo.ui.run_button(label="train it now", disabled=find_spec("torch") is None)
    mo.hstack([mo.vstack([strength, step]), mo.vstack([own, train])], wrap=True, justify="start", gap=3)
    return own, step, strength, train


@app.cell
def _(encoder_at, kind, own, step, strength, train, train_live):
    if train.value:
        encoder, title = train_live(kind.value, own.value)[-1], f"trained just now, λ = {own.value:g}"
    else:
        encoder, title = encoder_at(kind.value, strength.value, step.value), f"λ = {strength.value:g}, step {step.value}"
    return encoder, title


@app.cell
def _(encoder, lesson, mo, page, pictures, title):
    _said = "not said: collapse is unstable" if encoder.predicted is None else str(encoder.predicted)
    mo.vstack(
        [
            page.number(str(encoder.rank), f"directions alive; predicted for the end: {_said}"),
            page.show(pictures.draw_encoder(encoder, title)),
            page.beside(lesson, f"found {encoder.rank}, predicted {_said}"),
        ]
    )
    return


@app.cell
def _(fields, lesson, page):
    page.closing(lesson, fields)
    return


if __name__ == "__main__":
    app.run()
