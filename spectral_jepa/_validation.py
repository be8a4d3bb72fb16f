"""One-sentence errors: what, where, expected, got, and what to do."""

from __future__ import annotations

import contextlib
import difflib
import errno
import math
import numbers
import os
import re
import sys
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._late import sparse as sp

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

Array = NDArray[np.float64]
ROW_SUM_TOLERANCE = 1e-8


class InputError(ValueError):
    """A mistake in what the caller passed in; its message is one sentence that says how to mend it."""


class MissingPackageError(InputError, ModuleNotFoundError):
    """A package that this needs is not installed here; the message says which, for what, and how to get it."""


# Share of the free memory that one array may take: what is computed beside it needs room, too.
MEMORY_SHARE = 0.8
CGROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that this process can still take: the least of the machine's, its container's (cgroup) and its ulimit's.

    Notes
    -----
    A few small files under /proc and /sys. Page cache of a cgroup counts as free, as it does for the machine. Without
    psutil (in a browser) the system itself is asked; what it does not say bounds nothing but what it can address.
    """
    try:
        import psutil
    except ModuleNotFoundError:
        available, (virtual, data) = _system_memory(), _process_memory()
    else:
        used = psutil.Process().memory_info()
        available, virtual, data = psutil.virtual_memory().available, used.vms, getattr(used, "data", 0)
    bounds = [available, *_cgroup_bounds(CGROUPS)]
    if resource is not None:
        for kind, taken in ((resource.RLIMIT_AS, virtual), (resource.RLIMIT_DATA, data)):
            limit = resource.getrlimit(kind)[0]
            if limit != resource.RLIM_INFINITY:
                bounds.append(limit - taken)
    return max(0, min(bounds))


def _system_memory(information: Path = Path("/proc/meminfo")) -> int:
    """Bytes that the machine has free, by the system's own word."""
    with contextlib.suppress(OSError, ValueError):
        if found := re.search(r"^MemAvailable:\s+(\d+) kB", information.read_text(), re.MULTILINE):
            return int(found[1]) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):
        pages = os.sysconf("SC_AVPHYS_PAGES")
        if pages > 0:
            return pages * os.sysconf("SC_PAGE_SIZE")
    return sys.maxsize


def _process_memory(information: Path = Path("/proc/self/statm")) -> tuple[int, int]:
    """Virtual memory and data of this process in bytes; nothing where the system does not say."""
    with contextlib.suppress(AttributeError, OSError, ValueError, IndexError):
        pages = [int(word) for word in information.read_text().split()]
        return pages[0] * os.sysconf("SC_PAGE_SIZE"), pages[5] * os.sysconf("SC_PAGE_SIZE")
    return 0, 0


@contextlib.contextmanager
def needs_package(what: str, extra: str = "") -> Generator[None]:
    """Imports in the block are those of packages that not every installation has: say which, for what, and how to get it.

    Parameters
    ----------
    what : str
        What is being done, in words.
    extra : str
        The extra that brings the package; "" where the package itself does.

    Raises
    ------
    MissingPackageError
        A package is not installed.

    Examples
    --------
    >>> with needs_package("flying"):
    ...     import no_such_wings
    Traceback (most recent call last):
    spectral_jepa._validation.MissingPackageError: flying needs the package no_such_wings, which is not installed, ...
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        wheel = f"spectral-jepa[{extra}]" if extra else "spectral-jepa"
        raise MissingPackageError(
            f"{what} needs the package {missing}, which is not installed, expected it here: pip install '{wheel}'"
        ) from None


def _cgroup_bounds(root: Path, membership: Path = Path("/proc/self/cgroup")) -> list[int]:
    """What each limit of the control groups above this process leaves, version 2 or 1."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        top, limit, used = (
            (root, "memory.max", "memory.current")
            if controllers == ""
            else (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
        )
        own = top / name.lstrip("/")
        # In a container the path is often that of the host: its own limits then lie at the top.
        for folder in dict.fromkeys([own, *[parent for parent in own.parents if parent.is_relative_to(top)], top]):
            try:
                most, now = (folder / limit).read_text().strip(), int((folder / used).read_text())
                cache = re.search(r"^(?:total_)?inactive_file (\d+)", (folder / "memory.stat").read_text(), re.MULTILINE)
            except (OSError, ValueError):
                continue
            if most != "max":
                found.append(int(most) - now + (int(cache[1]) if cache else 0))
    return found


def require_memory(shape: Sequence[int], what: str, instead: str, *, copies: float = 1) -> None:
    """Refuse float64 arrays that would not fit in the memory that is free now.

    Parameters
    ----------
    shape : ints
    what : str
        The array, in words.
    instead : str
        What to do.
    copies : float
        How many arrays of this shape are held at once.

    Raises
    ------
    InputError
        Saying how many GiB it needs, how many are free and which share of them it may take, and what to do instead.
    """
    needed = 8 * math.prod(int(n) for n in shape) * copies
    if needed < WORTH_ASKING:
        return
    refuse_memory(needed, free_memory(), f"{what} of shape {shown_shape(shape)}", instead)


# Below this many bytes nobody asks the system how much is free.
WORTH_ASKING = 2**24


def refuse_memory(needed: float, free: float, what: str, instead: str) -> None:
    """Raise if so many bytes are more than the share of the free ones that one array may take.

    Raises
    ------
    InputError
        With both numbers, the share and what to do instead.
    """
    if needed > MEMORY_SHARE * free:
        raise InputError(
            f"{what} needs {needed / 2**30:.1f} GiB but only {free / 2**30:.1f} GiB are free, of which "
            f"{MEMORY_SHARE:.0%} may be taken: {instead}"
        )


def shown_shape(shape: Sequence[int]) -> str:
    """A shape in words, 3 x 2; of numbers with many digits only their size."""
    return " x ".join(f"{int(n)}" if abs(int(n)) < 10**15 else "more than 10^15" for n in shape)


def shown(value: Any) -> str:
    """A value in a few words, for a message.

    Examples
    --------
    >>> shown("no"), shown(10**50), shown(np.eye(2)), shown([1, 2])
    ("'no'", 'a whole number of 167 bits', 'an array of shape (2, 2)', 'a list')
    """
    if isinstance(value, int) and abs(value) > 10**30:
        return f"a whole number of {value.bit_length()} bits"
    if value is None or isinstance(value, (bool, int, float, complex, np.number)):
        return repr(value)
    if isinstance(value, (str, bytes)):
        return repr(value) if len(value) <= 40 else f"{value[:40]!r}..."
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        kind = "an array" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        return f"{kind} of shape {tuple(value.shape)}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def as_array(name: str, value: Any, kinds: str = "biuf") -> NDArray[Any]:
    """Convert to an array of real numbers (or truth values), without dropping or guessing anything.

    Parameters
    ----------
    name : str
    value : array or lists
    kinds : str
        numpy's letters of the types that may come; what is more than numbers, the caller refuses in its own words.

    Raises
    ------
    InputError
        A masked array (its hidden entries would be used), complex numbers, dates, text, objects, lists of different
        lengths, sparse matrices, nothing at all.
    """
    if sp.issparse(value):
        raise InputError(f"{name} is a sparse matrix of shape {value.shape}, expected a dense array: call its toarray()")
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"{name} is a masked array, expected plain numbers: fill or drop its hidden entries first")
    if value is None or (isinstance(value, (str, bytes, Mapping)) and kinds == "biuf"):
        raise InputError(f"{name} is {shown(value)}, expected numbers: pass an array")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):
        raise InputError(f"{name} is ragged or not numeric, expected numbers: give all its rows one length") from None
    if array.dtype.kind not in kinds:
        held = f"holds {_kind_of(array)}" if array.dtype.names is None else "is a structured array"
        if array.dtype.kind == "O" and not array.ndim:
            held = f"is {shown(value)}"
        raise InputError(f"{name} {held}, expected real numbers: convert it first, so that nothing is lost unseen")
    return array


def _kind_of(array: NDArray[Any]) -> str:
    words = {"c": "complex numbers", "M": "dates", "m": "time spans", "U": "text", "S": "bytes", "O": "objects"}
    return words.get(array.dtype.kind, f"{array.dtype} values")


def check_finite(name: str, array: NDArray[Any], *, infinite: bool = False) -> None:
    """Refuse NaN, and infinities unless told otherwise; name the first."""
    if array.dtype.kind != "f":
        return
    good = ~np.isnan(array) if infinite else np.isfinite(array)
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        place = f"{name}{list(where)}" if where else name
        raise InputError(f"{place} is {array[where]}, expected a finite number: remove or impute it first")


def as_float(name: str, value: ArrayLike, shape: Sequence[int | None]) -> Array:
    """Convert to a float64 array of the given shape (None: any length) without NaN or infinities."""
    array = as_array(name, value).astype(np.float64, copy=False)
    matches = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not matches:
        expected = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise InputError(f"{name} has shape {array.shape}, expected {expected}: check the order of its axes")
    check_finite(name, array)
    return array


def as_model(name: str, value: Any, n_actions: int, n_states: int) -> Array | tuple[sp.csr_array, ...]:
    """Convert to transition models (..., A, S, S) of finite numbers, signed or not; sparse ones stay a tuple of CSR.

    Raises
    ------
    InputError
        Another shape than that of the world, NaN, or anything that is no array of numbers.
    """
    if isinstance(value, (tuple, list)) and len(value) and all(sp.issparse(rows) for rows in value):
        shapes = [rows.shape for rows in value]
        if shapes != [(n_states, n_states)] * n_actions:
            raise InputError(
                f"{name} has {len(value)} sparse matrices of shapes {sorted(set(shapes))}, expected {n_actions} of "
                f"({n_states}, {n_states}) as in the MDP: build both from the same spaces"
            )
        for action, rows in enumerate(value):
            check_finite(f"{name} of action {action}, entry ", as_array(name, rows.data))
        return tuple(sp.csr_array(rows) for rows in value)
    array = as_array(name, value).astype(np.float64, copy=False)
    if array.shape[-3:] != (n_actions, n_states, n_states):
        raise InputError(
            f"{name} has shape {array.shape}, expected (..., {n_actions}, {n_states}, {n_states}) as in the MDP: "
            "build both from the same spaces"
        )
    check_finite(name, array)
    return array


def check_type(name: str, value: Any, kind: type | tuple[type, ...], words: str) -> Any:
    """Check that a value is of a class; ``words`` say which."""
    if not isinstance(value, kind):
        raise InputError(f"{name} is {shown(value)}, expected {words}: pass one")
    return value


def check_flag(name: str, value: Any) -> bool:
    """Check that a value is True or False: text such as "no" would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} is {shown(value)}, expected True or False: pass one of the two")
    return bool(value)


def check_whole(name: str, value: Any) -> int:
    """Check that a value is a whole number, of any size and sign, and not True or False."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise InputError(f"{name} is {shown(value)}, expected a whole number: pass an int")
    return int(value)


def check_seed(name: str, value: Any, *, generator: bool = False) -> Any:
    """Check that a value can seed a generator: a whole number >= 0, or a numpy Generator where that is allowed.

    ``None`` is refused, because what it draws could not be drawn again.
    """
    if generator and isinstance(value, np.random.Generator):
        return value
    expected = f"a whole number >= 0{' or a numpy Generator' * generator}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 0:
        raise InputError(f"{name} is {shown(value)}, expected {expected}: pass {name.rpartition('.')[2]}=0")
    return int(value)


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
    number = check_whole(name, value)
    if number < low or (high is not None and number > high):
        span = f"at least {low}" if high is None else f"between {low} and {high}"
        reason = f" ({why})" if why else ""
        raise InputError(f"{name} is {shown(number)}, expected {span}{reason}: choose one in that range")
    return number


def check_choice(name: str, value: Any, known: Sequence[str]) -> str:
    """Check that a string is one of the known names; the message lists them and says which is nearest."""
    if not isinstance(value, str) or value not in known:
        listed = f"{', '.join(map(repr, known))}{nearest(value, known)}"
        raise InputError(f"{name} is {shown(value)}, expected one of {listed}: choose one of these")
    return str(value)


def nearest(value: Any, known: Iterable[Any]) -> str:
    """Which of the known names somebody may have meant, to be put behind the list of them; nothing where none is near.

    Examples
    --------
    >>> nearest("transistion", ["dot", "transition"]), nearest("Four-Rooms", ["four_rooms"]), nearest("x", ["dot"])
    (" (nearest: 'transition')", " (nearest: 'four_rooms')", '')
    """
    names = {_plain_name(name): str(name) for name in known}
    found = difflib.get_close_matches(_plain_name(value), names, n=1) if isinstance(value, str) else []
    return f" (nearest: {names[found[0]]!r})" if found else ""


def _plain_name(name: Any) -> str:
    return str(name).lower().replace("-", "_").replace(" ", "_")


def as_number(name: str, value: Any) -> float:
    """Convert a real number to a float; text, True, NaN and complex numbers are none."""
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise InputError(f"{name} is {shown(value)}, expected a number: pass an int or a float")
    try:
        number = float(value)
    except OverflowError:
        raise InputError(
            f"{name} is {shown(value)}, expected a number that a float can hold: choose a smaller one"
        ) from None
    if math.isnan(number):
        raise InputError(f"{name} is nan, expected a number: compute it from finite ones")
    return number


def check_positive(name: str, value: Any) -> float:
    """Check that a number is finite and > 0."""
    number = as_number(name, value)
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"{name} is {number:.6g}, expected a finite number > 0: choose one in that range")
    return number


def check_nonnegative(name: str, value: Any, *, infinite: bool = False) -> float:
    """Check that a number is >= 0, and finite unless told otherwise."""
    number = as_number(name, value)
    if not (number >= 0 and (infinite or math.isfinite(number))):
        kind = "number" if infinite else "finite number"
        raise InputError(f"{name} is {number:.6g}, expected a {kind} >= 0: choose one in that range")
    return number


def check_tensor(name: str, value: Any, axes: str, *, like: Any = None) -> Any:
    """Check that a torch tensor holds floats on the axes named, and has the type and device of another one.

    Parameters
    ----------
    name : str
    value : Tensor
    axes : str
        Such as "... N D" (that many or more) or "P 4"; a number is the length of its axis.
    like : Tensor, optional

    Returns
    -------
    Tensor
        The value.

    Raises
    ------
    InputError
        Something else than a tensor, whole or complex numbers, other axes, no entry, another type or device.
    """
    if not hasattr(value, "is_floating_point"):
        raise InputError(f"{name} is {shown(value)}, expected a tensor of floats ({axes.replace(' ', ', ')}): convert it")
    wanted = axes.split()
    some = wanted[0] == "..."
    wanted = wanted[some:]
    right = value.ndim >= len(wanted) if some else value.ndim == len(wanted)
    sizes = zip(wanted[::-1], tuple(value.shape)[::-1], strict=False)
    right = right and all(not axis.isdigit() or int(axis) == n for axis, n in sizes)
    if not (right and value.is_floating_point() and value.numel()):
        raise InputError(
            f"{name} has shape {tuple(value.shape)} and type {value.dtype}, expected floats ({axes.replace(' ', ', ')}), at "
            "least one: check the order of its axes"
        )
    if like is not None and (value.dtype != like.dtype or value.device != like.device):
        raise InputError(
            f"{name} is {value.dtype} on {value.device}, expected {like.dtype} on {like.device} as what it goes with: "
            "convert one of them"
        )
    return value


def check_device(name: str, value: Any) -> Any:
    """Check that torch can compute on a device of this machine; the error gives torch's reason."""
    with needs_package("computing on a device"):
        torch = import_module("torch")  # by name: the theory half loads no torch
    if not isinstance(value, (str, torch.device)):
        raise InputError(f"{name} is {shown(value)}, expected a device: pass 'cpu' or 'cuda'")
    try:
        torch.ones(1, device=value).add(1).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError, ModuleNotFoundError) as error:
        reason = first_line(error)
        known = "expected a device of this machine"
        raise InputError(
            f"{name} is {str(value)!r}, which torch cannot use here ({reason}), {known}: pass 'cpu' or leave it out"
        ) from None
    return value


def check_fraction(name: str, value: Any) -> float:
    """Check that a number lies in [0, 1]."""
    number = as_number(name, value)
    if not 0 <= number <= 1:
        raise InputError(f"{name} is {number:.6g}, expected a number between 0 and 1: choose one in that range")
    return number


def check_indices(name: str, value: ArrayLike, size: int, what: str) -> NDArray[np.int64]:
    """Convert to integer ids in [0, size); name the first that is out of range."""
    array = as_array(name, value, "biufUSOcmM")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{name} holds {array.dtype} values, expected whole-number ids: number the labels first (see spectral_jepa.logs)"
        )
    high = array.max(initial=0)
    array = array.astype(np.int64) if high < 2**63 else np.minimum(array, 2**63 - 1).astype(np.int64)
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
    array = as_array(name, value)
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


def as_labels(name: str, labels: Any, size: int) -> tuple[Any, ...] | None:
    """Read what the ids stand for as a tuple: one label for each id, none of them twice."""
    if labels is None:
        return None
    if not isinstance(labels, (Sequence, np.ndarray)) or isinstance(labels, (str, bytes)):
        raise InputError(f"{name} is {shown(labels)}, expected one label for each of the {size} ids: pass a tuple")
    entries = tuple(labels.tolist() if isinstance(labels, np.ndarray) else labels)
    if len(entries) != size:
        raise InputError(f"{name} has {len(entries)} entries, expected {size}: give one label for each id")
    for entry in entries:
        try:
            hash(entry)
        except TypeError:
            raise InputError(
                f"{name} holds a label of type {type(entry).__name__}, expected labels that can be looked up (text, "
                "numbers or tuples): make it a tuple"
            ) from None
    different = len(set(entries))
    if different < size:
        raise InputError(f"{name} repeats a label, expected {size} different ones: make each one unique")
    return entries


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
    """The first sentence of what an error says, in one line without its full stop; its type where it says nothing.

    Examples
    --------
    >>> first_line(ValueError("no such column.\\nA hint")), first_line(KeyError())
    ('no such column', 'KeyError')
    >>> first_line(OSError("Magic bytes not found. Either the file is damaged or none."))
    'Magic bytes not found'
    """
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.split(r"[.!?] (?=[A-Z])", line)[0].rstrip(".")


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside this package that led here, however many of our functions and wrappers lie between.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warn_user("the table is old")
    >>> str(caught[0].message)
    'the table is old'
    """
    level, frame = 2, sys._getframe(1)
    # By the module, not by the file: what a dataclass generates has no file.
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "spectral_jepa":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


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
