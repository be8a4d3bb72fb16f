"""A world on an axis: its map with walls, values and a path, or its transition matrices; and the regret of a plan."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import ArrayLike

from spectral_jepa import _notebook as shown
from spectral_jepa._validation import InputError, check_count
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.planning import GoalPlan
from spectral_jepa.plotting.style import own_axis, styled

SHARES = LinearSegmentedColormap.from_list("shares", list(shown.SHARES))


@styled
def plot_world(
    mdp: TabularMDP, *, values: ArrayLike | None = None, path: ArrayLike | None = None, axis: Axes | None = None
) -> Axes:
    """Plot a grid world as its map: walls dark, goals ringed, starts dotted, values as colours, a path as a line.

    The same as :meth:`spectral_jepa.TabularMDP.picture` draws in a notebook.

    Parameters
    ----------
    mdp : TabularMDP
        Its ``state_labels`` are (row, column), and no action leads further than to the next cell.
    values : array (S,), optional
        A number of each state, such as a value or a singular function.
    path : integer array (steps,), optional
        States in order.
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes
        Columns of the map to the right, rows downwards.

    Raises
    ------
    InputError
        A world without a map, values that are not one number a state, a path that leaves the states.

    Notes
    -----
    O(A S^2), or O(non-zeros).

    Examples
    --------
    >>> from spectral_jepa import make_grid
    >>> axis = plot_world(make_grid("S.#G"), values=[0.1, 0.2, 0.3], path=[0, 1])
    >>> axis.images[0].get_array().filled(-1).tolist(), axis.lines[-1].get_xydata().tolist()
    ([[0.1, 0.2, -1.0, 0.3]], [[0.0, 0.0], [1.0, 0.0]])
    """
    numbers, walk = shown.read_values(values, mdp.n_states), shown.read_path(path, mdp.n_states)
    place = shown.find_map(mdp.state_labels, mdp.transition)
    if place is None:
        raise InputError(
            f"{mdp.name} has no map, expected state_labels (row, column) and actions that reach the next cell at most: use "
            "plot_transition, or make the world with make_grid"
        )
    axis = own_axis(axis)
    picture = np.ma.masked_invalid(place.image(np.zeros(mdp.n_states) if numbers is None else numbers))
    axis.set_facecolor(shown.WALL)
    axis.imshow(picture, cmap="Greys" if numbers is None else "viridis", interpolation="nearest")
    goals, starts = mdp.goal_states, mdp.start_states
    ring: dict[str, Any] = dict(
        markersize=11, markerfacecolor=shown.GOAL if numbers is None else "none", markeredgewidth=1.6
    )
    axis.plot(place.columns[goals], place.rows[goals], "o", color=shown.INK, **ring)
    axis.plot(place.columns[starts], place.rows[starts], "o", color=shown.START)
    if walk is not None:
        axis.plot(place.columns[walk], place.rows[walk], color=shown.PATH, linewidth=2, marker="o", markevery=[-1])
    axis.set(title=mdp.name, xticks=[], yticks=[])
    axis.grid(False)
    return axis


@styled
def plot_transition(mdp: TabularMDP, action: int = 0, *, axis: Axes | None = None) -> Axes:
    """Plot the transition matrix of one action, one row a state, one column a next state.

    Parameters
    ----------
    mdp : TabularMDP
    action : int
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        An action that the world does not have.

    Notes
    -----
    O(S^2), or O(non-zeros). A matrix of more than 160 rows is shown in means over blocks.

    Examples
    --------
    >>> axis = plot_transition(TabularMDP([[[0.9, 0.1], [0.2, 0.8]]]))
    >>> axis.images[0].get_array().tolist(), axis.get_title()
    ([[0.9, 0.1], [0.2, 0.8]], 'mdp, action 0')
    """
    check_count("action", action, 0, mdp.n_actions - 1)
    name = f"action {action}" if mdp.action_labels is None else mdp.action_labels[action]
    axis = own_axis(axis)
    n = mdp.n_states
    picture = shown.shrink(mdp.transition[action])
    axis.imshow(picture, cmap=SHARES, vmin=0, interpolation="nearest", extent=(-0.5, n - 0.5, n - 0.5, -0.5))
    axis.set(title=f"{mdp.name}, {name}", xlabel="next state", ylabel="state")
    axis.grid(False)
    return axis


@styled
def plot_plan(plan: GoalPlan, *, axis: Axes | None = None) -> Axes:
    """Plot the regret of a plan for every start and goal.

    Parameters
    ----------
    plan : GoalPlan
    axis : matplotlib Axes, optional
        To draw on. Default: that of a new figure.

    Returns
    -------
    matplotlib Axes
        One row a start, one column a goal, in the order of the plan; the title says the mean.

    Examples
    --------
    >>> from spectral_jepa import CoOccurrence, plan_goals, spectral_embedding
    >>> mdp = TabularMDP([np.eye(2), np.eye(2)[::-1]])
    >>> axis = plot_plan(plan_goals(mdp, spectral_embedding(CoOccurrence.exact(mdp), 1)))
    >>> axis.images[0].get_array().tolist(), axis.get_title()
    ([[0.0, 1.0], [1.0, 0.0]], 'mean regret 0.5')
    """
    axis = own_axis(axis)
    image = axis.imshow(plan.regret, cmap=SHARES, vmin=0, interpolation="nearest")
    axis.figure.colorbar(image, ax=axis, label="regret (probability)")
    axis.set(title=f"mean regret {plan.mean_regret:.3g}", xlabel="goal", ylabel="start")
    axis.grid(False)
    return axis
