"""Rings and tori: translation-invariant worlds, diagonal in the Fourier basis.

An action shifts the state and a kernel K spreads it, P_a = Shift_a K. Every action has the singular values |FFT(K)| and
the same right singular functions, so one encoder serves all actions without loss (docs/theory.md, section 2.7).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, as_distribution, as_float, check_count, check_fraction
from spectral_jepa.generators._common import circulant_shift, require_dense
from spectral_jepa.mdp import TabularMDP


@checked()
def make_ring(
    n_states: int = 12,
    slip: float = 0.2,
    n_actions: int = 3,
    *,
    kernel: ArrayLike | None = None,
    discount: float | None = None,
) -> TabularMDP:
    """Ring of states; actions step around it and a slip spreads symmetrically to the two neighbours.

    Parameters
    ----------
    n_states : int
        Number of states S.
    slip : float in [0, 1]
        Probability of landing one state beside the target, half on each side. Ignored when ``kernel`` is given.
    n_actions : int
        1: stay. 2: step -1, +1. 3: step -1, 0, +1. In general the symmetric steps of smallest size, without 0 when even.
    kernel : array (S,), optional
        Law of the extra displacement 0, 1, ..., S-1 (mod S), in place of the slip.
    discount : float in [0, 1], optional
        Discount factor, for a reward added later.

    Returns
    -------
    TabularMDP
        Dense, uniform ``weight`` (stationary for every action), no reward; ``action_labels`` holds the steps.

    Raises
    ------
    InputError
        A size or ``slip`` out of range, or a kernel that is not a probability vector.

    Notes
    -----
    O(A S^2). Singular values: ``circulant_singular_values(kernel)``; for a slip, |1 - slip + slip cos(2 pi j / S)|.
    Source: docs/theory.md, section 2.9.

    Examples
    --------
    >>> mdp = make_ring(n_states=5, slip=0.3, n_actions=2)
    >>> mdp.action_labels
    (-1, 1)
    >>> mdp.transition[1, 0]
    array([0.15, 0.7 , 0.15, 0.  , 0.  ])
    """
    n_states, n_actions = check_count("n_states", n_states), check_count("n_actions", n_actions)
    require_dense(n_actions, n_states)
    half = n_actions // 2
    steps = tuple(step for step in range(-half, half + 1) if step or n_actions % 2)
    law = _slip_kernel((n_states,), slip) if kernel is None else as_distribution("kernel", kernel, n_states)
    transition = np.stack([circulant_shift(law, (step,)) for step in steps])
    return TabularMDP(transition, discount=discount, name="ring", action_labels=steps)


@checked()
def make_torus(
    side: int = 6,
    slip: float = 0.2,
    n_actions: int = 4,
    *,
    kernel: ArrayLike | None = None,
    discount: float | None = None,
) -> TabularMDP:
    """Square grid without borders; actions move up, down, left, right (and stay), a slip spreads to the four neighbours.

    Parameters
    ----------
    side : int
        Side length; S = side * side.
    slip : float in [0, 1]
        Probability of landing beside the target, a quarter on each side. Ignored when ``kernel`` is given.
    n_actions : 4 or 5
        5 adds the action "stay".
    kernel : array (side, side), optional
        Law of the extra displacement (rows, columns) mod side, in place of the slip.
    discount : float in [0, 1], optional
        Discount factor, for a reward added later.

    Returns
    -------
    TabularMDP
        Dense, uniform ``weight`` (stationary for every action), no reward; ``state_labels`` holds (row, column).

    Raises
    ------
    InputError
        A size or ``slip`` out of range, or a kernel that is not a probability law.

    Notes
    -----
    O(A S^2). The spectrum has a heavy tail: errors fall all the way in the dimension (docs/theory.md, section 7).

    Examples
    --------
    >>> mdp = make_torus(side=3, slip=0.0)
    >>> mdp.state_labels[int(mdp.transition[0, 0].argmax())]  # up from the top row
    (2, 0)
    """
    side, n_actions = check_count("side", side), check_count("n_actions", n_actions, 4, 5, "four moves, and one for staying")
    require_dense(n_actions, side * side)
    if kernel is None:
        law = _slip_kernel((side, side), slip)
    else:
        table = as_float("kernel", kernel, (side, side))
        law = as_distribution("kernel", table.ravel(), side * side).reshape(side, side)
    moves = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1), "stay": (0, 0)}
    chosen = tuple(moves)[:n_actions]
    transition = np.stack([circulant_shift(law, moves[name]) for name in chosen])
    labels = tuple((row, column) for row in range(side) for column in range(side))
    return TabularMDP(transition, discount=discount, name="torus", state_labels=labels, action_labels=chosen)


def _slip_kernel(shape: tuple[int, ...], slip: float) -> Array:
    """(1 - slip) at the origin and an equal share of slip on each neighbour; neighbours that coincide add up."""
    slip = check_fraction("slip", slip)
    kernel = np.zeros(shape)
    origin = (0,) * len(shape)
    kernel[origin] = 1 - slip
    for axis, size in enumerate(shape):
        for step in (1, size - 1):
            neighbour = tuple(step % size if i == axis else 0 for i in range(len(shape)))
            kernel[neighbour] += slip / (2 * len(shape))
    return kernel
