"""What probing and surprise leave in a trained folder: tables that know their weights, and figures.

A folder gets ``probe.csv``, ``surprise.csv``, ``surprise_summary.csv``, ``geometry.csv`` and ``figures/``. Every table
carries the first digits of the weights' digest, so that a report can tell when one is of other weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from spectral_jepa._files import file_digest, read_csv, write_checked
from spectral_jepa.pixels.config import ProbeConfig, SurpriseConfig
from spectral_jepa.pixels.data.origin import open_run_data
from spectral_jepa.pixels.diagnostics.latents import CACHE
from spectral_jepa.pixels.diagnostics.probe import probe
from spectral_jepa.pixels.diagnostics.surprise import surprise, surprise_summary
from spectral_jepa.pixels.environments import environment_class, make_environment
from spectral_jepa.pixels.model.frozen import device_of
from spectral_jepa.pixels.model.saved import load_model
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.plotting.pixels.diagnostics import draw_probe, draw_surprise
from spectral_jepa.plotting.style import save_figure
from spectral_jepa.training.weights import WEIGHTS


def run_probe(
    folder: Path | str,
    data: Path | str,
    settings: ProbeConfig | None = None,
    *,
    device: str | None = None,
    data_cache: Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Probe the model of a trained folder on a data file, beside an untrained one; writes ``probe.csv`` and its figure.

    Parameters
    ----------
    folder : Path
        Of a finished run.
    data : Path
        HDF5 file of episodes.
    settings : ProbeConfig, optional
    device : str, optional
        Default: the CPU.
    data_cache : Path, optional
        Where the unpacked data go, as in :func:`spectral_jepa.pixels.data.open_dataset`.
    progress : bool

    Returns
    -------
    DataFrame
        As :func:`spectral_jepa.pixels.diagnostics.probe.probe` gives it.

    Raises
    ------
    InputError
        A folder without a finished model, data that do not fit it or come from another environment.
    """
    folder, settings = Path(folder), settings or ProbeConfig()
    model, config, _ = load_model(folder, device)
    dataset = open_run_data(config, data, cache=data_cache)
    control = WorldModel(config.model, settings.seed).to(device_of(model))
    table = probe(
        model,
        dataset,
        dataset.split(),
        settings,
        control=control,
        tolerances=environment_class(config.data.environment).tolerances,
        cache=folder / CACHE,
        progress=progress,
    )
    save_table(folder, "probe", table, draw_probe(table))
    return table


def run_surprise(
    folder: Path | str,
    data: Path | str,
    settings: SurpriseConfig | None = None,
    *,
    device: str | None = None,
    data_cache: Path | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Surprise of a trained folder's model on the validation and test episodes; writes rows, summary and figure.

    Parameters
    ----------
    folder : Path
        Of a finished run.
    data : Path
        HDF5 file of episodes.
    settings : SurpriseConfig, optional
    device : str, optional
        Default: the CPU.
    data_cache : Path, optional
        Where the unpacked data go, as in :func:`spectral_jepa.pixels.data.open_dataset`.
    progress : bool

    Returns
    -------
    rows, summary : DataFrame
        As :func:`spectral_jepa.pixels.diagnostics.surprise.surprise` and ``surprise_summary`` give them.

    Raises
    ------
    InputError
        A folder without a finished world model, data that do not fit it or come from another environment.
    """
    folder = Path(folder)
    model, config, scaler = load_model(folder, device)
    environment = make_environment(config.data.environment, config.model.image_size)
    dataset = open_run_data(config, data, environment, cache=data_cache)
    split = dataset.split()
    # Nothing was trained or chosen on either part, and the paired tests need every trajectory there is.
    unseen = np.union1d(split["validation"], split["test"])
    table = surprise(model, dataset, unseen, environment, scaler, settings, progress=progress)
    summary = surprise_summary(table, config.model.history)
    save_table(folder, "surprise", table, draw_surprise(table))
    save_table(folder, "surprise_summary", summary, {})
    return table, summary


def _saved_weights_digest(folder: Path) -> str:
    """First 12 digits of the SHA-256 of a trained folder's weights."""
    return file_digest(folder / WEIGHTS)[:12]


def save_table(folder: Path, name: str, table: pd.DataFrame, figures: Mapping[str, Figure]) -> list[Path]:
    """Write a table of a trained folder as ``<name>.csv``, with a column ``weights``, and its figures.

    Parameters
    ----------
    folder : Path
        Of a finished run.
    name : str
        Of the file, without its ending.
    table : DataFrame
    figures : dict of matplotlib Figure
        By file name, without its ending.

    Returns
    -------
    list of Path
        As :func:`save_figures`.

    Examples
    --------
    >>> import tempfile
    >>> from torch import nn
    >>> from spectral_jepa.training import save_weights
    >>> folder = Path(tempfile.mkdtemp())
    >>> save_weights(nn.Linear(2, 1), folder, {})
    >>> save_table(folder, "probe", pd.DataFrame({"r2": [0.5, 1.0]}), {})
    []
    >>> load_table(folder, "probe")[0]["r2"].tolist()
    [0.5, 1.0]
    """
    content = table.assign(weights=_saved_weights_digest(folder)).to_csv(index=False)
    write_checked(folder / f"{name}.csv", content.encode())
    return save_figures(folder, figures)


def save_figures(folder: Path, figures: Mapping[str, Figure]) -> list[Path]:
    """Write figures into ``figures/`` of a trained folder, each as PNG and PDF.

    Parameters
    ----------
    folder : Path
        ``figures/`` is made in it.
    figures : dict of matplotlib Figure
        By file name, without its ending.

    Returns
    -------
    list of Path
        The PNG files, which a page can embed.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> [path.relative_to(folder).as_posix() for path in save_figures(folder, {"empty": Figure(figsize=(1, 1))})]
    ['figures/empty.png']
    """
    return [save_figure(figure, folder / "figures", name)[0] for name, figure in figures.items()]


def load_table(folder: Path, name: str) -> tuple[pd.DataFrame | None, list[Any]]:
    """Read a table that :func:`save_table` wrote.

    Parameters
    ----------
    folder : Path
        Of a finished run.
    name : str
        Of the file, without its ending.

    Returns
    -------
    table : DataFrame or None
        Without the column ``weights``; None where there is no such file.
    notes : list of str
        One sentence where the table is of other weights than the folder holds, otherwise none. A table without a column
        ``weights`` is taken as it is.

    Examples
    --------
    >>> import tempfile
    >>> from torch import nn
    >>> from spectral_jepa.training import save_weights
    >>> folder = Path(tempfile.mkdtemp())
    >>> save_weights(nn.Linear(2, 1), folder, {})
    >>> _ = save_table(folder, "probe", pd.DataFrame({"r2": [0.5]}), {})
    >>> save_weights(nn.Linear(3, 1), folder, {})
    >>> load_table(folder, "probe")[1], load_table(folder, "surprise")
    (['Note: probe.csv was measured on other weights than this folder now holds.'], (None, []))
    """
    path = folder / f"{name}.csv"
    if not path.is_file():
        return None, []
    # As text: some digests read like numbers.
    table = read_csv(path, (), f"run spectral-jepa pixels {name.partition('_')[0]} again", dtype={"weights": str})
    if "weights" not in table or set(table["weights"]) == {_saved_weights_digest(folder)}:
        return table.drop(columns="weights", errors="ignore"), []
    return table.drop(columns="weights"), [f"Note: {path.name} was measured on other weights than this folder now holds."]
