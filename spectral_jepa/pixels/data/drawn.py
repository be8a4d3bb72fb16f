"""Pictures that are not stored: drawn from the states of their rows when they are asked for, on the device of the states."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectral_jepa._shapes import Float, Int, UInt8
from spectral_jepa.pixels.environments.base import PixelEnvironment
from spectral_jepa.pixels.interfaces import RepeatedPictures


class DrawnPictures:
    """Stands where a dataset has its array of pictures (rows, S, S, 3); a state takes 16 bytes, a 224 px picture 147 KiB.

    Parameters
    ----------
    world : type
        A :class:`~spectral_jepa.pixels.environments.base.PixelEnvironment` with ``draw_states``.
    states : Tensor (rows, n)
        A state a row, on the device that is to draw.
    image_size : int
        S, in pixels.

    Raises
    ------
    InputError
        The environment does not draw from states.

    Notes
    -----
    Indexed with rows it draws them and gives an array on the CPU, bit for bit what a file of the same episodes holds.

    Examples
    --------
    >>> from spectral_jepa.pixels.environments import environment_class
    >>> pictures = DrawnPictures(environment_class("two_room"), torch.tensor([[60.0, 120.0], [160.0, 60.0]]), 64)
    >>> len(pictures), pictures.shape, pictures[1].shape, pictures[np.array([[1, 0]])].shape
    (2, (2, 64, 64, 3), (64, 64, 3), (1, 2, 64, 64, 3))
    >>> pictures[0][34, 17].tolist(), pictures.draw(torch.tensor([1]))[0, 17, 45].tolist()
    ([255, 0, 0], [255, 0, 0])
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, world: type[PixelEnvironment], states: Float[Tensor, "N n"], image_size: int) -> None:
        world.draw_states(states[:1], image_size)
        self.world, self.states, self.image_size = world, states, image_size

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(rows, S, S, 3)."""
        return (len(self.states), self.image_size, self.image_size, 3)

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """Pictures of an integer, a slice or an array of rows, on the CPU."""
        chosen = np.asarray(np.arange(len(self))[rows])
        return self.draw(torch.from_numpy(chosen)).cpu().numpy()

    def draw(self, rows: Int[Tensor, "*k"]) -> UInt8[Tensor, "*k S S 3"]:
        """Draw rows.

        Parameters
        ----------
        rows : integer Tensor (...)
            On any device.

        Returns
        -------
        uint8 Tensor (..., S, S, 3)
            On the device of the states.

        Notes
        -----
        O(rows S^2).
        """
        chosen = self.states[rows.reshape(-1).to(self.states.device)]
        return self.world.draw_states(chosen, self.image_size).view(*rows.shape, *self.shape[1:])

    def repeated(self, rows: Int[Tensor, "*k"]) -> RepeatedPictures:
        """Draw each state among the rows once.

        Parameters
        ----------
        rows : integer Tensor (...)
            On any device.

        Returns
        -------
        RepeatedPictures of shape (..., S, S, 3)
            Of which ``whole`` is what :meth:`draw` gives.

        Notes
        -----
        O(rows log rows) and a picture a state.
        """
        chosen = self.states[rows.reshape(-1).to(self.states.device)]
        distinct, numbers = torch.unique(chosen, dim=0, return_inverse=True)
        return RepeatedPictures(self.world.draw_states(distinct, self.image_size), numbers.view(rows.shape))

    def to(self, device: torch.device) -> DrawnPictures:
        """The same pictures, drawn on another device."""
        return DrawnPictures(self.world, self.states.to(device), self.image_size)
