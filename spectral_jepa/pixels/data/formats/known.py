"""The formats that are known, and which of them a file or a folder is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.data.formats import _dino_wm, _folder, _lance, _lerobot, _minari, _own, _zarr
from spectral_jepa.pixels.data.formats.recording import Recording


class Format(NamedTuple):
    """A format of data.

    Parameters
    ----------
    name : str
        In words, for messages.
    recognises : callable Path -> bool
        Whether a path is of this format, by a look at its content that needs no package.
    read : callable (Path, str or None) -> Recording
        Opens it, with the column of pictures that was asked for.
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, str | None], Recording]


FORMATS = tuple(
    Format(module.NAME, module.recognises, module.read)
    for module in (_own, _lerobot, _minari, _zarr, _lance, _dino_wm, _folder)
)


def open_recording(source: str | Path, camera: str | None = None) -> Recording:
    """Open data of any known format.

    Parameters
    ----------
    source : str or Path
        A file or a folder; its format is recognised by its content.
    camera : str, optional
        Which column of pictures, where there are several. Default: the only one.

    Returns
    -------
    Recording

    Raises
    ------
    InputError
        No such path, content of no known format (the message lists them), a package that is not installed, data that are
        damaged or have no pictures, several columns of pictures and none chosen.

    Notes
    -----
    Reads indices and tables; pictures come with each episode. No code that data name or hold is run.

    Examples
    --------
    A folder of pictures and a table.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "walk").mkdir()
    >>> for t in range(3):
    ...     Image.new("RGB", (8, 8), (t, 0, 0)).save(folder / "walk" / f"{t}.png")
    >>> _ = (folder / "table.csv").write_text("episode,action_0\\nwalk,1\\nwalk,2\\nwalk,\\n")
    >>> recording = open_recording(folder)
    >>> recording.format, recording.read(0, lambda frame: frame)["pixels"][:, 0, 0, 0].tolist()
    ('a folder of videos or pictures with a table', [0, 1, 2])
    >>> open_recording(folder / "walk")
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: .../walk is of no known format, expected an HDF5 file with the columns ...
    """
    path = Path(source)
    if not path.exists():
        raise InputError(f"there is no {path}, expected a file or a folder of recorded episodes: check the path")
    for known in FORMATS:
        if known.recognises(path):
            return known.read(path, camera)
    raise InputError(
        f"{path} is of no known format, expected {'; '.join(known.name for known in FORMATS)}: see docs/data_formats.md"
    )
