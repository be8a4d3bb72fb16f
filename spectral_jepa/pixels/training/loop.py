"""Training of a pixel world model: one loop for two cores, a GPU, or several under torchrun.

A run is a folder: ``checkpoints/`` (the newest two, which stay), ``log.csv``, and at the end ``weights.safetensors``,
``config.json`` and their ``SHA256SUMS``. Calling :func:`train` again on the folder goes on where the last checkpoint is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from spectral_jepa._files import hold_folder
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels.config import ADDED_LATER, PixelConfig
from spectral_jepa.pixels.data import ActionScaler, EpisodeDataset, WindowSampler, window_starts
from spectral_jepa.pixels.data.drawn import DrawnPictures
from spectral_jepa.pixels.data.episodes import Ids
from spectral_jepa.pixels.data.feed import batches, fits
from spectral_jepa.pixels.data.origin import check_actions, check_origin, open_run_data
from spectral_jepa.pixels.model.frozen import weights_digest
from spectral_jepa.pixels.model.saved import load_model, save_model
from spectral_jepa.pixels.training.learner import Learner
from spectral_jepa.pixels.training.parallel import Worker, join_workers
from spectral_jepa.training import Checkpoints, Tracker, Trackers, TrainingLog, config_difference
from spectral_jepa.training.log import check_log
from spectral_jepa.training.memory import kept_memory

# How often a run writes does not change what it computes.
FREE_FIELDS = ("log_every", "checkpoint_every")
SHOWN = ("loss", "prediction", "regularizer", "effective_rank", "whitening_gap", "samples_per_second")


@dataclass(frozen=True)
class TrainedRun:
    """Where a run is.

    Parameters
    ----------
    folder : Path
    step : int
        Optimiser steps taken.
    n_steps : int
        Steps of the whole run.
    """

    folder: Path
    step: int
    n_steps: int

    @property
    def finished(self) -> bool:
        """Whether the folder holds the final weights."""
        return self.step == self.n_steps


def train(
    config: PixelConfig,
    data_path: str | Path | EpisodeDataset,
    folder: str | Path,
    *,
    device: str | torch.device | None = None,
    progress: bool = True,
    stop_after: int | None = None,
    cache: str | Path | None = None,
    initial: str | Path | None = None,
    trackers: Sequence[Tracker] = (),
) -> TrainedRun:
    """Train a world model (or a cloned policy, see ``kind``), or go on with a run that was cut.

    Parameters
    ----------
    config : PixelConfig
        ``kind`` and the sections ``model``, ``objective`` and ``training`` fix the run; a folder of another run is refused.
    data_path : str, Path or EpisodeDataset
        HDF5 file of episodes, see :func:`spectral_jepa.pixels.data.open_dataset`; or episodes in memory, whose pictures
        may be drawn on the device, see :func:`spectral_jepa.pixels.data.collect.collect_drawn`.
    folder : str or Path
        The run's folder.
    device : str or torch.device, optional
        Default: a GPU where there is one. The precision bf16 concerns GPUs: a CPU computes in float32.
    progress : bool
        Show a bar with losses, effective rank, whitening gap and clips a second.
    stop_after : int, optional
        Stop, with a checkpoint, after this many steps of the run, counted from its beginning.
    cache : str or Path, optional
        Where the unpacked data and their split go; see :func:`spectral_jepa.pixels.data.open_dataset`.
    initial : str or Path, optional
        Folder of a finished run of the same kind and model, whose weights this one begins at and whose mean and deviation of
        the actions it keeps: what the weights mean does not change with the data. The optimiser begins anew.
    trackers : sequence of Tracker
        Told every row of ``log.csv`` as it is written, and the end; see :mod:`spectral_jepa.training.tracker`. Under
        torchrun those of the first process.

    Returns
    -------
    TrainedRun

    Raises
    ------
    InputError
        Data that do not fit the model or come from another environment, a run to begin at of another kind or model, a
        checkpoint of another configuration, a folder in
        which another process trains, a loss or gradient that is not finite (names the step and the last good checkpoint),
        too little GPU memory (names the setting to halve).

    Notes
    -----
    AdamW with weight decay on all parameters, linear warm-up and cosine stepped every optimiser step, gradient norm clipped
    (LeWM, arXiv 2603.19312, and its released code). Bit for bit repeatable on one CPU thread, cut and resumed or not, and
    torch's global random state is left as it was. Under torchrun each process takes its share of the same batches; BatchNorm
    and SIGReg see the joint batch, so several processes compute what one would, up to rounding and to dropout's masks.

    Examples
    --------
    Two steps, cut after the first.

    >>> import tempfile
    >>> from spectral_jepa.pixels.data.collect import collect
    >>> from spectral_jepa.pixels.presets import changed, preset
    >>> config = changed(preset("tiny"), {"data.n_episodes": 3, "training.n_steps": 2})
    >>> folder = Path(tempfile.mkdtemp())
    >>> data = collect(config.data, folder / "data.h5", n_jobs=1, progress=False)
    >>> runs = [train(config, data, folder / "run", device="cpu", progress=False, stop_after=stop) for stop in (1, None)]
    >>> [(run.step, run.finished) for run in runs], sorted(file.name for file in (folder / "run").glob("[!.]*"))
    ([(1, False), (2, True)], ['SHA256SUMS', 'checkpoints', 'config.json', 'log.csv', 'weights.safetensors'])
    """
    if stop_after is not None:
        check_count("stop_after", stop_after)
    worker = join_workers(device)
    dataset = _open(config, data_path, cache, progress)
    if worker.leads:
        check_actions(dataset, config.data.environment, planning=False)
        if not (Path(folder) / "checkpoints").exists():
            check_log(folder)
    with (
        hold_folder(Path(folder)) if worker.leads else nullcontext(),
        torch.random.fork_rng([worker.device] if worker.device.type == "cuda" else []),
    ):
        told = Trackers(trackers if worker.leads else ())
        done: TrainedRun | None = None
        try:
            done = _Run(config, dataset, Path(folder), worker, initial, told).train(progress, stop_after)
        finally:
            told.on_end(done is not None and done.finished)
        return done


def _open(
    config: PixelConfig, data: str | Path | EpisodeDataset, cache: str | Path | None, progress: bool
) -> EpisodeDataset:
    if not isinstance(data, EpisodeDataset):
        return open_run_data(config, data, cache=cache, progress=progress)
    check_origin(data, config.data.environment)
    found, expected = (data.image_size, data.action_dim), (config.model.image_size, config.model.action_dim)
    if found != expected:
        raise InputError(
            f"the dataset has pictures of {found[0]} px and {found[1]} action coordinates, expected {expected[0]} and "
            f"{expected[1]} as the model: collect with data.image_size {expected[0]}, or set model.image_size"
        )
    return data


def _initial(config: PixelConfig, folder: str | Path) -> tuple[Any, ActionScaler]:
    """Model and scaler of the run to begin at."""
    model, own, scaler = load_model(folder)
    if own.kind != config.kind:
        raise InputError(f"initial is {folder}, a {own.kind}, expected a {config.kind}: begin at a run of the same kind")
    # Dropout changes no tensor.
    different = config_difference(asdict(replace(own.model, dropout=config.model.dropout)), asdict(config.model))
    if different:
        raise InputError(
            f"initial is {folder}, whose model differs ({'; '.join(different)}), expected the same model: leave these "
            "settings as they were there"
        )
    return model, scaler


class _Run:
    """One process's part of a run."""

    def __init__(
        self,
        config: PixelConfig,
        dataset: EpisodeDataset,
        folder: Path,
        worker: Worker,
        initial: str | Path | None,
        trackers: Trackers,
    ) -> None:
        self.config, self.settings, self.folder, self.worker, self.dataset = config, config.training, folder, worker, dataset
        self.trackers, split = trackers, dataset.split()
        start = None if initial is None else _initial(config, initial)
        self.scaler = ActionScaler.from_dataset(dataset, split["train"]) if start is None else start[1]
        self.initial = None if start is None else {"folder": str(initial), "weights": weights_digest(start[0])}
        resident = fits(dataset, worker.device)
        self.sampler = WindowSampler(
            dataset, split["train"], config.model.history + 1, config.model.action_block, self.settings.batch_size,
            self.settings.seed, scaler=self.scaler, rank=worker.rank, world_size=worker.size,
            device=worker.device if resident else "cpu", resident=resident, distinct=self._repeats(),
        )  # fmt: skip
        self.held_out = self._held_out(split["validation"]) if worker.leads else ()
        self.n_steps = self.settings.n_steps or self.settings.n_epochs * self.sampler.steps_per_epoch
        self.learner = Learner(config, self.n_steps, worker)
        if start is not None:
            self.learner.model.load_state_dict(start[0].state_dict())
        self.checkpoints = Checkpoints(folder / "checkpoints", self._identity())
        self.step, self.cursor, self.log_digest = 0, self.sampler.state_dict(), None
        loaded = self.checkpoints.load(worker.device)
        if loaded is not None:
            self.step, state = loaded
            self.cursor = state["cursor"]
            self.log_digest = state.get("log")
            self.learner.load_state_dict(state["learner"])
            self.sampler.load_state_dict(self.cursor)

    def train(self, progress: bool, stop_after: int | None) -> TrainedRun:
        end = self.n_steps if stop_after is None else min(stop_after, self.n_steps)
        if self.step < end:
            try:
                self._loop(end, progress)
            except torch.cuda.OutOfMemoryError:
                size = self.settings.batch_size
                raise InputError(
                    f"the GPU ran out of memory at step {self.step + 1} with {size} clips a step, expected them to fit: "
                    f"halve training.batch_size to {size // 2} and train in a new folder"
                ) from None
        if self.step == self.n_steps and self.worker.leads:
            provenance: dict[str, Any] = {"data": str(self.dataset.path), "step": self.step}
            if self.initial is not None:
                provenance["initial"] = self.initial
            if self.dataset.path is not None:
                there = self.dataset.path.resolve()
                provenance |= {"data": str(there), "data_from_here": os.path.relpath(there, self.folder.resolve())}
            save_model(self.learner.model, self.folder, self.config, self.scaler, provenance)
        if self.worker.group is not None:
            dist.barrier()
        return TrainedRun(self.folder, self.step, self.n_steps)

    def _loop(self, end: int, progress: bool) -> None:
        settings, leads, device = self.settings, self.worker.leads, self.worker.device
        watch = 1 if device.type == "cpu" else settings.log_every
        bad = torch.full((), self.n_steps, device=device)
        start, since = time.perf_counter(), self.step
        with (
            kept_memory() if device.type == "cpu" else nullcontext(),
            closing(batches(self.sampler, device)) as source,
            TrainingLog(self.folder, self.step, self.log_digest) if leads else nullcontext() as log,
            Bar(total=self.n_steps, initial=self.step, unit="step", disable=not (progress and leads)) as bar,
        ):
            for frames, blocks, cursor in source:
                losses = self.learner.update(self.step, frames, blocks)
                finite = torch.isfinite(losses["loss"]) & torch.isfinite(losses["gradient_norm"])
                # On a GPU nobody waits for the answer until a row or a checkpoint is due.
                bad = torch.where(finite, bad, bad.clamp(max=self.step))
                self.step, self.cursor = self.step + 1, cursor
                logs = self.step % settings.log_every == 0 or self.step == self.n_steps
                saves = self.step % settings.checkpoint_every == 0 or self.step == end
                if (logs or saves or self.step % watch == 0) and int(bad) < self.n_steps:
                    raise self._not_finite(int(bad) + 1)
                bar.update()
                # Each process has its own share of the batch: all of them have to be asked.
                joint = self.worker.average(losses) if logs else losses
                if logs and log is not None:
                    numbers = {name: float(value) for name, value in joint.items()}
                    speed = (self.step - since) * settings.batch_size / (time.perf_counter() - start)
                    numbers |= {**self.learner.validate(*self.held_out), "samples_per_second": speed}
                    log.write(self.step, **numbers)
                    self.trackers.on_log(self.step, numbers)
                    bar.set_postfix({name: f"{numbers[name]:.4g}" for name in SHOWN if name in numbers})
                    start, since = time.perf_counter(), self.step
                if saves and log is not None:
                    state = {"learner": self.learner.state_dict(), "cursor": self.cursor, "log": log.digest}
                    self.checkpoints.save(self.step, state)
                if self.step == end:
                    return

    def _repeats(self) -> bool:
        """Whether clips come as few distinct pictures: drawn ones of a finite world, for a model that reads them so."""
        pictures: Any = self.dataset.pixels
        return self.config.kind == "world_model" and isinstance(pictures, DrawnPictures) and pictures.world.finite

    def _held_out(self, episodes: Ids) -> tuple[torch.Tensor, ...]:
        """One batch of validation clips, always the same, on the device."""
        n_frames, block = self.config.model.history + 1, self.config.model.action_block
        n_windows = len(window_starts(self.dataset, episodes, n_frames * block))
        if not n_windows:
            raise InputError(
                f"no validation episode has a window of {n_frames * block} steps, expected at least one: "
                "collect more or longer episodes"
            )
        size = min(n_windows, self.settings.batch_size)
        sampler = WindowSampler(self.dataset, episodes, n_frames, block, size, scaler=self.scaler)
        return tuple(tensor.to(self.worker.device) for tensor in sampler.batch())

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to count, the very pictures and actions included."""
        given = self.config.to_dict()
        training = {name: value for name, value in given["training"].items() if name not in FREE_FIELDS}
        data = {
            "n_episodes": self.dataset.n_episodes,
            "n_rows": len(self.dataset.pixels),
            "action_mean": self.scaler.mean,
            "action_std": self.scaler.std,
            "digest": self.dataset.digest("pixels", "action")[:16],
        }
        later = ADDED_LATER["objective"]
        objective = {name: value for name, value in given["objective"].items() if later.get(name, ...) != value}
        run = {"kind": given["kind"], "model": given["model"], "objective": objective}
        known = run | {"training": training, "data": data}
        # Only where there is one, so that checkpoints from before stay good.
        return known if self.initial is None else known | {"initial": self.initial["weights"]}

    def _not_finite(self, step: int) -> InputError:
        steps = self.checkpoints.steps()
        last = f"the last good checkpoint is {self.checkpoints.path(steps[-1])}" if steps else "no checkpoint was due yet"
        return InputError(
            f"the loss or its gradient is not finite at step {step}, expected finite numbers: lower training.learning_rate "
            f"(now {self.settings.learning_rate:g}) and train in a new folder; {last}"
        )
