"""Batches of real images on the training device: from its memory, or streamed into it.

Which images a batch has is a function of its number (`Order`), so that whoever gathers them may do
so ahead of time, and a run that continues sees what it would have seen.
"""

import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from d3gan.images import Images

Order = Callable[[int], tuple[Tensor, Tensor | None]]
"""Number of a batch -> which images [B], and which of them are mirrored [B] (None: none)."""

AHEAD = 4
"""Batches that a stream has ready; with one on the way, five batches of memory."""


Gathered = tuple[Tensor, Tensor | None]


class Batches(Protocol):
    """Real images, batch by batch, in two steps: what the CPU does, and what the device does."""

    def gathered(self, number: int) -> Gathered:
        """What batch `number` is made of, on the CPU; the same shapes for every batch."""

    def images(self, what: Tensor, mirrored: Tensor | None) -> Tensor:
        """Images [B, C, H, W] in [-1, 1], channels-last, from what was gathered and then moved to
        the device, of which it asks nothing."""


def make_batches(
    images: Images,
    order: Order,
    device: torch.device,
    dtype: torch.dtype,
    resident: Literal["auto", "always", "never"] = "auto",
) -> Batches:
    """`images` [M, C, H, W] in the device's memory if that is asked for, or if they take less than
    half of what is free of it; streamed otherwise."""
    fits = images.nbytes < _free_memory(device) / 2
    kind = Resident if resident == "always" or (resident == "auto" and fits) else Streamed
    return kind(images, order, device, dtype)


class Resident:
    """All images in the device's memory, where each batch is gathered."""

    def __init__(
        self, images: Images, order: Order, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.order, self.dtype = order, dtype
        self._images = torch.from_numpy(np.array(images)).to(device)

    def gathered(self, number: int) -> Gathered:
        return self.order(number)

    def images(self, what: Tensor, mirrored: Tensor | None) -> Tensor:
        return normalised(self._images[what], mirrored, self.dtype)


class Streamed:
    """Images gathered from the disk by a thread, ahead of the batch that is asked for.

    Batches are meant to be asked for in order; any other one begins the stream anew.
    """

    def __init__(
        self, images: Images, order: Order, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._images, self.order, self.device, self.dtype = images, order, device, dtype
        self._next = -1
        self._ready: queue.Queue[Ready] = queue.Queue()
        self._stop = threading.Event()

    def gathered(self, number: int) -> Gathered:
        if number != self._next:
            self._begin(number)
        self._next = number + 1
        gathered = self._ready.get()
        if isinstance(gathered, BaseException):
            self._next = -1
            raise gathered
        return gathered

    def images(self, what: Tensor, mirrored: Tensor | None) -> Tensor:
        return normalised(what, mirrored, self.dtype)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()

    def __del__(self) -> None:
        self.close()

    def _begin(self, number: int) -> None:
        self.close()
        # A queue and an event of its own for each thread: an old one may still be about to put.
        self._ready, self._stop = queue.Queue(AHEAD), threading.Event()
        # The thread must not hold `self`, which could then never be let go of.
        arguments = (self._images, self.order, number, self.device, self._ready, self._stop)
        threading.Thread(target=_gather, args=arguments, daemon=True).start()


Ready = Gathered | BaseException


def _gather(
    images: Images,
    order: Order,
    number: int,
    device: torch.device,
    ready: "queue.Queue[Ready]",
    stop: threading.Event,
) -> None:
    """Put the batches from `number` on into the queue until told to stop."""
    while not stop.is_set():
        gathered: Ready
        try:
            indices, mirrored = order(number)
            shape = (len(indices), *images.shape[1:])
            pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
            # mode: only "raise" would make a copy first; the indices are right.
            np.take(images, indices.numpy(), axis=0, out=pixels.numpy(), mode="clip")
            gathered = pixels, mirrored
        except Exception as error:  # told to whoever asks for the batch
            gathered = error
        while not stop.is_set():
            try:
                ready.put(gathered, timeout=0.2)
                break
            except queue.Full:
                pass
        if isinstance(gathered, BaseException):
            return
        number += 1


def normalised(pixels: Tensor, mirrored: Tensor | None, dtype: torch.dtype) -> Tensor:
    """uint8 [B, C, H, W] -> [-1, 1], those mirrored that `mirrored` [B] says."""
    batch = pixels.to(dtype, memory_format=torch.channels_last) / 127.5 - 1
    if mirrored is None:
        return batch
    return torch.where(mirrored[:, None, None, None], batch.flip(3), batch)


def moved(x: Tensor, device: torch.device) -> Tensor:
    """`x` of the CPU on the device, without waiting for the copy: the memory that it is copied
    from is pinned, and torch keeps it until the copy is done."""
    if device.type != "cuda":
        return x
    return x.pin_memory().to(device, non_blocking=True)


def _free_memory(device: torch.device) -> int:
    """Bytes that may still be taken on the device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if sys.platform == "linux":
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * 2**30  # where it cannot be asked: what any machine that trains has
