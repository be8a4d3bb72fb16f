"""Experiments: plain Python modules that say what to compute, loaded by name or by path.

An experiment module has a docstring whose first line says what it shows, ``PRESETS`` (preset name -> axes, see
:func:`expand`) and ``run_cell(**cell)``, which returns one dict of metrics, or a list of them: one a row of the table.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from spectral_jepa._validation import InputError

Cell = dict[str, Any]
Axes = Mapping[str, Any]


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
        If an axis has no value.

    Notes
    -----
    O(number of cells).

    Examples
    --------
    >>> expand({"dim": [1, 2], "seed": range(2), "kind": "ring"})[:3]
    [{'dim': 1, 'seed': 0, 'kind': 'ring'}, {'dim': 1, 'seed': 1, 'kind': 'ring'}, {'dim': 2, 'seed': 0, 'kind': 'ring'}]
    """
    if not isinstance(axes, Mapping):
        return [cell for part in axes for cell in expand(part)]
    values = [list(axis) if isinstance(axis, (list, tuple, range)) else [axis] for axis in axes.values()]
    for name, axis in zip(axes, values, strict=True):
        if not axis:
            raise InputError(f"axis {name!r} has no values, expected at least one: add a value or remove the axis")
    return [dict(zip(axes, choice, strict=True)) for choice in itertools.product(*values)]


@dataclass(frozen=True)
class Experiment:
    """An experiment module, held as its text, so that it travels to worker processes, which cannot import it.

    Calling it runs one cell. Every worker runs the text that was loaded here, so editing the file while a sweep runs does
    not mix two versions of the code in one table.

    Parameters
    ----------
    name : str
        File name without ``.py``; part of every cell's key.
    path : Path
        The file, which is the module's ``__file__``.
    source : bytes
        The file's content.
    """

    name: str
    path: Path
    source: bytes = field(repr=False)

    @property
    def module(self) -> ModuleType:
        """The loaded module."""
        return _load_module(self.path, self.source)

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
                f"experiment {self.name} has no preset {preset!r}, expected one of {known}: choose one of these"
            )
        return expand(self.presets[preset])

    def __call__(self, **cell: Any) -> Any:
        """Run one cell."""
        return self.run_cell(**cell)


def shipped_folder(name: str) -> Path:
    """Where the shipped ``experiments`` or ``figures`` are: inside the package in a wheel, beside it in a clone."""
    package = Path(__file__).resolve().parent.parent
    inside = package / f"_{name}"
    return inside if inside.is_dir() else package.parent / name


def comparison(quantity: str, measured: float, relation: str, expected: float) -> dict[str, str | float]:
    """One comparison of a claim, as the measuring functions beside the experiments return it.

    Examples
    --------
    >>> comparison("largest gap", 2e-9, "<=", 1e-6)
    {'quantity': 'largest gap', 'measured': 2e-09, 'relation': '<=', 'expected': 1e-06}
    """
    return {"quantity": quantity, "measured": float(measured), "relation": relation, "expected": expected}


def known_experiments() -> dict[str, Path]:
    """Name -> file of the shipped experiments (files that start with an underscore are helpers, not experiments)."""
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
                "or a path that ends in .py: choose one of these"
            )
        path = known[str(name_or_path)]
    path = path.resolve()
    experiment = Experiment(path.stem, path, path.read_bytes())
    module = experiment.module
    if not isinstance(getattr(module, "PRESETS", None), Mapping) or not callable(getattr(module, "run_cell", None)):
        raise InputError(
            f"{path} is not an experiment, expected a dict PRESETS (name -> axes) and a function run_cell(**cell): add them"
        )
    return experiment


@lru_cache(maxsize=64)
def _load_module(path: Path, source: bytes) -> ModuleType:
    """Run the text as a module, once a process; a worker that lives on gets a new module when the text changes."""
    module = ModuleType(f"spectral_jepa_experiment_{path.stem}_{hashlib.sha256(source).hexdigest()[:8]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and typing look their module up there
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[module.__name__]
        raise InputError(
            f"{path} does not import ({type(error).__name__}: {error}), expected a Python module: mend it"
        ) from error
    return module
