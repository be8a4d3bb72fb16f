"""Which environment data come from: what the file says, and what its states and actions say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from spectral_jepa._validation import InputError, warn_user
from spectral_jepa.pixels.config import PixelConfig
from spectral_jepa.pixels.data.episodes import EpisodeDataset, check_values, raw_actions
from spectral_jepa.pixels.data.unpacking import open_dataset
from spectral_jepa.pixels.environments import BUILT_IN, environment_class
from spectral_jepa.pixels.environments.base import PixelEnvironment
from spectral_jepa.pixels.environments.mdp_names import is_rendered

# Rows replayed to see whether a foreign file moves as the environment does, and the share of its own movement by which the
# simulator may miss it: other solvers and states without velocities miss a little, another world misses all.
N_REPLAYED, LARGEST_MISS = 64, 0.5


def check_origin(dataset: EpisodeDataset, environment: str) -> None:
    """Refuse data that say they come from another environment than the one that is meant.

    Parameters
    ----------
    dataset : EpisodeDataset
        Its ``origin``: :func:`spectral_jepa.pixels.data.collect.collect` writes it, foreign files have none.
    environment : str
        A built-in one, or ``module:Class``.

    Raises
    ------
    InputError
        Another environment's name, or another digest of its dimensions and bounds.

    Examples
    --------
    >>> episode = {"pixels": np.zeros((3, 8, 8, 3), np.uint8), "action": np.zeros((3, 2), np.float32)}
    >>> data = replace(EpisodeDataset.from_episodes([episode]), origin={"name": "reacher"})
    >>> check_origin(data, "two_room")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: the dataset comes from 'reacher', expected 'two_room': pass data of two_room, ...
    """
    origin, world = dataset.origin, environment_class(environment)
    if origin is None:
        return
    where = dataset.path or "the dataset"
    name = origin.get("name", "")
    if name not in (environment, world.name):
        try:
            name = environment_class(name).name
        except InputError:  # a class of somebody else, which is not here
            name = origin.get("name", "")
    if name not in (environment, world.name):
        raise InputError(
            f"{where} comes from {name!r}, expected {world.name!r}: pass data of {world.name}, or train on these with "
            f"--environment {asked_environment(origin)}"
        )
    if origin.get("digest", world.digest()) != world.digest():
        raise InputError(
            f"{where} was collected in another version of {world.name!r} (dimensions, bounds or drawing differ), expected "
            "the present one: collect again"
        )


def check_actions(dataset: EpisodeDataset, environment: str, *, planning: bool) -> None:
    """Compare the recorded actions with the environment's bounds, which clip whatever lies beyond.

    Parameters
    ----------
    dataset : EpisodeDataset
    environment : str
        A built-in one, or ``module:Class``.
    planning : bool
        Whether the actions will be carried out there: then it is an error if all lie outside, otherwise a warning.

    Raises
    ------
    InputError
        All actions lie outside and ``planning``.

    Notes
    -----
    O(rows). A warning where a hundredth of the actions or more lie outside by over a thousandth of the range.

    Examples
    --------
    >>> action = np.full((3, 2), 180.0, np.float32)
    >>> data = EpisodeDataset.from_episodes([{"pixels": np.zeros((3, 8, 8, 3), np.uint8), "action": action}])
    >>> check_actions(data, "two_room", planning=True)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: the dataset: 3 of 3 actions lie outside the bounds of 'two_room' ...
    """
    world = environment_class(environment)
    if dataset.action_dim != world.action_dim:
        return
    actions = raw_actions(dataset).astype(np.float64).reshape(-1, world.action_dim)
    low, high = (
        np.broadcast_to(np.asarray(b, dtype=np.float64), world.action_dim) for b in (world.action_low, world.action_high)
    )
    margin = 1e-3 * (high - low)
    known = np.isfinite(actions).all(axis=1)
    outside = np.logical_or(actions < low - margin, actions > high + margin)
    beyond = outside.any(axis=1) & known
    count, total = int(beyond.sum()), int(known.sum())
    if count < max(1, 0.01 * total):
        return
    first = int(np.flatnonzero(beyond)[0])
    coordinate = int(np.flatnonzero(outside[first])[0])
    row, column = first // dataset.row_steps, first % dataset.row_steps * world.action_dim + coordinate
    text = (
        f"{dataset.path or 'the dataset'}: {count} of {total} actions lie outside the bounds of {world.name!r} "
        f"(action[{row}, {column}] is {actions[first, coordinate]:.6g}, expected {low[coordinate]:g} to "
        f"{high[coordinate]:g}), where they are clipped: convert them to the environment's units, or name the environment "
        "they come from"
    )
    if planning and count == total:
        raise InputError(text)
    warn_user(text)


def with_states(dataset: EpisodeDataset, world: type[PixelEnvironment]) -> EpisodeDataset:
    """The dataset with a column ``state`` that the environment can be set to, made from what a published file has.

    Parameters
    ----------
    dataset : EpisodeDataset
    world : type
        A :class:`~spectral_jepa.pixels.environments.base.PixelEnvironment`: its ``recorded_states`` knows the columns.

    Returns
    -------
    EpisodeDataset
        The same where it has such states already.

    Raises
    ------
    InputError
        No column that the environment can make its states of, or states that are not finite.

    Examples
    --------
    >>> from spectral_jepa.pixels.environments.two_room import TwoRoomEnvironment
    >>> episode = {"pixels": np.zeros((3, 8, 8, 3), np.uint8), "action": np.zeros((3, 2)), "pos_agent": np.ones((3, 2))}
    >>> with_states(EpisodeDataset.from_episodes([episode]), TwoRoomEnvironment).columns["state"].tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    states = world.recorded_states(dataset.columns)
    if states is None:
        found = {name: values.shape[1:] for name, values in dataset.columns.items() if name != "action"}
        shown = ", ".join(f"{name} {shape}" for name, shape in sorted(found.items())) or "none"
        raise InputError(
            f"{dataset.path or 'the dataset'} has no states of {world.name!r} among its columns ({shown}), expected 'state' "
            f"of shape ({world.state_dim},){world.other_columns}: name the environment they come from, or add that column"
        )
    if states is dataset.columns.get("state"):
        return dataset
    changed = replace(dataset, columns={**dataset.columns, "state": states}, digests={**dataset.digests})
    changed.digests.pop("state", None)
    check_values(changed)
    return changed


def check_replay(dataset: EpisodeDataset, environment: PixelEnvironment, seed: int = 0) -> None:
    """Refuse a foreign file whose states do not move under its actions as the environment's do.

    Parameters
    ----------
    dataset : EpisodeDataset
        With the column ``state``; one whose ``origin`` is known is trusted.
    environment : PixelEnvironment
    seed : int
        Draws the rows that are replayed.

    Raises
    ------
    InputError
        From most of the recorded states, the simulator goes elsewhere than the recording: by over half of the recorded step.

    Notes
    -----
    From at most 64 rows, the raw steps to the next row.

    Examples
    --------
    An agent whose unit is not the pixel.

    >>> from spectral_jepa.pixels.environments import make_environment
    >>> state = np.stack([np.linspace(0, 1, 9), np.full(9, 0.5)], axis=1)
    >>> episode = {"pixels": np.zeros((9, 8, 8, 3), np.uint8), "action": np.ones((9, 2)), "state": state}
    >>> check_replay(EpisodeDataset.from_episodes([episode]), make_environment("two_room", 8))
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: the dataset does not say which environment it comes from, and 'two_room' is not ...
    """
    if dataset.origin is not None:
        return
    states = dataset.columns["state"]
    ends = np.asarray(dataset.ep_offset) + np.asarray(dataset.ep_len) - 1
    rows = np.concatenate([dataset.rows(n)[:-1] for n in range(dataset.n_episodes)])
    rows = np.setdiff1d(rows, ends)
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:N_REPLAYED])
    comparable = environment.comparable_state
    misses: list[float] = []
    for row in rows:
        start, stop = (np.asarray(states[int(r)], dtype=np.float64) for r in (row, row + 1))
        step = float(np.linalg.norm(comparable(stop) - comparable(start)))
        if step == 0:
            continue
        environment.reset(seed=seed, options={"state": start})
        for action in raw_actions(dataset, int(row)).astype(np.float64):
            found = environment.step(action)[0]
        misses.append(float(np.linalg.norm(comparable(found) - comparable(stop))) / step)
    if misses and float(np.median(misses)) > LARGEST_MISS:
        raise InputError(
            f"{dataset.path or 'the dataset'} does not say which environment it comes from, and {environment.name!r} is not "
            f"it: from {sum(miss > LARGEST_MISS for miss in misses)} of {len(misses)} recorded states the simulator goes "
            "elsewhere than the recording, expected the same way: train with the --environment that the data come from"
        )


def fit_for_simulation(dataset: EpisodeDataset, name: str, environment: PixelEnvironment) -> EpisodeDataset:
    """Data that a simulator can be set to: their origin, actions and states checked, and a column ``state``.

    Parameters
    ----------
    dataset : EpisodeDataset
    name : str
        As the environment was asked for: a built-in one, or ``module:Class``.
    environment : PixelEnvironment
        The simulator.

    Returns
    -------
    EpisodeDataset

    Raises
    ------
    InputError
        As :func:`check_origin`, :func:`check_actions`, :func:`with_states` and :func:`check_replay`.

    Examples
    --------
    >>> from spectral_jepa.pixels.environments import make_environment
    >>> world = environment_class("two_room")
    >>> data = EpisodeDataset.from_episodes(world.record_episodes(8, "random", 9, [np.random.default_rng(0)]))
    >>> fit_for_simulation(data, "two_room", world(8)) is data
    True
    """
    check_origin(dataset, name)
    dataset = with_states(dataset, type(environment))
    check_actions(dataset, name, planning=True)
    check_replay(dataset, environment)
    return dataset


def open_run_data(
    config: PixelConfig,
    path: str | Path,
    environment: PixelEnvironment | None = None,
    *,
    cache: str | Path | None = None,
    progress: bool = True,
) -> EpisodeDataset:
    """Data for a run: with pictures and actions of its model's sizes, and from its environment.

    Parameters
    ----------
    config : PixelConfig
        Of the run.
    path : str or Path
        The HDF5 file.
    environment : PixelEnvironment, optional
        A simulator that is to be set to the data's states: they are checked for that, too.
    cache, progress
        As in :func:`spectral_jepa.pixels.data.open_dataset`.

    Returns
    -------
    EpisodeDataset

    Raises
    ------
    InputError
        As :func:`spectral_jepa.pixels.data.open_dataset`, and as :func:`check_origin` or :func:`fit_for_simulation`.

    Examples
    --------
    >>> import tempfile
    >>> from spectral_jepa.pixels.data.collect import collect
    >>> from spectral_jepa.pixels.presets import changed, preset
    >>> config = changed(preset("tiny"), {"data.n_episodes": 3})
    >>> data = collect(config.data, tempfile.mkdtemp() + "/data.h5", n_jobs=1, progress=False)
    >>> open_run_data(config, data, progress=False).n_episodes
    3
    """
    size, dim = config.model.image_size, config.model.action_dim
    dataset = open_dataset(path, image_size=size, action_dim=dim, cache=cache, progress=progress)
    if environment is not None:
        return fit_for_simulation(dataset, config.data.environment, environment)
    check_origin(dataset, config.data.environment)
    return dataset


def origin_of(world: type[PixelEnvironment]) -> dict[str, str]:
    """Name, digest and class of an environment, as collect writes them into a file.

    Parameters
    ----------
    world : type

    Returns
    -------
    dict of str

    Examples
    --------
    >>> origin_of(environment_class("two_room"))["name"]
    'two_room'
    """
    return {"name": world.name, "digest": world.digest(), "class": f"{world.__module__}:{world.__qualname__}"}


def asked_environment(origin: Mapping[str, str] | None) -> str | None:
    """How to ask for the environment that data say they come from.

    Parameters
    ----------
    origin : dict of str, optional
        As :func:`origin_of` gives it.

    Returns
    -------
    str or None
        A built-in one, or ``module:Class``; None where the data do not say it.

    Examples
    --------
    >>> asked_environment({"name": "cube"}), asked_environment({"name": "ball", "class": "my_world:Ball"})
    ('cube', 'my_world:Ball')
    """
    if origin is None:
        return None
    name = origin.get("name", "")
    return name if name in BUILT_IN or is_rendered(name) or ":" in name else origin.get("class", name)
