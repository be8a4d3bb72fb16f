"""Presets: tiny (seconds), small (2 cores), paper (a GPU), each for any environment; and settings changed by name."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from spectral_jepa._validation import InputError, check_choice
from spectral_jepa.pixels.config import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    ObjectiveConfig,
    PixelConfig,
    PlanningConfig,
    TrainingConfig,
)
from spectral_jepa.pixels.environments import environment_class

SMALL = PixelConfig(
    model=ModelConfig(
        encoder="conv", image_size=64, encoder_width=32, embedding_dim=64, projector_width=256, predictor_width=64,
        predictor_depth=2, predictor_heads=4, predictor_head_dim=32, predictor_hidden=256,
    ),
    objective=ObjectiveConfig(n_slices=256, n_subspaces=4),
    data=DataConfig(n_episodes=600, image_size=64),
    training=TrainingConfig(n_steps=600, learning_rate=1e-3, warmup=0.05, precision="float32", checkpoint_every=100),
    planning=PlanningConfig(n_iterations=10),
)  # fmt: skip
TINY = replace(
    SMALL,
    model=replace(SMALL.model, image_size=32, encoder_width=8, embedding_dim=16, projector_width=32, predictor_width=16,
                  predictor_depth=1, predictor_heads=2, predictor_head_dim=8, predictor_hidden=32),
    objective=ObjectiveConfig(n_slices=32, n_subspaces=4),
    data=DataConfig(n_episodes=12, max_steps=60, image_size=32),
    training=replace(SMALL.training, batch_size=16, n_steps=20, log_every=5, checkpoint_every=10),
    planning=PlanningConfig(n_samples=20, n_elites=5, n_iterations=2),
    evaluation=EvaluationConfig(n_pairs=4),
)  # fmt: skip
PRESETS = {"tiny": TINY, "small": SMALL, "paper": PixelConfig()}


def preset(name: str, environment: str = "two_room", action_dim: int | None = None) -> PixelConfig:
    """The settings of a preset for one environment.

    Parameters
    ----------
    name : {"tiny", "small", "paper"}
    environment : str
        A built-in one, or ``module:Class``; its own settings of this preset are put in.
    action_dim : int, optional
        Default: the environment's.

    Returns
    -------
    PixelConfig

    Raises
    ------
    InputError
        An unknown preset or environment.

    Examples
    --------
    >>> preset("paper").model.embedding_dim, preset("small", "push_t").data.environment
    (192, 'push_t')
    >>> preset("paper", "reacher").data.policy, preset("paper", "cube").model.action_dim
    ('random', 5)
    """
    check_choice("preset", name, list(PRESETS))
    world = environment_class(environment)
    own = {"data.environment": environment, "model.action_dim": action_dim or world.action_dim}
    return changed(PRESETS[name], own | dict(world.settings.get(name, {})))


def changed(config: PixelConfig, values: Mapping[str, Any]) -> PixelConfig:
    """Replace single settings, named SECTION.FIELD (or ``kind``).

    Parameters
    ----------
    config : PixelConfig
    values : dict
        Name -> value.

    Returns
    -------
    PixelConfig

    Raises
    ------
    InputError
        An unknown section or field, with a list of the known.

    Examples
    --------
    >>> changed(preset("tiny"), {"training.n_steps": 7}).training.n_steps
    7
    """
    for name, value in values.items():
        section, _, field = name.partition(".")
        known = [f.name for f in fields(config)]
        if section not in known:
            raise InputError(
                f"setting {name!r} has section {section!r}, expected one of {', '.join(known)}: such as training.seed"
            )
        part: Any = getattr(config, section)
        if isinstance(part, str):
            config = replace(config, kind=value)
            continue
        names = [f.name for f in fields(part)]
        if field not in names:
            raise InputError(f"setting {name!r} is unknown, expected {section}. followed by one of {', '.join(names)}")
        one: dict[str, Any] = {section: replace(part, **{field: value})}
        config = replace(config, **one)
    return config


def override(config: PixelConfig, values: Mapping[str, str]) -> PixelConfig:
    """:func:`changed` with values as a command line gives them, in text.

    Parameters
    ----------
    config : PixelConfig
    values : dict of str
        SECTION.FIELD -> a Python literal; whatever is none is taken as the text itself.

    Returns
    -------
    PixelConfig

    Raises
    ------
    InputError
        As :func:`changed`.

    Examples
    --------
    >>> config = override(preset("tiny"), {"training.n_steps": "7", "planning.method": "mppi"})
    >>> config.training.n_steps, config.planning.method
    (7, 'mppi')
    """
    return changed(config, {name: _read_value(text) for name, text in values.items()})


def _read_value(text: str) -> Any:
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text
