"""Data of a batch of runs: exact or estimated joint laws of (state-action pair, next state), or transitions to draw from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spectral_jepa._notebook import short_repr
from spectral_jepa._signatures import checked
from spectral_jepa._streams import torch_generator
from spectral_jepa._validation import InputError, check_indices
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.data import Transitions
from spectral_jepa.jepa.config import Run


@dataclass(frozen=True, eq=False, repr=False)
class Worlds:
    """Joint laws rho(x, a) P(y | x, a) of W data sets of one size, rows ordered action first.

    Parameters
    ----------
    joint : Tensor (W, A * S, S)
        Each sums to 1.
    n_actions : int
        A.
    pairs : tuple of (Tensor (n,), Tensor (n,)), optional
        Row and column of every transition of each data set, for minibatches.

    Examples
    --------
    >>> from spectral_jepa import CoOccurrence, make_torus
    >>> worlds = Worlds.of([CoOccurrence.exact(make_torus(3))])
    >>> worlds.joint.shape, float(worlds.joint.sum())
    (torch.Size([1, 36, 9]), 1.0)
    """

    joint: Tensor
    n_actions: int
    pairs: tuple[tuple[Tensor, Tensor], ...] | None = None

    def __repr__(self) -> str:
        return short_repr(self)

    @classmethod
    def of(cls, data: Sequence[CoOccurrence | Transitions], dtype: torch.dtype = torch.float64) -> Worlds:
        """From co-occurrences (their joint laws) or transitions (their counts), all with the same states and actions.

        Parameters
        ----------
        data : sequence of CoOccurrence or Transitions
            W of them.
        dtype : torch.dtype
            Of the laws.

        Returns
        -------
        Worlds
            With pairs only if all are Transitions.

        Raises
        ------
        InputError
            No data, or data of different sizes.
        """
        if not data:
            raise InputError(
                "data is empty, expected at least one CoOccurrence or Transitions: pass [CoOccurrence.exact(mdp)]"
            )
        shapes = {(item.n_actions, item.n_states) for item in data}
        if len(shapes) > 1:
            raise InputError(
                f"data have (actions, states) {sorted(shapes)}, expected one size in a batch: train each size by itself"
            )
        (n_actions, _), joints, pairs = shapes.pop(), [], []
        for item in data:
            if isinstance(item, Transitions):
                joints.append(item.counts().reshape(-1, item.n_states) / len(item))
                pairs.append((torch.from_numpy(item.action * item.n_states + item.state), torch.tensor(item.next_state)))
            else:
                whole = item.dense_joint() * item.action_frequency[:, None, None]
                joints.append(whole.reshape(-1, item.n_states))
        stacked = torch.from_numpy(np.stack(joints)).to(dtype)
        return cls(stacked, n_actions, tuple(pairs) if len(pairs) == len(data) else None)

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return self.joint.shape[-1]

    def digests(self) -> list[str]:
        """What tells each data set from others: a digest of its law and, for transitions, of every one in order.

        Examples
        --------
        >>> first, second = Transitions([0, 1], [0, 0], [1, 0]), Transitions([1, 0], [0, 0], [0, 1])
        >>> len(set(Worlds.of([first, first, second]).digests()))
        2
        """
        found = []
        for index, law in enumerate(self.joint):
            parts = [law, *(() if self.pairs is None else self.pairs[index])]
            content = [f"{part.dtype} {tuple(part.shape)}".encode() + part.contiguous().numpy().tobytes() for part in parts]
            found.append(hashlib.sha256(b"".join(content)).hexdigest()[:16])
        return found

    def select(self, runs: Sequence[Run]) -> Worlds:
        """The data sets that the runs name, in the order of the runs; one data set stays one, to be shared."""
        index = check_indices("data of the runs", np.array([run.data for run in runs]), len(self.joint), "data set")
        chosen = index.tolist()[:1] if len(set(index.tolist())) == 1 else index.tolist()
        pairs = None if self.pairs is None else tuple(self.pairs[i] for i in index)
        return Worlds(self.joint[chosen], self.n_actions, pairs)

    def to(self, device: torch.device) -> Worlds:
        """The same on a device; transitions stay where they are drawn, on the CPU."""
        return Worlds(self.joint.to(device), self.n_actions, self.pairs)


@checked()
def minibatches(worlds: Worlds, runs: Sequence[Run], batch_size: int, chunk: int, length: int) -> Tensor:
    """Draw the minibatches of a chunk of steps for every run, with replacement.

    Parameters
    ----------
    worlds : Worlds
        With the pairs of one data set a run, as :meth:`Worlds.select` gives them.
    runs : sequence of Run
        R runs; each draws from its own seed.
    batch_size : int
        B.
    chunk : int
        Number of the chunk, from 0. Each has its own generator, so a resumed run draws what an uninterrupted one would.
    length : int
        Steps of a chunk.

    Returns
    -------
    integer Tensor (length, 2, R, B)
        Row and column of every transition drawn.

    Raises
    ------
    InputError
        Worlds without pairs.

    Notes
    -----
    O(R length B).

    Examples
    --------
    A log of one transition leaves no choice: action 1 in state 0 of 2 is row 1 * 2 + 0, and it leads to column 1.

    >>> runs = [Run(dim=1)]
    >>> worlds = Worlds.of([Transitions([0], [1], [1])]).select(runs)
    >>> minibatches(worlds, runs, batch_size=3, chunk=0, length=1)
    tensor([[[[2, 2, 2]],
    <BLANKLINE>
             [[1, 1, 1]]]])
    """
    if worlds.pairs is None:
        raise InputError(
            "batch_size asks for minibatches, got a CoOccurrence, expected Transitions: pass the samples themselves as data"
        )
    drawn = []
    for run, (rows, columns) in zip(runs, worlds.pairs, strict=True):
        generator = torch_generator(run.seed, 2, chunk, seeds="tabular")
        index = torch.randint(len(rows), (length, batch_size), generator=generator)
        drawn.append(torch.stack([rows[index], columns[index]], dim=1))
    return torch.stack(drawn, dim=2)
