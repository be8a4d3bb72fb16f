"""docs/horizon_free.md: truncated models over T steps err no more than over one; through an encoder by sqrt(T)."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from spectral_jepa import (
    CoOccurrence,
    Embedding,
    TabularMDP,
    horizon_free_bound,
    horizon_free_error,
    horizon_free_factor,
    multi_step_bound,
    plan_goals,
    printed_multi_step_bound,
    spectral_embedding,
    two_vector_form,
)
from spectral_jepa.sweep.experiment import load_experiment

SEEDS = [0, 1, 2, 3]


def contraction(rng, n, kept, left_out):
    """N, its kept part and the rest: singular values up to 1 that are kept, up to ``left_out`` that are not."""
    left, right = (scipy.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    values = np.append(rng.uniform(0.2, 1, kept), left_out * rng.uniform(0, 1, n - kept))
    values[-1] = left_out
    model = sum(values[i] * np.outer(left[:, i], right[i]) for i in range(kept))
    rest = sum(values[i] * np.outer(left[:, i], right[i]) for i in range(kept, n))
    return model + rest, model, rest, right[:kept]


# --- Identity: what a step takes from the form -----------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_takes_three_terms_that_are_not_negative(seed, scale):
    """q(v, b) - q(N v, B b) = q(H v1, H b1) + (s^2 |v2|^2 - |E v2|^2) + |r v2 - c b2|^2, H^2 = I - B^T B."""
    rng = np.random.default_rng(seed)
    n, kept, s = 5, 2, 0.6
    r = np.sqrt(1 - s**2)

    def form(v, b):
        return v @ v - 2 * r * scale * (v @ b) + scale**2 * (b @ b)

    for _ in range(20):
        true, model, rest, rows = contraction(rng, n, kept, s)
        v, b = rng.standard_normal((2, n))
        v1, b1 = rows.T @ (rows @ v), rows.T @ (rows @ b)
        v2, b2 = v - v1, b - b1
        root = scipy.linalg.sqrtm(np.eye(n) - model.T @ model).real
        terms = [form(root @ v1, root @ b1), s**2 * (v2 @ v2) - rest @ v2 @ (rest @ v2), np.sum((r * v2 - scale * b2) ** 2)]
        assert min(terms) >= -1e-12 and terms[0] > 1e-3
        before, after = two_vector_form(v, b, s, scale), two_vector_form(true @ v, model @ b, s, scale)
        assert abs(before - form(v, b)) < 1e-12
        assert abs(before - after - sum(terms)) < 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_the_form_is_the_two_of_the_page(seed):
    v, b = np.random.default_rng(seed).standard_normal((2, 7, 4))
    for s in (0.1, 0.6, 0.99):
        r2, t2 = 1 - s**2, np.tan(np.arcsin(s) / 2) ** 2
        ranking = np.sum((v - r2 * b) ** 2, axis=1) + r2 * s**2 * np.sum(b**2, axis=1)
        error = (np.sum((v - b) ** 2, axis=1) + t2 * np.sum((v + b) ** 2, axis=1)) / (1 + t2)
        assert np.abs(two_vector_form(v, b, s, np.sqrt(r2)) - ranking).max() < 1e-12
        assert np.abs(two_vector_form(v, b, s) - error).max() < 1e-12
        # Where they start: s^2 and 4 t^2 / (1 + t^2).
        start = np.sum(v**2, axis=1)
        assert np.abs(two_vector_form(v, v, s, np.sqrt(r2)) - s**2 * start).max() < 1e-12
        assert np.abs(two_vector_form(v, v, s) - 4 * t2 / (1 + t2) * start).max() < 1e-12


def test_the_tangent_is_what_is_computed():
    for s in (0.0, 0.3, 0.6, 0.999, 1.0):
        tangent = 2 * np.tan(np.arcsin(s) / 2)
        for horizon in (1, 2, 3, 64):
            assert horizon_free_error(s, horizon) == pytest.approx(min(np.sqrt(horizon) * s, tangent), abs=1e-12)
            assert horizon_free_error(s, horizon, shared=True) == pytest.approx(min(np.sqrt(horizon) * s, 2), abs=1e-12)
    assert horizon_free_factor(0.3, 9) == 0.3
    assert horizon_free_factor(0.3, 9, shared=True) == pytest.approx(0.9, abs=1e-12)
    assert horizon_free_factor(0.3, 16, shared=True) == 1.0
    assert horizon_free_factor(0.3, 3, contraction=0.5) == pytest.approx(0.075, abs=1e-12)
    assert horizon_free_factor(0.3, 2, shared=True, contraction=0.5) == pytest.approx(0.3 * 0.5 * np.sqrt(2), abs=1e-12)
    assert horizon_free_factor(0.3, 4, shared=True, contraction=0.5) == pytest.approx(0.5**4, abs=1e-12)


# --- Inequality on random instances ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_products_of_contractions(seed):
    rng = np.random.default_rng(seed)
    for _ in range(60):
        n, s = int(rng.integers(2, 6)), float(rng.uniform(0.05, 0.95))
        kept = int(rng.integers(1, n))
        true, model, seen = np.eye(n), np.eye(n), np.eye(n)
        encoder_cut = 0.0
        for horizon in range(1, 9):
            step, part, _, _ = contraction(rng, n, kept, s)
            true, model = true @ step, model @ part
            basis = scipy.linalg.orth(rng.standard_normal((n, kept)))
            through = step @ basis @ basis.T
            seen = seen @ through
            encoder_cut = max(encoder_cut, scipy.linalg.norm(step - through, 2))
            assert scipy.linalg.norm(true - model, 2) <= horizon_free_error(s, horizon) + 1e-10
            assert scipy.linalg.norm(true - (1 - s**2) * model, 2) <= s + 1e-10
            assert scipy.linalg.norm(true - seen, 2) <= horizon_free_error(encoder_cut, horizon, shared=True) + 1e-10


def regret_by_hand(transition, model, horizon):
    """Regret of maximising the product of the model matrices, pair by pair, over all sequences."""
    n_actions, n = transition.shape[:2]
    best, score, planned = np.zeros((n, n)), np.full((n, n), -np.inf), np.zeros((n, n))
    for sequence in itertools.product(range(n_actions), repeat=horizon):
        true, believed = np.eye(n), np.eye(n)
        for a in sequence:
            true, believed = true @ transition[a], believed @ model[a]
        best = np.maximum(best, true)
        better = believed > score + 1e-12
        score, planned = np.where(better, believed, score), np.where(better, true, planned)
    return best - planned


@pytest.mark.parametrize("horizon", [1, 2, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_truncated_svd_pair_by_pair(draw_world, seed, horizon):
    world = draw_world(seed, 4, 2, concentration=0.2, stationary=True)
    w, exact = world.weight, world.exact
    matrices = [world.normalized(a) for a in range(2)]
    sigma = max(scipy.linalg.svdvals(m)[1] for m in matrices)
    corner = np.sqrt(np.outer(1 - w, 1 - w))
    positive = 0
    for dim in (1, 2, 3):
        left_out = max(scipy.linalg.svdvals(m)[dim] for m in matrices)
        embedding = spectral_embedding(exact, dim)
        plan = plan_goals(world.mdp, embedding, horizon=horizon)
        regret = regret_by_hand(world.transition, embedding.transition(), horizon)
        assert np.abs(plan.regret - regret).max() < 1e-10
        pairs = 2 * np.sqrt(w[None, :] / w[:, None]) * left_out
        for gap, bound in ((False, pairs), (True, pairs * corner * sigma ** (horizon - 1))):
            assert (regret <= bound + 1e-10).all()
            package = horizon_free_bound(exact, embedding, plan, gap=gap)
            assert package.holds
            assert package.value == pytest.approx(plan.average(bound), rel=1e-9)
        assert horizon_free_bound(exact, embedding, plan).value == pytest.approx(
            multi_step_bound(exact, embedding, plan).value / horizon, rel=1e-9
        )
        positive += plan.mean_regret > 1e-6
    assert positive >= 1


def best_prediction(world, target):
    """g = E[f(x+) | x, a] in the whitened gauge of ``target``: the model that sees each action through this encoder."""
    second = target.T @ (world.weight[:, None] * target)
    white = target @ np.linalg.inv(np.linalg.cholesky(second)).T
    return Embedding(white, world.transition @ white, world.weight)


@pytest.mark.parametrize("horizon", [1, 2, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_encoder_with_its_best_prediction(draw_world, seed, horizon):
    world = draw_world(seed, 5, 2, concentration=0.2, stationary=True)
    w, rng, positive = world.weight, np.random.default_rng([seed, horizon]), 0
    for dim, constant in itertools.product((1, 2, 3), (False, True)):
        target = rng.standard_normal((5, dim))
        if constant:
            target[:, 0] = 1.0
        basis = scipy.linalg.orth(np.sqrt(w)[:, None] * target)
        off = np.eye(5) - basis @ basis.T
        s = max(scipy.linalg.svdvals(world.normalized(a) @ off)[0] for a in range(2))
        sigma = max(scipy.linalg.svdvals(world.normalized(a))[1] for a in range(2))
        embedding = best_prediction(world, target)
        plan = plan_goals(world.mdp, embedding, horizon=horizon)
        pairs = 2 * np.sqrt(w[None, :] / w[:, None])
        bound = horizon_free_bound(world.exact, embedding, plan)
        assert bound.holds and "Pi(a)" in " ".join(a.text for a in bound.assumptions)
        by_hand = pairs * min(1.0, np.sqrt(horizon) * s)
        assert bound.value == pytest.approx(plan.average(by_hand), rel=1e-9)
        assert (plan.regret <= by_hand + 1e-10).all()
        gap = horizon_free_bound(world.exact, embedding, plan, gap=True)
        assert gap.holds == constant
        if constant:
            by_hand = pairs * np.sqrt(np.outer(1 - w, 1 - w))
            by_hand = by_hand * min(sigma**horizon, np.sqrt(horizon) * s * sigma ** (horizon - 1))
            assert gap.value == pytest.approx(plan.average(by_hand), rel=1e-9)
            assert (plan.regret <= by_hand + 1e-10).all()
        positive += plan.mean_regret > 1e-6
    assert positive >= 3


def test_a_short_search_finds_no_violation():
    search = load_experiment("horizon").module.search
    for form in (*search.FORMS, *search.NORMS):
        found = search.climb(form, np.random.default_rng(5), 1000)
        assert found["violations"] == 0 and found["active"] > 0.9 * found["instances"] >= 900
        assert 0.4 < found["several"] <= found["best"] <= 1 + 1e-9


@pytest.mark.slow
def test_twenty_thousand_instances_of_each_form():
    search = load_experiment("horizon").module.search
    for form in (*search.FORMS, *search.NORMS):
        found = search.climb(form, np.random.default_rng(0), 20_000)
        assert found["violations"] == 0 and found["instances"] >= 20_000 and found["best"] <= 1 + 1e-9


# --- Attained ----------------------------------------------------------------------------------------------------------


def planar(angles, s):
    """v and b after steps diag(1, s) R(angle), of which the model keeps the 1."""
    v = b = np.array([1.0, 0.0])
    for angle in angles:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        v, b = np.array([1, s]) * (turn @ v), np.array([1, 0]) * (turn @ b)
    return v, b


@pytest.mark.parametrize("s, horizon, reached", [(0.3, 8, 0.30707), (0.6, 2, 0.62897), (0.6, 8, 0.66657), (0.9, 4, 1.14907)])
def test_planar_contractions_come_near_the_tangent(s, horizon, reached):
    """The largest error over the angles, as in the table of the page; what of v is orthogonal to b never exceeds s."""
    rng, found = np.random.default_rng(0), 0.0
    for _ in range(4):
        start = rng.normal(0, np.pi / 2, horizon)
        v, b = planar(scipy.optimize.minimize(lambda p: -np.sum(np.subtract(*planar(p, s)) ** 2), start).x, s)
        found = max(found, np.linalg.norm(v - b))
        hidden = v - (v @ b) / (b @ b) * b if b @ b > 1e-9 else v
        assert np.linalg.norm(hidden) <= s + 1e-10
    assert reached - 1e-5 < found < reached + 1e-5
    assert found <= horizon_free_error(s, horizon) + 1e-12
    assert horizon < 8 or horizon_free_error(s, horizon) - found < 1.2e-4


def sliding_blocks(as_world, n_blocks, size):
    """Blocks that move on by one each step; only on leaving block 0 do the actions differ, by +-e off the uniform law."""
    e, uniform = 1 / (size - 1), np.full((size, size), 1 / size)
    rows = np.zeros((2, n_blocks, size, n_blocks, size))
    for action, sign in ((0, -1), (1, 1)):
        for block in range(n_blocks):
            within = np.eye(size) if block else uniform + sign * e * (np.eye(size) - uniform)
            rows[action, block, :, (block + 1) % n_blocks] = within
    return as_world(rows.reshape(2, n_blocks * size, -1)), e


@pytest.mark.parametrize("horizon", [1, 2, 6])
def test_no_smaller_constant_at_any_horizon(as_world, horizon):
    """The model keeps all but the e of block 0, so both actions look alike: 2 e (1 - 1/size) of 2 e, T steps long."""
    n_blocks, size = 6, 8
    world, e = sliding_blocks(as_world, n_blocks, size)
    embedding = spectral_embedding(world.exact, (n_blocks - 1) * size + 1)
    plan = plan_goals(world.mdp, embedding, horizon=horizon)
    bound = horizon_free_bound(world.exact, embedding, plan)
    assert bound.holds and bound.value == pytest.approx(2 * e, rel=1e-9)
    assert plan.regret.max() == pytest.approx(2 * e * (1 - 1 / size), rel=1e-9)
    assert multi_step_bound(world.exact, embedding, plan).value == pytest.approx(2 * horizon * e, rel=1e-9)


def circle_world(as_world, matrices):
    """Three states at the corners of a triangle; each planar matrix of norm 1/2 at most is a doubly stochastic action."""
    corners = np.array([[np.cos(a), np.sin(a)] for a in 2 * np.pi * np.arange(3) / 3])
    rows = np.array([1 / 3 + 2 / 3 * corners @ m @ corners.T for m in matrices])
    assert rows.min() > -1e-12
    return as_world(np.maximum(rows, 0))


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_with_a_gap_it_is_attained_at_every_horizon(as_world, horizon):
    """sigma = 1/2: two actions that differ by what is left out of them, then steps that keep the goal's direction."""
    s = 0.2
    world = circle_world(as_world, [np.diag([-s, 0.5]), np.diag([s, 0.5]), np.diag([0.5, s])])
    embedding = spectral_embedding(world.exact, 2)
    model = embedding.transition()
    later = np.linalg.matrix_power(world.transition[2], horizon - 1), np.linalg.matrix_power(model[2], horizon - 1)
    true, believed = (([p[a] @ q for a in (0, 1)]) for p, q in zip((world.transition, model), later, strict=True))
    assert abs(believed[0][0, 0] - believed[1][0, 0]) < 1e-12  # a planner among these two is indifferent
    regret = true[1][0, 0] - true[0][0, 0]
    plan = plan_goals(world.mdp, embedding, horizon=horizon, starts=[0], goals=[0])
    bound = horizon_free_bound(world.exact, embedding, plan, gap=True)
    assert bound.holds
    assert regret == pytest.approx(bound.value, rel=1e-9) == pytest.approx(2 * s * 0.5 ** (horizon - 1) * 2 / 3, rel=1e-9)


# --- Controls: each hypothesis dropped -----------------------------------------------------------------------------------


def test_stationarity_is_needed():
    """With a data law that the actions do not keep, 2 sqrt(w(y) / w(x)) s_{k+1} is off by a factor above 20."""
    rng = np.random.default_rng(2699)
    transition = rng.dirichlet(np.full(3, 0.15), size=(2, 3))
    weight = 0.99 * rng.dirichlet(np.full(3, 0.4)) + 0.01 / 3
    mdp = TabularMDP(transition, weight)
    exact = CoOccurrence.exact(mdp)
    embedding = spectral_embedding(exact, 2)
    plan = plan_goals(mdp, embedding, horizon=2)
    left_out = max(scipy.linalg.svdvals(m)[2] for m in exact.normalized)
    naive = 2 * np.sqrt(weight[None, :] / weight[:, None]) * left_out
    assert (plan.regret / naive).max() > 20
    failed = [a.text for a in horizon_free_bound(exact, embedding, plan).assumptions if not a.holds]
    assert "the data law w is stationary under every action" in failed


def fractional_shift(n, amount):
    """The orthogonal circulant matrix that moves a band-limited function on the n-cycle by ``amount``, n odd."""
    frequency = np.fft.fftfreq(n, 1 / n)
    return np.fft.ifft(np.exp(-2j * np.pi * frequency[:, None] * amount / n) * np.fft.fft(np.eye(n), axis=0), axis=0).real


def test_a_model_that_is_no_truncation_drifts(as_world):
    """Steps of 1.05 for steps of 1, exact staying: s = .151, ||B|| = 1, and at 20 steps the planner stops one short."""
    n, horizon = 25, 21
    shift = np.roll(np.eye(n), 1, axis=1)
    world = as_world([np.eye(n), shift])
    model = np.stack([np.eye(n), fractional_shift(n, 1.05).T])
    identity = np.broadcast_to(np.eye(n), model.shape)
    embedding = Embedding(identity, model * n, np.full(n, 1 / n))
    assert np.abs(embedding.transition() - model).max() < 1e-12
    left_out = scipy.linalg.norm(shift - model[1], 2)
    assert left_out < 0.16 and scipy.linalg.norm(model[1], 2) < 1 + 1e-12
    reached = [np.linalg.matrix_power(shift, c)[0, 21] for c in range(horizon + 1)]
    believed = [np.linalg.matrix_power(model[1], c)[0, 21] for c in range(horizon + 1)]
    regret = max(reached) - reached[int(np.argmax(believed))]
    assert regret == 1 > 3 * 2 * left_out
    plan = plan_goals(world.mdp, embedding, horizon=2, starts=[0])
    for shared in (False, True):
        failed = [a.text for a in horizon_free_bound(world.exact, embedding, plan, shared=shared).assumptions if not a.holds]
        assert len(failed) == 1 and failed[0].startswith("every B(a)")


def test_a_model_of_norm_above_one_grows():
    """Kept singular vectors, one value raised to 1.1: apart as in the theorem, but the steps amplify."""
    s = 0.2
    true, model = np.diag([1.0, s]), np.diag([1.1, 0.0])
    assert np.abs(model @ (true - np.diag([1.0, 0.0]))).max() == 0
    error = [scipy.linalg.norm(np.linalg.matrix_power(true, t) - np.linalg.matrix_power(model, t), 2) for t in (1, 20)]
    assert error[0] <= s < 1 < 5 < error[1]


@pytest.mark.parametrize("horizon", [2, 5, 20])
def test_sharing_breaks_the_constant_of_one_action(horizon):
    """One encoder: each step leaves out a part s of what is kept, the next brings it back where the model is blind to it."""
    s = 0.3
    r, out = np.sqrt(1 - s**2), horizon
    seen = np.diag([1.0] * horizon + [0.0])
    true = model = np.eye(horizon + 1)
    for t in range(horizon):
        step = np.diag([0.0, *np.ones(horizon - 1), 0.0])
        step[[0, out], 0] = r, s
        if t:
            step[:, t] = 0
            step[t, out] = 1.0
        assert scipy.linalg.norm(step, 2) < 1 + 1e-12
        assert scipy.linalg.norm((np.eye(horizon + 1) - seen) @ step, 2) == pytest.approx(s, rel=1e-12)
        true, model = step @ true, seen @ step @ model
    v, b = true[:, 0], model[:, 0]
    error = np.linalg.norm(v - b)
    assert error**2 == pytest.approx(1 - (1 - s**2) ** horizon, rel=1e-12)
    assert 1.3 * horizon_free_error(s, horizon) < error <= horizon_free_error(s, horizon, shared=True) + 1e-12
    # And so does the constant of regret: what of v is orthogonal to b is invisible to the planner.
    hidden = np.linalg.norm(v - (v @ b) / (b @ b) * b)
    assert 1.3 * horizon_free_factor(s, horizon) < hidden <= horizon_free_factor(s, horizon, shared=True) + 1e-12


# --- The bound as a value ----------------------------------------------------------------------------------------------


def test_starts_and_goals_of_their_own(draw_world):
    world = draw_world(2, 5, 2, concentration=0.2, stationary=True)
    starts, goals = np.array([0.3, 0.7, 0, 0, 0]), np.array([0, 0, 0.2, 0.5, 0.3])
    embedding = spectral_embedding(world.exact, 2)
    plan = plan_goals(world.mdp, embedding, horizon=2, starts=starts, goals=goals)
    left_out = max(scipy.linalg.svdvals(world.normalized(a))[2] for a in range(2))
    w = world.weight
    ratio = sum(starts[x] * goals[y] * np.sqrt(w[y] / w[x]) for x in range(5) for y in range(5))
    assert horizon_free_bound(world.exact, embedding, plan).value == pytest.approx(2 * ratio * left_out, rel=1e-9)


def test_a_state_without_mass_is_not_covered(as_world):
    rows = [[[0.9, 0.1, 0], [0.1, 0.9, 0], [0, 0, 1]], [[0.3, 0.7, 0], [0.7, 0.3, 0], [1, 0, 0]]]
    world = as_world(rows, weight=[0.5, 0.5, 0.0])
    embedding = spectral_embedding(world.exact, 2)
    plan = plan_goals(world.mdp, embedding, horizon=2, starts=[0, 1])
    failed = [a.text for a in horizon_free_bound(world.exact, embedding, plan).assumptions if not a.holds]
    assert failed == ["w is positive everywhere"]
    everywhere = plan_goals(world.mdp, embedding, horizon=2, starts=[0, 1, 2])
    for gap in (False, True):
        assert horizon_free_bound(world.exact, embedding, everywhere, gap=gap).value == np.inf
    alone = as_world([np.eye(2)], weight=[1.0, 0.0])
    embedding = spectral_embedding(alone.exact, 1)
    plan = plan_goals(alone.mdp, embedding, starts=[1], goals=[0])
    assert horizon_free_bound(alone.exact, embedding, plan, gap=True).value == np.inf


def test_other_planners_are_not_covered(draw_world):
    world = draw_world(1, 4, 2, stationary=True)
    embedding = spectral_embedding(world.exact, 2, shared=True)
    for options, text in (({"score": "dot"}, "maximises Phat"), ({"rollout": "latent"}, "operator T_a")):
        plan = plan_goals(world.mdp, embedding, horizon=2, **options)
        failed = [a.text for a in horizon_free_bound(world.exact, embedding, plan).assumptions if not a.holds]
        assert len(failed) == 1 and text in failed[0]
    # One encoder for all keeps no singular triplets of each action: the form of the truncated SVDs is refused to it.
    plan = plan_goals(world.mdp, embedding, horizon=2)
    assert horizon_free_bound(world.exact, embedding, plan).holds
    assert not horizon_free_bound(world.exact, embedding, plan, shared=False).holds


def test_wrong_numbers(refused):
    with refused("left_out is 1.2"):
        horizon_free_error(1.2, 3)
    with refused("left_out is 0.6 and contraction 0.5"):
        horizon_free_factor(0.6, 3, contraction=0.5)
    with refused("horizon"):
        horizon_free_error(0.5, 0)
    with refused("model has shape"):
        two_vector_form(np.ones(3), np.ones(2), 0.5)


@pytest.mark.parametrize("family", ["Metropolis chains", "moving blocks"])
def test_the_experiment_measures_what_the_package_does(family):
    module = load_experiment("horizon").module
    mdp = module.FAMILIES[family](0)
    exact, everywhere = CoOccurrence.exact(mdp), np.ones(mdp.n_states) / mdp.n_states
    rows = module.run_cell(family, 2, 0, 200)
    assert {row["shared"] for row in rows} == {False, True}
    for row in rows:
        assert row["all_sequences"] and row["largest_horizon_free"] <= 1 and row["error"] <= row["error_bound"] + 1e-12
        embedding = spectral_embedding(exact, int(row["dim"]), shared=row["shared"])
        plan = plan_goals(mdp, embedding, horizon=2, starts=everywhere)
        assert row["best"] == pytest.approx(plan.average(plan.best), rel=1e-9)
        assert row["regret"] == pytest.approx(plan.mean_regret, rel=1e-6, abs=1e-9)
        for name, bound in (
            ("multi_step", multi_step_bound(exact, embedding, plan)),
            ("horizon_free", horizon_free_bound(exact, embedding, plan)),
            ("horizon_free_gap", horizon_free_bound(exact, embedding, plan, gap=True)),
            ("printed", printed_multi_step_bound(exact, embedding, plan)),
        ):
            assert row[name] == pytest.approx(bound.value, rel=1e-8), name
            assert bound.holds or name == "printed"
    assert max(row["regret"] for row in rows) > 1e-3
