"""Collect episodes: in parallel, the same whatever the number of processes, resumable after a kill at any moment."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from joblib.externals.loky.process_executor import BrokenProcessPool
from numpy.typing import NDArray
from tqdm import tqdm

from spectral_jepa._cells import write_atomic
from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels import two_room
from spectral_jepa.pixels.config import DataConfig
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.environments.two_room import LINGER, TwoRoomEnvironment, sample_target
from spectral_jepa.pixels.hdf5 import join_files, open_file, write_episodes
from spectral_jepa.pixels.unpacking import lock
from spectral_jepa.training import config_difference

Episode = dict[str, NDArray[Any]]
# A part is what a kill may lose: so many episodes (few where a simulator is slow) and about so many bytes of pictures.
PART_EPISODES = {"two_room": 20, "push_t": 4, "reacher": 4, "cube": 4}
PART_BYTES = 64 * 2**20


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
        The file, with columns ``pixels``, ``action`` (float32, NaN in an episode's last row), ``state`` and each quantity
        of the environment. A file that is there already, of the same configuration, is returned as it is.

    Raises
    ------
    InputError
        The file or its parts belong to another configuration, a package is missing, or a process died.

    Notes
    -----
    Episode k draws everything from ``SeedSequence(seed).spawn(k + 1)[k]``. Two-Room runs all episodes of a part at once.

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
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f"{path.name}.parts")
    # Two calls for the same file: the second one waits, and finds it done.
    with lock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            with open_file(path) as file:
                _check_same(file.attrs.get("config"), config, path)
            shutil.rmtree(folder, ignore_errors=True)
            return path
        _open_folder(folder, config, path)
        parts = {folder / f"{part[0]:08d}.h5": part for part in _make_parts(config)}
        todo = {file: part for file, part in parts.items() if not _is_whole(file, len(part))}
        done = config.n_episodes - sum(len(part) for part in todo.values())
        with tqdm(
            total=config.n_episodes, initial=done, desc=f"collect {config.environment}", unit="episode", disable=not progress
        ) as bar:
            for n in _run(config, todo, n_jobs):
                bar.update(n)
        # Left by a process that was killed while it joined the parts.
        for stale in path.parent.glob(f".{path.name}.*.tmp"):
            stale.unlink()
        join_files(path, list(parts), {"config": _to_json(config)}, progress)
        shutil.rmtree(folder, ignore_errors=True)
    return path


def collect_episodes(config: DataConfig, numbers: Sequence[int]) -> Iterator[Episode]:
    """Yield the episodes with the given numbers, each a dict of columns.

    Examples
    --------
    >>> (episode,) = collect_episodes(DataConfig(max_steps=10, image_size=16), [7])
    >>> {name: values.shape for name, values in episode.items()}
    {'pixels': (11, 16, 16, 3), 'action': (11, 2), 'state': (11, 2), 'agent_position': (11, 2)}
    >>> np.isnan(episode["action"]).any(axis=1).nonzero()[0]
    array([10])
    """
    if config.environment == TwoRoomEnvironment.name:
        yield from _two_room_episodes(config, numbers)
        return
    # A fresh simulator for each part: some keep hidden state (warm starts) beyond a reset, and parts are the same in
    # every run, whatever the number of processes.
    with contextlib.closing(make_environment(config.environment, config.image_size)) as environment:
        for number in numbers:
            yield record_episode(environment, config, number)


def record_episode(environment: Any, config: DataConfig, number: int) -> Episode:
    """Play one episode, step by step, and return its columns."""
    rng = _generator(config, number)
    environment.reset(seed=int(rng.integers(2**31)))
    policy = environment.policy(config.policy, rng)
    moments: list[Episode] = []
    actions: list[NDArray[Any]] = []

    def look() -> None:
        moments.append({"pixels": environment.render(), "state": environment.get_state(), **environment.quantities()})

    look()
    while len(actions) < config.max_steps and (action := policy()) is not None:
        environment.step(action)
        actions.append(action)
        look()
    actions.append(np.full(environment.action_dim, np.nan))
    columns = {name: np.stack([np.asarray(moment[name]) for moment in moments]) for name in moments[0]}
    pixels = columns.pop("pixels")
    return {"pixels": pixels, "action": np.asarray(actions, dtype=np.float32), **columns}


def _two_room_episodes(config: DataConfig, numbers: Iterable[int]) -> Iterator[Episode]:
    """What :func:`record_episode` gives bit for bit, from batched physics and drawing."""
    environment = TwoRoomEnvironment(config.image_size)
    starts, targets, noises = [], [], []
    for number in numbers:
        rng = _generator(config, number)
        starts.append(environment.reset(seed=int(rng.integers(2**31)))[0])
        if config.policy == "scripted":
            targets.append(sample_target(starts[-1], rng))
            noises.append(rng.standard_normal((config.max_steps, 2)))
        else:
            noises.append(rng.uniform(-1, 1, (config.max_steps, 2)).astype(np.float32))
    position, noise = torch.from_numpy(np.stack(starts)), torch.from_numpy(np.stack(noises, axis=1))
    n_actions = torch.full((len(position),), config.max_steps)
    states, actions = [position], []
    for t in range(config.max_steps):
        if config.policy == "scripted":
            target = torch.from_numpy(np.stack(targets))
            reached = two_room.distance(position, target) < two_room.SUCCESS_DISTANCE
            n_actions = torch.where(reached, n_actions.clamp_max(t + LINGER), n_actions)
            action = two_room.scripted_action(position, target, noise[t])
        else:
            action = noise[t]
        position = two_room.step(position, action.to(torch.float64))
        actions.append(action)
        states.append(position)
    state, action = torch.stack(states, 1), torch.stack(actions, 1)
    for own_state, own_action, n in zip(state, action, n_actions.tolist(), strict=True):
        rows = own_state[: n + 1]
        column = np.concatenate([own_action[:n].numpy(), np.full((1, 2), np.nan, np.float32)])
        pixels = two_room.draw(rows, config.image_size).numpy()
        yield {"pixels": pixels, "action": column, "state": rows.numpy(), "agent_position": rows.numpy()}


def _generator(config: DataConfig, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(number,)))


def _make_parts(config: DataConfig) -> list[range]:
    """Cut the episode numbers into parts, by the configuration alone."""
    episode_bytes = (config.max_steps + 1) * config.image_size**2 * 3
    size = max(1, min(PART_EPISODES[config.environment], PART_BYTES // episode_bytes))
    return [range(first, min(first + size, config.n_episodes)) for first in range(0, config.n_episodes, size)]


def _run(config: DataConfig, todo: dict[Path, range], n_jobs: int) -> Generator[int]:
    parallel = joblib.Parallel(n_jobs=min(n_jobs, max(1, len(todo))), return_as="generator_unordered")
    try:
        yield from parallel(joblib.delayed(_collect_part)(config, part, file) for file, part in todo.items())
    except BrokenProcessPool:
        raise InputError(
            "a collecting process died, most likely for want of memory, expected it to end: "
            "run again with a smaller n_jobs, finished parts are kept"
        ) from None


def _collect_part(config: DataConfig, part: range, file: Path) -> int:
    write_episodes(file, collect_episodes(config, part))
    return len(part)


def _is_whole(file: Path, n_episodes: int) -> bool:
    try:
        with open_file(file) as part:
            return len(part["ep_len"]) == n_episodes
    except (InputError, KeyError):  # not there, or torn by a crash of the machine
        return False


def _to_json(config: DataConfig) -> str:
    return json.dumps(asdict(config), sort_keys=True)


def _open_folder(folder: Path, config: DataConfig, path: Path) -> None:
    record = folder / "config.json"
    if record.is_file():
        _check_same(record.read_text(), config, path)
        return
    folder.mkdir(exist_ok=True)
    write_atomic(record, _to_json(config).encode())


def _check_same(saved: Any, config: DataConfig, path: Path) -> None:
    if saved is None:
        raise InputError(
            f"{path} exists but was not written by collect, expected a new name or its own file: choose another"
        )
    differences = config_difference(json.loads(saved), asdict(config))
    if differences:
        raise InputError(
            f"{path} was begun with another configuration ({'; '.join(differences)}), expected the same: "
            f"choose another name, or remove it and {path.name}.parts"
        )
