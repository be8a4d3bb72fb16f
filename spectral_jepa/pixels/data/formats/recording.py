"""What an adapter makes of data in somebody else's format: episodes that are read one at a time, in our rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_jepa._shapes import UInt8
from spectral_jepa._validation import InputError, check_choice, check_count, needs_package
from spectral_jepa.pixels.data.hdf5 import INDEX_COLUMNS, Episode

# One picture (H, W, 3) uint8 -> the picture that is kept.
Picture = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
SQUARES = ("crop", "pad")
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Recording:
    """Episodes in somebody else's format, each read when it is asked for.

    Parameters
    ----------
    format : str
        What the data were recognised as, in words.
    n_episodes : int
    read : callable (k, picture) -> dict of arrays
        Episode k as :func:`rows` returns it, each of its pictures sent through ``picture`` as soon as it is decoded.
    row_steps : int
        Raw steps between two rows.
    origin : str, optional
        The record of the environment, where the data hold one in our words.

    Examples
    --------
    >>> def read(k, picture):
    ...     return rows([picture(np.full((4, 4, 3), k, np.uint8))] * 3, np.zeros((2, 1)), {}, "episode")
    >>> Recording("made here", 2, read).read(1, lambda frame: frame[:2, :2])["pixels"].shape
    (3, 2, 2, 3)
    """

    format: str
    n_episodes: int
    read: Callable[[int, Picture], Episode]
    row_steps: int = 1
    origin: str | None = None


def rows(
    pictures: Iterable[NDArray[np.uint8]], action: ArrayLike, columns: Mapping[str, ArrayLike], where: str
) -> dict[str, NDArray[Any]]:
    """One episode in our rows: row t is the picture before action t.

    Parameters
    ----------
    pictures : iterable of uint8 arrays (S, S, 3)
        T of them.
    action : array (T - 1, A) or (T, A)
        Of T actions the last one is dropped: no picture shows what came of it.
    columns : dict of arrays (T, ...)
        Others; what is no number is left out, a flat one becomes (T, 1).
    where : str
        What messages name.

    Returns
    -------
    dict of arrays
        ``pixels`` uint8 (T, S, S, 3), ``action`` float32 (T, A) with NaN in the last row, and the others.

    Raises
    ------
    InputError
        Fewer than two pictures, pictures of different sizes, another number of actions or of other rows, actions that are
        not finite.

    Examples
    --------
    >>> episode = rows([np.zeros((4, 4, 3), np.uint8)] * 3, [[1.0], [2.0]], {"reward": [0, 0, 1]}, "episode 0")
    >>> episode["action"].ravel().tolist(), episode["reward"].shape
    ([1.0, 2.0, nan], (3, 1))
    """
    frames = list(pictures)
    shapes = sorted({frame.shape for frame in frames})
    if len(frames) < 2 or len(shapes) > 1:
        what = f"pictures of {len(shapes)} sizes, {shapes[:2]}" if len(shapes) > 1 else f"{len(frames)} pictures"
        raise InputError(f"{where} has {what}, expected two at least, of one size: leave it out or mend it")
    try:
        moves = np.asarray(action, dtype=np.float32)
    except (ValueError, TypeError):
        raise InputError(f"{where} has actions that are no numbers, expected numbers (steps, A): convert them") from None
    moves = moves[:, None] if moves.ndim == 1 else moves
    if moves.ndim != 2 or len(moves) - len(frames) not in (-1, 0):
        raise InputError(
            f"{where} has {len(frames)} pictures and actions {moves.shape}, expected one action between each two pictures, "
            "or one more: check that they belong together"
        )
    moves = moves[: len(frames) - 1]
    if not np.isfinite(moves).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(moves))[0])
        raise InputError(
            f"{where}: action[{row}, {column}] is {moves[row, column]}, expected a finite number but in the last row: mend "
            "it, or leave the episode out"
        )
    episode: dict[str, Any] = {"pixels": np.stack(frames), "action": np.pad(moves, ((0, 1), (0, 0)), constant_values=np.nan)}
    for name, values in columns.items():
        array = np.asarray(values)
        if array.dtype.kind not in "biuf" or name in ("pixels", "action", *INDEX_COLUMNS):
            continue
        if array.shape[:1] != (len(frames),):
            raise InputError(
                f"{where} has {name} {array.shape} and {len(frames)} pictures, expected a row a picture: check that they "
                "belong together"
            )
        episode[name] = array[:, None] if array.ndim == 1 else array
    return episode


def as_picture(frame: ArrayLike, where: str) -> UInt8[np.ndarray, "H W 3"]:
    """One frame of somebody else's as 8 bits a colour.

    Parameters
    ----------
    frame : array (H, W), (H, W, C) or (C, H, W), C = 1, 3 or, last, 4
        Whole numbers, or floats that hold 0 to 255, as diffusion policy's files do, or 0 to 1 and something between.
    where : str
        What messages name.

    Returns
    -------
    uint8 array (H, W, 3)

    Raises
    ------
    InputError
        Another shape, or values outside 0 to 255.

    Examples
    --------
    >>> as_picture(np.ones((3, 4, 4)) / 2, "a frame")[0, 0].tolist(), as_picture(np.full((4, 4), 7), "a frame").shape
    ([128, 128, 128], (4, 4, 3))
    """
    array = np.asarray(frame)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim == 3 and array.shape[2] not in (1, 3) and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, 2)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.dtype.kind not in "uif":
        raise InputError(
            f"{where} is {array.dtype} {np.shape(frame)}, expected a picture (H, W, 3): name its column by --camera"
        )
    if array.dtype.kind == "f" and array.size and array.max() <= 1 and (array % 1).any():
        array = array * 255
    if array.dtype != np.uint8:
        if not array.size or not np.isfinite(array).all() or array.min() < 0 or array.max() > 255:
            raise InputError(f"{where} has values that are no 8 bits a colour, expected 0 to 255: convert it first")
        array = np.rint(array).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array[..., :3], (*array.shape[:2], 3)))


def square_picture(image_size: int | None, square: str | None) -> Picture:
    """How pictures become those of a model: square, and of one size.

    Parameters
    ----------
    image_size : int, optional
        S: pictures of another size are resized by Pillow's antialiased bilinear filter. Default: they stay as large as they
        are.
    square : {"crop", "pad"}, optional
        Of a picture that is not square: keep the middle, or add black. Default: refuse it.

    Returns
    -------
    callable uint8 (H, W, 3) -> uint8 (S, S, 3)

    Raises
    ------
    InputError
        A size below 1 or above 4096, another word; from the callable: a picture that is not square where nothing says what
        to do.

    Examples
    --------
    >>> frame = np.zeros((4, 8, 3), np.uint8)
    >>> square_picture(2, "crop")(frame).shape, square_picture(None, "pad")(frame).shape
    ((2, 2, 3), (8, 8, 3))
    >>> square_picture(2, None)(frame)
    Traceback (most recent call last):
    spectral_jepa._validation.InputError: pictures are 8 x 4 pixels, expected square ones: pass --square crop ...
    """
    size = None if image_size is None else check_count("image_size", image_size, high=LARGEST_SIDE)
    if square is not None:
        check_choice("square", square, SQUARES)
    with needs_package("reading pictures", "pixels"):
        from PIL import Image

    def kept(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = frame.shape[:2]
        if height != width:
            frame = _squared(frame, square)
        if size is None or size == len(frame):
            return np.ascontiguousarray(frame)
        return np.array(Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8)

    return kept


def _squared(frame: NDArray[np.uint8], square: str | None) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    if square is None:
        raise InputError(
            f"pictures are {width} x {height} pixels, expected square ones: pass --square crop (the middle) or --square pad "
            "(black beside it)"
        )
    gap = abs(height - width)
    if square == "crop":
        side, start = min(height, width), gap // 2
        return frame[start : start + side] if height > width else frame[:, start : start + side]
    beside = (gap // 2, gap - gap // 2)
    return np.pad(frame, (beside if width > height else (0, 0), beside if height > width else (0, 0), (0, 0)))
