"""Wrong versions of what collects, trains, plans, judges and keeps results; see mutants.py."""

from kinds import mutants_of

CEM, EPISODES, LOOP = "parity/test_cem_reference.py", "pixels/data/test_episode_files.py", "pixels/training/test_loop.py"
JUDGE, SURPRISED, LATENT = (
    "pixels/evaluation/test_evaluate.py",
    "pixels/diagnostics/test_surprise.py",
    "pixels/planning/test_latent.py",
)
ROOMS, OBJECTIVE, CHECKPOINTS = (
    "pixels/environments/test_two_room.py",
    "pixels/training/test_objective.py",
    "training/test_checkpoints.py",
)
SWEEP, TABLES, POINT_MASS = "sweep/test_run.py", "sweep/test_results.py", "point_mass/test_point_mass.py"

SEARCH = mutants_of(
    "action_search.py",
    (
        "spread of the other kind",
        "elites.std(1, unbiased=unbiased)",
        "elites.std(1, unbiased=not unbiased)",
        "the released code divides the elites' spread by their number less 1",
        CEM,
    ),
    (
        "dearest candidates kept",
        "best = cost(candidates).topk(n_elites, dim=1, largest=False).indices",
        "best = cost(candidates).topk(n_elites, dim=1, largest=True).indices",
        "elites are the cheapest",
        CEM,
    ),
)
PIXELS = (
    mutants_of(
        "pixels/data/actions.py",
        (
            "scaler undone in the wrong order",
            "return mean + std * actions",
            "return std * (mean + actions)",
            "the inverse of (a - mean) / std multiplies first",
            EPISODES,
        ),
        (
            "biased deviation of actions",
            "array.std(axis=0, ddof=1)",
            "array.std(axis=0, ddof=0)",
            "the published scaler is the unbiased one",
            EPISODES,
        ),
    )
    + mutants_of(
        "pixels/data/windows.py",
        (
            "last window of an episode lost",
            "+ 1 - span) // apart + 1)",
            "+ 1 - span) // apart)",
            "an episode of span rows has one window",
            EPISODES,
        ),
        (
            "blocks begin one step late",
            "blocks = self._actions[rows].reshape",
            "blocks = self._actions[rows + 1].reshape",
            "the block at a frame begins with that frame's action",
            EPISODES,
        ),
    )
    + mutants_of(
        "pixels/data/episodes.py",
        (
            "validation is test",
            "[n_episodes - 2 * held_out, n_episodes - held_out]",
            "[n_episodes - 2 * held_out, n_episodes - 2 * held_out]",
            "each part has episodes of its own",
            EPISODES,
        ),
    )
    + mutants_of(
        "pixels/data/hdf5.py",
        (
            "offsets are ends",
            "np.cumsum(lengths, dtype=np.int64) - np.array(lengths)",
            "np.cumsum(lengths, dtype=np.int64)",
            "ep_offset is an episode's first row",
            EPISODES,
        ),
    )
    + mutants_of(
        "pixels/environments/base.py",
        (
            "success at twice the distance",
            "return self.goal_distance(state, goal) < 1",
            "return self.goal_distance(state, goal) < 2",
            "goal_distance is in units of what still counts as success",
            f"{ROOMS} {JUDGE}",
        ),
    )
    + mutants_of(
        "pixels/evaluation/manifest.py",
        (
            "last start of an episode left out",
            "window_starts(dataset, chosen, goal_offset + 1)",
            "window_starts(dataset, chosen, goal_offset + 2)",
            "the goal may be the last row",
            JUDGE,
        ),
    )
    + mutants_of(
        "pixels/evaluation/evaluate.py",
        (
            "budget forgotten in the last plan",
            "dtype=np.float64)[:, : budget - taken]",
            "dtype=np.float64)",
            "no action is carried out beyond the budget",
            JUDGE,
        ),
        (
            "past actions one block off",
            "actions[len(actions) - n_past :]",
            "actions[: n_past]",
            "the blocks between the last frames are the last ones",
            JUDGE,
        ),
    )
    + mutants_of(
        "pixels/planning/latent.py",
        (
            "cost of the whole way",
            'predicted[:, -1:] if kind == "end" else predicted',
            'predicted if kind == "end" else predicted',
            "the goal is to be reached at the end of the plan",
            LATENT,
        ),
    )
    + mutants_of(
        "pixels/training/objective.py",
        (
            "actions one block late",
            "model.predict(latents[:, :-1], blocks[:, :-1])",
            "model.predict(latents[:, :-1], blocks[:, 1:])",
            "blocks[:, t] lies between frames t and t + 1",
            OBJECTIVE,
        ),
        (
            "error summed over coordinates",
            "prediction = error.mean() / self.dim",
            "prediction = error.mean()",
            "the published error is a mean over coordinates, and lambda belongs to it",
            OBJECTIVE,
        ),
    )
    + mutants_of(
        "pixels/diagnostics/surprise.py",
        (
            "surprise of the frame before",
            "return (predicted - latents[:, 1:]).square().mean(-1)",
            "return (predicted - latents[:, :-1]).square().mean(-1)",
            "a prediction is of the next latent",
            SURPRISED,
        ),
    )
    + mutants_of(
        "pixels/training/parallel.py",
        (
            "spread of the means forgotten",
            " + (gathered[:, 0] - mean).square().mean(0)",
            "",
            "the joint variance is that within the parts plus that of their means",
            LOOP,
        ),
    )
)
KEPT = (
    mutants_of(
        "training/schedule.py",
        (
            "warm-up ends early",
            "return peak * step / rising",
            "return peak * (step + 1) / rising",
            "the first step of a warm-up has rate 0",
            CHECKPOINTS,
        ),
    )
    + mutants_of(
        "training/checkpoint.py",
        (
            "another configuration resumed",
            "            if difference:\n",
            "            if not difference:\n",
            "a checkpoint belongs to the configuration that made it",
            CHECKPOINTS,
        ),
        (
            "one checkpoint too few kept",
            "[::-1][: self.keep - 1]",
            "[::-1][: self.keep - 2]",
            "a damaged newest checkpoint needs an older one",
            CHECKPOINTS,
        ),
    )
    + mutants_of(
        "training/log.py",
        (
            "rows after the checkpoint kept",
            "_step(row) <= resume_step and None",
            "_step(row) >= 0 and None",
            "a resumed run writes them again",
            CHECKPOINTS,
        ),
    )
    + mutants_of(
        "sweep/cells.py",
        (
            "version out of the key",
            '"experiment": experiment, "version": version}',
            '"experiment": experiment}',
            "other code makes other results",
            SWEEP,
        ),
    )
    + mutants_of(
        "sweep/run.py",
        (
            "failures kept as done",
            'if record["status"] == "ok"}',
            'if record["status"]}',
            "a failed cell runs again",
            SWEEP,
        ),
    )
    + mutants_of(
        "sweep/results.py",
        (
            "band of single runs",
            "np.sqrt(np.maximum(count, 1))",
            "1.0",
            "the band is that of the mean",
            TABLES,
        ),
        (
            "clocks in the digest",
            "hashlib.sha256(_csv(without_clocks(table)))",
            "hashlib.sha256(_csv(table))",
            "two runs of one command have one digest",
            SWEEP,
        ),
    )
    + mutants_of(
        "point_mass/planning.py",
        (
            "success after the budget",
            "(self.first_hit <= budget)",
            "(self.first_hit <= 2 * budget)",
            "a hit counts within the budget",
            POINT_MASS,
        ),
    )
    + mutants_of(
        "point_mass/training.py",
        (
            "gradient through the target",
            "stop_gradient=arm.stop_gradient)",
            "stop_gradient=not arm.stop_gradient)",
            "an arm says whether its target has a gradient",
            POINT_MASS,
        ),
    )
    + mutants_of(
        "success_rates.py",
        (
            "ties in the test",
            "stats.binomtest(only_a, only_a + only_b)",
            "stats.binomtest(only_a, a.size)",
            "McNemar's test looks at the pairs on which exactly one succeeds",
            JUDGE,
        ),
    )
)
TRAINED_MUTANTS = SEARCH + PIXELS + KEPT
