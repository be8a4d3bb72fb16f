"""Batches on the way to the device: gathered there when all pictures fit, else prefetched by a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from spectral_jepa.pixels.data import EpisodeDataset, WindowSampler

Batch = tuple[Tensor, Tensor, dict[str, int]]
RESIDENT_SHARE = 0.5
QUEUE_LENGTH = 4


def fits(dataset: EpisodeDataset, device: torch.device) -> bool:
    """Whether all pictures take at most half of the GPU memory that is free now; never on a CPU, where they are mapped."""
    return device.type == "cuda" and dataset.pixels.nbytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


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
    Closing the iterator ends the thread.
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
