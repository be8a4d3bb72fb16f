"""Experiments: plain Python modules that say what to compute, loaded by name or by path.

An experiment module has a docstring whose first line says what it shows, ``PRESETS`` (preset name -> axes, see
:func:`expand`) and ``run_cell(**cell)``, which returns one dict of metrics, or a list of them: one a row of the table.
Files beside it whose name starts with one underscore are its helpers; it imports them as a script does, ``import _worlds``.
"""

from __future__ import annotations

import builtins
import hashlib
import itertools
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from spectral_jepa._validation import InputError, check_choice, first_line, nearest, shown

Cell = dict[str, Any]
Axes = Mapping[str, Any]
# Name of a helper module and its text.
Helpers = tuple[tuple[str, bytes], ...]
RELATIONS = ("=", "<=", ">=")
# One text is run by one thread, once.
_LOADING = threading.RLock()


def expand(axes: Axes | Sequence[Axes]) -> list[Cell]:
    """Cartesian product of axes, in the order they are written (the last axis varies fastest).

    Parameters
    ----------
    axes : dict, or list of dicts
        Parameter -> list, tuple or range of its values, or a single value. A parameter that is itself a list is written
        as an axis of one value: ``{"dims": [[1, 2, 4]]}``. A list of dicts means their products, one after the other.

    Returns
    -------
    list of dict
        One dict of parameters a cell.

    Raises
    ------
    InputError
        If an axis has no value, or the axes are no dict.

    Notes
    -----
    O(number of cells).

    Examples
    --------
    >>> expand({"dim": [1, 2], "seed": range(2), "kind": "ring"})[:3]
    [{'dim': 1, 'seed': 0, 'kind': 'ring'}, {'dim': 1, 'seed': 1, 'kind': 'ring'}, {'dim': 2, 'seed': 0, 'kind': 'ring'}]
    """
    if not isinstance(axes, Mapping):
        if not isinstance(axes, Sequence) or isinstance(axes, str):
            raise InputError(
                f"axes are {shown(axes)}, expected a dict, parameter -> values, or a list of such dicts: write them so"
            )
        return [cell for part in axes for cell in expand(part)]
    values = [list(axis) if isinstance(axis, (list, tuple, range)) else [axis] for axis in axes.values()]
    for name, axis in zip(axes, values, strict=True):
        if not axis:
            raise InputError(f"axis {name!r} has no values, expected at least one: add a value or remove the axis")
    return [dict(zip(axes, choice, strict=True)) for choice in itertools.product(*values)]


@dataclass(frozen=True)
class Experiment:
    """An experiment module, held as its text, so that it travels to worker processes, which cannot import it.

    Calling it runs one cell. Every worker runs the texts that were loaded here, so editing a file while a sweep runs does
    not mix two versions of the code in one table.

    Parameters
    ----------
    name : str
        File name without ``.py``; part of every cell's key.
    path : Path
        The file, which is the module's ``__file__``.
    source : bytes
        The file's content.
    helpers : tuple of (str, bytes)
        Name and content of each helper module: the files ``_*.py`` beside it.
    """

    name: str
    path: Path
    source: bytes = field(repr=False)
    helpers: Helpers = field(default=(), repr=False)

    @property
    def module(self) -> ModuleType:
        """The loaded module."""
        return _load_module(self.path, self.source, self.helpers)

    @property
    def texts(self) -> dict[str, bytes]:
        """File name -> content of all that decides what a cell returns.

        The experiment and its helpers as they were loaded; for a shipped one also every other ``.py`` and ``.toml`` file of
        its folder as it is now, because ``claims`` measures with functions of them all.
        """
        shipped = shipped_folder("experiments").resolve()
        beside = sorted([*shipped.glob("*.py"), *shipped.glob("*.toml")]) if self.path.parent == shipped else []
        loaded = {f"{name}.py": text for name, text in self.helpers} | {self.path.name: self.source}
        return {path.name: path.read_bytes() for path in beside} | loaded

    @property
    def title(self) -> str:
        """First line of the module's docstring: what the experiment shows."""
        return (self.module.__doc__ or "").strip().partition("\n")[0]

    @property
    def presets(self) -> dict[str, Any]:
        """Preset name -> axes."""
        return dict(self.module.PRESETS)

    @property
    def run_cell(self) -> Callable[..., Any]:
        """The module's ``run_cell``."""
        return self.module.run_cell

    def cells(self, preset: str) -> list[Cell]:
        """List the cells of a preset, in the order of its axes; raises InputError naming the presets if unknown."""
        if preset not in self.presets:
            known = ", ".join(map(repr, self.presets))
            raise InputError(
                f"experiment {self.name} has no preset {preset!r}, expected one of {known}"
                f"{nearest(preset, self.presets)}: choose one of these"
            )
        try:
            return expand(self.presets[preset])
        except InputError as error:
            raise InputError(f"preset {preset!r} of {self.path}: {error}") from None

    def __call__(self, **cell: Any) -> Any:
        """Run one cell."""
        return self.run_cell(**cell)


def shipped_folder(name: str) -> Path:
    """Where the shipped experiments, figures and tables are: inside the package in a wheel, beside it in a clone.

    Parameters
    ----------
    name : str
        "experiments", "figures", "reference" or "classroom".

    Returns
    -------
    Path
        The folder, whether it is there or not.

    Examples
    --------
    >>> (shipped_folder("experiments") / "spectra.py").is_file()
    True
    """
    package = Path(__file__).resolve().parent.parent
    inside = package / f"_{name}"
    return inside if inside.is_dir() else package.parent / name


def comparison(quantity: str, measured: float, relation: str, expected: float) -> dict[str, str | float | bool]:
    """One comparison of a claim: what was measured, beside what a closed form or the statement itself expects.

    Parameters
    ----------
    quantity : str
        What was measured, in words.
    measured : float
    relation : {"=", "<=", ">="}
        Of measured to expected. "=" is for equalities in exact arithmetic and allows 1e-9, relative above 1.
    expected : float

    Returns
    -------
    dict
        A row of the table of claims: ``quantity``, ``relation``, ``expected``, ``measured``, and whether it is ``met``.

    Raises
    ------
    InputError
        Another relation.

    Examples
    --------
    >>> comparison("largest gap", 2e-9, "<=", 1e-6)
    {'quantity': 'largest gap', 'relation': '<=', 'expected': 1e-06, 'measured': 2e-09, 'met': True}
    """
    check_choice("relation", relation, RELATIONS)
    measured, expected = float(measured), float(expected)
    met = {
        "=": abs(measured - expected) <= 1e-9 * max(1, abs(expected)),
        "<=": measured <= expected,
        ">=": measured >= expected,
    }
    return {"quantity": quantity, "relation": relation, "expected": expected, "measured": measured, "met": met[relation]}


def known_experiments() -> dict[str, Path]:
    """Name -> file of the shipped experiments (files that start with an underscore are helpers, not experiments).

    Returns
    -------
    dict
        In alphabetical order.

    Examples
    --------
    >>> list(known_experiments())[:2]
    ['advice', 'bound_vs_dim']
    """
    return {path.stem: path for path in sorted(shipped_folder("experiments").glob("*.py")) if not path.name.startswith("_")}


def load_experiment(name_or_path: str | Path) -> Experiment:
    """Load an experiment by the name of a shipped one, or from any ``.py`` file.

    Parameters
    ----------
    name_or_path : str or Path
        Anything that ends in ``.py`` is a path.

    Returns
    -------
    Experiment
        Checked: the module imports and has ``PRESETS`` and ``run_cell``.

    Raises
    ------
    InputError
        Unknown name (lists the known ones), missing file, a module that does not import or lacks a part.

    Examples
    --------
    >>> load_experiment("no_such_file.py")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: experiment file no_such_file.py does not exist, ...: check the path
    """
    if str(name_or_path).endswith(".py"):
        path = Path(name_or_path)
        if not path.is_file():
            raise InputError(f"experiment file {path} does not exist, expected a Python file: check the path")
    else:
        known = known_experiments()
        if str(name_or_path) not in known:
            raise InputError(
                f"experiment {str(name_or_path)!r} is unknown, expected one of {', '.join(known)} "
                f"or a path that ends in .py{nearest(str(name_or_path), known)}: choose one of these"
            )
        path = known[str(name_or_path)]
    path = path.resolve()
    experiment = Experiment(path.stem, path, path.read_bytes(), helpers_of(path))
    module = experiment.module
    if not isinstance(getattr(module, "PRESETS", None), Mapping) or not callable(getattr(module, "run_cell", None)):
        raise InputError(
            f"{path} is not an experiment, expected a dict PRESETS (name -> axes) and a function run_cell(**cell): add them"
        )
    return experiment


def helpers_of(path: Path) -> Helpers:
    """The helper modules of an experiment's file: the files ``_*.py`` beside it.

    Parameters
    ----------
    path : Path
        The experiment's file.

    Returns
    -------
    tuple of (str, bytes)
        Module name and content of each, by name. ``__init__.py`` and the like are not helpers.

    Examples
    --------
    >>> [name for name, _ in helpers_of(shipped_folder("experiments") / "claims.py")][:2]
    ['_bridge', '_claims_corrected']
    """
    files = sorted(file for file in path.parent.glob("_*.py") if not file.name.startswith("__") and file.name != path.name)
    return tuple((file.stem, file.read_bytes()) for file in files)


class _DoesNotImport(InputError):
    """Says which of the files is broken: an experiment that imports a broken helper has nothing to add."""


def _load_module(path: Path, source: bytes, helpers: Helpers) -> ModuleType:
    """Run the text as a module, once a process; a worker that lives on gets a new module when any of the texts changes.

    Helpers are found by the module's own ``import`` statements, at its top or inside its functions, and by nobody else's:
    nothing is added to ``sys.path``, and helpers of one name in two folders do not meet in ``sys.modules``.
    """
    texts = dict(helpers)
    sha = hashlib.sha256(f"{path}\0".encode() + source)
    for helper, text in texts.items():
        sha.update(f"\0{helper}\0".encode() + text)
    name = f"spectral_jepa_experiment_{path.stem}_{sha.hexdigest()[:16]}"

    def import_with_helpers(
        wanted: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:
        if level == 0 and wanted in texts:
            return _load_module(path.with_name(f"{wanted}.py"), texts[wanted], helpers)
        return builtins.__import__(wanted, globals, locals, fromlist, level)

    with _LOADING:
        if name in sys.modules:
            return sys.modules[name]
        module = ModuleType(name)
        module.__file__ = str(path)
        if helpers:  # the import statement looks up __import__ in the builtins that its module runs with
            module.__dict__["__builtins__"] = vars(builtins) | {"__import__": import_with_helpers}
        sys.modules[name] = module  # dataclasses and typing look their module up there, as do helpers in a circle
        try:
            exec(compile(source, str(path), "exec"), module.__dict__)
        except BaseException as error:
            del sys.modules[name]
            # A script that ends in sys.exit() is no experiment; a signal is none of the module's.
            if not isinstance(error, Exception | SystemExit) or isinstance(error, _DoesNotImport):
                raise
            raise _DoesNotImport(
                f"{path} does not import ({type(error).__name__}: {first_line(error)}), expected a Python module: mend it"
            ) from error
    return module
