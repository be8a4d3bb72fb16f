"""The published learning rate: linear warm-up, then a cosine to 0."""

from __future__ import annotations

import math

from spectral_jepa._validation import check_count, check_fraction


def learning_rate(step: int, n_steps: int, peak: float, warmup: float = 0.01) -> float:
    """Learning rate of one optimiser step.

    Parameters
    ----------
    step : int
        Optimiser steps taken before this one, from 0.
    n_steps : int
        Steps of the whole run.
    peak : float
        The rate at the end of the warm-up.
    warmup : float in [0, 1]
        Share of the steps in which the rate rises from 0 to ``peak`` (rounded down to whole steps).

    Returns
    -------
    float
        Between 0 and ``peak``.

    Raises
    ------
    InputError
        A step outside the run, a share outside [0, 1].

    Notes
    -----
    The rate depends on the length of the run: the first tenth of a long run is not a short run. The first step of a warm-up
    has rate 0. Source: the released code of LeWM (arXiv 2603.19312), with 1 % of the steps as warm-up. O(1).

    Examples
    --------
    >>> [round(learning_rate(step, 100, 1.0, 0.1), 3) for step in (0, 5, 10, 55, 100)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    check_count("n_steps", n_steps)
    check_count("step", step, 0, n_steps)
    rising = int(check_fraction("warmup", warmup) * n_steps)
    if step < rising:
        return peak * step / rising
    return peak * (1 + math.cos(math.pi * (step - rising) / max(1, n_steps - rising))) / 2
