"""Batches on the way to the device: gathered there when all pictures fit, else prefetched by a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from spectral_jepa.pixels.data import EpisodeDataset, WindowSampler
from spectral_jepa.pixels.data.drawn import DrawnPictures

Batch = tuple[Tensor, Tensor, dict[str, int]]
RESIDENT_SHARE = 0.5
QUEUE_LENGTH = 4


def fits(dataset: EpisodeDataset, device: torch.device) -> bool:
    """Whether all pictures of a dataset may live on a device.

    Parameters
    ----------
    dataset : EpisodeDataset
    device : torch.device

    Returns
    -------
    bool
        On a GPU, whether they take at most half of its memory that is free now; drawn ones take none. False anywhere else:
        on a CPU pictures are mapped.

    Examples
    --------
    >>> import numpy as np
    >>> episode = {"pixels": np.zeros((12, 8, 8, 3), np.uint8), "action": np.zeros((12, 2))}
    >>> fits(EpisodeDataset.from_episodes([episode]), torch.device("cpu"))
    False
    """
    if device.type != "cuda":
        return False
    pictures: Any = dataset.pixels
    return isinstance(pictures, DrawnPictures) or pictures.nbytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


def batches(sampler: WindowSampler, device: torch.device) -> Generator[Batch]:
    """Yield frames, blocks and the sampler's cursor after them, without end.

    Parameters
    ----------
    sampler : WindowSampler
        Its batches come on its own device; where that is not ``device``, a thread fetches them ahead into pinned memory.
    device : torch.device

    Yields
    ------
    tuple (frames, blocks, cursor)
        ``cursor`` belongs to this batch although the thread may be further on: put this one into a checkpoint.

    Raises
    ------
    Exception
        Whatever the sampler raises, in the caller's thread.

    Notes
    -----
    Closing the iterator ends the thread. At most 6 batches are held: 4 in the queue, one on its way in, one on its way out.

    Examples
    --------
    Nine windows make two batches of four an epoch.

    >>> import numpy as np
    >>> episode = {"pixels": np.zeros((12, 8, 8, 3), np.uint8), "action": np.arange(24.0).reshape(12, 2)}
    >>> data = EpisodeDataset.from_episodes([episode] * 3)
    >>> source = batches(WindowSampler(data, [0, 1, 2], n_frames=2, batch_size=4), torch.device("cpu"))
    >>> [(cursor["epoch"], cursor["cursor"]) for _, (frames, blocks, cursor) in zip(range(3), source)]
    [(0, 1), (0, 2), (1, 1)]
    """
    if sampler.device.type == device.type:
        while True:
            frames, blocks = sampler.batch()
            yield frames, blocks, sampler.state_dict()
    ready: queue.Queue[Batch | BaseException] = queue.Queue(QUEUE_LENGTH)
    closed = threading.Event()
    thread = threading.Thread(target=_fetch, args=(sampler, ready, closed), daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            frames, blocks, cursor = item
            yield frames.to(device, non_blocking=True), blocks.to(device, non_blocking=True), cursor
    finally:
        closed.set()
        thread.join()


def _fetch(sampler: WindowSampler, ready: queue.Queue[Any], closed: threading.Event) -> None:
    pin = torch.cuda.is_available()
    while not closed.is_set():
        item: Batch | BaseException
        try:
            frames, blocks = sampler.batch()
            if pin:
                frames, blocks = frames.pin_memory(), blocks.pin_memory()
            item = frames, blocks, sampler.state_dict()
        except BaseException as error:
            item = error
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.1)
                break
            except queue.Full:
                continue
        if isinstance(item, BaseException):
            return
