"""What the generator families share: the seed, the reward convention, and two checks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spectral_jepa._validation import Array, InputError, as_number, check_count, require_memory

Seed = int | np.random.Generator

REWARD_DISCOUNT = 0.9


def as_generator(seed: Any) -> np.random.Generator:
    """One generator for a whole instance; ``None`` is refused because the instance could not be made again."""
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed is {seed!r}, expected a whole number >= 0 or a numpy Generator: pass seed=0")
    return np.random.default_rng(int(seed))


def check_positive(name: str, value: Any) -> float:
    """Check that a number is finite and > 0."""
    number = as_number(name, value)
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"{name} is {number:.6g}, expected a finite number > 0: choose one in that range")
    return number


def draw_reward(rng: np.random.Generator, n_states: int, n_rewarded: int | None) -> Array:
    """U(0,1) on ``n_rewarded`` random states (default: a tenth, at least one), 0 elsewhere (docs/theory.md, section 7)."""
    count = max(1, round(n_states / 10)) if n_rewarded is None else check_count("n_rewarded", n_rewarded, 0, n_states)
    reward = np.zeros(n_states)
    reward[rng.choice(n_states, size=count, replace=False)] = rng.uniform(size=count)
    return reward


def require_dense(n_actions: int, n_states: int, instead: str = "use fewer states or actions") -> None:
    """Refuse a dense (A, S, S) transition that would not fit."""
    require_memory((n_actions, n_states, n_states), "the transition", instead)


def circulant_shift(kernel: Array, shift: tuple[int, ...]) -> Array:
    """P[x, y] = kernel[(y - x - shift) mod shape] on a ring (1-D kernel) or a torus (2-D kernel), shape (S, S)."""
    coordinates = np.stack(np.unravel_index(np.arange(kernel.size), kernel.shape))
    displacement = coordinates[:, None, :] - coordinates[:, :, None] - np.asarray(shift)[:, None, None]
    wrapped = displacement % np.asarray(kernel.shape)[:, None, None]
    return kernel[tuple(wrapped)]
