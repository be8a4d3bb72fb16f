"""A trained model as it is used: in evaluation mode, without gradients, on its own device, known by its weights.

So the published evaluation runs it too (LeWM, arXiv 2603.19312): BatchNorm by its running statistics, no dropout, float32.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectral_jepa._shapes import Float, UInt8
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import InputError, check_count, check_device
from spectral_jepa.pixels.data.episodes import Ids
from spectral_jepa.pixels.interfaces import Encoder, Pictures, TorchModel

Latents = NDArray[np.float32]


@contextmanager
def frozen(model: TorchModel) -> Iterator[torch.device]:
    """Evaluation mode without gradients inside the block; a training model is put back.

    Parameters
    ----------
    model : torch.nn.Module

    Yields
    ------
    torch.device
        Where the model's weights are.

    Examples
    --------
    >>> model = torch.nn.Dropout(0.5)
    >>> with frozen(model) as device:
    ...     print(device, model.training)
    cpu False
    >>> model.training
    True
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield device_of(model)
    finally:
        model.train(training)


def encode_frames(
    model: Encoder, frames: UInt8[np.ndarray, "N H W 3"], *, batch_size: int = 256, progress: str | None = None
) -> Float[np.ndarray, "N D"]:
    """Embed frames with a trained model, in batches, in evaluation mode.

    Parameters
    ----------
    model : WorldModel
        Anything with ``encode``: uint8 (B, H, W, 3) to (B, D).
    frames : uint8 array (N, H, W, 3)
        May be a memory map; only one batch is read at a time.
    batch_size : int
        Frames a call; lower it where memory is short.
    progress : str, optional
        Title of a progress bar. Default: none.

    Returns
    -------
    float32 array (N, D)
        The same whatever ``batch_size``, up to the rounding of the device.

    Raises
    ------
    InputError
        Frames of another layout, or none.

    Notes
    -----
    O(N) passes of the encoder.

    Examples
    --------
    >>> class Mean(torch.nn.Module):
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2)) / 255
    >>> encode_frames(Mean(), np.full((5, 4, 4, 3), 51, np.uint8), batch_size=2).round(3)[0].tolist()
    [0.20000000298023224, 0.20000000298023224, 0.20000000298023224]
    """
    return encode_rows(model, frames, np.arange(len(frames)), batch_size=batch_size, progress=progress)


def encode_rows(
    model: Encoder, pixels: Pictures, rows: Ids, *, batch_size: int = 256, progress: str | None = None
) -> Latents:
    """Embed chosen rows of many pictures, of which only these are read.

    Parameters
    ----------
    model : WorldModel
        Anything with ``encode``: uint8 (B, H, W, 3) to (B, D).
    pixels : uint8 array (rows, H, W, 3)
        May be a memory map.
    rows : integer array (N,)
        In any order.
    batch_size : int
        Frames a call.
    progress : str, optional
        Title of a progress bar. Default: none.

    Returns
    -------
    float32 array (N, D)

    Raises
    ------
    InputError
        Pictures of another layout, no row, a batch size below 1.

    Notes
    -----
    O(N) passes of the encoder; one batch of pictures is in memory at a time.

    Examples
    --------
    >>> class Mean(torch.nn.Module):
    ...     def encode(self, frames):
    ...         return frames.float().mean((1, 2))
    >>> pixels = np.arange(8, dtype=np.uint8).repeat(4 * 4 * 3).reshape(8, 4, 4, 3)
    >>> encode_rows(Mean(), pixels, np.array([7, 2]), batch_size=1).tolist()
    [[7.0, 7.0, 7.0], [2.0, 2.0, 2.0]]
    """
    check_count("batch_size", batch_size)
    shape = tuple(pixels.shape)
    if len(shape) != 4 or shape[-1] != 3 or not rows.size:
        raise InputError(f"frames have shape {shape}, expected (N, height, width, 3) with N >= 1: put the colour axis last")
    parts = []
    with frozen(model) as device, Bar(total=rows.size, desc=progress, disable=progress is None, unit="frame") as bar:
        for start in range(0, rows.size, batch_size):
            # A copy: memory maps are read-only, and torch shares memory with what it is given.
            batch = np.array(pixels[rows[start : start + batch_size]], dtype=np.uint8)
            parts.append(model.encode(torch.from_numpy(batch).to(device)).float().cpu().numpy())
            bar.update(len(batch))
    return np.concatenate(parts)


def encode_one_by_one(model: Encoder, frames: UInt8[np.ndarray, "N H W 3"]) -> Float[Tensor, "N D"]:
    """Latents that do not depend on their company: on a CPU one picture at a time, on a GPU in batches.

    Parameters
    ----------
    model : Encoder
        In evaluation mode already.
    frames : uint8 array (N, H, W, 3)

    Returns
    -------
    Tensor (N, D)
        On the model's device; on a CPU bit for bit the same whatever else is encoded.

    Notes
    -----
    Slower than :func:`encode_frames`, which batches on a CPU too and is right up to rounding.

    Examples
    --------
    >>> calls = []
    >>> class Mean(torch.nn.Module):
    ...     def encode(self, frames):
    ...         calls.append(len(frames))
    ...         return frames.float().mean((1, 2))
    >>> pixels = np.arange(2, dtype=np.uint8).repeat(4 * 4 * 3).reshape(2, 4, 4, 3)
    >>> encode_one_by_one(Mean(), pixels).tolist(), calls
    ([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], [1, 1])
    """
    pictures = torch.as_tensor(frames).to(device_of(model))
    with torch.inference_mode():
        if pictures.device.type == "cpu":
            return torch.cat([model.encode(picture[None]) for picture in pictures])
        return torch.cat([model.encode(part) for part in pictures.split(256)]).float()


def device_of(model: TorchModel) -> torch.device:
    """Where a model's weights are.

    Parameters
    ----------
    model : torch.nn.Module
        On one device.

    Returns
    -------
    torch.device
        The CPU if it has no weights.

    Examples
    --------
    >>> device_of(torch.nn.Linear(2, 1, device="meta")), device_of(torch.nn.Identity())
    (device(type='meta'), device(type='cpu'))
    """
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def usable_device(device: str | torch.device) -> torch.device:
    """A device that torch can compute on here.

    Parameters
    ----------
    device : str or torch.device
        Such as "cpu", "cuda" or "cuda:1".

    Returns
    -------
    torch.device

    Raises
    ------
    InputError
        A device that torch does not know, was built without, does not have, or cannot compute on.

    Examples
    --------
    >>> usable_device("cpu")
    device(type='cpu')
    >>> usable_device("meta")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: device is 'meta', which torch cannot use here (...), expected ...
    """
    return torch.device(check_device("device", device))


def require_compiler(setting: str) -> None:
    """Refuse to compile on a machine where torch would find no C++ compiler: it builds its loops with one, for a GPU too.

    Parameters
    ----------
    setting : str
        What asks for it, such as "training.compile".

    Raises
    ------
    InputError
        Neither the environment variable CXX nor g++ names a program that is there.

    Examples
    --------
    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, {"CXX": "no_such_compiler"}):
    ...     require_compiler("training.compile")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: training.compile is True and there is no C++ compiler 'no_such_compiler', ...
    """
    wanted = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    # CXX may carry options, as in "ccache g++".
    if shutil.which(wanted.split()[0]) is None:
        raise InputError(
            f"{setting} is True and there is no C++ compiler {wanted!r}, expected one on the PATH: install g++, name "
            f"another in CXX, or leave {setting} out"
        )


def weights_digest(model: TorchModel) -> str:
    """SHA-256 of all weights and buffers, names included.

    Parameters
    ----------
    model : torch.nn.Module
        On any device.

    Returns
    -------
    str
        64 hexadecimal digits; the same on every device and in every process.

    Notes
    -----
    O(bytes).

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1)
    >>> with torch.no_grad():
    ...     _ = model.weight.fill_(1.0), model.bias.fill_(0.0)
    >>> content = b"bias" + np.float32(0).tobytes() + b"weight" + np.float32(1).tobytes()
    >>> weights_digest(model) == hashlib.sha256(content).hexdigest()
    True
    """
    content = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        content.update(name.encode())
        content.update(value.detach().to("cpu").contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return content.hexdigest()
