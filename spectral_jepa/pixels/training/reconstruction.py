"""A decoder trained along with a world model: what makes it an autoencoding one, which keeps whatever fills the picture.

No part of LeWM (arXiv 2603.19312); the baseline that its latent prediction is compared with.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectral_jepa._shapes import Float
from spectral_jepa.pixels.interfaces import RepeatedPictures
from spectral_jepa.pixels.model.encoder import Normalize

HIDDEN = 64


class PictureDecoder(nn.Module):
    """Latents to pictures as the encoder sees them, normalised: Linear, GELU, Linear.

    Parameters
    ----------
    dim : int
        D of the latents.
    image_size : int
        S.

    Examples
    --------
    >>> decoder = PictureDecoder(4, 8)
    >>> black = as_repeated(torch.zeros(5, 2, 8, 8, 3, dtype=torch.uint8))
    >>> decoder(torch.zeros(5, 2, 4)).shape, decoder.error(torch.zeros(5, 2, 4), black).shape
    (torch.Size([5, 2, 192]), torch.Size([]))
    """

    def __init__(self, dim: int, image_size: int) -> None:
        super().__init__()
        self.normalize = Normalize(image_size)
        self.hidden = nn.Linear(dim, HIDDEN)
        self.output = nn.Linear(HIDDEN, 3 * image_size**2)

    def forward(self, latents: Float[Tensor, "... D"]) -> Float[Tensor, "... P"]:
        """Draw: (..., D) to (..., 3 S S), channels first."""
        return self.output(F.gelu(self.hidden(latents)))

    def error(self, latents: Float[Tensor, "... D"], pictures: RepeatedPictures) -> Float[Tensor, ""]:
        """Mean squared error over pictures, pixels and channels, without drawing: the square of W h + b - x is expanded.

        Parameters
        ----------
        latents : Tensor (..., D)
        pictures : RepeatedPictures (..., S, S, 3)
            What they should show.

        Returns
        -------
        Tensor ()

        Notes
        -----
        O(U P + P W + n W) W for U distinct pictures of P numbers and n latents, where drawing takes O(n P W).
        """
        weight, bias = self.output.weight, self.output.bias
        hidden = F.gelu(self.hidden(latents))
        rest = self.normalize(pictures.distinct).flatten(1).to(weight.dtype) - bias
        along, size = (rest @ weight)[pictures.numbers], rest.square().sum(-1)[pictures.numbers]
        squares = ((hidden @ (weight.mT @ weight)) * hidden).sum(-1) - 2 * (hidden * along).sum(-1) + size
        return squares.mean() / len(weight)


def as_repeated(frames: Tensor | RepeatedPictures, first: int = 0) -> RepeatedPictures:
    """Frames from the given one of each clip on, as pictures and their numbers.

    Parameters
    ----------
    frames : Tensor or RepeatedPictures (B, T, S, S, 3)
    first : int

    Returns
    -------
    RepeatedPictures (B, T - first, S, S, 3)

    Examples
    --------
    >>> as_repeated(torch.zeros(3, 2, 4, 4, 3), first=1).numbers.tolist()
    [[0], [1], [2]]
    """
    if isinstance(frames, RepeatedPictures):
        return RepeatedPictures(frames.distinct, frames.numbers[:, first:])
    chosen = frames[:, first:].flatten(0, 1)
    return RepeatedPictures(chosen, torch.arange(len(chosen), device=frames.device).view(len(frames), -1))
