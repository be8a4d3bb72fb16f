"""Data of the pixel world models: files of episodes, their split, and training clips."""

from __future__ import annotations

from spectral_jepa.pixels.episodes import EpisodeDataset, split_episodes
from spectral_jepa.pixels.hdf5 import write_episodes
from spectral_jepa.pixels.unpacking import open_dataset
from spectral_jepa.pixels.windows import ActionScaler, WindowSampler, window_starts

__all__ = [
    "ActionScaler",
    "EpisodeDataset",
    "WindowSampler",
    "open_dataset",
    "split_episodes",
    "window_starts",
    "write_episodes",
]
