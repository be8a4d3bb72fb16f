"""The picture of one planned episode, and of a plan that nobody carried out."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spectral_jepa.plotting.style import new_figure, styled


@styled
def draw_plan(frames: NDArray[np.uint8], *, success: bool, steps: int, action_block: int) -> Figure:
    """Start, frames along the way one action block apart, and the goal.

    Parameters
    ----------
    frames : uint8 array (n, H, W, 3)
        As :func:`spectral_jepa.pixels.evaluation.evaluate.film_pair` gives them: the start first, the goal last.
    success : bool
        Whether the goal was reached, for the title.
    steps : int
        Raw steps taken.
    action_block : int
        Raw steps between two frames.

    Returns
    -------
    matplotlib Figure
        One panel a frame, with its raw step as title.

    Examples
    --------
    >>> figure = draw_plan(np.zeros((4, 8, 8, 3), np.uint8), success=True, steps=8, action_block=5)
    >>> [axis.get_title() for axis in figure.axes]
    ['start', 'step 5', 'step 8', 'goal']
    """
    figure, axes = new_figure(1, len(frames), width=1.1, height=1.35)
    for column, (axis, frame) in enumerate(zip(axes[0], frames, strict=True)):
        axis.imshow(frame, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(False)
        last = column == len(frames) - 1
        axis.set_title(
            "goal" if last else "start" if column == 0 else f"step {min(column * action_block, steps)}", fontsize=8
        )
    figure.suptitle(f"{'goal reached' if success else 'goal not reached'} after {steps} steps", fontsize=9)
    return figure


@styled
def draw_own_plan(
    start: NDArray[np.uint8],
    goal: NDArray[np.uint8],
    distances: NDArray[np.float64],
    *,
    film: NDArray[np.uint8] | None,
    action_block: int,
) -> Figure:
    """A plan between two pictures, as the model expects it: its film, where there is one, above its latent distances.

    Parameters
    ----------
    start, goal : uint8 array (H, W, 3)
    distances : float array (n + 1,)
        Squared latent distances to the goal at the start and after each block.
    film : uint8 array (n, H, W, 3), optional
        Decoded predicted latents after each block.
    action_block : int
        Raw actions in a block.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> black = np.zeros((8, 8, 3), np.uint8)
    >>> figure = draw_own_plan(black, black, np.array([4.0, 1.0]), film=black[None], action_block=5)
    >>> [axis.get_title() for axis in figure.axes]
    ['start', 'predicted, 5', 'goal', '']
    """
    shown = [("start", start)]
    if film is not None:
        shown += [(f"predicted, {action_block * (at + 1)}", frame) for at, frame in enumerate(film)]
    shown.append(("goal", goal))
    figure, _ = new_figure(1, 1, width=max(4.5, 1.1 * len(shown)), height=3.4)
    figure.clear()
    grid = figure.add_gridspec(2, len(shown), height_ratios=(1, 1.1))
    for column, (title, frame) in enumerate(shown):
        axis = figure.add_subplot(grid[0, column])
        axis.imshow(frame, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(False)
        axis.set_title(title, fontsize=8)
    axis = figure.add_subplot(grid[1, :])
    steps = action_block * np.arange(len(distances))
    axis.plot(steps, distances, marker="o", markersize=3)
    axis.set_xticks(steps)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("raw actions of the plan")
    axis.set_ylabel("predicted squared\ndistance to the goal", fontsize=8)
    return figure
