"""Reward-driven planning with a learned transition model, and its exact regret (the setting of docs/theory.md, 4.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from spectral_jepa._notebook import matrices_html, table_html
from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_model, as_weights, check_count, require_memory
from spectral_jepa.embedding import Embedding
from spectral_jepa.mdp import TabularMDP, Transition
from spectral_jepa.planning.values import (
    ActionTable,
    backward_induction,
    policy_values,
    required_discount,
    required_reward,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class RewardPlan:
    """What a model plans, what it believes, and what it earns. Leading axes are the batch of models.

    Attributes
    ----------
    policy : array (..., H, S)
        Action at each step and state.
    model_values : array (..., H + 1, S)
        Clipped values the model believes in, Vhat.
    achieved : array (...)
        True return of ``policy`` from ``start``.
    optimal : float
        Best possible return from ``start``.
    optimal_policy : array (H, S)
    start : array (S,)
    horizon : int
    discount : float
    """

    policy: ActionTable
    model_values: Array
    achieved: Array
    optimal: float
    optimal_policy: ActionTable
    start: Array
    horizon: int
    discount: float

    def __repr__(self) -> str:
        many = "" if not self.achieved.ndim else f"{self.achieved.size} models, "
        return (
            f"RewardPlan({many}{self.policy.shape[-1]} states, {self.horizon} steps, discount {self.discount:.6g}, "
            f"optimal {self.optimal:.4g}, mean regret {float(np.mean(self.regret)):.4g})"
        )

    def _repr_html_(self) -> str:
        facts = {
            "models": self.achieved.size,
            "states": self.policy.shape[-1],
            "steps": self.horizon,
            "discount": self.discount,
            "optimal return": self.optimal,
            "achieved, mean": float(np.mean(self.achieved)),
            "regret, mean": float(np.mean(self.regret)),
        }
        first = self.policy.reshape(-1, *self.policy.shape[-2:])[0]
        drawn = matrices_html(
            "action, one row a step, one column a state", [self.optimal_policy, first], ["best", "planned"]
        )
        return f"<div>{table_html('RewardPlan', facts)}{drawn}</div>"

    def to_frame(self) -> pd.DataFrame:
        """What each model's plan earns as a table, one row a model of the batch.

        Returns
        -------
        DataFrame
            model (its number in the batch), optimal, achieved, regret, relative_regret.

        Examples
        --------
        >>> mdp = TabularMDP([np.eye(2), np.eye(2)[::-1]], reward=[0.0, 1.0])
        >>> plan_rewards(mdp, np.stack([mdp.transition, mdp.transition[::-1]]), horizon=3).to_frame()
           model  optimal  achieved  regret  relative_regret
        0      0      2.5       2.5     0.0              0.0
        1      1      2.5       0.5     2.0              0.8
        """
        import pandas as pd

        columns = {
            "achieved": np.ravel(self.achieved),
            "regret": np.ravel(self.regret),
            "relative_regret": np.ravel(self.relative_regret),
        }
        return pd.DataFrame({"model": np.arange(self.achieved.size), "optimal": self.optimal, **columns})

    @property
    def regret(self) -> Array:
        """optimal - achieved, in units of return; >= 0 up to rounding."""
        return np.maximum(self.optimal - self.achieved, 0.0)

    @property
    def relative_regret(self) -> Array:
        """Regret as a share of the optimal return."""
        return self.regret / self.optimal if self.optimal > 0 else np.zeros_like(self.regret)


@checked()
def plan_rewards(
    mdp: TabularMDP,
    model: Transition,
    *,
    horizon: int = 40,
    discount: float | None = None,
    start: ArrayLike | None = None,
) -> RewardPlan:
    """Backward induction in ``model``, evaluated exactly in ``mdp``.

    Parameters
    ----------
    mdp : TabularMDP
        The true world; its reward must lie in [0, 1] (see :meth:`TabularMDP.with_unit_reward`).
    model : array (..., A, S, S) or tuple of CSR matrices
        Model of the transitions, possibly signed.
    horizon : int
        Number of actions H.
    discount : float in [0, 1], optional
        Default: the MDP's own, or 1.
    start : states, mask or weights, optional
        Law of the first state. Default: the MDP's own.

    Returns
    -------
    RewardPlan
        One plan a model: what was planned, what the model expects of it, and what it earns.

    Raises
    ------
    InputError
        Without a reward, or with one outside [0, 1]; a model of another shape; a horizon, discount or start out of range.

    Notes
    -----
    O(H A S^2) a model. Source: docs/theory.md, 4.4.

    Examples
    --------
    >>> mdp = TabularMDP([np.eye(2), np.eye(2)[::-1]], reward=[0.0, 1.0])
    >>> float(plan_rewards(mdp, mdp.transition, horizon=3).regret)
    0.0
    >>> wrong = mdp.transition[::-1]
    >>> float(plan_rewards(mdp, wrong, horizon=3).regret)
    2.0
    """
    require_memory((check_count("horizon", horizon) + 1, mdp.n_states), "the table of values", "lower the horizon", copies=6)
    reward, gamma = required_reward(mdp), required_discount(mdp, discount)
    if reward.min() < 0 or reward.max() > 1:
        raise InputError(
            f"the reward of {mdp.name} spans [{reward.min():.4g}, {reward.max():.4g}], expected [0, 1] because values are "
            "clipped to what such rewards can reach: use mdp.with_unit_reward()"
        )
    model = as_model("model", model, mdp.n_actions, mdp.n_states)
    law = as_weights("start", start, mdp.n_states, mdp.start)
    true_values, optimal_policy = backward_induction(mdp.transition, reward, horizon, gamma, clip=False)
    model_values, policy = backward_induction(model, reward, horizon, gamma)
    achieved = policy_values(mdp, policy, gamma)[..., 0, :] @ law
    return RewardPlan(policy, model_values, achieved, float(true_values[0] @ law), optimal_policy, law, horizon, gamma)


@checked()
def reward_regret(mdp: TabularMDP, embedding: Embedding, *, relative: bool = False, **options: Any) -> float:
    """Regret of planning for the MDP's reward with the transitions read back from an embedding.

    Parameters
    ----------
    mdp : TabularMDP
        With a reward in [0, 1].
    embedding : Embedding
    relative : bool
        As a share of the optimal return instead of in units of return.
    **options
        ``horizon``, ``discount``, ``start``: see :func:`plan_rewards`.

    Returns
    -------
    float
        In units of return, or in [0, 1] when relative (0 where nothing can be earned).

    Raises
    ------
    InputError
        As in :func:`plan_rewards`.

    Notes
    -----
    O(H A S^2 + A S^2 k). Source: docs/theory.md, 4.4.

    Examples
    --------
    At rank 1 both actions look alike, and the first stays where it is: right in the state that pays, wrong in the other.

    >>> from spectral_jepa import CoOccurrence, spectral_embedding
    >>> mdp = TabularMDP([np.eye(2), np.eye(2)[::-1]], reward=[0.0, 1.0])
    >>> exact = CoOccurrence.exact(mdp)
    >>> round(reward_regret(mdp, spectral_embedding(exact, 2), horizon=3), 12)
    0.0
    >>> round(reward_regret(mdp, spectral_embedding(exact, 1), horizon=3), 12)
    1.0
    """
    plan = plan_rewards(mdp, embedding.transition(), **options)
    return float(plan.relative_regret if relative else plan.regret)
