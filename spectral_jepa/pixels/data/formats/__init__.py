"""Data of the field, read as episodes of ours: one module a format, chosen by what is in the files, not by their names."""

from __future__ import annotations

from spectral_jepa.pixels.data.formats.conversion import convert
from spectral_jepa.pixels.data.formats.known import FORMATS, open_recording
from spectral_jepa.pixels.data.formats.recording import Recording

__all__ = ["FORMATS", "Recording", "convert", "open_recording"]
