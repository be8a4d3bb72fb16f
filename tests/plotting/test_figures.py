"""Every figure says what it shows: a sentence above, few panels, legible texts, colours that all readers tell apart.

Each file of figures/ is drawn from its committed table, or from one of tests/plotting/tables: the quick preset's, in the
columns that the figure reads. What is checked of a picture is in legibility.py, how colours are seen in colour_vision.py.
"""

import re
from pathlib import Path

import colour_vision
import legibility
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spectral_jepa.plotting.drawing import find_drawing
from spectral_jepa.plotting.finding import finish, label_ends, talk_version
from spectral_jepa.plotting.style import COLORS, STYLE, WORDS, new_figure, save_figure, sequential_colors
from spectral_jepa.sweep.experiment import load_experiment

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "figures").glob("*.py"))
# At 390 pixels, 65 of them an inch: 9 pixels.
LEAST_POINTS = 10.0
# Drawn by the report of a run, not by a file of figures/.
OF_RUNS = {"pixels_rollout", "pixels_surprise"}
# No measured table is committed, or only clock readings of a busy machine: no picture either.
UNKEPT = {"solvers_time"}


def planner_table():
    """Settings of the planner with made-up numbers: its experiment needs trained weights."""
    rng = np.random.default_rng(0)
    arms = load_experiment("planner").module.ARMS
    return pd.DataFrame(
        {"environment": world, "arm": arm, "compared": compared, "success": s, "low": s - 0.05, "high": s + 0.05,
         "milliseconds": 10 ** rng.uniform(0, 3), "outcomes": "1" * 100, "status": "ok"}
        for world in ("two_room", "cube") for arm, (compared, _) in arms.items() for s in [rng.uniform(0.1, 0.9)]
    )  # fmt: skip


def table_of(name):
    """The table that a figure is drawn from here."""
    places = [
        ROOT / "reference" / f"{name}-quick.parquet",
        ROOT / "reference" / f"{name}-measured.parquet",
        ROOT / "tests/plotting/tables" / f"{name}.parquet",
    ]
    found = [path for path in places if path.is_file()]
    return pd.read_parquet(found[0]) if found else planner_table()


@pytest.fixture(scope="module")
def drawn():
    """Figures of a file, drawn once."""
    kept = {}

    def draw(name):
        if name not in kept:
            kept[name] = find_drawing(load_experiment(name))(table_of(name))
        return kept[name]

    return draw


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_can_be_read(name, drawn):
    wrong = {}
    for file, figure in drawn(name).items():
        talk = file.endswith("_talk")
        with mpl.rc_context(STYLE):
            found = legibility.complaints(figure, LEAST_POINTS if talk else 0.0)
        if talk and len(legibility.panels(figure)) != 1:
            found.append("more than one panel")
        wrong |= {file: found} if found else {}
    assert wrong == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_has_a_talk_version(name, drawn):
    files = set(drawn(name))
    alone = {file for file in files if not file.endswith("_talk")}
    # An appendix has none: what carries the finding is in the figure that it belongs to.
    main = {file for file in alone if f"{file}_talk" in files}
    assert main and all(any(file == one or file.startswith(f"{one}_") for one in main) for file in alone), files


@pytest.mark.parametrize("name", NAMES)
def test_one_word_for_one_thing(name, drawn):
    """Pretraining error is R_S and never its root; regret says whether it is a probability or a share."""
    for file, figure in drawn(name).items():
        for axis in figure.axes:
            for label in (axis.get_xlabel(), axis.get_ylabel()):
                text = label.replace("\n", " ")
                if "pretraining error" in text and "R_S" in text:
                    assert text in (WORDS["error"], WORDS["root error"]), (file, text)
                assert not re.search(r"regret(?!, share|  ?\(probability\)| / bound)", text) or known_regret(text), (
                    file,
                    text,
                )


def known_regret(text):
    """Labels of regret that are in no unit of one world: quotients, sums, and those that name their goal."""
    return text in {
        "goal regret; $\\sqrt{R_S}$ / 10",
        "m x goal regret (goal: one observation)",
        "goal regret, input minus latent, as a share of a blind planner's",
    }


def test_the_committed_pictures_are_those_that_are_drawn(drawn):
    files = {file for name in NAMES for file in drawn(name)} - UNKEPT
    kept = {path.stem for path in (ROOT / "reference/figures").glob("*.png")}
    assert kept == files | OF_RUNS
    assert max(path.stat().st_size for path in (ROOT / "reference/figures").glob("*.png")) < 400_000


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_pages_point_at_pictures_that_are_there(page):
    path = ROOT / page
    for link in re.findall(r"\]\(([^)]*reference/figures/[^)]*)\)", path.read_text()):
        assert (path.parent / link).is_file(), link


def test_readers_without_a_kind_of_cone_tell_the_palette_apart():
    assert colour_vision.nearest_pair(list(COLORS.values()))[0] > legibility.APART
    for n in (2, 3, 4, 5, 6):
        assert colour_vision.nearest_pair(list(sequential_colors([2.0**i for i in range(n)]).values()))[0] > legibility.APART
    # Controls: matplotlib's own cycle has a red and a green, and neighbours that merge.
    assert colour_vision.nearest_pair(["tab:red", "tab:green"])[0] < 0.8 * legibility.APART
    assert colour_vision.nearest_pair([f"C{i}" for i in range(9)])[0] < 0.5 * legibility.APART
    # Two that differ in the missing cone alone are one to its owner, and far apart to others.
    assert (
        colour_vision.nearest_pair(["#B24F00", "#737300"])[0]
        < legibility.APART
        < np.linalg.norm(np.diff(colour_vision.lab(colour_vision.linear([[0.70, 0.31, 0.0], [0.45, 0.45, 0.0]])), axis=0))
    )


def test_both_models_of_colour_vision_agree_on_what_stays():
    grey = np.linspace(0, 1, 5)[:, None] * np.ones(3)
    rng = np.random.default_rng(0)
    colors = rng.random((200, 3))
    for kind in colour_vision.MACHADO:
        for see in (colour_vision.machado, colour_vision.vienot):
            assert np.allclose(see(grey, kind), colour_vision.linear(grey), atol=2e-4)
            # What is lost is one dimension: in linear light colours lie in a plane, but for what is cut at 0 and 1.
            seen = colour_vision.linear(colors) @ np.array(colour_vision.MACHADO[kind]).T
            assert np.linalg.svd(seen - seen.mean(0))[1][2] < 0.35 * np.linalg.svd(colors - colors.mean(0))[1][2]
        apart = np.linalg.norm(
            colour_vision.lab(colour_vision.machado(colors, kind)) - colour_vision.lab(colour_vision.vienot(colors, kind)),
            axis=1,
        )
        plain = np.linalg.norm(
            colour_vision.lab(colour_vision.machado(colors, kind)) - colour_vision.lab(colour_vision.linear(colors)), axis=1
        )
        assert np.median(apart) < np.median(plain)


def test_a_small_picture_keeps_its_colours(tmp_path):
    """The palette of a committed picture has every colour of the figure, also those of a thin line."""
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(2, 3)
        for axis in axes.ravel():
            for place, color in enumerate([*COLORS.values(), *sequential_colors([1, 2, 4, 8]).values()]):
                axis.plot([0, 1], [place, place + 1], color=color, lw=1.2)
        (path,) = save_figure(figure, tmp_path, "small", small=True)
    with Image.open(path) as picture:
        assert picture.mode == "P"
        kept = np.array(picture.getpalette()).reshape(-1, 3)
    for color in [*COLORS.values(), *sequential_colors([1, 2, 4, 8]).values()]:
        assert np.abs(kept - 255 * np.array(mpl.colors.to_rgb(color))).sum(1).min() < 25, color


def test_what_is_wrong_with_a_figure_is_found():
    """Controls: each complaint is made about a figure that earns it, and none about one that does not."""
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(1, 1)
        axes[0, 0].plot([1, 2], [1, 2], label="rising")
        label_ends(axes[0, 0])
        finish(figure, "What rises goes on rising.", "Line: one run.")
        assert legibility.complaints(figure) == []
        axes[0, 0].text(1.5, 1.5, "here")
        axes[0, 0].text(1.5, 1.5, "there")
        axes[0, 0].text(9, 1.5, "far away")
        axes[0, 0].text(1.1, 1.9, "slanted", rotation=30)
        axes[0, 0].plot([1, 2], [2, 1], color="tab:red")
        axes[0, 0].plot([1, 2], [2, 3], color="tab:green")
        words = " ".join(legibility.complaints(figure, 5.0))
        for part in ("'here' lies on 'there'", "'far away' leaves", "'slanted' is slanted", "apart (deutan"):
            assert part in words
        many, _ = new_figure(2, 4)
        finish(many, "eight panels")
        words = " ".join(legibility.complaints(many, 20.0))
        assert "8 panels" in words and "is no sentence" in words and "points" in words


def test_a_talk_version_is_larger_and_has_one_panel():
    figure = talk_version("It rises with time.", lambda axis: axis.plot([1, 2], label="it"), legend=True, note="One run.")
    assert len(legibility.panels(figure)) == 1 and legibility.complaints(figure, LEAST_POINTS) == []
    assert figure.legends[0].get_texts()[0].get_text() == "it"


def test_the_search_of_sharpest_is_drawn_too():
    path = ROOT / "tests/plotting/tables/sharpest_search.parquet"
    drawing = find_drawing(load_experiment("sharpest"))
    searched = pd.read_parquet(path)
    figures = drawing(pd.concat([table_of("sharpest").query("kind != 'best'"), searched], ignore_index=True))
    for file in ("sharpest_search", "sharpest_search_talk"):
        with mpl.rc_context(STYLE):
            assert legibility.complaints(figures[file]) == []
