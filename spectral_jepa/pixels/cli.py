"""Command line ``spectral-jepa pixels``: from nothing to a trained, planned-with, probed and surprised world model.

Every command finds what the one before it wrote (:mod:`spectral_jepa.pixels.runs`); every one of them can be stopped and
goes on when it is given again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
import tyro
from tyro.conf import Positional

from spectral_jepa._commands import Commands
from spectral_jepa._files import write_checked
from spectral_jepa._terminal import open_file, print_frame
from spectral_jepa._validation import InputError, warn_user

if TYPE_CHECKING:
    from spectral_jepa.pixels.config import PixelConfig

commands = Commands(
    "spectral-jepa pixels",
    "LeWorldModel and Sub-JEPA from pixels. Order: collect, train, evaluate, probe, surprise, report.",
)
Overrides = Annotated[dict[str, str], tyro.conf.arg(metavar="SECTION.FIELD VALUE")]


def run(arguments: list[str]) -> None:
    """Run one of the commands."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pictures are drawn without a window
    if os.getcwd() not in sys.path:  # where an environment of one's own, module:Class, is looked for last
        sys.path.append(os.getcwd())
    commands.run(arguments)


def _configure(
    config: PixelConfig,
    command: str,
    options: Mapping[str, tuple[str, Any]],
    changes: Mapping[str, str],
    used: Sequence[str],
) -> PixelConfig:
    """Put a command's options (setting -> option, value) and its ``--set`` into a configuration; refuse what is not used.

    ``used`` names settings, or whole sections with a dot behind them. Nothing is given twice, nothing is without effect.
    """
    from spectral_jepa.pixels.presets import override, unread_settings

    given = {name: str(value) for name, (_, value) in options.items() if value is not None}
    _refuse_unused(command, changes, used, options)
    for name in changes:
        if name in given:
            raise InputError(f"{options[name][0]} and --set {name} were both given, expected one of them: leave one out")
    config = override(config, given | dict(changes))
    unread = unread_settings(config)
    for name in given | dict(changes):
        if name in unread:
            shown = f"--set {name}" if name in changes else options[name][0]
            reason = f"{shown} changes nothing, because {unread[name]}"
            raise InputError(f"{reason}, expected a setting that is read: leave it out, or change that setting too")
    return config


def _refuse_unused(
    command: str, changes: Mapping[str, str], used: Sequence[str], options: Mapping[str, tuple[str, Any]]
) -> None:
    from spectral_jepa.pixels.config import PixelConfig
    from spectral_jepa.pixels.presets import check_setting

    for name in changes:
        check_setting(PixelConfig(), name)
        if name in used or f"{name.partition('.')[0]}." in used:
            continue
        known = ", ".join(f"{part}*" if part.endswith(".") else part for part in used)
        instead = f"use {options[name][0]}" if name in options else "leave it out, or give it to the command that uses it"
        raise InputError(f"--set {name} is not used by pixels {command}, expected a setting of {known}: {instead}")


def _folder(option: str, path: Path) -> Path:
    """A folder to write into, which may not be there yet; a file in its place is refused."""
    blocking = next((part for part in (path, *path.parents) if part.exists()), Path())
    if not blocking.is_dir():
        raise InputError(f"{option} is {path}, but {blocking} is a file, expected a folder: choose another name")
    return path


def _environment_of(data: Path | None) -> str:
    """The environment that a data file says it comes from; without a file, or a word in it, two_room."""
    from spectral_jepa.pixels.data.origin import asked_environment
    from spectral_jepa.pixels.data.unpacking import file_origin

    found = None if data is None else asked_environment(file_origin(data))
    if found is None and data is not None:
        warn_user(f"{data} does not say which environment it comes from, so it is taken for 'two_room': pass --environment")
    return found or "two_room"


def _trained(folders: Sequence[Path]) -> tuple[Path, ...]:
    """The folders of finished runs among what a shell's ``*`` gives; runs that are not finished are named."""
    for folder in folders:
        if not folder.exists():
            raise InputError(
                f"there is no folder {folder} (folders that hold no trained model), expected that of a run: check it"
            )
        if (folder / "checkpoints").is_dir() and not (folder / "config.json").exists():
            warn_user(f"{folder} is left out: its run is not finished, go on with it by pixels train")
    found = tuple(folder for folder in folders if (folder / "config.json").exists())
    if not found:
        raise InputError(
            "folders hold no trained model, expected a config.json in at least one: run spectral-jepa pixels train"
        )
    return found


def _check_evaluation(
    folders: Sequence[Path], changes: Mapping[str, str], simulator: bool, perfect_predictor: bool, device: str | None
) -> None:
    """Refuse a setting that no policy of an evaluation uses, and a perfect predictor of what predicts nothing."""
    from spectral_jepa.pixels.model.saved import load_model
    from spectral_jepa.pixels.planning.latent import MODEL_ONLY, check_defaults
    from spectral_jepa.pixels.presets import override

    if perfect_predictor and (kind := load_model(folders[0], device)[1].kind) != "world_model":
        raise InputError(
            f"--perfect-predictor was given and {folders[0]} is of the kind {kind!r}, expected a world model, which has a "
            "latent cost: name one first or leave it out"
        )
    if not changes:
        return
    options: dict[str, tuple[str, Any]] = {
        f"evaluation.{name}": (f"--{name.replace('_', '-')}", None) for name in ("n_pairs", "goal_offset", "budget")
    }
    problems = []
    for folder in folders:
        _, config, _ = load_model(folder, device)
        # The simulator plans with the first folder's settings, whatever that folder's kind.
        if (simulator or perfect_predictor) and folder == folders[0]:
            config = replace(config, kind="world_model")
            whom = "--simulator" if simulator else "--perfect-predictor"
            check_defaults(override(config, changes).planning, MODEL_ONLY, whom)
        try:
            _configure(config, "evaluate", options, changes, ("planning.", "evaluation.seed"))
        except InputError as error:
            problems.append(error)
    # A setting may concern some of the policies only.
    if len(problems) == len(folders):
        raise problems[0]


def _check_proposal(folder: Path | None, changes: Mapping[str, str]) -> None:
    """A cloned policy's folder and the setting that reads it come together."""
    kind = changes.get("planning.proposal")
    if (folder is not None) != (kind == "cloning"):
        shown = "was given" if folder is not None else "is missing"
        raise InputError(
            f"--proposal {shown} and planning.proposal is {kind or 'none'!r}, expected a folder with 'cloning' only: "
            "pass --proposal FOLDER --set planning.proposal cloning"
        )


def _begun_at(config: PixelConfig, initial: Path, kind: str | None, folder: Path | None) -> PixelConfig:
    """The configuration of a run that begins at another one: its model and kind, the rest as given."""
    from spectral_jepa.pixels.model.saved import load_model

    _, own, _ = load_model(initial)
    if kind is not None and kind != own.kind:
        raise InputError(f"--kind is {kind!r} and --initial {initial} a {own.kind}, expected the same: leave --kind out")
    if folder is None or folder.resolve() == initial.resolve():
        raise InputError(
            f"--initial is {initial} and --folder {folder or 'missing'}, expected another folder, which no run has by name: "
            "choose one"
        )
    return replace(config, model=own.model, kind=own.kind)


def _own_plan(
    folder: Path, start: Path, goal: Path, target: Path, changes: Mapping[str, str], device: str | None, show: bool
) -> None:
    """Plan between two picture files: actions, distances, and a film where the run keeps a decoder."""
    from spectral_jepa.pixels.data.pictures import read_picture
    from spectral_jepa.pixels.diagnostics.decoder import decode, save_gif
    from spectral_jepa.pixels.diagnostics.kept_decoder import kept_decoder
    from spectral_jepa.pixels.model.saved import load_model
    from spectral_jepa.pixels.planning.control import open_policy, plan_between
    from spectral_jepa.pixels.planning.policies import PlannerPolicy
    from spectral_jepa.plotting.pixels.episode import draw_own_plan
    from spectral_jepa.plotting.style import save_figure

    _, saved, _ = load_model(folder, device)
    if saved.kind != "world_model":
        raise InputError(
            f"{folder} holds a {saved.kind}, which predicts nothing, expected a world model with --start and --goal: use "
            "its actions by open_controller"
        )
    if "planning.history" in changes:
        raise InputError("--set planning.history has no use with --start, expected one picture to plan from: leave it out")
    _configure(saved, "plan", {}, changes, ("planning.", "evaluation.seed"))
    config, policy = open_policy(folder, device=device, overrides=changes)
    assert isinstance(policy, PlannerPolicy)
    size, block = config.model.image_size, config.model.action_block
    first, last = read_picture(start, size), read_picture(goal, size)
    found = plan_between(policy, first, last, seed=config.evaluation.seed)
    decoder = kept_decoder(folder)
    film = None if decoder is None else decode(decoder, found.latents[1:])
    table = pd.DataFrame(found.actions, columns=[f"action_{number}" for number in range(config.model.action_dim)])
    table.insert(0, "step", range(1, len(table) + 1))
    table.loc[block - 1 :: block, "predicted_distance"] = found.distances[1:]
    write_checked(target.with_suffix(".csv"), table.to_csv(index=False).encode())
    figure = draw_own_plan(first, last, found.distances, film=film, action_block=block)
    save_figure(figure, target.parent, target.stem)
    print(
        f"{len(table)} actions planned in {found.seconds:.2f} s: {target.with_suffix('.csv')} (raw, in the units of the "
        f"training data). Squared latent distance to the goal: {found.distances[0]:.3g} at the start, "
        f"{found.distances[-1]:.3g} predicted at the end. Figure: {target}"
    )
    if film is None:
        print(f"No film: {folder} keeps no decoder of its weights, which spectral-jepa pixels report {folder} trains.")
    else:
        path = save_gif(np.concatenate([first[None], film]), target.with_suffix(".gif"), milliseconds=400)
        print(f"Film: {path}, the start and the predicted latents, drawn by a diagnostic decoder: what the model expects.")
    if show:
        open_file(target)


@commands.add
def collect(
    environment: str = "two_room",
    preset: str = "small",
    policy: str | None = None,
    out: Path | None = None,
    n_jobs: int = -1,
    set: Overrides = {},  # noqa: B006
) -> None:
    """Write episodes of an environment to an HDF5 file in the public layout.

    Example: spectral-jepa pixels collect --environment two_room --preset small

    Args:
        environment: two_room, push_t, reacher, cube, a drawn world such as mdp_torus (docs/bridge.md), or module:Class of
            your own.
        preset: tiny (seconds), small (2 cores) or paper (a GPU).
        policy: scripted or random. Default: of the preset (random in Reacher, else scripted).
        out: The file. Default: results/pixels/ENVIRONMENT-PRESET/data.h5.
        n_jobs: Processes; -1 means one a core.
        set: Settings of data, such as data.n_episodes 100.
    """
    from spectral_jepa.pixels.data.collect import collect as collect_data
    from spectral_jepa.pixels.presets import preset as preset_config
    from spectral_jepa.pixels.runs import base_folder

    options = {"data.policy": ("--policy", policy), "data.environment": ("--environment", None)}
    used = [f"data.{name}" for name in ("n_episodes", "max_steps", "row_steps", "image_size", "policy", "seed")]
    config = _configure(preset_config(preset, environment), "collect", options, set, used)
    path = out or base_folder(environment, preset) / "data.h5"
    _folder("--out", path.parent)
    if path.is_dir() or not path.name:
        raise InputError(f"--out is {path}, a folder, expected the name of a file: add one")
    collect_data(config.data, path, n_jobs=n_jobs)
    print(f"Data: {path} ({path.stat().st_size / 2**20:.0f} MiB)   Next: spectral-jepa pixels train")


@commands.add
def convert(
    source: Positional[Path],
    out: Path,
    layout: str = "hdf5",
    environment: str | None = None,
    image_size: int | None = None,
    square: str | None = None,
    camera: str | None = None,
) -> None:
    """Make recorded episodes of others one file that every command reads: LeRobot, Minari, zarr, Lance, own videos.

    Example: spectral-jepa pixels convert FOLDER --out data.h5 --image-size 64 --square crop (docs/data_formats.md)

    Args:
        source: File or folder; its format is recognised by its content.
        out: The HDF5 file to write, or the folder of the Minari dataset.
        layout: hdf5 (what train reads) or minari.
        environment: The simulator that the data come from, which their first episodes are compared with. Default: what they
            say, if anything.
        image_size: Side of the pictures. Default: as they are.
        square: crop or pad pictures that are not square. Default: refuse them.
        camera: Which column of pictures, where there are several.
    """
    from spectral_jepa.pixels.data.formats import convert as convert_data
    from spectral_jepa.pixels.data.hdf5 import open_file as open_data

    _folder("--out", out.parent)
    if (layout == "hdf5" and out.is_dir()) or not out.name:
        raise InputError(f"--out is {out}, a folder, expected the name of a file: add one")
    settings: dict[str, Any] = {"environment": environment, "image_size": image_size, "square": square, "camera": camera}
    path = convert_data(source, out, layout=layout, **settings)
    if layout == "minari":
        print(f"Minari dataset: {path}, which minari.MinariDataset({str(path / 'data')!r}) opens")
        return
    with open_data(path) as file:
        episodes, size = len(file["ep_len"]), file["pixels"].shape[1]
        dim = file["action"].shape[1] // int(file.attrs.get("row_steps", 1))
        known = "environment" in file.attrs
    told = "" if known else ". The data name no simulator, so there is none to evaluate in"
    print(f"Data: {path} ({episodes} episodes, pictures {size} x {size}, actions of {dim} numbers){told}")
    print(f"Next: spectral-jepa pixels train --data {path} --set model.image_size {size} model.action_dim {dim}")


@commands.add
def train(
    environment: str | None = None,
    preset: str = "small",
    regularizer: str | None = None,
    n_subspaces: int | None = None,
    subspace_kind: str | None = None,
    kind: str | None = None,
    seed: int | None = None,
    data: Path | None = None,
    folder: Path | None = None,
    device: str | None = None,
    stop_after: int | None = None,
    cache: Path | None = None,
    initial: Path | None = None,
    tracker: str | None = None,
    set: Overrides = {},  # noqa: B006
) -> None:
    """Train a world model (or a cloned policy); killed at any moment it resumes.

    Examples: spectral-jepa pixels train --regularizer sigreg | spectral-jepa pixels train --regularizer subspace_sigreg
    --n-subspaces 4 --seed 1 | torchrun --nproc-per-node 2 -m spectral_jepa pixels train --preset paper | spectral-jepa
    pixels train --initial RUN --data NEW.h5 --folder RUN-2

    Args:
        environment: Which data: what evaluate simulates. Default: what the data say, else two_room.
        preset: tiny, small or paper.
        regularizer: sigreg (LeWorldModel, the default), subspace_sigreg (Sub-JEPA), pldm, whitening, none, or
            module:function of your own.
        n_subspaces: Sub-JEPA's K.
        subspace_kind: orthogonal (the default), partition, random, scaled or trainable.
        kind: world_model (the default), or cloning for goal-conditioned behaviour cloning with the same encoder.
        seed: Initial weights, batches, directions. Default: 0.
        data: The HDF5 file. Default: where collect puts it.
        folder: Of the run. Default: results/pixels/ENVIRONMENT-PRESET/NAME-SEED.
        device: cpu or cuda. Default: a GPU where there is one.
        stop_after: Stop after this many steps, with a checkpoint.
        cache: Folder for the unpacked data, their split and the pairs. Default: beside the data, where one may write there.
        initial: Folder of a finished run whose model, weights and scaling of the actions this one begins at.
        tracker: module:callable, given settings and folder, that is told what is logged: docs/trackers.md.
        set: Settings of model, objective and training, such as training.n_steps 200 or model.embedding_dim 32.
    """
    from spectral_jepa.pixels.presets import preset as preset_config
    from spectral_jepa.pixels.runs import base_folder, run_name
    from spectral_jepa.pixels.training.loop import train as train_model
    from spectral_jepa.training import make_tracker

    environment = _environment_of(data) if environment is None else environment
    options = {
        "objective.regularizer": ("--regularizer", regularizer),
        "objective.n_subspaces": ("--n-subspaces", n_subspaces),
        "objective.subspace_kind": ("--subspace-kind", subspace_kind),
        "training.seed": ("--seed", seed),
        "kind": ("--kind", kind),
        "data.environment": ("--environment", None),
    }
    used: tuple[str, ...] = ("model.", "objective.", "training.", "kind")
    config = preset_config(preset, environment)
    if initial is not None:
        config, used = _begun_at(config, initial, kind, folder), ("objective.", "training.", "model.dropout")
    config = _configure(config, "train", options, set, used)
    base = base_folder(environment, preset)
    where = _folder("--folder", folder or base / run_name(config))
    trackers = (
        [] if tracker is None or os.environ.get("RANK", "0") != "0" else [make_tracker(tracker, config.to_dict(), where)]
    )
    run = train_model(
        config, data or base / "data.h5", where, device=device, stop_after=stop_after, cache=cache, initial=initial,
        trackers=trackers,
    )  # fmt: skip
    print(f"Run: {run.folder}, step {run.step} of {run.n_steps}   Next: spectral-jepa pixels evaluate {run.folder}")


@commands.add
def plan(
    folder: Positional[Path],
    data: Path | None = None,
    pair: int | None = None,
    start: Path | None = None,
    goal: Path | None = None,
    out: Path | None = None,
    proposal: Path | None = None,
    device: str | None = None,
    cache: Path | None = None,
    set: Overrides = {},  # noqa: B006
    open: bool = False,
) -> None:
    """Plan from one held-out start to its goal, carry the plan out, and draw what happened; or plan between two pictures.

    Examples: spectral-jepa pixels plan results/pixels/two_room-small/sigreg-0 --pair 3 | spectral-jepa pixels plan RUN
    --start now.png --goal wanted.png (neither data nor simulator: docs/own_robot.md)

    Args:
        folder: Of a trained model.
        data: The HDF5 file. Default: the one it was trained on.
        pair: Number of the start and goal pair in the manifest of evaluate. Default: 0.
        start: Picture file to plan from, square; with --goal.
        goal: Picture file to plan to; with --start.
        out: The picture. Default: FOLDER/figures/plan_PAIR.png, or own_plan.png, with actions (.csv) and film (.gif) beside.
        proposal: Folder of a cloned policy that the search begins at, with --set planning.proposal cloning.
        device: cpu or cuda.
        cache: Folder for the unpacked data, their split and the pairs. Default: beside the data, where one may write there.
        set: Settings of planning and evaluation, such as planning.n_iterations 30 or evaluation.budget 100.
        open: Show the picture.
    """
    from spectral_jepa.pixels.evaluation.evaluate import film_pair
    from spectral_jepa.pixels.model.saved import load_model
    from spectral_jepa.pixels.runs import data_path, frozen_pairs, open_run

    own = start is not None or goal is not None
    target = folder / "figures" / ("own_plan.png" if own else f"plan_{pair or 0}.png") if out is None else out
    if target.suffix != ".png":
        raise InputError(f"--out is {target}, expected a name that ends in .png (a .pdf is written beside it): add it")
    _folder("--out", target.parent)
    if own:
        unused = {"--data": data, "--pair": pair, "--proposal": proposal, "--cache": cache}
        if start is None or goal is None:
            missing, given = ("--start", "--goal") if start is None else ("--goal", "--start")
            raise InputError(f"{given} was given and {missing} is missing, expected both pictures or neither: add it")
        for option, value in unused.items():
            if value is not None:
                raise InputError(f"{option} is {value}, expected none with --start: two pictures need no data, leave it out")
        return _own_plan(folder, start, goal, target, set, device, open)
    _check_proposal(proposal, set)
    _, saved, _ = load_model(folder, device)
    _configure(saved, "plan", {}, set, ("planning.", "evaluation."))
    config, policy, _, dataset, environment = open_run(folder, data, device, set, cache=cache, proposal=proposal)
    manifest = frozen_pairs(data_path(folder, data), dataset, environment, config.evaluation)
    frames, success, steps = film_pair(policy, manifest, pair or 0, dataset, environment, config.evaluation)
    from spectral_jepa.plotting.pixels.episode import draw_plan
    from spectral_jepa.plotting.style import save_figure

    figure = draw_plan(frames, success=success, steps=steps, action_block=config.model.action_block)
    save_figure(figure, target.parent, target.stem)
    print(f"{'Reached' if success else 'Not reached'} after {steps} steps. Figure: {target}")
    if open:
        open_file(target)


@commands.add
def evaluate(
    folders: Positional[tuple[Path, ...]],
    data: Path | None = None,
    n_pairs: int | None = None,
    goal_offset: tuple[int, ...] = (25,),
    budget: int | None = None,
    random: bool = True,
    simulator: bool = False,
    perfect_predictor: bool = False,
    proposal: Path | None = None,
    device: str | None = None,
    cache: Path | None = None,
    set: Overrides = {},  # noqa: B006
    open: bool = False,
) -> None:
    """Planning success on frozen held-out pairs, with Wilson intervals, the random floor and paired comparisons.

    Example: spectral-jepa pixels evaluate results/pixels/two_room-small/* --goal-offset 25 50

    Args:
        folders: Of trained models, all of one environment; what holds none is left out.
        data: The HDF5 file. Default: the one that they were trained on.
        n_pairs: Start and goal pairs. Default: of the preset (200).
        goal_offset: Raw steps from start to goal.
        budget: Raw steps to reach it. Default: twice the goal offset.
        random: Also the floor of random actions.
        simulator: Also the upper bound, planning with the true dynamics (slow but for two_room).
        perfect_predictor: Also the true dynamics judged by the first run's encoder, as a perfect predictor would be (slow).
        proposal: Folder of a cloned policy that the searches begin at, with --set planning.proposal cloning.
        device: cpu or cuda.
        cache: Folder for the unpacked data, their split and the pairs. Default: beside the data, where one may write there.
        set: Settings of planning, such as planning.n_iterations 30, and evaluation.seed.
        open: Show the figure.
    """
    from spectral_jepa.pixels.config import EvaluationConfig
    from spectral_jepa.pixels.evaluation.evaluate import evaluate as judge
    from spectral_jepa.pixels.planning.policies import RandomPolicy
    from spectral_jepa.pixels.planning.simulator import SimulatorPolicy
    from spectral_jepa.pixels.runs import data_path, frozen_pairs, open_run, policy_names
    from spectral_jepa.plotting.pixels.success import draw
    from spectral_jepa.plotting.style import save_figure
    from spectral_jepa.success_rates import comparison_table, success_table

    folders = _trained(folders)
    names = policy_names(folders)
    for number, offset in enumerate(goal_offset):
        if offset in goal_offset[:number]:
            raise InputError(f"--goal-offset {offset} was given twice, expected each once: leave one out")
    given: dict[str, Any] = {"n_pairs": n_pairs, "goal_offset": min(goal_offset), "budget": budget}
    EvaluationConfig(**{name: value for name, value in given.items() if value is not None})  # refused before hours of work
    _check_proposal(proposal, set)
    _check_evaluation(folders, set, simulator, perfect_predictor, device)
    tables: list[pd.DataFrame] = []
    manifests: dict[int, str] = {}
    for number, folder in enumerate(folders):
        config, policy, scaler, dataset, environment = open_run(
            folder, data, device, set, name=names[number], cache=cache, proposal=proposal
        )
        for offset in goal_offset:
            wanted = replace(config.evaluation, goal_offset=offset, budget=2 * offset if budget is None else budget)
            wanted = wanted if n_pairs is None else replace(wanted, n_pairs=n_pairs)
            manifest = frozen_pairs(data_path(folder, data), dataset, environment, wanted)
            if manifests.setdefault(offset, manifest.digest) != manifest.digest:
                raise InputError(
                    f"{folder} was trained on other data than {folders[0]} ({data_path(folder)}, {data_path(folders[0])}) "
                    "and has other pairs, expected the same: pass --data with one file, or evaluate them one by one"
                )
            kept = folder.parent / "evaluations"
            rows = judge(policy, manifest, dataset, environment, wanted, folder=kept)
            own = folder / f"evaluation-{offset}.csv"
            write_checked(own, rows.to_csv(index=False).encode())
            tables.append(rows)
            if number == 0:
                print(f"{len(manifest)} pairs, {manifest.n_solved} more left out as solved at the start")
                if random:
                    floor = RandomPolicy(environment, offset)
                    tables.append(judge(floor, manifest, dataset, environment, wanted, folder=kept))
                for encoder in [None] * simulator + [getattr(policy, "model", None)] * perfect_predictor:
                    upper = SimulatorPolicy(environment, scaler, config.planning, config.model.action_block, encoder)
                    tables.append(judge(upper, manifest, dataset, environment, wanted, folder=kept))
    table = pd.concat(tables, ignore_index=True)
    summary = success_table(table, by=("policy", "goal_offset"))
    print_frame(summary, "{:.3f}")
    if table["policy"].nunique() > 1:
        first = table[table["goal_offset"] == goal_offset[0]]
        print()
        print_frame(comparison_table(first, str(first["policy"].iloc[0])))
    out = folders[0].parent
    write_checked(out / "evaluation.csv", table.to_csv(index=False).encode())
    figures = [save_figure(figure, out / "figures", name)[0] for name, figure in draw(table).items()]
    for path in figures:
        print(f"Figure: {path}")
    print(f"Table: {out / 'evaluation.csv'}   Next: spectral-jepa pixels probe {folders[0]}")
    if open:
        open_file(figures[0])


@commands.add
def probe(
    folder: Positional[Path],
    data: Path | None = None,
    quantities: tuple[str, ...] = (),
    seed: int = 0,
    device: str | None = None,
    cache: Path | None = None,
    open: bool = False,
) -> None:
    """How well each physical quantity can be read from the latents, linearly and by a small network.

    Example: spectral-jepa pixels probe results/pixels/two_room-small/sigreg-0

    Args:
        folder: Of a trained model.
        data: The HDF5 file. Default: the one it was trained on.
        quantities: Columns to probe. Default: all that are physical.
        seed: Of the sampled frames and of the probe's network.
        device: cpu or cuda.
        cache: Folder for the unpacked data, their split and the pairs. Default: beside the data, where one may write there.
        open: Show the figure.
    """
    from spectral_jepa.pixels.config import ProbeConfig
    from spectral_jepa.pixels.reports.tables import run_probe
    from spectral_jepa.pixels.runs import data_path

    settings = ProbeConfig(quantities=quantities or None, seed=seed)
    table = run_probe(folder, data_path(folder, data), settings, device=device, data_cache=cache)
    short = table[table["coordinate"] == "mean"].drop(columns="coordinate")
    print_frame(short, "{:.3f}")
    print(f"Table: {folder / 'probe.csv'}, figures in {folder / 'figures'}   Next: spectral-jepa pixels surprise {folder}")
    if open:
        open_file(folder / "figures" / "probe.png")


@commands.add
def diagnose(
    folder: Positional[Path],
    data: Path | None = None,
    n_simulator: int = 20,
    n_starts: int = 20,
    n_plans: int = 30,
    seed: int = 0,
    device: str | None = None,
    cache: Path | None = None,
    set: Overrides = {},  # noqa: B006
    open: bool = False,
) -> None:
    """From what the world allows to what the planner reaches: six stages with a rule each, and which link breaks first.

    Example: spectral-jepa pixels diagnose results/pixels/two_room-small/sigreg-0

    Args:
        folder: Of a trained world model.
        data: The HDF5 file. Default: the one it was trained on.
        n_simulator: Pairs that the true dynamics plan for; slow but for two_room.
        n_starts: Starts from which plans are simulated to see whether the cost ranks them.
        n_plans: Candidate plans from each start.
        seed: Of samples, plans and probes.
        device: cpu or cuda.
        cache: Folder for the unpacked data, their split and the pairs. Default: beside the data, where one may write there.
        set: Settings of planning and evaluation, such as planning.n_iterations 30 or evaluation.n_pairs 50.
        open: Show the figure.
    """
    from spectral_jepa.pixels.model.saved import load_model
    from spectral_jepa.pixels.reports.diagnosis import diagnose as measure
    from spectral_jepa.pixels.reports.diagnosis import open_diagnosis
    from spectral_jepa.pixels.reports.diagnosis_text import diagnosis_text

    _, saved, _ = load_model(folder, device)
    _configure(saved, "diagnose", {}, set, ("planning.", "evaluation."))
    sizes: dict[str, Any] = {"n_simulator": n_simulator, "n_starts": n_starts, "n_plans": n_plans, "seed": seed}
    table = measure(open_diagnosis(folder, data, **sizes, device=device, overrides=set, cache=cache))
    print(f"Table: {folder / 'diagnosis.csv'}, figure: {folder / 'figures' / 'diagnosis.png'}\n")
    print(diagnosis_text(table))
    if open:
        open_file(folder / "figures" / "diagnosis.png")


@commands.add
def surprise(
    folder: Positional[Path],
    data: Path | None = None,
    n_trajectories: int = 100,
    seed: int = 0,
    device: str | None = None,
    cache: Path | None = None,
    open: bool = False,
) -> None:
    """Violation of expectation: is a teleported or recoloured object a surprise?

    Example: spectral-jepa pixels surprise results/pixels/two_room-small/sigreg-0

    Args:
        folder: Of a trained model.
        data: The HDF5 file. Default: the one it was trained on.
        n_trajectories: Held-out trajectories, at most.
        seed: Of the windows and the teleports.
        device: cpu or cuda.
        cache: Folder for the unpacked data, their split and the pairs. Default: beside the data, where one may write there.
        open: Show the figure.
    """
    from spectral_jepa.pixels.config import SurpriseConfig
    from spectral_jepa.pixels.reports.tables import run_surprise
    from spectral_jepa.pixels.runs import data_path

    settings = SurpriseConfig(n_trajectories=n_trajectories, seed=seed)
    _, summary = run_surprise(folder, data_path(folder, data), settings, device=device, data_cache=cache)
    print_frame(summary)
    print(f"Table: {folder / 'surprise_summary.csv'}, figures in {folder / 'figures'}")
    print(f"Next: spectral-jepa pixels report {folder}")
    if open:
        open_file(folder / "figures" / "surprise.png")


@commands.add
def report(
    folder: Positional[Path],
    data: Path | None = None,
    seed: int = 0,
    decoder_steps: int = 1000,
    device: str | None = None,
    cache: Path | None = None,
    open: bool = False,
) -> None:
    """One page about a trained model: results, decoded rollouts, curves, settings.

    Example: spectral-jepa pixels report results/pixels/two_room-small/sigreg-0

    Args:
        folder: Of a trained model.
        data: The HDF5 file. Default: the one it was trained on.
        seed: Of the decoder and of the rollouts shown.
        decoder_steps: Optimiser steps of the decoder that draws the rollouts.
        device: cpu or cuda.
        cache: Folder for the unpacked data, their split and the pairs. Default: beside the data, where one may write there.
        open: Show the page.
    """
    from spectral_jepa.pixels.reports.page import report as write_report
    from spectral_jepa.pixels.runs import data_path

    path = write_report(
        folder, data_path(folder, data), seed=seed, decoder_steps=decoder_steps, device=device, data_cache=cache
    )
    print(f"Page: {path}")
    if open:
        open_file(path)


@commands.add
def import_weights(
    source: Positional[str],
    data: Path,
    folder: Path,
    environment: str | None = None,
    revision: str | None = None,
    cache: Path | None = None,
) -> None:
    """Make published LeWM weights, or what export-weights wrote, the folder of a run on which every command works.

    Examples: spectral-jepa pixels import-weights lewm-tworooms --data tworoom.h5 --folder runs/published | spectral-jepa
    pixels import-weights OWNER/NAME --data DATA.h5 --folder RUN

    Args:
        source: Folder with weights.pt or safetensors and config.json, or OWNER/NAME on the Hugging Face Hub.
        data: The HDF5 file: mean and deviation of a public checkpoint's actions come from there.
        folder: Of the run, a new one.
        environment: Of the data. Default: what they say, else two_room.
        revision: Of a repository: branch, tag or commit.
        cache: Folder for the unpacked data, their split and the pairs. Default: beside the data, where one may write there.
    """
    from spectral_jepa.pixels.pretrained import import_run

    world = _environment_of(data) if environment is None else environment
    path = import_run(source, data, _folder("--folder", folder), environment=world, revision=revision, cache=cache)
    print(f"Run: {path}   Next: spectral-jepa pixels evaluate {path}")


@commands.add
def export_weights(folder: Positional[Path], out: Path) -> None:
    """Write a finished run for others: tensors, config.json and a card, as the Hugging Face Hub holds them.

    Example: spectral-jepa pixels export-weights results/pixels/two_room-small/sigreg-0 --out shared

    Args:
        folder: Of the run.
        out: The folder to write, a new one.
    """
    from spectral_jepa.pixels.pretrained import save_pretrained

    path = save_pretrained(folder, _folder("--out", out))
    names = ", ".join(sorted(file.name for file in path.iterdir()))
    print(f"{path}: {names}   Next: hf upload OWNER/NAME {path}")
