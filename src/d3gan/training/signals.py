"""Stops training after SIGINT or SIGTERM, between two steps and on all ranks after the same one."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STEPS_BETWEEN_AGREEMENTS = 8
"""Ranks agree on stopping by an all-reduce, which would slow down every step."""

SECONDS_OF_ONE_REQUEST = 1.0
"""Signals within this time count as one. Ctrl-C reaches a process twice: from the terminal and from
the launcher."""


class StopRequest:
    """A request to stop, made by a signal to any rank."""

    def __init__(self) -> None:
        self._received = 0
        self._when = 0.0

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal. A second one raises KeyboardInterrupt in the middle of a step."""
        if not self._received:
            self._received, self._when = number, time.monotonic()
        elif time.monotonic() - self._when > SECONDS_OF_ONE_REQUEST:
            raise KeyboardInterrupt

    def agreed(self, step: int) -> int:
        """Return the signal that asks to stop after `step`, on any rank; 0 if there is none."""
        from d3gan.training import distributed  # imports torch

        if distributed.world_size() > 1 and step % STEPS_BETWEEN_AGREEMENTS:
            return 0
        return distributed.any_rank(self._received)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Handle SIGINT and SIGTERM within the block."""
    request = StopRequest()
    with handling(request.receive):
        yield request


def ignore_termination() -> None:
    """Ignore SIGTERM from now on, in a process that is about to end with an error.

    torchrun and schedulers send SIGTERM when another process has ended, and it would end this one
    before the error is printed. Does nothing outside of the main thread.
    """
    with suppress(ValueError):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle SIGINT and SIGTERM within the block. Does nothing outside of the main thread."""
    previous = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread
        pass
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
