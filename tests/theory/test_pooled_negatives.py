"""docs/negatives.md: what the Euclidean planner prefers, how much it can lose, and the cure by pooled negatives."""

import itertools

import numpy as np
import pytest

from spectral_jepa import (
    Embedding,
    TabularMDP,
    euclidean_regret_ceiling,
    euclidean_single_step_bound,
    make_scatter,
    make_torus,
    outcome_chi_square,
    plan_goals,
    pooled_action_risks,
    pooled_risk,
    pooled_single_step_bound,
    printed_single_step_bound,
    rare_outcome_counterexample,
    spectral_embedding,
    two_state_counterexample,
)
from spectral_jepa.cooccurrence import CoOccurrence

SEEDS = list(range(6))


def pooled_law(world):
    """q(y) = sum_a p(a) sum_x w(x) P(y|x,a), by hand."""
    return np.einsum("a,x,axy->y", world.frequency, world.weight, world.transition)


def white_arrays(law, transition, seed, dim=None):
    """An exact white encoder in a random gauge, f(y) = U_y / sqrt(q(y)), and g(x, a) = sum_y P(y|x,a) f(y)."""
    basis = np.linalg.qr(np.random.default_rng([seed, 3]).standard_normal((len(law), len(law))))[0][:, :dim]
    target = basis / np.sqrt(law)[:, None]
    return target, transition @ target


def halves(predicted, target):
    """-||g(x, a) - f(y)||^2 / 2, shape (A, S, S)."""
    return -np.sum((predicted[:, :, None, :] - target[None, None]) ** 2, axis=-1) / 2


# --- Identity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_an_exact_white_encoder_makes_the_euclidean_score_the_ratio_less_half_the_chi_square(draw_world, seed):
    world = draw_world(seed, 6, 3, concentration=0.4)
    law = pooled_law(world)
    target, predicted = white_arrays(law, world.transition, seed)
    scores = halves(predicted, target) + 1 / (2 * law)
    ratio, square = world.transition / law, np.sum(world.transition**2 / law, axis=2)
    expected = ratio - square[:, :, None] / 2
    assert np.abs(scores - expected).max() < 1e-12 * np.abs(expected).max()
    assert np.abs(outcome_chi_square(world.exact) - (square - 1)).max() < 1e-12 * square.max()
    assert square.min() >= 1 and np.ptp(square, axis=0).max() > 0.1
    # The mean of the distance, not the distance of the mean, has no such term where q is uniform.
    spread = -np.einsum("axz,zy->axy", world.transition, np.sum((target[:, None] - target[None]) ** 2, axis=-1)) / 2
    norms = np.sum(world.transition / law, axis=2)[:, :, None] / 2
    expected = ratio - norms - 1 / (2 * law)
    assert np.abs(spread - expected).max() < 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize("seed", SEEDS)
def test_any_white_encoder_and_any_prediction(draw_world, seed):
    """At any k: Phat / q less half of sum_y Phat^2 / q."""
    world, rng = draw_world(seed, 6, 3), np.random.default_rng([seed, 5])
    law = pooled_law(world)
    target, predicted = white_arrays(law, world.transition, seed, dim=3)
    predicted = predicted + rng.standard_normal(predicted.shape)
    model = law * (predicted @ target.T)
    expected = model / law - np.sum(model**2 / law, axis=2)[:, :, None] / 2 - np.sum(target**2, axis=1) / 2
    assert np.abs(halves(predicted, target) - expected).max() < 1e-12 * np.abs(expected).max()
    # A control: the identity needs whiteness.
    target = target * np.array([2.0, 1.0, 0.5])
    model = law * (predicted @ target.T)
    expected = model / law - np.sum(model**2 / law, axis=2)[:, :, None] / 2 - np.sum(target**2, axis=1) / 2
    assert np.abs(halves(predicted, target) - expected).max() > 0.1


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_it_holds_over_several_steps_and_the_dot_score_is_right(draw_world, seed):
    world = draw_world(seed, 5, 2, concentration=0.3)
    law = pooled_law(world)
    white = spectral_embedding(world.exact, 5, shared=True)
    wrong = 0
    for start in range(5):
        rows = np.stack(
            [
                np.linalg.multi_dot([np.eye(5)[start], *(world.transition[a] for a in actions)])
                for actions in itertools.product(range(2), repeat=3)
            ]
        )
        score = rows / law - np.sum(rows**2 / law, axis=1)[:, None] / 2
        plan = plan_goals(world.mdp, white, horizon=3, score="euclidean", starts=[start])
        assert plan.planned_sequence.ravel().tolist() == score.argmax(axis=0).tolist()
        wrong += (plan.regret > 1e-6).sum()
        assert np.abs(plan.best.ravel() - rows.max(axis=0)).max() < 1e-12
    assert wrong > 0
    assert plan_goals(world.mdp, white, horizon=3, score="dot").mean_regret < 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_pooled_risks_by_hand(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 3)
    law, embedding = pooled_law(world), draw_embedding(seed, world, 2, column_weight=pooled_law(world))
    model = embedding.transition()
    by_hand = [
        sum(world.weight[x] * (world.transition[a, x, y] - model[a, x, y]) ** 2 / law[y] for x in range(5) for y in range(5))
        for a in range(3)
    ]
    assert pooled_action_risks(world.exact, model) == pytest.approx(by_hand, rel=1e-12)
    assert world.frequency @ by_hand == pytest.approx(pooled_risk(world.exact, embedding), rel=1e-12)


# --- Inequalities -----------------------------------------------------------------------------------------------------


def candidates(world, draw_embedding, seed):
    """Truncations of the stack, noisy ones, and pure noise, all read back with q."""
    law = pooled_law(world)
    for dim in (1, 3, len(law)):
        fit = spectral_embedding(world.exact, dim, shared=True)
        noise = draw_embedding(seed, world, dim)
        yield fit
        yield Embedding(fit.target + 0.2 * noise.target, fit.predicted + 0.2 * noise.predicted, law)
        yield Embedding(noise.target, noise.predicted, law)


@pytest.mark.parametrize("seed", SEEDS)
def test_both_bounds_on_random_models(draw_world, draw_embedding, seed):
    world = draw_world(seed, 5, 3, concentration=0.3)
    goal_law, law = np.random.default_rng(seed).dirichlet(np.ones(5)), pooled_law(world)
    lost = {"dot": 0.0, "euclidean": 0.0}
    for embedding in candidates(world, draw_embedding, seed):
        ratio = np.einsum("axk,yk->axy", embedding.predicted, embedding.target)
        risk = np.einsum("x,axy,y->", world.weight, (world.transition - law * ratio) ** 2, 1 / law)
        dot = plan_goals(world.mdp, embedding, score="dot", goals=goal_law)
        pooled = pooled_single_step_bound(world.exact, embedding, dot)
        assert pooled.value == pytest.approx(np.sqrt(2 * np.sum(goal_law**2 * law) * risk), rel=1e-9, abs=1e-12)
        assert pooled.holds and dot.mean_regret <= pooled.value + 1e-10
        plan = plan_goals(world.mdp, embedding, score="euclidean", goals=goal_law)
        bound = euclidean_single_step_bound(world.exact, embedding, plan)
        norms = np.sum(embedding.predicted**2, axis=2)
        terms = np.zeros((5, 5))
        for x, y in itertools.product(range(5), repeat=2):
            best, planned = np.argmax(world.transition[:, x, y]), plan.planned_sequence[x, y]
            error = world.transition[:, x, y] - law[y] * ratio[:, x, y]
            terms[x, y] = error[best] - error[planned] + law[y] * (norms[best, x] - norms[planned, x]) / 2
        assert (plan.regret <= terms + 1e-10).all()
        assert bound.holds and bound.value == pytest.approx(world.weight @ terms @ goal_law, rel=1e-9, abs=1e-12)
        lost = {"dot": lost["dot"] + dot.mean_regret, "euclidean": lost["euclidean"] + plan.mean_regret}
    assert min(lost.values()) > 0.01


def law_pairs(rng, n_states, count):
    """Pairs of laws (count, 2, n), flat to spiky."""
    shape = rng.uniform(0.05, 1.5, size=(count, 2, 1))
    drawn = rng.gamma(np.broadcast_to(shape, (count, 2, n_states))) + 1e-12
    return drawn / drawn.sum(axis=2, keepdims=True)


def euclidean_loss(pairs):
    """Largest regret over the goals of the exact white Euclidean planner, q uniform, between the two laws of each pair."""
    score = pairs - np.sum(pairs**2, axis=2, keepdims=True) / 2
    gap = pairs[:, 0] - pairs[:, 1]
    preferred = score[:, 0] - score[:, 1]
    wrong = np.where(preferred < 0, gap, -gap)
    # Scores that are equal but for rounding order nothing.
    return np.where(np.abs(preferred) > 1e-12, np.maximum(wrong, 0), 0).max(axis=1)


@pytest.mark.parametrize("seed", SEEDS[:2])
@pytest.mark.parametrize("n_states", [2, 3, 6, 24])
def test_no_pair_of_laws_exceeds_the_ceiling(n_states, seed):
    loss = euclidean_loss(law_pairs(np.random.default_rng(seed), n_states, 500))
    assert loss.max() <= euclidean_regret_ceiling(n_states) + 1e-10
    assert n_states == 2 or loss.max() > 0.05


# --- Attained ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_states", [3, 6, 24, 96])
def test_the_ceiling_is_attained(n_states):
    """p at the goal and the rest on one state, against everything but the goal: a tie at p = the ceiling."""
    ceiling = euclidean_regret_ceiling(n_states)
    losses = []
    for reach in (ceiling - 1e-9, ceiling + 1e-9):
        sharp, diffuse = np.zeros(n_states), np.full(n_states, 1 / (n_states - 1))
        sharp[:2], diffuse[0] = (reach, 1 - reach), 0
        score = [law[0] - np.sum(law**2) / 2 for law in (sharp, diffuse)]
        losses.append(sharp[0] - diffuse[0] if score[0] < score[1] else 0.0)
    assert losses == [pytest.approx(ceiling, abs=2e-9), 0.0]
    assert ceiling < 1 - 1 / np.sqrt(2) < ceiling + 0.6 / n_states


@pytest.mark.parametrize("n_states", [6, 24, 96])
def test_scatter_defeats_the_paper_s_planner_at_risk_0(n_states):
    """Uniform, stationary, equal marginals, one white exact encoder: the printed bound is 0, the regret is not."""
    mdp = make_scatter(n_states)
    exact = CoOccurrence.exact(mdp)
    assert np.abs(mdp.next_weight - 1 / n_states).max() < 1e-15
    white = Embedding(*white_arrays(np.full(n_states, 1 / n_states), mdp.transition, 0), np.full(n_states, 1 / n_states))
    assert np.abs(white.target.T @ white.target / n_states - np.eye(n_states)).max() < 1e-12
    if n_states == 6:
        found = spectral_embedding(exact, n_states, shared=True)
        assert np.abs(halves(found.predicted, found.target) - halves(white.predicted, white.target)).max() < 1e-12
    plan = plan_goals(mdp, white, score="euclidean")
    away = 1 - 1 / np.sqrt(2) - 2 / (3 * n_states)
    assert np.abs(plan.regret - away * (1 - np.eye(n_states))).max() < 1e-12
    assert plan.mean_regret == pytest.approx((1 - 1 / n_states) * away, abs=1e-12)
    printed = printed_single_step_bound(exact, white, plan)
    assert printed.value < 1e-10 and printed.holds_as_printed and not printed.holds
    assert [a.text for a in printed.assumptions if not a.holds] == ["the planner ranks actions as g^T f does"]
    honest = euclidean_single_step_bound(exact, white, plan)
    assert plan.mean_regret <= honest.value < 1.6 * plan.mean_regret
    assert plan_goals(mdp, white, score="dot").mean_regret == 0
    # Just above the threshold of the docstring it is right.
    threshold = 1 - np.sqrt((n_states - 1) / (2 * n_states))
    regrets = []
    for reach in (threshold - 1e-6, threshold + 1e-6):
        mdp = make_scatter(n_states, reach=reach)
        white = Embedding(white.target, mdp.transition @ white.target, white.column_weight)
        regrets.append(plan_goals(mdp, white, score="euclidean").mean_regret)
    assert regrets[0] == pytest.approx((1 - 1 / n_states) * (threshold - 1 / n_states), abs=1e-5) and regrets[1] == 0


def test_the_euclidean_bound_is_attained_where_the_planner_hardly_cares():
    n_states = 24
    mdp = make_scatter(n_states, reach=1 - np.sqrt((n_states - 1) / (2 * n_states)) - 1e-7)
    exact = CoOccurrence.exact(mdp)
    white = spectral_embedding(exact, n_states, shared=True)
    plan = plan_goals(mdp, white, score="euclidean")
    bound = euclidean_single_step_bound(exact, white, plan).value
    assert plan.mean_regret > 0.25 and bound == pytest.approx(plan.mean_regret, rel=1e-5)


def test_the_pooled_bound_is_attained_with_marginals_that_differ(as_world):
    """P = q -+ e mu q s, s = +-1 the same in every row, and a model that leans to the wrong action by next to nothing."""
    law, goals = np.array([0.3, 0.3, 0.2, 0.2]), np.array([0.1, 0.1, 0.4, 0.4])
    step = 0.9 * goals * law * np.array([1, -1, 1, -1])
    sign = np.array([1, -1])[:, None, None]
    world = as_world(law + sign * np.tile(step, (4, 1)), weight=[0.1, 0.2, 0.3, 0.4])
    assert np.abs(pooled_law(world) - law).max() < 1e-15
    assert np.ptp(world.next_weight, axis=0).max() > 0.1
    model = law - 1e-7 * sign * np.tile(step, (4, 1))
    embedding = Embedding(np.eye(4), model / law, law)
    plan = plan_goals(world.mdp, embedding, score="dot", goals=goals)
    bound = pooled_single_step_bound(world.exact, embedding, plan)
    assert plan.mean_regret == pytest.approx(2 * goals @ np.abs(step), rel=1e-12) and plan.mean_regret > 0.1
    assert bound.holds and bound.value == pytest.approx(plan.mean_regret, rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("horizon", [1, 3])
def test_at_full_dimension_the_dot_score_with_pooled_negatives_loses_nothing(draw_world, seed, horizon):
    world = draw_world(seed, 5, 3, concentration=0.2)
    regrets = [
        plan_goals(world.mdp, spectral_embedding(world.exact, 5, shared=shared), score=score, horizon=horizon).mean_regret
        for shared, score in ((True, "dot"), (False, "dot"))
    ]
    assert regrets[0] < 1e-12 and regrets[1] > 1e-3


def test_no_bias_where_all_outcomes_are_equally_predictable(draw_world):
    """Deterministic worlds, whatever their marginals, and tori whose actions spread alike."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        law, successor = rng.dirichlet(np.ones(6)), rng.integers(6, size=(3, 6))
        world = draw_world(0, 6, 3)
        world.transition, world.weight = np.eye(6)[successor], law
        white = spectral_embedding(world.exact, 6, shared=True)
        assert plan_goals(world.mdp, white, score="euclidean", horizon=2).mean_regret < 1e-12
    torus = make_torus(4, slip=0.4)
    white = spectral_embedding(CoOccurrence.exact(torus), 16, shared=True)
    plan = plan_goals(torus, white, score="euclidean")
    assert plan.mean_regret < 1e-12 < plan.best.max() - plan.best.min()


# --- Controls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rarity", [0.2, 0.02])
def test_beyond_uniform_laws_there_is_no_ceiling_below_1(rarity):
    mdp = rare_outcome_counterexample(rarity)
    exact = CoOccurrence.exact(mdp)
    assert np.abs(mdp.next_weight - mdp.weight).max() < 1e-15
    target, predicted = white_arrays(mdp.weight, mdp.transition, 0)
    white = Embedding(target, predicted, mdp.weight)
    assert pooled_risk(exact, white) < 1e-20
    plan = plan_goals(mdp, white, score="euclidean", starts=[0], goals=[2])
    assert plan.mean_regret == pytest.approx(1 - 1.5 * rarity, abs=1e-9)
    assert plan.mean_regret > euclidean_regret_ceiling(4) + 0.4
    assert plan_goals(mdp, white, score="dot", starts=[0], goals=[2]).mean_regret == 0


def test_the_ceiling_needs_an_exact_white_encoder():
    """One world: f shrunk and g stretched, which is exact but not white, or g of another action, which is not exact."""
    mdp = make_scatter(6, reach=0.95)
    white = spectral_embedding(CoOccurrence.exact(mdp), 6, shared=True)
    assert plan_goals(mdp, white, score="euclidean").mean_regret == 0
    stretched = white.rotate(np.eye(6) / 3)
    assert np.abs(stretched.transition() - mdp.transition).max() < 1e-12
    for embedding in (stretched, Embedding(white.target, white.predicted[::-1], white.column_weight)):
        assert plan_goals(mdp, embedding, score="euclidean").regret.max() > euclidean_regret_ceiling(6)


def test_negatives_of_each_action_or_another_score_are_not_covered():
    mdp = two_state_counterexample()
    exact = CoOccurrence.exact(mdp)
    own, pooled = (spectral_embedding(exact, 2, shared=shared) for shared in (False, True))
    plan = plan_goals(mdp, own, score="dot")
    bound = pooled_single_step_bound(exact, own, plan)
    assert plan.mean_regret == pytest.approx(0.05) and bound.value < 1e-12 and not bound.holds
    assert pooled_single_step_bound(exact, own, plan_goals(mdp, own)).holds  # Phat itself may be read back in any way
    scatter = make_scatter(6)
    white = spectral_embedding(CoOccurrence.exact(scatter), 6, shared=True)
    plan = plan_goals(scatter, white, score="euclidean")
    bound = pooled_single_step_bound(CoOccurrence.exact(scatter), white, plan)
    assert plan.mean_regret > 0.15 and bound.value < 1e-12 and not bound.holds
    assert not euclidean_single_step_bound(exact, own, plan_goals(mdp, own, score="euclidean")).holds
    assert not euclidean_single_step_bound(exact, pooled, plan_goals(mdp, pooled, score="dot")).holds


def test_an_encoder_for_each_action_breaks_the_euclidean_bound(as_world):
    """f of action 1 far away: the same g^T f, the same risk, another distance."""
    world = as_world([[[0.9, 0.1], [0.1, 0.9]], [[0.2, 0.8], [0.8, 0.2]]])
    law = np.full(2, 0.5)
    target, predicted = white_arrays(law, world.transition, 0)
    scale = np.array([10.0, 1.0])[:, None, None]
    embedding = Embedding(scale * target, predicted / scale, law)
    plan = plan_goals(world.mdp, embedding, score="euclidean")
    bound = euclidean_single_step_bound(world.exact, embedding, plan)
    assert plan.mean_regret > bound.value + 0.1 and not bound.holds


def test_several_steps_and_rare_starts_are_not_covered(as_world, draw_world):
    good, bad = np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([[0.5, 0.5], [0.9, 0.1]])
    world = as_world([good, bad], weight=[1 - 1e-6, 1e-6])
    law = pooled_law(world)
    embedding = Embedding(np.eye(2), np.full((2, 2, 2), 0.5) / law, law)
    plan = plan_goals(world.mdp, embedding, starts=[1], goals=[0], score="dot")
    bound = pooled_single_step_bound(world.exact, embedding, plan)
    assert plan.mean_regret == pytest.approx(0.8) and bound.value < 0.01 and not bound.holds
    two = plan_goals(world.mdp, embedding, horizon=2, score="dot")
    assert not pooled_single_step_bound(world.exact, embedding, two).holds
    euclidean = plan_goals(world.mdp, embedding, horizon=2, score="euclidean")
    bound = euclidean_single_step_bound(world.exact, embedding, euclidean)
    assert bound.value == np.inf and not bound.holds


def test_mass_where_no_action_leads_has_no_finite_bound(as_world):
    world = as_world([[[1.0, 0.0], [1.0, 0.0]]])
    assert pooled_action_risks(world.exact, np.full((1, 2, 2), 0.5)).tolist() == [np.inf]
    assert pooled_action_risks(world.exact, world.transition).tolist() == [0.0]
    embedding = Embedding(np.eye(2), np.full((1, 2, 2), 0.5), np.full(2, 0.5))
    plan = plan_goals(world.mdp, embedding, score="dot")
    assert pooled_single_step_bound(world.exact, embedding, plan).value == np.inf
    nowhere = plan_goals(world.mdp, embedding, score="dot", goals=[1])
    assert pooled_single_step_bound(world.exact, embedding, nowhere).value == 0 == nowhere.mean_regret


def test_wrong_input_is_refused(refused, as_world):
    exact = as_world([np.eye(2)]).exact
    with refused("n_states is 1", "expected"):
        euclidean_regret_ceiling(1)
    with refused("transition", "expected"):
        pooled_action_risks(exact, np.zeros((2, 2, 2)))
    with refused("rarity is 0.3", "expected"):
        rare_outcome_counterexample(0.3)


# --- A search ---------------------------------------------------------------------------------------------------------


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def draw_parts(rng, count, n_states, n_actions):
    """Logits of P, w, p, mu and the model's error, for ``count`` instances."""
    spread = rng.uniform(0.2, 4, size=(count, 1, 1, 1))
    return [
        spread * rng.standard_normal((count, n_actions, n_states, n_states)),
        rng.standard_normal((count, n_states)),
        rng.standard_normal((count, n_actions)),
        rng.standard_normal((count, n_states)),
        rng.uniform(0, 3, size=(count, 1, 1, 1)) * rng.standard_normal((count, n_actions, n_states, n_states)),
    ]


def ratios(parts):
    """regret / bound of the dot planner on average, and largest regret / bound at a pair of the Euclidean one, as loops."""
    transition, weight, frequency, goals = (softmax(part) for part in parts[:4])
    law = np.einsum("ia,ix,iaxy->iy", frequency, weight, transition)
    model = transition + parts[4] * law[:, None, None]  # the density ratio errs by parts[4]
    scores = model / law[:, None, None]

    def taken(table, action):
        return np.take_along_axis(table, action[:, None], axis=1)[:, 0]

    best = transition.argmax(axis=1)
    dot = scores.argmax(axis=1)
    regret = taken(transition, best) - taken(transition, dot)
    mean = np.einsum("ix,ixy,iy->i", weight, regret, goals)
    risk = np.einsum("ix,iaxy,iy->i", weight, (transition - model) ** 2, 1 / law)
    pooled = mean / np.sqrt(2 * np.sum(goals**2 * law, axis=1) * risk)
    # A white encoder reads the model as ||g||^2 = sum Phat^2 / q.
    norm = np.sum(model**2 / law[:, None, None], axis=3)
    euclidean = (scores - norm[..., None] / 2).argmax(axis=1)
    regret = taken(transition, best) - taken(transition, euclidean)
    part = transition - model + law[:, None, None] * norm[..., None] / 2
    bound = taken(part, best) - taken(part, euclidean)
    there = regret > 1e-9
    assert (bound[there] >= regret[there] - 1e-10).all()
    return pooled, np.where(there, regret / np.where(there, bound, 1.0), 0).max(axis=(1, 2))


def climb(rng, parts, which, n_rounds):
    """Change every instance a little, keep what comes nearer to its bound."""
    value = ratios(parts)[which]
    for step in np.geomspace(1.0, 0.003, n_rounds):
        kept = rng.random((len(value), len(parts))) < 0.5
        moved = []
        for index, part in enumerate(parts):
            mask = kept[:, index].reshape(-1, *[1] * (part.ndim - 1))
            moved.append(part + step * mask * rng.standard_normal(part.shape))
        new = ratios(moved)[which]
        better = new > value
        for part, candidate in zip(parts, moved, strict=True):
            part[better] = candidate[better]
        value = np.where(better, new, value)
    return value


@pytest.mark.parametrize("seed", [0])
def test_search_a_little(seed):
    rng = np.random.default_rng(seed)
    found = [climb(rng, draw_parts(rng, 60, 3, 2), which, 60).max() for which in (0, 1)]
    assert max(found) <= 1 + 1e-10
    assert min(found) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("n_states, n_actions", [(2, 2), (3, 2), (4, 3), (6, 2)])
def test_search_20000_instances_and_climb(n_states, n_actions):
    rng = np.random.default_rng([n_states, n_actions])
    drawn = ratios(draw_parts(rng, 20_000, n_states, n_actions))
    assert max(part.max() for part in drawn) <= 1 + 1e-10
    climbed = [climb(rng, draw_parts(rng, 500, n_states, n_actions), which, 400) for which in (0, 1)]
    pairs = law_pairs(rng, n_states, 20_000)
    loss = euclidean_loss(pairs)
    for step in np.geomspace(1.0, 1e-4, 400):
        moved = pairs * np.exp(step * rng.standard_normal(pairs.shape))
        moved /= moved.sum(axis=2, keepdims=True)
        new = euclidean_loss(moved)
        pairs[new > loss], loss = moved[new > loss], np.maximum(loss, new)
    ceiling = euclidean_regret_ceiling(n_states)
    assert max(part.max() for part in climbed) <= 1 + 1e-10
    assert loss.max() <= ceiling + 1e-10
    print([part.max() for part in drawn], [part.max() for part in climbed], loss.max(), ceiling)
    assert min(part.max() for part in climbed) > 0.8
    assert n_states == 2 or loss.max() > 0.97 * ceiling


def test_risk_zero_says_nothing_of_states_that_were_never_an_anchor():
    """Two steps through a state with w = 0, where the actions part: at risk 0 the planner cannot tell them apart."""
    way = np.zeros((2, 4, 4))
    way[:, 0, 1] = 1  # from the start to a state that no data begin in
    way[0, 1, 2] = way[1, 1, 3] = 1
    way[:, 2, 2] = way[:, 3, 3] = 1
    mdp = TabularMDP(way, weight=[0.5, 0, 0.25, 0.25])
    exact = CoOccurrence.exact(mdp)
    embedding = spectral_embedding(exact, 4, shared=True)
    assert pooled_risk(exact, embedding) < 1e-20
    plan = plan_goals(mdp, embedding, horizon=2, score="dot", rollout="operator", starts=[0], goals=[2, 3])
    assert plan.best.min() == 1 and plan.regret.max() == 1
    one_step = plan_goals(mdp, embedding, score="dot", starts=[0, 2, 3])
    assert one_step.regret.max() == 0 and one_step.best.max() == 1
