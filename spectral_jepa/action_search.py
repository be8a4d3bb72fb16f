"""Minimisers of a cost over action sequences, for many episodes at once: CEM, MPPI, AdamW and a categorical CEM.

A cost maps plans (E, S, H, A) (E episodes, S samples, H blocks of A numbers) to (E, S). All random numbers come from one
generator an episode, drawn on the CPU in float32 whatever the device, so that an episode's candidates depend neither on its
company nor on the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from spectral_jepa._shapes import Float, Int
from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_count, check_positive, check_tensor, require_memory

Generators = Sequence[torch.Generator]
# Float32 holds the square of such a spread, or of such a step.
LARGEST = 1e15


@runtime_checkable
class PlannerCost(Protocol):
    """What a search minimises: a callable from plans (E, S, H, A) to costs (E, S)."""

    def __call__(self, plans: Float[Tensor, "E S H A"]) -> Float[Tensor, "E S"]:
        """Costs of all candidates of all episodes.

        Parameters
        ----------
        plans : Tensor (E, S, H, A)

        Returns
        -------
        Tensor (E, S)
            One number a candidate; less is better.
        """
        ...


@checked()
def cross_entropy_method(
    cost: PlannerCost,
    mean: Float[Tensor, "E H A"],
    generators: Generators,
    *,
    n_samples: int,
    n_elites: int,
    n_iterations: int,
    std: float = 1.0,
    unbiased: bool = True,
    spare_draw: bool = True,
    noise: Float[Tensor, "n n"] | None = None,
    project: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "E H A"]:
    """The cross-entropy method as LeWorldModel's code runs it: Gaussian candidates, refitted to the cheapest ones.

    Parameters
    ----------
    cost : callable
        Plans (E, S, H, A) -> (E, S). It may not keep its argument, which is overwritten.
    mean : Tensor (E, H, A)
        First mean; its dtype and device are those of the search.
    generators : E torch.Generator on the CPU
    n_samples, n_elites, n_iterations : int
        S, how many of them the next mean is fitted to, and rounds.
    std : float
        First standard deviation of every coordinate.
    unbiased : bool
        Divide the elites' spread by their number less 1, as the released code of arXiv 2603.19312 does, or by their number.
    spare_draw : bool
        Draw numbers for candidate 0, too, which the mean then replaces: as the released code does, so that its candidates
        are found again.
    noise : Tensor (H A, H A), optional
        Matrix that white noise is multiplied by, all H blocks of a plan in one; its rows have norm 1, so that the spread
        stays what the elites say. Default: white noise, as published.
    project : callable, optional
        Brings candidates (E, S, H, A) into the set of possible actions before they are scored. Default: nothing is clipped.

    Returns
    -------
    Tensor (E, H, A)
        The mean of the last elites.

    Raises
    ------
    InputError
        Another number of generators than episodes, noise of another size than a plan.

    Notes
    -----
    Candidate 0 is the current mean. O(n_iterations E S H A) beside the cost.

    Examples
    --------
    >>> from spectral_jepa._streams import torch_generator
    >>> target = torch.tensor([[[0.3, -0.4]]])
    >>> found = cross_entropy_method(
    ...     lambda plans: (plans - target[:, None]).square().sum((2, 3)), torch.zeros(1, 1, 2), [torch_generator(0)],
    ...     n_samples=100, n_elites=10, n_iterations=15)
    >>> torch.allclose(found, target, atol=1e-3)
    True
    """
    _check_search(mean, generators, n_samples, n_iterations, std)
    check_count("n_elites", n_elites, 1 + unbiased * (n_samples > 1), n_samples, "of the samples")
    length = mean.shape[1] * mean.shape[2]
    if noise is not None and noise.shape != (length, length):
        raise InputError(
            f"noise has shape {tuple(noise.shape)}, expected ({length}, {length}) for plans of {mean.shape[1]} blocks of "
            f"{mean.shape[2]} numbers: fit it to windows of that length"
        )
    mean = mean.clone()
    spread = torch.full_like(mean, std)
    plans = mean.new_empty(mean.shape[0], n_samples, *mean.shape[1:])
    for _ in range(n_iterations):
        fill_normal(plans if spare_draw else plans[:, 1:], generators)
        if noise is not None:
            # An episode at a time: a product of another shape would round differently in another company.
            for row in plans.flatten(2):
                row.copy_(row @ noise.mT)
        plans.mul_(spread[:, None]).add_(mean[:, None])
        plans[:, 0] = mean
        candidates = plans if project is None else project(plans)
        best = cost(candidates).topk(n_elites, dim=1, largest=False).indices
        elites = candidates.take_along_dim(best[:, :, None, None], 1)
        mean, spread = elites.mean(1), elites.std(1, unbiased=unbiased)
    return mean


@checked()
def model_predictive_path_integral(
    cost: PlannerCost,
    mean: Float[Tensor, "E H A"],
    generators: Generators,
    *,
    n_samples: int,
    n_iterations: int,
    temperature: float = 0.1,
    std: float = 1.0,
) -> Float[Tensor, "E H A"]:
    """MPPI: the mean of all candidates, weighted by exp(-cost / temperature); the spread never changes.

    Parameters
    ----------
    cost, mean, generators, n_samples, n_iterations, std
        As in :func:`cross_entropy_method`.
    temperature : float
        In units of the standard deviation of the candidates' costs, because latent costs have no scale of their own: small
        picks the cheapest candidate, large averages them all.

    Returns
    -------
    Tensor (E, H, A)
        The last mean.

    Raises
    ------
    InputError
        Another number of generators than episodes.

    Notes
    -----
    Candidate 0 is the current mean. O(n_iterations E S H A) beside the cost. Information-theoretic MPC (Williams et al.,
    arXiv 1707.02342) with covariance ``std**2 I`` and without its control cost.

    Examples
    --------
    A cost that rises by 1 a unit, reweighted at temperature 1: a step moves the mean of N(m, 1) to that of
    exp(-x) N(m, 1), which is m - 1.

    >>> from spectral_jepa._streams import torch_generator
    >>> found = model_predictive_path_integral(
    ...     lambda plans: plans.sum((2, 3)), torch.zeros(1, 1, 1), [torch_generator(0)],
    ...     n_samples=100_000, n_iterations=3, temperature=1.0)
    >>> round(float(found), 1)
    -3.0
    """
    _check_search(mean, generators, n_samples, n_iterations, std)
    check_positive("temperature", temperature)
    mean = mean.clone()
    plans = mean.new_empty(mean.shape[0], n_samples, *mean.shape[1:])
    for _ in range(n_iterations):
        fill_normal(plans, generators).mul_(std).add_(mean[:, None])
        plans[:, 0] = mean
        costs = cost(plans)
        scale = temperature * costs.std(1, keepdim=True).clamp_min(torch.finfo(costs.dtype).tiny)
        weight = torch.softmax(-(costs - costs.amin(1, keepdim=True)) / scale, dim=1).to(plans.dtype)
        # Not einsum: a batched product rounds differently in another company.
        mean = plans.mul_(weight[:, :, None, None]).sum(1)
    return mean


@checked()
def adam(
    cost: PlannerCost,
    mean: Float[Tensor, "E H A"],
    generators: Generators,
    *,
    n_samples: int,
    n_iterations: int,
    learning_rate: float = 0.1,
    std: float = 1.0,
) -> Float[Tensor, "E H A"]:
    """Gradient planning: AdamW moves every candidate by itself; the cheapest of the last ones is the plan.

    Parameters
    ----------
    cost, mean, generators, n_samples, n_iterations, std
        As in :func:`cross_entropy_method`; the cost must be differentiable.
    learning_rate : float
        Length of a first step in every coordinate, in units of the actions.

    Returns
    -------
    Tensor (E, H, A)
        The cheapest candidate after the last step, not the cheapest ever seen.

    Raises
    ------
    InputError
        Another number of generators than episodes.

    Notes
    -----
    O(n_iterations E S H A) beside the cost and its gradient. The published alternative has 100 samples, 30 iterations,
    learning rate .1 and AdamW's other defaults. Candidates start at N(mean, std^2), candidate 0 at the mean.

    Examples
    --------
    The first step of Adam has length ``learning_rate`` in every coordinate, against the sign of the gradient.

    >>> from spectral_jepa._streams import torch_generator
    >>> target = torch.tensor([[[3.0, -4.0]]])
    >>> adam(
    ...     lambda plans: (plans - target[:, None]).square().sum((2, 3)), torch.zeros(1, 1, 2), [torch_generator(0)],
    ...     n_samples=1, n_iterations=1)
    tensor([[[ 0.1000, -0.1000]]])
    """
    _check_search(mean, generators, n_samples, n_iterations, std)
    if not 0 <= learning_rate <= LARGEST:
        raise InputError(f"learning_rate is {learning_rate:.4g}, expected a number between 0 and {LARGEST:g}: .1 is common")
    plans = mean.new_empty(mean.shape[0], n_samples, *mean.shape[1:])
    fill_normal(plans, generators).mul_(std).add_(mean[:, None])
    plans[:, 0] = mean
    with torch.inference_mode(False), torch.enable_grad():
        plans = plans.clone().requires_grad_()
        optimizer = torch.optim.AdamW([plans], lr=learning_rate)
        for _ in range(n_iterations):
            # Only the plans' gradient is asked for: the model's parameters collect none.
            (plans.grad,) = torch.autograd.grad(cost(plans).sum(), plans)
            optimizer.step()
        plans = plans.detach()
    with torch.no_grad():
        best = cost(plans).argmin(1)
    return plans[torch.arange(len(plans), device=plans.device), best]


@checked()
def categorical_cross_entropy_method(
    cost: PlannerCost,
    n_episodes: int,
    generators: Generators,
    *,
    horizon: int,
    n_actions: int,
    n_samples: int = 300,
    n_elites: int = 30,
    n_iterations: int = 30,
    smoothing: float = 0.1,
    device: torch.device | str = "cpu",
) -> Int[Tensor, "E H"]:
    """The cross-entropy method for discrete actions: independent categorical laws, refitted to the elites' frequencies.

    Parameters
    ----------
    cost : callable
        One-hot plans (E, S, horizon, n_actions) -> (E, S).
    n_episodes : int
    generators : E torch.Generator on the CPU
    horizon, n_actions : int
        Actions of a plan, and how many actions there are.
    n_samples, n_elites, n_iterations : int
        Candidates of a round, those its laws are refitted to, and rounds.
    smoothing : float in [0, 1)
        Share of the old law kept at each refit, so that an action is not lost for ever because one round had none.
    device : torch.device or str
        Where the cost is evaluated.

    Returns
    -------
    integer Tensor (E, horizon)
        The cheapest sequence that was ever scored: the mode of the last laws may mix two good routes into a bad one.

    Raises
    ------
    InputError
        A count out of range, another number of generators than episodes, plans that would not fit in memory.

    Notes
    -----
    Candidate 0 is the mode. Rubinstein's method for combinatorial problems. O(n_iterations E S horizon n_actions).

    Examples
    --------
    >>> from spectral_jepa._streams import torch_generator
    >>> wanted = torch.eye(4)[torch.tensor([2, 0, 3])]
    >>> categorical_cross_entropy_method(
    ...     lambda plans: (plans - wanted).square().sum((2, 3)), 1, [torch_generator(0)], horizon=3, n_actions=4)
    tensor([[2, 0, 3]])
    """
    sizes = dict(n_episodes=n_episodes, horizon=horizon, n_actions=n_actions, n_samples=n_samples, n_iterations=n_iterations)
    for name, size in sizes.items():
        check_count(name, size)
    check_count("n_elites", n_elites, 1, n_samples, "of the samples")
    if not 0 <= smoothing < 1:
        raise InputError(f"smoothing is {smoothing:.4g}, expected a number in [0, 1): the share of the old law that stays")
    _check_generators(generators, n_episodes)
    require_memory((n_episodes, n_samples, horizon, n_actions), "the table of plans", "lower n_samples", copies=2)
    law = torch.full((n_episodes, horizon, n_actions), 1 / n_actions)
    best = torch.zeros(n_episodes, horizon, dtype=torch.long)
    least = torch.full((n_episodes,), torch.inf)
    for _ in range(n_iterations):
        uniform = torch.stack([torch.rand(n_samples, horizon, 1, generator=g) for g in generators])
        # Inverse of the cumulative law; the clamp guards against a cumulative sum that rounds to just below 1.
        actions = (uniform > law.cumsum(-1)[:, None]).sum(-1).clamp_(max=n_actions - 1)
        actions[:, 0] = law.argmax(-1)
        plans = torch.nn.functional.one_hot(actions, n_actions).to(torch.float32)
        costs = cost(plans.to(device)).to("cpu", torch.float32)
        elites = costs.topk(n_elites, dim=1, largest=False).indices
        frequency = plans.take_along_dim(elites[:, :, None, None], 1).mean(1)
        law = smoothing * law + (1 - smoothing) * frequency
        cheapest, where = costs.min(1)
        improved = cheapest < least
        best[improved] = actions[torch.arange(n_episodes), where][improved]
        least = torch.minimum(least, cheapest)
    return best


@checked()
def fill_normal(target: Tensor, generators: Generators) -> Tensor:
    """Fill a tensor with standard normal numbers, ``target[e]`` from generator e, in place.

    Parameters
    ----------
    target : Tensor (E, ...)
        Of any type and device.
    generators : E torch.Generator on the CPU

    Returns
    -------
    Tensor (E, ...)
        ``target`` itself.

    Raises
    ------
    InputError
        Another number of generators than episodes.

    Notes
    -----
    O(size of ``target``). Drawn on the CPU in float32, then rounded or moved: the numbers do not depend on the device.

    Examples
    --------
    An episode gets the same numbers alone and beside another one.

    >>> from spectral_jepa._streams import torch_generator
    >>> alone = fill_normal(torch.empty(1, 3), [torch_generator(7)])
    >>> beside = fill_normal(torch.empty(2, 3, dtype=torch.float64), [torch_generator(6), torch_generator(7)])
    >>> torch.equal(alone[0].double(), beside[1])
    True
    """
    check_tensor("target", target, "... E" if target.ndim else "E")
    _check_generators(generators, len(target))
    if target.device.type == "cpu" and target.dtype == torch.float32:
        for row, generator in zip(target, generators, strict=True):
            torch.randn(row.shape, generator=generator, out=row)
        return target
    noise = torch.empty(target.shape, pin_memory=target.device.type == "cuda")
    fill_normal(noise, generators)
    return target.copy_(noise, non_blocking=True)


def _check_search(mean: Tensor, generators: Generators, n_samples: int, n_iterations: int, std: float) -> None:
    """What all searches from a first mean ask for."""
    check_tensor("mean", mean, "E H A")
    _check_generators(generators, len(mean))
    check_count("n_samples", n_samples)
    check_count("n_iterations", n_iterations)
    if not 0 <= std <= LARGEST:
        raise InputError(f"std is {std:.4g}, expected a number between 0 and {LARGEST:g}: 1 is common")
    require_memory((n_samples, *mean.shape), "the table of plans", "lower n_samples", copies=2)


def _check_generators(generators: Generators, n_episodes: int) -> None:
    if len(generators) != n_episodes:
        raise InputError(f"got {len(generators)} generators for {n_episodes} episodes, expected one each: make more")
