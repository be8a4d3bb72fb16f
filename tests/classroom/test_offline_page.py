"""The offline page: it asks the network for nothing, and its numbers are the library's."""

import re

import numpy as np
import pytest

from spectral_jepa.classroom import collapse, latent_or_input
from spectral_jepa.classroom.broken_theorem import break_theorem
from spectral_jepa.classroom.lessons import LESSONS
from spectral_jepa.classroom.page import TEMPLATE, doors_map, read_page
from spectral_jepa.classroom.room_map import room_map
from spectral_jepa.classroom.u_curve import u_curve
from spectral_jepa.sweep.experiment import shipped_folder

PAGE = shipped_folder("classroom") / "offline.html"
OUTSIDE = r"https?:|//[a-z]+\.[a-z]|\bsrc\s*=|@import|url\(|<link(?! rel=\"icon\" href=\"data:)|fetch\(|XMLHttp|import\("


@pytest.fixture(scope="module")
def tables():
    return read_page(PAGE)


def test_it_is_small_and_asks_for_nothing():
    text = PAGE.read_text(encoding="utf-8")
    assert PAGE.stat().st_size < 1_500_000
    assert re.findall(OUTSIDE, text) == []
    assert re.findall(OUTSIDE, '<script src="https://cdn.net/x.js">')  # the pattern can fail


def test_it_is_the_template_with_tables():
    def frame(text):
        return re.sub(r"const TABLES = .*", "", text)

    assert frame(PAGE.read_text(encoding="utf-8")) == frame(TEMPLATE.read_text(encoding="utf-8"))


def test_text_and_answers_are_the_lessons(tables):
    for told, own in zip(tables["lessons"], LESSONS, strict=True):
        assert (told["title"], told["question"], told["right"]) == (own.title, own.question, own.right)
        for written, exercise in zip(told["exercises"], own.exercises, strict=True):
            assert written["answer"] == pytest.approx(exercise.answer(), abs=1e-9)


def test_lesson_1(tables):
    table = tables["1"]
    for r, e, n in ((0, 0, 2), (2, 0, 4), (3, 1, 3)):
        curve = u_curve(table["samples"][n], table["ranks"][r], table["noises"][e])
        for name in ("risk", "regret"):
            np.testing.assert_allclose(table[name][r][e][n], getattr(curve, name), atol=6e-5)
        np.testing.assert_allclose(table["tail"][r][e], curve.tail, atol=6e-5)


def test_lesson_2(tables):
    table = tables["2"]
    for key, (promised, regret, corrected, holds, chosen) in list(table["rows"].items())[::17]:
        i, j, k = map(int, key.split(","))
        found = break_theorem(table["angles"][j], table["noises"][k], table["planners"][i])
        assert (promised, regret) == pytest.approx((found.promised, found.regret), abs=6e-5)
        assert bool(holds) == found.holds_as_printed and chosen == found.chosen.tolist()
        assert (corrected is None) == (table["planners"][i] != "transition")


def test_lesson_3(tables):
    table = tables["3"]
    for key, run in table["runs"].items():
        kind, i = key.split(",")
        for at, step in list(enumerate(table["steps"]))[::5]:
            found = collapse.encoder_at(kind, table["strengths"][kind][int(i)], step)
            assert run["rank"][at] == found.rank and run["predicted"] == found.predicted
            np.testing.assert_allclose(run["eigenvalues"][at], found.eigenvalues, atol=6e-4)


def test_lesson_4(tables):
    table = tables["4"]
    for doors, slip in (((1, 1, 1, 1), 1), ((0, 1, 1, 0), 2), ((0, 0, 0, 0), 1)):
        written = table["maps"]["".join(map(str, doors)) + f",{slip}"]
        drawn = room_map(doors_map(doors), table["slips"][slip])
        np.testing.assert_allclose(written["tails"], drawn.tails, atol=6e-4)
        np.testing.assert_allclose(np.array(written["functions"]) / 100, drawn.functions[:, :8].T, atol=6e-3)


def test_lesson_5(tables):
    table = tables["5"]
    for dim, c, i in ((3, 6, 10), (3, 0, 18), (5, 4, 7), (9, 10, 5)):
        found = latent_or_input.contest(table["scales"][c], table["persistences"][i], dim)
        assert table["maps"][str(dim)]["latent"][i] == pytest.approx(found.latent, abs=6e-5)
        assert table["maps"][str(dim)]["input"][c][i] == pytest.approx(found.input, abs=6e-5)


def test_lesson_6(tables):
    if tables["6"] is None:
        pytest.skip("the page was written without the weights of lesson 6")
    for film in tables["6"]["films"].values():
        assert len(film["imagined"]) == 11 and len(film["expected"]) == 10
        for change in tables["6"]["changes"]:
            same = [a == b for a, b in zip(film["true"]["nothing"], film["true"][change], strict=True)]
            assert all(same[:6]) and all(same[6:]) == (change == "nothing")
            if change != "nothing":
                assert film["surprise"][change][5] > 2 * film["expected"][5]
