"""Rules for the folders that import-linter does not see, because they are no package: experiments/ and figures/.

The rules of the package itself stand in pyproject.toml and run in `make lint`; here it is only checked that they can fail.
"""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRAWING = (
    "spectral_jepa.plotting",
    "spectral_jepa.sweep.results",
    "spectral_jepa.success_rates",
    "numpy",
    "pandas",
    "matplotlib",
)
# A curve of the theory drawn through measured points is evaluated where it is drawn.
CLOSED_FORMS = ("spectral_jepa.input_level.critical_nuisance_scale",)
NOT_COMPUTING = ("spectral_jepa.cli", "spectral_jepa.pixels.cli", "spectral_jepa.plotting", "matplotlib", "seaborn")


def imported(path):
    """Modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(name, modules):
    return any(name == module or name.startswith(f"{module}.") for module in modules)


@pytest.mark.parametrize("path", sorted((ROOT / "figures").glob("*.py")), ids=lambda path: path.name)
def test_figures_draw_tables_and_compute_nothing(path):
    assert [name for name in imported(path) if not within(name, DRAWING + CLOSED_FORMS)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.py")), ids=lambda path: path.name)
def test_experiments_know_neither_command_line_nor_drawing(path):
    assert [name for name in imported(path) if within(name, NOT_COMPUTING)] == []


def test_the_rules_notice_a_breach(tmp_path):
    shutil.copytree(ROOT / "spectral_jepa", tmp_path / "spectral_jepa", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    whole = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert whole.returncode == 0 and "5 kept, 0 broken" in whole.stdout
    with (tmp_path / "spectral_jepa" / "theory" / "bound.py").open("a") as file:
        file.write("\nimport torch\nfrom spectral_jepa.pixels import runs\n")
    broken = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert broken.returncode == 1 and "2 broken" in broken.stdout
