"""docs/theory.md, 2.12: the simulation lemma, classic and tight, and two states that attain the tight form."""

import itertools

import numpy as np
import pytest

from spectral_jepa import TabularMDP
from spectral_jepa.theory.simulation import (
    simulation_bound_values,
    simulation_bounds,
    transition_error,
    value_difference,
)

TOLERANCE = 1e-10
GRID = list(itertools.product((0.01, 0.2, 1.0), (0.3, 0.9, 0.99)))


def two_states(error):
    """True world: state 0 pays nothing and stays. Model: it leaves with probability ``error`` for state 1, which pays 1."""
    return np.eye(2), np.array([[1 - error, error], [0, 1]]), np.array([0.0, 1.0])


def endless_values(chain, reward, gamma):
    """By summing the series, not by a solve."""
    value, now = np.zeros(len(reward)), reward.astype(float)
    for _ in range(6000):
        value, now = value + now, gamma * chain @ now
    return value


def values_at(chains, rewards, gamma):
    """Backwards over time, a chain and a reward a step."""
    value = np.zeros(len(rewards[0]))
    for chain, reward in zip(chains[::-1], rewards[::-1], strict=True):
        value = reward + gamma * chain @ value
    return value


def tight_by_hand(error, gamma, horizon):
    """Recursion of the worst gap: together with probability 1 - eps, or apart for good."""
    gap, ceiling = 0.0, 0.0
    for _ in range(horizon):
        gap = gamma * ((1 - error) * gap + error * ceiling)
        ceiling = 1 + gamma * ceiling
    return gap, ceiling


def perturb(rng, world, size):
    """A stochastic model some distance off."""
    noise = rng.dirichlet(np.full(world.transition.shape[2], 0.3), size=world.transition.shape[:2])
    return (1 - size) * world.transition + size * noise


@pytest.mark.parametrize("error, gamma", GRID)
def test_two_states_attain_the_tight_form(error, gamma):
    true, model, reward = two_states(error)
    tight, classic = simulation_bound_values(error, gamma)
    gap = endless_values(model, reward, gamma)[0] - endless_values(true, reward, gamma)[0]
    assert gap == pytest.approx(tight, rel=1e-10) and gap > 1e-4
    assert tight == pytest.approx(gamma * error / ((1 - gamma) * (1 - gamma * (1 - error))), rel=1e-12)
    assert classic == pytest.approx(gamma * error / (1 - gamma) ** 2, rel=1e-12)
    # The classic form counts every parting anew: never better, and without bound where the tight one is below 1/(1-gamma).
    assert tight < classic and tight < 1 / (1 - gamma)


@pytest.mark.parametrize("horizon", [1, 2, 7, 30])
@pytest.mark.parametrize("error, gamma", [*GRID, (0.1, 1.0)])
def test_two_states_attain_it_at_every_horizon(error, gamma, horizon):
    true, model, reward = two_states(error)
    tight, classic = simulation_bound_values(error, gamma, horizon)
    ends = [values_at([chain] * horizon, [reward] * horizon, gamma)[0] for chain in (model, true)]
    by_hand, ceiling = tight_by_hand(error, gamma, horizon)
    assert ends[0] - ends[1] == pytest.approx(tight, abs=TOLERANCE)
    assert tight == pytest.approx(by_hand, abs=TOLERANCE)
    assert classic == pytest.approx(
        gamma * error * sum(gamma**j * tight_by_hand(1, gamma, horizon - j - 1)[1] for j in range(horizon)), abs=TOLERANCE
    )
    assert tight <= classic and tight <= ceiling
    assert (tight > 1e-4) == (horizon > 1)


def test_a_long_horizon_is_an_endless_one():
    for error, gamma in ((0.1, 0.9), (0.5, 0.5)):
        np.testing.assert_allclose(
            simulation_bound_values(error, gamma, 2000), simulation_bound_values(error, gamma), rtol=1e-12
        )


@pytest.mark.parametrize("size", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_no_policy_is_off_by_more(draw_world, seed, size):
    """Every stationary policy, and random ones that change with time."""
    world = draw_world(seed, 4, 2, concentration=0.5)
    rng, gamma, horizon = np.random.default_rng(seed), 0.8, 6
    model = perturb(rng, world, size)
    error = max(np.abs(world.transition[a, x] - model[a, x]).sum() / 2 for a in range(2) for x in range(4))
    assert transition_error(world.mdp, model) == pytest.approx(error, abs=TOLERANCE)
    tight, classic = simulation_bounds(world.mdp, model, discount=gamma)
    assert (tight.value, classic.value) == pytest.approx(simulation_bound_values(error, gamma), rel=1e-12)
    assert tight.holds and classic.holds and tight.ceiling == pytest.approx(5) and not tight.vacuous
    worst, states = 0.0, np.arange(4)
    for policy in itertools.product(range(2), repeat=4):
        reward = world.reward[states, policy]
        true, believed = (endless_values(p[policy, states], reward, gamma) for p in (world.transition, model))
        worst = max(worst, np.abs(true - believed).max())
        # In between: the error of a step times the spread of the model's values.
        assert np.abs(true - believed).max() <= gamma * error * np.ptp(believed) / (1 - gamma) + TOLERANCE
        assert gamma * error * np.ptp(believed) / (1 - gamma) <= classic.value + TOLERANCE
    assert 1e-4 < worst <= tight.value + TOLERANCE
    finite = simulation_bounds(world.mdp, model, discount=gamma, horizon=horizon)[0].value
    for _ in range(50):
        policy = rng.integers(0, 2, size=(horizon, 4))
        rewards = [world.reward[states, p] for p in policy]
        ends = [values_at([p[q, states] for q in policy], rewards, gamma) for p in (world.transition, model)]
        assert np.abs(ends[0] - ends[1]).max() <= finite + TOLERANCE


def planned_regret(transition, model, reward, gamma):
    """Stationary policies by enumeration: the model's best one, its loss in the world; ties to the first."""
    n_actions, n_states = transition.shape[:2]
    states, best = np.arange(n_states), []
    for policy in itertools.product(range(n_actions), repeat=n_states):
        gain = reward[states, policy]
        best.append([endless_values(p[policy, states], gain, gamma) for p in (transition, model)])
    true, believed = np.array(best).swapaxes(0, 1)
    chosen = int(np.flatnonzero((believed >= believed.max(axis=0) - 1e-9).all(axis=1))[0])
    return true.max(axis=0) - true[chosen]


@pytest.mark.parametrize("seed", range(4))
def test_planning_in_the_model_costs_at_most_twice_that(draw_world, seed):
    world = draw_world(seed, 3, 3, concentration=0.3)
    model = perturb(np.random.default_rng(seed), world, 0.5)
    tight = simulation_bounds(world.mdp, model, discount=0.8)[0].value
    assert planned_regret(world.transition, model, world.reward, 0.8).max() <= 2 * tight + TOLERANCE


def test_twice_is_attained():
    """Stay and be paid, or stay and not be: the model fears that the first ends, and hopes that the second does."""
    gamma = 0.9
    error = (1 - gamma) / gamma * (1 + 1e-9)  # just enough to prefer the second
    true = np.stack([np.eye(3), np.eye(3)])
    model = true.copy()
    model[0, 0] = [1 - error, error, 0]  # unpaid action: hopes for state 1, which pays for ever
    model[1, 0] = [1 - error, 0, error]  # paid action: fears state 2, which never pays
    reward = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    tight = simulation_bounds(TabularMDP(true, reward=reward), model, discount=gamma)[0].value
    regret = planned_regret(true, model, reward, gamma).max()
    assert regret == pytest.approx(1 / (1 - gamma), rel=1e-9)
    assert regret == pytest.approx(2 * tight, rel=1e-6)


def test_a_model_that_is_no_probability_breaks_it():
    """Negative control: rows that sum to 1.1 are half of .1 away, and err by far more than either form allows."""
    gamma, excess = 0.85, 0.1
    mdp = TabularMDP(np.eye(2)[None], reward=[1.0, 1.0])
    model = (1 + excess) * np.eye(2)[None]
    tight, classic = simulation_bounds(mdp, model, discount=gamma)
    assert transition_error(mdp, model) == pytest.approx(excess / 2) and not tight.holds and not classic.holds
    gap = 1 / (1 - gamma * (1 + excess)) - 1 / (1 - gamma)
    assert np.abs(value_difference(np.eye(2), model[0], np.ones(2), gamma) + gap).max() < 1e-9
    assert gap > 2 * classic.value > 2 * tight.value


def test_rewards_beyond_one_break_it():
    """Negative control: the two states again, paying 2."""
    true, model, reward = two_states(0.2)
    mdp = TabularMDP(true[None], reward=2 * reward)
    tight, _ = simulation_bounds(mdp, model[None], discount=0.9)
    gap = np.abs(value_difference(true, model, 2 * reward, 0.9)).max()
    assert not tight.holds and gap == pytest.approx(2 * tight.value, rel=1e-9)
    assert simulation_bounds(TabularMDP(true[None], reward=reward), model[None], discount=0.9)[0].holds


def test_the_largest_entry_is_no_measure_of_the_error():
    """Negative control: total variation adds up over successors; a bound with the largest difference of an entry fails."""
    gamma, error = 0.9, 0.4
    model = np.eye(5)
    model[0] = [1 - error, *np.full(4, error / 4)]
    gap = np.abs(value_difference(np.eye(5), model, np.array([0.0, 1, 1, 1, 1]), gamma)).max()
    assert gap == pytest.approx(simulation_bound_values(error, gamma)[0], rel=1e-9)
    assert gap > 1.4 * simulation_bound_values(error / 4, gamma)[0]


@pytest.mark.parametrize("seed", range(4))
def test_value_difference_is_exact_for_any_matrix(draw_world, seed):
    world, gamma = draw_world(seed, 5, 1), 0.7
    model = np.random.default_rng(seed).standard_normal((5, 5)) / 5
    reward = world.reward[:, 0]
    gap = value_difference(world.transition[0], model, reward, gamma)
    by_hand = endless_values(world.transition[0], reward, gamma) - endless_values(model, reward, gamma)
    assert np.abs(gap - by_hand).max() < TOLERANCE and np.abs(gap).max() > 0.1


def test_wrong_input(draw_world, refused):
    world = draw_world(0, 3, 2)
    with refused("discount is 1 without a horizon"):
        simulation_bound_values(0.1, 1.0)
    with refused("error is 1.2", "between 0 and 1"):
        simulation_bound_values(1.2, 0.9)
    with refused("horizon is 0", "at least 1"):
        simulation_bound_values(0.1, 0.9, 0)
    with refused("model has shape (3, 3)", "(2, 3, 3)"):
        simulation_bounds(world.mdp, np.eye(3))
    with refused("discount is 1", "less than 1"):
        value_difference(np.eye(2), np.eye(2), np.ones(2), 1.0)
    with refused("singular"):
        value_difference(np.eye(2), 2 * np.eye(2), np.ones(2), 0.5)
    unrewarded = simulation_bounds(TabularMDP(world.transition), world.transition, discount=0.5)
    assert unrewarded[0].value == 0 and unrewarded[0].holds and unrewarded[0].assumptions[1].holds is None
