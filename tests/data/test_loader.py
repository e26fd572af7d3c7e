"""Batches from memory and from a stream are the same batches."""

import gc
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from d3gan.data import loader
from d3gan.data.loader import Resident, Streamed, make_loader

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


def test_a_discarded_stream_ends_its_thread() -> None:
    made: Callable[[], Streamed] = lambda: Streamed(PIXELS, LABELS, order, CPU, torch.float32)  # noqa: E731
    before = threading.active_count()
    stream = made()
    stream.prepare(0)
    assert threading.active_count() == before + 1
    del stream  # the fixture waits for the thread
