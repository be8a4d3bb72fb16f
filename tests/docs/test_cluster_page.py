"""docs/cluster.md does what it says: every block runs, alone in an empty folder, and prints what is shown.

The one ```text block is the grid of pixel models, which takes a GPU hours: it runs at its smallest.
"""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text()
BLOCKS = re.findall(r"^```(\S*)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
RUNS = {"python": [sys.executable, "-c"], "bash": ["bash", "-euo", "pipefail", "-c"]}
NEEDS = {"--executor dask": "distributed", "--executor submitit": "submitit", "memory://": "fsspec"}
CASES = [
    pytest.param(language, code, next((text for kind, text in BLOCKS[i + 1 : i + 2] if kind == "output"), None), id=str(i))
    for i, (language, code) in enumerate(BLOCKS)
    if language in RUNS
]


def run(words, folder):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "MPLBACKEND": "Agg", "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    nothing = subprocess.DEVNULL
    return subprocess.run(words, cwd=folder, env=environment, stdin=nothing, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize(("language", "code", "wanted"), CASES)
def test_recipe_runs_and_prints_what_is_shown(language, code, wanted, tmp_path):
    for word, package in NEEDS.items():
        if word in code:
            pytest.importorskip(package)
    done = run([*RUNS[language], code], tmp_path)
    assert done.returncode == 0, done.stderr
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(wanted, done.stdout, options), f"{done.stdout}\n{done.stderr}"


def test_the_table_of_growth_is_the_committed_one():
    table = pd.read_csv(ROOT / "reference" / "growth.csv")
    last = table.groupby("kind", sort=False).tail(1).set_index("kind")
    shown = re.findall(r"^\| [a-z].*\|$", PAGE.partition("## How it grows")[2], flags=re.MULTILINE)[1:]
    assert len(shown) == len(last) == 5
    for line, (_, row) in zip(shown, last.iterrows(), strict=True):
        size, seconds, peak, exponent = (float(cell.replace(",", "")) for cell in line.split("|")[2:6])
        assert size == row["size"] and seconds == pytest.approx(row["cpu_seconds"], rel=5e-3)
        assert peak == pytest.approx(row["peak_gib"], abs=6e-3)
        assert exponent == pytest.approx(row["time_exponent"], abs=6e-3)
    # 10^8 rows under 2 GiB, and no more than 10^7 take; nothing but states faster than linear.
    counted = table[table["kind"] == "transitions"].set_index("size")
    assert counted.loc[10**8, "peak_gib"] < min(2, 1.1 * counted.loc[10**7, "peak_gib"])
    assert last["time_exponent"].drop("states").max() < 1.1


def test_growth_is_measured_again_at_its_smallest(tmp_path):
    words = [sys.executable, str(ROOT / "benchmarks" / "growth.py"), "--only", "transitions", "--output", "growth.csv"]
    done = run(words, tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "growth.csv")
    assert table["size"].tolist() == [10**4, 10**5] and (table["cpu_seconds"] > 0).all()
    expected = float(np.log10(table["cpu_seconds"][1] / table["cpu_seconds"][0]))
    assert table["time_exponent"][1] == pytest.approx(expected, abs=2e-3) and "transitions: exponent" in done.stdout


@pytest.mark.slow
def test_the_grid_of_pixel_models_is_a_sweep(tmp_path):
    (block,) = (code for language, code in BLOCKS if language == "text")
    text = re.search(r"<<'END'\n(.*?)^END$", block, flags=re.DOTALL | re.MULTILINE)[1]
    smallest = text.replace('"small"', '"tiny"').replace('"LeWM", "Sub-JEPA K=4", "none"', '"LeWM"').replace("10", "2")
    assert smallest.count("tiny") == 1 and "range(2)" in smallest and "K=4" not in smallest
    (tmp_path / "grid.py").write_text(smallest)
    words = [sys.executable, "-m", "spectral_jepa", "sweep", "grid.py", "--n-jobs", "2", "--no-figures"]
    done = run(words, tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "results/grid/quick/table.parquet")
    assert table["seed"].tolist() == [0, 1] and table["success"].between(0, 1).all()
    # Two trainings, one collection, and the same pairs.
    assert table["manifest"].nunique() == 1 and table["train_prediction"].nunique() == 2
    assert len(list((tmp_path / "results/pixels/two_room-tiny").glob("*/weights.safetensors"))) == 2


def test_no_block_escapes():
    languages = [language for language, _ in BLOCKS]
    assert PAGE.count("\n```") == 2 * len(BLOCKS) and set(languages) == {"python", "bash", "output", "text"}
    assert len(CASES) == languages.count("output") == 6 and languages.count("text") == 1
    for word in ("--executor dask", "--executor submitit", "--shard", "merge", "torchrun", "memory://", "--dry-run"):
        assert any(word in case.values[1] for case in CASES), word


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", PAGE))))
def test_link_of_the_page_leads_somewhere(target):
    assert (ROOT / "docs" / target).exists()
