"""Parts of one's own: what a setting names, ``module:function``, and what was passed as a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from spectral_jepa._validation import InputError, check_choice, first_line, shown


def part_name(what: str, value: str | Callable[..., Any], known: Sequence[str]) -> str:
    """The name that a setting keeps, so that it can be written to a file and compared with what is read from one.

    Parameters
    ----------
    what : str
        The setting.
    value : str or callable
        One of the known names, ``module:function``, or a function that its module knows by its name.
    known : sequence of str
        The built-in ones.

    Returns
    -------
    str
        A known name or ``module:function``; whether it is there, :func:`find_part` sees.

    Raises
    ------
    InputError
        An unknown name, with the nearest; a function without a name (lambda, nested, partial).

    Examples
    --------
    >>> from spectral_jepa._validation import nearest
    >>> [part_name("cost", one, ("end", "sum")) for one in ("end", "mine:late", nearest)]
    ['end', 'mine:late', 'spectral_jepa._validation:nearest']
    >>> part_name("cost", "smu", ("end", "sum"))
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: cost is 'smu', expected one of 'end', 'sum' (nearest: 'sum'): ... 'module:function'
    """
    if callable(value):
        name = f"{getattr(value, '__module__', '?')}:{getattr(value, '__qualname__', '?')}"
        try:
            same = find_part(what, name) is value
        except InputError:
            same = False
        if not same:
            raise InputError(
                f"{what} is {shown(value)}, which no module knows by its name, expected a function that is defined by def "
                "at the top of a module or notebook, so that a file can name it: define it there"
            )
        return name
    if isinstance(value, str) and all(value.partition(":")):
        return value
    try:
        return check_choice(what, value, known)
    except InputError as error:
        raise InputError(f"{error}, or write your own as 'module:function'") from None


def find_part(what: str, name: str) -> Callable[..., Any]:
    """The function that ``module:function`` names.

    Parameters
    ----------
    what : str
        The setting.
    name : str

    Returns
    -------
    callable

    Raises
    ------
    InputError
        A module that cannot be imported, or in which there is no such function.

    Examples
    --------
    >>> find_part("regularizer", "math:hypot")(3, 4)
    5.0
    >>> find_part("regularizer", "math:hypo")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: regularizer is 'math:hypo', but math has no function hypo, expected ...: check ...
    """
    module_name, _, function = name.partition(":")
    try:
        found = getattr(import_module(module_name), function, None)
    except Exception as error:
        raise InputError(
            f"{what} {name!r} cannot be imported ({first_line(error)}), expected 'module:function' of an importable module: "
            "check the name, or run in the module's folder"
        ) from error
    if not callable(found):
        raise InputError(
            f"{what} is {name!r}, but {module_name} has no function {function}, expected 'module:function': check the name"
        )
    return found
