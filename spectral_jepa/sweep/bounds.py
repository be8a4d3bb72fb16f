"""The headline experiment, bounds against the latent dimension, on worlds and fits of one's own."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from spectral_jepa._signatures import checked
from spectral_jepa._validation import InputError, check_count, needs_package, shown
from spectral_jepa.sweep.experiment import expand, load_experiment
from spectral_jepa.sweep.run import installed_version, run_sweep

if TYPE_CHECKING:
    import pandas as pd

EXPERIMENT = "bound_vs_dim"
SAMPLES = (300, 3_000, 30_000)


@checked()
def sweep_bounds(
    families: Mapping[str, Callable[[int], Any]],
    *,
    fit: Callable[..., Any] | None = None,
    dims: Sequence[int] | None = None,
    n_transitions: Sequence[int] = SAMPLES,
    n_seeds: int = 5,
    folder: str | Path | None = None,
    n_jobs: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Pretraining error, regret and their bounds against the latent dimension, as ``experiments/bound_vs_dim.py`` has them.

    Parameters
    ----------
    families : dict of str to callable
        Name -> function of a seed that returns a TabularMDP with a reward; one finite world a seed.
    fit : callable, optional
        ``fit(sampled, dim, seed)`` returns the Embedding of a CoOccurrence of counts, such as that of a trained JEPA.
        Default: the spectral optimum, for rewards with one encoder for all actions, for goals with one an action.
    dims : sequence of int, optional
        Latent dimensions; those below the number of states are used, and that number. Default: the experiment's.
    n_transitions : sequence of int
        Sample sizes.
    n_seeds : int
        Worlds and samples of each, seeds 0 to ``n_seeds`` - 1.
    folder : str or Path, optional
        Where cells are kept, so that an interrupted sweep resumes; results of functions of another source text are refused.
        Default: nowhere.
    n_jobs : int
        Worker processes; -1: one a core; 1: no extra process.
    progress : bool
        Show a bar.

    Returns
    -------
    DataFrame
        One row a family, sample size, seed and dimension: ``root_risk``, ``root_tail``, ``goal_regret``, ``goal_pointwise``,
        ``reward_regret``, ``reward_tight`` and the other columns of the experiment.
        :func:`spectral_jepa.plotting.drawing.bounds_figures` draws it.

    Raises
    ------
    InputError
        No family, a family or fit that is no function or fails (its first error), a count below 1, a folder of other
        results.

    Notes
    -----
    A cell costs a sample, two decompositions O(A S^3) and, for each dimension, one fit and one plan for goals and rewards.
    Source: arXiv 2606.27014, Thm 4.1 to 4.6, and docs/theory.md.

    Examples
    --------
    A world of three blocks: from enough data the error is least at k = 3.

    >>> from spectral_jepa import make_block
    >>> table = sweep_bounds(
    ...     {"three blocks": lambda seed: make_block(12, 3, 2, seed=seed)},
    ...     dims=[1, 2, 3, 4, 6], n_transitions=[20_000], n_seeds=2, progress=False)
    >>> int(table.groupby("dim")["root_risk"].mean().idxmin()), bool((table["goal_regret"] <= table["goal_pointwise"]).all())
    (3, True)
    """
    if not families:
        raise InputError("families is empty, expected at least one: pass {name: function of a seed that returns a world}")
    for name, family in families.items():
        if not isinstance(name, str) or not callable(family):
            raise InputError(
                f"families[{name!r}] is {shown(family)}, expected a name and a function of a seed: wrap it in one"
            )
    check_count("n_seeds", n_seeds)
    axes: dict[str, Any] = {"family": list(families), "n_transitions": list(n_transitions), "seed": range(n_seeds)}
    if dims is not None:
        axes["dims"] = [sorted({check_count("dims", dim) for dim in dims})]
    text = "".join(_source(function) for function in (*families.values(), fit))
    version = f"{installed_version()}+{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    with needs_package("a sweep"), nullcontext(folder) if folder is not None else TemporaryDirectory() as place:
        assert place is not None
        run = partial(_cell, dict(families), fit)
        table = run_sweep(run, expand(axes), place, experiment=EXPERIMENT, n_jobs=n_jobs, progress=progress, version=version)
    failed = table[table["status"] != "ok"]
    if len(failed):
        last = str(failed["traceback"].iloc[0]).strip().splitlines()[-1]
        raise InputError(
            f"{len(failed)} of {len(table)} cells failed, the first, {failed['family'].iloc[0]!r} with seed "
            f"{failed['seed'].iloc[0]}, by {last}: mend the family or the fit"
        )
    return table


def _cell(
    families: Mapping[str, Callable[[int], Any]],
    fit: Callable[..., Any] | None,
    family: str,
    n_transitions: int,
    seed: int,
    dims: list[int] | None = None,
) -> list[dict[str, Any]]:
    module = load_experiment(EXPERIMENT).module
    return module.measure(families[family](seed), n_transitions, seed, module.DIMS if dims is None else dims, fit)


def _source(function: Callable[..., Any] | None) -> str:
    """The text of a function, or its name where it has none."""
    try:
        return inspect.getsource(function)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
