"""Where the search of a plan begins: blocks read off the present and the goal, by a cloned policy or by least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from spectral_jepa._notebook import short_repr
from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError, check_positive
from spectral_jepa.pixels.data.actions import ActionScaler
from spectral_jepa.pixels.interfaces import Encoder
from spectral_jepa.pixels.model.cloning import GoalConditionedPolicy
from spectral_jepa.pixels.model.frozen import weights_digest


@runtime_checkable
class Proposal(Protocol):
    """What a planner asks for the first mean of its search."""

    @property
    def encoder(self) -> Encoder:
        """What makes latents of the pictures that it reads."""
        ...

    def describe(self) -> dict[str, Any]:
        """What decides its blocks, as plain JSON values."""
        ...

    def blocks(self, latents: Float[Tensor, "E D"], goals: Float[Tensor, "E D"]) -> Float[Tensor, "E n A"]:
        """Scaled action blocks from latents of the present and of the goal."""
        ...


class ClonedProposal:
    """The action blocks of a goal-conditioned cloned policy.

    Parameters
    ----------
    network : GoalConditionedPolicy
        Put in evaluation mode. It gives ``n_blocks`` blocks, one as it is trained here; a search begins at 0 behind them.
    scaler, wanted : ActionScaler, optional
        Units of the network's actions and of the planner's. Default: the same.

    Examples
    --------
    A policy whose actions are in units of 2, for a planner with units of 1 around 3:

    >>> from spectral_jepa.pixels.data import ActionScaler
    >>> class Ones(torch.nn.Module):
    ...     def forward(self, latents, goals):
    ...         return torch.ones(len(latents), 1, 4)
    >>> cloned = ClonedProposal(Ones(), ActionScaler((0.0,), (2.0,)), ActionScaler((3.0,), (1.0,)))
    >>> cloned.blocks(torch.zeros(1, 2), torch.zeros(1, 2)).tolist()
    [[[-1.0, -1.0, -1.0, -1.0]]]
    """

    def __init__(
        self, network: GoalConditionedPolicy, scaler: ActionScaler | None = None, wanted: ActionScaler | None = None
    ) -> None:
        self.network = network.eval()
        # Equal units are left alone, so that nothing is rounded.
        self.units = (scaler, wanted) if scaler is not None and wanted is not None and scaler != wanted else None

    @property
    def encoder(self) -> Encoder:
        """The policy's own."""
        return cast(Encoder, self.network)

    def describe(self) -> dict[str, Any]:
        """Kind, digest of the weights, and the units of its actions where they are not the planner's."""
        units = {} if self.units is None else {"units": self.units[0].to_dict()}
        return {"proposal": "cloning", "weights": weights_digest(self.network)} | units

    def blocks(self, latents: Float[Tensor, "E D"], goals: Float[Tensor, "E D"]) -> Float[Tensor, "E n A"]:
        """Ask the policy.

        Parameters
        ----------
        latents, goals : Tensor (E, D)
            Of the present and of the goal, as :attr:`encoder` gives them.

        Returns
        -------
        Tensor (E, n_blocks, block_dim)
            Scaled, in the planner's units.
        """
        blocks = self.network(latents, goals)
        if self.units is None:
            return blocks
        own, wanted = self.units
        return wanted.normalize(own.denormalize(blocks.unflatten(-1, (-1, len(own.mean))))).flatten(-2)


@dataclass(frozen=True, eq=False, repr=False)
class InverseDynamics:
    """Affine map from (z_t, z_{t+H}) to the H action blocks between them, by ridge regression.

    Parameters
    ----------
    encoder : WorldModel
        Whose latents these are.
    weight : float64 Tensor (2 D + 1, H, A)
        The last row is the offset.
    source : dict
        What it was fitted on, for :meth:`describe`.

    Notes
    -----
    One-shot inverse dynamics. The sequence of actions that leads to a goal is not unique, and least squares gives the mean
    of all recorded ones: a place for a search to begin, not a plan. Source: ours.

    Examples
    --------
    Where z_{t+2} = z_t + a_t + a_{t+1} and both actions have the same law, each is half the way.

    >>> generator = torch.Generator().manual_seed(0)
    >>> start, actions = (torch.randn(*shape, generator=generator) for shape in ((20_000, 1), (20_000, 2, 1)))
    >>> inverse = InverseDynamics.fit(None, start, start + actions.sum(1), actions)
    >>> inverse.blocks(torch.tensor([[1.0]]), torch.tensor([[4.0]])).flatten().round(decimals=1).tolist()
    [1.5, 1.5]
    """

    encoder: Encoder
    weight: Float[Tensor, "I H A"]
    source: dict[str, Any]

    def __repr__(self) -> str:
        return short_repr(self)

    @classmethod
    def fit(
        cls,
        encoder: Encoder,
        latents: Float[Tensor, "N D"],
        goals: Float[Tensor, "N D"],
        blocks: Float[Tensor, "N H A"],
        *,
        ridge: float = 1e-3,
        source: dict[str, Any] | None = None,
    ) -> InverseDynamics:
        """Fit it to recorded windows.

        Parameters
        ----------
        encoder : WorldModel
        latents, goals : Tensor (N, D)
            Of the first and of the last frame.
        blocks : Tensor (N, H, A)
            Scaled, between them.
        ridge : float
            Weight of the squared coefficients, in units of the mean variance of the 2 D inputs.
        source : dict, optional
            What it was fitted on.

        Returns
        -------
        InverseDynamics

        Raises
        ------
        InputError
            Fewer than two windows, another number of goals or blocks, numbers that are not finite.

        Notes
        -----
        O(N D^2 + D^3), in float64.
        """
        check_positive("ridge", ridge)
        if len(latents) < 2 or latents.shape != goals.shape or len(blocks) != len(latents):
            raise InputError(
                f"got {len(latents)} latents, {len(goals)} goals and {len(blocks)} plans, expected as many of each and at "
                "least 2: pass whole windows"
            )
        inputs, wanted = torch.cat([latents, goals], 1).double(), blocks.flatten(1).double()
        if not (inputs.isfinite().all() and wanted.isfinite().all()):
            raise InputError("windows hold numbers that are not finite, expected finite ones: leave out the last rows")
        middle, mean = inputs.mean(0), wanted.mean(0)
        centred = inputs - middle
        covariance = centred.mT @ centred / len(inputs)
        damped = covariance + ridge * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=covariance.dtype)
        slope = torch.linalg.lstsq(damped, centred.mT @ (wanted - mean) / len(inputs), driver="gelsd").solution
        weight = torch.cat([slope, (mean - middle @ slope)[None]])
        return cls(encoder, weight.unflatten(1, blocks.shape[1:]), dict(source or {}))

    def describe(self) -> dict[str, Any]:
        """Kind, shape, and what it was fitted on."""
        return {"proposal": "inverse", "horizon": self.weight.shape[1], **self.source}

    def blocks(self, latents: Float[Tensor, "E D"], goals: Float[Tensor, "E D"]) -> Float[Tensor, "E H A"]:
        """Apply the map.

        Parameters
        ----------
        latents, goals : Tensor (E, D)
            Of the present and of the goal, as :attr:`encoder` gives them.

        Returns
        -------
        Tensor (E, H, A)
            Scaled, in the type and on the device of the latents.
        """
        weight = self.weight.to(latents.device)
        inputs = torch.cat([latents, goals], 1).double()
        return (torch.tensordot(inputs, weight[:-1], 1) + weight[-1]).to(latents)


def proposed_mean(
    proposal: Proposal, latents: Float[Tensor, "E D"], goals: Float[Tensor, "E D"], horizon: int
) -> Float[Tensor, "E H A"]:
    """A proposal's blocks, cut to the horizon or filled up with 0; each episode by itself, so that company changes nothing.

    Parameters
    ----------
    proposal : Proposal
    latents, goals : Tensor (E, D)
        As the proposal's encoder gives them.
    horizon : int

    Returns
    -------
    Tensor (E, horizon, A)

    Notes
    -----
    O(E) calls of the proposal.

    Examples
    --------
    >>> class Way:
    ...     def blocks(self, latents, goals):
    ...         return (goals - latents)[:, None]
    >>> proposed_mean(Way(), torch.tensor([[1.0]]), torch.tensor([[3.0]]), horizon=2).tolist()
    [[[2.0], [0.0]]]
    """
    with torch.inference_mode():
        pairs = zip(latents.split(1), goals.split(1), strict=True)
        given = torch.cat([proposal.blocks(now, goal) for now, goal in pairs])[:, :horizon]
    return torch.cat([given, given.new_zeros(len(given), horizon - given.shape[1], given.shape[2])], 1)
