"""Command line ``spectral-jepa``: each function below is a command, its docstring is its help."""

from __future__ import annotations

import difflib
import inspect
import logging
import signal
import subprocess
import sys
import textwrap
import time
import warnings
import webbrowser
from importlib.util import find_spec
from io import BytesIO
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
import tyro
from tyro.conf import Positional

import spectral_jepa as sj
from spectral_jepa import generators
from spectral_jepa._commands import Commands
from spectral_jepa._files import write_atomic, write_checked
from spectral_jepa._processes import STOPPED, end_workers, stoppable
from spectral_jepa._terminal import Bar, open_file, print_frame
from spectral_jepa._validation import InputError, check_count, first_line, nearest, system_problem
from spectral_jepa.mdp import TabularMDP
from spectral_jepa.sweep import run_sweep, sweep_status
from spectral_jepa.sweep.experiment import Experiment, load_experiment, shipped_folder
from spectral_jepa.sweep.forecast import forecast
from spectral_jepa.sweep.places import LocalPlace, Place, open_place
from spectral_jepa.sweep.results import clone_reference, read_manifest, read_table, reference_path
from spectral_jepa.sweep.shards import SHARDS, merge_sweep, read_shard, shard_cells, shard_place

if TYPE_CHECKING:
    from spectral_jepa.advice import Advice, Regularizer
    from spectral_jepa.data import Transitions
    from spectral_jepa.logs import LogCounts
    from spectral_jepa.logs.analysis import Analysis

commands = Commands(
    "spectral-jepa",
    "The laboratory for the theory of JEPA world models. Start with: spectral-jepa demo. Which one this is: --version",
)
# How long to wait for a Dask scheduler to answer.
DASK_SECONDS = 10
# Of what `repro CLAIM` prints; and below it a measured number is rounding error, which no two machines share.
TEXT_WIDTH, ROUNDING = 80, 1e-8


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a mistake of the user, or a system that refuses, is one sentence on stderr and exit status 2."""
    # The font library warns about its own fonts whenever a PDF is written.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    given = sys.argv[1:] if arguments is None else arguments
    with stoppable() as stopped:
        # What a library has to say of being stopped is said in one line below.
        warnings.showwarning = lambda message, *_: None if stopped else _say(str(message))
        try:
            _run(given)
        except BaseException as error:
            # A signal within a library may come out as another error.
            if stopped or isinstance(error, KeyboardInterrupt):
                end_workers()
                print(STOPPED, file=sys.stderr)
                raise SystemExit(128 + (stopped or [signal.SIGINT])[0]) from None
            if isinstance(error, BrokenPipeError):
                raise SystemExit(0) from None
            sentence = str(error) if isinstance(error, InputError) else system_problem(error)
            if sentence is None:
                raise
            _say(sentence)
            raise SystemExit(2) from None


def _say(sentence: str) -> None:
    """One line on stderr, also where it quotes a name with a line break."""
    print("spectral-jepa: " + "\\n".join(sentence.splitlines()), file=sys.stderr)


def _run(given: list[str]) -> None:
    if given[:1] == ["--version"]:
        if given[1:]:
            raise InputError(f"--version stands alone, got {given[1]!r} behind it, expected nothing: leave it out")
        print(f"spectral-jepa {sj.__version__}")
        return
    if given[:1] == ["pixels"]:
        from spectral_jepa.pixels.cli import run

        run(given[1:] or ["--help"])
        return
    commands.run(given)


@commands.add
def demo(
    seed: int = 0,
    states: int = 60,
    rank: int = 5,
    samples: int = 100_000,
    out: Path = Path("results/demo"),
    open: bool = False,
) -> None:
    """Three seconds of theory: error, regret and bound against the latent dimension in one small world.

    Examples: spectral-jepa demo --seed 3 | spectral-jepa demo --samples 3000

    Args:
        seed: World and data.
        states: Of the world.
        rank: Number of blocks of the world, which is the rank of every action.
        samples: Transitions of each action.
        out: Folder of the figure.
        open: Show the figure.
    """
    began = time.perf_counter()
    for name, value in (("states", states), ("rank", rank), ("samples", samples)):
        check_count(name, value)
    if rank > states:
        raise InputError(f"rank is {rank}, expected at most the number of states, {states}: lower --rank or raise --states")
    mdp = sj.make_block(n_states=states, n_blocks=rank, n_actions=3, seed=seed)
    exact = sj.CoOccurrence.exact(mdp)
    data = sj.sample_transitions(mdp, n_per_action=samples, seed=seed + 1)
    sampled = sj.CoOccurrence.from_transitions(data)
    print(f"{mdp.n_states} states in {rank} blocks, {mdp.n_actions} actions, {len(data):,} transitions\n")
    rows = []
    for dim in _demo_dims(states, rank):
        embedding = sj.spectral_embedding(sampled, dim)
        plan = sj.plan_goals(mdp, embedding)
        bound = sj.pointwise_single_step_bound(exact, embedding, plan)
        rows.append(
            {
                "k": dim,
                "tail (N = inf)": sj.tail(exact, dim).max(),
                "pretraining error": sj.spectral_risk(exact, embedding).max(),
                "goal regret": plan.mean_regret,
                "bound": bound.value,
                "vacuous": "vacuous" if bound.vacuous else "",
            }
        )
    table = pd.DataFrame(rows)
    print_frame(table, "{:.4f}")
    print(f"\n{_demo_sentence(int(table['k'].iloc[int(table['pretraining error'].argmin())]), rank, exact)}")
    path = _save(_demo_figure(table), out, "demo")
    print(f"Figure: {path}   ({time.perf_counter() - began:.1f} s)\nNext: spectral-jepa sweep bound_vs_dim")
    if open:
        open_file(path)


def _demo_dims(states: int, rank: int) -> list[int]:
    """Every dimension about the rank, fewer beyond."""
    dims = {1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, rank - 1, rank, rank + 1, states}
    return sorted(dim for dim in dims if 1 <= dim <= states)


def _demo_sentence(best: int, rank: int, exact: sj.CoOccurrence) -> str:
    """Where the error is least, and why there."""
    if best == rank:
        return f"The error is least at k = {best}, the number of blocks: below, directions are missing; above is noise."
    if best > rank:
        return f"The error is least at k = {best}: the world has {rank} directions, and what k adds to them is hardly noise."
    weakest = float(sj.spectrum(exact)[:, best].min())
    return (
        f"The error is least at k = {best}, below the {rank} blocks: with so few samples the weaker directions (the next "
        f"has s = {weakest:.2f}) drown in noise. More --samples bring them out."
    )


@commands.add
def sweep(
    experiment: Positional[str],
    preset: str = "quick",
    folder: str | None = None,
    n_jobs: int = -1,
    executor: tuple[str, ...] = ("local",),
    queue: dict[str, str] = {},  # noqa: B006
    gpu: bool = False,
    shard: str | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    figures: bool = True,
    keep: bool = False,
    open: bool = False,
) -> None:
    """Run an experiment: one row a result, killed at any moment it resumes, the figures at the end.

    Experiments: bound_vs_dim (the headline), horizon, price, negatives, negatives_pixels, sigreg_phase, minimax,
    spectra, solvers, latent_vs_input, soft_whitening, sharpest, point_mass, jepa_vs_svd, collapse, sigreg_whitening,
    subspaces, pixels, planner, worlds, bridge_order, bridge_dimension, bridge_regularizer, bridge_nuisance, bridge_history,
    bridge_planner, advice, claims, or a path to a .py file with PRESETS and run_cell.
    Examples: spectral-jepa sweep bound_vs_dim | spectral-jepa sweep solvers --preset paper --n-jobs 4 |
    spectral-jepa sweep bound_vs_dim --executor dask tcp://scheduler:8786 | spectral-jepa sweep pixels --preset paper
    --executor slurm --n-jobs 8 --gpu --queue partition gpu timeout_min 600 gpus_per_node 1 |
    spectral-jepa sweep solvers --shard 2/8

    Args:
        experiment: Name of a shipped experiment, or a .py file.
        preset: Which set of cells: quick or paper.
        folder: Where results go: a folder, or an address such as s3://bucket/sweep. Default: results/EXPERIMENT/PRESET.
        n_jobs: Worker processes; -1 means one a core, with --gpu one a GPU. With slurm: how many jobs share the cells.
        executor: Where cells run: local, dask ADDRESS, slurm, or submitit, which are Slurm's jobs as processes of this
            machine.
        queue: Settings of each job, as submitit calls them: partition gpu timeout_min 600 cpus_per_task 4.
        gpu: Give each worker a GPU of its own, the only one that it sees.
        shard: Run only part i of n, written i/n, into FOLDER/shards/i-of-n; the command merge brings them together.
        dry_run: Run nothing; say how many cells are left, and their core hours, memory and disk from those measured.
        overwrite: Forget earlier results of this folder.
        figures: Draw the figures when done.
        keep: Also write the finished table to reference/EXPERIMENT-PRESET.parquet of the clone, where claims read it.
        open: Show the first figure.
    """
    if open and not figures:
        raise InputError("--open shows a figure and --no-figures draws none, expected one of the two: leave one out")
    if (shard or dry_run) and (keep or open):
        raise InputError(
            f"{'--shard' if shard else '--dry-run'} makes no whole table, expected it without --keep and --open: leave them "
            "out"
        )
    if dry_run and (overwrite or gpu):
        raise InputError("--dry-run runs nothing, expected it without --overwrite and --gpu: leave them out")
    chosen = load_experiment(experiment)
    cells, where = _cells_and_place(chosen, preset, folder)
    if keep:
        _check_keeping(chosen)
    whole = where
    if shard is not None:
        number, total = read_shard(shard)
        cells, where = shard_cells(cells, number, total), shard_place(where, number, total)
    if dry_run:
        _check_executor(executor, queue, n_jobs)
        others = [] if shard is not None else [where.below(f"{SHARDS}/{name}") for name in sorted(where.names(SHARDS))]
        print(f"{chosen.name}, {preset}: {forecast(chosen, cells, where, others)}")
        return
    options = _open_executor(executor, queue, n_jobs, where, _default_folder(chosen, preset))
    table = run_sweep(chosen, cells, where, gpu=gpu, overwrite=overwrite, **options)
    failed = table.loc[table["status"] == "error"]
    if len(failed):
        first = str(failed["traceback"].iloc[0]).strip().splitlines()[-1]
        print(
            f"{len(failed)} rows are failures, kept in the table and tried again next time; the first says: {first}",
            file=sys.stderr,
        )
    print(f"Table: {_short(where)}/table.csv (and .parquet), {len(table)} rows")
    if shard is not None:
        print(f"Shard {shard} of {_short(whole)}: when all are done, spectral-jepa merge {experiment} --preset {preset}")
    else:
        _show(chosen, table, where, preset, figures, open)
    if len(failed):
        raise SystemExit(1)
    if keep:
        print(f"Kept: {_keep(chosen, table, where, preset)}")


@commands.add
def merge(
    experiment: Positional[str],
    preset: str = "quick",
    folder: str | None = None,
    shards: tuple[str, ...] = (),
    figures: bool = True,
) -> None:
    """Bring the shards of a sweep together: its table, the same as from one run, and its figures.

    Computes nothing; shards may be merged as they come in.
    Examples: spectral-jepa merge solvers | spectral-jepa merge solvers --shards /mnt/a/1-of-2 s3://bucket/2-of-2

    Args:
        experiment: Name of a shipped experiment, or a .py file.
        preset: Which set of cells.
        folder: Where the whole results go, a folder or an address. Default: results/EXPERIMENT/PRESET.
        shards: Folders or addresses of the parts. Default: FOLDER/shards/*.
        figures: Draw the figures.
    """
    chosen = load_experiment(experiment)
    cells, where = _cells_and_place(chosen, preset, folder)
    table = merge_sweep(chosen, cells, where, shards or None)
    print(f"Table: {_short(where)}/table.csv (and .parquet), {len(table)} rows")
    _show(chosen, table, where, preset, figures, False)


@commands.add
def status(experiment: Positional[str], preset: str = "quick", folder: str | None = None) -> None:
    """How far a sweep is: cells done, failed, missing, damaged.

    Example: spectral-jepa status bound_vs_dim --preset paper

    Args:
        experiment: Name of a shipped experiment, or a .py file.
        preset: Which set of cells.
        folder: Where the results are, a folder or an address. Default: results/EXPERIMENT/PRESET.
    """
    chosen = load_experiment(experiment)
    cells, where = _cells_and_place(chosen, preset, folder)
    if folder is not None and read_manifest(where) is None:
        raise InputError(
            f"{folder} holds no manifest.json, expected the folder of a sweep: check the path or run the sweep first"
        )
    counts = sweep_status(where, cells)
    print(f"{chosen.name}, {preset}: " + ", ".join(f"{count} {word}" for word, count in counts.items()))


@commands.add
def figures(experiment: Positional[str], preset: str = "quick", folder: str | None = None, open: bool = False) -> None:
    """Draw an experiment's figures again from its table, as PNG and PDF.

    Example: spectral-jepa figures bound_vs_dim --preset paper

    Args:
        experiment: Name of a shipped experiment, or a .py file.
        preset: Which set of cells.
        folder: Where the results are, a folder or an address. Default: results/EXPERIMENT/PRESET.
        open: Show the first figure.
    """
    chosen = load_experiment(experiment)
    _, where = _cells_and_place(chosen, preset, folder)
    table = read_table(where)
    others = sorted(set(table["experiment"].astype(str)) - {chosen.name}) if "experiment" in table else []
    if others:
        raise InputError(f"{where} holds the table of {others[0]}, expected that of {chosen.name}: check --folder")
    _draw(chosen, table, _folder_here(chosen, where, preset), open)


@commands.add
def report(folders: Positional[tuple[Path, ...]], out: Path | None = None, open: bool = False) -> None:
    """One page about results: verdict, figures, tables, configuration and where they come from; it needs no other file.

    FOLDERS are of sweeps, finished or not, tables kept of one (.parquet), or pixel runs, which stand side by side; a folder
    that holds several stands for all of them.
    Examples: spectral-jepa report results/bound_vs_dim/quick | spectral-jepa report results/pixels/two_room-small/*

    Args:
        folders: Of results.
        out: The page, a name that ends in .html. Default: report.html in the folder, or beside several.
        open: Show the page.
    """
    paths = _studies(folders)
    target = _page_path(folders) if out is None else out
    if target.suffix != ".html":
        raise InputError(f"--out is {target}, expected the name of a page that ends in .html: add it")
    if target.is_dir():
        raise InputError(f"--out is {target}, a folder, expected the name of a page: add one")
    print(f"Page: {_write_report(paths, target)}")
    if open:
        open_file(target)


@commands.add
def spectrum(
    world: Positional[str],
    dim: int = 12,
    set: Annotated[dict[str, int | float], tyro.conf.arg(metavar="NAME VALUE")] = {},  # noqa: B006
    out: Path = Path("results/spectrum"),
    open: bool = False,
) -> None:
    """Singular values, tails and data demand of one world, with a figure.

    WORLD is a generator (block, low_rank, garnet, ring, torus, four_rooms, reset, permutation, two_state, dirichlet, ...),
    or a Gymnasium id. Examples: spectral-jepa spectrum block --set noise 0.1 | spectral-jepa spectrum FrozenLake-v1

    Args:
        world: Generator name or Gymnasium id.
        dim: How many singular values to print.
        set: Options of the generator, such as n_states 100, or of the Gymnasium environment, such as is_slippery 0.
        out: Folder of the figure.
        open: Show the figure.
    """
    check_count("dim", dim)
    mdp = _build_world(world, set)
    exact = sj.CoOccurrence.exact(mdp)
    dim = min(dim, mdp.n_states)
    per_action, stacked = sj.spectrum(exact), sj.spectrum(exact, shared=True)
    print(f"{mdp.name}: {mdp.n_states} states, {mdp.n_actions} actions{', deterministic' if mdp.is_deterministic else ''}")
    rows = {
        "k": np.arange(1, dim + 1),
        "s_k, mean over actions": per_action.mean(axis=0)[:dim],
        "s_k, shared encoder": stacked[:dim],
        "tail, mean over actions": [sj.tail(exact, k).mean() for k in range(1, dim + 1)],
        "tail, shared encoder": [sj.tail(exact, k, shared=True) for k in range(1, dim + 1)],
    }
    print_frame(pd.DataFrame(rows), "{:.4f}")
    demand = float(sj.expected_squared_error(exact, 1, shared=True))
    print(f"sampling: E||A_hat - A||_F^2 = {demand:.4g} / N for N transitions in all (known marginals)")
    path = _save(_spectrum_figure(mdp, per_action, stacked), out, world.replace("/", "_"))
    print(f"Figure: {path}")
    if open:
        open_file(path)


@commands.add
def analyze(
    log: Positional[Path],
    state: tuple[str, ...] = ("state",),
    action: tuple[str, ...] = ("action",),
    next_state: tuple[str, ...] = ("next_state",),
    reward: str | None = "reward",
    trajectory: bool = False,
    terminated: str | None = None,
    truncated: str | None = None,
    done: str | None = None,
    episode: str | None = None,
    step: str | None = None,
    count: str | None = None,
    separator: str | None = None,
    decimal: str = ".",
    header: bool = True,
    chunks: bool = False,
    dims: tuple[int, ...] = (),
    seed: int = 0,
    out: Path | None = None,
    open: bool = False,
) -> None:
    """Your own transitions: spectrum, suggested latent dimension, a figure and a verdict in words.

    LOG is a CSV or TSV (also .gz), Parquet (also a folder) or npz file with one transition a row; states may be any labels.
    Examples: spectral-jepa analyze my_log.csv --next-state following |
    spectral-jepa analyze grid.csv --state row column --next-state next_row next_column |
    spectral-jepa analyze episodes.parquet --trajectory --episode run --dims 8 16 128 |
    spectral-jepa analyze huge.parquet --chunks

    Args:
        log: The file.
        state: Column of the state, or several that make one label.
        action: Column or columns of the action.
        next_state: Column or columns of the next state.
        reward: Column of the reward, if there is one; None reads none.
        trajectory: There is no next state: it is the state of the next row, never across the end of an episode.
        terminated: Column of true and false (or 1 and 0): the episode ended with that row.
        truncated: Column of true and false: the episode was cut off there; such rows are left out.
        done: Column of true and false: terminated or truncated, whichever.
        episode: Column of the episode's number or name.
        step: Column of the step within the episode, which says which row comes next whatever their order.
        count: Column of how many transitions a row stands for.
        separator: Of a text file. Default: found out among comma, tab, semicolon and bar.
        decimal: Decimal mark of rewards in a text file.
        header: Whether a text file begins with the names of its columns; without, they are 0, 1, 2, ...
        chunks: Count a Parquet log in pieces, without holding its rows: for 10^8 of them and more. Each row holds its next
            state, and one column each label.
        dims: Latent dimensions to try, each then a line of a table. Default: all up to 256 reached states, 1 to 64 beyond.
        seed: Of the random splits.
        out: Folder of the figure. Default: results/analyze.
        open: Show the figure.
    """
    from spectral_jepa.logs import count_log
    from spectral_jepa.logs.analysis import analyze as analyze_log
    from spectral_jepa.plotting.analysis import analysis_figure

    if trajectory and next_state != ("next_state",):
        raise InputError(
            f"--trajectory takes the next state from the next row, got --next-state {' '.join(next_state)} as well, "
            "expected one of the two: leave one out"
        )
    data: Transitions | LogCounts
    if chunks:
        given = {"trajectory": trajectory, "header": not header, "decimal": decimal != "."}
        marks = {"terminated": terminated, "truncated": truncated, "done": done, "episode": episode, "step": step}
        given |= {name: value is not None for name, value in (marks | {"count": count, "separator": separator}).items()}
        several = {"state": state, "action": action, "next_state": next_state}
        used = [name for name, is_given in given.items() if is_given]
        used += [name for name, columns in several.items() if len(columns) > 1]
        if used:
            raise InputError(
                f"--chunks reads one column each of state, action and next state and got --{used[0].replace('_', '-')} as "
                "well, expected a Parquet log of whole transitions: leave one of the two out"
            )
        data = count_log(log, state=state[0], action=action[0], next_state=next_state[0], progress=True)
    else:
        data = _read_rows(
            log, state, action, next_state, trajectory,
            reward=reward, terminated=terminated, truncated=truncated, done=done, episode=episode, step=step, count=count,
            separator=separator, decimal=decimal, header=header,
        )  # fmt: skip
    analysis = analyze_log(data, dims=dims or None, seed=seed)
    print(analysis.verdict())
    if dims:
        print()
        print_frame(_tried(analysis), "{:.4f}")
    path = _save(analysis_figure(analysis), out or Path("results/analyze"), log.stem)
    print(f"Figure: {path}")
    if open:
        open_file(path)


def _read_rows(
    log: Path,
    state: tuple[str, ...],
    action: tuple[str, ...],
    next_state: tuple[str, ...],
    trajectory: bool,
    **options: Any,
) -> Transitions:
    from spectral_jepa.logs import read_log

    following = None if trajectory else next_state[0] if len(next_state) == 1 else list(next_state)
    return read_log(log, state=list(state), action=list(action), next_state=following, **options)


def _tried(analysis: Analysis) -> pd.DataFrame:
    """What was estimated at each dimension that was asked for."""
    missed, sampled = analysis.oracle_terms()
    columns = {
        "k": analysis.dims,
        "held-out risk": analysis.held_out_mean,
        "its standard error": analysis.held_out_error,
        "tail": analysis.tail,
        "sampling": analysis.sample_error,
        "oracle bound of the error": missed + sampled,
    }
    return pd.DataFrame(columns)


@commands.add
def advise(
    source: Positional[Path],
    latents: str | None = None,
    next_latents: str | None = None,
    actions: str | None = None,
    episodes: str | None = None,
    predicted: str | None = None,
    products: bool = False,
    regularizer: str | None = None,
    strength: float | None = None,
    batch_size: int | None = None,
    factor: float | None = None,
    subspaces: int | None = None,
    data: Path | None = None,
    device: str | None = None,
    cache: Path | None = None,
    folds: int = 5,
    confidence: float = 0.95,
    seed: int = 0,
    out: Path | None = None,
    json: Path | None = None,
    frame: Path | None = None,
    open: bool = False,
) -> None:
    """A trained world model: which k and K its latents support, and whether its regulariser is strong enough.

    SOURCE is the folder of a pixel run, or a file of latents (.npz, .npy, .safetensors, .parquet) with arrays latents and
    next_latents (or steps in order), and actions, episodes and predicted if there are such. See docs/advice.md.
    Examples: spectral-jepa advise results/pixels/two_room-small/sigreg-0 |
    spectral-jepa advise mine.npz --regularizer sigreg --strength 0.09 --batch-size 128

    Args:
        source: Folder of a run, or file of latents.
        latents: Array of the latents. Default: latents.
        next_latents: Array of the next latents. Default: next_latents if it is there, else the next row's latent.
        actions: Array of action labels (whole numbers or words) or vectors. Default: actions if it is there.
        episodes: Array of episode numbers. Default: episodes if it is there.
        predicted: Array of the model's own predictions of the next latents. Default: predicted if it is there.
        products: Products of latent and action vector as well.
        regularizer: What a file's model was trained with: sigreg, subspace_sigreg, whitening, pldm or none.
        strength: Its lambda, beside a prediction error that is a mean over coordinates. Default: 0.09.
        batch_size: Samples that it scored at a step. Default: 128.
        factor: What SIGReg multiplies its integral by. Default: the batch size.
        subspaces: K of subspace_sigreg.
        data: Of a run: its data file. Default: what it was trained on.
        device: Of a run: where to embed. Default: cpu.
        cache: Of a run: where the unpacked data go.
        folds: Parts of the data, each held out once.
        confidence: Of each interval by itself.
        seed: Of folds and halves.
        out: Of a file: folder of the figure. Default: results/advise. A run keeps its own.
        json: Also write everything that was found to this file.
        frame: Also write a row a number of directions to this .csv or .parquet file.
        open: Show the figure.
    """
    from spectral_jepa.advice import advise as advise_on
    from spectral_jepa.advice import read_latents

    if frame is not None and frame.suffix not in (".csv", ".parquet"):
        raise InputError(f"--frame is {frame}, expected the name of a table that ends in .csv or .parquet: add it")
    if json is not None and json.suffix != ".json":
        raise InputError(f"--json is {json}, expected the name of a file that ends in .json: add it")
    for name, path in (("json", json), ("frame", frame)):
        if path is not None and path.is_dir():
            raise InputError(f"--{name} is {path}, a folder, expected the name of a file: add one")
    settings: dict[str, Any] = {"products": products, "n_folds": folds, "confidence": confidence, "seed": seed}
    names = {"latents": latents, "next_latents": next_latents, "actions": actions, "episodes": episodes}
    names |= {"predicted": predicted}
    asked = {"regularizer": regularizer, "strength": strength, "batch_size": batch_size, "factor": factor}
    asked |= {"subspaces": subspaces}
    if source.is_dir():
        _refuse(source, "is a folder, whose run says so itself", names | asked | {"out": out})
        from spectral_jepa.pixels.reports.advice import advise_run

        found = advise_run(source, data, device=device, cache=cache, **settings)
        path = source / "figures" / "advice.png"
        print(f"Table: {source / 'advice.csv'}, also in: spectral-jepa report {source}")
    else:
        _refuse(source, "is no folder of a run", {"data": data, "device": device, "cache": cache})
        rows = read_latents(source, **names)
        given = {key: value for key, value in (*rows._asdict().items(), *settings.items())}
        found = advise_on(**given, regularizer=_regularizer(asked))
        from spectral_jepa.plotting.advice import advice_figure

        path = _save(advice_figure(found, source.name), out or Path("results/advise"), source.stem)
    print(f"{found.verdict()}\n")
    print_frame(found.short_frame(), "{:.3f}")
    _write_advice(found, json, frame)
    print(f"Figure: {path}")
    if open:
        open_file(path)


def _refuse(source: Path, why: str, options: dict[str, Any]) -> None:
    """Refuse options that this kind of source does not read."""
    for name, value in options.items():
        if value is not None:
            raise InputError(
                f"--{name.replace('_', '-')} was given and {source} {why}, expected one of the two: leave it out"
            )


def _regularizer(asked: dict[str, Any]) -> Regularizer | None:
    """What the options say of the regulariser of somebody else's model."""
    from spectral_jepa.advice import Regularizer

    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return None
    if "regularizer" not in given:
        option = f"--{next(iter(given)).replace('_', '-')}"
        raise InputError(f"{option} was given without --regularizer, expected both: say which it belongs to")
    names = {"regularizer": "kind", "subspaces": "n_subspaces"}
    return Regularizer(**{names.get(name, name): value for name, value in given.items()})


def _write_advice(found: Advice, json: Path | None, frame: Path | None) -> None:
    """The two files that another program reads."""
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(json, dumps(found.to_dict(), indent=1).encode())
        print(f"Found: {json}")
    if frame is not None:
        table, buffer = found.to_frame(), BytesIO()
        if frame.suffix == ".csv":
            buffer.write(table.to_csv(index=False).encode())
        else:
            table.to_parquet(buffer, index=False)
        frame.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(frame, buffer.getvalue())
        print(f"Table: {frame}")


@commands.add
def repro(
    claim: Positional[str | None] = None, check: bool = False, root: Path | None = None, out: Path | None = None
) -> None:
    """Measure one claim again, in seconds, and draw it; without CLAIM all of them, and write the pages.

    Without CLAIM it writes paper_repro.md, docs/claims, the pictures in reference/figures/claims and reference/claims.csv,
    which takes minutes and a clone of the repository.
    Examples: spectral-jepa repro thm-4.1 | spectral-jepa repro --check

    Args:
        claim: Name of a claim, as in paper_repro.md.
        check: Write nothing; fail if the pages do not follow from their table (with CLAIM: if its stored numbers do not come
            out again).
        root: The clone that holds paper_repro.md. Default: here.
        out: Folder of the claim's picture. Default: results/claims.
    """
    experiment = load_experiment("claims")
    if claim is not None:
        _check_one_claim(experiment, claim, check, root, out)
        _repro_claim(experiment, claim, check, out or Path("results/claims"))
        return
    if out is not None:
        raise InputError(f"--out is {out}, expected only behind the name of a claim: name one, or leave --out out")
    root = Path(".") if root is None else root
    reference = root / "reference" / "claims.csv"
    if check:
        paths = [root / name for name in experiment.module.pages(_read_claims())]
        missing = [path for path in [*paths, reference] if not path.is_file()]
        if missing:
            raise InputError(f"{missing[0]} does not exist, expected the clone's: pass the clone's folder as --root")
        for name, text in experiment.module.pages(_read_claims(reference)).items():
            if (root / name).read_text(encoding="utf-8") != text:
                raise InputError(
                    f"{root / name} does not follow from {reference}, expected what repro writes: run spectral-jepa repro"
                )
        print(f"{paths[0]} and {len(paths) - 1} pages of {root / 'docs'} follow from {reference.parent}")
        return
    if not (root / "experiments" / "claims.toml").is_file():
        raise InputError(
            f"{root} is no clone of the repository (it has no experiments/claims.toml), expected one to write to: "
            "pass it as --root, or name a claim to measure it alone"
        )
    table = run_sweep(experiment, experiment.cells("quick"), _default_folder(experiment, "quick"), overwrite=True)
    if (table["status"] != "ok").any():
        failed = ", ".join(table.loc[table["status"] != "ok", "claim"])
        raise InputError(
            f"measuring {failed} failed, expected numbers: see the traceback in the table of results/claims/quick"
        )
    kept = experiment.module.claim_pages.with_seconds(table)
    reference.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(reference, kept.to_csv(index=False).encode())
    kept = _read_claims(reference)
    for name, text in experiment.module.pages(kept).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(root / name, text.encode())
    if (readme := root / "README.md").is_file():
        write_atomic(readme, experiment.module.with_score(readme.read_text(encoding="utf-8")).encode())
    for entry in experiment.module.CLAIMS:
        if entry.figure is None:
            _draw_claim(
                experiment, entry, kept[kept["claim"] == entry.id], root / "reference" / "figures" / "claims", small=True
            )
    print(f"Wrote {root / 'paper_repro.md'} and {reference}: {int(kept['met'].sum())} of {len(kept)} comparisons met")


@commands.add
def classroom(
    number: Positional[Annotated[int | None, tyro.conf.arg(metavar="NUMBER")]] = None,
    html: bool = False,
    list: bool = False,
    headless: bool = False,
    port: int | None = None,
) -> None:
    """Six lessons as live apps: one idea each, sliders, a question to guess first, exercises that check themselves.

    Needs marimo, pip install 'spectral-jepa[class]'; the offline page of --html needs nothing.
    Examples: spectral-jepa classroom 2 | spectral-jepa classroom --html | spectral-jepa classroom --list

    Args:
        number: Of the lesson, 1 to 6. Default: 1; with --html the top of the page.
        html: Open the one page that holds all six without a server or a network.
        list: Print the lessons and open none.
        headless: Serve the app, or name the page, without opening a browser.
        port: Of the app. Default: a free one.
    """
    from spectral_jepa.classroom.lessons import LESSONS
    from spectral_jepa.classroom.lessons import lesson as chosen_lesson
    from spectral_jepa.sweep.experiment import shipped_folder

    lesson = chosen_lesson(1 if number is None else number)
    if port is not None:
        check_count("port", port, 1, 65535)
    if ((html or list) and port is not None) or (list and (html or headless or number is not None)):
        word = "--list" if list else "--html"
        raise InputError(f"{word} was given with options that it does not read, expected it alone: leave the others out")
    if list:
        for one in LESSONS:
            print(f"{one.number}  {one.title:24s}{one.takeaway}")
        print("Open one: spectral-jepa classroom NUMBER   Without marimo: spectral-jepa classroom --html")
        return
    folder = shipped_folder("classroom")
    if html:
        page = folder / "offline.html"
        if not page.is_file():
            raise InputError(f"{page} does not exist, expected the offline page: make it with make classroom-page")
        print(f"Page: {page}")
        if not headless:
            webbrowser.open(page.as_uri() + ("" if number is None else f"#lesson-{number}"))
        return
    if find_spec("marimo") is None:
        raise InputError(
            "the apps of the classroom need marimo, which is not installed, expected it or --html: "
            "pip install 'spectral-jepa[class]'"
        )
    words = [sys.executable, "-m", "marimo", "run", str(folder / f"{lesson.slug}.py")]
    words += ["--headless"] * headless + ([] if port is None else ["--port", str(port)])
    raise SystemExit(subprocess.run(words).returncode)


@commands.add
def pixels() -> None:
    """World models from pixels: collect, train, plan, evaluate, probe, surprise, report.

    Example: spectral-jepa pixels --help
    """
    # main() hands everything after "pixels" to spectral_jepa.pixels.cli; this entry is for the list of commands.


def _read_claims(path: Path | None = None) -> pd.DataFrame:
    """The stored evidence of all claims; by default what was shipped."""
    return pd.read_csv(reference_path("claims.csv") if path is None else path)


def _check_one_claim(experiment: Experiment, claim: str, check: bool, root: Path | None, out: Path | None) -> None:
    """Refuse a name that is no claim's, and options that would be ignored beside one."""
    known = [entry.id for entry in experiment.module.CLAIMS]
    if claim not in known:
        nearest = difflib.get_close_matches(claim.lower(), known, n=1, cutoff=0)[0]
        raise InputError(
            f"claim {claim!r} is unknown, expected one of paper_repro.md, {nearest!r} is the nearest: check the name"
        )
    if root is not None:
        raise InputError(f"--root is {root}, expected only without the name of a claim: leave one of the two out")
    if check and out is not None:
        raise InputError(f"--out is {out}, expected only without --check, which draws nothing: leave one of the two out")


def _repro_claim(experiment: Experiment, name: str, check: bool, out: Path) -> None:
    """Measure one claim as ``repro`` does, print its evidence, compare it with what is stored, and draw it."""
    (entry,) = (one for one in experiment.module.CLAIMS if one.id == name)
    (cell,) = (one for one in experiment.cells("quick") if one["claim"] == name)
    began = time.perf_counter()
    rows = pd.DataFrame(experiment(**cell))
    seconds = time.perf_counter() - began
    stored = _read_claims()
    stored = stored[stored["claim"] == name].reset_index(drop=True)
    again = _same_numbers(rows, stored)
    print("\n".join(textwrap.wrap(f"{name} ({entry.printed}): {entry.statement}", TEXT_WIDTH)))
    print("\n".join(textwrap.wrap(f"Verdict: {entry.verdict}", TEXT_WIDTH)) + "\n")
    print(f"{'measured':>12}   {'expected':<13} what")
    for row in rows.itertuples():
        expected = f"{row.relation} {row.expected:.4g}"
        what = textwrap.wrap(f"{row.quantity}{'' if row.met else ' (NOT MET)'}", TEXT_WIDTH - 29)
        print(f"{row.measured:12.4g}   {expected:<13} " + f"\n{'':29}".join(what))
    print(
        f"\n{int(rows['met'].sum())} of {len(rows)} comparisons met, {int(again.sum())} come out as stored, "
        f"{seconds:.1f} s. "
        f"Test: {entry.tests}"
    )
    if not check:
        print(f"Figure: {_draw_claim(experiment, entry, rows, out)}")
    if not rows["met"].all() or (check and not again.all()):
        raise SystemExit(1)


def _same_numbers(rows: pd.DataFrame, stored: pd.DataFrame) -> pd.Series:
    """Whether each comparison comes out as it is stored; below ROUNDING numbers are rounding errors of the machine."""
    same = pd.Series(False, index=rows.index)
    if rows["quantity"].tolist() == stored["quantity"].tolist():
        one, two = rows["measured"].to_numpy(float), stored["measured"].to_numpy(float)
        tiny = (np.abs(one) < ROUNDING) & (np.abs(two) < ROUNDING)
        same[:] = tiny | np.isclose(one, two, rtol=1e-6, atol=0)
    return same


def _draw_claim(experiment: Experiment, entry: Any, rows: pd.DataFrame, folder: Path, *, small: bool = False) -> Path:
    from spectral_jepa.plotting.comparisons import comparisons_figure
    from spectral_jepa.plotting.style import save_figure

    words = experiment.module.claim_pages.WORDS.get(entry.outcome, entry.outcome)
    figure = comparisons_figure(rows, f"{entry.id}: {words}", entry.statement)
    return save_figure(figure, folder, entry.id, small=small)[0]


def _cells_and_place(experiment: Experiment, preset: str, folder: str | None) -> tuple[list[dict[str, Any]], Place]:
    """The cells of a preset, which must be one, and where their results are."""
    return experiment.cells(preset), open_place(_default_folder(experiment, preset) if folder is None else folder)


def _default_folder(experiment: Experiment, preset: str) -> Path:
    return Path("results") / experiment.name / preset


def _folder_here(experiment: Experiment, where: Place, preset: str) -> Path:
    """Where pictures go: beside the results, or, where these are elsewhere, where they would be on this machine."""
    return Path(_short(where)) if isinstance(where, LocalPlace) else _default_folder(experiment, preset)


def _short(where: Place) -> str:
    """A place as one would write it here."""
    below = isinstance(where, LocalPlace) and where.folder.is_relative_to(Path.cwd())
    return str(where.folder.relative_to(Path.cwd())) if below and isinstance(where, LocalPlace) else str(where)


def _show(experiment: Experiment, table: pd.DataFrame, where: Place, preset: str, figures: bool, open: bool) -> None:
    """The experiment's own summary, and its figures."""
    here = _folder_here(experiment, where, preset)
    _print_summary(experiment, table, here)
    if figures:
        _draw(experiment, table, here, open)


def _check_keeping(experiment: Experiment) -> None:
    """Refuse before hours of work what could not be kept after them."""
    clone_reference()
    shipped = shipped_folder("experiments").resolve()
    if experiment.path.parent != shipped:
        raise InputError(
            f"{experiment.path} is no experiment of the clone, expected a file in {shipped}: move it there to keep its table"
        )


def _keep(experiment: Experiment, table: pd.DataFrame, results: Place, preset: str) -> Path:
    """Write the table to reference/, or whatever the experiment's own ``keep(table, folder)`` makes of it there."""
    folder = clone_reference()
    folder.mkdir(exist_ok=True)
    own = getattr(experiment.module, "keep", None)
    if own is not None:
        return own(table, folder)
    path = reference_path(experiment.name, preset)
    write_atomic(path, results.read("table.parquet"))
    return path


def _check_executor(executor: tuple[str, ...], queue: dict[str, str], n_jobs: int) -> None:
    """Refuse words that name no place to run, before anything is read or written there."""
    kind, rest = executor[0], executor[1:]
    if kind not in ("local", "dask", "slurm", "submitit") or len(rest) != (kind == "dask"):
        raise InputError(
            f"--executor is {' '.join(executor)!r}, expected local, dask ADDRESS, slurm or submitit: choose one of these"
            f"{nearest(kind, ('local', 'dask', 'slurm', 'submitit'))}"
        )
    if kind == "dask" and n_jobs != -1:
        raise InputError(f"--n-jobs is {n_jobs} with Dask, whose workers are as many as it has, expected none: leave it out")
    if kind in ("slurm", "submitit") and n_jobs == -1:
        raise InputError(f"--executor {kind} needs --n-jobs, expected how many jobs share the cells: add it")
    if queue and kind in ("local", "dask"):
        raise InputError(
            f"--queue sets the jobs of a queue and --executor is {kind}, expected slurm or submitit: leave it out"
        )
    for name, value in queue.items():
        known = name in ("timeout_min", "tasks_per_node")
        if kind == "submitit" and not (known and value.isdecimal() and int(value) > 0):
            raise InputError(
                f"--queue is {name} {value}, expected with submitit timeout_min or tasks_per_node and a number above 0: "
                "correct it"
            )


def _open_executor(
    executor: tuple[str, ...], queue: dict[str, str], n_jobs: int, where: Place, folder: Path
) -> dict[str, Any]:
    """What ``run_sweep`` takes for the words of --executor, --queue and --n-jobs."""
    _check_executor(executor, queue, n_jobs)
    if executor[0] == "local":
        return {"n_jobs": n_jobs}
    if executor[0] == "dask":
        return {"client": _dask_client(executor[1])}
    check_count("n_jobs", n_jobs, why="the number of jobs")
    try:
        from submitit import AutoExecutor
    except ImportError:
        raise InputError(
            f"--executor {executor[0]} needs the package submitit, which is not installed: "
            "pip install 'spectral-jepa[cluster]'"
        ) from None
    settings = {name: int(value) if value.isdecimal() else value for name, value in queue.items()}
    logs = (where.folder if isinstance(where, LocalPlace) else folder.resolve()) / "jobs-logs"
    try:
        chosen = AutoExecutor(logs, cluster="local" if executor[0] == "submitit" else "slurm")
        # Slurm's own default is up to the site; submitit's is five minutes, after which a cell would be cut off.
        chosen.update_parameters(**{"timeout_min": 24 * 60} | settings)
    except Exception as error:  # no Slurm here, or settings that it does not have: submitit raises any of several
        raise InputError(
            f"--executor {executor[0]} cannot be used ({first_line(error)}), expected Slurm's commands here and settings "
            "that submitit knows (--queue): check them"
        ) from None
    return {"executor": chosen, "n_jobs": n_jobs}


def _dask_client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "--executor dask needs the package distributed, which is not installed: pip install 'spectral-jepa[cluster]'"
        ) from None
    try:
        return Client(address, timeout=DASK_SECONDS)
    except Exception as error:  # by the address any of ValueError, OSError, TimeoutError and others
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({first_line(error)}), expected one, such as "
            "tcp://scheduler:8786: start it, or check the address"
        ) from None


def _print_summary(experiment: Experiment, table: pd.DataFrame, folder: Path) -> None:
    summarize = getattr(experiment.module, "summary", None)
    if summarize is None:
        return
    short = summarize(table)
    folder.mkdir(parents=True, exist_ok=True)
    write_checked(folder / "summary.csv", short.to_csv(index=False).encode())
    print_frame(short)
    print(f"Summary: {folder / 'summary.csv'}")


def _draw(experiment: Experiment, table: pd.DataFrame, folder: Path, show: bool = False) -> None:
    from spectral_jepa.plotting.drawing import find_drawing
    from spectral_jepa.plotting.style import save_figure

    draw = find_drawing(experiment)
    if draw is None:
        print(f"{experiment.name} has no figure: add a function draw(table) to it to have one", file=sys.stderr)
        return
    written = []
    with Bar(desc=f"figures of {experiment.name}", unit="figure") as bar:
        bar.set_postfix_str("drawing")
        drawn = draw(table)
        bar.total = len(drawn)
        for name, figure in drawn.items():
            bar.set_postfix_str(name)
            written.append(save_figure(figure, folder / "figures", name))
            bar.update()
    for paths in written:
        print("Figure: " + ", ".join(str(path) for path in paths))
    if show and written:
        open_file(written[0][0])


def _studies(folders: tuple[Path, ...]) -> list[Path]:
    """The sweeps, tables and runs that folders hold, each once."""
    from spectral_jepa.plotting.study import is_sweep

    def is_study(path: Path) -> bool:
        return is_sweep(path) or _is_run(path)

    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.exists():
            raise InputError(f"there is no folder {folder}, expected one of results: check the path")
        below = sorted(folder.iterdir()) if folder.is_dir() else []
        own = [folder] if is_study(folder) else [path for path in below if is_study(path)]
        if not own:
            raise InputError(
                f"{folder} holds no sweep and no run, expected a folder of results such as results/bound_vs_dim/quick or "
                "results/pixels/two_room-small/sigreg-0, or a .parquet table: check the path, or run a sweep first"
            )
        for path in own:
            if path.resolve() in found:
                raise InputError(f"the folder {path} was given twice, expected each once: leave one out")
            found[path.resolve()] = path
    return list(found.values())


def _is_run(path: Path) -> bool:
    # A look, before the pixel half is loaded.
    return path.is_dir() and (
        (path / "weights.safetensors").is_file() or ((path / "checkpoints").is_dir() and (path / "log.csv").is_file())
    )


def _page_path(folders: tuple[Path, ...]) -> Path:
    """Where a page goes: into the folder it is about, beside several, and not among committed tables."""
    if len(folders) == 1:
        return folders[0] / "report.html" if folders[0].is_dir() else Path("results/report") / f"{folders[0].stem}.html"
    parents = {folder.resolve().parent for folder in folders}
    shared = len(parents) == 1 and all(folder.is_dir() for folder in folders)
    return (folders[0].parent if shared else Path("results/report")) / "report.html"


def _write_report(paths: list[Path], target: Path) -> Path:
    """All studies on one page: sweeps one after another, runs side by side."""
    from spectral_jepa.plotting.page import write_page
    from spectral_jepa.plotting.study import Study, sweep_study, written_by

    studies = [sweep_study(path) for path in paths if not _is_run(path)]
    runs = [path for path in paths if _is_run(path)]
    if runs:
        from spectral_jepa.pixels.reports.run_sections import open_runs, run_study

        studies.append(run_study(open_runs(runs)))
    page = studies[0]
    if len(studies) > 1:
        page = Study(f"{len(studies)} studies")
        for number, study in enumerate(studies, 1):
            page.verdict += [f"{number}. {study.title}: {' '.join(study.verdict)}"]
            page.warnings += [f"{number}. {text}" for text in study.warnings]
            page.sections += [(f"{number}. {heading}", parts) for heading, parts in study.sections]
    made = written_by(sj.__version__)
    return write_page(
        target, page.title, page.sections, verdict=page.verdict, warnings=page.warnings, made=made, progress=True
    )


def _save(figure: Any, folder: Path, name: str) -> Path:
    from spectral_jepa.plotting.style import save_figure

    return save_figure(figure, folder, name)[0]


def _build_world(name: str, options: dict[str, int | float]) -> TabularMDP:
    makers = {key.removeprefix("make_"): maker for key, maker in inspect.getmembers(generators) if key.startswith("make_")}
    if name in makers:
        known = inspect.signature(makers[name]).parameters
        unknown = [option for option in options if option not in known]
        if unknown:
            raise InputError(
                f"{name} has no option {unknown[0]!r}, expected one of {', '.join(known)}"
                f"{nearest(unknown[0], known)}: choose one of these"
            )
        return makers[name](**options)
    import gymnasium

    if name not in gymnasium.registry:
        raise InputError(
            f"world {name!r} is unknown, expected a Gymnasium id or one of {', '.join(sorted(makers))}"
            f"{nearest(name, [*makers, *gymnasium.registry])}: choose one of these"
        )
    given = dict(options)
    sparse = bool(given.pop("sparse", False))
    if not given:
        return TabularMDP.from_gymnasium(name, sparse=sparse)
    try:
        env = gymnasium.make(name, **given)
    except Exception as error:
        raise InputError(
            f"{name} cannot be made with {', '.join(f'{key} {value}' for key, value in given.items())} "
            f"({first_line(error)}), expected options that Gymnasium's environment takes, or sparse: check --set"
        ) from error
    with env:
        return TabularMDP.from_gymnasium(env, sparse=sparse)


def _demo_figure(table: pd.DataFrame) -> Any:
    from spectral_jepa.plotting.figures import demo_figure

    return demo_figure(table)


def _spectrum_figure(mdp: TabularMDP, per_action: np.ndarray, stacked: np.ndarray) -> Any:
    from spectral_jepa.plotting.figures import spectrum_figure

    return spectrum_figure(mdp.name, per_action, stacked)
