"""Data of the pixel world models: collected or recorded episodes, their split, scaled actions, training clips."""

from __future__ import annotations

from spectral_jepa.pixels.data.actions import ActionScaler
from spectral_jepa.pixels.data.episodes import EpisodeDataset, split_episodes
from spectral_jepa.pixels.data.hdf5 import write_episodes
from spectral_jepa.pixels.data.unpacking import open_dataset
from spectral_jepa.pixels.data.windows import WindowSampler, window_starts

__all__ = [
    "ActionScaler",
    "EpisodeDataset",
    "WindowSampler",
    "open_dataset",
    "split_episodes",
    "window_starts",
    "write_episodes",
]
