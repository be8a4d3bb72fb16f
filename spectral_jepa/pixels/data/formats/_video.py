"""Frames of video files, decoded by PyAV (FFmpeg)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spectral_jepa._validation import InputError, first_line, needs_package

# Half a frame early is the frame itself: timestamps are rounded to the container's clock.
NEAR = 0.5


def frames_of(path: Path, start: float = 0.0, count: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """``count`` frames (H, W, 3) of a video from a time in seconds on; by default all of them.

    Raises
    ------
    InputError
        av is not installed; no such file, no video, or one that ends before.
    """
    with needs_package(f"reading the video {path}", "video"):
        import av
    if not path.is_file():
        raise InputError(f"there is no video {path}, expected one beside its table: copy the whole dataset")
    found = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate, base = stream.average_rate, stream.time_base
            early = start - (NEAR / float(rate) if rate else 0.0)
            if start > 0 and base:
                container.seek(int(start / base), stream=stream)  # to the keyframe before it
            for frame in container.decode(stream):
                if frame.time is not None and frame.time < early:
                    continue
                if count is not None and found == count:
                    break
                yield frame.to_ndarray(format="rgb24")
                found += 1
    except (av.error.FFmpegError, IndexError) as error:
        raise InputError(
            f"{path} is no video that can be read ({first_line(error)[:100]}), expected one: copy it anew"
        ) from None
    if count is not None and found < count:
        raise InputError(
            f"{path} has {found} frames from {start:g} s on, expected {count}: the video is not that of its table, copy both"
        )
