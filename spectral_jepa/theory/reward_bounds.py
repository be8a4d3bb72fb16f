"""Regret bounds for reward-driven planning with any, even signed, transition model (docs/theory.md, 4.4).

regret <= sum_h gamma^{h+1} (E_{d_h^best} + E_{d_h^planned}) |(P - Phat) Vhat_{h+1}|              (tight)
       <= sum_h gamma^{h+1} (sqrt C_h^best + sqrt C_h^planned) ||Vhat_{h+1}||_{2,q} sqrt(R_S)     (loose)
with d_h the law of (state, action) at step h, C_h = sum d_h^2 / rho its concentrability, Vhat the clipped model values.
"""

from __future__ import annotations

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, as_model
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.linalg import inverse_or_zero
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.planning.reward import RewardPlan
from spectral_jepa.planning.values import action_values, occupancy, policy_values, required_reward, value_ceiling
from spectral_jepa.theory.bound import Assumption, Bound
from spectral_jepa.theory.risks import transition_risk

# Values computed again agree to this, relative to them or to 1.
SAME = 1e-8
QUANTITY = "reward regret (return)"


@checked()
def reward_bound_values(mdp: TabularMDP, exact: CoOccurrence, model: Array, plan: RewardPlan) -> tuple[Array, Array]:
    """Tight and loose bound on the regret for a batch of models.

    Parameters
    ----------
    mdp : TabularMDP
        The true world.
    exact : CoOccurrence
        Gives rho and q of the loose form; its transitions must be those of ``mdp``.
    model : array (..., A, S, S)
        Phat; may be signed.
    plan : RewardPlan
        Made with that model.

    Returns
    -------
    tight, loose : arrays (...)
        In units of return. The loose one is infinite where a policy visits a pair that the data do not.

    Raises
    ------
    InputError
        A world, a co-occurrence, a model and a plan that do not belong together; a model with NaN.

    Notes
    -----
    O(H A S^2) a model. Source: docs/theory.md, 4.4.

    Examples
    --------
    A right model and one that knows nothing.

    >>> from spectral_jepa import TabularMDP, plan_rewards
    >>> mdp = TabularMDP([np.eye(2), np.eye(2)[::-1]], reward=[0.0, 1.0])
    >>> models = np.stack([mdp.transition, np.full((2, 2, 2), 0.5)])
    >>> plan = plan_rewards(mdp, models, horizon=3)
    >>> tight, loose = reward_bound_values(mdp, CoOccurrence.exact(mdp), models, plan)
    >>> plan.regret, tight.round(3), loose.round(3)
    (array([0., 1.]), array([0., 2.]), array([0.   , 5.576]))
    """
    model = _checked(mdp, exact, model, plan)
    flat_model = model.reshape(-1, *model.shape[-3:])
    flat_policy = plan.policy.reshape(-1, *plan.policy.shape[-2:])
    flat_values = plan.model_values.reshape(-1, *plan.model_values.shape[-2:])
    rho, q = exact.pooled_weight, exact.pooled_column_weight
    best = occupancy(mdp, plan.optimal_policy, plan.start)
    planned = occupancy(mdp, flat_policy, plan.start)
    discounts = plan.discount ** np.arange(1.0, plan.horizon + 1)
    inverse_rho = inverse_or_zero(rho)
    root_best = np.sqrt(_concentrability(best, rho, inverse_rho))
    tight, loose = np.zeros(len(flat_model)), np.zeros(len(flat_model))
    for i, (phat, law, values) in enumerate(zip(flat_model, planned, flat_values, strict=True)):
        following = values[1:].T
        error = np.abs(action_values(mdp.transition, following) - phat @ following)
        tight[i] = np.einsum("h,has,ash->", discounts, best + law, error)
        root_planned = np.sqrt(_concentrability(law, rho, inverse_rho))
        size = np.sqrt(q @ following**2)
        risk = transition_risk(exact, phat, pooled=True)
        reach = root_best + root_planned
        # Values of states that no data lead to have no size under q: an error there shows in an infinite risk or C_h only.
        hidden = (following[q == 0] != 0).any(axis=0) & (np.isinf(reach) | np.isinf(risk)) & (discounts > 0)
        size = np.where(hidden, np.inf, size)
        with np.errstate(invalid="ignore"):
            total = np.sum(np.where(size > 0, discounts * reach * size, 0.0))
        # Without coverage the risk says nothing, even a risk of 0; a model that expects no reward errs by nothing.
        loose[i] = total * np.sqrt(risk) if 0 < total < np.inf else total
    shape = model.shape[:-3]
    return tight.reshape(shape), loose.reshape(shape)


@checked()
def reward_bounds(mdp: TabularMDP, exact: CoOccurrence, model: Array, plan: RewardPlan) -> tuple[Bound, Bound]:
    """Tight and loose bound on the regret of one plan, with their assumptions.

    Parameters
    ----------
    mdp : TabularMDP
        The true world.
    exact : CoOccurrence
        Gives rho and q of the loose form; its transitions must be those of ``mdp``.
    model : array (A, S, S)
        Phat; may be signed.
    plan : RewardPlan
        Made with that model.

    Returns
    -------
    tight, loose : Bound
        In units of return; the ceiling is the optimal return.

    Raises
    ------
    InputError
        A world, a co-occurrence, a model and a plan that do not belong together, or several models.

    Notes
    -----
    O(H A S^2). Source: docs/theory.md, 4.4.

    Examples
    --------
    The model believes in values (.5, 1.5) after one step and (0, 1) after two, and expects their mean of every pair: it errs
    by .5 both times, under the law of the best plan and of its own, which makes 2. It stays where it is; half of the starts
    lose 2.

    >>> from spectral_jepa import TabularMDP, plan_rewards
    >>> mdp = TabularMDP([np.eye(2), np.eye(2)[::-1]], reward=[0.0, 1.0])
    >>> exact = CoOccurrence.exact(mdp)
    >>> model = np.full((2, 2, 2), 0.5)
    >>> plan = plan_rewards(mdp, model, horizon=3)
    >>> tight, loose = reward_bounds(mdp, exact, model, plan)
    >>> float(plan.regret), round(tight.value, 3), round(loose.value, 3), tight.holds
    (1.0, 2.0, 5.576, True)
    """
    if np.ndim(model) != 3:
        raise InputError(f"model has shape {np.shape(model)}, expected one (A, S, S): use reward_bound_values for many")
    tight, loose = reward_bound_values(mdp, exact, model, plan)
    clipped = Assumption("rewards lie in [0, 1] and model values are clipped to what they can reach", True)
    covered = Assumption(
        "the data law covers every pair that the best and the planned policy visit", bool(np.isfinite(loose))
    )
    return (
        Bound(float(tight), QUANTITY, plan.optimal, (clipped,), "corrected reward bound, tight form (docs/theory.md, 4.4)"),
        Bound(
            float(loose),
            QUANTITY,
            plan.optimal,
            (clipped, covered),
            "corrected reward bound, loose form (docs/theory.md, 4.4)",
        ),
    )


def _checked(mdp: TabularMDP, exact: CoOccurrence, model: Array, plan: RewardPlan) -> Array:
    """The model as an array, after checks that the world, its co-occurrence, the model and the plan belong together."""
    shape = (mdp.n_actions, mdp.n_states)
    if (exact.n_actions, exact.n_states) != shape:
        raise InputError(
            f"exact has {exact.n_actions} x {exact.n_states} actions x states, expected {shape} as in the MDP: use one world"
        )
    if exact.n_samples is None:
        off = np.abs(exact.conditional() - mdp.dense()).max(axis=2)
        off[exact.row_weight == 0] = 0
        if off.max() > SAME:
            action, state = (int(i) for i in np.unravel_index(np.argmax(off), off.shape))
            raise InputError(
                f"exact differs from the MDP in action {action}, state {state}, expected its transitions: use one world"
            )
    models = as_model("model", model, *shape)
    if isinstance(models, tuple):
        raise InputError("model is sparse, expected one dense array (..., A, S, S): call toarray() of each")
    if plan.policy.shape != (*models.shape[:-3], plan.horizon, mdp.n_states) or not models.size:
        raise InputError(
            f"the plan holds policies of shape {plan.policy.shape} for models of shape {models.shape}, expected one plan "
            "a model: plan with this model"
        )
    best = float(policy_values(mdp, plan.optimal_policy, plan.discount)[0] @ plan.start)
    if abs(best - plan.optimal) > SAME * max(1.0, abs(best)):
        raise InputError(
            f"the plan's best return is {plan.optimal:.6g}, expected {best:.6g} as in the MDP: plan in this world"
        )
    following = plan.model_values[..., 1, :]
    planned = required_reward(mdp).T + plan.discount * (models @ following[..., None, :, None])[..., 0]
    believed = np.clip(planned.max(axis=-2), 0.0, value_ceiling(plan.horizon, plan.discount)[0])
    if (np.abs(believed - plan.model_values[..., 0, :]) > SAME * np.maximum(1.0, believed)).any():
        raise InputError(
            "the plan believes in other values than the model gives, expected those of this model: plan with it"
        )
    return models


def _concentrability(law: Array, rho: Array, inverse_rho: Array) -> Array:
    """C_h = sum d_h^2 / rho for each step, infinite where the data never went; law (H, A, S)."""
    outside = np.any((law > 0) & (rho == 0), axis=(1, 2))
    return np.where(outside, np.inf, np.einsum("has,as->h", law**2, inverse_rho))
