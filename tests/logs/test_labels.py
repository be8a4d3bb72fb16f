"""Labels are not numbers: distinct labels in, distinct labels out, over all pairs of column types."""

import itertools
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectral_jepa import InputError, Transitions
from spectral_jepa.logs import read_log, write_log


def read_csv(folder, rows, header="state,action,next_state", **options):
    path = folder / "log.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return read_log(path, **options)


def chain(words):
    return [f"{a},go,{b}" for a, b in itertools.pairwise(words)]


@pytest.mark.parametrize(
    "words",
    [
        [str(11898508762506083287 + i) for i in range(7)],
        [f"1225717802.167984160{i}" for i in (7, 8, 9)],
        ["345.1", "345.2", "345.10"],
        ['"0117"', '"117"'],
        ["1", "1.0"],
        ["+1", "1"],
        ["0.5", ".5"],
        ["1e3", "1000.0", "1000"],
        ["-0.0", "0.0", "0"],
        ["true", "True", "TRUE"],
        ["2020-01-01", "2020-01-01T00:00:00", "2020-01-01 00:00:00"],
        ["9007199254740993", "9007199254740992.0", "0.5"],
        ["-1", "8", "4", "B", "C"],
        ["inf", "Infinity", "1"],
        ["a", "a "],
    ],
    ids=lambda words: words[-1],
)
def test_words_that_a_number_would_merge_stay_apart_in_a_csv_file(tmp_path, words):
    words = [*words, words[0]]
    data = read_csv(tmp_path, chain(words))
    assert data.state_labels == tuple(sorted({word.strip('"') for word in words}))
    assert [data.state_labels[i] for i in data.state] == [word.strip('"') for word in words[:-1]]


@pytest.mark.parametrize(
    "words, expected",
    [
        (["9", "100", "-10"], (-10, 9, 100)),
        (["9.5", "10.25", "-2.0"], (-2.0, 9.5, 10.25)),
        (["1e+300", "0.30000000000000004"], (0.1 + 0.2, 1e300)),
        (["9", "10.5"], (9.0, 10.5)),
    ],
)
def test_ordinary_numbers_stay_numbers(tmp_path, words, expected):
    assert read_csv(tmp_path, chain([*words, words[0]])).state_labels == expected


def test_one_column_of_numbers_beside_one_with_text_is_text(tmp_path):
    assert read_csv(tmp_path, ["-1,go,8", "4,go,B", "8,go,4"]).state_labels == ("-1", "4", "8", "B")
    # pandas writes whole numbers as 1.0 once the column had a gap: equal numbers are one label.
    assert read_csv(tmp_path, ["1,go,2.0", "2,go,1.0"]).state_labels == (1, 2)


def npz(folder, first, second):
    path = folder / "log.npz"
    np.savez(path, state=first, action=np.zeros(len(first), int), next_state=second)
    return read_log(path)


def test_integers_of_both_signs_and_64_bits_are_joined_exactly(tmp_path):
    data = npz(tmp_path, np.array([2**63 - 1, -1]), np.array([2**63, 2**63 + 1], dtype=np.uint64))
    assert data.state_labels == (-1, 2**63 - 1, 2**63, 2**63 + 1)
    with pytest.raises(InputError, match=r"int64.*floats do not hold all these numbers exactly.*whole numbers"):
        npz(tmp_path, np.array([2**53 + 1, 5]), np.array([5.0, 7.0]))
    assert npz(tmp_path, np.array([1, 5]), np.array([5.0, 7.0])).state_labels == (1, 5, 7)
    assert npz(tmp_path, np.array([1, 5]), np.array([5.0, 7.5])).state_labels == (1, 5, 7.5)


def test_two_widths_of_floats_are_joined_where_that_is_exact_and_refused_else(tmp_path):
    narrow = np.array([0.5, 0.25], dtype=np.float32)
    assert npz(tmp_path, narrow, np.array([0.25, 0.5])).state_labels == (0.25, 0.5)
    with pytest.raises(InputError, match=r"float32 and float64, in which the same decimal is two different numbers"):
        npz(tmp_path, np.array([0.1, 0.2], dtype=np.float32), np.array([0.2, 0.1]))


def test_whole_numbers_beside_missing_ones_in_parquet_stay_whole(tmp_path):
    table = pa.table({"state": pa.array([2**53 + 1, None]), "action": [0, 0], "next_state": [2**53, 2**53 + 1]})
    pyarrow.parquet.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(InputError, match="no state label in 1 of 2 rows"):
        read_log(tmp_path / "log.parquet")


SMALL = st.integers(-3, 3)
VALUES = {
    "int8": SMALL,
    "int64": SMALL | st.integers(-(2**63), 2**63 - 1) | st.integers(2**53 - 2, 2**53 + 2),
    "uint64": st.integers(0, 3) | st.integers(0, 2**64 - 1) | st.integers(2**63 - 2, 2**63 + 2),
    "float32": SMALL.map(float)
    | st.floats(width=32, allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.5, 2.0**24]),
    "float64": SMALL.map(float)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.1, 0.5, 2.0**53, 2.0**63, 2.0**64]),
    "bool": st.booleans(),
    "text": st.sampled_from(["1", "01", "1.0", "-1", "B", "None", "1225717802.1679841607", "1225717802.1679841608"]),
}


def identity(value, kind):
    """A label as a value of its own: whole numbers and floats are compared as Python does, exactly; all else by its type."""
    return ("number", value) if kind not in ("bool", "text") else (kind, value)


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(), kinds=st.tuples(st.sampled_from(sorted(VALUES)), st.sampled_from(sorted(VALUES))), parquet=st.booleans()
)
def test_distinct_labels_in_distinct_labels_out(tmp_path_factory, data, kinds, parquet):
    folder = tmp_path_factory.mktemp("log")
    n = data.draw(st.integers(1, 6))
    columns = []
    for kind in kinds:
        values = data.draw(st.lists(VALUES[kind], min_size=n, max_size=n))
        columns.append(np.array(values, dtype=object if kind == "text" and parquet else "U40" if kind == "text" else kind))
    if parquet:
        frame = pd.DataFrame({"state": columns[0], "action": 0, "next_state": columns[1]})
        frame.to_parquet(folder / "log.parquet", index=False)
    else:
        np.savez(folder / "log.npz", state=columns[0], action=np.zeros(n, int), next_state=columns[1])
    try:
        log = read_log(folder / ("log.parquet" if parquet else "log.npz"))
    except InputError as error:
        assert kinds[0] != kinds[1], error  # a column is never refused beside its own type
        return
    ids = np.concatenate([log.state, log.next_state])
    given_values = [identity(value, kind) for kind, column in zip(kinds, columns, strict=True) for value in column.tolist()]
    if "text" in kinds:  # whole numbers beside text are text
        given_values = [("text", str(value)) for _, value in given_values]
    for i, first in enumerate(given_values):
        for j, second in enumerate(given_values):
            assert (ids[i] == ids[j]) == (first == second), (first, second, kinds)
    labels = [log.state_labels[i] for i in ids]
    assert all(str(value[1]) == str(label) or value[1] == label for value, label in zip(given_values, labels, strict=True))


WORDS = st.text("0123456789+-.e ", min_size=1, max_size=5).filter(str.strip) | st.sampled_from(
    ["1.10", "1.1", "01", "1", "1.0", "true", "True", "1e5", "100000.0", "9007199254740993", "9007199254740992", "0.1"]
)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
def test_distinct_words_of_a_column_are_distinct_labels(tmp_path_factory, rows):
    data = read_csv(tmp_path_factory.mktemp("log"), [f"{a},go,{b}" for a, b in rows])
    for ids, words in ((data.state, [row[0] for row in rows]), (data.next_state, [row[1] for row in rows])):
        assert len({*zip(ids.tolist(), words, strict=True)}) == len(set(words)) == len(set(ids.tolist()))
    for i, word in zip(
        [*data.state, *data.next_state], [word for part in zip(*rows, strict=True) for word in part], strict=True
    ):
        label = data.state_labels[i]
        assert label == word if isinstance(label, str) else Decimal(word) == Decimal(repr(label))


def test_a_line_break_in_quotes_is_part_of_the_label(tmp_path):
    data = read_csv(tmp_path, ['"a\nb",go,c', 'c,go,"a\nb"'])
    assert data.state_labels == ("a\nb", "c") and data.next_state.tolist() == [1, 0]


@pytest.mark.parametrize("labels", [(2**63, -1), (2**53 + 1, 0.5), ("a\0", "a"), (2**70, 1)])
@pytest.mark.parametrize("extension", ["csv", "parquet", "npz"])
def test_labels_are_written_exactly_or_not_at_all(tmp_path, labels, extension):
    path = tmp_path / f"log.{extension}"
    try:
        write_log(Transitions([0, 1], [0, 0], [1, 0], state_labels=labels), path)
    except InputError as error:
        assert "relabel them" in str(error) and not path.exists()
        return
    assert set(map(str, read_log(path).state_labels)) == set(map(str, labels))
