"""docs/data_formats.md: its blocks run in order, those of a package that is missing are left out and named."""

import contextlib
import importlib.util
import io
import re
import shlex
from pathlib import Path

import h5py
import pytest

from spectral_jepa.cli import main
from spectral_jepa.pixels.data.formats import FORMATS

pytestmark = pytest.mark.usefixtures("few_threads")
TEXT = (Path(__file__).resolve().parents[2] / "docs" / "data_formats.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in TEXT.split("\n## ")[1:]}
# What the blocks of a section need, and the file that they leave.
NEEDS = {"Your own videos or pictures": "PIL", "Minari": "minari", "LeRobot": "lerobot", "zarr": "zarr", "Lance": "lance"}
LEFT = {"Your own videos or pictures": "mine.h5", "Minari": "back.h5", "LeRobot": "robot.h5", "zarr": "zarr.h5"}
LEFT |= {"Lance": "lance.h5"}


def run_section(text):
    printed = ""
    for language, code in re.findall(r"^```(\S*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        if language == "output":
            assert printed.strip() == code.strip()
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if language == "python":
                exec(compile(code, "block", "exec"), {"__name__": "__main__"})
            for line in code.splitlines() if language == "bash" else ():
                main(shlex.split(line)[1:])
        printed = out.getvalue()


@pytest.mark.slow
def test_the_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing = [name for name in NEEDS.values() if importlib.util.find_spec(name) is None]
    for title, package in NEEDS.items():
        if package not in missing:
            run_section(SECTIONS[title])
            with h5py.File(LEFT[title]) as file:
                assert len(file["ep_len"]) >= 3
    with h5py.File("mine.h5") as mine:
        for name in {"back.h5"} & {path.name for path in tmp_path.iterdir()}:
            with h5py.File(name) as back:
                assert (back["pixels"][:] == mine["pixels"][:]).all() and back.attrs["environment"] == mine.attrs[
                    "environment"
                ]
    if missing:
        pytest.skip(f"not installed, so their blocks did not run: {', '.join(missing)}")


def test_the_page_has_every_format_and_says_what_runs():
    assert TEXT.count("\n| ") - 1 == len(FORMATS)
    assert set(SECTIONS) == {*NEEDS, "Push-T of DINO-WM"}
    assert {language for language in re.findall(r"^```(\S+)$", TEXT, flags=re.MULTILINE)} == {
        "python",
        "bash",
        "output",
        "text",
    }
