"""Counts in chunks are those of all rows, and what is drawn from them has the law of what is drawn from rows."""

import resource
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from spectral_jepa import InputError, Transitions, make_block, read_log, sample_transitions
from spectral_jepa.logs import analysis as analysis_module
from spectral_jepa.logs import analyze, count_log, count_transitions, estimates


def random_log(n_rows, n_states=40, n_actions=3, seed=0):
    rng = np.random.default_rng(seed)
    state, action = rng.integers(0, n_states, n_rows), rng.integers(0, n_actions, n_rows)
    return pd.DataFrame({"state": state, "action": action, "next_state": (state * rng.integers(1, 3, n_rows)) % n_states})


LABELS = {
    "numbers": lambda frame: 7 * frame - 3,
    "text": lambda frame: frame.astype(str).radd("s"),
    "small integers": lambda frame: frame.astype(np.int8),
    "fractions": lambda frame: frame / 4,
    "times": lambda frame: frame.apply(lambda column: pd.Timestamp("2026-01-01") + pd.to_timedelta(column, unit="h")),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("chunk_rows", [1, 7, 10_000])
def test_chunks_give_the_counts_and_labels_of_all_rows(kind, chunk_rows, tmp_path):
    frame = LABELS[kind](random_log(200 if chunk_rows == 1 else 2000))
    frame.to_parquet(tmp_path / "log.parquet", row_group_size=300)
    whole, counted = read_log(tmp_path / "log.parquet"), count_log(tmp_path / "log.parquet", chunk_rows=chunk_rows)
    assert counted.state_labels == whole.state_labels and counted.action_labels == whole.action_labels
    expected = np.zeros((whole.n_actions, whole.n_states, whole.n_states), dtype=int)
    np.add.at(expected, (whole.action, whole.state, whole.next_state), 1)
    got = np.zeros_like(expected).reshape(-1, whole.n_states)
    got[np.ix_(counted.pair, counted.reached)] = counted.counts.toarray()
    assert (got.reshape(expected.shape) == expected).all() and len(counted) == len(frame)
    assert (counted.counts.data > 0).all() and counted.counts.dtype == np.int64
    in_memory = count_transitions(whole)
    for name in ("pair", "reached"):
        np.testing.assert_array_equal(getattr(counted, name), getattr(in_memory, name))
    assert (counted.counts != in_memory.counts).nnz == 0


def test_a_folder_of_files_and_the_way_back(tmp_path):
    frame = LABELS["text"](random_log(900))
    (tmp_path / "parts").mkdir()
    for i in range(3):
        frame[300 * i : 300 * (i + 1)].to_parquet(tmp_path / f"parts/{i}.parquet")
    counted = count_log(tmp_path / "parts", chunk_rows=100)
    assert len(counted) == 900
    back = count_transitions(read_log(counted.to_frame(), count="count"))
    assert back.state_labels == counted.state_labels and (back.counts != counted.counts).nnz == 0


def test_analysis_of_counts_is_that_of_rows_but_for_what_is_drawn(tmp_path, monkeypatch):
    data = sample_transitions(make_block(40, 4, 2, seed=3), n_transitions=20_000, seed=0)
    frame = pd.DataFrame({"state": data.state, "action": data.action, "next_state": data.next_state})
    frame.to_parquet(tmp_path / "log.parquet")
    rows, counted = analyze(data, seed=1), analyze(count_log(tmp_path / "log.parquet", chunk_rows=999), seed=1)
    for name in ("n_transitions", "n_visited_pairs", "unseen_mass", "deterministic_share", "visits_per_pair", "energy"):
        assert getattr(rows, name) == getattr(counted, name), name
    np.testing.assert_array_equal(rows.singular_values, counted.singular_values)
    np.testing.assert_array_equal(rows.plug_in_tail, counted.plug_in_tail)
    assert rows.bernstein.value == counted.bernstein.value
    # Different draws of the same laws: the noise level within its spread, the risk within its error over folds.
    assert abs(rows.noise_level - counted.noise_level) < 4 * rows.noise_spread
    assert rows.held_out_dim == counted.held_out_dim == 4
    assert np.abs(rows.held_out_mean - counted.held_out_mean)[:8].max() < 5e-3 and counted.held_out_risk.shape == (5, 40)
    monkeypatch.setattr(analysis_module, "MANY_ROWS", 10_000)
    many = analyze(data, seed=1)
    np.testing.assert_array_equal(many.held_out_risk, counted.held_out_risk)
    assert many.noise_level == counted.noise_level


def test_folds_are_a_partition_whose_entries_are_hypergeometric():
    counts = sp.csr_array(np.array([[6, 2, 0], [0, 3, 1]], dtype=np.int64))
    rng = np.random.default_rng(0)
    first = []
    for _ in range(4000):
        parts = estimates.draw_folds(counts, 5, rng)
        assert [int(part.sum()) for part in parts] == [3, 3, 2, 2, 2]
        assert (sum(part.toarray() for part in parts) == counts.toarray()).all()
        first.append(parts[0].toarray()[0, 0])
    law = stats.hypergeom(12, 6, 3)
    seen = np.bincount(np.array(first, dtype=int), minlength=4)
    assert stats.chisquare(seen, 4000 * law.pmf(range(4))).pvalue > 1e-3


def test_draws_from_rows_are_multivariate_hypergeometric_and_of_the_asked_size():
    rng = np.random.default_rng(1)
    dense = rng.poisson(2.0, size=(30, 9))
    dense[4] = 0
    dense[5, 0] = 50
    counts = sp.csr_array(dense.astype(np.int64))
    sizes = (dense.sum(1) + 1) // 2
    drawn = np.zeros((2000, counts.nnz))
    for i in range(2000):
        drawn[i] = estimates.draw_from_rows(counts, sizes, rng)
    of = np.repeat(np.arange(30), np.diff(counts.indptr))
    sums = np.array([np.bincount(of, row, minlength=30) for row in drawn[:50]])
    assert (sums == sizes).all() and (drawn >= 0).all() and (drawn <= counts.data).all()
    # Mean n K / N and variance of each entry, and the covariance of two of one row.
    total, taken = dense.sum(1)[of], sizes[of]
    share = counts.data / total
    variance = taken * share * (1 - share) * (total - taken) / np.maximum(total - 1, 1)
    error = drawn.mean(axis=0) - taken * share
    assert (np.abs(error) <= 5 * np.sqrt(variance / 2000) + 1e-12).all()
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.25, atol=0.02)
    a, b = counts.indptr[5], counts.indptr[5] + 1
    expected = -taken[a] * share[a] * share[b] * (total[a] - taken[a]) / (total[a] - 1)
    assert np.cov(drawn[:, a], drawn[:, b])[0, 1] == pytest.approx(expected, rel=0.25)


def test_the_norm_from_counts_has_the_law_of_that_from_rows():
    data = sample_transitions(make_block(20, 3, 2, seed=0), n_transitions=600, seed=0)
    counts = count_transitions(data)
    pairs, row = np.unique(data.action * 20 + data.state, return_inverse=True)
    column = np.unique(data.next_state, return_inverse=True)[1]
    visits, arrivals = estimates.marginals(counts.counts)
    rng = np.random.default_rng(0)
    one = [estimates.half_sample_norm(row, column, visits, arrivals, rng) for _ in range(300)]
    two = [estimates.half_count_norm(counts.counts, rng) for _ in range(300)]
    assert pairs.size == visits.size and stats.ks_2samp(one, two).pvalue > 1e-3


def test_wrong_logs_are_refused_in_one_sentence(tmp_path, refused):
    random_log(20).to_parquet(tmp_path / "log.parquet")
    with refused("has no column 'from'", "'state', 'action', 'next_state'"):
        count_log(tmp_path / "log.parquet", state="from")
    with refused("is no Parquet file"):
        count_log(tmp_path / "log.csv")
    with refused("is no Parquet file"):
        count_log(tmp_path / "nothing.parquet")
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "log.parquet").read_bytes()[:100])
    with refused("cannot be read as parquet"):
        count_log(tmp_path / "torn.parquet")
    frame = random_log(20).astype("Int64")
    frame.loc[3, "action"] = pd.NA
    frame.to_parquet(tmp_path / "missing.parquet")
    with refused("has rows without a 'action'"):
        count_log(tmp_path / "missing.parquet")
    random_log(20).astype({"next_state": str}).to_parquet(tmp_path / "mixed.parquet")
    assert set(map(type, count_log(tmp_path / "mixed.parquet").state_labels)) == {str}
    data = sample_transitions(make_block(6, 2, 1, seed=0), n_transitions=9, seed=0)
    data.to_frame().to_parquet(tmp_path / "nested.parquet")
    with refused("holds lists or structures as 'state'"):
        count_log(tmp_path / "nested.parquet")
    random_log(0).to_parquet(tmp_path / "empty.parquet")
    with refused("has columns but no row"):
        count_log(tmp_path / "empty.parquet")
    with pytest.raises(InputError, match="fewer triples"):
        count_transitions(Transitions([0, 2**31 - 2], [0, 3], [2**31 - 2, 0]))


ROOM = """
import resource, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from spectral_jepa.logs import count_log
n, path = int(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(0)
schema = pa.schema([(name, pa.int32()) for name in ("state", "action", "next_state")])
with pq.ParquetWriter(path, schema) as writer:
    for _ in range(n // 2**17):
        writer.write_table(pa.table([pa.array(rng.integers(0, k, 2**17).astype(np.int32)) for k in (50, 2, 50)], schema))
counted = count_log(path, chunk_rows=2**17)
assert len(counted) == n
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
"""


@pytest.mark.skipif(resource is None, reason="no resource limits here")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    peaks = []
    for n_rows in (2**18, 2**22):
        command = [sys.executable, "-c", ROOM, str(n_rows), str(tmp_path / f"{n_rows}.parquet")]
        peaks.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    # The rows alone would take 48 MiB more as they are in the file, 96 as numbers of a log.
    assert peaks[1] - peaks[0] < 40
