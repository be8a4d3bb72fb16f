"""The pages on published weights, one's own robot and trackers: every block runs, in order, in one folder a page.

Dashboards that are not installed here are stood in for by modules that keep what they are told.
"""

import contextlib
import doctest
import importlib.util
import io
import re
import shlex
import sys
import types
from pathlib import Path

import pytest

from spectral_jepa.cli import main

pytest.importorskip("h5py")
pytestmark = pytest.mark.usefixtures("few_threads")
ROOT = Path(__file__).resolve().parents[2]
PAGES = ("published_weights", "own_robot", "trackers")
TEXTS = {page: (ROOT / "docs" / f"{page}.md").read_text() for page in PAGES}
BLOCKS = {page: re.findall(r"^```(\S*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE) for page, text in TEXTS.items()}
DASHBOARDS = ("wandb", "mlflow", "trackio", "torch.utils.tensorboard")


def dashboard(code):
    return next((name for name in DASHBOARDS if f"import {name}" in code or f"from {name}" in code), None)


def run_block(language, code):
    """What a block prints; commands of ours run in this process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if language == "python":
            exec(compile(code, "block", "exec"), {"__name__": "__main__"})
        else:
            for line in code.replace("\\\n", " ").splitlines():
                program, *words = shlex.split(line)
                assert program == "spectral-jepa", line
                main(words)
    return out.getvalue()


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow) if page == "own_robot" else page for page in PAGES]
)
def test_the_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    blocks = BLOCKS[page]
    if page == "trackers":
        (tmp_path / "my_trackers.py").write_text(blocks[0][1])
    printed = ""
    for language, code in blocks:
        if language == "output":
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            assert doctest.OutputChecker().check_output(code, printed, flags), (code, printed)
        elif dashboard(code) is None:
            printed = run_block(language, code)
    made = {
        "published_weights": ("runs/published/evaluation-25.csv", "runs/tuned/config.json", "shared/README.md", "runs/back"),
        "own_robot": ("own.csv", "own.png", "own.gif"),
        "trackers": ("results/pixels/two_room-tiny/sigreg-0/lines.txt",),
    }[page]
    assert all((tmp_path / path).exists() for path in made)
    if page == "trackers":
        lines = (tmp_path / made[0]).read_text().splitlines()
        assert lines[0] == "seed 0" and lines[-1] == "finished" and [line[:2] for line in lines[1:-1]] == ["5:", "10"]


def test_no_block_escapes():
    for page, blocks in BLOCKS.items():
        assert {language for language, _ in blocks} <= {"python", "bash", "output"}
        assert TEXTS[page].count("\n```") == 2 * len(blocks) and len(blocks) >= 3
    assert {dashboard(code) for _, code in BLOCKS["trackers"]} == {None, *DASHBOARDS}


def test_the_loop_has_at_most_15_lines():
    (loop,) = (code for language, code in BLOCKS["own_robot"] if "next_action" in code and language == "python")
    assert len([line for line in loop.splitlines() if line.strip()]) <= 15


def test_links_lead_somewhere():
    for text in TEXTS.values():
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / "docs" / target).exists(), target


class Recorder(types.ModuleType):
    """A module any of whose functions can be called; it keeps the calls, and so does what they return."""

    def __init__(self, name, calls):
        super().__init__(name)
        self.calls = calls

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*values, **options):
            self.calls.append((name, values, options))
            return Recorder(name, self.calls)

        return call


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_dashboard_is_told_numbers_and_the_end(name, tmp_path, monkeypatch):
    (code,) = (code for _, code in BLOCKS["trackers"] if dashboard(code) == name)
    monkeypatch.chdir(tmp_path)
    for variable, value in (
        ("WANDB_MODE", "offline"),
        ("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri()),
        ("MLFLOW_ALLOW_FILE_STORE", "true"),  # all that mlflow-skinny can write here
        ("TRACKIO_DIR", str(tmp_path / "trackio")),
    ):
        monkeypatch.setenv(variable, value)
    calls = None
    package = "tensorboard" if "tensorboard" in name else name
    if importlib.util.find_spec(package) is None:
        calls = []
        monkeypatch.setitem(sys.modules, name, Recorder(name, calls))
    scope = {}
    exec(compile(code, "block", "exec"), scope)
    (tracker,) = (value for key, value in scope.items() if key.endswith("Tracker"))
    told = tracker({"training": {"seed": 0}}, tmp_path / "run-0")
    told.on_log(5, {"loss": 0.5, "prediction": 0.25})
    told.on_end(True)
    if calls is None:
        return
    words = [call[0] for call in calls]
    wanted = {
        "wandb": ["init", "log", "finish"],
        "mlflow": ["set_experiment", "start_run", "log_dict", "log_metrics", "end_run"],
        "trackio": ["init", "log", "finish"],
        "torch.utils.tensorboard": ["SummaryWriter", "add_scalar", "add_scalar", "close"],
    }[name]
    assert words == wanted
    assert any(0.5 in (values[1:2] or (None,)) or {"loss": 0.5, "prediction": 0.25} in values for _, values, _ in calls)
