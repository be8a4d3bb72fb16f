import numpy as np
import pytest
from scipy.optimize import minimize

from spectral_jepa.cooccurrence import CoOccurrence
from spectral_jepa.embedding import spectral_embedding, tail
from spectral_jepa.factorizers import AlternatingLeastSquares, fit_embedding, weighted_blocks
from spectral_jepa.mdp import TabularMDP

FREQUENCY = np.array([0.5, 0.3, 0.2])


def doubly_stochastic_mdp(n_states=8, seed=0):
    """Mixtures of permutations: uniform w is stationary, so all actions share w+, and nothing else."""
    rng = np.random.default_rng(seed)
    permutations = np.stack([[np.eye(n_states)[rng.permutation(n_states)] for _ in range(4)] for _ in range(3)])
    return TabularMDP(np.einsum("ai,aixy->axy", rng.dirichlet(np.ones(4), size=3), permutations), action_frequency=FREQUENCY)


def random_mdp(n_states=8, seed=0):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(n_states, 0.3), size=(3, n_states))
    return TabularMDP(transition, rng.dirichlet(np.ones(n_states)), action_frequency=FREQUENCY)


def torus_mdp(width, height, slip, moves_differ_in_noise):
    """Add a move, then noise. The noise is isotropic and the same for all actions, or else "the move fails"."""
    moves = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    isotropic = np.zeros((width, height))
    isotropic[0, 0] = 1 - slip
    for move in moves:
        isotropic[move] += slip / 4
    kernels = []
    for move in moves:
        kernel = np.roll(isotropic, move, (0, 1))
        if moves_differ_in_noise:
            kernel = np.zeros((width, height))
            kernel[move] += 1 - slip
            kernel[0, 0] += slip
        kernels.append([np.roll(kernel, (x, y), (0, 1)).ravel() for x in range(width) for y in range(height)])
    magnitude = [np.abs(np.fft.fft2(np.reshape(kernel[0], (width, height)))).ravel() for kernel in kernels]
    return TabularMDP(np.array(kernels)), np.array(magnitude)


def total_risk(mdp, embedding):
    """sum_a p(a) R_S(a) from the bridge of docs/theory.md, 2.2, each action in its own geometry."""
    column = mdp.weight @ mdp.transition
    error = mdp.transition - embedding.transition()
    return np.einsum("a,x,axy->", mdp.action_frequency, mdp.weight, error**2 / column[:, None, :])


def loss_and_gradient(flat, blocks, weight, dim):
    """The objective in (f, G) and its gradient, by the chain rule; blocks are sqrt(p(a)) Mbar(a)."""
    n_actions, m, n = blocks.shape
    f, g = flat[: n * dim].reshape(n, dim), flat[n * dim :].reshape(n_actions, m, dim)
    factor = np.sqrt(weight)[:, :, None] * f
    error = g @ factor.transpose(0, 2, 1) - blocks
    down = 2 * np.einsum("axy,axk,ay->yk", error, g, np.sqrt(weight))
    return np.sum(error**2), np.concatenate([down.ravel(), 2 * (error @ factor).ravel()])


def problem(mdp):
    column = mdp.weight @ mdp.transition
    root = np.sqrt(mdp.action_frequency)[:, None, None]
    return root * np.sqrt(mdp.weight)[:, None] * mdp.transition / np.sqrt(column)[:, None, :], column


def factors(mdp, embedding):
    scale = np.sqrt(mdp.action_frequency[:, None, None] * mdp.weight[:, None])
    return np.concatenate([embedding.target.ravel(), (scale * embedding.predicted).ravel()])


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_common_column_law_makes_the_stack_optimal(dim):
    mdp = doubly_stochastic_mdp()
    blocks, column = problem(mdp)
    np.testing.assert_allclose(column, 1 / 8, rtol=1e-12)
    values = np.linalg.svd(blocks.reshape(-1, 8), compute_uv=False)
    optimum = np.sum(values[dim:] ** 2)

    best = spectral_embedding(CoOccurrence.exact(mdp), dim, shared=True)
    assert optimum > 0.01
    np.testing.assert_allclose(total_risk(mdp, best), optimum, rtol=1e-12)
    alternating = fit_embedding(CoOccurrence.exact(mdp), dim, AlternatingLeastSquares(n_restarts=5), shared=True)
    np.testing.assert_allclose(total_risk(mdp, alternating), optimum, rtol=1e-9)

    rng = np.random.default_rng(0)
    at_best = factors(mdp, best)
    for scale in (1e-3, 0.1, 1.0):
        for _ in range(50):
            competitor = at_best + scale * rng.standard_normal(at_best.size)
            assert loss_and_gradient(competitor, blocks, column, dim)[0] > optimum
    # One encoder is a real restriction here: each action alone would do strictly better.
    per_action = sum(
        p * np.sum(np.linalg.svd(block, compute_uv=False)[dim:] ** 2) / p for p, block in zip(FREQUENCY, blocks, strict=True)
    )
    assert dim == 1 or optimum > per_action * (1 + 1e-3)


@pytest.mark.parametrize("make", [doubly_stochastic_mdp, random_mdp])
def test_als_is_stationary_and_the_stacked_svd_is_so_only_under_a_common_column_law(make):
    mdp, dim = make(), 3
    cooc = CoOccurrence.exact(mdp)
    blocks, column = problem(mdp)
    norm = np.sqrt(np.sum(blocks**2))

    def slope(embedding):
        return np.linalg.norm(loss_and_gradient(factors(mdp, embedding), blocks, column, dim)[1]) / norm

    solver = AlternatingLeastSquares(tol=1e-15, max_iter=20000)
    assert slope(fit_embedding(cooc, dim, solver, shared=True)) < 1e-5
    stacked = slope(spectral_embedding(cooc, dim, shared=True))
    assert stacked < 1e-12 if make is doubly_stochastic_mdp else stacked > 0.01


def test_gradient_used_here_is_the_derivative_of_the_loss():
    blocks, column = problem(random_mdp())
    rng = np.random.default_rng(0)
    point, direction = rng.standard_normal((2, 8 * 2 + 3 * 8 * 2))
    value = [loss_and_gradient(point + h * direction, blocks, column, 2)[0] for h in (-1e-5, 1e-5)]
    np.testing.assert_allclose(
        (value[1] - value[0]) / 2e-5, loss_and_gradient(point, blocks, column, 2)[1] @ direction, rtol=1e-7
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dim", [2, 4])
def test_als_lies_strictly_between_the_per_action_optimum_and_the_stacked_encoder(seed, dim):
    mdp = random_mdp(seed=seed)
    cooc = CoOccurrence.exact(mdp)
    blocks, column = problem(mdp)
    lower = sum(np.sum(np.linalg.svd(block, compute_uv=False)[dim:] ** 2) for block in blocks)
    # The stacked encoder with its prediction re-fitted by plain least squares in each action's own geometry.
    f = spectral_embedding(cooc, dim, shared=True).target
    refitted = sum(
        np.linalg.lstsq(np.sqrt(c)[:, None] * f, block.T, rcond=None)[1].sum()
        for c, block in zip(column, blocks, strict=True)
    )
    fit = AlternatingLeastSquares(dim, 3).fit(weighted_blocks(cooc), column_weight=cooc.column_weight, target=f)
    np.testing.assert_allclose(fit.start_residual_, refitted, rtol=1e-10)
    embedding = fit_embedding(cooc, dim, AlternatingLeastSquares(), shared=True)
    np.testing.assert_allclose(total_risk(mdp, embedding), fit.residual_, rtol=1e-8)
    assert lower * (1 + 1e-3) < fit.residual_ < refitted * (1 - 1e-3)


def test_als_with_restarts_agrees_with_a_general_purpose_minimiser():
    mdp, dim = random_mdp(6, seed=1), 2
    blocks, column = problem(mdp)
    rng = np.random.default_rng(0)
    size = 6 * dim * 4
    options = {"maxiter": 20000, "maxfun": 50000, "ftol": 1e-15, "gtol": 1e-10}
    ends = [
        minimize(
            loss_and_gradient, rng.standard_normal(size), (blocks, column, dim), jac=True, method="L-BFGS-B", options=options
        ).fun
        for _ in range(20)
    ]
    fit = AlternatingLeastSquares(dim, 3, tol=1e-14, max_iter=20000, n_restarts=20).fit(
        blocks.reshape(-1, 6), column_weight=column
    )
    np.testing.assert_allclose(fit.residual_, min(ends), rtol=1e-6)


@pytest.mark.parametrize("dim", [1, 5, 9])
def test_all_three_agree_on_a_torus_with_the_same_noise_for_all_actions(dim):
    # dim 1, 5, 9 split no group of equal values of |FFT(noise)|.
    mdp, magnitude = torus_mdp(5, 5, 0.4, moves_differ_in_noise=False)
    np.testing.assert_allclose(magnitude, magnitude[:1].repeat(4, axis=0), atol=1e-12)
    closed_form = np.sum(np.sort(magnitude[0])[::-1][dim:] ** 2)
    cooc = CoOccurrence.exact(mdp)
    shared = spectral_embedding(cooc, dim, shared=True)
    alternating = fit_embedding(cooc, dim, AlternatingLeastSquares(), shared=True)
    assert closed_form > 1
    np.testing.assert_allclose(cooc.action_frequency @ tail(cooc, dim), closed_form, rtol=1e-12)
    np.testing.assert_allclose(total_risk(mdp, shared), closed_form, rtol=1e-12)
    np.testing.assert_allclose(total_risk(mdp, alternating), closed_form, rtol=1e-9)


def test_translation_invariance_alone_is_not_enough():
    # Negative control: if a move may fail, |FFT| ranks the frequencies of horizontal and vertical moves differently.
    mdp, magnitude = torus_mdp(5, 5, 0.4, moves_differ_in_noise=True)
    dim = 5
    per_action = np.mean([np.sum(np.sort(row)[::-1][dim:] ** 2) for row in magnitude])
    together = np.sum(np.sort(np.mean(magnitude**2, axis=0))[::-1][dim:])
    cooc = CoOccurrence.exact(mdp)
    np.testing.assert_allclose(cooc.action_frequency @ tail(cooc, dim), per_action, rtol=1e-12)
    alternating = fit_embedding(cooc, dim, AlternatingLeastSquares(n_restarts=3), shared=True)
    np.testing.assert_allclose(total_risk(mdp, alternating), together, rtol=1e-8)
    assert together > per_action * 1.05
