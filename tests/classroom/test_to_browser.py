"""The four lessons that run in a browser: what is exported installs before it imports, and needs nothing else."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import spectral_jepa

ROOT = Path(spectral_jepa.__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "classroom/to_browser.py").is_file(), reason="not a clone")
# What Pyodide lacks of what we use elsewhere; marimo is there.
MISSING = ["torch", "psutil", "loky", "pyarrow", "gymnasium", "tyro", "tqdm", "safetensors", "filelock", "seaborn", "joblib"]
LESSONS = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from spectral_jepa.classroom import pictures
from spectral_jepa.classroom.broken_theorem import break_theorem
from spectral_jepa.classroom.latent_or_input import contest
from spectral_jepa.classroom.lessons import LESSONS
from spectral_jepa.classroom.room_map import DEFAULT_MAP, room_map
from spectral_jepa.classroom.u_curve import u_curve
figures = [
    pictures.draw_u(u_curve(1000, 8), 8), pictures.draw_broken(break_theorem(0.5, 0.5)),
    pictures.draw_rooms(room_map(DEFAULT_MAP, 0.1), 2, 4), pictures.draw_contest(contest(2.0, 0.5, 3), 2.0, 0.5, 3),
]
print([len(figure.axes) for figure in figures], [e.answer() for n in (0, 1, 3, 4) for e in LESSONS[n].exercises])
"""


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("to_browser", ROOT / "classroom/to_browser.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_app_installs_the_wheel_before_it_imports_it(recipe):
    for slug in recipe.LESSONS:
        text = recipe.browser_text((ROOT / f"classroom/{slug}.py").read_text(), "spectral_jepa-9-py3-none-any.whl")
        first = next(node for node in ast.parse(text).body if isinstance(node, ast.AsyncFunctionDef))
        lines = [ast.unparse(statement) for statement in first.body]
        installs = next(
            i for i, line in enumerate(lines) if "spectral_jepa-9-py3-none-any.whl" in line and "deps=False" in line
        )
        imports = [i for i, line in enumerate(lines) if line.startswith("from spectral_jepa")]
        assert imports and installs < min(imports)


def test_the_four_lessons_run_without_what_a_browser_lacks():
    run = subprocess.run([sys.executable, "-c", f"MISSING = {MISSING}\n{LESSONS}"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("[2, 2, 2, 2]")


def test_apps_import_only_marimo_and_the_classroom(recipe):
    for slug in recipe.LESSONS:
        found = re.findall(r"^\s*(?:from|import) ([\w.]+)", (ROOT / f"classroom/{slug}.py").read_text(), re.MULTILINE)
        assert all(name == "marimo" or name.startswith(("spectral_jepa.classroom", "spectral_jepa._val")) for name in found)


def test_the_recipe_of_publishing_runs_the_documented_command():
    steps = yaml.safe_load((ROOT / ".github/workflows/classroom.yml").read_text())["jobs"]["publish"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert "python classroom/to_browser.py site" in commands and not any("torch" in command for command in commands)
    assert "python classroom/to_browser.py site" in (ROOT / "classroom/README.md").read_text()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed: pip install uv")
def test_the_export(recipe, tmp_path):
    pages = recipe.export(tmp_path)
    assert len(pages) == 4 and (tmp_path / "index.html").is_file()
    for page in pages:
        assert "micropip" in page.read_text() and list((page.parent / "public").glob("spectral_jepa-*.whl"))
