"""Lesson 2, break the theorem: a bound that holds as printed, and a planner that does the same thing for every goal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._notebook import short_repr
from spectral_jepa._validation import check_choice
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.generators import make_reset, reset_embedding_arrays
from spectral_jepa.planning import plan_goals
from spectral_jepa.theory import pointwise_single_step_bound, printed_single_step_bound

PLANNERS = ("dot", "euclidean", "transition")
N_STATES = 4


@dataclass(frozen=True, repr=False)
class BrokenPromise:
    """What Theorem 4.1 promises for one planner in the reset world, and what happens.

    Parameters
    ----------
    promised : float
        The printed bound on the mean regret.
    holds_as_printed : bool
        Whether its printed hypotheses hold.
    regret : float
        Mean over starts and goals.
    corrected : float
        The corrected bound; nan where it does not speak of this planner.
    chosen : integer array (4,)
        The action chosen for each goal; in this world it does not depend on the start.
    """

    promised: float
    holds_as_printed: bool
    regret: float
    corrected: float
    chosen: NDArray[np.int64]

    def __repr__(self) -> str:
        return short_repr(self)


def break_theorem(angle: float = 0.05, noise: float = 0.1, planner: str = "dot") -> BrokenPromise:
    """Plan for each of four goals with an embedding that is almost free of error.

    Parameters
    ----------
    angle : float
        How far apart the four states lie in latent space; the pretraining error shrinks with it.
    noise : float in [0, 1]
        Probability of a random state instead of the one that the action names.
    planner : {"dot", "euclidean", "transition"}
        Largest g.f; least distance, the paper's; largest w+ g.f, the corrected one.

    Returns
    -------
    BrokenPromise

    Raises
    ------
    InputError
        An unknown planner, noise out of range.

    Notes
    -----
    O(A S^2 k). Source: docs/theory.md, 3.1, which refutes arXiv 2606.27014, Thm 4.1.

    Examples
    --------
    >>> broken = break_theorem(0.05, 0.1, "dot")
    >>> round(broken.promised, 4), round(broken.regret, 3), broken.chosen.tolist()
    (0.0048, 0.675, [0, 0, 0, 0])
    >>> break_theorem(0.05, 0.1, "transition").chosen.tolist()
    [0, 1, 2, 3]
    """
    check_choice("planner", planner, PLANNERS)
    world = make_reset(n_states=N_STATES, noise=noise)
    exact = CoOccurrence.exact(world)
    fooled = Embedding(*reset_embedding_arrays(n_states=N_STATES, angle=angle), world.next_weight)
    plan = plan_goals(world, fooled, score=planner)
    printed = printed_single_step_bound(exact, fooled, plan)
    corrected = pointwise_single_step_bound(exact, fooled, plan).value if planner == "transition" else np.nan
    chosen = plan.actions(plan.planned_sequence)[0, :, 0]
    return BrokenPromise(float(printed.value), bool(printed.holds_as_printed), plan.mean_regret, float(corrected), chosen)
