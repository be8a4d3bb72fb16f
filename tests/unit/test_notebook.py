"""What values show of themselves: shapes instead of numbers on a line, pictures that can be read back, tables."""

import dataclasses
import importlib
import pkgutil
import re
import struct
import zlib
from base64 import b64decode
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import spectral_jepa as sj
from spectral_jepa import _notebook as notebook
from spectral_jepa.planning import Solution, optimal_values
from spectral_jepa.planning.reward import RewardPlan

MAP = """
    S.#.
    ..#G
    ....
"""
FREE = np.array([[1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]], dtype=bool)


def read_png(content):
    """The pixels of a PNG without filters, by the format's own description."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        assert struct.unpack(">I", content[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    width, height, depth, color = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, color) == (8, 2)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(height, 1 + 3 * width)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, 3)


def images(html):
    return [read_png(b64decode(text)) for text in re.findall(r"data:image/png;base64,([^\"]+)", html)]


def cells(html):
    """Place -> colour of every cell of a map, from its SVG."""
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", html, re.DOTALL)[0])
    name = "{http://www.w3.org/2000/svg}"
    found = [cell for cell in svg.iter(f"{name}rect") if cell.get("class") == "cell"]
    side = int(found[0].get("width"))
    return {(int(c.get("y")) // side, int(c.get("x")) // side): c.get("fill") for c in found}, svg, side


def test_a_grid_world_is_its_map():
    colors, svg, side = cells(sj.make_grid(MAP)._repr_html_())
    assert set(colors) == set(zip(*(part.tolist() for part in np.nonzero(FREE)), strict=True))
    # The walls are what no cell covers of the rectangle behind.
    (wall,) = (part for part in svg.iter("{http://www.w3.org/2000/svg}rect") if part.get("class") == "wall")
    assert (int(wall.get("width")), int(wall.get("height"))) == (4 * side, 3 * side)
    assert [place for place, color in colors.items() if color != notebook.FREE] == [(1, 3)]
    places = {
        part.get("class"): (int(float(part.get("cy")) / side), int(float(part.get("cx")) / side))
        for part in svg.iter("{http://www.w3.org/2000/svg}circle")
    }
    assert places == {"goal": (1, 3), "start": (0, 0)}


def test_values_are_colours_in_their_order_and_a_path_is_a_line():
    world = sj.make_grid(MAP, slip=0.0, discount=0.9)
    values = optimal_values(world).values
    picture = world.picture(values=values, path=[0, 3, 6, 7, 8, 9, 5])
    colors, svg, side = cells(picture.html)
    ends = (colors[world.state_labels[i]] for i in (values.argmin(), values.argmax()))
    assert list(ends) == [notebook.VALUES[0], notebook.VALUES[-1]]
    # Steps from the goal, by hand: equal distances have equal colours, others have other ones.
    steps = {(1, 3): 0, (0, 3): 1, (2, 3): 1, (2, 2): 2, (2, 1): 3, (2, 0): 4, (1, 1): 4, (1, 0): 5, (0, 1): 5, (0, 0): 6}
    for one in steps:
        for other in steps:
            assert (colors[one] == colors[other]) == (steps[one] == steps[other])
    (line,) = svg.iter("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(int(float(n) / side) for n in point.split(",")[::-1]) for point in line.get("points").split()]
    assert points == [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (2, 3), (1, 3)]
    constant, _, _ = cells(world.picture(values=np.ones(10)).html)
    assert set(constant.values()) == {notebook.VALUES[0]}


@pytest.mark.parametrize(
    "world",
    [sj.make_block(n_states=6, n_blocks=2, seed=0), sj.make_torus(3), sj.make_reset(4)],
    ids=lambda world: world.name,
)
def test_other_worlds_are_their_matrices(world):
    html = world._repr_html_()
    assert "<svg" not in html
    shown = images(html)
    assert len(shown) == min(world.n_actions, notebook.MAX_ACTIONS)
    for pixels, matrix in zip(shown, world.transition, strict=False):
        assert pixels.shape == (*matrix.shape, 3)
        # Darker is likelier, and 0 is white.
        brightness = pixels.astype(float).sum(axis=2)
        assert (np.diff(brightness.ravel()[np.argsort(matrix.ravel(), kind="stable")]) <= 0).all()
        assert (brightness[matrix == 0] == 3 * 255).all()


def test_sparse_worlds_show_what_dense_ones_do_and_large_ones_their_block_means():
    small = sj.make_garnet(n_states=12, n_actions=2, branching=3, seed=0)
    assert small.as_sparse()._repr_html_().replace("sparse", "dense") == small._repr_html_()
    assert sj.make_grid(MAP).as_sparse()._repr_html_() == sj.make_grid(MAP)._repr_html_()
    rng = np.random.default_rng(0)
    matrix = rng.random((401, 333)) * (rng.random((401, 333)) < 0.1)
    block = [np.arange(n) * 160 // n for n in matrix.shape]
    means = [[matrix[np.ix_(block[0] == i, block[1] == j)].mean() for j in (0, 80, 159)] for i in (0, 80, 159)]
    for given in (matrix, sp.csr_array(matrix)):
        assert notebook.shrink(given)[np.ix_([0, 80, 159], [0, 80, 159])] == pytest.approx(np.array(means), abs=1e-15)


def test_text_of_the_user_is_escaped():
    hostile = "<script>alert('x')</script>"
    names = dict(name=hostile, state_labels=(hostile, "b & c"), action_labels=('"><img onerror=1>',))
    world = sj.TabularMDP([np.eye(2)], **names)
    data = sj.Transitions([0, 1], [0, 0], [1, 1], state_labels=(hostile, "b"))
    bound = sj.Bound(1.0, hostile, 2.0, (sj.Assumption(hostile, False, printed=False),), "a lemma")
    for html in (world.picture(path=[0, 1]).html, data._repr_html_(), bound._repr_html_()):
        assert "<script" not in html and "<img onerror" not in html and "&lt;script&gt;" in html
    grid = dataclasses.replace(sj.make_grid("S.G"), name=hostile)
    assert "<script" not in grid._repr_html_() and "&lt;script&gt;" in grid._repr_html_()


def test_wrong_values_and_paths_are_refused(refused):
    world = sj.make_grid(MAP)
    with refused("values has shape (3,), expected (10)"):
        world.picture(values=[1, 2, 3])
    with refused("path[1] is 10", "between 0 and 9"):
        world.picture(path=[0, 10])
    with refused("path has shape (0,)"):
        world.picture(path=np.array([], dtype=int))


def test_only_grids_are_maps():
    torn = [(0, 0), (0, 2), (0, 1)]
    walk = np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    assert notebook.find_map([(0, 0), (0, 1), (0, 2)], [walk]) is not None
    assert notebook.find_map(torn, [walk]) is None  # a step of two cells
    assert notebook.find_map([(0, 0, 0), (0, 1, 0), (0, 2, 0)], [walk]) is None
    assert notebook.find_map([("a", "b"), ("a", "c"), ("a", "d")], [walk]) is None
    assert notebook.find_map([(0, 0), (0, 1), (0, 10**6)], [np.eye(3)]) is None


def test_plans_are_one_line_and_a_table_that_averages_to_their_regret():
    world = sj.make_low_rank(n_states=60, rank=8, n_actions=3, seed=0)
    exact = sj.CoOccurrence.exact(world)
    plan = sj.plan_goals(world, sj.spectral_embedding(exact, 2), horizon=2)
    assert len(repr(plan)) < 150 and f"mean regret {plan.mean_regret:.4g}" in repr(plan)
    table = plan.to_frame()
    assert len(table) == 60 * 60 and table["weight"].sum() == pytest.approx(1)
    assert (table["weight"] * table["regret"]).sum() == pytest.approx(plan.mean_regret, rel=1e-12)
    # What a row says is what the world does: the probability of its goal after its actions.
    row = table.iloc[61 * 17]
    start, goal = int(row["start"]), int(row["goal"])
    for which in ("best", "planned"):
        first, second = row[f"{which}_actions"]
        assert (world.transition[first] @ world.transition[second])[start, goal] == pytest.approx(row[which], rel=1e-12)
    assert images(plan._repr_html_())[0].shape == (60, 60, 3)


def test_reward_plans_are_one_line_and_a_table_of_models():
    world = sj.TabularMDP([np.eye(2), np.eye(2)[::-1]], reward=[0.0, 1.0])
    plan = sj.plan_rewards(world, np.stack([world.transition, world.transition[::-1]]), horizon=3)
    assert isinstance(plan, RewardPlan) and "2 models" in repr(plan) and len(repr(plan)) < 120
    # Start in either state: 3 or 2 of 3 rewards at best; the swapped model stays out of the paying state.
    table = plan.to_frame()
    assert table["optimal"].tolist() == [2.5, 2.5] and table["achieved"].tolist() == [2.5, 0.5]
    assert table["regret"].tolist() == [0.0, 2.0] and table["relative_regret"].tolist() == [0.0, 0.8]
    assert "mean</th><td>1</td>" in plan._repr_html_()


def test_bounds_are_rows_of_one_table():
    world = sj.make_low_rank(n_states=20, rank=4, n_actions=2, seed=0)
    exact = sj.CoOccurrence.exact(world)
    fit = sj.spectral_embedding(exact, 2)
    plan = sj.plan_goals(world, fit, score="dot")
    bounds = [bound(exact, fit, plan) for bound in (sj.pointwise_single_step_bound, sj.printed_single_step_bound)]
    table = pd.concat([bound.to_frame() for bound in bounds], ignore_index=True)
    assert table["value"].tolist() == [bound.value for bound in bounds]
    assert table["vacuous"].tolist() == [bound.value >= bound.ceiling for bound in bounds]
    for row, bound in zip(table.itertuples(), bounds, strict=True):
        failing = [a.text for a in bound.assumptions if a.holds is False]
        assert row.fails == "; ".join(failing) and row.holds == (not failing)
    html = bounds[0]._repr_html_()
    assert html.count("FAILS") == sum(a.holds is False for a in bounds[0].assumptions) >= 1


def test_logs_are_tables_that_can_be_read_back():
    rng = np.random.default_rng(0)
    labels = ("hall", "kitchen", "yard")
    data = sj.Transitions(
        *rng.integers(3, size=(3, 50)), reward=rng.random(50), state_labels=labels, action_labels=("a", "b", "c")
    )
    back = sj.read_log(data.to_frame())
    for name in ("state", "action", "next_state", "reward"):
        assert np.array_equal(getattr(back, name), getattr(data, name))
    assert back.state_labels == labels and "hall" in data._repr_html_()
    assert data._repr_html_().count("<tr>") == 1 + notebook.MAX_ROWS
    table = sj.analyze(data, seed=0).to_frame()
    analysis = sj.analyze(data, seed=0)
    assert table["dim"].tolist() == analysis.dims.tolist() and table["tail"].tolist() == analysis.tail.tolist()
    assert table["dim"][table["held_out_risk"].idxmin()] == analysis.held_out_dim
    assert table["dim"][table["oracle_bound"].idxmin()] == analysis.oracle_dim()


def array_classes():
    """Every public dataclass of the package with a field that holds arrays, tensors or tables."""
    import spectral_jepa

    held = re.compile(r"Array|Tensor|Ids|ActionTable|Float\[|Int\[|Bool\[|UInt8\[|DataFrame")
    for module in pkgutil.walk_packages(spectral_jepa.__path__, "spectral_jepa."):
        if any(part in module.name for part in ("_experiments", "_figures", "__main__", ".logs._")):
            continue
        try:
            loaded = importlib.import_module(module.name)
        except ImportError:  # a simulator that is not installed
            continue
        for name, found in vars(loaded).items():
            if isinstance(found, type) and found.__module__ == module.name and dataclasses.is_dataclass(found):
                types = [str(field.type) for field in dataclasses.fields(found) if field.repr]
                if not name.startswith("_") and any(held.search(kind) and "Callable" not in kind for kind in types):
                    yield found


def test_no_value_prints_its_arrays():
    classes = list(array_classes())
    assert {sj.GoalPlan, Solution, sj.InputLevelModel, sj.SubspaceOptimum} <= set(classes) and len(classes) > 14
    # The repr that dataclass writes would print every number.
    assert [found.__name__ for found in classes if found.__dataclass_params__.repr] == []


def test_the_short_line_says_shapes_numbers_and_words():
    solution = Solution(np.zeros(500), np.zeros(500, dtype=int), 3)
    assert repr(solution) == "Solution(values=<500>, policy=<500>, n_iterations=3)"

    @dataclasses.dataclass(repr=False)
    class Record:
        table: np.ndarray
        number: float
        name: str
        parts: tuple
        many: tuple
        hidden: int = dataclasses.field(default=0, repr=False)
        __repr__ = notebook.short_repr

    record = Record(np.eye(3), 1 / 3, "a", (1, 2), tuple(range(99)))
    assert repr(record) == "Record(table=<3 x 3>, number=0.333333, name='a', parts=(1, 2), many=<99 entries>)"
