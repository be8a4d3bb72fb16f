"""Wrong words, generated for every option of every command: each gets one sentence and exit status 2, and leaves nothing.

What is wrong for an option follows from its annotation (a number, a word, a file, a folder, pairs of name and value), and
for ``--set`` from the type of each setting; a table says only what cannot be seen there. Every case runs through ``main`` in
a folder with one valid file of each kind.
"""

import contextlib
import dataclasses
import functools
import inspect
import io
import re
import shutil
import signal
import types
import typing
import zipfile
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pytest
from tyro.conf import Positional

from spectral_jepa import cli, generators
from spectral_jepa.sweep.experiment import shipped_folder

SECONDS = 30
REFUSED, ALLOWED = "must be refused", "may be accepted"
CLONE = shipped_folder("reference").parent
# A claim that is measured in an instant.
ONE_CLAIM = "lewm-parameters"
OWN = '''"""An experiment."""
PRESETS = {"quick": {"x": [1, 2]}, "empty": {"x": []}}
def run_cell(x):
    return {"y": x}
def draw(table):
    return {}
'''
# What each command is given besides the wrong word; every one of these calls succeeds.
RUN = {"positional": ["run"]}
VALID = {
    "demo": {},
    "sweep": {"positional": ["own.py"], "n_jobs": ["1"], "folder": ["swept"]},
    "merge": {"positional": ["own.py"], "folder": ["merged"], "shards": ["swept"]},
    "status": {"positional": ["own.py"], "folder": ["swept"]},
    "figures": {"positional": ["own.py"], "folder": ["swept"]},
    "spectrum": {"positional": ["ring"], "dim": ["2"]},
    "report": {"positional": ["swept"], "out": ["page.html"]},
    "analyze": {"positional": ["log.csv"], "dims": ["1", "2"]},
    "advise": {"positional": ["latents.npz"]},
    "repro": {"check": [], "root": ["clone"]},
    "classroom": {"html": [], "headless": []},
    "pixels": {},
    "pixels collect": {"preset": ["tiny"], "n_jobs": ["1"], "out": ["new/data.h5"], "set": ["data.n_episodes", "2"]},
    "pixels convert": {"positional": ["data.h5"], "out": ["converted.h5"], "image_size": ["16"]},
    "pixels train": {"preset": ["tiny"], "data": ["data.h5"], "folder": ["trained"], "set": ["training.n_steps", "2"]},
    "pixels plan": RUN | {"set": ["planning.n_iterations", "2"]},
    "pixels evaluate": RUN | {"n_pairs": ["2"], "set": ["planning.n_iterations", "2"], "cache": ["unpacked"]},
    "pixels probe": RUN | {"quantities": ["agent_position"]},
    "pixels diagnose": RUN
    | {"n_simulator": ["1"], "n_starts": ["2"], "n_plans": ["4"], "set": ["planning.n_iterations", "1"]},
    "pixels surprise": RUN | {"n_trajectories": ["2"]},
    "pixels report": RUN | {"decoder_steps": ["2"]},
    "pixels import_weights": {"positional": ["public"], "data": ["data.h5"], "folder": ["imported"]},
    "pixels export_weights": RUN | {"out": ["exported"]},
}
# Paths that a command writes to; the others it reads.
WRITTEN = {"out", "folder", "cache", "json", "frame"} - {"positional"}
READ_FOLDERS = {("status", "folder"), ("figures", "folder"), ("repro", "root")}
# Rounds carried out one by one: a huge number of them is slow, not wrong.
ROUNDS = {"decoder_steps", "stop_after", "n_jobs", "budget", "n_simulator", "n_starts", "n_plans"}
ZERO_IS_FINE = {"seed", "pair"}
AFTER_POSITIONAL = ("analyze", "sweep", "merge", "status", "figures")


def commands():
    """name -> function, of both command lines."""
    from spectral_jepa.pixels import cli as pixels

    both = dict(cli.commands.functions) | {f"pixels {name}": f for name, f in pixels.commands.functions.items()}
    return both


def options(function):
    """(name, annotation without Annotated and None, whether it may be left out)"""
    hints = get_type_hints(function, include_extras=True)
    for name in inspect.signature(function).parameters:
        hint, positional = hints[name], False
        while get_origin(hint) is typing.Annotated:
            positional |= hint == Positional[get_args(hint)[0]]
            hint = get_args(hint)[0]
        kinds = [kind for kind in get_args(hint) if kind is not types.NoneType]
        if get_origin(hint) in (typing.Union, types.UnionType) and len(kinds) == 1:
            hint = kinds[0]
        if name == "folder" and hint is str:  # or an address
            hint = Path
        yield "positional" if positional else name, hint


def wrong_words(command, name, hint):
    """(what it is, the words in the place of the value, verdict) for one option."""
    refused, allowed = {}, {}
    strange = {"another encoding": ["\udcff"], "a long word": ["x" * 5000], "two lines": ["two\nlines"]}
    if name not in ("positional", "set"):
        refused["no value"] = []
    if hint is bool:
        refused["no value"] = ["maybe"]
    elif hint is int:
        refused |= {"a word": ["abc"], "a fraction": ["1.5"], "not a number": ["nan"], "infinity": ["inf"], "empty": [""]}
        refused |= {"several": ["1", "2"], "with commas": ["1,000"], "a power": ["1e3"], "a list": ["[1]"]}
        if name != "n_jobs":
            refused["below zero"] = ["-1"]
        (allowed if name in ZERO_IS_FINE else refused)["zero"] = ["0"]
        if name == "pair":
            refused["huge"] = ["1000000000000"]
        if name not in ROUNDS:
            allowed |= {"huge": ["1000000000000"], "beyond 64 bits": ["1" + "0" * 30]}
        refused["beyond what Python converts"] = ["9" * 5000]
    elif hint is float:
        refused |= {"a word": ["abc"], "not a number": ["nan"], "infinity": ["inf"], "empty": [""], "below zero": ["-1"]}
        refused |= {"several": ["1", "2"], "with commas": ["1,000"], "a list": ["[1]"]}
    elif hint is Path and name not in WRITTEN:
        refused |= {"missing": ["nothing.here"], "empty": [""], "below a file": ["own.py/below"], "no file": ["/dev/null"]}
        refused |= {"several": ["log.csv", "log.csv"]} | strange
        kinds = ["text.txt", "binary.bin", "empty.txt", "page.html", "picture.png", "lfs.csv", "archive.zip", "numbers.npz"]
        kinds += ["table.parquet", "truncated.h5", "other.h5", "state.json", "other", "full"]
        kinds += ["data.h5"] if command == "analyze" else ["log.csv"]
        refused |= {f"the kind of {file}": [file] for file in kinds}
    elif hint is Path:
        refused |= {"below a file": ["own.py/below"], "no folder": ["/dev/null"], "below no folder": ["/dev/null/below"]}
        refused |= {"a long word": ["x" * 5000], "where none may write": ["/proc/nothing"], "several": ["one", "two"]}
        if (command, name) not in {
            ("pixels plan", "out"),
            ("pixels collect", "out"),
            ("pixels convert", "out"),
            ("report", "out"),
        }:
            refused["a file"] = ["text.txt"]
        else:
            refused["a folder"] = ["other"]
        if command in ("pixels collect", "pixels convert"):
            refused["a file of another kind"] = ["text.txt"]
        if (command, name) in READ_FOLDERS:
            refused |= {"missing": ["nothing.here"], "of another kind": ["other"]} | strange
        allowed |= {"empty": [""], "another encoding": ["new\udcff"], "two lines": ["two\nlines"]}
    elif hint == tuple[Path, ...]:
        refused |= {"missing": ["nothing.here"], "a file": ["text.txt"], "of another kind": ["other"]} | strange
        refused |= {
            "twice": ["run", "run"],
            "twice under two names": ["run", "./run"],
            "one missing": ["run", "nothing.here"],
        }
    elif hint == tuple[int, ...]:
        refused |= {"a word": ["abc"], "a fraction": ["1.5"], "not a number": ["nan"], "below zero": ["-1"], "zero": ["0"]}
        (allowed if name == "dims" else refused)["twice"] = ["1", "1"]
        refused |= {"one of them a word": ["1", "abc"], "huge": ["1000000000000"], "empty": [""]}
        refused |= {"beyond 64 bits": ["1" + "0" * 30]}
        allowed |= {"in another order": ["2", "1"]}
    elif hint == tuple[str, ...]:
        refused |= {"unknown": ["nothing"], "one unknown": ["state", "nothing"], "empty": [""], "twice": ["state", "state"]}
        refused |= strange
        if name == "executor":
            refused |= {"no address": ["dask"], "a word too many": ["local", "2"], "no queue": ["slurm"]}
    elif hint is str:
        refused |= {"unknown": ["nothing"], "empty": [""], "a path": ["../run"], "a number": ["-1"], "several": ["a", "b"]}
        refused |= {"another case": ["TINY"], "a space": [" "]} | strange
        if name == "positional" and command in ("sweep", "merge", "status", "figures"):
            refused |= {"a missing file": ["missing.py"], "a folder": ["folder.py"], "no Python": ["broken.py"]}
            refused |= {
                "no experiment": ["empty.py"],
                "binary": ["binary.py"],
                "raises": ["raises.py"],
                "exits": ["exits.py"],
            }
            refused |= {"no cells": ["nocells.py"], "odd presets": ["odd.py"]}
        if name == "shard":
            refused |= {"none of them": ["0/2"], "beyond the last": ["3/2"], "more than cells": ["1/3"], "of none": ["1/0"]}
    elif get_origin(hint) is dict:
        refused |= wrong_settings(command)
    else:
        raise AssertionError(f"no wrong words for {hint}: say here what they are")
    if hint is str and name in ("reward", "separator", "preset", "shard") and command in AFTER_POSITIONAL:
        refused.pop("several")  # which are several words behind a positional argument, refused as such elsewhere
        refused["several"] = ["a", "b"]
    return [(k, v, REFUSED) for k, v in refused.items()] + [(k, v, ALLOWED) for k, v in allowed.items() if k not in refused]


def wrong_settings(command):
    """For --set: names without a value, unknown names, and for every known one values that its type cannot be."""
    if command == "spectrum":
        names = inspect.signature(generators.make_ring).parameters
        wrong = {"no value": ["n_states"], "unknown": ["nonsense", "1"], "no pairs": ["n_states", "3", "slip"]}
        for name in names:
            for value in ("abc", "", "none", "nan", "inf", "-1", "[1]", "1e400"):
                wrong[f"{name} {value!r}"] = [name, value]
        wrong |= {"no states": ["n_states", "0"], "a fraction of a state": ["n_states", "2.5"], "slip 2": ["slip", "2"]}
        wrong |= {"too many states": ["n_states", str(10**9)], "far too many": ["n_states", str(10**30)]}
        return wrong
    if command == "sweep":
        return {"no value": ["partition"], "no queue": ["partition", "gpu"], "no pairs": ["timeout_min", "3", "partition"]}
    from spectral_jepa.pixels.presets import preset

    config = preset("tiny")
    wrong = {
        "no value": ["training.seed"],
        "unknown": ["training.nonsense", "1"],
        "no section": ["seed", "1"],
        "empty": ["", ""],
    }
    wrong |= {"unknown section": ["nonsense.seed", "1"], "too deep": ["training.seed.more", "1"], "no pairs": ["kind"]}
    for section in dataclasses.fields(config):
        part = getattr(config, section.name)
        if isinstance(part, str):
            wrong |= {f"{section.name} unknown": [section.name, "nonsense"], f"{section.name} empty": [section.name, ""]}
            continue
        for field, hint in get_type_hints(type(part)).items():
            values = ["abc", "", "nan", "-1", "inf", "1e400", "[1]"]
            if hint is str:
                values = ["nonsense", "", "1", " "]
            elif hint is bool:
                values = ["maybe", "", "2", "none"]
            elif hint is int:
                values += ["1.5", "none", "1" + "0" * 30]
            for value in values:
                wrong[f"{section.name}.{field} {value!r}"] = [f"{section.name}.{field}", value]
    return wrong


@functools.cache
def cases():
    """(command, option, what, all its words, verdict)"""
    found = []
    for command, function in commands().items():
        valid = VALID[command]
        found.append((command, "nothing", "an unknown option", [*line(command, valid), "--nonsense", "1"], REFUSED))
        found.append((command, "nothing", "a word too many", [*line(command, valid), "--", "extra"], REFUSED))
        for name, hint in options(function):
            for what, words, verdict in wrong_words(command, name, hint):
                found.append((command, name, what, line(command, valid | {name: words}), verdict))
        if "positional" in valid:
            found.append((command, "positional", "none", line(command, valid | {"positional": []}), REFUSED))
    for where in (
        "nothing.here",
        "other",
        "text.txt",
        "clone",
    ):  # minutes before it writes; what is copied there is no clone
        found.append(("repro", "root", f"no place to write: {where}", ["repro", "--root", where], REFUSED))
    found.append(("repro", "root", "no clone to write to", ["repro"], REFUSED))
    one = {"positional": [ONE_CLAIM]}
    found.append(("repro", "root", "beside a claim", line("repro", one | {"root": ["clone"]}), REFUSED))
    found.append(("repro", "out", "beside --check", line("repro", one | {"check": [], "out": ["new"]}), REFUSED))
    found.append(("repro", "out", "without a claim", ["repro", "--out", "new"], REFUSED))
    for what, words, verdict in wrong_words("repro", "out", Path):
        found.append(("repro", "out", f"{what}, of a claim", line("repro", one | {"out": words}), verdict))
    known = [(c, n, w) for c, n, w, _, _ in found]
    assert len(set(known)) == len(found), [k for k in known if known.count(k) > 1]
    return found


def line(command, given):
    """The words of a call."""
    words = [*command.split(), *given.get("positional", [])]
    for name, values in given.items():
        if name != "positional":
            words += [f"--{name.replace('_', '-')}", *values]
    return words


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("commands"))


def make_folder(root):
    """A folder with one valid file of each kind that a command reads, and many that none does."""
    import h5py

    from spectral_jepa.pixels.data import ActionScaler
    from spectral_jepa.pixels.data.collect import collect
    from spectral_jepa.pixels.model.published import write_published
    from spectral_jepa.pixels.model.saved import make_model, save_model
    from spectral_jepa.pixels.presets import changed, preset

    config = changed(preset("tiny"), {"data.n_episodes": 4, "data.max_steps": 60})
    data = collect(config.data, root / "data.h5", n_jobs=1, progress=False)
    scaler = ActionScaler((0.0, 0.0), (1.0, 1.0))
    save_model(make_model(config), root / "run", config, scaler, {"data": str(data), "n_steps": 2})
    vit = {"model.encoder": "vit", "model.patch_size": 16, "model.encoder_depth": 1, "model.encoder_heads": 2}
    write_published(make_model(changed(config, vit)), root / "public")
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({name: rng.integers(0, n, 200) for name, n in (("state", 5), ("action", 2), ("next_state", 5))})
    rows.assign(reward=0.5).to_csv(root / "log.csv", index=False)
    np.savez(root / "latents.npz", latents=rng.standard_normal((10, 20, 2)))
    (root / "own.py").write_text(OWN)
    (root / "clone" / "reference").mkdir(parents=True)
    for name in ("paper_repro.md", "reference/claims.csv"):
        shutil.copy(CLONE / name, root / "clone" / name)
    shutil.copytree(CLONE / "docs/claims", root / "clone/docs/claims")
    # What no command reads.
    (root / "text.txt").write_text("Dear diary,\nnothing here.\n")
    (root / "binary.bin").write_bytes(rng.bytes(3000))
    (root / "binary.py").write_bytes(rng.bytes(300))
    (root / "empty.txt").touch()
    (root / "page.html").write_text("<!doctype html><html><body>404, not found</body></html>\n")
    (root / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + rng.bytes(500))
    (root / "lfs.csv").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with zipfile.ZipFile(root / "archive.zip", "w") as archive:
        archive.writestr("text.txt", "text")
    np.savez(root / "numbers.npz", first=np.arange(3))
    pd.DataFrame({"x": [1, 2]}).to_parquet(root / "table.parquet")
    (root / "truncated.h5").write_bytes((root / "data.h5").read_bytes()[:2000])
    with h5py.File(root / "other.h5", "w") as file:
        file["x"] = np.arange(5)
    (root / "state.json").write_text('{"state": 1}')
    (root / "other").mkdir()
    (root / "full").mkdir()
    (root / "full" / "notes.txt").write_text("mine")
    (root / "folder.py").mkdir()
    (root / "broken.py").write_text("def (:\n")
    (root / "empty.py").touch()
    (root / "raises.py").write_text("raise ValueError('two\\nlines')\n")
    (root / "exits.py").write_text("import sys\nsys.exit('bye')\n")
    (root / "nocells.py").write_text("PRESETS = {'quick': {'x': []}}\ndef run_cell(x):\n    return {}\n")
    (root / "odd.py").write_text("PRESETS = {'quick': 5}\ndef run_cell(x):\n    return {}\n")
    with contextlib.chdir(root):
        answer = attempt(line("sweep", VALID["sweep"]))
    assert answer.code == 0, answer
    return root


class Late(Exception):
    pass


@dataclasses.dataclass
class Answer:
    code: int | None
    error: str
    raised: str = ""


def attempt(words):
    """How a command ended, what it wrote to stderr, and the error that it did not turn into a sentence."""

    def late(*_):
        raise Late(f"not done after {SECONDS} seconds")

    written, code, raised = io.StringIO(), 0, ""
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stderr(written), contextlib.redirect_stdout(io.StringIO()):
            cli.main(words)
    except SystemExit as stop:
        code = stop.code
    except BaseException as error:
        code, raised = None, repr(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return Answer(code, written.getvalue(), raised)


def files(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if "__pycache__" not in path.parts}


def finding(case, root):
    """What is wrong with the answer to one case, or nothing."""
    _, name, what, words, verdict = case
    before = files(root)
    with contextlib.chdir(root):
        answer = attempt(words)
    # What is derived from the data beside or under --cache is kept: it serves the next call.
    cache = words[words.index("--cache") + 1] if "--cache" in words[:-1] else None
    left = sorted(path for path in files(root) - before if not re.search(r"(^|/)\.?data\.h5[-.]", path) and path != cache)
    for path in left:  # each case finds the same folder
        if (root / path).is_dir():
            shutil.rmtree(root / path)
        else:
            (root / path).unlink(missing_ok=True)
    shown = [word if len(word) < 60 else word[:20] + "..." for word in words]
    where = f"{' '.join(shown)!r} ({name}: {what})"
    if answer.raised:
        return f"{where} ends in {answer.raised[:300]}"
    if answer.code == 0:
        return f"{where} is accepted" if verdict == REFUSED else None
    if answer.code != 2:
        return f"{where} ends in {answer.code!r}: {answer.error[-300:]!r}"
    lines = [text for text in answer.error.strip().splitlines() if "B/s]" not in text]  # files are unpacked with a bar
    if not lines or not all(text.startswith("spectral-jepa: ") for text in lines) or "Traceback" in answer.error:
        return f"{where} says more than its sentence: {answer.error[-500:]!r}"
    if not ("expected" in lines[-1] or "but only" in lines[-1]) or re.search(r"[.!?] [A-Z]", lines[-1]):
        return f"{where} is no sentence that says what was expected: {lines[-1][:300]!r}"
    option = r"(the )?extension|folder|data|experiment|world|run" if name == "positional" else name.replace("_", "[-_ ]")
    if what in ("empty", "a space"):
        option += "|is a folder|expected a Gymnasium id|Dask|no column"
    parts = [part for word in words for part in (word, word.rpartition(".")[2]) if part.strip()]
    said = [text for part in parts for text in (part, repr(part)[1:-1])]
    if not re.search(
        f"{option}|{'|'.join(map(re.escape, said))}", lines[-1].removeprefix("spectral-jepa: ").partition(": see")[0]
    ):
        return f"{where} does not name what is wrong: {lines[-1][:300]!r}"
    if left:
        return f"{where} is refused and leaves {left}"
    return None


@functools.cache
def chosen():
    """A few of the cases for every day: one of each option, and every fiftieth; all of them are a slow test."""
    wrong = [case for case in cases() if case[-1] == REFUSED]
    first = {}
    for at, case in enumerate(wrong):
        first.setdefault(case[:2], []).append(at)
    kept = {found[len(found) // 2] for found in first.values()} | set(range(0, len(wrong), 50))
    return [wrong[at] for at in sorted(kept)]


def test_the_cases_are_many_and_concern_every_option_of_every_command():
    everything = {(name, option) for name, function in commands().items() for option, _ in options(function)}
    assert {case[:2] for case in chosen()} >= everything and {command for command, _ in everything} | {"pixels"} == set(
        VALID
    )
    assert len(cases()) > 3000 and len(chosen()) > 150


def test_wrong_words_are_refused_in_one_sentence(folder):
    found = [problem for case in chosen() if (problem := finding(case, folder))]
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("command", VALID)
def test_all_wrong_words_are_refused_in_one_sentence(command, folder):
    found = [problem for case in cases() if case[0] == command and (problem := finding(case, folder))]
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name in VALID if name != "pixels"])
def test_without_the_wrong_word_each_command_succeeds(command, folder):
    """Else every wrong word would be refused for another reason."""
    with contextlib.chdir(folder):
        assert attempt(line(command, VALID[command])).code == 0
