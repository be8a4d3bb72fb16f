"""Wrong arguments, generated for every public function: each gets one sentence, none a raw error, silence or a hang.

A table holds one valid call of each function. Every argument is then replaced by what cannot be meant in its place (text for
a number, a masked array, another world, ...), chosen by what the valid argument is, not by what the signature says. A value
that may have a meaning somewhere (an infinite number, a shorter array) may be accepted, but not end in another error.
"""

import dataclasses
import functools
import inspect
import re
import signal
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import spectral_jepa as sj
from spectral_jepa import action_search, jepa, losses, planning, point_mass, success_rates
from spectral_jepa._streams import torch_generator

SECONDS = 10
REFUSED, ALLOWED = "must be refused", "may be accepted"


@functools.cache
def things():
    """Small valid objects, made once."""
    mdp = sj.make_block(6, 3, 2, seed=0).with_unit_reward()
    exact = sj.CoOccurrence.exact(mdp)
    embedding = sj.spectral_embedding(exact, 2, shared=True)
    world = point_mass.PointMass(point_mass.PointMassSettings(n_nuisance=2, n_noise=2, batch_size=8), 0.1)
    generator = torch_generator(0)
    values = torch.randn(8, 4, generator=generator)
    start, goal = point_mass.goal_pairs(world, 2, 2, 0)
    pairs = [0, 1, 2, 3] * 2
    rows = pd.DataFrame(
        {"policy": ["a"] * 4 + ["b"] * 4, "environment": "e", "manifest": "m", "pair": pairs, "episode": pairs}
    ).assign(success=[True, False] * 4, steps=3)
    return dict(
        mdp=mdp,
        exact=exact,
        embedding=embedding,
        model=np.array(mdp.dense()),
        singular=np.array([1.0, 0.7, 0.2]),
        subspaces=np.stack([np.eye(4)[:2], np.eye(4)[2:]]),
        goal_plan=sj.plan_goals(mdp, embedding),
        reward_plan=sj.plan_rewards(mdp, np.array(mdp.dense()), horizon=3),
        latents=np.random.default_rng(0).standard_normal((60, 2)),
        clean=sj.Transitions([1, 4], [0, 0], [4, 1], 6, 1),
        values=values,
        predicted=torch.randn(8, 4, generator=generator),
        weight=torch.full((8,), 1 / 8),
        joint=torch.full((8, 8), 1 / 64),
        directions=losses.random_directions(4, 5, generator=generator),
        planes=losses.make_subspaces(4, 2, generator=generator),
        generator=generator,
        generators=[torch_generator(0)],
        plan=torch.zeros(1, 2, 2),
        world=world,
        windows=point_mass.collect_windows(world, 20, generator),
        start=start,
        goal=goal,
        rows=rows,
    )


def costs(plans):
    return plans.square().sum((2, 3))


def calls():
    """name -> (function, its valid arguments)."""
    t = things()
    exact, embedding, mdp = t["exact"], t["embedding"], t["mdp"]
    ee = dict(exact=exact, embedding=embedding)
    eep = ee | dict(plan=t["goal_plan"])
    vw = dict(values=t["values"], weight=t["weight"])
    ptw = dict(predicted=t["predicted"], target=t["values"], weight=t["weight"])
    ptj = dict(predicted=t["predicted"], target=t["values"], joint=t["joint"])
    characteristic = dict(factor=8.0, n_knots=5, t_max=3.0)
    search = dict(cost=costs, mean=t["plan"], generators=t["generators"], n_samples=8, n_iterations=2, std=1.0)
    planning_call = dict(mdp=mdp, embedding=embedding, horizon=1, score="dot", rollout="operator")
    planning_call |= dict(starts=np.array([0]), goals=np.array([1]))
    table = {
        # generators
        sj.autoregressive_singular_values: dict(n_states=4, correlation=0.5),
        sj.block_singular_values: dict(latent=np.full((2, 2), 0.5), block_weight=np.array([0.5, 0.5]), n_states=4),
        sj.circulant_singular_values: dict(kernel=np.array([0.5, 0.5, 0.0])),
        sj.deterministic_singular_values: dict(successor=np.array([1, 0, 2]), weight=np.full(3, 1 / 3)),
        sj.horizon_singular_values: dict(singular_values=t["singular"], n_steps=2),
        sj.latent_chain: dict(mdp=mdp),
        sj.make_autoregressive: dict(n_states=4, correlation=0.5, discount=0.9),
        sj.make_block: dict(
            n_states=6, n_blocks=3, n_actions=2, noise=0.1, concentration=0.3, n_rewarded=2, discount=0.9, seed=0
        ),
        sj.make_dirichlet: dict(n_states=6, n_actions=2, concentration=1.0, n_rewarded=2, discount=0.9, seed=0),
        sj.make_four_rooms: dict(size=7, slip=0.1, discount=0.9),
        sj.make_garnet: dict(n_states=6, n_actions=2, branching=2, sparse=False, n_rewarded=2, discount=0.9, seed=0),
        sj.make_grid: dict(text="S.\n.G", slip=0.1, discount=0.9),
        sj.make_low_rank: dict(
            n_states=6, rank=2, n_actions=2, concentration=0.3, noise=0.1, n_rewarded=2, discount=0.9, seed=0
        ),
        sj.make_permutation: dict(n_states=4, n_actions=2, discount=0.9, seed=0),
        sj.make_reset: dict(n_states=4, noise=0.1, discount=0.9),
        sj.make_ring: dict(n_states=4, slip=0.2, n_actions=3, discount=0.9),
        sj.make_scatter: dict(n_states=4, reach=0.2, discount=0.9),
        sj.make_torus: dict(side=3, slip=0.2, n_actions=4, discount=0.9),
        sj.make_two_state: dict(p=0.3, q=0.2, weight=np.array([0.5, 0.5]), discount=0.9),
        sj.nuisance_singular_values: dict(task=t["singular"], n_values=2, kind="markov", persistence=0.9),
        sj.rare_outcome_counterexample: dict(rarity=0.1),
        sj.rare_state_counterexample: dict(rarity=1e-3),
        sj.reset_embedding_arrays: dict(n_states=4, angle=0.05),
        sj.two_state_singular_values: dict(p=0.3, q=0.2, weight=np.array([0.5, 0.5])),
        sj.with_horizon: dict(mdp=mdp, n_steps=2),
        sj.with_leap: dict(mdp=mdp, reach=0.2),
        sj.with_nuisance: dict(mdp=mdp, n_values=2, kind="markov", persistence=0.9),
        # theory
        sj.averaged_single_step_bound: eep,
        sj.bernstein_bound: dict(exact=exact, n_samples=10, failure_probability=0.1, shared=False),
        sj.bernstein_price: dict(data=t["clean"], failure_probability=0.1, shared=True),
        sj.bootstrap_price: dict(data=t["clean"], quantile=0.5, n_draws=2, shared=True, seed=0),
        sj.held_out_price: dict(data=t["clean"], prices=np.array([0.1, 0.5]), n_folds=2, shared=True, seed=0),
        sj.soft_threshold_bound: dict(exact=exact, price=0.2, error=np.array([0.1, 0.05]), action=0, keep_constant=True),
        sj.best_linear_predictor: dict(exact=exact, target=np.array(embedding.target)),
        sj.chi_square_information: dict(exact=exact),
        sj.clip_contraction: dict(matrix=np.eye(3)),
        sj.concentrability_horizon_bound: eep,
        sj.discounted_horizon_bound: dict(
            exact=exact, dim=2, reward=np.arange(6.0), start=np.full(6, 1 / 6), discount=0.9, horizon=3
        ),
        sj.draw_tuples: dict(exact=exact, anchors=np.array([0, 1, 2]), action=0, seed=0),
        sj.effective_rank: dict(second_moment=np.eye(3)),
        sj.empirical_risk: ee | dict(anchors=np.array([0, 1, 2]), action=0, distinct_pairs=True),
        sj.euclidean_regret_ceiling: dict(n_states=4),
        sj.euclidean_single_step_bound: eep,
        sj.expected_squared_error: dict(exact=exact, n_samples=10, shared=False),
        sj.horizon_free_bound: eep | dict(shared=False, gap=True),
        sj.horizon_free_error: dict(left_out=0.3, horizon=2, shared=False),
        sj.horizon_free_factor: dict(left_out=0.3, horizon=2, shared=False, contraction=0.9),
        sj.independent_constraints: dict(subspaces=t["subspaces"]),
        sj.jepa_loss: ee,
        sj.linear_covariances: dict(exact=exact, target=np.array(embedding.target)),
        sj.minimax_risk_lower_bound: dict(n_states=6, dim=3, n_samples=10),
        sj.minimax_risk_upper_bound: dict(n_states=6, dim=3, n_samples=10),
        sj.mse_loss: ee,
        sj.multi_step_bound: eep,
        sj.noisy_horizon_error: dict(left_out=0.5, error_norm=0.1, horizon=3, clipped=True),
        sj.oracle_bound: dict(exact=exact, dim=2, error_norm=0.1, action=0),
        sj.outcome_chi_square: dict(exact=exact),
        sj.packing_bayes_risk: dict(
            n_states=6, dim=2, n_samples=5, values=np.array([-0.5, 0.5]), probabilities=np.array([0.5, 0.5])
        ),
        sj.packing_kernels: dict(coordinates=np.full((3, 1), 0.5), n_states=6),
        sj.packing_strength: dict(n_states=6, dim=3, n_samples=10),
        sj.partition_value: dict(singular_values=t["singular"], n_subspaces=1, subspace_dim=2, penalty=1.0, centred=False),
        sj.pataki_rank_bound: dict(n_subspaces=2, subspace_dim=2, dim=4),
        sj.pointwise_single_step_bound: eep,
        sj.pooled_action_risks: dict(exact=exact, transition=t["model"]),
        sj.pooled_risk: ee,
        sj.pooled_single_step_bound: eep,
        sj.printed_approximation_error: dict(exact=exact, dim=2, action=0, unit_norm=False),
        sj.printed_chain_bound: dict(
            exact=exact, dim=2, n_samples=10, plan=t["goal_plan"], ceiling=2.0, failure_probability=0.1,
            spurious_constant=True,
        ),
        sj.printed_multi_step_bound: eep,
        sj.printed_risk_constant: dict(exact=exact),
        sj.printed_risk_identity: ee | dict(action=0),
        sj.printed_sample_bound: dict(exact=exact, dim=2, n_samples=10, ceiling=2.0, action=0, failure_probability=0.1),
        sj.printed_single_step_bound: eep,
        sj.printed_spurious_constant: dict(exact=exact, plan=t["goal_plan"]),
        sj.rademacher_complexity: dict(weight=np.array([0.5, 0.5]), n_samples=10, ceiling=1.0),
        sj.recovery_deficit_bound: dict(excess=0.1, correlations=np.array([0.9, 0.85])),
        sj.reward_bound_values: dict(mdp=mdp, exact=exact, model=t["model"], plan=t["reward_plan"]),
        sj.reward_bounds: dict(mdp=mdp, exact=exact, model=t["model"], plan=t["reward_plan"]),
        sj.sigreg_collapse_threshold: dict(dim=4, strength=0.1, factor=1.0, n_knots=5, t_max=3.0, batch_size=8),
        sj.mixture_cost: dict(share=np.array([0.0, 0.5]), n_knots=5, t_max=3.0),
        sj.plane_filling_error: dict(correlation=0.9, order=2, n_terms=5),
        sj.quadratic_margins: dict(first=0.9, second=0.1, strength=0.1, factor=1.0, n_knots=5, t_max=3.0),
        sj.sigreg_global_slope: dict(n_knots=5, t_max=3.0, batch_size=8),
        sj.sigreg_lower_bound: dict(
            trace=0.5, dim=2, factor=1.0, batch_size=8, directions=np.eye(2), n_knots=5, t_max=3.0
        ),
        sj.sigreg_phase: dict(
            second_value=0.5, dim=2, strength=0.1, factor=1.0, batch_size=8, directions=np.eye(2), n_knots=5, t_max=3.0
        ),
        sj.sigreg_slope: dict(n_knots=5, t_max=3.0, batch_size=8),
        sj.shared_encoder_worst_case: dict(left_out=0.5, horizon=2, scale=1.0),
        sj.sharp_oracle_bound: dict(exact=exact, dim=2, error_norm=0.1, action=0),
        sj.sigreg_collapse_threshold: dict(dim=4, strength=0.1, factor=1.0, n_knots=5, t_max=3.0),
        sj.sigreg_slope: dict(n_knots=5, t_max=3.0),
        sj.simulation_bound_values: dict(error=0.1, discount=0.9, horizon=3),
        sj.simulation_bounds: dict(mdp=mdp, model=t["model"], discount=0.9, horizon=3),
        sj.soft_whitening_embedding: dict(exact=exact, dim=2, penalty=0.5, centred=False, shared=False),
        sj.soft_whitening_loss: ee | dict(penalty=0.5),
        sj.soft_whitening_scales: dict(singular_values=t["singular"], penalty=0.5),
        sj.soft_whitening_value: dict(singular_values=t["singular"], penalty=0.5),
        sj.spectral_loss: ee,
        sj.spectral_risk: ee,
        sj.steep_spectrum_ratio: dict(subspaces=t["subspaces"]),
        sj.subspace_rank_bound: dict(n_subspaces=2, subspace_dim=2, dim=4),
        sj.subspace_whitening_embedding: dict(exact=exact, loadings=np.eye(3), centred=False, shared=True),
        sj.subspace_whitening_loss: ee | dict(subspaces=np.eye(2)[None], penalty=0.5, shared=False),
        sj.subspace_whitening_optimum: dict(
            singular_values=np.array([1.0, 0.7, 0.4, 0.2]), subspaces=t["subspaces"], n_starts=1, seed=0
        ),
        sj.target_second_moment: ee,
        sj.transition_error: dict(mdp=mdp, model=t["model"]),
        sj.transition_risk: dict(exact=exact, transition=t["model"], pooled=False),
        sj.tuple_risk: dict(
            embedding=embedding, anchors=np.array([0]), successors=np.array([1]), negatives=np.array([2]), action=0
        ),
        sj.two_subspace_eigenvalues: dict(subspaces=t["subspaces"]),
        sj.two_vector_form: dict(true=np.ones(3), model=np.ones(3), left_out=0.3, scale=1.0),
        sj.unit_norm_risk_floor: dict(exact=exact, dim=2),
        sj.value_difference: dict(true=t["model"][0], model=t["model"][1], reward=np.array(mdp.reward[:, 0]), discount=0.9),
        sj.vamp2_score: dict(exact=exact, target=np.array(embedding.target)),
        sj.whitened_mse_value: dict(exact=exact, dim=2, centred=False, shared=False),
        # advice
        sj.advise: dict(
            latents=t["latents"][:-1], next_latents=t["latents"][1:], actions=np.arange(59) % 2,
            episodes=np.arange(59) // 6, predicted=t["latents"][1:], products=False, regularizer=sj.Regularizer(),
            n_folds=2, confidence=0.95, seed=0,
        ),
        sj.Regularizer: dict(
            kind="subspace_sigreg", strength=0.09, batch_size=8, factor=1.0, n_subspaces=2, n_knots=5, t_max=3.0
        ),
        # planning and models
        sj.critical_nuisance_scale: dict(task_value=0.5, persistence=0.9, n_task=5, n_values=3, noise=0.1),
        sj.goal_regret: planning_call,
        sj.plan_goals: planning_call,
        sj.plan_rewards: dict(mdp=mdp, model=t["model"], horizon=3, discount=0.9, start=np.array([0])),
        sj.product_observations: dict(task=np.eye(3), nuisance=np.eye(2), nuisance_scale=1.0, task_scale=1.0),
        sj.reduced_rank_regression: dict(cooc=exact, observation=np.eye(6), shared=False),
        sj.reward_regret: dict(mdp=mdp, embedding=embedding, relative=False, horizon=3, discount=0.9, start=np.array([0])),
        sj.sample_transitions: dict(mdp=mdp, n_per_action=5, seed=0),
        sj.soft_threshold_embedding: dict(
            cooc=exact, price=np.array([0.1, 0.2]), shared=False, keep_constant=True, seed=0
        ),
        sj.spectral_embedding: dict(cooc=exact, dim=2, shared=False, seed=0),
        sj.spectrum: dict(cooc=exact, dim=2, shared=False, seed=0),
        sj.tail: dict(cooc=exact, dim=2, shared=False),
        # jepa
        jepa.encoder_angle: dict(data=exact, encoded=np.array(embedding.target), gap=0.01, centered=False),
        jepa.n_parameters: dict(config=jepa.JepaConfig(), run=jepa.Run(2), n_states=6, n_actions=2),
        jepa.optimal_loss: dict(data=exact, config=jepa.JepaConfig(), dim=2, strength=1.0),
        jepa.refit: dict(data=exact, encoded=np.array(embedding.target)),
        jepa.train_jepa: dict(
            data=exact, runs=[jepa.Run(2)], config=jepa.JepaConfig(n_steps=2), device="cpu", dtype=torch.float64,
            checkpoint_every=5, progress=False,
        ),
        # losses
        losses.covariance_penalty: vw,
        losses.ema_update: dict(target_tensors=[torch.zeros(2)], online_tensors=[torch.ones(2)], decay=0.5),
        losses.epps_pulley: dict(views=t["values"], weight=t["weight"]) | characteristic,
        losses.expected_negatives_spectral_loss: ptj | dict(negatives=torch.ones(1, 8)),
        losses.expected_prediction_loss: ptj | dict(stop_gradient=False),
        losses.expected_sigreg: vw | dict(directions=t["directions"], batch_size=4) | characteristic,
        losses.expected_spectral_loss: ptj,
        losses.from_lewm: dict(strength=0.09, batch_size=8, dim=4, n_slices=5, n_knots=5, t_max=3.0),
        losses.make_subspaces: dict(
            dim=4, n_subspaces=2, kind="orthogonal", subspace_dim=2, generator=t["generator"], dtype=torch.float32
        ),
        losses.negatives_spectral_loss: ptw | dict(negatives=t["values"], negative_weight=t["weight"]),
        losses.orthogonality_penalty: dict(subspaces=t["planes"]),
        losses.prediction_loss: ptw | dict(stop_gradient=False),
        losses.project: dict(values=t["values"], subspaces=t["planes"]),
        losses.random_directions: dict(dim=4, n_directions=5, generator=t["generator"], dtype=torch.float32),
        losses.sample_effective_rank: vw,
        losses.second_moment: vw | dict(centered=True),
        losses.sigreg: vw | dict(directions=t["directions"]) | characteristic,
        losses.spectral_loss: ptw | dict(unbiased=False),
        losses.subspace_sigreg: vw
        | dict(subspaces=t["planes"], directions=torch.stack([losses.random_directions(2, 3, generator=t["generator"])] * 2))
        | characteristic,
        losses.subspace_whitening_penalty: vw | dict(subspaces=t["planes"], centered=True),
        losses.variance_penalty: vw | dict(target=1.0, floor=1e-4),
        losses.vicreg: vw | dict(variance=1.0, covariance=1.0, target=1.0, floor=1e-4),
        losses.whiten: vw | dict(centered=True, on_singular="raise"),
        losses.whitening_penalty: vw | dict(centered=True),
        # point mass
        point_mass.collect_windows: dict(world=t["world"], n_windows=3, generator=t["generator"], device="cpu"),
        point_mass.discretised_transitions: dict(world=t["world"], n_transitions=20, seed=0),
        point_mass.goal_pairs: dict(world=t["world"], n_steps=2, n_pairs=2, seed=0, at_rest=False),
        point_mass.reach_goals: dict(
            world=t["world"], start=t["start"], goal=t["goal"], n_steps=2, planner="random", budget=2, seed=0
        ),
        point_mass.search_actions: dict(
            cost=costs, mean=t["plan"], generators=t["generators"], settings=t["world"].settings, repeat=1
        ),
        point_mass.train: dict(world=t["world"], windows=t["windows"], arm="input", dim=2, n_updates=1, seed=0),
        # search and success
        action_search.cross_entropy_method: search | dict(n_elites=2, unbiased=True),
        action_search.model_predictive_path_integral: search | dict(temperature=0.1),
        action_search.adam: search | dict(learning_rate=0.1),
        action_search.categorical_cross_entropy_method: dict(
            cost=costs, n_episodes=1, generators=t["generators"], horizon=2, n_actions=2, n_samples=8, n_elites=2,
            n_iterations=2, smoothing=0.1, device="cpu",
        ),
        action_search.fill_normal: dict(target=torch.zeros(1, 2), generators=t["generators"]),
        success_rates.wilson_interval: dict(n_successes=3, n=10, confidence=0.95),
        success_rates.pareto_front: dict(cost=np.array([1.0, 2.0, 3.0]), gain=np.array([0.1, 0.5, 0.4])),
        success_rates.success_table: dict(rows=t["rows"], by=["policy"], confidence=0.95),
        success_rates.paired_comparison: dict(
            first=np.array([True, False, True]), second=np.array([True, True, False]), seed=0, groups=np.array([0, 1, 2]),
            confidence=0.95, n_resamples=20,
        ),
        success_rates.comparison_table: dict(rows=t["rows"], reference="a", column="policy", seed=0),
        # values
        planning.optimal_values: dict(mdp=mdp, discount=0.9, tolerance=1e-6),
        planning.backward_induction: dict(
            model=t["model"], reward=np.array(mdp.reward), horizon=3, discount=0.9, clip=False
        ),
        planning.policy_values: dict(mdp=mdp, policy=np.zeros((3, 6), dtype=int), discount=0.9),
        planning.occupancy: dict(mdp=mdp, policy=np.zeros((3, 6), dtype=int), start=np.array(mdp.start)),
        # what is checked when made
        sj.TabularMDP: dict(
            transition=t["model"], weight=np.array(mdp.weight), reward=np.array(mdp.reward), discount=0.9,
            start=np.array(mdp.start), action_frequency=np.array(mdp.action_frequency), name="a name",
        ),
        sj.Transitions: dict(
            state=np.array([0, 1]), action=np.array([0, 0]), next_state=np.array([1, 0]), n_states=2, n_actions=1,
            reward=np.array([0.0, 1.0]),
        ),
        sj.CoOccurrence: {f.name: getattr(exact, f.name) for f in dataclasses.fields(exact) if f.name != "n_samples"},
        sj.Embedding: {f.name: np.array(getattr(embedding, f.name)) for f in dataclasses.fields(embedding)},
        jepa.JepaConfig: {
            k: v for k, v in vars(jepa.JepaConfig()).items() if v is not None and isinstance(v, (int, float, bool, str))
        },
        jepa.Run: dict(dim=2, seed=0, strength=1.0, data=0),
        point_mass.PointMass: dict(settings=t["world"].settings, noise=0.1),
        point_mass.PointMassSettings: vars(point_mass.PointMassSettings()),
        point_mass.Arm: dict(space="latent", stop_gradient=False, regularizer="sigreg", strength=1.0),
        point_mass.PointMassModel: dict(
            observation_dim=4, dim=2, settings=t["world"].settings, generator=t["generator"], device="cpu"
        ),
        point_mass.noisy_population: dict(clean=t["clean"], noise=0.1),
    }  # fmt: skip
    return {f"{f.__module__.removeprefix('spectral_jepa.')}.{f.__name__}": (f, arguments) for f, arguments in table.items()}


CALLS = calls()
# What is public beside these: records that functions return; values and files, which have tests of their own; no argument.
RECORDS = {
    *(
        "Advice",
        "Analysis",
        "Assumption",
        "Bound",
        "FactorMargins",
        "GoalPlan",
        "InputError",
        "InputLevelModel",
        "PairedComparison",
    ),
    "PlannerCost",
    *(
        "Reaching",
        "RewardPlan",
        "SharedWorstCase",
        "SigregSettings",
        "Solution",
        "SubspaceOptimum",
        "TrainedRuns",
        "Training",
        "Windows",
        "Worlds",
    ),
}
ELSEWHERE = {"analyze", "log_to_mdp", "read_latents", "read_log", "write_log", "run_sweep", "sweep_bounds"}
NOT_ASKED = {
    *("gauge_counterexample", "gauge_embedding_arrays", "product_singular_values", "rare_state_embedding_arrays"),
    *("reset_counterexample", "two_state_counterexample"),
}
# Where an infinite number has a meaning: no penalty is stronger than a constraint.
INFINITE = {"penalty"}
# A number, or one for each action.
ONE_OR_MORE = {"correlation", "p", "persistence", "q"}
# Sparse rewards of a world are read as they are.
MAY_BE_SPARSE = {("TabularMDP", "reward")}
# Rounds that are carried out one by one: a huge number of them is slow, not wrong.
ROUNDS = {"n_steps", "n_updates", "n_iterations", "budget", "n_starts", "horizon", "n_resamples", "checkpoint_every"}


# What may be a function of one's own, by the name of its argument.
OWN_PARTS = {"cost", "regularizer", "score"}


class Thing:
    """Nothing that any function knows."""


def wrong_values(name, value):
    """(what it is, the value, whether it must be refused) for one argument, by the valid value in its place."""
    anything = {"nothing known": Thing(), "a dict": {"a": 1}}
    if not callable(value) and name not in OWN_PARTS:
        anything["a function"] = len
    refused, allowed = dict(anything), {}
    if isinstance(value, bool):
        refused |= {"text": "no", "a half": 0.5, "a list": [True], "None": None}
    elif isinstance(value, (int, float)):
        refused |= {
            "text": "3",
            "words": "abc",
            "bytes": b"3",
            "None": None,
            "True": True,
            "NaN": float("nan"),
            "complex": 1j,
        }
        refused["a date"] = np.datetime64("2020-01-01")
        (allowed if name in ONE_OR_MORE else refused)["several"] = [1, 2]
        (allowed if name in INFINITE else refused)["infinity"] = float("inf")
        if isinstance(value, int):
            refused |= {"a fraction": 2.5, "below 0": -1}
            allowed["zero"] = 0
            if name not in ROUNDS | {"n_samples"}:
                allowed["huge"] = 10**13
            if name not in ROUNDS or name == "horizon":
                allowed["beyond int64"] = 10**30
        else:
            allowed |= {"below 0": -1.0, "zero": 0.0, "huge": 1e300}
    elif isinstance(value, str):
        refused |= {"a number": 5, "bytes": b"dot", "a list": ["dot"], "None": None}
        (allowed if name in ("name", "normalization") else refused)["another word"] = "nonsense"
    elif isinstance(value, np.ndarray):
        floats = value.astype(float)
        nan, infinite = floats.copy(), floats.copy()
        nan.flat[0], infinite.flat[0] = np.nan, np.inf
        masked = np.ma.masked_array(value, mask=np.zeros(value.shape, bool))
        masked.mask.flat[0] = True
        refused |= {"text": "abc", "None": None, "NaN": nan, "infinity": infinite, "masked": masked}
        refused |= {"complex": floats + 1j, "dates": floats.astype("datetime64[D]"), "strings": np.full(value.shape, "a")}
        refused |= {"objects": np.full(value.shape, None), "ragged": [[1.0], [1.0, 2.0]]}
        refused["structured"] = np.zeros(value.shape, [("x", float)])
        if value.ndim <= 2:
            refused["sparse"] = sp.csr_array(np.atleast_2d(floats))
        allowed |= {"one axis more": value[None, None], "shorter": value[:-1], "empty": value[:0], "a number": 1.0}
        allowed["below 0"] = -floats
    elif isinstance(value, torch.Tensor):
        refused |= {"an array": value.numpy(), "a list": value.tolist(), "text": "abc", "None": None, "a number": 1.0}
        refused |= {"complex": value + 1j, "whole numbers": value.long()}
        if name == "weight":
            refused |= {"below 0": -value, "zeros": value * 0, "NaN": value * float("nan")}
        allowed |= {"a scalar": value.sum(), "one axis less": value[0], "one axis more": value[None], "shorter": value[:-1]}
        allowed |= {"another precision": value.double(), "narrower": value[..., :-1], "empty": value[:0]}
    elif callable(value) and not isinstance(value, torch.nn.Module):
        refused |= {"text": "abc", "None": None, "a number": 3}
    else:
        refused |= {"text": "abc", "None": None, "a number": 3, "an array": np.eye(2)}
        if isinstance(value, list):
            refused["of nothing known"] = [Thing()]
            allowed["empty"] = []
    return [(k, v, REFUSED) for k, v in refused.items()] + [(k, v, ALLOWED) for k, v in allowed.items()]


class Late(Exception):
    pass


def attempt(function, arguments):
    """None where the call returned, else the error it ended in."""

    def late(*_):
        raise Late(f"not done after {SECONDS} seconds")

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(**arguments)
    except (Exception, MemoryError) as error:
        return error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    return None


def findings(name):
    """What is wrong with the answers of one function, and how many wrong arguments it got."""
    function, arguments = CALLS[name]
    error = attempt(function, arguments)
    assert error is None, f"the valid call fails: {error!r}"
    found, count = [], 0
    written = inspect.signature(function).parameters
    # No value is a value where the annotation says so, or where it goes through **options to plan_rewards.
    optional = {
        n for n in arguments if n not in written or written[n].default is None or "None" in str(written[n].annotation)
    }
    for parameter, valid in arguments.items():
        for what, value, verdict in wrong_values(parameter, valid):
            if what == "sparse" and (function.__name__, parameter) in MAY_BE_SPARSE:
                verdict = ALLOWED
            if value is None and parameter in optional:
                continue
            count += 1
            error = attempt(function, arguments | {parameter: value})
            message = str(error)
            if error is None:
                if verdict == REFUSED:
                    found.append(f"accepted: {parameter} = {what}")
            elif isinstance(error, Late):
                found.append(f"hangs: {parameter} = {what}")
            elif not isinstance(error, sj.InputError):
                found.append(f"raw: {parameter} = {what}: {type(error).__name__}: {message[:80]}")
            elif "\n" in message or re.search(r"[.!?] [A-Z]", message) or len(message) > 500:
                found.append(f"not one sentence: {parameter} = {what}: {message[:200]}")
    return found, count


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_argument_gets_one_sentence(name):
    found, _ = findings(name)
    assert not found, "\n".join(found)


def test_every_public_function_is_asked():
    public = set()
    for room in (sj, jepa, losses, planning, point_mass):
        public |= {n for n in room.__all__ if callable(getattr(room, n))}
    for room in (action_search, success_rates):
        public |= {
            n for n, f in vars(room).items() if inspect.isfunction(f) and f.__module__ == room.__name__ and n[0] != "_"
        }
    asked = {function.__name__ for function, _ in CALLS.values()}
    assert public - asked == (RECORDS | ELSEWHERE | NOT_ASKED) & public
    assert sum(len(wrong_values(k, v)) for _, a in CALLS.values() for k, v in a.items()) > 3000


if __name__ == "__main__":  # a count: python tests/property/test_wrong_inputs.py
    total, kinds, lines = 0, {}, []
    for call in CALLS:
        bad, n = findings(call)
        total += n
        for line in bad:
            kinds[line.split(":")[0]] = kinds.get(line.split(":")[0], 0) + 1
            lines.append(f"{call}: {line}")
    print("\n".join(lines))
    print(total, "wrong arguments;", kinds)
