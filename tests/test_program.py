"""No process outlives the test that started it."""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.program import children, end_processes, start_process

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="finds the child in /proc")
def test_a_process_that_ignores_sigterm_is_killed_with_its_children() -> None:
    process = start_process([sys.executable, "-c", STUBBORN])
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    (child,) = children(process.pid)
    begun = time.monotonic()
    end_processes(grace_seconds=0.3)
    assert time.monotonic() - begun < 10
    assert process.returncode == -9
    for _ in range(100):  # whoever adopts the child reaps it soon
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    assert "State:\tZ" in Path(f"/proc/{child}/status").read_text(), "it is not even dead"
