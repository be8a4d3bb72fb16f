"""Every seeded stream of random numbers: one for each purpose, by name, and never the global ones.

A stream is named by a key of whole numbers, (seed, what it is for, step, ...), which numpy's SeedSequence hashes, so that
neighbouring keys give unrelated streams. Torch's generator on the CPU reads only the low 32 bits of a seed, so there are
2^32 streams in all, not as many as keys: of n streams, two coincide with a chance of about n^2 / 2^33 (n = 1,000: .01 %,
n = 50,000: 25 %). Nothing here draws conclusions from streams being distinct; a coincidence repeats a mask or a minibatch.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch


def stream_seed(*key: int) -> int:
    """Seed of the stream of a key, a whole number below 2^63.

    Examples
    --------
    >>> stream_seed(0, 1, 2) == stream_seed(0, 1, 2), stream_seed(0, 1, 2) == stream_seed(0, 2, 1)
    (True, False)
    """
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def torch_generator(*key: int, device: str | torch.device = "cpu", tabular: bool = False) -> torch.Generator:
    """A torch generator for one purpose.

    Parameters
    ----------
    *key : int
        What the stream may depend on, for example (seed, episode).
    device : str or torch.device
        Streams differ between devices; what must not is drawn on the CPU and moved.
    tabular : bool
        The streams of the tabular JEPAs, which put the two words of the hash together in the other order: their published
        tables were measured so.

    Returns
    -------
    torch.Generator

    Examples
    --------
    >>> first, again, other = (torch.rand((), generator=torch_generator(*key)) for key in ((1, 2), (1, 2), (2, 1)))
    >>> bool(first == again), bool(first == other)
    (True, False)
    """
    seed = stream_seed(*key)
    if tabular:
        high, low = np.random.SeedSequence(key).generate_state(2, np.uint32)
        seed = int(high) << 32 | int(low)
    return torch.Generator(device=device).manual_seed(seed)


def episode_generator(seed: int, episode: int) -> np.random.Generator:
    """The numpy generator of one recorded episode, the same whatever is recorded beside it.

    Examples
    --------
    >>> alone = np.random.default_rng(np.random.SeedSequence(3).spawn(8)[7]).random()
    >>> bool(episode_generator(3, 7).random() == alone)
    True
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(episode,)))


@contextmanager
def seeded_weights(seed: int) -> Generator[None]:
    """Modules built inside the block draw their weights on the CPU from ``seed``; torch's global stream stays as it was.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> with seeded_weights(0):
    ...     first = torch.nn.Linear(2, 1)
    >>> with seeded_weights(0):
    ...     second = torch.nn.Linear(2, 1)
    >>> torch.equal(first.weight, second.weight), torch.equal(before, torch.get_rng_state())
    (True, True)
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would reseed the accelerators too.
        torch.default_generator.manual_seed(seed)
        yield
