import importlib
import json
import os
import pickle
import stat
import subprocess
import sys
import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from spectral_jepa._validation import InputError
from spectral_jepa.sweep import experiment as experiments
from spectral_jepa.sweep import run_sweep, sweep_status
from spectral_jepa.sweep.experiment import expand, load_experiment
from spectral_jepa.sweep.results import digest, read_table, without_clocks

EXPERIMENT = '''"""Norms of random matrices.

More text.
"""
from dataclasses import dataclass

import numpy as np

PRESETS = {"quick": {"size": [30, 60], "seed": range(3)}, "wide": [{"size": 5, "seed": [0]}, {"size": [6, 7], "seed": 1}]}


@dataclass
class Draw:
    size: int
    seed: int


def run_cell(size, seed):
    draw = Draw(size, seed)
    values = np.linalg.svd(np.random.default_rng(draw.seed).normal(size=(draw.size, draw.size)), compute_uv=False)
    return [{"dim": k, "tail": np.float64((values[k:] ** 2).sum())} for k in (1, 2)]
'''


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "norms.py"
    path.write_text(EXPERIMENT)
    return path


def square(x, log=None):
    if log is not None:
        with open(log, "a") as file:
            file.write(f"{x}\n")
    return {"y": x * x}


def grid(n):
    return [{"x": x} for x in range(n)]


def quiet(*args, **kwargs):
    return run_sweep(*args, **{"n_jobs": 1, "progress": False, **kwargs})


# --- cells and experiments


def test_expand_is_the_product_with_the_last_axis_fastest():
    assert expand({"a": [1, 2], "b": (3, 4), "c": "text"}) == [
        {"a": a, "b": b, "c": "text"} for a, b in [(1, 3), (1, 4), (2, 3), (2, 4)]
    ]
    assert expand({"dims": [[1, 2]], "seed": range(2)}) == [{"dims": [1, 2], "seed": 0}, {"dims": [1, 2], "seed": 1}]
    assert expand([{"a": [1, 2]}, {"a": 3, "b": 4}]) == [{"a": 1}, {"a": 2}, {"a": 3, "b": 4}]
    with pytest.raises(InputError, match="axis 'seed' has no values"):
        expand({"seed": []})


def test_an_experiment_file_runs_the_same_on_one_and_on_two_processes(script, tmp_path):
    experiment = load_experiment(script)
    assert (experiment.name, experiment.title) == ("norms", "Norms of random matrices.")
    cells = experiment.cells("quick")
    one = quiet(experiment, cells, tmp_path / "one")
    two = quiet(experiment, cells, tmp_path / "two", n_jobs=2)
    assert without_clocks(one).to_csv() == without_clocks(two).to_csv()
    assert (tmp_path / "one/table.sha256").read_bytes() == (tmp_path / "two/table.sha256").read_bytes()
    assert one[["size", "seed", "row", "dim"]].to_numpy().tolist() == [
        [size, seed, row, row + 1] for size in (30, 60) for seed in range(3) for row in range(2)
    ]
    matrix = np.random.default_rng(2).normal(size=(60, 60))
    expected = (matrix**2).sum() - np.linalg.norm(matrix, 2) ** 2  # Frobenius minus spectral norm
    assert one.query("size == 60 and seed == 2 and dim == 1")["tail"].item() == pytest.approx(expected, rel=1e-12)


def test_experiments_are_found_by_name_and_unknown_ones_are_named(script, monkeypatch):
    monkeypatch.setattr(experiments, "shipped_folder", lambda _: script.parent)
    (script.parent / "_helper.py").write_text("")
    assert list(experiments.known_experiments()) == ["norms"]
    experiment = load_experiment("norms")
    assert experiment.cells("wide") == [{"size": 5, "seed": 0}, {"size": 6, "seed": 1}, {"size": 7, "seed": 1}]
    with pytest.raises(InputError, match="experiment 'nroms' is unknown, expected one of norms or a path"):
        load_experiment("nroms")
    with pytest.raises(InputError, match="no preset 'fast', expected one of 'quick', 'wide'"):
        experiment.cells("fast")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def run_cell(: pass", "does not import .SyntaxError"),
        ("import no_such_module", "does not import .ModuleNotFoundError: No module named 'no_such_module'"),
        ("PRESETS = {}", "is not an experiment"),
        ("def run_cell(): pass", "is not an experiment"),
    ],
)
def test_files_that_are_no_experiments_are_refused(tmp_path, text, message):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(InputError, match=message):
        load_experiment(tmp_path / "bad.py")


def test_workers_never_run_an_older_text_of_an_edited_experiment(tmp_path):
    path = tmp_path / "edited.py"
    values = []
    for constant in (1, 2):  # same size, same second, same worker processes
        path.write_text(f"PRESETS = {{'all': {{'x': [0, 1, 2]}}}}\n\ndef run_cell(x):\n    return {{'y': x + {constant}}}\n")
        stale = load_experiment(path)
        values.append(quiet(stale, stale.cells("all"), tmp_path / "out", n_jobs=2, overwrite=True)["y"].tolist())
    assert values == [[1, 2, 3], [2, 3, 4]]


def test_a_sweep_runs_the_text_that_was_loaded_even_if_the_file_changes_or_goes(script, tmp_path):
    experiment = load_experiment(script)
    script.write_text("def run_cell(size, seed):\n    return {'tail': 0}\n")
    edited = quiet(experiment, experiment.cells("wide"), tmp_path / "edited", n_jobs=2)
    script.unlink()
    removed = quiet(experiment, experiment.cells("wide"), tmp_path / "removed", n_jobs=1)
    assert digest(edited) == digest(removed) and len(edited) == 6 and (edited["tail"] > 1).all()


# --- helper modules beside an experiment

WITH_HELPERS = '''"""Squares with an offset, from two helpers."""
from _offset import OFFSET, Pair

PRESETS = {"all": {"x": [0, 1, 2, 3]}}


def run_cell(x):
    import _power  # later than at the top, as in any script

    pair = Pair(_power.power(x), OFFSET)
    return {"y": pair.left + pair.right}
'''
HELPERS = {
    "_offset.py": "from dataclasses import dataclass\nimport _power\n\nOFFSET = 10 * _power.TWO\n\n\n"
    "@dataclass\nclass Pair:\n    left: int\n    right: int\n",
    "_power.py": "import _offset  # a circle\n\nTWO = 2\n\n\ndef power(x):\n    return x**TWO + 0 * _offset.OFFSET\n",
    "__init__.py": "raise RuntimeError('not a helper')\n",
}


@pytest.fixture
def helped(tmp_path):
    for name, text in HELPERS.items():
        (tmp_path / name).write_text(text)
    path = tmp_path / "helped.py"
    path.write_text(WITH_HELPERS)
    return path


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_helpers_are_imported_as_in_a_script_and_only_by_the_experiment(helped, tmp_path, n_jobs):
    before, path = set(sys.modules), list(sys.path)
    experiment = load_experiment(helped)
    assert [name for name, _ in experiment.helpers] == ["_offset", "_power"]
    table = quiet(experiment, experiment.cells("all"), tmp_path / "out", n_jobs=n_jobs)
    assert table["y"].tolist() == [20, 21, 24, 29]
    assert "_offset" not in sys.modules and "_power" not in sys.modules and sys.path == path
    new = {name for name in set(sys.modules) - before if "helped" in name or "_offset" in name or "_power" in name}
    assert len(new) == 3 and all(name.startswith("spectral_jepa_experiment_") for name in new)
    with pytest.raises(ModuleNotFoundError):
        __import__("_offset")
    pickle.loads(pickle.dumps(experiment.module.Pair(1, 2)))
    script = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[0] = {str(tmp_path)!r}; import helped; print(helped.run_cell(3))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert script.stdout == "{'y': 29}\n"


def test_workers_run_the_helper_that_was_loaded_even_if_the_file_changes_or_goes(helped, tmp_path):
    experiment = load_experiment(helped)
    (tmp_path / "_power.py").write_text(HELPERS["_power.py"].replace("TWO = 2", "TWO = 3"))
    edited = load_experiment(helped)
    (tmp_path / "_power.py").unlink()
    (tmp_path / "_offset.py").unlink()
    tables = [quiet(one, one.cells("all"), tmp_path / "out", n_jobs=2, overwrite=True) for one in (experiment, edited)]
    assert [table["y"].tolist() for table in tables] == [[20, 21, 24, 29], [30, 31, 38, 57]]


def test_helpers_of_one_name_in_two_folders_do_not_meet(helped, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name, text in {**HELPERS, "helped.py": WITH_HELPERS}.items():
        (other / name).write_text(text.replace("10 *", "100 *"))
    first, second = load_experiment(helped), load_experiment(other / "helped.py")
    assert [experiment(x=1)["y"] for experiment in (first, second, first)] == [21, 201, 21]


def test_cells_cached_from_another_text_of_a_helper_are_pointed_out(helped, tmp_path):
    experiment = load_experiment(helped)
    quiet(experiment, experiment.cells("all"), tmp_path / "out")
    (tmp_path / "_power.py").write_text(HELPERS["_power.py"] + "\n# edited\n")
    with pytest.warns(UserWarning, match="4 of 4 cells cached in .* come from other source code .*--overwrite"):
        quiet(load_experiment(helped), experiment.cells("all"), tmp_path / "out")
    (tmp_path / "_power.py").write_text(HELPERS["_power.py"])
    (tmp_path / "notes.toml").write_text("a = 1")
    (tmp_path / "beside.py").write_text("a = 1")
    with warnings.catch_warnings():  # of a user's own folder nothing but the helpers counts
        warnings.simplefilter("error")
        quiet(load_experiment(helped), experiment.cells("all"), tmp_path / "out")


@pytest.mark.parametrize("name", ["claims.toml", "beside.py", "_power.py"])
def test_of_a_shipped_experiment_the_whole_folder_counts(helped, tmp_path, monkeypatch, name):
    monkeypatch.setattr(experiments, "shipped_folder", lambda _: tmp_path)
    experiment = load_experiment("helped")
    quiet(experiment, experiment.cells("all"), tmp_path / "out")
    with (tmp_path / name).open("a") as file:
        file.write("\n# edited\n")
    with pytest.warns(UserWarning, match="4 of 4 cells cached in .* come from other source code"):
        quiet(load_experiment("helped"), experiment.cells("all"), tmp_path / "out")


def test_helpers_beside_a_plain_function_count_too(helped, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("helped", "_offset", "_power"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    function = importlib.import_module("helped").run_cell
    quiet(function, grid(2), tmp_path / "out")
    (tmp_path / "_offset.py").write_text(HELPERS["_offset.py"] + "\n# edited\n")
    with pytest.warns(UserWarning, match="2 of 2 cells cached in .* come from other source code"):
        quiet(function, grid(2), tmp_path / "out")
    for name in ("helped", "_offset", "_power"):
        del sys.modules[name]


@pytest.mark.parametrize("text", ["def power(: pass", "TWO = 1 / 0", "import no_such_module"])
def test_a_broken_helper_is_named_in_one_sentence_and_can_be_mended(helped, tmp_path, text):
    (tmp_path / "_power.py").write_text(text)
    with pytest.raises(InputError, match=r"^\S*_power.py does not import \(\w+: .*\), expected a Python module: mend it$"):
        load_experiment(helped)
    (tmp_path / "_power.py").write_text(HELPERS["_power.py"])
    assert load_experiment(helped)(x=2) == {"y": 24}


# --- what is refused


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "cells is empty"),
        ([{"x": 1}, {"x": np.int64(2)}], r"cells\[1\] is .* expected JSON values .*int64"),
        ([{"x": {1, 2}}], r"cells\[0\] is .* expected JSON values"),
        ([{1: 2}], r"cells\[0\] is .* expected a dict with text keys"),
        ([3], r"cells\[0\] is 3, expected a dict"),
        ([{"x": 1}, {"x": 2}, {"x": 1}], r"cells\[2\] repeats cells\[0\]"),
        ([{"x": (1, 2)}, {"x": [1, 2]}], r"cells\[1\] repeats cells\[0\]"),
        ([{"status": 1}], "parameter 'status', which is a column of every table"),
        ([{"x": 1}, {"z": 1}], r"square cannot run the cell {'z': 1}: missing a required argument: 'x'"),
    ],
)
def test_wrong_cells_are_refused_before_anything_is_written(tmp_path, cells, message):
    with pytest.raises(InputError, match=message):
        quiet(square, cells, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_wrong_arguments_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="n_jobs is 0"):
        quiet(square, grid(1), tmp_path / "out", n_jobs=0)
    with pytest.raises(InputError, match=r"client is a str, expected a distributed.Client"):
        quiet(square, grid(1), tmp_path / "out", client="tcp://127.0.0.1:8786")
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'spectral-jepa\[cluster\]'"):
        quiet(square, grid(1), tmp_path / "out", client="tcp://127.0.0.1:8786")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is or lies under a file"):
        quiet(square, grid(1), tmp_path / "file")


# --- what a table holds


def test_the_key_is_the_hash_of_the_canonical_json(tmp_path):
    import hashlib

    table = quiet(square, [{"x": 3, "log": None}], tmp_path, version="9.9")
    text = '{"cell":{"log":null,"x":3},"experiment":"square","version":"9.9"}'
    assert table["cell_key"].item() == hashlib.sha256(text.encode()).hexdigest()
    assert table["version"].item() == "9.9"
    assert table["numpy_version"].item() == np.__version__
    assert (tmp_path / "cells" / f"{table['cell_key'].item()}.json").exists()


def test_parameters_of_any_json_kind_and_metrics_of_any_scalar_kind(tmp_path):
    def run_cell(dim, dims):
        dims.append(9)  # must not leak into the next cell, which shares the list
        return {"i": np.int32(2), "f": np.float32(0.1), "b": np.bool_(True), "a": np.array(1.5), "s": "text", "big": 2**70}

    table = quiet(run_cell, expand({"dim": [1, "full", None], "dims": [[1, 2]]}), tmp_path)
    assert table["dims"].tolist() == ["[1, 2]"] * 3
    assert table["dim"].tolist()[:2] == ["1", "full"] and table["dim"].isna().tolist() == [False, False, True]
    assert table.loc[0, "f"] == float(np.float32(0.1)) != 0.1
    assert table.loc[0, ["i", "b", "a", "s", "big"]].tolist() == [2, True, 1.5, "text", str(2**70)]
    assert digest(read_table(tmp_path)) == digest(table)


def threads(x):
    return {"threads": max(pool["num_threads"] for pool in threadpool_info())}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_cell_has_one_thread(tmp_path, n_jobs):
    with threadpool_limits(2):
        assert threads(0) == {"threads": 2}
        assert quiet(threads, grid(2), tmp_path, n_jobs=n_jobs)["threads"].tolist() == [1, 1]
        assert threads(0) == {"threads": 2}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"y": [1, 2]}, "metric 'y' is a list"),
        ({"y": np.zeros(2)}, "metric 'y' is a ndarray"),
        ({"x": 1}, "metric 'x', expected a name that no parameter"),
        ({"status": "ok"}, "metric 'status'"),
        ([], "non-empty list"),
        (None, "returned None, expected a dict of metrics"),
    ],
)
def test_wrong_results_are_failed_cells(tmp_path, value, message):
    def run_cell(x):
        return value

    with pytest.warns(UserWarning, match="1 of 1 cells of run_cell failed"):
        table = quiet(run_cell, grid(1), tmp_path)
    assert table["status"].item() == "error"
    assert message in table["traceback"].item()


# --- caching, failures, versions, code


def test_done_cells_are_not_run_again_and_new_cells_are_added(tmp_path):
    log = str(tmp_path / "log")
    cells = [{"x": x, "log": log} for x in range(4)]
    first = quiet(square, cells[:2], tmp_path / "out")
    second = quiet(square, cells[::-1], tmp_path / "out")
    assert (tmp_path / "log").read_text().split() == ["0", "1", "3", "2"]
    assert second["x"].tolist() == [3, 2, 1, 0] and second["y"].tolist() == [9, 4, 1, 0]
    assert second.loc[3, "duration_seconds"] == first.loc[0, "duration_seconds"]  # the reading of the run that computed it
    counts = dict(cells=4, computed=2, cached=2, failed=0, damaged=0, digest=digest(second))
    assert second.attrs["summary"] == counts


def test_a_failing_cell_is_a_row_does_not_stop_the_others_and_is_tried_again(tmp_path):
    log, gate = tmp_path / "log", tmp_path / "gate"

    def run_cell(x):
        with open(log, "a") as file:
            file.write(f"{x}\n")
        if x == 1 and not gate.exists():
            raise ZeroDivisionError("the gate is shut \ud800")
        if x == 2 and not gate.exists():
            raise SystemExit(3)
        return {"y": x}

    with pytest.warns(UserWarning, match="2 of 4 cells of run_cell failed"):
        table = quiet(run_cell, grid(4), tmp_path / "out")
    assert table["status"].tolist() == ["ok", "error", "error", "ok"]
    assert (
        "ZeroDivisionError: the gate is shut" in table.loc[1, "traceback"] and "SystemExit: 3" in table.loc[2, "traceback"]
    )
    assert table["y"].isna().tolist() == [False, True, True, False] and table["x"].tolist() == [0, 1, 2, 3]
    assert digest(read_table(tmp_path / "out")) == digest(table)
    assert sweep_status(tmp_path / "out", grid(5)) == dict(done=2, failed=2, missing=1, damaged=0)
    gate.touch()
    table = quiet(run_cell, grid(4), tmp_path / "out")
    assert table["status"].tolist() == ["ok"] * 4 and table["y"].tolist() == [0, 1, 2, 3]
    assert log.read_text().split() == ["0", "1", "2", "3", "1", "2"]
    assert digest(table) == digest(quiet(run_cell, grid(4), tmp_path / "fresh"))


def test_another_version_or_experiment_is_refused_and_overwrite_starts_again(tmp_path):
    log = str(tmp_path / "log")
    cells = [{"x": 2, "log": log}]
    quiet(square, cells, tmp_path / "out", version="1.0")
    with pytest.raises(
        InputError, match=r"out holds results of version 1.0 but this is version 2.0, .* another.*--overwrite"
    ):
        quiet(square, cells, tmp_path / "out", version="2.0")
    with pytest.raises(InputError, match="holds the sweep 'square' but this is 'cube'"):
        quiet(square, cells, tmp_path / "out", version="1.0", experiment="cube")
    assert sweep_status(tmp_path / "out") == dict(done=1, failed=0, missing=0, damaged=0)
    table = quiet(square, cells, tmp_path / "out", version="2.0", overwrite=True)
    assert table["version"].tolist() == ["2.0"] and len(list((tmp_path / "out/cells").iterdir())) == 1
    quiet(square, cells, tmp_path / "out", version="2.0", overwrite=True)
    assert (tmp_path / "log").read_text().split() == ["2", "2", "2"]


def test_cells_cached_from_other_code_of_the_same_version_are_pointed_out(script, tmp_path):
    experiment = load_experiment(script)
    quiet(experiment, experiment.cells("wide")[:2], tmp_path / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet(experiment, experiment.cells("wide")[:2], tmp_path / "out")
    script.write_text(EXPERIMENT + "\n# edited\n")
    edited = load_experiment(script)
    with pytest.warns(UserWarning, match="2 of 2 cells cached in .* come from other source code .*--overwrite"):
        table = quiet(edited, edited.cells("wide"), tmp_path / "out")
    assert table.attrs["summary"]["computed"] == 1  # used all the same
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet(edited, edited.cells("wide"), tmp_path / "out", overwrite=True)
        quiet(edited, edited.cells("wide"), tmp_path / "out")


def test_an_unfinished_sweep_leaves_no_table_of_an_earlier_one(tmp_path):
    def run_cell(x):
        if x == 2:
            raise KeyboardInterrupt
        return {"y": x}

    quiet(run_cell, grid(1), tmp_path)
    assert len(read_table(tmp_path)) == 1
    with pytest.raises(KeyboardInterrupt):
        quiet(run_cell, grid(4), tmp_path)
    assert not list(tmp_path.glob("table.*"))
    with pytest.warns(UserWarning, match="rebuilt from 2 of 4 cells"):
        assert read_table(tmp_path)["y"].tolist() == [0, 1]


def test_status_without_a_sweep(tmp_path):
    assert sweep_status(tmp_path, grid(2)) == dict(done=0, failed=0, missing=2, damaged=0)
    with pytest.raises(InputError, match=r"holds no manifest.json"):
        sweep_status(tmp_path)


def test_the_manifest_says_what_ran_and_files_are_readable_by_others(tmp_path):
    quiet(square, grid(2), tmp_path, version="1.0")
    manifest = json.loads((tmp_path / "manifest.json").read_text())["payload"]
    assert (manifest["experiment"], manifest["version"], manifest["n_cells"]) == ("square", "1.0", 2)
    assert len(manifest["source_digest"]) == 64
    mask = os.umask(0)
    os.umask(mask)
    for file in [*tmp_path.glob("*.*"), *(tmp_path / "cells").iterdir()]:
        assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask


# --- progress


def test_progress_goes_to_stderr_with_counts_and_can_be_turned_off(tmp_path, capfd):
    quiet(square, grid(2), tmp_path)
    assert capfd.readouterr() == ("", "")
    table = quiet(square, grid(3), tmp_path, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "3/3" in err and "1 done, 2 cached, 0 failed" in err
    assert (
        f"square: 3 cells, 1 computed, 2 cached, 0 failed, 0 damaged; {tmp_path}/table.parquet sha256 {digest(table)}" in err
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"y": "\ud800"}, "metric 'y' has a lone surrogate at 0"),
        ({"y": np.str_("ab\udfff")}, "metric 'y' has a lone surrogate at 2"),
        ({"\ud800": 1}, "the name of a metric has a lone surrogate"),
        ({"y": 10**5_000}, "metric 'y' is a whole number of 16610 bits, expected at most 10,000"),
        ({"y": -(10**5_000)}, "metric 'y' is a whole number of 16610 bits"),
    ],
    ids=["text", "numpy text", "name", "integer", "negative integer"],
)
def test_what_no_file_holds_is_a_failed_cell_and_not_the_end_of_the_sweep(tmp_path, value, message):
    def run_cell(x):
        return value if x == 1 else {"y": x}

    with pytest.warns(UserWarning, match="1 of 3 cells"):
        table = run_sweep(run_cell, grid(3), tmp_path, n_jobs=1, progress=False)
    assert table["status"].tolist() == ["ok", "error", "ok"] and message in table.loc[1, "traceback"]
    assert (tmp_path / "table.csv").is_file()
    with pytest.warns(UserWarning, match="1 of 3 cells"):  # and it can be given again
        run_sweep(run_cell, grid(3), tmp_path, n_jobs=1, progress=False)


def test_what_files_do_hold_is_kept_exactly(tmp_path):
    values = {"text": "\U0001f600 \0 \u2028", "big": 10**3_000, "negative": -(2**64), "unsigned": 2**64 - 1}
    table = run_sweep(lambda x: values, [{"x": 0}], tmp_path, experiment="kept", n_jobs=1, progress=False)
    assert table.loc[0, "text"] == values["text"]
    assert [int(table.loc[0, name]) for name in ("big", "negative", "unsigned")] == list(values.values())[1:]
    assert read_table(tmp_path).loc[0, "text"] == values["text"]


@pytest.mark.parametrize("value", ["\ud800", ["a", "\udfff"], 10**5_000], ids=["text", "list", "integer"])
def test_parameters_that_no_file_holds_are_refused(tmp_path, value):
    with pytest.raises(InputError, match=r"cells\[1\] is .*, expected JSON values"):
        run_sweep(square, [{"x": 1}, {"x": value}], tmp_path / "out", n_jobs=1, progress=False)
    assert not (tmp_path / "out").exists()
