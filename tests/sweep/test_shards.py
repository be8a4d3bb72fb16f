"""Shards and their merge, and the forecast of what is left."""

import numpy as np
import pytest

from spectral_jepa._files import encode_record
from spectral_jepa.sweep import results, run_sweep, sweep_status
from spectral_jepa.sweep.cells import cell_name, load_cells
from spectral_jepa.sweep.forecast import forecast, predict_seconds
from spectral_jepa.sweep.places import open_place
from spectral_jepa.sweep.shards import merge_sweep, read_shard, shard_cells, shard_place

CELLS = [{"x": x, "kind": kind} for kind in ("a", "b") for x in range(6)]


def cube(x, kind):
    return [{"y": x**3, "named": f"{kind}{x}"}, {"y": -x, "named": kind}]


def run_shards(folder, total, numbers):
    for number in numbers:
        part = shard_cells(CELLS, number, total)
        run_sweep(cube, part, shard_place(folder, number, total), n_jobs=1, progress=False)


@pytest.mark.parametrize("total", [1, 3, 5, 12])
def test_shards_are_a_partition_and_their_merge_is_one_run(tmp_path, total):
    parts = [shard_cells(CELLS, number, total) for number in range(1, total + 1)]
    assert sorted(repr(cell) for part in parts for cell in part) == sorted(map(repr, CELLS))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    run_shards(tmp_path / "sharded", total, range(1, total + 1))
    merged = merge_sweep(cube, CELLS, tmp_path / "sharded", progress=False)
    run_sweep(cube, CELLS, tmp_path / "whole", n_jobs=1, progress=False)
    assert (tmp_path / "sharded/table.sha256").read_bytes() == (tmp_path / "whole/table.sha256").read_bytes()
    assert merged.attrs["summary"]["computed"] == 0 and len(merged) == 2 * len(CELLS)


def test_a_missing_shard_is_said_and_what_is_there_is_kept(tmp_path, refused):
    run_shards(tmp_path, 3, [1, 3])
    with refused("4 of 12 cells are in none of the 2 shards", "merge again"):
        merge_sweep(cube, CELLS, tmp_path, progress=False)
    assert not (tmp_path / "table.sha256").exists()
    run_shards(tmp_path, 3, [2])
    assert merge_sweep(cube, CELLS, tmp_path, progress=False).attrs["summary"]["cached"] == len(CELLS)


def test_a_sweep_computes_what_a_merge_missed(tmp_path, refused):
    run_shards(tmp_path, 2, [2])
    with refused("6 of 12 cells"):
        merge_sweep(cube, CELLS, tmp_path, progress=False)
    table = run_sweep(cube, CELLS, tmp_path, n_jobs=1, progress=False)
    assert table.attrs["summary"] | {"digest": ""} == dict(cells=12, computed=6, cached=6, failed=0, damaged=0, digest="")


def test_parts_elsewhere_and_parts_that_overlap(tmp_path):
    run_sweep(cube, CELLS[:8], tmp_path / "one", n_jobs=1, progress=False)
    run_sweep(cube, CELLS[4:], "memory://shards-test/two", n_jobs=1, progress=False)
    table = merge_sweep(cube, CELLS, tmp_path / "all", [tmp_path / "one", "memory://shards-test/two"], progress=False)
    assert table["y"].tolist() == [value for x in [*range(6)] * 2 for value in (x**3, -x)]


def test_two_results_of_one_cell_are_refused(tmp_path, refused):
    for name in ("one", "two"):
        run_sweep(cube, CELLS, tmp_path / name, n_jobs=1, progress=False)
    key = results.read_manifest(tmp_path / "two")["cell_keys"][3]
    record = load_cells(tmp_path / "two", [key])[0][key]
    record["rows"][0]["y"] += 1
    open_place(tmp_path / "two").write(cell_name(key), encode_record(record))
    with refused("has another result of the cell", "merge without that shard"):
        merge_sweep(cube, CELLS, tmp_path / "all", [tmp_path / "one", tmp_path / "two"], progress=False)


def test_a_failed_cell_of_a_shard_is_not_merged(tmp_path, refused):
    gate = tmp_path / "gate"

    def run_cell(x, kind):
        if x == 2 and not gate.exists():
            raise ValueError("shut")
        return {"y": x}

    with pytest.warns(UserWarning, match="2 of 12"):
        run_sweep(run_cell, CELLS, tmp_path / "part", n_jobs=1, progress=False)
    with refused("2 of 12 cells are in none of the 1 shards"):
        merge_sweep(run_cell, CELLS, tmp_path / "all", [tmp_path / "part"], progress=False)
    assert sweep_status(tmp_path / "all", CELLS)["failed"] == 0


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2", "1.0/2", " 1/2"])
def test_a_wrong_shard_is_refused(text, refused):
    with refused("expected i/n"):
        read_shard(text)


def test_wrong_folders_are_refused(tmp_path, refused):
    with refused("holds no shard"):
        merge_sweep(cube, CELLS, tmp_path, progress=False)
    with refused("does not exist"):
        merge_sweep(cube, CELLS, tmp_path, [tmp_path / "nowhere"], progress=False)
    run_sweep(lambda q: {"y": q}, [{"q": 1}], tmp_path / "other", experiment="other", n_jobs=1, progress=False)
    with refused("holds none of the 12 cells"):
        merge_sweep(cube, CELLS, tmp_path / "all", [tmp_path / "other"], progress=False)
    run_sweep(cube, CELLS, tmp_path / "whole", n_jobs=1, progress=False)
    with refused("holds the sweep 'other'"):
        merge_sweep(cube, CELLS, tmp_path / "other", [tmp_path / "whole"], progress=False)
    with refused("expected at most as many shards"):
        shard_cells(CELLS, 1, 13)


def test_a_product_of_costs_is_predicted_exactly():
    rng = np.random.default_rng(0)
    cells = [{"size": s, "kind": k, "seed": i} for s in (10, 20, 40) for k in ("a", "b") for i in range(8)]
    cost = {10: 1.0, 20: 8.0, 40: 64.0, "a": 1.0, "b": 0.5}
    true = np.array([cost[cell["size"]] * cost[cell["kind"]] for cell in cells])
    # Of the largest size only one kind was measured; the seed costs nothing.
    known = [i for i, cell in enumerate(cells) if not (cell["size"] == 40 and cell["kind"] == "b")]
    predicted = predict_seconds([(cells[i], true[i]) for i in known], cells)
    assert predicted == pytest.approx(true, rel=2e-2)
    # With noise the sum over what was measured is kept.
    noisy = true * rng.lognormal(0, 0.5, true.size)
    predicted = predict_seconds([(cells[i], noisy[i]) for i in known], [cells[i] for i in known])
    assert predicted.sum() == pytest.approx(noisy[known].sum(), rel=1e-9)
    # A size that nobody measured costs what the others cost on average, up to a factor of their spread.
    assert 0.5 < predict_seconds([(cells[i], true[i]) for i in known], [{"size": 5, "kind": "a", "seed": 0}])[0] < 64


def test_the_forecast_counts_what_is_left(tmp_path):
    import time

    def run_cell(x, kind):
        time.sleep(0.02 if kind == "a" else 0.06)
        return {"y": x}

    run_sweep(run_cell, [*CELLS[:4], *CELLS[6:10]], tmp_path, n_jobs=1, progress=False)
    left = forecast(run_cell, CELLS, tmp_path)
    assert (left.cells, left.done, left.measured) == (12, 8, 8)
    # Two cells of each kind are left.
    assert 0.16 <= 3600 * left.core_hours < 0.4 and 0.05 <= 3600 * left.longest_hours < 0.2
    size = sum(path.stat().st_size for path in (tmp_path / "cells").iterdir())
    assert left.disk_gb == pytest.approx(size * 12 / 8 / 1e9, rel=1e-6) and 0.02 < left.worker_gb < 10
    assert "4 of 12 cells to run" in str(left)
    whole = forecast(run_cell, CELLS, tmp_path / "other", [tmp_path])
    assert whole.done == 0 and whole.measured == 8 and whole.core_hours > 2 * left.core_hours
