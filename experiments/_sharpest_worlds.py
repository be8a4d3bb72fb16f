"""Worlds and models for the search of ``sharpest``: from a batch of vectors in [-1, 1] to a batch of instances.

Every function reads what it needs from the vectors and returns a dict of arrays whose first axis is the batch.
"""

import numpy as np


class Reader:
    """Reads a batch of vectors (B, D), block after block."""

    def __init__(self, vectors):
        self.vectors, self.used = vectors, 0

    def block(self, *shape):
        """The next numbers in [-1, 1], (B, *shape)."""
        size = int(np.prod(shape))
        part = self.vectors[:, self.used : self.used + size]
        self.used += size
        return part.reshape(-1, *shape)

    def law(self, *shape, spread=6.0):
        """Probability vectors along the last axis, all entries positive."""
        return softmax(spread * self.block(*shape))

    def size(self, low, high):
        """A scale between 10^low and 10^high, (B, 1, 1, 1)."""
        return 10 ** (low + (high - low) * (self.block(1, 1, 1) + 1) / 2)


def softmax(logits):
    """Along the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def unit(vectors):
    """Scale to norm 1 along the last axis."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def unit_embedding(reader, n_actions, n_states, dim):
    """f and g on the sphere, from all in one place to anywhere near it."""
    spread = reader.size(-2.5, 0.3)
    pole = np.eye(dim)[0]
    target = unit(pole + spread[:, 0] * reader.block(n_states, dim))
    return {"target": target, "predicted": unit(pole + spread * reader.block(n_actions, n_states, dim))}


def single_step_world(reader):
    """Three states, three actions, rows from equal to unrelated; a data law."""
    base, spread = 6 * reader.block(3, 1, 3), reader.size(-3, 1)
    world = {"transition": softmax(base + spread * reader.block(3, 3, 3)), "weight": reader.law(3, spread=3.0)}
    return world | unit_embedding(reader, 3, 3, 2)


def deterministic_world(reader):
    """Three states, three maps; f(x) is nearly always a basis, so that the latent rollout is the prediction itself."""
    transition = np.eye(3)[reader.block(3, 3, 3).argmax(axis=-1)]
    return {"transition": transition, "weight": reader.law(3, spread=3.0)} | unit_embedding(reader, 3, 3, 3)


def exact_world(reader, n_states=3, uniform=False):
    """A world alone: the model is exact."""
    transition = reader.law(n_states, n_states, n_states)
    weight = np.full((len(transition), n_states), 1 / n_states) if uniform else reader.law(n_states)
    return {"transition": transition, "weight": weight}


def any_model(reader, transition):
    """The truth with an error of any size."""
    return transition + reader.size(-3, 0) * reader.block(*transition.shape[1:])


def general_world(reader):
    """Three states, two actions, any data law, start ~ data law, any goal law, any model."""
    world = {"transition": reader.law(2, 3, 3), "weight": reader.law(3), "goal": reader.law(3)}
    return world | {"start": world["weight"], "model": any_model(reader, world["transition"])}


def mixed_permutations(reader, n_states=3):
    """Two actions that keep the uniform law: mixtures of all permutations. Any start and goal."""
    orders = np.array(np.meshgrid(*[range(n_states)] * n_states)).reshape(n_states, -1).T
    every = np.eye(n_states)[orders[[len(set(row)) == n_states for row in orders]]]
    transition = np.einsum("bam,mxy->baxy", reader.law(2, len(every)), every)
    weight = np.full((len(transition), n_states), 1 / n_states)
    return {"transition": transition, "weight": weight, "start": reader.law(n_states), "goal": reader.law(n_states)}


def stationary_world(reader):
    """Stationary data, any model."""
    world = mixed_permutations(reader)
    return world | {"model": any_model(reader, world["transition"])}


def truncated_world(reader):
    """Stationary data, four states, the truncation at k = 2."""
    world = mixed_permutations(reader, 4)
    left, values, right = np.linalg.svd(world["transition"])
    return world | {"model": (left[..., :2] * values[..., None, :2]) @ right[..., :2, :]}


def reward_world(reader):
    """Three states, two actions, three steps, any reward, discount, data, start and model."""
    world = {"transition": reader.law(2, 3, 3), "weight": reader.law(3), "start": reader.law(3)}
    world |= {"frequency": reader.law(2), "reward": (reader.block(3, 2) + 1) / 2, "discount": (reader.block() + 1) / 2}
    return world | {"model": any_model(reader, world["transition"])}


def perturbed_world(reader):
    """One action of three states, and an error of any size."""
    world = {"transition": reader.law(1, 3, 3), "weight": reader.law(3)}
    return world | {"error": (reader.size(-1.5, 1.5) * reader.block(1, 3, 3))[:, 0]}
