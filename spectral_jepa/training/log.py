"""The log of a run: a CSV file always, TensorBoard where it is installed."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from spectral_jepa._files import value_digest, write_atomic
from spectral_jepa._validation import InputError


def check_log(folder: Path | str) -> None:
    """Refuse a folder whose ``log.csv`` is no training log: nobody's own file is overwritten.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        It begins with something else than the column ``step``.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> check_log(folder)
    >>> _ = (folder / "log.csv").write_text("step,loss")
    >>> check_log(folder)
    """
    path = Path(folder) / "log.csv"
    if path.exists():
        with path.open(errors="replace") as file:
            head = file.readline().strip()
        if head and head.partition(",")[0] != "step":
            raise InputError(
                f"{path} begins with {head[:40]!r} and is no training log, expected a folder without one of another kind: "
                "train in another folder"
            )


class TrainingLog:
    """One row of numbers a logged step, in ``log.csv``.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    resume_step : int
        Rows of later steps are dropped, because a resumed run writes them again; 0 starts a new file.
    digest : str, optional
        What :attr:`digest` was at that step. Default: the rows are taken as they are.

    Raises
    ------
    InputError
        The file does not hold the rows that it held at that step, or is of another kind, which is not overwritten.

    Notes
    -----
    A row is flushed when written. A new name widens the table; what a row lacks stays empty.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with TrainingLog(folder) as log:
    ...     log.write(10, loss=0.5)
    ...     log.write(20, loss=0.25, validation=0.5)
    >>> print((folder / "log.csv").read_text())
    step,loss,validation
    10,0.5,
    20,0.25,0.5
    """

    def __init__(self, folder: Path | str, resume_step: int = 0, digest: str | None = None) -> None:
        self.path = Path(folder) / "log.csv"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.columns = ["step"]
        self.rows: list[dict[str, Any]] = []
        if not resume_step:
            check_log(folder)
        if resume_step and self.path.exists():
            try:
                with self.path.open(newline="") as file:
                    reader = csv.DictReader(file)
                    self.columns = list(reader.fieldnames or self.columns)
                    # A kill can tear the last line: a short row, or one whose step is cut, is from a step that comes again.
                    self.rows = [row for row in reader if _step(row) <= resume_step and None not in (*row, *row.values())]
                whole = digest in (None, self.digest)
            except (UnicodeDecodeError, csv.Error):
                whole = False
            if not whole:
                raise InputError(
                    f"{self.path} does not hold the rows up to step {resume_step} as they were written, expected those of "
                    "the checkpoint: restore a copy, or remove it to go on without these rows"
                )
        self._file: Any = None
        self._rewrite()
        self._board = _tensorboard(self.path.parent, resume_step)

    @property
    def digest(self) -> str:
        """SHA-256 of the rows: what a checkpoint keeps, for a resumed run to know that the file still holds them."""
        rows = [{name: str(value) for name, value in row.items() if value != ""} for row in self.rows]
        return value_digest(rows)

    def write(self, step: int, **numbers: float) -> None:
        """Add one row.

        Parameters
        ----------
        step : int
            Optimiser steps taken; later than those of the rows before.
        **numbers : float
            By name; written so that they read back exactly.

        Notes
        -----
        O(1), and O(rows) for a name that is new.
        """
        row = {"step": step, **{name: repr(float(value)) for name, value in numbers.items()}}
        self.rows.append(row)
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite()
        else:
            self._write_row(self._file, row)
            self._file.flush()
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name, float(value), step)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write_row(self, file: Any, row: dict[str, Any]) -> None:
        csv.DictWriter(file, self.columns, restval="", lineterminator="\n").writerow(row)

    def _rewrite(self) -> None:
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writeheader()
        for row in self.rows:
            self._write_row(text, row)
        if self._file is not None:
            self._file.close()
        write_atomic(self.path, text.getvalue().encode())
        self._file = self.path.open("a", newline="")


def _step(row: dict[str, Any]) -> float:
    try:
        return int(row["step"])
    except (KeyError, TypeError, ValueError):
        return float("inf")


def _tensorboard(folder: Path, resume_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=resume_step + 1)
