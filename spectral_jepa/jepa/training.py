"""Training of many tabular JEPAs as one batched computation; each run is what it would be alone.

Runs share nothing: every random number comes from the run's own seed, every update is elementwise, and a loss that becomes
NaN stays in its run. So a batch may hold any dimensions, seeds, strengths and data sets of one size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spectral_jepa._files import hold_folder
from spectral_jepa._signatures import checked
from spectral_jepa._terminal import Bar
from spectral_jepa._validation import Array, InputError, check_count, require_memory, warn_user
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.data import Transitions
from spectral_jepa.jepa.config import JepaConfig, Run
from spectral_jepa.jepa.networks import BatchedJepa
from spectral_jepa.jepa.objective import (
    Losses,
    draw_directions,
    draw_subspaces,
    hard_whiten,
    minibatch_losses,
    population_losses,
)
from spectral_jepa.jepa.result import TrainedRuns
from spectral_jepa.jepa.worlds import Worlds, minibatches
from spectral_jepa.losses import ema_update, sample_effective_rank
from spectral_jepa.training import Checkpoints, Tracker, Trackers, learning_rate

# Minibatches are drawn for this many steps at a time.
CHUNK = 64


@checked()
def train_jepa(
    data: CoOccurrence | Transitions | Sequence[CoOccurrence | Transitions],
    runs: Sequence[Run],
    config: JepaConfig | None = None,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float64,
    folder: Path | str | None = None,
    checkpoint_every: int = 500,
    progress: bool = False,
    watch: Callable[[int, Array], None] | None = None,
    tracker: Tracker | None = None,
) -> TrainedRuns:
    """Train one tabular JEPA a run, all at once; one encoder serves all actions.

    Parameters
    ----------
    data : CoOccurrence, Transitions, or a list of them
        What ``run.data`` indexes. A CoOccurrence gives exact expectations under its law (the population, or counts);
        minibatches (``config.batch_size``) need Transitions.
    runs : list of Run
        What differs: latent dimension, seed, strength, data.
    config : JepaConfig, optional
        What is shared.
    device, dtype
        Where and in what precision; float64 on the CPU by default.
    folder : path, optional
        Write checkpoints there and resume from them.
    checkpoint_every : int
        Steps between checkpoints.
    progress : bool
        Show a bar.
    watch : callable, optional
        Called with the step and the encoders, an array (R, S, D), whenever the history is recorded and at the end.
    tracker : Tracker, optional
        Told what the history records, as "0/loss" for the loss of run 0, and the end (docs/trackers.md).

    Returns
    -------
    TrainedRuns
        Embeddings, a table with one row a run (loss, closed-form optimum, gap, gradient norm, status) and the history.

    Raises
    ------
    InputError
        No run, a run that names no data set, data of different sizes, minibatches of a CoOccurrence, subspaces with runs of
        several dimensions, a checkpoint of another configuration, of other data or in another precision (field by field), a
        folder in which another process trains.

    Warns
    -----
    UserWarning
        A run whose loss is no longer finite: its step and its last good state, which is kept. The others go on.

    Notes
    -----
    O(n_steps R A S^2 D). Each run equals the run trained alone up to rounding (the order of sums in a matrix product).

    Examples
    --------
    >>> from spectral_jepa import CoOccurrence, make_block
    >>> exact = CoOccurrence.exact(make_block(n_states=12, n_blocks=3, n_actions=2, seed=0))
    >>> runs = [Run(dim=2, strength=1.0), Run(dim=3, strength=1.0)]
    >>> trained = train_jepa(exact, runs, JepaConfig(n_steps=1500))
    >>> bool((trained.table["gap"].abs() < 1e-6).all())
    True
    """
    config = config or JepaConfig()
    if not runs:
        raise InputError("runs is empty, expected at least one Run: pass [Run(dim=4)]")
    check_count("checkpoint_every", checkpoint_every)
    items = [data] if isinstance(data, (CoOccurrence, Transitions)) else list(data)
    place = torch.device(device)
    worlds = Worlds.of(items, dtype)
    batch = _Batch(worlds.select(runs), tuple(runs), config, place, dtype)
    batch.watch = watch
    batch.trackers = told = Trackers([] if tracker is None else [tracker])
    store = None
    if folder is not None:
        # Everything that fixes the result; not the device, on which a run may go on.
        digests = worlds.digests()
        description = {
            "jepa": config.to_dict(),
            "runs": {str(i): asdict(run) for i, run in enumerate(runs)},
            "data": {str(i): digests[i] for i in sorted({run.data for run in runs})},
            "dtype": str(dtype).removeprefix("torch."),
        }
        store = Checkpoints(folder, description)
    try:
        with nullcontext() if folder is None else hold_folder(Path(folder)):
            _train(batch, store, checkpoint_every, progress)
    except BaseException:
        told.on_end(False)
        raise
    told.on_end(True)
    for line in batch.failures(store):
        warn_user(line)
    return batch.result(items)


def _train(batch: _Batch, store: Checkpoints | None, checkpoint_every: int, progress: bool) -> None:
    config, runs = batch.config, batch.runs
    if store is not None and (found := store.load(batch.device)) is not None:
        batch.load_state(*found)
    bar = Bar(total=config.n_steps, initial=batch.step, disable=not progress, desc=f"{len(runs)} runs", unit="step")
    while batch.step < config.n_steps and batch.any_active():
        batch.update()
        bar.update()
        if store is not None and batch.step % checkpoint_every == 0:
            store.save(batch.step, batch.state())
    bar.close()
    batch.record()
    if store is not None:
        store.save(batch.step, batch.state())


class _Batch:
    """The state of a batch of runs between two steps."""

    def __init__(
        self, worlds: Worlds, runs: tuple[Run, ...], config: JepaConfig, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.runs, self.config, self.device = runs, config, device
        self.worlds = worlds.to(device)
        row_weight, self.column_weight = worlds.joint.sum(-1), self.worlds.joint.sum(-2).expand(len(runs), -1)
        self.model = BatchedJepa(config, runs, row_weight, worlds.joint.sum(-2), worlds.n_actions, dtype).to(device)
        self.dims = torch.tensor([run.dim for run in runs], device=device)
        self.n_padded = (self.dims.max() - self.dims).to(dtype)
        self.strength = torch.tensor([run.strength for run in runs], dtype=dtype, device=device)
        subspaces = draw_subspaces(config, runs, dtype)
        self.subspace_dim = None if subspaces is None else subspaces.shape[-2]
        self.subspaces = None if subspaces is None else subspaces.to(device)
        if self.subspaces is not None and config.subspace_kind == "trainable":
            self.subspaces = torch.nn.Parameter(self.subspaces)
        self.parameters = [*self.model.parameters()]
        if isinstance(self.subspaces, torch.nn.Parameter):
            self.parameters.append(self.subspaces)
        self.average = [p.detach().clone() for p in self.model.encoder.parameters()] if config.target == "ema" else []
        self.optimizer: torch.optim.Optimizer
        if config.optimizer == "adam":
            self.optimizer = torch.optim.Adam(self.parameters, lr=config.learning_rate, foreach=True)
        else:
            self.optimizer = torch.optim.SGD(self.parameters, lr=config.learning_rate, momentum=0.9, foreach=True)
        self.step = 0
        self.stopped = torch.zeros(len(runs), dtype=torch.bool, device=device)
        self.any_stopped = False
        # First step at which a run's loss was not finite; -1: never.
        self.failed_at = torch.full((len(runs),), -1, device=device)
        self.stopped_at = torch.full((len(runs),), -1, device=device)
        self.good = [p.detach().clone() for p in self.parameters]
        self.good_step = torch.zeros(len(runs), dtype=torch.long, device=device)
        self.history: list[dict[str, Any]] = []
        self.watch: Callable[[int, Array], None] | None = None
        self.trackers = Trackers()
        self.directions: Tensor | None = None
        self.batches: tuple[int, Tensor] | None = None

    def any_active(self) -> bool:
        return not self.any_stopped or not bool(self.stopped.all())

    def encode(self) -> Tensor:
        latent = self.model.encoder()
        if self.config.regularizer == "hard_whitening":
            return hard_whiten(latent, self.column_weight, self.dims, self.config.centered)
        return latent

    def encode_target(self, latent: Tensor) -> Tensor:
        if self.config.target != "ema":
            return latent
        names = [name for name, _ in self.model.encoder.named_parameters()]
        with torch.no_grad():
            parts = dict(zip(names, self.average, strict=True))
            target = torch.func.functional_call(self.model.encoder, parts)
            if self.config.regularizer == "hard_whitening":
                return hard_whiten(target, self.column_weight, self.dims, self.config.centered)
            return target

    def losses(self, *, population: bool) -> Losses:
        config = self.config
        latent = self.encode()
        predicted, target = self.model.predictor(latent), self.encode_target(latent)
        directions = self.step_directions()
        if population or config.batch_size is None:
            return population_losses(
                config, latent, predicted, target, self.worlds.joint, self.column_weight, self.strength, self.n_padded,
                self.subspaces, directions,
            )  # fmt: skip
        return minibatch_losses(
            config, latent, predicted, target, self.minibatch(config.batch_size), self.strength, self.n_padded,
            self.subspaces, directions,
        )  # fmt: skip

    def step_directions(self) -> Tensor | None:
        config = self.config
        if config.regularizer not in ("sigreg", "subspace_sigreg"):
            return None
        if self.directions is None or config.fresh_directions:
            drawn = draw_directions(config, self.runs, self.subspace_dim, self.step)
            self.directions = drawn.to(self.device, self.strength.dtype)
        return self.directions

    def minibatch(self, batch_size: int) -> Tensor:
        chunk, offset = divmod(self.step, CHUNK)
        if self.batches is None or self.batches[0] != chunk:
            self.batches = chunk, minibatches(self.worlds, self.runs, batch_size, chunk, CHUNK).to(self.device)
        return self.batches[1][offset]

    def update(self) -> None:
        """One optimiser step of every run that goes on."""
        config = self.config
        losses = self.losses(population=False)
        failed = ~losses.total.detach().isfinite() & (self.failed_at < 0) & ~self.stopped
        self.failed_at = torch.where(failed, self.step, self.failed_at)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.sum().backward()
        if self.step % config.record_every == 0:
            self.record()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config.n_steps, config.learning_rate, config.warmup)
        before = [p.detach().clone() for p in self.parameters] if self.any_stopped else []
        self.optimizer.step()
        with torch.no_grad():
            for parameter, old in zip(self.parameters, before, strict=False):
                parameter.copy_(torch.where(_along(self.stopped, old), old, parameter))
        if self.average:
            ema_update(self.average, list(self.model.encoder.parameters()), config.ema_decay)
        self.step += 1

    def gradient_norm(self) -> Tensor:
        squares = [p.grad.flatten(1).square().sum(1) for p in self.parameters if p.grad is not None]
        return torch.stack(squares).sum(0).sqrt()

    def record(self) -> None:
        """Losses, gradient norm and rank of every run now; stop the runs that failed or converged."""
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.losses(population=True)
        losses.total.sum().backward()
        norm = self.gradient_norm()
        with torch.no_grad():
            latent = self.encode()
            finite = losses.total.isfinite() & latent.isfinite().all(-1).all(-1)
            rank = sample_effective_rank(torch.where(finite[:, None, None], latent, 0), self.column_weight)
            self.failed_at = torch.where(~finite & (self.failed_at < 0) & ~self.stopped, self.step, self.failed_at)
            good = (self.failed_at < 0) & ~self.stopped
            for kept, parameter in zip(self.good, self.parameters, strict=True):
                kept.copy_(torch.where(_along(good, kept), parameter, kept))
            self.good_step = torch.where(good, self.step, self.good_step)
            newly_failed = (self.failed_at >= 0) & ~self.stopped
            for kept, parameter in zip(self.good, self.parameters, strict=True):
                parameter.copy_(torch.where(_along(newly_failed, kept), kept, parameter))
            converged = good & (norm <= self.config.tolerance) if self.config.tolerance > 0 else torch.zeros_like(good)
            newly = newly_failed | converged
            self.stopped_at = torch.where(newly, self.step, self.stopped_at)
            self.stopped = self.stopped | newly
            self.any_stopped = self.any_stopped or bool(newly.any())
            if self.watch is not None:
                self.watch(self.step, self.encode().cpu().numpy().copy())
        numbers = {
            "loss": losses.total,
            "prediction": losses.prediction,
            "regularizer": losses.regularizer,
            "gradient_norm": norm,
            "effective_rank": rank,
        }
        values = {name: value.detach().tolist() for name, value in numbers.items()}
        for run in range(len(self.runs)):
            self.history.append({"run": run, "step": self.step} | {name: value[run] for name, value in values.items()})
        self.trackers.on_log(
            self.step, {f"{run}/{name}": row[run] for name, row in values.items() for run in range(len(row))}
        )
        self.optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        return {
            "parameters": [p.detach() for p in self.parameters],
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "good": self.good,
            "marks": torch.stack([self.stopped.long(), self.failed_at, self.stopped_at, self.good_step]),
            "history": self.history,
        }

    def load_state(self, step: int, state: dict[str, Any]) -> None:
        self.step = step
        with torch.no_grad():
            for parameter, saved in zip(self.parameters, state["parameters"], strict=True):
                parameter.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.good = list(state["average"]), list(state["good"])
        stopped, self.failed_at, self.stopped_at, self.good_step = state["marks"].unbind()
        self.stopped = stopped.bool()
        self.any_stopped = bool(self.stopped.any())
        self.history = state["history"]

    def failures(self, store: Checkpoints | None) -> list[str]:
        """One sentence for each run whose loss was lost."""
        lines = []
        for number, (run, failed, good) in enumerate(
            zip(self.runs, self.failed_at.tolist(), self.good_step.tolist(), strict=True)
        ):
            if failed >= 0:
                where = "" if store is None else f", checkpoints in {store.folder}"
                lines.append(
                    f"run {number} (dim {run.dim}, seed {run.seed}, strength {run.strength:g}, data {run.data}) has no "
                    f"finite loss at step {failed}: stopped, its state of step {good} is kept{where}; lower the rate"
                )
        return lines

    def result(self, items: list[CoOccurrence | Transitions]) -> TrainedRuns:
        with torch.no_grad():
            latent = self.encode()
            predicted = self.model.predictor(latent)
        status = [
            "failed" if failed >= 0 else "converged" if stopped >= 0 else "all steps done"
            for failed, stopped in zip(self.failed_at.tolist(), self.stopped_at.tolist(), strict=True)
        ]
        return TrainedRuns.of(
            self.config, self.runs, items, latent.cpu().double(), predicted.cpu().double(), self.history, status,
            self.failed_at.tolist(), None if self.subspaces is None else self.subspaces.detach().cpu().double(),
        )  # fmt: skip


def _along(mask: Tensor, like: Tensor) -> Tensor:
    """A mask over runs, shaped to select along the first axis of a parameter."""
    return mask.reshape(-1, *[1] * (like.ndim - 1))


@checked()
def n_parameters(config: JepaConfig, run: Run, n_states: int, n_actions: int) -> int:
    """Count the parameters of one run's encoder and predictor.

    Parameters
    ----------
    config : JepaConfig
        Kinds and sizes of the networks. Trainable subspaces are not counted.
    run : Run
        Its dimension.
    n_states, n_actions : int
        S and A.

    Returns
    -------
    int

    Raises
    ------
    InputError
        A count below 1, or a model that would not fit in memory.

    Notes
    -----
    O(result): the model is built and thrown away.

    Examples
    --------
    Free tables: S k for the encoder and A S k for the predictor.

    >>> n_parameters(JepaConfig(), Run(dim=2), n_states=5, n_actions=3)
    40
    """
    check_count("n_states", n_states)
    check_count("n_actions", n_actions)
    width = max(run.dim, config.hidden, config.n_features, n_states if config.encoder != "table" else 1)
    require_memory((n_actions, n_states, width), "the model", "use fewer states, actions or dimensions")
    row_weight, column_weight = torch.ones(1, n_actions * n_states), torch.ones(1, n_states)
    model = BatchedJepa(config, [run], row_weight, column_weight, n_actions, torch.float32)
    return sum(math.prod(p.shape) for p in model.parameters())
