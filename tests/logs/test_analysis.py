import time
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from spectral_jepa import (
    CoOccurrence,
    InputError,
    Transitions,
    bernstein_bound,
    make_block,
    make_low_rank,
    make_permutation,
    pooled_risk,
    sample_transitions,
    spectral_embedding,
)
from spectral_jepa.logs import analysis as analysis_module
from spectral_jepa.logs import estimates as module
from spectral_jepa.logs.analysis import analyze
from spectral_jepa.plotting.analysis import analysis_figure


def stacked_by_hand(data, n_states, n_actions):
    """Plug-in stacked matrix from a Python loop over transitions: counts over the roots of their marginals."""
    counts = np.zeros((n_actions * n_states, n_states))
    for x, a, y in zip(data.state, data.action, data.next_state, strict=True):
        counts[a * n_states + x, y] += 1
    rows, columns = counts.sum(1), counts.sum(0)
    counts = counts[rows > 0][:, columns > 0]
    return counts / np.sqrt(np.outer(counts.sum(1), counts.sum(0)))


def true_stack(mdp):
    """sqrt(rho) P / sqrt(q) of a world with uniform w and p, from its transition."""
    n_actions, n_states = mdp.n_actions, mdp.n_states
    rho = 1 / (n_actions * n_states)
    q = rho * mdp.dense().sum(axis=(0, 1))
    return (np.sqrt(rho) * mdp.dense() / np.sqrt(q)).reshape(-1, n_states)


def true_error(mdp, data):
    """||E||_2 of the log's conditional probabilities in the true weights."""
    estimate = np.zeros((mdp.n_actions, mdp.n_states, mdp.n_states))
    np.add.at(estimate, (data.action, data.state, data.next_state), 1.0)
    estimate /= estimate.sum(2, keepdims=True)
    rho = 1 / (mdp.n_actions * mdp.n_states)
    q = rho * mdp.dense().sum(axis=(0, 1))
    return np.linalg.norm((np.sqrt(rho) * (estimate - mdp.dense()) / np.sqrt(q)).reshape(-1, mdp.n_states), 2)


@pytest.fixture(scope="module")
def block():
    world = make_block(40, 4, 2, seed=3)
    data = sample_transitions(world, n_transitions=4000, seed=0)
    return world, data, analyze(data, seed=1)


def test_spectrum_and_plug_in_tail_are_those_of_the_counts(block):
    _, data, analysis = block
    values = np.linalg.svd(stacked_by_hand(data, 40, 2), compute_uv=False)
    np.testing.assert_allclose(analysis.singular_values, values, rtol=0, atol=1e-12)
    np.testing.assert_allclose(analysis.plug_in_tail, [np.sum(values[k:] ** 2) for k in analysis.dims], rtol=0, atol=1e-11)
    assert analysis.dims.tolist() == list(range(1, 41))


def test_bernstein_level_is_the_theorem_at_the_plug_in_laws(block):
    _, data, analysis = block
    cooc = CoOccurrence.from_transitions(data)
    expected = bernstein_bound(cooc, len(data), failure_probability=0.05, shared=True)[0]
    assert analysis.bernstein.value == pytest.approx(expected.value, rel=1e-12)


def test_coverage_by_hand():
    #                     pair (x, a): (0,0) x3 -> 1,1,2   (1,0) x2 -> 0,0   (2,1) x1 -> 3   of 4 states x 2 actions
    log = Transitions([0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 0, 1], [1, 1, 2, 0, 0, 3])
    analysis = analyze(log, n_folds=2)
    assert (analysis.n_transitions, analysis.n_states, analysis.n_actions) == (6, 4, 2)
    assert (analysis.n_pairs, analysis.n_visited_pairs, analysis.max_dim) == (8, 3, 3)
    assert analysis.unseen_mass == pytest.approx(1 / 6)
    assert analysis.deterministic_share == 0.5
    assert analysis.visits_per_pair == pytest.approx(3 / (1 / 3 + 1 / 2 + 1))
    assert analysis.n_components == 3
    # c(c-1) / ((n-1) m): pair (0,0): 2*1 / (2*2); pair (1,0): 2*1 / (1*2); rescaled from 5 to 6 transitions.
    assert analysis.energy == pytest.approx((0.5 + 1.0) * 6 / 5)


def test_held_out_risk_is_the_explicit_sum_over_pairs_of_transitions():
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 3, size=(6, 5)) for _ in range(2))
    train[2], train[:, 4] = 0, 0  # a pair and a next state that only the test has
    dims = np.array([1, 2, 4])
    cross, pair = module.held_out(sp.csr_array(train.astype(float)), sp.csr_array(test.astype(float)), dims, seed=0)
    total, rows, columns = train.sum(), train.sum(1), train.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        matrix = np.nan_to_num(train / np.sqrt(np.outer(rows, columns)))
        left, values, right_t = np.linalg.svd(matrix)
        g = np.where(rows[:, None] > 0, left[:, :5] * values * np.sqrt(total / rows)[:, None], 0)
        f = np.where(columns[:, None] > 0, right_t.T * np.sqrt(total / columns)[:, None], 0)
    draws = [(r, c) for r in range(6) for c in range(5) for _ in range(test[r, c])]
    for i, k in enumerate(dims):
        score = g[:, :k] @ f[:, :k].T
        assert cross[i] == pytest.approx(np.mean([score[r, c] for r, c in draws]), abs=1e-12)
        squares = [score[draws[i][0], draws[j][1]] ** 2 for i in range(len(draws)) for j in range(len(draws)) if i != j]
        assert pair[i] == pytest.approx(np.mean(squares), abs=1e-12)


def test_the_constant_alone_has_held_out_risk_minus_one_where_every_fold_sees_every_pair(block):
    _, _, analysis = block
    np.testing.assert_allclose(analysis.held_out_risk[:, 0], -1, rtol=0, atol=1e-10)


def test_held_out_risk_estimates_the_true_risk_up_to_the_energy(block):
    world, data, analysis = block
    exact, estimate = CoOccurrence.exact(world), CoOccurrence.from_transitions(data)
    energy = np.sum(true_stack(world) ** 2)
    risk = [pooled_risk(exact, spectral_embedding(estimate, int(k), shared=True)) for k in analysis.dims[:8]]
    # A fold's fit sees 4/5 of the log, so its risk is a little higher.
    np.testing.assert_allclose(analysis.held_out_mean[:8] + energy, risk, rtol=0, atol=0.06)
    assert analysis.energy == pytest.approx(energy, rel=0.05)


@pytest.mark.parametrize("visits", [20, 100])
def test_corrections_beat_the_plug_in_and_match_the_truth(visits):
    plug_in, corrected, noise = [], [], []
    for seed in range(4):
        world = make_block(40, 4, 2, seed=seed)
        data = sample_transitions(world, n_transitions=80 * visits, seed=seed)
        analysis = analyze(data, seed=seed)
        values = np.linalg.svd(true_stack(world), compute_uv=False)
        tail = np.array([np.sum(values[k:] ** 2) for k in analysis.dims])
        plug_in.append(np.abs(analysis.plug_in_tail - tail)[:10].mean())
        corrected.append(np.abs(analysis.tail - tail)[:10].mean())
        noise.append(analysis.noise_level / true_error(world, data))
    assert np.mean(corrected) < 0.15 * np.mean(plug_in)
    assert 0.8 < np.mean(noise) < 1.2


@pytest.mark.parametrize(("make", "rank"), [(make_block, 5), (make_low_rank, 8)])
def test_held_out_choice_finds_the_rank_and_nearly_the_least_true_risk(make, rank):
    for seed in range(3):
        world = make(seed=seed)
        data = sample_transitions(world, n_transitions=100 * world.n_states * world.n_actions, seed=seed)
        analysis = analyze(data, dims=range(1, 17), seed=0)
        exact, estimate = CoOccurrence.exact(world), CoOccurrence.from_transitions(data)
        risk = [pooled_risk(exact, spectral_embedding(estimate, k, shared=True)) for k in range(1, 17)]
        assert risk[analysis.held_out_dim - 1] <= 1.1 * min(risk)
        assert abs(analysis.held_out_dim - rank) <= 1
        assert analysis.one_standard_error_dim <= analysis.held_out_dim


def test_choices_follow_their_definitions(block):
    _, _, analysis = block
    mean = analysis.held_out_risk.mean(0)
    best = int(np.argmin(mean))
    assert analysis.held_out_dim == analysis.dims[best]
    excess = analysis.held_out_risk - analysis.held_out_risk[:, [best]]
    error = np.sqrt(((excess - excess.mean(0)) ** 2).sum(0) / 4 / 5)
    smallest = next(k for k, e, s in zip(analysis.dims, excess.mean(0), error, strict=True) if e <= s)
    assert analysis.one_standard_error_dim == smallest
    for bernstein, tail, level in (
        (False, analysis.tail, analysis.noise_level),
        (True, analysis.plug_in_tail, analysis.bernstein.value),
    ):
        bound = [np.sqrt(t) + 2 * np.sqrt(2 * k) * level for t, k in zip(tail, analysis.dims, strict=True)]
        assert analysis.oracle_dim(bernstein=bernstein) == analysis.dims[int(np.argmin(bound))]


def test_deterministic_log_has_no_noise_and_is_warned_about():
    data = sample_transitions(make_permutation(12, 2), n_transitions=2400, seed=0)
    analysis = analyze(data)
    np.testing.assert_allclose(analysis.singular_values, 1, rtol=0, atol=1e-12)
    assert analysis.noise_level == 0 and analysis.deterministic_share == 1 and analysis.n_components == 12
    assert analysis.energy == pytest.approx(12, abs=1e-12)
    assert analysis.held_out_dim == 12
    assert "always led to one next state" in analysis.verdict() and "12 unconnected groups" in analysis.verdict()


def test_lanczos_path_agrees_with_the_full_decomposition(monkeypatch):
    data = sample_transitions(make_block(40, 4, 2, seed=3), n_transitions=8000, seed=0)
    full = analyze(data, dims=range(1, 9))
    monkeypatch.setattr(module, "FULL_STATES", 10)
    lanczos = analyze(data, dims=range(1, 9))
    np.testing.assert_allclose(lanczos.singular_values, full.singular_values, rtol=1e-6)
    np.testing.assert_allclose(lanczos.held_out_risk, full.held_out_risk, rtol=0, atol=1e-5)
    assert lanczos.noise_level == pytest.approx(full.noise_level, rel=1e-2)


def test_large_sparse_log_never_makes_a_square_array(monkeypatch):
    monkeypatch.setattr(module.sp.csr_array, "toarray", lambda self: pytest.fail("made a dense array"))
    rng = np.random.default_rng(0)
    block = rng.integers(0, 4, 100_000)
    flip = rng.random(100_000) < 0.2
    states = 1000 * block + rng.integers(0, 1000, 100_000)
    after = 1000 * ((block + flip) % 4) + rng.integers(0, 1000, 100_000)
    analysis = analyze(Transitions(states, np.zeros(100_000, int), after, 20_000), dims=[1, 2, 4, 6], n_folds=2)
    assert analysis.n_states == 20_000 and analysis.n_visited_pairs == 4000
    assert analysis.held_out_dim == 4


def test_relabelling_states_changes_nothing_but_the_random_halves(block):
    _, data, analysis = block
    order = np.random.default_rng(5).permutation(40)
    other = analyze(Transitions(order[data.state], 1 - data.action, order[data.next_state]), seed=1)
    np.testing.assert_allclose(other.singular_values, analysis.singular_values, rtol=0, atol=1e-11)
    np.testing.assert_allclose(other.energy, analysis.energy, rtol=1e-12)


def test_same_seed_same_bits(block):
    _, data, analysis = block
    again = analyze(data, seed=1)
    np.testing.assert_array_equal(again.held_out_risk, analysis.held_out_risk)
    assert again.noise_level == analysis.noise_level
    assert not np.array_equal(analyze(data, seed=2).held_out_risk, analysis.held_out_risk)


def test_verdict_is_short_and_states_the_numbers(block):
    _, _, analysis = block
    text = analysis.verdict()
    assert 4 <= len(text.splitlines()) <= 8
    assert "4,000 transitions, 40 states, 2 actions" in text
    assert f"least at k = {analysis.held_out_dim};" in text
    assert "Warning" not in text


def test_warnings_appear_when_due():
    rng = np.random.default_rng(0)
    frozen = np.repeat(rng.integers(0, 2, 400), 5)
    state, after = 5 * frozen + rng.integers(0, 5, 2000), 5 * frozen + rng.integers(0, 5, 2000)
    text = analyze(Transitions(state, np.zeros(2000, int), after, 12, 2), dims=[1, 2]).verdict()
    assert "14 pairs were never visited" in text
    assert "1 singular value beyond the first above 0.99 (the log falls into 2 unconnected groups)" in text
    assert "pass larger dims" in text
    once = analyze(Transitions(range(12), [0] * 12, range(12)))
    assert np.isnan(once.energy) and "no pair was visited twice" in once.verdict()
    np.testing.assert_array_equal(once.tail, once.plug_in_tail)


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"n_folds": 1}, "n_folds is 1"),
        ({"n_folds": 9}, "the log has 12 transitions, expected at least 18"),
        ({"failure_probability": 1.0}, "failure_probability is 1.0"),
        ({"dims": []}, "dims is empty"),
        ({"dims": [1, 4]}, "a dimension in dims is 4, expected between 1 and 3"),
        ({"dims": [1.5]}, "is .*1.5.*, expected a whole number"),
    ],
)
def test_wrong_input_gives_one_sentence(options, pattern):
    with pytest.raises(InputError, match=pattern) as caught:
        analyze(Transitions([0, 1, 2] * 4, [0] * 12, [1, 2, 0] * 4), **options)
    assert "\n" not in str(caught.value)


def test_figure_shows_the_choices(block):
    _, _, analysis = block
    figure = analysis_figure(analysis)
    spectrum, risk, oracle = figure.axes
    texts = {t.get_text() for axis in figure.axes for t in axis.get_legend().get_texts()}
    assert f"least: k = {analysis.held_out_dim}" in texts
    assert f"smallest within 1 s.e.: k = {analysis.one_standard_error_dim}" in texts
    np.testing.assert_array_equal(risk.lines[0].get_ydata(), analysis.held_out_risk.mean(0))
    np.testing.assert_array_equal(spectrum.lines[1].get_ydata(), analysis.singular_values)
    marked = [line.get_xdata()[0] for line in oracle.lines if line.get_linestyle() == "None"]
    assert marked == [analysis.oracle_dim(), analysis.oracle_dim(bernstein=True)]
    figure.canvas.draw()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("log", [Transitions([0] * 12, [0] * 12, [0] * 12), Transitions(range(12), [0] * 12, range(12))])
def test_degenerate_logs_are_analysed_and_drawn(log):
    analysis = analyze(log)
    assert analysis.verdict()
    analysis_figure(analysis).canvas.draw()


def islands(n_islands, n_states, seed=0):
    """A log of worlds that never meet, small ones of one pair among them."""
    rng = np.random.default_rng(seed)
    states, after = [], []
    for island in range(n_islands):
        size = int(rng.integers(1, n_states + 1))
        rows = int(rng.integers(2, 60))
        states.append(island * n_states + rng.integers(0, size, rows))
        after.append(island * n_states + rng.integers(0, size, rows))
    state, following = np.concatenate(states), np.concatenate(after)
    return Transitions(state, np.zeros(state.size, int), following, n_islands * n_states)


@pytest.mark.parametrize("n_islands, dim, n_states", [(30, 20, 6), (12, 14, 16)])
def test_groups_are_found_before_the_iteration_and_agree_with_lapack(monkeypatch, n_islands, dim, n_states):
    data = islands(n_islands, n_states)
    full = analyze(data, dims=[1, 4, dim], n_folds=2)
    assert full.n_components >= n_islands
    monkeypatch.setattr(module, "FULL_STATES", 5)
    grouped = analyze(data, dims=[1, 4, dim], n_folds=2)
    np.testing.assert_allclose(grouped.singular_values, full.singular_values[:dim], rtol=0, atol=1e-9)
    assert (grouped.singular_values[: min(n_islands, dim)] == 1).all()
    np.testing.assert_allclose(grouped.plug_in_tail, full.plug_in_tail, rtol=0, atol=1e-8)
    assert grouped.noise_level == pytest.approx(full.noise_level, rel=1e-6)


def test_a_log_of_thousands_of_groups_is_analysed_at_once():
    """10,000 rows that fell into 4,842 groups took more than a minute in Lanczos, without an answer."""
    rng = np.random.default_rng(0)
    states = rng.integers(0, 10_000, 6000)
    began = time.process_time()
    analysis = analyze(Transitions(states, rng.integers(0, 3, 6000), states))
    assert time.process_time() - began < 10
    assert analysis.n_components > 3000 and (analysis.singular_values == 1).all() and analysis.singular_values.size == 64


@pytest.mark.parametrize("n_ends", [255, 256, 257, 300, 2000])
def test_one_pair_with_many_next_states_is_analysed(n_ends):
    zeros = np.zeros(10 * n_ends, int)
    analysis = analyze(Transitions(zeros, zeros, np.arange(10 * n_ends) % n_ends))
    assert analysis.singular_values == pytest.approx([1.0], abs=1e-12) and analysis.held_out_dim == 1


def test_tall_matrices_are_factorised_in_pieces(monkeypatch):
    data = sample_transitions(make_block(40, 4, 5, seed=3), n_transitions=8000, seed=0)
    whole = analyze(data, dims=range(1, 9))
    monkeypatch.setattr(module, "TALL_ENTRIES", 100)
    monkeypatch.setattr(module, "PIECE", 1000)
    pieces = analyze(data, dims=range(1, 9))
    np.testing.assert_allclose(pieces.singular_values, whole.singular_values, rtol=1e-12)
    np.testing.assert_allclose(pieces.held_out_risk, whole.held_out_risk, rtol=0, atol=1e-12)
    assert pieces.noise_level == pytest.approx(whole.noise_level, rel=1e-9)


def test_what_would_not_fit_is_refused_before_it_is_made(free_memory):
    rng = np.random.default_rng(0)
    data = Transitions(rng.integers(0, 1000, 40_000), rng.integers(0, 40, 40_000), rng.integers(0, 1000, 40_000))
    free_memory(5 * 2**20)
    with pytest.raises(InputError, match=r"the arrays of the analysis.*smaller dims \(--dims\)"):
        analyze(data, dims=[1, 64])


def test_the_room_asked_for_is_the_room_taken():
    rng = np.random.default_rng(0)
    n = 20_000
    data = Transitions(rng.integers(0, 1000, n), rng.integers(0, 20, n), rng.integers(0, 1000, n))
    tracemalloc.start()
    analyze(data, dims=[1, 8, 16], n_folds=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis_module, "require_memory", lambda shape, *_: asked.append(8 * shape[0]))
        analysis_module._require_room(n, (len(np.unique(data.state * 20 + data.action)), 1000), 16)
    assert peak < asked[0] < 3 * peak
