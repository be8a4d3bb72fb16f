"""Noise of a search that moves as recorded actions do: steps of a plan go together where they did in the data."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError, check_fraction


def recorded_noise(blocks: Float[Tensor, "N H A"], shrinkage: float = 1e-3) -> Float[Tensor, "n n"]:
    """Factor of the correlation of recorded plans: it makes white noise as smooth as they are.

    Parameters
    ----------
    blocks : Tensor (N, H, A)
        Action blocks of N recorded windows, H one after the other.
    shrinkage : float in [0, 1]
        Share of the identity in the correlation, so that it has a factor where windows are few or numbers repeat.

    Returns
    -------
    float32 Tensor (H A, H A)
        L, lower triangular, with L L^T = (1 - shrinkage) C + shrinkage I, where C is the correlation matrix of the windows;
        every row has norm 1, so that L eps has the same standard deviations as eps. A number that never varies goes with
        none.

    Raises
    ------
    InputError
        Fewer than two windows, or numbers that are not finite.

    Notes
    -----
    O(N (H A)^2 + (H A)^3), in float64. White noise of a scripted policy's spread is nothing that a world model has seen:
    the actions it was trained on go on in one direction for many steps. Source: ours; coloured noise for CEM with a chosen
    power law is arXiv 2008.06389.

    Examples
    --------
    Two blocks that were always equal, in 1,000 windows: so are candidates.

    >>> windows = torch.randn(1000, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, 2, 1)
    >>> recorded_noise(windows, shrinkage=0.0001)
    tensor([[1.0000, 0.0000],
            [0.9999, 0.0141]])
    """
    check_fraction("shrinkage", shrinkage)
    if len(blocks) < 2 or not blocks.isfinite().all():
        raise InputError(
            f"got {len(blocks)} windows of actions, expected at least 2 and finite numbers: leave out the last rows"
        )
    values = blocks.flatten(1).double()
    spread = values.std(0)
    scaled = torch.where(spread > 0, (values - values.mean(0)) / spread.where(spread > 0, torch.ones_like(spread)), 0)
    correlation = scaled.mT @ scaled / (len(values) - 1)
    mixed = (1 - shrinkage) * correlation + shrinkage * torch.eye(len(correlation), dtype=torch.float64)
    mixed.diagonal().fill_(1)
    return torch.linalg.cholesky(mixed).float()
