"""docs/theory.md, 2.6: soft whitening keeps direction i at squared scale max(0, 1 - (1 - s_i^2) / (2 lam)), or loses it."""

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from spectral_jepa import CoOccurrence, Embedding, TabularMDP, make_autoregressive, spectral_risk
from spectral_jepa.sweep.experiment import load_experiment
from spectral_jepa.theory.whitening import (
    soft_whitening_embedding,
    soft_whitening_loss,
    soft_whitening_scales,
    soft_whitening_value,
    target_second_moment,
)

TOLERANCE = 1e-10
PENALTIES = [0.1, 0.25, 0.35, 0.7]


def scales_by_hand(values, penalty):
    return [max(0.0, 1 - (1 - s * s) / (2 * penalty)) for s in values]


def value_by_hand(values, penalty):
    return sum(
        d * (1 - s * s) + penalty * (d - 1) ** 2 for s, d in zip(values, scales_by_hand(values, penalty), strict=True)
    )


def loss_by_hand(world, target, predicted, penalty, action=0):
    n_states, dim = target.shape
    total, moment = 0.0, np.zeros((dim, dim))
    for x in range(n_states):
        for y in range(n_states):
            mass = world.weight[x] * world.transition[action, x, y]
            total += mass * np.sum((predicted[x] - target[y]) ** 2)
            moment += mass * np.outer(target[y], target[y])
    return total + penalty * np.sum((moment - np.eye(dim)) ** 2)


def joint_loss(world, dim, price):
    """The loss in f and g, both free, with its gradient; ``price`` maps F^T F to a penalty and its gradient in F^T F."""
    joint = world.weight[:, None] * world.transition[0]
    w, after = world.weight[:, None], world.next_weight[0][:, None]

    def evaluate(flat):
        f, g = flat.reshape(2, len(joint), dim)
        value, slope = price(f.T @ (after * f))
        value += np.sum(w * g**2) + np.sum(after * f**2) - 2 * np.sum(joint * (g @ f.T))
        down_f = 2 * after * f - 2 * joint.T @ g + after * (f @ (slope + slope.T))
        return value, np.concatenate([down_f.ravel(), (2 * w * g - 2 * joint @ f).ravel()])

    return evaluate


def frobenius(penalty, dim):
    return lambda moment: (penalty * np.sum((moment - np.eye(dim)) ** 2), 2 * penalty * (moment - np.eye(dim)))


def descend(world, dim, price, seed):
    """L-BFGS over the tables f and g from a random start; the loss, f and g."""
    n_states = len(world.weight)
    start = np.random.default_rng(seed).standard_normal(2 * n_states * dim)
    options = {"maxiter": 20000, "maxfun": 50000, "ftol": 0, "gtol": 1e-9}
    end = scipy.optimize.minimize(joint_loss(world, dim, price), start, jac=True, method="L-BFGS-B", options=options)
    return end.fun, *end.x.reshape(2, n_states, dim)


def second_moment(world, f):
    return scipy.linalg.eigvalsh(f.T @ (world.next_weight[0][:, None] * f))[::-1]


@pytest.fixture(scope="module")
def world(draw_world):
    return draw_world(2, 6, 1, concentration=0.3)


def test_gradient_used_here_is_the_derivative_of_the_loss(world):
    rng = np.random.default_rng(0)
    point, direction = rng.standard_normal((2, 36))
    evaluate = joint_loss(world, 3, frobenius(0.3, 3))
    assert evaluate(point)[0] == pytest.approx(loss_by_hand(world, *point.reshape(2, 6, 3), 0.3), abs=TOLERANCE)
    ends = [evaluate(point + h * direction)[0] for h in (-1e-5, 1e-5)]
    assert (ends[1] - ends[0]) / 2e-5 == pytest.approx(evaluate(point)[1] @ direction, rel=1e-7)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_descent_finds_the_predicted_rank_scales_and_value(world, penalty, seed):
    dim = 4
    values = scipy.linalg.svdvals(world.normalized(0))[:dim]
    predicted = np.array(scales_by_hand(values, penalty))
    assert np.abs(soft_whitening_scales(values, penalty) - predicted).max() < TOLERANCE
    assert soft_whitening_value(values, penalty) == pytest.approx(value_by_hand(values, penalty), abs=TOLERANCE)
    loss, f, g = descend(world, dim, frobenius(penalty, dim), seed)
    assert loss == pytest.approx(loss_by_hand(world, f, g, penalty), abs=TOLERANCE)
    assert value_by_hand(values, penalty) - TOLERANCE <= loss < value_by_hand(values, penalty) + 1e-7
    found = second_moment(world, f)
    assert np.abs(found - predicted).max() < 1e-4
    assert np.sum(found > 1e-3) == np.sum(predicted > 0)
    # The functions kept are the leading right singular ones: nothing of F lies outside their span.
    right = np.linalg.svd(world.normalized(0))[2][: np.sum(predicted > 0)].T
    table = np.sqrt(world.next_weight[0])[:, None] * f
    assert np.abs(table - right @ (right.T @ table)).max() < 1e-2
    assert np.abs(g - world.transition[0] @ f).max() < 1e-4


def test_the_penalties_above_cover_collapse_and_none(world):
    values = scipy.linalg.svdvals(world.normalized(0))[:4]
    ranks = [np.sum(np.array(scales_by_hand(values, penalty)) > 0) for penalty in PENALTIES]
    assert ranks == [1, 2, 3, 4]


@pytest.mark.parametrize("penalty", [*PENALTIES, np.inf])
@pytest.mark.parametrize("shared, centred", [(False, False), (True, False), (False, True)])
def test_closed_form_attains_the_value(draw_world, penalty, shared, centred):
    world = draw_world(3, 6, 2, concentration=0.3)
    dim, skip = 4, int(centred)
    embedding = soft_whitening_embedding(world.exact, dim, penalty, shared=shared, centred=centred)
    matrices = [world.stacked()] if shared else [world.normalized(a) for a in range(2)]
    shares = np.array([1.0]) if shared else np.eye(2)
    for i, matrix in enumerate(matrices):
        values = scipy.linalg.svdvals(matrix)[skip : dim + skip]
        shared_weights = world.frequency if shared else shares[i]
        moment = np.tensordot(shared_weights, target_second_moment(world.exact, embedding), 1)
        scales = np.ones(dim) if penalty == np.inf else np.array(scales_by_hand(values, penalty))
        assert np.abs(moment - np.diag(scales)).max() < TOLERANCE
        if penalty == np.inf:
            expected = sum(1 - s * s for s in values)
            assert soft_whitening_value(values, penalty) == pytest.approx(expected, abs=TOLERANCE)
        else:
            expected = value_by_hand(values, penalty)
            loss = sum(
                p * loss_by_hand(world, embedding.targets[a], embedding.predicted[a], 0.0, a)
                for a, p in enumerate(shared_weights)
            )
            loss += penalty * np.sum((moment - np.eye(dim)) ** 2)
            assert loss == pytest.approx(expected, abs=TOLERANCE)
            if not shared:
                assert soft_whitening_loss(world.exact, embedding, penalty)[i] == pytest.approx(expected, abs=TOLERANCE)
        if not shared:
            # What softness costs the model: every kept direction is shrunk by its squared scale.
            every = scipy.linalg.svdvals(matrix)
            kept = np.r_[np.zeros(skip), scales, np.zeros(6 - dim - skip)]
            risk = np.sum((1 - kept) ** 2 * every**2)
            assert spectral_risk(world.exact, embedding)[i] == pytest.approx(risk, abs=TOLERANCE)


@pytest.mark.parametrize("penalty", [0.1, 0.45])
def test_no_competitor_is_below(draw_world, draw_embedding, penalty):
    world = draw_world(5, 6, 2, concentration=0.3)
    for dim in (1, 3):
        floor = [value_by_hand(scipy.linalg.svdvals(world.normalized(a))[:dim], penalty) for a in range(2)]
        best = soft_whitening_embedding(world.exact, dim, penalty)
        for trial in range(50):
            far = draw_embedding(trial, world, dim, shared=False, scale=0.5)
            near = Embedding(best.target + 1e-2 * far.target, best.predicted + 1e-2 * far.predicted, best.column_weight)
            for other in (far, near):
                assert (soft_whitening_loss(world.exact, other, penalty) > floor).all()
    assert min(floor) > 0.1


def test_threshold_is_s_squared_equal_to_one_minus_two_lambda():
    """AR(1) worlds have s_i = rho^(i-1): the second direction enters at lam = (1 - rho^2) / 2, from both sides."""
    exact = CoOccurrence.exact(make_autoregressive(6, 0.6))
    critical = (1 - 0.6**2) / 2
    below, above = (soft_whitening_embedding(exact, 3, critical + step) for step in (-1e-3, 1e-3))
    assert (below.target[0][:, 1:] == 0).all() and (below.predicted[0][:, 1:] == 0).all()
    assert np.abs(above.target[0][:, 1]).max() > 0.01 and (above.target[0][:, 2] == 0).all()
    slope = target_second_moment(exact, above)[0, 1, 1]
    assert slope == pytest.approx(1 - (1 - 0.36) / (2 * critical + 2e-3), abs=TOLERANCE)
    assert soft_whitening_scales([0.6], critical - 1e-9).item() == 0 < soft_whitening_scales([0.6], critical + 1e-9).item()


def test_no_other_stationary_point_is_a_minimum(world):
    """Any eigenfunctions at their scales are stationary; unless they are the leading ones, the Hessian has a way down."""
    penalty, dim, n_states = 0.35, 2, 6
    _, values, right_t = np.linalg.svd(world.normalized(0))
    root = np.sqrt(world.next_weight[0])[:, None]
    scales = np.array(scales_by_hand(values, penalty))
    assert np.sum(scales > 0) == 3

    def reduced(tables):
        """The loss at the best prediction as a function of sqrt(w+) f, and its gradient (g is at its own minimum)."""
        f = tables.reshape(n_states, dim) / root
        value, gradient = joint_loss(world, dim, frobenius(penalty, dim))(
            np.r_[f.ravel(), (world.transition[0] @ f).ravel()]
        )
        assert np.abs(gradient[n_states * dim :]).max() < TOLERANCE
        return value, (gradient[: n_states * dim].reshape(f.shape) / root).ravel()

    for chosen in [(0, 1), (0, 2), (1, 2), (0, None), (1, None), (None, None)]:
        columns = [np.zeros(n_states) if i is None else np.sqrt(scales[i]) * right_t[i] for i in chosen]
        point = np.stack(columns, axis=1).ravel()
        value, gradient = reduced(point)
        assert np.abs(gradient).max() < TOLERANCE
        steps = 1e-4 * np.eye(point.size)
        hessian = np.array([(reduced(point + e)[1] - reduced(point - e)[1]) / 2e-4 for e in steps])
        least = scipy.linalg.eigvalsh(hessian + hessian.T)[0] / 2
        if chosen == (0, 1):
            assert value == pytest.approx(value_by_hand(values[:2], penalty), abs=TOLERANCE) and least > -1e-6
        else:
            assert value > value_by_hand(values[:2], penalty) + 1e-2 and least < -1e-2


def gradient_descent(matrix, start, penalty, n_steps=4000, size=0.05):
    """Plain steps on F, the prediction being the best one: tr F^T (I - Mbar^T Mbar) F + lam ||F^T F - I||^2."""
    price, identity, table = np.eye(len(start)) - matrix.T @ matrix, np.eye(start.shape[1]), start
    for _ in range(n_steps):
        gap = table.T @ table - identity
        table = table - size * (2 * price @ table + 4 * penalty * table @ gap)
    gap = table.T @ table - identity
    return table, np.trace(table.T @ price @ table) + penalty * np.sum(gap**2)


def test_almost_every_start_and_not_every_start(world):
    """f = 0 is stationary; a start without a function never acquires it; next to either, descent finds the optimum."""
    penalty, dim = 0.35, 2
    matrix = world.normalized(0)
    _, values, right_t = np.linalg.svd(matrix)
    best = value_by_hand(values[:dim], penalty)
    empty = np.zeros((6, dim))
    _, gradient = joint_loss(world, dim, frobenius(penalty, dim))(np.zeros(2 * 6 * dim))
    assert (gradient == 0).all()
    table, value = gradient_descent(matrix, empty, penalty)
    assert (table == 0).all() and value == pytest.approx(dim * penalty) and value > best + 0.05
    rng = np.random.default_rng(0)
    without = rng.standard_normal((6, dim))
    without -= np.outer(right_t[1], right_t[1] @ without)
    table, value = gradient_descent(matrix, without, penalty, n_steps=400)
    assert np.abs(right_t[1] @ table).max() < 1e-6  # exact arithmetic has 0; rounding would take thousands of steps
    assert value > best + 0.01
    for start in (1e-3 * rng.standard_normal((6, dim)), without + 1e-2 * rng.standard_normal((6, dim))):
        assert gradient_descent(matrix, start, penalty)[1] == pytest.approx(best, abs=1e-6)


def test_a_penalty_on_variances_alone_does_not_keep_the_rank(world):
    """Negative control: without the off-diagonal part every coordinate becomes the constant, at no cost at all."""
    penalty, dim = 0.35, 4

    def variances(moment):
        gap = np.diag(np.diagonal(moment) - 1)
        return penalty * np.sum(gap**2), 2 * penalty * gap

    values = scipy.linalg.svdvals(world.normalized(0))[:dim]
    assert value_by_hand(values, penalty) > 0.5 and np.sum(np.array(scales_by_hand(values, penalty)) > 0) > 1
    for seed in range(3):
        loss, f, _ = descend(world, dim, variances, seed)
        found = second_moment(world, f)
        assert abs(loss) < 1e-7 and np.abs(found - [dim, 0, 0, 0]).max() < 1e-2


def test_a_prediction_that_is_not_the_best_moves_the_threshold(world):
    """Negative control: with g = 0 nothing is predicted, and every direction has the scale of s = 0."""
    penalty, dim = 0.7, 3

    def without_prediction(flat):
        f = flat.reshape(6, dim)
        after = world.next_weight[0][:, None]
        gap = f.T @ (after * f) - np.eye(dim)
        return np.sum(after * f**2) + penalty * np.sum(gap**2), (2 * after * f + 4 * penalty * after * (f @ gap)).ravel()

    start = np.random.default_rng(0).standard_normal(18)
    end = scipy.optimize.minimize(without_prediction, start, jac=True, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-9})
    found = second_moment(world, end.x.reshape(6, dim))
    assert np.abs(found - (1 - 1 / 1.4)).max() < 1e-6
    values = scipy.linalg.svdvals(world.normalized(0))[:dim]
    assert np.abs(soft_whitening_scales(values, penalty) - found).max() > 0.5


@pytest.mark.parametrize(
    "family, correlation, penalty, rank",
    [("autoregressive", 0.8, 0.3, 3), ("garnet", None, 0.2, None), ("block 5", None, 0.3, 2)],
)
def test_experiment_agrees(family, correlation, penalty, rank):
    """AR(1), rho = .8: s^2 = 1, .64, .4096, .262 against 1 - 2 lam = .4."""
    cell = {"family": family, "correlation": correlation, "penalty": penalty, "dim": 6, "n_starts": 2, "seed": 0}
    rows = load_experiment("soft_whitening")(**cell)
    assert len(rows) == 12
    for row in rows:
        assert row["found_rank"] == row["predicted_rank"] == (rank or row["predicted_rank"])
        assert abs(row["gap"]) < 1e-8 and row["found_value"] > 0.1
        assert row["found_scale"] == pytest.approx(scales_by_hand([row["singular_value"]], penalty)[0], abs=1e-5)


def test_wrong_input(draw_world, refused):
    exact = draw_world(0, 5, 1).exact
    for penalty, fragment in ((0, "above 0"), (-1.0, "above 0"), (np.nan, "penalty is nan")):
        with refused("penalty is", fragment):
            soft_whitening_scales([0.5], penalty)
        with refused("penalty is", fragment):
            soft_whitening_embedding(exact, 2, penalty)
    with refused("singular_values hold 1.5", "between 0 and 1"):
        soft_whitening_value([0.5, 1.5], 0.3)
    with refused("dim is 6", "between 1 and 5"):
        soft_whitening_embedding(exact, 6, 0.3)


def test_states_without_mass_change_nothing(draw_world):
    """Two states that nothing visits: the same scales, and zeros in f and g."""
    small = draw_world(2, 4, 1, concentration=0.3)
    transition = np.zeros((1, 6, 6))
    transition[0, :4, :4] = small.transition[0]
    transition[0, 4:, 0] = 1
    large = CoOccurrence.exact(TabularMDP(transition, weight=np.r_[small.weight, 0, 0]))
    embedding = soft_whitening_embedding(large, 4, 0.7)
    scales = scales_by_hand(scipy.linalg.svdvals(small.normalized(0)), 0.7)
    assert np.abs(np.diagonal(target_second_moment(large, embedding)[0]) - scales).max() < TOLERANCE
    assert (embedding.target[0][4:] == 0).all() and (embedding.predicted[0][4:] == 0).all() and min(scales) > 0.1
