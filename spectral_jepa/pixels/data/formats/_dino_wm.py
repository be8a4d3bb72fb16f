"""The Push-T data of DINO-WM (Zhou et al., arXiv 2411.04983): one tensor a quantity, padded, and an mp4 an episode.

A folder (``train`` or ``val``) holds ``states.pth`` (N, T, 5), ``velocities.pth`` (N, T, 2), ``rel_actions.pth`` (N, T, 2)
in px, ``seq_lengths.pkl`` and ``obses/episode_000.mp4``. A relative action is divided by 100, as its own loader does:
the units of our push_t; states with velocities are the seven numbers that push_t reads.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spectral_jepa._validation import InputError, first_line
from spectral_jepa.pixels.data.formats._video import frames_of
from spectral_jepa.pixels.data.formats.recording import Picture, Recording, rows

NAME = "the Push-T data of DINO-WM (a folder with states.pth, rel_actions.pth, seq_lengths.pkl and obses)"
FILES = ("states.pth", "rel_actions.pth", "seq_lengths.pkl")
PIXELS_PER_ACTION = 100.0
# What a list of lengths is made of; everything else in a pickle could run code.
ALLOWED = {
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
}  # fmt: skip


def recognises(path: Path) -> bool:
    """A folder with its three files and its folder of videos."""
    return (path / "obses").is_dir() and all((path / name).is_file() for name in FILES)


def read(path: Path, camera: str | None) -> Recording:
    """The recording of such a folder."""
    if camera is not None:
        raise InputError(f"--camera is {camera!r}, but {path} has one video an episode, expected none: leave it out")
    lengths = _lengths(path / "seq_lengths.pkl")
    states, actions = (_tensor(path / name, len(lengths)) for name in FILES[:2])
    if (path / "velocities.pth").is_file():
        states = np.concatenate([states, _tensor(path / "velocities.pth", len(lengths))], axis=2)

    def episode(k: int, picture: Picture) -> dict[str, NDArray[Any]]:
        n = int(lengths[k])
        frames = frames_of(path / "obses" / f"episode_{k:03d}.mp4", count=n)
        moves = actions[k, :n].astype(np.float64) / PIXELS_PER_ACTION
        return rows((picture(frame) for frame in frames), moves, {"state": states[k, :n]}, f"{path}: episode {k}")

    return Recording("Push-T of DINO-WM", len(lengths), episode)


def _tensor(file: Path, count: int) -> NDArray[Any]:
    try:
        value = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        array = np.asarray(value)
    except Exception as error:  # torch has many for a file that is no tensor
        raise InputError(f"{file} holds no tensor ({first_line(error)[:100]}), expected (N, T, n): copy it anew") from None
    if array.ndim != 3 or len(array) != count:
        raise InputError(f"{file} holds a tensor {array.shape}, expected ({count}, T, n): copy the whole folder anew")
    return array


class _Numbers(pickle.Unpickler):
    """Reads numbers and arrays of them and refuses whatever else a pickle can name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def _lengths(file: Path) -> NDArray[np.int64]:
    try:
        with file.open("rb") as opened:
            lengths = np.asarray(_Numbers(opened).load(), dtype=np.int64)
    except Exception as error:  # of pickle, or of numpy
        raise InputError(
            f"{file} is no list of lengths ({first_line(error)[:100]}), expected whole numbers: copy it anew"
        ) from None
    if lengths.ndim != 1 or not lengths.size or lengths.min() < 2:
        raise InputError(f"{file} holds lengths {lengths.shape}, expected (N,), each at least 2: copy it anew")
    return lengths
