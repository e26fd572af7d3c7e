"""What a process uses of its machine: memory and computing time."""

import functools
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import torch


def peak_memory_bytes(device: torch.device) -> int | None:
    """Most memory that this process held so far: of the CUDA device, or resident on the CPU.

    None where the system does not tell (without CUDA: all but Linux).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):
        # Not getrusage: on Linux that counts the program which started this one too.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory_bytes` begin anew, where the system can (CUDA, Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Utilisation:
    """Share of the time within the block in which the device computed.

    On CUDA the mean of what NVML reports, which is the share of time in which some kernel ran; on
    the CPU the process's computing time over wall time and threads. `share` is None where it could
    not be had.
    """

    share: float | None = None

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> "Utilisation":
        self._start = time.perf_counter(), time.process_time()
        self._samples: list[int] = []
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        if self.device.type == "cuda" and (handle := _nvml_handle(self.device)):
            self._thread = threading.Thread(target=self._watch, args=[handle], daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._thread:
            self._thread.join()
            if self._samples:
                self.share = sum(self._samples) / len(self._samples) / 100
        elif self.device.type == "cpu":
            wall, computing = time.perf_counter() - self._start[0], time.process_time()
            self.share = (computing - self._start[1]) / wall / torch.get_num_threads()

    def _watch(self, handle: Any) -> None:
        while not self._done.wait(0.05):
            self._samples.append(_busy_percent(handle))


def cuda_utilisation(device: torch.device) -> float | None:
    """Share of the last moments in which some kernel ran, by NVML; None if it does not answer."""
    handle = _nvml_handle(device)
    return None if handle is None else _busy_percent(handle) / 100


def _busy_percent(handle: Any) -> int:
    import pynvml

    return int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)


@functools.cache
def _nvml_handle(device: torch.device) -> Any:
    """What NVML calls this CUDA device; None where NVML does not answer."""
    import pynvml

    try:
        pynvml.nvmlInit()
        identity = torch.cuda.get_device_properties(device).uuid
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{identity}")
    except pynvml.NVMLError:
        return None
