"""docs/theory.md, section 6: the latent ranks by predictability, the input level by predicted variance in pixel units."""

import numpy as np
import pytest

from spectral_jepa import (
    CoOccurrence,
    expected_squared_error,
    make_ring,
    plan_goals,
    sample_transitions,
    spectral_embedding,
    spectral_risk,
    spectrum,
    with_nuisance,
)
from spectral_jepa.input_level import critical_nuisance_scale, product_observations, reduced_rank_regression
from spectral_jepa.sweep.experiment import load_experiment

N, M, SLIP = 5, 5, 0.4
# Fourier values 1 - slip + slip cos(2 pi j / 5); cos 72 = (sqrt 5 - 1) / 4, cos 144 = -(sqrt 5 + 1) / 4.
FIRST = 0.6 + 0.4 * (np.sqrt(5) - 1) / 4
SECOND = 0.6 - 0.4 * (np.sqrt(5) + 1) / 4
# A blind planner always steps -1. Best chances are .6, .6, .6, .2, .2 over the goals, its own sum to 1: (2.2 - 1) / 5.
BLIND = 0.24


def observed_ring(persistence):
    """The ring beside a nuisance that keeps its value with the given probability, written out."""
    nuisance = persistence * np.eye(M) + (1 - persistence) / M
    world = with_nuisance(make_ring(N, SLIP, 3), M, "markov", persistence=persistence)
    for action, step in enumerate((-1, 0, 1)):
        rows = sum(share * np.roll(np.eye(N), step + extra, axis=1) for extra, share in ((0, 0.6), (1, 0.2), (-1, 0.2)))
        np.testing.assert_allclose(world.transition[action], np.kron(rows, nuisance), atol=1e-15)
    return world


def input_model(cooc, scale, shared=False):
    return reduced_rank_regression(cooc, product_observations(np.eye(N), np.eye(M), nuisance_scale=scale), shared=shared)


def task_regret(mdp, embedding):
    """Loop over states and goals; the goal is a task state, whatever the nuisance."""
    believed = embedding.transition()
    total = 0.0
    for x in range(N * M):
        for goal in range(N):
            ends = slice(goal * M, (goal + 1) * M)
            true = mdp.transition[:, x, ends].sum(axis=1)
            score = believed[:, x, ends].sum(axis=1)
            best = next(a for a in range(3) if score[a] >= score.max() - 1e-12)
            total += (true.max() - true[best]) / (N * M * N)
    return total


@pytest.mark.parametrize("slip", [0.2, 0.7])
def test_one_hot_pixels_of_a_uniform_world_give_the_spectral_model(slip):
    exact = CoOccurrence.exact(make_ring(7, slip, 2))
    model = reduced_rank_regression(exact, np.eye(7))
    squares = np.sort((1 - slip + slip * np.cos(2 * np.pi * np.arange(7) / 7)) ** 2)[::-1]
    np.testing.assert_allclose(model.predicted_variance, np.broadcast_to(squares[1:] / 7, (2, 6)), atol=1e-15)
    for dim in (1, 3, 5, 7):
        np.testing.assert_allclose(spectral_risk(exact, model.embedding(dim)), squares[dim:].sum(), atol=1e-13)
        if dim < 7 and squares[dim] < squares[dim - 1] - 1e-9:
            ours, theirs = (e.transition() for e in (model.embedding(dim), spectral_embedding(exact, dim)))
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_negative_control_without_uniform_marginals_the_two_differ(draw_world):
    world = draw_world(0, uniform=False)
    exact = world.exact
    model = reduced_rank_regression(exact, np.eye(6))
    tails = [np.sum(np.linalg.svd(world.normalized(a), compute_uv=False)[3:] ** 2) for a in range(3)]
    assert (spectral_risk(exact, model.embedding(3)) > np.array(tails) * 1.001).all()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_full_rank_on_joint_pixels_is_the_plug_in_model(draw_world, seed, shared):
    data = sample_transitions(draw_world(seed).mdp, 60, seed=seed)
    counts = np.zeros((3, 6, 6))
    for x, a, y in zip(data.state, data.action, data.next_state, strict=True):
        counts[a, x, y] += 1
    visits = counts.sum(axis=2, keepdims=True)
    plug_in = np.divide(counts, visits, out=np.zeros_like(counts), where=visits > 0)
    model = reduced_rank_regression(CoOccurrence.from_transitions(data), np.eye(6), shared=shared)
    np.testing.assert_allclose(model.embedding(model.max_dim).transition(), plug_in, atol=1e-12)
    if shared:  # per action, a state that the action never reaches has no pixel of its own
        assert model.max_dim == 6


@pytest.mark.parametrize("seed", range(10))
def test_at_equal_rank_the_latent_never_has_the_larger_risk(draw_world, seed):
    exact = draw_world(seed, concentration=0.3).exact
    pixels = np.random.default_rng([seed, 1]).standard_normal((6, 5)) * [1, 5, 0.1, 2, 1]
    model = reduced_rank_regression(exact, pixels)
    gaps = [
        spectral_risk(exact, model.embedding(k)) - spectral_risk(exact, spectral_embedding(exact, k)) for k in range(1, 7)
    ]
    assert np.min(gaps) >= -1e-12 and np.max(gaps[1:4]) > 1e-2


@pytest.mark.parametrize("persistence, scale", [(0.5, 0.7), (0.3, 4.0), (0.95, 0.2), (0.0, 3.0)])
def test_predicted_variances_in_closed_form(persistence, scale):
    variance = input_model(CoOccurrence.exact(observed_ring(persistence)), scale).predicted_variance
    task, nuisance = [FIRST**2 / N] * 2 + [SECOND**2 / N] * 2, [scale**2 * persistence**2 / M] * (M - 1)
    np.testing.assert_allclose(variance, np.broadcast_to(np.sort(task + nuisance)[::-1], (3, 8)), atol=1e-14)


@pytest.mark.parametrize("persistence", [0.2, 0.5, 0.9, 1.0])
def test_the_input_model_drops_the_task_exactly_at_the_critical_scale(persistence):
    mdp = observed_ring(persistence)
    exact = CoOccurrence.exact(mdp)
    critical = FIRST / persistence
    assert critical_nuisance_scale(FIRST, persistence, N, M) == pytest.approx(critical, rel=1e-14)
    total = (1 + 2 * FIRST**2 + 2 * SECOND**2) * (1 + (M - 1) * persistence**2)
    below, above = (input_model(exact, c * critical).embedding(3) for c in (1 - 1e-6, 1 + 1e-6))
    np.testing.assert_allclose(spectral_risk(exact, below), total - 1 - 2 * FIRST**2, atol=1e-10)
    np.testing.assert_allclose(spectral_risk(exact, above), total - 1 - 2 * persistence**2, atol=1e-10)
    assert task_regret(mdp, below) < 1e-12
    assert task_regret(mdp, above) == pytest.approx(BLIND)


def test_the_latent_drops_the_task_exactly_where_the_nuisance_is_more_predictable():
    for persistence, regret in ((FIRST - 1e-6, 0.0), (FIRST + 1e-6, BLIND)):
        mdp = observed_ring(persistence)
        embedding = spectral_embedding(CoOccurrence.exact(mdp), 3)
        assert task_regret(mdp, embedding) == pytest.approx(regret, abs=1e-12)


def test_large_background_defeats_the_input_model_and_not_the_latent():
    mdp = observed_ring(0.5)
    exact = CoOccurrence.exact(mdp)
    for dim in (3, 5):
        assert task_regret(mdp, input_model(exact, 4.0).embedding(dim)) == pytest.approx(BLIND)
        assert task_regret(mdp, spectral_embedding(exact, dim)) < 1e-12
    # Controls: the same background in small pixels, an unpredictable one however large, and room for both.
    assert task_regret(mdp, input_model(exact, 0.5).embedding(3)) < 1e-12
    noise = observed_ring(0.0)
    assert task_regret(noise, input_model(CoOccurrence.exact(noise), 100.0).embedding(3)) < 1e-12
    assert task_regret(mdp, input_model(exact, 4.0).embedding(7)) < 1e-12


def test_slow_distractor_defeats_the_latent_although_its_risk_is_smaller():
    mdp = observed_ring(0.95)
    exact = CoOccurrence.exact(mdp)
    for dim in (3, 5):
        latent, pixels = spectral_embedding(exact, dim), input_model(exact, 0.01).embedding(dim)
        assert task_regret(mdp, latent) == pytest.approx(BLIND)
        assert task_regret(mdp, pixels) < 1e-12
        assert (spectral_risk(exact, latent) < spectral_risk(exact, pixels) - 0.1).all()
    # Control: room for the constant, the m - 1 distractor directions and the two of the task.
    assert task_regret(mdp, spectral_embedding(exact, 7)) < 1e-12


def test_frozen_nuisance_repeats_every_value_so_that_the_latent_needs_m_times_the_dimensions():
    mdp = observed_ring(1.0)
    exact = CoOccurrence.exact(mdp)
    np.testing.assert_allclose(spectrum(exact)[0], np.repeat([1, FIRST, FIRST, SECOND, SECOND], M), atol=1e-12)
    assert task_regret(mdp, spectral_embedding(exact, 3 * M)) < 1e-12
    assert task_regret(mdp, spectral_embedding(exact, M, shared=True)) == pytest.approx(BLIND)
    assert task_regret(mdp, input_model(exact, 0.1).embedding(3)) < 1e-12


def test_sampling_noise_is_fitted_as_variance_so_that_even_unpredictable_pixels_take_over():
    """Mean-field: s^2 + (1 - s^2) S / N for both parts; the boundary is finite at p = 0."""
    mdp, n_samples, scale = observed_ring(0.0), 2000, 3.0
    share = N * M / n_samples
    nuisance = []
    for seed in range(40):
        cooc = CoOccurrence.from_transitions(sample_transitions(mdp, n_samples, seed=seed))
        model = input_model(cooc, scale)
        along = np.sum(model.directions[:, N:] ** 2, axis=1)
        nuisance.append(np.sum(model.predicted_variance * (along > 0.5), axis=1) / (M - 1))
    expected = scale**2 / M * share
    assert np.mean(nuisance) == pytest.approx(expected, rel=0.05)
    critical = float(critical_nuisance_scale(FIRST, 0.0, N, M, noise=share))
    assert critical == pytest.approx(np.sqrt((FIRST**2 + (1 - FIRST**2) * share) / share))
    regrets = {}
    for factor in (0.5, 2.0):
        data = [sample_transitions(mdp, n_samples, seed=seed) for seed in range(10)]
        models = [input_model(CoOccurrence.from_transitions(d), factor * critical, shared=True) for d in data]
        regrets[factor] = np.mean([task_regret(mdp, model.embedding(3)) for model in models])
    assert regrets[0.5] < 1e-3 and regrets[2.0] > 0.7 * BLIND


@pytest.mark.parametrize("n_values", [1, 4, 16])
def test_iid_noise_leaves_the_spectrum_and_multiplies_the_sample_error(n_values):
    exact = CoOccurrence.exact(with_nuisance(make_ring(5, 0.3, 2), n_values))
    values = [1, 0.7 + 0.3 * (np.sqrt(5) - 1) / 4, abs(0.7 - 0.3 * (np.sqrt(5) + 1) / 4)]
    norm = 1 + 2 * values[1] ** 2 + 2 * values[2] ** 2
    kept = np.pad(np.repeat(values, [1, 2, 2]), (0, 5 * n_values - 5))
    np.testing.assert_allclose(spectrum(exact)[0], kept, atol=1e-12)
    np.testing.assert_allclose(expected_squared_error(exact, 2000), ((5 * n_values) ** 2 - norm) / 2000, rtol=1e-12)


def test_negative_control_markov_noise_changes_the_spectrum():
    exact = CoOccurrence.exact(observed_ring(0.5))
    assert spectrum(exact)[0, 5:].max() > 0.3


@pytest.fixture(scope="module")
def noise_regret():
    """m x regret (goal = exact observation), N = 2000 an action; 5-cycle, steps -1, +1, slipping to a random action."""
    cycle = load_experiment("latent_vs_input").module.make_task("cycle")
    np.testing.assert_allclose(cycle.transition[1, 0], [0, 0.85, 0, 0, 0.15])
    result = {}
    for n_values in (1, 4, 16):
        mdp = with_nuisance(cycle, n_values)
        for seed in range(20):
            cooc = CoOccurrence.from_transitions(sample_transitions(mdp, 2000, seed=seed))
            for dim in (5 * n_values, 5, 3):
                embedding = spectral_embedding(cooc, dim)
                for score in ("transition", "dot"):
                    plan = plan_goals(mdp, embedding, score=score)
                    key = n_values, "full" if dim == 5 * n_values else dim, score
                    result.setdefault(key, []).append(n_values * plan.mean_regret)
            if n_values == 1:  # k = 5 is full rank
                result.setdefault((1, 5, "transition"), []).append(plan_goals(mdp, spectral_embedding(cooc, 5)).mean_regret)
    return {key: np.mean(values) for key, values in result.items()}


def test_noise_defeats_full_rank_and_not_the_low_rank_latent(noise_regret):
    full, five, three = ([noise_regret[m, k, "transition"] for m in (1, 4, 16)] for k in ("full", 5, 3))
    assert full[0] == 0 and full[1] < 5e-4 and full[2] == pytest.approx(0.053, abs=0.005)
    assert five[0] == 0 and five[1] < 1e-4 and five[2] < 5e-4
    assert three[0] == 0 and three[1] < 3e-3 and 0.005 < three[2] < 0.04
    assert full[2] > 1.5 * three[2] and full[2] > 100 * five[2]


def test_rank_three_loses_through_the_weights_of_the_planner(noise_regret):
    """Rank 3 holds all that the plan needs: scored by g^T f alone, without the estimated w+(goal|a), it loses nothing."""
    assert noise_regret[16, 3, "transition"] > 0.005
    assert noise_regret[16, 3, "dot"] < 5e-4
    assert noise_regret[16, "full", "dot"] > 0.05


def test_the_experiment_measures_what_is_measured_here():
    module = load_experiment("latent_vs_input").module
    mdp = observed_ring(0.9)
    data = sample_transitions(mdp, 100, seed=np.random.default_rng([3, 5, 100]))
    cooc = CoOccurrence.from_transitions(data)
    rows = module.run_cell("ring", 5, 0.9, 100, 3, [0.5, 2.0])
    seen = 0
    for row in rows:
        if row["dim"] not in (3, 5):
            continue
        model = (
            spectral_embedding(cooc, row["dim"], shared=True)
            if row["arm"] == "latent"
            else input_model(cooc, row["nuisance_scale"], shared=True).embedding(row["dim"])
        )
        assert row["task_goal_regret"] == pytest.approx(task_regret(mdp, model), abs=1e-12)
        assert row["observation_goal_regret"] == pytest.approx(5 * plan_goals(mdp, model).mean_regret, abs=1e-12)
        assert row["task_value"] == pytest.approx(FIRST)
        seen += row["task_goal_regret"] > 0.01
    assert seen >= 3


@pytest.mark.parametrize(
    "name", ["large_background_defeats_input", "slow_distractor_defeats_latent", "noise_costs_full_rank"]
)
def test_every_comparison_of_the_claims_is_met(name):
    for row in getattr(load_experiment("latent_vs_input").module, name)(np.random.default_rng(0), 2000):
        measured, expected = row["measured"], row["expected"]
        met = {"=": abs(measured - expected) < 1e-9, "<=": measured <= expected, ">=": measured >= expected}
        assert met[row["relation"]] and row["met"], row
