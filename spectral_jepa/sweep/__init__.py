"""Experiments and their results: cells run once each wherever there is room, kept as files, laid out as one tidy table."""

from spectral_jepa.sweep.bounds import sweep_bounds
from spectral_jepa.sweep.run import run_sweep, sweep_status

__all__ = ["run_sweep", "sweep_bounds", "sweep_status"]
