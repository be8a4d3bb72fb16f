"""The offline page: all six lessons in one HTML file, tables computed here and an inline script; no network, no server."""

from __future__ import annotations

import base64
import io
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._files import write_atomic
from spectral_jepa._validation import InputError
from spectral_jepa.classroom import collapse, latent_or_input, u_curve
from spectral_jepa.classroom.broken_theorem import PLANNERS, break_theorem
from spectral_jepa.classroom.dream import BROKEN_AT, CHANGES, dream, load_dream
from spectral_jepa.classroom.lessons import LESSONS
from spectral_jepa.classroom.room_map import DEFAULT_MAP, room_map

TEMPLATE = Path(__file__).with_name("offline_template.html")
MARK = "/*TABLES*/null"
SAMPLES, RANKS, NOISES = (100, 300, 1000, 3000, 10_000, 30_000), (2, 5, 8, 12), (0.0, 0.2, 0.4)
ANGLES, RESET_NOISES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5), tuple(i / 10 for i in range(10))
# Row and column of each door of lesson 4's map.
DOORS, SLIPS, N_FUNCTIONS = ((2, 4), (4, 2), (4, 6), (7, 4)), (0.0, 0.1, 0.3, 0.5), 8
FILMS = {
    "through the door": ((50, 150), (170, 60)),
    "to the corner": ((60, 60), (50, 190)),
    "back again": ((180, 180), (40, 50)),
}


def page_tables(*, films: bool = True) -> dict[str, Any]:
    """Everything that the page shows, in JSON types.

    Parameters
    ----------
    films : bool
        Whether to compute lesson 6's, which needs torch and the shipped weights; without them the page says that they are
        not there.

    Returns
    -------
    dict
        "lessons", the text; "1" to "6", the tables of each.

    Notes
    -----
    Half a minute.

    Examples
    --------
    >>> tables = page_tables(films=False)  # doctest: +SKIP
    """
    return {
        "lessons": [_text(number) for number in range(len(LESSONS))],
        "1": _u_tables(),
        "2": _broken_tables(),
        "3": _collapse_tables(),
        "4": _room_tables(),
        "5": _contest_tables(),
        "6": _film_tables() if films else None,
    }


def write_page(path: Path) -> Path:
    """Compute the tables and write the page.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Path
        ``path``.

    Examples
    --------
    >>> write_page(Path("offline.html"))  # doctest: +SKIP
    """
    tables = json.dumps(page_tables(), separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    write_atomic(path, TEMPLATE.read_text(encoding="utf-8").replace(MARK, tables).encode())
    return path


def read_page(path: Path) -> dict[str, Any]:
    """The tables that a page holds.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict
        As :func:`page_tables` gives them.

    Raises
    ------
    InputError
        Another file.

    Examples
    --------
    >>> from spectral_jepa.sweep.experiment import shipped_folder
    >>> read_page(shipped_folder("classroom") / "offline.html")["1"]["samples"]
    [100, 300, 1000, 3000, 10000, 30000]
    """
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("const TABLES = "):
            return json.loads(line.removeprefix("const TABLES = ").removesuffix(";"))
    raise InputError(f"{path} holds no tables, expected the classroom's page: make it by python classroom/make_data.py page")


def _text(at: int) -> dict[str, Any]:
    own = LESSONS[at]
    said = {name: getattr(own, name) for name in ("number", "title", "idea", "question", "options", "right", "explanation")}
    said |= {name: getattr(own, name) for name in ("plain", "code", "takeaway")}
    fields = ("text", "tolerance", "hint")
    said["exercises"] = [{name: getattr(e, name) for name in fields} | {"answer": e.answer()} for e in own.exercises]
    return said


def _short(values: ArrayLike, digits: int = 4) -> Any:
    """Nested lists, rounded: the page is to stay small."""
    return (np.round(np.asarray(values, dtype=np.float64), digits) + 0.0).tolist()


def _u_tables() -> dict[str, Any]:
    curves = [[[u_curve.u_curve(n, rank, noise) for n in SAMPLES] for noise in NOISES] for rank in RANKS]
    table = {
        name: [[[_short(getattr(curve, name)) for curve in row] for row in block] for block in curves]
        for name in ("risk", "regret")
    }
    tails = [[_short(row[0].tail) for row in block] for block in curves]
    return {"dims": u_curve.DIMS, "samples": SAMPLES, "ranks": RANKS, "noises": NOISES, "tail": tails, **table}


def _broken_tables() -> dict[str, Any]:
    rows = {}
    for i, j, k in product(*(range(len(axis)) for axis in (PLANNERS, ANGLES, RESET_NOISES))):
        found = break_theorem(ANGLES[j], RESET_NOISES[k], PLANNERS[i])
        corrected = None if np.isnan(found.corrected) else _short(found.corrected)
        numbers = [_short(found.promised), _short(found.regret), corrected, int(found.holds_as_printed)]
        rows[f"{i},{j},{k}"] = [*numbers, found.chosen.tolist()]
    return {"planners": PLANNERS, "angles": ANGLES, "noises": RESET_NOISES, "rows": rows}


def _collapse_tables() -> dict[str, Any]:
    runs = {}
    for kind in collapse.REGULARIZERS:
        for i, strength in enumerate(collapse.STRENGTHS[kind]):
            path = [collapse.encoder_at(kind, strength, step) for step in collapse.STEPS]
            runs[f"{kind},{i}"] = {
                "predicted": path[-1].predicted,
                "plane": [_short(one.plane, 2) for one in path],
                "eigenvalues": [_short(one.eigenvalues, 3) for one in path],
                "rank": [one.rank for one in path],
            }
    axes = {"kinds": collapse.REGULARIZERS, "strengths": collapse.STRENGTHS, "steps": collapse.STEPS}
    return axes | {"squares": _short(collapse.singular_values() ** 2), "runs": runs}


def doors_map(doors: tuple[int, ...]) -> str:
    """Lesson 4's map with some doors open.

    Parameters
    ----------
    doors : tuple of 4 ints
        1 where a door is open, 0 where it is a wall.

    Returns
    -------
    str

    Examples
    --------
    >>> doors_map((1, 1, 1, 1)) == DEFAULT_MAP.strip(), doors_map((0, 0, 0, 0)).count(".")
    (True, 64)
    """
    rows = [list(row) for row in DEFAULT_MAP.strip().splitlines()]
    for (row, column), is_open in zip(DOORS, doors, strict=True):
        rows[row][column] = "." if is_open else "#"
    return "\n".join("".join(row) for row in rows)


def _room_tables() -> dict[str, Any]:
    maps = {}
    for doors in product((0, 1), repeat=len(DOORS)):
        text = doors_map(doors)
        for i, slip in enumerate(SLIPS):
            drawn = room_map(text, slip)
            functions = (100 * drawn.functions[:, :N_FUNCTIONS].T).round().astype(int).tolist()
            maps["".join(map(str, doors)) + f",{i}"] = {
                "values": _short(drawn.values[:N_FUNCTIONS]),
                "tails": _short(drawn.tails, 3),
                "functions": functions,
            }
    return {"map": DEFAULT_MAP.strip().splitlines(), "doors": DOORS, "slips": SLIPS, "maps": maps}


def _contest_tables() -> dict[str, Any]:
    maps = {}
    for dim in latent_or_input.DIMS:
        latent, loud = latent_or_input.phase_map(dim)
        maps[str(dim)] = {"latent": _short(latent), "input": _short(loud)}
    one = latent_or_input.contest(1.0, 0.5)
    axes = {"dims": latent_or_input.DIMS, "persistences": latent_or_input.PERSISTENCES, "scales": latent_or_input.SCALES}
    return axes | {"blind": _short(one.blind), "task_value": _short(one.task_value, 6), "maps": maps}


def _film_tables() -> dict[str, Any] | None:
    try:
        model = load_dream()
    except InputError:
        return None
    films = {}
    for name, (start, goal) in FILMS.items():
        made = {change: dream(model, start, goal, change) for change in CHANGES}
        clean = made["nothing"]
        films[name] = {
            "goal": _png(clean.goal),
            "imagined": [_png(frame) for frame in clean.imagined],
            "expected": _short(clean.expected),
            "true": {change: [_png(frame) for frame in film.true] for change, film in made.items()},
            "surprise": {change: _short(film.surprise) for change, film in made.items()},
        }
    return {"changes": CHANGES, "broken_at": BROKEN_AT, "origin": model.origin, "films": films}


def _png(picture: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).quantize(32).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
