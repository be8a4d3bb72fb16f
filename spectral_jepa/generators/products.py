"""New worlds from old ones: a nuisance beside the task, predictions several steps ahead, a reward where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spectral_jepa._late import sparse as sp
from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, check_choice, check_count, check_fraction, check_whole, require_memory
from spectral_jepa.generators._common import REWARD_DISCOUNT, Seed, as_generator, require_dense
from spectral_jepa.mdp import TabularMDP

# A reward is summed, and a sparse power formed, one step after the other.
MAX_STEPS = 100_000
NUISANCE_KINDS = ("iid", "markov", "frozen")


@checked()
def with_nuisance(
    mdp: TabularMDP,
    n_values: int,
    kind: str = "iid",
    *,
    persistence: float = 0.9,
    seed: Seed | None = None,
) -> TabularMDP:
    """Observe the task together with a nuisance that no action moves and no reward depends on.

    The nuisance keeps its value with probability c and is drawn afresh from its law otherwise: c = 0 is "iid", c = 1 is
    "frozen", and ``persistence`` is the c of "markov". Its singular values are 1, c, ..., c, so the product has s_i once
    and c s_i repeated n_values - 1 times for each s_i of the task.

    Parameters
    ----------
    mdp : TabularMDP
        The task, S states.
    n_values : int
        Number of nuisance values m. State s with nuisance v gets the id ``s * m + v``.
    kind : {"iid", "markov", "frozen"}
        How the nuisance moves.
    persistence : float in [0, 1]
        Probability of keeping the value, used by "markov" alone.
    seed : int or Generator, optional
        Draws the law of the nuisance from Dirichlet(5). Default: the uniform law, nothing random.

    Returns
    -------
    TabularMDP
        S * m states; ``weight`` and ``start`` are products, the reward ignores the nuisance, sparse input stays sparse,
        ``state_labels`` holds (task label, value).

    Raises
    ------
    InputError
        An unknown ``kind``, a number out of range, or a dense product that does not fit in memory.

    Notes
    -----
    O(A S^2 m^2) dense, O(non-zeros * m^2) sparse (times m when frozen). Source: docs/theory.md, sections 2.9 and 6.

    Examples
    --------
    >>> from spectral_jepa.generators import make_ring
    >>> mdp = with_nuisance(make_ring(n_states=5), 4, "frozen")
    >>> mdp.n_states, mdp.state_labels[6]
    (20, (1, 2))
    """
    check_choice("kind", kind, NUISANCE_KINDS)
    n_values, persistence = check_count("n_values", n_values), check_fraction("persistence", persistence)
    n_states = mdp.n_states * n_values
    if isinstance(mdp.transition, tuple):
        size = (sum(rows.nnz for rows in mdp.transition), n_values, n_values)
        require_memory(size, "the product with its nuisance", "use fewer values", copies=2)
    else:
        require_dense(mdp.n_actions, n_states, "pass mdp.as_sparse() or use fewer values")
    law = np.full(n_values, 1 / n_values) if seed is None else as_generator(seed).dirichlet(np.full(n_values, 5.0))
    keep = {"iid": 0.0, "markov": persistence, "frozen": 1.0}[kind]
    nuisance = keep * np.eye(n_values) + (1 - keep) * law
    transition: Array | tuple[sp.csr_array, ...]
    if isinstance(mdp.transition, tuple):
        transition = tuple(sp.csr_array(sp.kron(rows, sp.csr_array(nuisance), format="csr")) for rows in mdp.transition)
    else:
        transition = np.asarray(np.kron(mdp.transition, nuisance[None]), dtype=np.float64)
    labels = range(mdp.n_states) if mdp.state_labels is None else mdp.state_labels
    return replace(
        mdp,
        transition=transition,
        weight=np.kron(mdp.weight, law),
        start=np.kron(mdp.start, law),
        reward=None if mdp.reward is None else np.repeat(mdp.reward, n_values, axis=0),
        name=f"{mdp.name} x {n_values} {kind} values",
        state_labels=tuple((label, value) for label in labels for value in range(n_values)),
    )


@checked()
def with_horizon(mdp: TabularMDP, n_steps: int) -> TabularMDP:
    """The world seen every ``n_steps`` steps, each action being held in between: transition P_a^H.

    Parameters
    ----------
    mdp : TabularMDP
        The one-step world.
    n_steps : int
        Horizon H >= 1; 1 changes nothing but the name.

    Returns
    -------
    TabularMDP
        Same states, actions and ``weight``. The reward of a held action is what it collects on the way,
        sum_{h<H} discount^h P_a^h r(., a), and the discount becomes discount^H (without a discount: the plain sum).

    Raises
    ------
    InputError
        ``n_steps`` below 1.

    Notes
    -----
    Dense: O(A S^3 log H). Sparse input stays sparse, although P_a^H fills up as H grows: use it for short horizons.
    When ``weight`` is stationary and the normalised co-occurrence is normal, singular values become s^H
    (docs/theory.md, section 2.9).

    Examples
    --------
    >>> from spectral_jepa.generators import make_ring
    >>> with_horizon(make_ring(n_states=8, slip=0.0, n_actions=2), 3).transition[1, 0].argmax()
    np.int64(3)
    """
    stepwise = mdp.reward is not None or mdp.is_sparse
    high = MAX_STEPS if stepwise else None
    n_steps = check_count("n_steps", n_steps, 1, high, "a reward, and sparse matrices, are carried step by step" * stepwise)
    transition: Array | tuple[sp.csr_array, ...]
    if isinstance(mdp.transition, tuple):
        transition = tuple(_sparse_power(rows, n_steps) for rows in mdp.transition)
    else:
        transition = np.asarray(np.linalg.matrix_power(mdp.transition, n_steps), dtype=np.float64)
    discount = 1.0 if mdp.discount is None else mdp.discount
    reward = None
    if mdp.reward is not None:
        reward = mdp.reward
        for _ in range(n_steps - 1):
            ahead = np.stack([rows @ reward[:, action] for action, rows in enumerate(mdp.transition)], axis=1)
            reward = mdp.reward + discount * ahead
    return replace(
        mdp,
        transition=transition,
        reward=reward,
        discount=None if mdp.discount is None else discount**n_steps,
        name=f"{mdp.name}, {n_steps} steps",
    )


@checked()
def with_random_reward(mdp: TabularMDP, seed: Seed | Sequence[int], n_rewarded: int | None = None) -> TabularMDP:
    """Give a world a reward as the random families have one: U(0,1) on a few random states, 0 elsewhere, discount .9.

    The states are drawn first, then their rewards. (The families draw in the other order: the same seed gives others.)

    Parameters
    ----------
    mdp : TabularMDP
        S states; a reward and a discount that it has are replaced.
    seed : int, sequence of int, or Generator
        As ``numpy.random.default_rng`` takes it.
    n_rewarded : int in [0, S], optional
        How many states pay. Default: a tenth of them, at least one.

    Returns
    -------
    TabularMDP
        The same world otherwise; every action of a state earns the same.

    Raises
    ------
    InputError
        ``n_rewarded`` out of range, or something else than a seed.

    Notes
    -----
    O(S A). Source: docs/theory.md, section 7.

    Examples
    --------
    >>> from spectral_jepa.generators import make_torus
    >>> mdp = with_random_reward(make_torus(5), seed=[0, 7], n_rewarded=3)
    >>> mdp.discount, int((mdp.reward[:, 0] > 0).sum())
    (0.9, 3)
    """
    rng = np.random.default_rng([check_whole("seed", n) for n in seed]) if isinstance(seed, Sequence) else as_generator(seed)
    count = max(1, mdp.n_states // 10) if n_rewarded is None else check_count("n_rewarded", n_rewarded, 0, mdp.n_states)
    reward = np.zeros(mdp.n_states)
    rewarded = rng.choice(mdp.n_states, count, replace=False)
    reward[rewarded] = rng.random(count)
    return replace(mdp, reward=reward, discount=REWARD_DISCOUNT)


def _sparse_power(rows: sp.csr_array, n_steps: int) -> sp.csr_array:
    """rows^n_steps; multiplying by the one-step matrix keeps one factor as sparse as it can be."""
    power = rows
    for _ in range(n_steps - 1):
        power = power @ rows
    return sp.csr_array(power)
