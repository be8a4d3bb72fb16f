"""One typed, ranged conversion for every setting: by the type of its field, from Python values and from text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple, get_args, get_type_hints

import numpy as np

from spectral_jepa._validation import InputError

# The least common bound of what takes seeds: NumPy, torch and scikit-learn (below 2^32).
LARGEST_SEED = 2**32 - 1
# Products of two counts fit in 64 bits nearly always, and no machine holds so many of anything.
LARGEST_COUNT = 10**12
_TRUE, _FALSE, _NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null")


class Range(NamedTuple):
    """Where a number may lie.

    Parameters
    ----------
    low, high : float
        Bounds.
    open_low, open_high : bool
        Whether the bound itself is left out.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: object) -> bool:
        assert isinstance(value, int | float)
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        below = "above" if self.open_low else "at least"
        if self.high == math.inf:
            return f"{below} {self.low:g}"
        if self.high > 1e6:
            return f"{below} {self.low:g} and at most {int(self.high)}"
        bounds = f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"
        return f"between {self.low:g} and {self.high:g}" if bounds[0] + bounds[-1] == "[]" else f"in {bounds}"


COUNT, SEED, POSITIVE = Range(1, LARGEST_COUNT), Range(0, LARGEST_SEED), Range(0, open_low=True)
WEIGHT, SHARE, BELOW_ONE = Range(0), Range(0, 1), Range(0, 1, open_high=True)


def check_fields(settings: Any, ranges: Mapping[str, Range]) -> None:
    """Check every int, float, bool and str field of a frozen dataclass: its type, that it is finite, and its range.

    Parameters
    ----------
    settings : dataclass
        Whole numbers become Python ints; a whole number in the place of a float becomes a float.
    ranges : dict of Range
        Field -> where it may lie. An int field that is not named is a count, a float field a weight, at least 0.

    Raises
    ------
    InputError
        The first field that is of another type or out of range.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Search:
    ...     rounds: int = 3
    ...     spread: float = 1
    ...     def __post_init__(self):
    ...         check_fields(self, {"spread": POSITIVE})
    >>> Search(spread=2)
    Search(rounds=3, spread=2.0)
    >>> Search(spread=-1)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: spread is -1, expected a number above 0: choose one in that range
    """
    types = get_type_hints(type(settings))
    for field in fields(settings):
        kind, optional = _plain(types[field.name])
        value = getattr(settings, field.name)
        if kind in (int, float, bool, str) and not (optional and value is None):
            checked = _checked(field.name, value, kind, ranges.get(field.name))
            object.__setattr__(settings, field.name, checked)


def read_field(name: str, text: str, kind: Any) -> Any:
    """Read a setting's text by the type of its field; its range is the dataclass's to check.

    Parameters
    ----------
    name : str
        What the message calls it.
    text : str
    kind : type
        int, float, bool or str, or one of them or None.

    Returns
    -------
    int, float, bool, str or None

    Raises
    ------
    InputError
        Text that is no such value.

    Examples
    --------
    >>> read_field("training.compile", "false", bool), read_field("training.n_steps", "none", int | None)
    (False, None)
    >>> read_field("training.learning_rate", "abc", float)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: training.learning_rate is 'abc', expected a number: such as 0.001
    """
    plain, optional = _plain(kind)
    word = text.strip().lower()
    if optional and word in _NONE:
        return None
    none = " or none" if optional else ""
    if plain is bool:
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise InputError(f"{name} is {text!r}, expected true or false{none}: write one of them")
    if plain is int:
        try:
            return int(word)
        except ValueError:
            raise InputError(f"{name} is {text!r}, expected a whole number{none}: such as 10") from None
    if plain is float:
        try:
            return float(word)
        except ValueError:
            raise InputError(f"{name} is {text!r}, expected a number{none}: such as 0.001") from None
    return text


def _plain(kind: Any) -> tuple[Any, bool]:
    """The type without None, and whether None was allowed."""
    choices = [one for one in get_args(kind) if one is not type(None)]
    return (choices[0], True) if len(choices) == 1 and type(None) in get_args(kind) else (kind, False)


def _checked(name: str, value: Any, kind: type, allowed: Range | None) -> Any:
    if kind is str or kind is bool:
        if not isinstance(value, kind | np.bool_ if kind is bool else kind):
            expected = "true or false" if kind is bool else "text"
            raise InputError(f"{name} is {value!r}, expected {expected}: pass a {kind.__name__}")
        return kind(value)
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if kind is int:
        if not whole:
            raise InputError(f"{name} is {value!r}, expected a whole number: pass an int")
        allowed = allowed or COUNT
        if int(value) not in allowed:
            raise InputError(f"{name} is {value}, expected {allowed}: choose one in that range")
        return int(value)
    if not whole and not isinstance(value, float | np.floating):
        raise InputError(f"{name} is {value!r}, expected a number: pass a float")
    allowed = allowed or WEIGHT
    if not math.isfinite(value):
        raise InputError(f"{name} is {float(value)}, expected a finite number {allowed}: choose one in that range")
    if float(value) not in allowed:
        raise InputError(f"{name} is {value:g}, expected a number {allowed}: choose one in that range")
    return float(value)
