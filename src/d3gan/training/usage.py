"""Measures peak memory and utilisation of a process and its device."""

import threading
import time
from contextlib import suppress
from pathlib import Path

import torch


def peak_memory_bytes(device: torch.device) -> int | None:
    """Return the peak memory of this process: allocated on the CUDA device, or resident on the CPU.

    None where the platform does not report it (without CUDA: all but Linux; MPS).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return None  # torch reports only the present use
    with suppress(OSError):
        # On Linux, getrusage would include the process that started this one.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def reset_peak_memory(device: torch.device) -> None:
    """Reset `peak_memory_bytes`, where the platform can (CUDA, Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class Utilisation:
    """Context manager that measures the utilisation of the device within the block."""

    share: float | None = None
    """Utilisation in [0, 1]: on CUDA the share of time in which a kernel ran, None without NVML; on
    the CPU the CPU time of the process, divided by wall time and threads; None on MPS."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> "Utilisation":
        self._start = time.perf_counter(), time.process_time()
        self._samples: list[float] = []
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        if self.device.type == "cuda":
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        if self._thread:
            self._thread.join()
            if self._samples:
                self.share = sum(self._samples) / len(self._samples)
        elif self.device.type == "cpu":
            wall, computing = time.perf_counter() - self._start[0], time.process_time()
            self.share = (computing - self._start[1]) / wall / torch.get_num_threads()

    def _sample(self) -> None:
        while not self._done.wait(0.05) and (share := cuda_utilisation(self.device)) is not None:
            self._samples.append(share)


def cuda_utilisation(device: torch.device) -> float | None:
    """Return the share of the last second or less in which a kernel ran; None without NVML."""
    try:
        return torch.cuda.utilization(device) / 100
    except Exception:  # torch and NVML raise errors of many types
        return None
