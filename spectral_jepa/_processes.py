"""Processes that end as they should: a stopped command says one line, and workers never outlive their parent.

The package imports this module first and it loads nothing heavy, so that a command that is stopped while it is still
loading is quiet too.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from types import FrameType
from typing import Any

STOPPED = "spectral-jepa: stopped; what was finished is kept, and the same command goes on from there"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# How long a worker may outlive its parent.
WATCH_SECONDS = 1.0


class Stop(KeyboardInterrupt):
    """A signal that stops the command.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Generator[list[int]]:
    """While the block runs, SIGINT and SIGTERM raise :class:`Stop`; a second one ends the process at once.

    Yields
    ------
    list of int
        The signals that came: what is raised may be swallowed or turned into another error on its way.

    Examples
    --------
    >>> with stoppable() as came:
    ...     try:
    ...         signal.raise_signal(signal.SIGTERM)
    ...     except Stop as stop:
    ...         print(stop.number == signal.SIGTERM == came[0])
    True
    """
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if came:
            _end(number, frame)
        came.append(number)
        raise Stop(number)

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def worker_settings() -> dict[str, Any]:
    """Options of ``joblib.Parallel`` under which its processes end when this one does.

    Examples
    --------
    >>> sorted(worker_settings())
    ['initargs', 'initializer']
    """
    return {"initializer": follow_parent, "initargs": (os.getpid(),)}


def follow_parent(parent: int) -> None:
    """End this process when its parent does, whatever ended that.

    Parameters
    ----------
    parent : int
        Process id of the one that started this one.

    Examples
    --------
    >>> follow_parent(os.getppid())
    """

    # Not the system's signal on a parent's death: that comes when the thread ends that started the worker.
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="follow-parent", daemon=True).start()


@contextlib.contextmanager
def deaf_children() -> Generator[None]:
    """Processes started in the block do not hear Ctrl-C, which a terminal sends to all: their parent does, and ends them.

    Examples
    --------
    >>> with deaf_children():
    ...     signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    True
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # Python 3.11 lets the signals through again where it starts this helper
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_workers() -> None:
    """End the workers of joblib that are left: one that is still starting prints a page when its parent ends first.

    After joblib has ended those it knows: killed before that, they leave semaphores, of which its helper warns.
    """
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("popen_loky" in word for word in child.cmdline()):
                child.kill()


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(128 + number)


def _is_command() -> bool:
    """Whether this process is the command, and not a program that uses the library."""
    words = sys.orig_argv
    module = ("-m", "spectral_jepa") in itertools.pairwise(words)
    return module or os.path.basename(sys.argv[0] if sys.argv else "").split(".")[0] == "spectral-jepa"


# Until main() runs nothing is held, and an error raised within an import prints dozens of lines.
if _is_command() and threading.current_thread() is threading.main_thread():
    for _number in SIGNALS:
        if signal.getsignal(_number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(_number, _end)
