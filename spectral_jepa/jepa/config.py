"""What a batch of tabular JEPAs trains: the shared settings, and the runs that differ in data, dimension, seed, strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from spectral_jepa._parts import part_name
from spectral_jepa._signatures import check_fields
from spectral_jepa._validation import InputError, as_number, check_choice, check_count

ENCODERS = ("table", "mlp", "features")
PREDICTORS = ("free", "linear", "mlp", "film")
LOSSES = ("prediction", "spectral")
NEGATIVES = ("pooled", "uniform", "action")
TARGETS = ("gradient", "stop_gradient", "ema")
REGULARIZERS = (
    "none",
    "whitening",
    "hard_whitening",
    "vicreg",
    "sigreg",
    "subspace_whitening",
    "subspace_sigreg",
    "norms",
)
SUBSPACE_KINDS = ("orthogonal", "partition", "random", "scaled", "trainable")
OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class Run:
    """One training: which data, latent dimension k, seed of everything random, weight of the regulariser.

    Parameters
    ----------
    dim : int
        Latent dimension k.
    seed : int
        Initial weights, minibatches, SIGReg's directions and subspaces of this run.
    strength : float
        lam >= 0, in front of the regulariser.
    data : int
        Index into the list of co-occurrences (or transitions) that the batch is trained on.

    Raises
    ------
    InputError
        A dimension below 1, a negative seed, strength or index.
    """

    dim: int
    seed: int = 0
    strength: float = 1.0
    data: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        check_count("dim", self.dim)
        check_count("seed", self.seed, 0)
        check_count("data", self.data, 0)
        if not as_number("strength", self.strength) >= 0:
            raise InputError(f"strength is {self.strength}, expected a number of at least 0: choose how much to regularise")


@dataclass(frozen=True)
class JepaConfig:
    """What all runs of a batch share; the loss is summed over coordinates, as in docs/theory.md.

    Parameters
    ----------
    encoder : {"table", "mlp", "features"}
        A free table f(x); a two-layer network on the one-hot state; one on ``n_features`` fixed Gaussian features of it.
    predictor : {"free", "linear", "mlp", "film"}
        A free table g(x, a); W_a f(x); a network on (f(x), a); a layer scaled and shifted by the action
        (FiLM), with a skip connection.
    loss : {"prediction", "spectral"}
        E||g - f+||^2, or L_spec = -2 E[g.f+] + E[(g.f')^2].
    negatives : {"pooled", "uniform", "action"}
        Law of f' in the spectral loss: the next states of all actions (q), the uniform law, or, as printed in
        arXiv 2606.27014, eq. 2, the next states of the prediction's own action (w+), which leaves predictions of different
        actions incomparable; on exact expectations only. See docs/negatives.md.
    target : {"gradient", "stop_gradient", "ema"}
        What stands in for f+ in the prediction loss: the encoder, the encoder as a constant, or a moving average of its
        weights.
    regularizer : str or callable
        One of ``REGULARIZERS``, or one's own: ``module:function``, or the function, which is kept by that name. It is called
        with f (R, N, D) of R runs at N samples and their weights (R, N), None for equal ones, and returns one value a run,
        (R,), as :func:`spectral_jepa.losses.vicreg` does. "hard_whitening" is no penalty: it makes E[f f^T] = I by the
        symmetric inverse root at each step (:func:`spectral_jepa.losses.whiten`). "norms" is E||f+||^2 + E||g||^2: beside
        the spectral loss the price of docs/price.md, the strength being theta (arXiv 2606.27014, eq. 3, has 1).
    centered : bool
        Ask for mean zero as well, which excludes the constant function (the three kinds of whitening only).
    n_subspaces, subspace_kind, subspace_dim, orthogonality
        Sub-JEPA's K, kind, d_s (None: k / K) and weight theta of the soft orthogonality of the projections.
    n_slices, n_knots, t_max, factor
        SIGReg; ``n_slices`` directions (in each subspace), ``factor`` multiplies its integral (LeWM's is the batch size).
    fresh_directions : bool
        New SIGReg directions each step, as published; False keeps the first ones, which makes the loss deterministic.
    variance_weight, covariance_weight
        VICReg's two terms, both multiplied by the run's strength.
    ema_decay : float
        Of the target "ema": 1 keeps the first weights, 0 copies the encoder's at each step.
    hidden : int
        Units of the hidden layer of a network.
    n_features : int
        Of the encoder "features".
    batch_size : int or None
        Transitions a minibatch, at least 2; None trains on exact expectations.
    n_steps, learning_rate, warmup, optimizer
        Adam or SGD with momentum .9; cosine to 0 after a linear warm-up over a share of the steps.
    tolerance : float
        A run stops by itself once the norm of the gradient of its loss on exact expectations is at most this (never, with
        0); looked at when the history is recorded.
    record_every : int
        Steps between two records of the history.

    Raises
    ------
    InputError
        An unknown name, a count below its least, the spectral loss with another target than "gradient", negatives other than
        pooled with the prediction loss, which has none, negatives of the action with minibatches.
    """

    encoder: str = "table"
    predictor: str = "free"
    loss: str = "prediction"
    negatives: str = "pooled"
    target: str = "gradient"
    regularizer: str | Callable[..., Any] = "whitening"
    centered: bool = False
    n_subspaces: int = 1
    subspace_kind: str = "orthogonal"
    subspace_dim: int | None = None
    orthogonality: float = 0.0
    n_slices: int = 64
    n_knots: int = 17
    t_max: float = 3.0
    factor: float = 1.0
    fresh_directions: bool = True
    variance_weight: float = 1.0
    covariance_weight: float = 1.0
    ema_decay: float = 0.99
    hidden: int = 64
    n_features: int = 64
    batch_size: int | None = None
    n_steps: int = 2000
    learning_rate: float = 0.02
    warmup: float = 0.0
    optimizer: str = "adam"
    tolerance: float = 0.0
    record_every: int = 100

    def __post_init__(self) -> None:
        check_fields(self)
        for name, known in (
            ("encoder", ENCODERS),
            ("predictor", PREDICTORS),
            ("loss", LOSSES),
            ("negatives", NEGATIVES),
            ("target", TARGETS),
            ("subspace_kind", SUBSPACE_KINDS),
            ("optimizer", OPTIMIZERS),
        ):
            check_choice(name, getattr(self, name), known)
        object.__setattr__(self, "regularizer", part_name("regularizer", self.regularizer, REGULARIZERS))
        for name in ("n_subspaces", "n_slices", "hidden", "n_features", "n_steps", "record_every"):
            check_count(name, getattr(self, name))
        check_count("n_knots", self.n_knots, 2)
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size, 2)
        if self.loss == "spectral" and self.target != "gradient":
            raise InputError(
                f"target is {self.target!r} with the spectral loss, expected 'gradient': others need loss='prediction'"
            )

        if self.negatives != "pooled" and self.loss != "spectral":
            raise InputError(
                f"negatives is {self.negatives!r} with the prediction loss, which has none, expected 'pooled': others need "
                "loss='spectral'"
            )
        if self.negatives == "action" and self.batch_size is not None:
            raise InputError(
                f"negatives is 'action' with batch_size {self.batch_size}, expected None: a minibatch may hold an action "
                "once, so train on exact expectations"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain dict, for checkpoints and result rows."""
        return asdict(self)
