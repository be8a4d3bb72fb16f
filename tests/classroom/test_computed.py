"""What the lessons compute, against independent formulas and the library itself; none of it needs marimo."""

import numpy as np
import pytest

import spectral_jepa as sj
from spectral_jepa.classroom import collapse, latent_or_input
from spectral_jepa.classroom.broken_theorem import break_theorem
from spectral_jepa.classroom.lessons import CLOSED_MAP, LESSONS, lesson
from spectral_jepa.classroom.room_map import DEFAULT_MAP, canonical_basis, room_map
from spectral_jepa.classroom.u_curve import DIMS, N_ACTIONS, N_STATES, u_curve
from spectral_jepa.sweep.experiment import load_experiment


def test_the_u_is_the_library_s_curve():
    curve = u_curve(1000, rank=5, seed=3)
    world = sj.make_low_rank(n_states=N_STATES, rank=5, n_actions=N_ACTIONS, seed=0)
    exact = sj.CoOccurrence.exact(world)
    sampled = sj.CoOccurrence.from_transitions(sj.sample_transitions(world, n_per_action=333, seed=4))
    fit = sj.spectral_embedding(sampled, 4)
    error = (sj.CoOccurrence.exact(world).normalized - np.einsum("axk,ayk->axy", *fit.factors(exact)[::-1])) ** 2
    assert curve.at(4)[1] == pytest.approx(error.sum(axis=(1, 2)).mean(), rel=1e-9)
    values = np.linalg.svd(exact.normalized, compute_uv=False)
    assert curve.at(4)[0] == pytest.approx((values[:, 4:] ** 2).sum(axis=1).mean(), rel=1e-9)
    lot = world.dense().max(axis=0).mean() - world.dense().mean()
    assert curve.at(4)[2] == pytest.approx(sj.goal_regret(world, fit) / lot, rel=1e-9)


def test_data_decide_which_dimension_pays():
    best = [u_curve(n, rank=8).best_dim for n in (300, 3000, 30_000)]
    assert best == sorted(best) and best[0] == 1 and best[-1] == 8 and set(best) <= set(DIMS)


@pytest.mark.parametrize(("noise", "lost"), [(0.1, 0.675), (0.5, 0.375), (0.0, 0.75)])
def test_the_fooled_planner_loses_what_an_action_by_lot_loses(noise, lost):
    """One action for four goals: it is right one time in four, so (1 - noise) 3 / 4 is lost."""
    broken = break_theorem(0.05, noise, "dot")
    assert len(set(broken.chosen)) == 1 and broken.regret == pytest.approx((1 - noise) * 0.75, abs=1e-12)
    assert broken.regret == pytest.approx(lost) and broken.promised < 0.01 and broken.holds_as_printed


def test_the_readme_s_number_and_the_planner_that_is_not_fooled():
    assert round(break_theorem().promised, 4) == 0.0048
    mended = break_theorem(0.05, 0.1, "transition")
    assert mended.chosen.tolist() == [0, 1, 2, 3] and mended.regret == 0 and mended.regret <= mended.corrected < 0.01


def test_every_whitened_run_of_the_table_ends_at_the_predicted_rank():
    strengths = collapse.STRENGTHS["whitening"]
    squares = 0.8 ** (2 * np.arange(6))
    predicted = [int(np.sum(squares > 1 - 2 * strength)) for strength in strengths]
    ends = [collapse.encoder_at("whitening", strength, 1500) for strength in strengths]
    assert [end.rank for end in ends] == predicted == [end.predicted for end in ends]
    for strength, end in zip(strengths, ends, strict=True):
        kept = np.maximum(1 - (1 - squares) / (2 * strength), 0)
        np.testing.assert_allclose(end.eigenvalues, kept, atol=4e-3)
    assert collapse.encoder_at("whitening", 0.1, 0).rank == 6 != ends[1].rank  # before training nothing has collapsed


def test_sigreg_collapses_where_the_threshold_says_and_nowhere_else():
    threshold = [sj.sigreg_collapse_threshold(6, strength) for strength in collapse.STRENGTHS["sigreg"]]
    ranks = [collapse.encoder_at("sigreg", strength, 1500).rank for strength in collapse.STRENGTHS["sigreg"]]
    assert [rank == 0 for rank in ranks] == [limit >= 0.64 for limit in threshold]
    assert 0 in ranks and 6 in ranks


def test_live_training_goes_where_the_table_went():
    pytest.importorskip("torch")
    path = collapse.train_live("whitening", 0.25, n_steps=400)
    assert len(path) == 21 and path[-1].rank == path[-1].predicted == 2


def test_the_map_is_the_stacked_spectrum():
    drawn = room_map(DEFAULT_MAP, 0.2)
    exact = sj.CoOccurrence.exact(sj.make_grid(DEFAULT_MAP, 0.2))
    np.testing.assert_allclose(drawn.values, np.linalg.svd(exact.stacked, compute_uv=False), atol=1e-10)
    assert drawn.tails[4] == pytest.approx(sj.tail(exact, 4, shared=True), rel=1e-9) and drawn.tails[-1] == 0
    weight = exact.pooled_column_weight
    np.testing.assert_allclose(drawn.functions.T @ (weight[:, None] * drawn.functions), np.eye(68), atol=1e-9)
    scaled = exact.stacked.T @ (exact.stacked @ (np.sqrt(weight)[:, None] * drawn.functions))
    np.testing.assert_allclose(scaled, np.sqrt(weight)[:, None] * drawn.functions * drawn.values**2, atol=1e-9)


def test_closed_rooms_are_lit_one_by_one():
    drawn = room_map(CLOSED_MAP, 0.1)
    assert np.sum(drawn.values > 1 - 1e-9) == 4
    lit = [np.nan_to_num(drawn.picture(i)) > 1 for i in range(1, 5)]
    assert [mask.sum() for mask in lit] == [16] * 4 and np.all(sum(mask.astype(int) for mask in lit) == ~drawn.walls)
    assert np.sum(room_map(DEFAULT_MAP, 0.1).values > 1 - 1e-9) == 1  # with doors it is one world


def test_the_basis_does_not_depend_on_the_rotation():
    rng = np.random.default_rng(0)
    values = np.array([1.0, 1.0, 1.0, 0.5, 0.2, 0.2])
    vectors = np.linalg.qr(rng.standard_normal((9, 6)))[0]
    turned = vectors.copy()
    turned[:, :3] @= np.linalg.qr(rng.standard_normal((3, 3)))[0]
    turned[:, 3] *= -1
    turned[:, 4:] @= np.linalg.qr(rng.standard_normal((2, 2)))[0]
    assert np.abs(turned - vectors).max() > 0.1
    first, second = canonical_basis(values, vectors), canonical_basis(values, turned)
    np.testing.assert_allclose(first, second, atol=1e-10)
    np.testing.assert_allclose(first.T @ first, np.eye(6), atol=1e-10)
    np.testing.assert_allclose(first[:, :3] @ first[:, :3].T, vectors[:, :3] @ vectors[:, :3].T, atol=1e-10)


@pytest.mark.parametrize(("scale", "persistence", "dim"), [(2.0, 0.5, 3), (0.01, 0.9, 3), (2.0, 0.5, 7), (0.5, 0.3, 5)])
def test_a_contest_is_the_experiment_s(scale, persistence, dim):
    experiment = load_experiment("latent_vs_input").module
    found = latent_or_input.contest(scale, persistence, dim)
    np.testing.assert_allclose([found.latent, found.input], experiment.exact_regrets(persistence, scale, dim), atol=1e-12)
    value = 0.6 + 0.4 * np.cos(2 * np.pi / 5)
    assert found.task_value == pytest.approx(value) and found.critical_scale == pytest.approx(value / persistence)
    assert found.blind == pytest.approx(0.24)


def test_the_map_changes_hands_at_the_closed_forms():
    latent, loud = latent_or_input.phase_map(3)
    persistence = np.array(latent_or_input.PERSISTENCES)
    inside = persistence < 1  # at 1 the two values tie
    assert np.array_equal((latent > 0.1)[inside], (persistence > 0.6 + 0.4 * np.cos(2 * np.pi / 5))[inside])
    for scale, row in zip(latent_or_input.SCALES, loud, strict=True):
        critical = np.array([latent_or_input.contest(1.0, p).critical_scale for p in persistence]).clip(max=1e9)
        clear = (np.abs(np.log(scale / critical)) > 0.05) & (persistence > 0)
        assert np.array_equal((row > 0.1)[clear], (scale > critical)[clear])


@pytest.mark.parametrize("number", range(1, 7))
def test_an_exercise_accepts_its_answer_and_nothing_far_from_it(number):
    for exercise in lesson(number).exercises:
        truth = exercise.answer()
        assert (
            exercise.right(truth) and not exercise.right(truth + 3 * exercise.tolerance + 0.5) and not exercise.right(None)
        )
    own = LESSONS[number - 1]
    assert own.number == number and 0 <= own.right < len(own.options) and len(own.exercises) == 2


def test_the_answers_to_the_questions_are_true():
    assert u_curve(1000, 8).best_dim == 1 and u_curve(30_000, 8).best_dim == 8  # lesson 1
    assert collapse.predicted_rank("whitening", 0.25) == 2  # lesson 3
    second = room_map(DEFAULT_MAP, 0.1).picture(2)
    halves = second[:4], second[5:]
    assert np.sign(np.nanmin(halves[0])) == np.sign(np.nanmax(halves[0])) != np.sign(np.nanmean(halves[1]))  # lesson 4


@pytest.mark.parametrize("call", [
    lambda: u_curve(2), lambda: break_theorem(planner="best"), lambda: room_map("." * 300), lambda: room_map("##"),
    lambda: latent_or_input.contest(1.0, 0.5, 4), lambda: collapse.encoder_at("whitening", 0.26, 1500), lambda: lesson(7),
])  # fmt: skip
def test_wrong_words_are_refused(call):
    with pytest.raises(sj.InputError, match="expected"):
        call()
