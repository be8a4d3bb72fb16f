"""Apply each wrong version of mutants.py to a copy of the package, and see whether its tests notice: `make mutate`.

killed: a test failed. SURVIVED: all passed, which is a hole in the tests. broken: it cannot be imported, or the tests did
not run to an end, which proves nothing. Exit status 1 unless all are killed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import tyro
from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120  # seconds for the tests of one mutant
NOT_IMPORTED = 64
# Run inside the copy, which `python -c` searches first. An editable install or a wheel must not answer in its place.
DRIVER = f"""
import importlib, pathlib, sys
try:
    module = importlib.import_module(sys.argv[1])
except Exception as error:
    sys.exit(print("import failed:", repr(error)) or {NOT_IMPORTED})
if pathlib.Path.cwd().resolve() not in pathlib.Path(module.__file__).resolve().parents:
    sys.exit(print("imported from", module.__file__) or {NOT_IMPORTED})
import pytest
sys.exit(pytest.main(["-x", "-q", "--tb=line", "-rfE", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


class Verdict(NamedTuple):
    name: str
    file: str
    why: str
    outcome: str
    by: str


def copy_repository(folder: Path, source: Path = ROOT) -> None:
    """Times of change are kept, so that compiled files stay good; a mutated source is newer than its own."""
    for name in ("spectral_jepa", "tests"):
        shutil.copytree(source / name, folder / name)
    shutil.copy(source / "pyproject.toml", folder)
    for name in ("experiments", "figures", "reference"):
        (folder / name).symlink_to(ROOT / name)


def run_tests(folder: Path, file: str, tests: tuple[str, ...], limit: float = LIMIT) -> tuple[int, str]:
    """Exit status and output of the tests in the copy; ``file`` must be imported from there."""
    module = "spectral_jepa." + file.removesuffix(".py").replace("/", ".")
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # starts in half the time
    }
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
        environment.pop(name, None)
    environment["PYTHONPATH"] = str(folder)  # processes that the tests start must import the copy, too
    command = [sys.executable, "-c", DRIVER, module, *(f"tests/{test}" for test in tests)]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return NOT_IMPORTED, f"no end after {limit} s"
    return done.returncode, done.stdout + done.stderr


def judge(mutant: Mutant, source: Path = ROOT) -> Verdict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_repository(folder, source)
        path = folder / "spectral_jepa" / mutant.file
        text = path.read_text()
        if text.count(mutant.before) != 1:
            return Verdict(mutant.name, mutant.file, mutant.why, "broken", "`before` does not occur exactly once")
        path.write_text(text.replace(mutant.before, mutant.after))
        status, output = run_tests(folder, mutant.file, mutant.tests)
    failed = re.search(r"^FAILED tests/(?:\w+/)*(.+?)(?: - .*)?$", output, re.MULTILINE)
    if status == 1 and failed:
        return Verdict(mutant.name, mutant.file, mutant.why, "killed", failed[1])
    outcome = "SURVIVED" if status == 0 else "broken"
    last = output.strip().splitlines()[-1:]
    return Verdict(mutant.name, mutant.file, mutant.why, outcome, " ".join(mutant.tests) if status == 0 else "".join(last))


def check_unmutated(chosen: list[Mutant], folder: Path) -> None:
    """The same tests pass on the code as it is, or their failures would mean nothing."""
    tests = tuple(sorted({test for mutant in chosen for test in mutant.tests}))
    # All of them one after another: each has its own limit only where it stands alone.
    status, output = run_tests(folder, "__init__.py", tests, limit=LIMIT * len(tests))
    if status:
        sys.exit(f"{output}\nthe tests fail without any mutation: mend them first")


def main(only: str = "", jobs: int = 2) -> None:
    """Print the kill table.

    Parameters
    ----------
    only : str
        Run the mutants whose name or file contains this text.
    jobs : int
        How many at a time.
    """
    begin = time.perf_counter()
    chosen = [mutant for mutant in MUTANTS if only in mutant.name or only in mutant.file]
    verdicts = []
    row = "{:<9} {:<32} {:<48} {:<60} {}"
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        copy_repository(base)
        check_unmutated(chosen, base)
        print(row.format("outcome", "file", "wrong version", "why it is wrong", "first test to fail"))
        with ThreadPoolExecutor(jobs) as pool:
            for verdict in pool.map(partial(judge, source=base), chosen):
                verdicts.append(verdict)
                print(row.format(verdict.outcome, verdict.file, verdict.name, verdict.why, verdict.by), flush=True)
    count = {outcome: sum(v.outcome == outcome for v in verdicts) for outcome in ("killed", "SURVIVED", "broken")}
    seconds = time.perf_counter() - begin
    print(
        f"{len(verdicts)} wrong versions: " + ", ".join(f"{n} {what}" for what, n in count.items()) + f" ({seconds:.0f} s)"
    )
    sys.exit(count["killed"] < len(verdicts) or not verdicts)


if __name__ == "__main__":
    tyro.cli(main)
