"""Wrong versions of what a plan costs and of where its search begins; see mutants.py."""

from kinds import mutants_of

NOISE = "pixels/planning/test_recorded_noise.py"
REPLANNING, PROPOSALS = "pixels/planning/test_replanning.py", "pixels/planning/test_proposals.py"
EXPERIMENT, TABLES = "pixels/planning/test_planner_experiment.py", "sweep/test_results.py"

PLANNING_MUTANTS = (
    mutants_of(
        "pixels/planning/latent.py",
        ("farthest for closest", 'costs.amin(-1) if kind == "closest"', 'costs.amax(-1) if kind == "closest"',
         "the closest approach is the least distance", REPLANNING),
        ("the first block for the last", 'predicted[:, -1:] if kind == "end"', 'predicted[:, :1] if kind == "end"',
         "the published cost reads the last predicted latent", REPLANNING),
        ("a first mean that is ignored", "first = mean.to(first)", "first = torch.zeros_like(first)",
         "the search begins where it is told to", f"{REPLANNING} {PROPOSALS}"),
    )
    + mutants_of(
        "pixels/planning/recorded_noise.py",
        ("no shrinkage", "(1 - shrinkage) * correlation", "correlation",
         "the shrinkage is the identity's share", NOISE),
        ("the factor turned round", "torch.linalg.cholesky(mixed).float()", "torch.linalg.cholesky(mixed).mT.float()",
         "L L^T is the correlation", NOISE),
    )
    + mutants_of(
        "pixels/planning/warm_start.py",
        ("a plan that is not moved on", "plan[..., executed:, :], torch.zeros_like(plan[..., :executed, :])",
         "plan[..., : plan.shape[-2] - executed, :], torch.zeros_like(plan[..., :executed, :])",
         "what was carried out is left out", REPLANNING),
        ("the same memory for all", "own[LAST] = plan", "own[LAST] = plans[0].detach()",
         "each episode keeps its own plan", REPLANNING),
    )
    + mutants_of(
        "pixels/planning/simulator.py",
        ("a block cut short", "range(action_block, n_actions + 1, action_block)",
         "range(action_block, n_actions, action_block)",
         "the last block counts, too", REPLANNING),
    )
    + mutants_of(
        "pixels/planning/proposals.py",
        ("no offset", "mean - middle @ slope", "mean", "the line passes through the means", PROPOSALS),
        ("a penalty without scale", "ridge * covariance.diagonal().mean()", "ridge",
         "the penalty is in units of the inputs' variance", PROPOSALS),
        ("units turned round", "wanted.normalize(own.denormalize(", "own.normalize(wanted.denormalize(",
         "a policy's actions come in its own units", PROPOSALS),
    )
    + mutants_of(
        "pixels/runs.py",
        ("a policy of another world", "if trained[0] != trained[1]:", "if False:",
         "a cloned policy of other pictures or actions is refused", PROPOSALS),
    )
    + mutants_of(
        "sweep/results.py",
        ("the emptiest row", "notna().sum(axis=1)", "isna().sum(axis=1)", "what the fullest row has stands", TABLES),
    )
    + mutants_of(
        "success_rates.py",
        ("ties in cost", "np.lexsort((-gains, costs))", "np.argsort(costs, kind='stable')",
         "of two that cost the same only the better one stays", EXPERIMENT),
    )
)  # fmt: skip
