"""Wrong versions of the rate, the constant and the reach of horizon-freeness; see mutants.py."""

from kinds import mutants_of

RATE, CONSTANT = "theory/test_minimax.py", "theory/test_oracle_constant.py"
REACH = "theory/test_horizon_free_extensions.py"

RATE_MUTANTS = (
    mutants_of(
        "theory/minimax.py",
        ("one sample's affinity", "(1 - chance * u) ** (2 * samples)", "(1 - chance * u) ** samples",
         "the bound has the squared affinity of N samples", RATE),
        ("prior of half the information", "(np.sqrt(chance * samples) + np.pi) ** 2",
         "(np.sqrt(chance * samples) + np.pi / 2) ** 2", "cos^2 on [-A, A] has Fisher information (pi / A)^2", RATE),
        ("rows unbalanced", "row_sign * column_sign * block", "row_sign * block",
         "rows of a kernel sum to 1", RATE),
        ("probability of heads doubled", "heads, tosses, (1 + theta) / 2", "heads, tosses, (1 + theta / 2) / 2",
         "a coin of bias theta shows heads with probability (1 + theta) / 2", RATE),
        ("mean square instead of variance", "max(prior @ theta**2 - explained, 0.0)", "prior @ theta**2",
         "what the data explain is no risk", RATE),
        ("all states in pairs of two cells", "4 * (pairs // rank) / n_states**2", "2 * (pairs // rank) / n_states**2",
         "a coordinate has four groups of cells", RATE),
        ("Bernstein's mean for its square", "8 / 9 * largest**2 * (log**2 + 2 * log + 2)", "8 / 9 * largest**2 * log**2",
         "the integral of the squared tail has two more terms", RATE),
    )
    + mutants_of(
        "theory/oracle_constant.py",
        ("one norm for two", "np.sqrt(missed) + 2 * root, root", "np.sqrt(missed) + root, root",
         "both the estimate and the truth move by ||E||", CONSTANT),
        ("the orthogonal part dropped", "np.hypot(np.sqrt(missed) + 2 * root, root)", "np.sqrt(missed) + 2 * root",
         "k ||E||^2 is attained beside the rest", CONSTANT),
    )
    + mutants_of(
        "theory/horizon_free_extensions.py",
        ("no price for drift", "largest ** ((plan.horizon - 1) / 2)", "largest**0",
         "laws that drift cost c a step", REACH),
        ("law of the anchor at the goal", "reach_over_start(after.max(axis=0)[plan.goals]",
         "reach_over_start(weight[plan.goals]", "the last step ends under w+", REACH),
        ("noise counted once", "2 * steps * error_norm))", "steps * error_norm / 2))",
         "T estimates add up", REACH),
        ("noise does not compound", "np.float64(largest) ** steps * (1", "np.float64(largest) * (1",
         "estimates of norm 1 + e multiply", REACH),
        ("mass off the support unseen", "hidden.max() < KEPT", "hidden.min() < KEPT",
         "the planner multiplies by mass on what an action never reaches", REACH),
        ("overflow of the price", "np.float64(np.max(after * inverse_or_zero(weight)))",
         "float(np.max(after * inverse_or_zero(weight)))", "a power of a Python float raises", REACH),
        ("all of the start law", "(law - weight) ** 2 @ inverse", "law**2 @ inverse",
         "what d has of w no plan changes", REACH),
        ("second moment of the reward", "weight @ (values - weight @ values) ** 2", "weight @ values**2",
         "a constant reward leaves no choice", REACH),
        ("one discounted step too many", "gamma ** (horizon - 1)) / (1 - gamma)", "gamma**horizon) / (1 - gamma)",
         "the first state does not depend on the plan", REACH),
        ("clipped from below", "np.minimum(values, 1.0)[..., None, :]", "np.maximum(values, 1.0)[..., None, :]",
         "a contraction has no singular value above 1", REACH),
        ("certificate without its sign", "gain = -form", "gain = form.copy()",
         "the dual multiplies what the encoder drops", REACH),
        ("nothing dropped from the model", "x - s * along * dropped, square - dropped**2", "x, square - dropped**2",
         "what the encoder drops, the model misses along the truth too", REACH),
    )
    + mutants_of(
        "theory/reward_bounds.py",
        ("values off the data unseen", "size = np.where(hidden, np.inf, size)", "size = np.where(hidden, 0.0, size)",
         "an error where q = 0 has no size under q", "theory/test_reward_bound.py"),
    )
    + mutants_of(
        "theory/goal_bounds.py",
        ("measure of the model not looked at", "plan.horizon == 1 or bool(same)", "True",
         "products run through mass that R_S does not see", "theory/test_printed_theorems_refuted.py"),
        ("no number for goals out of reach", "np.sqrt(risks.sum())) if reach else 0.0", "np.sqrt(risks.sum()))",
         "a reach of 0 times an infinite risk", "theory/test_single_step_bound.py"),
    )
)  # fmt: skip
