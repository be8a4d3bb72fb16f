import numpy as np
import psutil
import pytest

from spectral_jepa import CoOccurrence, TabularMDP, Transitions, spectral_embedding, spectrum, tail

STATE, ACTION, NEXT = [0, 0, 1, 1, 0, 2], [0, 0, 0, 0, 1, 1], [0, 1, 0, 0, 2, 2]
LOG = Transitions(STATE, ACTION, NEXT, n_states=4)  # state 3 is in no row
COUNTS = np.zeros((2, 4, 4))
for _x, _a, _y in zip(STATE, ACTION, NEXT, strict=True):
    COUNTS[_a, _x, _y] += 1
STORAGE = pytest.mark.parametrize("sparse", [False, True])


def as_dense(matrices):
    return np.stack([m.toarray() for m in matrices]) if isinstance(matrices, tuple) else matrices


@pytest.fixture
def truth():
    """A world over the log's spaces that gives every cell some mass."""
    rng = np.random.default_rng(0)
    return TabularMDP(rng.dirichlet(np.ones(4), size=(2, 4)), weight=[0.4, 0.3, 0.2, 0.1], action_frequency=[0.7, 0.3])


# --- exact ----------------------------------------------------------------------------------------------------------------


@STORAGE
def test_exact_against_loops(draw_world, sparse):
    world = draw_world(0, 5, 3, concentration=0.3)
    exact = CoOccurrence.exact(world.mdp.as_sparse() if sparse else world.mdp)
    assert exact.is_sparse == sparse and exact.n_samples is None and exact.normalization == "exact"
    assert (exact.n_states, exact.n_actions) == (5, 3)
    for a in range(3):
        assert np.abs(as_dense(exact.normalized)[a] - world.normalized(a)).max() < 1e-12
        assert np.abs(exact.dense_joint()[a] - world.weight[:, None] * world.transition[a]).max() < 1e-15
        assert exact.action_norms()[a] == pytest.approx(np.linalg.norm(world.normalized(a)) ** 2, abs=1e-12)
    stacked = exact.stacked.toarray() if sparse else exact.stacked
    assert np.abs(stacked - world.stacked()).max() < 1e-12
    assert np.abs(exact.conditional() - world.transition).max() < 1e-12
    assert np.abs(exact.pooled_column_weight - world.frequency @ world.next_weight).max() < 1e-12
    assert np.abs(exact.pooled_weight - np.outer(world.frequency, world.weight)).max() < 1e-15


@STORAGE
def test_decompositions_rebuild_the_matrices(draw_world, sparse):
    world = draw_world(1, 5, 2, concentration=0.3)
    exact = CoOccurrence.exact(world.mdp.as_sparse() if sparse else world.mdp)
    left, values, right = exact.decomposition
    for a in range(2):
        assert np.abs(left[a] * values[a] @ right[a].T - world.normalized(a)).max() < 1e-12
    left, values, right = exact.stacked_decomposition
    assert left.shape == (10, 5) and np.abs(left * values @ right.T - world.stacked()).max() < 1e-12


@STORAGE
def test_states_and_actions_without_mass_never_give_nan(sparse):
    transition = np.array([[[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]], np.eye(3)])
    mdp = TabularMDP(transition, weight=[0.5, 0.5, 0], action_frequency=[1.0, 0.0])
    exact = CoOccurrence.exact(mdp.as_sparse() if sparse else mdp)
    for array in (as_dense(exact.normalized), exact.conditional(), spectrum(exact), spectrum(exact, shared=True)):
        assert np.isfinite(array).all()
    assert as_dense(exact.normalized)[0, 2].tolist() == [0, 0, 0]
    assert as_dense(exact.normalized)[0][:, 2].tolist() == [0, 0, 0]
    for dim in (1, 2, 3):
        for shared in (False, True):
            embedding = spectral_embedding(exact, dim, shared=shared)
            assert np.isfinite(embedding.target).all() and np.isfinite(embedding.predicted).all()
        # The action that the pooled law never takes has no rows in the stack.
        assert np.abs(embedding.predicted[1]).max() == 0
        assert tail(exact, dim, shared=True) == pytest.approx(max(tail(exact, dim)[0], 0), abs=1e-12)


# --- plug-in --------------------------------------------------------------------------------------------------------------


@STORAGE
def test_plug_in_by_hand(sparse):
    cooc = CoOccurrence.from_transitions(LOG, sparse=sparse)
    assert cooc.is_sparse == sparse and cooc.n_samples.tolist() == [4, 2]
    assert cooc.action_frequency.tolist() == pytest.approx([4 / 6, 2 / 6])
    assert cooc.row_weight.tolist() == [[0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0]]
    assert cooc.column_weight.tolist() == [[0.75, 0.25, 0, 0], [0, 0, 1, 0]]
    for a, n in enumerate((4, 2)):
        for x in range(4):
            for y in range(4):
                mass = COUNTS[a, x, y] / n
                expected = mass / np.sqrt(COUNTS[a, x].sum() / n * COUNTS[a, :, y].sum() / n) if mass else 0.0
                assert as_dense(cooc.normalized)[a, x, y] == pytest.approx(expected, abs=1e-15)
    assert cooc.conditional()[0, 0].tolist() == [0.5, 0.5, 0, 0] and cooc.conditional()[0, 3].tolist() == [0, 0, 0, 0]


@STORAGE
def test_plug_in_stack_by_hand(sparse):
    cooc = CoOccurrence.from_transitions(LOG, sparse=sparse)
    stacked = cooc.stacked.toarray() if sparse else cooc.stacked
    rows, columns = COUNTS.sum(axis=2) / 6, COUNTS.sum(axis=(0, 1)) / 6
    for a in range(2):
        for x in range(4):
            for y in range(4):
                mass = COUNTS[a, x, y] / 6
                expected = mass / np.sqrt(rows[a, x] * columns[y]) if mass else 0.0
                assert stacked[4 * a + x, y] == pytest.approx(expected, abs=1e-15)


def test_counting_a_world_exactly_gives_the_world(draw_world):
    """Counts in the proportion of w P: the estimate is the exact matrix."""
    mdp = TabularMDP([[[0.75, 0.25], [0.5, 0.5]]], weight=[0.5, 0.5])
    data = Transitions([0, 0, 0, 0, 1, 1, 1, 1], [0] * 8, [0, 0, 0, 1, 0, 0, 1, 1])
    exact = CoOccurrence.exact(mdp)
    for normalization in ("plug-in", "known"):
        cooc = CoOccurrence.from_transitions(data, normalization, known=mdp)
        assert np.abs(cooc.normalized - exact.normalized).max() < 1e-15


# --- known and reference --------------------------------------------------------------------------------------------------


@STORAGE
def test_known_by_hand(truth, sparse):
    after = np.array([sum(truth.weight[x] * truth.transition[a, x] for x in range(4)) for a in range(2)])
    for known in (truth, CoOccurrence.exact(truth)):
        cooc = CoOccurrence.from_transitions(LOG, "known", known=known, sparse=sparse)
        assert cooc.normalization == "known" and cooc.action_frequency.tolist() == [0.7, 0.3]
        for a, n in enumerate((4, 2)):
            expected = COUNTS[a] / n / np.sqrt(np.outer(truth.weight, after[a]))
            assert np.abs(as_dense(cooc.normalized)[a] - expected).max() < 1e-14


@STORAGE
def test_reference_by_hand(sparse):
    measure = np.array([0.1, 0.2, 0.3, 0.4])
    cooc = CoOccurrence.from_transitions(LOG, "reference", reference=measure, sparse=sparse)
    rows = COUNTS.sum(axis=2) / np.array([4, 2])[:, None]
    for a, n in enumerate((4, 2)):
        for x in range(4):
            for y in range(4):
                mass = COUNTS[a, x, y] / n
                expected = mass / np.sqrt(rows[a, x] * measure[y]) if mass else 0.0
                assert as_dense(cooc.normalized)[a, x, y] == pytest.approx(expected, abs=1e-15)
    assert np.abs(spectral_embedding(cooc, 4).transition() - cooc.conditional()).max() < 1e-12


# --- storage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalization", ["plug-in", "known", "reference"])
def test_sparse_equals_dense_everywhere(truth, normalization):
    options = {"known": truth, "reference": np.full(4, 0.25)}
    dense, thin = (CoOccurrence.from_transitions(LOG, normalization, **options, sparse=s) for s in (False, True))
    assert np.abs(as_dense(thin.normalized) - dense.normalized).max() < 1e-14
    assert np.abs(thin.stacked.toarray() - dense.stacked).max() < 1e-14
    assert np.abs(thin.conditional() - dense.conditional()).max() < 1e-14
    assert np.abs(thin.action_norms() - dense.action_norms()).max() < 1e-14
    for shared in (False, True):
        assert np.abs(spectrum(thin, shared=shared) - spectrum(dense, shared=shared)).max() < 1e-12
        for dim in (1, 2, 3, 4):
            assert np.abs(spectrum(thin, dim, shared=shared) - spectrum(dense, dim, shared=shared)).max() < 1e-10
            assert np.abs(tail(thin, dim, shared=shared) - tail(dense, dim, shared=shared)).max() < 1e-10


def test_storage_defaults_by_size():
    assert not CoOccurrence.from_transitions(LOG).is_sparse
    wide = Transitions([0, 1], [0, 0], [1, 0], n_states=3000)  # 9 million entries
    cooc = CoOccurrence.from_transitions(wide)
    assert cooc.is_sparse
    assert spectrum(cooc, 3).round(10).tolist() == [[1, 1, 0]]


@STORAGE
def test_unseen_action_as_zeros(sparse):
    data = Transitions(STATE, ACTION, NEXT, n_actions=3)
    cooc = CoOccurrence.from_transitions(data, unseen_actions="zero", sparse=sparse)
    assert cooc.n_samples.tolist() == [4, 2, 0] and cooc.action_frequency[2] == 0
    assert np.abs(as_dense(cooc.normalized)[2]).max() == 0
    for shared in (False, True):
        model = spectral_embedding(cooc, 2, shared=shared).transition()
        assert np.abs(model[2]).max() == 0 and np.abs(model[0].sum(axis=1) - [1, 1, 0]).max() < 1e-12


# --- refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, fragments",
    [
        ({"normalization": "marginal"}, ["'marginal'", "'plug-in', 'known', 'reference'"]),
        ({"unseen_actions": "skip"}, ["'skip'", "'error', 'zero'"]),
        ({"normalization": "known"}, ["true marginals", "known="]),
        ({"normalization": "known", "known": TabularMDP([np.eye(3)] * 2)}, ["(2, 3)", "(2, 4)"]),
        ({"normalization": "reference"}, ["reference=", "uniform"]),
        ({"normalization": "reference", "reference": [0.5, 0.5, 0, 0]}, ["reference[2] is 0", "positive"]),
        ({"normalization": "reference", "reference": [0.5, 0.5]}, ["reference", "(4)"]),
        ({"normalization": "reference", "reference": [0.5, 0.5, 0.5, 0.5]}, ["reference sums to 2"]),
    ],
)
def test_bad_options(refused, options, fragments):
    with refused(*fragments):
        CoOccurrence.from_transitions(LOG, **options)


def test_an_action_never_seen_is_named(refused):
    with refused("action 2 never appears", "6 transitions", "3 actions", "unseen_actions='zero'"):
        CoOccurrence.from_transitions(Transitions(STATE, ACTION, NEXT, n_actions=3))
    labelled = Transitions([0], [1], [0], n_actions=2, action_labels=("left", "right"))
    with refused("action 0 ('left')"):
        CoOccurrence.from_transitions(labelled)


def test_arrays_that_would_not_fit_say_so(refused):
    n = 200_000
    assert 8 * n * n > psutil.virtual_memory().available
    data = Transitions([0, n - 1], [0, 0], [n - 1, 0])
    with refused("200000 x 200000", "596.0 GiB", "sparse=True"):
        CoOccurrence.from_transitions(data, sparse=False)
    cooc = CoOccurrence.from_transitions(data)  # sparse by itself
    for call in (cooc.conditional, cooc.dense_joint, lambda: spectrum(cooc), lambda: cooc.stacked_decomposition):
        with refused("596.0 GiB", "Lanczos"):
            call()
    assert spectrum(cooc, 2).round(10).tolist() == [[1, 1]]
