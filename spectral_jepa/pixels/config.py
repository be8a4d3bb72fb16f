"""Settings of the pixel world models as frozen values.

Defaults are those of the released LeWorldModel code (arXiv 2603.19312), which differ in places from the paper's text:
regulariser strength .09 where the text says .1, knots on [0, 3], context of 3 frames in every environment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from spectral_jepa._validation import InputError, check_choice, check_count

ENCODERS = ("vit", "conv", "resnet18")
REGULARIZERS = ("sigreg", "subspace_sigreg", "pldm", "whitening", "none")
KINDS = ("world_model", "cloning")
PROBES = ("linear", "mlp")
SUBSPACE_KINDS = ("orthogonal", "partition", "random", "trainable")


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a world model; the defaults are the published one (18,034,478 parameters for 2-D actions).

    ``history`` is the number of frames that the predictor sees, ``action_block`` the number of raw actions between two
    frames (the frameskip), so one action token has ``action_block * action_dim`` numbers.
    """

    encoder: str = "vit"
    image_size: int = 224
    patch_size: int = 14
    encoder_width: int = 192
    encoder_depth: int = 12
    encoder_heads: int = 3
    embedding_dim: int = 192
    projector_width: int = 2048
    predictor_width: int = 192
    predictor_depth: int = 6
    predictor_heads: int = 16
    predictor_head_dim: int = 64
    predictor_hidden: int = 2048
    dropout: float = 0.1
    history: int = 3
    action_dim: int = 2
    action_block: int = 5

    def __post_init__(self) -> None:
        check_choice("encoder", self.encoder, ENCODERS)
        for name in (
            "image_size",
            "patch_size",
            "embedding_dim",
            "predictor_depth",
            "history",
            "action_dim",
            "action_block",
        ):
            check_count(name, getattr(self, name))
        if self.encoder == "vit" and self.image_size % self.patch_size:
            raise InputError(
                f"image_size is {self.image_size}, expected a multiple of patch_size {self.patch_size}: change one of them"
            )


@dataclass(frozen=True)
class ObjectiveConfig:
    """Prediction error (mean over coordinates) plus ``strength`` times a regulariser of the embeddings.

    ``factor`` multiplies SIGReg: None is the batch size, the published convention. ``n_subspaces`` (K), ``subspace_kind``
    and ``orthogonality`` (theta) concern ``subspace_sigreg`` only. The ``pldm_*`` weights are those of LeWM's baseline.
    """

    regularizer: str = "sigreg"
    strength: float = 0.09
    n_slices: int = 1024
    n_knots: int = 17
    t_max: float = 3.0
    factor: float | None = None
    n_subspaces: int = 32
    subspace_kind: str = "orthogonal"
    orthogonality: float = 0.0
    stop_gradient: bool = False
    pldm_variance: float = 18.0
    pldm_covariance: float = 12.0
    pldm_time_similarity: float = 0.2
    pldm_time_variance: float = 0.7

    def __post_init__(self) -> None:
        check_choice("regularizer", self.regularizer, REGULARIZERS)
        check_choice("subspace_kind", self.subspace_kind, SUBSPACE_KINDS)


@dataclass(frozen=True)
class DataConfig:
    """What is collected: environment, number and length of episodes, policy, seed, picture size."""

    environment: str = "two_room"
    n_episodes: int = 10_000
    max_steps: int = 100
    image_size: int = 224
    policy: str = "scripted"
    seed: int = 3072

    def __post_init__(self) -> None:
        check_choice("policy", self.policy, ("scripted", "random"))


@dataclass(frozen=True)
class TrainingConfig:
    """One optimiser run: AdamW with linear warm-up over ``warmup`` of the steps, then cosine to 0.

    ``n_steps`` None means ``n_epochs`` passes over all training windows. ``precision`` bf16 (autocast) concerns GPUs: a CPU
    computes in float32 then. float64 is for tests.
    """

    batch_size: int = 128
    n_epochs: int = 10
    n_steps: int | None = None
    learning_rate: float = 5e-5
    weight_decay: float = 1e-3
    clip_norm: float = 1.0
    warmup: float = 0.01
    precision: str = "bf16"
    compile: bool = False
    seed: int = 0
    log_every: int = 50
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, ("bf16", "float32", "float64"))


@dataclass(frozen=True)
class PlanningConfig:
    """Planner; the defaults are the published cross-entropy method. Horizons count action blocks."""

    method: str = "cem"
    n_samples: int = 300
    n_elites: int = 30
    n_iterations: int = 30
    horizon: int = 5
    execute: int = 5
    initial_std: float = 1.0
    temperature: float = 0.1  # MPPI only, in units of the costs' standard deviation
    learning_rate: float = 0.1  # Adam only
    precision: str = "float32"  # bf16 is used on a GPU only

    def __post_init__(self) -> None:
        check_choice("method", self.method, ("cem", "mppi", "adam", "random"))
        check_choice("precision", self.precision, ("bf16", "float32", "float64"))


@dataclass(frozen=True)
class EvaluationConfig:
    """Start and goal pairs: goal ``goal_offset`` raw steps ahead on a held-out episode, ``budget`` raw steps to reach it."""

    n_pairs: int = 200
    goal_offset: int = 25
    budget: int = 50
    seed: int = 42


@dataclass(frozen=True)
class PixelConfig:
    """All settings of one pixel experiment; ``kind`` is what is trained: a world model, or a cloned policy as baseline."""

    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    planning: PlanningConfig = field(default_factory=PlanningConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    kind: str = "world_model"

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dict, for JSON and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PixelConfig:
        """The inverse of :meth:`to_dict`; an unknown or missing section or field is one sentence."""
        known = {f.name: f.default_factory for f in fields(cls)}
        if set(values) != set(known):
            raise InputError(f"configuration has sections {sorted(values)}, expected {sorted(known)}: was it edited?")
        parts: dict[str, Any] = {}
        for name, section in known.items():
            try:
                parts[name] = section(**values[name]) if callable(section) else values[name]
            except TypeError as error:
                raise InputError(
                    f"configuration section {name!r} does not fit: {error}; was it written by another version?"
                ) from None
        return cls(**parts)


@dataclass(frozen=True)
class ProbeConfig:
    """How latents are probed for physical quantities, see :func:`spectral_jepa.pixels.diagnostics.probe.probe`.

    ``quantities`` are columns (None: all that are physical); ``n_train`` and ``n_test`` frames at most, drawn uniformly from
    the training and test episodes; ``picture_size`` is the side of the downsampled pictures of the "pixels" baseline (ridge
    only); ``max_epochs`` bounds the MLP, and reaching it is noted; ``seed`` draws the frames and seeds the MLP.
    """

    quantities: tuple[str, ...] | None = None
    probes: tuple[str, ...] = PROBES
    n_train: int = 25_000
    n_test: int = 5_000
    picture_size: int = 16
    max_epochs: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.probes:
            check_choice("probe", name, PROBES)
        for name in ("n_train", "n_test", "picture_size", "max_epochs"):
            check_count(name, getattr(self, name))


@dataclass(frozen=True)
class SurpriseConfig:
    """A violation of expectation, see :func:`spectral_jepa.pixels.diagnostics.surprise.surprise`.

    ``n_trajectories`` at most, fewer where fewer episodes are long enough; ``before`` and ``after`` count the predicted
    frames before the perturbed one and from it on (None: history + 1 and history + 2, so that the last two contexts hold
    perturbed frames only); ``seed`` draws the windows and the places that objects are teleported to.
    """

    n_trajectories: int = 100
    before: int | None = None
    after: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("n_trajectories", self.n_trajectories, low=2, why="a test needs two")
        for name in ("before", "after"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
