"""Presets: tiny (seconds), small (2 cores), paper (a GPU), each for any environment; and settings changed by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_type_hints

from spectral_jepa._validation import InputError, check_choice, nearest
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
from spectral_jepa.pixels.fields import read_field

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
        An unknown section or field, with a list of the known; a value of another type or out of range; values that do not
        fit together, all of them considered.

    Examples
    --------
    >>> changed(preset("tiny"), {"training.n_steps": 7}).training.n_steps
    7
    """
    # Sections are made once, when all values are known: what must fit together may come in any order.
    together: dict[str, dict[str, Any]] = {}
    given: dict[str, Any] = {}
    for name, value in values.items():
        section, field = _find(config, name)
        if field:
            together.setdefault(section, {})[field] = value
        else:
            given[section] = value
    return replace(config, **given, **{name: replace(getattr(config, name), **own) for name, own in together.items()})


def override(config: PixelConfig, values: Mapping[str, str]) -> PixelConfig:
    """:func:`changed` with values as a command line gives them, in text.

    Parameters
    ----------
    config : PixelConfig
    values : dict of str
        SECTION.FIELD -> text, read by the type of the field: a number, true or false (any case; also yes, no, on, off, 1,
        0), none where a setting may be left out, or the text itself.

    Returns
    -------
    PixelConfig

    Raises
    ------
    InputError
        As :func:`changed`, and text that is no value of the field's type.

    Examples
    --------
    >>> config = override(preset("tiny"), {"training.n_steps": "7", "planning.method": "mppi"})
    >>> config.training.n_steps, config.planning.method
    (7, 'mppi')
    >>> override(preset("tiny"), {"objective.stop_gradient": "false"}).objective.stop_gradient
    False
    """
    typed: dict[str, Any] = {}
    for name, text in values.items():
        section, field = _find(config, name)
        owner = getattr(config, section) if field else config
        typed[name] = read_field(name, text, get_type_hints(type(owner))[field or section])
    return changed(config, typed)


def check_setting(config: PixelConfig, name: str) -> None:
    """Refuse a name that is no setting.

    Parameters
    ----------
    config : PixelConfig
    name : str
        SECTION.FIELD, or ``kind``.

    Raises
    ------
    InputError
        An unknown section or field, with a list of the known.

    Examples
    --------
    >>> check_setting(preset("tiny"), "training.seed")
    """
    _find(config, name)


def unread_settings(config: PixelConfig) -> dict[str, str]:
    """Settings that other settings switch off, each with the reason: to change one of them changes nothing.

    Parameters
    ----------
    config : PixelConfig

    Returns
    -------
    dict of str
        SECTION.FIELD -> what leaves it unread.

    Examples
    --------
    >>> unread = unread_settings(preset("tiny"))
    >>> unread["objective.n_subspaces"], unread["planning.temperature"], "objective.strength" in unread
    ("objective.regularizer is 'sigreg'", "planning.method is 'cem'", False)
    """
    slices = {"strength", "n_slices", "n_knots", "t_max", "factor"}
    subspaces = {"n_subspaces", "subspace_kind", "orthogonality"}
    pldm = {f"pldm_{name}" for name in ("variance", "covariance", "time_similarity", "time_variance")}
    read = {
        "sigreg": slices,
        "subspace_sigreg": slices | subspaces,
        "pldm": pldm,
        "whitening": {"strength"},
        "none": set[str](),
    }
    unread: dict[str, str] = {}

    def leave(section: str, names: set[str], reason: str) -> None:
        unread.update({f"{section}.{name}": reason for name in names})

    objective, model, planning = config.objective, config.model, config.planning
    leave(
        "objective",
        (slices | subspaces | pldm) - read.get(str(objective.regularizer), {"strength"}),  # one's own reads the strength
        f"objective.regularizer is {objective.regularizer!r}",
    )
    if objective.regularizer == "subspace_sigreg" and objective.subspace_kind != "trainable":
        leave("objective", {"orthogonality"}, f"objective.subspace_kind is {objective.subspace_kind!r}")
    vit = {"patch_size", "encoder_depth", "encoder_heads"}
    unused = {"vit": set[str](), "conv": vit, "pooled": vit, "resnet18": vit | {"encoder_width"}}[model.encoder]
    leave("model", unused, f"model.encoder is {model.encoder!r}")
    common = {"n_samples", "n_iterations", "precision", "history", "cost", "warm_start", "proposal", "compile"}
    searches = common | {"n_elites", "noise", "temperature", "learning_rate"}
    search = {
        "cem": common | {"n_elites", "noise"},
        "mppi": common | {"temperature"},
        "adam": common | {"learning_rate"},
        "random": set[str](),
    }
    if planning.execute == planning.horizon:
        leave("planning", {"warm_start"}, "planning.execute is planning.horizon, so that nothing is left of a plan")
    leave("planning", searches - search[planning.method], f"planning.method is {planning.method!r}")
    if config.kind == "cloning":
        leave("objective", {f.name for f in fields(objective)}, "kind is 'cloning'")
        leave("planning", {f.name for f in fields(planning)}, "kind is 'cloning'")
        shape = {"width", "depth", "heads", "head_dim"}
        leave("model", {f"predictor_{name}" for name in shape} | {"dropout"}, "kind is 'cloning'")
    return unread


def _find(config: PixelConfig, name: str) -> tuple[str, str]:
    """Section and field of a setting; the field is empty for ``kind``, which has no section."""
    section, _, field = name.partition(".")
    known = [f.name for f in fields(config)]
    if section not in known:
        raise InputError(
            f"setting {name!r} has section {section!r}, expected one of {', '.join(known)}"
            f"{nearest(section, known)}: such as training.seed"
        )
    part: Any = getattr(config, section)
    if isinstance(part, str):
        if field:
            raise InputError(f"setting {name!r} is unknown, expected {section!r} alone: leave out what follows it")
        return section, ""
    names = [f.name for f in fields(part)]
    if field not in names:
        listed = f"{', '.join(names)}{nearest(field, names)}"
        raise InputError(f"setting {name!r} is unknown, expected {section}. followed by one of {listed}")
    return section, field
