"""Time and memory against size on one machine, each with its exponent and where it bends.

    python benchmarks/growth.py [--preset quick | full] [--only states transitions analysis cells frames] [--root FOLDER]
                                [--output reference/growth.csv]

states: a sparse random world of so many states, four actions, five successors: made, its co-occurrence, its four largest
singular values to 1e-6. transitions: a Parquet log of 10,000 states counted in chunks. analysis: the verdict on such a log,
counted already. cells: a sweep of cells that do nothing, in one process. frames: Two-Room episodes drawn, written as HDF5,
and unpacked as training does.

Every point is a process of its own, so that its peak memory is its own; making the log is not part of its counting. Seconds
are processor time, children included: on a busy machine a clock on the wall says more about the others. The exponent is the
slope of log(time) over log(size) between neighbours; below the bend a fixed cost hides it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

SIZES = {
    "full": {
        "states": [10**3, 10**4, 10**5, 10**6],
        "transitions": [10**4, 10**5, 10**6, 10**7, 10**8],
        "analysis": [10**5, 10**6, 10**7],
        "cells": [10**2, 10**3, 10**4, 10**5],
        "frames": [10**3, 10**4, 10**5],
    },
    "quick": {
        "states": [300, 1000],
        "transitions": [10**4, 10**5],
        "analysis": [10**4],
        "cells": [10, 100],
        "frames": [500],
    },
}
UNITS = {"states": "states", "transitions": "rows", "analysis": "rows", "cells": "cells", "frames": "frames"}
LOG_STATES, LOG_ACTIONS, BRANCHING = 10_000, 4, 5
# Above this exponent something grows faster than linearly; the bend is where the fixed cost is half of the time.
LINEAR = 1.1


def write_log(path, n_rows):
    """A random log, written in row groups of a million: five successors for each pair."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    successors = rng.integers(0, LOG_STATES, (LOG_STATES, LOG_ACTIONS, BRANCHING))
    schema = pa.schema([(name, pa.int32()) for name in ("state", "action", "next_state")])
    with pq.ParquetWriter(path, schema) as writer:
        for begin in range(0, n_rows, 2**20):
            n = min(2**20, n_rows - begin)
            state, action = rng.integers(0, LOG_STATES, n), rng.integers(0, LOG_ACTIONS, n)
            columns = (state, action, successors[state, action, rng.integers(0, BRANCHING, n)])
            writer.write_table(pa.table([pa.array(column.astype(np.int32)) for column in columns], schema))


def states(size, folder):
    from spectral_jepa.cooccurrence import CoOccurrence
    from spectral_jepa.generators import make_garnet
    from spectral_jepa.linalg import largest_singular_triplets

    exact = CoOccurrence.exact(make_garnet(size, 4, branching=5, sparse=True, seed=0))
    values = largest_singular_triplets(exact.stacked, 4, tolerance=1e-6)[1]
    assert abs(values[0] - 1) < 1e-6


def transitions(size, folder):
    from spectral_jepa.logs import count_log

    counts = count_log(folder / f"log-{size}.parquet")
    assert len(counts) == size


def analysis(size, folder):
    from spectral_jepa.logs import analyze, count_log

    counts = count_log(folder / f"log-{size}.parquet")
    before = time.process_time()
    analyze(counts, dims=[1, 2, 4, 8])
    return time.process_time() - before


def nothing(n):
    return {"n": n}


def cells(size, folder):
    from spectral_jepa.sweep import run_sweep

    table = run_sweep(nothing, [{"n": n} for n in range(size)], folder / f"cells-{size}", n_jobs=1, progress=False)
    assert len(table) == size


def frames(size, folder):
    from spectral_jepa.pixels.data import open_dataset
    from spectral_jepa.pixels.data.collect import collect
    from spectral_jepa.pixels.presets import changed, preset

    config = preset("small")
    steps = config.data.max_steps
    config = changed(config, {"data.n_episodes": max(3, size // steps)})
    path = collect(config.data, folder / f"frames-{size}.h5", n_jobs=1, progress=False)
    open_dataset(path, image_size=config.model.image_size, progress=False)


MEASURED = {"states": states, "transitions": transitions, "analysis": analysis, "cells": cells, "frames": frames}


def run_one(kind, size, folder):
    """In a process of its own."""
    began = time.perf_counter(), time.process_time()
    own = MEASURED[kind](size, folder)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() - began[1] + children.ru_utime + children.ru_stime
    # Not the system's count of this process, which begins with that of the one that started it.
    own_peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    peak = max(int(own_peak.split()[1]), children.ru_maxrss)
    seconds = {"cpu_seconds": own or cpu, "wall_seconds": time.perf_counter() - began[0]}
    print(json.dumps(seconds | {"peak_gib": peak / 2**20}))


def measure(kind, size, folder):
    """One row of the table."""
    if kind in ("transitions", "analysis") and not (folder / f"log-{size}.parquet").exists():
        write_log(folder / f"log-{size}.parquet", size)
    command = [sys.executable, __file__, "--one", kind, str(size), "--root", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{kind} of {size} failed: {done.stderr.strip().splitlines()[-1]}")
    return {"kind": kind, "size": size, **json.loads(done.stdout.splitlines()[-1])}


def exponents(rows):
    """The table with local exponents, and a line for each kind: its last exponent, and where the fixed cost ends."""
    table, said = pd.DataFrame(rows), []
    for kind, part in table.groupby("kind", sort=False):
        steps = np.log(part["size"]).diff()
        for column, name in (("cpu_seconds", "time_exponent"), ("peak_gib", "memory_exponent")):
            table.loc[part.index, name] = np.log(part[column]).diff() / steps
        if len(part) < 2:
            continue
        # Time is a + b * size: the bend is where b * size passes a.
        first, end = part.iloc[0], part.iloc[-1]
        slope = max((end["cpu_seconds"] - first["cpu_seconds"]) / (end["size"] - first["size"]), 1e-12)
        fixed = max(first["cpu_seconds"] - slope * first["size"], 0.0)
        last = table.loc[part.index].iloc[-1]
        faster = "faster than linear" if last["time_exponent"] > LINEAR else "linear or less"
        said.append(
            f"{kind}: exponent {last['time_exponent']:.2f} of time ({faster}) and {last['memory_exponent']:.2f} of memory "
            f"at the end; the fixed cost of {fixed:.2g} s is passed at {fixed / slope:.2g} {UNITS[kind]}; "
            f"{1e6 * last['cpu_seconds'] / last['size']:.3g} microseconds each at {last['size']:.0e}"
        )
    return table, said


def chosen_sizes(arguments, kind):
    return [size for size in SIZES[arguments.preset][kind] if arguments.sizes is None or size in arguments.sizes]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--preset", choices=list(SIZES), default="quick")
    parser.add_argument("--only", nargs="+", choices=list(MEASURED), default=list(MEASURED))
    parser.add_argument("--sizes", nargs="+", type=int, help="only these of the preset's sizes")
    parser.add_argument("--root", type=Path, help="where the files go")
    parser.add_argument("--output", type=Path, help="write the table here as CSV, after every point")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one[0], int(arguments.one[1]), arguments.root)
        return
    rows = []
    if arguments.output and arguments.output.exists():  # points that are not asked for stay
        old = pd.read_csv(arguments.output).drop(columns=["time_exponent", "memory_exponent"], errors="ignore")
        asked = [(kind, size) for kind in arguments.only for size in chosen_sizes(arguments, kind)]
        rows = [row for row in old.to_dict("records") if (row["kind"], row["size"]) not in asked]
    with tempfile.TemporaryDirectory(dir=arguments.root) as folder:
        for kind in arguments.only:
            for size in chosen_sizes(arguments, kind):
                rows.append(measure(kind, size, Path(folder)))
                rows.sort(key=lambda row: (list(MEASURED).index(row["kind"]), row["size"]))
                print(next(row for row in rows if (row["kind"], row["size"]) == (kind, size)), flush=True)
                if arguments.output:
                    exponents(rows)[0].to_csv(arguments.output, index=False, float_format="%.4g")
    table, said = exponents(rows)
    print(table.to_string(index=False, float_format="{:.3g}".format))
    print("\n".join(said))


if __name__ == "__main__":
    main()
