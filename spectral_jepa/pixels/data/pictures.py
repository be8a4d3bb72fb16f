"""Pictures that are files of somebody's camera, as a model reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spectral_jepa._shapes import UInt8
from spectral_jepa._validation import InputError, check_count, first_line, needs_package


def read_picture(path: str | Path, image_size: int) -> UInt8[np.ndarray, "S S 3"]:
    """Read a picture file of 8 bits a colour.

    Parameters
    ----------
    path : str or Path
        Of any format that Pillow reads; square. Grey pictures get three equal colours, transparency is dropped.
    image_size : int
        S: a picture of another size is resized to it by Pillow's antialiased bilinear filter.

    Returns
    -------
    uint8 array (S, S, 3)

    Raises
    ------
    InputError
        No such file, no picture, one that is not square (stretching would show the model what it never saw), or of more than
        8 bits a colour.

    Notes
    -----
    O(pixels).

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "red.png"
    >>> Image.new("RGB", (16, 16), (255, 0, 0)).save(path)
    >>> read_picture(path, 8).shape, read_picture(path, 8)[0, 0].tolist()
    ((8, 8, 3), [255, 0, 0])
    """
    check_count("image_size", image_size)
    with needs_package("reading a picture", "pixels"):
        from PIL import Image
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no picture {path}, expected a file such as a PNG or a JPEG: check the path")
    try:
        with Image.open(path) as opened:
            deep, (width, height) = opened.mode.startswith(("I", "F")), opened.size
            picture = opened.convert("RGB")
    except Exception as error:  # of Pillow and its decoders
        raise InputError(
            f"{path} is no picture that can be read ({first_line(error)[:100]}), expected a PNG or a JPEG: save it anew"
        ) from None
    if deep:
        raise InputError(f"{path} has more than 8 bits a colour, expected 8: convert it as the training pictures were")
    if width != height:
        raise InputError(
            f"{path} is {width} x {height} pixels, expected a square picture: crop it as the training pictures were"
        )
    if width != image_size:
        picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.array(picture, dtype=np.uint8)
