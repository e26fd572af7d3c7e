"""The processes of a group on this machine: which of them have ended."""

import os
import platform
import time
from pathlib import Path
from typing import Any

SECONDS_TO_END = 0.5
"""Time in which a process that broke its connections is seen to have ended."""

_peers: dict[int, int] = {}
"""Process ids of the other ranks on this machine."""


def share_process_ids(store: Any, rank: int, size: int) -> None:
    """Let all processes of a group know the ids of those on their machine, through its store."""
    host = platform.node()
    store.set(f"process/{rank}", f"{host} {os.getpid()}")
    _peers.clear()
    for other in range(size):  # get() waits for the others
        where, _, number = store.get(f"process/{other}").decode().rpartition(" ")
        if other != rank and where == host:
            _peers[other] = int(number)


def ended_ranks() -> list[int]:
    """Return the other ranks on this machine whose processes have ended, or end very soon.

    Ranks on other machines are unknown, and on Windows all are.
    """
    if platform.system() == "Windows":  # where os.kill would end the process that it asks for
        return []
    deadline = time.monotonic() + SECONDS_TO_END
    while not (ended := [rank for rank, number in _peers.items() if _has_ended(number)]):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return ended


def _has_ended(number: int) -> bool:
    """Return whether there is no such process, or nobody has waited for its end yet (Linux)."""
    try:
        os.kill(number, 0)
        state = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return True
    except OSError:  # it is not ours, or there is no /proc
        return False
    return state.rpartition(")")[2].split()[0] == "Z"
