"""Every plot takes an axis and returns it; what is drawn is what was given."""

import inspect

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import spectral_jepa as sj
from spectral_jepa import plotting
from spectral_jepa.plotting.style import new_figure

TABLE = pd.DataFrame(
    {
        "k": [1, 2, 4],
        "tail (N = inf)": [0.5, 0.2, 0.0],
        "pretraining error": [0.6, 0.3, 0.2],
        "goal regret": [0.1, 0.05, 0.0],
    }
).assign(bound=[1.0, 0.5, 0.4])
PLOTS = {name: getattr(plotting, name) for name in plotting.__all__ if name.startswith("plot_")}


@pytest.fixture(scope="module")
def arguments():
    world = sj.make_low_rank(n_states=12, rank=3, n_actions=2, seed=0)
    exact = sj.CoOccurrence.exact(world)
    spectra = sj.spectrum(exact), sj.spectrum(exact, shared=True)
    analysis = sj.analyze(sj.sample_transitions(world, n_transitions=3000, seed=0), seed=0)
    return {
        "plot_error": [TABLE],
        "plot_regret": [TABLE],
        "plot_spectrum": spectra,
        "plot_tails": spectra,
        "plot_plan": [sj.plan_goals(world, sj.spectral_embedding(exact, 2))],
        "plot_transition": [world, 1],
        "plot_world": [sj.make_grid()],
    } | {name: [analysis] for name in ("plot_log_spectrum", "plot_held_out_risk", "plot_oracle_terms")}


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_draws_on_the_axis_it_is_given_and_on_one_of_its_own(arguments, name, refused):
    plot = PLOTS[name]
    assert inspect.signature(plot).parameters["axis"].default is None
    figure, axes = new_figure(1, 2)
    mine, other = axes[0]
    assert plot(*arguments[name], axis=mine) is mine
    assert mine.has_data() and not other.has_data()
    own = plot(*arguments[name])
    assert isinstance(own, Axes) and own.figure is not figure and own.has_data()
    with refused("axis is a Figure, expected an axis of matplotlib"):
        plot(*arguments[name], axis=figure)


def test_a_world_is_plotted_as_it_lies():
    world = sj.make_grid("S.#\n..G")
    axis = plotting.plot_world(world, values=[5.0, 1.0, 2.0, 3.0, 4.0], path=[0, 2, 3])
    picture = axis.images[0].get_array()
    assert picture.mask.tolist() == [[False, False, True], [False, False, False]]
    assert picture.filled(0).tolist() == [[5, 1, 0], [2, 3, 4]]
    goal, start, path = (line.get_xydata().tolist() for line in axis.lines)
    assert (goal, start, path) == ([[2, 1]], [[0, 0]], [[0, 0], [0, 1], [1, 1]])


def test_a_world_without_a_map_is_refused(refused):
    with refused("block has no map, expected state_labels (row, column)", "plot_transition"):
        plotting.plot_world(sj.make_block(n_states=6, n_blocks=2, seed=0))
    with refused("action is 4, expected between 0 and 3"):
        plotting.plot_transition(sj.make_grid(), 4)


def test_panels_of_a_figure_are_the_plots(arguments):
    """The figures of the commands draw nothing that a plot does not."""

    def drawn(axis):
        return [line.get_xydata().tolist() for line in axis.lines], axis.get_ylabel(), axis.get_xlabel(), axis.get_ylim()

    per_action, stacked = arguments["plot_spectrum"]
    pairs = [
        (plotting.demo_figure(TABLE), [plotting.plot_error(TABLE), plotting.plot_regret(TABLE)]),
        (
            plotting.spectrum_figure("a world", per_action, stacked),
            [plotting.plot_spectrum(per_action, stacked), plotting.plot_tails(per_action, stacked)],
        ),
        (
            plotting.analysis_figure(*arguments["plot_oracle_terms"]),
            [
                PLOTS[f"plot_{name}"](*arguments["plot_oracle_terms"])
                for name in ("log_spectrum", "held_out_risk", "oracle_terms")
            ],
        ),
    ]
    for figure, plots in pairs:
        assert [drawn(axis) for axis in figure.axes] == [drawn(axis) for axis in plots]
    tails = plotting.plot_tails(per_action, stacked).lines[-1].get_ydata()
    assert tails == pytest.approx([(stacked[k:] ** 2).sum() for k in range(1, len(stacked) + 1)], abs=1e-12)
    assert np.all(np.diff(tails) <= 1e-12)
