"""Commands read by tyro: words that it refuses are one sentence, like every other mistake, and not a page.

tyro parses and runs in one breath and prints a box of what it refuses. Here it parses only, what it prints meanwhile is
caught, and the command runs afterwards.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_origin, get_type_hints

import tyro

from spectral_jepa._validation import InputError, nearest

Function = TypeVar("Function", bound=Callable[..., None])
# What tyro and Python say, and what a person would.
WORDS = {
    r"^Error parsing ([^:]*): ": r"\1: ",
    r"invalid literal for int\(\) with base 10: (.*)": r"got \1, expected a whole number",
    r"could not convert string to float: ?(.*)": r"got \1, expected a number",
    r"Exceeds the limit.*": "got thousands of digits, expected a whole number",
    r"no type matching .*(got .*)": r"\1",
    r"Could not find valid parse for arguments: (.*)": r"got \1, expected values of its type",
    r"Failed to parse key-value pairs!.*": "got words that do not fit, expected pairs of a name and its value",
    r"^Missing from (.*?): (\S+) .*": r"\1 needs \2, expected after the name of the command",
    r"^Missing value for argument ('[^']*').*": r"\1 has no value, expected one behind it",
    r"^Unrecognized or misplaced options: (\S+).*": (
        r"nothing is called \1 here, expected options of this command and one value each"
    ),
    r"^Unrecognized options: (.*)": r"nothing is called \1 here, expected options of this command and one value each",
}


class Commands:
    """The commands of one command line.

    Parameters
    ----------
    prog : str
        Its name.
    description : str
        The first lines of its help.

    Examples
    --------
    >>> commands = Commands("tool", "A tool.")
    >>> @commands.add
    ... def double(number: int = 1) -> None:
    ...     print(2 * number)
    >>> commands.run(["double", "--number", "4"])
    8
    >>> commands.run(["double", "--number", "four"])
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: --number: got 'four', expected a whole number: see tool double --help
    """

    def __init__(self, prog: str, description: str) -> None:
        self.prog, self.description = prog, description
        self.functions: dict[str, Callable[..., None]] = {}
        self._app = tyro.extras.SubcommandApp()

    def add(self, function: Function) -> Function:
        """Make a function a command: its name, its arguments' annotations and its docstring are the command's."""

        @functools.wraps(function)
        def later(*values: Any, **options: Any) -> Callable[[], None]:
            return functools.partial(function, *values, **options)

        self.functions[function.__name__] = function
        self._app.command(later)
        return function

    def run(self, arguments: Sequence[str]) -> None:
        """Run the command that the words name; words that are none, or not its, raise InputError."""
        self._refuse_valueless(arguments)
        page = io.StringIO()
        try:
            with contextlib.redirect_stderr(page):
                chosen = self._app.cli(prog=self.prog, description=self.description, args=arguments)
        except SystemExit as stop:
            if not stop.code:
                raise
            raise InputError(self._sentence(page.getvalue(), arguments)) from None
        chosen()

    def _refuse_valueless(self, arguments: Sequence[str]) -> None:
        """Refuse an option of several values that has none: it would mean its default, or nothing."""
        function = self.functions.get(arguments[0].replace("-", "_")) if arguments else None
        for at, word in enumerate(arguments):
            kind = get_type_hints(function).get(word[2:].replace("-", "_")) if function and word[:2] == "--" else None
            if get_origin(kind) in (tuple, dict) and (arguments[at + 1 :] or ["--"])[0][:2] == "--":
                raise InputError(
                    f"{word} has no value, expected one or more behind it: see {self.prog} {arguments[0]} --help"
                )

    def _sentence(self, page: str, arguments: Sequence[str]) -> str:
        """What a page of tyro says first, with where to read more."""
        known = bool(arguments) and arguments[0].replace("-", "_") in self.functions
        where = f"see {self.prog} {arguments[0]} --help" if known else f"see {self.prog} --help"
        commands = ", ".join(self.functions)
        if not arguments:
            return f"no command was given, expected one of {commands}: {where}"
        if not known:
            near = nearest(arguments[0], self.functions)
            return f"{arguments[0]!r} is no command of {self.prog}, expected one of {commands}{near}: {where}"
        # A box: a title, what is wrong, a rule, the help of the argument or command; in ASCII a rule below the title, too.
        lines = [line.strip("│ ") for line in page.strip().splitlines()[1:]]
        parts = re.split(r"\n[─-]+\n", "\n".join(["", *lines, ""]))
        said = " ".join(next((part for part in parts if part.strip()), "").split()).rstrip(".")
        for pattern, words in WORDS.items():
            said = re.sub(pattern, words, said)
        near = self._nearest_option(arguments) if said.startswith("nothing is called") else ""
        return f"{said}{'' if 'expected' in said else ', expected other words'}{near}: {where}"

    def _nearest_option(self, arguments: Sequence[str]) -> str:
        """What may have been meant by the first option that the command does not have."""
        function = self.functions[arguments[0].replace("-", "_")]
        options = [f"--{name.replace('_', '-')}" for name in inspect.signature(function).parameters]
        given = [word.partition("=")[0] for word in arguments[1:] if word[:2] == "--"]
        unknown = [word for word in given if word.replace("--no-", "--").replace("_", "-") not in [*options, "--help"]]
        return nearest(unknown[0], options) if unknown else ""
