"""Settings of the pixel world models as frozen values.

Defaults are those of the released LeWorldModel code (arXiv 2603.19312), which differ in places from the paper's text:
regulariser strength .09 where the text says .1, knots on [0, 3], context of 3 frames in every environment. Two are not: 10
epochs are the text's (the released file says 100), and 200 pairs are ours (50). Each field below says its published value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from spectral_jepa._parts import part_name
from spectral_jepa._validation import InputError, check_choice, check_count
from spectral_jepa.pixels.fields import BELOW_ONE, LARGEST_COUNT, POSITIVE, SEED, SHARE, Range, check_fields

ENCODERS = ("vit", "conv", "pooled", "resnet18")
REGULARIZERS = ("sigreg", "subspace_sigreg", "pldm", "whitening", "none")
KINDS = ("world_model", "cloning")
PROBES = ("linear", "mlp")
STARTS = ("recorded", "rest")
COSTS = ("end", "sum", "closest")
NOISES = ("white", "recorded")
PROPOSALS = ("none", "cloning", "inverse")
SUBSPACE_KINDS = ("orthogonal", "partition", "random", "scaled", "trainable")


# Settings that came when runs were there already, at the value that is as before: their folders stay readable, their
# checkpoints go on.
ADDED_LATER: dict[str, dict[str, Any]] = {"objective": {"reconstruction": 0.0}}


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a world model; the defaults are the published one (18,034,478 parameters for 2-D actions).

    Parameters
    ----------
    encoder : {"vit", "conv", "pooled", "resnet18"}
        Published: "vit", a ViT-Tiny; "resnet18" in its ablation. "conv" and "pooled" are ours, for a CPU.
    image_size : int
        Side of the square pictures, in pixels. Published: 224.
    patch_size : int
        Side of a ViT's patch, in pixels; must divide ``image_size``. Published: 14.
    encoder_width : int
        Of a ViT's tokens (its MLP is 4 times as wide), or a quarter of the length of "conv"'s vector, an eighth
        of "pooled"'s. Published: 192.
    encoder_depth : int
        Blocks of the ViT. Published: 12.
    encoder_heads : int
        Attention heads of the ViT. Published: 3.
    embedding_dim : int
        D, length of the embedding of a frame. Published: 192.
    projector_width : int
        Hidden width of the projectors behind encoder and predictor. Published: 2048.
    predictor_width : int
        W, width of the predictor's tokens. Published: 192.
    predictor_depth : int
        Blocks of the predictor. Published: 6.
    predictor_heads : int
        Its attention heads. Published: 16.
    predictor_head_dim : int
        Width of one head. Published: 64.
    predictor_hidden : int
        Hidden width of its feed-forward layers, and of a cloned policy's MLP. Published: 2048.
    dropout : float in [0, 1)
        Share of entries set to 0 in the predictor's attention and feed-forward layers while training. Published: .1.
    history : int
        Frames that the predictor sees; a training clip has one more. Published: 3 (the text says 1 for Two-Room).
    action_dim : int
        A, coordinates of a raw action. Published: 2; Cube 5.
    action_block : int
        Raw actions between two frames (the frameskip), so one action token has ``action_block * action_dim`` numbers.
        Published: 5.

    Raises
    ------
    InputError
        An unknown encoder, a count below 1, a dropout outside [0, 1), an ``image_size`` that ``patch_size`` does not
        divide (ViT) or below 4 ("pooled").
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
        check_fields(self, {"dropout": BELOW_ONE})
        if self.encoder == "vit" and self.image_size % self.patch_size:
            raise InputError(
                f"image_size is {self.image_size}, expected a multiple of patch_size {self.patch_size}: change one of them"
            )
        if self.encoder == "pooled" and self.image_size < 4:
            raise InputError(
                f"image_size is {self.image_size}, expected at least 4 with the encoder 'pooled', whose patches are 4 x 4: "
                "use larger pictures or the encoder 'conv'"
            )


@dataclass(frozen=True)
class ObjectiveConfig:
    """Training loss: prediction error (mean over coordinates) plus lambda times a regulariser of the embeddings.

    Parameters
    ----------
    regularizer : {"sigreg", "subspace_sigreg", "pldm", "whitening", "none"} or callable
        "sigreg" is LeWM's (arXiv 2603.19312), "subspace_sigreg" Sub-JEPA's (arXiv 2605.09241), "pldm" that of LeWM's
        baseline, "whitening" ours (docs/theory.md, 2.6). One's own is ``module:function``, or the function, which is kept by
        that name: it is called with the embeddings (T, B, D), time first, and returns a number or one a time step.
    strength : float
        lambda of both papers: what the regulariser is multiplied by before it is added. Published: .09 in both codes (LeWM's
        text says .1). Not read by "pldm", whose weights are its own; for "whitening" try 1.
    n_slices : int
        M, random directions of SIGReg, fresh at each step; in each subspace as many. Published: 1024.
    n_knots : int
        Points of SIGReg's quadrature on [0, ``t_max``], at least 2. Published: 17.
    t_max : float
        Its end, the largest frequency. Published: 3 (LeWM's appendix says [.2, 4]).
    factor : float, optional
        What SIGReg's integral is multiplied by. Default: the batch size over all processes, as published, so that a
        ``strength`` means something only together with it. 1: free of the batch size.
    n_subspaces : int
        K of Sub-JEPA; must divide ``embedding_dim``. Published: 32; Push-T 16. "subspace_sigreg" only, as the next two.
    subspace_kind : {"orthogonal", "partition", "random", "scaled", "trainable"}
        See :func:`spectral_jepa.losses.make_subspaces`. Published: "orthogonal"; "random" and "trainable" in the ablation.
    orthogonality : float
        theta of Sub-JEPA: weight of the soft orthogonality of "trainable" subspaces. Published: 0 by default.
    stop_gradient : bool
        Treat the targets of the prediction as constants. Published: False.
    inverse_dynamics : float
        Weight of the mean squared error of a linear map, trained along, from two consecutive embeddings to the scaled action
        block between them: what makes an encoder see what the actions move. Published: 0; 1 in arXiv 2606.20104's arm.
    reconstruction : float
        Weight of the squared error of a decoder, trained along, in drawing the frames from their embeddings and the next
        frames from the predicted ones; in units of the normalised pixels. With "none" and ``stop_gradient`` this is an
        autoencoding world model, no JEPA. Published: 0.
    pldm_variance, pldm_covariance, pldm_time_similarity, pldm_time_variance : float
        Weights of :func:`spectral_jepa.pixels.training.objective.pldm_terms`, "pldm" only. Published: 18, 12, .2, .7.

    Raises
    ------
    InputError
        An unknown regulariser or kind of subspaces, a number that is negative, not finite or of another type.
    """

    regularizer: str | Callable[..., Any] = "sigreg"
    strength: float = 0.09
    n_slices: int = 1024
    n_knots: int = 17
    t_max: float = 3.0
    factor: float | None = None
    n_subspaces: int = 32
    subspace_kind: str = "orthogonal"
    orthogonality: float = 0.0
    stop_gradient: bool = False
    inverse_dynamics: float = 0.0
    reconstruction: float = 0.0
    pldm_variance: float = 18.0
    pldm_covariance: float = 12.0
    pldm_time_similarity: float = 0.2
    pldm_time_variance: float = 0.7

    def __post_init__(self) -> None:
        check_fields(self, {"n_knots": Range(2, LARGEST_COUNT), "t_max": POSITIVE, "factor": POSITIVE})
        object.__setattr__(self, "regularizer", part_name("regularizer", self.regularizer, REGULARIZERS))
        check_choice("subspace_kind", self.subspace_kind, SUBSPACE_KINDS)


@dataclass(frozen=True)
class DataConfig:
    """What is collected.

    Parameters
    ----------
    environment : str
        A built-in one ("two_room", "push_t", "reacher", "cube"), a drawn world ("mdp_torus" and others, see
        :func:`spectral_jepa.pixels.environments.mdp_names.rendered_class`) or ``module:Class``.
    n_episodes : int
        Published: 10,000; Push-T 20,000 (its released file has 18,685).
    max_steps : int
        Raw actions of an episode at most. Published, as means: Two-Room 92, Push-T 196 (released file 125), others 200.
    row_steps : int
        Raw actions between two rows of the file, so between two pictures; at most ``max_steps``. With 5, a model whose
        action block is 5 gets the clips that start at multiples of 5 from a fifth of the pictures. Published: 1.
    image_size : int
        Side of the pictures, in pixels. Published: 224.
    policy : {"scripted", "random"}
        The environment's own, or uniform actions. Published: scripted; Reacher says SAC, but its released data look random.
    seed : int
        Of everything random in the data. Published: 3072.

    Raises
    ------
    InputError
        An unknown policy, a count below 1, a seed that is negative or has more than 32 bits, rows further apart than an
        episode is long.
    """

    environment: str = "two_room"
    n_episodes: int = 10_000
    max_steps: int = 100
    row_steps: int = 1
    image_size: int = 224
    policy: str = "scripted"
    seed: int = 3072

    def __post_init__(self) -> None:
        check_fields(self, {"seed": SEED})
        check_choice("policy", self.policy, ("scripted", "random"))
        if self.row_steps > self.max_steps:
            raise InputError(
                f"row_steps is {self.row_steps} and max_steps {self.max_steps}, expected row_steps of at most max_steps: "
                "an episode would be one row without an action, so lower row_steps"
            )


@dataclass(frozen=True)
class TrainingConfig:
    """One optimiser run: AdamW with linear warm-up over ``warmup`` of the steps, then cosine to 0.

    Parameters
    ----------
    batch_size : int
        Clips a step, over all processes. Published: 128.
    n_epochs : int
        Passes over all training windows. Published: 10 (the released file says 100).
    n_steps : int, optional
        Optimiser steps of the run. Default: what ``n_epochs`` come to.
    learning_rate : float
        At the end of the warm-up. Published: 5e-5.
    weight_decay : float
        Of AdamW, on all parameters. Published: 1e-3.
    clip_norm : float
        Largest norm of the gradient of all parameters together. Published: 1.
    warmup : float in [0, 1]
        Share of the steps in which the learning rate rises. Published: .01.
    precision : {"bf16", "float32", "float64"}
        "bf16" (autocast) concerns GPUs: a CPU computes in float32 then. "float64" is for tests. Published: "bf16".
    compile : bool
        Let torch compile encoder and predictor; wants a C++ compiler. Dropout's masks are others then. On a CPU it takes two
        minutes to compile and gains nothing over the eager step (docs/pixels.md, Benchmark).
    seed : int
        Initial weights, subspaces, order of the clips, directions of SIGReg, masks of dropout.
    log_every : int
        Steps between two rows of ``log.csv``.
    checkpoint_every : int
        Steps between two checkpoints: what a kill may lose.

    Raises
    ------
    InputError
        An unknown precision, a count, learning rate or norm that is not above 0, a share outside [0, 1].
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
        check_fields(self, {"learning_rate": POSITIVE, "clip_norm": POSITIVE, "warmup": SHARE, "seed": SEED})
        check_choice("precision", self.precision, ("bf16", "float32", "float64"))


@dataclass(frozen=True)
class PlanningConfig:
    """Planner; the defaults are the published cross-entropy method. Horizons count action blocks.

    Parameters
    ----------
    method : {"cem", "mppi", "adam", "random"}
        Published: "cem"; "adam" with 100 samples as an alternative. "random" asks no model.
    n_samples : int
        Candidate plans of an iteration. Published: 300.
    n_elites : int
        How many of them, the cheapest, the next mean and standard deviation are fitted to; at least 2, because one has no
        spread (which divides by their number less 1). "cem" only. Published: 30.
    n_iterations : int
        Rounds of the search, steps of "adam". Published: 30 (the text says 10 for all but Push-T).
    horizon : int
        Action blocks of a plan. Published: 5, which are 25 raw steps.
    execute : int
        Blocks carried out before planning anew; at most ``horizon``, the receding horizon below it. Published: 5.
    history : int
        Real frames that the model is given when it plans anew, one an action block; on the first plan there is but one. At
        most ``model.history``. Published: 1.
    cost : {"end", "sum", "closest"}
        Squared latent distance to the goal of the last predicted block, summed over all blocks, or the least over them.
        Published: "end"; "closest" in eb_jepa (97 % against 89). One's own is ``module:function``, or the function, which is
        kept by that name: it is called with the predicted latents (E, S, H, D) of S plans and the goals (E, 1, 1, D), and
        returns a cost a plan, (E, S).
    warm_start : bool
        Start the search's mean from the blocks of the last plan that were not carried out, and 0 behind them. Published:
        True, but with ``execute`` equal to ``horizon``, where nothing is left of a plan.
    proposal : {"none", "cloning", "inverse"}
        Start the search's mean from the first block of a cloned policy (a run of ``--kind cloning`` on the same data), or
        from the blocks that ridge regression reads off both latents
        (:class:`spectral_jepa.pixels.planning.proposals.InverseDynamics`). Published: "none".
    noise : {"white", "recorded"}
        Of the candidates of "cem": white, or correlated along a plan as the training actions are
        (:func:`spectral_jepa.pixels.planning.recorded_noise.recorded_noise`). Published: "white".
    initial_std : float
        Standard deviation of the first candidates, in z-scored action units. Published: 1.
    temperature : float
        Of "mppi" only, in units of the standard deviation of the candidates' costs. Not published.
    learning_rate : float
        Of "adam" only, in z-scored action units. Published: .1.
    precision : {"bf16", "float32"}
        Of the rollouts; "bf16" is used on a GPU only. Published: "float32". ("float64" is refused when a plan is asked for.)
    compile : bool
        Let torch compile the rollout: half a minute at the first plan, faster plans after it. Without a compiler (g++) a
        warning says so and nothing is compiled. Published: False.

    Raises
    ------
    InputError
        An unknown method, cost, proposal, noise or precision, a number that is not above 0. What must fit together is
        checked by :func:`spectral_jepa.pixels.planning.latent.check_settings`.
    """

    method: str = "cem"
    n_samples: int = 300
    n_elites: int = 30
    n_iterations: int = 30
    horizon: int = 5
    execute: int = 5
    history: int = 1
    cost: str | Callable[..., Any] = "end"
    warm_start: bool = False
    proposal: str = "none"
    noise: str = "white"
    initial_std: float = 1.0
    temperature: float = 0.1  # MPPI only, in units of the costs' standard deviation
    learning_rate: float = 0.1  # Adam only
    precision: str = "float32"  # bf16 is used on a GPU only
    compile: bool = False

    def __post_init__(self) -> None:
        check_fields(self, {"initial_std": POSITIVE, "temperature": POSITIVE, "learning_rate": POSITIVE})
        check_choice("method", self.method, ("cem", "mppi", "adam", "random"))
        object.__setattr__(self, "cost", part_name("cost", self.cost, COSTS))
        check_choice("proposal", self.proposal, PROPOSALS)
        check_choice("noise", self.noise, NOISES)
        check_choice("precision", self.precision, ("bf16", "float32", "float64"))


@dataclass(frozen=True)
class EvaluationConfig:
    """Start and goal pairs on held-out episodes, and the steps that a policy gets for each.

    Parameters
    ----------
    n_pairs : int
        Published: 50, whose success rate scatters by 5 to 6 points.
    goal_offset : int
        Raw steps from a start to its goal, on the same episode. Published: 25 (the text's first version: 100 in Two-Room).
    budget : int
        Raw steps to reach it. Published: 50 (there 150).
    seed : int
        Draws the pairs, and the planner's candidates. Published: 42.
    start : {"recorded", "rest"}
        Start as recorded, or in the same place with all velocities 0 (one picture shows none). Published: "recorded".

    Raises
    ------
    InputError
        An unknown start, a count below 1, a seed that is negative or has more than 32 bits.
    """

    n_pairs: int = 200
    goal_offset: int = 25
    budget: int = 50
    seed: int = 42
    start: str = "recorded"

    def __post_init__(self) -> None:
        check_fields(self, {"seed": SEED})
        check_choice("start", self.start, STARTS)


@dataclass(frozen=True)
class PixelConfig:
    """All settings of one pixel experiment.

    Parameters
    ----------
    model : ModelConfig
    objective : ObjectiveConfig
        Not read by kind "cloning".
    data : DataConfig
    training : TrainingConfig
    planning : PlanningConfig
    evaluation : EvaluationConfig
    kind : {"world_model", "cloning"}
        What is trained: a world model, or a cloned policy as baseline.

    Raises
    ------
    InputError
        An unknown kind, more real frames to plan from (``planning.history``) than the model sees.

    Examples
    --------
    >>> config = PixelConfig(objective=ObjectiveConfig(strength=0.2))
    >>> config.to_dict()["objective"]["strength"], PixelConfig.from_dict(config.to_dict()) == config
    (0.2, True)
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    planning: PlanningConfig = field(default_factory=PlanningConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    kind: str = "world_model"

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        known = self.model.history
        check_count("planning.history", self.planning.history, 1, known, "model.history, what the model was trained with")

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dict, for JSON and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PixelConfig:
        """The inverse of :meth:`to_dict`.

        Parameters
        ----------
        values : dict of dict
            Section -> field -> value, and ``kind``; none may be missing but those of ``ADDED_LATER``.

        Returns
        -------
        PixelConfig

        Raises
        ------
        InputError
            An unknown or missing section or field, a value that the section refuses.
        """
        if not isinstance(values, dict):
            raise InputError(f"configuration is {values!r}, expected sections of settings: pass the folder of a pixel run")
        known = {f.name: f.default_factory for f in fields(cls)}
        if set(values) != set(known):
            raise InputError(f"configuration has sections {sorted(values)}, expected {sorted(known)}: was it edited?")
        parts: dict[str, Any] = {}
        for name, section in known.items():
            if not callable(section):
                parts[name] = values[name]
                continue
            expected = {f.name for f in fields(section())}
            given = ADDED_LATER.get(name, {}) | values[name] if isinstance(values[name], dict) else {}
            found = set(given)
            if found != expected:
                what = (
                    f"lacks {min(expected - found)!r}" if expected - found else f"has an unknown {min(found - expected)!r}"
                )
                raise InputError(
                    f"configuration section {name!r} {what}, expected the fields {', '.join(sorted(expected))}: "
                    "use the version of spectral-jepa that wrote it, or train again"
                )
            parts[name] = section(**given)
        return cls(**parts)


@dataclass(frozen=True)
class ProbeConfig:
    """How latents are probed for physical quantities, see :func:`spectral_jepa.pixels.diagnostics.probe.probe`.

    LeWM publishes none of this; the numbers of frames are those of a rerun with disjoint episodes.

    Parameters
    ----------
    quantities : tuple of str, optional
        Columns of the data. Default: all that are physical.
    probes : tuple of {"linear", "mlp"}
    n_train, n_test : int
        Frames at most, drawn uniformly from the training and from the test episodes.
    picture_size : int
        Side, in pixels, of the downsampled pictures of the "pixels" baseline ("linear" only).
    max_epochs : int
        Of the MLP; reaching it is noted.
    seed : int
        Draws the frames and seeds the MLP.

    Raises
    ------
    InputError
        An unknown probe, a probe or quantity that is named twice, a count below 1.
    """

    quantities: tuple[str, ...] | None = None
    probes: tuple[str, ...] = PROBES
    n_train: int = 25_000
    n_test: int = 5_000
    picture_size: int = 16
    max_epochs: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, {"seed": SEED})
        for name in self.probes:
            check_choice("probe", name, PROBES)
        for what, names in (("quantities", self.quantities or ()), ("probes", self.probes)):
            if len(set(names)) < len(names):
                raise InputError(f"{what} are {', '.join(names)}, expected each once: leave one out")


@dataclass(frozen=True)
class SurpriseConfig:
    """A violation of expectation, see :func:`spectral_jepa.pixels.diagnostics.surprise.surprise`.

    LeWM publishes none of this.

    Parameters
    ----------
    n_trajectories : int
        At most, and at least 2: fewer are used where fewer episodes are long enough.
    before, after : int, optional
        Frames before the perturbed one, the first of which is not predicted, and from it on. Default: history + 1 and
        history + 2, so that the last two contexts hold perturbed frames only.
    seed : int
        Draws the windows and the places that objects are teleported to.

    Raises
    ------
    InputError
        A count below its least.
    """

    n_trajectories: int = 100
    before: int | None = None
    after: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("n_trajectories", self.n_trajectories, low=2, why="a test needs two")
        check_fields(self, {"seed": SEED})
