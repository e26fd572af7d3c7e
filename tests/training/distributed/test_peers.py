import os
import subprocess
import sys

import pytest

from d3gan.training.distributed import peers

posix = pytest.mark.skipif(sys.platform == "win32", reason="not known on Windows")


@posix
def test_ranks_whose_processes_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=30)
    monkeypatch.setattr(peers, "_peers", {1: os.getpid(), 2: gone.pid})
    assert peers.ended_ranks() == [2]
    monkeypatch.setattr(peers, "_peers", {1: os.getpid()})
    monkeypatch.setattr(peers, "SECONDS_TO_END", 0.0)
    assert peers.ended_ranks() == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_nobody_has_waited_for_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE)
    assert gone.stdout
    gone.stdout.read()
    try:
        monkeypatch.setattr(peers, "SECONDS_TO_END", 30.0)
        monkeypatch.setattr(peers, "_peers", {3: gone.pid})
        assert peers.ended_ranks() == [3]
    finally:
        gone.wait(timeout=30)
        gone.stdout.close()
