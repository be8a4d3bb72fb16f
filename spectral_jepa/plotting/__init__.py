"""Figures as values: one style, the figures of single commands, the drawings of the experiments, and plots on your own axis.

Every ``plot_*`` takes an axis of matplotlib (``axis=``, default: that of a new figure) and returns it; ``axis.figure`` is
what a notebook shows.
"""

from spectral_jepa.plotting.analysis import analysis_figure, plot_held_out_risk, plot_log_spectrum, plot_oracle_terms
from spectral_jepa.plotting.figures import demo_figure, plot_error, plot_regret, plot_spectrum, plot_tails, spectrum_figure
from spectral_jepa.plotting.worlds import plot_plan, plot_transition, plot_world

__all__ = [
    "analysis_figure",
    "demo_figure",
    "plot_error",
    "plot_held_out_risk",
    "plot_log_spectrum",
    "plot_oracle_terms",
    "plot_plan",
    "plot_regret",
    "plot_spectrum",
    "plot_tails",
    "plot_transition",
    "plot_world",
    "spectrum_figure",
]
