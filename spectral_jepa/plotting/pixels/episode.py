"""The picture of one planned episode."""

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
