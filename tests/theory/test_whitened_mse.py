"""docs/theory.md, 2.5: if E[f f^T] = I, mean-square prediction is the spectral loss plus k; its least is sum (1 - s_i^2)."""

import numpy as np
import pytest
import scipy.linalg

from spectral_jepa import CoOccurrence, Embedding, TabularMDP, sample_transitions, spectral_embedding, spectral_loss
from spectral_jepa.theory.whitening import (
    mse_loss,
    soft_whitening_embedding,
    target_second_moment,
    whitened_mse_value,
)

TOLERANCE = 1e-10
WORLDS = [(0, 4, 1), (1, 6, 2), (2, 8, 3)]


def mse_by_hand(world, embedding, action):
    n_states = len(world.weight)
    total = 0.0
    for x in range(n_states):
        for y in range(n_states):
            gap = embedding.predicted[action, x] - embedding.targets[action, y]
            total += world.weight[x] * world.transition[action, x, y] * sum(c * c for c in gap)
    return total


def value_by_hand(matrix, dim, first=0):
    return sum(1 - s**2 for s in scipy.linalg.svdvals(matrix)[first : first + dim])


def whiten(target, weight):
    """f L^-T with L L^T = E f f^T, by a Cholesky factor of the weighted second moment."""
    moment = np.einsum("y,yk,yl->kl", weight, target, target)
    return scipy.linalg.solve_triangular(np.linalg.cholesky(moment), target.T, lower=True).T


def white_embedding(world, draw_embedding, seed, dim):
    """White f and any g, for each action."""
    raw = draw_embedding(seed, world, dim, shared=False)
    target = np.stack([whiten(f, w) for f, w in zip(raw.target, world.next_weight, strict=True)])
    return Embedding(target, raw.predicted, raw.column_weight)


def descend(matrix, start, steps=2000, rate=0.5):
    """Projected gradient on k - |M F|^2 over orthonormal F: step, then back to the nearest such F (polar factor)."""
    table = scipy.linalg.polar(start)[0]
    for _ in range(steps):
        table = scipy.linalg.polar(table + 2 * rate * matrix.T @ (matrix @ table))[0]
    return table


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed, n_states, n_actions", WORLDS)
def test_loss_is_the_expectation(draw_world, draw_embedding, seed, n_states, n_actions, sparse):
    world = draw_world(seed, n_states, n_actions)
    embedding = draw_embedding(seed, world, 3, shared=False)
    exact = CoOccurrence.exact(world.mdp.as_sparse()) if sparse else world.exact
    losses = mse_loss(exact, embedding)
    assert losses.shape == (n_actions,) and losses.min() > 0.1
    for a in range(n_actions):
        assert losses[a] == pytest.approx(mse_by_hand(world, embedding, a), abs=TOLERANCE)


@pytest.mark.parametrize("seed, n_states, n_actions", WORLDS)
@pytest.mark.parametrize("dim", [1, 3])
def test_white_mean_square_error_is_the_spectral_loss_plus_k(draw_world, draw_embedding, seed, n_states, n_actions, dim):
    world = draw_world(seed, n_states, n_actions)
    white = white_embedding(world, draw_embedding, seed, dim)
    assert np.abs(target_second_moment(world.exact, white) - np.eye(dim)).max() < TOLERANCE
    for a in range(n_actions):
        assert mse_by_hand(world, white, a) == pytest.approx(spectral_loss(world.exact, white)[a] + dim, abs=TOLERANCE)


def test_without_whiteness_the_identity_fails_by_the_norms(draw_world, draw_embedding):
    """Negative control: in general the difference is |F|^2 + |G|^2 - |G F^T|^2."""
    world = draw_world(1, 6, 2)
    embedding = draw_embedding(1, world, 3, shared=False)
    for a in range(2):
        f = np.sqrt(world.next_weight[a])[:, None] * embedding.target[a]
        g = np.sqrt(world.weight)[:, None] * embedding.predicted[a]
        gap = mse_by_hand(world, embedding, a) - spectral_loss(world.exact, embedding)[a]
        assert gap == pytest.approx(np.sum(f**2) + np.sum(g**2) - np.sum((g @ f.T) ** 2), abs=TOLERANCE)
        assert abs(gap - 3) > 0.1


@pytest.mark.parametrize("seed, n_states, n_actions", WORLDS)
def test_closed_form_attains_the_value(draw_world, seed, n_states, n_actions):
    world = draw_world(seed, n_states, n_actions, concentration=0.3)
    for dim in range(1, n_states + 1):
        best = spectral_embedding(world.exact, dim)
        value = whitened_mse_value(world.exact, dim)
        moment = np.einsum("ay,ayk,ayl->akl", world.next_weight, best.target, best.target)
        assert np.abs(moment - np.eye(dim)).max() < TOLERANCE
        for a in range(n_actions):
            expected = value_by_hand(world.normalized(a), dim)
            assert value[a] == pytest.approx(expected, abs=TOLERANCE)
            assert mse_by_hand(world, best, a) == pytest.approx(expected, abs=TOLERANCE)
        # Its prediction is the conditional mean, state by state.
        mean = np.einsum("axy,ayk->axk", world.transition, best.target)
        assert np.abs(mean - best.predicted).max() < 1e-9
    assert value.min() > 0.01 and whitened_mse_value(world.exact, 1).max() < TOLERANCE


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shared_encoder_has_the_value_of_the_stack(draw_world, seed):
    world = draw_world(seed, 5, 3, concentration=0.3)
    for dim in (1, 2, 4):
        best = spectral_embedding(world.exact, dim, shared=True)
        pooled = sum(p * mse_by_hand(world, best, a) for a, p in enumerate(world.frequency))
        value = whitened_mse_value(world.exact, dim, shared=True)
        assert value == pytest.approx(value_by_hand(world.stacked(), dim), abs=TOLERANCE)
        assert pooled == pytest.approx(value, abs=TOLERANCE)
        moment = np.tensordot(world.frequency, target_second_moment(world.exact, best), 1)
        assert np.abs(moment - np.eye(dim)).max() < TOLERANCE
    assert value > 0.1


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("dim", [2, 4])
def test_centred_value_leaves_out_the_constant(draw_world, seed, dim):
    world = draw_world(seed, 6, 2, concentration=0.3)
    value = whitened_mse_value(world.exact, dim, centred=True)
    best = soft_whitening_embedding(world.exact, dim, np.inf, centred=True)
    for a in range(2):
        expected = value_by_hand(world.normalized(a), dim, first=1)
        assert value[a] == pytest.approx(expected, abs=TOLERANCE)
        assert np.abs(world.next_weight[a] @ best.target[a]).max() < TOLERANCE
        assert mse_by_hand(world, best, a) == pytest.approx(expected, abs=TOLERANCE)
        # Negative control: drop E f = 0 and the constant comes back, for less.
        assert value_by_hand(world.normalized(a), dim) < expected - 0.01
    assert np.abs(target_second_moment(world.exact, best) - np.eye(dim)).max() < TOLERANCE
    stack = whitened_mse_value(world.exact, dim, centred=True, shared=True)
    assert stack == pytest.approx(value_by_hand(world.stacked(), dim, first=1), abs=TOLERANCE)


def test_the_constant_is_left_out_even_where_its_value_is_repeated(as_world):
    """A permutation predicts everything, s = 1 throughout: the constant is not told apart by its value."""
    world = as_world(np.eye(5)[[1, 2, 3, 4, 0]][None])
    best = soft_whitening_embedding(world.exact, 3, np.inf, centred=True)
    assert np.abs(world.next_weight[0] @ best.target[0]).max() < TOLERANCE
    assert np.abs(target_second_moment(world.exact, best) - np.eye(3)).max() < TOLERANCE
    assert abs(mse_by_hand(world, best, 0)) < TOLERANCE and best.target.std() > 0.9


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("dim", [1, 3])
def test_projected_descent_ends_at_the_value_from_every_start(draw_world, seed, dim):
    world = draw_world(7, 6, 1, concentration=0.3)
    matrix = world.normalized(0)
    floor = value_by_hand(matrix, dim)
    start = np.random.default_rng(seed).standard_normal((6, dim))
    table = descend(matrix, start)
    target = table / np.sqrt(world.next_weight[0])[:, None]
    mean = world.transition @ target
    loss = mse_by_hand(world, Embedding(target, mean, world.next_weight), 0)
    assert floor - TOLERANCE <= loss < floor + 1e-7
    begun = scipy.linalg.polar(start)[0]
    assert dim - np.sum((matrix @ begun) ** 2) > floor + 0.05
    # Another prediction only costs, and by its own mean square.
    noise = 0.1 * np.random.default_rng(seed).standard_normal(mean.shape)
    worse = mse_by_hand(world, Embedding(target, mean + noise, world.next_weight), 0)
    assert worse == pytest.approx(loss + np.sum(world.weight[:, None] * noise[0] ** 2), abs=TOLERANCE)


@pytest.mark.parametrize("seed", [0, 1])
def test_random_white_encoders_are_never_below(draw_world, draw_embedding, seed):
    world = draw_world(seed, 6, 2, concentration=0.3)
    for dim in (1, 3, 5):
        floor = whitened_mse_value(world.exact, dim)
        for trial in range(20):
            white = white_embedding(world, draw_embedding, 100 * seed + trial, dim)
            mean = np.einsum("axy,ayk->axk", world.transition, white.target)
            best = Embedding(white.target, mean, white.column_weight)
            assert (mse_loss(world.exact, best) >= floor - TOLERANCE).all()
            assert (mse_loss(world.exact, white) > mse_loss(world.exact, best) + 0.1).all()


def test_without_whiteness_the_value_is_beaten(draw_world):
    """Negative control: shrink f and its prediction and the error falls to 0; or repeat the constant k times."""
    world = draw_world(0, 6, 1, concentration=0.3)
    best = spectral_embedding(world.exact, 3)
    floor = whitened_mse_value(world.exact, 3)[0]
    losses = [
        mse_loss(world.exact, Embedding(c * best.target, c * best.predicted, best.column_weight))[0] for c in (1, 0.9, 0.1)
    ]
    np.testing.assert_allclose(losses, [floor, 0.81 * floor, 0.01 * floor], atol=TOLERANCE)
    ones = Embedding(np.ones((6, 3)), np.ones((1, 6, 3)), world.next_weight)
    assert floor > 0.5 and abs(mse_loss(world.exact, ones)[0]) < TOLERANCE
    assert np.abs(np.diagonal(target_second_moment(world.exact, ones)[0]) - 1).max() < TOLERANCE


def test_only_reached_states_can_be_white(refused):
    """A map of 4 states onto 3 that merges two of them: s = 1, 1, 1 on the reached ones, and none for the fourth."""
    mdp = TabularMDP(np.eye(4)[[0, 1, 1, 2]][None], weight=[0.1, 0.2, 0.3, 0.4])
    exact = CoOccurrence.exact(mdp)
    assert whitened_mse_value(exact, 3).tolist() == pytest.approx([0], abs=TOLERANCE)
    with refused("dim is 4", "between 1 and 3"):
        whitened_mse_value(exact, 4)
    with refused("dim is 3", "between 1 and 2"):
        whitened_mse_value(exact, 3, centred=True)


def test_null_directions_stay_on_reached_states():
    """Rank 1, three reached states of four: the two null directions must be white too, though nothing predicts them."""
    mdp = TabularMDP(np.tile([0.5, 0.3, 0.2, 0.0], (1, 4, 1)))
    exact = CoOccurrence.exact(mdp)
    best = soft_whitening_embedding(exact, 3, np.inf)
    assert np.abs(target_second_moment(exact, best) - np.eye(3)).max() < TOLERANCE
    assert mse_loss(exact, best)[0] == pytest.approx(2, abs=TOLERANCE)
    assert whitened_mse_value(exact, 3)[0] == pytest.approx(2, abs=TOLERANCE)


def test_wrong_input(draw_world, refused):
    world = draw_world(0, 5, 2)
    other = spectral_embedding(draw_world(0, 4, 2).exact, 2)
    with refused("2 actions x 4 states", "2 x 5"):
        mse_loss(world.exact, other)
    with refused("2 actions x 4 states", "2 x 5"):
        target_second_moment(world.exact, other)
    data = sample_transitions(world.mdp, 200, seed=0)
    known = CoOccurrence.from_transitions(data, "known", known=world.mdp)
    with refused("centred whitening", "known"):
        whitened_mse_value(known, 2, centred=True)
