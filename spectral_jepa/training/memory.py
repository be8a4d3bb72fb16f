"""Memory that a training step frees is kept for the next one.

Each step on a CPU asks for the same tens of megabytes again. The C library gives them back to the system in between, which
clears every page anew: a fifth of a step of the ``small`` pixel presets.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Names of malloc.h, and what they are set to: nothing is given back, whatever its size.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 1 << 30
# Where the C library's own thresholds end up with large arrays.
_USUAL_TRIM, _USUAL_MMAP = 64 << 20, 32 << 20
_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Inside the block the C library keeps what is freed; behind it, it gives that back.

    Yields
    ------
    bool
        Whether it does: only glibc has the setting, and one of the caller's own, by the environment variables
        ``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_`` or ``GLIBC_TUNABLES``, is left as it is.

    Notes
    -----
    The peak of the process's memory stays what it was. The setting is one of the whole process: other threads have it, too.

    Examples
    --------
    >>> with kept_memory() as kept:
    ...     isinstance(kept, bool)
    True
    """
    library: Any = ctypes.CDLL(None) if os.name == "posix" else None
    kept = hasattr(library, "mallopt") and hasattr(library, "malloc_trim") and not any(name in os.environ for name in _OWN)
    if kept:
        library.mallopt(_M_TRIM_THRESHOLD, _KEEP)
        library.mallopt(_M_MMAP_THRESHOLD, _KEEP)
    try:
        yield kept
    finally:
        if kept:
            library.mallopt(_M_TRIM_THRESHOLD, _USUAL_TRIM)
            library.mallopt(_M_MMAP_THRESHOLD, _USUAL_MMAP)
            library.malloc_trim(0)
