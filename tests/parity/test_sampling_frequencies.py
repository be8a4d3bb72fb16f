"""Sampled transitions against the law they claim to follow, by Pearson's chi-square test at fixed seeds."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats

from spectral_jepa import TabularMDP, sample_transitions
from spectral_jepa.data import _draw_successors


def p_value(counts, law):
    """Chi-square test over the cells of positive probability; a count outside them is a certain failure."""
    counts, law = np.ravel(counts), np.ravel(law)
    assert counts[law == 0].sum() == 0
    cells = law > 0
    return scipy.stats.chisquare(counts[cells], counts.sum() * law[cells] / law[cells].sum()).pvalue


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_per_action_frequencies(draw_world, seed, sparse):
    world = draw_world(seed, 5, 3, concentration=0.8)
    mdp = world.mdp.as_sparse() if sparse else world.mdp
    data = sample_transitions(mdp, 20_000, seed=seed)
    assert np.bincount(data.action).tolist() == [20_000] * 3
    for a in range(3):
        law = world.weight[:, None] * world.transition[a]
        assert p_value(data.counts()[a], law) > 1e-3
        # Power: the same counts against the neighbouring action's law are rejected.
        assert p_value(data.counts()[a], world.weight[:, None] * world.transition[a - 1]) < 1e-12
    assert np.array_equal(data.reward, world.reward[data.state, data.action])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pooled_frequencies(draw_world, seed):
    world = draw_world(seed, 4, 3, concentration=0.8)
    data = sample_transitions(world.mdp, n_transitions=50_000, seed=seed)
    law = world.frequency[:, None, None] * world.weight[None, :, None] * world.transition
    assert len(data) == 50_000
    assert p_value(data.counts(), law) > 1e-3
    uniform = world.weight[None, :, None] * world.transition / 3
    assert p_value(data.counts(), uniform) < 1e-6


def test_consecutive_draws_are_independent(draw_world):
    """(state, next state of the draw before) has the product law: one stream does not feed two samplers."""
    world = draw_world(3, 4, 1, concentration=0.8)
    data = sample_transitions(world.mdp, 40_000, seed=5)
    table = np.zeros((4, 4))
    np.add.at(table, (data.state[1:], data.next_state[:-1]), 1)
    assert scipy.stats.chi2_contingency(table).pvalue > 1e-3
    lagged = np.zeros((4, 4))
    np.add.at(lagged, (data.state[1:], data.state[:-1]), 1)
    assert scipy.stats.chi2_contingency(lagged).pvalue > 1e-3


def test_impossible_successors_never_occur():
    """Zeros at the beginning, in the middle and at the end of a row; a state without mass; rows of one entry."""
    rows = np.array([[0, 0.5, 0, 0.5, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0.2, 0.2, 0.2, 0.2, 0.2], [0, 0, 1, 0, 0]])
    mdp = TabularMDP([rows], weight=[0.3, 0.3, 0.2, 0.2, 0.0])
    data = sample_transitions(mdp, 50_000, seed=0)
    assert p_value(data.counts()[0], mdp.weight[:, None] * rows) > 1e-3


def test_the_extremes_of_the_unit_interval():
    """Inverting the cumulative law at 0 and just below 1 stays inside the row."""
    rows = sp.csr_array(np.array([[0, 0.3, 0.7, 0], [0.1, 0, 0, 0.9], [0, 0, 1, 0], [1, 0, 0, 0]]))
    state = np.repeat(np.arange(4), 3)
    uniform = np.tile([0.0, 0.05, np.nextafter(1, 0)], 4)
    assert _draw_successors(rows, state, uniform).tolist() == [1, 1, 2, 0, 0, 3, 2, 2, 2, 0, 0, 0]


@pytest.mark.parametrize("n_states", [3000])
def test_large_worlds_do_not_drift(n_states):
    """The cumulative law runs over all rows at once: the last row must be as exact as the first."""
    rows = np.zeros((n_states, n_states))
    rows[np.arange(n_states), (np.arange(n_states) + 1) % n_states] = 0.25
    rows[np.arange(n_states), np.arange(n_states)] = 0.75
    weight = np.zeros(n_states)
    weight[[0, n_states - 1]] = 0.5
    data = sample_transitions(TabularMDP([rows], weight=weight), 40_000, seed=1)
    for state in (0, n_states - 1):
        moved = data.next_state[data.state == state] != state
        assert abs(moved.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / moved.size)
