"""Batches of real images on the training device: from its memory, or streamed into it.

The content of a batch is a function of its number (`Order`), so a batch can be prepared ahead of
time, and a resumed run sees the same batches as an uninterrupted one.
"""

import os
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from d3gan.images import Images

Order = Callable[[int], tuple[Tensor, Tensor | None]]
"""Number of a batch -> indices of its images int64 [B], and which of them are mirrored, bool [B]
(None: none)."""

AHEAD = 4
"""Number of batches that a stream keeps ready; one more is being prepared."""


class Prepared(NamedTuple):
    """A batch before it is moved to the device; the same shapes for every batch."""

    source: Tensor
    """Indices int64 [B] into resident images, or pixels uint8 [B, C, H, W]."""
    mirrored: Tensor | None
    """bool [B]"""
    labels: Tensor | None
    """int64 [B]"""


def make_loader(
    images: Images,
    labels: np.ndarray | None,
    order: Order,
    device: torch.device,
    dtype: torch.dtype,
    resident: Literal["auto", "always", "never"] = "auto",
) -> "Resident | Streamed":
    """Return a loader of `images` [M, C, H, W] and `labels` int64 [M] (None: without labels).

    The images are resident in the device's memory if that is requested, or if they take less than
    half of its free memory; they are streamed otherwise.
    """
    fits = images.nbytes < _free_memory(device) / 2
    if resident == "never" or (resident == "auto" and not fits):
        return Streamed(images, labels, order, device, dtype)
    pixels = torch.from_numpy(np.array(images)).to(device)
    return Resident(pixels, _tensor(labels), order, dtype)


def _tensor(labels: np.ndarray | None) -> Tensor | None:
    return None if labels is None else torch.from_numpy(np.array(labels))


def _labels_of(labels: Tensor | None, indices: Tensor) -> Tensor | None:
    return None if labels is None else labels[indices]


@dataclass(frozen=True)
class Resident:
    """All images in the device's memory, where each batch is gathered."""

    pixels: Tensor
    """uint8 [M, C, H, W], on the device."""
    labels: Tensor | None
    """int64 [M], on the CPU."""
    order: Order
    dtype: torch.dtype

    def prepare(self, number: int) -> Prepared:
        """Prepare batch `number` on the CPU."""
        indices, mirrored = self.order(number)
        return Prepared(indices, mirrored, _labels_of(self.labels, indices))

    def images(self, source: Tensor, mirrored: Tensor | None) -> Tensor:
        """Return images [B, C, H, W] in [-1, 1], channels-last, from what was prepared and moved.

        The device is not synchronised.
        """
        return normalised(self.pixels[source], mirrored, self.dtype)


class Streamed:
    """Like `Resident`, of images that a thread reads from the disk ahead of the request.

    Batches should be requested in order; any other number restarts the stream.
    """

    def __init__(
        self,
        images: Images,
        labels: np.ndarray | None,
        order: Order,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._images, self.order, self.device, self.dtype = images, order, device, dtype
        self._labels = _tensor(labels)
        self._next = -1
        self._ready: queue.Queue[Ready] = queue.Queue()
        self._stop = threading.Event()

    def prepare(self, number: int) -> Prepared:
        if number != self._next:
            self._restart(number)
        self._next = number + 1
        prepared = self._ready.get()
        if isinstance(prepared, BaseException):
            self._next = -1
            raise prepared
        return prepared

    def images(self, source: Tensor, mirrored: Tensor | None) -> Tensor:
        return normalised(source, mirrored, self.dtype)

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()

    def __del__(self) -> None:
        self.close()

    def _restart(self, number: int) -> None:
        self.close()
        # Each thread has its own queue and event: an old thread may still be about to put a batch.
        self._ready, self._stop = queue.Queue(AHEAD), threading.Event()
        # The thread must not refer to `self`, which would then never be garbage-collected.
        arguments = (
            (self._images, self._labels), self.order, number, self.device, self._ready, self._stop,
        )  # fmt: skip
        threading.Thread(target=_read_ahead, args=arguments, daemon=True).start()


Ready = Prepared | BaseException


def _read_ahead(
    data: tuple[Images, Tensor | None],
    order: Order,
    number: int,
    device: torch.device,
    ready: "queue.Queue[Ready]",
    stop: threading.Event,
) -> None:
    """Put the batches from `number` on into the queue until `stop` is set."""
    images, labels = data
    while not stop.is_set():
        prepared: Ready
        try:
            indices, mirrored = order(number)
            shape = (len(indices), *images.shape[1:])
            pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
            # mode="raise" would make a copy first; the indices are known to be valid.
            np.take(images, indices.numpy(), axis=0, out=pixels.numpy(), mode="clip")
            prepared = Prepared(pixels, mirrored, _labels_of(labels, indices))
        except Exception as error:  # raised where the batch is requested
            prepared = error
        while not stop.is_set():
            try:
                ready.put(prepared, timeout=0.2)
                break
            except queue.Full:
                pass
        if isinstance(prepared, BaseException):
            return
        number += 1


def normalised(pixels: Tensor, mirrored: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return uint8 [B, C, H, W] scaled to [-1, 1], mirrored where `mirrored` [B] says so."""
    batch = pixels.to(dtype, memory_format=torch.channels_last) / 127.5 - 1
    if mirrored is None:
        return batch
    return torch.where(mirrored[:, None, None, None], batch.flip(3), batch)


def moved(x: Tensor | None, device: torch.device) -> Tensor | None:
    """Return `x`, a tensor of the CPU, on the device, without waiting for the copy.

    It is copied from pinned memory, which torch keeps until the copy is done.
    """
    if x is None or device.type != "cuda":
        return x
    return x.pin_memory().to(device, non_blocking=True)


def _free_memory(device: torch.device) -> int:
    """Return the free memory of the device, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if sys.platform == "linux":
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * 2**30  # where the system does not say: what any training machine has
