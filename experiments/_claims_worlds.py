"""Random worlds and models on which ``claims`` measures: 2-8 states, 2-4 actions, spiky to flat, non-uniform data laws.

Every number measured on them is unique. Where a singular value repeats, LAPACK may return any rotation of its vectors, and
machines differ in which: a truncation that cuts such a group, and noise in the coordinates of its vectors, would give each
machine another model and another regret. So a dimension that is drawn moves up to the end of its group of equal values.
"""

import numpy as np

import spectral_jepa as sj
from spectral_jepa.sweep.experiment import comparison

TIE = 1e-9  # singular values closer than this count as equal


def random_world(rng, n_states=None, weight=None):
    """A random MDP with a reward."""
    n_states = n_states or int(rng.integers(2, 9))
    n_actions = int(rng.integers(2, 5))
    rows = rng.dirichlet(np.full(n_states, rng.choice([0.1, 0.3, 1.0, 3.0])), size=(n_actions, n_states))
    law = rng.dirichlet(np.full(n_states, 2.0)) if weight is None else weight
    return sj.TabularMDP(rows, weight=law, reward=rng.random((n_states, n_actions)), discount=float(rng.uniform(0.3, 1)))


def stationary_world(rng):
    """A random MDP whose actions are mixtures of permutations: the uniform law is stationary under each of them."""
    n_states, n_actions = int(rng.integers(3, 9)), int(rng.integers(2, 5))
    permutations = np.eye(n_states)[[[rng.permutation(n_states) for _ in range(3)] for _ in range(n_actions)]]
    shares = rng.dirichlet(np.ones(3), size=n_actions)
    return sj.TabularMDP(np.einsum("am,amxy->axy", shares, permutations))


def whole_groups(values, dim):
    """The least k >= dim that cuts no group of equal singular values (..., S): there the truncated SVD is unique."""
    falls = np.diff(values) < -TIE
    clean = np.append(falls.reshape(-1, falls.shape[-1]).all(axis=0), True)
    return dim + int(clean[dim - 1 :].argmax())


def random_embedding(rng, mdp, shared=False):
    """Truncated SVD of the truth or of counts, sometimes with noise added to g."""
    kind = rng.integers(3)
    cooc = sj.CoOccurrence.exact(mdp)
    if kind == 1:
        data = sj.sample_transitions(mdp, int(rng.integers(5, 200)), seed=rng)
        cooc = sj.CoOccurrence.from_transitions(data)
    dim = int(rng.integers(1, mdp.n_states + 1))
    embedding = sj.spectral_embedding(cooc, whole_groups(sj.spectrum(cooc, shared=shared), dim), shared=shared)
    if kind == 2:
        # Mixtures of f at a few states, not of its coordinates, in which any rotation of equal values is as good.
        some = np.sqrt(embedding.column_weight[:, :dim, None]) * embedding.targets[:, :dim]
        noise = 0.3 * rng.standard_normal((mdp.n_actions, mdp.n_states, dim)) @ some
        return sj.Embedding(embedding.target, embedding.predicted + noise, embedding.column_weight)
    return embedding


def random_functions(rng, mdp, dim):
    """An encoder and a prediction drawn at random, nothing fitted."""
    target = rng.standard_normal((mdp.n_states, dim))
    predicted = rng.standard_normal((mdp.n_actions, mdp.n_states, dim))
    return sj.Embedding(target, predicted, mdp.next_weight)


def ratios(pairs):
    """Rows about measured <= bound over many instances, with a guard that the measured side is not always zero."""
    measured, bound = np.array(pairs).T
    positive = measured > 1e-9
    return [
        comparison(f"violations in {len(pairs)} random instances", np.sum(measured > bound + 1e-10), "=", 0),
        comparison("largest regret / bound", np.max(measured[positive] / bound[positive]), "<=", 1),
        comparison("share of instances with regret > 0", positive.mean(), ">=", 0.2),
    ]
