"""A process that a launcher started ends with it."""

import os
import platform
import signal
import subprocess
import sys
import threading

import pytest

from d3gan.training import parent

posix = pytest.mark.skipif(platform.system() == "Windows", reason="orphans are not adopted there")

STARTS_A_WORKER = """
import os, subprocess, sys
from d3gan.training.parent import launched_by_this_process
worker = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1]],
    env=os.environ | launched_by_this_process(), stdout=subprocess.PIPE, text=True,
)
print(worker.stdout.readline(), end="", flush=True)
os._exit(0)
"""

WORKS = """
import os, signal, sys, time
from d3gan.training import parent
{change}
output = os.dup(1)
def ended(number, frame):
    os.write(2, b"ended by its launcher")
    os._exit(0)
signal.signal(signal.SIGTERM, ended)
parent.end_with_launcher()
print("ready", flush=True)
time.sleep(60)
"""


@posix
@pytest.mark.parametrize("change", ["", "parent._signal_with_parent = lambda: False"])
def test_a_worker_gets_a_signal_when_its_launcher_ends(change: str) -> None:
    """By the signal of Linux, and by asking for the parent as on macOS."""
    command = [sys.executable, "-c", STARTS_A_WORKER, WORKS.format(change=change)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.stdout == "ready\n"
    assert ended.stderr == "ended by its launcher"


@posix
def test_a_launcher_that_has_ended_already_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=30)
    monkeypatch.setenv(parent.VARIABLE, str(gone.pid))
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        parent.end_with_launcher()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]


@pytest.mark.parametrize("launched", [False, True])
def test_without_a_launcher_above_nothing_happens(
    launched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process between the launcher and this one, such as a shell, leaves it to itself."""
    monkeypatch.delenv(parent.VARIABLE, raising=False)
    if launched:
        monkeypatch.setenv(parent.VARIABLE, str(os.getpid()))
    monkeypatch.setattr(parent, "_signal_with_parent", pytest.fail)
    before = threading.active_count()
    parent.end_with_launcher()
    assert threading.active_count() == before
