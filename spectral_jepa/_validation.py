"""One-sentence errors: what, where, expected, got, and what to do."""

from __future__ import annotations

import errno
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
ROW_SUM_TOLERANCE = 1e-8


class InputError(ValueError):
    """A mistake in what the caller passed in; its message is one sentence that says how to mend it."""


def require_memory(shape: Sequence[int], what: str, instead: str, copies: float = 1) -> None:
    """Refuse a dense float64 array that would not fit, with the copies held beside it, in the memory that is free now.

    Raises
    ------
    InputError
        Saying how many GiB it needs, how many are free, and what to do instead.
    """
    needed = copies * 8 * math.prod(int(n) for n in shape) / 2**30
    free = psutil.virtual_memory().available / 2**30
    if needed > 0.8 * free:
        size = " x ".join(str(int(n)) for n in shape)
        held = "" if copies == 1 else f" with {copies - 1:g} more of its size"
        raise InputError(
            f"{what} of shape {size} needs {needed:.1f} GiB as a dense array{held} but only {free:.1f} GiB are free: "
            f"{instead}"
        )


def as_float(name: str, value: ArrayLike, shape: Sequence[int | None]) -> Array:
    """Convert to a float64 array of the given shape (None: any length) without NaN or infinities."""
    array = np.asarray(value, dtype=np.float64)
    matches = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not matches:
        expected = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise InputError(f"{name} has shape {array.shape}, expected {expected}: check the order of its axes")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{name}{list(where)} is {array[where]}, expected a finite number: remove or impute it first")
    return array


def as_distribution(name: str, value: ArrayLike, size: int) -> Array:
    """Convert to a probability vector of the given size; entries must be >= 0 and sum to 1."""
    array = as_float(name, value, (size,))
    if (array < 0).any():
        where = int(np.argmin(array))
        raise InputError(f"{name}[{where}] is {array[where]:.6g}, expected a probability >= 0: clip or recompute it")
    total = float(array.sum())
    if abs(total - 1) > ROW_SUM_TOLERANCE:
        raise InputError(f"{name} sums to {total:.10g}, expected 1: divide it by its sum")
    return array


def check_transition_rows(rows: Array | sp.csr_array, action: int) -> None:
    """Check that each row of one action's S x S matrix is a probability vector; name the first that is not."""
    data = np.asarray(rows.data if sp.issparse(rows) else rows)
    if not np.isfinite(data).all() or (data < 0).any():
        coo = sp.coo_array(rows)
        bad = np.flatnonzero(~np.isfinite(coo.data) | (coo.data < 0))[0]
        state, successor = int(coo.coords[0][bad]), int(coo.coords[1][bad])
        raise InputError(
            f"transition[action {action}, state {state}, next state {successor}] is {coo.data[bad]:.6g}, "
            "expected a probability >= 0: clip or recompute that entry"
        )
    sums = np.asarray(rows.sum(axis=1)).ravel()
    bad_rows = np.flatnonzero(np.abs(sums - 1) > ROW_SUM_TOLERANCE)
    if bad_rows.size:
        state = int(bad_rows[0])
        raise InputError(
            f"transition[action {action}, state {state}] sums to {sums[state]:.10g}, expected 1 "
            f"({bad_rows.size} of {sums.size} rows of this action are off): divide each row by its sum"
        )


def check_count(name: str, value: Any, low: int = 1, high: int | None = None, why: str = "") -> int:
    """Check that an integer lies in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InputError(f"{name} is {value!r}, expected a whole number: pass an int")
    if value < low or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"between {low} and {high}"
        reason = f" ({why})" if why else ""
        raise InputError(f"{name} is {value}, expected {span}{reason}: choose one in that range")
    return int(value)


def check_choice(name: str, value: Any, known: Sequence[str]) -> str:
    """Check that a string is one of the known names; the message lists them."""
    if value not in known:
        raise InputError(f"{name} is {value!r}, expected one of {', '.join(map(repr, known))}: choose one of these")
    return str(value)


def as_number(name: str, value: Any) -> float:
    """Convert to a float, with one sentence where that makes no sense."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!r}, expected a number: pass an int or a float") from None


def check_fraction(name: str, value: Any) -> float:
    """Check that a number lies in [0, 1]."""
    number = as_number(name, value)
    if not 0 <= number <= 1:
        raise InputError(f"{name} is {number:.6g}, expected a number between 0 and 1: choose one in that range")
    return number


def check_indices(name: str, value: ArrayLike, size: int, what: str) -> NDArray[np.int64]:
    """Convert to integer ids in [0, size); name the first that is out of range."""
    array = np.asarray(value)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{name} holds {array.dtype} values, expected whole-number ids: number the labels first (see spectral_jepa.logs)"
        )
    array = array.astype(np.int64)
    bad = np.flatnonzero((array < 0) | (array >= size))
    if bad.size:
        where = int(bad[0])
        raise InputError(
            f"{name}[{where}] is {array.flat[where]}, expected a {what} between 0 and {size - 1}: "
            f"check the ids or the number of {what}s"
        )
    return array


def as_weights(name: str, value: ArrayLike | None, size: int, default: Array | None = None) -> Array:
    """Read "some states" as a probability vector: None, integer ids, a boolean mask, or float weights.

    Integer ids and masks mean the uniform law on that subset; repeated ids count once.
    """
    if value is None:
        return np.full(size, 1 / size) if default is None else default
    array = np.asarray(value)
    if array.dtype == bool:
        array = np.flatnonzero(as_mask(name, array, size))
    if np.issubdtype(array.dtype, np.integer):
        ids = np.unique(check_indices(name, np.atleast_1d(array), size, "state"))
        if not ids.size:
            raise InputError(f"{name} selects no state, expected at least one: pass ids, a mask or weights")
        weights = np.zeros(size)
        weights[ids] = 1 / ids.size
        return weights
    return as_distribution(name, array, size)


def as_mask(name: str, value: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Check the length of a boolean mask over states."""
    if value.shape != (size,):
        raise InputError(f"{name} is a mask of shape {value.shape}, expected ({size},): one entry a state")
    return value


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that nobody can write to, so that a frozen value stays what it was when checked.

    An array that the caller could still change, itself or through its base, is copied.
    """
    owner = array.base if isinstance(array.base, np.ndarray) else array
    if array.flags.writeable or owner.flags.writeable:
        array = array.copy()
    array.flags.writeable = False
    return array


def first_line(error: BaseException) -> str:
    """What an error says, in one line without its full stop; its type where it says nothing.

    Examples
    --------
    >>> first_line(ValueError("no such column.\\nA hint")), first_line(KeyError())
    ('no such column', 'KeyError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


# What to expect of the system, and what to do, by what it says.
_SYSTEM = {
    (errno.ENOSPC, errno.EDQUOT): "expected room on the disk: free some, or work on another",
    (errno.EACCES, errno.EPERM, errno.EROFS): "expected permission: ask for it, or run the command in a folder of your own",
    (errno.ENAMETOOLONG,): "expected a name that the system takes: shorten it",
    (errno.ENOTDIR, errno.EEXIST, errno.EISDIR): "expected a file where a file is named and a folder where a folder is: "
    "move away what is there, or choose another path",
    (errno.EFBIG,): "expected files to be allowed to grow: raise the limit (ulimit -f)",
    (errno.EMFILE, errno.ENFILE): "expected room for one more open file: raise the limit (ulimit -n)",
    (errno.EIO,): "expected a disk that works: look at it before anything else",
    (errno.ENOENT,): "expected it to be there: check the path",
    (errno.ENOMEM,): "expected memory: close other programs, choose something smaller, or raise the limit (ulimit -v)",
}


def system_problem(error: BaseException) -> str | None:
    """What the system refused, in one sentence with the path and a remedy; None where the error is not the system's.

    Examples
    --------
    >>> system_problem(OSError(errno.ENOSPC, "No space left on device", "results/table.csv"))
    'results/table.csv: no space left on device, expected room on the disk: free some, or work on another'
    >>> system_problem(ValueError("no")) is None
    True
    """
    text = first_line(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate memory" in text):
        said = "" if text == "MemoryError" else f" ({text})"
        return f"the memory is full{said}, {_SYSTEM[(errno.ENOMEM,)]}"
    if not isinstance(error, OSError):
        return None
    names = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    said = error.strerror or text
    said = said[:1].lower() + said[1:]
    remedies = [remedy for numbers, remedy in _SYSTEM.items() if error.errno in numbers]
    remedy = remedies[0] if remedies else "expected the system to do it: mend that and give the same command again"
    return f"{names or 'the system refused'}: {said.splitlines()[0]}, {remedy}"
