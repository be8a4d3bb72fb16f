"""Singular values of every family, with the closed form where there is one.

For each world: the exact spectrum of one action's normalised co-occurrence, its closed form (docs/theory.md, 2.8-2.9), and
the spectrum of plug-in counts from a finite log, which shows where sampling noise drowns the tail. Frozen Lake and Taxi are
read from Gymnasium.
"""

import gymnasium as gym
import numpy as np

import spectral_jepa as sj


def ring_kernel(n_states=24, slip=0.4):
    """Law of the displacement of a ring with a symmetric slip."""
    kernel = np.zeros(n_states)
    kernel[[0, 1, -1]] = 1 - slip, slip / 2, slip / 2
    return kernel


def block_with_closed_form(**options):
    """A block MDP and the spectrum of its latent chain."""
    mdp = sj.make_block(seed=0, **options)
    latent, weight = sj.latent_chain(mdp)
    return mdp, sj.block_singular_values(latent[0], weight, mdp.n_states)


def torus_with_closed_form(side=6, slip=0.3):
    """A torus and |FFT| of its displacement law."""
    kernel = np.zeros((side, side))
    kernel[0, 0] = 1 - slip
    for row, column in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        kernel[row, column] += slip / 4
    return sj.make_torus(side, slip), sj.circulant_singular_values(kernel)


def nuisance_with_closed_form(kind):
    """A 5-cycle with slip .3, seen through 4 nuisance values."""
    task = sj.make_ring(5, 0.3)
    kernel = ring_kernel(5, 0.3)
    spectrum = sj.nuisance_singular_values(sj.circulant_singular_values(kernel), 4, kind, persistence=0.8)
    return sj.with_nuisance(task, 4, kind, persistence=0.8), spectrum


def permutation_with_closed_form():
    """A permutation: every singular value is 1."""
    mdp = sj.make_permutation(12, 2, seed=0)
    return mdp, sj.deterministic_singular_values(mdp.transition[0].argmax(axis=1))


def horizon_with_closed_form(n_steps=4):
    """A symmetric kernel repeated: s^H."""
    ring = sj.make_ring(24, 0.4, n_actions=1)
    return sj.with_horizon(ring, n_steps), sj.horizon_singular_values(sj.circulant_singular_values(ring_kernel()), n_steps)


def autoregressive_with_closed_form():
    """AR(1): rho^i."""
    return sj.make_autoregressive(21, 0.8), sj.autoregressive_singular_values(21, 0.8)


def gymnasium(name, **options):
    """An environment of Gymnasium: a closed form only when it is deterministic, ones for each state that is reached."""
    mdp = sj.TabularMDP.from_gymnasium(gym.make(name, **options))
    return mdp, sj.deterministic_singular_values(mdp.transition[0].argmax(axis=1)) if mdp.is_deterministic else None


def reset_with_closed_form():
    """Every row of an action is the same law: rank one."""
    return sj.make_reset(8, 0.2), np.eye(8)[0]


FAMILIES = {
    "ring 24, slip .4": lambda: (sj.make_ring(24, 0.4), sj.circulant_singular_values(ring_kernel())),
    "ring, 4 steps ahead": horizon_with_closed_form,
    "torus 6 x 6, slip .3": torus_with_closed_form,
    "two states": lambda: (sj.make_two_state(0.3, 0.2), sj.two_state_singular_values(0.3, 0.2)),
    "permutation": permutation_with_closed_form,
    "reset": reset_with_closed_form,
    "autoregressive .8": autoregressive_with_closed_form,
    "block 5": block_with_closed_form,
    "block 5 + 10 % noise": lambda: (sj.make_block(noise=0.1, seed=0), None),
    "low rank 8": lambda: (sj.make_low_rank(seed=0), None),
    "garnet": lambda: (sj.make_garnet(60, 4, 5, seed=0), None),
    "dirichlet": lambda: (sj.make_dirichlet(60, 4, seed=0), None),
    "5-cycle x i.i.d. nuisance": lambda: nuisance_with_closed_form("iid"),
    "5-cycle x markov nuisance": lambda: nuisance_with_closed_form("markov"),
    "5-cycle x frozen nuisance": lambda: nuisance_with_closed_form("frozen"),
    "four rooms": lambda: (sj.make_four_rooms(11, slip=0.2), None),
    "frozen lake 8x8": lambda: gymnasium("FrozenLake-v1", map_name="8x8"),
    "frozen lake 8x8, no slip": lambda: gymnasium("FrozenLake-v1", map_name="8x8", is_slippery=False),
    "cliff walking": lambda: gymnasium("CliffWalking-v1"),
    "taxi": lambda: gymnasium("Taxi-v4"),
}
PRESETS = {
    "quick": {"family": list(FAMILIES), "n_per_action": 20_000, "seed": 0},
    "paper": {"family": list(FAMILIES), "n_per_action": 200_000, "seed": 0},
}


def run_cell(family, n_per_action, seed):
    """The spectrum of action 0: a row for each singular value."""
    mdp, closed_form = FAMILIES[family]()
    exact = sj.spectrum(sj.CoOccurrence.exact(mdp))[0]
    data = sj.sample_transitions(mdp, n_per_action, seed=seed)
    sampled = sj.spectrum(sj.CoOccurrence.from_transitions(data))[0]
    rows = []
    for i, value in enumerate(exact):
        row = {"index": i + 1, "n_states": mdp.n_states, "n_actions": mdp.n_actions, "exact": float(value)}
        row |= {"sampled": float(sampled[i]), "closed_form": None if closed_form is None else float(closed_form[i])}
        rows.append(row)
    return rows
