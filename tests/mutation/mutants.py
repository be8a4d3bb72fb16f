"""Wrong versions of the code, chosen by hand: each is mathematically wrong, none is the same thing written otherwise.

Those of the theory and the losses stand here, those of what collects, trains, plans and keeps in mutants_trained.py, those
of one result each in the other files of this folder.

A record names the wrong version, its file in the package, the text before and after, why it is wrong, and the test files
that must notice. `before` occurs exactly once in its file (test_mutants_apply.py), so that the list cannot rot in silence.
"""

from kinds import Mutant, mutants_of
from mutants_diagnosis import DIAGNOSIS_MUTANTS
from mutants_horizon import HORIZON_MUTANTS
from mutants_negatives import NEGATIVES_MUTANTS
from mutants_phase import PHASE_MUTANTS
from mutants_planning import PLANNING_MUTANTS
from mutants_price import PRICE_MUTANTS
from mutants_rates import RATE_MUTANTS
from mutants_tablea import TABLE_A_MUTANTS
from mutants_trained import TRAINED_MUTANTS
from mutants_worlds import WORLDS_MUTANTS

__all__ = ["MUTANTS", "Mutant"]

LOSS, TOP, ECKART = "theory/test_loss_identity.py", "theory/test_top_singular_pair.py", "theory/test_eckart_young.py"
UNIT_NORM, SHARED, GAUGE = "theory/test_unit_norm.py", "theory/test_shared_encoder.py", "theory/test_gauge.py"
SINGLE, MULTI, REWARD = (f"theory/test_{name}_bound.py" for name in ("single_step", "multi_step", "reward"))
VARIANCE, ORACLE = "theory/test_sampling_variance.py", "theory/test_oracle_inequality.py"
REFUTED, PRINTED = "theory/test_printed_theorems_refuted.py", "theory/test_printed_sample_bound.py"
CLOSED, VALUES = "theory/test_closed_form_spectra.py", "theory/test_value_identity.py"
DETERMINISTIC, INPUT = "theory/test_deterministic_spectrum.py", "theory/test_latent_versus_input.py"
WHITENED, SOFT = "theory/test_whitened_mse.py", "theory/test_soft_whitening.py"
LINEAR, UNBIASED = "theory/test_linear_predictor_vamp.py", "theory/test_empirical_risk_unbiased.py"
SIMULATION = "theory/test_simulation_lemma.py"
BRUTE_FORCE, QUANTECON = "parity/test_goal_planning_brute_force.py", "parity/test_quantecon.py"
FREQUENCIES, COOCCURRENCE = "parity/test_sampling_frequencies.py", "unit/test_cooccurrence.py"

WORLD = mutants_of(
    "mdp.py",
    ("w+ transposed", "rows.T @ self.weight", "rows @ self.weight", "P w is no law of x+; P^T w is", f"{TOP} {SINGLE}"),
    (
        "pairs weighted uniformly",
        "return self.action_frequency[:, None] * self.weight[None, :]",
        "return np.tile(self.weight / self.n_actions, (self.n_actions, 1))",
        "rho(x, a) = p(a) w(x) with the actions' own p",
        "unit/test_mdp.py",
    ),
    (
        "start law dropped by the world",
        'start = weight if self.start is None else as_distribution("start", self.start, n_states)',
        "start = weight",
        "episodes start where told, not where the data do",
        "unit/test_mdp.py planning/test_reward.py",
    ),
    (
        "unit reward divided by its maximum",
        "(self.reward - low) / (high - low)",
        "(self.reward - low) / high",
        "the range is high - low",
        "unit/test_mdp.py",
    ),
)

DATA = mutants_of(
    "data.py",
    ("anchors drawn uniformly", "p=mdp.weight)", "p=None)", "x ~ w", FREQUENCIES),
    ("actions drawn uniformly", "p=mdp.action_frequency)", "p=None)", "a ~ p(a)", FREQUENCIES),
    (
        "successors of another action",
        "chosen = action == a",
        "chosen = action == mdp.n_actions - 1 - a",
        "x+ ~ P(.|x, a) of the action taken",
        FREQUENCIES,
    ),
    (
        "counts transposed",
        "(self.action, self.state, self.next_state), shape",
        "(self.action, self.next_state, self.state), shape",
        "rows are anchors",
        "unit/test_data.py",
    ),
    (
        "sparse counts with the wrong action axis",
        "rows = self.action * self.n_states + self.state",
        "rows = self.state * self.n_actions + self.action",
        "row a S + x is the pair (x, a)",
        "unit/test_data.py",
    ),
)

MATRICES = mutants_of(
    "cooccurrence.py",
    (
        "joint law weighted by the successor",
        "weight[None, :, None] * mdp.transition",
        "weight[None, None, :] * mdp.transition",
        "M = w(x) P(y|x)",
        COOCCURRENCE,
    ),
    (
        "sparse joint law weighted by the successor",
        "sp.diags_array(weight) @ rows",
        "rows @ sp.diags_array(weight)",
        "M = w(x) P(y|x)",
        COOCCURRENCE,
    ),
    (
        "columns normalised by w",
        "return self.joint * rows[:, :, None] * columns[:, None, :]",
        "return self.joint * rows[:, :, None] * rows[:, None, :]",
        "columns take w+, rows w: s_1 is 1 only then",
        TOP,
    ),
    (
        "root of w+ dropped",
        "inverse_or_zero(np.sqrt(self.column_weight))",
        "inverse_or_zero(self.column_weight)",
        "M / sqrt(w w+)",
        TOP,
    ),
    (
        "stack without the root of p",
        "rows = np.sqrt(self.action_frequency)[:, None] *",
        "rows = self.action_frequency[:, None] *",
        "rho P / sqrt(rho q) leaves sqrt(p)",
        f"{TOP} {COOCCURRENCE}",
    ),
    (
        "q as a plain mean over actions",
        "return self.action_frequency @ self.column_weight",
        "return self.column_weight.mean(axis=0)",
        "q = sum_a p(a) w+(.|a)",
        COOCCURRENCE,
    ),
    (
        "stack normalised by the first action",
        "columns = inverse_or_zero(np.sqrt(self.pooled_column_weight))",
        "columns = inverse_or_zero(np.sqrt(self.column_weight[0]))",
        "the stack has one normaliser, q",
        TOP,
    ),
    (
        "plug-in columns of the wrong action",
        "np.stack([np.asarray(m.sum(axis=0)).ravel() for m in joint])",
        "np.stack([np.asarray(m.sum(axis=0)).ravel() for m in joint[::-1]])",
        "w+(.|a) of the same action",
        COOCCURRENCE,
    ),
    (
        "plug-in marginals swapped",
        "columns = np.stack([np.asarray(m.sum(axis=0)).ravel() for m in joint])",
        "columns, rows = rows, np.stack([np.asarray(m.sum(axis=0)).ravel() for m in joint])",
        "rows sum over successors",
        COOCCURRENCE,
    ),
    (
        "known marginals not used",
        "rows, columns, frequency = true.row_weight, true.column_weight, true.action_frequency",
        "frequency = true.action_frequency",
        "unbiased only with the true normalisers",
        VARIANCE,
    ),
    (
        "known columns from w",
        "rows, columns, frequency = true.row_weight, true.column_weight,",
        "rows, columns, frequency = true.row_weight, true.row_weight,",
        "columns take w+",
        VARIANCE,
    ),
    (
        "reference measure on the rows",
        "columns = np.broadcast_to(measure, columns.shape)",
        "rows = np.broadcast_to(measure, columns.shape)",
        "it replaces w+, not w",
        COOCCURRENCE,
    ),
    (
        "counts over N - 1",
        "scale = inverse_or_zero(seen.astype(np.float64))",
        "scale = inverse_or_zero(seen - 1.0)",
        "frequencies are counts / N",
        VARIANCE,
    ),
    (
        "counts over all transitions",
        "scale = inverse_or_zero(seen.astype(np.float64))",
        "scale = np.full(len(seen), 1 / len(data))",
        "each M(a) sums to 1, not to p(a)",
        COOCCURRENCE,
    ),
    (
        "P from the column normaliser",
        "inverse_or_zero(self.row_weight)[:, :, None]",
        "inverse_or_zero(self.row_weight)[:, None, :]",
        "P(y|x) = M(x, y) / w(x)",
        COOCCURRENCE,
    ),
    (
        "constant function not put first",
        "is_pair = np.maximum(off_left, off_right) < PAIR_TOLERANCE",
        "is_pair = np.maximum(off_left, off_right) < 0",
        "ties at s = 1 then rotate it away",
        TOP,
    ),
)

EMBEDDING = mutants_of(
    "embedding.py",
    (
        "Phat weighted by the anchor",
        "self.column_weight[:, None, :] * self.density_ratio()",
        "self.column_weight[:, :, None] * self.density_ratio()",
        "Phat(y|x) = w+(y) g(x)^T f(y)",
        f"{TOP} {SINGLE}",
    ),
    (
        "gauge turns g as it turns f",
        "self.predicted @ np.linalg.inv(q)",
        "self.predicted @ q.T",
        "g takes Q^-T, not Q",
        GAUGE,
    ),
    (
        "linear predictor under a uniform law",
        "second_moment = self.target.T @ (weight * self.target)",
        "second_moment = self.target.T @ self.target / self.n_states",
        "E_w f f^T",
        f"{MULTI} {BRUTE_FORCE}",
    ),
    (
        "F without its root",
        "target = np.sqrt(geometry.column_weight)[:, :, None]",
        "target = geometry.column_weight[:, :, None]",
        "F = sqrt(w+) f",
        LOSS,
    ),
    (
        "G in the weight of F",
        "np.sqrt(geometry.row_weight)[:, :, None] * self.predicted",
        "np.sqrt(geometry.column_weight)[:, :, None] * self.predicted",
        "G = sqrt(w) g",
        LOSS,
    ),
    (
        "closed form without singular values",
        "[:, :, None] * left * values[:, None, :]",
        "[:, :, None] * left",
        "G F^T = U S V^T",
        ECKART,
    ),
    (
        "closed form with twice the roots",
        "[:, :, None] * left * values[:, None, :]",
        "[:, :, None] * left * np.sqrt(values)[:, None, :]",
        "f already has unit scale, so g carries all of s",
        ECKART,
    ),
    (
        "smallest triplets kept",
        "return left[:, :dim], values[:dim], right[:, :dim]",
        "return left[:, -dim:], values[-dim:], right[:, -dim:]",
        "Eckart-Young keeps the largest",
        ECKART,
    ),
    (
        "shared encoder in the weight of action 0",
        "column = cooc.pooled_column_weight",
        "column = cooc.column_weight[0]",
        "the stack is normalised by q",
        f"{SHARED} {COOCCURRENCE}",
    ),
    (
        "shared predictions without rho",
        "rows = inverse_or_zero(np.sqrt(cooc.pooled_weight))[:, :, None]",
        "rows = inverse_or_zero(np.sqrt(cooc.row_weight))[:, :, None]",
        "G = sqrt(p w) g in the stack",
        SHARED,
    ),
    (
        "tail off by one",
        "result = tail_energy(spectrum(cooc, shared=shared), dim)",
        "result = tail_energy(spectrum(cooc, shared=shared), dim + 1)",
        "the first value left out is s_{k+1}",
        f"{ECKART} {DETERMINISTIC}",
    ),
    (
        "sparse tail without squares",
        "leading = spectrum(cooc, dim, shared=shared) ** 2 if dim",
        "leading = spectrum(cooc, dim, shared=shared) if dim",
        "the norm is a sum of squares",
        ECKART,
    ),
    (
        "kappa as an arithmetic mean",
        "float(np.sqrt(np.abs(self.target).max() * np.abs(self.predicted).max()))",
        "float((np.abs(self.target).max() + np.abs(self.predicted).max()) / 2)",
        "the best scaling meets at the geometric mean",
        "unit/test_embedding.py",
    ),
)

LINALG = mutants_of(
    "linalg.py",
    ("tail of values, not of squares", "np.sum(values[..., dim:] ** 2", "np.sum(values[..., dim:]", "||.||_F^2", ECKART),
    (
        "lift of the top pair not taken off",
        "values[..., 0] -= np.sum(top[0] ** 2, axis=-1)",
        "values[..., 0] -= 0",
        "adding the pair once more raised s_1 to 2",
        TOP,
    ),
    (
        "Lanczos values ascending",
        "order = np.argsort(values)[::-1]",
        "order = np.argsort(values)",
        "descending, so that the first dim are the leading ones",
        "unit/test_linalg.py",
    ),
    (
        "simplex threshold off by one",
        "np.arange(1, values.size + 1)",
        "np.arange(2, values.size + 2)",
        "the mean over the first j values divides by j",
        UNIT_NORM,
    ),
    (
        "simplex projection not clipped",
        "return np.maximum(values - thresholds[last], 0.0)",
        "return values - thresholds[last]",
        "t >= 0",
        UNIT_NORM,
    ),
)

GOALS = mutants_of(
    "planning/goal.py",
    (
        "Euclidean score without the 2",
        "scores = 2 * scores - norms",
        "scores = scores - norms",
        "|z - f|^2 = |z|^2 - 2 z.f + |f|^2",
        BRUTE_FORCE,
    ),
    (
        "Euclidean score without |z|",
        "norms = np.sum(latent**2, axis=-1)[..., None] +",
        "norms =",
        "|z| differs between sequences",
        BRUTE_FORCE,
    ),
    (
        "Phat score without w+",
        "scores = scores * embedding.column_weight[:, goals][:, None, :]",
        "scores = scores * 1.0",
        "that is the dot planner, which the corrected bounds do not cover",
        f"{SINGLE} {REFUTED}",
    ),
    (
        "operator rollout with the wrong action's encoder",
        'np.einsum("bxk,axl->bakl"',
        'np.einsum("bxk,axl->abkl"',
        "after b comes a: f of b, g of a",
        f"{BRUTE_FORCE} {MULTI}",
    ),
    (
        "operator rollout under a uniform law",
        "weighted = embedding.column_weight[:, :, None] * embedding.targets",
        "weighted = embedding.targets / embedding.n_states",
        "T_a = sum_x w+(x) g f^T",
        f"{BRUTE_FORCE} {MULTI}",
    ),
    (
        "latent step transposed",
        "step = np.swapaxes(embedding.predictor_matrices(CoOccurrence.exact(mdp)), 1, 2)",
        "step = embedding.predictor_matrices(CoOccurrence.exact(mdp))",
        "z W^T for row vectors",
        f"{BRUTE_FORCE} {REFUTED}",
    ),
    (
        "regret averaged uniformly",
        "float(self.start_weight @ pairs @ self.goal_weight)",
        "float(pairs.mean())",
        "starts and goals have laws",
        f"{SINGLE} planning/test_goal.py",
    ),
    (
        "goal planner ignores the start law",
        'as_weights("starts", starts, mdp.n_states, mdp.start)',
        'as_weights("starts", None, mdp.n_states, mdp.start)',
        "starts are what was asked for",
        SINGLE,
    ),
    (
        "plans from the data law",
        'as_weights("starts", starts, mdp.n_states, mdp.start)',
        'as_weights("starts", starts, mdp.n_states, mdp.weight)',
        "episodes start from the start law",
        "planning/test_goal.py",
    ),
    (
        "worst sequence planned",
        "chosen, best = first_best(scores, axis=0)",
        "chosen, best = first_best(-scores, axis=0)",
        "argmax, not argmin",
        SINGLE,
    ),
)

DYNAMIC_PROGRAMMING = mutants_of(
    "planning/values.py",
    ("near ties are ties", "TIE_TOLERANCE = 1e-12", "TIE_TOLERANCE = 1e-2", "a worse action wins by its number", SINGLE),
    (
        "no tie rule",
        "return (scores >= top - TIE_TOLERANCE * (1 + np.abs(top))).argmax(axis=axis)",
        "return scores.argmax(axis=axis)",
        "rounding chooses between equal plans",
        "planning/test_values.py",
    ),
    (
        "discount missing in the model",
        "action_value = reward.T + discount * expected",
        "action_value = reward.T + expected",
        "Q = r + gamma P V",
        REWARD,
    ),
    (
        "discount missing in the evaluation",
        "reward[states, chosen] + discount * expected[chosen, states, batch_index]",
        "reward[states, chosen] + expected[chosen, states, batch_index]",
        "V = r + gamma P V",
        VALUES,
    ),
    (
        "evaluation of the first action",
        "expected[chosen, states, batch_index]",
        "expected[0 * chosen, states, batch_index]",
        "P of the action the policy takes",
        VALUES,
    ),
    (
        "values not clipped",
        "= np.clip(best, 0.0, ceiling[step]) if clip else best",
        "= best",
        "a signed model may believe anything",
        REWARD,
    ),
    (
        "values not clipped from below",
        "np.clip(best, 0.0, ceiling[step])",
        "np.minimum(best, ceiling[step])",
        "rewards in [0, 1] have no negative value",
        REWARD,
    ),
    (
        "ceiling of the next step",
        "np.clip(best, 0.0, ceiling[step])",
        "np.clip(best, 0.0, ceiling[step + 1])",
        "H - h steps are left at h",
        REWARD,
    ),
    ("minimum over actions", "best = action_value.max(axis=-2)", "best = action_value.min(axis=-2)", "V = max_a Q", REWARD),
    (
        "occupancy by the transpose",
        "law += (rows.T @ pairs[:, step, action].T).T",
        "law += (rows @ pairs[:, step, action].T).T",
        "laws move by P^T",
        VALUES,
    ),
    (
        "occupancy from the data law",
        "mdp.start if start is None",
        "mdp.weight if start is None",
        "it starts from the start law",
        "planning/test_values.py planning/test_reward.py",
    ),
    (
        "MacQueen's midpoint doubled",
        "gamma / (1 - gamma) * (low + high) / 2",
        "gamma / (1 - gamma) * (low + high)",
        "the middle of the interval is half the sum",
        QUANTECON,
    ),
    (
        "stops before the tolerance",
        "max(2 * tolerance * (1 - gamma), rounding)",
        "max(2 * tolerance, rounding)",
        "the interval is gamma span / (1 - gamma) wide",
        f"{QUANTECON} planning/test_values.py",
    ),
)

REWARD_PLANS = mutants_of(
    "planning/reward.py",
    (
        "return from the wrong start",
        "achieved = policy_values(mdp, policy, gamma)[..., 0, :] @ law",
        "achieved = policy_values(mdp, policy, gamma)[..., 0, :] @ mdp.start",
        "the start that was asked for",
        REWARD,
    ),
    (
        "optimal return one step later",
        "float(true_values[0] @ law)",
        "float(true_values[1] @ law)",
        "H steps, not H - 1",
        REWARD,
    ),
)

GOAL_BOUNDS = mutants_of(
    "theory/goal_bounds.py",
    (
        "pointwise bound without the best action",
        "return error[(plan.best_sequence, *pair)] + error[(plan.planned_sequence, *pair)]",
        "return error[(plan.planned_sequence, *pair)]",
        "the model may err on the best action alone",
        SINGLE,
    ),
    (
        "goal law not squared",
        "np.sum(goal_law**2 * exact.column_weight.max(axis=0))",
        "np.sum(goal_law * exact.column_weight.max(axis=0))",
        "Cauchy-Schwarz gives q^2",
        SINGLE,
    ),
    (
        "mean of w+ over actions",
        "np.sum(goal_law**2 * exact.column_weight.max(axis=0))",
        "np.sum(goal_law**2 * exact.column_weight.mean(axis=0))",
        "the plan may use the action with the largest w+",
        SINGLE,
    ),
    (
        "averaged bound without the root of 2",
        "float(np.sqrt(2) * reach",
        "float(reach",
        "two different actions err; attained with it",
        SINGLE,
    ),
    ("largest risk, not the sum", "np.sqrt(risks.sum())", "np.sqrt(risks.max())", "best and planned vary by pair", SINGLE),
    (
        "multi-step weights upside down",
        "scale = np.sqrt(weight)[:, None] * inverse_or_zero(np.sqrt(weight))[None, :]",
        "scale = inverse_or_zero(np.sqrt(weight))[:, None] * np.sqrt(weight)[None, :]",
        "D^1/2 P D^-1/2",
        MULTI,
    ),
    (
        "horizon off by one",
        "np.sum(beta ** np.arange(plan.horizon))",
        "np.sum(beta ** np.arange(plan.horizon - 1))",
        "T terms telescope",
        MULTI,
    ),
    (
        "growth of the model dropped",
        "np.sum(beta ** np.arange(plan.horizon))",
        "plan.horizon",
        "||B|| > 1 amplifies early errors",
        MULTI,
    ),
    (
        "goal and start weights swapped",
        "ratio = np.sqrt(reach_over_start(weight[plan.goals], weight[plan.starts]))",
        "ratio = np.sqrt(reach_over_start(weight[plan.starts], weight[plan.goals]))",
        "sqrt(w(g) / w(x))",
        MULTI,
    ),
    (
        "multi-step bound without the 2",
        "_times_risk(2 * steps * plan.average(ratio)",
        "_times_risk(steps * plan.average(ratio)",
        "best and planned sequence both err",
        MULTI,
    ),
    (
        "least error over actions",
        "error = _largest_norm(true - model)",
        "error = float(np.linalg.norm(true - model, ord=2, axis=(1, 2)).min())",
        "any action may be used",
        MULTI,
    ),
    (
        "stationarity never checked",
        "gap = max(np.abs(exact.column_weight - weight).max(), np.abs(exact.row_weight - weight).max())",
        "gap = np.abs(exact.row_weight - weight).max()",
        "stationary means w+ = w",
        MULTI,
    ),
    (
        "states without mass forgiven",
        'Assumption("w is positive everywhere", bool((exact.row_weight[0] > 0).all()))',
        'Assumption("w is positive everywhere", bool((exact.row_weight[0] > 0).any()))',
        "D^-1/2 must exist",
        MULTI,
    ),
    (
        "any rollout will do",
        'by the operator T_a", plan.rollout == "operator" or plan.horizon == 1)',
        'by the operator T_a", True)',
        "the bound is about products of Phat",
        MULTI,
    ),
    (
        "equal means under a uniform goal law",
        "means = exact.column_weight[:, plan.goals] @ plan.goal_weight",
        "means = exact.column_weight[:, plan.goals].mean(axis=1)",
        "goals have a law",
        f"{REFUTED} unit/test_bound.py",
    ),
    (
        "Euclid ranks as dot with an encoder an action",
        "bool(embedding.shared and np.ptp(norms, axis=0).max() < TOLERANCE)",
        "bool(np.ptp(norms, axis=0).max() < TOLERANCE)",
        "|f(g)| then differs by action",
        f"{REFUTED} unit/test_bound.py",
    ),
    (
        "norms of g compared over states",
        "np.ptp(norms, axis=0).max()",
        "np.ptp(norms, axis=1).max()",
        "a plan compares actions, not states",
        f"{REFUTED} unit/test_bound.py",
    ),
    (
        "printed c0 as the root of a mean",
        "mean_ratio = plan.average(np.sqrt(ratio))",
        "mean_ratio = float(np.sqrt(plan.average(ratio)))",
        "c0 = E sqrt(.); Jensen parts them",
        f"{REFUTED} unit/test_bound.py",
    ),
    (
        "printed c0 of the rarest action",
        "ratio = reach_over_start(exact.column_weight.max(axis=0)[plan.goals], exact.row_weight[0, plan.starts])\n    mean",
        "ratio = reach_over_start(exact.column_weight.min(axis=0)[plan.goals], exact.row_weight[0, plan.starts])\n    mean",
        "max over actions",
        REFUTED,
    ),
    (
        "printed c3 as a mean",
        "2 * plan.horizon * float(np.sqrt(ratio.max()))",
        "2 * plan.horizon * float(np.sqrt(ratio.mean()))",
        "c3 is the largest ratio",
        f"{REFUTED} unit/test_bound.py",
    ),
    (
        "equal marginals compared over states",
        "np.ptp(exact.column_weight, axis=0).max()",
        "np.ptp(exact.column_weight, axis=1).max()",
        "equal over actions",
        f"{REFUTED} unit/test_bound.py",
    ),
    (
        "one action a contraction is enough",
        "return _largest_norm(predicted @ np.swapaxes(target, 1, 2)) <= 1",
        "return np.linalg.norm(predicted @ np.swapaxes(target, 1, 2), ord=2, axis=(1, 2)).min() <= 1",
        "every B(a) multiplies",
        f"{REFUTED} unit/test_bound.py",
    ),
    (
        "spurious constant from 1",
        "return 2 - plan.average(largest[np.ix_(plan.starts, plan.goals)])",
        "return 1 - plan.average(largest[np.ix_(plan.starts, plan.goals)])",
        "c = 2 - E max",
        PRINTED,
    ),
    (
        "spurious constant with a mean over actions",
        "(joint**2 * inverse_or_zero(independent)).max(axis=0)",
        "(joint**2 * inverse_or_zero(independent)).mean(axis=0)",
        "max over actions",
        PRINTED,
    ),
)

PRINTED_IDENTITIES = mutants_of(
    "theory/printed_identities.py",
    (
        "Thm 3.1 with the constant's sign",
        "jepa_loss(exact, embedding)[action] - printed_risk_constant(exact)[action]",
        "jepa_loss(exact, embedding)[action] + printed_risk_constant(exact)[action]",
        "risk = loss - constant",
        LOSS,
    ),
    (
        "Thm 3.1 checks |f| under w",
        "exact.column_weight[action] @ np.sum(embedding.targets[action] ** 2, axis=1)",
        "exact.row_weight[action] @ np.sum(embedding.targets[action] ** 2, axis=1)",
        "f sees x+ ~ w+",
        LOSS,
    ),
    (
        "Thm 4.3 reachable at any norm",
        "reachable = not unit_norm or float",
        "reachable = unit_norm or float",
        "unit norms are what breaks it",
        UNIT_NORM,
    ),
)

REWARD_BOUNDS = mutants_of(
    "theory/reward_bounds.py",
    (
        "discount exponent off by one",
        "plan.discount ** np.arange(1.0, plan.horizon + 1)",
        "plan.discount ** np.arange(0.0, plan.horizon)",
        "the error at h counts from h + 1",
        REWARD,
    ),
    (
        "only the planned policy counted",
        'np.einsum("h,has,ash->", discounts, best + law, error)',
        'np.einsum("h,has,ash->", discounts, law, error)',
        "the best one is misjudged as well",
        REWARD,
    ),
    (
        "only the best policy's concentrability",
        "reach = root_best + root_planned",
        "reach = root_best + root_best",
        "the planned one visits other pairs",
        REWARD,
    ),
    (
        "values of the same step",
        "following = values[1:].T",
        "following = values[:-1].T",
        "the error at h multiplies Vhat_{h+1}",
        REWARD,
    ),
    (
        "errors cancel",
        "error = np.abs(action_values(mdp.transition, following) - phat @ following)",
        "error = action_values(mdp.transition, following) - phat @ following",
        "an expectation of |.|",
        REWARD,
    ),
    (
        "q in the place of rho",
        "inverse_rho = inverse_or_zero(rho)",
        "inverse_rho = np.broadcast_to(inverse_or_zero(q), rho.shape)",
        "C = sum d^2 / rho",
        REWARD,
    ),
    (
        "concentrability not squared",
        'np.einsum("has,as->h", law**2, inverse_rho)',
        'np.einsum("has,as->h", law, inverse_rho)',
        "C = sum d^2 / rho",
        REWARD,
    ),
    (
        "root of concentrability dropped",
        "root_planned = np.sqrt(_concentrability(law, rho, inverse_rho))",
        "root_planned = _concentrability(law, rho, inverse_rho)",
        "Cauchy-Schwarz gives sqrt(C)",
        REWARD,
    ),
    (
        "norm of values under a uniform law",
        "size = np.sqrt(q @ following**2)",
        "size = np.sqrt(np.mean(following**2, axis=0))",
        "||V||_{2,q}",
        REWARD,
    ),
    (
        "sum of the actions' risks",
        "risk = transition_risk(exact, phat, pooled=True)",
        "risk = transition_risk(exact, phat).sum()",
        "the pooled risk weighs by rho and q",
        REWARD,
    ),
    (
        "occupancy of the best policy from elsewhere",
        "best = occupancy(mdp, plan.optimal_policy, plan.start)",
        "best = occupancy(mdp, plan.optimal_policy)",
        "both policies start where the plan does",
        REWARD,
    ),
    (
        "coverage never checked",
        "return np.where(outside, np.inf,",
        "return np.where(outside & False, np.inf,",
        "0/0 := 0 hides pairs without data",
        REWARD,
    ),
)

RISKS = mutants_of(
    "theory/risks.py",
    (
        "model transposed",
        "residual = exact.normalized - predicted @ np.swapaxes(target, 1, 2)",
        "residual = exact.normalized - target @ np.swapaxes(predicted, 1, 2)",
        "B = G F^T",
        LOSS,
    ),
    (
        "sparse risk without the 2",
        "exact.action_norms() - 2 * cross",
        "exact.action_norms() - cross",
        "(a - b)^2 = a^2 - 2ab + b^2",
        LOSS,
    ),
    ("alignment without the 2", "return -2 * alignment", "return -alignment", "L = -2 E g.f + E (g.f')^2", LOSS),
    ("alignment with the wrong sign", "return -2 * alignment", "return 2 * alignment", "L = -2 E g.f + E (g.f')^2", LOSS),
    (
        "negatives from the joint law",
        "np.sum(independent * ratio**2, axis=(1, 2))",
        "np.sum(exact.dense_joint() * ratio**2, axis=(1, 2))",
        "x' is independent of x",
        LOSS,
    ),
    (
        "size of f under w",
        "target_norm = np.sum(next_law *",
        "target_norm = np.sum(anchor_law *",
        "f sees x+ ~ w+",
        LOSS,
    ),
    ("constant 1 in Thm 3.1", "return 2 - exact.action_norms()", "return 1 - exact.action_norms()", "E|f|^2 + E|g|^2", LOSS),
    (
        "model error divided by the anchor's w+",
        "np.sum(weighted * inverse_or_zero(column), axis=(1, 2))",
        "np.sum(weighted * np.swapaxes(inverse_or_zero(column), 1, 2), axis=(1, 2))",
        "R_S = E_w sum_y (P - Phat)^2 / w+(y)",
        TOP,
    ),
    (
        "model error under a uniform law",
        "weighted = row[:, :, None] * (exact.conditional() - model) ** 2",
        "weighted = (exact.conditional() - model) ** 2 / exact.n_states",
        "R_S = E_w ...",
        TOP,
    ),
    (
        "unreachable mass forgiven",
        "return np.where(unreachable, np.inf, np.sum(",
        "return np.where(unreachable, 0.0, np.sum(",
        "1 / w+ is infinite there",
        TOP,
    ),
    (
        "pooled risk without p",
        "predicted = (np.sqrt(exact.pooled_weight)[:, :, None]",
        "predicted = (np.sqrt(exact.row_weight)[:, :, None]",
        "G = sqrt(rho) g",
        LOSS,
    ),
    (
        "chi-square over the joint law",
        "(joint - independent) ** 2 * inverse_or_zero(independent)",
        "(joint - independent) ** 2 * inverse_or_zero(joint)",
        "Pearson's divides by the expected, w w+",
        TOP,
    ),
    (
        "floor without the tail",
        "return np.sum((values[:, :dim] - kept) ** 2, axis=1) + np.sum(values[:, dim:] ** 2, axis=1)",
        "return np.sum((values[:, :dim] - kept) ** 2, axis=1)",
        "rank k misses the tail",
        UNIT_NORM,
    ),
    (
        "floor with the budget spread over all values",
        "project_to_capped_simplex(s[:dim]) for s",
        "project_to_capped_simplex(s)[:dim] for s",
        "a rank-k model spends it on k of them",
        UNIT_NORM,
    ),
)

SAMPLING = mutants_of(
    "theory/sampling_bounds.py",
    (
        "variance over N - 1",
        "np.sum(joint**2 * inverse, axis=(-2, -1))) / n_samples",
        "np.sum(joint**2 * inverse, axis=(-2, -1))) / (n_samples - 1)",
        "a mean of N has variance / N",
        VARIANCE,
    ),
    (
        "variance without the squared mean",
        "(np.sum(joint * inverse, axis=(-2, -1)) - np.sum(joint**2 * inverse, axis=(-2, -1))) / n_samples",
        "np.sum(joint * inverse, axis=(-2, -1)) / n_samples",
        "E X^2 - (E X)^2",
        VARIANCE,
    ),
    (
        "pooled variance with uniform actions",
        "(exact.action_frequency[:, None, None] * joint)",
        "(joint / exact.n_actions)",
        "rho = p w",
        VARIANCE,
    ),
    (
        "Bernstein's L without the root",
        "largest = 1 / np.sqrt(r[r > 0].min() * c[c > 0].min()) + 1",
        "largest = 1 / (r[r > 0].min() * c[c > 0].min()) + 1",
        "one sample is e e^T / sqrt(w w+)",
        VARIANCE,
    ),
    (
        "Bernstein's L without the mean",
        "np.sqrt(r[r > 0].min() * c[c > 0].min()) + 1",
        "np.sqrt(r[r > 0].min() * c[c > 0].min())",
        "centring adds ||Mbar|| = 1",
        VARIANCE,
    ),
    (
        "smaller of the two variances",
        "max(by_row.max(), by_column.max())",
        "min(by_row.max(), by_column.max())",
        "matrix Bernstein takes the larger",
        VARIANCE,
    ),
    (
        "Bernstein's dimension halved",
        "size = np.count_nonzero(r) + np.count_nonzero(c)",
        "size = np.count_nonzero(r)",
        "d = rows + columns",
        VARIANCE,
    ),
    (
        "tail bound with the constant of the mean",
        "factor = 1 if failure_probability is None else 2",
        "factor = 1",
        "2 L log / 3N with probability 1 - delta",
        VARIANCE,
    ),
    (
        "oracle inequality at rank k",
        "2 * np.sqrt(2 * dim) * error_norm",
        "2 * np.sqrt(dim) * error_norm",
        "the difference of two rank-k matrices has rank 2k",
        ORACLE,
    ),
    (
        "oracle inequality with the tail unrooted",
        "float(np.sqrt(missed) +",
        "float(missed +",
        "a bound on sqrt(R_S)",
        ORACLE,
    ),
    (
        "Rademacher factor 2",
        "return ceiling * _unit_rademacher(",
        "return 2 * ceiling * _unit_rademacher(",
        "(1/N) sum_i sigma_i f(x_i), no 2",
        PRINTED,
    ),
    (
        "Rademacher walk one step short",
        "(1 - weight[:, None] * (1 - cosine)) ** n_samples",
        "(1 - weight[:, None] * (1 - cosine)) ** (n_samples - 1)",
        "N signs",
        PRINTED,
    ),
    (
        "Rademacher of F under w",
        "for law in (exact.row_weight, exact.column_weight)",
        "for law in (exact.row_weight, exact.row_weight)",
        "f sees x+ ~ w+",
        PRINTED,
    ),
    ("c1 with kappa squared", "32 * dim**2 * kappa**3", "32 * dim**2 * kappa**2", "32 k^2 kappa^3", PRINTED),
    ("c2 with kappa squared", "2 * dim**2 * kappa**4", "2 * dim**2 * kappa**2", "2 k^2 kappa^4", PRINTED),
    ("Rademacher at n samples", "half = max(n_samples // 2, 1)", "half = n_samples", "the proof halves the data", PRINTED),
    ("confidence without the 2", "np.log(2 / _failure(delta))", "np.log(1 / _failure(delta))", "log(2 / delta)", PRINTED),
    (
        "Thm 4.6 without T",
        "plan.average(np.sqrt(ratio)) if single else plan.horizon * float",
        "plan.average(np.sqrt(ratio)) if single else float",
        "linear in T",
        PRINTED,
    ),
    (
        "Thm 4.5 with the easiest action",
        "rademacher = max(_rademacher_pair",
        "rademacher = min(_rademacher_pair",
        "max over actions",
        PRINTED,
    ),
)

WHITENING = mutants_of(
    "theory/whitening.py",
    (
        "mean square without the 2",
        "losses.append(norms - 2 * np.sum(",
        "losses.append(norms - np.sum(",
        "|g - f|^2 = |g|^2 - 2 g.f + |f|^2",
        WHITENED,
    ),
    ("laws of g and f swapped", "for axis in (1, 0))", "for axis in (0, 1))", "g sees x ~ w, f sees x+ ~ w+", WHITENED),
    (
        "target white under w",
        "(exact.column_weight[:, :, None] * embedding.targets)",
        "(exact.row_weight[:, :, None] * embedding.targets)",
        "E f(x+) f(x+)^T, x+ ~ w+",
        WHITENED,
    ),
    (
        "centred sum one function early",
        "chosen = slice(skipped, dim + skipped)",
        "chosen = slice(0, dim)",
        "the constant function is excluded",
        WHITENED,
    ),
    (
        "whitened value of unsquared values",
        "return np.array([np.sum(1 - _leading_reached(exact, action, dim, centred)[1] ** 2)",
        "return np.array([np.sum(1 - _leading_reached(exact, action, dim, centred)[1])",
        "sum (1 - s^2)",
        WHITENED,
    ),
    (
        "threshold at lambda, not at 2 lambda",
        "_unpredicted(singular_values) / (2 * _check_penalty(penalty))",
        "_unpredicted(singular_values) / _check_penalty(penalty)",
        "collapse iff s^2 <= 1 - 2 lam",
        SOFT,
    ),
    (
        "soft value with half the gain",
        "np.minimum(cost / (4 * price), 1.0)",
        "np.minimum(cost / (8 * price), 1.0)",
        "d^2 c + lam (d^2 - 1)^2 = c - c^2 / 4 lam",
        SOFT,
    ),
    (
        "collapsed coordinates for free",
        "np.where(cost < 2 * price, kept, price)",
        "np.where(cost < 2 * price, kept, 0.0)",
        "lam (0 - 1)^2 each",
        SOFT,
    ),
    (
        "squared scale taken for the scale",
        "scale = np.sqrt(soft_whitening_scales(np.minimum(values, 1.0), penalty))",
        "scale = soft_whitening_scales(np.minimum(values, 1.0), penalty)",
        "the formula gives d^2",
        SOFT,
    ),
)

LINEAR_PREDICTION = mutants_of(
    "theory/linear_predictor.py",
    (
        "regression for the best predictor",
        "half = np.linalg.solve(after, np.swapaxes(cross, 1, 2))",
        "half = np.swapaxes(cross, 1, 2)",
        "the spectral loss asks for C11^-1 as well",
        LINEAR,
    ),
    (
        "C00 and C11 swapped",
        "for w in (exact.row_weight, exact.column_weight))",
        "for w in (exact.column_weight, exact.row_weight))",
        "x ~ w, x+ ~ w+",
        LINEAR,
    ),
    (
        "cross moment transposed",
        "encoder.T @ (joint @ encoder) for",
        "encoder.T @ (joint.T @ encoder) for",
        "C01 = E f(x) f(x+)^T",
        LINEAR,
    ),
    (
        "VAMP-1 for VAMP-2",
        "np.sum(whitened**2, axis=(1, 2))",
        "np.linalg.norm(whitened, 'nuc', axis=(1, 2))",
        "sum s^2",
        LINEAR,
    ),
    (
        "VAMP-2 whitened on one side",
        "whitened = np.linalg.solve(np.linalg.cholesky(after), np.swapaxes(whitened, 1, 2))",
        "whitened = np.swapaxes(whitened, 1, 2)",
        "C00^-1/2 C01 C11^-1/2",
        LINEAR,
    ),
)

EMPIRICAL = mutants_of(
    "theory/empirical.py",
    (
        "distinct pairs over n^2",
        "(pairs.sum() - np.trace(pairs)) / (n * (n - 1))",
        "(pairs.sum() - np.trace(pairs)) / n**2",
        "there are n (n - 1) of them",
        UNBIASED,
    ),
    (
        "pairs of an anchor with itself kept",
        "(pairs.sum() - np.trace(pairs)) / (n * (n - 1))",
        "pairs.sum() / (n * (n - 1))",
        "x' must be independent of x",
        UNBIASED,
    ),
    (
        "alignment over n - 1",
        "alignment = np.sum(following * ratio) / n",
        "alignment = np.sum(following * ratio) / (n - 1)",
        "a mean over n anchors",
        UNBIASED,
    ),
    (
        "negatives of the same anchor",
        "_draw(rng, conditional[pairs[:, 1]])",
        "_draw(rng, conditional[pairs[:, 0]])",
        "z' follows the other anchor of the pair",
        UNBIASED,
    ),
    ("tuples without the 2", "np.mean(-2 * aligned +", "np.mean(-aligned +", "L = -2 E g.f + E (g.f')^2", UNBIASED),
    ("tuples without the square", "aligned + independent**2", "aligned + independent", "E (g.f')^2", UNBIASED),
)

SIMULATION_LEMMA = mutants_of(
    "theory/simulation.py",
    (
        "L1 distance for total variation",
        ".sum(axis=2).max() / 2)",
        ".sum(axis=2).max())",
        "TV is half of L1",
        SIMULATION,
    ),
    (
        "tight lemma without the stay",
        "return gamma * eps * ceiling / (1 - gamma * (1 - eps)),",
        "return gamma * eps * ceiling / (1 - gamma * (1 + eps)),",
        "worlds that have not parted stay together with 1 - eps",
        SIMULATION,
    ),
    (
        "value ceiling one step early",
        "following = value_ceiling(horizon, gamma)[1:]",
        "following = value_ceiling(horizon, gamma)[:-1]",
        "what is left after the parting",
        SIMULATION,
    ),
    (
        "values parted without discount",
        "return np.asarray(gamma * gap,",
        "return np.asarray(gap,",
        "gamma (I - gamma P)^-1",
        SIMULATION,
    ),
    (
        "values parted along the model",
        "gap = np.linalg.solve(np.eye(n_states) - gamma * chain,",
        "gap = np.linalg.solve(np.eye(n_states) - gamma * phat,",
        "the inverse is that of the true chain",
        SIMULATION,
    ),
)

CLOSED_FORMS = mutants_of(
    "generators/closed_form.py",
    (
        "real part of the transform",
        "np.abs(np.fft.fftn(table))",
        "np.abs(np.fft.fftn(table).real)",
        "an asymmetric kernel has phases",
        CLOSED,
    ),
    (
        "two-state ratio upside down",
        "np.sqrt(w.prod() / after.prod()) if",
        "np.sqrt(after.prod() / w.prod()) if",
        "sqrt(w1 w2 / (w1+ w2+))",
        CLOSED,
    ),
    (
        "two-state ratio without its root",
        "abs(1 - p - q) * np.sqrt(w.prod() / after.prod())",
        "abs(1 - p - q) * (w.prod() / after.prod())",
        "singular values take roots of masses",
        CLOSED,
    ),
    ("block law transposed", "after = w @ table", "after = table @ w", "w+ = w P", CLOSED),
    (
        "powers of the squared correlation",
        'check_fraction("abs(correlation)", abs(correlation)) **',
        'check_fraction("abs(correlation)", correlation**2) **',
        "s_i = |rho|^i",
        CLOSED,
    ),
    (
        "squared persistence",
        "np.full(n_values - 1, keep)",
        "np.full(n_values - 1, keep**2)",
        "the nuisance has singular value c",
        CLOSED,
    ),
    (
        "states counted for images",
        "np.unique(images).size",
        "images.size",
        "one singular value for each image",
        f"{CLOSED} {DETERMINISTIC}",
    ),
    (
        "one step too many",
        '** check_count("n_steps", n_steps)',
        '** (check_count("n_steps", n_steps) + 1)',
        "s^H",
        CLOSED,
    ),
)

COUNTEREXAMPLES = mutants_of(
    "generators/counterexamples.py",
    (
        "angle on the wrong action",
        "np.where(np.arange(n_states) == 0, 0.0,",
        "np.where(np.arange(n_states) != 0, 0.0,",
        "th_0 = 0 and the others turn: else all actions but one tie",
        REFUTED,
    ),
    (
        "predictor in the right gauge",
        "linear = inverse.T @ permutations",
        "linear = gauge @ permutations",
        "Q Perm^T Q^-1 rolls out correctly: no counterexample",
        REFUTED,
    ),
    ("encoder transposed", "target = np.sqrt(3) * gauge.T", "target = np.sqrt(3) * gauge", "rows are f(x) = Q e_x", REFUTED),
    (
        "the other rare state misjudged",
        "believed[:, 1] = believed[::-1, 1]",
        "believed[:, 2] = believed[::-1, 2]",
        "plans go through s, not r",
        REFUTED,
    ),
    (
        "second row reversed",
        "np.stack([leave_1, 1 - leave_1], axis=-1)",
        "np.stack([1 - leave_1, leave_1], axis=-1)",
        "q is the chance to leave state 1",
        f"{REFUTED} {CLOSED}",
    ),
)

ALTERNATING = mutants_of(
    "factorizers/als.py",
    (
        "f step without the root of c",
        "right = sum(np.sqrt(c)[:, None] *",
        "right = sum(c[:, None] *",
        "normal equations of G f^T diag(c)^1/2",
        SHARED,
    ),
    (
        "f step with the roots of c",
        "systems = np.tensordot(weight.T, grams, axes=1)",
        "systems = np.tensordot(np.sqrt(weight).T, grams, axes=1)",
        "the quadratic term carries c",
        SHARED,
    ),
    (
        "F_a without the root of c",
        "return np.sqrt(weight)[:, :, None] * f",
        "return weight[:, :, None] * f",
        "F_a = diag(c_a)^1/2 f",
        SHARED,
    ),
) + mutants_of(
    "factorizers/fit.py",
    (
        "blocks weighted by p",
        "root = np.sqrt(cooc.action_frequency)",
        "root = cooc.action_frequency",
        "sqrt(p) squares to p",
        SHARED,
    ),
)

INPUT_LEVEL = mutants_of(
    "input_level.py",
    (
        "critical scale upside down",
        "np.sqrt(n_values / n_task * task / nuisance)",
        "np.sqrt(n_task / n_values * task / nuisance)",
        "c = (s / p) sqrt(m / n)",
        "unit/test_input_level.py",
    ),
    (
        "pixels centred at a plain mean",
        "mean = column_weight @ pixels",
        "mean = pixels.mean(axis=0)",
        "x+ ~ w+",
        f"{INPUT} unit/test_input_level.py",
    ),
)

SIGREG, GOLDEN, DDP = "losses/test_losses_sigreg.py", "parity/test_sigreg_golden.py", "losses/test_sigreg_ddp.py"
SPECTRAL_TEST, SUBSPACE_TEST, WHITE_TEST = (
    f"losses/test_losses_{name}.py" for name in ("spectral", "subspaces", "whitening")
)

LOSSES = (
    mutants_of(
        "losses/_characteristic.py",
        ("gradient not divided by N", "result.div_(views.shape[-2])", "result", "phi is a mean over N", SIGREG),
        (
            "gradient of cos and sin swapped",
            "gradient[1] * knots, gradient[0] * knots",
            "gradient[0] * knots, gradient[1] * knots",
            "d cos(th) = -t sin(th)",
            SIGREG,
        ),
        (
            "Horner stops early",
            "range(n_knots - 2, 0, -1)",
            "range(n_knots - 2, 1, -1)",
            "the knot t_1 has a gradient",
            SIGREG,
        ),
        (
            "gradient averaged twice over ranks",
            "return gradient, None\n",
            "return gradient / 2, None\n",
            "DDP divides by the number of ranks already",
            DDP,
        ),
        ("sum over ranks", "return total / torch.distributed.get_world_size(group)", "return total", "phi is a mean", DDP),
    )
    + mutants_of(
        "losses/sigreg.py",
        (
            "factor of one rank",
            "torch.distributed.get_world_size(group))",
            "1)",
            "the joint batch has N times ranks samples",
            DDP,
        ),
        ("ends at full weight", "quadrature[-1] /= 2", "quadrature[-1] /= 1", "trapezoid rule", f"{SIGREG} {GOLDEN}"),
        (
            "directions not unit",
            "return drawn / drawn.norm(dim=0)",
            "return drawn",
            "a view of a white law has variance 1",
            GOLDEN,
        ),
    )
    + mutants_of(
        "losses/spectral.py",
        (
            "diagonal kept",
            "(n * square - agreement.square().mean(-1)) / (n - 1)",
            "square",
            "i = j is no independent pair",
            SPECTRAL_TEST,
        ),
    )
    + mutants_of(
        "losses/population.py",
        (
            "second term under the joint law",
            "second_moment(target, columns, centered=False)",
            "second_moment(target, None, centered=False)",
            "f' ~ w+",
            SPECTRAL_TEST,
        ),
        (
            "marginals swapped",
            "rows, columns = joint.sum(-1), joint.sum(-2)",
            "rows, columns = joint.sum(-1), joint.sum(-1).flip(-1)[..., : joint.shape[-1]]",
            "f ~ column marginal",
            SPECTRAL_TEST,
        ),
    )
    + mutants_of(
        "losses/whitening.py",
        (
            "gradient of the root of C",
            "rotated / (products * sums)",
            "rotated / sums",
            "f[a, b] = -1 / (ab (a + b))",
            WHITE_TEST,
        ),
        (
            "rank not checked",
            'on_singular == "raise" and',
            "False and",
            "a singular covariance has no inverse root",
            WHITE_TEST,
        ),
    )
    + mutants_of(
        "losses/subspaces.py",
        (
            "mean of the subspaces",
            "identity_like(views)).square().sum((-3, -2, -1))",
            "identity_like(views)).square().sum((-2, -1)).mean(-1)",
            "blocks decouple under the sum",
            SUBSPACE_TEST,
        ),
        (
            "rows scaled by their number",
            "drawn / dim**0.5",
            "drawn / dim",
            "a row of D standard normal entries has a length of about sqrt(D)",
            SUBSPACE_TEST,
        ),
        (
            "one draw for all",
            '(1, dim) if kind == "partition"',
            '(1, dim) if kind != "none"',
            "the published draws are independent",
            SUBSPACE_TEST,
        ),
    )
    + mutants_of(
        "losses/published.py",
        (
            "strength not times D",
            "SigregSettings(strength * dim,",
            "SigregSettings(strength,",
            "theirs is a mean over D",
            SIGREG,
        ),
    )
)

JEPA, RANK, COLLAPSED = "jepa/test_training.py", "theory/test_effective_dimension.py", "theory/test_sigreg_collapse.py"

TRAINED = (
    mutants_of(
        "jepa/objective.py",
        ("padding counted", "centered=config.centered) - n_padded", "centered=config.centered)",
         "a padded coordinate is no coordinate of the run", JEPA),
        ("batch law", "taken(target, columns)\n", "taken(target, columns * 0)\n",
         "the target of a transition is its own next state", JEPA),
    )
    + mutants_of(
        "jepa/measures.py",
        ("scale kept", "(root)[:, None] * basis * (sizes", "(root)[:, None] * (basis * sizes) * (sizes",
         "the best prediction of an encoder must not depend on its scale", JEPA),
    )
    + mutants_of(
        "theory/sigreg_collapse.py",
        ("window twice", "normal * (1 - normal - lost) * knots**2", "normal**2 * (1 - normal - lost) * knots**2",
         "the window enters once", COLLAPSED),
    )
)  # fmt: skip


MUTANTS = [
    *(WORLD + DATA + MATRICES + EMBEDDING + LINALG + GOALS + DYNAMIC_PROGRAMMING + REWARD_PLANS),
    *(GOAL_BOUNDS + PRINTED_IDENTITIES + REWARD_BOUNDS + RISKS + SAMPLING),
    *(WHITENING + LINEAR_PREDICTION + EMPIRICAL + SIMULATION_LEMMA),
    *(LOSSES + TRAINED + TRAINED_MUTANTS),
    *HORIZON_MUTANTS,
    *DIAGNOSIS_MUTANTS,
    *TABLE_A_MUTANTS,
    *PRICE_MUTANTS,
    *PLANNING_MUTANTS,
    *WORLDS_MUTANTS,
    *NEGATIVES_MUTANTS,
    *RATE_MUTANTS,
    *PHASE_MUTANTS,
    *(CLOSED_FORMS + COUNTEREXAMPLES + ALTERNATING + INPUT_LEVEL),
]
