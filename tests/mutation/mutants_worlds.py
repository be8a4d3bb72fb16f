"""Wrong versions of what the comparison of pixel worlds added: the pooled encoder, inverse dynamics, starts at rest."""

from kinds import mutants_of

POOLED, OBJECTIVE = "pixels/model/test_pooled_encoder.py", "pixels/training/test_objective.py"
EVALUATION, SIMULATORS = "pixels/evaluation/test_evaluate.py", "pixels/environments/test_simulators.py"

WORLDS_MUTANTS = (
    mutants_of(
        "pixels/model/encoder.py",
        ("a pooled mean left out", "maps.mean((2, 3)), maps.amax((2, 3))]", "maps.amax((2, 3)), maps.amax((2, 3))]",
         "mean and maximum say different things", POOLED),
        ("rows for columns", "for axis in (2, 3))", "for axis in (3, 2))", "x runs along a row", POOLED),
        ("heat of each row alone", "self.points(maps).flatten(2).softmax(-1)", "self.points(maps).softmax(-1).flatten(2)",
         "a keypoint has one softmax over the whole map", POOLED),
        ("joint statistics a piece at a time", 'hasattr(module, "running_mean") for module',
         "isinstance(module, nn.BatchNorm2d) for module",
         "under data parallelism, too, BatchNorm sees the whole batch", POOLED),
    )
    + mutants_of(
        "pixels/training/objective.py",
        ("the block after", "- blocks[:, :-1]).square().mean()", "- blocks[:, 1:]).square().mean()",
         "the block between the two embeddings is what moved the one to the other", OBJECTIVE),
        ("latents as constants", "torch.cat([latents[:, :-1], latents[:, 1:]], -1)",
         "torch.cat([latents[:, :-1], latents[:, 1:]], -1).detach()",
         "the encoder learns from inverse dynamics", OBJECTIVE),
        ("a weight of one", "self.config.inverse_dynamics * inverse", "inverse", "the weight counts", OBJECTIVE),
    )
    + mutants_of(
        "pixels/environments/reacher.py",
        ("rest keeps the wrist turning", "still[2:] = 0", "still[2:3] = 0", "no velocity is left", SIMULATORS),
    )
    + mutants_of(
        "pixels/evaluation/evaluate.py",
        ("recorded starts for rest", 'if start == "rest":', 'if start == "still":',
         "a start at rest has no velocity", EVALUATION),
        ("kept rows of another start", '"start": start,', "",
         "rows of recorded starts do not answer for starts at rest", EVALUATION),
    )
)  # fmt: skip
