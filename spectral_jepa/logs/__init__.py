"""A user's own transitions: read from a file with any labels, counted, and analysed."""

from spectral_jepa.logs.analysis import Analysis, analyze
from spectral_jepa.logs.counts import LogCounts, count_log, count_transitions
from spectral_jepa.logs.files import log_to_mdp, read_log, write_log
from spectral_jepa.logs.models import read_model

__all__ = [
    "Analysis",
    "LogCounts",
    "analyze",
    "count_log",
    "count_transitions",
    "log_to_mdp",
    "read_log",
    "read_model",
    "write_log",
]
