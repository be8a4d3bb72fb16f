import hashlib
import math
import struct
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from spectral_jepa._files import decode_record, encode_record
from spectral_jepa._validation import InputError
from spectral_jepa.sweep import results, run_sweep

DOUBLES = [0.1 + 0.2, 1 / 3, math.pi * 1e300, 5e-324, sys.float_info.max, -0.0, math.inf, -math.inf, math.nan, 2.0**53 + 2]


def bits(value):
    return struct.pack("<d", value)


def doubles(index):
    return {"value": DOUBLES[index], "name": "NA", "flag": index % 2 == 0, "nothing": None, "fit_seconds": 0.5 * index}


@pytest.fixture
def swept(tmp_path):
    table = run_sweep(doubles, [{"index": i} for i in range(len(DOUBLES))], tmp_path, n_jobs=1, progress=False)
    return tmp_path, table


def test_a_cell_file_keeps_every_double_bit_for_bit():
    record = {"values": DOUBLES, "text": "é\n\ud800"}
    back = decode_record(encode_record(record))
    assert [bits(x) for x in back["values"]] == [bits(x) for x in DOUBLES]
    assert back["text"] == record["text"]


def test_every_single_byte_flip_and_every_truncation_of_a_cell_file_is_noticed():
    content = encode_record({"cell_key": "k", "rows": [{"risk": 1e-05, "x": 1.5, "gap": math.nan}], "note": 'a "quoted" é'})
    assert decode_record(content)["rows"][0]["x"] == 1.5
    for position in range(len(content)):
        for mask in (0x01, 0x20, 0x80):
            flipped = bytearray(content)
            flipped[position] ^= mask
            with pytest.raises(ValueError):
                decode_record(bytes(flipped))
        with pytest.raises(ValueError):
            decode_record(content[:position])


def test_table_files_keep_doubles_and_match_the_written_digest(swept):
    folder, table = swept
    written = (folder / "table.sha256").read_text().strip()
    for source in (folder, folder / "table.parquet"):
        back = results.read_table(source)
        assert [bits(x) for x in back["value"]] == [bits(x) for x in DOUBLES]
        assert back["name"].tolist() == ["NA"] * len(DOUBLES)
        assert results.digest(back) == written == table.attrs["summary"]["digest"]
    assert (
        (folder / "table.csv")
        .read_text()
        .splitlines()[0]
        .startswith("experiment,index,row,value,name,flag,nothing,fit_seconds,status")
    )


def test_digest_is_the_hash_of_the_clock_free_csv_and_sees_the_last_bit():
    table = pd.DataFrame({"kind": ["a", "b"], "risk": [0.5, math.nan], "fit_seconds": [1.0, 2.0]})
    assert results.digest(table) == hashlib.sha256(b"kind,risk\na,0.5\nb,\n").hexdigest()
    assert results.digest(table.assign(fit_seconds=9.0)) == results.digest(table)
    assert results.digest(table.assign(risk=[np.nextafter(0.5, 1), math.nan])) != results.digest(table)
    assert list(results.without_clocks(table)) == ["kind", "risk"]


@pytest.mark.parametrize("damage", ["truncate", "remove", "garbage", "flip"])
def test_a_damaged_parquet_is_rebuilt_from_the_cells(swept, damage):
    folder, table = swept
    file = folder / "table.parquet"
    content = bytearray(file.read_bytes())
    if damage == "truncate":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "remove":
        file.unlink()
    elif damage == "garbage":
        file.write_bytes(b"not a table")
    else:  # a page of plain doubles: parquet itself does not notice
        other = table.assign(value=table["value"].where(table["index"] != 1, 1 / 3 + 2**-54))
        other.attrs = {}
        other.to_parquet(file, index=False)
    with pytest.warns(UserWarning, match=rf"rebuilt from {len(DOUBLES)} of {len(DOUBLES)} cells"):
        back = results.read_table(folder)
    assert [bits(x) for x in back["value"]] == [bits(x) for x in DOUBLES]
    assert results.digest(back) == table.attrs["summary"]["digest"]


def test_nothing_to_read_is_one_sentence(swept, tmp_path):
    folder, _ = swept
    for file in (folder / "cells").iterdir():
        file.unlink()
    (folder / "table.parquet").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"cannot be read .* holds no finished cell, expected .*: run the sweep first$"):
        results.read_table(folder)
    with pytest.raises(InputError, match="does not exist"):
        results.read_table(tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"notes.csv cannot be read \(.*\) and .*other holds no finished cell"):
        results.read_table(tmp_path / "other/notes.csv")


def test_mean_band_is_the_student_interval_of_scipy():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"dim": np.repeat([4, 1, 2], [3, 7, 30]), "kind": "x", "risk": rng.normal(2, 3, size=40)})
    band = results.mean_band(table, by=["dim", "kind"], value="risk", level=0.9)
    assert band.columns.tolist() == ["dim", "kind", "mean", "low", "high", "n"]
    assert band["dim"].tolist() == [1, 2, 4]
    for row in band.itertuples():
        values = table.loc[table["dim"] == row.dim, "risk"].to_numpy()
        low, high = stats.t.interval(0.9, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
        assert row.n == len(values)
        assert (row.mean, row.low, row.high) == pytest.approx((values.mean(), low, high), rel=1e-12)


def test_mean_band_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    n_groups, size = 4000, 5
    table = pd.DataFrame({"group": np.repeat(np.arange(n_groups), size), "y": rng.normal(1, 2, n_groups * size)})
    band = results.mean_band(table, by="group", value="y")
    covered = ((band["low"] <= 1) & (band["high"] >= 1)).mean()
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / n_groups)  # a normal band (1.96) would cover 0.88


def test_mean_band_of_one_value_missing_values_and_booleans():
    table = pd.DataFrame({"dim": [1, 2, 2, 2, 3], "win": [True, True, False, None, None]})
    band = results.mean_band(table, by="dim", value="win").set_index("dim")
    assert band["n"].tolist() == [1, 2, 0]
    assert band.loc[1, "mean"] == 1 and math.isnan(band.loc[1, "low"])
    assert band.loc[2, "mean"] == 0.5 and band.loc[2, "low"] == pytest.approx(0.5 - stats.t.ppf(0.975, 1) * 0.5)
    assert math.isnan(band.loc[3, "mean"])


def test_mean_band_keeps_the_group_whose_parameter_is_none():
    table = pd.DataFrame({"penalty": [0.5, None, None], "risk": [1.0, 2.0, 4.0]})
    band = results.mean_band(table, by="penalty", value="risk")
    assert band["mean"].tolist() == [1, 3] and band["penalty"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(by="dimension", value="risk"), "no column 'dimension', expected one of dim, n, kind, risk"),
        (dict(by="n", value="risk"), "none called mean, low, high or n"),
        (dict(by=[], value="risk"), "expected other columns"),
        (dict(by="dim", value="risk", level=95), "level is 95"),
        (dict(by="dim", value="kind"), "column 'kind' holds"),
    ],
)
def test_mean_band_refuses_in_one_sentence(arguments, message):
    table = pd.DataFrame({"dim": [1], "n": [1], "kind": ["a"], "risk": [0.5]})
    with pytest.raises(InputError, match=message):
        results.mean_band(table, **arguments)


# --- committed tables


@pytest.fixture
def reference(tmp_path, monkeypatch):
    """A folder in the place of reference/, with a table of an experiment and a file of another name."""
    table = pd.DataFrame({"risk": DOUBLES, "name": ["NA", *"abcdefghi"]})
    (tmp_path / "sub").mkdir()
    table.to_parquet(tmp_path / "norms-paper.parquet", index=False)
    table[["name", "risk"]].iloc[:3].to_csv(tmp_path / "sub/best.csv", index=False)
    monkeypatch.setattr(results, "shipped_folder", lambda name: {"reference": tmp_path}[name])
    return table


def test_a_committed_table_is_read_by_experiment_and_preset_or_by_file_name(reference, tmp_path):
    assert [bits(x) for x in results.reference_table("norms", "paper")["risk"]] == [bits(x) for x in reference["risk"]]
    assert results.reference_table("norms", preset="paper")["name"].tolist() == reference["name"].tolist()
    best = results.reference_table("sub/best.csv")
    assert best.columns.tolist() == ["name", "risk"] and [bits(x) for x in best["risk"]] == [bits(x) for x in DOUBLES[:3]]
    assert results.reference_path("norms") == tmp_path / "norms-quick.parquet"


@pytest.mark.parametrize("name", ["norms", "sub/other.csv", "sub"])
def test_a_table_that_is_not_committed_is_one_sentence(reference, refused, name):
    with refused("does not exist, expected a committed table", f"sweep {name.partition('/')[0]} --preset quick --keep"):
        results.reference_table(name)


def test_the_committed_tables_of_the_clone_are_whole():
    folder = results.reference_path("x.csv").parent
    assert folder.name == "reference" and len(list(folder.glob("*.parquet"))) >= 7
    for path in folder.glob("*.parquet"):
        name, _, preset = path.stem.rpartition("-")
        table = results.reference_table(name, preset)
        assert (table["experiment"] == name).all() and (table["status"] == "ok").all()


def test_tables_are_kept_in_a_clone_only(tmp_path, monkeypatch, refused):
    assert results.clone_reference() == results.reference_path("x.csv").parent
    monkeypatch.setattr(results, "shipped_folder", lambda _: tmp_path / "_reference")
    with refused(f"{tmp_path} holds no pyproject.toml, expected a clone of the repository"):
        results.clone_reference()
    (tmp_path / "pyproject.toml").touch()
    assert results.clone_reference() == tmp_path / "_reference"


def test_the_fullest_row_of_each_thing_and_what_it_lacks_from_the_next():
    rows = pd.DataFrame(
        [("b", 0, 1.0, None, None), ("a", 0, 2.0, "x", None), ("b", 0, 3.0, "y", 0.5), ("b", 1, 4.0, None, None),
         ("a", 0, 5.0, None, 0.25), (None, 0, 6.0, None, None)],
        columns=["arm", "seed", "near", "word", "far"], index=[7, 7, 1, 2, 3, 4],
    )  # fmt: skip
    found = results.fullest_rows(rows, by=["arm", "seed"])
    # Of the two rows of "a", as full as each other, the later.
    wanted = pd.DataFrame(
        [("b", 0, 3.0, "y", 0.5), ("a", 0, 5.0, "x", 0.25), ("b", 1, 4.0, None, None), (None, 0, 6.0, None, None)],
        columns=rows.columns,
    )
    pd.testing.assert_frame_equal(found, wanted)
    assert len(results.fullest_rows(rows, by="seed")) == 2
    assert results.fullest_rows(rows[:0], by="arm").columns.equals(rows.columns)


def test_the_fullest_row_of_nothing(refused):
    with refused("the table has no column 'sead', expected one of arm, seed (nearest: 'seed')"):
        results.fullest_rows(pd.DataFrame({"arm": [], "seed": []}), by="sead")
    with refused("by is empty, expected the columns"):
        results.fullest_rows(pd.DataFrame({"arm": []}), by=[])
