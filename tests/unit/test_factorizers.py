import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from spectral_jepa._validation import InputError
from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.factorizers import (
    AlternatingLeastSquares,
    FullSVD,
    LanczosSVD,
    RandomizedSVD,
    fit_embedding,
    weighted_blocks,
)
from spectral_jepa.linalg import largest_singular_triplets
from spectral_jepa.mdp import TabularMDP

EXACT = [FullSVD(), LanczosSVD(), RandomizedSVD(n_iter=60), AlternatingLeastSquares()]
name_of = lambda solver: type(solver).__name__  # noqa: E731


def random_matrix(m=40, n=15, seed=0):
    return np.random.default_rng(seed).standard_normal((m, n))


def random_mdp(n_states=9, n_actions=3, seed=0):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(n_states, 0.3), size=(n_actions, n_states))
    return TabularMDP(transition, rng.dirichlet(np.ones(n_states)), action_frequency=np.array([0.5, 0.3, 0.2]))


@pytest.mark.parametrize("solver", EXACT, ids=name_of)
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array, sp.csc_matrix], ids=["dense", "csr_array", "csc_matrix"])
@pytest.mark.parametrize("shape", [(40, 15), (15, 40)])
def test_exact_solvers_reach_the_optimum_of_eckart_and_young(solver, make, shape):
    matrix = random_matrix(*shape)
    left, values, right_t = np.linalg.svd(matrix, full_matrices=False)
    best = (left[:, :4] * values[:4]) @ right_t[:4]

    fit = solver.set_params(n_components=4).fit(make(matrix))

    np.testing.assert_allclose(fit.singular_values_, values[:4], rtol=1e-10)
    np.testing.assert_allclose(fit.residual_, np.sum(values[4:] ** 2), rtol=1e-10)
    np.testing.assert_allclose((fit.left_ * fit.singular_values_) @ fit.components_, best, atol=1e-9)
    np.testing.assert_allclose(fit.inverse_transform(fit.transform(make(matrix))), best, atol=1e-9)
    np.testing.assert_allclose(fit.components_ @ fit.components_.T, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(fit.left_.T @ fit.left_, np.eye(4), atol=1e-10)


@pytest.mark.parametrize("solver", [FullSVD(), LanczosSVD(), RandomizedSVD()], ids=name_of)
def test_reported_residual_is_the_distance_to_the_model(solver):
    matrix = random_matrix(60, 30)
    fit = solver.set_params(n_components=5).fit(matrix)
    model = (fit.left_ * fit.singular_values_) @ fit.components_
    np.testing.assert_allclose(fit.residual_, np.sum((matrix - model) ** 2), rtol=1e-11)


def test_randomized_sketch_is_off_on_a_flat_spectrum_and_its_residual_says_so():
    matrix = random_matrix(400, 300)
    exact = FullSVD(5).fit(matrix)
    errors = []
    for n_iter in (0, 2, 8):
        sketch = RandomizedSVD(5, n_iter=n_iter).fit(matrix)
        errors.append(np.max(1 - sketch.singular_values_ / exact.singular_values_))
        assert sketch.residual_ > exact.residual_ * (1 + 1e-5)
    assert errors[0] > 0.2 and errors[0] > errors[1] > errors[2] > 0


@pytest.mark.parametrize("solver", EXACT, ids=name_of)
def test_full_rank_leaves_nothing(solver):
    matrix = random_matrix(7, 5)
    fit = solver.set_params(n_components=5).fit(matrix)
    assert fit.residual_ < 1e-12 * np.sum(matrix**2)
    np.testing.assert_allclose(fit.inverse_transform(fit.transform(matrix)), matrix, atol=1e-10)


@pytest.mark.parametrize("solver", EXACT, ids=name_of)
def test_more_components_than_the_matrix_has_is_one_sentence(solver):
    with pytest.raises(
        InputError, match=r"n_components is 6 for X with n_samples = 7 and n_features = 5, expected at most 5"
    ):
        solver.set_params(n_components=6).fit(random_matrix(7, 5))


@pytest.mark.parametrize("solver", [LanczosSVD(), RandomizedSVD(), AlternatingLeastSquares()], ids=name_of)
def test_random_state_follows_scikit_learn_and_refuses_a_generator(solver):
    with pytest.raises(ValueError, match=r"Generator\(PCG64\)"):
        solver.set_params(n_components=2, random_state=np.random.default_rng(0)).fit(random_matrix())
    solver.set_params(random_state=np.random.RandomState(0)).fit(random_matrix())


@pytest.mark.parametrize("solver", [FullSVD(), LanczosSVD(), RandomizedSVD(), AlternatingLeastSquares()], ids=name_of)
def test_same_seed_same_bits_and_global_state_untouched(solver):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (solver.set_params(n_components=3).fit(random_matrix()).components_.copy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def circulant_torus(side):
    """Isotropic noise on a torus: values |FFT|, fourfold and eightfold."""
    kernel = np.zeros((side, side))
    kernel[0, 0] = 0.7
    for move in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        kernel[move] = 0.075
    rows = [np.roll(kernel, (x, y), (0, 1)).ravel() for x in range(side) for y in range(side)]
    return np.array(rows), np.sort(np.abs(np.fft.fft2(kernel)).ravel())[::-1]


@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
def test_lanczos_finds_every_copy_of_a_repeated_value(tolerance):
    matrix, values = circulant_torus(30)
    for dim in range(1, 33):
        found = largest_singular_triplets(sp.csr_array(matrix), dim, tolerance=tolerance)
        np.testing.assert_allclose(found[1], values[:dim], rtol=1e-10)
    np.testing.assert_allclose(found[0].T @ found[0], np.eye(32), atol=1e-10)
    np.testing.assert_allclose(matrix @ found[2], found[0] * found[1], atol=1e-4 if tolerance else 1e-12)


def test_one_plain_lanczos_run_misses_copies():
    # Negative control for the test above: without a second look the 20 leading values are wrong by 1 %.
    matrix, values = circulant_torus(30)
    plain = sp.linalg.svds(sp.csr_array(matrix), 20, v0=np.random.default_rng(0).standard_normal(900), tol=1e-3)[1]
    assert np.max(np.abs(np.sort(plain)[::-1] - values[:20])) > 1e-3


def test_lanczos_survives_a_handful_of_distinct_values_and_null_directions():
    repeated = np.repeat([3.0, 2.0, 1.0], 20)
    for dim in range(1, 60):
        np.testing.assert_allclose(
            largest_singular_triplets(sp.diags_array(repeated).tocsr(), dim)[1], repeated[:dim], rtol=1e-12
        )
    low_rank = random_matrix(90, 3) @ random_matrix(3, 80)
    left, values, right = largest_singular_triplets(sp.csr_array(low_rank), 6)
    np.testing.assert_allclose(values[:3], np.linalg.svd(low_rank, compute_uv=False)[:3], rtol=1e-12)
    assert (values[3:] < 1e-6 * values[0]).all()
    np.testing.assert_allclose((left * values) @ right.T, low_rank, atol=1e-10)


def test_lanczos_is_the_same_on_a_wide_matrix():
    matrix = random_matrix(60, 200)
    left, values, right = largest_singular_triplets(sp.csr_array(matrix), 4)
    np.testing.assert_allclose(values, np.linalg.svd(matrix, compute_uv=False)[:4], rtol=1e-12)
    np.testing.assert_allclose(matrix @ right, left * values, atol=1e-10)


# Alternating least squares.


def random_problem(m=12, n=10, n_blocks=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_blocks * m, n)), rng.dirichlet(np.full(n, 0.5), size=n_blocks)


def objective(matrix, weight, fit):
    g = np.split(fit.left_ * fit.singular_values_, len(weight))
    blocks = np.split(matrix, len(weight))
    models = [ga @ fit.components_ @ np.diag(np.sqrt(c)) for ga, c in zip(g, weight, strict=True)]
    return sum(np.sum((x - model) ** 2) for x, model in zip(blocks, models, strict=True))


@pytest.mark.parametrize("start", ["svd", "random"])
@pytest.mark.parametrize("n_blocks", [1, 4])
def test_als_with_unit_weights_is_a_truncated_svd(start, n_blocks):
    matrix = random_matrix(40, 12)
    target = None if start == "svd" else np.random.default_rng(1).standard_normal((12, 3))
    fit = AlternatingLeastSquares(3, n_blocks, tol=1e-15, max_iter=5000).fit(matrix, target=target)
    values = np.linalg.svd(matrix, compute_uv=False)
    assert abs(fit.residual_ - np.sum(values[3:] ** 2)) < 1e-9
    assert fit.converged_ and (fit.n_iter_ > 10 if start == "random" else fit.n_iter_ == 1)
    np.testing.assert_allclose(fit.singular_values_, values[:3], rtol=1e-5)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_als_never_rises_reports_the_true_objective_and_converges(make):
    matrix, weight = random_problem()
    fit = AlternatingLeastSquares(3, 3).fit(make(matrix), column_weight=weight)
    assert len(fit.history_) == fit.n_iter_ + 1 > 5
    assert (np.diff(fit.history_) <= 0).all() and fit.history_[-1] < fit.history_[0] - 1e-3
    assert fit.start_residual_ == fit.history_[0] and fit.residual_ == fit.history_[-1]
    np.testing.assert_allclose(objective(matrix, weight, fit), fit.residual_, rtol=1e-11)
    assert fit.converged_ and 0 <= fit.relative_decrease_ <= fit.tol
    moment = fit.components_ @ np.diag(weight.mean(0)) @ fit.components_.T
    np.testing.assert_allclose(moment, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(fit.transform(make(matrix)), fit.left_ * fit.singular_values_, atol=1e-9)
    model = fit.inverse_transform(fit.transform(make(matrix)))
    np.testing.assert_allclose(np.sum((matrix - model) ** 2), fit.residual_, rtol=1e-11)


def test_als_scaling_a_block_of_weights_changes_nothing():
    matrix, weight = random_problem()
    start = np.random.default_rng(2).standard_normal((10, 3))
    one = AlternatingLeastSquares(3, 3).fit(matrix, column_weight=weight, target=start)
    other = AlternatingLeastSquares(3, 3).fit(matrix, column_weight=weight * [[1], [7], [0.2]], target=start)
    np.testing.assert_allclose(one.history_[:20], other.history_[:20], rtol=1e-9)


def test_als_restarts_keep_the_best():
    gains = []
    for seed in range(6):
        matrix, weight = random_problem(seed=seed)
        ends = [AlternatingLeastSquares(2, 3, n_restarts=r).fit(matrix, column_weight=weight).residual_ for r in (0, 8)]
        gains.append(ends[0] - ends[1])
    assert min(gains) >= 0 and max(gains) > 0.1


def test_als_column_without_weight_costs_its_own_norm_and_keeps_a_zero_encoder():
    matrix, weight = random_problem()
    weight[:, 4] = 0
    weight[0, 7] = 0
    kept = np.delete(np.arange(10), 4)
    fit = AlternatingLeastSquares(3, 3).fit(matrix, column_weight=weight)
    without = AlternatingLeastSquares(3, 3).fit(matrix[:, kept], column_weight=weight[:, kept])
    np.testing.assert_array_equal(fit.components_[:, 4], 0)
    np.testing.assert_allclose(fit.residual_, without.residual_ + np.sum(matrix[:, 4] ** 2), rtol=1e-8)
    np.testing.assert_allclose(objective(matrix, weight, fit), fit.residual_, rtol=1e-11)


def test_als_with_singular_systems_fits_exactly():
    # Block 0 has rank 1 and alone reaches column 0: the system of that column is singular whenever k > 1.
    rng = np.random.default_rng(0)
    f = rng.standard_normal((6, 3))
    weight = rng.dirichlet(np.ones(6), size=2)
    weight[1, 0] = 0
    g = [rng.standard_normal((8, 1)) @ rng.standard_normal((1, 3)), rng.standard_normal((8, 3))]
    matrix = np.vstack([ga @ (f * np.sqrt(c)[:, None]).T for ga, c in zip(g, weight, strict=True)])
    fit = AlternatingLeastSquares(3, 2, tol=1e-14, max_iter=3000).fit(matrix, column_weight=weight)
    assert np.isfinite(fit.components_).all()
    assert fit.residual_ < 1e-8 * np.sum(matrix**2)
    np.testing.assert_allclose(AlternatingLeastSquares(3, 2).fit(np.zeros_like(matrix)).residual_, 0)


def test_als_rank_above_that_of_the_matrix():
    matrix = random_matrix(12, 2) @ random_matrix(2, 8)
    fit = AlternatingLeastSquares(4, 2).fit(matrix, column_weight=np.random.default_rng(0).dirichlet(np.ones(8), size=2))
    assert fit.residual_ < 1e-10 * np.sum(matrix**2) and np.isfinite(fit.components_).all()


def test_als_that_runs_out_of_sweeps_says_so():
    matrix, weight = random_problem()
    with pytest.warns(
        ConvergenceWarning, match=r"still gained .* in sweep 2, expected at most tol = 1\.0e-10: raise max_iter"
    ):
        fit = AlternatingLeastSquares(3, 3, max_iter=2).fit(matrix, column_weight=weight)
    assert not fit.converged_ and fit.n_iter_ == 2 and fit.relative_decrease_ > 1e-10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"column_weight": np.ones((2, 10))}, r"column_weight has shape \(2, 10\), expected \(3, 10\)"),
        ({"column_weight": -np.ones((3, 10))}, r"column_weight\[0, 0\] is -1, expected a weight >= 0"),
        ({"target": np.ones((10, 2))}, r"target has shape \(10, 2\), expected \(10, 3\)"),
    ],
)
def test_als_names_the_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        AlternatingLeastSquares(3, 3).fit(random_problem()[0], **arguments)


def test_als_refuses_rows_that_do_not_divide_into_blocks():
    with pytest.raises(InputError, match="X has 40 rows for n_blocks = 3, expected a multiple"):
        AlternatingLeastSquares(3, 3).fit(random_matrix())


# Embeddings.


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("solver", [None, *EXACT], ids=name_of)
def test_any_solver_gives_the_optimal_embedding_of_each_action(solver, sparse):
    mdp = random_mdp()
    cooc = CoOccurrence.exact(mdp.as_sparse() if sparse else mdp)
    embedding = fit_embedding(cooc, 3, solver)
    assert embedding.target.shape == (3, 9, 3) and not embedding.shared
    for a in range(3):
        column = mdp.weight @ mdp.transition[a]
        matrix = np.sqrt(mdp.weight)[:, None] * mdp.transition[a] / np.sqrt(column)
        left, values, right_t = np.linalg.svd(matrix)
        best = (left[:, :3] * values[:3]) @ right_t[:3] / np.sqrt(mdp.weight)[:, None] * np.sqrt(column)
        np.testing.assert_allclose(embedding.transition()[a], best, atol=1e-8)
        np.testing.assert_allclose(embedding.target[a].T @ np.diag(column) @ embedding.target[a], np.eye(3), atol=1e-8)


@pytest.mark.parametrize("solver", EXACT[:3], ids=name_of)
def test_shared_svd_embedding_is_the_optimum_of_the_stack(solver):
    mdp = random_mdp()
    embedding = fit_embedding(CoOccurrence.exact(mdp), 3, solver, shared=True)
    rho = (mdp.action_frequency[:, None] * mdp.weight).ravel()
    kernel = mdp.transition.reshape(-1, 9)
    column = rho @ kernel
    left, values, right_t = np.linalg.svd(np.sqrt(rho)[:, None] * kernel / np.sqrt(column), full_matrices=False)
    best = (left[:, :3] * values[:3]) @ right_t[:3] / np.sqrt(rho)[:, None] * np.sqrt(column)
    assert embedding.shared
    np.testing.assert_allclose(embedding.transition().reshape(-1, 9), best, atol=1e-8)
    np.testing.assert_allclose(embedding.target.T @ np.diag(column) @ embedding.target, np.eye(3), atol=1e-10)


@pytest.mark.parametrize("sparse", [False, True])
def test_shared_als_embedding_has_the_risk_its_solver_reports(sparse):
    mdp = random_mdp()
    cooc = CoOccurrence.exact(mdp.as_sparse() if sparse else mdp)
    solver = AlternatingLeastSquares(n_blocks=1)
    embedding = fit_embedding(cooc, 3, solver, shared=True)
    assert embedding.shared and embedding.column_weight.shape == (3, 9)
    assert solver.n_components == 2 and solver.n_blocks == 1  # the instance passed in is left alone
    column = mdp.weight @ mdp.transition
    error = mdp.transition - embedding.transition()
    risk = np.einsum("a,x,axy->", mdp.action_frequency, mdp.weight, error**2 / column[:, None, :])
    fit = AlternatingLeastSquares(3, 3).fit(weighted_blocks(cooc), column_weight=column)
    np.testing.assert_allclose(risk, fit.residual_, rtol=1e-6)
    moment = embedding.target.T @ np.diag(mdp.action_frequency @ column) @ embedding.target
    np.testing.assert_allclose(moment, np.eye(3), atol=1e-10)


def test_fit_embedding_names_a_wrong_dimension_or_solver():
    cooc = CoOccurrence.exact(random_mdp())
    with pytest.raises(InputError, match="dim is 10, expected between 1 and 9"):
        fit_embedding(cooc, 10, FullSVD())
    with pytest.raises(InputError, match="solver is 'svd', expected an estimator with n_components"):
        fit_embedding(cooc, 2, "svd")
