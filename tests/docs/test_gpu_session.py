"""The GPU session: its parts work at tiny sizes, its long parts are commands that exist, and "not run" names one of them."""

import argparse
import importlib
import json
import re
import tomllib
from pathlib import Path

import pytest
import torch

from spectral_jepa.pixels.presets import override, preset
from spectral_jepa.pixels.runs import base_folder, run_name

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = tomllib.loads((ROOT / "experiments/claims.toml").read_text(encoding="utf-8"))
OPTIONS = {
    "--regularizer": "objective.regularizer",
    "--n-subspaces": "objective.n_subspaces",
    "--subspace-kind": "objective.subspace_kind",
    "--kind": "kind",
}


@pytest.fixture(scope="module")
def session():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("gpu_session")


@pytest.fixture
def given(tmp_path):
    return argparse.Namespace(out=tmp_path, run=tmp_path / "run", device="cpu", rehearse=True, seconds=None)


def rows(given, part):
    return json.loads((given.out / f"{part}.json").read_text())


def test_the_rehearsal_of_correctness_fills_its_table_and_is_not_repeated(session, given, monkeypatch):
    session.correctness(given)
    table = rows(given, "correctness")
    assert table["finished"] and len(table["rows"]) == 8
    # One device against itself: the same bits.
    assert all(row["met"] and row["error of scale"] == 0 for row in table["rows"])
    assert {"commit", "torch", "device", "threads", "settings", "rehearsal"} <= set(table["configuration"])
    monkeypatch.setattr(session, "step_error", lambda *arguments: pytest.fail("measured again"))
    session.correctness(given)
    # One row is missing: only that one is measured.
    kept = table["rows"][3:]
    (given.out / "correctness.json").write_text(json.dumps(table | {"finished": False, "rows": table["rows"][:2] + kept}))
    monkeypatch.setattr(session, "step_error", lambda *arguments: 0.25)
    session.correctness(given)
    again = rows(given, "correctness")["rows"]
    assert len(again) == 8 and again[-1] == {
        "check": "training step", "precision": "float32", "error of scale": 0.25, "limit": 0.002, "met": False
    }  # fmt: skip


def test_a_device_that_computes_otherwise_is_seen(session, given, monkeypatch):
    calls = []

    def drifting(function):
        def changed(*arguments, **options):
            calls.append(1)
            return function(*arguments, **options) * (1 + 1e-3 * (len(calls) > 1))

        return changed

    monkeypatch.setattr(session.losses, "sigreg", drifting(session.losses.sigreg))
    error = session.sigreg_error(given, "float64")
    assert 5e-4 < error < 2e-3 and not session.judge(1e-8)(error)["met"]
    zeros, ones = torch.zeros(3), torch.tensor([1.0, 2.0, 4.0])
    assert session.to_scale(ones, ones + torch.tensor([0, 0, 0.4])) == pytest.approx(0.4 / 4.4)
    assert session.to_scale(zeros, zeros) == 0 and session.to_scale(ones, zeros) == 4


def test_a_row_that_fails_does_not_stop_the_others(session, given):
    table = session.Table("training", given, {})
    table.add({"what": "a"}, lambda: 1 / 0)
    table.add({"what": "b"}, lambda: {"steps/s": 2.0})
    assert [row.get("error") for row in rows(given, "training")["rows"]] == ["ZeroDivisionError: division by zero", None]


def test_the_script_runs_the_parts_in_order_within_twelve_minutes(session):
    script = (ROOT / "benchmarks/gpu_session.sh").read_text()
    (order,) = re.findall(r'^ORDER="(.*)"$', script, re.MULTILINE)
    assert order.split() == list(session.PARTS)
    most = {name: int(seconds) for name, seconds in re.findall(r"\[(\w+)\]=(\d+)", script)}
    assert set(most) == set(session.PARTS)
    assert sum(seconds for name, seconds in most.items() if name != "two_room") <= session.TOTAL - 4 * 60


def test_long_parts_are_commands_that_exist_on_runs_that_exist(session):
    trained, looked_at = set(), set()
    for _, commands in session.long_parts().values():
        for first, verb, *arguments in commands:
            assert first == "pixels"
            if verb in ("evaluate", "probe", "surprise"):
                looked_at.add(arguments[0])
            if verb != "train":
                continue
            options = dict(zip(arguments[::2], arguments[1::2], strict=False))
            if "--set" in arguments:
                at = arguments.index("--set")
                name, value = arguments[at + 1 : at + 3]
                options = dict(zip(arguments[:at:2], arguments[1:at:2], strict=True)) | {"--folder": arguments[at + 4]}
                changes = {name: value}
            else:
                changes = {setting: options[option] for option, setting in OPTIONS.items() if option in options}
            assert set(options) <= {*OPTIONS, "--environment", "--preset", "--folder"}
            # Names and values are those of the settings.
            config = override(preset(options["--preset"], options["--environment"]), changes)
            assert config != preset("paper", options["--environment"]) or not changes
            own = str(base_folder(options["--environment"], "paper") / run_name(config))
            trained.add(options.get("--folder", own))
    assert looked_at == trained and len(trained) > 30


@pytest.mark.parametrize("entry", [e for e in CLAIMS["not_run"] if "GPU" in e["verdict"]], ids=lambda e: e["printed"])
def test_what_was_not_run_for_want_of_a_gpu_names_the_part_that_runs_it(session, entry):
    named = re.findall(r"part (\w+) of benchmarks/gpu_session.sh", entry["verdict"])
    assert len(named) == 1 and named[0] in {**session.PARTS, **session.long_parts()}
    assert ("twelve minutes" in entry["verdict"].partition(";")[2].partition("Two-Room")[0]) == (named[0] in session.PARTS)
