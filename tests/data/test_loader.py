"""Batches from memory and from a stream are the same batches."""

import gc
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from d3gan.data import loader
from d3gan.data.loader import Event, Resident, Ring, Streamed, make_loader, pinned_ring

CPU = torch.device("cpu")
LABELS = np.arange(7) % 4
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 6), np.uint8)
KINDS = {"always": Resident, "never": Streamed}


def order(number: int) -> tuple[Tensor, Tensor | None]:
    indices = torch.tensor([number % 7, 0, (number + 2) % 7])
    return indices, torch.tensor([True, False, False]) if number % 2 else None


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < deadline, "a stream's thread is still running"
        time.sleep(0.05)


@pytest.mark.parametrize("resident", KINDS)
def test_batches_are_gathered_normalised_and_mirrored(resident: str) -> None:
    made = make_loader(PIXELS, LABELS, order, CPU, torch.float64, resident)  # type: ignore[arg-type]
    assert type(made) is KINDS[resident]
    for number in (0, 1, 2, 9, 10, 1):  # 9 and the last 1: not the next in order
        indices, mirrored = order(number)
        expected = torch.from_numpy(PIXELS[indices.numpy()]).double() / 255 * 2 - 1
        if mirrored is not None:
            expected[0] = expected[0].flip(2)
        prepared = made.prepare(number)
        assert prepared.labels is not None
        assert prepared.labels.tolist() == LABELS[indices.numpy()].tolist()
        batch = made.images(*prepared[:2])
        torch.testing.assert_close(batch, expected)
        assert batch.is_contiguous(memory_format=torch.channels_last)


def test_normalisation_reaches_both_ends() -> None:
    pixels = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    made = make_loader(
        pixels, None, lambda number: (torch.tensor([0, 1]), None), CPU, torch.float32
    )
    assert made.images(*made.prepare(0)[:2]).flatten().tolist() == [-1.0, 1.0]


def test_images_that_do_not_fit_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_free_memory", lambda device: 2 * PIXELS.nbytes)
    assert type(make_loader(PIXELS, LABELS, order, CPU, torch.float32)) is Streamed
    monkeypatch.setattr(loader, "_free_memory", lambda device: 2 * PIXELS.nbytes + 1)
    assert type(make_loader(PIXELS, LABELS, order, CPU, torch.float32)) is Resident


def test_a_stream_reads_ahead_within_a_bound() -> None:
    asked: list[int] = []

    def recorded(number: int) -> tuple[Tensor, Tensor | None]:
        asked.append(number)
        return order(number)

    stream = Streamed(PIXELS, LABELS, recorded, CPU, torch.float32)
    stream.prepare(3)
    deadline = time.monotonic() + 5
    while len(asked) < loader.AHEAD + 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert loader.AHEAD + 1 <= len(asked) <= loader.AHEAD + 2
    assert asked == list(range(3, 3 + len(asked)))


def test_errors_of_the_thread_are_raised_where_the_batch_is_requested() -> None:
    def broken(number: int) -> tuple[Tensor, Tensor | None]:
        if number == 2:
            raise OSError("the disk is gone")
        return order(number)

    stream = Streamed(PIXELS, LABELS, broken, CPU, torch.float32)
    stream.prepare(0), stream.prepare(1)
    for _ in range(2):  # and again, instead of waiting forever
        with pytest.raises(OSError, match="the disk is gone"):
            stream.prepare(2)


def test_resident_images_on_the_cpu_are_not_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", PIXELS)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as torch's, that the map is read-only
        made = make_loader(images, LABELS, order, CPU, torch.float32, "always")
    assert isinstance(made, Resident)
    assert made.pixels.data_ptr() == images.ctypes.data
    assert torch.equal(made.pixels, torch.from_numpy(PIXELS))
    backwards = make_loader(PIXELS[::-1], LABELS, order, CPU, torch.float32, "always")
    assert torch.equal(backwards.pixels, torch.from_numpy(PIXELS[::-1].copy()))  # type: ignore[union-attr]


class Copying:
    """A made-up device, which copies from the buffers as late as it may."""

    def __init__(self) -> None:
        self.queued: list[tuple[Tensor, Tensor]] = []
        self.copies = 0
        self.buffers: list[Tensor] = []

    def allocate(self) -> Tensor:
        self.buffers.append(torch.empty((3, *PIXELS.shape[1:]), dtype=torch.uint8))
        return self.buffers[-1]

    def copy(self, source: Tensor, expected: Tensor) -> None:
        self.queued.append((source, expected))

    def record(self) -> Event:
        return Mark(self, len(self.queued))


@dataclass
class Mark:
    device: Copying
    queued: int

    def synchronize(self) -> None:
        while self.device.copies < self.queued:
            buffer, expected = self.device.queued[self.device.copies]
            assert torch.equal(buffer, expected), f"batch {self.device.copies} was overwritten"
            self.device.copies += 1


# The size of a ring must not be a multiple of 7, the period of `order`.
@pytest.mark.parametrize("lag", [2, 4, 6])
def test_no_buffer_is_overwritten_before_it_is_copied(lag: int) -> None:
    device = Copying()
    threads: set[str] = set()

    def make_ring(shape: tuple[int, ...]) -> Ring:
        assert shape == (3, *PIXELS.shape[1:])
        threads.add(threading.current_thread().name)
        return Ring(device.allocate, device.record, lag)

    stream = Streamed(PIXELS, LABELS, order, CPU, torch.float32, make_ring)
    for number in range(40):
        source = stream.prepare(number).source
        expected = torch.from_numpy(PIXELS[order(number)[0].numpy()])
        assert torch.equal(source, expected)
        assert any(source is buffer for buffer in device.buffers)
        device.copy(source, expected)
        if number % 8 == 0:
            time.sleep(0.02)  # the thread overwrites what it may
    waited_for = device.copies
    device.record().synchronize()  # the others are intact too
    assert waited_for == 39 - lag  # none earlier than necessary
    assert len(device.buffers) == loader.AHEAD + lag + 2
    assert threads == {threading.current_thread().name}
    stream.prepare(7)  # not the next one: another ring
    assert len(device.buffers) == 2 * (loader.AHEAD + lag + 2)


def test_the_ring_of_cuda_marks_the_current_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    device, pinned, marks = torch.device("cuda", 0), [], []
    empty = torch.empty

    def fake_empty(shape: tuple[int, ...], *, dtype: torch.dtype, pin_memory: bool) -> Tensor:
        pinned.append(pin_memory)
        return empty(shape, dtype=dtype)

    def current_stream(asked: torch.device) -> SimpleNamespace:
        return SimpleNamespace(record_event=lambda: marks.append(asked))

    monkeypatch.setattr(torch, "empty", fake_empty)
    monkeypatch.setattr(torch.cuda, "current_stream", current_stream)
    ring = pinned_ring((2, 3), device=device, lag=4)
    assert pinned == [True] * (loader.AHEAD + 6)
    ring.hand_back(ring.take())
    assert marks == [device]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_stream_on_cuda_gives_the_same_batches() -> None:
    device = torch.device("cuda", 0)
    made = make_loader(PIXELS, LABELS, order, device, torch.float32, "never", batches_per_step=2)
    copied = []
    for number in range(60):
        prepared = made.prepare(number)
        assert prepared.source.is_pinned()
        copied.append(loader.moved(prepared.source, device))
    for number, source in enumerate(copied):
        assert source is not None
        assert torch.equal(source.cpu(), torch.from_numpy(PIXELS[order(number)[0].numpy()]))


def test_a_discarded_stream_ends_its_thread() -> None:
    made: Callable[[], Streamed] = lambda: Streamed(PIXELS, LABELS, order, CPU, torch.float32)  # noqa: E731
    before = threading.active_count()
    stream = made()
    stream.prepare(0)
    assert threading.active_count() == before + 1
    del stream  # the fixture waits for the thread
