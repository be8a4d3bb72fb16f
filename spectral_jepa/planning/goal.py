"""Goal reaching as in arXiv 2606.27014, eq. 7-12: open-loop action sequences scored in latent space.

V(a_0..a_{T-1}) = P(x_T = goal | x_0, a), regret = max V - V(planned). All |A|^T sequences are scored at once. A planner
is a *score* of the final latent and a *rollout* that carries a latent through an action:

score "euclidean"   -||z_T - f(goal)||^2, the paper's planner
      "dot"         z_T^T f(goal), an estimate of the density ratio P / w+
      "transition"  w+(goal|a) z_T^T f(goal) = Phat, what the corrected bounds are about
rollout "operator"  z_{t+1} = T z_t, T = sum_x w+(x) g(f(x),a) f(x)^T: multiplies the matrices Phat
        "latent"    z_{t+1} = W_a z_t with the predictor itself (its best linear extension off the data): naive
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._notebook import matrices_html, table_html
from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_weights, check_choice, check_count, require_memory, shown
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import Embedding
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.planning.values import first_best

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("euclidean", "dot", "transition")
ROLLOUTS = ("operator", "latent")
MAX_SEQUENCES = 2_000_000
MAX_HORIZON = 10_000
# Starts are planned for in blocks, so that the table of (sequence, start, goal) stays near this many entries.
BLOCK_ENTRIES = 8_000_000


@dataclass(frozen=True, eq=False, repr=False)
class GoalPlan:
    """Plans from every start to every goal of positive weight.

    Attributes
    ----------
    starts, goals : integer arrays (n,), (m,)
    best, planned : arrays (n, m)
        Best reachable probability, and that of the planned sequence.
    best_sequence, planned_sequence : integer arrays (n, m)
        Sequence numbers; :meth:`actions` spells them out.
    start_weight, goal_weight : arrays (n,), (m,)
    horizon, n_actions : int
    score, rollout : str
        How the sequences were scored.
    """

    starts: NDArray[np.int64]
    goals: NDArray[np.int64]
    best: Array
    planned: Array
    best_sequence: NDArray[np.int64]
    planned_sequence: NDArray[np.int64]
    start_weight: Array
    goal_weight: Array
    horizon: int
    n_actions: int
    score: str
    rollout: str

    def __repr__(self) -> str:
        return (
            f"GoalPlan({len(self.starts)} starts, {len(self.goals)} goals, {self.n_actions} actions, {self.horizon} steps, "
            f"score {self.score!r}, rollout {self.rollout!r}, mean regret {self.mean_regret:.4g})"
        )

    def _repr_html_(self) -> str:
        facts = {
            "starts": len(self.starts),
            "goals": len(self.goals),
            "steps": self.horizon,
            "score": self.score,
            "rollout": self.rollout,
            "best reachable, mean": self.average(self.best),
            "reached as planned, mean": self.average(self.planned),
            "mean regret": self.mean_regret,
        }
        regret = matrices_html("one row a start, one column a goal", [self.regret], ["regret"])
        return f"<div>{table_html('GoalPlan', facts)}{regret}</div>"

    def to_frame(self) -> pd.DataFrame:
        """The plans as a table, one row a pair of start and goal.

        Returns
        -------
        DataFrame
            start, goal, weight (of the pair; they sum to 1), best, planned, regret, and the two sequences as tuples of
            actions, best_actions and planned_actions.

        Examples
        --------
        >>> from spectral_jepa import TabularMDP, spectral_embedding
        >>> mdp = TabularMDP([np.eye(2), np.eye(2)[::-1]])
        >>> plan_goals(mdp, spectral_embedding(CoOccurrence.exact(mdp), 2)).to_frame()
           start  goal  weight  best  planned  regret best_actions planned_actions
        0      0     0    0.25   1.0      1.0     0.0         (0,)            (0,)
        1      0     1    0.25   1.0      1.0     0.0         (1,)            (1,)
        2      1     0    0.25   1.0      1.0     0.0         (1,)            (1,)
        3      1     1    0.25   1.0      1.0     0.0         (0,)            (0,)
        """
        import pandas as pd

        start, goal = (part.ravel() for part in np.meshgrid(self.starts, self.goals, indexing="ij"))
        spelled = {
            name: list(map(tuple, self.actions(sequence.ravel()).tolist()))
            for name, sequence in (("best_actions", self.best_sequence), ("planned_actions", self.planned_sequence))
        }
        return pd.DataFrame(
            {
                "start": start,
                "goal": goal,
                "weight": np.outer(self.start_weight, self.goal_weight).ravel(),
                "best": self.best.ravel(),
                "planned": self.planned.ravel(),
                "regret": self.regret.ravel(),
                **spelled,
            }
        )

    @property
    def regret(self) -> Array:
        """best - planned for each pair, shape (n, m)."""
        return self.best - self.planned

    @property
    def mean_regret(self) -> float:
        """Regret averaged over starts and goals."""
        return self.average(self.regret)

    def average(self, pairs: Array) -> float:
        """Average any (n, m) table over starts and goals."""
        return float(self.start_weight @ pairs @ self.goal_weight)

    def actions(self, sequence: NDArray[np.int64]) -> NDArray[np.int64]:
        """Spell out sequence numbers as actions, shape (..., T)."""
        powers = self.n_actions ** np.arange(self.horizon - 1, -1, -1)
        return np.asarray(sequence)[..., None] // powers % self.n_actions


@checked()
def plan_goals(
    mdp: TabularMDP,
    embedding: Embedding,
    *,
    horizon: int = 1,
    score: str | Callable[[Array, Array], Array] = "transition",
    rollout: str = "operator",
    starts: ArrayLike | None = None,
    goals: ArrayLike | None = None,
) -> GoalPlan:
    """Plan from every start to every goal by scoring all action sequences, and evaluate exactly.

    Parameters
    ----------
    mdp : TabularMDP
    embedding : Embedding
    horizon : int
        Length T of the sequences.
    score : {"transition", "dot", "euclidean"} or callable
        One's own is called with the latents (..., A, n, k) to which sequences lead, by their last action, and f at the goals
        (A, m, k); it returns a score, larger is better, of each: (..., A, n, m).
    rollout : {"operator", "latent"}
        Without effect at T = 1. "latent" needs a shared encoder.
    starts, goals : integer ids, boolean mask or weights (S,), optional
        Default: starts from ``mdp.start``, goals uniform over all states.

    Returns
    -------
    GoalPlan

    Raises
    ------
    InputError
        Unknown names, a state out of range, too many sequences, tables that would not fit in memory.

    Notes
    -----
    O(|A|^T n (S^2 + k m)) time; memory is bounded by planning for blocks of starts.

    Examples
    --------
    >>> from spectral_jepa import spectral_embedding
    >>> mdp = TabularMDP([np.eye(3), np.roll(np.eye(3), 1, axis=1)])
    >>> plan = plan_goals(mdp, spectral_embedding(CoOccurrence.exact(mdp), 3), horizon=2)
    >>> plan.mean_regret
    0.0
    >>> plan.actions(plan.planned_sequence)[0].tolist()
    [[0, 0], [0, 1], [1, 1]]
    """
    check_count("horizon", horizon)
    if not callable(score):
        check_choice("score", score, SCORES)
    check_choice("rollout", rollout, ROLLOUTS)
    got, expected = (embedding.n_actions, embedding.n_states), (mdp.n_actions, mdp.n_states)
    if got != expected:
        raise InputError(
            f"the embedding covers {got[0]} actions x {got[1]} states, expected {expected[0]} x {expected[1]} as in the "
            "MDP: build both from the same spaces"
        )
    # By logarithms: the number itself may have a million digits. One action has one sequence, which still takes its steps.
    digits = min(horizon, 10**15) * math.log10(mdp.n_actions)
    if digits > math.log10(MAX_SEQUENCES) + 1e-12 or horizon > MAX_HORIZON:
        many = f"about 10^{digits:.0f}" if digits > 15 else f"{mdp.n_actions ** min(horizon, 60)}"
        raise InputError(
            f"{mdp.n_actions} actions over {shown(horizon)} steps make {many} sequences, expected at most "
            f"{MAX_SEQUENCES} of at most {MAX_HORIZON} steps: lower the horizon or plan for a reward"
        )
    n_sequences = mdp.n_actions**horizon
    start_weight = as_weights("starts", starts, mdp.n_states, mdp.start)
    goal_weight = as_weights("goals", goals, mdp.n_states)
    start_ids, goal_ids = np.flatnonzero(start_weight), np.flatnonzero(goal_weight)
    shape = len(start_ids), len(goal_ids)
    # Four tables, and as much again while a block of them is made.
    require_memory((4, *shape), "the four tables of starts x goals", "pass fewer starts= or goals=", copies=2)
    steps = _step_matrices(mdp, embedding, rollout) if horizon > 1 else None
    per_start = n_sequences * max(mdp.n_states, embedding.dim)
    block = max(1, BLOCK_ENTRIES // per_start)
    best, planned = np.empty(shape), np.empty(shape)
    best_sequence, planned_sequence = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
    for i in range(0, len(start_ids), block):
        rows = slice(i, i + block)
        part = _plan_block(mdp, embedding, start_ids[rows], goal_ids, horizon, score, steps)
        best[rows], planned[rows], best_sequence[rows], planned_sequence[rows] = part
    return GoalPlan(
        start_ids,
        goal_ids,
        best,
        planned,
        best_sequence,
        planned_sequence,
        start_weight[start_ids],
        goal_weight[goal_ids],
        horizon,
        mdp.n_actions,
        # Never the name of a built-in one: what a bound holds for is read from it.
        f"own:{getattr(score, '__name__', type(score).__name__)}" if callable(score) else score,
        rollout,
    )


@checked()
def goal_regret(
    mdp: TabularMDP,
    embedding: Embedding,
    *,
    horizon: int = 1,
    score: str | Callable[[Array, Array], Array] = "transition",
    rollout: str = "operator",
    starts: ArrayLike | None = None,
    goals: ArrayLike | None = None,
) -> float:
    """Mean regret of goal reaching, in probability: that of the plans of :func:`plan_goals`.

    Parameters
    ----------
    mdp : TabularMDP
    embedding : Embedding
    horizon : int
        Length T of the sequences.
    score : {"transition", "dot", "euclidean"} or callable
        One's own is called with the latents (..., A, n, k) to which sequences lead, by their last action, and f at the goals
        (A, m, k); it returns a score, larger is better, of each: (..., A, n, m).
    rollout : {"operator", "latent"}
        Without effect at T = 1. "latent" needs a shared encoder.
    starts, goals : integer ids, boolean mask or weights (S,), optional
        Default: starts from ``mdp.start``, goals uniform over all states.

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    InputError
        As in :func:`plan_goals`.

    Notes
    -----
    O(|A|^T n (S^2 + k m)) for n starts and m goals. Source: arXiv 2606.27014, eq. 7-12.

    Examples
    --------
    Permutations are planned without error at full rank; at rank 1 every action looks alike, and the first leaves things as
    they are: right for the goal that is already reached, of three.

    >>> from spectral_jepa import spectral_embedding
    >>> mdp = TabularMDP([np.eye(3), np.roll(np.eye(3), 1, axis=1)])
    >>> exact = CoOccurrence.exact(mdp)
    >>> goal_regret(mdp, spectral_embedding(exact, 3), horizon=2)
    0.0
    >>> round(goal_regret(mdp, spectral_embedding(exact, 1), horizon=2), 12)
    0.666666666667
    """
    plan = plan_goals(mdp, embedding, horizon=horizon, score=score, rollout=rollout, starts=starts, goals=goals)
    return plan.mean_regret


def _step_matrices(mdp: TabularMDP, embedding: Embedding, rollout: str) -> Array:
    """Row-vector step (A, A, k, k): z after action b, then a, is z @ step[b, a]."""
    if rollout == "latent":
        step = np.swapaxes(embedding.predictor_matrices(CoOccurrence.exact(mdp)), 1, 2)
        return np.broadcast_to(step, (embedding.n_actions, *step.shape))
    weighted = embedding.column_weight[:, :, None] * embedding.targets
    return np.einsum("bxk,axl->bakl", weighted, embedding.predicted, optimize=True)


def _plan_block(
    mdp: TabularMDP,
    embedding: Embedding,
    starts: NDArray[np.int64],
    goals: NDArray[np.int64],
    horizon: int,
    score: str | Callable[[Array, Array], Array],
    steps: Array | None,
) -> tuple[Array, Array, NDArray[np.int64], NDArray[np.int64]]:
    """best, planned, best_sequence, planned_sequence for a block of starts."""
    n_actions, n_starts, n_states = mdp.n_actions, len(starts), mdp.n_states
    # Axes: (earlier actions, last action, start, state or latent).
    reach = np.stack([np.asarray(rows[starts].toarray() if mdp.is_sparse else rows[starts]) for rows in mdp.transition])[
        None
    ]
    latent = embedding.predicted[:, starts][None]
    for _ in range(horizon - 1):
        assert steps is not None
        rows = reach.reshape(-1, n_states)
        reach = np.stack([np.asarray(rows @ matrix).reshape(-1, n_starts, n_states) for matrix in mdp.transition], axis=1)
        latent = np.einsum("pbxk,bakl->pbaxl", latent, steps, optimize=True)
        latent = latent.reshape(-1, n_actions, n_starts, embedding.dim)
    target = embedding.targets[:, goals]
    scores = _own_scores(score, latent, target) if callable(score) else latent @ np.swapaxes(target, 1, 2)
    if score == "transition":
        scores = scores * embedding.column_weight[:, goals][:, None, :]
    elif score == "euclidean":
        norms = np.sum(latent**2, axis=-1)[..., None] + np.sum(target**2, axis=-1)[:, None, :]
        scores = 2 * scores - norms
    scores = scores.reshape(-1, n_starts, len(goals))
    reach = reach.reshape(-1, n_starts, n_states)[:, :, goals]
    chosen, best = first_best(scores, axis=0), first_best(reach, axis=0)
    planned = np.take_along_axis(reach, chosen[None], axis=0)[0]
    return reach.max(axis=0), planned, best, chosen


def _own_scores(score: Callable[[Array, Array], Array], latent: Array, target: Array) -> Array:
    found = np.asarray(score(latent, target))
    expected = (*latent.shape[:-1], target.shape[1])
    if found.shape != expected or not np.isfinite(found).all():
        raise InputError(
            f"score gave an array of shape {found.shape} for latents {latent.shape} and goals {target.shape}, expected "
            f"finite scores {expected}: reduce the coordinates alone"
        )
    return found
