"""Lesson 4: The spectrum is a map. Open with `spectral-jepa classroom 4`, or `marimo run classroom/spectrum_is_a_map.py`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="The spectrum is a map")


@app.cell
def _():
    import marimo as mo

    from spectral_jepa._validation import InputError
    from spectral_jepa.classroom import _notebook as page
    from spectral_jepa.classroom import pictures
    from spectral_jepa.classroom.lessons import lesson as _lesson
    from spectral_jepa.classroom.room_map import DEFAULT_MAP, room_map

    lesson = _lesson(4)
    guess, fields = page.questions(lesson)
    page.opening(lesson, guess)
    return DEFAULT_MAP, fields, guess, InputError, lesson, mo, page, pictures, room_map


@app.cell
def _(guess, lesson, page):
    page.answer(lesson, guess)
    return


@app.cell
def _(DEFAULT_MAP, mo):
    text = mo.ui.text_area(DEFAULT_MAP.strip(), rows=10, label="the map: # is a wall, . is free; change it", debounce=True)
    slip = mo.ui.slider(start=0, stop=0.6, step=0.1, value=0.1, label="slip", show_value=True)
    which = mo.ui.slider(start=1, stop=12, step=1, value=1, label="singular function", show_value=True)
    dim = mo.ui.slider(start=0, stop=64, step=1, value=4, label="k", show_value=True)
    mo.hstack([text, mo.vstack([slip, which, dim])], wrap=True, justify="start", gap=3)
    return dim, slip, text, which


@app.cell
def _(InputError, dim, lesson, mo, page, pictures, room_map, slip, text, which):
    def _draw():
        drawn = room_map(text.value, round(slip.value, 1))
        number, k = min(which.value, len(drawn.values)), min(dim.value, len(drawn.values))
        caption = f"tail behind k = {k}: what even infinite data leave"
        return [
            page.number(f"{drawn.tails[k]:.2f}", caption),
            page.show(pictures.draw_rooms(drawn, number, k)),
            page.beside(lesson, f"{drawn.tails[k]:.3f}"),
        ]

    try:
        _shown = _draw()
    except InputError as _error:  # a ragged line, a strange character, no free cell
        _shown = [mo.callout(str(_error), kind="warn")]
    mo.vstack(_shown)
    return


@app.cell
def _(fields, lesson, page):
    page.closing(lesson, fields)
    return


if __name__ == "__main__":
    app.run()
