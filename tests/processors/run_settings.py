"""Run the numeric tests as other processors would, setting by setting: `make processors`.

Sums of floating-point numbers depend on the order, and the order on the width of a processor's registers and on the number
of threads. A test that passes here and fails there has a tolerance that belongs to a machine. Exit status 1 unless all pass.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import tyro
from settings import NUMERIC, SETTINGS, Setting

ROOT = Path(__file__).resolve().parents[2]
SWITCHES = tuple(SETTINGS[0].environment)
WIDTHS = ("DEFAULT", "AVX2", "AVX512")  # as torch names them, in rising order
# One convolution and one product: oneDNN, when asked to talk, says at the first what it found.
PROBE = """
import json, numpy, scipy.linalg, torch
from threadpoolctl import threadpool_info
torch.nn.functional.conv2d(torch.ones(4, 3, 32, 32), torch.ones(8, 3, 3, 3))
blas = sorted({pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"})
print(json.dumps({"torch": torch.backends.cpu.get_cpu_capability(), "openblas": blas, "threads": torch.get_num_threads()}))
"""


def found(environment: dict[str, str]) -> dict:
    """What a process with these variables computes with."""
    environment = environment | {"ONEDNN_VERBOSE": "1"}
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr}\nnothing can be computed with {environment}")
    isa = re.search(r"cpu,isa:(.*)", done.stdout)
    return json.loads(done.stdout.splitlines()[-1]) | {"onednn": isa[1] if isa else "none"}


def without_switches() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in SWITCHES}


def check_effect(setting: Setting) -> None:
    """A switch that does nothing would make a run that proves nothing."""
    isa = {"SSE41": "SSE4.1", "AVX2": "AVX2"}[setting.onednn]
    wanted = {"torch": setting.aten.upper(), "openblas": [setting.openblas], "threads": setting.threads}
    got = found(without_switches() | setting.environment)
    if not got.pop("onednn").endswith(isa) or got != wanted:
        sys.exit(f"{setting} gives {got}, expected {wanted} and {isa} in oneDNN: these builds do not listen to the switches")


def main(tests: tyro.conf.Positional[tuple[str, ...]] = (), jobs: int = 2, only: int | None = None) -> None:
    """Run the tests under each setting and print which passed.

    Parameters
    ----------
    tests : tuple of str
        Files or folders; all the numeric ones by default.
    jobs : int
        Test processes, each of one thread; half as many of two threads.
    only : int, optional
        The number of one setting, from 1.
    """
    widest = WIDTHS.index(found(without_switches())["torch"])
    failed, passed = [], 0
    for number, setting in enumerate(SETTINGS, 1):
        if only not in (None, number):
            continue
        name = f"setting {number} of {len(SETTINGS)}: {setting}"
        if widest < WIDTHS.index("AVX512" if setting.openblas == "SkylakeX" else "AVX2"):
            print(f"NOT RUN {name}: this processor has only {WIDTHS[widest]}", flush=True)
            continue
        check_effect(setting)
        print(name, flush=True)
        begin = time.perf_counter()
        # Passive: threads that wait in a loop take the cores from those that compute.
        environment = without_switches() | setting.environment | {"MPLBACKEND": "Agg", "OMP_WAIT_POLICY": "passive"}
        side_by_side = ["-n", str(max(1, jobs // setting.threads)), "--dist", "worksteal"]
        command = [sys.executable, "-m", "pytest", *side_by_side, *(tests or NUMERIC)]
        status = subprocess.run(command, cwd=ROOT, env=environment).returncode
        print(f"{'FAILED' if status else 'passed'} {name} ({time.perf_counter() - begin:.0f} s)", flush=True)
        failed, passed = failed + [str(setting)] * bool(status), passed + (not status)
    print(f"{passed} settings passed, {len(failed)} failed", *failed, sep="\n  ")
    sys.exit(bool(failed) or not passed)


if __name__ == "__main__":
    tyro.cli(main)
