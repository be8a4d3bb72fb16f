"""Trackers: somebody else's dashboard is told what a run logs, by two methods and no dependency (docs/trackers.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from spectral_jepa._validation import InputError, first_line, warn_user


@runtime_checkable
class Tracker(Protocol):
    """What a training run tells: numbers now and then, and its end."""

    def on_log(self, step: int, numbers: Mapping[str, float]) -> None:
        """A row of the log: optimiser steps taken, and its numbers by name."""
        ...

    def on_end(self, finished: bool) -> None:
        """The run is left: at its last step, or stopped before it."""
        ...


class Trackers:
    """Several trackers as one, none of which can end a training: one that fails is named in a warning and told no more.

    Parameters
    ----------
    trackers : sequence of Tracker

    Examples
    --------
    >>> class Printer:
    ...     def on_log(self, step, numbers):
    ...         print(step, numbers)
    ...     def on_end(self, finished):
    ...         print("finished" if finished else "stopped")
    >>> both = Trackers([Printer()])
    >>> both.on_log(10, {"loss": 0.5})
    10 {'loss': 0.5}
    >>> both.on_end(True)
    finished
    """

    def __init__(self, trackers: Sequence[Tracker] = ()) -> None:
        for tracker in trackers:
            check_tracker("trackers", tracker)
        self._told = list(trackers)

    def on_log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Tell all of them.

        Parameters
        ----------
        step : int
            Optimiser steps taken.
        numbers : dict of float
            By name; each tracker gets its own copy.
        """
        self._tell(lambda tracker: tracker.on_log(step, dict(numbers)))

    def on_end(self, finished: bool) -> None:
        """Tell all of them."""
        self._tell(lambda tracker: tracker.on_end(finished))

    def _tell(self, call: Callable[[Tracker], None]) -> None:
        for tracker in list(self._told):
            try:
                call(tracker)
            except Exception as error:  # whatever a dashboard raises: the training is worth more
                self._told.remove(tracker)
                name = type(tracker).__name__
                warn_user(
                    f"the tracker {name} failed ({first_line(error)}) and is told no more; the run goes on, see log.csv"
                )


def check_tracker(name: str, tracker: Any) -> None:
    """Refuse what lacks one of the two methods.

    Parameters
    ----------
    name : str
        Of the argument.
    tracker : Tracker

    Raises
    ------
    InputError
        No method ``on_log`` or none ``on_end``.

    Examples
    --------
    >>> check_tracker("trackers", print)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: trackers has builtin_function_or_method without on_log, expected an object with ...
    """
    for method in ("on_log", "on_end"):
        if not callable(getattr(tracker, method, None)):
            raise InputError(
                f"{name} has {type(tracker).__name__} without {method}, expected an object with the methods on_log(step, "
                "numbers) and on_end(finished): see docs/trackers.md"
            )


def make_tracker(name: str, settings: Mapping[str, Any], folder: str | Path) -> Tracker:
    """Make the tracker that a command line names.

    Parameters
    ----------
    name : str
        ``module:callable`` of an importable module; it is called with the two others.
    settings : dict
        Of the run, in JSON types.
    folder : str or Path
        Of the run.

    Returns
    -------
    Tracker

    Raises
    ------
    InputError
        Another form, a module that cannot be imported, nothing callable of that name, or one that fails or gives no tracker.

    Examples
    --------
    >>> make_tracker("wandb", {}, ".")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: tracker is 'wandb', expected module:callable that is given settings and folder: ...
    """
    module, _, word = name.partition(":")
    if not module.strip() or not word.strip():
        raise InputError(
            f"tracker is {name!r}, expected module:callable that is given settings and folder: see docs/trackers.md"
        )
    try:
        found = getattr(import_module(module), word, None)
    except Exception as error:
        raise InputError(
            f"tracker {name!r} cannot be imported ({first_line(error)}), expected module:callable of an importable module: "
            "check the name, or run in the module's folder"
        ) from None
    if not callable(found):
        raise InputError(f"tracker {name!r} is {found!r}, expected something that can be called: check the name")
    try:
        tracker = found(dict(settings), Path(folder))
    except Exception as error:
        raise InputError(
            f"tracker {name!r} could not be made ({first_line(error)}), expected one of settings and folder: "
            "see docs/trackers.md"
        ) from None
    check_tracker(f"tracker {name!r}", tracker)
    return tracker
