"""Each app is a script that runs from top to bottom, and the command that opens one."""

import importlib.util
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from spectral_jepa import cli
from spectral_jepa.classroom.lessons import LESSONS
from spectral_jepa.sweep.experiment import shipped_folder

FOLDER = shipped_folder("classroom")
SLUGS = [lesson.slug for lesson in LESSONS]


def has_marimo():
    return importlib.util.find_spec("marimo") is not None


needs_marimo = pytest.mark.skipif(not has_marimo(), reason="marimo is not installed: pip install 'spectral-jepa[class]'")


def test_there_is_a_script_for_each_lesson():
    assert len(SLUGS) == 6 and all((FOLDER / f"{slug}.py").is_file() for slug in SLUGS)


@needs_marimo
@pytest.mark.parametrize("slug", SLUGS)
def test_every_cell_runs_headless(slug):
    app = runpy.run_path(str(FOLDER / f"{slug}.py"), run_name="an import")["app"]
    outputs, names = app.run()
    assert {"lesson", "guess", "fields"} <= set(names) and names["lesson"].slug == slug
    assert sum(output is not None for output in outputs) >= 5  # opening, answer, controls, picture, closing
    shown = "".join(output.text for output in outputs if hasattr(output, "text"))
    assert names["lesson"].takeaway in shown


@needs_marimo
def test_a_script_runs_by_itself():
    done = subprocess.run([sys.executable, str(FOLDER / "break_the_theorem.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_list_names_all_six(capsys):
    cli.main(["classroom", "--list"])
    printed = capsys.readouterr().out
    assert all(lesson.title in printed for lesson in LESSONS)


def test_without_marimo_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        cli.main(["classroom", "2"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.strip().endswith("pip install 'spectral-jepa[class]'")


def test_a_number_opens_its_app(monkeypatch):
    asked = []
    monkeypatch.setattr(cli, "find_spec", lambda name: name)
    monkeypatch.setattr(cli.subprocess, "run", lambda words: asked.append(words) or subprocess.CompletedProcess(words, 0))
    with pytest.raises(SystemExit) as stop:
        cli.main(["classroom", "5", "--headless", "--port", "2718"])
    assert stop.value.code == 0
    assert asked[0][3:] == ["run", str(FOLDER / "latent_or_input.py"), "--headless", "--port", "2718"]


def test_html_opens_the_page_at_the_lesson(monkeypatch):
    opened = []
    monkeypatch.setattr(cli.webbrowser, "open", opened.append)
    cli.main(["classroom", "3", "--html"])
    assert opened == [(FOLDER / "offline.html").as_uri() + "#lesson-3"]


@pytest.mark.parametrize("words", [["7"], ["0"], ["1", "--list"], ["--list", "--html"], ["--html", "--port", "80"]])
def test_what_does_not_go_together_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["classroom", *words])
    assert stop.value.code == 2 and "expected" in capsys.readouterr().err


def test_a_wheel_carries_what_the_command_opens():
    root = Path(cli.__file__).resolve().parents[1]
    if not (root / "pyproject.toml").is_file():
        pytest.skip("not a clone")
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "force-include"
    ]
    own = {source: target for source, target in listed.items() if source.startswith("classroom/")}
    assert own == {source: f"spectral_jepa/_{source}" for source in own}
    assert set(own) == {f"classroom/{name}" for name in (*(f"{s}.py" for s in SLUGS), "README.md", "offline.html", "data")}
    assert all((root / source).exists() for source in own)
