"""The dot score of a trained latent space: an estimate of P(goal | plan) / q(goal) - 1 instead of a squared distance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spectral_jepa._notebook import short_repr
from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError, check_fraction


@dataclass(frozen=True, eq=False, repr=False)
class PooledScore:
    """Inner product of prediction and goal, centred and whitened by the latents of the next frames of all actions.

    A prediction that is a conditional mean, E[f(x+) | x, a], and an encoder under which the frames are linearly independent
    (up to their mean; D at least their number less one) make it P(goal | x, a) / q(goal) - 1 exactly, q the law of the next
    frames, if no direction falls below ``floor``: it ranks plans by the probability to arrive. The published squared
    distance ranks them by that only where outcomes are equally predictable.

    Parameters
    ----------
    mean : Tensor (D,)
        E f under q.
    precision : Tensor (D, D)
        Pseudo-inverse of the covariance of f under q.

    Notes
    -----
    Source: docs/negatives.md, section 5.

    Examples
    --------
    Three frames on a line, equally likely: a sure arrival at the last scores 1.5, a coin between the first two -.75.

    >>> frames = torch.tensor([[-1.0], [0.0], [1.0]])
    >>> score = PooledScore.fit(frames)
    >>> score(torch.stack([frames[2], frames[:2].mean(0)]), frames[2]).round(decimals=4)
    tensor([ 1.5000, -0.7500])
    """

    mean: Float[Tensor, " D"]
    precision: Float[Tensor, "D D"]

    def __repr__(self) -> str:
        return short_repr(self)

    @classmethod
    def fit(
        cls, latents: Float[Tensor, "N D"], weight: Float[Tensor, " N"] | None = None, floor: float = 1e-3
    ) -> PooledScore:
        """Fit it to the latents of next frames.

        Parameters
        ----------
        latents : Tensor (N, D)
            Of a log's next frames, under all actions.
        weight : Tensor (N,), optional
            Law of the latents, up to a factor. Default: equal weights.
        floor : float in [0, 1]
            Directions whose variance is below this share of the largest are left out: the encoder does not tell frames apart
            along them. A frame of probability q takes a direction of variance about q: a rarer one needs a lower floor.

        Raises
        ------
        InputError
            Fewer than two latents, latents that are all the same, a floor outside [0, 1].

        Notes
        -----
        O(N D^2 + D^3), in float64.
        """
        check_fraction("floor", floor)
        if latents.ndim != 2 or len(latents) < 2:
            raise InputError(
                f"latents has shape {tuple(latents.shape)}, expected (N, D) with N >= 2: pass next frames of a log"
            )
        values = latents.detach().double()
        law = torch.full_like(values[:, 0], 1 / len(values)) if weight is None else weight.double() / weight.double().sum()
        mean = law @ values
        centred = values - mean
        scales, basis = torch.linalg.eigh(centred.mT @ (law[:, None] * centred))
        if not scales[-1] > 0:
            raise InputError("latents are all the same, expected some that differ: the encoder has collapsed, train another")
        # Below rounding a direction has no variance to divide by, whatever the floor.
        kept = scales >= max(floor, len(scales) * torch.finfo(scales.dtype).eps) * scales[-1]
        basis = basis[:, kept]
        precision = (basis / scales[kept]) @ basis.mT
        return cls(mean.to(latents.dtype), precision.to(latents.dtype))

    def __call__(self, predicted: Float[Tensor, "*p D"], goals: Float[Tensor, "*g D"]) -> Tensor:
        """Scores of predictions for goals, shapes (..., D) that broadcast: the higher the better."""
        return (((predicted - self.mean) @ self.precision) * (goals - self.mean)).sum(-1)
