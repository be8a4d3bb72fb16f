import numpy as np
import psutil
import pytest

from spectral_jepa import CoOccurrence, Embedding, TabularMDP, spectral_embedding, spectrum, tail

TARGET = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])  # S = 3, k = 2
PREDICTED = np.arange(12.0).reshape(2, 3, 2)  # A = 2
COLUMN = np.array([0.2, 0.3, 0.5])


def test_sizes_and_storage():
    one = Embedding(TARGET, PREDICTED, COLUMN)
    assert (one.dim, one.n_states, one.n_actions, one.shared) == (2, 3, 2, True)
    assert one.targets.shape == (2, 3, 2) and np.array_equal(one.targets[1], TARGET)
    two = Embedding(np.stack([TARGET, -TARGET]), PREDICTED, np.stack([COLUMN, COLUMN[::-1]]))
    assert not two.shared and np.array_equal(two.targets[1], -TARGET)


def test_transition_by_hand():
    two = Embedding(np.stack([TARGET, -TARGET]), PREDICTED, np.stack([COLUMN, COLUMN[::-1]]))
    for a in range(2):
        for x in range(3):
            for y in range(3):
                ratio = PREDICTED[a, x] @ [TARGET, -TARGET][a][y]
                assert two.density_ratio()[a, x, y] == pytest.approx(ratio)
                assert two.transition()[a, x, y] == pytest.approx([COLUMN, COLUMN[::-1]][a][y] * ratio)


def test_factors_by_hand():
    mdp = TabularMDP(np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 3)), weight=COLUMN)
    f, g = Embedding(TARGET, PREDICTED, COLUMN).factors(CoOccurrence.exact(mdp))
    for a in range(2):
        assert np.abs(f[a] - np.sqrt(mdp.next_weight[a])[:, None] * TARGET).max() < 1e-15
        assert np.abs(g[a] - np.sqrt(COLUMN)[:, None] * PREDICTED[a]).max() < 1e-15


def test_arrays_are_read_only_and_detached():
    target, predicted, column = TARGET.copy(), PREDICTED.copy(), np.tile(COLUMN, (2, 1))
    one = Embedding(target, predicted, column)
    target[:], predicted[:], column[:] = 9, 9, 9
    assert np.array_equal(one.target, TARGET) and np.array_equal(one.predicted, PREDICTED)
    assert one.column_weight.tolist() == [COLUMN.tolist()] * 2
    for name in ("target", "predicted", "column_weight"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(one, name)[0] = 0


def test_linear_predictors_are_the_least_squares_fit(draw_world, draw_embedding):
    world = draw_world(0, 6, 2)
    one = draw_embedding(0, world, 3)
    fitted = one.predictor_matrices(world.exact)
    root = np.sqrt(world.weight)[:, None]
    for a in range(2):
        expected = np.linalg.lstsq(root * one.target, root * one.predicted[a], rcond=None)[0].T
        assert np.abs(fitted[a] - expected).max() < 1e-10
    # At k >= S anything is linear, and the fit is exact on the data.
    wide = draw_embedding(1, world, 8)
    reached = np.einsum("akl,xl->axk", wide.predictor_matrices(world.exact), wide.target)
    assert np.abs(reached - wide.predicted).max() < 1e-8


def test_coordinate_ceiling_is_the_best_over_all_scalings():
    one = Embedding(TARGET, PREDICTED, COLUMN)
    scales = np.geomspace(0.01, 100, 20001)
    worst = np.maximum(scales * np.abs(TARGET).max(), np.abs(PREDICTED).max() / scales)
    assert one.coordinate_ceiling == pytest.approx(worst.min(), rel=1e-3)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_full_dimension_gives_the_world_back(draw_world, shared, sparse):
    world = draw_world(2, 5, 3, concentration=0.3)
    exact = CoOccurrence.exact(world.mdp.as_sparse() if sparse else world.mdp)
    embedding = spectral_embedding(exact, 5, shared=shared)
    assert embedding.shared == shared
    assert np.abs(embedding.transition() - world.transition).max() < 1e-10


@pytest.mark.parametrize("shared", [False, True])
def test_sparse_equals_dense(draw_world, shared):
    """Up to the gauge: models, spectra and tails agree; factors need not."""
    world = draw_world(3, 8, 2, concentration=0.3)
    dense, thin = CoOccurrence.exact(world.mdp), CoOccurrence.exact(world.mdp.as_sparse())
    for dim in range(1, 9):
        models = [spectral_embedding(c, dim, shared=shared).transition() for c in (dense, thin)]
        assert np.abs(models[0] - models[1]).max() < 1e-8
        assert np.abs(spectrum(dense, dim, shared=shared) - spectrum(thin, dim, shared=shared)).max() < 1e-10
        assert np.abs(tail(dense, dim, shared=shared) - tail(thin, dim, shared=shared)).max() < 1e-10
    assert isinstance(tail(thin, 2, shared=True), float) and tail(thin, 2).shape == (2,)


def test_one_state_world():
    for mdp in (TabularMDP([[[1.0]]]), TabularMDP([[[1.0]]]).as_sparse()):
        exact = CoOccurrence.exact(mdp)
        assert spectral_embedding(exact, 1).transition().tolist() == [[[1.0]]]
        assert tail(exact, 1).tolist() == [0] and spectrum(exact, 1).tolist() == [[1]]


# --- refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, fragments",
    [
        ((TARGET, PREDICTED[0], COLUMN), ["predicted has shape (3, 2)", "(any, any, any)"]),
        ((TARGET[:2], PREDICTED, COLUMN), ["target has shape (2, 2)", "(3, 2)"]),
        ((TARGET[:, :1], PREDICTED, COLUMN), ["target has shape (3, 1)", "(3, 2)"]),
        ((np.stack([TARGET] * 3), PREDICTED, COLUMN), ["target has shape (3, 3, 2)", "(2, 3, 2)"]),
        ((TARGET, PREDICTED, COLUMN[:2]), ["column_weight has shape (2,)", "(3)"]),
        ((TARGET, PREDICTED, np.ones((3, 3))), ["column_weight has shape (3, 3)", "(2, 3)"]),
        ((TARGET * np.nan, PREDICTED, COLUMN), ["target[0, 0] is nan", "finite"]),
    ],
)
def test_bad_shapes(refused, arguments, fragments):
    with refused(*fragments):
        Embedding(*arguments)


@pytest.mark.parametrize(
    "matrix, fragments",
    [
        (np.eye(3), ["matrix", "(3, 3)", "(2, 2)"]),
        ([[1.0, 2.0], [2.0, 4.0]], ["singular", "invertible"]),
        ([[1.0, np.inf], [0, 1]], ["matrix[0, 1]", "finite"]),
    ],
)
def test_bad_gauges(refused, matrix, fragments):
    with refused(*fragments):
        Embedding(TARGET, PREDICTED, COLUMN).rotate(matrix)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dim, low", [(0, 1), (4, 1), (-1, 1)])
def test_dimension_out_of_range(refused, dim, low, sparse):
    mdp = TabularMDP([np.eye(3)])
    exact = CoOccurrence.exact(mdp.as_sparse() if sparse else mdp)
    for call in (spectral_embedding, spectrum):
        with refused(f"dim is {dim}", f"between {low} and 3", "number of states"):
            call(exact, dim)
    if dim:
        with refused(f"dim is {dim}", "between 0 and 3"):
            tail(exact, dim)


@pytest.mark.parametrize("dim", [2.0, "2", True])
def test_dimension_that_is_no_whole_number(refused, dim):
    with refused("dim is", "whole number"):
        spectral_embedding(CoOccurrence.exact(TabularMDP([np.eye(3)])), dim)


def test_linear_predictors_need_one_encoder(refused):
    with refused("one encoder shared", "shared=True"):
        Embedding(np.stack([TARGET] * 2), PREDICTED, COLUMN).predictor_matrices(CoOccurrence.exact(TabularMDP([np.eye(3)])))


def test_a_model_that_would_not_fit_says_so(refused):
    n = 200_000
    assert 8 * n * n > psutil.virtual_memory().available
    with refused("200000 x 200000", "GiB"):
        Embedding(np.ones((n, 1)), np.ones((1, n, 1)), np.full(n, 1 / n)).transition()
