"""Wrong versions of what docs/negatives.md states: bounds, worlds, negatives of the loss, the score from pixels."""

from kinds import mutants_of

BOUNDS, LOSS, SCORE = (
    "theory/test_pooled_negatives.py",
    "losses/test_losses_negatives.py",
    "pixels/planning/test_pooled_score.py",
)

NEGATIVES_MUTANTS = (
    mutants_of(
        "theory/pooled_negatives.py",
        (
            "predictability without its constant",
            "inverse_or_zero(exact.pooled_column_weight), axis=2) - 1",
            "inverse_or_zero(exact.pooled_column_weight), axis=2)",
            "chi^2 is the sum less 1",
            BOUNDS,
        ),
        (
            "ceiling of another number of states",
            "n_states / (2 * (n_states - 1))",
            "n_states / (2 * (n_states + 1))",
            "the rest of the planned law is spread over n - 1 states",
            BOUNDS,
        ),
        (
            "pooled bound without the goal law's square",
            "np.sum(goal_law**2 * exact.pooled_column_weight)",
            "np.sum(goal_law * exact.pooled_column_weight)",
            "Cauchy-Schwarz leaves mu(y)^2 q(y)",
            BOUNDS,
        ),
        (
            "pooled bound with each action's law",
            "model, exact.row_weight, exact.pooled_column_weight)",
            "model, exact.row_weight, exact.column_weight[0])",
            "the risk is normalised by q",
            BOUNDS,
        ),
        (
            "any dot planner is covered",
            '(plan.score == "dot" and _one_measure(embedding))',
            'plan.score == "dot"',
            "read back with a measure for each action it loses .05 at risk 0",
            BOUNDS,
        ),
        (
            "bias of the Euclidean planner doubled",
            "part = error + norm * measure / 2",
            "part = error + norm * measure",
            "half of the difference of the squared norms",
            BOUNDS,
        ),
        (
            "bias of the Euclidean planner the other way round",
            "part = error + norm * measure / 2",
            "part = error - norm * measure / 2",
            "the planner holds a large prediction against the best action",
            BOUNDS,
        ),
    )
    + mutants_of(
        "generators/counterexamples.py",
        (
            "scatter above its threshold",
            "1 - 1 / np.sqrt(2) + 1 / (3 * n_states)",
            "1 - 1 / np.sqrt(2) + 1 / (2 * n_states)",
            "the Euclidean planner is right there",
            BOUNDS,
        ),
        (
            "rare outcome not stationary",
            "rest = (weight - weight[0] * aimed) / (1 - weight[0])",
            "rest = weight",
            "the other rows make up for what x0 aims at",
            BOUNDS,
        ),
    )
    + mutants_of(
        "losses/negatives.py",
        (
            "negatives weighted as the pairs",
            "second_moment(negatives, negative_weight, centered=False)",
            "second_moment(negatives, None, centered=False)",
            "f' follows its own law",
            LOSS,
        ),
        (
            "negatives centred",
            "second_moment(target, law[..., 0, :], centered=False)",
            "second_moment(target, law[..., 0, :])",
            "E f' f'^T, not the covariance",
            LOSS,
        ),
        (
            "rows of the law not normalised",
            'law = shares(check_tensor("negatives", negatives, "... M S", like=predicted).detach())',
            'law = check_tensor("negatives", negatives, "... M S", like=predicted).detach()',
            "a law up to a factor",
            LOSS,
        ),
    )
    + mutants_of(
        "jepa/objective.py",
        (
            "negatives of each action pooled",
            "return own.expand(*own.shape[:-2], n_states, n_states).flatten(-3, -2)",
            "return pooled",
            "as printed they follow the action's own successors",
            LOSS,
        ),
    )
    + mutants_of(
        "jepa/result.py",
        (
            "read back with the pooled law whatever the negatives",
            "laws[self.config.negatives])",
            'laws["pooled"])',
            "g^T f estimates P over the law of the negatives",
            LOSS,
        ),
    )
    + mutants_of(
        "pixels/planning/pooled_score.py",
        (
            "goals not centred",
            "* (goals - self.mean)).sum(-1)",
            "* goals).sum(-1)",
            "with a mean that is not 0 the score is no ratio",
            SCORE,
        ),
        (
            "score not whitened",
            "precision = (basis / scales[kept]) @ basis.mT",
            "precision = basis @ basis.mT",
            "P / q needs the inverse of the covariance",
            SCORE,
        ),
    )
    + mutants_of(
        "pixels/planning/latent.py",
        (
            "worst score planned",
            "else -score(predicted, wanted)",
            "else score(predicted, wanted)",
            "a cost is minimised, a score maximised",
            SCORE,
        ),
    )
)
