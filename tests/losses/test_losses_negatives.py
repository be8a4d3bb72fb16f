"""The spectral loss with chosen negatives: sums by hand, and tabular JEPAs trained to their closed forms."""

import numpy as np
import pytest
import torch

import spectral_jepa as sj
from spectral_jepa import InputError
from spectral_jepa.jepa import JepaConfig, Run, optimal_loss, train_jepa
from spectral_jepa.losses import expected_negatives_spectral_loss, negatives_spectral_loss


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def law(*shape, seed=5):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1


def by_hand(predicted, target, joint, negatives):
    """-2 E g.f+ + E (g.f')^2, one pair at a time; ``negatives`` has a row for each prediction."""
    g, f, p = predicted.numpy(), target.numpy(), joint.numpy() / float(joint.sum())
    total = 0.0
    for m in range(len(g)):
        for s in range(len(f)):
            inner = float(g[m] @ f[s])
            total += -2 * p[m, s] * inner + p[m].sum() * negatives[m, s] / negatives[m].sum() * inner**2
    return total


@pytest.mark.parametrize("own", [False, True])
def test_expected_loss_is_the_sum_over_all_pairs(own):
    predicted, target, joint = draw(6, 3), draw(4, 3, seed=1), law(6, 4)
    negatives = law(6 if own else 1, 4, seed=8)
    expected = by_hand(predicted, target, joint, np.broadcast_to(negatives.numpy(), (6, 4)))
    assert float(expected_negatives_spectral_loss(predicted, target, joint, negatives)) == pytest.approx(expected, rel=1e-12)
    other = expected_negatives_spectral_loss(predicted, target, joint, joint.sum(0, keepdim=True))
    assert abs(float(other) - expected) > 1e-2
    runs = torch.stack([predicted, 2 * predicted]), torch.stack([target, target])
    both = expected_negatives_spectral_loss(*runs, joint, negatives)
    assert float(both[0]) == pytest.approx(expected, rel=1e-12) and both.shape == (2,)


def test_sampled_loss_is_the_sum_over_all_pairs_and_negatives():
    predicted, target, negatives = draw(5, 3), draw(5, 3, seed=1), draw(7, 3, seed=2)
    weight, negative_weight = law(5), law(7, seed=6)
    share, other = weight / weight.sum(), negative_weight / negative_weight.sum()
    expected = sum(
        share[i] * (-2 * predicted[i] @ target[i] + sum(other[j] * (predicted[i] @ negatives[j]) ** 2 for j in range(7)))
        for i in range(5)
    )
    assert float(negatives_spectral_loss(predicted, target, negatives, weight, negative_weight)) == pytest.approx(
        float(expected), rel=1e-12
    )


def test_the_sampled_loss_is_unbiased():
    predicted, target, joint, negatives = draw(3, 2), draw(3, 2, seed=1), law(3, 3), law(1, 3, seed=8)
    p, q = (joint / joint.sum()).flatten(), (negatives / negatives.sum()).flatten()
    mean = 0.0
    for pair in range(9):
        for first in range(3):
            for second in range(3):
                drawn = negatives_spectral_loss(predicted[[pair // 3]], target[[pair % 3]], target[[first, second]])
                mean += float(p[pair] * q[first] * q[second] * drawn)
    assert mean == pytest.approx(float(expected_negatives_spectral_loss(predicted, target, joint, negatives)), rel=1e-12)


@pytest.mark.parametrize(
    "negatives, fragment", [(law(4), "negatives has shape"), (law(2, 4), "negatives has shape"), (-law(1, 4), "masses")]
)
def test_laws_that_do_not_fit_are_refused(negatives, fragment, refused):
    with refused(fragment, "expected"):
        expected_negatives_spectral_loss(draw(6, 3), draw(4, 3), law(6, 4), negatives)


def test_negatives_of_another_dimension_are_refused(refused):
    with refused("negatives has 2 coordinates", "expected 3"):
        negatives_spectral_loss(draw(4, 3), draw(4, 3), draw(4, 2))


@pytest.mark.parametrize(
    "settings, fragment",
    [
        ({"negatives": "uniform"}, "prediction loss, which has none"),
        ({"negatives": "action", "loss": "spectral", "batch_size": 8}, "expected None"),
        ({"negatives": "own"}, "negatives"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, fragment):
    with pytest.raises(InputError, match=fragment):
        JepaConfig(**settings)


def normalised_stack(mdp, measure):
    """sqrt(rho(x, a)) P(y|x,a) / sqrt(nu(y)), by hand."""
    rho = mdp.action_frequency[:, None] * mdp.weight
    return (np.sqrt(rho)[:, :, None] * mdp.dense() / np.sqrt(measure)).reshape(-1, mdp.n_states)


def test_training_reaches_the_svd_of_the_stack_normalised_by_the_negatives():
    """Uniform ones; pooled ones are the default, see tests/jepa/test_training.py."""
    mdp = sj.make_dirichlet(6, 2, concentration=0.3, seed=1)
    exact, dims = sj.CoOccurrence.exact(mdp), (1, 3, 6)
    pooled = mdp.action_frequency @ mdp.next_weight
    measure = np.full(6, 1 / 6)
    assert np.ptp(pooled) > 0.05
    config = JepaConfig(loss="spectral", regularizer="none", negatives="uniform", n_steps=700, learning_rate=0.05)
    trained = train_jepa(exact, [Run(dim, seed=1) for dim in dims], config)
    left, values, right = np.linalg.svd(normalised_stack(mdp, measure), full_matrices=False)
    for number, dim in enumerate(dims):
        least = -np.sum(values[:dim] ** 2)
        assert trained.table["loss"][number] == pytest.approx(least, abs=1e-6)
        assert trained.table["optimum"][number] == pytest.approx(least, abs=1e-12)
        # The model itself is the truncation, read back with the law of the negatives.
        rho = np.sqrt(mdp.action_frequency[:, None] * mdp.weight).reshape(-1, 1)
        truncated = (left[:, :dim] * values[:dim]) @ right[:dim] * np.sqrt(measure) / rho
        assert np.abs(trained.embedding(number).transition().reshape(-1, 6) - truncated).max() < 1e-3


@pytest.mark.parametrize("seed", [0])
def test_what_is_trained_with_the_right_negatives_plans_without_error(seed):
    """A world on which the dot planner errs at risk 0: the printed negatives reach their optimum, and lose all the same."""
    mdp = sj.two_state_counterexample()
    exact = sj.CoOccurrence.exact(mdp)
    regrets = {}
    for negatives in ("pooled", "uniform", "action"):
        config = JepaConfig(loss="spectral", regularizer="none", negatives=negatives, n_steps=500, learning_rate=0.05)
        trained = train_jepa(exact, [Run(2, seed=seed)], config)
        embedding = trained.embedding(0)
        assert np.abs(embedding.transition() - mdp.dense()).max() < 1e-3  # exact, whatever the negatives
        regrets[negatives] = sj.goal_regret(mdp, embedding, score="dot")
    squares = np.sum(np.linalg.svd(exact.normalized, compute_uv=False) ** 2, axis=1)
    assert trained.table["loss"][0] == pytest.approx(-mdp.action_frequency @ squares, abs=1e-6)
    assert np.isnan(trained.table["optimum"][0])
    assert regrets["pooled"] == regrets["uniform"] == 0 and regrets["action"] == pytest.approx(0.05)


def test_minibatches_with_uniform_negatives_reach_it_too():
    mdp = sj.make_dirichlet(5, 2, concentration=0.5, seed=2)
    data = sj.sample_transitions(mdp, n_per_action=400, seed=0)
    counts = sj.CoOccurrence.from_transitions(data)
    config = JepaConfig(loss="spectral", regularizer="none", negatives="uniform", batch_size=64, n_steps=400)
    trained = train_jepa(data, [Run(3, seed=0)], config)
    least = optimal_loss(counts, config, 3, 0.0)
    assert least == pytest.approx(trained.table["optimum"][0]) and abs(trained.table["gap"][0]) < 0.05 * abs(least)
    pooled = optimal_loss(counts, JepaConfig(loss="spectral", regularizer="none"), 3, 0.0)
    assert abs(pooled - least) > 0.1 * abs(least)
