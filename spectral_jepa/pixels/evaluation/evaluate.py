"""Evaluation on frozen start and goal pairs: all episodes in lock step, one tidy row a pair, resumable.

The published protocol (arXiv 2603.19312, released code): the environment is set to a recorded state, the goal is the
recorded frame ``goal_offset`` raw steps later, the policy replans after each plan it has carried out, and an episode counts
as solved if any state within the budget does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spectral_jepa._files import decode_record, encode_record, value_digest, write_atomic
from spectral_jepa._streams import torch_generator
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import Array, InputError, check_count, warn_user
from spectral_jepa.pixels.config import EvaluationConfig
from spectral_jepa.pixels.evaluation.manifest import Manifest
from spectral_jepa.pixels.interfaces import Dataset, Environment, Observation, Pictures, Policy

COLUMNS = [
    *("environment", "policy", "manifest", "configuration", "pair", "episode", "start_row", "goal_row", "goal_offset"),
    *("budget", "seed", "success", "steps", "start_distance", "final_distance", "policy_seconds"),
]
# Tells evaluation's random streams apart from all other uses of the same seed, training's among them.
STREAM = 0x65766C


def evaluate(
    policy: Policy,
    manifest: Manifest,
    dataset: Dataset,
    environment: Environment,
    config: EvaluationConfig | None = None,
    *,
    seed: int | None = None,
    folder: str | Path | None = None,
    chunk_size: int | None = None,
    n_jobs: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Let a policy try every pair of a manifest.

    Parameters
    ----------
    policy : Policy
    manifest : Manifest
        Of this dataset; its goal offset counts, not the configuration's.
    dataset : EpisodeDataset
    environment : PixelEnvironment
        Draws pictures of the dataset's size.
    config : EvaluationConfig, optional
        ``budget``, ``seed`` and ``start`` are read. Default: 50 raw steps, seed 42, recorded starts.
    seed : int, optional
        Of the planner's draws, instead of ``config.seed``; each pair has its own stream.
    folder : path, optional
        Where finished chunks are kept: a run that was stopped goes on where it was.
    chunk_size : int, optional
        Pairs in lock step, and in one file. Default: what the policy prefers. Results do not depend on it (on a GPU up to
        rounding).
    n_jobs : int
        Processes, each with one thread, for policies on the CPU: on few cores faster than threads inside one process.
    progress : bool
        Show a bar.

    Returns
    -------
    DataFrame
        One row a pair: environment, policy, manifest, configuration (digests), pair, episode, start_row, goal_row,
        goal_offset, budget, seed, success, steps (to the first success; the budget without one), start_distance,
        final_distance (where the episode ended; both as the environment's ``goal_distance`` has them),
        policy_seconds (its share of the clock).

    Raises
    ------
    InputError
        A manifest of another dataset or environment, pictures of another size, a GPU with ``n_jobs`` above 1.

    Notes
    -----
    Success of many runs: :func:`spectral_jepa.success_rates.success_table`, two policies on the same pairs:
    :func:`~spectral_jepa.success_rates.comparison_table`. Cost: one plan a pair and replan, one picture a plan (with a
    history above 1, one an action block).

    Examples
    --------
    The true dynamics solve Two-Room pairs at which random actions fail.

    >>> from spectral_jepa.pixels.config import PlanningConfig
    >>> from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset
    >>> from spectral_jepa.pixels.environments import environment_class
    >>> from spectral_jepa.pixels.evaluation.manifest import make_manifest
    >>> from spectral_jepa.pixels.planning.policies import RandomPolicy
    >>> from spectral_jepa.pixels.planning.simulator import SimulatorPolicy
    >>> two_room = environment_class("two_room")
    >>> generators = [np.random.default_rng(seed) for seed in (0, 1)]
    >>> data = EpisodeDataset.from_episodes(two_room.record_episodes(16, "scripted", 60, generators))
    >>> world = two_room(16)
    >>> pairs = make_manifest(data, [0, 1], world, n_pairs=2)
    >>> search = PlanningConfig(n_samples=20, n_elites=5, n_iterations=3)
    >>> policies = RandomPolicy(world), SimulatorPolicy(world, ActionScaler((0.0, 0.0), (1.0, 1.0)), search)
    >>> [int(evaluate(policy, pairs, data, world, progress=False)["success"].sum()) for policy in policies]
    [0, 2]
    """
    config = config or EvaluationConfig()
    seed = int(config.seed if seed is None else seed)
    budget, size = check_count("budget", config.budget), check_count("chunk_size", chunk_size or policy.chunk_size)
    _check(manifest, dataset, environment)
    if check_count("n_jobs", n_jobs) > 1 and policy.device.type != "cpu":
        raise InputError(
            f"n_jobs is {n_jobs} but the policy is on {policy.device}, expected 1: batch with chunk_size instead"
        )
    identity = _identity(policy, manifest, environment, budget, seed, config.start)
    digest = value_digest(identity)
    done = {} if folder is None else _read_chunks(Path(folder), digest)
    left = np.array([pair for pair in range(len(manifest)) if pair not in done], dtype=np.int64)
    tasks = (_read_task(manifest, dataset, left[i : i + size], environment, config.start) for i in range(0, len(left), size))
    finished: Iterable[list[dict[str, Any]]]
    if n_jobs == 1:
        finished = (_run_chunk(policy, environment, task, budget, seed) for task in tasks)
    else:
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            parallel = joblib.Parallel(n_jobs, return_as="generator_unordered", pre_dispatch=2 * n_jobs)
            finished = parallel(joblib.delayed(_run_chunk)(policy, environment, task, budget, seed) for task in tasks)
    with Bar(total=len(manifest), initial=len(done), desc=policy.name, unit="pair", disable=not progress) as bar:
        for rows in finished:
            for row in rows:
                row |= {"manifest": manifest.digest[:12], "configuration": digest[:12]}
            if folder is not None:
                _write_chunk(Path(folder), digest, identity, rows)
            done |= {row["pair"]: row for row in rows}
            bar.update(len(rows))
            bar.set_postfix(success=f"{np.mean([row['success'] for row in done.values()]):.0%}")
    table = pd.DataFrame([done[pair] for pair in sorted(done)])
    # The name is a label, not part of the digest: a resumed run shows the one given now.
    return table.assign(environment=manifest.environment, goal_offset=manifest.goal_offset, policy=policy.name)[COLUMNS]


def evaluation_digest(policy: Policy, manifest: Manifest, environment: Environment, config: EvaluationConfig) -> str:
    """The ``configuration`` that :func:`evaluate` writes into its rows: the policy, weights included, and its settings.

    Parameters
    ----------
    policy : Policy
    manifest : Manifest
    environment : PixelEnvironment
    config : EvaluationConfig
        ``budget``, ``seed`` and ``start`` are read.

    Returns
    -------
    str
        12 hexadecimal digits.

    Notes
    -----
    O(bytes of the weights).

    Examples
    --------
    Two policies are told apart, and so are two budgets.

    >>> from spectral_jepa.pixels.environments import environment_class
    >>> from spectral_jepa.pixels.planning.policies import NothingPolicy, RandomPolicy
    >>> world = environment_class("two_room")(16)
    >>> pairs = Manifest("two_room", 25, 42, n_candidates=9, n_solved=3, data="0" * 64, pairs=((7, 812, 837),))
    >>> cases = [(RandomPolicy, 50), (RandomPolicy, 50), (NothingPolicy, 50), (RandomPolicy, 60)]
    >>> len({evaluation_digest(kind(world), pairs, world, EvaluationConfig(budget=n)) for kind, n in cases})
    3
    """
    return value_digest(_identity(policy, manifest, environment, config.budget, config.seed, config.start))[:12]


def _identity(
    policy: Policy, manifest: Manifest, environment: Environment, budget: int, seed: int, start: str
) -> dict[str, Any]:
    return {
        "policy": policy.describe(),
        "manifest": manifest.digest,
        "image_size": environment.image_size,
        "budget": budget,
        "seed": seed,
        "start": start,
    }


def film_pair(
    policy: Policy, manifest: Manifest, pair: int, dataset: Dataset, environment: Environment, config: EvaluationConfig
) -> tuple[Pictures, bool, int]:
    """Let a policy try one pair of a manifest, as :func:`evaluate` does, and keep pictures of it.

    Parameters
    ----------
    policy : Policy
    manifest : Manifest
    pair : int
        Row of the manifest.
    dataset : EpisodeDataset
    environment : PixelEnvironment
    config : EvaluationConfig
        ``budget``, ``seed`` and ``start`` are read.

    Returns
    -------
    frames : uint8 array (n, H, W, 3)
        The start, then one frame an action block, the one at which the goal was reached, and the goal last.
    success : bool
    steps : int
        Raw steps to the first success; the budget without one.

    Raises
    ------
    InputError
        A pair that the manifest does not have, and as :func:`evaluate`.

    Notes
    -----
    One episode, and one more picture an action block.

    Examples
    --------
    Random actions, whose block is one action, fail after 10 steps: the start, a picture a step, the goal.

    >>> from spectral_jepa.pixels.data import EpisodeDataset
    >>> from spectral_jepa.pixels.environments import environment_class
    >>> from spectral_jepa.pixels.evaluation.manifest import make_manifest
    >>> from spectral_jepa.pixels.planning.policies import RandomPolicy
    >>> two_room = environment_class("two_room")
    >>> data = EpisodeDataset.from_episodes(two_room.record_episodes(16, "scripted", 60, [np.random.default_rng(0)]))
    >>> world = two_room(16)
    >>> pairs = make_manifest(data, [0], world, n_pairs=1)
    >>> frames, success, steps = film_pair(RandomPolicy(world), pairs, 0, data, world, EvaluationConfig(budget=10))
    >>> frames.shape, success, steps
    ((12, 16, 16, 3), False, 10)
    """
    check_count("pair", pair, 0, len(manifest) - 1)
    _check(manifest, dataset, environment)
    task, film = _read_task(manifest, dataset, np.array([pair]), environment, config.start), list[Pictures]()
    (row,) = _run_chunk(policy, environment, task, config.budget, config.seed, film)
    return np.stack([*film, task.goal_frames[0]]), row["success"], row["steps"]


@dataclass(frozen=True)
class _Task:
    """What one chunk needs of the data: pair numbers, (episode, start row, goal row), states, pictures of the goals."""

    pairs: NDArray[np.int64]
    table: NDArray[np.int64]
    starts: Array
    goals: Array
    goal_frames: Pictures


def _read_task(
    manifest: Manifest, dataset: Dataset, pairs: NDArray[np.int64], environment: Environment, start: str
) -> _Task:
    table = manifest.table[pairs]
    recorded = dataset.columns["state"]
    starts, goals = (np.stack([np.asarray(recorded[int(row)], dtype=np.float64) for row in table[:, i]]) for i in (1, 2))
    if start == "rest":
        starts = np.stack([environment.at_rest(state) for state in starts])
    return _Task(pairs, table, starts, goals, np.stack([np.asarray(dataset.pixels[int(row)]) for row in table[:, 2]]))


def _run_chunk(
    policy: Policy, environment: Environment, task: _Task, budget: int, seed: int, film: list[Pictures] | None = None
) -> list[dict[str, Any]]:
    """Play the pairs of one chunk in lock step; ``film`` (of a chunk of one pair) gets a picture an action block."""
    environment.reset(seed=seed)
    states, goals = task.starts.copy(), task.goals
    n_pairs = len(states)
    generators = [torch_generator(seed, STREAM, *map(int, pair)) for pair in task.table]
    start_distance = [environment.goal_distance(s, g) for s, g in zip(states, goals, strict=True)]
    steps, success = np.full(n_pairs, budget), np.zeros(n_pairs, dtype=bool)
    frames = [[_picture(environment, state)] for state in states]
    if film is not None:
        film.append(frames[0][0])
    past: list[list[Array]] = [[] for _ in range(n_pairs)]
    memory: list[dict[str, Any]] = [{} for _ in range(n_pairs)]
    clock = time.perf_counter()
    prepared = policy.prepare(task.goal_frames, goals)
    seconds = time.perf_counter() - clock
    taken = 0
    active = np.arange(n_pairs)
    while taken < budget and active.size:
        clock = time.perf_counter()
        seen, before = [frames[i] for i in active], [past[i] for i in active]
        now = _observe(policy, seen, states[active], before, environment.action_dim, [memory[i] for i in active])
        actions = policy.act(now, prepared[active], [generators[i] for i in active])
        seconds += time.perf_counter() - clock
        actions = np.asarray(actions, dtype=np.float64)[:, : budget - taken]
        for index, moves in zip(active, actions, strict=True):
            environment.set_state(states[index])
            for count, action in enumerate(moves, 1):
                states[index] = environment.step(action)[0]
                past[index].append(action)
                success[index] = environment.success(states[index], goals[index])
                after = taken + count
                if film is not None and (success[index] or after % policy.action_block == 0 or after == budget):
                    film.append(environment.render())
                if success[index]:
                    steps[index] = after
                    break
                if policy.history > 1 and after % policy.action_block == 0 and count < len(moves):
                    frames[index].append(environment.render())
            else:
                if taken + len(moves) < budget:
                    frames[index].append(environment.render())
        taken += actions.shape[1]
        active = active[~success[active]]
    return [
        {
            "pair": int(task.pairs[i]),
            "episode": int(task.table[i, 0]),
            "start_row": int(task.table[i, 1]),
            "goal_row": int(task.table[i, 2]),
            "budget": budget,
            "seed": seed,
            "success": bool(success[i]),
            "steps": int(steps[i]),
            "start_distance": start_distance[i],
            "final_distance": environment.goal_distance(states[i], goals[i]),
            "policy_seconds": seconds / n_pairs,
        }
        for i in range(n_pairs)
    ]


def _observe(
    policy: Policy,
    frames: list[list[Pictures]],
    states: Array,
    past: list[list[Array]],
    action_dim: int,
    memory: list[dict[str, Any]],
) -> Observation:
    """The last frames of all episodes, the raw actions between them, and what the policy keeps of each."""
    seen = min(policy.history, len(frames[0]))
    n_past = (seen - 1) * policy.action_block
    between = [np.asarray(actions[len(actions) - n_past :]).reshape(n_past, action_dim) for actions in past]
    return Observation(np.stack([np.stack(pictures[-seen:]) for pictures in frames]), states, np.stack(between), memory)


def _picture(environment: Environment, state: Array) -> Pictures:
    environment.set_state(state)
    return environment.render()


def _check(manifest: Manifest, dataset: Dataset, environment: Environment) -> None:
    if manifest.environment != environment.name:
        raise InputError(
            f"the manifest is for {manifest.environment!r} but the environment is {environment.name!r}: pass the same one"
        )
    shown, stored = (environment.image_size, environment.image_size, 3), tuple(dataset.pixels.shape[1:])
    if shown != stored:
        raise InputError(
            f"the environment draws pictures {shown} but the dataset holds {stored}: make the environment with the "
            "dataset's image size"
        )
    manifest.check(dataset)


def _write_chunk(folder: Path, digest: str, identity: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{digest[:16]}-{rows[0]['pair']:05d}-{rows[-1]['pair']:05d}.json"
    write_atomic(folder / name, encode_record({"digest": digest, "identity": identity, "rows": rows}))


def _read_chunks(folder: Path, digest: str) -> dict[int, dict[str, Any]]:
    """Rows of the finished chunks by pair; a damaged file is named and its pairs are played again."""
    done: dict[int, dict[str, Any]] = {}
    for path in sorted(folder.glob(f"{digest[:16]}-*.json")):
        try:
            record = decode_record(path.read_bytes())
        except ValueError:
            warn_user(f"{path} is damaged and was ignored: its pairs are evaluated again")
            continue
        if record["digest"] == digest:
            done |= {row["pair"]: row for row in record["rows"]}
    return done
