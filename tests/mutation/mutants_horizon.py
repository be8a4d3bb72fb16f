"""Wrong versions of horizon-free planning; see mutants.py."""

from kinds import mutants_of

HORIZON = "theory/test_horizon_free.py"

HORIZON_MUTANTS = mutants_of(
    "theory/horizon_free.py",
    (
        "form with the other sign",
        "np.sum(v**2, axis=-1) - 2 * r",
        "np.sum(v**2, axis=-1) + 2 * r",
        "v and b start equal, and the form must start small",
        HORIZON,
    ),
    (
        "form with r squared for r",
        'r = math.sqrt(1 - check_fraction("left_out", left_out) ** 2)',
        'r = 1 - check_fraction("left_out", left_out) ** 2',
        "r^2 = 1 - s^2, so that the form starts at s^2 and no more",
        HORIZON,
    ),
    (
        "half the tangent",
        "2 * s / (1 + math.sqrt(1 - s**2))",
        "s / (1 + math.sqrt(1 - s**2))",
        "2 tan(arcsin(s) / 2), not the tangent alone: planar contractions exceed it",
        HORIZON,
    ),
    (
        "tangent through an encoder",
        "2.0 if shared else 2 * s",
        "2.0 if not shared else 2 * s",
        "through an encoder only sqrt(T) s is true",
        HORIZON,
    ),
    (
        "one step too many of the gap",
        "left_out * contraction ** (horizon - 1)",
        "left_out * contraction**horizon",
        "the step that loses what is left out does not contract by sigma",
        HORIZON,
    ),
    (
        "no growth through an encoder",
        "math.sqrt(horizon) * shrunk) if shared",
        "shrunk) if shared",
        "the ranges of what is seen and what is not are not orthogonal, so errors add up in squares",
        HORIZON,
    ),
    (
        "gap of the whole matrix",
        "_norm(true - constant[:, None] * constant[None, :])",
        "_norm(true)",
        "sigma is the norm off the constant, whose own value is 1",
        HORIZON,
    ),
    (
        "horizon-free ratio upside down",
        "pairs = np.sqrt(reach_over_start(weight[plan.goals], weight[plan.starts]))",
        "pairs = np.sqrt(reach_over_start(weight[plan.starts], weight[plan.goals]))",
        "the ratio is w(goal) / w(start)",
        HORIZON,
    ),
    (
        "one sequence errs",
        "_times_risk(2 * plan.average(pairs), factor)",
        "_times_risk(plan.average(pairs), factor)",
        "the best and the planned sequence both err",
        HORIZON,
    ),
    (
        "pair off the constant, not rooted",
        "off = np.sqrt(np.maximum(TOLERANCE, 1 - weight))",
        "off = np.maximum(TOLERANCE, 1 - weight)",
        "a state off the constant has norm sqrt(1 - w)",
        HORIZON,
    ),
    (
        "ranges not compared",
        "encoder or _largest_norm(transposed @ rest) < TOLERANCE",
        "True",
        "one encoder for all actions keeps no singular triplets of each",
        HORIZON,
    ),
    (
        "rows not compared",
        "apart = [_largest_norm(rest @ transposed) < TOLERANCE,",
        "apart = [True,",
        "a model that is no projection of the truth drifts, whatever its norm",
        HORIZON,
    ),
    (
        "form of the other encoder",
        "encoder = embedding.shared if shared is None else shared",
        "encoder = not embedding.shared if shared is None else shared",
        "the form follows the embedding unless it is asked for",
        HORIZON,
    ),
    (
        "constant not asked for",
        '*([Assumption("every B(a) keeps the constant", bool(kept))] if gap else []),',
        "",
        "the gap is off the constant, which the model must keep",
        HORIZON,
    ),
)
