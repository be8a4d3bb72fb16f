"""Weights of others as runs of ours, and runs for others: a folder, or the id of a repository on the Hugging Face Hub.

Three layouts are read: the folder of a run (:mod:`spectral_jepa.pixels.model.saved`), the public one of LeWM
(:mod:`spectral_jepa.pixels.model.published`), and what :func:`save_pretrained` writes. The last is the public one with what
it leaves out (settings, mean and deviation of the actions) under ``spectral_jepa`` in ``config.json``; for an encoder that
the public layout has no names for, the tensors keep our own names, in ``model.safetensors``.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch

from spectral_jepa._files import file_digest, write_atomic
from spectral_jepa._validation import InputError, first_line, needs_package
from spectral_jepa.pixels.config import PixelConfig
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
from spectral_jepa.pixels.data.episodes import raw_actions
from spectral_jepa.pixels.data.origin import asked_environment, check_origin
from spectral_jepa.pixels.data.unpacking import open_dataset
from spectral_jepa.pixels.model.cloning import GoalConditionedPolicy
from spectral_jepa.pixels.model.published import OWN, load_published, published_files, published_shape, write_published
from spectral_jepa.pixels.model.saved import load_model, make_model, save_model, saved_versions
from spectral_jepa.pixels.model.world_model import WorldModel
from spectral_jepa.pixels.presets import preset
from spectral_jepa.pixels.reports.model_card import model_card
from spectral_jepa.training.weights import WEIGHTS

# What is fetched of a repository: no code.
PATTERNS = ("*.json", "*.pt", "*.safetensors", "README.md")
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


class Pretrained(NamedTuple):
    """A model of somebody, ready to be used.

    Parameters
    ----------
    model : WorldModel or GoalConditionedPolicy
        On the CPU, in evaluation mode.
    config : PixelConfig
    scaler : ActionScaler
        Of the actions that it was trained on.
    """

    model: WorldModel | GoalConditionedPolicy
    config: PixelConfig
    scaler: ActionScaler


def from_pretrained(
    source: str | Path,
    data: str | Path | None = None,
    *,
    environment: str | None = None,
    revision: str | None = None,
    cache: str | Path | None = None,
) -> Pretrained:
    """Load weights from a folder or from the hub, in any of the three layouts.

    Parameters
    ----------
    source : str or Path
        A folder, or OWNER/NAME on the hub where there is no such folder.
    data : str or Path, optional
        HDF5 file of episodes. A public checkpoint needs it: mean and deviation of its actions and the length of a block are
        taken from there. The other layouts hold them.
    environment : str, optional
        That of the data. Default: what they say, else "two_room". For a public checkpoint only.
    revision : str, optional
        Of the repository: a branch, a tag or a commit. Default: its newest.
    cache : str or Path, optional
        Where the unpacked data go, as in :func:`spectral_jepa.pixels.data.open_dataset`.

    Returns
    -------
    Pretrained

    Raises
    ------
    InputError
        No such folder or repository, tensors that are not those of the configuration beside them, a public checkpoint
        without data or with data of other pictures or actions, a revision of a folder.

    Notes
    -----
    No code of a repository is fetched or run, and no pickled objects are loaded.

    Examples
    --------
    >>> import tempfile
    >>> from spectral_jepa.pixels.presets import preset
    >>> config, folder = preset("tiny"), Path(tempfile.mkdtemp())
    >>> save_model(make_model(config), folder / "run", config, ActionScaler((0.0, 1.0), (2.0, 3.0)), {"data": "data.h5"})
    >>> shared = save_pretrained(folder / "run", folder / "shared")
    >>> sorted(path.name for path in shared.iterdir())
    ['README.md', 'config.json', 'model.safetensors']
    >>> from_pretrained(shared).scaler
    ActionScaler(mean=(0.0, 1.0), std=(2.0, 3.0))
    """
    folder = fetch(source, revision)
    if (folder / WEIGHTS).is_file():
        return Pretrained(*load_model(folder))
    weights, settings = published_files(folder)
    if OWN in settings:
        return _ours(weights, settings[OWN])
    if data is None:
        raise InputError(
            f"{source} does not say the mean and deviation of its actions, as no public checkpoint does, expected the data "
            "that they are taken from: pass data, an HDF5 file"
        )
    dataset = open_dataset(data, image_size=published_shape(settings, 1).image_size, cache=cache)
    return _public(weights, settings, dataset, environment)


def import_run(
    source: str | Path,
    data: str | Path,
    folder: str | Path,
    *,
    environment: str | None = None,
    revision: str | None = None,
    cache: str | Path | None = None,
) -> Path:
    """Make weights of others the folder of a run, on which every command works.

    Parameters
    ----------
    source, environment, revision, cache
        As in :func:`from_pretrained`.
    data : str or Path
        HDF5 file of episodes: what later commands read where they are given no other.
    folder : str or Path
        Of the run; made here, and refused where there is one.

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    InputError
        As :func:`from_pretrained`; a folder that holds a run, data of another environment, pictures or actions.

    Examples
    --------
    A public checkpoint, here an untrained one, and three episodes.

    >>> import tempfile
    >>> from spectral_jepa.pixels.data.collect import collect
    >>> from spectral_jepa.pixels.presets import changed, preset
    >>> vit = {"model.encoder": "vit", "model.patch_size": 8, "model.encoder_depth": 1, "model.encoder_heads": 2}
    >>> config, folder = changed(preset("tiny"), vit | {"data.n_episodes": 3}), Path(tempfile.mkdtemp())
    >>> data = collect(config.data, folder / "data.h5", n_jobs=1, progress=False)
    >>> write_published(WorldModel(config.model), folder / "public")
    >>> model, found, scaler = load_model(import_run(folder / "public", data, folder / "run"))
    >>> found.model == config.model, found.data.environment, len(scaler.mean)
    (True, 'two_room', 2)
    """
    target = Path(folder)
    if any((target / name).exists() for name in (WEIGHTS, "config.json", "checkpoints")):
        raise InputError(f"{target} already holds a run, expected a new folder: choose another, or remove that one")
    found = from_pretrained(source, data, environment=environment, revision=revision, cache=cache)
    shape = found.config.model
    dataset = open_dataset(data, image_size=shape.image_size, action_dim=shape.action_dim, cache=cache)
    check_origin(dataset, found.config.data.environment)
    local = fetch(source, revision)
    weights = local / WEIGHTS if (local / WEIGHTS).is_file() else published_files(local)[0]
    there = Path(data).resolve()
    provenance: dict[str, Any] = {
        "data": str(there),
        "data_from_here": os.path.relpath(there, target.resolve()),
        "step": 0,
        "imported": {"source": str(source), "revision": revision, "weights_sha256": file_digest(weights)},
    }
    save_model(found.model, target, found.config, found.scaler, provenance)
    return target


def save_pretrained(run: str | Path, folder: str | Path) -> Path:
    """Write a finished run as a repository of the hub holds one: tensors, ``config.json`` and a card.

    Parameters
    ----------
    run : str or Path
        Folder of a finished run.
    folder : str or Path
        Made here; a file of tensors in it is refused.

    Returns
    -------
    Path
        ``folder``, for ``hf upload OWNER/NAME FOLDER``.

    Raises
    ------
    InputError
        A folder without a finished run, or one to write to that holds tensors already.

    Notes
    -----
    With the encoder "vit" the tensors are ``weights.pt`` under the public names, which the field's own loader reads.

    Examples
    --------
    See :func:`from_pretrained`.
    """
    target = Path(folder)
    if target.is_dir() and any(path.suffix in (".pt", ".safetensors") for path in target.iterdir()):
        raise InputError(f"{target} already holds tensors, expected a new folder: choose another, or remove them")
    model, config, scaler = load_model(run)
    card = model_card(Path(run))
    own = {"config": config.to_dict(), "scaler": scaler.to_dict(), "versions": saved_versions()}
    target.mkdir(parents=True, exist_ok=True)
    if config.kind == "world_model" and config.model.encoder == "vit":
        write_published(model, target, own)
    else:
        tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
        write_atomic(target / "model.safetensors", safetensors.torch.save(tensors))
        write_atomic(target / "config.json", json.dumps({OWN: own}, indent=2).encode() + b"\n")
    write_atomic(target / "README.md", card.encode())
    return target


def fetch(source: str | Path, revision: str | None = None) -> Path:
    """The folder of weights: a local one, or the hub's own copy of a repository, which is fetched where it is not there yet.

    Parameters
    ----------
    source : str or Path
        A folder, a file of tensors in it, or OWNER/NAME.
    revision : str, optional
        As in :func:`from_pretrained`.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        No such folder and no such repository, a revision of a folder, the package huggingface_hub missing.

    Examples
    --------
    >>> import tempfile
    >>> fetch(tempfile.gettempdir()) == Path(tempfile.gettempdir())
    True
    >>> fetch("no such thing")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: there is no folder no such thing, expected one, or OWNER/NAME of the hub: ...
    """
    folder = Path(source)
    if folder.exists():
        if revision is not None:
            raise InputError(
                f"revision is {revision!r} of the folder {folder}, expected none: a folder has one, leave it out"
            )
        return folder
    if not HUB_ID.fullmatch(str(source)):
        raise InputError(f"there is no folder {source}, expected one, or OWNER/NAME of the hub: check the path")
    with needs_package(f"there is no folder {source}, and a repository of that name", "hub"):
        from huggingface_hub import snapshot_download
    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=list(PATTERNS)))
    except Exception as error:  # its own classes, those of requests, of the file system
        raise InputError(
            f"there is no folder {source} and the hub gave none of that name ({first_line(error)[:160]}), expected one of "
            "them: check the name, the network, or log in by hf auth login"
        ) from None


def _ours(weights: Path, own: Any) -> Pretrained:
    try:
        config, scaler = PixelConfig.from_dict(own["config"]), ActionScaler.from_dict(own["scaler"])
    except (KeyError, TypeError):
        raise InputError(
            f"{weights.parent / 'config.json'} has no config and scaler under {OWN!r}, expected those of save_pretrained: "
            "write it again"
        ) from None
    if config.kind == "world_model" and config.model.encoder == "vit":
        model: Any = load_published(weights, action_block=config.model.action_block)
        if model.config != config.model:
            raise InputError(
                f"{weights.parent / 'config.json'} describes two shapes, expected the same under {OWN!r} and outside: "
                "write it again by save_pretrained"
            )
        return Pretrained(model, config, scaler)
    model = make_model(config).eval()
    try:
        model.load_state_dict(safetensors.torch.load_file(weights))
    except (RuntimeError, OSError, safetensors.SafetensorError) as error:
        said = f"{weights} does not hold the tensors of its config.json, expected those: fetch it again"
        raise InputError(said) from error
    return Pretrained(model, config, scaler)


def _public(weights: Path, settings: dict[str, Any], dataset: EpisodeDataset, environment: str | None) -> Pretrained:
    block_dim, action_dim = published_shape(settings, 1).action_dim, dataset.action_dim
    if block_dim % action_dim:
        raise InputError(
            f"{dataset.path} has actions of {action_dim} coordinates and the checkpoint blocks of {block_dim} numbers, "
            "expected a whole number of actions in a block: pass data of its own environment"
        )
    world = (asked_environment(dataset.origin) or "two_room") if environment is None else environment
    model = load_published(weights, action_block=block_dim // action_dim)
    # Published: over the whole data set. The paper's planner and evaluation are the preset's.
    scaler = ActionScaler.fit(raw_actions(dataset).reshape(-1, action_dim))
    return Pretrained(model, replace(preset("paper", world, action_dim), model=model.config), scaler)
