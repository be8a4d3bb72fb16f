"""One process, one GPU: a worker takes the first graphics card that no other worker of this machine holds.

A card is held by a lock on a file that the system lets go of when the process ends, however it ends. So it does not matter
who started the worker (a sweep, Dask, Slurm, another user's shard of the same user): two never share a card, and the
replacement of a lost worker takes the card that was freed.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from spectral_jepa._validation import InputError, needs_package

VISIBLE = "CUDA_VISIBLE_DEVICES"
_held: dict[str, Any] = {}


def visible_gpus() -> list[str]:
    """Names of the graphics cards that this process may use.

    Returns
    -------
    list of str
        Those of ``CUDA_VISIBLE_DEVICES`` where that is set, as Slurm does; else what ``nvidia-smi`` lists.

    Examples
    --------
    >>> before = os.environ.get("CUDA_VISIBLE_DEVICES")
    >>> os.environ["CUDA_VISIBLE_DEVICES"] = "2,3"
    >>> visible_gpus()
    ['2', '3']
    >>> if before is None:
    ...     del os.environ["CUDA_VISIBLE_DEVICES"]
    ... else:
    ...     os.environ["CUDA_VISIBLE_DEVICES"] = before
    """
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip() not in ("", "-1")]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=30
        )
        if listed.returncode == 0:
            return listed.stdout.split()
    return []


def claim_gpu() -> str:
    """Take a graphics card for this process, until it ends; the second call gives the same one.

    Returns
    -------
    str
        Its name, the only one left in ``CUDA_VISIBLE_DEVICES``. Call it before CUDA starts: that is read once.

    Raises
    ------
    InputError
        This machine has none, or every one is held by another worker.
    """
    if _held:
        return next(iter(_held))
    with needs_package("a GPU for each worker"):
        from filelock import FileLock, Timeout
    names = visible_gpus()
    folder = Path(tempfile.gettempdir()) / f"spectral-jepa-gpus-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    for name in names:
        lock = FileLock(folder / f"{name.replace('/', '_')}.lock", timeout=0)
        with contextlib.suppress(Timeout):
            lock.acquire()
            _held[name] = lock
            os.environ[VISIBLE] = name
            return name
    have = f"all {len(names)} of {', '.join(names)} are held by other workers" if names else "this machine shows none"
    raise InputError(f"a worker found no GPU ({have}), expected one for each: lower n_jobs (--n-jobs), or leave --gpu out")


def cell_device() -> str:
    """Where a cell computes: "cuda" in a worker that holds a card, else "cpu", whatever else the machine has.

    Returns
    -------
    str
        For ``torch.device``.

    Examples
    --------
    >>> cell_device()
    'cpu'
    """
    return "cuda" if _held else "cpu"
