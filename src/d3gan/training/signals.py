"""Stopping on Ctrl-C and SIGTERM, between two steps and on all ranks at the same one."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

STEPS_BETWEEN_AGREEMENTS = 8
"""Asking all ranks costs a collective, so they agree on stopping only so often."""

SECONDS_OF_ONE_REQUEST = 1.0
"""Ctrl-C reaches a worker twice, from the terminal and from the process that launched it."""


class StopRequest:
    """Whether a signal has asked this process to stop."""

    def __init__(self) -> None:
        self._received = 0
        self._when = 0.0

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. Whoever asks twice does not wait for the step to end."""
        if not self._received:
            self._received, self._when = number, time.monotonic()
        elif time.monotonic() - self._when > SECONDS_OF_ONE_REQUEST:
            raise KeyboardInterrupt

    def agreed(self, step: int) -> int:
        """The signal to stop for after `step`, on any rank; 0 if there is none."""
        from d3gan.training import distributed  # imports torch

        if distributed.world_size() > 1 and step % STEPS_BETWEEN_AGREEMENTS:
            return 0
        return distributed.any_rank(self._received)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Catch SIGINT and SIGTERM for the block."""
    request = StopRequest()
    with handling([signal.SIGINT, signal.SIGTERM], request.receive):
        yield request


@contextmanager
def handling(
    signals: Sequence[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Install a signal handler for the block (in the main thread; elsewhere do nothing)."""
    previous = {}
    try:
        for number in signals:
            previous[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread
        pass
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
