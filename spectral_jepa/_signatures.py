"""What a signature says is checked: one decorator reads the annotations and refuses arguments of another kind.

``dim: int`` is then a whole number and not True, ``shared: bool`` is not "no", ``discount: float`` is not NaN, an array
holds finite real numbers (no masked, complex, date, text or object array, which numpy would convert in silence or refuse in
its own words), ``exact: CoOccurrence`` is one, and a seed can seed. Ranges and shapes stay with the function, which knows
them.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from spectral_jepa._validation import (
    InputError,
    as_array,
    as_number,
    check_device,
    check_finite,
    check_flag,
    check_seed,
    check_type,
    check_whole,
    shown,
)

F = TypeVar("F", bound=Callable[..., Any])


class _Numbers:
    """Stands for an array of numbers of any type while annotations are read."""


class _Floats(_Numbers):
    """Stands for an array that becomes float64."""


class _Plain:
    """Stands for jaxtyping's types: the array type itself, without its shape."""

    def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
        return item[0]


# Names in annotations that mean more than the type they are short for.
NAMES: dict[str, Any] = {"ArrayLike": _Numbers, "Array": _Floats, "Float": _Plain, "Int": _Plain, "Bool": _Plain}
# Containers of matrices, which their own functions read.
LEFT_ALONE = ("Transition", "Matrices")


@dataclass(frozen=True)
class _Reader:
    """Turns an argument into what the function works with, or raises."""

    read: Callable[[str, Any], Any]
    words: str


def checked(*, infinite: Sequence[str] = (), missing: Sequence[str] = ()) -> Callable[[F], F]:
    """Check the arguments of a function against its annotations before it runs.

    Parameters
    ----------
    infinite : names
        Arguments that may be infinite.
    missing : names
        Arguments that may hold NaN: what a training lost is passed on.

    Returns
    -------
    decorator

    Raises
    ------
    InputError
        When the function is called: an argument of another kind than its annotation says.

    Examples
    --------
    >>> @checked()
    ... def halve(n: int, up: bool = False) -> int:
    ...     return (n + up) // 2
    >>> halve(3, up=True)
    2
    >>> halve(3, up="no")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: up is 'no', expected True or False: pass one of the two
    """

    def decorate(function: F) -> F:
        names, readers, keywords, rest = _outline(function, infinite, missing)

        def checking(*args: Any, **kwargs: Any) -> Any:
            if not readers:
                readers.update(keywords())
            read = [
                readers[name].read(name, value) if name in readers else value
                for name, value in zip(names, args, strict=False)
            ]
            many = args[len(names) :]
            if many:
                read += [readers[rest].read(rest, value) for value in many] if rest in readers else list(many)
            for name, value in kwargs.items():
                if name in readers:
                    kwargs[name] = readers[name].read(name, value)
            return function(*read, **kwargs)

        # With the globals of the function, so that doctest finds it in its module.
        same = types.FunctionType(checking.__code__, function.__globals__, function.__name__, None, checking.__closure__)
        return typing.cast(F, functools.update_wrapper(same, function))

    return decorate


def check_fields(record: Any, *, infinite: Sequence[str] = (), but: Sequence[str] = ()) -> None:
    """Check the fields of a frozen dataclass against their annotations; plain numbers become int or float.

    Parameters
    ----------
    record : dataclass instance
    infinite : names
        Fields that may be infinite.
    but : names
        Fields that the class reads itself.

    Raises
    ------
    InputError
        A field of another kind than its annotation says.
    """
    cls: Any = type(record)
    for name, reader in _field_readers(cls, tuple(infinite)).items():
        if name not in but:
            value = reader.read(name, getattr(record, name))
            if isinstance(value, (bool, int, float)):
                object.__setattr__(record, name, value)


@functools.cache
def _field_readers(cls: type, infinite: tuple[str, ...]) -> dict[str, _Reader]:
    hints = typing.get_type_hints(cls, localns=NAMES)
    return {name: found for name, hint in hints.items() if (found := _reader(name, hint, infinite, ())) is not None}


def _outline(
    function: Callable[..., Any], infinite: Sequence[str], missing: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, _Reader], Callable[[], dict[str, _Reader]], str]:
    """Positional names in order, an empty table of readers, what fills it, and the name of ``*args``."""
    parameters = inspect.signature(function).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(p.name for p in parameters if p.kind in positional)
    rest = next((p.name for p in parameters if p.kind == inspect.Parameter.VAR_POSITIONAL), "")
    options = {p.name for p in parameters if p.kind == inspect.Parameter.VAR_KEYWORD}

    def keywords() -> dict[str, _Reader]:
        # Late: a module may define what its annotations name after the function.
        # What is returned is not read: its type may be one that only the type checker imports.
        inner = inspect.unwrap(function)
        asked = types.SimpleNamespace(__annotations__={n: h for n, h in inner.__annotations__.items() if n != "return"})
        hints = typing.get_type_hints(asked, inner.__globals__, NAMES)
        pairs = [(n, _reader(n, hint, infinite, missing)) for n, hint in hints.items() if n not in options]
        return {name: found for name, found in pairs if found is not None}

    return names, {}, keywords, rest


def _reader(name: str, hint: Any, infinite: Sequence[str], missing: Sequence[str]) -> _Reader | None:
    """The reader of one annotation, None where everything is allowed."""
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(name, members, infinite, missing)
    if name == "device":
        return _Reader(check_device, "a device")
    if hint is int:
        seed = name == "seed" or name.endswith("_seed")
        return _Reader(check_seed if seed else check_whole, "a whole number")
    if hint is float:
        return _Reader(as_number if name in infinite else _finite, "a number")
    if hint is bool:
        return _Reader(check_flag, "True or False")
    if origin is np.ndarray:
        return _Reader(as_array, "an array")
    if isinstance(hint, type) and issubclass(hint, _Numbers):
        convert = np.float64 if hint is _Floats else None

        def numbers(given: str, value: Any) -> Any:
            array = as_array(given, value)
            if not array.ndim and array.dtype == bool:
                raise InputError(f"{given} is {value!r}, expected numbers: pass an array")
            if given not in missing:
                check_finite(given, array, infinite=given in infinite)
            return array if convert is None else array.astype(convert, copy=False)

        return _Reader(numbers, "an array of numbers")
    if origin in (Sequence, Iterable, list):
        return _sequence(name, origin, members, infinite, missing)
    # A protocol of methods that can be asked for is checked as a class is; one of a call is a function.
    methods = getattr(hint, "_is_runtime_protocol", False) and "__call__" not in vars(hint)
    if origin is Callable or (getattr(hint, "_is_protocol", False) and not methods):
        return _Reader(_callable, "a function")
    kind = origin or hint
    if kind is Any:
        return None
    if kind is Mapping or (isinstance(kind, type) and kind not in (tuple, type(None)) and kind.__name__ not in LEFT_ALONE):
        return _Reader(functools.partial(_instance, kind), _article(kind))
    return None


def _union(name: str, members: Sequence[Any], infinite: Sequence[str], missing: Sequence[str]) -> _Reader | None:
    if name == "device":
        return _Reader(check_device, "a device")
    optional = type(None) in members
    members = [member for member in members if member is not type(None)]
    if (name == "seed" or name.endswith("_seed")) and np.random.Generator in members:
        found = [_Reader(functools.partial(check_seed, generator=True), "a seed")]
        found += [r for m in members if typing.get_origin(m) is Sequence and (r := _reader(name, m, infinite, missing))]
    else:
        readers = [_reader(name, member, infinite, missing) for member in members]
        if any(reader is None for reader in readers):
            return None
        found = [reader for reader in readers if reader is not None]
    words = " or ".join(dict.fromkeys(reader.words for reader in found)) + " or None" * optional

    def read(given: str, value: Any) -> Any:
        if value is None and optional:
            return None
        if len(found) == 1:
            return found[0].read(given, value)
        problems = []
        for reader in found:
            try:
                return reader.read(given, value)
            except InputError as error:
                problems.append(error)
        if isinstance(value, (int, float, np.ndarray, list)) and not isinstance(value, bool):
            # Of the right kind, so that the detail says more: which entry is not finite.
            raise problems[-1 if isinstance(value, (np.ndarray, list)) else 0]
        raise InputError(f"{given} is {shown(value)}, expected {words}: pass one")

    return _Reader(read, words)


def _sequence(
    name: str, origin: Any, members: Sequence[Any], infinite: Sequence[str], missing: Sequence[str]
) -> _Reader | None:
    inner = _reader(name, members[0], infinite, missing) if members else None
    words = "a list" if inner is None else f"a list of {inner.words.removeprefix('an ').removeprefix('a ')}"

    def read(given: str, value: Any) -> Any:
        listed = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))
        if origin is Iterable and isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
            value, listed = list(value), True
        if not listed or (isinstance(value, np.ndarray) and not value.ndim):
            raise InputError(f"{given} is {shown(value)}, expected {words}: pass one")
        if inner is not None:
            for position, entry in enumerate(value):
                inner.read(f"{given}[{position}]", entry)
        return value

    return _Reader(read, words)


def _finite(name: str, value: Any) -> float:
    number = as_number(name, value)
    if number in (float("inf"), float("-inf")):
        raise InputError(f"{name} is {number}, expected a finite number: choose one")
    return number


def _callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise InputError(f"{name} is {shown(value)}, expected a function: pass one that can be called")
    return value


def _instance(kind: type, name: str, value: Any) -> Any:
    return check_type(name, value, kind, _article(kind))


def _article(kind: type) -> str:
    if kind is str:
        return "text"
    return f"{'an' if kind.__name__[0] in 'AEIOUaeiou' else 'a'} {kind.__name__}"
