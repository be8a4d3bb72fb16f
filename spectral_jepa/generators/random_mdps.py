"""Random MDPs without structure: Garnet (few successors) and Dirichlet (all successors)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._late import sparse as sp
from spectral_jepa._signatures import checked
from spectral_jepa._validation import check_count
from spectral_jepa.generators._common import REWARD_DISCOUNT, Seed, as_generator, check_positive, draw_reward, require_dense
from spectral_jepa.mdp import TabularMDP


@checked()
def make_garnet(
    n_states: int = 60,
    n_actions: int = 4,
    branching: int = 5,
    *,
    sparse: bool = False,
    n_rewarded: int | None = None,
    discount: float | None = REWARD_DISCOUNT,
    seed: Seed = 0,
) -> TabularMDP:
    """Garnet MDP: each state-action pair has ``branching`` distinct random successors with Dirichlet(1) probabilities.

    Parameters
    ----------
    n_states, n_actions : int
        Sizes S and A.
    branching : int
        Number of successors of each pair, at most ``n_states``.
    sparse : bool
        Build CSR matrices and never a dense S x S array. The instance is the same, entry for entry.
    n_rewarded : int, optional
        Number of states with a reward U(0,1). Default: a tenth of the states, at least one.
    discount : float in [0, 1], optional
        Discount factor of the reward task.
    seed : int or Generator
        Seed of the instance.

    Returns
    -------
    TabularMDP
        Uniform ``weight``.

    Raises
    ------
    InputError
        A size out of range, or a dense transition that does not fit in memory.

    Notes
    -----
    O(A S branching^2) time, O(A S branching) memory when sparse (100,000 states x 4 actions x 5 successors: below a
    second). Source: Archibald, McKinnon & Thomas (1995), Bhatnagar et al. (2009).

    Examples
    --------
    >>> mdp = make_garnet(n_states=1000, n_actions=2, branching=3, sparse=True, seed=0)
    >>> mdp.transition[0].nnz
    3000
    """
    n_states, n_actions = check_count("n_states", n_states), check_count("n_actions", n_actions)
    branching = check_count("branching", branching, 1, n_states, "successors are distinct states")
    rng = as_generator(seed)
    if not sparse:
        require_dense(n_actions, n_states, "pass sparse=True")
    n_pairs = n_actions * n_states
    successors = np.sort(_distinct_successors(rng, n_pairs, n_states, branching), axis=1)
    # Dirichlet(1) as normalised exponentials: no gamma sampler needed.
    probability = rng.standard_exponential((n_pairs, branching))
    probability /= probability.sum(axis=1, keepdims=True)
    reward = draw_reward(rng, n_states, n_rewarded)
    row_ends = np.arange(0, n_states * branching + 1, branching)
    matrices = tuple(
        sp.csr_array((p.ravel(), y.ravel(), row_ends), shape=(n_states, n_states))
        for p, y in zip(np.split(probability, n_actions), np.split(successors, n_actions), strict=True)
    )
    transition = matrices if sparse else np.stack([m.toarray() for m in matrices])
    return TabularMDP(transition, reward=reward, discount=discount, name="garnet")


@checked()
def make_dirichlet(
    n_states: int = 60,
    n_actions: int = 4,
    *,
    concentration: float = 1.0,
    n_rewarded: int | None = None,
    discount: float | None = REWARD_DISCOUNT,
    seed: Seed = 0,
) -> TabularMDP:
    """MDP whose rows P(.|x,a) are independent Dirichlet draws: full rank and, at ``concentration`` 1, nearly unpredictable.

    Parameters
    ----------
    n_states, n_actions : int
        Sizes S and A.
    concentration : float > 0
        Dirichlet parameter; small values give rows with few successors.
    n_rewarded : int, optional
        Number of states with a reward U(0,1). Default: a tenth of the states, at least one.
    discount : float in [0, 1], optional
        Discount factor of the reward task.
    seed : int or Generator
        Seed of the instance.

    Returns
    -------
    TabularMDP
        Dense, uniform ``weight``.

    Raises
    ------
    InputError
        A size or ``concentration`` out of range, or a transition that does not fit in memory.

    Notes
    -----
    O(A S^2) time and memory.

    Examples
    --------
    >>> make_dirichlet(n_states=5, n_actions=2, seed=0).transition.shape
    (2, 5, 5)
    """
    n_states, n_actions = check_count("n_states", n_states), check_count("n_actions", n_actions)
    concentration, rng = check_positive("concentration", concentration), as_generator(seed)
    require_dense(n_actions, n_states)
    transition = rng.dirichlet(np.full(n_states, concentration), size=(n_actions, n_states))
    return TabularMDP(transition, reward=draw_reward(rng, n_states, n_rewarded), discount=discount, name="dirichlet")


def _distinct_successors(rng: np.random.Generator, n_rows: int, n_states: int, branching: int) -> NDArray[np.int64]:
    """Uniformly random subsets of size ``branching``, one a row, without an array of n_rows x n_states."""
    if branching > n_states // 2:  # the answer is as large as that array anyway, and Floyd's method would be slower
        return np.argpartition(rng.random((n_rows, n_states)), branching - 1, axis=1)[:, :branching]
    chosen = np.empty((branching, n_rows), dtype=np.int64)
    # Floyd's subset sampling, all rows at once: a value already taken is replaced by the newest candidate.
    for taken, newest in enumerate(range(n_states - branching, n_states)):
        draw = rng.integers(0, newest + 1, size=n_rows)
        repeated = (chosen[:taken] == draw).any(axis=0)
        chosen[taken] = np.where(repeated, newest, draw)
    return chosen.T
