"""From an experiment's table to its figures: ``figures/<experiment>.py`` holds ``draw(table) -> {file name: Figure}``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from spectral_jepa._validation import InputError
from spectral_jepa.sweep.experiment import Experiment, shipped_folder

Draw = Callable[[pd.DataFrame], dict[str, Figure]]


def find_drawing(experiment: Experiment) -> Draw | None:
    """Find the function that draws an experiment: its own ``draw``, or that of the shipped figure of the same name.

    Parameters
    ----------
    experiment : Experiment

    Returns
    -------
    callable or None
        From the experiment's table to {file name: Figure}; None where nothing draws it.

    Notes
    -----
    Runs the experiment's module and the figure's.

    Examples
    --------
    >>> from spectral_jepa.sweep.experiment import load_experiment
    >>> find_drawing(load_experiment("spectra")).__module__
    'spectral_jepa_figure_spectra'
    >>> find_drawing(load_experiment("claims")) is None
    True
    """
    own = getattr(experiment.module, "draw", None)
    if own is not None:
        return own
    path = shipped_folder("figures") / f"{experiment.name}.py"
    return _load_draw(path) if path.is_file() else None


def bounds_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw what :func:`spectral_jepa.sweep_bounds` returned, as ``figures/bound_vs_dim.py`` draws the headline experiment.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    dict of str to matplotlib Figure
        ``bound_vs_dim``, all families, and one a family; save with ``figure.savefig(path)``.

    Raises
    ------
    InputError
        Another table.

    Examples
    --------
    >>> from spectral_jepa import make_block, sweep_bounds
    >>> worlds = {"three blocks": lambda seed: make_block(12, 3, 2, seed=seed)}
    >>> table = sweep_bounds(worlds, dims=[1, 3, 6], n_transitions=[1000], n_seeds=2, progress=False)
    >>> list(bounds_figures(table))
    ['bound_vs_dim_three_blocks', 'bound_vs_dim_three_blocks_talk', 'bound_vs_dim', 'bound_vs_dim_talk']
    """
    missing = {"family", "n_transitions", "dim", "root_risk", "goal_regret", "reward_regret"} - set(table.columns)
    if missing:
        raise InputError(f"table has no columns {', '.join(sorted(missing))}, expected what sweep_bounds returns: pass that")
    return _load_draw(shipped_folder("figures") / "bound_vs_dim.py")(table)


def _load_draw(path: Path) -> Draw:
    spec = importlib.util.spec_from_file_location(f"spectral_jepa_figure_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, "draw", None)):
        raise InputError(f"{path} has no function draw(table), expected one that returns a dict of figures: add it")
    return module.draw
