"""Ends this process when the launcher that started it ends, whatever ended the launcher."""

import ctypes
import os
import platform
import signal
import threading
import time

VARIABLE = "D3GAN_LAUNCHER"
"""Environment variable that holds the process id of the launcher."""

PR_SET_PDEATHSIG = 1
"""Option of prctl (linux/prctl.h): the signal that this process gets when its parent ends."""

POLL_SECONDS = 1.0


def launched_by_this_process() -> dict[str, str]:
    """Return the environment variables by which a child knows its launcher."""
    return {VARIABLE: str(os.getpid())}


def end_with_launcher() -> None:
    """Send this process SIGTERM when its launcher ends: d3gan itself, or torchrun.

    Training then saves a checkpoint. Without a launcher nothing happens, and none on Windows, where
    a process does not learn that its parent has ended.
    """
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    launcher = "" if by_torchrun else os.environ.get(VARIABLE, "")
    if not (launcher or by_torchrun) or platform.system() == "Windows":
        return
    parent = os.getppid()
    if launcher and launcher != str(parent):
        if not _exists(int(launcher)):  # it ended before this line
            signal.raise_signal(signal.SIGTERM)
        return  # another process is in between
    if platform.system() != "Linux" or not _signal_with_parent():
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _signal_with_parent() -> bool:
    """Ask Linux for SIGTERM when the parent ends; return whether that was possible."""
    return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM)) == 0)


def _watch(parent: int) -> None:
    """Wait until another process, which adopts orphans, is the parent; then end this one."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user
        return True
    return True
