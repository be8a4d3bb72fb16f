"""Goal reaching by the cross-entropy method, many start-goal pairs at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spectral_jepa._notebook import short_repr
from spectral_jepa._signatures import checked
from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import check_choice, check_count, check_tensor, require_memory
from spectral_jepa.action_search import Generators, PlannerCost, cross_entropy_method
from spectral_jepa.point_mass.environment import PointMass, random_actions, shorten
from spectral_jepa.point_mass.model import PointMassModel
from spectral_jepa.point_mass.settings import PointMassSettings


@checked()
def search_actions(
    cost: PlannerCost, mean: Tensor, generators: Generators, settings: PointMassSettings, repeat: int = 1
) -> Tensor:
    """The cross-entropy method with the experiment's settings: actions on the unit disc, each held for some steps.

    Parameters
    ----------
    cost : callable
        Plans (P, C, T, 2) -> costs (P, C).
    mean : Tensor (P, K, 2)
        First guess: K actions, each held for ``repeat`` steps (T = K * repeat).
    generators : sequence of P torch.Generator
        One a problem, on the CPU, so that a problem's candidates do not depend on its company.
    settings : PointMassSettings
        Number of candidates, elites, rounds; first spread.
    repeat : int
        Steps each action is held.

    Returns
    -------
    Tensor (P, K, 2)
        Mean of the last elites, actions of length at most 1.

    Raises
    ------
    InputError
        Another number of generators than problems, a repeat below 1, plans that would not fit in memory.

    Notes
    -----
    :func:`spectral_jepa.action_search.cross_entropy_method`, the elites' spread divided by their number. Cost:
    O(n_iterations P C T).

    Examples
    --------
    >>> goal = torch.tensor([0.3, -0.4])
    >>> plan = search_actions(
    ...     lambda plans: (plans - goal).square().sum((-1, -2)), torch.zeros(1, 2, 2), [torch_generator(0)],
    ...     PointMassSettings(n_iterations=20))
    >>> torch.allclose(plan, goal.expand(1, 2, 2), atol=0.02)
    True
    """
    check_count("repeat", repeat)
    check_tensor("mean", mean, "P K 2")
    size = (mean.shape[0], settings.n_candidates, mean.shape[1] * repeat, 2)
    require_memory(size, "the table of plans", "hold each action for fewer steps")
    return cross_entropy_method(
        lambda plans: cost(plans.repeat_interleave(repeat, 2)),
        mean,
        generators,
        n_samples=settings.n_candidates,
        n_elites=settings.n_elites,
        n_iterations=settings.n_iterations,
        std=settings.initial_spread,
        unbiased=False,
        spare_draw=False,
        project=shorten,
    )


@dataclass(frozen=True, repr=False)
class Reaching:
    """How each pair ended.

    Parameters
    ----------
    first_hit : Tensor (P,)
        First step within the success radius; -1 if there is none within the budget.
    final_distance : Tensor (P,)
        Distance from the goal when the episode ended.
    """

    first_hit: Tensor
    final_distance: Tensor

    def __repr__(self) -> str:
        return short_repr(self)

    def success(self, budget: int) -> float:
        """Share of pairs that touched the goal within ``budget`` steps.

        Examples
        --------
        >>> Reaching(torch.tensor([3, 5, -1, 6]), torch.zeros(4)).success(5)
        0.5
        """
        return float(((self.first_hit > 0) & (self.first_hit <= budget)).double().mean())


@checked()
def reach_goals(
    world: PointMass,
    start: Tensor,
    goal: Tensor,
    n_steps: int,
    planner: PointMassModel | str,
    *,
    budget: int,
    seed: int,
    weight: Tensor | None = None,
) -> Reaching:
    """Drive every pair towards its goal, planning again as it goes.

    The plan aims at arriving at step ``n_steps``: its length is what is left of that, and H from then on (receding
    horizon); its cost is the distance at its end, ||zhat_T - f(x_g)||^2 (paper, eq. 9). An episode ends at its first hit.

    Parameters
    ----------
    world : PointMass
    start, goal : Tensor (P, 4)
    n_steps : int
        Required steps, the length of the first plan.
    planner : PointMassModel, "simulator" or "random"
        "simulator" plans with the true dynamics and the true distance; "random" does not plan.
    budget : int
        Steps after which an episode counts as failed.
    seed : int
        Pair i's stream depends on (seed, n_steps, i) alone.
    weight : Tensor (D,), optional
        Compare decoded predictions with the goal observation, with this weight a feature, instead of latents.

    Returns
    -------
    Reaching

    Raises
    ------
    InputError
        Starts and goals of other shapes, a count below 1, an unknown planner.

    Notes
    -----
    A pair's result does not depend on its company, up to rounding in the batched products. Cost: one rollout of all
    candidates a round and plan.

    Examples
    --------
    >>> from spectral_jepa.point_mass.environment import goal_pairs
    >>> world = PointMass(PointMassSettings(), 0.0)
    >>> reach_goals(world, *goal_pairs(world, 5, 4, seed=0), 5, "simulator", budget=10, seed=0).success(10)
    1.0
    """
    check_tensor("start", start, "P 4")
    check_tensor("goal", goal, f"{len(start)} 4", like=start)
    check_count("n_steps", n_steps)
    check_count("budget", budget)
    if isinstance(planner, str):
        check_choice("planner", planner, ("simulator", "random"))
    if weight is not None:
        check_tensor("weight", weight, f"{world.observation_dim}")
    settings, n_pairs = world.settings, len(start)
    generators = [torch_generator(seed, n_steps, pair, 12, seeds="point mass") for pair in range(n_pairs)]
    first_hit = torch.full((n_pairs,), -1)
    state = start.clone()
    goal_observation = _observe(world, goal, generators)
    repeat, time = 1, 0
    plan = torch.zeros(n_pairs, 0, 2)
    while time < budget:
        active = (first_hit < 0).nonzero().squeeze(1)
        if not len(active):
            break
        own = [generators[i] for i in active.tolist()]
        if planner == "random":
            actions = torch.stack([random_actions(1, generator=g) for g in own])
        else:
            left = n_steps - time
            repeat = math.ceil(n_steps / settings.n_segments) if left > 0 else 1
            n_segments = math.ceil(left / repeat) if left > 0 else min(n_steps, settings.horizon)
            # What the last plan still held, then zeros: a warm start wherever there is one.
            kept = plan[active, :n_segments]
            mean = torch.cat([kept, torch.zeros(len(active), n_segments - kept.shape[1], 2)], 1)
            cost = _cost(world, planner, state[active], goal[active], goal_observation[active], own, weight)
            found = search_actions(cost, mean, own, settings, repeat)
            plan = torch.zeros(n_pairs, n_segments - 1, 2)
            plan[active] = found[:, 1:]
            actions = found[:, :1].expand(-1, min(repeat, budget - time), -1)
        for t in range(actions.shape[1]):
            time += 1
            moving = first_hit[active] < 0
            state[active] = torch.where(moving[:, None], world.step(state[active], actions[:, t]), state[active])
            near = (state[active, :2] - goal[active, :2]).norm(dim=-1) <= settings.success_radius
            first_hit[active] = torch.where(moving & near, time, first_hit[active])
    return Reaching(first_hit, (state[:, :2] - goal[:, :2]).norm(dim=-1))


def _observe(world: PointMass, state: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    noise = torch.stack([torch.randn(world.settings.n_noise, generator=g) for g in generators])
    return world.observe(state, noise)


def _cost(
    world: PointMass,
    planner: PointMassModel | str,
    state: Tensor,
    goal: Tensor,
    goal_observation: Tensor,
    generators: Sequence[torch.Generator],
    weight: Tensor | None,
) -> PlannerCost:
    """Distance from the goal at the end of each plan, by the simulator or by a model that sees noisy observations."""
    if not isinstance(planner, PointMassModel):

        def simulated(plans: Tensor) -> Tensor:
            reached = state[:, None].expand(-1, plans.shape[1], -1)
            for t in range(plans.shape[2]):
                reached = world.step(reached, plans[:, :, t])
            return (reached[..., :2] - goal[:, None, :2]).square().sum(-1)

        return simulated

    model = planner
    like = next(model.parameters())  # its device and type
    with torch.no_grad():
        latent = model.encode(_observe(world, state, generators).to(like))
        target = goal_observation.to(like) if weight is not None else model.encode(goal_observation.to(like))

    @torch.no_grad()
    def predicted(plans: Tensor) -> Tensor:
        pairs, candidates = plans.shape[:2]
        first = latent.repeat_interleave(candidates, 0)
        last = model.predict(first, plans.flatten(0, 1).to(like))[:, -1]
        if weight is not None:
            last = model.decode(last)
        error = (last.unflatten(0, (pairs, candidates)) - target[:, None]).square()
        return (error if weight is None else error * weight.to(like)).sum(-1).cpu()

    return predicted
