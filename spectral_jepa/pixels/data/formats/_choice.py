"""Which of several columns of pictures is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spectral_jepa._validation import InputError


def the_camera(path: Path, found: Sequence[str], camera: str | None) -> str:
    """The column of pictures that was asked for, or the only one."""
    if not found:
        raise InputError(
            f"{path} holds no pictures, expected a column of them: a world model from pixels needs data with a camera"
        )
    known = ", ".join(found)
    if camera is None and len(found) > 1:
        raise InputError(f"{path} has the pictures {known}, expected the name of one of them: pass --camera NAME")
    if camera is not None and camera not in found:
        raise InputError(f"--camera is {camera!r}, expected one of the pictures of {path}, {known}: choose one")
    return found[0] if camera is None else camera
