"""The folder of a finished run: weights, configuration, action scaler and where all came from.

What is saved is a world model of LeWM or Sub-JEPA (arXiv 2603.19312, 2605.09241), or the cloned policy beside them.
"""

from __future__ import annotations

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from spectral_jepa._validation import InputError, first_line
from spectral_jepa.pixels.config import PixelConfig
from spectral_jepa.pixels.data import ActionScaler
from spectral_jepa.pixels.model.cloning import GoalConditionedPolicy
from spectral_jepa.pixels.model.frozen import usable_device
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.training import load_weights, save_weights


def make_model(config: PixelConfig) -> WorldModel | GoalConditionedPolicy:
    """What a configuration trains, at its initial weights.

    Parameters
    ----------
    config : PixelConfig
        ``kind``, ``model`` and ``training.seed`` are read.

    Returns
    -------
    WorldModel or GoalConditionedPolicy
        On the CPU, in training mode.

    Raises
    ------
    InputError
        A model that does not fit in memory.

    Examples
    --------
    >>> from spectral_jepa.pixels.presets import changed, preset
    >>> [type(make_model(changed(preset("tiny"), {"kind": kind}))).__name__ for kind in ("world_model", "cloning")]
    ['WorldModel', 'GoalConditionedPolicy']
    """
    make = WorldModel if config.kind == "world_model" else GoalConditionedPolicy
    try:
        return make(config.model, config.training.seed)
    except (RuntimeError, MemoryError, OverflowError) as error:
        if isinstance(error, RuntimeError) and not re.search("alloc|memory|overflow", str(error)):
            raise
        raise InputError(
            f"the model does not fit in memory ({first_line(error)[:100]}), expected one that does: "
            "lower the widths and depths of model"
        ) from None


def save_model(
    model: WorldModel | GoalConditionedPolicy,
    folder: str | Path,
    config: PixelConfig,
    scaler: ActionScaler,
    provenance: dict[str, Any],
) -> None:
    """Write ``weights.safetensors`` (float32) and ``config.json``: configuration, scaler, provenance, package versions.

    Parameters
    ----------
    model : WorldModel or GoalConditionedPolicy
        Is converted to float32.
    folder : str or Path
        Made if it is not there.
    config : PixelConfig
        The one that the model was made from.
    scaler : ActionScaler
        Of the training actions.
    provenance : dict
        In JSON types; ``data``, the path of the training data, is what :func:`spectral_jepa.pixels.runs.data_path` reads.

    Examples
    --------
    >>> import tempfile
    >>> from spectral_jepa.pixels.presets import preset
    >>> config, folder, scaler = preset("tiny"), tempfile.mkdtemp(), ActionScaler((0.0, 0.0), (1.0, 1.0))
    >>> save_model(WorldModel(config.model), folder, config, scaler, {"data": "two_room.h5"})
    >>> model, loaded, scaler = load_model(folder)
    >>> model.training, loaded == config, scaler.std
    (False, True, (1.0, 1.0))
    """
    content = {"config": config.to_dict(), "scaler": scaler.to_dict(), **provenance, "versions": saved_versions()}
    save_weights(model.float(), folder, content)


def saved_versions() -> dict[str, str]:
    """Versions of what computed here: of this package, torch, numpy and Python.

    Returns
    -------
    dict of str

    Examples
    --------
    >>> sorted(saved_versions())
    ['numpy', 'python', 'spectral-jepa', 'torch']
    """
    return {name: version(name) for name in ("spectral-jepa", "torch", "numpy")} | {"python": platform.python_version()}


def load_model(folder: str | Path, device: str | torch.device | None = None) -> tuple[Any, PixelConfig, ActionScaler]:
    """Load a trained model.

    Parameters
    ----------
    folder : str or Path
        Folder of a finished run.
    device : str or torch.device, optional
        Default: the CPU.

    Returns
    -------
    tuple (WorldModel or GoalConditionedPolicy in evaluation mode, PixelConfig, ActionScaler)
        The first as the configuration's ``kind`` says.

    Raises
    ------
    InputError
        A device that torch cannot use, an unfinished or damaged folder, or weights that do not fit the configuration beside
        them.

    Examples
    --------
    See :func:`save_model`.
    """
    where = usable_device("cpu" if device is None else device)
    state, saved = load_weights(folder)
    if not isinstance(saved, dict) or not {"config", "scaler"} <= set(saved):
        raise InputError(
            f"{Path(folder) / 'config.json'} has {', '.join(sorted(saved)) or 'nothing'}, expected config and scaler: "
            "pass the folder of a pixel run"
        )
    config, scaler = PixelConfig.from_dict(saved["config"]), ActionScaler.from_dict(saved["scaler"])
    model = make_model(config)
    try:
        model.load_state_dict(state)
    except RuntimeError:
        raise InputError(
            f"the weights in {folder} do not fit its config.json, expected those of the same run: restore both from one copy"
        ) from None
    return model.eval().to(where), config, scaler
