"""docs/theory.md, 4.6 and 4.7: exact sampling variance, matrix Bernstein, and the row sums of the plug-in model."""

import itertools

import numpy as np
import pytest
import scipy.linalg

from spectral_jepa import (
    CoOccurrence,
    Transitions,
    bernstein_bound,
    expected_squared_error,
    sample_transitions,
    spectral_embedding,
)


def formula_by_hand(world, action, n_samples):
    """(S - ||Mbar||_F^2) / N with S = sum w(x, y) / (w(x) w+(y))."""
    after, total, norm = world.next_weight[action], 0.0, 0.0
    for x in range(len(world.weight)):
        for y in range(len(world.weight)):
            joint = world.weight[x] * world.transition[action, x, y]
            if joint > 0:
                total += joint / (world.weight[x] * after[y])
                norm += joint**2 / (world.weight[x] * after[y])
    return (total - norm) / n_samples


@pytest.mark.parametrize("n_samples", [1, 2, 3])
@pytest.mark.parametrize("seed", [3])
def test_full_enumeration_of_all_samples(draw_world, n_samples, seed):
    """Every sample of N transitions of a two-state world, each with its probability: an equality, not a limit."""
    world = draw_world(seed, 2, 1)
    joint = world.weight[:, None] * world.transition[0]
    mean_error, mean_matrix, mass = 0.0, np.zeros((2, 2)), 0.0
    for sample in itertools.product(itertools.product(range(2), repeat=2), repeat=n_samples):
        probability = np.prod([joint[x, y] for x, y in sample])
        states, successors = zip(*sample, strict=True)
        data = Transitions(states, [0] * n_samples, successors, n_states=2)
        estimate = CoOccurrence.from_transitions(data, "known", known=world.mdp).normalized[0]
        mean_error += probability * np.linalg.norm(estimate - world.normalized(0)) ** 2
        mean_matrix += probability * estimate
        mass += probability
    assert mass == pytest.approx(1, abs=1e-12)
    assert np.abs(mean_matrix - world.normalized(0)).max() < 1e-12  # unbiased
    assert mean_error == pytest.approx(formula_by_hand(world, 0, n_samples), rel=1e-10)
    assert expected_squared_error(world.exact, n_samples)[0] == pytest.approx(mean_error, rel=1e-10)
    assert mean_error > 0.1


@pytest.mark.parametrize("seed", [3])
def test_plug_in_estimates_obey_another_law(draw_world, seed):
    """Negative control: divided by the counts' own marginals, one transition always gives a matrix of norm 1."""
    world = draw_world(seed, 2, 1)
    joint = world.weight[:, None] * world.transition[0]
    mean_error = 0.0
    for x, y in itertools.product(range(2), repeat=2):
        estimate = CoOccurrence.from_transitions(Transitions([x], [0], [y], n_states=2)).normalized[0]
        assert np.linalg.norm(estimate) == pytest.approx(1)
        mean_error += joint[x, y] * np.linalg.norm(estimate - world.normalized(0)) ** 2
    assert abs(mean_error / formula_by_hand(world, 0, 1) - 1) > 0.05


@pytest.mark.parametrize("n_samples", [1, 2])
@pytest.mark.parametrize("seed", [4])
def test_full_enumeration_of_pooled_samples(draw_world, n_samples, seed):
    """The stacked matrix from N i.i.d. (x, a, x+), cells counted over N and divided by sqrt(rho q)."""
    world = draw_world(seed, 2, 2)
    q, n = world.frequency @ world.next_weight, n_samples
    cells = list(itertools.product(range(2), repeat=3))
    law = {(a, x, y): world.frequency[a] * world.weight[x] * world.transition[a, x, y] for a, x, y in cells}
    mean_error = 0.0
    for sample in itertools.product(cells, repeat=n):
        estimate = np.zeros((4, 2))
        for a, x, y in sample:
            estimate[2 * a + x, y] += 1 / n / np.sqrt(world.frequency[a] * world.weight[x] * q[y])
        mean_error += np.prod([law[cell] for cell in sample]) * np.linalg.norm(estimate - world.stacked()) ** 2
    assert float(expected_squared_error(world.exact, n, shared=True)) == pytest.approx(mean_error, rel=1e-10)


@pytest.mark.parametrize("seed", [4])
def test_the_stack_with_known_marginals_weighs_actions_by_their_known_frequency(draw_world, seed):
    """It is another estimate than counts / (N sqrt(rho q)), the one that the pooled formula and Bernstein are about."""
    world, n_transitions = draw_world(seed, 3, 2), 200
    data = sample_transitions(world.mdp, n_transitions=n_transitions, seed=0)
    stacked = CoOccurrence.from_transitions(data, "known", known=world.mdp).stacked.reshape(2, 3, 3)
    rho, q = world.frequency[:, None, None] * world.weight[None, :, None], world.frequency @ world.next_weight
    pooled = data.counts() / n_transitions / np.sqrt(rho * q)
    came_up = data.actions_seen / n_transitions / world.frequency
    assert np.abs(stacked * came_up[:, None, None] - pooled).max() < 1e-12
    assert np.abs(came_up - 1).max() > 0.01


@pytest.mark.parametrize("n_per_action", [50, 400])
@pytest.mark.parametrize("seed", [5])
def test_monte_carlo(draw_world, n_per_action, seed):
    world = draw_world(seed, 3, 2, concentration=5.0)
    exact = world.exact
    rng = np.random.default_rng(n_per_action)
    errors = []
    for _ in range(1500):
        data = sample_transitions(world.mdp, n_per_action, seed=rng)
        estimate = CoOccurrence.from_transitions(data, "known", known=exact)
        errors.append([np.sum((estimate.normalized[a] - exact.normalized[a]) ** 2) for a in range(2)])
    mean, spread = np.mean(errors, axis=0), np.std(errors, axis=0, ddof=1) / np.sqrt(len(errors))
    expected = np.array([formula_by_hand(world, a, n_per_action) for a in range(2)])
    assert np.abs(expected_squared_error(exact, n_per_action) - expected).max() < 1e-12
    assert (np.abs(mean - expected) < 4 * spread).all()
    # The test has the power to tell: without the - ||Mbar||^2 the formula is rejected.
    wrong = expected + [np.linalg.norm(world.normalized(a)) ** 2 / n_per_action for a in range(2)]
    assert (np.abs(mean - wrong) > 5 * spread).all()


def bernstein_by_hand(world, action, n_samples, failure_probability=None):
    after, n = world.next_weight[action], len(world.weight)
    by_row = [sum(world.transition[action, x, y] / after[y] for y in range(n)) for x in range(n)]
    backward = world.weight[:, None] * world.transition[action] / after  # P(x | y)
    by_column = [sum(backward[x, y] / world.weight[x] for x in range(n)) for y in range(n)]
    variance = max(*by_row, *by_column) / n_samples
    largest = 1 / np.sqrt(world.weight.min() * after.min()) + 1
    if failure_probability is None:
        log = np.log(2 * n)
        return np.sqrt(2 * variance * log) + largest * log / (3 * n_samples)
    log = np.log(2 * n / failure_probability)
    return np.sqrt(2 * variance * log) + 2 * largest * log / (3 * n_samples)


@pytest.mark.parametrize("n_per_action", [20, 300])
@pytest.mark.parametrize("seed", [6])
def test_bernstein_holds_in_expectation_and_with_high_probability(draw_world, n_per_action, seed):
    world = draw_world(seed, 4, 2, concentration=0.5)
    exact = world.exact
    in_mean, likely = (bernstein_bound(exact, n_per_action, failure_probability=p) for p in (None, 0.2))
    for action in range(2):
        assert in_mean[action].value == pytest.approx(bernstein_by_hand(world, action, n_per_action), rel=1e-10)
        assert likely[action].value == pytest.approx(bernstein_by_hand(world, action, n_per_action, 0.2), rel=1e-10)
    rng = np.random.default_rng(0)
    norms = []
    for _ in range(300):
        estimate = CoOccurrence.from_transitions(sample_transitions(world.mdp, n_per_action, seed=rng), "known", known=exact)
        norms.append(np.linalg.norm(estimate.normalized - exact.normalized, ord=2, axis=(1, 2)))
    for action, values in enumerate(np.transpose(norms)):
        assert values.mean() <= in_mean[action].value < 6 * values.mean()
        assert np.mean(values > likely[action].value) <= 0.2


@pytest.mark.parametrize("seed", [6])
def test_bernstein_without_the_variance_term_fails(draw_world, seed):
    """Negative control: the range term alone is below the mean error once N is large."""
    world = draw_world(seed, 4, 1, concentration=0.5)
    exact, n = world.exact, 20_000
    rng = np.random.default_rng(1)
    norms = [
        np.linalg.norm(
            CoOccurrence.from_transitions(sample_transitions(world.mdp, n, seed=rng), "known", known=exact).normalized[0]
            - exact.normalized[0],
            ord=2,
        )
        for _ in range(20)
    ]
    log = np.log(8)
    range_term = (1 / np.sqrt(world.weight.min() * world.next_weight[0].min()) + 1) * log / (3 * n)
    assert range_term < np.mean(norms) <= bernstein_bound(exact, n)[0].value


@pytest.mark.parametrize("seed", [7])
def test_pooled_bernstein_is_the_formula_on_the_stack(draw_world, seed):
    world = draw_world(seed, 3, 2)
    rho, q = (world.frequency[:, None] * world.weight).ravel(), world.frequency @ world.next_weight
    joint = rho[:, None] * world.transition.reshape(6, 3)
    variance = max((joint / q).sum(1)[i] / rho[i] for i in range(6))
    variance = max(variance, *(sum(joint[i, y] / rho[i] for i in range(6)) / q[y] for y in range(3))) / 100
    largest = 1 / np.sqrt(rho.min() * q.min()) + 1
    log = np.log(6 + 3)
    (bound,) = bernstein_bound(world.exact, 100, shared=True)
    assert bound.value == pytest.approx(np.sqrt(2 * variance * log) + largest * log / 300, rel=1e-10)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("n_per_action", [5, 12, 40, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_plug_in_rows_sum_to_one_at_every_dimension(draw_world, seed, n_per_action, shared):
    world = draw_world(seed, 8, 2, concentration=0.15)
    cooc = CoOccurrence.from_transitions(sample_transitions(world.mdp, n_per_action, seed=seed))
    seen = cooc.row_weight > 0
    for dim in range(1, 9):
        rows = spectral_embedding(cooc, dim, shared=shared).transition().sum(axis=2)
        assert np.abs(rows[seen] - 1).max() < 1e-10
        assert np.abs(rows[~seen]).max(initial=0) < 1e-10


@pytest.mark.parametrize("seed", [0])
def test_known_marginals_leave_the_row_mass_noisy(draw_world, seed):
    world = draw_world(seed, 8, 2, concentration=0.15)
    cooc = CoOccurrence.from_transitions(sample_transitions(world.mdp, 40, seed=0), "known", known=world.mdp)
    rows = spectral_embedding(cooc, 8).transition().sum(axis=2)
    assert np.abs(rows - 1).max() > 0.2
    assert scipy.linalg.svdvals(cooc.normalized[0])[0] != pytest.approx(1, abs=1e-3)
