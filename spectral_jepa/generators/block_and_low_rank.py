"""Block and low-rank MDPs: the worlds whose spectrum stops after a few singular values.

A block MDP has a latent chain P_Z(z'|z,a) and lets each latent state z' emit its observations uniformly, so
P(y|x,a) = P_Z(b(y)|b(x),a) / |b(y)|: its normalised co-occurrence has the singular values of the latent chain and zeros.
A low-rank MDP is P(y|x,a) = sum_j phi_j(x,a) mu_j(y) with every factor a probability vector. Both end the paper's
approximation error tail_k at a known k, which is where the trade-off between approximation and sampling shows as a U.
"""

from __future__ import annotations

import numpy as np

from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, InputError, check_count, check_fraction
from spectral_jepa.generators._common import REWARD_DISCOUNT, Seed, as_generator, check_positive, draw_reward, require_dense
from spectral_jepa.mdp import TabularMDP


@checked()
def make_block(
    n_states: int = 60,
    n_blocks: int = 5,
    n_actions: int = 3,
    *,
    noise: float = 0.0,
    concentration: float = 0.3,
    n_rewarded: int | None = None,
    discount: float | None = REWARD_DISCOUNT,
    seed: Seed = 0,
) -> TabularMDP:
    """Block MDP: a random latent chain between blocks, uniform inside each block.

    Parameters
    ----------
    n_states : int
        Number of observations S.
    n_blocks : int
        Number of latent states, at most ``n_states``; block sizes are equal up to one.
    n_actions : int
        Number of actions A.
    noise : float in [0, 1]
        Share of full-rank Dirichlet(1) rows mixed into the transition.
    concentration : float > 0
        Dirichlet parameter of the latent rows. With 0.3 and 5 blocks the median singular values of one action are
        1, .78, .60, .34, .08; smaller values give a more predictable latent chain.
    n_rewarded : int, optional
        Number of states with a reward U(0,1). Default: a tenth of the states, at least one.
    discount : float in [0, 1], optional
        Discount factor of the reward task.
    seed : int or Generator
        The latent chain and the reward do not depend on ``noise``.

    Returns
    -------
    TabularMDP
        Dense, uniform ``weight``; ``state_labels`` holds (block, member of the block).

    Raises
    ------
    InputError
        A size, ``noise`` or ``concentration`` out of range.

    Notes
    -----
    O(A S^2) time and memory. Source: docs/theory.md, sections 2.9 and 7.

    Examples
    --------
    >>> mdp = make_block(n_states=12, n_blocks=3, n_actions=2, seed=0)
    >>> mdp.state_labels
    ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3))
    >>> int(np.linalg.matrix_rank(mdp.transition[0]))
    3
    """
    n_states, n_actions = check_count("n_states", n_states), check_count("n_actions", n_actions)
    n_blocks = check_count("n_blocks", n_blocks, 1, n_states, "every block needs a state")
    concentration, rng = check_positive("concentration", concentration), as_generator(seed)
    require_dense(n_actions, n_states)
    block = np.arange(n_states) * n_blocks // n_states
    latent = rng.dirichlet(np.full(n_blocks, concentration), size=(n_actions, n_blocks))
    member = np.arange(n_states) - np.searchsorted(block, block)
    emission = (1 / np.bincount(block))[block]
    transition = latent[:, block][:, :, block] * emission
    reward = draw_reward(rng, n_states, n_rewarded)
    return TabularMDP(
        _with_noise(transition, noise, rng),
        reward=reward,
        discount=discount,
        name="block",
        state_labels=tuple(zip(block.tolist(), member.tolist(), strict=True)),
    )


@checked()
def make_low_rank(
    n_states: int = 60,
    rank: int = 8,
    n_actions: int = 4,
    *,
    concentration: float = 0.3,
    noise: float = 0.0,
    n_rewarded: int | None = None,
    discount: float | None = REWARD_DISCOUNT,
    seed: Seed = 0,
) -> TabularMDP:
    """Low-rank MDP P(y|x,a) = sum_j phi_j(x,a) mu_j(y) with Dirichlet factors shared by all actions through mu.

    Parameters
    ----------
    n_states : int
        Number of states S.
    rank : int
        Number of factors, at most ``n_states``; the stacked transition has this rank.
    n_actions : int
        Number of actions A.
    concentration : float > 0
        Dirichlet parameter of phi(x,a) over the factors and of each mu_j over the states.
    noise : float in [0, 1]
        Share of full-rank Dirichlet(1) rows mixed into the transition.
    n_rewarded : int, optional
        Number of states with a reward U(0,1). Default: a tenth of the states, at least one.
    discount : float in [0, 1], optional
        Discount factor of the reward task.
    seed : int or Generator
        The factors and the reward do not depend on ``noise``.

    Returns
    -------
    TabularMDP
        Dense, uniform ``weight``.

    Raises
    ------
    InputError
        A size, ``noise`` or ``concentration`` out of range.

    Notes
    -----
    O(A S^2 rank) time, O(A S^2) memory. Source: docs/theory.md, section 7.

    Examples
    --------
    >>> mdp = make_low_rank(n_states=20, rank=4, n_actions=2, seed=0)
    >>> int(np.linalg.matrix_rank(np.concatenate(mdp.transition)))
    4
    """
    n_states, n_actions = check_count("n_states", n_states), check_count("n_actions", n_actions)
    rank = check_count("rank", rank, 1, n_states, "a transition on S states has rank at most S")
    concentration, rng = check_positive("concentration", concentration), as_generator(seed)
    require_dense(n_actions, n_states)
    factor_of_pair = rng.dirichlet(np.full(rank, concentration), size=(n_actions, n_states))
    state_of_factor = rng.dirichlet(np.full(n_states, concentration), size=rank)
    reward = draw_reward(rng, n_states, n_rewarded)
    transition = _with_noise(factor_of_pair @ state_of_factor, noise, rng)
    return TabularMDP(transition, reward=reward, discount=discount, name="low rank")


@checked()
def latent_chain(mdp: TabularMDP) -> tuple[Array, Array]:
    """The latent chain of a block MDP, averaged over the states of each block.

    Parameters
    ----------
    mdp : TabularMDP
        With labels (block, member), blocks 0, ..., Z-1, as :func:`make_block` gives them.

    Returns
    -------
    latent : array (A, Z, Z)
        P_Z(z'|z,a). Exact when the blocks are bisimilar (``noise=0``), the data-weighted average otherwise.
    block_weight : array (Z,)
        Mass of each block under ``mdp.weight``.

    Raises
    ------
    InputError
        If ``state_labels`` does not hold blocks, or a block has no mass.

    Notes
    -----
    O(A S^2). Pass both to :func:`block_singular_values`.

    Examples
    --------
    >>> latent, block_weight = latent_chain(make_block(n_states=12, n_blocks=3, n_actions=2, seed=0))
    >>> latent.shape, block_weight.round(3)
    ((2, 3, 3), array([0.333, 0.333, 0.333]))
    """
    labels = mdp.state_labels or ()
    block = np.array([label[0] if isinstance(label, tuple) else None for label in labels])
    if not np.issubdtype(block.dtype, np.integer) or block.min() < 0:
        raise InputError(
            f"state_labels of {mdp.name} is {mdp.state_labels!r:.60}, expected (block, member) of each state: "
            "build the MDP with make_block or set state_labels"
        )
    member = np.eye(int(block.max()) + 1)[block]
    block_weight = mdp.weight @ member
    if (block_weight <= 0).any():
        raise InputError(
            f"block {int(np.argmin(block_weight))} of {mdp.name} has weight 0, expected > 0: give one of its states weight"
        )
    inside = (member * mdp.weight[:, None] / block_weight).T
    return np.stack([inside @ (rows @ member) for rows in mdp.transition]), block_weight


def _with_noise(transition: Array, noise: float, rng: np.random.Generator) -> Array:
    """(1 - noise) P + noise Q with independent Dirichlet(1) rows in Q."""
    noise = check_fraction("noise", noise)
    if noise == 0:
        return transition
    n_actions, n_states = transition.shape[:2]
    return (1 - noise) * transition + noise * rng.dirichlet(np.ones(n_states), size=(n_actions, n_states))
