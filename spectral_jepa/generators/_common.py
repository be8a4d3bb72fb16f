"""What the generator families share: the seed, the reward convention, and two checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from spectral_jepa._validation import Array, check_count, check_positive, check_seed, require_memory

__all__ = ["check_positive"]

Seed = int | np.random.Generator

REWARD_DISCOUNT = 0.9


def as_generator(seed: Any) -> np.random.Generator:
    """One generator for a whole instance; ``None`` is refused because the instance could not be made again."""
    return np.random.default_rng(check_seed("seed", seed, generator=True))


def draw_reward(rng: np.random.Generator, n_states: int, n_rewarded: int | None) -> Array:
    """U(0,1) on ``n_rewarded`` random states (default: a tenth, at least one), 0 elsewhere (docs/theory.md, section 7)."""
    count = max(1, round(n_states / 10)) if n_rewarded is None else check_count("n_rewarded", n_rewarded, 0, n_states)
    reward = np.zeros(n_states)
    reward[rng.choice(n_states, size=count, replace=False)] = rng.uniform(size=count)
    return reward


def require_dense(n_actions: int, n_states: int, instead: str = "use fewer states or actions") -> None:
    """Refuse a dense (A, S, S) transition that would not fit."""
    # As it is made, and as the read-only copy that the MDP keeps.
    require_memory((n_actions, n_states, n_states), "the transition", instead, copies=2)


def circulant_shift(kernel: Array, shift: tuple[int, ...]) -> Array:
    """P[x, y] = kernel[(y - x - shift) mod shape] on a ring (1-D kernel) or a torus (2-D kernel), shape (S, S)."""
    coordinates = np.stack(np.unravel_index(np.arange(kernel.size), kernel.shape))
    displacement = coordinates[:, None, :] - coordinates[:, :, None] - np.asarray(shift)[:, None, None]
    wrapped = displacement % np.asarray(kernel.shape)[:, None, None]
    return kernel[tuple(wrapped)]
