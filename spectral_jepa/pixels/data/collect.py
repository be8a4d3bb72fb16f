"""Collect episodes: in parallel, the same whatever the number of processes, resumable after a kill at any moment."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import joblib
import psutil
import torch
from joblib.externals.loky.process_executor import BrokenProcessPool

from spectral_jepa._files import file_digest, lock, read_json, remove_leftovers, value_digest, write_atomic
from spectral_jepa._processes import deaf_children, worker_settings
from spectral_jepa._streams import episode_generator
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels.config import DataConfig
from spectral_jepa.pixels.data.drawn import DrawnPictures
from spectral_jepa.pixels.data.episodes import EpisodeDataset, column_digest
from spectral_jepa.pixels.data.hdf5 import join_files, open_file, write_episodes
from spectral_jepa.pixels.data.origin import origin_of
from spectral_jepa.pixels.environments import environment_class
from spectral_jepa.pixels.environments.base import BLIND_SIZE, Episode
from spectral_jepa.training import config_difference

# A part is what a kill may lose: the environment's number of episodes and about so many bytes of pictures.
PART_BYTES = 64 * 2**20
# Settings that are left out of a file's record at these values: with them a file is what it was before there were they.
ADDED_LATER: dict[str, Any] = {"row_steps": 1}
LEAST_SHARE = 1e-3
# Episodes without pictures that are played together.
DRAWN_PART = 500


def collect(config: DataConfig, path: str | Path, *, n_jobs: int = 2, progress: bool = True) -> Path:
    """Collect the episodes of a configuration into one HDF5 file in the public layout.

    Parameters
    ----------
    config : DataConfig
        Environment, number and length of episodes, policy, seed, picture size.
    path : str or Path
        File to write. Parts go to ``<path>.parts`` beside it, which is removed in the end; calling again resumes there.
    n_jobs : int
        Processes; -1: one a core. The data do not depend on it.
    progress : bool
        Show a bar of episodes.

    Returns
    -------
    Path
        The file, which carries the environment's name and digest, with columns ``pixels``, ``action`` (float32, NaN in an
        episode's last row), ``state`` and each quantity of the environment; its attribute ``row_steps`` says how many raw
        steps lie between two rows where it is not 1. A file that is there already, of the same configuration, is returned
        as it is.

    Raises
    ------
    InputError
        The file or its parts belong to another configuration, a package is missing, or a process died.

    Notes
    -----
    Episode k draws everything from ``SeedSequence(seed).spawn(k + 1)[k]``. Two-Room plays all episodes of a part at once.

    Examples
    --------
    >>> import tempfile
    >>> config = DataConfig(n_episodes=3, max_steps=25, image_size=16)
    >>> with tempfile.TemporaryDirectory() as folder, open_file(
    ...     collect(config, folder + "/episodes.h5", n_jobs=1, progress=False)
    ... ) as file:
    ...     print(sorted(file), len(file["ep_len"]), file["pixels"].shape[1:])
    ['action', 'agent_position', 'ep_len', 'ep_offset', 'pixels', 'state'] 3 (16, 16, 3)
    """
    path = Path(path)
    check_count("n_episodes", config.n_episodes)
    check_count("max_steps", config.max_steps)
    if n_jobs != -1:
        check_count("n_jobs", n_jobs, why="or -1 for one process a core")
    _require_room(config, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _is_done(path, config)  # another file is refused before anything is written beside it
    folder = path.with_name(f"{path.name}.parts")
    # Two calls for the same file: the second one waits, and finds it done.
    with lock(path.with_name(f".{path.name}.lock")):
        if _is_done(path, config):
            shutil.rmtree(folder, ignore_errors=True)
            return path
        _open_folder(folder, config, path)
        remove_leftovers(folder)
        parts = {folder / f"{part[0]:08d}.h5": part for part in _make_parts(config)}
        todo = {file: part for file, part in parts.items() if not _is_whole(file, len(part))}
        done = config.n_episodes - sum(len(part) for part in todo.values())
        with Bar(
            total=config.n_episodes, initial=done, desc=f"collect {config.environment}", unit="episode", disable=not progress
        ) as bar:
            for n in _run(config, todo, n_jobs):
                bar.update(n)
        # Left by a process that was killed while it joined the parts.
        remove_leftovers(path.parent, f"{path.name}.*")
        origin = json.dumps(origin_of(environment_class(config.environment)), sort_keys=True)
        attributes = {"config": _to_json(config), "environment": origin}
        if config.row_steps > 1:
            attributes["row_steps"] = str(config.row_steps)
        join_files(path, list(parts), attributes, progress)
        shutil.rmtree(folder, ignore_errors=True)
    return path


def collect_episodes(config: DataConfig, numbers: Sequence[int]) -> Iterator[Episode]:
    """Play the episodes with the given numbers, one part of what :func:`collect` writes.

    Parameters
    ----------
    config : DataConfig
        ``environment``, ``policy``, ``max_steps``, ``row_steps``, ``image_size`` and ``seed`` are read.
    numbers : sequence of int
        k = 0, 1, ...; episode k draws everything from ``SeedSequence(seed).spawn(k + 1)[k]``.

    Returns
    -------
    iterator of dict of arrays
        An episode each: ``pixels`` uint8 (rows, S, S, 3), ``action`` float32 (rows, row_steps * A) with NaN in the last row,
        ``state`` (rows, n) and each quantity of the environment; a row is one moment, at most
        ``max_steps // row_steps + 1`` of them.

    Notes
    -----
    One fresh simulator a call. Where it keeps hidden state beyond a reset, an episode may depend on those played before it,
    so the parts are the same in every run.

    Examples
    --------
    >>> (episode,) = collect_episodes(DataConfig(max_steps=10, image_size=16), [7])
    >>> {name: values.shape for name, values in episode.items()}
    {'pixels': (11, 16, 16, 3), 'action': (11, 2), 'state': (11, 2), 'agent_position': (11, 2)}
    >>> import numpy as np
    >>> np.isnan(episode["action"]).any(axis=1).nonzero()[0]
    array([10])
    """
    # A fresh simulator for each part: some keep hidden state (warm starts) beyond a reset, and parts are the same in
    # every run, whatever the number of processes.
    world = environment_class(config.environment)
    generators = (episode_generator(config.seed, number) for number in numbers)
    return world.record_episodes(config.image_size, config.policy, config.max_steps, generators, row_steps=config.row_steps)


def collect_drawn(config: DataConfig, *, progress: bool = True) -> EpisodeDataset:
    """Collect the episodes of a configuration without their pictures, which are drawn from the states when they are read.

    Parameters
    ----------
    config : DataConfig
        As for :func:`collect`, of an environment that draws from states (Two-Room).
    progress : bool
        Show a bar of episodes.

    Returns
    -------
    EpisodeDataset
        In memory, with :class:`~spectral_jepa.pixels.data.drawn.DrawnPictures`. Rows, columns and split are those of the
        file that :func:`collect` writes, and so are the pictures, bit for bit where they are drawn on a CPU. Its digest of
        ``pixels`` is that of the states, the size and a few pictures.

    Raises
    ------
    InputError
        An environment that does not draw from states, a count below 1.

    Notes
    -----
    O(rows): the paper's 10,000 episodes of Two-Room take seconds and 25 MB, their pictures would take 130 GiB.

    Examples
    --------
    >>> data = collect_drawn(DataConfig(n_episodes=3, max_steps=25, image_size=16), progress=False)
    >>> data.n_episodes, data.pixels.shape == (len(data.columns["state"]), 16, 16, 3), data.pixels[4].shape
    (3, True, (16, 16, 3))
    """
    check_count("n_episodes", config.n_episodes)
    check_count("max_steps", config.max_steps)
    world = environment_class(config.environment)
    # States do not depend on the size of pictures, and one pixel costs nothing.
    blind = replace(config, image_size=BLIND_SIZE)
    world.draw_states(torch.zeros(1, world.state_dim), config.image_size)
    parts = [range(first, min(first + DRAWN_PART, config.n_episodes)) for first in range(0, config.n_episodes, DRAWN_PART)]
    episodes: list[Episode] = []
    with Bar(total=config.n_episodes, desc=f"collect {config.environment}", unit="episode", disable=not progress) as bar:
        for part in parts:
            episodes += collect_episodes(blind, part)
            bar.update(len(part))
    data = EpisodeDataset.from_episodes(episodes)
    pictures = DrawnPictures(world, torch.from_numpy(data.columns["state"]), config.image_size)
    sample = column_digest(pictures[:: max(1, len(pictures) // 8)])
    digest = value_digest(["drawn", world.digest(), config.image_size, column_digest(data.columns["state"]), sample])
    return replace(data, pixels=cast("Any", pictures), origin=origin_of(world), digests={"pixels": digest})


def _is_done(path: Path, config: DataConfig) -> bool:
    """Whether the file is there; one that is not of this collection is refused."""
    if not path.exists():
        return False
    with open_file(path) as file:
        _check_same(file.attrs.get("config"), config, path)
    return True


def _require_room(config: DataConfig, path: Path) -> None:
    """Refuse, before the fact, one episode that does not fit the memory and a file that cannot fit the disk."""
    frame, n_rows = 3 * config.image_size**2, config.max_steps // config.row_steps + 1
    episode = frame * n_rows
    free_memory = psutil.virtual_memory().available
    # The pictures, and the copies made while they are drawn and written.
    if 4 * episode > 0.8 * free_memory:
        size = config.image_size
        raise InputError(
            f"one episode of {n_rows} pictures of {size} x {size} pixels takes "
            f"{4 * episode / 2**30:.1f} GiB while it is recorded, expected at most 80 % of the "
            f"{free_memory / 2**30:.1f} GiB that are free: lower data.image_size or data.max_steps"
        )
    there = next(folder for folder in (path.parent, *path.absolute().parents) if folder.is_dir())
    free_disk = shutil.disk_usage(there).free
    # A tenth of the longest episodes, shrunk to a thousandth: less than any of these worlds comes to.
    least = config.n_episodes * frame * (1 + config.max_steps // (10 * config.row_steps)) * LEAST_SHARE
    if least > free_disk and not path.exists():
        raise InputError(
            f"{config.n_episodes} episodes take at least {least / 2**30:,.0f} GiB, expected at most the "
            f"{free_disk / 2**30:.0f} GiB that are free in {there}: lower data.n_episodes or data.image_size"
        )


def _make_parts(config: DataConfig) -> list[range]:
    """Cut the episode numbers into parts, by the configuration alone."""
    episode_bytes = (config.max_steps // config.row_steps + 1) * config.image_size**2 * 3
    size = max(1, min(environment_class(config.environment).part_episodes, PART_BYTES // episode_bytes))
    return [range(first, min(first + size, config.n_episodes)) for first in range(0, config.n_episodes, size)]


def _run(config: DataConfig, todo: dict[Path, range], n_jobs: int) -> Generator[int]:
    with deaf_children():
        n_jobs = min(n_jobs, max(1, len(todo)))
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", **worker_settings())
        finished = parallel(joblib.delayed(_collect_part)(config, part, file) for file, part in todo.items())
    try:
        yield from finished
    except BrokenProcessPool:
        raise InputError(
            "a collecting process died, most likely for want of memory, expected it to end: "
            "run again with a smaller n_jobs, finished parts are kept"
        ) from None


def _collect_part(config: DataConfig, part: range, file: Path) -> int:
    write_episodes(file, collect_episodes(config, part))
    write_atomic(_part_digest(file), f"{file_digest(file)}  {file.name}\n".encode())
    return len(part)


def _part_digest(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _is_whole(file: Path, n_episodes: int) -> bool:
    """Whether a part is there as it was written: one that is torn, changed or without a digest is collected again."""
    try:
        if _part_digest(file).read_bytes()[:64] != file_digest(file).encode():
            return False
        with open_file(file) as part:
            return len(part["ep_len"]) == n_episodes
    except (InputError, KeyError, FileNotFoundError):
        return False


def _record(config: DataConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if (name, value) not in ADDED_LATER.items()}


def _to_json(config: DataConfig) -> str:
    return json.dumps(_record(config), sort_keys=True)


def _open_folder(folder: Path, config: DataConfig, path: Path) -> None:
    record = folder / "config.json"
    if record.is_file():
        _check_same(json.dumps(read_json(record, (), f"remove {folder} to collect again")), config, path)
        return
    folder.mkdir(exist_ok=True)
    write_atomic(record, _to_json(config).encode())


def _check_same(saved: Any, config: DataConfig, path: Path) -> None:
    if saved is None:
        raise InputError(
            f"{path} exists but was not written by collect, expected a new name or its own file: choose another"
        )
    try:
        begun = json.loads(saved)
    except ValueError:
        raise InputError(
            f"the configuration within {path} is damaged, expected the one of a collection: choose another name"
        ) from None
    differences = config_difference(begun, _record(config))
    if differences:
        raise InputError(
            f"{path} was begun with another configuration ({'; '.join(differences)}), expected the same: "
            f"choose another name, or remove it and {path.name}.parts"
        )
