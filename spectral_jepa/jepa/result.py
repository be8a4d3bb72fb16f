"""What a batch of tabular JEPAs ended with, beside the closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from spectral_jepa._notebook import short_repr
from spectral_jepa._signatures import checked
from spectral_jepa._validation import Array, check_count, check_nonnegative
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.data import Transitions
from spectral_jepa.embedding import Embedding
from spectral_jepa.jepa.config import JepaConfig, Run
from spectral_jepa.theory.whitening import soft_whitening_value, whitened_mse_value


@dataclass(frozen=True, eq=False, repr=False)
class TrainedRuns:
    """Trained encoders and predictions of a batch of runs.

    Parameters
    ----------
    config : JepaConfig
    runs : tuple of Run
    data : tuple of CoOccurrence
        What each ``run.data`` names; of transitions, their plug-in estimate.
    encoded : array (R, S, D)
        f of every run, padded with zeros up to the largest dimension.
    predicted : array (R, A, S, D)
        g, padded likewise.
    history : DataFrame
        One row a run and recorded step: loss, prediction, regularizer, gradient_norm, effective_rank.
    status : tuple of str
        "converged" (gradient norm below the tolerance), "all steps done", or "failed" (loss no longer finite).
    failed_at : tuple of int
        First step at which a run's loss was not finite; -1: never.
    subspaces : array (R, K, d_s, D), optional
        What the regulariser viewed f through; None for one without subspaces.
    """

    config: JepaConfig
    runs: tuple[Run, ...]
    data: tuple[CoOccurrence, ...]
    encoded: Array
    predicted: Array
    history: pd.DataFrame
    status: tuple[str, ...]
    failed_at: tuple[int, ...]
    subspaces: Array | None = None

    def __repr__(self) -> str:
        return short_repr(self)

    @classmethod
    def of(
        cls, config: JepaConfig, runs: Sequence[Run], items: Sequence[CoOccurrence | Transitions], encoded: Tensor,
        predicted: Tensor, history: list[dict[str, Any]], status: list[str], failed_at: list[int], subspaces: Tensor | None,
    ) -> TrainedRuns:  # fmt: skip
        """From tensors; transitions become their plug-in co-occurrence."""
        data = tuple(
            CoOccurrence.from_transitions(item, unseen_actions="zero") if isinstance(item, Transitions) else item
            for item in items
        )
        shape = (len(runs), data[0].n_actions, data[0].n_states, encoded.shape[-1])
        frame = pd.DataFrame(history).drop_duplicates(["run", "step"], keep="last", ignore_index=True)
        arrays = encoded.numpy(), predicted.reshape(shape).numpy()
        own = None if subspaces is None else subspaces.numpy()
        return cls(config, tuple(runs), data, *arrays, frame, tuple(status), tuple(failed_at), own)

    def __len__(self) -> int:
        return len(self.runs)

    def embedding(self, run: int) -> Embedding:
        """Encoder and prediction of one run, read back with the law of its negatives: the pooled law q unless chosen."""
        check_count("run", run, 0, len(self.runs) - 1)
        dim, data = self.runs[run].dim, self.data[self.runs[run].data]
        laws = {
            "pooled": data.pooled_column_weight,
            "uniform": np.full(data.n_states, 1 / data.n_states),
            "action": data.column_weight,
        }
        return Embedding(self.encoded[run, :, :dim], self.predicted[run, :, :, :dim], laws[self.config.negatives])

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a run: what differs, where it ended, the closed-form optimum of its loss and the gap above it.

        ``optimum`` is the least loss with a free predictor: for another predictor it is a lower bound. NaN where no closed
        form is known.
        """
        last = self.history.groupby("run").last().reset_index(drop=True)
        rows = pd.DataFrame(
            [
                {"run": i, "dim": r.dim, "seed": r.seed, "strength": r.strength, "data": r.data}
                for i, r in enumerate(self.runs)
            ]
        )
        optimum = [optimal_loss(self.data[run.data], self.config, run.dim, run.strength) for run in self.runs]
        whole = pd.concat([rows, last], axis=1).assign(optimum=optimum, status=self.status, failed_at=self.failed_at)
        whole["gap"] = whole["loss"] - whole["optimum"]
        return whole


@checked()
def optimal_loss(data: CoOccurrence, config: JepaConfig, dim: int, strength: float) -> float:
    """The least loss of a configuration with a free predictor, from the spectrum.

    Parameters
    ----------
    data : CoOccurrence
        Under whose law the loss is meant; the runs share one encoder for all actions.
    config : JepaConfig
        ``loss``, ``negatives``, ``target``, ``regularizer``, ``centered`` and, for subspaces, their number and kind are
        read.
    dim : int
        Latent dimension k.
    strength : float
        lam; without a meaning for "none" and "hard_whitening".

    Returns
    -------
    float
        NaN where no closed form is known. 0 for a prediction loss without a regulariser, which a constant encoder reaches,
        and with norms, which 0 does.

    Raises
    ------
    InputError
        A dimension below 1 or a negative strength.

    Notes
    -----
    O(A S^3) once a ``data``, whose decomposition is kept, then O(k). Sources: docs/theory.md, 2.2 (spectral; with uniform
    negatives the stack normalised by them, docs/negatives.md, 4; with those of each action no SVD solves it), 2.4 (with
    norms), 2.5 (hard whitening), 2.6 (soft whitening), 2.7 (one encoder for all actions); docs/effective_dimension.md, 2
    (whitening in the blocks of a partition).

    Examples
    --------
    Two states that swap with probability .1, singular values 1 and .8: -(1 + .64), and (1 - 1) + (1 - .64).

    >>> from spectral_jepa import TabularMDP
    >>> exact = CoOccurrence.exact(TabularMDP([[[0.9, 0.1], [0.1, 0.9]]]))
    >>> round(optimal_loss(exact, JepaConfig(loss="spectral", regularizer="none"), 2, 0.0), 12)
    -1.64
    >>> round(optimal_loss(exact, JepaConfig(regularizer="hard_whitening"), 2, 0.0), 12)
    0.36
    """
    check_count("dim", dim)
    check_nonnegative("strength", strength)
    values = np.minimum(data.stacked_decomposition[1], 1.0)
    if config.loss == "spectral":
        if config.negatives == "action" or (config.negatives == "uniform" and config.regularizer == "norms"):
            return float("nan")  # the second: norms in the law of the successors, negatives in another
        if config.negatives == "uniform":
            rows = np.sqrt(data.pooled_weight)[:, :, None] * data.conditional()
            values = np.linalg.svd(rows.reshape(-1, data.n_states) * np.sqrt(data.n_states), compute_uv=False)
        price = {"none": 0.0, "norms": strength}.get(str(config.regularizer), np.nan)
        return -float(np.sum(np.maximum(values[:dim] - price, 0.0) ** 2))
    if config.target != "gradient":
        return float("nan")
    if config.regularizer == "hard_whitening":
        return float(whitened_mse_value(data, dim, centred=config.centered, shared=True))
    if config.regularizer in ("none", "norms") or strength == 0:
        return 0.0
    reached, first = int(np.sum(data.pooled_column_weight > 0)), int(config.centered)

    def soft(count: int) -> float:
        have = values[first : min(first + count, reached)]
        # A coordinate beyond the number of states that are reached has no function to hold: it costs the penalty.
        held = float(soft_whitening_value(have, strength)) if len(have) else 0.0
        return held + strength * (count - len(have))

    if config.regularizer == "whitening":
        return soft(dim)
    if config.regularizer == "subspace_whitening" and config.subspace_kind == "partition":
        return config.n_subspaces * soft(dim // config.n_subspaces)
    return float("nan")
