"""Batches of real images on the training device: from its memory, or streamed into it.

The content of a batch is a function of its number (`Order`), so a batch can be prepared ahead of
time, and a resumed run sees the same batches as an uninterrupted one.
"""

import queue
import threading
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from d3gan.devices import channels_last_format, free_memory
from d3gan.images import Images
from d3gan.machine import available_memory

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
    batches_per_step: int = 1,
) -> "Resident | Streamed":
    """Return a loader of `images` [M, C, H, W] and `labels` int64 [M] (None: without labels).

    The images are resident in the device's memory if that is requested, or if they take less than
    half of its free memory; they are streamed otherwise. On the CPU, resident images are not
    copied: processes that map the same file share one copy of it, in the system's cache of files.
    `batches_per_step` is the number of batches that a training step requests.
    """
    fits = images.nbytes < _free_memory(device) / 2
    if resident == "never" or (resident == "auto" and not fits):
        make_ring = None
        if device.type == "cuda":
            make_ring = partial(pinned_ring, device=device, lag=2 * batches_per_step)
        return Streamed(images, labels, order, device, dtype, make_ring)
    return Resident(_in_place(images).to(device), _tensor(labels), order, dtype)


def _in_place(images: Images) -> Tensor:
    """Return a tensor on the memory of `images`, which nobody must write to."""
    with warnings.catch_warnings():
        # A memory map of the cache is read-only, which torch has no notion of.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(np.ascontiguousarray(images))


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
        make_ring: Callable[[tuple[int, ...]], "Ring"] | None = None,
    ) -> None:
        self._images, self.order, self.device, self.dtype = images, order, device, dtype
        self._labels, self._make_ring = _tensor(labels), make_ring
        self._ring: Ring | None = None
        self._in_use: Tensor | None = None
        self._thread: threading.Thread | None = None
        self._next = -1
        self._ready: queue.Queue[Ready] = queue.Queue()
        self._stop = threading.Event()

    def prepare(self, number: int) -> Prepared:
        """Wait for batch `number`.

        On CUDA its pixels are in a buffer that is used again: the copy to the device must be queued
        on the current stream before the next batch is requested.
        """
        if number != self._next:
            self._restart(number)
        self._next = number + 1
        if self._ring and self._in_use is not None:
            self._ring.hand_back(self._in_use)
        self._in_use = None
        prepared = self._ready.get()
        if isinstance(prepared, BaseException):
            self._next = -1
            raise prepared
        self._in_use = prepared.source
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
        if self._thread:
            self._thread.join()  # so that the ring's memory is freed here, not by the thread
        self._ready, self._stop = queue.Queue(AHEAD), threading.Event()
        self._ring, self._in_use = None, None
        if self._make_ring:
            self._ring = self._make_ring((len(self.order(number)[0]), *self._images.shape[1:]))
        # The thread must not refer to `self`, which would then never be garbage-collected.
        arguments = (
            (self._images, self._labels), self.order, number, self._ring, self._ready, self._stop,
        )  # fmt: skip
        self._thread = threading.Thread(target=_read_ahead, args=arguments, daemon=True)
        self._thread.start()


class Event(Protocol):
    """A mark in the work of a device, such as `torch.cuda.Event`."""

    def synchronize(self) -> None:
        """Wait until the device has done the work before the mark."""


class Ring:
    """Buffers of batches that are used in turn; the device may still copy from the last `lag` ones.

    A buffer is handed back when the next batch is requested; `record` then marks the work that is
    queued on the device so far, which includes the copy. After `lag` further batches the mark is
    waited for, and the buffer is free. All of this happens where batches are requested: the reading
    thread makes no call of CUDA, because a graph may be recorded meanwhile.
    """

    def __init__(
        self, allocate: Callable[[], Tensor], record: Callable[[], Event], lag: int
    ) -> None:
        self._record, self._lag = record, lag
        # Beside those that are ready and those that are copied, one is filled and one is in use.
        self._free = deque(allocate() for _ in range(AHEAD + lag + 2))
        self._copying: deque[tuple[Tensor, Event]] = deque()

    def take(self) -> Tensor:
        """Return a free buffer. There is one whenever the queue of ready batches has room."""
        return self._free.popleft()

    def hand_back(self, buffer: Tensor) -> None:
        """Return a buffer after its copy to the device was queued; wait for the oldest copy."""
        self._copying.append((buffer, self._record()))
        if len(self._copying) > self._lag:
            oldest, event = self._copying.popleft()
            event.synchronize()
            self._free.append(oldest)


def pinned_ring(shape: tuple[int, ...], *, device: torch.device, lag: int) -> Ring:
    """Return a ring of buffers uint8 `shape` in pinned memory, from which `device` copies."""
    return Ring(
        lambda: torch.empty(shape, dtype=torch.uint8, pin_memory=True),
        lambda: torch.cuda.current_stream(device).record_event(),
        lag,
    )


Ready = Prepared | BaseException


def _read_ahead(
    data: tuple[Images, Tensor | None],
    order: Order,
    number: int,
    ring: Ring | None,
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
            pixels = torch.empty(shape, dtype=torch.uint8) if ring is None else ring.take()
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
    batch = pixels.to(dtype, memory_format=channels_last_format(pixels.device)) / 127.5 - 1
    if mirrored is None:
        return batch
    return torch.where(mirrored[:, None, None, None], batch.flip(3), batch)


def moved(x: Tensor | None, device: torch.device) -> Tensor | None:
    """Return `x`, a tensor of the CPU, on the device; on CUDA without waiting for the copy.

    On CUDA it is copied from pinned memory, which torch or the `Ring` keeps until the copy is done.
    """
    if x is None or device.type == "cpu":
        return x
    if device.type != "cuda":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


def _free_memory(device: torch.device) -> int:
    """Return the free memory of the device, in bytes."""
    if (free := free_memory(device)) is not None:
        return free
    available = available_memory()
    # Where the system does not say: what any training machine has.
    return 4 * 2**30 if available is None else available
