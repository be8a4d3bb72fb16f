"""A world family and a fit of one's own in the headline experiment: a trained JEPA beside its bounds."""

from pathlib import Path

import numpy as np

import spectral_jepa as sj
from spectral_jepa.jepa import JepaConfig, Run, train_jepa
from spectral_jepa.plotting.drawing import bounds_figures


def carousel(seed):
    """Twelve places on a circle: action a turns by a, the wheel sticks with probability .3, place 0 is rewarded."""
    turns = [0.7 * np.roll(np.eye(12), a, axis=1) + 0.3 * np.eye(12) for a in (1, 3)]
    return sj.TabularMDP(turns, reward=np.random.default_rng(seed).random(12))


def jepa(sampled, dim, seed):
    """The embedding of a JEPA trained on the counts by the spectral loss."""
    config = JepaConfig(loss="spectral", regularizer="none", n_steps=150)
    return train_jepa(sampled, [Run(dim=dim, seed=seed)], config).embedding(0)


table = sj.sweep_bounds({"carousel": carousel}, fit=jepa, dims=[1, 4, 8], n_transitions=[2000], n_seeds=1, progress=False)
bounds_figures(table)["bound_vs_dim_carousel"].savefig(Path("bounds.png"))
print(table.groupby("dim")[["root_risk", "goal_regret", "goal_pointwise"]].mean().round(3))
