"""The columns of a log's file as they are written, in every format, and one sentence where that cannot be."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import Array, InputError, check_choice, first_line, needs_package, warn_user
from spectral_jepa.logs._labels import Column, Place, is_words

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

COMPRESSED = (".gz", ".bz2", ".zst")
TEXT = (".csv", ".tsv", *(f"{kind}{end}" for end in COMPRESSED for kind in (".csv", ".tsv")))
FORMATS = (".csv", ".parquet", ".npz", *TEXT[1:])
# Only these words are missing values: the usual lists would also swallow labels such as "None", "NA" or "null".
MISSING = ["", "nan", "NaN"]
SEPARATORS = (",", "\t", ";", "|")
TRUE, FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")
# What a table in memory is called where a file has its path.
FRAME = "the DataFrame"
Table = dict[str, Any]
Choose = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class TextFormat:
    """How a text file is written: its separator (None: found out), its decimal mark, and whether it has a header line."""

    separator: str | None = None
    decimal: str = "."
    header: bool = True

    def __post_init__(self) -> None:
        if self.separator is not None and (not isinstance(self.separator, str) or len(self.separator) != 1):
            raise InputError(f"separator is {self.separator!r}, expected one character: for example ';' or a tab")
        check_choice("decimal", self.decimal, (".", ","))


def extension(path: Path) -> str:
    """The extension in small letters, with that of a compression; a folder is one of Parquet files."""
    if path.is_dir():
        return ".parquet"
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:]) if suffixes and suffixes[-1] in COMPRESSED else "".join(suffixes[-1:])


def read_table(path: Path, choose: Choose, text: TextFormat, wanted: list[str]) -> Table:
    """The columns of the file that ``choose`` takes from those present: arrays, or words where the file is CSV."""
    kind = check_choice(f"the extension of {path}", extension(path), FORMATS)
    if not path.exists():
        raise InputError(f"{path} is not a file, expected a log of transitions ({', '.join(FORMATS)}): check the path")
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{path} is empty (0 bytes), expected a log of transitions: write it again")
    if kind != ".npz":
        with needs_package(f"reading {path}"):
            import pyarrow  # noqa: F401
    try:
        if kind in TEXT:
            table = _read_text(path, choose, text, wanted)
        else:
            if text != TextFormat():
                raise InputError(
                    f"separator, decimal and header say how a text file is written, but {path} is {kind[1:]}, "
                    "expected .csv or .tsv: leave them out"
                )
            table = (_read_parquet if kind == ".parquet" else _read_npz)(path, choose)
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(
            f"{path} cannot be read ({first_line(error)}), expected permission to read it: ask for it"
        ) from None
    except (ValueError, OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, *_arrow_errors()) as error:  # type: ignore[misc]
        raise InputError(f"{path} cannot be read as {kind[1:]} ({_reason(error)}), {_advice(path, error)}") from error
    lengths = {name: len(column) for name, column in table.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"the columns of {path} have lengths {lengths}, expected one length: a row is one transition")
    if not next(iter(lengths.values())):
        raise InputError(f"{path} has columns but no row, expected at least one transition: write it again")
    return table


def read_frame(frame: pd.DataFrame, choose: Choose, text: TextFormat) -> Table:
    """The columns of a DataFrame that ``choose`` takes from those present; its index is no column."""
    if text != TextFormat():
        raise InputError(
            f"separator, decimal and header say how a text file is written, but {FRAME} is none, expected a path: "
            "leave them out"
        )
    if not len(frame):
        raise InputError(f"{FRAME} has columns but no row, expected at least one transition: fill it")
    names = choose([name if isinstance(name, str) else str(name) for name in frame.columns])
    chosen = {name: frame.iloc[:, [str(column) for column in frame.columns].index(name)] for name in names}
    return {name: _plain_column(column) for name, column in chosen.items()}


def _plain_column(column: pd.Series[Any]) -> NDArray[Any]:
    """A column as numpy holds it: numbers and truth values, and objects where there are others or some are missing."""
    kind = column.dtype.kind
    if isinstance(column.dtype, np.dtype) and kind in "iufb":
        return column.to_numpy()
    if kind in "iufb" and not column.isna().any():  # of pandas' own types, which know missing values
        return column.to_numpy(dtype=column.dtype.numpy_dtype)  # type: ignore[union-attr]
    return column.astype(object).to_numpy()


def _arrow_errors() -> tuple[type[Exception], ...]:
    """What pyarrow raises, where it is loaded."""
    loaded = sys.modules.get("pyarrow")
    return () if loaded is None else (loaded.ArrowException,)


def take_columns(table: Table, names: list[str]) -> list[Column]:
    """The named columns; a two-dimensional array counts as several."""
    columns: list[Column] = []
    for name in names:
        values = table[name]
        if is_words(values) or values.ndim == 1:
            columns.append(Column(name, values))
        else:
            columns += [Column(f"{name}[:, {i}]", part) for i, part in enumerate(values.T)]
    return columns


def take_numbers(table: Table, name: str, text: TextFormat) -> Array:
    """A column as float64, NaN where it holds no number."""
    import pandas as pd

    values = table[name]
    if is_words(values):
        encoded = values.combine_chunks().dictionary_encode()
        numbers = np.array([_as_number(word, text.decimal) for word in encoded.dictionary.to_pylist()] + [np.nan])
        return numbers[np.asarray(encoded.indices.fill_null(len(numbers) - 1))]
    if values.ndim != 1:
        raise InputError(f"array {name!r} has shape {values.shape}, expected (rows,): one number a row, so reshape it")
    return pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(np.float64, na_value=np.nan)


def take_flags(table: Table, name: str, path: Place) -> NDArray[np.bool_]:
    """A column of true and false, 1 and 0, or such words."""
    import pandas as pd

    values = table[name]
    words = values.to_pandas() if is_words(values) else pd.Series(values)
    distinct = {word: str(word).lower() for word in pd.unique(words)}
    for word, written in distinct.items():
        if written not in TRUE + FALSE:
            row = int(np.flatnonzero((words == word) if not pd.isna(word) else words.isna())[0]) + 1
            raise InputError(
                f"column {name!r} of {path} holds {word!r} in row {row} (counted from 1), expected true or false (or 1 or "
                "0): it says whether an episode ended in that row"
            )
    return words.map({word: written in TRUE for word, written in distinct.items()}).to_numpy(bool)


def _as_number(word: str, decimal: str) -> float:
    if "_" in word or (decimal == "," and "." in word):
        return float("nan")
    try:
        return float(word.replace(",", ".") if decimal == "," else word)
    except ValueError:
        return float("nan")


def _head(path: Path, n_bytes: int = 2**20) -> tuple[str, str]:
    """The first lines and their encoding."""
    import pyarrow as pa

    with pa.input_stream(str(path), compression="detect") as stream:
        head = stream.read(n_bytes)
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    if head[:4] == b"PK\x03\x04" or head[:4] == b"PAR1":
        raise InputError(
            f"{path} is no text but a {'zip' if head[:2] == b'PK' else 'Parquet'} file, expected CSV: rename it"
        )
    return head[: len(head) // 2 * 2].decode(encoding, errors="replace").removeprefix("\ufeff"), encoding


def _read_text(path: Path, choose: Choose, text: TextFormat, wanted: list[str]) -> Table:
    import pyarrow as pa
    import pyarrow.csv

    head, encoding = _head(path)
    lines = head.splitlines()
    n_comments = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    lines = lines[n_comments : n_comments + 2] or [""]
    if text.separator is not None:
        separator = text.separator
    else:
        likely = ("\t", *SEPARATORS) if ".tsv" in extension(path) else SEPARATORS
        fits = [mark for mark in likely if set(wanted) <= set(_fields(lines[0], mark))]
        plain = max(likely, key=lambda mark: len(_fields(lines[0], mark)))
        separator = fits[0] if fits else plain if text.header is False else likely[0]
    present = _fields(lines[0], separator)
    if not text.header:
        present = [str(i) for i in range(len(present))]
    elif len(lines) > 1 and len(row := _fields(lines[1], separator)) == len(present) + 1 and row[-1]:
        warn_user(
            f"the rows of {path} have one field more than its header: the first is taken for a column of row names, as R "
            "writes it, and is not used",
            UserWarning,
        )
        present = ["", *present]
    names = choose(present)
    read = pyarrow.csv.ReadOptions(
        column_names=[f"{i}" for i in range(len(present))], skip_rows=n_comments + text.header, encoding=encoding
    )
    position = {name: str(present.index(name)) for name in names}
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(position.values()),
        column_types=dict.fromkeys(position.values(), pa.large_string()),
        null_values=MISSING,
        strings_can_be_null=True,
    )
    parse = pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    with pa.input_stream(str(path), compression="detect") as stream:
        table = pyarrow.csv.read_csv(stream, read, parse, convert)
    return {name: table.column(at) for name, at in position.items()}


def _fields(line: str, separator: str) -> list[str]:
    return next(csv.reader(io.StringIO(line), delimiter=separator), [])


def _read_parquet(path: Path, choose: Choose) -> Table:
    import pyarrow.dataset
    import pyarrow.parquet

    if path.is_dir():
        data = pyarrow.dataset.dataset(str(path), format="parquet", partitioning="hive")
        names = choose(list(data.schema.names))
        table = data.to_table(columns=names)
    else:
        names = choose(list(pyarrow.parquet.read_schema(path).names))
        table = pyarrow.parquet.ParquetFile(path).read(columns=names)
    return {name: as_array(table.column(name)) for name in names}


def as_array(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """A Parquet column; whole numbers beside missing ones stay whole."""
    import pyarrow as pa

    if column.null_count and pa.types.is_integer(column.type):
        return np.array(column.to_pylist(), dtype=object)
    values = column.to_pandas()
    return np.asarray(values if values.dtype.kind in "iufb" else values.astype(object))


def open_parquet(path: Path, columns: list[str], chunk_rows: int) -> tuple[Callable[[], Iterator[list[pa.Array]]], int]:
    """A function that reads the named columns in chunks, from the first row on at each call, and the number of rows."""
    if not path.exists() or extension(path) != ".parquet":
        raise InputError(
            f"{path} is no Parquet file or folder of them, expected one, which can be read in chunks: write it as .parquet"
        )
    try:
        import pyarrow.dataset
        import pyarrow.parquet

        data = pyarrow.dataset.dataset(str(path), format="parquet")
        n_rows = data.count_rows()
    except (ValueError, OSError, *_arrow_errors()) as error:  # type: ignore[misc]
        raise InputError(f"{path} cannot be read as parquet ({_reason(error)}), {_advice(path, error)}") from error
    absent = [name for name in columns if name not in data.schema.names]
    if absent:
        raise InputError(
            f"{path} has no column {absent[0]!r}, expected one of those present: "
            f"{', '.join(map(repr, data.schema.names))}: name them with state=, action= and next_state="
        )

    nested = [name for name in columns if pyarrow.types.is_nested(data.schema.field(name).type)]
    if nested:
        raise InputError(
            f"{path} holds lists or structures as {nested[0]!r}, expected one value a row: write each part as a column and "
            "read the log whole (read_log), or number the labels"
        )

    def chunks() -> Iterator[list[pa.Array]]:
        # One after the other and when asked for: a scan of a dataset decodes ahead of whoever counts, up to the whole file.
        for file in data.files:
            reader = pyarrow.parquet.ParquetFile(file, pre_buffer=False)
            for batch in reader.iter_batches(batch_size=chunk_rows, columns=columns, use_threads=False):
                if len(batch):
                    yield [batch.column(batch.schema.names.index(name)) for name in columns]

    return chunks, n_rows


def _read_npz(path: Path, choose: Choose) -> Table:
    if not zipfile.is_zipfile(path):
        raise zipfile.BadZipFile("it is no zip archive")
    with np.load(path, allow_pickle=False) as archive:

        def take(name: str) -> NDArray[Any]:
            try:
                return archive[name]
            except ValueError as error:
                if "pickle" not in str(error):
                    raise
                raise InputError(
                    f"array {name!r} of {path} holds Python objects, which could run code when loaded: "
                    "save it as numbers or as text, for example with array.astype(str)"
                ) from error

        # One structured array is a table of its own.
        only = take(archive.files[0]) if len(archive.files) == 1 else None
        if only is not None and only.dtype.names:
            return {name: _checked(only[name], name, path) for name in choose(list(only.dtype.names))}
        return {name: _checked(take(name), name, path) for name in choose(list(archive.files))}


def _checked(array: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    if array.dtype.names:
        raise InputError(
            f"array {name!r} of {path} is structured, with fields {', '.join(map(repr, array.dtype.names))}, expected a "
            "plain one: save its fields as arrays of their own, or it alone"
        )
    if array.ndim not in (1, 2):
        raise InputError(
            f"array {name!r} of {path} has shape {array.shape}, expected (rows,) or (rows, columns): reshape it"
        )
    return array


def _reason(error: Exception) -> str:
    text = first_line(error)
    return text if len(text) < 200 else text[:200] + " ..."


def _advice(path: Path, error: Exception) -> str:
    """What to do, by what the reader said."""
    said = str(error).lower()
    if "utf8" in said or "utf-8" in said:
        return "expected UTF-8 text: save it again as UTF-8, for example with iconv -f LATIN1 -t UTF-8"
    if "expected" in said and "columns" in said:
        return (
            "expected as many fields in each row as in its header: it may be truncated, hold comment lines or an unquoted "
            "separator, or be written with another one (separator=, on the command line --separator)"
        )
    if path.is_dir():
        return "expected a folder of whole Parquet files: take out what is none"
    return "expected a whole file: it may be truncated or of another format, so write it again"
