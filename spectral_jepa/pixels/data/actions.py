"""Actions in the environment's units and in the model's: the scaler between them, and blocks of scaled actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from spectral_jepa._shapes import Float
from spectral_jepa._validation import InputError, as_float
from spectral_jepa.pixels.data.episodes import EpisodeDataset, check_ids, raw_actions
from spectral_jepa.pixels.interfaces import ActionScaling


@dataclass(frozen=True)
class ActionScaler:
    """Z-score of each action coordinate: planners and networks work in its units, environments in raw ones.

    Parameters
    ----------
    mean, std : tuple of A floats
        In raw units. A standard deviation of 0 is that of a coordinate that is constant in the data: it is scaled by 1, and
        :meth:`denormalize` leaves it at its mean, so that no plan asks for what was never seen.

    Examples
    --------
    >>> scaler = ActionScaler.fit([[0.0, 1.0], [2.0, 1.0], [float("nan"), float("nan")]])
    >>> scaler.mean, scaler.std
    ((1.0, 1.0), (1.4142135623730951, 0.0))
    >>> scaler.normalize(np.array([1.0, 4.0])), scaler.denormalize(scaler.normalize(np.array([3.0, 4.0])))
    (array([0., 3.]), array([3., 1.]))
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, actions: ArrayLike) -> ActionScaler:
        """Mean and unbiased standard deviation over rows (rows, A), those with a NaN left out; 0 for a constant one.

        Raises
        ------
        InputError
            Fewer than two complete rows.
        """
        array = np.asarray(actions, dtype=np.float64)
        array = array[~np.isnan(array).any(axis=1)]
        if len(array) < 2:
            raise InputError(f"the actions have {len(array)} complete rows, expected at least 2: use longer episodes")
        constant = array.min(axis=0) == array.max(axis=0)
        mean, std = np.where(constant, array[0], array.mean(axis=0)), np.where(constant, 0.0, array.std(axis=0, ddof=1))
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    @classmethod
    def from_dataset(cls, dataset: EpisodeDataset, episodes: ArrayLike) -> ActionScaler:
        """Fit on the raw actions of some episodes (the training ones)."""
        ids = check_ids("episodes", episodes, dataset.n_episodes)
        return cls.fit(
            raw_actions(dataset, np.concatenate([dataset.rows(int(i)) for i in ids])).reshape(-1, dataset.action_dim)
        )

    def normalize(self, actions: Any) -> Any:
        """(a - mean) / std for arrays or tensors (..., A), with 1 in the place of a standard deviation of 0."""
        mean, std = self._like(actions)
        return (actions - mean) / (std + (std == 0))

    def denormalize(self, actions: Any) -> Any:
        """Mean + std * a: the inverse of :meth:`normalize` for all coordinates that vary."""
        mean, std = self._like(actions)
        return mean + std * actions

    def _like(self, actions: Any) -> tuple[Any, Any]:
        if isinstance(actions, Tensor):
            return actions.new_tensor(self.mean), actions.new_tensor(self.std)
        dtype = np.asarray(actions).dtype
        return np.asarray(self.mean, dtype=dtype), np.asarray(self.std, dtype=dtype)

    def to_dict(self) -> dict[str, list[float]]:
        """For JSON; ``ActionScaler.from_dict`` is the inverse."""
        return {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: dict[str, list[float]]) -> ActionScaler:
        """Read :meth:`to_dict`'s value."""
        return cls(*(tuple(as_float(name, values[name], (None,)).tolist()) for name in ("mean", "std")))


def native_actions(blocks: Float[Tensor, "E n B"], scaler: ActionScaling) -> Float[np.ndarray, "E t A"]:
    """Scaled action blocks to raw actions in the environment's units, the inverse of :func:`scaled_blocks`.

    Parameters
    ----------
    blocks : Tensor (E, n, block * A)
        In units of the scaler, on any device.
    scaler : ActionScaler
        It has A coordinates.

    Returns
    -------
    float64 array (E, n * block, A)
        In raw units; not clipped to the environment's bounds.

    Notes
    -----
    O(E n block A).

    Examples
    --------
    >>> scaler = ActionScaler((0.0, 1.0), (1.0, 2.0))
    >>> native_actions(torch.tensor([[[1.0, 0.0, -1.0, 1.0]]]), scaler)
    array([[[ 1.,  1.],
            [-1.,  3.]]])
    """
    values = blocks.detach().to("cpu", torch.float64).numpy()
    return scaler.denormalize(values.reshape(len(values), -1, len(scaler.mean)))


def scaled_blocks(actions: ArrayLike, scaler: ActionScaling, action_block: int) -> Float[Tensor, "*E n B"]:
    """Raw actions to scaled action blocks.

    Parameters
    ----------
    actions : array (..., n * action_block, A)
        In raw units; NaN stays NaN.
    scaler : ActionScaler
    action_block : int
        Raw actions in a block; must divide their number.

    Returns
    -------
    float32 Tensor (..., n, action_block * A)
        On the CPU; a block holds its actions one after the other.

    Notes
    -----
    O(n action_block A).

    Examples
    --------
    >>> scaler = ActionScaler((0.0, 1.0), (1.0, 2.0))
    >>> scaled_blocks(np.ones((6, 2)), scaler, action_block=3).tolist()
    [[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]]
    """
    scaled = torch.as_tensor(scaler.normalize(np.asarray(actions)), dtype=torch.float32)
    return scaled.unflatten(-2, (-1, action_block)).flatten(-2)


def check_scaler(scaler: ActionScaling, action_dim: int) -> None:
    """Refuse a scaler of actions of another dimension.

    Parameters
    ----------
    scaler : ActionScaler
    action_dim : int
        A.

    Raises
    ------
    InputError
        Another number of means or standard deviations than A.

    Examples
    --------
    >>> check_scaler(ActionScaler((0.0, 1.0), (1.0, 2.0)), action_dim=2)
    >>> check_scaler(ActionScaler((0.0, 1.0), (1.0, 2.0)), action_dim=5)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: the action scaler has 2 means and 2 deviations, expected 5 of each as ...
    """
    if np.shape(scaler.mean) != (action_dim,) or np.shape(scaler.std) != (action_dim,):
        raise InputError(
            f"the action scaler has {np.size(scaler.mean)} means and {np.size(scaler.std)} deviations, expected "
            f"{action_dim} of each as there are action coordinates: use the scaler that was saved with the model"
        )
