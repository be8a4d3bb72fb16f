"""Command line ``spectral-jepa pixels``: from nothing to a trained, planned-with, probed and surprised world model.

Every command finds what the one before it wrote (:mod:`spectral_jepa.pixels.runs`); every one of them can be stopped and
goes on when it is given again.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro
from tyro.conf import Positional

from spectral_jepa._files import write_checked
from spectral_jepa._validation import InputError

app = tyro.extras.SubcommandApp()
Overrides = Annotated[dict[str, str], tyro.conf.arg(metavar="SECTION.FIELD VALUE")]


def run(arguments: list[str]) -> None:
    """Run one of the commands."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pictures are drawn without a window
    if os.getcwd() not in sys.path:  # where an environment of one's own, module:Class, is looked for last
        sys.path.append(os.getcwd())
    app.cli(
        prog="spectral-jepa pixels",
        args=arguments,
        description="LeWorldModel and Sub-JEPA from pixels. Order: collect, train, evaluate, probe, surprise, report.",
    )


@app.command
def collect(
    environment: str = "two_room",
    preset: str = "small",
    policy: str = "scripted",
    out: Path | None = None,
    n_jobs: int = -1,
    set: Overrides = {},  # noqa: B006
) -> None:
    """Write episodes of an environment to an HDF5 file in the public layout.

    Example: spectral-jepa pixels collect --environment two_room --preset small

    Args:
        environment: two_room, push_t, reacher, cube, or module:Class of your own.
        preset: tiny (seconds), small (2 cores) or paper (a GPU).
        policy: scripted or random.
        out: The file. Default: results/pixels/ENVIRONMENT-PRESET/data.h5.
        n_jobs: Processes; -1 means one a core.
        set: Any setting, such as data.n_episodes 100.
    """
    from spectral_jepa.pixels.data.collect import collect as collect_data
    from spectral_jepa.pixels.presets import override
    from spectral_jepa.pixels.presets import preset as preset_config
    from spectral_jepa.pixels.runs import base_folder

    config = override(preset_config(preset, environment), {"data.policy": policy} | set)
    path = out or base_folder(environment, preset) / "data.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    collect_data(config.data, path, n_jobs=(os.cpu_count() or 1) if n_jobs < 1 else n_jobs)
    print(f"Data: {path} ({path.stat().st_size / 2**20:.0f} MiB)   Next: spectral-jepa pixels train")


@app.command
def train(
    environment: str = "two_room",
    preset: str = "small",
    regularizer: str = "sigreg",
    n_subspaces: int | None = None,
    subspace_kind: str = "orthogonal",
    kind: str = "world_model",
    seed: int = 0,
    data: Path | None = None,
    folder: Path | None = None,
    device: str | None = None,
    stop_after: int | None = None,
    set: Overrides = {},  # noqa: B006
) -> None:
    """Train a world model (or a cloned policy); killed at any moment it resumes.

    Examples: spectral-jepa pixels train --regularizer sigreg | spectral-jepa pixels train --regularizer subspace_sigreg
    --n-subspaces 4 --seed 1 | torchrun --nproc-per-node 2 -m spectral_jepa pixels train --preset paper

    Args:
        environment: Which data.
        preset: tiny, small or paper.
        regularizer: sigreg (LeWorldModel), subspace_sigreg (Sub-JEPA), pldm, whitening or none.
        n_subspaces: Sub-JEPA's K.
        subspace_kind: orthogonal, partition, random or trainable.
        kind: world_model, or cloning for goal-conditioned behaviour cloning with the same encoder.
        seed: Initial weights, batches, directions.
        data: The HDF5 file. Default: where collect puts it.
        folder: Of the run. Default: results/pixels/ENVIRONMENT-PRESET/NAME-SEED.
        device: cpu or cuda. Default: a GPU where there is one.
        stop_after: Stop after this many steps, with a checkpoint.
        set: Any setting, such as training.n_steps 200 or model.embedding_dim 32.
    """
    from spectral_jepa.pixels.presets import override
    from spectral_jepa.pixels.presets import preset as preset_config
    from spectral_jepa.pixels.runs import base_folder, run_name
    from spectral_jepa.pixels.training.loop import train as train_model

    chosen = {"objective.regularizer": regularizer, "objective.subspace_kind": subspace_kind, "training.seed": str(seed)}
    if n_subspaces is not None:
        chosen["objective.n_subspaces"] = str(n_subspaces)
    config = override(preset_config(preset, environment), chosen | {"kind": kind} | set)
    base = base_folder(environment, preset)
    where = folder or base / run_name(config)
    run = train_model(config, data or base / "data.h5", where, device=device, stop_after=stop_after)
    print(f"Run: {run.folder}, step {run.step} of {run.n_steps}   Next: spectral-jepa pixels evaluate {run.folder}")


@app.command
def plan(
    folder: Positional[Path],
    data: Path | None = None,
    pair: int = 0,
    out: Path | None = None,
    device: str | None = None,
) -> None:
    """Plan from one held-out start to its goal, carry the plan out, and draw what happened.

    Example: spectral-jepa pixels plan results/pixels/two_room-small/sigreg-0 --pair 3

    Args:
        folder: Of a trained model.
        data: The HDF5 file. Default: the one it was trained on.
        pair: Number of the start and goal pair in the manifest of evaluate.
        out: The picture. Default: FOLDER/figures/plan_PAIR.png.
        device: cpu or cuda.
    """
    from spectral_jepa.pixels.evaluation.evaluate import film_pair
    from spectral_jepa.pixels.runs import data_path, frozen_pairs, open_run

    config, policy, _, dataset, environment = open_run(folder, data, device)
    manifest = frozen_pairs(data_path(folder, data), dataset, environment, config.evaluation)
    frames, success, steps = film_pair(policy, manifest, pair, dataset, environment, config.evaluation)
    from spectral_jepa.plotting.pixels.episode import draw_plan
    from spectral_jepa.plotting.style import save_figure

    target = out or folder / "figures" / f"plan_{pair}.png"
    figure = draw_plan(frames, success=success, steps=steps, action_block=config.model.action_block)
    save_figure(figure, target.parent, target.stem)
    print(f"{'Reached' if success else 'Not reached'} after {steps} steps. Figure: {target}")


@app.command
def evaluate(
    folders: Positional[tuple[Path, ...]],
    data: Path | None = None,
    n_pairs: int | None = None,
    goal_offset: tuple[int, ...] = (25,),
    random: bool = True,
    simulator: bool = False,
    device: str | None = None,
    set: Overrides = {},  # noqa: B006
) -> None:
    """Planning success on frozen held-out pairs, with Wilson intervals, the random floor and paired comparisons.

    Example: spectral-jepa pixels evaluate results/pixels/two_room-small/* --goal-offset 25 50

    Args:
        folders: Of trained models, all of one environment.
        data: The HDF5 file. Default: the one the first was trained on.
        n_pairs: Start and goal pairs. Default: of the preset (200).
        goal_offset: Raw steps from start to goal; the budget is twice that.
        random: Also the floor of random actions.
        simulator: Also the upper bound, planning with the true dynamics (slow but for two_room).
        device: cpu or cuda.
        set: Any setting of planning, such as planning.n_iterations 30.
    """
    from spectral_jepa.pixels.evaluation.evaluate import evaluate as judge
    from spectral_jepa.pixels.planning.policies import RandomPolicy
    from spectral_jepa.pixels.planning.simulator import SimulatorPolicy
    from spectral_jepa.pixels.runs import data_path, frozen_pairs, open_run
    from spectral_jepa.plotting.pixels.success import draw
    from spectral_jepa.plotting.style import save_figure
    from spectral_jepa.success_rates import comparison_table, success_table

    folders = tuple(folder for folder in folders if (folder / "config.json").exists())
    if not folders:
        raise InputError(
            "folders hold no trained model, expected a config.json in at least one: run spectral-jepa pixels train"
        )
    tables = []
    for number, folder in enumerate(folders):
        config, policy, scaler, dataset, environment = open_run(folder, data, device, set)
        for offset in goal_offset:
            wanted = replace(config.evaluation, goal_offset=offset, budget=2 * offset)
            wanted = wanted if n_pairs is None else replace(wanted, n_pairs=n_pairs)
            manifest = frozen_pairs(data_path(folder, data), dataset, environment, wanted)
            cache = folder.parent / "evaluations"
            rows = judge(policy, manifest, dataset, environment, wanted, folder=cache)
            own = folder / f"evaluation-{offset}.csv"
            write_checked(own, rows.to_csv(index=False).encode())
            tables.append(rows)
            if number == 0:
                print(f"{len(manifest)} pairs, {manifest.n_solved} more left out as solved at the start")
                if random:
                    floor = RandomPolicy(environment, offset)
                    tables.append(judge(floor, manifest, dataset, environment, wanted, folder=cache))
                if simulator:
                    upper = SimulatorPolicy(environment, scaler, config.planning, config.model.action_block)
                    tables.append(judge(upper, manifest, dataset, environment, wanted, folder=cache))
    table = pd.concat(tables, ignore_index=True)
    summary = success_table(table, by=("policy", "goal_offset"))
    print(summary.to_string(index=False, float_format="{:.3f}".format))
    if table["policy"].nunique() > 1:
        first = table[table["goal_offset"] == goal_offset[0]]
        print(comparison_table(first, str(first["policy"].iloc[0])).to_string(index=False, float_format="{:.3g}".format))
    out = folders[0].parent
    write_checked(out / "evaluation.csv", table.to_csv(index=False).encode())
    for name, figure in draw(table).items():
        print(f"Figure: {save_figure(figure, out / 'figures', name)[0]}")
    print(f"Table: {out / 'evaluation.csv'}   Next: spectral-jepa pixels probe {folders[0]}")


@app.command
def probe(folder: Positional[Path], data: Path | None = None, seed: int = 0, device: str | None = None) -> None:
    """How well each physical quantity can be read from the latents, linearly and by a small network.

    Example: spectral-jepa pixels probe results/pixels/two_room-small/sigreg-0

    Args:
        folder: Of a trained model.
        data: The HDF5 file. Default: the one it was trained on.
        seed: Of the sampled frames and of the probe's network.
        device: cpu or cuda.
    """
    from spectral_jepa.pixels.config import ProbeConfig
    from spectral_jepa.pixels.reports.tables import run_probe
    from spectral_jepa.pixels.runs import data_path

    table = run_probe(folder, data_path(folder, data), ProbeConfig(seed=seed), device=device)
    short = table[table["coordinate"] == "mean"].drop(columns="coordinate")
    print(short.to_string(index=False, float_format="{:.3f}".format))
    print(f"Table: {folder / 'probe.csv'}, figures in {folder / 'figures'}   Next: spectral-jepa pixels surprise {folder}")


@app.command
def surprise(
    folder: Positional[Path],
    data: Path | None = None,
    n_trajectories: int = 100,
    seed: int = 0,
    device: str | None = None,
) -> None:
    """Violation of expectation: is a teleported or recoloured object a surprise?

    Example: spectral-jepa pixels surprise results/pixels/two_room-small/sigreg-0

    Args:
        folder: Of a trained model.
        data: The HDF5 file. Default: the one it was trained on.
        n_trajectories: Held-out trajectories, at most.
        seed: Of the windows and the teleports.
        device: cpu or cuda.
    """
    from spectral_jepa.pixels.config import SurpriseConfig
    from spectral_jepa.pixels.reports.tables import run_surprise
    from spectral_jepa.pixels.runs import data_path

    settings = SurpriseConfig(n_trajectories=n_trajectories, seed=seed)
    _, summary = run_surprise(folder, data_path(folder, data), settings, device=device)
    print(summary.to_string(index=False, float_format="{:.3g}".format))
    print(f"Table: {folder / 'surprise_summary.csv'}, figures in {folder / 'figures'}   Next: pixels report {folder}")


@app.command
def report(
    folder: Positional[Path],
    data: Path | None = None,
    seed: int = 0,
    decoder_steps: int = 1000,
    device: str | None = None,
) -> None:
    """One page about a trained model: curves, tables, decoded rollouts.

    Example: spectral-jepa pixels report results/pixels/two_room-small/sigreg-0

    Args:
        folder: Of a trained model.
        data: The HDF5 file. Default: the one it was trained on.
        seed: Of the decoder and of the rollouts shown.
        decoder_steps: Optimiser steps of the decoder that draws the rollouts.
        device: cpu or cuda.
    """
    from spectral_jepa.pixels.reports.page import report as write_report
    from spectral_jepa.pixels.runs import data_path

    path = write_report(folder, data_path(folder, data), seed=seed, decoder_steps=decoder_steps, device=device)
    print(f"Page: {path}")
