"""Advice where the truth is known: linear systems, finite worlds, singular functions, and noise as the control."""

import doctest
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

import spectral_jepa as sj
from spectral_jepa.advice.correlations import corrected_values, correlations, fit_canonical
from spectral_jepa.advice.pairs import make_pairs
from spectral_jepa.advice.regularizer import Regularizer, fitting_subspaces, threshold
from spectral_jepa.advice.risk import half_sample_norms


def linear_system(kept, n_episodes, seed, length=40):
    """z+ = kept z + noise, stationary with covariance I, mixed by a fixed matrix: canonical correlations ``kept``."""
    rng, kept = np.random.default_rng(seed), np.asarray(kept)
    z = [rng.standard_normal((n_episodes, kept.size))]
    for _ in range(length):
        z.append(kept * z[-1] + np.sqrt(1 - kept**2) * rng.standard_normal(z[-1].shape))
    path = np.stack(z, axis=1) @ np.random.default_rng(7).standard_normal((kept.size, kept.size))
    before, after = (part.reshape(-1, kept.size) for part in (path[:, :-1], path[:, 1:]))
    return before, after, np.repeat(np.arange(n_episodes), length)


def one_hot(world, n_transitions, seed, n_coordinates=None):
    """Transitions of a world as linear images of one-hot states."""
    data = sj.sample_transitions(world, n_transitions=n_transitions, seed=seed)
    image = np.eye(world.n_states) if n_coordinates is None else None
    image = np.random.default_rng(3).standard_normal((world.n_states, n_coordinates)) if image is None else image
    return image[data.state], image[data.next_state], data.action


def test_a_linear_system_is_found():
    kept = [0.9, 0.7, 0.5, 0.3, 0, 0, 0, 0]
    before, after, episodes = linear_system(kept, 500, seed=0)
    advice = sj.advise(before, after, episodes=episodes)
    assert np.abs(advice.estimate - kept).max() < 0.02
    assert (advice.low <= kept).all() and (kept <= advice.high).all()
    assert advice.recommended_dim == advice.one_standard_error_dim == advice.n_clear == 4
    assert advice.recommended_subspaces == 2
    assert advice.energy == pytest.approx(np.square(kept).sum(), abs=0.05)
    # What least squares cannot predict, in the units of the mixed latents.
    mix = np.random.default_rng(7).standard_normal((8, 8))
    residual = np.sum((1 - np.square(kept))[:, None] * mix**2) / np.sum(mix**2)
    assert advice.unpredicted.low < residual < advice.unpredicted.high


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_nothing_to_recommend(seed):
    """The control: independent latents, although the sample's largest correlation is far from 0."""
    rng = np.random.default_rng(seed)
    advice = sj.advise(rng.standard_normal((1500, 10)), rng.standard_normal((1500, 10)))
    assert advice.in_sample[0] > 0.12
    assert (advice.low == 0).all() and advice.n_clear == 0
    assert advice.recommended_dim == 0 and advice.recommended_subspaces is None
    assert advice.estimate.max() < 0.06 and 0.99 < advice.unpredicted.value < 1.03
    assert "k = 0" in advice.findings()[0]


@pytest.mark.parametrize(
    ("world", "rank"),
    [
        (sj.make_block(n_states=16, n_blocks=4, n_actions=2, seed=1), 3),
        (sj.make_low_rank(n_states=16, rank=3, n_actions=2, seed=0), 2),
    ],
    ids=["block", "low rank"],
)
def test_images_of_states_have_the_worlds_spectrum(world, rank):
    """Linear images of one-hot states span all functions: the correlations are the singular values after the constant's."""
    true = sj.spectrum(sj.CoOccurrence.exact(world), shared=True)[1:16]
    advice = sj.advise(*one_hot(world, 12_000, 0, n_coordinates=16))
    assert advice.n_functions == 31  # 16 states by 2 actions, less the constant
    assert np.abs(advice.estimate[:rank] - true[:rank]).max() < 0.03
    assert (advice.low <= true + 1e-12).all() and (true <= advice.high + 1e-12).all()
    assert advice.recommended_dim == rank


def test_actions_are_seen_and_needed():
    """A world whose action decides where it goes: without actions half of the spectrum is lost."""
    world = sj.make_ring(n_states=9, slip=0.1, n_actions=2)
    before, after, action = one_hot(world, 8000, 0)
    true = sj.spectrum(sj.CoOccurrence.exact(world), shared=True)[1:]
    with_labels, without = sj.advise(before, after, action), sj.advise(before, after)
    assert with_labels.low[0] <= true[0] <= with_labels.high[0]
    assert without.high[0] < true[0]


def test_exact_singular_functions_of_a_chain():
    """Krawtchouk polynomials of the binomial chain, the first four: correlations rho, rho^2, rho^3, rho^4."""
    world, rho = sj.make_autoregressive(n_states=21, correlation=0.8), 0.8
    ones, bits = np.arange(21), 20
    weight = binom.pmf(ones, bits, 0.5)
    basis = np.linalg.qr(np.sqrt(weight)[:, None] * np.vander(ones - 10.0, 5, increasing=True))[0] / np.sqrt(weight)[:, None]
    data = sj.sample_transitions(world, n_transitions=20_000, seed=0)
    functions = basis[:, 1:]
    advice = sj.advise(functions[data.state], functions[data.next_state])
    true = rho ** np.arange(1, 5)
    assert np.abs(advice.estimate - true).max() < 0.03
    assert (advice.low <= true).all() and (true <= advice.high).all()
    assert advice.recommended_dim == 4


def test_limits_cover_and_sample_values_do_not():
    """20 seeds of 8 directions at 400 rows: limits cover nearly always, sample values with the same errors do not."""
    kept = np.array([0.9, 0.6, 0.3, 0, 0, 0, 0, 0])
    covered, naive = [], []
    for seed in range(20):
        before, after, episodes = linear_system(kept, 20, seed, length=20)
        found = correlations(make_pairs(before, after, episodes=episodes), 8)
        covered.append((found.low <= kept) & (kept <= found.high))
        naive.append(np.abs(found.in_sample - kept) < 1.96 * (1 - kept**2) / 20)
    assert np.mean(covered) >= 0.93
    assert np.mean(naive) < 0.7


def test_correction_inverts_what_noise_does():
    """Against a simulation of the sample value it is the inverse of; below the threshold nothing is left."""
    rng = np.random.default_rng(0)
    kept = np.zeros(60)
    kept[0] = 0.6
    sample = []
    for _ in range(10):
        z = rng.standard_normal((600, 60))
        sample.append(fit_canonical(z, kept * z + np.sqrt(1 - kept**2) * rng.standard_normal(z.shape)).values)
    first, second = np.mean(sample, axis=0)[:2]
    assert first > 0.65  # biased
    assert corrected_values(np.array([first]), 60, 60, 599)[0] == pytest.approx(0.6, abs=0.02)
    assert second > 0.5 and corrected_values(np.array([second - 0.02]), 60, 60, 599)[0] == 0


def test_held_out_values_never_count_the_sign_of_noise():
    """The mean held-out value of a direction of no correlation is 0, not the mean of its absolute value."""
    rng = np.random.default_rng(1)
    values = [
        correlations(make_pairs(rng.standard_normal((400, 3)), rng.standard_normal((400, 3))), 3).held_out for _ in range(40)
    ]
    assert np.abs(np.mean(values, axis=0)).max() < 0.02


def test_episodes_stay_whole():
    before, after, episodes = linear_system([0.9, 0.5], 40, 0, length=10)
    pairs = make_pairs(before, after, episodes=episodes * 7 + 3, n_folds=4, seed=1)
    assert pairs.n_groups == 40 and len(np.unique(np.stack([pairs.group, pairs.fold]), axis=1).T) == 40
    shuffled = np.random.default_rng(0).permutation(400)
    again = sj.advise(before[shuffled], after[shuffled], episodes=episodes[shuffled], seed=3)
    assert np.allclose(again.estimate, sj.advise(before, after, episodes=episodes, seed=3).estimate, atol=1e-9)


def test_invariant_under_linear_maps():
    """The spectrum is one of spaces of functions: other coordinates, repeated ones and constant ones change nothing."""
    before, after, episodes = linear_system([0.9, 0.6, 0.2], 60, 0)
    rng = np.random.default_rng(0)
    plain = sj.advise(before, after, episodes=episodes)
    mixed = before @ rng.standard_normal((3, 3)) + 5
    wide = np.hstack([mixed, mixed[:, :1], np.ones((len(mixed), 1))])
    other = sj.advise(wide, after * [1.0, 1e3, 1e-3] - 2, episodes=episodes)
    assert np.allclose(plain.estimate, other.estimate, atol=1e-7) and np.allclose(plain.low, other.low, atol=1e-7)
    assert np.allclose(plain.held_out_mean, other.held_out_mean, atol=1e-6) and other.n_functions == 3


def test_held_out_risk_is_the_risk_of_the_fit():
    """With a fit of known error the held-out curve is -1 - sum of squares + sum of squared errors: a direct computation."""
    kept = np.array([0.8, 0.4, 0.0])
    before, after, episodes = linear_system(kept, 700, 0)
    advice = sj.advise(before, after, episodes=episodes)
    assert advice.held_out_mean == pytest.approx(-1 - np.cumsum(np.append(0, kept**2)), abs=0.03)
    assert advice.tail == pytest.approx(np.append(np.cumsum(np.square(kept)[::-1])[::-1], 0), abs=0.03)


def test_half_samples_estimate_the_sampling_error():
    """Against the true error of the regression in whitened coordinates, which is known here."""
    kept = np.array([0.8, 0.5, 0.0, 0.0])
    levels, errors = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((1000, 4))
        after = kept * z + np.sqrt(1 - kept**2) * rng.standard_normal(z.shape)
        levels.append(half_sample_norms(make_pairs(z, after), 0).mean())
        errors.append(np.linalg.norm(np.linalg.lstsq(z, after, rcond=None)[0] - np.diag(kept), ord=2))
    assert np.mean(levels) == pytest.approx(np.mean(errors), rel=0.15)


def test_predictions_of_the_user_are_judged():
    before, after, episodes = linear_system([0.9, 0.5], 100, 0)
    mix = np.random.default_rng(7).standard_normal((2, 2))
    truth = before @ np.linalg.inv(mix) * [0.9, 0.5] @ mix
    advice = sj.advise(before, after, episodes=episodes, predicted=truth)
    assert advice.unpredicted_by_model.value == pytest.approx(advice.unpredicted.value, abs=0.01)
    assert advice.unpredicted_by_standing_still.value > advice.unpredicted.high
    bad = sj.advise(before, after, episodes=episodes, predicted=-truth)
    assert bad.unpredicted_by_model.value > 1


def test_vectors_and_products():
    """z+ = a z: invisible to maps linear in (z, a), seen by their products."""
    rng = np.random.default_rng(0)
    z, a = rng.standard_normal((3000, 2)), rng.choice([-1.0, 1.0], (3000, 1))
    after = 0.9 * a * z + 0.3 * rng.standard_normal(z.shape)
    additive, products = sj.advise(z, after, a), sj.advise(z, after, a, products=True)
    assert additive.recommended_dim == 0 and products.recommended_dim == 2
    assert products.estimate.min() > 0.9
    assert np.allclose(sj.advise(z, after, (a[:, 0] > 0).astype(int)).estimate, products.estimate, atol=0.01)


def test_regularizers_against_their_thresholds():
    """The words on both sides of 1 - s^2 = pull, and the published constants, far above for every world."""
    published = Regularizer("sigreg", 0.09, 128)
    assert published.pull == pytest.approx(17.59, abs=0.01)  # docs/sigreg_phase.md, 4
    assert threshold(published, 0.0, 0.0, 0.1).word == "far above"
    for factor in (0.5, 0.9, 1.1, 2.0):
        # pull = factor (1 - .8^2), exactly at s = .8
        one = Regularizer("whitening", factor * 0.36 / 2)
        assert (threshold(one, 0.8, 0.8, 0.8).ratio > 1) == (factor > 1)
    # The same side as the theorem about where the least value is.
    for strength in (0.05, 0.2, 0.3):
        grows = threshold(Regularizer("sigreg", strength, 10**9, factor=1.0), 0.8, 0.8, 0.8).ratio > 1
        assert sj.sigreg_phase(0.8, 4, strength * 4) == ("grows" if grows else "collapsed")
    assert threshold(Regularizer("sigreg", 0.2, 10**9, factor=1.0), 0.8, 0.7, 0.9).word == "about at"
    assert threshold(Regularizer("pldm"), 0.8, 0.7, 0.9) is None
    assert Regularizer("subspace_sigreg", 0.09, 128, n_subspaces=4).pull == published.pull


def test_subspaces_leave_the_rank():
    for dim, wanted in ((12, 3), (192, 20), (64, 7), (12, 12), (12, 40), (7, 3)):
        n, rank, most = fitting_subspaces(dim, wanted)
        assert n * rank == dim and (rank >= wanted or n == 1) and rank <= most <= dim
        assert all(dim // other < wanted for other in range(n + 1, dim + 1) if dim % other == 0)


def test_what_is_not_known_is_said():
    before, after, episodes = linear_system([0.9, 0.5], 30, 0)
    known = sj.advise(before, after, episodes=episodes, regularizer=Regularizer())
    assert "far above" in known.verdict() and "Assumes" in known.verdict()
    plain = sj.advise(before, after)
    assert plain.threshold is None and "not known, pass --regularizer" in " ".join(plain.verdict().split())
    assert any("stretches" in text for text in plain.findings())
    small = sj.advise(1e-3 * before, 1e-3 * after, episodes=episodes, regularizer=Regularizer())
    assert any("collapsed" in text for text in small.findings())
    bound = known.oracle_bound(1)
    assert not bound.vacuous and len(bound.assumptions) == 3
    assert max(map(len, known.verdict().splitlines())) <= 80


def test_the_page_shows_what_comes_out():
    page = Path(__file__).resolve().parents[2] / "docs" / "advice.md"
    found = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted >= 12 and not found.failed


def test_table_and_dict_agree():
    before, after, episodes = linear_system([0.9, 0.5], 30, 0)
    advice = sj.advise(before, after, episodes=episodes)
    table, plain = advice.to_frame(), advice.to_dict()
    assert table["dim"].tolist() == [0, 1, 2] and np.isnan(table["correlation"][0])
    assert table.loc[table["recommended"], "dim"].tolist() == [plain["recommended_dim"]]
    assert plain["correlation"] == table["correlation"][1:].tolist()
    assert "<table>" in advice._repr_html_() and "estimate" not in repr(advice)
