"""A rollout that torch compiles where there is a compiler, and that runs as it is where there is none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectral_jepa._validation import warn_user
from spectral_jepa.pixels.interfaces import PlanningModel


class CompiledRollout:
    """The rollout of a trained model, compiled at its first call; plans agree with uncompiled ones up to rounding.

    Parameters
    ----------
    model : WorldModel
        In evaluation mode. On a CPU its weights become constants of what is compiled where no gradient is asked for: one
        that is trained further needs another CompiledRollout.

    Notes
    -----
    One compilation a shape (half a minute; a search has one, and one more for each number of given latents), by
    ``torch.compile``. Without a compiler a warning says so once and the model's own rollout is used.

    Examples
    --------
    Here with a compiler that is not there:

    >>> import warnings
    >>> class Adder:  # z_{t+1} = z_t + a_t
    ...     def rollout(self, latents, blocks):
    ...         return latents[:, -1:] + blocks.cumsum(1)
    >>> def broken(graph, inputs):
    ...     raise RuntimeError("no compiler")
    >>> quick = CompiledRollout(Adder())
    >>> quick.compiled = torch.compile(quick.model.rollout, backend=broken)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     quick.rollout(torch.zeros(1, 1, 1), torch.ones(1, 2, 1)).flatten().tolist()
    [1.0, 2.0]
    >>> str(caught[0].message)
    'torch cannot compile here (no compiler), ...
    """

    def __init__(self, model: PlanningModel) -> None:
        self.model = model
        self.compiled: Any = None
        self.failed = False

    def rollout(self, latents: Tensor, blocks: Tensor, *more: Tensor) -> Tensor:
        """As the model's.

        Parameters
        ----------
        latents : Tensor (N, h, D)
        blocks : Tensor (N, H, block_dim)
        *more : Tensor (N, h - 1, block_dim)
            Blocks between the latents, for h > 1.

        Returns
        -------
        Tensor (N, H, D)
        """
        # Not above: it is slow to import, and most runs compile nothing.
        from torch._dynamo.exc import BackendCompilerFailed

        if self.failed:
            return self.model.rollout(latents, blocks, *more)
        if self.compiled is None:
            # What is constant can be folded and packed for its products, once.
            constant = latents.device.type == "cpu"
            options: dict[str, Any] | None = {"freezing": True} if constant else None
            self.compiled = torch.compile(self.model.rollout, dynamic=False, options=options)
        try:
            return self.compiled(latents, blocks, *more)
        except BackendCompilerFailed as error:
            self.failed = True
            cause = str(error.inner_exception).strip().splitlines()
            warn_user(
                f"torch cannot compile here ({cause[0] if cause else type(error).__name__}), so plans are made without: "
                "install g++, or leave out planning.compile"
            )
            return self.model.rollout(latents, blocks, *more)

    def __getstate__(self) -> dict[str, Any]:
        # What is compiled belongs to its process.
        return {"model": self.model, "compiled": None, "failed": self.failed}
