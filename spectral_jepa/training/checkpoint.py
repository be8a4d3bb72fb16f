"""Checkpoints of a run: safe against a kill at any moment, checked byte by byte, tied to the configuration that made them.

A checkpoint is two files, ``step-N.pt`` (the state, torch's own format) and ``step-N.json`` (step, configuration and the
SHA-256 of the state, with a SHA-256 of its own). The second is written last and makes the first count. The digests are
needed: a flipped byte in a ``.pt`` file loads without a complaint.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spectral_jepa._files import decode_record, encode_record, remove_leftovers, write_atomic
from spectral_jepa._validation import InputError, check_count, warn_user

State = dict[str, Any]


class Checkpoints:
    """The checkpoints of one run in one folder; the newest few are kept.

    Parameters
    ----------
    folder : Path
        Made on the first save. Nothing else should write to it.
    config : dict
        What fixes the run, in JSON types. A checkpoint of another configuration is refused.
    keep : int
        Checkpoints that stay on disk; 2 is the least that survives a damaged file.

    Raises
    ------
    InputError
        ``keep`` below 1.

    Notes
    -----
    One process writes: whoever trains holds the folder. A kill while saving leaves the previous checkpoint in force.
    Space: ``keep`` + 1 states.

    Examples
    --------
    >>> import tempfile
    >>> checkpoints = Checkpoints(Path(tempfile.mkdtemp()) / "checkpoints", {"seed": 0})
    >>> checkpoints.load() is None
    True
    >>> checkpoints.save(10, {"weight": torch.ones(2)})
    >>> checkpoints.load()
    (10, {'weight': tensor([1., 1.])})
    """

    def __init__(self, folder: Path | str, config: Mapping[str, Any], keep: int = 2) -> None:
        self.folder = Path(folder)
        self.config: dict[str, Any] = json.loads(json.dumps(dict(config)))
        self.keep = check_count("keep", keep)

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, damaged or not, in order."""
        return sorted(int(path.stem.removeprefix("step-")) for path in self.folder.glob("step-*.json"))

    def path(self, step: int) -> Path:
        """Path of the state of one step."""
        return self.folder / f"step-{step}.pt"

    def save(self, step: int, state: State) -> None:
        """Write the state of one step, then delete what is older than the newest ``keep`` or was superseded.

        Parameters
        ----------
        step : int
            Optimiser steps taken.
        state : dict
            Tensors, numbers, texts, and dicts and lists of them.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        write_atomic(self.path(step), content)
        record = {"step": step, "sha256": hashlib.sha256(content).hexdigest(), "config": self.config}
        write_atomic(self.path(step).with_suffix(".json"), encode_record(record))
        self._clean(step)

    def load(self, map_location: str | torch.device = "cpu") -> tuple[int, State] | None:
        """Return step and state of the newest whole checkpoint, or None where there is none.

        Parameters
        ----------
        map_location : str or torch.device
            Where the tensors go.

        Returns
        -------
        (int, dict) or None

        Warns
        -----
        UserWarning
            Where a newer one is damaged: names it and the one used.

        Raises
        ------
        InputError
            All are damaged, or the newest whole one was made with another configuration (the difference, field by field).
        """
        damaged: list[str] = []
        for step in reversed(self.steps()):
            path = self.path(step)
            try:
                record = decode_record(path.with_suffix(".json").read_bytes())
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() != record["sha256"] or step != record["step"]:
                    raise ValueError("the content does not match its SHA-256")
            except (ValueError, KeyError, FileNotFoundError):
                damaged.append(path.name)
                continue
            difference = config_difference(record["config"], self.config)
            if difference:
                raise InputError(
                    f"{path} was made with another configuration ({'; '.join(difference)}), expected the same one "
                    "to resume: restore these fields or train in a new folder"
                )
            if damaged:
                warn_user(f"checkpoint {', '.join(damaged)} in {self.folder} is damaged: going on from {path.name}")
            return step, torch.load(io.BytesIO(content), map_location=map_location, weights_only=True)
        if damaged:
            raise InputError(
                f"every checkpoint in {self.folder} is damaged ({', '.join(damaged)}), expected at least one whole file: "
                "restore a copy, or delete the folder to start again"
            )
        return None

    def _clean(self, newest: int) -> None:
        kept = {newest, *[step for step in self.steps() if step < newest][::-1][: self.keep - 1]}
        # The JSON goes first: a kill between the two deletions leaves a state that does not count and goes next time.
        for step in set(self.steps()) - kept:
            self.path(step).with_suffix(".json").unlink(missing_ok=True)
        for path in self.folder.glob("step-*.pt"):
            if not path.with_suffix(".json").exists():
                path.unlink(missing_ok=True)
        remove_leftovers(self.folder, "step-*")


def config_difference(saved: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Fields in which two nested configurations differ.

    Parameters
    ----------
    saved, given : dict
        Values that compare with ``==``; a dict inside is a section.

    Returns
    -------
    list of str
        One ``section.field: saved -> given`` a difference, in the order of ``saved``, then of ``given``; "absent" where one
        lacks the field.

    Notes
    -----
    O(number of fields). Lists count as one value.

    Examples
    --------
    >>> config_difference({"model": {"dim": 64}, "seed": 0}, {"model": {"dim": 32}, "seed": 0})
    ['model.dim: 64 -> 32']
    """
    first, second = _flatten(saved), _flatten(given)
    names = list(dict.fromkeys([*first, *second]))
    return [
        f"{name}: {first.get(name, 'absent')} -> {second.get(name, 'absent')}"
        for name in names
        if name not in first or name not in second or first[name] != second[name]
    ]


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
