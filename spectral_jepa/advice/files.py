"""Latents that somebody saved: arrays from .npz, .npy, .safetensors or .parquet, put into rows of transitions."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import Array, InputError, as_float, check_choice, first_line, needs_package, warn_user

FORMATS = (".npz", ".npy", ".safetensors", ".parquet")
# What is read where the user names nothing; all but the first may be missing.
NAMES = ("latents", "next_latents", "actions", "episodes", "predicted")
Arrays = Mapping[str, NDArray[Any]]


class LatentRows(NamedTuple):
    """One transition a row, as :func:`spectral_jepa.advice.advise` takes it.

    Parameters
    ----------
    latents, next_latents : arrays (N, P), (N, D)
    actions : int array (N,), array (N, A), or None
    episodes : int array (N,) or None
    predicted : array (N, D) or None
    """

    latents: Array
    next_latents: Array
    actions: NDArray[Any] | None
    episodes: NDArray[Any] | None
    predicted: Array | None


def read_latents(
    path: Path | str,
    *,
    latents: str | None = None,
    next_latents: str | None = None,
    actions: str | None = None,
    episodes: str | None = None,
    predicted: str | None = None,
) -> LatentRows:
    """Read the latents of transitions from a file.

    Parameters
    ----------
    path : Path
        ``.npz`` or ``.safetensors`` with named arrays, ``.npy`` with the latents alone, ``.parquet`` with columns that hold
        lists, or are called ``latents_0``, ``latents_1``, ...
    latents, next_latents, actions, episodes, predicted : str, optional
        Names of arrays. Default: these words, all but the first only if they are there.

    Returns
    -------
    LatentRows
        Latents of shape (N, P), one a transition; or (E, T, D), E episodes of T steps. Without next latents these are the
        next row's, never across the end of an episode, and actions and predictions those of the row; a last action that
        leads nowhere may be missing from (E, T - 1, ...). Text becomes whole numbers, in alphabetical order.

    Raises
    ------
    InputError
        A missing, damaged or empty file, an unknown extension, a name that is not there, shapes that do not fit.

    Notes
    -----
    Nothing in a file is run: no pickled objects.

    Examples
    --------
    Two episodes of three steps: four transitions.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "latents.npz"
    >>> np.savez(path, latents=np.arange(12.0).reshape(2, 3, 2), actions=[["left", "right"], ["right", "right"]])
    >>> rows = read_latents(path)
    >>> rows.latents[:, 0], rows.next_latents[:, 0], rows.actions, rows.episodes
    (array([0., 2., 6., 8.]), array([ 2.,  4.,  8., 10.]), array([0, 1, 1, 1]), array([0, 0, 1, 1]))
    """
    path = Path(path)
    kind = check_choice(f"the extension of {path}", path.suffix.lower(), FORMATS)
    if not path.is_file():
        raise InputError(f"{path} is not a file, expected saved latents ({', '.join(FORMATS)}): check the path")
    asked = dict(zip(NAMES, (latents, next_latents, actions, episodes, predicted), strict=True))
    try:
        found = _READERS[kind](path)
        return _rows(path, {name: _take(path, found, name, given) for name, given in asked.items()})
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, *_other_errors()) as error:  # type: ignore[misc]
        if isinstance(error, (InputError, PermissionError)):
            raise
        raise InputError(
            f"{path} cannot be read as {kind[1:]} ({first_line(error)}), expected a file of plain numbers: write it again"
        ) from error


def _other_errors() -> tuple[type[Exception], ...]:
    """What safetensors raises, where it is loaded."""
    loaded = sys.modules.get("safetensors")
    return () if loaded is None else (loaded.SafetensorError,)


def _read_npz(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        if not hasattr(archive, "files"):
            raise ValueError("it holds one array without a name, as .npy does")
        return {name: archive[name] for name in archive.files}


def _read_npy(path: Path) -> Arrays:
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is an archive of several arrays, as .npz is")
    return {"latents": array}


def _read_safetensors(path: Path) -> Arrays:
    with needs_package(f"reading {path}"):
        from safetensors.numpy import load_file

    return load_file(path)


def _read_parquet(path: Path) -> Arrays:
    with needs_package(f"reading {path}"):
        import pyarrow as pa
        import pyarrow.parquet
    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except pa.ArrowException as error:
        raise ValueError(first_line(error)) from error
    found: dict[str, Any] = {}
    numbered: dict[str, dict[int, Any]] = {}
    for name in table.column_names:
        column = table.column(name).to_pandas().to_numpy()
        if column.dtype == object and len(column) and isinstance(column[0], (np.ndarray, list)):
            if len({len(row) for row in column}) > 1:
                raise ValueError(f"the lists in column {name!r} have several lengths")
            column = np.stack(list(column))
        found[name] = column
        stem, _, number = name.rpartition("_")
        if stem and number.isdigit():
            numbered.setdefault(stem, {})[int(number)] = column
    for stem, columns in numbered.items():
        if stem not in found and sorted(columns) == list(range(len(columns))):
            found[stem] = np.stack([columns[i] for i in range(len(columns))], axis=1)
    return found


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".safetensors": _read_safetensors,
    ".parquet": _read_parquet,
}


def _take(path: Path, found: Arrays, name: str, given: str | None) -> NDArray[Any] | None:
    if given is None and name not in found and name != "latents":
        return None
    chosen = name if given is None else given
    if chosen not in found:
        option = f"--{name.replace('_', '-')}"
        raise InputError(
            f"{path} has no array {chosen!r}, expected the {name.replace('_', ' ')}; it has "
            f"{', '.join(map(repr, sorted(found))) or 'none'}: name one with {option}"
        )
    array = np.asarray(found[chosen])
    if array.dtype.kind in "USO" and name in ("actions", "episodes"):
        words = array.astype(str)
        return np.unique(words, return_inverse=True)[1].reshape(words.shape)
    return array


def _rows(path: Path, given: dict[str, NDArray[Any] | None]) -> LatentRows:
    latents, following = given["latents"], given["next_latents"]
    assert latents is not None
    if latents.ndim not in (2, 3):
        raise InputError(f"latents of {path} has shape {latents.shape}, expected (N, P) or (E, T, D): reshape it")
    if not latents.size:
        raise InputError(f"latents of {path} has shape {latents.shape}, expected at least one number: write it again")
    if latents.ndim == 3:
        return _from_episodes(path, given)
    values = latents
    actions, episodes, predicted = (given[name] for name in ("actions", "episodes", "predicted"))
    for name in ("next_latents", "actions", "episodes", "predicted"):
        array = given[name]
        if array is not None and (not array.ndim or len(array) != len(latents)):
            raise InputError(
                f"{name} of {path} has shape {array.shape} and latents {latents.shape}, expected as many rows: one a step"
            )
    if following is None:
        if episodes is None:
            warn_user(f"{path} names no next latents and no episodes: its rows are taken for one trajectory", UserWarning)
        last = np.zeros(len(latents) - 1, dtype=bool) if episodes is None else episodes[1:] != episodes[:-1]
        keep = np.flatnonzero(~last)
        if not keep.size:
            raise InputError(
                f"no two rows of {path} belong to one episode, expected next latents or steps in order: name the "
                "next latents with --next-latents"
            )
        values, following = latents[keep], latents[keep + 1]
        actions, episodes, predicted = (None if part is None else part[keep] for part in (actions, episodes, predicted))
    return LatentRows(
        as_float("latents", values, (None, None)),
        as_float("next_latents", following, (None, None)),
        actions,
        episodes,
        None if predicted is None else as_float("predicted", predicted, (None, None)),
    )


def _from_episodes(path: Path, given: dict[str, NDArray[Any] | None]) -> LatentRows:
    """Arrays whose first axes are episode and step."""
    latents = given["latents"]
    assert latents is not None
    n_episodes, n_steps = latents.shape[:2]
    if given["episodes"] is not None:
        raise InputError(f"{path} has latents (E, T, D) and episode numbers, expected one of the two: leave the numbers out")
    following = given["next_latents"]
    if following is None and n_steps < 2:
        raise InputError(f"latents of {path} has shape {latents.shape}, expected at least 2 steps: there is no next one")
    last = n_steps if following is not None else n_steps - 1

    def flat(name: str, values: NDArray[Any] | None) -> NDArray[Any] | None:
        if values is None:
            return None
        if values.ndim not in (2, 3) or values.shape[0] != n_episodes or values.shape[1] not in (last, n_steps):
            raise InputError(
                f"{name} of {path} has shape {values.shape}, expected ({n_episodes}, {last}, ...) beside latents "
                f"{latents.shape}: one entry a step"
            )
        return values[:, :last].reshape(n_episodes * last, *values.shape[2:])

    flat_following = flat("next_latents", following)
    after = latents[:, 1:].reshape(n_episodes * last, -1) if flat_following is None else flat_following
    predicted = flat("predicted", given["predicted"])
    return LatentRows(
        as_float("latents", latents[:, :last].reshape(n_episodes * last, -1), (None, None)),
        as_float("next_latents", after, (None, None)),
        flat("actions", given["actions"]),
        np.repeat(np.arange(n_episodes), last),
        None if predicted is None else as_float("predicted", predicted, (None, None)),
    )
