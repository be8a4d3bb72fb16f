import io
import re
import time

import numpy as np
import pandas as pd
import pytest

from spectral_jepa import InputError, Transitions
from spectral_jepa.logs import log_to_mdp, read_log, write_log

ROWS = [("hall", "go", "kitchen", 0.5), ("kitchen", "stay", "kitchen", 0.1 + 0.2), ("attic", "go", "hall", -1.0)]
HEADER = "state,action,next_state"


def save(folder, name, columns):
    path = folder / name
    frame = pd.DataFrame(columns)
    if name.endswith(".csv"):
        frame.to_csv(path, index=False)
    elif name.endswith(".parquet"):
        frame.to_parquet(path, index=False)
    else:
        np.savez(path, **{k: np.asarray(v) for k, v in columns.items()})
    return path


def columns_of(rows, names=("state", "action", "next_state", "reward")):
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def labelled_rows(data):
    states, actions = data.state_labels, data.action_labels
    return [(states[x], actions[a], states[y]) for x, a, y in zip(data.state, data.action, data.next_state, strict=True)]


@pytest.mark.parametrize("extension", ["csv", "parquet", "npz"])
def test_text_labels_become_ids_in_sorted_order_over_states_and_next_states(tmp_path, extension):
    data = read_log(save(tmp_path, f"log.{extension}", columns_of(ROWS)))
    assert data.state_labels == ("attic", "hall", "kitchen")
    assert data.action_labels == ("go", "stay")
    assert data.state.tolist() == [1, 2, 0]
    assert data.next_state.tolist() == [2, 2, 1]
    assert data.action.tolist() == [0, 1, 0]
    assert data.reward.tolist() == [row[3] for row in ROWS]
    assert all(type(label) is str for label in data.state_labels)


@pytest.mark.parametrize("extension", ["csv", "parquet", "npz"])
def test_numbers_sort_as_numbers_and_a_state_only_ever_reached_still_counts(tmp_path, extension):
    path = save(tmp_path, f"log.{extension}", {"state": [10, 9], "action": [1.5, -2.0], "next_state": [9, 100]})
    data = read_log(path)
    assert data.state_labels == (9, 10, 100) and data.n_states == 3
    assert data.action_labels == (-2.0, 1.5)
    assert data.reward is None


def test_several_columns_make_tuples_in_lexicographic_order(tmp_path):
    rows = [(2, "b", "go", 10, "a"), (10, "a", "go", 2, "b"), (2, "a", "no", 2, "a")]
    path = save(tmp_path, "log.csv", columns_of(rows, ("x", "z", "action", "x2", "z2")))
    data = read_log(path, state=["x", "z"], next_state=["x2", "z2"])
    assert data.state_labels == ((2, "a"), (2, "b"), (10, "a"))
    assert labelled_rows(data) == [((a, b), c, (d, e)) for a, b, c, d, e in rows]


def test_merging_many_columns_does_not_overflow(tmp_path):
    rng = np.random.default_rng(0)
    coordinates = rng.integers(0, 50_000, size=(30_000, 6))
    path = tmp_path / "log.npz"
    np.savez(path, state=coordinates, action=np.zeros(30_000, int), next_state=coordinates[::-1])
    data = read_log(path)
    assert data.n_states == len(np.unique(coordinates, axis=0)) == 30_000
    labels = np.array(data.state_labels)
    np.testing.assert_array_equal(labels[data.state], coordinates)
    np.testing.assert_array_equal(labels[data.next_state], coordinates[::-1])


def test_words_that_look_missing_are_labels_and_other_columns_are_ignored(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("note,next_state,state,action\n,NA,None,null\nx,None,NA,N/A\n")
    data = read_log(path)
    assert data.state_labels == ("NA", "None") and data.action_labels == ("N/A", "null")


def test_reward_column_is_optional_by_default_and_required_by_name(tmp_path):
    path = save(tmp_path, "log.csv", {"state": [0], "action": [0], "next_state": [0], "gain": [3]})
    assert read_log(path).reward is None
    assert read_log(path, reward="gain").reward.tolist() == [3.0]
    assert read_log(save(tmp_path, "r.csv", columns_of(ROWS)), reward=None).reward is None
    with pytest.raises(InputError, match=r"no column 'profit'.*'gain'"):
        read_log(path, reward="profit")


LABELS = {
    "ids": (None, None),
    "text": (("x", "é", "None"), ("left", "right")),
    "floats": ((0.1, 1 / 3, 1e300), (-1.5, 2.0)),
    "tuples": (((0, "a"), (0, "b"), (7, "a")), ((1, 1), (2, 0))),
}


@pytest.mark.parametrize("extension", ["csv", "parquet", "npz"])
@pytest.mark.parametrize("kind", LABELS)
def test_round_trip_keeps_labelled_rows_and_rewards(tmp_path, extension, kind):
    states, actions = LABELS[kind]
    data = Transitions([2, 0, 1], [0, 1, 0], [0, 0, 2], 3, 2, np.array([1 / 3, 0.0, -1e-300]), states, actions)
    path = tmp_path / f"log.{extension}"
    write_log(data, path)
    names = {}
    if kind == "tuples":
        names = {role: [f"{role}_0", f"{role}_1"] for role in ("state", "action", "next_state")}
    again = read_log(path, **names)
    expected = [(2, 0, 0), (0, 1, 0), (1, 0, 2)]
    if states is not None:
        expected = [(states[x], actions[a], states[y]) for x, a, y in expected]
    assert labelled_rows(again) == expected
    np.testing.assert_array_equal(again.reward, data.reward)


def test_writing_labels_a_format_cannot_hold_says_so(tmp_path):
    with pytest.raises(InputError, match="state labels mix text with other types"):
        write_log(Transitions([0], [0], [1], state_labels=(1, "b")), tmp_path / "log.csv")
    complex_labels = Transitions([0], [0], [1], state_labels=(1j, 2j))
    with pytest.raises(InputError, match="labels cannot be written"):
        write_log(complex_labels, tmp_path / "log.parquet")
    assert not (tmp_path / "log.parquet").exists()
    with pytest.raises(InputError, match="lengths \\[1, 2\\]"):
        write_log(Transitions([0], [0], [1], state_labels=((0, 1), (0,))), tmp_path / "log.csv")


def npz_bytes(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def parquet_bytes(columns):
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    return buffer.getvalue()


GOOD = {"state": [1, 2], "action": [0, 0], "next_state": [2, 1]}
WRONG = {
    "empty": ("log.csv", b"", "is empty"),
    "header only": ("log.csv", f"{HEADER}\n".encode(), "no row"),
    "extension": ("log.xls", b"x", "'.xls', expected one of '.csv', '.parquet', '.npz', '.tsv', '.csv.gz'"),
    "column": ("log.csv", b"state,act,next_state\n1,2,3\n", "no column 'action', expected .*'state', 'act', 'next_state'"),
    "column twice": ("log.csv", f"{HEADER},state\n1,2,3,4\n".encode(), "2 columns named 'state'"),
    "missing label": ("log.csv", f"{HEADER}\na,b,c\n,b,c\nnan,b,c\n".encode(), "no state label in 2 of 3 rows.* row 2 "),
    "null in Parquet": (
        "log.parquet",
        parquet_bytes({**GOOD, "action": pd.array([1, None], dtype="Int64")}),
        "no action label in 1 of 2 rows.* row 2 ",
    ),
    "nan in npz": (
        "log.npz",
        npz_bytes(**{**GOOD, "next_state": [np.nan, 1.0]}),
        "no next_state label in 1 of 2 rows.* row 1 ",
    ),
    "reward": (
        "log.csv",
        f"{HEADER},reward\na,b,c,1\na,b,c,much\n".encode(),
        "no finite number as 'reward' in 1 of 2.* row 2 ",
    ),
    "ragged": ("log.csv", f"{HEADER}\na,b,c\na\n".encode(), "cannot be read as csv .*truncated"),
    "encoding": ("log.csv", f"{HEADER}\né,b,c\n".encode("latin-1"), "expected UTF-8 text.*iconv"),
    "bytes beside text": (
        "log.npz",
        npz_bytes(**{**GOOD, "state": np.array([b"a", b"b"]), "next_state": np.array(["a", "b"])}),
        "types bytes and str",
    ),
    "not Parquet": ("log.parquet", b"hello", "cannot be read as parquet"),
    "torn Parquet": ("log.parquet", parquet_bytes(GOOD)[:-20], "cannot be read as parquet"),
    "not npz": ("log.npz", b"hello", "cannot be read as npz \\(it is no zip archive\\)"),
    "torn npz": ("log.npz", npz_bytes(**GOOD)[:-40], "cannot be read as npz"),
    "objects": (
        "log.npz",
        npz_bytes(**{**GOOD, "state": np.array(["a", 1], dtype=object)}),
        "Python objects.*astype\\(str\\)",
    ),
    "lengths": ("log.npz", npz_bytes(**{**GOOD, "state": [1, 2, 3]}), "lengths .*'state': 3, 'action': 2"),
    "axes": ("log.npz", npz_bytes(**{**GOOD, "state": np.zeros((2, 1, 1))}), "shape \\(2, 1, 1\\)"),
    "widths": ("log.npz", npz_bytes(**{**GOOD, "state": np.zeros((2, 3))}), "state has 3 columns and next_state 1"),
    "lists": ("log.parquet", parquet_bytes({**GOOD, "action": [[1], [2]]}), "cannot be sorted"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_give_one_sentence(tmp_path, case):
    name, content, pattern = WRONG[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_log(tmp_path / name)
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert "\n" not in message and name in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv is not a file"):
        read_log(tmp_path / "nowhere.csv")


def test_a_bit_flipped_inside_an_npz_array_is_noticed(tmp_path):
    content = bytearray(npz_bytes(**GOOD))
    where = content.index(np.int64(2).tobytes())
    content[where] ^= 1
    (tmp_path / "log.npz").write_bytes(content)
    with pytest.raises(InputError, match="Bad CRC-32"):
        read_log(tmp_path / "log.npz")


def test_a_million_rows_take_about_a_second(tmp_path):
    rng = np.random.default_rng(0)
    columns = {"state": rng.integers(0, 5000, 10**6), "action": rng.integers(0, 4, 10**6)}
    path = save(tmp_path, "log.parquet", {**columns, "next_state": columns["state"][::-1]})
    start = time.perf_counter()
    data = read_log(path)
    # Generous for busy machines; 0.15 s alone.
    assert time.perf_counter() - start < 5
    assert len(data) == 10**6


def test_empirical_mdp_by_hand():
    #            (x, a) -> y, r
    data = Transitions([0, 0, 0, 1, 2], [0, 0, 0, 1, 0], [1, 1, 2, 0, 2], reward=[1.0, 2.0, 6.0, 5.0, 0.5])
    mdp = log_to_mdp(data, discount=0.5)
    expected = np.array(
        [[[0, 2 / 3, 1 / 3], [0, 1, 0], [0, 0, 1]], [[1, 0, 0], [1, 0, 0], [0, 0, 1]]]  # unvisited pairs stay
    )
    np.testing.assert_allclose(mdp.dense(), expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(mdp.reward, [[3.0, 0.0], [0.0, 5.0], [0.5, 0.0]], rtol=0, atol=1e-15)
    np.testing.assert_allclose(mdp.weight, [0.6, 0.2, 0.2])
    np.testing.assert_allclose(mdp.action_frequency, [0.8, 0.2])
    assert mdp.discount == 0.5 and mdp.is_sparse


def test_empirical_mdp_without_rewards_keeps_labels():
    mdp = log_to_mdp(Transitions([0], [0], [1], state_labels=("a", "b"), action_labels=("go",)))
    assert mdp.reward is None and mdp.state_labels == ("a", "b") and mdp.action_labels == ("go",)
