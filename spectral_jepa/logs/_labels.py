"""Labels are not numbers: distinct labels in, distinct labels out, whatever the types of the columns that hold them.

Two columns of one space (state and next state) are joined exactly or not at all: no label passes through a type that cannot
hold it. In CSV, which keeps no types, a column holds numbers only where each word is the one way to write its number
("345.10", "0117" or twenty digits are text), so that no two words become one label.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import InputError, first_line
from spectral_jepa.data import Ids

if TYPE_CHECKING:
    import pyarrow as pa

# Below it float64 holds every whole number exactly.
EXACT = 2**53
END = "(end)"
INTEGER = r"^(0|-?[1-9]\d{0,17})$"
DECIMAL = re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?")
Values: TypeAlias = "NDArray[Any] | pa.ChunkedArray"
# Where a log is, for messages: a file's path, or words.
Place = Path | str


def is_words(values: Any) -> TypeGuard[pa.ChunkedArray]:
    """Whether these are the words of a CSV file, without loading pyarrow to ask: a browser has none."""
    return type(values).__name__ == "ChunkedArray"


@dataclass(frozen=True)
class Column:
    """One column of labels: an array, or the words of a CSV file."""

    name: str
    values: Values

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where there is no label."""
        if is_words(self.values):
            import pyarrow.compute as pc

            return np.asarray(pc.is_null(self.values).to_numpy())
        import pandas as pd

        return np.asarray(pd.isna(self.values))


def number_labels(joined: list[list[Column]], path: Place) -> tuple[Ids, tuple[Any, ...]]:
    """Ids of the labels in sorted order, and the labels.

    ``joined`` has one entry a coordinate of the label: the columns, one under the other, that hold it. Coordinates are
    merged one at a time, so no product overflows.
    """
    import pandas as pd

    codes, labels = None, None
    for columns in joined:
        part, distinct = _encode(columns, path)
        if codes is None or labels is None:
            codes, labels = part, [(label,) for label in distinct]
            continue
        codes, pairs = pd.factorize(codes * len(distinct) + part, sort=True)
        first, second = np.divmod(pairs, len(distinct))
        labels = [(*labels[i], distinct[j]) for i, j in zip(first.tolist(), second.tolist(), strict=True)]
    assert codes is not None and labels is not None
    return codes.astype(np.int64), tuple(label[0] for label in labels) if len(joined) == 1 else tuple(labels)


def end_label(labels: tuple[Any, ...]) -> Any:
    """A label for the end of an episode that no state has, a tuple where the others are tuples."""
    word: Any = END
    while True:
        label = (word,) * len(labels[0]) if isinstance(labels[0], tuple) else word
        if label not in set(labels):
            return label
        word = f"({word})"


def _encode(columns: list[Column], path: Place) -> tuple[Ids, list[Any]]:
    """Ids and sorted labels of columns that share one space."""
    import pandas as pd

    words = [column.values for column in columns if is_words(column.values)]
    if words:  # a file is CSV as a whole
        numbers = [_read_numbers(part) for part in words]
        if any(part is None for part in numbers):
            return _encode_words(words)
        try:
            values = _join([part for part in numbers if part is not None], [], path)
        except InputError:  # numbers that no one type holds
            return _encode_words(words)
    else:
        values = _join([np.asarray(column.values) for column in columns], [column.name for column in columns], path)
    names = " and ".join(repr(column.name) for column in columns)
    try:
        codes, distinct = pd.factorize(values, sort=True)
    except TypeError as error:
        raise InputError(
            f"{names} of {path} holds labels that cannot be sorted ({first_line(error)}), "
            "expected one kind: write them all as text or all as numbers"
        ) from error
    kinds = sorted({type(label).__name__ for label in distinct.tolist()}) if distinct.dtype == object else []
    if len(kinds) > 1:
        raise InputError(
            f"{names} of {path} holds labels of types {' and '.join(kinds)}, expected one type: "
            "write them all as text (UTF-8) or all as numbers"
        )
    return codes.astype(np.int64), distinct.tolist()


def _encode_words(parts: list[pa.ChunkedArray]) -> tuple[Ids, list[str]]:
    import pyarrow as pa

    chunks = [chunk for part in parts for chunk in part.chunks]
    encoded = pa.chunked_array(chunks, type=parts[0].type).combine_chunks().dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    order = sorted(range(len(distinct)), key=distinct.__getitem__)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[encoded.indices.to_numpy(zero_copy_only=False)], [distinct[i] for i in order]


def _read_numbers(words: pa.ChunkedArray) -> NDArray[Any] | None:
    """The column as numbers if every word is the one way to write its number and no two are equal; else None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = words.combine_chunks().dictionary_encode()
    distinct = encoded.dictionary
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    whole = pc.match_substring_regex(distinct, INTEGER)
    if pc.all(whole).as_py():
        return distinct.cast(pa.int64()).to_numpy()[codes]
    values = np.empty(len(distinct))
    for i, (word, is_whole) in enumerate(zip(distinct.to_pylist(), whole.to_pylist(), strict=True)):
        if not DECIMAL.fullmatch(word) or word == "-0.0":
            return None
        values[i] = float(word)
        if not (abs(values[i]) < EXACT if is_whole else repr(float(values[i])) == word):
            return None
    return values[codes] if np.unique(values).size == values.size else None


def _join(arrays: list[NDArray[Any]], names: list[str], path: Place) -> NDArray[Any]:
    """The arrays one under the other, in a type that holds every value of each exactly."""
    arrays = [_plain(array) for array in arrays]
    kinds = {array.dtype.kind for array in arrays}
    where = f"{' and '.join(map(repr, names))} of {path}"
    if kinds <= {"i", "u"}:
        return _join_integers(arrays)
    if kinds == {"f"}:
        return _join_floats(arrays, where)
    if kinds <= {"i", "u", "f"}:
        return _join_mixed(arrays, where)
    if len(kinds) == 1 and "c" not in kinds:
        return np.concatenate(arrays)
    if kinds <= {"i", "u", "O"}:
        # A column with whole numbers beside one with text is text, and a whole number has one way to be written.
        return np.concatenate([array if array.dtype == object else array.astype(str).astype(object) for array in arrays])
    types = " and ".join(sorted({str(array.dtype).replace("object", "text") for array in arrays}))
    raise InputError(
        f"{where} holds labels of types {types}, expected one kind: "
        "a state must be written the same way in both columns, all as text or all as numbers"
    )


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Text and times as objects, so that columns of other widths or units share one space; wide floats as float64."""
    if array.dtype.kind in "US":
        return array.astype(object)
    if array.dtype.kind in "Mm":
        import pandas as pd

        return np.asarray(pd.Series(array).astype(object))
    if array.dtype.kind == "f" and array.dtype.itemsize > 8 and (array == array.astype(np.float64)).all():
        return array.astype(np.float64)
    return array


def _join_integers(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    low, high = min(int(array.min()) for array in arrays), max(int(array.max()) for array in arrays)
    if high <= np.iinfo(np.int64).max:
        return np.concatenate([array.astype(np.int64) for array in arrays])
    return np.concatenate([array.astype(np.uint64 if low >= 0 else object) for array in arrays])


def _join_floats(arrays: list[NDArray[Any]], where: str) -> NDArray[Any]:
    narrow = min((array.dtype for array in arrays), key=lambda dtype: dtype.itemsize)
    with np.errstate(over="ignore"):
        rounded = [array.astype(narrow).astype(array.dtype) for array in arrays]
    if all(np.array_equal(array, back) for array, back in zip(arrays, rounded, strict=True)):
        return np.concatenate([array.astype(np.float64) if array.dtype.itemsize <= 8 else array for array in arrays])
    types = " and ".join(sorted({str(array.dtype) for array in arrays}))
    raise InputError(
        f"{where} holds labels as {types}, in which the same decimal is two different numbers, expected one type: "
        "write both columns with the wider one, from the source of the log"
    )


def _join_mixed(arrays: list[NDArray[Any]], where: str) -> NDArray[Any]:
    """Whole numbers beside floats: below 2^53 both are exact."""
    if all(np.abs(array.astype(np.float64)).max() < EXACT and array.dtype.itemsize <= 8 for array in arrays):
        floats = _join_floats([array for array in arrays if array.dtype.kind == "f"], where)
        if (floats == np.round(floats)).all():
            return np.concatenate([array.astype(np.int64) for array in arrays])
        if all(array.dtype.itemsize == 8 for array in arrays if array.dtype.kind == "f"):
            return np.concatenate([array.astype(np.float64) for array in arrays])
        whole = [array.astype(np.float64) for array in arrays if array.dtype.kind != "f"]
        narrow = min((array.dtype for array in arrays if array.dtype.kind == "f"), key=lambda dtype: dtype.itemsize)
        if all(np.array_equal(array, array.astype(narrow).astype(np.float64)) for array in whole):
            return np.concatenate([array.astype(np.float64) for array in arrays])
    types = " and ".join(sorted({str(array.dtype) for array in arrays}))
    raise InputError(
        f"{where} holds labels as {types}, and floats do not hold all these numbers exactly, expected one type: "
        "write both columns as whole numbers, or both as text"
    )
