"""docs/price.md, 4: Bernstein's, the bootstrap's and the held-out price against formulas, draws and the true risk."""

import numpy as np
import pytest
import scipy.linalg

from spectral_jepa import (
    CoOccurrence,
    InputError,
    Transitions,
    bernstein_price,
    bootstrap_price,
    held_out_price,
    make_block,
    make_low_rank,
    sample_transitions,
    soft_threshold_embedding,
    transition_risk,
)
from spectral_jepa.theory.prices import held_out_risks


def test_bernstein_is_the_formula_at_the_laws_of_the_log():
    """Two actions of 20 and 10 transitions: v = 2 / N and L = 3 at the uniform law, d = 4."""
    first, second = [[9, 1], [1, 9]], [[4, 1], [1, 4]]
    rows = [
        (x, a, y) for a, counts in enumerate((first, second)) for x in (0, 1) for y in (0, 1) for _ in range(counts[x][y])
    ]
    data = Transitions(*np.transpose(rows), 2, 3)
    log = np.log(4)
    by_hand = [np.sqrt(2 * 2 / n * log) + 3 * log / (3 * n) for n in (20, 10)]
    assert bernstein_price(data) == pytest.approx([by_hand[0], min(by_hand[1], 1), 1])  # no data: everything is shrunk
    log = np.log(4 / 0.1)
    tail = [np.sqrt(2 * 2 / n * log) + 2 * 3 * log / (3 * n) for n in (20, 10)]
    assert bernstein_price(data, failure_probability=0.1) == pytest.approx([min(t, 1) for t in [*tail, 1]])


@pytest.mark.parametrize("shared", [False, True])
def test_bootstrap_estimates_the_norm_of_the_error(shared):
    """Against the true ||E||_2 of the same logs, at about 80 visits a pair."""
    world = make_block(n_states=24, n_blocks=4, n_actions=2, seed=2)
    exact, ratios = CoOccurrence.exact(world), []
    for seed in range(5):
        data = sample_transitions(world, n_transitions=4000, seed=seed)
        counts = np.zeros((2, 24, 24))
        np.add.at(counts, (data.action, data.state, data.next_state), 1)
        if shared:
            q = world.action_frequency @ world.next_weight
            rho = world.action_frequency[:, None] * world.weight
            scaled = counts / 4000 / np.sqrt(rho[:, :, None] * q)
            norms = scipy.linalg.svdvals(scaled.reshape(48, 24) - exact.stacked)[0]
        else:
            scaled = counts / counts.sum((1, 2), keepdims=True)
            scaled /= np.sqrt(world.weight[None, :, None] * world.next_weight[:, None, :])
            norms = np.array([scipy.linalg.svdvals(scaled[a] - exact.normalized[a])[0] for a in range(2)])
        price = bootstrap_price(data, shared=shared, seed=seed)
        assert np.shape(price) == np.shape(norms)
        ratios.append(price / norms)
    assert 0.9 < np.mean(ratios) < 1.15
    high = bootstrap_price(data, shared=shared, quantile=0.9)
    assert (high > bootstrap_price(data, shared=shared)).all() if not shared else high > bootstrap_price(data, shared=True)
    again = bootstrap_price(data, shared=shared, seed=3), bootstrap_price(data, shared=shared, seed=3)
    assert np.array_equal(*again) and not np.array_equal(again[0], bootstrap_price(data, shared=shared, seed=4))


def test_held_out_risks_are_the_explicit_sums_over_pairs_of_transitions():
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 3, size=(6, 5)) for _ in range(2))
    train[2], train[:, 4] = 0, 0  # a pair and a next state that only the test has
    total, rows, columns = train.sum(), train.sum(1), train.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(train / np.outer(rows, columns) * total)
    weights = np.sqrt(np.outer(rows, columns)) / total
    constant = ratio * 0 + (rows > 0)[:, None] * (columns > 0)
    draws = [(r, c) for r in range(6) for c in range(5) for _ in range(test[r, c])]
    prices = np.array([0.0, 0.2, 0.5, 1.0])
    risks = held_out_risks(train, test, prices)
    for price, risk in zip(prices, risks, strict=True):
        left, values, right_t = np.linalg.svd((ratio - constant) * weights)
        model = (left[:, :5] * np.maximum(values - price, 0)) @ right_t
        score = np.divide(model, weights, out=np.zeros_like(model), where=weights > 0) + constant
        squares = [score[draws[i][0], draws[j][1]] ** 2 for i in range(len(draws)) for j in range(len(draws)) if i != j]
        assert risk == pytest.approx(np.mean(squares) - 2 * np.mean([score[d] for d in draws]), abs=1e-10)


def test_held_out_price_has_nearly_the_least_true_risk_and_is_repeatable():
    world = make_low_rank(n_states=30, rank=4, n_actions=2, seed=1)
    exact, excess = CoOccurrence.exact(world), []
    for n in (500, 5000):
        data = sample_transitions(world, n_transitions=n, seed=0)
        cooc = CoOccurrence.from_transitions(data, unseen_actions="zero")

        def risk(price, cooc=cooc):
            return transition_risk(exact, soft_threshold_embedding(cooc, price, shared=True).transition(), pooled=True)

        price = held_out_price(data, shared=True, seed=0)
        assert price == held_out_price(data, shared=True, seed=0)
        least = min(risk(theta) for theta in np.geomspace(0.01, 1, 40))
        assert least <= risk(price) + 1e-12 and risk(0.0) > 1.5 * least
        excess.append(risk(price) / least)
    assert max(excess) < 1.1


def test_held_out_price_of_each_action_is_that_of_its_own_transitions():
    world = make_block(n_states=12, n_blocks=3, n_actions=2, seed=0)
    data = sample_transitions(world, n_per_action=1500, seed=0)
    few = data.select(np.flatnonzero((data.action == 0) | (np.arange(len(data)) >= len(data) - 9)))
    prices = held_out_price(few, prices=[0.02, 0.05, 0.1, 0.9], seed=5)
    assert prices.shape == (2,) and 0 < prices[0] < 0.2
    assert prices[1] == 1 or few.actions_seen[1] >= 10
    only = data.select(data.action == 0)
    assert held_out_price(only, shared=True, prices=[0.05]) == pytest.approx(0.05 * np.sqrt(0.8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: bernstein_price(d, failure_probability=1.0), "failure_probability is 1"),
        (lambda d: bootstrap_price(d, quantile=1.5), "quantile is 1.5"),
        (lambda d: bootstrap_price(d, n_draws=0), "n_draws is 0"),
        (lambda d: held_out_price(d, n_folds=1), "n_folds is 1"),
        (lambda d: held_out_price(d, prices=[-0.1]), "negative number"),
        (lambda d: held_out_risks([[1, 1]], [[1, 0]], [0.1]), "test has 1 transitions"),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(InputError) as error:
        call(Transitions([0, 1, 1], [0, 0, 0], [0, 1, 0], 2, 1))
    assert message in str(error.value)
