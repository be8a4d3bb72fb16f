"""Planning in latent space: actions whose predicted latents come nearest to the goal's.

The model needs one method only, ``rollout(latents (N, h, D), blocks (N, H, block_dim)) -> (N, H, D)``; with h > 1 also
``past_blocks (N, h - 1, block_dim)``, the blocks between the given latents. Frames are encoded once, by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from spectral_jepa._parts import find_part, part_name
from spectral_jepa._shapes import Float, Int
from spectral_jepa._validation import InputError, check_choice, check_count, require_memory
from spectral_jepa.action_search import (
    Generators,
    PlannerCost,
    adam,
    categorical_cross_entropy_method,
    cross_entropy_method,
    fill_normal,
    model_predictive_path_integral,
)
from spectral_jepa.pixels.config import COSTS, PlanningConfig
from spectral_jepa.pixels.interfaces import Rollout
from spectral_jepa.pixels.planning.pooled_score import PooledScore

# Settings of a policy that has pictures and a model.
MODEL_ONLY = ("history", "proposal", "noise", "compile")
METHODS = ("cem", "mppi", "adam", "random")
# Sequences that one call of the model sees on a GPU. On a CPU it is the samples of one episode: they fit the cache, and
# every matrix product then has the same shape whatever the number of episodes, so that plans are the same bit for bit.
CUDA_CHUNK = 2**16


def plan(
    model: Rollout,
    config: PlanningConfig,
    latents: Float[Tensor, "E *h D"],
    goals: Float[Tensor, "E D"],
    generators: Generators,
    *,
    block_dim: int | None = None,
    past_blocks: Float[Tensor, "E p A"] | None = None,
    chunk: int | None = None,
    score: PooledScore | None = None,
    mean: Float[Tensor, "E H A"] | None = None,
    noise: Float[Tensor, "n n"] | None = None,
) -> Float[Tensor, "E H A"]:
    """Plan for many episodes at once.

    Parameters
    ----------
    model : WorldModel, or anything with its ``rollout``
        In evaluation mode.
    config : PlanningConfig
        The defaults are the published cross-entropy method; the published gradient planner is
        ``PlanningConfig(method="adam", n_samples=100)``. "random" draws N(0, initial_std^2) and asks no model. ``history``,
        ``warm_start``, ``proposal``, ``noise`` and ``compile`` are the policy's: they come as ``latents``, ``mean``,
        ``noise`` and ``model``.
    latents : Tensor (E, D), or (E, h, D) with the h last observed frames
    goals : Tensor (E, D)
    generators : E torch.Generator on the CPU
        One an episode (:func:`~spectral_jepa._streams.torch_generator`).
    block_dim : int, optional
        Numbers in an action block, ``action_block * action_dim``. Default: ``model.block_dim``.
    past_blocks : Tensor (E, h - 1, block_dim), optional
        Needed for h > 1.
    chunk : int, optional
        Largest number of sequences in one call of the model. Default: ``n_samples`` on a CPU, 65,536 on a GPU.
    score : PooledScore, optional
        What to maximise. Default: minus the published squared distance, which prefers unpredictable outcomes where the world
        is left to chance (docs/negatives.md).
    mean : Tensor (E, horizon, block_dim), optional
        Where the search begins. Default: 0, the mean of the training actions. "random" has none.
    noise : Tensor (horizon block_dim, horizon block_dim), optional
        As in :func:`spectral_jepa.action_search.cross_entropy_method`; "cem" only. Default: white.

    Returns
    -------
    Tensor (E, horizon, block_dim)
        The planned blocks, in the model's (z-scored) action units; the first ``execute`` of them are to be carried out.

    Raises
    ------
    InputError
        Settings or shapes that do not fit; plans that do not fit in memory, or a GPU out of memory.

    Notes
    -----
    Plans do not depend on the number of episodes planned for together: bit for bit where the chunk is at most ``n_samples``
    (always on a CPU by default), up to the rounding of matrix products of another shape where it is larger.
    O(n_iterations E n_samples) rollouts.

    Examples
    --------
    >>> from spectral_jepa._streams import torch_generator
    >>> class Adder:  # z_{t+1} = z_t + a_t
    ...     def rollout(self, latents, blocks):
    ...         return latents[:, -1:] + blocks.cumsum(1)
    >>> goal = torch.tensor([[2.0, -1.0]])
    >>> blocks = plan(Adder(), PlanningConfig(), torch.zeros(1, 2), goal, [torch_generator(0)], block_dim=2)
    >>> blocks.shape, torch.allclose(blocks.sum(1), goal, atol=1e-2)
    (torch.Size([1, 5, 2]), True)
    """
    check_settings(config)
    n_episodes = len(latents)
    width = check_count("block_dim", getattr(model, "block_dim", None) if block_dim is None else block_dim)
    instead = "lower planning.n_samples or planning.horizon"
    require_memory((n_episodes, config.n_samples, config.horizon, width), "a search among plans", instead)
    first = latents.new_zeros(n_episodes, config.horizon, width)
    if mean is not None:
        if config.method == "random" or mean.shape != first.shape:
            raise InputError(
                f"mean has shape {tuple(mean.shape)} for method {config.method!r}, expected {tuple(first.shape)} and a "
                "search that begins somewhere (not 'random'): pass one block for each of the horizon, or leave it out"
            )
        first = mean.to(first)
    sizes: dict[str, Any] = {"n_samples": config.n_samples, "n_iterations": config.n_iterations, "std": config.initial_std}
    if config.method == "random":
        return fill_normal(first, generators).mul_(config.initial_std)
    search = torch.no_grad() if config.method == "adam" else torch.inference_mode()
    with search, _precision(config.precision, latents.device):
        cost = latent_cost(model, latents, goals, past_blocks, chunk, score, config.cost)
        try:
            if config.method == "cem":
                return cross_entropy_method(cost, first, generators, n_elites=config.n_elites, noise=noise, **sizes)
            if config.method == "mppi":
                return model_predictive_path_integral(cost, first, generators, temperature=config.temperature, **sizes)
            return adam(cost, first, generators, learning_rate=config.learning_rate, **sizes)
        except torch.cuda.OutOfMemoryError:
            raise InputError(
                f"the GPU ran out of memory planning for {n_episodes} episodes x {config.n_samples} samples: "
                f"halve chunk (it is {chunk or CUDA_CHUNK})"
            ) from None


def plan_discrete(
    model: Rollout,
    config: PlanningConfig,
    latents: Float[Tensor, "E *h D"],
    goals: Float[Tensor, "E D"],
    generators: Generators,
    *,
    n_actions: int,
    past_blocks: Float[Tensor, "E p A"] | None = None,
    chunk: int | None = None,
    score: PooledScore | None = None,
) -> Int[Tensor, "E n"]:
    """:func:`plan` for discrete actions: the model's blocks are one-hot vectors, the search a categorical CEM.

    Parameters
    ----------
    model, config, latents, goals, generators, past_blocks, chunk, score
        As in :func:`plan`; ``config.method`` must be "cem", and ``initial_std`` is not read. The search has no first mean.
    n_actions : int
        Length of the one-hot blocks, at least 2.

    Returns
    -------
    integer Tensor (E, execute)
        Action numbers.

    Raises
    ------
    InputError
        Another method than "cem", a setting that only continuous actions have, settings or shapes that do not fit.

    Notes
    -----
    O(n_iterations E n_samples) rollouts. Source: ours; the published planner (arXiv 2603.19312) has continuous actions only.

    Examples
    --------
    Action 1 adds 1 to the latent, action 0 takes 1 away: from 0 to 5 in five steps.

    >>> from spectral_jepa._streams import torch_generator
    >>> class Line:
    ...     def rollout(self, latents, blocks):
    ...         return latents[:, -1:] + (blocks @ torch.tensor([[-1.0], [1.0]])).cumsum(1)
    >>> start, goal = torch.zeros(1, 1), torch.full((1, 1), 5.0)
    >>> plan_discrete(Line(), PlanningConfig(n_iterations=5), start, goal, [torch_generator(0)], n_actions=2)
    tensor([[1, 1, 1, 1, 1]])
    """
    check_settings(config)
    check_choice("method", config.method, ("cem",))
    check_defaults(config, (*MODEL_ONLY, "warm_start"), "a search among discrete actions")
    with torch.inference_mode(), _precision(config.precision, latents.device):
        found = categorical_cross_entropy_method(
            latent_cost(model, latents, goals, past_blocks, chunk, score, config.cost),
            len(latents),
            generators,
            horizon=config.horizon,
            n_actions=check_count("n_actions", n_actions, 2),
            n_samples=config.n_samples,
            n_elites=config.n_elites,
            n_iterations=config.n_iterations,
            device=latents.device,
        )
    return found[:, : config.execute]


def latent_cost(
    model: Rollout,
    latents: Float[Tensor, "E *h D"],
    goals: Float[Tensor, "E D"],
    past_blocks: Float[Tensor, "E p A"] | None = None,
    chunk: int | None = None,
    score: PooledScore | None = None,
    kind: str | Callable[..., Any] = "end",
) -> PlannerCost:
    """Squared distances, summed over coordinates, of the predicted latents and the goal's.

    Parameters
    ----------
    model, latents, goals, past_blocks, chunk, score
        As in :func:`plan`.
    kind : {"end", "sum", "closest"} or callable
        Of the last predicted latent (published), summed over all blocks, or the least over them; or one's own, as
        ``config.cost`` has it.

    Returns
    -------
    callable
        Plans (E, S, H, block_dim) -> costs (E, S).

    Raises
    ------
    InputError
        An unknown kind, one's own beside a score, goals of another shape than the latents, or no blocks between several
        latents.

    Notes
    -----
    E S rollouts of H steps a call. Source: LeWM, arXiv 2603.19312, planning, and its released code. "sum" asks to be there
    early, "closest" lets a plan pass by the goal: an episode counts as solved if any of its states does.

    Examples
    --------
    Two plans from (0, 0) to (3, 4): one stays where it is, one arrives.

    >>> class Adder:  # z_{t+1} = z_t + a_t
    ...     def rollout(self, latents, blocks):
    ...         return latents[:, -1:] + blocks.cumsum(1)
    >>> cost = latent_cost(Adder(), torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    >>> cost(torch.tensor([[[[0.0, 0.0]], [[3.0, 4.0]]]]))
    tensor([[25.,  0.]])
    """
    kind = part_name("cost", kind, COSTS)
    own = None if kind in COSTS else find_part("cost", kind)
    if own is not None and score is not None:
        raise InputError(
            f"cost is {kind!r} and a score was given, expected one of them, because each ranks plans: leave one out"
        )
    latents = latents[:, None] if latents.ndim == 2 else latents
    n_episodes, history, dim = latents.shape
    if goals.shape != (n_episodes, dim):
        raise InputError(
            f"goals have shape {tuple(goals.shape)}, expected ({n_episodes}, {dim}) as the latents: "
            "encode one goal an episode"
        )
    if (past_blocks is None) != (history == 1) or (past_blocks is not None and past_blocks.shape[1] != history - 1):
        got = "no past_blocks" if past_blocks is None else f"past_blocks of shape {tuple(past_blocks.shape)}"
        raise InputError(f"got {got} for {history} latents, expected {history - 1} blocks: pass those between the latents")

    def cost(plans: Float[Tensor, "E S H A"]) -> Float[Tensor, "E S"]:
        n_samples = plans.shape[1]
        limit = chunk or (CUDA_CHUNK if plans.is_cuda else n_samples)
        episodes, samples = max(1, limit // n_samples), min(limit, n_samples)
        rows = []
        for part in (slice(e, e + episodes) for e in range(0, n_episodes, episodes)):
            past = None if past_blocks is None else past_blocks[part]
            pieces = plans[part].split(samples, 1)
            ends = latents[part], goals[part]
            rows.append(torch.cat([_costs(model, *ends, past, piece, score, kind, own) for piece in pieces], 1))
        return torch.cat(rows)

    return cost


def _costs(
    model: Rollout,
    latents: Float[Tensor, "E h D"],
    goals: Float[Tensor, "E D"],
    past: Float[Tensor, "E p A"] | None,
    plans: Float[Tensor, "E S H A"],
    score: PooledScore | None,
    kind: str,
    own: Callable[..., Tensor] | None,
) -> Float[Tensor, "E S"]:
    """Costs (E, S) by one call of the model."""
    shape = plans.shape[:2]

    def repeat(value: Tensor) -> Tensor:  # a view where there is one episode
        return value[:, None].expand(*shape, *value.shape[1:]).flatten(0, 1)

    more = () if past is None else (repeat(past),)
    predicted = model.rollout(repeat(latents), plans.flatten(0, 1), *more)
    predicted = (predicted[:, -1:] if kind == "end" else predicted).unflatten(0, shape)
    wanted = goals[:, None, None]
    if own is not None:
        found = own(predicted, wanted)
        if not isinstance(found, Tensor) or found.shape != shape:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"the cost {kind} gave {got} for latents of shape {tuple(predicted.shape)}, expected a tensor of one cost a "
                f"plan, {tuple(shape)}: sum or average over blocks and coordinates"
            )
        return found
    costs = (predicted - wanted).square().sum(-1) if score is None else -score(predicted, wanted)
    return costs.amin(-1) if kind == "closest" else costs.sum(-1)


def check_settings(config: PlanningConfig) -> None:
    """Refuse planner settings that contradict each other.

    Parameters
    ----------
    config : PlanningConfig

    Raises
    ------
    InputError
        An unknown method, a count below 1, more blocks to execute than the horizon has, fewer than 2 elites ("cem") or more
        than samples, a warm start beside a proposal.

    Examples
    --------
    >>> check_settings(PlanningConfig(n_elites=2))
    >>> check_settings(PlanningConfig(n_elites=1))
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: n_elites is 1, expected between 2 and 300 (n_samples; one elite has no spread): ...
    """
    check_choice("method", config.method, METHODS)
    check_count("horizon", config.horizon)
    check_count("execute", config.execute, 1, config.horizon, "the horizon")
    check_count("n_iterations", config.n_iterations)
    check_count("n_samples", config.n_samples)
    if config.method == "cem":
        check_count("n_elites", config.n_elites, 2, config.n_samples, "n_samples; one elite has no spread")
    if config.warm_start and config.proposal != "none":
        raise InputError(
            f"warm_start is True and proposal is {config.proposal!r}, expected one of them, because each says where the "
            "search begins: leave one out"
        )


def check_defaults(config: PlanningConfig, names: Sequence[str], whom: str) -> None:
    """Refuse settings that a planner has no use for.

    Parameters
    ----------
    config : PlanningConfig
    names : sequence of str
        The settings.
    whom : str
        Of whom the message speaks.

    Raises
    ------
    InputError
        One of them that is not at its default.

    Examples
    --------
    >>> check_defaults(PlanningConfig(cost="sum"), ["history"], "the simulator")
    >>> check_defaults(PlanningConfig(history=3), ["history"], "the simulator")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: planning.history is 3 for the simulator, expected 1: it has no use for another ...
    """
    default = PlanningConfig()
    for name in names:
        value, usual = getattr(config, name), getattr(default, name)
        if value != usual:
            raise InputError(
                f"planning.{name} is {value!r} for {whom}, expected {usual!r}: it has no use for another value, leave it out"
            )


def _precision(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to bf16 on a GPU; on a CPU bf16 is slower than float32, so it is not used there."""
    check_choice("precision", precision, ("bf16", "float32"))
    if precision == "bf16" and device.type == "cuda":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
