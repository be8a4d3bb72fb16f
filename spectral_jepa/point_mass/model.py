"""Encoder, action encoder, GRU predictor and decoder of the point-mass experiment."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_count, require_memory
from spectral_jepa.point_mass.settings import PointMassSettings


class PointMassModel(nn.Module):
    """Latent world model: z = f(x), GRU over encoded actions from a hidden state read off z, zhat read off the GRU.

    Parameters
    ----------
    observation_dim : int
        D.
    dim : int
        Latent dimension k.
    settings : PointMassSettings
        Widths.
    generator : torch.Generator
        Draws the initial weights, on the CPU: uniform in +-1/sqrt(fan-in), torch's own law for these layers.
    device : str or torch.device

    Raises
    ------
    InputError
        A dimension below 1.

    Notes
    -----
    Encoder and decoder are MLPs with two hidden layers. The decoder belongs to the input arm; the others leave it untrained.

    Examples
    --------
    >>> model = PointMassModel(20, 4, PointMassSettings(), torch.Generator().manual_seed(0))
    >>> latent = model.encode(torch.zeros(5, 20))
    >>> latent.shape, model.predict(latent, torch.zeros(5, 7, 2)).shape
    (torch.Size([5, 4]), torch.Size([5, 7, 4]))
    """

    @checked()
    def __init__(
        self,
        observation_dim: int,
        dim: int,
        settings: PointMassSettings,
        generator: torch.Generator,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()
        check_count("observation_dim", observation_dim)
        check_count("dim", dim)
        width = settings.hidden
        require_memory((observation_dim + dim, width + dim), "the model", "use fewer features or dimensions")
        # Built without values: torch's constructors would draw them from the global stream.
        with torch.device("meta"):
            self.encoder = mlp(observation_dim, width, dim)
            self.decoder = mlp(dim, width, observation_dim)
            self.action_encoder = nn.Sequential(nn.Linear(2, settings.action_dim), nn.Tanh())
            self.initial = nn.Linear(dim, width)
            self.cell = nn.GRUCell(settings.action_dim, width)
            self.head = nn.Linear(width, dim)
        self.to_empty(device="cpu")
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, (nn.Linear, nn.GRUCell)):
                    fan_in = module.in_features if isinstance(module, nn.Linear) else module.hidden_size
                    for parameter in module.parameters(recurse=False):
                        parameter.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
        self.to(device)

    def encode(self, observation: Tensor) -> Tensor:
        """f(x): (..., D) -> (..., k)."""
        return self.encoder(observation)

    def decode(self, latent: Tensor) -> Tensor:
        """xhat: (..., k) -> (..., D)."""
        return self.decoder(latent)

    def predict(self, latent: Tensor, action: Tensor) -> Tensor:
        """Roll the predictor out.

        Parameters
        ----------
        latent : Tensor (N, k)
        action : Tensor (N, T, 2)

        Returns
        -------
        Tensor (N, T, k)
            zhat after 1, ..., T actions.

        Raises
        ------
        InputError
            Shapes that do not match.
        """
        if action.ndim != 3 or latent.ndim != 2 or len(action) != len(latent):
            raise InputError(
                f"action has shape {tuple(action.shape)} and latent {tuple(latent.shape)}, expected (N, T, 2) and (N, k): "
                "flatten leading axes first"
            )
        encoded, hidden, outputs = self.action_encoder(action), self.initial(latent), []
        for t in range(action.shape[1]):
            hidden = self.cell(encoded[:, t], hidden)
            outputs.append(hidden)
        return self.head(torch.stack(outputs, 1))


@checked()
def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two hidden layers of SiLU units.

    Parameters
    ----------
    inputs, width, outputs : int

    Returns
    -------
    nn.Sequential
        (..., inputs) to (..., outputs).

    Examples
    --------
    >>> sum(p.numel() for p in mlp(2, 3, 1).parameters()) == (2 * 3 + 3) + (3 * 3 + 3) + (3 + 1)
    True
    """
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))
