"""Encoders and predictors of many tabular JEPAs at once: every parameter carries a leading axis of runs.

Runs of different latent dimension share one tensor, padded with zeros up to the largest. A padded coordinate of f and of g
is 0, all gradients into it are 0, and Adam and SGD leave it there, so padding never changes a run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spectral_jepa._streams import torch_generator
from spectral_jepa.jepa.config import JepaConfig, Run

# Name -> (shape for a given latent dimension, standard deviation of the initial draw).
Shapes = dict[str, tuple[tuple[int, ...], float]]


class Stacked(nn.Module):
    """Parameters of R networks of one kind, drawn run by run and stacked.

    Parameters
    ----------
    runs : sequence of Run
        Their seeds and dimensions.
    stream : int
        Which of a run's streams of random numbers its weights come from: 0 an encoder, 1 a predictor.
    dtype : torch.dtype
        Of the parameters; drawn in float64.
    """

    def __init__(self, runs: Sequence[Run], stream: int, dtype: torch.dtype) -> None:
        super().__init__()
        largest = max(run.dim for run in runs)
        whole = {name: torch.zeros(len(runs), *shape, dtype=dtype) for name, (shape, _) in self.shapes(largest).items()}
        for number, run in enumerate(runs):
            generator = torch_generator(run.seed, stream, tabular=True)
            for name, (shape, spread) in self.shapes(run.dim).items():
                drawn = spread * torch.randn(shape, generator=generator, dtype=torch.float64)
                corner: Any = (number, *(slice(0, size) for size in shape))
                whole[name][corner] = drawn.to(dtype)
        for name, value in whole.items():
            self.register_parameter(name, nn.Parameter(value))

    def shapes(self, dim: int) -> Shapes:
        """Shapes and initial spreads at latent dimension ``dim``."""
        raise NotImplementedError


class FreeTable(Stacked):
    """f(x) or g(x, a) as a free table over its rows, held times the root of the rows' law.

    So rare rows learn as fast as others. As a predictor it does not look at the latent.

    Parameters
    ----------
    runs, stream, dtype
        As in :class:`Stacked`.
    scale : Tensor (n_rows,) or (R or 1, n_rows)
        One over the root of the rows' law, which the parameter is multiplied by; 0 for a row without mass.
    """

    table: Tensor
    scale: Tensor

    def __init__(self, runs: Sequence[Run], stream: int, dtype: torch.dtype, scale: Tensor) -> None:
        self.n_rows = scale.shape[-1]
        super().__init__(runs, stream, dtype)
        self.register_buffer("scale", scale[..., None].to(dtype), persistent=False)

    def shapes(self, dim: int) -> Shapes:  # noqa: D102
        return {"table": ((self.n_rows, dim), 1 / math.sqrt(self.n_rows))}

    def forward(self, latent: Tensor | None = None) -> Tensor:  # noqa: D102
        return self.table * self.scale


class NetworkEncoder(Stacked):
    """f(x) as a two-layer network on features of the state.

    Parameters
    ----------
    runs, dtype
        As in :class:`Stacked`.
    n_states : int
        S.
    hidden : int
        Units of the hidden layer.
    features : Tensor (S, P) or None
        Inputs, the same for all runs; None is the one-hot code.
    """

    input: Tensor
    bias: Tensor
    output: Tensor
    features: Tensor | None

    def __init__(self, runs: Sequence[Run], dtype: torch.dtype, n_states: int, hidden: int, features: Tensor | None) -> None:
        self.n_inputs = n_states if features is None else features.shape[1]
        self.hidden, self.spread = hidden, 1.0 if features is None else 1 / math.sqrt(self.n_inputs)
        super().__init__(runs, 0, dtype)
        self.register_buffer("features", None if features is None else features.to(dtype), persistent=False)

    def shapes(self, dim: int) -> Shapes:  # noqa: D102
        return {
            "input": ((self.n_inputs, self.hidden), self.spread),
            "bias": ((self.hidden,), 0.1),
            "output": ((self.hidden, dim), 1 / math.sqrt(self.hidden)),
        }

    def forward(self) -> Tensor:  # noqa: D102
        first = self.input if self.features is None else self.features @ self.input
        return functional.gelu(first + self.bias[:, None]) @ self.output


class LinearPredictor(Stacked):
    """g(f, a) = W_a f.

    Parameters
    ----------
    runs, dtype
        As in :class:`Stacked`.
    n_actions : int
        A.
    """

    matrix: Tensor

    def __init__(self, runs: Sequence[Run], dtype: torch.dtype, n_actions: int) -> None:
        self.n_actions = n_actions
        super().__init__(runs, 1, dtype)

    def shapes(self, dim: int) -> Shapes:  # noqa: D102
        return {"matrix": ((self.n_actions, dim, dim), 1 / math.sqrt(dim))}

    def forward(self, latent: Tensor) -> Tensor:  # noqa: D102
        return (latent[:, None] @ self.matrix.mT).flatten(1, 2)


class NetworkPredictor(Stacked):
    """g(f, a) as a two-layer network on f and the one-hot action.

    Parameters
    ----------
    runs, dtype
        As in :class:`Stacked`.
    n_actions : int
        A.
    hidden : int
        Units of the hidden layer.
    """

    state: Tensor
    action: Tensor
    output: Tensor

    def __init__(self, runs: Sequence[Run], dtype: torch.dtype, n_actions: int, hidden: int) -> None:
        self.n_actions, self.hidden = n_actions, hidden
        super().__init__(runs, 1, dtype)

    def shapes(self, dim: int) -> Shapes:  # noqa: D102
        return {
            "state": ((dim, self.hidden), 1 / math.sqrt(dim)),
            "action": ((self.n_actions, self.hidden), 1.0),
            "output": ((self.hidden, dim), 1 / math.sqrt(self.hidden)),
        }

    def forward(self, latent: Tensor) -> Tensor:  # noqa: D102
        hidden = (latent @ self.state)[:, None] + self.action[:, :, None]
        return (functional.gelu(hidden) @ self.output[:, None]).flatten(1, 2)


class FilmPredictor(Stacked):
    """g(f, a) = f + output(gelu((1 + scale_a) W f + shift_a)): the action scales and shifts a layer (FiLM).

    AdaLN normalises the layer first; over the one or two coordinates of a small f that is a step function, which no two
    orders of summation train alike, so it is left out.

    Parameters
    ----------
    runs, dtype
        As in :class:`Stacked`.
    n_actions : int
        A.
    hidden : int
        Units of the layer.
    """

    state: Tensor
    scale: Tensor
    shift: Tensor
    output: Tensor

    def __init__(self, runs: Sequence[Run], dtype: torch.dtype, n_actions: int, hidden: int) -> None:
        self.n_actions, self.hidden = n_actions, hidden
        super().__init__(runs, 1, dtype)

    def shapes(self, dim: int) -> Shapes:  # noqa: D102
        return {
            "state": ((dim, self.hidden), 1 / math.sqrt(dim)),
            "scale": ((self.n_actions, self.hidden), 0.3),
            "shift": ((self.n_actions, self.hidden), 0.3),
            "output": ((self.hidden, dim), 1 / math.sqrt(self.hidden)),
        }

    def forward(self, latent: Tensor) -> Tensor:  # noqa: D102
        hidden = (latent @ self.state)[:, None]
        hidden = (1 + self.scale[:, :, None]) * hidden + self.shift[:, :, None]
        return (latent[:, None] + functional.gelu(hidden) @ self.output[:, None]).flatten(1, 2)


class BatchedJepa(nn.Module):
    """R tabular JEPAs: ``encoder()`` gives f (R, S, D), ``predictor(f)`` gives g (R, A * S, D), rows ordered action first.

    Parameters
    ----------
    config : JepaConfig
        Kinds and sizes of the networks.
    runs : sequence of Run
        R runs; D is their largest dimension.
    row_weight : Tensor (R or 1, A * S)
        Law of the state-action pairs.
    column_weight : Tensor (R or 1, S)
        Law of the next states.
    n_actions : int
        A.
    dtype : torch.dtype
        Of the parameters.
    """

    def __init__(
        self, config: JepaConfig, runs: Sequence[Run], row_weight: Tensor, column_weight: Tensor, n_actions: int,
        dtype: torch.dtype,
    ) -> None:  # fmt: skip
        super().__init__()
        n_states = column_weight.shape[-1]
        anchor = row_weight.unflatten(-1, (n_actions, n_states)).sum(-2)
        # A state may be an anchor and never a successor, or the other way round: the mean of both laws serves either use.
        state_scale, row_scale = _inverse_root((anchor + column_weight) / 2), _inverse_root(row_weight)
        self.encoder: Stacked
        if config.encoder == "table":
            self.encoder = FreeTable(runs, 0, dtype, state_scale)
        else:
            features = None
            if config.encoder == "features":
                features = torch.randn(
                    n_states, config.n_features, generator=torch_generator(0, 9, tabular=True), dtype=torch.float64
                )
            self.encoder = NetworkEncoder(runs, dtype, n_states, config.hidden, features)
        self.predictor: Stacked
        if config.predictor == "free":
            self.predictor = FreeTable(runs, 1, dtype, row_scale)
        elif config.predictor == "linear":
            self.predictor = LinearPredictor(runs, dtype, n_actions)
        elif config.predictor == "mlp":
            self.predictor = NetworkPredictor(runs, dtype, n_actions, config.hidden)
        else:
            self.predictor = FilmPredictor(runs, dtype, n_actions, config.hidden)


def _inverse_root(weight: Tensor) -> Tensor:
    return torch.where(weight > 0, weight, torch.inf).rsqrt()
